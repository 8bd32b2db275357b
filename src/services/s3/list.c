/*
 * ListObjectsV2 and ListObjects: one walk over the keys, two forms of the answer.
 *
 * Keys come in the order of their bytes. With a delimiter all keys that have the same beginning up
 * to the delimiter's first place behind the prefix are one common prefix; the walk jumps behind
 * them, so a listing of few prefixes over many keys is short.
 * https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html, API_ListObjects.html
 */
#include "services/s3/list.h"

#include "base/hash.h"
#include "base/uri.h"
#include "services/s3/checksum.h"
#include "services/s3/operations.h"

/* ---- the walk ---- */

str s3_common_prefix(str key, str prefix, str delimiter)
{
	ptrdiff_t at;

	if (!delimiter.n)
		return STR_NULL;
	at = str_find_str(str_from(key, prefix.n), delimiter);
	return at < 0 ? STR_NULL : str_sub(key, 0, prefix.n + (size_t)at + delimiter.n);
}

str s3_behind_prefix(struct arena *a, str prefix)
{
	str end = arena_str(a, prefix);

	while (end.n && (unsigned char)end.p[end.n - 1] == 0xff)
		end.n--;
	if (!end.n)
		return STR_NULL;
	((char *)end.p)[end.n - 1]++;
	return end;
}

str s3_behind_key(struct arena *a, str key)
{
	return ARENA_CONCAT(a, key, str_of("", 1));
}

str s3_behind(struct arena *a, str after, str prefix, str delimiter, bool whole)
{
	str common =
		str_starts(after, prefix) ? s3_common_prefix(after, prefix, delimiter) : STR_NULL;

	return common.p && (whole || common.n == after.n) ? s3_behind_prefix(a, common)
							  : s3_behind_key(a, after);
}

/* One scan from `from` on, until the page is full or a common prefix is to be jumped over. */
static int walk_some(struct s3_walk *w, str from, str end, str *ret_next)
{
	struct arena *a = w->arena;
	cleanup(kv_scan_close_p) struct kv_scan *scan = NULL;
	str head = s3_key_object(a, w->bucket, STR("")), key, value;
	const struct kv_range range = {.from = s3_key_object(a, w->bucket, from),
		.to = end.p ? s3_key_object(a, w->bucket, end) : keyspace_prefix_end(a, head),
		.limit = w->max - w->count + 1};

	*ret_next = STR_NULL;
	TRY(kv_scan_open(w->kv, &range, &scan));
	while (TRY(kv_scan_next(scan, &key, &value)) > 0) {
		str name = arena_str(a, str_from(key, head.n));
		str common = s3_common_prefix(name, w->prefix, w->delimiter);

		if (w->count == w->max) {
			w->truncated = true;
			return 0;
		}
		w->count++;
		w->last = common.p ? common : name;
		if (common.p) {
			TRY(w->on_prefix(w->arg, common));
			*ret_next = s3_behind_prefix(a, common);
			return 0;
		}
		TRY(w->on_key(w->arg, name, value));
		*ret_next = STR_NULL;
	}
	return 0;
}

int s3_walk(struct s3_walk *w)
{
	struct arena *a = w->arena;
	str end = w->prefix.n ? s3_behind_prefix(a, w->prefix) : STR_NULL, next;
	str from = w->prefix.p ? w->prefix : STR("");

	if (w->after.n && str_cmp(w->after, from) >= 0) {
		from = s3_behind(a, w->after, w->prefix, w->delimiter, w->whole_prefixes);
	}
	while (from.p && (!end.p || str_cmp(from, end) < 0)) {
		TRY(walk_some(w, from, end, &next));
		if (w->truncated || arena_over(a))
			break;
		from = next;
	}
	return arena_over(a) ? ERR_BUDGET : 0;
}

/* ---- what both have in common ---- */

struct listing {
	struct call *c;
	bool encoded, owner;
	struct s3_walk walk;
};

static str shown(const struct listing *l, str text)
{
	struct buf out;

	if (!l->encoded || !text.p)
		return text;
	buf_init(&out, l->c->arena, 3 * 1024 + 3 * text.n);
	uri_put_encoded(&out, text, URI_KEEP_SLASH);
	return buf_str(&out);
}

static int put_key(void *arg, str key, str bytes)
{
	struct listing *l = arg;
	struct call *c = l->c;
	struct value *entry = value_add_struct(value_put_list(c->out, "Contents"));
	struct arena own cleanup(arena_done_p) = {0}; /* its parts may be many */
	struct s3_object o;

	arena_init(&own, SIZE_MAX);
	TRY(s3_object_decode(&own, bytes, &o));
	value_put_str(entry, "Key", shown(l, key));
	value_put_time_ms(entry, "LastModified", o.modified_ms / 1000 * 1000);
	value_put_str(entry, "ETag", s3_quoted(c->arena, arena_str(c->arena, o.etag)));
	value_put_int(entry, "Size", (int64_t)o.bytes);
	value_put_str(entry, "StorageClass", STR("STANDARD"));
	if (o.checksum.algorithm != S3_SUM_NONE) {
		value_add_str(value_put_list(entry, "ChecksumAlgorithm"),
			s3_algorithms[o.checksum.algorithm].name);
		value_put_str(entry, "ChecksumType",
			o.checksum.type == S3_SUM_FULL ? STR("FULL_OBJECT") : STR("COMPOSITE"));
	}
	if (l->owner)
		value_put_str(
			value_put_struct(entry, "Owner"), "ID", s3_owner_id(c->arena, c->account));
	return 0;
}

