/*
 * The crash test of the embedded store. A child process writes with many fibers and reports every
 * acknowledged write over a pipe; it is killed at a random moment, the folder is opened again, and
 * every acknowledged write has to be there and no transaction torn.
 *
 *   crash kill ROUNDS              kill -9: what the kernel has is kept
 *   crash power ROUNDS SHIM        with test/crash/shim.c: what was not synced is lost, or kept in
 *                                  part
 *   crash fail ROUNDS SHIM         the same, and syncs and writes of the log fail with EIO, ENOSPC
 *                                  or EINVAL
 *   crash unsynced ROUNDS SHIM     the same as power on a store that does not sync: succeeds only
 *                                  when acknowledged writes are found missing
 *
 * SEED in the environment repeats a run's choices (not its timing). Ends with a line of counts.
 */
#include "base/log.h"
#include "base/mem.h"
#include "kv/kv.h"
#include "rt/rt.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Each group of keys is written by one fiber, all of its keys with the same number. */
enum { GROUPS = 48, GROUP_KEYS = 3, ROUNDS_PER_FOLDER = 6, PATH_BYTES = 512 };

enum report_kind { REPORT_OPEN, REPORT_ACK, REPORT_FAILED, REPORT_READ_FAILED };

struct report {
	uint32_t kind, group;
	uint64_t number, stamp;
};

static str key_of(char *to, unsigned group, unsigned i)
{
	return str_of(to, (size_t)snprintf(to, 40, "g/%03u/%u", group, i));
}

static uint64_t be64(const char *p)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < 8; i++)
		v = v << 8 | (unsigned char)p[i];
	return v;
}

static void put_be64(char *p, uint64_t v)
{
	for (unsigned i = 0; i < 8; i++)
		p[i] = (char)(v >> (56 - 8 * i));
}

/* Number and size of a value follow from one another, so that a torn one shows. */
static str value_of(char *to, unsigned group, uint64_t number)
{
	size_t n = 16 + (group * 37 + number * 131) % 1500;

	memset(to, (char)number, n);
	put_be64(to, number);
	put_be64(to + 8, n);
	return str_of(to, n);
}

static void fail(const char *what, int rc)
{
	fprintf(stderr, "crash: %s: %s\n", what, rc_name(rc));
	exit(2);
}

static void path_join(
	char to[PATH_BYTES], const char *folder, const char *between, const char *name)
{
	int n = snprintf(to, PATH_BYTES, "%s%s%s", folder, between, name);

	if (n < 0 || n >= PATH_BYTES)
		fail(folder, ERR_TOO_LARGE);
}

/* --- the child ------------------------------------------------------------------------------- */

struct writer {
	struct kv *kv;
	unsigned group;
};

static void report(enum report_kind kind, unsigned group, uint64_t number, uint64_t stamp)
{
	struct report r = {kind, group, number, stamp};

	if (write(STDOUT_FILENO, &r, sizeof r) != (ssize_t)sizeof r)
		_exit(0);
}

static mayyield int write_group(struct kv *kv, unsigned group, uint64_t number, uint64_t *ret_stamp)
{
	struct kv_txn *txn cleanup(kv_txn_free_p) = NULL;
	char room[GROUP_KEYS][40], value[2048], logged[16];
	str keys[GROUP_KEYS];

	for (unsigned i = 0; i < GROUP_KEYS; i++)
		keys[i] = key_of(room[i], group, i);
	TRY(kv_txn_begin(kv, keys, GROUP_KEYS, RT_NEVER, &txn));
	for (unsigned i = 0; i < GROUP_KEYS; i++)
		kv_txn_put(txn, keys[i], value_of(value, group, number));
	put_be64(logged, group);
	put_be64(logged + 8, number);
	kv_txn_put_stamped(txn, STR("log/"), STR("log"), STR(""), str_of(logged, 16), KV_NO_STAMP);
	return kv_commit(txn, ret_stamp);
}

static mayyield int read_number(struct kv *kv, unsigned group, unsigned i, uint64_t *ret_number)
{
	struct arena a cleanup(arena_done_p) = {0};
	char room[40], expected[2048];
	str value;
	int rc;

	arena_init(&a, SIZE_MAX);
	rc = kv_get(kv, key_of(room, group, i), &a, &value);
	if (rc < 0)
		return rc;
	*ret_number = rc == 1 ? be64(value.p) : 0;
	if (rc == 1 && !str_eq(value, value_of(expected, group, *ret_number)))
		return ERR_CORRUPT;
	return 0;
}

