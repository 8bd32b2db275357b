/*
 * DynamoDB as far as the workload "store" uses it, said once more and in the plainest way: items
 * with a few attributes, conditions and updates on them, and their JSON. It shares nothing with
 * the server but base/, so a mistake there is not a mistake here, too.
 *
 * An item's key is a number 0..MODEL_KEYS - 1 here: pk = "k<number / MODEL_SORTS>", sk = number %
 * MODEL_SORTS. Its attributes are rows of MODEL_ATTRIBUTES. Pure.
 */
#ifndef TEST_SIM_MODEL_H
#define TEST_SIM_MODEL_H

#include "base/json.h"

enum { MODEL_PARTITIONS = 3, MODEL_SORTS = 3, MODEL_KEYS = MODEL_PARTITIONS * MODEL_SORTS };

enum model_attribute {
	MODEL_W, /* N: which write made this version */
	MODEL_N, /* N: a counter */
	MODEL_G, /* S "g<value>": key of the global index */
	MODEL_L, /* N: key of the local index */
	MODEL_T, /* N: the second it expires at */
	MODEL_P, /* S of `value` letters: weight */
	MODEL_V, /* L of `value` and 1: a vector */
	MODEL_ATTRIBUTES
};

struct model_item {
	bool exists;
	bool has[MODEL_ATTRIBUTES];
	int64_t value[MODEL_ATTRIBUTES]; /* 0 where there is none */
};

enum model_test { MODEL_EXISTS, MODEL_NOT_EXISTS, MODEL_EQUAL, MODEL_LESS };
struct model_term {
	enum model_test test;
	enum model_attribute attribute;
	int64_t value;
};
enum { MODEL_TERMS_MAX = 2 };
struct model_condition {
	unsigned count; /* 0: always holds */
	bool any, negated;
	struct model_term terms[MODEL_TERMS_MAX];
};

enum model_kind { MODEL_PUT, MODEL_UPDATE, MODEL_DELETE, MODEL_CHECK };
struct model_op {
	enum model_kind kind;
	unsigned key;
	struct model_condition condition;
	struct model_item item;        /* MODEL_PUT; MODEL_UPDATE: what is set */
	bool remove[MODEL_ATTRIBUTES]; /* MODEL_UPDATE */
	bool keep_l;                   /* MODEL_UPDATE: l = if_not_exists(l, value) */
	int64_t add;                   /* MODEL_UPDATE: to n; 0: nothing */
};

bool model_holds(const struct model_condition *condition, const struct model_item *item);
/* The item after it; for an operation whose condition holds. */
struct model_item model_apply(const struct model_op *op, const struct model_item *old);
bool model_equal(const struct model_item *a, const struct model_item *b);

/* {"pk":{"S":"k0"},"sk":{"N":"1"}} */
void model_put_key(struct buf *out, unsigned key);
/* The same with the attributes. */
void model_put_item(struct buf *out, unsigned key, const struct model_item *item);
/* What follows "TableName" and Key or Item in the operation's request: expressions and values. */
void model_put_expressions(struct buf *out, const struct model_op *op);
/* The statement of PartiQL, with its double quotes escaped for JSON. */
void model_put_statement(struct buf *out, const char *table, const struct model_op *op);
/* For messages. */
void model_put_text(struct buf *out, const struct model_item *item);

/*
 * Reads a key (*ret_key) and the attributes. NULL: no item. False: it is none of ours, or has
 * something that none of ours has.
 */
bool model_read(const struct json_value *v, unsigned *ret_key, struct model_item *ret_item);

#endif
