/*
 * The metric port of a server that has no CloudWatch: keeps the sum, the number and the largest of
 * what it was told, for /_cirrus/metrics. Series are named by account, region, namespace, name and
 * dimensions; at most 4,000 are kept, what comes to others is counted as dropped.
 *
 * Any thread: one lock, held for a look-up.
 */
#ifndef SERVER_METRIC_SINK_H
#define SERVER_METRIC_SINK_H

#include "aws/ports/metric.h"

struct buf;
struct metric_sink;

struct metric_sink *metric_sink_new(void);
void metric_sink_free(struct metric_sink *s);
/* Lives as long as the sink. */
const struct port_metric *metric_sink_port(const struct metric_sink *s);
/*
 * In the text format of Prometheus: cirrus_metric_sum, _count and _max with the labels account,
 * region, namespace, name and one for each dimension.
 */
void metric_sink_render(struct metric_sink *s, struct buf *out);

#endif
