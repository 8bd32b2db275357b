/*
 * The checks, in the order in which each stands on those before it.
 */
#include "test/sim/history.h"

#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>

enum { SHOWN = 12 };

static const struct model_condition is_there = {
	.count = 1, .terms = {{.test = MODEL_EXISTS, .attribute = MODEL_W}}};

/* --- collecting ----------------------------------------------------------------------------- */

/* Room for one more element; the capacities are powers of two. */
static void *grown(void *p, size_t n, size_t size)
{
	return n & (n - 1) ? p : mem_realloc(p, MAX(n * 2, (size_t)1) * size);
}

void history_add_write(struct history *h, const struct history_write *write)
{
	h->writes = grown(h->writes, h->n_writes, sizeof *write);
	h->writes[h->n_writes++] = *write;
}

void history_add_read(struct history *h, const struct history_read *read)
{
	if (!read->item.exists && !read->group) {
		history_add_miss(h, &(struct history_miss){read->begun, read->ended, read->key,
					    is_there, "read as absent"});
		return;
	}
	h->reads = grown(h->reads, h->n_reads, sizeof *read);
	h->reads[h->n_reads++] = *read;
}

void history_add_miss(struct history *h, const struct history_miss *miss)
{
	h->misses = grown(h->misses, h->n_misses, sizeof *miss);
	h->misses[h->n_misses++] = *miss;
}

void history_add_record(struct history *h, const struct history_record *record)
{
	h->records = grown(h->records, h->n_records, sizeof *record);
	h->records[h->n_records++] = *record;
}

void history_done(struct history *h)
{
	mem_free(h->writes);
	mem_free(h->reads);
	mem_free(h->misses);
	mem_free(h->records);
}

/* --- saying what is wrong ------------------------------------------------------------------- */

static void show_write(const struct history_write *e)
{
	static const char *const outcomes[] = {"done", "unknown", "refused"};
	static const char *const kinds[] = {"put", "update", "delete", "check"};
	struct arena a cleanup(arena_done_p) = {.budget_bytes = 1 << 20};
	struct buf text;

	buf_init(&text, &a, 1 << 16);
	model_put_text(&text, &e->op.item);
	fprintf(stderr, "  [%lld, %lld] %s %s, transaction %llu, gives %.*s\n",
		(long long)e->begun / 1000, (long long)e->ended / 1000, kinds[e->op.kind],
		outcomes[e->outcome], (unsigned long long)e->group, STR_ARG(buf_str(&text)));
}

static void show_record(const struct history_record *r)
{
	struct arena a cleanup(arena_done_p) = {.budget_bytes = 1 << 20};
	struct buf text;

	buf_init(&text, &a, 1 << 16);
	model_put_text(&text, &r->old_item);
	buf_put(&text, STR(" -> "));
	model_put_text(&text, &r->new_item);
	fprintf(stderr, "  [%lld, %lld] record %s: %.*s%s\n",
		r->low == INT64_MIN ? 0 : (long long)r->low / 1000,
		r->high == INT64_MAX ? -1 : (long long)r->high / 1000, r->sequence,
		STR_ARG(buf_str(&text)), r->by_expiry ? " (expired)" : "");
}

static void show_item(const struct history *h, unsigned key)
{
	unsigned shown = 0;

	for (size_t i = h->n_writes; i-- > 0 && shown < SHOWN;)
		if (h->writes[i].op.key == key) {
			show_write(&h->writes[i]);
			shown++;
		}
	shown = 0;
	for (size_t i = h->n_records; i-- > 0 && shown < SHOWN;)
		if (h->records[i].key == key) {
			show_record(&h->records[i]);
			shown++;
		}
}

void history_fail(struct history *h, unsigned key, const char *format, ...)
{
	char text[400];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	world_fail(h->w, "item k%u/%u: %s; newest first, in us:", key / MODEL_SORTS,
		key % MODEL_SORTS, text);
	if (h->w->failures <= 3)
		show_item(h, key);
}

/* --- records against writes ----------------------------------------------------------------- */

static struct history_write *write_of(struct history *h, unsigned key, int64_t w)
{
	for (size_t i = 0; i < h->n_writes; i++)
		if (h->writes[i].op.key == key && h->writes[i].op.item.value[MODEL_W] == w &&
			(h->writes[i].op.kind == MODEL_PUT || h->writes[i].op.kind == MODEL_UPDATE))
			return &h->writes[i];
	return NULL;
}

/* The record that made this version; their number: none. */
static size_t maker_of(const struct history *h, unsigned key, int64_t w)
{
	for (size_t i = 0; i < h->n_records; i++)
		if (h->records[i].key == key && h->records[i].new_item.exists &&
			h->records[i].new_item.value[MODEL_W] == w)
			return i;
	return h->n_records;
}

