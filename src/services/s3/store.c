/*
 * Keys and loads, see store.h.
 */
#include "services/s3/store.h"

#include "base/check.h"

static struct buf begin(struct arena *a, enum keyspace_area area)
{
	struct buf key;

	buf_init(&key, a, KEYSPACE_KEY_MAX);
	keyspace_area(&key, area);
	return key;
}

static str end(const struct buf *key)
{
	check(!key->over);
	return buf_str(key);
}

str s3_key_bucket(struct arena *a, str name)
{
	struct buf key = begin(a, KEYSPACE_S3_BUCKETS);

	keyspace_put(&key, name);
	return end(&key);
}

str s3_key_owned(struct arena *a, str account, str name)
{
	struct buf key = begin(a, KEYSPACE_S3_OWNED);

	keyspace_put(&key, account);
	buf_put(&key, name); /* last, so that prefixes of names are prefixes of keys */
	return end(&key);
}

str s3_key_object(struct arena *a, uint64_t bucket, str name)
{
	struct buf key = begin(a, KEYSPACE_S3_OBJECTS);

	buf_put_be64(&key, bucket);
	buf_put(&key, name);
	return end(&key);
}

str s3_key_blob(struct arena *a, struct blob_id id)
{
	struct buf key = begin(a, KEYSPACE_S3_BLOBS);

	buf_put(&key, str_of(id.bytes, BLOB_ID_BYTES));
	return end(&key);
}

str s3_key_upload(struct arena *a, uint64_t bucket, str name, str id)
{
	struct buf key = begin(a, KEYSPACE_S3_UPLOADS);

	buf_put_be64(&key, bucket);
	if (name.p)
		keyspace_put(&key, name);
	buf_put(&key, id);
	return end(&key);
}

str s3_key_parts(struct arena *a, str upload)
{
	struct buf key = begin(a, KEYSPACE_S3_PARTS);

	buf_put(&key, upload);
	return end(&key);
}

str s3_key_part(struct arena *a, str upload, unsigned number)
{
	struct buf key = begin(a, KEYSPACE_S3_PARTS);

	buf_put(&key, upload);
	buf_put_be16(&key, (uint16_t)number);
	return end(&key);
}

int s3_object_load(struct kv *kv, struct arena *a, uint64_t bucket, str key, struct s3_object *ret)
{
	str bytes;

	if (TRY(kv_get(kv, s3_key_object(a, bucket, key), a, &bytes)) == 0)
		return 0;
	TRY(s3_object_decode(a, bytes, ret));
	return 1;
}

int s3_object_load_txn(struct kv_txn *txn, struct arena *a, str at, struct s3_object *ret)
{
	str bytes;

	if (TRY(kv_txn_get(txn, at, a, &bytes)) == 0)
		return 0;
	TRY(s3_object_decode(a, bytes, ret));
	return 1;
}

void s3_blob_put(struct kv_txn *txn, struct arena *a, const struct s3_segment *s, str small)
{
	str value = s->in_store ? ARENA_CONCAT(a, STR("\1"), small) : str_of("\0", 1);

	kv_txn_put_covered(txn, s3_key_blob(a, s->id), value);
}

void s3_blobs_forget(
	struct kv_txn *txn, struct arena *a, const struct s3_segment *segments, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		kv_txn_delete_covered(txn, s3_key_blob(a, segments[i].id));
}
