/*
 * Netlink messages: see netlink.h. The kernel answers at once, so waiting has a short deadline.
 */
#include "sandbox/netlink.h"

#include "base/check.h"
#include "sandbox/sys.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

enum { ANSWER_BYTES = 32 * 1024, WAIT_SECONDS = 5, DUMP_MESSAGES_MAX = 100 * 1000 };

void netlink_init(struct netlink *m)
{
	m->n = m->message = 0;
	m->acks = 0;
}

/* Room for n bytes behind what is there, zeroed, and the next multiple of four. */
static char *extend(struct netlink *m, size_t n)
{
	char *at = m->bytes + m->n;
	size_t whole = NLMSG_ALIGN(n);

	check(whole >= n && whole <= sizeof m->bytes - m->n);
	memset(at, 0, whole);
	m->n += whole;
	((struct nlmsghdr *)(void *)(m->bytes + m->message))->nlmsg_len =
		(uint32_t)(m->n - m->message);
	return at;
}

void netlink_begin(struct netlink *m, uint16_t type, uint16_t flags, const void *head, size_t n)
{
	struct nlmsghdr *h;

	m->message = m->n;
	h = (struct nlmsghdr *)(void *)extend(m, sizeof *h);
	h->nlmsg_type = type;
	h->nlmsg_flags = NLM_F_REQUEST | flags;
	/* Numbers the acknowledgements. */
	h->nlmsg_seq = (flags & NLM_F_ACK) ? ++m->acks : 0;
	memcpy(extend(m, n), head, n);
}

void netlink_put(struct netlink *m, uint16_t type, const void *value, size_t n)
{
	struct nlattr head = {(uint16_t)(sizeof head + n), type};
	char *at;

	check(n < UINT16_MAX - sizeof head);
	at = extend(m, sizeof head + n);
	memcpy(at, &head, sizeof head);
	if (n)
		memcpy(at + sizeof head, value, n);
}

void netlink_put_u32(struct netlink *m, uint16_t type, uint32_t value)
{
	netlink_put(m, type, &value, sizeof value);
}

void netlink_put_be32(struct netlink *m, uint16_t type, uint32_t value)
{
	netlink_put_u32(m, type, htonl(value));
}

void netlink_put_be64(struct netlink *m, uint16_t type, uint64_t value)
{
	uint64_t be = htobe64(value);

	netlink_put(m, type, &be, sizeof be);
}

void netlink_put_text(struct netlink *m, uint16_t type, const char *value)
{
	netlink_put(m, type, value, strlen(value) + 1);
}

size_t netlink_nest(struct netlink *m, uint16_t type)
{
	size_t at = m->n;

	netlink_put(m, type | NLA_F_NESTED, NULL, 0);
	return at;
}

void netlink_unnest(struct netlink *m, size_t at)
{
	check(m->n - at <= UINT16_MAX);
	((struct nlattr *)(void *)(m->bytes + at))->nla_len = (uint16_t)(m->n - at);
}

/* --- the exchange --------------------------------------------------------------------------- */

static int open_socket(int protocol)
{
	struct timeval wait = {.tv_sec = WAIT_SECONDS};
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	cleanup(sys_close_p) int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
	int room = 1 << 20;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait) != 0 ||
		connect(fd, (struct sockaddr *)&kernel, sizeof kernel) != 0)
		return -errno;
	/* A refused batch is quoted back: the usual room may be too little for it. */
	(void)!setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
	return sys_take(&fd);
}

struct exchange {
	unsigned acks, seen; /* wanted, had */
	void (*fn)(void *arg, const struct nlmsghdr *head);
	void *arg;
	bool done;
};

/* One message of the kernel's: 0, or the error that it tells. */
static int answer(struct exchange *x, const struct nlmsghdr *h)
{
	const struct nlmsgerr *error = NLMSG_DATA(h);

	if (++x->seen > DUMP_MESSAGES_MAX)
		return -E2BIG;
	if (h->nlmsg_type == NLMSG_DONE) {
		x->done = true;
	} else if (h->nlmsg_type == NLMSG_ERROR) {
		if (h->nlmsg_len < NLMSG_LENGTH(sizeof *error))
			return -EPROTO;
		if (error->error)
			return error->error;
		x->done = x->fn || --x->acks == 0;
	} else if (x->fn) {
		x->fn(x->arg, h);
	}
	return 0;
}

static int exchange(const struct netlink *m, int protocol, struct exchange *x)
{
	cleanup(sys_close_p) int fd = open_socket(protocol);
	_Alignas(8) char in[ANSWER_BYTES];

	if (fd < 0)
		return sys_take(&fd);
	if (send(fd, m->bytes, m->n, 0) != (ssize_t)m->n)
		return errno ? -errno : -EIO;
	while (!x->done) {
		ssize_t n = recv(fd, in, sizeof in, 0);
		unsigned left = (unsigned)n;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		for (const struct nlmsghdr *h = (const void *)in; NLMSG_OK(h, left) && !x->done;
			h = NLMSG_NEXT(h, left)) {
			int rc = answer(x, h);

			if (rc < 0)
				return rc;
		}
	}
	return 0;
}

int netlink_send(const struct netlink *m, int protocol)
{
	struct exchange x = {.acks = m->acks, .done = m->acks == 0};

	return exchange(m, protocol, &x);
}

int netlink_dump(const struct netlink *m, int protocol,
	void (*fn)(void *arg, const struct nlmsghdr *head), void *arg)
{
	struct exchange x = {.fn = fn, .arg = arg};

	return exchange(m, protocol, &x);
}

const struct nlattr *netlink_find(const struct nlmsghdr *head, size_t from, uint16_t type)
{
	const char *at = (const char *)NLMSG_DATA(head) + NLMSG_ALIGN(from);
	const char *end = (const char *)head + head->nlmsg_len;

	while (at < end && (size_t)(end - at) >= sizeof(struct nlattr)) {
		const struct nlattr *a = (const void *)at;

		if (a->nla_len < sizeof *a || a->nla_len > end - at)
			break;
		if ((a->nla_type & NLA_TYPE_MASK) == type)
			return a;
		at += NLMSG_ALIGN(a->nla_len);
	}
	return NULL;
}
