/*
 * PutResourcePolicy, GetResourcePolicy, DeleteResourcePolicy, and what the gate asks.
 *
 * https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_PutResourcePolicy.html
 * https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_DeleteResourcePolicy.html
 */
#include "services/dynamodb/resource_policy.h"

#include "aws/keyspace.h"
#include "aws/policy.h"
#include "base/check.h"
#include "kv/kv.h"
#include "services/dynamodb/change.h"
#include "services/dynamodb/streams.h"

enum { POLICY_VERSION = 1, REVISION_BYTES_MAX = 24 };

/* What is attached; text STR_NULL: nothing. */
struct attached {
	str text, revision;
};

/* The resource of the input. */
struct place {
	str arn, name;      /* of the table */
	uint64_t stream_id; /* 0: the table itself */
	str stream_key;
};

/* ---- streams ---- */

str resource_policy_key(struct arena *a, uint64_t stream_id)
{
	struct buf key;

	buf_init(&key, a, KEYSPACE_KEY_MAX);
	keyspace_area(&key, KEYSPACE_DYNAMODB_META);
	keyspace_put(&key, STR("policy"));
	buf_put_be64(&key, stream_id);
	check(!key.over);
	return buf_str(&key);
}

static str encode(struct arena *a, struct attached p)
{
	struct buf value;

	check(p.revision.n <= REVISION_BYTES_MAX);
	buf_init(&value, a, RESOURCE_POLICY_BYTES_MAX + REVISION_BYTES_MAX + 2);
	buf_put_char(&value, POLICY_VERSION);
	buf_put_char(&value, (char)p.revision.n);
	buf_put(&value, p.revision);
	buf_put(&value, p.text);
	check(!value.over);
	return buf_str(&value);
}

static int decode(str value, struct attached *ret)
{
	uint8_t version, n;

	if (!str_take_u8(&value, &version) || version != POLICY_VERSION ||
		!str_take_u8(&value, &n) || !str_take(&value, n, &ret->revision))
		return ERR_CORRUPT;
	ret->text = value;
	return 0;
}

/* ---- places ---- */

static int no_resource(struct call *c, str arn)
{
	return call_fault(c, DYNAMODB_FAULT(RESOURCE_NOT_FOUND),
		"Requested resource not found: ResourcArn: %.*s not found", STR_ARG(arn));
}

static int find_stream(struct call *c, struct place *at)
{
	struct stream *s = arena_new(c->arena, struct stream);
	struct stream_arn_parts parts;

	if (!stream_arn_parse(at->arn, &parts))
		return 0;
	if (!str_eq(parts.account, c->account) || !str_eq(parts.region, c->region) ||
		!TRY(stream_find(dynamodb_of(c)->kv, c->arena, parts.account, parts.region,
			parts.table, parts.label, s)))
		return no_resource(c, at->arn);
	at->name = parts.table;
	at->stream_id = s->id;
	at->stream_key =
		stream_key(c->arena, parts.account, parts.region, parts.table, parts.label);
	return 1;
}

static int find_place(struct call *c, struct place *at)
{
	*at = (struct place){.arn = value_str(c->in, "ResourceArn")};
	if (!str_starts(at->arn, STR("arn:")))
		return call_fault(c, DYNAMODB_FAULT(VALIDATION),
			"Invalid ResourceArn: Invalid ResourceArn provided as input %.*s",
			STR_ARG(at->arn));
	if (TRY(find_stream(c, at)))
		return 0;
	return dynamodb_table_name(c, at->arn, &at->name);
}

/* ---- rules ---- */

static int not_found(struct call *c, str arn)
{
	return call_fault(c, DYNAMODB_FAULT(POLICY_NOT_FOUND),
		"Resource-based policy not found for the provided ResourceArn: %.*s", STR_ARG(arn));
}

