/*
 * XML bodies of restXml through S3's shapes: what was read is valid or has a message, and what is
 * written of it is read back the same. The first byte chooses the shape.
 */
#include "aws/codec.h"
#include "aws/validate.h"
#include "base/check.h"
#include "base/rc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const struct {
	const char *shape, *root;
} shapes[] = {
	{"Delete", "Delete"},
	{"CompletedMultipartUpload", "CompleteMultipartUpload"},
	{"CreateBucketConfiguration", "CreateBucketConfiguration"},
	{"AccessControlPolicy", "AccessControlPolicy"},
	{"LifecycleConfiguration", "LifecycleConfiguration"},
	{"NotificationConfiguration", "NotificationConfiguration"},
	{"InventoryConfiguration", "InventoryConfiguration"},
	{"Tagging", "Tagging"},
};

static str stored(struct arena *a, const struct value *v)
{
	struct buf out;

	buf_init(&out, a, SIZE_MAX);
	codec_json_store(&out, v);
	return buf_str(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const struct model *m = model_named(STR("s3"));
	str root, message = STR("");
	struct value *v, *again;
	struct buf text;
	struct arena a;
	const char *shape;

	if (n == 0)
		return 0;
	shape = shapes[data[0] % ARRAY_SIZE(shapes)].shape;
	root = str_c(shapes[data[0] % ARRAY_SIZE(shapes)].root);
	arena_init(&a, SIZE_MAX);
	v = value_new(&a, m, shape);
	if (codec_xml_read(v, root, str_of(data + 1, n - 1), &message) < 0) {
		check(message.n > 0);
		arena_done(&a);
		return 0;
	}
	if (validate(v, &message) < 0)
		check(message.n > 0);
	buf_init(&text, &a, SIZE_MAX);
	codec_xml_write(&text, root, v);
	again = value_new(&a, m, shape);
	check(codec_xml_read(again, root, buf_str(&text), &message) >= 0);
	check(str_eq(stored(&a, v), stored(&a, again)));
	arena_done(&a);
	return 0;
}
