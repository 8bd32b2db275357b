/*
 * Client and server together, over the simulated network with many seeds and over real sockets:
 * keep-alive, streaming both ways, limits, drain, servers that close or misbehave.
 */
#include "http/client.h"
#include "rt/sim.h"
#include "rt/tls.h"
#include "test/test.h"

#include <stdio.h>
#include <stdlib.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

enum { CALLS = 25, CLIENTS = 8, BIG = 200000 };

struct world {
	struct http_server *server;
	str address;
	char text[RT_ADDRESS_TEXT];
	unsigned handled, left, failed, done;
	unsigned told;        /* by http_expect() */
	uint64_t told_number; /* the last one */
	struct rt_event all;
	bool faults;
	struct rt_tls *server_tls, *client_tls;
	void (*body)(struct world *w);
};

static char pattern(size_t i)
{
	return (char)('a' + (i * 7 + i / 251) % 26);
}

/* --- the server ------------------------------------------------------------------------ */

static void answer_sum(struct http_exchange *x)
{
	char part[777], text[64];
	uint64_t sum = 0, n = 0;
	int rc;

	while ((rc = http_body_read(x, part, sizeof part)) > 0)
		for (int i = 0; i < rc; i++, n++)
			sum += (unsigned char)part[i] * (n % 17 + 1);
	if (rc != ERR_EOF)
		return;
	rc = snprintf(
		text, sizeof text, "%llu %llu", (unsigned long long)n, (unsigned long long)sum);
	(void)!http_respond(x, 200, NULL, 0, str_of(text, (size_t)rc));
}

static void answer_big(struct http_exchange *x, bool chunked)
{
	char part[5000];
	size_t at = 0;

	if (http_respond_begin(x, 200, NULL, 0, chunked ? -1 : BIG) < 0)
		return;
	while (at < BIG) {
		size_t n = MIN(sizeof part, BIG - at);

		for (size_t i = 0; i < n; i++)
			part[i] = pattern(at + i);
		if (http_respond_write(x, str_of(part, n)) < 0)
			return;
		at += n;
	}
	(void)!http_respond_end(x);
}

static void told(void *arg, uint64_t number)
{
	struct world *w = arg;

	EXPECT(rt_fiber_self() == NULL);
	w->told++;
	w->told_number = number;
}

static void handle(struct http_exchange *x, void *arg)
{
	struct world *w = arg;

	w->handled++;
	if (str_eq(x->path, STR("/sum")))
		answer_sum(x);
	else if (str_eq(x->path, STR("/big")))
		answer_big(x, false);
	else if (str_eq(x->path, STR("/big-chunked")))
		answer_big(x, true);
	else if (str_eq(x->path, STR("/expect"))) {
		http_expect(x, told, w, 6);
		http_expect(x, told, w, 7); /* the last call counts */
		(void)!http_respond(x, 200, NULL, 0, STR("expected"));
	} else if (str_eq(x->path, STR("/slow")))
		(void)!(rt_sleep_until(rt_after_ms(200)) < 0 ||
			http_respond(x, 200, NULL, 0, STR("late")) < 0);
	else
		(void)!http_respond(x, 200, NULL, 0, x->target);
}

/* --- running ------------------------------------------------------------------------------ */

static void run_world(void *arg)
{
	struct world *w = arg;
	struct http_server_options options = {.handler = handle, .arg = w};
	struct rt_listen_options listen = {.address = STR("127.0.0.1:0")};
	struct rt_address address;

	ASSERT_INT(http_server_new(&options, &w->server), 0);
	ASSERT_INT(http_server_listen(w->server, &listen, w->server_tls), 0);
	ASSERT_INT(http_server_address(w->server, 0, &address), 0);
	w->address = rt_address_text(&address, w->text);
	rt_event_init(&w->all);
	w->body(w);
	(void)!http_server_drain(w->server, rt_after_ms(2000));
	http_server_free(w->server);
	rt_stop(rt_self());
}

static void run(struct world *w, uint64_t seed, unsigned resets)
{
	struct rt_sim_options sim = {.resets_per_million = resets};
	struct rt_options options = {
		.mode = seed ? RT_SIMULATED : RT_REAL, .seed = seed, .sim = &sim};
	struct rt *rt;

	ASSERT_INT(rt_new(&options, &rt), 0);
	EXPECT_INT(rt_run(rt, run_world, w), 0);
	rt_free(rt);
}

/* --- calls -------------------------------------------------------------------------------- */

