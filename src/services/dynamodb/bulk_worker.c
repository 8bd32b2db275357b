/*
 * The work of bulk operations: those that run get a slice of time each in turn, from the count of
 * their input to the manifest of their report.
 *
 * Between two batches the loop belongs to others: ACCELERATED operations go on when these have had
 * their turn, STANDARD ones a millisecond later; MaxWriteRequestUnits makes both wait longer. An
 * input object stays open until another operation wants to read. Going on in the middle of a packed
 * one means to unpack it once more from its beginning, so these get longer slices.
 *
 * What may pass (a disk, a store that is busy) is tried again from the last batch that was written,
 * once a second, and the operation fails after some minutes of it. What S3 refuses fails it at
 * once.
 */
#include "services/dynamodb/bulk.h"
#include "services/dynamodb/bulk_input.h"
#include "services/dynamodb/service.h"

#include "aws/keyspace.h"
#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "kv/kv.h"

enum {
	SLICE_MS = 1000,
	SLICE_PACKED_MS = 30 * 1000,
	SLICE_MAX_MS = 600 * 1000,
	PAUSE_MS = 1,
	THROTTLED_MS = 20,
	RETRY_MS = 1000,
	RETRIES_MAX = 300,
	WRITE_MS = 10 * 1000,
	FORGET_MS = 3600 * 1000,
	FORGET_BATCH = 500,
	LIST_PAGE = 1000,
	OBJECTS_A_SLICE = 100,
	PACES = 64,
	ID_BYTES = 12
};

/* What is remembered of an operation between its slices; lost with the process. */
struct pace {
	struct bulk_id id;
	int64_t ready_ns; /* when it may write again */
	unsigned retries;
};

struct worker {
	struct dynamodb *d;
	struct bulk_id at; /* the operation that had the last slice */
	struct pace paces[PACES];
	unsigned pace_next;
	/* The open object, whose it is, and which. */
	struct bulk_input input;
	struct bulk_id input_of;
	struct buf input_key;
};

static bool same_id(struct bulk_id a, struct bulk_id b)
{
	return a.ms == b.ms && a.random == b.random;
}

static struct pace *pace_of(struct worker *w, struct bulk_id id)
{
	struct pace *p;

	for (unsigned i = 0; i < PACES; i++)
		if (same_id(w->paces[i].id, id))
			return &w->paces[i];
	p = &w->paces[w->pace_next++ % PACES];
	*p = (struct pace){.id = id};
	return p;
}

static void close_input(struct worker *w)
{
	bulk_input_close(&w->input);
	buf_reset(&w->input_key);
}

/* ---- why it fails ---- */

int bulk_fail(struct bulk_run *r, str code, str message)
{
	r->why_code = arena_str(r->arena, code);
	r->why_message = arena_str(r->arena, message);
	return ERR_FAULT;
}

int bulk_port_result(struct bulk_run *r, int rc, const struct fault *fault)
{
	if (rc != ERR_FAULT)
		return rc;
	if (fault->kind->server && fault->kind->retryable)
		return ERR_IO;
	return bulk_fail(
		r, ARENA_CONCAT(r->arena, STR("S3"), str_c(fault->kind->code)), fault->message);
}

/* ---- what it was started with ---- */

static str folder_of(struct arena *a, str prefix, struct bulk_id id)
{
	return ARENA_CONCAT(a, prefix, prefix.n && !str_ends(prefix, STR("/")) ? STR("/") : STR(""),
		STR("AWSDynamoDB/"), bulk_id_text(a, id), STR("/"));
}

static enum inflate_kind inflate_of(str compression)
{
	return str_eq(compression, STR("GZIP"))   ? INFLATE_GZIP
	       : str_eq(compression, STR("ZSTD")) ? INFLATE_ZSTD
						  : INFLATE_NONE;
}

static struct object_address address_of(const struct bulk_run *r, const struct value *where)
{
	str owner = value_str(where, "S3BucketOwner"), prefix = value_str(where, "S3KeyPrefix");

	return (struct object_address){.as = &r->principal,
		.region = r->job.region,
		/* "If you omit this value, DynamoDB uses the ID of the requester." */
		.expected_owner = owner.p ? owner : r->job.account,
		.bucket = value_str(where, "S3Bucket"),
		.key = prefix.p ? prefix : STR(""),
		.version = STR_NULL};
}

