/*
 * The runtime: event loops with fibers on them, and what fibers wait for.
 *
 * One loop per thread. A fiber is a call stack of its own that belongs to the loop it was started
 * on and runs only there; between two suspensions it has the loop for itself, so objects of one
 * loop need no locks. Code that is called by the loop outside any fiber (timers, messages, accept
 * and readable callbacks) may do everything but suspend.
 *
 * Everything above src/rt/ reaches time, threads, network and files only through this layer, so
 * that the simulated twin (RT_SIMULATED: one thread, virtual clock, seeded order, in-memory
 * network; rt/sim.h) can replace the machine. Streams are in rt/stream.h, files in rt/file.h, TLS
 * in rt/tls.h, the crash report in rt/crash.h.
 *
 * Waiting: every wait takes an absolute deadline in ns of rt_now() (RT_NEVER: none) and returns 0,
 * ERR_TIMEOUT or ERR_CANCELLED. A suspended fiber is never destroyed: cancelling and stopping make
 * its pending and later waits return ERR_CANCELLED, and ordinary unwinding frees what it holds.
 *
 * Threading: a function belongs to the calling loop unless it says "any thread".
 */
#ifndef RT_RT_H
#define RT_RT_H

#include "base/list.h"
#include "base/rc.h"
#include "base/str.h"

#include <stdatomic.h>
#include <stdint.h>

struct rt;
struct rt_fiber;
struct rt_pool;
struct rt_sim_options;

#define RT_NEVER INT64_MAX
#define RT_NS_US INT64_C(1000)
#define RT_NS_MS INT64_C(1000000)
#define RT_NS_S  INT64_C(1000000000)

/* --- the runtime ---------------------------------------------------------------------------- */

enum rt_mode { RT_REAL, RT_SIMULATED };

struct rt_options {
	enum rt_mode mode;
	unsigned loops;                   /* 1..RT_LOOPS_MAX; 0: 1 */
	unsigned fibers_max;              /* per loop; 0: 10,000 */
	unsigned connections_max;         /* accepted streams per loop; 0: 10,000 */
	unsigned file_threads;            /* of the file pool (rt/file.h); 0: 4 */
	unsigned busy_poll_us;            /* looked for work before a loop sleeps; 0: not at all */
	size_t stack_bytes;               /* of a fiber; 0: 64 KiB (more under AddressSanitizer) */
	uint64_t seed;                    /* simulated: everything random follows from it */
	const struct rt_sim_options *sim; /* simulated: rt/sim.h; NULL: defaults */
};

enum { RT_LOOPS_MAX = 64, RT_SLOTS_MAX = 64 };

must_use int rt_new(const struct rt_options *options, struct rt **ret_rt);
/* Not while rt_run() runs. Frees pools that are left; their queues are empty by then. */
void rt_free(struct rt *rt);
/*
 * Runs the loops (loop 0 on the calling thread) with main_fn as a fiber of loop 0, until rt_stop()
 * was called and every fiber has ended. Returns 0. Simulated: ERR_TIMEOUT when nothing can ever run
 * again although fibers wait (a deadlock; their labels are logged), or past the limit of virtual
 * time. A runtime runs once.
 */
must_use int rt_run(struct rt *rt, void (*main_fn)(void *arg), void *arg);
/*
 * Any thread. Begins the end: cancels every fiber, and new ones are refused (ERR_CANCELLED).
 * Whoever wants to drain does it before.
 */
void rt_stop(struct rt *rt);
bool rt_stopping(const struct rt *rt);

/* The runtime of the calling loop; NULL on a thread that is no loop (a pool's, a test's). */
struct rt *rt_self(void);
/* Index of the calling loop, 0..loops - 1. */
unsigned rt_loop_index(void);
unsigned rt_loop_count(const struct rt *rt);
bool rt_simulated(const struct rt *rt);

/*
 * Loop-local pointers: one slot number for all loops, taken at start (before rt_run), a value per
 * loop, NULL at first. `free_value` (may be NULL) is called on each loop's value in rt_free().
 */
