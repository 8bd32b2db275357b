/*
 * A blocking client of the launcher, for tests and benchmarks that have no event loop. One request
 * at a time. Ends that arrive while another answer is awaited are kept.
 */
#ifndef TEST_SANDBOX_CLIENT_H
#define TEST_SANDBOX_CLIENT_H

#include "sandbox/launcher.h"
#include "sandbox/wire.h"

struct client {
	int fd;
	pid_t launcher;
	uint64_t next_id;
	struct wire_hello hello;
	int hello_rc;
	struct {
		uint64_t id;
		struct sandbox_exit end;
	} ends[64];
	unsigned end_count;
	struct sandbox_error error;
};

struct client_container {
	uint64_t id;
	int freezer, cpu, memory;
	int listeners[SANDBOX_LISTENS_MAX], pipes[SANDBOX_PIPES_MAX];
	unsigned listener_count, pipe_count;
};

int client_open(struct client *c, const struct launcher_options *options);
/* Waits for the launcher's end; its wait status. */
int client_close(struct client *c);
/* 0, or the launcher's rc with c->error. */
int client_start(
	struct client *c, const struct sandbox_spec *spec, struct client_container *ret_container);
int client_assign(struct client *c, uint64_t id, const struct sandbox_spec *spec);
int client_send(struct client *c, enum wire_kind kind, uint64_t id, int value);
int client_wait(struct client *c, uint64_t id, int timeout_ms, struct sandbox_exit *ret_exit);
/* Reads to the end of file or the time-out; NUL-terminated. */
size_t client_read(int fd, int timeout_ms, char *to, size_t n);
void client_release(struct client_container *c);

#endif
