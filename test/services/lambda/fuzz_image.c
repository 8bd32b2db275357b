/*
 * Documents of container images and headers of their archives, of any bytes: the first one chooses
 * the reader. What is kept of an image reads back.
 */
#include "base/check.h"
#include "services/lambda/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void fuzz_kept(struct arena *a, str in)
{
	struct function_image image, back;
	str text;

	if (image_decode(a, in, &image) < 0)
		return;
	text = image_encode(a, &image);
	if (!text.p)
		return;
	check(image_decode(a, text, &back) == 0);
	check(str_eq(image.uri, back.uri) && image.tree_count == back.tree_count);
	check(image.environment.count == back.environment.count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	str in = str_of(data, n), digest;
	struct arena a cleanup(arena_done_p) = {0};
	struct image_tar_entry entry;
	struct sandbox_error error;
	struct image_config config;
	struct image_parts parts;
	struct image_uri uri;
	bool again;

	if (n == 0)
		return 0;
	in = str_from(in, 1);
	arena_init(&a, SIZE_MAX);
	switch (data[0] % 7) {
	case 0: (void)!image_index(&a, in, STR("amd64"), &digest, &again, &error); break;
	case 1: (void)!image_manifest(&a, in, &parts, &error); break;
	case 2: (void)!image_docker(&a, in, &parts, &error); break;
	case 3: (void)!image_config(&a, in, &config, &error); break;
	case 4:
		if (in.n >= 512)
			(void)!image_tar_header(&a, str_sub(in, 0, 512), &entry);
		break;
	case 5:
		if (image_uri_parse(in, &uri) == 0) /* it cannot lead out of the folder */
			check(str_find_str(uri.repository, STR("..")) != 0 &&
				str_find(uri.tag, '/') < 0 && uri.repository.p[0] != '/');
		break;
	default: fuzz_kept(&a, in); break;
	}
	return 0;
}
