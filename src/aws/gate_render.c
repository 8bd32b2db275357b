/*
 * Answers: outputs and faults in the form of each protocol, as the SDKs read them.
 *
 * https://smithy.io/2.0/aws/protocols/aws-json-1_0-protocol.html#operation-error-serialization and
 * the same section for restJson1 and query.
 */
#include "aws/gate_internal.h"
#include "base/check.h"
#include "base/gzip.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/uri.h"
#include "base/xml.h"

/* Room for the headers that every answer may have and those of call_header(). */
enum { HEADERS_OWN = 32 };
enum { PACKED_BYTES_MIN = 1024 }; /* of an answer that is worth packing */

static void add(struct gate_response *r, str name, str value)
{
	r->headers[r->header_count++] = (struct http_header){.name = name, .value = value};
}

static const struct model *model_of(const struct gate_pass *p)
{
	return p->service ? p->service->service->model : NULL;
}

/* An object below its bucket's host has another origin anyway. */
static bool shares_our_origin(const struct gate_pass *p)
{
	return p->gate->options.auth != GATE_STRICT && !p->request->trust->function &&
	       p->path.p == p->request->path.p;
}

/* Headers that every answer has; `ret` is begun, with room for `more` beyond HEADERS_OWN. */
static void begin(struct gate_pass *p, struct gate_response *ret, unsigned status, size_t more)
{
	*ret = (struct gate_response){.status = (uint16_t)status};
	ret->headers = arena_alloc(p->call->arena, (HEADERS_OWN + more) * sizeof(*ret->headers));
	if (gate_is_s3(p)) {
		add(ret, STR("x-amz-request-id"), p->call->request_id);
		add(ret, STR("x-amz-id-2"), p->call->request_id);
		if (shares_our_origin(p))
			add(ret, STR("Content-Security-Policy"), STR(GATE_PAGE_SANDBOX));
	} else {
		add(ret, STR("x-amzn-RequestId"), p->call->request_id);
	}
	if (p->cors) {
		add(ret, STR("Access-Control-Allow-Origin"), p->heads.origin);
		add(ret, STR("Vary"), STR("Origin"));
		add(ret, STR("Access-Control-Expose-Headers"),
			gate_is_s3(p) ? STR("ETag, x-amz-request-id, x-amz-id-2")
				      : STR("x-amzn-RequestId, x-amzn-ErrorType, x-amz-crc32, "
					    "x-amz-function-error, x-amz-log-result, "
					    "x-amz-executed-version"));
	}
}

static str content_type(const struct model *m)
{
	switch ((enum model_protocol)m->protocol) {
	case PROTOCOL_JSON_10: return STR("application/x-amz-json-1.0");
	case PROTOCOL_JSON_11: return STR("application/x-amz-json-1.1");
	case PROTOCOL_QUERY: return STR("text/xml");
	case PROTOCOL_REST_XML: return STR("application/xml");
	case PROTOCOL_REST_JSON: break;
	}
	return STR("application/json");
}

/* "gzip", "deflate, gzip;q=1.0": does the client take gzip? RFC 9110, 12.5.3. */
static bool takes_gzip(str accepted)
{
	str one, name;

	while (str_split(&accepted, ',', &one)) {
		one = str_trim(one);
		str_split(&one, ';', &name);
		one = str_trim(one);
		if (str_eq_nocase(str_trim(name), STR("gzip")))
			return !str_eq(one, STR("q=0")) && !str_starts(one, STR("q=0.0"));
	}
	return false;
}

/* DynamoDB packs answers for clients that ask for it; small ones would only grow. */
static str packed(struct gate_pass *p, struct gate_response *ret, str body)
{
	if (likely(!p->heads.accept_encoding.n) || body.n < PACKED_BYTES_MIN ||
		!takes_gzip(p->heads.accept_encoding))
		return body;
	add(ret, STR("Content-Encoding"), STR("gzip"));
	return gzip_pack(p->call->arena, body);
}

static void finish_body(struct gate_pass *p, struct gate_response *ret, str body, str type)
{
	const struct model *m = model_of(p);

	if (m && m->crc32)
		body = packed(p, ret, body);
	ret->body = body;
	if (type.n)
		add(ret, STR("Content-Type"), type);
	if (m && m->crc32) {
		struct buf text;

		buf_init(&text, p->call->arena, 16);
		buf_put_u64(&text, crc32_add(0, body));
		add(ret, STR("x-amz-crc32"), buf_str(&text));
	}
}

/* Status and headers of success. True: a header among them says what the content is. */
static bool begin_success(
	struct gate_pass *p, struct gate_response *ret, const struct rest_answer *rest)
{
	struct call *c = p->call;
	bool typed = false;

