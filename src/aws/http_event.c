/* Events for functions, both payload formats: see event.h. */
#include "aws/http_event.h"

#include "base/hash.h"
#include "base/json.h"
#include "base/map.h"
#include "base/time.h"
#include "base/uri.h"

/* ---- headers ---- */

static const str hop_names[] = {
	STR_INIT("connection"),
	STR_INIT("keep-alive"),
	STR_INIT("proxy-authenticate"),
	STR_INIT("proxy-authorization"),
	STR_INIT("proxy-connection"),
	STR_INIT("te"),
	STR_INIT("trailer"),
	STR_INIT("transfer-encoding"),
	STR_INIT("upgrade"),
	STR_INIT("expect"),
};

bool event_header_is_hop(str name, str connection)
{
	str rest = connection, token;

	for (size_t i = 0; i < ARRAY_SIZE(hop_names); i++)
		if (str_eq_nocase(name, hop_names[i]))
			return true;
	while (str_split(&rest, ',', &token))
		if (str_eq_nocase(str_trim(token), name))
			return true;
	return false;
}

static str header_value(const struct http_header *headers, size_t n, str name)
{
	for (size_t i = 0; i < n; i++)
		if (str_eq_nocase(headers[i].name, name))
			return headers[i].value;
	return STR_NULL;
}

void event_headers(struct arena *arena, const struct http_header *headers, size_t n,
	const struct event_origin *origin, const struct http_header **ret_headers,
	size_t *ret_count)
{
	struct http_header *out = arena_new_array(arena, struct http_header, n + 5);
	str connection = header_value(headers, n, STR("connection"));
	str forwarded = STR_NULL, trace = STR_NULL;
	size_t count = 0;

	if (origin->body_bytes >= 0)
		out[count++] = (struct http_header){.name = STR("Content-Length"),
			.value = arena_printf(arena, "%lld", (long long)origin->body_bytes)};
	for (size_t i = 0; i < n; i++) {
		str name = headers[i].name;

		if (event_header_is_hop(name, connection) ||
			str_eq_nocase(name, STR("content-length")) ||
			str_eq_nocase(name, STR("x-forwarded-port")) ||
			str_eq_nocase(name, STR("x-forwarded-proto")))
			continue;
		if (str_eq_nocase(name, STR("x-forwarded-for"))) {
			forwarded = forwarded.p ? ARENA_CONCAT(arena, forwarded, STR(", "),
							  headers[i].value)
						: headers[i].value;
			continue;
		}
		if (str_eq_nocase(name, STR("x-amzn-trace-id"))) {
			trace = headers[i].value;
			continue;
		}
		out[count++] = headers[i];
	}
	out[count++] = (struct http_header){
		.name = STR("X-Amzn-Trace-Id"), .value = trace.n ? trace : origin->trace};
	out[count++] = (struct http_header){.name = STR("X-Forwarded-For"),
		.value = forwarded.n ? ARENA_CONCAT(arena, forwarded, STR(", "), origin->source_ip)
				     : origin->source_ip};
	out[count++] = (struct http_header){.name = STR("X-Forwarded-Port"), .value = origin->port};
	out[count++] =
		(struct http_header){.name = STR("X-Forwarded-Proto"), .value = origin->protocol};
	*ret_headers = out;
	*ret_count = count;
}

static str lower(struct arena *arena, str s)
{
	char *text = arena_bytes(arena, s.n);

	for (size_t i = 0; i < s.n; i++)
		text[i] = (char)(s.p[i] >= 'A' && s.p[i] <= 'Z' ? s.p[i] + 32 : s.p[i]);
	return str_of(text, s.n);
}

/* Names that format 1.0 gives in this form, all others in lower case. */
static const str capital_names[] = {
	STR_INIT("Content-Length"),
	STR_INIT("Host"),
	STR_INIT("User-Agent"),
	STR_INIT("X-Amzn-Trace-Id"),
	STR_INIT("X-Forwarded-For"),
	STR_INIT("X-Forwarded-Port"),
	STR_INIT("X-Forwarded-Proto"),
};

static str capital(struct arena *arena, str name)
{
	for (size_t i = 0; i < ARRAY_SIZE(capital_names); i++)
		if (str_eq_nocase(name, capital_names[i]))
			return capital_names[i];
	return lower(arena, name);
}

/* ---- names with values, in the order of their first appearance ---- */

struct pair {
	str name, value;
	uint32_t next_same; /* index + 1 of the next of this name, 0: none */
	uint32_t last_same; /* in the first of a name: index of its last */
	bool first;
};

struct pairs {
	struct pair *items;
	size_t count;
	struct map firsts; /* by name, once there are many: a request may bring thousands */
};

enum { PAIRS_PLAIN = 24 }; /* up to here names are compared one after another */

