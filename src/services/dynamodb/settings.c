/*
 * Tags of tables; DescribeContinuousBackups; and what is told about the account: DescribeLimits,
 * DescribeEndpoints.
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Tagging.html
 */
#include "services/dynamodb/change.h"
#include "services/dynamodb/service.h"

#include "base/check.h"
#include "base/rc.h"
#include "kv/kv.h"

enum {
	/* "Default quotas", https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/
	 * ServiceQuotas.html: of an account and region, and of a table */
	ACCOUNT_UNITS_MAX = 80000,
	TABLE_UNITS_MAX = 40000,
	ENDPOINT_MINUTES = 1440
};

/* ---- tags ---- */

/* The table of a ResourceArn; a name is not enough. */
static int tagged_name(struct call *c, str *ret_name)
{
	str arn = value_str(c->in, "ResourceArn");

	if (!str_starts(arn, STR("arn:")))
		return call_fault(c, DYNAMODB_FAULT(VALIDATION),
			"Invalid TableArn: Invalid ResourceArn provided as input %.*s",
			STR_ARG(arn));
	return dynamodb_table_name(c, arn, ret_name);
}

static int no_resource(struct call *c)
{
	return call_fault(c, DYNAMODB_FAULT(RESOURCE_NOT_FOUND),
		"Requested resource not found: ResourcArn: %.*s not found",
		STR_ARG(value_str(c->in, "ResourceArn")));
}

static size_t tag_place(const struct table_tag *tags, size_t n, str key)
{
	size_t i = 0;

	while (i < n && !str_eq(tags[i].key, key))
		i++;
	return i;
}

static int add_tags(struct table_change *change, struct kv_txn *txn unused_arg, struct table *t)
{
	struct call *c = change->c;
	const struct value *given = value_get(c->in, "Tags");
	struct table_tag *tags =
		arena_new_array(c->arena, struct table_tag, t->tag_count + value_count(given));
	size_t n = t->tag_count;

	if (n)
		memcpy(tags, t->tags, n * sizeof *tags);
	for (uint32_t i = 0; i < value_count(given); i++) {
		str key = value_str(value_at(given, i), "Key");
		size_t at = tag_place(tags, n, key);

		tags[at] = (struct table_tag){key, value_str(value_at(given, i), "Value")};
		n += at == n;
	}
	if (n > TABLE_TAGS_MAX)
		return dynamodb_too_many_tags(c);
	t->tags = tags;
	t->tag_count = n;
	return 0;
}

static int remove_tags(struct table_change *change, struct kv_txn *txn unused_arg, struct table *t)
{
	struct call *c = change->c;
	const struct value *keys = value_get(c->in, "TagKeys");
	struct table_tag *tags = arena_new_array(c->arena, struct table_tag, t->tag_count);
	size_t n = 0;

	for (size_t i = 0; i < t->tag_count; i++) {
		bool stays = true;

		for (uint32_t k = 0; k < value_count(keys); k++)
			stays &= !str_eq(value_at(keys, k)->s, t->tags[i].key);
		if (stays)
			tags[n++] = t->tags[i];
	}
	t->tags = tags;
	t->tag_count = n;
	return 0;
}

static int change_tags(struct call *c,
	int (*apply)(struct table_change *change, struct kv_txn *txn, struct table *t))
{
	struct table_change change cleanup(table_change_done) = {.c = c, .apply = apply};
	str name;

	TRY(tagged_name(c, &name));
	return TRY(table_change_run(&change, name))
	== CHANGE_NO_TABLE ? no_resource(c) : 0;
}

int dynamodb_tag_resource(struct call *c)
{
	TRY(dynamodb_check_tags(c, value_get(c->in, "Tags")));
	return change_tags(c, add_tags);
}

int dynamodb_untag_resource(struct call *c)
{
	return change_tags(c, remove_tags);
}

int dynamodb_list_tags(struct call *c)
{
	struct table *t cleanup(table_unref_p) = NULL;
	struct value *tags;
	str name;

	TRY(tagged_name(c, &name));
	if (value_has(c->in, "NextToken")) /* all fit into one page, so nobody was given one */
		return call_fault(
			c, DYNAMODB_FAULT(VALIDATION), "Invalid NextToken: it is not of this list");
	if (!TRY(catalog_find(dynamodb_of(c)->catalog, c->account, c->region, name, &t)))
		return no_resource(c);
	tags = value_put_list(c->out, "Tags");
	for (size_t i = 0; i < t->tag_count; i++) {
		struct value *tag = value_add_struct(tags);

		value_put_str(tag, "Key", arena_str(c->arena, t->tags[i].key));
		value_put_str(tag, "Value", arena_str(c->arena, t->tags[i].value));
	}
	return 0;
}

/* ---- the account ---- */

/* There are none, and clients that look at all of a table (Terraform's does) are told so. */
int dynamodb_describe_backups(struct call *c)
{
	struct table *t cleanup(table_unref_p) = NULL;
	struct value *out;
	str name;

	TRY(dynamodb_table_name(c, value_str(c->in, "TableName"), &name));
	if (!TRY(catalog_find(dynamodb_of(c)->catalog, c->account, c->region, name, &t)))
		return call_fault(
			c, DYNAMODB_FAULT(TABLE_NOT_FOUND), "Table not found: %.*s", STR_ARG(name));
	out = value_put_struct(c->out, "ContinuousBackupsDescription");
	value_put_str(out, "ContinuousBackupsStatus", STR("DISABLED"));
	out = value_put_struct(out, "PointInTimeRecoveryDescription");
	value_put_str(out, "PointInTimeRecoveryStatus", STR("DISABLED"));
	return 0;
}

int dynamodb_describe_limits(struct call *c)
{
	value_put_int(c->out, "AccountMaxReadCapacityUnits", ACCOUNT_UNITS_MAX);
	value_put_int(c->out, "AccountMaxWriteCapacityUnits", ACCOUNT_UNITS_MAX);
	value_put_int(c->out, "TableMaxReadCapacityUnits", TABLE_UNITS_MAX);
	value_put_int(c->out, "TableMaxWriteCapacityUnits", TABLE_UNITS_MAX);
	return 0;
}

/* Clients follow the address, so it is the one that they have used: this server. */
int dynamodb_describe_endpoints(struct call *c)
{
	struct value *endpoint = value_add_struct(value_put_list(c->out, "Endpoints"));

	value_put_str(endpoint, "Address", call_header_get(c, STR("host")));
	value_put_int(endpoint, "CachePeriodInMinutes", ENDPOINT_MINUTES);
	return 0;
}
