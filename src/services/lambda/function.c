/*
 * The record, the wire form and the member rules of a function.
 *
 * Record members are short names of our own, so that a change of the AWS model cannot change what
 * is stored. Unknown members are refused: a newer format has a newer first byte.
 */
#include "services/lambda/function.h"

#include "aws/codec.h"
#include "base/check.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/time.h"
#include "services/lambda/image.h"
#include "services/lambda/limits.h"
#include "services/lambda/names.h"

enum { RECORD_FORMAT = 1 };

static const struct lambda_runtime runtimes[] = {
#define CURRENT                         false
#define RETIRED                         true
#define RUNTIME(name_, family_, state_) {STR_INIT(name_), RUNTIME_##family_, state_},
#include "services/lambda/runtimes.def"
#undef RUNTIME
#undef CURRENT
#undef RETIRED
};

static const str reserved[] = {
#define RESERVED(name) STR_INIT(name),
#include "services/lambda/reserved.def"
#undef RESERVED
};

static const str exec_variables[] = {
#define EXEC_VARIABLE(name) STR_INIT(name),
#include "services/lambda/exec_variables.def"
#undef EXEC_VARIABLE
};

const struct lambda_runtime *lambda_runtime_find(str name)
{
	static const struct lambda_runtime image = {STR_INIT(""), RUNTIME_IMAGE, false};

	if (!name.n)
		return &image;
	for (size_t i = 0; i < ARRAY_SIZE(runtimes); i++)
		if (str_eq(runtimes[i].name, name))
			return &runtimes[i];
	return NULL;
}

str lambda_runtime_names(struct arena *a)
{
	struct buf b;

	buf_init(&b, a, 4096);
	for (size_t i = 0; i < ARRAY_SIZE(runtimes); i++) {
		if (runtimes[i].retired || runtimes[i].family == RUNTIME_OTHER)
			continue;
		if (b.n)
			buf_put(&b, STR(", "));
		buf_put(&b, runtimes[i].name);
	}
	check(!b.over);
	return buf_str(&b);
}

const struct lambda_runtime *lambda_runtime_snapshot(void)
{
	static const struct lambda_runtime snapshot = {
		STR_INIT("snapshot"), RUNTIME_SNAPSHOT, false};

	return &snapshot;
}

bool lambda_runtime_snaps(const struct lambda_runtime *runtime)
{
#ifdef __x86_64__
	/* Python 3.12 and newer: the first that are not are of two digits, too. */
	return runtime->family == RUNTIME_PYTHON && runtime->name.n == sizeof("python3.12") - 1 &&
	       str_cmp(runtime->name, STR("python3.12")) >= 0;
#else
	(void)runtime;
	return false;
#endif
}

/* Raised with what the programs in runtimes/ change for functions: AWS's number is their own. */
enum { RUNTIME_VERSION = 1 };

/* "nodejs22.x" is "nodejs:22", "provided.al2023" "provided:al2023". */
str lambda_runtime_version(struct arena *a, const struct lambda_runtime *runtime)
{
	str name = runtime->name, rest;
	size_t n = 0;

	while (n < name.n && name.p[n] >= 'a' && name.p[n] <= 'z')
		n++;
	rest = str_from(name, str_starts(str_from(name, n), STR(".")) ? n + 1 : n);
	if (str_ends(rest, STR(".x")))
		rest.n -= 2;
	return arena_printf(
		a, "%.*s:%.*s.v%d", STR_ARG(str_sub(name, 0, n)), STR_ARG(rest), RUNTIME_VERSION);
}

str lambda_runtime_arn(struct arena *a, const struct lambda_runtime *runtime, str region)
{
	char *text = arena_bytes(a, CODE_HEX_BYTES);
	uint8_t digest[SHA256_BYTES];

	sha256_of(lambda_runtime_version(a, runtime), digest);
	hex_encode(digest, sizeof(digest), text);
	return ARENA_CONCAT(
		a, STR("arn:aws:lambda:"), region, STR("::runtime:"), str_of(text, CODE_HEX_BYTES));
}