unsigned rt_slot_new(struct rt *rt, void (*free_value)(void *value));
/* Where the calling loop keeps its value. Not to be kept over a suspension. */
void **rt_slot(unsigned slot);

/* --- fibers --------------------------------------------------------------------------------- */

typedef void rt_fiber_fn(void *arg);

/* Starts a fiber on the calling loop; it runs later in this turn. ERR_BUSY at the cap. */
must_use int rt_spawn(rt_fiber_fn *fn, void *arg);
/* As rt_spawn(), but outside a fiber it runs at once, up to its first suspension, before this
 * returns: for callbacks with a request in hand. */
must_use int rt_spawn_now(rt_fiber_fn *fn, void *arg);
/* Any thread. The cap is looked at now, so under a race a few more may start. */
must_use int rt_spawn_on(struct rt *rt, unsigned loop, rt_fiber_fn *fn, void *arg);

/* Lets the others run. ERR_CANCELLED once cancelled. */
must_use mayyield int rt_yield(void);
/*
 * Before work that nobody waits for: when the loop has nothing else to do, whoever was woken on its
 * core goes first (the client that just got its answer). Does not suspend the fiber.
 */
void rt_step_aside(void);
/*
 * Something that this loop waits for will probably come before `deadline`: until then it looks for
 * it when it has nothing to do, and does not sleep. Others on its core go first. 0: it has come.
 */
void rt_look_until(int64_t deadline);
mayyield must_use int rt_sleep_until(int64_t deadline);

/* NULL outside fibers. The pointer stays valid memory for the life of the runtime, but is used
 * again for later fibers: keep the id with it. */
struct rt_fiber *rt_fiber_self(void);
uint64_t rt_fiber_id(const struct rt_fiber *fiber);
/* Cancels the fiber, if it is still the one with this id: see the head of this file. Own loop. */
void rt_fiber_cancel(struct rt_fiber *fiber, uint64_t id);
bool rt_cancelled(void);

/*
 * Who this fiber works for: shown in the crash report and, by whoever logs, in log lines. The
 * structure is borrowed until the fiber ends or sets another; NULL: none.
 */
struct rt_label {
	str request_id, operation, account;
};
void rt_label_set(const struct rt_label *label);
const struct rt_label *rt_label(void);

/* --- time ----------------------------------------------------------------------------------- */

/* Any thread. Monotonic ns; simulated: virtual, and only a loop's thread may ask. */
int64_t rt_now(void);
/*
 * The time at which this turn of the loop began, or at which it was asked for first after the loop
 * has slept in it: free of cost, good for time-outs.
 */
int64_t rt_now_coarse(void);
/* Any thread. Nanoseconds since 1970; simulated: starts at a fixed date. */
int64_t rt_wall(void);

static inline int64_t rt_after_ms(int64_t ms)
{
	return rt_now() + ms * RT_NS_MS;
}

/* Calls back on its loop, outside fibers. Setting it again is cheap, above all to a later time. */
struct rt_timer {
	int64_t deadline;  /* RT_NEVER: not set */
	int64_t queued_at; /* the rest is private */
	size_t place;
	void (*fn)(struct rt_timer *timer);
};
void rt_timer_init(struct rt_timer *timer, void (*fn)(struct rt_timer *timer));
void rt_timer_set(struct rt_timer *timer, int64_t deadline);
/* Harmless when not set. Needed before its memory goes. */
void rt_timer_stop(struct rt_timer *timer);

/* Random, not secret; simulated: from the seed. */
uint64_t rt_random(void);
/* Any thread when real. Fit for keys and tokens; simulated: from the seed. */
void rt_random_bytes(void *to, size_t n);

/* --- waiting -------------------------------------------------------------------------------- */

/*
 * A latch that one fiber waits for and anybody sets: the way back from other threads. Setting it
 * many times before the wait is like once. Wakes of one burst cost the target loop one interrupt.
 * The event may live on the waiting fiber's stack: rt_event_set() does not touch it after the
 * waiter can return.
 */
