/*
 * Functions on their way: Pending to Active after CreateFunction, InProgress to Successful after an
 * update. The work behind it is having the code unpacked and a container of the runtime booted in
 * advance; the end is written to the store, so a restart goes on with what it finds unfinished.
 */
#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "rt/rt.h"
#include "services/lambda/credentials.h"
#include "services/lambda/pool.h"
#include "services/lambda/scheduler.h"
#include "services/lambda/service.h"
#include "services/lambda/store.h"

enum { TRANSITION_DEADLINE_MS = 60000 };

struct transition {
	struct lambda_service *service;
	struct arena arena; /* of the three names */
	str account, region, name;
};

struct end {
	str revision_id; /* of the state that was worked on */
	int rc;
	const char *text;
};

static int write_end(void *arg, struct kv_txn *txn unused_arg, struct arena *a, struct function *f)
{
	const struct end *end = arg;

	/* Not ERR_CONFLICT, which would be tried again until the deadline. */
	if (!str_eq(f->revision_id, end->revision_id))
		return ERR_LOCKED;
	f->reason = f->reason_code = STR("");
	if (end->rc < 0) {
		f->reason = arena_str(a, str_c(end->text));
		f->reason_code = STR("InvalidZipFileException");
	}
	if (f->state == FUNCTION_PENDING) {
		f->state = end->rc < 0 ? FUNCTION_FAILED : FUNCTION_ACTIVE;
		f->update = end->rc < 0 ? UPDATE_FAILED : UPDATE_SUCCESSFUL;
	} else if (f->update == UPDATE_IN_PROGRESS) {
		f->update = end->rc < 0 ? UPDATE_FAILED : UPDATE_SUCCESSFUL;
	} else {
		return ERR_LOCKED;
	}
	return 1;
}

static int transition(struct lambda_service *s, struct arena *a, str account, str region, str name)
{
	int64_t deadline = rt_after_ms(TRANSITION_DEADLINE_MS);
	struct sandbox_error error = {{0}};
	struct credentials_values values;
	struct code_pin *pin;
	struct store_change change;
	struct function f;
	struct end end;

	if (TRY(lambda_store_load(s, a, account, region, name, STR_NULL, &f, NULL)) == 0)
		return 0;
	if (f.state != FUNCTION_PENDING && f.update != UPDATE_IN_PROGRESS)
		return 0;
	end = (struct end){f.revision_id, 0, error.text};
	/* An image's layers were unpacked before its record was written. */
	if (!function_is_image(&f)) {
		TRY(code_pin(s->code, f.code_hex, deadline, &pin));
		end.rc = code_ensure(s->code, pin, deadline, &error);
		code_unpin(s->code, pin);
	}
	/* What may be better next time is left as it is. */
	if (end.rc < 0 && end.rc != ERR_INVALID && end.rc != ERR_TOO_LARGE)
		return end.rc;
	pool_want(s->pool, f.runtime);
	/* So that the first cold start need not; a role that is not there is that one's matter. */
	(void)!credentials_get(s->credentials, a, &f, &values);
	change = (struct store_change){.account = account,
		.region = region,
		.name = name,
		.change = write_end,
		.arg = &end,
		.deadline = deadline};
	TRY(lambda_store_change(s, a, &change, &f));
	scheduler_deployed(s->scheduler, &f);
	return 0;
}

static void transition_fiber(void *arg)
{
	struct transition *t = arg;
	struct lambda_service *s = t->service;
	int rc = transition(s, &t->arena, t->account, t->region, t->name);

	if (rc < 0 && rc != ERR_LOCKED && rc != ERR_NOT_FOUND && rc != ERR_CANCELLED)
		log_error("lambda", "a function stays unfinished until the next start",
			"function=%.*s account=%.*s region=%.*s error=%s", STR_ARG(t->name),
			STR_ARG(t->account), STR_ARG(t->region), rc_text(rc));
	arena_done(&t->arena);
	mem_free(t);
	transition_end(s);
}

void transition_end(struct lambda_service *s)
{
	atomic_fetch_sub(&s->transitions, 1);
	rt_event_set(&s->transition_ended);
}

void transitions_wait(struct lambda_service *s)
{
	while (atomic_load(&s->transitions))
		rt_event_wait_sure(&s->transition_ended);
}

void transition_begin(struct lambda_service *s, str account, str region, str name)
{
	struct transition *t = mem_new(struct transition);

	t->service = s;
	arena_init(&t->arena, SIZE_MAX);
	t->account = arena_str(&t->arena, account);
	t->region = arena_str(&t->arena, region);
	t->name = arena_str(&t->arena, name);
	atomic_fetch_add(&s->transitions, 1);
	if (rt_spawn(transition_fiber, t) < 0)
		transition_fiber(t);
}

void code_release(struct lambda_service *s, str hex)
{
	int rc = store_code_used(s, hex);

	if (rc == 0)
		rc = code_remove(s->code, hex, rt_after_ms(TRANSITION_DEADLINE_MS));
	if (rc < 0)
		log_warn("lambda", "unused code stays until the next start", "code=%.*s error=%s",
			STR_ARG(hex), rc_text(rc));
}
