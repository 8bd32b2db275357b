/*
 * What the files of iam share: the service object, faults, limits, and the steps that most
 * operations are made of (ops.c, documents.c, tags.c, ids.c).
 */
#ifndef SERVICES_IAM_INTERNAL_H
#define SERVICES_IAM_INTERNAL_H

#include "aws/policy.h"
#include "aws/ports/identity.h"
#include "base/check.h"
#include "base/hash.h"
#include "services/iam/iam.h"
#include "services/iam/store.h"

#include <stdatomic.h>

#define IAM_MAGIC 0x69616d31u

enum iam_fault {
#define FAULT(id, ...) IAM_##id,
#include "services/iam/faults.def"
#undef FAULT
};
extern const struct fault_kind iam_faults[];

enum iam_limit {
#define LIMIT(id, name, value) IAM_MAX_##id = value,
#include "services/iam/limits.def"
#undef LIMIT
};

/* Runs of an operation whose declared keys turned out to be the wrong ones. */
enum { IAM_STALE_RETRIES = 5 };

struct iam_cache;

struct iam {
	uint32_t magic;
	struct rt *rt;
	struct kv *kv; /* NULL until the start */
	struct iam_options options;
	unsigned slot;               /* of each loop's cache; without rt: */
	struct iam_cache *cache;     /* the one */
	_Atomic uint64_t generation; /* raised by every change of what a key may do */
	struct hmac_key id_mac;
	struct port_identity port;
	struct service service;
};

/* ---- identifiers (ids.c) ---- */

/* AROA, AIDA, ANPA and 17 characters. */
str iam_id_new(struct arena *a, str prefix);
/*
 * AKIA or ASIA and 16 characters: 56 random bits and 24 of a MAC over them, so that a key that was
 * issued here and is gone is told from one that never was, without keeping it.
 */
str iam_access_key_id_new(const struct iam *iam, struct arena *a, str prefix);
enum { IAM_ACCESS_KEY_CHARS = 20 };
bool iam_access_key_issued(const struct iam *iam, str id);
/* 40 characters of base64. */
str iam_secret_new(struct arena *a);
/* An opaque session token. */
str iam_token_new(struct arena *a);

/* ---- ARNs (ids.c) ---- */

/* arn:aws:iam::<account>:role/path/name, also of users and (own) policies; root has no name. */
str iam_arn(struct arena *a, str account, enum iam_kind kind, str path, str name);
/* Takes apart arn:aws:iam::<account>:<kind>/path/name; false: it is not one. */
bool iam_arn_split(str arn, enum iam_kind kind, str *ret_account, str *ret_path, str *ret_name);

/* ---- managed policies of AWS (managed.c) ---- */

struct iam_managed {
	str name, path, version, document;
	int64_t created_ms, updated_ms;
};
extern const struct iam_managed iam_managed[];
extern const size_t iam_managed_count;
/* By name and path; NULL: there is none. */
const struct iam_managed *iam_managed_find(str path, str name);
int64_t iam_managed_version(const struct iam_managed *m);
/* A PolicyId of the right form, the same at any time. */
str iam_managed_id(struct arena *a, const struct iam_managed *m);

/* A managed policy named by an ARN. */
struct iam_policy_ref {
	str arn, name, path;
	str key;                       /* for store.h */
	const struct iam_managed *aws; /* NULL: the account's own */
};
/* 1; 0: no such policy can exist in this account; it says nothing about own ones' existence. */
int iam_policy_ref(struct arena *a, str account, str arn, struct iam_policy_ref *ret);

/* The document of the policy's default version: 1, 0 (the policy does not exist), or an error. */
must_use int iam_policy_document(const struct iam_reader *from, struct arena *a, str account,
	const struct iam_policy_ref *ref, str *ret_document) mayyield;

/* ---- documents (documents.c) ---- */

/* 0, or ERR_FAULT: MalformedPolicyDocument. */
must_use int iam_document_check(struct call *c, str text, enum policy_kind kind);
/* Its size as quotas count it: characters without white space. */
int64_t iam_document_chars(str text);
/* Puts a document into an answer: percent-encoded, as IAM does. */
void iam_document_put(struct call *c, struct value *v, const char *member, str text);

/* ---- tags (tags.c) ---- */

/*
 * Lays the request's Tags (absent: none) over *tags, in the arena. ERR_FAULT: InvalidInput (twice
 * the same key, a reserved one), LimitExceeded.
 */
must_use int iam_tags_merge(struct call *c, struct iam_pairs *tags);
void iam_tags_put(struct value *v, const char *member, const struct iam_pairs *tags);

/* ---- steps of operations (ops.c) ---- */

static inline struct iam *iam_self(struct call *c)
{
	return check_object(c->self, struct iam, IAM_MAGIC);
}
static inline struct iam_reader iam_reader_of(struct iam *iam, struct kv_txn *txn)
{
	return (struct iam_reader){.kv = iam->kv, .txn = txn};
}
static inline int64_t iam_now_s(const struct call *c)
{
	return c->wall_ms / 1000 * 1000;
}

/*
 * Runs a transaction that writes below `keys`, and makes what loops keep in memory stale. Result as
 * of kv_run(); a conflict that does not end becomes ConcurrentModification.
 */
must_use int iam_write(
	struct call *c, const str *keys, size_t n, kv_txn_fn *fn, void *arg) mayyield;

