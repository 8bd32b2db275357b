/*
 * For tests of lambda's control plane: each runs through the gate, without containers.
 */
#ifndef TEST_SERVICES_LAMBDA_CONTROL_H
#define TEST_SERVICES_LAMBDA_CONTROL_H

#include "base/check.h"
#include "test/services/lambda/live.h"
#include "test/services/lambda/zip.h"
#include "test/test.h"

#define CONTROL_OF(group, name)                       \
	TEST(group, name)                             \
	{                                             \
		struct live l;                        \
                                                      \
		live_init(&l);                        \
		l.no_sandbox = true;                  \
		live_run(&l, #group "." #name, name); \
	}
#define CONTROL(name) CONTROL_OF(lambda_control, name)

static inline void expect_fault(
	struct live *l, int line, int rc, const char *code, unsigned status, const char *message)
{
	EXPECT_INT(rc, ERR_FAULT);
	if (rc != ERR_FAULT || !l->fault.kind) {
		test_fail(__FILE__, line, "no fault, where %s was expected", message);
		return;
	}
	if (!str_eq(str_c(l->fault.kind->code), str_c(code)) || l->fault.kind->status != status ||
		str_find_str(l->fault.message, str_c(message)) < 0)
		test_fail(__FILE__, line, "%s %u: %.*s; not %s %u: %s", l->fault.kind->code,
			l->fault.kind->status, STR_ARG(l->fault.message), code, status, message);
}
#define EXPECT_FAULT(rc, code, status, message) expect_fault(l, __LINE__, rc, code, status, message)

/* A call that has to succeed; says what it answered when it does not. */
#define CALL(operation, in)                                                      \
	do {                                                                     \
		if (live_call(l, operation, in) < 0) {                           \
			test_fail(__FILE__, __LINE__, "%s: %s: %.*s", operation, \
				l->fault.kind ? l->fault.kind->code : "?",       \
				STR_ARG(l->fault.message));                      \
			return;                                                  \
		}                                                                \
	} while (0)

static inline struct value *named(struct live *l, const char *operation, const char *name)
{
	struct value *in = live_input(l, operation);

	value_put_str(in, "FunctionName", str_c(name));
	return in;
}

/* Of an alias: a second version. */
static inline void put_weight(struct value *in, const char *version, double weight)
{
	struct value *map =
		value_put_map(value_put_struct(in, "RoutingConfig"), "AdditionalVersionWeights");
	struct value *v = value_grow_map(map, str_c(version));

	v->kind = SHAPE_DOUBLE;
	v->d = weight;
}

static inline struct value *good(struct live *l, const char *name)
{
	return live_function_input(l, name, "index.handler", "provided.al2023", live_native_zip(l));
}

#endif
