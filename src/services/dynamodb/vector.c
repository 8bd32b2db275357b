/*
 * Vectors. The loops over elements work on four at a time (a vector type of the compiler, which
 * makes what the machine has of it); stored floats stand at any address.
 */
#include "services/dynamodb/vector.h"

#include "base/check.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { LANES = 4, FLOAT_BYTES = 4, FLOAT_TEXT_MAX = 32, FLOAT_DIGITS_MIN = 6 };

/* Both of the machine's byte order, which is the stored one. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "stored floats are little-endian");

typedef double lanes __attribute__((vector_size(LANES * sizeof(double))));
typedef float floats __attribute__((vector_size(LANES * sizeof(float)), aligned(1), may_alias));

/* ---- numbers ---- */

/* In doubles: powers of ten up to 22 are exact, so most numbers are rounded once, to the float. */
static double double_of(const struct decimal *d)
{
	static const double power[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
		1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
	enum { STEP = ARRAY_SIZE(power) - 1 };
	double v = (double)d->coefficient;
	int e = d->exponent;

	for (; e > STEP; e -= STEP)
		v *= power[STEP];
	for (; e < -STEP; e += STEP)
		v /= power[STEP];
	v = e < 0 ? v / power[-e] : v * power[e];
	return d->negative ? -v : v;
}

enum vector_error vector_read(
	str list, uint32_t dimensions, float *ret_elements, size_t *ret_element)
{
	struct attr_iter it;
	size_t n = 0;
	str value;

	if (attr_type(list) != ATTR_L)
		return VECTOR_NOT_A_LIST;
	*ret_element = attr_count(list);
	if (*ret_element != dimensions)
		return VECTOR_SIZE;
	it = attr_iter_of(list);
	for (; attr_next(&it, NULL, &value); n++) {
		struct decimal number;

		*ret_element = n;
		if (attr_type(value) != ATTR_N)
			return VECTOR_ELEMENT;
		number = attr_number(value);
		ret_elements[n] = (float)double_of(&number);
		if (!isfinite(ret_elements[n]))
			return VECTOR_RANGE;
	}
	return VECTOR_OK;
}

/* The shortest text that is read as that float again. */
static void put_number(struct buf *out, float v)
{
	char text[FLOAT_TEXT_MAX];
	struct decimal number;
	int digits = FLOAT_DIGITS_MIN;

	do
		snprintf(text, sizeof text, "%.*g", digits, (double)v);
	while (strtof(text, NULL) != v && ++digits <= FLT_DECIMAL_DIG);
	check(decimal_parse(str_c(text), &number, NULL) == 0);
	attr_put_number(out, &number);
}

/* ---- entries ---- */

void vector_put_entry(
	struct buf *out, str item, str name, const float *elements, uint32_t dimensions)
{
	struct attr_iter it = item_iter(item);
	str at, value;

	item_put_begin(out);
	while (attr_next(&it, &at, &value)) {
		attr_put_name(out, at);
		if (str_eq(at, name))
			attr_put_bytes(out, ATTR_B,
				str_of((const char *)elements, (size_t)dimensions * FLOAT_BYTES));
		else
			buf_put(out, value);
	}
}

static void put_list(struct buf *out, str bytes)
{
	size_t begin = attr_put_begin(out, ATTR_L);

	for (size_t i = 0; i < bytes.n; i += FLOAT_BYTES) {
		float v;

		memcpy(&v, bytes.p + i, sizeof v);
		put_number(out, v);
	}
	attr_put_end(out, begin);
}

void vector_put_shown(struct buf *out, str entry, str name, bool with_vector)
{
	struct attr_iter it = item_iter(entry);
	str at, value;

	item_put_begin(out);
	while (attr_next(&it, &at, &value)) {
		bool is_vector = str_eq(at, name);

		if (is_vector && !with_vector)
			continue;
		attr_put_name(out, at);
		if (is_vector)
			put_list(out, attr_bytes_of(value));
		else
			buf_put(out, value);
	}
}

int vector_find(str entry, str name, uint32_t dimensions, str *ret_floats)
{
	str value;

	if (!item_find(entry, name, &value) || attr_type(value) != ATTR_B)
		return 0;
	*ret_floats = attr_bytes_of(value);
	return ret_floats->n == (size_t)dimensions * FLOAT_BYTES;
}

/* ---- distances ---- */

/* Sums over all elements: of products, and of squares of each vector or of the difference. */
struct sums {
	double product, wanted, stored, difference;
};

static double sum_of(const lanes *v)
{
	return ((*v)[0] + (*v)[2]) + ((*v)[1] + (*v)[3]);
}

static struct sums cosine_sums(const float *wanted, const char *stored, uint32_t n)
{
	lanes product = {0}, a2 = {0}, b2 = {0};

	for (uint32_t i = 0; i < n; i += LANES) {
		lanes a = __builtin_convertvector(*(const floats *)&wanted[i], lanes);
		lanes b = __builtin_convertvector(
			*(const floats *)&stored[(size_t)i * FLOAT_BYTES], lanes);

		product += a * b;
		a2 += a * a;
		b2 += b * b;
	}
	return (struct sums){
		.product = sum_of(&product), .wanted = sum_of(&a2), .stored = sum_of(&b2)};
}

static struct sums product_sums(const float *wanted, const char *stored, uint32_t n)
{
	lanes product = {0};

	for (uint32_t i = 0; i < n; i += LANES) {
		lanes a = __builtin_convertvector(*(const floats *)&wanted[i], lanes);
		lanes b = __builtin_convertvector(
			*(const floats *)&stored[(size_t)i * FLOAT_BYTES], lanes);

		product += a * b;
	}
	return (struct sums){.product = sum_of(&product)};
}

static struct sums difference_sums(const float *wanted, const char *stored, uint32_t n)
{
	lanes square = {0};

	for (uint32_t i = 0; i < n; i += LANES) {
		lanes a = __builtin_convertvector(*(const floats *)&wanted[i], lanes);
		lanes b = __builtin_convertvector(
			*(const floats *)&stored[(size_t)i * FLOAT_BYTES], lanes);

		square += (a - b) * (a - b);
	}
	return (struct sums){.difference = sum_of(&square)};
}

static struct sums sums_of(
	enum vector_distance distance, const float *wanted, const char *stored, uint32_t n)
{
	switch (distance) {
	case VECTOR_COSINE: return cosine_sums(wanted, stored, n);
	case VECTOR_DOT_PRODUCT: return product_sums(wanted, stored, n);
	case VECTOR_EUCLIDEAN: return difference_sums(wanted, stored, n);
	}
	check_unreachable();
}

double vector_score(
	enum vector_distance distance, const float *wanted, str bytes, uint32_t dimensions)
{
	uint32_t whole = dimensions / LANES * LANES, rest = dimensions - whole;
	struct sums s = sums_of(distance, wanted, bytes.p, whole);

	if (rest) {
		/* The last ones, filled up with zeros, which add nothing. */
		float a[LANES] = {0}, b[LANES] = {0};
		struct sums last;

		memcpy(a, &wanted[whole], rest * sizeof *a);
		memcpy(b, bytes.p + (size_t)whole * FLOAT_BYTES, rest * sizeof *b);
		last = sums_of(distance, a, (const char *)b, LANES);
		s.product += last.product;
		s.wanted += last.wanted;
		s.stored += last.stored;
		s.difference += last.difference;
	}
	switch (distance) {
	case VECTOR_COSINE:
		if (s.wanted == 0 || s.stored == 0)
			return 1;
		return MIN(MAX(1 - s.product / sqrt(s.wanted * s.stored), 0.0), 2.0);
	case VECTOR_DOT_PRODUCT: return s.product;
	case VECTOR_EUCLIDEAN: return sqrt(s.difference);
	}
	check_unreachable();
}

/* ---- the nearest ---- */

/* Is `a` farther than `b`, or as far and later? No two are the same. */
static bool is_farther(
	const struct vector_top *top, const struct vector_hit *a, const struct vector_hit *b)
{
	if (a->score == b->score)
		return a->came > b->came;
	return top->distance == VECTOR_DOT_PRODUCT ? a->score < b->score : a->score > b->score;
}

void vector_top_init(struct vector_top *top, enum vector_distance distance, unsigned k)
{
	check(k >= 1 && k <= VECTOR_TOP_MAX);
	top->distance = distance;
	top->k = k;
	top->n = 0;
	top->came = 0;
}

static void swap(struct vector_hit *a, struct vector_hit *b)
{
	struct vector_hit c = *a;

	*a = *b;
	*b = c;
}

/* Moves the hit at `at` down until no child is farther. */
static void sink(struct vector_top *top, unsigned n, unsigned at)
{
	for (;;) {
		unsigned child = 2 * at + 1;

		if (child + 1 < n && is_farther(top, &top->hits[child + 1], &top->hits[child]))
			child++;
		if (child >= n || !is_farther(top, &top->hits[child], &top->hits[at]))
			return;
		swap(&top->hits[child], &top->hits[at]);
		at = child;
	}
}

static void rise(struct vector_top *top, unsigned at)
{
	while (at > 0 && is_farther(top, &top->hits[at], &top->hits[(at - 1) / 2])) {
		swap(&top->hits[at], &top->hits[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
}

bool vector_top_take(struct vector_top *top, double score, unsigned *ret_slot)
{
	struct vector_hit hit = {.score = score, .came = top->came++, .slot = top->n};

	if (top->n < top->k) {
		top->hits[top->n] = hit;
		rise(top, top->n++);
		*ret_slot = hit.slot;
		return true;
	}
	if (!is_farther(top, &top->hits[0], &hit))
		return false;
	hit.slot = top->hits[0].slot;
	top->hits[0] = hit;
	sink(top, top->n, 0);
	*ret_slot = hit.slot;
	return true;
}

void vector_top_sort(struct vector_top *top)
{
	for (unsigned n = top->n; n > 1; n--) {
		swap(&top->hits[0], &top->hits[n - 1]);
		sink(top, n - 1, 0);
	}
}