static int put_prefix(void *arg, str prefix)
{
	struct listing *l = arg;
	struct value *entry = value_add_struct(value_put_list(l->c->out, "CommonPrefixes"));

	value_put_str(entry, "Prefix", shown(l, prefix));
	return 0;
}

int s3_page_max(struct call *c, const char *member, const char *wire, unsigned *ret)
{
	int64_t max = value_int(c->in, member, S3_LIMIT_LIST_KEYS);

	if (max < 0)
		return s3_invalid_argument(c,
			arena_c(c->arena,
				ARENA_CONCAT(c->arena, STR("Argument "), str_c(wire),
					STR(" must be an integer between 0 and 2147483647"))),
			str_c(wire), arena_printf(c->arena, "%lld", (long long)max));
	*ret = (unsigned)MIN(max, (int64_t)S3_LIMIT_LIST_KEYS);
	return 0;
}

int s3_encoding_read(struct call *c, bool *ret_encoded)
{
	str type = value_str(c->in, "EncodingType");

	if (type.p && !str_eq(type, STR("url")))
		return s3_invalid_argument(c, "Invalid Encoding Method specified in Request",
			STR("encoding-type"), type);
	*ret_encoded = type.p != NULL;
	return 0;
}

static int begin(struct call *c, str after, struct listing *ret)
{
	struct listing l = {.c = c};
	struct s3_bucket bucket;

	l.walk = (struct s3_walk){.kv = s3_self(c)->kv,
		.arena = c->arena,
		.prefix = value_str(c->in, "Prefix"),
		.delimiter = value_str(c->in, "Delimiter"),
		.after = after,
		.on_key = put_key,
		.on_prefix = put_prefix};
	TRY(s3_bucket_find(c, s3_bucket_of(c), value_str(c->in, "ExpectedBucketOwner"), &bucket));
	TRY(s3_page_max(c, "MaxKeys", "maxKeys", &l.walk.max));
	TRY(s3_encoding_read(c, &l.encoded));
	TRY(s3_key_check(c, l.walk.prefix));
	TRY(s3_key_check(c, after));
	l.walk.bucket = bucket.id;
	*ret = l;
	return 0;
}

static int run(struct listing *l)
{
	struct call *c = l->c;

	l->walk.arg = l;
	if (l->walk.max)
		TRY(s3_walk(&l->walk));
	value_put_str(c->out, "Name", s3_bucket_of(c));
	value_put_str(c->out, "Prefix", l->walk.prefix.p ? shown(l, l->walk.prefix) : STR(""));
	value_put_str(c->out, "Delimiter", shown(l, l->walk.delimiter));
	value_put_int(c->out, "MaxKeys", l->walk.max);
	value_put_bool(c->out, "IsTruncated", l->walk.truncated);
	value_put_str(c->out, "EncodingType", value_str(c->in, "EncodingType"));
	return 0;
}

/* ---- the operations ---- */

/* A token is the place behind which the next page begins, in base64. */
static int read_token(struct call *c, str token, str *ret_after)
{
	uint8_t *bytes = (uint8_t *)arena_bytes(c->arena, base64_bytes_max(token.n) + 1);
	size_t n;

	if (token.n == 0 || base64_decode(token, bytes, &n) < 0 || n > S3_LIMIT_KEY_BYTES)
		return s3_invalid_argument(c, "The continuation token provided is incorrect",
			STR("continuation-token"), token);
	*ret_after = str_of(bytes, n);
	return 0;
}

int s3_list_objects_v2(struct call *c)
{
	static const char *const members[] = {"Delimiter", "EncodingType", "MaxKeys", "Prefix",
		"ContinuationToken", "FetchOwner", "StartAfter", NULL};
	str token = value_str(c->in, "ContinuationToken"), after = value_str(c->in, "StartAfter");
	struct listing l;
	struct buf next;

	TRY(s3_members_check(c, members));
	if (token.p)
		TRY(read_token(c, token, &after));
	TRY(begin(c, after, &l));
	l.walk.whole_prefixes = true;
	l.owner = value_bool(c->in, "FetchOwner", false);
	TRY(run(&l));
	value_put_int(c->out, "KeyCount", l.walk.count);
	value_put_str(c->out, "ContinuationToken", token);
	value_put_str(c->out, "StartAfter", shown(&l, value_str(c->in, "StartAfter")));
	if (l.walk.truncated) {
		buf_init(&next, c->arena, 4096);
		base64_put(&next, l.walk.last);
		value_put_str(c->out, "NextContinuationToken", buf_str(&next));
	}
	return 0;
}

int s3_list_objects(struct call *c)
{
	static const char *const members[] = {
		"Delimiter", "EncodingType", "MaxKeys", "Prefix", "Marker", NULL};
	str marker = value_str(c->in, "Marker");
	struct listing l;

	TRY(s3_members_check(c, members));
	TRY(begin(c, marker, &l));
	l.owner = true;
	TRY(run(&l));
	value_put_str(c->out, "Marker", marker.p ? shown(&l, marker) : STR(""));
	/* "This element is returned only if you have the delimiter request parameter specified." */
	if (l.walk.truncated && l.walk.delimiter.n)
		value_put_str(c->out, "NextMarker", shown(&l, l.walk.last));
	return 0;
}
