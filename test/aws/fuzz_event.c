/*
 * Events: a request line, headers, an empty line and a body of any bytes. Both formats are JSON
 * with the body in it, unchanged.
 */
#include "aws/http_event.h"
#include "base/check.h"
#include "base/hash.h"
#include "base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_event(struct arena *a, const struct event_request *request, unsigned format)
{
	struct json_value *root;
	struct buf out;

	buf_init(&out, a, SIZE_MAX / 2);
	if (format == 2)
		event_render_2(&out, a, request);
	else
		event_render_1(&out, a, request);
	check(!out.over && str_is_utf8(buf_str(&out)));
	check(json_parse(a, buf_str(&out), JSON_DEPTH_DEFAULT, &root, NULL) == 0);
	const struct json_value *body = json_get(root, STR("body"));
	const struct json_value *encoded = json_get(root, STR("isBase64Encoded"));
	check(encoded && encoded->kind == JSON_BOOL);
	if (!request->body.n) {
		check(!body || body->kind == JSON_NULL);
		return;
	}
	check(body && body->kind == JSON_STRING);
	str text = body->text;
	if (encoded->boolean) {
		uint8_t *bytes = arena_alloc(a, base64_bytes_max(text.n));
		size_t count;

		check(base64_decode(text, bytes, &count) == 0);
		text = str_of(bytes, count);
	}
	check(str_eq(text, request->body));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	cleanup(arena_done_p) struct arena a = {0};
	struct http_header headers[32];
	const struct http_header *as_sent;
	size_t count = 0;
	str rest = str_of(data, n), line, path, query;
	const struct event_variable parameter = {STR("p"), str_of(data, n)};
	const struct event_variable variable = {STR("v"), str_of(data, n)};

	arena_init(&a, SIZE_MAX);
	if (!str_split(&rest, '\n', &line))
		return 0;
	ptrdiff_t mark = str_find(line, '?');
	path = mark < 0 ? line : str_sub(line, 0, (size_t)mark);
	query = mark < 0 ? STR_NULL : str_from(line, (size_t)mark + 1);
	while (str_split(&rest, '\n', &line) && line.n) {
		ptrdiff_t colon = str_find(line, ':');

		if (count < ARRAY_SIZE(headers) && colon > 0)
			headers[count++] =
				(struct http_header){.name = str_sub(line, 0, (size_t)colon),
					.value = str_from(line, (size_t)colon + 1)};
	}
	struct event_request request = {.account = STR("000000000000"),
		.api_id = STR("a"),
		.stage = STR("$default"),
		.route_key = STR("$default"),
		.method = STR("GET"),
		.path = path,
		.query = query,
		.protocol = STR("HTTP/1.1"),
		.domain_name = path,
		.domain_prefix = path,
		.source_ip = STR("127.0.0.1"),
		.user_agent = query,
		.request_id = STR("r"),
		.time_ms = INT64_C(1440938160000),
		.body = rest,
		.parameters = &parameter,
		.parameter_count = n & 1,
		.variables = &variable,
		.variable_count = n >> 1 & 1};
	const struct event_origin origin = {
		STR("127.0.0.1"), STR("80"), STR("http"), STR("t"), (int64_t)rest.n};
	event_headers(&a, headers, count, &origin, &as_sent, &request.header_count);
	request.headers = as_sent;
	for (size_t i = 0; i < request.header_count; i++)
		check(!event_header_is_hop(as_sent[i].name, STR_NULL));
	check_event(&a, &request, 1);
	check_event(&a, &request, 2);
	return 0;
}
