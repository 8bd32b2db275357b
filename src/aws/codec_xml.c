/*
 * Bodies of the restXml protocol (codec.h): XML in both directions, by the shapes.
 *
 * Reading is strict, as S3 checks bodies against its schema: another root, an element that the
 * shape does not have, or a second one of a member that is no flattened list, is an error. Names
 * are compared in any namespace, because clients leave it out.
 * https://smithy.io/2.0/aws/protocols/aws-restxml-protocol.html
 */
#include "aws/codec.h"
#include "base/check.h"
#include "base/time.h"
#include "base/xml.h"

/* S3's largest: 10,000 parts, or 1,000 keys of 1,024 bytes with entities, a few elements each. */
static const struct xml_limits limits = {
	.bytes_max = 8 << 20, .depth_max = 32, .nodes_max = 150000, .attributes_max = 16};

/* ---- reading ---- */

static int read_value(struct value *to, const struct value_tree *tree,
	const struct model_member *member, const struct xml_node *node, str *ret_message);

static int unknown_element(
	const struct value_tree *tree, const struct xml_node *node, str *ret_message)
{
	*ret_message = arena_printf(tree->arena,
		"The XML you provided was not well-formed or did not validate against our "
		"published schema: element %.*s",
		(int)MIN(node->name.n, (size_t)128), node->name.p);
	return ERR_SYNTAX;
}

/* "xsi:type" -> "type" */
static str local_name(str name)
{
	return str_from(name, (size_t)(str_find(name, ':') + 1));
}

static int read_attributes(struct value *v, const struct xml_node *node, str *ret_message)
{
	const struct model *m = v->tree->model;
	const struct model_member *member = &m->members[m->shapes[v->shape].first];

	for (unsigned i = 0; i < v->n; i++, member++) {
		str text;

		if (!(member->flags & MEMBER_ATTRIBUTE))
			continue;
		text = xml_attribute(node, local_name(model_str(m, member->wire)));
		if (text.p && codec_text_read(&v->items[i], v->tree, member->shape, member->flags,
				      MEMBER_TIME_ISO, text, ret_message) < 0)
			return ERR_SYNTAX;
	}
	return 0;
}

/* The member that an element is; -1: none. */
static int member_of(const struct value *v, const struct xml_node *node)
{
	const struct model *m = v->tree->model;
	const struct model_member *member = &m->members[m->shapes[v->shape].first];

	for (unsigned i = 0; i < v->n; i++, member++)
		if (member->location == LOCATION_BODY && !(member->flags & MEMBER_ATTRIBUTE) &&
			str_eq(model_str(m, member->wire), node->name))
			return (int)i;
	return -1;
}

static bool is_flat(const struct value_tree *tree, unsigned shape)
{
	const struct model_shape *s = &tree->model->shapes[shape];

	return (s->kind == SHAPE_LIST || s->kind == SHAPE_MAP) && s->flags & SHAPE_FLATTENED;
}

static int read_entry(struct value *map, const struct xml_node *node, str *ret_message)
{
	const struct model *m = map->tree->model;
	const struct model_member *key = &m->members[m->shapes[map->shape].first];
	str name = xml_child_text(node, model_str(m, key->wire));
	const struct xml_node *content = xml_child(node, model_str(m, key[1].wire));

	if (!name.p || !content)
		return unknown_element(map->tree, node, ret_message);
	return read_value(value_grow_map(map, name), map->tree, key + 1, content, ret_message);
}

/* One element more of a list or map. */
static int read_element(struct value *to, const struct xml_node *node, str *ret_message)
{
	const struct model *m = to->tree->model;

	if (to->kind == SHAPE_MAP)
		return read_entry(to, node, ret_message);
	return read_value(value_grow_list(to), to->tree, &m->members[m->shapes[to->shape].first],
		node, ret_message);
}

static void init_container(struct value *to, const struct value_tree *tree, unsigned shape)
{
	if (tree->model->shapes[shape].kind == SHAPE_MAP)
		value_init_map(to, tree, shape);
	else
		value_init_list(to, tree, shape);
}

