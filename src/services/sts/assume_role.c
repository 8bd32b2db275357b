/*
 * AssumeRole: the role's trust policy decides, with the caller's own policies.
 *
 * https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
 * https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
 *
 * Only a trust policy lets anyone in. Where it names the caller itself (or everybody), that is all
 * it needs within one account; where it names the caller's account, it leaves the choice to the
 * account, so the caller's own policies have to allow sts:AssumeRole too, and across accounts they
 * always have to. The caller's boundary and session policies limit in any case. Root needs the
 * trust policy's leave like everybody: AWS lets no root assume a role, but here root is who begins.
 */
#include "aws/policy.h"
#include "base/time.h"
#include "services/sts/internal.h"

enum {
	SECONDS_DEFAULT = 3600,
	SECONDS_CHAINED_MAX = 3600,
	POLICY_ARNS_MAX = 10,
	PACKED_CHARS_MAX = 2048
};

#define ACTION STR("sts:AssumeRole")

/* ---- may it be assumed? ---- */

static void context_fill(struct call *c, struct policy_context *context)
{
	const struct principal *who = c->principal;
	struct buf now, epoch;

	*context = (struct policy_context){.arena = c->arena};
	buf_init(&now, c->arena, TIME_TEXT_MAX);
	time_put_iso(&now, c->wall_ms);
	buf_init(&epoch, c->arena, TIME_TEXT_MAX);
	time_put_epoch(&epoch, c->wall_ms / 1000 * 1000);
	policy_context_add(context, STR("aws:CurrentTime"), buf_str(&now));
	policy_context_add(context, STR("aws:EpochTime"), buf_str(&epoch));
	policy_context_add(context, STR("aws:PrincipalArn"),
		who->kind == PRINCIPAL_SESSION ? who->role_arn : who->arn);
	policy_context_add(context, STR("aws:PrincipalAccount"), who->account);
	policy_context_add(context, STR("aws:userid"), who->user_id);
	if (who->kind == PRINCIPAL_USER)
		policy_context_add(context, STR("aws:username"), who->name);
	policy_context_add(context, STR("aws:RequestedRegion"), c->region);
	if (c->request) {
		policy_context_add(context, STR("aws:SecureTransport"),
			c->request->trust->tls ? STR("true") : STR("false"));
		policy_context_add(context, STR("aws:SourceIp"), c->request->peer);
		policy_context_add(
			context, STR("aws:UserAgent"), call_header_get(c, STR("user-agent")));
	}
	policy_context_add(
		context, STR("sts:RoleSessionName"), value_str(c->in, "RoleSessionName"));
	policy_context_add(context, STR("sts:ExternalId"), value_str(c->in, "ExternalId"));
}

/* Would somebody else of this account be let in? Then it is not the caller who is named. */
static bool lets_in(const struct policy *trust, struct policy_request r, str account)
{
	struct principal other = {.kind = PRINCIPAL_USER,
		.account = account,
		.arn = STR("arn:aws:iam::-:user/-"),
		.role_arn = STR("arn:aws:iam::-:role/-"),
		.user_id = STR("-"),
		.name = STR("-")};

	r.principal = &other;
	return policy_evaluate(trust, &r, NULL) == POLICY_ALLOW;
}

static bool may_assume(struct call *c, const struct identity_role *role, str role_account)
{
	struct policy_context *context = arena_new(c->arena, struct policy_context);
	const struct principal *who = c->principal;
	struct policy_request r = {
		.action = ACTION, .resource = role->arn, .principal = who, .context = context};
	bool named;

	context_fill(c, context);
	if (policy_evaluate(role->trust, &r, NULL) != POLICY_ALLOW)
		return false;
	named = str_eq(who->account, role_account) &&
		(!lets_in(role->trust, r, who->account) || lets_in(role->trust, r, STR("-")));
	return policy_authorize(&r, named ? role->trust : NULL).allowed;
}

static int denied(struct call *c, str role_arn)
{
	return call_fault(c, &sts_faults[STS_ACCESS_DENIED],
		"User: %.*s is not authorized to perform: sts:AssumeRole on resource: %.*s",
		STR_ARG(c->principal->arn), STR_ARG(role_arn));
}

static str account_of(str arn)
{
	str part = STR_NULL;

	for (unsigned i = 0; i < 5; i++)
		if (!str_split(&arn, ':', &part))
			return STR_NULL;
	return part;
}

