/*
 * The sweeper: drops events past their group's retention, and what deleted groups and streams left.
 *
 * One fiber of loop 0, every sweep_ms. It goes through accounts and regions one after another and
 * works in small transactions, each with its own arena, so that it never holds anybody up; what it
 * does not finish it meets again. With several nodes each may sweep: the work is the same twice.
 */
#include "aws/keyspace.h"
#include "base/log.h"
#include "base/rc.h"
#include "services/logs/service.h"

enum {
	SWEEP_MS = 60000,
	CHUNK = 500, /* keys of a transaction, about */
	CHUNK_BYTES = 32 * 1024 * 1024,
	ARENA_BYTES = 64 * 1024 * 1024,
	CHUNK_DEADLINE_MS = 10000,
};
#define DAY_MS INT64_C(86400000)

static struct kv_range range_of(struct arena *a, str prefix)
{
	return (struct kv_range){
		.from = prefix, .to = keyspace_prefix_end(a, prefix), .limit = CHUNK};
}

/* ---- keys that nobody writes any more ---- */

struct drop {
	struct kv *kv;
	struct arena *arena;
	const str *prefixes;
	size_t prefix_count;
	str note; /* deleted when nothing is left below the prefixes */
	size_t dropped;
};

static int drop_run(struct kv_txn *txn, void *arg)
{
	struct drop *d = arg;
	str key, value;

	d->dropped = 0;
	for (size_t i = 0; i < d->prefix_count; i++) {
		struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
		struct kv_range range = range_of(d->arena, d->prefixes[i]);

		TRY(kv_txn_scan(txn, &range, &scan));
		while (d->dropped < CHUNK && TRY(kv_scan_next(scan, &key, &value))) {
			kv_txn_delete_covered(txn, arena_str(d->arena, key));
			d->dropped++;
		}
	}
	if (!d->dropped)
		kv_txn_delete(txn, d->note);
	return 0;
}

static int sweep_group_gone(struct kv *kv, const struct log_scope *scope, uint64_t group)
{
	size_t dropped;

	do {
		struct arena a cleanup(arena_done_p);

		arena_init(&a, ARENA_BYTES);
		const str prefixes[] = {
			log_key_stream(&a, scope, group, STR_NULL),
			log_key_batch_of(&a, group, 0, -1, 0),
			log_key_batch(&a, group, -1, 0),
		};
		struct drop d = {.kv = kv,
			.arena = &a,
			.prefixes = prefixes,
			.prefix_count = ARRAY_SIZE(prefixes),
			.note = log_key_gone(&a, scope, group)};
		TRY(kv_run(kv, &d.note, 1, drop_run, &d, rt_after_ms(CHUNK_DEADLINE_MS)));
		dropped = d.dropped;
		TRY(rt_yield());
	} while (dropped);
	return 0;
}

/* ---- a deleted stream: its entries name the batches ---- */

struct drop_stream {
	struct arena *arena;
	uint64_t group, stream;
	str note;
	size_t dropped;
};

static int drop_stream_run(struct kv_txn *txn, void *arg)
{
	struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
	struct drop_stream *d = arg;
	struct kv_range range =
		range_of(d->arena, log_key_batch_of(d->arena, d->group, d->stream, -1, 0));
	uint64_t time_ms, sequence;
	str key, value;

	d->dropped = 0;
	TRY(kv_txn_scan(txn, &range, &scan));
	while (TRY(kv_scan_next(scan, &key, &value))) {
		TRY(log_key_batch_take(key, &time_ms, &sequence));
		kv_txn_delete_covered(
			txn, log_key_batch(d->arena, d->group, (int64_t)time_ms, sequence));
		kv_txn_delete_covered(txn, arena_str(d->arena, key));
		d->dropped++;
	}
	if (!d->dropped)
		kv_txn_delete(txn, d->note);
	return 0;
}

static int sweep_stream_gone(
	struct kv *kv, const struct log_scope *scope, uint64_t group, uint64_t stream)
{
	size_t dropped;

	do {
		struct arena a cleanup(arena_done_p);

		arena_init(&a, ARENA_BYTES);
		struct drop_stream d = {.arena = &a,
			.group = group,
			.stream = stream,
			.note = log_key_gone_stream(&a, scope, group, stream)};
		TRY(kv_run(kv, &d.note, 1, drop_stream_run, &d, rt_after_ms(CHUNK_DEADLINE_MS)));
		dropped = d.dropped;
		TRY(rt_yield());
	} while (dropped);
	return 0;
}

