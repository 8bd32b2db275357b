/*
 * The simulated runtime: reproducible from its seed, virtual time, network with faults, pools.
 * SEEDS in the environment runs more seeds.
 */
#include "rt/sim.h"
#include "rt/stream.h"
#include "test/test.h"

#include <stdio.h>

struct sim_case {
	void (*main_fn)(void *arg);
	void *arg;
	unsigned loops;
	struct rt_sim_options sim;
	int rc;
	uint64_t trace, steps;
};

static void run(struct sim_case *c, uint64_t seed)
{
	struct rt_options options = {
		.mode = RT_SIMULATED, .loops = c->loops, .seed = seed, .sim = &c->sim};
	struct rt *rt;

	ASSERT_INT(rt_new(&options, &rt), 0);
	c->rc = rt_run(rt, c->main_fn, c->arg);
	c->trace = rt_sim_trace(rt);
	c->steps = rt_sim_steps(rt);
	rt_free(rt);
}

/* --- time ------------------------------------------------------------------------------------- */

static void sleeps(void *arg)
{
	int64_t wall = rt_wall(), now = rt_now();

	(void)arg;
	EXPECT_INT(rt_sleep_until(now + 3600 * RT_NS_S), 0);
	EXPECT(rt_now() - now >= 3600 * RT_NS_S && rt_now() - now < 3601 * RT_NS_S);
	EXPECT_INT(rt_wall() - wall, rt_now() - now);
	rt_stop(rt_self());
}

TEST(rt_sim, an_hour_at_once)
{
	struct sim_case c = {.main_fn = sleeps};

	run(&c, 1);
	EXPECT_INT(c.rc, 0);
}

static void hangs(void *arg)
{
	struct rt_waitq q;

	(void)arg;
	rt_waitq_init(&q);
	(void)!rt_waitq_wait(&q, RT_NEVER);
}

TEST(rt_sim, a_deadlock_is_found)
{
	struct sim_case c = {.main_fn = hangs};

	run(&c, 1);
	EXPECT_INT(c.rc, ERR_TIMEOUT);
}

/* --- echo over the network, with clients on every loop ------------------------------------------
 */

enum { CLIENTS = 12, ROUNDS = 10, LONG = 150000 };

struct echo {
	struct rt_listener *listener;
	struct rt_event done;
	_Atomic unsigned left;
	unsigned broken, whole;
	bool resets;
	uint64_t order; /* in which order clients ended */
};

static void echo_serve(void *arg)
{
	char part[3000];
	int n;

	while ((n = rt_stream_read(arg, part, sizeof part, rt_after_ms(60000))) > 0)
		if (rt_stream_write(arg, str_of(part, (size_t)n), rt_after_ms(60000)) < 0)
			break;
	rt_stream_close(arg);
}

static void echo_accept(struct rt_stream *s, void *arg)
{
	(void)arg;
	if (rt_spawn(echo_serve, s) < 0)
		rt_stream_close(s);
}

static int echo_talk(struct rt_stream *s)
{
	char out[700], in[700];

	for (int round = 0; round < ROUNDS; round++) {
		size_t n = 1 + rt_random() % sizeof out, got = 0;

		rt_random_bytes(out, n);
		TRY(rt_stream_write(s, str_of(out, n), rt_after_ms(60000)));
		while (got < n) {
			int rc = TRY(rt_stream_read(s, in + got, n - got, rt_after_ms(60000)));

			got += (size_t)rc;
		}
		EXPECT(memcmp(in, out, n) == 0);
	}
	return 0;
}

struct client {
	struct echo *e;
	unsigned number;
};

static void echo_client(void *arg)
{
	struct client *c = arg;
	struct rt_stream *s;
	int rc = rt_connect(STR("10.0.0.1:7"), rt_after_ms(60000), &s);

	if (rc == 0) {
		rc = echo_talk(s);
		rt_stream_close(s);
	}
	if (!c->e->resets)
		EXPECT_INT(rc, 0);
	c->e->order = c->e->order * 31 + c->number;
	rc ? c->e->broken++ : c->e->whole++;
	if (--c->e->left == 0)
		rt_event_set(&c->e->done);
}

static void echoes(void *arg)
{
	struct echo *e = arg;
	struct client clients[CLIENTS];
	struct rt_listen_options o = {
		.address = STR("10.0.0.1:7"), .on_accept = echo_accept, .arg = e};
	struct rt_stream *s;

	rt_event_init(&e->done);
	e->left = CLIENTS;
	ASSERT_INT(rt_listen(&o, &e->listener), 0);
	EXPECT_INT(rt_connect(STR("10.0.0.1:8"), rt_after_ms(60000), &s), ERR_REFUSED);
	for (unsigned i = 0; i < CLIENTS; i++) {
		clients[i] = (struct client){e, i};
		EXPECT_INT(rt_spawn_on(rt_self(), i % rt_loop_count(rt_self()), echo_client,
				   &clients[i]),
			0);
	}
	EXPECT_INT(rt_event_wait(&e->done, rt_after_ms(3600000)), 0);
	rt_listener_close(e->listener);
	rt_stop(rt_self());
}

