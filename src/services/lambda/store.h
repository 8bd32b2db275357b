/*
 * Records of lambda in the key-value store: keys, functions and versions, and the parts that belong
 * to a function.
 *
 *     LAMBDA_FUNCTIONS account region name            the function, its $LATEST (function.h)
 *     LAMBDA_FUNCTIONS account region name number     a published version, the same form
 *     LAMBDA_META "part" account region name kind qualifier    aliases, policies, URLs ...
 *     LAMBDA_META "code" hex account region owner     empty: who uses which code
 *     LAMBDA_META "reserved" account region           sums of concurrency, decimal: see store_sums
 *     LAMBDA_META "url" id                            account, region, name, qualifier of a URL
 *
 * All that belongs to a function is written under the key of its $LATEST (declared), which so
 * serialises the changes of one function; the others are covered by it. The sums are declared
 * as well.
 *
 * Functions here suspend where they take a service. Private to services/lambda.
 */
#ifndef SERVICES_LAMBDA_STORE_H
#define SERVICES_LAMBDA_STORE_H

#include "kv/kv.h"
#include "services/lambda/function.h"

struct lambda_service;

/* Kinds of parts; an alias's qualifier is its name, a policy's of the whole function is empty. */
#define PART_ALIAS        "alias"
#define PART_POLICY       "policy"
#define PART_EVENT_INVOKE "event-invoke"
#define PART_PROVISIONED  "provisioned"
#define PART_URL          "url"

/* ---- keys ---- */

/* The key of a function's record ($LATEST). */
str store_function_key(struct arena *a, str account, str region, str name);
/* The same, or that of a version; `version` is $LATEST (or STR_NULL) or digits. */
str store_version_key(struct arena *a, str account, str region, str name, str version);
str store_part_key(
	struct arena *a, str account, str region, str name, const char *kind, str qualifier);
str store_reserved_key(struct arena *a, str account, str region);
str store_url_key(struct arena *a, str id);
/* "code" records of an owner: "function:name:version", "layer:name:version". */
void store_code_use(struct kv_txn *txn, struct arena *a, str hex, str account, str region,
	str owner, bool used);

/* ---- functions and versions ---- */

/* 1 and the function (in the arena), 0. *ret_record (may be NULL): its record's bytes. */
must_use int lambda_store_load(struct lambda_service *s, struct arena *a, str account, str region,
	str name, str version, struct function *ret_function, str *ret_record) mayyield;
/* In a transaction that has the function's key: the same. */
must_use int store_txn_load(struct kv_txn *txn, struct arena *a, str account, str region, str name,
	str version, struct function *ret_function) mayyield;
/* In a transaction that has the function's key: writes a version that is there. */
void store_txn_put_version(struct kv_txn *txn, struct arena *a, const struct function *v);
/*
 * The version that a qualifier names: itself, that of an alias, $LATEST for STR_NULL. With `choose`
 * an alias with weights gives its second version as often as they say. 1, or 0: no such alias
 * (versions are not looked up).
 */
must_use int store_resolve(struct lambda_service *s, struct arena *a, str account, str region,
	str name, str qualifier, bool choose, str *ret_version) mayyield;
/* Is the qualifier (not STR_NULL) a version or alias of the function? In its transaction. */
must_use int store_txn_has_qualifier(
	struct kv_txn *txn, struct arena *a, const struct function *f, str qualifier) mayyield;
/*
 * Writes a function that must not exist: ERR_EXISTS. `publish`: with its first version, which is
 * what *f becomes.
 */
must_use int lambda_store_create(struct lambda_service *s, struct arena *a, struct function *f,
	bool publish, int64_t deadline) mayyield;

struct store_change {
	str account, region, name;
	/*
	 * Gets the function as stored (in an arena of the attempt) and returns > 0 to have it
	 * written with a new revision id, 0 to leave the record as it is, < 0 to end (that is the
	 * result). It may run several times.
	 */
	int (*change)(void *arg, struct kv_txn *txn, struct arena *a, struct function *f);
	void *arg;
	str also;   /* a key that `change` writes beside; STR_NULL: none */
	bool touch; /* sets the time of modification */
	/* Afterwards what there is becomes a version, unless it is the last one already. */
	bool publish;
	str description; /* of the version; STR_NULL: the function's */
	int64_t deadline;
};
/* ERR_NOT_FOUND. *ret_function: $LATEST, or with `publish` the version; in the arena. */
must_use int lambda_store_change(struct lambda_service *s, struct arena *a,
	const struct store_change *change, struct function *ret_function) mayyield;

