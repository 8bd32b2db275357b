/*
 * The distributed engine over PostgreSQL's protocol: plain and correct, so that kv.h cannot drift
 * from what such a store gives. Transactions are serializable on the server, which finds the
 * conflicts; writes travel with the commit in one pipeline.
 *
 * Tables: <table>(key, value), and <table>_stamp(domain, stamp): the row of a domain is locked by
 * the transaction that stamps, so what it holds committed is the horizon. A B-tree page takes no
 * key above 2,704 bytes, so the unique index is on the first 2,000 bytes and the SHA-256 of the
 * key; ordering goes by those bytes and then the key. The format's number is the stamp of the
 * domain '\x00'.
 *
 * Threading: any loop. A transaction holds a connection from its first read, a snapshot and a scan
 * of more than one batch from their opening; whoever finds none free waits for 10 s at most.
 */
#include "kv/postgres.h"

#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>

enum { CONNECTIONS = 16, QUEUE_MAX = 4096 };

static struct pg *pg_of(const struct kv *kv)
{
	return container_of(kv, struct pg, kv);
}

/* %s is the table. $n are binary. */
#define PG_SCAN_TEXT(order)                                                                       \
	"SELECT key, value, n FROM (SELECT key, value, count(*) OVER () AS n, sum(octet_length("  \
	"value)) OVER (ORDER BY substring(key from 1 for 2000) " order ", key " order ") - "      \
	"octet_length(value) AS before FROM (SELECT key, value FROM %s WHERE ($1::bytea IS NULL " \
	"OR (substring(key from 1 for 2000) >= substring($1::bytea from 1 for 2000) AND key >= "  \
	"$1::bytea)) AND ($2::bytea IS NULL OR (substring(key from 1 for 2000) <= substring("     \
	"$2::bytea from 1 for 2000) AND key < $2::bytea)) AND ($3::bytea IS NULL OR key > "       \
	"$3::bytea) ORDER BY substring(key from 1 for 2000) " order ", key " order                \
	" LIMIT $4::bigint) AS entries) AS counted WHERE before < $5::bigint "                    \
	"ORDER BY substring(key from 1 for 2000) " order ", key " order

static const char *const statement_text[PG_STATEMENTS] = {
	[PG_BEGIN] = "BEGIN ISOLATION LEVEL SERIALIZABLE",
	[PG_BEGIN_SNAPSHOT] = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
	[PG_COMMIT] = "COMMIT",
	[PG_GET] = "SELECT value FROM %s WHERE substring(key from 1 for 2000) = "
		   "substring($1::bytea from 1 for 2000) AND sha256(key) = sha256($1::bytea)",
	[PG_PUT] = "INSERT INTO %s (key, value) VALUES ($1::bytea, $2::bytea) ON CONFLICT "
		   "(substring(key from 1 for 2000), sha256(key)) "
		   "DO UPDATE SET value = excluded.value",
	[PG_DELETE] = "DELETE FROM %s WHERE substring(key from 1 for 2000) = "
		      "substring($1::bytea from 1 for 2000) AND sha256(key) = sha256($1::bytea)",
	[PG_PUT_STAMPED] =
		"WITH given AS (INSERT INTO %s_stamp AS s (domain, stamp) VALUES ($1::bytea, 1) "
		"ON CONFLICT (domain) DO UPDATE SET stamp = s.stamp + 1 RETURNING stamp) "
		"INSERT INTO %s (key, value) SELECT $2::bytea || int8send(stamp) || $3::bytea, "
		"CASE WHEN $5::bigint < 0 THEN $4::bytea ELSE "
		"overlay($4::bytea placing int8send(stamp) from $5::bigint::int + 1 for 8) END "
		"FROM given RETURNING (SELECT stamp FROM given)",
	[PG_SCAN] = PG_SCAN_TEXT("ASC"),
	[PG_SCAN_REVERSE] = PG_SCAN_TEXT("DESC"),
	[PG_HORIZON] = "SELECT stamp FROM %s_stamp WHERE domain = $1::bytea",
};

static str int_param(char room[8], int64_t v)
{
	kv_put_be64(room, (uint64_t)v);
	return str_of(room, 8);
}

static str bytes_param(str s)
{
	return s.p ? s : STR("");
}

/* --- single statements ----------------------------------------------------------------------- */

/* One statement on a connection of its own. The step's result is the caller's. */
static mayyield int run_alone(struct pg *pg, struct pg_step *step)
{
	struct pg_exchange x = {.pg = pg, .steps = step, .n = 1, .fresh = true};
	int rc;

	TRY(pg_take(pg, &x.link));
	rc = pg_run(&x);
	pg_give(pg, x.link);
	return rc;
}