static int read_request(struct bulk_run *r)
{
	const struct value *request, *input, *output, *types;
	str sse;

	TRY(bulk_request(r->arena, &r->job, &request));
	input = value_get(request, "InputS3Configuration");
	output = value_get(request, "OutputS3Configuration");
	types = value_get(output, "OutputType");
	sse = value_str(output, "S3SseAlgorithm");
	r->input = address_of(r, input);
	r->output = address_of(r, output);
	r->put = (struct object_put){.content_type = STR("application/json"),
		.sse = sse,
		.kms_key_id = value_str(output, "S3SseKmsKeyId")};
	r->inflate = inflate_of(value_str(input, "InputCompressionType"));
	r->accelerated = str_eq(value_str(request, "PerformanceTier"), STR("ACCELERATED"));
	r->units_max = value_int(request, "MaxWriteRequestUnits", 0);
	r->folder = folder_of(r->arena, r->output.key, r->job.id);
	for (uint32_t i = 0; i < value_count(types); i++)
		r->wants[str_eq(value_text(value_at(types, i)), STR("ERROR")) ? BULK_ERROR
									      : BULK_CONDITION] =
			true;
	return 0;
}

/* ---- the end ---- */

struct ending {
	struct bulk_run *run;
	enum bulk_status status;
};

static int end_in_store(struct kv_txn *txn, void *arg)
{
	struct ending *x = arg;
	struct bulk_run *r = x->run;
	struct bulk_job now;

	TRY(bulk_still_ours(r, txn, r->arena, &now));
	now = r->job;
	now.seq++;
	bulk_report_drop(txn, r->arena, &now);
	return bulk_end(txn, r->arena, &now, x->status);
}

static int end_with(struct bulk_run *r, enum bulk_status status)
{
	struct ending x = {r, status};
	str keys[] = {r->key, bulk_running_key(r->arena, r->job.id),
		bulk_count_key(r->arena, r->job.account, r->job.region)};

	return kv_run(r->d->kv, keys, ARRAY_SIZE(keys), end_in_store, &x, rt_after_ms(WRITE_MS));
}

/* All has been read, or it was cancelled: the report, and the end. */
static int finish(struct bulk_run *r)
{
	enum bulk_status status = BULK_COMPLETED;

	if (r->job.status == BULK_CANCELLING) {
		status = BULK_CANCELLED;
		r->job.failure_code = STR("OperationCancelled");
		r->job.failure_message = STR("The operation was cancelled by a request");
	} else if (r->job.failed) {
		status = BULK_COMPLETED_WITH_ERRORS;
	}
	TRY(bulk_report_flush(r, true));
	TRY(bulk_report_end(r, status));
	return end_with(r, status);
}

static int fail(struct bulk_run *r)
{
	log_warn("dynamodb", "a bulk operation has failed",
		"operation=%.*s account=%.*s code=%.*s reason=%.*s",
		STR_ARG(bulk_id_text(r->arena, r->job.id)), STR_ARG(r->job.account),
		STR_ARG(r->why_code), STR_ARG(r->why_message));
	r->job.failure_code = r->why_code;
	r->job.failure_message = r->why_message;
	return end_with(r, BULK_FAILED);
}

/* ---- the beginning ---- */

/* Objects below the prefix behind `after`, but not those of our own report. */
static int list(struct bulk_run *r, struct arena *a, str after, size_t max,
	struct object_entry **ret_entries)
{
	const struct port_objects *port = r->d->ports->objects;
	struct fault fault = {0};

	return bulk_port_result(
		r, port->list(port->self, a, &r->input, after, max, ret_entries, &fault), &fault);
}

static bool is_own(const struct bulk_run *r, str key)
{
	return str_eq(r->input.bucket, r->output.bucket) && str_starts(key, r->folder);
}

static int count_page(struct bulk_run *r, struct buf *after)
{
	struct arena a cleanup(arena_done_p);
	struct object_entry *entries;
	int n;

	arena_init(&a, SIZE_MAX);
	n = TRY(list(r, &a, after->n ? buf_str(after) : STR_NULL, LIST_PAGE, &entries));
	for (int i = 0; i < n; i++) {
		if (is_own(r, entries[i].key))
			continue;
		r->job.objects++;
		r->job.total_bytes += entries[i].bytes;
	}
	if (r->job.objects > BULK_OBJECTS_MAX)
		return bulk_fail(r, STR("ValidationException"),
			arena_printf(
				r->arena, "The input has more than %d objects", BULK_OBJECTS_MAX));
	buf_reset(after);
	if (n)
		buf_put(after, entries[n - 1].key);
	return n == LIST_PAGE;
}

