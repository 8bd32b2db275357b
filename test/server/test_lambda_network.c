/*
 * --lambda-network and its range, by tables. What the machine has to do with it: test_network.py.
 */
#include "base/rc.h"
#include "server/lambda_network.h"
#include "test/test.h"

static struct options options_with(const char *mode, const char *range)
{
	return (struct options){.lambda_network = mode,
		.lambda_network_range = range,
		.function_instances = 900,
		.listen = "127.0.0.1:4566",
		.auth = ""};
}

TEST(lambda_network, range)
{
	static const struct {
		const char *text;
		uint32_t range;
		unsigned prefix;
		int rc;
	} rows[] = {
		{"10.213.0.0/16", 0x0ad50000, 16, 0},
		{"10.0.0.0/8", 0x0a000000, 8, 0},
		{"172.16.0.0/12", 0xac100000, 12, 0},
		{"192.168.0.0/20", 0xc0a80000, 20, 0},
		{"100.64.0.0/10", 0x64400000, 10, 0},
		{"172.31.240.0/20", 0xac1ff000, 20, 0},
		{"10.0.0.0/7", 0, 0, ERR_INVALID},
		{"10.0.0.0/25", 0, 0, ERR_INVALID},
		{"10.213.0.1/16", 0, 0, ERR_INVALID}, /* a bit behind the prefix */
		{"172.16.0.0/11", 0, 0, ERR_INVALID}, /* ends outside */
		{"172.32.0.0/16", 0, 0, ERR_INVALID},
		{"192.169.0.0/16", 0, 0, ERR_INVALID},
		{"100.128.0.0/16", 0, 0, ERR_INVALID},
		{"8.8.0.0/16", 0, 0, ERR_INVALID},
		{"10.213.0.0", 0, 0, ERR_INVALID},
		{"10.213/16", 0, 0, ERR_INVALID},
		{"/16", 0, 0, ERR_INVALID},
		{"10.213.0.0/", 0, 0, ERR_INVALID},
		{"10.213.0.0/1x", 0, 0, ERR_INVALID},
		{"fd00::/16", 0, 0, ERR_INVALID},
		{"", 0, 0, ERR_INVALID},
	};
	struct arena a cleanup(arena_done_p);

	arena_init(&a, SIZE_MAX);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct options o = options_with("nat", rows[i].text);
		struct sandbox_network n = {0};
		str message = STR_NULL;

		EXPECT_INT(lambda_network(&o, &a, &n, &message), rows[i].rc);
		EXPECT_INT(n.range, rows[i].range);
		EXPECT_INT(n.prefix, rows[i].prefix);
		if (rows[i].rc)
			EXPECT(str_find_str(message, str_c(rows[i].text)) >= 0);
	}
}

TEST(lambda_network, room)
{
	struct arena a cleanup(arena_done_p);
	struct options o = options_with("nat", "10.1.2.0/24");
	struct sandbox_network n = {0};
	str message = STR_NULL;

	arena_init(&a, SIZE_MAX);
	EXPECT_INT(lambda_network(&o, &a, &n, &message), ERR_INVALID);
	EXPECT(str_find_str(message, STR("1000 instances")) >= 0);
	o.function_instances = 100;
	EXPECT_INT(lambda_network(&o, &a, &n, &message), 0);
	EXPECT_INT(n.reach, SANDBOX_REACH_OUTSIDE);
	EXPECT_INT(sandbox_range_instances(24), 251);
	o = options_with("none", "10.1.2.0/24");
	EXPECT_INT(lambda_network(&o, &a, &n, &message), 0);
	EXPECT_INT(n.reach, SANDBOX_REACH_NONE);
	o = options_with("host", "10.1.0.0/16");
	EXPECT_INT(lambda_network(&o, &a, &n, &message), 0);
	EXPECT_INT(n.reach, SANDBOX_REACH_HOST);
}

/* In open mode the host is not for functions, whoever starts the server. */
TEST(lambda_network, strict)
{
	struct arena a cleanup(arena_done_p);
	struct options o = options_with("host", "10.1.0.0/16");
	str message = STR_NULL;

	arena_init(&a, SIZE_MAX);
	EXPECT_INT(lambda_network_check(&o, &a, &message), ERR_DENIED);
	o.auth = "open";
	o.listen = "0.0.0.0:4566";
	EXPECT_INT(lambda_network_check(&o, &a, &message), ERR_DENIED);
	o = options_with("none", "10.1.0.0/16");
	EXPECT_INT(lambda_network_check(&o, &a, &message), 0);
}
