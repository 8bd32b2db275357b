/*
 * Containers through the launcher: starts, ends, pools, limits, what a container may not do, and
 * what is left behind. Each case runs as root and the rootless way (as root by taking a user's id;
 * as an ordinary user the rootless way only).
 */
#include "sandbox/cgroup.h"
#include "sandbox/sys.h"
#include "test/sandbox/client.h"
#include "test/test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { PATIENCE_MS = 20000 };

struct fixture {
	struct launcher_options options;
	struct client client;
	struct sandbox_mount code;
	const char *roots[2];
	char folder[128], packages[160];
};

static void copy_program(const char *folder, const char *name)
{
	char from[256], to[256], bytes[32768];
	int n;

	snprintf(from, sizeof from, "test/sandbox/programs/%s", name);
	n = sys_read_file(AT_FDCWD, from, bytes, sizeof bytes);
	snprintf(to, sizeof to, "%s/code/%s", folder, name);
	{
		cleanup(sys_close_p) int fd = open(to, O_WRONLY | O_CREAT | O_EXCL, 0644);

		if (n <= 0 || fd < 0 || write(fd, bytes, (size_t)n) != n)
			abort();
	}
}

/* A data folder with the programs in code/, and a launcher on it. */
static bool open_fixture(struct fixture *f, bool rootless)
{
	static const char *const programs[] = {"isolation.py", "gate.py", "ticks.py", "harm.py"};
	char path[160];

	memset(f, 0, sizeof *f);
	snprintf(f->folder, sizeof f->folder, "%s", test_folder());
	snprintf(path, sizeof path, "%s/code", f->folder);
	snprintf(f->packages, sizeof f->packages, "%s/packages", f->folder);
	f->roots[0] = f->packages;
	if (chmod(f->folder, 0755) != 0 || mkdir(path, 0755) != 0 || mkdir(f->packages, 0755) != 0)
		abort();
	for (size_t i = 0; i < ARRAY_SIZE(programs); i++)
		copy_program(f->folder, programs[i]);
	f->code = (struct sandbox_mount){SANDBOX_FROM_DATA, STR("code"), STR("/var/task")};
	f->options = (struct launcher_options){.data_folder = f->folder,
		.runtime_roots = f->roots,
		.listens = {{9001, false}, {4566, false}, {53, true}},
		.listen_count = 3,
		.cells_ready = 2,
		.rootless = rootless};
	if (client_open(&f->client, &f->options) == 0)
		return true;
	test_fail(__FILE__, __LINE__, "no launcher: %s", f->client.hello.info.text);
	return false;
}

static bool close_fixture(struct fixture *f)
{
	return EXPECT_INT(client_close(&f->client), 0);
}

struct outcome {
	int rc;
	struct sandbox_exit end;
	char out[16384];
};

static int start(struct fixture *f, const char *const *argv, const struct sandbox_limits *limits,
	struct client_container *ret_container)
{
	str args[8], environment[] = {STR("PATH=/usr/bin"), STR("LANG=C.UTF-8")};
	struct sandbox_spec spec = {.argv = args,
		.environment = environment,
		.environment_count = ARRAY_SIZE(environment),
		.mounts = &f->code,
		.mount_count = 1,
		.pipes = {1},
		.pipe_count = 1};

	if (limits)
		spec.limits = *limits;
	for (; argv[spec.argc]; spec.argc++)
		args[spec.argc] = str_c(argv[spec.argc]);
	return client_start(&f->client, &spec, ret_container);
}

static void run(struct fixture *f, const struct sandbox_limits *limits, struct outcome *o,
	const char *const *argv)
{
	struct client_container container;

	memset(o, 0, sizeof *o);
	o->rc = start(f, argv, limits, &container);
	if (o->rc < 0)
		return;
	client_read(container.pipes[0], PATIENCE_MS, o->out, sizeof o->out);
	o->rc = client_wait(&f->client, container.id, PATIENCE_MS, &o->end);
	client_release(&container);
}

