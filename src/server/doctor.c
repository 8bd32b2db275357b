/*
 * Looks, tries and reports. Each feature of the kernel is tried in a child, so that nothing of it
 * stays; each program is asked for its version with a time limit. Needs no server.
 */
#include "server/doctor.h"

#include "base/buf.h"
#include "base/json.h"
#include "base/rc.h"
#include "sandbox/network.h"
#include "server/lambda_network.h"
#include "server/options.h"
#include "server/runtimes.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

enum { VERSION_MS = 5000, VERSION_BYTES_MAX = 128, KERNEL_MAJOR = 5, KERNEL_MINOR = 14 };
enum { MEMORY_MIB_MIN = 256 };

struct finding {
	const char *name;
	bool ok, required;
	str detail;         /* what was found */
	const char *remedy; /* when it is not ok */
};

/* ---- the kernel ---- */

/* Runs `try` in a child: 0, or the errno that it exits with. */
static int in_child(int (*try)(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(try());
	if (pid < 0)
		return errno;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : EPERM;
}

/* As an ordinary user everything is made inside a user namespace, and so it is tried. */
static int enter(int flags)
{
	if (geteuid() != 0)
		flags |= CLONE_NEWUSER;
	return unshare(flags) == 0 ? 0 : errno;
}

static int try_user(void)
{
	return unshare(CLONE_NEWUSER) == 0 ? 0 : errno;
}

static int try_namespaces(void)
{
	return enter(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS |
		     CLONE_NEWCGROUP);
}

static int try_overlay(void)
{
	int rc = enter(CLONE_NEWNS), fd;

	if (rc)
		return rc;
	fd = fsopen("overlay", FSOPEN_CLOEXEC);
	return fd >= 0 ? 0 : errno;
}

static int try_seccomp(void)
{
	unsigned action = SECCOMP_RET_ERRNO;

	return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0 ? 0 : errno;
}

static struct finding tried(
	struct arena *a, const char *name, int (*try)(void), bool required, const char *remedy)
{
	int err = in_child(try);

	return (struct finding){name, err == 0, required,
		err ? arena_str(a, str_c(strerror(err))) : STR("works"), remedy};
}

static struct finding kernel(struct arena *a)
{
	unsigned long major = 0, minor = 0;
	struct utsname u;
	char *rest;

	if (uname(&u) != 0)
		return (struct finding){"kernel", false, true, STR("unknown"), "Linux is needed"};
	major = strtoul(u.release, &rest, 10);
	if (*rest == '.')
		minor = strtoul(rest + 1, NULL, 10);
	return (struct finding){"kernel",
		major > KERNEL_MAJOR || (major == KERNEL_MAJOR && minor >= KERNEL_MINOR), true,
		arena_printf(a, "Linux %s on %s", u.release, u.machine),
		"containers need Linux 5.14 or newer"};
}

static str read_text(struct arena *a, const char *path)
{
	struct buf b;
	char part[4096];
	ssize_t n;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	buf_init(&b, a, 1 << 20);
	while (fd >= 0 && (n = read(fd, part, sizeof part)) > 0)
		buf_put(&b, str_of(part, (size_t)n));
	if (fd >= 0)
		close(fd);
	return buf_str(&b);
}

/* Is the controller in the list "cpu memory pids", separated by `sep`? */
static bool lists(str list, char sep, str name)
{
	str one;

	while (str_split(&list, sep, &one))
		if (str_eq(str_trim(one), name))
			return true;
	return false;
}

/* 1, 2, or 0 where the controller cannot be had; by the mounts, as the launcher looks for them. */
static unsigned controller_version(str mounts, str version_2, str name)
{
	str line;

	if (lists(version_2, ' ', name))
		return 2;
	while (str_split(&mounts, '\n', &line)) {
		ptrdiff_t at = str_find_str(line, STR(" - cgroup "));
		ptrdiff_t comma = str_find_last(line, ' ');

		if (at >= 0 && comma > at && lists(str_from(line, (size_t)comma + 1), ',', name))
			return geteuid() == 0 ? 1 : 0;
	}
	return 0;
}

/* The v2 group that the launcher would use: the top one as root, else our own if it is handed to
 * us. */
static str group_version_2(struct arena *a, str mounts)
{
	ptrdiff_t at = str_find_str(mounts, STR(" - cgroup2 "));
	str groups = read_text(a, "/proc/self/cgroup"), line, path = STR(""), folder, word;

	if (at < 0)
		return STR_NULL;
	/* ID PARENT DEVICE ROOT POINT ... - TYPE */
	line = str_sub(mounts, 0, (size_t)at);
	line = str_from(line, (size_t)(str_find_last(line, '\n') + 1));
	for (unsigned i = 0; i < 5; i++)
		if (!str_split(&line, ' ', &folder))
			return STR_NULL;
	while (geteuid() != 0 && str_split(&groups, '\n', &word))
		if (str_starts(word, STR("0::")))
			path = str_from(word, 3);
	if (str_ends(path, STR("/cirrus.main"))) /* whoever started us is a server's child */
		path.n -= sizeof "/cirrus.main" - 1;
	folder = arena_printf(a, "%.*s%.*s", STR_ARG(folder), STR_ARG(path));
	if (access(arena_c(a, ARENA_CONCAT(a, folder, STR("/cgroup.procs"))), W_OK) != 0)
		return STR_NULL;
	return folder;
}

static struct finding control_groups(struct arena *a)
{
	static const str names[] = {
		STR_INIT("memory"), STR_INIT("cpu"), STR_INIT("pids"), STR_INIT("freezer")};
	str mounts = read_text(a, "/proc/self/mountinfo");
	str group = group_version_2(a, mounts), version_2 = STR("");
	struct buf b;
	bool all = true;

	if (group.p)
		version_2 = read_text(
			a, arena_c(a, ARENA_CONCAT(a, group, STR("/cgroup.controllers"))));
	while (str_ends(version_2, STR("\n")))
		version_2.n--;
	buf_init(&b, a, 512);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		unsigned v = controller_version(mounts, version_2, names[i]);

		/* Every v2 group can be frozen. */
		if (!v && group.p && str_eq(names[i], STR("freezer")))
			v = 2;
		buf_printf(
			&b, v ? "%s%.*s v%u" : "%s%.*s none", i ? ", " : "", STR_ARG(names[i]), v);
		all &= v > 0;
	}
	return (struct finding){"control groups", all, false, buf_str(&b),
		geteuid() == 0 ? "enable the controllers (boot parameter cgroup_enable=memory; "
				 "mount them); "
				 "until then rlimits and a watchdog stand in"
			       : "run cirrus as root, or delegate a v2 group to it (systemd: "
				 "Delegate=yes); "
				 "until then rlimits and a watchdog stand in"};
}

