/*
 * JSON bodies through real models: decoding, validation, and what was read survives being stored
 * and loaded. The first byte chooses the operation.
 */
#include "aws/codec.h"
#include "aws/validate.h"
#include "base/check.h"
#include "base/rc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const struct {
	const char *service, *shape;
} shapes[] = {
	{"dynamodb", "PutItemInput"},
	{"dynamodb", "CreateTableInput"},
	{"dynamodb", "TransactWriteItemsInput"},
	{"lambda", "CreateFunctionRequest"},
	{"lambda", "CreateEventSourceMappingRequest"},
	{"apigatewayv2", "CreateApiRequest"},
	{"logs", "PutLogEventsRequest"},
	{"logs", "CreateDeliveryRequest"},
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const struct model *m;
	const char *shape;
	struct arena a;
	struct value *v, *again;
	struct buf text, second;
	str message;

	if (n == 0)
		return 0;
	m = model_named(str_c(shapes[data[0] % ARRAY_SIZE(shapes)].service));
	shape = shapes[data[0] % ARRAY_SIZE(shapes)].shape;
	arena_init(&a, SIZE_MAX);
	v = value_new(&a, m, shape);
	if (codec_json_read(v, str_of(data + 1, n - 1), &message) < 0) {
		check(message.n > 0);
		arena_done(&a);
		return 0;
	}
	if (validate(v, &message) < 0)
		check(message.n > 0);
	buf_init(&text, &a, SIZE_MAX);
	codec_json_store(&text, v);
	check(codec_json_load(&a, m, shape, buf_str(&text), &again) >= 0);
	buf_init(&second, &a, SIZE_MAX);
	codec_json_store(&second, again);
	check(str_eq(buf_str(&second), buf_str(&text)));
	arena_done(&a);
	return 0;
}