static void writer(void *arg)
{
	struct writer *w = arg;
	uint64_t number, stamp;
	int rc = read_number(w->kv, w->group, 0, &number);

	while (rc == 0) {
		rc = write_group(w->kv, w->group, number + 1, &stamp);
		if (rc == 0) {
			report(REPORT_ACK, w->group, ++number, stamp);
			continue;
		}
		/* Unknown: whatever it was must hold from now on. */
		report(REPORT_FAILED, w->group, number + 1, 0);
		if (rt_sleep_until(rt_after_ms(2)) < 0)
			return;
		rc = read_number(w->kv, w->group, 0, &number);
		if (rc < 0)
			report(REPORT_READ_FAILED, w->group, 0, (uint64_t)-rc);
	}
	_exit(3);
}

struct child {
	const char *folder;
	bool relaxed;
};

static void child_main(void *arg)
{
	struct child *child = arg;
	struct kv_rocksdb_options options = {.memtable_bytes = 256 * 1024,
		.cache_bytes = 256 * 1024,
		.durability = child->relaxed ? KV_RELAXED : KV_SYNCED};
	static struct writer writers[GROUPS];
	struct kv *kv;
	int rc = kv_open_rocksdb(child->folder, &options, &kv);

	if (rc < 0)
		fail("child opens", rc);
	report(REPORT_OPEN, 0, 0, 0);
	for (unsigned i = 0; i < GROUPS; i++) {
		writers[i] = (struct writer){kv, i};
		if (rt_spawn_on(rt_self(), i % 2, writer, &writers[i]) < 0)
			fail("spawn", ERR_BUSY);
	}
}

/* --- the parent: what has to be there -------------------------------------------------------- */

struct logged {
	uint64_t stamp, number;
	unsigned group;
};

struct expected {
	uint64_t acknowledged[GROUPS], begun[GROUPS];
	struct logged *log;
	size_t n_log, log_capacity;
	unsigned failed, read_failed, acks_after_failure;
	unsigned long acks;
	bool opened; /* by the child that runs */
};

static void expect(struct expected *e, const struct report *r)
{
	if (r->group >= GROUPS)
		fail("report", ERR_INVALID);
	switch (r->kind) {
	case REPORT_ACK:
		e->acknowledged[r->group] = r->number;
		e->begun[r->group] = MAX(e->begun[r->group], r->number);
		e->acks++;
		if (e->failed)
			e->acks_after_failure++;
		if (e->n_log == e->log_capacity) {
			e->log_capacity = e->log_capacity ? e->log_capacity * 2 : 1024;
			e->log = mem_realloc(e->log, e->log_capacity * sizeof *e->log);
		}
		e->log[e->n_log++] = (struct logged){r->stamp, r->number, r->group};
		break;
	case REPORT_FAILED:
		e->begun[r->group] = MAX(e->begun[r->group], r->number);
		e->failed++;
		break;
	case REPORT_READ_FAILED:
		fprintf(stderr, "crash: a read failed while writes did: %s\n",
			rc_name(-(int)r->stamp));
		e->read_failed++;
		break;
	case REPORT_OPEN: e->opened = true; break;
	default: fail("report", ERR_INVALID);
	}
}

struct checking {
	struct rt *rt;
	const char *folder;
	struct expected *e;
	unsigned lost, torn;
	int rc;
};

static int by_stamp(const void *a, const void *b)
{
	const struct logged *x = a, *y = b;

	return (x->stamp > y->stamp) - (x->stamp < y->stamp);
}

static mayyield int check_groups(struct checking *c, struct kv *kv)
{
	for (unsigned g = 0; g < GROUPS; g++) {
		uint64_t first = 0;

		for (unsigned i = 0; i < GROUP_KEYS; i++) {
			uint64_t number;

			TRY(read_number(kv, g, i, &number));
			if (i == 0)
				first = number;
			if (number != first)
				c->torn++;
		}
		if (first < c->e->acknowledged[g])
			c->lost++;
		/* At most the one under way when it died. */
		if (first > c->e->begun[g] + 1)
			c->torn++;
		c->e->acknowledged[g] = c->e->begun[g] = first;
	}
	return 0;
}