TEST(rt_sim, echo_is_reproducible)
{
	uint64_t first = 0, orders = 0;

	for (uint64_t seed = 1; seed <= test_number("SEEDS", 40); seed++) {
		struct echo e[2] = {0};
		struct sim_case c[2];

		for (int i = 0; i < 2; i++) {
			c[i] = (struct sim_case){.main_fn = echoes, .arg = &e[i], .loops = 2};
			run(&c[i], seed);
			EXPECT_INT(c[i].rc, 0);
			EXPECT_INT(e[i].whole, CLIENTS);
		}
		EXPECT_INT(c[0].trace, c[1].trace);
		EXPECT_INT(c[0].steps, c[1].steps);
		EXPECT_INT(e[0].order, e[1].order);
		if (seed == 1)
			first = e[0].order;
		orders += e[0].order != first;
		if (test_failures())
			return;
	}
	EXPECT(orders > 0); /* seeds differ */
}

TEST(rt_sim, resets_end_every_wait)
{
	unsigned broken = 0, whole = 0;

	for (uint64_t seed = 1; seed <= test_number("SEEDS", 40); seed++) {
		struct echo e = {.resets = true};
		struct sim_case c = {
			.main_fn = echoes, .arg = &e, .loops = 3, .sim.resets_per_million = 5000};

		run(&c, seed);
		EXPECT_INT(c.rc, 0);
		broken += e.broken;
		whole += e.whole;
	}
	EXPECT(broken > 0 && whole > 0);
}

/* --- back-pressure and the end of a stream ------------------------------------------------------
 */

static void flood(void *arg)
{
	static const char zeros[LONG];

	EXPECT_INT(rt_stream_write(arg, str_of(zeros, LONG), RT_NEVER), 0);
	EXPECT_INT(rt_stream_shutdown(arg), 0);
}

static void floods(void *arg)
{
	struct rt_stream *a, *b;
	struct iovec much = {arg, LONG};
	size_t total = 0;
	char part[999];
	int rc;

	ASSERT_INT(rt_stream_pair(&a, &b), 0);
	EXPECT_INT(rt_spawn(flood, a), 0);
	EXPECT_INT(rt_sleep_until(rt_after_ms(1000)), 0);
	EXPECT_INT(rt_stream_try_write(a, &much, 1), 0); /* the window is full */
	while ((rc = rt_stream_read(b, part, sizeof part, RT_NEVER)) > 0)
		total += (size_t)rc;
	EXPECT_INT(rc, ERR_EOF);
	EXPECT_INT(total, LONG);
	rt_stream_close(b);
	EXPECT_INT(rt_stream_write(a, STR("x"), RT_NEVER), ERR_CLOSED);
	rt_stream_close(a);
	rt_stop(rt_self());
}

TEST(rt_sim, back_pressure)
{
	static char bytes[LONG];
	struct sim_case c = {.main_fn = floods, .arg = bytes};

	for (uint64_t seed = 1; seed <= 20; seed++)
		run(&c, seed);
	EXPECT_INT(c.rc, 0);
}

/* --- pools --------------------------------------------------------------------------------------
 */

struct jobs {
	struct rt_pool *pool;
	struct rt_event done;
	unsigned left, ran, busy, late;
	uint64_t order;
};

struct one {
	struct jobs *j;
	unsigned number;
};

static void work(void *arg)
{
	struct one *o = arg;

	EXPECT(rt_self() == NULL);
	o->j->ran++;
	o->j->order = o->j->order * 31 + o->number;
}

static void ask(void *arg)
{
	struct one *o = arg;
	int rc = rt_pool_run(o->j->pool, work, o, rt_now() + 8 * RT_NS_MS);

	o->j->busy += rc == ERR_BUSY;
	o->j->late += rc == ERR_TIMEOUT;
	EXPECT(rc == 0 || rc == ERR_BUSY || rc == ERR_TIMEOUT);
	if (--o->j->left == 0)
		rt_event_set(&o->j->done);
}

static void asks(void *arg)
{
	struct jobs *j = arg;
	struct one o[30];

	rt_event_init(&j->done);
	j->left = 30;
	ASSERT_INT(rt_pool_new(rt_self(), "test", 3, 20, &j->pool), 0);
	for (unsigned i = 0; i < 30; i++) {
		o[i] = (struct one){j, i};
		EXPECT_INT(rt_spawn(ask, &o[i]), 0);
	}
	EXPECT_INT(rt_event_wait(&j->done, RT_NEVER), 0);
	rt_stop(rt_self());
}

TEST(rt_sim, pool)
{
	unsigned busy = 0, late = 0;

	for (uint64_t seed = 1; seed <= test_number("SEEDS", 40); seed++) {
		struct jobs j[2] = {0};
		struct sim_case c;

		for (int i = 0; i < 2; i++) {
			c = (struct sim_case){.main_fn = asks, .arg = &j[i]};
			run(&c, seed);
			EXPECT_INT(c.rc, 0);
			EXPECT_INT(j[i].ran + j[i].busy + j[i].late, 30);
		}
		EXPECT_INT(j[0].order, j[1].order);
		busy += j[0].busy;
		late += j[0].late;
	}
	EXPECT(busy > 0 && late > 0);
}
