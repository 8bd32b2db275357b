/*
 * PID 1 of a container. Runs between clone and exec rules from start to end: only system calls and
 * static memory. See cell.h for its life, and DESIGN 6 for what a container must not reach.
 */
#include "sandbox/cell.h"

#include "base/check.h"
#include "sandbox/root.h"
#include "sandbox/sys.h"
#include "sandbox/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>

enum { BACKSTAGE_NICE = 10 };
enum { GATE = 3, HIGH = 200, FDS_MAX = 2 + SANDBOX_TREES_MAX + SANDBOX_PIPES_MAX };

/* All that a cell knows; it lives in the cell's own copy of the stack of its clone. */
struct cell {
	const struct cell_context *context;
	struct wire_spec *spec;
	char *message; /* WIRE_MAX + 1 */
	const char **strings;
	uint32_t uid;
	int signals; /* signalfd */
	int pipes[SANDBOX_PIPES_MAX];
	int environment; /* pooled with argv: the writing end of SANDBOX_GATE_FD */
	pid_t runtime;   /* 0: not yet; -1: it has ended */
	pid_t companions[SANDBOX_COMPANIONS_MAX]; /* -1: has ended */
	unsigned companion_count;
};

noreturn_fn static void fail(const char *step, int err)
{
	struct {
		struct wire_head head;
		char text[64];
	} out = {.head = {.kind = WIRE_FAILED, .value = err}};
	size_t n = MIN(strlen(step), sizeof out.text);

	memcpy(out.text, step, n);
	(void)!sys_send(GATE, &out, sizeof out.head + n, NULL, 0, 0);
	_exit(1);
}

/* For calls that return -1 and set errno. */
static void must(long rc, const char *step)
{
	if (rc < 0)
		fail(step, errno);
}

uint64_t cell_clone_flags(void)
{
	return CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS |
	       CLONE_PARENT | CLONE_PIDFD;
}

/* --- before the request --------------------------------------------------------------------- */

static void loopback_up(void)
{
	cleanup(sys_close_p) int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = {.ifr_name = "lo"};

	must(fd, "open a socket");
	must(ioctl(fd, SIOCGIFFLAGS, &request), "read the loopback's state");
	request.ifr_flags |= IFF_UP;
	must(ioctl(fd, SIOCSIFFLAGS, &request), "bring the loopback up");
}

/* The janitor has put the link into our namespace already. */
static void join_network(const struct cell *c, uint32_t address)
{
	const char *step = "";
	int rc = network_join(&c->context->network, address, &step);

	if (rc < 0)
		fail(step, -rc);
}

