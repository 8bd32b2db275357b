/*
 * Configuration members. Refusals are a table: member, what is harmless in it, and why not.
 */
#include "services/lambda/config.h"

#include "aws/codec.h"
#include "aws/ports/identity.h"
#include "base/check.h"
#include "services/lambda/service.h"
#include "services/lambda/tenant.h"

enum { TAG_KEY_CHARS = 128, TAG_VALUE_CHARS = 256, RETENTION_DAYS = 14 };

#if defined(__x86_64__)
#define HOST_ARCHITECTURE "x86_64"
#elif defined(__aarch64__)
#define HOST_ARCHITECTURE "arm64"
#else
#define HOST_ARCHITECTURE "unknown"
#endif

/* The member, NULL when absent or when this operation's input has none of the name. */
static const struct value *member(const struct call *c, const struct value *v, const char *name)
{
	if (!v || model_member(c->service->model, v->shape, str_c(name)) < 0)
		return NULL;
	return value_get(v, name);
}

/* ---- what is not implemented ---- */

/* True when the value asks for nothing. */
typedef bool harmless_fn(const struct value *v);

static bool harmless_empty_text(const struct value *v)
{
	return value_text(v).n == 0;
}

static bool harmless_empty_list(const struct value *v)
{
	return value_count(v) == 0;
}

static bool harmless_vpc(const struct value *v)
{
	return value_count(value_get(v, "SubnetIds")) == 0 &&
	       value_count(value_get(v, "SecurityGroupIds")) == 0 &&
	       !value_bool(v, "Ipv6AllowedForDualStack", false);
}

static bool harmless_never(const struct value *v unused_arg)
{
	return false;
}

static const struct refusal {
	const char *member;
	harmless_fn *harmless;
	const char *why;
} refusals[] = {
	{"VpcConfig", harmless_vpc, "functions reach this server only"},
	{"KMSKeyArn", harmless_empty_text, "there are no KMS keys"},
	{"FileSystemConfigs", harmless_empty_list, "there are no file systems to mount"},
	{"CapacityProviderConfig", harmless_never, "there are no managed instances"},
	{"PublishTo", harmless_never, "there are no managed instances"},
};

/* Where there are no buckets. */
static const struct refusal bucket_refusals[] = {
	{"S3Bucket", harmless_never, "send the archive as ZipFile"},
	{"S3Key", harmless_never, "send the archive as ZipFile"},
	{"S3ObjectVersion", harmless_never, "send the archive as ZipFile"},
	{"S3ObjectStorageMode", harmless_never, "send the archive as ZipFile"},
};

static bool harmless_copy(const struct value *v)
{
	return !str_eq(value_text(v), STR("REFERENCE"));
}

static const struct refusal code_refusals[] = {
	{"S3ObjectStorageMode", harmless_copy,
		"REFERENCE would have functions depend on the bucket; archives are copied (COPY)"},
	{"SourceKMSKeyArn", harmless_empty_text, "there are no KMS keys"},
};

static int refuse(struct call *c, const struct value *v, const char *prefix,
	const struct refusal *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct value *m = member(c, v, rows[i].member);

		if (m && !rows[i].harmless(m))
			return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
				"%s%s is not implemented by this server: %s.", prefix,
				rows[i].member, rows[i].why);
	}
	return 0;
}

int config_refuse(struct call *c)
{
	return refuse(c, c->in, "", refusals, ARRAY_SIZE(refusals));
}

int config_refuse_code(struct call *c, const struct value *code, const char *prefix)
{
	const struct lambda_service *s =
		check_object(c->self, struct lambda_service, LAMBDA_SERVICE_MAGIC);

	if (!s->ports->objects)
		TRY(refuse(c, code, prefix, bucket_refusals, ARRAY_SIZE(bucket_refusals)));
	return refuse(c, code, prefix, code_refusals, ARRAY_SIZE(code_refusals));
}

/* ---- what is ---- */

