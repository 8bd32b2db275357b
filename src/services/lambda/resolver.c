/*
 * Serving questions: see resolver.h. Messages are dns.c's.
 */
#include "services/lambda/resolver.h"

#include "base/check.h"
#include "base/mem.h"
#include "rt/datagram.h"
#include "rt/file.h"
#include "services/lambda/dns.h"
#include "services/lambda/instance.h"
#include "services/lambda/limits.h"
#include "services/lambda/service.h"

#include <pthread.h>
#include <stdio.h>

enum {
	SERVER_MS = 1500, /* for one server; the client inside waits longer than for all */
	CLIENT_MS = 10000,
	STREAM_QUESTIONS_MAX = 64,
	FILE_BYTES_MAX = 64 << 10,
	FRESH_MS = 10000,
	DNS_PORT = 53,
};

struct resolver {
	struct resolver_options options;
	_Atomic(unsigned) forwarding;
	pthread_mutex_t mutex; /* over servers; not held over a suspension */
	struct rt_address servers[DNS_SERVERS_MAX];
	unsigned server_count;
	int64_t read_ns; /* 0: not yet */
};

struct resolver *resolver_new(const struct resolver_options *options)
{
	struct resolver *r = mem_new(struct resolver);

	r->options = *options;
	atomic_init(&r->forwarding, 0);
	pthread_mutex_init(&r->mutex, NULL);
	return r;
}

void resolver_free(struct resolver *r)
{
	if (!r)
		return;
	pthread_mutex_destroy(&r->mutex);
	mem_free(r);
}

/* ---- what we know ---- */

/* Is it the domain, or a name in it? */
static bool is_below(str name, str domain)
{
	return str_ends(name, domain) &&
	       (name.n == domain.n || name.p[name.n - domain.n - 1] == '.');
}

static bool is_own(const struct resolver *r, str name)
{
	static const str builtin[] = {
		STR_INIT("localhost"), STR_INIT("localhost.localstack.cloud")};

	for (size_t i = 0; i < ARRAY_SIZE(builtin); i++)
		if (is_below(name, builtin[i]))
			return true;
	for (unsigned i = 0; i < r->options.suffix_count; i++) {
		str suffix = str_c(r->options.suffixes[i]);

		if (name.n >= suffix.n &&
			str_eq_nocase(str_from(name, name.n - suffix.n), suffix) &&
			(name.n == suffix.n || name.p[name.n - suffix.n - 1] == '.'))
			return true;
	}
	return false;
}

/* The answer's bytes in `to`; 0: somebody else has to be asked; negative: none is due. */
static int answer_here(struct resolver *r, str message, struct dns_question *q, char *to)
{
	static const uint8_t loopback[] = {127, 0, 0, 1};
	uint32_t host = r->options.host_address;
	uint8_t ip[] = {
		(uint8_t)(host >> 24), (uint8_t)(host >> 16), (uint8_t)(host >> 8), (uint8_t)host};
	int rc = dns_read(message, q);

	if (rc == ERR_SYNTAX)
		return (int)dns_answer(q, message, DNS_MALFORMED, NULL, to);
	if (rc < 0)
		return rc;
	if (is_own(r, dns_name(q)))
		return (int)dns_answer(q, message, DNS_OK, q->type == DNS_A ? loopback : NULL, to);
	if (is_below(dns_name(q), STR("cirrus.internal"))) {
		if (!host || !str_eq(dns_name(q), STR(RESOLVER_HOST)))
			return (int)dns_answer(q, message, DNS_NO_NAME, NULL, to);
		return (int)dns_answer(q, message, DNS_OK, q->type == DNS_A ? ip : NULL, to);
	}
	if (!r->options.forward)
		return (int)dns_answer(q, message, DNS_REFUSED, NULL, to);
	return 0;
}

/* ---- whom we ask ---- */

static bool parse_server(str text, struct rt_address *ret_address)
{
	char with_port[RT_ADDRESS_TEXT];
	bool v6 = str_find(text, ':') >= 0;

	if (text.n + 6 > sizeof(with_port))
		return false;
	snprintf(with_port, sizeof(with_port), v6 ? "[%.*s]:%d" : "%.*s:%d", STR_ARG(text),
		DNS_PORT);
	return rt_address_parse(str_c(with_port), ret_address) == 0;
}

