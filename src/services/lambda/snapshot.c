/*
 * The list of snapshots, their files, and the fiber that has one made.
 */
#include "services/lambda/snapshot.h"

#include "base/check.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "http/http.h"
#include "services/lambda/credentials.h"
#include "services/lambda/instance.h"
#include "services/lambda/log_feed.h"
#include "services/lambda/pool.h"
#include "services/lambda/runtime_api.h"
#include "services/lambda/service.h"
#include "services/lambda/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	NAME_BYTES = 40,
	CHUNK_BYTES = 1 << 20,
	QUEUE_MAX = 64,
	ROOM_TRIES = 600,
	ROOM_MS = 50,
	STORE_MS = 60000,
	FILE_MS = 60000
};

struct snapshot {
	char name[NAME_BYTES];
	bool ready; /* else: being made, or impossible */
	uint64_t bytes;
	str arn; /* the function's, and behind it ":VERSION" */
};

struct snapshots {
	int folder_fd;
	struct rt_pool *pool;
	pthread_mutex_t lock;
	struct map all; /* by name */
	uint64_t bytes; /* of all files */
};

/* `deployment` is drawn for each change of each function, and a version never changes. */
static str name_of(const struct function *f, char name[NAME_BYTES])
{
	int n = snprintf(name, NAME_BYTES, "%016llx-%.*s", (unsigned long long)f->deployment,
		(int)MIN(f->version.n, (size_t)20), f->version.p);

	return str_of(name, (size_t)n);
}

static struct snapshot *snapshot_new(const struct function *f)
{
	struct snapshot *one = mem_new(struct snapshot);
	size_t n = f->arn.n + 1 + f->version.n;
	char *text = mem_alloc(n);

	name_of(f, one->name);
	memcpy(text, f->arn.p, f->arn.n);
	text[f->arn.n] = ':';
	memcpy(text + f->arn.n + 1, f->version.p, f->version.n);
	one->arn = str_of(text, n);
	return one;
}

static void snapshot_free(struct snapshot *one)
{
	if (!one)
		return;
	mem_free((char *)one->arn.p);
	mem_free(one);
}

/* ---- files ---- */

