/*
 * Looking for the archive, making it: see java_archive.h.
 */
#include "services/lambda/java_archive.h"

#include "base/buf.h"
#include "base/check.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "rt/file.h"
#include "rt/stream.h"
#include "sandbox/sandbox.h"
#include "services/lambda/pool.h"
#include "services/lambda/service.h"

#define PREFIX "classes-"
#define SUFFIX ".jsa"

enum {
	KEY_CHARS = 16,
	DIGEST_CHARS = 64,
	NAME_BYTES = sizeof(PREFIX) + KEY_CHARS + 1 + DIGEST_CHARS + sizeof(SUFFIX),
	ARCHIVE_BYTES_MAX = 64 << 20,
	FILES_MAX = 100,
	PAUSE_MS = 3000, /* who created the function wants to see it run first */
	MAKE_MS = 60000,
	STEP_MS = 200,
	MEMORY_MIB = 512,
};

struct java_archive {
	struct lambda_service *service;
	_Atomic bool wanted, ready;
	bool running; /* the fiber: it has been started */
	struct rt_event ended;
	char name[NAME_BYTES]; /* constant once ready */
};

struct java_archive *java_archive_new(struct lambda_service *s)
{
	struct java_archive *j = mem_new(struct java_archive);

	j->service = s;
	atomic_init(&j->wanted, false);
	atomic_init(&j->ready, false);
	rt_event_init(&j->ended);
	return j;
}

void java_archive_free(struct java_archive *j)
{
	mem_free(j);
}

bool java_archive_path(struct java_archive *j, struct arena *a, str *ret_path)
{
	if (!atomic_load_explicit(&j->ready, memory_order_acquire))
		return false;
	*ret_path = ARENA_CONCAT(a, STR("/var/runtime/"), str_c(j->name));
	return true;
}

/* ---- what it belongs to ---- */

static str folder_of(const struct java_archive *j, struct arena *a)
{
	const struct lambda_options *o = &j->service->options;

	return arena_printf(a, "%s/%s/java", o->data_folder, o->runtimes_folder);
}

static mayyield int add_file(struct sha256 *h, str path)
{
	struct rt_file_info info;

	TRY(rt_file_info(path, &info));
	sha256_add(h, path);
	sha256_add(h, str_of(&info.bytes, sizeof(info.bytes)));
	sha256_add(h, str_of(&info.modified_ns, sizeof(info.modified_ns)));
	sha256_add(h, str_of(&info.inode, sizeof(info.inode)));
	return 0;
}

/* The Java machine (what its links lead to) and our program: places, sizes and times. */
static mayyield int key_of(const struct java_archive *j, struct arena *a, char *ret_key)
{
	uint8_t digest[SHA256_BYTES];
	struct sha256 h;

	sha256_init(&h);
	TRY(add_file(&h, str_c(j->service->options.java)));
	TRY(add_file(&h, ARENA_CONCAT(a, folder_of(j, a), STR("/runtime.jar"))));
	sha256_finish(&h, digest);
	hex_encode(digest, KEY_CHARS / 2, ret_key);
	return 0;
}

static str name_of(struct arena *a, const char *key, str bytes)
{
	uint8_t digest[SHA256_BYTES];
	char hex[DIGEST_CHARS];

	sha256_of(bytes, digest);
	hex_encode(digest, sizeof(digest), hex);
	return arena_printf(a, PREFIX "%.*s-%.*s" SUFFIX, KEY_CHARS, key, DIGEST_CHARS, hex);
}

static void set_ready(struct java_archive *j, str name)
{
	check(name.n < sizeof(j->name));
	memcpy(j->name, name.p, name.n);
	j->name[name.n] = 0;
	atomic_store_explicit(&j->ready, true, memory_order_release);
}

/* 1: the one of this key is there and whole. What else is of our making is removed. */
static mayyield int look(struct java_archive *j, struct arena *a, const char *key)
{
	str folder = folder_of(j, a), *names;
	int n = TRY(rt_file_list(folder, FILES_MAX, a, &names))
	, found = 0;

	for (int i = 0; i < n; i++) {
		str path = ARENA_CONCAT(a, folder, STR("/"), names[i]), bytes;
		str start = arena_printf(a, PREFIX "%.*s-", KEY_CHARS, key);

		if (!str_starts(names[i], STR(PREFIX)))
			continue;
		if (!found && str_starts(names[i], start) &&
			rt_file_read_all(path, ARCHIVE_BYTES_MAX, a, &bytes) == 0 &&
			str_eq(name_of(a, key, bytes), names[i])) {
			set_ready(j, names[i]);
			found = 1;
			continue;
		}
		TRY(rt_file_remove(path));
	}
	return found;
}

/* ---- making ---- */

