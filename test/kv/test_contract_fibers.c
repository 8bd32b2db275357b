/*
 * The cases of the contract suite with many fibers: serializability, linearizable keys, atomicity,
 * stamps and horizons. All of them work on a store that fails with the outcome unknown.
 *
 * The strongest is `serial`: every transaction also puts a stamped record into one log, so the
 * log's order is the commit order; replaying it over a plain model has to give exactly what each
 * transaction read, whoever's outcome was unknown.
 */
#include "base/mem.h"
#include "test/kv/contract.h"

/* Tries again what a wild store fails. */
static mayyield int sure_put(struct contract *c, str key, str value)
{
	int rc;

	do
		rc = kv_put(c->kv, key, value, RT_NEVER);
	while (rc == ERR_CONFLICT || (c->wild && outcome_unknown(rc)));
	return rc;
}

static void calm(struct contract *c)
{
	if (c->calm)
		c->calm(c);
}

/* --- the log that shows the order ------------------------------------------------------------ */

enum { SERIAL_KEYS = 12, SERIAL_TOUCHED_MAX = 4 };

enum serial_state { SERIAL_NOT_RUN, SERIAL_FAILED, SERIAL_UNKNOWN, SERIAL_DONE };

struct serial_txn {
	enum serial_state state;
	uint64_t stamp; /* as kv_commit gave it */
	unsigned n_reads, n_writes;
	struct {
		unsigned key;
		uint64_t value; /* 0: absent */
	} reads[2 * SERIAL_TOUCHED_MAX], writes[SERIAL_TOUCHED_MAX];
};

struct serial {
	struct contract *c;
	struct case_group group;
	struct serial_txn *txns; /* by id - 1 */
	_Atomic unsigned busy[SERIAL_KEYS];
	_Atomic unsigned done;
	struct serial_fiber {
		struct serial *s;
		unsigned number;
	} * fibers;
};

static mayyield int serial_read(
	struct kv_txn *txn, struct serial_txn *t, struct arena *a, unsigned key)
{
	str value = STR_NULL;
	int rc = TRY(kv_txn_get(txn, case_key(a, "n", key), a, &value));

	if (rc == 1 && value.n != 8)
		return ERR_INTERNAL;
	t->reads[t->n_reads].key = key;
	t->reads[t->n_reads++].value = rc == 1 ? case_be64(value.p) : 0;
	return 0;
}

static mayyield int serial_try(
	struct serial *s, struct serial_txn *t, uint64_t id, struct dice *r, struct arena *a)
{
	struct contract *c = s->c;
	struct kv_txn *txn cleanup(kv_txn_free_p) = NULL;
	unsigned n = dice_below(r, SERIAL_TOUCHED_MAX + 1), keys[SERIAL_TOUCHED_MAX];
	str declared[SERIAL_TOUCHED_MAX];
	int rc;

	for (unsigned i = 0; i < n; i++) {
		bool again;

		do {
			keys[i] = dice_below(r, SERIAL_KEYS);
			again = false;
			for (unsigned j = 0; j < i; j++)
				again |= keys[i] == keys[j];
		} while (again);
		declared[i] = case_key(a, "n", keys[i]);
	}
	TRY(kv_txn_begin(c->kv, declared, n, rt_now() + 60 * RT_NS_S, &txn));
	for (unsigned i = 0; i < n && c->latches; i++)
		EXPECT_INT(atomic_fetch_add(&s->busy[keys[i]], 1), 0);
	rc = 0;
	for (unsigned i = 0; i < n && rc == 0; i++)
		if (dice_below(r, 3))
			rc = serial_read(txn, t, a, keys[i]);
	for (unsigned i = dice_below(r, 3); i > 0 && rc == 0; i--)
		rc = serial_read(txn, t, a, dice_below(r, SERIAL_KEYS));
	for (unsigned i = 0; i < n && rc == 0; i++) {
		uint64_t v = dice_below(r, 5) ? id * 8 + i : 0;

		t->writes[t->n_writes].key = keys[i];
		t->writes[t->n_writes++].value = v;
		if (v)
			kv_txn_put(txn, declared[i], case_be64_of(a, v));
		else
			kv_txn_delete(txn, declared[i]);
	}
	for (unsigned i = 0; i < n && c->latches; i++)
		atomic_fetch_sub(&s->busy[keys[i]], 1);
	TRY(rc);
	kv_txn_put_stamped(
		txn, STR("log/"), STR("log"), STR("!"), case_be64_of(a, id), KV_NO_STAMP);
	rc = kv_commit(txn, &t->stamp);
	if (outcome_unknown(rc))
		t->state = SERIAL_UNKNOWN;
	return rc;
}

