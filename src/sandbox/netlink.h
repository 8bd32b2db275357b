/*
 * Netlink messages: built in place, sent together, each acknowledged. For network.c and firewall.c,
 * and for cells: no allocation, no locks, safe between clone and exec. Interfaces are named,
 * because indices differ between namespaces; a socket is opened for each exchange, in the caller's
 * namespace.
 *
 * Sources: netlink(7), rtnetlink(7), RFC 3549, linux/netlink.h.
 */
#ifndef SANDBOX_NETLINK_H
#define SANDBOX_NETLINK_H

#include "base/attr.h"

#include <linux/netlink.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NETLINK_BYTES_MAX = 48 * 1024 };

struct netlink {
	size_t n, message; /* bytes so far; where the message under way begins */
	unsigned acks;     /* messages that are to be acknowledged */
	_Alignas(8) char bytes[NETLINK_BYTES_MAX];
};

void netlink_init(struct netlink *m);
/* Begins a message with its fixed head; `flags` beside NLM_F_REQUEST. Without NLM_F_ACK in it
 * nothing is waited for. */
void netlink_begin(struct netlink *m, uint16_t type, uint16_t flags, const void *head, size_t n);
void netlink_put(struct netlink *m, uint16_t type, const void *value, size_t n);
void netlink_put_u32(struct netlink *m, uint16_t type, uint32_t value); /* in machine order */
void netlink_put_be32(struct netlink *m, uint16_t type, uint32_t value);
void netlink_put_be64(struct netlink *m, uint16_t type, uint64_t value);
void netlink_put_text(struct netlink *m, uint16_t type, const char *value);
/* Attributes inside of one, up to netlink_unnest() with what this gave. */
size_t netlink_nest(struct netlink *m, uint16_t type);
void netlink_unnest(struct netlink *m, size_t at);

/* Sends all, and waits for the acknowledgements: 0, or the first error as a negative errno. */
must_use int netlink_send(const struct netlink *m, int protocol);
/* The same for one message that asks for a dump: `fn` sees each message of the answer. */
must_use int netlink_dump(const struct netlink *m, int protocol,
	void (*fn)(void *arg, const struct nlmsghdr *head), void *arg);
/* The attribute of that type among those from `from` to the end of the message; NULL: none. */
const struct nlattr *netlink_find(const struct nlmsghdr *head, size_t from, uint16_t type);
static inline const void *netlink_value(const struct nlattr *a)
{
	return a + 1;
}
static inline size_t netlink_bytes(const struct nlattr *a)
{
	return a->nla_len - sizeof *a;
}

#endif
