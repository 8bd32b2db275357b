/*
 * Signing jobs on the twin of the objects port, in virtual time: with disks that fail, objects that
 * change, restarts; and what the signatures port says as time goes by.
 */
#include "aws/policy.h"
#include "aws/ports/call.h"
#include "aws/ports/identity.h"
#include "base/log.h"
#include "base/mem.h"
#include "services/signer/store.h"
#include "test/aws/test_objects.h"
#include "test/services/signer/zip.h"
#include "test/test.h"

#include <sys/mman.h>
#include <unistd.h>

struct world {
	struct rt *rt;
	struct ports ports;
	struct gate *gate;
	struct kv *kv;
	struct signer *signer;
	struct twin_objects *objects;
	struct arena arena;
	struct principal principal;
	struct port_identity identity;
	bool key_is_gone;
	struct fault fault;
	const struct value *out;
	void (*test)(struct world *w);
};

/* One stored file "f". */
static const char archive_bytes[] =
	"PK\3\4\x0a\0\0\0\0\0\0\0\x21\0\xb7\xef\xdc\x83\1\0\0\0\1\0\0\0\1\0\0\0f1"
	"PK\1\2\x14\3\x0a\0\0\0\0\0\0\0\x21\0\xb7\xef\xdc\x83\1\0\0\0\1\0\0\0\1\0\0\0\0\0\0\0\0\0"
	"\0\0\xa4\x81\0\0\0\0f"
	"PK\5\6\0\0\0\0\1\0\1\0\x2f\0\0\0\x20\0\0\0\0\0";
#define ARCHIVE str_of(archive_bytes, sizeof archive_bytes - 1)

static int64_t wall_ms(void)
{
	return rt_wall() / RT_NS_MS;
}

static int by_access_key(
	void *self, struct arena *a unused_arg, str key unused_arg, struct identity *ret)
{
	struct world *w = self;

	*ret = (struct identity){
		.expires_ms = INT64_MAX, .active = !w->key_is_gone, .principal = w->principal};
	return 1;
}

static void start_service(struct world *w)
{
	ASSERT_INT(signer_service_start(w->signer, w->kv), 0);
}

static void fiber(void *arg)
{
	struct world *w = arg;

	start_service(w);
	w->test(w);
	signer_service_stop(w->signer);
	kv_close(w->kv);
	rt_stop(w->rt);
}

/* Jobs that fail are logged; here they have to. */
static void be_quiet(enum log_level level unused_arg, str line unused_arg)
{
}

static void run(void (*test)(struct world *w), uint64_t seed)
{
	static const struct kv_memory_options kv_options = {.bytes_max = 64 << 20};
	static const struct gate_options gate_options = {.region_default = STR_INIT("us-east-1"),
		.wall_ms = wall_ms,
		.monotonic_ns = rt_now,
		.random = rt_random_bytes};
	const struct rt_options rt_options = {.mode = RT_SIMULATED, .seed = seed};
	struct world w = {.test = test};

	log_set_sink(be_quiet);
	arena_init(&w.arena, SIZE_MAX);
	w.objects = mem_new(struct twin_objects);
	twin_objects_init(w.objects);
	twin_objects_put(w.objects, "in", "code.zip", ARCHIVE);
	twin_objects_put(w.objects, "out", "", STR(""));
	w.ports.objects = &w.objects->port;
	w.identity = (struct port_identity){.self = &w, .by_access_key = by_access_key};
	w.ports.identity = &w.identity;
	w.principal = (struct principal){.kind = PRINCIPAL_ROOT,
		.account = STR("000000000000"),
		.arn = STR("arn:aws:iam::000000000000:root"),
		.unrestricted = true};
	ASSERT_INT(rt_new(&rt_options, &w.rt), 0);
	ASSERT_INT(kv_open_memory(&kv_options, &w.kv), 0);
	ASSERT_INT(signer_service_new(
			   &(struct signer_options){.rt = w.rt, .ports = &w.ports}, &w.signer),
		0);
	w.gate = gate_new(&gate_options, &w.ports);
	gate_register(w.gate, signer_service_rows(w.signer));
	EXPECT_INT(rt_run(w.rt, fiber, &w), 0);
	gate_free(w.gate);
	signer_service_free(w.signer);
	rt_free(w.rt);
	EXPECT_INT(w.objects->open_readers, 0);
	EXPECT_INT(w.objects->open_writers, 0);
	twin_objects_done(w.objects);
	mem_free(w.objects);
	arena_done(&w.arena);
	log_set_sink(NULL);
}

