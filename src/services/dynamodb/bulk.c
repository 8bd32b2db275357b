/*
 * Bulk operations: StartBulkPutItems, DescribeBulkOperation, ListBulkOperations,
 * CancelBulkOperation.
 *
 * A bulk put reads its items from objects of a bucket, and from nowhere else; this server has no
 * object store yet. So what can be said about a start is said, in AWS's order, and then it is
 * refused by name. None was ever started, so there is none to list, to describe or to cancel, and
 * that is what these operations answer.
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/BulkPutItems.html
 */
#include "services/dynamodb/service.h"

static int check_output(struct call *c)
{
	const struct value *output = value_get(c->in, "OutputS3Configuration");
	bool by_kms = str_eq(value_str(output, "S3SseAlgorithm"), STR("KMS"));

	if (!value_has(output, "S3Bucket"))
		return DYNAMODB_INVALID(c, "OutputS3Configuration.S3Bucket must be specified");
	if (!value_count(value_get(output, "OutputType")))
		return DYNAMODB_INVALID(c, "OutputS3Configuration.OutputType must not be empty");
	if (!by_kms && value_has(output, "S3SseKmsKeyId"))
		return DYNAMODB_INVALID(c,
			"OutputS3Configuration.S3SseKmsKeyId can only be specified when "
			"S3SseAlgorithm is KMS");
	if (by_kms && !value_has(output, "S3SseKmsKeyId"))
		return DYNAMODB_INVALID(c,
			"OutputS3Configuration.S3SseKmsKeyId must be specified when "
			"S3SseAlgorithm is KMS");
	return 0;
}

/* "Table state requirements", BulkPutItems.Considerations.html */
static int check_state(struct call *c, const struct table *t)
{
	for (size_t i = 0; i < t->index_count; i++)
		if (t->indexes[i].status == INDEX_CREATING)
			return call_fault(c, DYNAMODB_FAULT(RESOURCE_IN_USE),
				"Attempt to change a resource which is still in use: Index is "
				"being created: %.*s",
				STR_ARG(t->indexes[i].name));
	return 0;
}

int dynamodb_start_bulk_put(struct call *c)
{
	struct table *t cleanup(table_unref_p) = NULL;
	str name;

	TRY(dynamodb_table_name(c, value_str(c->in, "TableName"), &name));
	TRY(check_output(c));
	if (!TRY(catalog_find(dynamodb_of(c)->catalog, c->account, c->region, name, &t)))
		return dynamodb_table_not_found(c, name);
	TRY(check_state(c, t));
	return dynamodb_not_implemented(c, "InputS3Configuration");
}

static int not_found(struct call *c)
{
	return call_fault(c, DYNAMODB_FAULT(RESOURCE_NOT_FOUND),
		"Requested resource not found: Bulk operation: %.*s not found",
		STR_ARG(value_str(c->in, "BulkOperationArn")));
}

int dynamodb_describe_bulk(struct call *c)
{
	return not_found(c);
}

int dynamodb_cancel_bulk(struct call *c)
{
	return not_found(c);
}

int dynamodb_list_bulk(struct call *c)
{
	/* No page was ever answered that another one could follow. */
	if (value_has(c->in, "NextToken"))
		return DYNAMODB_INVALID(c, "NextToken is not of a page of ListBulkOperations");
	value_put_list(c->out, "BulkOperationsSummaryList");
	return 0;
}