static void remove_image(int folder_fd, const char *name)
{
	int fd = openat(folder_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return;
	unlinkat(fd, "image", 0);
	unlinkat(fd, "image.new", 0);
	close(fd);
	unlinkat(folder_fd, name, AT_REMOVEDIR);
}

static void sweep(int folder_fd)
{
	int fd = openat(folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!d) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((e = readdir(d)))
		if (e->d_name[0] != '.')
			remove_image(folder_fd, e->d_name);
	closedir(d);
}

int snapshots_open(struct rt *rt, const char *data_folder, struct snapshots **ret_snapshots)
{
	struct snapshots *s = mem_new(struct snapshots);
	struct arena a cleanup(arena_done_p) = {0};
	const char *path;
	int rc = 0;

	arena_init(&a, SIZE_MAX);
	path = arena_printf(&a, "%s/lambda/snapshot", data_folder).p;
	pthread_mutex_init(&s->lock, NULL);
	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		rc = rc_from_errno(errno);
	s->folder_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (rc == 0 && s->folder_fd < 0)
		rc = rc_from_errno(errno);
	if (rc == 0)
		rc = rt_pool_new(rt, "lambda-snapshot", 1, QUEUE_MAX, &s->pool);
	if (rc < 0) {
		snapshots_close(s);
		return rc;
	}
	sweep(s->folder_fd);
	*ret_snapshots = s;
	return 0;
}

void snapshots_close(struct snapshots *s)
{
	if (!s)
		return;
	if (s->pool)
		rt_pool_free(s->pool);
	if (s->folder_fd >= 0)
		close(s->folder_fd);
	map_for_each(slot, &s->all)
		snapshot_free(slot->value);
	map_done(&s->all);
	pthread_mutex_destroy(&s->lock);
	mem_free(s);
}

/* ---- the list ---- */

/* True: it is the caller's to make. */
static bool claim(struct snapshots *s, const struct function *f)
{
	struct snapshot *one = snapshot_new(f);
	str name = str_c(one->name);
	bool claimed;

	pthread_mutex_lock(&s->lock);
	claimed = !map_get(&s->all, name);
	if (claimed)
		map_put(&s->all, name, one);
	pthread_mutex_unlock(&s->lock);
	if (!claimed)
		snapshot_free(one);
	return claimed;
}

/* Under the lock. */
static void remove_one(struct snapshots *s, str name)
{
	struct snapshot *one = map_remove(&s->all, name);

	s->bytes -= one ? one->bytes : 0;
	snapshot_free(one);
}

static void drop(struct snapshots *s, str name)
{
	pthread_mutex_lock(&s->lock);
	remove_one(s, name);
	pthread_mutex_unlock(&s->lock);
}

/* Is there room for so many more bytes of it? Then they are counted. */
static bool grow(struct snapshots *s, str name, uint64_t bytes)
{
	struct snapshot *one;
	bool ok;

	pthread_mutex_lock(&s->lock);
	one = map_get(&s->all, name);
	ok = one && s->bytes + bytes <= (uint64_t)LAMBDA_SNAPSHOTS_MIB_MAX << 20;
	if (ok) {
		one->bytes += bytes;
		s->bytes += bytes;
	}
	pthread_mutex_unlock(&s->lock);
	return ok;
}

/* It is not kept: its bytes are free for others. */
static void shrink(struct snapshots *s, str name)
{
	struct snapshot *one;

	pthread_mutex_lock(&s->lock);
	one = map_get(&s->all, name);
	if (one) {
		s->bytes -= one->bytes;
		one->bytes = 0;
	}
	pthread_mutex_unlock(&s->lock);
}

uint64_t snapshots_bytes(struct snapshots *s)
{
	uint64_t bytes;

	pthread_mutex_lock(&s->lock);
	bytes = s->bytes;
	pthread_mutex_unlock(&s->lock);
	return bytes;
}

static void set_ready(struct snapshots *s, str name)
{
	struct snapshot *one;

	pthread_mutex_lock(&s->lock);
	one = map_get(&s->all, name);
	if (one)
		one->ready = true;
	pthread_mutex_unlock(&s->lock);
}

bool snapshot_folder(
	struct snapshots *s, struct arena *a, const struct function *version, str *ret_folder)
{
	char text[NAME_BYTES];
	str name = name_of(version, text);
	struct snapshot *one;
	bool ready;

	pthread_mutex_lock(&s->lock);
	one = map_get(&s->all, name);
	ready = one && one->ready;
	pthread_mutex_unlock(&s->lock);
	if (ready)
		*ret_folder = ARENA_CONCAT(a, STR("lambda/snapshot/"), name);
	return ready;
}

struct file_job {
	struct snapshots *snapshots;
	char name[NAME_BYTES];
	const char *p;
	size_t n;
	int fd, rc;
};

static void remove_job(void *arg)
{
	struct file_job *j = arg;

	remove_image(j->snapshots->folder_fd, j->name);
}

/* Takes one of the function's out of the list: true, and its name. */
static bool take_one(struct snapshots *s, str arn, char name[NAME_BYTES])
{
	struct snapshot *found = NULL;

	pthread_mutex_lock(&s->lock);
	map_for_each(slot, &s->all) {
		struct snapshot *one = slot->value;

		if (str_starts(one->arn, arn) && (one->arn.n == arn.n || one->arn.p[arn.n] == ':'))
			found = one;
	}
	if (found) {
		memcpy(name, found->name, NAME_BYTES);
		remove_one(s, str_c(name));
	}
	pthread_mutex_unlock(&s->lock);
	return found;
}

void snapshot_forget(struct snapshots *s, str arn)
{
	struct file_job j = {.snapshots = s};

	/* Containers that have it mounted keep it. */
	while (take_one(s, arn, j.name))
		if (rt_pool_run(s->pool, remove_job, &j, rt_after_ms(FILE_MS)) < 0)
			log_warn("lambda", "a snapshot stays until the next start", "name=%s",
				j.name);
}

/* ---- receiving ---- */

static void open_job(void *arg)
{
	struct file_job *j = arg;
	int folder;

	if (mkdirat(j->snapshots->folder_fd, j->name, 0755) < 0 && errno != EEXIST) {
		j->rc = rc_from_errno(errno);
		return;
	}
	folder = openat(
		j->snapshots->folder_fd, j->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	/* Containers look into it as another user, whatever the umask says. */
	if (folder >= 0 && fchmod(folder, 0755) == 0)
		j->fd = openat(folder, "image.new",
			O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (folder < 0 || j->fd < 0)
		j->rc = rc_from_errno(errno);
	if (folder >= 0)
		close(folder);
}

static void write_job(void *arg)
{
	struct file_job *j = arg;

	while (j->n && j->rc >= 0) {
		ssize_t n = write(j->fd, j->p, j->n);

		if (n < 0 && errno != EINTR)
			j->rc = rc_from_errno(errno);
		if (n > 0) {
			j->p += n;
			j->n -= (size_t)n;
		}
	}
}

static void close_job(void *arg)
{
	struct file_job *j = arg;
	char from[NAME_BYTES + 16], to[NAME_BYTES + 16];

	snprintf(from, sizeof(from), "%s/image.new", j->name);
	snprintf(to, sizeof(to), "%s/image", j->name);
	if (j->rc >= 0 && (fchmod(j->fd, 0644) < 0 || renameat(j->snapshots->folder_fd, from,
							      j->snapshots->folder_fd, to) < 0))
		j->rc = rc_from_errno(errno);
	close(j->fd);
	if (j->rc < 0)
		remove_image(j->snapshots->folder_fd, j->name);
}

static int on_pool(struct file_job *j, void (*fn)(void *arg))
{
	TRY(rt_pool_run(j->snapshots->pool, fn, j, rt_after_ms(FILE_MS)));
	return j->rc;
}

/* How many bytes came, or an error. */
static int64_t copy_body(struct http_exchange *x, struct file_job *j)
{
	char *chunk = mem_alloc(CHUNK_BYTES);
	int64_t total = 0;
	size_t have = 0;
	int n = 0, rc = 0;

	while (rc >= 0 && n != ERR_EOF) {
		n = http_body_read(x, chunk + have, CHUNK_BYTES - have);
		have += n > 0 ? (size_t)n : 0;
		if (n < 0 && n != ERR_EOF)
			rc = n;
		else if (have && (have == CHUNK_BYTES || n == ERR_EOF)) {
			total += (int64_t)have;
			j->p = chunk;
			j->n = have;
			rc = grow(j->snapshots, str_c(j->name), have) ? on_pool(j, write_job)
								      : ERR_NO_SPACE;
			have = 0;
		}
	}
	mem_free(chunk);
	return rc < 0 ? rc : total;
}

static int keep_image(struct http_exchange *x, struct instance *i)
{
	struct file_job j = {.snapshots = i->service->snapshots, .fd = -1};
	int64_t n;
	int rc;

	/* They would have to be there before it, and have other numbers then. */
	if (i->extensions)
		return ERR_UNSUPPORTED;
	name_of(&i->function->function, j.name);
	TRY(on_pool(&j, open_job));
	n = copy_body(x, &j);
	j.rc = n < 0 ? (int)n : n == 0 ? ERR_UNSUPPORTED : 0;
	rc = rt_pool_run(j.snapshots->pool, close_job, &j, RT_NEVER);
	if (rc < 0 || j.rc < 0)
		shrink(j.snapshots, str_c(j.name));
	if (rc < 0) { /* the server is going down: the next one sweeps */
		close(j.fd);
		return rc;
	}
	return j.rc;
}

static void finish(struct instance *i, int rc)
{
	struct snapshot_job *job = i->job;

	if (!job)
		return;
	i->job = NULL;
	job->rc = rc;
	rt_event_set(&job->done);
}

void snapshot_receive(struct http_exchange *x, struct instance *i)
{
	int rc;

	if (!i->job || i->receiving || i->state != INSTANCE_INIT) {
		runtime_api_error(x, 403, STR("InvalidStateTransition"),
			STR("No snapshot is being taken of this execution environment."));
		return;
	}
	i->receiving = true;
	rc = keep_image(x, i);
	if (rc < 0 && i->extensions)
		log_feed_line(i->feed, STR("[WARN] no snapshot can be taken of a function with "
					   "extensions, each instance is initialised anew\n"));
	runtime_api_answer(x, 202, STR("{\"status\":\"OK\"}\n"));
	if (i->job)
		instance_snapshot_taken(i);
	finish(i, rc);
	instance_kill(i);
}

static void put_text(char *to, size_t max, str text)
{
	size_t n = MIN(text.n, max - 1);

	if (n)
		memcpy(to, text.p, n);
	to[n] = 0;
}

void snapshot_failed(struct instance *i, str type, str text)
{
	if (!i->job || i->job->rc)
		return;
	i->job->rc = ERR_FAULT;
	put_text(i->job->type, sizeof(i->job->type), type);
	put_text(i->job->text, sizeof(i->job->text), text);
}

void snapshot_ended(struct instance *i)
{
	if (i->job)
		finish(i, i->job->rc ? i->job->rc : ERR_FAULT);
}

/* ---- making ---- */

struct making {
	struct lambda_service *service;
	struct arena arena;
	struct function version;
	struct snapshot_job job;
};

static str reason_code(const struct snapshot_job *job)
{
	str type = str_c(job->type);

	return str_eq(type, STR("Sandbox.Timedout"))      ? STR("FunctionError.InitTimeout")
	       : str_eq(type, STR("Runtime.ExitError"))   ? STR("FunctionError.RuntimeInitError")
	       : str_eq(type, STR("Runtime.OutOfMemory")) ? STR("FunctionError."
								"InitResourceExhausted")
							  : STR("FunctionError");
}

static int write_end(void *arg, struct kv_txn *txn, struct arena *a, struct function *f)
{
	const struct making *m = arg;
	struct function v;

	if (TRY(store_txn_load(txn, a, f->account, f->region, f->name, m->version.version, &v)) ==
		0)
		return ERR_NOT_FOUND;
	if (v.state != FUNCTION_PENDING)
		return 0;
	v.state = m->job.rc == ERR_FAULT ? FUNCTION_FAILED : FUNCTION_ACTIVE;
	v.snap_start = m->job.rc == 0 ? SNAP_START_ON : SNAP_START_PUBLISHED;
	v.revision_id = lambda_uuid(a);
	if (m->job.rc == ERR_FAULT) {
		v.reason = STR("The function could not be initialised for its snapshot.");
		if (m->job.type[0])
			v.reason = arena_printf(a, "%s: %s", m->job.type, m->job.text);
		v.reason_code = reason_code(&m->job);
	}
	store_txn_put_version(txn, a, &v);
	return 0;
}

/* The instance is started as soon as there is room for it. */
static int start_instance(struct making *m)
{
	struct lambda_service *s = m->service;
	const struct function *v = &m->version;
	struct function_ref *f = NULL;
	int rc;

	TRY(service_await_sandbox(s, RT_NEVER));
	if (TRY(scheduler_function(s->scheduler, v->account, v->region, v->name, v->version, &f)) ==
		0)
		return ERR_NOT_FOUND;
	rc = scheduler_snapshot(s->scheduler, f, &m->job);
	for (int i = 0; rc == ERR_BUSY && i < ROOM_TRIES && !s->stopping; i++) {
		rc = rt_sleep_until(rt_after_ms(ROOM_MS));
		if (rc >= 0)
			rc = scheduler_snapshot(s->scheduler, f, &m->job);
	}
	function_unref(f);
	return rc;
}

static int make(struct making *m)
{
	struct store_change change = {.account = m->version.account,
		.region = m->version.region,
		.name = m->version.name,
		.change = write_end,
		.arg = m,
		.deadline = rt_after_ms(STORE_MS)};
	char text[NAME_BYTES];
	struct function f;
	int rc = start_instance(m);

	if (rc == 0) /* init has an end of its own */
		rt_event_wait_sure(&m->job.done);
	else if (rc == ERR_UNSUPPORTED) /* no sandbox: it would not run anyway */
		m->job.rc = rc;
	else
		return rc;
	/* It was cut off: the next server begins again. */
	if (m->job.rc < 0 && m->service->stopping)
		return ERR_CANCELLED;
	if (m->job.rc == 0) {
		set_ready(m->service->snapshots, name_of(&m->version, text));
		pool_want(m->service->pool, lambda_runtime_snapshot());
	}
	change.deadline = rt_after_ms(STORE_MS);
	return lambda_store_change(m->service, &m->arena, &change, &f);
}

static void make_fiber(void *arg)
{
	struct making *m = arg;
	struct lambda_service *s = m->service;
	char text[NAME_BYTES];
	int rc = make(m);

	if (rc < 0) {
		drop(s->snapshots, name_of(&m->version, text));
		if (rc != ERR_NOT_FOUND && rc != ERR_CANCELLED)
			log_warn("lambda", "no snapshot was taken",
				"function=%.*s version=%.*s error=%s", STR_ARG(m->version.arn),
				STR_ARG(m->version.version), rc_text(rc));
	}
	arena_done(&m->arena);
	mem_free(m);
	transition_end(s);
}

void snapshot_begin(struct lambda_service *s, const struct function *version)
{
	struct making *m;

	if (!claim(s->snapshots, version))
		return;
	m = mem_new(struct making);
	m->service = s;
	arena_init(&m->arena, SIZE_MAX);
	m->version = (struct function){.account = arena_str(&m->arena, version->account),
		.region = arena_str(&m->arena, version->region),
		.name = arena_str(&m->arena, version->name),
		.arn = arena_str(&m->arena, version->arn),
		.version = arena_str(&m->arena, version->version),
		.deployment = version->deployment};
	rt_event_init(&m->job.done);
	atomic_fetch_add(&s->transitions, 1);
	if (rt_spawn(make_fiber, m) < 0)
		make_fiber(m);
}
