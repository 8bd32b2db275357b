/*
 * Links, addresses, routes and switches of the functions' network; the rules are firewall.c's. See
 * network.h for the picture.
 */
#include "sandbox/network.h"

#include "base/check.h"
#include "base/rc.h"
#include "sandbox/netlink.h"
#include "sandbox/root.h"
#include "sandbox/sys.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define OUTSIDE  "outside" /* the router's way out */
#define INSIDE   "eth0"    /* an instance's */
#define SWITCHES ROOT_PROC "/sys/net/"

enum { DEFAULT_PREFIX_MAX = 7, OLD_TRIES = 30, OLD_PAUSE_MS = 100, LINK_PREFIX = 30 };
enum { STALE_MAX = 16 };

static int fail(struct sandbox_error *error, int err, const char *step)
{
	snprintf(error->text, sizeof error->text,
		"the functions' network: cannot %s: %s; it needs root and in the kernel veth, "
		"nf_tables, nft_fib_ipv4, nft_reject_ipv4, nft_ct, nft_nat, nft_masq",
		step, strerror(-err));
	return err;
}

/* --- switches ------------------------------------------------------------------------------- */

/* One below /proc/sys/net. What a kernel without IPv6 does not have is skipped. */
static int turn(const char *family, const char *link, const char *what, const char *value)
{
	char path[128], *at = stpcpy(path, SWITCHES);
	int rc;

	at = stpcpy(stpcpy(at, family), "/conf/");
	at = stpcpy(stpcpy(at, link), "/");
	stpcpy(at, what);
	rc = sys_write_file(AT_FDCWD, path, value);
	return rc == -ENOENT && strcmp(family, "ipv6") == 0 ? 0 : rc;
}

static bool forwards(const char *link)
{
	char path[128], text[8];

	snprintf(path, sizeof path, SWITCHES "ipv4/conf/%s/forwarding", link);
	return sys_read_file(AT_FDCWD, path, text, sizeof text) > 0 && text[0] == '1';
}

/* --- links, addresses, routes ---------------------------------------------------------------- */

static unsigned index_of(const char *link)
{
	cleanup(sys_close_p) int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = {0};

	stpcpy(request.ifr_name, link);
	return fd >= 0 && ioctl(fd, SIOCGIFINDEX, &request) == 0 ? (unsigned)request.ifr_ifindex
								 : 0;
}

/* A pair: `name` here and up, `peer` in the namespace that the attribute (fd or pid) names. */
static int make_pair(const char *name, bool up, const char *peer, uint16_t where, uint32_t value)
{
	struct ifinfomsg here = {.ifi_flags = up ? IFF_UP : 0, .ifi_change = up ? IFF_UP : 0};
	struct ifinfomsg there = {0};
	struct netlink m;
	size_t info, data, end;

	netlink_init(&m);
	netlink_begin(&m, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK, &here, sizeof here);
	netlink_put_text(&m, IFLA_IFNAME, name);
	info = netlink_nest(&m, IFLA_LINKINFO);
	netlink_put_text(&m, IFLA_INFO_KIND, "veth");
	data = netlink_nest(&m, IFLA_INFO_DATA);
	end = m.n;
	/* The head of the peer's message is the attribute's own beginning. */
	netlink_put(&m, VETH_INFO_PEER, &there, sizeof there);
	netlink_put_text(&m, IFLA_IFNAME, peer);
	netlink_put_u32(&m, where, value);
	netlink_unnest(&m, end);
	netlink_unnest(&m, data);
	netlink_unnest(&m, info);
	return netlink_send(&m, NETLINK_ROUTE);
}

static void put_up(struct netlink *m, unsigned link)
{
	struct ifinfomsg head = {.ifi_index = (int)link, .ifi_flags = IFF_UP, .ifi_change = IFF_UP};

	netlink_begin(m, RTM_NEWLINK, NLM_F_ACK, &head, sizeof head);
}

static void put_address(struct netlink *m, unsigned link, uint32_t address, unsigned prefix)
{
	struct ifaddrmsg head = {
		.ifa_family = AF_INET, .ifa_prefixlen = (uint8_t)prefix, .ifa_index = link};

	netlink_begin(m, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK, &head, sizeof head);
	netlink_put_be32(m, IFA_LOCAL, address);
	netlink_put_be32(m, IFA_ADDRESS, address);
}