/* The first row's first column: 1, or 0 without rows. */
static int take_value(
	struct pg *pg, const struct pg_step *step, struct arena *arena, str *ret_value)
{
	if (pg->pq.PQntuples(step->result) == 0)
		return 0;
	*ret_value = arena_str(arena, str_of(pg->pq.PQgetvalue(step->result, 0, 0),
					      (size_t)pg->pq.PQgetlength(step->result, 0, 0)));
	return 1;
}

static int pg_get(
	struct kv *kv, struct kv_snapshot *snapshot, str key, struct arena *arena, str *ret_value)
{
	struct pg *pg = pg_of(kv);
	struct pg_step step = {.statement = PG_GET, .n = 1, .params = {bytes_param(key)}};
	struct pg_exchange x = {.pg = pg, .steps = &step, .n = 1};
	int rc;

	if (snapshot) {
		x.link = snapshot->state_p;
		rc = x.link->in_transaction ? pg_run(&x) : ERR_NETWORK;
	} else {
		rc = run_alone(pg, &step);
	}
	if (rc == 0)
		rc = take_value(pg, &step, arena, ret_value);
	pg->pq.PQclear(step.result);
	return rc;
}

static int pg_horizon(struct kv *kv, str domain, uint64_t *ret_horizon)
{
	struct pg *pg = pg_of(kv);
	struct pg_step step = {.statement = PG_HORIZON, .n = 1, .params = {domain}};
	int rc = run_alone(pg, &step);

	if (rc == 0)
		*ret_horizon = pg->pq.PQntuples(step.result)
				       ? kv_take_be64(pg->pq.PQgetvalue(step.result, 0, 0))
				       : 0;
	pg->pq.PQclear(step.result);
	return rc;
}

/* --- transactions ---------------------------------------------------------------------------- */

static int pg_txn_begin(struct kv_txn *txn, const str *write_keys, size_t n, int64_t deadline)
{
	(void)write_keys, (void)n, (void)deadline;
	txn->state_p = NULL;
	return 0;
}

/* Runs steps in the transaction, which begins with them if it has not yet: steps[0] is for that. */
static mayyield int run_inside(struct kv_txn *txn, struct pg_step *steps, size_t n, bool ends)
{
	struct pg *pg = pg_of(txn->kv);
	struct pg_link *link = txn->state_p;
	bool begin = link == NULL;
	struct pg_exchange x = {.pg = pg, .ends = ends};

	if (begin) {
		TRY(pg_take(pg, &link));
		txn->state_p = link;
	} else if (!link->in_transaction) {
		return ERR_NETWORK; /* the connection was lost on the way */
	}
	steps[0] = (struct pg_step){.statement = PG_BEGIN};
	x.link = link;
	x.steps = begin ? steps : steps + 1;
	x.n = begin ? n : n - 1;
	x.fresh = x.begins = begin;
	return pg_run(&x);
}

static int pg_txn_get(
	struct kv_txn *txn, str key, bool tracked, struct arena *arena, str *ret_value)
{
	struct pg *pg = pg_of(txn->kv);
	struct pg_step steps[2] = {
		[1] = {.statement = PG_GET, .n = 1, .params = {bytes_param(key)}}};
	int rc = run_inside(txn, steps, 2, false);

	(void)tracked; /* the server tracks all */
	if (rc == 0)
		rc = take_value(pg, &steps[1], arena, ret_value);
	pg->pq.PQclear(steps[0].result);
	pg->pq.PQclear(steps[1].result);
	return rc;
}

static struct pg_step op_step(const struct kv_op *op, char room[8])
{
	struct pg_step step = {.statement = PG_DELETE, .n = 1};
	int64_t at = op->value_stamp_at == KV_NO_STAMP ? -1 : (int64_t)op->value_stamp_at;

	step.params[0] = op->key;
	switch (op->kind) {
	case KV_OP_DELETE: break;
	case KV_OP_PUT:
		step.statement = PG_PUT;
		step.n = 2;
		step.params[1] = op->value;
		break;
	case KV_OP_STAMPED:
		step.statement = PG_PUT_STAMPED;
		step.n = 5;
		step.params[0] = op->domain;
		step.params[1] = str_sub(op->key, 0, op->stamp_at);
		step.params[2] = str_from(op->key, op->stamp_at + KV_STAMP_BYTES);
		step.params[3] = op->value;
		step.params[4] = int_param(room, at);
	}
	return step;
}

