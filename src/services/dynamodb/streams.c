/*
 * The service dynamodbstreams: ListStreams, DescribeStream, GetShardIterator. GetRecords is in
 * stream_read.c.
 *
 * https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_Operations_Amazon_DynamoDB_Streams.html
 */
#include "services/dynamodb/streams.h"

#include "aws/keyspace.h"
#include "base/check.h"
#include "base/mem.h"
#include "base/rc.h"
#include "kv/kv.h"

enum { PAGE_MAX = 100, SECRET_BYTES = 32 };

/* ---- the secret of iterators ---- */

struct secret {
	struct arena *arena;
	str key, bytes;
};

static int secret_in_store(struct kv_txn *txn, void *arg)
{
	struct secret *s = arg;
	uint8_t random[SECRET_BYTES];

	if (TRY(kv_txn_get(txn, s->key, s->arena, &s->bytes)))
		return s->bytes.n == SECRET_BYTES ? 0 : ERR_CORRUPT;
	rt_random_bytes(random, sizeof random);
	s->bytes = arena_str(s->arena, str_of(random, sizeof random));
	kv_txn_put(txn, s->key, s->bytes);
	return 0;
}

/* Made at the first use, and the same for ever: iterators outlive a restart. */
int stream_iterator_key(struct call *c, const struct hmac_key **ret_key)
{
	struct dynamodb *d = dynamodb_of(c);
	struct hmac_key *key = atomic_load(&d->iterator_key), *other = NULL;
	struct secret secret = {.arena = c->arena};
	struct buf name;

	if (!key) {
		buf_init(&name, c->arena, KEYSPACE_KEY_MAX);
		keyspace_area(&name, KEYSPACE_DYNAMODB_META);
		keyspace_put(&name, STR("iterators"));
		secret.key = buf_str(&name);
		TRY(kv_run(d->kv, &secret.key, 1, secret_in_store, &secret, c->deadline_ns));
		key = mem_new(struct hmac_key);
		hmac_key_init(key, secret.bytes);
		if (!atomic_compare_exchange_strong(&d->iterator_key, &other, key)) {
			mem_free(key);
			key = other;
		}
	}
	*ret_key = key;
	return 0;
}

/* ---- finding a stream ---- */

int stream_not_found(struct call *c, str arn)
{
	return call_fault(c, DYNAMODB_FAULT(RESOURCE_NOT_FOUND),
		"Requested resource not found: Stream: %.*s not found", STR_ARG(arn));
}

int stream_trimmed(struct call *c)
{
	return call_fault(c, DYNAMODB_FAULT(TRIMMED_DATA),
		"The operation attempted to read past the oldest stream record in a shard.");
}

/* The parts of an ARN of this account and region. */
static int parse_arn(struct call *c, str arn, struct stream_arn_parts *ret)
{
	if (!stream_arn_parse(arn, ret))
		return call_fault(
			c, DYNAMODB_FAULT(VALIDATION), "Invalid StreamArn: %.*s", STR_ARG(arn));
	if (!str_eq(ret->account, c->account) || !str_eq(ret->region, c->region))
		return stream_not_found(c, arn);
	return 0;
}

static int find(struct call *c, str arn, struct stream **ret_stream)
{
	struct stream *s = arena_new(c->arena, struct stream);
	struct stream_arn_parts at;

	TRY(parse_arn(c, arn, &at));
	if (!TRY(stream_find(
		    dynamodb_of(c)->kv, c->arena, at.account, at.region, at.table, at.label, s)))
		return stream_not_found(c, arn);
	*ret_stream = s;
	return 0;
}

const struct stream_shard *stream_shard_named(const struct stream *s, str id)
{
	for (size_t i = 0; i < s->shard_count; i++)
		if (str_eq(s->shards[i].id, id))
			return &s->shards[i];
	return NULL;
}

/* ---- ListStreams ---- */

/* A page, while it is read. */
struct listing {
	struct call *c;
	struct kv_range range;
	struct value *streams;
	int64_t left;
	str last;     /* key; STR_NULL: none yet */
	str last_arn; /* the same stream's */
	bool more;
};

