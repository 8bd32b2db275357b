/*
 * What belongs to a function beside its code and configuration: one record for each kind and
 * qualifier, written under the function's key. See store.h.
 */
#include "services/lambda/store.h"

#include "aws/codec.h"
#include "aws/keyspace.h"
#include "base/check.h"
#include "services/lambda/service.h"

/* Of all parts of a function, of one kind, or (qualifier not STR_NULL) of one. */
static str part_key(
	struct arena *a, str account, str region, str name, const char *kind, str qualifier)
{
	struct buf key;

	buf_init(&key, a, KEYSPACE_KEY_MAX);
	keyspace_area(&key, KEYSPACE_LAMBDA_META);
	keyspace_put(&key, STR("part"));
	keyspace_put(&key, account);
	keyspace_put(&key, region);
	keyspace_put(&key, name);
	if (kind)
		keyspace_put(&key, str_c(kind));
	if (qualifier.p)
		keyspace_put(&key, qualifier);
	check(!key.over);
	return buf_str(&key);
}

str store_part_key(
	struct arena *a, str account, str region, str name, const char *kind, str qualifier)
{
	return part_key(a, account, region, name, kind, qualifier);
}

str store_url_key(struct arena *a, str id)
{
	struct buf key;

	buf_init(&key, a, KEYSPACE_KEY_MAX);
	keyspace_area(&key, KEYSPACE_LAMBDA_META);
	keyspace_put(&key, STR("url"));
	keyspace_put(&key, id);
	check(!key.over);
	return buf_str(&key);
}

int store_part(struct lambda_service *s, struct arena *a, const struct function *f,
	const char *kind, str qualifier, str *ret_text)
{
	return kv_get(
		s->kv, part_key(a, f->account, f->region, f->name, kind, qualifier), a, ret_text);
}

/* Kind and qualifier of a part's key. */
static int take_names(struct arena *a, str key, str *ret_kind, str *ret_qualifier)
{
	str part, rest = str_from(key, 1);

	for (int i = 0; i < 4; i++)
		if (!keyspace_take(a, &rest, &part))
			return ERR_CORRUPT;
	if (!keyspace_take(a, &rest, ret_kind) || !keyspace_take(a, &rest, ret_qualifier) || rest.n)
		return ERR_CORRUPT;
	return 0;
}

int store_parts(struct lambda_service *s, struct arena *a, const struct function *f,
	const char *kind, str after, unsigned max, struct store_entry *ret_entries, bool *ret_more)
{
	struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
	str prefix = part_key(a, f->account, f->region, f->name, kind, STR_NULL), part;
	struct kv_range range = {
		.from = prefix, .to = keyspace_prefix_end(a, prefix), .limit = max + 1};
	unsigned n = 0;
	str key, value;
	int found;

	if (after.p)
		range.from = keyspace_prefix_end(
			a, part_key(a, f->account, f->region, f->name, kind, after));
	TRY(kv_scan_open(s->kv, &range, &scan));
	while ((found = TRY(kv_scan_next(scan, &key, &value))) && n < max) {
		ret_entries[n].text = arena_str(a, value);
		TRY(take_names(a, arena_str(a, key), &part, &ret_entries[n++].qualifier));
	}
	*ret_more = found;
	return (int)n;
}

/* A function URL is found by its id (which is stored as its FunctionUrl) in a record of its own. */
static int drop_url(struct kv_txn *txn, struct arena *a, str text)
{
	struct value *config;

	TRY(codec_json_load(a, model_named(STR("lambda")), "FunctionUrlConfig", text, &config));
	kv_txn_delete_covered(txn, store_url_key(a, value_str(config, "FunctionUrl")));
	return 0;
}

int store_txn_drop_parts(
	struct kv_txn *txn, struct arena *a, const struct function *f, str qualifier)
{
	struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
	str prefix = part_key(a, f->account, f->region, f->name, NULL, STR_NULL);
	struct kv_range range = {.from = prefix, .to = keyspace_prefix_end(a, prefix)};
	str key, value, kind, of;

	TRY(kv_txn_scan(txn, &range, &scan));
	while (TRY(kv_scan_next(scan, &key, &value))) {
		TRY(take_names(a, arena_str(a, key), &kind, &of));
		if (qualifier.p && !str_eq(qualifier, of))
			continue;
		if (str_eq(kind, STR(PART_URL)))
			TRY(drop_url(txn, a, arena_str(a, value)));
		kv_txn_delete_covered(txn, key);
	}
	return 0;
}

struct part_change {
	struct arena *arena;
	const struct store_part_change *of;
	str key, part_key;
};

