/*
 * Rules as lists of expressions: each loads a piece of the packet into a register and compares it;
 * the last one is the verdict.
 */
#include "sandbox/firewall.h"

#include "sandbox/netlink.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter_ipv4.h>
#include <netinet/ip_icmp.h>
#include <string.h>

enum { SADDR_OFFSET = 12, DADDR_OFFSET = 16, BEFORE_TRANSLATION = -150, ANY_PREFIX = 7 };
enum { NEW_EACH_SECOND = 1000 };
enum { STATE_NEW = 8, STATE_ESTABLISHED = 2, STATE_RELATED = 4 };

struct rules {
	struct netlink m;
	const char *table;
	size_t expressions; /* of the rule under way */
};

/* --- messages ------------------------------------------------------------------------------- */

static void begin(struct netlink *m, uint16_t kind, uint16_t flags)
{
	struct nfgenmsg head = {.nfgen_family = NFPROTO_IPV4, .version = NFNETLINK_V0};

	netlink_begin(m, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | kind), flags, &head, sizeof head);
}

static void mark(struct netlink *m, uint16_t type)
{
	struct nfgenmsg head = {.version = NFNETLINK_V0, .res_id = htons(NFNL_SUBSYS_NFTABLES)};

	netlink_begin(m, type, 0, &head, sizeof head);
}

/* A transaction: the table, made anew whatever is there. */
static void transaction_begin(
	struct rules *r, const char *table, const struct firewall_opened *opened)
{
	r->table = table;
	netlink_init(&r->m);
	mark(&r->m, NFNL_MSG_BATCH_BEGIN);
	/* Deleting what is not there would fail. */
	begin(&r->m, NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_ACK);
	netlink_put_text(&r->m, NFTA_TABLE_NAME, table);
	begin(&r->m, NFT_MSG_DELTABLE, NLM_F_ACK);
	netlink_put_text(&r->m, NFTA_TABLE_NAME, table);
	begin(&r->m, NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_ACK);
	netlink_put_text(&r->m, NFTA_TABLE_NAME, table);
	if (opened && opened->n)
		netlink_put(&r->m, NFTA_TABLE_USERDATA, opened->name, opened->n * IF_NAMESIZE);
}

static int transaction_end(struct rules *r)
{
	mark(&r->m, NFNL_MSG_BATCH_END);
	return netlink_send(&r->m, NETLINK_NETFILTER);
}

static void chain(struct rules *r, const char *name, const char *type, uint32_t hook, int priority,
	bool accept)
{
	size_t nest;

	begin(&r->m, NFT_MSG_NEWCHAIN, NLM_F_CREATE | NLM_F_ACK);
	netlink_put_text(&r->m, NFTA_CHAIN_TABLE, r->table);
	netlink_put_text(&r->m, NFTA_CHAIN_NAME, name);
	nest = netlink_nest(&r->m, NFTA_CHAIN_HOOK);
	netlink_put_be32(&r->m, NFTA_HOOK_HOOKNUM, hook);
	netlink_put_be32(&r->m, NFTA_HOOK_PRIORITY, (uint32_t)priority);
	netlink_unnest(&r->m, nest);
	netlink_put_be32(&r->m, NFTA_CHAIN_POLICY, accept ? NF_ACCEPT : NF_DROP);
	netlink_put_text(&r->m, NFTA_CHAIN_TYPE, type);
}

static void rule(struct rules *r, const char *in_chain)
{
	begin(&r->m, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND | NLM_F_ACK);
	netlink_put_text(&r->m, NFTA_RULE_TABLE, r->table);
	netlink_put_text(&r->m, NFTA_RULE_CHAIN, in_chain);
	r->expressions = netlink_nest(&r->m, NFTA_RULE_EXPRESSIONS);
}

struct expression {
	size_t element, data;
};

static struct expression expression(struct rules *r, const char *name)
{
	struct expression e = {.element = netlink_nest(&r->m, NFTA_LIST_ELEM)};

	netlink_put_text(&r->m, NFTA_EXPR_NAME, name);
	e.data = netlink_nest(&r->m, NFTA_EXPR_DATA);
	return e;
}

static void expression_end(struct rules *r, struct expression e)
{
	netlink_unnest(&r->m, e.data);
	netlink_unnest(&r->m, e.element);
}

static void data(struct rules *r, uint16_t attribute, const void *value, size_t n)
{
	size_t nest = netlink_nest(&r->m, attribute);

	netlink_put(&r->m, NFTA_DATA_VALUE, value, n);
	netlink_unnest(&r->m, nest);
}

/* --- matches -------------------------------------------------------------------------------- */

