/*
 * Control groups by controller: one small table of file names for each version.
 */
#include "sandbox/cgroup.h"

#include "base/check.h"
#include "sandbox/sys.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

enum { SWEEP_TRIES = 100, SWEEP_PAUSE_NS = 2000000 };

static const char PREFIX[] = "cirrus.";
static const char MAIN[] = "cirrus.main"; /* of what was in a delegated group before */

static const char PARKED[] = "parked", PARKED_STATE[] = "parked/freezer.state";

static const struct {
	const char *name;       /* as in cgroup.controllers and in mount options */
	const char *control[3]; /* by version: what the worker holds a descriptor of */
	int control_flags;
} controllers[CGROUP_COUNT] = {
	[CGROUP_MEMORY] = {"memory", {NULL, "memory.max_usage_in_bytes", "memory.peak"}, O_RDONLY},
	[CGROUP_CPU] = {"cpu", {NULL, "cpu.cfs_quota_us", "cpu.max"}, O_WRONLY},
	[CGROUP_PIDS] = {"pids", {NULL, NULL, NULL}, 0},
	[CGROUP_FREEZER] = {"freezer", {NULL, "freezer.state", "cgroup.freeze"}, O_WRONLY},
};

/* --- finding -------------------------------------------------------------------------------- */

/* Is `word` one of the comma- or space-separated words of `list`? */
static bool has_word(const char *list, const char *word)
{
	size_t n = strlen(word);

	for (const char *at = list; (at = strstr(at, word)) != NULL; at += n)
		if ((at == list || strchr(", \n", at[-1])) && (!at[n] || strchr(", \n", at[n])))
			return true;
	return false;
}

/* The mount point of the v1 hierarchy of a controller, or of v2 (controller NULL). */
static bool find_mount(const char *controller, char *ret_path, size_t n)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	char line[4096];
	bool found = false;

	if (!f)
		return false;
	while (!found && fgets(line, sizeof line, f)) {
		char *dash = strstr(line, " - "), type[32], options[512];
		char root[1024], point[1024];

		if (!dash || sscanf(dash, " - %31s %*s %511s", type, options) != 2 ||
			sscanf(line, "%*s %*s %*s %1023s %1023s", root, point) != 2)
			continue;
		if (controller ? strcmp(type, "cgroup") != 0 || !has_word(options, controller)
			       : strcmp(type, "cgroup2") != 0)
			continue;
		found = (size_t)snprintf(ret_path, n, "%s", point) < n;
	}
	fclose(f);
	return found;
}

/* Where empty_group() has put us, or who started us, is not where groups are made. */
static void drop_main(char *path)
{
	size_t n = strlen(path), tail = strlen(MAIN) + 1;

	if (n >= tail && path[n - tail] == '/' && strcmp(path + n - tail + 1, MAIN) == 0)
		path[n - tail] = 0;
}

/* The group that this process is in, as a path below the mount point. */
static bool find_own(const char *controller, char *ret_path, size_t n)
{
	FILE *f = fopen("/proc/self/cgroup", "re");
	char line[4096];
	bool found = false;

	if (!f)
		return false;
	while (!found && fgets(line, sizeof line, f)) {
		char *names = strchr(line, ':'), *path = names ? strchr(names + 1, ':') : NULL;

		if (!path)
			continue;
		*path++ = 0;
		path[strcspn(path, "\n")] = 0;
		names++;
		if (controller ? !has_word(names, controller) : *names != 0)
			continue;
		drop_main(path);
		found = (size_t)snprintf(ret_path, n, "%s", path) < n;
	}
	fclose(f);
	return found;
}

