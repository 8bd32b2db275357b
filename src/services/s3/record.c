/*
 * Encoding and decoding of records, see record.h.
 */
#include "services/s3/record.h"

#include "base/check.h"

enum { FORM = 1, SEGMENTS_MAX = 10000, METADATA_MAX = 2048 };

/* ---- writing ---- */

static void begin(struct buf *out, struct arena *a, uint64_t time)
{
	const struct record_header header = {.time = time};

	buf_init(out, a, S3_RECORD_BYTES_MAX);
	record_put(out, &header);
	buf_put_char(out, FORM);
}

static str end(const struct buf *out)
{
	check(!out->over); /* limits of the members are far below */
	return buf_str(out);
}

/* An absent text is told from an empty one. */
static void put_text(struct buf *out, str s)
{
	buf_put_varint(out, s.p ? s.n + 1 : 0);
	buf_put(out, s);
}

static void put_headers(struct buf *out, const struct s3_headers *h)
{
	put_text(out, h->content_type);
	put_text(out, h->cache_control);
	put_text(out, h->content_disposition);
	put_text(out, h->content_encoding);
	put_text(out, h->content_language);
	put_text(out, h->expires);
	buf_put_varint(out, h->metadata_count);
	for (uint32_t i = 0; i < h->metadata_count; i++) {
		put_text(out, h->metadata[i].name);
		put_text(out, h->metadata[i].value);
	}
}

static void put_checksum(struct buf *out, const struct s3_checksum *c)
{
	buf_put_char(out, (char)c->algorithm);
	buf_put_char(out, (char)c->type);
	put_text(out, c->value);
}

static void put_segment(struct buf *out, const struct s3_segment *s)
{
	buf_put(out, str_of(s->id.bytes, BLOB_ID_BYTES));
	buf_put_varint(out, s->bytes);
	buf_put_char(out, s->in_store);
}

str s3_bucket_encode(struct arena *a, uint64_t time, const struct s3_bucket *b)
{
	struct buf out;

	begin(&out, a, time);
	put_text(&out, b->account);
	put_text(&out, b->region);
	buf_put_varint(&out, b->id);
	buf_put_varint(&out, (uint64_t)b->created_ms);
	buf_put_be64(&out, b->deleting);
	return end(&out);
}

str s3_object_encode(struct arena *a, const struct s3_object *o)
{
	struct buf out;

	begin(&out, a, o->time);
	buf_put_varint(&out, (uint64_t)o->modified_ms);
	buf_put_varint(&out, o->bytes);
	put_text(&out, o->etag);
	put_headers(&out, &o->headers);
	put_checksum(&out, &o->checksum);
	buf_put_varint(&out, o->parts);
	buf_put_varint(&out, o->segment_count);
	for (uint32_t i = 0; i < o->segment_count; i++)
		put_segment(&out, &o->segments[i]);
	return end(&out);
}

str s3_upload_encode(struct arena *a, uint64_t time, const struct s3_upload *u)
{
	struct buf out;

	begin(&out, a, time);
	buf_put_varint(&out, (uint64_t)u->initiated_ms);
	put_headers(&out, &u->headers);
	buf_put_char(&out, (char)u->algorithm);
	buf_put_char(&out, (char)u->type);
	return end(&out);
}

str s3_part_encode(struct arena *a, uint64_t time, const struct s3_part *p)
{
	struct buf out;

	begin(&out, a, time);
	buf_put_varint(&out, (uint64_t)p->modified_ms);
	buf_put_varint(&out, p->bytes);
	put_text(&out, p->etag);
	put_checksum(&out, &p->checksum);
	put_segment(&out, &p->segment);
	return end(&out);
}

/* ---- reading: each gives false for damaged bytes ---- */

static int take_head(str *in, uint64_t *ret_time)
{
	struct record_header header;
	uint8_t form;

	TRY(record_take(in, &header));
	if (!str_take_u8(in, &form))
		return ERR_CORRUPT;
	*ret_time = header.time;
	return form == FORM ? 0 : ERR_VERSION;
}

static bool take_text(str *in, str *ret)
{
	uint64_t n;

	if (!str_take_varint(in, &n))
		return false;
	*ret = STR_NULL;
	return n == 0 || str_take(in, n - 1, ret);
}

