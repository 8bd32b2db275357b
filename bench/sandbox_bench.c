/*
 * What a container costs, beside what a bare process costs in the same run: p50 and p99 in
 * microseconds.
 *
 *   build/release/sandbox_bench [rounds]     default 1,000; as root, or as a user for the rootless
 * way
 *
 * "first instruction" is the time from the request's system call to the first byte that a static
 * program of 200 bytes writes on its standard output; "reported" is to the report of its end. The
 * program is built here, byte by byte, so that neither a loader nor a C library is measured.
 */
#include "sandbox/cgroup.h"
#include "sandbox/sys.h"
#include "test/sandbox/client.h"

#include <elf.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void print_row(const char *what, double *values, unsigned n)
{
	qsort(values, n, sizeof *values, by_value);
	printf("%-62s %8.0f %8.0f %8.0f\n", what, values[n / 2], values[n * 99 / 100],
		values[n - 1]);
}

/* write(1, "x", 1); then exit(0), or pause for ever. */
static void make_program(const char *path, bool stay)
{
#if defined(__x86_64__)
	static const unsigned char code_exit[] = {0xb8, 1, 0, 0, 0, 0xbf, 1, 0, 0, 0, 0x48, 0x8d,
		0x35, 0xef, 0xff, 0xff, 0xff, 0xba, 1, 0, 0, 0, 0x0f, 0x05, 0xb8, 60, 0, 0, 0, 0x31,
		0xff, 0x0f, 0x05};
	struct {
		Elf64_Ehdr head;
		Elf64_Phdr segment;
		unsigned char code[64];
	} file = {.head = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
			  .e_type = ET_EXEC,
			  .e_machine = EM_X86_64,
			  .e_version = EV_CURRENT,
			  .e_entry = 0x400000 + sizeof(Elf64_Ehdr) + sizeof(Elf64_Phdr),
			  .e_phoff = sizeof(Elf64_Ehdr),
			  .e_ehsize = sizeof(Elf64_Ehdr),
			  .e_phentsize = sizeof(Elf64_Phdr),
			  .e_phnum = 1},
		.segment = {.p_type = PT_LOAD,
			.p_flags = PF_R | PF_X,
			.p_vaddr = 0x400000,
			.p_filesz = sizeof file,
			.p_memsz = sizeof file,
			.p_align = 0x1000}};

	memcpy(file.code, code_exit, sizeof code_exit);
	if (stay)
		file.code[25] = 34; /* pause instead of exit */
	{
		cleanup(sys_close_p) int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0755);

		if (fd < 0 || write(fd, &file, sizeof file) != sizeof file)
			abort();
	}
#else
	char command[512];

	(void)stay;
	snprintf(command, sizeof command, "cp /bin/echo %s", path);
	if (system(command) != 0)
		abort();
#endif
}

static void measure_floor(const char *program, double *values, unsigned rounds)
{
	for (unsigned i = 0; i < rounds; i++) {
		double began = now_us();
		pid_t pid = fork();

		if (pid == 0)
			_exit(0);
		waitpid(pid, NULL, 0);
		values[i] = now_us() - began;
	}
	print_row("floor: fork, exit, wait", values, rounds);
	for (unsigned i = 0; i < rounds; i++) {
		int pair[2];
		char one;
		double began = now_us();
		pid_t pid;

		if (pipe2(pair, O_CLOEXEC) != 0)
			abort();
		pid = vfork();
		if (pid == 0) {
			dup2(pair[1], 1);
			execl(program, program, NULL);
			_exit(127);
		}
		if (read(pair[0], &one, 1) != 1)
			abort();
		values[i] = now_us() - began;
		waitpid(pid, NULL, 0);
		close(pair[0]);
		close(pair[1]);
	}
	print_row("floor: vfork, exec, first instruction", values, rounds);
}

static void must(int rc, struct client *c, const char *what)
{
	if (rc >= 0)
		return;
	fprintf(stderr, "%s: %s %s\n", what, rc_text(rc), c->error.text);
	exit(1);
}

static struct sandbox_mount code = {SANDBOX_FROM_DATA, STR_INIT("code"), STR_INIT("/var/task")};
static str program_argv[] = {STR_INIT("/var/task/program")};

/* `pause_ms`: lets the launcher fill its cells again, so that only the request is measured. */
static void measure_starts(struct client *c, double *values, unsigned rounds, int pause_ms)
{
	struct sandbox_spec spec = {.argv = program_argv,
		.argc = 1,
		.mounts = &code,
		.mount_count = 1,
		.limits = {.memory_bytes = 128 << 20},
		.pipes = {1},
		.pipe_count = 1};
	double *reported = calloc(rounds, sizeof *reported), began_all = now_us();

	for (unsigned i = 0; i < rounds; i++) {
		struct client_container container;
		struct sandbox_exit end;
		char out[8];
		double began;

		poll(NULL, 0, pause_ms);
		began = now_us();
		must(client_start(c, &spec, &container), c, "start");
		if (client_read(container.pipes[0], 10000, out, 2) != 1)
			abort();
		values[i] = now_us() - began;
		must(client_wait(c, container.id, 10000, &end), c, "wait");
		reported[i] = now_us() - began;
		client_release(&container);
	}
	print_row(pause_ms ? "container, cell ready: first instruction"
			   : "container, back to back: first instruction",
		values, rounds);
	print_row(
		pause_ms ? "container, cell ready: reported" : "container, back to back: reported",
		reported, rounds);
	if (!pause_ms)
		printf("%-62s %8.0f\n", "containers a second, one after the other",
			rounds * 1e6 / (now_us() - began_all));
	free(reported);
}

