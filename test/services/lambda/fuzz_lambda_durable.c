/*
 * What durable executions read that may be anything: records (after a damaged disk), ARNs and
 * callback ids of requests, answers and errors of functions. The first byte chooses.
 */
#include "base/check.h"
#include "base/rc.h"
#include "services/lambda/durable.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const struct durable_key key = {STR_INIT("000000000000"), STR_INIT("us-east-1"),
	STR_INIT("f"), STR_INIT("018bcfe5-6800-7000-8000-000000000000")};

static void execution(struct arena *a, str in)
{
	struct durable_execution x;
	int rc = durable_decode(a, &key, in, &x);

	check(rc == 0 || rc == ERR_CORRUPT || rc == ERR_VERSION);
	if (rc == 0) {
		(void)durable_encode(a, &x);
		(void)durable_due(&x);
	}
}

static void operation(struct arena *a, str in)
{
	struct durable_operation op;
	int rc = durable_operation_decode(a, in, &op);

	check(rc == 0 || rc == ERR_CORRUPT || rc == ERR_VERSION);
	if (rc == 0)
		(void)durable_operation_encode(a, &op);
}

static void names(struct arena *a, str in)
{
	struct durable_callback c;
	struct durable_key parsed;
	str version, name;

	if (durable_arn_parse(in, &parsed, &version, &name) == 0)
		check(parsed.run.n == DURABLE_RUN_BYTES && name.n && version.n);
	if (durable_callback_parse(a, in, &c) == 0)
		check(c.nonce.n == DURABLE_NONCE_BYTES);
}

static void answers(struct arena *a, str in)
{
	struct durable_answer answer;
	struct durable_execution x = {.key = key};
	int rc = durable_answer_parse(a, in, &answer);

	check(rc == 0 || rc == ERR_SYNTAX);
	x.error = durable_error_of(a, in);
	(void)durable_error_payload(a, &x);
	if (rc == 0) {
		x.error = answer.error;
		(void)durable_error_payload(a, &x);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct arena a cleanup(arena_done_p) = {0};
	str in = str_of(data, n);

	if (n == 0)
		return 0;
	arena_init(&a, SIZE_MAX);
	in = str_from(in, 1);
	switch (data[0] & 3) {
	case 0: execution(&a, in); break;
	case 1: operation(&a, in); break;
	case 2: names(&a, in); break;
	default: answers(&a, in); break;
	}
	return 0;
}
