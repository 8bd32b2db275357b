/*
 * Writing lines: one queue and at most one writing fiber per loop, so that lines of many calls
 * share a transaction, and consecutive lines of a stream share a record.
 *
 * Callers that do not wait (output of functions) are bounded by queue_bytes_max and never held
 * back: beyond it lines are dropped and counted. The fiber lingers a few milliseconds for company
 * unless somebody waits, and ends when the queue is empty.
 *
 * A flush looks up its groups (making those that it may), declares the keys of its streams, and in
 * one transaction checks the groups again, makes missing streams, writes batches and brings the
 * streams' records up to date.
 */
#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rc.h"
#include "services/logs/service.h"

enum {
	FLUSH_ARENA_BYTES = 64 * 1024 * 1024,
	FLUSH_DEADLINE_MS = 30000,
	LINGER_MS = 5,
	QUEUE_BYTES = 8 * 1024 * 1024,
	ENTRY_BYTES = 512, /* counted for each entry besides its text */
	SEQUENCE_LOOP_BITS = 10,
};

/* ---- a flush ---- */

struct flush_group {
	struct log_scope scope;
	str name;
	bool make;
	uint64_t id; /* 0: there is none */
};

struct flush_stream {
	struct flush_group *group;
	str name, key;
	bool make;
	int result;
	size_t bytes;
};

struct flush {
	struct log_writer *writer;
	struct kv *kv;
	struct arena arena;
	struct log_entry **entries;
	size_t count;
	struct flush_group *groups;
	size_t group_count;
	struct flush_stream *streams;
	size_t stream_count;
	int64_t wall_ms;
	uint64_t batches;
};

static bool scope_eq(const struct log_scope *a, const struct log_scope *b)
{
	return str_eq(a->account, b->account) && str_eq(a->region, b->region);
}

/* Entries, and so groups and streams, are at most FLUSH_ENTRIES; neighbours are usually alike. */
static struct flush_group *group_of(struct flush *f, const struct log_entry *entry)
{
	for (size_t i = f->group_count; i-- > 0;)
		if (str_eq(f->groups[i].name, entry->group) &&
			scope_eq(&f->groups[i].scope, &entry->scope)) {
			f->groups[i].make |= entry->make_group;
			return &f->groups[i];
		}
	struct flush_group *group = &f->groups[f->group_count++];
	*group = (struct flush_group){
		.scope = entry->scope, .name = entry->group, .make = entry->make_group};
	return group;
}

static struct flush_stream *stream_of(struct flush *f, const struct log_entry *entry)
{
	struct flush_group *group = group_of(f, entry);

	for (size_t i = f->stream_count; i-- > 0;)
		if (f->streams[i].group == group && str_eq(f->streams[i].name, entry->stream)) {
			f->streams[i].make |= entry->make_stream;
			return &f->streams[i];
		}
	struct flush_stream *stream = &f->streams[f->stream_count++];
	*stream = (struct flush_stream){
		.group = group, .name = entry->stream, .make = entry->make_stream};
	return stream;
}

static int find_group(struct flush *f, struct flush_group *group)
{
	struct log_group found;

	for (int attempt = 0; attempt < 3; attempt++) {
		int rc = TRY(log_group_get(f->kv, &f->arena, &group->scope, group->name, &found));
		if (rc == 1) {
			group->id = found.id;
			return 0;
		}
		if (!group->make)
			return 0;
		rc = log_group_create(f->kv, &f->arena, &group->scope, group->name, NULL,
			f->wall_ms, rt_after_ms(FLUSH_DEADLINE_MS));
		if (rc < 0 && rc != ERR_EXISTS)
			return rc;
	}
	return 0; /* somebody deletes it again and again */
}

static uint64_t next_sequence(struct log_writer *writer)
{
	uint64_t now = (uint64_t)(rt_wall() / RT_NS_US) << SEQUENCE_LOOP_BITS;

	now |= rt_loop_index();
	writer->sequence = MAX(now, writer->sequence + (1u << SEQUENCE_LOOP_BITS));
	return writer->sequence;
}

