/*
 * What hangs on a role or user: inline policies, attached managed policies, the permissions
 * boundary.
 *
 * https://docs.aws.amazon.com/IAM/latest/APIReference/API_PutRolePolicy.html,
 * API_AttachRolePolicy.html, API_PutRolePermissionsBoundary.html and their siblings
 */
#include "base/check.h"
#include "services/iam/internal.h"

struct part_change {
	struct call *c;
	enum iam_kind kind;
	str name;                     /* of the entity */
	str policy;                   /* inline: its name */
	str document;                 /* inline */
	struct iam_policy_ref ref;    /* attached; the boundary to be */
	struct iam_policy_ref before; /* the boundary that was; key STR_NULL: none */
	bool set, stale;              /* the boundary */
};

static str entity_name(struct call *c, enum iam_kind kind)
{
	return value_str(c->in, kind == IAM_ROLE ? "RoleName" : "UserName");
}

static void entity_name_put(struct call *c, enum iam_kind kind, str name)
{
	value_put_str(c->out, kind == IAM_ROLE ? "RoleName" : "UserName", name);
}

static struct part_change part_change_of(struct call *c, enum iam_kind kind)
{
	return (struct part_change){.c = c, .kind = kind, .name = entity_name(c, kind)};
}

static int part_write(struct part_change *change, kv_txn_fn *fn)
{
	struct call *c = change->c;
	str keys[3];
	size_t n = 0;

	keys[n++] = iam_key_entity(c->arena, c->account, change->kind, change->name);
	if (change->ref.key.p)
		keys[n++] = iam_key_policy(c->arena, c->account, change->ref.key);
	if (change->before.key.p)
		keys[n++] = iam_key_policy(c->arena, c->account, change->before.key);
	return iam_write(c, keys, n, fn, change);
}

/* ---- inline policies ---- */

static str inline_key(const struct part_change *change)
{
	struct call *c = change->c;

	return iam_key_part(
		c->arena, c->account, "inline", change->kind, change->name, change->policy);
}

static int inline_missing(struct call *c, enum iam_kind kind, str policy)
{
	return call_fault(c, &iam_faults[IAM_NO_SUCH_ENTITY],
		"The %.*s policy with name %.*s cannot be found.", STR_ARG(iam_kind_word(kind)),
		STR_ARG(policy));
}

static int inline_put(struct kv_txn *txn, void *arg)
{
	struct part_change *change = arg;
	struct call *c = change->c;
	struct iam_reader from = iam_reader_of(iam_self(c), txn);
	struct iam_inline old, new = {
				       .name = change->policy,
				       .document = change->document,
				       .chars = iam_document_chars(change->document),
			       };
	int64_t max = change->kind == IAM_ROLE ? IAM_MAX_ROLE_INLINE : IAM_MAX_USER_INLINE;
	str key = inline_key(change);
	struct iam_entity e;

	TRY(iam_entity_get(c, txn, change->kind, change->name, &e));
	if (TRY(iam_load(&from, c->arena, key, &iam_inline_record, &old)) > 0)
		e.inline_chars -= old.chars;
	else
		e.inline_count++;
	e.inline_chars += new.chars;
	if (e.inline_chars > max)
		return call_fault(c, &iam_faults[IAM_LIMIT_EXCEEDED],
			"Maximum policy size of %lld bytes exceeded for %.*s %.*s", (long long)max,
			STR_ARG(iam_kind_word(change->kind)), STR_ARG(e.name));
	kv_txn_put_covered(txn, key, record_encode(c->arena, &iam_inline_record, &new));
	iam_entity_put(c, txn, change->kind, &e);
	return 0;
}

static int inline_delete(struct kv_txn *txn, void *arg)
{
	struct part_change *change = arg;
	struct call *c = change->c;
	struct iam_reader from = iam_reader_of(iam_self(c), txn);
	str key = inline_key(change);
	struct iam_inline old;
	struct iam_entity e;

	TRY(iam_entity_get(c, txn, change->kind, change->name, &e));
	if (TRY(iam_load(&from, c->arena, key, &iam_inline_record, &old)) == 0)
		return inline_missing(c, change->kind, change->policy);
	e.inline_count--;
	e.inline_chars -= old.chars;
	check(e.inline_count >= 0 && e.inline_chars >= 0);
	kv_txn_delete_covered(txn, key);
	iam_entity_put(c, txn, change->kind, &e);
	return 0;
}

static int put_policy(struct call *c, enum iam_kind kind)
{
	struct part_change change = part_change_of(c, kind);

	change.policy = value_str(c->in, "PolicyName");
	change.document = value_str(c->in, "PolicyDocument");
	TRY(iam_document_check(c, change.document, POLICY_IDENTITY));
	return part_write(&change, inline_put);
}

static int delete_policy(struct call *c, enum iam_kind kind)
{
	struct part_change change = part_change_of(c, kind);

	change.policy = value_str(c->in, "PolicyName");
	return part_write(&change, inline_delete);
}

