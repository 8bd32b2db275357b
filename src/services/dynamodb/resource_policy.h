/*
 * Resource-based policies of tables and streams. That of a table is a part of its record, so that
 * it is there from the commit of CreateTable on and goes with the table; that of a stream stands
 * under the stream's id:
 *
 *     [META]["policy"][stream id]    version, revision [length, bytes], text
 *
 * and is covered by the key of the stream's table (kv.h), as the stream itself.
 *
 * Judged with the caller's own policies (gate.h). Principals of other accounts cannot name tables
 * here, and who acts as the account's root is not restricted. Private to this folder.
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/access-control-resource-based.html
 */
#ifndef DYNAMODB_RESOURCE_POLICY_H
#define DYNAMODB_RESOURCE_POLICY_H

#include "aws/gate.h"
#include "services/dynamodb/table.h"

enum {
	/* with white space; rbac-considerations.html */
	RESOURCE_POLICY_BYTES_MAX = 20 * 1024
};

/* service.policy: of an ARN of a table, an index of it or a stream. */
must_use mayyield int resource_policy_of(struct call *c, str arn, const struct policy **ret_policy);

/* Gives a new table (with its ARN) the policy of CreateTable, if there is one. ERR_FAULT. */
must_use mayyield int resource_policy_read(struct call *c, struct table *t);

/* The key under which a stream's policy stands, to be removed with the stream. */
str resource_policy_key(struct arena *a, uint64_t stream_id);

int dynamodb_put_policy(struct call *c);
int dynamodb_get_policy(struct call *c);
int dynamodb_delete_policy(struct call *c);

#endif
