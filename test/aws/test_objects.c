/*
 * See test_objects.h; and that the twin keeps the port's contract.
 */
#include "test/aws/test_objects.h"

#include "base/buf.h"
#include "base/mem.h"
#include "rt/rt.h"
#include "test/test.h"

enum { WRITER_BYTES_MAX = 256 << 20 };

struct twin_body {
	unsigned refs;
	size_t n;
	char bytes[];
};

struct object_reader {
	struct twin_objects *twin;
	struct twin_body *body;
	size_t at;
};

struct object_writer {
	struct twin_objects *twin;
	struct twin_object object;
	struct buf bytes;
};

enum { KEY_MAX = 1024 };

static const struct fault_kind no_such_bucket = {"NoSuchBucket", 404, false, false};
static const struct fault_kind no_such_key = {"NoSuchKey", 404, false, false};
static const struct fault_kind key_too_long = {"KeyTooLongError", 400, false, false};
static const struct fault_kind access_denied = {"AccessDenied", 403, false, false};

static str copy(str s)
{
	char *p = mem_alloc(s.n + 1);

	if (s.n)
		memcpy(p, s.p, s.n);
	return s.p ? str_of(p, s.n) : (mem_free(p), STR_NULL);
}

static void replace(str *to, str s)
{
	mem_free((char *)to->p);
	*to = copy(s);
}

static struct twin_body *body_new(str bytes)
{
	struct twin_body *b = mem_alloc(sizeof *b + bytes.n);

	b->refs = 1;
	b->n = bytes.n;
	if (bytes.n)
		memcpy(b->bytes, bytes.p, bytes.n);
	return b;
}

static void body_unref(struct twin_body *b)
{
	if (b && --b->refs == 0)
		mem_free(b);
}

static void object_done(struct twin_object *o)
{
	mem_free((char *)o->bucket.p);
	mem_free((char *)o->key.p);
	mem_free((char *)o->sse.p);
	mem_free((char *)o->kms_key_id.p);
	mem_free((char *)o->content_type.p);
	body_unref(o->body);
}

static int compare(const struct twin_object *o, str bucket, str key)
{
	int c = str_cmp(o->bucket, bucket);

	return c ? c : str_cmp(o->key, key);
}

/* The place of the first that is not before. */
static size_t place_of(const struct twin_objects *t, str bucket, str key)
{
	size_t i = 0;

	while (i < t->count && compare(&t->objects[i], bucket, key) < 0)
		i++;
	return i;
}

static void keep(struct twin_objects *t, struct twin_object *o)
{
	size_t i = place_of(t, o->bucket, o->key);

	if (i < t->count && compare(&t->objects[i], o->bucket, o->key) == 0) {
		object_done(&t->objects[i]);
	} else {
		if (!EXPECT(t->count < TWIN_OBJECTS_MAX))
			return;
		memmove(&t->objects[i + 1], &t->objects[i], (t->count - i) * sizeof *t->objects);
		t->count++;
	}
	o->number = ++t->written;
	t->objects[i] = *o;
}

/* ---- the port ---- */

static int take_time(const struct twin_objects *t)
{
	if (!t->delay_ms)
		return 0;
	return rt_sleep_until(rt_after_ms((int64_t)(rt_random() % (uint64_t)t->delay_ms) + 1));
}

static int go_wrong(struct twin_objects *t)
{
	TRY(take_time(t));
	if (!t->fail_in || --t->fail_in)
		return 0;
	t->fail_in = t->fail_every;
	return ERR_IO;
}

static bool has_bucket(const struct twin_objects *t, str bucket)
{
	size_t i = place_of(t, bucket, STR(""));

	return i < t->count && str_eq(t->objects[i].bucket, bucket);
}

static int look(struct twin_objects *t, struct arena *a, const struct object_address *address,
	struct fault *ret_fault)
{
	TRY(take_time(t));
	EXPECT(address->as != NULL);
	EXPECT(address->region.n != 0);
	replace(&t->last_principal, address->as ? address->as->arn : STR_NULL);
	replace(&t->last_owner, address->expected_owner);
	replace(&t->last_version, address->version);
	if (!has_bucket(t, address->bucket))
		return fault_set(
			ret_fault, a, &no_such_bucket, "The specified bucket does not exist");
	if (t->denied.p && str_starts(address->key, t->denied))
		return fault_set(ret_fault, a, &access_denied, "Access Denied");
	return 0;
}

static int twin_open(void *self, struct arena *a, const struct object_address *address,
	struct object_info *ret_info, struct object_reader **ret_reader, struct fault *ret_fault)
{
	struct twin_objects *t = self;
	struct object_reader *r;
	size_t i;

