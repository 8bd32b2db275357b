/*
 * Managed policies and their versions.
 *
 * https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreatePolicy.html and its siblings
 */
#include "base/check.h"
#include "services/iam/internal.h"

struct policy_change {
	struct call *c;
	struct iam_policy_ref ref;
	struct iam_policy policy; /* as it became */
	str document;
	bool as_default;
	int64_t number; /* of the version made, or meant */
};

static str version_text(struct arena *a, int64_t number)
{
	return arena_printf(a, "v%lld", (long long)number);
}

/* "v7" as 7; 0 for what cannot be a version. */
static int64_t version_number(str text)
{
	uint64_t number;

	if (text.n < 2 || text.p[0] != 'v' || text.p[1] == '0' ||
		str_to_u64(str_from(text, 1), INT32_MAX, &number) < 0)
		return 0;
	return (int64_t)number;
}

static int policy_missing(struct call *c, str arn)
{
	return call_fault(
		c, &iam_faults[IAM_NO_SUCH_ENTITY], "Policy %.*s was not found.", STR_ARG(arn));
}

static int version_missing(struct call *c, str arn, str version)
{
	return call_fault(c, &iam_faults[IAM_NO_SUCH_ENTITY],
		"Policy %.*s version %.*s does not exist or is not attachable.", STR_ARG(arn),
		STR_ARG(version));
}

/* The policy that PolicyArn names; `own`: to be changed, so it must not be AWS's. */
static int policy_named(struct call *c, bool own, struct iam_policy_ref *ret)
{
	str arn = value_str(c->in, "PolicyArn");

	if (!str_starts(arn, STR("arn:")))
		return call_fault(
			c, &iam_faults[IAM_VALIDATION], "ARN %.*s is not valid.", STR_ARG(arn));
	if (iam_policy_ref(c->arena, c->account, arn, ret) == 0)
		return policy_missing(c, arn);
	if (own && ret->aws)
		return call_fault(
			c, &iam_faults[IAM_ACCESS_DENIED], "Policy is outside your own account.");
	return 0;
}

static void policy_put(struct call *c, struct value *v, const struct iam_policy_ref *ref,
	const struct iam_policy *p, bool listed)
{
	const struct iam_managed *aws = ref->aws;

	value_put_str(v, "PolicyName", ref->name);
	value_put_str(v, "PolicyId", aws ? iam_managed_id(c->arena, aws) : p->id);
	value_put_str(v, "Arn", ref->arn);
	value_put_str(v, "Path", ref->path);
	value_put_str(v, "DefaultVersionId",
		aws ? aws->version : version_text(c->arena, p->version_default));
	value_put_int(v, "AttachmentCount", p->attached_count);
	value_put_int(v, "PermissionsBoundaryUsageCount", p->boundary_count);
	value_put_bool(v, "IsAttachable", true);
	value_put_time_ms(v, "CreateDate", aws ? aws->created_ms : p->created_ms);
	value_put_time_ms(v, "UpdateDate", aws ? aws->updated_ms : p->updated_ms);
	if (listed) /* "It is not included in the response to the ListPolicies operation." */
		return;
	value_put_str(v, "Description", p->description);
	iam_tags_put(v, "Tags", &p->tags);
}

static int document_check(struct call *c, str document)
{
	TRY(iam_document_check(c, document, POLICY_IDENTITY));
	if (iam_document_chars(document) > IAM_MAX_POLICY)
		return iam_fault_limit(c, "PolicySize", IAM_MAX_POLICY);
	return 0;
}

static void version_store(struct policy_change *change, struct kv_txn *txn)
{
	struct call *c = change->c;
	struct iam_version v = {
		.number = change->number, .created_ms = iam_now_s(c), .document = change->document};

	kv_txn_put_covered(txn, iam_key_version(c->arena, c->account, change->ref.key, v.number),
		record_encode(c->arena, &iam_version_record, &v));
}

/* ---- policies ---- */

