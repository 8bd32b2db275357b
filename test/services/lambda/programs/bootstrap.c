/*
 * A runtime and its functions for the tests of lambda: static, nothing but libc. What it does is
 * the name of the handler:
 *
 *     echo      answers the event              count     how many events this process had
 *     leveled   prints JSON lines of three levels, then echo
 *     print     prints two lines, then echo    env       its environment, one string
 *     error     reports a function error       hang      never answers
 *     opt       what is in /opt/a and /opt/b, and whether /opt can be written
 *     trace     its trace header               nap       sleeps 0.3 s, then echo
 *     exit      exits with 3                   exit0     exits with 0
 *     crash     dies of SIGSEGV                memory    allocates without end
 *     flood     prints without end, answers    wrong     answers for another id, then rightly
 *     large     answers 7 MB                   twice     answers twice
 *     endpoint  GET / at 127.0.0.1:4566        stream    answers in chunks
 *     stream-error  fails behind a part     stream-flood  streams without end
 *     mute      answers, never asks again      connections  opens 2,000 connections to the API
 *     wait      sleeps as many ms as its event, a number, says; then echo
 *     answer:X  answers X
 *     init-error, init-exit, init-hang, init-none: how its start fails
 *     internal  registers an internal extension, then echo
 *
 * As an extension (below /opt/extensions) it prints the events it gets; by its name:
 *     quiet     wants no events             slow      works 0.3 s on each
 *     stuck     never asks again            crash     exits with 5 at the first event
 *     init-crash, init-error, exit-error    how it fails
 *     listen    subscribes to the Telemetry API, and prints what comes to port 8080
 *     lines     the same with the Logs API, by TCP
 *     deaf      subscribes, and does not listen
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BUFFER = 8 * 1024 * 1024 };

static char buffer[BUFFER];
static char id[64], trace[1024], extension_id[64];
static char *body;
static size_t body_bytes;
static int api = -1;

static int dial(int port)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
	int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0) {
		perror("connect");
		exit(90);
	}
	return fd;
}

static void put(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t k = write(fd, p, n);

		if (k <= 0)
			exit(91);
		p += k;
		n -= (size_t)k;
	}
}

/* Reads an answer; its status. Head in buffer, body behind. */
static int answer(int fd)
{
	size_t n = 0, length = 0;
	char *end = NULL, *at;

	for (;;) {
		ssize_t k = read(fd, buffer + n, BUFFER - n - 1);

		if (k <= 0)
			return 0;
		n += (size_t)k;
		buffer[n] = 0;
		if (!end && (end = strstr(buffer, "\r\n\r\n"))) {
			at = strcasestr(buffer, "\ncontent-length:");
			length = at && at < end ? strtoul(at + 16, NULL, 10) : 0;
			body = end + 4;
		}
		if (end && n >= (size_t)(body - buffer) + length)
			break;
	}
	body_bytes = length;
	body[length] = 0;
	at = strcasestr(buffer, "\nlambda-runtime-trace-id: ");
	if (at && at < end)
		snprintf(trace, sizeof(trace), "%.*s", (int)strcspn(at + 26, "\r"), at + 26);
	at = strcasestr(buffer, "\nlambda-extension-identifier:");
	if (at && at < end)
		sscanf(at + 29, " %40[0-9a-f-]", extension_id);
	at = strcasestr(buffer, "\nlambda-runtime-aws-request-id:");
	if (at)
		sscanf(at + 31, " %40[0-9a-f-]", id);
	return (int)strtol(buffer + 9, NULL, 10);
}

static int post(const char *path, const char *headers, const char *p, size_t n)
{
	char head[4096];
	int k = snprintf(head, sizeof(head),
		"POST /2018-06-01/runtime/%s HTTP/1.1\r\nHost: x\r\n%sContent-Length: %zu\r\n\r\n",
		path, headers, n);

	/* One packet, as runtimes' HTTP clients do it. */
	if (n <= sizeof(head) - (size_t)k) {
		memcpy(head + k, p, n);
		put(api, head, (size_t)k + n);
		return answer(api);
	}
	put(api, head, (size_t)k);
	put(api, p, n);
	return answer(api);
}

static void next(void)
{
	static const char request[] =
		"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\n\r\n";

	put(api, request, sizeof(request) - 1);
	if (answer(api) != 200)
		exit(92);
}

static int respond(const char *for_id, const char *p, size_t n)
{
	char path[128];

	snprintf(path, sizeof(path), "invocation/%s/response", for_id);
	return post(path, "", p, n);
}

static void say(const char *format, ...)
{
	char text[2048];
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	put(1, text, (size_t)n);
}

