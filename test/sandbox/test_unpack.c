/*
 * Unpacking: good archives, and hostile ones, all made here byte by byte.
 */
#include "base/buf.h"
#include "sandbox/sys.h"
#include "sandbox/unpack.h"
#include "test/test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <zlib.h>

/* --- making archives ------------------------------------------------------------------------ */

struct zip {
	struct buf files, directory;
	unsigned count;
};

static void put16(struct buf *b, unsigned v)
{
	buf_put(b, str_of((const uint8_t[]){(uint8_t)v, (uint8_t)(v >> 8)}, 2));
}

static void put32(struct buf *b, uint32_t v)
{
	put16(b, v & 0xffff);
	put16(b, v >> 16);
}

static void zip_init(struct zip *z)
{
	*z = (struct zip){.count = 0};
	buf_init(&z->files, NULL, 256 << 20);
	buf_init(&z->directory, NULL, 64 << 20);
}

enum { FLAG_UTF8 = 0x800, FLAG_ENCRYPTED = 1 };

/* `mode` as in stat; `data` is stored, or deflated when `packed` is set. */
static void zip_add_raw(struct zip *z, str name, unsigned mode, str data, size_t full_bytes,
	uint32_t crc, unsigned method, unsigned flags)
{
	size_t at = z->files.n;
	struct buf *both[] = {&z->files, &z->directory};

	for (int i = 0; i < 2; i++) {
		struct buf *b = both[i];

		put32(b, i ? 0x02014b50 : 0x04034b50);
		if (i)
			put16(b, 3 << 8 | 20); /* made by Unix */
		put16(b, 20);
		put16(b, flags);
		put16(b, method);
		put32(b, 0x5a210000);
		put32(b, crc);
		put32(b, (uint32_t)data.n);
		put32(b, (uint32_t)full_bytes);
		put16(b, (unsigned)name.n);
		put16(b, 0);
		if (i) {
			put16(b, 0);
			put16(b, 0);
			put16(b, 0);
			put32(b, (uint32_t)mode << 16);
			put32(b, (uint32_t)at);
		}
		buf_put(b, name);
		if (!i)
			buf_put(b, data);
	}
	z->count++;
}

static void zip_add(struct zip *z, str name, unsigned mode, str data)
{
	zip_add_raw(z, name, mode, data, data.n,
		(uint32_t)crc32(0, (const Bytef *)data.p, (uInt)data.n), 0, FLAG_UTF8);
}

static void zip_add_deflated(struct zip *z, str name, str data)
{
	uLong bound = compressBound(data.n) + 64;
	Bytef *packed = calloc(1, bound);
	z_stream stream = {.next_in = (Bytef *)(uintptr_t)data.p,
		.avail_in = (uInt)data.n,
		.next_out = packed,
		.avail_out = (uInt)bound};

	if (!packed || deflateInit2(&stream, 9, Z_DEFLATED, -15, 9, 0) != Z_OK ||
		deflate(&stream, Z_FINISH) != Z_STREAM_END)
		abort();
	zip_add_raw(z, name, S_IFREG | 0644, str_of(packed, stream.total_out), data.n,
		(uint32_t)crc32(0, (const Bytef *)data.p, (uInt)data.n), 8, FLAG_UTF8);
	deflateEnd(&stream);
	free(packed);
}

/* Writes it into an unnamed file and frees it. */
static int zip_close(struct zip *z)
{
	int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	size_t at = z->files.n, n = z->directory.n;

	buf_put(&z->files, buf_str(&z->directory));
	put32(&z->files, 0x06054b50);
	put32(&z->files, 0);
	put16(&z->files, z->count & 0xffff);
	put16(&z->files, z->count & 0xffff);
	put32(&z->files, (uint32_t)n);
	put32(&z->files, (uint32_t)at);
	put16(&z->files, 0);
	if (fd < 0 || z->files.over || write(fd, z->files.p, z->files.n) != (ssize_t)z->files.n)
		abort();
	buf_done(&z->files);
	buf_done(&z->directory);
	return fd;
}

