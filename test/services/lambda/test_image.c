/*
 * Documents of container images: what is read, what is refused, and the form that is kept.
 */
#include "services/lambda/image.h"
#include "test/sandbox/tar.h"
#include "test/test.h"

#define HEX  "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define HEX2 "ff112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static void uri(const char *text, const char *host, const char *repository, const char *tag)
{
	struct image_uri u;

	if (!EXPECT_INT(image_uri_parse(str_c(text), &u), host ? 0 : ERR_INVALID)) {
		test_fail(__FILE__, __LINE__, "%s", text);
		return;
	}
	if (!host)
		return;
	EXPECT_STR(u.host, str_c(host));
	EXPECT_STR(u.repository, str_c(repository));
	EXPECT_STR(u.tag, str_c(tag));
}

TEST(lambda_image, uris)
{
	uri("1.dkr.ecr.us-east-1.amazonaws.com/a/b:t", "1.dkr.ecr.us-east-1.amazonaws.com/", "a/b",
		"t");
	uri("localhost.x/a", "localhost.x/", "a", "latest");
	uri("nohost/a", NULL, NULL, NULL);
	uri("a.b", NULL, NULL, NULL);
	uri("a.b/", NULL, NULL, NULL);
	uri("a.b/x:", NULL, NULL, NULL);
	uri("a.b/x:t/u", NULL, NULL, NULL);
	uri("a.b/x:..", NULL, NULL, NULL);
	uri("a.b/../x", NULL, NULL, NULL);
	uri("a.b/x/../y", NULL, NULL, NULL);
	uri("a.b/x//y", NULL, NULL, NULL);
	uri("a.b/x/", NULL, NULL, NULL);
	uri("a.b/.x", NULL, NULL, NULL);
	uri("a.b/x@sha256:00", NULL, NULL, NULL);
	uri("", NULL, NULL, NULL);
}

TEST(lambda_image, indexes)
{
	struct arena a cleanup(arena_done_p) = {0};
	struct sandbox_error error;
	bool again;
	str digest;

	arena_init(&a, SIZE_MAX);
	EXPECT_INT(image_index(&a,
			   STR("{\"manifests\":[{\"platform\":{\"architecture\":\"unknown\",\"os\":"
			       "\"unknown\"},\"digest\":\"x\"},{\"platform\":{\"architecture\":"
			       "\"amd64\",\"os\":\"windows\"},\"digest\":\"x\"},{\"platform\":{"
			       "\"architecture\":\"amd64\",\"os\":\"linux\"},\"digest\":"
			       "\"sha256:" HEX "\"}]}"),
			   STR("amd64"), &digest, &again, &error),
		0);
	EXPECT_STR(digest, STR(HEX));
	EXPECT(!again);
	EXPECT_INT(image_index(&a,
			   STR("{\"manifests\":[{\"mediaType\":\"application/vnd.oci.image.index."
			       "v1+json\",\"digest\":\"sha256:" HEX2 "\"}]}"),
			   STR("arm64"), &digest, &again, &error),
		0);
	EXPECT_STR(digest, STR(HEX2));
	EXPECT(again);
	EXPECT_INT(image_index(&a,
			   STR("{\"manifests\":[{\"platform\":{\"architecture\":\"amd64\"}}]}"),
			   STR("arm64"), &digest, &again, &error),
		ERR_NOT_FOUND);
	EXPECT_STR(str_c(error.text), STR("the image has no manifest for linux/arm64"));
	EXPECT_INT(image_index(&a, STR("{\"manifests\":[{\"digest\":\"sha256:00\"}]}"),
			   STR("arm64"), &digest, &again, &error),
		ERR_INVALID);
	EXPECT_INT(image_index(&a, STR("{\"manifests\":"), STR("arm64"), &digest, &again, &error),
		ERR_INVALID);
	EXPECT_STR(str_c(error.text), STR("the image's index is not JSON (at byte 13)"));
}

TEST(lambda_image, manifests)
{
	struct arena a cleanup(arena_done_p) = {0};
	struct sandbox_error error;
	struct image_parts p;
	struct buf many;

	arena_init(&a, SIZE_MAX);
	EXPECT_INT(image_manifest(&a,
			   STR("{\"config\":{\"digest\":\"sha256:" HEX "\"},\"layers\":[{\"digest\""
			       ":\"sha256:" HEX2 "\"},{\"digest\":\"sha256:" HEX "\"}]}"),
			   &p, &error),
		0);
	EXPECT_STR(p.config, STR(HEX));
	EXPECT_INT(p.layer_count, 2);
	EXPECT_STR(p.layers[0], STR(HEX2));
	EXPECT_INT(image_manifest(&a, STR("{\"layers\":[]}"), &p, &error), ERR_INVALID);
	EXPECT_INT(image_manifest(&a,
			   STR("{\"config\":{\"digest\":\"sha256:" HEX "\"},\"layers\":{}}"), &p,
			   &error),
		ERR_INVALID);
	EXPECT_INT(image_docker(&a, STR("[{\"Config\":\"c.json\",\"Layers\":[\"a\",\"b\"]}]"), &p,
			   &error),
		0);
	EXPECT_STR(p.layers[1], STR("b"));
	EXPECT_INT(image_docker(&a,
			   STR("[{\"Config\":\"c\",\"Layers\":[]},{\"Config\":\"d\",\"Layers\":[]"
			       "}]"),
			   &p, &error),
		ERR_INVALID);
	EXPECT_INT(image_docker(&a, STR("[]"), &p, &error), ERR_INVALID);
	buf_init(&many, &a, 1 << 16);
	buf_put(&many, STR("[{\"Config\":\"c\",\"Layers\":[\"x\""));
	for (int i = 0; i < SANDBOX_LAYERS_MAX; i++)
		buf_put(&many, STR(",\"x\""));
	buf_put(&many, STR("]}]"));
	EXPECT_INT(image_docker(&a, buf_str(&many), &p, &error), ERR_TOO_LARGE);
	EXPECT_STR(str_c(error.text), STR("the image has more than 64 layers"));
}

