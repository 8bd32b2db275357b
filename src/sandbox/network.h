/*
 * The functions' network, where there is one: what reaches from an instance to the outside.
 *
 *     instance            router (a namespace that is nobody else's)          host
 *     eth0 /32  --veth--  i4  i5 ...   filter, translation   outside  --veth--  cirrus-XXXXXXXX
 *
 * Every instance has a link of its own: there is no shared wire, so nobody hears, answers for or
 * impersonates another (strict reverse path: a source address is good on one link only). The host
 * sees one interface and one address of all of it. The router is held by descriptors of the
 * launcher and its janitor: it, all links and the host's interface vanish with them, however they
 * end. What is left then, a table of the packet filter and perhaps a switch, the next start undoes.
 *
 * Changed on the host: the interface and table cirrus-XXXXXXXX (the range in hexadecimal),
 * forwarding of that interface, and, where it was off, forwarding of the interfaces that have
 * routes (the answers come in by them); the table keeps their names. Nothing else, and no global
 * switch.
 *
 * There is no IPv6 on these links. Root only. Who calls: launcher (open, close), janitor (enter,
 * attach: links are made ahead of their use), cells (join), the command line (check).
 */
#ifndef SANDBOX_NETWORK_H
#define SANDBOX_NETWORK_H

#include "sandbox/firewall.h"
#include "sandbox/launcher.h"

struct network {
	struct sandbox_network options;
	char name[IF_NAMESIZE]; /* of the host's interface, and of its table */
	struct firewall_opened opened;
	int router;  /* its namespace; -1: there is no network */
	bool linked; /* the name is ours on the host */
};

/*
 * Makes it. Sweeps first what dead servers left. Negative errno with the step in `error`; then
 * nothing is left behind. options->reach SANDBOX_REACH_NONE: 0, and the others do nothing.
 */
must_use int network_open(
	struct network *n, const struct sandbox_network *options, struct sandbox_error *error);
/* Undoes everything. In the namespace that opened it. */
void network_close(struct network *n);
/* For the log: what functions reach, and what was changed. */
void network_describe(const struct network *n, char *to, size_t bytes);

/* The janitor's: into the router, for good. */
must_use int network_enter(const struct network *n);
/*
 * A link for the process's namespace, and its address (0 without a network). *next is where the
 * search for a free one begins: 0 at first. -EADDRNOTAVAIL: all are in use.
 */
must_use int network_attach(
	const struct network *n, pid_t pid, uint32_t *next, uint32_t *ret_address);
/* In that namespace: brings the link up. Async-signal-safe. The step in *ret_step. */
must_use int network_join(const struct network *n, uint32_t address, const char **ret_step);

/*
 * Before a server starts: can this machine have it (tried in a namespace of a child's own), and is
 * the range free? ERR_UNSUPPORTED or ERR_EXISTS with the remedy in `error`.
 */
must_use int network_check(const struct sandbox_network *options, struct sandbox_error *error);

#endif
