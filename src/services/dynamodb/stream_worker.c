/*
 * What happens to streams with time, by one fiber per server: a stream of a table in use begins,
 * shards are closed after four hours and followed by a child, records are trimmed after 24 hours,
 * a stream that was ended is settled (its shards get their ends), and removed 24 hours later.
 *
 * All of it follows from the streams' documents, so a restart just goes on. The fiber sleeps until
 * the next of these is due, or until a stream ends (stream_changed()). Everything is done
 * in small transactions that declare the table's key (stream.h).
 *
 * The end of a shard is the horizon of its records' stamps. It is asked for after it is written
 * that the shard is CLOSING, and readers ask for the horizon before they read the document; so who
 * has seen the shard open has read no record above its end, and the child has all the others.
 */
#include "services/dynamodb/resource_policy.h"
#include "services/dynamodb/service.h"

#include "aws/keyspace.h"
#include "base/check.h"
#include "base/log.h"
#include "base/rc.h"
#include "kv/kv.h"

enum {
	PAGE_STREAMS = 50,
	BATCH_RECORDS = 500,
	BATCHES = 100, /* then other streams get their turn */
	BATCH_BYTES = 8 << 20,
	TXN_MS = 10 * 1000,
	RETRY_MS = 1000,
	PAUSE_MS = 5,
	LOOK_MS_MAX = STREAM_HOUR_MS,
};

/* One pass over a stream. */
struct tending {
	struct dynamodb *d;
	struct arena *arena;
	str key, table_key;
	struct stream *stream; /* as the last transaction left it */
	int64_t now_ms;
	int64_t next_ms; /* when something is due next */
};

static void due_at(struct tending *t, int64_t ms)
{
	t->next_ms = MIN(t->next_ms, ms);
}

/* ---- changes of the document ---- */

struct revision {
	struct tending *t;
	/* Changes the stream: 1 to put it back, 0 when it is not as expected any more. */
	int (*apply)(struct revision *r, struct stream *s);
	uint64_t horizon[STREAM_BUCKETS];
	size_t shard;     /* place of the one that is changed */
	uint64_t trimmed; /* new trimming point of the shard */
	const str *gone;  /* keys of records that go with it */
	size_t gone_count;
	bool remove; /* the document goes */
};

static int revise_in_store(struct kv_txn *txn, void *arg)
{
	struct revision *r = arg;
	struct tending *t = r->t;
	str document;

	if (!TRY(kv_txn_get(txn, t->key, t->arena, &document)))
		return 0;
	TRY(stream_decode(t->arena, document, t->stream));
	if (!r->apply(r, t->stream))
		return 0;
	/* Nobody else writes records once their stamp is given. */
	for (size_t i = 0; i < r->gone_count; i++)
		kv_txn_delete_covered(txn, r->gone[i]);
	if (r->remove) {
		kv_txn_delete_covered(txn, t->key);
		kv_txn_delete_covered(txn, resource_policy_key(t->arena, t->stream->id));
	} else {
		kv_txn_put_covered(txn, t->key, stream_encode(t->arena, t->stream));
	}
	return 1;
}

/* 1: done; 0: the stream was not as expected. */
static int revise(struct revision *r)
{
	return kv_run(r->t->d->kv, &r->t->table_key, 1, revise_in_store, r, rt_after_ms(TXN_MS));
}

static int horizons(struct revision *r)
{
	struct tending *t = r->t;

	for (uint8_t i = 0; i < STREAM_BUCKETS; i++)
		TRY(kv_horizon(t->d->kv, stream_bucket_prefix(t->arena, t->stream->id, i),
			&r->horizon[i]));
	return 0;
}

/* ---- records ---- */

/* The first record of the shard that is not trimmed, and its time: 1, or 0. */
static int first_record(struct tending *t, const struct stream_shard *h, int64_t *ret_wall_ms)
{
	struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
	struct kv_range range = {.limit = 1};
	struct stream_record record;
	str key, value;

	stream_shard_range(t->arena, t->stream->id, h, h->trimmed, UINT64_MAX, &range);
	TRY(kv_scan_open(t->d->kv, &range, &scan));
	if (!TRY(kv_scan_next(scan, &key, &value)))
		return 0;
	TRY(stream_record_decode(value, &record));
	*ret_wall_ms = record.wall_ms;
	return 1;
}

