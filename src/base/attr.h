/*
 * Compiler attributes and the few macros that every file needs. No types, no functions.
 *
 * TRY() is the only macro of the project that may return from its function (STYLE 11).
 */
#ifndef BASE_ATTR_H
#define BASE_ATTR_H

#include <stddef.h>

/* The result must be looked at: every fallible function carries it. */
#define must_use __attribute__((warn_unused_result))

/*
 * Marks a function that may suspend the calling fiber (STYLE 20). Only documentation for the
 * compiler; `make tidy` checks that no lock is held and no loop-local pointer kept in its callers.
 */
#define mayyield

#define noreturn_fn       __attribute__((noreturn, cold))
#define cold_fn           __attribute__((cold, noinline))
/* Also for what touches a thread-local: its address must not live across a fiber switch. */
#define noinline_fn       __attribute__((noinline))
#define printf_like(f, a) __attribute__((format(printf, f, a)))
#define cleanup(fn)       __attribute__((cleanup(fn)))
#define packed_struct     __attribute__((packed))
#define unused_arg        __attribute__((unused))

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

#define MIN(a, b)                                  \
	({                                         \
		__typeof__(a) min_a_ = (a);        \
		__typeof__(b) min_b_ = (b);        \
		min_a_ < min_b_ ? min_a_ : min_b_; \
	})
#define MAX(a, b)                                  \
	({                                         \
		__typeof__(a) max_a_ = (a);        \
		__typeof__(b) max_b_ = (b);        \
		max_a_ > max_b_ ? max_a_ : max_b_; \
	})

/* Evaluates `expr` (an rc); returns it from the calling function when negative, else yields it. */
#define TRY(expr)                          \
	({                                 \
		int try_rc_ = (expr);      \
		if (unlikely(try_rc_ < 0)) \
			return try_rc_;    \
		try_rc_;                   \
	})

#endif
