/*
 * Tokens of transactions: their records, and the worker that removes them.
 */
#include "services/dynamodb/token.h"

#include "aws/keyspace.h"
#include "base/check.h"
#include "base/log.h"
#include "kv/kv.h"
#include "services/dynamodb/service.h"

enum {
	TOKEN_VERSION = 1,
	LOOK_MS = 60 * 1000,
	BATCH_KEYS = 500,
	BATCH_BYTES = 1 << 20,
	WRITE_MS = 10 * 1000
};

static void put_due_prefix(struct buf *key)
{
	keyspace_area(key, KEYSPACE_DYNAMODB_META);
	keyspace_put(key, STR("token due"));
}

str token_key(struct call *c, str token)
{
	struct buf key;

	buf_init(&key, c->arena, KEYSPACE_KEY_MAX);
	keyspace_area(&key, KEYSPACE_DYNAMODB_META);
	keyspace_put(&key, STR("token"));
	keyspace_put(&key, c->account);
	keyspace_put(&key, c->region);
	keyspace_put(&key, token);
	check(!key.over);
	return buf_str(&key);
}

int token_look(struct kv_txn *txn, struct arena *a, str key, const uint8_t digest[SHA256_BYTES],
	int64_t wall_ms, enum token_state *ret_state)
{
	uint8_t version;
	uint64_t until;
	str value;

	*ret_state = TOKEN_NEW;
	if (!TRY(kv_txn_get(txn, key, a, &value)))
		return 0;
	if (!str_take_u8(&value, &version) || version != TOKEN_VERSION ||
		!str_take_be64(&value, &until) || value.n != SHA256_BYTES)
		return ERR_CORRUPT;
	if ((int64_t)until > wall_ms)
		*ret_state = memcmp(value.p, digest, SHA256_BYTES) == 0 ? TOKEN_SAME : TOKEN_OTHER;
	return 0;
}

void token_put(struct kv_txn *txn, struct arena *a, str key, const uint8_t digest[SHA256_BYTES],
	int64_t wall_ms)
{
	int64_t until = wall_ms + TOKEN_VALID_MS;
	struct buf value, due;

	buf_init(&value, a, 64);
	buf_put_char(&value, TOKEN_VERSION);
	buf_put_be64(&value, (uint64_t)until);
	buf_put(&value, str_of(digest, SHA256_BYTES));
	kv_txn_put(txn, key, buf_str(&value));
	buf_init(&due, a, 2 * KEYSPACE_KEY_MAX);
	put_due_prefix(&due);
	buf_put_be64(&due, (uint64_t)until / 1000 + 1);
	buf_put(&due, key);
	kv_txn_put_covered(txn, buf_str(&due), STR(""));
}

/* ---- the worker ---- */

/* The token's record goes too, unless it has been used again since. */
static int forget_one(struct dynamodb *d, struct arena *a, str due, str key)
{
	struct kv_txn *txn cleanup(kv_txn_free_p) = NULL;
	int64_t wall_ms = rt_wall() / RT_NS_MS;
	uint64_t until;
	uint8_t version;
	str value;

	TRY(kv_txn_begin(d->kv, &key, 1, rt_after_ms(WRITE_MS), &txn));
	if (TRY(kv_txn_get(txn, key, a, &value)) && str_take_u8(&value, &version) &&
		str_take_be64(&value, &until) && (int64_t)until <= wall_ms)
		kv_txn_delete(txn, key);
	kv_txn_delete_covered(txn, due);
	return kv_commit(txn, NULL);
}

/* Up to a batch of what is due: how many. */
static int forget_some(struct dynamodb *d)
{
	struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
	struct arena a cleanup(arena_done_p);
	struct kv_range range = {.limit = BATCH_KEYS};
	str due[BATCH_KEYS], key, value;
	struct buf from, to;
	size_t prefix;
	int n = 0;

	arena_init(&a, BATCH_BYTES);
	buf_init(&from, &a, KEYSPACE_KEY_MAX);
	put_due_prefix(&from);
	prefix = from.n + 8;
	buf_init(&to, &a, KEYSPACE_KEY_MAX);
	buf_put(&to, buf_str(&from));
	buf_put_be64(&to, (uint64_t)(rt_wall() / RT_NS_S));
	range.from = buf_str(&from);
	range.to = buf_str(&to);
	TRY(kv_scan_open(d->kv, &range, &scan));
	while (n < BATCH_KEYS && TRY(kv_scan_next(scan, &key, &value)))
		due[n++] = arena_str(&a, key);
	for (int i = 0; i < n && !atomic_load(&d->stopping); i++)
		TRY(forget_one(d, &a, due[i], str_from(due[i], prefix)));
	return n;
}

void dynamodb_forget_tokens(void *arg)
{
	struct dynamodb *d = arg;

	while (!atomic_load(&d->stopping) && !rt_cancelled()) {
		int rc = forget_some(d);

		if (rc < 0 && rc != ERR_CANCELLED && rc != ERR_CONFLICT)
			log_warn("dynamodb", "tokens of old transactions are still there", "rc=%s",
				rc_name(rc));
		if (rc < BATCH_KEYS &&
			rt_event_wait(dynamodb_wanted(d, WORKER_TOKENS), rt_after_ms(LOOK_MS)) >= 0)
			break;
	}
}

void token_digest_add(struct sha256 *h, str part)
{
	uint64_t n = part.p ? part.n + 1 : 0;

	sha256_add(h, str_of((const char *)&n, sizeof n));
	sha256_add(h, part);
}