static struct finding memory(struct arena *a)
{
	str text = read_text(a, "/proc/meminfo");
	ptrdiff_t at = str_find_str(text, STR("MemAvailable:"));
	uint64_t kib = 0;

	for (size_t i = at < 0 ? text.n : (size_t)at + 13; i < text.n && text.p[i] != '\n'; i++)
		if (text.p[i] >= '0' && text.p[i] <= '9')
			kib = kib * 10 + (uint64_t)(text.p[i] - '0');
	return (struct finding){"memory for instances", kib / 1024 >= MEMORY_MIB_MIN, true,
		arena_printf(a, "%llu MiB available", (unsigned long long)(kib / 1024)),
		"functions have at least 128 MB each: free some memory"};
}

/* What --lambda-network=nat and host need: tried in a namespace that ends with the try. */
static struct finding network(struct arena *a, const struct options *o)
{
	struct finding f = {.name = "functions' network",
		.remedy =
			"only --lambda-network=nat and host need it: run cirrus as root, on a "
			"kernel "
			"with veth and nf_tables (nft_fib_ipv4, nft_reject_ipv4, nft_ct, nft_nat, "
			"nft_masq)"};
	struct sandbox_network n;
	struct sandbox_error error = {""};

	if (lambda_network(o, a, &n, &f.detail) < 0)
		return f;
	if (n.reach == SANDBOX_REACH_NONE)
		n.reach = SANDBOX_REACH_HOST;
	if (geteuid() != 0) {
		f.detail = STR("not as an ordinary user");
		return f;
	}
	f.ok = network_check(&n, &error) == 0;
	f.detail = f.ok ? STR("nat and host can be had") : arena_str(a, str_c(error.text));
	return f;
}

