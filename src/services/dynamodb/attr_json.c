/*
 * Typed JSON to encoded values and back. One pass, no tree; recursion is bounded by ATTR_DEPTH_MAX.
 *
 * Messages of broken rules are DynamoDB's, spaces included.
 */
#include "base/hash.h"
#include "services/dynamodb/attr_walk.h"
#include "services/dynamodb/faults.h"
#include "services/dynamodb/item.h"

#include <stdlib.h>

#define INVALID "One or more parameter values were invalid: "

/* An entry of a map (its bytes in `out`), or an element of a set. */
struct attr_entry {
	str name;
	size_t begin, end;
};

static void broken(struct attr_decoder *d, str message)
{
	if (!d->rule.p)
		d->rule = message;
}

int attr_json_fault(struct attr_decoder *d, int rc)
{
	if (rc == ERR_FAULT)
		return rc;
	return serialization_fault(d->fault, d->arena, "%s",
		rc == ERR_DEPTH ? "JSON is nested too deeply" : "Malformed JSON in request body");
}

/* The name that AWS gives a token in its messages. */
static const char *token_name(struct json_reader *r, int kind)
{
	bool b = false;
	str text;

	if (kind == JSON_BOOL)
		return json_bool(r, &b) >= 0 && b ? "TRUE_VALUE" : "FALSE_VALUE";
	if (kind == JSON_NUMBER && json_number(r, &text) >= 0) {
		bool whole = str_find(text, '.') < 0 && str_find(text, 'e') < 0 &&
			     str_find(text, 'E') < 0;

		return whole ? "NUMBER_VALUE" : "DECIMAL_VALUE";
	}
	return kind == JSON_STRING ? "STRING_VALUE" : "NULL_VALUE";
}

cold_fn int attr_wrong_kind(struct attr_decoder *d, struct json_reader *r, const char *type, int rc)
{
	int kind;

	if (rc != ERR_INVALID)
		return attr_json_fault(d, rc);
	kind = json_peek(r);
	if (kind == JSON_OBJECT)
		return serialization_fault(
			d->fault, d->arena, "Start of structure or map found where not expected");
	if (kind == JSON_ARRAY && type)
		return serialization_fault(d->fault, d->arena,
			"Unrecognized collection type class java.lang.%s", type);
	if (kind == JSON_ARRAY)
		return serialization_fault(
			d->fault, d->arena, "Start of list found where not expected");
	if (!type)
		return serialization_fault(d->fault, d->arena, "Unexpected field type");
	return serialization_fault(
		d->fault, d->arena, "%s cannot be converted to %s", token_name(r, kind), type);
}

static inline int read_text(struct attr_decoder *d, struct json_reader *r, str *ret_text)
{
	int rc = json_string(r, ret_text);

	return likely(rc >= 0) ? rc : attr_wrong_kind(d, r, "String", rc);
}

/* The message for a number that is none; a valid encoding is put all the same. */
static void number_broken(struct attr_decoder *d, str text, enum decimal_error error)
{
	static const char *const messages[] = {
		[DECIMAL_PRECISION] =
			"Attempting to store more than 38 significant digits in a Number",
		[DECIMAL_OVERFLOW] = "Number overflow. Attempting to store a number with magnitude "
				     "larger than supported range",
		[DECIMAL_UNDERFLOW] =
			"Number underflow. Attempting to store a number with magnitude "
			"smaller than supported range",
	};

	if (error != DECIMAL_SYNTAX)
		broken(d, str_c(messages[error]));
	else if (text.n == 0)
		broken(d, STR("The parameter cannot be converted to a numeric value"));
	else
		broken(d, ARENA_CONCAT(d->arena,
				  STR("The parameter cannot be converted to a numeric value: "),
				  text));
}

static void parse_number(struct attr_decoder *d, str text, struct decimal *ret_value)
{
	enum decimal_error error;

	if (decimal_parse(text, ret_value, &error) < 0) {
		number_broken(d, text, error);
		*ret_value = (struct decimal){0};
	}
}

