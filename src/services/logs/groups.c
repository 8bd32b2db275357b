/*
 * Groups and streams: create, describe, delete; retention; tags.
 * https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_Operations.html
 */
#include "aws/keyspace.h"
#include "base/hash.h"
#include "base/rc.h"
#include "kv/record.h"
#include "services/logs/service.h"

#include <stdlib.h>

enum { TOKEN_BYTES_MAX = 4096 };

/* ---- changing a group ---- */

struct group_change {
	struct call *c;
	str key;
	int (*fn)(struct call *c, struct log_group *group);
	bool remove;
};

static int change_group_run(struct kv_txn *txn, void *arg)
{
	struct group_change *ch = arg;
	struct log_group group;
	str record;

	if (!TRY(kv_txn_get(txn, ch->key, ch->c->arena, &record)))
		return LOGS_FAULT(ch->c, NOT_FOUND, "The specified log group does not exist.");
	TRY(log_group_decode(ch->c->arena, record, &group));
	TRY(ch->fn(ch->c, &group));
	kv_txn_put(txn, ch->key, log_group_encode(ch->c->arena, &group));
	return 0;
}

static int change_group(
	struct call *c, str name, int (*fn)(struct call *c, struct log_group *group))
{
	const struct log_scope scope = call_scope(c);
	struct group_change ch = {.c = c, .key = log_key_group(c->arena, &scope, name), .fn = fn};
	struct kv *kv;

	TRY(logs_kv(c, &kv));
	return kv_run(kv, &ch.key, 1, change_group_run, &ch, c->deadline_ns);
}

/* ---- groups ---- */

static int refuse(struct call *c, const char *member, const char *why)
{
	return LOGS_FAULT(c, INVALID_PARAMETER, "%s is not implemented: %s", member, why);
}

int logs_CreateLogGroup(struct call *c)
{
	const struct log_scope scope = call_scope(c);
	str name = value_str(c->in, "logGroupName"), class = value_str(c->in, "logGroupClass");
	struct kv *kv;

	if (value_has(c->in, "kmsKeyId"))
		return refuse(c, "kmsKeyId", "there is no key service yet");
	if (class.n && !str_eq(class, STR("STANDARD")))
		return refuse(c, "logGroupClass", "only STANDARD is there");
	if (value_bool(c->in, "deletionProtectionEnabled", false))
		return refuse(c, "deletionProtectionEnabled", "groups can always be deleted");
	if (str_starts(name, STR("aws/")))
		return LOGS_FAULT(c, INVALID_PARAMETER,
			"Log groups starting with aws/ are reserved for AWS.");
	TRY(logs_kv(c, &kv));
	int rc = log_group_create(kv, c->arena, &scope, name, c->in, c->wall_ms, c->deadline_ns);
	if (rc == ERR_EXISTS)
		return LOGS_FAULT(c, EXISTS, "The specified log group already exists");
	return rc;
}

struct deletion {
	struct call *c;
	struct log_scope scope;
	str key, gone_key;
	uint64_t id;
};

static int delete_run(struct kv_txn *txn, void *arg)
{
	struct deletion *d = arg;
	struct record_header header;
	struct buf note;
	uint64_t id;
	str record;

	if (!TRY(kv_txn_get(txn, d->key, d->c->arena, &record)))
		return ERR_NOT_FOUND;
	/* Records of groups and of streams begin with the id. Another one: made anew meanwhile. */
	TRY(record_take(&record, &header));
	if (!str_take_be64(&record, &id) || id != d->id)
		return ERR_NOT_FOUND;
	kv_txn_delete(txn, d->key);
	buf_init(&note, d->c->arena, 64);
	log_record_begin(&note);
	kv_txn_put(txn, d->gone_key, buf_str(&note));
	return 0;
}

int logs_DeleteLogGroup(struct call *c)
{
	struct deletion d = {.c = c, .scope = call_scope(c)};
	str name = value_str(c->in, "logGroupName");
	struct log_group group;
	struct kv *kv;

	TRY(logs_kv(c, &kv));
	TRY(call_group(c, name, &group));
	d.key = log_key_group(c->arena, &d.scope, name);
	d.gone_key = log_key_gone(c->arena, &d.scope, group.id);
	d.id = group.id;
	int rc = kv_run(kv, (str[]){d.key, d.gone_key}, 2, delete_run, &d, c->deadline_ns);
	if (rc == ERR_NOT_FOUND)
		return LOGS_FAULT(c, NOT_FOUND, "The specified log group does not exist.");
	return rc;
}

