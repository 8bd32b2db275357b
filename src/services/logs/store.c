/* Records of log groups, streams and events: see store.h. */
#include "services/logs/store.h"

#include "aws/codec.h"
#include "aws/keyspace.h"
#include "base/check.h"
#include "base/rc.h"
#include "kv/record.h"
#include "rt/rt.h"

const struct fault_kind logs_faults[] = {
#define FAULT(...) FAULT_ROW(__VA_ARGS__)
#include "services/logs/faults.def"
#undef FAULT
};

enum { RECORD_BYTES_MAX = 256 * 1024 };

static const struct model *the_model(void)
{
	const struct model *m = model_named(STR("logs"));

	check(m != NULL);
	return m;
}

uint64_t log_new_id(void)
{
	uint64_t id = 0;

	while (!id)
		rt_random_bytes(&id, sizeof(id));
	return id;
}

/* ---- keys ---- */

static void begin(struct buf *key, struct arena *a, const struct log_scope *scope, char kind)
{
	buf_init(key, a, KEYSPACE_KEY_MAX);
	keyspace_begin(key, KEYSPACE_LOGS_GROUPS, scope->account, scope->region);
	if (kind)
		buf_put_char(key, kind);
}

str log_key_scope(struct arena *a, const struct log_scope *scope, char kind)
{
	struct buf key;

	begin(&key, a, scope, kind);
	return buf_str(&key);
}

str log_key_group(struct arena *a, const struct log_scope *scope, str name)
{
	struct buf key;

	begin(&key, a, scope, LOG_KEY_GROUP);
	if (name.p)
		keyspace_put(&key, name);
	return buf_str(&key);
}

str log_key_stream(struct arena *a, const struct log_scope *scope, uint64_t group, str name)
{
	struct buf key;

	begin(&key, a, scope, LOG_KEY_STREAM);
	buf_put_be64(&key, group);
	if (name.p)
		keyspace_put(&key, name);
	return buf_str(&key);
}

str log_key_gone(struct arena *a, const struct log_scope *scope, uint64_t group)
{
	struct buf key;

	begin(&key, a, scope, LOG_KEY_GONE);
	buf_put_be64(&key, group);
	return buf_str(&key);
}

str log_key_gone_stream(
	struct arena *a, const struct log_scope *scope, uint64_t group, uint64_t stream)
{
	struct buf key;

	begin(&key, a, scope, LOG_KEY_GONE_STREAM);
	buf_put_be64(&key, group);
	if (stream)
		buf_put_be64(&key, stream);
	return buf_str(&key);
}

int log_key_name(struct arena *a, str key, str prefix, str *ret_name)
{
	key = str_from(key, prefix.n);
	return keyspace_take(a, &key, ret_name) && !key.n ? 0 : ERR_CORRUPT;
}

static void put_place(struct buf *key, int64_t time_ms, uint64_t sequence)
{
	if (time_ms < 0)
		return;
	buf_put_be64(key, (uint64_t)time_ms);
	buf_put_be64(key, sequence);
}

str log_key_batch(struct arena *a, uint64_t group, int64_t time_ms, uint64_t sequence)
{
	struct buf key;

	buf_init(&key, a, KEYSPACE_KEY_MAX);
	keyspace_area(&key, KEYSPACE_LOGS_EVENTS);
	buf_put_char(&key, 'T');
	buf_put_be64(&key, group);
	put_place(&key, time_ms, sequence);
	return buf_str(&key);
}

str log_key_batch_of(
	struct arena *a, uint64_t group, uint64_t stream, int64_t time_ms, uint64_t sequence)
{
	struct buf key;

	buf_init(&key, a, KEYSPACE_KEY_MAX);
	keyspace_area(&key, KEYSPACE_LOGS_EVENTS);
	buf_put_char(&key, 'S');
	buf_put_be64(&key, group);
	if (stream)
		buf_put_be64(&key, stream);
	put_place(&key, time_ms, sequence);
	return buf_str(&key);
}

