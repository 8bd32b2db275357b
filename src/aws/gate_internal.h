/*
 * What the gate's files share; nobody else includes it.
 *
 *     gate.c         registration, the order of the stages
 *     gate_route.c   which service, which operation
 *     gate_body.c    bodies that are checked while they come (S3)
 *     gate_auth.c    browser rules, signatures, principals, policies
 *     gate_call.c    calls from inside, through the same stages
 *     gate_render.c  answers and faults in each protocol
 */
#ifndef AWS_GATE_INTERNAL_H
#define AWS_GATE_INTERNAL_H

#include "aws/chunked.h"
#include "aws/codec.h"
#include "aws/gate.h"
#include "aws/sigv4.h"
#include "rt/rt.h"

enum {
	GATE_SERVICES_MAX = 32,
	GATE_BODY_DEFAULT = 1024 * 1024,
	GATE_ANSWER_MAX = 32 * 1024 * 1024,
	GATE_KEY_SLOTS = 64,
	GATE_KEY_NAME_MAX = 160
};

enum gate_fault {
#define GATE_FAULT(id, ...) GATE_##id,
#include "aws/faults.def"
#undef GATE_FAULT
	GATE_FAULT_END_
};

struct gate_service {
	const struct service *service;
	const struct operation_row **rows; /* by the operation's index; NULL: not implemented */
};

/* A derived signing key, kept under its credential: what SigV4 costs is mostly deriving. */
struct gate_key_slot {
	uint64_t generation;
	size_t name_bytes;            /* 0: free */
	char name[GATE_KEY_NAME_MAX]; /* "AKIA.../20150830/us-east-1/dynamodb" */
	struct hmac_key key;
};

struct gate_loop {
	struct gate_key_slot slots[GATE_KEY_SLOTS];
};

struct gate {
	struct gate_options options;
	struct ports *ports;
	struct gate_service services[GATE_SERVICES_MAX];
	size_t service_count;
	struct gate_loop *loops;
	struct port_call *call;
};

/* The headers that the gate looks at; STR_NULL when absent. */
struct gate_heads {
	str target, host, origin, referer, fetch_site, content_type, content_encoding,
		accept_encoding;
	str request_method, request_headers; /* of a CORS preflight */
};

/* How a body of S3 says what it is (x-amz-content-sha256), and what was seen of it. */
struct gate_stream {
	enum gate_stream_kind {
		GATE_STREAM_PLAIN,  /* nothing signs it */
		GATE_STREAM_HASHED, /* its SHA-256 was signed */
		GATE_STREAM_CHUNKED /* aws-chunked */
	} kind;
	struct sha256 hash;
	struct chunked *chunked;
	uint64_t length, got; /* of what the handler sees; UINT64_MAX: not known */
	str in;               /* received and not looked at: of the buffer */
	char *buffer;
	size_t given; /* of c->body, when there is no stream */
	bool ended;
};

/* All that one request gathers on its way. */
struct gate_pass {
	struct gate *gate;
	struct call *call;
	const struct gate_request *request;
	struct gate_heads heads;
	struct sigv4_request signed_;
	struct sigv4_auth auth;
	bool is_signed;
	struct sigv4_error signature_error; /* its parts were malformed */
	const struct gate_service *service; /* NULL until found */
	int operation;                      /* index in the model, -1 until found */
	struct rest_labels labels;
	struct form *form;
	struct principal principal;
	struct rt_label label; /* of this fiber, for the crash report */
	bool cors;             /* the origin is allowed: say so in the answer */
	bool body_read;
	str path;            /* the request's, with the bucket that the host names in front */
	struct hmac_key key; /* that signed it; of S3 only, when key_known */
	bool key_known;
	struct gate_stream stream;
	const struct http_header *headers; /* gate_headers(): made once; NULL: not yet */
	uint32_t header_count;
};

/* Is the request for a restXml service, which S3 is? False until the service is found. */
static inline bool gate_is_s3(const struct gate_pass *p)
{
	return p->service && p->service->service->model->protocol == PROTOCOL_REST_XML;
}

/* Sets a fault of the gate's own; returns ERR_FAULT. */
int gate_refuse(struct gate_pass *p, enum gate_fault fault, const char *format, ...)
	printf_like(3, 4);
/* The macro tells the compiler that the result is always ERR_FAULT. */
#define gate_refuse(...) (gate_refuse(__VA_ARGS__), ERR_FAULT)
int call_refuse(struct call *c, enum gate_fault fault, const char *format, ...) printf_like(3, 4);
/* The macro tells the compiler that the result is always ERR_FAULT. */
#define call_refuse(...) (call_refuse(__VA_ARGS__), ERR_FAULT)
const struct fault_kind *gate_fault_kind(enum gate_fault fault, const struct model *m);
bool gate_fault_is_own(const struct fault_kind *kind);

void gate_heads_read(const struct gate_request *request, struct gate_heads *ret_heads);
/* Reads the body once, within the limit. */
must_use int gate_body(struct gate_pass *p, size_t max);

/* gate_body.c: begins it; reads all of it into c->body. */
must_use int gate_stream_open(struct gate_pass *p);
must_use int gate_stream_all(struct gate_pass *p, size_t max) mayyield;
/* The request's headers, and those that a signed link of S3 has in its query string instead. */
const struct http_header *gate_headers(struct gate_pass *p, uint32_t *ret_count);
bool gate_header_sent(struct gate_pass *p, str name);

/* gate_route.c: p->service, p->operation, p->labels, p->form. */
must_use int gate_find_service(struct gate_pass *p);
must_use int gate_find_operation(struct gate_pass *p);

/* gate_auth.c */
must_use int gate_check_browser(struct gate_pass *p);
/* Before the body is read: is there a well-formed signature, where one is needed? */
must_use int gate_check_signed(struct gate_pass *p);
must_use int gate_authenticate(struct gate_pass *p);
must_use int gate_authorize(struct gate_pass *p);
/* Is the origin one whose pages may call us? */
bool gate_origin_allowed(const struct gate *g, str origin, str host);

/* gate_call.c: makes g->call and sets the port. */
void gate_provide_calls(struct gate *g);
/* gate.c: the stages that in-process calls share. gate_handler_run() is throttle and handler. */
must_use int gate_handler_run(struct call *c);
must_use int gate_check_input(struct call *c);
void gate_fault_of_rc(struct call *c, int rc);
void gate_begin_call(struct gate *g, struct arena *a, struct call *c);

/* gate_render.c */
void gate_render_success(struct gate_pass *p, struct gate_response *ret);
/* The end of an answer that the handler has streamed, good or bad. */
void gate_stream_end(struct gate_pass *p, int rc, struct gate_response *ret) mayyield;
void gate_render_fault(struct gate_pass *p, struct gate_response *ret);
void gate_render_preflight(struct gate_pass *p, struct gate_response *ret);

#endif
