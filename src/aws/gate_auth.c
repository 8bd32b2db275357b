/*
 * Who is asking, and may they (DESIGN section 2): rules against foreign web pages, signatures,
 * accounts, principals, policies.
 */
#include "aws/gate_internal.h"
#include "aws/policy.h"
#include "aws/ports/identity.h"
#include "base/buf.h"
#include "base/check.h"
#include "base/time.h"

/* ---- loopback is not trust ---- */

static str without_port(str host)
{
	ptrdiff_t colon = str_find_last(host, ':');

	if (host.n && host.p[0] == '[') { /* [::1]:4566 */
		ptrdiff_t end = str_find(host, ']');

		return end > 0 ? str_sub(host, 1, (size_t)end - 1) : host;
	}
	return colon < 0 ? host : str_sub(host, 0, (size_t)colon);
}

/* The name itself, or anything below it. */
static bool is_below(str host, str name)
{
	if (str_eq_nocase(host, name))
		return true;
	return host.n > name.n + 1 && host.p[host.n - name.n - 1] == '.' &&
	       str_eq_nocase(str_from(host, host.n - name.n), name);
}

/* 127.0.0.0/8 in its plain form. */
static bool is_loopback_address(str host)
{
	str rest = host, part;
	unsigned parts = 0;
	uint64_t number;

	if (str_eq(host, STR("::1")))
		return true;
	while (str_split(&rest, '.', &part)) {
		if (str_to_u64(part, 255, &number) < 0 || part.n > 3 ||
			(parts++ == 0 && number != 127))
			return false;
	}
	return parts == 4;
}

static bool host_allowed(const struct gate *g, str host)
{
	host = without_port(host);
	if (is_loopback_address(host) || is_below(host, STR("localhost")) ||
		is_below(host, STR("localhost.localstack.cloud")))
		return true;
	for (size_t i = 0; i < g->options.host_suffix_count; i++)
		if (is_below(host, g->options.host_suffixes[i]))
			return true;
	return false;
}

static bool is_own_origin(str origin, str host)
{
	if (str_starts(origin, STR("http://")))
		return str_eq_nocase(str_from(origin, 7), host);
	return str_starts(origin, STR("https://")) && str_eq_nocase(str_from(origin, 8), host);
}

bool gate_origin_allowed(const struct gate *g, str origin, str host)
{
	if (host.n && is_own_origin(origin, host))
		return true;
	for (size_t i = 0; i < g->options.cors_origin_count; i++)
		if (str_eq_nocase(g->options.cors_origins[i], origin))
			return true;
	return false;
}

/* "http://a.example:80/path?x" -> "http://a.example:80" */
static str origin_of(str url)
{
	ptrdiff_t scheme = str_find_str(url, STR("://")), end;

	if (scheme < 0)
		return url;
	end = str_find(str_from(url, (size_t)scheme + 3), '/');
	return end < 0 ? url : str_sub(url, 0, (size_t)(scheme + 3 + end));
}

int gate_check_browser(struct gate_pass *p)
{
	const struct gate *g = p->gate;
	const struct gate_heads *h = &p->heads;
	bool foreign_fetch = h->fetch_site.p && !str_eq(h->fetch_site, STR("none")) &&
			     !str_eq(h->fetch_site, STR("same-origin"));

	p->cors = h->origin.p && gate_origin_allowed(g, h->origin, h->host);
	if (g->options.auth == GATE_STRICT || p->request->trust->function)
		return 0;
	if (!h->host.p || !host_allowed(g, h->host))
		return gate_refuse(p, GATE_BROWSER,
			"Refused by the host rule: in open mode the Host must be a loopback "
			"address, localhost or a --host-suffix, not '%.*s'.",
			(int)MIN(h->host.n, (size_t)256), h->host.p ? h->host.p : "");
	if (h->origin.p && !p->cors)
		return gate_refuse(p, GATE_BROWSER,
			"Refused by the origin rule: in open mode pages of '%.*s' may not call "
			"this server; --cors-origin allows them.",
			(int)MIN(h->origin.n, (size_t)256), h->origin.p);
	if (h->referer.p && !gate_origin_allowed(g, origin_of(h->referer), h->host))
		return gate_refuse(p, GATE_BROWSER,
			"Refused by the referer rule: in open mode pages of '%.*s' may not call "
			"this server; --cors-origin allows them.",
			(int)MIN(origin_of(h->referer).n, (size_t)256), h->referer.p);
	if (foreign_fetch && !p->cors)
		return gate_refuse(p, GATE_BROWSER,
			"Refused by the fetch rule: in open mode a browser's request of "
			"Sec-Fetch-Site '%.*s' is not answered; --cors-origin allows its page.",
			(int)MIN(h->fetch_site.n, (size_t)64), h->fetch_site.p);
	return 0;
}

