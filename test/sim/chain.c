/*
 * Linearizability of single items: many clients add to a few counters, in every way there is.
 *
 * Each write sets its own id and adds 1, and is told what it replaced, so the writes of an item
 * name their order themselves. Then it must hold: no two writes replaced the same version; each
 * replaced the one before it; a write that began after another had ended comes later; a read sees
 * at least what was written before it began, at most what was begun before it ended, and never less
 * than an earlier read. A write whose answer was an internal error may or may not have happened,
 * but not twice.
 */
#include "test/sim/workloads.h"

#include "base/json.h"
#include "base/mem.h"

enum { KEYS = 3, CLIENTS = 6, STEPS = 25, EVENTS_MAX = CLIENTS * STEPS };

struct event {
	int64_t begun, ended;
	uint64_t id;       /* of a write */
	int64_t saw_n;     /* the version replaced, or read; 0: no item */
	uint64_t saw_id;   /* who wrote it */
	bool write, known; /* known: the answer was a success */
};

struct chain {
	struct world *w;
	struct event events[KEYS][EVENTS_MAX];
	unsigned count[KEYS];
	unsigned next_id;
};

struct chain_client {
	struct chain *chain;
	unsigned number;
};

/* {"w":{"N":"12"},"n":{"N":"3"}} below `member` of the answer. */
static void read_version(struct arena *a, str body, const char *member, struct event *e)
{
	struct json_value *v;
	const struct json_value *item;
	uint64_t n = 0, id = 0;

	if (json_parse(a, body, 16, &v, NULL) < 0)
		return;
	item = json_get(v, str_c(member));
	if (item && str_to_u64(json_text(json_get_path(item, STR("n.N"))), UINT64_MAX, &n) == 0 &&
		str_to_u64(json_text(json_get_path(item, STR("w.N"))), UINT64_MAX, &id) == 0) {
		e->saw_n = (int64_t)n;
		e->saw_id = id;
	}
}

static void add(
	struct chain *chain, struct arena *a, unsigned key, struct event *e, int64_t expected)
{
	str condition = expected < 0 ? STR("")
			: expected == 0
				? STR(",\"ConditionExpression\":\"attribute_not_exists(n)\"")
				: arena_printf(a, ",\"ConditionExpression\":\"n = :seen\"");
	str seen = expected > 0
			   ? arena_printf(a, ",\":seen\":{\"N\":\"%lld\"}", (long long)expected)
			   : STR("");
	str body = arena_printf(a,
		"{\"TableName\":\"chain\",\"Key\":{\"pk\":{\"S\":\"k%u\"}},\"UpdateExpression\":"
		"\"SET w "
		"= :id ADD n :one\",\"ExpressionAttributeValues\":{\":id\":{\"N\":\"%llu\"},"
		"\":one\":{\"N\":\"1\"}%.*s},\"ReturnValues\":\"ALL_OLD\"%.*s}",
		key, (unsigned long long)e->id, STR_ARG(seen), STR_ARG(condition));
	struct answer answer;

	e->begun = rt_now();
	answer = world_dynamodb(chain->w, a, "UpdateItem", body);
	e->ended = rt_now();
	if (answer.status == 400 && str_find_str(answer.body, STR("ConditionalCheckFailed")) >= 0) {
		e->id = 0; /* it did not happen */
		return;
	}
	if (answer.status != 200 && answer.status != 500 && answer.status != 503)
		world_fail(chain->w, "UpdateItem answered %u %.*s", answer.status,
			STR_ARG(answer.body));
	e->known = answer.status == 200;
	if (e->known)
		read_version(a, answer.body, "Attributes", e);
	if (e->known && expected >= 0 && e->saw_n != expected)
		world_fail(chain->w, "a write on condition of version %lld replaced %lld",
			(long long)expected, (long long)e->saw_n);
}

static void get(struct chain *chain, struct arena *a, unsigned key, struct event *e)
{
	struct answer answer;

	e->begun = rt_now();
	answer = world_dynamodb(chain->w, a, "GetItem",
		arena_printf(a,
			"{\"TableName\":\"chain\",\"Key\":{\"pk\":{\"S\":\"k%u\"}},"
			"\"ConsistentRead\":true}",
			key));
	e->ended = rt_now();
	e->known = answer.status == 200;
	if (e->known)
		read_version(a, answer.body, "Item", e);
}

