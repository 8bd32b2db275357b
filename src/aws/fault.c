/*
 * Building a fault where it happens (fault.h). Pure.
 */
#include "aws/fault.h"

#include "base/check.h"
#include "base/rc.h"

#include <stdio.h>

enum { FAULT_MESSAGE_MAX = 64 * 1024 };

int fault_vset(struct fault *ret_fault, struct arena *a, const struct fault_kind *kind,
	const char *format, va_list args)
{
	va_list again;
	char *text;
	int n;

	check(kind != NULL);
	va_copy(again, args);
	n = vsnprintf(NULL, 0, format, again);
	va_end(again);
	check(n >= 0);
	n = MIN(n, (int)FAULT_MESSAGE_MAX);
	text = arena_bytes(a, (size_t)n + 1);
	vsnprintf(text, (size_t)n + 1, format, args);
	*ret_fault = (struct fault){.kind = kind, .message = str_of(text, (size_t)n)};
	return ERR_FAULT;
}

void fault_detail(struct fault *f, str name, str text)
{
	check(f->detail_count < FAULT_DETAILS_MAX);
	f->details[f->detail_count++] = (struct fault_detail){name, text};
}

int(fault_set)(struct fault *ret_fault, struct arena *a, const struct fault_kind *kind,
	const char *format, ...)
{
	va_list args;
	int rc;

	va_start(args, format);
	rc = fault_vset(ret_fault, a, kind, format, args);
	va_end(args);
	return rc;
}
