/*
 * The resolver that functions see at 127.0.0.1:53: every host of cirrus is 127.0.0.1 there, where
 * port 4566 is cirrus itself. Other names are refused, or, where functions have a network, asked of
 * the host's own servers (/etc/resolv.conf, read again now and then); host.cirrus.internal is the
 * host where that can be reached.
 *
 * UDP is served without a fiber as long as we know the answer; what is passed on has a fiber of the
 * instance's loop, a deadline, and two maxima: of an instance, whose further questions are lost as
 * datagrams are, and of all. TCP (answers that are too long) only where names are passed on.
 */
#ifndef SERVICES_LAMBDA_RESOLVER_H
#define SERVICES_LAMBDA_RESOLVER_H

#include "base/rc.h"
#include "base/str.h"

#include <stdint.h>

struct instance;
struct resolver;
struct rt_datagrams;
struct rt_stream;

#define RESOLVER_HOST "host.cirrus.internal"

struct resolver_options {
	const char *const *suffixes; /* further domains of cirrus; borrowed */
	unsigned suffix_count;
	bool forward;          /* names of others are asked for */
	uint32_t host_address; /* of RESOLVER_HOST, in machine order; 0: there is none */
};

struct resolver *resolver_new(const struct resolver_options *options)
	__attribute__((returns_nonnull));
void resolver_free(struct resolver *r);

/* Serves the instance's UDP socket, taken over. On its loop; rt_datagrams_close() ends it. */
must_use int resolver_serve(
	struct resolver *r, struct instance *i, int fd, struct rt_datagrams **ret_datagrams);
/* Serves a TCP connection, taken over, in a fiber of its own. */
void resolver_take(struct resolver *r, struct rt_stream *stream);

#endif
