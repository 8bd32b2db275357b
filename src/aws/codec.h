/*
 * Between bytes on the wire and typed trees, one codec per protocol, all walking a model's tables.
 *
 *     awsJson 1.0, 1.1  https://smithy.io/2.0/aws/protocols/aws-json-1_0-protocol.html
 *     restJson1         https://smithy.io/2.0/aws/protocols/aws-restjson1-protocol.html
 *     restXml           https://smithy.io/2.0/aws/protocols/aws-restxml-protocol.html
 *     query             https://smithy.io/2.0/aws/protocols/aws-query-protocol.html
 *
 * Readers are bounded by the size of their input and a depth of CODEC_DEPTH_MAX. A member that the
 * model does not know is passed over, as AWS does; one of a wrong type is an error: ERR_FAULT and a
 * text in *ret_message (the caller knows the error's name in its protocol). Text stays where it was
 * read, or is in the tree's arena. Pure.
 *
 * JSON without a protocol around it (codec_json_*) is also how services store their records.
 */
#ifndef AWS_CODEC_H
#define AWS_CODEC_H

#include "aws/value.h"
#include "base/buf.h"
#include "http/http.h"

enum {
	CODEC_DEPTH_MAX = 72,       /* structures, lists and maps inside one another: an item of
				     32 levels of DynamoDB has 66 */
	CODEC_PARAMETERS_MAX = 4096 /* of a form */
};

/* ---- JSON ---- */

/* The members of a JSON object into `v`, an initialised structure. */
must_use int codec_json_read(struct value *v, str text, str *ret_message);
/* A new structure of the shape from a text that we wrote. ERR_CORRUPT when it is not one. */
must_use int codec_json_load(struct arena *a, const struct model *m, const char *shape, str text,
	struct value **ret_value);
/* Appends `v` as a JSON object: members that belong into a body, absent ones left out. */
void codec_json_write(struct buf *out, const struct value *v);
/* As above with all members, wherever they belong on the wire: for storing. */
void codec_json_store(struct buf *out, const struct value *v);

/* ---- query ---- */

struct form; /* parameters by name */

/* Parses application/x-www-form-urlencoded text, from the query string or a body, into one form.
 * Either may be STR_NULL. ERR_FAULT: malformed, or too many. */
must_use int form_parse(
	struct arena *a, str query, str body, struct form **ret_form, str *ret_message);
/* The value of a parameter, STR_NULL when absent. */
str form_get(const struct form *f, str name);
must_use int codec_query_read(struct value *v, const struct form *f, str *ret_message);
/* The whole answer of an operation; `out` may be NULL. */
void codec_query_write(struct buf *body, const struct model *m, str operation,
	const struct value *out, str request_id);

/* ---- restJson, restXml ---- */

enum { REST_LABELS_MAX = 8 };

struct rest_labels {
	str name[REST_LABELS_MAX], raw[REST_LABELS_MAX]; /* raw: still percent-encoded */
	unsigned count;
};

/* Does the path match the template "/a/{Name}/b/{Greedy+}"? The query part of a template is not
 * looked at: rest_template_query() gives it. */
bool rest_match(str template_, str path, struct rest_labels *ret_labels);
/* The same without regard for a slash at the end: to S3 it is part of the key. */
bool rest_match_exact(str template_, str path, struct rest_labels *ret_labels);
/* The body is JSON or XML, as the model's protocol has it. ERR_SYNTAX instead of ERR_FAULT: it is
 * the XML body that is wrong. */
must_use int codec_rest_read(struct value *v, const struct rest_labels *labels, str query,
	const struct http_header *headers, unsigned header_count, str body, str *ret_message);

struct rest_answer {
	uint16_t status;             /* 0: the operation's */
	struct http_header *headers; /* in the arena */
	unsigned header_count;
	str content_type; /* of the body; empty: none */
};

/* Body, and headers (text in the arena) of an answer; `out` may be NULL. */
void codec_rest_write(
	struct buf *body, struct arena *a, const struct value *out, struct rest_answer *ret_answer);

/* ---- XML of restXml ---- */

/* The members of a structure from a document whose root has that name. ERR_SYNTAX. */
must_use int codec_xml_read(struct value *v, str root, str text, str *ret_message);
/* A structure as a document; root STR_NULL: its shape's own. */
void codec_xml_write(struct buf *out, str root, const struct value *v);
/* The members of a structure that stand in the body; the query protocol's XML is the same. */
enum xml_time { XML_TIME_SECONDS, XML_TIME_MILLISECONDS /* S3's, always */ };
void codec_xml_write_members(struct buf *out, const struct value *v, enum xml_time time);

/* Text of a path label, query parameter or header as a value: used by rest and query. */
must_use int codec_text_read(struct value *to, const struct value_tree *tree, unsigned shape,
	unsigned member_flags, unsigned time_default, str text, str *ret_message);
/* The text that a scalar has in a header, a query string or XML. */
void codec_text_write(
	struct buf *out, const struct value *v, unsigned member_flags, unsigned time_default);

#endif
