/*
 * Tags of functions, code signing configurations and event source mappings.
 *
 * Source: API Reference, TagResource, UntagResource, ListTags.
 */
#include "base/check.h"
#include "services/lambda/config.h"
#include "services/lambda/mapping.h"
#include "services/lambda/mapping_control.h"
#include "services/lambda/service.h"
#include "services/lambda/signing.h"
#include "services/lambda/store.h"

static struct lambda_service *self(struct call *c)
{
	return check_object(c->self, struct lambda_service, LAMBDA_SERVICE_MAGIC);
}

static bool is_mapping(struct call *c)
{
	str part;

	return mapping_arn_parse(value_str(c->in, "Resource"), &part, &part, &part);
}

/* Which function the resource is; a version or alias has no tags of its own. */
static int tagged_function(struct call *c, struct function *ret_function)
{
	str arn = value_str(c->in, "Resource");
	struct function_name name;

	if (function_name_parse(arn, &name) < 0 || !name.region.p || !name.account.p)
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			"%.*s is not the ARN of a function, a code signing configuration or an "
			"event source mapping (tags of other resources are not implemented by "
			"this server).",
			STR_ARG(arn));
	if (name.qualifier.p)
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			"Tags on function aliases and versions are not supported. Please specify "
			"either a function ARN, an event source mapping ARN or a code signing "
			"config ARN.");
	if (!str_eq(name.region, c->region) ||
		TRY(lambda_store_load(self(c), c->arena, name.account, c->region, name.name,
			STR_NULL, ret_function, NULL)) == 0)
		return fault_not_found(
			&c->fault, c->arena, name.account, name.region, &name, false);
	return 0;
}

/* Keys of the input's TagKeys are left out. */
static void without_keys(struct call *c, struct arena *a, struct tag_set *tags)
{
	const struct value *keys = value_get(c->in, "TagKeys");
	struct function_pair *left = arena_new_array(a, struct function_pair, tags->count + 1);
	uint32_t n = 0;

	for (uint32_t i = 0; i < tags->count; i++) {
		bool remove = false;

		for (uint32_t k = 0; k < value_count(keys); k++)
			remove = remove ||
				 str_eq(value_text(value_at(keys, k)), tags->pairs[i].name);
		if (!remove)
			left[n++] = tags->pairs[i];
	}
	tags->pairs = left;
	tags->count = n;
}

static int add_tags(struct call *c, struct arena *a, struct tag_set *tags)
{
	return tags_lay_over(c, a, value_get(c->in, "Tags"), tags);
}

static int remove_tags(struct call *c, struct arena *a, struct tag_set *tags)
{
	without_keys(c, a, tags);
	return 0;
}

struct tag_change {
	struct call *call;
	tags_change_fn *change;
};

static int change_function(
	void *arg, struct kv_txn *txn unused_arg, struct arena *a, struct function *f)
{
	const struct tag_change *t = arg;
	struct tag_set tags = {f->tags, f->tag_count};

	TRY(t->change(t->call, a, &tags));
	f->tags = tags.pairs;
	f->tag_count = tags.count;
	return 1;
}

static int change(struct call *c, tags_change_fn *fn)
{
	struct tag_change t = {c, fn};
	struct store_change change = {
		.change = change_function, .arg = &t, .deadline = c->deadline_ns};
	struct function f;

	if (signing_is_arn(value_str(c->in, "Resource")))
		return signing_change_tags(c, fn);
	if (is_mapping(c))
		return mapping_change_tags(c, fn);
	TRY(tagged_function(c, &f));
	change.account = f.account;
	change.region = f.region;
	change.name = f.name;
	return request_gone(c, lambda_store_change(self(c), c->arena, &change, &f));
}

int control_tag_resource(struct call *c)
{
	return change(c, add_tags);
}

int control_untag_resource(struct call *c)
{
	return change(c, remove_tags);
}

int control_list_tags(struct call *c)
{
	struct function f;
	struct value *v;

	if (signing_is_arn(value_str(c->in, "Resource")))
		return signing_list_tags(c);
	if (is_mapping(c))
		return mapping_list_tags(c);
	TRY(tagged_function(c, &f));
	v = value_put_map(c->out, "Tags");
	for (uint32_t i = 0; i < f.tag_count; i++)
		value_map_put_str(v, f.tags[i].name, f.tags[i].value);
	return 0;
}
