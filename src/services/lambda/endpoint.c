/*
 * The endpoint's requests: find the instance, become its role, let the front answer.
 */
#include "services/lambda/endpoint.h"

#include "aws/ports/identity.h"
#include "base/check.h"
#include "http/http.h"
#include "services/lambda/instance.h"
#include "services/lambda/service.h"

/* The principal of the function's role; one without limits where IAM does not know the role. */
static int role_principal(struct lambda_service *s, struct arena *a, const struct function *f,
	struct principal *ret_principal)
{
	const struct port_identity *port = s->ports->identity;

	if (port && TRY(port->by_role(port->self, a, f->role, f->name, ret_principal)) == 1)
		return 0;
	if (s->options.auth_strict)
		return ERR_DENIED;
	*ret_principal = (struct principal){
		.kind = PRINCIPAL_SESSION,
		.account = f->account,
		.arn = ARENA_CONCAT(a, STR("arn:aws:sts::"), f->account, STR(":assumed-role/"),
			role_name_of_arn(f->role), STR("/"), f->name),
		.role_arn = f->role,
		.user_id = ARENA_CONCAT(a, STR("AROAUNKNOWNTOCIRRUS00:"), f->name),
		.name = f->name,
		.unrestricted = true,
	};
	return 0;
}

static void refuse(struct http_exchange *x, str text)
{
	const struct http_header type = {.name = STR("Content-Type"), .value = STR("text/plain")};

	(void)!http_respond(x, 403, &type, 1, text);
}

static void handle(struct http_exchange *x, void *arg)
{
	struct lambda_service *s = check_object(arg, struct lambda_service, LAMBDA_SERVICE_MAGIC);
	struct instance *i = scheduler_find(s->scheduler, (uint64_t)(uintptr_t)x->tag);
	struct principal principal;
	struct gate_trust trust = {.loopback = true, .function = &principal};

	if (!i) {
		refuse(x, STR("This execution environment has ended.\n"));
		return;
	}
	instance_ref(i);
	if (role_principal(s, &x->arena, &i->function->function, &principal) < 0)
		refuse(x, STR("The role of this function does not exist.\n"));
	else
		s->options.front(s->options.front_arg, x, &trust);
	instance_unref(i);
}

int endpoint_open(struct lambda_service *s)
{
	struct http_server_options options = {.handler = handle, .arg = s};

	return http_server_new(&options, &s->endpoint_server);
}
