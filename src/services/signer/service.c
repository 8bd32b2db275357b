/*
 * The service: its operations, whose policies count, its port, its start and end.
 *
 * https://docs.aws.amazon.com/service-authorization/latest/reference/list_awssigner.html
 */
#include "aws/policy.h"
#include "base/hash.h"
#include "base/mem.h"
#include "services/signer/permission.h"
#include "services/signer/store.h"

enum { POOL_THREADS = 2, POOL_QUEUE = 64, TOKEN_MAX = 1024 };

const struct fault_kind signer_faults[] = {
#define FAULT(...) FAULT_ROW(__VA_ARGS__)
#include "services/signer/faults.def"
#undef FAULT
};

/* ---- resources ---- */

/* A member that only some inputs have. */
static str member_of(struct call *c, const char *member)
{
	if (model_member(c->service->model, c->in->shape, str_c(member)) < 0)
		return STR_NULL;
	return value_str(c->in, member);
}

static int profile_resource(struct call *c, str *ret_arn)
{
	str owner = member_of(c, "profileOwner");

	*ret_arn = signer_profile_arn(
		c->arena, owner.n ? owner : c->account, c->region, value_str(c->in, "profileName"));
	return 0;
}

/* Jobs are found by their id in the account of whoever owns them, or started them. */
static int job_resource(struct call *c, str *ret_arn)
{
	str owner = member_of(c, "jobOwner");

	*ret_arn = signer_job_arn(
		c->arena, owner.n ? owner : c->account, c->region, value_str(c->in, "jobId"));
	return 0;
}

static int tagged_resource(struct call *c, str *ret_arn)
{
	*ret_arn = value_str(c->in, "resourceArn");
	return 0;
}

static const struct operation_row rows[] = {
	{.name = "AddProfilePermission",
		.handle = signer_add_permission,
		.resource = profile_resource},
	{.name = "CancelSigningProfile",
		.handle = signer_cancel_profile,
		.resource = profile_resource},
	{.name = "DescribeSigningJob", .handle = signer_describe_job, .resource = job_resource},
	{.name = "GetRevocationStatus",
		.handle = signer_revocation_status,
		.flags = ROW_AUTHORIZES},
	{.name = "GetSigningPlatform", .handle = signer_get_platform},
	{.name = "GetSigningProfile", .handle = signer_get_profile, .resource = profile_resource},
	{.name = "ListProfilePermissions",
		.handle = signer_list_permissions,
		.resource = profile_resource},
	{.name = "ListSigningJobs", .handle = signer_list_jobs},
	{.name = "ListSigningPlatforms", .handle = signer_list_platforms},
	{.name = "ListSigningProfiles", .handle = signer_list_profiles},
	{.name = "ListTagsForResource", .handle = signer_list_tags, .resource = tagged_resource},
	{.name = "PutSigningProfile", .handle = signer_put_profile},
	{.name = "RemoveProfilePermission",
		.handle = signer_remove_permission,
		.resource = profile_resource},
	{.name = "RevokeSignature", .handle = signer_revoke_job, .resource = job_resource},
	{.name = "RevokeSigningProfile",
		.handle = signer_revoke_profile,
		.resource = profile_resource},
	{.name = "SignPayload", .handle = signer_sign_payload, .resource = profile_resource},
	{.name = "StartSigningJob", .handle = signer_start_job, .resource = profile_resource},
	{.name = "TagResource", .handle = signer_tag, .resource = tagged_resource},
	{.name = "UntagResource", .handle = signer_untag, .resource = tagged_resource},
};

/* The profile that an ARN of it, or of one of its jobs, is about: 1, or 0. */
static int profile_of(struct call *c, str arn, struct signer_profile *ret_profile)
{
	struct signer *s = signer_self(c);
	struct signer_arn at;
	struct signer_job job;

	if (!signer_arn_parse(arn, &at))
		return 0;
	if (at.job.p) {
		if (TRY(signer_job_load(s, NULL, c->arena, at.account, at.region, at.job, &job)) ==
			0)
			return 0;
		at.profile = value_str(job.shown, "profileName");
	}
	return signer_profile_load(
		s, NULL, c->arena, at.account, at.region, at.profile, ret_profile);
}

static int policy_of(struct call *c, str arn, const struct policy **ret_policy)
{
	struct signer_profile p;

	if (TRY(profile_of(c, arn, &p)) == 0)
		return 0;
	return signer_policy(c->arena, &p, ret_policy);
}

static int context_of(
	struct call *c, str action unused_arg, str arn, struct policy_context *context)
{
	struct signer_profile p;

	if (TRY(profile_of(c, arn, &p)))
		policy_context_add(context, STR("signer:ProfileVersion"),
			value_str(p.shown, "profileVersion"));
	return 0;
}

/* ---- pages ---- */

int signer_page(struct call *c, struct signer_page *ret_page)
{
	str token = value_str(c->in, "nextToken");
	struct signer_page page = {SIGNER_PAGE_MAX, STR_NULL};
	uint8_t *text;
	size_t n;

	if (model_member(c->service->model, c->in->shape, STR("maxResults")) >= 0)
		page.max = (uint32_t)value_int(c->in, "maxResults", SIGNER_PAGE_MAX);
	if (token.p) {
		text = arena_alloc(c->arena, base64_bytes_max(token.n) + 1);
		if (!token.n || token.n > TOKEN_MAX || base64url_decode(token, text, &n) < 0 || !n)
			return SIGNER_FAULT(c, VALIDATION, "The nextToken is not valid.");
		page.after = str_of(text, n);
	}
	*ret_page = page;
	return 0;
}

void signer_page_more(struct call *c, str last)
{
	struct buf token;

	buf_init(&token, c->arena, 2 * TOKEN_MAX);
	base64url_put(&token, last);
	check(!token.over);
	value_put_str(c->out, "nextToken", buf_str(&token));
}

/* ---- its life ---- */

int signer_service_new(const struct signer_options *options, struct signer **ret_signer)
{
	struct signer *s = mem_new(struct signer);
	int rc;

	s->magic = SIGNER_MAGIC;
	s->options = *options;
	rt_event_init(&s->wanted);
	rt_event_init(&s->ended);
	s->service = (struct service){.model = model_named(STR("signer")),
		.rows = rows,
		.row_count = ARRAY_SIZE(rows),
		.policy = policy_of,
		.context = context_of,
		.foreign = true,
		.self = s};
	check(s->service.model != NULL);
	rc = rt_pool_new(options->rt, "signer", POOL_THREADS, POOL_QUEUE, &s->pool);
	if (rc < 0) {
		signer_service_free(s);
		return rc;
	}
	s->port = (struct port_signatures){.self = s, .look = signer_look};
	options->ports->signatures = &s->port;
	*ret_signer = s;
	return 0;
}

int signer_service_start(struct signer *s, struct kv *kv)
{
	s->kv = kv;
	TRY(rt_spawn(signer_work, s));
	s->working = true;
	return 0;
}

void signer_service_stop(struct signer *s)
{
	if (!s || !s->working)
		return;
	atomic_store(&s->stopping, true);
	rt_event_set(&s->wanted);
	rt_event_wait_sure(&s->ended);
	s->working = false;
}

void signer_service_free(struct signer *s)
{
	if (!s)
		return;
	check(s->magic == SIGNER_MAGIC && !s->working);
	if (s->pool)
		rt_pool_free(s->pool);
	s->magic = 0;
	mem_free(s);
}

const struct service *signer_service_rows(const struct signer *s)
{
	return &s->service;
}
