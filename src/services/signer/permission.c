/*
 * AddProfilePermission, ListProfilePermissions, RemoveProfilePermission: cross-account signing.
 *
 * Permissions are stored as they are listed; the document is made of them when it is asked. Its
 * statements are for any resource, because the policy is asked about the profile and about jobs of
 * the profile only.
 *
 * Source: API Reference, AddProfilePermission; Developer Guide, "Using cross-account signing with
 * signing profiles". The words of refusals are not confirmed.
 */
#include "services/signer/permission.h"

#include "aws/policy.h"
#include "aws/principal.h"
#include "base/json.h"

enum { DOCUMENT_MAX = 2 * SIGNER_POLICY_BYTES_MAX, PRINCIPAL_MAX = 512, SID_MAX = 64 };

/* An account, or an ARN of IAM: its root, a user or a role. */
static bool is_principal(str text)
{
	str parts[5], rest = text;

	if (account_is_valid(text))
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		if (!str_split(&rest, ':', &parts[i]))
			return false;
	return text.n <= PRINCIPAL_MAX && str_eq(parts[0], STR("arn")) &&
	       str_eq(parts[2], STR("iam")) && account_is_valid(parts[4]) &&
	       (str_eq(rest, STR("root")) || str_starts(rest, STR("role/")) ||
		       str_starts(rest, STR("user/"))) &&
	       str_find(text, '*') < 0 && str_find(text, '?') < 0;
}

static void put_statement(struct json_writer *w, const struct value *permission)
{
	str version = value_str(permission, "profileVersion");

	json_put_object_begin(w);
	json_put_key_string(w, STR("Sid"), value_str(permission, "statementId"));
	json_put_key_string(w, STR("Effect"), STR("Allow"));
	json_put_key(w, STR("Principal"));
	json_put_object_begin(w);
	json_put_key_string(w, STR("AWS"), value_str(permission, "principal"));
	json_put_object_end(w);
	json_put_key_string(w, STR("Action"), value_str(permission, "action"));
	json_put_key_string(w, STR("Resource"), STR("*"));
	if (version.n) {
		json_put_key(w, STR("Condition"));
		json_put_object_begin(w);
		json_put_key(w, STR("StringEquals"));
		json_put_object_begin(w);
		json_put_key_string(w, STR("signer:ProfileVersion"), version);
		json_put_object_end(w);
		json_put_object_end(w);
	}
	json_put_object_end(w);
}

/* STR_NULL: longer than may be. */
static str document_of(struct arena *a, const struct value *permissions)
{
	const struct value *list = value_get(permissions, "permissions");
	struct json_writer w;
	struct buf out;

	buf_init(&out, a, DOCUMENT_MAX);
	json_writer_init(&w, &out);
	json_put_object_begin(&w);
	json_put_key_string(&w, STR("Version"), STR("2012-10-17"));
	json_put_key(&w, STR("Statement"));
	json_put_array_begin(&w);
	for (uint32_t i = 0; i < value_count(list); i++)
		put_statement(&w, value_at(list, i));
	json_put_array_end(&w);
	json_put_object_end(&w);
	return out.over || out.n > SIGNER_POLICY_BYTES_MAX ? STR_NULL : buf_str(&out);
}

int signer_policy(struct arena *a, const struct signer_profile *p, const struct policy **ret_policy)
{
	struct policy *policy;
	str text, message;

	if (!value_count(value_get(p->permissions, "permissions")))
		return 0;
	text = document_of(a, p->permissions);
	if (!text.p || policy_parse(a, text, POLICY_RESOURCE, &policy, &message) < 0)
		return ERR_CORRUPT;
	*ret_policy = policy;
	return 0;
}

/* ---- changing it ---- */

static int check_revision(struct call *c, const struct signer_profile *p, str wanted)
{
	str now = value_str(p->permissions, "revisionId");

	if (wanted.p && !str_eq(wanted, now.p ? now : STR("")))
		return SIGNER_FAULT(c, CONFLICT,
			"The revisionId %.*s is not that of the profile's permissions as they are "
			"now; ListProfilePermissions tells it.",
			STR_ARG(wanted));
	return 0;
}

static bool has_statement(const struct value *list, str sid)
{
	for (uint32_t i = 0; i < value_count(list); i++)
		if (str_eq(value_str(value_at(list, i), "statementId"), sid))
			return true;
	return false;
}

