/*
 * ClientRequestToken: which transactions have been done, for ten minutes after they were.
 *
 *     token   [META]["token"][account][region][token]       what was asked for, and until when
 *     due     [META]["token due"][second][token's key]      empty; what the worker goes by
 *
 * The record is written in the transaction itself, so a repeated request finds it exactly when the
 * first one was done. One worker per server removes what is over. Private to this folder.
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis.html
 */
#ifndef DYNAMODB_TOKEN_H
#define DYNAMODB_TOKEN_H

#include "base/arena.h"
#include "base/hash.h"

#include <stdint.h>

struct call;
struct kv_txn;

enum { TOKEN_VALID_MS = 10 * 60 * 1000 };

/* The token's key in the store, to be declared. `token` is not empty. */
str token_key(struct call *c, str token);

enum token_state { TOKEN_NEW, TOKEN_SAME, TOKEN_OTHER };

/*
 * Has a request of this token been done in the last ten minutes, and was it (by its digest) the
 * same one? One round trip.
 */
must_use mayyield int token_look(struct kv_txn *txn, struct arena *a, str key,
	const uint8_t digest[SHA256_BYTES], int64_t wall_ms, enum token_state *ret_state);
/* Puts the record. */
void token_put(struct kv_txn *txn, struct arena *a, str key, const uint8_t digest[SHA256_BYTES],
	int64_t wall_ms);

/* Removes records that are over, as a fiber until the service stops. `arg`: struct dynamodb. */
void dynamodb_forget_tokens(void *arg);

/*
 * Adds a part of what is asked for to a digest, its length first, so that no two requests read
 * alike.
 */
void token_digest_add(struct sha256 *h, str part);

#endif
