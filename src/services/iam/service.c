/*
 * The service object: its operations as a table, its start, the sweep of sessions.
 */
#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "rt/rt.h"
#include "services/iam/cache.h"
#include "services/iam/internal.h"

enum {
	ID_SECRET_BYTES = 32,
	START_MS_MAX = 30000,
	SWEEP_MAX = 1000,
	SWEEP_BATCH = 50,
	SWEEP_ARENA_BYTES = 4 * 1024 * 1024,
	SWEEP_GRACE_MS = 3600000, /* so long a client still hears that its token has expired */
	SWEEP_EVERY_MS = 60000,
	SWEEP_WRITE_MS_MAX = 10000
};

/* ---- what an operation acts on, for policies ---- */

static int entity_resource(struct call *c, enum iam_kind kind, str *ret_arn)
{
	struct iam_reader from = iam_reader_of(iam_self(c), NULL);
	struct iam_entity e;
	str name, path = STR("/");

	TRY(iam_entity_named(c, kind, &kind, &name));
	if (kind != IAM_ROOT &&
		TRY(iam_load(&from, c->arena, iam_key_entity(c->arena, c->account, kind, name),
			&iam_entity_record, &e)) > 0) {
		path = e.path;
		name = e.name;
	}
	*ret_arn = iam_arn(c->arena, c->account, kind, path, name);
	return 0;
}

static int role_resource(struct call *c, str *ret_arn)
{
	return entity_resource(c, IAM_ROLE, ret_arn);
}

static int user_resource(struct call *c, str *ret_arn)
{
	return entity_resource(c, IAM_USER, ret_arn);
}

static int policy_resource(struct call *c, str *ret_arn)
{
	*ret_arn = value_str(c->in, "PolicyArn");
	return 0;
}

static int new_resource(struct call *c, enum iam_kind kind, const char *member, str *ret_arn)
{
	str path = value_str(c->in, "Path");

	*ret_arn = iam_arn(
		c->arena, c->account, kind, path.p ? path : STR("/"), value_str(c->in, member));
	return 0;
}

static int new_role_resource(struct call *c, str *ret_arn)
{
	return new_resource(c, IAM_ROLE, "RoleName", ret_arn);
}

static int new_user_resource(struct call *c, str *ret_arn)
{
	return new_resource(c, IAM_USER, "UserName", ret_arn);
}

static int new_policy_resource(struct call *c, str *ret_arn)
{
	return new_resource(c, IAM_POLICY, "PolicyName", ret_arn);
}

static bool has_member(struct call *c, const char *member)
{
	return model_member(c->service->model, c->in->shape, str_c(member)) >= 0;
}

/* iam:PolicyARN and iam:PermissionsBoundary, as the service authorization reference has them. */
static int context_add(
	struct call *c, str action unused_arg, str arn unused_arg, struct policy_context *context)
{
	if (c->in && has_member(c, "PolicyArn"))
		policy_context_add(context, STR("iam:PolicyARN"), value_str(c->in, "PolicyArn"));
	if (c->in && has_member(c, "PermissionsBoundary"))
		policy_context_add(context, STR("iam:PermissionsBoundary"),
			value_str(c->in, "PermissionsBoundary"));
	return 0;
}

