/*
 * Records of functions in the key-value store.
 *
 *     LAMBDA_FUNCTIONS account region name        the record (function.h)
 *     LAMBDA_META "code" hex account region name  empty: who uses which code
 *     LAMBDA_META "policy" account region name    the resource policy's document
 *
 * Everything of a function is written under its record's key (declared); the other two are covered
 * by it.
 */
#include "aws/keyspace.h"
#include "base/check.h"
#include "base/random.h"
#include "kv/kv.h"
#include "rt/rt.h"
#include "services/lambda/service.h"

static str finish(const struct buf *key)
{
	check(!key->over);
	return buf_str(key);
}

str store_function_key(struct arena *a, str account, str region, str name)
{
	struct buf key;

	buf_init(&key, a, KEYSPACE_KEY_MAX);
	keyspace_begin(&key, KEYSPACE_LAMBDA_FUNCTIONS, account, region);
	keyspace_put(&key, name);
	return finish(&key);
}

static str code_key(struct arena *a, str hex, const struct function *f)
{
	struct buf key;

	buf_init(&key, a, KEYSPACE_KEY_MAX);
	keyspace_area(&key, KEYSPACE_LAMBDA_META);
	keyspace_put(&key, STR("code"));
	keyspace_put(&key, hex);
	if (f) {
		keyspace_put(&key, f->account);
		keyspace_put(&key, f->region);
		keyspace_put(&key, f->name);
	}
	return finish(&key);
}

str store_policy_key(struct arena *a, str account, str region, str name)
{
	struct buf key;

	buf_init(&key, a, KEYSPACE_KEY_MAX);
	keyspace_area(&key, KEYSPACE_LAMBDA_META);
	keyspace_put(&key, STR("policy"));
	keyspace_put(&key, account);
	keyspace_put(&key, region);
	keyspace_put(&key, name);
	return finish(&key);
}

str lambda_uuid(struct arena *a)
{
	char *text = arena_bytes(a, UUID_TEXT_BYTES);
	uint8_t bytes[16];

	rt_random_bytes(bytes, sizeof(bytes));
	uuid_v4_text(bytes, text);
	return str_of(text, UUID_TEXT_BYTES);
}

int lambda_store_load(struct lambda_service *s, struct arena *a, str account, str region, str name,
	struct function *ret_function, str *ret_record)
{
	str record;

	if (TRY(kv_get(s->kv, store_function_key(a, account, region, name), a, &record)) == 0)
		return 0;
	TRY(function_decode(a, account, region, record, ret_function));
	if (ret_record)
		*ret_record = record;
	return 1;
}

static str encode(struct arena *a, const struct function *f)
{
	struct buf record;

	buf_init(&record, a, LAMBDA_RECORD_BYTES_MAX);
	function_encode(a, f, &record);
	return buf_str(&record);
}

struct create {
	struct arena *arena;
	const struct function *function;
	str key;
};

static int create_txn(struct kv_txn *txn, void *arg)
{
	struct create *c = arg;
	str old;

	if (TRY(kv_txn_get(txn, c->key, c->arena, &old)) != 0)
		return ERR_EXISTS;
	kv_txn_put(txn, c->key, encode(c->arena, c->function));
	kv_txn_put_covered(txn, code_key(c->arena, c->function->code_hex, c->function), STR(""));
	return 0;
}

int lambda_store_create(struct lambda_service *s, const struct function *f, int64_t deadline)
{
	struct arena a cleanup(arena_done_p) = {0};
	struct create c = {.arena = &a, .function = f};

	arena_init(&a, SIZE_MAX);
	c.key = store_function_key(&a, f->account, f->region, f->name);
	return kv_run(s->kv, &c.key, 1, create_txn, &c, deadline);
}

struct change {
	struct arena *arena;
	str account, region, key;
	bool touch;
	int (*change)(void *arg, struct arena *a, struct function *f);
	void *arg;
	struct function *result;
};

static int change_txn(struct kv_txn *txn, void *arg)
{
	struct change *c = arg;
	struct function f;
	str record, code;

	if (TRY(kv_txn_get(txn, c->key, c->arena, &record)) == 0)
		return ERR_NOT_FOUND;
	TRY(function_decode(c->arena, c->account, c->region, record, &f));
	code = f.code_hex;
	TRY(c->change(c->arg, c->arena, &f));
	f.revision_id = lambda_uuid(c->arena);
	if (c->touch)
		f.modified_ms = rt_wall() / RT_NS_MS;
	kv_txn_put(txn, c->key, encode(c->arena, &f));
	if (!str_eq(code, f.code_hex)) {
		kv_txn_delete_covered(txn, code_key(c->arena, code, &f));
		kv_txn_put_covered(txn, code_key(c->arena, f.code_hex, &f), STR(""));
	}
	*c->result = f;
	return 0;
}

