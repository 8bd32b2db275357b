/*
 * Datagrams (UDP): a socket that is served, and one question with its answer.
 *
 * A struct rt_datagrams belongs to the loop that adopted it. Not simulated: only what containers
 * send comes this way, and they stay outside of the simulation.
 */
#ifndef RT_DATAGRAM_H
#define RT_DATAGRAM_H

#include "rt/stream.h"

struct rt_datagrams;

/* Called on its loop, outside fibers, when something came: take all of it. May not close it. */
typedef void rt_datagram_fn(struct rt_datagrams *d, void *arg);

/* Takes over a bound socket, also when it fails. */
must_use int rt_datagrams_adopt(
	int fd, rt_datagram_fn *fn, void *arg, struct rt_datagrams **ret_datagrams);
/* NULL is fine. */
void rt_datagrams_close(struct rt_datagrams *d);
/* The next one's bytes, at most n (the rest of it is lost), and whose it is; 0: none now. */
must_use size_t rt_datagram_take(
	struct rt_datagrams *d, void *to, size_t n, struct rt_address *ret_from);
/* As datagrams are: it may be lost, and is when the socket is full. */
void rt_datagram_give(struct rt_datagrams *d, str bytes, const struct rt_address *to);

/*
 * Sends the question from a new port, and waits for the first answer of that peer that `fits`: its
 * bytes. ERR_TOO_LARGE: it has more than n. ERR_REFUSED: nobody listens there.
 */
must_use mayyield int rt_datagram_ask(const struct rt_address *peer, str question,
	bool (*fits)(void *arg, str answer), void *arg, void *to, size_t n, int64_t deadline);

#endif