/* Bytes of all streams. */
static int stored_bytes(struct call *c, struct kv *kv, uint64_t group, uint64_t *ret_bytes)
{
	struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
	const struct log_scope scope = call_scope(c);
	str prefix = log_key_stream(c->arena, &scope, group, STR_NULL), key, record;
	struct kv_range range = {.from = prefix, .to = keyspace_prefix_end(c->arena, prefix)};
	struct log_stream stream;

	*ret_bytes = 0;
	TRY(kv_scan_open(kv, &range, &scan));
	while (TRY(kv_scan_next(scan, &key, &record))) {
		TRY(log_stream_decode(record, &stream));
		*ret_bytes += stream.bytes;
	}
	return 0;
}

static int add_group(struct call *c, struct kv *kv, struct value *list, str record)
{
	struct log_group group;
	uint64_t bytes;

	TRY(log_group_decode(c->arena, arena_str(c->arena, record), &group));
	TRY(stored_bytes(c, kv, group.id, &bytes));
	str arn = ARENA_CONCAT(c->arena, STR("arn:aws:logs:"), c->region, STR(":"), c->account,
		STR(":log-group:"), value_str(group.about, "logGroupName"));
	value_put_str(group.about, "logGroupArn", arn);
	value_put_str(group.about, "arn", ARENA_CONCAT(c->arena, arn, STR(":*")));
	value_put_int(group.about, "metricFilterCount", 0);
	value_put_int(group.about, "storedBytes", (int64_t)bytes);
	value_add_copy(list, group.about);
	return 0;
}

/* Tokens of both describe operations: base64url of what the next page begins behind. */
static str token_of(struct call *c, str text)
{
	struct buf token;

	buf_init(&token, c->arena, TOKEN_BYTES_MAX);
	base64url_put(&token, text);
	return buf_str(&token);
}

static int token_text(struct call *c, str *ret_text)
{
	str token = value_str(c->in, "nextToken");
	size_t n;

	*ret_text = STR_NULL;
	if (!token.n)
		return 0;
	uint8_t *bytes = arena_alloc(c->arena, base64_bytes_max(token.n));
	if (token.n > TOKEN_BYTES_MAX || base64url_decode(token, bytes, &n) < 0)
		return LOGS_FAULT(c, INVALID_PARAMETER, "The specified nextToken is invalid.");
	*ret_text = str_of(bytes, n);
	return 0;
}

static bool has_nocase(str text, str part)
{
	for (size_t i = 0; i + part.n <= text.n; i++)
		if (str_eq_nocase(str_sub(text, i, part.n), part))
			return true;
	return part.n == 0;
}

/* Where a scan of names begins: at the prefix, or behind the token's name. */
static str first_key(
	struct call *c, str all, str (*key_of)(struct call *c, str name), str prefix, str after)
{
	str from = all;

	if (prefix.n) {
		from = key_of(c, prefix);
		from.n -= 2; /* the end mark of the text */
	}
	if (after.p) {
		str behind = ARENA_CONCAT(c->arena, key_of(c, after), str_of("", 1));

		from = str_cmp(behind, from) > 0 ? behind : from;
	}
	return from;
}

static str group_key(struct call *c, str name)
{
	const struct log_scope scope = call_scope(c);

	return log_key_group(c->arena, &scope, name);
}

int logs_DescribeLogGroups(struct call *c)
{
	struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
	str prefix = value_str(c->in, "logGroupNamePrefix");
	str pattern = value_str(c->in, "logGroupNamePattern");
	str class = value_str(c->in, "logGroupClass");
	int64_t max = value_int(c->in, "limit", LOGS_MAX_DESCRIBE);
	str after, key, record, name, last = STR_NULL, all = group_key(c, STR_NULL);
	struct kv *kv;

	if (value_bool(c->in, "includeLinkedAccounts", false) ||
		value_count(value_get(c->in, "accountIdentifiers")))
		return refuse(c, "includeLinkedAccounts", "there are no monitoring accounts");
	if (value_count(value_get(c->in, "logGroupIdentifiers")))
		return refuse(c, "logGroupIdentifiers", "use logGroupNamePrefix");
	if (prefix.n && pattern.n)
		return LOGS_FAULT(c, INVALID_PARAMETER,
			"LogGroup name prefix and LogGroup name pattern are mutually exclusive "
			"parameters.");
	TRY(logs_kv(c, &kv));
	TRY(token_text(c, &after));
	struct value *list = value_put_list(c->out, "logGroups");
	if (class.n && !str_eq(class, STR("STANDARD")))
		return 0; /* no group has another class */
	struct kv_range range = {.from = first_key(c, all, group_key, prefix, after),
		.to = keyspace_prefix_end(c->arena, all)};
	TRY(kv_scan_open(kv, &range, &scan));
	while (TRY(kv_scan_next(scan, &key, &record))) {
		TRY(log_key_name(c->arena, key, all, &name));
		if (!str_starts(name, prefix))
			break;
		if (!has_nocase(name, pattern))
			continue;
		if (value_count(list) == (uint32_t)max) {
			value_put_str(c->out, "nextToken", token_of(c, last));
			break;
		}
		last = arena_str(c->arena, name);
		TRY(add_group(c, kv, list, record));
	}
	return 0;
}

