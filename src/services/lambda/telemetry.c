/*
 * Subscriptions and deliveries. A subscriber's records stand in one buffer as they are sent: joined
 * by commas for HTTP (one JSON array a request), by newlines for TCP. A fiber takes the buffer away
 * and delivers it; meanwhile a new one fills. Deliveries hold the instance's container.
 */
#include "services/lambda/telemetry.h"

#include "base/check.h"
#include "base/json.h"
#include "base/mem.h"
#include "http/http.h"
#include "services/lambda/instance.h"
#include "services/lambda/outcome.h"
#include "services/lambda/platform.h"
#include "services/lambda/runtime_api.h"
#include "services/lambda/service.h"

enum {
	SUBSCRIBERS_MAX = 2 * EXTENSIONS_MAX, /* each extension at both APIs */
	BODY_BYTES_MAX = 65536,
	PATH_BYTES_MAX = 256,
	ITEMS_MIN = 1000,
	ITEMS_MAX = 10000,
	BYTES_MIN = 262144,
	BYTES_MAX = 1048576,
	TIMEOUT_MS_MIN = 25,
	TIMEOUT_MS_MAX = 30000,
	TIMEOUT_MS = 1000,
	PENDING_BYTES_MAX = 2 * BYTES_MAX,
	DELIVERY_MS = 5000,
	ATTEMPTS_MAX = 3,
	ASKING_STEP_MS = 2
};

struct subscription {
	char name[EXTENSION_NAME_BYTES_MAX];
	size_t name_bytes;
	bool logs_api, tcp;
	unsigned types; /* enum telemetry_type */
	uint16_t port;
	char path[PATH_BYTES_MAX];
	size_t path_bytes;
	int64_t items_max, bytes_max, timeout_ms;
};

struct subscriber {
	struct instance *instance;
	struct subscription is;
	struct buf pending;
	int64_t items;
	struct rt_timer timer;
	bool sending;
	unsigned attempts; /* of what waits, so far */
	uint64_t dropped, dropped_bytes;
	struct rt_stream *stream; /* TCP */
};

struct telemetry {
	struct subscriber *items[SUBSCRIBERS_MAX];
	unsigned count;
	bool stopped;
};

static str name_of(const struct subscription *s)
{
	return str_of(s->name, s->name_bytes);
}

void telemetry_free(struct telemetry *t)
{
	if (!t)
		return;
	for (unsigned i = 0; i < t->count; i++) {
		check(!t->items[i]->sending);
		rt_timer_stop(&t->items[i]->timer);
		if (t->items[i]->stream)
			rt_stream_close(t->items[i]->stream);
		buf_done(&t->items[i]->pending);
		mem_free(t->items[i]);
	}
	mem_free(t);
}

/* ---- delivery ---- */

/* Only one request to the sandbox may be under way. */
static int connect_inside(struct subscriber *s, int64_t deadline, struct rt_stream **ret_stream)
{
	struct instance *i = s->instance;
	int fd, rc;

	while (i->asking) {
		if (rt_now() > deadline)
			return ERR_TIMEOUT;
		TRY(rt_sleep_until(rt_after_ms(ASKING_STEP_MS)));
	}
	i->asking = true;
	rc = sandbox_connect(i->container, s->is.port, deadline, &fd);
	i->asking = false;
	TRY(rc);
	return rt_stream_adopt(fd, ret_stream);
}

/* "HTTP/1.1 200 ...": 0 when the status is one of success. */
static int read_status(struct rt_stream *stream, int64_t deadline)
{
	char head[12];
	size_t n = 0;

	while (n < sizeof(head)) {
		int k = TRY(rt_stream_read(stream, head + n, sizeof(head) - n, deadline));

		n += (size_t)k;
	}
	return str_starts(str_of(head, n), STR("HTTP/1.")) && head[9] == '2' ? 0 : ERR_INVALID;
}

static int post(struct subscriber *s, str records, int64_t deadline)
{
	struct arena a cleanup(arena_done_p) = {0};
	struct rt_stream *stream;
	str head;
	int rc;

	arena_init(&a, SIZE_MAX);
	head = arena_printf(&a,
		"POST %.*s HTTP/1.1\r\nHost: sandbox.localdomain:%u\r\n"
		"Content-Type: application/json\r\nContent-Length: %zu\r\n"
		"Connection: close\r\n\r\n[",
		(int)s->is.path_bytes, s->is.path, s->is.port, records.n + 2);
	TRY(connect_inside(s, deadline, &stream));
	rc = rt_stream_write(stream, head, deadline);
	if (rc >= 0)
		rc = rt_stream_write(stream, records, deadline);
	if (rc >= 0)
		rc = rt_stream_write(stream, STR("]"), deadline);
	if (rc >= 0)
		rc = read_status(stream, deadline);
	rt_stream_close(stream);
	return rc;
}