/* --- cases ---------------------------------------------------------------------------------- */

static unsigned count_names(const char *folder)
{
	DIR *dir = opendir(folder);
	unsigned n = 0;

	while (dir && readdir(dir))
		n++;
	if (dir)
		closedir(dir);
	return n - 2;
}

static int unpack_closing(int archive, const char *folder, const struct unpack_limits *limits,
	struct unpack_result *ret_result, struct sandbox_error *error)
{
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc = unpack_zip(archive, fd, "code", limits, ret_result, error);

	close(fd);
	close(archive);
	return rc;
}

/* Refused with this text, and nothing left behind. */
static void refuses_with(
	struct zip *z, const struct unpack_limits *limits, int rc, const char *text)
{
	const char *folder = test_folder();
	struct unpack_result result;
	struct sandbox_error error = {""};

	EXPECT_INT(unpack_closing(zip_close(z), folder, limits, &result, &error), rc);
	EXPECT_STR(str_c(error.text), str_c(text));
	EXPECT_INT(count_names(folder), 0);
}

static void refuses(str name, unsigned mode, str data, const char *text)
{
	struct zip z;

	zip_init(&z);
	zip_add(&z, STR("before.txt"), S_IFREG | 0644, STR("x"));
	zip_add(&z, name, mode, data);
	refuses_with(&z, NULL, ERR_INVALID, text);
}

