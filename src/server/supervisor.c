/*
 * Supervision: sockets, the data folder, two forks, and a loop around waitpid.
 *
 * A generation is one launcher and one worker joined by a socket pair. When the worker dies, the
 * launcher sees the pair close, kills every container and ends; then the next generation starts,
 * after a pause that doubles from 50 ms to 5 s and falls back once a worker lived for a minute. The
 * listening sockets stay open throughout, so clients wait in the backlog instead of being refused.
 * Both children die with the supervisor (parent-death signal).
 */
#include "server/supervisor.h"

#include "base/check.h"
#include "base/log.h"
#include "base/rc.h"
#include "rt/stream.h"
#include "sandbox/launcher.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PAUSE_FIRST_MS = 50, PAUSE_MAX_MS = 5000, HEALTHY_SECONDS = 60, TREE_DEPTH_MAX = 128 };

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static noreturn_fn void usage_error(const char *message)
{
	fprintf(stderr, "cirrus: %s\n", message);
	exit(SUPERVISOR_EXIT_CONFIG);
}

/* Whom the worker runs as: ourselves, or for root the user named, `cirrus`, or nobody. */
static int find_user(struct supervised *s, struct arena *arena, str *ret_message)
{
	const char *name = s->options->user;
	struct passwd *user = NULL;

	s->uid = geteuid();
	s->gid = getegid();
	if (s->uid != 0) {
		if (*name) {
			*ret_message = STR("--user needs to be started as root");
			return ERR_INVALID;
		}
		return 0;
	}
	if (*name) {
		user = getpwnam(name);
	} else {
		user = getpwnam("cirrus");
		if (!user)
			user = getpwnam("nobody");
	}
	if (!user || user->pw_uid == 0) {
		*ret_message = arena_printf(arena,
			"--user: '%s' is not an unprivileged user of this machine",
			*name ? name : "nobody");
		return ERR_INVALID;
	}
	s->uid = user->pw_uid;
	s->gid = user->pw_gid;
	return 0;
}

/* Makes the folder and the missing ones above it, each 0755 but the last, which is 0700. */
static int make_folders(char *path)
{
	for (char *at = path + 1; *at; at++) {
		if (*at != '/')
			continue;
		*at = 0;
		if (mkdir(path, 0755) < 0 && errno != EEXIST)
			return rc_from_errno(errno);
		*at = '/';
	}
	return mkdir(path, 0700) < 0 && errno != EEXIST ? rc_from_errno(errno) : 0;
}

static int find_folder(struct supervised *s, struct arena *arena, str *ret_message)
{
	const char *path = s->options->data;
	char *absolute;
	int rc;

	if (s->options->ephemeral) {
		char *temporary = arena_c(arena, STR("/tmp/cirrus-XXXXXX"));

		if (!mkdtemp(temporary)) {
			*ret_message = STR("no temporary folder can be made in /tmp");
			return ERR_IO;
		}
		path = temporary;
	} else if (!*path && geteuid() == 0) {
		path = "/var/lib/cirrus";
	} else if (!*path) {
		const char *home = getenv("HOME");

		path = arena_printf(arena, "%s/.local/share/cirrus", home ? home : ".").p;
	}
	if (*path == '/') {
		absolute = arena_c(arena, str_c(path));
	} else {
		char *here = getcwd(NULL, 0);

		absolute = (char *)arena_printf(arena, "%s/%s", here ? here : "", path).p;
		free(here);
	}
	rc = make_folders(absolute);
	if (rc == 0 && geteuid() == 0 && chown(absolute, s->uid, s->gid) < 0)
		rc = rc_from_errno(errno);
	if (rc < 0) {
		*ret_message = arena_printf(arena, "data folder %s: %s", absolute, rc_text(rc));
		return rc;
	}
	s->data_folder = absolute;
	return 0;
}

/* Removes a folder and what is in it, following no links: the worker's user could have laid some.
 */
static void remove_tree(int parent, const char *name, unsigned depth)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	while (dir && depth > 0 && (entry = readdir(dir)) != NULL) {
		if (str_eq(str_c(entry->d_name), STR(".")) ||
			str_eq(str_c(entry->d_name), STR("..")))
			continue;
		if (unlinkat(fd, entry->d_name, 0) < 0)
			remove_tree(fd, entry->d_name, depth - 1);
	}
	if (dir)
		closedir(dir);
	else if (fd >= 0)
		close(fd);
	(void)unlinkat(parent, name, AT_REMOVEDIR);
}

static int open_socket(struct supervised *s, struct arena *arena, str *ret_message)
{
	str address = str_c(s->options->listen);
	struct rt_address parsed;
	long loops = s->options->loops;
	int rc;

	if (str_starts(address, STR("localhost:")))
		address = ARENA_CONCAT(arena, STR("127.0.0.1"), str_from(address, 9));
	if (rt_address_parse(address, &parsed) < 0) {
		*ret_message = arena_printf(arena,
			"--listen: '%.*s' is not ADDRESS:PORT, such as 127.0.0.1:4566 or "
			"[::1]:4566",
			STR_ARG(address));
		return ERR_INVALID;
	}
	s->loopback = rt_address_is_loopback(&parsed);
	if (loops == 0)
		loops = sysconf(_SC_NPROCESSORS_ONLN);
	s->loops = (unsigned)MAX(1, MIN(loops, (long)SUPERVISOR_LOOPS_MAX));
	rc = rt_socket_listen(address, &s->listen_fd);
	if (rc < 0)
		*ret_message = arena_printf(arena, "--listen: %.*s: %s", STR_ARG(address),
			rc == ERR_EXISTS ? "the address is in use (is cirrus running already?)"
					 : rc_text(rc));
	return rc;
}

