/*
 * Archives that come with a request: see upload.h.
 *
 * Source: API Reference, FunctionCode, LayerVersionContentInput; Developer Guide, "Lambda quotas".
 */
#include "services/lambda/upload.h"

#include "base/check.h"
#include "base/log.h"
#include "services/lambda/service.h"

static struct lambda_service *self(struct call *c)
{
	return check_object(c->self, struct lambda_service, LAMBDA_SERVICE_MAGIC);
}

static int put_fault(struct call *c, int rc, const struct sandbox_error *error)
{
	if (rc == ERR_INVALID)
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			"Could not unzip uploaded file. Please check your file, then try to upload "
			"again. (%.*s)",
			(int)strnlen(error->text, sizeof(error->text)), error->text);
	if (rc == ERR_TOO_LARGE)
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			"Unzipped size must be smaller than %d bytes (%.*s)",
			LAMBDA_UNZIPPED_BYTES_MAX, (int)strnlen(error->text, sizeof(error->text)),
			error->text);
	return rc;
}

int upload_zip(struct call *c, const struct value *from, struct code_info *ret_info,
	struct code_pin **ret_pin)
{
	struct sandbox_error error = {{0}};
	str zip = value_str(from, "ZipFile");
	int rc;

	if (zip.n == 0)
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			zip.p ? "Uploaded file must be a non-empty zip"
			      : "Please provide a source for function code.");
	if (zip.n > LAMBDA_ZIP_BYTES_MAX)
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_ENTITY_TOO_LARGE,
			"Request must be smaller than %d bytes for the %.*s operation",
			LAMBDA_REQUEST_BYTES_MAX,
			STR_ARG(model_str(c->service->model, c->operation->name)));
	rc = code_put(self(c)->code, zip, c->deadline_ns, ret_info, ret_pin, &error);
	return rc < 0 ? put_fault(c, rc, &error) : 0;
}

int upload_image(struct call *c, str uri, struct function *f, struct image_found *ret_found)
{
	struct lambda_service *s = self(c);
	struct sandbox_error error = {{0}};
	int rc;

	if (!s->options.image_folder || !*s->options.image_folder)
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			"ImageUri: this server has no folder of container images; start it with "
			"--image-folder.");
	rc = image_find(s->code, c->arena, s->options.image_folder, uri, f->architecture,
		c->deadline_ns, ret_found, &error);
	if (rc == ERR_NOT_FOUND)
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			"Source image %.*s does not exist. Provide a valid source image. (%.*s)",
			STR_ARG(uri), (int)strnlen(error.text, sizeof(error.text)), error.text);
	if (rc == ERR_INVALID || rc == ERR_TOO_LARGE)
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			"Source image %.*s is not valid. Provide a valid source image. (%.*s)",
			STR_ARG(uri), (int)strnlen(error.text, sizeof(error.text)), error.text);
	if (rc < 0) {
		log_error("lambda", "an image could not be read", "image=%.*s error=%s text=%.*s",
			STR_ARG(uri), rc_text(rc), (int)strnlen(error.text, sizeof(error.text)),
			error.text);
		return rc;
	}
	f->image = image_encode(c->arena, &ret_found->image);
	f->code_hex = ret_found->digest;
	f->code_bytes = ret_found->bytes;
	return f->image.p ? 0 : ERR_TOO_LARGE;
}

static int add_size(struct call *c, str hex, uint64_t *sum)
{
	struct lambda_service *s = self(c);
	struct sandbox_error error = {{0}};
	struct code_pin *pin;
	uint64_t bytes = 0;
	int rc;

	TRY(code_pin(s->code, hex, c->deadline_ns, &pin));
	rc = code_ensure(s->code, pin, c->deadline_ns, &error);
	if (rc >= 0)
		rc = code_tree_bytes(s->code, pin, c->deadline_ns, &bytes);
	code_unpin(s->code, pin);
	*sum += bytes;
	return rc < 0 ? put_fault(c, rc, &error) : 0;
}

int upload_check_size(struct call *c, const struct function *f)
{
	uint64_t sum = 0;

	/* An archive alone is held to the limit where it is unpacked. */
	if (!f->layer_count)
		return 0;
	TRY(add_size(c, f->code_hex, &sum));
	for (uint32_t i = 0; i < f->layer_count; i++)
		TRY(add_size(c, f->layers[i].hex, &sum));
	if (sum > LAMBDA_UNZIPPED_BYTES_MAX)
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			"Function code combined with layers exceeds the maximum allowed size of %d "
			"bytes. The actual size is %llu bytes.",
			LAMBDA_UNZIPPED_BYTES_MAX, (unsigned long long)sum);
	return 0;
}
