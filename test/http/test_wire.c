/*
 * The wire table of the server: files of raw requests and raw answers (test/http/wire/), each case
 * sent whole, byte by byte, and in random parts.
 */
#include "base/buf.h"
#include "http/http.h"
#include "test/test.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#define WIRE_FOLDER "test/http/wire"

/* --- the server under test -------------------------------------------------------------------- */

static void answer_echo(struct http_exchange *x)
{
	struct buf b;
	str body;

	buf_init(&b, &x->arena, 100000);
	if (http_body_all(x, 1000, &body) < 0)
		body = STR("broken");
	buf_printf(&b, "%.*s %.*s ", STR_ARG(x->method_text), STR_ARG(x->path));
	if (x->query.p)
		buf_printf(&b, "?%.*s ", STR_ARG(x->query));
	else
		buf_put(&b, STR("- "));
	buf_printf(&b, "%.*s\n", STR_ARG(x->host));
	for (unsigned i = 0; i < x->header_count; i++)
		buf_printf(&b, "%.*s: %.*s\n", STR_ARG(x->headers[i].name),
			STR_ARG(x->headers[i].value));
	buf_printf(&b, "\n%.*s\n", STR_ARG(body.n ? body : STR("(empty body)")));
	EXPECT_INT(http_respond(x, 200, NULL, 0, buf_str(&b)), 0);
}

static void answer_body(struct http_exchange *x)
{
	str body;
	int rc = http_body_all(x, 1000, &body);

	if (rc == ERR_TOO_LARGE)
		rc = http_respond(x, 413, NULL, 0, STR(""));
	else if (rc < 0)
		rc = http_respond(x, 400, NULL, 0, STR(""));
	else
		rc = http_respond(x, 200, NULL, 0, body);
	EXPECT_INT(rc, 0);
}

static void answer_parts(struct http_exchange *x)
{
	char part[2];
	int total = 0, rc;
	char text[16];

	while ((rc = http_body_read(x, part, sizeof part)) > 0)
		total += rc;
	EXPECT_INT(rc, ERR_EOF);
	rc = snprintf(text, sizeof text, "%d\n", total);
	EXPECT_INT(http_respond(x, 200, NULL, 0, str_of(text, (size_t)rc)), 0);
}

static void answer_upgrade(struct http_exchange *x)
{
	struct rt_stream *stream;
	char text[6] = "";
	str early;
	size_t n;

	if (http_upgrade(x, &stream, &early) < 0) {
		EXPECT_INT(http_respond(x, 426, NULL, 0, STR("")), 0);
		return;
	}
	EXPECT_INT(
		rt_stream_write(stream, STR("HTTP/1.1 101 Switching Protocols\r\n\r\n"), RT_NEVER),
		0);
	memcpy(text, early.p, early.n);
	for (n = early.n; n < 5;)
		n += (size_t)rt_stream_read(stream, text + n, 5 - n, RT_NEVER);
	for (int i = 0; i < 5; i++)
		text[i] = (char)(text[i] & ~0x20);
	EXPECT_INT(rt_stream_write(stream, str_of(text, 5), RT_NEVER), 0);
	rt_stream_close(stream);
}

static void answer_inject(struct http_exchange *x)
{
	static const struct http_header bad[] = {
		{.name = STR_INIT("X"), .value = STR_INIT("a\r\nSet-Cookie: b")},
		{.name = STR_INIT("X\r\nY"), .value = STR_INIT("a")},
		{.name = STR_INIT("Content-Length"), .value = STR_INIT("9")},
		{.name = STR_INIT("transfer-encoding"), .value = STR_INIT("chunked")}};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		EXPECT_INT(http_respond(x, 200, &bad[i], 1, STR("x")), ERR_INVALID);
	EXPECT_INT(http_respond(x, 200, NULL, 0, STR("refused\n")), 0);
}

