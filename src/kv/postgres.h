/*
 * Shared by the files of the PostgreSQL engine: postgres.c (the engine) and postgres_wire.c
 * (libpq, connections, pipelines). Used by them only.
 */
#ifndef KV_POSTGRES_H
#define KV_POSTGRES_H

#include "kv/engine.h"
#include "rt/rt.h"

#include <pthread.h>

typedef struct pg_conn PGconn;
typedef struct pg_result PGresult;
typedef unsigned Oid;

struct libpq {
	void *handle;
#define PQ(result, name, arguments) result(*name) arguments;
#include "kv/libpq.def"
#undef PQ
};

/* The statements, by number; their text is made once for the table's name. */
enum pg_statement {
	PG_BEGIN,
	PG_BEGIN_SNAPSHOT,
	PG_COMMIT,
	PG_GET,
	PG_PUT,
	PG_DELETE,
	PG_PUT_STAMPED,
	PG_SCAN,
	PG_SCAN_REVERSE,
	PG_HORIZON,
	PG_STATEMENTS
};

struct pg_link {
	struct list link; /* in idle */
	PGconn *conn;
	bool in_transaction; /* one that somebody left: rolled back before the next use */
};

struct pg {
	struct kv kv;
	struct libpq pq;
	struct rt_pool *pool;
	char *conninfo;
	char *text[PG_STATEMENTS];
	char table[64];
	/* connections; the lock is held for list operations only */
	pthread_mutex_t lock;
	struct list idle, waiters;
	unsigned made, max;
};

/* One statement of a pipeline: binary parameters, and where its first result goes. */
enum { PG_PARAMS_MAX = 6 };
struct pg_step {
	enum pg_statement statement;
	unsigned n;
	str params[PG_PARAMS_MAX]; /* STR_NULL: null */
	PGresult *result;          /* owned by whoever made the step */
};

/* Steps that go to the server together, then one sync; runs on the pool. */
struct pg_exchange {
	struct pg *pg;
	struct pg_link *link;
	struct pg_step *steps;
	size_t n;
	bool fresh;  /* the first use since the connection was taken */
	bool begins; /* steps[0] begins a transaction */
	bool ends;   /* the transaction is over afterwards, whatever happened */
	int rc;
};

must_use int libpq_load(struct libpq *pq);
void libpq_unload(struct libpq *pq);
/* Waits for a connection that is free. ERR_BUSY when none becomes free. */
must_use mayyield int pg_take(struct pg *pg, struct pg_link **ret_link);
void pg_give(struct pg *pg, struct pg_link *link);
must_use mayyield int pg_run(struct pg_exchange *x);
void pg_links_close(struct pg *pg);
/* On the pool: connects, makes the tables, looks at the format. */
must_use mayyield int pg_prepare(struct pg *pg);

#endif
