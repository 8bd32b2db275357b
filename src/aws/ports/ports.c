/*
 * Registration of hosts (hosts.h) and sources of records (records.h). At start, one thread.
 */
#include "aws/ports/hosts.h"
#include "aws/ports/records.h"
#include "base/check.h"

void port_host_add(struct ports *ports, const struct port_host *host)
{
	check(ports->host_count < PORT_HOSTS_MAX);
	for (size_t i = 0; i < ports->host_count; i++)
		check(!str_eq_nocase(str_c(ports->hosts[i]->label), str_c(host->label)));
	ports->hosts[ports->host_count++] = host;
}

void port_records_add(struct ports *ports, const struct port_records *records)
{
	check(ports->records_count < PORT_RECORDS_MAX);
	check(!port_records_of(ports, records->arn_prefix));
	ports->records[ports->records_count++] = records;
}

const struct port_records *port_records_of(const struct ports *ports, str arn)
{
	for (size_t i = 0; i < ports->records_count; i++)
		if (str_starts(arn, ports->records[i]->arn_prefix))
			return ports->records[i];
	return NULL;
}
