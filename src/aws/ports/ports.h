/*
 * How services meet without including one another (DESIGN section 7): small interfaces, registered
 * at start in one struct that is passed down. A service that provides one sets its pointer while it
 * starts; whoever uses one checks for NULL ("not running") once, at its own start or per use.
 *
 * Read-only after start, shared by all loops.
 */
#ifndef AWS_PORTS_PORTS_H
#define AWS_PORTS_PORTS_H

#include <stddef.h>

struct port_invoke;     /* lambda: call a function */
struct port_call;       /* the gate: any operation as a given principal */
struct port_identity;   /* iam: who owns an access key, what a role may */
struct port_log;        /* logs: put lines into a log stream */
struct port_metric;     /* cloudwatch: count */
struct port_records;    /* dynamodb ...: read a stream in order */
struct port_deliver;    /* lambda ...: take an event for a target ARN */
struct port_trace;      /* xray: take segments */
struct port_objects;    /* s3: read and write the bodies of objects */
struct port_signatures; /* signer: who signed an archive */
struct port_host;       /* deployed APIs, function URLs ...: who serves a Host */

enum { PORT_HOSTS_MAX = 16, PORT_RECORDS_MAX = 8, PORT_DELIVER_MAX = 8 };

struct ports {
	const struct port_invoke *invoke;
	const struct port_call *call;
	const struct port_identity *identity;
	const struct port_log *log;
	const struct port_metric *metric;
	const struct port_trace *trace;
	const struct port_objects *objects;
	const struct port_signatures *signatures;
	const struct port_host *hosts[PORT_HOSTS_MAX]; /* by port_host_add() */
	size_t host_count;
	const struct port_records *records[PORT_RECORDS_MAX]; /* by port_records_add() */
	size_t records_count;
	const struct port_deliver *deliver[PORT_DELIVER_MAX]; /* by port_deliver_add() */
	size_t deliver_count;
};

#endif