#define RUN(f, limits, o, ...) run((f), (limits), (o), (const char *const[]){__VA_ARGS__, NULL})
#define PYTHON                 "/usr/bin/python3", "-S"

/* Both ways, as far as the user of the test has them. */
#define EACH_WAY(rootless) for (int rootless = geteuid() != 0; rootless <= 1; rootless++)

TEST(sandbox, exits_are_reported)
{
	EACH_WAY(rootless)
	{
		struct fixture f;
		struct outcome o;

		ASSERT(open_fixture(&f, rootless));
		EXPECT_INT(f.client.hello.info.rootless, rootless);
		RUN(&f, NULL, &o, "/bin/sh", "-c", "echo out; echo err >&2; exit 7");
		EXPECT_INT(o.rc, 0);
		EXPECT_INT(o.end.end, SANDBOX_EXITED);
		EXPECT_INT(o.end.status, 7);
		EXPECT_STR(str_c(o.out), STR("out\nerr\n"));
		EXPECT(o.end.cpu_ns > 0);
		EXPECT(rootless || o.end.memory_peak_bytes > 100000);
		RUN(&f, NULL, &o, "/bin/sh", "-c", "kill -SEGV $$");
		EXPECT_INT(o.end.end, SANDBOX_SIGNALED);
		EXPECT_INT(o.end.signal, SIGSEGV);
		EXPECT(!o.end.out_of_memory);
		RUN(&f, NULL, &o, "/var/task/nothing");
		EXPECT_INT(o.end.end, SANDBOX_FAILED);
		EXPECT_STR(str_c(o.end.text),
			STR("cannot execute /var/task/nothing: No such file or directory"));
		/* What a runtime leaves running ends with it. */
		RUN(&f, NULL, &o, "/bin/sh", "-c", "sleep 1000 & exit 0");
		EXPECT_INT(o.end.end, SANDBOX_EXITED);
		EXPECT(close_fixture(&f));
	}
}

static const char expected_isolation[] =
	"top: bin dev etc home lib lib64 mnt node_modules opt proc root run sbin sys tmp usr var\n"
	"etc: alternatives group host.conf hosts ld.so.cache nsswitch.conf os-release passwd "
	"resolv.conf "
	"ssl\n"
	"var: lang node_modules runtime snapshot task tmp\n"
	"home: \n"
	"dev: fd full null random stderr stdin stdout urandom zero\n"
	"identity: (993, 993, 993) (993, 993, 993) localhost\n"
	"capabilities: 0000000000000000 0000000000000000 0000000000000000 0000000000000000 "
	"0000000000000000 1 2\n"
	"environment: LANG PATH\n"
	"descriptors: \n"
	"session: True\n"
	"flags of /: ro nosuid nodev\n"
	"flags of /usr: ro nosuid nodev\n"
	"flags of /etc/ssl/certs: ro nosuid nodev\n"
	"flags of /var/task: ro nosuid nodev\n"
	"write /new: refused\n"
	"write /usr/new: refused\n"
	"write /etc/passwd: refused\n"
	"write /var/task/new: refused\n"
	"write /var/task/isolation.py: refused\n"
	"write /opt/new: refused\n"
	"write /dev/new: refused\n"
	"write /usr/bin/python3.11: refused\n"
	"write /proc/sys/kernel/hostname: refused\n"
	"write /proc/sys/vm/overcommit_memory: refused\n"
	"write /proc/sysrq-trigger: refused\n"
	"write /tmp: done\n"
	"run from /tmp: 3\n"
	"read /proc/kcore: nothing\n"
	"read /proc/kmsg: nothing\n"
	"read /proc/keys: nothing\n"
	"read /proc/cmdline: nothing\n"
	"read /proc/kallsyms: nothing\n"
	"read /proc/1/environ: nothing\n"
	"read /proc/1/mem: nothing\n"
	"read /etc/shadow: nothing\n"
	"foreign processes: \n"
	"mount: EPERM\n"
	"umount: EPERM\n"
	"pivot_root: EPERM\n"
	"chroot: EPERM\n"
	"open_tree: EPERM\n"
	"move_mount: EPERM\n"
	"fsopen: EPERM\n"
	"mount_setattr: EPERM\n"
	"unshare user: EPERM\n"
	"unshare mount: EPERM\n"
	"setns: EPERM\n"
	"clone user: EPERM\n"
	"clone3: ENOSYS\n"
	"add_key: EPERM\n"
	"keyctl: EPERM\n"
	"request_key: EPERM\n"
	"bpf: EPERM\n"
	"perf_event_open: EPERM\n"
	"io_uring_setup: EPERM\n"
	"userfaultfd: EPERM\n"
	"kexec_load: EPERM\n"
	"init_module: EPERM\n"
	"finit_module: EPERM\n"
	"open_by_handle_at: EPERM\n"
	"process_vm_readv: EPERM\n"
	"pidfd_getfd: EPERM\n"
	"swapon: EPERM\n"
	"reboot: EPERM\n"
	"settimeofday: EPERM\n"
	"sethostname: EPERM\n"
	"syslog: EPERM\n"
	"acct: EPERM\n"
	"quotactl: EPERM\n"
	"iopl: EPERM\n"
	"personality: EPERM\n"
	"ptrace: EPERM\n"
	"mknod device: EPERM\n"
	"mkfifo: done\n"
	"setuid: EINVAL\n"
	"setgroups: EPERM\n"
	"nice: EACCES\n"
	"kill init: done\n"
	"kill a host's process: ESRCH\n"
	"raise the file limit: refused\n"
	"open files: EMFILE\n"
	"raw socket: EPERM\n"
	"packet socket: EAFNOSUPPORT\n"
	"vsock: EAFNOSUPPORT\n"
	"crypto socket: EAFNOSUPPORT\n"
	"netfilter socket: EAFNOSUPPORT\n"
	"interfaces: lo\n"
	"runtime port: connected\n"
	"other port: ECONNREFUSED\n"
	"outside: ENETUNREACH\n";