/* Every acknowledged stamped record is there, each stamp once, and rising by group. */
static mayyield int check_log(struct checking *c, struct kv *kv)
{
	struct kv_range range = {.from = STR("log/"), .to = STR("log0")};
	struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
	uint64_t numbers[GROUPS] = {0}, stamp = 0, horizon = 0;
	str key, value;
	size_t at = 0;
	int rc;

	if (c->e->n_log)
		qsort(c->e->log, c->e->n_log, sizeof *c->e->log, by_stamp);
	TRY(kv_horizon(kv, STR("log"), &horizon));
	TRY(kv_scan_open(kv, &range, &scan));
	while ((rc = kv_scan_next(scan, &key, &value)) == 1) {
		uint64_t group = be64(value.p), number = be64(value.p + 8);

		stamp = be64(key.p + 4);
		if (group >= GROUPS || number != numbers[group] + 1)
			c->torn++;
		else
			numbers[group] = number;
		while (at < c->e->n_log && c->e->log[at].stamp < stamp) {
			c->lost++;
			at++;
		}
		if (at < c->e->n_log && c->e->log[at].stamp == stamp) {
			if (c->e->log[at].group != group || c->e->log[at].number != number)
				c->torn++;
			at++;
		}
	}
	c->lost += (unsigned)(c->e->n_log - at);
	if (stamp > horizon)
		c->torn++;
	for (unsigned g = 0; g < GROUPS; g++)
		if (numbers[g] != c->e->begun[g])
			c->torn++;
	return rc;
}

static void check_main(void *arg)
{
	struct checking *c = arg;
	struct kv *kv = NULL;

	c->rc = kv_open_rocksdb(c->folder, NULL, &kv);
	if (c->rc == 0)
		c->rc = check_groups(c, kv);
	if (c->rc == 0)
		c->rc = check_log(c, kv);
	kv_close(kv);
	rt_stop(c->rt);
}

static void check_folder(struct checking *c)
{
	struct rt_options options = {.loops = 1};

	if (rt_new(&options, &c->rt) < 0 || rt_run(c->rt, check_main, c) < 0)
		fail("rt", ERR_INTERNAL);
	rt_free(c->rt);
}

/* --- the parent: kill, cut, count ------------------------------------------------------------ */

static uint64_t random_next(uint64_t *x)
{
	*x ^= *x << 13, *x ^= *x >> 7, *x ^= *x << 17;
	return *x * 0x2545f4914f6cdd1du >> 11;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static void remove_folder(const char *path)
{
	nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static pid_t start(char **argv, char **env, int *ret_pipe)
{
	int fds[2];
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		fail("pipe", ERR_IO);
	pid = fork();
	if (pid < 0)
		fail("fork", ERR_IO);
	if (pid == 0) {
		dup2(fds[1], STDOUT_FILENO);
		execve("/proc/self/exe", argv, env);
		_exit(4);
	}
	close(fds[1]);
	*ret_pipe = fds[0];
	return pid;
}

static bool read_report(int fd, struct report *r)
{
	size_t n = 0;

	while (n < sizeof *r) {
		ssize_t got = read(fd, (char *)r + n, sizeof *r - n);

		if (got <= 0)
			return false;
		n += (size_t)got;
	}
	return true;
}

/*
 * Runs the child until it has done a random number of writes; kills it. One that cannot open on a
 * failing disk ends by itself.
 */
static void run_child(struct expected *e, char **argv, char **env, bool failing, uint64_t *random)
{
	unsigned long enough = e->acks + random_next(random) % 3000;
	struct report r;
	int status, fd;
	pid_t pid = start(argv, env, &fd);
	bool killed = false;

	e->opened = false;
	while (read_report(fd, &r)) {
		expect(e, &r);
		/* Some die while they open. */
		if (!killed && (e->acks >= enough || random_next(random) % 20000 == 0)) {
			killed = true;
			kill(pid, SIGKILL);
		}
	}
	close(fd);
	if (waitpid(pid, &status, 0) != pid)
		fail("waitpid", ERR_INTERNAL);
	if (failing && !e->opened && WIFEXITED(status) && WEXITSTATUS(status) == 2)
		return;
	if (!killed || !WIFSIGNALED(status))
		fail("the child ended by itself", ERR_INTERNAL);
}

static size_t load_file(const char *path, char **ret_p)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	size_t n = 0;
	ssize_t got;
	char *p;

	if (fd < 0 || fstat(fd, &st) < 0) {
		*ret_p = mem_alloc(1);
		if (fd >= 0)
			close(fd);
		return 0;
	}
	p = mem_alloc((size_t)st.st_size + 1);
	while ((got = read(fd, p + n, (size_t)st.st_size - n)) > 0)
		n += (size_t)got;
	close(fd);
	*ret_p = p;
	return n;
}

static void store_file(const char *path, const char *p, size_t n)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	while (fd >= 0 && n > 0) {
		ssize_t done = write(fd, p, n);

		if (done <= 0)
			fail(path, ERR_IO);
		p += done;
		n -= (size_t)done;
	}
	if (fd < 0 || close(fd) < 0)
		fail(path, ERR_IO);
}

