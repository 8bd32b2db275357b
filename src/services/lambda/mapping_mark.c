/*
 * Marks: what is given to a function is written down before, so that a batch that takes the worker
 * down with it does so twice and not for ever. A worker that was started after a crash counts the
 * crash for what the crashed one was at; at two it is put aside: passed over, logged with its
 * sequences, and told to the on-failure destination. A server that was killed as a whole, or lost
 * its power, counts nothing: then the batch is not to blame. See mapping_engine.h.
 */
#include "base/check.h"
#include "base/log.h"
#include "services/lambda/mapping_internal.h"

enum { CRASHES_MAX = 2 };

int mapping_take_mark(struct mapping_reader *r)
{
	struct arena a cleanup(arena_done_p) = {0};
	const struct mapping_run *run = r->run;
	const struct mapping_engine *e = run->engine;
	struct mapping_mark mark;

	arena_init(&a, SIZE_MAX);
	r->crashes = r->aside = 0;
	r->aside_window = false;
	if (TRY(mapping_mark(e->kv, &a, run->account, run->region, run->uuid, buf_str(&r->shard),
		    &mark)) == 0 ||
		!str_eq(mark.from, buf_str(&r->position)) || (!mark.records && !r->window_ms))
		return 0;
	r->crashes = mark.crashes;
	if (e->options.after_crash && mark.boot && mark.boot != e->boot)
		r->crashes++;
	if (r->crashes < CRASHES_MAX)
		return 0;
	r->aside_window = !mark.records;
	r->aside = mark.records;
	buf_reset(&r->aside_last);
	buf_put(&r->aside_last, mark.last);
	check(!r->aside_last.over);
	return 0;
}

static int put(const struct mapping_reader *r, const struct mapping_mark *mark)
{
	const struct mapping_run *run = r->run;

	return mapping_put_mark(run->engine->kv, run->account, run->region, run->uuid,
		buf_str(&r->shard), mark, rt_after_ms(MAPPING_KV_MS));
}

int mapping_begin(struct mapping_reader *r, const struct mapping_round *round)
{
	const struct mapping_mark mark = {.boot = r->run->engine->boot,
		.crashes = r->crashes,
		.records = round ? (uint32_t)round->count : 0,
		.from = buf_str(&r->position),
		.last = round ? round->records[round->count - 1].sequence : STR("")};
	unsigned tries = 0;
	int rc;

	while ((rc = put(r, &mark)) < 0) {
		log_warn("lambda", "a batch of an event source mapping was not marked",
			"mapping=%.*s shard=%.*s error=%s", STR_ARG(r->run->uuid),
			STR_ARG(buf_str(&r->shard)), rc_text(rc));
		TRY(mapping_pause(r, ++tries));
	}
	return 0;
}

void mapping_end(struct mapping_reader *r, int rc)
{
	const struct mapping_mark stopped = {.crashes = r->crashes,
		.records = 1,
		.from = buf_str(&r->position),
		.last = STR("")};

	if (rc >= 0)
		r->crashes = 0;
	else if (put(r, &stopped) < 0)
		log_warn("lambda", "the mark of a batch was not taken away", "mapping=%.*s",
			STR_ARG(r->run->uuid));
}

int mapping_put_aside(struct mapping_reader *r, struct mapping_round *round)
{
	const struct record_of_source **records =
		arena_new_array(&round->arena, const struct record_of_source *, round->count);
	bool last = false;
	size_t n = 0;

	/* Filters and sizes may have changed since, so both the number and the last one count. */
	while (n < round->count && n < r->aside && !last) {
		records[n] = &round->records[n];
		last = str_eq(records[n++]->sequence, buf_str(&r->aside_last));
	}
	log_error("lambda", "a batch was being processed at two crashes and is put aside",
		"mapping=%.*s shard=%.*s first=%.*s last=%.*s records=%zu", STR_ARG(r->run->uuid),
		STR_ARG(buf_str(&r->shard)), STR_ARG(records[0]->sequence),
		STR_ARG(records[n - 1]->sequence), n);
	mapping_lose(r, records, n, "RetryAttemptsExhausted", CRASHES_MAX);
	mapping_say(r->run, "PROBLEM: A batch was put aside: the server crashed twice with it");
	r->aside = last ? 0 : r->aside - (uint32_t)n;
	/* What is behind it is read again. */
	if (n < round->count) {
		round->end = false;
		round->position = records[n - 1]->position;
	}
	return mapping_write_position(r, round->position);
}
