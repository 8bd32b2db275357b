/*
 * From the input of CreateFunction and UpdateFunction* to a struct function: what is implemented is
 * checked and applied, what is not is refused by its name. Pure but for
 * the fault and for the role's check.
 */
#ifndef SERVICES_LAMBDA_CONFIG_H
#define SERVICES_LAMBDA_CONFIG_H

#include "aws/gate.h"
#include "services/lambda/function.h"

/* Refuses members of the input that ask for what is not implemented. 0 or ERR_FAULT. */
must_use int config_refuse(struct call *c);
/* The same for a structure of code: the input itself (update) or its Code (create). */
must_use int config_refuse_code(struct call *c, const struct value *code, const char *prefix);
/*
 * Applies the configuration members that are present, after checking them. `created` when all of
 * them are new: then defaults are filled in and Runtime and Handler are required.
 */
must_use int config_apply(struct call *c, bool created, struct function *f);
/* May the caller pass the input's Role, and can functions of the account assume it? */
must_use int config_check_role(struct call *c, str account, str function_name) mayyield;
/* Architectures, of CreateFunction and UpdateFunctionCode. */
must_use int config_architecture(struct call *c, struct function *f);
/*
 * Can the function be changed or published now: is the input's RevisionId, where there is one, the
 * stored one, and is nothing in progress? 0 or ERR_FAULT.
 */
must_use int config_check_changeable(struct call *c, const struct function *f);

struct tag_set {
	const struct function_pair *pairs;
	uint32_t count;
};
/* Lays a map of tags (NULL: nothing) over a set, which is then in the arena. 0 or ERR_FAULT. */
must_use int tags_lay_over(
	struct call *c, struct arena *a, const struct value *map, struct tag_set *tags);
/* What an operation on tags does with those of a resource. */
typedef int tags_change_fn(struct call *c, struct arena *a, struct tag_set *tags);

#endif