/* ---- streams ---- */

int logs_CreateLogStream(struct call *c)
{
	const struct log_scope scope = call_scope(c);
	struct kv *kv;

	TRY(logs_kv(c, &kv));
	int rc = log_stream_create(kv, c->arena, &scope, value_str(c->in, "logGroupName"),
		value_str(c->in, "logStreamName"), c->wall_ms, c->deadline_ns);
	if (rc == ERR_EXISTS)
		return LOGS_FAULT(c, EXISTS, "The specified log stream already exists");
	if (rc == ERR_NOT_FOUND)
		return LOGS_FAULT(c, NOT_FOUND, "The specified log group does not exist.");
	return rc;
}

int logs_DeleteLogStream(struct call *c)
{
	struct deletion d = {.c = c, .scope = call_scope(c)};
	str name = value_str(c->in, "logStreamName");
	struct log_group group;
	struct log_stream stream;
	struct kv *kv;
	int rc;

	TRY(logs_kv(c, &kv));
	TRY(call_group(c, value_str(c->in, "logGroupName"), &group));
	rc = TRY(log_stream_get(kv, c->arena, &d.scope, group.id, name, &stream));
	if (rc) {
		d.key = log_key_stream(c->arena, &d.scope, group.id, name);
		d.gone_key = log_key_gone_stream(c->arena, &d.scope, group.id, stream.id);
		d.id = stream.id;
		rc = kv_run(kv, (str[]){d.key, d.gone_key}, 2, delete_run, &d, c->deadline_ns);
		if (rc != ERR_NOT_FOUND)
			return rc;
	}
	return LOGS_FAULT(c, NOT_FOUND, "The specified log stream does not exist.");
}

struct named_stream {
	str name;
	struct log_stream stream;
};

static void add_stream(struct call *c, struct value *list, str group, const struct named_stream *s)
{
	struct value *v = value_add_struct(list);

	value_put_str(v, "logStreamName", s->name);
	value_put_int(v, "creationTime", s->stream.created_ms);
	if (s->stream.ingestion_ms >= 0) {
		value_put_int(v, "firstEventTimestamp", s->stream.first_ms);
		value_put_int(v, "lastEventTimestamp", s->stream.last_ms);
		value_put_int(v, "lastIngestionTime", s->stream.ingestion_ms);
		const struct log_position next = {
			(uint64_t)s->stream.ingestion_ms, s->stream.id, 0};
		value_put_str(v, "uploadSequenceToken", log_position_text(c->arena, &next));
	}
	value_put_str(v, "arn",
		ARENA_CONCAT(c->arena, STR("arn:aws:logs:"), c->region, STR(":"), c->account,
			STR(":log-group:"), group, STR(":log-stream:"), s->name));
	value_put_int(v, "storedBytes", 0); /* of streams AWS says 0 since 2019 */
}

/* By time of the last event, streams without events first, then by name. */
static int compare_streams(const struct named_stream *a, const struct named_stream *b)
{
	int c = (a->stream.last_ms > b->stream.last_ms) - (a->stream.last_ms < b->stream.last_ms);

	return c ? c : str_cmp(a->name, b->name);
}

static int compare_up(const void *a, const void *b)
{
	return compare_streams(a, b);
}

static int compare_down(const void *a, const void *b)
{
	return compare_streams(b, a);
}

