/*
 * The write-ahead log by itself, against a list of what was appended: replays over segments that
 * are written over, torn and missing records, records whose write failed, files of others.
 */
#include "kv/wal.h"

#include "base/mem.h"
#include "test/kv/contract.h"
#include "test/kv/failing_sync.h"
#include "test/test.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { KIB = 1024, MIB = 1024 * KIB, HEAD = 32, BLOCK = 4096, RECORDS_MAX = 1024 };

_Atomic int wal_syncs, wal_sync_failures;

bool wal_sync_fails(int fd)
{
	char link[64], path[256];
	ssize_t n;

	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof path);
	if (n < 4 || memcmp(path + n - 4, ".wal", 4) != 0)
		return false;
	wal_syncs++;
	if (wal_sync_failures == 0)
		return false;
	wal_sync_failures--;
	return true;
}

/* --- a log and what is in it ----------------------------------------------------------------- */

struct record {
	char tag;
	size_t n;
};

struct world {
	const char *folder;
	size_t segment_bytes;
	bool synced;
	struct wal w;
	struct record records[RECORDS_MAX]; /* by number - 1 */
	uint64_t written;
	/* a replay */
	uint64_t seen, stop_at;
};

static void world_init(struct world *w, size_t segment_bytes, bool synced)
{
	*w = (struct world){
		.folder = test_folder(), .segment_bytes = segment_bytes, .synced = synced};
	wal_init(&w->w);
}

static void world_done(struct world *w)
{
	wal_close(&w->w);
}

static char *text_of(struct record r)
{
	char *text = mem_alloc(r.n + 1);

	for (size_t i = 0; i < r.n; i++)
		text[i] = (char)(r.tag + i / 97);
	return text;
}

static int append(struct world *w, char tag, size_t n)
{
	struct record r = {tag, n};
	char *text cleanup(mem_free_p) = text_of(r);
	int rc = wal_append(&w->w, str_of(text, n));

	if (rc == 0)
		w->records[w->written++] = r;
	return rc;
}

static void put(struct world *w, char tag, size_t n)
{
	EXPECT_INT(append(w, tag, n), 0);
	EXPECT_INT(w->w.number, w->written);
}

static int see(void *arg, str batch)
{
	struct world *w = arg;
	struct record r = w->records[w->seen % RECORDS_MAX];
	char *text cleanup(mem_free_p) = text_of(r);

	if (++w->seen == w->stop_at)
		return ERR_BUSY;
	EXPECT(str_eq(batch, str_of(text, r.n)));
	return 0;
}

/* What a start finds behind `persisted`. */
static int64_t replay(struct world *w, uint64_t persisted)
{
	int64_t n;

	wal_close(&w->w);
	w->seen = persisted;
	if (!EXPECT_INT(wal_open(&w->w, w->folder, w->segment_bytes, w->synced), 0))
		return ERR_INTERNAL;
	n = wal_replay(&w->w, persisted, see, w);
	if (n >= 0)
		EXPECT_INT(w->w.number, persisted + (uint64_t)n);
	return n;
}

/* It finds all. */
static void again(struct world *w, uint64_t persisted)
{
	EXPECT_INT(replay(w, persisted), w->written - persisted);
}

/* --- files ----------------------------------------------------------------------------------- */

static int file_open(const struct world *w, const char *name, int flags)
{
	char path[256];
	int fd;

	snprintf(path, sizeof path, "%s/%s", w->folder, name);
	fd = open(path, flags | O_CLOEXEC, 0600);
	EXPECT(fd >= 0);
	return fd;
}

static size_t load(const struct world *w, const char *name, char *to, size_t size)
{
	int fd = file_open(w, name, O_RDONLY);
	ssize_t n = read(fd, to, size);

	close(fd);
	EXPECT(n >= 0 && (size_t)n < size);
	return n < 0 ? 0 : (size_t)n;
}

static void store(const struct world *w, const char *name, const char *p, size_t n)
{
	int fd = file_open(w, name, O_WRONLY | O_CREAT | O_TRUNC);

	EXPECT_INT(write(fd, p, n), n);
	close(fd);
}

static void drop(const struct world *w, const char *name)
{
	char path[256];

	snprintf(path, sizeof path, "%s/%s", w->folder, name);
	EXPECT_INT(unlink(path), 0);
}

