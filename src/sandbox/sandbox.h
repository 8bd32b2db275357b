/*
 * Containers, as the worker sees them: made from a plain description by the launcher process
 * (sandbox/launcher.h), which is reached over one SOCK_SEQPACKET connection. Knows nothing of AWS.
 *
 * A container is PID 1 (our own, tiny) and one runtime process below it, in namespaces of its own
 * (mount, pid, network, ipc, uts, cgroup, user), on a read-only root, without capabilities, under a
 * seccomp filter and resource limits. Inside there are always: /usr and the loader's files (the
 * host's, read-only), /tmp (private, writable), /dev (null, zero, full, random, urandom), /proc
 * (masked, own processes only), and what the description mounts. The uid inside is SANDBOX_UID.
 * There is no network but loopback, unless launcher_options.network says otherwise; the ports of
 * launcher_options.listens are open on it before the first instruction of the runtime, and their
 * listening sockets are the worker's.
 *
 * Two ways to a running function:
 *   sandbox_start(spec)                          everything at once
 *   sandbox_start(spec with pooled = true)       boots without code: with argv the runtime starts
 *     and waits for its environment on SANDBOX_GATE_FD; without argv only PID 1 waits
 *   sandbox_assign(container, assign)            then mounts the code, sets limits, opens the gate
 * Companions are programs that run beside the runtime from before its start (spec.companions).
 *
 * Threading: a struct sandbox belongs to the loop that opened it, but all functions that take one
 * or a container may be called from a fiber of any loop; one fiber at a time per container (kill
 * and signal excepted). Limits: SANDBOX_*_MAX below. Times are ns of rt_now() where called
 * deadline.
 */
#ifndef SANDBOX_SANDBOX_H
#define SANDBOX_SANDBOX_H

#include "base/rc.h"
#include "base/str.h"

#include <stdint.h>

struct sandbox;
struct sandbox_container;

enum {
	SANDBOX_UID = 993,           /* uid and gid of everything inside */
	SANDBOX_GATE_FD = 3,         /* pooled with argv: where the runtime reads its environment */
	SANDBOX_MOUNTS_MAX = 72,     /* of one description */
	SANDBOX_LAYERS_MAX = 64,     /* of them on "/" */
	SANDBOX_TREES_MAX = 8,       /* of them elsewhere */
	SANDBOX_PIPES_MAX = 3,       /* of one description */
	SANDBOX_LISTENS_MAX = 4,     /* of one launcher */
	SANDBOX_STRINGS_MAX = 512,   /* arguments, variables and companions together */
	SANDBOX_COMPANIONS_MAX = 10, /* of one description */
	SANDBOX_COMPANION_PIPE = 100, /* in pipes: not the runtime's, but its companions' output */
	SANDBOX_MESSAGE_MAX = 64 * 1024, /* one description or assignment, encoded */
	SANDBOX_TEXT_MAX = 256,          /* an error's text */
};

/* Where a mounted folder or file comes from; the launcher refuses everything else. */
enum sandbox_source {
	SANDBOX_FROM_DATA,    /* path relative to launcher_options.data_folder */
	SANDBOX_FROM_RUNTIME, /* path is one of launcher_options.runtime_roots, or below it */
};

/*
 * One read-only, nosuid, nodev mount. Targets are the fixed places of the root: /var/task,
 * /var/runtime, /var/runtime/node_modules (behind a mount of /var/runtime that has this folder),
 * /var/lang, /var/snapshot, /opt; each once, but /opt: folders that follow one another on it are
 * shown as one, where the later hide what the earlier have under the same name. No symbolic link is
 * followed in `path`; those inside of it lead to places of the container, whatever they say.
 *
 * Mounts on "/", the first ones of a description that is not pooled, are the layers of an image,
 * the lowest first: they are the root then, read-only, instead of the host's programs. They may
 * hold what unpack_layer() makes of whiteouts. /dev, /proc, /tmp, /etc/hosts and /etc/resolv.conf
 * are ours all the same.
 */
struct sandbox_mount {
	enum sandbox_source source;
	str path, target;
};