static void compare(struct rules *r, bool equal, const void *value, size_t n)
{
	struct expression e = expression(r, "cmp");

	netlink_put_be32(&r->m, NFTA_CMP_SREG, NFT_REG_1);
	netlink_put_be32(&r->m, NFTA_CMP_OP, equal ? NFT_CMP_EQ : NFT_CMP_NEQ);
	data(r, NFTA_CMP_DATA, value, n);
	expression_end(r, e);
}

static void mask(struct rules *r, const void *bits, size_t n)
{
	static const char none[IF_NAMESIZE];
	struct expression e = expression(r, "bitwise");

	netlink_put_be32(&r->m, NFTA_BITWISE_SREG, NFT_REG_1);
	netlink_put_be32(&r->m, NFTA_BITWISE_DREG, NFT_REG_1);
	netlink_put_be32(&r->m, NFTA_BITWISE_LEN, (uint32_t)n);
	data(r, NFTA_BITWISE_MASK, bits, n);
	data(r, NFTA_BITWISE_XOR, none, n);
	expression_end(r, e);
}

/* `n`: how many bytes of the name count; 0: all of it. */
static void interface(struct rules *r, uint32_t key, const char *name, bool equal, size_t n)
{
	char padded[IF_NAMESIZE] = "";
	struct expression e = expression(r, "meta");

	netlink_put_be32(&r->m, NFTA_META_DREG, NFT_REG_1);
	netlink_put_be32(&r->m, NFTA_META_KEY, key);
	expression_end(r, e);
	memcpy(padded, name, strnlen(name, sizeof padded - 1));
	compare(r, equal, padded, n ? n : sizeof padded);
}

static void comes_by(struct rules *r, const char *name, bool equal)
{
	interface(r, NFT_META_IIFNAME, name, equal, 0);
}

static void leaves_by(struct rules *r, const char *name, bool equal)
{
	interface(r, NFT_META_OIFNAME, name, equal, 0);
}

static void address(struct rules *r, uint32_t offset, uint32_t value, unsigned prefix, bool equal)
{
	uint32_t bits = htonl(prefix ? ~0u << (32 - prefix) : 0), wanted = htonl(value);
	struct expression e = expression(r, "payload");

	netlink_put_be32(&r->m, NFTA_PAYLOAD_DREG, NFT_REG_1);
	netlink_put_be32(&r->m, NFTA_PAYLOAD_BASE, NFT_PAYLOAD_NETWORK_HEADER);
	netlink_put_be32(&r->m, NFTA_PAYLOAD_OFFSET, offset);
	netlink_put_be32(&r->m, NFTA_PAYLOAD_LEN, sizeof value);
	expression_end(r, e);
	mask(r, &bits, sizeof bits);
	compare(r, equal, &wanted, sizeof wanted);
}

/* Is the destination one of this machine's own addresses, whatever they are now? */
static void is_local(struct rules *r)
{
	uint32_t local = 2; /* RTN_LOCAL */
	struct expression e = expression(r, "fib");

	netlink_put_be32(&r->m, NFTA_FIB_DREG, NFT_REG_1);
	netlink_put_be32(&r->m, NFTA_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE);
	netlink_put_be32(&r->m, NFTA_FIB_FLAGS, NFTA_FIB_F_DADDR);
	expression_end(r, e);
	compare(r, true, &local, sizeof local);
}

/* 169.254.0.0/16: of links, and of services that tell machines about themselves. */
static void is_link_local(struct rules *r)
{
	address(r, DADDR_OFFSET, 0xa9fe0000, 16, true);
}

static void tracked(struct rules *r, uint32_t key, uint32_t bits, bool some)
{
	uint32_t none = 0;
	struct expression e = expression(r, "ct");

	netlink_put_be32(&r->m, NFTA_CT_DREG, NFT_REG_1);
	netlink_put_be32(&r->m, NFTA_CT_KEY, key);
	expression_end(r, e);
	mask(r, &bits, sizeof bits);
	compare(r, !some, &none, sizeof none);
}

/* Is it more than so many packets a second, seen over a burst of four seconds? */
static void is_over(struct rules *r, uint32_t each_second)
{
	struct expression e = expression(r, "limit");

	netlink_put_be64(&r->m, NFTA_LIMIT_RATE, each_second);
	netlink_put_be64(&r->m, NFTA_LIMIT_UNIT, 1);
	netlink_put_be32(&r->m, NFTA_LIMIT_BURST, 4 * each_second);
	netlink_put_be32(&r->m, NFTA_LIMIT_TYPE, NFT_LIMIT_PKTS);
	netlink_put_be32(&r->m, NFTA_LIMIT_FLAGS, NFT_LIMIT_F_INV);
	expression_end(r, e);
}

/* --- verdicts, each the end of a rule --------------------------------------------------------- */

