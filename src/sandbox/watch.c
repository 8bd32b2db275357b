/*
 * Walks a process tree through /proc/PID/task/TID/children, breadth first. No allocation.
 */
#include "sandbox/watch.h"

#include "sandbox/sys.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

enum { PROCESSES_MAX = 1024 };

static uint64_t own_bytes(int folder)
{
	char text[128];
	unsigned long long size, resident, shared;

	if (sys_read_file(folder, "statm", text, sizeof text) <= 0 ||
		sscanf(text, "%llu %llu %llu", &size, &resident, &shared) != 3)
		return 0;
	return (uint64_t)(resident - shared) * (uint64_t)sysconf(_SC_PAGESIZE);
}

static unsigned add_children(int folder, pid_t *pids, unsigned n)
{
	int tasks = openat(folder, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = tasks < 0 ? NULL : fdopendir(tasks);
	struct dirent *entry;

	if (!dir) {
		sys_close_p(&tasks);
		return n;
	}
	while ((entry = readdir(dir)) != NULL) {
		char path[300], text[4096], *at = text, *end;

		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof path, "%s/children", entry->d_name);
		if (sys_read_file(tasks, path, text, sizeof text) <= 0)
			continue;
		for (long pid; n < PROCESSES_MAX && (pid = strtol(at, &end, 10)) > 0; at = end)
			pids[n++] = (pid_t)pid;
	}
	closedir(dir);
	return n;
}

uint64_t watch_memory_of(const char *proc, pid_t pid)
{
	pid_t pids[PROCESSES_MAX];
	unsigned n = 1;
	uint64_t total = 0;

	pids[0] = pid;
	for (unsigned i = 0; i < n; i++) {
		char path[128];
		cleanup(sys_close_p) int folder = -1;

		snprintf(path, sizeof path, "%s/%d", proc, (int)pids[i]);
		folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (folder < 0)
			continue;
		total += own_bytes(folder);
		n = add_children(folder, pids, n);
	}
	return total;
}
