/*
 * Mappings in the store: see mapping.h.
 */
#include "services/lambda/mapping.h"

#include "aws/keyspace.h"
#include "base/check.h"
#include "services/lambda/limits.h"

enum { CHECKPOINT_FORMAT = 1, MARK_FORMAT = 1, REMOVE_MAX = 200, CHANGES_MAX = 8 };

/* Parts that are STR_NULL are left out, so that it is a prefix. */
static str key_of(struct arena *a, const char *kind, str account, str region, str one, str two)
{
	const str parts[] = {account, region, one, two};
	struct buf key;

	buf_init(&key, a, KEYSPACE_KEY_MAX);
	keyspace_area(&key, KEYSPACE_LAMBDA_META);
	keyspace_put(&key, str_c(kind));
	for (size_t i = 0; i < ARRAY_SIZE(parts) && parts[i].p; i++)
		keyspace_put(&key, parts[i]);
	check(!key.over);
	return buf_str(&key);
}

static str record_key(struct arena *a, str account, str region, str uuid)
{
	return key_of(a, "mapping", account, region, uuid, STR_NULL);
}

static str pair_key(struct arena *a, const struct mapping *m, str function_arn)
{
	return key_of(a, "mapping-of", m->account, m->region,
		value_str(m->config, "EventSourceArn"), function_arn);
}

static str result_key(struct arena *a, str account, str region, str uuid)
{
	return key_of(a, "mapping-result", account, region, uuid, STR_NULL);
}

/* The parts of a key behind area and kind. */
static int take_parts(struct arena *a, str key, str *ret_parts, int count)
{
	str rest = str_from(key, 1), kind;

	if (!keyspace_take(a, &rest, &kind))
		return ERR_CORRUPT;
	for (int i = 0; i < count; i++)
		if (!keyspace_take(a, &rest, &ret_parts[i]))
			return ERR_CORRUPT;
	return rest.n ? ERR_CORRUPT : 0;
}

/* ---- mappings ---- */

int mapping_load(struct kv *kv, struct arena *a, str account, str region, str uuid,
	struct mapping *ret_mapping)
{
	struct mapping m = {.account = account, .region = region, .uuid = uuid};
	str record;

	if (TRY(kv_get(kv, record_key(a, account, region, uuid), a, &record)) == 0)
		return 0;
	TRY(mapping_decode(a, record, &m));
	*ret_mapping = m;
	return 1;
}

int mapping_result(struct kv *kv, struct arena *a, const struct mapping *m, str *ret_text)
{
	if (TRY(kv_get(kv, result_key(a, m->account, m->region, m->uuid), a, ret_text)) == 0)
		*ret_text = STR_NULL;
	return 0;
}

int mapping_put_result(struct kv *kv, str account, str region, str uuid, str text, int64_t deadline)
{
	struct arena a cleanup(arena_done_p) = {0};

	arena_init(&a, SIZE_MAX);
	return kv_put(kv, result_key(&a, account, region, uuid), text, deadline);
}

struct creation {
	struct arena *arena;
	const struct mapping *mapping;
	str keys[2], other;
};

static int create_txn(struct kv_txn *txn, void *arg)
{
	struct creation *x = arg;

	if (TRY(kv_txn_get(txn, x->keys[1], x->arena, &x->other)))
		return ERR_EXISTS;
	kv_txn_put(txn, x->keys[0], mapping_encode(x->arena, x->mapping));
	kv_txn_put(txn, x->keys[1], x->mapping->uuid);
	return 0;
}

int mapping_create(
	struct kv *kv, struct arena *a, const struct mapping *m, int64_t deadline, str *ret_other)
{
	struct creation x = {.arena = a, .mapping = m};
	int rc;

	x.keys[0] = record_key(a, m->account, m->region, m->uuid);
	x.keys[1] = pair_key(a, m, value_str(m->config, "FunctionArn"));
	rc = kv_run(kv, x.keys, 2, create_txn, &x, deadline);
	*ret_other = x.other;
	return rc;
}

struct changing {
	struct arena *arena;
	const struct mapping_change *of;
	struct mapping mapping;
	str function_arn;    /* it had when the keys were made */
	str key, pair, next; /* next: the new pair; STR_NULL: the same */
	str other;
};

static int change_txn(struct kv_txn *txn, void *arg)
{
	struct changing *x = arg;
	str record;
	int rc;

	if (TRY(kv_txn_get(txn, x->key, x->arena, &record)) == 0)
		return ERR_NOT_FOUND;
	TRY(mapping_decode(x->arena, record, &x->mapping));
	if (!str_eq(value_str(x->mapping.config, "FunctionArn"), x->function_arn))
		return ERR_LOCKED; /* another function since the keys were made */
	if (x->next.p && TRY(kv_txn_get(txn, x->next, x->arena, &x->other)))
		return ERR_EXISTS;
	rc = TRY(x->of->change(x->of->arg, x->arena, &x->mapping));
	if (!rc)
		return 0;
	kv_txn_put(txn, x->key, mapping_encode(x->arena, &x->mapping));
	if (x->next.p) {
		kv_txn_delete(txn, x->pair);
		kv_txn_put(txn, x->next, x->mapping.uuid);
	}
	return rc;
}