/* Decodes base64 into the arena. */
static int read_binary(struct attr_decoder *d, struct json_reader *r, str *ret_bytes)
{
	uint8_t *bytes;
	size_t n;
	str text;

	TRY(read_text(d, r, &text));
	bytes = arena_alloc(d->arena, base64_bytes_max(text.n));
	if (base64_decode(text, bytes, &n) < 0)
		return text.n % 4 ? serialization_fault(d->fault, d->arena,
					    "Base64 encoded length is expected a multiple of 4 "
					    "bytes but found: %zu",
					    text.n)
				  : serialization_fault(d->fault, d->arena, "Invalid base64 value");
	*ret_bytes = str_of(bytes, n);
	return 0;
}

static struct attr_entry *entry_push(struct attr_decoder *d)
{
	if (d->entry_count == d->entry_capacity) {
		uint32_t capacity = d->entry_capacity ? d->entry_capacity * 2 : 32;
		struct attr_entry *bigger = arena_alloc(d->arena, capacity * sizeof *bigger);

		if (d->entry_count)
			memcpy(bigger, d->entries, d->entry_count * sizeof *bigger);
		d->entries = bigger;
		d->entry_capacity = capacity;
	}
	return &d->entries[d->entry_count++];
}

static int by_name(const void *a, const void *b)
{
	const struct attr_entry *x = a, *y = b;
	int c = str_cmp(x->name, y->name);

	return c ? c : (x->begin > y->begin) - (x->begin < y->begin);
}

/* In ascending order, each once? */
static bool is_sorted(const struct attr_entry *e, uint32_t n)
{
	for (uint32_t i = 1; i < n; i++)
		if (str_cmp(e[i - 1].name, e[i].name) >= 0)
			return false;
	return true;
}

/* Few entries are sorted where they are: items are small, and qsort() is not. */
static void sort(struct attr_entry *e, uint32_t n)
{
	if (n > 32) {
		qsort(e, n, sizeof *e, by_name);
		return;
	}
	for (uint32_t i = 1; i < n; i++) {
		struct attr_entry moved = e[i];
		uint32_t at = i;

		for (; at > 0 && by_name(&e[at - 1], &moved) > 0; at--)
			e[at] = e[at - 1];
		e[at] = moved;
	}
}

/* "[a, b, a]" of the elements as they were sent. */
static str collection_text(
	struct attr_decoder *d, const struct attr_entry *e, uint32_t n, bool base64)
{
	struct buf out;

	buf_init(&out, d->arena, ITEM_ENCODED_MAX * 2u);
	buf_put_char(&out, '[');
	for (uint32_t i = 0; i < n; i++) {
		if (i)
			buf_put(&out, STR(", "));
		if (base64)
			base64_put(&out, e[i].name);
		else
			buf_put(&out, e[i].name);
	}
	buf_put_char(&out, ']');
	return buf_str(&out);
}

static void set_has_duplicates(
	struct attr_decoder *d, enum attr_type type, const struct attr_entry *e, uint32_t n)
{
	str sent;

	if (d->rule.p)
		return;
	if (type == ATTR_NS) {
		broken(d, STR("Input collection contains duplicates"));
		return;
	}
	sent = collection_text(d, e, n, type == ATTR_BS);
	broken(d, ARENA_CONCAT(d->arena, STR(INVALID "Input collection "), sent,
			  type == ATTR_BS ? STR("of type BS contains duplicates.")
					  : STR(" contains duplicates.")));
}

static int read_element(
	struct attr_decoder *d, struct json_reader *r, enum attr_type type, str *ret_element)
{
	struct decimal number;
	uint8_t *bytes;
	str text;

	if (type == ATTR_BS)
		return read_binary(d, r, ret_element);
	TRY(read_text(d, r, &text));
	if (type == ATTR_SS) {
		*ret_element = text;
		return 0;
	}
	parse_number(d, text, &number);
	bytes = (uint8_t *)arena_bytes(d->arena, DECIMAL_ENCODED_MAX);
	*ret_element = str_of(bytes, decimal_encode(&number, bytes));
	return 0;
}