/* ---- retention ---- */

struct old_batch {
	uint64_t time_ms, sequence, stream, bytes;
	str stream_key;
};

struct expiry {
	struct arena *arena;
	uint64_t group;
	struct old_batch *batches;
	size_t count;
	str *keys; /* of the streams, one for each batch: repeats are fine */
};

static int expire_run(struct kv_txn *txn, void *arg)
{
	struct expiry *x = arg;
	struct log_stream stream;
	str record;

	for (size_t i = 0; i < x->count; i++) {
		const struct old_batch *b = &x->batches[i];

		kv_txn_delete_covered(
			txn, log_key_batch(x->arena, x->group, (int64_t)b->time_ms, b->sequence));
		kv_txn_delete_covered(txn, log_key_batch_of(x->arena, x->group, b->stream,
						   (int64_t)b->time_ms, b->sequence));
		/* Sees its own writes, so several batches of a stream add up. */
		if (!TRY(kv_txn_get(txn, b->stream_key, x->arena, &record)))
			continue;
		TRY(log_stream_decode(record, &stream));
		if (stream.id != b->stream)
			continue;
		stream.bytes -= MIN(stream.bytes, b->bytes);
		kv_txn_put(txn, b->stream_key, log_stream_encode(x->arena, &stream));
	}
	return 0;
}

static int batch_about(struct arena *a, const struct log_scope *scope, uint64_t group, str record,
	struct old_batch *b)
{
	struct batch_reader reader;
	struct log_event event;

	TRY(log_batch_open(record, b->time_ms, b->sequence, &reader));
	b->stream = reader.stream_id;
	b->stream_key = log_key_stream(a, scope, group, reader.stream);
	b->bytes = 0;
	while (TRY(batch_next(&reader, &event)))
		b->bytes += event.message.n + LOGS_MAX_EVENT_OVERHEAD;
	return 0;
}

/* One chunk of batches that are wholly before `cutoff_ms`: how many. */
static int expire_chunk(
	struct kv *kv, const struct log_scope *scope, uint64_t group, int64_t cutoff_ms)
{
	struct arena a cleanup(arena_done_p);
	struct expiry x = {.arena = &a, .group = group};
	size_t bytes = 0;
	str key, record;

	arena_init(&a, ARENA_BYTES);
	struct kv_range range = {.from = log_key_batch(&a, group, 0, 0),
		.to = log_key_batch(&a, group, MAX(cutoff_ms - BATCH_SPAN_MS, 0), 0),
		.limit = CHUNK};
	x.batches = arena_new_array(&a, struct old_batch, CHUNK);
	x.keys = arena_new_array(&a, str, CHUNK);
	struct kv_scan *scan = NULL;
	int rc = kv_scan_open(kv, &range, &scan);
	while (rc >= 0 && x.count < CHUNK && bytes < CHUNK_BYTES &&
		(rc = kv_scan_next(scan, &key, &record)) == 1) {
		struct old_batch *b = &x.batches[x.count];

		rc = log_key_batch_take(key, &b->time_ms, &b->sequence);
		if (rc >= 0)
			rc = batch_about(&a, scope, group, record, b);
		x.keys[x.count++] = b->stream_key;
		bytes += record.n;
	}
	kv_scan_close(scan); /* before the transaction, which may wait */
	TRY(rc);
	if (x.count)
		TRY(kv_run(kv, x.keys, x.count, expire_run, &x, rt_after_ms(CHUNK_DEADLINE_MS)));
	return (int)x.count;
}

/* ---- going through everything ---- */

struct found {
	uint64_t group, stream;
	int64_t days;
};

