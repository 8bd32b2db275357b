/*
 * How IAM's structures are stored: a table of fields per structure, one codec for all.
 *
 * Form: record type (1 byte), format version (1 byte), then the fields that are not at their zero
 * value, each as tag (1 byte) and content: numbers as LEB128 of their zigzag form, strings with a
 * LEB128 length in front, lists of pairs and of strings with a count and their strings. Tags are
 * given once and never used again for something else; a reader that meets a tag or version that it
 * does not know refuses the record (ERR_VERSION) instead of losing part of it.
 *
 * Pure. Called by store.c only.
 */
#ifndef SERVICES_IAM_RECORD_H
#define SERVICES_IAM_RECORD_H

#include "base/buf.h"
#include "base/rc.h"

enum { RECORD_FIELDS_MAX = 24, RECORD_BYTES_MAX = 512 * 1024, RECORD_LIST_MAX = 1000 };

struct iam_pair {
	str key, value;
};
struct iam_pairs {
	struct iam_pair *items;
	uint32_t count;
};
struct iam_strs {
	str *items;
	uint32_t count;
};

enum record_kind { RECORD_STR, RECORD_INT, RECORD_PAIRS, RECORD_STRS };

struct record_field {
	uint8_t tag;     /* not 0 */
	uint8_t kind;    /* enum record_kind */
	uint16_t offset; /* of a str, int64_t, struct iam_pairs, struct iam_strs */
};

struct record_type {
	uint8_t type;
	uint8_t field_count;
	uint16_t size; /* of the structure */
	const struct record_field *fields;
};

/* The bytes, in the arena. Over RECORD_BYTES_MAX is our own bug: quotas are far below. */
str record_encode(struct arena *a, const struct record_type *type, const void *record);
/*
 * Strings point into `bytes`; one that is absent or was empty reads back as STR_NULL. ERR_CORRUPT,
 * ERR_VERSION.
 */
must_use int record_decode(
	struct arena *a, const struct record_type *type, str bytes, void *ret_record);

#endif