static int get_policy(struct call *c, enum iam_kind kind)
{
	struct part_change change = part_change_of(c, kind);
	struct iam_reader from = iam_reader_of(iam_self(c), NULL);
	struct iam_inline policy;
	struct iam_entity e;

	change.policy = value_str(c->in, "PolicyName");
	TRY(iam_entity_get(c, NULL, kind, change.name, &e));
	if (TRY(iam_load(&from, c->arena, inline_key(&change), &iam_inline_record, &policy)) == 0)
		return inline_missing(c, kind, change.policy);
	entity_name_put(c, kind, e.name);
	value_put_str(c->out, "PolicyName", policy.name);
	iam_document_put(c, c->out, "PolicyDocument", policy.document);
	return 0;
}

static int list_policies(struct call *c, enum iam_kind kind)
{
	cleanup(iam_page_done_p) struct iam_page page = {0};
	struct value *list = value_put_list(c->out, "PolicyNames");
	struct iam_inline policy;
	struct iam_entity e;

	TRY(iam_entity_get(c, NULL, kind, entity_name(c, kind), &e));
	TRY(iam_page_open(c, &page));
	TRY(iam_page_scan(
		&page, iam_key_part(c->arena, c->account, "inline", kind, e.name, STR_NULL)));
	while (TRY(iam_page_next(&page, &iam_inline_record, &policy)) > 0) {
		if (!iam_page_take(&page))
			break;
		value_add_str(list, policy.name);
	}
	iam_page_close(&page);
	return 0;
}

/* ---- attached policies ---- */

static str attached_key(const struct part_change *change)
{
	struct call *c = change->c;

	return iam_key_part(c->arena, c->account, "attached", change->kind, change->name,
		iam_lower(c->arena, change->ref.key));
}

static str attached_use_key(const struct part_change *change)
{
	struct call *c = change->c;

	return iam_key_use(c->arena, c->account, change->ref.key, IAM_USE_ATTACHED, change->kind,
		change->name);
}

static int attach(struct kv_txn *txn, void *arg)
{
	struct part_change *change = arg;
	struct call *c = change->c;
	struct iam_reader from = iam_reader_of(iam_self(c), txn);
	struct iam_link link = {
		.name = change->ref.name, .arn = change->ref.arn, .created_ms = iam_now_s(c)};
	struct iam_link use = {.created_ms = link.created_ms}, old;
	str key = attached_key(change);
	struct iam_entity e;
	struct iam_policy p;
	int rc;

	TRY(iam_entity_get(c, txn, change->kind, change->name, &e));
	rc = iam_policy_get(c, txn, &change->ref, &p);
	if (rc == ERR_FAULT)
		return iam_fault_policy_missing(c, change->ref.arn);
	TRY(rc);
	if (TRY(iam_load(&from, c->arena, key, &iam_link_record, &old)) > 0)
		return 0;
	if (change->kind == IAM_ROLE && e.attached_count >= IAM_MAX_ROLE_ATTACHED)
		return iam_fault_limit(c, "PoliciesPerRole", IAM_MAX_ROLE_ATTACHED);
	if (change->kind == IAM_USER && e.attached_count >= IAM_MAX_USER_ATTACHED)
		return iam_fault_limit(c, "PoliciesPerUser", IAM_MAX_USER_ATTACHED);
	e.attached_count++;
	p.attached_count++;
	use.name = e.name;
	use.id = e.id;
	use.path = e.path;
	kv_txn_put_covered(txn, key, record_encode(c->arena, &iam_link_record, &link));
	kv_txn_put_covered(
		txn, attached_use_key(change), record_encode(c->arena, &iam_link_record, &use));
	iam_entity_put(c, txn, change->kind, &e);
	iam_policy_put(c, txn, &change->ref, &p);
	return 0;
}

static int detach(struct kv_txn *txn, void *arg)
{
	struct part_change *change = arg;
	struct call *c = change->c;
	struct iam_reader from = iam_reader_of(iam_self(c), txn);
	str key = attached_key(change);
	struct iam_link old;
	struct iam_entity e;
	struct iam_policy p;

	TRY(iam_entity_get(c, txn, change->kind, change->name, &e));
	TRY(iam_policy_get(c, txn, &change->ref, &p));
	if (TRY(iam_load(&from, c->arena, key, &iam_link_record, &old)) == 0)
		return call_fault(c, &iam_faults[IAM_NO_SUCH_ENTITY], "Policy %.*s was not found.",
			STR_ARG(change->ref.arn));
	e.attached_count--;
	p.attached_count--;
	check(e.attached_count >= 0 && p.attached_count >= 0);
	kv_txn_delete_covered(txn, key);
	kv_txn_delete_covered(txn, attached_use_key(change));
	iam_entity_put(c, txn, change->kind, &e);
	iam_policy_put(c, txn, &change->ref, &p);
	return 0;
}

