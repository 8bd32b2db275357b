/*
 * JSON bodies (codec.h): the reader walks text and tables together, without a tree in between.
 */
#include "aws/codec.h"
#include "base/check.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/time.h"

struct decoder {
	const struct value_tree *tree;
	struct json_reader r;
	str message; /* set when a value has a wrong type */
};

static const char *const type_names[] = {
	[SHAPE_STRUCTURE] = "Structure",
	[SHAPE_LIST] = "List",
	[SHAPE_MAP] = "Map",
	[SHAPE_STRING] = "String",
	[SHAPE_INTEGER] = "Integer",
	[SHAPE_LONG] = "Long",
	[SHAPE_FLOAT] = "Float",
	[SHAPE_DOUBLE] = "Double",
	[SHAPE_BOOLEAN] = "Boolean",
	[SHAPE_BLOB] = "Blob",
	[SHAPE_TIMESTAMP] = "Timestamp",
	[SHAPE_DOCUMENT] = "Document",
};

/* The name that AWS gives a token in its messages. */
static const char *token_name(struct decoder *d, int kind)
{
	str text;
	bool b;

	switch (kind) {
	case JSON_STRING: return "STRING_VALUE";
	case JSON_BOOL: return json_bool(&d->r, &b) >= 0 && b ? "TRUE_VALUE" : "FALSE_VALUE";
	case JSON_NUMBER:
		if (json_number(&d->r, &text) >= 0)
			for (size_t i = 0; i < text.n; i++)
				if (text.p[i] == '.' || (text.p[i] | 0x20) == 'e')
					return "DECIMAL_VALUE";
		return "NUMBER_VALUE";
	default: return "NULL_VALUE";
	}
}

/* Sets the message that AWS has for a value of another kind than the shape's. */
static int wrong_type(struct decoder *d, unsigned shape, int kind)
{
	const struct model *m = d->tree->model;
	unsigned expected = m->shapes[shape].kind;
	bool scalar =
		expected != SHAPE_STRUCTURE && expected != SHAPE_LIST && expected != SHAPE_MAP;
	const char *type = type_names[expected];

	if (kind == JSON_OBJECT) {
		d->message = STR("Start of structure or map found where not expected");
	} else if (kind == JSON_ARRAY) {
		d->message =
			scalar ? arena_printf(d->tree->arena,
					 "Unrecognized collection type class java.lang.%s", type)
			       : STR("Start of list found where not expected");
	} else if (!scalar) {
		d->message = STR("Unexpected field type");
	} else if (m->crc32) { /* DynamoDB has words of its own */
		d->message = arena_printf(
			d->tree->arena, "%s cannot be converted to %s", token_name(d, kind), type);
	} else {
		d->message = arena_printf(d->tree->arena, "%s can not be converted to %s %s",
			token_name(d, kind), expected == SHAPE_INTEGER ? "an" : "a", type);
	}
	return ERR_FAULT;
}

static int read_string(struct decoder *d, unsigned kind, struct value *to)
{
	str text;
	uint8_t *bytes;
	size_t n;

	TRY(json_string(&d->r, &text));
	if (kind == SHAPE_STRING) {
		to->s = text.p ? text : STR("");
		return 0;
	}
	bytes = (uint8_t *)arena_bytes(d->tree->arena, base64_bytes_max(text.n) + 1);
	if (base64_decode(text, bytes, &n) < 0) {
		d->message = STR("Invalid base64 in a binary value");
		return ERR_FAULT;
	}
	to->s = str_of(bytes, n);
	return 0;
}

static int read_whole(struct decoder *d, unsigned shape, struct value *to)
{
	unsigned kind = d->tree->model->shapes[shape].kind;
	struct json_reader before = d->r;
	double number;
	int rc = json_i64(&d->r, &to->i);

	if (rc == ERR_INVALID) { /* 3.0 and 1e3 are whole, too */
		d->r = before;
		TRY(json_double(&d->r, &number));
		if (number >= -9.2e18 && number <= 9.2e18 && (double)(int64_t)number == number) {
			to->i = (int64_t)number;
			rc = 0;
		}
	}
	if (rc == ERR_INVALID || rc == ERR_RANGE ||
		(rc >= 0 && kind == SHAPE_INTEGER && (to->i < INT32_MIN || to->i > INT32_MAX))) {
		d->r = before;
		return wrong_type(d, shape, JSON_NUMBER);
	}
	return rc;
}

static int read_timestamp(struct decoder *d, int kind, struct value *to)
{
	str text;
	int rc;

	if (kind == JSON_NUMBER) {
		TRY(json_number(&d->r, &text));
		rc = time_parse_epoch(text, &to->i);
	} else {
		TRY(json_string(&d->r, &text));
		rc = time_parse_iso(text, &to->i);
		if (rc < 0)
			rc = time_parse_http(text, &to->i);
	}
	if (rc < 0) {
		d->message = STR("Invalid time stamp");
		return ERR_FAULT;
	}
	return 0;
}