/* To one address by the link, or (address 0) to everything else by the gateway on it. */
static void put_route(struct netlink *m, unsigned link, uint32_t address, uint32_t gateway)
{
	struct rtmsg head = {.rtm_family = AF_INET,
		.rtm_dst_len = address ? 32 : 0,
		.rtm_table = RT_TABLE_MAIN,
		.rtm_protocol = RTPROT_STATIC,
		.rtm_scope = gateway ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK,
		.rtm_type = RTN_UNICAST,
		.rtm_flags = gateway ? RTNH_F_ONLINK : 0};

	netlink_begin(m, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK, &head, sizeof head);
	if (address)
		netlink_put_be32(m, RTA_DST, address);
	if (gateway)
		netlink_put_be32(m, RTA_GATEWAY, gateway);
	netlink_put_u32(m, RTA_OIF, link);
}

static void remove_link(const char *name)
{
	struct ifinfomsg head = {.ifi_index = (int)index_of(name)};
	struct netlink m;

	if (!head.ifi_index)
		return;
	netlink_init(&m);
	netlink_begin(&m, RTM_DELLINK, NLM_F_ACK, &head, sizeof head);
	(void)!netlink_send(&m, NETLINK_ROUTE);
}

/* --- what the host has ----------------------------------------------------------------------- */

/* What the host's routes say about our range, and where answers will come in. */
struct survey {
	const struct network *network;
	bool collides;
	uint32_t range; /* of what collides */
	unsigned prefix;
	char link[IF_NAMESIZE];
	unsigned links[64], count; /* that have routes */
};

static bool overlap(uint32_t a, unsigned prefix_a, uint32_t b, unsigned prefix_b)
{
	unsigned least = prefix_a < prefix_b ? prefix_a : prefix_b;

	return ((a ^ b) & (least ? ~0u << (32 - least) : 0)) == 0;
}

static void see_route(void *arg, const struct nlmsghdr *head)
{
	struct survey *s = arg;
	const struct rtmsg *route = NLMSG_DATA(head);
	const struct nlattr *to, *by;
	const struct sandbox_network *own = &s->network->options;
	uint32_t address = 0, link = 0;

	if (head->nlmsg_type != RTM_NEWROUTE || head->nlmsg_len < NLMSG_LENGTH(sizeof *route) ||
		route->rtm_family != AF_INET)
		return;
	to = netlink_find(head, sizeof *route, RTA_DST);
	by = netlink_find(head, sizeof *route, RTA_OIF);
	if (to && netlink_bytes(to) == sizeof address)
		memcpy(&address, netlink_value(to), sizeof address);
	if (by && netlink_bytes(by) == sizeof link)
		memcpy(&link, netlink_value(by), sizeof link);
	address = ntohl(address);
	if (link && route->rtm_type == RTN_UNICAST && s->count < ARRAY_SIZE(s->links)) {
		unsigned i = 0;

		while (i < s->count && s->links[i] != link)
			i++;
		s->links[i] = link;
		s->count += i == s->count;
	}
	/* Very wide ones are ways out, whatever they are called (VPNs halve the default route). */
	if (s->collides || route->rtm_dst_len <= DEFAULT_PREFIX_MAX ||
		!overlap(address, route->rtm_dst_len, own->range, own->prefix))
		return;
	s->collides = true;
	s->range = address;
	s->prefix = route->rtm_dst_len;
	if (!link || !if_indextoname(link, s->link))
		stpcpy(s->link, "?");
}

static int survey(const struct network *n, struct survey *s)
{
	struct rtmsg head = {.rtm_family = AF_INET};
	struct netlink m;

	*s = (struct survey){.network = n};
	netlink_init(&m);
	netlink_begin(&m, RTM_GETROUTE, NLM_F_DUMP, &head, sizeof head);
	return netlink_dump(&m, NETLINK_ROUTE, see_route, s);
}

/* Surveys, and refuses a range that is in use. A server of our own that has just been killed has it
 * for a moment more. */
