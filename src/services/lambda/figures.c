/*
 * The names and dimensions of AWS/Lambda.
 */
#include "services/lambda/figures.h"

#include "aws/ports/ports.h"
#include "base/arena.h"
#include "rt/rt.h"
#include "services/lambda/function.h"
#include "services/lambda/provision.h"
#include "services/lambda/quota.h"

#include <string.h>

/* "Across All Functions" */
static const char *const of_region[] = {"Invocations", "Errors", "Duration", "Throttles"};

static void add(const struct port_metric *port, str account, str region, const char *name,
	const struct metric_dimension *dimensions, size_t n, double value, enum metric_unit unit)
{
	port->add(port->self, account, region, STR("AWS/Lambda"), str_c(name), dimensions, n, value,
		unit, rt_wall() / RT_NS_MS);
}

void figures_add(const struct ports *ports, str account, str region, str function, const char *name,
	double value, enum metric_unit unit)
{
	const struct metric_dimension dimension = {STR("FunctionName"), function};
	const struct port_metric *port = ports->metric;

	if (!port)
		return;
	add(port, account, region, name, &dimension, 1, value, unit);
	for (size_t i = 0; i < ARRAY_SIZE(of_region); i++)
		if (strcmp(name, of_region[i]) == 0)
			add(port, account, region, name, NULL, 0, value, unit);
}

void figures_admitted(
	const struct ports *ports, const struct function *f, const struct quota *quota)
{
	const struct port_metric *port = ports->metric;
	struct quota_account all;

	if (!port)
		return;
	quota_account(quota, &all);
	figures_add(ports, f->account, f->region, f->name, "ConcurrentExecutions",
		quota_running(quota), METRIC_COUNT);
	add(port, f->account, f->region, "ConcurrentExecutions", NULL, 0, all.running,
		METRIC_COUNT);
	add(port, f->account, f->region, "UnreservedConcurrentExecutions", NULL, 0, all.unreserved,
		METRIC_COUNT);
	add(port, f->account, f->region, "ClaimedAccountConcurrency", NULL, 0, all.claimed,
		METRIC_COUNT);
}

static void add_provisioned(
	const struct ports *ports, const struct function *f, const char *name, double value)
{
	struct arena a cleanup(arena_done_p) = {0};
	struct metric_dimension dimensions[2] = {{STR("FunctionName"), f->name}};

	arena_init(&a, SIZE_MAX);
	dimensions[1] = (struct metric_dimension){
		STR("Resource"), ARENA_CONCAT(&a, f->name, STR(":"), f->version)};
	for (size_t n = 1; n <= 2; n++)
		add(ports->metric, f->account, f->region, name, dimensions, n, value, METRIC_COUNT);
}

void figures_provisioned_begin(const struct ports *ports, const struct function *f,
	struct provision *provision, bool provisioned)
{
	unsigned busy = provisioned ? atomic_fetch_add(&provision->busy, 1) + 1 : 0, allocated;

	if (!ports->metric || !provision || !atomic_load(&provision->wanted))
		return;
	if (!provisioned) {
		add_provisioned(ports, f, "ProvisionedConcurrencySpilloverInvocations", 1);
		return;
	}
	allocated = MAX(atomic_load(&provision->allocated), 1u);
	add_provisioned(ports, f, "ProvisionedConcurrencyInvocations", 1);
	add_provisioned(ports, f, "ProvisionedConcurrentExecutions", busy);
	add_provisioned(ports, f, "ProvisionedConcurrencyUtilization", (double)busy / allocated);
}

void figures_provisioned_end(struct provision *provision, bool provisioned)
{
	if (provisioned)
		atomic_fetch_sub(&provision->busy, 1);
}
