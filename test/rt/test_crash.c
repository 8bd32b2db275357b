/*
 * The crash report, from a child process that dies in a fiber.
 */
#include "base/check.h"
#include "base/log.h"
#include "rt/crash.h"
#include "rt/rt.h"
#include "test/test.h"

#include <sys/wait.h>
#include <unistd.h>

static noinline_fn unsigned overflow(unsigned depth)
{
	volatile char here[1024];

	here[depth % 1024] = (char)depth;
	return depth == UINT32_MAX ? 0 : overflow(depth + 1) + (unsigned char)here[depth % 1000];
}

static void die(void *arg)
{
	static const struct rt_label label = {
		STR_INIT("request-7"), STR_INIT("PutItem"), STR_INIT("000000000001")};

	rt_label_set(&label);
	log_error("test", "the last words", "n=%d", 1);
	if (arg)
		check(!"this must hold");
	else
		_exit(overflow(0) & 1);
}

/* The child's standard error; how it ended in *ret_status. */
static str run_child(bool failing_check, char *text, size_t n, int *ret_status)
{
	size_t got = 0;
	ssize_t part;
	int fds[2];
	pid_t pid;

	if (pipe(fds) < 0 || (pid = fork()) < 0)
		return STR_NULL;
	if (pid == 0) {
		struct rt_options options = {.loops = 1};
		struct rt *rt;

		dup2(fds[1], STDERR_FILENO);
		rt_crash_install();
		if (rt_new(&options, &rt) == 0 && rt_run(rt, die, failing_check ? text : NULL) == 0)
			_exit(0);
		_exit(1);
	}
	close(fds[1]);
	while (got < n && (part = read(fds[0], text + got, n - got)) > 0)
		got += (size_t)part;
	close(fds[0]);
	waitpid(pid, ret_status, 0);
	return str_of(text, got);
}

static void expect_report(str text, int status)
{
	EXPECT(WIFSIGNALED(status));
	EXPECT(str_find_str(text, STR("request=request-7 operation=PutItem")) >= 0);
	EXPECT(str_find_str(text, STR("last log lines:")) >= 0);
	EXPECT(str_find_str(str_from(text, (size_t)str_find_str(text, STR("last log lines:"))),
		       STR("the last words n=1")) >= 0);
}

TEST(rt_crash, failing_check)
{
	static char text[65536];
	int status = 0;
	str said = run_child(true, text, sizeof text, &status);

	EXPECT(str_find_str(said, STR("check failed at ")) >= 0);
	expect_report(said, status);
}

TEST(rt_crash, stack_overflow)
{
	static char text[65536];
	int status = 0;
	str said = run_child(false, text, sizeof text, &status);

	EXPECT(str_find_str(said, STR("stack overflow in fiber ")) >= 0);
	expect_report(said, status);
}