static struct pair *pairs_find(struct pairs *pairs, str name)
{
	if (pairs->count > PAIRS_PLAIN)
		return map_get(&pairs->firsts, name);
	for (size_t i = 0; i < pairs->count; i++)
		if (pairs->items[i].first && str_eq(pairs->items[i].name, name))
			return &pairs->items[i];
	return NULL;
}

static void pairs_add(struct pairs *pairs, str name, str value)
{
	struct pair *new = &pairs->items[pairs->count];
	struct pair *first = pairs_find(pairs, name);

	*new = (struct pair){.name = name, .value = value, .first = !first};
	if (first)
		pairs->items[first->last_same].next_same = (uint32_t)pairs->count + 1;
	else
		first = new;
	first->last_same = (uint32_t)pairs->count++;
	if (pairs->count < PAIRS_PLAIN || (pairs->count > PAIRS_PLAIN && !new->first))
		return;
	/* From here on by the map: all so far, then each. */
	for (size_t i = pairs->count == PAIRS_PLAIN ? 0 : pairs->count - 1; i < pairs->count; i++)
		if (pairs->items[i].first)
			map_put(&pairs->firsts, pairs->items[i].name, &pairs->items[i]);
}

static void pairs_done(struct pairs *pairs)
{
	map_done(&pairs->firsts);
}

enum pick { PICK_JOINED, PICK_FIRST, PICK_LAST };

static void put_key_lossy(struct json_writer *w, str key)
{
	json_put_comma_(w);
	json_put_quoted_lossy(w->out, key);
	buf_put_char(w->out, ':');
	w->comma = false;
}

static void put_text(struct json_writer *w, str text)
{
	json_put_comma_(w);
	json_put_quoted_lossy(w->out, text);
}

static str joined(struct arena *arena, const struct pairs *pairs, const struct pair *first)
{
	size_t n = 0, used = 0;

	if (!first->next_same)
		return first->value;
	for (const struct pair *p = first;; p = &pairs->items[p->next_same - 1]) {
		n += p->value.n + 1;
		if (!p->next_same)
			break;
	}
	char *text = arena_bytes(arena, n);
	for (const struct pair *p = first;; p = &pairs->items[p->next_same - 1]) {
		memcpy(text + used, p->value.p, p->value.n);
		used += p->value.n;
		if (!p->next_same)
			return str_of(text, used);
		text[used++] = ',';
	}
}

static void put_pairs(
	struct json_writer *w, struct arena *arena, const struct pairs *pairs, enum pick pick)
{
	json_put_object_begin(w);
	for (size_t i = 0; i < pairs->count; i++) {
		const struct pair *p = &pairs->items[i];

		if (!p->first)
			continue;
		put_key_lossy(w, p->name);
		put_text(w, pick == PICK_FIRST  ? p->value
			    : pick == PICK_LAST ? pairs->items[p->last_same].value
						: joined(arena, pairs, p));
	}
	json_put_object_end(w);
}

static void put_pairs_multi(struct json_writer *w, const struct pairs *pairs)
{
	json_put_object_begin(w);
	for (size_t i = 0; i < pairs->count; i++) {
		if (!pairs->items[i].first)
			continue;
		put_key_lossy(w, pairs->items[i].name);
		json_put_array_begin(w);
		for (const struct pair *p = &pairs->items[i];;
			p = &pairs->items[p->next_same - 1]) {
			put_text(w, p->value);
			if (!p->next_same)
				break;
		}
		json_put_array_end(w);
	}
	json_put_object_end(w);
}

/* What cannot be decoded stays as it came. */
static str decoded(struct arena *arena, str s)
{
	str out;

	return uri_decode(arena, s, URI_PLUS_IS_SPACE, &out) < 0 ? s : out;
}

static struct pairs query_pairs(struct arena *arena, str query)
{
	struct pairs pairs = {0};
	size_t max = 1;
	str name, value;

	for (size_t i = 0; i < query.n; i++)
		max += query.p[i] == '&';
	pairs.items = arena_new_array(arena, struct pair, max);
	for (struct uri_query q = uri_query_of(query); uri_query_next(&q, &name, &value);)
		pairs_add(&pairs, decoded(arena, name), value.p ? decoded(arena, value) : STR(""));
	return pairs;
}

static struct pairs header_pairs(struct arena *arena, const struct event_request *request,
	bool keep_cookies, str (*form)(struct arena *arena, str name))
{
	struct pairs pairs = {
		.items = arena_new_array(arena, struct pair, request->header_count + 1)};

	for (size_t i = 0; i < request->header_count; i++)
		if (keep_cookies || !str_eq_nocase(request->headers[i].name, STR("cookie")))
			pairs_add(&pairs, form(arena, request->headers[i].name),
				request->headers[i].value);
	return pairs;
}

