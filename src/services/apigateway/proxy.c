/*
 * HTTP_PROXY integrations: the request goes on to the integration's URL, and its answer comes back.
 *
 * Method (unless ANY), path and query come from the integration's URI with the route's parameters
 * filled in; the client's own query string is added; hop-by-hop headers end here; Forwarded and Via
 * say who sent it. Request and answer are limited to 10 MB and held whole, as on AWS.
 *
 * Where it may not go: our own listeners (a public API would reach our API endpoint as if from
 * loopback), link-local addresses (metadata services of clouds), unspecified, multicast and
 * broadcast ones; in strict mode, where others than the machine's owner make APIs, no loopback
 * address either. The name is resolved here, every address is looked at, and plain http connects to
 * the very address that was checked.
 *
 * https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-http.html
 */
#include "base/log.h"
#include "base/rc.h"
#include "http/client.h"
#include "services/apigateway/execute.h"

enum { ADDRESSES_MAX = 8, OUR_HEADERS = 3 };

/* IPv4-mapped IPv6 addresses are looked at as the IPv4 address they reach. */
static struct rt_address unmapped(const struct rt_address *address)
{
	static const uint8_t prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
	struct rt_address v4 = {.family = RT_IPV4, .port = address->port};

	if (address->family != RT_IPV6 || memcmp(address->ip, prefix, sizeof(prefix)) != 0)
		return *address;
	memcpy(v4.ip, address->ip + 12, 4);
	return v4;
}

static bool is_unspecified(const struct rt_address *address)
{
	size_t n = address->family == RT_IPV4 ? 4 : 16;

	for (size_t i = 0; i < n; i++)
		if (address->ip[i])
			return false;
	return true;
}

static bool is_never_a_target(const struct rt_address *a)
{
	if (is_unspecified(a))
		return true;
	if (a->family == RT_IPV4)
		return a->ip[0] == 0 || (a->ip[0] == 169 && a->ip[1] == 254) || a->ip[0] >= 224;
	return a->ip[0] == 0xff || (a->ip[0] == 0xfe && (a->ip[1] & 0xc0) == 0x80);
}

static bool is_own(const struct apigateway_options *options, const struct rt_address *address)
{
	for (size_t i = 0; i < options->own_count; i++) {
		struct rt_address own = unmapped(&options->own[i]);

		if (own.port != address->port)
			continue;
		if (is_unspecified(&own) ||
			(rt_address_is_loopback(&own) && rt_address_is_loopback(address)))
			return true;
		if (own.family == address->family &&
			memcmp(own.ip, address->ip, own.family == RT_IPV4 ? 4 : 16) == 0)
			return true;
	}
	return false;
}

/* Resolves and checks: how many addresses. ERR_DENIED: one of them is no target. */
static int find_target(
	struct execution *e, int64_t deadline, struct rt_address found[ADDRESSES_MAX])
{
	const struct apigateway_options *options = &e->gateway->options;
	const struct target_url *url = &e->integration->url;
	int n = rt_resolve(url->name, url->port, deadline, found, ADDRESSES_MAX);

	if (n <= 0)
		return n < 0 ? n : ERR_NOT_FOUND;
	for (int i = 0; i < n; i++) {
		struct rt_address address = unmapped(&found[i]);

		if (is_never_a_target(&address) || is_own(options, &address) ||
			(!options->open && rt_address_is_loopback(&address)))
			return ERR_DENIED;
	}
	return n;
}

static int client_of(struct execution *e, struct http_client **ret_client)
{
	struct gateway_loop *loop = gateway_loop(e->gateway);
	const struct http_client_options options = {.tls = e->gateway->options.tls};

	if (!loop->client)
		TRY(http_client_new(&options, &loop->client));
	*ret_client = loop->client;
	return 0;
}

#define VIA_NAME "AmazonAPIGateway"

static unsigned via_count(const struct execution *e)
{
	unsigned n = 0;
	ptrdiff_t at;

	for (size_t i = 0; i < e->header_count; i++) {
		str rest = e->headers[i].value;

		if (!str_eq_nocase(e->headers[i].name, STR("via")))
			continue;
		for (; (at = str_find_str(rest, STR(VIA_NAME))) >= 0; n++)
			rest = str_from(rest, (size_t)at + sizeof(VIA_NAME) - 1);
	}
	return n;
}

static str forwarded(struct execution *e)
{
	str by = e->gateway->options.server_address;

	return ARENA_CONCAT(&e->x->arena, STR("by="), by.n ? by : STR("cirrus"), STR(";for="),
		str_find(e->source_ip, ':') < 0
			? e->source_ip
			: ARENA_CONCAT(&e->x->arena, STR("\"["), e->source_ip, STR("]\"")),
		STR(";host="), e->match->host, STR(";proto="),
		e->x->secure ? STR("https") : STR("http"));
}