/* In the worker: gives up root for good. */
static void become_user(const struct supervised *s)
{
	if (geteuid() == 0) {
		check(setgroups(0, NULL) == 0);
		check(setresgid(s->gid, s->gid, s->gid) == 0);
		check(setresuid(s->uid, s->uid, s->uid) == 0);
		check(setuid(0) < 0);
	}
	check(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
}

static pid_t start_worker(struct supervised *s, int (*worker)(const struct supervised *s))
{
	pid_t parent = getpid(), pid = fork();
	sigset_t mask;

	check(pid >= 0);
	if (pid > 0)
		return pid;
	/* A group of its own: Ctrl-C in the terminal is for the supervisor only. */
	setpgid(0, 0);
	become_user(s);
	/* After the change of user, which clears it. */
	check(prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0);
	if (getppid() != parent)
		_exit(1);
	sigemptyset(&mask);
	sigaddset(&mask, SIGTERM); /* the worker reads it from a descriptor */
	sigprocmask(SIG_SETMASK, &mask, NULL);
	exit(worker(s));
}

static bool crashed(int launcher_status)
{
	return WIFSIGNALED(launcher_status) || WEXITSTATUS(launcher_status) == LAUNCHER_EXIT_BROKEN;
}

/* What became of the children that have ended; true once both are gone. */
static bool reap(pid_t *worker, pid_t *launcher, bool stopping, int *status)
{
	int child_status;
	pid_t child;

	while ((child = waitpid(-1, &child_status, WNOHANG)) > 0) {
		if (child == *worker) {
			*worker = 0;
			*status = child_status;
		} else if (child == *launcher) {
			*launcher = 0;
			/* One that found its work forbidden here ends by itself; the rest works. */
			if (*worker && !stopping && crashed(child_status)) {
				log_error("supervisor", "the launcher crashed", "status=%d",
					child_status);
				kill(*worker, SIGKILL);
			}
		}
	}
	return *worker == 0 && *launcher == 0;
}

/* One generation. Returns the worker's wait status; *stopping once we were asked to stop. */
static int run_generation(struct supervised *s, const sigset_t *signals, bool *stopping,
	const struct supervisor_roles *roles)
{
	pid_t worker, launcher = 0;
	int status = 0, signal;

	s->launcher_fd = -1;
	if (roles->start_launcher(s, &launcher, &s->launcher_fd) == 0)
		setpgid(launcher, launcher);
	worker = start_worker(s, roles->worker);
	if (s->launcher_fd >=
		0) /* its end of file ends the launcher: only the worker may hold it */
		close(s->launcher_fd);
	while (!reap(&worker, &launcher, *stopping, &status)) {
		signal = sigwaitinfo(signals, NULL);
		if (signal == SIGTERM || signal == SIGINT) {
			*stopping = true;
			if (worker)
				kill(worker, SIGTERM);
		}
	}
	return status;
}

/* Generation after generation, until the end: our exit status. */
static int supervise(
	struct supervised *s, const sigset_t *signals, const struct supervisor_roles *roles)
{
	int64_t pause_ms = PAUSE_FIRST_MS;
	bool stopping = false;

	for (;;) {
		int64_t started_ms = now_ms();
		int status = run_generation(s, signals, &stopping, roles);
		struct timespec pause;
		int signal;

		if (WIFEXITED(status) &&
			(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == SUPERVISOR_EXIT_CONFIG))
			return WEXITSTATUS(status);
		if (stopping)
			return 1;
		if (now_ms() - started_ms > HEALTHY_SECONDS * 1000)
			pause_ms = PAUSE_FIRST_MS;
		s->crashes++;
		log_error("supervisor", "the worker crashed and is started again",
			"status=%d pause_ms=%lld", status, (long long)pause_ms);
		pause = (struct timespec){pause_ms / 1000, pause_ms % 1000 * 1000000};
		signal = sigtimedwait(signals, NULL, &pause);
		if (signal == SIGTERM || signal == SIGINT)
			return 1;
		pause_ms = MIN(pause_ms * 2, (int64_t)PAUSE_MAX_MS);
	}
}

int supervisor_run(const struct options *options, const struct supervisor_roles *roles)
{
	struct supervised s = {.options = options};
	struct arena arena cleanup(arena_done_p);
	sigset_t signals;
	str message;
	int status;

	arena_init(&arena, 1 << 20);
	if (find_user(&s, &arena, &message) < 0 || open_socket(&s, &arena, &message) < 0 ||
		find_folder(&s, &arena, &message) < 0)
		usage_error(arena_c(&arena, message));
	(void)signal(SIGPIPE, SIG_IGN);
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGCHLD);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	status = supervise(&s, &signals, roles);
	if (options->ephemeral)
		remove_tree(AT_FDCWD, s.data_folder, TREE_DEPTH_MAX);
	return status;
}