static int listen_on(const struct sandbox_listen *what)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
		.sin_port = htons(what->port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int on = 1;
	int fd = socket(
		AF_INET, (what->udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	must(fd, "open a listening socket");
	/* Here, because a pooled process connects before the server has the socket, and connections
	 * have what it had at their time: without it each event waited 40 ms for the last answer's
	 * acknowledgement. */
	if (!what->udp)
		must(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), "set up a socket");
	must(bind(fd, (struct sockaddr *)&address, sizeof address), "bind a listening socket");
	if (!what->udp)
		must(listen(fd, 128), "listen");
	return fd;
}

/* Hidden: what tells of the host or reaches into it. Whatever a kernel does not have is skipped. */
static const char *const hidden_files[] = {ROOT_STAGE_PROC "/kcore", ROOT_STAGE_PROC "/keys",
	ROOT_STAGE_PROC "/key-users", ROOT_STAGE_PROC "/sysrq-trigger",
	ROOT_STAGE_PROC "/timer_list", ROOT_STAGE_PROC "/kmsg", ROOT_STAGE_PROC "/kallsyms",
	ROOT_STAGE_PROC "/sched_debug", ROOT_STAGE_PROC "/kpagecount",
	ROOT_STAGE_PROC "/kpageflags", ROOT_STAGE_PROC "/kpagecgroup", ROOT_STAGE_PROC "/config.gz",
	ROOT_STAGE_PROC "/cmdline", ROOT_STAGE_PROC "/slabinfo", ROOT_STAGE_PROC "/vmallocinfo"};
static const char *const hidden_folders[] = {ROOT_STAGE_PROC "/acpi", ROOT_STAGE_PROC "/scsi",
	ROOT_STAGE_PROC "/asound", ROOT_STAGE_PROC "/driver", ROOT_STAGE_PROC "/dynamic_debug"};
static const char *const fixed_folders[] = {ROOT_STAGE_PROC "/sys", ROOT_STAGE_PROC "/bus",
	ROOT_STAGE_PROC "/fs", ROOT_STAGE_PROC "/irq"};

static void hide(const char *const *paths, size_t n, const char *behind)
{
	for (size_t i = 0; i < n; i++)
		if (mount(behind, paths[i], NULL, MS_BIND, NULL) != 0 && errno != ENOENT)
			fail(paths[i], errno);
}

static void mount_proc(void)
{
	struct mount_attr fixed = {.attr_set = MOUNT_ATTR_RDONLY};

	must(mount("proc", ROOT_STAGE_PROC, "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, "hidepid=2"),
		"mount /proc");
	hide(hidden_files, ARRAY_SIZE(hidden_files), ROOT_NO_FILE);
	hide(hidden_folders, ARRAY_SIZE(hidden_folders), ROOT_NO_FOLDER);
	for (size_t i = 0; i < ARRAY_SIZE(fixed_folders); i++) {
		if (mount(fixed_folders[i], fixed_folders[i], NULL, MS_BIND, NULL) != 0) {
			if (errno != ENOENT)
				fail(fixed_folders[i], errno);
			continue;
		}
		must(mount_setattr(AT_FDCWD, fixed_folders[i], 0, &fixed, sizeof fixed),
			"protect /proc");
	}
}

static void prepare(struct cell *c)
{
	const struct launcher_options *options = &c->context->options;
	struct wire_head head;
	int fds[SANDBOX_LISTENS_MAX + 1];
	unsigned none;

	if (sys_receive(GATE, &head, sizeof head, NULL, 0, &none, 0) != sizeof head ||
		head.kind != WIRE_ATTACHED)
		_exit(1);
	must(unshare(CLONE_NEWCGROUP), "new cgroup namespace");
	must(sethostname("localhost", 9), "set the host name");
	loopback_up();
	join_network(c, (uint32_t)head.id);
	mount_proc();
	for (unsigned i = 0; i < options->listen_count; i++)
		fds[1 + i] = listen_on(&options->listens[i]);
	/* For mounting into it later: once it is unreadable nobody may open this any more. */
	fds[0] = open(ROOT_STAGE_PROC "/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	must(fds[0], "open the mount namespace");
	head = (struct wire_head){.kind = WIRE_READY};
	if (sys_send(GATE, &head, sizeof head, fds, 1 + options->listen_count, 0) < 0)
		_exit(1);
	sys_close_all(fds, 1 + options->listen_count);
}

/* --- the root ------------------------------------------------------------------------------- */

static void build_root(const struct sandbox_spec *spec, uint32_t uid, const int *fds)
{
	unsigned layers = wire_layer_count(spec);
	char options[128], *at = options;
	uint64_t tmp = spec->limits.tmp_bytes ? spec->limits.tmp_bytes : 512ull << 20;

	must(move_mount(fds[0], "", AT_FDCWD, ROOT_STAGE, MOVE_MOUNT_F_EMPTY_PATH),
		"place the root");
	must(chdir(ROOT_STAGE), "enter the root");
	fds++;
	if (layers)
		must(move_mount(*fds++, "", AT_FDCWD, "dev", MOVE_MOUNT_F_EMPTY_PATH),
			"place /dev");
	for (unsigned i = layers; i < spec->mount_count; i++)
		must(move_mount(*fds++, "", AT_FDCWD, spec->mounts[i].target.p + 1,
			     MOVE_MOUNT_F_EMPTY_PATH),
			spec->mounts[i].target.p);
	at = stpcpy(at, "mode=0700,size=");
	at = sys_number(at, tmp);
	at = stpcpy(at, ",nr_inodes=");
	at = sys_number(at, tmp / 4096 + 64);
	at = stpcpy(at, ",uid=");
	at = sys_number(at, uid);
	at = stpcpy(at, ",gid=");
	sys_number(at, uid);
	must(mount("tmpfs", "tmp", "tmpfs", MS_NOSUID | MS_NODEV, options), "mount /tmp");
	must(move_mount(AT_FDCWD, ROOT_STAGE_PROC, AT_FDCWD, "proc", 0), "place /proc");
	must(sys_pivot_root(".", "."), "pivot to the root");
	must(umount2(".", MNT_DETACH), "unmount the old root");
	must(chdir("/"), "enter /");
}

static void limit(int what, uint64_t value)
{
	struct rlimit to = {value, value};

	must(setrlimit((__rlimit_resource_t)what, &to), "set a resource limit");
}

static void set_limits(const struct sandbox_spec *spec)
{
	limit(RLIMIT_NOFILE, spec->limits.files ? spec->limits.files : 1024);
	limit(RLIMIT_NPROC, spec->limits.pids ? spec->limits.pids : 1024);
	limit(RLIMIT_CORE, 0);
	limit(RLIMIT_MEMLOCK, 64 << 10);
	limit(RLIMIT_MSGQUEUE, 0);
	limit(RLIMIT_SIGPENDING, 1024);
}

/* --- dropping ------------------------------------------------------------------------------- */

static void write_map(const char *path, uint32_t outside)
{
	char text[48], *at = text;

	at = sys_number(at, SANDBOX_UID);
	*at++ = ' ';
	at = sys_number(at, outside);
	memcpy(at, " 1", 3);
	if (sys_write_file(AT_FDCWD, path, text) < 0)
		fail(path, errno);
}

static void drop_bounding_set(void)
{
	for (int capability = 0; capability < 64; capability++)
		if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0) {
			if (errno != EINVAL) /* the kernel has no more */
				fail("drop a capability", errno);
			break;
		}
}

static void drop(const struct cell *c)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[2] = {{0, 0, 0}, {0, 0, 0}};

	drop_bounding_set();
	if (!c->context->rootless) {
		must(setgroups(0, NULL), "drop groups");
		must(setresgid(c->uid, c->uid, c->uid), "change the group");
		must(setresuid(c->uid, c->uid, c->uid), "change the user");
	}
	if (c->context->user_namespace) {
		/* Its own /proc entries belong to the process only while it is dumpable. */
		must(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0), "become dumpable");
		must(unshare(CLONE_NEWUSER), "new user namespace");
		if (sys_write_file(AT_FDCWD, "/proc/self/setgroups", "deny") < 0)
			fail("/proc/self/setgroups", errno);
		write_map("/proc/self/gid_map", c->uid);
		write_map("/proc/self/uid_map", c->uid);
		drop_bounding_set(); /* the new namespace came with a full one */
	}
	must(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0), "clear capabilities");
	must(syscall(SYS_capset, &head, none), "drop capabilities");
	/* The change of user took this away. */
	must(prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0), "die with the launcher");
	must(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0), "become unreadable");
	if (filter_install(&c->context->filter) < 0)
		fail("install the seccomp filter", errno);
}

