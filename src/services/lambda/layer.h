/*
 * Layers: archives of their own, with numbered versions that never change, used by functions.
 *
 *     LAMBDA_META "layer" account region name                   number of the last version
 *     LAMBDA_META "layer-version" account region name number    code's hex, GetLayerVersionResponse
 *     LAMBDA_META "layer-policy" account region name number     as a function's (policy_document.h)
 *
 * All are written under the first one's key. Numbers are never used again. A version that is
 * deleted is gone for new configurations; functions that have it keep its code.
 *
 * Source: Developer Guide, "Managing Lambda dependencies with layers"; API Reference.
 */
#ifndef SERVICES_LAMBDA_LAYER_H
#define SERVICES_LAMBDA_LAYER_H

#include "aws/gate.h"
#include "services/lambda/function.h"
#include "services/lambda/names.h"

struct code_pin;
struct lambda_service;
struct policy;

/*
 * Checks the input's Layers, where there are any, and sets the function's: each exists, may be used
 * by the caller, is no second version of another. The code of all is pinned: `pins` has room for
 * FUNCTION_LAYERS_MAX and belongs to the caller whatever the result (layers_unpin()). 0 or
 * ERR_FAULT.
 */
must_use int layers_apply(struct call *c, struct function *f, struct code_pin **pins) mayyield;
void layers_unpin(struct lambda_service *s, struct code_pin **pins, size_t count);
/* The policy of a layer's version: 1, or 0 when it has none. */
must_use int layer_policy(struct lambda_service *s, struct arena *a, const struct layer_name *name,
	struct policy **ret_policy) mayyield;

/* Archives of all versions of the caller's layers together. */
must_use int layers_bytes(struct call *c, uint64_t *ret_bytes) mayyield;

operation_handler layer_publish, layer_get, layer_get_by_arn, layer_list, layer_list_versions,
	layer_delete, layer_add_permission, layer_remove_permission, layer_get_policy;
operation_resource layer_resource;

#endif