/* 0 means: not limited (memory, cpu, pids) or the default stated. */
struct sandbox_limits {
	uint64_t memory_bytes; /* of all processes, /tmp included; no swap */
	uint32_t cpu_millis;   /* thousandths of one processor: 72 for 128 MB at AWS */
	uint32_t pids;         /* processes and threads, PID 1 counted; 0: 1,024 */
	uint32_t files;        /* open files of a process; 0: 1,024 */
	uint64_t tmp_bytes;    /* size of /tmp; 0: 512 MiB; fixed at sandbox_start() */
};

/*
 * `argv[0]` is the program's path inside (in an image also a name, which is looked for in the
 * folders of PATH, or a path below the working folder); `environment` holds NAME=VALUE and is
 * complete: nothing is inherited. All strings are free of NUL. `pipes` lists descriptor numbers
 * inside (1, 2, ...) that become the writing ends of pipes; without 2 in it standard error shares
 * the pipe of standard output; without 1 it is /dev/null. Numbers 3..9 are ours. Standard input is
 * /dev/null.
 *
 * `companions` are programs by path, started with the same environment in "/" as soon as the root
 * is there; their output goes to SANDBOX_COMPANION_PIPE, else where the runtime's goes. With them
 * the end of a process does not end the container: see sandbox_on_first_exit(). So that the runtime
 * waits for them, start it pooled without argv, and assign.
 */
struct sandbox_spec {
	const struct sandbox_mount *mounts;
	unsigned mount_count;
	struct sandbox_limits limits;
	const str *argv;
	unsigned argc;
	const str *environment;
	unsigned environment_count;
	str working_folder; /* inside; STR_NULL: "/" */
	uint8_t pipes[SANDBOX_PIPES_MAX];
	unsigned pipe_count;
	const str *companions;
	unsigned companion_count;
	bool pooled;
};

/*
 * What turns a pooled container into a function's own. A container booted with argv gets
 * `environment` on SANDBOX_GATE_FD: NAME=VALUE strings, each ended by NUL, then the end of the
 * file; argv is ignored. One booted without argv executes argv with that environment, in
 * working_folder. limits.tmp_bytes is ignored.
 */
struct sandbox_assign {
	const struct sandbox_mount *mounts;
	unsigned mount_count;
	struct sandbox_limits limits;
	const str *argv;
	unsigned argc;
	const str *environment;
	unsigned environment_count;
	str working_folder;
};

enum sandbox_end {
	SANDBOX_EXITED,   /* the runtime ended by itself: status */
	SANDBOX_SIGNALED, /* a signal ended the runtime: signal */
	SANDBOX_KILLED,   /* by sandbox_kill() or the end of the launcher */
	SANDBOX_FAILED,   /* never ran: text says why */
};

struct sandbox_exit {
	enum sandbox_end end;
	int status, signal;
	unsigned companion;         /* whose end it was: its number from 1; 0: the runtime */
	bool out_of_memory;         /* the limit made the kernel (rootless: the launcher) kill */
	uint64_t memory_peak_bytes; /* 0: unknown (rootless) */
	uint64_t cpu_ns;            /* user and system, all processes */
	char text[SANDBOX_TEXT_MAX];
};

struct sandbox_error {
	char text[SANDBOX_TEXT_MAX]; /* for people: what was refused and what would be right */
};

/* What this host's launcher enforces. */
struct sandbox_info {
	bool rootless;
	bool memory, cpu, pids, freezer; /* by control group; else by rlimits and a watchdog */
	unsigned listen_count;
	char text[SANDBOX_TEXT_MAX];    /* one line for the log */
	char network[SANDBOX_TEXT_MAX]; /* what instances reach, and what was changed on the host */
};

/*
 * `fd` is the worker's end from launcher_start(), taken over. Starts a fiber on the calling loop
 * that reads the launcher's messages. ERR_UNSUPPORTED with the remedy in `error` where the host
 * forbids what a container needs: nothing ever runs unisolated.
 */
must_use mayyield int sandbox_open(int fd, int64_t deadline, struct sandbox **ret_sandbox,
	struct sandbox_info *ret_info, struct sandbox_error *error);
