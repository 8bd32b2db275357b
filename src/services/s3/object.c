/*
 * See object.h.
 */
#include "services/s3/object.h"

#include "services/s3/condition.h"
#include "services/s3/multipart.h"
#include "services/s3/reader.h"
#include "services/s3/sink.h"

enum { COMMIT_MS = 30000 };

struct write_txn {
	struct call *c;
	struct s3_write *w;
	str object_key;
	struct s3_segment *unused; /* of parts that were left out: each a body of its own */
	uint32_t unused_count, unused_max;
	struct s3_object old; /* what was replaced; readers may have a pin on it */
	bool found;
};

static int precondition_failed(struct call *c, const char *which)
{
	return s3_detail(c,
		s3_fault(c, PRECONDITION_FAILED,
			"At least one of the pre-conditions you specified did not hold"),
		STR("Condition"), str_c(which));
}

int s3_write_conditions_read(struct call *c, struct s3_write_conditions *ret)
{
	struct s3_write_conditions w = {.if_match = value_str(c->in, "IfMatch"),
		.if_none_match = value_str(c->in, "IfNoneMatch")};

	/* Nor both together, whatever they say. */
	if (w.if_none_match.p && (w.if_match.p || !str_eq(w.if_none_match, STR("*"))))
		return s3_detail(c,
			s3_fault(c, NOT_IMPLEMENTED,
				"A header you provided implies functionality that is not "
				"implemented"),
			STR("Header"), STR("If-None-Match"));
	*ret = w;
	return 0;
}

static int check_conditions(struct call *c, const struct s3_write *w, const struct s3_object *old)
{
	const struct s3_write_conditions *k = &w->conditions;

	if (k->if_none_match.p && old)
		return precondition_failed(c, "If-None-Match");
	if (k->if_match.p && !old)
		return s3_detail(c, s3_fault(c, NO_SUCH_KEY, "The specified key does not exist."),
			STR("Key"), w->key);
	if (k->if_match.p && !s3_etag_matches(k->if_match, old->etag))
		return precondition_failed(c, "If-Match");
	return 0;
}

static void add_unused(struct write_txn *t, const struct s3_segment *segment)
{
	if (t->unused_count == t->unused_max) {
		uint32_t max = MAX(2 * t->unused_max, 16u);
		struct s3_segment *more = arena_new_array(t->c->arena, struct s3_segment, max);

		if (t->unused_count)
			memcpy(more, t->unused, t->unused_count * sizeof *more);
		t->unused = more;
		t->unused_max = max;
	}
	t->unused[t->unused_count++] = *segment;
}

static bool is_used(const struct s3_object *o, struct blob_id id, uint32_t *at)
{
	/* Parts come in order, and so do the object's segments. */
	if (*at < o->segment_count &&
		memcmp(o->segments[*at].id.bytes, id.bytes, BLOB_ID_BYTES) == 0) {
		(*at)++;
		return true;
	}
	return false;
}

/* The upload and its parts go; the object has the blobs of those that it names. */
static int end_upload(struct kv_txn *txn, struct write_txn *t)
{
	struct arena *a = t->c->arena;
	cleanup(kv_scan_close_p) struct kv_scan *scan = NULL;
	str prefix = s3_key_parts(a, t->w->upload_id), key, value;
	const struct kv_range range = {.from = prefix, .to = keyspace_prefix_end(a, prefix)};
	uint32_t used = 0;

	if (TRY(kv_txn_get(txn, t->w->upload_key, a, &value)) == 0)
		return s3_no_such_upload(t->c);
	TRY(kv_txn_scan(txn, &range, &scan));
	while (TRY(kv_scan_next(scan, &key, &value)) > 0) {
		struct s3_part part;

		TRY(s3_part_decode(value, &part));
		if (!is_used(&t->w->object, part.segment.id, &used))
			add_unused(t, &part.segment);
		kv_txn_delete_covered(txn, arena_str(a, key));
	}
	if (used != t->w->object.segment_count) /* a part was replaced meanwhile */
		return s3_fault(t->c, INVALID_PART, S3_INVALID_PART_TEXT);
	kv_txn_delete(txn, t->w->upload_key);
	return 0;
}