/* The item as the first `position` records leave it. */
static struct model_item state_at(const struct history *h, unsigned key, size_t position)
{
	while (position-- > 0)
		if (h->records[position].key == key)
			return h->records[position].new_item;
	return (struct model_item){0};
}

static void own(struct history *h, struct history_record *r, struct history_write *e)
{
	if (e->claimed)
		history_fail(h, r->key, "write %lld has two records",
			(long long)e->op.item.value[MODEL_W]);
	e->claimed = true;
	r->owned = true;
	r->low = e->begun;
	r->high = e->outcome == HISTORY_DONE ? e->ended : INT64_MAX;
}

static void check_maker(struct history *h, struct history_record *r)
{
	int64_t w = r->new_item.value[MODEL_W];
	struct history_write *e = write_of(h, r->key, w);
	struct model_item made;

	if (!e) {
		history_fail(h, r->key, "version %lld was written by nobody", (long long)w);
		return;
	}
	own(h, r, e);
	if (e->outcome == HISTORY_REFUSED)
		history_fail(h, r->key, "write %lld was refused and has happened", (long long)w);
	if (!model_holds(&e->op.condition, &r->old_item))
		history_fail(h, r->key, "write %lld happened against its condition", (long long)w);
	made = model_apply(&e->op, &r->old_item);
	if (!model_equal(&made, &r->new_item))
		history_fail(
			h, r->key, "write %lld made another item than it should", (long long)w);
	if (e->saw && !model_equal(&e->seen, &r->old_item))
		history_fail(h, r->key, "write %lld was told that it replaced another item",
			(long long)w);
}

static void check_chain(struct history *h)
{
	for (size_t i = 0; i < h->n_records; i++) {
		struct history_record *r = &h->records[i];
		struct model_item before = state_at(h, r->key, i);

		r->low = INT64_MIN;
		r->high = INT64_MAX;
		r->next = h->n_records;
		for (size_t j = i; j-- > 0;)
			if (h->records[j].key == r->key) {
				h->records[j].next = i;
				break;
			}
		if (i && strcmp(h->records[i - 1].sequence, r->sequence) >= 0)
			history_fail(
				h, r->key, "record %s is not after the one before it", r->sequence);
		if (!model_equal(&before, &r->old_item))
			history_fail(h, r->key, "record %s does not replace what was there",
				r->sequence);
		if (r->new_item.exists)
			check_maker(h, r);
	}
	for (unsigned key = 0; key < MODEL_KEYS; key++)
		h->final[key] = state_at(h, key, h->n_records);
}

/* Whatever was acknowledged is in the stream. */
static void check_acknowledged(struct history *h)
{
	for (size_t i = 0; i < h->n_writes; i++) {
		struct history_write *e = &h->writes[i];

		if ((e->op.kind == MODEL_PUT || e->op.kind == MODEL_UPDATE) &&
			e->outcome == HISTORY_DONE && !e->claimed)
			history_fail(h, e->op.key, "acknowledged write %lld has not happened",
				(long long)e->op.item.value[MODEL_W]);
	}
}

/* --- deletions ------------------------------------------------------------------------------ */

/* Those that were told what they deleted. */
static void claim_told(struct history *h, struct history_write *e)
{
	size_t made = maker_of(h, e->op.key, e->seen.value[MODEL_W]), gone;

	if (made == h->n_records || !model_equal(&h->records[made].new_item, &e->seen)) {
		history_fail(h, e->op.key, "a deletion was told of an item that never was");
		return;
	}
	gone = h->records[made].next;
	if (gone == h->n_records || h->records[gone].new_item.exists || h->records[gone].owned ||
		h->records[gone].by_expiry) {
		history_fail(h, e->op.key, "version %lld was deleted by more than one, or not",
			(long long)e->seen.value[MODEL_W]);
		return;
	}
	own(h, &h->records[gone], e);
}

/* May the write have made the record, which nobody was told of? */
static bool is_suspect(const struct history_write *e, const struct history_record *r)
{
	int64_t ended = e->outcome == HISTORY_DONE ? e->ended : INT64_MAX;

	return e->op.kind == MODEL_DELETE && e->op.key == r->key && !e->claimed && !e->saw &&
	       e->outcome != HISTORY_REFUSED && e->begun <= r->high && ended >= r->low &&
	       model_holds(&e->op.condition, &r->old_item);
}

/*
 * Gives the record a write of its own: a free one, or one whose record finds another (the step of
 * a bipartite matching). `tried`: of writes.
 */
