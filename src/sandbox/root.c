/*
 * Builds the launcher's mount namespace and the template tree, once, at its start. The template
 * shows programs and libraries (/usr), and from /etc single files only; never the rest of the host.
 */
#include "sandbox/root.h"

#include "sandbox/sys.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

enum { ROOTS_MAX = 16, COPY_MAX = 1 << 20 };

static int fail(struct sandbox_error *error, const char *step, const char *what)
{
	int err = errno;

	snprintf(error->text, sizeof error->text, "%s %s: %s", step, what, strerror(err));
	return err ? -err : -EIO;
}

static int clone_tree(const char *path, bool deep)
{
	return open_tree(AT_FDCWD, path,
		OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (deep ? (unsigned)AT_RECURSIVE : 0));
}

static int place(int tree, const char *to)
{
	return move_mount(tree, "", AT_FDCWD, to, MOVE_MOUNT_F_EMPTY_PATH);
}

static int protect(const char *path, uint64_t attributes, bool deep)
{
	struct mount_attr set = {.attr_set = attributes};

	return mount_setattr(AT_FDCWD, path, deep ? AT_RECURSIVE : 0, &set, sizeof set);
}

/* --- the template --------------------------------------------------------------------------- */

static const char *const folders[] = {"template", "template/usr", "template/etc",
	"template/etc/ssl", "template/etc/ssl/certs", "template/etc/alternatives", "template/var",
	"template/var/task", "template/var/runtime", "template/var/lang", "template/var/tmp",
	"template/var/snapshot", "template/opt", "template/tmp", "template/proc", "template/sys",
	"template/dev", "template/run", "template/home", "template/root", "template/mnt"};

/*
 * Node.js looks for packages of ES modules in node_modules of every folder above a module, and
 * nowhere else: above /var/task these are a layer's packages and then the runtime's.
 */
static const struct {
	const char *to, *at;
} links[] = {{"../opt/nodejs/node_modules", "template/var/node_modules"},
	{"var/runtime/node_modules", "template/node_modules"}};

/* Small files of the host's /etc that programs read; those that are not there are left out. */
static const char *const copied[] = {"ld.so.cache", "localtime", "ssl/openssl.cnf", "services",
	"protocols", "mime.types", "gai.conf", "locale.alias", "timezone"};

static const struct {
	const char *name, *text;
} written[] = {
	{"passwd", "root:x:0:0:root:/root:/usr/sbin/nologin\n"
		   "sbx_user1051:x:993:993::/home/sbx_user1051:/usr/sbin/nologin\n"
		   "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"},
	{"group", "root:x:0:\nsbx_user1051:x:993:\nnogroup:x:65534:\n"},
	{"hosts", "127.0.0.1 localhost sandbox.localdomain sandbox\n"},
	{"resolv.conf", "nameserver 127.0.0.1\noptions timeout:5 attempts:2\n"},
	{"nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\nservices: files\n"
			  "protocols: files\n"},
	{"host.conf", "multi on\n"},
};

static const struct {
	const char *name;
	unsigned major, minor;
} devices[] = {{"null", 1, 3}, {"zero", 1, 5}, {"full", 1, 7}, {"random", 1, 8}, {"urandom", 1, 9}};

static int write_file(const char *path, const char *text, size_t n)
{
	cleanup(sys_close_p) int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

	if (fd < 0)
		return -1;
	while (n) {
		ssize_t done = write(fd, text, n);

		if (done <= 0)
			return -1;
		text += done;
		n -= (size_t)done;
	}
	return 0;
}

static int copy_file(const char *from, const char *to)
{
	cleanup(sys_close_p) int in = open(from, O_RDONLY | O_CLOEXEC);
	cleanup(sys_close_p) int out = -1;
	char piece[16384];
	ssize_t n;
	size_t total = 0;

	if (in < 0)
		return errno == ENOENT || errno == EACCES ? 0 : -1;
	out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (out < 0)
		return -1;
	while ((n = read(in, piece, sizeof piece)) > 0 && (total += (size_t)n) <= COPY_MAX)
		if (write(out, piece, (size_t)n) != n)
			return -1;
	return n < 0 ? -1 : 0;
}

/* /bin, /lib and so on: links into /usr where the host has merged them, else folders. */
static int top_entry(const char *name)
{
	char from[64], to[64], target[256];
	ssize_t n;
	struct stat st;

	snprintf(from, sizeof from, "/%s", name);
	snprintf(to, sizeof to, "template/%s", name);
	if (lstat(from, &st) != 0)
		return errno == ENOENT ? 0 : -1;
	if (S_ISLNK(st.st_mode)) {
		n = readlink(from, target, sizeof target - 1);
		if (n < 0)
			return -1;
		target[n] = 0;
		return symlink(target, to);
	}
	{
		cleanup(sys_close_p) int tree = clone_tree(from, true);

		return tree < 0 || mkdir(to, 0755) != 0 || place(tree, to) != 0 ? -1 : 0;
	}
}