static int open_folder(int dir, const char *path)
{
	return openat(dir, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
}

/* The start time of a process in ticks since boot, so that a number used again is told apart. */
/* A number means a process only within its pid namespace: groups of another one are not ours to
 * judge. */
static unsigned long long pid_namespace(void)
{
	struct stat st;

	return stat("/proc/self/ns/pid", &st) == 0 ? (unsigned long long)st.st_ino : 0;
}

static uint64_t start_time(pid_t pid)
{
	char path[64], text[1024], *at;

	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	if (sys_read_file(AT_FDCWD, path, text, sizeof text) < 0 || !(at = strrchr(text, ')')))
		return 0;
	for (int field = 2; at && field < 22; field++)
		at = strchr(at + 1, ' ');
	return at ? strtoull(at, NULL, 10) : 0;
}

/* Removes a group with everything below it; it holds no process. */
static void remove_tree(int parent, const char *name)
{
	int fd = open_folder(parent, name);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (dir) {
		while ((entry = readdir(dir)) != NULL)
			if (entry->d_type == DT_DIR && entry->d_name[0] != '.')
				unlinkat(fd, entry->d_name, AT_REMOVEDIR);
		closedir(dir);
	} else if (fd >= 0) {
		close(fd);
	}
	unlinkat(parent, name, AT_REMOVEDIR);
}

/*
 * Kills what is in the cells of a group. A frozen process takes its death, which may have come
 * before, only when it is thawed.
 */
static void kill_cells(int parent, const char *name)
{
	int fd = open_folder(parent, name);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!dir) {
		sys_close_p(&fd);
		return;
	}
	while ((entry = readdir(dir)) != NULL) {
		char path[300], pids[8192], *at = pids;

		if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof path, "%s/cgroup.procs", entry->d_name);
		if (sys_read_file(fd, path, pids, sizeof pids) > 0)
			for (char *end; (end = strchr(at, '\n')) != NULL; at = end + 1)
				kill((pid_t)strtol(at, NULL, 10), SIGKILL);
		snprintf(path, sizeof path, "%s/freezer.state", entry->d_name);
		(void)!sys_write_file(fd, path, "THAWED");
		snprintf(path, sizeof path, "%s/cgroup.freeze", entry->d_name);
		(void)!sys_write_file(fd, path, "0");
	}
	closedir(dir);
}

/* Groups of launchers that are gone, and what is left in them. False when some could not go yet. */
static bool sweep(int parent)
{
	int fd = open_folder(parent, ".");
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	bool clean = true;

	if (!dir) {
		sys_close_p(&fd);
		return true;
	}
	while ((entry = readdir(dir)) != NULL) {
		int pid;
		unsigned long long started, space;

		if (entry->d_type != DT_DIR ||
			sscanf(entry->d_name, "cirrus.%llu.%d.%llu", &space, &pid, &started) != 3 ||
			space != pid_namespace() || start_time(pid) == started)
			continue;
		kill_cells(parent, entry->d_name);
		remove_tree(parent, entry->d_name);
		clean = clean && faccessat(parent, entry->d_name, F_OK, 0) != 0;
	}
	closedir(dir);
	return clean;
}

static void open_group(struct cgroups *g, enum cgroup_controller c, unsigned version, int parent)
{
	int fd;

	if (mkdirat(parent, g->name, 0755) != 0 && errno != EEXIST)
		return;
	fd = open_folder(parent, g->name);
	if (fd < 0)
		return;
	g->version[c] = (uint8_t)version;
	g->group_fd[c] = fd;
	g->parent_fd[c] = fcntl(parent, F_DUPFD_CLOEXEC, 0);
}

static void open_v1(struct cgroups *g, enum cgroup_controller c)
{
	char mount[1024], own[1024], path[2100];
	cleanup(sys_close_p) int parent = -1;

	if (!find_mount(controllers[c].name, mount, sizeof mount) ||
		!find_own(controllers[c].name, own, sizeof own))
		return;
	snprintf(path, sizeof path, "%s%s", mount, own);
	parent = open_folder(AT_FDCWD, path);
	if (parent >= 0)
		open_group(g, c, 1, parent);
}

/*
 * A v2 group with processes cannot hand controllers down, so as an ordinary user (a delegated
 * group) everything in it moves to a leaf first.
 */
static void empty_group(int parent)
{
	char path[64], pids[8192], *at = pids;

	snprintf(path, sizeof path, "%s/cgroup.procs", MAIN);
	if (mkdirat(parent, MAIN, 0755) != 0 && errno != EEXIST)
		return;
	if (sys_read_file(parent, "cgroup.procs", pids, sizeof pids) <= 0)
		return;
	for (char *end; (end = strchr(at, '\n')) != NULL; at = end + 1) {
		*end = 0;
		(void)!sys_write_file(parent, path, at);
	}
}

