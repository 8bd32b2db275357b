/*
 * Messages of the domain name system, by bytes: RFC 1035, section 4.
 */
#include "services/lambda/dns.h"
#include "test/test.h"

/* A question for www.Example.test, A, IN, number 0x1234, recursion wanted. */
static const char question[] = "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"
			       "\x03www\x07"
			       "Example\x04test\x00\x00\x01\x00\x01";
enum { QUESTION = sizeof question - 1, COUNT_AT = 5, NAME_AT = 12, TYPE_AT = QUESTION - 3 };

static str changed(char *to, size_t at, char value)
{
	memcpy(to, question, QUESTION);
	to[at] = value;
	return str_of(to, QUESTION);
}

TEST(dns, question)
{
	struct dns_question q;

	ASSERT_INT(dns_read(str_of(question, QUESTION), &q), 0);
	EXPECT_STR(dns_name(&q), STR("www.example.test"));
	EXPECT_INT(q.id, 0x1234);
	EXPECT_INT(q.type, DNS_A);
	EXPECT_INT(q.bytes, QUESTION);
	/* With options behind it, which stay. */
	{
		char more[QUESTION + 11];

		memcpy(more, question, QUESTION);
		memcpy(more + QUESTION, "\x00\x00\x29\x10\x00\x00\x00\x00\x00\x00\x00", 11);
		more[11] = 1;
		ASSERT_INT(dns_read(str_of(more, sizeof more), &q), 0);
		EXPECT_INT(q.bytes, QUESTION);
	}
}

TEST(dns, malformed)
{
	struct dns_question q;
	char bytes[QUESTION];

	for (size_t n = 0; n < DNS_HEAD_BYTES; n++)
		EXPECT_INT(dns_read(str_of(question, n), &q), ERR_INVALID);
	for (size_t n = DNS_HEAD_BYTES; n < QUESTION; n++)
		EXPECT_INT(dns_read(str_of(question, n), &q), ERR_SYNTAX);
	/* An answer; another operation; two questions; a pointer; a dot inside a label. */
	EXPECT_INT(dns_read(changed(bytes, 2, (char)0x81), &q), ERR_INVALID);
	EXPECT_INT(dns_read(changed(bytes, 2, 0x29), &q), ERR_SYNTAX);
	EXPECT_INT(dns_read(changed(bytes, COUNT_AT, 2), &q), ERR_SYNTAX);
	EXPECT_INT(dns_read(changed(bytes, NAME_AT, (char)0xc0), &q), ERR_SYNTAX);
	EXPECT_INT(dns_read(changed(bytes, NAME_AT + 2, '.'), &q), ERR_SYNTAX);
	EXPECT_INT(dns_read(changed(bytes, NAME_AT, 63), &q), ERR_SYNTAX);
	/* The longest name fits, one byte more does not. */
	for (int more = 0; more < 2; more++) {
		char name[512] = "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00";
		size_t at = DNS_HEAD_BYTES;

		for (int i = 0; i < 4; i++) {
			size_t n = i < 3 ? 63 : 61 + (size_t)more;

			name[at++] = (char)n;
			memset(name + at, 'a', n);
			at += n;
		}
		EXPECT_INT(dns_read(str_of(name, at + 5), &q), more ? ERR_SYNTAX : 0);
	}
}

TEST(dns, answers)
{
	static const uint8_t ip[] = {127, 0, 0, 1};
	static const char record[] =
		"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x05\x00\x04\x7f\x00\x00\x01";
	struct dns_question q;
	char to[DNS_QUESTION_MAX + 16];
	str message = str_of(question, QUESTION), answer;
	size_t n;

	ASSERT_INT(dns_read(message, &q), 0);
	n = dns_answer(&q, message, DNS_OK, ip, to);
	EXPECT_INT(n, QUESTION + 16);
	EXPECT_STR(str_of(to + QUESTION, 16), str_of(record, 16));
	EXPECT_STR(str_of(to, 8), str_of("\x12\x34\x81\x80\x00\x01\x00\x01", 8));
	answer = str_of(to, n);
	EXPECT(dns_answers(&q, message, answer));
	to[1]++; /* another number */
	EXPECT(!dns_answers(&q, message, answer));
	to[1]--;
	to[NAME_AT + 1] = 'x'; /* another name */
	EXPECT(!dns_answers(&q, message, answer));
	to[NAME_AT + 1] = 'W'; /* the same */
	EXPECT(dns_answers(&q, message, answer));
	to[TYPE_AT] = DNS_AAAA;
	EXPECT(!dns_answers(&q, message, answer));
	EXPECT(!dns_answers(&q, message, message)); /* a question is no answer */
	EXPECT_INT(dns_answer(&q, message, DNS_REFUSED, NULL, to), QUESTION);
	EXPECT_STR(str_of(to + 2, 6), str_of("\x81\x85\x00\x01\x00\x00", 6));
	/* Errors may leave the question out, good answers may not. */
	EXPECT(dns_answers(&q, message, str_of("\x12\x34\x81\x82\0\0\0\0\0\0\0\0", 12)));
	EXPECT(!dns_answers(&q, message, str_of("\x12\x34\x81\x80\0\0\0\0\0\0\0\0", 12)));
	/* What was not understood is not repeated. */
	EXPECT_INT(dns_read(str_of(question, QUESTION - 1), &q), ERR_SYNTAX);
	EXPECT_INT(dns_answer(&q, message, DNS_MALFORMED, NULL, to), DNS_HEAD_BYTES);
	EXPECT_STR(str_of(to, 6), str_of("\x12\x34\x81\x81\x00\x00", 6));
}

TEST(dns, truncated)
{
	struct dns_question q;
	char to[DNS_QUESTION_MAX + 16];
	str message = str_of(question, QUESTION);

	ASSERT_INT(dns_read(message, &q), 0);
	(void)dns_answer(&q, message, DNS_OK, (const uint8_t[]){1, 2, 3, 4}, to);
	EXPECT_INT(dns_truncate(&q, to), QUESTION);
	EXPECT_STR(str_of(to + 2, 10), str_of("\x83\x80\x00\x01\x00\x00\x00\x00\x00\x00", 10));
}

TEST(dns, servers)
{
	str s[DNS_SERVERS_MAX];

	EXPECT_INT(dns_servers(STR("# nameserver 1.1.1.1\nsearch a b\nnameserver 10.0.0.2\n"
				   "  nameserver\t::1 \nnameserverx 3.3.3.3\nnameserver\n"
				   "nameserver 4.4.4.4\nnameserver 5.5.5.5"),
			   s),
		3);
	EXPECT_STR(s[0], STR("10.0.0.2"));
	EXPECT_STR(s[1], STR("::1"));
	EXPECT_STR(s[2], STR("4.4.4.4"));
	EXPECT_INT(dns_servers(STR(""), s), 0);
}
