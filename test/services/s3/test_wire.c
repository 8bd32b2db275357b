/*
 * See wire.h: the world, the runner of case files, and the files.
 */
#include "test/services/s3/wire.h"

#include "base/check.h"
#include "kv/kv.h"
#include "services/s3/s3.h"
#include "test/test_table.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

enum { FILE_BYTES_MAX = 1 << 20, KEPT_MAX = 8, HEADERS_MAX = 16, SETTLE_MS = 1000 };

/* ---- the world ---- */

static int64_t wall_ms(void)
{
	return rt_wall() / RT_NS_MS;
}

static void run(void *arg)
{
	struct s3_world *w = arg;
	const struct gate_options options = {.auth = GATE_OPEN,
		.region_default = STR("us-east-1"),
		.wall_ms = wall_ms,
		.monotonic_ns = rt_now,
		.random = rt_random_bytes};
	struct kv *memory;

	check(kv_open_memory(&(struct kv_memory_options){.seed = 1}, &memory) == 0);
	check(kv_open_fault(memory, &(struct kv_fault_options){.no_delay = true}, &w->kv) == 0);
	check(s3_service_start(w->s3, w->kv) == 0);
	w->gate = gate_new(&options, &w->ports);
	gate_register(w->gate, s3_service_rows(w->s3));
	w->fn(w);
	s3_service_stop(w->s3);
	kv_close(w->kv);
	rt_stop(w->rt);
}

static void run_world(struct s3_world *w, uint64_t seed)
{
	const struct rt_options options = {.mode = RT_SIMULATED, .loops = 1, .seed = seed};

	w->folder = test_folder();
	check(rt_new(&options, &w->rt) == 0);
	check(s3_service_new(&(struct s3_options){.rt = w->rt,
				     .ports = &w->ports,
				     .data_folder = w->folder,
				     .unsynced = true},
		      &w->s3) == 0);
	EXPECT_INT(rt_run(w->rt, run, w), 0);
	gate_free(w->gate);
	s3_service_free(w->s3);
	rt_free(w->rt);
}

void s3_run(uint64_t seed, void (*fn)(struct s3_world *w))
{
	struct s3_world w = {.fn = fn};

	run_world(&w, seed);
}

static unsigned files_in(const char *path)
{
	DIR *folder = opendir(path);
	struct dirent *e;
	unsigned count = 0;

	if (!folder)
		return 0;
	while ((e = readdir(folder))) {
		char below[4096];

		if (e->d_name[0] == '.')
			continue;
		snprintf(below, sizeof below, "%s/%s", path, e->d_name);
		count += e->d_type == DT_DIR ? files_in(below) : 1;
	}
	closedir(folder);
	return count;
}

unsigned s3_files(const struct s3_world *w)
{
	char path[4096];

	snprintf(path, sizeof path, "%s/blob", w->folder);
	return files_in(path);
}

/* ---- a request ---- */

static int give_body(void *arg, size_t max, str *ret_body)
{
	const str *body = arg;

	if (body->n > max)
		return ERR_TOO_LARGE;
	*ret_body = *body;
	return 0;
}

/* The place of a header of that name, or a new one. */
static unsigned place_of(const struct http_header *headers, unsigned count, str name)
{
	unsigned at = 0;

	while (at < count && !str_eq_nocase(headers[at].name, name))
		at++;
	return at;
}

static unsigned add_headers(struct http_header *to, unsigned count, str headers)
{
	str one, name;
	unsigned at;

	while (str_split(&headers, '|', &one)) {
		one = str_trim(one);
		if (!one.n)
			continue;
		check(str_split(&one, ':', &name) && count < HEADERS_MAX);
		at = place_of(to, count, name);
		count += at == count;
		to[at] = (struct http_header){.name = name, .value = str_trim(one)};
	}
	return count;
}

struct s3_answer s3_send(
	struct s3_world *w, struct arena *a, str key, str line, str headers, str body)
{
	static const struct gate_trust root = {.loopback = true};
	struct http_header all[HEADERS_MAX + 4] = {
		{.name = STR("Host"), .value = STR("localhost:4566")},
		{.name = STR("X-Amz-Date"), .value = STR("20260101T000000Z")},
		{.name = STR("Authorization"),
			.value = ARENA_CONCAT(a, STR("AWS4-HMAC-SHA256 Credential="), key,
				STR("/20260101/us-east-1/s3/aws4_request, "
				    "SignedHeaders=host;x-amz-date, Signature="
				    "00000000000000000000000000000000000000000000000000000000000000"
				    "00"))},
		{.name = STR("X-Amz-Content-Sha256"), .value = STR("UNSIGNED-PAYLOAD")}};
	struct gate_response response = {0};
	struct gate_request request = {.headers = all,
		.peer = STR("127.0.0.1"),
		.trust = &root,
		.body = give_body,
		.body_arg = &body,
		.body_length = body.n};
	ptrdiff_t mark;