static void put_batch(struct flush *f, struct kv_txn *txn, const struct flush_stream *stream,
	struct log_stream *state, const struct batch_event *events, size_t n)
{
	uint64_t sequence = next_sequence(f->writer), group = stream->group->id;
	int64_t first = events[0].time_ms, last = events[n - 1].time_ms;
	struct buf record;

	buf_init(&record, &f->arena, BATCH_BYTES_MAX);
	log_record_begin(&record);
	batch_encode(&record, state->id, f->wall_ms, stream->name, events, n);
	check(!record.over);
	kv_txn_put_covered(txn, log_key_batch(&f->arena, group, first, sequence), buf_str(&record));
	kv_txn_put_covered(
		txn, log_key_batch_of(&f->arena, group, state->id, first, sequence), STR(""));
	for (size_t i = 0; i < n; i++)
		state->bytes += events[i].message.n + LOGS_MAX_EVENT_OVERHEAD;
	state->first_ms = state->first_ms < 0 ? first : MIN(first, state->first_ms);
	state->last_ms = MAX(last, state->last_ms);
	state->ingestion_ms = f->wall_ms;
	f->batches++;
}

/* All events of one stream, in the order of the entries. */
static void put_events(struct flush *f, struct kv_txn *txn, const struct flush_stream *stream,
	struct log_stream *state)
{
	struct batch_event *events;
	size_t n = 0, at = 0;

	for (size_t i = 0; i < f->count; i++)
		if (f->entries[i]->to == stream)
			n += f->entries[i]->count;
	events = arena_new_array(&f->arena, struct batch_event, n + 1);
	for (size_t i = 0; i < f->count; i++) {
		const struct log_entry *entry = f->entries[i];

		if (entry->to != stream)
			continue;
		memcpy(events + at, entry->events, entry->count * sizeof(*events));
		at += entry->count;
	}
	for (at = 0; at < n;) {
		size_t fit = batch_fit(events + at, n - at);

		put_batch(f, txn, stream, state, events + at, fit);
		at += fit;
	}
}

static int flush_stream(struct flush *f, struct kv_txn *txn, struct flush_stream *stream)
{
	struct arena *a = &f->arena;
	struct log_stream state = {
		.created_ms = f->wall_ms, .first_ms = -1, .last_ms = -1, .ingestion_ms = -1};
	str record;

	if (!stream->group->id) {
		stream->result = WRITE_NO_GROUP;
		return 0;
	}
	if (TRY(kv_txn_get(txn, stream->key, a, &record))) {
		TRY(log_stream_decode(record, &state));
	} else if (!stream->make) {
		stream->result = WRITE_NO_STREAM;
		return 0;
	} else {
		state.id = log_new_id();
	}
	put_events(f, txn, stream, &state);
	kv_txn_put(txn, stream->key, log_stream_encode(a, &state));
	stream->result = WRITE_STORED;
	return 0;
}

static int flush_run(struct kv_txn *txn, void *arg)
{
	struct flush *f = arg;
	struct log_group group;
	str record;

	f->batches = 0;
	for (size_t i = 0; i < f->group_count; i++) {
		struct flush_group *g = &f->groups[i];
		str key = log_key_group(&f->arena, &g->scope, g->name);

		if (!g->id)
			continue;
		group.id = 0;
		if (TRY(kv_txn_get(txn, key, &f->arena, &record)))
			TRY(log_group_decode(&f->arena, record, &group));
		if (group.id != g->id)
			g->id = 0; /* deleted since it was looked up */
	}
	for (size_t i = 0; i < f->stream_count; i++)
		TRY(flush_stream(f, txn, &f->streams[i]));
	return 0;
}

static int flush_write(struct flush *f)
{
	str *keys = arena_new_array(&f->arena, str, f->count + 1);
	size_t n = 0;

	f->groups = arena_new_array(&f->arena, struct flush_group, f->count + 1);
	f->streams = arena_new_array(&f->arena, struct flush_stream, f->count + 1);
	for (size_t i = 0; i < f->count; i++)
		f->entries[i]->to = stream_of(f, f->entries[i]);
	for (size_t i = 0; i < f->group_count; i++)
		TRY(find_group(f, &f->groups[i]));
	for (size_t i = 0; i < f->stream_count; i++) {
		struct flush_stream *s = &f->streams[i];

		if (!s->group->id)
			continue;
		s->key = log_key_stream(&f->arena, &s->group->scope, s->group->id, s->name);
		keys[n++] = s->key;
	}
	return kv_run(f->kv, keys, n, flush_run, f, rt_after_ms(FLUSH_DEADLINE_MS));
}

