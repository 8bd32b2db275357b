/*
 * The one gate that every API operation passes, in this order (DESIGN section 4):
 *
 *     match operation -> body limit -> authenticate -> decode -> validate -> authorize -> throttle
 *     -> handler -> encode -> log, count, trace
 *
 * A service registers its model and one row per implemented operation; handlers are straight-line
 * code between `c->in` and `c->out` and repeat none of the above. An operation without a row
 * answers 501 NotImplemented and names itself.
 *
 * Threading: a gate is built at start, then shared read-only by all loops (its caches are per loop
 * or locked inside). gate_handle() runs in a request's fiber and suspends where the handler, the
 * identity port or the reading of a body does.
 */
#ifndef AWS_GATE_H
#define AWS_GATE_H

#include "aws/fault.h"
#include "aws/model.h"
#include "aws/ports/ports.h"
#include "aws/principal.h"
#include "aws/value.h"
#include "base/arena.h"
#include "base/buf.h"
#include "http/http.h"

struct call;
struct gate;
struct gate_pass;
struct policy;
struct gate_pass;
struct policy_context;

/* ---- what a service registers ---- */

enum operation_row_flag {
	/*
	 * The handler gets the undecoded body (c->body) and writes the answer's body itself
	 * (c->raw_out); decoding, validation and its errors are its own. c->in and c->out are NULL.
	 * For authorization the row's resource function looks into c->body; it is called only when
	 * the principal is restricted.
	 */
	ROW_RAW_BODY = 1 << 0,
	/* Anyone may call it, signed or not (STS AssumeRoleWithWebIdentity). */
	ROW_UNSIGNED = 1 << 1,
	/* A valid signature is enough: no policy can deny it (STS GetCallerIdentity). */
	ROW_ALWAYS_ALLOWED = 1 << 2,
	/* The handler calls call_authorize() itself, for operations with several resources. */
	ROW_AUTHORIZES = 1 << 3,
	/* restXml: the handler reads the body by call_body_read(); c->body is empty. */
	ROW_STREAM_BODY = 1 << 4
};

/*
 * Returns 0, or ERR_FAULT after call_fault(). Any other negative rc becomes InternalServerError (or
 * the fault that fits it: ERR_BUSY is a throttling error, ERR_BUDGET and ERR_TOO_LARGE a client
 * error), with the request id, logged as our own bug where it is one. May suspend.
 */
typedef int operation_handler(struct call *c);
/*
 * The ARN that the operation acts on, for policies; "*" when the row has no function. 0, or
 * ERR_FAULT when the input does not name one. May suspend.
 */
typedef int operation_resource(struct call *c, str *ret_arn);

struct operation_row {
	const char *name; /* as in the model */
	operation_handler *handle;
	const char *action; /* NULL: "<action prefix>:<name>" */
	operation_resource *resource;
	uint32_t flags;
	uint32_t body_max; /* bytes; 0: the service's */
};

struct service {
	const struct model *model;
	const struct operation_row *rows;
	size_t row_count;
	uint32_t body_max; /* bytes of a request's body; 0: 1 MiB */
	void *self;        /* becomes c->self */
	/* Adds condition keys of the service (dynamodb:LeadingKeys ...) for the action on the
	 * resource, when a policy looks at one; NULL: none. ERR_FAULT: the request is not valid. */
	int (*context)(
		struct call *c, str action, str arn, struct policy_context *context) mayyield;
	/*
	 * The policy that the resource of an ARN has itself, *ret_policy NULL: none. NULL:
	 * resources have no policies.
	 */
	int (*policy)(struct call *c, str arn, const struct policy **ret_policy) mayyield;
	/* ARNs may be of other accounts than the caller's: such a request needs both the resource's
	 * policy and the caller's own. */
	bool foreign;
};

/* ---- a request in flight ---- */

/* What an endpoint's requests are trusted with: belongs to the listener (DESIGN section 2). */
struct gate_trust {
	bool loopback; /* the listener is bound to a loopback address */
	bool tls;
	/* On a container's own endpoint: unknown keys act as this, never as root; browser rules do
	 * not apply. NULL elsewhere. */
	const struct principal *function;
};

/*
 * In open mode a page of our own origin may call every API. So what may be a page and is shown by
 * its path, an object or the answer of a deployed API, has this Content-Security-Policy: a browser
 * gives it an origin of its own, that of nobody; its scripts still run. A second policy of the
 * page's own only adds to it.
 */
#define GATE_PAGE_SANDBOX \
	"sandbox allow-scripts allow-forms allow-modals allow-popups allow-downloads"

/* A request as the gate sees it; the HTTP adapter fills it, tests and in-process callers too. */
struct gate_request {
	str method;      /* "POST" */
	str path, query; /* raw, still percent-encoded; query without '?' */
	const struct http_header *headers;
	uint32_t header_count;
	str peer; /* address text, "127.0.0.1" */
	const struct gate_trust *trust;
	/* The whole body: at most `max` bytes, else ERR_TOO_LARGE. Called at most once. May
	 * suspend. */
	int (*body)(void *arg, size_t max, str *ret_body);
	/* The next bytes of it: how many, ERR_EOF at the end. NULL: body() is used. May suspend. */
	int (*body_read)(void *arg, void *to, size_t n);
	void *body_arg;
	uint64_t body_length;           /* announced, UINT64_MAX: unknown */
	struct http_exchange *exchange; /* for answers that stream; NULL in process */
};

struct gate_response {
	uint16_t status;
	struct http_header *headers; /* in the arena */
	uint32_t header_count;
	str body; /* in the arena, or borrowed for as long as the handler's state lives */
};

#define CALL_MAGIC 0x63616c6cu

