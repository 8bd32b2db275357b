/*
 * seccomp: what no function needs and what reaches deep into the kernel is refused. Names that the
 * machine does not have are skipped, numbers newer than the library are allowed by the container's
 * filter: they still meet no capability.
 */
#include "sandbox/filter.h"

#include "base/rc.h"
#include "sandbox/sys.h"

#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

/* EPERM, as without the capability. */
static const char *const denied[] = {
	/* mounts and namespaces */
	"mount",
	"umount",
	"umount2",
	"pivot_root",
	"setns",
	"open_tree",
	"move_mount",
	"fsopen",
	"fsconfig",
	"fsmount",
	"fspick",
	"mount_setattr",
	"open_tree_attr",
	"statmount",
	"listmount",
	/* other processes, tracing, the kernel's programs */
	"process_vm_readv",
	"process_vm_writev",
	"kcmp",
	"pidfd_getfd",
	"process_madvise",
	"bpf",
	"perf_event_open",
	"userfaultfd",
	"io_uring_setup",
	"io_uring_enter",
	"io_uring_register",
	/* keys, handles, quotas, accounting, clocks */
	"add_key",
	"request_key",
	"keyctl",
	"open_by_handle_at",
	"name_to_handle_at",
	"quotactl",
	"quotactl_fd",
	"acct",
	"settimeofday",
	"clock_settime",
	"clock_settime64",
	"clock_adjtime",
	"clock_adjtime64",
	"adjtimex",
	"stime",
	"syslog",
	"lookup_dcookie",
	"fanotify_init",
	/* the machine */
	"reboot",
	"kexec_load",
	"kexec_file_load",
	"init_module",
	"finit_module",
	"delete_module",
	"create_module",
	"swapon",
	"swapoff",
	"iopl",
	"ioperm",
	"modify_ldt",
	"vm86",
	"vm86old",
	"sethostname",
	"setdomainname",
	"nfsservctl",
	"uselib",
	"ustat",
	"sysfs",
	"_sysctl",
	"vhangup",
	"move_pages",
	"migrate_pages",
	"mbind",
	"set_mempolicy",
	"personality",

	"vmsplice",
	"memfd_secret",
};

/* Of functions besides; of the worker see below. */
static const char *const function_denied[] = {"ptrace", "unshare", "chroot"};

/* ENOSYS, so that the C library falls back to the older call. */
static const char *const absent[] = {"clone3"};

/* The server's worker starts no program; what it asks the launcher for is not its own process. */
static const char *const worker_denied[] = {
	/* those that unpacking may need come first */
	"unshare",
	"chroot",
	"execve",
	"execveat",
#ifndef __SANITIZE_ADDRESS__ /* whose search for leaks traces the process */
	"ptrace",
#endif
};
enum { WORKER_MAY_NEED = 2 };

static const char *const unpack_allowed[] = {
	"read",
	"pwrite64",
	"pread64",
	"readv",
	"write",
	"writev",
	"close",
	"lseek",
	"fstat",
	"newfstatat",
	"fstatat64",
	"stat",
	"lstat",
	"statx",
	"openat",
	"open",
	"mkdirat",
	"mkdir",
	"symlinkat",
	"fchmod",
	"fchmodat",
	"fsync",
	"fdatasync",
	"ftruncate",
	"mmap",
	"munmap",
	"mremap",
	"mprotect",
	"brk",
	"madvise",
	"exit_group",
	"exit",
	"rt_sigreturn",
	"rt_sigaction",
	"rt_sigprocmask",
	"getpid",
	"gettid",
	"tgkill",
	"clock_gettime",
	"getrandom",
	"futex",
	"fcntl",
	"sendmsg",
	"restart_syscall",
	"sigaltstack",
	"umask",
	"getcwd",
	"readlink",
	"gettimeofday",
	"time",
	"sched_yield",
};

static int deny_names(scmp_filter_ctx ctx, const char *const *names, size_t n, uint32_t action)
{
	for (size_t i = 0; i < n; i++) {
		int number = seccomp_syscall_resolve_name(names[i]);

		if (number != __NR_SCMP_ERROR && seccomp_rule_add(ctx, action, number, 0) != 0)
			return ERR_INTERNAL;
	}
	return 0;
}

/*
 * Local, IPv4, IPv6 and routing information (getifaddrs) are all that programs use; a raw socket
 * meets the missing capability.
 */
static int deny_sockets(scmp_filter_ctx ctx)
{
	uint32_t deny = SCMP_ACT_ERRNO(EAFNOSUPPORT);
	int number = SCMP_SYS(socket), rc = 0;

	for (unsigned family = 0; family <= AF_NETLINK; family++)
		if (family != AF_UNIX && family != AF_INET && family != AF_INET6 &&
			family != AF_NETLINK)
			rc |= seccomp_rule_add(ctx, deny, number, 1, SCMP_A0(SCMP_CMP_EQ, family));
	rc |= seccomp_rule_add(ctx, deny, number, 1, SCMP_A0(SCMP_CMP_GT, AF_NETLINK));
	rc |= seccomp_rule_add(
		ctx, deny, number, 2, SCMP_A0(SCMP_CMP_EQ, AF_NETLINK), SCMP_A2(SCMP_CMP_NE, 0));
	return rc ? ERR_INTERNAL : 0;
}

