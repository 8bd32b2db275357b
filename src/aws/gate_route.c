/*
 * Which service and which operation a request is for (DESIGN section 1): by the service named in
 * the credential scope, by X-Amz-Target, by the host, by the path, in that order. What is found
 * first limits what the later ones may say; contradictions are refused with what was looked at.
 */
#include "aws/gate_internal.h"
#include "base/check.h"
#include "base/uri.h"

static const struct model *model_of(const struct gate_service *s)
{
	return s->service->model;
}

/* The part of X-Amz-Target before the last dot names the service and version. */
static bool target_fits(const struct model *m, str target)
{
	ptrdiff_t dot = str_find_last(target, '.');

	return m->target_prefix && dot >= 0 &&
	       str_eq(str_sub(target, 0, (size_t)dot), str_c(m->target_prefix));
}

/* "lambda.us-east-1.localhost", "iam.localhost": the first label names the service. */
static bool host_fits(const struct model *m, str host)
{
	ptrdiff_t dot = str_find(host, '.');

	return dot > 0 && str_eq_nocase(str_sub(host, 0, (size_t)dot), str_c(m->signing_name));
}

static bool is_s3(const struct model *m)
{
	return m->protocol == PROTOCOL_REST_XML;
}

/* ---- buckets in hosts ---- */

/* What stands before ".suffix"; STR_NULL: it is not below it. */
static str before_suffix(str host, str suffix)
{
	if (host.n > suffix.n + 1 && host.p[host.n - suffix.n - 1] == '.' &&
		str_eq_nocase(str_from(host, host.n - suffix.n), suffix))
		return str_sub(host, 0, host.n - suffix.n - 1);
	return STR_NULL;
}

/* "photos.s3" or "photos.s3.eu-west-1" */
static str bucket_of(str rest)
{
	for (unsigned i = 0; i < 2; i++) {
		ptrdiff_t dot = str_find_last(rest, '.');

		if (dot <= 0)
			return STR_NULL;
		if (str_eq_nocase(str_from(rest, (size_t)dot + 1), STR("s3")))
			return str_sub(rest, 0, (size_t)dot);
		rest = str_sub(rest, 0, (size_t)dot);
	}
	return STR_NULL;
}

str gate_bucket_of_host(str host, const str *suffixes, size_t suffix_count)
{
	static const str builtin[] = {
		STR_INIT("localhost"), STR_INIT("localhost.localstack.cloud")};
	str found = STR_NULL, rest;

	host = http_host_without_port(host);
	for (size_t i = 0; i < ARRAY_SIZE(builtin) + suffix_count && !found.p; i++) {
		rest = before_suffix(host,
			i < ARRAY_SIZE(builtin) ? builtin[i] : suffixes[i - ARRAY_SIZE(builtin)]);
		if (rest.p)
			found = bucket_of(rest);
	}
	return found;
}

/* The path as if the bucket stood in it; "/bucket/" alone is the bucket. */
static void set_path(struct gate_pass *p)
{
	const struct gate_options *o = &p->gate->options;
	str bucket = gate_bucket_of_host(p->heads.host, o->host_suffixes, o->host_suffix_count);
	str path = p->request->path;
	ptrdiff_t slash;

	if (bucket.p)
		path = ARENA_CONCAT(p->call->arena, STR("/"), bucket, path);
	slash = path.n > 1 ? str_find(str_from(path, 1), '/') : -1;
	if (slash >= 0 && (size_t)slash + 2 == path.n)
		path.n--;
	p->path = path;
}

/* Does the request have a parameter of that name and, unless that is STR_NULL, value? */
static bool has_parameter(str query, str name, str value)
{
	struct uri_query q = uri_query_of(query);
	str its_name, its_value;

	while (uri_query_next(&q, &its_name, &its_value))
		if (uri_is(its_name, name) &&
			(!value.p || (its_value.p && uri_is(its_value, value))))
			return true;
	return false;
}

/* Do the parameters of the template ("?uploads", "?list-type=2") stand in the request? */
static bool query_fits(str template_, str query)
{
	ptrdiff_t mark = str_find(template_, '?');
	struct uri_query wanted;
	str name, value;

	if (mark < 0)
		return true;
	wanted = uri_query_of(str_from(template_, (size_t)mark + 1));
	while (uri_query_next(&wanted, &name, &value))
		if (!has_parameter(query, name, value))
			return false;
	return true;
}