/* --- the runtime ---------------------------------------------------------------------------- */

static const char **put_strings(const char **to, const str *list, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		*to++ = list[i].p;
	*to++ = NULL;
	return to;
}

/* The program as named, or for a plain name the first of the folders of PATH that has it. */
static void execute(const char *const *argv, const char *const *environment)
{
	char *const *arguments = (char *const *)(uintptr_t)argv;
	char *const *variables = (char *const *)(uintptr_t)environment;
	const char *path = "/usr/local/bin:/usr/bin:/bin";
	int found = ENOENT;
	char program[512];

	if (strchr(argv[0], '/')) {
		execve(argv[0], arguments, variables);
		return;
	}
	for (unsigned i = 0; environment[i]; i++)
		if (strncmp(environment[i], "PATH=", 5) == 0)
			path = environment[i] + 5;
	while (*path) {
		size_t n = strcspn(path, ":"), name = strlen(argv[0]);

		if (n + 1 + name < sizeof program) {
			memcpy(program, path, n);
			program[n] = '/';
			memcpy(program + n + 1, argv[0], name + 1);
			execve(program, arguments, variables);
			if (errno != ENOENT && errno != ENOTDIR)
				found = errno;
		}
		path += n + (path[n] == ':');
	}
	errno = found;
}

/* 0, 1 and 2 are /dev/null already. */
static bool place_runtime_pipes(const struct cell *c)
{
	const struct sandbox_spec *spec = &c->spec->spec;
	bool has_error_pipe = false;

	for (unsigned i = 0; i < spec->pipe_count; i++) {
		if (spec->pipes[i] == SANDBOX_COMPANION_PIPE)
			continue;
		has_error_pipe |= spec->pipes[i] == 2;
		if (dup2(c->pipes[i], spec->pipes[i]) < 0)
			return false;
	}
	return has_error_pipe || dup2(1, 2) >= 0;
}

