/*
 * Archives that come with a request, or that it names in a bucket: see upload.h.
 *
 * Source: API Reference, FunctionCode, LayerVersionContentInput; Developer Guide, "Lambda quotas".
 * The words about objects that cannot be read are those that clients report; those about S3Bucket
 * without S3Key, and about an archive of more than LAMBDA_OBJECT_BYTES_MAX, are not confirmed.
 */
#include "services/lambda/upload.h"

#include "aws/ports/objects.h"
#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "services/lambda/service.h"
#include "services/lambda/signing.h"

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

/* ---- from a bucket ---- */

enum { PART_BYTES = 256 * 1024 };

struct source {
	const struct port_objects *objects;
	struct object_address address;
	struct object_reader *reader;
	struct code_receiver *receiver;
	char *part;
};

static void source_done(struct source *s)
{
	s->objects->close(s->reader);
	code_receive_drop(s->receiver);
	mem_free(s->part);
}

/* What S3 says of an object, as Lambda words it. */
static int object_fault(
	struct call *c, const struct object_address *address, const struct fault *fault)
{
	const char *code = fault->kind->code;

	if (fault->kind->server)
		return ERR_IO;
	if (str_eq(str_c(code), STR("AccessDenied")))
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_ACCESS_DENIED,
			"Your access has been denied by S3, please make sure your request "
			"credentials have permission to GetObject for %.*s/%.*s. S3 Error Code: "
			"%s. S3 Error Message: %.*s",
			STR_ARG(address->bucket), STR_ARG(address->key), code,
			STR_ARG(fault->message));
	return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
		"Error occurred while GetObject. S3 Error Code: %s. S3 Error Message: %.*s", code,
		STR_ARG(fault->message));
}

static int open_object(struct call *c, struct source *s)
{
	struct object_info info;
	struct fault fault = {0};
	int rc = s->objects->open(
		s->objects->self, c->arena, &s->address, &info, &s->reader, &fault);

	if (rc == ERR_FAULT)
		return object_fault(c, &s->address, &fault);
	TRY(rc);
	if (info.bytes > LAMBDA_OBJECT_BYTES_MAX)
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			"Unzipped size must be smaller than %d bytes (the archive itself has %llu)",
			LAMBDA_UNZIPPED_BYTES_MAX, (unsigned long long)info.bytes);
	if (info.bytes == 0)
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			"Uploaded file must be a non-empty zip");
	return 0;
}

/* The archive is in its file: may it be deployed? Only then it is looked into. */
static int keep(struct call *c, struct code_receiver *receiver, const struct function *f,
	struct uploaded *ret)
{
	struct sandbox_error error = {{0}};
	int rc;

	TRY(signing_look(c, code_receive_fd(receiver), &ret->signature));
	if (f)
		TRY(signing_check_code(c, f, &ret->signature));
	rc = code_receive_end(receiver, c->deadline_ns, &ret->info, &ret->pin, &error);
	return rc < 0 ? put_fault(c, rc, &error) : 0;
}

/* The archive goes from the object to its file, a part at a time. */
static int upload_object(struct call *c, const struct value *from, const struct function *f,
	struct uploaded *ret_uploaded)
{
	struct source s cleanup(source_done) = {.objects = self(c)->ports->objects,
		.address = {.as = c->principal,
			.region = c->region,
			.expected_owner = STR_NULL,
			.bucket = value_str(from, "S3Bucket"),
			.key = value_str(from, "S3Key"),
			.version = value_str(from, "S3ObjectVersion")}};
	int rc;

	TRY(open_object(c, &s));
	TRY(code_receive_begin(self(c)->code, c->deadline_ns, &s.receiver));
	s.part = mem_alloc(PART_BYTES);
	while ((rc = TRY(s.objects->read(s.reader, s.part, PART_BYTES))) > 0)
		TRY(code_receive_part(s.receiver, str_of(s.part, (size_t)rc), c->deadline_ns));
	return keep(c, s.receiver, f, ret_uploaded);
}

/* 1: an object of a bucket is named, 0: the archive is to be here. ERR_FAULT: neither, or both. */
static int names_object(struct call *c, const struct value *from)
{
	bool bucket = value_has(from, "S3Bucket"), key = value_has(from, "S3Key");
	bool some = bucket || key || value_has(from, "S3ObjectVersion");

	if (value_has(from, "ZipFile") && (some || value_has(from, "S3ObjectStorageMode")))
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			"Please do not provide other FunctionCode parameters when providing a "
			"ZipFile.");
	if (some && !(bucket && key))
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			"Please provide both S3Bucket and S3Key.");
	return some;
}

/* ---- what is given ---- */

int upload_zip(struct call *c, const struct value *from, const struct function *f,
	struct uploaded *ret_uploaded)
{
	struct code_receiver *receiver cleanup(code_receive_drop_p) = NULL;
	str zip = value_str(from, "ZipFile");

	if (TRY(names_object(c, from)))
		return upload_object(c, from, f, ret_uploaded);
	if (zip.n == 0)
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			zip.p ? "Uploaded file must be a non-empty zip"
			      : "Please provide a source for function code.");
	if (zip.n > LAMBDA_ZIP_BYTES_MAX)
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_ENTITY_TOO_LARGE,
			"Request must be smaller than %d bytes for the %.*s operation",
			LAMBDA_REQUEST_BYTES_MAX,
			STR_ARG(model_str(c->service->model, c->operation->name)));
	TRY(code_receive_begin(self(c)->code, c->deadline_ns, &receiver));
	TRY(code_receive_part(receiver, zip, c->deadline_ns));
	return keep(c, receiver, f, ret_uploaded);
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
