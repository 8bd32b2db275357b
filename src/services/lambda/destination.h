/*
 * Buckets as destinations of failures: each failure becomes an object with the whole record.
 *
 * The objects port is used for it here, and no provider of the deliver port: who delivers to an ARN
 * knows neither the name that Lambda gives the object (function or mapping, shard, time) nor that
 * the record of a mapping has its batch in it, which others do not get.
 *
 * Source: Developer Guide, "Capturing records of Lambda asynchronous invocations", "Retaining
 * discarded records for a DynamoDB event source in Lambda".
 */
#ifndef SERVICES_LAMBDA_DESTINATION_H
#define SERVICES_LAMBDA_DESTINATION_H

#include "aws/principal.h"
#include "base/arena.h"
#include "base/rc.h"

struct ports;

/* arn:aws:s3:::... */
bool destination_is_bucket(str arn);
/* Is the rest of it a bucket's name? */
bool destination_bucket_is_valid(str arn);

struct destination_record {
	str bucket_arn;
	str account, region;        /* of the function */
	const struct principal *as; /* NULL: nothing limits it */
	str folder;                 /* "aws/lambda/async/f" */
	str body;
	int64_t time_ms;
};

/*
 * Writes the object FOLDER/YYYY/MM/DD/YYYY-MM-DDTHH.MM.SS-UUID: 0 when it is durable; what S3
 * refuses is ERR_DENIED or ERR_NOT_FOUND, with *ret_why in words for the log.
 */
must_use int destination_put(const struct ports *ports, struct arena *a,
	const struct destination_record *record, str *ret_why) mayyield;

#endif