static bool place_companion_pipes(const struct cell *c)
{
	const struct sandbox_spec *spec = &c->spec->spec;
	int to = -1;

	for (unsigned i = 0; i < spec->pipe_count; i++)
		if (spec->pipes[i] == SANDBOX_COMPANION_PIPE || (to < 0 && spec->pipes[i] == 1))
			to = c->pipes[i];
	return to < 0 || (dup2(to, 1) >= 0 && dup2(to, 2) >= 0);
}

struct program {
	const char *const *argv, *const *environment;
	str folder; /* STR_NULL: as it is */
	int gate;   /* -1: none */
	bool companion;
};

/* In the child of vfork: shares memory with the cell, so it only makes calls. */
noreturn_fn static void become(const struct cell *c, const struct program *p, volatile int *error)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setsid();
	if (!(p->companion ? place_companion_pipes(c) : place_runtime_pipes(c)))
		goto out;
	/* The cell's own gate has this number and closes on exec. */
	if (p->gate >= 0 && dup2(p->gate, SANDBOX_GATE_FD) < 0)
		goto out;
	if (p->folder.n && chdir(p->folder.p) != 0)
		goto out;
	execute(p->argv, p->environment);
out:
	*error = errno;
	_exit(127);
}

static pid_t run_program(const struct cell *c, const struct program *p)
{
	volatile int error = 0;
	pid_t pid = vfork();

	if (pid == 0)
		become(c, p, &error);
	must(pid, "fork a program");
	if (error) {
		char text[64];

		snprintf(text, sizeof text, "execute %.40s", p->argv[0]);
		fail(text, error);
	}
	return pid;
}

static void start_companions(struct cell *c)
{
	const struct sandbox_spec *spec = &c->spec->spec;

	put_strings(c->strings, spec->environment, spec->environment_count);
	for (unsigned i = 0; i < spec->companion_count; i++) {
		const char *argv[] = {spec->companions[i].p, NULL};
		struct program p = {
			.argv = argv, .environment = c->strings, .gate = -1, .companion = true};

		c->companions[c->companion_count++] = run_program(c, &p);
	}
}

static void spawn(struct cell *c, int gate)
{
	const struct sandbox_spec *spec = &c->spec->spec;
	const char **argv = c->strings;
	const char **environment = put_strings(argv, spec->argv, spec->argc);
	struct program p = {.argv = argv,
		.environment = environment,
		.folder = spec->working_folder,
		.gate = gate};

	put_strings(environment, spec->environment, spec->environment_count);
	c->runtime = run_program(c, &p);
	for (unsigned i = 0; i < spec->pipe_count; i++)
		sys_close(&c->pipes[i]);
	sys_close_p(&gate);
	/*
	 * Whenever a frozen container is thawed this process wakes up, too, though it has nothing
	 * to do: what it started goes first.
	 */
	(void)!setpriority(PRIO_PROCESS, 0, BACKSTAGE_NICE);
}