/* Line by line, so that a difference names itself. */
TEST(sandbox, isolates)
{
	EACH_WAY(rootless)
	{
		struct fixture f;
		struct outcome o;
		str is, should = str_c(expected_isolation), a, b;

		ASSERT(open_fixture(&f, rootless));
		RUN(&f, NULL, &o, PYTHON, "/var/task/isolation.py");
		EXPECT_INT(o.end.end, SANDBOX_EXITED);
		EXPECT_INT(o.end.status, 0);
		is = str_c(o.out);
		while (str_split(&should, '\n', &b)) {
			if (!str_split(&is, '\n', &a))
				a = STR("(nothing)");
			EXPECT_STR(a, b);
		}
		EXPECT_INT(is.n, 0);
		EXPECT(close_fixture(&f));
	}
}

TEST(sandbox, limits_hold)
{
	EACH_WAY(rootless)
	{
		struct sandbox_limits limits = {.pids = 40, .tmp_bytes = 4 << 20};
		struct fixture f;
		struct outcome o;

		ASSERT(open_fixture(&f, rootless));
		RUN(&f, &limits, &o, PYTHON, "/var/task/harm.py", "processes");
		EXPECT_INT(o.end.status, 5);
		/* Rootless, all of one user's count together. */
		EXPECT(strncmp(o.out, "EAGAIN ", 7) == 0 && strtoul(o.out + 7, NULL, 10) < 40);
		RUN(&f, &limits, &o, PYTHON, "/var/task/harm.py", "tmp");
		EXPECT_STR(str_c(o.out), STR("ENOSPC 4\n"));
		RUN(&f, &limits, &o, PYTHON, "/var/task/harm.py", "inodes");
		EXPECT(strncmp(o.out, "ENOSPC 1", 8) == 0);
		limits = (struct sandbox_limits){.memory_bytes = 64 << 20};
		RUN(&f, &limits, &o, PYTHON, "/var/task/harm.py", "memory");
		EXPECT_INT(o.end.end, SANDBOX_SIGNALED);
		EXPECT_INT(o.end.signal, SIGKILL);
		EXPECT(o.end.out_of_memory);
		EXPECT_STR(str_c(o.out), STR(""));
		/* And the next one is not harmed. */
		RUN(&f, &limits, &o, "/bin/sh", "-c", "echo well");
		EXPECT_STR(str_c(o.out), STR("well\n"));
		EXPECT(!o.end.out_of_memory);
		EXPECT(close_fixture(&f));
	}
}