/* The machine's own words go nowhere; the archive is what comes out. */
static mayyield int start(struct java_archive *j, struct arena *a,
	struct sandbox_container **ret_container, struct sandbox_error *error)
{
	static const str environment[] = {STR_INIT("PATH=/usr/bin:/bin"),
		STR_INIT("AWS_LAMBDA_RUNTIME_API=127.0.0.1:9002"),
		STR_INIT("_HANDLER=cirrus.Training::handle"),
		STR_INIT("LAMBDA_TASK_ROOT=/tmp/task"), STR_INIT("_LAMBDA_TELEMETRY_LOG_FD=2"),
		STR_INIT("AWS_LAMBDA_FUNCTION_NAME=f"),
		STR_INIT("AWS_LAMBDA_FUNCTION_MEMORY_SIZE=512")};
	struct runtime_launch l = runtime_launch(j->service, a, lambda_runtime_find(STR("java17")));
	str *argv = arena_new_array(a, str, l.argc + 5);
	struct sandbox_spec spec = {.mounts = l.mounts,
		.mount_count = 1,
		.limits = {.memory_bytes = (uint64_t)MEMORY_MIB << 20},
		.argv = argv,
		.environment = environment,
		.environment_count = ARRAY_SIZE(environment),
		.pipes = {1},
		.pipe_count = 1};

	argv[spec.argc++] = STR("/bin/sh");
	argv[spec.argc++] = STR("-c");
	argv[spec.argc++] = STR("\"$@\" >/dev/null 2>&1 && cat /tmp/classes.jsa");
	argv[spec.argc++] = STR("sh");
	argv[spec.argc++] = l.argv[0];
	argv[spec.argc++] = STR("-XX:ArchiveClassesAtExit=/tmp/classes.jsa");
	for (unsigned i = 1; i + 1 < l.argc; i++)
		argv[spec.argc++] = l.argv[i];
	argv[spec.argc++] = STR("cirrus.Training");
	return sandbox_start(
		j->service->sandbox, &spec, rt_after_ms(MAKE_MS), ret_container, error);
}

/* Reads in steps, because the service may stop meanwhile. */
static mayyield int read_output(struct java_archive *j, struct rt_stream *s, struct buf *out)
{
	int64_t deadline = rt_after_ms(MAKE_MS);

	for (;;) {
		char part[16384];
		int n = rt_stream_read(s, part, sizeof(part), rt_after_ms(STEP_MS));

		if (n == ERR_EOF)
			return out->over ? ERR_TOO_LARGE : 0;
		if (n == ERR_TIMEOUT && rt_now() < deadline && !atomic_load(&j->service->stopping))
			continue;
		TRY(n);
		buf_put(out, str_of(part, (size_t)n));
	}
}

static mayyield int run(
	struct java_archive *j, struct arena *a, struct buf *out, struct sandbox_error *error)
{
	struct sandbox_container *c;
	struct sandbox_exit end;
	struct rt_stream *s;
	int rc;

	TRY(start(j, a, &c, error));
	rc = rt_stream_adopt(sandbox_take_pipe(c, 0), &s);
	if (rc == 0) {
		rc = read_output(j, s, out);
		rt_stream_close(s);
	}
	if (rc == 0)
		rc = sandbox_wait(c, rt_after_ms(MAKE_MS), &end);
	if (rc == 0 && (end.end != SANDBOX_EXITED || end.status != 0 || out->n == 0))
		rc = ERR_UNSUPPORTED; /* Java before 13 makes none this way */
	sandbox_container_free(c);
	return rc;
}

static mayyield int make(struct java_archive *j, struct arena *a, const char *key)
{
	struct sandbox_error error = {""};
	struct buf out;
	int rc;

	TRY(rt_sleep_until(rt_after_ms(PAUSE_MS)));
	buf_init(&out, NULL, ARCHIVE_BYTES_MAX);
	rc = atomic_load(&j->service->stopping) ? ERR_CANCELLED : run(j, a, &out, &error);
	if (rc == 0) {
		str name = name_of(a, key, buf_str(&out));

		rc = rt_file_replace(
			ARENA_CONCAT(a, folder_of(j, a), STR("/"), name), buf_str(&out), 0644);
		if (rc == 0)
			set_ready(j, name);
	}
	if (rc == 0)
		log_info("lambda", "Java starts from an archive of the runtime's classes now",
			"bytes=%zu", out.n);
	buf_done(&out);
	return rc;
}

static void archive_fiber(void *arg)
{
	struct java_archive *j = arg;
	struct arena a cleanup(arena_done_p) = {0};
	char key[KEY_CHARS];
	int rc = service_await_sandbox(j->service, rt_after_ms(MAKE_MS));

	arena_init(&a, SIZE_MAX);
	if (rc == 0)
		rc = key_of(j, &a, key);
	if (rc == 0)
		rc = look(j, &a, key);
	if (rc == 0)
		rc = make(j, &a, key);
	if (rc < 0 && rc != ERR_CANCELLED && !atomic_load(&j->service->stopping))
		log_info("lambda", "Java starts without an archive of the runtime's classes",
			"error=%s", rc_text(rc));
	rt_event_set(&j->ended);
}

void java_archive_want(struct java_archive *j)
{
	if (!j->service->options.java || atomic_load(&j->service->stopping) ||
		atomic_exchange(&j->wanted, true))
		return;
	j->running = rt_spawn(archive_fiber, j) == 0;
}

void java_archive_stop(struct java_archive *j)
{
	if (j->running)
		rt_event_wait_sure(&j->ended);
	j->running = false;
}
