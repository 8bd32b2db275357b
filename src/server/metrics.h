/*
 * Counting the operations that pass the gate, and rendering everything countable for Prometheus
 * (https://prometheus.io/docs/instrumenting/exposition_formats/, version 0.0.4).
 *
 * Counters are per loop, so that counting costs no shared cache line; the page adds them up.
 */
#ifndef SERVER_METRICS_H
#define SERVER_METRICS_H

#include "aws/gate.h"

struct metrics;
struct rt;
struct kv;

/* Takes a loop-local slot, so before rt_run(). */
struct metrics *metrics_new(struct rt *rt);
void metrics_free(struct metrics *m);
/* At start, for each service that the gate knows. */
void metrics_add_service(struct metrics *m, const struct service *s);

/* gate_options.done: `arg` is the struct metrics. */
void metrics_count(void *arg, const struct call *c, uint16_t status, int64_t taken_ns);

/* One figure with its head; `type`: "counter", "gauge". */
void metrics_put(
	struct buf *out, const char *name, const char *type, const char *help, uint64_t value);
/* The page. `kv` may be NULL. */
void metrics_render(struct metrics *m, struct rt *rt, const struct kv *kv, struct buf *out);

#endif
