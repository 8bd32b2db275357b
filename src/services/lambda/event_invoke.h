/*
 * What becomes of asynchronous invocations of a function, version or alias: how often they are
 * tried, until when, and who is told of the end.
 *
 * Stored as FunctionEventInvokeConfig, a part of the function ("$LATEST" for the function itself).
 *
 * Source: API Reference, PutFunctionEventInvokeConfig; Developer Guide, "Configuring error handling
 * settings for Lambda asynchronous invocations", "Capturing records of Lambda asynchronous
 * invocations".
 */
#ifndef SERVICES_LAMBDA_EVENT_INVOKE_H
#define SERVICES_LAMBDA_EVENT_INVOKE_H

#include "services/lambda/names.h"

struct call;
struct lambda_service;

struct event_invoke {
	unsigned retries;
	int64_t age_ms;
	str on_success, on_failure; /* ARNs; empty: none */
};
/* Of a function with the qualifier of the call; AWS's defaults where nothing is configured. */
must_use int event_invoke_load(struct lambda_service *s, struct arena *a,
	const struct function_name *function, struct event_invoke *ret_config) mayyield;

/*
 * Is the Destination in the input's DestinationConfig one that somebody here takes events for?
 * `when`: "OnSuccess", "OnFailure". 0 or ERR_FAULT.
 */
must_use int event_invoke_check_destination(struct call *c, const char *when);

/* An invocation that has come to an end. */
struct event_invoke_end {
	str request_id, function_arn; /* with a qualifier */
	const char *condition;        /* "Success", "RetriesExhausted", "EventAgeExceeded" */
	unsigned attempts;            /* approximateInvokeCount */
	str payload;                  /* JSON */
	/* Of the last run; version STR_NULL: there was none. */
	str version, function_error, response;
	int64_t time_ms;
};
/*
 * The invocation record that a destination gets; STR_NULL when it would be larger than `max`: than
 * an event may be, except in a bucket. Pure.
 */
str event_invoke_record(struct arena *a, const struct event_invoke_end *end, size_t max);
/*
 * A failed run's error message, its first 1 KB, as a dead letter's attribute shows it. Of an answer
 * that is no error object: its beginning. Pure.
 */
str event_invoke_error(struct arena *a, str response);

#endif
