/*
 * A request to a deployed API, from its arrival through the hosts port to its answer.
 *
 *     find the API -> CORS preflight -> stage -> route -> body -> integration -> answer
 *
 * Runs in the request's fiber and suspends; answers always. Every answer carries Apigw-Requestid
 * and the API's CORS headers. Texts and statuses of the gateway's own answers are those of AWS:
 * https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-troubleshooting.html
 */
#ifndef SERVICES_APIGATEWAY_EXECUTE_H
#define SERVICES_APIGATEWAY_EXECUTE_H

#include "aws/ports/hosts.h"
#include "services/apigateway/compiled.h"

struct http_client;

/* What each loop has. */
struct gateway_loop {
	struct compiled_cache cache;
	struct http_client *client; /* NULL until the first HTTP integration is called */
	int64_t quiet_until;        /* no warning about an integration before */
};

struct apigateway {
	struct apigateway_options options;
	_Atomic(struct kv *) kv; /* NULL before start */
	_Atomic uint64_t generations[COMPILED_GENERATIONS];
	unsigned slot; /* of struct gateway_loop */
	struct service *service;
	struct port_host host;
};

/* The calling loop's. */
struct gateway_loop *gateway_loop(struct apigateway *gateway);

/* A request in progress. */
struct execution {
	struct apigateway *gateway;
	struct http_exchange *x;
	const struct host_match *match;
	struct compiled_api *api; /* referenced; NULL until found */
	const struct compiled_stage *stage;
	const struct compiled_integration *integration;
	struct router_match route;
	str request_id, origin, source_ip;
	str path; /* raw, without the stage */
	str body;
	const struct http_header *headers; /* as integrations get them */
	size_t header_count;
	int64_t wall_ms;
};

/* The port's function. */
void execute_serve(void *self, struct http_exchange *x, const struct host_match *match) mayyield;

enum gateway_answer {
	ANSWER_BAD_REQUEST,
	ANSWER_FORBIDDEN,
	ANSWER_NOT_FOUND,
	ANSWER_PAYLOAD_TOO_LARGE,
	ANSWER_HEAD_TOO_LARGE,
	ANSWER_INTERNAL_ERROR,
	ANSWER_UNAVAILABLE,
	ANSWER_TIMEOUT,
};
/* One of the gateway's own answers. */
void execute_refuse(struct execution *e, enum gateway_answer answer) mayyield;
/* The integration's answer. Its hop-by-hop headers are gone already. */
void execute_answer(struct execution *e, unsigned status, const struct http_header *headers,
	size_t n, str body) mayyield;

/* May a failing integration be logged? Once a second on each loop: clients cause it at will. */
bool execute_may_log(struct execution *e);

/* Calls the HTTP endpoint of e->integration and answers. proxy.c */
void execute_proxy(struct execution *e) mayyield;
/* Calls the function of e->integration and answers. function.c */
void execute_function(struct execution *e) mayyield;

#endif