static void handle(struct http_exchange *x, void *arg)
{
	(void)arg;
	if (str_eq(x->path, STR("/echo"))) {
		answer_echo(x);
	} else if (str_eq(x->path, STR("/body"))) {
		answer_body(x);
	} else if (str_eq(x->path, STR("/parts"))) {
		answer_parts(x);
	} else if (str_eq(x->path, STR("/upgrade"))) {
		answer_upgrade(x);
	} else if (str_eq(x->path, STR("/inject"))) {
		answer_inject(x);
	} else if (str_eq(x->path, STR("/none"))) {
		return;
	} else if (str_eq(x->path, STR("/fixed"))) {
		EXPECT_INT(http_respond(x, 200, NULL, 0, STR("ok")), 0);
	} else if (str_starts(x->path, STR("/status/"))) {
		uint64_t status;

		EXPECT_INT(str_to_u64(str_from(x->path, 8), 999, &status), 0);
		EXPECT_INT(http_respond(x, (unsigned)status, NULL, 0, STR("")), 0);
	} else if (str_eq(x->path, STR("/stream"))) {
		EXPECT_INT(http_respond_begin(x, 200, NULL, 0, -1), 0);
		EXPECT_INT(http_respond_write(x, STR("one\n")), 0);
		EXPECT_INT(http_respond_write(x, STR("two\n")), 0);
		EXPECT_INT(http_respond_end(x), 0);
	} else if (str_eq(x->path, STR("/short"))) {
		EXPECT_INT(http_respond_begin(x, 200, NULL, 0, 100), 0);
		EXPECT_INT(http_respond_write(x, STR("part")), 0);
	} else {
		str text = ARENA_CONCAT(&x->arena, x->path, STR("\n"));

		EXPECT_INT(http_respond(x, 404, NULL, 0, text), 0);
	}
}

/* --- the table -------------------------------------------------------------------------------- */

enum { STEPS_MAX = 8 };

/* Alternating: what is sent, what comes back. */
struct wire_case {
	char name[128];
	struct buf sent[STEPS_MAX], expected[STEPS_MAX];
	struct buf begin, finish;
	unsigned steps, repeat;
	bool closes, cut, complete;
};

struct wire_run {
	struct http_server *server;
	struct wire_case *c;
	unsigned cases;
};

static int hex(char c)
{
	return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
}

static void put_escaped(struct buf *b, str s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (c == '\\' && i + 1 < s.n) {
			c = s.p[++i];
			if (c == 'x' && i + 2 < s.n) {
				c = (char)(hex(s.p[i + 1]) << 4 | hex(s.p[i + 2]));
				i += 2;
			} else {
				c = c == 'r' ? '\r' : c == 'n' ? '\n' : c == 't' ? '\t' : c;
			}
		}
		buf_put_char(b, c);
	}
}

/* "Date: Sun, ... GMT" -> "Date: D" */
static size_t hide_date(char *p, size_t n)
{
	for (size_t i = 0; i + 37 <= n; i++)
		if (memcmp(p + i, "\r\nDate: ", 8) == 0 && p[i + 8] != 'D') {
			p[i + 8] = 'D';
			memmove(p + i + 9, p + i + 8 + 29, n - (i + 8 + 29));
			n -= 28;
		}
	return n;
}

/* Has it begun, and not ended? */
static bool date_open(const char *p, size_t n)
{
	ptrdiff_t at = str_find_str(str_of(p, n), STR("\r\nDate: "));

	while (at >= 0 && p[at + 8] == 'D') {
		ptrdiff_t next =
			str_find_str(str_from(str_of(p, n), (size_t)at + 8), STR("\r\nDate: "));

		at = next < 0 ? -1 : at + 8 + next;
	}
	return at >= 0;
}

