/*
 * Function URLs: an address of its own for a function or an alias.
 *
 * The configuration is a part of the function, stored as its FunctionUrlConfig whose FunctionUrl is
 * the id alone; the address is made of it when it is shown. A record of the id names the owner.
 *
 * Source: Developer Guide, "Creating and managing Lambda function URLs", "Control access to Lambda
 * function URLs"; API Reference, CreateFunctionUrlConfig.
 */
#ifndef SERVICES_LAMBDA_URL_H
#define SERVICES_LAMBDA_URL_H

#include "aws/cors.h"
#include "aws/ports/hosts.h"
#include "services/lambda/names.h"
#include "services/lambda/service.h"

/* A URL's configuration as it is served. In the arena. */
struct url_config {
	struct function_name function; /* qualifier STR_NULL: the function itself */
	bool iam;                      /* AuthType AWS_IAM */
	bool streams;                  /* InvokeMode RESPONSE_STREAM */
	const struct cors *cors;       /* NULL: none */
};
/* Whose URL it is: 1, or 0 when there is none of the id. */
must_use int url_find(
	struct lambda_service *s, struct arena *a, str id, struct url_config *ret_config) mayyield;

/* Host label "lambda-url" (url_serve.c). */
void url_serve(void *self, struct http_exchange *x, const struct host_match *match) mayyield;

/* ---- what a function streams (url_stream.c); pure ---- */

enum { URL_PRELUDE_BYTES_MAX = 64 * 1024 };

/*
 * Splits the head off a streamed answer: with the content type
 * application/vnd.awslambda.http-integration-response a JSON object with statusCode, headers and
 * cookies, ended by eight NUL bytes. 1 and the head's length with its end, 0: not whole yet;
 * ERR_TOO_LARGE.
 */
must_use int url_prelude_find(str bytes, size_t *ret_head_bytes);

#endif
