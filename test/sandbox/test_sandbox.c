/*
 * The worker's side on the real runtime: fibers that start, assign, freeze, wait and unpack through
 * a real launcher.
 */
#include "rt/stream.h"
#include "sandbox/launcher.h"
#include "sandbox/sys.h"
#include "sandbox/unpack.h"
#include "test/test.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { PATIENCE_MS = 20000, MANY = 40 };

struct world {
	int fd;
	pid_t launcher;
	char folder[128];
	unsigned done, ends;
	struct sandbox_info info;
	void (*test)(struct world *w, struct sandbox *s);
};

static struct sandbox_spec shell(str argv[3], const char *script)
{
	argv[0] = STR("/bin/sh");
	argv[1] = STR("-c");
	argv[2] = str_c(script);
	return (struct sandbox_spec){.argv = argv, .argc = 3, .pipes = {1}, .pipe_count = 1};
}

/* Everything until the end of file. */
static mayyield size_t read_all(int fd, char *to, size_t n)
{
	size_t at = 0;

	while (at < n - 1) {
		ssize_t got = read(fd, to + at, n - 1 - at);

		if (got > 0)
			at += (size_t)got;
		else if (got == 0 || rt_fd_wait(fd, RT_READABLE, rt_after_ms(PATIENCE_MS)) < 0)
			break;
	}
	to[at] = 0;
	return at;
}

static void count_end(void *arg)
{
	++*(unsigned *)arg;
}

static void use_one(struct world *w, struct sandbox *s)
{
	str argv[3];
	struct sandbox_spec spec = shell(argv, "echo one; exit 3");
	struct sandbox_container *c = NULL;
	struct sandbox_usage usage;
	struct sandbox_exit end;
	struct sandbox_error error;
	char out[64];
	int pipe, listener, no_delay = 0;
	socklen_t n = sizeof no_delay;

	ASSERT_INT(sandbox_start(s, &spec, rt_after_ms(PATIENCE_MS), &c, &error), 0);
	pipe = sandbox_take_pipe(c, 0);
	listener = sandbox_take_listener(c, 0);
	EXPECT(pipe >= 0 && listener >= 0);
	/* Connections that were made before anybody took it have it, too. */
	EXPECT_INT(getsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &no_delay, &n), 0);
	EXPECT_INT(no_delay, 1);
	EXPECT_INT(sandbox_take_pipe(c, 0), -1);
	EXPECT_INT(sandbox_take_pipe(c, 1), -1);
	read_all(pipe, out, sizeof out);
	EXPECT_STR(str_c(out), STR("one\n"));
	for (int i = 0; i < 2; i++) {
		EXPECT_INT(sandbox_wait(c, rt_after_ms(PATIENCE_MS), &end), 0);
		EXPECT_INT(end.end, SANDBOX_EXITED);
		EXPECT_INT(end.status, 3);
	}
	EXPECT(sandbox_ended(c));
	EXPECT_INT(sandbox_usage(c, &usage) < 0 && w->info.memory, 0);
	sandbox_on_end(c, count_end, &w->ends);
	EXPECT_INT(w->ends, 1);
	close(pipe);
	close(listener);
	sandbox_container_free(c);
	/* Refused, with a reason. */
	spec.argc = 0;
	EXPECT_INT(sandbox_start(s, &spec, rt_after_ms(PATIENCE_MS), &c, &error), ERR_INVALID);
	EXPECT_STR(str_c(error.text), STR("no program to run"));
	argv[2] = str_of("a\0b", 3);
	spec.argc = 3;
	EXPECT_INT(sandbox_start(s, &spec, rt_after_ms(PATIENCE_MS), &c, &error), ERR_INVALID);
	EXPECT_STR(str_c(error.text), STR("an argument holds a NUL byte"));
}