static int send_lines(struct subscriber *s, str records, int64_t deadline)
{
	int rc = 0;

	if (!s->stream)
		TRY(connect_inside(s, deadline, &s->stream));
	rc = rt_stream_write(s->stream, records, deadline);
	if (rc >= 0)
		rc = rt_stream_write(s->stream, STR("\n"), deadline);
	if (rc < 0) {
		rt_stream_close(s->stream);
		s->stream = NULL;
	}
	return rc;
}

static void put_record(struct subscriber *s, str record)
{
	if (s->pending.n)
		buf_put_char(&s->pending, s->is.tcp ? '\n' : ',');
	buf_put(&s->pending, record);
	s->items++;
}

static void say_dropped(struct subscriber *s)
{
	struct platform_event e = {.kind = PLATFORM_LOGS_DROPPED,
		.text = STR(
			"Consumer seems to have fallen behind as it has not acknowledged receipt "
			"of logs."),
		.dropped = s->dropped,
		.dropped_bytes = s->dropped_bytes};
	struct arena a cleanup(arena_done_p) = {0};

	arena_init(&a, SIZE_MAX);
	put_record(s, platform_json(&a, rt_wall() / RT_NS_MS, platform_name(e.kind),
			      platform_record(&a, &e)));
	s->dropped = s->dropped_bytes = 0;
}

/* What could not be sent goes before what came meanwhile, or is given up. */
static void keep_or_drop(struct subscriber *s, struct buf *batch, int64_t items)
{
	struct buf newer = s->pending;
	int64_t newer_items = s->items;

	if (++s->attempts >= ATTEMPTS_MAX || batch->n + newer.n + 1 > PENDING_BYTES_MAX) {
		s->dropped += (uint64_t)items;
		s->dropped_bytes += batch->n;
		s->attempts = 0;
		buf_done(batch);
		return;
	}
	s->pending = *batch;
	s->items = items;
	if (newer.n) {
		put_record(s, buf_str(&newer));
		s->items = items + newer_items;
	}
	buf_done(&newer);
}

static void arm(struct subscriber *s)
{
	if (s->pending.n && s->timer.deadline == RT_NEVER)
		rt_timer_set(&s->timer, rt_now_coarse() + s->is.timeout_ms * RT_NS_MS);
}

static void send_fiber(void *arg)
{
	struct subscriber *s = arg;
	struct instance *i = s->instance;
	int64_t deadline = rt_after_ms(DELIVERY_MS), items;
	struct buf batch;
	int rc;

	if (s->dropped)
		say_dropped(s);
	batch = s->pending;
	items = s->items;
	buf_init(&s->pending, NULL, PENDING_BYTES_MAX + BYTES_MAX);
	s->items = 0;
	rc = s->is.tcp ? send_lines(s, buf_str(&batch), deadline)
		       : post(s, buf_str(&batch), deadline);
	if (rc < 0) {
		keep_or_drop(s, &batch, items);
	} else {
		s->attempts = 0;
		buf_done(&batch);
	}
	s->sending = false;
	if (!i->ending)
		arm(s);
	instance_let(i);
}

/* The runtime is not there before its extensions have registered: then nothing is frozen either. */
static void deliver(struct subscriber *s)
{
	struct instance *i = s->instance;

	rt_timer_stop(&s->timer);
	if (s->sending || !s->pending.n || i->frozen || !i->container || i->subscribers->stopped)
		return;
	s->sending = true;
	instance_hold(i);
	if (rt_spawn(send_fiber, s) >= 0)
		return;
	s->sending = false;
	instance_let(i);
}

static void on_timer(struct rt_timer *timer)
{
	deliver(container_of(timer, struct subscriber, timer));
}

bool telemetry_flush(struct telemetry *t)
{
	bool any = false;

	for (unsigned i = 0; t && i < t->count; i++) {
		deliver(t->items[i]);
		any |= t->items[i]->sending;
	}
	return any;
}

void telemetry_stop(struct telemetry *t)
{
	if (!t)
		return;
	t->stopped = true;
	for (unsigned i = 0; i < t->count; i++)
		rt_timer_stop(&t->items[i]->timer);
}

/* ---- records ---- */

/* The Logs API has fewer platform events than its successor, and one that this has not. */
static bool wants(const struct subscription *s, enum telemetry_type type, str name)
{
	if (type == TELEMETRY_PLATFORM_OLD)
		return s->logs_api && (s->types & TELEMETRY_PLATFORM);
	if (type == TELEMETRY_PLATFORM && s->logs_api &&
		(str_starts(name, STR("platform.init")) ||
			str_eq(name, STR("platform.telemetrySubscription"))))
		return false;
	return s->types & type;
}

