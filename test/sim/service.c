/*
 * The kind "service": DynamoDB behind the gate, called in process.
 */
#include "test/sim/world.h"

#include "aws/gate.h"
#include "aws/sigv4.h"
#include "base/check.h"
#include "base/mem.h"
#include "base/rc.h"
#include "services/dynamodb/dynamodb.h"

struct life {
	struct ports ports;
	struct gate *gate;
	struct dynamodb *dynamodb;
};

static int64_t wall_ms(void)
{
	return rt_wall() / RT_NS_MS;
}

static int give_body(void *arg, size_t max, str *ret_body)
{
	const str *body = arg;

	if (body->n > max)
		return ERR_TOO_LARGE;
	*ret_body = *body;
	return 0;
}

static mayyield struct answer send_request(
	struct world *w, struct arena *a, const char *target, const char *operation, str body)
{
	static const struct gate_trust trust = {.loopback = true};
	struct gate_response response = {0};
	static const struct world_signature by = {
		STR_INIT("test"), STR_INIT("test"), STR_INIT("dynamodb")};
	struct http_header headers[4] = {{.name = STR("Host"), .value = STR("localhost:4566")},
		{.name = STR("X-Amz-Target"),
			.value = arena_printf(a, "%s_20120810.%s", target, operation)}};
	struct gate_request request = {.method = STR("POST"),
		.path = STR("/"),
		.query = STR_NULL,
		.headers = headers,
		.header_count = 2,
		.peer = STR("127.0.0.1"),
		.trust = &trust,
		.body = give_body,
		.body_arg = &body,
		.body_length = body.n};

	struct sigv4_request signing = {.method = request.method,
		.path = request.path,
		.query = request.query,
		.headers = headers,
		.header_count = request.header_count};
	struct answer answer = {0};
	int rc;

	if (w->down) {
		rc = rt_sleep_until(rt_after_ms(2)); /* nobody listens */
		(void)rc;
		return answer;
	}
	world_sign(a, &by, &signing, headers, body);
	request.header_count = signing.header_count;
	w->inside++;
	gate_handle(((struct life *)w->lives[w->life])->gate, a, &request, &response);
	if (--w->inside == 0 && w->down)
		rt_event_set(&w->emptied);
	w->requests++;
	answer = (struct answer){response.status, arena_str(a, response.body)};
	w->trace = (w->trace ^ str_hash(answer.body) ^ answer.status) * 0x9e3779b97f4a7c15;
	return answer;
}

struct answer world_dynamodb(struct world *w, struct arena *a, const char *operation, str body)
{
	return send_request(w, a, "DynamoDB", operation, body);
}

struct answer world_streams(struct world *w, struct arena *a, const char *operation, str body)
{
	return send_request(w, a, "DynamoDBStreams", operation, body);
}

static void *make(struct world *w)
{
	struct life *l = mem_new(struct life);

	l->dynamodb = dynamodb_new(w->rt);
	return l;
}

static void live(struct world *w, void *life)
{
	struct life *l = life;
	struct gate_options options = {.auth = GATE_OPEN,
		.region_default = STR("us-east-1"),
		.wall_ms = wall_ms,
		.monotonic_ns = rt_now,
		.random = rt_random_bytes};

	check(dynamodb_start(l->dynamodb, w->kv) == 0);
	l->gate = gate_new(&options, &l->ports);
	gate_register(l->gate, dynamodb_service(l->dynamodb));
	gate_register(l->gate, dynamodb_streams_service(l->dynamodb));
}

static void die(struct world *w unused_arg, void *life)
{
	struct life *l = life;

	dynamodb_stop(l->dynamodb);
}

static void free_life(void *life)
{
	struct life *l = life;

	gate_free(l->gate);
	dynamodb_free(l->dynamodb);
	mem_free(l);
}

const struct world_kind world_service = {
	.loops = 1, .make = make, .live = live, .die = die, .free = free_life};
