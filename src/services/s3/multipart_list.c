/*
 * ListParts and ListMultipartUploads.
 * https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListParts.html, API_ListMultipartUploads.html
 */
#include "base/uri.h"
#include "services/s3/list.h"
#include "services/s3/multipart.h"
#include "services/s3/operations.h"

/* ---- ListParts ---- */

static void put_part(struct call *c, unsigned number, const struct s3_part *part)
{
	struct value *entry = value_add_struct(value_put_list(c->out, "Parts"));

	value_put_int(entry, "PartNumber", number);
	value_put_time_ms(entry, "LastModified", part->modified_ms / 1000 * 1000);
	value_put_str(entry, "ETag", s3_quoted(c->arena, arena_str(c->arena, part->etag)));
	value_put_int(entry, "Size", (int64_t)part->bytes);
	if (part->checksum.algorithm)
		value_put_str(entry, s3_algorithms[part->checksum.algorithm].member,
			arena_str(c->arena, part->checksum.value));
}

static void put_upload_checksum(struct value *to, const struct s3_upload *u)
{
	if (!u->algorithm)
		return;
	value_put_str(to, "ChecksumAlgorithm", s3_algorithms[u->algorithm].name);
	value_put_str(
		to, "ChecksumType", u->type == S3_SUM_FULL ? STR("FULL_OBJECT") : STR("COMPOSITE"));
}

static int scan_parts(struct call *c, str id, unsigned marker, unsigned max)
{
	cleanup(kv_scan_close_p) struct kv_scan *scan = NULL;
	str prefix = s3_key_parts(c->arena, id), key, value;
	const struct kv_range range = {.from = s3_key_part(c->arena, id, marker + 1),
		.to = keyspace_prefix_end(c->arena, prefix),
		.limit = max + 1};
	unsigned count = 0, last = marker;
	bool truncated = false;

	TRY(kv_scan_open(s3_self(c)->kv, &range, &scan));
	while (TRY(kv_scan_next(scan, &key, &value)) > 0) {
		str rest = str_from(key, prefix.n);
		struct s3_part part;
		uint16_t number;

		truncated = count == max;
		if (truncated)
			break;
		if (!str_take_be16(&rest, &number))
			return ERR_CORRUPT;
		TRY(s3_part_decode(value, &part));
		put_part(c, number, &part);
		last = number;
		count++;
	}
	value_put_bool(c->out, "IsTruncated", truncated);
	value_put_int(c->out, "NextPartNumberMarker", last);
	return 0;
}

int s3_list_parts(struct call *c)
{
	static const char *const members[] = {"MaxParts", "PartNumberMarker", "UploadId", NULL};
	int64_t marker = value_int(c->in, "PartNumberMarker", 0);
	struct s3_bucket bucket;
	struct s3_upload upload;
	str key, id, owner = s3_owner_id(c->arena, c->account);
	unsigned max;

	TRY(s3_members_check(c, members));
	TRY(s3_page_max(c, "MaxParts", "max-parts", &max));
	if (marker < 0 || marker > INT32_MAX)
		return s3_invalid_argument(c,
			"Argument part-number-marker must be an integer between 0 and 2147483647",
			STR("part-number-marker"),
			arena_printf(c->arena, "%lld", (long long)marker));
	TRY(s3_bucket_find(c, s3_bucket_of(c), value_str(c->in, "ExpectedBucketOwner"), &bucket));
	TRY(s3_upload_find(c, &bucket, &upload, &key, &id));
	TRY(scan_parts(c, id, (unsigned)MIN(marker, (int64_t)S3_LIMIT_PARTS), max));
	value_put_str(c->out, "Bucket", s3_bucket_of(c));
	value_put_str(c->out, "Key", s3_key_of(c));
	value_put_str(c->out, "UploadId", value_str(c->in, "UploadId"));
	value_put_int(c->out, "PartNumberMarker", marker);
	value_put_int(c->out, "MaxParts", max);
	value_put_str(c->out, "StorageClass", STR("STANDARD"));
	value_put_str(value_put_struct(c->out, "Owner"), "ID", owner);
	value_put_str(value_put_struct(c->out, "Initiator"), "ID", owner);
	put_upload_checksum(c->out, &upload);
	return 0;
}

