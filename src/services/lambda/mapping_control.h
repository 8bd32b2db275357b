/*
 * The operations on event source mappings, and the engine of this service.
 *
 * Source: API Reference, CreateEventSourceMapping and its siblings; Developer Guide, "Lambda
 * parameters for Amazon DynamoDB event source mappings".
 */
#ifndef SERVICES_LAMBDA_MAPPING_CONTROL_H
#define SERVICES_LAMBDA_MAPPING_CONTROL_H

#include "aws/gate.h"
#include "services/lambda/config.h"

struct lambda_service;
struct mapping_engine;

operation_handler mapping_control_create, mapping_control_get, mapping_control_list,
	mapping_control_update, mapping_control_delete;
/* The mapping's ARN, for operation rows. */
operation_resource mapping_control_resource;

/* The engine with this service's ports and destinations. */
struct mapping_engine *mapping_control_engine(struct lambda_service *s);

/* Tag operations on the input's Resource, the ARN of a mapping. */
must_use int mapping_change_tags(struct call *c, tags_change_fn *change) mayyield;
must_use int mapping_list_tags(struct call *c) mayyield;

/*
 * mapping_rules.c: checks the members of the input (of CreateEventSourceMapping, or of
 * UpdateEventSourceMapping for a source that is known) against what the source takes: 0 or
 * ERR_FAULT.
 */
must_use int mapping_check(struct call *c, str source_arn);
/* Lays the input over a configuration: what is given replaces what is there. */
void mapping_lay_over(struct call *c, struct value *config);

#endif
