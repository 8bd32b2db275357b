/*
 * Streams in the store: encoding and decoding.
 */
#include "services/dynamodb/stream_codec.h"

#include "base/check.h"

enum { RECORD_VERSION_1 = 1, DOCUMENT_VERSION_1 = 1 };
/* of a record */
enum { FLAG_BY_EXPIRY = 1, FLAG_OLD = 2, FLAG_NEW = 4, FLAGS_KNOWN = 7 };

#define SEQUENCE_HEAD '1'

/* ---- records ---- */

static bool is_item(str item)
{
	return item.n && item.p[0] == ITEM_VERSION;
}

void stream_record_encode(struct buf *out, const struct stream_record *r)
{
	uint8_t flags = (r->by_expiry ? FLAG_BY_EXPIRY : 0) | (r->old_image.p ? FLAG_OLD : 0) |
			(r->new_image.p ? FLAG_NEW : 0);

	check(is_item(r->keys) && (!r->old_image.p || is_item(r->old_image)) &&
		(!r->new_image.p || is_item(r->new_image)));
	buf_put_char(out, RECORD_VERSION_1);
	buf_put_char(out, (char)r->event);
	buf_put_char(out, (char)flags);
	buf_put_char(out, (char)r->view);
	buf_put_be64(out, (uint64_t)r->wall_ms);
	buf_put_sized(out, r->keys);
	if (r->old_image.p)
		buf_put_sized(out, r->old_image);
	if (r->new_image.p)
		buf_put_sized(out, r->new_image);
}

int stream_record_decode(str value, struct stream_record *ret_record)
{
	struct stream_record r = {.old_image = STR_NULL, .new_image = STR_NULL};
	uint8_t version, event, flags, view;
	uint64_t wall;

	if (!str_take_u8(&value, &version))
		return ERR_CORRUPT;
	if (version != RECORD_VERSION_1)
		return ERR_VERSION;
	if (!str_take_u8(&value, &event) || event > STREAM_REMOVE || !str_take_u8(&value, &flags) ||
		(flags & ~FLAGS_KNOWN) || !str_take_u8(&value, &view) ||
		view > VIEW_NEW_AND_OLD_IMAGES || !str_take_be64(&value, &wall) ||
		wall > INT64_MAX || !str_take_sized(&value, &r.keys) || !is_item(r.keys))
		return ERR_CORRUPT;
	if ((flags & FLAG_OLD) && (!str_take_sized(&value, &r.old_image) || !is_item(r.old_image)))
		return ERR_CORRUPT;
	if ((flags & FLAG_NEW) && (!str_take_sized(&value, &r.new_image) || !is_item(r.new_image)))
		return ERR_CORRUPT;
	if (value.n)
		return ERR_CORRUPT;
	r.event = (enum stream_event)event;
	r.by_expiry = flags & FLAG_BY_EXPIRY;
	r.view = (enum table_stream_view)view;
	r.wall_ms = (int64_t)wall;
	*ret_record = r;
	return 0;
}

size_t stream_record_size(const struct stream_record *r)
{
	return item_size(r->keys) + item_size(r->old_image) + item_size(r->new_image);
}

/* ---- the document ---- */

static void put_shard(struct buf *out, const struct stream_shard *h)
{
	buf_put_sized(out, h->id);
	buf_put_sized(out, h->parent);
	buf_put_char(out, (char)h->bucket);
	buf_put_char(out, (char)h->state);
	buf_put_varint(out, (uint64_t)h->created_ms);
	buf_put_varint(out, (uint64_t)h->closed_ms);
	buf_put_varint(out, h->after);
	buf_put_varint(out, h->last);
	buf_put_varint(out, h->trimmed);
}

str stream_encode(struct arena *a, const struct stream *s)
{
	struct buf out;

	check(s->id && s->table.n && s->label.n == STREAM_LABEL_BYTES && s->partition.n &&
		s->shard_count <= STREAM_SHARDS_MAX);
	buf_init(&out, a, STREAM_DOCUMENT_MAX);
	buf_put_char(&out, DOCUMENT_VERSION_1);
	buf_put_be64(&out, s->id);
	buf_put_sized(&out, s->account);
	buf_put_sized(&out, s->region);
	buf_put_sized(&out, s->table);
	buf_put_sized(&out, s->label);
	buf_put_be64(&out, s->table_id);
	buf_put_char(&out, (char)s->view);
	buf_put_sized(&out, s->partition);
	buf_put_sized(&out, s->sort);
	buf_put_varint(&out, (uint64_t)s->created_ms);
	buf_put_varint(&out, (uint64_t)s->disabled_ms);
	buf_put_char(&out, (char)s->phase);
	buf_put_varint(&out, s->shard_count);
	for (size_t i = 0; i < s->shard_count; i++)
		put_shard(&out, &s->shards[i]);
	check(!out.over);
	return buf_str(&out);
}

