/*
 * What the files of src/rt/ share: the runtime, its loops, its fibers, and the small table of
 * functions (struct rt_backend) by which the machine and its simulated twin differ. Nothing outside
 * src/rt/ includes this.
 *
 * Fibers, timers, waiting, messages and the waiting half of streams are common code. A backend
 * gives: time, the way a loop sleeps and is woken, who runs the loops, where pool jobs run, and
 * non-blocking byte channels that report readiness.
 *
 * A fiber never changes its thread, so thread-locals may be used on fibers. In the simulation one
 * thread plays all loops, hence `rt_loop_here` is read again after every suspension.
 */
#ifndef RT_INTERNAL_H
#define RT_INTERNAL_H

#include "base/check.h"
#include "base/mem.h"
#include "rt/rt.h"
#include "rt/stream.h"

#include <pthread.h>

#if defined(__SANITIZE_ADDRESS__)
#define RT_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define RT_ASAN 1
#endif
#endif
#ifndef RT_ASAN
#define RT_ASAN 0
#endif

/* --- fibers --------------------------------------------------------------------------------- */

enum fiber_state { FIBER_SPARE, FIBER_READY, FIBER_RUNNING, FIBER_WAITING, FIBER_ENDED };

/* The control block lives as long as the runtime; the stack may be given back while spare. */
struct rt_fiber {
	struct list link; /* ready queue, a wait queue, or the spare list */
	struct list live; /* loop->live */
	struct rt_loop *loop;
	void *sp;
	enum fiber_state state;
	bool cancelled;
	bool urgent; /* of rt_spawn_now() */
	int wait_rc;
	uint64_t id; /* of this use of the block */
	/* While waiting: takes the fiber out of what it waits in; false: too late, or not allowed.
	 */
	bool (*abandon)(struct rt_fiber *fiber);
	void *waits_in;
	struct rt_timer timer;
	struct rt_message wake; /* from another thread */
	const struct rt_label *label;
	rt_fiber_fn *fn;
	void *arg;
	char *stack; /* lowest usable byte; the guard page is below. NULL: none */
	size_t stack_bytes;
	void *asan_fake_stack;
};

/* Counters written by one thread and read by others. */
typedef _Atomic(uint64_t) rt_counter;
static inline void rt_count(rt_counter *c, int64_t by)
{
	atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + (uint64_t)by,
		memory_order_relaxed);
}

struct rt_heap_entry {
	int64_t at;
	struct rt_timer *timer;
};

struct rt_loop {
	struct rt *rt;
	unsigned index;
	void *sp; /* of the loop itself while a fiber runs */
	struct rt_fiber *current;
	struct list ready;
	size_t ready_count;
	struct list live;
	struct list spare, spare_bare; /* with and without a stack */
	size_t urgent_live;            /* of rt_spawn_now() */
	size_t spare_count, spare_low; /* low: the smallest count since the last trim */
	uint64_t fiber_id_last;
	struct rt_timer trim;
	int64_t turn_at;    /* rt_now() at the beginning of this turn */
	bool slept;         /* since then: turn_at is old */
	int64_t look_until; /* rt_look_until() */
	bool worked;        /* something else than timers has run since the last sleep */
	struct rt_heap_entry *heap;
	size_t heap_count, heap_capacity;
	struct list streams;
	struct rt_buffer *buffers;
	size_t buffers_spare;
	struct rt_message *pending, **pending_end; /* taken from the inbox, in order */
	void *slots[RT_SLOTS_MAX];
	uint64_t random_state[4];
	void *backend; /* the backend's own */
	struct rt_message stop_message;
	bool stop_seen;
	const void *asan_stack;
	size_t asan_stack_bytes;
	pthread_t thread;
	bool thread_started;
	struct {
		rt_counter fibers_started, fibers_refused, fibers_peak, connections_live,
			connections_accepted, connections_refused, buffers_live, switches, turns,
			messages, polls_found;
	} figures;

	/* What other threads write. */
	_Atomic unsigned shared_live; /* open streams that any loop could have accepted */
	_Alignas(64) _Atomic(struct rt_message *) inbox; /* newest first */
	_Atomic int sleeping;                            /* a poster must wake it */
	_Atomic(size_t) live_count;                      /* fibers, and those on their way here */
};

