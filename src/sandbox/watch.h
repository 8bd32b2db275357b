/*
 * The watchdog's eye, for hosts without a memory control group: how much memory a process and its
 * descendants have for themselves, from /proc.
 */
#ifndef SANDBOX_WATCH_H
#define SANDBOX_WATCH_H

#include <stdint.h>
#include <sys/types.h>

/*
 * Bytes of anonymous memory of `pid` and its descendants (at most 1,024 are looked at); what cannot
 * be read counts as nothing. `proc` is where /proc is mounted.
 */
uint64_t watch_memory_of(const char *proc, pid_t pid);

#endif
