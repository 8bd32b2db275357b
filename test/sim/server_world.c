/*
 * Building the server in the simulation, and the clients' side of HTTP.
 */
#include "test/sim/server_world.h"

#include "aws/sigv4.h"
#include "base/check.h"
#include "base/mem.h"
#include "base/rc.h"
#include "http/client.h"
#include "kv/kv.h"
#include "server/node.h"
#include "server/options.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BODY_MAX = 1 << 20, CALL_MS = 60 * 1000, STOP_MS = 20 * 1000, HEADERS = 8 };

struct life {
	struct node *node;
	struct options options;
	struct arena arena;
	unsigned number;
};

static const uint8_t url_key[32] = {7};

static void *make(struct world *w)
{
	static const char *const argv[] = {"--listen", SERVER_ADDRESS, "--pool", "0", NULL};
	struct life *l = mem_new(struct life);
	struct node_options node = {.options = &l->options,
		.loopback = true,
		.url_key = url_key,
		.random = rt_random_bytes};
	str message;

	if (!w->folder[0]) {
		snprintf(w->folder, sizeof w->folder, "/tmp/cirrus-sim-XXXXXX");
		check(mkdtemp(w->folder) != NULL);
	}
	node.data_folder = w->folder;
	arena_init(&l->arena, 1 << 20);
	check(options_parse(&l->arena, argv, (const char *const[]){NULL}, &l->options, &message) ==
		0);
	check(node_new(w->rt, &node, &l->node) == 0);
	return l;
}

/* The start itself may meet a fault: then it is tried again, as the supervisor does. */
static void live(struct world *w, void *life)
{
	struct life *l = life;
	struct rt_listen_options listen = {.address = STR(SERVER_ADDRESS)};
	struct kv_fault_options quiet = {.no_delay = true}, faults = world_faults(w);

	kv_fault_set(w->kv, &quiet);
	check(node_open_sandbox(l->node, -1) == 0);
	check(node_start(l->node, w->kv) == 0);
	kv_fault_set(w->kv, &faults);
	check(node_listen(l->node, &listen) == 0);
}

static void die(struct world *w unused_arg, void *life)
{
	struct life *l = life;
	int cut = node_drain(l->node, rt_now());

	check(cut >= 0);
	node_stop(l->node, rt_after_ms(STOP_MS));
}

static int remove_entry(const char *path, const struct stat *st unused_arg, int kind unused_arg,
	struct FTW *at unused_arg)
{
	return remove(path);
}

static void free_life(void *life)
{
	struct life *l = life;

	node_free(l->node);
	arena_done(&l->arena);
	mem_free(l);
}

static void end(struct world *w)
{
	check(nftw(w->folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS) == 0);
}

const struct world_kind world_server = {.loops = 2,
	.resets_per_million = 3000,
	.make = make,
	.live = live,
	.die = die,
	.free = free_life,
	.end = end};

/* ---- clients ---- */

struct http_client *server_client(void)
{
	struct http_client *client;

	check(http_client_new(&(struct http_client_options){0}, &client) == 0);
	return client;
}

void server_client_free_p(struct http_client **client)
{
	http_client_free(*client);
}

static mayyield int exchange(struct http_client *client, const struct http_request *request,
	struct arena *a, struct answer *ret_answer)
{
	struct http_call *call cleanup(http_call_close_p) = NULL;
	const struct http_response *response;
	struct answer answer;

	TRY(http_call_open(client, request, rt_after_ms(CALL_MS), &call));
	TRY(http_call_response(call, &response));
	answer.status = response->status;
	TRY(http_call_body(call, a, BODY_MAX, &answer.body));
	*ret_answer = answer;
	return 0;
}

struct answer server_send(struct world *w, struct http_client *client, struct arena *a,
	const struct server_call *call)
{
	struct http_header headers[HEADERS] = {{.name = STR("Host"), .value = STR(SERVER_ADDRESS)}};
	struct http_request request = {.address = STR(SERVER_ADDRESS),
		.method = str_c(call->method),
		.target = str_c(call->path),
		.body = call->body};
	struct sigv4_request signing = {.method = request.method,
		.path = request.target,
		.query = STR_NULL,
		.header_count = 1,
		.headers = headers};
	struct answer answer = {0};
	int rc;

	if (call->target)
		headers[signing.header_count++] = (struct http_header){
			.name = STR("X-Amz-Target"), .value = str_c(call->target)};
	if (call->by.access_key.n)
		world_sign(a, &call->by, &signing, headers, call->body);
	headers[signing.header_count++] = (struct http_header){.name = STR("Content-Type"),
		.value = str_c(
			call->content_type ? call->content_type : "application/x-amz-json-1.0")};
	request.headers = headers + 1; /* the client writes Host */
	request.header_count = signing.header_count - 1;
	rc = exchange(client, &request, a, &answer);
	w->requests++;
	w->trace = (w->trace ^ answer.status ^ (unsigned)-rc) * 0x9e3779b97f4a7c15;
	return rc < 0 ? (struct answer){0} : answer;
}