/* ---- programs ---- */

/* The first line that it says, within VERSION_MS; empty when it says nothing. */
static str version_of(struct arena *a, const char *path, const char *flag)
{
	char *const argv[] = {(char *)(uintptr_t)path, (char *)(uintptr_t)flag, NULL};
	char *const environment[] = {(char *)(uintptr_t) "PATH=/usr/bin:/bin", NULL};
	char text[VERSION_BYTES_MAX];
	posix_spawn_file_actions_t actions;
	struct pollfd wait;
	size_t n = 0;
	ssize_t k = 0;
	int pipe_fds[2];
	pid_t pid;
	str line = STR("");

	if (pipe2(pipe_fds, O_CLOEXEC) != 0)
		return line;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, pipe_fds[1], 1);
	posix_spawn_file_actions_adddup2(&actions, pipe_fds[1], 2);
	k = posix_spawn(&pid, path, &actions, NULL, argv, environment);
	posix_spawn_file_actions_destroy(&actions);
	close(pipe_fds[1]);
	wait = (struct pollfd){.fd = pipe_fds[0], .events = POLLIN};
	while (k == 0 && n < sizeof text && poll(&wait, 1, VERSION_MS) > 0) {
		ssize_t got = read(pipe_fds[0], text + n, sizeof text - n);

		if (got <= 0)
			break;
		n += (size_t)got;
	}
	close(pipe_fds[0]);
	if (k == 0) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		line = str_of(text, n);
		(void)!str_split(&(str){line.p, line.n}, '\n', &line);
	}
	return arena_str(a, line);
}

static struct finding runtime(
	struct arena *a, const char *name, const char *path, const char *remedy)
{
	str version = path ? version_of(a, path, "--version") : STR_NULL;

	return (struct finding){name, path && version.n, false,
		path ? ARENA_CONCAT(a, str_c(path), STR(": "),
			       version.n ? version : STR("does not tell its version"))
		     : STR("not found"),
		remedy};
}

static struct finding packages(struct arena *a, const struct options *o)
{
	static const char name[] = "nodejs AWS SDK";
	str version;
	int rc;

	if (!*o->node_modules)
		return (struct finding){name, false, false, STR("not found"),
			"make sdk, and name build/sdk/node_modules with --node-modules, or make "
			"install; functions find what they bring themselves"};
	rc = runtimes_sdk_version(o->node_modules, a, &version);
	return (struct finding){name, rc == 0, false,
		rc == 0 ? arena_printf(a, "%s: %.*s", o->node_modules, STR_ARG(version))
			: arena_printf(a, "%s: %s", o->node_modules,
				  rc == ERR_DENIED ? "cannot be read by everybody"
						   : "no package @aws-sdk/client-dynamodb"),
		rc == ERR_DENIED ? "chmod -R a+rX on this folder, because functions have users of "
				   "their own"
				 : "install the AWS SDK there, as make sdk does"};
}

/* ---- the report ---- */

