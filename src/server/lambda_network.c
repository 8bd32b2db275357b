/*
 * The functions' network as options: see lambda_network.h, and sandbox/network.h for what is made.
 */
#include "server/lambda_network.h"

#include "base/rc.h"
#include "rt/stream.h"
#include "sandbox/network.h"
#include "server/services.h"

#include <unistd.h>

/* RFC 1918 and RFC 6598: addresses that are nobody's on the internet. */
static bool is_private(uint32_t address)
{
	return address >> 24 == 10 || address >> 20 == 0xac1 || address >> 16 == 0xc0a8 ||
	       address >> 22 == 0x64400000u >> 22;
}

static int parse_range(str text, struct sandbox_network *n)
{
	ptrdiff_t slash = str_find(text, '/');
	struct rt_address address;
	char with_port[RT_ADDRESS_TEXT];
	uint64_t prefix;

	if (slash <= 0 || slash + 3 > (ptrdiff_t)sizeof with_port ||
		str_to_u64(str_from(text, (size_t)slash + 1), 32, &prefix) < 0)
		return ERR_INVALID;
	memcpy(with_port, text.p, (size_t)slash);
	memcpy(with_port + slash, ":0", 2);
	if (rt_address_parse(str_of(with_port, (size_t)slash + 2), &address) < 0 ||
		address.family != RT_IPV4 || prefix < SANDBOX_RANGE_PREFIX_MIN ||
		prefix > SANDBOX_RANGE_PREFIX_MAX)
		return ERR_INVALID;
	n->range = (uint32_t)address.ip[0] << 24 | (uint32_t)address.ip[1] << 16 |
		   (uint32_t)address.ip[2] << 8 | address.ip[3];
	n->prefix = (unsigned)prefix;
	/* Both ends, and no bit behind the prefix. */
	if (n->range & (~0u >> prefix) || !is_private(n->range) ||
		!is_private(n->range | ~0u >> prefix))
		return ERR_INVALID;
	return 0;
}

int lambda_network(const struct options *options, struct arena *arena,
	struct sandbox_network *ret_network, str *ret_message)
{
	struct sandbox_network n = {0};
	str mode = str_c(options->lambda_network);
	unsigned containers = services_instances(options) + SERVICES_CONTAINERS_SPARE;

	if (parse_range(str_c(options->lambda_network_range), &n) < 0) {
		*ret_message = arena_printf(arena,
			"--lambda-network-range: '%s' is not a private IPv4 range of %d to %d "
			"bits, "
			"such as 10.213.0.0/16",
			options->lambda_network_range, SANDBOX_RANGE_PREFIX_MIN,
			SANDBOX_RANGE_PREFIX_MAX);
		return ERR_INVALID;
	}
	if (!str_eq(mode, STR("none")) && sandbox_range_instances(n.prefix) < containers) {
		*ret_message = arena_printf(arena,
			"--lambda-network-range: %s has no room for %u instances "
			"(--function-instances and what is kept ready); choose a larger one",
			options->lambda_network_range, containers);
		return ERR_INVALID;
	}
	n.reach = str_eq(mode, STR("nat"))    ? SANDBOX_REACH_OUTSIDE
		  : str_eq(mode, STR("host")) ? SANDBOX_REACH_HOST
					      : SANDBOX_REACH_NONE;
	*ret_network = n;
	return 0;
}

/* As worker.c decides it. */
static bool is_strict(const struct options *o)
{
	struct rt_address address;
	str listen = str_c(o->listen);

	if (*o->auth)
		return str_eq(str_c(o->auth), STR("strict"));
	return !str_starts(listen, STR("localhost:")) && rt_address_parse(listen, &address) == 0 &&
	       !rt_address_is_loopback(&address);
}

int lambda_network_check(const struct options *options, struct arena *arena, str *ret_message)
{
	struct sandbox_network n;
	struct sandbox_error error = {""};
	int rc;

	TRY(lambda_network(options, arena, &n, ret_message));
	if (n.reach == SANDBOX_REACH_NONE)
		return 0;
	if (geteuid() != 0) {
		*ret_message = arena_printf(arena,
			"--lambda-network: %s needs root: links between namespaces and address "
			"translation are made by the launcher. Start cirrus as root (its worker "
			"becomes --user), or leave it at none",
			options->lambda_network);
		return ERR_DENIED;
	}
	if (n.reach == SANDBOX_REACH_HOST && !is_strict(options)) {
		*ret_message = STR("--lambda-network: host lets functions reach this server's own "
				   "listener, where in open mode every key is root. Give "
				   "--auth=strict with it, or use nat");
		return ERR_DENIED;
	}
	rc = network_check(&n, &error);
	if (rc < 0)
		*ret_message = arena_printf(arena, "--lambda-network: %s", error.text);
	return rc;
}
