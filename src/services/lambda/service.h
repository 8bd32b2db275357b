/*
 * What the files of lambda share: the service object, and finding a function. Private to
 * services/lambda.
 */
#ifndef SERVICES_LAMBDA_SERVICE_H
#define SERVICES_LAMBDA_SERVICE_H

#include "aws/ports/deliver.h"
#include "aws/ports/hosts.h"
#include "aws/ports/invoke.h"
#include "aws/ports/metric.h"
#include "rt/rt.h"
#include "services/lambda/code.h"
#include "services/lambda/faults.h"
#include "services/lambda/function.h"
#include "services/lambda/lambda.h"
#include "services/lambda/limits.h"
#include "services/lambda/names.h"

#include <stdatomic.h>

#define LAMBDA_SERVICE_MAGIC 0x6c616d62u

struct credentials;
struct durables;
struct events;
struct function_ref;
struct http_server;
struct kv_txn;
struct mapping_engine;
struct policy;
struct pool;
struct quota_books;
struct rt;
struct scheduler;
struct snapshots;

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
	_Atomic bool sandbox_known; /* the two below are set, for good */
	struct sandbox *sandbox;    /* NULL: sandbox_why says why */
	char sandbox_why[SANDBOX_TEXT_MAX];
	struct code_store *code;
	struct pool *pool;
	struct snapshots *snapshots;
	struct quota_books *quotas;
	struct scheduler *scheduler;
	struct rt_aside *aside; /* thaws what a request will need; NULL: nobody does */
	struct events *events;
	struct durables *durables;
	struct mapping_engine *mappings;
	struct credentials *credentials;
	uint8_t url_key[32];
	struct service rows;
	struct port_invoke invoke_port;
	struct port_deliver deliver_port;
	struct port_host download_host, url_host;
	struct http_server *runtime_server, *endpoint_server;
	struct resolver *resolver;
	struct java_archive *java_archive;
	_Atomic bool stopping;
	_Atomic unsigned transitions; /* fibers of transition.c */
	struct rt_event transition_ended;
	struct lambda_counters counters;
};

/* A figure of the function for the metric port (figures.h). */
void lambda_metric(struct lambda_service *s, const struct function *f, const char *name,
	double value, enum metric_unit unit);