static bool find_suspect(struct history *h, size_t record, bool *tried)
{
	for (size_t i = 0; i < h->n_writes; i++) {
		struct history_write *e = &h->writes[i];

		if (tried[i] || !is_suspect(e, &h->records[record]))
			continue;
		tried[i] = true;
		if (!e->suspect_of || find_suspect(h, e->suspect_of - 1, tried)) {
			e->suspect_of = record + 1;
			return true;
		}
	}
	return false;
}

static void check_deletions(struct history *h)
{
	for (size_t i = 0; i < h->n_writes; i++) {
		struct history_write *e = &h->writes[i];

		if (e->op.kind != MODEL_DELETE || e->outcome != HISTORY_DONE)
			continue;
		if (e->saw && e->seen.exists)
			claim_told(h, e);
		else
			history_add_miss(h, &(struct history_miss){e->begun, e->ended, e->op.key,
						    is_there, "deleted"});
	}
}

static void check_suspects(struct history *h)
{
	bool *tried = mem_zero_array(h->n_writes + 1, sizeof *tried);

	for (size_t i = 0; i < h->n_records; i++) {
		struct history_record *r = &h->records[i];

		if (r->new_item.exists || r->owned)
			continue;
		if (r->by_expiry) {
			if (!r->old_item.has[MODEL_T] || r->old_item.value[MODEL_T] > r->second)
				history_fail(
					h, r->key, "expired in second %lld", (long long)r->second);
			continue;
		}
		memset(tried, 0, h->n_writes * sizeof *tried);
		if (!find_suspect(h, i, tried))
			history_fail(h, r->key, "record %s: deleted by nobody", r->sequence);
	}
	mem_free(tried);
}

/* --- transactions --------------------------------------------------------------------------- */

/* The record of the transaction's deletion of this item would be this one. */
static struct history_write *deletion_in(
	struct history *h, size_t position, struct history_write *e, size_t n)
{
	const struct history_record *r = &h->records[position];

	if (r->new_item.exists || r->owned || r->by_expiry)
		return NULL;
	for (size_t i = 0; i < n; i++)
		if (e[i].op.kind == MODEL_DELETE && e[i].op.key == r->key && !e[i].claimed &&
			model_holds(&e[i].op.condition, &r->old_item))
			return &e[i];
	return NULL;
}

/*
 * Deletions between and right behind the transaction's records are its own. Those right before them
 * may be its own, or were there when it began: returns where they begin.
 */
static size_t claim_deletions(
	struct history *h, struct history_write *e, size_t n, size_t first, size_t *last)
{
	struct history_write *d;

	for (size_t i = first; i <= *last; i++)
		if ((d = deletion_in(h, i, e, n)))
			own(h, &h->records[i], d);
	for (; *last + 1 < h->n_records && (d = deletion_in(h, *last + 1, e, n)); ++*last)
		own(h, &h->records[*last + 1], d);
	while (first > 0 && deletion_in(h, first - 1, e, n))
		first--;
	return first;
}

/* Where the transaction's puts and updates stand: how many of them do. */
static size_t find_transaction(const struct history *h, const struct history_write *e, size_t n,
	size_t *first, size_t *last)
{
	size_t found = 0;

	*first = h->n_records;
	*last = 0;
	for (size_t i = 0; i < n; i++) {
		size_t at = h->n_records;

		if (e[i].op.kind == MODEL_PUT || e[i].op.kind == MODEL_UPDATE)
			at = maker_of(h, e[i].op.key, e[i].op.item.value[MODEL_W]);
		if (at == h->n_records)
			continue;
		found++;
		*first = MIN(*first, at);
		*last = MAX(*last, at);
	}
	return found;
}

/* The records of a transaction stand side by side; what it only looked at held before them. */
static void check_transaction(struct history *h, struct history_write *e, size_t n)
{
	unsigned long long group = e->group;
	size_t first, last, begin, writes = 0;
	size_t found = find_transaction(h, e, n, &first, &last);

	for (size_t i = 0; i < n; i++)
		writes += e[i].op.kind == MODEL_PUT || e[i].op.kind == MODEL_UPDATE;
	if (!found)
		return;
	if (found != writes)
		history_fail(h, e->op.key, "%zu of %zu writes of transaction %llu have happened",
			found, writes, group);
	begin = claim_deletions(h, e, n, first, &last);
	if (last - first >= n)
		history_fail(h, e->op.key, "something happened inside transaction %llu", group);
	for (size_t i = 0; i < n; i++) {
		struct model_item after = state_at(h, e[i].op.key, last + 1);
		bool holds = false;

		for (size_t at = begin; at <= first && !holds; at++) {
			struct model_item before = state_at(h, e[i].op.key, at);

			holds = model_holds(&e[i].op.condition, &before);
		}
		if (!holds)
			history_fail(h, e[i].op.key,
				"transaction %llu happened against a condition", group);
		if (e[i].op.kind == MODEL_DELETE && after.exists)
			history_fail(h, e[i].op.key, "transaction %llu did not delete it", group);
	}
}