/* Ends the launcher with every container, and the reading fiber. All containers are freed before.
 */
mayyield void sandbox_close(struct sandbox *s);
/* True once the launcher is gone; every call then answers ERR_CLOSED. */
bool sandbox_broken(const struct sandbox *s);

/*
 * Returns as soon as the container has been sent on its way (about 0.2 ms): that it could not run
 * after all is told by its end (SANDBOX_FAILED). ERR_INVALID: refused, see `error` (may be NULL).
 */
must_use mayyield int sandbox_start(struct sandbox *s, const struct sandbox_spec *spec,
	int64_t deadline, struct sandbox_container **ret_container, struct sandbox_error *error);
/* Once per pooled container. After an error it is of no use any more: free it. */
must_use mayyield int sandbox_assign(struct sandbox_container *c,
	const struct sandbox_assign *assign, int64_t deadline, struct sandbox_error *error);
/* Kills it if it lives, closes what was not taken, frees. Does not wait for the end. */
void sandbox_container_free(struct sandbox_container *c);

/* A number for logs; unique in this launcher's life. */
uint64_t sandbox_id(const struct sandbox_container *c);
/*
 * The reading end of pipes[i], and the listening socket of listens[i]: non-blocking, the caller's
 * from then on (-1 when taken before). Listening sockets pin the network namespace: close them at
 * the container's end.
 */
int sandbox_take_pipe(struct sandbox_container *c, unsigned i);
int sandbox_take_listener(struct sandbox_container *c, unsigned i);

/* Waits for the end; afterwards returns at once, always the same. */
must_use mayyield int sandbox_wait(
	struct sandbox_container *c, int64_t deadline, struct sandbox_exit *ret_exit);
/* Has it ended? Never suspends. */
bool sandbox_ended(const struct sandbox_container *c);
/*
 * `fn` is called once at the end, on the loop that opened the sandbox; at once when it has ended
 * already. Instead of sandbox_wait(). It may not suspend, nor free the container.
 */
void sandbox_on_end(struct sandbox_container *c, void (*fn)(void *arg), void *arg);
/*
 * With companions: `fn` is called once, as above, when the first process (runtime or companion) has
 * ended by itself. The others go on until sandbox_kill() or their own ends.
 */
void sandbox_on_first_exit(struct sandbox_container *c, void (*fn)(void *arg), void *arg);
/* What fn was called for: true when there was one. */
bool sandbox_first_exit(struct sandbox_container *c, struct sandbox_exit *ret_exit);
/*
 * A connection to a TCP port on the container's own loopback, made inside by its PID 1: a
 * descriptor, non-blocking, perhaps not connected yet (it becomes writable). ERR_NOT_FOUND: nobody
 * listens there; ERR_CLOSED: it has ended; ERR_TIMEOUT: for instance, it is frozen.
 */
must_use mayyield int sandbox_connect(
	struct sandbox_container *c, uint16_t port, int64_t deadline, int *ret_fd);

/* SIGKILL for all of it, frozen or not. Never suspends; the end is reported as SANDBOX_KILLED. */
void sandbox_kill(struct sandbox_container *c);
/* Sends a signal to the runtime process (SIGTERM before a kill). Never suspends. */
void sandbox_signal(struct sandbox_container *c, int signal);

/*
 * Stops and continues every process in it: one write to a control file, no hop over the launcher
 * (rootless without control groups: a message). Never suspends. A freeze takes effect at once for
 * processes that sleep and soon for others.
 */
must_use int sandbox_freeze(struct sandbox_container *c);
must_use int sandbox_thaw(struct sandbox_container *c);
/* Are these two one write to a control file, which any thread may do? */
bool sandbox_freezes_alone(const struct sandbox_container *c);
/* Changes the share of processor time: 0 not limited. As cheap as a freeze. */
must_use int sandbox_set_cpu(struct sandbox_container *c, uint32_t cpu_millis);

struct sandbox_usage {
	uint64_t memory_peak_bytes; /* since its start; 0: unknown (rootless) */
};
/* Never suspends. */
must_use int sandbox_usage(struct sandbox_container *c, struct sandbox_usage *ret_usage);

#endif