/* Keys of records, in the arena, until `old_ms` or a batch is full. */
static int old_records(struct tending *t, struct arena *a, const struct kv_range *range,
	int64_t old_ms, str *keys, size_t *ret_count)
{
	struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
	str key, value;
	size_t n = 0;

	TRY(kv_scan_open(t->d->kv, range, &scan));
	while (n < BATCH_RECORDS && TRY(kv_scan_next(scan, &key, &value))) {
		struct stream_record record;

		TRY(stream_record_decode(value, &record));
		if (record.wall_ms > old_ms)
			break;
		keys[n++] = arena_str(a, key);
	}
	*ret_count = n;
	return 0;
}

static int apply_trim(struct revision *r, struct stream *s)
{
	struct stream_shard *h = &s->shards[r->shard];

	if (r->shard >= s->shard_count || r->trimmed <= h->trimmed)
		return 0;
	h->trimmed = r->trimmed;
	return 1;
}

/* A batch of one shard's records older than `old_ms`: how many went. */
static int trim_some(struct tending *t, size_t shard, int64_t old_ms)
{
	struct arena a cleanup(arena_done_p);
	const struct stream_shard *h = &t->stream->shards[shard];
	struct revision r = {.t = t, .apply = apply_trim, .shard = shard};
	struct kv_range range = {.limit = BATCH_RECORDS};
	str *keys;
	size_t n;

	arena_init(&a, BATCH_BYTES);
	keys = arena_new_array(&a, str, BATCH_RECORDS);
	TRY(horizons(&r));
	stream_shard_range(&a, t->stream->id, h, h->trimmed, r.horizon[h->bucket], &range);
	TRY(old_records(t, &a, &range, old_ms, keys, &n));
	if (!n)
		return 0;
	TRY(stream_key_stamp(keys[n - 1], &r.trimmed));
	r.gone = keys;
	r.gone_count = n;
	return TRY(revise(&r))
	? (int)n : 0;
}

/* 1: nothing that old is left; 0: there may be more, and the next turn is due at once. */
static int trim_shard(struct tending *t, size_t shard, int64_t old_ms)
{
	for (unsigned i = 0; i < BATCHES; i++) {
		if (!TRY(trim_some(t, shard, old_ms)))
			return 1;
		if (atomic_load(&t->d->stopping))
			return ERR_CANCELLED;
		TRY(rt_sleep_until(rt_after_ms(PAUSE_MS)));
	}
	due_at(t, t->now_ms);
	return 0;
}

/* ---- trimming ---- */

static int apply_drop(struct revision *r, struct stream *s)
{
	if (r->shard >= s->shard_count || s->shards[r->shard].state != SHARD_CLOSED)
		return 0;
	memmove(&s->shards[r->shard], &s->shards[r->shard + 1],
		(s->shard_count - r->shard - 1) * sizeof *s->shards);
	s->shard_count--;
	return 1;
}

/* 1: the shard is gone, and the next one has its place. */
static int trim(struct tending *t, size_t shard)
{
	struct revision r = {.t = t, .apply = apply_drop, .shard = shard};
	const struct stream_shard *h = &t->stream->shards[shard];
	int64_t wall_ms;

	TRY(trim_shard(t, shard, t->now_ms - STREAM_KEPT_MS));
	if (TRY(first_record(t, h, &wall_ms)))
		due_at(t, wall_ms + STREAM_KEPT_MS);
	if (h->state != SHARD_CLOSED)
		return 0;
	if (h->closed_ms + STREAM_KEPT_MS > t->now_ms) {
		due_at(t, h->closed_ms + STREAM_KEPT_MS);
		return 0;
	}
	/* Whatever its records' clocks say. */
	if (!TRY(trim_shard(t, shard, INT64_MAX)))
		return 0;
	return revise(&r);
}

/* ---- closing ---- */

static int apply_closing(struct revision *r, struct stream *s)
{
	struct stream_shard *h = &s->shards[r->shard];

	if (r->shard >= s->shard_count || s->disabled_ms || h->state != SHARD_OPEN)
		return 0;
	h->state = SHARD_CLOSING;
	return 1;
}

static void close_shard(struct stream_shard *h, uint64_t horizon, int64_t now_ms)
{
	h->state = SHARD_CLOSED;
	h->closed_ms = now_ms;
	h->last = MAX(horizon, h->trimmed);
}

static int apply_split(struct revision *r, struct stream *s)
{
	struct stream_shard *h = &s->shards[r->shard];

	if (r->shard >= s->shard_count || s->disabled_ms || h->state != SHARD_CLOSING ||
		s->shard_count == STREAM_SHARDS_MAX)
		return 0;
	close_shard(h, r->horizon[h->bucket], r->t->now_ms);
	s->shards[s->shard_count++] =
		(struct stream_shard){.id = stream_shard_id(r->t->arena, r->t->now_ms),
			.parent = h->id,
			.bucket = h->bucket,
			.created_ms = r->t->now_ms,
			.after = h->last,
			.trimmed = h->last};
	return 1;
}

