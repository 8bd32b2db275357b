/*
 * Registration of hosts (hosts.h). At start, one thread.
 */
#include "aws/ports/hosts.h"
#include "base/check.h"

void port_host_add(struct ports *ports, const struct port_host *host)
{
	check(ports->host_count < PORT_HOSTS_MAX);
	for (size_t i = 0; i < ports->host_count; i++)
		check(!str_eq_nocase(str_c(ports->hosts[i]->label), str_c(host->label)));
	ports->hosts[ports->host_count++] = host;
}
