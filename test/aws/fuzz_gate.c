/*
 * Whole requests through the gate, open mode: "METHOD target", header lines, an empty line, a body.
 * Nothing has a handler but a few echoes; every answer must be complete.
 */
#include "aws/gate.h"
#include "base/check.h"
#include "base/rc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { HEADERS_MAX = 32 };

static int echo_nothing(struct call *c)
{
	check(c->in == NULL || c->in->kind == SHAPE_STRUCTURE);
	return 0;
}

static const struct operation_row dynamodb_rows[] = {
	{.name = "ListTables", .handle = echo_nothing},
	{.name = "GetItem", .handle = echo_nothing, .flags = ROW_RAW_BODY},
};
static const struct operation_row lambda_rows[] = {
	{.name = "Invoke", .handle = echo_nothing},
	{.name = "CreateFunction", .handle = echo_nothing},
	{.name = "UntagResource", .handle = echo_nothing},
};
static const struct operation_row iam_rows[] = {
	{.name = "CreateRole", .handle = echo_nothing},
};

static int64_t clock_zero(void)
{
	return INT64_C(1440938160000);
}

static void fixed_random(void *to, size_t n)
{
	memset(to, 1, n);
}

static int read_body(void *arg, size_t max, str *ret_body)
{
	const str *body = arg;

	if (body->n > max)
		return ERR_TOO_LARGE;
	*ret_body = *body;
	return 0;
}

static struct gate *made(struct ports *ports, struct service services[3])
{
	static const char *const names[] = {"dynamodb", "lambda", "iam"};
	static const struct operation_row *const rows[] = {dynamodb_rows, lambda_rows, iam_rows};
	static const size_t counts[] = {
		ARRAY_SIZE(dynamodb_rows), ARRAY_SIZE(lambda_rows), ARRAY_SIZE(iam_rows)};
	struct gate_options o = {
		.wall_ms = clock_zero, .monotonic_ns = clock_zero, .random = fixed_random};
	struct gate *g = gate_new(&o, ports);

	for (size_t i = 0; i < 3; i++) {
		services[i] = (struct service){.model = model_named(str_c(names[i])),
			.rows = rows[i],
			.row_count = counts[i]};
		gate_register(g, &services[i]);
	}
	return g;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct http_header headers[HEADERS_MAX];
	struct gate_trust trust = {.loopback = true};
	str text = str_of(data, n), line, name;
	struct gate_request r = {.headers = headers,
		.peer = STR("127.0.0.1"),
		.trust = &trust,
		.body = read_body,
		.body_arg = &text,
		.body_length = UINT64_MAX};
	struct gate_response answer;
	struct service services[3];
	struct ports ports = {.host_count = 0};
	struct gate *g;
	struct arena a;
	ptrdiff_t mark;

	if (!str_split(&text, '\n', &line) || !str_split(&line, ' ', &r.method) || line.n == 0 ||
		line.p[0] != '/')
		return 0;
	mark = str_find(line, '?');
	r.path = mark < 0 ? line : str_sub(line, 0, (size_t)mark);
	r.query = mark < 0 ? STR_NULL : str_from(line, (size_t)mark + 1);
	while (str_split(&text, '\n', &line) && line.n) {
		if (r.header_count == HEADERS_MAX || !str_split(&line, ':', &name))
			return 0;
		headers[r.header_count++] =
			(struct http_header){.name = name, .value = str_trim(line)};
	}
	arena_init(&a, SIZE_MAX);
	g = made(&ports, services);
	gate_handle(g, &a, &r, &answer);
	check(answer.status >= 200 && answer.status <= 599 && answer.header_count > 0);
	gate_free(g);
	arena_done(&a);
	return 0;
}
