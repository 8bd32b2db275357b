/*
 * Throughput: what is given, and what may follow what.
 *
 * Decreases of provisioned units are counted and shown, not limited. Warm throughput never falls:
 * what a table has had (its units, or what a table on demand starts with) stays its floor.
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/warm-throughput.html
 */
#include "services/dynamodb/throughput.h"

#include "services/dynamodb/service.h"

#define UNITS_MAX 1000000000000LL
enum { DAY_MS = 24 * 3600 * 1000, NO_MAXIMUM = -1 };

/* What the words are about: "table", or "index: NAME". */
static str subject(struct call *c, const struct table_index *index)
{
	return index ? arena_printf(c->arena, "index: %.*s", STR_ARG(index->name)) : STR("table");
}

/* ---- provisioned units ---- */

static int check_bounds(struct call *c, const struct value *units, const struct table_index *index)
{
	static const char *const members[] = {"ReadCapacityUnits", "WriteCapacityUnits"};

	for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
		int64_t n = value_int(units, members[i], 0);

		if (n > UNITS_MAX)
			return call_fault(c, DYNAMODB_FAULT(VALIDATION),
				"Given value %lld for %s is out of bounds%s%.*s", (long long)n,
				members[i], index ? " for index " : "",
				STR_ARG(index ? index->name : STR("")));
	}
	return 0;
}

static void keep_warm(struct table_throughput *units, bool on_demand)
{
	units->warm_read = table_warm_read(units, on_demand);
	units->warm_write = table_warm_write(units, on_demand);
}

static void set_units(struct table_throughput *units, int64_t now, int64_t read, int64_t write)
{
	keep_warm(units, false);
	if (read > units->read_units || write > units->write_units)
		units->increased_ms = now;
	if (read < units->read_units || write < units->write_units) {
		units->decreases =
			now / DAY_MS == units->decreased_ms / DAY_MS ? units->decreases + 1 : 1;
		units->decreased_ms = now;
	}
	units->read_units = read;
	units->write_units = write;
}

static int same_units(
	struct call *c, const struct table_throughput *units, const struct table_index *index)
{
	long long read = units->read_units, write = units->write_units;
	str what =
		index ? arena_printf(c->arena, "index %.*s", STR_ARG(index->name)) : STR("table");
	const char *kind = index ? "index" : "table";

	return call_fault(c, DYNAMODB_FAULT(VALIDATION),
		"The provisioned throughput for the %.*s will not change. The requested value "
		"equals the current value. Current ReadCapacityUnits provisioned for the %s: "
		"%lld. Requested ReadCapacityUnits: %lld. Current WriteCapacityUnits provisioned "
		"for the %s: %lld. Requested WriteCapacityUnits: %lld. Refer to the Amazon "
		"DynamoDB Developer Guide for current limits and how to request higher limits.",
		STR_ARG(what), kind, read, read, kind, write, write);
}

/* `units`: ProvisionedThroughput of the input; the table stays PROVISIONED. */
static int change_units(struct call *c, const struct value *units, struct table_throughput *to,
	const struct table_index *index)
{
	int64_t read = value_int(units, "ReadCapacityUnits", 0),
		write = value_int(units, "WriteCapacityUnits", 0);

	TRY(check_bounds(c, units, index));
	if (read == to->read_units && write == to->write_units)
		return same_units(c, to, index);
	set_units(to, c->wall_ms, read, write);
	return 0;
}

static void begin_units(const struct value *units, struct table_throughput *to)
{
	to->read_units = value_int(units, "ReadCapacityUnits", 0);
	to->write_units = value_int(units, "WriteCapacityUnits", 0);
}

/* ---- maxima on demand ---- */

static int read_maximum(struct call *c, const struct value *given, const char *member,
	const struct table_index *index, int64_t *to)
{
	int64_t n = value_int(given, member, NO_MAXIMUM);

	if (!value_has(given, member))
		return 0;
	if (n != NO_MAXIMUM && (n < 1 || n > UNITS_MAX))
		return DYNAMODB_INVALID(c,
			"Requested %s for OnDemandThroughput for %.*s is outside of valid range",
			member, STR_ARG(subject(c, index)));
	*to = n;
	return 0;
}

/* https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/on-demand-capacity-mode-max-throughput.html
 */
