/*
 * restXml: bodies by table, answers, and paths whose slashes count.
 */
#include "aws/codec.h"
#include "aws/validate.h"
#include "base/rc.h"
#include "test/test_table.h"

static str stored(struct arena *a, const struct value *v)
{
	struct buf out;

	buf_init(&out, a, 1 << 20);
	codec_json_store(&out, v);
	return buf_str(&out);
}

TEST(aws_codec_xml, table)
{
	struct test_table t;

	for (test_table_open(&t, "test/aws/xml.txt"); test_table_next(&t);) {
		struct arena a;
		struct value *v;
		str message, result;

		arena_init(&a, SIZE_MAX);
		v = value_new(&a, model_named(STR("s3")), arena_c(&a, t.field[0]));
		if (codec_xml_read(v, t.field[1], t.field[2], &message) < 0 ||
			validate(v, &message) < 0)
			result = message;
		else
			result = stored(&a, v);
		TABLE_EXPECT_STR(&t, result, t.field[3]);
		arena_done(&a);
	}
	test_table_close(&t, 17);
}

static str answer(struct arena *a, const struct value *v, struct rest_answer *ret)
{
	struct buf out;

	buf_init(&out, a, 1 << 20);
	codec_rest_write(&out, a, v, ret);
	return buf_str(&out);
}

#define XMLNS "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\""

TEST(aws_codec_xml, answers)
{
	const struct model *m = model_named(STR("s3"));
	struct rest_answer head;
	struct value *v, *list, *entry;
	struct arena a;

	arena_init(&a, SIZE_MAX);
	v = value_new(&a, m, "ListObjectsV2Output");
	value_put_str(v, "Name", STR("b"));
	value_put_bool(v, "IsTruncated", false);
	list = value_put_list(v, "Contents");
	for (int i = 0; i < 2; i++) {
		entry = value_add_struct(list);
		value_put_str(entry, "Key", i ? STR("<&>\r") : STR("a"));
		value_put_time_ms(entry, "LastModified", 1440938160000);
	}
	EXPECT_STR(answer(&a, v, &head),
		STR("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult " XMLNS
		    "><IsTruncated>false</IsTruncated><Contents><Key>a</"
		    "Key><LastModified>2015-08-30T12:"
		    "36:00.000Z</LastModified></Contents><Contents><Key>&lt;&amp;&gt;&#xD;</Key>"
		    "<LastModified>2015-08-30T12:36:00.000Z</LastModified></Contents><Name>b</Name>"
		    "</ListBucketResult>"));
	EXPECT_STR(head.content_type, STR("application/xml"));
	v = value_new(&a, m, "ListBucketsOutput");
	entry = value_add_struct(value_put_list(v, "Buckets"));
	value_put_str(entry, "Name", STR("b"));
	EXPECT_STR(answer(&a, v, &head),
		STR("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListAllMyBucketsResult " XMLNS
		    "><Buckets><Bucket><Name>b</Name></Bucket></Buckets></"
		    "ListAllMyBucketsResult>"));
	v = value_new(&a, m, "CopyObjectOutput");
	value_put_str(value_put_struct(v, "CopyObjectResult"), "ETag", STR("\"e\""));
	value_put_str(v, "VersionId", STR("1"));
	EXPECT_STR(answer(&a, v, &head),
		STR("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<CopyObjectResult " XMLNS
		    "><ETag>&quot;e&quot;</ETag></CopyObjectResult>"));
	EXPECT_INT(head.header_count, 1);
	v = value_new(&a, m, "GetBucketLocationOutput");
	EXPECT_STR(answer(&a, v, &head),
		STR("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<LocationConstraint " XMLNS
		    "></LocationConstraint>"));
	value_put_str(v, "LocationConstraint", STR("eu-west-1"));
	EXPECT_STR(answer(&a, v, &head),
		STR("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<LocationConstraint " XMLNS
		    ">eu-west-1</LocationConstraint>"));
	v = value_new(&a, m, "PutObjectOutput");
	value_put_str(v, "ETag", STR("\"e\""));
	EXPECT_STR(answer(&a, v, &head), STR(""));
	EXPECT_INT(head.content_type.n, 0);
	arena_done(&a);
}

TEST(aws_codec_xml, slashes_belong_to_keys)
{
	struct rest_labels labels;

	ASSERT(rest_match_exact(STR("/{Bucket}/{Key+}?uploads"), STR("/b/dir//x/"), &labels));
	EXPECT_STR(labels.raw[1], STR("dir//x/"));
	ASSERT(rest_match_exact(STR("/{Bucket}/{Key+}"), STR("/b//"), &labels));
	EXPECT_STR(labels.raw[1], STR("/"));
	EXPECT(!rest_match_exact(STR("/{Bucket}/{Key+}"), STR("/b/"), &labels));
	EXPECT(rest_match(STR("/{Bucket}"), STR("/b/"), &labels));
	EXPECT(!rest_match_exact(STR("/{Bucket}"), STR("/b/"), &labels));
}
