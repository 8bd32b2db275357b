/*
 * Streams as a source of records for event source mappings: the port of aws/ports/records.h.
 *
 * A position is a letter and a stamp: 'T' (nothing was read yet; trimming does not matter), or 'A'.
 * Who waits is woken after commits of this process (stream_notify()). Besides it looks once a
 * second, because other nodes may write and shards are closed; on the embedded engine such a look
 * reads memory only. Right after a wake it looks more often, until the horizon has reached what was
 * committed.
 */
#include "aws/ports/records.h"
#include "services/dynamodb/streams.h"

#include "base/check.h"
#include "base/json.h"
#include "base/rc.h"
#include "kv/kv.h"

enum {
	LOOK_MS = 1000,
	LOOK_SOON_MS = 2,
	READ_RECORDS_MAX = 10000, /* a batch of a mapping */
	RECORD_JSON_MAX = 8 << 20,
};

/* ---- positions ---- */

static str position_text(struct arena *a, bool trim_horizon, uint64_t after)
{
	return arena_printf(a, "%c%llu", trim_horizon ? 'T' : 'A', (unsigned long long)after);
}

static int position_parse(str text, struct stream_look *look)
{
	if (text.n < 2 || (text.p[0] != 'T' && text.p[0] != 'A') ||
		str_to_u64(str_from(text, 1), UINT64_MAX, &look->after) < 0)
		return ERR_INVALID;
	look->trim_horizon = text.p[0] == 'T';
	return 0;
}

/* ---- shards ---- */

static int find(struct dynamodb *d, struct arena *a, str arn, struct stream *s)
{
	struct stream_arn_parts at;

	if (!stream_arn_parse(arn, &at) ||
		!TRY(stream_find(d->kv, a, at.account, at.region, at.table, at.label, s)))
		return ERR_NOT_FOUND;
	return 0;
}

static int list_shards(void *self, struct arena *a, str arn, struct records_shard **ret_shards)
{
	struct stream *s = arena_new(a, struct stream);
	struct records_shard *shards;

	TRY(find(self, a, arn, s));
	shards = arena_new_array(a, struct records_shard, s->shard_count);
	for (size_t i = 0; i < s->shard_count; i++)
		shards[i] = (struct records_shard){.id = s->shards[i].id,
			.parent = s->shards[i].parent,
			.closed = s->shards[i].state == SHARD_CLOSED};
	*ret_shards = shards;
	return (int)s->shard_count;
}

static int start(void *self, struct arena *a, str arn, str shard, enum records_start from,
	int64_t time_ms, str *ret_position)
{
	struct dynamodb *d = self;
	struct stream *s = arena_new(a, struct stream);
	const struct stream_shard *h;
	uint64_t after;

	(void)time_ms;
	if (from == RECORDS_AT_TIMESTAMP)
		return ERR_UNSUPPORTED;
	TRY(find(d, a, arn, s));
	h = stream_shard_named(s, shard);
	if (!h)
		return ERR_NOT_FOUND;
	after = h->after;
	if (from == RECORDS_LATEST)
		TRY(stream_latest(d->kv, a, s, h, &after));
	*ret_position = position_text(a, from == RECORDS_TRIM_HORIZON, after);
	return 0;
}

/* ---- reading ---- */

struct collecting {
	struct arena *arena;
	const struct records_read *request;
	struct record_of_source *records;
	size_t count, capacity, bytes;
};

static str key_of(struct arena *a, const struct stream *s, const struct stream_record *r)
{
	str value;

	check(item_find(r->keys, s->partition, &value) == 1);
	return arena_str(a, value);
}

static struct record_of_source *room(struct collecting *all)
{
	if (all->count == all->capacity) {
		size_t capacity = MAX((size_t)16, all->capacity * 2);
		struct record_of_source *more =
			arena_new_array(all->arena, struct record_of_source, capacity);

		if (all->count)
			memcpy(more, all->records, all->count * sizeof *more);
		all->records = more;
		all->capacity = capacity;
	}
	return &all->records[all->count];
}

