/*
 * Names, conditions, ranges, common prefixes, and records by themselves.
 */
#include "services/s3/checksum.h"
#include "services/s3/condition.h"
#include "services/s3/list.h"
#include "test/test.h"

TEST(s3_pure, bucket_names)
{
	static const char *const good[] = {
		"abc", "a-b", "a.b", "123", "my-example-bucket", "a.b-c.d", "1.2.3.four"};
	static const char *const bad[] = {"", "ab", "-ab", "ab-", ".ab", "ab.", "a..b", "aB1",
		"a_b", "a b", "a/b", "192.168.5.4", "xn--abc", "sthree-abc", "amzn-s3-demo-abc",
		"abc-s3alias", "abc--ol-s3", "abc.mrap", "abc--x-s3", "abc--table-s3"};

	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		EXPECT(s3_bucket_name_valid(str_c(good[i])));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		EXPECT(!s3_bucket_name_valid(str_c(bad[i])));
	EXPECT(!s3_bucket_name_valid(STR("a\0b")));
}

TEST(s3_pure, ranges)
{
	static const struct {
		const char *range;
		uint64_t bytes;
		enum s3_range_kind kind;
		uint64_t from, n;
	} cases[] = {
		{"bytes=0-9", 100, S3_RANGE_PART, 0, 10},
		{"bytes=99-99", 100, S3_RANGE_PART, 99, 1},
		{"bytes=99-1000", 100, S3_RANGE_PART, 99, 1},
		{"bytes=50-", 100, S3_RANGE_PART, 50, 50},
		{"bytes=-1", 100, S3_RANGE_PART, 99, 1},
		{"bytes=-1000", 100, S3_RANGE_PART, 0, 100},
		{"bytes=0-99999999999999999999", 100, S3_RANGE_PART, 0, 100},
		{"bytes=100-", 100, S3_RANGE_OUTSIDE, 0, 0},
		{"bytes=99999999999999999999-", 100, S3_RANGE_OUTSIDE, 0, 0},
		{"bytes=-0", 100, S3_RANGE_OUTSIDE, 0, 0},
		{"bytes=0-", 0, S3_RANGE_OUTSIDE, 0, 0},
		{"bytes=-5", 0, S3_RANGE_OUTSIDE, 0, 0},
		{"bytes=9-1", 100, S3_RANGE_ALL, 0, 0},
		{"bytes=-", 100, S3_RANGE_ALL, 0, 0},
		{"bytes=a-b", 100, S3_RANGE_ALL, 0, 0},
		{"bytes=0-1,3-4", 100, S3_RANGE_ALL, 0, 0},
		{"items=0-1", 100, S3_RANGE_ALL, 0, 0},
		{"bytes", 100, S3_RANGE_ALL, 0, 0},
		{"", 100, S3_RANGE_ALL, 0, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t from = 0, n = 0;

		EXPECT_INT(s3_range_parse(str_c(cases[i].range), cases[i].bytes, &from, &n),
			cases[i].kind);
		EXPECT_INT(from, cases[i].from);
		EXPECT_INT(n, cases[i].n);
	}
}

TEST(s3_pure, conditions)
{
	struct s3_conditions k = {.if_match = STR("\"a\", \"b\"")};
	str etag = STR("b");

	EXPECT_INT(s3_conditions_check(&k, etag, 5000), S3_GO_ON);
	EXPECT_INT(s3_conditions_check(&k, STR("c"), 5000), S3_FAILED);
	/* a matching If-Match makes If-Unmodified-Since count for nothing */
	k.has_unmodified_since = true;
	k.unmodified_since_ms = 4000;
	EXPECT_INT(s3_conditions_check(&k, etag, 5000), S3_GO_ON);
	k.if_match = STR_NULL;
	EXPECT_INT(s3_conditions_check(&k, etag, 5000), S3_FAILED);
	EXPECT_INT(s3_conditions_check(&k, etag, 4999), S3_GO_ON); /* the same second */
	k = (struct s3_conditions){.has_modified_since = true, .modified_since_ms = 5000};
	EXPECT_INT(s3_conditions_check(&k, etag, 5999), S3_NOT_MODIFIED);
	EXPECT_INT(s3_conditions_check(&k, etag, 6000), S3_GO_ON);
	/* If-None-Match that does not match makes If-Modified-Since count for nothing */
	k.if_none_match = STR("\"x\"");
	EXPECT_INT(s3_conditions_check(&k, etag, 5000), S3_GO_ON);
	k.if_none_match = STR("*");
	EXPECT_INT(s3_conditions_check(&k, etag, 6000), S3_NOT_MODIFIED);
	EXPECT(s3_etag_matches(STR("b"), etag));
	EXPECT(s3_etag_matches(STR("W/\"b\""), etag));
	EXPECT(!s3_etag_matches(STR("\"b"), etag));
	EXPECT(!s3_etag_matches(STR(""), etag));
}

TEST(s3_pure, common_prefixes)
{
	EXPECT_STR(s3_common_prefix(STR("a/b/c"), STR(""), STR("/")), STR("a/"));
	EXPECT_STR(s3_common_prefix(STR("a/b/c"), STR("a/"), STR("/")), STR("a/b/"));
	EXPECT_STR(s3_common_prefix(STR("a/b/c"), STR("a"), STR("/")), STR("a/"));
	EXPECT(!s3_common_prefix(STR("a/b/c"), STR("a/b/"), STR("/")).p);
	EXPECT(!s3_common_prefix(STR("abc"), STR(""), STR("/")).p);
	EXPECT(!s3_common_prefix(STR("a/b"), STR(""), STR("")).p);
	EXPECT_STR(s3_common_prefix(STR("xx--y--z"), STR("x"), STR("--")), STR("xx--"));
}

static struct s3_object example(struct s3_pair *pair, struct s3_segment *segment)
{
	*pair = (struct s3_pair){STR("name"), STR("")};
	*segment = (struct s3_segment){.bytes = 1234567, .in_store = true};
	memset(segment->id.bytes, 7, BLOB_ID_BYTES);
	return (struct s3_object){.time = 99,
		.modified_ms = 1440938160123,
		.bytes = 1234567,
		.etag = STR("abc-2"),
		.headers = {.content_type = STR("x/y"),
			.cache_control = STR(""),
			.metadata = pair,
			.metadata_count = 1},
		.checksum = {S3_SUM_CRC32C, S3_SUM_COMPOSITE, STR("AAAAAA==-2")},
		.parts = 2,
		.segments = segment,
		.segment_count = 1};
}

TEST(s3_pure, records_survive)
{
	struct s3_segment segment;
	struct s3_object o, back;
	struct s3_pair pair;
	struct arena a;
	str bytes;

	arena_init(&a, 1 << 20);
	o = example(&pair, &segment);
	bytes = s3_object_encode(&a, &o);
	ASSERT_INT(s3_object_decode(&a, bytes, &back), 0);
	EXPECT_STR(s3_object_encode(&a, &back), bytes);
	EXPECT_INT(back.modified_ms, o.modified_ms);
	EXPECT_STR(back.etag, o.etag);
	EXPECT(back.headers.cache_control.p && !back.headers.expires.p);
	EXPECT_STR(back.checksum.value, o.checksum.value);
	EXPECT(memcmp(back.segments[0].id.bytes, segment.id.bytes, BLOB_ID_BYTES) == 0);
	/* Damaged bytes are an error and never more. */
	for (size_t n = 0; n < bytes.n; n++)
		EXPECT(s3_object_decode(&a, str_sub(bytes, 0, n), &back) < 0);
	for (size_t at = 0; at < bytes.n; at++) {
		char *changed = arena_c(&a, bytes);

		changed[at] ^= 0x80;
		(void)!s3_object_decode(&a, str_of(changed, bytes.n), &back);
	}
	EXPECT_INT(s3_object_decode(&a, ARENA_CONCAT(&a, bytes, STR("x")), &back), ERR_CORRUPT);
	arena_done(&a);
}

/* The checksum of parts joined is that of the whole, where the type says so. */
TEST(s3_pure, joined_checksums)
{
	static const enum s3_algorithm full[] = {S3_SUM_CRC32, S3_SUM_CRC32C, S3_SUM_CRC64NVME};
	struct crc_tables tables;
	uint8_t md5[MD5_BYTES], sum[S3_SUM_BYTES_MAX];
	struct s3_hasher h;
	struct s3_joiner j;
	struct arena a;
	struct buf text;
	str parts[] = {STR("hello "), STR(""), STR("world"), STR("!")};

	arena_init(&a, 1 << 20);
	crc_tables_init(&tables);
	for (size_t i = 0; i < ARRAY_SIZE(full); i++) {
		s3_joiner_init(&j, &tables, full[i], S3_SUM_FULL);
		for (size_t k = 0; k < ARRAY_SIZE(parts); k++) {
			s3_hasher_init(&h, &tables, full[i]);
			s3_hasher_add(&h, parts[k]);
			s3_hasher_finish(&h, md5, sum);
			buf_init(&text, &a, 100);
			base64_put(&text, str_of(sum, s3_algorithms[full[i]].bytes));
			EXPECT_INT(s3_joiner_add(&j, buf_str(&text), parts[k].n), 0);
		}
		s3_hasher_init(&h, &tables, full[i]);
		s3_hasher_add(&h, STR("hello world!"));
		s3_hasher_finish(&h, md5, sum);
		buf_init(&text, &a, 100);
		base64_put(&text, str_of(sum, s3_algorithms[full[i]].bytes));
		EXPECT_STR(s3_joiner_finish(&j, &a), buf_str(&text));
	}
	s3_joiner_init(&j, &tables, S3_SUM_SHA256, S3_SUM_COMPOSITE);
	EXPECT_INT(s3_joiner_add(&j, STR("AAAA"), 1), ERR_CORRUPT);
	arena_done(&a);
}
