/*
 * See postgres_server.h.
 */
#include "test/kv/postgres_server.h"

#include "test/test.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define PG_BIN "/usr/lib/postgresql/15/bin/"

/* Runs a program of the server as an unprivileged user; its pid. */
static pid_t pg_spawn(const char *folder, const char *const *argv)
{
	const struct passwd *user = getpwnam("nobody");
	pid_t pid;

	if (geteuid() == 0 && user && chown(folder, user->pw_uid, user->pw_gid) < 0)
		return -1;
	pid = fork();
	if (pid == 0) {
		int null = open("/dev/null", O_RDWR);

		dup2(null, STDIN_FILENO);
		dup2(null, STDOUT_FILENO);
		dup2(null, STDERR_FILENO);
		if (geteuid() == 0 && (!user || setgroups(0, NULL) < 0 ||
					      setgid(user->pw_gid) < 0 || setuid(user->pw_uid) < 0))
			_exit(1);
		if (chdir(folder) == 0)
			execv(argv[0], (char *const *)argv);
		_exit(1);
	}
	return pid;
}

static pid_t start(const char *folder)
{
	static const char *const init_argv[] = {
		PG_BIN "initdb", "-Ddata", "-Atrust", "-Ucirrus", "--no-sync", NULL};
	static const char *const argv[] = {
		PG_BIN "postgres", "-Ddata", "-k.", "-h", "", "-F", "-N40", NULL};
	pid_t pid = pg_spawn(folder, init_argv);
	int status;

	if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
		return -1;
	return pg_spawn(folder, argv);
}

/* Its pid file says when it takes connections. */
static bool is_ready(const char *folder)
{
	char path[128], text[512];

	snprintf(path, sizeof path, "%s/data/postmaster.pid", folder);
	for (unsigned i = 0; i < 200; i++) {
		int fd = open(path, O_RDONLY);
		ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text);

		if (fd >= 0)
			close(fd);
		if (n > 0 && memmem(text, (size_t)n, "ready", 5))
			return true;
		poll(NULL, 0, 50);
	}
	return false;
}

bool pg_installed(void)
{
	if (access(PG_BIN "postgres", X_OK) == 0)
		return true;
	fprintf(stderr, "no PostgreSQL server is installed: not run\n");
	return false;
}

pid_t pg_start(const char *folder)
{
	pid_t pid = start(folder);

	if (pid < 0 || is_ready(folder))
		return pid;
	pg_stop(pid);
	return -1;
}

void pg_conninfo(const char *folder, char ret_conninfo[PG_CONNINFO_MAX])
{
	snprintf(ret_conninfo, PG_CONNINFO_MAX, "host=%s/data user=cirrus dbname=postgres", folder);
}

void pg_stop(pid_t pid)
{
	int status;

	if (pid < 0)
		return;
	kill(pid, SIGINT);
	EXPECT_INT(waitpid(pid, &status, 0), pid);
}
