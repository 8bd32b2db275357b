/*
 * See reader.h.
 */
#include "services/s3/reader.h"

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "rt/file.h"

enum { OPEN_TRIES = 10 };

/* On an object of more than one segment, by the id of its first one. */
struct pin {
	struct list link; /* in s3->pins */
	struct blob_id id;
	unsigned readers;
	bool dropped; /* the last reader removes `segments` */
	struct s3_segment *segments;
	uint32_t count;
};

struct s3_reader {
	struct s3 *s3;
	struct s3_segment *segments;
	uint32_t count;
	uint64_t bytes, at;
	int fd; /* of segment `fd_of`; -1: none is open */
	uint32_t fd_of;
	char *small; /* of the segment that is in the store */
	struct pin *pin;
};

/* ---- pins ---- */

static struct pin *find_pin(struct s3 *s3, struct blob_id id)
{
	list_for_each(at, &s3->pins) {
		struct pin *pin = list_entry(at, struct pin, link);

		if (memcmp(pin->id.bytes, id.bytes, BLOB_ID_BYTES) == 0)
			return pin;
	}
	return NULL;
}

static struct s3_segment *copy_segments(const struct s3_segment *segments, uint32_t count)
{
	struct s3_segment *copy = mem_new_array(struct s3_segment, count + 1);

	if (count)
		memcpy(copy, segments, count * sizeof *copy);
	return copy;
}

static struct pin *pin_take(struct s3 *s3, const struct s3_object *o)
{
	struct pin *pin;

	pthread_mutex_lock(&s3->pins_lock);
	pin = find_pin(s3, o->segments[0].id);
	if (!pin) {
		pin = mem_new(struct pin);
		pin->id = o->segments[0].id;
		pin->segments = copy_segments(o->segments, o->segment_count);
		pin->count = o->segment_count;
		list_push_back(&s3->pins, &pin->link);
	}
	pin->readers++;
	pthread_mutex_unlock(&s3->pins_lock);
	return pin;
}

static void remove_files(struct s3 *s3, const struct s3_segment *segments, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		int rc = segments[i].in_store ? 0 : blob_remove(s3->blobs, segments[i].id);

		if (rc < 0)
			log_warn(
				"s3", "a body stays until the next start", "error=%s", rc_name(rc));
	}
}

static void pin_give(struct s3 *s3, struct pin *pin)
{
	bool last;

	if (!pin)
		return;
	pthread_mutex_lock(&s3->pins_lock);
	last = --pin->readers == 0;
	if (last)
		list_remove(&pin->link);
	pthread_mutex_unlock(&s3->pins_lock);
	if (!last)
		return;
	if (pin->dropped)
		remove_files(s3, pin->segments, pin->count);
	mem_free(pin->segments);
	mem_free(pin);
}

void s3_segments_remove(struct s3 *s3, const struct s3_segment *segments, uint32_t count)
{
	struct pin *pin = NULL;

	if (count > 1) {
		pthread_mutex_lock(&s3->pins_lock);
		pin = find_pin(s3, segments[0].id);
		if (pin)
			pin->dropped = true;
		pthread_mutex_unlock(&s3->pins_lock);
	}
	if (!pin)
		remove_files(s3, segments, count);
}

/* ---- opening ---- */

static int load_small(struct s3_reader *r)
{
	cleanup(arena_done_p) struct arena a;

	arena_init(&a, SIZE_MAX);
	for (uint32_t i = 0; i < r->count; i++) {
		const struct s3_segment *s = &r->segments[i];
		str value;

		if (!s->in_store)
			continue;
		if (TRY(kv_get(r->s3->kv, s3_key_blob(&a, s->id), &a, &value)) == 0)
			return ERR_NOT_FOUND;
		if (value.n != s->bytes + 1 || value.p[0] != 1)
			return ERR_CORRUPT;
		check(!r->small); /* only a last part is small */
		r->small = mem_alloc(value.n);
		memcpy(r->small, value.p + 1, value.n - 1);
	}
	return 0;
}

static int open_segment(struct s3_reader *r, uint32_t i)
{
	int fd;

	if (r->fd >= 0 && r->fd_of == i)
		return 0;
	if (r->fd >= 0)
		rt_file_close(r->fd);
	r->fd = -1;
	fd = TRY(blob_read(r->s3->blobs, r->segments[i].id));
	r->fd = fd;
	r->fd_of = i;
	return 0;
}

/* ERR_NOT_FOUND: the object has been replaced since it was looked at. */
static int hold(
	struct s3_reader *r, struct arena *a, uint64_t bucket, str key, const struct s3_object *o)
{
	struct s3_object again;

	if (o->segment_count > 1) {
		r->pin = pin_take(r->s3, o);
		/* Who has replaced it before may not have seen the pin. */
		if (TRY(s3_object_load(r->s3->kv, a, bucket, key, &again)) == 0 ||
			again.time != o->time)
			return ERR_NOT_FOUND;
	}
	TRY(load_small(r));
	return o->segment_count == 1 && !o->segments[0].in_store ? open_segment(r, 0) : 0;
}

int s3_reader_open(struct s3 *s3, struct arena *a, uint64_t bucket, str key,
	struct s3_object *ret_object, struct s3_reader **ret_reader)
{
	for (unsigned i = 0; i < OPEN_TRIES; i++) {
		struct s3_reader *r;
		struct s3_object o;
		int rc;

		if (TRY(s3_object_load(s3->kv, a, bucket, key, &o)) == 0)
			return 0;
		r = mem_new(struct s3_reader);
		*r = (struct s3_reader){.s3 = s3,
			.segments = copy_segments(o.segments, o.segment_count),
			.count = o.segment_count,
			.bytes = o.bytes,
			.fd = -1};
		rc = hold(r, a, bucket, key, &o);
		if (rc == 0) {
			*ret_object = o;
			*ret_reader = r;
			return 1;
		}
		s3_reader_close(r);
		if (rc != ERR_NOT_FOUND)
			return rc;
	}
	return ERR_BUSY;
}

void s3_reader_close(struct s3_reader *r)
{
	if (!r)
		return;
	if (r->fd >= 0)
		rt_file_close(r->fd);
	pin_give(r->s3, r->pin);
	mem_free(r->small);
	mem_free(r->segments);
	mem_free(r);
}

void s3_reader_close_p(struct s3_reader **r)
{
	s3_reader_close(*r);
}

/* ---- reading ---- */

void s3_reader_seek(struct s3_reader *r, uint64_t offset)
{
	check(offset <= r->bytes);
	r->at = offset;
}

int s3_reader_read(struct s3_reader *r, void *to, size_t n)
{
	uint64_t begin = 0;
	uint32_t i = 0;
	int got;

	while (i < r->count && r->at >= begin + r->segments[i].bytes)
		begin += r->segments[i++].bytes;
	if (i == r->count || n == 0)
		return 0;
	n = MIN(n, (size_t)INT32_MAX);
	n = MIN((uint64_t)n, begin + r->segments[i].bytes - r->at);
	if (r->segments[i].in_store) {
		memcpy(to, r->small + (r->at - begin), n);
		r->at += n;
		return (int)n;
	}
	TRY(open_segment(r, i));
	got = TRY(rt_file_read(r->fd, to, n, r->at - begin));
	if (got == 0)
		return ERR_CORRUPT;
	r->at += (uint64_t)got;
	return got;
}
