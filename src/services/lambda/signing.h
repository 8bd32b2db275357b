/*
 * Code signing configurations: what happens to archives whose signature cannot be trusted.
 *
 *     LAMBDA_META "signing" account region id    ms since 1970, CreateCodeSigningConfigRequest
 *
 * Who signed an archive says the signatures port. What was changed since it was signed is never
 * deployed under a configuration. What is not signed by one of its publishers, is expired or
 * revoked is not deployed under the policy Enforce, and is under Warn; both count it
 * (SignatureValidationErrors) and write a line to the server's log. Layers are held to it when they
 * are added.
 *
 * Source: Developer Guide, "Using code signing to verify code integrity with Lambda"; API
 * Reference, CodeSigningPolicies. Not confirmed: the text of InvalidCodeSignatureException, which
 * name refusals of layers have, and that functions without a configuration show who signed them.
 */
#ifndef SERVICES_LAMBDA_SIGNING_H
#define SERVICES_LAMBDA_SIGNING_H

#include "aws/gate.h"
#include "aws/ports/signatures.h"
#include "services/lambda/config.h"

/* Who signed an archive, whose file is open: SIGNATURE_NONE where nobody knows signatures. */
must_use int signing_look(struct call *c, int fd, struct signature *ret_signature) mayyield;
/*
 * May there be such a function, its code with that signature, its layers (stored and pinned), under
 * the function's code signing configuration? 0, also without one, or ERR_FAULT.
 */
must_use int signing_check_config(struct call *c, const struct function *f) mayyield;
must_use int signing_check_code(
	struct call *c, const struct function *f, const struct signature *signature) mayyield;
must_use int signing_check_layers(struct call *c, const struct function *f) mayyield;
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
