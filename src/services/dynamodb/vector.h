/*
 * Vectors: what a vector index holds of an item, how near two of them are, and the nearest ones.
 *
 * An entry of a vector index is an item like any other (item.h): the projected attributes, with the
 * vector attribute as one B of its elements as 32-bit floats, little-endian, one after another. So
 * an entry's size is what AWS meters: 4 bytes an element, and the attributes. Format for ever.
 *
 * Pure; any thread.
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/VectorSearch.html
 */
#ifndef DYNAMODB_VECTOR_H
#define DYNAMODB_VECTOR_H

#include "services/dynamodb/item.h"

enum {
	/* "Vector indexes", ServiceQuotas.html */
	VECTOR_DIMENSIONS_MAX = 4096,
	VECTOR_FILTERS_MAX = 18, /* INLINE_FILTER elements of an index */
	VECTOR_TOP_MAX = 100,    /* TopK */
	/* Ours for lack of a published one: a write to an index is metered as 1 KB at least. */
	VECTOR_WRITE_BYTES_MIN = 1024
};

/* In the order of the model's enumeration. */
enum vector_distance { VECTOR_COSINE, VECTOR_DOT_PRODUCT, VECTOR_EUCLIDEAN };

/* Why a list is no vector of an index. */
enum vector_error {
	VECTOR_OK,
	VECTOR_NOT_A_LIST,
	VECTOR_SIZE,    /* another number of elements */
	VECTOR_ELEMENT, /* one that is no number */
	VECTOR_RANGE    /* a number beyond 32-bit floats */
};

/*
 * The elements of an encoded list as floats, each the nearest one; too small ones are 0.
 * `*ret_element`: which one an error is about, or for VECTOR_SIZE how many there are.
 */
enum vector_error vector_read(
	str list, uint32_t dimensions, float *ret_elements, size_t *ret_element);

/* Appends `item` with the attribute `name`, which is a vector of it, as an entry has it. */
void vector_put_entry(
	struct buf *out, str item, str name, const float *elements, uint32_t dimensions);
/*
 * Appends an entry as an item again: with the vector as a list of numbers (the shortest that stand
 * for the floats), or without it.
 */
void vector_put_shown(struct buf *out, str entry, str name, bool with_vector);

/* The vector of an entry, for vector_score(): 1, or 0 when it is not of these dimensions. */
int vector_find(str entry, str name, uint32_t dimensions, str *ret_floats);

/*
 * How near a stored vector is to the one that is looked for. COSINE: 0 (same direction) to 2, and 1
 * where one of them has no direction; EUCLIDEAN: 0 and up; DOT_PRODUCT: any, greater is nearer.
 * Sums are of doubles, so nothing overflows and equal vectors have a distance of exactly 0.
 */
double vector_score(
	enum vector_distance distance, const float *wanted, str floats, uint32_t dimensions);

/* The nearest so far, at most `k`; of equally near ones those that came first. */
struct vector_hit {
	double score;
	uint64_t came;
	unsigned slot; /* of what the caller keeps of it */
};
struct vector_top {
	enum vector_distance distance;
	unsigned k, n;
	uint64_t came;
	struct vector_hit hits[VECTOR_TOP_MAX]; /* a heap, the farthest first */
};

/* `k` is 1 to VECTOR_TOP_MAX. */
void vector_top_init(struct vector_top *top, enum vector_distance distance, unsigned k);
/* Is it among them? Then *ret_slot, below k, is where to keep it: a new one, or of what falls out.
 */
bool vector_top_take(struct vector_top *top, double score, unsigned *ret_slot);
/* At the end: the hits from the nearest on. */
void vector_top_sort(struct vector_top *top);

#endif