static int write_txn(struct kv_txn *txn, void *arg)
{
	struct write_txn *t = arg;
	struct s3_write *w = t->w;
	struct call *c = t->c;

	t->unused_count = 0;
	TRY(s3_bucket_hold(c, txn, w->bucket_name, &w->bucket));
	t->found = TRY(s3_object_load_txn(txn, c->arena, t->object_key, &t->old))
	> 0;
	TRY(check_conditions(c, w, t->found ? &t->old : NULL));
	if (w->upload_id.p)
		TRY(end_upload(txn, t));
	else
		s3_blob_put(txn, c->arena, &w->object.segments[0], w->small);
	s3_blobs_forget(txn, c->arena, t->unused, t->unused_count);
	if (t->found)
		s3_blobs_forget(txn, c->arena, t->old.segments, t->old.segment_count);
	w->object.time = record_time_next(rt_wall(), t->found ? t->old.time : 0);
	kv_txn_put(txn, t->object_key, s3_object_encode(c->arena, &w->object));
	return 0;
}

/* So many others wrote the same that this one never came to be. */
static int commit_error(struct call *c, int rc)
{
	if (rc != ERR_CONFLICT)
		return rc;
	return s3_fault(c, OPERATION_ABORTED,
		"A conflicting conditional operation is currently in progress against this "
		"resource. Please try again.");
}

int s3_object_write(struct call *c, struct s3_write *w)
{
	struct write_txn t = {
		.c = c, .w = w, .object_key = s3_key_object(c->arena, w->bucket.id, w->key)};
	const str keys[] = {t.object_key, w->upload_key};

	/* Not the request's deadline: a large body has taken its time. */
	TRY(commit_error(c, kv_run(s3_self(c)->kv, keys, w->upload_id.p ? 2 : 1, write_txn, &t,
				    rt_after_ms(COMMIT_MS))));
	for (uint32_t i = 0; i < t.unused_count; i++)
		s3_segments_remove(s3_self(c), &t.unused[i], 1);
	if (t.found)
		s3_segments_remove(s3_self(c), t.old.segments, t.old.segment_count);
	return 0;
}

int s3_object_write_body(struct call *c, struct s3_write *w, struct s3_body *body)
{
	struct s3_object *o = &w->object;
	int rc;

	o->bytes = body->segment.bytes;
	o->segments = &body->segment;
	o->segment_count = 1;
	o->modified_ms = rt_wall() / RT_NS_MS;
	o->etag = s3_body_etag(c->arena, body);
	o->checksum = s3_body_checksum(c->arena, body);
	w->small = body->small;
	rc = s3_object_write(c, w);
	if (rc < 0 && s3_write_undone(rc))
		s3_body_drop(s3_self(c), body);
	return rc;
}

/* ---- deleting ---- */

struct delete_txn {
	struct call *c;
	str bucket_name, key, if_match;
	const struct s3_bucket *bucket;
	struct s3_object old;
	bool found;
};

static int delete_txn(struct kv_txn *txn, void *arg)
{
	struct delete_txn *t = arg;

	TRY(s3_bucket_hold(t->c, txn, t->bucket_name, t->bucket));
	t->found = TRY(s3_object_load_txn(txn, t->c->arena, t->key, &t->old))
	> 0;
	if (t->if_match.p && !t->found)
		return s3_fault(t->c, NO_SUCH_KEY, "The specified key does not exist.");
	if (t->if_match.p && !s3_etag_matches(t->if_match, t->old.etag))
		return precondition_failed(t->c, "If-Match");
	if (!t->found)
		return 0;
	s3_blobs_forget(txn, t->c->arena, t->old.segments, t->old.segment_count);
	kv_txn_delete(txn, t->key);
	return 0;
}

int s3_object_delete(
	struct call *c, str bucket_name, const struct s3_bucket *bucket, str key, str if_match)
{
	struct delete_txn t = {.c = c,
		.bucket_name = bucket_name,
		.key = s3_key_object(c->arena, bucket->id, key),
		.if_match = if_match,
		.bucket = bucket};

	TRY(kv_run(s3_self(c)->kv, &t.key, 1, delete_txn, &t, rt_after_ms(COMMIT_MS)));
	if (t.found)
		s3_segments_remove(s3_self(c), t.old.segments, t.old.segment_count);
	return 0;
}
