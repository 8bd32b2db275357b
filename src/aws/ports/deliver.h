/*
 * Handing an event to any target ARN: a function now, a queue, a topic, a bus as soon as their
 * services are there. Destinations and dead letters of functions, and whatever else hands events
 * on. A service that takes events adds itself at start with the beginning of its ARNs.
 *
 * Whoever hands on names the principal that does it; its policies decide here. What a resource
 * policy of the target says is the target's to look at, in `deliver`.
 */
#ifndef AWS_PORTS_DELIVER_H
#define AWS_PORTS_DELIVER_H

#include "aws/ports/ports.h"
#include "base/arena.h"
#include "base/rc.h"

struct principal;

/* What travels beside the body, where the target has a place for it (a message's attributes). */
struct deliver_attribute {
	const char *name, *type; /* "ErrorCode", "Number" */
	str value;
};

struct deliver_request {
	str target;                 /* ARN */
	const struct principal *as; /* who hands it on; NULL: nothing limits it */
	str account, region;        /* of the sender */
	str body;                   /* borrowed until the call returns */
	str trace;                  /* X-Amzn-Trace-Id value, or STR_NULL */
	const struct deliver_attribute *attributes;
	size_t attribute_count;
	int64_t deadline_ns; /* monotonic */
};

struct port_deliver {
	void *self;
	str arn_prefix;     /* "arn:aws:sqs:" */
	const char *action; /* that the principal needs on the target: "sqs:SendMessage" */
	/* 0 when the target has it for good (durable); ERR_NOT_FOUND and others, with *ret_why for
	 * the log. May be called twice for one event, after a crash. */
	int (*deliver)(void *self, struct arena *a, const struct deliver_request *request,
		str *ret_why) mayyield;
};

/* At start, one thread. Two of the same prefix end in check(). */
void port_deliver_add(struct ports *ports, const struct port_deliver *deliver);
/* Who takes events for the ARN; NULL: nobody here. */
const struct port_deliver *port_deliver_of(const struct ports *ports, str arn);
/*
 * Hands it on: 0, ERR_UNSUPPORTED (nobody takes it), ERR_DENIED (by the principal's policies), or
 * the target's own; *ret_why: in words, for the log.
 */
must_use int port_deliver(const struct ports *ports, struct arena *a,
	const struct deliver_request *request, str *ret_why) mayyield;

#endif
