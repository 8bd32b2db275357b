/*
 * The operations of the apigatewayv2 API that are implemented, one handler each: control_api.c,
 * control_route.c (routes and integrations), control_stage.c (stages, deployments, tags). The
 * table of rows is in apigateway.c.
 */
#ifndef SERVICES_APIGATEWAY_CONTROL_H
#define SERVICES_APIGATEWAY_CONTROL_H

#include "services/apigateway/store.h"

/* OPERATION(name, HTTP method as IAM action) */
#define APIGATEWAY_OPERATIONS                      \
	OPERATION(CreateApi, POST)                 \
	OPERATION(GetApi, GET)                     \
	OPERATION(GetApis, GET)                    \
	OPERATION(UpdateApi, PATCH)                \
	OPERATION(DeleteApi, DELETE)               \
	OPERATION(DeleteCorsConfiguration, DELETE) \
	OPERATION(CreateIntegration, POST)         \
	OPERATION(GetIntegration, GET)             \
	OPERATION(GetIntegrations, GET)            \
	OPERATION(UpdateIntegration, PATCH)        \
	OPERATION(DeleteIntegration, DELETE)       \
	OPERATION(CreateRoute, POST)               \
	OPERATION(GetRoute, GET)                   \
	OPERATION(GetRoutes, GET)                  \
	OPERATION(UpdateRoute, PATCH)              \
	OPERATION(DeleteRoute, DELETE)             \
	OPERATION(CreateStage, POST)               \
	OPERATION(GetStage, GET)                   \
	OPERATION(GetStages, GET)                  \
	OPERATION(UpdateStage, PATCH)              \
	OPERATION(DeleteStage, DELETE)             \
	OPERATION(CreateDeployment, POST)          \
	OPERATION(GetDeployment, GET)              \
	OPERATION(GetDeployments, GET)             \
	OPERATION(UpdateDeployment, PATCH)         \
	OPERATION(DeleteDeployment, DELETE)        \
	OPERATION(GetTags, GET)                    \
	OPERATION(TagResource, POST)               \
	OPERATION(UntagResource, DELETE)

#define OPERATION(name, action) must_use mayyield int apigateway_##name(struct call *c);
APIGATEWAY_OPERATIONS
#undef OPERATION

/*
 * A member of the input that is not implemented: it is refused by name, never accepted and
 * ignored. `fine` is the value that asks for nothing ("NONE", "false"); NULL: none does.
 */
struct refused_member {
	const char *name, *fine, *why;
};
must_use int control_refuse(
	struct call *c, const struct value *in, const struct refused_member *members, size_t n);

/* Checks and completes what is about to be stored; BadRequestException. */
must_use int control_check_integration(struct call *c, struct value *integration);
/* ConflictException when another route has that key; the target has to exist. */
must_use mayyield int control_check_route(struct change *ch, struct value *route);
must_use int control_check_tags(struct call *c, const struct value *tags);

#endif