static off_t size_of(const struct world *w, unsigned id)
{
	struct stat st = {0};
	char path[256];

	snprintf(path, sizeof path, "%s/%u.wal", w->folder, id);
	EXPECT_INT(stat(path, &st), 0);
	return st.st_size;
}

static unsigned files(const struct world *w)
{
	DIR *dir = opendir(w->folder);
	struct dirent *e;
	unsigned n = 0;

	while (dir && (e = readdir(dir)))
		n += e->d_name[0] != '.';
	if (dir)
		closedir(dir);
	return n;
}

static const struct wal_segment *current(const struct world *w)
{
	return &w->w.segments[w->w.current];
}

/* --- append and replay ----------------------------------------------------------------------- */

/* Around the block, with its head and without; around the room; giants. */
static const size_t sizes[] = {0, 1, 12, BLOCK - HEAD - 1, BLOCK - HEAD, BLOCK - HEAD + 1,
	BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK - HEAD, 256 * KIB - HEAD - 1, 256 * KIB - HEAD,
	256 * KIB - HEAD + 1, 256 * KIB, 512 * KIB - HEAD, 3 * MIB, 5 * MIB + 7, 0, 100};

TEST(wal, sizes_and_segments)
{
	static const size_t segments[] = {1, 64 * KIB, 300 * KIB, 16 * MIB};

	for (unsigned i = 0; i < 2 * ARRAY_SIZE(segments) && !test_failures(); i++) {
		struct world w cleanup(world_done) = {0};

		world_init(&w, segments[i / 2], i % 2);
		again(&w, 0);
		for (unsigned j = 0; j < ARRAY_SIZE(sizes); j++) {
			put(&w, (char)('a' + j), sizes[j]);
			if (j % 4 == 3)
				again(&w, 0);
		}
		for (uint64_t persisted = 0; persisted <= w.written; persisted += 3)
			again(&w, persisted);
		/* What the tables have and the log does not: it goes on behind. */
		EXPECT_INT(replay(&w, w.written + 5), 0);
	}
}

TEST(wal, limits)
{
	struct world w cleanup(world_done) = {0};
	static char text[1];

	world_init(&w, MIB, false);
	again(&w, 0);
	EXPECT_INT(wal_append(&w.w, str_of(text, WAL_RECORD_BYTES_MAX + 1)), ERR_TOO_LARGE);
	put(&w, 'a', 10);
	EXPECT(!wal_is_full(&w.w, MIB - 2 * HEAD - 10));
	EXPECT(wal_is_full(&w.w, MIB - 2 * HEAD - 9));
	again(&w, 0);
	EXPECT(wal_is_full(&w.w, 0));
	wal_close(&w.w);
	wal_close(&w.w);
	EXPECT_INT(wal_open(&w.w, "/proc/no/such/folder", 1, true), ERR_NOT_FOUND);
}

TEST(wal, an_error_of_apply_ends_the_replay)
{
	struct world w cleanup(world_done) = {0};

	world_init(&w, 1, false);
	again(&w, 0);
	for (unsigned i = 0; i < 5; i++)
		put(&w, 'a', 100);
	w.stop_at = 3;
	EXPECT_INT(replay(&w, 0), ERR_BUSY);
	EXPECT_INT(w.seen, 3);
	EXPECT_INT(replay(&w, 3), 2);
}

/* Synced: one for each record. Not synced: one when a segment ends, and when told to. */
TEST(wal, syncs)
{
	for (unsigned synced = 0; synced < 2; synced++) {
		struct world w cleanup(world_done) = {0};

		world_init(&w, 10 * KIB, synced);
		again(&w, 0);
		wal_syncs = 0;
		for (unsigned i = 0; i < 10; i++)
			put(&w, 'a', 2 * KIB - HEAD); /* five in a segment */
		EXPECT_INT(wal_syncs, synced ? 10 : 1);
		EXPECT_INT(wal_sync(&w.w), 0);
		EXPECT_INT(wal_syncs, synced ? 11 : 2);
	}
}

/* --- segments that are written over ---------------------------------------------------------- */

/* The one that is to be written over next: of those that are free the one written first. */
static unsigned oldest_free(const struct world *w)
{
	const struct wal_segment *found = NULL;

	for (size_t i = 0; i < w->w.n_segments; i++) {
		const struct wal_segment *s = &w->w.segments[i];

		if ((w->w.fd < 0 || i != w->w.current) && s->last <= w->w.persisted &&
			(!found || s->serial < found->serial))
			found = s;
	}
	return found ? found->id : 0;
}

