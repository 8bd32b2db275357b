/*
 * The Telemetry API (2022-07-01) and the Logs API (2020-08-15) of one instance: which extensions
 * have subscribed to what, their buffers, and the delivery to a port on the container's loopback.
 *
 * A subscriber's buffer is sent when it has maxItems or maxBytes, or timeoutMs after its first
 * record; what cannot be delivered is tried again, and dropped beyond a bound: then it is told how
 * much (platform.logsDropped).
 *
 * On the instance's loop. Source: Developer Guide, "Accessing real-time telemetry data for
 * extensions using the Telemetry API".
 */
#ifndef SERVICES_LAMBDA_TELEMETRY_H
#define SERVICES_LAMBDA_TELEMETRY_H

#include "base/str.h"

struct http_exchange;
struct instance;
struct telemetry;

enum telemetry_type {
	TELEMETRY_PLATFORM = 1,
	TELEMETRY_FUNCTION = 2,
	TELEMETRY_EXTENSION = 4,
	TELEMETRY_PLATFORM_OLD = 8 /* platform events that the Logs API alone has */
};

/* NULL `t` everywhere: nobody has subscribed. */
void telemetry_free(struct telemetry *t);
/* A record (JSON text) for those who want the type. Never suspends. */
void telemetry_add(
	struct telemetry *t, enum telemetry_type type, int64_t wall_ms, str name, str record);
/* Delivers at once what waits, because the instance is to be frozen or to end: true when a delivery
 * is under way, which holds the instance. */
bool telemetry_flush(struct telemetry *t);
/* No more deliveries. */
void telemetry_stop(struct telemetry *t);
/* Serves PUT /2022-07-01/telemetry, and /2020-08-15/logs: `logs_api`. */
void telemetry_api(struct http_exchange *x, struct instance *i, bool logs_api) mayyield;

#endif