static int deny_clone(scmp_filter_ctx ctx)
{
	static const uint64_t flags[] = {CLONE_NEWUSER, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWNET,
		CLONE_NEWIPC, CLONE_NEWUTS, CLONE_NEWCGROUP};

	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		if (seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
			    SCMP_A0(SCMP_CMP_MASKED_EQ, flags[i], flags[i])) != 0)
			return ERR_INTERNAL;
	return 0;
}

/* Faking terminal input is the only dangerous request a function could meet. */
static int deny_requests(scmp_filter_ctx ctx)
{
	static const unsigned requests[] = {0x5412 /* TIOCSTI */, 0x541c /* TIOCLINUX */};

	for (size_t i = 0; i < ARRAY_SIZE(requests); i++)
		if (seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(ioctl), 1,
			    SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffffu, requests[i])) != 0)
			return ERR_INTERNAL;
	return 0;
}

static int export_code(scmp_filter_ctx ctx, struct filter *ret_filter)
{
	cleanup(sys_close_p) int fd = memfd_create("filter", MFD_CLOEXEC);
	ssize_t n;

	if (fd < 0 || seccomp_export_bpf(ctx, fd) != 0)
		return ERR_INTERNAL;
	n = pread(fd, ret_filter->code, sizeof ret_filter->code, 0);
	if (n <= 0 || (size_t)n == sizeof ret_filter->code ||
		(size_t)n % sizeof(struct sock_filter))
		return ERR_TOO_LARGE;
	ret_filter->count = (unsigned short)((size_t)n / sizeof(struct sock_filter));
	return 0;
}

/* `more`: names denied besides. */
static int build(scmp_filter_ctx ctx, const char *const *more, size_t n, struct filter *ret_filter)
{
	/* A binary tree instead of a chain: fewer steps for each call. */
	if (seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2) != 0 ||
		seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS) != 0)
		return ERR_INTERNAL;
	TRY(deny_names(ctx, denied, ARRAY_SIZE(denied), SCMP_ACT_ERRNO(EPERM)));
	TRY(deny_names(ctx, more, n, SCMP_ACT_ERRNO(EPERM)));
	TRY(deny_names(ctx, absent, ARRAY_SIZE(absent), SCMP_ACT_ERRNO(ENOSYS)));
	TRY(deny_sockets(ctx));
	TRY(deny_clone(ctx));
	TRY(deny_requests(ctx));
	return export_code(ctx, ret_filter);
}

static int build_denying(const char *const *more, size_t n, struct filter *ret_filter)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	int rc;

	if (!ctx)
		return ERR_UNSUPPORTED;
	rc = build(ctx, more, n, ret_filter);
	seccomp_release(ctx);
	return rc;
}

int filter_build(struct filter *ret_filter)
{
	return build_denying(function_denied, ARRAY_SIZE(function_denied), ret_filter);
}

int filter_build_worker(struct filter *ret_filter, bool may_unshare)
{
	size_t from = may_unshare ? WORKER_MAY_NEED : 0;

	return build_denying(worker_denied + from, ARRAY_SIZE(worker_denied) - from, ret_filter);
}

/* What a layer of an image needs beside: hard links, taking entries away, overlay's own marks. */
static int allow_layers(scmp_filter_ctx ctx)
{
	static const char *const names[] = {"linkat", "unlinkat", "fsetxattr", "getdents64"};
	int rc = deny_names(ctx, names, ARRAY_SIZE(names), SCMP_ACT_ALLOW);

	/* A whiteout is the device 0/0 and no other. */
	if (rc == 0 && seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mknodat), 2,
			       SCMP_A2(SCMP_CMP_EQ, S_IFCHR), SCMP_A3(SCMP_CMP_EQ, 0)) != 0)
		rc = ERR_INTERNAL;
	return rc;
}

int filter_build_unpack(bool layer, struct filter *ret_filter)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int rc;

	if (!ctx)
		return ERR_UNSUPPORTED;
	rc = deny_names(ctx, unpack_allowed, ARRAY_SIZE(unpack_allowed), SCMP_ACT_ALLOW);
	if (rc == 0 && layer)
		rc = allow_layers(ctx);
	if (rc == 0)
		rc = export_code(ctx, ret_filter);
	seccomp_release(ctx);
	return rc;
}

int filter_install(const struct filter *filter)
{
	struct sock_fprog program = {filter->count, (struct sock_filter *)(uintptr_t)filter->code};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return -errno;
	return prctl(PR_SET_SECCOMP, 2 /* SECCOMP_MODE_FILTER */, &program, 0, 0) == 0 ? 0 : -errno;
}