	begin(p, ret, rest->status ? rest->status : c->status, rest->header_count);
	for (uint32_t i = 0; i < c->extra_header_count; i++) {
		add(ret, c->extra_headers[i].name, c->extra_headers[i].value);
		typed |= str_eq_nocase(c->extra_headers[i].name, STR("Content-Type"));
	}
	for (unsigned i = 0; i < rest->header_count; i++) {
		add(ret, rest->headers[i].name, rest->headers[i].value);
		typed |= str_eq_nocase(rest->headers[i].name, STR("Content-Type"));
	}
	return typed;
}

void gate_render_success(struct gate_pass *p, struct gate_response *ret)
{
	struct call *c = p->call;
	const struct model *m = model_of(p);
	struct rest_answer rest = {.status = 0};
	str type = content_type(m);
	struct buf text;

	buf_init(&text, c->arena, GATE_ANSWER_MAX);
	if (c->row->flags & ROW_RAW_BODY) {
		text = c->raw_out;
	} else if (m->protocol == PROTOCOL_QUERY) {
		codec_query_write(
			&text, m, model_str(m, c->operation->name), c->out, c->request_id);
	} else if (model_is_rest(m)) {
		codec_rest_write(&text, c->arena, c->out, &rest);
		type = rest.content_type;
	} else if (c->out) {
		codec_json_write(&text, c->out);
	} else if (m->protocol == PROTOCOL_JSON_10) {
		buf_put(&text, STR("{}"));
	}
	if (text.over) {
		(void)call_refuse(
			c, GATE_INTERNAL, "The answer is larger than %d bytes.", GATE_ANSWER_MAX);
		gate_render_fault(p, ret);
		return;
	}
	if (begin_success(p, ret, &rest))
		type = STR(""); /* the handler said what its payload is */
	finish_body(p, ret, buf_str(&text), type);
}

/* ---- answers that stream ---- */

static int stream_begin(struct call *c, str content_type, int64_t bytes)
{
	struct http_exchange *x = c->request ? c->request->exchange : NULL;
	struct gate_response head;
	struct rest_answer rest;
	struct buf body;

	check(c->magic == CALL_MAGIC && !c->streaming);
	if (!x)
		return ERR_UNSUPPORTED;
	buf_init(&body, c->arena, GATE_ANSWER_MAX);
	codec_rest_write(&body, c->arena, c->out, &rest);
	if (!begin_success(c->pass, &head, &rest))
		add(&head, STR("Content-Type"), content_type);
	c->streaming = true;
	TRY(http_respond_begin(x, head.status, head.headers, head.header_count, bytes));
	return bytes < 0 ? http_respond_flush(x) : 0;
}

int call_stream_begin(struct call *c, str content_type)
{
	return stream_begin(c, content_type, -1);
}

int call_stream_begin_sized(struct call *c, str content_type, uint64_t bytes)
{
	check(bytes <= INT64_MAX);
	return stream_begin(c, content_type, (int64_t)bytes);
}

int call_stream_write(struct call *c, str bytes)
{
	check(c->magic == CALL_MAGIC && c->streaming);
	return bytes.n ? http_respond_write(c->request->exchange, bytes) : 0;
}

void gate_stream_end(struct gate_pass *p, int rc, struct gate_response *ret)
{
	struct http_exchange *x = p->call->request->exchange;

	*ret = (struct gate_response){.status = (uint16_t)http_responded(x)};
	if (rc >= 0)
		rc = http_respond_end(x);
	if (rc < 0)
		http_respond_abort(x);
}

/* ---- faults ---- */

/*
 * The name of the error shape's member that holds the message. Of errors without a shape it is
 * "message", but with a namespace (type_prefix()) these two have another one, as users quote them.
 */
static str message_member(const struct model *m, const struct fault *f, int error)
{
	const struct model_shape *shape;

	if (error < 0)
		return m->type_prefix[0] &&
				       (strcmp(f->kind->code, "SerializationException") == 0 ||
					       strcmp(f->kind->code, "AccessDeniedException") == 0)
			       ? STR("Message")
			       : STR("message");
	shape = &m->shapes[m->errors[error].shape];
	for (unsigned i = 0; i < shape->count; i++) {
		const struct model_member *member = &m->members[shape->first + i];
		str name = model_str(m, member->wire);

		if (member->location == LOCATION_BODY && str_eq_nocase(name, STR("message")))
			return name;
	}
	return STR("message");
}

static bool has_type_member(const struct model *m, int error)
{
	return error >= 0 && model_member(m, m->errors[error].shape, STR("Type")) >= 0;
}

/* The namespace that DynamoDB puts before an error's name in __type. */
static str type_prefix(const struct model *m, const struct fault *f, int error)
{
	if (!m->type_prefix[0])
		return STR("");
	if (error >= 0 && !gate_fault_is_own(f->kind))
		return str_c(m->type_prefix);
	if (strcmp(f->kind->code, "ValidationException") == 0)
		return STR("com.amazon.coral.validate#");
	return STR("com.amazon.coral.service#");
}

