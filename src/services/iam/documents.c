/*
 * Policy documents on their way in and out: validated when they come, kept byte for byte, given
 * back percent-encoded as the API does.
 */
#include "base/uri.h"
#include "services/iam/internal.h"

/* 131,072 characters of two bytes, each byte as %XX */
enum { DOCUMENT_ENCODED_MAX = 131072 * 2 * 3 };

int iam_document_check(struct call *c, str text, enum policy_kind kind)
{
	struct policy *parsed;
	str message = STR_NULL;
	int rc = policy_parse(c->arena, text, kind, &parsed, &message);

	if (rc == ERR_FAULT)
		return call_fault(c, &iam_faults[IAM_MALFORMED_POLICY], "%.*s", STR_ARG(message));
	return rc;
}

int64_t iam_document_chars(str text)
{
	int64_t n = 0;

	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];

		/* continuation bytes belong to the character before */
		n += c != ' ' && c != '\t' && c != '\n' && c != '\r' && (c & 0xc0) != 0x80;
	}
	return n;
}

void iam_document_put(struct call *c, struct value *v, const char *member, str text)
{
	struct buf out;

	buf_init(&out, c->arena, DOCUMENT_ENCODED_MAX);
	uri_put_encoded(&out, text, URI_COMPONENT);
	value_put_str(v, member, buf_str(&out));
}
