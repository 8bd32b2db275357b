/*
 * What a confined worker can still do: tried by a child for each question, because it cannot be
 * taken back. On a kernel without Landlock the questions about files are not asked.
 */
#include "base/check.h"
#include "sandbox/landlock.h"
#include "server/confine.h"
#include "test/test.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { HELD = 0, BROKEN = 1, NOT_CONFINED = 2 };

static char folder[] = "/tmp/cirrus-confine-XXXXXX";

/* The child's exit status when `question` is asked in a confined process. */
static int ask(int (*question)(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		struct confinement c = confine_worker(folder, "");

		_exit(c.files && c.calls ? question() : NOT_CONFINED);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status);
}

static bool denied(int fd, int error)
{
	return fd < 0 && errno == error;
}

static int keeps_data(void)
{
	char path[64], other[64];
	int fd;

	snprintf(path, sizeof path, "%s/a", folder);
	snprintf(other, sizeof other, "%s/b", folder);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	return fd >= 0 && write(fd, "x", 1) == 1 && ftruncate(fd, 0) == 0 &&
			       rename(path, other) == 0 && unlink(other) == 0
		       ? HELD
		       : BROKEN;
}

static int writes_nowhere_else(void)
{
	return denied(open("/tmp/cirrus-confine-other", O_RDWR | O_CREAT, 0600), EACCES) &&
			       denied(open("/etc/passwd", O_RDWR), EACCES)
		       ? HELD
		       : BROKEN;
}

static int reads_what_is_needed(void)
{
	return open("/etc/hosts", O_RDONLY) >= 0 && open("/proc/meminfo", O_RDONLY) >= 0 &&
			       open("/dev/urandom", O_RDONLY) >= 0 &&
			       denied(open("/root", O_RDONLY), EACCES) &&
			       denied(open("/tmp", O_RDONLY), EACCES)
		       ? HELD
		       : BROKEN;
}

static int starts_no_program(void)
{
	execl("/bin/true", "true", (char *)NULL);
	return errno == EPERM || errno == EACCES ? HELD : BROKEN;
}

static int changes_no_namespace(void)
{
	return denied(unshare(CLONE_NEWUSER), EPERM) && denied(chroot(folder), EPERM) &&
			       denied(mount("none", folder, "tmpfs", 0, NULL), EPERM)
		       ? HELD
		       : BROKEN;
}

TEST(server, confined_worker)
{
	static const struct {
		const char *name;
		int (*question)(void);
	} questions[] = {
		{"keeps its data", keeps_data},
		{"writes nowhere else", writes_nowhere_else},
		{"reads what it needs, and no more", reads_what_is_needed},
		{"starts no program", starts_no_program},
		{"changes no namespace", changes_no_namespace},
	};

	ASSERT(mkdtemp(folder) != NULL);
	for (size_t i = 0; i < ARRAY_SIZE(questions); i++) {
		int status = ask(questions[i].question);

		if (status != HELD && status != NOT_CONFINED)
			test_fail(__FILE__, __LINE__, "%s: status %d", questions[i].name, status);
	}
	EXPECT_INT(rmdir(folder), 0);
}