/* ---- signatures ---- */

static int refuse_version_2(struct gate_pass *p)
{
	return gate_refuse(p, GATE_NO_HASH,
		"The authorization mechanism you have provided is not supported. Please use "
		"AWS4-HMAC-SHA256.");
}

/* Signature version 2 in a link: boto3 makes such ones unless it is told signature_version s3v4. */
static bool is_version_2(const struct gate_pass *p)
{
	return str_starts(p->request->query, STR("AWSAccessKeyId=")) ||
	       str_find_str(p->request->query, STR("&AWSAccessKeyId=")) >= 0;
}

/* S3 has names of its own for signatures that are too old and for those of links. */
static int refuse_signature_s3(struct gate_pass *p, const struct sigv4_error *e)
{
	bool malformed = e->problem == SIGV4_INCOMPLETE;
	bool link = p->auth.presigned || str_find_str(p->request->query, STR("X-Amz-")) >= 0;
	int rc;

	if (e->problem == SIGV4_UNSUPPORTED)
		return refuse_version_2(p);
	if (malformed && link)
		return gate_refuse(p, GATE_QUERY_SIGNATURE, "%.*s", STR_ARG(e->message));
	if (malformed)
		return gate_refuse(p, GATE_INCOMPLETE_SIGNATURE, "%.*s", STR_ARG(e->message));
	if (e->problem == SIGV4_EXPIRED && link)
		return gate_refuse(p, GATE_LINK_EXPIRED, "Request has expired");
	if (e->problem == SIGV4_EXPIRED)
		return gate_refuse(p, GATE_SKEWED,
			"The difference between the request time and the current time is too "
			"large.");
	if (!e->signature)
		return gate_refuse(p, GATE_INVALID_SIGNATURE, "%.*s", STR_ARG(e->message));
	rc = gate_refuse(p, GATE_INVALID_SIGNATURE,
		"The request signature we calculated does not match the signature you provided. "
		"Check your key and signing method.");
	fault_detail(&p->call->fault, STR("AWSAccessKeyId"), p->auth.access_key);
	fault_detail(&p->call->fault, STR("SignatureProvided"), p->auth.signature);
	return rc;
}

static int refuse_signature(struct gate_pass *p, const struct sigv4_error *e)
{
	if (gate_is_s3(p))
		return refuse_signature_s3(p, e);
	switch (e->problem) {
	case SIGV4_INCOMPLETE:
	case SIGV4_UNSUPPORTED:
		return gate_refuse(p, GATE_INCOMPLETE_SIGNATURE, "%.*s", STR_ARG(e->message));
	case SIGV4_MISMATCH:
	case SIGV4_EXPIRED:
		return gate_refuse(p, GATE_INVALID_SIGNATURE, "%.*s", STR_ARG(e->message));
	case SIGV4_OK: break;
	}
	check_unreachable();
}

static bool is_region(str s)
{
	if (s.n == 0 || s.n > 32)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!((s.p[i] >= 'a' && s.p[i] <= 'z') || (s.p[i] >= '0' && s.p[i] <= '9') ||
			    s.p[i] == '-'))
			return false;
	return true;
}