/* All streams of a group that begin with `prefix`, by name. */
static int all_streams(struct call *c, uint64_t group, str prefix,
	struct named_stream **ret_streams, size_t *ret_count)
{
	struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
	const struct log_scope scope = call_scope(c);
	str all = log_key_stream(c->arena, &scope, group, STR_NULL), key, record, name;
	struct kv_range range = {.from = all, .to = keyspace_prefix_end(c->arena, all)};
	size_t n = 0, capacity = 64;
	struct named_stream *streams = arena_new_array(c->arena, struct named_stream, capacity);
	struct kv *kv;

	if (prefix.n) {
		range.from = log_key_stream(c->arena, &scope, group, prefix);
		range.from.n -= 2;
	}
	TRY(logs_kv(c, &kv));
	TRY(kv_scan_open(kv, &range, &scan));
	while (TRY(kv_scan_next(scan, &key, &record))) {
		TRY(log_key_name(c->arena, key, all, &name));
		if (!str_starts(name, prefix))
			break;
		if (n == LOGS_MAX_STREAMS_SORTED)
			return LOGS_FAULT(c, LIMIT_EXCEEDED,
				"The group has more than %d streams: name a logStreamNamePrefix",
				LOGS_MAX_STREAMS_SORTED);
		if (n == capacity) {
			struct named_stream *grown =
				arena_new_array(c->arena, struct named_stream, capacity * 2);

			memcpy(grown, streams, n * sizeof(*grown));
			streams = grown;
			capacity *= 2;
		}
		streams[n].name = arena_str(c->arena, name);
		TRY(log_stream_decode(record, &streams[n++].stream));
	}
	*ret_streams = streams;
	*ret_count = n;
	return 0;
}

/* A token names the last stream shown: its time and its name. */
static str stream_token(struct call *c, const struct named_stream *s)
{
	struct buf text;

	buf_init(&text, c->arena, TOKEN_BYTES_MAX);
	buf_put_be64(&text, (uint64_t)s->stream.last_ms);
	buf_put(&text, s->name);
	return token_of(c, buf_str(&text));
}

int logs_DescribeLogStreams(struct call *c)
{
	str name, after, prefix = value_str(c->in, "logStreamNamePrefix");
	bool by_time = str_eq(value_str(c->in, "orderBy"), STR("LastEventTime"));
	bool down = value_bool(c->in, "descending", false);
	size_t n, max = (size_t)value_int(c->in, "limit", LOGS_MAX_DESCRIBE), shown = 0;
	struct named_stream *streams, last = {0};
	struct log_group group;
	uint64_t last_ms;

	if (by_time && prefix.n)
		return LOGS_FAULT(c, INVALID_PARAMETER,
			"Cannot order by LastEventTime with a logStreamNamePrefix.");
	TRY(call_group_name(c, &name));
	TRY(token_text(c, &after));
	if (after.p && !str_take_be64(&after, &last_ms))
		return LOGS_FAULT(c, INVALID_PARAMETER, "The specified nextToken is invalid.");
	if (after.p)
		last = (struct named_stream){after, {.last_ms = (int64_t)last_ms}};
	TRY(call_group(c, name, &group));
	TRY(all_streams(c, group.id, prefix, &streams, &n));
	if (by_time)
		qsort(streams, n, sizeof(*streams), down ? compare_down : compare_up);
	struct value *list = value_put_list(c->out, "logStreams");
	for (size_t i = 0; i < n; i++) {
		const struct named_stream *s = &streams[!by_time && down ? n - 1 - i : i];
		int order = by_time ? compare_streams(s, &last) : str_cmp(s->name, last.name);

		if (after.p && (down ? order >= 0 : order <= 0))
			continue;
		if (shown == max) {
			value_put_str(c->out, "nextToken", stream_token(c, &last));
			break;
		}
		add_stream(c, list, name, s);
		last = *s;
		shown++;
		after = STR_NULL; /* the rest is behind it */
	}
	return 0;
}

/* ---- retention ---- */

static int put_retention(struct call *c, struct log_group *group)
{
	value_put_int(group->about, "retentionInDays", value_int(c->in, "retentionInDays", 0));
	return 0;
}