static int take_stamps(struct pg *pg, struct kv_txn *txn, const struct pg_step *steps)
{
	for (size_t i = 0; i < txn->n_ops; i++) {
		if (txn->ops[i].kind != KV_OP_STAMPED)
			continue;
		if (pg->pq.PQntuples(steps[i].result) != 1)
			return ERR_CORRUPT;
		kv_op_set_stamp(
			&txn->ops[i], kv_take_be64(pg->pq.PQgetvalue(steps[i].result, 0, 0)));
	}
	return 0;
}

static int pg_txn_commit(struct kv_txn *txn)
{
	struct pg *pg = pg_of(txn->kv);
	size_t n = txn->n_ops + 2;
	struct pg_step *steps;
	char(*rooms)[8];
	int rc;

	if (txn->n_ops == 0 && !txn->state_p)
		return 0;
	steps = arena_new_array(&txn->arena, struct pg_step, n);
	rooms = (char(*)[8])arena_new_array(&txn->arena, uint64_t, n);
	for (size_t i = 0; i < txn->n_ops; i++)
		steps[i + 1] = op_step(&txn->ops[i], rooms[i]);
	steps[n - 1].statement = PG_COMMIT;
	rc = run_inside(txn, steps, n, true);
	if (rc == 0)
		rc = take_stamps(pg, txn, steps + 1);
	for (size_t i = 0; i < n; i++)
		pg->pq.PQclear(steps[i].result);
	return rc;
}

static void pg_txn_end(struct kv_txn *txn)
{
	if (txn->state_p)
		pg_give(pg_of(txn->kv), txn->state_p);
	txn->state_p = NULL;
}

/* --- snapshots and scans --------------------------------------------------------------------- */

static int pg_snapshot_open(struct kv_snapshot *snapshot)
{
	struct pg *pg = pg_of(snapshot->kv);
	/* The server takes the snapshot at the first query, not at BEGIN. */
	struct pg_step steps[2] = {{.statement = PG_BEGIN_SNAPSHOT},
		{.statement = PG_HORIZON, .n = 1, .params = {str_of("\0", 1)}}};
	struct pg_exchange x = {.pg = pg, .steps = steps, .n = 2, .fresh = true, .begins = true};
	int rc;

	TRY(pg_take(pg, &x.link));
	rc = pg_run(&x);
	pg->pq.PQclear(steps[0].result);
	pg->pq.PQclear(steps[1].result);
	if (rc < 0)
		pg_give(pg, x.link);
	else
		snapshot->state_p = x.link;
	return rc;
}

static void pg_snapshot_close(struct kv_snapshot *snapshot)
{
	pg_give(pg_of(snapshot->kv), snapshot->state_p);
}

/* Entries of an answer into the batch; the last column counts what lay within the limit. */
static void take_entries(
	struct pg *pg, struct kv_scan *scan, const struct pg_step *step, size_t limit)
{
	const struct libpq *pq = &pg->pq;
	int rows = pq->PQntuples(step->result);

	for (int i = 0; i < rows; i++)
		kv_scan_add(scan,
			str_of(pq->PQgetvalue(step->result, i, 0),
				(size_t)pq->PQgetlength(step->result, i, 0)),
			str_of(pq->PQgetvalue(step->result, i, 1),
				(size_t)pq->PQgetlength(step->result, i, 1)));
	if (rows == 0)
		scan->end = true;
	else if (kv_take_be64(pq->PQgetvalue(step->result, 0, 2)) == (uint64_t)rows)
		scan->end = (size_t)rows < limit;
}

static struct pg_step scan_step(const struct kv_scan *scan, char limit[8], char bytes[8])
{
	struct pg_step step = {
		.statement = scan->range.reverse ? PG_SCAN_REVERSE : PG_SCAN, .n = 5};
	str last = scan->has_last ? buf_str(&scan->last) : STR_NULL;

	step.params[0] = scan->range.from;
	step.params[1] = scan->range.reverse && last.p ? last : scan->range.to;
	if (!scan->range.reverse) {
		step.params[2] = last;
		if (last.p)
			step.params[0] = last;
	}
	step.params[3] = int_param(limit, (int64_t)scan->batch_entries_max);
	step.params[4] = int_param(bytes, (int64_t)scan->batch_bytes_max);
	return step;
}

