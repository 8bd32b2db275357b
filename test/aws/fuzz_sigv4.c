/*
 * Signatures: the Authorization header, or a query string after a first '?', of any form. Whatever
 * was parsed can be canonicalised, and no forged signature verifies.
 */
#include "aws/sigv4.h"
#include "base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct http_header headers[] = {
		{.name = STR_INIT("Host"), .value = STR_INIT("localhost")},
		{.name = STR_INIT("X-Amz-Date"), .value = STR_INIT("20150830T123600Z")},
		{.name = STR_INIT("Authorization"), .value = str_of(data, n)},
	};
	bool in_query = n && data[0] == '?';
	struct sigv4_request r = {.method = STR("GET"),
		.path = STR("/a/../b%20c"),
		.query = in_query ? str_of(data + 1, n - 1) : STR_NULL,
		.headers = headers,
		.header_count = in_query ? 2 : 3};
	struct sigv4_error error = {.problem = SIGV4_OK};
	struct sigv4_auth auth;
	struct hmac_key key;
	struct arena a;

	arena_init(&a, SIZE_MAX);
	if (sigv4_parse(&a, &r, &auth, &error) > 0) {
		check(auth.access_key.n && auth.date.n == 8 && auth.signature.n == 64);
		(void)!sigv4_check_time(&a, &auth, INT64_C(1440938160000), &error);
		sigv4_derive_key(STR("secret that nobody knows"), auth.date, auth.region,
			auth.service, &key);
		check(sigv4_verify(&a, &r, &auth, STR("body"), &key, &error) < 0);
		check(error.problem != SIGV4_OK && error.message.n);
	} else if (in_query && error.problem != SIGV4_OK) {
		check(error.message.n > 0);
	}
	arena_done(&a);
	return 0;
}
