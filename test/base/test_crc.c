/*
 * CRC-32C and CRC-64/NVME: the published check values, and that parts make the whole.
 */
#include "base/crc.h"
#include "base/hash.h"
#include "test/test.h"

TEST(crc, check_values)
{
	struct crc_tables t;
	str digits = STR("123456789");

	crc_tables_init(&t);
	EXPECT(crc32c_add(&t, 0, digits) == 0xe3069283u);
	EXPECT(crc64nvme_add(&t, 0, digits) == UINT64_C(0xae8b14860a799888));
	EXPECT(crc32c_add(&t, 0, STR("")) == 0);
	EXPECT(crc64nvme_add(&t, 0, STR("")) == 0);
}

TEST(crc, parts_make_the_whole)
{
	struct crc_tables t;
	char bytes[300];
	str all = str_of(bytes, sizeof bytes);
	uint32_t c = 0, z = 0;
	uint64_t n = 0;

	crc_tables_init(&t);
	for (size_t i = 0; i < sizeof bytes; i++)
		bytes[i] = (char)(i * 7 + i / 13);
	c = crc32c_add(&t, 0, all);
	z = crc32_add(0, all);
	n = crc64nvme_add(&t, 0, all);
	for (size_t at = 0; at <= all.n; at++) {
		str head = str_sub(all, 0, at), tail = str_from(all, at);

		EXPECT(crc32c_add(&t, crc32c_add(&t, 0, head), tail) == c);
		EXPECT(crc64nvme_add(&t, crc64nvme_add(&t, 0, head), tail) == n);
		EXPECT(crc32_join(crc32_add(0, head), crc32_add(0, tail), tail.n) == z);
		EXPECT(crc32c_join(crc32c_add(&t, 0, head), crc32c_add(&t, 0, tail), tail.n) == c);
		EXPECT(crc64nvme_join(crc64nvme_add(&t, 0, head), crc64nvme_add(&t, 0, tail),
			       tail.n) == n);
	}
}