static int change_txn(struct kv_txn *txn, void *arg)
{
	struct part_change *p = arg;
	const struct function *of = p->of->function;
	struct function f;
	str old = STR_NULL, text;
	int rc;

	if (TRY(store_txn_load(txn, p->arena, of->account, of->region, of->name, STR_NULL, &f)) ==
		0)
		return ERR_NOT_FOUND;
	if (TRY(kv_txn_get(txn, p->part_key, p->arena, &old)) == 0)
		old = STR_NULL;
	text = old;
	rc = TRY(p->of->change(p->of->arg, txn, p->arena, &f, &text));
	if (text.p)
		kv_txn_put_covered(txn, p->part_key, text);
	else
		kv_txn_delete_covered(txn, p->part_key);
	return rc;
}

int store_part_change(
	struct lambda_service *s, struct arena *a, const struct store_part_change *change)
{
	const struct function *f = change->function;
	struct part_change p = {.arena = a, .of = change};

	p.key = store_function_key(a, f->account, f->region, f->name);
	p.part_key = part_key(a, f->account, f->region, f->name, change->kind, change->qualifier);
	return kv_run(s->kv, (str[]){p.key, change->also}, change->also.p ? 2 : 1, change_txn, &p,
		change->deadline);
}

int store_txn_part(struct kv_txn *txn, struct arena *a, const struct function *f, const char *kind,
	str qualifier, str *ret_text)
{
	return kv_txn_get(
		txn, part_key(a, f->account, f->region, f->name, kind, qualifier), a, ret_text);
}

int store_txn_each_part(struct kv_txn *txn, struct arena *a, const struct function *f,
	const char *kind, int (*fn)(void *arg, str qualifier, str text), void *arg)
{
	struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
	str prefix = part_key(a, f->account, f->region, f->name, kind, STR_NULL);
	struct kv_range range = {.from = prefix, .to = keyspace_prefix_end(a, prefix)};
	str key, value, part, qualifier;

	TRY(kv_txn_scan(txn, &range, &scan));
	while (TRY(kv_scan_next(scan, &key, &value))) {
		TRY(take_names(a, arena_str(a, key), &part, &qualifier));
		TRY(fn(arg, qualifier, arena_str(a, value)));
	}
	return 0;
}

/* ---- concurrency that is set apart ---- */

int store_sums_parse(str text, struct store_sums *ret_sums)
{
	struct store_sums sums = {0, 0};
	str reserved;

	/* The second number is younger than the record. */
	if (str_split(&text, ' ', &reserved) && reserved.n)
		TRY(str_to_u64(reserved, INT64_MAX, &sums.reserved));
	if (text.n)
		TRY(str_to_u64(text, INT64_MAX, &sums.provisioned));
	*ret_sums = sums;
	return 0;
}

int store_txn_sums(
	struct kv_txn *txn, struct arena *a, str account, str region, struct store_sums *ret)
{
	str text = STR("");

	(void)TRY(kv_txn_get(txn, store_reserved_key(a, account, region), a, &text));
	return store_sums_parse(text, ret) < 0 ? ERR_CORRUPT : 0;
}

void store_txn_put_sums(
	struct kv_txn *txn, struct arena *a, str account, str region, const struct store_sums *sums)
{
	kv_txn_put(txn, store_reserved_key(a, account, region),
		arena_printf(a, "%llu %llu", (unsigned long long)sums->reserved,
			(unsigned long long)sums->provisioned));
}

struct provisioned_sum {
	struct arena *arena;
	str qualifier; /* STR_NULL: all */
	uint64_t count;
};

static int add_provisioned(void *arg, str qualifier, str text)
{
	struct provisioned_sum *sum = arg;
	struct value *config;

	if (sum->qualifier.p && !str_eq(sum->qualifier, qualifier))
		return 0;
	TRY(codec_json_load(sum->arena, model_named(STR("lambda")),
		"GetProvisionedConcurrencyConfigResponse", text, &config));
	sum->count += (uint64_t)value_int(config, "RequestedProvisionedConcurrentExecutions", 0);
	return 0;
}

int store_txn_provisioned(struct kv_txn *txn, struct arena *a, const struct function *f,
	str qualifier, uint64_t *ret_count)
{
	struct provisioned_sum sum = {.arena = a, .qualifier = qualifier};

	TRY(store_txn_each_part(txn, a, f, PART_PROVISIONED, add_provisioned, &sum));
	*ret_count = sum.count;
	return 0;
}

int store_txn_free_provisioned(
	struct kv_txn *txn, struct arena *a, const struct function *f, str qualifier)
{
	struct store_sums sums;
	uint64_t count;

	TRY(store_txn_provisioned(txn, a, f, qualifier, &count));
	if (!count || f->reserved != FUNCTION_UNRESERVED)
		return 0;
	TRY(store_txn_sums(txn, a, f->account, f->region, &sums));
	sums.provisioned -= MIN(sums.provisioned, count);
	store_txn_put_sums(txn, a, f->account, f->region, &sums);
	return 0;
}
