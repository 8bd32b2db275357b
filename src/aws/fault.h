/*
 * What a client sees when an operation fails (STYLE 10).
 *
 * A fault's kind is a row of a service's faults.def; its message is built where it fails, in the
 * request arena; one renderer per wire protocol writes it. A service declares its kinds so:
 *
 *     faults.def:  FAULT(RESOURCE_NOT_FOUND, "ResourceNotFoundException", 404, CLIENT, FINAL)
 *     faults.h:    enum lambda_fault {
 *                  #define FAULT(id, ...) LAMBDA_##id,
 *                  #include "services/lambda/faults.def"
 *                  #undef FAULT
 *                  };
 *                  extern const struct fault_kind lambda_faults[];
 *     faults.c:    const struct fault_kind lambda_faults[] = {
 *                  #define FAULT(...) FAULT_ROW(__VA_ARGS__)
 *                  #include "services/lambda/faults.def"
 *                  };
 *     a handler:   return call_fault(c, &lambda_faults[LAMBDA_RESOURCE_NOT_FOUND],
 *                          "Function not found: %.*s", STR_ARG(arn));
 */
#ifndef AWS_FAULT_H
#define AWS_FAULT_H

#include "base/arena.h"
#include "base/rc.h"

#include <stdarg.h>

struct value;

enum fault_side { FAULT_CLIENT, FAULT_SERVER };
enum fault_retry { FAULT_FINAL, FAULT_RETRYABLE };

struct fault_kind {
	const char *code; /* the name on the wire, without any prefix */
	uint16_t status;
	uint8_t server, retryable;
};

/* An initialiser from a faults.def row. */
#define FAULT_ROW(id, code_, status_, side, retry) {code_, status_, FAULT_##side, FAULT_##retry},

enum { FAULT_DETAILS_MAX = 4 };

struct fault {
	const struct fault_kind *kind; /* NULL: no fault */
	str message;
	/* Further members of the error's shape, or NULL: value_new(arena, model, "<ErrorShape>").
	 * The message and a member named Type are filled by the renderer when absent. */
	struct value *members;
	/* S3's errors have elements more, such as <BucketName>. */
	struct fault_detail {
		str name, text;
	} details[FAULT_DETAILS_MAX];
	unsigned detail_count;
};

void fault_detail(struct fault *f, str name, str text);

/* Sets *ret_fault, its message formatted in the arena; returns ERR_FAULT. */
int fault_set(struct fault *ret_fault, struct arena *a, const struct fault_kind *kind,
	const char *format, ...) printf_like(4, 5);
/* The macro tells the compiler that the result is always ERR_FAULT. */
#define fault_set(...) (fault_set(__VA_ARGS__), ERR_FAULT)
int fault_vset(struct fault *ret_fault, struct arena *a, const struct fault_kind *kind,
	const char *format, va_list args) printf_like(4, 0);

#endif
