/*
 * Unpacking in two processes. The caller (trusted) makes a temporary folder, forks, waits, syncs
 * and renames. The child gives everything up before it looks at the first byte: root directory,
 * rights, all system calls but file work. libarchive only reads there; what it names is checked
 * here, entry by entry.
 */
#include "sandbox/unpack.h"

#include "base/check.h"
#include "sandbox/filter.h"
#include "sandbox/landlock.h"
#include "sandbox/sys.h"

#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <locale.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>

static const char TEMPORARY[] = ".unpack-";

enum {
	ARCHIVE_FD = 3,
	REPORT_FD = 4,
	PATH_MAX_BYTES = 1024,
	LINK_MAX_BYTES = 1024,
	BLOCK = 64 << 10,
	MEMORY_MAX = 512 << 20, /* address space of the child */
	RATIO_FREE = 1 << 20,
};

/* What the child writes at its end. */
struct report {
	int32_t rc;
	struct unpack_result result;
	char text[SANDBOX_TEXT_MAX];
};

/* --- the child ------------------------------------------------------------------------------ */

struct libarchive {
#define ARCHIVE(result, name, arguments) result(*name) arguments;
#include "sandbox/libarchive.def"
#undef ARCHIVE
};

struct unpacker {
	struct libarchive lib;
	struct archive *archive;
	struct unpack_limits limits;
	uint64_t packed_bytes;
	bool layer; /* of an image */
	struct report report;
	char path[PATH_MAX_BYTES]; /* of the entry, for texts: printable */
};

printf_like(3, 4) static int refuse(struct unpacker *u, int rc, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(u->report.text, sizeof u->report.text, format, args);
	va_end(args);
	u->report.rc = rc;
	return rc;
}

static int refuse_errno(struct unpacker *u, const char *what)
{
	int err = errno;

	if (err == ENOSPC || err == EDQUOT)
		return refuse(u, ERR_NO_SPACE, "no space left for %s", u->path);
	if (err == ELOOP || err == EXDEV || err == ENOTDIR)
		return refuse(u, ERR_INVALID, "%s lies below a link or a file", u->path);
	if (err == EISDIR || err == EEXIST)
		return refuse(
			u, ERR_INVALID, "%s is in the archive twice, as different kinds", u->path);
	if (err == ENAMETOOLONG)
		return refuse(u, ERR_INVALID, "the name of %s is too long", u->path);
	return refuse(u, ERR_IO, "cannot %s %s: %s", what, u->path, strerror(err));
}

/* Remembers the name for texts, without what would disturb a log. */
static void name_entry(struct unpacker *u, const char *name)
{
	size_t n = strnlen(name, sizeof u->path - 1);

	n = n > 120 ? 120 : n;
	memcpy(u->path, name, n);
	u->path[n] = 0;
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)u->path[i] < 0x20 || u->path[i] == 0x7f)
			u->path[i] = '?';
}

/*
 * Takes "./" and empty components away: the clean relative path in `to`, and its depth. Empty for
 * the top itself.
 */
static int clean_path(struct unpacker *u, str name, char *to, unsigned *ret_depth)
{
	str part;
	char *at = to;
	unsigned depth = 0;

	if (name.n >= PATH_MAX_BYTES)
		return refuse(u, ERR_INVALID, "the name of %s is too long", u->path);
	if (!str_is_utf8(name))
		return refuse(u, ERR_INVALID, "the name of %s is not UTF-8", u->path);
	if (name.n && name.p[0] == '/')
		return refuse(u, ERR_INVALID, "%s is an absolute path", u->path);
	while (str_split(&name, '/', &part)) {
		if (!part.n || str_eq(part, STR(".")))
			continue;
		if (str_eq(part, STR("..")))
			return refuse(u, ERR_INVALID, "%s leads outside (\"..\")", u->path);
		if (at != to)
			*at++ = '/';
		memcpy(at, part.p, part.n);
		at += part.n;
		depth++;
	}
	*at = 0;
	if (depth > u->limits.depth + 1)
		return refuse(u, ERR_TOO_LARGE, "%s is nested deeper than %u folders", u->path,
			u->limits.depth);
	*ret_depth = depth;
	return 0;
}