int log_key_batch_take(str key, uint64_t *ret_time_ms, uint64_t *ret_sequence)
{
	if (key.n < 16)
		return ERR_CORRUPT;
	key = str_from(key, key.n - 16);
	check(str_take_be64(&key, ret_time_ms) && str_take_be64(&key, ret_sequence));
	return 0;
}

/* ---- records ---- */

void log_record_begin(struct buf *to)
{
	struct record_header header = {.time = record_time_next(rt_wall(), 0)};

	record_put(to, &header);
}

str log_group_encode(struct arena *a, const struct log_group *group)
{
	struct buf record, about;

	buf_init(&about, a, RECORD_BYTES_MAX);
	codec_json_store(&about, group->about);
	buf_init(&record, a, RECORD_BYTES_MAX);
	log_record_begin(&record);
	buf_put_be64(&record, group->id);
	buf_put_be32(&record, (uint32_t)about.n);
	buf_put(&record, buf_str(&about));
	codec_json_store(&record, group->tags);
	check(!record.over);
	return buf_str(&record);
}

int log_group_decode(struct arena *a, str record, struct log_group *ret_group)
{
	struct record_header header;
	struct log_group group;
	uint32_t n;
	str about;

	TRY(record_take(&record, &header));
	if (!str_take_be64(&record, &group.id) || !str_take_be32(&record, &n) ||
		!str_take(&record, n, &about))
		return ERR_CORRUPT;
	TRY(codec_json_load(a, the_model(), "LogGroup", about, &group.about));
	TRY(codec_json_load(a, the_model(), "ListTagsForResourceResponse", record, &group.tags));
	*ret_group = group;
	return 0;
}

str log_stream_encode(struct arena *a, const struct log_stream *stream)
{
	struct buf record;

	buf_init(&record, a, RECORD_BYTES_MAX);
	log_record_begin(&record);
	buf_put_be64(&record, stream->id);
	buf_put_be64(&record, (uint64_t)stream->created_ms);
	buf_put_be64(&record, (uint64_t)stream->first_ms);
	buf_put_be64(&record, (uint64_t)stream->last_ms);
	buf_put_be64(&record, (uint64_t)stream->ingestion_ms);
	buf_put_be64(&record, stream->bytes);
	return buf_str(&record);
}

int log_stream_decode(str record, struct log_stream *ret_stream)
{
	struct record_header header;
	uint64_t v[6];

	TRY(record_take(&record, &header));
	for (unsigned i = 0; i < ARRAY_SIZE(v); i++)
		if (!str_take_be64(&record, &v[i]))
			return ERR_CORRUPT;
	*ret_stream = (struct log_stream){.id = v[0],
		.created_ms = (int64_t)v[1],
		.first_ms = (int64_t)v[2],
		.last_ms = (int64_t)v[3],
		.ingestion_ms = (int64_t)v[4],
		.bytes = v[5]};
	return 0;
}

int log_batch_open(str record, uint64_t time_ms, uint64_t sequence, struct batch_reader *ret_reader)
{
	struct record_header header;

	TRY(record_take(&record, &header));
	return batch_open(ret_reader, record, time_ms, sequence);
}

int log_group_get(struct kv *kv, struct arena *a, const struct log_scope *scope, str name,
	struct log_group *ret_group)
{
	str record;

	if (!TRY(kv_get(kv, log_key_group(a, scope, name), a, &record)))
		return 0;
	TRY(log_group_decode(a, record, ret_group));
	return 1;
}

int log_stream_get(struct kv *kv, struct arena *a, const struct log_scope *scope, uint64_t group,
	str name, struct log_stream *ret_stream)
{
	str record;

	if (!TRY(kv_get(kv, log_key_stream(a, scope, group, name), a, &record)))
		return 0;
	TRY(log_stream_decode(record, ret_stream));
	return 1;
}

/* ---- making ---- */

struct creation {
	struct arena *arena;
	str key, record, group_key;
	uint64_t group;
	int64_t wall_ms;
};

static int create_group(struct kv_txn *txn, void *arg)
{
	struct creation *c = arg;
	str old;

	if (TRY(kv_txn_get(txn, c->key, c->arena, &old)))
		return ERR_EXISTS;
	kv_txn_put(txn, c->key, c->record);
	return 0;
}