struct rt_event {
	_Atomic(uintptr_t) state; /* 0, 1 (set), or the waiting fiber */
};
static inline void rt_event_init(struct rt_event *event)
{
	atomic_init(&event->state, 0);
}
/* Any thread. */
void rt_event_set(struct rt_event *event);
/* Takes the set state away and returns 0. One waiter at a time. */
must_use mayyield int rt_event_wait(struct rt_event *event, int64_t deadline);
/*
 * As above, but neither cancel nor stop ends it: for somebody else who still uses our memory
 * (a committer that holds our batch). That other side must be sure to set it.
 */
mayyield void rt_event_wait_sure(struct rt_event *event);

/* Fibers of one loop that wait for a condition, first come, first served. */
struct rt_waitq {
	struct list waiters;
};
void rt_waitq_init(struct rt_waitq *q);
must_use mayyield int rt_waitq_wait(struct rt_waitq *q, int64_t deadline);
/* How many were woken: 0 or 1. */
unsigned rt_waitq_wake_one(struct rt_waitq *q);
unsigned rt_waitq_wake_all(struct rt_waitq *q);
static inline bool rt_waitq_empty(const struct rt_waitq *q)
{
	return list_empty(&q->waiters);
}

/* A bounded queue of pointers between fibers of one loop. */
struct rt_channel {
	struct rt_waitq senders, receivers;
	void **items;
	size_t first, count, capacity;
	bool closed;
};
void rt_channel_init(struct rt_channel *channel, size_t capacity);
/* Nobody waits any more. Items left are the owner's: take them out before. */
void rt_channel_done(struct rt_channel *channel);
/* Waits while full. ERR_CLOSED after rt_channel_close(). */
must_use mayyield int rt_channel_send(struct rt_channel *channel, void *item, int64_t deadline);
/* Waits while empty. ERR_CLOSED when closed and empty. */
must_use mayyield int rt_channel_receive(
	struct rt_channel *channel, int64_t deadline, void **ret_item);
/* Without waiting; false when full or closed. */
bool rt_channel_try_send(struct rt_channel *channel, void *item);
void rt_channel_close(struct rt_channel *channel);

/* --- messages ------------------------------------------------------------------------------- */

/* Embedded in what is sent; free to use again once fn was called. */
struct rt_message {
	struct rt_message *next;
	void (*fn)(struct rt_message *message);
};
/* Any thread. fn runs on that loop, outside fibers; messages of one sender keep their order. */
void rt_post(struct rt *rt, unsigned loop, struct rt_message *message);

/* --- pools ---------------------------------------------------------------------------------- */

/*
 * A named, bounded set of threads for blocking work (STYLE 24). Threads start when first needed,
 * have 1 MiB of stack, and run no fibers. Simulated: no threads; each job runs at a random later
 * virtual time, at most `threads` overlapping. Any thread, before or while rt_run() runs.
 */
must_use int rt_pool_new(struct rt *rt, const char *name, unsigned threads, unsigned queue_max,
	struct rt_pool **ret_pool);
/* After its last job; joins the threads. */
void rt_pool_free(struct rt_pool *pool);
/*
 * Suspends the fiber until fn(arg) has run on a pool thread: 0. ERR_BUSY when the queue is full.
 * ERR_TIMEOUT and ERR_CANCELLED only while the job has not begun; then fn is never called. Once
 * begun, it is waited for, because it uses the fiber's memory: fn bounds its own time.
 */
must_use mayyield int rt_pool_run(
	struct rt_pool *pool, void (*fn)(void *arg), void *arg, int64_t deadline);

/* --- figures -------------------------------------------------------------------------------- */

/* Sums over all loops; approximate while they run. Any thread. */
struct rt_figures {
	uint64_t fibers_live, fibers_started, fibers_refused, fibers_peak;
	uint64_t stacks_spare;
	uint64_t connections_live, connections_accepted, connections_refused;
	uint64_t buffers_live; /* rt_buffer, rt/stream.h */
	uint64_t switches, turns, messages, timers_live;
	uint64_t polls_found; /* looks before a sleep (busy_poll_us) that found work */
	uint64_t pool_jobs, pool_refused, pool_waiting;
};
void rt_figures(const struct rt *rt, struct rt_figures *ret_figures);

#endif