/* Closes the shard when it is time, and opens its child. */
static int roll_over(struct tending *t, size_t shard)
{
	struct revision closing = {.t = t, .apply = apply_closing, .shard = shard};
	struct revision split = {.t = t, .apply = apply_split, .shard = shard};
	const struct stream_shard *h = &t->stream->shards[shard];
	int64_t wall_ms;

	if (h->state == SHARD_CLOSED)
		return 0;
	if (h->state == SHARD_OPEN) {
		if (h->created_ms + STREAM_SHARD_MS > t->now_ms) {
			due_at(t, h->created_ms + STREAM_SHARD_MS);
			return 0;
		}
		if (!TRY(first_record(t, h, &wall_ms)) ||
			t->stream->shard_count == STREAM_SHARDS_MAX)
			return 0; /* looked at again within the hour */
		if (!TRY(revise(&closing)))
			return 0;
	}
	TRY(horizons(&split));
	if (TRY(revise(&split)))
		due_at(t, t->now_ms + STREAM_SHARD_MS);
	return 0;
}

/* ---- the beginning, and the end ---- */

static int apply_begin(struct revision *r, struct stream *s)
{
	if (s->phase != STREAM_ENABLING || s->disabled_ms)
		return 0;
	for (size_t i = 0; i < s->shard_count; i++)
		s->shards[i].after = s->shards[i].trimmed = r->horizon[s->shards[i].bucket];
	s->phase = STREAM_RUNNING;
	return 1;
}

static int apply_settle(struct revision *r, struct stream *s)
{
	for (size_t i = 0; i < s->shard_count; i++)
		if (s->shards[i].state != SHARD_CLOSED)
			close_shard(&s->shards[i], r->horizon[s->shards[i].bucket], r->t->now_ms);
	s->phase = STREAM_SETTLED;
	return 1;
}

/* The stamp of the bucket's last record, 0: it has none. */
static int last_stamp(struct tending *t, uint8_t bucket, uint64_t *ret_stamp)
{
	struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
	struct kv_range range = {.reverse = true, .limit = 1};
	str key, value;

	range.from = stream_bucket_prefix(t->arena, t->stream->id, bucket);
	range.to = keyspace_prefix_end(t->arena, range.from);
	*ret_stamp = 0;
	TRY(kv_scan_open(t->d->kv, &range, &scan));
	if (!TRY(kv_scan_next(scan, &key, &value)))
		return 0;
	return stream_key_stamp(key, ret_stamp);
}

/* The last stamps that were given, which the horizons may not have reached yet. */
static int last_stamps(struct revision *r)
{
	TRY(horizons(r));
	for (uint8_t i = 0; i < STREAM_BUCKETS; i++) {
		uint64_t last;

		TRY(last_stamp(r->t, i, &last));
		r->horizon[i] = MAX(r->horizon[i], last);
	}
	return 0;
}

/* Revises the stream at the last stamps of those who write now, once they have left. */
static int revise_behind_writers(
	struct tending *t, int (*apply)(struct revision *r, struct stream *s))
{
	struct revision r = {.t = t, .apply = apply};

	TRY(dynamodb_wait_for_writers(t->d));
	TRY(last_stamps(&r));
	TRY(revise(&r));
	return 0;
}

/*
 * Once those have left who did not know the stream, it begins: the records above what was there by
 * then are all that has happened to the table since.
 */
static int begin(struct tending *t)
{
	return revise_behind_writers(t, apply_begin);
}

/* Requests that knew the stream may still write to it: after them its shards get their ends. */
static int settle(struct tending *t)
{
	return revise_behind_writers(t, apply_settle);
}

static int apply_remove(struct revision *r, struct stream *s)
{
	return r->remove = s->phase == STREAM_SETTLED;
}

/* 24 hours after its end. */
static int remove_stream(struct tending *t)
{
	struct revision r = {.t = t, .apply = apply_remove};

	for (size_t i = 0; i < t->stream->shard_count; i++)
		if (!TRY(trim_shard(t, i, INT64_MAX)))
			return 0;
	TRY(revise(&r));
	return 0;
}

