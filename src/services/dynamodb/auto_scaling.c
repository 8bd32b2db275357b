/*
 * UpdateTableReplicaAutoScaling, DescribeTableReplicaAutoScaling: the settings of auto scaling, of
 * a table's one replica, that of its own region. They are kept and told, and nothing scales: the
 * units of a table are what it was given (UpdateTable), whatever its load. A replica in another
 * region is refused by name.
 *
 * Settings that were given before and are not given again stay. What is not enabled is told as
 * AutoScalingDisabled.
 * https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_UpdateTableReplicaAutoScaling.html
 * https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_AutoScalingSettingsUpdate.html
 */
#include "services/dynamodb/change.h"
#include "services/dynamodb/service.h"

#define TARGET_MIN 8.515920e-109
#define TARGET_MAX 1.174271e+108

enum { NOT_GIVEN = -1 };

/* ---- what is asked for, as far as it needs no table ---- */

static int check_policy(struct call *c, const struct value *update)
{
	const struct value *policy = value_get(update, "TargetTrackingScalingPolicyConfiguration");
	double target = value_double(policy, "TargetValue", 0);

	if (!update)
		return 0;
	if (target < TARGET_MIN || target > TARGET_MAX)
		return DYNAMODB_INVALID(
			c, "TargetValue must be between 8.515920e-109 and 1.174271e+108");
	if (value_int(policy, "ScaleInCooldown", 0) < 0)
		return DYNAMODB_INVALID(c, "ScaleInCooldown must not be negative");
	if (value_int(policy, "ScaleOutCooldown", 0) < 0)
		return DYNAMODB_INVALID(c, "ScaleOutCooldown must not be negative");
	return 0;
}

/* An AutoScalingSettingsUpdate; NULL is fine. */
static int check_settings(struct call *c, const struct value *update)
{
	static const char *const others[] = {
		"MinimumUnits", "MaximumUnits", "AutoScalingRoleArn", "ScalingPolicyUpdate"};

	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		if (value_bool(update, "AutoScalingDisabled", false) &&
			value_has(update, others[i]))
			return DYNAMODB_INVALID(c,
				"%s cannot be specified when AutoScalingDisabled is true",
				others[i]);
	return check_policy(c, value_get(update, "ScalingPolicyUpdate"));
}

/* Elements of a list of updates of indexes: each has a name, no two the same one. */
static int check_index_updates(struct call *c, const struct value *list, const char *settings)
{
	for (uint32_t i = 0; i < value_count(list); i++) {
		str name = value_str(value_at(list, i), "IndexName");

		if (!name.p)
			return DYNAMODB_INVALID(c, "IndexName must be specified");
		for (uint32_t k = 0; k < i; k++)
			if (str_eq(value_str(value_at(list, k), "IndexName"), name))
				return DYNAMODB_INVALID(c,
					"Only one global secondary index update per index is "
					"allowed simultaneously. Index: %.*s",
					STR_ARG(name));
		TRY(check_settings(c, value_get(value_at(list, i), settings)));
	}
	return 0;
}

static int check_replica(struct call *c, const struct value *replica)
{
	if (!str_eq(value_str(replica, "RegionName"), c->region))
		return dynamodb_not_implemented(c, "ReplicaUpdates.RegionName");
	TRY(check_settings(
		c, value_get(replica, "ReplicaProvisionedReadCapacityAutoScalingUpdate")));
	return check_index_updates(c, value_get(replica, "ReplicaGlobalSecondaryIndexUpdates"),
		"ProvisionedReadCapacityAutoScalingUpdate");
}

static int check_input(struct call *c)
{
	const struct value *replicas = value_get(c->in, "ReplicaUpdates");
	const struct value *indexes = value_get(c->in, "GlobalSecondaryIndexUpdates");
	const struct value *table = value_get(c->in, "ProvisionedWriteCapacityAutoScalingUpdate");

	if (!replicas && !indexes && !table)
		return DYNAMODB_INVALID(c,
			"At least one of GlobalSecondaryIndexUpdates, "
			"ProvisionedWriteCapacityAutoScalingUpdate or ReplicaUpdates is required");
	TRY(check_index_updates(c, indexes, "ProvisionedWriteCapacityAutoScalingUpdate"));
	TRY(check_settings(c, table));
	for (uint32_t i = 0; i < value_count(replicas); i++)
		TRY(check_replica(c, value_at(replicas, i)));
	if (value_count(replicas) > 1) /* all of them in this region */
		return DYNAMODB_INVALID(c,
			"Only one update per replica is allowed simultaneously. Region: %.*s",
			STR_ARG(c->region));
	return 0;
}