static int call_plain(struct http_client *client, struct world *w, unsigned number)
{
	char target[64];
	int n = snprintf(target, sizeof target, "/plain?n=%u", number);
	struct http_request r = {.address = w->address,
		.secure = w->client_tls != NULL,
		.method = STR("GET"),
		.target = str_of(target, (size_t)n)};
	cleanup(http_call_close_p) struct http_call *call = NULL;
	cleanup(arena_done_p) struct arena arena;
	const struct http_response *response;
	str body;

	arena_init(&arena, 1 << 20);
	TRY(http_call_open(client, &r, rt_after_ms(60000), &call));
	TRY(http_call_response(call, &response));
	TRY(http_call_body(call, &arena, 1000, &body));
	EXPECT_INT(response->status, 200);
	EXPECT_STR(body, r.target);
	return 0;
}

static int call_sum(struct http_client *client, struct world *w, bool streamed, bool chunked)
{
	static char bytes[30000];
	struct http_request r = {.address = w->address,
		.secure = w->client_tls != NULL,
		.method = STR("POST"),
		.target = STR("/sum"),
		.body = streamed ? STR("") : str_of(bytes, sizeof bytes),
		.body_stream = streamed,
		.body_bytes = chunked ? -1 : (int64_t)sizeof bytes};
	cleanup(http_call_close_p) struct http_call *call = NULL;
	cleanup(arena_done_p) struct arena arena;
	const struct http_response *response;
	unsigned long long sum = 0;
	char text[64];
	str body;
	int n;

	for (size_t i = 0; i < sizeof bytes; i++) {
		bytes[i] = pattern(i);
		sum += (unsigned char)bytes[i] * (i % 17 + 1);
	}
	arena_init(&arena, 1 << 20);
	TRY(http_call_open(client, &r, rt_after_ms(60000), &call));
	for (size_t at = 0; streamed && at < sizeof bytes;) {
		size_t part = MIN(1 + (size_t)(rt_random() % 9000), sizeof bytes - at);

		TRY(http_call_write(call, str_of(bytes + at, part)));
		at += part;
	}
	TRY(http_call_response(call, &response));
	TRY(http_call_body(call, &arena, 1000, &body));
	n = snprintf(text, sizeof text, "%zu %llu", sizeof bytes, sum);
	EXPECT_STR(body, str_of(text, (size_t)n));
	return 0;
}

static int call_big(struct http_client *client, struct world *w, bool chunked)
{
	struct http_request r = {.address = w->address,
		.secure = w->client_tls != NULL,
		.method = STR("GET"),
		.target = chunked ? STR("/big-chunked") : STR("/big")};
	cleanup(http_call_close_p) struct http_call *call = NULL;
	const struct http_response *response;
	char part[3001];
	size_t at = 0;
	int rc;

	TRY(http_call_open(client, &r, rt_after_ms(60000), &call));
	TRY(http_call_response(call, &response));
	EXPECT_INT(response->body_bytes, chunked ? -1 : BIG);
	while ((rc = http_call_read(call, part, sizeof part)) > 0)
		for (int i = 0; i < rc; i++, at++)
			if (part[i] != pattern(at)) {
				EXPECT(!"bytes differ");
				return ERR_CORRUPT;
			}
	if (rc != ERR_EOF)
		return rc;
	EXPECT_INT(at, BIG);
	return 0;
}

static void client_fiber(void *arg)
{
	struct world *w = arg;
	struct http_client_options options = {.per_target = 3, .tls = w->client_tls};
	struct http_client *client;

	ASSERT_INT(http_client_new(&options, &client), 0);
	for (unsigned i = 0; i < CALLS; i++) {
		int rc = 0;

		switch (rt_random() % 6) {
		case 0: rc = call_sum(client, w, false, false); break;
		case 1: rc = call_sum(client, w, true, false); break;
		case 2: rc = call_sum(client, w, true, true); break;
		case 3: rc = call_big(client, w, false); break;
		case 4: rc = call_big(client, w, true); break;
		default: rc = call_plain(client, w, i); break;
		}
		if (!w->faults)
			EXPECT_INT(rc, 0);
		w->failed += rc < 0;
		w->done++;
	}
	http_client_free(client);
	if (--w->left == 0)
		rt_event_set(&w->all);
}

static void many_clients(struct world *w)
{
	w->left = CLIENTS;
	for (int i = 0; i < CLIENTS; i++)
		EXPECT_INT(rt_spawn(client_fiber, w), 0);
	EXPECT_INT(rt_event_wait(&w->all, RT_NEVER), 0);
}