TEST(wal, only_what_the_tables_have_is_written_over)
{
	struct world w cleanup(world_done) = {0};

	world_init(&w, 1, false);
	again(&w, 0);
	for (unsigned i = 0; i < 10; i++)
		put(&w, (char)('a' + i), 100);
	EXPECT_INT(files(&w), 10);
	wal_persisted(&w.w, 3);
	wal_persisted(&w.w, 2);
	for (unsigned i = 0; i < 3; i++) {
		unsigned next = oldest_free(&w);

		put(&w, (char)('k' + i), 100);
		EXPECT_INT(current(&w)->id, next);
	}
	EXPECT_INT(files(&w), 10);
	again(&w, 3);
	put(&w, 'n', 100);
	EXPECT_INT(files(&w), 11);
	again(&w, 3);
	/* After a start the tables get everything first. */
	wal_persisted(&w.w, 9);
	EXPECT_INT(files(&w), 5 + 4);
	for (unsigned i = 0; i < 4; i++) {
		unsigned next = oldest_free(&w);

		put(&w, (char)('o' + i), 100);
		EXPECT_INT(current(&w)->id, next);
	}
	EXPECT_INT(files(&w), 5 + 4);
	put(&w, 's', 100);
	EXPECT_INT(files(&w), 5 + 4 + 1);
	again(&w, 9);
	wal_persisted(&w.w, w.written);
	EXPECT_INT(files(&w), 4);
	EXPECT_INT(replay(&w, w.written), 0);
}

/* Records of one size have their heads where the segment had heads before. */
TEST(wal, what_a_segment_held_is_never_replayed)
{
	static const size_t equal[] = {
		BLOCK - HEAD, BLOCK / 2 - HEAD, BLOCK / 4 - HEAD, BLOCK + 1, 3 * BLOCK - HEAD, 0};

	for (unsigned i = 0; i < ARRAY_SIZE(equal) && !test_failures(); i++) {
		struct world w cleanup(world_done) = {0};
		struct dice dice = dice_of(1, i);
		uint64_t persisted = 0;

		world_init(&w, 8 * BLOCK, i == 0);
		again(&w, 0);
		for (unsigned j = 0; j < 300 && !test_failures(); j++) {
			put(&w, (char)j, equal[i]);
			if (dice_below(&dice, 4) == 0)
				again(&w, persisted);
			if (j % 10 == 9) {
				persisted = MAX(persisted, w.written - dice_below(&dice, 8));
				wal_persisted(&w.w, persisted);
			}
		}
		EXPECT(files(&w) < 20);
	}
}

/* Nothing was synced, and the power cut took the first block, but not those behind it. */
TEST(wal, what_a_power_cut_left_is_never_replayed)
{
	static const char nothing[BLOCK];
	struct world w cleanup(world_done) = {0};
	int fd;

	world_init(&w, MIB, false);
	again(&w, 0);
	for (unsigned i = 0; i < 8; i++)
		put(&w, 'a', BLOCK - HEAD);
	fd = file_open(&w, "1.wal", O_WRONLY);
	EXPECT_INT(pwrite(fd, nothing, BLOCK, 0), BLOCK);
	close(fd);
	w.written = 0;
	again(&w, 0);
	for (unsigned i = 0; i < 3; i++) {
		put(&w, 'b', BLOCK - HEAD);
		EXPECT_INT(current(&w)->id, 1);
	}
	again(&w, 0);
}

TEST(wal, a_giant_gives_its_place_back)
{
	/* once written, once failed */
	for (unsigned failing = 0; failing < 2; failing++) {
		struct world w cleanup(world_done) = {0};
		unsigned giant;

		world_init(&w, 64 * KIB, true);
		again(&w, 0);
		put(&w, 'a', 100);
		wal_sync_failures = (int)failing;
		EXPECT_INT(append(&w, 'b', 3 * MIB), failing ? ERR_IO : 0);
		giant = current(&w)->id;
		EXPECT(size_of(&w, giant) > 3 * MIB);
		if (!failing)
			again(&w, 0);
		wal_persisted(&w.w, w.written);
		for (unsigned i = 0; i < 8 && (i == 0 || current(&w)->id != giant); i++)
			put(&w, 'c', 40 * KIB);
		EXPECT_INT(current(&w)->id, giant);
		EXPECT_INT(size_of(&w, giant), 64 * KIB);
		again(&w, w.w.persisted);
	}
}

