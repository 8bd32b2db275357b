/*
 * GetFunction's Code.Location and GetLayerVersion's Content.Location: a link that works without a
 * signature for ten minutes.
 *
 *     /_aws/lambda-code/<hex>/<name>.zip?expires=<s since 1970>&signature=<HMAC of the rest>
 */
#include "base/check.h"
#include "base/hash.h"
#include "base/uri.h"
#include "http/http.h"
#include "rt/rt.h"
#include "services/lambda/service.h"

enum { PART_BYTES = 64 * 1024 };

static str signature(struct lambda_service *s, struct arena *a, str hex, str path, str expires)
{
	str text = ARENA_CONCAT(a, STR("lambda-code\n"), hex, STR("\n"), path, STR("\n"), expires);
	char *to = arena_bytes(a, 2 * SHA256_BYTES);
	uint8_t mac[SHA256_BYTES];

	hmac_sha256_of(str_of(s->url_key, sizeof(s->url_key)), text, mac);
	hex_encode(mac, sizeof(mac), to);
	return str_of(to, 2 * SHA256_BYTES);
}

str download_url(struct call *c, str hex, str name)
{
	struct lambda_service *s =
		check_object(c->self, struct lambda_service, LAMBDA_SERVICE_MAGIC);
	struct arena *a = c->arena;
	str host = call_header_get(c, STR("Host"));
	str base = c->request && c->request->trust->tls ? STR("https://") : STR("http://");
	str path = ARENA_CONCAT(a, STR("/"), name, STR(".zip"));
	str expires =
		arena_printf(a, "%lld", (long long)((c->wall_ms + LAMBDA_DOWNLOAD_MS_MAX) / 1000));

	return ARENA_CONCAT(a, base, host.n ? host : STR("localhost:4566"),
		STR("/_aws/lambda-code/"), hex, path, STR("?expires="), expires, STR("&signature="),
		signature(s, a, hex, path, expires));
}

static void refuse(struct http_exchange *x, unsigned status, str text)
{
	const struct http_header type = {.name = STR("Content-Type"), .value = STR("text/plain")};

	(void)!http_respond(x, status, &type, 1, text);
}

static bool authentic(
	struct lambda_service *s, struct http_exchange *x, const struct host_match *match)
{
	str expires, given;
	uint64_t until;

	return match->id.n == CODE_HEX_BYTES &&
	       uri_query_find(&x->arena, x->query, STR("expires"), &expires) == 1 &&
	       uri_query_find(&x->arena, x->query, STR("signature"), &given) == 1 &&
	       str_to_u64(expires, INT64_MAX / 1000, &until) >= 0 &&
	       str_eq_secret(given, signature(s, &x->arena, match->id, match->path, expires)) &&
	       rt_wall() / RT_NS_S <= (int64_t)until;
}

static int send(struct lambda_service *s, struct http_exchange *x, str hex)
{
	static const struct http_header type = {
		.name = STR_INIT("Content-Type"), .value = STR_INIT("application/zip")};
	char *part = arena_bytes(&x->arena, PART_BYTES);
	uint64_t total, at = 0;
	int n = TRY(code_read(s->code, hex, 0, part, PART_BYTES, &total, rt_after_ms(30000)));

	TRY(http_respond_begin(x, 200, &type, 1, (int64_t)total));
	while (n > 0) {
		TRY(http_respond_write(x, str_of(part, (size_t)n)));
		at += (uint64_t)n;
		n = TRY(code_read(s->code, hex, at, part, PART_BYTES, &total, rt_after_ms(30000)));
	}
	return http_respond_end(x);
}

void download_serve(void *self, struct http_exchange *x, const struct host_match *match)
{
	struct lambda_service *s = check_object(self, struct lambda_service, LAMBDA_SERVICE_MAGIC);
	int rc;

	if (x->method != HTTP_METHOD_GET && x->method != HTTP_METHOD_HEAD) {
		refuse(x, 405, STR("Only GET.\n"));
		return;
	}
	if (!authentic(s, x, match)) {
		refuse(x, 403,
			STR("The link is not valid or has expired; GetFunction gives a new "
			    "one.\n"));
		return;
	}
	rc = send(s, x, match->id);
	if (rc < 0 && !http_responded(x))
		refuse(x, rc == ERR_NOT_FOUND ? 404 : 500,
			rc == ERR_NOT_FOUND ? STR("This code is not there any more.\n")
					    : STR("The code could not be read.\n"));
	else if (rc < 0)
		http_respond_abort(x);
}