static void environment(void)
{
	extern char **environ;
	static char text[65536];
	size_t n = 0;

	text[n++] = '"';
	for (char **e = environ; *e; e++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s;", *e);
	text[n++] = '"';
	respond(id, text, n);
}

/* Answers in parts; `end` follows the second one. */
static void stream(const char *end)
{
	char head[256];
	int n = snprintf(head, sizeof(head),
		"POST /2018-06-01/runtime/invocation/%s/response HTTP/1.1\r\nHost: x\r\n"
		"Lambda-Runtime-Function-Response-Mode: streaming\r\n"
		"Content-Type: text/plain\r\n"
		"Transfer-Encoding: chunked\r\n\r\n",
		id);

	put(api, head, (size_t)n);
	put(api, "5\r\n\"one,\r\n", 10);
	poll(NULL, 0, 20);
	put(api, "4\r\ntwo\"\r\n", 9);
	if (!end)
		for (;;) {
			put(api, "10000\r\n", 7);
			put(api, buffer, 65536);
			put(api, "\r\n", 2);
		}
	put(api, end, strlen(end));
	answer(api);
}

static const char *file_text(const char *path)
{
	static char texts[4][64];
	static unsigned next;
	char *text = texts[next++ % 4];
	int fd = open(path, O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(texts[0]) - 1);

	if (n < 0)
		return "none";
	text[n] = 0;
	close(fd);
	return text;
}

static void work(const char *handler, unsigned count)
{
	static char copy[BUFFER];
	size_t n = body_bytes;

	memcpy(copy, body, n);
	if (!strcmp(handler, "print")) {
		say("first line\nsecond");
		say(" line\n");
		say("without end");
	} else if (!strcmp(handler, "leveled")) {
		say("{\"level\":\"debug\",\"message\":\"much\"}\n");
		say("{\"level\":\"WARN\",\"message\":\"little\"}\n");
		say("plain\n");
	} else if (!strcmp(handler, "count")) {
		n = (size_t)snprintf(copy, sizeof(copy), "%u", count);
	} else if (!strcmp(handler, "error")) {
		char path[128];
		static const char text[] = "{\"errorType\":\"Odd\",\"errorMessage\":\"it is odd\"}";

		snprintf(path, sizeof(path), "invocation/%s/error", id);
		post(path, "Lambda-Runtime-Function-Error-Type: Odd\r\n", text, sizeof(text) - 1);
		return;
	} else if (!strcmp(handler, "hang")) {
		for (;;)
			pause();
	} else if (!strcmp(handler, "opt")) {
		n = (size_t)snprintf(copy, sizeof(copy), "\"%s,%s,%s\"", file_text("/opt/a"),
			file_text("/opt/b"),
			open("/opt/c", O_CREAT | O_WRONLY, 0644) < 0 ? "ro" : "rw");
	} else if (!strcmp(handler, "trace")) {
		n = (size_t)snprintf(copy, sizeof(copy), "\"%s\"", trace);
	} else if (!strcmp(handler, "nap")) {
		poll(NULL, 0, 300);
	} else if (!strcmp(handler, "wait")) {
		poll(NULL, 0, (int)strtol(body, NULL, 10));
	} else if (!strcmp(handler, "exit")) {
		exit(3);
	} else if (!strcmp(handler, "exit0")) {
		exit(0);
	} else if (!strcmp(handler, "crash")) {
		signal(SIGSEGV, SIG_DFL);
		raise(SIGSEGV);
	} else if (!strcmp(handler, "memory")) {
		for (;;)
			memset(malloc(1 << 20), 1, 1 << 20);
	} else if (!strcmp(handler, "flood")) {
		memset(copy, 'x', 65536);
		for (size_t i = 79; i < 65536; i += 80)
			copy[i] = '\n';
		for (int i = 0; i < 1000; i++)
			put(1, copy, 65536);
		n = (size_t)snprintf(copy, sizeof(copy), "\"flooded\"");
	} else if (!strcmp(handler, "wrong")) {
		int status = respond("00000000-0000-4000-8000-000000000000", "{}", 2);

		n = (size_t)snprintf(copy, sizeof(copy), "%d", status);
	} else if (!strcmp(handler, "large")) {
		memset(copy, 'x', 7000000);
		copy[0] = copy[6999999] = '"';
		n = 7000000;
	} else if (!strcmp(handler, "twice")) {
		respond(id, copy, n);
		if (respond(id, "\"second\"", 8) == 403)
			say("the second was refused\n");
		return;
	} else if (!strcmp(handler, "env")) {
		environment();
		return;
	} else if (!strcmp(handler, "stream")) {
		stream("0\r\n\r\n");
		return;
	} else if (!strcmp(handler, "stream-error")) {
		stream("0\r\nLambda-Runtime-Function-Error-Type: Late\r\n"
		       "Lambda-Runtime-Function-Error-Body: "
		       "eyJlcnJvclR5cGUiOiJMYXRlIn0=\r\n\r\n");
		return;
	} else if (!strcmp(handler, "stream-flood")) {
		stream(NULL);
	} else if (!strcmp(handler, "endpoint")) {
		int fd = dial(4566);

		put(fd, "GET /who HTTP/1.1\r\nHost: localhost:4566\r\n\r\n", 43);
		answer(fd);
		n = (size_t)snprintf(copy, sizeof(copy), "\"%s\"", body);
		close(fd);
	} else if (!strncmp(handler, "answer:", 7)) {
		n = (size_t)snprintf(copy, sizeof(copy), "%s", handler + 7);
	} else if (!strcmp(handler, "connections")) {
		for (int i = 0; i < 900; i++)
			dial(9001);
	}
	respond(id, copy, n);
	if (!strcmp(handler, "mute"))
		for (;;)
			pause();
}

/* ---- as an extension ---- */

/* A request of the Extensions API: its status. */
static int extension_call(const char *method, const char *path, const char *headers, const char *p)
{
	char head[1024];
	int n = snprintf(head, sizeof(head),
		"%s /2020-01-01/extension/%s HTTP/1.1\r\nHost: x\r\n%s"
		"Lambda-Extension-Identifier: %s\r\nContent-Length: %zu\r\n\r\n%s",
		method, path, headers, extension_id, strlen(p), p);

	put(api, head, (size_t)n);
	return answer(api);
}

static int register_as(const char *name, const char *events)
{
	char headers[256];

	snprintf(headers, sizeof(headers),
		"Lambda-Extension-Name: %s\r\nLambda-Extension-Accept-Feature: accountId\r\n",
		name);
	return extension_call("POST", "register", headers, events);
}

/* A PUT of the Telemetry API (or the Logs API): its status. */
static int subscribe(const char *path, const char *text)
{
	char head[1024];
	int n = snprintf(head, sizeof(head),
		"PUT %s HTTP/1.1\r\nHost: x\r\nLambda-Extension-Identifier: %s\r\n"
		"Content-Length: %zu\r\n\r\n%s",
		path, extension_id, strlen(text), text);

	put(api, head, (size_t)n);
	return answer(api);
}

static void try_subscriptions(void)
{
#define VERSION "{\"schemaVersion\":\"2022-12-13\","
	static const char *const texts[] = {"[", "{}",
		VERSION "\"types\":[],\"destination\":{\"protocol\":\"HTTP\",\"URI\":"
			"\"http://sandbox.localdomain:8080\"}}",
		VERSION "\"types\":[\"platform\"],\"buffering\":{\"maxItems\":999},"
			"\"destination\":{\"protocol\":\"HTTP\",\"URI\":"
			"\"http://sandbox.localdomain:8080\"}}",
		VERSION "\"types\":[\"platform\"],\"destination\":{\"protocol\":\"HTTP\","
			"\"URI\":\"http://example.com:8080\"}}",
		VERSION "\"types\":[\"platform\"],\"destination\":{\"protocol\":\"HTTP\","
			"\"URI\":\"http://sandbox.localdomain:9001\"}}",
		"{\"types\":[\"platform\"],\"destination\":{\"protocol\":\"HTTP\",\"URI\":"
		"\"http://sandbox.localdomain:8080\"}}",
		"{\"types\":[\"platform\"],\"schemaVersion\":\"1999-01-01\",\"destination\":{"
		"\"protocol\":\"HTTP\",\"URI\":\"http://sandbox.localdomain:8080\"}}"};

	for (unsigned i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		int status = subscribe("/2022-07-01/telemetry", texts[i]);

		say("subscription %u: %d %s\n", i, status, body);
	}
#undef VERSION
}

/* Prints all that comes to the port, each time behind "got: ". */
static void receive_all(bool http)
{
	static char in[1 << 20];
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(8080)};
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	if (bind(listener, (struct sockaddr *)&at, sizeof(at)) != 0 || listen(listener, 8) != 0)
		exit(96);
	if (fork() != 0)
		return;
	for (;;) {
		int fd = accept(listener, NULL, NULL);
		ssize_t n;

		while ((n = read(fd, in, sizeof(in))) > 0) {
			put(1, "got: ", 5);
			put(1, in, (size_t)n);
			put(1, "\n", 1);
			if (http && in[n - 1] == ']')
				put(fd, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 38);
		}
		close(fd);
	}
}

