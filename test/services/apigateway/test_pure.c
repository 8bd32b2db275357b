/* The pure parts of API Gateway by tables: routes, targets, CORS, answers of functions. */
#include "aws/cors.h"
#include "aws/http_event.h"
#include "base/rc.h"
#include "services/apigateway/router.h"
#include "services/apigateway/target.h"
#include "test/test_table.h"

#define TABLES "test/services/apigateway/"

static const char *why(int rc)
{
	return rc == ERR_SYNTAX ? "syntax" : rc == ERR_INVALID ? "invalid" : rc_name(rc);
}

TEST(apigateway, route_keys)
{
	struct test_table t;
	struct route_key key;

	for (test_table_open(&t, TABLES "route_key.txt"); test_table_next(&t);) {
		int rc = route_key_parse(t.field[0], &key);

		TABLE_EXPECT_STR(
			&t, rc < 0 ? str_c(why(rc)) : route_key_form(&t.arena, &key), t.field[1]);
	}
	test_table_close(&t, 20);
}

static str found(struct arena *a, const struct router *router, str method, str path)
{
	struct router_match match;
	struct buf out;

	int rc = router_find(router, a, method, path, &match);
	if (rc <= 0)
		return rc < 0 ? STR("broken") : STR("none");
	buf_init(&out, a, 65536);
	buf_put(&out, match.route->key);
	for (size_t i = 0; i < match.parameter_count; i++) {
		buf_put(&out, i ? STR("") : STR(" "));
		buf_put(&out, match.parameters[i].name);
		buf_put(&out, STR("="));
		buf_put(&out, match.parameters[i].value);
		buf_put(&out, STR(";"));
	}
	return buf_str(&out);
}

TEST(apigateway, routes)
{
	struct test_table t;

	for (test_table_open(&t, TABLES "router.txt"); test_table_next(&t);) {
		struct router_route routes[16];
		struct router *router;
		str rest = t.field[0], key;
		size_t n = 0;

		while (str_split(&rest, '|', &key))
			routes[n++] = (struct router_route){.key = key};
		ASSERT_INT(router_new(&t.arena, routes, n, &router), 0);
		TABLE_EXPECT_STR(&t, found(&t.arena, router, t.field[1], t.field[2]), t.field[3]);
	}
	test_table_close(&t, 35);
}

TEST(apigateway, routes_clash)
{
	struct arena a cleanup(arena_done_p);
	struct router *router;
	const struct router_route same[] = {{STR("GET /{a}"), 0}, {STR("GET /{b}"), 1}};
	const struct router_route defaults[] = {{STR("$default"), 0}, {STR("$default"), 1}};
	const struct router_route greedy[] = {{STR("GET /{a+}"), 0}, {STR("GET /{b+}"), 1}};

	arena_init(&a, 1 << 20);
	EXPECT_INT(router_new(&a, same, 2, &router), ERR_EXISTS);
	EXPECT_INT(router_new(&a, defaults, 2, &router), ERR_EXISTS);
	EXPECT_INT(router_new(&a, greedy, 2, &router), ERR_EXISTS);
	EXPECT_INT(router_new(&a, NULL, 0, &router), 0);
	EXPECT_STR(found(&a, router, STR("GET"), STR("/")), STR("none"));
}

TEST(apigateway, functions)
{
	struct test_table t;
	str arn;

	for (test_table_open(&t, TABLES "function.txt"); test_table_next(&t);) {
		int rc = target_function(t.field[0], &arn);

		TABLE_EXPECT_STR(&t, rc < 0 ? STR("-") : arn, t.field[1]);
	}
	test_table_close(&t, 12);
}

static str filled(struct arena *a, str uri, str parameters, str query)
{
	struct router_parameter list[8];
	struct target_url url;
	size_t n = 0;
	str pair, out;

	int rc = target_url_parse(uri, &url);
	if (rc < 0)
		return str_c(why(rc));
	while (!str_eq(parameters, STR("-")) && str_split(&parameters, ';', &pair)) {
		ptrdiff_t equal = str_find(pair, '=');
		bool greedy = pair.p[equal - 1] == '+';

		list[n++] = (struct router_parameter){str_sub(pair, 0, (size_t)equal - greedy),
			str_from(pair, (size_t)equal + 1), greedy};
	}
	rc = target_url_fill(a, &url, list, n, str_eq(query, STR("-")) ? STR_NULL : query, &out);
	if (rc < 0)
		return rc == ERR_NOT_FOUND ? STR("absent") : str_c(why(rc));
	return ARENA_CONCAT(a, url.host, STR(" "), out);
}