static int policy_create(struct kv_txn *txn, void *arg)
{
	struct policy_change *change = arg;
	struct call *c = change->c;
	str bytes;

	if (TRY(kv_txn_get(txn, iam_key_policy(c->arena, c->account, change->ref.key), c->arena,
		    &bytes)) > 0)
		return call_fault(c, &iam_faults[IAM_ALREADY_EXISTS],
			"A policy called %.*s already exists. Duplicate names are not allowed.",
			STR_ARG(change->ref.name));
	TRY(iam_count_add(c, txn, IAM_POLICY, 1, IAM_MAX_POLICIES, "PoliciesPerAccount"));
	version_store(change, txn);
	iam_policy_put(c, txn, &change->ref, &change->policy);
	return 0;
}

int iam_create_policy(struct call *c)
{
	str path = value_str(c->in, "Path"), keys[2];
	struct policy_change change = {
		.c = c,
		.document = value_str(c->in, "PolicyDocument"),
		.number = 1,
		.policy = {.name = value_str(c->in, "PolicyName"),
			.path = path.p ? path : STR("/"),
			.id = iam_id_new(c->arena, STR("ANPA")),
			.description = value_str(c->in, "Description"),
			.created_ms = iam_now_s(c),
			.updated_ms = iam_now_s(c),
			.version_default = 1,
			.version_last = 1,
			.version_count = 1},
	};
	struct iam_policy *p = &change.policy;

	TRY(document_check(c, change.document));
	TRY(iam_tags_merge(c, &p->tags));
	check(iam_policy_ref(c->arena, c->account,
		      iam_arn(c->arena, c->account, IAM_POLICY, p->path, p->name),
		      &change.ref) > 0);
	keys[0] = iam_key_policy(c->arena, c->account, change.ref.key);
	keys[1] = iam_key_count(c->arena, c->account, IAM_POLICY);
	TRY(iam_write(c, keys, 2, policy_create, &change));
	policy_put(c, value_put_struct(c->out, "Policy"), &change.ref, p, false);
	return 0;
}

int iam_get_policy(struct call *c)
{
	struct iam_policy_ref ref;
	struct iam_policy p;

	TRY(policy_named(c, false, &ref));
	TRY(iam_policy_get(c, NULL, &ref, &p));
	policy_put(c, value_put_struct(c->out, "Policy"), &ref, &p, false);
	return 0;
}

static int policy_delete(struct kv_txn *txn, void *arg)
{
	struct policy_change *change = arg;
	struct call *c = change->c;
	const struct fault_kind *conflict = &iam_faults[IAM_DELETE_CONFLICT];
	struct iam_policy p;

	TRY(iam_policy_get(c, txn, &change->ref, &p));
	if (p.attached_count > 0 || p.boundary_count > 0)
		return call_fault(c, conflict, "Cannot delete a policy attached to entities.");
	if (p.version_count > 1)
		return call_fault(c, conflict,
			"This policy has more than one version. Before you delete a policy, you "
			"must delete the policy's versions. The default version is deleted with "
			"the policy.");
	TRY(iam_count_add(c, txn, IAM_POLICY, -1, 0, ""));
	kv_txn_delete_covered(
		txn, iam_key_version(c->arena, c->account, change->ref.key, p.version_default));
	kv_txn_delete(txn, iam_key_policy(c->arena, c->account, change->ref.key));
	return 0;
}

int iam_delete_policy(struct call *c)
{
	struct policy_change change = {.c = c};
	str keys[2];

	TRY(policy_named(c, true, &change.ref));
	keys[0] = iam_key_policy(c->arena, c->account, change.ref.key);
	keys[1] = iam_key_count(c->arena, c->account, IAM_POLICY);
	return iam_write(c, keys, 2, policy_delete, &change);
}

/* ---- ListPolicies: AWS's from the table, then the account's own ---- */

struct policy_filter {
	str path;
	bool attached_only, permissions, boundaries;
};

