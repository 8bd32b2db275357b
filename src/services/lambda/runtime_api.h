/*
 * The Runtime API, version 2018-06-01, as a runtime sees it on 127.0.0.1:9001.
 *
 *     GET  /2018-06-01/runtime/invocation/next
 *     POST /2018-06-01/runtime/invocation/ID/response     buffered or streamed
 *     POST /2018-06-01/runtime/invocation/ID/error
 *     POST /2018-06-01/runtime/init/error
 *
 * Served by one HTTP server for all instances; a connection's listener tells whose it is. Runs on
 * the instance's loop. Limits: bodies (limits.def), connections of a container.
 *
 * Source: Developer Guide, "Using the Lambda runtime API for custom runtimes".
 */
#ifndef SERVICES_LAMBDA_RUNTIME_API_H
#define SERVICES_LAMBDA_RUNTIME_API_H

#include "base/str.h"

struct http_exchange;
struct lambda_service;

/* At start, from a fiber. */
must_use int runtime_api_open(struct lambda_service *s) mayyield;

/* Answers in JSON, of this API and its neighbours on the same port; the client may be gone. */
void runtime_api_answer(struct http_exchange *x, unsigned status, str body) mayyield;
/* {"errorMessage": ..., "errorType": ...}. */
void runtime_api_error(struct http_exchange *x, unsigned status, str type, str message) mayyield;

#endif