static int add(struct call *c, struct signer_profile *p, void *arg)
{
	const str *revision = arg;
	struct value *list = value_put_list(p->permissions, "permissions"), *v;
	str sid = value_str(c->in, "statementId"), version = value_str(c->in, "profileVersion");
	struct policy *parsed;
	str text, message = STR("it is too long");

	TRY(check_revision(c, p, value_str(c->in, "revisionId")));
	if (has_statement(list, sid))
		return SIGNER_FAULT(
			c, CONFLICT, "The profile has a statement %.*s already.", STR_ARG(sid));
	if (version.p && !str_eq(version, value_str(p->shown, "profileVersion")))
		return SIGNER_FAULT(
			c, NOT_FOUND, "The profile has no version %.*s.", STR_ARG(version));
	if (value_count(list) >= SIGNER_PERMISSIONS_MAX)
		return SIGNER_FAULT(c, LIMIT_EXCEEDED, "A profile may have %d permissions.",
			SIGNER_PERMISSIONS_MAX);
	v = value_add_struct(list);
	value_put_str(v, "action", value_str(c->in, "action"));
	value_put_str(v, "principal", value_str(c->in, "principal"));
	value_put_str(v, "statementId", sid);
	value_put_str(v, "profileVersion", version);
	value_put_str(p->permissions, "revisionId", *revision);
	text = document_of(c->arena, p->permissions);
	if (!text.p || policy_parse(c->arena, text, POLICY_RESOURCE, &parsed, &message) < 0)
		return SIGNER_FAULT(
			c, VALIDATION, "The permission is not valid: %.*s", STR_ARG(message));
	return 0;
}

int signer_add_permission(struct call *c)
{
	static const char *const actions[] = {"signer:StartSigningJob", "signer:SignPayload",
		"signer:GetSigningProfile", "signer:RevokeSignature"};
	str revision = signer_uuid(c->arena), action = value_str(c->in, "action");
	str sid = value_str(c->in, "statementId");
	bool known = false;

	for (size_t i = 0; i < ARRAY_SIZE(actions); i++)
		known = known || str_eq(action, str_c(actions[i]));
	if (!known)
		return SIGNER_FAULT(c, VALIDATION,
			"action: %.*s is none of signer:StartSigningJob, signer:SignPayload, "
			"signer:GetSigningProfile, signer:RevokeSignature.",
			STR_ARG(action));
	if (!is_principal(value_str(c->in, "principal")))
		return SIGNER_FAULT(c, VALIDATION,
			"principal: %.*s is neither the id of an account nor the ARN of an IAM "
			"role.",
			STR_ARG(value_str(c->in, "principal")));
	if (!sid.n || sid.n > SID_MAX)
		return SIGNER_FAULT(
			c, VALIDATION, "statementId: it has to have 1 to %d characters.", SID_MAX);
	TRY(signer_profile_change(c, c->account, value_str(c->in, "profileName"), add, &revision));
	value_put_str(c->out, "revisionId", revision);
	return 0;
}

static int take_away(struct call *c, struct signer_profile *p, void *arg)
{
	const str *revision = arg;
	const struct value *old = value_get(p->permissions, "permissions");
	str sid = value_str(c->in, "statementId");
	struct value *left =
		value_new(c->arena, c->service->model, "ListProfilePermissionsResponse");
	struct value *list = value_put_list(left, "permissions");

	TRY(check_revision(c, p, value_str(c->in, "revisionId")));
	if (!has_statement(old, sid))
		return SIGNER_FAULT(
			c, NOT_FOUND, "The profile has no statement %.*s.", STR_ARG(sid));
	for (uint32_t i = 0; i < value_count(old); i++)
		if (!str_eq(value_str(value_at(old, i), "statementId"), sid))
			value_add_copy(list, value_at(old, i));
	value_put_str(left, "revisionId", *revision);
	p->permissions = left;
	return 0;
}

int signer_remove_permission(struct call *c)
{
	str revision = signer_uuid(c->arena);

	TRY(signer_profile_change(
		c, c->account, value_str(c->in, "profileName"), take_away, &revision));
	value_put_str(c->out, "revisionId", revision);
	return 0;
}

int signer_list_permissions(struct call *c)
{
	str name = value_str(c->in, "profileName");
	struct signer_profile p;
	struct signer_page page;

	TRY(signer_page(c, &page));
	if (page.after.p)
		return SIGNER_FAULT(c, VALIDATION, "The nextToken is not valid.");
	if (TRY(signer_profile_load(
		    signer_self(c), NULL, c->arena, c->account, c->region, name, &p)) == 0)
		return signer_profile_missing(c, c->account, name);
	value_put_list(c->out, "permissions");
	value_copy_members(c->out, p.permissions);
	value_put_int(c->out, "policySizeBytes",
		value_count(value_get(p.permissions, "permissions"))
			? (int64_t)document_of(c->arena, p.permissions).n
			: 0);
	return 0;
}