/* Literal characters of a template: the more, the more special. */
static unsigned literals(str template_)
{
	unsigned n = 0;
	bool label = false;

	for (size_t i = 0; i < template_.n; i++) {
		if (template_.p[i] == '{')
			label = true;
		n += !label;
		if (template_.p[i] == '}')
			label = false;
	}
	return n;
}

bool gate_header_sent(struct gate_pass *p, str name)
{
	uint32_t count;
	const struct http_header *headers = gate_headers(p, &count);

	for (uint32_t i = 0; i < count; i++)
		if (str_eq_nocase(headers[i].name, name))
			return true;
	return false;
}

enum { HEADER_WEIGHT = 1000 }; /* of a header that an operation is known by */

/* The operation of a REST service for method and path, -1: none. */
static int match_path(const struct model *m, struct gate_pass *p, struct rest_labels *ret_labels)
{
	const struct gate_request *r = p->request;
	struct rest_labels labels;
	int best = -1;
	unsigned most = 0, weight;

	for (int i = 0; i < m->operation_count; i++) {
		const struct model_operation *o = &m->operations[i];
		str template_ = model_str(m, o->uri), header = model_str(m, o->header);

		if (!str_eq(model_str(m, o->method), r->method) ||
			!(is_s3(m) ? rest_match_exact(template_, p->path, &labels)
				   : rest_match(template_, r->path, &labels)) ||
			!query_fits(template_, r->query) ||
			(header.n && !gate_header_sent(p, header)))
			continue;
		weight = literals(template_) + (header.n ? HEADER_WEIGHT : 0);
		if (best < 0 || weight > most) {
			best = i;
			most = weight;
			*ret_labels = labels;
		}
	}
	return best;
}

/* S3's templates take any path: it is asked last (gate_find_service()). */
static bool path_fits(const struct model *m, struct gate_pass *p)
{
	struct rest_labels labels;

	return model_is_rest(m) && !is_s3(m) && match_path(m, p, &labels) >= 0;
}

/* ---- sub-resources of S3 ---- */

/* Does the template name the parameter, which stands as in the request? */
static bool template_names(str template_, str name)
{
	ptrdiff_t mark = str_find(template_, '?');
	struct uri_query q =
		uri_query_of(mark < 0 ? STR("") : str_from(template_, (size_t)mark + 1));
	str its_name, value;

	while (uri_query_next(&q, &its_name, &value))
		if (uri_is(name, its_name))
			return true;
	return false;
}

static bool is_query_member(const struct model *m, const struct model_operation *o, str name)
{
	const struct model_shape *s = &m->shapes[o->input];

	for (unsigned i = 0; o->input && i < s->count; i++) {
		const struct model_member *member = &m->members[s->first + i];

		if (member->location == LOCATION_QUERY && uri_is(name, model_str(m, member->wire)))
			return true;
	}
	return false;
}

/*
 * A parameter that names a sub-resource ("?acl") never falls through to the operation on the
 * object or bucket itself: STR_NULL, or the parameter that the operation found does not know.
 */
static str foreign_sub_resource(const struct model *m, int operation, str query)
{
	const struct model_operation *o = &m->operations[operation];
	struct uri_query q = uri_query_of(query);
	str name, value;

	while (uri_query_next(&q, &name, &value)) {
		if (template_names(model_str(m, o->uri), name) || is_query_member(m, o, name))
			continue;
		for (int i = 0; i < m->operation_count; i++)
			if (template_names(model_str(m, m->operations[i].uri), name))
				return name;
	}
	return STR_NULL;
}

static int not_found(struct gate_pass *p, const char *why)
{
	const struct gate_request *r = p->request;

	return gate_refuse(p, GATE_AMBIGUOUS,
		"%s. Looked at: credential scope %s%.*s%s, X-Amz-Target %.*s, Host %.*s, %.*s %.*s",
		why, p->is_signed ? "'" : "(none)", STR_ARG(p->auth.service),
		p->is_signed ? "'" : "",
		STR_ARG(p->heads.target.p ? p->heads.target : STR("(none)")),
		STR_ARG(p->heads.host.p ? p->heads.host : STR("(none)")), STR_ARG(r->method),
		(int)MIN(r->path.n, (size_t)256), r->path.p);
}

