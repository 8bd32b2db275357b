/*
 * TLS on streams: an OpenSSL session between the stream's calls and its byte channel. OpenSSL reads
 * and writes through a BIO of our own that tries the channel and says "again" when it would block;
 * who waits, and for which direction, is decided in stream.c.
 */
#include "rt/tls.h"

#include "rt/tls_internal.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

struct rt_tls {
	SSL_CTX *context;
	BIO_METHOD *method;
};

struct rt_tls_session {
	SSL *ssl;
	struct rt_stream *s;
	struct rt_timer again; /* calls the watcher for bytes that are decrypted already */
	bool wants_read, wants_write, shut;
	int channel_rc; /* why the channel failed last */
};

static const unsigned char protocols[] = "\x08http/1.1";

/* --- the channel as a BIO ------------------------------------------------------------------- */

static int channel_read(BIO *bio, char *to, int n)
{
	struct rt_tls_session *t = BIO_get_data(bio);
	int rc = t->s->ops->try_read(t->s, to, (size_t)n);

	BIO_clear_retry_flags(bio);
	if (rc > 0)
		return rc;
	if (rc == 0) {
		BIO_set_retry_read(bio);
		return -1;
	}
	t->channel_rc = rc;
	return rc == ERR_EOF ? 0 : -1;
}

static int channel_write(BIO *bio, const char *p, int n)
{
	struct rt_tls_session *t = BIO_get_data(bio);
	struct iovec part = {(void *)p, (size_t)n};
	int rc = t->s->ops->try_write(t->s, &part, 1);

	BIO_clear_retry_flags(bio);
	if (rc > 0)
		return rc;
	if (rc == 0)
		BIO_set_retry_write(bio);
	else
		t->channel_rc = rc;
	return -1;
}

static long channel_control(BIO *bio, int command, long number, void *p)
{
	(void)bio, (void)number, (void)p;
	return command == BIO_CTRL_FLUSH;
}

/* --- bytes ---------------------------------------------------------------------------------- */

/* 0: again later; else the error. */
static int outcome(struct rt_tls_session *t, int rc)
{
	t->wants_read = t->wants_write = false;
	switch (SSL_get_error(t->ssl, rc)) {
	case SSL_ERROR_WANT_READ: t->wants_read = true; return 0;
	case SSL_ERROR_WANT_WRITE: t->wants_write = true; return 0;
	case SSL_ERROR_ZERO_RETURN: return ERR_EOF;
	case SSL_ERROR_SYSCALL: return ERR_CLOSED; /* cut without a closing alert, or a reset */
	default: return t->channel_rc < 0 ? ERR_CLOSED : ERR_TLS;
	}
}

int tls_try_read(struct rt_stream *s, void *to, size_t n)
{
	struct rt_tls_session *t = s->tls;
	int rc;

	ERR_clear_error();
	rc = SSL_read(t->ssl, to, (int)MIN(n, (size_t)INT32_MAX));
	if (rc <= 0)
		return outcome(t, rc);
	if (s->on_readable && SSL_pending(t->ssl))
		timer_set_on(s->loop, &t->again, s->loop->turn_at);
	return rc;
}

/* One record where it fits: a head and its body are not worth two. */
int tls_try_write(struct rt_stream *s, const struct iovec *parts, unsigned n)
{
	struct rt_tls_session *t = s->tls;
	struct rt_buffer *b = NULL;
	const char *p;
	size_t bytes;
	int rc;

	while (n && !parts->iov_len) {
		parts++;
		n--;
	}
	if (!n)
		return 0;
	p = parts[0].iov_base;
	bytes = parts[0].iov_len;
	if (n > 1 && bytes < RT_BUFFER_BYTES) {
		b = rt_buffer_take();
		p = b->p;
		bytes = 0;
		for (unsigned i = 0; i < n && bytes < RT_BUFFER_BYTES; i++) {
			size_t part = MIN(parts[i].iov_len, RT_BUFFER_BYTES - bytes);

			if (part)
				memcpy(b->p + bytes, parts[i].iov_base, part);
			bytes += part;
		}
	}
	ERR_clear_error();
	rc = SSL_write(t->ssl, p, (int)MIN(bytes, (size_t)INT32_MAX));
	rt_buffer_give(b);
	if (rc > 0)
		return rc;
	rc = outcome(t, rc);
	return rc == ERR_EOF ? ERR_CLOSED : rc;
}

