/*
 * Lines of log a second into RocksDB through the log port: four lines a call, as a small function
 * writes them; without waiting (functions) and waiting for the disk (PutLogEvents), 64 callers.
 */
#include "services/logs/logs.h"
#include "aws/ports/log.h"
#include "aws/ports/ports.h"
#include "base/rc.h"
#include "kv/kv.h"
#include "rt/rt.h"

#include <stdio.h>
#include <stdlib.h>

enum { CALLERS = 64, LINES = 4, SECONDS = 2 };

struct bench {
	struct rt *rt;
	struct ports ports;
	struct logs *logs;
	bool wait;
	int64_t until;
	unsigned left;
	struct rt_event done;
};

static void caller(void *arg)
{
	static const char line[] = "2026-01-01T00:00:00.000Z\t7d3ab5c5-5f3c-4b43-a1c5-"
				   "8d8a0e1b9a10\tINFO\tstored one item";
	struct bench *b = arg;
	struct port_log_event events[LINES];
	char stream[32];
	int n = snprintf(stream, sizeof(stream), "stream-%u", b->left);

	b->left--;
	if (rt_yield() < 0)
		return;
	while (rt_now() < b->until) {
		for (int i = 0; i < LINES; i++)
			events[i] = (struct port_log_event){
				rt_wall() / RT_NS_MS, str_of(line, sizeof(line) - 1)};
		int rc = b->ports.log->put(b->ports.log->self, STR("000000000000"),
			STR("us-east-1"), STR("/aws/lambda/f"), str_of(stream, (size_t)n), true,
			b->wait, events, LINES);
		if ((rc == ERR_BUSY || !b->wait) && rt_yield() < 0)
			break;
	}
	if (++b->left == CALLERS)
		rt_event_set(&b->done);
}

static void run(struct bench *b, bool wait)
{
	struct logs_figures before, after;
	int64_t begun = rt_now();

	b->wait = wait;
	b->until = rt_after_ms(SECONDS * 1000);
	b->left = CALLERS;
	rt_event_init(&b->done);
	for (int i = 0; i < CALLERS; i++)
		if (rt_spawn_now(caller, b) < 0)
			exit(1);
	logs_figures(b->logs, &before);
	if (rt_event_wait(&b->done, rt_after_ms(60000)) < 0 ||
		logs_service_drain(b->logs, rt_after_ms(60000)) < 0)
		exit(1);
	logs_figures(b->logs, &after);
	double seconds = (double)(rt_now() - begun) / 1e9;
	printf("logs: lines/s %-26s %8.0f   %.1f lines a commit, %.0f %% dropped\n",
		wait ? "waiting for the disk" : "without waiting",
		(double)(after.events - before.events) / seconds,
		(double)(after.events - before.events) / (double)(after.commits - before.commits),
		100.0 * (double)(after.dropped - before.dropped) /
			(double)(after.dropped - before.dropped + after.events - before.events));
}

static void bench_main(void *arg)
{
	struct bench *b = arg;
	char folder[] = "/tmp/cirrus-bench-logs-XXXXXX";
	const struct kv_rocksdb_options options = {.durability = KV_SYNCED};
	struct kv *kv;

	if (!mkdtemp(folder) || kv_open_rocksdb(folder, &options, &kv) < 0 ||
		logs_service_start(b->logs, kv) < 0)
		exit(1);
	run(b, false);
	run(b, true);
	logs_service_stop(b->logs, rt_after_ms(60000));
	kv_close(kv);
	rt_stop(b->rt);
	char command[128];
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	if (system(command) != 0)
		exit(1);
}

int main(void)
{
	struct bench b = {0};
	const struct rt_options options = {.loops = 1};

	if (rt_new(&options, &b.rt) < 0)
		return 1;
	const struct logs_options logs = {.rt = b.rt, .ports = &b.ports};
	if (logs_service_new(&logs, &b.logs) < 0 || rt_run(b.rt, bench_main, &b) < 0)
		return 1;
	logs_service_free(b.logs);
	rt_free(b.rt);
	return 0;
}
