/*
 * Buckets: making, finding, listing and deleting them.
 * https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucket.html, API_HeadBucket.html,
 * API_DeleteBucket.html, API_ListBuckets.html, API_GetBucketLocation.html
 */
#include "base/hash.h"
#include "services/s3/multipart.h"
#include "services/s3/operations.h"

/* ---- CreateBucket ---- */

static bool is_region(str s)
{
	if (s.n < 3 || s.n > 32)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!((s.p[i] >= 'a' && s.p[i] <= 'z') || (s.p[i] >= '0' && s.p[i] <= '9') ||
			    s.p[i] == '-'))
			return false;
	return true;
}

/* The region that the bucket gets: of its LocationConstraint, which fits the request's. */
static int find_region(struct call *c, str *ret)
{
	const struct value *configuration = value_get(c->in, "CreateBucketConfiguration");
	str location = value_str(configuration, "LocationConstraint");
	static const char *const refused[] = {"Location", "Bucket", "Tags"};

	for (size_t i = 0; configuration && i < ARRAY_SIZE(refused); i++)
		if (value_has(configuration, refused[i]))
			return s3_fault(c, NOT_IMPLEMENTED,
				"An element you provided implies functionality that is not "
				"implemented: %s",
				refused[i]);
	if (!location.n && str_eq(c->region, STR("us-east-1"))) {
		*ret = c->region;
		return 0;
	}
	if (!location.n)
		return s3_fault(c, ILLEGAL_LOCATION,
			"The unspecified location constraint is incompatible for the region "
			"specific endpoint this request was sent to.");
	if (str_eq(location, STR("EU")))
		location = STR("eu-west-1");
	if (!is_region(location) || str_eq(location, STR("us-east-1")))
		return s3_detail(c,
			s3_fault(c, INVALID_LOCATION,
				"The specified location-constraint is not valid"),
			STR("LocationConstraint"), location);
	if (!str_eq(location, c->region) && !str_eq(c->region, STR("us-east-1")))
		return s3_fault(c, ILLEGAL_LOCATION,
			"The %.*s location constraint is incompatible for the region specific "
			"endpoint this request was sent to.",
			STR_ARG(location));
	*ret = location;
	return 0;
}

static int check_settings(struct call *c)
{
	str acl = value_str(c->in, "ACL"), ownership = value_str(c->in, "ObjectOwnership");

	if (acl.p && !str_eq(acl, STR("private")))
		return s3_fault(c, NOT_IMPLEMENTED,
			"A header you provided implies functionality that is not implemented: "
			"x-amz-acl: %.*s",
			STR_ARG(acl));
	if (ownership.p && !str_eq(ownership, STR("BucketOwnerEnforced")))
		return s3_fault(c, NOT_IMPLEMENTED,
			"A header you provided implies functionality that is not implemented: "
			"x-amz-object-ownership: %.*s",
			STR_ARG(ownership));
	if (value_bool(c->in, "ObjectLockEnabledForBucket", false))
		return s3_fault(c, NOT_IMPLEMENTED,
			"A header you provided implies functionality that is not implemented: "
			"x-amz-bucket-object-lock-enabled");
	return 0;
}

struct create {
	struct call *c;
	str name, key, owned;
	struct s3_bucket bucket;
	bool existed;
};

static int create_txn(struct kv_txn *txn, void *arg)
{
	struct create *t = arg;
	struct call *c = t->c;
	struct s3_bucket old;
	str bytes;

	t->existed = TRY(kv_txn_get(txn, t->key, c->arena, &bytes))
	> 0;
	if (t->existed) {
		TRY(s3_bucket_decode(bytes, &old));
		if (!str_eq(old.account, c->account))
			return s3_detail(c,
				s3_fault(c, BUCKET_EXISTS,
					"The requested bucket name is not available. The bucket "
					"namespace is shared by all users of the system. Please "
					"select a different name and try again."),
				STR("BucketName"), s3_bucket_of(c));
		/* "In us-east-1 ... Amazon S3 returns 200 OK": of a bucket of one's own there. */
		if (str_eq(old.region, STR("us-east-1")) && str_eq(c->region, STR("us-east-1")) &&
			str_eq(t->bucket.region, old.region))
			return 0;
		return s3_detail(c,
			s3_fault(c, BUCKET_OWNED,
				"Your previous request to create the named bucket succeeded and "
				"you already own it."),
			STR("BucketName"), s3_bucket_of(c));
	}
	kv_txn_put(txn, t->key,
		s3_bucket_encode(c->arena, record_time_next(rt_wall(), 0), &t->bucket));
	kv_txn_put(txn, t->owned, STR(""));
	return 0;
}

