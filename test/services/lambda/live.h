/*
 * A lambda service with everything real but the front: runtime, sandbox, store in memory, gate. For
 * tests that run functions in containers.
 */
#ifndef TEST_SERVICES_LAMBDA_LIVE_H
#define TEST_SERVICES_LAMBDA_LIVE_H

#include "aws/gate.h"
#include "aws/ports/call.h"
#include "aws/ports/invoke.h"
#include "rt/rt.h"
#include "services/lambda/lambda.h"

#include <sys/types.h>

struct live {
	struct rt *rt;
	struct ports ports;
	struct gate *gate;
	struct kv *kv;
	struct sandbox *sandbox;
	struct rt_event sandbox_set; /* the service has it */
	struct lambda_service *lambda;
	struct arena arena;
	struct principal principal;
	struct fault fault;      /* of the last call */
	const struct value *out; /* of the last call */
	struct buf log;          /* all lines, each behind "group|stream|" */
	bool log_busy;           /* the log port has no room */
	str endpoint_arn;        /* of the principal in the last request to the endpoint */
	struct lambda_options options;
	unsigned loops;
	void (*test)(struct live *l);
	int launcher_fd;
	pid_t launcher;
	char data[256];
	bool no_sandbox; /* the control plane alone */
	bool ran;        /* the test was reached */
};

/* The test module.name, which runs the function `name`; `set` are assignments to l.options and the
 * like. */
#define LIVE_TEST(module, name, set)                   \
	TEST(module, name)                             \
	{                                              \
		struct live l;                         \
                                                       \
		live_init(&l);                         \
		set;                                   \
		live_run(&l, #module "." #name, name); \
	}

/* Fills what a test may change before live_run(). */
void live_init(struct live *l);
/* Runs `test` in a fiber with everything started, then stops it all; in a process of its own.
 * `name`: "module.name" of the running test. */
void live_run(struct live *l, const char *name, void (*test)(struct live *l));

/* An operation of lambda: 0, or ERR_FAULT with l->fault. `in` from live_input(). */
struct value *live_input(struct live *l, const char *operation);
int live_call(struct live *l, const char *operation, const struct value *in);
/* Creates a native function; handler: see programs/bootstrap.c. Waits until it is Active. */
void live_create(
	struct live *l, const char *name, const char *handler, int memory_mb, int timeout_s);
/* Calls it through the port, and lets the log come in. */
struct invoke_result live_invoke(struct live *l, const char *name, const char *payload);
/* The zip of the native functions; an input of CreateFunction. */
str live_native_zip(struct live *l);
/* Their program alone. */
str live_native_bootstrap(struct live *l);
struct value *live_function_input(
	struct live *l, const char *name, const char *handler, const char *runtime, str zip);
/* A version of a layer with these files: its ARN. */
struct zip_entry;
str live_publish_layer(
	struct live *l, const char *name, const struct zip_entry *entries, unsigned n);
/* A native function with layers, Active. */
void live_create_layered(struct live *l, const char *name, const char *handler, str zip,
	const str *layers, unsigned n);
void live_wait_active(struct live *l, const char *name);
bool live_log_has(const struct live *l, const char *text);
/* How often it is there. */
unsigned live_log_count(const struct live *l, const char *text);
void live_sleep(int ms);
/* Gives the function f an asynchronous event, and waits for its end: has it come to one? */
bool live_event(struct live *l, const char *payload, str trace);
/* Entries of a folder below the data folder. */
unsigned live_files(const struct live *l, const char *folder);

#endif
