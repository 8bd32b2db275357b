/*
 * The crash report: what failed, on which loop and fiber, for which request, and the last log
 * lines, on standard error. Covers failing checks and SIGSEGV, SIGBUS, SIGILL, SIGFPE; a fault in a
 * fiber's guard page is named a stack overflow. The process then dies by the signal.
 */
#ifndef RT_CRASH_H
#define RT_CRASH_H

/* Once, at start, before rt_run(). */
void rt_crash_install(void);

#endif
