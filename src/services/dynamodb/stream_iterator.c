/*
 * Shard iterators and ARNs of streams.
 */
#include "services/dynamodb/stream_iterator.h"

#include "base/check.h"

enum { VERSION = 1, FLAG_TRIM_HORIZON = 1, MAC_BYTES = 16 };

#define SEPARATOR "|1|"

static void mac_of(const struct hmac_key *key, str arn, str payload, uint8_t ret_mac[SHA256_BYTES])
{
	struct sha256 h = key->inner;

	sha256_add(&h, arn);
	sha256_add(&h, STR(SEPARATOR));
	sha256_add(&h, payload);
	hmac_finish(key, &h, ret_mac);
}

str stream_iterator_encode(
	struct arena *a, const struct hmac_key *key, const struct stream_iterator *it)
{
	uint8_t mac[SHA256_BYTES];
	struct buf payload, text;

	buf_init(&payload, a, ITERATOR_BYTES_MAX);
	buf_put_char(&payload, VERSION);
	buf_put_char(&payload, it->trim_horizon ? FLAG_TRIM_HORIZON : 0);
	buf_put_be64(&payload, (uint64_t)it->issued_ms);
	buf_put_be64(&payload, it->after);
	buf_put_sized(&payload, it->shard);
	mac_of(key, it->arn, buf_str(&payload), mac);
	buf_put(&payload, str_of(mac, MAC_BYTES));
	buf_init(&text, a, ITERATOR_BYTES_MAX);
	buf_put(&text, it->arn);
	buf_put(&text, STR(SEPARATOR));
	base64url_put(&text, buf_str(&payload));
	check(!payload.over && !text.over);
	return buf_str(&text);
}

static int decode_payload(str in, struct stream_iterator *it)
{
	uint8_t version, flags;
	uint64_t issued;

	if (!str_take_u8(&in, &version) || version != VERSION || !str_take_u8(&in, &flags) ||
		(flags & ~FLAG_TRIM_HORIZON) || !str_take_be64(&in, &issued) ||
		issued > INT64_MAX || !str_take_be64(&in, &it->after) ||
		!str_take_sized(&in, &it->shard) || in.n)
		return 0;
	it->trim_horizon = flags & FLAG_TRIM_HORIZON;
	it->issued_ms = (int64_t)issued;
	return 1;
}

str stream_iterator_arn(str text)
{
	ptrdiff_t at = str_find_str(text, STR(SEPARATOR));

	return at < 0 ? STR("") : str_sub(text, 0, (size_t)at);
}

int stream_iterator_decode(
	struct arena *a, const struct hmac_key *key, str text, struct stream_iterator *ret)
{
	uint8_t mac[SHA256_BYTES], *bytes;
	struct stream_iterator it = {.arn = stream_iterator_arn(text)};
	str payload, coded;
	size_t n;

	if (!it.arn.n || text.n > ITERATOR_BYTES_MAX)
		return 0;
	coded = str_from(text, it.arn.n + sizeof SEPARATOR - 1);
	bytes = arena_alloc(a, base64_bytes_max(coded.n));
	if (base64url_decode(coded, bytes, &n) < 0 || n < MAC_BYTES)
		return 0;
	payload = str_of(bytes, n - MAC_BYTES);
	mac_of(key, it.arn, payload, mac);
	if (!str_eq_secret(str_of(mac, MAC_BYTES), str_from(str_of(bytes, n), payload.n)) ||
		!decode_payload(payload, &it))
		return 0;
	*ret = it;
	return 1;
}

int stream_arn_parse(str arn, struct stream_arn_parts *ret)
{
	struct stream_arn_parts p;
	str rest, part;

	if (!str_starts(arn, STR("arn:aws:dynamodb:")))
		return 0;
	rest = str_from(arn, sizeof "arn:aws:dynamodb:" - 1);
	if (!str_split(&rest, ':', &p.region) || !str_split(&rest, ':', &p.account) ||
		!str_starts(rest, STR("table/")))
		return 0;
	rest = str_from(rest, sizeof "table/" - 1);
	if (!str_split(&rest, '/', &p.table) || !str_split(&rest, '/', &part) ||
		!str_eq(part, STR("stream")))
		return 0;
	p.label = rest;
	if (!p.region.n || !p.account.n || !p.table.n || !p.label.n || str_find(p.label, '/') >= 0)
		return 0;
	*ret = p;
	return 1;
}