/* ERR_LOCKED: its function has changed meanwhile. */
static int change_once(
	struct kv *kv, struct arena *a, const struct mapping_change *change, struct changing *ret_x)
{
	struct changing x = {.arena = a, .of = change};
	str keys[3];
	int rc;

	if (TRY(mapping_load(kv, a, change->account, change->region, change->uuid, &x.mapping)) ==
		0)
		return ERR_NOT_FOUND;
	x.function_arn = value_str(x.mapping.config, "FunctionArn");
	keys[0] = x.key = record_key(a, change->account, change->region, change->uuid);
	keys[1] = x.pair = pair_key(a, &x.mapping, x.function_arn);
	keys[2] = x.next = STR_NULL;
	if (change->function_arn.p && !str_eq(change->function_arn, x.function_arn))
		keys[2] = x.next = pair_key(a, &x.mapping, change->function_arn);
	rc = kv_run(kv, keys, x.next.p ? 3 : 1, change_txn, &x, change->deadline);
	*ret_x = x;
	return rc;
}

int mapping_change(struct kv *kv, struct arena *a, const struct mapping_change *change,
	struct mapping *ret_mapping, str *ret_other)
{
	struct changing x = {.arena = a};
	int rc = ERR_LOCKED;

	for (int i = 0; i < CHANGES_MAX && rc == ERR_LOCKED; i++)
		rc = change_once(kv, a, change, &x);
	if (rc >= 0 && ret_mapping)
		*ret_mapping = x.mapping;
	if (ret_other)
		*ret_other = x.other;
	return rc == ERR_LOCKED ? ERR_CONFLICT : rc;
}

/* Removes checkpoints, so many at a time that a transaction stays small. */
static int remove_checkpoints(
	struct kv *kv, struct arena *a, const struct mapping *m, int64_t deadline)
{
	struct mapping_checkpoint *all;
	int n = TRY(mapping_checkpoints(kv, a, m->account, m->region, m->uuid, &all));

	for (int i = 0; i < n; i += REMOVE_MAX)
		TRY(mapping_put_checkpoints(kv, a, m->account, m->region, m->uuid, all + i,
			(size_t)MIN(n - i, (int)REMOVE_MAX), true, deadline));
	return 0;
}

int mapping_remove(struct kv *kv, struct arena *a, const struct mapping *m, int64_t deadline)
{
	struct kv_txn *txn cleanup(kv_txn_free_p) = NULL;
	str keys[3];

	TRY(remove_checkpoints(kv, a, m, deadline));
	keys[0] = record_key(a, m->account, m->region, m->uuid);
	keys[1] = pair_key(a, m, value_str(m->config, "FunctionArn"));
	keys[2] = result_key(a, m->account, m->region, m->uuid);
	TRY(kv_txn_begin(kv, keys, 3, deadline, &txn));
	for (size_t i = 0; i < 3; i++)
		kv_txn_delete(txn, keys[i]);
	return kv_commit(txn, NULL);
}

int mapping_each(struct kv *kv, struct arena *a, str account, str region, str after,
	int (*fn)(void *arg, const struct mapping *m), void *arg)
{
	struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
	str prefix = key_of(a, "mapping", account, region, STR_NULL, STR_NULL), key, value;
	struct kv_range range = {.from = prefix, .to = keyspace_prefix_end(a, prefix)};
	int rc;

	if (after.p)
		range.from = keyspace_prefix_end(a, record_key(a, account, region, after));
	TRY(kv_scan_open(kv, &range, &scan));
	while (TRY(kv_scan_next(scan, &key, &value))) {
		struct mapping m = {.revision = 0};
		str parts[3];

		TRY(take_parts(a, arena_str(a, key), parts, 3));
		m.account = parts[0];
		m.region = parts[1];
		m.uuid = parts[2];
		TRY(mapping_decode(a, arena_str(a, value), &m));
		rc = fn(arg, &m);
		if (rc)
			return rc;
	}
	return 0;
}

/* ---- checkpoints ---- */

static int checkpoint_decode(str record, struct mapping_checkpoint *ret)
{
	uint8_t format, done;
	uint64_t window;

	if (!str_take_u8(&record, &format))
		return ERR_CORRUPT;
	if (format != CHECKPOINT_FORMAT)
		return ERR_VERSION;
	if (!str_take_u8(&record, &done) || !str_take_be64(&record, &window) ||
		!str_take_sized(&record, &ret->position) || !str_take_sized(&record, &ret->state) ||
		record.n)
		return ERR_CORRUPT;
	ret->done = done;
	ret->window_ms = (int64_t)window;
	return 0;
}

