/*
 * URI: decoding gives back what was encoded; iterating and normalising any text ends, the latter in
 * a fixed point.
 */
#include "base/check.h"
#include "base/uri.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	cleanup(arena_done_p) struct arena a = {0};
	str in = str_of(data, n), path, query, name, value, back, once;
	struct uri_query q;
	struct buf out;
	size_t seen = 0;

	arena_init(&a, SIZE_MAX);
	buf_init(&out, &a, 3 * n);
	uri_put_encoded(&out, in, URI_COMPONENT);
	check(!out.over && uri_decode(&a, buf_str(&out), URI_PLUS_IS_SPACE, &back) == 0);
	check(str_eq(in, back));
	if (uri_decode(&a, in, URI_PLAIN, &back) == 0)
		check(back.n <= n);
	uri_split(in, &path, &query);
	for (q = uri_query_of(query); uri_query_next(&q, &name, &value);)
		seen += name.n + value.n;
	check(seen <= n);
	(void)!uri_query_find(&a, query, STR("a"), &value);
	once = uri_normalize_path(&a, path);
	check(once.n > 0 && once.p[0] == '/' && str_find_str(once, STR("//")) < 0);
	check(str_find_str(once, STR("/./")) < 0 && str_find_str(once, STR("/../")) < 0);
	check(str_eq(once, uri_normalize_path(&a, once)));
	return 0;
}