/* Keeps those of the candidates that fit; true when any did (else none is dropped). */
static bool narrow(const struct gate_service **found, size_t *count, struct gate_pass *p,
	bool (*fits)(const struct gate_service *s, struct gate_pass *p))
{
	size_t kept = 0;

	for (size_t i = 0; i < *count; i++)
		if (fits(found[i], p))
			found[kept++] = found[i];
	if (kept == 0)
		return false;
	*count = kept;
	return true;
}

static bool by_scope(const struct gate_service *s, struct gate_pass *p)
{
	return str_eq(str_c(model_of(s)->signing_name), p->auth.service);
}

static bool by_target(const struct gate_service *s, struct gate_pass *p)
{
	return target_fits(model_of(s), p->heads.target);
}

static bool by_host(const struct gate_service *s, struct gate_pass *p)
{
	return host_fits(model_of(s), p->heads.host);
}

static bool by_path(const struct gate_service *s, struct gate_pass *p)
{
	return path_fits(model_of(s), p);
}

/* What is not signed and for nobody else: S3, by a bucket's host or as its path. */
static bool by_bucket(const struct gate_service *s, struct gate_pass *p)
{
	return is_s3(model_of(s)) && p->path.n > 1;
}

static bool by_bucket_host(const struct gate_service *s, struct gate_pass *p)
{
	return is_s3(model_of(s)) && p->path.p != p->request->path.p;
}

/* A form with the service's version, or with an action that only it has. */
static bool by_form(const struct gate_service *s, struct gate_pass *p)
{
	const struct model *m = model_of(s);
	str version = p->form ? form_get(p->form, STR("Version")) : STR_NULL;
	str action = p->form ? form_get(p->form, STR("Action")) : STR_NULL;

	return m->protocol == PROTOCOL_QUERY && action.p &&
	       (!version.p || str_eq(version, str_c(m->api_version))) &&
	       model_operation(m, action) >= 0;
}

static bool is_form(const struct gate_pass *p)
{
	return str_starts(p->heads.content_type, STR("application/x-www-form-urlencoded"));
}

/* Parses query string and form body of a request that may be one of the query protocol. */
static int read_form(struct gate_pass *p, size_t max)
{
	str message;

	if (p->form)
		return 0;
	TRY(gate_body(p, max));
	if (form_parse(p->call->arena, p->request->query, is_form(p) ? p->call->body : STR_NULL,
		    &p->form, &message) < 0)
		return gate_refuse(p, GATE_MALFORMED, "%.*s", STR_ARG(message));
	return 0;
}

/* The path of a page's address begins with /_aws/. */
static bool is_path_page(str url)
{
	ptrdiff_t scheme = str_find_str(url, STR("://")), slash;

	if (scheme < 0)
		return false;
	url = str_from(url, (size_t)scheme + 3);
	slash = str_find(url, '/');
	return slash >= 0 && str_starts(str_from(url, (size_t)slash), STR("/_aws/"));
}

/*
 * In open mode: a page that is an object below its bucket's host is good for that bucket only; one
 * that a deployed API answers by its path has no origin of ours, which browsers without
 * Sec-Fetch-Site do not say; and nobody goes to an API by a link, which a redirect would be.
 */
static int check_page(struct gate_pass *p)
{
	const struct gate_heads *h = &p->heads;
	const struct gate_options *o = &p->gate->options;
	const char *why = NULL;

	if (o->auth == GATE_STRICT || p->request->trust->function || is_s3(model_of(p->service)) ||
		!(h->origin.p || h->referer.p || h->fetch_site.p))
		return 0;
	if (gate_bucket_of_host(h->host, o->host_suffixes, o->host_suffix_count).p)
		why = "Refused by the bucket rule: in open mode pages of a bucket's host may call "
		      "S3 only.";
	else if (is_path_page(h->referer))
		why = "Refused by the page rule: in open mode pages below /_aws/ may not call this "
		      "server.";
	else if (h->fetch_site.p &&
		 str_eq(call_header_get(p->call, STR("sec-fetch-mode")), STR("navigate")))
		why = "Refused by the navigation rule: in open mode a browser may not be led to an "
		      "API by a link, a form or a redirect.";
	if (!why)
		return 0;
	p->cors = false;
	return gate_refuse(p, GATE_BROWSER, "%s", why);
}

