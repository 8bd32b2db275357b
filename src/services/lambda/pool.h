/*
 * Containers booted in advance, per runtime, that belong to nobody yet: a cold start takes one and
 * gives it its code and environment. A container is never used for a second function.
 *
 * A runtime's stock starts when its first function is wanted and is refilled in the background
 * after each take; it empties when nothing of the runtime was wanted for a while. The programs in
 * it were started with the fixed environment (environment_boot()); functions that need more at exec
 * time do not take from it (environment_needs_exec()).
 *
 * Threading: any loop. The stock has a lock, never held over a suspension; filling runs in a fiber
 * of loop 0.
 */
#ifndef SERVICES_LAMBDA_POOL_H
#define SERVICES_LAMBDA_POOL_H

#include "base/arena.h"

struct lambda_runtime;
struct lambda_service;
struct pool;
struct sandbox_container;
struct sandbox_mount;

struct pool *pool_new(struct lambda_service *s);
/* From a fiber of loop 0. Nothing is done without a sandbox or with --pool 0. */
void pool_start(struct pool *p) mayyield;
/* Ends filling and frees what is ready. */
void pool_stop(struct pool *p) mayyield;
void pool_free(struct pool *p);

/* The runtime has functions: have containers ready. Never suspends; any loop. */
void pool_want(struct pool *p, const struct lambda_runtime *runtime);
/* A booted container of the runtime, now the caller's, or NULL. Never suspends; any loop. */
struct sandbox_container *pool_take(struct pool *p, const struct lambda_runtime *runtime);
/* How many are ready, of all runtimes. Any thread. */
unsigned pool_ready(struct pool *p);

enum { RUNTIME_MOUNTS_MAX = 2 };

/* What a container of the runtime is started with, pooled or not: in the arena. */
struct runtime_launch {
	const str *argv;
	unsigned argc;
	const struct sandbox_mount *mounts; /* /var/runtime, and what is mounted in it */
	unsigned mount_count;
	uint8_t pipes[2];
	unsigned pipe_count;
};
/*
 * Can its containers be booted in advance? An image is the whole root; the heap of a Java machine
 * has its size, which follows the function's memory, from the start.
 */
bool runtime_pools(const struct lambda_runtime *runtime);
struct runtime_launch runtime_launch(
	const struct lambda_service *s, struct arena *a, const struct lambda_runtime *runtime);

#endif