/* ExpectedRevisionId against what there is. */
static int check_revision(struct call *c, str arn, str revision)
{
	str expected = value_str(c->in, "ExpectedRevisionId");

	if (!expected.p || str_eq(expected, revision.p ? revision : STR("NO_POLICY")))
		return 0;
	return call_fault(c, DYNAMODB_FAULT(POLICY_NOT_FOUND),
		"The policy of %.*s does not have the expected revision id %.*s", STR_ARG(arn),
		STR_ARG(expected));
}

/* A document that can be judged, and that does not shut the caller out unless he says so. */
static int check_document(struct call *c, str arn, str text, bool confirmed)
{
	struct policy *parsed;
	str message;

	if (text.n > RESOURCE_POLICY_BYTES_MAX)
		return call_fault(c, DYNAMODB_FAULT(VALIDATION),
			"Resource-based policy document exceeds the maximum size of %d bytes",
			RESOURCE_POLICY_BYTES_MAX);
	if (policy_parse(c->arena, text, POLICY_RESOURCE, &parsed, &message) < 0)
		return call_fault(c, DYNAMODB_FAULT(VALIDATION), "Invalid policy document: %.*s",
			STR_ARG(message));
	if (!confirmed && TRY(call_policy_effect(c, parsed, STR("dynamodb:PutResourcePolicy"),
				  arn)) == POLICY_DENY)
		return call_fault(c, DYNAMODB_FAULT(VALIDATION),
			"The new resource policy will not allow you to update the resource policy "
			"in the future: set ConfirmRemoveSelfResourceAccess");
	return 0;
}

/* Of the same text the same; else later than the one before. */
static str next_revision(struct call *c, struct attached old, str text)
{
	int64_t before = 0;

	if (old.text.p && str_eq(old.text, text))
		return old.revision;
	if (old.revision.p)
		check(str_to_i64(old.revision, &before) == 0);
	return arena_printf(c->arena, "%lld", (long long)MAX(c->wall_ms, before + 1));
}

int resource_policy_read(struct call *c, struct table *t)
{
	str text = value_str(c->in, "ResourcePolicy");

	if (!text.p)
		return 0;
	TRY(call_authorize(c, STR("dynamodb:PutResourcePolicy"), t->arn));
	TRY(check_document(c, t->arn, text, true));
	t->policy = text;
	t->policy_revision = next_revision(c, (struct attached){STR_NULL, STR_NULL}, text);
	return 0;
}

/* ---- changes ---- */

/* `text` STR_NULL removes the policy. */
struct policy_change {
	struct table_change change; /* of a table */
	struct call *c;
	struct place at;
	str text;
	struct attached result; /* what was put; or the revision that was removed */
};

/* 1: nothing is to be written. */
static int decide(struct policy_change *p, struct attached old)
{
	TRY(check_revision(p->c, p->at.arn, old.revision));
	if (!p->text.p) {
		p->result = (struct attached){STR_NULL, old.revision};
		return !old.text.p;
	}
	p->result = (struct attached){p->text, next_revision(p->c, old, p->text)};
	return 0;
}

static int apply_to_table(
	struct table_change *change, struct kv_txn *txn unused_arg, struct table *t)
{
	struct policy_change *p = (struct policy_change *)change;
	int rc = TRY(decide(p, (struct attached){t->policy, t->policy_revision}));

	t->policy = p->result.text;
	t->policy_revision = p->text.p ? p->result.revision : STR_NULL;
	if (p->result.revision.p) /* the table goes */
		p->result.revision = arena_str(change->c->arena, p->result.revision);
	if (t->policy_revision.p)
		t->policy_revision = p->result.revision;
	return rc;
}

static int apply_to_stream(struct kv_txn *txn, void *arg)
{
	struct policy_change *p = arg;
	str key = resource_policy_key(p->c->arena, p->at.stream_id), value;
	struct attached old = {STR_NULL, STR_NULL};

	if (!TRY(kv_txn_get(txn, p->at.stream_key, p->c->arena, &value)))
		return no_resource(p->c, p->at.arn); /* it was removed meanwhile */
	if (TRY(kv_txn_get(txn, key, p->c->arena, &value)))
		TRY(decode(value, &old));
	if (TRY(decide(p, old)))
		return 0;
	if (p->text.p)
		kv_txn_put_covered(txn, key, encode(p->c->arena, p->result));
	else
		kv_txn_delete_covered(txn, key);
	return 0;
}

