/*
 * Building the world, signing requests, counting failures.
 */
#include "test/sim/world.h"

#include "aws/sigv4.h"
#include "base/check.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/time.h"
#include "kv/kv.h"
#include "rt/sim.h"
#include "services/dynamodb/dynamodb.h"

#include <stdarg.h>
#include <stdio.h>

static int64_t wall_ms(void)
{
	return rt_wall() / RT_NS_MS;
}

void world_fail(struct world *w, const char *format, ...)
{
	va_list args;

	w->failures++;
	fprintf(stderr, "seed %llu: ", (unsigned long long)w->seed);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
}

void world_client(struct world *w, rt_fiber_fn *fn, void *arg)
{
	w->clients++;
	check(rt_spawn(fn, arg) == 0);
}

void world_client_end(struct world *w)
{
	if (--w->clients == 0)
		rt_event_set(&w->clients_ended);
}

void world_wait_clients(struct world *w)
{
	if (w->clients)
		rt_event_wait_sure(&w->clients_ended);
}

void world_calm(struct world *w)
{
	kv_fault_set(w->kv, &(struct kv_fault_options){.no_delay = true});
}

static int give_body(void *arg, size_t max, str *ret_body)
{
	const str *body = arg;

	if (body->n > max)
		return ERR_TOO_LARGE;
	*ret_body = *body;
	return 0;
}

static str amz_date(struct arena *a)
{
	struct buf b;

	buf_init(&b, a, 64);
	time_put_amz(&b, wall_ms());
	return buf_str(&b);
}

/* Adds the Authorization header, as a client of key test/test would. */
static void sign(struct arena *a, struct gate_request *r, struct http_header *headers, str body)
{
	struct sigv4_request q = {.method = r->method,
		.path = r->path,
		.query = r->query,
		.headers = headers,
		.header_count = r->header_count};
	struct sigv4_auth auth = {.access_key = STR("test"),
		.region = STR("us-east-1"),
		.service = STR("dynamodb"),
		.signed_headers = STR("host;x-amz-date;x-amz-target"),
		.timestamp = headers[1].value};
	uint8_t digest[SHA256_BYTES];
	char hex[SHA256_BYTES * 2];
	struct sigv4_error error;
	struct hmac_key key;
	str text;

	auth.date = str_sub(auth.timestamp, 0, 8);
	auth.scope = arena_printf(a, "%.*s/us-east-1/dynamodb/aws4_request", STR_ARG(auth.date));
	sha256_of(body, digest);
	hex_encode(digest, sizeof digest, hex);
	check(sigv4_canonical_request(a, &q, &auth, str_of(hex, sizeof hex), &text, &error) == 0);
	text = sigv4_string_to_sign(a, &auth, text);
	sigv4_derive_key(STR("test"), auth.date, auth.region, auth.service, &key);
	hmac_sha256(&key, text, digest);
	hex_encode(digest, sizeof digest, hex);
	headers[r->header_count++] = (struct http_header){.name = STR("Authorization"),
		.value = arena_printf(a,
			"AWS4-HMAC-SHA256 Credential=test/%.*s, SignedHeaders=%.*s, Signature=%.*s",
			STR_ARG(auth.scope), STR_ARG(auth.signed_headers), (int)sizeof hex, hex)};
}

static mayyield struct answer send_request(
	struct world *w, struct arena *a, const char *target, const char *operation, str body)
{
	static const struct gate_trust trust = {.loopback = true};
	struct gate_response response = {0};
	struct http_header headers[4] = {{.name = STR("Host"), .value = STR("localhost:4566")},
		{.name = STR("X-Amz-Date"), .value = amz_date(a)},
		{.name = STR("X-Amz-Target"),
			.value = arena_printf(a, "%s_20120810.%s", target, operation)}};
	struct gate_request request = {.method = STR("POST"),
		.path = STR("/"),
		.query = STR_NULL,
		.headers = headers,
		.header_count = 3,
		.peer = STR("127.0.0.1"),
		.trust = &trust,
		.body = give_body,
		.body_arg = &body,
		.body_length = body.n};

	struct answer answer = {0};
	int rc;

	if (w->down) {
		rc = rt_sleep_until(rt_after_ms(2)); /* nobody listens */
		(void)rc;
		return answer;
	}
	sign(a, &request, headers, body);
	w->inside++;
	gate_handle(w->gate, a, &request, &response);
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

static struct kv_fault_options faults_of(const struct world *w)
{
	return (struct kv_fault_options){.seed = w->seed,
		.conflict_per_mille = w->seed % 3 == 0 ? 100 : 0,
		.scan_conflict_per_mille = w->seed % 5 == 0 ? 50 : 0,
		.error_per_mille = w->seed % 4 == 0 ? 20 : 0};
}

/* Starts the life that it is now. */
static mayyield void live(struct world *w)
{
	struct dynamodb *d = w->lives[w->life];
	struct gate_options options = {.auth = GATE_OPEN,
		.region_default = STR("us-east-1"),
		.wall_ms = wall_ms,
		.monotonic_ns = rt_now,
		.random = rt_random_bytes};

	check(dynamodb_start(d, w->kv) == 0);
	w->gate = gate_new(&options, &w->ports[w->life]);
	gate_register(w->gate, dynamodb_service(d));
	gate_register(w->gate, dynamodb_streams_service(d));
}

void world_crash(struct world *w)
{
	struct kv_fault_options faults = faults_of(w);

	check(w->life + 1 < WORLD_LIVES);
	w->down = true;
	/* Some of what is on its way arrives, and its answer is lost; then nothing arrives. */
	faults.error_per_mille = 700;
	kv_fault_set(w->kv, &faults);
	while (w->inside)
		rt_event_wait_sure(&w->emptied);
	faults.error_per_mille = 1000;
	kv_fault_set(w->kv, &faults);
	dynamodb_stop(w->lives[w->life]);
	gate_free(w->gate);
	w->life++;
	faults = faults_of(w);
	kv_fault_set(w->kv, &faults);
	live(w);
	w->down = false;
}

struct start {
	struct world *world;
	world_workload *workload;
};

static void run(void *arg)
{
	struct start *start = arg;
	struct world *w = start->world;
	struct kv_fault_options faults = faults_of(w);
	struct kv *memory;

	check(kv_open_memory(&(struct kv_memory_options){.seed = w->seed | 1}, &memory) == 0);
	check(kv_open_fault(memory, &faults, &w->kv) == 0);
	rt_event_init(&w->emptied);
	live(w);
	rt_event_init(&w->clients_ended);
	start->workload(w);
	world_calm(w);
	dynamodb_stop(w->lives[w->life]);
	kv_close(w->kv);
	rt_stop(w->rt);
}

unsigned world_run(uint64_t seed, world_workload *workload, uint64_t *ret_trace)
{
	struct world w = {.seed = seed};
	struct start start = {&w, workload};
	struct rt_options options = {.mode = RT_SIMULATED, .loops = 1, .seed = seed};
	int rc;

	check(rt_new(&options, &w.rt) == 0);
	for (unsigned i = 0; i < WORLD_LIVES; i++)
		w.lives[i] = dynamodb_new(w.rt);
	rc = rt_run(w.rt, run, &start);
	if (rc < 0)
		world_fail(&w, "the simulation ended with %s", rc_name(rc));
	gate_free(w.gate);
	for (unsigned i = 0; i < WORLD_LIVES; i++)
		dynamodb_free(w.lives[i]);
	*ret_trace = w.trace ^ rt_sim_trace(w.rt);
	rt_free(w.rt);
	return w.failures;
}