/* The derived key of a credential, from this loop's cache or made. */
static void signing_key(struct gate_pass *p, const struct identity *id, struct hmac_key *ret_key)
{
	const struct sigv4_auth *auth = &p->auth;
	const struct gate_options *o = &p->gate->options;
	struct gate_loop *loop = &p->gate->loops[o->loop_index ? o->loop_index() : 0];
	/* key/date/region/service stand side by side in the credential; a key holds no '/' here */
	str name = str_of(auth->access_key.p,
		(size_t)(auth->service.p + auth->service.n - auth->access_key.p));
	struct gate_key_slot *slot = &loop->slots[str_hash(name) % GATE_KEY_SLOTS];

	if (slot->name_bytes == name.n && slot->generation == id->generation &&
		memcmp(slot->name, name.p, name.n) == 0) {
		*ret_key = slot->key;
		return;
	}
	sigv4_derive_key(id->secret, auth->date, auth->region, auth->service, ret_key);
	if (name.n > sizeof(slot->name))
		return;
	memcpy(slot->name, name.p, name.n);
	slot->name_bytes = name.n;
	slot->generation = id->generation;
	slot->key = *ret_key;
}

static int unknown_key(struct gate_pass *p)
{
	int rc;

	if (!gate_is_s3(p))
		return gate_refuse(p, GATE_UNKNOWN_KEY,
			"The security token included in the request is invalid.");
	rc = gate_refuse(p, GATE_UNKNOWN_KEY,
		"The AWS Access Key Id you provided does not exist in our records.");
	fault_detail(&p->call->fault, STR("AWSAccessKeyId"), p->auth.access_key);
	return rc;
}

static int verify(struct gate_pass *p, const struct identity *id)
{
	struct sigv4_error error;
	struct hmac_key key;
	int64_t now = p->call->wall_ms;

	if (!id->active)
		return unknown_key(p);
	if (id->session_token.p
			? !p->auth.token.p || !str_eq_secret(id->session_token, p->auth.token)
			: p->auth.token.p != NULL)
		return unknown_key(p);
	if (now >= id->expires_ms)
		return gate_refuse(p, GATE_EXPIRED_TOKEN,
			"The security token included in the request is expired");
	if (sigv4_check_time(p->call->arena, &p->auth, now, &error) < 0)
		return refuse_signature(p, &error);
	signing_key(p, id, &key);
	if ((gate_is_s3(p) ? sigv4_verify_declared(
				     p->call->arena, &p->signed_, &p->auth, &key, &error)
			   : sigv4_verify(p->call->arena, &p->signed_, &p->auth, p->call->body,
				     &key, &error)) < 0)
		return refuse_signature(p, &error);
	p->key = key;
	p->key_known = true;
	return 0;
}

/* In open mode a key that nobody issued acts as the root of its account. */
static void root_of(struct gate_pass *p, str account)
{
	struct principal *who = &p->principal;

	*who = (struct principal){
		.kind = PRINCIPAL_ROOT,
		.account = account,
		.arn = ARENA_CONCAT(p->call->arena, STR("arn:aws:iam::"), account, STR(":root")),
		.user_id = account,
		.name = STR("root"),
		.access_key = p->auth.access_key,
		.unrestricted = true,
	};
}

int gate_check_signed(struct gate_pass *p)
{
	if (p->signature_error.problem != SIGV4_OK)
		return refuse_signature(p, &p->signature_error);
	if (!p->is_signed && gate_is_s3(p) && is_version_2(p))
		return refuse_version_2(p);
	if (!p->is_signed && !(p->call->row->flags & ROW_UNSIGNED))
		return gate_refuse(p, GATE_MISSING_TOKEN,
			gate_is_s3(p) ? "Access Denied" : "Missing Authentication Token");
	return 0;
}

static void become_anonymous(struct gate_pass *p)
{
	p->principal = (struct principal){
		.kind = PRINCIPAL_ANONYMOUS,
		.account = STR("000000000000"),
		.arn = STR("anonymous"),
		.unrestricted = true, /* the row says that no policy is asked */
	};
}

