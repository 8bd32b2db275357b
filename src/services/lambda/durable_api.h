/*
 * The operations of durable executions, and Invoke on a durable function (durable_api.c,
 * durable_list.c, durable_invoke.c).
 */
#ifndef SERVICES_LAMBDA_DURABLE_API_H
#define SERVICES_LAMBDA_DURABLE_API_H

#include "aws/gate.h"
#include "aws/ports/invoke.h"

struct durable_execution;
struct function_ref;
struct lambda_service;

operation_handler durable_checkpoint, durable_callback_success, durable_callback_failure,
	durable_callback_heartbeat, durable_stop_operation;
operation_handler durable_get, durable_history, durable_state, durable_list;
operation_resource durable_resource, durable_callback_resource;

/*
 * The execution that the input's DurableExecutionArn names: ResourceNotFoundException, or
 * InvalidParameterValueException for an ARN of no execution. In the call's arena.
 */
must_use int durable_of_request(struct call *c, struct durable_execution *ret) mayyield;

/*
 * Invoke on a durable function, `arn` as it was called: an asynchronous one is durable when this
 * returns, a synchronous one waits for the end of the execution. 0, or ERR_FAULT with ret->fault.
 */
must_use int durable_invoke(struct lambda_service *s, struct arena *a,
	const struct invoke_request *r, struct function_ref *f, str arn, str payload,
	struct invoke_result *ret) mayyield;

#endif
