/*
 * What clients were told, and what the stream says has happened: do they fit together?
 *
 * The stream is taken as a witness of the order in which items changed. It is itself checked: each
 * record replaces what the one before it left, each has exactly one write that made it and is what
 * the model makes of that write, and whatever was acknowledged is in it once. Then each record gets
 * the interval in which it must have happened, from when its write was called and answered and from
 * what others saw; the intervals must allow the order. So answers are linearizable, in fact
 * serializable over all items, transactions are whole, and reads saw the version of their time.
 */
#ifndef TEST_SIM_HISTORY_H
#define TEST_SIM_HISTORY_H

#include "test/sim/model.h"
#include "test/sim/world.h"

enum history_outcome {
	HISTORY_DONE,
	HISTORY_UNKNOWN, /* an internal error: it has happened, or has not, or will yet */
	HISTORY_REFUSED  /* it has not happened */
};

/* One write of one item. Every put and update sets MODEL_W, to a number of its request's own. */
struct history_write {
	int64_t begun, ended;
	uint64_t group; /* writes with one group are a transaction; 0: alone */
	enum history_outcome outcome;
	struct model_op op;
	bool saw; /* was told what it replaced */
	struct model_item seen;
	bool claimed;      /* private */
	size_t suspect_of; /* private: the number of a record, from 1 on */
};

struct history_read {
	int64_t begun, ended;
	uint64_t group; /* reads with one group saw one state; 0: alone */
	unsigned key;
	struct model_item item;
};

/* At some moment in between, the condition did not hold for the item. */
struct history_miss {
	int64_t begun, ended;
	unsigned key;
	struct model_condition condition;
	const char *why;
};

struct history_record {
	char sequence[40];
	unsigned key;
	struct model_item old_item, new_item;
	bool by_expiry;
	int64_t second;
	/* private */
	int64_t low, high; /* happened in between */
	size_t next;       /* record of this key, or their number */
	bool owned;        /* its write is known */
};

struct history {
	struct world *w;
	struct history_write *writes;
	struct history_read *reads;
	struct history_miss *misses;
	struct history_record *records;
	size_t n_writes, n_reads, n_misses, n_records;
	struct model_item final[MODEL_KEYS]; /* by history_check() */
};

void history_done(struct history *h);
void history_add_write(struct history *h, const struct history_write *write);
void history_add_read(struct history *h, const struct history_read *read);
void history_add_miss(struct history *h, const struct history_miss *miss);
void history_add_record(struct history *h, const struct history_record *record);

/* After all were added, the records in the order of their sequence numbers. */
void history_check(struct history *h);
/* A failure that concerns one item: says what happened to it lately. */
void history_fail(struct history *h, unsigned key, const char *format, ...) printf_like(3, 4);

#endif
