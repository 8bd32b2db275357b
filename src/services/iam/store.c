/*
 * Tables of the stored structures, and their keys (store.h). Pure but for iam_load() and
 * iam_scan(), which read.
 */
#include "services/iam/store.h"

#include "base/check.h"

#define FIELD(tag, kind, type, member)                      \
	{                                                   \
		tag, RECORD_##kind, offsetof(type, member), \
	}
#define RECORD(name, number, structure, table)           \
	const struct record_type name = {.type = number, \
		.field_count = ARRAY_SIZE(table),        \
		.size = sizeof(structure),               \
		.fields = table};                        \
	_Static_assert(ARRAY_SIZE(table) <= RECORD_FIELDS_MAX, "too many fields")

static const struct record_field entity_fields[] = {
	FIELD(1, STR, struct iam_entity, name),
	FIELD(2, STR, struct iam_entity, path),
	FIELD(3, STR, struct iam_entity, id),
	FIELD(4, INT, struct iam_entity, created_ms),
	FIELD(5, STR, struct iam_entity, boundary),
	FIELD(6, PAIRS, struct iam_entity, tags),
	FIELD(7, INT, struct iam_entity, inline_count),
	FIELD(8, INT, struct iam_entity, inline_chars),
	FIELD(9, INT, struct iam_entity, attached_count),
	FIELD(10, INT, struct iam_entity, key_count),
	FIELD(11, STR, struct iam_entity, trust),
	FIELD(12, STR, struct iam_entity, description),
	FIELD(13, INT, struct iam_entity, session_seconds_max),
};
RECORD(iam_entity_record, 1, struct iam_entity, entity_fields);

static const struct record_field policy_fields[] = {
	FIELD(1, STR, struct iam_policy, name),
	FIELD(2, STR, struct iam_policy, path),
	FIELD(3, STR, struct iam_policy, id),
	FIELD(4, STR, struct iam_policy, description),
	FIELD(5, INT, struct iam_policy, created_ms),
	FIELD(6, INT, struct iam_policy, updated_ms),
	FIELD(7, INT, struct iam_policy, version_default),
	FIELD(8, INT, struct iam_policy, version_last),
	FIELD(9, INT, struct iam_policy, version_count),
	FIELD(10, INT, struct iam_policy, attached_count),
	FIELD(11, INT, struct iam_policy, boundary_count),
	FIELD(12, PAIRS, struct iam_policy, tags),
};
RECORD(iam_policy_record, 2, struct iam_policy, policy_fields);

static const struct record_field version_fields[] = {
	FIELD(1, INT, struct iam_version, number),
	FIELD(2, INT, struct iam_version, created_ms),
	FIELD(3, STR, struct iam_version, document),
};
RECORD(iam_version_record, 3, struct iam_version, version_fields);

static const struct record_field inline_fields[] = {
	FIELD(1, STR, struct iam_inline, name),
	FIELD(2, STR, struct iam_inline, document),
	FIELD(3, INT, struct iam_inline, chars),
};
RECORD(iam_inline_record, 4, struct iam_inline, inline_fields);

static const struct record_field link_fields[] = {
	FIELD(1, STR, struct iam_link, name),
	FIELD(2, STR, struct iam_link, arn),
	FIELD(3, STR, struct iam_link, id),
	FIELD(4, STR, struct iam_link, path),
	FIELD(5, INT, struct iam_link, created_ms),
};
RECORD(iam_link_record, 5, struct iam_link, link_fields);

static const struct record_field access_key_fields[] = {
	FIELD(1, STR, struct iam_access_key, id),
	FIELD(2, STR, struct iam_access_key, account),
	FIELD(3, STR, struct iam_access_key, user),
	FIELD(4, STR, struct iam_access_key, secret),
	FIELD(5, INT, struct iam_access_key, created_ms),
	FIELD(6, INT, struct iam_access_key, inactive),
};
RECORD(iam_access_key_record, 6, struct iam_access_key, access_key_fields);

static const struct record_field session_fields[] = {
	FIELD(1, STR, struct iam_session, id),
	FIELD(2, STR, struct iam_session, secret),
	FIELD(3, STR, struct iam_session, token),
	FIELD(4, STR, struct iam_session, account),
	FIELD(5, STR, struct iam_session, name),
	FIELD(6, STR, struct iam_session, role),
	FIELD(7, STR, struct iam_session, role_id),
	FIELD(8, STR, struct iam_session, user),
	FIELD(9, STR, struct iam_session, user_id),
	FIELD(10, STR, struct iam_session, policy),
	FIELD(11, STRS, struct iam_session, arns),
	FIELD(12, INT, struct iam_session, created_ms),
	FIELD(13, INT, struct iam_session, expires_ms),
};
RECORD(iam_session_record, 7, struct iam_session, session_fields);

str iam_kind_word(enum iam_kind kind)
{
	switch (kind) {
	case IAM_ROLE: return STR("role");
	case IAM_USER: return STR("user");
	case IAM_ROOT: return STR("root");
	case IAM_POLICY: return STR("policy");
	}
	check_unreachable();
}

str iam_lower(struct arena *a, str s)
{
	char *to = NULL;

	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < 'A' || s.p[i] > 'Z')
			continue;
		if (!to) {
			to = arena_bytes(a, s.n);
			memcpy(to, s.p, s.n);
		}
		to[i] = (char)(s.p[i] - 'A' + 'a');
	}
	return to ? str_of(to, s.n) : s;
}