static void use_control(struct world *w, struct sandbox *s)
{
	str argv[3], assigned_argv[3];
	struct sandbox_spec spec = shell(argv, "while :; do sleep 0.01; done");
	struct sandbox_assign assign = {.argv = assigned_argv, .argc = 3};
	struct sandbox_container *c = NULL;
	struct sandbox_usage usage = {0};
	struct sandbox_exit end;
	int pipe;
	char out[64];

	ASSERT_INT(sandbox_start(s, &spec, rt_after_ms(PATIENCE_MS), &c, NULL), 0);
	sandbox_on_end(c, count_end, &w->ends);
	EXPECT_INT(sandbox_freeze(c), 0);
	EXPECT_INT(sandbox_thaw(c), 0);
	EXPECT_INT(sandbox_set_cpu(c, 500), w->info.cpu ? 0 : ERR_UNSUPPORTED);
	EXPECT_INT(sandbox_usage(c, &usage), 0);
	EXPECT(!w->info.memory || usage.memory_peak_bytes > 100000);
	EXPECT_INT(sandbox_freeze(c), 0);
	sandbox_kill(c);
	while (!sandbox_ended(c))
		ASSERT_INT(rt_sleep_until(rt_after_ms(1)), 0);
	EXPECT_INT(w->ends, 1);
	EXPECT_INT(sandbox_wait(c, rt_after_ms(PATIENCE_MS), &end), 0);
	EXPECT_INT(end.end, SANDBOX_KILLED);
	EXPECT_INT(sandbox_assign(c, &assign, rt_after_ms(PATIENCE_MS), NULL), ERR_CLOSED);
	sandbox_container_free(c);
	/* A pooled one. */
	spec.argc = 0;
	spec.pooled = true;
	ASSERT_INT(sandbox_start(s, &spec, rt_after_ms(PATIENCE_MS), &c, NULL), 0);
	shell(assigned_argv, "echo assigned");
	EXPECT_INT(sandbox_assign(c, &assign, rt_after_ms(PATIENCE_MS), NULL), 0);
	pipe = sandbox_take_pipe(c, 0);
	read_all(pipe, out, sizeof out);
	EXPECT_STR(str_c(out), STR("assigned\n"));
	EXPECT_INT(sandbox_wait(c, rt_after_ms(PATIENCE_MS), &end), 0);
	close(pipe);
	sandbox_container_free(c);
	/* Freed while it runs, and given up while it starts. */
	spec = shell(argv, "sleep 1000");
	ASSERT_INT(sandbox_start(s, &spec, rt_after_ms(PATIENCE_MS), &c, NULL), 0);
	sandbox_container_free(c);
	EXPECT_INT(sandbox_start(s, &spec, rt_now(), &c, NULL), ERR_TIMEOUT);
}

struct job {
	struct world *world;
	struct sandbox *sandbox;
	unsigned number;
};

static void one_of_many(void *arg)
{
	struct job *job = arg;
	str argv[3];
	char script[64], out[64];
	struct sandbox_spec spec;
	struct sandbox_container *c = NULL;
	struct sandbox_exit end = {0};
	int pipe;

	snprintf(script, sizeof script, "echo %u; exit %u", job->number, job->number);
	spec = shell(argv, script);
	if (EXPECT_INT(sandbox_start(job->sandbox, &spec, rt_after_ms(PATIENCE_MS), &c, NULL), 0)) {
		pipe = sandbox_take_pipe(c, 0);
		read_all(pipe, out, sizeof out);
		EXPECT_INT(strtoul(out, NULL, 10), job->number);
		EXPECT_INT(sandbox_wait(c, rt_after_ms(PATIENCE_MS), &end), 0);
		EXPECT_INT(end.status, job->number);
		close(pipe);
		sandbox_container_free(c);
	}
	job->world->done++;
}

static void use_many(struct world *w, struct sandbox *s)
{
	static struct job jobs[MANY];

	for (unsigned i = 0; i < MANY; i++) {
		jobs[i] = (struct job){w, s, i};
		ASSERT_INT(rt_spawn(one_of_many, &jobs[i]), 0);
	}
	while (w->done < MANY)
		ASSERT_INT(rt_sleep_until(rt_after_ms(2)), 0);
}

