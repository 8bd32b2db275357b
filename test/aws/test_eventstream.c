/*
 * Messages of event streams against examples whose bytes are known. Decoding by real clients is
 * tested end to end.
 */
#include "aws/eventstream.h"
#include "base/hash.h"
#include "test/test.h"

static str hex_of(struct arena *a, str bytes)
{
	char *text = arena_bytes(a, 2 * bytes.n);

	hex_encode((const uint8_t *)bytes.p, bytes.n, text);
	return str_of(text, 2 * bytes.n);
}

/* The two smallest messages: the specification's own checksums. */
TEST(eventstream, known_bytes)
{
	struct eventstream_header type = {STR("content-type"), STR("application/json")};
	struct arena a cleanup(arena_done_p) = {0};
	struct buf b;

	arena_init(&a, SIZE_MAX);
	buf_init(&b, &a, 4096);
	eventstream_put(&b, NULL, 0, STR(""));
	EXPECT_STR(hex_of(&a, buf_str(&b)), STR("000000100000000005c248eb7d98c8ff"));
	buf_reset(&b);
	eventstream_put(&b, NULL, 0, STR("{'foo':'bar'}"));
	EXPECT_STR(hex_of(&a, buf_str(&b)),
		STR("0000001d00000000fd528c5a7b27666f6f273a27626172277dc3653936"));
	buf_reset(&b);
	eventstream_put(&b, &type, 1, STR("{'foo':'bar'}"));
	EXPECT_STR(hex_of(&a, buf_str(&b)), STR("0000003d0000002007fd83960c636f6e74656e742d74797065"
						"0700106170706c69636174696f6e2f"
						"6a736f6e7b27666f6f273a27626172277d8d9c08b1"));
}

/* What does not fit is marked, and what was there before stays. */
TEST(eventstream, too_large)
{
	struct arena a cleanup(arena_done_p) = {0};
	struct buf b;

	arena_init(&a, SIZE_MAX);
	buf_init(&b, &a, 120);
	eventstream_put_event(&b, STR("E"), STR("text/plain"), STR("abc"));
	EXPECT(!b.over);
	EXPECT_INT(b.n, 16 + (4 + 11 + 1) + (4 + 13 + 10) + (4 + 13 + 5) + 3);
	eventstream_put_event(&b, STR("E"), STR("text/plain"), STR("abc"));
	EXPECT(b.over);
}