/* ---- body ---- */

static bool type_is_text(str type)
{
	ptrdiff_t semicolon = str_find(type, ';');

	type = str_trim(semicolon < 0 ? type : str_sub(type, 0, (size_t)semicolon));
	return str_eq_nocase(str_sub(type, 0, 5), STR("text/")) ||
	       str_eq_nocase(type, STR("application/json")) ||
	       str_eq_nocase(type, STR("application/xml")) ||
	       str_eq_nocase(type, STR("application/javascript"));
}

static bool body_is_text(const struct event_request *request)
{
	if (header_value(request->headers, request->header_count, STR("content-encoding")).n)
		return false;
	return type_is_text(header_value(
		       request->headers, request->header_count, STR("content-type"))) &&
	       str_is_utf8(request->body);
}

/* The text or base64 of the body as a JSON string; true when it was base64. */
static bool put_body(struct json_writer *w, const struct event_request *request)
{
	if (body_is_text(request)) {
		json_put_string(w, request->body);
		return false;
	}
	json_put_comma_(w);
	buf_put_char(w->out, '"');
	base64_put(w->out, request->body);
	buf_put_char(w->out, '"');
	return true;
}

/* ---- shared parts ---- */

static void put_text_member(struct json_writer *w, const char *key, str value)
{
	json_put_key(w, str_c(key));
	put_text(w, value);
}

static void put_null_member(struct json_writer *w, const char *key)
{
	json_put_key(w, str_c(key));
	json_put_null(w);
}

static void put_time(struct json_writer *w, const char *key, int64_t ms)
{
	char text[TIME_TEXT_MAX];
	struct buf clf = {.p = text, .capacity = sizeof(text), .max = sizeof(text)};

	time_put_clf(&clf, ms);
	json_put_key(w, str_c(key));
	json_put_string(w, buf_str(&clf));
}

static void put_parameters(struct json_writer *w, const struct event_request *request)
{
	json_put_key(w, STR("pathParameters"));
	json_put_object_begin(w);
	for (size_t i = 0; i < request->parameter_count; i++) {
		put_key_lossy(w, request->parameters[i].name);
		put_text(w, request->parameters[i].value);
	}
	json_put_object_end(w);
}

static void put_variables(struct json_writer *w, const struct event_request *request)
{
	json_put_key(w, STR("stageVariables"));
	json_put_object_begin(w);
	for (size_t i = 0; i < request->variable_count; i++) {
		put_key_lossy(w, request->variables[i].name);
		put_text(w, request->variables[i].value);
	}
	json_put_object_end(w);
}

/* ---- format 2.0 ---- */

static void put_cookies(struct json_writer *w, const struct event_request *request)
{
	bool any = false;

	for (size_t i = 0; i < request->header_count; i++) {
		str rest = request->headers[i].value, cookie;

		if (!str_eq_nocase(request->headers[i].name, STR("cookie")))
			continue;
		while (str_split(&rest, ';', &cookie)) {
			cookie = str_trim(cookie);
			if (!cookie.n)
				continue;
			if (!any) {
				json_put_key(w, STR("cookies"));
				json_put_array_begin(w);
				any = true;
			}
			put_text(w, cookie);
		}
	}
	if (any)
		json_put_array_end(w);
}

static void put_context_2(struct json_writer *w, const struct event_request *request)
{
	json_put_key(w, STR("requestContext"));
	json_put_object_begin(w);
	put_text_member(w, "accountId", request->account);
	put_text_member(w, "apiId", request->api_id);
	if (request->authorizer.p) {
		json_put_key(w, STR("authorizer"));
		json_put_raw(w, request->authorizer);
	}
	put_text_member(w, "domainName", request->domain_name);
	put_text_member(w, "domainPrefix", request->domain_prefix);
	json_put_key(w, STR("http"));
	json_put_object_begin(w);
	put_text_member(w, "method", request->method);
	put_text_member(w, "path", request->path);
	put_text_member(w, "protocol", request->protocol);
	put_text_member(w, "sourceIp", request->source_ip);
	put_text_member(w, "userAgent", request->user_agent);
	json_put_object_end(w);
	put_text_member(w, "requestId", request->request_id);
	put_text_member(w, "routeKey", request->route_key);
	put_text_member(w, "stage", request->stage);
	put_time(w, "time", request->time_ms);
	json_put_key(w, STR("timeEpoch"));
	json_put_i64(w, request->time_ms);
	json_put_object_end(w);
}