static bool take_time(str *in, int64_t *ret)
{
	uint64_t v;

	if (!str_take_varint(in, &v) || v > INT64_MAX)
		return false;
	*ret = (int64_t)v;
	return true;
}

static bool take_count(str *in, uint64_t max, uint32_t *ret)
{
	uint64_t v;

	if (!str_take_varint(in, &v) || v > max)
		return false;
	*ret = (uint32_t)v;
	return true;
}

static bool take_headers(struct arena *a, str *in, struct s3_headers *h)
{
	str *texts[] = {&h->content_type, &h->cache_control, &h->content_disposition,
		&h->content_encoding, &h->content_language, &h->expires};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		if (!take_text(in, texts[i]))
			return false;
	if (!take_count(in, METADATA_MAX, &h->metadata_count))
		return false;
	h->metadata = arena_new_array(a, struct s3_pair, h->metadata_count);
	for (uint32_t i = 0; i < h->metadata_count; i++)
		if (!take_text(in, &h->metadata[i].name) || !take_text(in, &h->metadata[i].value))
			return false;
	return true;
}

static bool take_checksum(str *in, struct s3_checksum *c)
{
	return str_take_u8(in, &c->algorithm) && c->algorithm < S3_SUM_END_ &&
	       str_take_u8(in, &c->type) && c->type <= S3_SUM_COMPOSITE && take_text(in, &c->value);
}

static bool take_segment(str *in, struct s3_segment *s)
{
	str id;
	uint8_t in_store;

	if (!str_take(in, BLOB_ID_BYTES, &id) || !str_take_varint(in, &s->bytes) ||
		!str_take_u8(in, &in_store))
		return false;
	memcpy(s->id.bytes, id.p, BLOB_ID_BYTES);
	s->in_store = in_store;
	return true;
}

int s3_bucket_decode(str in, struct s3_bucket *ret)
{
	struct s3_bucket b;
	uint64_t time;

	TRY(take_head(&in, &time));
	if (!take_text(&in, &b.account) || !take_text(&in, &b.region) ||
		!str_take_varint(&in, &b.id) || !take_time(&in, &b.created_ms) ||
		!str_take_be64(&in, &b.deleting) || in.n)
		return ERR_CORRUPT;
	*ret = b;
	return 0;
}

int s3_object_decode(struct arena *a, str in, struct s3_object *ret)
{
	struct s3_object o;

	TRY(take_head(&in, &o.time));
	if (!take_time(&in, &o.modified_ms) || !str_take_varint(&in, &o.bytes) ||
		!take_text(&in, &o.etag) || !take_headers(a, &in, &o.headers) ||
		!take_checksum(&in, &o.checksum) || !take_count(&in, SEGMENTS_MAX, &o.parts) ||
		!take_count(&in, SEGMENTS_MAX, &o.segment_count))
		return ERR_CORRUPT;
	o.segments = arena_new_array(a, struct s3_segment, o.segment_count);
	for (uint32_t i = 0; i < o.segment_count; i++)
		if (!take_segment(&in, &o.segments[i]))
			return ERR_CORRUPT;
	if (in.n)
		return ERR_CORRUPT;
	*ret = o;
	return 0;
}

int s3_upload_decode(struct arena *a, str in, struct s3_upload *ret)
{
	struct s3_upload u;
	uint64_t time;

	TRY(take_head(&in, &time));
	if (!take_time(&in, &u.initiated_ms) || !take_headers(a, &in, &u.headers) ||
		!str_take_u8(&in, &u.algorithm) || !str_take_u8(&in, &u.type) ||
		u.algorithm >= S3_SUM_END_ || in.n)
		return ERR_CORRUPT;
	*ret = u;
	return 0;
}

int s3_part_decode(str in, struct s3_part *ret)
{
	struct s3_part p;
	uint64_t time;

	TRY(take_head(&in, &time));
	if (!take_time(&in, &p.modified_ms) || !str_take_varint(&in, &p.bytes) ||
		!take_text(&in, &p.etag) || !take_checksum(&in, &p.checksum) ||
		!take_segment(&in, &p.segment) || in.n)
		return ERR_CORRUPT;
	*ret = p;
	return 0;
}