static int extension_main(const char *name)
{
	static const char why[] = "Lambda-Extension-Function-Error-Type: Extension.Odd\r\n";
	bool quiet = !strcmp(name, "quiet");

	if (!strcmp(name, "init-crash"))
		return 4;
	api = dial(9001);
	if (register_as(name,
		    quiet ? "{\"events\":[]}" : "{\"events\":[\"INVOKE\",\"SHUTDOWN\"]}") != 200)
		return say("%s refused: %s\n", name, body), 94;
	say("%s: %s, handler %s\n", name, body, getenv("_HANDLER") ? "known" : "unknown");
	if (!strcmp(name, "listen")) {
		try_subscriptions();
		receive_all(true);
		say("subscribed: %d\n",
			subscribe("/2022-07-01/telemetry",
				"{\"schemaVersion\":\"2022-12-13\",\"types\":[\"platform\","
				"\"function\"],\"buffering\":{\"timeoutMs\":25},\"destination\":{"
				"\"protocol\":\"HTTP\",\"URI\":\"http://sandbox.localdomain:8080/"
				"a\"}}"));
	} else if (!strcmp(name, "lines")) {
		receive_all(false);
		say("subscribed: %d\n",
			subscribe("/2020-08-15/logs",
				"{\"types\":[\"platform\",\"function\"],\"buffering\":{"
				"\"timeoutMs\":25},\"destination\":{\"protocol\":\"TCP\",\"port\":"
				"8080}}"));
	} else if (!strcmp(name, "deaf")) {
		say("subscribed: %d\n", subscribe("/2022-07-01/telemetry",
						"{\"schemaVersion\":\"2022-07-01\",\"types\":["
						"\"extension\"],\"destination\":{"
						"\"protocol\":\"HTTP\",\"URI\":\"http://"
						"sandbox.localdomain:8080\"}}"));
	}
	if (!strcmp(name, "init-error")) {
		say("said so: %d\n", extension_call("POST", "init/error", why, "{}"));
		return 1;
	}
	for (;;) {
		if (extension_call("GET", "event/next", "", "") != 200)
			return 95;
		say("%s: %s\n", name, body);
		if (strstr(body, "SHUTDOWN"))
			return 0;
		if (!strcmp(name, "crash"))
			return 5;
		if (!strcmp(name, "exit-error")) {
			extension_call("POST", "exit/error", why, "{}");
			return 1;
		}
		if (!strcmp(name, "slow")) {
			poll(NULL, 0, 300);
			say("slow: done\n");
		}
		while (!strcmp(name, "stuck"))
			pause();
	}
}