static int apply_runtime(struct call *c, bool created, struct function *f)
{
	struct lambda_service *s =
		check_object(c->self, struct lambda_service, LAMBDA_SERVICE_MAGIC);
	str name = value_str(c->in, "Runtime"), handler = value_str(c->in, "Handler");
	const struct lambda_runtime *runtime;
	bool there;

	if (function_is_image(f)) {
		if (name.n || handler.n || value_count(value_get(c->in, "Layers")))
			return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
				"Please don't provide Handler or Runtime or Layer when the intent "
				"is to create function from a container image (PackageType "
				"Image).");
		f->runtime = lambda_runtime_find(STR(""));
		f->runtime_name = f->runtime->name;
		return 0;
	}
	if (created && (!name.n || !handler.n))
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			"Runtime and Handler are mandatory parameters for functions created with "
			"deployment packages.");
	if (handler.p)
		f->handler = handler;
	if (!name.p)
		return 0;
	runtime = lambda_runtime_find(name);
	if (!runtime)
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			"Value %.*s at 'runtime' failed to satisfy constraint: Member must satisfy "
			"enum value set: [%.*s] or be a valid ARN",
			STR_ARG(name), STR_ARG(lambda_runtime_names(c->arena)));
	if (runtime->retired)
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			"The runtime parameter of %.*s is no longer supported for creating or "
			"updating AWS Lambda functions. We recommend you use a supported runtime "
			"while creating or updating functions.",
			STR_ARG(name));
	there = runtime->family == RUNTIME_PROVIDED ||
		(runtime->family == RUNTIME_NODE && s->options.node) ||
		(runtime->family == RUNTIME_PYTHON && s->options.python) ||
		(runtime->family == RUNTIME_RUBY && s->options.ruby) ||
		(runtime->family == RUNTIME_JAVA && s->options.java);
	if (!there)
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			"The runtime %.*s is not available on this server: nodejs*, python*, "
			"ruby*, java* "
			"(where the programs are installed) and provided.* are.",
			STR_ARG(name));
	f->runtime = runtime;
	f->runtime_name = runtime->name;
	return 0;
}

static int apply_sizes(struct call *c, bool created, struct function *f)
{
	const struct value *tmp = value_get(c->in, "EphemeralStorage");

	f->timeout_s = (uint32_t)value_int(c->in, "Timeout", created ? 3 : f->timeout_s);
	f->memory_mb = (uint32_t)value_int(c->in, "MemorySize", created ? 128 : f->memory_mb);
	if (tmp || created)
		f->ephemeral_mb = (uint32_t)value_int(tmp, "Size", 512);
	/* The model's maximum is that of managed instances. */
	if (f->memory_mb < 128 || f->memory_mb > 10240)
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			"'MemorySize' value failed to satisfy constraint: Member must have value "
			"%s",
			f->memory_mb < 128 ? "greater than or equal to 128"
					   : "less than or equal to 10240");
	return 0;
}

static int apply_environment(struct call *c, struct function *f)
{
	const struct value *environment = value_get(c->in, "Environment");
	const struct value *variables = environment ? value_get(environment, "Variables") : NULL;
	uint32_t n = value_count(variables);
	struct function_pair *pairs;
	str name, measured;

	if (!environment)
		return 0;
	if (n > LAMBDA_VARIABLES_MAX)
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			"A function has at most %d environment variables on this server.",
			LAMBDA_VARIABLES_MAX);
	pairs = arena_new_array(c->arena, struct function_pair, n ? n : 1);
	for (uint32_t i = 0; i < n; i++) {
		pairs[i].name = value_key(variables, i);
		pairs[i].value = value_text(value_of(variables, i));
		if (str_find(pairs[i].value, 0) >= 0)
			return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
				"Lambda was unable to configure your environment variables because "
				"the value of %.*s contains a NUL character.",
				STR_ARG(pairs[i].name));
	}
	name = environment_reserved(c->arena, pairs, n);
	if (name.p)
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			"Lambda was unable to configure your environment variables because the "
			"environment variables you have provided contains reserved keys that are "
			"currently not supported for modification. Reserved keys used in this "
			"request: %.*s",
			STR_ARG(name));
	/* What AWS measures, and shows, is the JSON text. */
	measured = environment_text(c->arena, pairs, n);
	if (!measured.p || measured.n > LAMBDA_ENVIRONMENT_BYTES_MAX)
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			"Lambda was unable to configure your environment variables because the "
			"environment variables you have provided exceeded the 4KB limit. String "
			"measured: %.*s",
			STR_ARG(measured));
	f->has_environment = n > 0;
	f->variables = pairs;
	f->variable_count = n;
	return 0;
}

static int apply_image_config(struct call *c, struct function *f)
{
	const struct value *config = value_get(c->in, "ImageConfig");
	bool any = value_count(value_get(config, "EntryPoint")) ||
		   value_count(value_get(config, "Command")) ||
		   value_str(config, "WorkingDirectory").n;
	str folder = value_str(config, "WorkingDirectory");
	struct buf b;

	if (!config)
		return 0;
	if (any && !function_is_image(f))
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			"ImageConfig is only for functions of container images (PackageType "
			"Image).");
	if (folder.n && folder.p[0] != '/')
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			"ImageConfig: the WorkingDirectory %.*s is not an absolute path.",
			STR_ARG(folder));
	buf_init(&b, c->arena, LAMBDA_RECORD_BYTES_MAX);
	codec_json_store(&b, config);
	f->image_config = any && !b.over ? buf_str(&b) : STR("");
	return 0;
}