/* --- damage ---------------------------------------------------------------------------------- */

enum damage { FLIP, ZERO, CUT, DAMAGES };

/* False: it changes nothing. */
static bool damage(
	struct world *w, const char *name, const char *image, size_t n, size_t at, enum damage how)
{
	char *copy cleanup(mem_free_p) = mem_alloc(n);

	if (how == ZERO && !image[at])
		return false;
	memcpy(copy, image, n);
	copy[at] = how == FLIP ? (char)~copy[at] : 0;
	store(w, name, copy, how == CUT ? at : n);
	return true;
}

/* The last of three, in a segment with the others and in one of its own. */
TEST(wal, a_torn_end)
{
	static const struct {
		size_t segment_bytes;
		const char *name;
		size_t begin;
	} places[] = {{MIB, "1.wal", 2 * HEAD + 100 + 5000}, {1, "3.wal", 0}};
	static char image[32 * KIB];

	for (unsigned i = 0; i < ARRAY_SIZE(places); i++) {
		struct world w cleanup(world_done) = {0};
		size_t n, begin = places[i].begin, end = begin + HEAD + 7000;

		world_init(&w, places[i].segment_bytes, false);
		again(&w, 0);
		put(&w, 'a', 100);
		put(&w, 'b', 5000);
		put(&w, 'c', 7000);
		again(&w, 0);
		n = load(&w, places[i].name, image, sizeof image);
		for (size_t at = begin; at < end; at += at < begin + HEAD || at > end - 5 ? 1 : 61)
			for (unsigned how = 0; how < DAMAGES && !test_failures(); how++)
				if (damage(&w, places[i].name, image, n, at, how))
					EXPECT_INT(replay(&w, 0), 2);
		/* Its number is given again, and what was behind it does not come back. */
		w.written = 2;
		put(&w, 'd', 50);
		put(&w, 'e', 50);
		again(&w, 0);
		if (i > 0)
			continue;
		/* Nor when the disk gives all of it back after all. */
		store(&w, places[i].name, image, n);
		again(&w, 0);
		again(&w, 1);
	}
}

/* Four segments of three records. */
static void twelve(struct world *w)
{
	world_init(w, 3 * KIB, false);
	again(w, 0);
	for (unsigned i = 0; i < 12; i++)
		put(w, (char)('a' + i), KIB - HEAD);
	EXPECT_INT(files(w), 4);
}

TEST(wal, a_missing_record_before_others)
{
	static const struct {
		const char *name;
		int at; /* of a damaged byte; -1: the whole file is missing */
		uint64_t persisted;
		int64_t expected;
	} cases[] = {
		{"2.wal", -1, 0, ERR_CORRUPT},
		{"2.wal", -1, 3, ERR_CORRUPT},
		{"2.wal", -1, 5, ERR_CORRUPT},
		{"2.wal", -1, 6, 6},
		{"1.wal", -1, 0, ERR_CORRUPT},
		{"1.wal", -1, 3, 9},
		{"4.wal", -1, 0, 9},
		{"2.wal", 0, 0, ERR_CORRUPT},
		{"2.wal", KIB + 9, 0, ERR_CORRUPT},
		{"2.wal", KIB + 18, 0, ERR_CORRUPT},
		{"2.wal", KIB + 500, 0, ERR_CORRUPT},
		{"2.wal", 2 * KIB + 500, 0, ERR_CORRUPT},
		{"2.wal", KIB + 500, 6, 6},
		{"2.wal", KIB + 500, 5, 7}, /* of those that are there already heads are enough */
		{"1.wal", 500, 0, ERR_CORRUPT},
		/* Nothing behind it but what is in the same segment: taken for the end. */
		{"4.wal", KIB + 500, 0, 10},
		{"4.wal", 500, 0, 9},
	};
	static char image[8 * KIB];

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		struct world w cleanup(world_done) = {0};
		size_t n;

		twelve(&w);
		n = load(&w, cases[i].name, image, sizeof image);
		if (cases[i].at < 0)
			drop(&w, cases[i].name);
		else
			damage(&w, cases[i].name, image, n, (size_t)cases[i].at, FLIP);
		EXPECT_INT(replay(&w, cases[i].persisted), cases[i].expected);
	}
}

/* --- writes that fail ------------------------------------------------------------------------ */