static int build_etc(struct sandbox_error *error)
{
	char from[128], to[128];

	for (size_t i = 0; i < ARRAY_SIZE(copied); i++) {
		snprintf(from, sizeof from, "/etc/%s", copied[i]);
		snprintf(to, sizeof to, "template/etc/%s", copied[i]);
		if (copy_file(from, to) != 0)
			return fail(error, "copy", from);
	}
	for (size_t i = 0; i < ARRAY_SIZE(written); i++) {
		snprintf(to, sizeof to, "template/etc/%s", written[i].name);
		if (write_file(to, written[i].text, strlen(written[i].text)) != 0)
			return fail(error, "write", to);
	}
	if (symlink("../usr/lib/os-release", "template/etc/os-release") != 0)
		return fail(error, "link", "/etc/os-release");
	return 0;
}

static int build_dev(struct sandbox_error *error)
{
	bool made = true;
	char to[64], from[64];
	mode_t mask = umask(0);

	if (mount("tmpfs", "template/dev", "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=0755,size=64k") !=
		0)
		return fail(error, "mount", "/dev");
	for (size_t i = 0; i < ARRAY_SIZE(devices); i++) {
		snprintf(to, sizeof to, "template/dev/%s", devices[i].name);
		/* A user namespace cannot make devices: there the host's are shown. */
		made = made &&
		       mknod(to, S_IFCHR | 0666, makedev(devices[i].major, devices[i].minor)) == 0;
		if (!made) {
			cleanup(sys_close_p) int tree = -1;

			snprintf(from, sizeof from, "/dev/%s", devices[i].name);
			tree = clone_tree(from, false);
			if (tree < 0 || write_file(to, "", 0) != 0 || place(tree, to) != 0)
				return fail(error, "show", from);
		}
	}
	umask(mask);
	if (symlink("/proc/self/fd", "template/dev/fd") != 0 ||
		symlink("/proc/self/fd/0", "template/dev/stdin") != 0 ||
		symlink("/proc/self/fd/1", "template/dev/stdout") != 0 ||
		symlink("/proc/self/fd/2", "template/dev/stderr") != 0)
		return fail(error, "link in", "/dev");
	return 0;
}

static int show(const char *from, const char *to, struct sandbox_error *error)
{
	cleanup(sys_close_p) int tree = clone_tree(from, true);

	if (tree < 0)
		return errno == ENOENT ? 0 : fail(error, "clone", from);
	return place(tree, to) == 0 ? 0 : fail(error, "mount", from);
}

/* Where Debian keeps files that a Java machine does not start without. */
static int show_java(struct sandbox_error *error)
{
	DIR *d = opendir("/etc");
	struct dirent *e;
	char from[128], to[128];
	int rc = 0;

	while (d && rc == 0 && (e = readdir(d))) {
		size_t n = strlen(e->d_name);

		if (strncmp(e->d_name, "java-", 5) != 0 || n < 8 || n > 64 ||
			strcmp(e->d_name + n - 8, "-openjdk") != 0)
			continue;
		snprintf(from, sizeof from, "/etc/%.64s", e->d_name);
		snprintf(to, sizeof to, "template/etc/%.64s", e->d_name);
		rc = mkdir(to, 0755) != 0 ? fail(error, "make", from) : show(from, to, error);
	}
	if (d)
		closedir(d);
	return rc;
}

static int build_template(struct sandbox_error *error)
{
	static const char *const top[] = {"bin", "sbin", "lib", "lib32", "lib64", "libx32"};
	int rc;

	for (size_t i = 0; i < ARRAY_SIZE(folders); i++)
		if (mkdir(folders[i], 0755) != 0)
			return fail(error, "make", folders[i]);
	for (size_t i = 0; i < ARRAY_SIZE(links); i++)
		if (symlink(links[i].to, links[i].at) != 0)
			return fail(error, "link", links[i].at);
	for (size_t i = 0; i < ARRAY_SIZE(top); i++)
		if (top_entry(top[i]) != 0)
			return fail(error, "show", top[i]);
	rc = build_etc(error);
	if (rc == 0)
		rc = show("/usr", "template/usr", error);
	if (rc == 0)
		rc = show("/etc/ssl/certs", "template/etc/ssl/certs", error);
	if (rc == 0)
		rc = show("/etc/alternatives", "template/etc/alternatives", error);
	if (rc == 0)
		rc = show_java(error);
	if (rc != 0)
		return rc;
	/* A mount of its own, so that it can be cloned with all that is below it. */
	if (mount("template", "template", NULL, MS_BIND | MS_REC, NULL) != 0)
		return fail(error, "bind", "template");
	if (protect("template", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, true) != 0)
		return fail(error, "protect", "template");
	rc = build_dev(error);
	if (rc != 0)
		return rc;
	if (protect("template", MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID, true) != 0)
		return fail(error, "protect", "template");
	return 0;
}