static void check_transactions(struct history *h)
{
	for (size_t i = 0, n; i < h->n_writes; i += n) {
		for (n = 1; h->writes[i].group && i + n < h->n_writes &&
			    h->writes[i + n].group == h->writes[i].group;)
			n++;
		if (h->writes[i].group && h->writes[i].outcome != HISTORY_REFUSED)
			check_transaction(h, &h->writes[i], n);
	}
}

/* --- times ---------------------------------------------------------------------------------- */

static void narrow(struct history *h)
{
	for (size_t i = 0; i < h->n_reads; i++) {
		const struct history_read *e = &h->reads[i];
		size_t made;

		if (!e->item.exists)
			continue;
		made = maker_of(h, e->key, e->item.value[MODEL_W]);
		if (made == h->n_records || !model_equal(&h->records[made].new_item, &e->item)) {
			history_fail(h, e->key, "version %lld was read and never was",
				(long long)e->item.value[MODEL_W]);
			continue;
		}
		h->records[made].high = MIN(h->records[made].high, e->ended);
		if (h->records[made].next < h->n_records) {
			struct history_record *next = &h->records[h->records[made].next];

			next->low = MAX(next->low, e->begun);
		}
	}
}

static void check_times(struct history *h)
{
	narrow(h);
	for (size_t i = 1; i < h->n_records; i++)
		h->records[i].low = MAX(h->records[i].low, h->records[i - 1].low);
	for (size_t i = h->n_records; i-- > 1;)
		h->records[i - 1].high = MIN(h->records[i - 1].high, h->records[i].high);
	for (size_t i = 0; i < h->n_records; i++)
		if (h->records[i].low > h->records[i].high) {
			history_fail(h, h->records[i].key,
				"record %s: somebody saw the past, or the future",
				h->records[i].sequence);
			break; /* the others follow from it */
		}
}

static bool missed_at(const struct history *h, const struct history_miss *m, int64_t from,
	size_t next, const struct model_item *item)
{
	int64_t to = next < h->n_records ? h->records[next].high : INT64_MAX;

	return from <= m->ended && m->begun <= to && !model_holds(&m->condition, item);
}

static void check_misses(struct history *h)
{
	for (size_t i = 0; i < h->n_misses; i++) {
		const struct history_miss *m = &h->misses[i];
		struct model_item nothing = {0};
		size_t first = 0;
		bool found;

		while (first < h->n_records && h->records[first].key != m->key)
			first++;
		found = missed_at(h, m, INT64_MIN, first, &nothing);
		for (size_t j = first; j < h->n_records && !found; j = h->records[j].next)
			found = missed_at(h, m, h->records[j].low, h->records[j].next,
				&h->records[j].new_item);
		if (!found)
			history_fail(h, m->key, "%s in [%lld, %lld] us, which cannot be", m->why,
				(long long)m->begun / 1000, (long long)m->ended / 1000);
	}
}

/* --- reads in a transaction ----------------------------------------------------------------- */

static bool cut_fits(const struct history *h, const struct history_read *e, size_t n, size_t cut)
{
	if (cut > 0 && h->records[cut - 1].low > e->ended)
		return false;
	if (cut < h->n_records && h->records[cut].high < e->begun)
		return false;
	for (size_t i = 0; i < n; i++) {
		struct model_item then = state_at(h, e[i].key, cut);

		if (!model_equal(&then, &e[i].item))
			return false;
	}
	return true;
}

/* What was read together stood together. */
static void check_cut(struct history *h, size_t from, size_t n)
{
	for (size_t cut = 0; cut <= h->n_records; cut++)
		if (cut_fits(h, &h->reads[from], n, cut))
			return;
	history_fail(h, h->reads[from].key, "%zu items were read that never stood together", n);
}

static void check_cuts(struct history *h)
{
	for (size_t i = 0, n; i < h->n_reads; i += n) {
		for (n = 1; h->reads[i].group && i + n < h->n_reads &&
			    h->reads[i + n].group == h->reads[i].group;)
			n++;
		if (h->reads[i].group)
			check_cut(h, i, n);
	}
}

void history_check(struct history *h)
{
	check_chain(h);
	check_acknowledged(h);
	check_deletions(h);
	check_transactions(h);
	check_times(h);
	check_suspects(h);
	check_misses(h);
	check_cuts(h);
}