/* ---- what is asked for ---- */

static int duration(struct call *c, const struct identity_role *role, int64_t *ret_seconds)
{
	int64_t seconds = value_int(c->in, "DurationSeconds", SECONDS_DEFAULT);

	if (seconds > role->session_seconds_max)
		return call_fault(c, &sts_faults[STS_VALIDATION],
			"The requested DurationSeconds exceeds the MaxSessionDuration set for this "
			"role.");
	if (c->principal->kind == PRINCIPAL_SESSION && seconds > SECONDS_CHAINED_MAX)
		return call_fault(c, &sts_faults[STS_VALIDATION],
			"The requested DurationSeconds exceeds the 1 hour session limit for roles "
			"assumed by role chaining.");
	*ret_seconds = seconds;
	return 0;
}

/* The inline session policy and the ARNs of managed ones; *ret_percent of what may be packed. */
static int session_policies(struct call *c, struct identity_session *wanted, int64_t *ret_percent)
{
	const struct value *list = value_get(c->in, "PolicyArns");
	str policy = value_str(c->in, "Policy"), message, *arns;
	struct policy *parsed;
	size_t chars = policy.n;

	if (value_count(list) > POLICY_ARNS_MAX)
		return call_fault(c, &sts_faults[STS_VALIDATION],
			"Up to %d managed policy ARNs can be given as PolicyArns.",
			POLICY_ARNS_MAX);
	if (policy.p && policy_parse(c->arena, policy, POLICY_IDENTITY, &parsed, &message) < 0)
		return call_fault(c, &sts_faults[STS_MALFORMED_POLICY], "%.*s", STR_ARG(message));
	arns = arena_new_array(c->arena, str, value_count(list));
	for (uint32_t i = 0; i < value_count(list); i++) {
		arns[i] = value_str(value_at(list, i), "arn");
		if (!arns[i].p)
			return call_fault(c, &sts_faults[STS_VALIDATION],
				"PolicyArns.member.%u.arn must be given.", i + 1);
		chars += arns[i].n;
	}
	if (chars > PACKED_CHARS_MAX)
		return call_fault(c, &sts_faults[STS_PACKED_TOO_LARGE],
			"Packed size of session policies consumes %zu%% of allotted space.",
			chars * 100 / PACKED_CHARS_MAX);
	wanted->policy = policy;
	wanted->policy_arns = arns;
	wanted->policy_arn_count = value_count(list);
	*ret_percent = (int64_t)((chars * 100 + PACKED_CHARS_MAX - 1) / PACKED_CHARS_MAX);
	return 0;
}

int sts_assume_role(struct call *c)
{
	static const char *const refused[] = {"Tags", "TransitiveTagKeys", "SerialNumber",
		"TokenCode", "SourceIdentity", "ProvidedContexts"};
	const struct port_identity *port = sts_identity(c);
	struct identity_session wanted = {.role_arn = value_str(c->in, "RoleArn"),
		.session_name = value_str(c->in, "RoleSessionName")};
	struct identity_role role;
	struct identity id;
	struct value *user;
	int64_t seconds, percent;
	int rc;

	TRY(sts_refuse_members(c, refused, ARRAY_SIZE(refused)));
	/* a role that does not exist is not told from one that may not be assumed */
	if (TRY(port->role(port->self, c->arena, wanted.role_arn, &role)) == 0 ||
		!may_assume(c, &role, account_of(role.arn)))
		return denied(c, wanted.role_arn);
	TRY(duration(c, &role, &seconds));
	TRY(session_policies(c, &wanted, &percent));
	wanted.expires_ms = (c->wall_ms / 1000 + seconds) * 1000;
	rc = port->session_make(port->self, c->arena, &wanted, &id);
	if (rc == ERR_NOT_FOUND) /* deleted meanwhile */
		return denied(c, wanted.role_arn);
	if (rc == ERR_INVALID)
		return call_fault(c, &sts_faults[STS_MALFORMED_POLICY],
			"One of the PolicyArns does not exist or is not attachable.");
	TRY(rc);
	sts_credentials_put(c, &id);
	user = value_put_struct(c->out, "AssumedRoleUser");
	value_put_str(user, "AssumedRoleId", id.principal.user_id);
	value_put_str(user, "Arn", id.principal.arn);
	if (wanted.policy.p || wanted.policy_arn_count)
		value_put_int(c->out, "PackedPolicySize", percent);
	return 0;
}
