/*
 * Records of functions and versions: see store.h.
 */
#include "services/lambda/store.h"

#include "aws/codec.h"
#include "aws/keyspace.h"
#include "base/check.h"
#include "base/random.h"
#include "rt/rt.h"
#include "services/lambda/image.h"
#include "services/lambda/service.h"

static str finish(const struct buf *key)
{
	check(!key->over);
	return buf_str(key);
}

/* ---- keys ---- */

str store_version_key(struct arena *a, str account, str region, str name, str version)
{
	uint64_t number;
	struct buf key;

	buf_init(&key, a, KEYSPACE_KEY_MAX);
	keyspace_begin(&key, KEYSPACE_LAMBDA_FUNCTIONS, account, region);
	keyspace_put(&key, name);
	if (function_qualifier_kind(version) == QUALIFIER_VERSION) {
		/* One that is too long for a number names no version: there is none that high. */
		if (str_to_u64(version, INT64_MAX, &number) < 0)
			number = UINT64_MAX;
		buf_put_be64(&key, number);
	}
	return finish(&key);
}

str store_function_key(struct arena *a, str account, str region, str name)
{
	return store_version_key(a, account, region, name, STR_NULL);
}

static str code_key(struct arena *a, str hex, str account, str region, str owner)
{
	struct buf key;

	buf_init(&key, a, KEYSPACE_KEY_MAX);
	keyspace_area(&key, KEYSPACE_LAMBDA_META);
	keyspace_put(&key, STR("code"));
	keyspace_put(&key, hex);
	if (owner.p) {
		keyspace_put(&key, account);
		keyspace_put(&key, region);
		keyspace_put(&key, owner);
	}
	return finish(&key);
}

void store_code_use(
	struct kv_txn *txn, struct arena *a, str hex, str account, str region, str owner, bool used)
{
	str key = code_key(a, hex, account, region, owner);

	if (used)
		kv_txn_put_covered(txn, key, STR(""));
	else
		kv_txn_delete_covered(txn, key);
}

/* The records of all code that a function or version uses. */
static void use_code(struct kv_txn *txn, struct arena *a, const struct function *f, bool used)
{
	str owner = ARENA_CONCAT(a, STR("function:"), f->name, STR(":"), f->version);

	struct function_image image;

	store_code_use(txn, a, f->code_hex, f->account, f->region, owner, used);
	if (function_is_image(f)) {
		check(image_decode(a, f->image, &image) == 0);
		for (uint32_t i = 0; i < image.tree_count; i++)
			store_code_use(txn, a, image.trees[i], f->account, f->region, owner, used);
	}
	for (uint32_t i = 0; i < f->layer_count; i++)
		store_code_use(txn, a, f->layers[i].hex, f->account, f->region, owner, used);
}

str store_reserved_key(struct arena *a, str account, str region)
{
	struct buf key;

	buf_init(&key, a, KEYSPACE_KEY_MAX);
	keyspace_area(&key, KEYSPACE_LAMBDA_META);
	keyspace_put(&key, STR("reserved"));
	keyspace_put(&key, account);
	keyspace_put(&key, region);
	return finish(&key);
}

void store_codes_add(struct store_codes *codes, str hex)
{
	if (codes->count == codes->capacity) {
		size_t capacity = codes->capacity ? 2 * codes->capacity : 16;
		str *more = arena_new_array(codes->arena, str, capacity);

		if (codes->count)
			memcpy(more, codes->hex, codes->count * sizeof(*more));
		codes->hex = more;
		codes->capacity = capacity;
	}
	codes->hex[codes->count++] = arena_str(codes->arena, hex);
}

void store_codes_add_all(struct store_codes *codes, const struct function *f)
{
	struct function_image image;

	store_codes_add(codes, f->code_hex);
	if (function_is_image(f)) {
		check(image_decode(codes->arena, f->image, &image) == 0);
		for (uint32_t i = 0; i < image.tree_count; i++)
			store_codes_add(codes, image.trees[i]);
	}
	for (uint32_t i = 0; i < f->layer_count; i++)
		store_codes_add(codes, f->layers[i].hex);
}