/* 1: no room for it in this batch. */
static int collect(void *arg, const struct stream *s, const struct stream_shard *h, uint64_t stamp,
	const struct stream_record *record)
{
	struct collecting *all = arg;
	struct record_of_source *to;
	struct json_writer w;
	struct buf json;

	buf_init(&json, all->arena, RECORD_JSON_MAX);
	json_writer_init(&w, &json);
	stream_record_render(&w, s, h, stamp, record, all->request->arn);
	if (json.over)
		return ERR_TOO_LARGE;
	if (all->count && all->bytes + json.n > all->request->bytes_max)
		return 1;
	to = room(all);
	*to = (struct record_of_source){.key = key_of(all->arena, s, record),
		.sequence = stream_sequence(all->arena, stamp),
		.position = position_text(all->arena, false, stamp),
		.time_ms = record->wall_ms,
		.json = buf_str(&json)};
	all->bytes += json.n;
	all->count++;
	return 0;
}

/* One look: 1 when there is something to say, 0 to wait. */
static int look_once(struct dynamodb *d, struct arena *a, const struct records_read *request,
	struct stream_look *look, struct records_batch *batch)
{
	struct collecting all = {.arena = a, .request = request};
	int rc;

	look->each = collect;
	look->arg = &all;
	rc = stream_look(d->kv, a, look);
	if (rc == LOOK_TRIMMED) { /* the oldest that is left, and say so */
		batch->trimmed = true;
		look->trim_horizon = true;
		rc = stream_look(d->kv, a, look);
	}
	if (rc == ERR_CONFLICT)
		rc = LOOK_DONE; /* with what was read */
	if (TRY(rc) != LOOK_DONE)
		return ERR_NOT_FOUND;
	batch->records = all.records;
	batch->count = all.count;
	batch->end = look->ended;
	batch->behind_ms =
		all.count && !look->all
			? MAX(rt_wall() / RT_NS_MS - all.records[all.count - 1].time_ms, 1)
			: 0;
	if (look->next != look->after)
		look->trim_horizon = false;
	look->after = look->next;
	batch->position = position_text(a, look->trim_horizon, look->after);
	return batch->count || batch->end;
}

/*
 * Looks until there is something to read, or the deadline; leaves nothing in an arena. The wait has
 * begun.
 */
static int look_until(struct dynamodb *d, const struct records_read *request,
	const struct stream_look *look, struct stream_wait *wait)
{
	int64_t pause_ms = LOOK_SOON_MS;

	for (;;) {
		struct arena a cleanup(arena_done_p);
		struct stream_look probe = *look;
		struct records_batch found = {.count = 0};
		int rc;

		arena_init(&a, SIZE_MAX);
		probe.records_max = 1;
		if (TRY(look_once(d, &a, request, &probe, &found)) || rt_now() >= request->deadline)
			return 0;
		if (request->stopping && atomic_load(request->stopping))
			return ERR_CANCELLED;
		rc = rt_event_wait(&wait->event, MIN(request->deadline, rt_after_ms(pause_ms)));
		if (rc < 0 && rc != ERR_TIMEOUT)
			return rc;
		pause_ms = rc == 0 ? LOOK_SOON_MS : MIN(2 * pause_ms, (int64_t)LOOK_MS);
	}
}

static int read_records(void *self, struct arena *a, const struct records_read *request,
	struct records_batch *ret_batch)
{
	struct dynamodb *d = self;
	struct records_batch batch = {.count = 0};
	struct stream_look look = {.shard = request->shard,
		.records_max = MIN(MAX(request->records_max, (size_t)1), (size_t)READ_RECORDS_MAX),
		.bytes_max = SIZE_MAX};
	struct stream_wait wait;
	int rc;

	if (!stream_arn_parse(request->arn, &look.at))
		return ERR_NOT_FOUND;
	TRY(position_parse(request->position, &look));
	rc = TRY(look_once(d, a, request, &look, &batch));
	if (!rc && rt_now() < request->deadline) {
		stream_wait_begin(&d->stream_waits, &wait, look.stream->id);
		rc = look_until(d, request, &look, &wait);
		stream_wait_end(&d->stream_waits, &wait);
		TRY(rc);
		TRY(look_once(d, a, request, &look, &batch));
	}
	*ret_batch = batch;
	return 0;
}

void dynamodb_records_init(struct dynamodb *d)
{
	d->records = (struct port_records){.self = d,
		.arn_prefix = STR("arn:aws:dynamodb:"),
		.shards = list_shards,
		.start = start,
		.read = read_records};
}