/* An empty text stands for an absent one. */
static bool take_text(str *in, str *ret_text)
{
	if (!str_take_sized(in, ret_text))
		return false;
	if (!ret_text->n)
		*ret_text = STR_NULL;
	return true;
}

static bool take_time(str *in, int64_t *ret_ms)
{
	uint64_t v;

	if (!str_take_varint(in, &v) || v > INT64_MAX)
		return false;
	*ret_ms = (int64_t)v;
	return true;
}

static bool take_shard(str *in, struct stream_shard *h)
{
	uint8_t state;

	if (!take_text(in, &h->id) || !h->id.n || !take_text(in, &h->parent) ||
		!str_take_u8(in, &h->bucket) || h->bucket >= STREAM_BUCKETS ||
		!str_take_u8(in, &state) || state > SHARD_CLOSED ||
		!take_time(in, &h->created_ms) || !take_time(in, &h->closed_ms) ||
		!str_take_varint(in, &h->after) || !str_take_varint(in, &h->last) ||
		!str_take_varint(in, &h->trimmed))
		return false;
	h->state = (enum stream_shard_state)state;
	return h->trimmed >= h->after && (state != SHARD_CLOSED || h->last >= h->after);
}

static int decode_head(str *in, struct stream *s)
{
	uint8_t version, view, phase;

	if (!str_take_u8(in, &version))
		return ERR_CORRUPT;
	if (version != DOCUMENT_VERSION_1)
		return ERR_VERSION;
	if (!str_take_be64(in, &s->id) || !s->id || !take_text(in, &s->account) ||
		!take_text(in, &s->region) || !take_text(in, &s->table) || !s->table.n ||
		!take_text(in, &s->label) || s->label.n != STREAM_LABEL_BYTES ||
		!str_take_be64(in, &s->table_id) || !str_take_u8(in, &view) ||
		view > VIEW_NEW_AND_OLD_IMAGES || !take_text(in, &s->partition) ||
		!s->partition.n || !take_text(in, &s->sort) || !take_time(in, &s->created_ms) ||
		!take_time(in, &s->disabled_ms) || !str_take_u8(in, &phase) ||
		phase > STREAM_ENABLING)
		return ERR_CORRUPT;
	s->view = (enum table_stream_view)view;
	s->phase = (enum stream_phase)phase;
	return 0;
}

int stream_decode(struct arena *a, str document, struct stream *ret_stream)
{
	struct stream *s = ret_stream;
	uint64_t count;

	TRY(decode_head(&document, s));
	if (!str_take_varint(&document, &count) || count > STREAM_SHARDS_MAX)
		return ERR_CORRUPT;
	for (size_t i = 0; i < count; i++)
		if (!take_shard(&document, &s->shards[i]))
			return ERR_CORRUPT;
	if (document.n)
		return ERR_CORRUPT;
	s->shard_count = (size_t)count;
	s->arn = arena_printf(a, "arn:aws:dynamodb:%.*s:%.*s:table/%.*s/stream/%.*s",
		STR_ARG(s->region), STR_ARG(s->account), STR_ARG(s->table), STR_ARG(s->label));
	return 0;
}

/* ---- sequence numbers ---- */

void stream_sequence_text(uint64_t stamp, char ret_text[STREAM_SEQUENCE_BYTES])
{
	ret_text[0] = SEQUENCE_HEAD;
	for (size_t i = STREAM_SEQUENCE_BYTES - 1; i > 0; i--, stamp /= 10)
		ret_text[i] = (char)('0' + stamp % 10);
}

str stream_sequence(struct arena *a, uint64_t stamp)
{
	char *text = arena_bytes(a, STREAM_SEQUENCE_BYTES);

	stream_sequence_text(stamp, text);
	return str_of(text, STREAM_SEQUENCE_BYTES);
}

int stream_sequence_parse(str text, uint64_t *ret_stamp)
{
	return text.n == STREAM_SEQUENCE_BYTES && text.p[0] == SEQUENCE_HEAD &&
	       str_to_u64(str_from(text, 1), UINT64_MAX, ret_stamp) == 0;
}
