/*
 * aws-chunked: the examples of the documentation, in pieces of every size, and what is malformed.
 * https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html and -trailers.html
 */
#include "aws/chunked.h"
#include "aws/sigv4.h"
#include "test/test.h"

enum { ROOM = 70000 };

struct outcome {
	int rc; /* 0: ended */
	size_t n;
	str rest;
	str trailer;
};

/* Feeds `in` in pieces of `piece` bytes and takes data in parts of `part`. */
static struct outcome run(
	struct arena *a, const struct chunked_options *options, str in, size_t piece, size_t part)
{
	struct chunked *c = arena_new(a, struct chunked);
	struct outcome o = {.rc = 0};
	char *to = arena_bytes(a, ROOM);

	chunked_init(c, options);
	while (in.n && !chunked_ended(c)) {
		str now = str_sub(in, 0, piece);
		size_t given = now.n;

		do {
			o.rc = chunked_read(c, &now, to, part);
			if (o.rc < 0)
				return o;
			o.n += (size_t)o.rc;
		} while (o.rc > 0 || (now.n && !chunked_ended(c)));
		in = str_from(in, given - now.n);
	}
	o.rest = in;
	o.rc = chunked_ended(c) ? 0 : ERR_EOF;
	o.trailer = arena_str(a, chunked_trailer(c, STR("X-Amz-Checksum-Crc32c")));
	return o;
}

static struct chunked_options documented(struct hmac_key *key, bool trailer)
{
	sigv4_derive_key(STR("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"), STR("20130524"),
		STR("us-east-1"), STR("s3"), key);
	return (struct chunked_options){.is_signed = true,
		.has_trailer = trailer,
		.key = key,
		.timestamp = STR("20130524T000000Z"),
		.scope = STR("20130524/us-east-1/s3/aws4_request"),
		.seed = trailer ? STR("106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bf"
				      "eb8e")
				: STR("4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80"
				      "a0a9")};
}

static void put_as(struct buf *out, size_t n)
{
	for (size_t i = 0; i < n; i++)
		buf_put_char(out, 'a');
}

static str example(struct arena *a, const char *const signatures[3], str end)
{
	struct buf out;

	buf_init(&out, a, 1 << 20);
	buf_printf(&out, "10000;chunk-signature=%s\r\n", signatures[0]);
	put_as(&out, 65536);
	buf_printf(&out, "\r\n400;chunk-signature=%s\r\n", signatures[1]);
	put_as(&out, 1024);
	buf_printf(&out, "\r\n0;chunk-signature=%s\r\n", signatures[2]);
	buf_put(&out, end);
	return buf_str(&out);
}

static const char *const plain[] = {
	"ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
	"0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
	"b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"};
static const char *const trailed[] = {
	"b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
	"1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
	"2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992"};
#define TRAILER           "x-amz-checksum-crc32c:sOO8/Q==\r\nx-amz-trailer-signature:"
#define TRAILER_SIGNATURE "d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435"

TEST(aws_chunked, documented_examples)
{
	static const size_t pieces[] = {1, 7, 64, 1000, 65536, 100000};
	struct hmac_key key;
	struct arena a;

	arena_init(&a, SIZE_MAX);
	for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
		struct chunked_options options = documented(&key, false);
		str text = example(&a, plain, STR("\r\nbehind"));
		struct outcome o = run(&a, &options, text, pieces[i], 1 + i * 1111);

		EXPECT_INT(o.rc, 0);
		EXPECT_INT(o.n, 66560);
		EXPECT_STR(o.rest, STR("behind"));
		options = documented(&key, true);
		text = example(&a, trailed, STR(TRAILER TRAILER_SIGNATURE "\r\n\r\n"));
		o = run(&a, &options, text, pieces[i], ROOM);
		EXPECT_INT(o.rc, 0);
		EXPECT_INT(o.n, 66560);
		EXPECT_STR(o.trailer, STR("sOO8/Q=="));
	}
	arena_done(&a);
}

/* Every byte that is changed is noticed. */
TEST(aws_chunked, every_byte_is_signed)
{
	struct hmac_key key;
	struct chunked_options options = documented(&key, true);
	struct arena a;
	str text;

	arena_init(&a, SIZE_MAX);
	text = example(&a, trailed, STR(TRAILER TRAILER_SIGNATURE "\r\n\r\n"));
	for (size_t at = 0; at<text.n; at = at> 100 && at < text.n - 1700 ? at + 4099 : at + 1) {
		char *changed = arena_c(&a, text);

		changed[at] ^= 1;
		EXPECT(run(&a, &options, str_of(changed, text.n), 5000, ROOM).rc < 0);
		EXPECT_INT(run(&a, &options, str_sub(text, 0, at), 5000, ROOM).rc, ERR_EOF);
		if (at % 100 == 0)
			arena_done(&a), arena_init(&a, SIZE_MAX),
				text = example(
					&a, trailed, STR(TRAILER TRAILER_SIGNATURE "\r\n\r\n"));
	}
	arena_done(&a);
}

TEST(aws_chunked, unsigned_forms)
{
	static const struct {
		const char *text;
		int rc;
		size_t n;
	} cases[] = {
		{"3\r\nabc\r\n0\r\n\r\n", 0, 3},
		{"3\r\nabc\r\nA\r\n0123456789\r\n000\r\n\r\n", 0, 13},
		{"0\r\n\r\n", 0, 0},
		{"0\r\nx-amz-checksum-crc32c:sOO8/Q==\n\r\n\r\n", 0, 0},
		{"", ERR_EOF, 0},
		{"3\r\nab", ERR_EOF, 2},
		{"3\r\nabc\r\n", ERR_EOF, 3},
		{"3\r\nabcd\r\n0\r\n\r\n", ERR_SYNTAX, 3},
		{"\r\n", ERR_SYNTAX, 0},
		{"x\r\n", ERR_SYNTAX, 0},
		{"-1\r\n", ERR_SYNTAX, 0},
		{"3 \r\nabc\r\n", ERR_SYNTAX, 0},
		{"3;a=b\r\nabc\r\n", ERR_SYNTAX, 0},
		{"ffffffffffffffff\r\n", ERR_SYNTAX, 0},
		{"0\r\nno colon\r\n\r\n", ERR_SYNTAX, 0},
		{"0\r\n:value\r\n\r\n", ERR_SYNTAX, 0},
	};
	const struct chunked_options options = {.has_trailer = true};
	struct arena a;

	arena_init(&a, SIZE_MAX);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		for (size_t piece = 1; piece < 20; piece += 6) {
			struct outcome o = run(&a, &options, str_c(cases[i].text), piece, 2);

			EXPECT_INT(o.rc, cases[i].rc);
			EXPECT_INT(o.n, cases[i].n);
		}
	arena_done(&a);
}

TEST(aws_chunked, lines_and_trailers_are_bounded)
{
	const struct chunked_options options = {.has_trailer = true};
	struct arena a;
	struct buf text;

	arena_init(&a, SIZE_MAX);
	buf_init(&text, &a, 1 << 20);
	put_as(&text, CHUNKED_LINE_MAX + 1);
	EXPECT_INT(run(&a, &options, buf_str(&text), 100, 100).rc, ERR_SYNTAX);
	buf_reset(&text);
	buf_put(&text, STR("0\r\n"));
	for (unsigned i = 0; i < 100; i++)
		buf_printf(&text, "x-%u:%0100u\r\n", i, i);
	EXPECT_INT(run(&a, &options, buf_str(&text), 100, 100).rc, ERR_SYNTAX);
	arena_done(&a);
}
