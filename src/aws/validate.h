/*
 * Constraints of inputs: required members, lengths, ranges, patterns, enumerations. Pure.
 */
#ifndef AWS_VALIDATE_H
#define AWS_VALIDATE_H

#include "aws/value.h"

/* Broken constraints that one message lists. */
enum { VALIDATE_ERRORS_MAX = 10 };

/*
 * 0, or ERR_FAULT and the message that AWS has for it, in the tree's arena:
 *
 *     2 validation errors detected: Value 'a' at 'tableName' failed to satisfy constraint: Member
 *     must have length greater than or equal to 3; Value null at 'key' failed to satisfy
 *     constraint: Member must not be null
 */
must_use int validate(const struct value *input, str *ret_message);

#endif