int log_group_create(struct kv *kv, struct arena *a, const struct log_scope *scope, str name,
	const struct value *class_and_tags, int64_t wall_ms, int64_t deadline)
{
	struct log_group group = {.id = log_new_id(),
		.about = value_new(a, the_model(), "LogGroup"),
		.tags = value_new(a, the_model(), "ListTagsForResourceResponse")};
	const struct value *in = class_and_tags;

	value_put_str(group.about, "logGroupName", name);
	value_put_int(group.about, "creationTime", wall_ms);
	value_put_str(group.about, "logGroupClass",
		in && value_has(in, "logGroupClass") ? value_str(in, "logGroupClass")
						     : STR("STANDARD"));
	value_put_map(group.tags, "tags");
	if (in)
		value_put_copy(group.tags, "tags", value_get(in, "tags"));
	struct creation c = {.arena = a,
		.key = log_key_group(a, scope, name),
		.record = log_group_encode(a, &group)};
	return kv_run(kv, &c.key, 1, create_group, &c, deadline);
}

static int create_stream(struct kv_txn *txn, void *arg)
{
	struct creation *c = arg;
	struct log_stream stream = {.id = log_new_id(),
		.created_ms = c->wall_ms,
		.first_ms = -1,
		.last_ms = -1,
		.ingestion_ms = -1};
	struct log_group group;
	str old;

	/* Tracked: the group cannot be deleted meanwhile. */
	if (!TRY(kv_txn_get(txn, c->group_key, c->arena, &old)))
		return ERR_NOT_FOUND;
	TRY(log_group_decode(c->arena, old, &group));
	if (group.id != c->group)
		return ERR_NOT_FOUND;
	if (TRY(kv_txn_get(txn, c->key, c->arena, &old)))
		return ERR_EXISTS;
	kv_txn_put(txn, c->key, log_stream_encode(c->arena, &stream));
	return 0;
}

int log_stream_create(struct kv *kv, struct arena *a, const struct log_scope *scope, str group,
	str name, int64_t wall_ms, int64_t deadline)
{
	struct log_group g;

	if (!TRY(log_group_get(kv, a, scope, group, &g)))
		return ERR_NOT_FOUND;
	struct creation c = {.arena = a,
		.key = log_key_stream(a, scope, g.id, name),
		.group_key = log_key_group(a, scope, group),
		.group = g.id,
		.wall_ms = wall_ms};
	return kv_run(kv, &c.key, 1, create_stream, &c, deadline);
}

/* ---- handlers' helpers ---- */

int call_group(struct call *c, str name, struct log_group *ret_group)
{
	const struct log_scope scope = call_scope(c);
	struct kv *kv;

	TRY(logs_kv(c, &kv));
	if (!TRY(log_group_get(kv, c->arena, &scope, name, ret_group)))
		return LOGS_FAULT(c, NOT_FOUND, "The specified log group does not exist.");
	return 0;
}

int call_group_name(struct call *c, str *ret_name)
{
	str name = value_str(c->in, "logGroupName"), id = value_str(c->in, "logGroupIdentifier");

	if (name.n && id.n)
		return LOGS_FAULT(c, INVALID_PARAMETER,
			"LogGroupName and LogGroupIdentifier cannot be used together");
	if (!name.n && !id.n)
		return LOGS_FAULT(c, INVALID_PARAMETER,
			"Either LogGroupName or LogGroupIdentifier must be specified");
	if (name.n || !str_starts(id, STR("arn:"))) {
		*ret_name = name.n ? name : id;
		return 0;
	}
	str prefix = ARENA_CONCAT(c->arena, STR("arn:aws:logs:"), c->region, STR(":"), c->account,
		STR(":log-group:"));
	if (!str_starts(id, prefix))
		return LOGS_FAULT(c, INVALID_PARAMETER,
			"Log groups of other accounts and regions cannot be read here: %.*s",
			STR_ARG(id));
	id = str_from(id, prefix.n);
	if (str_ends(id, STR(":*")))
		id.n -= 2;
	*ret_name = id;
	return 0;
}
