/*
 * UpdateTimeToLive, DescribeTimeToLive, and the marks of tables.
 *
 * https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_UpdateTimeToLive.html
 */
#include "services/dynamodb/ttl.h"

#include "aws/keyspace.h"
#include "base/check.h"
#include "base/rc.h"
#include "kv/kv.h"
#include "services/dynamodb/change.h"

enum { MARK_VERSION = 1, INTERVAL_MS = 3600 * 1000 };

/* ---- marks ---- */

void ttl_mark_encode(struct buf *out, const struct ttl_mark *mark)
{
	check(mark->state >= TTL_FILLING && mark->state <= TTL_EMPTYING);
	buf_put_char(out, MARK_VERSION);
	buf_put_char(out, (char)mark->state);
	buf_put_be64(out, mark->table_id);
	buf_put_sized(out, mark->account);
	buf_put_sized(out, mark->region);
	buf_put_sized(out, mark->table);
	buf_put_sized(out, mark->attribute);
}

int ttl_mark_decode(str value, struct ttl_mark *ret_mark)
{
	struct ttl_mark m;
	uint8_t version, state;

	if (!str_take_u8(&value, &version))
		return ERR_CORRUPT;
	if (version != MARK_VERSION)
		return ERR_VERSION;
	if (!str_take_u8(&value, &state) || state < TTL_FILLING || state > TTL_EMPTYING ||
		!str_take_be64(&value, &m.table_id) || !str_take_sized(&value, &m.account) ||
		!str_take_sized(&value, &m.region) || !str_take_sized(&value, &m.table) ||
		!str_take_sized(&value, &m.attribute) || value.n)
		return ERR_CORRUPT;
	m.state = (enum ttl_state)state;
	*ret_mark = m;
	return 0;
}

static void put_prefix(struct buf *key)
{
	keyspace_area(key, KEYSPACE_DYNAMODB_META);
	keyspace_put(key, STR("ttl"));
}

str ttl_mark_prefix(struct arena *a)
{
	struct buf key;

	buf_init(&key, a, KEYSPACE_KEY_MAX);
	put_prefix(&key);
	return buf_str(&key);
}

str ttl_mark_key(struct arena *a, uint64_t table_id)
{
	struct buf key;

	buf_init(&key, a, KEYSPACE_KEY_MAX);
	put_prefix(&key);
	buf_put_be64(&key, table_id);
	return buf_str(&key);
}

/* ---- UpdateTimeToLive ---- */

struct update {
	struct table_change change;
	uint64_t table_id; /* that the catalog knows by the name; its mark is declared */
	str attribute;
	bool enable;
};

enum { AGAIN = 1 }; /* the table was made anew since: the catalog will know */

static int invalid(struct call *c, const char *text)
{
	return call_fault(c, DYNAMODB_FAULT(VALIDATION), "%s", text);
}

/* What DynamoDB says of a change that is none, or comes too early. */
static int check_update(const struct update *u, const struct table *t, bool under_way)
{
	struct call *c = u->change.c;

	if (t->ttl_attribute.p && !str_eq(t->ttl_attribute, u->attribute))
		return call_fault(c, DYNAMODB_FAULT(VALIDATION),
			"TimeToLive is active on a different AttributeName: current AttributeName "
			"is %.*s",
			STR_ARG(t->ttl_attribute));
	if (u->enable && t->ttl_attribute.p)
		return invalid(c, "TimeToLive is already enabled");
	if (!u->enable && !t->ttl_attribute.p && !under_way)
		return invalid(c, "TimeToLive is already disabled");
	if (under_way || (t->ttl_changed_ms && c->wall_ms - t->ttl_changed_ms < INTERVAL_MS))
		return invalid(
			c, "Time to live has been modified multiple times within a fixed interval");
	return 0;
}