static int find_room(const struct network *n, struct survey *s, struct sandbox_error *error)
{
	char text[INET_ADDRSTRLEN];
	struct in_addr address;
	int rc;

	for (int i = 0;; i++) {
		rc = survey(n, s);
		if (rc < 0)
			return fail(error, rc, "read the routes");
		if (!s->collides)
			return 0;
		if (strcmp(s->link, n->name) != 0 || i == OLD_TRIES)
			break;
		poll(NULL, 0, OLD_PAUSE_MS);
	}
	address.s_addr = htonl(s->range);
	inet_ntop(AF_INET, &address, text, sizeof text);
	snprintf(error->text, sizeof error->text,
		"the functions' range meets the host's route to %s/%u by %s%s; choose a free one "
		"with "
		"--lambda-network-range",
		text, s->prefix, s->link,
		strcmp(s->link, n->name) == 0 ? " (another cirrus has this range)" : "");
	return -EEXIST;
}

/* --- interfaces that we switched forwarding on for -------------------------------------------- */

struct tables {
	const char *own;
	unsigned n;
	struct table {
		char name[IF_NAMESIZE];
		bool alive;
		struct firewall_opened opened;
	} table[STALE_MAX];
};

static void see_table(void *arg, const char *name, const struct firewall_opened *opened)
{
	struct tables *t = arg;

	if (t->n == ARRAY_SIZE(t->table))
		return;
	memcpy(t->table[t->n].name, name, strnlen(name, IF_NAMESIZE - 1));
	t->table[t->n].alive = strcmp(name, t->own) != 0 && index_of(name) != 0;
	t->table[t->n++].opened = *opened;
}

static bool opened_has(const struct firewall_opened *o, const char *link)
{
	for (unsigned i = 0; i < o->n; i++)
		if (strcmp(o->name[i], link) == 0)
			return true;
	return false;
}

/* Does another server rely on this interface's forwarding, which one of us switched on? */
static bool is_shared(const struct tables *t, const char *link)
{
	for (unsigned i = 0; i < t->n; i++)
		if (t->table[i].alive && opened_has(&t->table[i].opened, link))
			return true;
	return false;
}

static void shut(const struct tables *t, const struct firewall_opened *o)
{
	for (unsigned i = 0; i < o->n; i++)
		if (o->name[i][0] && !strchr(o->name[i], '/') && !is_shared(t, o->name[i]))
			(void)!turn("ipv4", o->name[i], "forwarding", "0");
}

/* What servers left whose interface is gone: they were killed. */
static void sweep(const struct tables *t)
{
	for (unsigned i = 0; i < t->n; i++)
		if (!t->table[i].alive) {
			shut(t, &t->table[i].opened);
			(void)!firewall_remove(t->table[i].name);
		}
}

/* Which forwarding has to be switched on: where it is off, or on only because of one of us. */
static int choose_opened(struct network *n, const struct survey *s, const struct tables *t,
	struct sandbox_error *error)
{
	for (unsigned i = 0; i < s->count; i++) {
		char link[IF_NAMESIZE];

		if (!if_indextoname(s->links[i], link) || strcmp(link, "lo") == 0 ||
			strncmp(link, FIREWALL_PREFIX, strlen(FIREWALL_PREFIX)) == 0 ||
			(forwards(link) && !is_shared(t, link)))
			continue;
		if (n->opened.n == FIREWALL_OPENED_MAX) {
			snprintf(error->text, sizeof error->text,
				"the functions' network: more than %d interfaces have routes and "
				"do "
				"not forward; switch it on for all (sysctl net.ipv4.ip_forward=1)",
				FIREWALL_OPENED_MAX);
			return -E2BIG;
		}
		stpcpy(n->opened.name[n->opened.n++], link);
	}
	return 0;
}

/* --- making --------------------------------------------------------------------------------- */

static uint32_t host_of(const struct network *n)
{
	return n->options.range + SANDBOX_RANGE_HOST;
}

static uint32_t router_of(const struct network *n)
{
	return n->options.range + SANDBOX_RANGE_ROUTER;
}

