/*
 * The table.
 */
#include "services/lambda/instance_state.h"

#include "base/check.h"

/* One above the state, so that 0 means "not allowed". */
#define TO(state) (INSTANCE_##state + 1)

static const unsigned char table[INSTANCE_STATES][INSTANCE_EVENTS] = {
	[INSTANCE_BOOTING] = {[INSTANCE_STARTED] = TO(INIT), [INSTANCE_END] = TO(ENDED)},
	[INSTANCE_INIT] = {[INSTANCE_NEXT] = TO(IDLE),
		[INSTANCE_INIT_ERROR] = TO(FAILED),
		[INSTANCE_END] = TO(ENDED)},
	/* A runtime may ask again, on another connection. */
	[INSTANCE_IDLE] = {[INSTANCE_NEXT] = TO(IDLE),
		[INSTANCE_DELIVERED] = TO(BUSY),
		[INSTANCE_END] = TO(ENDED)},
	[INSTANCE_BUSY] = {[INSTANCE_RESPONSE] = TO(ANSWERED),
		[INSTANCE_ERROR] = TO(ANSWERED),
		[INSTANCE_RETURNED] = TO(ANSWERED),
		[INSTANCE_END] = TO(ENDED)},
	[INSTANCE_ANSWERED] = {[INSTANCE_NEXT] = TO(IDLE), [INSTANCE_END] = TO(ENDED)},
	[INSTANCE_FAILED] = {[INSTANCE_END] = TO(ENDED)},
	[INSTANCE_ENDED] = {[INSTANCE_END] = TO(ENDED)},
};

int instance_state_after(enum instance_state state, enum instance_event event)
{
	check(state < INSTANCE_STATES && event < INSTANCE_EVENTS);
	return table[state][event] - 1;
}

const char *instance_state_name(enum instance_state state)
{
	static const char *const names[INSTANCE_STATES] = {"Started", "Started", "Ready",
		"InvocationRunning", "ResponseSent", "InitError", "Exited"};

	check(state < INSTANCE_STATES);
	return names[state];
}

const char *instance_event_name(enum instance_event event)
{
	static const char *const names[INSTANCE_EVENTS] = {"Start", "Next", "Deliver", "Return",
		"InvocationResponse", "InvocationError", "InitError", "Exit"};

	check(event < INSTANCE_EVENTS);
	return names[event];
}