/*
 * What the disk has of a file: its durable part, and of what was written since (behind it, or over
 * it in a ring) now and then a piece, whole, or with its last sectors as they were.
 */
static void cut_file(const char *durable, const char *now, const char *to, uint64_t *random)
{
	char *p, *q;
	size_t n = load_file(durable, &p), m = load_file(now, &q), from = 0, end = m;

	while (from < MIN(n, m) && p[from] == q[from])
		from++;
	while (end <= n && end > from && p[end - 1] == q[end - 1])
		end--;
	if (m >= n && end > from && random_next(random) % 2) {
		size_t more = from + random_next(random) % (end - from + 1);
		size_t old = more - from > 512 && random_next(random) % 2 ? more - 512 : more;

		/* Up to `old` the new bytes, from there those that were there, or none. */
		memset(q + old, 0, m - old);
		if (n > old)
			memcpy(q + old, p + old, n - old);
		store_file(to, q, MAX(n, more));
	} else {
		store_file(to, p, n);
	}
	mem_free(p);
	mem_free(q);
}

static void cut_power(const char *folder, const char *shadow, uint64_t *random)
{
	char names[PATH_BYTES], left[PATH_BYTES], line[256];
	FILE *in;

	path_join(names, shadow, "/", "names");
	path_join(left, folder, ".", "left");
	remove_folder(left);
	in = fopen(names, "r");
	if (!in || mkdir(left, 0700) < 0)
		fail(names, ERR_IO);
	while (fgets(line, sizeof line, in)) {
		char durable[PATH_BYTES], now[PATH_BYTES], to[PATH_BYTES], *name;

		line[strcspn(line, "\n")] = 0;
		name = strchr(line, ' ');
		if (!name)
			fail("names", ERR_CORRUPT);
		*name++ = 0;
		path_join(durable, shadow, "/", line);
		path_join(now, folder, "/", name);
		path_join(to, left, "/", name);
		cut_file(durable, now, to, random);
	}
	fclose(in);
	remove_folder(folder);
	if (rename(left, folder) < 0)
		fail(folder, ERR_IO);
}

struct mode {
	bool power, failing, unsynced;
	const char *shim;
};

/* The environment of the child; its strings live in `room`. */
static void environment(const struct mode *m, const char *folder, const char *shadow,
	uint64_t *random, char room[5][PATH_BYTES], char **env)
{
	static const int errors[] = {EIO, ENOSPC, EINVAL};
	const char *log = getenv("CRASH_LOG");
	unsigned n = 0;

	if (m->power) {
		path_join(room[0], "LD_PRELOAD", "=", m->shim);
		path_join(room[1], "SHIM_FOLDER", "=", folder);
		path_join(room[2], "SHIM_SHADOW", "=", shadow);
		n = 3;
	}
	if (m->failing) {
		bool sync = random_next(random) % 2;

		snprintf(room[3], PATH_BYTES, "SHIM_FAIL=%s,%d,%u,%u,%s", sync ? "sync" : "write",
			errors[random_next(random) % 3], (unsigned)(random_next(random) % 200),
			1 + (unsigned)(random_next(random) % 6),
			random_next(random) % 4 ? ".wal" : "");
		n = 4;
	}
	if (log)
		path_join(room[n++], "CRASH_LOG", "=", log);
	for (unsigned i = 0; i < n; i++)
		env[i] = room[i];
	env[n] = NULL;
}