/* The router's inside; `host` is the host's namespace. */
static int build_router(struct network *n, int host, const char **ret_step)
{
	struct netlink m;
	unsigned link;
	int rc;

	*ret_step = "set the router's switches";
	rc = turn("ipv6", "all", "disable_ipv6", "1");
	if (rc == 0)
		rc = turn("ipv6", "default", "disable_ipv6", "1");
	if (rc == 0)
		rc = turn("ipv4", "all", "forwarding", "1");
	/* The strict form: a source address is good on the link that leads to it. */
	if (rc == 0)
		rc = turn("ipv4", "all", "rp_filter", "1");
	if (rc == 0)
		rc = turn("ipv4", "all", "send_redirects", "0");
	if (rc == 0)
		rc = turn("ipv4", "default", "send_redirects", "0");
	*ret_step = "filter in the router";
	if (rc == 0)
		rc = firewall_router_set(OUTSIDE);
	*ret_step = "make the router's link";
	if (rc == 0)
		rc = make_pair(OUTSIDE, true, n->name, IFLA_NET_NS_FD, (uint32_t)host);
	if (rc < 0)
		return rc;
	n->linked = true;
	*ret_step = "set the router's address";
	link = index_of(OUTSIDE);
	netlink_init(&m);
	put_address(&m, link, router_of(n), LINK_PREFIX);
	put_route(&m, link, 0, host_of(n));
	return netlink_send(&m, NETLINK_ROUTE);
}

static int build_host(const struct network *n, const char **ret_step)
{
	struct firewall_host f = {.name = n->name,
		.address = host_of(n),
		.router = router_of(n),
		.reach_host = n->options.reach == SANDBOX_REACH_HOST,
		.opened = &n->opened};
	struct netlink m;
	unsigned link = index_of(n->name);
	int rc;

	/* First what guards, then what opens. */
	*ret_step = "filter";
	rc = firewall_host_set(&f);
	*ret_step = "set the interface's switches";
	if (rc == 0)
		rc = turn("ipv6", n->name, "disable_ipv6", "1");
	if (rc == 0)
		rc = turn("ipv4", n->name, "send_redirects", "0");
	if (rc == 0 && f.reach_host)
		rc = turn("ipv4", n->name, "route_localnet", "1");
	if (rc == 0)
		rc = turn("ipv4", n->name, "forwarding", "1");
	*ret_step = "set the interface's address";
	if (rc == 0) {
		netlink_init(&m);
		put_address(&m, link, host_of(n), LINK_PREFIX);
		put_up(&m, link);
		rc = netlink_send(&m, NETLINK_ROUTE);
	}
	*ret_step = "switch forwarding on";
	for (unsigned i = 0; rc == 0 && i < n->opened.n; i++)
		rc = turn("ipv4", n->opened.name[i], "forwarding", "1");
	return rc;
}

static int build(struct network *n, const char **ret_step)
{
	cleanup(sys_close_p) int host = open(ROOT_PROC "/self/ns/net", O_RDONLY | O_CLOEXEC);
	int rc;

	*ret_step = "make the router's namespace";
	if (host < 0 || unshare(CLONE_NEWNET) != 0)
		return -errno;
	n->router = open(ROOT_PROC "/self/ns/net", O_RDONLY | O_CLOEXEC);
	rc = n->router < 0 ? -errno : build_router(n, host, ret_step);
	check(setns(host, CLONE_NEWNET) == 0);
	return rc < 0 ? rc : build_host(n, ret_step);
}

int network_open(
	struct network *n, const struct sandbox_network *options, struct sandbox_error *error)
{
	struct tables t = {.own = n->name};
	const char *step = "look at the packet filter";
	struct survey s;
	int rc;

	*n = (struct network){.options = *options, .router = -1};
	if (options->reach == SANDBOX_REACH_NONE)
		return 0;
	snprintf(n->name, sizeof n->name, FIREWALL_PREFIX "%08x", options->range);
	rc = find_room(n, &s, error);
	if (rc < 0)
		return rc;
	rc = firewall_each(see_table, &t);
	if (rc < 0)
		return fail(error, rc, step);
	sweep(&t);
	rc = choose_opened(n, &s, &t, error);
	if (rc < 0)
		return rc;
	rc = build(n, &step);
	if (rc < 0) {
		network_close(n);
		return fail(error, rc, step);
	}
	return 0;
}

void network_close(struct network *n)
{
	struct tables t = {.own = n->name};

	/* Until it is ours the name may be another server's. */
	if (n->linked) {
		if (firewall_each(see_table, &t) == 0)
			shut(&t, &n->opened);
		remove_link(n->name);
		(void)!firewall_remove(n->name);
		n->linked = false;
	}
	sys_close(&n->router);
}

