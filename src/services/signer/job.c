/*
 * StartSigningJob, DescribeSigningJob, ListSigningJobs, RevokeSignature, GetRevocationStatus.
 *
 * A job belongs to the account of its profile; who started it sees it, too. Whether the source can
 * be read and the destination written is asked at once, in the name of the caller; the worker asks
 * again. What is found out about the archive itself makes the job fail.
 *
 * Source: API Reference, the operation of each handler's name; Developer Guide, "Create a signing
 * job for Lambda in AWS Signer". Not confirmed: the words of all refusals, the order of lists
 * (newest first here), and that S3's refusals are answered at once.
 */
#include "aws/keyspace.h"
#include "aws/ports/objects.h"
#include "services/signer/expiry.h"
#include "services/signer/platform.h"
#include "services/signer/store.h"

enum { TOKEN_MAX = 128 };

/* ---- StartSigningJob ---- */

static int object_fault(struct call *c, const struct object_address *at, const struct fault *fault,
	const char *what)
{
	const char *code = fault->kind->code;

	if (strcmp(code, "AccessDenied") == 0)
		return SIGNER_FAULT(c, ACCESS_DENIED, "%s: %.*s", what, STR_ARG(fault->message));
	if (fault->kind->server)
		return SIGNER_FAULT(c, INTERNAL, "%s: %.*s", what, STR_ARG(fault->message));
	return SIGNER_FAULT(c, VALIDATION, "%s: s3://%.*s/%.*s: %s: %.*s", what,
		STR_ARG(at->bucket), STR_ARG(at->key), code, STR_ARG(fault->message));
}

/* May the source be read, and which object is it? */
static int look_at_source(struct call *c, const struct port_objects *port, str *ret_etag)
{
	const struct value *s3 = value_get(value_get(c->in, "source"), "s3");
	const struct object_address at = {.as = c->principal,
		.region = c->region,
		.expected_owner = STR_NULL,
		.bucket = value_str(s3, "bucketName"),
		.key = value_str(s3, "key"),
		.version = value_str(s3, "version")};
	struct object_reader *reader;
	struct object_info info;
	struct fault fault = {0};
	int rc;

	if (!s3)
		return SIGNER_FAULT(c, VALIDATION, "source.s3: the member is missing.");
	rc = port->open(port->self, c->arena, &at, &info, &reader, &fault);
	if (rc == ERR_FAULT)
		return object_fault(c, &at, &fault, "source.s3");
	TRY(rc);
	port->close(reader);
	if (info.bytes > SIGNER_ARCHIVE_BYTES_MAX)
		return SIGNER_FAULT(c, VALIDATION,
			"source.s3: the object has %llu bytes; the platform %s signs %d at most.",
			(unsigned long long)info.bytes, STATEMENT_PLATFORM,
			SIGNER_ARCHIVE_BYTES_MAX);
	*ret_etag = info.etag;
	return 0;
}

static int look_at_destination(struct call *c, const struct port_objects *port, str id)
{
	const struct value *s3 = value_get(value_get(c->in, "destination"), "s3");
	str prefix = value_str(s3, "prefix");
	const struct object_address at = {.as = c->principal,
		.region = c->region,
		.expected_owner = STR_NULL,
		.bucket = value_str(s3, "bucketName"),
		.key = ARENA_CONCAT(c->arena, prefix, id, STR(".zip")),
		.version = STR_NULL};
	const struct object_put put = {.content_type = STR("application/zip")};
	struct object_writer *writer;
	struct fault fault = {0};
	int rc;

	if (!s3 || !at.bucket.n)
		return SIGNER_FAULT(
			c, VALIDATION, "destination.s3.bucketName: the member is missing.");
	rc = port->create(port->self, c->arena, &at, &put, &writer, &fault);
	if (rc == ERR_FAULT)
		return object_fault(c, &at, &fault, "destination.s3");
	TRY(rc);
	port->abandon(writer);
	return 0;
}

struct starting {
	struct call *call;
	struct signer_profile profile;
	struct signer_job job;
	str token_key, count_key;
	str same; /* what the token has started before; STR_NULL: nothing */
};

/* Into the lists of who owns it and of who started it. */
static void put_listed(struct kv_txn *txn, struct arena *a, const struct signer_job *j)
{
	int64_t ms = value_time_ms(j->shown, "createdAt", 0);
	str owner = j->account, invoker = value_str(j->shown, "jobInvoker");

	kv_txn_put_covered(txn, signer_list_key(a, owner, j->region, ms, j->id), owner);
	if (str_eq(owner, invoker))
		return;
	kv_txn_put_covered(txn, signer_list_key(a, invoker, j->region, ms, j->id), owner);
	kv_txn_put_covered(txn, signer_key(a, invoker, j->region, "owner", j->id), owner);
}

