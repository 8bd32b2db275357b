/*
 * The report of a bulk operation: lines wait in the store, in the transactions that they are about,
 * until there are enough of them for an object.
 *
 *     PREFIX/AWSDynamoDB/ID/ERROR/part-000001.json                    lines of JSON
 *     PREFIX/AWSDynamoDB/ID/CONDITION_CHECK_FAILURE/part-000001.json
 *     PREFIX/AWSDynamoDB/ID/manifest-summary.json                     at the end
 *
 * An object that is written again after a crash has the same name and the same lines. Names and
 * forms follow those of exports; those of bulk puts are not confirmed.
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/BulkPutItems.Output.html
 */
#include "services/dynamodb/bulk.h"
#include "services/dynamodb/service.h"

#include "base/time.h"
#include "kv/kv.h"

enum {
	CHUNK_BYTES = 1 << 20,
	PART_BYTES = 8 << 20,
	PART_CHUNKS = 1000,
	WRITE_MS = 10 * 1000,
	MANIFEST_MAX = 4 << 20
};

static const char *const names[] = {
	[BULK_ERROR] = "ERROR", [BULK_CONDITION] = "CONDITION_CHECK_FAILURE"};

void bulk_report_add(
	struct kv_txn *txn, struct arena *a, struct bulk_job *j, enum bulk_output type, str lines)
{
	struct bulk_spool *s = &j->spool[type];

	s->bytes += lines.n;
	while (lines.n) {
		str chunk = str_sub(lines, 0, CHUNK_BYTES);

		kv_txn_put_covered(txn, bulk_report_key(a, j->id, type, s->next++), chunk);
		lines = str_from(lines, chunk.n);
	}
}

void bulk_report_drop(struct kv_txn *txn, struct arena *a, const struct bulk_job *j)
{
	for (int type = 0; type < BULK_OUTPUTS; type++)
		for (uint64_t i = j->spool[type].first; i < j->spool[type].next; i++)
			kv_txn_delete_covered(
				txn, bulk_report_key(a, j->id, (enum bulk_output)type, i));
}

/* ---- objects ---- */

static str part_key(struct bulk_run *r, struct arena *a, int type, uint64_t number)
{
	return arena_printf(a, "%.*s%s/part-%06llu.json", STR_ARG(r->folder), names[type],
		(unsigned long long)number);
}

static int begin_object(struct bulk_run *r, str key, struct object_writer **ret_writer)
{
	const struct port_objects *port = r->d->ports->objects;
	struct object_address address = r->output;
	struct fault fault = {0};

	address.key = key;
	return bulk_port_result(r,
		port->create(port->self, r->arena, &address, &r->put, ret_writer, &fault), &fault);
}

static int end_object(struct bulk_run *r, struct object_writer *writer, int rc)
{
	const struct port_objects *port = r->d->ports->objects;
	struct object_info info;
	struct fault fault = {0};

	if (rc < 0) {
		port->abandon(writer);
		return rc;
	}
	return bulk_port_result(r, port->finish(writer, r->arena, &info, &fault), &fault);
}

static int check_object(struct bulk_run *r, str key)
{
	struct object_writer *writer;

	TRY(begin_object(r, key, &writer));
	r->d->ports->objects->abandon(writer);
	return 0;
}

int bulk_report_check(struct bulk_run *r)
{
	for (int type = 0; type < BULK_OUTPUTS; type++)
		if (r->wants[type])
			TRY(check_object(r, part_key(r, r->arena, type, 1)));
	return check_object(r, ARENA_CONCAT(r->arena, r->folder, STR("manifest-summary.json")));
}

static int write_chunks(struct bulk_run *r, int type, struct object_writer *writer)
{
	struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
	const struct bulk_spool *s = &r->job.spool[type];
	const struct kv_range range = {
		.from = bulk_report_key(r->arena, r->job.id, (enum bulk_output)type, s->first),
		.to = bulk_report_key(r->arena, r->job.id, (enum bulk_output)type, s->next)};
	uint64_t bytes = 0;
	str key, value;

	TRY(kv_scan_open(r->d->kv, &range, &scan));
	while (TRY(kv_scan_next(scan, &key, &value))) {
		TRY(r->d->ports->objects->write(writer, value));
		bytes += value.n;
	}
	return bytes == s->bytes ? 0 : ERR_CORRUPT;
}

struct emptying {
	struct bulk_run *run;
	struct bulk_job next;
	int type;
};