TEST(http_client, many_simulated)
{
	for (uint64_t seed = 1; seed <= test_number("SEEDS", 5); seed++) {
		struct world w = {.body = many_clients};

		run(&w, seed, 0);
		EXPECT_INT(w.failed, 0);
		EXPECT_INT(w.done, CALLS * CLIENTS);
		EXPECT_INT(w.handled, CALLS * CLIENTS);
	}
}

TEST(http_client, many_with_resets)
{
	unsigned failed = 0, done = 0;

	for (uint64_t seed = 1; seed <= test_number("SEEDS", 5); seed++) {
		struct world w = {.body = many_clients, .faults = true};

		run(&w, seed, 3000);
		EXPECT_INT(w.done, CALLS * CLIENTS);
		failed += w.failed;
		done += w.done;
	}
	EXPECT(failed > 0 && failed < done);
}

TEST(http_client, many_real)
{
	struct world w = {.body = many_clients};

	run(&w, 0, 0);
	EXPECT_INT(w.failed, 0);
	EXPECT_INT(w.handled, CALLS * CLIENTS);
}

/* --- TLS ---------------------------------------------------------------------------------- */

struct pem {
	char certificate[8192], key[8192];
};

/* A certificate for `name`, signed by its own key: P-256 or RSA-2048. */
static void make_certificate(bool rsa, const char *name, struct pem *ret)
{
	EVP_PKEY *key = rsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256");
	X509 *x = X509_new();
	X509_NAME *subject = X509_get_subject_name(x);
	X509_EXTENSION *names;
	BIO *bio;
	int n;

	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	X509_gmtime_adj(X509_getm_notBefore(x), -3600);
	X509_gmtime_adj(X509_getm_notAfter(x), 3600);
	X509_NAME_add_entry_by_txt(
		subject, "CN", MBSTRING_ASC, (const unsigned char *)"test", -1, -1, 0);
	X509_set_issuer_name(x, subject);
	X509_set_pubkey(x, key);
	names = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, name);
	X509_add_ext(x, names, -1);
	X509_EXTENSION_free(names);
	X509_sign(x, key, EVP_sha256());
	bio = BIO_new(BIO_s_mem());
	PEM_write_bio_X509(bio, x);
	n = BIO_read(bio, ret->certificate, sizeof ret->certificate - 1);
	ret->certificate[n] = 0;
	PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL);
	n = BIO_read(bio, ret->key, sizeof ret->key - 1);
	ret->key[n] = 0;
	BIO_free(bio);
	X509_free(x);
	EVP_PKEY_free(key);
}

static void run_tls(bool rsa, uint64_t seed)
{
	struct world w = {.body = many_clients};
	static struct pem pem;

	make_certificate(rsa, "IP:127.0.0.1", &pem);
	ASSERT_INT(rt_tls_server_new(str_c(pem.certificate), str_c(pem.key), &w.server_tls), 0);
	ASSERT_INT(rt_tls_client_new(str_c(pem.certificate), true, &w.client_tls), 0);
	run(&w, seed, 0);
	EXPECT_INT(w.failed, 0);
	EXPECT_INT(w.handled, CALLS * CLIENTS);
	rt_tls_free(w.server_tls);
	rt_tls_free(w.client_tls);
}

TEST(http_tls, many_real_p256)
{
	run_tls(false, 0);
}

TEST(http_tls, many_real_rsa)
{
	run_tls(true, 0);
}

TEST(http_tls, many_simulated)
{
	run_tls(false, 11);
}

static void wrong_names(struct world *w)
{
	struct http_client_options options = {.tls = w->client_tls};
	struct http_client *client;

	ASSERT_INT(http_client_new(&options, &client), 0);
	EXPECT_INT(call_plain(client, w, 1), ERR_TLS);
	EXPECT_INT(w->handled, 0);
	http_client_free(client);
}

TEST(http_tls, certificate_for_another_name)
{
	struct world w = {.body = wrong_names};
	static struct pem pem;

	make_certificate(false, "IP:127.0.0.2", &pem);
	ASSERT_INT(rt_tls_server_new(str_c(pem.certificate), str_c(pem.key), &w.server_tls), 0);
	ASSERT_INT(rt_tls_client_new(str_c(pem.certificate), true, &w.client_tls), 0);
	run(&w, 0, 0);
	rt_tls_free(w.server_tls);
	rt_tls_free(w.client_tls);
}

