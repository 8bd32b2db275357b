/*
 * Bulk operations: their records, and what the worker is made of.
 *
 *     operation       [META]["bulk"][account][region][id]          struct bulk_job
 *     running         [META]["bulk running"][id]                   the operation's key
 *     how many run    [META]["bulk count"][account][region]        4 bytes
 *     client token    [META]["bulk token"][account][region][token] id, until when, digest
 *     to be forgotten [META]["bulk due"][id]                       the operation's key
 *     report          [META]["bulk report"][id][type][number]      lines that are not in an object
 *
 * An id is the millisecond of the start and a random number. One fiber per server (bulk_worker.c)
 * works on what runs, a slice of time each in turn. Lines are read in batches; a batch's items,
 * the lines of the report about it, and how far the operation has come, are one transaction that
 * also looks whether the operation still stands where the batch began. So nothing is lost or done
 * twice, whatever is killed when, and no condition is asked about an item that the operation itself
 * has written. Private to this folder.
 *
 * The developer guide's pages on bulk put items (BulkPutItems.Format.html, .Output.html,
 * .Considerations.html) could be read in part only. Not confirmed: the members of an input record
 * beside Item, the form of operations' ARNs, FailureCodes, names and form of what is written to the
 * output bucket, and how many operations may run.
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/BulkPutItems.html
 * https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_StartBulkPutItems.html
 */
#ifndef DYNAMODB_BULK_H
#define DYNAMODB_BULK_H

#include "aws/ports/objects.h"
#include "aws/principal_note.h"
#include "services/dynamodb/table.h"

struct call;
struct dynamodb;
struct kv_txn;

enum {
	BULK_RUNNING_MAX = 50,         /* ours: of an account in a region, as many as imports */
	BULK_OBJECTS_MAX = 50000,      /* "Best practices for bulk put items" */
	BULK_OBJECT_GIB_MAX = 5,       /* the same */
	BULK_LINE_MAX = 4 << 20,       /* ours: an item of 400 KB as JSON */
	BULK_REPORTED_MAX = 512 << 10, /* ours: of a line that is shown in the report */
	BULK_NAME_MAX = 1024           /* key of an object */
};
#define BULK_KEPT_MS  (INT64_C(90) * 24 * 3600 * 1000) /* API_ListBulkOperations.html */
#define BULK_TOKEN_MS (INT64_C(8) * 3600 * 1000)       /* API_StartBulkPutItems.html */

/* In the order of the model's enumeration; stored. */
enum bulk_status {
	BULK_IN_PROGRESS,
	BULK_COMPLETED,
	BULK_COMPLETED_WITH_ERRORS,
	BULK_CANCELLING,
	BULK_CANCELLED,
	BULK_FAILED
};

/* Types of output; stored. */
enum bulk_output { BULK_ERROR, BULK_CONDITION, BULK_OUTPUTS };

struct bulk_id {
	uint64_t ms;
	uint32_t random;
};

/* Bytes written to the table or one of its indexes. */
struct bulk_usage {
	str name;     /* of the index; empty: the table */
	uint8_t kind; /* enum bulk_usage_kind */
	uint64_t bytes;
};
enum bulk_usage_kind { BULK_OF_TABLE, BULK_OF_LOCAL, BULK_OF_GLOBAL, BULK_OF_VECTORS };
enum { BULK_USAGES_MAX = 1 + 2 * TABLE_INDEXES_MAX };

/* What is not in an object of the report yet. */
struct bulk_spool {
	uint64_t parts;       /* objects that are written */
	uint64_t first, next; /* numbers of the lines that wait */
	uint64_t bytes;
};

struct bulk_job {
	/* For good. */
	struct bulk_id id;
	str account, region, table, table_arn, table_uuid;
	uint64_t table_id;
	str request;              /* StartBulkPutItemsInput, as codec_json_store() writes it */
	struct principal_note as; /* who started it: in whose name objects are read and written */
	/* How it stands. `seq` rises with each change by the worker. */
	uint64_t seq;
	enum bulk_status status;
	int64_t end_ms; /* 0: has not ended */
	str failure_code, failure_message;
	bool counted; /* total_bytes and objects are known */
	uint64_t total_bytes, objects;
	/* Where it stands: objects up to and with `through` are done; `object` is being read. */
	str through, object, etag;
	uint64_t offset, line; /* of its text, unpacked: bytes and lines that are done */
	uint64_t done_objects, done_bytes, object_bytes; /* bytes as they are in the bucket */
	uint64_t processed, failed, unmet;
	struct bulk_spool spool[BULK_OUTPUTS];
	struct bulk_usage usage[BULK_USAGES_MAX];
	size_t usage_count;
};

/* ---- bulk_job.c: records ---- */