	check(str_split(&line, ' ', &request.method));
	line = str_trim(line);
	mark = str_find(line, '?');
	request.path = mark < 0 ? line : str_sub(line, 0, (size_t)mark);
	request.query = mark < 0 ? STR_NULL : str_from(line, (size_t)mark + 1);
	request.header_count = add_headers(all, 4, headers);
	gate_handle(w->gate, a, &request, &response);
	return (struct s3_answer){response.status, arena_str(a, response.body), response.headers,
		response.header_count};
}

/* ---- case files ---- */

struct cases {
	struct s3_world *w;
	const char *path;
	str rest, title, key;
	int line;
	unsigned count;
	bool update;
	struct arena *arena, *kept_arena;
	struct {
		str name, value;
	} kept[KEPT_MAX];
	unsigned kept_count;
	struct s3_answer answer;
	str request;
};

static str kept_value(struct cases *f, str name)
{
	for (unsigned i = f->kept_count; i > 0; i--)
		if (str_eq(f->kept[i - 1].name, name))
			return f->kept[i - 1].value;
	test_fail(f->path, f->line, "nothing is kept as %.*s", STR_ARG(name));
	return STR("");
}

static str expanded(struct cases *f, str text)
{
	struct buf out;

	buf_init(&out, f->arena, FILE_BYTES_MAX * 8);
	while (text.n) {
		ptrdiff_t end, star;
		uint64_t times;

		if (str_starts(text, STR("$<"))) {
			end = str_find(text, '>');
			check(end > 2);
			buf_put(&out, kept_value(f, str_sub(text, 2, (size_t)end - 2)));
			text = str_from(text, (size_t)end + 1);
		} else if (str_starts(text, STR("$("))) {
			end = str_find(text, ')');
			star = str_find(text, '*');
			check(end > 0 && star > 2 && star < end &&
				str_to_u64(
					str_sub(text, (size_t)star + 1, (size_t)(end - star) - 1),
					FILE_BYTES_MAX * 8, &times) == 0);
			while (times--)
				buf_put(&out, str_sub(text, 2, (size_t)star - 2));
			text = str_from(text, (size_t)end + 1);
		} else {
			buf_put_char(&out, text.p[0]);
			text = str_from(text, 1);
		}
	}
	check(!out.over);
	return buf_str(&out);
}

/* "%*" matches anything up to what follows it. */
static bool matches(str want, str got)
{
	for (;;) {
		ptrdiff_t star = str_find_str(want, STR("%*")), at;
		str next;

		if (star < 0)
			return str_eq(want, got);
		if (!str_starts(got, str_sub(want, 0, (size_t)star)))
			return false;
		got = str_from(got, (size_t)star);
		want = str_from(want, (size_t)star + 2);
		star = str_find_str(want, STR("%*"));
		next = star < 0 ? want : str_sub(want, 0, (size_t)star);
		at = next.n ? str_find_str(got, next) : (ptrdiff_t)got.n;
		if (star < 0)
			return str_ends(got, next) && got.n >= next.n;
		if (at < 0)
			return false;
		got = str_from(got, (size_t)at);
	}
}

/* Lines ". text" that follow. */
static str take_body(struct cases *f)
{
	struct buf out;
	bool first = true;

	buf_init(&out, f->arena, FILE_BYTES_MAX);
	while (f->rest.n && f->rest.p[0] == '.') {
		str line;

		check(str_split(&f->rest, '\n', &line));
		f->line++;
		if (!first)
			buf_put_char(&out, '\n');
		first = false;
		buf_put(&out, str_from(line, 2));
	}
	return buf_str(&out);
}

static str header_of(const struct s3_answer *answer, str name)
{
	for (unsigned i = 0; i < answer->header_count; i++)
		if (str_eq_nocase(answer->headers[i].name, name))
			return answer->headers[i].value;
	return STR_NULL;
}

static void check_headers(struct cases *f, str wanted)
{
	struct http_header headers[HEADERS_MAX];
	unsigned count = add_headers(headers, 0, wanted);

	for (unsigned i = 0; i < count; i++) {
		str got = header_of(&f->answer, headers[i].name);

		if (str_eq(headers[i].value, STR("-")) ? got.p != NULL
						       : !got.p || !matches(headers[i].value, got))
			test_fail(f->path, f->line, "%.*s\n\t%.*s is %.*s, not %.*s",
				STR_ARG(f->title), STR_ARG(headers[i].name), STR_ARG(got),
				STR_ARG(headers[i].value));
	}
}

