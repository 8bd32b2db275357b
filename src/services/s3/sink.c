/*
 * See sink.h.
 */
#include "services/s3/sink.h"

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"

void s3_sink_init(struct s3_sink *sink, struct s3 *s3, enum s3_algorithm algorithm)
{
	*sink = (struct s3_sink){.s3 = s3};
	s3_hasher_init(&sink->hasher, &s3->crc, algorithm);
}

static void tap(void *arg, str bytes)
{
	s3_hasher_add(arg, bytes);
}

static int flush(struct s3_sink *sink)
{
	if (!sink->writer)
		TRY(blob_create(sink->s3->blobs, tap, &sink->hasher, &sink->writer));
	TRY(blob_write(sink->writer, str_of(sink->p, sink->n)));
	sink->n = 0;
	return 0;
}

int s3_sink_room(struct s3_sink *sink, char **ret_to, size_t *ret_n)
{
	/* One byte more than the store keeps, to see that there is one. */
	size_t wanted =
		sink->capacity ? (size_t)S3_LIMIT_BUFFER_BYTES : (size_t)S3_LIMIT_SMALL_BYTES + 1;

	if (sink->bytes > (uint64_t)S3_LIMIT_BODY_BYTES)
		return ERR_TOO_LARGE;
	if (sink->n == sink->capacity && sink->capacity < wanted) {
		sink->p = mem_realloc(sink->p, wanted);
		sink->capacity = wanted;
	} else if (sink->n == sink->capacity) {
		TRY(flush(sink));
	}
	*ret_to = sink->p + sink->n;
	*ret_n = sink->capacity - sink->n;
	return 0;
}

void s3_sink_added(struct s3_sink *sink, size_t n)
{
	check(n <= sink->capacity - sink->n);
	sink->n += n;
	sink->bytes += n;
}

/* The first that is too much is seen when the next room is asked for, or here. */
static int check_size(const struct s3_sink *sink)
{
	return sink->bytes > (uint64_t)S3_LIMIT_BODY_BYTES ? ERR_TOO_LARGE : 0;
}

int s3_sink_finish(struct s3_sink *sink, struct arena *a, struct s3_body *ret)
{
	struct s3_body body = {.algorithm = sink->hasher.algorithm};
	struct blob_writer *writer;

	TRY(check_size(sink));
	body.segment.bytes = sink->bytes;
	if (!sink->writer && sink->n <= (size_t)S3_LIMIT_SMALL_BYTES) {
		body.segment.in_store = true;
		body.segment.id = blob_id_new(sink->s3->blobs);
		body.small = arena_str(a, str_of(sink->p ? sink->p : "", sink->n));
		s3_hasher_add(&sink->hasher, body.small);
	} else {
		if (sink->n)
			TRY(flush(sink));
		writer = sink->writer;
		sink->writer = NULL;
		TRY(blob_finish(writer, &body.segment.id));
	}
	s3_hasher_finish(&sink->hasher, body.md5, body.sum);
	*ret = body;
	return 0;
}

void s3_sink_done_p(struct s3_sink *sink)
{
	blob_abandon(sink->writer);
	mem_free(sink->p);
	sink->writer = NULL;
	sink->p = NULL;
}

void s3_body_drop(struct s3 *s3, const struct s3_body *body)
{
	int rc;

	if (body->segment.in_store)
		return;
	rc = blob_remove(s3->blobs, body->segment.id);
	if (rc < 0)
		log_warn("s3", "a body stays until the next start", "error=%s", rc_name(rc));
}

/* ---- a request's body ---- */

static int receive(struct call *c, struct s3_sink *sink)
{
	char *to;
	size_t n;
	int got;

	do {
		TRY(s3_body_error(c, s3_sink_room(sink, &to, &n)));
		got = TRY(call_body_read(c, to, n));
		s3_sink_added(sink, (size_t)got);
	} while (got > 0);
	return 0;
}

static int bad_digest(struct call *c, str name)
{
	return s3_fault(c, BAD_DIGEST,
		"The %.*s you specified did not match the calculated checksum.", STR_ARG(name));
}

static int check_sum(
	struct call *c, const struct s3_integrity *integrity, const struct s3_body *body)
{
	const struct s3_algorithm_name *algorithm = &s3_algorithms[integrity->algorithm];
	uint8_t sum[S3_SUM_BYTES_MAX];
	str value = integrity->value;

	if (integrity->in_trailer) {
		value = call_body_trailer(c, algorithm->header);
		if (!value.p || s3_sum_decode(value, algorithm->bytes, sum) < 0)
			return s3_fault(c, MALFORMED_TRAILER,
				"The request contained trailing data that was not well-formed or "
				"did not conform to our published schema: %.*s",
				STR_ARG(algorithm->header));
	}
	if (!value.p)
		return 0;
	if (s3_sum_decode(value, algorithm->bytes, sum) < 0 ||
		memcmp(sum, body->sum, algorithm->bytes) != 0)
		return bad_digest(c, algorithm->name);
	return 0;
}

static int check_body(
	struct call *c, const struct s3_integrity *integrity, const struct s3_body *body)
{
	if (integrity->has_md5 && memcmp(integrity->md5, body->md5, MD5_BYTES) != 0)
		return s3_bad_md5(c, integrity->md5, body->md5);
	return check_sum(c, integrity, body);
}

int s3_body_receive(struct call *c, const struct s3_integrity *integrity, struct s3_body *ret)
{
	cleanup(s3_sink_done_p) struct s3_sink sink;
	uint64_t length = call_body_length(c);
	int rc;

	s3_sink_init(&sink, s3_self(c), integrity->algorithm);
	if (length == UINT64_MAX)
		return s3_fault(
			c, MISSING_LENGTH, "You must provide the Content-Length HTTP header.");
	if (length > (uint64_t)S3_LIMIT_BODY_BYTES)
		return s3_detail_int(
			c, s3_body_error(c, ERR_TOO_LARGE), STR("ProposedSize"), (int64_t)length);
	TRY(receive(c, &sink));
	TRY(s3_body_error(c, s3_sink_finish(&sink, c->arena, ret)));
	rc = check_body(c, integrity, ret);
	if (rc < 0)
		s3_body_drop(s3_self(c), ret);
	return rc;
}

str s3_body_etag(struct arena *a, const struct s3_body *body)
{
	char *hex = arena_bytes(a, 2 * MD5_BYTES);

	hex_encode(body->md5, MD5_BYTES, hex);
	return str_of(hex, 2 * MD5_BYTES);
}

struct s3_checksum s3_body_checksum(struct arena *a, const struct s3_body *body)
{
	struct buf text;

	if (body->algorithm == S3_SUM_NONE)
		return (struct s3_checksum){.algorithm = S3_SUM_NONE};
	buf_init(&text, a, 64);
	base64_put(&text, str_of(body->sum, s3_algorithms[body->algorithm].bytes));
	return (struct s3_checksum){.algorithm = (uint8_t)body->algorithm,
		.type = S3_SUM_FULL,
		.value = buf_str(&text)};
}