static const struct http_header *request_headers(struct execution *e, unsigned *ret_count)
{
	struct http_header *out =
		arena_new_array(&e->x->arena, struct http_header, e->header_count + OUR_HEADERS);
	unsigned n = 0;

	for (size_t i = 0; i < e->header_count; i++) {
		const struct http_header *h = &e->headers[i];

		if (!str_eq_nocase(h->name, STR("host")) &&
			!str_eq_nocase(h->name, STR("content-length")))
			out[n++] = *h;
	}
	out[n++] = (struct http_header){.name = STR("Forwarded"), .value = forwarded(e)};
	out[n++] = (struct http_header){.name = STR("Via"), .value = STR("HTTP/1.1 " VIA_NAME)};
	*ret_count = n;
	return out;
}

static void pass_answer(struct execution *e, const struct http_response *response, str body)
{
	struct http_header *out =
		arena_new_array(&e->x->arena, struct http_header, response->header_count + 1);
	str connection = STR_NULL;
	size_t n = 0;

	for (unsigned i = 0; i < response->header_count; i++)
		if (str_eq_nocase(response->headers[i].name, STR("connection")))
			connection = response->headers[i].value;
	for (unsigned i = 0; i < response->header_count; i++) {
		const struct http_header *h = &response->headers[i];

		if (!event_header_is_hop(h->name, connection) &&
			!str_eq_nocase(h->name, STR("content-length")) &&
			!str_eq_nocase(h->name, STR("date")))
			out[n++] = *h;
	}
	execute_answer(e, response->status, out, n, body);
}

static int call(struct execution *e, str target, const struct rt_address *address, int64_t deadline,
	bool *ret_answered)
{
	const struct target_url *url = &e->integration->url;
	struct http_call *call cleanup(http_call_close_p) = NULL;
	const struct http_response *response;
	struct http_client *client;
	char text[RT_ADDRESS_TEXT];
	str body;

	TRY(client_of(e, &client));
	struct http_request request = {
		.secure = url->secure,
		.host = url->host,
		.method = str_eq(e->integration->method, STR("ANY")) ? e->x->method_text
								     : e->integration->method,
		.target = target,
		.body = e->body,
	};
	/* A certificate is for the name: there the client resolves once more. */
	request.address = url->secure ? arena_printf(&e->x->arena, "%.*s:%u", STR_ARG(url->name),
						(unsigned)url->port)
				      : rt_address_text(address, text);
	request.headers = request_headers(e, &request.header_count);
	TRY(http_call_open(client, &request, deadline, &call));
	TRY(http_call_response(call, &response));
	TRY(http_call_body(call, &e->x->arena, APIGATEWAY_MAX_PAYLOAD_BYTES, &body));
	*ret_answered = true;
	pass_answer(e, response, body);
	return 0;
}

void execute_proxy(struct execution *e)
{
	int64_t deadline = rt_after_ms(e->integration->timeout_ms);
	struct rt_address addresses[ADDRESSES_MAX];
	bool answered = false;
	int count = 0;
	str target;

	int rc = target_url_fill(&e->x->arena, &e->integration->url, e->route.parameters,
		e->route.parameter_count, e->x->query, &target);
	if (rc == ERR_INVALID || rc == ERR_TOO_LARGE) {
		execute_refuse(e, ANSWER_BAD_REQUEST);
		return;
	}
	if (rc == 0 && via_count(e) >= APIGATEWAY_MAX_VIA)
		rc = ERR_DEPTH;
	if (rc == 0)
		rc = count = find_target(e, deadline, addresses);
	/* "localhost" is ::1 and 127.0.0.1, and few listen on both. */
	for (int i = 0; i < count && (i == 0 || rc == ERR_REFUSED); i++)
		rc = call(e, target, &addresses[i], deadline, &answered);
	if (rc >= 0 || answered)
		return;
	if (rc == ERR_TIMEOUT) {
		execute_refuse(e, ANSWER_TIMEOUT);
		return;
	}
	if (execute_may_log(e))
		log_warn("apigateway", "HTTP integration failed", "api=%.*s host=%.*s rc=%s",
			STR_ARG(e->api->id), STR_ARG(e->integration->url.host), rc_name(rc));
	execute_refuse(e, rc == ERR_DENIED || rc == ERR_DEPTH || rc == ERR_NOT_FOUND ||
					  rc == ERR_TOO_LARGE || rc == ERR_UNSUPPORTED
				  ? ANSWER_INTERNAL_ERROR
				  : ANSWER_UNAVAILABLE);
}
