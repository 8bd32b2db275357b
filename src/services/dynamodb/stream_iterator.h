/*
 * Shard iterators: a position in a shard as an opaque text that clients carry, valid 15 minutes.
 *
 *     ARN of the stream | 1 | base64url of: version, flags, issued in ms (8 bytes), position (8
 *                             bytes), shard id [n bytes], MAC (16 bytes)
 *
 * The MAC (HMAC-SHA256, cut) is over the ARN and what stands before it, with a secret of the data
 * folder: a text that was not given out here is refused. Pure; any thread.
 * https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_GetShardIterator.html
 */
#ifndef DYNAMODB_STREAM_ITERATOR_H
#define DYNAMODB_STREAM_ITERATOR_H

#include "base/arena.h"
#include "base/hash.h"

enum { ITERATOR_BYTES_MAX = 2048, ITERATOR_VALID_MS = 15 * 60 * 1000 };

struct stream_iterator {
	str arn, shard;
	uint64_t after;    /* records with greater stamps follow */
	bool trim_horizon; /* nothing was read yet: trimming takes nothing away from it */
	int64_t issued_ms;
};

str stream_iterator_encode(
	struct arena *a, const struct hmac_key *key, const struct stream_iterator *it);
/* 1, or 0: not one of ours. Texts are borrowed from `text` or in the arena. */
int stream_iterator_decode(
	struct arena *a, const struct hmac_key *key, str text, struct stream_iterator *ret);
/* The ARN that it claims, unproven; empty when there is none. */
str stream_iterator_arn(str text);

/* The parts of an ARN arn:aws:dynamodb:REGION:ACCOUNT:table/NAME/stream/LABEL. */
struct stream_arn_parts {
	str region, account, table, label;
};
/* 1, or 0. */
int stream_arn_parse(str arn, struct stream_arn_parts *ret);

#endif