/* ---- calls ---- */

static struct value *input(struct world *w, const char *operation)
{
	return w->ports.call->input(w->ports.call->self, &w->arena, "signer", operation);
}

static int call(struct world *w, const char *operation, const struct value *in)
{
	w->fault = (struct fault){0};
	w->out = NULL;
	return w->ports.call->call(w->ports.call->self, &w->arena, "signer", operation,
		&w->principal, STR("us-east-1"), in, &w->out, &w->fault);
}

/* A profile "team" whose signatures are valid for so many days: the ARN of its version. */
static str put_profile(struct world *w, int days)
{
	struct value *in = input(w, "PutSigningProfile"), *period;

	value_put_str(in, "profileName", STR("team"));
	value_put_str(in, "platformId", STR(STATEMENT_PLATFORM));
	period = value_put_struct(in, "signatureValidityPeriod");
	value_put_int(period, "value", days);
	value_put_str(period, "type", STR("DAYS"));
	EXPECT_INT(call(w, "PutSigningProfile", in), 0);
	return value_str(w->out, "profileVersionArn");
}

static int start_job(struct world *w, const char *token, str *ret_id)
{
	struct value *in = input(w, "StartSigningJob"), *s3;
	int rc;

	value_put_str(in, "profileName", STR("team"));
	value_put_str(in, "clientRequestToken", str_c(token));
	s3 = value_put_struct(value_put_struct(in, "source"), "s3");
	value_put_str(s3, "bucketName", STR("in"));
	value_put_str(s3, "key", STR("code.zip"));
	value_put_str(s3, "version", STR("null"));
	s3 = value_put_struct(value_put_struct(in, "destination"), "s3");
	value_put_str(s3, "bucketName", STR("out"));
	value_put_str(s3, "prefix", STR("p-"));
	rc = call(w, "StartSigningJob", in);
	if (rc >= 0)
		*ret_id = value_str(w->out, "jobId");
	return rc;
}

static str new_job(struct world *w, const char *token)
{
	str id = STR("");

	EXPECT_INT(start_job(w, token, &id), 0);
	return id;
}

/* Until it is through, at most so many seconds: its status. */
static str wait_for(struct world *w, str id, unsigned seconds)
{
	struct value *in = input(w, "DescribeSigningJob");
	str status = STR("");

	value_put_str(in, "jobId", id);
	for (unsigned i = 0; i < 10 * seconds; i++) {
		if (!EXPECT_INT(call(w, "DescribeSigningJob", in), 0))
			return status;
		status = value_str(w->out, "status");
		if (!str_eq(status, STR("InProgress")))
			return status;
		if (rt_sleep_until(rt_after_ms(100)) < 0)
			return status;
	}
	return status;
}

static void expect_failed(struct world *w, str id, const char *why)
{
	EXPECT_STR(wait_for(w, id, 3600), STR("Failed"));
	if (str_find_str(value_str(w->out, "statusReason"), str_c(why)) < 0)
		test_fail(__FILE__, __LINE__, "%.*s", STR_ARG(value_str(w->out, "statusReason")));
	EXPECT(!value_has(w->out, "signedObject"));
	EXPECT(twin_objects_at(w->objects, "out", "p-", 0) == NULL);
}

static str object_of(struct world *w, str id)
{
	return twin_objects_get(
		w->objects, STR("out"), ARENA_CONCAT(&w->arena, STR("p-"), id, STR(".zip")));
}

static struct signature look(struct world *w, str bytes)
{
	const struct port_signatures *port = w->ports.signatures;
	struct signature s = {.state = SIGNATURE_NONE};
	int fd = memfd_create("archive", MFD_CLOEXEC);

