/*
 * The codecs as a filter, for peer_codec.py: records of length-prefixed fields (32 bits,
 * little-endian) come on standard input, answers leave in the same form.
 *
 *     in   service operation method target headers body  ->  ok|refused  record-or-message  ""
 *     out  service operation ""     ""     ""      record ->  status  body  headers
 *
 * A record is the JSON that services store (codec_json_store()). Ends with its input.
 */
#include "aws/codec.h"
#include "base/check.h"
#include "base/rc.h"

#include <stdio.h>

enum { FIELDS = 7, FIELD_MAX = 1 << 24, HEADERS_MAX = 64 };

static bool take(struct arena *a, str *ret_field)
{
	uint32_t n;
	char *p;

	if (fread(&n, sizeof(n), 1, stdin) != 1)
		return false;
	check(n <= FIELD_MAX);
	p = arena_bytes(a, n + 1);
	check(fread(p, 1, n, stdin) == n);
	*ret_field = str_of(p, n);
	return true;
}

static void give(str s)
{
	uint32_t n = (uint32_t)s.n;

	check(fwrite(&n, sizeof(n), 1, stdout) == 1 && (n == 0 || fwrite(s.p, n, 1, stdout) == 1));
}

static int read_request(const struct model *m, const struct model_operation *o, const str *field,
	struct value *v, str *ret_message)
{
	struct http_header headers[HEADERS_MAX];
	struct rest_labels labels;
	str path = field[4], query = STR_NULL, heads = field[5], line, name;
	ptrdiff_t mark = str_find(path, '?');
	struct form *form;
	unsigned count = 0;

	if (mark >= 0) {
		query = str_from(path, (size_t)mark + 1);
		path = str_sub(path, 0, (size_t)mark);
	}
	while (str_split(&heads, '\n', &line)) {
		check(count < HEADERS_MAX && str_split(&line, ':', &name));
		headers[count++] = (struct http_header){.name = name, .value = str_trim(line)};
	}
	if (m->protocol == PROTOCOL_QUERY) {
		TRY(form_parse(v->tree->arena, query, field[6], &form, ret_message));
		return codec_query_read(v, form, ret_message);
	}
	if (!model_is_rest(m))
		return codec_json_read(v, field[6], ret_message);
	*ret_message = STR("the operation's method and path do not match");
	if (!str_eq(model_str(m, o->method), field[3]) ||
		!(m->protocol == PROTOCOL_REST_XML ? rest_match_exact : rest_match)(
			model_str(m, o->uri), path, &labels))
		return ERR_FAULT;
	return codec_rest_read(v, &labels, query, headers, count, field[6], ret_message);
}

static void answer_in(
	struct arena *a, const struct model *m, const struct model_operation *o, const str *field)
{
	struct value *v = value_new_shape(a, m, o->input);
	str message = STR_NULL;
	struct buf out;

	buf_init(&out, a, FIELD_MAX);
	if (read_request(m, o, field, v, &message) < 0) {
		give(STR("refused"));
		give(message);
	} else {
		codec_json_store(&out, v);
		give(STR("ok"));
		give(buf_str(&out));
	}
	give(STR(""));
}

static void answer_out(
	struct arena *a, const struct model *m, const struct model_operation *o, const str *field)
{
	struct rest_answer rest = {.status = 0};
	struct buf body, headers;
	struct value *v;

	check(codec_json_load(a, m, arena_c(a, model_shape_name(m, o->output)), field[6], &v) >= 0);
	buf_init(&body, a, FIELD_MAX);
	buf_init(&headers, a, FIELD_MAX);
	if (m->protocol == PROTOCOL_QUERY)
		codec_query_write(&body, m, field[2], v, STR("id"));
	else if (model_is_rest(m))
		codec_rest_write(&body, a, v, &rest);
	else
		codec_json_write(&body, v);
	for (unsigned i = 0; i < rest.header_count; i++)
		buf_printf(&headers, "%.*s: %.*s\n", STR_ARG(rest.headers[i].name),
			STR_ARG(rest.headers[i].value));
	give(arena_printf(a, "%d", rest.status ? rest.status : o->status));
	give(buf_str(&body));
	give(buf_str(&headers));
}

int main(void)
{
	for (;;) {
		cleanup(arena_done_p) struct arena a = {0};
		const struct model_operation *o;
		const struct model *m;
		str field[FIELDS];
		int operation;

		arena_init(&a, SIZE_MAX);
		for (unsigned i = 0; i < FIELDS; i++)
			if (!take(&a, &field[i]))
				return 0;
		m = model_named(field[1]);
		operation = m ? model_operation(m, field[2]) : -1;
		if (operation < 0) {
			give(STR("unknown"));
			give(STR(""));
			give(STR(""));
		} else {
			o = &m->operations[operation];
			if (str_eq(field[0], STR("in")))
				answer_in(&a, m, o, field);
			else
				answer_out(&a, m, o, field);
		}
		check(fflush(stdout) == 0);
	}
}
