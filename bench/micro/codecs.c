/*
 * Nanoseconds of CPU per call of the codecs of base/, one thread: `make micro`. Each row is the
 * best of five runs, since the machine is shared.
 */
#include "base/decimal.h"
#include "base/hash.h"
#include "base/json.h"

#include <stdio.h>
#include <time.h>

static const char request[] =
	"{\"TableName\":\"orders\",\"Key\":{\"customer\":{\"S\":\"c-000123456\"},"
	"\"order\":{\"N\":\"1700000000123\"}},\"ConsistentRead\":true}";
/* 1 KB: eight attributes. */
static const char item[] =
	"{\"TableName\":\"orders\",\"Item\":{\"customer\":{\"S\":\"c-000123456\"},\"order\":{\"N\":"
	"\"1700000000123\"},\"state\":{\"S\":\"open\"},\"total\":{\"N\":\"129.95\"},\"paid\":{"
	"\"BOOL\":"
	"true},\"lines\":{\"L\":[{\"M\":{\"sku\":{\"S\":\"A-1\"},\"n\":{\"N\":\"2\"}}},{\"M\":{"
	"\"sku\":"
	"{\"S\":\"B-22\"},\"n\":{\"N\":\"1\"}}}]},\"tags\":{\"SS\":[\"a\",\"b\",\"c\"]},\"note\":{"
	"\"S\":"
	"\"Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor "
	"incididunt "
	"ut labore et dolore magna aliqua. Ut enim ad minim veniam, quis nostrud exercitation "
	"ullamco "
	"laboris nisi ut aliquip ex ea commodo consequat. Duis aute irure dolor in reprehenderit "
	"in "
	"voluptate velit esse cillum dolore eu fugiat nulla pariatur. Excepteur sint occaecat "
	"cupidatat "
	"non proident, sunt in culpa qui officia deserunt mollit anim id est laborum. Lorem ipsum "
	"dolor "
	"sit amet, consectetur adipiscing elit, sed do eiusmod tempor incididunt ut labore et "
	"dolore.\"}}}";

static struct decimal sample[2];
static unsigned long sink;

static void json_skip_request(void)
{
	struct json_reader r;

	json_reader_init(&r, str_of(request, sizeof request - 1), NULL, 20);
	sink += (unsigned long)json_skip(&r);
}

static void json_skip_item(void)
{
	struct json_reader r;

	json_reader_init(&r, str_of(item, sizeof item - 1), NULL, 20);
	sink += (unsigned long)json_skip(&r);
}

static int pull(struct json_reader *r)
{
	str key, type, text;

	TRY(json_object_begin(r));
	while (TRY(json_object_next(r, &key))) {
		if (!str_eq(key, STR("Key"))) {
			TRY(json_skip(r));
			continue;
		}
		TRY(json_object_begin(r));
		while (TRY(json_object_next(r, &key))) {
			TRY(json_object_begin(r));
			while (TRY(json_object_next(r, &type))) {
				TRY(json_string(r, &text));
				sink += text.n;
			}
		}
	}
	return json_end(r);
}

static void json_pull_request(void)
{
	struct json_reader r;

	json_reader_init(&r, str_of(request, sizeof request - 1), NULL, 20);
	sink += (unsigned long)pull(&r);
}

static void json_tree_item(void)
{
	struct json_value *v;
	struct arena a;

	arena_init(&a, 1 << 20);
	sink += (unsigned long)json_parse(&a, str_of(item, sizeof item - 1), 20, &v, NULL);
	arena_done(&a);
}

static void json_quote(void)
{
	char room[1200];
	struct buf out = {.p = room, .capacity = sizeof room, .max = sizeof room};

	json_put_quoted(&out, str_of(item + 400, 64));
	sink += out.n;
}

static void decimal_parse_13(void)
{
	struct decimal d;

	sink += (unsigned long)decimal_parse(STR("1700000000123"), &d, NULL) + d.digits;
}

static void decimal_parse_38(void)
{
	struct decimal d;

	sink += (unsigned long)decimal_parse(
			STR("-1234567890.1234567890123456789012345678"), &d, NULL) +
		d.digits;
}

static void decimal_encode_decode(void)
{
	uint8_t bytes[DECIMAL_ENCODED_MAX];
	str in = str_of(bytes, decimal_encode(&sample[0], bytes));
	struct decimal d;

	sink += (unsigned long)decimal_decode(&in, &d) + d.digits;
}

static void decimal_to_text(void)
{
	char text[DECIMAL_TEXT_MAX];

	sink += decimal_text(&sample[0], text);
}

static void decimal_sum(void)
{
	struct decimal d;

	sink += (unsigned long)decimal_add(&sample[0], &sample[1], &d, NULL);
}

static struct hmac_key key;

static void hmac_60(void)
{
	uint8_t mac[SHA256_BYTES];

	hmac_sha256(&key, str_of(item, 60), mac);
	sink += mac[0];
}

static void sha256_1k(void)
{
	uint8_t digest[SHA256_BYTES];

	sha256_of(str_of(item, sizeof item - 1), digest);
	sink += digest[0];
}

static void crc32_1k(void)
{
	sink += crc32_add(0, str_of(item, sizeof item - 1));
}

static void base64_1k(void)
{
	char text[2048];

	sink += base64_encode(str_of(item, sizeof item - 1), text);
}

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void row(const char *name, void (*run)(void))
{
	enum { CALLS = 200000 };
	int64_t best = INT64_MAX;

	for (int i = 0; i < 5; i++) {
		int64_t begin = now_ns();

		for (int n = 0; n < CALLS; n++)
			run();
		best = MIN(best, now_ns() - begin);
	}
	printf("%-28s %8.1f ns\n", name, (double)best / CALLS);
}

int main(void)
{
	if (decimal_parse(STR("1700000000123"), &sample[0], NULL) < 0 ||
		decimal_parse(STR("0.05"), &sample[1], NULL) < 0)
		return 1;
	hmac_key_init(&key, STR("AWS4secret"));
	printf("GetItem request %zu B, PutItem request %zu B\n", sizeof request - 1,
		sizeof item - 1);
#define ROW(name) row(#name, name)
	ROW(json_skip_request);
	ROW(json_pull_request);
	ROW(json_skip_item);
	ROW(json_tree_item);
	ROW(json_quote);
	ROW(decimal_parse_13);
	ROW(decimal_parse_38);
	ROW(decimal_encode_decode);
	ROW(decimal_to_text);
	ROW(decimal_sum);
	ROW(hmac_60);
	ROW(sha256_1k);
	ROW(crc32_1k);
	ROW(base64_1k);
	return sink == 42;
}
