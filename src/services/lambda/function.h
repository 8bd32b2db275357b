/*
 * A function: its configuration in memory, its record in the store, its form on the wire, and the
 * rules for its members. Pure.
 *
 * A record is one byte of format and a JSON object; it is written whole. `revision_id` changes with
 * every write, `deployment` only when running instances have to be replaced (code and what they
 * were started with), so state transitions and tags leave them alone.
 *
 * Source: API Reference, FunctionConfiguration; Developer Guide, "Lambda function states".
 */
#ifndef SERVICES_LAMBDA_FUNCTION_H
#define SERVICES_LAMBDA_FUNCTION_H

#include "aws/value.h"
#include "base/arena.h"
#include "base/buf.h"

enum runtime_family {
	RUNTIME_NODE,
	RUNTIME_PYTHON,
	RUNTIME_RUBY,
	RUNTIME_JAVA,
	RUNTIME_PROVIDED,
	RUNTIME_OTHER,
	RUNTIME_IMAGE,
	RUNTIME_SNAPSHOT /* goes on from a snapshot (snapshot.h), of whatever runtime it is */
};

struct lambda_runtime {
	str name;
	enum runtime_family family;
	bool retired; /* AWS creates no function with it any more */
};
/* NULL: no such identifier. The empty name is that of functions of container images. */
const struct lambda_runtime *lambda_runtime_find(str name);
/* Those with which functions may be created, "nodejs26.x, nodejs24.x, ...". */
str lambda_runtime_names(struct arena *a);
/* Which version of it there is, "python:3.12.v1" and an ARN of its digest: not those of images. */
str lambda_runtime_version(struct arena *a, const struct lambda_runtime *runtime);
str lambda_runtime_arn(struct arena *a, const struct lambda_runtime *runtime, str region);
/* What containers are started as that go on from a snapshot. */
const struct lambda_runtime *lambda_runtime_snapshot(void);
/* Can functions of it be kept as a snapshot: by AWS's rules, and here? */
bool lambda_runtime_snaps(const struct lambda_runtime *runtime);

enum function_state { FUNCTION_PENDING, FUNCTION_ACTIVE, FUNCTION_FAILED };
enum function_update { UPDATE_NONE, UPDATE_SUCCESSFUL, UPDATE_IN_PROGRESS, UPDATE_FAILED };

/* SnapStart: of published versions; the last is a version's that has been optimised. */
enum function_snap_start { SNAP_START_NONE, SNAP_START_PUBLISHED, SNAP_START_ON };

struct function_pair { /* a variable, a tag */
	str name, value;
};

/* A layer's version that a function uses. Its tree is mounted below /opt, later ones on top. */
struct function_layer {
	str arn;
	str hex; /* names the archive in the code store, as code_hex does */
	int64_t code_size;
	str signer_profile, signer_job; /* of its signature; empty: none that is ours */
};

enum { CODE_HEX_BYTES = 64, FUNCTION_LAYERS_MAX = 5 };
enum { FUNCTION_UNRESERVED = UINT32_MAX };

