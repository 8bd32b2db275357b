/*
 * The restJson1 and restXml protocols (codec.h): members in path labels, query strings, headers and
 * the body.
 */
#include "aws/codec.h"
#include "base/check.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/uri.h"

/* ---- routing ---- */

bool rest_match(str template_, str path, struct rest_labels *ret_labels)
{
	/* AWS takes a path with and without a slash at its end */
	if (path.n > 1 && path.p[path.n - 1] == '/')
		path.n--;
	return rest_match_exact(template_, path, ret_labels);
}

bool rest_match_exact(str template_, str path, struct rest_labels *ret_labels)
{
	struct rest_labels found = {.count = 0};
	ptrdiff_t query = str_find(template_, '?');
	str want = query >= 0 ? str_sub(template_, 0, (size_t)query) : template_, part;

	if (want.n > 1 && want.p[want.n - 1] == '/')
		want.n--;
	while (want.n) {
		size_t end = 0;

		if (path.n == 0 || want.p[0] != '/' || path.p[0] != '/')
			return false;
		want = str_from(want, 1);
		path = str_from(path, 1);
		while (end < want.n && want.p[end] != '/')
			end++;
		part = str_sub(want, 0, end);
		want = str_from(want, end);
		end = 0;
		if (part.n > 2 && part.p[0] == '{') {
			bool greedy = part.p[part.n - 2] == '+';

			check(found.count < REST_LABELS_MAX);
			if (greedy && want.n == 0)
				end = path.n;
			else
				while (end < path.n && path.p[end] != '/')
					end++;
			if (end == 0)
				return false;
			found.name[found.count] = str_sub(part, 1, part.n - 2 - greedy);
			found.raw[found.count++] = str_sub(path, 0, end);
		} else {
			if (!str_starts(path, part))
				return false;
			end = part.n;
			if (end < path.n && path.p[end] != '/')
				return false;
		}
		path = str_from(path, end);
	}
	if (path.n)
		return false;
	*ret_labels = found;
	return true;
}

static bool is_xml(const struct value *v)
{
	return v->tree->model->protocol == PROTOCOL_REST_XML;
}

/* ---- reading ---- */

struct rest_reader {
	const struct rest_labels *labels;
	str query;
	const struct http_header *headers;
	unsigned header_count;
	str body;
};

static int read_label(struct value *to, const struct value *v, const struct model_member *member,
	const struct rest_reader *in, str *ret_message)
{
	str wire = model_str(v->tree->model, member->wire), text;

	for (unsigned i = 0; i < in->labels->count; i++) {
		if (!str_eq(in->labels->name[i], wire))
			continue;
		if (uri_decode(v->tree->arena, in->labels->raw[i], URI_PLAIN, &text) < 0) {
			*ret_message = STR("The path is not validly percent-encoded");
			return ERR_FAULT;
		}
		return codec_text_read(to, v->tree, member->shape, member->flags, MEMBER_TIME_ISO,
			text, ret_message);
	}
	return 0;
}

/* Is the parameter named by a member of its own? Then a map of "all others" leaves it out. */
static bool is_named(const struct value *v, str name)
{
	const struct model *m = v->tree->model;
	const struct model_shape *s = &m->shapes[v->shape];

	for (unsigned i = 0; i < s->count; i++) {
		const struct model_member *member = &m->members[s->first + i];

		if (member->location == LOCATION_QUERY &&
			m->shapes[member->shape].kind != SHAPE_MAP &&
			str_eq(model_str(m, member->wire), name))
			return true;
	}
	return false;
}

static int read_one_parameter(struct value *to, const struct value *v,
	const struct model_member *member, str name, str text, str *ret_message)
{
	const struct model *m = v->tree->model;
	const struct model_shape *shape = &m->shapes[member->shape];
	const struct model_member *inner = &m->members[shape->first];

	if (shape->kind == SHAPE_LIST) {
		if (!to->kind)
			value_init_list(to, v->tree, member->shape);
		return codec_text_read(value_grow_list(to), v->tree, inner->shape, inner->flags,
			MEMBER_TIME_ISO, text, ret_message);
	}
	if (shape->kind == SHAPE_MAP) {
		if (!to->kind)
			value_init_map(to, v->tree, member->shape);
		return codec_text_read(value_grow_map(to, name), v->tree, inner[1].shape,
			inner[1].flags, MEMBER_TIME_ISO, text, ret_message);
	}
	return codec_text_read(
		to, v->tree, member->shape, member->flags, MEMBER_TIME_ISO, text, ret_message);
}