static void verdict(struct rules *r, uint32_t code)
{
	struct expression e = expression(r, "immediate");
	size_t value, nest;

	netlink_put_be32(&r->m, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
	value = netlink_nest(&r->m, NFTA_IMMEDIATE_DATA);
	nest = netlink_nest(&r->m, NFTA_DATA_VERDICT);
	netlink_put_be32(&r->m, NFTA_VERDICT_CODE, code);
	netlink_unnest(&r->m, nest);
	netlink_unnest(&r->m, value);
	expression_end(r, e);
	netlink_unnest(&r->m, r->expressions);
}

static void reject_by(struct rules *r, uint32_t how)
{
	struct expression e = expression(r, "reject");
	uint8_t code = ICMP_PKT_FILTERED;

	netlink_put_be32(&r->m, NFTA_REJECT_TYPE, how);
	netlink_put(&r->m, NFTA_REJECT_ICMP_CODE, &code, sizeof code);
	expression_end(r, e);
	netlink_unnest(&r->m, r->expressions);
}

static void masquerade(struct rules *r)
{
	expression_end(r, expression(r, "masq"));
	netlink_unnest(&r->m, r->expressions);
}

static void translate_to(struct rules *r, uint32_t to)
{
	uint32_t wanted = htonl(to);
	struct expression e = expression(r, "immediate");

	netlink_put_be32(&r->m, NFTA_IMMEDIATE_DREG, NFT_REG_1);
	data(r, NFTA_IMMEDIATE_DATA, &wanted, sizeof wanted);
	expression_end(r, e);
	e = expression(r, "nat");
	netlink_put_be32(&r->m, NFTA_NAT_TYPE, NFT_NAT_DNAT);
	netlink_put_be32(&r->m, NFTA_NAT_FAMILY, NFPROTO_IPV4);
	netlink_put_be32(&r->m, NFTA_NAT_REG_ADDR_MIN, NFT_REG_1);
	expression_end(r, e);
	netlink_unnest(&r->m, r->expressions);
}

/*
 * Two whole rules: what comes by `link` (or by another) and `matches` is refused so that whoever
 * waits hears it: TCP by a reset, because the kernel sends only few ICMP messages a second.
 */
static void refuse(struct rules *r, const char *in_chain, const char *link, bool same,
	void (*matches)(struct rules *r))
{
	uint8_t tcp = IPPROTO_TCP;
	struct expression e;

	for (int i = 0; i < 2; i++) {
		rule(r, in_chain);
		comes_by(r, link, same);
		if (matches)
			matches(r);
		e = expression(r, "meta");
		netlink_put_be32(&r->m, NFTA_META_DREG, NFT_REG_1);
		netlink_put_be32(&r->m, NFTA_META_KEY, NFT_META_L4PROTO);
		expression_end(r, e);
		compare(r, i == 0, &tcp, sizeof tcp);
		reject_by(r, i == 0 ? NFT_REJECT_TCP_RST : NFT_REJECT_ICMP_UNREACH);
	}
}

/* --- the tables ----------------------------------------------------------------------------- */

/* What comes from functions. */
static void host_inward(struct rules *r, const struct firewall_host *f)
{
	/* Before any translation: a forwarded port of the host is the host's, too. */
	chain(r, "from", "filter", NF_INET_PRE_ROUTING, BEFORE_TRANSLATION, true);
	rule(r, "from");
	comes_by(r, f->name, true);
	address(r, SADDR_OFFSET, f->router, 32, false);
	verdict(r, NF_DROP);
	if (f->reach_host) {
		chain(r, "loopback", "nat", NF_INET_PRE_ROUTING, NF_IP_PRI_NAT_DST, true);
		rule(r, "loopback");
		comes_by(r, f->name, true);
		address(r, DADDR_OFFSET, f->address, 32, true);
		translate_to(r, INADDR_LOOPBACK);
		return;
	}
	refuse(r, "from", f->name, true, is_local);
	/* Broadcasts of a network that the host is in, and what else would be delivered here. */
	chain(r, "in", "filter", NF_INET_LOCAL_IN, NF_IP_PRI_FILTER, true);
	rule(r, "in");
	comes_by(r, f->name, true);
	verdict(r, NF_DROP);
}

static void host_outward(struct rules *r, const struct firewall_host *f)
{
	chain(r, "through", "filter", NF_INET_FORWARD, NF_IP_PRI_FILTER, true);
	rule(r, "through");
	leaves_by(r, f->name, true);
	tracked(r, NFT_CT_STATE, STATE_ESTABLISHED | STATE_RELATED, true);
	verdict(r, NF_ACCEPT);
	rule(r, "through");
	leaves_by(r, f->name, true);
	verdict(r, NF_DROP);
	/* The host forwarded nothing from there before, and does not begin to for others. */
	for (unsigned i = 0; i < f->opened->n; i++) {
		rule(r, "through");
		comes_by(r, f->opened->name[i], true);
		interface(r, NFT_META_OIFNAME, FIREWALL_PREFIX, false, ANY_PREFIX);
		tracked(r, NFT_CT_STATE, STATE_NEW, true);
		tracked(r, NFT_CT_STATUS, IPS_DST_NAT, false);
		verdict(r, NF_DROP);
	}
	chain(r, "translate", "nat", NF_INET_POST_ROUTING, NF_IP_PRI_NAT_SRC, true);
	rule(r, "translate");
	address(r, SADDR_OFFSET, f->router, 32, true);
	leaves_by(r, f->name, false);
	masquerade(r);
}

int firewall_host_set(const struct firewall_host *f)
{
	struct rules r;

	transaction_begin(&r, f->name, f->opened);
	host_inward(&r, f);
	host_outward(&r, f);
	return transaction_end(&r);
}

int firewall_router_set(const char *outside)
{
	struct rules r;

	transaction_begin(&r, "router", NULL);
	chain(&r, "through", "filter", NF_INET_FORWARD, NF_IP_PRI_FILTER, false);
	rule(&r, "through");
	comes_by(&r, outside, true);
	tracked(&r, NFT_CT_STATE, STATE_ESTABLISHED | STATE_RELATED, true);
	verdict(&r, NF_ACCEPT);
	refuse(&r, "through", outside, false, is_link_local);
	/* The host remembers each connection for up to two minutes, and has room for so many. */
	rule(&r, "through");
	comes_by(&r, outside, false);
	tracked(&r, NFT_CT_STATE, STATE_NEW, true);
	is_over(&r, NEW_EACH_SECOND);
	verdict(&r, NF_DROP);
	rule(&r, "through");
	comes_by(&r, outside, false);
	leaves_by(&r, outside, true);
	verdict(&r, NF_ACCEPT);
	/* Another instance. */
	refuse(&r, "through", outside, false, NULL);
	chain(&r, "in", "filter", NF_INET_LOCAL_IN, NF_IP_PRI_FILTER, false);
	refuse(&r, "in", outside, false, NULL);
	chain(&r, "translate", "nat", NF_INET_POST_ROUTING, NF_IP_PRI_NAT_SRC, true);
	rule(&r, "translate");
	leaves_by(&r, outside, true);
	masquerade(&r);
	return transaction_end(&r);
}

int firewall_remove(const char *table)
{
	struct netlink m;

	netlink_init(&m);
	mark(&m, NFNL_MSG_BATCH_BEGIN);
	begin(&m, NFT_MSG_DELTABLE, NLM_F_ACK);
	netlink_put_text(&m, NFTA_TABLE_NAME, table);
	mark(&m, NFNL_MSG_BATCH_END);
	return netlink_send(&m, NETLINK_NETFILTER);
}

/* --- what is there -------------------------------------------------------------------------- */

struct walk {
	firewall_table_fn *fn;
	void *arg;
};

static void see_table(void *arg, const struct nlmsghdr *head)
{
	const struct walk *w = arg;
	const struct nlattr *name = netlink_find(head, sizeof(struct nfgenmsg), NFTA_TABLE_NAME);
	const struct nlattr *kept =
		netlink_find(head, sizeof(struct nfgenmsg), NFTA_TABLE_USERDATA);
	struct firewall_opened opened = {0};

	if (!name || netlink_bytes(name) > IF_NAMESIZE ||
		memchr(netlink_value(name), 0, netlink_bytes(name)) == NULL ||
		strncmp(netlink_value(name), FIREWALL_PREFIX, strlen(FIREWALL_PREFIX)) != 0)
		return;
	if (kept && netlink_bytes(kept) % IF_NAMESIZE == 0 &&
		netlink_bytes(kept) <= sizeof opened.name) {
		opened.n = (unsigned)(netlink_bytes(kept) / IF_NAMESIZE);
		memcpy(opened.name, netlink_value(kept), netlink_bytes(kept));
		for (unsigned i = 0; i < opened.n; i++)
			opened.name[i][IF_NAMESIZE - 1] = 0;
	}
	w->fn(w->arg, netlink_value(name), &opened);
}

int firewall_each(firewall_table_fn *fn, void *arg)
{
	struct walk w = {fn, arg};
	struct netlink m;

	netlink_init(&m);
	begin(&m, NFT_MSG_GETTABLE, NLM_F_DUMP);
	return netlink_dump(&m, NETLINK_NETFILTER, see_table, &w);
}