bool tls_pending(const struct rt_stream *s)
{
	return SSL_pending(s->tls->ssl) > 0;
}

static void on_again(struct rt_timer *timer)
{
	struct rt_tls_session *t = container_of(timer, struct rt_tls_session, again);

	if (t->s->on_readable)
		t->s->on_readable(t->s, t->s->readable_arg); /* may close the stream */
}

void tls_watch(struct rt_stream *s)
{
	if (tls_pending(s))
		timer_set_on(s->loop, &s->tls->again, s->loop->turn_at);
}

bool tls_wants_read(const struct rt_stream *s)
{
	return s->tls->wants_read;
}

bool tls_wants_write(const struct rt_stream *s)
{
	return s->tls->wants_write;
}

void tls_shutdown(struct rt_stream *s)
{
	struct rt_tls_session *t = s->tls;

	if (t->shut || !SSL_is_init_finished(t->ssl))
		return;
	t->shut = true;
	ERR_clear_error();
	(void)SSL_shutdown(t->ssl); /* the alert; the peer's is not waited for */
}

void tls_session_free(struct rt_stream *s)
{
	struct rt_tls_session *t = s->tls;

	if (!s->aborted)
		tls_shutdown(s);
	s->tls = NULL;
	timer_stop_on(s->loop, &t->again);
	SSL_free(t->ssl);
	mem_free(t);
}

/* --- handshakes ----------------------------------------------------------------------------- */

static int session_new(struct rt_stream *s, struct rt_tls *tls)
{
	struct rt_tls_session *t = mem_new(struct rt_tls_session);
	BIO *bio = BIO_new(tls->method);

	t->s = s;
	t->ssl = SSL_new(tls->context);
	check(t->ssl != NULL && bio != NULL);
	BIO_set_data(bio, t);
	BIO_set_init(bio, 1);
	SSL_set_bio(t->ssl, bio, bio);
	rt_timer_init(&t->again, on_again);
	check(!s->tls && !s->on_readable);
	s->tls = t;
	return 0;
}

static int handshake(struct rt_stream *s, int64_t deadline)
{
	struct rt_tls_session *t = s->tls;

	for (;;) {
		int rc;

		if (s->aborted)
			return ERR_CLOSED;
		ERR_clear_error();
		rc = SSL_do_handshake(t->ssl);
		if (rc == 1)
			return 0;
		rc = outcome(t, rc);
		if (rc < 0)
			return rc == ERR_EOF ? ERR_CLOSED : rc;
		TRY(stream_wait(s, t->wants_write ? RT_WRITABLE : RT_READABLE, deadline));
	}
}

static int begin(struct rt_stream *s, int64_t deadline)
{
	int rc = handshake(s, deadline);

	if (rc < 0)
		tls_session_free(s);
	return rc;
}

int rt_tls_accept(struct rt_stream *s, struct rt_tls *tls, int64_t deadline)
{
	TRY(session_new(s, tls));
	SSL_set_accept_state(s->tls->ssl);
	return begin(s, deadline);
}

int rt_tls_connect(struct rt_stream *s, struct rt_tls *tls, str name, int64_t deadline)
{
	X509_VERIFY_PARAM *verify;
	char host[256];
	SSL *ssl;

	if (!name.n || name.n >= sizeof host || str_find(name, '\0') >= 0)
		return ERR_INVALID;
	memcpy(host, name.p, name.n);
	host[name.n] = 0;
	TRY(session_new(s, tls));
	ssl = s->tls->ssl;
	SSL_set_connect_state(ssl);
	verify = SSL_get0_param(ssl);
	/* An address is checked as one, and not sent as a name (RFC 6066 section 3). */
	if (X509_VERIFY_PARAM_set1_ip_asc(verify, host) != 1) {
		check(SSL_set_tlsext_host_name(ssl, host) == 1);
		check(SSL_set1_host(ssl, host) == 1);
	}
	return begin(s, deadline);
}

str rt_tls_protocol(const struct rt_stream *s)
{
	const unsigned char *p = NULL;
	unsigned n = 0;

	if (s->tls)
		SSL_get0_alpn_selected(s->tls->ssl, &p, &n);
	return n ? str_of(p, n) : STR("");
}

