/*
 * Where the packages of Node.js functions are: what the option names, and the default; and the
 * version that is in them.
 */
#include "base/rc.h"
#include "server/runtimes.h"
#include "test/test.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static struct arena arena;
static char packages[200];

static const char *below(const char *folder, const char *name)
{
	return arena_printf(&arena, "%s/%s", folder, name).p;
}

static void make_file(const char *path, str text, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	ASSERT(fd >= 0 && write(fd, text.p, text.n) == (ssize_t)text.n && fchmod(fd, mode) == 0);
	close(fd);
}

/* PREFIX/bin/cirrus, which may be a link to it, and PREFIX/lib/cirrus/node_modules. */
static const char *make_prefix(void)
{
	char real[4096];
	const char *prefix;

	arena_init(&arena, 1 << 20);
	if (!realpath(test_folder(), real))
		abort();
	prefix = arena_printf(&arena, "%s", real).p;
	for (const char *const *name = (const char *const[]){"bin", "lib", "lib/cirrus",
		     "lib/cirrus/node_modules", NULL};
		*name; name++)
		if (mkdir(below(prefix, *name), 0755) != 0)
			abort();
	make_file(below(prefix, "bin/cirrus"), STR(""), 0755);
	snprintf(packages, sizeof packages, "%s/lib/cirrus/node_modules", prefix);
	return prefix;
}

static int find(const char *named, const char *program, str *ret_found)
{
	struct options options = {.node_modules = named};
	str message = STR_NULL;
	int rc = runtimes_find_packages(&options, &arena, program, &message);

	*ret_found = rc < 0 ? message : str_c(options.node_modules);
	return rc;
}

TEST(runtimes, packages_are_beside_the_program)
{
	const char *prefix = make_prefix();
	str found;

	EXPECT_INT(find("", below(prefix, "bin/cirrus"), &found), 0);
	EXPECT_STR(found, str_c(packages));
	ASSERT_INT(symlink("bin/cirrus", below(prefix, "link")), 0);
	EXPECT_INT(find("", below(prefix, "link"), &found), 0);
	EXPECT_STR(found, str_c(packages));
	ASSERT_INT(rmdir(packages), 0);
	EXPECT_INT(find("", below(prefix, "bin/cirrus"), &found), 0);
	EXPECT_STR(found, STR(""));
	make_file(packages, STR(""), 0644);
	EXPECT_INT(find("", below(prefix, "bin/cirrus"), &found), 0);
	EXPECT_STR(found, STR(""));
	EXPECT_INT(find("", below(prefix, "bin/nothing"), &found), 0);
	EXPECT_STR(found, STR(""));
	arena_done(&arena);
}

TEST(runtimes, packages_that_are_named)
{
	const char *prefix = make_prefix(), *link = below(prefix, "packages");
	str found;

	EXPECT_INT(find(packages, NULL, &found), 0);
	EXPECT_STR(found, str_c(packages));
	EXPECT_INT(find(arena_printf(&arena, "%s/../node_modules/", packages).p, NULL, &found), 0);
	EXPECT_STR(found, str_c(packages));
	ASSERT_INT(symlink(packages, link), 0);
	EXPECT_INT(find(link, NULL, &found), 0);
	EXPECT_STR(found, str_c(packages));
	EXPECT_INT(find(below(prefix, "lib"), NULL, &found), ERR_INVALID);
	EXPECT_STR(found,
		arena_printf(&arena, "--node-modules: '%s/lib' is not a folder named node_modules",
			prefix));
	EXPECT_INT(find("/", NULL, &found), ERR_INVALID);
	EXPECT_INT(find(below(packages, "nothing/node_modules"), NULL, &found), ERR_INVALID);
	make_file(below(prefix, "node_modules"), STR(""), 0644);
	EXPECT_INT(find(below(prefix, "node_modules"), NULL, &found), ERR_INVALID);
	arena_done(&arena);
}

TEST(runtimes, version_of_the_sdk)
{
	str version;
	const char *manifest;

	make_prefix();
	EXPECT_INT(runtimes_sdk_version(packages, &arena, &version), ERR_NOT_FOUND);
	ASSERT_INT(mkdir(below(packages, "@aws-sdk"), 0755), 0);
	ASSERT_INT(mkdir(below(packages, "@aws-sdk/client-dynamodb"), 0755), 0);
	manifest = below(packages, "@aws-sdk/client-dynamodb/package.json");
	make_file(manifest, STR("{\"a\": {\"version\": \"0\"}, \"version\": \"1.2.3\", \"b\": 1}"),
		0644);
	EXPECT_INT(runtimes_sdk_version(packages, &arena, &version), 0);
	EXPECT_STR(version, STR("1.2.3"));
	ASSERT_INT(chmod(manifest, 0640), 0);
	EXPECT_INT(runtimes_sdk_version(packages, &arena, &version), ERR_DENIED);
	ASSERT_INT(chmod(manifest, 0644), 0);
	ASSERT_INT(chmod(packages, 0750), 0);
	EXPECT_INT(runtimes_sdk_version(packages, &arena, &version), ERR_DENIED);
	ASSERT_INT(chmod(packages, 0755), 0);
	for (const char *const *text = (const char *const[]){"", "{", "[]", "{\"version\": 1}",
		     "{\"name\": \"version\"}", NULL};
		*text; text++) {
		make_file(manifest, str_c(*text), 0644);
		EXPECT_INT(runtimes_sdk_version(packages, &arena, &version), ERR_NOT_FOUND);
	}
	arena_done(&arena);
}