/* A job by its owner and its id. */
static str token_record(struct arena *a, const struct signer_job *j)
{
	return ARENA_CONCAT(a, j->account, STR("/"), j->id);
}

static int start_in_store(struct kv_txn *txn, void *arg)
{
	struct starting *x = arg;
	struct call *c = x->call;
	struct arena *a = c->arena;
	struct signer_job *j = &x->job;
	struct signer_count count;
	str key = signer_key(a, j->account, j->region, "job", j->id);

	x->same = STR_NULL;
	if (TRY(kv_txn_get(txn, x->token_key, a, &x->same)))
		return 0;
	TRY(signer_count_load(txn, a, x->count_key, &count));
	if (count.open >= SIGNER_JOBS_OPEN_MAX || count.jobs >= SIGNER_JOBS_MAX)
		return SIGNER_FAULT(c, TOO_MANY,
			"The account has as many signing jobs as may be: %llu, %llu of them in "
			"progress.",
			(unsigned long long)count.jobs, (unsigned long long)count.open);
	count.open++;
	count.jobs++;
	kv_txn_put(txn, x->count_key, signer_count_encode(a, &count));
	kv_txn_put(txn, x->token_key, token_record(a, j));
	kv_txn_put(txn, key, signer_job_encode(a, j));
	kv_txn_put_covered(
		txn, signer_open_key(a, value_time_ms(j->shown, "createdAt", 0), j->id), key);
	put_listed(txn, a, j);
	return 0;
}

static int fill(struct call *c, struct starting *x)
{
	const struct value *period = value_get(x->profile.shown, "signatureValidityPeriod");
	struct signer_job *j = &x->job;
	struct value *v = j->shown;
	int64_t expires_ms;

	TRY(signer_expiry_of(
		c->wall_ms, value_int(period, "value", 0), value_str(period, "type"), &expires_ms));
	value_put_str(v, "jobId", j->id);
	value_put_copy(v, "source", value_get(c->in, "source"));
	value_put_str(v, "platformId", PLATFORM_ID);
	value_put_str(v, "platformDisplayName", PLATFORM_DISPLAY);
	value_put_str(v, "profileName", x->profile.name);
	value_put_str(v, "profileVersion", value_str(x->profile.shown, "profileVersion"));
	value_put_copy(v, "signingParameters", value_get(x->profile.shown, "signingParameters"));
	value_put_time_ms(v, "createdAt", c->wall_ms);
	value_put_time_ms(v, "signatureExpiresAt", expires_ms);
	value_put_str(v, "requestedBy", c->principal->arn);
	value_put_str(v, "status", STR("InProgress"));
	value_put_str(v, "statusReason", STR("Signing in progress"));
	value_put_str(v, "jobOwner", j->account);
	value_put_str(v, "jobInvoker", c->account);
	return 0;
}

static int check_start(struct call *c, struct starting *x, str owner)
{
	const struct port_objects *port = c->ports->objects;
	str name = value_str(c->in, "profileName"), token = value_str(c->in, "clientRequestToken");

	if (!token.n || token.n > TOKEN_MAX)
		return SIGNER_FAULT(c, VALIDATION,
			"clientRequestToken: it has to have 1 to %d characters.", TOKEN_MAX);
	if (TRY(signer_profile_load(
		    signer_self(c), NULL, c->arena, owner, c->region, name, &x->profile)) == 0)
		return signer_profile_missing(c, owner, name);
	if (!signer_profile_is_active(&x->profile))
		return SIGNER_FAULT(c, VALIDATION,
			"profileName: the signing profile %.*s is not active (%.*s).",
			STR_ARG(name), STR_ARG(value_str(x->profile.shown, "status")));
	if (!port)
		return SIGNER_FAULT(c, INTERNAL, "The server has no buckets.");
	TRY(look_at_source(c, port, &x->job.etag));
	return look_at_destination(c, port, x->job.id);
}