int lambda_store_change(struct lambda_service *s, struct arena *a, str account, str region,
	str name, bool touch, int (*change)(void *arg, struct arena *a, struct function *f),
	void *arg, int64_t deadline, struct function *ret_function)
{
	struct function result;
	struct change c = {.arena = a,
		.account = account,
		.region = region,
		.touch = touch,
		.change = change,
		.arg = arg,
		.result = &result};

	c.key = store_function_key(a, account, region, name);
	TRY(kv_run(s->kv, &c.key, 1, change_txn, &c, deadline));
	*ret_function = result;
	return 0;
}

struct delete_ {
	struct arena *arena;
	str account, region, name, key;
	char *code_hex;
};

static int delete_txn(struct kv_txn *txn, void *arg)
{
	struct delete_ *d = arg;
	struct function f;
	str record;

	if (TRY(kv_txn_get(txn, d->key, d->arena, &record)) == 0)
		return 0;
	TRY(function_decode(d->arena, d->account, d->region, record, &f));
	memcpy(d->code_hex, f.code_hex.p, CODE_HEX_BYTES);
	kv_txn_delete(txn, d->key);
	kv_txn_delete_covered(txn, code_key(d->arena, f.code_hex, &f));
	kv_txn_delete_covered(txn, store_policy_key(d->arena, d->account, d->region, d->name));
	return 1;
}

int store_delete(struct lambda_service *s, str account, str region, str name, int64_t deadline,
	char *ret_code_hex)
{
	struct arena a cleanup(arena_done_p) = {0};
	struct delete_ d = {&a, account, region, name, STR_NULL, ret_code_hex};

	arena_init(&a, SIZE_MAX);
	d.key = store_function_key(&a, account, region, name);
	return kv_run(s->kv, &d.key, 1, delete_txn, &d, deadline);
}

int store_code_used(struct lambda_service *s, str hex)
{
	struct arena a cleanup(arena_done_p) = {0};
	struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
	struct kv_range range = {.limit = 1};
	str key, value;

	arena_init(&a, SIZE_MAX);
	range.from = code_key(&a, hex, NULL);
	range.to = keyspace_prefix_end(&a, range.from);
	TRY(kv_scan_open(s->kv, &range, &scan));
	return kv_scan_next(scan, &key, &value);
}

/* A record found by a scan: its key names account, region and name. */
static int decode_entry(struct arena *a, str key, str value, struct function *ret_function)
{
	str account, region, name, rest = str_from(key, 1);

	if (!keyspace_take(a, &rest, &account) || !keyspace_take(a, &rest, &region) ||
		!keyspace_take(a, &rest, &name) || rest.n)
		return ERR_CORRUPT;
	return function_decode(
		a, arena_str(a, account), arena_str(a, region), arena_str(a, value), ret_function);
}

int store_list(struct lambda_service *s, struct arena *a, str account, str region, str after,
	unsigned max, struct function *ret_functions, bool *ret_more)
{
	struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
	struct kv_range range = {.limit = max + 1};
	struct buf prefix;
	str key, value;
	int n = 0, found;

	buf_init(&prefix, a, KEYSPACE_KEY_MAX);
	keyspace_begin(&prefix, KEYSPACE_LAMBDA_FUNCTIONS, account, region);
	range.from = finish(&prefix);
	range.to = keyspace_prefix_end(a, range.from);
	if (after.n)
		range.from = keyspace_prefix_end(a, store_function_key(a, account, region, after));
	TRY(kv_scan_open(s->kv, &range, &scan));
	while ((found = TRY(kv_scan_next(scan, &key, &value))) && (unsigned)n < max)
		TRY(decode_entry(a, arena_str(a, key), value, &ret_functions[n++]));
	*ret_more = found;
	return n;
}

int store_each(struct lambda_service *s, int (*fn)(void *arg, const struct function *f), void *arg)
{
	struct arena a cleanup(arena_done_p) = {0};
	struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
	struct kv_range range = {.limit = 0};
	struct function f;
	str key, value;

	arena_init(&a, SIZE_MAX);
	range.from = str_of(&(char){KEYSPACE_LAMBDA_FUNCTIONS}, 1);
	range.to = keyspace_prefix_end(&a, range.from);
	TRY(kv_scan_open(s->kv, &range, &scan));
	while (TRY(kv_scan_next(scan, &key, &value))) {
		struct arena entry cleanup(arena_done_p) = {0};

		arena_init(&entry, SIZE_MAX);
		TRY(decode_entry(&entry, arena_str(&entry, key), value, &f));
		TRY(fn(arg, &f));
	}
	return 0;
}

int store_policy(struct lambda_service *s, struct arena *a, str account, str region, str name,
	str *ret_document)
{
	return kv_get(s->kv, store_policy_key(a, account, region, name), a, ret_document);
}
