/*
 * Typed trees of inputs and outputs, in an arena, shaped by a model.
 *
 * Decoders build one from a request, the validator walks it, a handler reads it by AWS member names
 * and builds the output the same way: value_str(in, "FunctionName"), value_put_str(out,
 * "FunctionArn", arn). A name that the shape does not have, or a value of another type than the
 * member's, is our own bug and ends in check(), so typos die in tests.
 *
 * Everything lives in the arena given at creation. Text put into a tree is borrowed, not copied: it
 * must live as long (usually the same arena). Pure; no I/O, never yields.
 */
#ifndef AWS_VALUE_H
#define AWS_VALUE_H

#include "aws/model.h"
#include "base/arena.h"

struct value_tree {
	const struct model *model;
	struct arena *arena;
};

struct value_entry;

struct value {
	uint8_t kind;   /* enum shape_kind; 0: absent (in a structure) or null (in a list or map) */
	uint8_t flags_; /* for the codecs */
	uint16_t shape;
	uint32_t n; /* structure: member slots; list, map: elements */
	union {
		str s;     /* string, blob, document (raw JSON) */
		int64_t i; /* integer, long; timestamp: ms since 1970 */
		double d;  /* float, double */
		bool b;
		struct {
			const struct value_tree *tree;
			union {
				struct value *items;         /* structure slots; list elements */
				struct value_entry *entries; /* map, in the order of arrival */
			};
		};
	};
};

struct value_entry {
	str key;
	struct value value;
};

/* ---- reading; `v` is a structure. Absent members (v NULL too) give what is stated. ---- */

/* The member, or NULL when absent. */
const struct value *value_get(const struct value *v, const char *member);
static inline bool value_has(const struct value *v, const char *member)
{
	return value_get(v, member) != NULL;
}
str value_str(const struct value *v, const char *member); /* string, blob, document; STR_NULL */
int64_t value_int(const struct value *v, const char *member, int64_t otherwise);
double value_double(const struct value *v, const char *member, double otherwise);
bool value_bool(const struct value *v, const char *member, bool otherwise);
int64_t value_time_ms(const struct value *v, const char *member, int64_t otherwise);

/* Number of elements of a list or map; 0 for NULL. */
static inline uint32_t value_count(const struct value *v)
{
	return v ? v->n : 0;
}
/* Element `i` of a list. */
const struct value *value_at(const struct value *list, uint32_t i);
/* Text of a string, blob or document value itself. */
str value_text(const struct value *v);
/* for (uint32_t i = 0; i < value_count(map); i++) ... value_key(map, i), value_of(map, i) */
str value_key(const struct value *map, uint32_t i);
const struct value *value_of(const struct value *map, uint32_t i);
/* The value under a map's key, or NULL. */
const struct value *value_find(const struct value *map, str key);

/* ---- building ---- */

/* An empty structure of the model's shape of that name (operation inputs and outputs have one). */
struct value *value_new(struct arena *a, const struct model *m, const char *shape);
struct value *value_new_shape(struct arena *a, const struct model *m, unsigned shape);

/* A STR_NULL puts nothing. Putting again replaces. */
void value_put_str(struct value *v, const char *member, str s); /* string, blob, document */
void value_put_int(struct value *v, const char *member, int64_t i);
void value_put_double(struct value *v, const char *member, double d);
void value_put_bool(struct value *v, const char *member, bool b);
void value_put_time_ms(struct value *v, const char *member, int64_t ms);
/* The member as an empty structure, list or map to be filled; what was there before stays. */
struct value *value_put_struct(struct value *v, const char *member);
struct value *value_put_list(struct value *v, const char *member);
struct value *value_put_map(struct value *v, const char *member);
/*
 * A deep copy of `from` into the member (NULL puts nothing). The two shapes may differ (an input's
 * Environment into an EnvironmentResponse): structure members are matched by name, what the target
 * does not have is dropped, types that differ end in check(). Text is copied into the tree's arena.
 */
void value_put_copy(struct value *v, const char *member, const struct value *from);
/* All members of `from` into `v`, as value_put_copy() does for each. */
void value_copy_members(struct value *v, const struct value *from);

/* Pointers into a list or map move when it grows: fill one element before adding the next. */
void value_add_str(struct value *list, str s);
void value_add_int(struct value *list, int64_t i);
struct value *value_add_struct(struct value *list);
struct value *value_add_list(struct value *list);
void value_add_copy(struct value *list, const struct value *from);
void value_map_put_str(struct value *map, str key, str s);
void value_map_put_int(struct value *map, str key, int64_t i);
struct value *value_map_put_struct(struct value *map, str key);
struct value *value_map_put_list(struct value *map, str key);

/* ---- for codecs: by index instead of name ---- */

void value_init_struct(struct value *v, const struct value_tree *tree, unsigned shape);
void value_init_list(struct value *v, const struct value_tree *tree, unsigned shape);
void value_init_map(struct value *v, const struct value_tree *tree, unsigned shape);
struct value *value_grow_list(struct value *list);        /* a new, null element */
struct value *value_grow_map(struct value *map, str key); /* the value under a new key */
const struct value_tree *value_tree_new(struct arena *a, const struct model *m);

#endif
