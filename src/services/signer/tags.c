/*
 * TagResource, UntagResource, ListTagsForResource: tags of profiles.
 *
 * Source: API Reference, the operation of each handler's name. The words are not confirmed.
 */
#include "services/signer/store.h"

/* The profile that the ARN names. */
static int parse(struct call *c, struct signer_arn *ret_arn)
{
	str arn = value_str(c->in, "resourceArn");

	if (!signer_arn_parse(arn, ret_arn) || !ret_arn->profile.p || ret_arn->version.p)
		return SIGNER_FAULT(c, TAGS_BAD_REQUEST,
			"%.*s is not the ARN of a signing profile.", STR_ARG(arn));
	if (!str_eq(ret_arn->account, c->account) || !str_eq(ret_arn->region, c->region))
		return SIGNER_FAULT(c, TAGS_NOT_FOUND,
			"The signing profile %.*s does not exist in this account and region.",
			STR_ARG(arn));
	return 0;
}

static int check_active(struct call *c, const struct signer_profile *p)
{
	if (signer_profile_is_active(p))
		return 0;
	return SIGNER_FAULT(
		c, TAGS_BAD_REQUEST, "The signing profile %.*s is not active.", STR_ARG(p->name));
}

static int add(struct call *c, struct signer_profile *p, void *arg unused_arg)
{
	const struct value *given = value_get(c->in, "tags");
	struct value *tags;

	TRY(check_active(c, p));
	tags = value_put_map(p->shown, "tags");
	for (uint32_t i = 0; i < value_count(given); i++)
		value_map_put_str(tags, value_key(given, i), value_text(value_of(given, i)));
	if (value_count(tags) > SIGNER_TAGS_MAX)
		return SIGNER_FAULT(c, TAGS_BAD_REQUEST, "A signing profile may have %d tags.",
			SIGNER_TAGS_MAX);
	return 0;
}

static bool has_key(const struct value *keys, str key)
{
	for (uint32_t i = 0; i < value_count(keys); i++)
		if (str_eq(value_text(value_at(keys, i)), key))
			return true;
	return false;
}

static int take_away(struct call *c, struct signer_profile *p, void *arg unused_arg)
{
	const struct value *keys = value_get(c->in, "tagKeys"), *old = value_get(p->shown, "tags");
	struct value *left = value_new(c->arena, c->service->model, "ListTagsForResourceResponse");
	struct value *tags = value_put_map(left, "tags");

	TRY(check_active(c, p));
	for (uint32_t i = 0; i < value_count(old); i++)
		if (!has_key(keys, value_key(old, i)))
			value_map_put_str(tags, value_key(old, i), value_text(value_of(old, i)));
	value_put_copy(p->shown, "tags", tags);
	return 0;
}

/* ResourceNotFoundException has another name here. */
static int change(struct call *c, signer_profile_change_fn *fn)
{
	struct signer_arn at;
	int rc;

	TRY(parse(c, &at));
	rc = signer_profile_change(c, at.account, at.profile, fn, NULL);
	if (rc == ERR_FAULT && c->fault.kind == &signer_faults[SIGNER_NOT_FOUND])
		c->fault.kind = &signer_faults[SIGNER_TAGS_NOT_FOUND];
	return rc;
}

int signer_tag(struct call *c)
{
	return change(c, add);
}

int signer_untag(struct call *c)
{
	return change(c, take_away);
}

int signer_list_tags(struct call *c)
{
	struct signer_profile p;
	struct signer_arn at;

	TRY(parse(c, &at));
	if (TRY(signer_profile_load(
		    signer_self(c), NULL, c->arena, at.account, at.region, at.profile, &p)) == 0)
		return SIGNER_FAULT(c, TAGS_NOT_FOUND, "The signing profile %.*s does not exist.",
			STR_ARG(value_str(c->in, "resourceArn")));
	value_put_map(c->out, "tags");
	value_put_copy(c->out, "tags", value_get(p.shown, "tags"));
	return 0;
}
