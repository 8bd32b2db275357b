/*
 * Any operation of any service, in process, through the same gate: as a given principal, with
 * validation, authorization and logging. Provided by the gate.
 */
#ifndef AWS_PORTS_CALL_H
#define AWS_PORTS_CALL_H

#include "aws/fault.h"
#include "aws/principal.h"
#include "aws/value.h"

struct call;
struct gate_request;
struct service;

struct port_call {
	void *self;
	/* An empty input for an operation, to be filled: check() when the operation is unknown. */
	struct value *(*input)(
		void *self, struct arena *a, const char *service, const char *operation);
	/*
	 * Calls it. 0 and *ret_out (a structure, or NULL when the operation has no output);
	 * ERR_FAULT and *ret_fault. An operation with ROW_RAW_BODY gets `in` encoded and its answer
	 * decoded.
	 */
	int (*call)(void *self, struct arena *a, const char *service, const char *operation,
		const struct principal *as, str region, const struct value *in,
		const struct value **ret_out, struct fault *ret_fault) mayyield;
	/*
	 * Who signed a request that does not pass the gate (a function's URL): a call of `service`
	 * without operation and input, for call_authorize(). 0; ERR_FAULT with ret_call->fault: not
	 * signed, or not validly, or for another service.
	 */
	int (*identify)(void *self, struct arena *a, const struct service *service,
		const struct gate_request *request, str body, struct call *ret_call) mayyield;
};

#endif
