/*
 * See port.h. Each call of the port is a call without a request: the principal's policies are asked
 * by call_authorize() as for an operation over HTTP, and the same functions do the work.
 */
#include "services/s3/port.h"

#include "base/check.h"
#include "base/mem.h"
#include "services/s3/list.h"
#include "services/s3/object.h"
#include "services/s3/reader.h"
#include "services/s3/sink.h"

#define READER_MAGIC 0x6f62726fu
#define WRITER_MAGIC 0x6f62776fu

enum { CALL_MS = 60000, WRITER_ARENA_BYTES = 4 << 20 };

struct object_reader {
	uint32_t magic;
	struct s3_reader *reader;
};

/* What it is told at its beginning is copied: the caller's arena may be gone at the end. */
struct object_writer {
	uint32_t magic;
	struct s3 *s3;
	struct arena arena;
	struct principal as;
	struct s3_write write;
	struct s3_sink sink;
};

/* ---- a call without a request ---- */

static struct call call_of(struct s3 *s3, struct arena *a, const struct principal *as, str region)
{
	return (struct call){.magic = CALL_MAGIC,
		.service = &s3->service,
		.self = s3,
		.arena = a,
		.account = as->account,
		.region = region,
		.principal = as,
		.wall_ms = rt_wall() / RT_NS_MS,
		.deadline_ns = rt_after_ms(CALL_MS)};
}

/* The fault that a code becomes where the contract knows only faults. */
static int give_fault(struct call *c, int rc, struct fault *ret_fault)
{
	if (rc >= 0)
		return rc;
	if (rc != ERR_FAULT)
		(void)s3_fault(c, INTERNAL, "We encountered an internal error: %s.", rc_text(rc));
	*ret_fault = c->fault;
	return ERR_FAULT;
}

/* May the caller, and is the bucket there and his? */
static int enter(struct call *c, const struct object_address *at, str action, str arn_key,
	struct s3_bucket *ret_bucket)
{
	TRY(call_authorize(c, action, s3_arn(c->arena, at->bucket, arn_key)));
	if (arn_key.p && arn_key.n == 0)
		return s3_fault(c, INVALID_ARGUMENT, "The key is empty.");
	if (arn_key.p)
		TRY(s3_key_check(c, arn_key));
	TRY(s3_bucket_find(c, at->bucket, at->expected_owner, ret_bucket));
	if (at->version.p && !str_eq(at->version, STR("null")))
		return s3_fault(c, NO_SUCH_VERSION, "The specified version does not exist.");
	return 0;
}

static void put_info(struct arena *a, const struct s3_object *o, struct object_info *ret)
{
	*ret = (struct object_info){.bytes = o->bytes,
		.etag = arena_str(a, o->etag),
		.version = STR_NULL,
		.content_type = arena_str(a, o->headers.content_type),
		.content_encoding = arena_str(a, o->headers.content_encoding),
		.modified_ms = o->modified_ms};
}

/* ---- reading ---- */

static int open_object(struct call *c, const struct object_address *at,
	struct s3_object *ret_object, struct s3_reader **ret_reader)
{
	struct s3_bucket bucket;
	int found;

	TRY(enter(c, at, STR("s3:GetObject"), at->key.p ? at->key : STR(""), &bucket));
	found = s3_reader_open(s3_self(c), c->arena, bucket.id, at->key, ret_object, ret_reader);
	if (found == 0)
		return s3_no_such_key(c, at->bucket, at->key);
	return s3_body_error(c, found);
}

static int port_open(void *self, struct arena *a, const struct object_address *address,
	struct object_info *ret_info, struct object_reader **ret_reader, struct fault *ret_fault)
{
	struct call c = call_of(self, a, address->as, address->region);
	struct s3_reader *reader;
	struct s3_object o;

	TRY(give_fault(&c, open_object(&c, address, &o, &reader), ret_fault));
	put_info(a, &o, ret_info);
	*ret_reader = mem_new(struct object_reader);
	**ret_reader = (struct object_reader){.magic = READER_MAGIC, .reader = reader};
	return 0;
}

static int port_read(struct object_reader *r, void *to, size_t n)
{
	check(r->magic == READER_MAGIC);
	return s3_reader_read(r->reader, to, n);
}

static void port_seek(struct object_reader *r, uint64_t offset)
{
	check(r->magic == READER_MAGIC);
	s3_reader_seek(r->reader, offset);
}

static void port_close(struct object_reader *r)
{
	if (!r)
		return;
	check(r->magic == READER_MAGIC);
	s3_reader_close(r->reader);
	r->magic = 0;
	mem_free(r);
}

/* ---- listing ---- */

struct entries {
	struct arena *arena;
	struct object_entry *items;
	size_t count, capacity;
};

static struct object_entry *grow(struct entries *l)
{
	if (l->count == l->capacity) {
		size_t capacity = MAX(2 * l->capacity, (size_t)64);
		struct object_entry *more =
			arena_new_array(l->arena, struct object_entry, capacity);

		if (l->count)
			memcpy(more, l->items, l->count * sizeof *more);
		l->items = more;
		l->capacity = capacity;
	}
	return &l->items[l->count++];
}

