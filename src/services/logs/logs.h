/*
 * CloudWatch Logs: groups, streams, events, filters, retention; and the log port, through which
 * functions and APIs write their lines.
 *
 * Groups, streams and events are in the key-value store (store.h says how). Lines of all callers
 * of one loop are gathered into one transaction by the loop's writer (writer.c); a background
 * fiber drops what retention and deletion left behind (sweep.c).
 *
 * Start:   logs_service_new() before rt_run(), because it takes a loop slot; gate_register() with
 *          logs_service_rows(); logs_service_start() in a fiber of loop 0 once the store is open,
 *          which also starts the sweeper. End: logs_service_stop() in a fiber of loop 0 while the
 *          store is still open and nobody writes lines any more, logs_service_free() after
 * rt_run().
 *
 * https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/Welcome.html
 */
#ifndef SERVICES_LOGS_LOGS_H
#define SERVICES_LOGS_LOGS_H

#include "base/str.h"

#include <stdint.h>

struct kv;
struct logs;
struct ports;
struct rt;
struct service;

struct logs_options {
	struct rt *rt;
	struct ports *ports;    /* ports->log is set */
	int64_t sweep_ms;       /* between two sweeps; 0: one minute */
	int64_t linger_ms;      /* how long a line may wait for others; 0: 5 ms */
	size_t queue_bytes_max; /* lines waiting, per loop; 0: 8 MiB */
};

must_use int logs_service_new(const struct logs_options *options, struct logs **ret_logs);
/* The store from now on; until then the port answers ERR_BUSY and requests a fault. */
must_use mayyield int logs_service_start(struct logs *logs, struct kv *kv);
/* Waits until queued lines of every loop are stored, at most until the deadline. From a fiber. */
must_use mayyield int logs_service_drain(struct logs *logs, int64_t deadline);
/* Drains, ends the sweeper, and forgets the store. NULL is fine. */
mayyield void logs_service_stop(struct logs *logs, int64_t deadline);
/* After rt_run(). NULL is fine. */
void logs_service_free(struct logs *logs);
/* For gate_register(). Lives as long as the service. */
const struct service *logs_service_rows(const struct logs *logs);

struct logs_figures {
	uint64_t events, bytes, batches, commits; /* written since start */
	uint64_t dropped;                         /* lines that did not find room in a queue */
};
void logs_figures(const struct logs *logs, struct logs_figures *ret_figures);

#endif
