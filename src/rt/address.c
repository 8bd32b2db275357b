/*
 * Addresses: text to bytes and back. No I/O.
 */
#include "rt/stream.h"

#include <arpa/inet.h>
#include <stdio.h>

/* Each request tells whom it came from; inet_ntop() is printf() with a format. */
static str ipv4_text(const uint8_t ip[4], char *text)
{
	char *p = text;

	for (int i = 0; i < 4; i++) {
		unsigned n = ip[i];

		if (i)
			*p++ = '.';
		if (n >= 100)
			*p++ = (char)('0' + n / 100);
		if (n >= 10)
			*p++ = (char)('0' + n / 10 % 10);
		*p++ = (char)('0' + n % 10);
	}
	return str_of(text, (size_t)(p - text));
}

str rt_address_ip_text(const struct rt_address *a, char text[RT_ADDRESS_TEXT])
{
	switch (a->family) {
	case RT_IPV4: return ipv4_text(a->ip, text);
	case RT_IPV6: inet_ntop(AF_INET6, a->ip, text, RT_ADDRESS_TEXT); break;
	case RT_UNIX: return STR("unix");
	default: return STR("unknown");
	}
	return str_c(text);
}

str rt_address_text(const struct rt_address *a, char text[RT_ADDRESS_TEXT])
{
	char ip[RT_ADDRESS_TEXT];
	str s = rt_address_ip_text(a, ip);
	int n;

	if (a->family != RT_IPV4 && a->family != RT_IPV6)
		return s;
	n = snprintf(text, RT_ADDRESS_TEXT, a->family == RT_IPV6 ? "[%.*s]:%u" : "%.*s:%u",
		STR_ARG(s), a->port);
	return str_of(text, (size_t)n);
}

int rt_address_parse(str text, struct rt_address *ret_address)
{
	struct rt_address a = {.family = RT_IPV4};
	ptrdiff_t colon = str_find_last(text, ':');
	char ip[INET6_ADDRSTRLEN + 1];
	uint64_t port;
	str host;

	if (colon < 0 || str_to_u64(str_from(text, (size_t)colon + 1), 65535, &port) < 0)
		return ERR_SYNTAX;
	host = str_sub(text, 0, (size_t)colon);
	if (host.n >= 2 && host.p[0] == '[' && host.p[host.n - 1] == ']') {
		a.family = RT_IPV6;
		host = str_sub(host, 1, host.n - 2);
	}
	if (host.n >= sizeof ip || str_find(host, '\0') >= 0)
		return ERR_SYNTAX;
	memcpy(ip, host.p, host.n);
	ip[host.n] = 0;
	a.port = (uint16_t)port;
	if (inet_pton(a.family == RT_IPV6 ? AF_INET6 : AF_INET, ip, a.ip) != 1)
		return ERR_SYNTAX;
	*ret_address = a;
	return 0;
}

bool rt_address_is_loopback(const struct rt_address *a)
{
	static const uint8_t v6[16] = {[15] = 1}, mapped[13] = {[10] = 0xff, 0xff, 127};

	switch (a->family) {
	case RT_IPV4: return a->ip[0] == 127;
	case RT_IPV6:
		return memcmp(a->ip, v6, sizeof v6) == 0 ||
		       memcmp(a->ip, mapped, sizeof mapped) == 0;
	case RT_UNIX: return true;
	default: return false;
	}
}