/* ---- the queue ---- */

/* Counts, and hands entries back or frees them. */
static void flush_end(struct flush *f, int rc)
{
	struct logs *logs = f->writer->logs;
	uint64_t lost = 0;

	for (size_t i = 0; i < f->count; i++) {
		struct log_entry *entry = f->entries[i];
		int result = rc < 0 ? rc : entry->to->result;

		if (result == WRITE_STORED) {
			atomic_fetch_add(&logs->events, entry->count);
			atomic_fetch_add(&logs->bytes, entry->bytes);
		} else {
			lost += entry->count;
		}
		if (entry->done) {
			entry->result = result;
			rt_event_set(entry->done);
			continue;
		}
		f->writer->queue_bytes -= entry->bytes + ENTRY_BYTES;
		mem_free(entry);
	}
	if (rc >= 0) {
		atomic_fetch_add(&logs->batches, f->batches);
		atomic_fetch_add(&logs->commits, 1);
	} else {
		atomic_fetch_add(&logs->dropped, lost);
		log_line(LOG_WARN, "logs", "lines could not be stored", "lines=%llu rc=%s",
			(unsigned long long)lost, rc_name(rc));
	}
}

static void flush_some(struct log_writer *writer)
{
	struct flush f = {.writer = writer,
		.kv = atomic_load(&writer->logs->kv),
		.wall_ms = rt_wall() / RT_NS_MS};
	size_t bytes = 0;
	struct list *at;
	int rc = ERR_BUSY;

	arena_init(&f.arena, FLUSH_ARENA_BYTES);
	f.entries = arena_new_array(&f.arena, struct log_entry *, LOGS_MAX_FLUSH_ENTRIES);
	while (f.count < LOGS_MAX_FLUSH_ENTRIES && (f.count == 0 || bytes < LOGS_MAX_FLUSH_BYTES) &&
		(at = list_pop_front(&writer->queue)) != NULL) {
		f.entries[f.count] = list_entry(at, struct log_entry, link);
		bytes += f.entries[f.count++]->bytes;
	}
	if (f.kv)
		rc = flush_write(&f);
	flush_end(&f, rc);
	arena_done(&f.arena);
}

static void writer_fiber(void *arg)
{
	struct log_writer *writer = arg;
	int64_t linger =
		writer->logs->options.linger_ms ? writer->logs->options.linger_ms : LINGER_MS;

	while (!list_empty(&writer->queue)) {
		if (!writer->urgent && writer->queue_bytes < LOGS_MAX_FLUSH_BYTES &&
			rt_event_wait(&writer->hurry, rt_after_ms(linger)) < 0)
			writer->urgent = true; /* time is up, or the end is near */
		writer->urgent = false;
		flush_some(writer);
	}
	writer->running = false;
	rt_waitq_wake_all(&writer->idle);
}

static int writer_start(struct log_writer *writer)
{
	if (writer->running)
		return 0;
	writer->running = true;
	int rc = rt_spawn(writer_fiber, writer);
	if (rc < 0)
		writer->running = false;
	return rc;
}

/* A copy in one block, which mem_free() frees. */
static struct log_entry *entry_copy(const struct log_entry *from)
{
	size_t n = sizeof(*from) + from->count * sizeof(struct batch_event) +
		   from->scope.account.n + from->scope.region.n + from->group.n + from->stream.n +
		   from->bytes;
	struct log_entry *entry = mem_alloc(n);
	struct batch_event *events = (struct batch_event *)(entry + 1);
	char *text = (char *)(events + from->count);

#define COPY(member)                                                                \
	do {                                                                        \
		memcpy(text, from->member.p ? from->member.p : "", from->member.n); \
		entry->member = str_of(text, from->member.n);                       \
		text += from->member.n;                                             \
	} while (0)
	*entry = *from;
	entry->events = events;
	COPY(scope.account);
	COPY(scope.region);
	COPY(group);
	COPY(stream);
#undef COPY
	for (size_t i = 0; i < from->count; i++) {
		str message = from->events[i].message;

		memcpy(text, message.p, message.n);
		events[i] = (struct batch_event){from->events[i].time_ms, str_of(text, message.n)};
		text += message.n;
	}
	list_init(&entry->link);
	return entry;
}