static int add_entry(void *arg, str key, str record)
{
	struct entries *l = arg;
	struct arena own cleanup(arena_done_p) = {0}; /* its parts may be many */
	struct s3_object o;

	arena_init(&own, SIZE_MAX);
	TRY(s3_object_decode(&own, record, &o));
	*grow(l) = (struct object_entry){.key = key,
		.etag = arena_str(l->arena, o.etag),
		.bytes = o.bytes,
		.modified_ms = o.modified_ms};
	return 0;
}

static int list_objects(
	struct call *c, const struct object_address *at, str after, size_t max, struct entries *l)
{
	struct s3_bucket bucket;
	struct s3_walk walk = {.kv = s3_self(c)->kv,
		.arena = c->arena,
		.prefix = at->key,
		.after = after,
		.max = (unsigned)MIN(max, (size_t)INT32_MAX),
		.on_key = add_entry,
		.arg = l};

	TRY(enter(c, at, STR("s3:ListBucket"), STR_NULL, &bucket));
	TRY(s3_key_check(c, at->key));
	TRY(s3_key_check(c, after));
	walk.bucket = bucket.id;
	return max ? s3_walk(&walk) : 0;
}

static int port_list(void *self, struct arena *a, const struct object_address *address, str after,
	size_t max, struct object_entry **ret_entries, struct fault *ret_fault)
{
	struct call c = call_of(self, a, address->as, address->region);
	struct entries l = {.arena = a};

	TRY(give_fault(&c, list_objects(&c, address, after, max, &l), ret_fault));
	*ret_entries = l.items;
	return (int)l.count;
}

/* ---- writing ---- */

static int refuse_encryption(struct call *c, const struct object_put *put)
{
	if (put && (put->sse.p || put->kms_key_id.p))
		return s3_fault(c, NOT_IMPLEMENTED,
			"A header you provided implies functionality that is not implemented: "
			"x-amz-server-side-encryption");
	return 0;
}

static void copy_principal(struct object_writer *w, const struct principal *from)
{
	struct arena *a = &w->arena;

	/* Asked already; at the end only whose it is matters. */
	w->as = (struct principal){.kind = from->kind,
		.account = arena_str(a, from->account),
		.arn = arena_str(a, from->arn),
		.user_id = arena_str(a, from->user_id),
		.unrestricted = true};
}

static int port_create(void *self, struct arena *a, const struct object_address *address,
	const struct object_put *put, struct object_writer **ret_writer, struct fault *ret_fault)
{
	struct s3 *s3 = self;
	struct call c = call_of(s3, a, address->as, address->region);
	struct s3_bucket bucket;
	struct object_writer *w;
	str type = put && put->content_type.n ? put->content_type : STR("binary/octet-stream");

	TRY(give_fault(&c,
		enter(&c, address, STR("s3:PutObject"), address->key.p ? address->key : STR(""),
			&bucket),
		ret_fault));
	TRY(give_fault(&c, refuse_encryption(&c, put), ret_fault));
	w = mem_new(struct object_writer);
	w->magic = WRITER_MAGIC;
	w->s3 = s3;
	arena_init(&w->arena, WRITER_ARENA_BYTES);
	copy_principal(w, address->as);
	w->write = (struct s3_write){.bucket_name = arena_str(&w->arena, address->bucket),
		.key = arena_str(&w->arena, address->key)};
	w->write.bucket = bucket;
	w->write.bucket.account = w->as.account;
	w->write.bucket.region = arena_str(&w->arena, bucket.region);
	w->write.object.headers.content_type = arena_str(&w->arena, type);
	s3_sink_init(&w->sink, s3, S3_SUM_CRC64NVME);
	*ret_writer = w;
	return 0;
}

static int port_write(struct object_writer *w, str bytes)
{
	check(w->magic == WRITER_MAGIC);
	while (bytes.n) {
		char *to;
		size_t n;

		TRY(s3_sink_room(&w->sink, &to, &n));
		n = MIN(n, bytes.n);
		memcpy(to, bytes.p, n);
		s3_sink_added(&w->sink, n);
		bytes = str_from(bytes, n);
	}
	return 0;
}

static void port_abandon(struct object_writer *w)
{
	if (!w)
		return;
	check(w->magic == WRITER_MAGIC);
	s3_sink_done_p(&w->sink);
	arena_done(&w->arena);
	w->magic = 0;
	mem_free(w);
}

static int finish(struct call *c, struct object_writer *w, struct s3_body *body)
{
	TRY(s3_body_error(c, s3_sink_finish(&w->sink, c->arena, body)));
	return s3_object_write_body(c, &w->write, body);
}

static int port_finish(struct object_writer *w, struct arena *a, struct object_info *ret_info,
	struct fault *ret_fault)
{
	struct s3_body body;
	struct call c;
	int rc;

	check(w->magic == WRITER_MAGIC);
	c = call_of(w->s3, a, &w->as, w->write.bucket.region);
	rc = give_fault(&c, finish(&c, w, &body), ret_fault);
	if (rc == 0)
		put_info(a, &w->write.object, ret_info);
	else /* may be in the writer, which ends here */
		for (unsigned i = 0; i < ret_fault->detail_count; i++)
			ret_fault->details[i].text = arena_str(a, ret_fault->details[i].text);
	port_abandon(w);
	return rc;
}

void s3_port_init(struct s3 *s3)
{
	s3->port = (struct port_objects){.self = s3,
		.open = port_open,
		.read = port_read,
		.seek = port_seek,
		.close = port_close,
		.list = port_list,
		.create = port_create,
		.write = port_write,
		.finish = port_finish,
		.abandon = port_abandon};
}