static int read_query(struct value *to, const struct value *v, const struct model_member *member,
	const struct rest_reader *in, str *ret_message)
{
	const struct model *m = v->tree->model;
	struct uri_query q = uri_query_of(in->query);
	bool all = m->shapes[member->shape].kind == SHAPE_MAP;
	unsigned count = 0;
	str name, value;

	while (uri_query_next(&q, &name, &value)) {
		if (uri_decode(v->tree->arena, name, URI_PLUS_IS_SPACE, &name) < 0 ||
			uri_decode(v->tree->arena, value, URI_PLUS_IS_SPACE, &value) < 0) {
			*ret_message = STR("The query string is not validly percent-encoded");
			return ERR_FAULT;
		}
		if (++count > CODEC_PARAMETERS_MAX) {
			*ret_message = STR("The request has too many parameters");
			return ERR_FAULT;
		}
		if (all ? is_named(v, name) : !str_eq(name, model_str(m, member->wire)))
			continue;
		if (read_one_parameter(to, v, member, name, value, ret_message) == 0)
			continue;
		if (is_xml(v) && m->shapes[member->shape].kind == SHAPE_INTEGER)
			*ret_message = arena_printf(v->tree->arena,
				"Provided %.*s not an integer or within integer range",
				STR_ARG(name));
		return ERR_FAULT;
	}
	return 0;
}

static int read_header(struct value *to, const struct value *v, const struct model_member *member,
	const struct rest_reader *in, str *ret_message)
{
	const struct model *m = v->tree->model;
	str wire = model_str(m, member->wire);

	for (unsigned i = 0; i < in->header_count; i++) {
		const struct http_header *h = &in->headers[i];

		if (member->location == LOCATION_HEADERS) {
			if (h->name.n > wire.n &&
				str_eq_nocase(str_sub(h->name, 0, wire.n), wire)) {
				if (!to->kind)
					value_init_map(to, v->tree, member->shape);
				TRY(read_one_parameter(to, v, member, str_from(h->name, wire.n),
					h->value, ret_message));
			}
			continue;
		}
		if (!str_eq_nocase(h->name, wire))
			continue;
		if (m->shapes[member->shape].kind == SHAPE_LIST) {
			str rest = h->value, part;

			while (str_split(&rest, ',', &part))
				TRY(read_one_parameter(
					to, v, member, STR_NULL, str_trim(part), ret_message));
			continue;
		}
		if (codec_text_read(to, v->tree, member->shape, member->flags, MEMBER_TIME_HTTP,
			    h->value, ret_message) == 0)
			return 0;
		if (!is_xml(v) || !str_starts(wire, STR("If-")) ||
			m->shapes[member->shape].kind != SHAPE_TIMESTAMP)
			return ERR_FAULT;
		/* RFC 9110, 13.1.3: a condition whose date is none does not count. */
		*to = (struct value){.kind = 0};
		return 0;
	}
	return 0;
}

static int read_payload(struct value *to, const struct value *v, const struct model_member *member,
	str body, str *ret_message)
{
	unsigned kind = v->tree->model->shapes[member->shape].kind;

	if (kind == SHAPE_STRUCTURE) {
		if (body.n == 0)
			return 0;
		value_init_struct(to, v->tree, member->shape);
		if (is_xml(v))
			return codec_xml_read(
				to, model_str(v->tree->model, member->wire), body, ret_message);
		return codec_json_read(to, body, ret_message);
	}
	check(kind == SHAPE_BLOB || kind == SHAPE_STRING || kind == SHAPE_DOCUMENT);
	if (body.n || kind == SHAPE_BLOB)
		*to = (struct value){.kind = (uint8_t)kind,
			.shape = member->shape,
			.s = body.p ? body : STR("")};
	return 0;
}

