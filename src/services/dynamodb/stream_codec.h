/*
 * Stored forms of streams: a record (what happened to one item) and a stream's own document (its
 * settings and shards). Both begin with a version byte and are for ever. Pure; any thread.
 *
 *     record    version, event, flags, view, wall clock in ms (8 bytes), keys [n bytes],
 *               old image [n bytes] and new image [n bytes] where flags say so
 *     document  version, fields in the order of struct stream, shards
 *
 * Numbers are LEB128 unless a width is given; [n bytes] is a length and bytes. Images and keys are
 * items (item.h).
 * https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_StreamRecord.html
 */
#ifndef DYNAMODB_STREAM_CODEC_H
#define DYNAMODB_STREAM_CODEC_H

#include "services/dynamodb/table.h"

enum {
	STREAM_BUCKETS = 1, /* of a stream; the format has room for 256 */
	/* 24 hours of shards that live 4 hours, and some in hand for clocks that jump */
	STREAM_SHARDS_MAX = 64,
	STREAM_LABEL_BYTES = 23,    /* "2026-11-28T03:28:57.123" */
	STREAM_SEQUENCE_BYTES = 21, /* of a sequence number's text */
	STREAM_DOCUMENT_MAX = 64 * 1024,
	STREAM_RECORD_MAX = 3 * 1024 * 1024, /* two images and keys */
};

enum stream_event { STREAM_INSERT, STREAM_MODIFY, STREAM_REMOVE };

struct stream_record {
	enum stream_event event;
	bool by_expiry;
	enum table_stream_view view;
	int64_t wall_ms;
	str keys;                 /* the key attributes, an item */
	str old_image, new_image; /* STR_NULL: not there, or not in the view */
};

/* Appends the stored form. */
void stream_record_encode(struct buf *out, const struct stream_record *r);
/* The texts are borrowed from `value`. ERR_CORRUPT, ERR_VERSION. */
must_use int stream_record_decode(str value, struct stream_record *ret_record);
/* SizeBytes: keys and images as item_size() counts. */
size_t stream_record_size(const struct stream_record *r);

/*
 * A shard is a range of stamps of one bucket: those above `after`, up to `last`. The write path
 * knows nothing of shards. A shard that is about to be closed is CLOSING first, so that no reader
 * goes beyond the end that is still to be found (stream_worker.c).
 */
enum stream_shard_state { SHARD_OPEN, SHARD_CLOSING, SHARD_CLOSED };

struct stream_shard {
	str id, parent; /* "shardId-00000001732764537123-4fe6a1b2"; parent STR_NULL: the first */
	uint8_t bucket;
	enum stream_shard_state state;
	int64_t created_ms, closed_ms; /* closed_ms 0: not closed */
	uint64_t after, last;          /* last: of a closed one */
	uint64_t trimmed;              /* records up to here are gone; >= after */
};

enum stream_phase {
	STREAM_RUNNING,
	STREAM_SETTLED, /* disabled, and its shards are closed: nothing comes any more */
	/*
	 * Of a table that had writers already: one that does not know the stream may still commit
	 * behind one that does. Nothing is read until they have left; then it begins
	 * (stream_worker.c).
	 */
	STREAM_ENABLING,
};

struct stream {
	uint64_t id; /* of its records' keys */
	str account, region, table, label;
	str arn; /* follows from the above, not stored */
	uint64_t table_id;
	enum table_stream_view view;
	str partition, sort;             /* key attributes; sort STR_NULL: none */
	int64_t created_ms, disabled_ms; /* disabled_ms 0: writes go to it */
	enum stream_phase phase;
	struct stream_shard shards[STREAM_SHARDS_MAX]; /* oldest first */
	size_t shard_count;
};

str stream_encode(struct arena *a, const struct stream *s);
/* Texts are borrowed from `document` (arn: in the arena). ERR_CORRUPT, ERR_VERSION. */
must_use int stream_decode(struct arena *a, str document, struct stream *ret_stream);

/*
 * Sequence numbers: a digit in front of the stamp in 20 digits, so that order of texts is order of
 * numbers.
 */
void stream_sequence_text(uint64_t stamp, char ret_text[STREAM_SEQUENCE_BYTES]);
str stream_sequence(struct arena *a, uint64_t stamp);
/* 1, or 0: it is no text of ours. */
int stream_sequence_parse(str text, uint64_t *ret_stamp);

#endif