/*
 * A queue or a topic. One whose service does not run here is refused by name: it would be lost
 * events that nobody hears of, where AWS would not have taken the configuration either.
 */
static int apply_dead_letters(struct call *c, struct function *f)
{
	const struct lambda_service *s =
		check_object(c->self, struct lambda_service, LAMBDA_SERVICE_MAGIC);
	const struct value *config = value_get(c->in, "DeadLetterConfig");
	str arn = value_str(config, "TargetArn");

	if (!config)
		return 0;
	if (arn.n && !str_starts(arn, STR("arn:aws:sqs:")) && !str_starts(arn, STR("arn:aws:sns:")))
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			"DeadLetterConfig: the TargetArn %.*s is not that of an Amazon SQS queue "
			"or an Amazon SNS topic.",
			STR_ARG(arn));
	if (arn.n && !port_deliver_of(s->ports, arn))
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			"DeadLetterConfig: the target %.*s is not implemented by this server: no "
			"service that runs here takes events for it.",
			STR_ARG(arn));
	f->dead_letters = arn.n ? arn : STR("");
	return 0;
}

/* A role is checked where it matters: strict mode knows its roles, and it belongs to the account.
 */
int config_check_role(struct call *c, str account, str function_name)
{
	struct lambda_service *s =
		check_object(c->self, struct lambda_service, LAMBDA_SERVICE_MAGIC);
	const struct port_identity *identity = s->ports->identity;
	str role = value_str(c->in, "Role");
	struct principal principal;

	if (!role.p)
		return 0;
	if (role.n > LAMBDA_ROLE_BYTES_MAX)
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_VALIDATION,
			"1 validation error detected: Value at 'role' failed to satisfy "
			"constraint: "
			"Member must have length less than or equal to %d",
			LAMBDA_ROLE_BYTES_MAX);
	if (!s->options.auth_strict)
		return call_authorize(c, STR("iam:PassRole"), role);
	if (!str_eq(role_account_of_arn(role), account))
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			"Cross-account pass role is not allowed.");
	TRY(call_authorize(c, STR("iam:PassRole"), role));
	if (!identity || TRY(identity->by_role(
				 identity->self, c->arena, role, function_name, &principal)) == 0)
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			"The role defined for the function cannot be assumed by Lambda.");
	return 0;
}

/* What a LoggingConfig leaves out of is at its default again. */
static int apply_logging(struct call *c, bool created, struct function *f)
{
	const struct value *logging = value_get(c->in, "LoggingConfig");
	str group = value_str(logging, "LogGroup");
	bool json = str_eq(value_str(logging, "LogFormat"), STR("JSON"));

	if (group.n)
		f->log_group = group;
	else if (created || logging)
		f->log_group = ARENA_CONCAT(c->arena, STR("/aws/lambda/"), f->name);
	if (!logging)
		return 0;
	if (!json &&
		(value_has(logging, "ApplicationLogLevel") || value_has(logging, "SystemLogLevel")))
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			"To use ApplicationLogLevel or SystemLogLevel in LoggingConfig, LogFormat "
			"must be set to JSON.");
	f->log_format = json ? STR("JSON") : STR_NULL;
	f->application_level = value_str(logging, "ApplicationLogLevel");
	f->system_level = value_str(logging, "SystemLogLevel");
	return 0;
}

/* A function is durable from its creation on, or never. */
static int apply_durable(struct call *c, bool created, struct function *f)
{
	const struct value *config = member(c, c->in, "DurableConfig");

	if (!config)
		return 0;
	if (value_str(config, "KMSKeyArn").n)
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			"DurableConfig.KMSKeyArn is not implemented by this server: there are no "
			"KMS keys.");
	if (!created && !function_is_durable(f))
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			"You cannot enable durable execution on an existing function: "
			"DurableConfig "
			"is given when the function is created.");
	if (created && !value_has(config, "ExecutionTimeout"))
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			"You cannot create a function with a durable configuration without an "
			"executionTimeout");
	f->durable_timeout_s =
		(uint32_t)value_int(config, "ExecutionTimeout", f->durable_timeout_s);
	f->durable_retention_days = (uint32_t)value_int(config, "RetentionPeriodInDays",
		created ? RETENTION_DAYS : f->durable_retention_days);
	return 0;
}