static void client(void *arg)
{
	struct chain_client *me = arg;
	struct chain *chain = me->chain;
	int64_t last_seen[KEYS] = {-1, -1, -1};

	for (unsigned step = 0; step < STEPS; step++) {
		struct arena a cleanup(arena_done_p);
		unsigned key = (unsigned)(rt_random() % KEYS), choice = (unsigned)(rt_random() % 4);
		struct event e = {0};

		arena_init(&a, 16 << 20);
		if (choice == 0) {
			get(chain, &a, key, &e);
			last_seen[key] = e.known ? e.saw_n : -1;
		} else {
			e.write = true;
			e.id = ++chain->next_id;
			add(chain, &a, key, &e, choice == 1 ? last_seen[key] : -1);
		}
		if (e.known || (e.write && e.id))
			chain->events[key][chain->count[key]++] = e;
		if (rt_random() % 3 == 0 &&
			rt_sleep_until(rt_now() + (int64_t)(rt_random() % 5000000)))
			break;
	}
	world_client_end(chain->w);
}

/* Pairs of events of one item against real time. */
static void check_times(struct chain *chain, unsigned key)
{
	const struct event *e = chain->events[key];

	for (unsigned i = 0; i < chain->count[key]; i++) {
		int64_t after_i = e[i].saw_n + e[i].write;

		if (!e[i].known)
			continue;
		for (unsigned j = 0; j < chain->count[key]; j++) {
			if (!e[j].known || e[j].begun <= e[i].ended)
				continue;
			/* j began after i had ended: it must see what i left. */
			if (e[j].saw_n < after_i)
				world_fail(chain->w,
					"k%u: version %lld was there, later only %lld was seen",
					key, (long long)after_i, (long long)e[j].saw_n);
		}
	}
}

static const struct event *writer(struct chain *chain, unsigned key, uint64_t id)
{
	for (unsigned i = 0; i < chain->count[key]; i++)
		if (chain->events[key][i].write && chain->events[key][i].id == id)
			return &chain->events[key][i];
	return NULL;
}

/* Who replaced what, and who was seen. */
static void check_order(struct chain *chain, unsigned key)
{
	const struct event *e = chain->events[key];

	for (unsigned i = 0; i < chain->count[key]; i++) {
		const struct event *before =
			e[i].known && e[i].saw_n ? writer(chain, key, e[i].saw_id) : NULL;

		if (e[i].known && e[i].saw_n && !before)
			world_fail(chain->w, "k%u: version %lld was written by nobody", key,
				(long long)e[i].saw_n);
		if (before && before->known && before->saw_n + 1 != e[i].saw_n)
			world_fail(chain->w,
				"k%u: a writer of version %lld was seen as version %lld", key,
				(long long)before->saw_n + 1, (long long)e[i].saw_n);
		if (before && before->begun > e[i].ended)
			world_fail(chain->w, "k%u: seen before it was written", key);
		for (unsigned j = 0; j < i; j++)
			if (e[i].write && e[j].write && e[i].known && e[j].known &&
				e[i].saw_n == e[j].saw_n)
				world_fail(chain->w, "k%u: two writes replaced version %lld", key,
					(long long)e[i].saw_n);
	}
}

/* The last version is the number of writes that happened. */
static void check_end(struct chain *chain, struct arena *a, unsigned key)
{
	unsigned known = 0, unknown = 0;
	struct event last = {0};

	for (unsigned i = 0; i < chain->count[key]; i++) {
		known += chain->events[key][i].write && chain->events[key][i].known;
		unknown += chain->events[key][i].write && !chain->events[key][i].known;
	}
	get(chain, a, key, &last);
	if (!last.known || last.saw_n < known || last.saw_n > known + unknown)
		world_fail(chain->w, "k%u: %u writes (and %u unknown) left version %lld", key,
			known, unknown, (long long)last.saw_n);
}

void workload_chain(struct world *w)
{
	struct chain *chain = mem_new(struct chain);
	struct chain_client clients[CLIENTS];
	struct arena a cleanup(arena_done_p);
	struct answer answer;

	chain->w = w;
	arena_init(&a, 16 << 20);
	do
		answer = world_dynamodb(w, &a, "CreateTable",
			STR("{\"TableName\":\"chain\",\"BillingMode\":\"PAY_PER_REQUEST\","
			    "\"AttributeDefinitions\":[{\"AttributeName\":\"pk\",\"AttributeType\":"
			    "\"S\"}],"
			    "\"KeySchema\":[{\"AttributeName\":\"pk\",\"KeyType\":\"HASH\"}]}"));
	while (answer.status >= 500);
	for (unsigned i = 0; i < CLIENTS; i++) {
		clients[i] = (struct chain_client){chain, i};
		world_client(w, client, &clients[i]);
	}
	world_wait_clients(w);
	world_calm(w);
	for (unsigned key = 0; key < KEYS; key++) {
		check_times(chain, key);
		check_order(chain, key);
		check_end(chain, &a, key);
	}
	mem_free(chain);
}