void event_render_2(struct buf *out, struct arena *arena, const struct event_request *request)
{
	struct pairs query cleanup(pairs_done) = query_pairs(arena, request->query);
	struct pairs headers cleanup(pairs_done) = header_pairs(arena, request, false, lower);
	struct json_writer w;
	bool encoded = false;

	json_writer_init(&w, out);
	json_put_object_begin(&w);
	put_text_member(&w, "version", STR("2.0"));
	put_text_member(&w, "routeKey", request->route_key);
	put_text_member(&w, "rawPath", request->path);
	put_text_member(&w, "rawQueryString", request->query);
	put_cookies(&w, request);
	json_put_key(&w, STR("headers"));
	put_pairs(&w, arena, &headers, PICK_JOINED);
	if (query.count) {
		json_put_key(&w, STR("queryStringParameters"));
		put_pairs(&w, arena, &query, PICK_JOINED);
	}
	put_context_2(&w, request);
	if (request->parameter_count)
		put_parameters(&w, request);
	if (request->body.n) {
		json_put_key(&w, STR("body"));
		encoded = put_body(&w, request);
	}
	json_put_key(&w, STR("isBase64Encoded"));
	json_put_bool(&w, encoded);
	if (request->variable_count)
		put_variables(&w, request);
	json_put_object_end(&w);
}

/* ---- format 1.0 ---- */

static void put_identity_1(struct json_writer *w, const struct event_request *request)
{
	json_put_key(w, STR("identity"));
	json_put_object_begin(w);
	put_null_member(w, "accessKey");
	put_null_member(w, "accountId");
	put_null_member(w, "caller");
	put_null_member(w, "cognitoAmr");
	put_null_member(w, "cognitoAuthenticationProvider");
	put_null_member(w, "cognitoAuthenticationType");
	put_null_member(w, "cognitoIdentityId");
	put_null_member(w, "cognitoIdentityPoolId");
	put_null_member(w, "principalOrgId");
	put_text_member(w, "sourceIp", request->source_ip);
	put_null_member(w, "user");
	put_text_member(w, "userAgent", request->user_agent);
	put_null_member(w, "userArn");
	json_put_object_end(w);
}

static void put_context_1(struct json_writer *w, const struct event_request *request)
{
	json_put_key(w, STR("requestContext"));
	json_put_object_begin(w);
	put_text_member(w, "accountId", request->account);
	put_text_member(w, "apiId", request->api_id);
	put_text_member(w, "domainName", request->domain_name);
	put_text_member(w, "domainPrefix", request->domain_prefix);
	put_text_member(w, "extendedRequestId", request->request_id);
	put_text_member(w, "httpMethod", request->method);
	put_identity_1(w, request);
	put_text_member(w, "path", request->path);
	put_text_member(w, "protocol", request->protocol);
	put_text_member(w, "requestId", request->request_id);
	put_time(w, "requestTime", request->time_ms);
	json_put_key(w, STR("requestTimeEpoch"));
	json_put_i64(w, request->time_ms);
	put_text_member(w, "resourceId", request->route_key);
	put_text_member(w, "resourcePath",
		request->route_path.n ? request->route_path : request->route_key);
	put_text_member(w, "stage", request->stage);
	json_put_object_end(w);
}

void event_render_1(struct buf *out, struct arena *arena, const struct event_request *request)
{
	struct pairs query cleanup(pairs_done) = query_pairs(arena, request->query);
	struct pairs headers cleanup(pairs_done) = header_pairs(arena, request, true, capital);
	struct json_writer w;
	bool encoded = false;

	json_writer_init(&w, out);
	json_put_object_begin(&w);
	put_text_member(&w, "version", STR("1.0"));
	put_text_member(
		&w, "resource", request->route_path.n ? request->route_path : request->route_key);
	put_text_member(&w, "path", request->path);
	put_text_member(&w, "httpMethod", request->method);
	json_put_key(&w, STR("headers"));
	put_pairs(&w, arena, &headers, PICK_LAST);
	json_put_key(&w, STR("multiValueHeaders"));
	put_pairs_multi(&w, &headers);
	if (query.count) {
		json_put_key(&w, STR("queryStringParameters"));
		put_pairs(&w, arena, &query, PICK_FIRST);
		json_put_key(&w, STR("multiValueQueryStringParameters"));
		put_pairs_multi(&w, &query);
	} else {
		put_null_member(&w, "queryStringParameters");
		put_null_member(&w, "multiValueQueryStringParameters");
	}
	put_context_1(&w, request);
	if (request->parameter_count)
		put_parameters(&w, request);
	else
		put_null_member(&w, "pathParameters");
	if (request->variable_count)
		put_variables(&w, request);
	else
		put_null_member(&w, "stageVariables");
	if (request->body.n) {
		json_put_key(&w, STR("body"));
		encoded = put_body(&w, request);
	} else {
		put_null_member(&w, "body");
	}
	json_put_key(&w, STR("isBase64Encoded"));
	json_put_bool(&w, encoded);
	json_put_object_end(&w);
}
