/*
 * The messages between worker, launcher, janitor and cells: one datagram each, a fixed head and a
 * body. Encoding is the worker's, decoding is strict: the launcher trusts no sender. Pure.
 *
 * Both ends are the same binary on the same machine, so integers are in machine order.
 */
#ifndef SANDBOX_WIRE_H
#define SANDBOX_WIRE_H

#include "base/buf.h"
#include "sandbox/sandbox.h"
#include "sandbox/unpack.h"

enum wire_kind {
	/* worker to launcher */
	WIRE_START = 1, /* body: spec */
	WIRE_ASSIGN,    /* body: spec */
	WIRE_KILL,
	WIRE_SIGNAL, /* value: signal. Also launcher to cell */
	WIRE_FREEZE, /* also launcher to cell */
	WIRE_THAW,   /* also launcher to cell; launcher to janitor: id is the cell that is killed */
	WIRE_UNPACK, /* body: struct wire_unpack; descriptors: archive, folder */
	WIRE_CONNECT, /* value: port. Also launcher to cell */
	/* launcher to worker */
	WIRE_HELLO,   /* value: rc; body: struct wire_hello */
	WIRE_STARTED, /* body: struct wire_started; descriptors: control files, listeners, pipes */
	WIRE_ASSIGNED,
	WIRE_REFUSED,   /* value: rc; body: text */
	WIRE_END,       /* body: struct sandbox_exit */
	WIRE_UNPACKED,  /* value: rc; body: struct wire_unpacked */
	WIRE_EXITED,    /* with companions, the first end; body: struct sandbox_exit */
	WIRE_CONNECTED, /* value: 0 or errno; descriptor: the connection. Also cell to launcher */
	/* launcher to janitor */
	WIRE_MAKE,   /* value: how many more cells */
	WIRE_REMOVE, /* id: the cell whose control groups can go */
	/* janitor to launcher */
	WIRE_CELL,    /* id: the cell; value: pid; descriptors: pidfd, gate */
	WIRE_TROUBLE, /* value: errno; body: text */
	/* launcher to cell */
	WIRE_ATTACHED, /* the cell is in its control groups; id: its address, 0 without a network */
	WIRE_GO,       /* value: host uid; body: spec; descriptors: root, mounts, pipes */
	/* cell to launcher */
	WIRE_READY,  /* descriptors: mount namespace, listeners */
	WIRE_BOOTED, /* pooled: everything but the assignment is done */
	WIRE_STATUS, /* value: wait status of the runtime; id: of this companion, from 1 */
	WIRE_FAILED, /* value: errno; body: the step */
};

struct wire_head {
	uint32_t kind;
	int32_t value;
	uint64_t id; /* of the container, chosen by the worker; of the cell between launcher,
			janitor */
};

enum { WIRE_BODY_MAX = SANDBOX_MESSAGE_MAX, WIRE_MAX = sizeof(struct wire_head) + WIRE_BODY_MAX };

struct wire_hello {
	struct sandbox_info info;
	uint8_t freezer_version, cpu_version, memory_version; /* of the control group; 0: none */
};

/* Which descriptors follow, in this order: freezer, cpu, memory peak (each if 1), then listeners,
 * pipes. */
struct wire_started {
	uint8_t freezer, cpu, memory, listeners, pipes;
};

struct wire_unpack {
	struct unpack_limits limits;
	char name[96]; /* NUL-terminated */
};

struct wire_unpacked {
	struct unpack_result result;
	int32_t rc;
	char text[SANDBOX_TEXT_MAX];
};

/* A decoded spec; strings point into the message and are NUL-terminated there. */
struct wire_spec {
	struct sandbox_spec spec;
	struct sandbox_mount mounts[SANDBOX_MOUNTS_MAX];
	str strings[SANDBOX_STRINGS_MAX];
};

/*
 * Appends the body. ERR_TOO_LARGE: it does not fit WIRE_BODY_MAX. ERR_INVALID: a NUL in a string,
 * or a count above its maximum; `error` says which.
 */
must_use int wire_put_spec(
	struct buf *to, const struct sandbox_spec *spec, struct sandbox_error *error);
/*
 * Checks everything that can be checked without the host: ERR_INVALID with a text otherwise. The
 * bytes must outlive the result.
 */
must_use int wire_take_spec(str body, struct wire_spec *ret_spec, struct sandbox_error *error);
/* Is mount i shown on top of the one before it, as one folder? */
bool wire_mounts_join(const struct sandbox_spec *spec, unsigned i);
/* How many of its mounts, the first ones, are layers of an image. */
unsigned wire_layer_count(const struct sandbox_spec *spec);
/* "/var/task" and so on: where a mount may go. */
bool wire_target_ok(str target);

#endif
