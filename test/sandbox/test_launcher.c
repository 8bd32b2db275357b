/*
 * Containers through the launcher: starts, ends and what a container may not do.
 */
#include "test/sandbox/client.h"
#include "test/test.h"

#include <stdio.h>
#include <sys/wait.h>

static int run(struct client *c, const char *const *argv, char *out, size_t n,
	struct sandbox_exit *ret_exit)
{
	str args[8];
	struct sandbox_spec spec = {.argv = args, .pipes = {1}, .pipe_count = 1};
	struct client_container container;
	int rc;

	for (; argv[spec.argc]; spec.argc++)
		args[spec.argc] = str_c(argv[spec.argc]);
	rc = client_start(c, &spec, &container);
	if (rc < 0)
		return rc;
	client_read(container.pipes[0], 10000, out, n);
	rc = client_wait(c, container.id, 10000, ret_exit);
	client_release(&container);
	return rc;
}

TEST(sandbox, starts)
{
	struct launcher_options options = {.data_folder = test_folder(),
		.listens = {{9001, false}, {4566, false}},
		.listen_count = 2};
	struct client c;
	struct sandbox_exit end = {0};
	char out[4096] = "";
	int rc = client_open(&c, &options);

	fprintf(stderr, "hello %d: %s\n", rc, c.hello.info.text);
	ASSERT_INT(rc, 0);
	rc = run(&c, (const char *const[]){"/bin/sh", "-c", "id; ls -la / /proc/1 /tmp /dev; cat /proc/self/cgroup /proc/mounts /proc/self/status; exit 7", NULL}, out, sizeof out, &end);
	fprintf(stderr, "rc %d %s end %d status %d signal %d peak %lu cpu %lu %s\n%s\n", rc, c.error.text, end.end, end.status, end.signal, end.memory_peak_bytes, end.cpu_ns, end.text, out);
	EXPECT_INT(rc, 0);
	EXPECT_INT(end.status, 7);
	EXPECT_INT(client_close(&c), 0);
}
