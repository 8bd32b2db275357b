/*
 * Event source mappings: their records in the store, and what the engine needs to know of one.
 *
 *     LAMBDA_META "mapping" account region uuid              the mapping (mapping_encode())
 *     LAMBDA_META "mapping-of" account region source function    its uuid: one for such a pair
 *     LAMBDA_META "mapping-at" account region uuid shard     how far a shard has been processed
 *     LAMBDA_META "mapping-run" account region uuid shard    what is being processed (a mark)
 *     LAMBDA_META "mapping-result" account region uuid       LastProcessingResult
 *
 * Every write to the first declares its key; the second is declared beside it. The others are
 * written by the one reader that has the shard. A mapping outlives its function, as with AWS.
 *
 * Functions that take a kv suspend. Private to services/lambda.
 *
 * Source: API Reference, EventSourceMappingConfiguration; Developer Guide, "Process event records
 * from ... with Lambda event source mappings".
 */
#ifndef SERVICES_LAMBDA_MAPPING_H
#define SERVICES_LAMBDA_MAPPING_H

#include "aws/event_pattern.h"
#include "aws/ports/records.h"
#include "aws/value.h"
#include "kv/kv.h"

enum mapping_state {
	MAPPING_CREATING,
	MAPPING_ENABLING,
	MAPPING_ENABLED,
	MAPPING_DISABLING,
	MAPPING_DISABLED,
	MAPPING_UPDATING,
	MAPPING_DELETING,
	MAPPING_STATES
};
/* "Creating" ... */
str mapping_state_text(enum mapping_state state);

struct mapping {
	str account, region, uuid;
	/* Changes with what is to run, and not with the state. */
	uint64_t revision;
	enum mapping_state state;
	bool enabled; /* what the user wants */
	int64_t modified_ms;
	struct value *config; /* EventSourceMappingConfiguration: what the user has set */
	struct value *tags;   /* CreateEventSourceMappingRequest: its Tags */
};

static inline bool mapping_is_changing(const struct mapping *m)
{
	return m->state != MAPPING_ENABLED && m->state != MAPPING_DISABLED;
}

/* arn:aws:lambda:REGION:ACCOUNT:event-source-mapping:UUID */
str mapping_arn(struct arena *a, str account, str region, str uuid);
/* False when it is no such ARN. */
bool mapping_arn_parse(str arn, str *ret_account, str *ret_region, str *ret_uuid);

/* The record; what is written reads back (checked). Pure. */
str mapping_encode(struct arena *a, const struct mapping *m);
/* ERR_CORRUPT, ERR_VERSION. Account, region and uuid are the caller's. */
must_use int mapping_decode(struct arena *a, str record, struct mapping *ret_mapping);

/* What the engine acts on. In an arena; read-only. */
struct mapping_settings {
	str source_arn, function_arn, function_name, on_failure; /* empty: none */
	enum records_start start;
	uint32_t batch_records, lanes;
	int64_t batch_window_ms, age_ms_max, retries_max; /* -1: without end */
	int64_t tumbling_ms;                              /* 0: none */
	bool bisect, item_failures, counts;               /* counts: MetricsConfig has EventCount */
	const struct event_pattern *const *filters;       /* one of them; none: all pass */
	uint32_t filter_count;
};
/* ERR_CORRUPT: a filter that was checked once is none any more. Pure. */
must_use int mapping_settings_of(
	struct arena *a, const struct mapping *m, struct mapping_settings *ret_settings);
/* Does a record's JSON pass? What is no JSON object passes no filter. Pure. */
bool mapping_passes(const struct mapping_settings *s, str json);

/* ---- mapping_store.c ---- */

/* 1 and the mapping, 0. */
must_use int mapping_load(struct kv *kv, struct arena *a, str account, str region, str uuid,
	struct mapping *ret_mapping) mayyield;
/* Its LastProcessingResult; STR_NULL before the first. */
must_use int mapping_result(
	struct kv *kv, struct arena *a, const struct mapping *m, str *ret_text) mayyield;
must_use int mapping_put_result(
	struct kv *kv, str account, str region, str uuid, str text, int64_t deadline) mayyield;
/*
 * Writes a new mapping. ERR_EXISTS and *ret_other (its uuid): the function has one for that source.
 */
must_use int mapping_create(struct kv *kv, struct arena *a, const struct mapping *m,
	int64_t deadline, str *ret_other) mayyield;

struct mapping_change {
	str account, region, uuid;
	/* The function that the mapping will have; STR_NULL: the same. */
	str function_arn;
	/*
	 * Gets it as stored: > 0 writes it, 0 leaves it, < 0 ends (the result). May run several
	 * times.
	 */
	int (*change)(void *arg, struct arena *a, struct mapping *m);
	void *arg;
	int64_t deadline;
};
/* ERR_NOT_FOUND; ERR_EXISTS as above. */
must_use int mapping_change(struct kv *kv, struct arena *a, const struct mapping_change *change,
	struct mapping *ret_mapping, str *ret_other) mayyield;
/* Removes it, with all that belongs to it. */
must_use int mapping_remove(
	struct kv *kv, struct arena *a, const struct mapping *m, int64_t deadline) mayyield;
/*
 * Mappings in order of their keys, until `fn` returns not 0 (the result): all of a region, behind a
 * uuid (STR_NULL: from the first), or with `account` STR_NULL all there are.
 */
must_use int mapping_each(struct kv *kv, struct arena *a, str account, str region, str after,
	int (*fn)(void *arg, const struct mapping *m), void *arg) mayyield;

/* How far a shard has been processed. */
struct mapping_checkpoint {
	str shard;         /* empty: says that the starting positions have been taken */
	bool done;         /* the whole shard; then the rest is empty */
	str position;      /* of the source */
	int64_t window_ms; /* start of the open tumbling window; 0: none is open */
	str state;         /* of the window, JSON */
};
/* 1, 0. */
must_use int mapping_checkpoint(struct kv *kv, struct arena *a, str account, str region, str uuid,
	str shard, struct mapping_checkpoint *ret_checkpoint) mayyield;
/* All of a mapping: how many. */
must_use int mapping_checkpoints(struct kv *kv, struct arena *a, str account, str region, str uuid,
	struct mapping_checkpoint **ret_checkpoints) mayyield;
/* Writes them all together, or (remove) removes them and the shards' marks. */
must_use int mapping_put_checkpoints(struct kv *kv, struct arena *a, str account, str region,
	str uuid, const struct mapping_checkpoint *checkpoints, size_t count, bool remove,
	int64_t deadline) mayyield;

/*
 * Written before records are given to a function. It is stale when the shard's position has moved
 * on; a server that finds its own position in it was processing that when the one before ended.
 */
struct mapping_mark {
	uint64_t boot;    /* of the server that was at it; 0: it stopped in between */
	uint32_t crashes; /* so many workers have crashed meanwhile */
	uint32_t records; /* 0: the end of a tumbling window */
	str from;         /* the shard's position */
	str last;         /* sequence of the last record */
};
/* 1, 0. */
must_use int mapping_mark(struct kv *kv, struct arena *a, str account, str region, str uuid,
	str shard, struct mapping_mark *ret_mark) mayyield;
must_use int mapping_put_mark(struct kv *kv, str account, str region, str uuid, str shard,
	const struct mapping_mark *mark, int64_t deadline) mayyield;

#endif
