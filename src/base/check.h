/*
 * Assertions about our own code, on in every build (STYLE 18): never for input. A failed check
 * prints the place, the build and what the crash hook adds (fiber, request, last log lines), and
 * aborts; the supervisor restarts the worker.
 */
#ifndef BASE_CHECK_H
#define BASE_CHECK_H

#include "base/attr.h"

#include <stdint.h>

#define check(cond)                                                        \
	do {                                                               \
		if (unlikely(!(cond)))                                     \
			check_failed(__FILE__, __LINE__, __func__, #cond); \
	} while (0)

/* For the branch that our own code can never take. */
#define check_unreachable() check_failed(__FILE__, __LINE__, __func__, "unreachable")

/*
 * Objects passed as void * start with `uint32_t magic` and are checked at each cast:
 *     struct table *t = check_object(arg, struct table, TABLE_MAGIC);
 */
#define check_object(ptr, type, magic_value)                                           \
	({                                                                             \
		type *check_object_ = (type *)(ptr);                                   \
		check(check_object_ != NULL && check_object_->magic == (magic_value)); \
		check_object_;                                                         \
	})

noreturn_fn void check_failed(const char *file, int line, const char *function, const char *what);

/*
 * Called once by a failing check, before the abort, with an output function that is safe in a
 * crashing process. Set once at start, before threads.
 */
typedef void check_crash_hook(void (*put)(const char *text, size_t n));
void check_set_crash_hook(check_crash_hook *hook);

/* Writes to standard error without locks or allocation. */
void check_put(const char *text, size_t n);

#endif