static void serial_fiber(void *arg)
{
	struct serial_fiber *f = arg;
	struct serial *s = f->s;
	struct contract *c = s->c;
	struct dice r = dice_of(c->seed, 100 + f->number);

	for (unsigned i = 0; i < c->rounds; i++) {
		unsigned place = f->number * c->rounds + i;
		struct serial_txn *t = &s->txns[place];
		struct arena a cleanup(arena_done_p) = {0};
		int rc;

		arena_init(&a, SIZE_MAX);
		t->state = SERIAL_FAILED;
		rc = serial_try(s, t, place + 1, &r, &a);
		if (rc == 0)
			t->state = SERIAL_DONE;
		else
			EXPECT(rc == ERR_CONFLICT || (c->wild && outcome_unknown(rc)));
		if (rc == 0)
			atomic_fetch_add(&s->done, 1);
	}
	case_group_leave(&s->group);
}

static void serial_replay(struct serial *s, struct serial_txn *t, uint64_t *model)
{
	unsigned n = s->c->fibers * s->c->rounds;

	ASSERT(t >= s->txns && t < s->txns + n);
	for (unsigned i = 0; i < t->n_reads; i++)
		EXPECT_INT(t->reads[i].value, model[t->reads[i].key]);
	for (unsigned i = 0; i < t->n_writes; i++)
		model[t->writes[i].key] = t->writes[i].value;
}

static mayyield void serial_check(struct serial *s)
{
	struct contract *c = s->c;
	struct kv_range range = {.from = STR("log/"), .to = STR("log0")};
	struct arena a cleanup(arena_done_p) = {0};
	struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
	uint64_t model[SERIAL_KEYS] = {0}, last = 0;
	unsigned n = c->fibers * c->rounds, logged = 0, acknowledged = 0;
	str key = STR_NULL, value = STR_NULL;
	int rc;

	arena_init(&a, SIZE_MAX);
	ASSERT_INT(kv_scan_open(c->kv, &range, &scan), 0);
	while ((rc = kv_scan_next(scan, &key, &value)) == 1) {
		uint64_t stamp, id;
		struct serial_txn *t;

		ASSERT_INT(key.n, 4 + 8 + 1);
		ASSERT_INT(value.n, 8);
		stamp = case_be64(key.p + 4);
		id = case_be64(value.p);
		ASSERT(id >= 1 && id <= n);
		t = &s->txns[id - 1];
		EXPECT(stamp > last);
		last = stamp;
		EXPECT(t->state == SERIAL_DONE || t->state == SERIAL_UNKNOWN);
		if (t->state == SERIAL_DONE) {
			EXPECT_INT(t->stamp, stamp);
			acknowledged++;
		}
		serial_replay(s, t, model);
		logged++;
	}
	EXPECT_INT(rc, 0);
	EXPECT_INT(acknowledged, s->done);
	EXPECT(logged > 0);
	for (unsigned i = 0; i < SERIAL_KEYS; i++) {
		rc = kv_get(c->kv, case_key(&a, "n", i), &a, &value);
		EXPECT_INT(rc, model[i] != 0);
		if (rc == 1)
			EXPECT_INT(case_be64(value.p), model[i]);
	}
}

