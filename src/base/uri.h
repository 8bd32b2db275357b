/*
 * Percent encoding, query strings and path normalisation (RFC 3986), in the forms that Signature
 * Version 4 needs:
 * https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
 *
 * Pure; any thread. Decoded text may hold any bytes: whoever needs UTF-8 checks it.
 */
#ifndef BASE_URI_H
#define BASE_URI_H

#include "base/arena.h"
#include "base/buf.h"

enum uri_encoding {
	URI_COMPONENT,  /* all but A-Z a-z 0-9 - . _ ~ */
	URI_KEEP_SLASH, /* and '/' stays */
};

/* Appends `s` with %XX in upper case. */
void uri_put_encoded(struct buf *out, str s, enum uri_encoding encoding);

enum uri_decoding {
	URI_PLAIN,         /* '+' is itself: paths */
	URI_PLUS_IS_SPACE, /* forms and query strings */
};

/* `s` itself when there is nothing to decode, else in the arena. ERR_SYNTAX: '%' without two hex
 * digits. %00 is allowed. */
must_use int uri_decode(struct arena *arena, str s, enum uri_decoding decoding, str *ret_decoded);
/*
 * Does it decode (as URI_PLAIN) to `text`? Whoever decides by a name or value of a request has to
 * ask so: signatures do not tell "acl" from "%61cl".
 */
bool uri_is(str encoded, str text);

/* Cuts a request target at its first '?'; *ret_query is STR_NULL without one. */
void uri_split(str target, str *ret_path, str *ret_query);

/*
 * The parameters of a raw query string, one after another, undecoded: "a=1&b&=x". Empty parts
 * ("&&") are passed over. A name without '=' has value STR_NULL.
 */
struct uri_query {
	str rest;
};
static inline struct uri_query uri_query_of(str query)
{
	return (struct uri_query){query};
}
/* 1 and the next parameter, 0 behind the last. */
bool uri_query_next(struct uri_query *q, str *ret_name, str *ret_value);
/* The decoded value of the first parameter of that (decoded) name: 1, 0, or ERR_SYNTAX. A name
 * without '=' has the empty value. */
must_use int uri_query_find(struct arena *arena, str query, str name, str *ret_value);

/*
 * RFC 3986 section 5.2.4 (dot segments) and single slashes, on the text as it is (an encoded dot or
 * slash stays): "/a/./b//../c" -> "/a/c". The result starts with '/'; "" gives "/".
 */
str uri_normalize_path(struct arena *arena, str path);

#endif