int logs_PutRetentionPolicy(struct call *c)
{
	static const int days[] = {1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731,
		1096, 1827, 2192, 2557, 2922, 3288, 3653};
	int64_t wanted = value_int(c->in, "retentionInDays", 0);

	for (size_t i = 0; i < ARRAY_SIZE(days); i++)
		if (days[i] == wanted)
			return change_group(c, value_str(c->in, "logGroupName"), put_retention);
	return LOGS_FAULT(c, INVALID_PARAMETER,
		"1 validation error detected: Value '%lld' at 'retentionInDays' failed to satisfy "
		"constraint: Member must satisfy enum value set: [1, 3, 5, 7, 14, 30, 60, 90, 120, "
		"150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653]",
		(long long)wanted);
}

/* value.h has no removal: what stays is copied. */
static int drop_retention(struct call *c, struct log_group *group)
{
	struct value *about = value_new(c->arena, c->service->model, "LogGroup");

	value_put_str(about, "logGroupName", value_str(group->about, "logGroupName"));
	value_put_int(about, "creationTime", value_int(group->about, "creationTime", 0));
	value_put_str(about, "logGroupClass", value_str(group->about, "logGroupClass"));
	group->about = about;
	return 0;
}

int logs_DeleteRetentionPolicy(struct call *c)
{
	return change_group(c, value_str(c->in, "logGroupName"), drop_retention);
}

/* ---- tags: by ARN, or (older) by name ---- */

static int tagged_group(struct call *c, str *ret_name)
{
	str arn = value_str(c->in, "resourceArn");
	str prefix = ARENA_CONCAT(c->arena, STR("arn:aws:logs:"), c->region, STR(":"), c->account,
		STR(":log-group:"));

	if (!str_starts(arn, prefix))
		return LOGS_FAULT(c, INVALID_PARAMETER,
			"Only log groups of this account and region have tags here: %.*s",
			STR_ARG(arn));
	*ret_name = str_from(arn, prefix.n);
	if (str_ends(*ret_name, STR(":*")))
		ret_name->n -= 2;
	return 0;
}

static bool in_list(const struct value *list, str key)
{
	for (uint32_t i = 0; i < value_count(list); i++)
		if (str_eq(value_text(value_at(list, i)), key))
			return true;
	return false;
}

/* Maps have no removal: a new one. */
static int set_tags(
	struct call *c, struct log_group *group, const struct value *add, const struct value *drop)
{
	struct value *holder =
		value_new(c->arena, c->service->model, "ListTagsForResourceResponse");
	struct value *tags = value_put_map(holder, "tags");
	const struct value *old = value_get(group->tags, "tags");

	for (uint32_t i = 0; i < value_count(old); i++)
		if (!in_list(drop, value_key(old, i)))
			value_map_put_str(tags, value_key(old, i), value_text(value_of(old, i)));
	for (uint32_t i = 0; i < value_count(add); i++)
		value_map_put_str(tags, value_key(add, i), value_text(value_of(add, i)));
	if (value_count(tags) > LOGS_MAX_TAGS)
		return LOGS_FAULT(
			c, TOO_MANY_TAGS, "A log group has at most %d tags", LOGS_MAX_TAGS);
	group->tags = holder;
	return 0;
}

static int add_tags(struct call *c, struct log_group *group)
{
	return set_tags(c, group, value_get(c->in, "tags"), NULL);
}

static int drop_tag_keys(struct call *c, struct log_group *group)
{
	return set_tags(c, group, NULL, value_get(c->in, "tagKeys"));
}

static int drop_tags(struct call *c, struct log_group *group)
{
	return set_tags(c, group, NULL, value_get(c->in, "tags"));
}

static int list_tags(struct call *c, str name)
{
	struct log_group group;

	TRY(call_group(c, name, &group));
	value_put_map(c->out, "tags");
	value_put_copy(c->out, "tags", value_get(group.tags, "tags"));
	return 0;
}

int logs_TagResource(struct call *c)
{
	str name;

	TRY(tagged_group(c, &name));
	return change_group(c, name, add_tags);
}

int logs_UntagResource(struct call *c)
{
	str name;

	TRY(tagged_group(c, &name));
	return change_group(c, name, drop_tag_keys);
}

int logs_ListTagsForResource(struct call *c)
{
	str name;

	TRY(tagged_group(c, &name));
	return list_tags(c, name);
}

int logs_TagLogGroup(struct call *c)
{
	return change_group(c, value_str(c->in, "logGroupName"), add_tags);
}

int logs_UntagLogGroup(struct call *c)
{
	return change_group(c, value_str(c->in, "logGroupName"), drop_tags);
}

int logs_ListTagsLogGroup(struct call *c)
{
	return list_tags(c, value_str(c->in, "logGroupName"));
}
