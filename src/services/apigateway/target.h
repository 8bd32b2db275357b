/*
 * What an integration's URI says: a function, or an HTTP endpoint with {parameters} in its path.
 *
 * Stage variables, ${stageVariables.name}, are put in when a stage is compiled; parameters of the
 * route at each request, percent-encoded. A parameter can never leave its place in the path: values
 * with "." or ".." segments are refused, so that a base path in the URI holds.
 *
 * https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations.html
 * Pure; any thread.
 */
#ifndef SERVICES_APIGATEWAY_TARGET_H
#define SERVICES_APIGATEWAY_TARGET_H

#include "aws/http_event.h"
#include "base/arena.h"
#include "services/apigateway/router.h"

/* Does the text name stage variables? */
bool target_has_variables(str text);
/* Replaces stage variables. ERR_NOT_FOUND: one is not set; ERR_SYNTAX: not closed. */
must_use int target_substitute(struct arena *arena, str text,
	const struct event_variable *variables, size_t n, str *ret_text);

/*
 * The function's ARN from itself or from arn:aws:apigateway:{region}:lambda:path/2015-03-31/
 * functions/{ARN}/invocations. ERR_SYNTAX.
 */
must_use int target_function(str uri, str *ret_arn);

struct target_url {
	bool secure;
	str host; /* as in the URI, with the port if it names one: the Host header */
	str name; /* without port and brackets */
	uint16_t port;
	str path;  /* begins with '/', {parameters} in it */
	str query; /* STR_NULL: none */
};
/* ERR_SYNTAX: no http(s) URL, or one with user information, fragment or a {parameter} in its host.
 * The parts are borrowed. */
must_use int target_url_parse(str uri, struct target_url *ret_url);
/*
 * Path and query for a request: parameters filled in, the request's own query behind the URI's.
 * ERR_NOT_FOUND: the route has no such parameter; ERR_INVALID: a value that would leave its place.
 */
must_use int target_url_fill(struct arena *arena, const struct target_url *url,
	const struct router_parameter *parameters, size_t n, str request_query, str *ret_target);

#endif