str bulk_id_text(struct arena *a, struct bulk_id id);
str bulk_arn(struct arena *a, const struct bulk_job *j);
/* Account, region and id of an operation's ARN: true, or false for what is none. */
bool bulk_arn_parse(str arn, str *ret_account, str *ret_region, struct bulk_id *ret_id);

str bulk_key(struct arena *a, str account, str region, struct bulk_id id);
str bulk_running_key(struct arena *a, struct bulk_id id);
str bulk_count_key(struct arena *a, str account, str region);
str bulk_token_key(struct arena *a, str account, str region, str token);
str bulk_due_key(struct arena *a, struct bulk_id id);
str bulk_report_key(struct arena *a, struct bulk_id id, enum bulk_output type, uint64_t number);
/* All that begin so, for scans. */
str bulk_prefix(struct arena *a, const char *what);
str bulk_list_prefix(struct arena *a, str account, str region);

str bulk_encode(struct arena *a, const struct bulk_job *j);
/* Texts are of `document`. ERR_CORRUPT. */
must_use int bulk_decode(str document, struct bulk_job *ret_job);
/* 1 and the job, or 0. */
must_use int bulk_load(
	struct dynamodb *d, struct arena *a, str key, struct bulk_job *ret_job) mayyield;

const char *bulk_status_text(enum bulk_status status);
static inline bool bulk_is_running(const struct bulk_job *j)
{
	return j->status == BULK_IN_PROGRESS || j->status == BULK_CANCELLING;
}
/* The input that it was started with, in the arena. ERR_CORRUPT. */
must_use int bulk_request(
	struct arena *a, const struct bulk_job *j, const struct value **ret_input);
/* Fills a BulkOperationDescription. ERR_CORRUPT. */
must_use int bulk_describe(struct arena *a, const struct bulk_job *j, struct value *description);
/*
 * In a transaction that has declared operation, running and count: it has come to its end. Puts the
 * record.
 */
must_use int bulk_end(
	struct kv_txn *txn, struct arena *a, struct bulk_job *j, enum bulk_status status) mayyield;

/* ---- one slice of the work on one operation ---- */

struct bulk_input;

/* What an operation's request says, and who asks. */
struct bulk_run {
	struct dynamodb *d;
	struct arena *arena; /* of the slice */
	struct bulk_job job; /* as it is stored */
	str key;             /* of its record */
	struct principal principal;
	struct object_address input, output; /* keys: the prefixes */
	struct object_put put;
	uint8_t inflate; /* enum inflate_kind */
	bool wants[BULK_OUTPUTS];
	bool accelerated;
	int64_t units_max; /* a second; 0: any */
	str folder;        /* of the report: a key up to its last '/' */
	double units;      /* that the last batch has cost */
	/* Why it has to end, once something has returned ERR_FAULT. In the arena. */
	str why_code, why_message;
};

/*
 * The operation as it is in the store, inside a transaction: 0. ERR_CANCELLED: somebody else has
 * worked on it since this run knows it; ERR_NOT_FOUND.
 */
must_use int bulk_still_ours(const struct bulk_run *r, struct kv_txn *txn, struct arena *a,
	struct bulk_job *ret_now) mayyield;

/* ERR_FAULT, with the code and the text why the operation fails. */
int bulk_fail(struct bulk_run *r, str code, str message);
/* Of a call of the port: what S3 refuses is why it fails, what may pass is ERR_IO. */
must_use int bulk_port_result(struct bulk_run *r, int rc, const struct fault *fault);

/* ---- bulk_batch.c: lines become items ---- */

/*
 * Reads a batch of lines and puts it: 1: goes on; 0: the object is through, or it is being
 * cancelled (r->job says which). *ret_throttled: nothing was done for lack of throughput; the same
 * input goes on then. ERR_FAULT: bulk_fail() has said why. After any error the input is to be
 * closed, and the record looked at anew.
 */
must_use int bulk_batch(struct bulk_run *r, struct bulk_input *in, bool *ret_throttled) mayyield;

/* ---- bulk_report.c: what could not be written ---- */

/* Puts lines of the report into the operation's spool, in the transaction that writes `j`. */
void bulk_report_add(
	struct kv_txn *txn, struct arena *a, struct bulk_job *j, enum bulk_output type, str lines);
/* May the output be written to? ERR_FAULT as above. */
must_use int bulk_report_check(struct bulk_run *r) mayyield;
/* Makes objects of what waits: of all when `all`, else where it is much. */
must_use int bulk_report_flush(struct bulk_run *r, bool all) mayyield;
/* Writes the manifest of the operation as it ends. */
must_use int bulk_report_end(struct bulk_run *r, enum bulk_status status) mayyield;
/* Deletes what waits, in the transaction that ends the operation. */
void bulk_report_drop(struct kv_txn *txn, struct arena *a, const struct bulk_job *j);

/* ---- bulk_worker.c ---- */

/* As a fiber until the service stops. `arg`: struct dynamodb. */
void dynamodb_bulk(void *arg);

#endif
