/*
 * The XML reader's tree and limits, and the writer.
 */
#include "base/xml.h"

#include "test/test.h"

TEST(xml, tree)
{
	static const char text[] =
		"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
		"<Root xmlns='http://s3.amazonaws.com/doc/2006-03-01/' a='1' b='x&amp;y'>\n"
		"  <Key>a &lt;b&gt; <![CDATA[<c>]]></Key><!-- no --><Key>second</Key>\n"
		"  <x:Other xmlns:x='urn:x' x:type='t'/>tail</Root>";
	const struct xml_node *key;
	struct xml_node *root;
	struct arena a;

	arena_init(&a, 1 << 20);
	ASSERT_INT(xml_parse(&a, str_c(text), NULL, &root, NULL), 0);
	EXPECT_STR(root->name, STR("Root"));
	EXPECT_STR(root->ns, STR("http://s3.amazonaws.com/doc/2006-03-01/"));
	EXPECT_STR(xml_attribute(root, STR("b")), STR("x&y"));
	EXPECT(xml_attribute(root, STR("c")).p == NULL);
	EXPECT(str_ends(root->text, STR("tail")));
	key = xml_child(root, STR("Key"));
	ASSERT(key != NULL);
	EXPECT_STR(key->text, STR("a <b> <c>"));
	key = xml_same_next(key);
	ASSERT(key != NULL);
	EXPECT_STR(key->text, STR("second"));
	EXPECT(xml_same_next(key) == NULL);
	EXPECT_STR(xml_child_text(root, STR("Other")), STR(""));
	EXPECT(xml_child_text(root, STR("None")).p == NULL);
	EXPECT(xml_child(NULL, STR("x")) == NULL);
	EXPECT_STR(xml_child(root, STR("Other"))->ns, STR("urn:x"));
	EXPECT_STR(xml_attribute(xml_child(root, STR("Other")), STR("type")), STR("t"));
	arena_done(&a);
}

static int parse_rc(str text, const struct xml_limits *limits)
{
	struct xml_node *root = NULL;
	struct xml_error error = {0};
	struct arena a;
	int rc;

	arena_init(&a, 1 << 20);
	rc = xml_parse(&a, text, limits, &root, &error);
	EXPECT((rc < 0) == (root == NULL));
	EXPECT_INT(error.rc, rc);
	EXPECT((rc < 0) == (error.what != NULL));
	arena_done(&a);
	return rc;
}

TEST(xml, refuses)
{
	static const struct xml_limits small = {60, 2, 3, 1};

	EXPECT_INT(parse_rc(STR(""), NULL), ERR_SYNTAX);
	EXPECT_INT(parse_rc(STR_NULL, NULL), ERR_SYNTAX);
	EXPECT_INT(parse_rc(STR("<a>"), NULL), ERR_SYNTAX);
	EXPECT_INT(parse_rc(STR("<a></b>"), NULL), ERR_SYNTAX);
	EXPECT_INT(parse_rc(STR("<a/><b/>"), NULL), ERR_SYNTAX);
	EXPECT_INT(parse_rc(STR("<a>&nbsp;</a>"), NULL), ERR_SYNTAX);
	EXPECT_INT(parse_rc(STR("<a>\xff</a>"), NULL), ERR_SYNTAX);
	EXPECT_INT(parse_rc(STR("<x:a/>"), NULL), ERR_SYNTAX);
	EXPECT_INT(parse_rc(STR("<!DOCTYPE a><a/>"), NULL), ERR_UNSUPPORTED);
	EXPECT_INT(
		parse_rc(STR("<!DOCTYPE a [<!ENTITY e 'x'>]><a>&e;</a>"), NULL), ERR_UNSUPPORTED);
	EXPECT_INT(parse_rc(STR("<!DOCTYPE a SYSTEM 'file:///etc/passwd'><a/>"), NULL),
		ERR_UNSUPPORTED);
	EXPECT_INT(parse_rc(STR("<a><b/><c/></a>"), &small), 0);
	EXPECT_INT(parse_rc(STR("<a><b><c/></b></a>"), &small), ERR_DEPTH);
	EXPECT_INT(parse_rc(STR("<a><b/><c/><d/></a>"), &small), ERR_TOO_LARGE);
	EXPECT_INT(parse_rc(STR("<a x='1' y='2'/>"), &small), ERR_TOO_LARGE);
	EXPECT_INT(parse_rc(STR("<a>012345678901234567890123456789012345678901234567890123</a>"),
			   &small),
		ERR_TOO_LARGE);
}

TEST(xml, error_place)
{
	struct xml_node *root;
	struct xml_error error;
	struct arena a;

	arena_init(&a, 1 << 20);
	EXPECT_INT(xml_parse(&a, STR("<a>\n  <b></c></a>"), NULL, &root, &error), ERR_SYNTAX);
	EXPECT_INT(error.line, 2);
	EXPECT_INT(error.column, 7);
	arena_done(&a);
}

TEST(xml, write)
{
	struct xml_node *root;
	struct arena a;
	struct buf out;

	arena_init(&a, 1 << 20);
	buf_init(&out, &a, 1 << 16);
	xml_put_declaration(&out);
	xml_put_open_ns(&out, STR("R"), STR("http://x/?a&b"));
	xml_put_element(&out, STR("T"), STR("<&>\"'\r\n\t\x01\xef\xbf\xbf\xc3\xa9"));
	xml_put_element_i64(&out, STR("N"), -5);
	xml_put_element_bool(&out, STR("B"), true);
	xml_put_close(&out, STR("R"));
	EXPECT_STR(buf_str(&out), STR("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<R "
				      "xmlns=\"http://x/?a&amp;b\"><T>&lt;&amp;"
				      "&gt;&quot;'&#xD;\n\t\xef\xbf\xbd\xef\xbf\xbd\xc3\xa9</"
				      "T><N>-5</N><B>true</B></R>"));
	ASSERT_INT(xml_parse(&a, buf_str(&out), NULL, &root, NULL), 0);
	EXPECT_STR(xml_child_text(root, STR("T")),
		STR("<&>\"'\r\n\t\xef\xbf\xbd\xef\xbf\xbd\xc3\xa9"));
	arena_done(&a);
}
