/*
 * Reading questions, writing answers: see dns.h.
 */
#include "services/lambda/dns.h"

#include <string.h>

enum {
	FLAG_ANSWER = 0x8000,
	FLAG_CUT = 0x0200,
	FLAG_WANTED = 0x0100,    /* recursion: was asked for */
	FLAG_RECURSION = 0x0080, /* and can be had */
	OPCODE_MASK = 0x7800,
	CODE_MASK = 0x000f,
	CLASS_IN = 1,
	LABEL_MAX = 63,
	SECONDS = 5 /* how long ours may be kept */
};

static unsigned u16_at(str s, size_t at)
{
	return (unsigned)(uint8_t)s.p[at] << 8 | (uint8_t)s.p[at + 1];
}

static void put_u16(char *to, unsigned value)
{
	to[0] = (char)(value >> 8);
	to[1] = (char)value;
}

/* The name at DNS_HEAD_BYTES, without pointers: where it ends, or ERR_SYNTAX. */
static int read_name(str message, struct dns_question *q)
{
	size_t at = DNS_HEAD_BYTES;

	q->name_bytes = 0;
	for (;;) {
		size_t n;

		if (at >= message.n)
			return ERR_SYNTAX;
		n = (uint8_t)message.p[at++];
		if (n == 0)
			return (int)at;
		if (n > LABEL_MAX || n > message.n - at ||
			q->name_bytes + n + (q->name_bytes > 0) > DNS_NAME_MAX - 2)
			return ERR_SYNTAX;
		if (q->name_bytes)
			q->name[q->name_bytes++] = '.';
		for (size_t i = 0; i < n; i++) {
			char c = message.p[at + i];

			if (c == '.' || c == 0) /* would read as another name */
				return ERR_SYNTAX;
			q->name[q->name_bytes++] = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
		}
		at += n;
	}
}

int dns_read(str message, struct dns_question *ret_question)
{
	struct dns_question *q = ret_question;
	int end;

	if (message.n < DNS_HEAD_BYTES || (u16_at(message, 2) & FLAG_ANSWER))
		return ERR_INVALID;
	*q = (struct dns_question){
		.id = (uint16_t)u16_at(message, 0), .flags = (uint16_t)u16_at(message, 2)};
	if ((q->flags & OPCODE_MASK) || u16_at(message, 4) != 1 || u16_at(message, 6) != 0)
		return ERR_SYNTAX;
	end = TRY(read_name(message, q));
	if (message.n - (size_t)end < 4)
		return ERR_SYNTAX;
	q->type = (uint16_t)u16_at(message, (size_t)end);
	q->class = (uint16_t)u16_at(message, (size_t)end + 2);
	q->bytes = (size_t)end + 4;
	return 0;
}

size_t dns_answer(
	const struct dns_question *q, str message, enum dns_code code, const uint8_t *ip, char *to)
{
	/* A pointer to the question's name, A, IN, seconds, four bytes. */
	char record[16] = {
		(char)0xc0, DNS_HEAD_BYTES, 0, DNS_A, 0, CLASS_IN, 0, 0, 0, SECONDS, 0, 4};
	size_t n = q->bytes ? q->bytes : DNS_HEAD_BYTES;

	memset(to, 0, DNS_HEAD_BYTES);
	if (q->bytes)
		memcpy(to, message.p, q->bytes);
	put_u16(to, q->id);
	put_u16(to + 2, FLAG_ANSWER | FLAG_RECURSION | (q->flags & (OPCODE_MASK | FLAG_WANTED)) |
				(unsigned)code);
	put_u16(to + 4, q->bytes ? 1 : 0);
	put_u16(to + 6, ip ? 1 : 0);
	put_u16(to + 8, 0);
	put_u16(to + 10, 0);
	if (!ip)
		return n;
	memcpy(record + 12, ip, 4);
	memcpy(to + n, record, sizeof record);
	return n + sizeof record;
}

bool dns_answers(const struct dns_question *q, str message, str answer)
{
	struct dns_question other;
	char head[DNS_NAME_MAX + DNS_HEAD_BYTES + 16];

	if (answer.n < DNS_HEAD_BYTES || u16_at(answer, 0) != u16_at(message, 0) ||
		!(u16_at(answer, 2) & FLAG_ANSWER))
		return false;
	/* Some leave the question out of an error. */
	if (u16_at(answer, 4) == 0)
		return (u16_at(answer, 2) & CODE_MASK) != DNS_OK;
	if (answer.n < q->bytes || q->bytes > sizeof head)
		return false;
	/* Read as the question that it repeats. */
	memcpy(head, answer.p, q->bytes);
	put_u16(head + 2, 0);
	put_u16(head + 6, 0);
	return dns_read(str_of(head, q->bytes), &other) == 0 && other.bytes == q->bytes &&
	       other.type == q->type && other.class == q->class &&
	       str_eq(dns_name(&other), dns_name(q));
}

size_t dns_truncate(const struct dns_question *q, char *answer)
{
	put_u16(answer + 2, u16_at(str_of(answer, DNS_HEAD_BYTES), 2) | FLAG_CUT);
	memset(answer + 6, 0, 6);
	return q->bytes;
}

void dns_renumber(char *message, uint16_t id)
{
	put_u16(message, id);
}

unsigned dns_servers(str resolv_conf, str ret_servers[DNS_SERVERS_MAX])
{
	unsigned n = 0;
	str line;

	while (n < DNS_SERVERS_MAX && str_split(&resolv_conf, '\n', &line)) {
		str word = STR("nameserver");

		line = str_trim(line);
		if (!str_starts(line, word) || line.n == word.n ||
			(line.p[word.n] != ' ' && line.p[word.n] != '\t'))
			continue;
		line = str_trim(str_from(line, word.n));
		if (line.n)
			ret_servers[n++] = line;
	}
	return n;
}
