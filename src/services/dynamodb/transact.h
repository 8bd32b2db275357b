/*
 * Transactions on items: what TransactWriteItems, TransactGetItems and PartiQL's ExecuteTransaction
 * have in common. Whoever calls fills the actions; what they mean, their atomicity, the reasons of
 * a cancellation and the idempotency by token are here. Private to this folder.
 * https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
 */
#ifndef DYNAMODB_TRANSACT_H
#define DYNAMODB_TRANSACT_H

#include "base/hash.h"
#include "services/dynamodb/flight.h"
#include "services/dynamodb/item_write.h"
#include "services/dynamodb/request.h"

enum {
	TRANSACT_ACTIONS_MAX = 100,
	TRANSACT_BYTES_MAX = 4 * 1024 * 1024 /* of all items together; ServiceQuotas.html */
};

struct call;

struct transact_action {
	/* By the caller. */
	str given; /* the table, name or ARN */
	str attributes;
	bool show_failed;                         /* ReturnValuesOnConditionCheckFailure ALL_OLD */
	const struct expr_projection *projection; /* of a read; NULL: everything */
	struct item_write write;                  /* kind, condition, expr, update */
	/* Here. */
	struct table *table;
	struct fault fault; /* why it stands in the way; kind NULL: it does not */
};

struct transaction {
	struct call *c;
	struct transact_action *actions;
	unsigned count;
	str token;                    /* STR_NULL: none */
	uint8_t digest[SHA256_BYTES]; /* of what was asked for, where there is a token */
	enum return_capacity capacity;
	bool metrics;
	/* Here. */
	struct flight flight;
	bool repeated;       /* it had been done before: nothing was written now */
	struct arena memory; /* of the last run: old and new items, what the store bounds */
	str token_key;
};

/* Gives back what the transaction holds; for cleanup(). */
void transaction_done(struct transaction *t);

/*
 * Finds the tables and places, does it all or nothing, and waits until it is durable. ERR_FAULT:
 * ResourceNotFoundException, a ValidationException of the whole, TransactionCanceledException with
 * a reason for each action in their order, IdempotentParameterMismatchException.
 */
must_use mayyield int transaction_write(struct transaction *t);

/*
 * Reads all the items at one state of the store into write.old_item of each action; the same
 * faults. ERR_FAULT too when they are more than TRANSACT_BYTES_MAX together.
 */
must_use mayyield int transaction_read(struct transaction *t);

/* ConsumedCapacity and ItemCollectionMetrics where they were asked for, as members. */
void transaction_put_figures(struct json_writer *w, const struct transaction *t, bool is_read);

#endif