str lambda_uuid(struct arena *a)
{
	char *text = arena_bytes(a, UUID_TEXT_BYTES);
	uint8_t bytes[16];

	rt_random_bytes(bytes, sizeof(bytes));
	uuid_v4_text(bytes, text);
	return str_of(text, UUID_TEXT_BYTES);
}

/* ---- reading ---- */

int lambda_store_load(struct lambda_service *s, struct arena *a, str account, str region, str name,
	str version, struct function *ret_function, str *ret_record)
{
	str record;

	if (TRY(kv_get(s->kv, store_version_key(a, account, region, name, version), a, &record)) ==
		0)
		return 0;
	TRY(function_decode(a, account, region, record, ret_function));
	if (ret_record)
		*ret_record = record;
	return 1;
}

int store_txn_load(struct kv_txn *txn, struct arena *a, str account, str region, str name,
	str version, struct function *ret_function)
{
	str record;

	if (TRY(kv_txn_get(
		    txn, store_version_key(a, account, region, name, version), a, &record)) == 0)
		return 0;
	TRY(function_decode(a, account, region, record, ret_function));
	return 1;
}

static str choose_version(const struct value *alias)
{
	const struct value *weights =
		value_get(value_get(alias, "RoutingConfig"), "AdditionalVersionWeights");

	for (uint32_t i = 0; i < value_count(weights); i++)
		if ((double)(rt_random() >> 11) * 0x1p-53 < value_of(weights, i)->d)
			return value_key(weights, i);
	return value_str(alias, "FunctionVersion");
}

int store_resolve(struct lambda_service *s, struct arena *a, str account, str region, str name,
	str qualifier, bool choose, str *ret_version)
{
	int kind = function_qualifier_kind(qualifier);
	struct value *alias;
	str text;

	if (kind == QUALIFIER_LATEST || kind == QUALIFIER_VERSION) {
		*ret_version = kind == QUALIFIER_LATEST ? STR("$LATEST") : qualifier;
		return 1;
	}
	if (kind < 0)
		return 0;
	if (TRY(kv_get(s->kv, store_part_key(a, account, region, name, PART_ALIAS, qualifier), a,
		    &text)) == 0)
		return 0;
	TRY(codec_json_load(a, s->rows.model, "AliasConfiguration", text, &alias));
	*ret_version = choose ? choose_version(alias) : value_str(alias, "FunctionVersion");
	return 1;
}

int store_txn_has_qualifier(
	struct kv_txn *txn, struct arena *a, const struct function *f, str qualifier)
{
	int kind = function_qualifier_kind(qualifier);
	str key, value;

	if (kind < 0)
		return 0;
	key = kind == QUALIFIER_ALIAS
		      ? store_part_key(a, f->account, f->region, f->name, PART_ALIAS, qualifier)
		      : store_version_key(a, f->account, f->region, f->name, qualifier);
	return kv_txn_get(txn, key, a, &value);
}

/* ---- writing ---- */

static str encode(struct arena *a, const struct function *f)
{
	struct buf record;

	buf_init(&record, a, LAMBDA_RECORD_BYTES_MAX);
	function_encode(a, f, &record);
	return buf_str(&record);
}

void store_txn_put_version(struct kv_txn *txn, struct arena *a, const struct function *v)
{
	kv_txn_put_covered(txn, store_version_key(a, v->account, v->region, v->name, v->version),
		encode(a, v));
}

/*
 * Makes a version of *f, which notes it: 1. 0 when the last one is the same still and there;
 * *ret_version in either case.
 */
static int publish(struct kv_txn *txn, struct arena *a, struct function *f, str description,
	struct function *ret_version)
{
	str digest = function_digest(a, f);
	struct function v;

	if (f->version_last && str_eq(f->published, digest) &&
		TRY(store_txn_load(txn, a, f->account, f->region, f->name,
			arena_printf(a, "%llu", (unsigned long long)f->version_last), &v))) {
		*ret_version = v;
		return 0;
	}
	f->version_last++;
	f->published = digest;
	v = *f;
	v.version = arena_printf(a, "%llu", (unsigned long long)f->version_last);
	v.revision_id = lambda_uuid(a);
	v.modified_ms = rt_wall() / RT_NS_MS;
	/* Its code is unpacked already: nothing is left to be waited for but a snapshot. */
	v.state = v.snap_start ? FUNCTION_PENDING : FUNCTION_ACTIVE;
	v.update = UPDATE_SUCCESSFUL;
	v.reason = v.reason_code = STR("");
	v.tag_count = 0;
	v.version_last = 0;
	v.published = v.signing_arn = STR("");
	v.reserved = FUNCTION_UNRESERVED;
	if (description.p)
		v.description = description;
	store_txn_put_version(txn, a, &v);
	use_code(txn, a, &v, true);
	*ret_version = v;
	return 1;
}