static int read_maxima(struct call *c, const struct value *given, bool on_demand,
	const struct table_index *index, struct table_throughput *to)
{
	if (!given)
		return 0;
	if (!on_demand)
		return DYNAMODB_INVALID(c,
			"OnDemandThroughput cannot be specified for %.*s when BillingMode is "
			"PROVISIONED",
			STR_ARG(subject(c, index)));
	if (!value_has(given, "MaxReadRequestUnits") && !value_has(given, "MaxWriteRequestUnits"))
		return DYNAMODB_INVALID(c,
			"OnDemandThroughput for %.*s must specify MaxReadRequestUnits, "
			"MaxWriteRequestUnits, or both",
			STR_ARG(subject(c, index)));
	TRY(read_maximum(c, given, "MaxReadRequestUnits", index, &to->read_max));
	return read_maximum(c, given, "MaxWriteRequestUnits", index, &to->write_max);
}

/* ---- warm throughput ---- */

static int read_warm_units(struct call *c, const struct value *given, const char *member,
	const struct table_index *index, int64_t now, int64_t *to)
{
	int64_t n = value_int(given, member, 0);

	if (!value_has(given, member))
		return 0;
	if (n < now)
		return DYNAMODB_INVALID(c,
			"Requested %s for WarmThroughput for %.*s is lower than current "
			"WarmThroughput, decreasing WarmThroughput is not supported",
			member, STR_ARG(subject(c, index)));
	if (n > UNITS_MAX)
		return DYNAMODB_INVALID(c,
			"Requested %s for WarmThroughput for %.*s is outside of valid range",
			member, STR_ARG(subject(c, index)));
	*to = n;
	return 0;
}

static int read_warm(struct call *c, const struct value *given, bool on_demand,
	const struct table_index *index, struct table_throughput *to)
{
	if (!given)
		return 0;
	if (!value_has(given, "ReadUnitsPerSecond") && !value_has(given, "WriteUnitsPerSecond"))
		return DYNAMODB_INVALID(c,
			"WarmThroughput for %.*s must specify ReadUnitsPerSecond, "
			"WriteUnitsPerSecond, or both",
			STR_ARG(subject(c, index)));
	TRY(read_warm_units(c, given, "ReadUnitsPerSecond", index, table_warm_read(to, on_demand),
		&to->warm_read));
	return read_warm_units(c, given, "WriteUnitsPerSecond", index,
		table_warm_write(to, on_demand), &to->warm_write);
}

/* ---- new tables and indexes ---- */

/* Of the table: its units and the billing mode fit together. */
static int check_billing(struct call *c, bool on_demand, bool needs_units)
{
	bool units = value_has(c->in, "ProvisionedThroughput");

	if (on_demand && units)
		return DYNAMODB_INVALID(c,
			"Neither ReadCapacityUnits nor WriteCapacityUnits can be specified "
			"when BillingMode is PAY_PER_REQUEST");
	if (!on_demand && needs_units && !units)
		return DYNAMODB_INVALID(c,
			"ReadCapacityUnits and WriteCapacityUnits must both be specified "
			"when BillingMode is PROVISIONED");
	return 0;
}

int throughput_of_new_table(struct call *c, struct table *t)
{
	const struct value *units = value_get(c->in, "ProvisionedThroughput");

	t->on_demand = str_eq(value_str(c->in, "BillingMode"), STR("PAY_PER_REQUEST"));
	TRY(check_billing(c, t->on_demand, true));
	TRY(check_bounds(c, units, NULL));
	if (t->on_demand)
		t->on_demand_since_ms = c->wall_ms;
	begin_units(units, &t->units);
	TRY(read_maxima(c, value_get(c->in, "OnDemandThroughput"), t->on_demand, NULL, &t->units));
	return read_warm(c, value_get(c->in, "WarmThroughput"), t->on_demand, NULL, &t->units);
}

static int no_units(struct call *c, const struct table_index *index)
{
	return DYNAMODB_INVALID(
		c, "ProvisionedThroughput is not specified for index: %.*s", STR_ARG(index->name));
}

static int needless_units(struct call *c, const struct table_index *index)
{
	return DYNAMODB_INVALID(c,
		"ProvisionedThroughput should not be specified for index: %.*s when BillingMode "
		"is PAY_PER_REQUEST",
		STR_ARG(index->name));
}

int throughput_of_new_index(
	struct call *c, const struct value *given, const struct table *t, struct table_index *index)
{
	const struct value *units = value_get(given, "ProvisionedThroughput");