static void refused(
	struct fixture *f, enum sandbox_source source, const char *path, const char *target)
{
	struct sandbox_mount mount = {source, str_c(path), str_c(target)};
	str argv[] = {STR("/bin/true")};
	struct sandbox_spec spec = {.argv = argv, .argc = 1, .mounts = &mount, .mount_count = 1};
	struct client_container container;

	if (!EXPECT_INT(client_start(&f->client, &spec, &container), ERR_INVALID))
		test_fail(__FILE__, __LINE__, "accepted: %s on %s", path, target);
	EXPECT(f->client.error.text[0]);
}

TEST(sandbox, trusts_no_request)
{
	EACH_WAY(rootless)
	{
		struct fixture f;
		char path[160];
		struct outcome o;

		ASSERT(open_fixture(&f, rootless));
		snprintf(path, sizeof path, "%s/link", f.folder);
		ASSERT_INT(symlink("/etc", path), 0);
		snprintf(path, sizeof path, "%s/code/up", f.folder);
		ASSERT_INT(symlink("..", path), 0);
		refused(&f, SANDBOX_FROM_DATA, "/etc", "/var/task");
		refused(&f, SANDBOX_FROM_DATA, "..", "/var/task");
		refused(&f, SANDBOX_FROM_DATA, "code/../..", "/var/task");
		refused(&f, SANDBOX_FROM_DATA, "link", "/var/task");
		refused(&f, SANDBOX_FROM_DATA, "code/up", "/var/task");
		refused(&f, SANDBOX_FROM_DATA, "nothing", "/var/task");
		refused(&f, SANDBOX_FROM_DATA, "", "/var/task");
		refused(&f, SANDBOX_FROM_RUNTIME, "/etc", "/var/task");
		snprintf(path, sizeof path, "%.120s/link", f.packages);
		ASSERT_INT(symlink("/etc", path), 0);
		refused(&f, SANDBOX_FROM_RUNTIME, path, "/var/task");
		snprintf(path, sizeof path, "%.120s/..", f.packages);
		refused(&f, SANDBOX_FROM_RUNTIME, path, "/var/task");
		snprintf(path, sizeof path, "%.120s/not", f.packages);
		ASSERT_INT(mkdir(path, 0755), 0);
		snprintf(path, sizeof path, "%.120s-not", f.packages);
		ASSERT_INT(mkdir(path, 0755), 0);
		refused(&f, SANDBOX_FROM_RUNTIME, path, "/var/task");
		refused(&f, SANDBOX_FROM_RUNTIME, f.packages, "/var/runtime/node_modules/..");
		refused(&f, SANDBOX_FROM_RUNTIME, f.packages, "/node_modules");
		refused(&f, SANDBOX_FROM_DATA, "code", "/usr");
		refused(&f, SANDBOX_FROM_DATA, "code", "/var/task/../../usr");
		refused(&f, SANDBOX_FROM_DATA, "code", "/proc");
		RUN(&f, NULL, &o, "bin/true");
		EXPECT_INT(o.rc, ERR_INVALID);
		/* Bytes that are no request at all. */
		for (unsigned i = 0; i < 300; i++) {
			char junk[64];

			for (size_t j = 0; j < sizeof junk; j++)
				junk[j] = (char)(i * 31 + j * j * 7);
			memcpy(junk, &(uint32_t){WIRE_START + i % 3 * 6}, 4);
			memset(junk + 8, 0xee, 8);
			EXPECT_INT(sys_send(f.client.fd, junk, 16 + i % 48, NULL, 0, 0), 0);
		}
		RUN(&f, NULL, &o, "/bin/sh", "-c", "exit 0");
		EXPECT_INT(o.rc, 0);
		EXPECT(close_fixture(&f));
	}
}