struct create {
	struct arena *arena;
	const struct function *function;
	bool publish;
	str key;
	struct function result;
};

static int create_txn(struct kv_txn *txn, void *arg)
{
	struct create *c = arg;
	struct function f = *c->function;
	str old;

	if (TRY(kv_txn_get(txn, c->key, c->arena, &old)) != 0)
		return ERR_EXISTS;
	c->result = f;
	if (c->publish)
		TRY(publish(txn, c->arena, &f, STR_NULL, &c->result));
	kv_txn_put(txn, c->key, encode(c->arena, &f));
	use_code(txn, c->arena, &f, true);
	return 0;
}

int lambda_store_create(struct lambda_service *s, struct arena *a, struct function *f,
	bool publish_, int64_t deadline)
{
	struct create c = {.arena = a, .function = f, .publish = publish_};

	c.key = store_function_key(a, f->account, f->region, f->name);
	TRY(kv_run(s->kv, &c.key, 1, create_txn, &c, deadline));
	*f = c.result;
	return 0;
}

struct change {
	struct arena *arena;
	const struct store_change *of;
	str key;
	struct function result;
};

static int change_txn(struct kv_txn *txn, void *arg)
{
	struct change *c = arg;
	const struct store_change *of = c->of;
	struct arena *a = c->arena;
	struct function f, old;
	bool write;

	if (TRY(store_txn_load(txn, a, of->account, of->region, of->name, STR_NULL, &f)) == 0)
		return ERR_NOT_FOUND;
	old = f;
	write = TRY(of->change(of->arg, txn, a, &f))
	> 0;
	if (write) {
		f.revision_id = lambda_uuid(a);
		if (of->touch)
			f.modified_ms = rt_wall() / RT_NS_MS;
		use_code(txn, a, &old, false);
		use_code(txn, a, &f, true);
	}
	c->result = f;
	if (of->publish)
		write = TRY(publish(txn, a, &f, of->description, &c->result))
	|| write;
	if (write)
		kv_txn_put(txn, c->key, encode(a, &f));
	return 0;
}

int lambda_store_change(struct lambda_service *s, struct arena *a,
	const struct store_change *change, struct function *ret_function)
{
	struct change c = {.arena = a, .of = change};

	c.key = store_function_key(a, change->account, change->region, change->name);
	TRY(kv_run(s->kv, (str[]){c.key, change->also}, change->also.p ? 2 : 1, change_txn, &c,
		change->deadline));
	*ret_function = c.result;
	return 0;
}

/* ---- deleting ---- */

struct delete_ {
	struct arena *arena;
	str account, region, name, version;
	str key, reserved_key;
	struct store_codes *codes;
	str aliases;
};

/* The account's sums of concurrency, less what the function had. */
static int free_concurrency(struct kv_txn *txn, struct delete_ *d, const struct function *f)
{
	struct store_sums sums;

	if (f->reserved == FUNCTION_UNRESERVED)
		return store_txn_free_provisioned(txn, d->arena, f, STR_NULL);
	TRY(store_txn_sums(txn, d->arena, d->account, d->region, &sums));
	sums.reserved -= MIN(sums.reserved, (uint64_t)f->reserved);
	store_txn_put_sums(txn, d->arena, d->account, d->region, &sums);
	return 0;
}