static int read_value(struct decoder *d, unsigned shape, struct value *to);

static int read_members(struct decoder *d, struct value *v)
{
	const struct model *m = d->tree->model;
	unsigned first = m->shapes[v->shape].first;
	str key;

	TRY(json_object_begin(&d->r));
	while (TRY(json_object_next(&d->r, &key))) {
		int slot = model_member_wire(m, v->shape, key);

		if (slot < 0)
			TRY(json_skip(&d->r));
		else
			TRY(read_value(
				d, m->members[first + (unsigned)slot].shape, &v->items[slot]));
	}
	return 0;
}

static int read_list(struct decoder *d, unsigned shape, struct value *to)
{
	unsigned element = d->tree->model->members[d->tree->model->shapes[shape].first].shape;

	value_init_list(to, d->tree, shape);
	TRY(json_array_begin(&d->r));
	while (TRY(json_array_next(&d->r)))
		TRY(read_value(d, element, value_grow_list(to)));
	return 0;
}

static int read_map(struct decoder *d, unsigned shape, struct value *to)
{
	unsigned element = d->tree->model->members[d->tree->model->shapes[shape].first + 1u].shape;
	str key;

	value_init_map(to, d->tree, shape);
	TRY(json_object_begin(&d->r));
	while (TRY(json_object_next(&d->r, &key))) {
		struct value *at;

		/* duplicate keys: the last wins; most maps are small, the body's limit bounds it */
		at = to->n < 64 ? (struct value *)value_find(to, key) : NULL;
		if (!at)
			at = value_grow_map(to, key);
		TRY(read_value(d, element, at));
	}
	return 0;
}

static int read_value(struct decoder *d, unsigned shape, struct value *to)
{
	unsigned kind = d->tree->model->shapes[shape].kind;
	int token = TRY(json_peek(&d->r));

	*to = (struct value){.kind = 0};
	if (token == JSON_NULL)
		return json_null(&d->r);
	switch (kind) {
	case SHAPE_STRUCTURE:
		if (token != JSON_OBJECT)
			return wrong_type(d, shape, token);
		value_init_struct(to, d->tree, shape);
		return read_members(d, to);
	case SHAPE_LIST:
		return token == JSON_ARRAY ? read_list(d, shape, to) : wrong_type(d, shape, token);
	case SHAPE_MAP:
		return token == JSON_OBJECT ? read_map(d, shape, to) : wrong_type(d, shape, token);
	default: break;
	}
	to->kind = (uint8_t)kind;
	to->shape = (uint16_t)shape;
	switch (kind) {
	case SHAPE_STRING:
	case SHAPE_BLOB:
		return token == JSON_STRING ? read_string(d, kind, to)
					    : wrong_type(d, shape, token);
	case SHAPE_INTEGER:
	case SHAPE_LONG:
		return token == JSON_NUMBER ? read_whole(d, shape, to)
					    : wrong_type(d, shape, token);
	case SHAPE_FLOAT:
	case SHAPE_DOUBLE:
		return token == JSON_NUMBER ? json_double(&d->r, &to->d)
					    : wrong_type(d, shape, token);
	case SHAPE_BOOLEAN:
		return token == JSON_BOOL ? json_bool(&d->r, &to->b) : wrong_type(d, shape, token);
	case SHAPE_TIMESTAMP:
		return token == JSON_NUMBER || token == JSON_STRING ? read_timestamp(d, token, to)
								    : wrong_type(d, shape, token);
	case SHAPE_DOCUMENT: return json_raw(&d->r, &to->s);
	default: check_unreachable();
	}
}

static int read_body(struct decoder *d, struct value *v)
{
	int token = TRY(json_peek(&d->r));

	if (token != JSON_OBJECT)
		return wrong_type(d, v->shape, token);
	TRY(read_members(d, v));
	return json_end(&d->r);
}

int codec_json_read(struct value *v, str text, str *ret_message)
{
	struct decoder d = {.tree = v->tree};
	int rc;

	json_reader_init(&d.r, text, v->tree->arena, CODEC_DEPTH_MAX);
	rc = read_body(&d, v);
	if (rc >= 0)
		return 0;
	if (d.message.p)
		*ret_message = d.message;
	else
		*ret_message =
			arena_printf(v->tree->arena, "The body is not valid JSON: %s at byte %zu",
				rc_text(rc), json_error_offset(&d.r));
	return ERR_FAULT;
}

int codec_json_load(struct arena *a, const struct model *m, const char *shape, str text,
	struct value **ret_value)
{
	struct value *v = value_new(a, m, shape);
	struct decoder d = {.tree = v->tree};

