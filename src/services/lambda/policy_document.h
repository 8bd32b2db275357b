/*
 * Resource-based policies as AddPermission and AddLayerVersionPermission make them, one statement
 * at a time. Pure.
 *
 * Stored as the revision id (36 bytes) and the document.
 *
 * Source: API Reference, AddPermission, AddLayerVersionPermission; Developer Guide, "Viewing
 * resource-based IAM policies in Lambda".
 */
#ifndef SERVICES_LAMBDA_POLICY_DOCUMENT_H
#define SERVICES_LAMBDA_POLICY_DOCUMENT_H

#include "base/arena.h"
#include "base/rc.h"

enum { POLICY_REVISION_BYTES = 36 };

struct policy_condition {
	str operator_, key, value; /* value STR_NULL: left out */
};
/* One Allow statement. Conditions of one operator stand together in the list. */
str policy_statement_text(struct arena *a, str sid, str principal, str action, str resource,
	const struct policy_condition *conditions, size_t n);
/* A document with this statement alone. */
str policy_document_of(struct arena *a, str statement);
/*
 * What is stored (empty: nothing) with a statement more (or, STR_NULL, with the one of the sid
 * less), under a new revision. 1 and the text to store; 0: nothing is left. ERR_EXISTS: the sid is
 * there already, ERR_NOT_FOUND: it is not, ERR_TOO_LARGE: above the quota (*ret_text is as long as
 * it would be), ERR_CORRUPT.
 */
must_use int policy_document_edit(
	struct arena *a, str stored, str sid, str statement, str revision, str *ret_text);

static inline str policy_document(str stored)
{
	return str_from(stored, POLICY_REVISION_BYTES);
}
static inline str policy_revision(str stored)
{
	return str_sub(stored, 0, POLICY_REVISION_BYTES);
}

#endif
