/*
 * Contributor insights of tables and global indexes, as configuration: UpdateContributorInsights,
 * DescribeContributorInsights, ListContributorInsights.
 *
 * What is set is kept in the table's record and told as it is, with the names of the rules that
 * belong to it. There is no CloudWatch Contributor Insights here that would evaluate them.
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/contributorinsights_HowItWorks.html
 */
#include "services/dynamodb/change.h"
#include "services/dynamodb/service.h"

#include "aws/keyspace.h"
#include "base/rc.h"
#include "kv/kv.h"

enum { RULE_BYTES_MAX = 128, PAGE_MAX = 100, TOKEN_BYTES_MAX = 520 };

static const char *const mode_names[] = {
	[INSIGHTS_ALL_KEYS] = "ACCESSED_AND_THROTTLED_KEYS",
	[INSIGHTS_THROTTLED_KEYS] = "THROTTLED_KEYS",
};

/* The global index that the input names. Sets *ret_index (NULL: the table itself). */
static int find_index(struct call *c, const struct table *t, const struct table_index **ret_index)
{
	str name = value_str(c->in, "IndexName");
	const struct table_index *index = name.p ? table_index_named(t, name) : NULL;

	if (name.p && (!index || !table_index_is_global(index)))
		return dynamodb_index_not_found(c, name);
	*ret_index = index;
	return 0;
}

static void put_name(struct value *out, const char *member, str name)
{
	value_put_str(out, member, arena_str(out->tree->arena, name));
}

/* TableName, IndexName, status and mode. */
static void put_summary(struct value *out, const struct table *t, const struct table_index *index)
{
	const struct table_insights *insights = index ? &index->insights : &t->insights;

	put_name(out, "TableName", t->name);
	if (index)
		put_name(out, "IndexName", index->name);
	value_put_str(out, "ContributorInsightsStatus",
		insights->mode == INSIGHTS_OFF ? STR("DISABLED") : STR("ENABLED"));
	if (insights->mode != INSIGHTS_OFF)
		value_put_str(out, "ContributorInsightsMode", str_c(mode_names[insights->mode]));
}

/* ---- UpdateContributorInsights ---- */

static int apply(struct table_change *change, struct kv_txn *txn unused_arg, struct table *t)
{
	struct call *c = change->c;
	str mode = value_str(c->in, "ContributorInsightsMode");
	bool enables = str_eq(value_str(c->in, "ContributorInsightsAction"), STR("ENABLE"));
	struct table_index *indexes = arena_new_array(c->arena, struct table_index, t->index_count);
	struct table_insights *insights = &t->insights;
	const struct table_index *index;
	enum table_insights_mode to = INSIGHTS_OFF;

	TRY(find_index(c, t, &index));
	if (index) {
		memcpy(indexes, t->indexes, t->index_count * sizeof *indexes);
		insights = &indexes[index - t->indexes].insights;
		t->indexes = indexes;
	}
	if (enables)
		to = str_eq(mode, str_c(mode_names[INSIGHTS_THROTTLED_KEYS]))
			     ? INSIGHTS_THROTTLED_KEYS
			     : INSIGHTS_ALL_KEYS;
	if (insights->mode != to)
		*insights = (struct table_insights){.mode = to, .changed_ms = c->wall_ms};
	return 0;
}

int dynamodb_update_insights(struct call *c)
{
	struct table_change change cleanup(table_change_done) = {.c = c, .apply = apply};
	const struct table_index *index;
	bool enables = str_eq(value_str(c->in, "ContributorInsightsAction"), STR("ENABLE"));
	str name;

	TRY(dynamodb_table_name(c, value_str(c->in, "TableName"), &name));
	if (TRY(table_change_run(&change, name)) == CHANGE_NO_TABLE)
		return dynamodb_table_not_found(c, name);
	TRY(find_index(c, change.table, &index));
	put_summary(c->out, change.table, index);
	/* In force already; clients expect to be told of the way there. */
	value_put_str(
		c->out, "ContributorInsightsStatus", enables ? STR("ENABLING") : STR("DISABLING"));
	return 0;
}

/* ---- DescribeContributorInsights ---- */

/*
 * DynamoDBContributorInsights-KIND-RESOURCE-TIME: most accessed (C) and throttled (T) partition
 * keys (PK), and partition and sort keys (SK). A name has 128 characters at most: of a longer
 * resource the beginning.
 */
static void add_rule(struct value *rules, const char *kind, str resource, int64_t time_ms)
{
	struct arena *a = rules->tree->arena;
	str begin = arena_printf(a, "DynamoDBContributorInsights-%s-", kind);
	str end = arena_printf(a, "-%lld", (long long)time_ms);

	value_add_str(rules, ARENA_CONCAT(a, begin,
				     str_sub(resource, 0, RULE_BYTES_MAX - begin.n - end.n), end));
}

static void put_rules(struct value *rules, const struct table *t, const struct table_index *index)
{
	const struct table_insights *insights = index ? &index->insights : &t->insights;
	bool sorts = index ? index->keys.sorts > 0 : t->keys.sorts > 0;
	str resource = t->name;

	if (insights->mode == INSIGHTS_OFF)
		return;
	if (index)
		resource = ARENA_CONCAT(rules->tree->arena, t->name, STR("-"), index->name);
	if (insights->mode == INSIGHTS_ALL_KEYS) {
		add_rule(rules, "PKC", resource, insights->changed_ms);
		if (sorts)
			add_rule(rules, "SKC", resource, insights->changed_ms);
	}
	add_rule(rules, "PKT", resource, insights->changed_ms);
	if (sorts)
		add_rule(rules, "SKT", resource, insights->changed_ms);
}

