/*
 * What the files of the engine share: mapping_engine.c (engine and runs), mapping_reader.c
 * (shards), mapping_process.c (batches), mapping_mark.c (what was present at crashes). See
 * mapping_engine.h.
 */
#ifndef SERVICES_LAMBDA_MAPPING_INTERNAL_H
#define SERVICES_LAMBDA_MAPPING_INTERNAL_H

#include "base/list.h"
#include "rt/rt.h"
#include "services/lambda/mapping_batch.h"
#include "services/lambda/mapping_engine.h"

enum {
	MAPPING_KV_MS = 30000,
	MAPPING_PAUSE_MS = 500, /* the first one; doubled up to */
	MAPPING_PAUSE_MS_MAX = 60000,
	/* Records of a closed window may become visible a moment after its end. */
	MAPPING_WINDOW_GRACE_MS = 1000
};

/* Of one loop; only that loop touches it. */
struct mapping_loop {
	size_t used_bytes; /* batches in memory */
	struct rt_waitq room;
};

struct mapping_engine {
	struct mapping_engine_options options;
	struct kv *kv;
	uint64_t boot; /* random, of this engine */
	struct mapping_loop loops[RT_LOOPS_MAX];
	struct rt_event wake, stopped;
	_Atomic bool stopping;
	_Atomic unsigned readers, runs_live;
	bool started;
	struct list runs; /* the engine's fiber's */
	unsigned run_count, next_loop;
};

struct mapping_run {
	struct list link;
	struct mapping_engine *engine;
	struct arena arena; /* of what follows */
	str account, region, uuid;
	uint64_t revision;
	struct mapping_settings settings;
	const struct port_records *port;
	_Atomic bool stopping;  /* set by the engine */
	_Atomic bool ready;     /* starting positions are durable */
	_Atomic bool ended;     /* the last thing that the run's loop does */
	struct rt_event change; /* for the run: a reader has ended, or stopping */
	/* Only its loop, from here. */
	struct list readers;
	const char *result; /* last LastProcessingResult */
};

struct mapping_reader {
	struct list link;
	struct mapping_run *run;
	struct mapping_loop *loop;
	struct rt_waitq wake; /* ends pauses */
	struct buf shard, position;
	/* The tumbling window: 0, or when it began; its state is a JSON object. */
	int64_t window_ms;
	struct buf state;
	bool early; /* its state became too large */
	/* What begins at `position` was present at so many crashes; with CRASHES_MAX of them the
	 * next `aside` records, up to the one with this sequence, or the end of the window, are put
	 * aside. */
	uint32_t crashes, aside;
	struct buf aside_last;
	bool aside_window;
	bool unwritten; /* `position` is ahead of the store */
	int64_t written_at;
	bool done, ended;
};

/* A batch per lane, in one. All in its arena. */
struct mapping_round {
	struct arena arena;
	struct record_of_source *records;
	size_t count, capacity, bytes;
	str position; /* behind all of it, and behind what was filtered out after the last one */
	bool end;     /* the shard has no more */
	size_t room;  /* taken of the loop's */
	/* While it is processed: which records are through, up to where that is durable. */
	bool *through;
	size_t written;
	bool writing;
	unsigned lanes_left;
	struct rt_event lanes_done;
};

static inline bool mapping_stopping(const struct mapping_run *run)
{
	return atomic_load(&run->stopping) || rt_cancelled();
}

/* Waits a while that grows with `times` (from 1), or until the run stops: ERR_CANCELLED. */
must_use int mapping_pause(struct mapping_reader *r, unsigned times) mayyield;
/* LastProcessingResult: written when it changes. */
void mapping_say(struct mapping_run *run, const char *result) mayyield;
/* Adds to a metric of the mapping (MetricsConfig EventCount); 0 adds nothing. */
void mapping_count(struct mapping_run *run, const char *name, size_t value);

/* ---- mapping_reader.c ---- */

/* The fiber. Frees nothing: the run does, when it sees `ended`. */
void mapping_reader_fiber(void *arg);
/*
 * Makes the reader's position durable, with `position` (STR_NULL: it stays). Tries until it works
 * or the run stops: ERR_CANCELLED.
 */
must_use int mapping_write_position(struct mapping_reader *r, str position) mayyield;

/* ---- mapping_mark.c ---- */

/* For the reader's position: what does its mark say? */
must_use int mapping_take_mark(struct mapping_reader *r) mayyield;
/*
 * Says durably that the round (NULL: the end of the window) is begun. Tries until it works or the
 * run stops: ERR_CANCELLED.
 */
must_use int mapping_begin(struct mapping_reader *r, const struct mapping_round *round) mayyield;
/* It is through (0), or was left in between (< 0). */
void mapping_end(struct mapping_reader *r, int rc) mayyield;
/* Gives up those of the round that have been present at too many crashes, and moves on. */
must_use int mapping_put_aside(struct mapping_reader *r, struct mapping_round *round) mayyield;

/* ---- mapping_process.c ---- */

/* Processes all records of a round: 0, or ERR_CANCELLED. */
must_use int mapping_process(struct mapping_reader *r, struct mapping_round *round) mayyield;
/* Calls the function with the end of the open window until it succeeds, and closes it. */
must_use int mapping_close_window(struct mapping_reader *r) mayyield;
/* Records are given up: logged, counted, told to the on-failure destination. */
void mapping_lose(struct mapping_reader *r, const struct record_of_source *const *records,
	size_t count, const char *condition, unsigned invocations) mayyield;
/* How many bytes of records fit into an event of this reader. */
size_t mapping_event_room(const struct mapping_reader *r);

#endif