static inline void lambda_count(_Atomic uint64_t *counter)
{
	atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

/* ---- transition.c: from Pending and InProgress to an end ---- */

/* Waits for all that have begun. */
void transitions_wait(struct lambda_service *s) mayyield;
/* In the background (or at once when no fiber can be had). */
void transition_begin(struct lambda_service *s, str account, str region, str name) mayyield;
/* One of service->transitions is over. */
void transition_end(struct lambda_service *s);
/* Removes code that nothing refers to; errors are left to the next start. */
void code_release(struct lambda_service *s, str hex) mayyield;

/* ---- request.c: the parts that handlers have in common ---- */

/* The function that "FunctionName" (and "Qualifier" where `qualified`) of the input name. */
must_use int request_name(struct call *c, bool qualified, struct function_name *ret_name);
/* For operation rows: the ARN of the same. */
int request_resource(struct call *c, str *ret_arn);
/* Whose function it is: an ARN may name another account, which its policies have let in then. */
str request_owner(const struct call *c, const struct function_name *name);
/*
 * Loads it, the version or alias of its qualifier where `qualified`: ResourceNotFoundException.
 * Where not, a name with the qualifier of a version or alias is refused. Its `qualifier` is that of
 * the request.
 */
must_use int request_function(
	struct call *c, bool qualified, struct function *ret_function) mayyield;
/* ERR_NOT_FOUND of a write becomes ResourceNotFoundException; all else stays. */
must_use int request_gone(struct call *c, int rc);

struct store_entry; /* store.h */

struct request_page {
	uint32_t max; /* entries of the answer */
	str after;    /* what the last page ended with; STR_NULL: from the beginning */
};
/* MaxItems and Marker of a list. 0 or ERR_FAULT. */
must_use int request_page(struct call *c, uint32_t most, struct request_page *ret_page);
/* Puts NextMarker for what comes behind `last`. */
void request_page_more(struct call *c, str last);
/*
 * For lists of what hangs on a function (store_parts()): the function and the page of its parts of
 * that kind that the input asks for, with NextMarker put where more follow: how many, or ERR_FAULT.
 */
must_use int request_parts(struct call *c, const char *kind, struct function *ret_function,
	struct store_entry **ret_entries) mayyield;
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
	control_list_tags, control_get_account_settings;
operation_handler version_publish, version_list;
operation_handler alias_create, alias_get, alias_update, alias_delete, alias_list;
operation_handler policy_add_permission, policy_get_policy, policy_remove_permission;
operation_handler resource_policy_put, resource_policy_get, resource_policy_delete;
operation_resource resource_policy_resource;
operation_handler concurrency_put, concurrency_get, concurrency_delete;
operation_handler provisioned_put, provisioned_get, provisioned_list, provisioned_delete;
operation_handler event_invoke_put, event_invoke_update, event_invoke_get, event_invoke_list,
	event_invoke_delete;
operation_handler settings_put_recursion, settings_get_recursion, settings_put_runtime,
	settings_get_runtime, settings_put_scaling, settings_get_scaling;
operation_handler url_create, url_get, url_update, url_delete, url_list;
operation_handler invoke_operation, invoke_async_operation, invoke_stream_operation;
operation_resource request_tag_resource;

/* DeleteFunction of a version (version.c). */
must_use int version_delete(struct call *c, const struct function_name *name) mayyield;

/* ---- provisioned.c ---- */

/*
 * What is stored is what the scheduler keeps, after any change of the function: its versions, its
 * aliases, what is provisioned for them. Trouble is logged.
 */
void provisioned_apply(struct lambda_service *s, str account, str region, str name) mayyield;
/* May an alias that has concurrency provisioned become this one? 0 or ERR_FAULT. */
must_use int provisioned_check_alias(struct call *c, struct kv_txn *txn, struct arena *a,
	const struct function *f, const struct value *alias) mayyield;

/* ---- service.c ---- */

/*
 * Waits until it is known whether containers can run: 0, or ERR_UNSUPPORTED with sandbox_why set.
 */
must_use int service_await_sandbox(struct lambda_service *s, int64_t deadline) mayyield;

/* ---- policy.c ---- */

/*
 * Adds a statement to a stored policy (STR_NULL: none), or (STR_NULL) takes that of the input's
 * StatementId away, if its RevisionId, where there is one, is the stored one. `of`: the operation
 * that tells the revision. 0 and *text, or ERR_FAULT.
 */
must_use int policy_edit(struct call *c, struct arena *a, str statement, str *text, const char *of);
/* Would the evaluator take it? 0 or ERR_FAULT. */
must_use int policy_check_statement(struct call *c, str statement);
/* The policy of a function, version or alias: 1, or 0 when it has none. */
must_use int policy_load(struct lambda_service *s, struct arena *a,
	const struct function_name *name, struct policy **ret_policy) mayyield;
/* For struct service: the policy of a function's or layer's ARN, NULL: none. */
int policy_of_resource(struct call *c, str arn, const struct policy **ret_policy) mayyield;

/* For struct service: condition keys of calls by a function URL (url_serve.c). */
int url_context(struct call *c, str action, str arn, struct policy_context *context);

/* ---- invoke.c ---- */

/*
 * The version that a call of the qualifier (STR_NULL: $LATEST) runs, chosen by weight where an
 * alias has two: 1 and a reference, or 0.
 */
must_use int invoke_find(struct lambda_service *s, struct arena *a, str account, str region,
	str name, str qualifier, struct function_ref **ret_function) mayyield;

/* The invoke port's two functions. */
int invoke_by_port(void *self, struct arena *a, const struct invoke_request *request,
	struct invoke_result *ret) mayyield;
/* The deliver port's: an asynchronous invocation. */
int invoke_deliver(
	void *self, struct arena *a, const struct deliver_request *request, str *ret_why) mayyield;
int policy_allowed(void *self, struct arena *a, str function_arn, str service, str source_arn,
	str source_account) mayyield;

/* Downloads of archives under /_aws/lambda-code/ (download.c). */
void download_serve(void *self, struct http_exchange *x, const struct host_match *match) mayyield;
/* A link to code for the caller of an operation: `name` is what the file is to be called. */
str download_url(struct call *c, str hex, str name);

#endif