void contract_serial(struct contract *c)
{
	struct serial s = {.c = c};

	s.txns = mem_new_array(struct serial_txn, (size_t)c->fibers * c->rounds);
	s.fibers = mem_new_array(struct serial_fiber, c->fibers);
	for (unsigned i = 0; i < c->fibers; i++)
		s.fibers[i] = (struct serial_fiber){&s, i};
	case_group_run(&s.group, serial_fiber, s.fibers, sizeof *s.fibers, c->fibers);
	calm(c);
	serial_check(&s);
	mem_free(s.fibers);
	mem_free(s.txns);
}

/* --- single keys are linearizable ------------------------------------------------------------ */

enum { COUNTERS = 3 };

struct counting {
	struct contract *c;
	struct case_group group;
	/* increments begun, those acknowledged, those that may or may not have happened */
	_Atomic uint64_t begun[COUNTERS], acknowledged[COUNTERS], unknown[COUNTERS];
	struct counting_fiber {
		struct counting *s;
		unsigned number;
	} * fibers;
};

struct increment {
	struct arena *a;
	str key;
};

static mayyield int increment(struct kv_txn *txn, void *arg)
{
	struct increment *in = arg;
	str value = STR_NULL;
	int found = TRY(kv_txn_get(txn, in->key, in->a, &value));

	kv_txn_put(txn, in->key, case_be64_of(in->a, (found ? case_be64(value.p) : 0) + 1));
	return 7;
}

static mayyield void count_read(struct counting *s, unsigned i, struct arena *a, str key)
{
	uint64_t low = atomic_load(&s->acknowledged[i]), seen, high;
	str value = STR_NULL;
	int rc = kv_get(s->c->kv, key, a, &value);

	if (s->c->wild && outcome_unknown(rc))
		return;
	ASSERT(rc >= 0);
	seen = rc == 1 ? case_be64(value.p) : 0;
	high = atomic_load(&s->begun[i]);
	EXPECT(seen >= low);
	EXPECT(seen <= high);
}

static void counting_fiber(void *arg)
{
	struct counting_fiber *f = arg;
	struct counting *s = f->s;
	struct dice r = dice_of(s->c->seed, 200 + f->number);

	for (unsigned n = 0; n < s->c->rounds; n++) {
		struct arena a cleanup(arena_done_p) = {0};
		unsigned i = dice_below(&r, COUNTERS);
		struct increment in = {.a = &a};
		int rc;

		arena_init(&a, SIZE_MAX);
		in.key = case_key(&a, "count", i);
		if (dice_below(&r, 2)) {
			count_read(s, i, &a, in.key);
			continue;
		}
		atomic_fetch_add(&s->begun[i], 1);
		rc = kv_run(s->c->kv, &in.key, 1, increment, &in, rt_now() + 120 * RT_NS_S);
		if (s->c->wild && outcome_unknown(rc))
			atomic_fetch_add(&s->unknown[i], 1);
		else if (EXPECT_INT(rc, 7))
			atomic_fetch_add(&s->acknowledged[i], 1);
	}
	case_group_leave(&s->group);
}

void contract_counting(struct contract *c)
{
	struct counting s = {.c = c};
	struct arena a cleanup(arena_done_p) = {0};

	arena_init(&a, SIZE_MAX);
	s.fibers = mem_new_array(struct counting_fiber, c->fibers);
	for (unsigned i = 0; i < c->fibers; i++)
		s.fibers[i] = (struct counting_fiber){&s, i};
	case_group_run(&s.group, counting_fiber, s.fibers, sizeof *s.fibers, c->fibers);
	calm(c);
	for (unsigned i = 0; i < COUNTERS; i++) {
		str value = STR_NULL;
		int rc = kv_get(c->kv, case_key(&a, "count", i), &a, &value);
		uint64_t sum = rc == 1 ? case_be64(value.p) : 0;

		EXPECT(rc >= 0);
		EXPECT(sum >= s.acknowledged[i] && sum <= s.acknowledged[i] + s.unknown[i]);
	}
	mem_free(s.fibers);
}

