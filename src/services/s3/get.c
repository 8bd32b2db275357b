/*
 * GetObject and HeadObject.
 * https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html, API_HeadObject.html
 */
#include "base/mem.h"
#include "base/time.h"
#include "services/s3/condition.h"
#include "services/s3/operations.h"
#include "services/s3/reader.h"

enum { IN_PROCESS_BYTES_MAX = 16 * 1024 * 1024 };

static const char *const members[] = {"IfMatch", "IfModifiedSince", "IfNoneMatch",
	"IfUnmodifiedSince", "Range", "ResponseCacheControl", "ResponseContentDisposition",
	"ResponseContentEncoding", "ResponseContentLanguage", "ResponseContentType",
	"ResponseExpires", "VersionId", "ChecksumMode", NULL};

static int check_conditions(struct call *c, const struct s3_object *o)
{
	const struct s3_conditions conditions = {
		.if_match = value_str(c->in, "IfMatch"),
		.if_none_match = value_str(c->in, "IfNoneMatch"),
		.has_modified_since = value_has(c->in, "IfModifiedSince"),
		.modified_since_ms = value_time_ms(c->in, "IfModifiedSince", 0),
		.has_unmodified_since = value_has(c->in, "IfUnmodifiedSince"),
		.unmodified_since_ms = value_time_ms(c->in, "IfUnmodifiedSince", 0),
	};

	switch (s3_conditions_check(&conditions, o->etag, o->modified_ms)) {
	case S3_GO_ON: return 0;
	case S3_NOT_MODIFIED: return 1;
	case S3_FAILED: break;
	}
	return s3_detail(c,
		s3_fault(c, PRECONDITION_FAILED,
			"At least one of the pre-conditions you specified did not hold"),
		STR("Condition"),
		conditions.if_match.p ? STR("If-Match") : STR("If-Unmodified-Since"));
}

/* response-content-type ...: what this answer says instead. */
static int put_overrides(struct call *c)
{
	static const struct {
		const char *from, *to;
	} overrides[] = {
		{"ResponseCacheControl", "CacheControl"},
		{"ResponseContentDisposition", "ContentDisposition"},
		{"ResponseContentEncoding", "ContentEncoding"},
		{"ResponseContentLanguage", "ContentLanguage"},
		{"ResponseContentType", "ContentType"},
	};
	struct buf text;

	for (size_t i = 0; i < ARRAY_SIZE(overrides); i++) {
		TRY(s3_header_check(c, value_str(c->in, overrides[i].from)));
		value_put_str(c->out, overrides[i].to, value_str(c->in, overrides[i].from));
	}
	if (!value_has(c->in, "ResponseExpires"))
		return 0;
	buf_init(&text, c->arena, TIME_TEXT_MAX);
	time_put_http(&text, value_time_ms(c->in, "ResponseExpires", 0));
	value_put_str(c->out, "Expires", buf_str(&text));
	return 0;
}

static int outside(struct call *c, str range, uint64_t bytes)
{
	int rc = s3_fault(c, INVALID_RANGE, "The requested range is not satisfiable");

	call_header(c, STR("Content-Range"),
		arena_printf(c->arena, "bytes */%llu", (unsigned long long)bytes));
	rc = s3_detail(c, rc, STR("RangeRequested"), range);
	return s3_detail_int(c, rc, STR("ActualObjectSize"), (int64_t)bytes);
}

/* The part of the body that is asked for. */
static int find_range(
	struct call *c, const struct s3_object *o, uint64_t *ret_from, uint64_t *ret_n)
{
	str range = value_str(c->in, "Range");

	*ret_from = 0;
	*ret_n = o->bytes;
	if (!range.p)
		return 0;
	switch (s3_range_parse(range, o->bytes, ret_from, ret_n)) {
	case S3_RANGE_ALL: return 0;
	case S3_RANGE_OUTSIDE: return outside(c, range, o->bytes);
	case S3_RANGE_PART: break;
	}
	c->status = 206;
	value_put_str(c->out, "ContentRange",
		arena_printf(c->arena, "bytes %llu-%llu/%llu", (unsigned long long)*ret_from,
			(unsigned long long)(*ret_from + *ret_n - 1),
			(unsigned long long)o->bytes));
	return 0;
}