static void enable_v2(int group, char *ret_enabled, size_t n)
{
	char have[512];

	if (sys_read_file(group, "cgroup.controllers", have, sizeof have) > 0)
		for (int c = CGROUP_MEMORY; c <= CGROUP_PIDS; c++) {
			char word[32];

			snprintf(word, sizeof word, "+%s", controllers[c].name);
			if (has_word(have, controllers[c].name))
				(void)!sys_write_file(group, "cgroup.subtree_control", word);
		}
	if (sys_read_file(group, "cgroup.subtree_control", ret_enabled, n) < 0)
		*ret_enabled = 0;
}

static void open_v2(struct cgroups *g)
{
	char mount[1024], own[1024], path[2100], enabled[512];
	cleanup(sys_close_p) int parent = -1;
	struct cgroups found = {.group_fd = {-1, -1, -1, -1}, .parent_fd = {-1, -1, -1, -1}};

	if (!find_mount(NULL, mount, sizeof mount) || !find_own(NULL, own, sizeof own))
		return;
	snprintf(path, sizeof path, "%s%s", mount, geteuid() == 0 ? "" : own);
	parent = open_folder(AT_FDCWD, path);
	if (parent < 0 || faccessat(parent, "cgroup.procs", W_OK, 0) != 0)
		return;
	if (geteuid() != 0)
		empty_group(parent);
	enable_v2(parent, enabled, sizeof enabled);
	memcpy(found.name, g->name, sizeof found.name);
	open_group(&found, CGROUP_FREEZER, 2, parent);
	if (!found.version[CGROUP_FREEZER])
		return;
	enable_v2(found.group_fd[CGROUP_FREEZER], enabled, sizeof enabled);
	for (int c = 0; c < CGROUP_COUNT; c++) {
		if (g->version[c])
			continue;
		if (c != CGROUP_FREEZER && !has_word(enabled, controllers[c].name))
			continue;
		g->version[c] = 2;
		g->group_fd[c] = fcntl(found.group_fd[CGROUP_FREEZER], F_DUPFD_CLOEXEC, 0);
		g->parent_fd[c] = fcntl(found.parent_fd[CGROUP_FREEZER], F_DUPFD_CLOEXEC, 0);
	}
	sys_close_p(&found.group_fd[CGROUP_FREEZER]);
	sys_close_p(&found.parent_fd[CGROUP_FREEZER]);
	if (g->version[CGROUP_FREEZER] != 2)
		unlinkat(parent, g->name, AT_REMOVEDIR);
}

/* Is this the first controller that uses its hierarchy? v2 is shared, so is v1's cpu,cpuacct. */
static bool first_use(const struct cgroups *g, int c)
{
	if (!g->version[c])
		return false;
	for (int before = 0; before < c; before++)
		if (g->version[before] == 2 && g->version[c] == 2)
			return false;
	return true;
}

/* All hierarchies in turn, because what one holds may be frozen by another. */
static void sweep_all(const struct cgroups *g)
{
	struct timespec pause = {.tv_nsec = SWEEP_PAUSE_NS};
	bool clean = false;

	for (int i = 0; i < SWEEP_TRIES && !clean; i++) {
		if (i)
			nanosleep(&pause, NULL);
		clean = true;
		for (int c = 0; c < CGROUP_COUNT; c++)
			if (first_use(g, c))
				clean = sweep(g->parent_fd[c]) && clean;
	}
}

/*
 * v1: while any group of the machine is frozen the kernel's checks for it are in the code, and
 * with the first one and the last one it patches all of them in and out again, 0.1 ms in which a
 * thaw waits. So an empty group stays frozen for as long as we run; it goes as the cells' do.
 */
static void park(const struct cgroups *g)
{
	int freezer = g->version[CGROUP_FREEZER] == 1 ? g->group_fd[CGROUP_FREEZER] : -1;

	if (freezer >= 0 && mkdirat(freezer, PARKED, 0755) == 0)
		(void)!sys_write_file(freezer, PARKED_STATE, "FROZEN");
}

void cgroups_open(struct cgroups *g)
{
	memset(g, 0, sizeof *g);
	for (int c = 0; c < CGROUP_COUNT; c++)
		g->group_fd[c] = g->parent_fd[c] = -1;
	snprintf(g->name, sizeof g->name, "%s%llu.%d.%llu", PREFIX, pid_namespace(), (int)getpid(),
		(unsigned long long)start_time(getpid()));
	for (int c = 0; c < CGROUP_COUNT; c++)
		open_v1(g, (enum cgroup_controller)c);
	open_v2(g);
	sweep_all(g);
	park(g);
}