static int send_in_parts(struct rt_stream *s, str bytes, unsigned mode)
{
	while (bytes.n) {
		size_t n = mode == 0   ? bytes.n
			   : mode == 1 ? 1
				       : 1 + rt_random() % (bytes.n < 50 ? bytes.n : 50);
		int rc = rt_stream_write(s, str_sub(bytes, 0, n), rt_after_ms(5000));

		if (rc < 0)
			return rc;
		bytes = str_from(bytes, n);
		if (mode && rt_yield() < 0)
			return ERR_CANCELLED;
	}
	return 0;
}

static void run_case(struct wire_run *run, unsigned mode)
{
	struct wire_case *c = run->c;
	struct rt_stream *client, *server;
	static char got[65536];
	size_t n = 0, before = test_failures();
	int rc = 0;

	ASSERT_INT(rt_stream_pair(&client, &server), 0);
	http_server_take(run->server, server);
	for (unsigned i = 0; i < c->steps; i++) {
		str expected = buf_str(&c->expected[i]);

		/* The server may refuse before it has read all. */
		(void)!send_in_parts(client, buf_str(&c->sent[i]), mode);
		for (n = 0; n < expected.n || date_open(got, n);) {
			rc = rt_stream_read(client, got + n, sizeof got - n, rt_after_ms(5000));
			if (rc < 0)
				break;
			n = hide_date(got, n + (size_t)rc);
		}
		if (c->cut && date_open(got, n)) /* cut within the date, of a first head */
			n = (size_t)str_find_str(str_of(got, n), STR("\r\nDate: ")) + 8;
		if (c->cut)
			EXPECT(str_starts(expected, str_of(got, n)));
		else
			EXPECT_STR(str_of(got, n), expected);
	}
	rc = rt_stream_read(
		client, got, sizeof got, c->closes ? rt_after_ms(5000) : rt_now() + 200 * RT_NS_US);
	if (c->closes)
		EXPECT(rc == ERR_EOF || rc == ERR_CLOSED);
	else
		EXPECT_INT(rc, ERR_TIMEOUT);
	rt_stream_close(client);
	if (test_failures() > before)
		fprintf(stderr, "  ... in case \"%s\", mode %u\n", c->name, mode);
}

static void case_end(struct wire_run *run)
{
	struct wire_case *c = run->c;

	if (c->name[0]) {
		if (c->repeat) {
			struct buf all;

			buf_init(&all, NULL, 1 << 20);
			buf_put(&all, buf_str(&c->begin));
			for (unsigned i = 0; i < c->repeat; i++)
				buf_put(&all, buf_str(&c->sent[0]));
			buf_put(&all, buf_str(&c->finish));
			buf_done(&c->sent[0]);
			c->sent[0] = all;
		}
		EXPECT(c->complete);
		for (unsigned mode = 0; mode < 3; mode++)
			run_case(run, mode);
		run->cases++;
	}
	for (unsigned i = 0; i < STEPS_MAX; i++) {
		buf_done(&c->sent[i]);
		buf_done(&c->expected[i]);
		buf_init(&c->sent[i], NULL, 1 << 20);
		buf_init(&c->expected[i], NULL, 1 << 20);
	}
	buf_done(&c->begin);
	buf_done(&c->finish);
	buf_init(&c->begin, NULL, 1 << 20);
	buf_init(&c->finish, NULL, 1 << 20);
	c->name[0] = 0;
	c->steps = c->repeat = 0;
	c->complete = c->closes = c->cut = false;
}