/* Hex names of code that was let go; whoever let it go calls code_release() with each. */
struct store_codes {
	struct arena *arena;
	str *hex;
	size_t count, capacity;
};
void store_codes_add(struct store_codes *codes, str hex);
/* All that a function uses, its layers too. */
void store_codes_add_all(struct store_codes *codes, const struct function *f);
/* Removes a function and all that belongs to it: 1, or 0 when there is none. */
must_use int store_delete(struct lambda_service *s, str account, str region, str name,
	int64_t deadline, struct store_codes *codes) mayyield;
/*
 * Removes a version and its parts: 1, or 0 when there is none; ERR_LOCKED and *ret_aliases (names
 * with ", " between) when aliases point to it.
 */
must_use int store_delete_version(struct lambda_service *s, const struct function *version,
	int64_t deadline, struct store_codes *codes, str *ret_aliases) mayyield;
/* Does anything use this code? 1, 0. */
must_use int store_code_used(struct lambda_service *s, str hex) mayyield;

struct store_position {
	str name;    /* empty: from the first */
	str version; /* STR_NULL: behind all of the function's versions */
};
/*
 * Functions behind a position, in order, at most `max`; with `versions` the published ones too,
 * each behind its function.
 */
must_use int store_list(struct lambda_service *s, struct arena *a, str account, str region,
	struct store_position after, bool versions, unsigned max, struct function *ret_functions,
	bool *ret_more) mayyield;
/* Versions of one function behind a number (0: from the first), in order. */
must_use int store_list_versions(struct lambda_service *s, struct arena *a,
	const struct function *f, uint64_t after, unsigned max, struct function *ret_versions,
	bool *ret_more) mayyield;
/* Every function and version of the store, one after another, until `fn` returns < 0. */
must_use int store_each(struct lambda_service *s, int (*fn)(void *arg, const struct function *f),
	void *arg) mayyield;

/* ---- parts ---- */

/* 1 and its text, 0. */
must_use int store_part(struct lambda_service *s, struct arena *a, const struct function *f,
	const char *kind, str qualifier, str *ret_text) mayyield;

struct store_entry {
	str qualifier, text;
};
/* Parts of a kind behind a qualifier (STR_NULL: from the first), at most `max`. */
must_use int store_parts(struct lambda_service *s, struct arena *a, const struct function *f,
	const char *kind, str after, unsigned max, struct store_entry *ret_entries,
	bool *ret_more) mayyield;

struct store_part_change {
	const struct function *function;
	const char *kind;
	str qualifier;
	/*
	 * Sees the function as it is now and what is stored (STR_NULL: nothing). >= 0: the result,
	 * and *text is what will be stored (STR_NULL: nothing), < 0: nothing is changed.
	 */
	int (*change)(void *arg, struct kv_txn *txn, struct arena *a, const struct function *f,
		str *text);
	void *arg;
	str also; /* a key that `change` writes beside; STR_NULL: none */
	int64_t deadline;
};
/* ERR_NOT_FOUND: the function is gone. */
must_use int store_part_change(
	struct lambda_service *s, struct arena *a, const struct store_part_change *change) mayyield;
/* In a transaction of the function: removes all parts that a qualifier has. */
must_use int store_txn_drop_parts(
	struct kv_txn *txn, struct arena *a, const struct function *f, str qualifier) mayyield;

/* In a transaction: 1 and its text, 0. */
must_use int store_txn_part(struct kv_txn *txn, struct arena *a, const struct function *f,
	const char *kind, str qualifier, str *ret_text) mayyield;
/* Every part of a kind, until `fn` returns < 0. */
must_use int store_txn_each_part(struct kv_txn *txn, struct arena *a, const struct function *f,
	const char *kind, int (*fn)(void *arg, str qualifier, str text), void *arg) mayyield;

/* ---- concurrency that is set apart ---- */

/* Of an account in a region. */
struct store_sums {
	uint64_t reserved;    /* by functions */
	uint64_t provisioned; /* for versions and aliases of functions that have none reserved */
};
/* The text of their record; empty: none. */
must_use int store_sums_parse(str text, struct store_sums *ret_sums);
/* In a transaction that has declared store_reserved_key(). */
must_use int store_txn_sums(struct kv_txn *txn, struct arena *a, str account, str region,
	struct store_sums *ret) mayyield;
void store_txn_put_sums(struct kv_txn *txn, struct arena *a, str account, str region,
	const struct store_sums *sums);
/* What is provisioned for a qualifier of the function; STR_NULL: for all of them together. */
must_use int store_txn_provisioned(struct kv_txn *txn, struct arena *a, const struct function *f,
	str qualifier, uint64_t *ret_count) mayyield;
/* The same goes away: out of the sums. `f` is the function itself, not a version. */
must_use int store_txn_free_provisioned(
	struct kv_txn *txn, struct arena *a, const struct function *f, str qualifier) mayyield;

/* Fresh UUID text in the arena. */
str lambda_uuid(struct arena *a);

#endif