TEST(unpack, writes_what_is_in_it)
{
	const char *folder = test_folder();
	struct unpack_result result;
	struct sandbox_error error = {""};
	struct zip z;
	char path[256], text[64] = "";
	struct stat st;
	int dir;

	for (int round = 0; round < 2; round++) {
		zip_init(&z);
		zip_add(&z, STR("index.js"), S_IFREG | 0600, STR("exports.handler = 1"));
		zip_add(&z, STR("bin/run"), S_IFREG | 0700, STR("#!/bin/sh\n"));
		zip_add(&z, STR("empty/"), S_IFDIR | 0700, STR(""));
		zip_add(&z, STR("bin/deep/er"), S_IFLNK | 0777, STR("../../index.js"));
		zip_add(&z, STR("\xc3\xa9t\xc3\xa9.txt"), S_IFREG | 0644, STR("ete"));
		zip_add_deflated(&z, STR("./packed.txt"), STR("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
		/* Again: the later one counts, as with other tools. */
		zip_add(&z, STR("index.js"), S_IFREG | 0600, STR("later"));
		EXPECT_INT(unpack_closing(zip_close(&z), folder, NULL, &result, &error), 0);
		EXPECT_STR(str_c(error.text), STR(""));
		EXPECT_INT(result.existed, round);
	}
	EXPECT_INT(count_names(folder), 1);
	dir = open(folder, O_RDONLY | O_DIRECTORY);
	EXPECT(sys_read_file(dir, "code/index.js", text, sizeof text) == 5);
	EXPECT_STR(str_c(text), STR("later"));
	EXPECT(sys_read_file(dir, "code/packed.txt", text, sizeof text) == 32);
	EXPECT(sys_read_file(dir, "code/bin/deep/er", text, sizeof text) == 5);
	EXPECT(sys_read_file(dir, "code/\xc3\xa9t\xc3\xa9.txt", text, sizeof text) == 3);
	EXPECT_INT(fstatat(dir, "code/index.js", &st, 0), 0);
	EXPECT_INT(st.st_mode, S_IFREG | 0644);
	EXPECT_INT(fstatat(dir, "code/bin/run", &st, 0), 0);
	EXPECT_INT(st.st_mode, S_IFREG | 0755);
	EXPECT_INT(fstatat(dir, "code/empty", &st, 0), 0);
	EXPECT_INT(st.st_mode, S_IFDIR | 0755);
	EXPECT_INT(fstatat(dir, "code", &st, 0), 0);
	EXPECT_INT(st.st_mode, S_IFDIR | 0755);
	/* What a crash would leave is swept, and nothing else. */
	snprintf(path, sizeof path, "%s/.unpack-1-2.3", folder);
	EXPECT_INT(mkdir(path, 0700), 0);
	snprintf(path, sizeof path, "%s/.unpack-1-2.3/sub", folder);
	EXPECT_INT(mkdir(path, 0700), 0);
	EXPECT_INT(unpack_sweep(dir), 0);
	EXPECT_INT(count_names(folder), 1);
	close(dir);
}

/* Whatever numbers the parent's descriptors have. */
TEST(unpack, descriptors_of_any_number)
{
	const char *folder = test_folder();
	int held[160];
	size_t count = 0;

	while (count < ARRAY_SIZE(held)) {
		struct unpack_result result;
		struct sandbox_error error = {""};
		char name[32];
		struct zip z;
		int fd, archive;

		zip_init(&z);
		zip_add(&z, STR("index.js"), S_IFREG | 0600, STR("exports.handler = 1"));
		archive = zip_close(&z);
		fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		snprintf(name, sizeof name, "code%zu", count);
		ASSERT_INT(unpack_zip(archive, fd, name, NULL, &result, &error), 0);
		EXPECT_STR(str_c(error.text), STR(""));
		close(fd);
		close(archive);
		held[count] = open("/dev/null", O_RDONLY | O_CLOEXEC);
		ASSERT_INT(held[count] >= 0, 1);
		count++;
	}
	EXPECT_INT(count_names(folder), (int)count);
	while (count)
		close(held[--count]);
}

TEST(unpack, refuses_what_leads_outside)
{
	struct zip z;

	refuses(STR("../evil"), S_IFREG | 0644, STR("x"), "../evil leads outside (\"..\")");
	refuses(STR("a/../../evil"), S_IFREG | 0644, STR("x"),
		"a/../../evil leads outside (\"..\")");
	refuses(STR("a/.."), S_IFDIR | 0755, STR(""), "a/../ leads outside (\"..\")");
	refuses(STR("/etc/evil"), S_IFREG | 0644, STR("x"), "/etc/evil is an absolute path");
	refuses(STR("link"), S_IFLNK | 0777, STR("/etc/passwd"),
		"the link link leads outside (absolute)");
	refuses(STR("link"), S_IFLNK | 0777, STR("../x"), "the link link leads outside (\"..\")");
	refuses(STR("a/link"), S_IFLNK | 0777, STR("../b/../../x"),
		"the link a/link leads outside (\"..\")");
	refuses(STR("link"), S_IFLNK | 0777, STR(""), "the link link has an unusable target");
	refuses(STR("dev"), S_IFCHR | 0644, STR(""),
		"dev is neither a file, nor a folder, nor a link");
	refuses(STR("sock"), S_IFSOCK | 0644, STR(""),
		"sock is neither a file, nor a folder, nor a link");
	refuses(STR("bad\xff\xfe"), S_IFREG | 0644, STR("x"), "an entry's name is not UTF-8");
	refuses(STR("before.txt/inside"), S_IFREG | 0644, STR("x"),
		"before.txt/inside lies below a link or a file");
	refuses(STR("before.txt/"), S_IFDIR | 0755, STR(""),
		"before.txt/ is in the archive twice, as different kinds");
	/* Through a link that stays inside, and over one. */
	zip_init(&z);
	zip_add(&z, STR("real/"), S_IFDIR | 0755, STR(""));
	zip_add(&z, STR("link"), S_IFLNK | 0777, STR("real"));
	zip_add(&z, STR("link/file"), S_IFREG | 0644, STR("x"));
	refuses_with(&z, NULL, ERR_INVALID, "link/file lies below a link or a file");
	zip_init(&z);
	zip_add(&z, STR("link"), S_IFLNK | 0777, STR("file"));
	zip_add(&z, STR("link"), S_IFREG | 0644, STR("x"));
	refuses_with(&z, NULL, ERR_INVALID, "link lies below a link or a file");
}

TEST(unpack, refuses_what_is_damaged)
{
	static const str no_zips[] = {STR_INIT(""), STR_INIT("PK"),
		STR_INIT("hello, this is no archive"),
		STR_INIT("PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0")};
	struct zip z;

	for (size_t i = 0; i < ARRAY_SIZE(no_zips); i++) {
		int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
		const char *folder = test_folder();
		struct unpack_result result;
		struct sandbox_error error = {""};

		if (write(fd, no_zips[i].p, no_zips[i].n) != (ssize_t)no_zips[i].n)
			abort();
		EXPECT_INT(unpack_closing(fd, folder, NULL, &result, &error), ERR_INVALID);
		EXPECT_STR(str_c(error.text),
			i == 3 ? STR("the archive is empty") : STR("it is not a zip archive"));
		EXPECT_INT(count_names(folder), 0);
	}
	zip_init(&z);
	zip_add_raw(&z, STR("secret"), S_IFREG | 0644, STR("0123456789abcdef"), 4, 0, 0,
		FLAG_ENCRYPTED | FLAG_UTF8);
	refuses_with(&z, NULL, ERR_INVALID, "secret is encrypted");
	zip_init(&z);
	zip_add_raw(&z, STR("file"), S_IFREG | 0644, STR("\xff\xff\xff\xff"), 100, 1, 8, FLAG_UTF8);
	{
		const char *folder = test_folder();
		struct unpack_result result;
		struct sandbox_error error = {""};

		EXPECT_INT(
			unpack_closing(zip_close(&z), folder, NULL, &result, &error), ERR_INVALID);
		EXPECT(str_starts(str_c(error.text), STR("file is damaged: ")));
		EXPECT_INT(count_names(folder), 0);
	}
}

TEST(unpack, refuses_bombs)
{
	struct zip z;
	struct unpack_limits limits = {.total_bytes = 1 << 20};
	char *zeros = calloc(1, 8 << 20), name[2048];

	zip_init(&z);
	zip_add_deflated(&z, STR("zeros"), str_of(zeros, (1 << 20) + 1));
	refuses_with(&z, &limits, ERR_TOO_LARGE, "unpacked it is larger than 1048576 bytes");
	limits = (struct unpack_limits){.ratio = 100};
	zip_init(&z);
	zip_add_deflated(&z, STR("zeros"), str_of(zeros, 8 << 20));
	refuses_with(&z, &limits, ERR_TOO_LARGE, "it unpacks to more than 100 times its size");
	limits = (struct unpack_limits){.entries = 10};
	zip_init(&z);
	for (unsigned i = 0; i < 11; i++) {
		snprintf(name, sizeof name, "file%u", i);
		zip_add(&z, str_c(name), S_IFREG | 0644, STR(""));
	}
	refuses_with(&z, &limits, ERR_TOO_LARGE, "it has more than 10 entries");
	limits = (struct unpack_limits){.depth = 3};
	zip_init(&z);
	zip_add(&z, STR("1/2/3/4/file"), S_IFREG | 0644, STR(""));
	refuses_with(&z, &limits, ERR_TOO_LARGE, "1/2/3/4/file is nested deeper than 3 folders");
	/* The sizes that an archive claims are not believed. */
	limits = (struct unpack_limits){.total_bytes = 1 << 20};
	zip_init(&z);
	zip_add(&z, STR("a"), S_IFREG | 0644, str_of(zeros, 600 << 10));
	zip_add(&z, STR("b"), S_IFREG | 0644, str_of(zeros, 600 << 10));
	refuses_with(&z, &limits, ERR_TOO_LARGE, "unpacked it is larger than 1048576 bytes");
	memset(name, 'n', 300);
	name[300] = 0;
	zip_init(&z);
	zip_add(&z, str_c(name), S_IFREG | 0644, STR(""));
	{
		const char *folder = test_folder();
		struct unpack_result result;
		struct sandbox_error error = {""};

		EXPECT_INT(
			unpack_closing(zip_close(&z), folder, NULL, &result, &error), ERR_INVALID);
		EXPECT_INT(count_names(folder), 0);
	}
	free(zeros);
}