/* The next batch, on the connection of the transaction, the snapshot, or its own. */
static int pg_scan_fill(struct kv_scan *scan)
{
	struct pg *pg = pg_of(scan->kv);
	char limit[8], bytes[8];
	struct pg_step steps[2] = {[1] = scan_step(scan, limit, bytes)};
	struct pg_exchange x = {.pg = pg, .steps = steps, .n = 2};
	int rc;

	if (scan->txn) {
		rc = run_inside(scan->txn, steps, 2, false);
	} else {
		x.link = scan->snapshot ? scan->snapshot->state_p : scan->state_p;
		steps[0].statement = PG_BEGIN_SNAPSHOT;
		x.fresh = x.begins = !scan->snapshot && !scan->has_last;
		if (!x.begins) {
			x.steps++;
			x.n--;
		}
		rc = x.n == 1 && !x.link->in_transaction ? ERR_NETWORK : pg_run(&x);
	}
	if (rc == 0)
		take_entries(pg, scan, &steps[1], scan->batch_entries_max);
	pg->pq.PQclear(steps[0].result);
	pg->pq.PQclear(steps[1].result);
	return rc;
}

/* A scan of its own gets its first batch at once, because that fixes its state of the store. */
static int pg_scan_open(struct kv_scan *scan)
{
	struct pg_link *link = NULL;

	if (scan->txn || scan->snapshot || scan->end)
		return 0;
	TRY(pg_take(pg_of(scan->kv), &link));
	scan->state_p = link;
	kv_count(&scan->kv->scans_filled);
	return pg_scan_fill(scan);
}

static void pg_scan_close(struct kv_scan *scan)
{
	if (scan->state_p)
		pg_give(pg_of(scan->kv), scan->state_p);
	scan->state_p = NULL;
}

/* --- opening and closing --------------------------------------------------------------------- */

static void pg_free(struct pg *pg)
{
	pg_links_close(pg);
	rt_pool_free(pg->pool);
	for (unsigned i = 0; i < PG_STATEMENTS; i++)
		mem_free(pg->text[i]);
	libpq_unload(&pg->pq);
	pthread_mutex_destroy(&pg->lock);
	kv_base_done(&pg->kv);
	mem_free(pg->conninfo);
	mem_free(pg);
}

static void pg_close(struct kv *kv)
{
	pg_free(pg_of(kv));
}

static const struct kv_engine pg_engine = {
	.name = "postgres",
	.commit_reads = true,
	.close = pg_close,
	.get = pg_get,
	.txn_begin = pg_txn_begin,
	.txn_get = pg_txn_get,
	.txn_commit = pg_txn_commit,
	.txn_end = pg_txn_end,
	.snapshot_open = pg_snapshot_open,
	.snapshot_close = pg_snapshot_close,
	.scan_open = pg_scan_open,
	.scan_fill = pg_scan_fill,
	.scan_close = pg_scan_close,
	.horizon = pg_horizon,
};

/* The table's name stands in the statements' texts, so it is of harmless characters. */
static bool table_fits(str name)
{
	if (name.n == 0 || name.n > 48 || (name.p[0] >= '0' && name.p[0] <= '9'))
		return false;
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'))
			return false;
	}
	return true;
}

static struct pg *pg_new(const char *conninfo, str table, unsigned connections)
{
	struct pg *pg = mem_new(struct pg);
	size_t n = strlen(conninfo) + 1;

	kv_base_init(&pg->kv, &pg_engine);
	pg->conninfo = mem_alloc(n);
	memcpy(pg->conninfo, conninfo, n);
	memcpy(pg->table, table.p, table.n);
	pg->max = connections ? connections : CONNECTIONS;
	pthread_mutex_init(&pg->lock, NULL);
	list_init(&pg->idle);
	list_init(&pg->waiters);
	for (unsigned i = 0; i < PG_STATEMENTS; i++) {
		/* At most two times the table's name. */
		size_t size = strlen(statement_text[i]) + 2 * sizeof pg->table;

		pg->text[i] = mem_alloc(size);
		snprintf(pg->text[i], size, statement_text[i], pg->table, pg->table);
	}
	return pg;
}

int kv_open_postgres(
	const char *conninfo, const struct kv_postgres_options *options, struct kv **ret_kv)
{
	str table = str_c(options && options->table ? options->table : "cirrus_kv");
	struct pg *pg;
	int rc;

	if (rt_simulated(rt_self()))
		return ERR_UNSUPPORTED;
	if (!table_fits(table))
		return ERR_INVALID;
	pg = pg_new(conninfo, table, options ? options->connections : 0);
	rc = rt_pool_new(rt_self(), "kv-postgres", pg->max, QUEUE_MAX, &pg->pool);
	if (rc == 0)
		rc = pg_prepare(pg);
	if (rc < 0) {
		pg_free(pg);
		return rc;
	}
	*ret_kv = &pg->kv;
	return 0;
}