static mayyield void read_servers(struct resolver *r)
{
	struct arena a cleanup(arena_done_p) = {0};
	struct rt_address found[DNS_SERVERS_MAX];
	str names[DNS_SERVERS_MAX], text;
	unsigned n = 0, count = 0;

	arena_init(&a, SIZE_MAX);
	if (rt_file_read_all(STR("/etc/resolv.conf"), FILE_BYTES_MAX, &a, &text) == 0)
		count = dns_servers(text, names);
	for (unsigned i = 0; i < count; i++)
		n += parse_server(names[i], &found[n]);
	if (n == 0) /* as resolv.conf(5) has it */
		n = parse_server(STR("127.0.0.1"), &found[0]);
	pthread_mutex_lock(&r->mutex);
	memcpy(r->servers, found, n * sizeof(found[0]));
	r->server_count = n;
	r->read_ns = rt_now();
	pthread_mutex_unlock(&r->mutex);
}

static mayyield unsigned servers_of(struct resolver *r, struct rt_address to[DNS_SERVERS_MAX])
{
	int64_t read_ns;
	unsigned n;

	pthread_mutex_lock(&r->mutex);
	read_ns = r->read_ns;
	pthread_mutex_unlock(&r->mutex);
	if (!read_ns || rt_now() - read_ns > FRESH_MS * RT_NS_MS)
		read_servers(r);
	pthread_mutex_lock(&r->mutex);
	n = r->server_count;
	memcpy(to, r->servers, n * sizeof(to[0]));
	pthread_mutex_unlock(&r->mutex);
	return n;
}

/* ---- UDP ---- */

struct forward {
	struct resolver *resolver;
	struct instance *instance;
	struct rt_address from;
	struct dns_question question;
	size_t bytes;
	char message[DNS_QUESTION_MAX];
};

static bool fits(void *arg, str answer)
{
	const struct forward *f = arg;

	return dns_answers(&f->question, str_of(f->message, f->bytes), answer);
}

/* The answer of the first server that gives one, in `to`: its bytes. */
static mayyield int ask_servers(struct forward *f, char *to)
{
	struct rt_address servers[DNS_SERVERS_MAX];
	unsigned n = servers_of(f->resolver, servers);
	int rc = ERR_NETWORK;

	for (unsigned i = 0; i < n && rc < 0 && rc != ERR_CANCELLED; i++) {
		/* A number that nobody inside knows: who guesses answers must guess it anew. */
		rt_random_bytes(f->message, 2);
		rc = rt_datagram_ask(&servers[i], str_of(f->message, f->bytes), fits, f, to,
			DNS_UDP_MAX, rt_after_ms(SERVER_MS));
		if (rc == ERR_TOO_LARGE)
			rc = (int)dns_truncate(&f->question, to);
	}
	return rc;
}

static void forward_fiber(void *arg)
{
	struct forward *f = arg;
	struct instance *i = f->instance;
	char to[DNS_UDP_MAX];
	int n = ask_servers(f, to);

	if (n < 0)
		n = (int)dns_answer(
			&f->question, str_of(f->message, f->bytes), DNS_FAILED, NULL, to);
	dns_renumber(to, f->question.id);
	/* It may have ended meanwhile. */
	if (i->resolver)
		rt_datagram_give(i->resolver, str_of(to, (size_t)n), &f->from);
	atomic_fetch_sub(&f->resolver->forwarding, 1);
	i->questions--;
	mem_free(f);
	instance_unref(i);
}

static bool forward(struct resolver *r, struct instance *i, const struct rt_address *from,
	const struct dns_question *q, str message)
{
	struct forward *f;

	if (i->questions >= LAMBDA_QUESTIONS_MAX ||
		atomic_load(&r->forwarding) >= LAMBDA_QUESTIONS_ALL_MAX)
		return false;
	f = mem_new(struct forward);
	f->resolver = r;
	f->instance = i;
	f->from = *from;
	f->question = *q;
	f->bytes = message.n;
	memcpy(f->message, message.p, message.n);
	if (rt_spawn(forward_fiber, f) < 0) {
		mem_free(f);
		return false;
	}
	instance_ref(i);
	i->questions++;
	atomic_fetch_add(&r->forwarding, 1);
	return true;
}

static void on_datagram(struct rt_datagrams *d, void *arg)
{
	struct instance *i = check_object(arg, struct instance, INSTANCE_MAGIC);
	struct resolver *r = i->service->resolver;
	char in[DNS_QUESTION_MAX + 1], to[DNS_QUESTION_MAX + 16];
	struct dns_question q;
	struct rt_address from;
	size_t n;

	/* So many at a time: the loop has others. What is left calls again. */
	for (unsigned k = 0; k < LAMBDA_QUESTIONS_MAX; k++) {
		int bytes;

		n = rt_datagram_take(d, in, sizeof(in), &from);
		if (n == 0)
			break;
		if (n > DNS_QUESTION_MAX)
			continue;
		bytes = answer_here(r, str_of(in, n), &q, to);
		if (bytes > 0)
			rt_datagram_give(d, str_of(to, (size_t)bytes), &from);
		else if (bytes == 0)
			(void)!forward(r, i, &from, &q, str_of(in, n));
	}
}