struct counting {
	struct bulk_run *run;
	struct bulk_job next;
};

static int count_in_store(struct kv_txn *txn, void *arg)
{
	struct counting *x = arg;
	struct bulk_run *r = x->run;
	struct bulk_job now;

	x->next = r->job;
	TRY(bulk_still_ours(r, txn, r->arena, &now));
	x->next.status = now.status;
	x->next.counted = true;
	x->next.seq++;
	kv_txn_put(txn, r->key, bulk_encode(r->arena, &x->next));
	return 0;
}

/* How much there is to read; and whether the report can be written at all. */
static int count(struct bulk_run *r)
{
	struct counting x = {.run = r};
	struct buf after;

	buf_init(&after, r->arena, BULK_NAME_MAX);
	r->job.objects = r->job.total_bytes = 0;
	TRY(bulk_report_check(r));
	while (TRY(count_page(r, &after)))
		if (atomic_load(&r->d->stopping))
			return ERR_CANCELLED;
	if (!r->job.objects)
		return bulk_fail(r, STR("S3NoSuchKey"),
			ARENA_CONCAT(r->arena, STR("There are no objects below s3://"),
				r->input.bucket, STR("/"), r->input.key));
	TRY(kv_run(r->d->kv, &r->key, 1, count_in_store, &x, rt_after_ms(WRITE_MS)));
	r->job = x.next;
	return 0;
}

/* ---- objects ---- */

/* The next object becomes the one that is read: 1; 0: there is none any more. */
static int next_object(struct bulk_run *r)
{
	str after = r->job.through.n ? r->job.through : STR_NULL;
	struct object_entry *entries;

	do {
		if (!TRY(list(r, r->arena, after, 1, &entries)))
			return 0;
		after = entries[0].key;
	} while (is_own(r, after));
	if (r->job.done_objects >= BULK_OBJECTS_MAX)
		return bulk_fail(r, STR("ValidationException"),
			arena_printf(
				r->arena, "The input has more than %d objects", BULK_OBJECTS_MAX));
	r->job.object = after;
	r->job.etag = STR("");
	return 1;
}

static int look_at_object(struct bulk_run *r, const struct object_info *info)
{
	if (r->job.etag.n && !str_eq(r->job.etag, info->etag))
		return bulk_fail(r, STR("InputObjectModified"),
			ARENA_CONCAT(r->arena, STR("The object was modified while it was read: "),
				r->job.object));
	if (info->bytes > (uint64_t)BULK_OBJECT_GIB_MAX << 30)
		return bulk_fail(r, STR("ValidationException"),
			ARENA_CONCAT(
				r->arena, STR("An object is larger than 5 GB: "), r->job.object));
	return 0;
}

/* Who works, with the policies of now. */
static int ask_principal(struct bulk_run *r)
{
	const struct ports *ports = r->d->ports;

	if (TRY(principal_of_note(
		    ports ? ports->identity : NULL, r->arena, &r->job.as, &r->principal)))
		return 0;
	return bulk_fail(r, STR("S3AccessDenied"),
		STR("The credentials that started the operation do not count any more"));
}

/* The object that is being read, at the place where it stands. */
static int open_input(struct worker *w, struct bulk_run *r)
{
	const struct port_objects *port = r->d->ports->objects;
	struct object_address address = r->input;
	struct object_reader *reader;
	struct object_info info;
	struct fault fault = {0};
	int rc;

	close_input(w);
	address.key = r->job.object;
	TRY(bulk_port_result(
		r, port->open(port->self, r->arena, &address, &info, &reader, &fault), &fault));
	rc = look_at_object(r, &info);
	if (rc < 0) {
		port->close(reader);
		return rc;
	}
	r->job.etag = info.etag;
	w->input_of = r->job.id;
	buf_put(&w->input_key, r->job.object);
	rc = bulk_input_open(
		&w->input, port, reader, r->inflate, r->job.offset, r->job.line, &r->d->stopping);
	if (rc == ERR_EOF || rc == ERR_SYNTAX)
		return bulk_fail(r, STR("InputObjectModified"),
			ARENA_CONCAT(r->arena, STR("The object was modified while it was read: "),
				r->job.object));
	TRY(rc);
	/* The way there may have been long: what was said of who works holds for half an hour. */
	return ask_principal(r);
}