static void key_begin(struct buf *key, struct arena *a, str account)
{
	buf_init(key, a, KEYSPACE_KEY_MAX);
	keyspace_begin(key, KEYSPACE_IAM, account, STR(""));
}

static str key_end(const struct buf *key)
{
	check(!key->over);
	return buf_str(key);
}

str iam_key_entities(struct arena *a, str account, enum iam_kind kind)
{
	struct buf key;

	key_begin(&key, a, account);
	keyspace_put(&key, iam_kind_word(kind));
	return key_end(&key);
}

str iam_key_entity(struct arena *a, str account, enum iam_kind kind, str name)
{
	struct buf key;

	key_begin(&key, a, account);
	keyspace_put(&key, iam_kind_word(kind));
	keyspace_put(&key, iam_lower(a, name));
	return key_end(&key);
}

str iam_key_part(
	struct arena *a, str account, const char *what, enum iam_kind kind, str name, str part)
{
	struct buf key;

	key_begin(&key, a, account);
	keyspace_put(&key, ARENA_CONCAT(a, str_c(what), STR("-"), iam_kind_word(kind)));
	keyspace_put(&key, iam_lower(a, name));
	if (part.p)
		keyspace_put(&key, part);
	return key_end(&key);
}

str iam_key_policy(struct arena *a, str account, str policy_key)
{
	return iam_key_entity(a, account, IAM_POLICY, policy_key);
}

str iam_key_version(struct arena *a, str account, str policy_key, int64_t number)
{
	struct buf key;

	key_begin(&key, a, account);
	keyspace_put(&key, STR("version"));
	keyspace_put(&key, iam_lower(a, policy_key));
	if (number >= 0)
		buf_put_be64(&key, (uint64_t)number);
	return key_end(&key);
}

str iam_key_uses(struct arena *a, str account, str policy_key)
{
	struct buf key;

	key_begin(&key, a, account);
	keyspace_put(&key, STR("use"));
	keyspace_put(&key, iam_lower(a, policy_key));
	return key_end(&key);
}

str iam_key_use(struct arena *a, str account, str policy_key, enum iam_use use, enum iam_kind kind,
	str name)
{
	struct buf key;

	buf_init(&key, a, KEYSPACE_KEY_MAX);
	buf_put(&key, iam_key_uses(a, account, policy_key));
	buf_put_char(&key, (char)use);
	keyspace_put(&key, iam_kind_word(kind));
	keyspace_put(&key, iam_lower(a, name));
	return key_end(&key);
}

str iam_key_count(struct arena *a, str account, enum iam_kind kind)
{
	struct buf key;

	key_begin(&key, a, account);
	keyspace_put(&key, STR("count"));
	keyspace_put(&key, iam_kind_word(kind));
	return key_end(&key);
}

str iam_key_id_secret(struct arena *a)
{
	struct buf key;

	key_begin(&key, a, STR(""));
	keyspace_put(&key, STR("id-secret"));
	return key_end(&key);
}

str iam_key_access_key(struct arena *a, str id)
{
	struct buf key;

	buf_init(&key, a, KEYSPACE_KEY_MAX);
	keyspace_area(&key, KEYSPACE_IAM_KEYS);
	keyspace_put(&key, id);
	return key_end(&key);
}

str iam_key_session(struct arena *a, str id)
{
	struct buf key;

	buf_init(&key, a, KEYSPACE_KEY_MAX);
	keyspace_area(&key, KEYSPACE_STS_SESSIONS);
	keyspace_put(&key, STR("key"));
	keyspace_put(&key, id);
	return key_end(&key);
}

str iam_key_session_ends(struct arena *a)
{
	struct buf key;

	buf_init(&key, a, KEYSPACE_KEY_MAX);
	keyspace_area(&key, KEYSPACE_STS_SESSIONS);
	keyspace_put(&key, STR("end"));
	return key_end(&key);
}

str iam_key_session_end(struct arena *a, int64_t expires_ms, str id)
{
	struct buf key;

	buf_init(&key, a, KEYSPACE_KEY_MAX);
	buf_put(&key, iam_key_session_ends(a));
	buf_put_be64(&key, (uint64_t)expires_ms);
	keyspace_put(&key, id);
	return key_end(&key);
}

int iam_load(const struct iam_reader *from, struct arena *a, str key,
	const struct record_type *type, void *ret_record)
{
	str bytes;
	int rc;

	if (from->txn)
		rc = kv_txn_get(from->txn, key, a, &bytes);
	else if (from->snapshot)
		rc = kv_snapshot_get(from->snapshot, key, a, &bytes);
	else
		rc = kv_get(from->kv, key, a, &bytes);
	if (rc <= 0)
		return rc;
	TRY(record_decode(a, type, bytes, ret_record));
	return 1;
}

int iam_scan(const struct iam_reader *from, const struct kv_range *range, struct kv_scan **ret_scan)
{
	if (from->txn)
		return kv_txn_scan(from->txn, range, ret_scan);
	if (from->snapshot)
		return kv_snapshot_scan(from->snapshot, range, ret_scan);
	return kv_scan_open(from->kv, range, ret_scan);
}
