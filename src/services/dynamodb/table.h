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
#include "services/dynamodb/vector.h"

enum {
	/* of a resource; Tagging.html */
	TABLE_TAGS_MAX = 50,
	/* "Secondary indexes", ServiceQuotas.html; the first may be raised by request, ours is it
	 */
	TABLE_GLOBAL_INDEXES_MAX = 20,
	TABLE_LOCAL_INDEXES_MAX = 5,
	TABLE_VECTOR_INDEXES_MAX = 5,
	TABLE_INDEXES_MAX =
		TABLE_GLOBAL_INDEXES_MAX + TABLE_LOCAL_INDEXES_MAX + TABLE_VECTOR_INDEXES_MAX,
	/* non-key attributes that are projected into all indexes of a table together */
	TABLE_PROJECTED_MAX = 100,
	/* in keys of a table and all its indexes */
	TABLE_ATTRIBUTES_MAX = 2 + TABLE_INDEXES_MAX * 2 * KEY_ATTRIBUTES_MAX +
			       TABLE_VECTOR_INDEXES_MAX * VECTOR_FILTERS_MAX,
	/* Names of 255 characters in all these places, tags, and roles of auto scaling (1,600),
	 * each character as \u0001. */
	TABLE_DOCUMENT_MAX = 2 * 1024 * 1024
};

/* An attribute of the key: 'S', 'N' or 'B'; name is STR_NULL when the table has no sort key. */
struct table_attribute {
	str name;
	char type;
};

struct table_tag {
	str key, value;
};

/* ProvisionedThroughput, OnDemandThroughput and WarmThroughput of a table or a global index. */
struct table_throughput {
	int64_t read_units, write_units;    /* provisioned; 0 on demand */
	int64_t increased_ms, decreased_ms; /* 0: never */
	int64_t decreases;                  /* on the (UTC) day of decreased_ms */
	int64_t read_max, write_max;        /* on demand; 0: not set, -1: set to no limit */
	int64_t warm_read, warm_write;      /* 0: not set, the default is shown */
};

/*
 * Warm throughput of a table or global index: what was set or had before, and at least its units,
 * or what a new one on demand starts with.
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/warm-throughput.html
 */
enum { WARM_READ_ON_DEMAND = 12000, WARM_WRITE_ON_DEMAND = 4000 };

static inline int64_t table_warm_read(const struct table_throughput *u, bool on_demand)
{
	return MAX(u->warm_read, on_demand ? WARM_READ_ON_DEMAND : u->read_units);
}

static inline int64_t table_warm_write(const struct table_throughput *u, bool on_demand)
{
	return MAX(u->warm_write, on_demand ? WARM_WRITE_ON_DEMAND : u->write_units);
}

/* CloudWatch Contributor Insights of a table or global index, as set (insights.c). */
enum table_insights_mode { INSIGHTS_OFF, INSIGHTS_ALL_KEYS, INSIGHTS_THROTTLED_KEYS };
struct table_insights {
	enum table_insights_mode mode;
	int64_t changed_ms; /* 0: never */
};

/*
 * Auto scaling of one kind of units of a table or global index, as set (auto_scaling.c). Texts are
 * STR_NULL and cooldowns -1 where they were not given.
 */
struct table_scaling {
	bool enabled;
	int64_t minimum, maximum;
	str role, policy;
	bool disable_scale_in;
	int64_t in_cooldown, out_cooldown; /* seconds */
	double target;                     /* percent of the units */
};

enum table_projection { PROJECTION_ALL, PROJECTION_KEYS_ONLY, PROJECTION_INCLUDE };
/* ACTIVE is 0. A deleted index is DELETING until its entries are gone. */
enum table_index_status { INDEX_ACTIVE, INDEX_CREATING, INDEX_UPDATING, INDEX_DELETING };

/* SearchSchema of a vector index, as given; `hash`: of its partition key, which `keys` has too. */
struct table_search_element {
	struct key_attribute attribute;
	bool hash;
};

/* What makes an index one of vectors. */
struct table_vector {
	str attribute;
	uint32_t dimensions;
	enum vector_distance distance;
	const struct table_search_element *schema;
	size_t schema_count; /* at most 1 + VECTOR_FILTERS_MAX */
};

/*
 * A secondary index. Its entries are written with the item (write.h), from the moment that the
 * table's record names it; a global one that is made later is filled in the background
 * (backfill.c), and cannot be read until it is ACTIVE.
 */