/* The whole block at once: it fits a pipe's buffer, so this never waits. */
static void give_environment(struct cell *c)
{
	const struct sandbox_spec *spec = &c->spec->spec;
	struct iovec parts[SANDBOX_STRINGS_MAX];
	size_t n = 0;

	for (unsigned i = 0; i < spec->environment_count; i++) {
		parts[i].iov_base = (void *)(uintptr_t)spec->environment[i].p;
		parts[i].iov_len = spec->environment[i].n + 1;
		n += parts[i].iov_len;
	}
	/* One write: each would wake the runtime once more. */
	if (writev(c->environment, parts, (int)spec->environment_count) != (ssize_t)n &&
		errno != EPIPE)
		fail("hand the environment over", errno);
	sys_close(&c->environment);
}

/* --- messages ------------------------------------------------------------------------------- */

static void take_spec(struct cell *c, size_t n)
{
	struct sandbox_error error;

	if (wire_take_spec(
		    str_of(c->message + sizeof(struct wire_head), n - sizeof(struct wire_head)),
		    c->spec, &error) < 0)
		fail("read the description", EINVAL);
}

static void go(struct cell *c, size_t n, int *fds, unsigned fd_count)
{
	const struct sandbox_spec *spec = &c->spec->spec;
	int gate[2] = {-1, -1};
	unsigned layers, trees;

	take_spec(c, n);
	layers = wire_layer_count(spec);
	trees = (layers ? 2 : 1) + spec->mount_count - layers;
	if (fd_count != trees + spec->pipe_count)
		fail("count the descriptors", EINVAL);
	build_root(spec, c->uid, fds);
	for (unsigned i = 0; i < trees; i++)
		close(fds[i]);
	/* Out of the way of the numbers that the runtime gets. */
	for (unsigned i = 0; i < spec->pipe_count; i++) {
		c->pipes[i] = fcntl(fds[trees + i], F_DUPFD_CLOEXEC, HIGH);
		must(c->pipes[i], "move a pipe");
		close(fds[trees + i]);
	}
	set_limits(spec);
	drop(c);
	if (spec->pooled && spec->argc) {
		must(pipe2(gate, O_CLOEXEC), "make the gate");
		/* The usual size is just enough; users with very many pipes get less. */
		(void)!fcntl(gate[1], F_SETPIPE_SZ, 2 * SANDBOX_MESSAGE_MAX);
		c->environment = gate[1];
	}
	start_companions(c);
	if (spec->argc)
		spawn(c, gate[0]);
	if (spec->pooled) {
		struct wire_head out = {.kind = WIRE_BOOTED};

		(void)!sys_send(GATE, &out, sizeof out, NULL, 0, 0);
	}
}

static void assign(struct cell *c, size_t n)
{
	uint8_t pipes[SANDBOX_PIPES_MAX];
	unsigned pipe_count = c->spec->spec.pipe_count;

	memcpy(pipes, c->spec->spec.pipes, sizeof pipes);
	take_spec(c, n);
	memcpy(c->spec->spec.pipes, pipes, sizeof pipes);
	c->spec->spec.pipe_count = pipe_count;
	if (c->environment >= 0)
		give_environment(c);
	else if (!c->runtime)
		spawn(c, -1);
}

/* To the loopback of this container's own network, which is all that there is in it. */
static void connect_inside(int port)
{
	struct wire_head out = {.kind = WIRE_CONNECTED};
	struct sockaddr_in to = {.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	cleanup(sys_close_p) int fd =
		socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || (connect(fd, (struct sockaddr *)&to, sizeof to) != 0 && errno != EINPROGRESS))
		out.value = errno;
	(void)!sys_send(GATE, &out, sizeof out, &fd, out.value ? 0 : 1, 0);
}