	t->opens++;
	TRY(look(t, a, address, ret_fault));
	i = place_of(t, address->bucket, address->key);
	if (!address->key.n || i == t->count ||
		compare(&t->objects[i], address->bucket, address->key) != 0)
		return fault_set(ret_fault, a, &no_such_key, "The specified key does not exist.");
	r = mem_new(struct object_reader);
	r->twin = t;
	r->body = t->objects[i].body;
	r->body->refs++;
	t->open_readers++;
	*ret_info = (struct object_info){.bytes = r->body->n,
		.etag = arena_printf(a, "etag-%llu", (unsigned long long)t->objects[i].number),
		.version = STR_NULL,
		.content_type = STR_NULL,
		.content_encoding = STR_NULL};
	*ret_reader = r;
	return 0;
}

static int twin_read(struct object_reader *r, void *to, size_t n)
{
	size_t left = r->body->n - r->at;

	r->twin->reads++;
	TRY(go_wrong(r->twin));
	n = MIN(n, left);
	if (r->twin->read_max)
		n = MIN(n, r->twin->read_max);
	memcpy(to, r->body->bytes + r->at, n);
	r->at += n;
	return (int)n;
}

static void twin_seek(struct object_reader *r, uint64_t offset)
{
	if (EXPECT(offset <= r->body->n))
		r->at = (size_t)offset;
}

static void twin_close(struct object_reader *r)
{
	if (!r)
		return;
	r->twin->open_readers--;
	body_unref(r->body);
	mem_free(r);
}

static int twin_list(void *self, struct arena *a, const struct object_address *address, str after,
	size_t max, struct object_entry **ret_entries, struct fault *ret_fault)
{
	struct twin_objects *t = self;
	struct object_entry *entries = arena_new_array(a, struct object_entry, max);
	size_t n = 0;

	t->lists++;
	TRY(look(t, a, address, ret_fault));
	for (size_t i = place_of(t, address->bucket, address->key); i < t->count && n < max; i++) {
		const struct twin_object *o = &t->objects[i];

		if (!str_eq(o->bucket, address->bucket) || !str_starts(o->key, address->key))
			break;
		if (!o->key.n || (after.p && str_cmp(o->key, after) <= 0))
			continue;
		entries[n++] = (struct object_entry){.key = arena_str(a, o->key),
			.etag = arena_printf(a, "etag-%llu", (unsigned long long)o->number),
			.bytes = o->body->n};
	}
	*ret_entries = entries;
	return (int)n;
}

static int twin_create(void *self, struct arena *a, const struct object_address *address,
	const struct object_put *put, struct object_writer **ret_writer, struct fault *ret_fault)
{
	struct twin_objects *t = self;
	struct object_writer *w;

	TRY(look(t, a, address, ret_fault));
	if (t->locked_bucket.p && str_eq(t->locked_bucket, address->bucket))
		return fault_set(ret_fault, a, &access_denied, "Access Denied");
	if (address->key.n > KEY_MAX)
		return fault_set(ret_fault, a, &key_too_long, "Your key is too long");
	w = mem_new(struct object_writer);
	w->twin = t;
	w->object = (struct twin_object){.bucket = copy(address->bucket),
		.key = copy(address->key),
		.sse = copy(put->sse),
		.kms_key_id = copy(put->kms_key_id),
		.content_type = copy(put->content_type)};
	buf_init(&w->bytes, NULL, WRITER_BYTES_MAX);
	t->open_writers++;
	*ret_writer = w;
	return 0;
}

static int twin_write(struct object_writer *w, str bytes)
{
	TRY(go_wrong(w->twin));
	buf_put(&w->bytes, bytes);
	return w->bytes.over ? ERR_TOO_LARGE : 0;
}

static void twin_abandon(struct object_writer *w)
{
	if (!w)
		return;
	w->twin->open_writers--;
	object_done(&w->object);
	buf_done(&w->bytes);
	mem_free(w);
}

static int twin_finish(struct object_writer *w, struct arena *a, struct object_info *ret_info,
	struct fault *ret_fault unused_arg)
{
	struct twin_objects *t = w->twin;
	int rc = go_wrong(t);

	t->finishes++;
	if (rc < 0) {
		twin_abandon(w);
		return rc;
	}
	w->object.body = body_new(buf_str(&w->bytes));
	keep(t, &w->object);
	*ret_info = (struct object_info){.bytes = w->bytes.n,
		.etag = arena_printf(a, "etag-%llu", (unsigned long long)t->written)};
	t->open_writers--;
	buf_done(&w->bytes);
	mem_free(w);
	return 0;
}

