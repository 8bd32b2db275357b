/*
 * Command line and environment: precedence, every kind, and what the messages name.
 */
#include "base/rc.h"
#include "server/options.h"
#include "test/test.h"

static struct options parsed;
static str message;

static int parse(struct arena *a, const char **argv, const char **environment)
{
	message = STR_NULL;
	return options_parse(a, argv, environment, &parsed, &message);
}

TEST(options, defaults)
{
	struct arena a;

	arena_init(&a, 1 << 20);
	ASSERT_INT(parse(&a, (const char *[]){NULL}, (const char *[]){NULL}), 0);
	EXPECT_STR(str_c(parsed.listen), STR("127.0.0.1:4566"));
	EXPECT_STR(str_c(parsed.durability), STR("synced"));
	EXPECT(!parsed.ephemeral);
	EXPECT_INT(parsed.cache_mib, 64);
	EXPECT_INT(parsed.host_suffix.n, 0);
	arena_done(&a);
}

TEST(options, command_line_wins)
{
	struct arena a;
	const char *environment[] = {"CIRRUS_LISTEN=127.0.0.1:1",
		"CIRRUS_HOST_SUFFIX=a.test, b.test", "CIRRUS_EPHEMERAL=1", "CIRRUS_LOOPS=3", NULL};
	const char *argv[] = {"--listen", "127.0.0.1:2", "--host-suffix=c.test", "--host-suffix",
		"d.test", "--ephemeral=false", NULL};

	arena_init(&a, 1 << 20);
	ASSERT_INT(parse(&a, argv, environment), 0);
	EXPECT_STR(str_c(parsed.listen), STR("127.0.0.1:2"));
	ASSERT_INT(parsed.host_suffix.n, 2);
	EXPECT_STR(str_c(parsed.host_suffix.item[1]), STR("d.test"));
	EXPECT(!parsed.ephemeral);
	EXPECT_INT(parsed.loops, 3);
	ASSERT_INT(parse(&a, (const char *[]){NULL}, environment), 0);
	ASSERT_INT(parsed.host_suffix.n, 2);
	EXPECT_STR(str_c(parsed.host_suffix.item[1]), STR("b.test"));
	EXPECT(parsed.ephemeral);
	arena_done(&a);
}

TEST(options, errors_name_the_place)
{
	struct arena a;

	arena_init(&a, 1 << 20);
	EXPECT_INT(parse(&a, (const char *[]){"--auth", "maybe", NULL}, (const char *[]){NULL}),
		ERR_INVALID);
	EXPECT_STR(message, STR("--auth: 'maybe' is not one of open|strict"));
	EXPECT_INT(
		parse(&a, (const char *[]){"--data", NULL}, (const char *[]){NULL}), ERR_INVALID);
	EXPECT_STR(message, STR("--data needs a value: DIR"));
	EXPECT_INT(parse(&a, (const char *[]){NULL}, (const char *[]){"CIRRUS_LOOPS=x", NULL}),
		ERR_INVALID);
	EXPECT_STR(message, STR("CIRRUS_LOOPS: 'x' is not a number from 0 to 1000000000"));
	EXPECT_INT(parse(&a, (const char *[]){"--lisen", "x", NULL}, (const char *[]){NULL}),
		ERR_INVALID);
	EXPECT(str_find_str(message, STR("--lisen")) >= 0);
	arena_done(&a);
}

TEST(options, help_names_every_option)
{
	struct arena a;
	str help;

	arena_init(&a, 1 << 20);
	help = options_help(&a);
#define SECTION(title)
#define OPTION(field, kind, name, argument, otherwise, text) \
	EXPECT(str_find_str(help, STR("    " name)) >= 0);
#include "server/options.def"
#undef OPTION
#undef SECTION
	EXPECT(str_find_str(help, STR("(CIRRUS_DATA)")) >= 0);
	arena_done(&a);
}
