/*
 * Any operation of any service, in process, through the same gate: as a given principal, with
 * validation, authorization and logging. Provided by the gate.
 */
#ifndef AWS_PORTS_CALL_H
#define AWS_PORTS_CALL_H

#include "aws/fault.h"
#include "aws/principal.h"
#include "aws/value.h"

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
};

#endif
