/*
 * Code signing configurations: what happens to archives whose signature cannot be trusted.
 *
 *     LAMBDA_META "signing" account region id    ms since 1970, CreateCodeSigningConfigRequest
 *
 * There is no signer here whose signatures could be verified, so every archive is untrusted: under
 * the policy Enforce none is deployed, under Warn each is, with a line in the server's log.
 *
 * Source: Developer Guide, "Using code signing to verify code integrity with Lambda".
 */
#ifndef SERVICES_LAMBDA_SIGNING_H
#define SERVICES_LAMBDA_SIGNING_H

#include "aws/gate.h"
#include "services/lambda/config.h"

/* May code (or layers) be deployed under the configuration (empty: none)? 0 or ERR_FAULT. */
must_use int signing_check(struct call *c, str arn, const struct function *f) mayyield;
/* Is it the ARN of a code signing configuration? */
bool signing_is_arn(str arn);
/* Tag operations on the input's Resource. */
must_use int signing_change_tags(struct call *c, tags_change_fn *change) mayyield;
must_use int signing_list_tags(struct call *c) mayyield;

operation_handler signing_create, signing_get, signing_update, signing_delete, signing_list,
	signing_list_functions, signing_put_function, signing_get_function, signing_delete_function;
/* The configuration's ARN, for operation rows. */
operation_resource signing_resource;

#endif
