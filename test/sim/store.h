/*
 * What the files of the workload "store" share: store.c (tables, crashes, the last look),
 * store_write.c and store_read.c (what clients do).
 */
#ifndef TEST_SIM_STORE_H
#define TEST_SIM_STORE_H

#include "test/sim/history.h"

enum { STORE_SIDE_KEYS = 2 };

/* A write to the table "side", whose stream comes and goes. */
struct side_write {
	unsigned key;
	int64_t begun, ended;
	uint64_t n; /* what it made of the counter */
};

/* The stream of "side" was there from the first moment to the second at least. */
struct side_stream {
	int64_t from, to;
};

struct store {
	struct world *w;
	struct history history;
	uint64_t writes, groups; /* numbers given out */
	unsigned working;        /* clients that have not ended */
	int64_t ttl_since;       /* INT64_MAX: time to live is off */
	/* records as a follower of the stream saw them, by sequence number */
	char (*followed)[40];
	size_t n_followed;
	char iterator[1024];
	struct side_write *side_writes;
	size_t n_side_writes;
	struct side_stream side_streams[16];
	unsigned n_side_streams;
};

enum store_told {
	STORE_DONE,
	STORE_CONDITION, /* refused for its condition */
	STORE_REFUSED,   /* by a conflict, or nobody was there */
	STORE_UNKNOWN
};
/* What the answer says; a refusal that makes no sense is a failure. */
enum store_told store_told(struct store *s, const char *operation, const struct answer *answer);

/* One request each, as the table's clients make them. */
mayyield void store_write_one(struct store *s, struct arena *a);
mayyield void store_write_batch(struct store *s, struct arena *a);
mayyield void store_write_transaction(struct store *s, struct arena *a);
mayyield void store_write_statement(struct store *s, struct arena *a);
mayyield void store_send_nonsense(struct store *s, struct arena *a);
mayyield void store_read_one(struct store *s, struct arena *a);
mayyield void store_read_batch(struct store *s, struct arena *a);
mayyield void store_read_transaction(struct store *s, struct arena *a);
mayyield void store_read_pages(struct store *s, struct arena *a);
mayyield void store_read_nearest(struct store *s, struct arena *a);

/*
 * Reads the index (NULL: the table; a global one: of one key when g >= 0) page by page. What it
 * finds is in ret_items; the number of pages, < 0 when one failed.
 */
struct store_found {
	int64_t begun, ended;
	struct model_item items[MODEL_KEYS];
	unsigned times[MODEL_KEYS];
};
mayyield int store_collect(struct store *s, struct arena *a, const char *operation,
	const char *index, const char *condition, int64_t value, unsigned limit,
	struct store_found *ret_found);

/*
 * The same of a vector index: what SearchVectors finds with TopK 100, nearest to the vector 0, 1.
 * "vec" has whole items; g >= 0: "dyv", of that partition. 1, or < 0 when it failed.
 */
mayyield int store_search(
	struct store *s, struct arena *a, const char *index, int g, struct store_found *ret_found);

struct json_value;
/* The answer's JSON; NULL, and a failure, when it is none. */
const struct json_value *store_parse(struct store *s, struct arena *a, str body);

#endif
