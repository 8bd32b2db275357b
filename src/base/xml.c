/*
 * The XML reader on expat. Everything expat takes comes from base/mem.h and is bounded by the
 * document's size limit; the tree is in the caller's arena.
 */
#include "base/xml.h"

#include "base/check.h"
#include "base/mem.h"

#include <expat.h>

const struct xml_limits xml_limits_default = {
	.bytes_max = 1024 * 1024, .depth_max = 32, .nodes_max = 20000, .attributes_max = 32};

enum { DEPTH_LIMIT = 256 };

/* An element that is open. */
struct open_element {
	struct xml_node *node;
	struct xml_node **next_child; /* where the next child is linked */
	struct buf text;
};

struct parse {
	struct arena *arena;
	const struct xml_limits *limits;
	XML_Parser parser;
	struct xml_node *root;
	struct open_element *open;
	unsigned level, nodes;
	int rc;
	const char *what;
};

static void stop(struct parse *p, int rc, const char *what)
{
	if (p->rc < 0)
		return;
	p->rc = rc;
	p->what = what;
	XML_StopParser(p->parser, XML_FALSE);
}

/* expat joins "uri\nname"; a line feed can be in neither. */
static void split_name(struct arena *arena, const XML_Char *joined, str *ret_ns, str *ret_name)
{
	str s = arena_str(arena, str_c(joined));
	ptrdiff_t at = str_find(s, '\n');

	*ret_ns = at < 0 ? STR("") : str_sub(s, 0, (size_t)at);
	*ret_name = at < 0 ? s : str_from(s, (size_t)at + 1);
}

static void add_attributes(struct parse *p, struct xml_node *node, const XML_Char **pairs)
{
	struct xml_attribute **next = &node->attributes;

	for (unsigned n = 0; pairs[0]; pairs += 2) {
		struct xml_attribute *a;

		if (n++ == p->limits->attributes_max) {
			stop(p, ERR_TOO_LARGE, "too many attributes");
			return;
		}
		a = arena_new(p->arena, struct xml_attribute);
		split_name(p->arena, pairs[0], &a->ns, &a->name);
		a->value = arena_str(p->arena, str_c(pairs[1]));
		*next = a;
		next = &a->next;
	}
}

static void on_start(void *user, const XML_Char *name, const XML_Char **pairs)
{
	struct parse *p = user;
	struct open_element *o;
	struct xml_node *node;

	if (p->rc < 0)
		return;
	if (p->level == p->limits->depth_max || p->level == DEPTH_LIMIT) {
		stop(p, ERR_DEPTH, "elements are nested too deeply");
		return;
	}
	if (p->nodes++ == p->limits->nodes_max) {
		stop(p, ERR_TOO_LARGE, "too many elements");
		return;
	}
	node = arena_new(p->arena, struct xml_node);
	split_name(p->arena, name, &node->ns, &node->name);
	node->text = STR("");
	add_attributes(p, node, pairs);
	if (p->level == 0) {
		p->root = node;
	} else {
		*p->open[p->level - 1].next_child = node;
		p->open[p->level - 1].next_child = &node->next;
	}
	o = &p->open[p->level++];
	o->node = node;
	o->next_child = &node->child;
	buf_init(&o->text, p->arena, p->limits->bytes_max * 2);
}

static void on_end(void *user, const XML_Char *name)
{
	struct parse *p = user;
	struct open_element *o;

	(void)name;
	if (p->rc < 0)
		return;
	o = &p->open[--p->level];
	o->node->text = buf_str(&o->text);
	if (o->text.over)
		stop(p, ERR_TOO_LARGE, "too much text");
}

static void on_text(void *user, const XML_Char *text, int n)
{
	struct parse *p = user;

	if (p->rc >= 0 && p->level > 0)
		buf_put(&p->open[p->level - 1].text, str_of(text, (size_t)n));
}

static void on_doctype(void *user, const XML_Char *name, const XML_Char *system,
	const XML_Char *public, int has_subset)
{
	(void)name, (void)system, (void)public, (void)has_subset;
	stop(user, ERR_UNSUPPORTED, "document type declarations are not allowed");
}

static void parser_free(XML_Parser *parser)
{
	XML_ParserFree(*parser);
}

static void describe(const struct parse *p, struct xml_error *ret_error)
{
	if (ret_error)
		*ret_error = (struct xml_error){.rc = p->rc,
			.line = (unsigned)XML_GetCurrentLineNumber(p->parser),
			.column = (unsigned)XML_GetCurrentColumnNumber(p->parser),
			.what = p->what};
}

int xml_parse(struct arena *arena, str text, const struct xml_limits *limits,
	struct xml_node **ret_root, struct xml_error *ret_error)
{
	static const XML_Memory_Handling_Suite memory = {mem_alloc, mem_realloc, mem_free};
	cleanup(parser_free) XML_Parser parser = XML_ParserCreate_MM(NULL, &memory, "\n");
	struct parse p = {.arena = arena, .parser = parser};

	check(parser != NULL);
	p.limits = limits ? limits : &xml_limits_default;
	p.open = arena_new_array(
		arena, struct open_element, MIN(p.limits->depth_max, (unsigned)DEPTH_LIMIT) + 1);
	if (text.n > p.limits->bytes_max || text.n > INT32_MAX) {
		p.rc = ERR_TOO_LARGE;
		p.what = "the document is too large";
		describe(&p, ret_error);
		return p.rc;
	}
	XML_SetUserData(parser, &p);
	XML_SetElementHandler(parser, on_start, on_end);
	XML_SetCharacterDataHandler(parser, on_text);
	XML_SetStartDoctypeDeclHandler(parser, on_doctype);
	if (XML_Parse(parser, text.p ? text.p : "", (int)text.n, XML_TRUE) != XML_STATUS_OK &&
		p.rc >= 0) {
		p.rc = ERR_SYNTAX;
		p.what = XML_ErrorString(XML_GetErrorCode(parser));
	}
	if (p.rc < 0) {
		describe(&p, ret_error);
		return p.rc;
	}
	check(p.root != NULL && p.level == 0);
	*ret_root = p.root;
	return 0;
}

static const struct xml_node *named(const struct xml_node *node, str name)
{
	while (node && !str_eq(node->name, name))
		node = node->next;
	return node;
}

const struct xml_node *xml_child(const struct xml_node *node, str name)
{
	return node ? named(node->child, name) : NULL;
}

const struct xml_node *xml_same_next(const struct xml_node *node)
{
	return named(node->next, node->name);
}

str xml_child_text(const struct xml_node *node, str name)
{
	const struct xml_node *child = xml_child(node, name);

	return child ? child->text : STR_NULL;
}

str xml_attribute(const struct xml_node *node, str name)
{
	for (const struct xml_attribute *a = node ? node->attributes : NULL; a; a = a->next)
		if (str_eq(a->name, name))
			return a->value;
	return STR_NULL;
}