/* --- atomicity: sums in snapshots, scans and transactions ------------------------------------ */

enum { ACCOUNTS = 20, ACCOUNT_SUM = ACCOUNTS * 100 };

struct bank {
	struct contract *c;
	struct case_group group;
	struct bank_fiber {
		struct bank *s;
		unsigned number;
	} * fibers;
};

struct transfer {
	struct arena *a;
	str keys[2];
	uint64_t amount;
};

static mayyield int transfer(struct kv_txn *txn, void *arg)
{
	struct transfer *t = arg;
	str value = STR_NULL;
	uint64_t from, to;

	TRY(kv_txn_get(txn, t->keys[0], t->a, &value));
	from = case_be64(value.p);
	TRY(kv_txn_get(txn, t->keys[1], t->a, &value));
	to = case_be64(value.p);
	if (from < t->amount)
		return 0;
	kv_txn_put(txn, t->keys[0], case_be64_of(t->a, from - t->amount));
	kv_txn_put(txn, t->keys[1], case_be64_of(t->a, to + t->amount));
	return 0;
}

static mayyield int sum_by_scan(struct kv_scan *scan, uint64_t *ret_sum)
{
	str key = STR_NULL, value = STR_NULL;
	uint64_t sum = 0;
	unsigned n = 0;
	int rc;

	while ((rc = kv_scan_next(scan, &key, &value)) == 1) {
		sum += case_be64(value.p);
		n++;
	}
	kv_scan_close(scan);
	if (rc == 0)
		EXPECT_INT(n, ACCOUNTS);
	*ret_sum = sum;
	return rc;
}

static mayyield int sum_scan(struct bank *s, struct dice *r, uint64_t *ret_sum)
{
	struct kv_range range = {
		.from = STR("bank/"), .to = STR("bank0"), .reverse = dice_below(r, 2)};
	struct kv_snapshot *snapshot cleanup(kv_snapshot_close_p) = NULL;
	struct kv_scan *scan = NULL;

	range.limit = dice_below(r, 2) ? ACCOUNTS : 0;
	if (dice_below(r, 2)) {
		TRY(kv_scan_open(s->c->kv, &range, &scan));
		return sum_by_scan(scan, ret_sum);
	}
	TRY(kv_snapshot_open(s->c->kv, &snapshot));
	TRY(kv_snapshot_scan(snapshot, &range, &scan));
	return sum_by_scan(scan, ret_sum);
}

/* Tracked reads of one transaction see one state, even when it cannot commit. */
static mayyield int sum_tracked(struct bank *s, uint64_t *ret_sum)
{
	struct kv_txn *txn cleanup(kv_txn_free_p) = NULL;
	struct arena a cleanup(arena_done_p) = {0};
	uint64_t sum = 0;

	arena_init(&a, SIZE_MAX);
	TRY(kv_txn_begin(s->c->kv, NULL, 0, RT_NEVER, &txn));
	for (unsigned i = 0; i < ACCOUNTS; i++) {
		str value = STR_NULL;

		TRY(kv_txn_get(txn, case_key(&a, "bank", i), &a, &value));
		sum += case_be64(value.p);
	}
	*ret_sum = sum;
	return kv_commit(txn, NULL);
}