/* ---- the record ---- */

enum field_kind { FIELD_TEXT, FIELD_U32, FIELD_U64, FIELD_PAIRS };

/* Those that decide whether there is something new to publish come first. */
enum { PUBLISHED_FIELDS = 21 };

#define FIELDS(X)                                            \
	X("snap-start", FIELD_U32, snap_start)               \
	X("dead-letters", FIELD_TEXT, dead_letters)          \
	X("image", FIELD_TEXT, image)                        \
	X("image-config", FIELD_TEXT, image_config)          \
	X("description", FIELD_TEXT, description)            \
	X("role", FIELD_TEXT, role)                          \
	X("runtime", FIELD_TEXT, runtime_name)               \
	X("handler", FIELD_TEXT, handler)                    \
	X("architecture", FIELD_TEXT, architecture)          \
	X("timeout", FIELD_U32, timeout_s)                   \
	X("memory", FIELD_U32, memory_mb)                    \
	X("ephemeral", FIELD_U32, ephemeral_mb)              \
	X("log-group", FIELD_TEXT, log_group)                \
	X("log-format", FIELD_TEXT, log_format)              \
	X("log-level", FIELD_TEXT, application_level)        \
	X("system-log-level", FIELD_TEXT, system_level)      \
	X("code", FIELD_TEXT, code_hex)                      \
	X("code-bytes", FIELD_U64, code_bytes)               \
	X("durable", FIELD_U32, durable_timeout_s)           \
	X("durable-days", FIELD_U32, durable_retention_days) \
	X("tracing", FIELD_U32, tracing_active)              \
	X("per-tenant", FIELD_U32, per_tenant)               \
	X("name", FIELD_TEXT, name)                          \
	X("version", FIELD_TEXT, version)                    \
	X("revision", FIELD_TEXT, revision_id)               \
	X("deployment", FIELD_U64, deployment)               \
	X("modified", FIELD_U64, modified_ms)                \
	X("reason", FIELD_TEXT, reason)                      \
	X("reason-code", FIELD_TEXT, reason_code)            \
	X("last", FIELD_U64, version_last)                   \
	X("published", FIELD_TEXT, published)                \
	X("reserved", FIELD_U32, reserved)                   \
	X("recursion", FIELD_U32, recursion_allow)           \
	X("signing", FIELD_TEXT, signing_arn)                \
	X("signer", FIELD_TEXT, signer_profile)              \
	X("signer-job", FIELD_TEXT, signer_job)

static const struct field {
	str name;
	enum field_kind kind;
	size_t offset;
} fields[] = {
#define X(name_, kind_, member_) {STR_INIT(name_), kind_, offsetof(struct function, member_)},
	FIELDS(X)
#undef X
};

static void put_pairs(
	struct json_writer *w, str key, const struct function_pair *pairs, uint32_t count)
{
	json_put_key(w, key);
	json_put_object_begin(w);
	for (uint32_t i = 0; i < count; i++)
		json_put_key_string(w, pairs[i].name, pairs[i].value);
	json_put_object_end(w);
}

static void put_fields(struct json_writer *w, const struct function *f, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const char *at = (const char *)f + fields[i].offset;

		json_put_key(w, fields[i].name);
		if (fields[i].kind == FIELD_TEXT)
			json_put_string(w, ((const str *)at)->p ? *(const str *)at : STR(""));
		else if (fields[i].kind == FIELD_U32)
			json_put_u64(w, *(const uint32_t *)at);
		else
			json_put_u64(w, *(const uint64_t *)at);
	}
}

static void put_layers(struct json_writer *w, const struct function *f)
{
	json_put_key(w, STR("layers"));
	json_put_array_begin(w);
	for (uint32_t i = 0; i < f->layer_count; i++) {
		json_put_object_begin(w);
		json_put_key_string(w, STR("arn"), f->layers[i].arn);
		json_put_key_string(w, STR("code"), f->layers[i].hex);
		json_put_key(w, STR("code-bytes"));
		json_put_i64(w, f->layers[i].code_size);
		if (f->layers[i].signer_profile.n) {
			json_put_key_string(w, STR("signer"), f->layers[i].signer_profile);
			json_put_key_string(w, STR("signer-job"), f->layers[i].signer_job);
		}
		json_put_object_end(w);
	}
	json_put_array_end(w);
}