/* "Role", "User", "Policy": the word in member names and quotas. */
const char *iam_kind_title(enum iam_kind kind);
/* NoSuchEntity, "The role with name x cannot be found." */
int iam_fault_entity(struct call *c, enum iam_kind kind, str name);
int iam_fault_limit(struct call *c, const char *quota, int64_t max);
int iam_fault_policy_missing(struct call *c, str arn);
int iam_fault_boundary_missing(struct call *c, str arn);
/* The entity that the request names: RoleName, or UserName (absent: the calling user, or root). */
must_use int iam_entity_named(
	struct call *c, enum iam_kind kind, enum iam_kind *ret_kind, str *ret_name);
/* Loads it, or the fault. `txn` may be NULL. */
must_use int iam_entity_get(struct call *c, struct kv_txn *txn, enum iam_kind kind, str name,
	struct iam_entity *ret) mayyield;
void iam_entity_put(
	struct call *c, struct kv_txn *txn, enum iam_kind kind, const struct iam_entity *e);
/* A policy's record: own ones must exist (fault); for AWS's it is made up when nobody uses it. */
must_use int iam_policy_get(struct call *c, struct kv_txn *txn, const struct iam_policy_ref *ref,
	struct iam_policy *ret) mayyield;
void iam_policy_put(struct call *c, struct kv_txn *txn, const struct iam_policy_ref *ref,
	const struct iam_policy *p);
/* Adds to the number of entities of a kind in the account, whose key is declared. */
must_use int iam_count_add(struct call *c, struct kv_txn *txn, enum iam_kind kind, int delta,
	int64_t max, const char *quota) mayyield;
/* Uses of a policy as boundary: +1 or -1, with the entry of who. Both keys are declared. */
must_use int iam_boundary_use(struct call *c, struct kv_txn *txn, enum iam_kind kind,
	const struct iam_entity *e, const struct iam_policy_ref *ref, int delta) mayyield;

/*
 * A page of a list: Marker and MaxItems of the request, IsTruncated and Marker of the answer.
 *
 *     TRY(iam_page_open(c, prefix, &page));
 *     while ((rc = TRY(iam_page_next(&page, &entry))) > 0)
 *             if (wanted && !iam_page_take(&page)) break; else put it
 *     iam_page_close(&page);
 */
struct iam_page {
	struct call *c;
	str prefix, marker;
	str at;   /* key of the entry at hand, behind the prefix, in the arena */
	str last; /* of the last one taken */
	int64_t max, count;
	bool truncated;
	struct kv_scan *scan;
};
/* Reads Marker and MaxItems only; iam_page_scan() begins behind the marker. */
must_use int iam_page_open(struct call *c, struct iam_page *ret);
must_use int iam_page_scan(struct iam_page *page, str prefix) mayyield;
/* 1 and the next entry, decoded; 0 at the end. */
must_use int iam_page_next(
	struct iam_page *page, const struct record_type *type, void *ret_record) mayyield;
/* Counts the entry at hand: false when the page was full already. */
bool iam_page_take(struct iam_page *page);
/* Puts IsTruncated and Marker, ends the scan. */
void iam_page_close(struct iam_page *page);
void iam_page_done_p(struct iam_page *page);

/* ---- operations, by file ---- */

#define OPERATION(name) int iam_##name(struct call *c) mayyield
/* roles.c */
OPERATION(create_role);
OPERATION(get_role);
OPERATION(list_roles);
OPERATION(delete_role);
OPERATION(update_role);
OPERATION(update_role_description);
OPERATION(update_assume_role_policy);
OPERATION(list_instance_profiles_for_role);
/* users.c */
OPERATION(create_user);
OPERATION(get_user);
OPERATION(list_users);
OPERATION(delete_user);
OPERATION(list_groups_for_user);
/* access_keys.c */
OPERATION(create_access_key);
OPERATION(list_access_keys);
OPERATION(update_access_key);
OPERATION(delete_access_key);
/* policies.c */
OPERATION(create_policy);
OPERATION(get_policy);
OPERATION(list_policies);
OPERATION(delete_policy);
OPERATION(create_policy_version);
OPERATION(get_policy_version);
OPERATION(list_policy_versions);
OPERATION(delete_policy_version);
OPERATION(set_default_policy_version);
OPERATION(list_entities_for_policy);
/* parts.c: inline policies, attachments, boundaries */
OPERATION(put_role_policy);
OPERATION(get_role_policy);
OPERATION(list_role_policies);
OPERATION(delete_role_policy);
OPERATION(put_user_policy);
OPERATION(get_user_policy);
OPERATION(list_user_policies);
OPERATION(delete_user_policy);
OPERATION(attach_role_policy);
OPERATION(detach_role_policy);
OPERATION(list_attached_role_policies);
OPERATION(attach_user_policy);
OPERATION(detach_user_policy);
OPERATION(list_attached_user_policies);
OPERATION(put_role_boundary);
OPERATION(delete_role_boundary);
OPERATION(put_user_boundary);
OPERATION(delete_user_boundary);
/* tags.c */
OPERATION(tag_role);
OPERATION(untag_role);
OPERATION(list_role_tags);
OPERATION(tag_user);
OPERATION(untag_user);
OPERATION(list_user_tags);
OPERATION(tag_policy);
OPERATION(untag_policy);
OPERATION(list_policy_tags);
#undef OPERATION

/* Deletes a role or user whose parts are gone, with its count and the use of its boundary. */
must_use int iam_entity_delete(struct call *c, enum iam_kind kind, str name) mayyield;
/* Stores a new one with its count and the use of its boundary (e->boundary names it). */
must_use int iam_entity_create(struct call *c, enum iam_kind kind, struct iam_entity *e) mayyield;

/* ---- the identity port (identity.c, cache.c, sessions.c) ---- */

void iam_identity_register(struct iam *iam, struct ports *ports);
void iam_cache_free(void *cache);
int64_t iam_wall_ms(const struct iam *iam);

#endif