static int put_queued(struct logs *logs, struct log_writer *writer, const struct log_entry *entry)
{
	size_t max = logs->options.queue_bytes_max ? logs->options.queue_bytes_max : QUEUE_BYTES;

	if (writer->queue_bytes + entry->bytes + ENTRY_BYTES > max || writer_start(writer) < 0) {
		atomic_fetch_add(&logs->dropped, entry->count);
		return ERR_BUSY;
	}
	struct log_entry *copy = entry_copy(entry);
	writer->queue_bytes += entry->bytes + ENTRY_BYTES;
	list_push_back(&writer->queue, &copy->link);
	return 0;
}

int writer_put(struct logs *logs, const struct log_entry *entry, bool wait)
{
	struct log_writer *writer = logs_writer(logs);
	struct log_entry mine = *entry;
	struct rt_event done;

	mine.bytes = 0;
	for (size_t i = 0; i < mine.count; i++)
		mine.bytes += mine.events[i].message.n;
	if (!atomic_load(&logs->kv))
		return ERR_BUSY;
	if (!mine.count)
		return WRITE_STORED;
	if (!wait)
		return put_queued(logs, writer, &mine);
	TRY(writer_start(writer));
	rt_event_init(&done);
	mine.done = &done;
	writer->urgent = true;
	rt_event_set(&writer->hurry);
	list_init(&mine.link);
	list_push_back(&writer->queue, &mine.link);
	/* The writer holds our memory: no cancel. Its own waits have deadlines. */
	rt_event_wait_sure(&done);
	return mine.result;
}

/* What is not UTF-8 becomes U+FFFD; an event that is too long is cut; an empty one is left out. */
static str clean(struct arena *arena, str message)
{
	struct buf out;

	message = str_sub(message, 0, LOGS_MAX_EVENT_BYTES - LOGS_MAX_EVENT_OVERHEAD);
	if (str_is_utf8(message))
		return message;
	buf_init(&out, arena, LOGS_MAX_EVENT_BYTES);
	for (size_t i = 0; i < message.n;) {
		size_t n = 1;

		while (n < 4 && i + n <= message.n && !str_is_utf8(str_sub(message, i, n)))
			n++;
		if (i + n <= message.n && str_is_utf8(str_sub(message, i, n))) {
			buf_put(&out, str_sub(message, i, n));
			i += n;
		} else {
			buf_put(&out, STR("\xef\xbf\xbd"));
			i++;
		}
	}
	return buf_str(&out);
}

int writer_port_put(void *self, str account, str region, str group, str stream, bool make_group,
	bool wait, const struct port_log_event *events, size_t count)
{
	struct arena arena cleanup(arena_done_p);
	struct log_entry entry = {.scope = {account, region},
		.group = group,
		.stream = stream,
		.make_group = make_group,
		.make_stream = true};

	arena_init(&arena, FLUSH_ARENA_BYTES);
	struct batch_event *copy = arena_new_array(&arena, struct batch_event, count + 1);
	for (size_t i = 0; i < count; i++) {
		str message = clean(&arena, events[i].message);

		if (message.n)
			copy[entry.count++] =
				(struct batch_event){MAX(events[i].time_ms, 0), message};
	}
	entry.events = copy;
	int rc = writer_put(self, &entry, wait);
	return rc > 0 ? ERR_NOT_FOUND : rc;
}

int writer_drain(struct logs *logs, int64_t deadline)
{
	struct log_writer *writer = logs_writer(logs);

	writer->urgent = true;
	rt_event_set(&writer->hurry);
	while (writer->running)
		TRY(rt_waitq_wait(&writer->idle, deadline));
	return 0;
}
