/*
 * The floor of the HTTP hot path: a server that answers a constant, to be measured with
 *     wrk -t1 -c64 -d5 http://127.0.0.1:PORT/
 * against nginx `return 200` under the same load. Usage: http_floor [LOOPS [PORT]]; runs until
 * killed.
 */
#include "http/http.h"

#include <stdio.h>
#include <stdlib.h>

static unsigned port = 8080;

static void answer(struct http_exchange *x, void *arg)
{
	static const struct http_header type = {
		STR_INIT("Content-Type"), STR_INIT("text/plain"), HTTP_NAME_CONTENT_TYPE};
	int rc = http_respond(x, 200, &type, 1, STR("hello, world\n"));

	(void)arg;
	(void)rc; /* the client left */
}

static void start(void *arg)
{
	struct http_server_options options = {.handler = answer};
	struct rt_listen_options listen = {0};
	struct http_server *server;
	char address[32];
	int n = snprintf(address, sizeof address, "127.0.0.1:%u", port);

	(void)arg;
	listen.address = str_of(address, (size_t)n);
	if (http_server_new(&options, &server) < 0 ||
		http_server_listen(server, &listen, NULL) < 0) {
		fprintf(stderr, "cannot listen on %s\n", address);
		exit(1);
	}
	printf("listening on %s\n", address);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	struct rt_options options = {.loops = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 1};
	struct rt *rt;

	if (argc > 2)
		port = (unsigned)strtoul(argv[2], NULL, 10);
	if (rt_new(&options, &rt) < 0 || rt_run(rt, start, NULL) < 0)
		return 1;
	rt_free(rt);
	return 0;
}