void telemetry_add(
	struct telemetry *t, enum telemetry_type type, int64_t wall_ms, str name, str record)
{
	struct arena a cleanup(arena_done_p) = {0};
	str element = STR_NULL;

	if (!t || t->stopped)
		return;
	arena_init(&a, SIZE_MAX);
	for (unsigned i = 0; i < t->count; i++) {
		struct subscriber *s = t->items[i];

		if (!wants(&s->is, type, name))
			continue;
		if (!element.p)
			element = platform_json(&a, wall_ms, name, record);
		if (s->pending.n + element.n + 1 > PENDING_BYTES_MAX) {
			s->dropped++;
			s->dropped_bytes += element.n;
			continue;
		}
		put_record(s, element);
		if (s->items >= s->is.items_max || (int64_t)s->pending.n >= s->is.bytes_max)
			deliver(s);
		else
			arm(s);
	}
}

/* ---- subscribing ---- */

static const struct telemetry_name {
	str name;
	enum telemetry_type type;
} type_names[] = {
	{STR_INIT("platform"), TELEMETRY_PLATFORM},
	{STR_INIT("function"), TELEMETRY_FUNCTION},
	{STR_INIT("extension"), TELEMETRY_EXTENSION},
};

static int parse_types(const struct json_value *list, unsigned *ret_types, str *ret_why)
{
	unsigned types = 0;

	*ret_why = STR("types should not be empty");
	if (!list || list->kind != JSON_ARRAY || !list->count)
		return ERR_INVALID;
	for (uint32_t i = 0; i < list->count; i++) {
		unsigned before = types;

		for (size_t k = 0; k < ARRAY_SIZE(type_names); k++)
			if (str_eq(json_text(json_at(list, i)), type_names[k].name))
				types |= type_names[k].type;
		*ret_why = STR("types should be platform, function or extension, each once");
		if (types == before)
			return ERR_INVALID;
	}
	*ret_types = types;
	return 0;
}

/* A member of `buffering`, at its default when absent. */
static int parse_number(
	const struct json_value *buffering, str name, int64_t min, int64_t max, int64_t *value)
{
	const struct json_value *v = json_get(buffering, name);

	if (!v)
		return 0;
	return v->kind == JSON_NUMBER && str_to_i64(v->text, value) >= 0 && *value >= min &&
			       *value <= max
		       ? 0
		       : ERR_INVALID;
}

static int parse_buffering(const struct json_value *b, struct subscription *s, str *ret_why)
{
	s->items_max = ITEMS_MAX;
	s->bytes_max = BYTES_MIN;
	s->timeout_ms = TIMEOUT_MS;
	*ret_why = STR("buffering.maxItems should be from 1000 to 10000");
	TRY(parse_number(b, STR("maxItems"), ITEMS_MIN, ITEMS_MAX, &s->items_max));
	*ret_why = STR("buffering.maxBytes should be from 262144 to 1048576");
	TRY(parse_number(b, STR("maxBytes"), BYTES_MIN, BYTES_MAX, &s->bytes_max));
	*ret_why = STR("buffering.timeoutMs should be from 25 to 30000");
	return parse_number(b, STR("timeoutMs"), TIMEOUT_MS_MIN, TIMEOUT_MS_MAX, &s->timeout_ms);
}

/* "http://sandbox.localdomain:PORT/PATH" */
static int parse_uri(str uri, uint64_t *ret_port, struct subscription *s)
{
	str rest = uri, path = STR("/");
	ptrdiff_t slash;

	if (!str_starts(rest, STR("http://")))
		return ERR_INVALID;
	rest = str_from(rest, 7);
	slash = str_find(rest, '/');
	if (slash >= 0) {
		path = str_from(rest, (size_t)slash);
		rest = str_sub(rest, 0, (size_t)slash);
	}
	if (str_starts(rest, STR("sandbox.localdomain:")))
		rest = str_from(rest, 20);
	else if (str_starts(rest, STR("sandbox:")))
		rest = str_from(rest, 8);
	else
		return ERR_INVALID;
	for (size_t i = 0; i < path.n; i++)
		if (path.p[i] <= ' ' || path.p[i] > '~')
			return ERR_INVALID;
	if (path.n > sizeof(s->path))
		return ERR_INVALID;
	memcpy(s->path, path.p, path.n);
	s->path_bytes = path.n;
	return str_to_u64(rest, UINT16_MAX, ret_port);
}