static void bank_fiber(void *arg)
{
	struct bank_fiber *f = arg;
	struct bank *s = f->s;
	struct dice r = dice_of(s->c->seed, 300 + f->number);

	for (unsigned n = 0; n < s->c->rounds; n++) {
		struct arena a cleanup(arena_done_p) = {0};
		unsigned from = dice_below(&r, ACCOUNTS), to = dice_below(&r, ACCOUNTS);
		struct transfer t = {.a = &a, .amount = dice_below(&r, 80)};
		uint64_t sum = ACCOUNT_SUM;
		int rc;

		arena_init(&a, SIZE_MAX);
		t.keys[0] = case_key(&a, "bank", from);
		t.keys[1] = case_key(&a, "bank", from == to ? (to + 1) % ACCOUNTS : to);
		switch (dice_below(&r, 4)) {
		case 0: rc = sum_scan(s, &r, &sum); break;
		case 1: rc = sum_tracked(s, &sum); break;
		default: rc = kv_run(s->c->kv, t.keys, 2, transfer, &t, rt_now() + 120 * RT_NS_S);
		}
		EXPECT(rc == 0 || rc == ERR_CONFLICT || (s->c->wild && outcome_unknown(rc)));
		if (rc == 0)
			EXPECT_INT(sum, ACCOUNT_SUM);
	}
	case_group_leave(&s->group);
}

void contract_bank(struct contract *c)
{
	struct bank s = {.c = c};
	struct dice r = dice_of(c->seed, 3);
	struct arena a cleanup(arena_done_p) = {0};
	uint64_t sum = 0;

	arena_init(&a, SIZE_MAX);
	for (unsigned i = 0; i < ACCOUNTS; i++)
		ASSERT_INT(sure_put(c, case_key(&a, "bank", i),
				   case_be64_of(&a, ACCOUNT_SUM / ACCOUNTS)),
			0);
	s.fibers = mem_new_array(struct bank_fiber, c->fibers);
	for (unsigned i = 0; i < c->fibers; i++)
		s.fibers[i] = (struct bank_fiber){&s, i};
	case_group_run(&s.group, bank_fiber, s.fibers, sizeof *s.fibers, c->fibers);
	calm(c);
	EXPECT_INT(sum_scan(&s, &r, &sum), 0);
	EXPECT_INT(sum, ACCOUNT_SUM);
	mem_free(s.fibers);
}

/* --- stamps and horizons --------------------------------------------------------------------- */

enum { DOMAINS = 3, DOMAIN_RECORDS_MAX = 1 << 14 };

struct follow {
	struct contract *c;
	struct case_group group;
	_Atomic bool written;
	_Atomic unsigned committed[DOMAINS], unknown[DOMAINS];
	unsigned followed[DOMAINS];
	struct follow_fiber {
		struct follow *s;
		unsigned number; /* the first DOMAINS follow, the others write */
	} * fibers;
	_Atomic unsigned writers;
};

static str domain_of(struct arena *a, unsigned d)
{
	return arena_printf(a, "domain-%u", d);
}

/* Some records, each in a domain by chance, in one transaction. */
static mayyield int follow_write(struct follow *s, struct dice *r)
{
	struct kv_txn *txn cleanup(kv_txn_free_p) = NULL;
	struct arena a cleanup(arena_done_p) = {0};
	unsigned n = 1 + dice_below(r, 3), domain[3];
	uint64_t stamp = 0;
	int rc;

	arena_init(&a, SIZE_MAX);
	TRY(kv_txn_begin(s->c->kv, NULL, 0, RT_NEVER, &txn));
	for (unsigned i = 0; i < n; i++) {
		str value = STR("in front12345678behind");

		domain[i] = dice_below(r, DOMAINS);
		kv_txn_put_stamped(txn, case_key(&a, "d", domain[i]), domain_of(&a, domain[i]),
			STR("/tail"), value, 8);
	}
	rc = kv_commit(txn, &stamp);
	for (unsigned i = 0; i < n; i++)
		if (rc == 0)
			atomic_fetch_add(&s->committed[domain[i]], 1);
		else if (outcome_unknown(rc))
			atomic_fetch_add(&s->unknown[domain[i]], 1);
	TRY(rc);
	EXPECT_INT(stamp, kv_txn_stamp(txn, n - 1));
	for (unsigned i = 0; i + 1 < n; i++)
		for (unsigned j = i + 1; j < n; j++)
			if (domain[i] == domain[j])
				EXPECT(kv_txn_stamp(txn, i) < kv_txn_stamp(txn, j));
	return 0;
}