static int read_container(struct value *to, const struct value_tree *tree, unsigned shape,
	const struct xml_node *node, str *ret_message)
{
	const struct model *m = tree->model;
	const struct model_shape *s = &m->shapes[shape];
	str name = s->kind == SHAPE_MAP ? STR("entry") : model_str(m, m->members[s->first].wire);

	init_container(to, tree, shape);
	for (const struct xml_node *child = node->child; child; child = child->next) {
		if (!str_eq(child->name, name))
			return unknown_element(tree, child, ret_message);
		TRY(read_element(to, child, ret_message));
	}
	return 0;
}

static int read_struct(struct value *v, const struct xml_node *node, str *ret_message)
{
	const struct model *m = v->tree->model;

	TRY(read_attributes(v, node, ret_message));
	for (const struct xml_node *child = node->child; child; child = child->next) {
		int i = member_of(v, child);
		const struct model_member *member;

		if (i < 0)
			return unknown_element(v->tree, child, ret_message);
		member = &m->members[m->shapes[v->shape].first + (unsigned)i];
		if (is_flat(v->tree, member->shape)) {
			if (!v->items[i].kind)
				init_container(&v->items[i], v->tree, member->shape);
			TRY(read_element(&v->items[i], child, ret_message));
			continue;
		}
		if (v->items[i].kind)
			return unknown_element(v->tree, child, ret_message);
		TRY(read_value(&v->items[i], v->tree, member, child, ret_message));
	}
	return 0;
}

static int read_value(struct value *to, const struct value_tree *tree,
	const struct model_member *member, const struct xml_node *node, str *ret_message)
{
	switch (tree->model->shapes[member->shape].kind) {
	case SHAPE_STRUCTURE:
		value_init_struct(to, tree, member->shape);
		return read_struct(to, node, ret_message);
	case SHAPE_LIST:
	case SHAPE_MAP: return read_container(to, tree, member->shape, node, ret_message);
	default:
		if (node->child)
			return unknown_element(tree, node->child, ret_message);
		return codec_text_read(to, tree, member->shape, member->flags, MEMBER_TIME_ISO,
			       node->text, ret_message) < 0
			       ? ERR_SYNTAX
			       : 0;
	}
}

int codec_xml_read(struct value *v, str root, str text, str *ret_message)
{
	struct xml_node *node;
	struct xml_error error;

	if (xml_parse(v->tree->arena, text, &limits, &node, &error) < 0) {
		*ret_message = arena_printf(v->tree->arena,
			"The XML you provided was not well-formed or did not validate against our "
			"published schema: line %u, %s",
			error.line, error.what);
		return ERR_SYNTAX;
	}
	if (!str_eq(node->name, root))
		return unknown_element(v->tree, node, ret_message);
	return read_struct(v, node, ret_message);
}

/* ---- writing ---- */

static void write_value(struct buf *out, const struct value_tree *tree, str name, unsigned flags,
	const struct value *v, enum xml_time time);

void codec_xml_write_members(struct buf *out, const struct value *v, enum xml_time time)
{
	const struct model *m = v->tree->model;
	const struct model_member *member = &m->members[m->shapes[v->shape].first];

	for (unsigned i = 0; i < v->n; i++, member++)
		if (v->items[i].kind && member->location == LOCATION_BODY &&
			!(member->flags & (MEMBER_ATTRIBUTE | MEMBER_PAYLOAD)))
			write_value(out, v->tree, model_str(m, member->wire), member->flags,
				&v->items[i], time);
}

