/*
 * The logs service inside: its state, the loops' writers, the operations.
 */
#ifndef SERVICES_LOGS_SERVICE_H
#define SERVICES_LOGS_SERVICE_H

#include "aws/ports/log.h"
#include "base/list.h"
#include "rt/rt.h"
#include "services/logs/store.h"

/* Lines of one call that wait to be written. One block of memory. */
struct log_entry {
	struct list link;
	struct log_scope scope;
	str group, stream;
	bool make_group, make_stream;
	const struct batch_event *events;
	size_t count, bytes;
	/* Of a caller that waits: how it ended. The entry is the caller's then. */
	struct rt_event *done;
	int result;
	/* private to a flush */
	struct flush_stream *to;
};

/* How a write ended, besides codes: the group or stream was not there. */
enum { WRITE_STORED = 0, WRITE_NO_GROUP = 1, WRITE_NO_STREAM = 2 };

/* What each loop has. Its lines wait in a queue; one fiber at a time writes them. */
struct log_writer {
	struct logs *logs;
	struct list queue;
	size_t queue_bytes;    /* queued or being written, of callers that do not wait */
	bool running;          /* the fiber */
	bool urgent;           /* somebody waits: no lingering */
	struct rt_event hurry; /* ends the lingering */
	struct rt_waitq idle;
	uint64_t sequence; /* of the last batch */
};

struct logs {
	struct logs_options options;
	_Atomic(struct kv *) kv;
	unsigned slot; /* of struct log_writer */
	struct service *service;
	struct port_log port;
	struct rt_fiber *sweeper; /* NULL: not running. Loop 0 only, as what follows */
	uint64_t sweeper_id;
	struct rt_waitq sweeper_ended;
	_Atomic uint64_t events, bytes, batches, commits, dropped;
};

struct log_writer *logs_writer(struct logs *logs);

/*
 * Queues a copy of the lines (wait false: 0, or ERR_BUSY when there is no room), or writes them and
 * waits: WRITE_*, or < 0. writer.c
 */
must_use mayyield int writer_put(struct logs *logs, const struct log_entry *entry, bool wait);
/* The port's function. */
must_use mayyield int writer_port_put(void *self, str account, str region, str group, str stream,
	bool make_group, bool wait, const struct port_log_event *events, size_t count);
/* Waits until the calling loop's queue is empty. */
must_use mayyield int writer_drain(struct logs *logs, int64_t deadline);

/* One sweep over all groups: what is past its retention or deleted. sweep.c */
must_use mayyield int logs_sweep(struct logs *logs, int64_t wall_ms);
/* The sweeper's fiber. */
void logs_sweeper(void *arg);

#define LOGS_OPERATIONS                  \
	OPERATION(CreateLogGroup)        \
	OPERATION(DeleteLogGroup)        \
	OPERATION(DescribeLogGroups)     \
	OPERATION(CreateLogStream)       \
	OPERATION(DeleteLogStream)       \
	OPERATION(DescribeLogStreams)    \
	OPERATION(PutLogEvents)          \
	OPERATION(GetLogEvents)          \
	OPERATION(FilterLogEvents)       \
	OPERATION(PutRetentionPolicy)    \
	OPERATION(DeleteRetentionPolicy) \
	OPERATION(TagResource)           \
	OPERATION(UntagResource)         \
	OPERATION(ListTagsForResource)   \
	OPERATION(TagLogGroup)           \
	OPERATION(UntagLogGroup)         \
	OPERATION(ListTagsLogGroup)

#define OPERATION(name) must_use mayyield int logs_##name(struct call *c);
LOGS_OPERATIONS
#undef OPERATION

#endif