static void put_set(struct buf *out, enum attr_type type, const struct attr_entry *e, uint32_t n)
{
	size_t begin = attr_put_begin(out, type);

	for (uint32_t i = 0; i < n; i++) {
		if (i && str_eq(e[i].name, e[i - 1].name))
			continue;
		if (type == ATTR_NS)
			buf_put(out, e[i].name);
		else
			attr_put_element(out, e[i].name);
	}
	attr_put_end(out, begin);
}

static int read_set(
	struct attr_decoder *d, struct json_reader *r, enum attr_type type, struct buf *out)
{
	static const str empty[] = {[ATTR_SS] = STR_INIT(INVALID "An string set  may not be empty"),
		[ATTR_NS] = STR_INIT(INVALID "An number set  may not be empty"),
		[ATTR_BS] = STR_INIT(INVALID "Binary sets should not be empty")};
	uint32_t base = d->entry_count, n;
	int rc = json_array_begin(r);

	if (rc < 0)
		return attr_wrong_kind(d, r, NULL, rc);
	while ((rc = json_array_next(r)) > 0) {
		str element;

		TRY(read_element(d, r, type, &element));
		*entry_push(d) = (struct attr_entry){.name = element, .begin = d->entry_count};
	}
	if (rc < 0)
		return attr_json_fault(d, rc);
	n = d->entry_count - base;
	if (n == 0)
		broken(d, empty[type]);
	if (!is_sorted(d->entries + base, n)) {
		struct attr_entry *sent = d->entries + base,
				  *sorted = arena_alloc(d->arena, n * sizeof *sorted);

		memcpy(sorted, sent, n * sizeof *sorted);
		sort(sorted, n);
		if (!is_sorted(sorted, n))
			set_has_duplicates(d, type, sent, n);
		put_set(out, type, sorted, n);
	} else {
		put_set(out, type, d->entries + base, n);
	}
	d->entry_count = base;
	return 0;
}

/* Rewrites the entries behind `begin` in order; of equal names only the last. */
static void sort_entries(struct attr_decoder *d, uint32_t base, struct buf *out, size_t begin)
{
	struct attr_entry *e = d->entries + base;
	uint32_t n = d->entry_count - base;
	str sent;

	if (out->over)
		return;
	sent = arena_str(d->arena, str_of(out->p + begin, out->n - begin));
	sort(e, n);
	out->n = begin;
	for (uint32_t i = 0; i < n; i++)
		if (i + 1 == n || !str_eq(e[i].name, e[i + 1].name))
			buf_put(out, str_sub(sent, e[i].begin - begin, e[i].end - e[i].begin));
}

static int read_value(struct attr_decoder *d, struct json_reader *r, struct buf *out);

/*
 * "Attribute names must be at least one character long and less than 64 KB in size",
 * HowItWorks.NamingRulesDataTypes.html. Only an item's own attributes are held to the one
 * character; the page does not say whether the names in a map are attribute names.
 */
cold_fn static void bad_name(struct attr_decoder *d, str name)
{
	if (name.n > ITEM_NAME_MAX)
		broken(d, STR("Attribute name is too large, must be less than 65536 bytes"));
	else if (d->depth == 0)
		broken(d, STR("Attribute name must not be empty"));
}

/* The entries of a map or item, from its '{' to its '}'. */
static int read_entries(struct attr_decoder *d, struct json_reader *r, struct buf *out)
{
	uint32_t base = d->entry_count;
	size_t begin = out->n;
	int rc = json_object_begin(r);
	bool sorted = true;
	str name;

	if (rc < 0)
		return attr_wrong_kind(d, r, NULL, rc);
	while ((rc = json_object_next(r, &name)) > 0) {
		struct attr_entry *e;
		size_t at = out->n;

		if (unlikely(name.n - 1 >= ITEM_NAME_MAX))
			bad_name(d, name);
		attr_put_name(out, name);
		TRY(read_value(d, r, out));
		if (d->entry_count > base && sorted)
			sorted = str_cmp(d->entries[d->entry_count - 1].name, name) < 0;
		e = entry_push(d);
		*e = (struct attr_entry){name, at, out->n};
	}
	if (rc < 0)
		return attr_json_fault(d, rc);
	if (!sorted)
		sort_entries(d, base, out, begin);
	d->entry_count = base;
	return 0;
}

