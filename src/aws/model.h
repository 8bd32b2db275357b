/*
 * The facts about a service's operations and shapes, as const tables.
 *
 * tools/model_compile.py turns src/services/<svc>/<svc>.model and .override into one
 * `const struct model` per service (build/gen/models.c). Inside a model everything is a number: an
 * index into a table or an offset into the string pool, so the tables need no relocation and start
 * costs nothing. Shape 0 is reserved and means "none". Codecs, the validator and the gate walk
 * these tables; services name members by their AWS names through aws/value.h.
 *
 * Read-only, shared by all threads. Source: the service models that AWS publishes with its SDKs.
 */
#ifndef AWS_MODEL_H
#define AWS_MODEL_H

#include "base/str.h"

enum model_protocol {
	PROTOCOL_JSON_10,
	PROTOCOL_JSON_11,
	PROTOCOL_REST_JSON,
	PROTOCOL_QUERY,
	PROTOCOL_REST_XML
};

enum shape_kind {
	SHAPE_STRUCTURE = 1,
	SHAPE_LIST,
	SHAPE_MAP,
	SHAPE_STRING,
	SHAPE_INTEGER,
	SHAPE_LONG,
	SHAPE_FLOAT,
	SHAPE_DOUBLE,
	SHAPE_BOOLEAN,
	SHAPE_BLOB,
	SHAPE_TIMESTAMP,
	SHAPE_DOCUMENT
};

enum shape_flag {
	SHAPE_ERROR = 1 << 0,
	SHAPE_UNION = 1 << 1,
	SHAPE_STREAMING = 1 << 2,   /* a blob that is a whole body */
	SHAPE_EVENTS = 1 << 3,      /* an event stream */
	SHAPE_SENSITIVE = 1 << 4,   /* its values are not repeated in messages or logs */
	SHAPE_CONSTRAINED = 1 << 5, /* it, or something below it, can fail validation */
	SHAPE_FLATTENED = 1 << 6, /* lists and maps of the XML protocols: no element around them */
	SHAPE_UNWRAPPED = 1 << 7  /* the text of its one member is the XML root's */
};

struct model_shape {
	uint32_t name;       /* string */
	uint8_t kind, flags; /* enum shape_kind, enum shape_flag */
	uint16_t constraint; /* index; 0: none */
	/* members[first ...]: a structure's members in the model's order; a list's one element
	 * ("member"); a map's key and value */
	uint16_t first, count;
	uint32_t root; /* string: the element that it is as a whole XML body; empty: its name */
};

enum member_location {
	LOCATION_BODY,
	LOCATION_URI,
	LOCATION_QUERY,   /* one value, a list of values, or a map of all others */
	LOCATION_HEADER,  /* one header */
	LOCATION_HEADERS, /* a map: all headers that begin with the wire name */
	LOCATION_STATUS   /* of the response */
};

enum member_flag {
	MEMBER_REQUIRED = 1 << 0,
	MEMBER_PAYLOAD = 1 << 1, /* the body is this member alone */
	MEMBER_TOKEN = 1 << 2,   /* an idempotency token */
	MEMBER_TIME_ISO = 1 << 3,
	MEMBER_TIME_HTTP = 1 << 4,
	MEMBER_TIME_EPOCH = 1 << 5,  /* none of the three: the protocol's default */
	MEMBER_JSON_HEADER = 1 << 6, /* JSON text in base64 in a header */
	MEMBER_ATTRIBUTE = 1 << 7    /* an attribute of its structure's XML element */
};

struct model_member {
	uint32_t name, wire; /* strings: AWS member name, name on the wire */
	uint16_t shape;
	uint8_t location, flags;
};

enum constraint_flag {
	CONSTRAINT_MIN = 1 << 0,
	CONSTRAINT_MAX = 1 << 1,
	CONSTRAINT_PATTERN = 1 << 2,
	CONSTRAINT_ENUM = 1 << 3
};

/* Bounds are of the value for numbers, of the length for all else (code points for strings). */
struct model_constraint {
	union {
		int64_t i;
		double d; /* floats and doubles */
	} min, max;
	uint16_t enum_first, enum_count; /* in model.enums */
	uint16_t pattern;                /* in model.patterns */
	uint8_t flags;
};

/*
 * A pattern as a deterministic automaton over classes of code points: linear time, no stack. It
 * matches whole strings. Code points below 128 find their class in ascii[], others by binary search
 * in the ranges of the alphabet.
 */
