/*
 * Roles.
 *
 * https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateRole.html and its siblings
 */
#include "services/iam/internal.h"

enum { SESSION_SECONDS_DEFAULT = 3600 };

enum role_form { ROLE_CREATED, ROLE_FULL, ROLE_LISTED };

static void role_put(
	struct call *c, struct value *v, const struct iam_entity *e, enum role_form form)
{
	value_put_str(v, "Path", e->path);
	value_put_str(v, "RoleName", e->name);
	value_put_str(v, "RoleId", e->id);
	value_put_str(v, "Arn", iam_arn(c->arena, c->account, IAM_ROLE, e->path, e->name));
	value_put_time_ms(v, "CreateDate", e->created_ms);
	iam_document_put(c, v, "AssumeRolePolicyDocument", e->trust);
	value_put_str(v, "Description", e->description);
	value_put_int(v, "MaxSessionDuration", e->session_seconds_max);
	/* "does not return the following attributes, even though they are an attribute of the
	 * returned object: PermissionsBoundary, RoleLastUsed, Tags" (ListRoles) */
	if (form == ROLE_LISTED)
		return;
	if (e->boundary.n) {
		struct value *boundary = value_put_struct(v, "PermissionsBoundary");

		value_put_str(boundary, "PermissionsBoundaryType", STR("Policy"));
		value_put_str(boundary, "PermissionsBoundaryArn", e->boundary);
	}
	iam_tags_put(v, "Tags", &e->tags);
}

static int trust_check(struct call *c, str document)
{
	TRY(iam_document_check(c, document, POLICY_TRUST));
	if (iam_document_chars(document) > IAM_MAX_TRUST)
		return iam_fault_limit(c, "ACLSizePerRole", IAM_MAX_TRUST);
	return 0;
}

int iam_create_role(struct call *c)
{
	str path = value_str(c->in, "Path");
	struct iam_entity e = {
		.name = value_str(c->in, "RoleName"),
		.path = path.p ? path : STR("/"),
		.id = iam_id_new(c->arena, STR("AROA")),
		.created_ms = iam_now_s(c),
		.boundary = value_str(c->in, "PermissionsBoundary"),
		.trust = value_str(c->in, "AssumeRolePolicyDocument"),
		.description = value_str(c->in, "Description"),
		.session_seconds_max =
			value_int(c->in, "MaxSessionDuration", SESSION_SECONDS_DEFAULT),
	};

	TRY(trust_check(c, e.trust));
	TRY(iam_tags_merge(c, &e.tags));
	TRY(iam_entity_create(c, IAM_ROLE, &e));
	role_put(c, value_put_struct(c->out, "Role"), &e, ROLE_CREATED);
	return 0;
}

int iam_get_role(struct call *c)
{
	struct iam_entity e;

	TRY(iam_entity_get(c, NULL, IAM_ROLE, value_str(c->in, "RoleName"), &e));
	role_put(c, value_put_struct(c->out, "Role"), &e, ROLE_FULL);
	return 0;
}

int iam_list_roles(struct call *c)
{
	cleanup(iam_page_done_p) struct iam_page page = {0};
	str path = value_str(c->in, "PathPrefix");
	struct value *list = value_put_list(c->out, "Roles");
	struct iam_entity e;

	TRY(iam_page_open(c, &page));
	TRY(iam_page_scan(&page, iam_key_entities(c->arena, c->account, IAM_ROLE)));
	while (TRY(iam_page_next(&page, &iam_entity_record, &e)) > 0) {
		if (!str_starts(e.path, path))
			continue;
		if (!iam_page_take(&page))
			break;
		role_put(c, value_add_struct(list), &e, ROLE_LISTED);
	}
	iam_page_close(&page);
	return 0;
}

int iam_delete_role(struct call *c)
{
	return iam_entity_delete(c, IAM_ROLE, value_str(c->in, "RoleName"));
}

/* ---- changes ---- */

struct role_change {
	struct call *c;
	str name;
	/* each: leave it when absent */
	const struct value *description, *session_seconds_max;
	str trust;
	struct iam_entity entity; /* as it became */
};

static int role_update(struct kv_txn *txn, void *arg)
{
	struct role_change *change = arg;
	struct call *c = change->c;
	struct iam_entity e;

	TRY(iam_entity_get(c, txn, IAM_ROLE, change->name, &e));
	if (change->description)
		e.description = value_text(change->description);
	if (change->session_seconds_max)
		e.session_seconds_max = change->session_seconds_max->i;
	if (change->trust.p)
		e.trust = change->trust;
	iam_entity_put(c, txn, IAM_ROLE, &e);
	change->entity = e;
	return 0;
}

static int role_change(struct call *c, struct role_change *change)
{
	str key;

	change->c = c;
	change->name = value_str(c->in, "RoleName");
	key = iam_key_entity(c->arena, c->account, IAM_ROLE, change->name);
	return iam_write(c, &key, 1, role_update, change);
}

int iam_update_role(struct call *c)
{
	struct role_change change = {
		.description = value_get(c->in, "Description"),
		.session_seconds_max = value_get(c->in, "MaxSessionDuration"),
	};

	return role_change(c, &change);
}

int iam_update_role_description(struct call *c)
{
	struct role_change change = {.description = value_get(c->in, "Description")};

	TRY(role_change(c, &change));
	role_put(c, value_put_struct(c->out, "Role"), &change.entity, ROLE_FULL);
	return 0;
}

int iam_update_assume_role_policy(struct call *c)
{
	struct role_change change = {.trust = value_str(c->in, "PolicyDocument")};

	TRY(trust_check(c, change.trust));
	return role_change(c, &change);
}

/* There are no instance profiles, so no role is in one; clients ask before they delete a role. */
int iam_list_instance_profiles_for_role(struct call *c)
{
	struct iam_entity e;

	TRY(iam_entity_get(c, NULL, IAM_ROLE, value_str(c->in, "RoleName"), &e));
	value_put_list(c->out, "InstanceProfiles");
	value_put_bool(c->out, "IsTruncated", false);
	return 0;
}