static void measure_assigns(struct client *c, double *values, unsigned rounds)
{
	struct sandbox_spec spec = {.pipes = {1}, .pipe_count = 1, .pooled = true};
	struct sandbox_spec assign = {.argv = program_argv,
		.argc = 1,
		.mounts = &code,
		.mount_count = 1,
		.limits = {.memory_bytes = 128 << 20},
		.pooled = true};

	for (unsigned i = 0; i < rounds; i++) {
		struct client_container container;
		struct sandbox_exit end;
		char out[8];
		double began;

		must(client_start(c, &spec, &container), c, "start");
		poll(NULL, 0, 5);
		began = now_us();
		must(client_assign(c, container.id, &assign), c, "assign");
		if (client_read(container.pipes[0], 10000, out, 2) != 1)
			abort();
		values[i] = now_us() - began;
		must(client_wait(c, container.id, 10000, &end), c, "wait");
		client_release(&container);
	}
	print_row("pooled container: assigned to first instruction", values, rounds);
}

static void measure_freezer(struct client *c, double *values, unsigned rounds)
{
	str argv[] = {STR("/var/task/stay")};
	struct sandbox_spec spec = {.argv = argv,
		.argc = 1,
		.mounts = &code,
		.mount_count = 1,
		.pipes = {1},
		.pipe_count = 1};
	struct client_container container;
	double *thaws = calloc(rounds, sizeof *thaws);
	char out[8], text[48];

	must(client_start(c, &spec, &container), c, "start");
	if (container.freezer < 0 || client_read(container.pipes[0], 10000, out, 2) != 1)
		return;
	for (unsigned i = 0; i < rounds; i++) {
		size_t n = cgroup_freezer_text(c->hello.freezer_version, true, text);
		double began = now_us();

		if (pwrite(container.freezer, text, n, 0) != (ssize_t)n)
			abort();
		values[i] = now_us() - began;
		n = cgroup_freezer_text(c->hello.freezer_version, false, text);
		began = now_us();
		if (pwrite(container.freezer, text, n, 0) != (ssize_t)n)
			abort();
		thaws[i] = now_us() - began;
	}
	print_row("freeze, by the worker's own write", values, rounds);
	print_row("thaw, by the worker's own write", thaws, rounds);
	client_send(c, WIRE_KILL, container.id, 0);
	client_release(&container);
	free(thaws);
}

/* --- runtimes --------------------------------------------------------------------------------- */

static struct sandbox_mount runtime_mounts[] = {
	{SANDBOX_FROM_DATA, STR_INIT("code"), STR_INIT("/var/task")},
	{SANDBOX_FROM_DATA, STR_INIT("node"), STR_INIT("/var/runtime")}};

static str environment_full[] = {STR_INIT("PATH=/usr/bin"), STR_INIT("LANG=en_US.UTF-8"),
	STR_INIT("TZ=:UTC"), STR_INIT("_HANDLER=index.handler"),
	STR_INIT("LAMBDA_TASK_ROOT=/var/task"), STR_INIT("AWS_LAMBDA_RUNTIME_API=127.0.0.1:9001")};
enum { ENVIRONMENT_BOOT = 3 };

/* Reads one request, head and body by its Content-Length. False at the end of file. */
static bool read_request(int fd, char *in, size_t max, size_t *kept)
{
	for (;;) {
		char *end = *kept ? memmem(in, *kept, "\r\n\r\n", 4) : NULL, *length;
		ssize_t got;

		if (end) {
			size_t whole = (size_t)(end + 4 - in);

			length = memmem(in, whole, "Content-Length: ", 16);
			whole += length ? strtoul(length + 16, NULL, 10) : 0;
			if (*kept >= whole) {
				memmove(in, in + whole, *kept - whole);
				*kept -= whole;
				return true;
			}
		}
		got = read(fd, in + *kept, max - *kept);
		if (got <= 0)
			return false;
		*kept += (size_t)got;
	}
}