static int read_list(struct attr_decoder *d, struct json_reader *r, struct buf *out)
{
	size_t begin;
	int rc = json_array_begin(r);

	if (rc < 0)
		return attr_wrong_kind(d, r, NULL, rc);
	begin = attr_put_begin(out, ATTR_L);
	while ((rc = json_array_next(r)) > 0)
		TRY(read_value(d, r, out));
	if (rc < 0)
		return attr_json_fault(d, rc);
	attr_put_end(out, begin);
	return 0;
}

static int read_map(struct attr_decoder *d, struct json_reader *r, struct buf *out)
{
	size_t begin = attr_put_begin(out, ATTR_M);

	TRY(read_entries(d, r, out));
	attr_put_end(out, begin);
	return 0;
}

static int read_scalar(
	struct attr_decoder *d, struct json_reader *r, enum attr_type type, struct buf *out)
{
	struct decimal number;
	bool b;
	str text;
	int rc;

	switch (type) {
	case ATTR_S:
		TRY(read_text(d, r, &text));
		attr_put_bytes(out, ATTR_S, text);
		return 0;
	case ATTR_N:
		TRY(read_text(d, r, &text));
		parse_number(d, text, &number);
		attr_put_number(out, &number);
		return 0;
	case ATTR_B:
		TRY(read_binary(d, r, &text));
		attr_put_bytes(out, ATTR_B, text);
		return 0;
	default: break;
	}
	rc = json_bool(r, &b);
	if (rc < 0)
		return attr_wrong_kind(d, r, "Boolean", rc);
	if (type == ATTR_BOOL) {
		attr_put_bool(out, b);
		return 0;
	}
	if (!b)
		broken(d, STR(INVALID "Null attribute value types must have the value of true"));
	attr_put_null(out);
	return 0;
}

/* One typed value, behind its type's name. */
static int read_typed(
	struct attr_decoder *d, struct json_reader *r, enum attr_type type, struct buf *out)
{
	switch (type) {
	case ATTR_SS:
	case ATTR_NS:
	case ATTR_BS: return read_set(d, r, type, out);
	case ATTR_L: return read_list(d, r, out);
	case ATTR_M: return read_map(d, r, out);
	default: return read_scalar(d, r, type, out);
	}
}

/* The types are told apart by one or two letters: quicker than comparing with each. */
static int type_of(str key)
{
	enum attr_type type;

	if (likely(key.n == 1))
		switch (key.p[0]) {
		case 'S': return ATTR_S;
		case 'N': return ATTR_N;
		case 'B': return ATTR_B;
		case 'L': return ATTR_L;
		case 'M': return ATTR_M;
		default: return -1;
		}
	return attr_type_from_name(key, &type) ? (int)type : -1;
}

/* The members of {"S":"x"}; d->depth is that of this value. */
static int read_members(struct attr_decoder *d, struct json_reader *r, struct buf *out)
{
	size_t begin = out->n;
	unsigned types = 0;
	int rc = json_object_begin(r);
	str key;

	if (rc < 0)
		return attr_wrong_kind(d, r, NULL, rc);
	while ((rc = json_object_next(r, &key)) > 0) {
		int type = type_of(key), kind;

		if (type < 0) { /* a member that the model does not know is passed over */
			rc = json_skip(r);
			if (rc < 0)
				return attr_json_fault(d, rc);
			continue;
		}
		kind = json_peek(r);
		if (unlikely(kind == JSON_NULL)) { /* counts as absent */
			rc = json_null(r);
			if (rc < 0)
				return attr_json_fault(d, rc);
			continue;
		}
		if (unlikely(types++) && !out->over)
			out->n = begin;
		TRY(read_typed(d, r, (enum attr_type)type, out));
	}
	if (rc < 0)
		return attr_json_fault(d, rc);
	if (likely(types == 1))
		return 0;
	if (types == 0)
		attr_put_null(out);
	broken(d,
		types ? STR("Supplied AttributeValue has more than one datatypes set, must contain "
			    "exactly one of the supported datatypes")
		      : STR("Supplied AttributeValue is empty, must contain exactly one of the "
			    "supported datatypes"));
	return 0;
}

