/*
 * Integration URIs: a URI and a value per line. What is filled in stays in the path of the URI: the
 * target is printable, begins with '/', and the value adds no dot segment.
 */
#include "base/check.h"
#include "services/apigateway/target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static unsigned dots(str target)
{
	unsigned count = 0;
	ptrdiff_t query = str_find(target, '?');
	str rest = query < 0 ? target : str_sub(target, 0, (size_t)query), segment;

	while (str_split(&rest, '/', &segment))
		count += str_eq(segment, STR(".")) || str_eq(segment, STR(".."));
	return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	cleanup(arena_done_p) struct arena a = {0};
	str rest = str_of(data, n), uri, value, target, empty_target, arn, text;
	struct target_url url;

	arena_init(&a, SIZE_MAX);
	if (!str_split(&rest, '\n', &uri))
		return 0;
	value = rest;
	(void)!target_function(uri, &arn);
	const struct event_variable variable = {STR("v"), value};
	(void)!target_substitute(&a, uri, &variable, 1, &text);
	if (target_url_parse(uri, &url) < 0)
		return 0;
	check(url.name.n > 0 && url.port > 0 && url.path.n > 0 && url.path.p[0] == '/');
	for (int greedy = 0; greedy < 2; greedy++) {
		struct router_parameter p = {STR("p"), value, greedy};
		struct router_parameter plain = {STR("p"), STR("x"), greedy};

		if (target_url_fill(&a, &url, &p, 1, STR_NULL, &target) < 0)
			continue;
		check(target.n > 0 && target.p[0] == '/');
		for (size_t i = 0; i < target.n; i++)
			check((unsigned char)target.p[i] > ' ' &&
				(unsigned char)target.p[i] < 0x7f);
		check(target_url_fill(&a, &url, &plain, 1, STR_NULL, &empty_target) == 0);
		if (value.n && !url.query.p && str_find(value, '/') < 0 &&
			str_find_str(url.path, STR("..{")) < 0 &&
			str_find_str(url.path, STR("}.")) < 0 &&
			str_find_str(url.path, STR(".{")) < 0 &&
			str_find_str(url.path, STR("}{")) < 0)
			check(dots(target) <= dots(empty_target));
	}
	return 0;
}