void function_encode(struct arena *a, const struct function *f, struct buf *out)
{
	struct json_writer w;
	struct function back;

	check(f->name.n && f->role.n && f->runtime && f->code_hex.n == CODE_HEX_BYTES);
	check(f->timeout_s && f->memory_mb && f->ephemeral_mb && f->revision_id.n);
	check(f->version.n && f->layer_count <= FUNCTION_LAYERS_MAX);
	buf_put_char(out, RECORD_FORMAT);
	json_writer_init(&w, out);
	json_put_object_begin(&w);
	put_fields(&w, f, ARRAY_SIZE(fields));
	json_put_key(&w, STR("state"));
	json_put_u64(&w, f->state);
	json_put_key(&w, STR("update"));
	json_put_u64(&w, f->update);
	if (f->has_environment)
		put_pairs(&w, STR("variables"), f->variables, f->variable_count);
	put_pairs(&w, STR("tags"), f->tags, f->tag_count);
	put_layers(&w, f);
	json_put_object_end(&w);
	check(!out->over);
	check(function_decode(a, f->account, f->region, buf_str(out), &back) == 0);
}

str function_digest(struct arena *a, const struct function *f)
{
	char *text = arena_bytes(a, CODE_HEX_BYTES);
	uint8_t digest[SHA256_BYTES];
	struct json_writer w;
	struct buf b;

	buf_init(&b, a, LAMBDA_RECORD_BYTES_MAX);
	json_writer_init(&w, &b);
	json_put_object_begin(&w);
	put_fields(&w, f, PUBLISHED_FIELDS);
	put_pairs(&w, STR("variables"), f->variables, f->variable_count);
	put_layers(&w, f);
	json_put_object_end(&w);
	check(!b.over);
	sha256_of(buf_str(&b), digest);
	hex_encode(digest, sizeof(digest), text);
	return str_of(text, CODE_HEX_BYTES);
}

static int get_u64(struct json_reader *r, uint64_t max, uint64_t *ret_value)
{
	str text;

	TRY(json_number(r, &text));
	return str_to_u64(text, max, ret_value);
}

static int get_pairs(struct arena *a, struct json_reader *r, const struct function_pair **ret_pairs,
	uint32_t *ret_count)
{
	struct function_pair *pairs = NULL;
	uint32_t n = 0, capacity = 0;
	struct function_pair pair;

	TRY(json_object_begin(r));
	while (TRY(json_object_next(r, &pair.name))) {
		TRY(json_string(r, &pair.value));
		if (n == capacity) {
			struct function_pair *more;

			capacity = capacity ? capacity * 2 : 8;
			more = arena_new_array(a, struct function_pair, capacity);
			if (n)
				memcpy(more, pairs, n * sizeof(*pairs));
			pairs = more;
		}
		pairs[n++] = pair;
	}
	*ret_pairs = pairs;
	*ret_count = n;
	return 0;
}

static int get_layers(struct arena *a, struct json_reader *r, struct function *f)
{
	struct function_layer *layers =
		arena_new_array(a, struct function_layer, FUNCTION_LAYERS_MAX);
	uint32_t n = 0;
	str key;

	TRY(json_array_begin(r));
	while (TRY(json_array_next(r))) {
		if (n == FUNCTION_LAYERS_MAX)
			return ERR_INVALID;
		TRY(json_object_begin(r));
		while (TRY(json_object_next(r, &key))) {
			if (str_eq(key, STR("arn")))
				TRY(json_string(r, &layers[n].arn));
			else if (str_eq(key, STR("code")))
				TRY(json_string(r, &layers[n].hex));
			else if (str_eq(key, STR("code-bytes")))
				TRY(json_i64(r, &layers[n].code_size));
			else if (str_eq(key, STR("signer")))
				TRY(json_string(r, &layers[n].signer_profile));
			else if (str_eq(key, STR("signer-job")))
				TRY(json_string(r, &layers[n].signer_job));
			else
				return ERR_INVALID;
		}
		if (layers[n].hex.n != CODE_HEX_BYTES || !layers[n].arn.n)
			return ERR_INVALID;
		n++;
	}
	f->layers = layers;
	f->layer_count = n;
	return 0;
}

