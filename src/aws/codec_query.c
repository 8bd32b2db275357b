/*
 * The query protocol (codec.h): form parameters in, XML out.
 *
 * Parameters become a tree by the parts of their names ("Tags.member.1.Key"), which the shapes are
 * then walked against. List elements are taken in the order of their numbers, as AWS does.
 */
#include "aws/codec.h"
#include "base/check.h"
#include "base/uri.h"
#include "base/xml.h"

struct form_node {
	str name, value; /* value STR_NULL: only a step in longer names */
	struct form_node *child, *next, *last_child;
};

struct form {
	struct arena *arena;
	struct form_node root;
};

static struct form_node *child_of(const struct form_node *node, str name)
{
	for (struct form_node *at = node->child; at; at = at->next)
		if (str_eq(at->name, name))
			return at;
	return NULL;
}

static struct form_node *child_made(struct arena *a, struct form_node *node, str name)
{
	struct form_node *at = child_of(node, name);

	if (at)
		return at;
	at = arena_new(a, struct form_node);
	at->name = name;
	if (node->last_child)
		node->last_child->next = at;
	else
		node->child = at;
	node->last_child = at;
	return at;
}

/* Adds the parameters of one encoded text; counts them against the limit. */
static int add_text(struct form *f, str text, unsigned *count, str *ret_message)
{
	struct uri_query q = uri_query_of(text);
	str name, value, part;

	while (uri_query_next(&q, &name, &value)) {
		struct form_node *at = &f->root;
		unsigned depth = 0;

		if (++*count > CODEC_PARAMETERS_MAX) {
			*ret_message = STR("The request has too many parameters");
			return ERR_FAULT;
		}
		if (uri_decode(f->arena, name, URI_PLUS_IS_SPACE, &name) < 0 ||
			uri_decode(f->arena, value, URI_PLUS_IS_SPACE, &value) < 0) {
			*ret_message = STR("A parameter is not validly percent-encoded");
			return ERR_FAULT;
		}
		while (str_split(&name, '.', &part)) {
			if (++depth > CODEC_DEPTH_MAX) {
				*ret_message = STR("A parameter's name has too many parts");
				return ERR_FAULT;
			}
			at = child_made(f->arena, at, part);
		}
		at->value = value.p ? value : STR("");
	}
	return 0;
}

int form_parse(struct arena *a, str query, str body, struct form **ret_form, str *ret_message)
{
	struct form *f = arena_new(a, struct form);
	unsigned count = 0;

	f->arena = a;
	TRY(add_text(f, query, &count, ret_message));
	TRY(add_text(f, body, &count, ret_message));
	*ret_form = f;
	return 0;
}

str form_get(const struct form *f, str name)
{
	const struct form_node *at = child_of(&f->root, name);

	return at ? at->value : STR_NULL;
}

static int read_value(struct value *to, const struct value_tree *tree, unsigned shape,
	unsigned flags, const struct form_node *node, str *ret_message);

static int read_members(struct value *v, const struct form_node *node, str *ret_message)
{
	const struct model *m = v->tree->model;
	const struct model_member *member = &m->members[m->shapes[v->shape].first];

	for (unsigned i = 0; i < v->n; i++, member++) {
		const struct form_node *at = child_of(node, model_str(m, member->wire));

		if (at)
			TRY(read_value(&v->items[i], v->tree, member->shape, member->flags, at,
				ret_message));
	}
	return 0;
}

/* The child whose name is the smallest number above *at; sets *at to it. */
static const struct form_node *next_numbered(const struct form_node *node, uint64_t *at)
{
	const struct form_node *best = NULL;
	uint64_t lowest = 0, number;

	for (const struct form_node *child = node->child; child; child = child->next)
		if (str_to_u64(child->name, UINT32_MAX, &number) >= 0 && number > *at &&
			(!best || number < lowest)) {
			best = child;
			lowest = number;
		}
	*at = lowest;
	return best;
}

static int read_list(struct value *to, const struct value_tree *tree, unsigned shape,
	const struct form_node *node, str *ret_message)
{
	const struct model *m = tree->model;
	const struct model_member *element = &m->members[m->shapes[shape].first];
	const struct form_node *child;
	uint64_t at = 0;

	value_init_list(to, tree, shape);
	if (!(m->shapes[shape].flags & SHAPE_FLATTENED)) {
		node = child_of(node, model_str(m, element->wire));
		if (!node) /* "Name=" alone is an empty list */
			return 0;
	}
	while ((child = next_numbered(node, &at)) != NULL)
		TRY(read_value(value_grow_list(to), tree, element->shape, element->flags, child,
			ret_message));
	return 0;
}

static int read_map(struct value *to, const struct value_tree *tree, unsigned shape,
	const struct form_node *node, str *ret_message)
{
	const struct model *m = tree->model;
	const struct model_member *key = &m->members[m->shapes[shape].first], *value = key + 1;
	const struct form_node *child;
	uint64_t at = 0;

	value_init_map(to, tree, shape);
	if (!(m->shapes[shape].flags & SHAPE_FLATTENED)) {
		node = child_of(node, STR("entry"));
		if (!node)
			return 0;
	}
	while ((child = next_numbered(node, &at)) != NULL) {
		const struct form_node *name = child_of(child, model_str(m, key->wire));
		const struct form_node *content = child_of(child, model_str(m, value->wire));

		if (!name || !name->value.p) {
			*ret_message = STR("A map entry has no key");
			return ERR_FAULT;
		}
		if (content)
			TRY(read_value(value_grow_map(to, name->value), tree, value->shape,
				value->flags, content, ret_message));
	}
	return 0;
}

static int read_value(struct value *to, const struct value_tree *tree, unsigned shape,
	unsigned flags, const struct form_node *node, str *ret_message)
{
	switch (tree->model->shapes[shape].kind) {
	case SHAPE_STRUCTURE:
		value_init_struct(to, tree, shape);
		return read_members(to, node, ret_message);
	case SHAPE_LIST: return read_list(to, tree, shape, node, ret_message);
	case SHAPE_MAP: return read_map(to, tree, shape, node, ret_message);
	default:
		if (!node->value.p) {
			*ret_message = STR("Unexpected list element termination");
			return ERR_FAULT;
		}
		return codec_text_read(
			to, tree, shape, flags, MEMBER_TIME_ISO, node->value, ret_message);
	}
}

int codec_query_read(struct value *v, const struct form *f, str *ret_message)
{
	return read_members(v, &f->root, ret_message);
}

/* ---- XML ---- */

void codec_query_write(struct buf *body, const struct model *m, str operation,
	const struct value *out, str request_id)
{
	buf_put_char(body, '<');
	buf_put(body, operation);
	buf_put(body, STR("Response xmlns=\""));
	buf_put(body, str_c(m->xml_namespace));
	buf_put(body, STR("\">"));
	if (out) {
		buf_put_char(body, '<');
		buf_put(body, operation);
		buf_put(body, STR("Result>"));
		codec_xml_write_members(body, out, XML_TIME_SECONDS);
		buf_put(body, STR("</"));
		buf_put(body, operation);
		buf_put(body, STR("Result>"));
	}
	buf_put(body, STR("<ResponseMetadata>"));
	xml_put_element(body, STR("RequestId"), request_id);
	buf_put(body, STR("</ResponseMetadata></"));
	buf_put(body, operation);
	buf_put(body, STR("Response>\n"));
}
