/*
 * What lambda reads from strangers, as it comes: names of functions, records (after a damaged
 * disk), and the log output of a container. The first byte chooses.
 */
#include "base/check.h"
#include "services/lambda/log_feed.h"
#include "services/lambda/names.h"
#include "services/lambda/policy_document.h"
#include "services/lambda/service.h"

#include <stddef.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void fuzz_name(str text)
{
	struct arena a cleanup(arena_done_p) = {0};
	struct function_name name, again;
	str arn;

	arena_init(&a, SIZE_MAX);
	if (function_name_parse(text, &name) < 0 || !name.account.p || !name.region.p)
		return;
	/* What was taken apart can be put together, and means the same. */
	arn = function_arn(&a, name.account, name.region, name.name, name.qualifier);
	check(function_name_parse(arn, &again) == 0);
	check(str_eq(name.name, again.name) && str_eq(name.account, again.account));
	check(str_eq(name.region, again.region) && str_eq(name.qualifier, again.qualifier));
}

static void fuzz_layer_name(str text)
{
	struct arena a cleanup(arena_done_p) = {0};
	struct layer_name name, again;

	arena_init(&a, SIZE_MAX);
	if (layer_name_parse(text, &name) < 0 || !name.account.p)
		return;
	check(layer_name_parse(layer_arn(&a, name.account, name.region, name.name, name.version),
		      &again) == 0);
	check(str_eq(name.name, again.name) && name.version == again.version);
}

static void fuzz_policy(str text)
{
	struct arena a cleanup(arena_done_p) = {0};
	str revision = STR("00000000-0000-4000-8000-000000000000"), next;

	arena_init(&a, SIZE_MAX);
	(void)!policy_document_edit(&a, text, STR("s"), STR_NULL, revision, &next);
	if (policy_document_edit(&a, text, STR("s"), STR("{\"Sid\":\"s\"}"), revision, &next) == 1)
		check(policy_document_edit(&a, next, STR("s"), STR_NULL, revision, &next) >= 0);
}

static void fuzz_record(str text)
{
	struct arena a cleanup(arena_done_p) = {0};
	struct function f;
	struct buf b;

	arena_init(&a, SIZE_MAX);
	if (function_decode(&a, STR("000000000000"), STR("us-east-1"), text, &f) < 0)
		return;
	if (f.role.n) {
		buf_init(&b, &a, (size_t)1 << 24);
		function_encode(&a, &f, &b);
	}
}

static void on_dirty(void *arg)
{
	(void)arg;
}

static void fuzz_output(str bytes)
{
	static struct lambda_service service;
	static struct ports ports;
	struct log_feed *feed;

	service.ports = &ports;
	feed = log_feed_new(&service, STR("a"), STR("r"), STR("g"), STR("s"), on_dirty, NULL);
	/* In two parts: frames and lines may be cut anywhere. */
	log_feed_output(feed, LOG_FEED_FRAMED, str_sub(bytes, 0, bytes.n / 3));
	log_feed_output(feed, LOG_FEED_FRAMED, str_from(bytes, bytes.n / 3));
	log_feed_output(feed, LOG_FEED_PLAIN, bytes);
	log_feed_end_lines(feed);
	log_feed_close(feed);
	log_feed_free(feed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	str in = str_of(data, n);

	if (n == 0)
		return 0;
	in = str_from(in, 1);
	switch (data[0] % 3) {
	case 0:
		fuzz_name(in);
		fuzz_layer_name(in);
		break;
	case 1:
		fuzz_record(in);
		fuzz_policy(in);
		break;
	default: fuzz_output(in); break;
	}
	return 0;
}
