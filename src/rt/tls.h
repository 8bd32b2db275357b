/*
 * TLS on streams, by OpenSSL: contexts for servers and clients, and the handshake that turns a
 * connected stream into a protected one. Afterwards the stream is used like any other.
 *
 * TLS 1.2 and 1.3. A context is made once and used by any loop; P-256 and RSA keys.
 */
#ifndef RT_TLS_H
#define RT_TLS_H

#include "rt/stream.h"

struct rt_tls;

/* PEM text of a certificate chain and its key: a server's context. ERR_TLS. Blocks (reads no file).
 */
must_use int rt_tls_server_new(str certificate_pem, str key_pem, struct rt_tls **ret_tls);
/*
 * A client's context. `authorities_pem` NULL: the system's authorities. verify false accepts any
 * certificate (tests, a development server's own).
 */
must_use int rt_tls_client_new(str authorities_pem, bool verify, struct rt_tls **ret_tls);
/* No stream uses it any more. NULL: nothing. */
void rt_tls_free(struct rt_tls *tls);

/* The server's handshake. The stream stays the caller's, also after a failure: ERR_TLS, ERR_TIMEOUT
 * ... */
must_use mayyield int rt_tls_accept(struct rt_stream *stream, struct rt_tls *tls, int64_t deadline);
/* The client's, for the server of this name (checked against the certificate, and sent as SNI). */
must_use mayyield int rt_tls_connect(
	struct rt_stream *stream, struct rt_tls *tls, str name, int64_t deadline);
/* What ALPN chose ("http/1.1", "h2"); empty without. */
str rt_tls_protocol(const struct rt_stream *stream);

#endif
