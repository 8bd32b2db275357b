/*
 * The packet filter of the functions' network: nf_tables, spoken by netlink, in a table of our own
 * that appears and goes as one transaction. Tables of others are never touched. The host's table
 * also keeps, as its user data, the names of the interfaces whose forwarding we switched on, so
 * that whoever finds the table can undo it.
 *
 * Two tables, both of family ip (there is no IPv6 on these links):
 *   the host's      what comes from functions goes out by translation, or to the host itself where
 *                   that is allowed; nothing begins from outside
 *   the router's    instances reach the way out and nothing else: not one another, not the router,
 *                   not 169.254.0.0/16
 *
 * Sources: linux/netfilter/nf_tables.h, nft(8), the wiki of nftables on hooks and priorities.
 */
#ifndef SANDBOX_FIREWALL_H
#define SANDBOX_FIREWALL_H

#include "base/attr.h"

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

enum { FIREWALL_OPENED_MAX = 12 };
#define FIREWALL_PREFIX "cirrus-" /* of the names of tables and interfaces */

/* Interfaces of the host. */
struct firewall_opened {
	unsigned n;
	char name[FIREWALL_OPENED_MAX][IF_NAMESIZE];
};

struct firewall_host {
	const char *name; /* of the interface, and of the table */
	uint32_t address; /* the host's on it, in machine order */
	uint32_t router;  /* the only one that packets may come from */
	bool reach_host;  /* functions reach the host's own addresses; `address` is its loopback */
	const struct firewall_opened *opened;
};

/* All return 0 or a negative errno; they act in the caller's network namespace. */
must_use int firewall_host_set(const struct firewall_host *f);
must_use int firewall_router_set(const char *outside);
must_use int firewall_remove(const char *table);

/* Each table whose name begins with FIREWALL_PREFIX. */
typedef void firewall_table_fn(void *arg, const char *name, const struct firewall_opened *opened);
must_use int firewall_each(firewall_table_fn *fn, void *arg);

#endif
