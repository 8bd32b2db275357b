/*
 * The wait for requests in flight.
 */
#include "services/dynamodb/flight.h"

#include "base/rc.h"

enum { LOOK_MS = 10 };

static unsigned writers_of(struct flights *all, unsigned generation)
{
	unsigned n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(all->loop); i++)
		n += atomic_load(&all->loop[i].writers[generation & 1]);
	return n;
}

static int wait_for_all(struct flights *all, const _Atomic bool *stopping)
{
	/*
	 * Twice, because a writer may have read the generation long before it counted itself: it
	 * then stands among those of the generation that comes next.
	 */
	for (int turn = 0; turn < 2; turn++) {
		unsigned before = atomic_fetch_add(&all->generation, 1);

		while (writers_of(all, before)) {
			if (atomic_load(stopping))
				return ERR_CANCELLED;
			TRY(rt_sleep_until(rt_after_ms(LOOK_MS)));
		}
	}
	return 0;
}

int flights_wait(struct flights *all, const _Atomic bool *stopping)
{
	int rc;

	while (atomic_exchange(&all->waited_for, true)) {
		if (atomic_load(stopping))
			return ERR_CANCELLED;
		TRY(rt_sleep_until(rt_after_ms(LOOK_MS)));
	}
	rc = wait_for_all(all, stopping);
	atomic_store(&all->waited_for, false);
	return rc;
}
