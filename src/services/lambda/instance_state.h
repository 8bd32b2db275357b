/*
 * The life of an instance as a table: which events are legal in which state. Pure.
 *
 *     BOOTING -> INIT -> IDLE -> BUSY -> ANSWERED -> IDLE ...     any -> ENDED
 *
 * ANSWERED is the time between a runtime's answer and its next request for work: the invocation is
 * over for its caller, and the instance can be promised to another one, but nothing can be given
 * to it yet.
 */
#ifndef SERVICES_LAMBDA_INSTANCE_STATE_H
#define SERVICES_LAMBDA_INSTANCE_STATE_H

enum instance_state {
	INSTANCE_BOOTING,  /* no process of the function runs yet */
	INSTANCE_INIT,     /* the runtime loads the function */
	INSTANCE_IDLE,     /* the runtime waits in GET next */
	INSTANCE_BUSY,     /* it has an event */
	INSTANCE_ANSWERED, /* it has answered it */
	INSTANCE_FAILED,   /* it has reported that init failed */
	INSTANCE_ENDED,    /* killed or gone */
	INSTANCE_STATES
};

enum instance_event {
	INSTANCE_STARTED,    /* the container is on its way */
	INSTANCE_NEXT,       /* GET invocation/next */
	INSTANCE_DELIVERED,  /* it was given an event */
	INSTANCE_RETURNED,   /* which did not reach it: its connection was gone */
	INSTANCE_RESPONSE,   /* POST invocation/ID/response */
	INSTANCE_ERROR,      /* POST invocation/ID/error */
	INSTANCE_INIT_ERROR, /* POST init/error */
	INSTANCE_END,        /* killed by us, or its end was reported */
	INSTANCE_EVENTS
};

/* The state after the event, or -1 when the event is not allowed in this state. */
int instance_state_after(enum instance_state state, enum instance_event event);
/* "Ready", "InvocationRunning": as the Runtime API names states in its errors. */
const char *instance_state_name(enum instance_state state);
/* "InvocationResponse": the same for events. */
const char *instance_event_name(enum instance_event event);

#endif