TEST(http_tls, certificate_of_nobody_known)
{
	struct world w = {.body = wrong_names};
	static struct pem pem, other;

	make_certificate(false, "IP:127.0.0.1", &pem);
	make_certificate(false, "IP:127.0.0.1", &other);
	EXPECT_INT(rt_tls_server_new(str_c(pem.certificate), str_c(other.key), &w.server_tls),
		ERR_TLS);
	EXPECT_INT(rt_tls_server_new(STR("rubbish"), STR("rubbish"), &w.server_tls), ERR_TLS);
	ASSERT_INT(rt_tls_server_new(str_c(pem.certificate), str_c(pem.key), &w.server_tls), 0);
	ASSERT_INT(rt_tls_client_new(str_c(other.certificate), true, &w.client_tls), 0);
	run(&w, 0, 0);
	rt_tls_free(w.server_tls);
	rt_tls_free(w.client_tls);
}

/* --- keep-alive --------------------------------------------------------------------------- */

static void keeps_alive(struct world *w)
{
	struct http_client_options options = {0};
	struct http_server_figures before, f;
	struct http_client *client;
	struct rt_figures figures;

	ASSERT_INT(http_client_new(&options, &client), 0);
	for (unsigned i = 0; i < 10; i++)
		EXPECT_INT(call_plain(client, w, i), 0);
	rt_figures(rt_self(), &figures);
	EXPECT_INT(figures.connections_accepted, 1);
	http_server_figures(w->server, &before);
	EXPECT_INT(before.requests, 10);
	/* After the server closed it, the next call makes a new one. */
	EXPECT_INT(rt_sleep_until(rt_after_ms(200000)), 0);
	http_server_figures(w->server, &f);
	EXPECT_INT(f.connections, 0);
	EXPECT_INT(call_plain(client, w, 11), 0);
	rt_figures(rt_self(), &figures);
	EXPECT_INT(figures.connections_accepted, 2);
	http_client_free(client);
}

TEST(http_client, keep_alive)
{
	struct world w = {.body = keeps_alive};

	run(&w, 1, 0);
}

/* --- what is expected ---------------------------------------------------------------------- */

static void ask(struct rt_stream *s, const char *request)
{
	char answer[1024];

	EXPECT_INT(rt_stream_write(s, str_c(request), rt_after_ms(5000)), 0);
	EXPECT(rt_stream_read(s, answer, sizeof answer, rt_after_ms(5000)) > 0);
}

/* Told by the first bytes of the next request, once, on that connection; not by its end. */
static void expects(struct world *w)
{
	struct rt_stream *s, *other;

	ASSERT_INT(rt_connect(w->address, rt_after_ms(5000), &s), 0);
	ASSERT_INT(rt_connect(w->address, rt_after_ms(5000), &other), 0);
	ask(s, "GET /expect HTTP/1.1\r\nHost: a\r\n\r\n");
	ask(other, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
	EXPECT_INT(w->told, 0);
	EXPECT_INT(rt_stream_write(s, STR("GE"), rt_after_ms(5000)), 0);
	EXPECT_INT(rt_sleep_until(rt_after_ms(100)), 0);
	EXPECT_INT(w->told, 1);
	EXPECT_INT(w->told_number, 7);
	ask(s, "T / HTTP/1.1\r\nHost: a\r\n\r\n");
	ask(s, "GET /expect HTTP/1.1\r\nHost: a\r\n\r\n");
	EXPECT_INT(w->told, 1);
	rt_stream_close(s);
	EXPECT_INT(rt_sleep_until(rt_after_ms(100)), 0);
	EXPECT_INT(w->told, 1);
	rt_stream_close(other);
}

TEST(http_server, expect)
{
	for (uint64_t seed = 0; seed <= 10; seed++) {
		struct world w = {.body = expects};

		run(&w, seed, 0);
	}
}

/* --- drain -------------------------------------------------------------------------------- */

static void slow_call(void *arg)
{
	struct world *w = arg;
	struct http_client_options options = {0};
	struct http_request r = {
		.address = w->address, .method = STR("GET"), .target = STR("/slow")};
	struct http_client *client;
	struct http_call *call;
	const struct http_response *response;

	ASSERT_INT(http_client_new(&options, &client), 0);
	ASSERT_INT(http_call_open(client, &r, rt_after_ms(60000), &call), 0);
	EXPECT_INT(http_call_response(call, &response), 0);
	http_call_close(call);
	http_client_free(client);
	rt_event_set(&w->all);
}

static void drains(struct world *w)
{
	struct rt_stream *idle, *late;
	char c;

	ASSERT_INT(rt_connect(w->address, rt_after_ms(5000), &idle), 0);
	EXPECT_INT(rt_spawn(slow_call, w), 0);
	EXPECT_INT(rt_sleep_until(rt_after_ms(50)), 0);
	EXPECT_INT(http_server_drain(w->server, rt_after_ms(60000)), 0);
	EXPECT_INT(rt_stream_read(idle, &c, 1, rt_after_ms(5000)), ERR_EOF);
	rt_stream_close(idle);
	EXPECT_INT(rt_connect(w->address, rt_after_ms(5000), &late), ERR_REFUSED);
	EXPECT_INT(rt_event_wait(&w->all, rt_after_ms(5000)), 0);
}

TEST(http_server, drain_lets_requests_end)
{
	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct world w = {.body = drains};

		run(&w, seed, 0);
		EXPECT_INT(w.handled, 1);
	}
}

