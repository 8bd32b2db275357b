/*
 * The janitor: a process beside the launcher that does what has long tails, off the hot path: it
 * makes cells (sandbox/cell.h) with their control groups, and removes the groups of those that
 * ended.
 */
#ifndef SANDBOX_JANITOR_H
#define SANDBOX_JANITOR_H

#include "sandbox/cell.h"

/*
 * The whole life; ends at the end of file of `fd`, its end of a SOCK_SEQPACKET pair with the
 * launcher, when it has removed every group of ours. The cells it makes are children of its parent.
 */
noreturn_fn void janitor_main(const struct cell_context *context, int fd);

#endif