static int delete_txn(struct kv_txn *txn, void *arg)
{
	struct delete_ *d = arg;
	struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
	struct kv_range range = {.limit = 0};
	struct arena *a = d->arena;
	struct function f;
	str key, value;

	d->codes->count = 0;
	if (TRY(store_txn_load(txn, a, d->account, d->region, d->name, STR_NULL, &f)) == 0)
		return 0;
	TRY(free_concurrency(txn, d, &f));
	TRY(store_txn_drop_parts(txn, a, &f, STR_NULL));
	range.from = d->key;
	range.to = keyspace_prefix_end(a, d->key);
	TRY(kv_txn_scan(txn, &range, &scan));
	while (TRY(kv_scan_next(scan, &key, &value))) {
		TRY(function_decode(a, d->account, d->region, arena_str(a, value), &f));
		store_codes_add_all(d->codes, &f);
		use_code(txn, a, &f, false);
		if (!function_is_latest(&f))
			kv_txn_delete_covered(txn, key);
	}
	kv_txn_delete(txn, d->key);
	return 1;
}

int store_delete(struct lambda_service *s, str account, str region, str name, int64_t deadline,
	struct store_codes *codes)
{
	struct arena a cleanup(arena_done_p) = {0};
	struct delete_ d = {&a, account, region, name, .codes = codes};

	arena_init(&a, SIZE_MAX);
	d.key = store_function_key(&a, account, region, name);
	d.reserved_key = store_reserved_key(&a, account, region);
	return kv_run(s->kv, (str[]){d.key, d.reserved_key}, 2, delete_txn, &d, deadline);
}

/* Names of the aliases that point to the version; empty: none. */
static int aliases_of(struct kv_txn *txn, struct delete_ *d, str *ret_names)
{
	struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
	str prefix = store_part_key(d->arena, d->account, d->region, d->name, PART_ALIAS, STR_NULL);
	struct kv_range range = {.from = prefix, .to = keyspace_prefix_end(d->arena, prefix)};
	const struct model *model = model_named(STR("lambda"));
	struct value *alias;
	str key, value, names = STR("");

	TRY(kv_txn_scan(txn, &range, &scan));
	while (TRY(kv_scan_next(scan, &key, &value))) {
		const struct value *weights;

		TRY(codec_json_load(
			d->arena, model, "AliasConfiguration", arena_str(d->arena, value), &alias));
		weights = value_get(value_get(alias, "RoutingConfig"), "AdditionalVersionWeights");
		if (str_eq(value_str(alias, "FunctionVersion"), d->version) ||
			value_find(weights, d->version))
			names = ARENA_CONCAT(d->arena, names, names.n ? STR(", ") : STR(""),
				value_str(alias, "Name"));
	}
	*ret_names = names;
	return 0;
}

static int delete_version_txn(struct kv_txn *txn, void *arg)
{
	struct delete_ *d = arg;
	struct arena *a = d->arena;
	struct function f, latest;

	d->codes->count = 0;
	if (TRY(store_txn_load(txn, a, d->account, d->region, d->name, STR_NULL, &latest)) == 0 ||
		TRY(store_txn_load(txn, a, d->account, d->region, d->name, d->version, &f)) == 0)
		return 0;
	TRY(aliases_of(txn, d, &d->aliases));
	/* Not ERR_CONFLICT, which would be tried again until the deadline. */
	if (d->aliases.n)
		return ERR_LOCKED;
	TRY(store_txn_free_provisioned(txn, a, &latest, d->version));
	store_codes_add_all(d->codes, &f);
	use_code(txn, a, &f, false);
	TRY(store_txn_drop_parts(txn, a, &f, d->version));
	kv_txn_delete_covered(
		txn, store_version_key(a, d->account, d->region, d->name, d->version));
	return 1;
}

int store_delete_version(struct lambda_service *s, const struct function *v, int64_t deadline,
	struct store_codes *codes, str *ret_aliases)
{
	struct delete_ d = {codes->arena, v->account, v->region, v->name, v->version,
		.codes = codes, .aliases = STR("")};
	int rc;

	d.key = store_function_key(d.arena, v->account, v->region, v->name);
	d.reserved_key = store_reserved_key(d.arena, v->account, v->region);
	rc = kv_run(s->kv, (str[]){d.key, d.reserved_key}, 2, delete_version_txn, &d, deadline);
	*ret_aliases = d.aliases;
	return rc;
}