static int tend(struct tending *t)
{
	struct stream *s = t->stream;

	if (s->disabled_ms) {
		if (s->phase != STREAM_SETTLED)
			TRY(settle(t));
		if (s->disabled_ms + STREAM_KEPT_MS <= t->now_ms)
			return remove_stream(t);
		due_at(t, s->disabled_ms + STREAM_KEPT_MS);
	} else if (s->phase == STREAM_ENABLING) {
		TRY(begin(t));
	}
	for (size_t i = 0; i < s->shard_count;)
		i += TRY(trim(t, i))
	? 0 : 1;
	for (size_t i = 0; i < s->shard_count && !s->disabled_ms; i++)
		TRY(roll_over(t, i));
	return 0;
}

int stream_begin(struct dynamodb *d, struct arena *a, const struct table *t)
{
	struct tending own = {.d = d,
		.arena = a,
		.key = stream_key(a, t->account, t->region, t->name, t->stream.label),
		.table_key = table_key(a, t->account, t->region, t->name),
		.stream = arena_new(a, struct stream),
		.now_ms = rt_wall() / RT_NS_MS};

	own.stream->id = t->stream.id;
	return begin(&own);
}

/* ---- all of them ---- */

/* One stream; what goes wrong is logged and tried again. */
static int tend_one(struct dynamodb *d, str key, str document, int64_t *next_ms)
{
	struct arena a cleanup(arena_done_p);
	struct tending t = {.d = d, .arena = &a, .key = key, .next_ms = *next_ms};
	int rc;

	arena_init(&a, BATCH_BYTES);
	t.now_ms = rt_wall() / RT_NS_MS;
	t.stream = arena_new(&a, struct stream);
	rc = stream_decode(&a, document, t.stream);
	if (rc == 0) {
		t.table_key = table_key(&a, t.stream->account, t.stream->region, t.stream->table);
		rc = tend(&t);
	}
	*next_ms = t.next_ms;
	if (rc < 0 && !atomic_load(&d->stopping)) {
		if (rc != ERR_CANCELLED && rc != ERR_CONFLICT)
			log_warn("dynamodb", "a stream could not be looked after", "rc=%s",
				rc_name(rc));
		*next_ms = MIN(*next_ms, t.now_ms + RETRY_MS);
	}
	return atomic_load(&d->stopping) || rt_cancelled() ? ERR_CANCELLED : 0;
}

/* Copies of up to a page of streams' entries; *from becomes where the next page begins. */
static int read_page(struct dynamodb *d, struct arena *a, struct buf *from, str end, str *entries)
{
	struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
	const struct kv_range range = {.from = buf_str(from), .to = end, .limit = PAGE_STREAMS};
	str key, value;
	int n = 0;

	TRY(kv_scan_open(d->kv, &range, &scan));
	while (TRY(kv_scan_next(scan, &key, &value))) {
		entries[2 * n] = arena_str(a, key);
		entries[2 * n + 1] = arena_str(a, value);
		n++;
	}
	if (n) {
		buf_reset(from);
		buf_put(from, entries[2 * n - 2]);
		buf_put_char(from, 0);
	}
	return n;
}

static int tend_all(struct dynamodb *d, int64_t *next_ms)
{
	struct arena own cleanup(arena_done_p);
	struct buf from;
	str end;

	arena_init(&own, SIZE_MAX);
	buf_init(&from, &own, KEYSPACE_KEY_MAX);
	keyspace_area(&from, KEYSPACE_DYNAMODB_STREAMS);
	end = keyspace_prefix_end(&own, buf_str(&from));
	for (;;) {
		struct arena a cleanup(arena_done_p);
		str *entries;
		int n;

		arena_init(&a, SIZE_MAX);
		entries = arena_new_array(&a, str, 2 * PAGE_STREAMS);
		n = TRY(read_page(d, &a, &from, end, entries));
		for (int i = 0; i < n; i++)
			TRY(tend_one(d, entries[2 * i], entries[2 * i + 1], next_ms));
		if (n < PAGE_STREAMS)
			return 0;
	}
}

void dynamodb_stream_worker(void *arg)
{
	struct dynamodb *d = arg;

	while (!atomic_load(&d->stopping) && !rt_cancelled()) {
		int64_t begun_ms = rt_wall() / RT_NS_MS, next_ms = begun_ms + LOOK_MS_MAX;
		int rc = tend_all(d, &next_ms);

		if (rc < 0)
			next_ms = begun_ms + RETRY_MS;
		rc = rt_event_wait(dynamodb_wanted(d, WORKER_STREAMS),
			rt_after_ms(MAX(next_ms - rt_wall() / RT_NS_MS, 1)));
		if (rc == ERR_CANCELLED)
			break;
	}
}