int resolver_serve(
	struct resolver *r, struct instance *i, int fd, struct rt_datagrams **ret_datagrams)
{
	check(i->service->resolver == r);
	return rt_datagrams_adopt(fd, on_datagram, i, ret_datagrams);
}

/* ---- TCP ---- */

struct conversation {
	struct resolver *resolver;
	struct rt_stream *stream;
};

static mayyield int read_exactly(struct rt_stream *s, char *to, size_t n, int64_t deadline)
{
	for (size_t at = 0; at < n;)
		at += (size_t)TRY(rt_stream_read(s, to + at, n - at, deadline));
	return 0;
}

/* A message behind its length, at most `max` bytes: its bytes in `to`. */
static mayyield int read_message(struct rt_stream *s, char *to, size_t max, int64_t deadline)
{
	uint8_t head[2];
	size_t n;

	TRY(read_exactly(s, (char *)head, sizeof(head), deadline));
	n = (size_t)head[0] << 8 | head[1];
	if (n > max)
		return ERR_TOO_LARGE;
	TRY(read_exactly(s, to, n, deadline));
	return (int)n;
}

static mayyield int write_message(struct rt_stream *s, str message, int64_t deadline)
{
	char head[2] = {(char)(message.n >> 8), (char)message.n};

	TRY(rt_stream_write(s, str_of(head, sizeof(head)), deadline));
	return rt_stream_write(s, message, deadline);
}

/* Asks one server; `to` has room for any message. */
static mayyield int ask_by_stream(
	const struct rt_address *server, const struct dns_question *q, str message, char *to)
{
	char text[RT_ADDRESS_TEXT];
	int64_t deadline = rt_after_ms(SERVER_MS);
	struct rt_stream *s;
	int rc;

	TRY(rt_connect(rt_address_text(server, text), deadline, &s));
	rc = write_message(s, message, deadline);
	if (rc == 0)
		rc = read_message(s, to, UINT16_MAX, deadline);
	rt_stream_close(s);
	if (rc >= 0 && !dns_answers(q, message, str_of(to, (size_t)rc)))
		rc = ERR_SYNTAX;
	return rc;
}

static mayyield int pass_on(
	struct resolver *r, struct rt_stream *client, const struct dns_question *q, str message)
{
	struct rt_address servers[DNS_SERVERS_MAX];
	unsigned n = servers_of(r, servers);
	char *to = mem_alloc(UINT16_MAX);
	int rc = ERR_NETWORK;

	for (unsigned i = 0; i < n && rc < 0 && rc != ERR_CANCELLED; i++)
		rc = ask_by_stream(&servers[i], q, message, to);
	if (rc < 0)
		rc = (int)dns_answer(q, message, DNS_FAILED, NULL, to);
	rc = write_message(client, str_of(to, (size_t)rc), rt_after_ms(CLIENT_MS));
	mem_free(to);
	return rc;
}

static mayyield int converse(struct resolver *r, struct rt_stream *s)
{
	for (unsigned k = 0; k < STREAM_QUESTIONS_MAX; k++) {
		char in[DNS_QUESTION_MAX], to[DNS_QUESTION_MAX + 16];
		struct dns_question q;
		int n = TRY(read_message(s, in, sizeof(in), rt_after_ms(CLIENT_MS)));
		str message = str_of(in, (size_t)n);

		n = TRY(answer_here(r, message, &q, to));
		if (n > 0)
			TRY(write_message(s, str_of(to, (size_t)n), rt_after_ms(CLIENT_MS)));
		else
			TRY(pass_on(r, s, &q, message));
	}
	return 0;
}

static void converse_fiber(void *arg)
{
	struct conversation *c = arg;

	(void)!converse(c->resolver, c->stream);
	rt_stream_close(c->stream);
	atomic_fetch_sub(&c->resolver->forwarding, 1);
	mem_free(c);
}

void resolver_take(struct resolver *r, struct rt_stream *stream)
{
	struct conversation *c;

	if (atomic_load(&r->forwarding) >= LAMBDA_QUESTIONS_ALL_MAX) {
		rt_stream_close(stream);
		return;
	}
	c = mem_new(struct conversation);
	c->resolver = r;
	c->stream = stream;
	atomic_fetch_add(&r->forwarding, 1);
	if (rt_spawn(converse_fiber, c) < 0) {
		atomic_fetch_sub(&r->forwarding, 1);
		rt_stream_close(stream);
		mem_free(c);
	}
}