/* PolicyArn as a reference; one that no policy of this account can have is a fault. */
static int policy_arn(struct call *c, struct iam_policy_ref *ret)
{
	str arn = value_str(c->in, "PolicyArn");

	if (!str_starts(arn, STR("arn:")))
		return call_fault(
			c, &iam_faults[IAM_VALIDATION], "ARN %.*s is not valid.", STR_ARG(arn));
	if (iam_policy_ref(c->arena, c->account, arn, ret) == 0)
		return iam_fault_policy_missing(c, arn);
	return 0;
}

static int attachment(struct call *c, enum iam_kind kind, kv_txn_fn *fn)
{
	struct part_change change = part_change_of(c, kind);

	TRY(policy_arn(c, &change.ref));
	return part_write(&change, fn);
}

static int list_attached(struct call *c, enum iam_kind kind)
{
	cleanup(iam_page_done_p) struct iam_page page = {0};
	struct value *list = value_put_list(c->out, "AttachedPolicies");
	str path = value_str(c->in, "PathPrefix"), account, policy_path, name;
	struct iam_link link;
	struct iam_entity e;

	TRY(iam_entity_get(c, NULL, kind, entity_name(c, kind), &e));
	TRY(iam_page_open(c, &page));
	TRY(iam_page_scan(
		&page, iam_key_part(c->arena, c->account, "attached", kind, e.name, STR_NULL)));
	while (TRY(iam_page_next(&page, &iam_link_record, &link)) > 0) {
		struct value *v;

		if (!iam_arn_split(link.arn, IAM_POLICY, &account, &policy_path, &name))
			return ERR_CORRUPT;
		if (!str_starts(policy_path, path))
			continue;
		if (!iam_page_take(&page))
			break;
		v = value_add_struct(list);
		value_put_str(v, "PolicyName", link.name);
		value_put_str(v, "PolicyArn", link.arn);
	}
	iam_page_close(&page);
	return 0;
}

/* ---- boundaries ---- */

static int boundary_change(struct kv_txn *txn, void *arg)
{
	struct part_change *change = arg;
	struct call *c = change->c;
	struct iam_entity e;

	TRY(iam_entity_get(c, txn, change->kind, change->name, &e));
	change->stale = !str_eq(e.boundary, change->before.arn);
	if (change->stale)
		return ERR_BUSY;
	if (change->set && str_eq(e.boundary, change->ref.arn))
		return 0;
	if (change->before.key.p)
		TRY(iam_boundary_use(c, txn, change->kind, &e, &change->before, -1));
	if (change->set)
		TRY(iam_boundary_use(c, txn, change->kind, &e, &change->ref, 1));
	e.boundary = change->set ? change->ref.arn : STR_NULL;
	iam_entity_put(c, txn, change->kind, &e);
	return 0;
}

static int boundary(struct call *c, enum iam_kind kind, bool set)
{
	struct part_change change = part_change_of(c, kind);
	str arn = set ? value_str(c->in, "PermissionsBoundary") : STR_NULL;
	int rc = 0;

	if (set && iam_policy_ref(c->arena, c->account, arn, &change.ref) == 0)
		return iam_fault_boundary_missing(c, arn);
	change.set = set;
	for (unsigned i = 0; i < IAM_STALE_RETRIES; i++) {
		struct iam_entity e;

		TRY(iam_entity_get(c, NULL, kind, change.name, &e));
		change.before = (struct iam_policy_ref){0};
		if (e.boundary.n &&
			iam_policy_ref(c->arena, c->account, e.boundary, &change.before) == 0)
			return ERR_CORRUPT;
		rc = part_write(&change, boundary_change);
		if (!change.stale)
			break;
	}
	return rc;
}

/* ---- operations ---- */

#define FOR_ROLE_AND_USER(role_name, user_name, result) \
	int iam_##role_name(struct call *c)             \
	{                                               \
		const enum iam_kind kind = IAM_ROLE;    \
		return result;                          \
	}                                               \
	int iam_##user_name(struct call *c)             \
	{                                               \
		const enum iam_kind kind = IAM_USER;    \
		return result;                          \
	}

FOR_ROLE_AND_USER(put_role_policy, put_user_policy, put_policy(c, kind))
FOR_ROLE_AND_USER(get_role_policy, get_user_policy, get_policy(c, kind))
FOR_ROLE_AND_USER(list_role_policies, list_user_policies, list_policies(c, kind))
FOR_ROLE_AND_USER(delete_role_policy, delete_user_policy, delete_policy(c, kind))
FOR_ROLE_AND_USER(attach_role_policy, attach_user_policy, attachment(c, kind, attach))
FOR_ROLE_AND_USER(detach_role_policy, detach_user_policy, attachment(c, kind, detach))
FOR_ROLE_AND_USER(list_attached_role_policies, list_attached_user_policies, list_attached(c, kind))
FOR_ROLE_AND_USER(put_role_boundary, put_user_boundary, boundary(c, kind, true))
FOR_ROLE_AND_USER(delete_role_boundary, delete_user_boundary, boundary(c, kind, false))
