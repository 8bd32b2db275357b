/*
 * The table of kept sessions.
 */
#include "services/lambda/credentials.h"

#include "aws/ports/identity.h"
#include "aws/ports/ports.h"
#include "base/map.h"
#include "base/mem.h"
#include "rt/rt.h"
#include "services/lambda/limits.h"

#include <pthread.h>

struct kept {
	struct arena arena; /* of what follows */
	str key;
	struct credentials_values values;
	int64_t expires_ms;
};

struct credentials {
	struct ports *ports;
	pthread_mutex_t lock; /* of kept; never held over a suspension */
	struct map kept;
};

struct credentials *credentials_new(struct ports *ports)
{
	struct credentials *c = mem_new(struct credentials);

	c->ports = ports;
	pthread_mutex_init(&c->lock, NULL);
	return c;
}

static void kept_free(struct kept *k)
{
	if (!k)
		return;
	arena_done(&k->arena);
	mem_free(k);
}

void credentials_free(struct credentials *c)
{
	if (!c)
		return;
	map_for_each(slot, &c->kept)
		kept_free(slot->value);
	map_done(&c->kept);
	pthread_mutex_destroy(&c->lock);
	mem_free(c);
}

static struct credentials_values copy(struct arena *a, struct credentials_values v)
{
	return (struct credentials_values){arena_str(a, v.access_key), arena_str(a, v.secret_key),
		arena_str(a, v.session_token)};
}

/* A copy of what is kept and lives long enough. */
static bool find(struct credentials *c, struct arena *a, str key, int64_t now_ms,
	struct credentials_values *ret_values)
{
	struct kept *k;
	bool found;

	pthread_mutex_lock(&c->lock);
	k = map_get(&c->kept, key);
	found = k && k->expires_ms - now_ms > LAMBDA_INSTANCE_AGE_MS_MAX;
	if (found)
		*ret_values = copy(a, k->values);
	pthread_mutex_unlock(&c->lock);
	return found;
}

static void keep(
	struct credentials *c, str key, const struct credentials_values *values, int64_t expires_ms)
{
	struct kept *k = mem_new(struct kept), *old = NULL;

	arena_init(&k->arena, SIZE_MAX);
	k->key = arena_str(&k->arena, key);
	k->values = copy(&k->arena, *values);
	k->expires_ms = expires_ms;
	pthread_mutex_lock(&c->lock);
	if (c->kept.count < CREDENTIALS_KEPT_MAX || map_get(&c->kept, key))
		old = map_put(&c->kept, k->key, k);
	else
		old = k;
	pthread_mutex_unlock(&c->lock);
	kept_free(old);
}

int credentials_get(struct credentials *c, struct arena *a, const struct function *f,
	struct credentials_values *ret_values)
{
	const struct port_identity *port = c->ports->identity;
	int64_t now_ms = rt_wall() / RT_NS_MS;
	int64_t expires_ms = now_ms + LAMBDA_CREDENTIALS_MS_MAX;
	str key = ARENA_CONCAT(a, f->arn, STR(" "), f->role);
	struct identity identity = {0};
	struct credentials_values v;

	if (!port)
		return ERR_NOT_FOUND;
	if (find(c, a, key, now_ms, &v) &&
		TRY(port->by_access_key(port->self, a, v.access_key, &identity)) == 1 &&
		identity.active) {
		*ret_values = v;
		return 0;
	}
	TRY(port->session_new(port->self, a, f->role, f->name, expires_ms, &identity));
	v = (struct credentials_values){
		identity.principal.access_key, identity.secret, identity.session_token};
	keep(c, key, &v, expires_ms);
	*ret_values = v;
	return 0;
}
