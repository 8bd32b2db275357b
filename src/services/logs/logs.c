/* The logs service: its table of operations, its start and its end. See logs.h. */
#include "services/logs/logs.h"

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rc.h"
#include "services/logs/service.h"

enum { BODY_BYTES_MAX = 8 * 1024 * 1024 }; /* 1 MiB of messages, escaped */

/* arn:aws:logs:{region}:{account}:log-group:{name}[:log-stream:{name}] */
static int resource_arn(struct call *c, str *ret_arn)
{
	str group = STR_NULL, stream = STR_NULL;

	for (unsigned i = 0; i < 3; i++) {
		static const char *const members[] = {
			"logGroupName", "logGroupIdentifier", "resourceArn"};
		const struct model *m = c->service->model;

		if (!group.n && model_member(m, c->in->shape, str_c(members[i])) >= 0)
			group = value_str(c->in, members[i]);
	}
	if (model_member(c->service->model, c->in->shape, STR("logStreamName")) >= 0)
		stream = value_str(c->in, "logStreamName");
	if (str_starts(group, STR("arn:"))) {
		*ret_arn = group;
		return 0;
	}
	*ret_arn = ARENA_CONCAT(c->arena, STR("arn:aws:logs:"), c->region, STR(":"), c->account,
		STR(":log-group:"), group.n ? group : STR("*"),
		stream.n ? STR(":log-stream:") : STR(":*"), stream);
	return 0;
}

static const struct operation_row rows[] = {
#define OPERATION(name_) {.name = #name_, .handle = logs_##name_, .resource = resource_arn},
	LOGS_OPERATIONS
#undef OPERATION
};

int logs_kv(struct call *c, struct kv **ret_kv)
{
	struct logs *logs = c->self;

	*ret_kv = atomic_load(&logs->kv);
	if (!*ret_kv)
		return LOGS_FAULT(c, UNAVAILABLE, "The server is starting");
	return 0;
}

static void writer_free(void *value)
{
	struct log_writer *writer = value;
	struct list *at;

	check(!writer->running);
	while ((at = list_pop_front(&writer->queue)) != NULL)
		mem_free(list_entry(at, struct log_entry, link));
	mem_free(writer);
}

struct log_writer *logs_writer(struct logs *logs)
{
	void **slot = rt_slot(logs->slot);

	if (!*slot) {
		struct log_writer *writer = mem_new(struct log_writer);

		writer->logs = logs;
		list_init(&writer->queue);
		rt_waitq_init(&writer->idle);
		rt_event_init(&writer->hurry);
		*slot = writer;
	}
	return *slot;
}

int logs_service_new(const struct logs_options *options, struct logs **ret_logs)
{
	struct logs *logs = mem_new(struct logs);

	logs->options = *options;
	logs->slot = rt_slot_new(options->rt, writer_free);
	logs->service = mem_new(struct service);
	*logs->service = (struct service){.model = model_named(STR("logs")),
		.rows = rows,
		.row_count = ARRAY_SIZE(rows),
		.body_max = BODY_BYTES_MAX,
		.self = logs};
	logs->port = (struct port_log){.self = logs, .put = writer_port_put};
	rt_waitq_init(&logs->sweeper_ended);
	options->ports->log = &logs->port;
	*ret_logs = logs;
	return 0;
}

int logs_service_start(struct logs *logs, struct kv *kv)
{
	atomic_store(&logs->kv, kv);
	return rt_spawn_now(logs_sweeper, logs);
}

/* ---- draining every loop ---- */

struct drain {
	struct logs *logs;
	int64_t deadline;
	_Atomic int rc;
	_Atomic unsigned left;
	struct rt_event done;
};

static void drain_fiber(void *arg)
{
	struct drain *d = arg;
	int rc = writer_drain(d->logs, d->deadline);

	if (rc < 0)
		atomic_store(&d->rc, rc);
	if (atomic_fetch_sub(&d->left, 1) == 1)
		rt_event_set(&d->done);
}

int logs_service_drain(struct logs *logs, int64_t deadline)
{
	struct rt *rt = logs->options.rt;
	unsigned loops = rt_loop_count(rt);
	struct drain d = {.logs = logs, .deadline = deadline};

	rt_event_init(&d.done);
	/* One more than there are, so that it cannot end while fibers are being started. */
	atomic_store(&d.left, loops + 1);
	for (unsigned i = 0; i < loops; i++) {
		int rc = rt_spawn_on(rt, i, drain_fiber, &d);

		if (rc < 0) {
			atomic_store(&d.rc, rc);
			atomic_fetch_sub(&d.left, 1);
		}
	}
	if (atomic_fetch_sub(&d.left, 1) != 1)
		rt_event_wait_sure(&d.done); /* they use our memory; their waits have a deadline */
	return atomic_load(&d.rc);
}

void logs_service_stop(struct logs *logs, int64_t deadline)
{
	if (!logs)
		return;
	int rc = logs_service_drain(logs, deadline);
	if (rc < 0)
		log_line(LOG_WARN, "logs", "lines were not stored in time", "rc=%s", rc_name(rc));
	if (logs->sweeper)
		rt_fiber_cancel(logs->sweeper, logs->sweeper_id);
	while (logs->sweeper && rt_waitq_wait(&logs->sweeper_ended, deadline) == 0)
		;
	atomic_store(&logs->kv, NULL);
}

void logs_service_free(struct logs *logs)
{
	if (!logs)
		return;
	mem_free(logs->service);
	mem_free(logs);
}

const struct service *logs_service_rows(const struct logs *logs)
{
	return logs->service;
}

void logs_figures(const struct logs *logs, struct logs_figures *ret_figures)
{
	*ret_figures = (struct logs_figures){.events = atomic_load(&logs->events),
		.bytes = atomic_load(&logs->bytes),
		.batches = atomic_load(&logs->batches),
		.commits = atomic_load(&logs->commits),
		.dropped = atomic_load(&logs->dropped)};
}