static int decode_member(struct arena *a, struct json_reader *r, str key, struct function *f)
{
	uint64_t number;

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		char *at = (char *)f + fields[i].offset;

		if (!str_eq(fields[i].name, key))
			continue;
		if (fields[i].kind == FIELD_TEXT)
			return json_string(r, (str *)at);
		if (fields[i].kind == FIELD_U64)
			return get_u64(r, INT64_MAX, (uint64_t *)at);
		TRY(get_u64(r, UINT32_MAX, &number));
		*(uint32_t *)at = (uint32_t)number;
		return 0;
	}
	if (str_eq(key, STR("state"))) {
		TRY(get_u64(r, FUNCTION_FAILED, &number));
		f->state = (enum function_state)number;
		return 0;
	}
	if (str_eq(key, STR("update"))) {
		TRY(get_u64(r, UPDATE_FAILED, &number));
		f->update = (enum function_update)number;
		return 0;
	}
	if (str_eq(key, STR("variables"))) {
		f->has_environment = true;
		return get_pairs(a, r, &f->variables, &f->variable_count);
	}
	if (str_eq(key, STR("tags")))
		return get_pairs(a, r, &f->tags, &f->tag_count);
	if (str_eq(key, STR("layers")))
		return get_layers(a, r, f);
	return ERR_INVALID;
}

static int decode(struct arena *a, str text, struct function *f)
{
	struct json_reader r;
	str key;

	json_reader_init(&r, text, a, 3);
	TRY(json_object_begin(&r));
	while (TRY(json_object_next(&r, &key)))
		TRY(decode_member(a, &r, key, f));
	return json_end(&r);
}

int function_decode(
	struct arena *a, str account, str region, str record, struct function *ret_function)
{
	struct function f = {.account = account,
		.region = region,
		.version = STR("$LATEST"),
		.reserved = FUNCTION_UNRESERVED};
	struct function_image image;

	if (record.n == 0)
		return ERR_CORRUPT;
	if (record.p[0] != RECORD_FORMAT)
		return ERR_VERSION;
	if (decode(a, str_from(record, 1), &f) < 0)
		return ERR_CORRUPT;
	f.runtime = lambda_runtime_find(f.runtime_name);
	if (!f.runtime || (f.runtime->family == RUNTIME_IMAGE) != function_is_image(&f) ||
		f.code_hex.n != CODE_HEX_BYTES || !f.name.n || !f.timeout_s || !f.memory_mb ||
		!f.ephemeral_mb || !f.revision_id.n || !f.log_group.n || !f.version.n)
		return ERR_CORRUPT;
	if (function_is_image(&f) && image_decode(a, f.image, &image) < 0)
		return ERR_CORRUPT;
	f.arn = function_arn(a, account, region, f.name, STR_NULL);
	*ret_function = f;
	return 0;
}

/* ---- the wire form ---- */

str code_sha256_text(struct arena *a, str hex)
{
	uint8_t digest[SHA256_BYTES];
	char *text = arena_bytes(a, base64_text_bytes(SHA256_BYTES));

	check(hex_decode(hex, digest) == 0);
	return str_of(text, base64_encode(str_of(digest, sizeof(digest)), text));
}

str lambda_time_text(struct arena *a, int64_t ms)
{
	struct time_parts t = time_parts_of(ms);

	return arena_printf(a, "%04d-%02d-%02dT%02d:%02d:%02d.%03d+0000", t.year, t.month, t.day,
		t.hour, t.minute, t.second, t.ms);
}

