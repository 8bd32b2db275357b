/*
 * The policies that AWS manages, from managed.def, and references to managed policies by ARN.
 */
#include "base/check.h"
#include "services/iam/internal.h"

const struct iam_managed iam_managed[] = {
#define MANAGED(name_, path_, version_, created, updated, document_) \
	{.name = STR_INIT(name_),                                    \
		.path = STR_INIT(path_),                             \
		.version = STR_INIT(version_),                       \
		.document = STR_INIT(document_),                     \
		.created_ms = created,                               \
		.updated_ms = updated},
#include "services/iam/managed.def"
#undef MANAGED
};
const size_t iam_managed_count = ARRAY_SIZE(iam_managed);

const struct iam_managed *iam_managed_find(str path, str name)
{
	size_t low = 0, high = ARRAY_SIZE(iam_managed);

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = str_cmp(iam_managed[middle].name, name);

		if (order == 0)
			return str_eq(iam_managed[middle].path, path) ? &iam_managed[middle] : NULL;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

int64_t iam_managed_version(const struct iam_managed *m)
{
	uint64_t number;

	check(str_to_u64(str_from(m->version, 1), INT32_MAX, &number) >= 0);
	return (int64_t)number;
}

str iam_managed_id(struct arena *a, const struct iam_managed *m)
{
	static const char base32[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
	uint8_t digest[SHA256_BYTES];
	char *to = arena_bytes(a, 21);

	sha256_of(m->name, digest);
	memcpy(to, "ANPA", 4);
	for (unsigned i = 0; i < 17; i++)
		to[4 + i] = base32[digest[i] & 31];
	return str_of(to, 21);
}

int iam_policy_ref(struct arena *a, str account, str arn, struct iam_policy_ref *ret)
{
	struct iam_policy_ref ref = {.arn = arn};
	str owner;

	if (!iam_arn_split(arn, IAM_POLICY, &owner, &ref.path, &ref.name))
		return 0;
	if (str_eq(owner, STR("aws"))) {
		ref.aws = iam_managed_find(ref.path, ref.name);
		if (!ref.aws)
			return 0;
	} else if (!str_eq(owner, account)) {
		return 0;
	}
	ref.key = ARENA_CONCAT(a, ref.aws ? STR("aws/") : STR("own/"), ref.name);
	*ret = ref;
	return 1;
}

int iam_policy_document(const struct iam_reader *from, struct arena *a, str account,
	const struct iam_policy_ref *ref, str *ret_document)
{
	struct iam_policy p;
	struct iam_version v;
	int rc;

	if (ref->aws) {
		*ret_document = ref->aws->document;
		return 1;
	}
	rc = TRY(iam_load(from, a, iam_key_policy(a, account, ref->key), &iam_policy_record, &p));
	if (rc == 0 || !str_eq(p.name, ref->name) || !str_eq(p.path, ref->path))
		return 0;
	rc = TRY(iam_load(from, a, iam_key_version(a, account, ref->key, p.version_default),
		&iam_version_record, &v));
	if (rc == 0)
		return ERR_CORRUPT;
	*ret_document = v.document;
	return 1;
}