static void make_file(const char *folder, const char *name, const char *text, mode_t mode)
{
	char path[200];

	snprintf(path, sizeof path, "%s/%s", folder, name);
	{
		cleanup(sys_close_p) int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, mode);

		if (fd < 0 || write(fd, text, strlen(text)) < 0 || fchmod(fd, mode) != 0)
			abort();
	}
}

static const char mounts_script[] =
	"exec 2>/dev/null; cd /var/runtime/node_modules; cat plain; cat /node_modules/plain; cat "
	"absolute relative; "
	"echo x >plain; echo x >new; rm -f plain; ./program; mknod device c 1 3; id -u; cat plain; "
	"grep -c ' /var/runtime/node_modules ro,nosuid,nodev' /proc/self/mountinfo";

/* A folder of packages in that of a runtime, at the start and for a container of the pool. */
TEST(sandbox, mounts_packages_in_a_runtime)
{
	static const char *const wanted = "plain\nplain\n993\n993\nplain\n1\n";

	EACH_WAY(rootless)
	{
		struct fixture f;
		char path[200], out[4096];
		str argv[] = {STR("/bin/sh"), STR("-c"), str_c(mounts_script)};
		struct sandbox_mount mounts[3];
		struct sandbox_spec spec = {.argv = argv, .argc = 3, .pipes = {1}, .pipe_count = 1};
		struct client_container container;
		struct sandbox_exit end;

		ASSERT(open_fixture(&f, rootless));
		snprintf(path, sizeof path, "%s/runtime", f.folder);
		ASSERT_INT(mkdir(path, 0755), 0);
		snprintf(path, sizeof path, "%s/runtime/node_modules", f.folder);
		ASSERT_INT(mkdir(path, 0755), 0);
		make_file(f.folder, "secret", "secret\n", 0644);
		make_file(f.packages, "plain", "plain\n", 0666);
		make_file(f.packages, "program", "#!/bin/sh\nid -u\n", 06755);
		ASSERT_INT(chmod(f.packages, 0777), 0);
		snprintf(path, sizeof path, "%s/absolute", f.packages);
		ASSERT_INT(symlink(f.folder, path), 0);
		snprintf(path, sizeof path, "%s/relative", f.packages);
		ASSERT_INT(symlink("../secret", path), 0);
		mounts[0] = f.code;
		mounts[1] = (struct sandbox_mount){
			SANDBOX_FROM_DATA, STR("runtime"), STR("/var/runtime")};
		mounts[2] = (struct sandbox_mount){
			SANDBOX_FROM_RUNTIME, str_c(f.packages), STR("/var/runtime/node_modules")};
		spec.mounts = mounts;
		spec.mount_count = 3;
		for (int pooled = 0; pooled <= 1; pooled++) {
			spec.pooled = pooled;
			spec.argc = pooled ? 0 : 3;
			spec.mounts = pooled ? mounts + 1 : mounts;
			spec.mount_count = pooled ? 2 : 3;
			ASSERT_INT(client_start(&f.client, &spec, &container), 0);
			if (pooled) {
				struct sandbox_spec assign = {.argv = argv,
					.argc = 3,
					.mounts = mounts,
					.mount_count = 1};

				ASSERT_INT(client_assign(&f.client, container.id, &assign), 0);
			}
			client_read(container.pipes[0], PATIENCE_MS, out, sizeof out);
			EXPECT_INT(client_wait(&f.client, container.id, PATIENCE_MS, &end), 0);
			EXPECT(strstr(out, "secret\n") == NULL);
			EXPECT_STR(str_c(out), str_c(wanted));
			client_release(&container);
		}
		EXPECT(close_fixture(&f));
	}
}

/* Reads until `word` came. */
static bool wait_output(int fd, const char *word)
{
	char out[65536] = "";
	size_t at = 0;

	while (!strstr(out, word) && at < sizeof out - 1) {
		size_t n = client_read(fd, PATIENCE_MS, out + at, 2 + (at ? 0 : strlen(word)));

		if (!n)
			return false;
		at += n;
	}
	return true;
}

