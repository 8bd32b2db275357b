/*
 * See wire.h.
 */
#include "test/services/iam/wire.h"

#include "aws/ports/identity.h"
#include "aws/sigv4.h"
#include "base/check.h"
#include "base/random.h"
#include "base/time.h"
#include "base/uri.h"
#include "base/xml.h"
#include "rt/rt.h"

#include <stdatomic.h>

static const struct {
	str name, text;
} documents[] = {
#define DOCUMENT(name_, text_)                   \
	{                                        \
		STR_INIT(name_), STR_INIT(text_) \
	}
	DOCUMENT("$TRUST_ROOT",
		"{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":{"
		"\"AWS\":\"arn:aws:iam::000000000000:root\"},\"Action\":\"sts:AssumeRole\"}]}"),
	DOCUMENT("$TRUST_ALICE",
		"{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":{"
		"\"AWS\":\"arn:aws:iam::000000000000:user/alice\"},\"Action\":\"sts:AssumeRole\"}]"
		"}"),
	DOCUMENT("$TRUST_LAMBDA",
		"{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":{"
		"\"Service\":\"lambda.amazonaws.com\"},\"Action\":\"sts:AssumeRole\"}]}"),
	DOCUMENT("$TRUST_EXTERNAL",
		"{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":{"
		"\"AWS\":\"*\"},\"Action\":\"sts:AssumeRole\",\"Condition\":{\"StringEquals\":{"
		"\"sts:ExternalId\":\"secret\"}}}]}"),
	DOCUMENT("$ALLOW_IAM",
		"{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":"
		"\"iam:*\",\"Resource\":\"*\"}]}"),
	DOCUMENT("$ALLOW_READ",
		"{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":"
		"[\"iam:Get*\",\"iam:List*\"],\"Resource\":\"*\"}]}"),
	DOCUMENT("$ALLOW_ASSUME",
		"{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":"
		"\"sts:AssumeRole\",\"Resource\":\"*\"}]}"),
	DOCUMENT("$DENY_GETROLE",
		"{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Deny\",\"Action\":"
		"\"iam:GetRole\",\"Resource\":\"*\"}]}"),
	DOCUMENT("$ALLOW_TEAM",
		"{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":"
		"\"iam:*\",\"Resource\":\"arn:aws:iam::000000000000:role/team/*\"}]}"),
	DOCUMENT("$ALLOW_ATTACH_READ",
		"{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":"
		"\"iam:AttachRolePolicy\",\"Resource\":\"*\",\"Condition\":{\"ArnEquals\":{"
		"\"iam:PolicyARN\":\"arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess\"}}}]}"),
#undef DOCUMENT
};

/* ---- its life ---- */

static _Atomic int64_t clock_added;

int64_t wire_clock_ms(void)
{
	return 1767323045000 + atomic_load(&clock_added);
}

void wire_clock_add(int64_t ms)
{
	atomic_fetch_add(&clock_added, ms);
}

static unsigned loop_index(void)
{
	return rt_self() ? rt_loop_index() : 0;
}

void wire_new(struct wire *w, struct rt *rt, enum gate_auth auth)
{
	struct iam_options iam_options = {.wall_ms = wire_clock_ms};
	struct gate_options options = {.auth = auth,
		.region_default = STR("us-east-1"),
		.loops = RT_LOOPS_MAX,
		.wall_ms = wire_clock_ms,
		.monotonic_ns = rt_now,
		.random = random_bytes,
		.loop_index = loop_index};

	*w = (struct wire){.kv = NULL};
	atomic_store(&clock_added, 0);
	arena_init(&w->arena, SIZE_MAX);
	w->iam = iam_service_new(rt, &iam_options, &w->ports);
	w->sts = sts_service_new(&w->ports);
	w->gate = gate_new(&options, &w->ports);
	gate_register(w->gate, iam_service(w->iam));
	gate_register(w->gate, sts_service(w->sts));
}

void wire_start(struct wire *w, struct kv *kv)
{
	w->kv = kv;
	EXPECT_INT(iam_service_start(w->iam, kv), 0);
}

void wire_init(struct wire *w, enum gate_auth auth)
{
	struct kv *kv;

	wire_new(w, NULL, auth);
	check(kv_open_memory(&(struct kv_memory_options){0}, &kv) == 0);
	wire_start(w, kv);
}

void wire_done(struct wire *w)
{
	gate_free(w->gate);
	sts_service_free(w->sts);
	iam_service_free(w->iam);
	kv_close(w->kv);
	arena_done(&w->arena);
}

struct kv *wire_slow_store(uint64_t seed)
{
	struct kv_fault_options faults = {.seed = seed,
		.delay_min_ns = 10000,
		.delay_max_ns = 300000,
		.conflict_per_mille = 300};
	struct kv *inner, *kv;

	check(kv_open_memory(&(struct kv_memory_options){.seed = seed}, &inner) == 0);
	check(kv_open_fault(inner, &faults, &kv) == 0);
	return kv;
}

/* ---- keys ---- */

const struct wire_key *wire_key(const struct wire *w, str name)
{
	for (size_t i = w->key_count; i-- > 0;)
		if (str_eq(w->keys[i].name, name))
			return &w->keys[i];
	return NULL;
}

void wire_key_add(struct wire *w, str name, str id, str secret, str token)
{
	struct arena *a = &w->arena;

	check(w->key_count < WIRE_KEYS_MAX);
	w->keys[w->key_count++] = (struct wire_key){
		arena_str(a, name), arena_str(a, id), arena_str(a, secret), arena_str(a, token)};
}

static str between(str text, str before, str behind)
{
	ptrdiff_t at = str_find_str(text, before), end;

	if (at < 0)
		return STR_NULL;
	text = str_from(text, (size_t)at + before.n);
	end = str_find_str(text, behind);
	return end < 0 ? STR_NULL : str_sub(text, 0, (size_t)end);
}

/* Whoever an answer gave a key is known by name from now on. */
static void capture(struct wire *w, str raw, str session)
{
	str id = between(raw, STR("<AccessKeyId>"), STR("</"));
	str secret = between(raw, STR("<SecretAccessKey>"), STR("</"));
	str token = between(raw, STR("<SessionToken>"), STR("</"));
	str user = between(raw, STR("<UserName>"), STR("</"));

	w->marker = arena_str(&w->arena, between(raw, STR("<Marker>"), STR("</")));
	if (!secret.p)
		return;
	if (token.p)
		user = session.p ? session : STR("token");
	wire_key_add(w, user.p ? user : STR("root"), id, secret, token);
}

/* ---- a request ---- */

/*
 * $LONG_TRUST, $LONG_POLICY: valid, and over every quota; $HALF_POLICY: more than half of what a
 * user may have inline; $SPACED_POLICY: long, but mostly white space.
 */
static bool put_long(struct buf *out, str name)
{
	bool trust = str_eq(name, STR("$LONG_TRUST")), spaced = str_eq(name, STR("$SPACED_POLICY"));
	unsigned actions = str_eq(name, STR("$HALF_POLICY")) ? 90 : spaced ? 10 : 700;
	struct arena a;
	struct buf text;

	if (!trust && !spaced && !str_eq(name, STR("$LONG_POLICY")) && actions != 90)
		return false;
	arena_init(&a, SIZE_MAX);
	buf_init(&text, &a, 64 * 1024);
	buf_put(&text, STR("{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\","));
	buf_put(&text, STR("\"Resource\":\"*\","));
	buf_put(&text, STR("\"Action\":[\"sts:AssumeRole\""));
	for (unsigned i = 0; i < actions; i++)
		buf_printf(&text, ",%*s\"iam:Get%04u\"", spaced ? 500 : 0, "", i);
	if (trust) { /* no other action may stand there */
		buf_reset(&text);
		buf_put(&text, STR("{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":"
				   "\"Allow\",\"Principal\":{\"AWS\":["));
		for (unsigned i = 0; i < 100; i++)
			buf_printf(&text, "%s\"arn:aws:iam::%012u:root\"", i ? "," : "", i);
		buf_put(&text, STR("]},\"Action\":[\"sts:AssumeRole\""));
	}
	buf_put(&text, STR("]}]}"));
	uri_put_encoded(out, buf_str(&text), URI_COMPONENT);
	arena_done(&a);
	return true;
}

static void put_value(const struct wire *w, struct buf *out, str value)
{
	if (put_long(out, value))
		return;
	if (str_eq(value, STR("$marker")))
		value = w->marker;
	for (size_t i = 0; i < ARRAY_SIZE(documents); i++)
		if (str_eq(documents[i].name, value))
			value = documents[i].text;
	if (str_starts(value, STR("$key("))) {
		const struct wire_key *k = wire_key(w, between(value, STR("("), STR(")")));

		value = k ? k->id : STR("AKIAUNKNOWNUNKNOWN22");
	}
	uri_put_encoded(out, value, URI_COMPONENT);
}

/* The form; *ret_session: RoleSessionName, if it has one. */
static str form_of(
	const struct wire *w, struct arena *a, str parameters, bool sts, str *ret_session)
{
	struct buf out;
	str part;

	*ret_session = STR_NULL;
	buf_init(&out, a, 4 * 1024 * 1024);
	buf_put(&out, sts ? STR("Version=2011-06-15") : STR("Version=2010-05-08"));
	while (str_split(&parameters, '&', &part)) {
		ptrdiff_t at = str_find(part, '=');
		str name = at < 0 ? part : str_sub(part, 0, (size_t)at);
		str value = at < 0 ? STR("") : str_from(part, (size_t)at + 1);

		if (str_eq(name, STR("RoleSessionName")))
			*ret_session = value;
		buf_put_char(&out, '&');
		buf_put(&out, name);
		buf_put_char(&out, '=');
		put_value(w, &out, value);
	}
	return buf_str(&out);
}

struct wire_request {
	struct http_header headers[8];
	unsigned count;
	str body;
};

static void header_add(struct wire_request *r, str name, str value)
{
	r->headers[r->count++] = (struct http_header){.name = name, .value = value};
}

/* As a client signs: https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html */
static void sign(struct arena *a, struct wire_request *r, const struct wire_key *k, bool sts)
{
	str service = sts ? STR("sts") : STR("iam"), day, canonical, to_sign, scope;
	struct sigv4_request signed_ = {.method = STR("POST"), .path = STR("/")};
	struct sigv4_auth auth = {0};
	struct sigv4_error error;
	struct hmac_key key;
	uint8_t mac[SHA256_BYTES];
	char hex[2 * SHA256_BYTES];
	struct buf stamp;

	buf_init(&stamp, a, TIME_TEXT_MAX);
	time_put_amz(&stamp, wire_clock_ms());
	day = str_sub(buf_str(&stamp), 0, 8);
	header_add(r, STR("x-amz-date"), buf_str(&stamp));
	if (k->token.p)
		header_add(r, STR("x-amz-security-token"), k->token);
	scope = ARENA_CONCAT(a, day, STR("/us-east-1/"), service, STR("/aws4_request"));
	auth = (struct sigv4_auth){.access_key = k->id,
		.date = day,
		.region = STR("us-east-1"),
		.service = service,
		.scope = scope,
		.signed_headers = k->token.p ? STR("content-type;host;x-amz-date;"
						   "x-amz-security-token")
					     : STR("content-type;host;x-amz-date"),
		.timestamp = buf_str(&stamp),
		.time_ms = wire_clock_ms(),
		.token = k->token};
	signed_.headers = r->headers;
	signed_.header_count = r->count;
	sha256_of(r->body, mac);
	hex_encode(mac, SHA256_BYTES, hex);
	check(sigv4_canonical_request(a, &signed_, &auth, arena_str(a, str_of(hex, sizeof(hex))),
		      &canonical, &error) == 0);
	to_sign = sigv4_string_to_sign(a, &auth, canonical);
	sigv4_derive_key(k->secret, day, auth.region, service, &key);
	hmac_sha256(&key, to_sign, mac);
	hex_encode(mac, SHA256_BYTES, hex);
	header_add(r, STR("authorization"),
		ARENA_CONCAT(a, STR("AWS4-HMAC-SHA256 Credential="), k->id, STR("/"), scope,
			STR(", SignedHeaders="), auth.signed_headers, STR(", Signature="),
			arena_str(a, str_of(hex, sizeof(hex)))));
}

static int body_of(void *arg, size_t max, str *ret_body)
{
	const struct wire_request *r = arg;

	if (r->body.n > max)
		return ERR_TOO_LARGE;
	*ret_body = r->body;
	return 0;
}

/* ---- the answer ---- */

/* "<RoleId>AROAABC...</RoleId>" -> "<RoleId>AROA*</RoleId>" and so on, everywhere; and encoded
 * documents by their names. */
static str replace_random(struct arena *a, str text)
{
	struct buf encoded[ARRAY_SIZE(documents)];

	static const struct {
		str open;
		size_t keep;
	} tags[] = {{STR_INIT("<RoleId>"), 4}, {STR_INIT("<UserId>"), 4},
		{STR_INIT("<PolicyId>"), 4}, {STR_INIT("<AccessKeyId>"), 4},
		{STR_INIT("<SecretAccessKey>"), 0}, {STR_INIT("<SessionToken>"), 0},
		{STR_INIT("<AssumedRoleId>"), 4}, {STR_INIT("<Marker>"), 0}};
	struct buf out;

	buf_init(&out, a, 4 * 1024 * 1024);
	for (size_t i = 0; i < ARRAY_SIZE(documents); i++) {
		buf_init(&encoded[i], a, 64 * 1024);
		uri_put_encoded(&encoded[i], documents[i].text, URI_COMPONENT);
	}
	while (text.n) {
		size_t hit = SIZE_MAX, document = SIZE_MAX;

		for (size_t i = 0; i < ARRAY_SIZE(documents); i++)
			if (str_starts(text, buf_str(&encoded[i])))
				document = i;
		if (document != SIZE_MAX) {
			buf_put(&out, documents[document].name);
			text = str_from(text, encoded[document].n);
			continue;
		}
		for (size_t i = 0; i < ARRAY_SIZE(tags); i++)
			if (str_starts(text, tags[i].open))
				hit = i;
		if (hit == SIZE_MAX || str_starts(str_from(text, tags[hit].open.n), STR("0000"))) {
			buf_put_char(&out, text.p[0]);
			text = str_from(text, 1);
			continue;
		}
		buf_put(&out, str_sub(text, 0, tags[hit].open.n + tags[hit].keep));
		buf_put_char(&out, '*');
		text = str_from(text, (size_t)str_find_str(text, STR("</")));
	}
	return buf_str(&out);
}

/* What must stand around every result: checked, and cut off. */
static str result_of(struct arena *a, str raw, str action, bool sts)
{
	str ns = sts ? STR("https://sts.amazonaws.com/doc/2011-06-15/")
		     : STR("https://iam.amazonaws.com/doc/2010-05-08/");
	str begin = ARENA_CONCAT(a, STR("<"), action, STR("Response xmlns=\""), ns, STR("\">"));
	str open = ARENA_CONCAT(a, STR("<"), action, STR("Result>"));
	str close = ARENA_CONCAT(a, STR("</"), action, STR("Result>"));
	str end = ARENA_CONCAT(
		a, STR("</RequestId></ResponseMetadata></"), action, STR("Response>\n"));
	str inside, meta = STR("<ResponseMetadata><RequestId>");
	ptrdiff_t at;

	if (!str_starts(raw, begin) || !str_ends(raw, end))
		return raw;
	inside = str_sub(raw, begin.n, raw.n - begin.n - end.n);
	at = str_find_str(inside, meta);
	if (at < 0 || inside.n - (size_t)at - meta.n != UUID_TEXT_BYTES)
		return raw;
	inside = str_sub(inside, 0, (size_t)at);
	if (str_starts(inside, open) && str_ends(inside, close))
		return str_sub(inside, open.n, inside.n - open.n - close.n);
	return inside.n ? raw : STR("");
}

/* Ids of keys that were given out, in a message. */
static str replace_keys(const struct wire *w, struct arena *a, str text)
{
	for (size_t i = 0; i < w->key_count; i++) {
		ptrdiff_t at = str_find_str(text, w->keys[i].id);

		if (at >= 0)
			text = ARENA_CONCAT(a, str_sub(text, 0, (size_t)at + 4), STR("*"),
				str_from(text, (size_t)at + w->keys[i].id.n));
	}
	return text;
}

static str error_of(const struct wire *w, struct arena *a, str raw)
{
	struct xml_node *root;
	const struct xml_node *error;

	if (xml_parse(a, raw, NULL, &root, NULL) < 0)
		return raw;
	error = xml_child(root, STR("Error"));
	if (!error || !str_eq(root->name, STR("ErrorResponse")) ||
		xml_child_text(root, STR("RequestId")).n != UUID_TEXT_BYTES)
		return raw;
	return ARENA_CONCAT(a, xml_child_text(error, STR("Code")), STR(": "),
		replace_keys(w, a, xml_child_text(error, STR("Message"))));
}

void wire_call(struct wire *w, struct arena *a, const char *as, const char *parameters,
	struct wire_answer *ret)
{
	static const struct gate_trust trust = {.loopback = true};
	static const struct wire_key nobody = {
		.name = STR_INIT("-"), .id = STR_INIT("test"), .secret = STR_INIT("test")};
	str text = str_c(parameters), session, who = str_c(as);
	bool sts = str_starts(text, STR("sts:"));
	const struct wire_key *k = str_eq(who, STR("-")) ? &nobody : wire_key(w, who);
	struct wire_request r = {.count = 0};
	struct gate_request request = {.method = STR("POST"),
		.path = STR("/"),
		.peer = STR("127.0.0.1"),
		.trust = &trust,
		.body = body_of,
		.body_arg = &r};
	struct gate_response response;

	text = str_from(text, sts ? 4 : 0);
	r.body = form_of(w, a, text, sts, &session);
	header_add(&r, STR("host"), STR("localhost:4566"));
	header_add(&r, STR("content-type"), STR("application/x-www-form-urlencoded"));
	if (!str_eq(who, STR("unsigned"))) {
		if (!k) {
			test_fail(__FILE__, __LINE__, "no key of %s", as);
			*ret = (struct wire_answer){.text = STR("")};
			return;
		}
		sign(a, &r, k, sts);
	}
	request.headers = r.headers;
	request.header_count = r.count;
	request.body_length = r.body.n;
	gate_handle(w->gate, a, &request, &response);
	*ret = (struct wire_answer){.status = response.status, .raw = response.body};
	if (response.status == 200) {
		capture(w, response.body, session);
		ret->text =
			replace_random(a, result_of(a, response.body,
						  between(text, STR("Action="), STR("&")).p
							  ? between(text, STR("Action="), STR("&"))
							  : str_from(text, 7),
						  sts));
	} else {
		ret->text = error_of(w, a, response.body);
	}
}

str wire_expect(struct wire *w, const char *as, const char *parameters, unsigned status)
{
	cleanup(arena_done_p) struct arena a;
	struct wire_answer answer;

	arena_init(&a, 8 * 1024 * 1024);
	wire_call(w, &a, as, parameters, &answer);
	if (answer.status != status)
		test_fail(__FILE__, __LINE__, "%s as %s: %u, not %u: %.*s", parameters, as,
			answer.status, status, STR_ARG(answer.text));
	return arena_str(&w->arena, answer.text);
}