static void use_unpack(struct world *w, struct sandbox *s)
{
	static const char script[] = "import zipfile, sys\n"
				     "z = zipfile.ZipFile(sys.argv[1], 'w')\n"
				     "z.writestr('a/b.txt', 'content')\n"
				     "z.close()\n";
	char command[512], path[256], text[64];
	struct unpack_result result;
	struct sandbox_error error;
	int archive, folder;
	struct stat st;

	snprintf(path, sizeof path, "%s/code.zip", w->folder);
	snprintf(command, sizeof command, "/usr/bin/python3 -c \"%s\" %s", script, path);
	ASSERT_INT(system(command), 0);
	archive = open(path, O_RDONLY | O_CLOEXEC);
	folder = open(w->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int round = 0; round < 2; round++) {
		EXPECT_INT(sandbox_unpack(s, archive, folder, "code", NULL,
				   rt_after_ms(PATIENCE_MS), &result, &error),
			0);
		EXPECT_INT(result.existed, round);
	}
	EXPECT_INT(sys_read_file(folder, "code/a/b.txt", text, sizeof text), 7);
	/* It is the data folder's owner's, whoever the launcher is. */
	EXPECT_INT(fstatat(folder, "code/a/b.txt", &st, 0), 0);
	EXPECT_INT(st.st_uid, geteuid() == 0 ? 12345 : geteuid());
	close(archive);
	archive = open("/etc/passwd", O_RDONLY | O_CLOEXEC);
	EXPECT_INT(sandbox_unpack(s, archive, folder, "other", NULL, rt_after_ms(PATIENCE_MS),
			   &result, &error),
		ERR_INVALID);
	EXPECT_STR(str_c(error.text), STR("it is not a zip archive"));
	close(archive);
	close(folder);
}

static void lose_launcher(struct world *w, struct sandbox *s)
{
	str argv[3];
	struct sandbox_spec spec = shell(argv, "sleep 1000");
	struct sandbox_container *c = NULL, *none = NULL;
	struct sandbox_exit end;

	ASSERT_INT(sandbox_start(s, &spec, rt_after_ms(PATIENCE_MS), &c, NULL), 0);
	kill(w->launcher, SIGKILL);
	EXPECT_INT(sandbox_wait(c, rt_after_ms(PATIENCE_MS), &end), 0);
	EXPECT_INT(end.end, SANDBOX_KILLED);
	EXPECT(sandbox_broken(s));
	EXPECT_INT(sandbox_start(s, &spec, rt_after_ms(PATIENCE_MS), &none, NULL), ERR_CLOSED);
	sandbox_container_free(c);
}

static void run_test(void *arg)
{
	struct world *w = arg;
	struct sandbox *s = NULL;
	struct sandbox_error error;

	if (EXPECT_INT(sandbox_open(w->fd, rt_after_ms(PATIENCE_MS), &s, &w->info, &error), 0)) {
		EXPECT_INT(w->info.listen_count, 2);
		w->test(w, s);
		sandbox_close(s);
	} else {
		test_fail(__FILE__, __LINE__, "%s", error.text);
	}
	rt_stop(rt_self());
}

static void in_world(void (*test)(struct world *w, struct sandbox *s))
{
	struct rt_options rt_options = {.mode = RT_REAL};
	struct world w = {.test = test};
	struct launcher_options options = {.data_folder = w.folder,
		.listens = {{9001, false}, {4566, false}},
		.listen_count = 2};
	struct rt *rt = NULL;

	snprintf(w.folder, sizeof w.folder, "%s", test_folder());
	if (chmod(w.folder, 0755) != 0 || (geteuid() == 0 && chown(w.folder, 12345, 12345) != 0))
		abort();
	ASSERT_INT(launcher_start(&options, &w.launcher, &w.fd), 0);
	ASSERT_INT(rt_new(&rt_options, &rt), 0);
	EXPECT_INT(rt_run(rt, run_test, &w), 0);
	rt_free(rt);
	EXPECT_INT(waitpid(w.launcher, NULL, 0), w.launcher);
}

TEST(sandbox_worker, starts_and_waits)
{
	in_world(use_one);
}

TEST(sandbox_worker, controls_and_gives_up)
{
	in_world(use_control);
}

TEST(sandbox_worker, many_at_once)
{
	in_world(use_many);
}

TEST(sandbox_worker, unpacks)
{
	in_world(use_unpack);
}

TEST(sandbox_worker, notices_the_end_of_the_launcher)
{
	in_world(lose_launcher);
}