static void drain(int fd)
{
	char out[4096];

	while (read(fd, out, sizeof out) > 0)
		;
}

static void write_control(struct client_container *c, struct fixture *f, bool freeze)
{
	char text[48];
	size_t n = cgroup_freezer_text(f->client.hello.freezer_version, freeze, text);

	if (c->freezer < 0)
		client_send(&f->client, freeze ? WIRE_FREEZE : WIRE_THAW, c->id, 0);
	else
		EXPECT_INT(pwrite(c->freezer, text, n, 0), n);
}

TEST(sandbox, freezes_thaws_and_kills)
{
	EACH_WAY(rootless)
	{
		struct fixture f;
		struct client_container c;
		struct sandbox_exit end;
		struct pollfd more;

		ASSERT(open_fixture(&f, rootless));
		ASSERT_INT(start(&f, (const char *const[]){PYTHON, "/var/task/ticks.py", NULL},
				   NULL, &c),
			0);
		EXPECT(wait_output(c.pipes[0], "tick"));
		write_control(&c, &f, true);
		/* It may finish the line it is at; then nothing comes for many ticks. */
		poll(NULL, 0, 50);
		drain(c.pipes[0]);
		more = (struct pollfd){.fd = c.pipes[0], .events = POLLIN};
		EXPECT_INT(poll(&more, 1, 200), 0);
		write_control(&c, &f, false);
		EXPECT(wait_output(c.pipes[0], "tick"));
		write_control(&c, &f, true);
		/* A frozen container dies too. */
		EXPECT_INT(client_send(&f.client, WIRE_KILL, c.id, 0), 0);
		EXPECT_INT(client_wait(&f.client, c.id, PATIENCE_MS, &end), 0);
		EXPECT_INT(end.end, SANDBOX_KILLED);
		client_release(&c);
		ASSERT_INT(start(&f,
				   (const char *const[]){"/bin/sh", "-c",
					   "trap 'echo got it; exit 9' TERM; echo ready; "
					   "while :; do sleep 0.01; done",
					   NULL},
				   NULL, &c),
			0);
		EXPECT(wait_output(c.pipes[0], "ready"));
		EXPECT_INT(client_send(&f.client, WIRE_SIGNAL, c.id, SIGTERM), 0);
		EXPECT_INT(client_wait(&f.client, c.id, PATIENCE_MS, &end), 0);
		EXPECT_INT(end.status, 9);
		client_release(&c);
		EXPECT(close_fixture(&f));
	}
}

TEST(sandbox, pools)
{
	static const struct sandbox_mount later = {
		SANDBOX_FROM_DATA, STR_INIT("later"), STR_INIT("/var/task")};

	EACH_WAY(rootless)
	{
		str argv[] = {STR("/usr/bin/python3"), STR("-S"), STR("/var/runtime/gate.py")};
		str shell[] = {STR("/bin/sh"), STR("-c"), STR("echo $A; ls /var/task; exit 4")};
		str environment[] = {STR("A=1"), STR("B=two words")};
		struct sandbox_mount runtime = {
			SANDBOX_FROM_DATA, STR("code"), STR("/var/runtime")};
		struct sandbox_spec spec = {.argv = argv,
			.argc = 3,
			.mounts = &runtime,
			.mount_count = 1,
			.pipes = {1},
			.pipe_count = 1,
			.pooled = true};
		struct sandbox_spec assign = {.mounts = &later,
			.mount_count = 1,
			.environment = environment,
			.environment_count = 2,
			.limits = {.memory_bytes = 128 << 20},
			.pooled = true};
		struct client_container c;
		struct sandbox_exit end;
		struct fixture f;
		char path[256], out[4096];
		int fd;

		ASSERT(open_fixture(&f, rootless));
		ASSERT_INT(client_start(&f.client, &spec, &c), 0);
		/* Code that did not exist when the container began. */
		snprintf(path, sizeof path, "%s/later", f.folder);
		ASSERT_INT(mkdir(path, 0755), 0);
		snprintf(path, sizeof path, "%s/later/handler.py", f.folder);
		fd = open(path, O_CREAT | O_WRONLY, 0644);
		ASSERT(fd >= 0);
		close(fd);
		EXPECT_INT(client_assign(&f.client, c.id, &assign), 0);
		EXPECT_INT(client_assign(&f.client, c.id, &assign), ERR_INVALID);
		client_read(c.pipes[0], PATIENCE_MS, out, sizeof out);
		EXPECT_STR(str_c(out), STR("A=1|B=two words|['handler.py']\n"));
		EXPECT_INT(client_wait(&f.client, c.id, PATIENCE_MS, &end), 0);
		EXPECT_INT(client_assign(&f.client, c.id, &assign), ERR_NOT_FOUND);
		client_release(&c);
		/* Only PID 1 is booted; the program comes with the code. */
		spec.argc = 0;
		ASSERT_INT(client_start(&f.client, &spec, &c), 0);
		EXPECT_INT(client_assign(&f.client, c.id, &assign), ERR_INVALID);
		assign.argv = shell;
		assign.argc = 3;
		EXPECT_INT(client_assign(&f.client, c.id, &assign), 0);
		client_read(c.pipes[0], PATIENCE_MS, out, sizeof out);
		EXPECT_STR(str_c(out), STR("1\nhandler.py\n"));
		EXPECT_INT(client_wait(&f.client, c.id, PATIENCE_MS, &end), 0);
		EXPECT_INT(end.status, 4);
		client_release(&c);
		EXPECT(close_fixture(&f));
	}
}

