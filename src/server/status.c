/*
 * A blocking HTTP request in a process of its own: no runtime is started for it.
 */
#include "server/status.h"

#include "base/arena.h"
#include "base/buf.h"

#include <netdb.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { ANSWER_MAX = 1 << 20, TIMEOUT_SECONDS = 5 };

/* "http://host:port[/]" -> host and port; false when it is something else. */
static bool split_url(str url, str *ret_host, str *ret_port)
{
	ptrdiff_t colon;

	if (!str_starts(url, STR("http://")))
		return false;
	url = str_from(url, 7);
	if (str_ends(url, STR("/")))
		url.n--;
	colon = str_find_last(url, ':');
	if (colon <= 0)
		return false;
	*ret_host = str_sub(url, 0, (size_t)colon);
	*ret_port = str_from(url, (size_t)colon + 1);
	if (str_starts(*ret_host, STR("[")) && str_ends(*ret_host, STR("]")))
		*ret_host = str_sub(*ret_host, 1, ret_host->n - 2);
	return ret_port->n > 0;
}

static int connect_to(struct arena *a, str host, str port)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
	struct timeval timeout = {.tv_sec = TIMEOUT_SECONDS};
	int fd = -1;

	if (getaddrinfo(arena_c(a, host), arena_c(a, port), &hints, &found) != 0)
		return -1;
	for (struct addrinfo *at = found; at && fd < 0; at = at->ai_next) {
		fd = socket(at->ai_family, at->ai_socktype, 0);
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
		if (fd >= 0 && connect(fd, at->ai_addr, at->ai_addrlen) < 0) {
			close(fd);
			fd = -1;
		}
	}
	freeaddrinfo(found);
	return fd;
}

static str exchange(struct arena *a, int fd, str host)
{
	str request = arena_printf(a,
		"GET /_cirrus/health HTTP/1.1\r\nHost: %.*s\r\nConnection: close\r\n\r\n",
		STR_ARG(host));
	struct buf answer;
	ssize_t n;

	buf_init(&answer, a, ANSWER_MAX);
	if (send(fd, request.p, request.n, MSG_NOSIGNAL) != (ssize_t)request.n)
		return STR_NULL;
	for (;;) {
		char *room = buf_room(&answer, 4096);

		if (!room)
			return STR_NULL;
		n = recv(fd, room, 4096, 0);
		if (n <= 0)
			break;
		answer.n += (size_t)n;
	}
	return n < 0 ? STR_NULL : buf_str(&answer);
}

int status_run(const char *url)
{
	struct arena a cleanup(arena_done_p);
	str host, port, answer;
	ptrdiff_t body;
	int fd;

	arena_init(&a, 8 << 20);
	if (!split_url(str_c(url), &host, &port)) {
		fprintf(stderr, "cirrus status: '%s' is not http://ADDRESS:PORT\n", url);
		return 2;
	}
	fd = connect_to(&a, host, port);
	if (fd < 0) {
		fprintf(stderr, "cirrus status: nothing answers at %s\n", url);
		return 1;
	}
	answer = exchange(&a, fd, host);
	close(fd);
	body = answer.p ? str_find_str(answer, STR("\r\n\r\n")) : -1;
	if (body < 0 || !str_starts(answer, STR("HTTP/1.1 200 "))) {
		fprintf(stderr, "cirrus status: %s does not answer as cirrus does\n", url);
		return 1;
	}
	answer = str_from(answer, (size_t)body + 4);
	printf("%.*s\n", STR_ARG(answer));
	return str_find_str(answer, STR("\"status\":\"ok\"")) >= 0 ? 0 : 1;
}