/* ---- the change ---- */

static void apply_policy(const struct value *update, struct table_scaling *s)
{
	const struct value *policy = value_get(update, "TargetTrackingScalingPolicyConfiguration");

	s->policy = value_str(update, "PolicyName");
	s->disable_scale_in = value_bool(policy, "DisableScaleIn", false);
	s->in_cooldown = value_int(policy, "ScaleInCooldown", NOT_GIVEN);
	s->out_cooldown = value_int(policy, "ScaleOutCooldown", NOT_GIVEN);
	s->target = value_double(policy, "TargetValue", 0);
}

/* `index` is NULL for the table's own units. */
static int apply_settings(struct call *c, const struct value *update,
	const struct table_index *index, struct table_scaling *s)
{
	const struct value *policy = value_get(update, "ScalingPolicyUpdate");
	str of = index ? index->name : STR("the table");

	if (!update)
		return 0;
	if (value_bool(update, "AutoScalingDisabled", false)) {
		*s = (struct table_scaling){.enabled = false};
		return 0;
	}
	if (!s->enabled && (!value_has(update, "MinimumUnits") ||
				   !value_has(update, "MaximumUnits") || !policy))
		return DYNAMODB_INVALID(c,
			"MinimumUnits, MaximumUnits and ScalingPolicyUpdate must be specified to "
			"enable auto scaling of %.*s",
			STR_ARG(of));
	s->enabled = true;
	s->minimum = value_int(update, "MinimumUnits", s->minimum);
	s->maximum = value_int(update, "MaximumUnits", s->maximum);
	if (value_has(update, "AutoScalingRoleArn"))
		s->role = value_str(update, "AutoScalingRoleArn");
	if (policy)
		apply_policy(policy, s);
	if (s->minimum > s->maximum)
		return DYNAMODB_INVALID(c,
			"MinimumUnits %lld is greater than MaximumUnits %lld of %.*s",
			(long long)s->minimum, (long long)s->maximum, STR_ARG(of));
	return 0;
}

static int apply_indexes(struct call *c, const struct value *list, const char *settings,
	const struct table *t, struct table_index *indexes)
{
	bool reads = str_starts(str_c(settings), STR("ProvisionedRead"));

	for (uint32_t i = 0; i < value_count(list); i++) {
		const struct value *v = value_at(list, i);
		str name = value_str(v, "IndexName");
		const struct table_index *found = table_index_named(t, name);
		struct table_index *index;

		if (!found || !table_index_is_global(found))
			return dynamodb_index_not_found(c, name);
		index = &indexes[found - t->indexes];
		TRY(apply_settings(c, value_get(v, settings), index,
			reads ? &index->read_scaling : &index->write_scaling));
	}
	return 0;
}

static int apply(struct table_change *change, struct kv_txn *txn unused_arg, struct table *t)
{
	struct call *c = change->c;
	const struct value *replicas = value_get(c->in, "ReplicaUpdates");
	const struct value *replica = replicas ? value_at(replicas, 0) : NULL; /* at least one */
	struct table_index *indexes = arena_new_array(c->arena, struct table_index, t->index_count);

	TRY(dynamodb_check_status(c, t));
	if (t->on_demand)
		return DYNAMODB_INVALID(
			c, "Auto scaling can only be specified when BillingMode is PROVISIONED");
	if (t->index_count)
		memcpy(indexes, t->indexes, t->index_count * sizeof *indexes);
	t->indexes = indexes;
	TRY(apply_indexes(c, value_get(c->in, "GlobalSecondaryIndexUpdates"),
		"ProvisionedWriteCapacityAutoScalingUpdate", t, indexes));
	TRY(apply_settings(c, value_get(c->in, "ProvisionedWriteCapacityAutoScalingUpdate"), NULL,
		&t->write_scaling));
	TRY(apply_settings(c, value_get(replica, "ReplicaProvisionedReadCapacityAutoScalingUpdate"),
		NULL, &t->read_scaling));
	return apply_indexes(c, value_get(replica, "ReplicaGlobalSecondaryIndexUpdates"),
		"ProvisionedReadCapacityAutoScalingUpdate", t, indexes);
}

/* ---- what is told ---- */