static int apply_update(struct table_change *change, struct kv_txn *txn, struct table *t)
{
	struct update *u = container_of(change, struct update, change);
	struct call *c = change->c;
	struct ttl_mark mark = {.state = TTL_ACTIVE};
	struct buf value;
	str found;

	if (t->id != u->table_id)
		return AGAIN;
	if (TRY(kv_txn_get(txn, change->keys[0], c->arena, &found)))
		TRY(ttl_mark_decode(found, &mark));
	TRY(check_update(u, t, mark.state != TTL_ACTIVE));
	t->ttl_attribute = u->enable ? u->attribute : STR_NULL;
	t->ttl_changed_ms = c->wall_ms;
	mark = (struct ttl_mark){.table_id = t->id,
		.state = u->enable ? TTL_FILLING : TTL_EMPTYING,
		.account = t->account,
		.region = t->region,
		.table = t->name,
		.attribute = u->attribute};
	buf_init(&value, c->arena, TTL_MARK_MAX);
	ttl_mark_encode(&value, &mark);
	check(!value.over);
	kv_txn_put(txn, change->keys[0], buf_str(&value));
	return 0;
}

/* CHANGE_NO_TABLE: there is none of that name. */
static int update(struct update *u, str name)
{
	struct call *c = u->change.c;
	struct dynamodb *d = dynamodb_of(c);
	int rc;

	do {
		struct table *t cleanup(table_unref_p) = NULL;

		if (!TRY(catalog_find(d->catalog, c->account, c->region, name, &t)))
			return CHANGE_NO_TABLE;
		u->table_id = t->id;
		u->change.keys[0] = ttl_mark_key(c->arena, t->id);
		rc = table_change_run(&u->change, name);
	} while (rc == AGAIN && rt_now() < c->deadline_ns);
	dynamodb_wake(d, WORKER_TTL_CHANGE);
	return rc == AGAIN ? ERR_TIMEOUT : rc;
}

static void update_done(struct update *u)
{
	table_change_done(&u->change);
}

int dynamodb_update_ttl(struct call *c)
{
	const struct value *given = value_get(c->in, "TimeToLiveSpecification");
	struct update u cleanup(update_done) = {
		.change = {.c = c, .apply = apply_update, .key_count = 1},
		.attribute = value_str(given, "AttributeName"),
		.enable = value_bool(given, "Enabled", false)};
	struct value *out;
	str name;

	TRY(dynamodb_table_name(c, value_str(c->in, "TableName"), &name));
	if (TRY(update(&u, name)) == CHANGE_NO_TABLE)
		return dynamodb_table_not_found(c, name);
	out = value_put_struct(c->out, "TimeToLiveSpecification");
	value_put_bool(out, "Enabled", u.enable);
	value_put_str(out, "AttributeName", u.attribute);
	return 0;
}

/* ---- DescribeTimeToLive ---- */

int dynamodb_describe_ttl(struct call *c)
{
	static const char *const status[] = {
		[TTL_FILLING] = "ENABLING", [TTL_ACTIVE] = "ENABLED", [TTL_EMPTYING] = "DISABLING"};
	struct table *t cleanup(table_unref_p) = NULL;
	struct ttl_mark mark;
	struct value *out;
	str name, value;

	TRY(dynamodb_table_name(c, value_str(c->in, "TableName"), &name));
	if (!TRY(catalog_find(dynamodb_of(c)->catalog, c->account, c->region, name, &t)))
		return dynamodb_table_not_found(c, name);
	out = value_put_struct(c->out, "TimeToLiveDescription");
	if (!TRY(kv_get(dynamodb_of(c)->kv, ttl_mark_key(c->arena, t->id), c->arena, &value))) {
		value_put_str(out, "TimeToLiveStatus", STR("DISABLED"));
		return 0;
	}
	TRY(ttl_mark_decode(value, &mark));
	value_put_str(out, "TimeToLiveStatus", str_c(status[mark.state]));
	value_put_str(out, "AttributeName", mark.attribute);
	return 0;
}