struct model_pattern {
	uint32_t text;        /* string: as AWS writes it, for messages */
	uint32_t transitions; /* in model.transitions: [state * class_count + class] */
	uint32_t accepting;   /* in model.accepting: a bit per state */
	uint16_t state_count; /* state 0 is the start; PATTERN_DEAD ends without a match */
	uint16_t class_count;
	uint16_t alphabet; /* in model.alphabets */
};
enum { PATTERN_DEAD = 0xffff };

struct model_alphabet {
	uint32_t ascii;       /* in model.classes: 128 of them */
	uint32_t range_first; /* in model.ranges, ascending, those beyond ASCII */
	uint16_t range_count;
	uint8_t low; /* the class of code points from 128 up to the first range */
};

struct model_range {
	uint32_t first;  /* code point; the range reaches up to the next one's */
	uint32_t number; /* its class */
};

struct model_error {
	uint16_t shape, status;
	uint32_t code; /* string: the code on the wire */
	uint8_t server;
};

enum operation_flag {
	OPERATION_READONLY = 1 << 0,
	OPERATION_DEPRECATED = 1 << 1,
	OPERATION_UNSIGNED = 1 << 2 /* the model says that it takes no signature */
};

struct model_operation {
	uint32_t name, method, uri;        /* strings; the uri is the model's template */
	uint16_t status;                   /* of success */
	uint16_t input, output;            /* shapes; 0: none */
	uint16_t error_first, error_count; /* in model.operation_errors: index in model.errors */
	uint8_t flags;
	uint32_t header; /* string: meant only when the request has this header; empty: always */
};

struct model {
	/* "lambda"; the name in the credential scope; the prefix of its IAM actions */
	const char *name, *signing_name, *action_prefix;
	const char *target_prefix; /* of X-Amz-Target, NULL: none */
	const char
		*type_prefix; /* of __type in errors, "com.amazonaws.dynamodb.v20120810#", or "" */
	const char *xml_namespace, *api_version;
	const char *validation_code;    /* error code for a broken constraint */
	const char *serialization_code; /* error code for a body of a wrong form */
	uint16_t access_status;         /* of authentication and access errors: 400 or 403 */
	uint8_t protocol;
	uint8_t crc32; /* answers carry x-amz-crc32 */
	const char *strings;
	const struct model_shape *shapes;
	const struct model_member *members;
	const struct model_constraint *constraints;
	const uint32_t *enums; /* strings */
	const struct model_pattern *patterns;
	const struct model_alphabet *alphabets;
	const uint16_t *transitions;
	const uint8_t *classes, *accepting;
	const struct model_range *ranges;
	const struct model_error *errors;
	const uint16_t *operation_errors;
	const struct model_operation *operations; /* by name */
	uint16_t shape_count, member_count, error_count, operation_count;
	uint32_t string_bytes;
};

/* All compiled models, and one by service name (NULL: no such). Generated. */
extern const struct model *const models_all[];
extern const size_t models_count;
const struct model *model_named(str name);

/* The string at an offset: two bytes of length, then the text. */
static inline str model_str(const struct model *m, uint32_t offset)
{
	const uint8_t *p = (const uint8_t *)m->strings + offset;

	return (str){(const char *)p + 2, (size_t)p[0] | (size_t)p[1] << 8};
}

static inline const struct model_shape *model_shape(const struct model *m, unsigned shape)
{
	return &m->shapes[shape];
}

static inline bool model_is_rest(const struct model *m)
{
	return m->protocol == PROTOCOL_REST_JSON || m->protocol == PROTOCOL_REST_XML;
}

static inline str model_shape_name(const struct model *m, unsigned shape)
{
	return model_str(m, m->shapes[shape].name);
}

/* Index of an operation by name, or -1. */
int model_operation(const struct model *m, str name);
/* Number of a shape by name, or -1. */
int model_shape_named(const struct model *m, str name);
/* Index among the structure's members by AWS name / by wire name of body members, or -1. */
int model_member(const struct model *m, unsigned shape, str name);
int model_member_wire(const struct model *m, unsigned shape, str wire);
/* Index in model.errors by the code on the wire (or the shape's name), or -1. */
int model_error(const struct model *m, str code);
/* Does the whole of `s` (UTF-8) match the pattern? Text that is not UTF-8 matches nothing. */
bool model_pattern_match(const struct model *m, unsigned pattern, str s);

#endif
