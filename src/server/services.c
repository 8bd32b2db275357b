/*
 * The list of services. Order of start: the store's users first (iam, whom the gate asks), then
 * what functions need (logs), lambda, and API Gateway, which calls functions.
 */
#include "server/services.h"

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rc.h"
#include "rt/rt.h"
#include "rt/stream.h"
#include "sandbox/launcher.h"
#include "sandbox/sandbox.h"
#include "server/runtimes.h"
#include "server/worker.h"
#include "services/dynamodb/dynamodb.h"
#include "services/iam/iam.h"
#include "services/sts/sts.h"

#include <unistd.h>

enum { SERVICES = 3, SANDBOX_OPEN_MS = 10000 };

struct services {
	const struct services_options options; /* borrowed parts outlive us */
	struct rt *rt;
	struct iam *iam;
	struct sts *sts;
	struct dynamodb *dynamodb;
	struct logs *logs;
	struct lambda_service *lambda;
	struct apigateway *apigateway;
	struct sandbox *sandbox;
	struct rt_address own[1];
	const struct service *rows[SERVICES];
};

int services_new(
	struct rt *rt, const struct services_options *options, struct services **ret_services)
{
	struct services init = {.options = *options, .rt = rt};
	struct services *s = mem_new(struct services);

	memcpy(s, &init, sizeof init);
	*ret_services = s;
	s->iam = iam_service_new(rt, NULL, options->ports);
	s->sts = sts_service_new(options->ports);
	s->rows[0] = iam_service(s->iam);
	s->rows[1] = sts_service(s->sts);
	s->dynamodb = dynamodb_new(rt);
	s->rows[2] = dynamodb_service(s->dynamodb);
	return 0;
}

const struct service *services_rows(const struct services *s, unsigned i)
{
	return i < SERVICES ? s->rows[i] : NULL;
}

/* Containers may be impossible here: then everything else works, and Invoke says why. */
static void open_sandbox(struct services *s, int launcher_fd, struct sandbox_error *error)
{
	struct sandbox_info info;
	int rc;

	if (launcher_fd < 0) {
		memcpy(error->text, "the launcher could not be started", 34);
		return;
	}
	rc = sandbox_open(launcher_fd, rt_after_ms(SANDBOX_OPEN_MS), &s->sandbox, &info, error);
	if (rc == 0)
		log_info("sandbox", "functions run in containers", "%s", info.text);
	else
		log_warn("sandbox", "functions cannot run on this machine", "why=%s", error->text);
}

int services_start(struct services *s, const struct services_start *start, bool *ret_functions)
{
	struct sandbox_error error = {0};

	TRY(iam_service_start(s->iam, start->kv));
	TRY(rt_spawn(iam_sweep_run, s->iam));
	TRY(dynamodb_start(s->dynamodb, start->kv));
	open_sandbox(s, start->launcher_fd, &error);
	*ret_functions = s->sandbox != NULL;
	return 0;
}

int services_root_key(struct services *s, struct arena *a, str *ret_key, str *ret_secret)
{
	struct iam_root_key key;
	int made = TRY(iam_root_key_ensure(s->iam, a, STR("000000000000"), &key));

	*ret_key = key.access_key;
	*ret_secret = key.secret;
	return made;
}

void services_stop(struct services *s, int64_t deadline)
{
	(void)deadline;
	dynamodb_stop(s->dynamodb);
	sandbox_close(s->sandbox);
	s->sandbox = NULL;
}

void services_free(struct services *s)
{
	if (!s)
		return;
	sts_service_free(s->sts);
	iam_service_free(s->iam);
	mem_free(s);
}
