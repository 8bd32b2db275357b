/*
 * Lambda: functions, their instances and their invocations, as the server's main sees it.
 *
 *     control plane   CreateFunction ... (control.c, policy.c): records in the store, code in files
 *     invoke          Invoke and the invoke port (invoke.c), asynchronous events (events.c)
 *     instances       one container each (instance.c), found or made by the scheduler (scheduler.c)
 *
 * Threading: lambda_service_new() before the runtime runs; start and stop in a fiber of loop 0.
 * Everything else happens in request fibers of every loop: an instance belongs to the loop that
 * made it, each loop has a shard of the scheduler, and what they share is atomic counters, the pool
 * of booted containers and the table of code in use (one lock each, never held over a suspension).
 *
 * Source: AWS Lambda Developer Guide and API Reference; quotas: limits.def.
 */
#ifndef SERVICES_LAMBDA_LAMBDA_H
#define SERVICES_LAMBDA_LAMBDA_H

#include "aws/gate.h"

struct http_exchange;
struct kv;
struct lambda_service;
struct rt;
struct sandbox;

/* The order in which launcher_options.listens must name the ports inside a container. */
enum lambda_listen {
	LAMBDA_LISTEN_RUNTIME_API,     /* 9001 */
	LAMBDA_LISTEN_ENDPOINT,        /* 4566 */
	LAMBDA_LISTEN_RESOLVER,        /* 53, UDP; it may end here */
	LAMBDA_LISTEN_RESOLVER_STREAM, /* 53, TCP */
	LAMBDA_LISTENS
};
enum { LAMBDA_PORT_RUNTIME_API = 9001, LAMBDA_PORT_ENDPOINT = 4566, LAMBDA_PORT_RESOLVER = 53 };

struct lambda_options {
	/* Absolute path of the data folder; code is kept in its folder "lambda". The launcher's
	 * data_folder is the same. */
	const char *data_folder;
	/* Relative to the data folder: where node/, python/, ruby/ and java/ with our programs are.
	 */
	const char *runtimes_folder; /* NULL: "runtimes" */
	/* Programs inside a container, absolute; NULL: that family of runtimes is refused. */
	const char *node, *python, *ruby, *java;
	/* Packages of the runtime for Node.js: one of the launcher's runtime_roots. NULL or empty:
	 * none. */
	const char *node_modules;
	/* Where container images are (image_files.h). NULL or empty: they are refused. */
	const char *image_folder;
	unsigned pool;            /* pre-booted containers per runtime in use; 0: off */
	uint64_t memory_bytes;    /* budget: sum of instances' MemorySize; 0: twice the host's */
	unsigned instances_max;   /* 0: 900, below the launcher's own limit */
	unsigned concurrency_max; /* per account; 0: 1,000 (the AWS default) */
	unsigned burst;           /* new instances of a function in 10 s; 0: no limit */
	int64_t idle_ms;          /* an idle instance is ended after; 0: 10 minutes */
	int64_t retry_base_ms;    /* asynchronous: first back-off, doubled after; 0: 1 minute */
	/* Function URLs are http://{id}.lambda-url.{region}.SUFFIX/: host and port; NULL:
	 * localhost. */
	const char *endpoint_suffix;
	/*
	 * This process is there in place of one that crashed: what that one was at counts a crash,
	 * and is put aside at the second. After a kill of the whole server nothing counts.
	 */
	bool after_crash;
	/* Further domains of cirrus, which a function's resolver answers with 127.0.0.1; borrowed.
	 */
	const char *const *host_suffixes;
	unsigned host_suffix_count;
	/* Functions have a network: their resolver passes on what it does not know. */
	bool resolve_others;
	uint32_t host_address; /* of the host inside, in machine order; 0: it cannot be reached */
	bool auth_strict;      /* a role that IAM does not know is an error */
	/* The key of download links (GetFunction); NULL: random, links end with the process. */
	const uint8_t *url_key; /* 32 bytes */
	/*
	 * Serves what a function sends to http://127.0.0.1:4566: the server's own front, with this
	 * trust. Answers always.
	 */
	void (*front)(void *arg, struct http_exchange *x, const struct gate_trust *trust) mayyield;
	void *front_arg;
};

/*
 * Takes loop-local slots, so before rt_run(). The sandbox comes later. Sets ports->invoke and adds
 * the host labels "lambda-code" and "lambda-url". All arguments outlive the service; strings of
 * options are copied.
 */
must_use int lambda_service_new(const struct lambda_options *options, struct rt *rt,
	struct ports *ports, struct lambda_service **ret_service);
/* For gate_register(); lives as long as the service. */
const struct service *lambda_service_rows(struct lambda_service *s);
/*
 * Sweeps what a crash left, goes on with functions that are Pending and with asynchronous events
 * (quarantining what was running at two crashes). Before or after this the sandbox is set; what
 * needs a container waits for that.
 */
must_use int lambda_service_start(struct lambda_service *s, struct kv *kv) mayyield;
/*
 * Once, from any loop. `sandbox` may be NULL: every invocation then answers an error that says
 * `sandbox_why`, and the control plane works.
 */
void lambda_service_set_sandbox(
	struct lambda_service *s, struct sandbox *sandbox, const char *sandbox_why);
/*
 * Drains: no new asynchronous work, waits for running invocations until the deadline, then kills
 * every instance and frees the pool. The sandbox can be closed afterwards.
 */
void lambda_service_stop(struct lambda_service *s, int64_t deadline) mayyield;
/* After rt_run(). NULL is fine. */
void lambda_service_free(struct lambda_service *s);

/* Figures for /_cirrus/metrics; any thread. */
struct lambda_figures {
	uint64_t invocations, errors, throttles, cold_starts, pooled_starts, timeouts;
	uint64_t instances, instances_busy, pool_ready, events_waiting, log_lines_dropped,
		snapshot_bytes;
};
void lambda_service_figures(const struct lambda_service *s, struct lambda_figures *ret_figures);

#endif
