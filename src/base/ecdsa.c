/*
 * See ecdsa.h. OpenSSL's error queue is emptied, so that nobody later takes it for his own.
 */
#include "base/ecdsa.h"

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

static void key_free_p(EVP_PKEY **key)
{
	EVP_PKEY_free(*key);
	ERR_clear_error();
}

static void digest_free_p(EVP_MD_CTX **context)
{
	EVP_MD_CTX_free(*context);
}

/* NULL: it is none of this curve. */
static EVP_PKEY *load(str text)
{
	const unsigned char *at = (const unsigned char *)text.p;
	EVP_PKEY *key = d2i_AutoPrivateKey(NULL, &at, (long)text.n);
	char curve[32];
	size_t n;

	if (key && at == (const unsigned char *)text.p + text.n &&
		EVP_PKEY_get_group_name(key, curve, sizeof curve, &n) == 1 &&
		str_eq(str_c(curve), STR("secp384r1")))
		return key;
	EVP_PKEY_free(key);
	return NULL;
}

int ecdsa_key_new(struct buf *out)
{
	EVP_PKEY *key cleanup(key_free_p) = EVP_EC_gen("P-384");
	PKCS8_PRIV_KEY_INFO *info = key ? EVP_PKEY2PKCS8(key) : NULL;
	unsigned char *text = NULL;
	int n = info ? i2d_PKCS8_PRIV_KEY_INFO(info, &text) : -1;

	PKCS8_PRIV_KEY_INFO_free(info);
	if (n > 0)
		buf_put(out, str_of(text, (size_t)n));
	OPENSSL_clear_free(text, n > 0 ? (size_t)n : 0);
	return n > 0 && n <= ECDSA_KEY_MAX && !out->over ? 0 : ERR_INTERNAL;
}

int ecdsa_sign(str key_text, str text, struct buf *out)
{
	EVP_PKEY *key cleanup(key_free_p) = load(key_text);
	EVP_MD_CTX *context cleanup(digest_free_p) = EVP_MD_CTX_new();
	unsigned char signature[ECDSA_SIGNATURE_MAX];
	size_t n = sizeof signature;

	if (!key)
		return ERR_CORRUPT;
	if (!context || EVP_DigestSignInit(context, NULL, EVP_sha384(), NULL, key) != 1 ||
		EVP_DigestSign(context, signature, &n, (const unsigned char *)text.p, text.n) != 1)
		return ERR_INTERNAL;
	buf_put(out, str_of(signature, n));
	return out->over ? ERR_TOO_LARGE : 0;
}

int ecdsa_verify(str key_text, str text, str signature)
{
	EVP_PKEY *key cleanup(key_free_p) = load(key_text);
	EVP_MD_CTX *context cleanup(digest_free_p) = EVP_MD_CTX_new();

	if (!key)
		return ERR_CORRUPT;
	if (!context || EVP_DigestVerifyInit(context, NULL, EVP_sha384(), NULL, key) != 1)
		return ERR_INTERNAL;
	return EVP_DigestVerify(context, (const unsigned char *)signature.p, signature.n,
		       (const unsigned char *)text.p, text.n) == 1;
}