str lambda_time_zulu(struct arena *a, int64_t ms)
{
	str text = lambda_time_text(a, ms);

	return ARENA_CONCAT(a, str_sub(text, 0, text.n - 5), STR("Z"));
}

str function_sha256_text(struct arena *a, const struct function *f)
{
	return function_is_image(f) ? f->code_hex : code_sha256_text(a, f->code_hex);
}

static void render_state(const struct function *f, struct value *out)
{
	static const char *const states[] = {"Pending", "Active", "Failed"};
	static const char *const updates[] = {NULL, "Successful", "InProgress", "Failed"};
	bool creating = f->state == FUNCTION_PENDING;
	bool updating = f->update == UPDATE_IN_PROGRESS;

	value_put_str(out, "State", str_c(states[f->state]));
	if (creating) {
		value_put_str(out, "StateReason", STR("The function is being created."));
		value_put_str(out, "StateReasonCode", STR("Creating"));
	} else if (f->state == FUNCTION_FAILED) {
		value_put_str(out, "StateReason", f->reason);
		value_put_str(out, "StateReasonCode", f->reason_code);
	}
	if (f->update != UPDATE_NONE)
		value_put_str(out, "LastUpdateStatus", str_c(updates[f->update]));
	if (updating) {
		value_put_str(out, "LastUpdateStatusReason", STR("The function is being created."));
		/* Not in the model's enum, and what AWS sends. */
		value_put_str(out, "LastUpdateStatusReasonCode", STR("Creating"));
	} else if (f->update == UPDATE_FAILED) {
		value_put_str(out, "LastUpdateStatusReason", f->reason);
		value_put_str(out, "LastUpdateStatusReasonCode", f->reason_code);
	}
}

static void render_image(struct arena *a, const struct function *f, struct value *out)
{
	struct value *config;

	if (!f->image_config.n)
		return;
	check(codec_json_load(
		      a, model_named(STR("lambda")), "ImageConfig", f->image_config, &config) == 0);
	value_put_copy(value_put_struct(out, "ImageConfigResponse"), "ImageConfig", config);
}

/* What ListFunctions leaves out. */
static void render_states(struct arena *a, const struct function *f, struct value *out)
{
	if (!function_is_image(f))
		value_put_str(value_put_struct(out, "RuntimeVersionConfig"), "RuntimeVersionArn",
			lambda_runtime_arn(a, f->runtime, f->region));
	render_state(f, out);
}

static void put_signer(struct value *v, str profile, str job)
{
	if (!profile.n)
		return;
	value_put_str(v, "SigningProfileVersionArn", profile);
	value_put_str(v, "SigningJobArn", job);
}

