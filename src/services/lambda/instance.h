/*
 * One instance of a function: a container, its Runtime API, and what it is doing.
 *
 * Belongs to the loop that made it; all functions are called there. Nothing here suspends but
 * starting, running, and the end, each in a fiber of its own or the caller's: a time-out, a crash
 * or a kill is handled where it is noticed. An instance is freed when its container is gone and no
 * fiber works with it any more (references).
 */
#ifndef SERVICES_LAMBDA_INSTANCE_H
#define SERVICES_LAMBDA_INSTANCE_H

#include "base/list.h"
#include "rt/aside.h"
#include "rt/rt.h"
#include "sandbox/sandbox.h"
#include "services/lambda/extension.h"
#include "services/lambda/instance_state.h"
#include "services/lambda/lambda.h"
#include "services/lambda/scheduler.h"
#include "services/lambda/trace.h"

struct code_pin;
struct http_exchange;
struct log_feed;
struct rt_listener;
struct rt_stream;
struct run_failure;
struct snapshot_job;
struct telemetry;

#define INSTANCE_MAGIC 0x696e7374u

/* A runtime that waits in GET next: on its handler's stack. */
struct instance_poll {
	struct http_exchange *exchange;
	struct rt_event event;
	bool answered; /* somebody answers the exchange */
};

/* The event that it works on. */
struct instance_run {
	bool active;
	char request_id[40];
	size_t request_id_bytes;
	int64_t start_ns, init_ns;
	int64_t first_ns;          /* its response began, for those who are told; 0: not */
	int64_t done_ns;           /* the runtime's part was over; 0: it is not */
	struct invocation *waiter; /* NULL: the caller is gone, or has its answer */
	bool answered;             /* by the runtime; extensions still work on it */
	bool failed;               /* it was an error */
	enum quota_place place;    /* where it is counted */
	struct run_trace trace;
};

struct instance {
	uint32_t magic;
	unsigned refs;
	struct lambda_service *service;
	struct shard *shard;
	struct entry *entry; /* until it is released */
	struct function_ref *function;
	struct quota *quota;
	struct list idle_link; /* in entry->idle */
	struct list all_link;  /* in the shard */
	bool listed;
	uint64_t number; /* of shard_number_new() */
	enum instance_state state;

	struct sandbox_container *container;
	struct code_pin *pin, *layers[FUNCTION_LAYERS_MAX];
	struct code_pin **image;                       /* of a container image: its layers */
	struct rt_listener *listeners[LAMBDA_LISTENS]; /* by enum lambda_listen; NULL: not there */
	unsigned *connections;                         /* open ones, of the same */
	struct rt_datagrams *resolver;
	unsigned questions; /* of its resolver, that others are asked */
	struct rt_stream *output, *telemetry, *extension_output;
	struct log_feed *feed;
	bool frozen;  /* ... for sure */
	bool thawing; /* given away: done, or about to be */
	struct rt_aside_job thaw_job;
	int64_t woken_ns; /* what the last run behind a thaw took */
	bool pooled, ending, container_ended, starting;
	bool provisioned; /* kept ready: not given up for being idle */
	bool restored;    /* it goes on from a snapshot */
	bool receiving;   /* the image of its own */
	/* It is there to be kept as a snapshot, and serves nobody; NULL when that is over. */
	struct snapshot_job *job;
	bool snapshotting;

	struct extensions *extensions; /* NULL: none */
	enum shutdown_reason shutdown_reason;
	int64_t shutdown_wall_ms; /* 0: it is not shutting down */
	struct rt_message exit_message;
	struct telemetry *subscribers; /* NULL: none */
	bool asking;                   /* a request to the sandbox is under way: one at a time */
	/* Fibers that use the container: it is freed when none does. */
	unsigned holders;
	struct rt_event unheld;

	struct instance_poll *poll; /* state IDLE */
	struct rt_event poll_event; /* a poll came while somebody waits for it */
	bool poll_wanted;
	bool books_open; /* of a run whose caller has its answer: no event until they are written */
	struct instance_run run;
	int64_t born_ns, started_ns, init_ns; /* init_ns < 0: reported already */
	int64_t idle_ns;
	struct rt_timer timer;        /* of init or the run */
	struct rt_timer freeze_timer; /* idle for a moment */
	struct rt_message end_message;
	bool phase_invoke; /* init is repeated inside the invocation, with its time-out */
	bool log_queued;   /* in the shard's list of feeds with lines; holds a reference */
	struct list log_link;
	uint64_t memory_reserved;
};

/*
 * Begins a new one in a fiber of its own. The entry's `starting` and the reservation are counted by
 * the caller. ERR_BUSY when no fiber can be had.
 */
enum instance_kind {
	INSTANCE_ON_DEMAND,
	INSTANCE_PROVISIONED,
	INSTANCE_SNAPSHOT, /* to be kept as a snapshot, for `job`; else that is NULL */
	/* A first one did not finish its init phase in 10 s; this one has the function's time-out.
	 */
	INSTANCE_SECOND
};
must_use int instance_begin(struct entry *e, uint64_t memory_reserved, enum instance_kind kind,
	struct snapshot_job *job);
/*
 * Gives it the event and waits for the answer. The instance was taken off the idle list. ERR_BUSY:
 * it could not take the event (it has just ended, or does not ask for work): try another.
 */
must_use int instance_run(struct instance *i, struct invocation *inv) mayyield;
/*
 * A request for it is probably coming: thaws it beside what the loop does meanwhile. When none
 * comes it is frozen again as after a run. Not to suspend. (freeze.c)
 */
void instance_expect(struct instance *i);
/*
 * Kills it: what runs in it fails as a crash does. Extensions are told, and have their time for
 * the shutdown phase. Harmless when it has ended.
 */
void instance_kill(struct instance *i);

/* While held, the container stays, dead or alive; end soon once `ending` is set. */
void instance_hold(struct instance *i);
void instance_let(struct instance *i);

static inline void instance_ref(struct instance *i)
{
	i->refs++;
}
void instance_unref(struct instance *i);

/* ---- what the Runtime API reports (runtime_api.c) ---- */

/* Is the event legal now? Then the state has changed. */
bool instance_step(struct instance *i, enum instance_event event);
/* The runtime asks for work and has parked `poll`. After INSTANCE_NEXT. */
void instance_polled(struct instance *i, struct instance_poll *poll);
/*
 * The answer to the run: function_error STR_NULL for success. After _RESPONSE or _ERROR. When it
 * returns the caller has had its turn to send it on.
 */
mayyield void instance_answered(struct instance *i, str function_error, str payload);
/* The answer cannot be taken: too large, cut short. After _RESPONSE. */
mayyield void instance_answered_badly(struct instance *i, const struct run_failure *failure);
/* Init failed: the error's payload and type. After _INIT_ERROR. */
void instance_init_failed(struct instance *i, str payload, str type);
/* Its snapshot has been taken: init is over. */
void instance_snapshot_taken(struct instance *i);
/* An extension asks for the next event, parked. */
void instance_extension_polled(struct instance *i) mayyield;
/* An extension reports that it cannot go on: of type Extension.InitError or Extension.ExitError. */
void instance_extension_failed(struct instance *i, str type, str reason);

#endif