/* Is that open which the operation reads? */
static bool is_open(const struct worker *w, const struct bulk_run *r)
{
	return w->input.reader && same_id(w->input_of, r->job.id) && r->job.object.n &&
	       str_eq(buf_str(&w->input_key), r->job.object) && w->input.offset == r->job.offset &&
	       w->input.line == r->job.line;
}

/* ---- a slice ---- */

/* What the last batch has cost has to come together first, at the rate that the request allows. */
static void pay(struct bulk_run *r, struct pace *p)
{
	if (r->units_max)
		p->ready_ns = MAX(p->ready_ns, rt_now()) +
			      (int64_t)(r->units * (double)RT_NS_S / (double)r->units_max);
	r->units = 0;
}

static int pause_between(const struct bulk_run *r, bool throttled)
{
	if (throttled)
		return rt_sleep_until(rt_after_ms(THROTTLED_MS));
	return r->accelerated ? rt_yield() : rt_sleep_until(rt_after_ms(PAUSE_MS));
}

/* 1: goes on; 0: it has ended. */
static int step(struct worker *w, struct bulk_run *r, struct pace *p)
{
	bool throttled;

	if (r->job.status == BULK_CANCELLING)
		return finish(r);
	if (!r->job.counted)
		TRY(count(r));
	if (!r->job.object.n && !TRY(next_object(r)))
		return finish(r);
	if (!is_open(w, r))
		TRY(open_input(w, r));
	if (!TRY(bulk_batch(r, &w->input, &throttled)))
		close_input(w); /* and with it what was read of a batch that was not written */
	pay(r, p);
	p->retries = 0;
	TRY(bulk_report_flush(r, false));
	TRY(pause_between(r, throttled));
	return 1;
}

/* The principal, and what the request says. */
static int begin_slice(struct bulk_run *r)
{
	TRY(ask_principal(r));
	return read_request(r);
}

/*
 * When a slice ends, seen behind its first step. The way back to where packed input goes on is in
 * that step: a slice is at least as long again, or those in turn would do little but unpack.
 */
static int64_t end_of_slice(const struct bulk_run *r, int64_t begun)
{
	int64_t now = rt_now(), way = MIN(now - begun, SLICE_MAX_MS * RT_NS_MS);
	int64_t least = (r->inflate == INFLATE_NONE ? SLICE_MS : SLICE_PACKED_MS) * RT_NS_MS;

	return now + (r->inflate == INFLATE_NONE ? least : MAX(least, way));
}

static int run_slice(struct worker *w, struct bulk_run *r, struct pace *p)
{
	int64_t begun = rt_now(), end = 0;
	int objects = 0, rc;

	do {
		if (atomic_load(&r->d->stopping))
			return ERR_CANCELLED;
		objects += !w->input.reader;
		rc = step(w, r, p);
		if (rc <= 0)
			return rc;
		if (!end)
			end = end_of_slice(r, begun);
	} while (p->ready_ns <= rt_now() && objects < OBJECTS_A_SLICE && rt_now() < end);
	return 0;
}

/* Tried too often: fails for good. */
static int give_up(struct bulk_run *r, int rc)
{
	(void)!bulk_fail(r, STR("InternalServerError"), str_c(rc_text(rc)));
	return fail(r);
}

static int slice(struct worker *w, struct arena *a, str key)
{
	struct bulk_run r = {.d = w->d, .arena = a, .key = key};
	struct pace *p;
	int rc;

	if (!TRY(bulk_load(w->d, a, key, &r.job)))
		return ERR_CORRUPT;
	p = pace_of(w, r.job.id);
	if (r.job.status != BULK_CANCELLING && p->ready_ns > rt_now())
		return rt_sleep_until(MIN(p->ready_ns, rt_after_ms(THROTTLED_MS)));
	rc = begin_slice(&r);
	if (rc >= 0)
		rc = run_slice(w, &r, p);
	if (rc >= 0)
		return rc;
	close_input(w);
	if (rc == ERR_FAULT)
		return fail(&r);
	if (rc != ERR_CANCELLED && ++p->retries > RETRIES_MAX)
		return give_up(&r, rc);
	return rc;
}

/* ---- in turn ---- */

