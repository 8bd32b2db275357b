/*
 * A table as requests see it: names, key schema, settings; and its stored form.
 *
 * A struct table is immutable. The catalog (catalog.h) keeps one per loop and table; it is counted,
 * because a request may hold it while it is suspended and the table is changed or deleted. Stored
 * as one JSON document under DYNAMODB_TABLES, written and read only here.
 */
#ifndef DYNAMODB_TABLE_H
#define DYNAMODB_TABLE_H

#include "aws/value.h"
#include "base/arena.h"
#include "services/dynamodb/key.h"

enum {
	TABLE_TAGS_MAX = 50, /* tags of a resource; Tagging.html */
	TABLE_DOCUMENT_MAX = 256 * 1024
};

/* An attribute of the key: 'S', 'N' or 'B'; name is STR_NULL when the table has no sort key. */
struct table_attribute {
	str name;
	char type;
};

struct table_tag {
	str key, value;
};

struct table {
	struct arena arena; /* owns the strings */
	unsigned refs;      /* of one loop's fibers and its catalog */
	uint64_t id;        /* of its items' keys; never used again */
	str account, region, name, arn, uuid;
	struct table_attribute partition, sort;
	struct key_schema keys; /* the same, as key.h wants it */
	bool on_demand;         /* BillingMode PAY_PER_REQUEST */
	int64_t read_units, write_units;
	int64_t created_ms, on_demand_since_ms;
	int64_t increased_ms, decreased_ms; /* throughput; 0: never */
	int64_t decreases;                  /* on the (UTC) day of decreased_ms */
	int64_t class_since_ms;             /* 0: since it was made */
	bool deletion_protection;
	str table_class; /* "STANDARD" unless chosen; STR_NULL: not shown */
	const struct table_tag *tags;
	size_t tag_count;
};

static inline struct table *table_ref(struct table *t)
{
	t->refs++;
	return t;
}
/* NULL is fine. */
void table_unref(struct table *t);
void table_unref_p(struct table **t);

/* The stored document. */
str table_encode(struct arena *a, const struct table *t);
/* A new table with one reference. ERR_CORRUPT. */
must_use int table_decode(str document, struct table **ret_table);

/* ItemCount and TableSizeBytes (count.h). */
struct table_figures {
	int64_t items, bytes;
};

/* Fills a TableDescription (DescribeTable's Table, CreateTable's TableDescription). */
void table_describe(const struct table *t, const char *status, const struct table_figures *figures,
	int64_t now_ms, struct value *description);

/* Key of the record in the store. */
str table_key(struct arena *a, str account, str region, str name);

#endif