static void print_text(const struct finding *f, size_t n, bool good)
{
	for (size_t i = 0; i < n; i++) {
		printf("%-8s %-22s %.*s\n",
			f[i].ok         ? "ok"
			: f[i].required ? "MISSING"
					: "missing",
			f[i].name, STR_ARG(f[i].detail));
		if (!f[i].ok)
			printf("%-8s %-22s -> %s\n", "", "", f[i].remedy);
	}
	puts(good ? "\nFunctions can run here." : "\nFunctions cannot run here yet.");
}

static void print_json(struct arena *a, const struct finding *f, size_t n, bool good)
{
	struct json_writer w;
	struct buf b, detail;

	buf_init(&b, a, 1 << 20);
	json_writer_init(&w, &b);
	json_put_object_begin(&w);
	json_put_key(&w, STR("ok"));
	json_put_bool(&w, good);
	json_put_key(&w, STR("findings"));
	json_put_array_begin(&w);
	for (size_t i = 0; i < n; i++) {
		json_put_object_begin(&w);
		json_put_key_string(&w, STR("name"), str_c(f[i].name));
		json_put_key(&w, STR("ok"));
		json_put_bool(&w, f[i].ok);
		json_put_key(&w, STR("required"));
		json_put_bool(&w, f[i].required);
		json_put_key(&w, STR("detail"));
		buf_init(&detail, a, 4096);
		json_put_quoted_lossy(&detail, f[i].detail);
		json_put_raw(&w, buf_str(&detail));
		if (!f[i].ok)
			json_put_key_string(&w, STR("remedy"), str_c(f[i].remedy));
		json_put_object_end(&w);
	}
	json_put_array_end(&w);
	json_put_object_end(&w);
	printf("%.*s\n", STR_ARG(buf_str(&b)));
}

static bool report(struct arena *a, const struct options *o, bool json)
{
	static const char rootless[] =
		"run cirrus as root, or allow user namespaces (sysctl user.max_user_namespaces, "
		"kernel.unprivileged_userns_clone=1, "
		"kernel.apparmor_restrict_unprivileged_userns=0)";
	const struct finding findings[] = {
		kernel(a),
		tried(a, "user namespaces", try_user, geteuid() != 0, rootless),
		tried(a, "other namespaces", try_namespaces, true, rootless),
		tried(a, "seccomp", try_seccomp, true, "a kernel with CONFIG_SECCOMP_FILTER"),
		tried(a, "overlay", try_overlay, false,
			"load the module overlay, or use at most one layer in a function"),
		control_groups(a),
		network(a, o),
		memory(a),
		runtime(a, "nodejs", runtimes_node(o),
			"install nodejs, or name it with --runtime-node"),
		packages(a, o),
		runtime(a, "python", runtimes_python(o),
			"install python3, or name it with --runtime-python"),
		runtime(a, "ruby", runtimes_ruby(o),
			"install ruby, or name it with --runtime-ruby"),
		runtime(a, "java", runtimes_java(o),
			"install openjdk-17-jdk-headless and build again, or name a java with "
			"--runtime-java"),
	};
	bool good = true;

	for (size_t i = 0; i < ARRAY_SIZE(findings); i++)
		good &= findings[i].ok || !findings[i].required;
	if (json)
		print_json(a, findings, ARRAY_SIZE(findings), good);
	else
		print_text(findings, ARRAY_SIZE(findings), good);
	return good;
}

int doctor_run(struct arena *arena, char **argv)
{
	struct options options;
	str message;
	bool json = false;
	size_t n = 0;

	for (char **at = argv; *at; at++) {
		if (str_eq(str_c(*at), STR("--json")))
			json = true;
		else
			argv[n++] = *at;
	}
	argv[n] = NULL;
	if (options_parse(arena, (const char *const *)argv, (const char *const *)environ, &options,
		    &message) < 0 ||
		runtimes_check(&options, &message) < 0 ||
		runtimes_find_packages(&options, arena, NULL, &message) < 0) {
		fprintf(stderr, "cirrus doctor: %.*s\n", STR_ARG(message));
		return 2;
	}
	return report(arena, &options, json) ? 0 : 1;
}