/* The key of the next running operation behind w->at: 1, or 0. */
static int next_running(struct worker *w, struct arena *a, str *ret_key)
{
	struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
	str prefix = bulk_prefix(a, "bulk running"), key, value;
	struct kv_range range = {.limit = 1, .to = keyspace_prefix_end(a, prefix)};

	range.from = ARENA_CONCAT(a, bulk_running_key(a, w->at), STR("\0"));
	TRY(kv_scan_open(w->d->kv, &range, &scan));
	if (!TRY(kv_scan_next(scan, &key, &value)))
		return 0;
	*ret_key = arena_str(a, value);
	key = str_from(key, prefix.n);
	return str_take_be64(&key, &w->at.ms) && str_take_be32(&key, &w->at.random) ? 1
										    : ERR_CORRUPT;
}

/* A slice of one: 1; 0: none runs. */
static int work(struct worker *w)
{
	static const struct bulk_id first = {0, 0};
	struct arena a cleanup(arena_done_p);
	str key;

	arena_init(&a, SIZE_MAX);
	if (!TRY(next_running(w, &a, &key))) {
		if (same_id(w->at, first))
			return 0;
		w->at = first;
		return 1;
	}
	TRY(slice(w, &a, key));
	return 1;
}

/* ---- what is 90 days old ---- */

struct forgetting {
	struct arena *arena;
	str due_key, key, token_key;
};

static int forget_in_store(struct kv_txn *txn, void *arg)
{
	struct forgetting *x = arg;
	struct bulk_job job;
	str document, token, id;

	if (TRY(kv_txn_get(txn, x->key, x->arena, &document))) {
		TRY(bulk_decode(document, &job));
		if (bulk_is_running(&job))
			return 0;
		kv_txn_delete(txn, x->key);
	}
	/* Unless it has started another one since. */
	id = str_of(x->due_key.p + x->due_key.n - ID_BYTES, ID_BYTES);
	if (x->token_key.n && TRY(kv_txn_get(txn, x->token_key, x->arena, &token)) &&
		str_eq(str_sub(token, 1, ID_BYTES), id))
		kv_txn_delete(txn, x->token_key);
	kv_txn_delete(txn, x->due_key);
	return 0;
}

static int forget_one(struct dynamodb *d, struct arena *a, str due_key, str value)
{
	struct forgetting x = {.arena = a, .due_key = due_key};
	str keys[3];

	if (!keyspace_take(a, &value, &x.key) || !keyspace_take(a, &value, &x.token_key))
		return ERR_CORRUPT;
	keys[0] = x.due_key;
	keys[1] = x.key;
	keys[2] = x.token_key;
	return kv_run(
		d->kv, keys, x.token_key.n ? 3 : 2, forget_in_store, &x, rt_after_ms(WRITE_MS));
}

static int forget(struct dynamodb *d)
{
	struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
	struct arena a cleanup(arena_done_p);
	struct bulk_id until = {
		.ms = (uint64_t)MAX(rt_wall() / RT_NS_MS - BULK_KEPT_MS, INT64_C(0))};
	struct kv_range range = {.limit = FORGET_BATCH};
	str key, value;

	arena_init(&a, SIZE_MAX);
	range.from = bulk_prefix(&a, "bulk due");
	range.to = bulk_due_key(&a, until);
	TRY(kv_scan_open(d->kv, &range, &scan));
	for (int n = 0; n < FORGET_BATCH && TRY(kv_scan_next(scan, &key, &value)); n++)
		TRY(forget_one(d, &a, arena_str(&a, key), arena_str(&a, value)));
	return 0;
}

static int next_thing(struct worker *w)
{
	int rc = work(w);

	if (rc != 0)
		return rc;
	close_input(w);
	TRY(forget(w->d));
	rc = rt_event_wait(dynamodb_wanted(w->d, WORKER_BULK), rt_after_ms(FORGET_MS));
	return rc == ERR_TIMEOUT ? 0 : rc;
}

void dynamodb_bulk(void *arg)
{
	struct dynamodb *d = arg;
	struct worker *w = mem_new(struct worker);

	w->d = d;
	buf_init(&w->input_key, NULL, BULK_NAME_MAX + 1);
	while (!atomic_load(&d->stopping) && !rt_cancelled()) {
		int rc = d->ports && d->ports->objects
				 ? next_thing(w)
				 : rt_event_wait(dynamodb_wanted(d, WORKER_BULK), RT_NEVER);

		if (rc >= 0 || rc == ERR_CANCELLED)
			continue;
		if (rc != ERR_CONFLICT)
			log_warn("dynamodb", "a bulk operation is still being worked on", "rc=%s",
				rc_name(rc));
		if (rt_sleep_until(rt_after_ms(RETRY_MS)) < 0)
			break;
	}
	close_input(w);
	buf_done(&w->input_key);
	mem_free(w);
}
