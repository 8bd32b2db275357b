/*
 * What a function sends to its resolver, and what servers answer: any bytes. The first one chooses
 * where the question ends and the answer begins.
 */
#include "base/check.h"
#include "services/lambda/dns.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const uint8_t ip[] = {127, 0, 0, 1};
	struct dns_question q, again;
	char to[DNS_QUESTION_MAX + 16];
	str servers[DNS_SERVERS_MAX], message, answer;
	size_t bytes;
	int rc;

	if (n == 0)
		return 0;
	bytes = MIN((size_t)data[0] * 4, n - 1);
	message = str_of(data + 1, MIN(bytes, (size_t)DNS_QUESTION_MAX));
	answer = str_of(data + 1 + bytes, n - 1 - bytes);
	(void)dns_servers(answer, servers);
	rc = dns_read(message, &q);
	if (rc == ERR_INVALID)
		return 0;
	bytes = dns_answer(&q, message, rc < 0 ? DNS_MALFORMED : DNS_OK, rc < 0 ? NULL : ip, to);
	check(bytes <= sizeof to && bytes >= DNS_HEAD_BYTES);
	if (rc < 0)
		return 0;
	check(q.bytes <= message.n && dns_name(&q).n < DNS_NAME_MAX);
	/* Our own answer is one, and its question reads the same. */
	check(dns_answers(&q, message, str_of(to, bytes)));
	(void)dns_answers(&q, message, answer);
	if (answer.n >= q.bytes && answer.n <= sizeof to) {
		memcpy(to, answer.p, answer.n);
		check(dns_truncate(&q, to) == q.bytes);
	}
	check(dns_read(str_of(message.p, q.bytes), &again) == 0);
	check(str_eq(dns_name(&again), dns_name(&q)));
	return 0;
}