int dynamodb_describe_insights(struct call *c)
{
	struct table *t cleanup(table_unref_p) = NULL;
	const struct table_insights *insights;
	const struct table_index *index;
	str name;

	TRY(dynamodb_table_name(c, value_str(c->in, "TableName"), &name));
	if (!TRY(catalog_find(dynamodb_of(c)->catalog, c->account, c->region, name, &t)))
		return dynamodb_table_not_found(c, name);
	TRY(find_index(c, t, &index));
	insights = index ? &index->insights : &t->insights;
	put_summary(c->out, t, index);
	put_rules(value_put_list(c->out, "ContributorInsightsRuleList"), t, index);
	if (insights->changed_ms)
		value_put_time_ms(c->out, "LastUpdateDateTime", insights->changed_ms);
	return 0;
}

/* ---- ListContributorInsights ---- */

struct listing {
	struct call *c;
	struct value *summaries;
	int64_t left; /* how many more the page may have */
	str token;    /* what the page begins behind: see token_of() */
	str last;     /* the last one of the page */
	bool more;
	struct kv_range range; /* of the tables that are still to be looked at */
};

/* Names a table or index in the list: '/' is not in names. */
static str token_of(struct arena *a, const struct table *t, const struct table_index *index)
{
	return ARENA_CONCAT(a, t->name, STR("/"), index ? index->name : STR(""));
}

/* Whatever was set once is listed. */
static void list_one(struct listing *l, const struct table *t, const struct table_index *index)
{
	if (!(index ? index->insights.changed_ms : t->insights.changed_ms) || l->more)
		return;
	if (l->left == 0) {
		l->more = true;
		return;
	}
	put_summary(value_add_struct(l->summaries), t, index);
	l->last = token_of(l->c->arena, t, index);
	l->left--;
}

static void list_table(struct listing *l, const struct table *t)
{
	/* Where the page before has ended within this table: behind which index. */
	str name, rest = l->token;
	bool here = l->token.p && str_split(&rest, '/', &name) && str_eq(name, t->name);
	/* When that is gone all indexes are told again, rather than too few. */
	const struct table_index *last = here && rest.n ? table_index_named(t, rest) : NULL;

	if (!here)
		list_one(l, t, NULL);
	for (size_t i = last ? (size_t)(last - t->indexes) + 1 : 0; i < t->index_count; i++)
		list_one(l, t, &t->indexes[i]);
}

/* ERR_CONFLICT: may be called again, and goes on from where it was. */
static int list_some(struct listing *l)
{
	struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
	struct buf from;
	str key, document;

	buf_init(&from, l->c->arena, KEYSPACE_KEY_MAX);
	TRY(kv_scan_open(dynamodb_of(l->c)->kv, &l->range, &scan));
	while (!l->more && TRY(kv_scan_next(scan, &key, &document))) {
		struct table *t cleanup(table_unref_p) = NULL;

		TRY(table_decode(document, &t));
		list_table(l, t);
		buf_reset(&from);
		buf_put(&from, key);
		buf_put_char(&from, 0);
		l->range.from = buf_str(&from);
	}
	return 0;
}

/* From the table of the token on, in the order of names. */
static int list_tables(struct listing *l)
{
	struct call *c = l->c;
	str name, rest = l->token;
	struct buf prefix;
	int rc;

	buf_init(&prefix, c->arena, KEYSPACE_KEY_MAX);
	keyspace_begin(&prefix, KEYSPACE_DYNAMODB_TABLES, c->account, c->region);
	l->range.from = buf_str(&prefix);
	l->range.to = keyspace_prefix_end(c->arena, l->range.from);
	if (l->token.p && str_split(&rest, '/', &name))
		l->range.from = table_key(c->arena, c->account, c->region, name);
	while ((rc = list_some(l)) == ERR_CONFLICT)
		if (rt_now() >= c->deadline_ns)
			return ERR_TIMEOUT;
	return rc;
}

static int list_named(struct listing *l)
{
	struct call *c = l->c;
	struct table *t cleanup(table_unref_p) = NULL;
	str name;

	TRY(dynamodb_table_name(c, value_str(c->in, "TableName"), &name));
	if (!TRY(catalog_find(dynamodb_of(c)->catalog, c->account, c->region, name, &t)))
		return dynamodb_table_not_found(c, name);
	list_table(l, t);
	return 0;
}

int dynamodb_list_insights(struct call *c)
{
	struct listing l = {.c = c,
		.summaries = value_put_list(c->out, "ContributorInsightsSummaries"),
		.left = value_int(c->in, "MaxResults", PAGE_MAX),
		.token = value_str(c->in, "NextToken"),
		.last = STR_NULL};

	if (l.left < 1)
		l.left = PAGE_MAX;
	if (l.token.p && (l.token.n > TOKEN_BYTES_MAX || str_find(l.token, '/') < 0))
		return call_fault(
			c, DYNAMODB_FAULT(VALIDATION), "Invalid NextToken: it is not of this list");
	TRY(value_has(c->in, "TableName") ? list_named(&l) : list_tables(&l));
	if (l.more)
		value_put_str(c->out, "NextToken", l.last);
	return 0;
}
