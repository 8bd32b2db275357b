/*
 * File calls, on the real runtime and under the simulated scheduler.
 */
#include "rt/file.h"
#include "test/test.h"

#include <fcntl.h>
#include <stdio.h>

static void files(void *arg)
{
	cleanup(arena_done_p) struct arena a;
	str folder = str_c(arg), path, other, bytes, *names;
	struct rt_file_info info;
	char part[16];
	int fd;

	arena_init(&a, 1 << 20);
	path = ARENA_CONCAT(&a, folder, STR("/one"));
	other = ARENA_CONCAT(&a, folder, STR("/two"));
	EXPECT_INT(rt_file_open(path, O_RDONLY, 0), ERR_NOT_FOUND);
	EXPECT_INT(rt_file_open(STR("a\0b"), O_RDONLY, 0), ERR_INVALID);
	fd = rt_file_open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
	ASSERT(fd >= 0);
	EXPECT_INT(rt_file_open(path, O_RDWR | O_CREAT | O_EXCL, 0600), ERR_EXISTS);
	EXPECT_INT(rt_file_write(fd, STR("hello, file"), 3), 0);
	EXPECT_INT(rt_file_sync(fd, true), 0);
	EXPECT_INT(rt_file_read(fd, part, 5, 3), 5);
	EXPECT_STR(str_of(part, 5), STR("hello"));
	EXPECT_INT(rt_file_read(fd, part, sizeof part, 10), 4);
	EXPECT_INT(rt_file_read(fd, part, sizeof part, 100), 0);
	rt_file_close(fd);
	EXPECT_INT(rt_file_info(path, &info), 0);
	EXPECT_INT(info.bytes, 14);
	EXPECT_INT(rt_file_rename(path, other), 0);
	EXPECT_INT(rt_file_info(path, &info), ERR_NOT_FOUND);
	EXPECT_INT(rt_file_replace(other, STR("replaced"), 0600), 0);
	EXPECT_INT(rt_file_read_all(other, 7, &a, &bytes), ERR_TOO_LARGE);
	EXPECT_INT(rt_file_read_all(other, 8, &a, &bytes), 0);
	EXPECT_STR(bytes, STR("replaced"));
	EXPECT_INT(rt_file_make_folder(path, 0700), 0);
	EXPECT_INT(rt_file_list(folder, 1, &a, &names), ERR_TOO_LARGE);
	if (EXPECT_INT(rt_file_list(folder, 10, &a, &names), 2)) {
		EXPECT_STR(names[0], STR("one"));
		EXPECT_STR(names[1], STR("two"));
	}
	EXPECT_INT(rt_file_remove_folder(path), 0);
	EXPECT_INT(rt_file_remove(other), 0);
	EXPECT_INT(rt_file_sync_folder(folder), 0);
	EXPECT_INT(rt_file_list(folder, 10, &a, &names), 0);
	rt_stop(rt_self());
}

static void run(enum rt_mode mode)
{
	struct rt_options options = {.mode = mode, .seed = 5};
	struct rt *rt;

	ASSERT_INT(rt_new(&options, &rt), 0);
	EXPECT_INT(rt_run(rt, files, (void *)test_folder()), 0);
	rt_free(rt);
}

TEST(rt_file, real)
{
	run(RT_REAL);
}

TEST(rt_file, simulated)
{
	run(RT_SIMULATED);
}
