/*
 * Tags of roles, users and policies.
 *
 * https://docs.aws.amazon.com/IAM/latest/UserGuide/id_tags.html: keys differ by more than case,
 * keep their case, and do not begin with "aws:".
 */
#include "services/iam/internal.h"

static struct iam_pair *pair_find(const struct iam_pairs *tags, str key)
{
	for (uint32_t i = 0; i < tags->count; i++)
		if (str_eq_nocase(tags->items[i].key, key))
			return &tags->items[i];
	return NULL;
}

static int tags_check(struct call *c, const struct value *list)
{
	for (uint32_t i = 0; i < value_count(list); i++) {
		str key = value_str(value_at(list, i), "Key");

		if (str_eq_nocase(str_sub(key, 0, 4), STR("aws:")))
			return call_fault(c, &iam_faults[IAM_INVALID_INPUT],
				"aws: prefixed tag key names are not allowed for external use.");
		for (uint32_t j = 0; j < i; j++)
			if (str_eq_nocase(key, value_str(value_at(list, j), "Key")))
				return call_fault(c, &iam_faults[IAM_INVALID_INPUT],
					"Duplicate tag keys found. Please note that Tag keys are "
					"case insensitive.");
	}
	return 0;
}

int iam_tags_merge(struct call *c, struct iam_pairs *tags)
{
	const struct value *list = value_get(c->in, "Tags");
	struct iam_pairs merged = {.count = tags->count};

	if (!list)
		return 0;
	TRY(tags_check(c, list));
	merged.items = arena_new_array(c->arena, struct iam_pair, tags->count + value_count(list));
	if (tags->count)
		memcpy(merged.items, tags->items, tags->count * sizeof(*tags->items));
	for (uint32_t i = 0; i < value_count(list); i++) {
		const struct value *tag = value_at(list, i);
		str key = value_str(tag, "Key");
		struct iam_pair *at = pair_find(&merged, key);

		if (!at)
			at = &merged.items[merged.count++];
		*at = (struct iam_pair){key, value_str(tag, "Value")};
	}
	if (merged.count > IAM_MAX_TAGS)
		return iam_fault_limit(c, "TagsPerResource", IAM_MAX_TAGS);
	*tags = merged;
	return 0;
}

void iam_tags_put(struct value *v, const char *member, const struct iam_pairs *tags)
{
	struct value *list;

	if (tags->count == 0)
		return;
	list = value_put_list(v, member);
	for (uint32_t i = 0; i < tags->count; i++) {
		struct value *tag = value_add_struct(list);
		str text = tags->items[i].value;

		value_put_str(tag, "Key", tags->items[i].key);
		value_put_str(tag, "Value", text.p ? text : STR(""));
	}
}

/* ---- operations ---- */

struct tag_change {
	struct call *c;
	enum iam_kind kind;
	struct iam_policy_ref policy;
};

static void tags_remove(struct call *c, struct iam_pairs *tags)
{
	const struct value *keys = value_get(c->in, "TagKeys");

	for (uint32_t i = 0; i < value_count(keys); i++) {
		struct iam_pair *at = pair_find(tags, value_text(value_at(keys, i)));

		if (at) {
			size_t behind = (size_t)(tags->items + tags->count - (at + 1));

			memmove(at, at + 1, behind * sizeof(*at));
			tags->count--;
		}
	}
}

static int tag_change(struct kv_txn *txn, const struct tag_change *change,
	int (*apply)(struct call *, struct iam_pairs *))
{
	struct call *c = change->c;

	if (change->kind == IAM_POLICY) {
		struct iam_policy p;

		TRY(iam_policy_get(c, txn, &change->policy, &p));
		TRY(apply(c, &p.tags));
		iam_policy_put(c, txn, &change->policy, &p);
	} else {
		struct iam_entity e;
		str name = value_str(c->in, change->kind == IAM_ROLE ? "RoleName" : "UserName");

		TRY(iam_entity_get(c, txn, change->kind, name, &e));
		TRY(apply(c, &e.tags));
		iam_entity_put(c, txn, change->kind, &e);
	}
	return 0;
}