TEST(wal, a_failed_record_is_void_once_its_number_is_written)
{
	struct world w cleanup(world_done) = {0};

	world_init(&w, MIB, true);
	again(&w, 0);
	put(&w, 'a', 100);
	wal_sync_failures = 2;
	EXPECT_INT(append(&w, 'b', 200), ERR_IO);
	EXPECT_INT(append(&w, 'c', 300), ERR_IO);
	/* It is there all the same, the last one of the two. */
	w.records[1] = (struct record){'c', 300};
	EXPECT_INT(replay(&w, 0), 2);
	w.written = 2;
	wal_sync_failures = 1;
	EXPECT_INT(append(&w, 'd', 200), ERR_IO);
	put(&w, 'e', 100);
	put(&w, 'f', 100);
	again(&w, 0);
	again(&w, 2);
	again(&w, 3);
	/* Nor does it come back while segments are written over. */
	for (uint64_t persisted = 3; persisted < 13; persisted++) {
		put(&w, 'g', 300 * KIB);
		put(&w, 'h', 800 * KIB);
		again(&w, persisted);
		wal_persisted(&w.w, persisted + 1);
	}
}

/* The disk may fail for hours. */
TEST(wal, failing_writes_cost_no_segments)
{
	struct world w cleanup(world_done) = {0};

	world_init(&w, MIB, true);
	again(&w, 0);
	put(&w, 'a', 100);
	for (unsigned i = 0; i < 2 * WAL_SEGMENTS_MAX; i++) {
		wal_sync_failures = 1;
		EXPECT_INT(append(&w, 'b', 10), ERR_IO);
	}
	EXPECT_INT(wal_sync_failures, 0);
	EXPECT(files(&w) <= 3);
	put(&w, 'c', 100);
	again(&w, 0);
}

/* A segment's end that was not synced: no other is begun before it is. */
TEST(wal, a_segment_is_synced_before_the_next)
{
	struct world w cleanup(world_done) = {0};

	world_init(&w, 1, false);
	again(&w, 0);
	put(&w, 'a', 100);
	wal_sync_failures = 1;
	EXPECT_INT(append(&w, 'b', 100), ERR_IO);
	EXPECT_INT(files(&w), 1);
	put(&w, 'b', 100);
	again(&w, 0);
}

/* --- the folder ------------------------------------------------------------------------------ */

TEST(wal, other_files_are_left_alone)
{
	static const char *const names[] = {"x.wal", "01.wal", "0.wal", "1.wal.old", " 1.wal",
		"-1.wal", "+1.wal", "4294967297.wal", "1", "CURRENT"};
	static char image[8 * KIB], now[8 * KIB];
	struct world w cleanup(world_done) = {0};
	size_t n;

	twelve(&w);
	n = load(&w, "2.wal", image, sizeof image);
	for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
		store(&w, names[i], image, n);
	again(&w, 0);
	wal_persisted(&w.w, 12);
	for (unsigned i = 0; i < 40; i++) {
		put(&w, 'x', KIB);
		wal_persisted(&w.w, w.written);
	}
	again(&w, 50);
	for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
		EXPECT_INT(load(&w, names[i], now, sizeof now), n);
		EXPECT(memcmp(now, image, n) == 0);
	}
}

TEST(wal, so_many_segments_and_no_more)
{
	struct world w cleanup(world_done) = {0};
	char name[32];

	world_init(&w, MIB, false);
	for (unsigned i = 1; i <= WAL_SEGMENTS_MAX; i++) {
		snprintf(name, sizeof name, "%u.wal", i);
		store(&w, name, "", 0);
	}
	/* In whatever order they are found. */
	for (unsigned i = 0; i < 20; i++) {
		snprintf(name, sizeof name, "other%u", i);
		store(&w, name, "", 0);
	}
	again(&w, 0);
	put(&w, 'a', 100);
	again(&w, 0);
	wal_persisted(&w.w, 1);
	EXPECT_INT(files(&w), 20 + 4);
	for (unsigned i = 1; i <= WAL_SEGMENTS_MAX + 1; i++) {
		snprintf(name, sizeof name, "%u.wal", i);
		store(&w, name, "", 0);
	}
	wal_close(&w.w);
	EXPECT_INT(wal_open(&w.w, w.folder, MIB, false), ERR_CORRUPT);
	EXPECT_INT(w.w.folder_fd, -1);
}
