/*
 * XML: what was read survives writing and reading.
 */
#include "base/check.h"
#include "base/xml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const struct xml_limits limits = {1 << 16, 20, 2000, 8};

static void put(struct buf *out, const struct xml_node *node, unsigned depth)
{
	check(depth <= limits.depth_max);
	xml_put_open_ns(out, node->name, node->ns);
	xml_put_text(out, node->text);
	for (const struct xml_node *c = node->child; c; c = c->next)
		put(out, c, depth + 1);
	xml_put_close(out, node->name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const struct xml_limits wide = {1 << 24, 20, 2000, 8};
	cleanup(arena_done_p) struct arena a = {0};
	struct xml_node *root, *again;
	struct xml_error error;
	struct buf once, twice;

	arena_init(&a, SIZE_MAX);
	if (xml_parse(&a, str_of(data, n), &limits, &root, &error) < 0) {
		check(error.what != NULL);
		return 0;
	}
	buf_init(&once, &a, SIZE_MAX / 4);
	put(&once, root, 1);
	check(xml_parse(&a, buf_str(&once), &wide, &again, &error) == 0);
	buf_init(&twice, &a, SIZE_MAX / 4);
	put(&twice, again, 1);
	check(str_eq(buf_str(&once), buf_str(&twice)));
	return 0;
}
