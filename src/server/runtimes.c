/*
 * Laying out the runtimes' programs. A file is written only when it is not there already with these
 * bytes, and by rename, so that a container never sees half of one. Not synced: each start
 * compares.
 */
#include "server/runtimes.h"

#include "base/json.h"
#include "base/rc.h"
#include "server/embedded.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_BYTES_MAX = 4 << 20, MANIFEST_BYTES_MAX = 32 << 10, MANIFEST_DEPTH = 8 };

#define NOT_BELOW ": not a program below /usr, which is what containers see"

static int make_folder(const char *path)
{
	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		return rc_from_errno(errno);
	/* Whatever the process's umask says. */
	return chmod(path, 0755) < 0 ? rc_from_errno(errno) : 0;
}

static bool same_content(const char *path, str wanted)
{
	char block[4096];
	size_t at = 0;
	ssize_t n;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool same = fd >= 0;

	while (same && (n = read(fd, block, sizeof block)) > 0) {
		same = (size_t)n <= wanted.n - at && memcmp(block, wanted.p + at, (size_t)n) == 0;
		at += (size_t)n;
	}
	if (fd >= 0)
		close(fd);
	return same && at == wanted.n;
}

/* Programs are known by their first bytes. */
static mode_t mode_of(str content)
{
	return str_starts(content, STR("\177ELF")) ? 0755 : 0644;
}

static int write_file(struct arena *a, const char *path, str content)
{
	const char *temporary = arena_printf(a, "%s.new", path).p;
	int fd, rc = 0;

	if (same_content(path, content))
		return 0;
	fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		return rc_from_errno(errno);
	if (write(fd, content.p, content.n) != (ssize_t)content.n ||
		fchmod(fd, mode_of(content)) < 0 || rename(temporary, path) < 0)
		rc = rc_from_errno(errno);
	close(fd);
	return rc;
}

int runtimes_install(const char *data_folder)
{
	struct arena a cleanup(arena_done_p);

	arena_init(&a, 1 << 20);
	TRY(make_folder(arena_printf(&a, "%s/runtimes", data_folder).p));
	for (const struct embedded_file *f = embedded_files; f->path; f++) {
		str path = str_c(f->path);
		ptrdiff_t slash = str_find_last(path, '/');

		if (slash > 0)
			TRY(make_folder(arena_printf(
				&a, "%s/runtimes/%.*s", data_folder, (int)slash, path.p)
						.p));
		TRY(write_file(&a, arena_printf(&a, "%s/runtimes/%s", data_folder, f->path).p,
			str_of(f->begin, (size_t)(f->end - f->begin))));
	}
	/* What packages are mounted on, which stays empty without. */
	return make_folder(arena_printf(&a, "%s/runtimes/node/node_modules", data_folder).p);
}

int runtimes_check(const struct options *options, str *ret_message)
{
	const struct {
		const char *path;
		str message;
	} chosen[] = {
		{options->runtime_node, STR_INIT("--runtime-node" NOT_BELOW)},
		{options->runtime_python, STR_INIT("--runtime-python" NOT_BELOW)},
		{options->runtime_ruby, STR_INIT("--runtime-ruby" NOT_BELOW)},
		{options->runtime_java, STR_INIT("--runtime-java" NOT_BELOW)},
	};

	for (size_t i = 0; i < ARRAY_SIZE(chosen); i++) {
		if (!*chosen[i].path)
			continue;
		if (!str_starts(str_c(chosen[i].path), STR("/usr/")) ||
			access(chosen[i].path, X_OK) != 0) {
			*ret_message = chosen[i].message;
			return ERR_INVALID;
		}
	}
	return 0;
}

static bool is_folder(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

int runtimes_find_packages(
	struct options *options, struct arena *arena, const char *program, str *ret_message)
{
	static const str name = STR_INIT("/node_modules");
	const char *chosen = options->node_modules;
	char path[PATH_MAX];
	str folder;

	if (*chosen) {
		if (!realpath(chosen, path) || !is_folder(path) || !str_ends(str_c(path), name)) {
			*ret_message = arena_printf(arena,
				"--node-modules: '%s' is not a folder named node_modules", chosen);
			return ERR_INVALID;
		}
	} else {
		if (!realpath(program ? program : "/proc/self/exe", path))
			return 0;
		folder = str_sub(str_c(path), 0, (size_t)MAX(str_find_last(str_c(path), '/'), 0));
		folder = arena_printf(arena, "%.*s/../lib/cirrus/node_modules", STR_ARG(folder));
		if (!is_folder(folder.p) || !realpath(folder.p, path))
			return 0;
	}
	options->node_modules = arena_printf(arena, "%s", path).p;
	return 0;
}

/* Members of a package's manifest that are not its version are passed over. */
static int read_version(struct arena *arena, str manifest, str *ret_version)
{
	struct json_reader r;
	str key;

	json_reader_init(&r, manifest, arena, MANIFEST_DEPTH);
	TRY(json_object_begin(&r));
	while (TRY(json_object_next(&r, &key)) > 0) {
		if (str_eq(key, STR("version")))
			return json_string(&r, ret_version);
		TRY(json_skip(&r));
	}
	return ERR_NOT_FOUND;
}

int runtimes_sdk_version(const char *node_modules, struct arena *arena, str *ret_version)
{
	static const char client[] = "@aws-sdk/client-dynamodb";
	char *text = arena_new_array(arena, char, MANIFEST_BYTES_MAX);
	struct stat folder = {0}, file = {0};
	ssize_t n;
	int fd = open(arena_printf(arena, "%s/%s/package.json", node_modules, client).p,
		O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return errno == EACCES ? ERR_DENIED : ERR_NOT_FOUND;
	(void)!(fstat(fd, &file) | stat(node_modules, &folder));
	n = read(fd, text, MANIFEST_BYTES_MAX);
	close(fd);
	if (!(file.st_mode & S_IROTH) || !(folder.st_mode & S_IXOTH))
		return ERR_DENIED;
	return n < 0 || read_version(arena, str_of(text, (size_t)n), ret_version) < 0
		       ? ERR_NOT_FOUND
		       : 0;
}

/* The option's path, else the first that exists; NULL without. */
static const char *program(const char *chosen, const char *const *places)
{
	if (*chosen)
		return chosen;
	for (; *places; places++)
		if (access(*places, X_OK) == 0)
			return *places;
	return NULL;
}

const char *runtimes_node(const struct options *options)
{
	static const char *const places[] = {"/usr/local/bin/node", "/usr/bin/node", NULL};

	return program(options->runtime_node, places);
}

const char *runtimes_python(const struct options *options)
{
	static const char *const places[] = {"/usr/bin/python3", NULL};

	return program(options->runtime_python, places);
}

const char *runtimes_ruby(const struct options *options)
{
	static const char *const places[] = {"/usr/local/bin/ruby", "/usr/bin/ruby", NULL};

	return program(options->runtime_ruby, places);
}

const char *runtimes_java(const struct options *options)
{
	static const char *const places[] = {"/usr/local/bin/java", "/usr/bin/java", NULL};

	for (const struct embedded_file *f = embedded_files; f->path; f++)
		if (str_eq(str_c(f->path), STR("java/runtime.jar")))
			return program(options->runtime_java, places);
	return NULL;
}