int signer_start_job(struct call *c)
{
	const struct model *m = c->service->model;
	str owner = value_str(c->in, "profileOwner"),
	    token = value_str(c->in, "clientRequestToken");
	struct signer *s = signer_self(c);
	struct starting x = {.call = c};
	str keys[3], same;

	owner = owner.n ? owner : c->account;
	x.job = (struct signer_job){.account = owner,
		.region = c->region,
		.id = signer_uuid(c->arena),
		.as = principal_note_of(c->principal),
		.request = value_new(c->arena, m, "StartSigningJobRequest"),
		.shown = value_new(c->arena, m, "DescribeSigningJobResponse")};
	x.token_key = signer_key(c->arena, c->account, c->region, "token", token);
	/* A request that comes again is answered again, whatever has become of its objects. */
	if (!token.n || token.n > TOKEN_MAX ||
		TRY(kv_get(s->kv, x.token_key, c->arena, &same)) == 0) {
		TRY(check_start(c, &x, owner));
		value_copy_members(x.job.request, c->in);
		TRY(fill(c, &x));
		x.count_key = signer_key(c->arena, c->account, c->region, "count", STR(""));
		keys[0] = x.token_key;
		keys[1] = x.count_key;
		keys[2] = signer_key(c->arena, owner, c->region, "job", x.job.id);
		TRY(kv_run(s->kv, keys, ARRAY_SIZE(keys), start_in_store, &x, c->deadline_ns));
		same = x.same.p ? x.same : token_record(c->arena, &x.job);
		rt_event_set(&s->wanted);
	}
	if (!str_split(&same, '/', &owner) || !same.n)
		return ERR_CORRUPT;
	value_put_str(c->out, "jobId", same);
	value_put_str(c->out, "jobOwner", owner);
	return 0;
}

/* ---- reading ---- */

static int fault_missing(struct call *c, str id)
{
	return SIGNER_FAULT(c, NOT_FOUND, "The signing job %.*s does not exist.", STR_ARG(id));
}

/* A job of the account, or one that it started: 1, or 0. */
static int find(struct call *c, str id, struct signer_job *ret_job)
{
	struct signer *s = signer_self(c);
	str owner;

	if (TRY(signer_job_load(s, NULL, c->arena, c->account, c->region, id, ret_job)))
		return 1;
	if (TRY(kv_get(s->kv, signer_key(c->arena, c->account, c->region, "owner", id), c->arena,
		    &owner)) == 0)
		return 0;
	return signer_job_load(s, NULL, c->arena, owner, c->region, id, ret_job);
}

int signer_describe_job(struct call *c)
{
	str id = value_str(c->in, "jobId");
	struct signer_job j;

	if (TRY(find(c, id, &j)) == 0)
		return fault_missing(c, id);
	value_copy_members(c->out, j.shown);
	return 0;
}

static bool fits(str wanted, str is)
{
	return !wanted.p || str_eq(wanted, is);
}

static bool is_listed(struct call *c, const struct signer_job *j)
{
	const struct value *in = c->in, *v = j->shown;
	int64_t expires = value_time_ms(v, "signatureExpiresAt", 0);

	return fits(value_str(in, "status"), value_str(v, "status")) &&
	       fits(value_str(in, "platformId"), value_str(v, "platformId")) &&
	       fits(value_str(in, "requestedBy"), value_str(v, "requestedBy")) &&
	       fits(value_str(in, "jobInvoker"), value_str(v, "jobInvoker")) &&
	       (!value_has(in, "isRevoked") ||
		       value_bool(in, "isRevoked", false) == signer_job_is_revoked(j)) &&
	       expires < value_time_ms(in, "signatureExpiresBefore", INT64_MAX) &&
	       expires > value_time_ms(in, "signatureExpiresAfter", INT64_MIN);
}

/* The job of an entry of the list, whose arena lives as long as the look at it: 1, or 0. */
static int load_entry(struct call *c, struct arena *a, str key, str owner, size_t prefix,
	struct signer_job *ret_job)
{
	str rest = str_from(key, prefix + sizeof(uint64_t)), id;

	if (!keyspace_take(a, &rest, &id))
		return ERR_CORRUPT;
	return signer_job_load(
		signer_self(c), NULL, a, arena_str(a, owner), c->region, id, ret_job);
}

int signer_list_jobs(struct call *c)
{
	struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
	struct value *list = value_put_list(c->out, "jobs"), *v;
	str prefix = signer_prefix(c->arena, c->account, c->region, "jobs"), key, owner;
	struct kv_range range = {.from = prefix, .to = keyspace_prefix_end(c->arena, prefix)};
	struct signer_page page;
	str last = STR_NULL;
	uint32_t n = 0, looked_at = 0;
	struct buf place;

	buf_init(&place, c->arena, KEYSPACE_KEY_MAX);
	TRY(signer_page(c, &page));
	if (page.after.p)
		range.from = ARENA_CONCAT(c->arena, prefix, page.after, STR("\0"));
	TRY(kv_scan_open(signer_self(c)->kv, &range, &scan));
	while (TRY(kv_scan_next(scan, &key, &owner))) {
		struct arena own cleanup(arena_done_p) = {0};
		struct signer_job j;

		if (n == page.max || looked_at++ == SIGNER_LOOKED_AT_MAX) {
			signer_page_more(c, last);
			break;
		}
		arena_init(&own, SIZE_MAX);
		key = arena_str(&own, key);
		if (TRY(load_entry(c, &own, key, owner, prefix.n, &j)) && is_listed(c, &j)) {
			v = value_add_struct(list);
			value_copy_members(v, j.shown);
			value_put_bool(v, "isRevoked", signer_job_is_revoked(&j));
			n++;
		}
		buf_reset(&place);
		buf_put(&place, str_from(key, prefix.n));
		last = buf_str(&place);
	}
	return 0;
}

