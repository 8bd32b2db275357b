/*
 * What IAM keeps in the store, and under which keys.
 *
 *     [IAM][account][""] "role" name            a role; "user" name, "root" "": the same structure
 *                        "inline-role" name policy-name        its inline policies
 *                        "attached-role" name policy-key       its managed policies
 *                        "keys-user" name key-id               its access keys (owner only)
 *                        "policy" policy-key                   a managed policy, AWS's ones too
 *                                                              (those only to count their uses)
 *                        "version" policy-key number           a version's document
 *                        "use" policy-key use kind name        who uses a policy
 *                        "count" kind                          entities of that kind
 *     [IAM][""][""] "id-secret"                 what access key ids are marked with
 *     [IAM_KEYS] key-id                         an access key
 *     [STS_SESSIONS] "key" key-id               temporary credentials
 *     [STS_SESSIONS] "end" time key-id          the same by their end, for the sweep
 *
 * Names in keys are in lower case, because names are unique without regard to case; the record has
 * the name as given. Inline policies' names are taken as they are. A policy-key is "aws/" or "own/"
 * and the policy's name. Everything below an entity or policy is written only in a transaction that
 * declared that entity's or policy's key ("covered" writes); what spans both declares both.
 */
#ifndef SERVICES_IAM_STORE_H
#define SERVICES_IAM_STORE_H

#include "aws/keyspace.h"
#include "kv/kv.h"
#include "services/iam/record.h"

enum iam_kind { IAM_ROLE, IAM_USER, IAM_ROOT, IAM_POLICY };

/* A role, a user, or the account's root. */
struct iam_entity {
	str name, path, id;
	int64_t created_ms;
	str boundary; /* ARN of a managed policy, or empty */
	struct iam_pairs tags;
	int64_t inline_count, inline_chars, attached_count, key_count;
	/* roles */
	str trust, description;
	int64_t session_seconds_max;
};

struct iam_policy {
	str name, path, id, description;
	int64_t created_ms, updated_ms;
	int64_t version_default, version_last, version_count;
	int64_t attached_count, boundary_count;
	struct iam_pairs tags;
};

struct iam_version {
	int64_t number, created_ms;
	str document;
};

struct iam_inline {
	str name, document;
	int64_t chars; /* counted against the quota */
};

/* An attached policy, seen from the entity; a user of a policy, seen from there. */
struct iam_link {
	str name, arn, id, path;
	int64_t created_ms;
};

struct iam_access_key {
	str id, account, user; /* user empty: root's */
	str secret;
	int64_t created_ms, inactive;
};

struct iam_session {
	str id, secret, token, account;
	str name;             /* of the session; empty for one of a user or root */
	str role, role_id;    /* of a role */
	str user, user_id;    /* of a user; neither: of root */
	str policy;           /* inline session policy */
	struct iam_strs arns; /* managed session policies */
	int64_t created_ms, expires_ms;
};

extern const struct record_type iam_entity_record, iam_policy_record, iam_version_record,
	iam_inline_record, iam_link_record, iam_access_key_record, iam_session_record;

/* "role", "user", "root", "policy" */
str iam_kind_word(enum iam_kind kind);
/* ASCII lower case, in the arena unless nothing changes. */
str iam_lower(struct arena *a, str s);

/* ---- keys, in the arena ---- */

str iam_key_entity(struct arena *a, str account, enum iam_kind kind, str name);
/* Prefixes: everything of that sort. */
str iam_key_entities(struct arena *a, str account, enum iam_kind kind);
/* Below an entity: `what` is "inline", "attached" or "keys"; `part` STR_NULL: the prefix. */
str iam_key_part(
	struct arena *a, str account, const char *what, enum iam_kind kind, str name, str part);
str iam_key_policy(struct arena *a, str account, str policy_key);
/* number < 0: the prefix of all versions. */
str iam_key_version(struct arena *a, str account, str policy_key, int64_t number);

enum iam_use { IAM_USE_ATTACHED = 'a', IAM_USE_BOUNDARY = 'b' };
str iam_key_use(struct arena *a, str account, str policy_key, enum iam_use use, enum iam_kind kind,
	str name);
str iam_key_uses(struct arena *a, str account, str policy_key);
str iam_key_count(struct arena *a, str account, enum iam_kind kind);
str iam_key_id_secret(struct arena *a);
str iam_key_access_key(struct arena *a, str id);
str iam_key_session(struct arena *a, str id);
str iam_key_session_end(struct arena *a, int64_t expires_ms, str id);
/* The prefix of all of these. */
str iam_key_session_ends(struct arena *a);

/* ---- reading, in a transaction, a snapshot, or alone ---- */

struct iam_reader {
	struct kv *kv;
	struct kv_txn *txn;           /* or */
	struct kv_snapshot *snapshot; /* or neither */
};

/* 1 and the record, 0, or an error. */
must_use int iam_load(const struct iam_reader *from, struct arena *a, str key,
	const struct record_type *type, void *ret_record) mayyield;
must_use int iam_scan(const struct iam_reader *from, const struct kv_range *range,
	struct kv_scan **ret_scan) mayyield;

#endif