static bool policy_matches(const struct policy_filter *f, str path, const struct iam_policy *p)
{
	if (!str_starts(path, f->path))
		return false;
	if (f->permissions && p->attached_count == 0)
		return false;
	if (f->boundaries && p->boundary_count == 0)
		return false;
	return !f->attached_only || p->attached_count > 0;
}

/* 1 when the page is full, else 0. The marker of such an entry is "aws/" and its name. */
static int list_aws(struct iam_page *page, const struct policy_filter *f, struct value *list)
{
	struct call *c = page->c;
	str after = STR_NULL;

	if (str_starts(page->marker, STR("aws/")))
		after = str_from(page->marker, 4);
	else if (page->marker.n)
		return 0; /* among the account's own already */
	for (size_t i = 0; i < iam_managed_count; i++) {
		const struct iam_managed *m = &iam_managed[i];
		struct iam_policy_ref ref;
		struct iam_policy p;

		if (after.n && str_cmp(m->name, after) <= 0)
			continue;
		check(iam_policy_ref(c->arena, c->account,
			      iam_arn(c->arena, STR("aws"), IAM_POLICY, m->path, m->name),
			      &ref) > 0);
		TRY(iam_policy_get(c, NULL, &ref, &p));
		if (!policy_matches(f, m->path, &p))
			continue;
		page->at = ref.key;
		if (!iam_page_take(page))
			return 1;
		policy_put(c, value_add_struct(list), &ref, &p, true);
	}
	page->marker = STR_NULL; /* the own ones from their first */
	return 0;
}

static int list_own(struct iam_page *page, const struct policy_filter *f, struct value *list)
{
	struct call *c = page->c;
	str prefix = ARENA_CONCAT(
		c->arena, iam_key_entities(c->arena, c->account, IAM_POLICY), STR("own/"));
	struct iam_policy p;

	TRY(iam_page_scan(page, prefix));
	while (TRY(iam_page_next(page, &iam_policy_record, &p)) > 0) {
		struct iam_policy_ref ref;

		if (!policy_matches(f, p.path, &p))
			continue;
		if (!iam_page_take(page))
			break;
		check(iam_policy_ref(c->arena, c->account,
			      iam_arn(c->arena, c->account, IAM_POLICY, p.path, p.name), &ref) > 0);
		policy_put(c, value_add_struct(list), &ref, &p, true);
	}
	return 0;
}

int iam_list_policies(struct call *c)
{
	cleanup(iam_page_done_p) struct iam_page page = {0};
	struct value *list = value_put_list(c->out, "Policies");
	str scope = value_str(c->in, "Scope"), usage = value_str(c->in, "PolicyUsageFilter");
	struct policy_filter filter = {
		.path = value_str(c->in, "PathPrefix"),
		.attached_only = value_bool(c->in, "OnlyAttached", false),
		.permissions = str_eq(usage, STR("PermissionsPolicy")),
		.boundaries = str_eq(usage, STR("PermissionsBoundary")),
	};
	int full = 0;

	TRY(iam_page_open(c, &page));
	if (!str_eq(scope, STR("Local")))
		full = TRY(list_aws(&page, &filter, list));
	if (!full && !str_eq(scope, STR("AWS")))
		TRY(list_own(&page, &filter, list));
	iam_page_close(&page);
	return 0;
}

/* ---- versions ---- */

static int version_create(struct kv_txn *txn, void *arg)
{
	struct policy_change *change = arg;
	struct call *c = change->c;
	struct iam_policy p;

	TRY(iam_policy_get(c, txn, &change->ref, &p));
	if (p.version_count >= IAM_MAX_VERSIONS)
		return call_fault(c, &iam_faults[IAM_LIMIT_EXCEEDED],
			"A managed policy can have up to %d versions. Before you create a new "
			"version, you must delete an existing version.",
			IAM_MAX_VERSIONS);
	p.version_count++;
	change->number = ++p.version_last;
	if (change->as_default)
		p.version_default = change->number;
	p.updated_ms = iam_now_s(c);
	version_store(change, txn);
	iam_policy_put(c, txn, &change->ref, &p);
	return 0;
}