void cgroups_describe(const struct cgroups *g, char *text, size_t text_max)
{
	size_t at = 0;

	*text = 0;
	for (int c = 0; c < CGROUP_COUNT && at < text_max; c++) {
		int n = g->version[c] ? snprintf(text + at, text_max - at, "%s%s v%u",
						at ? ", " : "", controllers[c].name, g->version[c])
				      : snprintf(text + at, text_max - at, "%s%s none",
						at ? ", " : "", controllers[c].name);
		at += n > 0 ? (size_t)n : 0;
	}
}

int cgroups_clear(const struct cgroups *g)
{
	int rc = 0;

	for (int c = 0; c < CGROUP_COUNT; c++) {
		if (!first_use(g, c))
			continue;
		kill_cells(g->parent_fd[c], g->name);
		remove_tree(g->parent_fd[c], g->name);
		if (faccessat(g->parent_fd[c], g->name, F_OK, 0) == 0)
			rc = ERR_BUSY;
	}
	return rc;
}

void cgroups_close(struct cgroups *g)
{
	for (int c = 0; c < CGROUP_COUNT; c++) {
		sys_close_p(&g->group_fd[c]);
		sys_close_p(&g->parent_fd[c]);
		g->group_fd[c] = g->parent_fd[c] = -1;
		g->version[c] = 0;
	}
}

/* --- one cell ------------------------------------------------------------------------------- */

int cgroups_make(const struct cgroups *g, uint64_t cell)
{
	char name[24];

	sys_number(name, cell);
	for (int c = 0; c < CGROUP_COUNT; c++)
		if (first_use(g, c) && mkdirat(g->group_fd[c], name, 0755) != 0) {
			int err = errno;

			cgroups_remove(g, cell);
			return -err;
		}
	return 0;
}

static void file_of(char *to, uint64_t cell, const char *file)
{
	char *at = sys_number(to, cell);

	*at++ = '/';
	memcpy(at, file, strlen(file) + 1);
}

int cgroups_attach(const struct cgroups *g, uint64_t cell, pid_t pid)
{
	char path[96], text[24];

	sys_number(text, (uint64_t)pid);
	file_of(path, cell, "cgroup.procs");
	for (int c = 0; c < CGROUP_COUNT; c++)
		if (first_use(g, c)) {
			int rc = sys_write_file(g->group_fd[c], path, text);

			if (rc < 0)
				return rc;
		}
	return 0;
}

int cgroups_remove(const struct cgroups *g, uint64_t cell)
{
	char name[24];
	int rc = 0;

	sys_number(name, cell);
	for (int c = 0; c < CGROUP_COUNT; c++)
		if (first_use(g, c) && unlinkat(g->group_fd[c], name, AT_REMOVEDIR) != 0 &&
			errno != ENOENT)
			rc = ERR_BUSY;
	return rc;
}

static int write_number(
	const struct cgroups *g, int c, uint64_t cell, const char *file, uint64_t value)
{
	char path[96], text[24];

	file_of(path, cell, file);
	sys_number(text, value);
	return sys_write_file(g->group_fd[c], path, text);
}

static int limit_memory(const struct cgroups *g, uint64_t cell, uint64_t bytes)
{
	int rc;

	if (g->version[CGROUP_MEMORY] == 2) {
		rc = write_number(g, CGROUP_MEMORY, cell, "memory.max", bytes);
		if (rc < 0)
			return rc;
		rc = write_number(g, CGROUP_MEMORY, cell, "memory.swap.max", 0);
		return rc == -ENOENT ? 0 : rc;
	}
	/* The sum with swap may not be below the limit, so raising goes the other way round. */
	rc = write_number(g, CGROUP_MEMORY, cell, "memory.limit_in_bytes", bytes);
	if (rc == -EINVAL || rc == -EBUSY) {
		rc = write_number(g, CGROUP_MEMORY, cell, "memory.memsw.limit_in_bytes", bytes);
		return rc < 0 ? rc
			      : write_number(
					g, CGROUP_MEMORY, cell, "memory.limit_in_bytes", bytes);
	}
	if (rc < 0)
		return rc;
	rc = write_number(g, CGROUP_MEMORY, cell, "memory.memsw.limit_in_bytes", bytes);
	if (rc == -ENOENT) /* no swap accounting: then no swap */
		rc = write_number(g, CGROUP_MEMORY, cell, "memory.swappiness", 0);
	return rc;
}