static int tags_remove_all(struct call *c, struct iam_pairs *tags)
{
	tags_remove(c, tags);
	return 0;
}

static int tag_add(struct kv_txn *txn, void *arg)
{
	return tag_change(txn, arg, iam_tags_merge);
}

static int tag_remove(struct kv_txn *txn, void *arg)
{
	return tag_change(txn, arg, tags_remove_all);
}

/* The policy that PolicyArn names, which has to be the account's own. */
static int own_policy(struct call *c, struct iam_policy_ref *ret)
{
	str arn = value_str(c->in, "PolicyArn");

	if (iam_policy_ref(c->arena, c->account, arn, ret) == 0)
		return call_fault(c, &iam_faults[IAM_NO_SUCH_ENTITY], "Policy %.*s was not found.",
			STR_ARG(arn));
	return 0;
}

static int tag_write(struct call *c, enum iam_kind kind, kv_txn_fn *fn)
{
	struct tag_change change = {.c = c, .kind = kind};
	str key;

	if (kind == IAM_POLICY) {
		TRY(own_policy(c, &change.policy));
		if (change.policy.aws)
			return call_fault(c, &iam_faults[IAM_ACCESS_DENIED],
				"Policy is outside your own account.");
		key = iam_key_policy(c->arena, c->account, change.policy.key);
	} else {
		key = iam_key_entity(c->arena, c->account, kind,
			value_str(c->in, kind == IAM_ROLE ? "RoleName" : "UserName"));
	}
	return iam_write(c, &key, 1, fn, &change);
}

/* The marker of a list of tags is the number of those given. */
static int tags_list(struct call *c, const struct iam_pairs *tags)
{
	cleanup(iam_page_done_p) struct iam_page page = {0};
	struct value *list = value_put_list(c->out, "Tags");
	uint64_t first = 0;

	TRY(iam_page_open(c, &page));
	if (page.marker.n && str_to_u64(page.marker, UINT32_MAX, &first) < 0)
		return call_fault(c, &iam_faults[IAM_VALIDATION], "Invalid Marker.");
	for (uint64_t i = first; i < tags->count; i++) {
		struct value *tag;
		str text = tags->items[i].value;

		page.at = arena_printf(c->arena, "%llu", (unsigned long long)i + 1);
		if (!iam_page_take(&page))
			break;
		tag = value_add_struct(list);
		value_put_str(tag, "Key", tags->items[i].key);
		value_put_str(tag, "Value", text.p ? text : STR(""));
	}
	iam_page_close(&page);
	return 0;
}

static int entity_tags_list(struct call *c, enum iam_kind kind)
{
	str name = value_str(c->in, kind == IAM_ROLE ? "RoleName" : "UserName");
	struct iam_entity e;

	TRY(iam_entity_get(c, NULL, kind, name, &e));
	return tags_list(c, &e.tags);
}

int iam_tag_role(struct call *c)
{
	return tag_write(c, IAM_ROLE, tag_add);
}
int iam_untag_role(struct call *c)
{
	return tag_write(c, IAM_ROLE, tag_remove);
}
int iam_list_role_tags(struct call *c)
{
	return entity_tags_list(c, IAM_ROLE);
}
int iam_tag_user(struct call *c)
{
	return tag_write(c, IAM_USER, tag_add);
}
int iam_untag_user(struct call *c)
{
	return tag_write(c, IAM_USER, tag_remove);
}
int iam_list_user_tags(struct call *c)
{
	return entity_tags_list(c, IAM_USER);
}
int iam_tag_policy(struct call *c)
{
	return tag_write(c, IAM_POLICY, tag_add);
}
int iam_untag_policy(struct call *c)
{
	return tag_write(c, IAM_POLICY, tag_remove);
}
int iam_list_policy_tags(struct call *c)
{
	struct iam_policy_ref ref;
	struct iam_policy p;

	TRY(own_policy(c, &ref));
	TRY(iam_policy_get(c, NULL, &ref, &p));
	return tags_list(c, &p.tags);
}