void network_describe(const struct network *n, char *to, size_t bytes)
{
	char range[INET_ADDRSTRLEN];
	struct in_addr address = {htonl(n->options.range)};
	size_t at;

	if (n->router < 0) {
		snprintf(to, bytes, "none");
		return;
	}
	inet_ntop(AF_INET, &address, range, sizeof range);
	snprintf(to, bytes, "%s, range %s/%u by %s",
		n->options.reach == SANDBOX_REACH_HOST ? "host" : "nat", range, n->options.prefix,
		n->name);
	for (unsigned i = 0; i < n->opened.n; i++) {
		at = strlen(to);
		snprintf(to + at, bytes - at, "%s %s",
			i ? "," : ", forwarding switched on until the stop for", n->opened.name[i]);
	}
}

/* --- instances ------------------------------------------------------------------------------ */

int network_enter(const struct network *n)
{
	return n->router < 0 || setns(n->router, CLONE_NEWNET) == 0 ? 0 : -errno;
}

static int attach_as(const struct network *n, uint32_t number, pid_t pid)
{
	char name[IF_NAMESIZE];
	struct netlink m;
	int rc;

	snprintf(name, sizeof name, "i%u", number);
	rc = make_pair(name, true, INSIDE, IFLA_NET_NS_PID, (uint32_t)pid);
	if (rc < 0)
		return rc;
	netlink_init(&m);
	put_route(&m, index_of(name), n->options.range + number, 0);
	return netlink_send(&m, NETLINK_ROUTE);
}

int network_attach(const struct network *n, pid_t pid, uint32_t *next, uint32_t *ret_address)
{
	uint32_t count;

	*ret_address = 0;
	if (n->router < 0)
		return 0;
	count = sandbox_range_instances(n->options.prefix);
	for (uint32_t i = 0; i < count; i++) {
		uint32_t number = SANDBOX_RANGE_FIRST + (*next + i) % count;
		int made = attach_as(n, number, pid);

		/* Of an instance whose namespace is not gone yet. */
		if (made == -EEXIST)
			continue;
		if (made == 0) {
			*next = (*next + i + 1) % count;
			*ret_address = n->options.range + number;
		}
		return made;
	}
	return -EADDRNOTAVAIL;
}

int network_join(const struct network *n, uint32_t address, const char **ret_step)
{
	struct netlink m;
	unsigned link;
	int rc;

	if (n->router < 0)
		return 0;
	*ret_step = "switch IPv6 off";
	rc = turn("ipv6", INSIDE, "disable_ipv6", "1");
	if (rc < 0)
		return rc;
	*ret_step = "bring the network up";
	link = index_of(INSIDE);
	netlink_init(&m);
	put_address(&m, link, address, 32);
	put_up(&m, link);
	put_route(&m, link, 0, router_of(n));
	return netlink_send(&m, NETLINK_ROUTE);
}

/* --- before the start ------------------------------------------------------------------------ */

/* Everything once, in a namespace that ends with this process. */
noreturn_fn static void try_all(const struct sandbox_network *options, int report)
{
	struct sandbox_error error = {""};
	struct network n;

	if (unshare(CLONE_NEWNET) != 0)
		(void)!fail(&error, -errno, "make a network namespace");
	else
		(void)!network_open(&n, options, &error);
	(void)!write(report, &error, sizeof error);
	_exit(0);
}

static int check_kernel(const struct sandbox_network *options, struct sandbox_error *error)
{
	int ends[2], status = -1;
	struct sandbox_error told;
	ssize_t got;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) != 0)
		return fail(error, -errno, "make a pipe");
	pid = sys_fork();
	if (pid == 0)
		try_all(options, ends[1]);
	close(ends[1]);
	got = pid < 0 ? -1 : read(ends[0], &told, sizeof told);
	close(ends[0]);
	if (pid > 0)
		(void)!waitpid(pid, &status, 0);
	if (got != sizeof told || status != 0)
		return fail(error, -EIO, "try it");
	if (!told.text[0])
		return 0;
	*error = told;
	return -EPERM;
}

int network_check(const struct sandbox_network *options, struct sandbox_error *error)
{
	struct network n = {.options = *options, .router = -1};
	struct survey s;

	if (options->reach == SANDBOX_REACH_NONE)
		return 0;
	if (check_kernel(options, error) < 0)
		return ERR_UNSUPPORTED;
	snprintf(n.name, sizeof n.name, FIREWALL_PREFIX "%08x", options->range);
	return find_room(&n, &s, error) < 0 ? ERR_EXISTS : 0;
}