	EXPECT(fd >= 0 && write(fd, bytes.p, bytes.n) == (ssize_t)bytes.n);
	EXPECT_INT(port->look(port->self, &w->arena, fd, RT_NEVER, &s), 0);
	close(fd);
	return s;
}

/* ---- jobs ---- */

static void disks_fail(struct world *w)
{
	str version, id;

	version = put_profile(w, 30);
	w->objects->delay_ms = 20;
	w->objects->read_max = 5;
	w->objects->fail_in = 30;
	w->objects->fail_every = 90;
	id = new_job(w, "t");
	EXPECT_STR(wait_for(w, id, 60), STR("Succeeded"));
	EXPECT(w->objects->opens > 2); /* more than once was needed */
	EXPECT_INT(look(w, object_of(w, id)).state, SIGNATURE_VALID);
	EXPECT_STR(look(w, object_of(w, id)).profile_version_arn, version);
	EXPECT_STR(look(w, object_of(w, id)).job_arn,
		signer_job_arn(&w->arena, STR("000000000000"), STR("us-east-1"), id));
}

TEST(signer_jobs, disks_fail)
{
	for (uint64_t seed = 1; seed <= 20; seed++)
		run(disks_fail, seed);
}

static void disk_is_broken(struct world *w)
{
	put_profile(w, 30);
	w->objects->fail_in = w->objects->fail_every = 1;
	expect_failed(w, new_job(w, "t"), "begun again and again");
}

TEST(signer_jobs, disk_is_broken)
{
	run(disk_is_broken, 1);
}

static void object_is_replaced(struct world *w)
{
	str id;

	put_profile(w, 30);
	id = new_job(w, "t");
	twin_objects_put(w->objects, "in", "code.zip", STR("another"));
	expect_failed(w, id, "was replaced");
}

TEST(signer_jobs, object_is_replaced)
{
	run(object_is_replaced, 1);
}

static void goes_on_after_a_restart(struct world *w)
{
	str first, second;

	put_profile(w, 30);
	w->objects->delay_ms = 50;
	first = new_job(w, "t");
	second = new_job(w, "u");
	signer_service_stop(w->signer);
	EXPECT(object_of(w, second).p == NULL);
	signer_service_free(w->signer);
	ASSERT_INT(signer_service_new(
			   &(struct signer_options){.rt = w->rt, .ports = &w->ports}, &w->signer),
		0);
	/* The gate knows the first one's rows: jobs are looked at in the store. */
	start_service(w);
	for (int i = 0; i < 100 && !object_of(w, second).p; i++)
		ASSERT_INT(rt_sleep_until(rt_after_ms(100)), 0);
	EXPECT_INT(look(w, object_of(w, first)).state, SIGNATURE_VALID);
	EXPECT_INT(look(w, object_of(w, second)).state, SIGNATURE_VALID);
}

TEST(signer_jobs, goes_on_after_a_restart)
{
	for (uint64_t seed = 1; seed <= 10; seed++)
		run(goes_on_after_a_restart, seed);
}

/* What the caller might when it was started, and may not when it is worked on. */
static void policies_have_changed(struct world *w)
{
	str id;

	put_profile(w, 30);
	id = new_job(w, "t");
	w->objects->denied = STR("code");
	expect_failed(w, id, "source.s3: AccessDenied");
	w->objects->denied = STR_NULL;
	id = new_job(w, "u");
	w->objects->locked_bucket = STR("out");
	expect_failed(w, id, "destination.s3: AccessDenied");
}

TEST(signer_jobs, policies_have_changed)
{
	run(policies_have_changed, 1);
}

