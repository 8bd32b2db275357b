/*
 * Keys, look-ups, and transactions of durable executions.
 */
#include "services/lambda/durable_store.h"

#include "aws/keyspace.h"
#include "base/check.h"
#include "base/hash.h"
#include "base/map.h"
#include "rt/rt.h"
#include "services/lambda/limits.h"
#include "services/lambda/service.h"

enum {
	KEY_EXECUTION = 1,
	KEY_NAME = 2,
	KEY_OPERATION = 3,
	KEY_ID = 4,
	KEY_EVENT = 5,
	KEY_TEXT = 6,
	KEY_DUE = 7,
	KEY_OPEN = 8,
	KEY_MAX = 1024,
	PART_BYTES = 2 * 1024 * 1024,
	DELETE_KEYS = 1000,
};

/* ---- keys ---- */

static void begin(struct buf *b, struct arena *a, char kind)
{
	buf_init(b, a, KEY_MAX);
	keyspace_area(b, KEYSPACE_LAMBDA_DURABLE);
	buf_put_char(b, kind);
}

static void put_key(struct buf *b, const struct durable_key *key)
{
	keyspace_put(b, key->account);
	keyspace_put(b, key->region);
	keyspace_put(b, key->function);
	if (key->run.n)
		keyspace_put(b, key->run);
}

static str key_of(struct arena *a, char kind, const struct durable_key *key)
{
	struct buf b;

	begin(&b, a, kind);
	put_key(&b, key);
	return buf_str(&b);
}

static str number_key(struct arena *a, char kind, const struct durable_key *key, uint64_t number)
{
	struct buf b;

	begin(&b, a, kind);
	put_key(&b, key);
	buf_put_be64(&b, number);
	return buf_str(&b);
}

static str id_key(struct arena *a, const struct durable_key *key, str id)
{
	struct buf b;

	begin(&b, a, KEY_ID);
	put_key(&b, key);
	keyspace_put(&b, id);
	return buf_str(&b);
}

static str name_key(struct arena *a, const struct durable_key *key, str name)
{
	struct durable_key function = *key;
	struct buf b;

	function.run = STR_NULL;
	begin(&b, a, KEY_NAME);
	put_key(&b, &function);
	keyspace_put(&b, name);
	return buf_str(&b);
}

static str text_key(
	struct arena *a, const struct durable_key *key, enum durable_text which, uint32_t part)
{
	struct buf b;

	begin(&b, a, KEY_TEXT);
	put_key(&b, key);
	buf_put_char(&b, (char)which);
	buf_put_be32(&b, part);
	return buf_str(&b);
}

static str due_key(struct arena *a, const struct durable_key *key, int64_t due_ms)
{
	struct buf b;

	begin(&b, a, KEY_DUE);
	buf_put_be64(&b, (uint64_t)due_ms);
	put_key(&b, key);
	return buf_str(&b);
}

static bool take_key(struct arena *a, str in, struct durable_key *ret)
{
	return keyspace_take(a, &in, &ret->account) && keyspace_take(a, &in, &ret->region) &&
	       keyspace_take(a, &in, &ret->function) && keyspace_take(a, &in, &ret->run) && !in.n &&
	       ret->run.n == DURABLE_RUN_BYTES;
}

str durable_token_new(struct arena *a)
{
	uint8_t bytes[DURABLE_TOKEN_BYTES / 4 * 3];
	struct buf b;

	rt_random_bytes(bytes, sizeof(bytes));
	buf_init(&b, a, 2 * DURABLE_TOKEN_BYTES);
	base64_put(&b, str_of(bytes, sizeof(bytes)));
	return buf_str(&b);
}

