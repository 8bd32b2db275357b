/*
 * Durable executions: what one is made of, its records, and the rules by which it changes. Pure.
 *
 *     durable_state.c    which update is legal, and what it changes
 *     durable_record.c   records in the store, ARNs, tokens
 *     durable_view.c     the forms on the wire: operations, events, the input of an invocation
 *
 * An execution is a function's run that may take a year. The function is invoked, works through its
 * operations and records each end by a checkpoint; when it has to wait it returns, and is invoked
 * again with what was recorded once a timer, a callback or another function's answer is there.
 *
 * The record of an execution holds what must be known to decide anything: what is open (waits,
 * pending attempts, callbacks, chained calls) with the time at which each ends by itself, and what
 * changed since the function was last told. Operations, events and large texts have records of
 * their own (durable_store.h).
 *
 * Source: Developer Guide, "Lambda durable functions"; API Reference, CheckpointDurableExecution,
 * OperationUpdate, Operation, Event.
 */
#ifndef SERVICES_LAMBDA_DURABLE_H
#define SERVICES_LAMBDA_DURABLE_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/rc.h"

struct function;
struct json_writer;
struct value;

enum { DURABLE_RUN_BYTES = 36, DURABLE_TOKEN_BYTES = 32, DURABLE_NONCE_BYTES = 22 };

#define DURABLE_NO_TIME INT64_MAX
#define DURABLE_UNQUALIFIED                                                       \
	"Durable functions are invoked with a qualifier: a version, an alias or " \
	"$LATEST."

#define DURABLE_DELETED "The function was deleted."

enum durable_status {
	DURABLE_RUNNING,
	DURABLE_SUCCEEDED,
	DURABLE_FAILED,
	DURABLE_TIMED_OUT,
	DURABLE_STOPPED,
	DURABLE_STATUSES
};

/* Of operations; the names are those of the model, and so for what follows. */
enum durable_kind {
	DURABLE_EXECUTION,
	DURABLE_CONTEXT,
	DURABLE_STEP,
	DURABLE_WAIT,
	DURABLE_CALLBACK,
	DURABLE_CHAINED_INVOKE,
	DURABLE_KINDS
};

enum durable_action {
	DURABLE_START,
	DURABLE_SUCCEED,
	DURABLE_FAIL,
	DURABLE_RETRY,
	DURABLE_CANCEL,
	DURABLE_ACTIONS
};

enum durable_state {
	OPERATION_STARTED,
	OPERATION_PENDING,
	OPERATION_READY,
	OPERATION_SUCCEEDED,
	OPERATION_FAILED,
	OPERATION_CANCELLED,
	OPERATION_TIMED_OUT,
	OPERATION_STOPPED,
	OPERATION_STATES
};

enum durable_event {
	EVENT_NONE,
#define EVENT(id, name, data) EVENT_##id,
#include "services/lambda/durable_events.def"
#undef EVENT
	DURABLE_EVENTS
};

str durable_status_name(enum durable_status status);
str durable_kind_name(enum durable_kind kind);
str durable_action_name(enum durable_action action);
str durable_state_name(enum durable_state state);
str durable_event_name(enum durable_event event);
/* The inverse: the number, or -1. */
int durable_status_named(str name);
int durable_kind_named(str name);
int durable_action_named(str name);

/* Which execution. Runs of a function sort by their time. */
struct durable_key {
	str account, region, function;
	str run; /* a UUID whose first 48 bits are the start in ms */
};

/* What is not at its end: by itself at `due_ms` (DURABLE_NO_TIME: never), or from outside. */
struct durable_open {
	uint64_t seq;
	enum durable_kind kind;
	int64_t due_ms;
};

struct durable_execution {
	struct durable_key key;             /* not in the record's value */
	str name;                           /* given by the caller, or the run */
	str version;                        /* that runs: "$LATEST", "7" */
	str arn;                            /* of the function as it was invoked */
	str input_digest;                   /* SHA-256, hex: what a repeated start is compared by */
	uint64_t input_bytes, result_bytes; /* of texts kept apart */
	bool has_result;
	str error; /* JSON of an ErrorObject; empty: none */
	enum durable_status status;
	bool asynchronous;
	bool told;                /* who has to hear of its end has (dead letters, the parent) */
	int64_t start_ms, end_ms; /* end_ms 0: it has not ended */
	uint32_t timeout_s, retention_days;
	str trace, tenant, client_context; /* empty: none */
	/* The execution and operation that invoked it; run empty: none. Of its account and region.
	 */
	str parent_function, parent_run;
	uint64_t parent_seq;