/* The start tag of a structure, with its attributes. */
static void write_open(struct buf *out, str name, str ns, const struct value *v)
{
	const struct model *m = v->tree->model;
	const struct model_member *member = &m->members[m->shapes[v->shape].first];

	buf_put_char(out, '<');
	buf_put(out, name);
	if (ns.n) {
		buf_put(out, STR(" xmlns=\""));
		xml_put_text(out, ns);
		buf_put_char(out, '"');
	}
	for (unsigned i = 0; i < v->n; i++, member++) {
		str wire = model_str(m, member->wire);

		if (!v->items[i].kind || !(member->flags & MEMBER_ATTRIBUTE))
			continue;
		if (str_starts(wire, STR("xsi:")))
			buf_put(out, STR(" xmlns:xsi=\"http://www.w3.org/2001/"
					 "XMLSchema-instance\""));
		buf_put_char(out, ' ');
		buf_put(out, wire);
		buf_put(out, STR("=\""));
		xml_put_text(out, v->items[i].s);
		buf_put_char(out, '"');
	}
	buf_put_char(out, '>');
}

static void write_list(struct buf *out, const struct value_tree *tree, str name,
	const struct value *v, enum xml_time time)
{
	const struct model *m = tree->model;
	const struct model_shape *shape = &m->shapes[v->shape];
	const struct model_member *element = &m->members[shape->first];
	bool flat = shape->flags & SHAPE_FLATTENED;
	str inner = flat ? name : model_str(m, element->wire);

	if (!flat)
		xml_put_open(out, name);
	for (uint32_t i = 0; i < v->n; i++)
		write_value(out, tree, inner, element->flags, &v->items[i], time);
	if (!flat)
		xml_put_close(out, name);
}

static void write_map(struct buf *out, const struct value_tree *tree, str name,
	const struct value *v, enum xml_time time)
{
	const struct model *m = tree->model;
	const struct model_shape *shape = &m->shapes[v->shape];
	const struct model_member *key = &m->members[shape->first], *value = key + 1;
	bool flat = shape->flags & SHAPE_FLATTENED;
	str inner = flat ? name : STR("entry");

	if (!flat)
		xml_put_open(out, name);
	for (uint32_t i = 0; i < v->n; i++) {
		xml_put_open(out, inner);
		xml_put_element(out, model_str(m, key->wire), v->entries[i].key);
		write_value(out, tree, model_str(m, value->wire), value->flags,
			&v->entries[i].value, time);
		xml_put_close(out, inner);
	}
	if (!flat)
		xml_put_close(out, name);
}

static void write_time(struct buf *out, const struct value *v, unsigned flags, enum xml_time time)
{
	if (time == XML_TIME_SECONDS || flags & (MEMBER_TIME_HTTP | MEMBER_TIME_EPOCH))
		codec_text_write(out, v, flags, MEMBER_TIME_ISO);
	else
		time_put_iso_ms(out, v->i);
}

static void write_value(struct buf *out, const struct value_tree *tree, str name, unsigned flags,
	const struct value *v, enum xml_time time)
{
	switch (v->kind) {
	case 0: break;
	case SHAPE_LIST: write_list(out, tree, name, v, time); break;
	case SHAPE_MAP: write_map(out, tree, name, v, time); break;
	case SHAPE_STRUCTURE:
		write_open(out, name, STR(""), v);
		codec_xml_write_members(out, v, time);
		xml_put_close(out, name);
		break;
	case SHAPE_STRING:
	case SHAPE_DOCUMENT: xml_put_element(out, name, v->s); break;
	default:
		xml_put_open(out, name);
		if (v->kind == SHAPE_TIMESTAMP)
			write_time(out, v, flags, time);
		else
			codec_text_write(out, v, flags, MEMBER_TIME_ISO);
		xml_put_close(out, name);
		break;
	}
}

void codec_xml_write(struct buf *out, str root, const struct value *v)
{
	const struct model *m = v->tree->model;
	const struct model_shape *shape = &m->shapes[v->shape];

	if (!root.p)
		root = shape->root && model_str(m, shape->root).n ? model_str(m, shape->root)
								  : model_str(m, shape->name);
	xml_put_declaration(out);
	write_open(out, root, str_c(m->xml_namespace), v);
	if (!(shape->flags & SHAPE_UNWRAPPED))
		codec_xml_write_members(out, v, XML_TIME_MILLISECONDS);
	else if (v->items[0].kind)
		xml_put_text(out, v->items[0].s);
	xml_put_close(out, root);
}