	/* codec_json_store() writes all members by their wire names, which may differ only in
	 * place: read them back wherever they belong */
	json_reader_init(&d.r, text, a, CODEC_DEPTH_MAX);
	if (json_peek(&d.r) != JSON_OBJECT || json_object_begin(&d.r) < 0)
		return ERR_CORRUPT;
	for (;;) {
		str key;
		int rc = json_object_next(&d.r, &key), slot;

		if (rc < 0)
			return ERR_CORRUPT;
		if (rc == 0)
			break;
		slot = model_member(m, v->shape, key);
		if (slot < 0)
			rc = json_skip(&d.r);
		else
			rc = read_value(&d, m->members[m->shapes[v->shape].first + slot].shape,
				&v->items[slot]);
		if (rc < 0)
			return ERR_CORRUPT;
	}
	if (json_end(&d.r) < 0)
		return ERR_CORRUPT;
	*ret_value = v;
	return 0;
}

/* ---- writing ---- */

static void write_value(struct json_writer *w, const struct value *v, unsigned flags);

static void write_quoted(struct json_writer *w, const struct value *v, unsigned flags)
{
	json_put_comma_(w);
	buf_put_char(w->out, '"');
	if (v->kind == SHAPE_BLOB)
		base64_put(w->out, v->s);
	else if (flags & MEMBER_TIME_HTTP)
		time_put_http(w->out, v->i);
	else if (v->i % 1000)
		time_put_iso_ms(w->out, v->i);
	else
		time_put_iso(w->out, v->i);
	buf_put_char(w->out, '"');
}

static void write_members(struct json_writer *w, const struct value *v)
{
	const struct model *m = v->tree->model;
	const struct model_member *member = &m->members[m->shapes[v->shape].first];

	json_put_object_begin(w);
	for (unsigned i = 0; i < v->n; i++, member++) {
		if (!v->items[i].kind || member->location != LOCATION_BODY ||
			(member->flags & MEMBER_PAYLOAD))
			continue;
		json_put_key(w, model_str(m, member->wire));
		write_value(w, &v->items[i], member->flags);
	}
	json_put_object_end(w);
}

static void write_container(struct json_writer *w, const struct value *v)
{
	const struct model *m = v->tree->model;
	const struct model_member *element =
		&m->members[m->shapes[v->shape].first + (v->kind == SHAPE_MAP)];

	if (v->kind == SHAPE_LIST) {
		json_put_array_begin(w);
		for (uint32_t i = 0; i < v->n; i++)
			write_value(w, &v->items[i], element->flags);
		json_put_array_end(w);
		return;
	}
	json_put_object_begin(w);
	for (uint32_t i = 0; i < v->n; i++) {
		json_put_key(w, v->entries[i].key);
		write_value(w, &v->entries[i].value, element->flags);
	}
	json_put_object_end(w);
}

static void write_value(struct json_writer *w, const struct value *v, unsigned flags)
{
	switch (v->kind) {
	case 0: json_put_null(w); break;
	case SHAPE_STRUCTURE: write_members(w, v); break;
	case SHAPE_LIST:
	case SHAPE_MAP: write_container(w, v); break;
	case SHAPE_STRING: json_put_string(w, v->s); break;
	case SHAPE_DOCUMENT: json_put_raw(w, v->s); break;
	case SHAPE_BLOB: write_quoted(w, v, flags); break;
	case SHAPE_INTEGER:
	case SHAPE_LONG: json_put_i64(w, v->i); break;
	case SHAPE_FLOAT:
	case SHAPE_DOUBLE: json_put_double(w, v->d); break;
	case SHAPE_BOOLEAN: json_put_bool(w, v->b); break;
	case SHAPE_TIMESTAMP:
		if (flags & (MEMBER_TIME_ISO | MEMBER_TIME_HTTP)) {
			write_quoted(w, v, flags);
		} else {
			json_put_comma_(w);
			time_put_epoch(w->out, v->i);
		}
		break;
	default: check_unreachable();
	}
}

void codec_json_write(struct buf *out, const struct value *v)
{
	struct json_writer w;

	json_writer_init(&w, out);
	write_members(&w, v);
}

void codec_json_store(struct buf *out, const struct value *v)
{
	const struct model *m = v->tree->model;
	const struct model_member *member = &m->members[m->shapes[v->shape].first];
	struct json_writer w;

	json_writer_init(&w, out);
	json_put_object_begin(&w);
	for (unsigned i = 0; i < v->n; i++, member++) {
		if (!v->items[i].kind)
			continue;
		json_put_key(&w, model_str(m, member->name));
		write_value(&w, &v->items[i], member->flags);
	}
	json_put_object_end(&w);
}
