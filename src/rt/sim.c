/*
 * The simulated backend. Not there yet.
 */
#include "rt/internal.h"

static int sim_init(struct rt *rt)
{
	(void)rt;
	return ERR_UNSUPPORTED;
}

static void sim_done(struct rt *rt)
{
	(void)rt;
}

const struct rt_backend rt_backend_simulated = {.init = sim_init, .done = sim_done};