	if (t->on_demand && units)
		return needless_units(c, index);
	if (!t->on_demand && !units)
		return no_units(c, index);
	TRY(check_bounds(c, units, index));
	begin_units(units, &index->units);
	TRY(read_maxima(
		c, value_get(given, "OnDemandThroughput"), t->on_demand, index, &index->units));
	return read_warm(c, value_get(given, "WarmThroughput"), t->on_demand, index, &index->units);
}

/* ---- updates ---- */

/* The Update action for the index of that name, or NULL. */
static const struct value *update_of(const struct value *updates, str name)
{
	for (uint32_t i = 0; i < value_count(updates); i++) {
		const struct value *action = value_get(value_at(updates, i), "Update");

		if (action && str_eq(value_str(action, "IndexName"), name))
			return action;
	}
	return NULL;
}

/* The billing mode changes to `on_demand`: every global index gets what the new mode needs. */
static int switch_index(
	struct call *c, const struct value *action, bool on_demand, struct table_index *index)
{
	const struct value *units = value_get(action, "ProvisionedThroughput");

	if (on_demand && units)
		return needless_units(c, index);
	if (!on_demand && !units)
		return no_units(c, index);
	TRY(check_bounds(c, units, index));
	keep_warm(&index->units, !on_demand);
	begin_units(units, &index->units);
	return 0;
}

static int switch_mode(
	struct call *c, struct table *t, struct table_index *indexes, const struct value *updates)
{
	const struct value *units = value_get(c->in, "ProvisionedThroughput");

	TRY(check_bounds(c, units, NULL));
	keep_warm(&t->units, t->on_demand);
	t->on_demand = !t->on_demand;
	if (t->on_demand)
		t->on_demand_since_ms = c->wall_ms;
	begin_units(units, &t->units);
	for (size_t i = t->local_count; i < t->index_count; i++)
		if (!indexes[i].vector)
			TRY(switch_index(
				c, update_of(updates, indexes[i].name), t->on_demand, &indexes[i]));
	return 0;
}

static int update_index(struct call *c, const struct value *action, const struct table *t,
	bool switched, struct table_index *index)
{
	const struct value *units = value_get(action, "ProvisionedThroughput");

	if (!units && !value_has(action, "OnDemandThroughput") &&
		!value_has(action, "WarmThroughput"))
		return DYNAMODB_INVALID(c,
			"At least one of ProvisionedThroughput, OnDemandThroughput or "
			"WarmThroughput is required for index: %.*s",
			STR_ARG(index->name));
	if (units && t->on_demand)
		return needless_units(c, index);
	if (units && !switched)
		TRY(change_units(c, units, &index->units, index));
	TRY(read_maxima(
		c, value_get(action, "OnDemandThroughput"), t->on_demand, index, &index->units));
	return read_warm(
		c, value_get(action, "WarmThroughput"), t->on_demand, index, &index->units);
}

static int update_indexes(struct call *c, const struct table *t, struct table_index *indexes,
	const struct value *updates, bool switched)
{
	for (uint32_t i = 0; i < value_count(updates); i++) {
		const struct value *action = value_get(value_at(updates, i), "Update");
		str name = value_str(action, "IndexName");
		const struct table_index *found;

		if (!action)
			continue;
		found = table_index_named(t, name);
		if (!found || !table_index_is_global(found))
			return dynamodb_index_not_found(c, name);
		if (found->status != INDEX_ACTIVE)
			return call_fault(c, DYNAMODB_FAULT(RESOURCE_IN_USE),
				"Attempt to change a resource which is still in use: Index is "
				"being %s: %.*s",
				found->status == INDEX_DELETING ? "deleted" : "created",
				STR_ARG(name));
		TRY(update_index(c, action, t, switched, &indexes[found - t->indexes]));
	}
	return 0;
}

int throughput_update(
	struct call *c, struct table *t, struct table_index *indexes, const struct value *updates)
{
	const struct value *units = value_get(c->in, "ProvisionedThroughput");
	str mode = value_str(c->in, "BillingMode");
	bool on_demand = mode.p ? str_eq(mode, STR("PAY_PER_REQUEST")) : t->on_demand;
	bool switches = on_demand != t->on_demand;

	TRY(check_billing(c, on_demand, switches));
	if (switches)
		TRY(switch_mode(c, t, indexes, updates));
	else if (units)
		TRY(change_units(c, units, &t->units, NULL));
	TRY(update_indexes(c, t, indexes, updates, switches));
	TRY(read_maxima(c, value_get(c->in, "OnDemandThroughput"), t->on_demand, NULL, &t->units));
	return read_warm(c, value_get(c->in, "WarmThroughput"), t->on_demand, NULL, &t->units);
}
