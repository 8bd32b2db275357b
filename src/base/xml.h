/*
 * XML: a writer, and a reader that gives a bounded tree (expat).
 *
 * For the query and restXml protocols. Requests are small and flat; document type declarations,
 * and with them all own entities, are refused, so expansion attacks do not arise. Only UTF-8 and
 * UTF-16 input (what expat detects), UTF-8 output.
 *
 * Pure; any thread, one owner at a time.
 */
#ifndef BASE_XML_H
#define BASE_XML_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/rc.h"

struct xml_limits {
	size_t bytes_max;                              /* of the document */
	unsigned depth_max, nodes_max, attributes_max; /* attributes of one element */
};
/* 1 MiB, 32 levels, 20,000 nodes, 32 attributes. */
extern const struct xml_limits xml_limits_default;

struct xml_attribute {
	str name, ns, value; /* `ns` is the namespace's URI, empty without one */
	struct xml_attribute *next;
};

struct xml_node {
	str name, ns;
	str text; /* all character data directly inside, joined; never STR_NULL */
	struct xml_attribute *attributes;
	struct xml_node *child, *next; /* first child, next sibling: document order */
};

struct xml_error {
	int rc;
	unsigned line, column;
	const char *what; /* static text */
};

/*
 * The root element, all in the arena. ERR_SYNTAX: not well-formed; ERR_UNSUPPORTED: a document type
 * declaration; ERR_DEPTH; ERR_TOO_LARGE: any other limit. `limits` NULL: xml_limits_default;
 * `ret_error` may be NULL.
 */
must_use int xml_parse(struct arena *arena, str text, const struct xml_limits *limits,
	struct xml_node **ret_root, struct xml_error *ret_error);
/* The first child of that name in any namespace; NULL when absent or `node` is NULL. */
const struct xml_node *xml_child(const struct xml_node *node, str name);
/* The next sibling of the same name. */
const struct xml_node *xml_same_next(const struct xml_node *node);
/* The child's text; STR_NULL when there is no such child. */
str xml_child_text(const struct xml_node *node, str name);
/* The attribute's value in any namespace; STR_NULL when absent. */
str xml_attribute(const struct xml_node *node, str name);

/*
 * The writer: tags are closed by name, so that code reads like the document. Names are our own and
 * are not checked; values are escaped. Characters that XML 1.0 cannot carry become U+FFFD.
 */
void xml_put_declaration(struct buf *out); /* <?xml version="1.0" encoding="UTF-8"?> and \n */
void xml_put_open(struct buf *out, str name);
/* <name xmlns="uri"> */
void xml_put_open_ns(struct buf *out, str name, str ns_uri);
void xml_put_close(struct buf *out, str name);
void xml_put_text(struct buf *out, str text);
/* <name>text</name> */
void xml_put_element(struct buf *out, str name, str text);
void xml_put_element_i64(struct buf *out, str name, int64_t v);
void xml_put_element_bool(struct buf *out, str name, bool v);

#endif