str durable_run_new(struct arena *a, int64_t now_ms)
{
	uint8_t b[16];
	char hex[32];

	rt_random_bytes(b, sizeof(b));
	for (int i = 0; i < 6; i++)
		b[i] = (uint8_t)(now_ms >> (40 - 8 * i));
	b[6] = (uint8_t)(0x70 | (b[6] & 0x0f));
	b[8] = (uint8_t)(0x80 | (b[8] & 0x3f));
	hex_encode(b, sizeof(b), hex);
	return arena_printf(
		a, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
}

/* ---- look-ups ---- */

int durable_load(struct lambda_service *s, struct arena *a, const struct durable_key *key,
	struct durable_execution *ret)
{
	str record;

	if (TRY(kv_get(s->kv, key_of(a, KEY_EXECUTION, key), a, &record)) == 0)
		return 0;
	TRY(durable_decode(a, key, record, ret));
	return 1;
}

int durable_text(struct lambda_service *s, struct arena *a, const struct durable_execution *x,
	enum durable_text which, str *ret_text)
{
	uint64_t bytes = which == DURABLE_INPUT ? x->input_bytes : x->result_bytes;
	char *text = arena_bytes(a, bytes + 1);
	uint64_t at = 0;
	str part;

	for (uint32_t i = 0; at < bytes; i++) {
		if (TRY(kv_get(s->kv, text_key(a, &x->key, which, i), a, &part)) == 0 || !part.n ||
			part.n > bytes - at)
			return ERR_CORRUPT;
		memcpy(text + at, part.p, part.n);
		at += part.n;
	}
	*ret_text = str_of(text, bytes);
	return 0;
}

int durable_operation_load(struct lambda_service *s, struct arena *a, const struct durable_key *key,
	uint64_t seq, struct durable_operation *ret)
{
	str record;

	if (TRY(kv_get(s->kv, number_key(a, KEY_OPERATION, key, seq), a, &record)) == 0)
		return 0;
	TRY(durable_operation_decode(a, record, ret));
	return 1;
}

static int operation_by_id(struct lambda_service *s, struct arena *a, const struct durable_key *key,
	str id, struct durable_operation *ret)
{
	uint64_t seq;
	str value;

	if (TRY(kv_get(s->kv, id_key(a, key, id), a, &value)) == 0)
		return 0;
	if (!str_take_be64(&value, &seq))
		return ERR_CORRUPT;
	return durable_operation_load(s, a, key, seq, ret);
}

static struct kv_range prefix_range(struct arena *a, str prefix)
{
	return (struct kv_range){.from = prefix, .to = keyspace_prefix_end(a, prefix)};
}

/* What is known of contexts: the value is not NULL when what is inside them is hidden. */
struct hiding {
	struct lambda_service *service;
	struct arena *arena;
	const struct durable_key *key;
	struct map contexts;
};

static char hides, shows;

static bool hides_children(const struct durable_operation *op)
{
	return op->kind == DURABLE_CONTEXT && durable_ended(op->state) && !op->replay_children;
}

/* Is an operation inside `parent` hidden? */
static int hidden(struct hiding *h, str parent)
{
	str path[64];
	unsigned n = 0;
	void *known = &shows;

	while (parent.n) {
		struct durable_operation op;

		known = map_get(&h->contexts, parent);
		if (known)
			break;
		known = &shows;
		if (n == ARRAY_SIZE(path)) /* deeper than anybody nests: shown */
			break;
		path[n++] = parent;
		if (TRY(operation_by_id(h->service, h->arena, h->key, parent, &op)) == 0)
			break;
		if (hides_children(&op)) {
			known = &hides;
			break;
		}
		parent = op.parent;
	}
	for (unsigned i = 0; i < n; i++)
		map_put(&h->contexts, path[i], known);
	return known == &hides;
}

int durable_each_operation(struct lambda_service *s, struct arena *a, const struct durable_key *key,
	uint64_t after, int (*fn)(void *arg, const struct durable_operation *op), void *arg)
{
	struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
	struct hiding h = {s, a, key, {0}};
	struct kv_range range = prefix_range(a, key_of(a, KEY_OPERATION, key));
	str at, value;
	int rc;

	range.from = number_key(a, KEY_OPERATION, key, after + 1);
	rc = kv_scan_open(s->kv, &range, &scan);
	while (rc >= 0 && (rc = kv_scan_next(scan, &at, &value)) > 0) {
		struct durable_operation op;

		rc = durable_operation_decode(a, arena_str(a, value), &op);
		if (rc >= 0)
			rc = hidden(&h, op.parent);
		if (rc == 0) {
			rc = fn(arg, &op);
			if (rc == 0)
				break;
		}
	}
	map_done(&h.contexts);
	return rc;
}

int durable_each_event(struct lambda_service *s, struct arena *a, const struct durable_key *key,
	uint64_t from, bool reverse, int (*fn)(void *arg, uint64_t number, str record), void *arg)
{
	struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
	str prefix = key_of(a, KEY_EVENT, key), at, value;
	struct kv_range range = prefix_range(a, prefix);
	uint64_t number;
	int rc;

	range.reverse = reverse;
	if (reverse && from != UINT64_MAX)
		range.to = number_key(a, KEY_EVENT, key, from + 1);
	if (!reverse)
		range.from = number_key(a, KEY_EVENT, key, from);
	TRY(kv_scan_open(s->kv, &range, &scan));
	while (TRY(kv_scan_next(scan, &at, &value))) {
		at = str_from(at, prefix.n);
		if (!str_take_be64(&at, &number))
			return ERR_CORRUPT;
		rc = TRY(fn(arg, number, arena_str(a, value)));
		if (rc == 0)
			break;
	}
	return 0;
}

int durable_each(struct lambda_service *s, struct arena *a, str account, str region, str function,
	str after, bool reverse, int (*fn)(void *arg, const struct durable_execution *x), void *arg)
{
	struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
	struct durable_key all = {account, region, function, STR_NULL}, key = all;
	struct kv_range range = prefix_range(a, key_of(a, KEY_EXECUTION, &all));
	str at, value;

	range.reverse = !reverse;
	key.run = after;
	if (after.p && reverse)
		range.from = keyspace_prefix_end(a, key_of(a, KEY_EXECUTION, &key));
	else if (after.p)
		range.to = key_of(a, KEY_EXECUTION, &key);
	TRY(kv_scan_open(s->kv, &range, &scan));
	while (TRY(kv_scan_next(scan, &at, &value))) {
		struct durable_execution x;

		if (!take_key(a, arena_str(a, str_from(at, 2)), &key))
			return ERR_CORRUPT;
		TRY(durable_decode(a, &key, arena_str(a, value), &x));
		if (TRY(fn(arg, &x)) == 0)
			break;
	}
	return 0;
}

int durable_each_open(
	struct lambda_service *s, int (*fn)(void *arg, const struct durable_key *key), void *arg)
{
	struct arena a cleanup(arena_done_p) = {0};
	struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
	struct kv_range range;
	struct buf prefix;
	str at, value;

	arena_init(&a, SIZE_MAX);
	begin(&prefix, &a, KEY_OPEN);
	range = prefix_range(&a, buf_str(&prefix));
	TRY(kv_scan_open(s->kv, &range, &scan));
	while (TRY(kv_scan_next(scan, &at, &value))) {
		struct arena b cleanup(arena_done_p) = {0};
		struct durable_key key;

		arena_init(&b, SIZE_MAX);
		if (!take_key(&b, arena_str(&b, str_from(at, 2)), &key))
			return ERR_CORRUPT;
		TRY(fn(arg, &key));
	}
	return 0;
}

int durable_each_due(struct lambda_service *s, struct arena *a,
	int (*fn)(void *arg, int64_t due_ms, const struct durable_key *key), void *arg)
{
	struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
	struct kv_range range;
	struct buf prefix;
	str at, value;

	begin(&prefix, a, KEY_DUE);
	range = prefix_range(a, buf_str(&prefix));
	TRY(kv_scan_open(s->kv, &range, &scan));
	while (TRY(kv_scan_next(scan, &at, &value))) {
		struct durable_key key;
		uint64_t due;

		at = arena_str(a, str_from(at, 2));
		if (!str_take_be64(&at, &due) || !take_key(a, at, &key))
			return ERR_CORRUPT;
		if (TRY(fn(arg, (int64_t)due, &key)) == 0)
			break;
	}
	return 0;
}

/* ---- transactions ---- */

/* Writes the execution, and where it is found next. */
static void write_back(struct durable_txn *t, int64_t due_before, bool open_before)
{
	struct durable_execution *x = t->x;
	str open = key_of(t->arena, KEY_OPEN, &x->key);

	x->due_ms = durable_due(x);
	if (due_before != x->due_ms) {
		if (due_before)
			kv_txn_delete_covered(t->txn, due_key(t->arena, &x->key, due_before));
		kv_txn_put_covered(t->txn, due_key(t->arena, &x->key, x->due_ms), STR("-"));
	}
	if (!open_before && x->status == DURABLE_RUNNING)
		kv_txn_put_covered(t->txn, open, STR("-"));
	else if (open_before && x->status != DURABLE_RUNNING)
		kv_txn_delete_covered(t->txn, open);
	kv_txn_put(t->txn, key_of(t->arena, KEY_EXECUTION, &x->key), durable_encode(t->arena, x));
}

struct change {
	struct durable_txn *txn;
	durable_change_fn *fn;
	void *arg;
};

static int change_once(struct kv_txn *txn, void *arg)
{
	struct change *c = arg;
	struct durable_txn *t = c->txn;
	struct durable_execution found = {.key = t->x->key};
	int64_t due;
	str record;
	bool open;
	int rc;

	rc = TRY(kv_txn_get(txn, key_of(t->arena, KEY_EXECUTION, &found.key), t->arena, &record));
	if (rc > 0)
		TRY(durable_decode(t->arena, &found.key, record, &found));
	*t->x = found;
	t->found = rc > 0;
	t->txn = txn;
	t->now_ms = rt_wall() / RT_NS_MS;
	due = t->x->due_ms;
	open = t->found && t->x->status == DURABLE_RUNNING;
	rc = TRY(c->fn(t, c->arg));
	if (rc > 0)
		write_back(t, due, open);
	return rc;
}

int durable_change(struct lambda_service *s, struct arena *a, struct durable_execution *x, str name,
	durable_change_fn *fn, void *arg, int64_t deadline)
{
	struct durable_txn t = {.service = s, .arena = a, .x = x};
	struct change c = {&t, fn, arg};
	str keys[2];
	size_t n = 0;

	keys[n++] = key_of(a, KEY_EXECUTION, &x->key);
	if (name.p)
		keys[n++] = name_key(a, &x->key, name);
	return kv_run(s->kv, keys, n, change_once, &c, deadline);
}

int durable_txn_operation_at(struct durable_txn *t, uint64_t seq, struct durable_operation *ret)
{
	str record;

	if (TRY(kv_txn_get(t->txn, number_key(t->arena, KEY_OPERATION, &t->x->key, seq), t->arena,
		    &record)) == 0)
		return 0;
	TRY(durable_operation_decode(t->arena, record, ret));
	return 1;
}

int durable_txn_operation(struct durable_txn *t, str id, struct durable_operation *ret)
{
	uint64_t seq;
	str value;

	if (TRY(kv_txn_get(t->txn, id_key(t->arena, &t->x->key, id), t->arena, &value)) == 0)
		return 0;
	if (!str_take_be64(&value, &seq))
		return ERR_CORRUPT;
	return durable_txn_operation_at(t, seq, ret);
}

void durable_txn_put_operation(struct durable_txn *t, const struct durable_operation *op)
{
	struct buf b;

	buf_init(&b, t->arena, sizeof(uint64_t));
	buf_put_be64(&b, op->seq);
	kv_txn_put_covered(t->txn, id_key(t->arena, &t->x->key, op->id), buf_str(&b));
	kv_txn_put_covered(t->txn, number_key(t->arena, KEY_OPERATION, &t->x->key, op->seq),
		durable_operation_encode(t->arena, op));
}

void durable_txn_event(
	struct durable_txn *t, enum durable_event event, const struct durable_operation *op)
{
	uint64_t number = t->x->next_event;

	if (event == EVENT_NONE)
		return;
	t->x->next_event++;
	kv_txn_put_covered(t->txn, number_key(t->arena, KEY_EVENT, &t->x->key, number),
		durable_event_record(t->arena, t->x, event, number, op, t->now_ms));
}

void durable_txn_invocation(struct durable_txn *t, str error)
{
	uint64_t number = t->x->next_event++;

	kv_txn_put_covered(t->txn, number_key(t->arena, KEY_EVENT, &t->x->key, number),
		durable_invocation_record(t->arena, t->x, number, error, t->now_ms));
}

void durable_txn_text(struct durable_txn *t, enum durable_text which, str text)
{
	for (uint32_t i = 0; (size_t)i * PART_BYTES < text.n; i++)
		kv_txn_put_covered(t->txn, text_key(t->arena, &t->x->key, which, i),
			str_sub(text, (size_t)i * PART_BYTES, PART_BYTES));
	if (which == DURABLE_INPUT) {
		t->x->input_bytes = text.n;
	} else {
		t->x->result_bytes = text.n;
		t->x->has_result = true;
	}
}

int durable_txn_name(struct durable_txn *t, str name, str *ret_run)
{
	return kv_txn_get(t->txn, name_key(t->arena, &t->x->key, name), t->arena, ret_run);
}

void durable_txn_put_name(struct durable_txn *t, str name)
{
	kv_txn_put(t->txn, name_key(t->arena, &t->x->key, name), t->x->key.run);
}

int durable_txn_other(
	struct durable_txn *t, const struct durable_key *key, struct durable_execution *ret)
{
	str record;

	if (TRY(kv_txn_get(t->txn, key_of(t->arena, KEY_EXECUTION, key), t->arena, &record)) == 0)
		return 0;
	TRY(durable_decode(t->arena, key, record, ret));
	return 1;
}

/* ---- deletion ---- */

/* At most DELETE_KEYS records of a kind: how many. */
static int delete_some(
	struct lambda_service *s, const struct durable_key *key, char kind, int64_t deadline)
{
	struct arena a cleanup(arena_done_p) = {0};
	struct kv_txn *txn cleanup(kv_txn_free_p) = NULL;
	struct kv_scan *scan = NULL;
	struct kv_range range;
	str execution, at, value;
	int n = 0, rc;

	arena_init(&a, SIZE_MAX);
	execution = key_of(&a, KEY_EXECUTION, key);
	range = prefix_range(&a, key_of(&a, kind, key));
	range.limit = DELETE_KEYS;
	TRY(kv_txn_begin(s->kv, &execution, 1, deadline, &txn));
	TRY(kv_txn_scan(txn, &range, &scan));
	while ((rc = kv_scan_next(scan, &at, &value)) > 0) {
		kv_txn_delete_covered(txn, arena_str(&a, at));
		n++;
	}
	kv_scan_close(scan);
	TRY(rc);
	if (n)
		TRY(kv_commit(txn, NULL));
	return n;
}

int durable_delete(
	struct lambda_service *s, struct arena *a, const struct durable_key *key, int64_t deadline)
{
	static const char kinds[] = {KEY_EVENT, KEY_OPERATION, KEY_ID, KEY_TEXT};
	struct kv_txn *txn cleanup(kv_txn_free_p) = NULL;
	struct durable_execution x;
	str keys[2], run;

	if (TRY(durable_load(s, a, key, &x)) == 0)
		return 0;
	check(x.status != DURABLE_RUNNING);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		while (TRY(delete_some(s, key, kinds[i], deadline)) == DELETE_KEYS)
			;
	keys[0] = key_of(a, KEY_EXECUTION, key);
	keys[1] = name_key(a, key, x.name);
	TRY(kv_txn_begin(s->kv, keys, 2, deadline, &txn));
	kv_txn_delete(txn, keys[0]);
	kv_txn_delete_covered(txn, due_key(a, key, x.due_ms));
	if (TRY(kv_txn_get(txn, keys[1], a, &run)) && str_eq(run, key->run))
		kv_txn_delete(txn, keys[1]);
	return kv_commit(txn, NULL);
}
