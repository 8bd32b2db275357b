/*
 * Walking over the keys of a bucket, page by page.
 */
#ifndef SERVICES_S3_LIST_H
#define SERVICES_S3_LIST_H

#include "services/s3/service.h"

struct s3_walk {
	struct kv *kv;
	struct arena *arena;
	uint64_t bucket;
	str prefix, delimiter; /* STR_NULL: none */
	str after;             /* a key or a common prefix; the page begins behind it */
	/* "CommonPrefixes is filtered out from results if it is not lexicographically greater than
	 * the StartAfter value": one that `after` lies within does not come either. */
	bool whole_prefixes;
	unsigned max; /* of keys and common prefixes together */
	/* `record` is valid for the call. Below 0 ends the walk. */
	int (*on_key)(void *arg, str key, str record);
	int (*on_prefix)(void *arg, str prefix);
	void *arg;
	/* results */
	unsigned count;
	bool truncated; /* there is more */
	str last;       /* key or common prefix, for `after` of the next page */
};

must_use int s3_walk(struct s3_walk *w) mayyield;
/* The key up to the first delimiter behind the prefix, with it; STR_NULL: there is none. Pure. */
str s3_common_prefix(str key, str prefix, str delimiter);
/* The first text behind all that begin with `prefix`; STR_NULL: there is none. */
str s3_behind_prefix(struct arena *a, str prefix);
str s3_behind_key(struct arena *a, str key);
/* Where a listing goes on behind `after`: behind all of a common prefix when it is one, or
 * (`whole`) when it lies within one. STR_NULL: nowhere. */
str s3_behind(struct arena *a, str after, str prefix, str delimiter, bool whole);

/* Members that all listings have: max-keys ..., encoding-type. */
must_use int s3_page_max(struct call *c, const char *member, const char *wire, unsigned *ret);
must_use int s3_encoding_read(struct call *c, bool *ret_encoded);

#endif