/* Also after a change of what it depends on. */
static int apply_snap_start(struct call *c, struct function *f)
{
	const struct value *v = value_get(c->in, "SnapStart");

	if (v)
		f->snap_start = str_eq(value_str(v, "ApplyOn"), STR("PublishedVersions"))
					? SNAP_START_PUBLISHED
					: SNAP_START_NONE;
	if (!f->snap_start)
		return 0;
	if (function_is_image(f))
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			"SnapStart is not supported for functions of container images (PackageType "
			"Image).");
	if (!lambda_runtime_snaps(f->runtime))
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			"%.*s is not supported for SnapStart enabled functions.",
			STR_ARG(f->runtime_name));
	if (f->ephemeral_mb > 512)
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			"Ephemeral storage of more than 512 MB is not supported for SnapStart "
			"enabled functions.");
	return 0;
}

int config_apply(struct call *c, bool created, struct function *f)
{
	if (value_has(c->in, "Role"))
		f->role = value_str(c->in, "Role");
	TRY(apply_runtime(c, created, f));
	TRY(apply_sizes(c, created, f));
	TRY(apply_environment(c, f));
	TRY(apply_dead_letters(c, f));
	TRY(apply_image_config(c, f));
	TRY(apply_durable(c, created, f));
	/* UpdateFunctionConfiguration has no such member: it never changes. */
	if (created)
		f->per_tenant = value_has(c->in, "TenancyConfig");
	if (str_eq(value_str(value_get(c->in, "SnapStart"), "ApplyOn"), STR("PublishedVersions")))
		TRY(tenant_refuse(c, f, "SnapStart is"));
	if (value_has(c->in, "Description"))
		f->description = value_str(c->in, "Description");
	if (value_has(value_get(c->in, "TracingConfig"), "Mode"))
		f->tracing_active =
			str_eq(value_str(value_get(c->in, "TracingConfig"), "Mode"), STR("Active"));
	TRY(apply_snap_start(c, f));
	return apply_logging(c, created, f);
}

int config_architecture(struct call *c, struct function *f)
{
	const struct value *list = value_get(c->in, "Architectures");
	str name =
		list && value_count(list) ? value_text(value_at(list, 0)) : STR(HOST_ARCHITECTURE);

	if (value_count(list) > 1)
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			"Architectures: exactly one value is allowed.");
	/* Absent on an update: as it was. */
	if (!list && f->architecture.p)
		return 0;
	if (!str_eq(name, STR(HOST_ARCHITECTURE)))
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			"The architecture %.*s is not available on this server: it "
			"is " HOST_ARCHITECTURE ".",
			STR_ARG(name));
	f->architecture = STR(HOST_ARCHITECTURE);
	return 0;
}

/* Code points of UTF-8. */
static size_t characters(str s)
{
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++)
		n += ((unsigned char)s.p[i] & 0xc0) != 0x80;
	return n;
}

int tags_lay_over(struct call *c, struct arena *a, const struct value *map, struct tag_set *tags)
{
	uint32_t n = tags->count;
	struct function_pair *pairs =
		arena_new_array(a, struct function_pair, n + value_count(map) + 1);

	if (n)
		memcpy(pairs, tags->pairs, n * sizeof(*pairs));
	for (uint32_t i = 0; i < value_count(map); i++) {
		struct function_pair tag = {value_key(map, i), value_text(value_of(map, i))};
		uint32_t k = 0;

		if (tag.name.n == 0 || characters(tag.name) > TAG_KEY_CHARS ||
			characters(tag.value) > TAG_VALUE_CHARS ||
			str_starts(tag.name, STR("aws:")))
			return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
				"Tag keys have 1 to %d characters and do not begin with 'aws:', "
				"values at most %d; '%.*s' is not valid.",
				TAG_KEY_CHARS, TAG_VALUE_CHARS, STR_ARG(str_sub(tag.name, 0, 200)));
		while (k < n && !str_eq(pairs[k].name, tag.name))
			k++;
		pairs[k] = tag;
		n = MAX(n, k + 1);
	}
	if (n > LAMBDA_TAGS_MAX)
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_INVALID_PARAMETER,
			"The number of tags exceeds the limit of %d.", LAMBDA_TAGS_MAX);
	*tags = (struct tag_set){pairs, n};
	return 0;
}

int config_check_changeable(struct call *c, const struct function *f)
{
	str revision = value_str(c->in, "RevisionId");

	if (revision.p && !str_eq(revision, f->revision_id))
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_PRECONDITION,
			"The Revision Id provided does not match the latest Revision Id. Call the "
			"GetFunction/GetAlias API to retrieve the latest Revision Id");
	if (f->state == FUNCTION_PENDING)
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_CONFLICT,
			"The operation cannot be performed at this time. The function is currently "
			"in the following state: Pending");
	if (f->update == UPDATE_IN_PROGRESS)
		return lambda_fault_set(&c->fault, c->arena, LAMBDA_CONFLICT,
			"The operation cannot be performed at this time. An update is in progress "
			"for resource: %.*s",
			STR_ARG(f->arn));
	return 0;
}
