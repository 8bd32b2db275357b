/*
 * Identifiers, secrets and ARNs.
 *
 * https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html
 */
#include "base/check.h"
#include "rt/rt.h"
#include "services/iam/internal.h"

enum {
	ID_CHARS = 17,
	KEY_BYTES = 10, /* 16 characters of base32 */
	KEY_RANDOM_BYTES = 7,
	KEY_MAC_BYTES = KEY_BYTES - KEY_RANDOM_BYTES,
	KEY_CHARS = 16,
	KEY_PREFIX_CHARS = 4,
	SECRET_BYTES = 30,
	TOKEN_BYTES = 96
};

_Static_assert(KEY_PREFIX_CHARS + KEY_CHARS == IAM_ACCESS_KEY_CHARS, "length of a key's id");

static const char base32[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

str iam_id_new(struct arena *a, str prefix)
{
	char *to = arena_bytes(a, prefix.n + ID_CHARS);
	uint8_t bytes[ID_CHARS];

	memcpy(to, prefix.p, prefix.n);
	rt_random_bytes(bytes, sizeof(bytes));
	for (unsigned i = 0; i < ID_CHARS; i++)
		to[prefix.n + i] = base32[bytes[i] & 31];
	return str_of(to, prefix.n + ID_CHARS);
}

/* The MAC covers the prefix too: a long-lived key's characters do not make a session's. */
static void key_mac(const struct iam *iam, str prefix, const uint8_t *random, uint8_t *ret_mac)
{
	struct sha256 h = iam->id_mac.inner;
	uint8_t mac[SHA256_BYTES];

	sha256_add(&h, prefix);
	sha256_add(&h, str_of(random, KEY_RANDOM_BYTES));
	hmac_finish(&iam->id_mac, &h, mac);
	memcpy(ret_mac, mac, KEY_MAC_BYTES);
}

str iam_access_key_id_new(const struct iam *iam, struct arena *a, str prefix)
{
	char *to = arena_bytes(a, KEY_PREFIX_CHARS + KEY_CHARS);
	uint8_t bytes[KEY_BYTES];

	check(prefix.n == KEY_PREFIX_CHARS);
	rt_random_bytes(bytes, KEY_RANDOM_BYTES);
	key_mac(iam, prefix, bytes, bytes + KEY_RANDOM_BYTES);
	memcpy(to, prefix.p, prefix.n);
	for (unsigned i = 0; i < KEY_CHARS; i++) {
		unsigned bit = i * 5, at = bit / 8;
		unsigned two = (unsigned)bytes[at] << 8 | (at + 1 < KEY_BYTES ? bytes[at + 1] : 0);

		to[KEY_PREFIX_CHARS + i] = base32[two >> (11 - bit % 8) & 31];
	}
	return str_of(to, KEY_PREFIX_CHARS + KEY_CHARS);
}

static int base32_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= '2' && c <= '7')
		return c - '2' + 26;
	return -1;
}

bool iam_access_key_issued(const struct iam *iam, str id)
{
	uint8_t bytes[KEY_BYTES] = {0}, mac[KEY_MAC_BYTES];

	if (id.n != IAM_ACCESS_KEY_CHARS ||
		!(str_starts(id, STR("AKIA")) || str_starts(id, STR("ASIA"))))
		return false;
	for (unsigned i = 0; i < KEY_CHARS; i++) {
		int v = base32_value(id.p[KEY_PREFIX_CHARS + i]);
		unsigned bit = i * 5, at = bit / 8, two;

		if (v < 0)
			return false;
		two = (unsigned)v << (11 - bit % 8);
		bytes[at] |= (uint8_t)(two >> 8);
		if (at + 1 < KEY_BYTES)
			bytes[at + 1] |= (uint8_t)two;
	}
	key_mac(iam, str_sub(id, 0, KEY_PREFIX_CHARS), bytes, mac);
	return memcmp(mac, bytes + KEY_RANDOM_BYTES, KEY_MAC_BYTES) == 0;
}

str iam_secret_new(struct arena *a)
{
	uint8_t bytes[SECRET_BYTES];
	char *to = arena_bytes(a, base64_text_bytes(SECRET_BYTES));
	size_t n;

	rt_random_bytes(bytes, sizeof(bytes));
	n = base64_encode(str_of(bytes, sizeof(bytes)), to);
	return str_of(to, n);
}

str iam_token_new(struct arena *a)
{
	uint8_t bytes[TOKEN_BYTES];
	char *to = arena_bytes(a, base64_text_bytes(TOKEN_BYTES));
	size_t n;

	rt_random_bytes(bytes, sizeof(bytes));
	n = base64_encode(str_of(bytes, sizeof(bytes)), to);
	return str_of(to, n);
}

str iam_arn(struct arena *a, str account, enum iam_kind kind, str path, str name)
{
	if (kind == IAM_ROOT)
		return ARENA_CONCAT(a, STR("arn:aws:iam::"), account, STR(":root"));
	return ARENA_CONCAT(
		a, STR("arn:aws:iam::"), account, STR(":"), iam_kind_word(kind), path, name);
}

bool iam_arn_split(str arn, enum iam_kind kind, str *ret_account, str *ret_path, str *ret_name)
{
	str word = iam_kind_word(kind), rest, account;
	ptrdiff_t at;

	if (!str_starts(arn, STR("arn:aws:iam::")))
		return false;
	rest = str_from(arn, STR("arn:aws:iam::").n);
	at = str_find(rest, ':');
	if (at < 0)
		return false;
	account = str_sub(rest, 0, (size_t)at);
	rest = str_from(rest, (size_t)at + 1);
	if (!str_starts(rest, word))
		return false;
	rest = str_from(rest, word.n);
	at = str_find_last(rest, '/');
	if (at < 0 || rest.p[0] != '/' || (size_t)at + 1 == rest.n)
		return false;
	*ret_account = account;
	*ret_path = str_sub(rest, 0, (size_t)at + 1);
	*ret_name = str_from(rest, (size_t)at + 1);
	return true;
}