/* Two servers on one store: each works on what it finds; it ends once. */
static void two_servers(struct world *w)
{
	struct ports ports = w->ports;
	struct signer *other;
	struct value *in;
	str ids[20];

	put_profile(w, 30);
	w->objects->delay_ms = 20;
	ASSERT_INT(
		signer_service_new(&(struct signer_options){.rt = w->rt, .ports = &ports}, &other),
		0);
	for (size_t i = 0; i < ARRAY_SIZE(ids); i++)
		ids[i] = new_job(w, arena_c(&w->arena, arena_printf(&w->arena, "t%zu", i)));
	ASSERT_INT(signer_service_start(other, w->kv), 0);
	for (size_t i = 0; i < ARRAY_SIZE(ids); i++)
		EXPECT_STR(wait_for(w, ids[i], 60), STR("Succeeded"));
	signer_service_stop(other);
	signer_service_free(other);
	/* All are counted as through: there is room for as many as may be. */
	w->objects->fail_in = w->objects->fail_every = 1;
	for (int i = 0; i < SIGNER_JOBS_OPEN_MAX; i++)
		new_job(w, arena_c(&w->arena, arena_printf(&w->arena, "u%d", i)));
	in = input(w, "ListSigningJobs");
	value_put_str(in, "status", STR("Succeeded"));
	EXPECT_INT(call(w, "ListSigningJobs", in), 0);
	EXPECT_INT(value_count(value_get(w->out, "jobs")), ARRAY_SIZE(ids));
}

TEST(signer_jobs, two_servers)
{
	for (uint64_t seed = 1; seed <= 5; seed++)
		run(two_servers, seed);
}

static void credentials_are_gone(struct world *w)
{
	const struct policy *policies[1];
	struct policy *policy;
	str id, message;

	put_profile(w, 30);
	EXPECT_INT(policy_parse(&w->arena,
			   STR("{\"Statement\":{\"Effect\":\"Allow\",\"Action\":\"signer:*\","
			       "\"Resource\":\"*\"}}"),
			   POLICY_IDENTITY, &policy, &message),
		0);
	policies[0] = policy;
	w->principal.kind = PRINCIPAL_USER;
	w->principal.arn = STR("arn:aws:iam::000000000000:user/u");
	w->principal.access_key = STR("AKIA");
	w->principal.unrestricted = false;
	w->principal.policies = policies;
	w->principal.policy_count = 1;
	id = new_job(w, "t");
	EXPECT_STR(wait_for(w, id, 60), STR("Succeeded"));
	EXPECT_STR(w->objects->last_principal, w->principal.arn);
	w->key_is_gone = true;
	id = new_job(w, "u");
	EXPECT_STR(wait_for(w, id, 60), STR("Failed"));
	EXPECT(str_find_str(value_str(w->out, "statusReason"), STR("credentials")) >= 0);
}

TEST(signer_jobs, credentials_are_gone)
{
	run(credentials_are_gone, 1);
}

static void not_too_many(struct world *w)
{
	str id;

	put_profile(w, 30);
	w->objects->fail_in = w->objects->fail_every = 1; /* so that none ends */
	for (int i = 0; i < SIGNER_JOBS_OPEN_MAX; i++)
		new_job(w, arena_c(&w->arena, arena_printf(&w->arena, "t%d", i)));
	EXPECT_INT(start_job(w, "more", &id), ERR_FAULT);
	EXPECT_STR(str_c(w->fault.kind->code), STR("TooManyRequestsException"));
	/* One that comes again is none more; and when they are through there is room. */
	id = new_job(w, "t7");
	w->objects->fail_in = 0;
	EXPECT_STR(wait_for(w, id, 600), STR("Succeeded"));
	for (int i = 0; i < 600 && start_job(w, "more", &id) < 0; i++)
		ASSERT_INT(rt_sleep_until(rt_after_ms(100)), 0);
	EXPECT_STR(wait_for(w, id, 600), STR("Succeeded"));
}

TEST(signer_jobs, not_too_many)
{
	run(not_too_many, 1);
}

/* ---- signatures as time goes by ---- */

static void revoke_profile(struct world *w, str version, int64_t from_ms)
{
	struct value *in = input(w, "RevokeSigningProfile");

	value_put_str(in, "profileName", STR("team"));
	value_put_str(in, "profileVersion", str_from(version, version.n - 10));
	value_put_str(in, "reason", STR("lost"));
	value_put_time_ms(in, "effectiveTime", from_ms);
	EXPECT_INT(call(w, "RevokeSigningProfile", in), 0);
}

