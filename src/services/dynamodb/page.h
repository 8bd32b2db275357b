/*
 * One page of a table or index: what Query and Scan read, and whoever has made a plan of his own.
 *
 * A page ends at `limit` items, at 1 MB of items read (before the filter), or at the end of the
 * range; `last` says where the next one goes on, also when nothing is left behind a page that the
 * limit ended. Entries of an index stand by index keys, equal ones by the item's key.
 *
 * Filter and projection see an item as the index holds it. Only where more is asked of a local
 * index (`whole`, or a projection of what is not in it) is each matching item fetched from the
 * table, of the same state of the store. Private to this folder.
 * https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_Query.html
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/LSI.html
 */
#ifndef DYNAMODB_PAGE_H
#define DYNAMODB_PAGE_H

#include "services/dynamodb/expr.h"
#include "services/dynamodb/table.h"

struct kv;

struct page_plan {
	const struct table *table;
	const struct table_index *index;          /* of the table; NULL: the table itself */
	const struct key_condition *condition;    /* on the keys of that; NULL: a scan */
	uint32_t segment, segments;               /* of a scan: 0 of 1 is the whole */
	const struct expr_condition *filter;      /* NULL: none */
	const struct expr_projection *projection; /* NULL: all that is there */
	bool whole;                               /* of an index: all that the table has */
	bool count_only;                          /* nothing is given to `take` */
	bool reverse, consistent;
	int64_t limit; /* items read; 0: none */
	str start;     /* ExclusiveStartKey; STR_NULL: the begin */
};

/* Takes one item of the page, projected; it lives until the return. */
typedef void page_take(void *arg, str item);

struct page {
	uint32_t count, scanned; /* behind and before the filter */
	str last;                /* LastEvaluatedKey in the arena; STR_NULL: the range has ended */
	/* Read units. */
	double table_units, index_units[TABLE_INDEXES_MAX];
};

/*
 * May the index be read so? ERR_FAULT: it is not ACTIVE, a consistent read or `whole` of a global
 * one that does not have it, attributes that it does not project. Nothing to say of a table.
 */
must_use int page_check(const struct page_plan *plan, struct arena *a, struct fault *fault);

/*
 * Nothing but SearchVectors (search.c) reads a vector index: ERR_FAULT for a plan with one. Part of
 * page_check(), for whoever has to say it before he looks at keys.
 */
must_use int page_check_kind(
	const struct page_plan *plan, bool query, struct arena *a, struct fault *fault);

/* Hash and partition key of what a query reads (key_collection()); STR_NULL of a scan. */
str page_partition(const struct page_plan *plan, struct arena *a);

/*
 * Reads the page; page_check() was passed. ERR_FAULT: an invalid start key (the text says whether
 * a query or a scan was meant). ERR_BUDGET, ERR_TIMEOUT: of the arena and the deadline.
 */
must_use mayyield int page_read(struct kv *kv, const struct page_plan *plan, struct arena *a,
	int64_t deadline_ns, page_take *take, void *arg, struct page *ret_page,
	struct fault *fault);

#endif