static void message(struct cell *c)
{
	const struct wire_head *head = (const struct wire_head *)c->message;
	int fds[FDS_MAX];
	unsigned fd_count;
	ssize_t n = sys_receive(GATE, c->message, WIRE_MAX, fds, FDS_MAX, &fd_count, 0);

	if (n < (ssize_t)sizeof *head)
		_exit(1);
	switch (head->kind) {
	case WIRE_GO:
		c->uid = (uint32_t)head->value;
		go(c, (size_t)n, fds, fd_count);
		break;
	case WIRE_ASSIGN: assign(c, (size_t)n); break;
	case WIRE_SIGNAL:
		if (c->runtime > 0)
			kill(c->runtime, head->value);
		break;
	case WIRE_CONNECT: connect_inside(head->value); break;
	case WIRE_FREEZE: kill(-1, SIGSTOP); break;
	case WIRE_THAW: kill(-1, SIGCONT); break;
	default: _exit(1);
	}
}

/* Which of its processes ended: 0 the runtime, else the number of a companion; -1: an orphan. */
static int forget_process(struct cell *c, pid_t pid)
{
	if (pid == c->runtime) {
		c->runtime = -1;
		return 0;
	}
	for (unsigned i = 0; i < c->companion_count; i++)
		if (pid == c->companions[i]) {
			c->companions[i] = -1;
			return (int)i + 1;
		}
	return -1;
}

static bool has_process(const struct cell *c)
{
	bool any = c->runtime > 0;

	for (unsigned i = 0; i < c->companion_count; i++)
		any |= c->companions[i] > 0;
	return any;
}

static void reap(struct cell *c)
{
	struct signalfd_siginfo info;
	int status;
	pid_t pid;

	while (read(c->signals, &info, sizeof info) > 0)
		;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		struct wire_head out = {.kind = WIRE_STATUS, .value = status};
		int which = forget_process(c, pid);

		if (which < 0)
			continue;
		out.id = (uint64_t)which;
		(void)!sys_send(GATE, &out, sizeof out, NULL, 0, 0);
		if (!has_process(c))
			_exit(0);
	}
}

/* Descriptors: 0, 1, 2 on /dev/null, the gate, nothing else of the janitor's. */
static void tidy_descriptors(int gate)
{
	int null;

	must(gate == GATE ? 0 : dup3(gate, GATE, O_CLOEXEC), "move the gate");
	if (sys_close_range(GATE + 1, ~0u) != 0)
		_exit(1);
	null = open(ROOT_TEMPLATE "/dev/null", O_RDWR);
	must(null, "open /dev/null");
	for (int i = 0; i < 3; i++)
		must(dup2(null, i), "use /dev/null");
	close(null);
}

static int watch_children(void)
{
	struct sigaction standard = {.sa_handler = SIG_DFL};
	sigset_t all;
	int fd;

	for (int i = 1; i < NSIG; i++)
		sigaction(i, &standard, NULL);
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	sigemptyset(&all);
	sigaddset(&all, SIGCHLD);
	fd = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
	must(fd, "watch children");
	return fd;
}

void cell_main(const struct cell_context *context, int gate)
{
	static struct wire_spec spec;
	static char message_bytes[WIRE_MAX];
	static const char *strings[SANDBOX_STRINGS_MAX + 2];
	struct cell c = {.context = context,
		.spec = &spec,
		.message = message_bytes,
		.strings = strings,
		.environment = -1};
	struct pollfd wait[2];

	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	prctl(PR_SET_NAME, "init", 0, 0, 0);
	umask(022);
	tidy_descriptors(gate);
	c.signals = watch_children();
	prepare(&c);
	wait[0] = (struct pollfd){.fd = GATE, .events = POLLIN};
	wait[1] = (struct pollfd){.fd = c.signals, .events = POLLIN};
	for (;;) {
		if (poll(wait, 2, -1) < 0 && errno != EINTR)
			_exit(1);
		if (wait[1].revents)
			reap(&c);
		if (wait[0].revents)
			message(&c);
	}
}
