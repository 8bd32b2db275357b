/*
 * Between two events nothing of an instance runs: a moment after the last one its container is
 * frozen, and it is thawed for the next. A thaw takes longer than most of an event's way, so it may
 * be given to a thread beside the loops (rt/aside.h), and be done when the event is there.
 *
 * Of struct instance, and only here: frozen, thawing, thaw_job, freeze_timer. On the instance's
 * loop; nothing suspends.
 */
#ifndef SERVICES_LAMBDA_FREEZE_H
#define SERVICES_LAMBDA_FREEZE_H

#include "base/attr.h"

struct instance;

void freeze_init(struct instance *i);
/* It has become idle (idle_ns): frozen after a moment, if it still is then. */
void freeze_later(struct instance *i);
/* Not any more. What is frozen stays so. */
void freeze_stop(struct instance *i);
/*
 * It runs soon. Not waited for: what has been given away and has begun is over before anything that
 * is sent now can be answered. < 0: the container cannot be thawed.
 */
must_use int freeze_thaw(struct instance *i);
/* It runs when this returns, if it can, and for good. */
void freeze_no_more(struct instance *i);
/* Nobody else works with the container when this returns. */
void freeze_settle(struct instance *i);

#endif