/* ---- revoking ---- */

struct revoking {
	struct call *call;
	str owner, id;
};

static int revoke_in_store(struct kv_txn *txn, void *arg)
{
	struct revoking *x = arg;
	struct call *c = x->call;
	struct value *record;
	struct signer_job j;

	if (TRY(signer_job_load(signer_self(c), txn, c->arena, x->owner, c->region, x->id, &j)) ==
		0)
		return fault_missing(c, x->id);
	if (!str_eq(value_str(j.shown, "status"), STR("Succeeded")))
		return SIGNER_FAULT(c, VALIDATION,
			"jobId: the signing job %.*s has made no signature (%.*s).", STR_ARG(x->id),
			STR_ARG(value_str(j.shown, "status")));
	if (signer_job_is_revoked(&j))
		return SIGNER_FAULT(c, VALIDATION,
			"jobId: the signature of the signing job %.*s is revoked already.",
			STR_ARG(x->id));
	record = value_put_struct(j.shown, "revocationRecord");
	value_put_str(record, "reason", value_str(c->in, "reason"));
	value_put_time_ms(record, "revokedAt", c->wall_ms);
	value_put_str(record, "revokedBy", c->principal->arn);
	kv_txn_put(txn, signer_key(c->arena, x->owner, c->region, "job", x->id),
		signer_job_encode(c->arena, &j));
	return 0;
}

int signer_revoke_job(struct call *c)
{
	str owner = value_str(c->in, "jobOwner");
	struct revoking x = {c, owner.n ? owner : c->account, value_str(c->in, "jobId")};
	str key = signer_key(c->arena, x.owner, c->region, "job", x.id);

	return kv_run(signer_self(c)->kv, &key, 1, revoke_in_store, &x, c->deadline_ns);
}

/*
 * Which of what the request names is revoked. Certificates there are none, so none is revoked.
 */
int signer_revocation_status(struct call *c)
{
	struct value *list = value_put_list(c->out, "revokedEntities");
	str profile = value_str(c->in, "profileVersionArn"), job = value_str(c->in, "jobArn");
	int64_t signed_ms = value_time_ms(c->in, "signatureTimestamp", 0);
	struct signer_arn p, j;
	struct signer_profile found;
	struct signer_job of;

	if (!str_eq(value_str(c->in, "platformId"), PLATFORM_ID))
		return SIGNER_FAULT(c, VALIDATION, "platformId: there is no platform %.*s.",
			STR_ARG(value_str(c->in, "platformId")));
	if (!signer_arn_parse(profile, &p) || !p.version.p)
		return SIGNER_FAULT(c, VALIDATION,
			"profileVersionArn: %.*s is not the ARN of a version of a signing profile.",
			STR_ARG(profile));
	if (!signer_arn_parse(job, &j) || !j.job.p)
		return SIGNER_FAULT(c, VALIDATION, "jobArn: %.*s is not the ARN of a signing job.",
			STR_ARG(job));
	TRY(call_authorize(c, STR("signer:GetRevocationStatus"),
		signer_profile_arn(c->arena, p.account, p.region, p.profile)));
	TRY(call_authorize(c, STR("signer:GetRevocationStatus"), job));
	if (TRY(signer_profile_load(
		    signer_self(c), NULL, c->arena, p.account, p.region, p.profile, &found)) == 0 ||
		!str_eq(p.version, value_str(found.shown, "profileVersion")))
		return SIGNER_FAULT(c, VALIDATION,
			"profileVersionArn: the signing profile %.*s does not exist.",
			STR_ARG(profile));
	if (TRY(signer_job_load(signer_self(c), NULL, c->arena, j.account, j.region, j.job, &of)) ==
		0)
		return SIGNER_FAULT(c, VALIDATION, "jobArn: the signing job %.*s does not exist.",
			STR_ARG(job));
	if (signer_profile_revoked_at(&found, signed_ms))
		value_add_str(list, profile);
	if (signer_job_is_revoked(&of))
		value_add_str(list, job);
	return 0;
}
