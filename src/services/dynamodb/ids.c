/*
 * Ids: a random number, and the record that says that it is taken.
 */
#include "services/dynamodb/ids.h"

#include "aws/keyspace.h"
#include "base/rc.h"
#include "kv/kv.h"
#include "rt/rt.h"

uint64_t ids_random(void)
{
	uint64_t id = 0;

	while (id == 0) {
		rt_random_bytes(&id, sizeof id);
		id &= INT64_MAX;
	}
	return id;
}

str ids_key(struct arena *a, uint64_t id)
{
	struct buf key;

	buf_init(&key, a, KEYSPACE_KEY_MAX);
	keyspace_area(&key, KEYSPACE_DYNAMODB_META);
	keyspace_put(&key, STR("id"));
	buf_put_be64(&key, id);
	return buf_str(&key);
}

int ids_take(struct kv_txn *txn, struct arena *a, uint64_t id, str owner)
{
	str key = ids_key(a, id), found;

	if (TRY(kv_txn_get(txn, key, a, &found)))
		return 0;
	kv_txn_put(txn, key, owner);
	return 1;
}
