/*
 * What the files of lambda share: the service object, and finding a function. Private to
 * services/lambda.
 */
#ifndef SERVICES_LAMBDA_SERVICE_H
#define SERVICES_LAMBDA_SERVICE_H

#include "aws/ports/hosts.h"
#include "aws/ports/invoke.h"
#include "services/lambda/code.h"
#include "services/lambda/faults.h"
#include "services/lambda/function.h"
#include "services/lambda/lambda.h"
#include "services/lambda/limits.h"
#include "services/lambda/names.h"

#include <stdatomic.h>

#define LAMBDA_SERVICE_MAGIC 0x6c616d62u

struct credentials;
struct events;
struct http_server;
struct pool;
struct rt;
struct scheduler;

/* Counters of struct lambda_figures that anybody raises. */
struct lambda_counters {
	_Atomic uint64_t invocations, errors, throttles, cold_starts, pooled_starts, timeouts,
		instances, instances_busy, events_waiting, log_lines_dropped;
};

struct lambda_service {
	uint32_t magic;
	struct lambda_options options; /* strings are copies; zeros replaced by defaults */
	struct rt *rt;
	struct ports *ports;
	struct kv *kv;
	struct sandbox *sandbox; /* NULL: sandbox_why says why */
	char sandbox_why[SANDBOX_TEXT_MAX];
	struct code_store *code;
	struct pool *pool;
	struct scheduler *scheduler;
	struct events *events;
	struct credentials *credentials;
	uint8_t url_key[32];
	struct service rows;
	struct port_invoke invoke_port;
	struct port_host download_host;
	struct http_server *runtime_server, *endpoint_server;
	_Atomic bool stopping;
	struct lambda_counters counters;
};

static inline void lambda_count(_Atomic uint64_t *counter)
{
	atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

/* ---- store.c: records ---- */

/* The key of a function's record. */
str store_function_key(struct arena *a, str account, str region, str name);
/* 1 and the function (in the arena), 0. *ret_record (may be NULL): its record's bytes. */
must_use int lambda_store_load(struct lambda_service *s, struct arena *a, str account, str region,
	str name, struct function *ret_function, str *ret_record) mayyield;
/* Writes a function that must not exist: ERR_EXISTS. */
must_use int lambda_store_create(
	struct lambda_service *s, const struct function *f, int64_t deadline) mayyield;
/*
 * Changes a function: `change` gets it as stored (in an arena of the attempt) and returns >= 0 to
 * have it written, < 0 to leave it (that is the result). It may run several times. A revision id
 * and, when `touch`, the time of modification are set here. ERR_NOT_FOUND. The result is in the
 * arena.
 */
must_use int lambda_store_change(struct lambda_service *s, struct arena *a, str account, str region,
	str name, bool touch, int (*change)(void *arg, struct arena *a, struct function *f),
	void *arg, int64_t deadline, struct function *ret_function) mayyield;
/* Removes a function and what belongs to it: 1, or 0 when there is none. *ret_code_hex: 64 bytes.
 */
must_use int store_delete(struct lambda_service *s, str account, str region, str name,
	int64_t deadline, char *ret_code_hex) mayyield;
/* Does any function use this code? 1, 0. */
must_use int store_code_used(struct lambda_service *s, str hex) mayyield;
/* Functions behind `after` (a name; empty: from the first) in order, at most `max`. */
must_use int store_list(struct lambda_service *s, struct arena *a, str account, str region,
	str after, unsigned max, struct function *ret_functions, bool *ret_more) mayyield;
/* Every function of the store, one after another, until `fn` returns < 0. */
must_use int store_each(struct lambda_service *s, int (*fn)(void *arg, const struct function *f),
	void *arg) mayyield;
/* The resource policy: 1 and the document, 0 none. */
must_use int store_policy(struct lambda_service *s, struct arena *a, str account, str region,
	str name, str *ret_document) mayyield;
str store_policy_key(struct arena *a, str account, str region, str name);
/* Fresh UUID text in the arena. */
str lambda_uuid(struct arena *a);

/* ---- transition.c: from Pending and InProgress to an end ---- */

/* In the background (or at once when no fiber can be had). */
void transition_begin(struct lambda_service *s, str account, str region, str name) mayyield;
/* Waits while the function is Pending: loads it again into *f. */
must_use int transition_wait(struct lambda_service *s, struct arena *a, int64_t deadline,
	struct function *f, str *record) mayyield;
/* Removes code that nothing refers to; errors are left to the next start. */
void code_release(struct lambda_service *s, str hex) mayyield;

/* ---- request.c: the parts that handlers have in common ---- */

/* The function that "FunctionName" (and "Qualifier" where `qualified`) of the input name. */
must_use int request_name(struct call *c, bool qualified, struct function_name *ret_name);
/* For operation rows: the ARN of the same. */
int request_resource(struct call *c, str *ret_arn);
/* Loads it: ResourceNotFoundException, also for qualifiers other than $LATEST. */
must_use int request_function(
	struct call *c, bool qualified, struct function *ret_function, str *ret_record) mayyield;
/* Faults of a name that is not there, as each operation words it. */
int fault_not_found(struct fault *fault, struct arena *a, str account, str region,
	const struct function_name *name, bool latest);
/* Sets `kind` with a message on any fault. */
int lambda_fault_set(struct fault *fault, struct arena *a, enum lambda_fault kind,
	const char *format, ...) printf_like(4, 5);

/* ---- handlers ---- */

operation_handler control_create_function, control_get_function, control_get_function_configuration,
	control_list_functions, control_delete_function, control_update_function_code,
	control_update_function_configuration, control_tag_resource, control_untag_resource,
	control_list_tags, control_list_versions, control_get_account_settings;
operation_handler policy_add_permission, policy_get_policy, policy_remove_permission;
operation_handler invoke_operation, invoke_async_operation, invoke_stream_operation;
operation_resource request_tag_resource;

/* The invoke port's two functions. */
int invoke_by_port(void *self, struct arena *a, const struct invoke_request *request,
	struct invoke_result *ret) mayyield;
int policy_allowed(void *self, struct arena *a, str function_arn, str service, str source_arn,
	str source_account) mayyield;

/* Downloads of archives under /_aws/lambda-code/ (download.c). */
void download_serve(void *self, struct http_exchange *x, const struct host_match *match) mayyield;
str download_url(struct lambda_service *s, struct arena *a, str base, const struct function *f,
	int64_t wall_ms);

#endif
