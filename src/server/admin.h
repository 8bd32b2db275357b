/*
 * Our own pages: /_cirrus/health, /_cirrus/metrics, and /_localstack/health, for which existing
 * test harnesses wait. Answered only to the hosts of the loopback rule (DESIGN section 2) in open
 * mode.
 */
#ifndef SERVER_ADMIN_H
#define SERVER_ADMIN_H

#include "base/attr.h"

#include <stdbool.h>
#include <stdint.h>

struct http_exchange;
struct kv;
struct metric_sink;
struct metrics;
struct rt;
struct service;
struct services;

enum { ADMIN_SERVICES_MAX = 32 };

struct admin {
	struct metrics *metrics;
	struct metric_sink *sink;
	struct rt *rt;
	const struct kv *kv;
	const struct service *services[ADMIN_SERVICES_MAX];
	unsigned service_count;
	int64_t started_ns;               /* rt_now() */
	unsigned crashes;                 /* of workers before this one */
	const struct services *functions; /* whether they can run */
};

/* front_options.own_page: `arg` is the struct admin. True when the path was one of ours. */
mayyield bool admin_serve(void *arg, struct http_exchange *x);

#endif