/* ---- ListMultipartUploads ---- */

struct uploads {
	struct call *c;
	str prefix, delimiter, key_marker, id_marker; /* id: its bytes */
	bool encoded;
	unsigned max, count;
	str last_key, last_id;
	bool truncated;
};

static str shown(const struct uploads *l, str text)
{
	struct buf out;

	if (!l->encoded || !text.p)
		return text;
	buf_init(&out, l->c->arena, 4096 + 3 * text.n);
	uri_put_encoded(&out, text, URI_KEEP_SLASH);
	return buf_str(&out);
}

static int put_upload(struct uploads *l, str key, str id, str record)
{
	struct call *c = l->c;
	struct value *entry = value_add_struct(value_put_list(c->out, "Uploads"));
	str owner = s3_owner_id(c->arena, c->account);
	struct s3_upload upload;

	TRY(s3_upload_decode(c->arena, record, &upload));
	value_put_str(entry, "Key", shown(l, key));
	value_put_str(entry, "UploadId", s3_upload_id_text(c->arena, id));
	value_put_time_ms(entry, "Initiated", upload.initiated_ms / 1000 * 1000);
	value_put_str(entry, "StorageClass", STR("STANDARD"));
	value_put_str(value_put_struct(entry, "Owner"), "ID", owner);
	value_put_str(value_put_struct(entry, "Initiator"), "ID", owner);
	put_upload_checksum(entry, &upload);
	return 0;
}

/* One scan from `from` on, until the page is full or a common prefix is to be jumped over. */
static int scan_some(
	struct uploads *l, const struct s3_bucket *bucket, str from, str to, str *ret_next)
{
	struct arena *a = l->c->arena;
	cleanup(kv_scan_close_p) struct kv_scan *scan = NULL;
	str head = s3_key_upload(a, bucket->id, STR_NULL, STR("")), at, value;
	const struct kv_range range = {.from = from, .to = to, .limit = l->max - l->count + 1};

	*ret_next = STR_NULL;
	TRY(kv_scan_open(s3_self(l->c)->kv, &range, &scan));
	while (TRY(kv_scan_next(scan, &at, &value)) > 0) {
		str rest = arena_str(a, str_from(at, head.n)), key, common;

		if (!keyspace_take(a, &rest, &key) || rest.n != S3_UPLOAD_ID_BYTES)
			return ERR_CORRUPT;
		if (l->count == l->max) {
			l->truncated = true;
			return 0;
		}
		l->count++;
		common = s3_common_prefix(key, l->prefix, l->delimiter);
		l->last_key = common.p ? common : key;
		l->last_id = common.p ? STR_NULL : rest;
		if (common.p) {
			value_put_str(value_add_struct(value_put_list(l->c->out, "CommonPrefixes")),
				"Prefix", shown(l, common));
			*ret_next = s3_behind_prefix(a, common);
			return 0;
		}
		TRY(put_upload(l, key, rest, value));
		if (arena_over(a))
			return ERR_BUDGET;
	}
	return 0;
}

/* Where in the store the page begins; STR_NULL: nothing is behind the markers. */
static str first_place(struct uploads *l, const struct s3_bucket *bucket)
{
	struct arena *a = l->c->arena;
	str key = l->prefix.n ? l->prefix : STR_NULL;

	if (l->key_marker.n && str_cmp(l->key_marker, l->prefix) >= 0) {
		str common = str_starts(l->key_marker, l->prefix)
				     ? s3_common_prefix(l->key_marker, l->prefix, l->delimiter)
				     : STR_NULL;

		if (!common.p && l->id_marker.n)
			return s3_key_upload(
				a, bucket->id, l->key_marker, s3_behind_key(a, l->id_marker));
		key = s3_behind(a, l->key_marker, l->prefix, l->delimiter, true);
		if (!key.p)
			return STR_NULL;
	}
	return s3_key_upload(a, bucket->id, key, STR(""));
}

