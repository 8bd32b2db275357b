/*
 * Names and what is made of them (service.h). Pure.
 */
#include "base/hash.h"
#include "services/s3/service.h"

static bool is_label_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* Four numbers with dots, whatever their size. */
static bool looks_like_address(str name)
{
	unsigned dots = 0;

	for (size_t i = 0; i < name.n; i++) {
		if (name.p[i] == '.')
			dots++;
		else if (name.p[i] < '0' || name.p[i] > '9')
			return false;
	}
	return dots == 3;
}

bool s3_bucket_name_valid(str name)
{
	static const str prefixes[] = {
		STR_INIT("xn--"), STR_INIT("sthree-"), STR_INIT("amzn-s3-demo-")};
	static const str suffixes[] = {STR_INIT("-s3alias"), STR_INIT("--ol-s3"), STR_INIT(".mrap"),
		STR_INIT("--x-s3"), STR_INIT("--table-s3")};

	if (name.n < 3 || name.n > 63 || !is_label_char(name.p[0]) ||
		!is_label_char(name.p[name.n - 1]) || looks_like_address(name))
		return false;
	for (size_t i = 0; i < name.n; i++) {
		if (!is_label_char(name.p[i]) && name.p[i] != '-' && name.p[i] != '.')
			return false;
		if (name.p[i] == '.' && name.p[i - 1] == '.')
			return false;
	}
	for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++)
		if (str_starts(name, prefixes[i]))
			return false;
	for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++)
		if (str_ends(name, suffixes[i]))
			return false;
	return true;
}

str s3_owner_id(struct arena *a, str account)
{
	uint8_t digest[SHA256_BYTES];
	char *hex = arena_bytes(a, 2 * SHA256_BYTES);
	struct sha256 h;

	sha256_init(&h);
	sha256_add(&h, STR("canonical user of "));
	sha256_add(&h, account);
	sha256_finish(&h, digest);
	hex_encode(digest, sizeof digest, hex);
	return str_of(hex, 2 * SHA256_BYTES);
}

str s3_arn(struct arena *a, str bucket, str key)
{
	if (!key.p)
		return ARENA_CONCAT(a, STR("arn:aws:s3:::"), bucket);
	return ARENA_CONCAT(a, STR("arn:aws:s3:::"), bucket, STR("/"), key);
}