/* The checksum is of the whole, so not said of a part. */
static void put_checksum(struct call *c, const struct s3_object *o)
{
	if (str_eq(value_str(c->in, "ChecksumMode"), STR("ENABLED")) && c->status == 200)
		s3_checksum_write(c->out, &o->checksum);
}

/* 1: the answer is 304; 0: go on with that part of the body. */
static int prepare(struct call *c, const struct s3_object *o, uint64_t *ret_from, uint64_t *ret_n)
{
	if (TRY(check_conditions(c, o)) > 0) {
		c->status = 304;
		value_put_str(c->out, "ETag", s3_quoted(c->arena, o->etag));
		value_put_time_ms(c->out, "LastModified", o->modified_ms);
		return 1;
	}
	s3_headers_write(c, o);
	TRY(put_overrides(c));
	TRY(find_range(c, o, ret_from, ret_n));
	put_checksum(c, o);
	return 0;
}

static int find(struct call *c, struct s3_bucket *ret)
{
	str version = value_str(c->in, "VersionId");

	TRY(s3_members_check(c, members));
	TRY(s3_key_check(c, s3_key_of(c)));
	TRY(s3_bucket_find(c, s3_bucket_of(c), value_str(c->in, "ExpectedBucketOwner"), ret));
	if (version.p && !str_eq(version, STR("null")))
		return s3_fault(c, NO_SUCH_VERSION, "The specified version does not exist.");
	return 0;
}

/* ---- the body ---- */

/* In process there is nobody who takes a stream. */
static int give_all(struct call *c, struct s3_reader *reader, uint64_t n)
{
	char *bytes;
	size_t got = 0;

	if (n > IN_PROCESS_BYTES_MAX)
		return ERR_TOO_LARGE;
	bytes = arena_bytes(c->arena, n + 1);
	while (got < n) {
		int rc = TRY(s3_reader_read(reader, bytes + got, n - got));

		if (rc == 0)
			return ERR_CORRUPT;
		got += (size_t)rc;
	}
	value_put_str(c->out, "Body", str_of(bytes, n));
	return 0;
}

static int stream(struct call *c, struct s3_reader *reader, uint64_t n)
{
	cleanup(mem_free_p) char *buffer = NULL;
	size_t size = (size_t)MIN(n, (uint64_t)S3_LIMIT_BUFFER_BYTES);

	buffer = mem_alloc(size + 1);
	TRY(call_stream_begin_sized(c, STR("binary/octet-stream"), n));
	while (n) {
		int got = TRY(s3_reader_read(reader, buffer, (size_t)MIN((uint64_t)size, n)));

		if (got == 0)
			return ERR_CORRUPT;
		TRY(call_stream_write(c, str_of(buffer, (size_t)got)));
		n -= (uint64_t)got;
	}
	return 0;
}

int s3_get_object(struct call *c)
{
	cleanup(s3_reader_close_p) struct s3_reader *reader = NULL;
	struct s3_bucket bucket;
	struct s3_object o;
	uint64_t from, n;
	int found;

	TRY(find(c, &bucket));
	found = s3_reader_open(s3_self(c), c->arena, bucket.id, s3_key_of(c), &o, &reader);
	if (found == 0)
		return s3_no_such_key(c, s3_bucket_of(c), s3_key_of(c));
	TRY(s3_body_error(c, found));
	if (TRY(prepare(c, &o, &from, &n)) > 0)
		return 0;
	s3_reader_seek(reader, from);
	return c->request && c->request->exchange ? stream(c, reader, n) : give_all(c, reader, n);
}

int s3_head_object(struct call *c)
{
	struct s3_bucket bucket;
	struct s3_object o;
	uint64_t from, n;

	TRY(find(c, &bucket));
	if (TRY(s3_object_load(s3_self(c)->kv, c->arena, bucket.id, s3_key_of(c), &o)) == 0)
		return s3_no_such_key(c, s3_bucket_of(c), s3_key_of(c));
	if (TRY(prepare(c, &o, &from, &n)) > 0)
		return 0;
	if (c->request && c->request->exchange)
		return call_stream_begin_sized(c, STR("binary/octet-stream"), n);
	value_put_int(c->out, "ContentLength", (int64_t)n);
	return 0;
}