static void put_fault_json(
	struct buf *out, const struct model *m, const struct fault *f, bool typed)
{
	str code = str_c(f->kind->code);
	int error = m ? model_error(m, code) : -1;
	str message = m ? message_member(m, f, error) : STR("message");
	struct json_writer w;
	struct buf members;

	json_writer_init(&w, out);
	json_put_object_begin(&w);
	if (typed) {
		json_put_key(&w, STR("__type"));
		json_put_comma_(&w);
		buf_put_char(out, '"');
		if (m)
			buf_put(out, type_prefix(m, f, error));
		buf_put(out, code);
		buf_put_char(out, '"');
	}
	if (f->message.p) {
		json_put_key(&w, message);
		json_put_comma_(&w);
		json_put_quoted_lossy(out, f->message);
	}
	if (!typed && has_type_member(m, error))
		json_put_key_string(
			&w, STR("Type"), f->kind->server ? STR("Service") : STR("User"));
	if (f->members) {
		buf_init(&members, f->members->tree->arena, GATE_ANSWER_MAX);
		codec_json_write(&members, f->members);
		if (members.n > 2) { /* its members, without its braces */
			buf_put_char(out, ',');
			buf_put(out, str_sub(buf_str(&members), 1, members.n - 2));
		}
	}
	json_put_object_end(&w);
}

static void put_fault_xml(struct buf *out, const struct model *m, const struct fault *f, str id)
{
	xml_put_open_ns(out, STR("ErrorResponse"), str_c(m->xml_namespace));
	xml_put_open(out, STR("Error"));
	xml_put_element(out, STR("Type"), f->kind->server ? STR("Receiver") : STR("Sender"));
	xml_put_element(out, STR("Code"), str_c(f->kind->code));
	xml_put_element(out, STR("Message"), f->message.p ? f->message : STR(""));
	xml_put_close(out, STR("Error"));
	xml_put_element(out, STR("RequestId"), id);
	xml_put_close(out, STR("ErrorResponse"));
	buf_put_char(out, '\n');
}

/* https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html */
static void put_fault_s3(struct gate_pass *p, struct buf *out, const struct fault *f)
{
	str resource;

	if (uri_decode(p->call->arena, p->path, URI_PLAIN, &resource) < 0)
		resource = p->path;
	xml_put_declaration(out);
	xml_put_open(out, STR("Error"));
	xml_put_element(out, STR("Code"), str_c(f->kind->code));
	xml_put_element(out, STR("Message"), f->message.p ? f->message : STR(""));
	for (unsigned i = 0; i < f->detail_count; i++)
		xml_put_element(out, f->details[i].name, f->details[i].text);
	xml_put_element(out, STR("Resource"), resource);
	xml_put_element(out, STR("RequestId"), p->call->request_id);
	xml_put_element(out, STR("HostId"), p->call->request_id);
	xml_put_close(out, STR("Error"));
}

static unsigned fault_status(const struct fault_kind *kind, const struct model *m)
{
	if (kind->status)
		return kind->status;
	return m ? m->access_status : 403;
}

void gate_render_fault(struct gate_pass *p, struct gate_response *ret)
{
	struct call *c = p->call;
	const struct model *m = model_of(p);
	const struct fault *f = &c->fault;
	struct buf text;

	check(f->kind != NULL);
	begin(p, ret, fault_status(f->kind, m), 0);
	if (gate_is_s3(p)) /* what the handler has said of it, such as the bucket's region */
		for (uint32_t i = 0; i < c->extra_header_count; i++)
			add(ret, c->extra_headers[i].name, c->extra_headers[i].value);
	buf_init(&text, c->arena, GATE_ANSWER_MAX);
	if (m && m->protocol == PROTOCOL_QUERY) {
		put_fault_xml(&text, m, f, c->request_id);
	} else if (gate_is_s3(p)) {
		put_fault_s3(p, &text, f);
	} else {
		bool rest = m && m->protocol == PROTOCOL_REST_JSON;

		put_fault_json(&text, m, f, !rest);
		if (rest || !m)
			add(ret, STR("x-amzn-ErrorType"), str_c(f->kind->code));
	}
	finish_body(p, ret, buf_str(&text), m ? content_type(m) : STR("application/json"));
}

void gate_render_preflight(struct gate_pass *p, struct gate_response *ret)
{
	begin(p, ret, 204, 0);
	add(ret, STR("Access-Control-Allow-Methods"), STR("GET, HEAD, POST, PUT, PATCH, DELETE"));
	if (p->heads.request_headers.p)
		add(ret, STR("Access-Control-Allow-Headers"), p->heads.request_headers);
	add(ret, STR("Access-Control-Max-Age"), STR("600"));
}
