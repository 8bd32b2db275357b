/*
 * The condition keys of DynamoDB's policies, from the request as it came:
 *
 *     dynamodb:LeadingKeys             partition key values of what is read or written
 *     dynamodb:Attributes              names of the top-level attributes that it names
 *     dynamodb:Select, dynamodb:ReturnValues, dynamodb:ReturnConsumedCapacity
 *     dynamodb:FullTableScan           of PartiQL: does a SELECT read without a partition key?
 *     dynamodb:EnclosingOperation      of actions in TransactWriteItems and TransactGetItems
 *
 * Of operations on several tables, what concerns the table that is asked about. Only called for
 * principals with policies, so it may decode the request once more. Private to this folder.
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/specifying-conditions.html
 */
#ifndef DYNAMODB_CONDITION_KEYS_H
#define DYNAMODB_CONDITION_KEYS_H

#include "aws/gate.h"

/* service.context: adds the keys. ERR_FAULT: the request is not valid. */
must_use mayyield int condition_keys_add(
	struct call *c, str action, str arn, struct policy_context *context);

#endif