static void answer(int fd, const char *text)
{
	if (write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		abort();
}

static const char event_answer[] =
	"HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: 1\r\nLambda-Runtime-Deadline-Ms: 1\r\n"
	"Content-Length: 2\r\n\r\n{}";
static const char accepted[] = "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n";

/* Accepts the runtime's connection and gives it one event; the time of its response. */
static int first_event(int listener, char *in, size_t max, size_t *kept)
{
	struct pollfd wait = {.fd = listener, .events = POLLIN};
	int fd;

	if (poll(&wait, 1, 20000) != 1)
		abort();
	fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (fd < 0)
		abort();
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
	*kept = 0;
	if (!read_request(fd, in, max, kept))
		abort();
	answer(fd, event_answer);
	if (!read_request(fd, in, max, kept))
		abort();
	return fd;
}

static void measure_runtime(struct client *c, const char *name, str *argv, unsigned argc,
	double *values, unsigned rounds, bool pooled)
{
	struct sandbox_spec spec = {.argv = argv,
		.argc = argc,
		.mounts = pooled ? &runtime_mounts[1] : runtime_mounts,
		.mount_count = pooled ? 1 : 2,
		.environment = environment_full,
		.environment_count = pooled ? ENVIRONMENT_BOOT : ARRAY_SIZE(environment_full),
		.limits = {.memory_bytes = 512 << 20},
		.pipes = {1},
		.pipe_count = 1,
		.pooled = pooled};
	struct sandbox_spec assign = {.mounts = runtime_mounts,
		.mount_count = 1,
		.environment = environment_full,
		.environment_count = ARRAY_SIZE(environment_full),
		.limits = {.memory_bytes = 256 << 20},
		.pooled = true};
	double *warm = calloc(rounds, sizeof *warm);
	char text[128], *in = malloc(65536);

	for (unsigned i = 0; i < rounds; i++) {
		struct client_container container;
		struct sandbox_exit end;
		double began = now_us();
		size_t kept;
		int fd;

		must(client_start(c, &spec, &container), c, "start");
		if (pooled) {
			poll(NULL, 0, 250);
			began = now_us();
			must(client_assign(c, container.id, &assign), c, "assign");
		}
		fd = first_event(container.listeners[0], in, 65536, &kept);
		values[i] = now_us() - began;
		/* A warm one on the same instance; the first few are not counted. */
		for (int j = 0; j < 20; j++) {
			answer(fd, accepted);
			if (!read_request(fd, in, 65536, &kept))
				abort();
			began = now_us();
			answer(fd, event_answer);
			if (!read_request(fd, in, 65536, &kept))
				abort();
			warm[i] = now_us() - began;
		}
		client_send(c, WIRE_KILL, container.id, 0);
		must(client_wait(c, container.id, 10000, &end), c, "wait");
		close(fd);
		client_release(&container);
	}
	snprintf(text, sizeof text, "%s, %s: cold, to the first response", name,
		pooled ? "pooled" : "pool empty");
	print_row(text, values, rounds);
	snprintf(text, sizeof text, "%s, %s: warm, event to response", name,
		pooled ? "pooled" : "pool empty");
	print_row(text, warm, rounds);
	free(warm);
	free(in);
}

static void measure_runtimes(struct client *c, const char *folder, double *values, unsigned rounds)
{
	str node[] = {STR("/usr/bin/node"), STR("/var/runtime/bootstrap.js")};
	str python[] = {
		STR("/usr/bin/python3"), STR("-I"), STR("-S"), STR("/var/runtime/bootstrap.py")};
	char command[512];

	snprintf(command, sizeof command,
		"cp -r runtimes/node runtimes/python %s && cd %s/code && "
		"echo 'exports.handler = async () => 1' > index.js && "
		"echo 'def handler(e, c): return 1' > index.py",
		folder, folder);
	if (system(command) != 0)
		return;
	for (int pooled = 0; pooled < 2; pooled++) {
		runtime_mounts[1].path = STR("python");
		measure_runtime(c, "python", python, 4, values, rounds, pooled);
		runtime_mounts[1].path = STR("node");
		measure_runtime(c, "node", node, 2, values, rounds, pooled);
	}
}

int main(int argc, char **argv)
{
	unsigned rounds = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 1000;
	char folder[] = "/tmp/cirrus-bench-XXXXXX", path[128];
	struct launcher_options options = {.data_folder = folder,
		.listens = {{9001, false}, {4566, false}, {53, true}},
		.listen_count = 3,
		.cells_ready = 4};
	double *values = calloc(rounds, sizeof *values), began;
	struct client c;

	if (!rounds || !values || !mkdtemp(folder) || chmod(folder, 0755) != 0)
		return 1;
	snprintf(path, sizeof path, "%s/code", folder);
	mkdir(path, 0755);
	snprintf(path, sizeof path, "%s/code/stay", folder);
	make_program(path, true);
	snprintf(path, sizeof path, "%s/code/program", folder);
	make_program(path, false);
	began = now_us();
	if (client_open(&c, &options) < 0) {
		fprintf(stderr, "%s\n", c.hello.info.text);
		return 1;
	}
	printf("%s\nlauncher: asked to first cell ready %.0f us\n\n%-62s %8s %8s %8s\n",
		c.hello.info.text, now_us() - began, "microseconds", "p50", "p99", "max");
	measure_floor(path, values, rounds);
	measure_starts(&c, values, rounds, 25);
	measure_starts(&c, values, rounds, 0);
	measure_assigns(&c, values, rounds);
	measure_freezer(&c, values, rounds);
	measure_runtimes(&c, folder, values, rounds < 100 ? rounds : rounds / 10);
	client_close(&c);
	snprintf(path, sizeof path, "rm -rf %s", folder);
	free(values);
	return system(path) != 0;
}