struct rt {
	struct rt_options options;
	const struct rt_backend *backend;
	struct rt_loop *loops; /* on cache line boundaries within loops_memory */
	void *loops_memory;
	unsigned loop_count;
	void *backend_data;
	_Atomic bool stopping;
	bool ran;
	unsigned slot_count;
	void (*slot_free[RT_SLOTS_MAX])(void *value);
	struct rt_pool *file_pool, *name_pool; /* made when first used */
	_Atomic(struct rt_pool *) pools;
	pthread_mutex_t lock; /* pools list, lazily made pools */
	void (*main_fn)(void *arg);
	void *main_arg;
};

/* The loop that this thread is, or plays at this moment; NULL on other threads. */
extern _Thread_local struct rt_loop *rt_loop_here;
/* The simulated runtime that this thread runs, also while it plays a pool's thread. */
extern _Thread_local struct rt *rt_sim_here;

static inline struct rt_loop *loop_here(void)
{
	struct rt_loop *l = rt_loop_here;

	check(l != NULL);
	return l;
}

static inline struct rt_fiber *fiber_here(void)
{
	struct rt_fiber *f = loop_here()->current;

	check(f != NULL); /* a callback must not suspend */
	return f;
}

/* fiber.c */
void fibers_init(struct rt_loop *l);
void fibers_done(struct rt_loop *l);
/* `reserved`: live_count was raised already, by rt_spawn_on(). */
int fiber_new(struct rt_loop *l, rt_fiber_fn *fn, void *arg, bool reserved, struct rt_fiber **ret);
/* Runs it until it suspends or ends. From the loop itself. */
void fiber_run(struct rt_loop *l, struct rt_fiber *f);
/* The next one ready, taken out; simulated: a random one. NULL: none. */
struct rt_fiber *fiber_next(struct rt_loop *l);
/* Suspends the calling fiber. abandon NULL: only fiber_wake() ends it. */
int fiber_wait(struct rt_fiber *f, int64_t deadline, bool (*abandon)(struct rt_fiber *), void *in);
bool fiber_abandon_always(struct rt_fiber *f);
/* From its own loop. */
void fiber_wake(struct rt_fiber *f, int rc);
/* From any thread, for a fiber that is certain to wait. */
void fiber_wake_anywhere(struct rt_fiber *f);
void fibers_cancel_all(struct rt_loop *l);

/* switch_asm.S, switch.c */
void *switch_prepare(void *stack_low, size_t bytes, void (*entry)(void));
void rt_switch(void **ret_saved_sp, void *to_sp);

/* timer.c */
void timer_set_on(struct rt_loop *l, struct rt_timer *t, int64_t deadline);
void timer_stop_on(struct rt_loop *l, struct rt_timer *t);
/* RT_NEVER: none. May be earlier than any deadline. */
static inline int64_t timers_next(const struct rt_loop *l)
{
	return l->heap_count ? l->heap[0].at : RT_NEVER;
}
/* Runs at most `max` entries that are due; how many were looked at. */
size_t timers_run(struct rt_loop *l, int64_t now, size_t max);

/* loop.c */
bool loop_take_messages(struct rt_loop *l); /* inbox -> pending; true when some are pending */
void loop_run_message(struct rt_loop *l);   /* the first pending one */
bool loops_finished(const struct rt *rt);
void loop_fiber_ended(struct rt_loop *l);
uint64_t random_next(uint64_t state[4]);
void random_init(uint64_t state[4], uint64_t seed);
struct rt_pool *rt_pool_lazy(struct rt *rt, struct rt_pool **place, const char *name,
	unsigned threads, unsigned queue_max);

/* pool.c */
struct pool_job {
	struct list link;
	struct rt_pool *pool;
	void (*fn)(void *arg);
	void *arg;
	struct rt_event done;
	struct rt_timer timer; /* simulated */
	struct rt_loop *loop;  /* simulated */
	bool queued;
};
struct rt_pool {
	struct rt *rt;
	struct rt_pool *next;
	char name[16];
	unsigned threads_max, queue_max;
	pthread_mutex_t lock;
	pthread_cond_t more;
	struct list jobs;
	unsigned queued, idle, started, running;
	uint64_t jobs_done, refused;
	bool ending;
	pthread_t *threads;
};
void pools_free(struct rt *rt);

