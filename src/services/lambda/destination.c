/*
 * See destination.h.
 */
#include "services/lambda/destination.h"

#include "aws/ports/objects.h"
#include "aws/ports/ports.h"
#include "base/time.h"
#include "services/lambda/store.h"

#define BUCKET_ARN "arn:aws:s3:::"

enum { BUCKET_CHARS_MIN = 3, BUCKET_CHARS_MAX = 63, KEY_BYTES_MAX = 1024 };

bool destination_is_bucket(str arn)
{
	return str_starts(arn, STR(BUCKET_ARN));
}

static str bucket_of(str arn)
{
	return str_from(arn, sizeof(BUCKET_ARN) - 1);
}

bool destination_bucket_is_valid(str arn)
{
	str name = bucket_of(arn);

	if (!destination_is_bucket(arn) || name.n < BUCKET_CHARS_MIN || name.n > BUCKET_CHARS_MAX)
		return false;
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.'))
			return false;
	}
	return true;
}

static str key_of(struct arena *a, const struct destination_record *r)
{
	struct time_parts t = time_parts_of(r->time_ms);
	str uuid = lambda_uuid(a);
	struct buf key;

	buf_init(&key, a, KEY_BYTES_MAX);
	buf_put(&key, r->folder);
	buf_printf(&key, "/%04d/%02d/%02d/%04d-%02d-%02dT%02d.%02d.%02d-%.*s", t.year, t.month,
		t.day, t.year, t.month, t.day, t.hour, t.minute, t.second, STR_ARG(uuid));
	return buf_str(&key);
}

/* In an account whose roles IAM does not know, as in open mode everywhere. */
static struct principal unlimited(struct arena *a, str account)
{
	return (struct principal){.kind = PRINCIPAL_SERVICE,
		.account = account,
		.arn = ARENA_CONCAT(a, STR("arn:aws:iam::"), account, STR(":root")),
		.name = STR("lambda.amazonaws.com"),
		.unrestricted = true};
}

static int refused(struct arena *a, const struct fault *fault, str *ret_why)
{
	*ret_why = ARENA_CONCAT(a, str_c(fault->kind->code), STR(": "), fault->message);
	return str_eq(str_c(fault->kind->code), STR("AccessDenied")) ? ERR_DENIED : ERR_NOT_FOUND;
}

int destination_put(const struct ports *ports, struct arena *a, const struct destination_record *r,
	str *ret_why)
{
	static const struct object_put put = {.content_type = STR_INIT("application/json"),
		.sse = {NULL, 0},
		.kms_key_id = {NULL, 0}};
	const struct port_objects *objects = ports->objects;
	struct principal service = unlimited(a, r->account);
	const struct object_address address = {.as = r->as ? r->as : &service,
		.region = r->region,
		.expected_owner = STR_NULL,
		.bucket = bucket_of(r->bucket_arn),
		.key = key_of(a, r),
		.version = STR_NULL};
	struct object_writer *writer;
	struct fault fault = {0};
	struct object_info info;
	int rc;

	if (!objects) {
		*ret_why = STR("there are no buckets here");
		return ERR_UNSUPPORTED;
	}
	rc = objects->create(objects->self, a, &address, &put, &writer, &fault);
	if (rc == ERR_FAULT)
		return refused(a, &fault, ret_why);
	TRY(rc);
	rc = objects->write(writer, r->body);
	if (rc < 0) {
		objects->abandon(writer);
		return rc;
	}
	rc = objects->finish(writer, a, &info, &fault);
	return rc == ERR_FAULT ? refused(a, &fault, ret_why) : rc;
}