static int authenticate_signed(struct gate_pass *p)
{
	const struct port_identity *port = p->gate->ports->identity;
	const struct principal *function = p->request->trust->function;
	struct identity id = {.active = false};
	int known = 0;

	if (!is_region(p->auth.region))
		return gate_refuse(p, GATE_INVALID_SIGNATURE,
			"Credential should be scoped to a valid region, not '%.*s'.",
			(int)MIN(p->auth.region.n, (size_t)64), p->auth.region.p);
	if (port)
		known = TRY(
			port->by_access_key(port->self, p->call->arena, p->auth.access_key, &id));
	if (known) {
		TRY(verify(p, &id));
		p->principal = id.principal;
		p->principal.access_key = p->auth.access_key;
		return 0;
	}
	if (function) { /* a container's own endpoint: as its role, whatever the key */
		p->principal = *function;
		return 0;
	}
	if (p->gate->options.auth == GATE_STRICT)
		return unknown_key(p);
	if (gate_is_s3(p) && p->auth.presigned) { /* a link ends whoever has made it */
		struct sigv4_error error;

		if (sigv4_check_time(p->call->arena, &p->auth, p->call->wall_ms, &error) < 0)
			return refuse_signature(p, &error);
	}
	root_of(p, account_is_valid(p->auth.access_key) ? p->auth.access_key : STR("000000000000"));
	return 0;
}

int gate_authenticate(struct gate_pass *p)
{
	struct call *c = p->call;

	if (p->is_signed)
		TRY(authenticate_signed(p));
	else
		become_anonymous(p);
	c->principal = &p->principal;
	c->account = p->principal.account;
	c->region = p->is_signed ? p->auth.region : p->gate->options.region_default;
	return 0;
}

/* ---- policies ---- */

static str principal_type(const struct principal *who)
{
	switch (who->kind) {
	case PRINCIPAL_ROOT: return STR("Account");
	case PRINCIPAL_USER: return STR("User");
	case PRINCIPAL_SESSION: return STR("AssumedRole");
	case PRINCIPAL_SERVICE: return STR("Service");
	case PRINCIPAL_ANONYMOUS: break;
	}
	return STR("Anonymous");
}

/* The global condition keys that a request of ours has values for. */
static void add_global_keys(struct call *c, struct policy_context *context)
{
	const struct principal *who = c->principal;
	bool session = who->kind == PRINCIPAL_SESSION;
	struct buf now, epoch;

	buf_init(&now, c->arena, TIME_TEXT_MAX);
	time_put_iso(&now, c->wall_ms);
	buf_init(&epoch, c->arena, TIME_TEXT_MAX);
	time_put_epoch(&epoch, c->wall_ms / 1000 * 1000);
	policy_context_add(context, STR("aws:CurrentTime"), buf_str(&now));
	policy_context_add(context, STR("aws:EpochTime"), buf_str(&epoch));
	policy_context_add(context, STR("aws:PrincipalArn"), session ? who->role_arn : who->arn);
	policy_context_add(context, STR("aws:PrincipalAccount"), who->account);
	policy_context_add(context, STR("aws:PrincipalType"), principal_type(who));
	policy_context_add(context, STR("aws:userid"), who->user_id);
	if (who->kind == PRINCIPAL_USER)
		policy_context_add(context, STR("aws:username"), who->name);
	policy_context_add(context, STR("aws:RequestedRegion"), c->region);
	policy_context_add(context, STR("aws:ResourceAccount"), c->account);
	if (!c->request)
		return;
	policy_context_add(context, STR("aws:SecureTransport"),
		c->request->trust->tls ? STR("true") : STR("false"));
	policy_context_add(context, STR("aws:SourceIp"), c->request->peer);
	policy_context_add(context, STR("aws:UserAgent"), call_header_get(c, STR("user-agent")));
	policy_context_add(context, STR("aws:Referer"), call_header_get(c, STR("referer")));
}