static void check_answer(struct cases *f, str line)
{
	str status, body;
	uint64_t code;

	str_split(&line, '|', &status);
	check(str_to_u64(str_trim(status), 999, &code) == 0);
	f->count++;
	line = expanded(f, line);
	body = expanded(f, take_body(f));
	if (f->update)
		printf("< %u\n. %.*s\n", f->answer.status, STR_ARG(f->answer.body));
	if (f->answer.status != code || !matches(body, f->answer.body))
		test_fail(f->path, f->line, "%.*s: %.*s\n\tis   %u %.*s\n\twant %llu %.*s",
			STR_ARG(f->title), STR_ARG(f->request), f->answer.status,
			(int)MIN(f->answer.body.n, (size_t)3000), f->answer.body.p,
			(unsigned long long)code, STR_ARG(body));
	check_headers(f, line);
}

static void send(struct cases *f, str line)
{
	str request;

	line = expanded(f, line);
	str_split(&line, '|', &request);
	f->request = str_trim(request);
	f->answer = s3_send(f->w, f->arena, f->key, f->request, line, expanded(f, take_body(f)));
}

static void keep(struct cases *f, str line)
{
	str name, tag = line;
	ptrdiff_t at, end;

	check(str_split(&tag, ' ', &name) && f->kept_count < KEPT_MAX);
	at = str_find_str(f->answer.body, tag);
	if (at < 0) {
		test_fail(f->path, f->line, "no %.*s in the answer", STR_ARG(tag));
		return;
	}
	at += (ptrdiff_t)tag.n;
	end = str_find(str_from(f->answer.body, (size_t)at), '<');
	f->kept[f->kept_count].name = name;
	f->kept[f->kept_count++].value = arena_str(
		f->kept_arena, str_sub(f->answer.body, (size_t)at, (size_t)MAX(end, (ptrdiff_t)0)));
}

static void one_line(struct cases *f, str line)
{
	int64_t ms;

	if (f->update && line.n && line.p[0] != '<')
		printf("%.*s\n", STR_ARG(line));
	if (!line.n || line.p[0] == '#')
		return;
	check(line.n > 2);
	switch (line.p[0]) {
	case '>': send(f, str_from(line, 2)); break;
	case '<': check_answer(f, str_from(line, 2)); break;
	case '=': keep(f, str_from(line, 2)); break;
	case '@': f->key = str_from(line, 2); break;
	case '~':
		check(str_to_i64(str_from(line, 2), &ms) == 0);
		check(rt_sleep_until(rt_after_ms(ms)) == 0);
		break;
	default: test_fail(f->path, f->line, "what is %.*s?", STR_ARG(line));
	}
}

static struct cases *running; /* of the one thread that runs tests */

/* One group, to the next title. */
static void run_group(struct s3_world *w)
{
	struct cases *f = running;
	struct arena a, kept;

	arena_init(&kept, SIZE_MAX);
	f->w = w;
	f->kept_arena = &kept;
	f->kept_count = 0;
	f->key = STR("test");
	arena_init(&a, SIZE_MAX);
	f->arena = &a;
	while (f->rest.n && !str_starts(f->rest, STR("### "))) {
		str line;

		check(str_split(&f->rest, '\n', &line));
		f->line++;
		if (line.n && line.p[0] == '>') {
			arena_done(&a);
			arena_init(&a, SIZE_MAX);
		}
		one_line(f, line);
	}
	/* Nothing but what objects have is in the folder; a case says so by its end. */
	arena_done(&a);
	arena_done(&kept);
}

void s3_cases(const char *path, unsigned min)
{
	struct cases f = {.path = path, .update = getenv("UPDATE") != NULL};
	cleanup(arena_done_p) struct arena a;
	FILE *file = fopen(path, "rb");
	char *text;

	arena_init(&a, SIZE_MAX);
	ASSERT(file != NULL);
	text = arena_bytes(&a, FILE_BYTES_MAX);
	f.rest = str_of(text, fread(text, 1, FILE_BYTES_MAX, file));
	fclose(file);
	running = &f;
	while (f.rest.n) {
		str line;

		check(str_split(&f.rest, '\n', &line));
		f.line++;
		if (!str_starts(line, STR("### ")))
			continue;
		f.title = str_from(line, 4);
		if (f.update)
			printf("%.*s\n", STR_ARG(line));
		s3_run((uint64_t)f.line, run_group);
	}
	running = NULL;
	EXPECT(f.count >= min);
}

TEST(s3_wire, buckets)
{
	s3_cases("test/services/s3/buckets.txt", 40);
}

TEST(s3_wire, objects)
{
	s3_cases("test/services/s3/objects.txt", 60);
}

TEST(s3_wire, listings)
{
	s3_cases("test/services/s3/listings.txt", 25);
}

TEST(s3_wire, multipart)
{
	s3_cases("test/services/s3/multipart.txt", 35);
}
