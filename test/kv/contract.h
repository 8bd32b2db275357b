/*
 * The contract suite of kv.h: every engine runs all of it. Each case runs in a fiber with an open,
 * empty store; it reports through EXPECT. `wild` says that the store may answer ERR_IO with the
 * outcome unknown (the fault twin); `seed` makes each run another one.
 */
#ifndef TEST_KV_CONTRACT_H
#define TEST_KV_CONTRACT_H

#include "kv/kv.h"
#include "rt/rt.h"
#include "test/test.h"

struct contract {
	struct kv *kv;
	uint64_t seed;
	unsigned fibers, rounds; /* how hard */
	bool wild;
	void (*calm)(struct contract *c); /* stops the faults, before a last look; may be NULL */
	bool latches; /* declared keys exclude others, not only conflict with them */
};

/* --- tools of the cases ---------------------------------------------------------------------- */

struct case_group {
	struct rt_event done;
	_Atomic unsigned left;
};
/* Starts n fibers, spread over the loops, with args + i * arg_bytes, and waits until each has left.
 */
mayyield void case_group_run(
	struct case_group *g, rt_fiber_fn *fn, void *args, size_t arg_bytes, unsigned n);
void case_group_leave(struct case_group *g);

struct dice {
	uint64_t x;
};
struct dice dice_of(uint64_t seed, uint64_t which);
uint64_t dice_next(struct dice *r);
unsigned dice_below(struct dice *r, unsigned n);

/* "space/000012" */
str case_key(struct arena *a, const char *space, unsigned i);
uint64_t case_be64(const char *p);
str case_be64_of(struct arena *a, uint64_t v);
bool outcome_unknown(int rc);

/* The cases by themselves, for the table. */
#define CONTRACT_CASE(name, tame) mayyield void contract_##name(struct contract *c);
#include "test/kv/contract.def"
#undef CONTRACT_CASE

/*
 * Runs every case, each in a runtime of its own, on a store that open_kv opens (with arg and the
 * seed) and that is closed behind it. A wild store is a fault twin.
 */
struct contract_engine {
	const char *name;
	bool simulated, latches, wild;
	unsigned loops;
	mayyield int (*open_kv)(void *arg, uint64_t seed, struct kv **ret_kv);
	void *arg;
	unsigned fibers, rounds;
};
void contract_run(struct contract_engine *engine, uint64_t seed);

#endif