static void version_put(struct call *c, struct value *v, str version, bool is_default,
	int64_t created_ms, str document)
{
	if (document.p)
		iam_document_put(c, v, "Document", document);
	value_put_str(v, "VersionId", version);
	value_put_bool(v, "IsDefaultVersion", is_default);
	value_put_time_ms(v, "CreateDate", created_ms);
}

static int version_write(struct policy_change *change, kv_txn_fn *fn)
{
	struct call *c = change->c;
	str key = iam_key_policy(c->arena, c->account, change->ref.key);

	return iam_write(c, &key, 1, fn, change);
}

int iam_create_policy_version(struct call *c)
{
	struct policy_change change = {
		.c = c,
		.document = value_str(c->in, "PolicyDocument"),
		.as_default = value_bool(c->in, "SetAsDefault", false),
	};

	TRY(policy_named(c, true, &change.ref));
	TRY(document_check(c, change.document));
	TRY(version_write(&change, version_create));
	version_put(c, value_put_struct(c->out, "PolicyVersion"),
		version_text(c->arena, change.number), change.as_default, iam_now_s(c), STR_NULL);
	return 0;
}

int iam_get_policy_version(struct call *c)
{
	str version = value_str(c->in, "VersionId");
	int64_t number = version_number(version);
	struct iam_reader from = iam_reader_of(iam_self(c), NULL);
	struct iam_policy_ref ref;
	struct iam_policy p;
	struct iam_version v;

	TRY(policy_named(c, false, &ref));
	if (ref.aws) {
		if (!str_eq(version, ref.aws->version))
			return version_missing(c, ref.arn, version);
		version_put(c, value_put_struct(c->out, "PolicyVersion"), ref.aws->version, true,
			ref.aws->updated_ms, ref.aws->document);
		return 0;
	}
	TRY(iam_policy_get(c, NULL, &ref, &p));
	if (number == 0 || TRY(iam_load(&from, c->arena,
				   iam_key_version(c->arena, c->account, ref.key, number),
				   &iam_version_record, &v)) == 0)
		return version_missing(c, ref.arn, version);
	version_put(c, value_put_struct(c->out, "PolicyVersion"), version,
		number == p.version_default, v.created_ms, v.document);
	return 0;
}

int iam_list_policy_versions(struct call *c)
{
	cleanup(iam_page_done_p) struct iam_page page = {0};
	struct value *list = value_put_list(c->out, "Versions");
	struct iam_policy_ref ref;
	struct iam_policy p;
	struct iam_version v;

	TRY(policy_named(c, false, &ref));
	TRY(iam_policy_get(c, NULL, &ref, &p));
	TRY(iam_page_open(c, &page));
	if (ref.aws) {
		version_put(c, value_add_struct(list), ref.aws->version, true, ref.aws->updated_ms,
			STR_NULL);
		iam_page_close(&page);
		return 0;
	}
	TRY(iam_page_scan(&page, iam_key_version(c->arena, c->account, ref.key, -1)));
	while (TRY(iam_page_next(&page, &iam_version_record, &v)) > 0) {
		if (!iam_page_take(&page))
			break;
		version_put(c, value_add_struct(list), version_text(c->arena, v.number),
			v.number == p.version_default, v.created_ms, STR_NULL);
	}
	iam_page_close(&page);
	return 0;
}

/* Checks that the version meant exists, under the policy's latch. */
static int version_check(struct policy_change *change, struct kv_txn *txn, struct iam_policy *ret)
{
	struct call *c = change->c;
	struct iam_reader from = iam_reader_of(iam_self(c), txn);
	struct iam_version v;

	TRY(iam_policy_get(c, txn, &change->ref, ret));
	if (change->number == 0 ||
		TRY(iam_load(&from, c->arena,
			iam_key_version(c->arena, c->account, change->ref.key, change->number),
			&iam_version_record, &v)) == 0)
		return version_missing(c, change->ref.arn, value_str(c->in, "VersionId"));
	return 0;
}