static const struct operation_row rows[] = {
#define ROW(operation, function, resource_)                                        \
	{                                                                          \
		.name = operation, .handle = iam_##function, .resource = resource_ \
	}
	ROW("AttachRolePolicy", attach_role_policy, role_resource),
	ROW("AttachUserPolicy", attach_user_policy, user_resource),
	ROW("CreateAccessKey", create_access_key, user_resource),
	ROW("CreatePolicy", create_policy, new_policy_resource),
	ROW("CreatePolicyVersion", create_policy_version, policy_resource),
	ROW("CreateRole", create_role, new_role_resource),
	ROW("CreateUser", create_user, new_user_resource),
	ROW("DeleteAccessKey", delete_access_key, user_resource),
	ROW("DeletePolicy", delete_policy, policy_resource),
	ROW("DeletePolicyVersion", delete_policy_version, policy_resource),
	ROW("DeleteRole", delete_role, role_resource),
	ROW("DeleteRolePermissionsBoundary", delete_role_boundary, role_resource),
	ROW("DeleteRolePolicy", delete_role_policy, role_resource),
	ROW("DeleteUser", delete_user, user_resource),
	ROW("DeleteUserPermissionsBoundary", delete_user_boundary, user_resource),
	ROW("DeleteUserPolicy", delete_user_policy, user_resource),
	ROW("DetachRolePolicy", detach_role_policy, role_resource),
	ROW("DetachUserPolicy", detach_user_policy, user_resource),
	ROW("GetPolicy", get_policy, policy_resource),
	ROW("GetPolicyVersion", get_policy_version, policy_resource),
	ROW("GetRole", get_role, role_resource),
	ROW("GetRolePolicy", get_role_policy, role_resource),
	ROW("GetUser", get_user, user_resource),
	ROW("GetUserPolicy", get_user_policy, user_resource),
	ROW("ListAccessKeys", list_access_keys, user_resource),
	ROW("ListAttachedRolePolicies", list_attached_role_policies, role_resource),
	ROW("ListAttachedUserPolicies", list_attached_user_policies, user_resource),
	ROW("ListEntitiesForPolicy", list_entities_for_policy, policy_resource),
	ROW("ListGroupsForUser", list_groups_for_user, user_resource),
	ROW("ListInstanceProfilesForRole", list_instance_profiles_for_role, role_resource),
	ROW("ListPolicies", list_policies, NULL),
	ROW("ListPolicyTags", list_policy_tags, policy_resource),
	ROW("ListPolicyVersions", list_policy_versions, policy_resource),
	ROW("ListRolePolicies", list_role_policies, role_resource),
	ROW("ListRoleTags", list_role_tags, role_resource),
	ROW("ListRoles", list_roles, NULL),
	ROW("ListUserPolicies", list_user_policies, user_resource),
	ROW("ListUserTags", list_user_tags, user_resource),
	ROW("ListUsers", list_users, NULL),
	ROW("PutRolePermissionsBoundary", put_role_boundary, role_resource),
	ROW("PutRolePolicy", put_role_policy, role_resource),
	ROW("PutUserPermissionsBoundary", put_user_boundary, user_resource),
	ROW("PutUserPolicy", put_user_policy, user_resource),
	ROW("SetDefaultPolicyVersion", set_default_policy_version, policy_resource),
	ROW("TagPolicy", tag_policy, policy_resource),
	ROW("TagRole", tag_role, role_resource),
	ROW("TagUser", tag_user, user_resource),
	ROW("UntagPolicy", untag_policy, policy_resource),
	ROW("UntagRole", untag_role, role_resource),
	ROW("UntagUser", untag_user, user_resource),
	ROW("UpdateAccessKey", update_access_key, user_resource),
	ROW("UpdateAssumeRolePolicy", update_assume_role_policy, role_resource),
	ROW("UpdateRole", update_role, role_resource),
	ROW("UpdateRoleDescription", update_role_description, role_resource),
#undef ROW
};

/* ---- its life ---- */

static void slot_free(void *value)
{
	cache_free(value);
}

struct iam *iam_service_new(struct rt *rt, const struct iam_options *options, struct ports *ports)
{
	struct iam *iam = mem_new(struct iam);

	iam->magic = IAM_MAGIC;
	iam->rt = rt;
	if (options)
		iam->options = *options;
	if (rt)
		iam->slot = rt_slot_new(rt, slot_free);
	atomic_init(&iam->generation, 1);
	iam->service = (struct service){.model = model_named(STR("iam")),
		.rows = rows,
		.row_count = ARRAY_SIZE(rows),
		.self = iam,
		.context = context_add};
	check(iam->service.model != NULL);
	iam_identity_register(iam, ports);
	return iam;
}

void iam_service_free(struct iam *iam)
{
	if (!iam)
		return;
	check(iam->magic == IAM_MAGIC);
	cache_free(iam->cache);
	iam->magic = 0;
	mem_free(iam);
}