size_t cgroup_cpu_text(unsigned version, uint32_t cpu_millis, char *text)
{
	uint64_t quota = (uint64_t)CGROUP_CPU_PERIOD_US * cpu_millis / 1000;
	char *at = text;

	if (quota && quota < 1000) /* the kernel's least */
		quota = 1000;
	if (quota) {
		at = sys_number(at, quota);
	} else {
		const char *none = version == 1 ? "-1" : "max";

		memcpy(at, none, strlen(none));
		at += strlen(none);
	}
	if (version == 2) {
		*at++ = ' ';
		at = sys_number(at, CGROUP_CPU_PERIOD_US);
	}
	*at = 0;
	return (size_t)(at - text);
}

size_t cgroup_freezer_text(unsigned version, bool freeze, char *text)
{
	const char *word = version == 1 ? (freeze ? "FROZEN" : "THAWED") : freeze ? "1" : "0";
	size_t n = strlen(word);

	memcpy(text, word, n + 1);
	return n;
}

static int limit_cpu(const struct cgroups *g, uint64_t cell, uint32_t cpu_millis)
{
	unsigned version = g->version[CGROUP_CPU];
	char path[96], text[48];
	int rc;

	if (version == 1) {
		rc = write_number(g, CGROUP_CPU, cell, "cpu.cfs_period_us", CGROUP_CPU_PERIOD_US);
		if (rc < 0)
			return rc;
	}
	file_of(path, cell, controllers[CGROUP_CPU].control[version]);
	cgroup_cpu_text(version, cpu_millis, text);
	return sys_write_file(g->group_fd[CGROUP_CPU], path, text);
}

int cgroups_limit(const struct cgroups *g, uint64_t cell, const struct sandbox_limits *limits)
{
	int rc = 0;

	if (limits->memory_bytes && g->version[CGROUP_MEMORY])
		rc = limit_memory(g, cell, limits->memory_bytes);
	if (rc == 0 && g->version[CGROUP_CPU])
		rc = limit_cpu(g, cell, limits->cpu_millis);
	if (rc == 0 && limits->pids && g->version[CGROUP_PIDS])
		rc = write_number(g, CGROUP_PIDS, cell, "pids.max", limits->pids);
	return rc;
}

int cgroups_control(const struct cgroups *g, uint64_t cell, enum cgroup_controller c)
{
	const char *file = controllers[c].control[g->version[c]];
	char path[96];

	if (!file)
		return -1;
	file_of(path, cell, file);
	return openat(g->group_fd[c], path, controllers[c].control_flags | O_CLOEXEC);
}

bool cgroups_out_of_memory(const struct cgroups *g, uint64_t cell)
{
	unsigned version = g->version[CGROUP_MEMORY];
	char path[96], text[1024], *at;

	if (!version)
		return false;
	file_of(path, cell, version == 1 ? "memory.oom_control" : "memory.events");
	if (sys_read_file(g->group_fd[CGROUP_MEMORY], path, text, sizeof text) < 0)
		return false;
	at = strstr(text, "oom_kill ");
	return at && strtoull(at + strlen("oom_kill "), NULL, 10) > 0;
}

uint64_t cgroups_memory_peak(const struct cgroups *g, uint64_t cell)
{
	unsigned version = g->version[CGROUP_MEMORY];
	char path[96], text[64];

	if (!version)
		return 0;
	file_of(path, cell, controllers[CGROUP_MEMORY].control[version]);
	if (sys_read_file(g->group_fd[CGROUP_MEMORY], path, text, sizeof text) < 0)
		return 0;
	return strtoull(text, NULL, 10);
}

void cgroups_thaw(const struct cgroups *g, uint64_t cell)
{
	unsigned version = g->version[CGROUP_FREEZER];
	char path[96], text[48];

	if (!version)
		return;
	file_of(path, cell, controllers[CGROUP_FREEZER].control[version]);
	cgroup_freezer_text(version, false, text);
	(void)!sys_write_file(g->group_fd[CGROUP_FREEZER], path, text);
}
