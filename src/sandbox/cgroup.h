/*
 * Control groups, version 1 and 2, chosen by controller: hybrid hosts are real, and v2 may be
 * mounted without a useful controller. One group per launcher, cirrus.PID.START, below the group
 * that the launcher was started in (v1; v2 when delegated) or below the root (v2, as root); below
 * it one group per cell, named by its number.
 *
 * Making, filling and removing groups has tails of milliseconds: only the janitor does it. Setting
 * limits and reading figures is cheap: the launcher does it. Blocking; no threads; no allocation.
 * See the kernel's admin-guide/cgroup-v1 and cgroup-v2.
 */
#ifndef SANDBOX_CGROUP_H
#define SANDBOX_CGROUP_H

#include "sandbox/sandbox.h"

#include <sys/types.h>

enum cgroup_controller { CGROUP_MEMORY, CGROUP_CPU, CGROUP_PIDS, CGROUP_FREEZER, CGROUP_COUNT };

enum { CGROUP_CPU_PERIOD_US = 20000 };

struct cgroups {
	uint8_t version[CGROUP_COUNT]; /* 0: not available, else 1 or 2 */
	int group_fd[CGROUP_COUNT];    /* our group of that hierarchy; -1. v2: one for all */
	int parent_fd[CGROUP_COUNT];   /* where it lies */
	char name[64];                 /* of our group */
};

/*
 * Finds the hierarchies, removes the groups of launchers that are dead, makes ours. Controllers
 * that cannot be had are left at version 0. Needs the host's /proc and mounts.
 */
void cgroups_open(struct cgroups *g);
/* "memory v1, cpu none, ...". */
void cgroups_describe(const struct cgroups *g, char *text, size_t text_max);
/* Kills what is left in our groups and removes them: 0, or ERR_BUSY when some are not empty yet. */
int cgroups_clear(const struct cgroups *g);
void cgroups_close(struct cgroups *g);

/* Makes the group `cell` in every hierarchy: 0 or negative errno, nothing made. */
must_use int cgroups_make(const struct cgroups *g, uint64_t cell);
must_use int cgroups_attach(const struct cgroups *g, uint64_t cell, pid_t pid);
/* 0, or ERR_BUSY: try again later. */
int cgroups_remove(const struct cgroups *g, uint64_t cell);

/* Sets what is not 0 and available; 0 or negative errno. */
must_use int cgroups_limit(
	const struct cgroups *g, uint64_t cell, const struct sandbox_limits *limits);
/* The control file of the controller that a worker uses by itself; -1 when there is none. */
int cgroups_control(const struct cgroups *g, uint64_t cell, enum cgroup_controller controller);
/* Did the kernel kill for the memory limit? */
bool cgroups_out_of_memory(const struct cgroups *g, uint64_t cell);
uint64_t cgroups_memory_peak(const struct cgroups *g, uint64_t cell);
void cgroups_thaw(const struct cgroups *g, uint64_t cell);

/*
 * What is written to, or read from, a control file, by version: so that the worker needs no
 * more than the descriptor. `text` holds 48 bytes; the length is returned.
 */
size_t cgroup_freezer_text(unsigned version, bool freeze, char *text);
size_t cgroup_cpu_text(unsigned version, uint32_t cpu_millis, char *text);

#endif
