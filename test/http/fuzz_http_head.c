/*
 * Fuzzes what is pure in HTTP: finding and parsing a head, its target, and the chunk decoder.
 * Checked: everything that comes out lies within the input, nothing that passed can be read in two
 * ways, and chunks decoded in one piece and byte by byte give the same.
 */
#include "http/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void inside(str s, const uint8_t *data, size_t n)
{
	check(!s.n || (s.p >= (const char *)data && s.p + s.n <= (const char *)data + n));
}

static void fuzz_head(const uint8_t *data, size_t n)
{
	cleanup(arena_done_p) struct arena arena;
	struct head_scan scan = {0};
	str host, path, query;
	struct head h;
	int rc;

	arena_init(&arena, 1 << 20);
	rc = head_find((const char *)data, n, &scan);
	if (rc <= 0)
		return;
	check((size_t)rc <= n && memcmp(data + rc - 2, "\r\n", 2) == 0);
	(void)!head_parse_response((const char *)data, (size_t)rc, scan.lines, 100, &arena, &h);
	if (head_parse_request((const char *)data, (size_t)rc, scan.lines, 100, &arena, &h) < 0)
		return;
	check(!(h.chunked && h.content_length >= 0) && h.content_length >= -1);
	check(h.header_count <= 100);
	for (unsigned i = 0; i < h.header_count; i++) {
		inside(h.headers[i].name, data, n);
		inside(h.headers[i].value, data, n);
		check(http_is_token(h.headers[i].name) && http_is_value(h.headers[i].value));
	}
	inside(h.target, data, n);
	if (head_target(&h, head_get(&h, HTTP_NAME_HOST), &host, &path, &query) == 0)
		check(path.n && (path.p[0] == '/' || str_eq(path, STR("*"))));
}

static int decode(const char *in, size_t n, size_t step, struct buf *out)
{
	struct chunk_decoder d;
	size_t at = 0;

	chunk_init(&d);
	while (at < n && !chunk_ended(&d)) {
		size_t data = 0;
		int rc = chunk_eat(&d, in + at, MIN(step, n - at), &data);

		if (rc < 0)
			return rc;
		at += (size_t)rc;
		buf_put(out, str_of(in + at, data));
		if (data)
			chunk_take(&d, data);
		at += data;
	}
	return chunk_ended(&d);
}

static void fuzz_chunks(const char *in, size_t n)
{
	struct buf whole, parts;
	int a, b;

	buf_init(&whole, NULL, n + 1);
	buf_init(&parts, NULL, n + 1);
	a = decode(in, n, n, &whole);
	b = decode(in, n, 1, &parts);
	check(a == b && str_eq(buf_str(&whole), buf_str(&parts)));
	buf_done(&whole);
	buf_done(&parts);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	fuzz_head(data, n);
	fuzz_chunks((const char *)data, n);
	return 0;
}