static int parse_destination(const struct json_value *d, struct subscription *s, str *ret_why)
{
	const struct json_value *number = json_get(d, STR("port"));
	str protocol = json_text(json_get(d, STR("protocol")));
	uint64_t port = 0;

	*ret_why = STR("destination.protocol should be HTTP or TCP");
	s->tcp = str_eq(protocol, STR("TCP"));
	if (!s->tcp && !str_eq(protocol, STR("HTTP")))
		return ERR_INVALID;
	*ret_why = STR("destination.URI should be http://sandbox.localdomain:PORT");
	if (!s->tcp)
		TRY(parse_uri(json_text(json_get(d, STR("URI"))), &port, s));
	*ret_why = STR("destination.port should be a free port of the sandbox");
	if (s->tcp && (!number || number->kind != JSON_NUMBER ||
			      str_to_u64(number->text, UINT16_MAX, &port) < 0))
		return ERR_INVALID;
	if (!port || port == LAMBDA_PORT_RUNTIME_API || port == LAMBDA_PORT_ENDPOINT)
		return ERR_INVALID;
	s->port = (uint16_t)port;
	return 0;
}

static int parse_subscription(struct arena *a, str body, struct subscription *s, str *ret_why)
{
	static const str versions[] = {STR_INIT("2020-08-15"), STR_INIT("2021-03-18"),
		STR_INIT("2022-07-01"), STR_INIT("2022-12-13"), STR_INIT("2025-01-29")};
	const struct json_value *version;
	struct json_value *root;
	bool known = false;

	*ret_why = STR("the body should be a JSON object");
	TRY(json_parse(a, body, JSON_DEPTH_DEFAULT, &root, NULL));
	version = json_get(root, STR("schemaVersion"));
	for (size_t i = s->logs_api ? 0 : 2; i < (s->logs_api ? 2 : ARRAY_SIZE(versions)); i++)
		known |= str_eq(json_text(version), versions[i]);
	*ret_why =
		version ? STR("schemaVersion is not supported") : STR("schemaVersion is required");
	if (!known && (version || !s->logs_api))
		return ERR_INVALID;
	TRY(parse_types(json_get(root, STR("types")), &s->types, ret_why));
	TRY(parse_buffering(json_get(root, STR("buffering")), s, ret_why));
	return parse_destination(json_get(root, STR("destination")), s, ret_why);
}

/* A later subscription of the same extension replaces the earlier one. */
static void subscribe(struct instance *i, const struct subscription *wanted)
{
	struct telemetry *t = i->subscribers ? i->subscribers : mem_new(struct telemetry);
	struct subscriber *s;

	i->subscribers = t;
	for (unsigned k = 0; k < t->count; k++)
		if (t->items[k]->is.logs_api == wanted->logs_api &&
			str_eq(name_of(&t->items[k]->is), name_of(wanted))) {
			t->items[k]->is = *wanted;
			return;
		}
	check(t->count < SUBSCRIBERS_MAX);
	s = mem_new(struct subscriber);
	s->instance = i;
	s->is = *wanted;
	buf_init(&s->pending, NULL, PENDING_BYTES_MAX + BYTES_MAX);
	rt_timer_init(&s->timer, on_timer);
	t->items[t->count++] = s;
}

static str types_text(struct arena *a, unsigned types)
{
	struct json_writer w;
	struct buf b;

	buf_init(&b, a, 128);
	json_writer_init(&w, &b);
	json_put_array_begin(&w);
	for (size_t k = 0; k < ARRAY_SIZE(type_names); k++)
		if (types & type_names[k].type)
			json_put_string(&w, type_names[k].name);
	json_put_array_end(&w);
	return buf_str(&b);
}

void telemetry_api(struct http_exchange *x, struct instance *i, bool logs_api)
{
	struct extension *e = extension_of_request(x, i);
	struct subscription wanted = {.logs_api = logs_api};
	str body, why = STR("the body is too large, or did not arrive");

	if (!e)
		return;
	if (x->method != HTTP_METHOD_PUT) {
		runtime_api_error(x, 405, STR("MethodNotAllowed"), STR("Only PUT is allowed."));
		return;
	}
	if (http_body_all(x, BODY_BYTES_MAX, &body) < 0 ||
		parse_subscription(&x->arena, body, &wanted, &why) < 0) {
		runtime_api_error(x, 400, STR("ValidationError"), why);
		return;
	}
	if (i->ending || i->init_ns != INT64_MIN) {
		runtime_api_error(x, 403,
			logs_api ? STR("Logs.SubscriptionClosed")
				 : STR("Telemetry.SubscriptionClosed"),
			STR("Subscriptions are accepted in the init phase only"));
		return;
	}
	memcpy(wanted.name, e->name, e->name_bytes);
	wanted.name_bytes = e->name_bytes;
	subscribe(i, &wanted);
	outcome_say(i, (struct platform_event){.kind = logs_api ? PLATFORM_LOGS_SUBSCRIPTION
								: PLATFORM_TELEMETRY_SUBSCRIPTION,
			       .name = name_of(&wanted),
			       .types = types_text(&x->arena, wanted.types)});
	runtime_api_answer(x, 200, STR("\"OK\""));
}