const struct service *iam_service(const struct iam *iam)
{
	return &iam->service;
}

static int id_secret_make(struct kv_txn *txn, void *arg)
{
	struct arena *a = arg;
	uint8_t secret[ID_SECRET_BYTES];
	str key = iam_key_id_secret(a), bytes;

	if (TRY(kv_txn_get(txn, key, a, &bytes)) > 0)
		return 0;
	rt_random_bytes(secret, sizeof(secret));
	kv_txn_put(txn, key, str_of(secret, sizeof(secret)));
	return 0;
}

int iam_service_start(struct iam *iam, struct kv *kv)
{
	cleanup(arena_done_p) struct arena a;
	str key, secret;

	check(iam->magic == IAM_MAGIC && !iam->kv);
	arena_init(&a, 64 * 1024);
	key = iam_key_id_secret(&a);
	if (TRY(kv_get(kv, key, &a, &secret)) == 0) {
		TRY(kv_run(kv, &key, 1, id_secret_make, &a, rt_after_ms(START_MS_MAX)));
		if (TRY(kv_get(kv, key, &a, &secret)) == 0)
			return ERR_CORRUPT;
	}
	if (secret.n != ID_SECRET_BYTES)
		return ERR_CORRUPT;
	hmac_key_init(&iam->id_mac, secret);
	iam->kv = kv;
	return 0;
}

/* ---- the sweep ---- */

struct sweep {
	str keys[2 * SWEEP_BATCH];
	size_t n;
};

static int sessions_delete(struct kv_txn *txn, void *arg)
{
	const struct sweep *sweep = arg;

	for (size_t i = 0; i < sweep->n; i++)
		kv_txn_delete(txn, sweep->keys[i]);
	return 0;
}

static int sweep_flush(struct iam *iam, struct sweep *sweep)
{
	if (sweep->n == 0)
		return 0;
	TRY(kv_run(iam->kv, sweep->keys, sweep->n, sessions_delete, sweep,
		rt_after_ms(SWEEP_WRITE_MS_MAX)));
	sweep->n = 0;
	return 0;
}

int iam_sweep(struct iam *iam, int64_t now_ms)
{
	cleanup(arena_done_p) struct arena a;
	cleanup(kv_scan_close_p) struct kv_scan *scan = NULL;
	struct kv_range range = {.limit = SWEEP_MAX};
	struct sweep sweep = {.n = 0};
	str key, value, prefix;
	int swept = 0;

	check(iam->magic == IAM_MAGIC && iam->kv);
	arena_init(&a, SWEEP_ARENA_BYTES);
	prefix = iam_key_session_ends(&a);
	range.from = prefix;
	range.to = iam_key_session_end(&a, MAX(now_ms - SWEEP_GRACE_MS, 0), STR(""));
	TRY(kv_scan_open(iam->kv, &range, &scan));
	while (TRY(kv_scan_next(scan, &key, &value)) > 0) {
		str end = arena_str(&a, key), rest = str_from(end, prefix.n), id;
		uint64_t expires_ms;

		if (!str_take_be64(&rest, &expires_ms) || !keyspace_take(&a, &rest, &id))
			return ERR_CORRUPT;
		sweep.keys[sweep.n++] = iam_key_session(&a, id);
		sweep.keys[sweep.n++] = end;
		swept++;
		if (sweep.n == ARRAY_SIZE(sweep.keys))
			TRY(sweep_flush(iam, &sweep));
	}
	TRY(sweep_flush(iam, &sweep));
	return swept;
}

void iam_sweep_run(void *arg)
{
	struct iam *iam = check_object(arg, struct iam, IAM_MAGIC);

	while (rt_sleep_until(rt_after_ms(SWEEP_EVERY_MS)) == 0) {
		int rc = iam_sweep(iam, iam_wall_ms(iam));

		if (rc < 0 && rc != ERR_CANCELLED)
			log_warn("iam", "sweep of sessions failed", "error=%s", rc_name(rc));
	}
}