int gate_find_service(struct gate_pass *p)
{
	const struct gate_service *found[GATE_SERVICES_MAX];
	const struct gate *g = p->gate;
	size_t count = g->service_count;
	bool known = false;

	for (size_t i = 0; i < count; i++)
		found[i] = &g->services[i];
	if (!p->is_signed || str_eq(p->auth.service, STR("s3")))
		set_path(p);
	if (p->is_signed) {
		if (!narrow(found, &count, p, by_scope))
			return not_found(p, "No service here is signed for under that name");
		known = true;
	}
	if (p->heads.target.p) {
		if (!narrow(found, &count, p, by_target))
			return not_found(p, known ? "X-Amz-Target is of another service than the "
						    "credential scope"
						  : "X-Amz-Target names no service here");
		known = true;
	}
	if (count > 1 && narrow(found, &count, p, by_bucket_host))
		known = true;
	if (count > 1 && p->heads.host.p && narrow(found, &count, p, by_host))
		known = true;
	if (count > 1 || !known) {
		if (narrow(found, &count, p, by_path)) {
			known = true;
		} else if (str_eq(p->request->path, STR("/"))) {
			TRY(read_form(p, GATE_BODY_DEFAULT));
			known |= narrow(found, &count, p, by_form);
		} else {
			known |= narrow(found, &count, p, by_bucket);
		}
	}
	if (!known)
		return not_found(p, "The request does not say which service it is for");
	if (count > 1)
		return not_found(p, "The request fits more than one service");
	p->service = found[0];
	return check_page(p);
}

static int unknown_operation(struct gate_pass *p, str name)
{
	const struct model *m = model_of(p->service);

	if (m->protocol == PROTOCOL_QUERY)
		return gate_refuse(p, GATE_UNKNOWN_OPERATION,
			"Could not find operation %.*s for version %s",
			(int)MIN(name.n, (size_t)128), name.p ? name.p : "", m->api_version);
	if (is_s3(m))
		return gate_refuse(p, GATE_UNKNOWN_OPERATION,
			"The specified method is not allowed against this resource.");
	if (model_is_rest(m))
		return gate_refuse(p, GATE_UNKNOWN_OPERATION, "%s has no operation for %.*s %.*s",
			m->name, STR_ARG(p->request->method),
			(int)MIN(p->request->path.n, (size_t)256), p->request->path.p);
	return gate_refuse(p, GATE_UNKNOWN_OPERATION, "%s has no operation '%.*s'", m->name,
		(int)MIN(name.n, (size_t)128), name.p ? name.p : "");
}

int gate_find_operation(struct gate_pass *p)
{
	const struct model *m = model_of(p->service);
	struct call *c = p->call;
	str name = STR_NULL;

	if (model_is_rest(m)) {
		p->operation = match_path(m, p, &p->labels);
		if (p->operation >= 0 && is_s3(m) &&
			foreign_sub_resource(m, p->operation, p->request->query).p)
			p->operation = -1;
	} else if (m->protocol == PROTOCOL_QUERY) {
		uint32_t max = p->service->service->body_max;

		TRY(read_form(p, max ? max : GATE_BODY_DEFAULT));
		name = form_get(p->form, STR("Action"));
		p->operation = name.p ? model_operation(m, name) : -1;
	} else {
		ptrdiff_t dot = str_find_last(p->heads.target, '.');

		name = p->heads.target.p ? str_from(p->heads.target, (size_t)(dot + 1)) : STR_NULL;
		p->operation = name.p && str_eq(p->request->method, STR("POST"))
				       ? model_operation(m, name)
				       : -1;
	}
	if (p->operation < 0)
		return unknown_operation(p, name);
	c->operation = &m->operations[p->operation];
	c->status = c->operation->status;
	c->row = p->service->rows[p->operation];
	if (!c->row)
		return gate_refuse(p, GATE_NOT_IMPLEMENTED, "cirrus does not implement %s %.*s.",
			m->name, STR_ARG(model_str(m, c->operation->name)));
	return 0;
}
