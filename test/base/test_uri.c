/*
 * Percent encoding, query strings, path normalisation.
 */
#include "base/uri.h"

#include "base/rc.h"
#include "test/test.h"

TEST(uri, encode)
{
	struct buf out;

	buf_init(&out, NULL, 1024);
	uri_put_encoded(&out, STR("az AZ09-._~/\xc3\xa9%+\x00&="), URI_COMPONENT);
	EXPECT_STR(buf_str(&out), STR("az%20AZ09-._~%2F%C3%A9%25%2B%00%26%3D"));
	buf_reset(&out);
	uri_put_encoded(&out, STR("/a b/c"), URI_KEEP_SLASH);
	EXPECT_STR(buf_str(&out), STR("/a%20b/c"));
	buf_reset(&out);
	uri_put_encoded(&out, STR_NULL, URI_COMPONENT);
	EXPECT_STR(buf_str(&out), STR(""));
	buf_done(&out);
}

TEST(uri, decode)
{
	str plain = STR("plain"), got;
	struct arena a;

	arena_init(&a, 1 << 20);
	ASSERT_INT(uri_decode(&a, plain, URI_PLAIN, &got), 0);
	EXPECT(got.p == plain.p);
	ASSERT_INT(uri_decode(&a, STR("a+b%2fc%00%C3%a9"), URI_PLAIN, &got), 0);
	EXPECT_STR(got, STR("a+b/c\0\xc3\xa9"));
	ASSERT_INT(uri_decode(&a, STR("a+b%2B"), URI_PLUS_IS_SPACE, &got), 0);
	EXPECT_STR(got, STR("a b+"));
	EXPECT_INT(uri_decode(&a, STR("%"), URI_PLAIN, &got), ERR_SYNTAX);
	EXPECT_INT(uri_decode(&a, STR("%4"), URI_PLAIN, &got), ERR_SYNTAX);
	EXPECT_INT(uri_decode(&a, STR("%4g"), URI_PLAIN, &got), ERR_SYNTAX);
	EXPECT_INT(uri_decode(&a, STR("%%41"), URI_PLAIN, &got), ERR_SYNTAX);
	arena_done(&a);
}

TEST(uri, is)
{
	EXPECT(uri_is(STR("acl"), STR("acl")) && uri_is(STR("%61c%6C"), STR("acl")));
	EXPECT(uri_is(STR("%6c"), STR("l")) && uri_is(STR(""), STR("")) &&
		uri_is(STR_NULL, STR("")));
	EXPECT(uri_is(STR("a+%00"), STR("a+\0")));
	EXPECT(!uri_is(STR("acl"), STR("ac")) && !uri_is(STR("ac"), STR("acl")));
	EXPECT(!uri_is(STR("ac%"), STR("ac%")) && !uri_is(STR("ac%6"), STR("acl")));
	EXPECT(!uri_is(STR("ac%6g"), STR("acl")) && !uri_is(STR("%2561cl"), STR("acl")));
	EXPECT(!uri_is(STR("%41cl"), STR("acl")));
}

TEST(uri, query)
{
	str path, query, name, value;
	struct uri_query q;
	struct arena a;

	arena_init(&a, 1 << 20);
	uri_split(STR("/p/a?x=1&&b&=v&c=d=e&f="), &path, &query);
	EXPECT_STR(path, STR("/p/a"));
	q = uri_query_of(query);
	ASSERT(uri_query_next(&q, &name, &value));
	EXPECT_STR(name, STR("x"));
	EXPECT_STR(value, STR("1"));
	ASSERT(uri_query_next(&q, &name, &value));
	EXPECT_STR(name, STR("b"));
	EXPECT(value.p == NULL);
	ASSERT(uri_query_next(&q, &name, &value));
	EXPECT_STR(name, STR(""));
	EXPECT_STR(value, STR("v"));
	ASSERT(uri_query_next(&q, &name, &value));
	EXPECT_STR(value, STR("d=e"));
	ASSERT(uri_query_next(&q, &name, &value));
	EXPECT(value.p != NULL && value.n == 0);
	EXPECT(!uri_query_next(&q, &name, &value));
	EXPECT_INT(uri_query_find(&a, STR("a=1&%62=x+y&b=2"), STR("b"), &value), 1);
	EXPECT_STR(value, STR("x y"));
	EXPECT_INT(uri_query_find(&a, STR("a&b"), STR("a"), &value), 1);
	EXPECT_STR(value, STR(""));
	EXPECT_INT(uri_query_find(&a, STR("a=%zz"), STR("a"), &value), ERR_SYNTAX);
	EXPECT_INT(uri_query_find(&a, STR_NULL, STR("a"), &value), 0);
	uri_split(STR("/p"), &path, &query);
	EXPECT(query.p == NULL);
	arena_done(&a);
}

TEST(uri, normalize)
{
	static const char *const cases[][2] = {{"", "/"}, {"/", "/"}, {"//", "/"}, {"/.", "/"},
		{"/..", "/"}, {"/../..", "/"}, {"/a", "/a"}, {"/a/", "/a/"}, {"/a//b", "/a/b"},
		{"/a/./b", "/a/b"}, {"/a/../b", "/b"}, {"/a/b/..", "/a/"}, {"/a/b/.", "/a/b/"},
		{"/a/b/../..", "/"}, {"/a/b/../../c", "/c"}, {"a", "/a"}, {"a/../b/", "/b/"},
		{"/.../..a/a..", "/.../..a/a.."}, {"/a/b/./../c/", "/a/c/"}, {"/%2e/a", "/%2e/a"}};
	struct arena a;

	arena_init(&a, 1 << 20);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		EXPECT_STR(uri_normalize_path(&a, str_c(cases[i][0])), str_c(cases[i][1]));
	arena_done(&a);
}