struct table_index {
	uint64_t id; /* of its entries' keys; from the same numbers as tables' ids */
	str name, arn;
	bool local;
	/* NULL: a local or a global one. Of vectors `keys` has one partition key or none, no sort
	 * key, and `units` and `insights` are not used. */
	const struct table_vector *vector;
	struct key_schema keys;
	enum table_projection projection;
	const str *include; /* NonKeyAttributes, as given */
	size_t include_count;
	/* What an entry holds unless all: key attributes of index and table, and `include`; of
	 * vectors also the vector (vector.h) and the whole search schema. */
	const struct expr_projection *stored;
	enum table_index_status status;
	bool backfilling;
	struct table_throughput units; /* global ones */
	struct table_scaling read_scaling, write_scaling;
	struct table_insights insights;
};

enum table_stream_view { VIEW_KEYS_ONLY, VIEW_NEW_IMAGE, VIEW_OLD_IMAGE, VIEW_NEW_AND_OLD_IMAGES };

/* The stream that writes go to; earlier ones have records of their own (stream.h). */
struct table_stream {
	uint64_t id; /* of its records' keys; 0: no stream is enabled */
	str label;   /* "2026-11-28T03:28:57.123" */
	enum table_stream_view view;
};

struct table {
	struct arena arena; /* owns the strings */
	unsigned refs;      /* of one loop's fibers and its catalog */
	uint64_t id;        /* of its items' keys; never used again */
	str account, region, name, arn, uuid;
	struct table_attribute partition, sort;
	struct key_schema keys; /* the same, as key.h wants it */
	/* Local indexes first, then the others in the order in which they were made. */
	const struct table_index *indexes;
	size_t index_count, local_count;
	struct table_stream stream;
	str last_stream_label; /* LatestStreamLabel, kept after disabling; STR_NULL: never had one
				*/
	/* Time to live: the attribute; STR_NULL: not enabled. Entries of DYNAMODB_EXPIRY are kept
	 * for it (write.h) from the moment that it stands here. */
	str ttl_attribute;
	int64_t ttl_changed_ms; /* 0: never */
	bool on_demand;         /* BillingMode PAY_PER_REQUEST */
	struct table_throughput units;
	struct table_scaling read_scaling, write_scaling;
	int64_t created_ms, on_demand_since_ms;
	int64_t class_since_ms; /* 0: since it was made */
	bool deletion_protection;
	struct table_insights insights;
	str table_class; /* "STANDARD" unless chosen; STR_NULL: not shown */
	str policy;      /* resource-based (resource_policy.h); STR_NULL: none */
	str policy_revision;
	str sse_key; /* ARN; STR_NULL: the key that AWS owns, and nothing is shown */
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

/* Attributes that are keys of a table or of its indexes: AttributeDefinitions. */
struct table_attributes {
	const struct key_attribute *list;
	size_t n;
};

/* Each once, ascending by name; of the arena. */
struct table_attributes table_attributes(struct arena *a, const struct table *t);

/* IndexStatus. */
const char *table_index_status(const struct table_index *i);
/* TableStatus: UPDATING while an index that is made later is being prepared; else ACTIVE. */
const char *table_status(const struct table *t);

/* ItemCount and TableSizeBytes, of the table and of each index (count.h). */
struct table_figures {
	int64_t items, bytes;
	struct {
		int64_t items, bytes;
	} index[TABLE_INDEXES_MAX];
};

/*
 * Fills a TableDescription (DescribeTable's Table, CreateTable's TableDescription). `figures` are
 * of this state of the table.
 */
void table_describe(const struct table *t, const char *status, const struct table_figures *figures,
	int64_t now_ms, struct value *description);

/*
 * Fills what follows from the other members: arn, stored. The table has its arn and keys; memory is
 * the arena's.
 */
void table_index_finish(struct arena *a, const struct table *t, struct table_index *i);
/* A secondary index that is neither local nor of vectors. */
static inline bool table_index_is_global(const struct table_index *i)
{
	return !i->local && !i->vector;
}

/* How many of the indexes are of vectors. */
size_t table_vector_count(const struct table *t);
/* The index of that name, or NULL. */
const struct table_index *table_index_named(const struct table *t, str name);

/* ARN of a table that has account, region and name. */
str table_arn(struct arena *a, const struct table *t);

/* Key of the record in the store. */
str table_key(struct arena *a, str account, str region, str name);

#endif