static int read_value(struct attr_decoder *d, struct json_reader *r, struct buf *out)
{
	int rc;

	if (unlikely(d->depth == ATTR_DEPTH_MAX)) {
		broken(d, STR("Nesting Levels have exceeded supported limits: Attributes in the "
			      "item have "
			      "nested levels beyond supported limit"));
		attr_put_null(out);
		rc = json_skip(r);
		return rc < 0 ? attr_json_fault(d, rc) : 0;
	}
	d->depth++;
	rc = read_members(d, r, out);
	d->depth--;
	return rc;
}

int attr_read_json(struct attr_decoder *d, struct json_reader *r, struct buf *out)
{
	return read_value(d, r, out);
}

int item_read_json(struct attr_decoder *d, struct json_reader *r, struct buf *out)
{
	item_put_begin(out);
	return read_entries(d, r, out);
}

static void write_number(struct buf *out, str encoded)
{
	struct decimal d;

	check(decimal_decode(&encoded, &d) == 0);
	buf_put_char(out, '"');
	decimal_put(out, &d);
	buf_put_char(out, '"');
}

static void write_binary(struct buf *out, str bytes)
{
	buf_put_char(out, '"');
	base64_put(out, bytes);
	buf_put_char(out, '"');
}

static void write_value(struct buf *out, str value);

static void write_list(struct buf *out, str value, enum attr_type type)
{
	struct attr_iter it = attr_iter_of(value);
	bool comma = false;
	str v;

	while (attr_next(&it, NULL, &v)) {
		if (comma)
			buf_put_char(out, ',');
		comma = true;
		switch (type) {
		case ATTR_SS: json_put_quoted(out, v); break;
		case ATTR_NS: write_number(out, v); break;
		case ATTR_BS: write_binary(out, v); break;
		default: write_value(out, v); break;
		}
	}
	buf_put_char(out, ']');
}

static void write_entries(struct buf *out, struct attr_iter it)
{
	bool comma = false;
	str name, v;

	buf_put_char(out, '{');
	while (attr_next(&it, &name, &v)) {
		if (comma)
			buf_put_char(out, ',');
		comma = true;
		json_put_quoted(out, name);
		buf_put_char(out, ':');
		write_value(out, v);
	}
	buf_put_char(out, '}');
}

static void write_value(struct buf *out, str value)
{
	switch (attr_type(value)) {
	case ATTR_S:
		buf_put(out, STR("{\"S\":"));
		json_put_quoted(out, attr_bytes_of(value));
		break;
	case ATTR_N:
		buf_put(out, STR("{\"N\":"));
		write_number(out, str_from(value, 1));
		break;
	case ATTR_B:
		buf_put(out, STR("{\"B\":"));
		write_binary(out, attr_bytes_of(value));
		break;
	case ATTR_BOOL:
		buf_put(out, attr_is_true(value) ? STR("{\"BOOL\":true") : STR("{\"BOOL\":false"));
		break;
	case ATTR_NULL: buf_put(out, STR("{\"NULL\":true")); break;
	case ATTR_SS:
		buf_put(out, STR("{\"SS\":["));
		write_list(out, value, ATTR_SS);
		break;
	case ATTR_NS:
		buf_put(out, STR("{\"NS\":["));
		write_list(out, value, ATTR_NS);
		break;
	case ATTR_BS:
		buf_put(out, STR("{\"BS\":["));
		write_list(out, value, ATTR_BS);
		break;
	case ATTR_L:
		buf_put(out, STR("{\"L\":["));
		write_list(out, value, ATTR_L);
		break;
	case ATTR_M:
		buf_put(out, STR("{\"M\":"));
		write_entries(out, attr_iter_of(value));
		break;
	}
	buf_put_char(out, '}');
}

void attr_write_json(struct json_writer *w, str value)
{
	json_put_comma_(w);
	write_value(w->out, value);
}

void item_write_json(struct json_writer *w, str item)
{
	json_put_comma_(w);
	write_entries(w->out, item_iter(item));
}