static str checkpoint_encode(struct arena *a, const struct mapping_checkpoint *c)
{
	struct buf b;

	buf_init(&b, a, LAMBDA_PAYLOAD_BYTES_MAX + LAMBDA_RECORD_BYTES_MAX);
	buf_put_char(&b, CHECKPOINT_FORMAT);
	buf_put_char(&b, c->done);
	buf_put_be64(&b, (uint64_t)c->window_ms);
	buf_put_sized(&b, c->position);
	buf_put_sized(&b, c->state);
	check(!b.over);
	return buf_str(&b);
}

int mapping_checkpoint(struct kv *kv, struct arena *a, str account, str region, str uuid, str shard,
	struct mapping_checkpoint *ret_checkpoint)
{
	struct mapping_checkpoint c = {.shard = shard};
	str record;

	if (TRY(kv_get(kv, key_of(a, "mapping-at", account, region, uuid, shard), a, &record)) == 0)
		return 0;
	TRY(checkpoint_decode(record, &c));
	*ret_checkpoint = c;
	return 1;
}

int mapping_checkpoints(struct kv *kv, struct arena *a, str account, str region, str uuid,
	struct mapping_checkpoint **ret_checkpoints)
{
	struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
	str prefix = key_of(a, "mapping-at", account, region, uuid, STR_NULL), key, value;
	struct kv_range range = {.from = prefix, .to = keyspace_prefix_end(a, prefix)};
	struct mapping_checkpoint *all = NULL;
	int n = 0, capacity = 0;

	TRY(kv_scan_open(kv, &range, &scan));
	while (TRY(kv_scan_next(scan, &key, &value))) {
		str parts[4];

		if (n == capacity) {
			struct mapping_checkpoint *more;

			capacity = MAX(16, 2 * capacity);
			more = arena_new_array(a, struct mapping_checkpoint, (size_t)capacity);
			if (n)
				memcpy(more, all, (size_t)n * sizeof(*all));
			all = more;
		}
		TRY(take_parts(a, arena_str(a, key), parts, 4));
		all[n] = (struct mapping_checkpoint){.shard = parts[3]};
		TRY(checkpoint_decode(arena_str(a, value), &all[n++]));
	}
	*ret_checkpoints = all;
	return n;
}

int mapping_put_checkpoints(struct kv *kv, struct arena *a, str account, str region, str uuid,
	const struct mapping_checkpoint *checkpoints, size_t count, bool remove, int64_t deadline)
{
	struct kv_txn *txn cleanup(kv_txn_free_p) = NULL;
	size_t key_count = remove ? 2 * count : count;
	str *keys = arena_new_array(a, str, key_count);

	for (size_t i = 0; i < count; i++)
		keys[i] = key_of(a, "mapping-at", account, region, uuid, checkpoints[i].shard);
	for (size_t i = count; i < key_count; i++)
		keys[i] = key_of(
			a, "mapping-run", account, region, uuid, checkpoints[i - count].shard);
	TRY(kv_txn_begin(kv, keys, key_count, deadline, &txn));
	for (size_t i = 0; i < key_count; i++) {
		if (remove)
			kv_txn_delete(txn, keys[i]);
		else
			kv_txn_put(txn, keys[i], checkpoint_encode(a, &checkpoints[i]));
	}
	return kv_commit(txn, NULL);
}

/* ---- marks ---- */

static int mark_decode(str record, struct mapping_mark *ret)
{
	uint8_t format;

	if (!str_take_u8(&record, &format))
		return ERR_CORRUPT;
	if (format != MARK_FORMAT)
		return ERR_VERSION;
	if (!str_take_be64(&record, &ret->boot) || !str_take_be32(&record, &ret->crashes) ||
		!str_take_be32(&record, &ret->records) || !str_take_sized(&record, &ret->from) ||
		!str_take_sized(&record, &ret->last) || record.n)
		return ERR_CORRUPT;
	return 0;
}

int mapping_mark(struct kv *kv, struct arena *a, str account, str region, str uuid, str shard,
	struct mapping_mark *ret_mark)
{
	struct mapping_mark m = {.boot = 0};
	str record;

	if (TRY(kv_get(kv, key_of(a, "mapping-run", account, region, uuid, shard), a, &record)) ==
		0)
		return 0;
	TRY(mark_decode(record, &m));
	*ret_mark = m;
	return 1;
}

int mapping_put_mark(struct kv *kv, str account, str region, str uuid, str shard,
	const struct mapping_mark *mark, int64_t deadline)
{
	struct arena a cleanup(arena_done_p) = {0};
	struct buf b;

	arena_init(&a, SIZE_MAX);
	buf_init(&b, &a, LAMBDA_RECORD_BYTES_MAX);
	buf_put_char(&b, MARK_FORMAT);
	buf_put_be64(&b, mark->boot);
	buf_put_be32(&b, mark->crashes);
	buf_put_be32(&b, mark->records);
	buf_put_sized(&b, mark->from);
	buf_put_sized(&b, mark->last);
	check(!b.over);
	return kv_put(
		kv, key_of(&a, "mapping-run", account, region, uuid, shard), buf_str(&b), deadline);
}