TEST(apigateway, urls)
{
	struct test_table t;

	for (test_table_open(&t, TABLES "target.txt"); test_table_next(&t);)
		TABLE_EXPECT_STR(
			&t, filled(&t.arena, t.field[0], t.field[1], t.field[2]), t.field[3]);
	test_table_close(&t, 25);
}

TEST(apigateway, stage_variables)
{
	struct arena a cleanup(arena_done_p);
	const struct event_variable v[] = {{STR("host"), STR("h")}, {STR("x"), STR("")}};
	str out;

	arena_init(&a, 1 << 20);
	ASSERT_INT(target_substitute(&a, STR("http://${stageVariables.host}/${stageVariables.x}/a"),
			   v, 2, &out),
		0);
	EXPECT_STR(out, STR("http://h//a"));
	ASSERT_INT(target_substitute(&a, STR("plain ${x}"), v, 2, &out), 0);
	EXPECT_STR(out, STR("plain ${x}"));
	EXPECT_INT(target_substitute(&a, STR("${stageVariables.none}"), v, 2, &out), ERR_NOT_FOUND);
	EXPECT_INT(target_substitute(&a, STR("${stageVariables.host"), v, 2, &out), ERR_SYNTAX);
}

static str headers_text(struct arena *a, const struct http_header *headers, size_t n)
{
	struct buf out;

	buf_init(&out, a, 65536);
	for (size_t i = 0; i < n; i++) {
		buf_put(&out, headers[i].name);
		buf_put(&out, STR("="));
		buf_put(&out, headers[i].value);
		buf_put(&out, STR(";"));
	}
	return buf_str(&out);
}

TEST(apigateway, cors)
{
	struct test_table t;

	for (test_table_open(&t, TABLES "cors.txt"); test_table_next(&t);) {
		struct http_header headers[CORS_HEADERS_MAX];
		str origins[8], rest = t.field[0];
		struct cors cors = {.origins = origins,
			.methods = STR("GET,POST"),
			.headers = STR("x-b"),
			.expose = STR("x-a"),
			.max_age = 300,
			.credentials = str_eq(t.field[1], STR("yes"))};
		str origin = str_eq(t.field[2], STR("-")) ? STR_NULL : t.field[2];

		while (str_split(&rest, '|', &origins[cors.origin_count]))
			EXPECT(cors_origin_is_valid(origins[cors.origin_count++]));
		size_t n = cors_headers(
			&cors, &t.arena, origin, str_eq(t.field[3], STR("yes")), headers);
		TABLE_EXPECT_STR(&t, headers_text(&t.arena, headers, n), t.field[4]);
	}
	test_table_close(&t, 10);
}

TEST(apigateway, cors_origins)
{
	EXPECT(cors_origin_is_valid(STR("http://localhost:3000")));
	EXPECT(cors_origin_is_valid(STR("capacitor://localhost")));
	EXPECT(!cors_origin_is_valid(STR("")));
	EXPECT(!cors_origin_is_valid(STR("example.com")));
	EXPECT(!cors_origin_is_valid(STR("https://a.example/")));
	EXPECT(!cors_origin_is_valid(STR("https://*.example")));
	EXPECT(!cors_origin_is_valid(STR("https://")));
	EXPECT(!cors_origin_is_valid(STR("https://a\r\nb")));
	EXPECT(cors_owns_header(STR("Access-Control-Allow-Origin")));
	EXPECT(!cors_owns_header(STR("access")));
	EXPECT(cors_is_preflight(STR("OPTIONS"), STR("o"), STR("GET")));
	EXPECT(!cors_is_preflight(STR("OPTIONS"), STR("o"), STR_NULL));
	EXPECT(!cors_is_preflight(STR("GET"), STR("o"), STR("GET")));
}

TEST(apigateway, answers)
{
	struct test_table t;

	for (test_table_open(&t, TABLES "answer.txt"); test_table_next(&t);) {
		unsigned format = (unsigned)(t.field[0].p[0] - '0');
		struct event_answer answer;
		str got = STR("malformed");

		if (event_answer_parse(&t.arena, t.field[1], format, &answer) == 0)
			got = arena_printf(&t.arena, "%u [%.*s] %.*s", answer.status,
				STR_ARG(headers_text(
					&t.arena, answer.headers, answer.header_count)),
				STR_ARG(answer.body));
		TABLE_EXPECT_STR(&t, got, t.field[2]);
	}
	test_table_close(&t, 42);
}
