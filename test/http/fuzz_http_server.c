/*
 * Fuzzes the server's whole request path on a simulated stream: the input is what a client sends,
 * its length the seed that cuts it into reads. Checked: the server answers or closes and nothing is
 * left.
 */
#include "base/check.h"
#include "http/http.h"
#include "rt/sim.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct input_bytes {
	const uint8_t *data;
	size_t n;
};

static void handle(struct http_exchange *x, void *arg)
{
	char part[64];
	str body;

	(void)arg;
	switch (x->path.n % 4) {
	case 0: (void)!(http_body_all(x, 1000, &body) < 0); break;
	case 1:
		while (http_body_read(x, part, sizeof part) > 0)
			;
		break;
	case 2:
		if (http_respond_begin(x, 200, NULL, 0, -1) == 0)
			(void)!(http_respond_write(x, x->path) < 0 || http_respond_end(x) < 0);
		return;
	default: break;
	}
	(void)!http_respond(x, 200, NULL, 0, x->target);
}

static void talk(void *arg)
{
	struct http_server_options options = {
		.handler = handle, .limits = {.head_bytes = 4096, .target_bytes = 1024}};
	struct input_bytes *in = arg;
	struct rt_stream *client, *end;
	struct http_server *server;
	char answer[4096];

	check(http_server_new(&options, &server) == 0);
	check(rt_stream_pair(&client, &end) == 0);
	http_server_take(server, end);
	if (rt_stream_write(client, str_of(in->data, in->n), rt_after_ms(100000)) == 0)
		(void)!rt_stream_shutdown(client);
	while (rt_stream_read(client, answer, sizeof answer, rt_after_ms(200000)) > 0)
		;
	rt_stream_close(client);
	http_server_free(server);
	rt_stop(rt_self());
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct rt_options options = {.mode = RT_SIMULATED, .seed = n};
	struct input_bytes in = {data, n};
	struct rt_figures f;
	struct rt *rt;

	check(rt_new(&options, &rt) == 0);
	check(rt_run(rt, talk, &in) == 0);
	rt_figures(rt, &f);
	check(f.fibers_live == 0 && f.buffers_live == 0);
	rt_free(rt);
	return 0;
}