/* Uploads are in the order of their keys; those of one key in that of their beginning. */
static int scan_uploads(struct uploads *l, const struct s3_bucket *bucket)
{
	struct arena *a = l->c->arena;
	str end = l->prefix.n ? s3_behind_prefix(a, l->prefix) : STR_NULL, next;
	str to = end.p ? s3_key_upload(a, bucket->id, end, STR(""))
		       : keyspace_prefix_end(a, s3_key_upload(a, bucket->id, STR_NULL, STR("")));
	str from = first_place(l, bucket);

	while (from.p && str_cmp(from, to) < 0) {
		TRY(scan_some(l, bucket, from, to, &next));
		if (l->truncated || arena_over(a))
			break;
		from = next.p ? s3_key_upload(a, bucket->id, next, STR("")) : STR_NULL;
	}
	return arena_over(a) ? ERR_BUDGET : 0;
}

static int read_markers(struct call *c, struct uploads *l)
{
	str id = value_str(c->in, "UploadIdMarker");
	uint8_t *bytes = (uint8_t *)arena_bytes(c->arena, S3_UPLOAD_ID_BYTES);

	l->key_marker = value_str(c->in, "KeyMarker");
	TRY(s3_key_check(c, l->key_marker));
	if (!id.n || !l->key_marker.n) /* "If key-marker is not specified, ... is ignored." */
		return 0;
	if (id.n != 2 * S3_UPLOAD_ID_BYTES || hex_decode(id, bytes) < 0)
		return s3_invalid_argument(
			c, "Invalid uploadId marker", STR("upload-id-marker"), id);
	l->id_marker = str_of(bytes, S3_UPLOAD_ID_BYTES);
	return 0;
}

int s3_list_multipart_uploads(struct call *c)
{
	static const char *const members[] = {"Delimiter", "EncodingType", "KeyMarker",
		"MaxUploads", "Prefix", "UploadIdMarker", NULL};
	struct uploads l = {.c = c,
		.prefix = value_str(c->in, "Prefix"),
		.delimiter = value_str(c->in, "Delimiter")};
	struct s3_bucket bucket;

	TRY(s3_members_check(c, members));
	TRY(s3_page_max(c, "MaxUploads", "max-uploads", &l.max));
	TRY(s3_encoding_read(c, &l.encoded));
	TRY(s3_key_check(c, l.prefix));
	TRY(read_markers(c, &l));
	TRY(s3_bucket_find(c, s3_bucket_of(c), value_str(c->in, "ExpectedBucketOwner"), &bucket));
	if (l.max)
		TRY(scan_uploads(&l, &bucket));
	value_put_str(c->out, "Bucket", s3_bucket_of(c));
	value_put_str(c->out, "KeyMarker", l.key_marker.p ? shown(&l, l.key_marker) : STR(""));
	value_put_str(c->out, "UploadIdMarker",
		value_has(c->in, "UploadIdMarker") ? value_str(c->in, "UploadIdMarker") : STR(""));
	value_put_str(c->out, "Prefix", l.prefix.p ? shown(&l, l.prefix) : STR(""));
	value_put_str(c->out, "Delimiter", shown(&l, l.delimiter));
	value_put_int(c->out, "MaxUploads", l.max);
	value_put_bool(c->out, "IsTruncated", l.truncated);
	value_put_str(c->out, "EncodingType", value_str(c->in, "EncodingType"));
	if (l.truncated) {
		value_put_str(c->out, "NextKeyMarker", shown(&l, l.last_key));
		if (l.last_id.p)
			value_put_str(c->out, "NextUploadIdMarker",
				s3_upload_id_text(c->arena, l.last_id));
	}
	return 0;
}
