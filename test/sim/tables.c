/*
 * Tables come and go while clients write to them: of two that create one name, one wins; what a
 * table holds is what was written to it since it was made, never what an earlier one of its name
 * held; a scan sees each item once.
 */
#include "test/sim/workloads.h"

#include "base/json.h"
#include "base/mem.h"

enum { CLIENTS = 4, STEPS = 20, ITEMS = 6 };

struct tables {
	struct world *w;
	int exists; /* creations minus deletions that succeeded */
	unsigned unknown, generation;
};

static void act(struct tables *t, struct arena *a)
{
	unsigned choice = (unsigned)(rt_random() % 8);
	struct answer answer;

	if (choice == 0) {
		answer = world_dynamodb(t->w, a, "CreateTable",
			STR("{\"TableName\":\"come\",\"BillingMode\":\"PAY_PER_REQUEST\","
			    "\"AttributeDefinitions\":[{\"AttributeName\":\"pk\",\"AttributeType\":"
			    "\"N\"}],"
			    "\"KeySchema\":[{\"AttributeName\":\"pk\",\"KeyType\":\"HASH\"}]}"));
		t->exists += answer.status == 200;
	} else if (choice == 1) {
		answer = world_dynamodb(t->w, a, "DeleteTable", STR("{\"TableName\":\"come\"}"));
		t->exists -= answer.status == 200;
	} else if (choice < 7) {
		answer = world_dynamodb(t->w, a, "PutItem",
			arena_printf(a, "{\"TableName\":\"come\",\"Item\":{\"pk\":{\"N\":\"%u\"}}}",
				(unsigned)(rt_random() % ITEMS)));
	} else {
		answer = world_dynamodb(t->w, a, "ListTables", STR("{}"));
	}
	t->unknown += answer.status >= 500;
	if (answer.status != 200 && answer.status < 500 &&
		str_find_str(answer.body, STR("ResourceNotFound")) < 0 &&
		str_find_str(answer.body, STR("ResourceInUse")) < 0)
		world_fail(t->w, "answer %u %.*s", answer.status, STR_ARG(answer.body));
}

static void client(void *arg)
{
	struct tables *t = arg;

	for (unsigned step = 0; step < STEPS; step++) {
		struct arena a cleanup(arena_done_p);

		arena_init(&a, 16 << 20);
		act(t, &a);
		if (rt_random() % 2 && rt_sleep_until(rt_now() + (int64_t)(rt_random() % 3000000)))
			break;
	}
	world_client_end(t->w);
}

static void check_scan(struct tables *t, struct arena *a)
{
	struct answer answer = world_dynamodb(t->w, a, "Scan", STR("{\"TableName\":\"come\"}"));
	bool seen[ITEMS] = {false};
	const struct json_value *items;
	struct json_value *v;

	if (answer.status != 200 || json_parse(a, answer.body, 16, &v, NULL) < 0)
		return;
	items = json_get(v, STR("Items"));
	for (uint32_t i = 0; items && i < items->count; i++) {
		uint64_t n = ITEMS;

		if (str_to_u64(json_text(json_get_path(json_at(items, i), STR("pk.N"))), ITEMS - 1,
			    &n) < 0 ||
			seen[n])
			world_fail(t->w, "the scan shows an item twice, or none of ours");
		else
			seen[n] = true;
	}
}

void workload_tables(struct world *w)
{
	struct tables t = {.w = w};
	struct arena a cleanup(arena_done_p);
	struct answer answer;

	arena_init(&a, 64 << 20);
	for (unsigned i = 0; i < CLIENTS; i++)
		world_client(w, client, &t);
	world_wait_clients(w);
	world_calm(w);
	answer = world_dynamodb(w, &a, "DescribeTable", STR("{\"TableName\":\"come\"}"));
	if (!t.unknown && (answer.status == 200) != (t.exists == 1))
		world_fail(w, "creations minus deletions are %d, DescribeTable answers %u",
			t.exists, answer.status);
	check_scan(&t, &a);
	/* A new table of the name begins empty, whatever the old one held. */
	world_dynamodb(w, &a, "DeleteTable", STR("{\"TableName\":\"come\"}"));
	answer = world_dynamodb(w, &a, "CreateTable",
		STR("{\"TableName\":\"come\",\"BillingMode\":\"PAY_PER_REQUEST\","
		    "\"AttributeDefinitions\":[{\"AttributeName\":\"pk\",\"AttributeType\":\"N\"}],"
		    "\"KeySchema\":[{\"AttributeName\":\"pk\",\"KeyType\":\"HASH\"}]}"));
	if (answer.status != 200)
		world_fail(w, "CreateTable answered %u", answer.status);
	answer =
		world_dynamodb(w, &a, "Scan", STR("{\"TableName\":\"come\",\"Select\":\"COUNT\"}"));
	if (str_find_str(answer.body, STR("\"Count\":0")) < 0)
		world_fail(w, "a new table holds items: %.*s", STR_ARG(answer.body));
}