static int list_some(struct listing *l)
{
	struct call *c = l->c;
	struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
	struct stream *s = arena_new(c->arena, struct stream);
	str key, document;

	TRY(kv_scan_open(dynamodb_of(c)->kv, &l->range, &scan));
	while (TRY(kv_scan_next(scan, &key, &document))) {
		struct value *v;

		l->more = l->left == 0;
		if (l->more)
			return 0;
		TRY(stream_decode(c->arena, arena_str(c->arena, document), s));
		v = value_add_struct(l->streams);
		value_put_str(v, "StreamArn", s->arn);
		value_put_str(v, "TableName", s->table);
		value_put_str(v, "StreamLabel", s->label);
		l->last = arena_str(c->arena, key);
		l->last_arn = s->arn;
		l->left--;
	}
	return 0;
}

static int list_all(struct listing *l)
{
	int rc;

	for (;;) {
		l->range.limit = (unsigned)l->left + 1;
		rc = list_some(l);
		if (rc != ERR_CONFLICT)
			return rc;
		if (rt_now() >= l->c->deadline_ns)
			return ERR_TIMEOUT;
		if (l->last.p) /* the engine gave the scan up: another one goes on */
			l->range.from = ARENA_CONCAT(l->c->arena, l->last, STR("\0"));
	}
}

/* A table without streams has none to list; one that is not there is an error. */
static int check_table(struct call *c, str name)
{
	struct table *t cleanup(table_unref_p) = NULL;

	if (!TRY(catalog_find(dynamodb_of(c)->catalog, c->account, c->region, name, &t)))
		return dynamodb_table_not_found(c, name);
	return 0;
}

int dynamodb_list_streams(struct call *c)
{
	struct listing l = {.c = c,
		.streams = value_put_list(c->out, "Streams"),
		.left = value_int(c->in, "Limit", PAGE_MAX),
		.last = STR_NULL};
	str start = value_str(c->in, "ExclusiveStartStreamArn");
	str table = value_str(c->in, "TableName");
	struct stream_arn_parts at;
	struct buf prefix;

	buf_init(&prefix, c->arena, KEYSPACE_KEY_MAX);
	keyspace_begin(&prefix, KEYSPACE_DYNAMODB_STREAMS, c->account, c->region);
	if (table.p)
		keyspace_put(&prefix, table);
	l.range.from = buf_str(&prefix);
	l.range.to = keyspace_prefix_end(c->arena, l.range.from);
	if (start.p) {
		TRY(parse_arn(c, start, &at));
		if (table.p && !str_eq(at.table, table))
			return call_fault(c, DYNAMODB_FAULT(VALIDATION),
				"Invalid ExclusiveStartStreamArn: %.*s is not a stream of table "
				"%.*s",
				STR_ARG(start), STR_ARG(table));
		l.range.from = ARENA_CONCAT(c->arena,
			stream_key(c->arena, at.account, at.region, at.table, at.label), STR("\0"));
	}
	TRY(list_all(&l));
	if (table.p && !l.last.p && !start.p)
		TRY(check_table(c, table));
	if (l.more)
		value_put_str(c->out, "LastEvaluatedStreamArn", l.last_arn);
	return 0;
}

/* ---- DescribeStream ---- */

static const char *status_of(const struct stream *s)
{
	if (!s->disabled_ms)
		return s->phase == STREAM_ENABLING ? "ENABLING" : "ENABLED";
	return s->phase == STREAM_SETTLED ? "DISABLED" : "DISABLING";
}

static void describe_key(struct value *schema, str name, const char *role)
{
	struct value *v;

	if (!name.p)
		return;
	v = value_add_struct(schema);
	value_put_str(v, "AttributeName", name);
	value_put_str(v, "KeyType", str_c(role));
}

static void describe_shard(struct call *c, const struct stream_shard *h, struct value *v)
{
	struct value *range;

	value_put_str(v, "ShardId", h->id);
	value_put_str(v, "ParentShardId", h->parent);
	range = value_put_struct(v, "SequenceNumberRange");
	value_put_str(range, "StartingSequenceNumber", stream_sequence(c->arena, h->after + 1));
	if (h->state == SHARD_CLOSED)
		value_put_str(range, "EndingSequenceNumber", stream_sequence(c->arena, h->last));
}

