/*
 * Users.
 *
 * https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateUser.html and its siblings
 */
#include "services/iam/internal.h"

static void user_put(struct call *c, struct value *v, enum iam_kind kind,
	const struct iam_entity *e, bool listed)
{
	value_put_str(v, "Path", e->path);
	if (kind == IAM_USER)
		value_put_str(v, "UserName", e->name);
	value_put_str(v, "UserId", e->id);
	value_put_str(v, "Arn", iam_arn(c->arena, c->account, kind, e->path, e->name));
	if (e->created_ms)
		value_put_time_ms(v, "CreateDate", e->created_ms);
	if (listed) /* as in ListRoles */
		return;
	if (e->boundary.n) {
		struct value *boundary = value_put_struct(v, "PermissionsBoundary");

		value_put_str(boundary, "PermissionsBoundaryType", STR("Policy"));
		value_put_str(boundary, "PermissionsBoundaryArn", e->boundary);
	}
	iam_tags_put(v, "Tags", &e->tags);
}

int iam_create_user(struct call *c)
{
	str path = value_str(c->in, "Path");
	struct iam_entity e = {
		.name = value_str(c->in, "UserName"),
		.path = path.p ? path : STR("/"),
		.id = iam_id_new(c->arena, STR("AIDA")),
		.created_ms = iam_now_s(c),
		.boundary = value_str(c->in, "PermissionsBoundary"),
	};

	TRY(iam_tags_merge(c, &e.tags));
	TRY(iam_entity_create(c, IAM_USER, &e));
	user_put(c, value_put_struct(c->out, "User"), IAM_USER, &e, false);
	return 0;
}

int iam_get_user(struct call *c)
{
	enum iam_kind kind;
	struct iam_entity e;
	str name;

	TRY(iam_entity_named(c, IAM_USER, &kind, &name));
	TRY(iam_entity_get(c, NULL, kind, name, &e));
	user_put(c, value_put_struct(c->out, "User"), kind, &e, false);
	return 0;
}

int iam_list_users(struct call *c)
{
	cleanup(iam_page_done_p) struct iam_page page = {0};
	str path = value_str(c->in, "PathPrefix");
	struct value *list = value_put_list(c->out, "Users");
	struct iam_entity e;

	TRY(iam_page_open(c, &page));
	TRY(iam_page_scan(&page, iam_key_entities(c->arena, c->account, IAM_USER)));
	while (TRY(iam_page_next(&page, &iam_entity_record, &e)) > 0) {
		if (!str_starts(e.path, path))
			continue;
		if (!iam_page_take(&page))
			break;
		user_put(c, value_add_struct(list), IAM_USER, &e, true);
	}
	iam_page_close(&page);
	return 0;
}

int iam_delete_user(struct call *c)
{
	return iam_entity_delete(c, IAM_USER, value_str(c->in, "UserName"));
}

/* There are no groups, so no user is in one; clients ask before they delete a user. */
int iam_list_groups_for_user(struct call *c)
{
	struct iam_entity e;

	TRY(iam_entity_get(c, NULL, IAM_USER, value_str(c->in, "UserName"), &e));
	value_put_list(c->out, "Groups");
	value_put_bool(c->out, "IsTruncated", false);
	return 0;
}