static void describe_policy(const struct table *t, const struct table_index *index, bool reads,
	const struct table_scaling *s, struct value *d)
{
	struct arena *a = d->tree->arena;
	struct value *v = value_add_struct(value_put_list(d, "ScalingPolicies"));
	struct value *policy;
	str name = s->policy;

	/* The name that Application Auto Scaling's console gives. */
	if (!name.p)
		name = arena_printf(a, "DynamoDB%sCapacityUtilization:table/%.*s%s%.*s",
			reads ? "Read" : "Write", STR_ARG(t->name), index ? "/index/" : "",
			STR_ARG(index ? index->name : STR("")));
	value_put_str(v, "PolicyName", arena_str(a, name));
	policy = value_put_struct(v, "TargetTrackingScalingPolicyConfiguration");
	if (s->disable_scale_in)
		value_put_bool(policy, "DisableScaleIn", true);
	if (s->in_cooldown != NOT_GIVEN)
		value_put_int(policy, "ScaleInCooldown", s->in_cooldown);
	if (s->out_cooldown != NOT_GIVEN)
		value_put_int(policy, "ScaleOutCooldown", s->out_cooldown);
	value_put_double(policy, "TargetValue", s->target);
}

static void describe_settings(const struct table *t, const struct table_index *index, bool reads,
	const struct table_scaling *s, struct value *d)
{
	struct arena *a = d->tree->arena;

	if (!s->enabled) {
		value_put_bool(d, "AutoScalingDisabled", true);
		return;
	}
	value_put_int(d, "MinimumUnits", s->minimum);
	value_put_int(d, "MaximumUnits", s->maximum);
	/* The role that is used unless another one is given is the service's own. */
	value_put_str(d, "AutoScalingRoleArn",
		s->role.p ? arena_str(a, s->role)
			  : arena_printf(a,
				    "arn:aws:iam::%.*s:role/aws-service-role/"
				    "dynamodb.application-autoscaling.amazonaws.com/"
				    "AWSServiceRoleForApplicationAutoScaling_DynamoDBTable",
				    STR_ARG(t->account)));
	describe_policy(t, index, reads, s, d);
}

static void describe_index(const struct table *t, const struct table_index *i, struct value *d)
{
	value_put_str(d, "IndexName", arena_str(d->tree->arena, i->name));
	value_put_str(d, "IndexStatus", str_c(table_index_status(i)));
	describe_settings(t, i, true, &i->read_scaling,
		value_put_struct(d, "ProvisionedReadCapacityAutoScalingSettings"));
	describe_settings(t, i, false, &i->write_scaling,
		value_put_struct(d, "ProvisionedWriteCapacityAutoScalingSettings"));
}

static void describe(const struct table *t, struct value *out)
{
	struct value *d = value_put_struct(out, "TableAutoScalingDescription");
	struct value *replica, *indexes;

	value_put_str(d, "TableName", arena_str(d->tree->arena, t->name));
	value_put_str(d, "TableStatus", str_c(table_status(t)));
	replica = value_add_struct(value_put_list(d, "Replicas"));
	value_put_str(replica, "RegionName", arena_str(d->tree->arena, t->region));
	value_put_str(replica, "ReplicaStatus", STR("ACTIVE"));
	indexes = value_put_list(replica, "GlobalSecondaryIndexes");
	for (size_t i = t->local_count; i < t->index_count; i++)
		if (table_index_is_global(&t->indexes[i]))
			describe_index(t, &t->indexes[i], value_add_struct(indexes));
	describe_settings(t, NULL, true, &t->read_scaling,
		value_put_struct(replica, "ReplicaProvisionedReadCapacityAutoScalingSettings"));
	describe_settings(t, NULL, false, &t->write_scaling,
		value_put_struct(replica, "ReplicaProvisionedWriteCapacityAutoScalingSettings"));
}

int dynamodb_update_scaling(struct call *c)
{
	struct table_change change cleanup(table_change_done) = {.c = c, .apply = apply};
	str name;

	TRY(dynamodb_table_name(c, value_str(c->in, "TableName"), &name));
	TRY(check_input(c));
	if (TRY(table_change_run(&change, name)) == CHANGE_NO_TABLE)
		return dynamodb_table_not_found(c, name);
	describe(change.table, c->out);
	return 0;
}

int dynamodb_describe_scaling(struct call *c)
{
	struct table *t cleanup(table_unref_p) = NULL;
	str name;

	TRY(dynamodb_table_name(c, value_str(c->in, "TableName"), &name));
	if (!TRY(catalog_find(dynamodb_of(c)->catalog, c->account, c->region, name, &t)))
		return dynamodb_table_not_found(c, name);
	describe(t, c->out);
	return 0;
}
