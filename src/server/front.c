/*
 * The front: our pages, hosts, the gate; and the adapter from an HTTP exchange to the gate's
 * request.
 */
#include "server/front.h"

#include "aws/ports/hosts.h"
#include "base/mem.h"
#include "base/rc.h"
#include "http/http.h"

struct front {
	struct front_options options;
};

struct front *front_new(const struct front_options *options)
{
	struct front *f = mem_new(struct front);

	f->options = *options;
	return f;
}

void front_free(struct front *f)
{
	mem_free(f);
}

static bool ends_with_suffix(const struct front *f, str host, str *ret_rest)
{
	static const str builtin[] = {
		STR_INIT("localhost"), STR_INIT("localhost.localstack.cloud")};
	size_t n = ARRAY_SIZE(builtin) + f->options.host_suffix_count, longest = 0;

	for (size_t i = 0; i < n; i++) {
		str suffix = i < ARRAY_SIZE(builtin)
				     ? builtin[i]
				     : f->options.host_suffixes[i - ARRAY_SIZE(builtin)];

		if (host.n > suffix.n + 1 && host.p[host.n - suffix.n - 1] == '.' &&
			str_eq_nocase(str_from(host, host.n - suffix.n), suffix) &&
			suffix.n > longest) {
			longest = suffix.n;
			*ret_rest = str_sub(host, 0, host.n - suffix.n - 1);
		}
	}
	return longest > 0;
}

static const struct port_host *host_labelled(const struct front *f, str label)
{
	for (size_t i = 0; i < f->options.ports->host_count; i++)
		if (str_eq_nocase(label, str_c(f->options.ports->hosts[i]->label)))
			return f->options.ports->hosts[i];
	return NULL;
}

/* {id}.{label}[.{region}].<suffix> */
static const struct port_host *match_host(
	const struct front *f, const struct http_exchange *x, struct host_match *ret_match)
{
	str rest, id, label, region;
	const struct port_host *host;

	if (!ends_with_suffix(f, http_host_without_port(x->host), &rest) ||
		!str_split(&rest, '.', &id) || !str_split(&rest, '.', &label))
		return NULL;
	host = host_labelled(f, label);
	if (!host || id.n == 0)
		return NULL;
	if (!str_split(&rest, '.', &region))
		region = f->options.region_default;
	*ret_match =
		(struct host_match){.id = id, .region = region, .path = x->path, .host = x->host};
	return host;
}

/* /_aws/{label}/{id}/rest */
static const struct port_host *match_path(
	const struct front *f, const struct http_exchange *x, struct host_match *ret_match)
{
	const struct port_host *host;
	str rest = x->path, label, id;
	ptrdiff_t slash;

	if (!str_starts(rest, STR("/_aws/")))
		return NULL;
	rest = str_from(rest, 6);
	if (!str_split(&rest, '/', &label) || !(host = host_labelled(f, label)))
		return NULL;
	slash = str_find(rest, '/');
	id = slash < 0 ? rest : str_sub(rest, 0, (size_t)slash);
	if (id.n == 0)
		return NULL;
	*ret_match = (struct host_match){.id = id,
		.region = f->options.region_default,
		.path = slash < 0 ? STR("/") : str_from(rest, (size_t)slash),
		.host = x->host,
		.by_path = true};
	return host;
}

static int read_body(void *arg, size_t max, str *ret_body)
{
	return http_body_all(arg, max, ret_body);
}

static int read_body_part(void *arg, void *to, size_t n)
{
	return http_body_read(arg, to, n);
}

static void respond(struct http_exchange *x, const struct gate_response *r)
{
	int rc;

	if (http_responded(x)) /* the handler streamed its answer */
		return;
	rc = http_respond(x, r->status, r->headers, r->header_count, r->body);
	(void)rc; /* the client has left: nobody is there to be told */
}

static void serve_api(struct front *f, struct http_exchange *x, const struct gate_trust *trust)
{
	char peer[RT_ADDRESS_TEXT];
	struct gate_response response = {0};
	struct gate_request request = {
		.method = x->method_text,
		.path = x->path,
		.query = x->query,
		.headers = x->headers,
		.header_count = x->header_count,
		.peer = rt_address_ip_text(http_peer(x), peer),
		.trust = trust,
		.body = read_body,
		.body_read = read_body_part,
		.body_arg = x,
		.body_length = x->body_bytes < 0 ? UINT64_MAX : (uint64_t)x->body_bytes,
		.exchange = x,
	};

	gate_handle(f->options.gate, &x->arena, &request, &response);
	respond(x, &response);
}

/* Is the Host this machine's, or one of our suffixes? A name rebound to loopback is neither. */
static bool host_is_ours(const struct front *f, const struct http_exchange *x)
{
	str host = http_host_without_port(x->host), rest;
	struct rt_address address;
	char text[RT_ADDRESS_TEXT];

	if (str_eq_nocase(host, STR("localhost")) ||
		str_eq_nocase(host, STR("localhost.localstack.cloud")) ||
		ends_with_suffix(f, host, &rest))
		return true;
	for (size_t i = 0; i < f->options.host_suffix_count; i++)
		if (str_eq_nocase(host, f->options.host_suffixes[i]))
			return true;
	if (host.n + 2 > sizeof text)
		return false;
	memcpy(text, host.p, host.n);
	memcpy(text + host.n, ":0", 2);
	return rt_address_parse(str_of(text, host.n + 2), &address) == 0 &&
	       rt_address_is_loopback(&address);
}

/* True when the request was for one of our own pages; then it is answered. */
static bool serve_own_page(struct front *f, struct http_exchange *x)
{
	int rc;

	if (f->options.open && !host_is_ours(f, x) &&
		(str_starts(x->path, STR("/_cirrus/")) ||
			str_starts(x->path, STR("/_localstack/")))) {
		rc = http_respond(x, 403, NULL, 0,
			STR("the Host header names neither this machine nor a --host-suffix\n"));
		(void)rc; /* the client has left */
		return true;
	}
	return f->options.own_page(f->options.own_page_arg, x);
}

void front_serve(struct front *f, struct http_exchange *x, const struct gate_trust *trust)
{
	const struct port_host *host;
	struct host_match match;

	/* Below a bucket's host every path is a key. */
	if (gate_bucket_of_host(x->host, f->options.host_suffixes, f->options.host_suffix_count)
			.p) {
		serve_api(f, x, trust);
		return;
	}
	if (str_starts(x->path, STR("/_")) && !trust->function && serve_own_page(f, x))
		return;
	host = match_path(f, x, &match);
	if (!host)
		host = match_host(f, x, &match);
	if (!host) {
		serve_api(f, x, trust);
		return;
	}
	match.trust = trust;
	if (match.by_path && f->options.open && !trust->function)
		x->always = (struct http_header){
			.name = STR("Content-Security-Policy"), .value = STR(GATE_PAGE_SANDBOX)};
	host->serve(host->self, x, &match);
}