static void round_run(const struct mode *m, const char *folder, const char *shadow,
	struct expected *e, uint64_t *random, struct checking *c)
{
	char room[5][PATH_BYTES], *env[6];
	char *argv[] = {(char *)"crash", (char *)(m->unsynced ? "child-unsynced" : "child"),
		(char *)folder, NULL};

	remove_folder(shadow);
	if ((mkdir(folder, 0700) < 0 && errno != EEXIST) || mkdir(shadow, 0700) < 0)
		fail(folder, ERR_IO);
	environment(m, folder, shadow, random, room, env);
	run_child(e, argv, env, m->failing, random);
	if (m->power)
		cut_power(folder, shadow, random);
	*c = (struct checking){.folder = folder, .e = e};
	check_folder(c);
	if (c->rc < 0 || c->lost || c->torn) {
		if (!m->unsynced)
			fprintf(stderr, "crash: %u lost, %u torn, %s; %s\n", c->lost, c->torn,
				rc_name(c->rc), m->failing ? room[3] : "");
	}
}

static int parent(const struct mode *m, const char *name, unsigned long rounds)
{
	const char *seed = getenv("SEED");
	uint64_t random = (seed ? strtoull(seed, NULL, 0) : (uint64_t)time(NULL)) * 2 + 1;
	char base[] = "/var/tmp/cirrus-crash-XXXXXX", folder[PATH_BYTES], shadow[PATH_BYTES];
	unsigned long acks = 0, lost = 0, torn = 0, broken = 0, failed = 0, after = 0, unread = 0;

	if (!mkdtemp(base))
		fail("mkdtemp", ERR_IO);
	path_join(folder, base, "/", "store");
	path_join(shadow, base, "/", "shadow");
	for (unsigned long i = 0; i < rounds;) {
		struct expected e = {0};

		remove_folder(folder);
		for (unsigned j = 0; j < ROUNDS_PER_FOLDER && i < rounds; j++, i++) {
			struct checking c;

			e.failed = 0;
			round_run(m, folder, shadow, &e, &random, &c);
			lost += c.lost;
			torn += c.torn;
			broken += c.rc < 0;
			failed += e.failed;
			if (c.rc < 0 || c.lost || c.torn)
				j = ROUNDS_PER_FOLDER;
		}
		acks += e.acks;
		after += e.acks_after_failure;
		unread += e.read_failed;
		mem_free(e.log);
	}
	remove_folder(base);
	printf("crash %s: %lu rounds, %lu acknowledged, %lu lost, %lu torn, %lu not opened", name,
		rounds, acks, lost, torn, broken);
	if (m->failing)
		printf(", %lu failed, %lu acknowledged after a failure, %lu reads failed", failed,
			after, unread);
	printf("\n");
	if (m->unsynced)
		return lost + torn + broken == 0;
	if (m->failing && (failed == 0 || after == 0))
		return 1;
	return lost + torn + broken + unread > 0;
}

static void log_drop(enum log_level level, str line)
{
	(void)level, (void)line;
}

int main(int argc, char **argv)
{
	if (argc == 3 && strncmp(argv[1], "child", 5) == 0) {
		struct rt_options options = {.loops = 2};
		struct child child = {argv[2], strcmp(argv[1], "child-unsynced") == 0};
		struct rt *rt;

		/* It is told to fail; what it logs about that is no news. CRASH_LOG shows it. */
		if (!getenv("CRASH_LOG"))
			log_set_sink(log_drop);
		if (rt_new(&options, &rt) < 0)
			fail("rt", ERR_INTERNAL);
		return rt_run(rt, child_main, &child) < 0;
	}
	if (argc >= 3) {
		struct mode m = {.power = strcmp(argv[1], "kill") != 0,
			.failing = strcmp(argv[1], "fail") == 0,
			.unsynced = strcmp(argv[1], "unsynced") == 0,
			.shim = argc > 3 ? argv[3] : NULL};

		if (!m.power || m.shim)
			return parent(&m, argv[1], strtoul(argv[2], NULL, 0));
	}
	fprintf(stderr, "crash kill ROUNDS | power|fail|unsynced ROUNDS SHIM\n");
	return 2;
}