static int version_delete(struct kv_txn *txn, void *arg)
{
	struct policy_change *change = arg;
	struct call *c = change->c;
	struct iam_policy p;

	TRY(version_check(change, txn, &p));
	if (change->number == p.version_default)
		return call_fault(c, &iam_faults[IAM_DELETE_CONFLICT],
			"Cannot delete the default version of a policy.");
	p.version_count--;
	check(p.version_count > 0);
	p.updated_ms = iam_now_s(c);
	kv_txn_delete_covered(
		txn, iam_key_version(c->arena, c->account, change->ref.key, change->number));
	iam_policy_put(c, txn, &change->ref, &p);
	return 0;
}

static int version_set_default(struct kv_txn *txn, void *arg)
{
	struct policy_change *change = arg;
	struct iam_policy p;

	TRY(version_check(change, txn, &p));
	p.version_default = change->number;
	p.updated_ms = iam_now_s(change->c);
	iam_policy_put(change->c, txn, &change->ref, &p);
	return 0;
}

static int version_change(struct call *c, kv_txn_fn *fn)
{
	struct policy_change change = {
		.c = c, .number = version_number(value_str(c->in, "VersionId"))};

	TRY(policy_named(c, true, &change.ref));
	return version_write(&change, fn);
}

int iam_delete_policy_version(struct call *c)
{
	return version_change(c, version_delete);
}

int iam_set_default_policy_version(struct call *c)
{
	return version_change(c, version_set_default);
}

/* ---- who uses it ---- */

/* What the key of a use says, behind the policy: the use, and whose. */
static bool use_split(struct arena *a, str at, enum iam_use *ret_use, bool *ret_role)
{
	str kind;

	if (at.n == 0)
		return false;
	*ret_use = (enum iam_use)(unsigned char)at.p[0];
	at = str_from(at, 1);
	if (!keyspace_take(a, &at, &kind))
		return false;
	*ret_role = str_eq(kind, STR("role"));
	return true;
}

int iam_list_entities_for_policy(struct call *c)
{
	cleanup(iam_page_done_p) struct iam_page page = {0};
	struct value *users, *roles;
	str wanted = value_str(c->in, "EntityFilter"), path = value_str(c->in, "PathPrefix");
	str usage = value_str(c->in, "PolicyUsageFilter");
	struct iam_policy_ref ref;
	struct iam_policy p;
	struct iam_link use;

	TRY(policy_named(c, false, &ref));
	TRY(iam_policy_get(c, NULL, &ref, &p));
	value_put_list(c->out, "PolicyGroups");
	value_put_list(c->out, "PolicyUsers");
	value_put_list(c->out, "PolicyRoles");
	TRY(iam_page_open(c, &page));
	TRY(iam_page_scan(&page, iam_key_uses(c->arena, c->account, ref.key)));
	while (TRY(iam_page_next(&page, &iam_link_record, &use)) > 0) {
		enum iam_use as;
		bool role;
		struct value *v;

		if (!use_split(c->arena, page.at, &as, &role))
			return ERR_CORRUPT;
		if (wanted.p && !str_eq(wanted, role ? STR("Role") : STR("User")))
			continue;
		if (str_eq(usage, STR("PermissionsPolicy")) && as != IAM_USE_ATTACHED)
			continue;
		if (str_eq(usage, STR("PermissionsBoundary")) && as != IAM_USE_BOUNDARY)
			continue;
		if (!str_starts(use.path, path))
			continue;
		if (!iam_page_take(&page))
			break;
		roles = value_put_list(c->out, "PolicyRoles");
		users = value_put_list(c->out, "PolicyUsers");
		v = value_add_struct(role ? roles : users);
		value_put_str(v, role ? "RoleName" : "UserName", use.name);
		value_put_str(v, role ? "RoleId" : "UserId", use.id);
	}
	iam_page_close(&page);
	return 0;
}
