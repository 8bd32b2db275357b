/*
 * See sign.h. The directory is read first, so that the entries can be checked while they pass by;
 * the object is finished only when all of it was found to be in order. Memory: the directory and
 * one part.
 */
#include "services/signer/sign.h"

#include "base/ecdsa.h"
#include "base/mem.h"
#include "services/signer/seal.h"

enum { PART_BYTES = 256 << 10, JOB_MS = 600 * 1000, ADDED_MAX = 16 << 10 };

struct signing {
	struct sign_request *r;
	const struct port_objects *port;
	struct object_reader *reader;
	struct object_writer *writer;
	struct archive_source source;
	struct archive_end end;
	struct archive_check check;
	char *directory, *part;
	struct sha384 hash;
	str adding; /* to the hash, on the pool */
	struct statement statement;
	str text; /* the statement's, to be signed on the pool */
	struct buf signature;
	int rc;
	int64_t deadline;
};

static void signing_done(struct signing *g)
{
	g->port->close(g->reader);
	g->port->abandon(g->writer);
	archive_check_done(&g->check);
	mem_free(g->directory);
	mem_free(g->part);
	buf_done(&g->signature);
}

static int fail(struct sign_request *r, str why)
{
	r->why = arena_str(r->arena, why);
	return ERR_FAULT;
}

/* What S3 refuses makes the job fail; what may pass is an error of the disk. */
static int port_result(struct sign_request *r, int rc, const struct fault *fault, const char *what)
{
	if (rc != ERR_FAULT)
		return rc;
	if (fault->kind->server && fault->kind->retryable)
		return ERR_IO;
	return fail(r, arena_printf(r->arena, "%s: %s: %.*s", what, fault->kind->code,
			       STR_ARG(fault->message)));
}

/* `why` is read behind the call that sets it. */
static int archive_result(struct sign_request *r, int rc, const char *const *why)
{
	if (rc != ERR_INVALID)
		return rc;
	return fail(r, arena_printf(r->arena, "The object cannot be signed: %s.", *why));
}

/* ---- reading ---- */

static int read_at(void *arg, uint64_t at, void *to, size_t n)
{
	struct signing *g = arg;
	char *p = to;

	g->port->seek(g->reader, at);
	while (n) {
		int rc = TRY(g->port->read(g->reader, p, n));

		if (rc == 0)
			return ERR_IO;
		p += rc;
		n -= (size_t)rc;
	}
	return 0;
}

static int open_source(struct signing *g)
{
	struct sign_request *r = g->r;
	const struct value *s3 = value_get(value_get(r->job->request, "source"), "s3");
	const struct object_address at = {.as = r->as,
		.region = r->job->region,
		.expected_owner = STR_NULL,
		.bucket = value_str(s3, "bucketName"),
		.key = value_str(s3, "key"),
		.version = value_str(s3, "version")};
	struct object_info info;
	struct fault fault = {0};

	TRY(port_result(r, g->port->open(g->port->self, r->arena, &at, &info, &g->reader, &fault),
		&fault, "source.s3"));
	if (!str_eq(info.etag, r->job->etag))
		return fail(
			r, STR("source.s3: the object was replaced after the job was started."));
	if (info.bytes > SIGNER_ARCHIVE_BYTES_MAX)
		return fail(r, STR("source.s3: the object is too large."));
	g->source = (struct archive_source){read_at, g, info.bytes};
	return 0;
}

static int read_directory(struct signing *g, const char **ret_why)
{
	size_t n;

	if (!g->source.bytes) {
		*ret_why = "it is empty";
		return ERR_INVALID;
	}
	TRY(archive_end_read(&g->source, &g->end, ret_why));
	n = (size_t)g->end.directory_bytes;
	g->directory = mem_alloc(n + 1);
	TRY(read_at(g, g->end.directory_at, g->directory, n));
	TRY(archive_check_init(&g->check, &g->end, str_of(g->directory, n), ret_why));
	return seal_check_names(str_of(g->directory, n), ret_why);
}

/* ---- writing ---- */

str sign_object_key(struct arena *a, const struct signer_job *job)
{
	const struct value *s3 = value_get(value_get(job->request, "destination"), "s3");

	return ARENA_CONCAT(a, value_str(s3, "prefix"), job->id, STR(".zip"));
}

static int open_destination(struct signing *g)
{
	struct sign_request *r = g->r;
	const struct value *s3 = value_get(value_get(r->job->request, "destination"), "s3");
	const struct object_address at = {.as = r->as,
		.region = r->job->region,
		.expected_owner = STR_NULL,
		.bucket = value_str(s3, "bucketName"),
		.key = sign_object_key(r->arena, r->job),
		.version = STR_NULL};
	const struct object_put put = {.content_type = STR("application/zip")};
	struct fault fault = {0};

	return port_result(r,
		g->port->create(g->port->self, r->arena, &at, &put, &g->writer, &fault), &fault,
		"destination.s3");
}