	uint64_t next_seq;   /* of operations, 1 on; the execution itself is 0 */
	uint64_t next_event; /* 1 on */
	uint32_t operations; /* as counted against the limit: attempts too */
	uint64_t bytes;      /* written by checkpoints and callbacks */

	str token;       /* that the next checkpoint must bring; empty: none is taken */
	str last_token;  /* the one before, with the ClientToken that used it up */
	str last_client; /* a request that repeats both is answered and not done again */

	uint64_t boot;      /* of the server that runs an invocation; 0: none runs */
	str invocation;     /* its request id */
	int64_t invoked_ms; /* when it began */
	uint32_t failures;  /* of invocations, in a row */
	uint32_t crashes;   /* of the server during one, in a row */
	int64_t run_ms;     /* when to invoke next; DURABLE_NO_TIME: when something has ended */
	int64_t due_ms;     /* under which it is found: durable_due() when it was written */

	struct durable_open *open;
	uint32_t open_count, open_capacity;
	uint64_t *dirty; /* operations that changed and the function does not know it */
	uint32_t dirty_count, dirty_capacity;
};

struct durable_operation {
	uint64_t seq;
	str id, parent, name, sub_type; /* all but id: empty: none */
	enum durable_kind kind;
	enum durable_state state;
	int64_t start_ms, end_ms;
	bool has_result;
	str result, error; /* error: JSON of an ErrorObject; empty: none */
	uint32_t attempt;  /* of a step: attempts that ended */
	/* When it ends by itself: of a wait, a pending step, a callback; DURABLE_NO_TIME: never. */
	int64_t due_ms;
	uint32_t seconds; /* of a wait, until the next attempt, a callback's time-out (0: none) */
	uint32_t heartbeat_s; /* of a callback; 0: none */
	int64_t beat_ms;      /* the latest heartbeat, or the start */
	bool replay_children; /* of a context */
	str nonce;            /* of a callback: only who was given it can end it */
	/* Of a chained call; child: the run it started, when its target is durable. */
	str function, tenant, trace, input, child;
};

/* An OperationUpdate, already valid by the model. Absent texts are STR_NULL. */
struct durable_update {
	str id, parent, name, sub_type;
	enum durable_kind kind;
	enum durable_action action;
	str payload, error;
	bool has_step, has_wait, has_chained;
	uint32_t delay_s;                /* StepOptions; 0: absent */
	uint32_t wait_s;                 /* WaitOptions; 0: absent */
	uint32_t timeout_s, heartbeat_s; /* CallbackOptions; 0: none */
	bool replay_children;            /* ContextOptions */
	str function, tenant, trace;     /* ChainedInvokeOptions */
};

static inline bool durable_ended(enum durable_state state)
{
	return state >= OPERATION_SUCCEEDED;
}

/* ---- durable_state.c ---- */

/*
 * Is the update legal for the operation as it is (NULL: there is none)? NULL, or the message of
 * InvalidParameterValueException.
 */
const char *durable_check(const struct durable_update *u, const struct durable_operation *op);
/* Bytes that the update adds to what the execution has written. */
size_t durable_update_bytes(const struct durable_update *u);
/*
 * Carries out a legal update. `op` is the operation as it is, or (new) has its `seq` only. Open and
 * due times of the execution follow; what happened is the result. Not for EXECUTION.
 */
enum durable_event durable_apply(struct arena *a, struct durable_execution *x,
	struct durable_operation *op, const struct durable_update *u, int64_t now_ms);
/*
 * The operation's time has come (durable_open.due_ms): a wait ends, an attempt becomes ready, a
 * callback times out. EVENT_NONE and no change when the time was put off (a heartbeat) or the
 * operation has ended; for a step READY is no event either: *ret_changed tells.
 */
enum durable_event durable_expire(struct arena *a, struct durable_execution *x,
	struct durable_operation *op, int64_t now_ms, bool *ret_changed);
/* A callback or chained call ends: with a result, or (error not empty) with that error. */
enum durable_event durable_finish(struct arena *a, struct durable_execution *x,
	struct durable_operation *op, enum durable_state state, str result, str error,
	int64_t now_ms);
/* Whoever waits for the callback is alive: its heartbeat's time begins anew. */
void durable_beat(struct durable_execution *x, struct durable_operation *op, int64_t now_ms);
/* The execution ends. Nothing is open and no token is valid any more. */
enum durable_event durable_end(
	struct durable_execution *x, enum durable_status status, str error, int64_t now_ms);

/* An invocation begins; the token is new. */
void durable_invoked(
	struct durable_execution *x, uint64_t boot, str invocation, str token, int64_t now_ms);