struct function {
	str account, region, name;
	str arn;       /* unqualified; made from the three above */
	str version;   /* "$LATEST", or the number of a published version, which never changes */
	str qualifier; /* not stored: what a request called it by; STR_NULL: nothing */
	str description, role, runtime_name, handler, architecture;
	const struct lambda_runtime *runtime;
	uint32_t timeout_s, memory_mb, ephemeral_mb;
	uint32_t snap_start; /* enum function_snap_start */
	bool has_environment;
	const struct function_pair *variables;
	uint32_t variable_count;
	const struct function_pair *tags;
	uint32_t tag_count;
	str log_group; /* never empty */
	/* JSON, or empty: Text; the levels of JSON, empty: the default, INFO. */
	str log_format, application_level, system_level;
	str dead_letters; /* DeadLetterConfig's target; empty: none */
	str image;        /* of a container image: image_decode(); empty: an archive */
	str image_config; /* ImageConfig as stored, laid over the image's own; empty: nothing */
	str code_hex; /* SHA-256 of the archive, 64 lower-case digits: names it in the code store */
	uint64_t code_bytes;
	/* ARNs of the profile version and the job that signed the code; empty: none that is ours.
	 */
	str signer_profile, signer_job;
	const struct function_layer *layers; /* in the order of the request */
	uint32_t layer_count;
	uint32_t durable_timeout_s;      /* DurableConfig; 0: not a durable function */
	uint32_t durable_retention_days; /* 0 where that is 0 */
	uint32_t tracing_active;         /* TracingConfig Active, not PassThrough */
	uint32_t per_tenant;             /* TenancyConfig PER_TENANT; never changes */
	str revision_id;                 /* UUID */
	uint64_t deployment;
	int64_t modified_ms;
	enum function_state state;
	enum function_update update;
	str reason, reason_code; /* of a state or update that failed; empty otherwise */
	/*
	 * What belongs to the function and not to one of its versions: kept in the record of
	 * $LATEST, and meaningless in that of a version.
	 */
	uint64_t version_last;    /* number of the version published last, 0: none yet */
	str published;            /* function_digest() of what it was made of */
	uint32_t reserved;        /* concurrency; FUNCTION_UNRESERVED: none */
	uint32_t recursion_allow; /* RecursiveLoop Allow, not Terminate */
	str signing_arn;          /* code signing configuration; empty: none */
};

static inline bool function_is_image(const struct function *f)
{
	return f->image.n > 0;
}

static inline bool function_is_latest(const struct function *f)
{
	return !f->version.n || f->version.p[0] == '$';
}

static inline bool function_is_durable(const struct function *f)
{
	return f->durable_timeout_s > 0;
}

/* A version whose instances go on from a snapshot, where there is one. */
static inline bool function_snaps(const struct function *f)
{
	return f->snap_start != SNAP_START_NONE && !function_is_latest(f);
}

static inline bool function_logs_json(const struct function *f)
{
	return str_eq(f->log_format, STR("JSON"));
}

/* The record into `out`. What is written reads back (checked). */
void function_encode(struct arena *a, const struct function *f, struct buf *out);
/* ERR_CORRUPT, ERR_VERSION. Strings point into `record` or the arena. */
must_use int function_decode(
	struct arena *a, str account, str region, str record, struct function *ret_function);
/* Fills an empty FunctionConfiguration; its ARN names the qualifier. */
void function_render(struct arena *a, const struct function *f, struct value *out);
/* As ListFunctions tells it: without states and the runtime's version. */
void function_render_listed(struct arena *a, const struct function *f, struct value *out);
/* CodeSha256 of a layer: base64 of the digest. */
str code_sha256_text(struct arena *a, str hex);
/* The same of a function; of a container image the digits of its digest. */
str function_sha256_text(struct arena *a, const struct function *f);
/*
 * 64 digits that are equal for equal code and configuration: whether there is something new to
 * publish.
 */
str function_digest(struct arena *a, const struct function *f);
/* "2026-11-28T03:33:12.000+0000", as functions and layers show times. */
str lambda_time_text(struct arena *a, int64_t ms);
/* "2026-11-28T03:33:12.000Z", as invocation records and function URLs do. */
str lambda_time_zulu(struct arena *a, int64_t ms);

/* The names among the variables that the platform keeps for itself, "A, B"; STR_NULL: none. */
str environment_reserved(struct arena *a, const struct function_pair *variables, uint32_t count);
/* The variables as one JSON object, which AWS counts against its 4 KB; STR_NULL: far too long. */
str environment_text(struct arena *a, const struct function_pair *variables, uint32_t count);
/*
 * Does a variable act when the runtime's program starts, so that a container booted in advance
 * could not show it? (NODE_OPTIONS, LD_LIBRARY_PATH ...: exec_variables.def)
 */
bool environment_needs_exec(const struct function_pair *variables, uint32_t count);

#endif