/* Shards behind ExclusiveStartShardId that the filter lets through, up to Limit. */
static int describe_shards(struct call *c, const struct stream *s, struct value *d)
{
	const struct value *filter = value_get(c->in, "ShardFilter");
	str start = value_str(c->in, "ExclusiveStartShardId"), parent = STR_NULL;
	int64_t left = value_int(c->in, "Limit", PAGE_MAX);
	struct value *shards = value_put_list(d, "Shards");
	str last = STR_NULL;

	if (filter) {
		parent = value_str(filter, "ShardId");
		if (!value_has(filter, "Type") || !parent.p)
			return call_fault(c, DYNAMODB_FAULT(VALIDATION),
				"ShardFilter must have both Type and ShardId");
	}
	for (size_t i = 0; i < s->shard_count; i++) {
		const struct stream_shard *h = &s->shards[i];

		/* Ids rise with the time; the shard of a page's end may be gone by now. */
		if ((start.p && str_cmp(h->id, start) <= 0) ||
			(parent.p && !str_eq(h->parent, parent)))
			continue;
		if (left-- == 0) {
			value_put_str(d, "LastEvaluatedShardId", last);
			break;
		}
		describe_shard(c, h, value_add_struct(shards));
		last = h->id;
	}
	return 0;
}

int dynamodb_describe_stream(struct call *c)
{
	struct value *d = value_put_struct(c->out, "StreamDescription"), *schema;
	struct stream *s;

	TRY(find(c, value_str(c->in, "StreamArn"), &s));
	value_put_str(d, "StreamArn", s->arn);
	value_put_str(d, "StreamLabel", s->label);
	value_put_str(d, "StreamStatus", str_c(status_of(s)));
	value_put_str(d, "StreamViewType", stream_view_name(s->view));
	value_put_time_ms(d, "CreationRequestDateTime", s->created_ms);
	value_put_str(d, "TableName", s->table);
	schema = value_put_list(d, "KeySchema");
	describe_key(schema, s->partition, "HASH");
	describe_key(schema, s->sort, "RANGE");
	return describe_shards(c, s, d);
}

/* ---- GetShardIterator ---- */

static int bad_sequence(struct call *c, str text)
{
	return call_fault(c, DYNAMODB_FAULT(VALIDATION),
		"Invalid SequenceNumber: %.*s is not a sequence number of the shard",
		STR_ARG(text));
}

/* Where AT_SEQUENCE_NUMBER and AFTER_SEQUENCE_NUMBER begin. */
static int place_sequence(
	struct call *c, const struct stream_shard *h, bool at, struct stream_iterator *it)
{
	str text = value_str(c->in, "SequenceNumber");
	uint64_t stamp;

	if (!text.p)
		return call_fault(c, DYNAMODB_FAULT(VALIDATION),
			"SequenceNumber is required for ShardIteratorType %.*s",
			STR_ARG(value_str(c->in, "ShardIteratorType")));
	if (!stream_sequence_parse(text, &stamp) || stamp <= h->after ||
		(h->state == SHARD_CLOSED && stamp > h->last))
		return bad_sequence(c, text);
	it->after = at ? stamp - 1 : stamp;
	return it->after < h->trimmed && h->trimmed > h->after ? stream_trimmed(c) : 0;
}

static int place(struct call *c, const struct stream *s, const struct stream_shard *h,
	struct stream_iterator *it)
{
	str type = value_str(c->in, "ShardIteratorType");

	if (str_eq(type, STR("AT_SEQUENCE_NUMBER")))
		return place_sequence(c, h, true, it);
	if (str_eq(type, STR("AFTER_SEQUENCE_NUMBER")))
		return place_sequence(c, h, false, it);
	if (value_has(c->in, "SequenceNumber"))
		return call_fault(c, DYNAMODB_FAULT(VALIDATION),
			"SequenceNumber must not be given for ShardIteratorType %.*s",
			STR_ARG(type));
	if (str_eq(type, STR("TRIM_HORIZON"))) {
		it->after = h->after;
		it->trim_horizon = true;
		return 0;
	}
	return stream_latest(dynamodb_of(c)->kv, c->arena, s, h, &it->after);
}

int dynamodb_get_shard_iterator(struct call *c)
{
	struct stream_iterator it = {.arn = value_str(c->in, "StreamArn"),
		.shard = value_str(c->in, "ShardId"),
		.issued_ms = c->wall_ms};
	const struct stream_shard *h;
	const struct hmac_key *key;
	struct stream *s;

	TRY(find(c, it.arn, &s));
	h = stream_shard_named(s, it.shard);
	if (!h)
		return call_fault(c, DYNAMODB_FAULT(RESOURCE_NOT_FOUND),
			"Requested resource not found: Shard: %.*s in stream %.*s not found",
			STR_ARG(it.shard), STR_ARG(it.arn));
	TRY(place(c, s, h, &it));
	TRY(stream_iterator_key(c, &key));
	value_put_str(c->out, "ShardIterator", stream_iterator_encode(c->arena, key, &it));
	return 0;
}
