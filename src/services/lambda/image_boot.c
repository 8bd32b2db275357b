/*
 * From a function's image to a container's description: see image_boot.h.
 *
 * Source: Developer Guide, "Create a Lambda function using a container image" (which settings of an
 * image count, and what a function's ImageConfig replaces).
 */
#include "services/lambda/image_boot.h"

#include "aws/codec.h"
#include "base/check.h"
#include "base/mem.h"
#include "services/lambda/image.h"

#include <stdio.h>

static int load(struct arena *a, const struct function *f, struct function_image *ret_image)
{
	struct value *config = NULL;

	TRY(image_decode(a, f->image, ret_image));
	if (f->image_config.n)
		TRY(codec_json_load(
			a, model_named(STR("lambda")), "ImageConfig", f->image_config, &config));
	image_override(a, config, ret_image);
	return 0;
}

/* Fills mounts, program, variables and working folder. */
static int describe(struct lambda_service *s, struct arena *a, const struct function *f,
	const struct environment_facts *facts, int64_t deadline, struct sandbox_spec *spec,
	struct code_pin ***ret_pins, struct sandbox_error *error)
{
	struct function_image image;
	struct sandbox_mount *mounts;
	uint32_t variables;
	str *argv;

	TRY(load(a, f, &image));
	*ret_pins = mem_new_array(struct code_pin *, image.tree_count + 1);
	mounts = arena_new_array(a, struct sandbox_mount, image.tree_count);
	for (uint32_t i = 0; i < image.tree_count; i++) {
		TRY(code_pin(s->code, image.trees[i], deadline, &(*ret_pins)[i]));
		mounts[i] = (struct sandbox_mount){
			SANDBOX_FROM_DATA, code_tree_path((*ret_pins)[i]), STR("/")};
	}
	spec->mounts = mounts;
	spec->mount_count = image.tree_count;
	argv = arena_new_array(a, str, image.entry_point.count + image.command.count + 1);
	for (uint32_t i = 0; i < image.entry_point.count; i++)
		argv[spec->argc++] = image.entry_point.items[i];
	for (uint32_t i = 0; i < image.command.count; i++)
		argv[spec->argc++] = image.command.items[i];
	if (!spec->argc) {
		snprintf(error->text, sizeof(error->text),
			"the image has neither an entry point nor a command");
		return ERR_INVALID;
	}
	spec->argv = argv;
	spec->environment = environment_image(a, f, &image, facts, &variables);
	spec->environment_count = variables;
	spec->working_folder = image.working_folder.n ? image.working_folder : STR("/");
	return 0;
}

int image_start(struct lambda_service *s, struct arena *a, const struct function *f,
	const struct environment_facts *facts, const struct sandbox_limits *limits,
	int64_t deadline, struct code_pin ***ret_pins, struct sandbox_container **ret_container,
	struct sandbox_error *error)
{
	struct sandbox_spec spec = {.limits = *limits, .pipes = {1}, .pipe_count = 1};

	TRY(describe(s, a, f, facts, deadline, &spec, ret_pins, error));
	return sandbox_start(s->sandbox, &spec, deadline, ret_container, error);
}

void image_let_go(struct lambda_service *s, const struct function *f, struct code_pin **pins)
{
	struct arena a cleanup(arena_done_p) = {0};
	struct function_image image;

	if (!pins)
		return;
	arena_init(&a, SIZE_MAX);
	check(image_decode(&a, f->image, &image) == 0);
	for (uint32_t i = 0; i < image.tree_count; i++)
		if (code_unpin(s->code, pins[i]))
			code_release(s, image.trees[i]);
	mem_free(pins);
}
