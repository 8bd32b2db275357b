/*
 * Building worlds, crashing what runs in them, signing requests, counting failures.
 */
#include "test/sim/world.h"

#include "aws/sigv4.h"
#include "base/check.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/time.h"
#include "kv/kv.h"
#include "rt/sim.h"

#include <stdarg.h>
#include <stdio.h>

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

static str amz_date(struct arena *a)
{
	struct buf b;

	buf_init(&b, a, 64);
	time_put_amz(&b, rt_wall() / RT_NS_MS);
	return buf_str(&b);
}

static bool has_target(const struct sigv4_request *r)
{
	for (unsigned i = 0; i < r->header_count; i++)
		if (str_eq(r->headers[i].name, STR("X-Amz-Target")))
			return true;
	return false;
}

void world_sign(struct arena *a, const struct world_signature *by, struct sigv4_request *r,
	struct http_header *headers, str body)
{
	struct sigv4_auth auth = {.access_key = by->access_key,
		.region = STR("us-east-1"),
		.service = by->service,
		.signed_headers = has_target(r) ? STR("host;x-amz-date;x-amz-target")
						: STR("host;x-amz-date"),
		.timestamp = amz_date(a)};
	uint8_t digest[SHA256_BYTES];
	char hex[SHA256_BYTES * 2];
	struct sigv4_error error;
	struct hmac_key key;
	str text;

	headers[r->header_count++] =
		(struct http_header){.name = STR("X-Amz-Date"), .value = auth.timestamp};
	r->headers = headers;
	auth.date = str_sub(auth.timestamp, 0, 8);
	auth.scope = arena_printf(
		a, "%.*s/us-east-1/%.*s/aws4_request", STR_ARG(auth.date), STR_ARG(by->service));
	sha256_of(body, digest);
	hex_encode(digest, sizeof digest, hex);
	check(sigv4_canonical_request(a, r, &auth, str_of(hex, sizeof hex), &text, &error) == 0);
	text = sigv4_string_to_sign(a, &auth, text);
	sigv4_derive_key(by->secret, auth.date, auth.region, auth.service, &key);
	hmac_sha256(&key, text, digest);
	hex_encode(digest, sizeof digest, hex);
	headers[r->header_count++] = (struct http_header){.name = STR("Authorization"),
		.value = arena_printf(a,
			"AWS4-HMAC-SHA256 Credential=%.*s/%.*s, SignedHeaders=%.*s, Signature=%.*s",
			STR_ARG(by->access_key), STR_ARG(auth.scope), STR_ARG(auth.signed_headers),
			(int)sizeof hex, hex)};
}

struct kv_fault_options world_faults(const struct world *w)
{
	return (struct kv_fault_options){.seed = w->seed,
		.conflict_per_mille = w->seed % 3 == 0 ? 100 : 0,
		.scan_conflict_per_mille = w->seed % 5 == 0 ? 50 : 0,
		.error_per_mille = w->seed % 4 == 0 ? 20 : 0};
}

static mayyield void live(struct world *w)
{
	w->kind->live(w, w->lives[w->life]);
}

void world_crash(struct world *w)
{
	struct kv_fault_options faults = world_faults(w);

	check(w->life + 1 < WORLD_LIVES);
	w->down = true;
	/* Some of what is on its way arrives, and its answer is lost; then nothing arrives. */
	faults.error_per_mille = 700;
	kv_fault_set(w->kv, &faults);
	while (w->inside)
		rt_event_wait_sure(&w->emptied);
	faults.error_per_mille = 1000;
	kv_fault_set(w->kv, &faults);
	w->kind->die(w, w->lives[w->life]);
	w->life++;
	faults = world_faults(w);
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
	struct kv_fault_options faults = world_faults(w);
	struct kv *memory;

	check(kv_open_memory(&(struct kv_memory_options){.seed = w->seed | 1}, &memory) == 0);
	check(kv_open_fault(memory, &faults, &w->kv) == 0);
	rt_event_init(&w->emptied);
	live(w);
	rt_event_init(&w->clients_ended);
	start->workload(w);
	world_calm(w);
	w->kind->die(w, w->lives[w->life]);
	kv_close(w->kv);
	rt_stop(w->rt);
}

unsigned world_run(
	uint64_t seed, const struct world_kind *kind, world_workload *workload, uint64_t *ret_trace)
{
	struct world w = {.seed = seed, .kind = kind};
	struct start start = {&w, workload};
	struct rt_sim_options sim = {.resets_per_million = seed % 2 ? kind->resets_per_million : 0};
	struct rt_options options = {
		.mode = RT_SIMULATED, .loops = kind->loops, .seed = seed, .sim = &sim};
	int rc;

	check(rt_new(&options, &w.rt) == 0);
	for (unsigned i = 0; i < WORLD_LIVES; i++)
		w.lives[i] = kind->make(&w);
	rc = rt_run(w.rt, run, &start);
	if (rc < 0)
		world_fail(&w, "the simulation ended with %s", rc_name(rc));
	for (unsigned i = 0; i < WORLD_LIVES; i++)
		kind->free(w.lives[i]);
	if (kind->end)
		kind->end(&w);
	*ret_trace = w.trace ^ rt_sim_trace(w.rt);
	rt_free(w.rt);
	return w.failures;
}