int store_code_used(struct lambda_service *s, str hex)
{
	struct arena a cleanup(arena_done_p) = {0};
	struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
	struct kv_range range = {.limit = 1};
	str key, value;

	arena_init(&a, SIZE_MAX);
	range.from = code_key(&a, hex, STR_NULL, STR_NULL, STR_NULL);
	range.to = keyspace_prefix_end(&a, range.from);
	TRY(kv_scan_open(s->kv, &range, &scan));
	return kv_scan_next(scan, &key, &value);
}

/* ---- lists ---- */

/* A record found by a scan: its key names account, region and name, and perhaps a version. */
static int decode_entry(struct arena *a, str key, str value, struct function *ret_function)
{
	str account, region, name, rest = str_from(key, 1);

	if (!keyspace_take(a, &rest, &account) || !keyspace_take(a, &rest, &region) ||
		!keyspace_take(a, &rest, &name) || (rest.n && rest.n != sizeof(uint64_t)))
		return ERR_CORRUPT;
	return function_decode(
		a, arena_str(a, account), arena_str(a, region), arena_str(a, value), ret_function);
}

/* Does the key name a version? The area's keys end behind the name, or 8 bytes later. */
static bool is_version_key(struct arena *a, str key)
{
	str part, rest = str_from(key, 1);

	return keyspace_take(a, &rest, &part) && keyspace_take(a, &rest, &part) &&
	       keyspace_take(a, &rest, &part) && rest.n > 0;
}

static int list(struct lambda_service *s, struct arena *a, const struct kv_range *range,
	bool latest, bool versions, unsigned max, struct function *ret_functions, bool *ret_more)
{
	struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
	unsigned n = 0;
	str key, value;

	*ret_more = false;
	TRY(kv_scan_open(s->kv, range, &scan));
	while (TRY(kv_scan_next(scan, &key, &value))) {
		if (!(is_version_key(a, key) ? versions : latest))
			continue;
		if (n == max) {
			*ret_more = true;
			break;
		}
		TRY(decode_entry(a, arena_str(a, key), value, &ret_functions[n++]));
	}
	return (int)n;
}

int store_list(struct lambda_service *s, struct arena *a, str account, str region,
	struct store_position after, bool versions, unsigned max, struct function *ret_functions,
	bool *ret_more)
{
	struct kv_range range = {.limit = 0};
	struct buf prefix;

	buf_init(&prefix, a, KEYSPACE_KEY_MAX);
	keyspace_begin(&prefix, KEYSPACE_LAMBDA_FUNCTIONS, account, region);
	range.from = finish(&prefix);
	range.to = keyspace_prefix_end(a, range.from);
	if (after.name.n && after.version.p)
		range.from = ARENA_CONCAT(a,
			store_version_key(a, account, region, after.name, after.version),
			str_of("", 1));
	else if (after.name.n)
		range.from =
			keyspace_prefix_end(a, store_function_key(a, account, region, after.name));
	return list(s, a, &range, true, versions, max, ret_functions, ret_more);
}

int store_list_versions(struct lambda_service *s, struct arena *a, const struct function *f,
	uint64_t after, unsigned max, struct function *ret_versions, bool *ret_more)
{
	struct kv_range range = {.limit = max + 1};
	str prefix = store_function_key(a, f->account, f->region, f->name);

	range.from = store_version_key(a, f->account, f->region, f->name,
		arena_printf(a, "%llu", (unsigned long long)after + 1));
	range.to = keyspace_prefix_end(a, prefix);
	return list(s, a, &range, false, true, max, ret_versions, ret_more);
}

int store_each(struct lambda_service *s, int (*fn)(void *arg, const struct function *f), void *arg)
{
	struct arena a cleanup(arena_done_p) = {0};
	struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
	struct kv_range range = {.limit = 0};
	struct function f;
	str key, value;

	arena_init(&a, SIZE_MAX);
	range.from = str_of(&(char){KEYSPACE_LAMBDA_FUNCTIONS}, 1);
	range.to = keyspace_prefix_end(&a, range.from);
	TRY(kv_scan_open(s->kv, &range, &scan));
	while (TRY(kv_scan_next(scan, &key, &value))) {
		struct arena entry cleanup(arena_done_p) = {0};

		arena_init(&entry, SIZE_MAX);
		TRY(decode_entry(&entry, arena_str(&entry, key), value, &f));
		TRY(fn(arg, &f));
	}
	return 0;
}