/* An account has a maximum of buckets. Not exact under a race, as the count has no key. */
static int check_count(struct call *c)
{
	cleanup(kv_scan_close_p) struct kv_scan *scan = NULL;
	str prefix = s3_key_owned(c->arena, c->account, STR_NULL), key, value;
	const struct kv_range range = {.from = prefix,
		.to = keyspace_prefix_end(c->arena, prefix),
		.limit = (unsigned)S3_LIMIT_BUCKETS};
	unsigned count = 0;

	TRY(kv_scan_open(s3_self(c)->kv, &range, &scan));
	while (TRY(kv_scan_next(scan, &key, &value)) > 0)
		count++;
	if (count >= S3_LIMIT_BUCKETS)
		return s3_fault(c, TOO_MANY_BUCKETS,
			"You have attempted to create more buckets than allowed: %d",
			(int)S3_LIMIT_BUCKETS);
	return 0;
}

int s3_create_bucket(struct call *c)
{
	static const char *const members[] = {"ACL", "CreateBucketConfiguration",
		"ObjectLockEnabledForBucket", "ObjectOwnership", NULL};
	struct create t = {.c = c, .name = s3_bucket_of(c)};
	str keys[2];

	TRY(s3_members_check(c, members));
	TRY(s3_document_check(c));
	if (!s3_bucket_name_valid(t.name))
		return s3_bad_bucket_name(c, t.name);
	TRY(check_settings(c));
	TRY(find_region(c, &t.bucket.region));
	TRY(check_count(c));
	t.bucket.account = c->account;
	t.bucket.created_ms = rt_wall() / RT_NS_MS;
	rt_random_bytes(&t.bucket.id, sizeof t.bucket.id);
	t.key = keys[0] = s3_key_bucket(c->arena, t.name);
	t.owned = keys[1] = s3_key_owned(c->arena, c->account, t.name);
	TRY(kv_run(s3_self(c)->kv, keys, 2, create_txn, &t, c->deadline_ns));
	value_put_str(c->out, "Location", ARENA_CONCAT(c->arena, STR("/"), t.name));
	return 0;
}

/* ---- looking at one ---- */

int s3_head_bucket(struct call *c)
{
	static const char *const members[] = {NULL};
	struct s3_bucket bucket;

	TRY(s3_members_check(c, members));
	TRY(s3_bucket_find(c, s3_bucket_of(c), value_str(c->in, "ExpectedBucketOwner"), &bucket));
	value_put_str(c->out, "BucketRegion", bucket.region);
	return 0;
}

int s3_get_bucket_location(struct call *c)
{
	static const char *const members[] = {NULL};
	struct s3_bucket bucket;

	TRY(s3_members_check(c, members));
	TRY(s3_bucket_find(c, s3_bucket_of(c), value_str(c->in, "ExpectedBucketOwner"), &bucket));
	/* "Buckets in Region us-east-1 have a LocationConstraint of null." */
	if (!str_eq(bucket.region, STR("us-east-1")))
		value_put_str(c->out, "LocationConstraint", bucket.region);
	return 0;
}

/* ---- DeleteBucket ---- */

/*
 * In three steps, because ranges are not tracked: the bucket is marked, so that no write of an
 * object can commit any more (s3_bucket_hold()); then it is looked into; then it goes, or the mark
 * does. A mark of an earlier run of the server counts for nothing.
 */
struct mark {
	struct call *c;
	str key, owned;
	struct s3_bucket *bucket;
	uint64_t deleting;
	bool remove;
};

static int mark_txn(struct kv_txn *txn, void *arg)
{
	struct mark *t = arg;
	struct call *c = t->c;
	struct s3_bucket now;
	str bytes;

	if (TRY(kv_txn_get(txn, t->key, c->arena, &bytes)) == 0)
		return s3_no_such_bucket(c, s3_bucket_of(c));
	TRY(s3_bucket_decode(bytes, &now));
	if (now.id != t->bucket->id)
		return s3_no_such_bucket(c, s3_bucket_of(c));
	if (t->deleting && now.deleting == t->deleting)
		return s3_fault(c, OPERATION_ABORTED,
			"A conflicting conditional operation is currently in progress against this "
			"resource. Please try again.");
	if (t->remove) {
		kv_txn_delete(txn, t->key);
		kv_txn_delete(txn, t->owned);
		return 0;
	}
	now.deleting = t->deleting;
	kv_txn_put(txn, t->key, s3_bucket_encode(c->arena, record_time_next(rt_wall(), 0), &now));
	return 0;
}

static int run_mark(struct mark *t, uint64_t deleting, bool remove)
{
	const str keys[] = {t->key, t->owned};

	t->deleting = deleting;
	t->remove = remove;
	return kv_run(s3_self(t->c)->kv, keys, 2, mark_txn, t, rt_after_ms(30000));
}