static void case_line(struct wire_run *run, str line)
{
	static const struct {
		str name, text;
		unsigned status;
	} refusals[] = {
#define HTTP_REFUSAL(name, status, text) {STR_INIT(#name), STR_INIT(text "\n"), status},
#include "http/refusals.def"
#undef HTTP_REFUSAL
	};
	struct wire_case *c = run->c;
	uint64_t number;

	if (str_starts(line, STR("case "))) {
		case_end(run);
		snprintf(c->name, sizeof c->name, "%.*s", STR_ARG(str_from(line, 5)));
	} else if (str_starts(line, STR("> "))) {
		if (!c->steps || c->expected[c->steps - 1].n)
			c->steps++;
		put_escaped(&c->sent[c->steps - 1], str_from(line, 2));
	} else if (str_starts(line, STR("< "))) {
		put_escaped(&c->expected[c->steps - 1], str_from(line, 2));
	} else if (str_starts(line, STR("begin "))) {
		put_escaped(&c->begin, str_from(line, 6));
	} else if (str_starts(line, STR("finish "))) {
		put_escaped(&c->finish, str_from(line, 7));
	} else if (str_starts(line, STR("repeat "))) {
		EXPECT_INT(str_to_u64(str_from(line, 7), 1 << 20, &number), 0);
		c->repeat = (unsigned)number;
	} else if (str_starts(line, STR("end "))) {
		c->cut = str_eq(line, STR("end cut"));
		c->closes = c->cut || str_eq(line, STR("end close"));
		c->complete = true;
	} else if (str_starts(line, STR("refused "))) {
		for (size_t i = 0; i < ARRAY_SIZE(refusals); i++)
			if (str_eq(refusals[i].name, str_from(line, 8))) {
				buf_printf(&c->expected[0],
					"HTTP/1.1 %u %.*s\r\nDate: D\r\nContent-Type: "
					"text/plain\r\n"
					"Content-Length: %zu\r\nConnection: close\r\n\r\n%.*s",
					refusals[i].status,
					STR_ARG(http_reason(refusals[i].status)),
					refusals[i].text.n, STR_ARG(refusals[i].text));
				c->closes = c->complete = true;
			}
	} else if (line.n && line.p[0] != '#') {
		test_fail(__FILE__, __LINE__, "not understood: %.*s", STR_ARG(line));
	}
}

static void run_file(struct wire_run *run, const char *name)
{
	char path[256];
	static char text[256 * 1024];
	struct http_server_options options = {.handler = handle,
		.limits = {.target_bytes = 800,
			.head_bytes = 2500,
			.headers = 32,
			.body_bytes = 1000000}};
	size_t n;
	str rest, line;
	FILE *f;

	snprintf(path, sizeof path, WIRE_FOLDER "/%s", name);
	f = fopen(path, "r");
	ASSERT(f != NULL);
	n = fread(text, 1, sizeof text, f);
	fclose(f);
	EXPECT(n < sizeof text);
	rest = str_of(text, n);
	ASSERT_INT(http_server_new(&options, &run->server), 0);
	while (str_split(&rest, '\n', &line))
		case_line(run, line);
	case_end(run);
	http_server_free(run->server);
}

static void run_all(void *arg)
{
	struct wire_run *run = arg;
	DIR *folder = opendir(WIRE_FOLDER);
	struct dirent *entry;
	unsigned before;

	ASSERT(folder != NULL);
	run->c = calloc(1, sizeof *run->c);
	while ((entry = readdir(folder)))
		if (str_ends(str_c(entry->d_name), STR(".txt"))) {
			before = run->cases;
			run_file(run, entry->d_name);
			EXPECT(run->cases > before);
		}
	closedir(folder);
	free(run->c);
	rt_stop(rt_self());
}

static void run_table(struct rt_options *options)
{
	struct wire_run run = {0};
	struct rt *rt;

	ASSERT_INT(rt_new(options, &rt), 0);
	EXPECT_INT(rt_run(rt, run_all, &run), 0);
	rt_free(rt);
	EXPECT(run.cases > 80);
}

TEST(http_wire, table)
{
	run_table(&(struct rt_options){.loops = 1});
}

/* The same over the simulated network, which cuts reads and writes as it likes. */
TEST(http_wire, table_simulated)
{
	for (uint64_t seed = 1; seed <= test_number("SEEDS", 10); seed++)
		run_table(&(struct rt_options){.mode = RT_SIMULATED, .loops = 1, .seed = seed});
}