/* Whatever an image has in these places, a folder is there to mount on, and the network is ours. */
static int build_image(struct sandbox_error *error)
{
	static const char *const places[] = {
		"image", "image/dev", "image/proc", "image/sys", "image/tmp", "image/etc"};
	static const char *const files[] = {"hosts", "resolv.conf"};
	char from[64], to[64];

	for (size_t i = 0; i < ARRAY_SIZE(places); i++)
		if (mkdir(places[i], 0755) != 0)
			return fail(error, "make", places[i]);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		snprintf(from, sizeof from, "template/etc/%s", files[i]);
		snprintf(to, sizeof to, "image/etc/%s", files[i]);
		if (copy_file(from, to) != 0)
			return fail(error, "copy", from);
	}
	return 0;
}

/* --- the launcher's own --------------------------------------------------------------------- */

static int build_own(const struct launcher_options *options, const int *roots, unsigned root_count,
	int data, struct sandbox_error *error)
{
	static const char *const own[] = {"data", "roots", "stage", "stage/root", "stage/proc",
		"proc", "empty", "empty/folder", "old"};
	char path[32];
	int rc;

	for (size_t i = 0; i < ARRAY_SIZE(own); i++)
		if (mkdir(own[i], 0755) != 0)
			return fail(error, "make", own[i]);
	if (write_file("empty/file", "", 0) != 0)
		return fail(error, "make", "empty/file");
	rc = show("/proc", "proc", error);
	if (rc == 0)
		rc = build_template(error);
	if (rc == 0)
		rc = build_image(error);
	if (rc != 0)
		return rc;
	if (place(data, "data") != 0)
		return fail(error, "mount", options->data_folder);
	for (unsigned i = 0; i < root_count; i++) {
		snprintf(path, sizeof path, "roots/%u", i);
		if (mkdir(path, 0755) != 0 || place(roots[i], path) != 0)
			return fail(error, "mount", options->runtime_roots[i]);
	}
	return 0;
}

static int build_all(const struct launcher_options *options, int *roots, unsigned *root_count,
	int *data, struct sandbox_error *error)
{
	int rc;

	if (unshare(CLONE_NEWNS) != 0)
		return fail(error, "new", "mount namespace");
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
		return fail(error, "make private", "/");
	*data = clone_tree(options->data_folder, false);
	if (*data < 0)
		return fail(error, "clone", options->data_folder);
	for (; options->runtime_roots && options->runtime_roots[*root_count]; ++*root_count) {
		if (*root_count == ROOTS_MAX) {
			errno = E2BIG;
			return fail(error, "mount", "runtime roots");
		}
		roots[*root_count] = clone_tree(options->runtime_roots[*root_count], true);
		if (roots[*root_count] < 0)
			return fail(error, "clone", options->runtime_roots[*root_count]);
	}
	/* Any folder will do to mount the new root on, and this one is sure to be there. */
	if (mount("tmpfs", options->data_folder, "tmpfs", MS_NOSUID | MS_NODEV,
		    "mode=0755,size=16m") != 0)
		return fail(error, "mount", "tmpfs");
	if (chdir(options->data_folder) != 0)
		return fail(error, "enter", options->data_folder);
	rc = build_own(options, roots, *root_count, *data, error);
	if (rc != 0)
		return rc;
	if (sys_pivot_root(".", "old") != 0)
		return fail(error, "pivot to", "the new root");
	if (umount2("/old", MNT_DETACH) != 0)
		return fail(error, "unmount", "the old root");
	if (chdir("/") != 0 || protect("/", MOUNT_ATTR_RDONLY, false) != 0)
		return fail(error, "protect", "/");
	return 0;
}

int root_build(const struct launcher_options *options, struct sandbox_error *error)
{
	int roots[ROOTS_MAX], data = -1, rc;
	unsigned root_count = 0;

	rc = build_all(options, roots, &root_count, &data, error);
	sys_close_p(&data);
	for (unsigned i = 0; i < root_count; i++)
		sys_close_p(&roots[i]);
	return rc;
}