static int check_empty(struct call *c, const struct s3_bucket *bucket)
{
	cleanup(kv_scan_close_p) struct kv_scan *scan = NULL;
	str prefix = s3_key_object(c->arena, bucket->id, STR("")), key, value;
	const struct kv_range range = {
		.from = prefix, .to = keyspace_prefix_end(c->arena, prefix), .limit = 1};

	TRY(kv_scan_open(s3_self(c)->kv, &range, &scan));
	if (TRY(kv_scan_next(scan, &key, &value)) > 0)
		return s3_detail(c,
			s3_fault(
				c, BUCKET_NOT_EMPTY, "The bucket you tried to delete is not empty"),
			STR("BucketName"), s3_bucket_of(c));
	return 0;
}

int s3_delete_bucket(struct call *c)
{
	static const char *const members[] = {NULL};
	str name = s3_bucket_of(c);
	struct s3_bucket bucket;
	struct mark t = {.c = c, .bucket = &bucket};
	int rc, back;

	TRY(s3_members_check(c, members));
	TRY(s3_bucket_find(c, name, value_str(c->in, "ExpectedBucketOwner"), &bucket));
	t.key = s3_key_bucket(c->arena, name);
	t.owned = s3_key_owned(c->arena, c->account, name);
	TRY(run_mark(&t, s3_self(c)->run, false));
	rc = check_empty(c, &bucket);
	if (rc == 0)
		rc = s3_uploads_drop(c, &bucket);
	if (rc == 0)
		return run_mark(&t, 0, true);
	back = run_mark(&t, 0, false);
	return back < 0 && back != ERR_FAULT ? back : rc;
}

/* ---- ListBuckets ---- */

static int add_bucket(struct call *c, struct value *list, str name, str region, bool *ret_added)
{
	struct s3_bucket bucket;
	struct value *entry;
	str bytes;

	*ret_added = false;
	if (TRY(kv_get(s3_self(c)->kv, s3_key_bucket(c->arena, name), c->arena, &bytes)) == 0)
		return 0; /* deleted since */
	TRY(s3_bucket_decode(bytes, &bucket));
	if (region.p && !str_eq(region, bucket.region))
		return 0;
	entry = value_add_struct(list);
	value_put_str(entry, "Name", name);
	value_put_time_ms(entry, "CreationDate", bucket.created_ms);
	value_put_str(entry, "BucketRegion", bucket.region);
	*ret_added = true;
	return 0;
}

/* The token is the name behind which the next page begins. */
static int read_range(struct call *c, struct kv_range *ret)
{
	str prefix = value_str(c->in, "Prefix"), token = value_str(c->in, "ContinuationToken");
	uint8_t *bytes;
	size_t n;

	if (prefix.n > S3_LIMIT_KEY_BYTES) /* far beyond any name, and no key of the store */
		return s3_fault(c, INVALID_ARGUMENT, "Argument prefix is longer than %d bytes",
			(int)S3_LIMIT_KEY_BYTES);
	*ret = (struct kv_range){.from = s3_key_owned(c->arena, c->account, prefix)};
	ret->to = keyspace_prefix_end(c->arena, ret->from);
	if (!token.p)
		return 0;
	bytes = (uint8_t *)arena_bytes(c->arena, base64_bytes_max(token.n) + 2);
	if (base64_decode(token, bytes, &n) < 0 || !s3_bucket_name_valid(str_of(bytes, n)))
		return s3_invalid_argument(c, "The continuation token provided is incorrect",
			STR("continuation-token"), token);
	bytes[n] = 0; /* the first name behind it */
	ret->from = s3_key_owned(c->arena, c->account, str_of(bytes, n + 1));
	return 0;
}

int s3_list_buckets(struct call *c)
{
	static const char *const members[] = {
		"MaxBuckets", "ContinuationToken", "Prefix", "BucketRegion", NULL};
	cleanup(kv_scan_close_p) struct kv_scan *scan = NULL;
	str key, value;
	str account = s3_key_owned(c->arena, c->account, STR_NULL), last = STR_NULL;
	int64_t max = value_int(c->in, "MaxBuckets", S3_LIMIT_LIST_BUCKETS), count = 0;
	struct value *list = value_put_list(c->out, "Buckets");
	struct kv_range range;
	struct buf token;

	TRY(s3_members_check(c, members));
	TRY(read_range(c, &range));
	value_put_str(value_put_struct(c->out, "Owner"), "ID", s3_owner_id(c->arena, c->account));
	value_put_str(c->out, "Prefix", value_str(c->in, "Prefix"));
	TRY(kv_scan_open(s3_self(c)->kv, &range, &scan));
	while (TRY(kv_scan_next(scan, &key, &value)) > 0) {
		str name = arena_str(c->arena, str_from(key, account.n));
		bool added;

		if (count == max) {
			buf_init(&token, c->arena, 128);
			base64_put(&token, last);
			value_put_str(c->out, "ContinuationToken", buf_str(&token));
			break;
		}
		TRY(add_bucket(c, list, name, value_str(c->in, "BucketRegion"), &added));
		count += added;
		last = name;
	}
	return 0;
}