static void hash_job(void *arg)
{
	struct signing *g = arg;

	sha384_add(&g->hash, g->adding);
}

/* All in front of the directory: checked, hashed, and written as it is. */
static int copy_entries(struct signing *g, const char **ret_why)
{
	uint64_t left = g->end.directory_at;

	sha384_init(&g->hash);
	g->part = mem_alloc(PART_BYTES);
	g->port->seek(g->reader, 0);
	while (left) {
		int n = TRY(
			g->port->read(g->reader, g->part, (size_t)MIN(left, (uint64_t)PART_BYTES)));

		if (n == 0)
			return ERR_IO;
		if (atomic_load(&g->r->signer->stopping))
			return ERR_CANCELLED;
		g->adding = str_of(g->part, (size_t)n);
		TRY(archive_check_add(&g->check, g->adding, ret_why));
		TRY(rt_pool_run(g->r->signer->pool, hash_job, g, g->deadline));
		TRY(g->port->write(g->writer, g->adding));
		left -= (uint64_t)n;
	}
	return archive_check_end(&g->check, ret_why);
}

static void sign_job(void *arg)
{
	struct signing *g = arg;

	g->rc = ecdsa_sign(g->r->profile->key, g->text, &g->signature);
}

/* The statement with its signature, in the arena. */
static int make_statement(struct signing *g, str *ret_text)
{
	struct sign_request *r = g->r;
	struct statement *s = &g->statement;
	int64_t created = value_time_ms(r->job->shown, "createdAt", 0);
	struct sha384 directory;
	struct buf text;

	*s = (struct statement){.profile_version = signer_version_arn(r->arena, r->profile),
		.job = signer_job_arn(r->arena, r->job->account, r->job->region, r->job->id),
		.signed_ms = created - created % 1000,
		.expires_ms = value_time_ms(r->job->shown, "signatureExpiresAt", 0),
		.entries = g->end.entries,
		.zip64 = g->end.zip64,
		.content_bytes = g->end.directory_at,
		.directory_bytes = g->end.directory_bytes};
	sha384_finish(&g->hash, s->content);
	sha384_init(&directory);
	sha384_add(&directory, str_of(g->directory, (size_t)g->end.directory_bytes));
	sha384_add(&directory, archive_comment(&g->end));
	sha384_finish(&directory, s->directory);
	buf_init(&text, r->arena, SIGNER_STATEMENT_BYTES_MAX);
	signer_statement_put(&text, s);
	g->text = buf_str(&text);
	TRY(rt_pool_run(r->signer->pool, sign_job, g, g->deadline));
	TRY(g->rc);
	signer_statement_put_signature(&text, buf_str(&g->signature));
	check(!text.over);
	*ret_text = buf_str(&text);
	return 0;
}

static int write_seal(struct signing *g)
{
	struct buf behind_entries, behind_directory;
	str text;

	TRY(make_statement(g, &text));
	buf_init(&behind_entries, g->r->arena, ADDED_MAX);
	buf_init(&behind_directory, g->r->arena, ADDED_MAX);
	seal_put(&g->end, text, &behind_entries, &behind_directory);
	check(!behind_entries.over && !behind_directory.over);
	TRY(g->port->write(g->writer, buf_str(&behind_entries)));
	TRY(g->port->write(g->writer, str_of(g->directory, (size_t)g->end.directory_bytes)));
	return g->port->write(g->writer, buf_str(&behind_directory));
}

static int finish(struct signing *g)
{
	struct object_writer *writer = g->writer;
	struct object_info info;
	struct fault fault = {0};

	g->writer = NULL;
	return port_result(g->r, g->port->finish(writer, g->r->arena, &info, &fault), &fault,
		"destination.s3");
}

int signer_sign(struct sign_request *r)
{
	struct signing g cleanup(signing_done) = {
		.r = r, .port = r->signer->options.ports->objects, .deadline = rt_after_ms(JOB_MS)};
	const char *why = NULL;

	buf_init(&g.signature, NULL, ECDSA_SIGNATURE_MAX);
	TRY(open_source(&g));
	TRY(archive_result(r, read_directory(&g, &why), &why));
	TRY(open_destination(&g));
	TRY(archive_result(r, copy_entries(&g, &why), &why));
	TRY(write_seal(&g));
	return finish(&g);
}