static void time_goes_by(struct world *w)
{
	str version = put_profile(w, 1), early, late;
	struct value *in = input(w, "RevokeSignature");
	int64_t between;

	EXPECT_INT(look(w, ARCHIVE).state, SIGNATURE_NONE);
	early = new_job(w, "t");
	EXPECT_STR(wait_for(w, early, 60), STR("Succeeded"));
	ASSERT_INT(rt_sleep_until(rt_after_ms(INT64_C(20) * 3600 * 1000)), 0);
	between = wall_ms();
	late = new_job(w, "u");
	EXPECT_STR(wait_for(w, late, 60), STR("Succeeded"));
	EXPECT_INT(look(w, object_of(w, early)).state, SIGNATURE_VALID);
	EXPECT_INT(look(w, object_of(w, late)).state, SIGNATURE_VALID);
	ASSERT_INT(rt_sleep_until(rt_after_ms(INT64_C(5) * 3600 * 1000)), 0);
	EXPECT_INT(look(w, object_of(w, early)).state, SIGNATURE_EXPIRED);
	EXPECT_STR(look(w, object_of(w, early)).profile_version_arn, version);
	EXPECT_INT(look(w, object_of(w, late)).state, SIGNATURE_VALID);
	revoke_profile(w, version, between);
	EXPECT_INT(look(w, object_of(w, early)).state, SIGNATURE_EXPIRED);
	EXPECT_INT(look(w, object_of(w, late)).state, SIGNATURE_REVOKED);
	value_put_str(in, "jobId", early);
	value_put_str(in, "reason", STR("lost"));
	EXPECT_INT(call(w, "RevokeSignature", in), 0);
	EXPECT_INT(look(w, object_of(w, early)).state, SIGNATURE_REVOKED);
}

TEST(signer_jobs, time_goes_by)
{
	run(time_goes_by, 1);
}

/* The archive with that statement and the signature in it, whoever signed what. */
static str sealed_as(struct arena *a, const struct archive_end *end, const struct statement *s)
{
	struct buf text, front, behind;

	buf_init(&text, a, SIGNER_STATEMENT_BYTES_MAX);
	buf_init(&front, a, 1 << 16);
	buf_init(&behind, a, 1 << 16);
	signer_statement_put(&text, s);
	signer_statement_put_signature(&text, s->signature);
	seal_put(end, buf_str(&text), &front, &behind);
	return ARENA_CONCAT(a, str_sub(ARCHIVE, 0, end->directory_at), buf_str(&front),
		str_sub(ARCHIVE, end->directory_at, end->directory_bytes), buf_str(&behind));
}

/* Whoever has no key of ours cannot sign, however well the text looks. */
static void strangers(struct world *w)
{
	str version = put_profile(w, 30), id = new_job(w, "t"), sealed, other, name;
	char *p;

	EXPECT_STR(wait_for(w, id, 60), STR("Succeeded"));
	sealed = object_of(w, id);
	/* Another version of the profile, another profile: nobody's. */
	for (size_t back = 1; back < 14; back += 11) {
		struct archive_end end;
		struct statement s;
		const char *why;
		struct archive_source source = {zip_read, &sealed, sealed.n};

		ASSERT_INT(seal_read(&source, &w->arena, &s, &why), 1);
		name = arena_str(&w->arena, version);
		p = (char *)(uintptr_t)name.p;
		p[name.n - back] = p[name.n - back] == 'x' ? 'y' : 'x';
		s.profile_version = name;
		ASSERT_INT(zip_check(ARCHIVE, 100, &end, &why), 0);
		other = sealed_as(&w->arena, &end, &s);
		EXPECT_INT(look(w, other).state, SIGNATURE_UNKNOWN);
		EXPECT(look(w, other).profile_version_arn.p == NULL);
		/* The right name, and a text that was not signed. */
		s.profile_version = version;
		s.expires_ms += 1000;
		other = sealed_as(&w->arena, &end, &s);
		EXPECT_INT(look(w, other).state, SIGNATURE_DAMAGED);
	}
}

TEST(signer_jobs, strangers)
{
	run(strangers, 1);
}