/* --- slow clients ------------------------------------------------------------------------- */

static void slow_heads(struct world *w)
{
	struct rt_stream *s;
	char answer[512];
	int64_t start;
	int n;

	/* One byte a second never completes a head: 408 after 20 s. */
	ASSERT_INT(rt_connect(w->address, rt_after_ms(5000), &s), 0);
	start = rt_now();
	for (int i = 0; i < 60; i++) {
		if (rt_stream_write(s, str_of(i < 4 ? &"GET "[i] : "x", 1), RT_NEVER) < 0)
			break;
		if (rt_stream_wait_readable(s, rt_after_ms(1000)) == 0)
			break;
	}
	EXPECT(rt_now() - start > 19 * RT_NS_S && rt_now() - start < 25 * RT_NS_S);
	n = rt_stream_read(s, answer, 12, rt_after_ms(5000));
	EXPECT(n > 0 && str_starts(STR("HTTP/1.1 408"), str_of(answer, (size_t)n)));
	rt_stream_close(s);
	/* A body that trickles is given up. */
	ASSERT_INT(rt_connect(w->address, rt_after_ms(5000), &s), 0);
	EXPECT_INT(rt_stream_write(s,
			   STR("POST /sum HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n"),
			   RT_NEVER),
		0);
	start = rt_now();
	for (int i = 0; i < 600; i++) {
		if (rt_stream_write(s, STR("x"), RT_NEVER) < 0)
			break;
		if (rt_stream_wait_readable(s, rt_after_ms(1000)) == 0)
			break;
	}
	EXPECT(rt_now() - start > 25 * RT_NS_S && rt_now() - start < 40 * RT_NS_S);
	rt_stream_close(s);
}

TEST(http_server, slow_clients)
{
	struct world w = {.body = slow_heads};

	run(&w, 7, 0);
}

/* --- too many fibers ---------------------------------------------------------------------- */

static void no_fibers(struct world *w)
{
	struct rt_stream *s[20];
	unsigned busy = 0, fine = 0;
	char answer[512];

	for (int i = 0; i < 20; i++) {
		ASSERT_INT(rt_connect(w->address, rt_after_ms(5000), &s[i]), 0);
		EXPECT_INT(rt_stream_write(
				   s[i], STR("GET /slow HTTP/1.1\r\nHost: h\r\n\r\n"), RT_NEVER),
			0);
	}
	for (int i = 0; i < 20; i++) {
		size_t n = 0;
		int rc;

		while (n < 12 &&
			(rc = rt_stream_read(s[i], answer + n, 12 - n, rt_after_ms(5000))) > 0)
			n += (size_t)rc;
		busy += str_eq(str_of(answer, n), STR("HTTP/1.1 503"));
		fine += str_eq(str_of(answer, n), STR("HTTP/1.1 200"));
		rt_stream_close(s[i]);
	}
	EXPECT_INT(busy + fine, 20);
	EXPECT(busy >= 10 && fine >= 5);
}

TEST(http_server, fibers_cap)
{
	struct world w = {.body = no_fibers};
	struct rt_options options = {.mode = RT_SIMULATED, .seed = 3, .fibers_max = 10};
	struct rt *rt;

	ASSERT_INT(rt_new(&options, &rt), 0);
	EXPECT_INT(rt_run(rt, run_world, &w), 0);
	rt_free(rt);
}
