/*
 * How stream.c calls TLS (tls.c) for streams that carry a session. Only for these two.
 */
#ifndef RT_TLS_INTERNAL_H
#define RT_TLS_INTERNAL_H

#include "rt/internal.h"

int tls_try_read(struct rt_stream *s, void *to, size_t n);
int tls_try_write(struct rt_stream *s, const struct iovec *parts, unsigned n);
/* Bytes are decrypted already, so the channel will not report them. */
bool tls_pending(const struct rt_stream *s);
/* Calls the watcher once, soon, when bytes are pending. */
void tls_watch(struct rt_stream *s);
/* Whether the last try stopped for the other direction. */
bool tls_wants_read(const struct rt_stream *s);
bool tls_wants_write(const struct rt_stream *s);
void tls_shutdown(struct rt_stream *s);
void tls_session_free(struct rt_stream *s);

#endif
