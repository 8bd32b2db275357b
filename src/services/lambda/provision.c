/*
 * The books of provisioned concurrency.
 */
#include "services/lambda/provision.h"

#include "base/arena.h"
#include "base/map.h"
#include "base/mem.h"
#include "services/lambda/quota.h"

#include <pthread.h>

enum { FAILURES_MAX = 3 }; /* in a row, before it is said to have failed */

struct provisions {
	pthread_mutex_t lock;
	struct map all;
	struct arena arena; /* keys */
};

struct provisions *provisions_new(void)
{
	struct provisions *p = mem_new(struct provisions);

	pthread_mutex_init(&p->lock, NULL);
	arena_init(&p->arena, SIZE_MAX);
	return p;
}

void provisions_free(struct provisions *p)
{
	if (!p)
		return;
	map_for_each(slot, &p->all) {
		struct provision *one = slot->value;

		quota_put(one->quota);
		mem_free(one);
	}
	map_done(&p->all);
	arena_done(&p->arena);
	pthread_mutex_destroy(&p->lock);
	mem_free(p);
}

struct provision *provision_of(struct provisions *p, str key)
{
	struct provision *one;

	pthread_mutex_lock(&p->lock);
	one = map_get(&p->all, key);
	if (!one) {
		one = mem_new(struct provision);
		one->key = arena_str(&p->arena, key);
		map_put(&p->all, one->key, one);
	}
	pthread_mutex_unlock(&p->lock);
	return one;
}

struct provision *provision_find(struct provisions *p, str key)
{
	struct provision *one;

	pthread_mutex_lock(&p->lock);
	one = map_get(&p->all, key);
	pthread_mutex_unlock(&p->lock);
	return one;
}

void provision_want(
	struct provisions *p, struct provision *one, struct quota *quota, unsigned count)
{
	unsigned before;

	pthread_mutex_lock(&p->lock);
	if (one->quota)
		quota_put(quota);
	else
		one->quota = quota;
	before = atomic_exchange(&one->wanted, count);
	atomic_store(&one->failures, 0);
	/* Here, so that of two at a time the books of the quota see the same order. */
	quota_provision(one->quota, (int)count - (int)before);
	pthread_mutex_unlock(&p->lock);
}

void provision_each(struct provisions *p, str prefix, void (*fn)(void *arg, str rest), void *arg)
{
	str *keys;
	size_t n = 0;

	pthread_mutex_lock(&p->lock);
	keys = mem_new_array(str, p->all.count + 1);
	map_for_each(slot, &p->all) {
		const struct provision *one = slot->value;

		if (atomic_load(&one->wanted) && str_starts(one->key, prefix))
			keys[n++] = str_from(one->key, prefix.n);
	}
	pthread_mutex_unlock(&p->lock);
	for (size_t i = 0; i < n; i++)
		fn(arg, keys[i]);
	mem_free(keys);
}

unsigned provision_share(const struct provision *p, unsigned k, unsigned loops)
{
	unsigned wanted = atomic_load(&p->wanted);

	return wanted / loops + (k < wanted % loops);
}

void provision_figures(const struct provision *p, struct provision_figures *ret)
{
	struct provision_figures f = {.requested = atomic_load(&p->wanted)};

	f.allocated = MIN(atomic_load(&p->allocated), f.requested);
	f.available = MIN(atomic_load(&p->available), f.requested);
	f.reason = STR_NULL;
	if (f.available >= f.requested) {
		f.status = PROVISION_READY;
	} else if (atomic_load(&p->failures) >= FAILURES_MAX) {
		f.status = PROVISION_FAILED;
		f.reason = STR("FUNCTION_ERROR_INIT_FAILURE");
	}
	*ret = f;
}