enum durable_returned { RETURNED_PENDING, RETURNED_ERROR, RETURNED_THROTTLED, RETURNED_CRASHED };
/*
 * It is over and the execution goes on: when to invoke next is decided. False: it never would be,
 * since it said PENDING with nothing to wait for, or the server ended too often under it.
 */
bool durable_returned(struct durable_execution *x, enum durable_returned how, int64_t now_ms);

/* When somebody has to look at it next: a timer, a run, its time-out, its deletion. */
int64_t durable_due(const struct durable_execution *x);
/* When it times out; of one that has ended when its records go. */
int64_t durable_timeout_ms(const struct durable_execution *x);
int64_t durable_delete_ms(const struct durable_execution *x);
/* To be invoked now? */
bool durable_wants_run(const struct durable_execution *x, int64_t now_ms);
/* What is open under the number; NULL. */
struct durable_open *durable_open_find(const struct durable_execution *x, uint64_t seq);
/* The function has to be told of the operation. */
void durable_mark(struct arena *a, struct durable_execution *x, uint64_t seq);

/* ---- durable_record.c ---- */

/* Values of records. What is written reads back (checked); decoding: ERR_CORRUPT, ERR_VERSION. */
str durable_encode(struct arena *a, const struct durable_execution *x);
must_use int durable_decode(struct arena *a, const struct durable_key *key, str record,
	struct durable_execution *ret_execution);
str durable_operation_encode(struct arena *a, const struct durable_operation *op);
must_use int durable_operation_decode(
	struct arena *a, str record, struct durable_operation *ret_operation);

/* arn:aws:lambda:R:A:function:F:V/durable-execution/NAME/RUN */
str durable_arn(struct arena *a, const struct durable_execution *x);
/* The parts point into `text`; ERR_SYNTAX. */
must_use int durable_arn_parse(
	str text, struct durable_key *ret_key, str *ret_version, str *ret_name);

/* A callback's id: base64 of which execution and operation it is, and its nonce. */
str durable_callback_id(
	struct arena *a, const struct durable_key *key, const struct durable_operation *op);
struct durable_callback {
	struct durable_key key;
	uint64_t seq;
	str nonce;
};
/* In the arena. ERR_SYNTAX. */
must_use int durable_callback_parse(struct arena *a, str id, struct durable_callback *ret);

/* Where a page of operations or events ended, as a Marker for the next. */
str durable_marker(struct arena *a, uint64_t number);

/* The answer of an invocation: {"Status": ..., "Result": "...", "Error": {...}}. */
struct durable_answer {
	enum durable_status status; /* DURABLE_RUNNING: PENDING */
	bool has_result;
	str result;
	str error; /* JSON of an ErrorObject; empty: none */
};
/* ERR_SYNTAX: not such an answer. */
must_use int durable_answer_parse(struct arena *a, str payload, struct durable_answer *ret);
/* JSON of an ErrorObject of these two. */
str durable_error(struct arena *a, str type, str message);
/* The same of the error that a function answered: errorMessage, errorType, stackTrace. */
str durable_error_of(struct arena *a, str payload);

/* ---- durable_view.c ---- */

/* The operation as the API shows it, into an empty Operation. */
void durable_render_operation(struct arena *a, const struct durable_key *key,
	const struct durable_operation *op, struct value *out);
/* The execution as its own first operation. */
void durable_render_execution(const struct durable_execution *x, str input, struct value *out);
/*
 * The record of an event: an Event of the model, and apart from it the data it is about. Of the
 * execution itself input and result are not in it: they have records of their own.
 */
str durable_event_record(struct arena *a, const struct durable_execution *x,
	enum durable_event event, uint64_t event_id, const struct durable_operation *op,
	int64_t now_ms);
/* Of an invocation that ended; `error` JSON of an ErrorObject or empty. */
str durable_invocation_record(struct arena *a, const struct durable_execution *x, uint64_t event_id,
	str error, int64_t now_ms);
/*
 * Into an empty Event of an answer. `data`: with payloads, those of the execution itself being
 * `input` and `result` (STR_NULL: none). ERR_CORRUPT.
 */
must_use int durable_render_event(
	struct arena *a, str record, bool data, str input, str result, struct value *out);
/* JSON of an Operation, its times as ISO 8601: how an invocation's event has them. */
void durable_put_operation(struct json_writer *w, const struct value *operation);
/* The error object that a synchronous caller gets of an execution that did not succeed. */
str durable_error_payload(struct arena *a, const struct durable_execution *x);

#endif
