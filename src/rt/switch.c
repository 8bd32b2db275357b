/*
 * The first frame of a fiber for rt_switch() of switch_asm.S, and rt_switch() itself by ucontext on
 * machines without an assembly version (or with -DRT_UCONTEXT, to test that way).
 */
#include "rt/internal.h"

#if defined(__x86_64__) && !defined(RT_UCONTEXT)

void *switch_prepare(void *stack_low, size_t bytes, void (*entry)(void))
{
	uintptr_t top = ((uintptr_t)stack_low + bytes) & ~(uintptr_t)15;
	uint64_t *sp = (uint64_t *)top;
	uint32_t mxcsr = __builtin_ia32_stmxcsr();
	uint16_t x87;

	__asm__ volatile("fnstcw %0" : "=m"(x87));
	*--sp = 0; /* no caller: unwinding ends; and rsp is 8 mod 16 at entry, as after a call */
	*--sp = (uint64_t)(uintptr_t)entry;
	for (int i = 0; i < 6; i++) /* rbp rbx r12-r15 */
		*--sp = 0;
	*--sp = mxcsr | (uint64_t)x87 << 32;
	return sp;
}

#elif defined(__aarch64__) && !defined(RT_UCONTEXT)

void *switch_prepare(void *stack_low, size_t bytes, void (*entry)(void))
{
	uintptr_t top = ((uintptr_t)stack_low + bytes) & ~(uintptr_t)15;
	uint64_t *sp = (uint64_t *)(top - 176);
	uint64_t fpcr;

	__asm__ volatile("mrs %0, fpcr" : "=r"(fpcr));
	memset(sp, 0, 176);
	sp[11] = (uint64_t)(uintptr_t)entry; /* x30 */
	sp[20] = fpcr;
	return sp;
}

#else

#include <ucontext.h>

/* The "stack pointer" is the address of a context; a new fiber's lies at the top of its stack. */
void *switch_prepare(void *stack_low, size_t bytes, void (*entry)(void))
{
	uintptr_t top = ((uintptr_t)stack_low + bytes - sizeof(ucontext_t)) & ~(uintptr_t)63;
	ucontext_t *context = (ucontext_t *)top;

	check(getcontext(context) == 0);
	context->uc_stack.ss_sp = stack_low;
	context->uc_stack.ss_size = top - (uintptr_t)stack_low;
	context->uc_link = NULL;
	makecontext(context, entry, 0);
	return context;
}

void rt_switch(void **ret_saved_sp, void *to_sp)
{
	ucontext_t here;

	*ret_saved_sp = &here;
	check(swapcontext(&here, to_sp) == 0);
}

#endif