/* --- nothing is left behind ----------------------------------------------------------------- */

static unsigned count_entries(const char *path)
{
	DIR *dir = opendir(path);
	unsigned n = 0;

	while (dir && readdir(dir))
		n++;
	if (dir)
		closedir(dir);
	return n;
}

static unsigned count_lines(const char *path)
{
	static char text[1 << 20];
	unsigned n = 0;

	if (sys_read_file(AT_FDCWD, path, text, sizeof text) > 0)
		for (char *at = text; (at = strchr(at, '\n')) != NULL; at++)
			n++;
	return n;
}

/* Groups of the launcher in all hierarchies; with those of cells or without. */
static unsigned count_groups(pid_t launcher, bool cells)
{
	char command[256], text[32];
	FILE *f;

	snprintf(command, sizeof command,
		"find /sys/fs/cgroup -type d -path '*/cirrus.%d.*' %s 2>/dev/null | wc -l",
		(int)launcher, cells ? "" : "-name 'cirrus.*'");
	f = popen(command, "r");
	if (!f || !fgets(text, sizeof text, f))
		abort();
	pclose(f);
	return (unsigned)strtoul(text, NULL, 10);
}

static unsigned count_children(pid_t pid)
{
	char path[64], text[4096];
	unsigned n = 0;

	snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)pid, (int)pid);
	if (sys_read_file(AT_FDCWD, path, text, sizeof text) > 0)
		for (char *at = text; (at = strchr(at, ' ')) != NULL; at++)
			n++;
	return n;
}

enum { NETWORKS_MAX = 64, NETWORK_NAME = 32 };

struct networks {
	char name[NETWORKS_MAX][NETWORK_NAME];
	unsigned count;
};

static bool network_of(const char *pid, char *ret_name)
{
	char path[64];
	ssize_t n;

	snprintf(path, sizeof path, "/proc/%.20s/ns/net", pid);
	n = readlink(path, ret_name, NETWORK_NAME - 1);
	if (n <= 0)
		return false;
	ret_name[n] = 0;
	return true;
}

/* The network namespaces of the launcher's children that are not ours. */
static void note_networks(pid_t launcher, struct networks *to)
{
	char path[64], pids[4096], own[NETWORK_NAME], *at = pids;

	to->count = 0;
	snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)launcher, (int)launcher);
	if (!network_of("self", own) || sys_read_file(AT_FDCWD, path, pids, sizeof pids) <= 0)
		return;
	for (char *end; (end = strchr(at, ' ')) != NULL && to->count < NETWORKS_MAX; at = end + 1) {
		*end = 0;
		if (network_of(at, to->name[to->count]) && strcmp(to->name[to->count], own) != 0)
			to->count++;
	}
}

