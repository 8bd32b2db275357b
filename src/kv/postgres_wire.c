/*
 * The way to PostgreSQL: libpq by dlopen, a bounded set of connections, and exchanges of several
 * statements in pipeline mode, run on the pool "kv-postgres" because libpq blocks.
 *
 * Errors are told by SQLSTATE: serialization failures, deadlocks and duplicate keys (which a
 * serializable insert may raise instead) are conflicts.
 */
#include "base/log.h"
#include "base/mem.h"
#include "kv/postgres.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	PG_CONNECTION_OK = 0,
	PG_COMMAND_OK = 1,
	PG_TUPLES_OK = 2,
	PG_PIPELINE_SYNC = 10,
	PG_PIPELINE_ABORTED = 11,
	PG_SQLSTATE = 'C',
	PG_MESSAGE = 'M',
	/* Unread answers of more statements might fill the sockets both ways. */
	STEPS_AT_ONCE = 256,
};

static const int64_t TAKE_NS_MAX = 10 * RT_NS_S;

int libpq_load(struct libpq *pq)
{
	pq->handle = dlopen("libpq.so.5", RTLD_NOW | RTLD_LOCAL);
	if (!pq->handle)
		return ERR_UNSUPPORTED;
#define PQ(result, name, arguments)                                \
	pq->name = (__typeof__(pq->name))dlsym(pq->handle, #name); \
	if (!pq->name)                                             \
		return ERR_UNSUPPORTED;
#include "kv/libpq.def"
#undef PQ
	return 0;
}

void libpq_unload(struct libpq *pq)
{
	if (pq->handle)
		dlclose(pq->handle);
	pq->handle = NULL;
}

/* --- connections ----------------------------------------------------------------------------- */

struct waiter {
	struct list link;
	struct rt_event event;
	struct pg_link *got;
};

int pg_take(struct pg *pg, struct pg_link **ret_link)
{
	struct waiter w = {.got = NULL};
	struct list *idle;
	int rc;

	rt_event_init(&w.event);
	list_init(&w.link);
	pthread_mutex_lock(&pg->lock);
	idle = list_pop_front(&pg->idle);
	if (idle)
		w.got = list_entry(idle, struct pg_link, link);
	else if (pg->made < pg->max) {
		pg->made++;
		w.got = mem_new(struct pg_link);
		list_init(&w.got->link);
	} else
		list_push_back(&pg->waiters, &w.link);
	pthread_mutex_unlock(&pg->lock);
	if (!w.got) {
		rc = rt_event_wait(&w.event, rt_now() + TAKE_NS_MAX);
		pthread_mutex_lock(&pg->lock);
		list_remove(&w.link);
		pthread_mutex_unlock(&pg->lock);
		if (rc < 0 && w.got) {
			pg_give(pg, w.got);
			return rc;
		}
		if (rc < 0)
			return rc == ERR_TIMEOUT ? ERR_BUSY : rc;
	}
	*ret_link = w.got;
	return 0;
}

void pg_give(struct pg *pg, struct pg_link *link)
{
	struct list *first;

	pthread_mutex_lock(&pg->lock);
	first = list_pop_front(&pg->waiters);
	if (first) {
		struct waiter *w = list_entry(first, struct waiter, link);

		w->got = link;
		rt_event_set(&w->event);
	} else {
		list_push_front(&pg->idle, &link->link);
	}
	pthread_mutex_unlock(&pg->lock);
}

void pg_links_close(struct pg *pg)
{
	struct list *at;

	while ((at = list_pop_front(&pg->idle)) != NULL) {
		struct pg_link *link = list_entry(at, struct pg_link, link);

		if (link->conn)
			pg->pq.PQfinish(link->conn);
		mem_free(link);
		pg->made--;
	}
	check(pg->made == 0);
}

/* --- exchanges ------------------------------------------------------------------------------- */

static int result_rc(struct pg *pg, const PGresult *result)
{
	int status = pg->pq.PQresultStatus(result);
	const char *state, *message;

	if (status == PG_COMMAND_OK || status == PG_TUPLES_OK || status == PG_PIPELINE_SYNC)
		return 0;
	if (status == PG_PIPELINE_ABORTED)
		return ERR_CANCELLED; /* for what an earlier statement failed */
	state = pg->pq.PQresultErrorField(result, PG_SQLSTATE);
	message = pg->pq.PQresultErrorField(result, PG_MESSAGE);
	if (!state)
		return ERR_NETWORK;
	if (strcmp(state, "40001") == 0 || strcmp(state, "40P01") == 0 ||
		strcmp(state, "23505") == 0)
		return ERR_CONFLICT;
	log_error("kv", "postgres failed", "sqlstate=%s error=%s", state, message ? message : "");
	if (strcmp(state, "53100") == 0)
		return ERR_NO_SPACE;
	if (strncmp(state, "53", 2) == 0)
		return ERR_BUSY;
	if (strncmp(state, "08", 2) == 0 || strncmp(state, "57", 2) == 0)
		return ERR_NETWORK;
	return ERR_IO;
}

static int simple(struct pg *pg, PGconn *conn, const char *text)
{
	PGresult *result = pg->pq.PQexec(conn, text);
	int rc = result ? result_rc(pg, result) : ERR_NETWORK;

	pg->pq.PQclear(result);
	return rc;
}

/* A connection that works; a lost one is made anew unless a transaction was on it. */
static int link_ready(struct pg *pg, struct pg_link *link, bool fresh)
{
	if (link->conn && pg->pq.PQstatus(link->conn) != PG_CONNECTION_OK) {
		pg->pq.PQfinish(link->conn);
		link->conn = NULL;
		link->in_transaction = false;
		if (!fresh)
			return ERR_NETWORK;
	}
	if (!link->conn) {
		link->conn = pg->pq.PQconnectdb(pg->conninfo);
		if (!link->conn || pg->pq.PQstatus(link->conn) != PG_CONNECTION_OK) {
			log_error("kv", "postgres cannot be reached", "error=%s",
				pg->pq.PQerrorMessage(link->conn));
			pg->pq.PQfinish(link->conn);
			link->conn = NULL;
			return ERR_NETWORK;
		}
	}
	return 0;
}

static int step_send(struct pg *pg, PGconn *conn, const struct pg_step *step)
{
	static const int binary[PG_PARAMS_MAX] = {1, 1, 1, 1, 1, 1};
	const char *values[PG_PARAMS_MAX];
	int lengths[PG_PARAMS_MAX];

	for (unsigned i = 0; i < step->n; i++) {
		values[i] = step->params[i].p;
		lengths[i] = (int)step->params[i].n;
	}
	return pg->pq.PQsendQueryParams(conn, pg->text[step->statement], (int)step->n, NULL, values,
		       lengths, binary, 1)
		       ? 0
		       : ERR_NETWORK;
}

/* Reads the answers to `n` steps and the sync; the first error is the result. */
static int steps_receive(struct pg *pg, PGconn *conn, struct pg_step *steps, size_t n)
{
	int rc = 0;

	for (size_t i = 0; i < n; i++) {
		PGresult *result = pg->pq.PQgetResult(conn), *more;
		int one;

		if (!result)
			return ERR_NETWORK;
		one = result_rc(pg, result);
		if (rc == 0)
			rc = one;
		steps[i].result = result;
		while ((more = pg->pq.PQgetResult(conn)) != NULL)
			pg->pq.PQclear(more);
		if (pg->pq.PQstatus(conn) != PG_CONNECTION_OK)
			return ERR_NETWORK;
	}
	pg->pq.PQclear(pg->pq.PQgetResult(conn));
	return rc;
}

static int exchange(struct pg *pg, PGconn *conn, struct pg_step *steps, size_t n)
{
	int rc = 0;

	if (!pg->pq.PQenterPipelineMode(conn))
		return ERR_NETWORK;
	for (size_t i = 0; i < n && rc == 0; i++)
		rc = step_send(pg, conn, &steps[i]);
	if (rc == 0 && !pg->pq.PQpipelineSync(conn))
		rc = ERR_NETWORK;
	if (rc == 0)
		rc = steps_receive(pg, conn, steps, n);
	if (!pg->pq.PQexitPipelineMode(conn))
		rc = ERR_NETWORK;
	return rc;
}

static void exchange_run(void *arg)
{
	struct pg_exchange *x = arg;
	struct pg *pg = x->pg;
	PGconn *conn;

	x->rc = link_ready(pg, x->link, x->fresh);
	if (x->rc < 0)
		return;
	conn = x->link->conn;
	if (x->fresh && x->link->in_transaction) {
		x->rc = simple(pg, conn, "ROLLBACK");
		x->link->in_transaction = x->rc < 0;
	}
	for (size_t i = 0; i < x->n && x->rc == 0; i += STEPS_AT_ONCE)
		x->rc = exchange(pg, conn, x->steps + i, MIN(x->n - i, (size_t)STEPS_AT_ONCE));
	if (x->begins)
		x->link->in_transaction = true;
	if (x->rc == ERR_NETWORK) {
		/* Nothing on it can be trusted any more; the server rolls back. */
		pg->pq.PQfinish(conn);
		x->link->conn = NULL;
		x->link->in_transaction = false;
	} else if (x->ends && x->rc == 0) {
		x->link->in_transaction = false;
	} else if (x->ends) {
		x->link->in_transaction = simple(pg, conn, "ROLLBACK") < 0;
	}
}

int pg_run(struct pg_exchange *x)
{
	TRY(rt_pool_run(x->pg->pool, exchange_run, x, RT_NEVER));
	return x->rc;
}

/* --- the tables ------------------------------------------------------------------------------ */

struct prepare {
	struct pg *pg;
	struct pg_link *link;
	int rc;
};

static int prepare_tables(struct pg *pg, PGconn *conn)
{
	char text[2048];
	int n = snprintf(text, sizeof text,
		"SET client_min_messages = warning; BEGIN;"
		"SELECT pg_advisory_xact_lock(hashtext('%s'));"
		"CREATE TABLE IF NOT EXISTS %s (key bytea NOT NULL, value bytea NOT NULL);"
		"CREATE UNIQUE INDEX IF NOT EXISTS %s_key ON %s "
		"(substring(key from 1 for 2000), sha256(key));"
		"CREATE TABLE IF NOT EXISTS %s_stamp (domain bytea PRIMARY KEY, stamp bigint NOT "
		"NULL);"
		"INSERT INTO %s_stamp VALUES ('\\x00', 1) ON CONFLICT DO NOTHING; COMMIT",
		pg->table, pg->table, pg->table, pg->table, pg->table, pg->table);

	check(n > 0 && (size_t)n < sizeof text);
	return simple(pg, conn, text);
}

static void prepare_run(void *arg)
{
	struct prepare *p = arg;
	struct pg_step step = {.statement = PG_HORIZON, .n = 1, .params = {str_of("\0", 1)}};

	p->rc = libpq_load(&p->pg->pq);
	if (p->rc == 0)
		p->rc = link_ready(p->pg, p->link, true);
	if (p->rc == 0)
		p->rc = prepare_tables(p->pg, p->link->conn);
	if (p->rc == 0)
		p->rc = exchange(p->pg, p->link->conn, &step, 1);
	if (p->rc == 0 && (p->pg->pq.PQntuples(step.result) != 1 ||
				  p->pg->pq.PQgetlength(step.result, 0, 0) != 8 ||
				  kv_take_be64(p->pg->pq.PQgetvalue(step.result, 0, 0)) != 1))
		p->rc = ERR_VERSION;
	if (step.result)
		p->pg->pq.PQclear(step.result);
}

int pg_prepare(struct pg *pg)
{
	struct prepare p = {.pg = pg};
	int rc;

	TRY(pg_take(pg, &p.link));
	rc = rt_pool_run(pg->pool, prepare_run, &p, RT_NEVER);
	pg_give(pg, p.link);
	return rc < 0 ? rc : p.rc;
}