/* In a process of its own, as a thread would do it; the parent goes on when it has registered. */
static void internal_extension(void)
{
	int told[2];
	char c;

	if (pipe(told) != 0 || fork() != 0) {
		close(told[1]);
		(void)!read(told[0], &c, 1);
		return;
	}
	api = dial(9001);
	say("with shutdown: %d\n", register_as("within", "{\"events\":[\"SHUTDOWN\"]}"));
	say("bad event: %d\n", register_as("within", "{\"events\":[\"REST\"]}"));
	say("bad body: %d\n", register_as("within", "[]"));
	say("no name: %d\n", register_as("", "{\"events\":[]}"));
	say("within: %d\n", register_as("within", "{\"events\":[\"INVOKE\"]}"));
	say("again: %d\n", register_as("within", "{\"events\":[\"INVOKE\"]}"));
	close(told[1]);
	while (extension_call("GET", "event/next", "", "") == 200)
		say("within: %s\n", body);
	_exit(0);
}

int main(int argc, char **argv)
{
	const char *handler = getenv("_HANDLER");

	if (argc > 0 && !strncmp(argv[0], "/opt/extensions/", 16))
		return extension_main(argv[0] + 16);
	if (!handler)
		return 93;
	if (!strcmp(handler, "init-exit"))
		return 4;
	if (!strcmp(handler, "init-hang"))
		for (;;)
			pause();
	if (!strcmp(handler, "internal"))
		internal_extension();
	api = dial(9001);
	if (!strcmp(handler, "init-error")) {
		static const char text[] = "{\"errorType\":\"Runtime.ImportModuleError\","
					   "\"errorMessage\":\"no index\"}";

		say("it cannot start\n");
		post("init/error",
			"Lambda-Runtime-Function-Error-Type: Runtime.ImportModuleError\r\n", text,
			sizeof(text) - 1);
		return 1;
	}
	for (unsigned count = 1;; count++) {
		next();
		work(handler, count);
	}
}