int codec_rest_read(struct value *v, const struct rest_labels *labels, str query,
	const struct http_header *headers, unsigned header_count, str body, str *ret_message)
{
	const struct rest_reader in = {labels, query, headers, header_count, body};
	const struct model *m = v->tree->model;
	const struct model_member *member = &m->members[m->shapes[v->shape].first];
	bool in_body = false, payload = false;

	for (unsigned i = 0; i < v->n; i++, member++) {
		struct value *to = &v->items[i];

		switch ((enum member_location)member->location) {
		case LOCATION_URI: TRY(read_label(to, v, member, &in, ret_message)); break;
		case LOCATION_QUERY: TRY(read_query(to, v, member, &in, ret_message)); break;
		case LOCATION_HEADER:
		case LOCATION_HEADERS: TRY(read_header(to, v, member, &in, ret_message)); break;
		case LOCATION_STATUS: break;
		case LOCATION_BODY:
			if (member->flags & MEMBER_PAYLOAD) {
				payload = true;
				TRY(read_payload(to, v, member, body, ret_message));
			} else {
				in_body = true;
			}
			break;
		}
	}
	/* a body that no member takes is not looked at, as AWS does */
	if (in_body && !payload && body.n)
		return is_xml(v)
			       ? codec_xml_read(v, model_shape_name(m, v->shape), body, ret_message)
			       : codec_json_read(v, body, ret_message);
	return 0;
}

/* ---- writing ---- */

static void add_header(struct rest_answer *answer, str name, str value)
{
	answer->headers[answer->header_count++] =
		(struct http_header){.name = name, .value = value};
}

static str text_of(struct arena *a, const struct value *v, unsigned flags)
{
	struct buf text;

	if (v->kind == SHAPE_STRING)
		return v->s;
	buf_init(&text, a, 64 * 1024);
	codec_text_write(&text, v, flags, MEMBER_TIME_HTTP);
	return buf_str(&text);
}

static void write_header(struct arena *a, const struct value *tree_owner,
	const struct model_member *member, const struct value *v, struct rest_answer *answer)
{
	const struct model *m = tree_owner->tree->model;
	str wire = model_str(m, member->wire);
	struct buf list;

	if (v->kind == SHAPE_MAP) {
		for (uint32_t i = 0; i < v->n; i++)
			add_header(answer, ARENA_CONCAT(a, wire, v->entries[i].key),
				text_of(a, &v->entries[i].value, 0));
		return;
	}
	if (v->kind != SHAPE_LIST) {
		add_header(answer, wire, text_of(a, v, member->flags));
		return;
	}
	buf_init(&list, a, 64 * 1024);
	for (uint32_t i = 0; i < v->n; i++) {
		if (i)
			buf_put(&list, STR(", "));
		buf_put(&list, text_of(a, &v->items[i], 0));
	}
	add_header(answer, wire, buf_str(&list));
}

/* How many headers an output can make: one a member, and the entries of maps. */
static size_t header_room(const struct value *out)
{
	size_t n = out->n;

	for (unsigned i = 0; i < out->n; i++)
		n += out->items[i].kind == SHAPE_MAP ? out->items[i].n : 0;
	return n;
}

static str structure_type(const struct value *out)
{
	return is_xml(out) ? STR("application/xml") : STR("application/json");
}

void codec_rest_write(
	struct buf *body, struct arena *a, const struct value *out, struct rest_answer *ret_answer)
{
	const struct model *m;
	const struct model_member *member;
	bool in_body = false, payload = false;

	*ret_answer = (struct rest_answer){.status = 0};
	if (!out)
		return;
	m = out->tree->model;
	member = &m->members[m->shapes[out->shape].first];
	ret_answer->headers = arena_new_array(a, struct http_header, header_room(out));
	for (unsigned i = 0; i < out->n; i++, member++) {
		const struct value *v = &out->items[i];

		if (member->location == LOCATION_BODY) {
			payload |= (member->flags & MEMBER_PAYLOAD) != 0;
			in_body |= (member->flags & MEMBER_PAYLOAD) == 0;
		}
		if (!v->kind)
			continue;
		if (member->location == LOCATION_STATUS)
			ret_answer->status = (uint16_t)v->i;
		else if (member->location == LOCATION_HEADER ||
			 member->location == LOCATION_HEADERS)
			write_header(a, out, member, v, ret_answer);
		else if (!(member->flags & MEMBER_PAYLOAD))
			continue;
		else if (v->kind != SHAPE_STRUCTURE)
			buf_put(body, v->s);
		else if (is_xml(out))
			codec_xml_write(body, model_str(m, member->wire), v);
		else
			codec_json_write(body, v);
		if (member->flags & MEMBER_PAYLOAD)
			ret_answer->content_type = v->kind == SHAPE_STRUCTURE ? structure_type(out)
						   : v->kind == SHAPE_STRING
							   ? STR("text/plain")
							   : STR("application/octet-stream");
	}
	if (in_body && !payload) {
		if (is_xml(out))
			codec_xml_write(body, STR_NULL, out);
		else
			codec_json_write(body, out);
		ret_answer->content_type = structure_type(out);
	}
}
