/*
 * Layers of container images: what they may hold, what an overlay needs of them, and hostile ones.
 */
#include "sandbox/sys.h"
#include "sandbox/unpack.h"
#include "test/sandbox/tar.h"
#include "test/test.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <zlib.h>

static void begin(struct buf *b)
{
	buf_init(b, NULL, 64 << 20);
}

/* Unpacks what is in the buffer, which is freed. */
static int unpack_buf(struct buf *b, const char *folder, struct sandbox_error *error)
{
	cleanup(sys_close_p) int archive = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	cleanup(sys_close_p) int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct unpack_result result;

	if (archive < 0 || fd < 0 || b->over || write(archive, b->p, b->n) != (ssize_t)b->n)
		abort();
	buf_done(b);
	return unpack_layer(archive, fd, "layer", NULL, &result, error);
}

static int finish(struct buf *b, const char *folder, struct sandbox_error *error)
{
	tar_end(b);
	return unpack_buf(b, folder, error);
}

static struct stat look(const char *folder, const char *name)
{
	struct stat st = {0};
	char path[512];

	snprintf(path, sizeof(path), "%s/layer/%s", folder, name);
	if (!EXPECT_INT(lstat(path, &st), 0))
		test_fail(__FILE__, __LINE__, "no %s", name);
	return st;
}

TEST(layer, holds_what_images_hold)
{
	const char *folder = test_folder();
	struct sandbox_error error = {""};
	char path[512], value[8] = "";
	struct stat st, other;
	struct buf b;

	begin(&b);
	tar_add(&b, "./", '5', 0755, STR(""), NULL);
	tar_file(&b, "usr/bin/su", 04755, STR("program"));
	tar_add(&b, "usr/bin/again", '1', 0755, STR(""), "usr/bin/su");
	tar_add(&b, "bin", '2', 0777, STR(""), "/usr/bin");
	tar_add(&b, "up", '2', 0777, STR(""), "../../../etc/shadow");
	tar_add(&b, "etc", '5', 0700, STR(""), NULL);
	tar_file(&b, "etc/.wh.gone", 0, STR(""));
	tar_file(&b, "var/.wh..wh..opq", 0, STR(""));
	tar_file(&b, "var/.wh..wh.plnk", 0, STR(""));
	tar_file(&b, "var/new", 0600, STR("n"));
	/* Replaced, and not written through its other name. */
	tar_file(&b, "usr/bin/su", 0644, STR("later"));
	if (!EXPECT_INT(finish(&b, folder, &error), 0)) {
		test_fail(__FILE__, __LINE__, "%s", error.text);
		return;
	}
	st = look(folder, "usr/bin/su");
	other = look(folder, "usr/bin/again");
	EXPECT_INT(st.st_size, 5);
	EXPECT_INT(other.st_size, 7);
	EXPECT_INT(other.st_mode, S_IFREG | 0755); /* no set-user-id */
	EXPECT(S_ISLNK(look(folder, "bin").st_mode));
	EXPECT(S_ISLNK(look(folder, "up").st_mode));
	EXPECT_INT(look(folder, "etc").st_mode, S_IFDIR | 0755);
	st = look(folder, "etc/gone");
	EXPECT(S_ISCHR(st.st_mode) && st.st_rdev == makedev(0, 0));
	EXPECT_INT(look(folder, "var/new").st_size, 1);
	snprintf(path, sizeof(path), "%s/layer/var", folder);
	EXPECT_INT(getxattr(path, "user.overlay.opaque", value, sizeof(value)), 1);
	EXPECT_INT(value[0], 'y');
	snprintf(path, sizeof(path), "%s/layer/var/.wh..wh.plnk", folder);
	EXPECT(access(path, F_OK) != 0);
}

TEST(layer, is_packed_or_not)
{
	struct sandbox_error error = {""};
	const char *folder;
	struct buf plain, packed;
	uLong n;

	begin(&plain);
	EXPECT_INT(finish(&plain, test_folder(), &error), 0); /* nothing in it */
	begin(&plain);
	tar_file(&plain, "a", 0644, STR("aaaaaaaaaaaaaaaa"));
	tar_end(&plain);
	begin(&packed);
	n = compressBound(plain.n) + 64;
	{
		Bytef *out = calloc(1, n);
		z_stream z = {.next_in = (Bytef *)plain.p,
			.avail_in = (uInt)plain.n,
			.next_out = out,
			.avail_out = (uInt)n};

		if (!out || deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 9, 0) != Z_OK ||
			deflate(&z, Z_FINISH) != Z_STREAM_END)
			abort();
		buf_put(&packed, str_of(out, z.total_out));
		deflateEnd(&z);
		free(out);
	}
	buf_done(&plain);
	folder = test_folder();
	EXPECT_INT(unpack_buf(&packed, folder, &error), 0);
	EXPECT_INT(look(folder, "a").st_size, 16);
	begin(&plain);
	buf_put(&plain, STR("this is no archive of any kind"));
	EXPECT_INT(unpack_buf(&plain, test_folder(), &error), ERR_INVALID);
	EXPECT_STR(str_c(error.text), STR("it is not a tar archive"));
}

static void refuses(const char *name, char type, const char *link, const char *text)
{
	struct sandbox_error error = {""};
	const char *folder = test_folder();
	struct buf b;

	begin(&b);
	tar_file(&b, "file", 0644, STR("x"));
	tar_add(&b, "out", '2', 0777, STR(""), "/etc");
	tar_add(&b, name, type, 0644, STR(""), link);
	EXPECT_INT(finish(&b, folder, &error), ERR_INVALID);
	EXPECT_STR(str_c(error.text), str_c(text));
}

TEST(layer, refuses_the_rest)
{
	refuses("../up", '0', NULL, "../up leads outside (\"..\")");
	refuses("/etc/passwd", '0', NULL, "/etc/passwd is an absolute path");
	refuses("out/passwd", '0', NULL, "out/passwd lies below a link or a file");
	refuses("file/below", '0', NULL, "file/below lies below a link or a file");
	refuses("null", '3', NULL, "null is neither a file, nor a folder, nor a link");
	refuses("disk", '4', NULL, "disk is neither a file, nor a folder, nor a link");
	refuses("pipe", '6', NULL, "pipe is neither a file, nor a folder, nor a link");
	refuses("hard", '1', "../../etc/shadow", "hard leads outside (\"..\")");
	refuses("hard", '1', "out/shadow", "hard lies below a link or a file");
	refuses("hard", '1', "none", "hard is a link to a file that is not in its layer");
	refuses("a/.wh..", '0', NULL, "a/.wh.. hides nothing that has a name");
	refuses("a/.wh.", '0', NULL, "a/.wh. hides nothing that has a name");
}
