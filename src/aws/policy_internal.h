/*
 * A parsed policy, as policy_parse.c makes it and policy_eval.c reads it; nobody else.
 */
#ifndef AWS_POLICY_INTERNAL_H
#define AWS_POLICY_INTERNAL_H

#include "aws/policy.h"

enum policy_type {
	POLICY_STRING,
	POLICY_NUMERIC,
	POLICY_DATE,
	POLICY_BOOL,
	POLICY_BINARY,
	POLICY_IP,
	POLICY_ARN,
	POLICY_NULL_TEST
};

enum policy_test {
	POLICY_EQUAL,
	POLICY_EQUAL_NOCASE,
	POLICY_LIKE,
	POLICY_LESS,
	POLICY_LESS_EQUAL,
	POLICY_GREATER,
	POLICY_GREATER_EQUAL
};

enum policy_quantifier { POLICY_PLAIN, POLICY_FOR_ALL, POLICY_FOR_ANY };

struct policy_condition {
	enum policy_type type;
	enum policy_test test;
	enum policy_quantifier quantifier;
	bool negated, if_exists;
	str key;
	str *values;
	uint32_t count;
};

struct policy_list {
	str *items;
	uint32_t count;
	bool negated; /* NotAction, NotResource, NotPrincipal */
	bool present;
};

enum policy_principal_kind {
	POLICY_PRINCIPAL_ANY,
	POLICY_PRINCIPAL_AWS,
	POLICY_PRINCIPAL_SERVICE,
	POLICY_PRINCIPAL_FEDERATED,
	POLICY_PRINCIPAL_CANONICAL
};

struct policy_principal {
	enum policy_principal_kind kind;
	str value;
};

struct policy_statement {
	str sid;
	unsigned number; /* from 1 */
	bool deny;
	struct policy_list actions, resources;
	struct policy_principal *principals;
	uint32_t principal_count;
	bool has_principal, not_principal;
	struct policy_condition *conditions;
	uint32_t condition_count;
};

struct policy {
	bool variables; /* version 2012-10-17: ${...} means something */
	struct policy_statement *statements;
	uint32_t count;
};

#endif