/* Opens the folder that the entry goes into, making what is missing; links are not followed. */
static int open_parent(struct unpacker *u, char *path, char **ret_last)
{
	int at = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char *from = path, *slash;

	while (at >= 0 && (slash = strchr(from, '/')) != NULL) {
		int next;

		*slash = 0;
		if (mkdirat(at, from, 0755) != 0 && errno != EEXIST) {
			close(at);
			return refuse_errno(u, "make a folder for");
		}
		next = openat(at, from, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		*slash = '/';
		close(at);
		at = next;
		from = slash + 1;
	}
	if (at < 0)
		return refuse_errno(u, "open the folder of");
	*ret_last = from;
	return at;
}

static int count_bytes(struct unpacker *u, size_t n)
{
	uint64_t total = u->report.result.total_bytes += n;

	if (total > u->limits.total_bytes)
		return refuse(u, ERR_TOO_LARGE, "unpacked it is larger than %llu bytes",
			(unsigned long long)u->limits.total_bytes);
	if (total > RATIO_FREE && total / u->limits.ratio > u->packed_bytes)
		return refuse(u, ERR_TOO_LARGE, "it unpacks to more than %u times its size",
			u->limits.ratio);
	return 0;
}

static int write_block(struct unpacker *u, int fd, const char *p, size_t n, int64_t offset)
{
	while (n) {
		ssize_t done = pwrite(fd, p, n, offset);

		if (done < 0)
			return refuse_errno(u, "write");
		p += done;
		n -= (size_t)done;
		offset += done;
	}
	return 0;
}

static int unpack_file(struct unpacker *u, int parent, const char *name, bool executable)
{
	cleanup(sys_close_p) int fd =
		openat(parent, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
	static char block[BLOCK];
	int64_t offset = 0;
	la_ssize_t n;

	if (fd < 0)
		return refuse_errno(u, "make");
	while ((n = u->lib.archive_read_data(u->archive, block, sizeof block)) > 0) {
		TRY(count_bytes(u, (size_t)n));
		TRY(write_block(u, fd, block, (size_t)n, offset));
		offset += n;
	}
	if (n < 0)
		return refuse(u, ERR_INVALID, "%s is damaged: %s", u->path,
			u->lib.archive_error_string(u->archive)
				? u->lib.archive_error_string(u->archive)
				: "unreadable");
	/* Always: an earlier entry of this name may have left other bits. */
	if (fchmod(fd, executable ? 0755 : 0644) != 0)
		return refuse_errno(u, "set the mode of");
	return 0;
}

static int unpack_folder(struct unpacker *u, int parent, const char *name)
{
	struct stat st;

	if (mkdirat(parent, name, 0755) == 0)
		return 0;
	if (errno == EEXIST && fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		S_ISDIR(st.st_mode))
		return 0;
	errno = errno ? errno : EEXIST;
	return refuse_errno(u, "make the folder");
}

/* `depth` of the link itself, 1 at the top: its target may climb depth - 1 folders. */
static int unpack_link(
	struct unpacker *u, int parent, const char *name, const char *target, unsigned depth)
{
	str rest = str_c(target), part;
	int level = (int)depth - 1;

	if (!rest.n || rest.n > LINK_MAX_BYTES)
		return refuse(u, ERR_INVALID, "the link %s has an unusable target", u->path);
	if (rest.p[0] == '/')
		return refuse(u, ERR_INVALID, "the link %s leads outside (absolute)", u->path);
	while (str_split(&rest, '/', &part)) {
		if (str_eq(part, STR("..")))
			level--;
		else if (part.n && !str_eq(part, STR(".")))
			level++;
		if (level < 0)
			return refuse(
				u, ERR_INVALID, "the link %s leads outside (\"..\")", u->path);
	}
	TRY(count_bytes(u, strnlen(target, LINK_MAX_BYTES)));
	if (symlinkat(target, parent, name) != 0)
		return refuse_errno(u, "make the link");
	return 0;
}

/* --- layers of images ------------------------------------------------------------------------ */

#define WHITEOUT        ".wh."
#define WHITEOUT_OWN    ".wh..wh." /* of the tools that made the layer */
#define WHITEOUT_OPAQUE ".wh..wh..opq"

/* What the entry's name says about lower layers: 1 when it was such a name. */
static int unpack_whiteout(struct unpacker *u, int parent, const char *name)
{
	const char *hidden = name + sizeof WHITEOUT - 1;

	if (strncmp(name, WHITEOUT, sizeof WHITEOUT - 1) != 0)
		return 0;
	if (strcmp(name, WHITEOUT_OPAQUE) == 0) {
		if (fsetxattr(parent, "user.overlay.opaque", "y", 1, 0) != 0)
			return refuse_errno(u, "hide what is below (user attributes are needed)");
		return 1;
	}
	if (strncmp(name, WHITEOUT_OWN, sizeof WHITEOUT_OWN - 1) == 0)
		return 1;
	if (!*hidden || strcmp(hidden, ".") == 0 || strcmp(hidden, "..") == 0)
		return refuse(u, ERR_INVALID, "%s hides nothing that has a name", u->path);
	/* What this layer has itself under the name stays: only lower ones are meant. */
	if (mknodat(parent, hidden, S_IFCHR, 0) != 0 && errno != EEXIST)
		return refuse_errno(u, "make the whiteout");
	return 1;
}

/* A second name of an earlier file. */
static int unpack_hard_link(struct unpacker *u, int parent, const char *name, const char *target)
{
	char path[PATH_MAX_BYTES], *last = path;
	cleanup(sys_close_p) int from = -1;
	unsigned depth;

	TRY(clean_path(u, str_c(*target == '/' ? target + 1 : target), path, &depth));
	if (!*path)
		return refuse(u, ERR_INVALID, "%s is a link to nothing", u->path);
	from = open_parent(u, path, &last);
	if (from < 0)
		return u->report.rc;
	if (linkat(from, last, parent, name, 0) != 0) {
		if (errno == ENOENT)
			return refuse(u, ERR_INVALID,
				"%s is a link to a file that is not in its layer", u->path);
		return refuse_errno(u, "link");
	}
	return 0;
}

static int unpack_symlink(struct unpacker *u, int parent, const char *name, const char *target)
{
	size_t n = target ? strnlen(target, LINK_MAX_BYTES) : 0;

	if (!n || n == LINK_MAX_BYTES)
		return refuse(u, ERR_INVALID, "the link %s has an unusable target", u->path);
	TRY(count_bytes(u, n));
	if (symlinkat(target, parent, name) != 0)
		return refuse_errno(u, "make the link");
	return 0;
}

static int unpack_layer_entry(
	struct unpacker *u, struct archive_entry *entry, int parent, const char *name)
{
	const char *target = u->lib.archive_entry_hardlink(entry);

	if (TRY(unpack_whiteout(u, parent, name)))
		return 0;
	if (!target && u->lib.archive_entry_filetype(entry) == AE_IFDIR)
		return unpack_folder(u, parent, name);
	/* The last of a name counts; a file that has another name is not to be written through it.
	 */
	(void)!unlinkat(parent, name, 0);
	if (target)
		return unpack_hard_link(u, parent, name, target);
	switch (u->lib.archive_entry_filetype(entry)) {
	case AE_IFREG: return unpack_file(u, parent, name, u->lib.archive_entry_perm(entry) & 0111);
	case AE_IFLNK: return unpack_symlink(u, parent, name, u->lib.archive_entry_symlink(entry));
	default:
		return refuse(
			u, ERR_INVALID, "%s is neither a file, nor a folder, nor a link", u->path);
	}
}

/* --- all of it ------------------------------------------------------------------------------- */

static int unpack_entry(struct unpacker *u, struct archive_entry *entry)
{
	const char *name = u->lib.archive_entry_pathname_utf8(entry), *target;
	char path[PATH_MAX_BYTES], *last = path;
	unsigned depth = 0;
	cleanup(sys_close_p) int parent = -1;

	if (!name)
		name = u->lib.archive_entry_pathname(entry);
	if (!name)
		return refuse(u, ERR_INVALID, "an entry's name is not UTF-8");
	name_entry(u, name);
	if (++u->report.result.entries > u->limits.entries)
		return refuse(u, ERR_TOO_LARGE, "it has more than %u entries", u->limits.entries);
	if (u->lib.archive_entry_is_encrypted(entry))
		return refuse(u, ERR_INVALID, "%s is encrypted", u->path);
	TRY(clean_path(u, str_c(name), path, &depth));
	if (!u->layer && u->lib.archive_entry_hardlink(entry))
		return refuse(u, ERR_INVALID, "%s is a hard link", u->path);
	if (!*path)
		return u->lib.archive_entry_filetype(entry) == AE_IFDIR
			       ? 0
			       : refuse(u, ERR_INVALID, "an entry has no name");
	parent = open_parent(u, path, &last);
	if (parent < 0)
		return u->report.rc;
	if (u->layer)
		return unpack_layer_entry(u, entry, parent, last);
	switch (u->lib.archive_entry_filetype(entry)) {
	case AE_IFREG: return unpack_file(u, parent, last, u->lib.archive_entry_perm(entry) & 0111);
	case AE_IFDIR: return unpack_folder(u, parent, last);
	case AE_IFLNK:
		target = u->lib.archive_entry_symlink(entry);
		return unpack_link(u, parent, last, target ? target : "", depth);
	default:
		return refuse(
			u, ERR_INVALID, "%s is neither a file, nor a folder, nor a link", u->path);
	}
}

/* Never by a program: a filter that the library was built without is not there. */
static bool support(const struct unpacker *u)
{
	if (!u->layer)
		return u->lib.archive_read_support_format_zip(u->archive) == ARCHIVE_OK;
	(void)u->lib.archive_read_support_filter_gzip(u->archive);
	(void)u->lib.archive_read_support_filter_zstd(u->archive);
	return u->lib.archive_read_support_format_tar(u->archive) == ARCHIVE_OK;
}

static int unpack_all(struct unpacker *u)
{
	struct archive_entry *entry;
	int got;

	u->archive = u->lib.archive_read_new();
	if (!u->archive || !support(u) ||
		u->lib.archive_read_open_fd(u->archive, ARCHIVE_FD, BLOCK) != ARCHIVE_OK)
		return refuse(u, ERR_INVALID, "it is not a %s archive", u->layer ? "tar" : "zip");
	while ((got = u->lib.archive_read_next_header(u->archive, &entry)) == ARCHIVE_OK ||
		got == ARCHIVE_WARN)
		TRY(unpack_entry(u, entry));
	if (got != ARCHIVE_EOF)
		return refuse(u, ERR_INVALID, "%s",
			u->report.result.entries ? "the archive is damaged"
			: u->layer               ? "it is not a tar archive"
						 : "it is not a zip archive");
	if (!u->report.result.entries && !u->layer)
		return refuse(u, ERR_INVALID, "the archive is empty");
	return 0;
}

static void limit(int what, uint64_t value)
{
	struct rlimit to = {value, value};

	if (setrlimit((__rlimit_resource_t)what, &to) != 0)
		_exit(2);
}

/* From here on a break-in reaches the temporary folder and the archive, and nothing else. */
static int give_everything_up(const struct unpack_limits *limits, const struct filter *filter)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[2] = {{0, 0, 0}, {0, 0, 0}};
	const struct landlock_place here = {".", LANDLOCK_KEEP};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return -errno;
	if (chroot(".") != 0 && landlock_confine(&here, 1) < 0 &&
		(unshare(CLONE_NEWUSER) != 0 || chroot(".") != 0))
		return -errno;
	if (syscall(SYS_capset, &head, none) != 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
		return -errno;
	limit(RLIMIT_CPU, limits->seconds);
	limit(RLIMIT_FSIZE, limits->total_bytes + 1);
	limit(RLIMIT_NOFILE, 16);
	limit(RLIMIT_CORE, 0);
#ifndef __SANITIZE_ADDRESS__
	limit(RLIMIT_AS, MEMORY_MAX);
#endif
	return filter_install(filter);
}

static void *open_library(void)
{
	return dlopen("libarchive.so.13", RTLD_LAZY | RTLD_LOCAL | RTLD_NODELETE);
}

bool unpack_preload(void)
{
	return open_library() != NULL;
}

static bool load(struct libarchive *lib)
{
	void *handle = open_library();

	if (!handle)
		return false;
#define ARCHIVE(result, name, arguments)                       \
	lib->name = (result(*) arguments)dlsym(handle, #name); \
	if (!lib->name)                                        \
		return false;
#include "sandbox/libarchive.def"
#undef ARCHIVE
	return true;
}

noreturn_fn static void child(int archive, int folder, int report_fd, uint64_t packed_bytes,
	const struct unpack_limits *limits, bool layer, const struct filter *filter)
{
	struct unpacker u = {.limits = *limits, .packed_bytes = packed_bytes, .layer = layer};
	bool loaded;
	int rc;

	signal(SIGXFSZ, SIG_IGN);
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	umask(022);
	/* Names in UTF-8; its table has to be read while there are files. */
	uselocale(newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0));
	if (fchdir(folder) != 0 || lseek(archive, 0, SEEK_SET) != 0)
		_exit(2);
	/* First out of the way: each may have the number that the other is to get. */
	archive = fcntl(archive, F_DUPFD, REPORT_FD + 1);
	report_fd = fcntl(report_fd, F_DUPFD, REPORT_FD + 1);
	if (archive < 0 || report_fd < 0 || dup2(archive, ARCHIVE_FD) < 0 ||
		dup2(report_fd, REPORT_FD) < 0 || sys_close_range(REPORT_FD + 1, ~0u) != 0)
		_exit(2);
	loaded = load(&u.lib);
	rc = give_everything_up(limits, filter);
	if (!loaded)
		refuse(&u, ERR_UNSUPPORTED,
			"libarchive could not be loaded (package libarchive13): %s", dlerror());
	else if (rc < 0)
		refuse(&u, ERR_UNSUPPORTED,
			"cannot unpack in isolation: %s; run as root or allow user namespaces",
			strerror(-rc));
	else
		(void)!unpack_all(&u);
	(void)!write(REPORT_FD, &u.report, sizeof u.report);
	_exit(0);
}

/* --- the parent ----------------------------------------------------------------------------- */

static int remove_tree(int parent, const char *name, unsigned depth)
{
	cleanup(sys_close_p) int fd =
		openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = fd < 0 || depth == 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (dir) {
		while ((entry = readdir(dir)) != NULL) {
			if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
				continue;
			if (unlinkat(fd, entry->d_name, 0) != 0 &&
				(errno == EISDIR || errno == EPERM))
				(void)!remove_tree(fd, entry->d_name, depth - 1);
		}
		fd = -1;
		closedir(dir);
	}
	return unlinkat(parent, name, AT_REMOVEDIR) == 0 ? 0 : rc_from_errno(errno);
}

enum { TREE_DEPTH_MAX = 300 };

static int wait_child(pid_t pid, int report_fd, struct report *ret_report)
{
	ssize_t n = read(report_fd, ret_report, sizeof *ret_report);
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return ERR_INTERNAL;
	if (n == sizeof *ret_report)
		return ret_report->rc;
	*ret_report = (struct report){.rc = ERR_INVALID};
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGXCPU) {
		ret_report->rc = ERR_TOO_LARGE;
		snprintf(ret_report->text, sizeof ret_report->text, "unpacking takes too long");
	} else {
		snprintf(ret_report->text, sizeof ret_report->text,
			"the archive breaks the unpacking process (%s %d)",
			WIFSIGNALED(status) ? "signal" : "status",
			WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	}
	return ret_report->rc;
}

static int run_child(int archive, int folder, uint64_t packed_bytes,
	const struct unpack_limits *limits, bool layer, struct report *ret_report)
{
	static struct filter filters[2];
	struct filter *filter = &filters[layer];
	int pair[2], rc;
	pid_t pid;

	TRY(filter_build_unpack(layer, filter));
	if (pipe2(pair, O_CLOEXEC) != 0)
		return rc_from_errno(errno);
	/*
	 * Not sys_fork(): other threads run here, and a lock of malloc() that one of them holds
	 * would stay locked in the child for ever. What libraries do at a fork does no harm yet.
	 */
	pid = fork();
	if (pid == 0)
		child(archive, folder, pair[1], packed_bytes, limits, layer, filter);
	close(pair[1]);
	rc = pid < 0 ? rc_from_errno(errno) : wait_child(pid, pair[0], ret_report);
	close(pair[0]);
	return rc;
}

/* Everything is on disk before the name appears. */
static int publish(
	int folder_fd, const char *temporary, int fd, const char *name, bool *ret_existed)
{
	if (fchmod(fd, 0755) != 0 || syncfs(fd) != 0)
		return rc_from_errno(errno);
	if (renameat2(folder_fd, temporary, folder_fd, name, RENAME_NOREPLACE) != 0) {
		if (errno != EEXIST)
			return rc_from_errno(errno);
		*ret_existed = true; /* somebody else was faster with the same bytes */
		return 0;
	}
	return fsync(folder_fd) == 0 ? 0 : rc_from_errno(errno);
}

static struct unpack_limits with_defaults(const struct unpack_limits *limits)
{
	struct unpack_limits l = limits ? *limits : (struct unpack_limits){0};

	l.total_bytes = l.total_bytes ? l.total_bytes : 250ull << 20;
	l.ratio = l.ratio ? l.ratio : 1100;
	l.entries = l.entries ? l.entries : 100000;
	l.depth = l.depth ? l.depth : 64;
	l.depth = l.depth > 200 ? 200 : l.depth;
	l.seconds = l.seconds ? l.seconds : 60;
	return l;
}

static bool name_ok(const char *name)
{
	return *name && *name != '.' && !strchr(name, '/');
}

static int unpack(int archive_fd, int folder_fd, const char *name,
	const struct unpack_limits *limits, bool layer, struct unpack_result *ret_result,
	struct sandbox_error *error)
{
	struct unpack_limits l = with_defaults(limits);
	struct report report = {0};
	char temporary[64];
	struct timespec now;
	struct stat st;
	bool existed = false;
	cleanup(sys_close_p) int fd = -1;
	int rc;

	if (!name_ok(name) || fstat(archive_fd, &st) != 0 || !S_ISREG(st.st_mode))
		return ERR_INVALID;
	if (faccessat(folder_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
		*ret_result = (struct unpack_result){.existed = true};
		return 0;
	}
	clock_gettime(CLOCK_MONOTONIC, &now);
	snprintf(temporary, sizeof temporary, "%s%d-%lld.%09ld", TEMPORARY, (int)getpid(),
		(long long)now.tv_sec, now.tv_nsec);
	if (mkdirat(folder_fd, temporary, 0700) != 0)
		return rc_from_errno(errno);
	fd = openat(folder_fd, temporary, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	rc = fd < 0 ? rc_from_errno(errno)
		    : run_child(archive_fd, fd, (uint64_t)st.st_size, &l, layer, &report);
	if (rc == 0)
		rc = publish(folder_fd, temporary, fd, name, &existed);
	if (rc < 0 || existed)
		(void)!remove_tree(folder_fd, temporary, TREE_DEPTH_MAX);
	if (rc < 0) {
		memcpy(error->text, report.text, sizeof error->text);
		if (!error->text[0])
			snprintf(error->text, sizeof error->text, "cannot unpack: %s", rc_text(rc));
		return rc;
	}
	*ret_result = report.result;
	ret_result->existed = existed;
	return 0;
}

int unpack_zip(int archive_fd, int folder_fd, const char *name, const struct unpack_limits *limits,
	struct unpack_result *ret_result, struct sandbox_error *error)
{
	return unpack(archive_fd, folder_fd, name, limits, false, ret_result, error);
}

int unpack_layer(int archive_fd, int folder_fd, const char *name,
	const struct unpack_limits *limits, struct unpack_result *ret_result,
	struct sandbox_error *error)
{
	return unpack(archive_fd, folder_fd, name, limits, true, ret_result, error);
}

int unpack_sweep(int folder_fd)
{
	int fd = openat(folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!dir) {
		rc = rc_from_errno(errno);
		sys_close_p(&fd);
		return rc;
	}
	while ((entry = readdir(dir)) != NULL)
		if (strncmp(entry->d_name, TEMPORARY, sizeof TEMPORARY - 1) == 0) {
			int one = remove_tree(fd, entry->d_name, TREE_DEPTH_MAX);

			rc = one < 0 ? one : rc;
		}
	closedir(dir);
	return rc;
}
