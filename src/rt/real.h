/*
 * What the files of the real backend share: real.c (loops, threads) and socket.c (descriptors).
 */
#ifndef RT_REAL_H
#define RT_REAL_H

#include "base/log.h"
#include "rt/internal.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <uv.h>

struct real_loop {
	uv_loop_t uv;
	uv_async_t async;
	uv_timer_t timer;
	int64_t timer_at; /* what the timer was set for; RT_NEVER: it does not run */
	unsigned polls_missed, polls_skipped; /* in a row; since the last poll */
	uint64_t switches_seen;               /* the figure before the last look for work */
	bool crowded;                         /* it has more to do than it can */
	bool many;                            /* requests at a time, and none waits */
	int64_t weighed_at;
	uint64_t ran_most; /* since then: fibers between two looks */
	bool waited;       /* since then: a request was not answered at once */
	uint64_t weighed_turns, weighed_switches; /* the figures then */
};

static inline uv_loop_t *uv_of(struct rt_loop *l)
{
	return &((struct real_loop *)l->backend)->uv;
}

int socket_listen_open(const struct rt_listen_options *o, struct rt_listener *listener);
int socket_listen_start(struct rt_listener_part *part);
void socket_listen_stop(struct rt_listener_part *part);
void socket_listen_close(struct rt_listener *listener);
int socket_connect(str address, int64_t deadline, struct rt_stream **ret_stream);
int socket_resolve(
	str host, uint16_t port, int64_t deadline, struct rt_address *ret_addresses, unsigned max);
int socket_pair(struct rt_stream **ret_a, struct rt_stream **ret_b);

/* socket.c: an address as the system has it. */
union sockaddr_any {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
	struct sockaddr_un un;
	struct sockaddr_storage storage;
};

void address_from(const union sockaddr_any *from, struct rt_address *ret);
/* Of RT_IPV4 and RT_IPV6; how many bytes of it count. */
socklen_t address_to(const struct rt_address *a, union sockaddr_any *ret);

#endif
