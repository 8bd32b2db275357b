/*
 * TLS on streams. Not there yet: no stream carries a session.
 */
#include "rt/tls.h"

#include "rt/tls_internal.h"

int rt_tls_accept(struct rt_stream *stream, struct rt_tls *tls, int64_t deadline)
{
	(void)stream, (void)tls, (void)deadline;
	return ERR_UNSUPPORTED;
}

int rt_tls_connect(struct rt_stream *stream, struct rt_tls *tls, str name, int64_t deadline)
{
	(void)stream, (void)tls, (void)name, (void)deadline;
	return ERR_UNSUPPORTED;
}

int tls_try_read(struct rt_stream *s, void *to, size_t n)
{
	(void)s, (void)to, (void)n;
	return ERR_UNSUPPORTED;
}

int tls_try_write(struct rt_stream *s, const struct iovec *parts, unsigned n)
{
	(void)s, (void)parts, (void)n;
	return ERR_UNSUPPORTED;
}

bool tls_pending(const struct rt_stream *s)
{
	(void)s;
	return false;
}

void tls_watch(struct rt_stream *s)
{
	(void)s;
}

bool tls_wants_read(const struct rt_stream *s)
{
	(void)s;
	return false;
}

bool tls_wants_write(const struct rt_stream *s)
{
	(void)s;
	return false;
}

void tls_shutdown(struct rt_stream *s)
{
	(void)s;
}

void tls_session_free(struct rt_stream *s)
{
	(void)s;
}
