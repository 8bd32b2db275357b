/*
 * Digests (vectors of FIPS 180-4, RFC 1321, RFC 4231), CRC32, hexadecimal, base64 (RFC 4648),
 * random.
 */
#include "base/hash.h"

#include "base/random.h"
#include "base/rc.h"
#include "test/test.h"

#define EXPECT_DIGEST(bytes, text)                                      \
	do {                                                            \
		char hex_[HASH_HEX_MAX];                                \
		hex_encode((bytes), sizeof(bytes), hex_);               \
		EXPECT_STR(str_of(hex_, 2 * sizeof(bytes)), STR(text)); \
	} while (0)

TEST(hash, digests)
{
	uint8_t sha[SHA256_BYTES], sha1[SHA1_BYTES], md5[MD5_BYTES];
	struct sha256 h, fork;

	sha256_of(STR(""), sha);
	EXPECT_DIGEST(sha, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	sha256_of(STR("abc"), sha);
	EXPECT_DIGEST(sha, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	sha256_init(&h);
	sha256_add(&h, STR("a"));
	fork = h;
	sha256_add(&h, STR("zzz"));
	sha256_add(&fork, STR_NULL);
	sha256_add(&fork, STR("bc"));
	sha256_finish(&fork, sha);
	EXPECT_DIGEST(sha, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	sha1_of(STR("abc"), sha1);
	EXPECT_DIGEST(sha1, "a9993e364706816aba3e25717850c26c9cd0d89d");
	md5_of(STR("message digest"), md5);
	EXPECT_DIGEST(md5, "f96b697d7cb7938d525a2f31aaf161d0");
}

TEST(hash, hmac)
{
	uint8_t mac[SHA256_BYTES];
	struct hmac_key k;
	struct sha256 h;
	char key[131];

	hmac_sha256_of(STR("Jefe"), STR("what do ya want for nothing?"), mac);
	EXPECT_DIGEST(mac, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
	memset(key, 0xaa, sizeof key);
	hmac_key_init(&k, str_of(key, sizeof key));
	for (int i = 0; i < 2; i++) { /* a key is not used up */
		hmac_sha256(&k, STR("Test Using Larger Than Block-Size Key - Hash Key First"), mac);
		EXPECT_DIGEST(
			mac, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
	}
	h = k.inner;
	sha256_add(&h, STR("Test Using Larger Than Block-Size Key"));
	sha256_add(&h, STR(" - Hash Key First"));
	hmac_finish(&k, &h, mac);
	EXPECT_DIGEST(mac, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

TEST(hash, crc32)
{
	EXPECT_INT(crc32_add(0, STR("123456789")), 0xcbf43926);
	EXPECT_INT(crc32_add(crc32_add(0, STR("1234")), STR("56789")), 0xcbf43926);
	EXPECT_INT(crc32_add(0, STR_NULL), 0);
}

TEST(hash, hex)
{
	uint8_t bytes[3];

	EXPECT_INT(hex_decode(STR("00aBfF"), bytes), 0);
	EXPECT_DIGEST(bytes, "00abff");
	EXPECT_INT(hex_decode(STR("0"), bytes), ERR_SYNTAX);
	EXPECT_INT(hex_decode(STR("0g"), bytes), ERR_SYNTAX);
	EXPECT_INT(hex_decode(STR(" 0"), bytes), ERR_SYNTAX);
}

TEST(base64, rfc4648)
{
	static const struct {
		str bytes, text;
	} cases[] = {{STR_INIT(""), STR_INIT("")}, {STR_INIT("f"), STR_INIT("Zg==")},
		{STR_INIT("fo"), STR_INIT("Zm8=")}, {STR_INIT("foo"), STR_INIT("Zm9v")},
		{STR_INIT("foob"), STR_INIT("Zm9vYg==")}, {STR_INIT("fooba"), STR_INIT("Zm9vYmE=")},
		{STR_INIT("foobar"), STR_INIT("Zm9vYmFy")},
		{STR_INIT("\xfb\xff\xbf"), STR_INIT("+/+/")}, {STR_INIT("\0\0"), STR_INIT("AAA=")}};
	uint8_t bytes[16];
	char text[16];
	size_t n;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		n = base64_encode(cases[i].bytes, text);
		EXPECT_STR(str_of(text, n), cases[i].text);
		EXPECT_INT(n, base64_text_bytes(cases[i].bytes.n));
		ASSERT_INT(base64_decode(cases[i].text, bytes, &n), 0);
		EXPECT_STR(str_of(bytes, n), cases[i].bytes);
	}
}

TEST(base64, strict)
{
	static const char *const bad[] = {"A", "AA", "AAA", "Zg=", "Zg", "=",
		"====", "Z===", "Zg==Zg==", "Zh==", "Zm9=", "Zg= =", "Zm9v\n", " Zm9v", "Zm-v",
		"Zm_v", "Zm9v====", "Z=g=", "Zg=A"};
	static const char *const bad_url[] = {"A", "Zg==", "Zh", "Zm9", "Zm+v", "Zm/v", "AAAAA"};
	uint8_t bytes[16];
	size_t n;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (base64_decode(str_c(bad[i]), bytes, &n) != ERR_SYNTAX)
			test_fail(__FILE__, __LINE__, "accepted %s", bad[i]);
	for (size_t i = 0; i < ARRAY_SIZE(bad_url); i++)
		if (base64url_decode(str_c(bad_url[i]), bytes, &n) != ERR_SYNTAX)
			test_fail(__FILE__, __LINE__, "accepted %s", bad_url[i]);
	ASSERT_INT(base64url_decode(STR("-_-_Zg"), bytes, &n), 0);
	EXPECT_STR(str_of(bytes, n), STR("\xfb\xff\xbf"
					 "f"));
}

TEST(base64, buffers)
{
	struct arena a;
	struct buf out;

	arena_init(&a, 1 << 20);
	buf_init(&out, &a, 100);
	base64_put(&out, STR("\xfb\xff\xbf\xff"));
	base64url_put(&out, STR("\xfb\xff\xbf\xff"));
	EXPECT_STR(buf_str(&out), STR("+/+//w==-_-__w"));
	arena_done(&a);
}

TEST(random, generator)
{
	struct random r, same;
	unsigned seen[7] = {0};
	uint8_t a[33] = {0}, b[33] = {0};

	random_seed(&r, 42);
	random_seed(&same, 42);
	for (int i = 0; i < 7000; i++)
		seen[random_below(&r, 7)]++;
	for (int i = 0; i < 7; i++)
		EXPECT(seen[i] > 850 && seen[i] < 1150);
	for (int i = 0; i < 7000; i++)
		(void)random_u64(&same);
	random_fill(&r, a, sizeof a);
	random_fill(&same, b, sizeof b);
	EXPECT(memcmp(a, b, sizeof a) == 0);
	EXPECT_INT(random_below(&r, 1), 0);
}

/* The reference implementation's output for the state 1, 2, 3, 4. */
TEST(random, reference)
{
	struct random r = {{1, 2, 3, 4}};

	EXPECT(random_u64(&r) == 41943041u);
	EXPECT(random_u64(&r) == 58720359u);
	EXPECT(random_u64(&r) == 3588806011781223u);
}

TEST(random, secure_and_uuid)
{
	uint8_t a[300] = {0}, b[300] = {0};
	uint8_t zero[16] = {0}, all[16];
	char text[UUID_TEXT_BYTES];

	random_bytes(a, sizeof a);
	random_bytes(b, sizeof b);
	EXPECT(memcmp(a + 256, b + 256, 44) != 0);
	memset(all, 0xff, sizeof all);
	uuid_v4_text(zero, text);
	EXPECT_STR(str_of(text, 36), STR("00000000-0000-4000-8000-000000000000"));
	uuid_v4_text(all, text);
	EXPECT_STR(str_of(text, 36), STR("ffffffff-ffff-4fff-bfff-ffffffffffff"));
}

/* Every byte value, at every place of the four that are encoded at once. */
TEST(hash, hexadecimal_of_all_bytes)
{
	static const char digits[] = "0123456789abcdef";
	uint8_t bytes[260];
	char text[2 * sizeof(bytes)];

	for (unsigned from = 0; from < 4; from++) {
		for (unsigned i = 0; i < sizeof(bytes); i++)
			bytes[i] = (uint8_t)(i + from);
		hex_encode(bytes, sizeof(bytes) - from, text);
		for (unsigned i = 0; i < sizeof(bytes) - from; i++) {
			EXPECT_INT(text[2 * i], digits[bytes[i] >> 4]);
			EXPECT_INT(text[2 * i + 1], digits[bytes[i] & 15]);
		}
	}
}
