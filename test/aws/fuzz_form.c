/*
 * Forms of the query protocol through real models: decoding, validation, the XML of what was read.
 * The first byte chooses the operation.
 */
#include "aws/codec.h"
#include "aws/validate.h"
#include "base/check.h"
#include "base/rc.h"
#include "base/xml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const struct {
	const char *service, *shape;
} shapes[] = {
	{"iam", "CreateRoleRequest"},
	{"iam", "SimulatePrincipalPolicyRequest"},
	{"sts", "AssumeRoleRequest"},
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const struct model *m;
	struct xml_node *root;
	struct arena a;
	struct form *form;
	struct value *v;
	struct buf text;
	str message;

	if (n == 0)
		return 0;
	m = model_named(str_c(shapes[data[0] % ARRAY_SIZE(shapes)].service));
	arena_init(&a, SIZE_MAX);
	v = value_new(&a, m, shapes[data[0] % ARRAY_SIZE(shapes)].shape);
	if (form_parse(&a, STR_NULL, str_of(data + 1, n - 1), &form, &message) >= 0 &&
		codec_query_read(v, form, &message) >= 0) {
		if (validate(v, &message) < 0)
			check(message.n > 0);
		buf_init(&text, &a, SIZE_MAX);
		codec_query_write(&text, m, STR("Op"), v, STR("id"));
		/* too deep or too many nodes are the reader's limits; it must be well-formed */
		check(xml_parse(&a, buf_str(&text), NULL, &root, NULL) != ERR_SYNTAX);
	}
	arena_done(&a);
	return 0;
}