static int empty_in_store(struct kv_txn *txn, void *arg)
{
	struct emptying *x = arg;
	struct bulk_run *r = x->run;
	struct bulk_spool *s = &x->next.spool[x->type];
	struct bulk_job now;

	x->next = r->job;
	TRY(bulk_still_ours(r, txn, r->arena, &now));
	for (uint64_t i = s->first; i < s->next; i++)
		kv_txn_delete_covered(
			txn, bulk_report_key(r->arena, r->job.id, (enum bulk_output)x->type, i));
	s->parts++;
	s->first = s->next;
	s->bytes = 0;
	x->next.status = now.status;
	x->next.seq++;
	kv_txn_put(txn, r->key, bulk_encode(r->arena, &x->next));
	return 0;
}

static int flush_type(struct bulk_run *r, int type)
{
	struct emptying x = {.run = r, .type = type};
	struct object_writer *writer;

	TRY(begin_object(r, part_key(r, r->arena, type, r->job.spool[type].parts + 1), &writer));
	TRY(end_object(r, writer, write_chunks(r, type, writer)));
	TRY(kv_run(r->d->kv, &r->key, 1, empty_in_store, &x, rt_after_ms(WRITE_MS)));
	r->job = x.next;
	return 0;
}

int bulk_report_flush(struct bulk_run *r, bool all)
{
	for (int type = 0; type < BULK_OUTPUTS; type++) {
		const struct bulk_spool *s = &r->job.spool[type];

		if (s->next > s->first &&
			(all || s->bytes >= PART_BYTES || s->next - s->first >= PART_CHUNKS))
			TRY(flush_type(r, type));
	}
	return 0;
}

/* ---- the manifest ---- */

static void put_time(struct json_writer *w, str name, int64_t ms)
{
	char room[TIME_TEXT_MAX];
	struct buf text = {.p = room, .capacity = sizeof room, .max = sizeof room};

	time_put_iso_ms(&text, ms);
	json_put_key_string(w, name, buf_str(&text));
}

static void put_number(struct json_writer *w, str name, uint64_t n)
{
	json_put_key(w, name);
	json_put_u64(w, n);
}

static void put_input(struct json_writer *w, const struct bulk_run *r)
{
	json_put_key_string(w, STR("inputS3Bucket"), r->input.bucket);
	json_put_key_string(w, STR("inputS3KeyPrefix"), r->input.key);
	put_number(w, STR("totalInputBytes"), r->job.total_bytes);
	put_number(w, STR("processedInputBytes"), r->job.done_bytes + r->job.object_bytes);
	put_number(w, STR("processedItemCount"), r->job.processed);
	put_number(w, STR("failedItemCount"), r->job.failed);
	put_number(w, STR("conditionCheckFailureCount"), r->job.unmet);
}

static void put_files(struct json_writer *w, struct bulk_run *r)
{
	json_put_key(w, STR("outputFiles"));
	json_put_array_begin(w);
	for (int type = 0; type < BULK_OUTPUTS; type++)
		for (uint64_t i = 1; i <= r->job.spool[type].parts; i++) {
			json_put_object_begin(w);
			json_put_key_string(w, STR("outputType"), str_c(names[type]));
			json_put_key_string(w, STR("s3Key"), part_key(r, r->arena, type, i));
			json_put_object_end(w);
		}
	json_put_array_end(w);
}

int bulk_report_end(struct bulk_run *r, enum bulk_status status)
{
	struct object_writer *writer;
	struct json_writer w;
	struct buf text;

	buf_init(&text, r->arena, MANIFEST_MAX);
	json_writer_init(&w, &text);
	json_put_object_begin(&w);
	json_put_key_string(&w, STR("bulkOperationArn"), bulk_arn(r->arena, &r->job));
	json_put_key_string(&w, STR("bulkOperationStatus"), str_c(bulk_status_text(status)));
	json_put_key_string(&w, STR("tableArn"), r->job.table_arn);
	put_time(&w, STR("startTime"), (int64_t)r->job.id.ms);
	put_time(&w, STR("endTime"), rt_wall() / RT_NS_MS);
	put_input(&w, r);
	put_files(&w, r);
	json_put_object_end(&w);
	if (text.over)
		return bulk_fail(r, STR("InternalServerError"),
			STR("The manifest has more parts than it can name"));
	TRY(begin_object(
		r, ARENA_CONCAT(r->arena, r->folder, STR("manifest-summary.json")), &writer));
	return end_object(r, writer, r->d->ports->objects->write(writer, buf_str(&text)));
}
