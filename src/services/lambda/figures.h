/*
 * What the metric port is told of functions: namespace AWS/Lambda, in the names that CloudWatch
 * has. Each is told for the function (FunctionName); what is watched for a whole region is told
 * without a dimension too; what concerns provisioned concurrency also for the version (Resource,
 * "NAME:VERSION").
 *
 * Without a port nothing is counted. Any loop; never suspends.
 *
 * Source: Developer Guide, "Types of metrics for Lambda functions", "Monitoring concurrency".
 */
#ifndef SERVICES_LAMBDA_FIGURES_H
#define SERVICES_LAMBDA_FIGURES_H

#include "aws/ports/metric.h"

struct function;
struct ports;
struct provision;
struct quota;

/* One value of a function; those that are summed up over all functions of the region as well. */
void figures_add(const struct ports *ports, str account, str region, str function, const char *name,
	double value, enum metric_unit unit);
/* A run was let in, and counted at its quota: how many there are now. */
void figures_admitted(
	const struct ports *ports, const struct function *f, const struct quota *quota);
/*
 * A run begins on an instance; `provision`: of its version, NULL or nothing wanted: none. It was
 * provisioned (then figures_provisioned_end() follows), or spilled over.
 */
void figures_provisioned_begin(const struct ports *ports, const struct function *f,
	struct provision *provision, bool provisioned);
void figures_provisioned_end(struct provision *provision, bool provisioned);

#endif