/* Processes that are in one of them. */
static unsigned count_in(const struct networks *networks)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;
	unsigned n = 0;

	while (dir && (entry = readdir(dir)) != NULL) {
		char name[NETWORK_NAME];

		if (entry->d_name[0] < '1' || entry->d_name[0] > '9' ||
			!network_of(entry->d_name, name))
			continue;
		for (unsigned i = 0; i < networks->count; i++)
			n += strcmp(name, networks->name[i]) == 0;
	}
	if (dir)
		closedir(dir);
	return n;
}

/* What may only be as it was once the launcher is at rest: tried until it is, or patience ends. */
#define COMES_TO(expression, value)                                       \
	({                                                                \
		unsigned tries_ = 0, is_ = 0, should_ = (value);          \
		while ((is_ = (expression)) != should_ && tries_++ < 500) \
			poll(NULL, 0, 10);                                \
		EXPECT_INT(is_, should_);                                 \
	})

TEST(sandbox, leaves_nothing_behind)
{
	EACH_WAY(rootless)
	{
		unsigned mounts = count_lines("/proc/self/mountinfo");
		unsigned files = count_entries("/proc/self/fd");
		struct networks networks;
		unsigned groups, open_files, children;
		char path[64];
		struct fixture f;
		struct outcome o;

		ASSERT(open_fixture(&f, rootless));
		snprintf(path, sizeof path, "/proc/%d/fd", (int)f.client.launcher);
		RUN(&f, NULL, &o, "/bin/true");
		/* The janitor and the cells kept ready. */
		COMES_TO(count_children(f.client.launcher), 1 + f.options.cells_ready);
		groups = count_groups(f.client.launcher, false) * (1 + f.options.cells_ready);
		COMES_TO(count_groups(f.client.launcher, true), groups);
		open_files = count_entries(path);
		children = count_children(f.client.launcher);
		for (unsigned i = 0; i < 100; i++) {
			RUN(&f, NULL, &o, "/bin/true");
			EXPECT_INT(o.end.end, SANDBOX_EXITED);
		}
		COMES_TO(count_children(f.client.launcher), children);
		COMES_TO(count_groups(f.client.launcher, true), groups);
		COMES_TO(count_entries(path), open_files);
		note_networks(f.client.launcher, &networks);
		EXPECT_INT(networks.count, f.options.cells_ready);
		EXPECT(close_fixture(&f));
		COMES_TO(count_in(&networks), 0);
		EXPECT_INT(count_lines("/proc/self/mountinfo"), mounts);
		EXPECT_INT(count_groups(f.client.launcher, true), 0);
		EXPECT_INT(count_entries("/proc/self/fd"), files);
	}
}

static void kill_launcher(bool rootless, bool frozen)
{
	struct fixture f;
	struct client_container c;
	struct sandbox_exit end;
	struct networks networks;
	pid_t launcher;

	ASSERT(open_fixture(&f, rootless));
	ASSERT_INT(
		start(&f, (const char *const[]){PYTHON, "/var/task/ticks.py", NULL}, NULL, &c), 0);
	EXPECT(wait_output(c.pipes[0], "tick"));
	/* The hardest to be rid of: a frozen one takes no signal. */
	if (frozen)
		write_control(&c, &f, true);
	launcher = f.client.launcher;
	note_networks(launcher, &networks);
	EXPECT(networks.count > 0);
	kill(launcher, SIGKILL);
	EXPECT_INT(client_wait(&f.client, c.id, PATIENCE_MS, &end), ERR_CLOSED);
	client_close(&f.client);
	client_release(&c);
	COMES_TO(count_in(&networks), 0);
	COMES_TO(count_groups(launcher, true), 0);
}

TEST(sandbox, leaves_nothing_when_its_launcher_is_killed)
{
	EACH_WAY(rootless)
	{
		kill_launcher(rootless, false);
		kill_launcher(rootless, true);
	}
}