/* Is it an ARN of the service in another account than the caller's? */
static bool is_foreign(const struct call *c, str arn)
{
	str parts[5], rest = arn;

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		if (!str_split(&rest, ':', &parts[i]))
			return false;
	return str_eq(parts[2], str_c(c->service->model->action_prefix)) &&
	       account_is_valid(parts[4]) && !str_eq(parts[4], c->principal->account);
}

/*
 * A resource of another account: its policy has to allow what the caller's own policies allow.
 * https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic-cross-account.html
 */
static struct policy_decision authorize_foreign(
	const struct policy_request *r, const struct policy *resource_policy)
{
	struct policy_decision d = {.allowed = true};
	const struct policy_statement *statement = NULL;
	enum policy_effect effect;

	if (!r->principal->unrestricted)
		d = policy_authorize(r, NULL);
	if (!d.allowed)
		return d;
	effect = resource_policy ? policy_evaluate(resource_policy, r, &statement) : POLICY_NONE;
	if (effect == POLICY_ALLOW)
		return d;
	return (struct policy_decision){.explicit_deny = effect == POLICY_DENY,
		.layer = POLICY_LAYER_RESOURCE,
		.statement = statement};
}

/* Does any policy that counts look at keys of the service? */
static bool uses_service_keys(const struct call *c, const struct policy *resource_policy)
{
	const struct principal *who = c->principal;
	str prefix = ARENA_CONCAT(c->arena, str_c(c->service->model->action_prefix), STR(":"));

	for (uint32_t i = 0; i < who->policy_count; i++)
		if (policy_uses_keys(who->policies[i], prefix))
			return true;
	for (uint32_t i = 0; i < who->session_policy_count; i++)
		if (policy_uses_keys(who->session_policies[i], prefix))
			return true;
	return policy_uses_keys(who->boundary, prefix) || policy_uses_keys(resource_policy, prefix);
}

/* The keys that the request has values for. */
static int make_context(struct call *c, str action, str arn, const struct policy *resource_policy,
	const struct policy_context **ret_context)
{
	struct policy_context *context = arena_new(c->arena, struct policy_context);

	context->arena = c->arena;
	add_global_keys(c, context);
	if (c->service->context && uses_service_keys(c, resource_policy))
		TRY(c->service->context(c, action, arn, context));
	*ret_context = context;
	return 0;
}

int call_policy_effect(struct call *c, const struct policy *policy, str action, str arn)
{
	struct policy_request r = {.action = action, .resource = arn, .principal = c->principal};

	TRY(make_context(c, action, arn, policy, &r.context));
	return (int)policy_evaluate(policy, &r, NULL);
}

int call_authorize(struct call *c, str action, str arn)
{
	struct policy_request r = {.action = action, .resource = arn, .principal = c->principal};
	const struct policy *resource_policy = NULL;
	struct policy_decision d;
	bool foreign;
	str text;

	check(c->magic == CALL_MAGIC && c->principal != NULL);
	foreign = c->service->foreign && is_foreign(c, arn);
	if (c->principal->unrestricted && !foreign)
		return 0;
	if (c->service->policy)
		TRY(c->service->policy(c, arn, &resource_policy));
	TRY(make_context(c, action, arn, resource_policy, &r.context));
	d = foreign ? authorize_foreign(&r, resource_policy)
		    : policy_authorize(&r, resource_policy);
	if (d.allowed)
		return 0;
	text = policy_refusal(c->arena, &r, d);
	return call_refuse(c, GATE_ACCESS_DENIED, "%.*s", STR_ARG(text));
}

int gate_authorize(struct gate_pass *p)
{
	struct call *c = p->call;
	const struct operation_row *row = c->row;
	str arn = STR("*"), action;

	if ((c->principal->unrestricted && !c->service->foreign) ||
		(row->flags & (ROW_ALWAYS_ALLOWED | ROW_AUTHORIZES)))
		return 0;
	if (row->resource)
		TRY(row->resource(c, &arn));
	action = row->action ? str_c(row->action)
			     : ARENA_CONCAT(c->arena, str_c(c->service->model->action_prefix),
				       STR(":"), model_str(c->service->model, c->operation->name));
	return call_authorize(c, action, arn);
}