void twin_objects_init(struct twin_objects *t)
{
	memset(t, 0, sizeof *t);
	t->port = (struct port_objects){.self = t,
		.open = twin_open,
		.read = twin_read,
		.seek = twin_seek,
		.close = twin_close,
		.list = twin_list,
		.create = twin_create,
		.write = twin_write,
		.finish = twin_finish,
		.abandon = twin_abandon};
}

void twin_objects_done(struct twin_objects *t)
{
	EXPECT_INT(t->open_readers, 0);
	EXPECT_INT(t->open_writers, 0);
	for (size_t i = 0; i < t->count; i++)
		object_done(&t->objects[i]);
	mem_free((char *)t->last_principal.p);
	mem_free((char *)t->last_owner.p);
	mem_free((char *)t->last_version.p);
	t->count = 0;
}

void twin_objects_put(struct twin_objects *t, const char *bucket, const char *key, str body)
{
	struct twin_object o = {
		.bucket = copy(str_c(bucket)), .key = copy(str_c(key)), .body = body_new(body)};

	keep(t, &o);
}

str twin_objects_get(const struct twin_objects *t, str bucket, str key)
{
	size_t i = place_of(t, bucket, key);

	return i < t->count && compare(&t->objects[i], bucket, key) == 0
		       ? twin_object_body(&t->objects[i])
		       : STR_NULL;
}

const struct twin_object *twin_objects_at(
	const struct twin_objects *t, const char *bucket, const char *prefix, size_t n)
{
	for (size_t i = place_of(t, str_c(bucket), str_c(prefix)); i < t->count; i++) {
		const struct twin_object *o = &t->objects[i];

		if (!str_eq(o->bucket, str_c(bucket)) || !str_starts(o->key, str_c(prefix)))
			return NULL;
		if (o->key.n && n-- == 0)
			return o;
	}
	return NULL;
}

str twin_object_body(const struct twin_object *o)
{
	return str_of(o->body->bytes, o->body->n);
}

/* ---- the twin itself ---- */

TEST(objects_twin, contract)
{
	const struct principal root = {.arn = STR("arn:aws:iam::000000000000:root")};
	struct object_address at = {.as = &root,
		.region = STR("us-east-1"),
		.bucket = STR("b"),
		.key = STR("k/2"),
		.version = STR_NULL,
		.expected_owner = STR_NULL};
	const struct object_put put = {STR_NULL, STR_NULL, STR_NULL};
	struct twin_objects *t = mem_new(struct twin_objects);
	struct object_entry *entries;
	struct object_reader *reader;
	struct object_writer *writer;
	struct object_info info;
	struct fault fault;
	struct arena a;
	char bytes[8];

	arena_init(&a, SIZE_MAX);
	twin_objects_init(t);
	EXPECT_INT(twin_open(t, &a, &at, &info, &reader, &fault), ERR_FAULT);
	EXPECT_STR(str_c(fault.kind->code), STR("NoSuchBucket"));
	twin_objects_put(t, "b", "", STR(""));
	EXPECT_INT(twin_open(t, &a, &at, &info, &reader, &fault), ERR_FAULT);
	EXPECT_STR(str_c(fault.kind->code), STR("NoSuchKey"));
	/* Nothing of a writer is seen before its end, and a reader keeps what it was opened on. */
	EXPECT_INT(twin_create(t, &a, &at, &put, &writer, &fault), 0);
	EXPECT_INT(twin_write(writer, STR("one")), 0);
	EXPECT(!twin_objects_get(t, at.bucket, at.key).p);
	EXPECT_INT(twin_finish(writer, &a, &info, &fault), 0);
	EXPECT_STR(twin_objects_get(t, at.bucket, at.key), STR("one"));
	EXPECT_INT(twin_open(t, &a, &at, &info, &reader, &fault), 0);
	twin_objects_put(t, "b", "k/2", STR("other"));
	EXPECT_INT(twin_read(reader, bytes, sizeof bytes), 3);
	EXPECT_STR(str_of(bytes, 3), STR("one"));
	twin_seek(reader, 1);
	EXPECT_INT(twin_read(reader, bytes, 1), 1);
	EXPECT_INT(bytes[0], 'n');
	twin_close(reader);
	/* Lists are in the order of keys. */
	twin_objects_put(t, "b", "k/1", STR("x"));
	twin_objects_put(t, "b", "l", STR("x"));
	at.key = STR("k/");
	EXPECT_INT(twin_list(t, &a, &at, STR_NULL, 10, &entries, &fault), 2);
	EXPECT_STR(entries[0].key, STR("k/1"));
	EXPECT_INT(twin_list(t, &a, &at, STR("k/1"), 10, &entries, &fault), 1);
	EXPECT_STR(entries[0].key, STR("k/2"));
	twin_objects_done(t);
	mem_free(t);
	arena_done(&a);
}
