/*
 * Which requests may still write to a table that has been deleted meanwhile.
 *
 * A request that will write takes part (flight_enter) before it looks its table up, and leaves when
 * its commit has ended. The sweep of a deleted table removes the items, waits until everybody has
 * left who was there before, and removes what they have added: nobody who came later can have found
 * the table. The counters are one per loop, so a request touches no memory that other loops write;
 * two generations of them, so that the wait ends under load.
 *
 * One process: with several nodes on one store each would have to ask the others.
 */
#ifndef DYNAMODB_FLIGHT_H
#define DYNAMODB_FLIGHT_H

#include "rt/rt.h"

#include <stdatomic.h>

enum { FLIGHT_CACHE_LINE = 64 };

struct flight_loop {
	_Alignas(FLIGHT_CACHE_LINE) _Atomic unsigned writers[2];
};

/* All zero at first. */
struct flights {
	_Atomic unsigned generation;
	_Atomic bool waited_for; /* one wait at a time: each needs both generations */
	struct flight_loop loop[RT_LOOPS_MAX];
};

/* Of one request: its counter. */
struct flight {
	_Atomic unsigned *writers; /* NULL: takes no part */
};

static inline struct flight flight_enter(struct flights *all)
{
	struct flight_loop *own = &all->loop[rt_loop_index()];
	_Atomic unsigned *writers = &own->writers[atomic_load(&all->generation) & 1];

	atomic_fetch_add(writers, 1);
	return (struct flight){writers};
}

/* In the fiber that has entered. An all-zero flight is fine; flight_leave for cleanup(). */
static inline void flight_leave(struct flight *f)
{
	if (f->writers)
		atomic_fetch_sub(f->writers, 1);
	f->writers = NULL;
}

/* Waits for all who entered before the call, unless *stopping becomes true: then ERR_CANCELLED. */
must_use mayyield int flights_wait(struct flights *all, const _Atomic bool *stopping);

#endif