/* crash.c */
void crash_thread_init(void);
void crash_thread_done(void);

/* stream.c */

/* A byte channel that never blocks. Results as rt_stream_try_*(). */
struct rt_stream_ops {
	int (*try_read)(struct rt_stream *s, void *to, size_t n);
	int (*try_write)(struct rt_stream *s, const struct iovec *parts, unsigned n);
	int (*shutdown)(struct rt_stream *s);
	/* rt_stream_ready() is called, level-triggered, while these RT_* bits hold. */
	void (*want)(struct rt_stream *s, unsigned events);
	void (*abort)(struct rt_stream *s);
	void (*close)(struct rt_stream *s); /* frees */
};

struct rt_stream {
	const struct rt_stream_ops *ops;
	struct rt_loop *loop;
	struct list link; /* loop->streams */
	struct rt_fiber *reader, *writer;
	rt_readable_fn *on_readable;
	void *readable_arg;
	void *tag;
	struct rt_tls_session *tls;
	struct rt_address peer, local;
	uint8_t wanted; /* RT_* bits given to ops->want */
	bool drained;   /* the last read took all there was: wait before the next */
	bool aborted;
	bool accepted;        /* counts as a connection */
	bool shared;          /* counts in its loop's shared_live */
	unsigned *open_count; /* of its listener, NULL: not counted there */
	bool local_known;
};

void stream_init(struct rt_stream *s, const struct rt_stream_ops *ops, struct rt_loop *l);
/* From ops->close: takes it off the loop. */
void stream_done(struct rt_stream *s);
/* From the backend, outside fibers. The stream may be gone afterwards. */
void rt_stream_ready(struct rt_stream *s, unsigned events);
/* A new connection: counted and given to the callback, or refused at the cap. */
void stream_accepted(struct rt_stream *s, const struct rt_listen_options *o);
/* Waits as the raw stream does, whatever TLS is on it. */
int stream_wait(struct rt_stream *s, unsigned event, int64_t deadline);

/* The part of a listener on one loop. */
struct rt_listener_part {
	struct rt_listener *listener;
	struct rt_loop *loop;
	void *backend;
	bool serves; /* between start and stop, on its loop */
};

struct rt_listener {
	struct rt *rt;
	struct rt_listen_options options; /* address and fd are not kept */
	struct rt_address address;
	int fd; /* -1: none */
	unsigned part_count;
	struct rt_listener_part parts[];
};

/* --- backends ------------------------------------------------------------------------------- */

struct rt_backend {
	int (*init)(struct rt *rt);
	void (*done)(struct rt *rt);
	int (*run)(struct rt *rt); /* all loops, to their end */
	int64_t (*now)(struct rt *rt);
	int64_t (*wall)(struct rt *rt);
	void (*wake)(struct rt_loop *l); /* any thread */
	void (*random_bytes)(struct rt *rt, void *to, size_t n);
	/* Takes the job; later its event is set. Called with the pool locked. */
	void (*pool_submit)(struct rt_pool *p, struct pool_job *job);
	bool (*pool_withdraw)(struct rt_pool *p, struct pool_job *job); /* pool locked */
	void (*pool_stop)(struct rt_pool *p);

	/* Opens what listens (may suspend); fills parts and address, and starts none. */
	int (*listen_open)(const struct rt_listen_options *o, struct rt_listener *listener);
	/* On the part's own loop. */
	int (*listen_start)(struct rt_listener_part *part);
	void (*listen_stop)(struct rt_listener_part *part);
	void (*listen_close)(struct rt_listener *listener);
	int (*connect)(str address, int64_t deadline, struct rt_stream **ret_stream);
	int (*resolve)(str host, uint16_t port, int64_t deadline, struct rt_address *ret_addresses,
		unsigned max);
	int (*pair)(struct rt_stream **ret_a, struct rt_stream **ret_b);
};
extern const struct rt_backend rt_backend_real, rt_backend_simulated;

#endif