struct call {
	uint32_t magic;
	struct gate *gate;
	const struct ports *ports;
	const struct service *service;
	void *self; /* service->self */
	const struct operation_row *row;
	const struct model_operation *operation;
	struct arena *arena;
	str request_id; /* UUID */
	str account;    /* 12 digits: whose state this request works on */
	str region;
	const struct principal *principal;
	const struct gate_request *request;
	int64_t wall_ms;        /* start of the request, ms since 1970 */
	int64_t deadline_ns;    /* monotonic, for every wait made for this request */
	const struct value *in; /* decoded and validated; a structure, maybe empty */
	struct value *out;      /* empty structure of the output shape; NULL: it has none */
	str body;               /* the request's body as it came */
	struct buf raw_out;     /* ROW_RAW_BODY: the answer's body */
	struct http_header *extra_headers; /* call_header() */
	uint32_t extra_header_count;
	uint16_t status; /* of success; the handler may change it (202 of an asynchronous invoke) */
	struct fault fault;
	bool streaming;         /* call_stream_begin() has sent the head */
	struct gate_pass *pass; /* the gate's own */
};

/* Sets the fault and returns ERR_FAULT: `return call_fault(c, &kinds[X], "Table not found: %.*s",
 * ...)`. */
int call_fault(struct call *c, const struct fault_kind *kind, const char *format, ...)
	printf_like(3, 4);
/* The macro tells the compiler that the result is always ERR_FAULT. */
#define call_fault(...) (call_fault(__VA_ARGS__), ERR_FAULT)
/* A header of the request, STR_NULL when absent; names ignore case. */
str call_header_get(const struct call *c, str name);
/* Adds a header to the answer (Content-Type: instead of the protocol's). Name and value are
 * borrowed. */
void call_header(struct call *c, str name, str value);
/*
 * May the caller do `action` ("dynamodb:GetItem") on `arn`? 0, or ERR_FAULT with AccessDenied set.
 * For operations on several resources, and for pass-role like second checks. May suspend.
 */
must_use int call_authorize(struct call *c, str action, str arn) mayyield;

/* What the policy alone says of it: an enum policy_effect, or ERR_FAULT. May suspend. */
must_use int call_policy_effect(
	struct call *c, const struct policy *policy, str action, str arn) mayyield;

/*
 * An answer that streams: once nothing can be refused any more the handler begins it, which sends
 * the status and what of c->out travels in headers, and then writes its body in parts of any size;
 * each write suspends while the client reads slowly. When the handler returns 0 the gate ends the
 * answer; when it fails behind the beginning the connection is cut, which is all that can still be
 * said. For one call all three run in one fiber at a time, on the request's loop. ERR_UNSUPPORTED
 * in process (port_call), where nobody takes a stream; ERR_CLOSED when the client has left.
 */
must_use int call_stream_begin(struct call *c, str content_type) mayyield;
must_use int call_stream_write(struct call *c, str bytes) mayyield;
/* As call_stream_begin() of a body of that many bytes, of which none are sent for HEAD. */
must_use int call_stream_begin_sized(struct call *c, str content_type, uint64_t bytes) mayyield;

/*
 * ROW_STREAM_BODY: the next bytes of the body, free of its aws-chunked form: how many, 0 at the
 * end. At the end all that was signed of it has been verified (the hash, each chunk, the trailers),
 * so nothing of it counts before. ERR_FAULT; ERR_CLOSED and others of the connection.
 */
must_use int call_body_read(struct call *c, void *to, size_t n) mayyield;
/* How many bytes that will be; UINT64_MAX when the client did not say. */
uint64_t call_body_length(const struct call *c);
/* A trailer of a body that was read to its end; STR_NULL. */
str call_body_trailer(const struct call *c, str name);

/* ---- the gate ---- */

enum gate_auth { GATE_OPEN, GATE_STRICT };

struct gate_options {
	enum gate_auth auth;
	const str *host_suffixes; /* beyond localhost and localhost.localstack.cloud */
	size_t host_suffix_count;
	const str *cors_origins; /* allowed beyond our own console */
	size_t cors_origin_count;
	str region_default; /* where the request names none: "us-east-1" */
	/*
	 * Called after each request; NULL: not. Must not suspend. c->service, c->operation, c->row
	 * and c->principal are NULL when the request got no further.
	 */
	void (*done)(void *arg, const struct call *c, uint16_t status, int64_t taken_ns);
	/* Before the handler: 0, or ERR_BUSY to answer a throttling error. NULL: no limit. */
	int (*throttle)(void *arg, const struct call *c);
	void *hook_arg;
	int64_t deadline_ms; /* what a request may take by default; 0: 60 s */
	unsigned loops;      /* that will call the gate: one cache each; 0: 1 */
	/* The machine, so that tests and the simulation own it; all set. */
	int64_t (*wall_ms)(void);
	int64_t (*monotonic_ns)(void);
	void (*random)(void *to, size_t n);
	unsigned (*loop_index)(void); /* of the caller, below `loops`; NULL: always 0 */
};

/*
 * "photos.s3.localhost:4566", "a.b.s3.eu-west-1.example.com": the bucket before ".s3" under one of
 * our names or the suffixes; STR_NULL: the host names none. Pure.
 */
str gate_bucket_of_host(str host, const str *suffixes, size_t suffix_count);

/* `ports` is filled by services at their start and must outlive the gate. */
struct gate *gate_new(const struct gate_options *options, struct ports *ports);
void gate_free(struct gate *g);
/* Before the first request. A row that the model does not have is our own bug. */
void gate_register(struct gate *g, const struct service *s);
/* Answers one request; never fails: what goes wrong is in the response. May suspend. */
void gate_handle(struct gate *g, struct arena *a, const struct gate_request *request,
	struct gate_response *ret_response) mayyield;

#endif