void function_render_listed(struct arena *a, const struct function *f, struct value *out)
{
	struct value *v;

	value_put_str(out, "FunctionName", f->name);
	value_put_str(
		out, "FunctionArn", function_arn(a, f->account, f->region, f->name, f->qualifier));
	if (!function_is_image(f)) {
		value_put_str(out, "Runtime", f->runtime_name);
		value_put_str(out, "Handler", f->handler);
	} else {
		render_image(a, f, out);
	}
	value_put_str(out, "Role", f->role);
	/* AWS tells no size of an image, which is not kept by Lambda. */
	value_put_int(out, "CodeSize", function_is_image(f) ? 0 : (int64_t)f->code_bytes);
	value_put_str(out, "Description", f->description.p ? f->description : STR(""));
	value_put_int(out, "Timeout", f->timeout_s);
	value_put_int(out, "MemorySize", f->memory_mb);
	value_put_str(out, "LastModified", lambda_time_text(a, f->modified_ms));
	value_put_str(out, "CodeSha256", function_sha256_text(a, f));
	value_put_str(out, "Version", f->version);
	if (f->has_environment) {
		v = value_put_map(value_put_struct(out, "Environment"), "Variables");
		for (uint32_t i = 0; i < f->variable_count; i++)
			value_map_put_str(v, f->variables[i].name, f->variables[i].value);
	}
	for (uint32_t i = 0; i < f->layer_count; i++) {
		v = value_add_struct(value_put_list(out, "Layers"));
		value_put_str(v, "Arn", f->layers[i].arn);
		value_put_int(v, "CodeSize", f->layers[i].code_size);
		put_signer(v, f->layers[i].signer_profile, f->layers[i].signer_job);
	}
	if (f->dead_letters.n)
		value_put_str(
			value_put_struct(out, "DeadLetterConfig"), "TargetArn", f->dead_letters);
	value_put_str(value_put_struct(out, "TracingConfig"), "Mode",
		f->tracing_active ? STR("Active") : STR("PassThrough"));
	value_put_str(out, "RevisionId", f->revision_id);
	put_signer(out, f->signer_profile, f->signer_job);
	value_put_str(out, "PackageType", function_is_image(f) ? STR("Image") : STR("Zip"));
	value_add_str(value_put_list(out, "Architectures"), f->architecture);
	value_put_int(value_put_struct(out, "EphemeralStorage"), "Size", f->ephemeral_mb);
	v = value_put_struct(out, "SnapStart");
	value_put_str(v, "ApplyOn", f->snap_start ? STR("PublishedVersions") : STR("None"));
	value_put_str(
		v, "OptimizationStatus", f->snap_start == SNAP_START_ON ? STR("On") : STR("Off"));
	v = value_put_struct(out, "LoggingConfig");
	value_put_str(v, "LogFormat", function_logs_json(f) ? STR("JSON") : STR("Text"));
	if (function_logs_json(f)) {
		value_put_str(v, "ApplicationLogLevel",
			f->application_level.n ? f->application_level : STR("INFO"));
		value_put_str(
			v, "SystemLogLevel", f->system_level.n ? f->system_level : STR("INFO"));
	}
	value_put_str(v, "LogGroup", f->log_group);
	if (function_is_durable(f)) {
		v = value_put_struct(out, "DurableConfig");
		value_put_int(v, "ExecutionTimeout", f->durable_timeout_s);
		value_put_int(v, "RetentionPeriodInDays", f->durable_retention_days);
	}
	if (f->per_tenant)
		value_put_str(value_put_struct(out, "TenancyConfig"), "TenantIsolationMode",
			STR("PER_TENANT"));
}

void function_render(struct arena *a, const struct function *f, struct value *out)
{
	function_render_listed(a, f, out);
	render_states(a, f, out);
}

/* ---- rules of members ---- */

str environment_reserved(struct arena *a, const struct function_pair *variables, uint32_t count)
{
	struct buf b;

	buf_init(&b, a, 1024);
	for (size_t k = 0; k < ARRAY_SIZE(reserved); k++)
		for (uint32_t i = 0; i < count; i++) {
			if (!str_eq(variables[i].name, reserved[k]))
				continue;
			if (b.n)
				buf_put(&b, STR(", "));
			buf_put(&b, reserved[k]);
			break;
		}
	check(!b.over);
	return b.n ? buf_str(&b) : STR_NULL;
}

str environment_text(struct arena *a, const struct function_pair *variables, uint32_t count)
{
	struct json_writer w;
	struct buf b;

	buf_init(&b, a, LAMBDA_RECORD_BYTES_MAX);
	json_writer_init(&w, &b);
	json_put_object_begin(&w);
	for (uint32_t i = 0; i < count; i++)
		json_put_key_string(&w, variables[i].name, variables[i].value);
	json_put_object_end(&w);
	return b.over ? STR_NULL : buf_str(&b);
}

bool environment_needs_exec(const struct function_pair *variables, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		for (size_t k = 0; k < ARRAY_SIZE(exec_variables); k++) {
			str name = exec_variables[k];

			if (str_ends(name, STR("*")) ? str_starts(variables[i].name,
							       str_sub(name, 0, name.n - 1))
						     : str_eq(variables[i].name, name))
				return true;
		}
	return false;
}