static int change_policy(struct call *c, str text)
{
	struct policy_change p = {
		.change = {.c = c, .apply = apply_to_table}, .c = c, .text = text};
	str key;
	int rc;

	TRY(find_place(c, &p.at));
	if (text.p)
		TRY(check_document(c, p.at.arn, text,
			value_bool(c->in, "ConfirmRemoveSelfResourceAccess", false)));
	if (p.at.stream_id) {
		key = table_key(c->arena, c->account, c->region, p.at.name);
		TRY(kv_run(dynamodb_of(c)->kv, &key, 1, apply_to_stream, &p, c->deadline_ns));
	} else {
		rc = table_change_run(&p.change, p.at.name);
		table_change_done(&p.change);
		if (TRY(rc) == CHANGE_NO_TABLE)
			return no_resource(c, p.at.arn);
	}
	value_put_str(c->out, "RevisionId", p.result.revision);
	return 0;
}

int dynamodb_put_policy(struct call *c)
{
	return change_policy(c, value_str(c->in, "Policy"));
}

int dynamodb_delete_policy(struct call *c)
{
	return change_policy(c, STR_NULL);
}

/* ---- looking ---- */

static int attached_to_table(struct call *c, str name, struct attached *ret)
{
	struct table *t cleanup(table_unref_p) = NULL;

	if (!TRY(catalog_find(dynamodb_of(c)->catalog, c->account, c->region, name, &t)))
		return 0;
	if (t->policy.p)
		*ret = (struct attached){
			arena_str(c->arena, t->policy), arena_str(c->arena, t->policy_revision)};
	return 1;
}

static int attached_to_stream(struct call *c, uint64_t id, struct attached *ret)
{
	str value;

	if (TRY(kv_get(dynamodb_of(c)->kv, resource_policy_key(c->arena, id), c->arena, &value)))
		TRY(decode(value, ret));
	return 1;
}

int dynamodb_get_policy(struct call *c)
{
	struct attached p = {STR_NULL, STR_NULL};
	struct place at;

	TRY(find_place(c, &at));
	if (at.stream_id)
		TRY(attached_to_stream(c, at.stream_id, &p));
	else if (!TRY(attached_to_table(c, at.name, &p)))
		return no_resource(c, at.arn);
	if (!p.text.p)
		return not_found(c, at.arn);
	value_put_str(c->out, "Policy", p.text);
	value_put_str(c->out, "RevisionId", p.revision);
	return 0;
}

int resource_policy_of(struct call *c, str arn, const struct policy **ret_policy)
{
	str begin = arena_printf(c->arena, "arn:aws:dynamodb:%.*s:%.*s:table/", STR_ARG(c->region),
		STR_ARG(c->account));
	struct attached p = {STR_NULL, STR_NULL};
	struct stream_arn_parts parts;
	struct policy *parsed;
	str name, message;

	*ret_policy = NULL;
	if (!str_starts(arn, begin))
		return 0;
	if (stream_arn_parse(arn, &parts)) {
		struct stream *s = arena_new(c->arena, struct stream);

		if (!TRY(stream_find(dynamodb_of(c)->kv, c->arena, parts.account, parts.region,
			    parts.table, parts.label, s)))
			return 0;
		TRY(attached_to_stream(c, s->id, &p));
	} else {
		arn = str_from(arn, begin.n);
		str_split(&arn, '/', &name);
		TRY(attached_to_table(c, name, &p));
	}
	if (!p.text.p)
		return 0;
	if (policy_parse(c->arena, p.text, POLICY_RESOURCE, &parsed, &message) < 0)
		return ERR_CORRUPT;
	*ret_policy = parsed;
	return 0;
}