/* What there is to do of one kind in a scope: from `*from` on, at most CHUNK; 0: no more. */
static int find_work(struct kv *kv, struct arena *a, const struct log_scope *scope, char kind,
	str *from, struct found *ret_found)
{
	struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
	str prefix = log_key_scope(a, scope, kind), key, record;
	struct kv_range range = range_of(a, prefix);
	struct log_group group;
	int n = 0;

	if (from->p)
		range.from = *from;
	TRY(kv_scan_open(kv, &range, &scan));
	while (n < CHUNK && TRY(kv_scan_next(scan, &key, &record))) {
		struct found f = {0};
		str rest = str_from(key, prefix.n);

		*from = ARENA_CONCAT(a, key, str_of("", 1));
		if (kind == LOG_KEY_GROUP) {
			TRY(log_group_decode(a, arena_str(a, record), &group));
			f.group = group.id;
			f.days = value_int(group.about, "retentionInDays", 0);
		} else if (!str_take_be64(&rest, &f.group) ||
			   (kind == LOG_KEY_GONE_STREAM && !str_take_be64(&rest, &f.stream))) {
			return ERR_CORRUPT;
		}
		ret_found[n++] = f;
	}
	return n;
}

static int do_work(struct kv *kv, const struct log_scope *scope, char kind, const struct found *f,
	int64_t wall_ms)
{
	int n = 0;

	if (kind == LOG_KEY_GONE)
		return sweep_group_gone(kv, scope, f->group);
	if (kind == LOG_KEY_GONE_STREAM)
		return sweep_stream_gone(kv, scope, f->group, f->stream);
	while (f->days &&
		(n = TRY(expire_chunk(kv, scope, f->group, wall_ms - f->days * DAY_MS))) > 0)
		TRY(rt_yield());
	return 0;
}

static int sweep_scope(struct kv *kv, const struct log_scope *scope, int64_t wall_ms)
{
	static const char kinds[] = {LOG_KEY_GROUP, LOG_KEY_GONE, LOG_KEY_GONE_STREAM};

	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
		struct arena a cleanup(arena_done_p);
		struct found *found;
		str from = STR_NULL;
		int n;

		arena_init(&a, ARENA_BYTES);
		found = arena_new_array(&a, struct found, CHUNK);
		while ((n = TRY(find_work(kv, &a, scope, kinds[k], &from, found))) > 0)
			for (int i = 0; i < n; i++)
				TRY(do_work(kv, scope, kinds[k], &found[i], wall_ms));
	}
	return 0;
}

/* The first scope at or behind `*from`, which then is behind it: 1, or 0. */
static int next_scope(struct kv *kv, struct arena *a, str *from, struct log_scope *ret_scope)
{
	struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
	struct buf area;
	str key, record;

	buf_init(&area, a, 16);
	keyspace_area(&area, KEYSPACE_LOGS_GROUPS);
	struct kv_range range = range_of(a, buf_str(&area));
	range.limit = 1;
	if (from->p)
		range.from = *from;
	TRY(kv_scan_open(kv, &range, &scan));
	if (!TRY(kv_scan_next(scan, &key, &record)))
		return 0;
	key = str_from(arena_str(a, key), area.n);
	if (!keyspace_take(a, &key, &ret_scope->account) ||
		!keyspace_take(a, &key, &ret_scope->region))
		return ERR_CORRUPT;
	*from = keyspace_prefix_end(a, log_key_scope(a, ret_scope, 0));
	return 1;
}

int logs_sweep(struct logs *logs, int64_t wall_ms)
{
	struct arena a cleanup(arena_done_p);
	struct kv *kv = atomic_load(&logs->kv);
	struct log_scope scope;
	str from = STR_NULL;

	arena_init(&a, ARENA_BYTES);
	if (!kv)
		return ERR_CLOSED;
	while (TRY(next_scope(kv, &a, &from, &scope)))
		TRY(sweep_scope(kv, &scope, wall_ms));
	return 0;
}

void logs_sweeper(void *arg)
{
	struct logs *logs = arg;
	int64_t pause = logs->options.sweep_ms ? logs->options.sweep_ms : SWEEP_MS;

	logs->sweeper = rt_fiber_self();
	logs->sweeper_id = rt_fiber_id(logs->sweeper);
	while (rt_sleep_until(rt_after_ms(pause)) == 0) {
		int rc = logs_sweep(logs, rt_wall() / RT_NS_MS);

		if (rc < 0 && rc != ERR_CANCELLED)
			log_line(LOG_WARN, "logs", "sweep stopped", "rc=%s", rc_name(rc));
	}
	logs->sweeper = NULL;
	rt_waitq_wake_all(&logs->sweeper_ended);
}