TEST(lambda_image, configurations)
{
	static const char *const bad[] = {"[", "{\"config\":{\"Env\":[\"NOVALUE\"]}}",
		"{\"config\":{\"Env\":[\"=x\"]}}", "{\"config\":{\"Cmd\":\"text\"}}",
		"{\"config\":{\"Cmd\":[1]}}", "{\"config\":{\"Cmd\":[\"a\\u0000b\"]}}",
		"{\"config\":{\"WorkingDir\":\"relative\"}}",
		"{\"rootfs\":{\"diff_ids\":[\"md5:00\"]}}"};
	struct arena a cleanup(arena_done_p) = {0};
	struct sandbox_error error;
	struct image_config c;

	arena_init(&a, SIZE_MAX);
	EXPECT_INT(image_config(&a,
			   STR("{\"architecture\":\"amd64\",\"os\":\"linux\",\"config\":{\"Env\":"
			       "[\"A=b=c\"],\"Cmd\":null,\"Entrypoint\":[\"/e\",\"\"],"
			       "\"WorkingDir\":\"/w\"},\"rootfs\":{\"diff_ids\":[\"sha256:" HEX
			       "\"]}}"),
			   &c, &error),
		0);
	EXPECT_STR(c.environment.items[0], STR("A=b=c"));
	EXPECT_INT(c.command.count, 0);
	EXPECT_INT(c.entry_point.count, 2);
	EXPECT_STR(c.working_folder, STR("/w"));
	EXPECT_STR(c.layers[0], STR(HEX));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (!EXPECT(image_config(&a, str_c(bad[i]), &c, &error) < 0))
			test_fail(__FILE__, __LINE__, "accepted: %s", bad[i]);
}

TEST(lambda_image, is_kept)
{
	struct arena a cleanup(arena_done_p) = {0};
	struct function_image image = {.uri = STR("a.b/c"),
		.resolved = STR("a.b/c@sha256:" HEX),
		.tree_count = 2,
		.working_folder = STR("/w")};
	struct function_image back;
	str items[] = {STR("x"), STR("\"y\"\n")};
	const char *first;

	arena_init(&a, SIZE_MAX);
	image.trees[0] = image_tree_name(&a, STR(HEX));
	image.trees[1] = image_tree_name(&a, STR(HEX2));
	image.command = (struct image_strings){items, 2};
	ASSERT_INT(image_decode(&a, image_encode(&a, &image), &back), 0);
	EXPECT_STR(back.uri, image.uri);
	EXPECT_STR(back.trees[1], image.trees[1]);
	EXPECT_STR(back.command.items[1], items[1]);
	EXPECT_INT(back.entry_point.count, 0);
	/* No archive that somebody uploads can have a layer's name. */
	first = image.trees[0].p;
	EXPECT(!str_eq(str_of(first, IMAGE_DIGEST_HEX), STR(HEX)));
	EXPECT_INT(image_decode(&a, STR("{}"), &back), ERR_CORRUPT);
	EXPECT_INT(image_decode(&a, STR("{\"uri\":\"a\",\"resolved\":\"b\",\"trees\":[\"short\"]}"),
			   &back),
		ERR_CORRUPT);
}

TEST(lambda_image, tar_headers)
{
	struct arena a cleanup(arena_done_p) = {0};
	struct image_tar_entry entry;
	struct buf b;

	arena_init(&a, SIZE_MAX);
	buf_init(&b, &a, 1 << 16);
	tar_file(&b, "./blobs/sha256/x", 0644, STR("12345"));
	tar_add(&b, "folder", '5', 0755, STR(""), NULL);
	tar_end(&b);
	ASSERT_INT(image_tar_header(&a, str_sub(buf_str(&b), 0, 512), &entry), 1);
	EXPECT_STR(entry.name, STR("blobs/sha256/x"));
	EXPECT_INT(entry.bytes, 5);
	EXPECT(entry.file);
	ASSERT_INT(image_tar_header(&a, str_sub(buf_str(&b), 1024, 512), &entry), 1);
	EXPECT(!entry.file);
	EXPECT_INT(image_tar_header(&a, str_sub(buf_str(&b), 1536, 512), &entry), 0);
	b.p[0] ^= 1;
	EXPECT_INT(image_tar_header(&a, str_sub(buf_str(&b), 0, 512), &entry), ERR_INVALID);
}