/* --- contexts ------------------------------------------------------------------------------- */

static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_n,
	const unsigned char *in, unsigned in_n, void *arg)
{
	(void)ssl, (void)arg;
	if (SSL_select_next_proto((unsigned char **)out, out_n, protocols, sizeof protocols - 1, in,
		    in_n) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_NOACK;
	return SSL_TLSEXT_ERR_OK;
}

static struct rt_tls *tls_new(const SSL_METHOD *method)
{
	struct rt_tls *tls = mem_new(struct rt_tls);

	tls->context = SSL_CTX_new(method);
	tls->method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "stream");
	check(tls->context != NULL && tls->method != NULL);
	BIO_meth_set_read(tls->method, channel_read);
	BIO_meth_set_write(tls->method, channel_write);
	BIO_meth_set_ctrl(tls->method, channel_control);
	check(SSL_CTX_set_min_proto_version(tls->context, TLS1_2_VERSION) == 1);
	SSL_CTX_set_options(tls->context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
	/* An idle connection holds no record buffers. */
	SSL_CTX_set_mode(tls->context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_RELEASE_BUFFERS |
					       SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	return tls;
}

static BIO *pem_open(str pem)
{
	BIO *bio = pem.n <= INT32_MAX ? BIO_new_mem_buf(pem.p, (int)pem.n) : NULL;

	check(bio != NULL);
	return bio;
}

static int chain_load(SSL_CTX *context, str pem)
{
	BIO *bio = pem_open(pem);
	X509 *certificate;
	int rc = ERR_TLS;

	for (bool first = true; (certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL));
		first = false) {
		bool ok = first ? SSL_CTX_use_certificate(context, certificate) == 1
				: SSL_CTX_add1_chain_cert(context, certificate) == 1;

		X509_free(certificate);
		rc = ok ? 0 : ERR_TLS;
		if (!ok)
			break;
	}
	BIO_free(bio);
	return rc;
}

static int key_load(SSL_CTX *context, str pem)
{
	BIO *bio = pem_open(pem);
	EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
	bool ok = key && SSL_CTX_use_PrivateKey(context, key) == 1 &&
		  SSL_CTX_check_private_key(context) == 1;

	EVP_PKEY_free(key);
	BIO_free(bio);
	return ok ? 0 : ERR_TLS;
}

int rt_tls_server_new(str certificate_pem, str key_pem, struct rt_tls **ret_tls)
{
	struct rt_tls *tls = tls_new(TLS_server_method());

	if (chain_load(tls->context, certificate_pem) < 0 || key_load(tls->context, key_pem) < 0) {
		ERR_clear_error();
		rt_tls_free(tls);
		return ERR_TLS;
	}
	ERR_clear_error(); /* the end of the PEM text counts as one */
	SSL_CTX_set_alpn_select_cb(tls->context, choose_protocol, NULL);
	*ret_tls = tls;
	return 0;
}

static int authorities_load(SSL_CTX *context, str pem)
{
	X509_STORE *store = SSL_CTX_get_cert_store(context);
	BIO *bio = pem_open(pem);
	X509 *certificate;
	int rc = ERR_TLS;

	while ((certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
		rc = X509_STORE_add_cert(store, certificate) == 1 ? 0 : ERR_TLS;
		X509_free(certificate);
		if (rc < 0)
			break;
	}
	BIO_free(bio);
	ERR_clear_error();
	return rc;
}

int rt_tls_client_new(str authorities_pem, bool verify, struct rt_tls **ret_tls)
{
	struct rt_tls *tls = tls_new(TLS_client_method());
	int rc = 0;

	if (authorities_pem.p)
		rc = authorities_load(tls->context, authorities_pem);
	else if (verify && SSL_CTX_set_default_verify_paths(tls->context) != 1)
		rc = ERR_TLS;
	if (rc < 0) {
		rt_tls_free(tls);
		return rc;
	}
	SSL_CTX_set_verify(tls->context, verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
	check(SSL_CTX_set_alpn_protos(tls->context, protocols, sizeof protocols - 1) == 0);
	*ret_tls = tls;
	return 0;
}

void rt_tls_free(struct rt_tls *tls)
{
	if (!tls)
		return;
	SSL_CTX_free(tls->context);
	BIO_meth_free(tls->method);
	mem_free(tls);
}
