/*
 * Names of functions in all the forms that AWS takes, and their ARNs. Pure.
 *
 *     name                                    my-function
 *     partial ARN                             123456789012:function:my-function
 *     ARN              arn:aws:lambda:us-west-2:123456789012:function:my-function
 *     each with a qualifier                   my-function:$LATEST, ...:my-function:7
 *
 * Source: API Reference, FunctionName of each operation.
 */
#ifndef SERVICES_LAMBDA_NAMES_H
#define SERVICES_LAMBDA_NAMES_H

#include "base/arena.h"
#include "base/rc.h"

struct function_name {
	str account, region; /* STR_NULL where the text names none */
	str name;
	str qualifier; /* STR_NULL: none */
};

/* The parts point into `text`. ERR_SYNTAX for what is no name of a function. */
must_use int function_name_parse(str text, struct function_name *ret_name);
/* arn:aws:lambda:REGION:ACCOUNT:function:NAME[:QUALIFIER]; STR_NULL: without. */
str function_arn(struct arena *a, str account, str region, str name, str qualifier);

/*
 * Layers and their versions:
 *
 *     name, arn:aws:lambda:us-west-2:123456789012:layer:name, ...:layer:name:3
 */
struct layer_name {
	str account, region; /* STR_NULL where the text names none */
	str name;
	uint64_t version; /* 0: none */
};
/* The parts point into `text`. ERR_SYNTAX. */
must_use int layer_name_parse(str text, struct layer_name *ret_name);
/* Of the version, or (0) of the layer. */
str layer_arn(struct arena *a, str account, str region, str name, uint64_t version);

enum { QUALIFIER_LATEST, QUALIFIER_VERSION, QUALIFIER_ALIAS };
/* What a qualifier (STR_NULL too: $LATEST) names; ERR_SYNTAX for none of them. */
must_use int function_qualifier_kind(str qualifier);

/* The role's name, behind the last '/', of arn:aws:iam::A:role/path/NAME. */
str role_name_of_arn(str role_arn);
/* The account of a role's ARN; STR_NULL when it is none. */
str role_account_of_arn(str role_arn);

#endif
