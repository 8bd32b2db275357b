/*
 * ItemCount and TableSizeBytes of tables, ItemCount and IndexSizeBytes of indexes.
 *
 * Nothing is counted when items are written. DescribeTable counts: a small table at once, so its
 * figures are exact; of a larger one it gives the figures of the last full count and begins another
 * one in the background when they are old: ten seconds, or two hundred times as long as that count
 * took, but six hours at most, which is how often AWS renews them. So counting costs a read of a
 * thousand items at most, and half a percent of one core in the background. Indexes are counted
 * in the same way, each by itself.
 *
 * Figures are kept in the store (DYNAMODB_META), so they outlive a restart.
 */
#ifndef DYNAMODB_COUNT_H
#define DYNAMODB_COUNT_H

#include "services/dynamodb/table.h"

struct dynamodb;

enum {
	COUNT_NOW_ITEMS = 1000,
	COUNT_NOW_BYTES = 1 << 20,
};

/*
 * Within `deadline`; zeros while a large table's first count is still under way. `renew`: old
 * figures begin another count.
 */
must_use mayyield int dynamodb_count(struct dynamodb *d, const struct table *t, bool renew,
	int64_t deadline, struct table_figures *ret_figures);
/* Where the figures of a table or index are; its sweep removes them. */
str dynamodb_count_key(struct arena *a, uint64_t id);

#endif
