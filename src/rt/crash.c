/*
 * The crash report. Runs in signal handlers on an alternate stack: no locks, no allocation.
 */
#include "rt/crash.h"

#include "base/check.h"
#include "base/log.h"
#include "rt/internal.h"

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

enum { ALTERNATE_BYTES = 64 * 1024 };

static _Thread_local void *alternate_stack;
static atomic_bool installed;

typedef void put_fn(const char *text, size_t n);

static void put_c(put_fn *put, const char *text)
{
	put(text, strlen(text));
}

static void put_number(put_fn *put, uint64_t v, unsigned base)
{
	char text[24], *p = text + sizeof text;

	do {
		*--p = "0123456789abcdef"[v % base];
		v /= base;
	} while (v);
	put(p, (size_t)(text + sizeof text - p));
}

static void put_field(put_fn *put, const char *name, str value)
{
	put_c(put, name);
	if (value.p)
		put(value.p, MIN(value.n, (size_t)200));
	else
		put_c(put, "-");
}

static void report(put_fn *put)
{
	struct rt_loop *l = rt_loop_here;
	struct rt_fiber *f = l ? l->current : NULL;

	if (f) {
		put_c(put, "in fiber ");
		put_number(put, f->id, 10);
		put_c(put, " of loop ");
		put_number(put, l->index, 10);
		if (f->label) {
			put_field(put, ": request=", f->label->request_id);
			put_field(put, " operation=", f->label->operation);
			put_field(put, " account=", f->label->account);
		}
	} else if (l) {
		put_c(put, "on loop ");
		put_number(put, l->index, 10);
		put_c(put, ", outside fibers");
	} else {
		put_c(put, "on a thread without a loop");
	}
	put_c(put, "\nlast log lines:\n");
	log_dump(put);
}

static bool in_guard(const struct rt_fiber *f, uintptr_t at)
{
	uintptr_t low = (uintptr_t)f->stack;

	return f->stack && at < low && at >= low - (uintptr_t)sysconf(_SC_PAGESIZE);
}

static void on_signal(int number, siginfo_t *info, void *context)
{
	struct rt_loop *l = rt_loop_here;
	uintptr_t at = (uintptr_t)info->si_addr;

	(void)context;
	if ((number == SIGSEGV || number == SIGBUS) && l && l->current && in_guard(l->current, at))
		put_c(check_put, "cirrus " CIRRUS_VERSION ": stack overflow in fiber ");
	else
		put_c(check_put, "cirrus " CIRRUS_VERSION ": crash by signal ");
	put_number(check_put,
		l && l->current && in_guard(l->current, at) ? l->current->id : (uint64_t)number,
		10);
	put_c(check_put, " at address 0x");
	put_number(check_put, at, 16);
	put_c(check_put, "\n");
	report(check_put);
	raise(number); /* SA_RESETHAND: the default action, once this handler returns */
}

void crash_thread_init(void)
{
	stack_t stack = {.ss_size = ALTERNATE_BYTES};

	if (!atomic_load(&installed) || alternate_stack)
		return;
	stack.ss_sp = mmap(NULL, ALTERNATE_BYTES, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (stack.ss_sp == MAP_FAILED)
		return;
	alternate_stack = stack.ss_sp;
	sigaltstack(&stack, NULL);
}

void crash_thread_done(void)
{
	stack_t off = {.ss_flags = SS_DISABLE};

	if (!alternate_stack)
		return;
	sigaltstack(&off, NULL);
	munmap(alternate_stack, ALTERNATE_BYTES);
	alternate_stack = NULL;
}

void rt_crash_install(void)
{
	static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE};
	struct sigaction action = {
		.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESETHAND};

	atomic_store(&installed, true);
	check_set_crash_hook(report);
	sigemptyset(&action.sa_mask);
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		sigaction(signals[i], &action, NULL);
}
