/*
 * The service object of STS, and its operations without a role.
 *
 * https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html,
 * API_GetSessionToken.html
 */
#include "base/mem.h"
#include "services/sts/internal.h"

enum { TOKEN_SECONDS_DEFAULT = 43200, TOKEN_SECONDS_ROOT_MAX = 3600 };

const struct fault_kind sts_faults[] = {
#define FAULT(...) FAULT_ROW(__VA_ARGS__)
#include "services/sts/faults.def"
#undef FAULT
};

int sts_refuse_members(struct call *c, const char *const *members, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (value_has(c->in, members[i]))
			return call_fault(c, &sts_faults[STS_NOT_IMPLEMENTED],
				"%.*s: the member %s is not implemented.",
				STR_ARG(model_str(c->service->model, c->operation->name)),
				members[i]);
	return 0;
}

void sts_credentials_put(struct call *c, const struct identity *id)
{
	struct value *v = value_put_struct(c->out, "Credentials");

	value_put_str(v, "AccessKeyId", id->principal.access_key);
	value_put_str(v, "SecretAccessKey", id->secret);
	value_put_str(v, "SessionToken", id->session_token);
	value_put_time_ms(v, "Expiration", id->expires_ms);
}

static int get_caller_identity(struct call *c)
{
	value_put_str(c->out, "UserId", c->principal->user_id);
	value_put_str(c->out, "Account", c->principal->account);
	value_put_str(c->out, "Arn", c->principal->arn);
	return 0;
}

static int get_session_token(struct call *c)
{
	static const char *const refused[] = {"SerialNumber", "TokenCode"};
	const struct port_identity *port = sts_identity(c);
	const struct principal *who = c->principal;
	int64_t seconds = value_int(c->in, "DurationSeconds", TOKEN_SECONDS_DEFAULT);
	struct identity_session wanted = {.user = who};
	struct identity id;

	TRY(sts_refuse_members(c, refused, ARRAY_SIZE(refused)));
	if ((who->kind != PRINCIPAL_USER && who->kind != PRINCIPAL_ROOT) ||
		str_starts(who->access_key, STR("ASIA")))
		return call_fault(c, &sts_faults[STS_ACCESS_DENIED],
			"Cannot call GetSessionToken with session credentials");
	/* "If the duration is longer than one hour, the session for Amazon Web Services account
	 * owners defaults to one hour." */
	if (who->kind == PRINCIPAL_ROOT)
		seconds = MIN(seconds, (int64_t)TOKEN_SECONDS_ROOT_MAX);
	wanted.expires_ms = (c->wall_ms / 1000 + seconds) * 1000;
	TRY(port->session_make(port->self, c->arena, &wanted, &id));
	sts_credentials_put(c, &id);
	return 0;
}

static const struct operation_row rows[] = {
	{.name = "AssumeRole", .handle = sts_assume_role, .flags = ROW_AUTHORIZES},
	{.name = "GetCallerIdentity", .handle = get_caller_identity, .flags = ROW_ALWAYS_ALLOWED},
	/* "No permissions are required for users to perform this operation." */
	{.name = "GetSessionToken", .handle = get_session_token, .flags = ROW_ALWAYS_ALLOWED},
};

struct sts *sts_service_new(const struct ports *ports)
{
	struct sts *sts = mem_new(struct sts);

	check(ports->identity != NULL);
	sts->magic = STS_MAGIC;
	sts->ports = ports;
	sts->service = (struct service){.model = model_named(STR("sts")),
		.rows = rows,
		.row_count = ARRAY_SIZE(rows),
		.self = sts};
	check(sts->service.model != NULL);
	return sts;
}

void sts_service_free(struct sts *sts)
{
	if (!sts)
		return;
	check(sts->magic == STS_MAGIC);
	sts->magic = 0;
	mem_free(sts);
}

const struct service *sts_service(const struct sts *sts)
{
	return &sts->service;
}