/* Reads what lies in (*at, horizon], checks it, and moves *at to the horizon. */
static mayyield int follow_once(struct follow *s, unsigned d, uint64_t *at, unsigned *count)
{
	struct arena a cleanup(arena_done_p) = {0};
	struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
	struct kv_range range = {0};
	str prefix, key = STR_NULL, value = STR_NULL;
	uint64_t horizon = 0, last = *at;
	unsigned n = 0;
	int rc;

	arena_init(&a, SIZE_MAX);
	prefix = case_key(&a, "d", d);
	TRY(kv_horizon(s->c->kv, domain_of(&a, d), &horizon));
	EXPECT(horizon >= *at);
	range.from = ARENA_CONCAT(&a, prefix, case_be64_of(&a, *at + 1));
	range.to = ARENA_CONCAT(&a, prefix, case_be64_of(&a, horizon + 1));
	TRY(kv_scan_open(s->c->kv, &range, &scan));
	while ((rc = kv_scan_next(scan, &key, &value)) == 1) {
		uint64_t stamp = case_be64(key.p + prefix.n);

		EXPECT(stamp > last && stamp <= horizon);
		EXPECT_INT(key.n, prefix.n + 8 + 5);
		EXPECT_STR(str_from(key, prefix.n + 8), STR("/tail"));
		EXPECT_INT(case_be64(value.p + 8), stamp);
		EXPECT_STR(str_sub(value, 0, 8), STR("in front"));
		EXPECT_STR(str_from(value, 16), STR("behind"));
		last = stamp;
		n++;
	}
	TRY(rc);
	*at = horizon;
	*count += n;
	return 0;
}

static mayyield void follow_domain(struct follow *s, unsigned d)
{
	uint64_t at = 0;
	unsigned idle = 0;

	/* until nothing new came for long after the last write */
	while (idle < 30) {
		unsigned before = s->followed[d];
		int rc = follow_once(s, d, &at, &s->followed[d]);

		EXPECT(rc == 0 || (s->c->wild && outcome_unknown(rc)));
		if (rc == 0 && atomic_load(&s->written) && s->followed[d] == before)
			idle++;
		else
			idle = 0;
		EXPECT_INT(rt_sleep_until(rt_now() + RT_NS_MS), 0);
	}
}

static void follow_fiber(void *arg)
{
	struct follow_fiber *f = arg;
	struct follow *s = f->s;
	struct dice r = dice_of(s->c->seed, 400 + f->number);

	if (f->number < DOMAINS) {
		follow_domain(s, f->number);
	} else {
		for (unsigned i = 0; i < s->c->rounds; i++) {
			int rc = follow_write(s, &r);

			EXPECT(rc == 0 || rc == ERR_CONFLICT ||
				(s->c->wild && outcome_unknown(rc)));
			if (dice_below(&r, 8) == 0)
				EXPECT_INT(rt_sleep_until(rt_now() + RT_NS_MS), 0);
		}
		if (atomic_fetch_sub(&s->writers, 1) == 1) {
			calm(s->c);
			atomic_store(&s->written, true);
		}
	}
	case_group_leave(&s->group);
}

void contract_follow(struct contract *c)
{
	struct follow s = {.c = c};
	unsigned n = c->fibers + DOMAINS;

	s.fibers = mem_new_array(struct follow_fiber, n);
	atomic_store(&s.writers, c->fibers);
	for (unsigned i = 0; i < n; i++)
		s.fibers[i] = (struct follow_fiber){&s, i};
	case_group_run(&s.group, follow_fiber, s.fibers, sizeof *s.fibers, n);
	for (unsigned d = 0; d < DOMAINS; d++) {
		EXPECT(s.followed[d] >= s.committed[d]);
		EXPECT(s.followed[d] <= s.committed[d] + s.unknown[d]);
	}
	mem_free(s.fibers);
}
