/*
 * Messages of the domain name system, as far as a forwarder that knows some names itself needs
 * them: one question in, one short answer out, and whether an answer belongs to a question. Pure.
 *
 * Sources: RFC 1035 section 4 (messages), RFC 6891 (options are passed on as they are), RFC 7766
 * (TCP: two bytes of length before each message).
 */
#ifndef SERVICES_LAMBDA_DNS_H
#define SERVICES_LAMBDA_DNS_H

#include "base/rc.h"
#include "base/str.h"

#include <stdint.h>

enum {
	DNS_HEAD_BYTES = 12,
	DNS_NAME_MAX = 255,
	DNS_UDP_MAX = 4096,
	DNS_QUESTION_MAX = 512,
	DNS_SERVERS_MAX = 3
};

enum dns_code { DNS_OK = 0, DNS_MALFORMED = 1, DNS_FAILED = 2, DNS_NO_NAME = 3, DNS_REFUSED = 5 };
enum dns_type { DNS_A = 1, DNS_AAAA = 28 };

struct dns_question {
	uint16_t id, flags, type, class;
	size_t bytes;            /* of the message up to the end of the question */
	char name[DNS_NAME_MAX]; /* lower case, without the last dot */
	size_t name_bytes;
};

static inline str dns_name(const struct dns_question *q)
{
	return str_of(q->name, q->name_bytes);
}

/*
 * ERR_SYNTAX: not exactly one question of the ordinary kind. ret_question->id and flags are set
 * when it has a head at all; ERR_INVALID: no question, nothing is to be answered.
 */
must_use int dns_read(str message, struct dns_question *ret_question);
/*
 * The answer into `to` (of DNS_QUESTION_MAX + 16): with `ip` its address, as a record of type A;
 * the bytes. A question that was not understood (bytes 0) is not repeated.
 */
size_t dns_answer(
	const struct dns_question *q, str message, enum dns_code code, const uint8_t *ip, char *to);
/* Is it the answer to this question, by number and name? */
bool dns_answers(const struct dns_question *q, str message, str answer);
/* Cut short at `max` bytes: marks it so, and leaves the question alone in it. The bytes. */
size_t dns_truncate(const struct dns_question *q, char *answer);
/* Another number, at the begin of any message. */
void dns_renumber(char *message, uint16_t id);

/* The addresses of name servers in a resolv.conf(5); at most DNS_SERVERS_MAX. How many. */
unsigned dns_servers(str resolv_conf, str ret_servers[DNS_SERVERS_MAX]);

#endif
