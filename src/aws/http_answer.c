/*
 * What a function answered to an HTTP API, read into a response: see event.h.
 *
 * Header names and values come from the function: what HTTP cannot carry makes the whole answer
 * malformed, so nothing can be smuggled into the response. Headers that belong to the connection
 * or that the server writes itself are left out.
 */
#include "aws/http_event.h"
#include "base/hash.h"
#include "base/json.h"

enum { ANSWER_HEADERS_MAX = 256, ANSWER_DEPTH_MAX = JSON_DEPTH_MAX };

struct headers {
	struct http_header *items;
	size_t count;
	bool has_type;
};

static bool is_token(str s)
{
	static const char extra[] = "!#$%&'*+-.^_`|~";

	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			    (c && memchr(extra, c, sizeof(extra) - 1))))
			return false;
	}
	return s.n > 0;
}

static bool is_value(str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (((unsigned char)s.p[i] < ' ' && s.p[i] != '\t') || s.p[i] == 0x7f)
			return false;
	return true;
}

/* Header values may be strings, numbers and booleans. */
static int scalar_text(const struct json_value *v, str *ret_text)
{
	switch (v->kind) {
	case JSON_STRING:
	case JSON_NUMBER: *ret_text = v->text; return 0;
	case JSON_BOOL: *ret_text = v->boolean ? STR("true") : STR("false"); return 0;
	default: return ERR_INVALID;
	}
}

static str lower(struct arena *arena, str s)
{
	char *text = arena_bytes(arena, s.n);

	for (size_t i = 0; i < s.n; i++)
		text[i] = (char)(s.p[i] >= 'A' && s.p[i] <= 'Z' ? s.p[i] + 32 : s.p[i]);
	return str_of(text, s.n);
}

static int add_header(struct arena *arena, struct headers *headers, str name, str value)
{
	if (!is_token(name) || !is_value(value))
		return ERR_INVALID;
	if (event_header_is_hop(name, STR_NULL) || str_eq_nocase(name, STR("content-length")) ||
		str_eq_nocase(name, STR("date")))
		return 0;
	if (headers->count == ANSWER_HEADERS_MAX)
		return ERR_INVALID;
	if (!headers->items)
		headers->items = arena_new_array(arena, struct http_header, ANSWER_HEADERS_MAX + 1);
	headers->has_type |= str_eq_nocase(name, STR("content-type"));
	headers->items[headers->count++] =
		(struct http_header){.name = lower(arena, name), .value = str_trim(value)};
	return 0;
}

static bool names_member(const struct json_value *object, str name)
{
	for (uint32_t i = 0; object && i < object->count; i++)
		if (str_eq_nocase(object->members[i].key, name))
			return true;
	return false;
}

static int absent_or(const struct json_value *v, enum json_kind kind)
{
	return !v || v->kind == JSON_NULL || v->kind == kind ? 0 : ERR_INVALID;
}

static bool is_present(const struct json_value *v)
{
	return v && v->kind != JSON_NULL;
}

static int add_headers(struct arena *arena, struct headers *headers, const struct json_value *root,
	unsigned format)
{
	const struct json_value *single = json_get(root, STR("headers"));
	const struct json_value *multi =
		format == 1 ? json_get(root, STR("multiValueHeaders")) : NULL;
	const struct json_value *cookies = format == 2 ? json_get(root, STR("cookies")) : NULL;
	str value;

	TRY(absent_or(single, JSON_OBJECT));
	TRY(absent_or(multi, JSON_OBJECT));
	TRY(absent_or(cookies, JSON_ARRAY));
	multi = is_present(multi) ? multi : NULL;
	for (uint32_t i = 0; is_present(single) && i < single->count; i++) {
		const struct json_member *m = &single->members[i];

		/* A name in both: its multiple values stand. */
		if (names_member(multi, m->key) || m->value.kind == JSON_NULL)
			continue;
		TRY(scalar_text(&m->value, &value));
		TRY(add_header(arena, headers, m->key, value));
	}
	for (uint32_t i = 0; multi && i < multi->count; i++) {
		const struct json_member *m = &multi->members[i];

		if (m->value.kind != JSON_ARRAY)
			return ERR_INVALID;
		for (uint32_t j = 0; j < m->value.count; j++) {
			TRY(scalar_text(&m->value.items[j], &value));
			TRY(add_header(arena, headers, m->key, value));
		}
	}
	for (uint32_t i = 0; is_present(cookies) && i < cookies->count; i++) {
		if (cookies->items[i].kind != JSON_STRING)
			return ERR_INVALID;
		TRY(add_header(arena, headers, STR("set-cookie"), cookies->items[i].text));
	}
	return 0;
}

static int answer_body(struct arena *arena, const struct json_value *root, str *ret_body)
{
	const struct json_value *body = json_get(root, STR("body"));
	const struct json_value *encoded = json_get(root, STR("isBase64Encoded"));

	TRY(absent_or(body, JSON_STRING));
	TRY(absent_or(encoded, JSON_BOOL));
	*ret_body = is_present(body) ? body->text : STR("");
	if (!is_present(encoded) || !encoded->boolean)
		return 0;
	size_t n;
	uint8_t *bytes = arena_alloc(arena, base64_bytes_max(ret_body->n));
	if (base64_decode(*ret_body, bytes, &n) < 0)
		return ERR_INVALID;
	*ret_body = str_of(bytes, n);
	return 0;
}

static int answer_status(const struct json_value *v, unsigned *ret_status)
{
	uint64_t status;

	if (v->kind != JSON_NUMBER && v->kind != JSON_STRING)
		return ERR_INVALID;
	if (str_to_u64(v->text, 599, &status) < 0 || status < 200)
		return ERR_INVALID;
	*ret_status = (unsigned)status;
	return 0;
}

int event_answer_parse(
	struct arena *arena, str payload, unsigned format, struct event_answer *ret_answer)
{
	struct headers headers = {NULL, 0, false};
	struct event_answer answer = {.status = 200};
	struct json_value *root;

	if (json_parse(arena, payload, ANSWER_DEPTH_MAX, &root, NULL) < 0)
		return ERR_INVALID;
	const struct json_value *status =
		root->kind == JSON_OBJECT ? json_get(root, STR("statusCode")) : NULL;
	if (!is_present(status)) {
		if (format == 1)
			return ERR_INVALID;
		/* A string is the body itself, anything else its JSON. */
		answer.body = root->kind == JSON_STRING ? root->text : str_trim(payload);
		TRY(add_header(arena, &headers, STR("content-type"), STR("application/json")));
	} else {
		TRY(answer_status(status, &answer.status));
		TRY(add_headers(arena, &headers, root, format));
		TRY(answer_body(arena, root, &answer.body));
		answer.type_assumed = !headers.has_type && answer.body.n;
		if (answer.type_assumed)
			TRY(add_header(arena, &headers, STR("content-type"),
				STR("text/plain;charset=UTF-8")));
	}
	answer.headers = headers.items;
	answer.header_count = headers.count;
	*ret_answer = answer;
	return 0;
}
