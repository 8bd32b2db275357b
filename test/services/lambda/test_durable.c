/*
 * The rules of durable executions, their records, ARNs and ids. Operations and invocations are
 * tested end to end (test/e2e/test_durable.py), with the SDK that functions use.
 */
#include "services/lambda/durable.h"
#include "services/lambda/limits.h"
#include "test/test.h"
#include "test/test_table.h"

#define NOW    INT64_C(1700000000000)
#define SECOND INT64_C(1000)

static const struct durable_key key = {STR_INIT("000000000000"), STR_INIT("us-east-1"),
	STR_INIT("f"), STR_INIT("018bcfe5-6800-7000-8000-000000000000")};

static struct durable_execution execution(void)
{
	return (struct durable_execution){.key = key,
		.name = STR("order"),
		.version = STR("$LATEST"),
		.arn = STR("arn:aws:lambda:us-east-1:000000000000:function:f:$LATEST"),
		.error = STR(""),
		.input_digest = STR("00"),
		.start_ms = NOW,
		.timeout_s = 100,
		.retention_days = 2,
		.trace = STR(""),
		.tenant = STR(""),
		.client_context = STR(""),
		.parent_function = STR(""),
		.parent_run = STR(""),
		.token = STR(""),
		.last_token = STR(""),
		.last_client = STR(""),
		.invocation = STR(""),
		.next_seq = 1,
		.next_event = 1,
		.run_ms = NOW};
}

static struct durable_operation operation(uint64_t seq)
{
	return (struct durable_operation){.seq = seq,
		.result = STR(""),
		.error = STR(""),
		.nonce = STR("0123456789012345678901"),
		.function = STR(""),
		.tenant = STR(""),
		.trace = STR(""),
		.input = STR(""),
		.child = STR("")};
}

static struct durable_update update(enum durable_kind kind, enum durable_action action)
{
	struct durable_update u = {.id = STR("id"),
		.parent = STR_NULL,
		.name = STR_NULL,
		.sub_type = STR_NULL,
		.kind = kind,
		.action = action,
		.payload = STR_NULL,
		.error = STR_NULL,
		.tenant = STR_NULL,
		.trace = STR_NULL};

	u.has_step = kind == DURABLE_STEP && action == DURABLE_RETRY;
	u.has_wait = kind == DURABLE_WAIT && action == DURABLE_START;
	u.has_chained = kind == DURABLE_CHAINED_INVOKE && action == DURABLE_START;
	u.delay_s = u.has_step ? 5 : 0;
	u.wait_s = u.has_wait ? 10 : 0;
	if (u.has_chained)
		u.function = STR("other");
	if (action == DURABLE_FAIL || action == DURABLE_RETRY)
		u.error = STR("{\"ErrorMessage\":\"no\"}");
	return u;
}

static enum durable_state state_named(str name)
{
	for (int i = 0; i < OPERATION_STATES; i++)
		if (str_eq(durable_state_name((enum durable_state)i), name))
			return (enum durable_state)i;
	test_fail(__FILE__, __LINE__, "no state %.*s", STR_ARG(name));
	return OPERATION_STARTED;
}

TEST(lambda_durable, actions)
{
	struct test_table t;

	for (test_table_open(&t, "test/services/lambda/durable_actions.txt");
		test_table_next(&t);) {
		struct durable_execution x = execution();
		struct durable_operation op = operation(1);
		bool exists = !str_eq(t.field[1], STR("-"));
		struct durable_update u = update((enum durable_kind)durable_kind_named(t.field[0]),
			(enum durable_action)durable_action_named(t.field[2]));
		enum durable_event event;
		const char *why;
		str got, name;

		if (exists) {
			op.id = u.id;
			op.parent = op.name = op.sub_type = STR("");
			op.kind = u.kind;
			op.state = state_named(t.field[1]);
		}
		why = durable_check(&u, exists ? &op : NULL);
		got = str_c(why);
		if (!why) {
			event = durable_apply(&t.arena, &x, &op, &u, NOW);
			name = durable_event_name(event);
			got = ARENA_CONCAT(&t.arena, durable_state_name(op.state),
				name.n ? STR(" ") : STR(""), name);
		}
		TABLE_EXPECT_STR(&t, got, t.field[3]);
	}
	test_table_close(&t, 70);
}

/* Options and texts that do not belong to the action. */
TEST(lambda_durable, members)
{
	struct durable_update u = update(DURABLE_STEP, DURABLE_RETRY);

	EXPECT(!durable_check(&u, NULL));
	u.has_step = false;
	EXPECT_STR(
		str_c(durable_check(&u, NULL)), STR("Invalid StepOptions for the given action."));
	u = update(DURABLE_STEP, DURABLE_RETRY);
	u.payload = STR("1");
	EXPECT_STR(str_c(durable_check(&u, NULL)),
		STR("Cannot provide both error and payload to RETRY a STEP."));
	u = update(DURABLE_STEP, DURABLE_SUCCEED);
	u.error = STR("{}");
	EXPECT_STR(
		str_c(durable_check(&u, NULL)), STR("Cannot provide an Error for SUCCEED action."));
	u = update(DURABLE_CONTEXT, DURABLE_FAIL);
	u.payload = STR("1");
	EXPECT_STR(
		str_c(durable_check(&u, NULL)), STR("Cannot provide a Payload for FAIL action."));
	u = update(DURABLE_EXECUTION, DURABLE_FAIL);
	u.payload = STR("1");
	EXPECT_STR(
		str_c(durable_check(&u, NULL)), STR("Cannot provide a Payload for FAIL action."));
	u = update(DURABLE_STEP, DURABLE_START);
	u.payload = STR("1");
	EXPECT_STR(
		str_c(durable_check(&u, NULL)), STR("Cannot provide a Payload for START action."));
	u = update(DURABLE_WAIT, DURABLE_START);
	u.timeout_s = 1;
	EXPECT_STR(str_c(durable_check(&u, NULL)),
		STR("Invalid CallbackOptions for the given action."));
	u = update(DURABLE_WAIT, DURABLE_START);
	u.has_wait = false;
	EXPECT_STR(
		str_c(durable_check(&u, NULL)), STR("Invalid WaitOptions for the given action."));
	u = update(DURABLE_STEP, DURABLE_SUCCEED);
	u.replay_children = true;
	EXPECT_STR(str_c(durable_check(&u, NULL)),
		STR("Invalid ContextOptions for the given action."));
	u = update(DURABLE_STEP, DURABLE_START);
	u.has_chained = true;
	EXPECT_STR(str_c(durable_check(&u, NULL)),
		STR("Invalid ChainedInvokeOptions for the given action."));
}

static void start(struct arena *a, struct durable_execution *x, struct durable_operation *op,
	struct durable_update u)
{
	EXPECT(!durable_check(&u, NULL));
	(void)durable_apply(a, x, op, &u, NOW);
}

TEST(lambda_durable, waits_and_attempts)
{
	struct arena a cleanup(arena_done_p) = {0};
	struct durable_execution x = execution();
	struct durable_operation wait = operation(1), step = operation(2);
	struct durable_update again = update(DURABLE_STEP, DURABLE_RETRY);
	bool changed;

	arena_init(&a, SIZE_MAX);
	EXPECT(durable_wants_run(&x, NOW));
	durable_invoked(&x, 7, STR("request"), STR("token"), NOW);
	EXPECT(!durable_wants_run(&x, NOW + SECOND));
	EXPECT_INT(durable_due(&x), NOW + 100 * SECOND);
	start(&a, &x, &wait, update(DURABLE_WAIT, DURABLE_START));
	EXPECT_INT(durable_due(&x), NOW + 10 * SECOND);
	start(&a, &x, &step, again);
	EXPECT_INT(durable_due(&x), NOW + 5 * SECOND);
	EXPECT_INT(step.attempt, 1);
	EXPECT(durable_returned(&x, RETURNED_PENDING, NOW + SECOND));
	EXPECT(!x.token.n && !durable_wants_run(&x, NOW + SECOND));
	/* Nothing is due yet. */
	EXPECT_INT(durable_expire(&a, &x, &step, NOW + 4 * SECOND, &changed), EVENT_NONE);
	EXPECT(!changed && step.state == OPERATION_PENDING);
	/* The attempt is, which is told by no event; then the wait. */
	EXPECT_INT(durable_expire(&a, &x, &step, NOW + 5 * SECOND, &changed), EVENT_NONE);
	EXPECT(changed && step.state == OPERATION_READY);
	EXPECT(durable_wants_run(&x, NOW + 5 * SECOND));
	EXPECT_INT(
		durable_expire(&a, &x, &wait, NOW + 10 * SECOND, &changed), EVENT_WAIT_SUCCEEDED);
	EXPECT(changed && wait.end_ms == NOW + 10 * SECOND);
	EXPECT_INT(x.open_count, 0);
	EXPECT_INT(x.dirty_count, 2);
	/* What ended during an invocation that does not know it has the function invoked again. */
	durable_invoked(&x, 7, STR("request"), STR("token"), NOW + 10 * SECOND);
	EXPECT_INT(x.dirty_count, 0);
	durable_mark(&a, &x, 1);
	durable_mark(&a, &x, 1);
	EXPECT_INT(x.dirty_count, 1);
	EXPECT(durable_returned(&x, RETURNED_PENDING, NOW + 11 * SECOND));
	EXPECT(durable_wants_run(&x, NOW + 11 * SECOND));
	/* It says that it waits, and there is nothing that it could wait for. */
	durable_invoked(&x, 7, STR("request"), STR("token"), NOW + 12 * SECOND);
	EXPECT(!durable_returned(&x, RETURNED_PENDING, NOW + 12 * SECOND));
}

TEST(lambda_durable, callbacks)
{
	struct arena a cleanup(arena_done_p) = {0};
	struct durable_execution x = execution();
	struct durable_operation one = operation(1), two = operation(2), three = operation(3);
	struct durable_update u = update(DURABLE_CALLBACK, DURABLE_START);
	bool changed;

	arena_init(&a, SIZE_MAX);
	x.run_ms = DURABLE_NO_TIME;
	start(&a, &x, &one, u);
	EXPECT_INT(durable_due(&x), NOW + 100 * SECOND); /* it waits for ever */
	u.heartbeat_s = 5;
	u.timeout_s = 12;
	start(&a, &x, &two, u);
	start(&a, &x, &three, u);
	EXPECT_INT(durable_due(&x), NOW + 5 * SECOND);
	durable_beat(&x, &two, NOW + 4 * SECOND);
	EXPECT_INT(durable_expire(&a, &x, &two, NOW + 5 * SECOND, &changed), EVENT_NONE);
	EXPECT(!changed);
	EXPECT_INT(durable_expire(&a, &x, &three, NOW + 5 * SECOND, &changed),
		EVENT_CALLBACK_TIMED_OUT);
	EXPECT(str_find_str(three.error, STR("heartbeat")) > 0);
	/* Beats do not move the end. */
	durable_beat(&x, &two, NOW + 9 * SECOND);
	EXPECT_INT(durable_due(&x), x.start_ms); /* something has ended: at once */
	EXPECT_INT(durable_open_find(&x, 2)->due_ms, NOW + 12 * SECOND);
	EXPECT_INT(durable_expire(&a, &x, &two, NOW + 12 * SECOND, &changed),
		EVENT_CALLBACK_TIMED_OUT);
	EXPECT(str_find_str(two.error, STR("heartbeat")) < 0 && two.state == OPERATION_TIMED_OUT);
	EXPECT_INT(durable_finish(&a, &x, &one, OPERATION_SUCCEEDED, STR("1"), STR(""), NOW),
		EVENT_CALLBACK_SUCCEEDED);
	EXPECT(one.has_result && x.open_count == 0 && x.dirty_count == 3 && x.bytes == 1);
}

TEST(lambda_durable, failing_invocations)
{
	struct durable_execution x = execution();
	int64_t now = NOW, pause = SECOND;

	for (int i = 0; i < 12; i++) {
		durable_invoked(&x, 7, STR("request"), STR("token"), now);
		EXPECT(durable_returned(&x, RETURNED_ERROR, now));
		EXPECT_INT(x.run_ms - now, pause);
		EXPECT(!durable_wants_run(&x, x.run_ms - 1) && durable_wants_run(&x, x.run_ms));
		now = x.run_ms;
		pause = i < 8 ? 2 * pause : pause;
	}
	EXPECT_INT(pause, 256 * SECOND);
	/* Two crashes of the server in a row end it. */
	durable_invoked(&x, 7, STR("request"), STR("token"), now);
	EXPECT(durable_returned(&x, RETURNED_CRASHED, now));
	EXPECT(durable_wants_run(&x, now));
	durable_invoked(&x, 8, STR("request"), STR("token"), now);
	EXPECT(!durable_returned(&x, RETURNED_CRASHED, now));
}

TEST(lambda_durable, ends)
{
	struct arena a cleanup(arena_done_p) = {0};
	struct durable_execution x = execution();
	struct durable_operation wait = operation(1);

	arena_init(&a, SIZE_MAX);
	start(&a, &x, &wait, update(DURABLE_WAIT, DURABLE_START));
	EXPECT_INT(durable_end(&x, DURABLE_TIMED_OUT, STR("{}"), NOW + SECOND),
		EVENT_EXECUTION_TIMED_OUT);
	EXPECT(x.open_count == 0 && !durable_wants_run(&x, NOW + 1000 * SECOND));
	EXPECT_INT(durable_due(&x), NOW + SECOND); /* somebody is to be told */
	x.told = true;
	EXPECT_INT(durable_due(&x), NOW + SECOND + 2 * 86400 * SECOND); /* it goes */
}

TEST(lambda_durable, records)
{
	struct arena a cleanup(arena_done_p) = {0};
	struct durable_execution x = execution(), back;
	struct durable_operation op = operation(9), op_back;
	str record;

	arena_init(&a, SIZE_MAX);
	x.error = STR("{\"ErrorMessage\":\"\\u0001\"}");
	x.token = STR("t");
	for (uint64_t i = 1; i <= 40; i++) {
		struct durable_operation one = operation(i);

		start(&a, &x, &one, update(DURABLE_WAIT, DURABLE_START));
		durable_mark(&a, &x, i);
	}
	record = durable_encode(&a, &x);
	EXPECT_INT(durable_decode(&a, &key, record, &back), 0);
	EXPECT_STR(durable_encode(&a, &back), record);
	EXPECT(back.open_count == 40 && back.open[39].due_ms == NOW + 10 * SECOND);
	EXPECT(back.dirty_count == 40 && back.dirty[39] == 40);
	EXPECT_STR(back.error, x.error);
	EXPECT_INT(durable_decode(&a, &key, STR(""), &back), ERR_CORRUPT);
	EXPECT_INT(durable_decode(&a, &key, STR("\x02"), &back), ERR_VERSION);
	for (size_t n = 1; n < record.n; n++)
		EXPECT_INT(durable_decode(&a, &key, str_sub(record, 0, n), &back), ERR_CORRUPT);

	start(&a, &x, &op, update(DURABLE_CHAINED_INVOKE, DURABLE_START));
	op.input = STR("{\"text\":\"\\\"\"}");
	record = durable_operation_encode(&a, &op);
	EXPECT_INT(durable_operation_decode(&a, record, &op_back), 0);
	EXPECT_STR(durable_operation_encode(&a, &op_back), record);
	EXPECT_STR(op_back.input, op.input);
	for (size_t n = 0; n < record.n; n++)
		EXPECT_INT(
			durable_operation_decode(&a, str_sub(record, 0, n), &op_back), ERR_CORRUPT);
}

TEST(lambda_durable, names)
{
	static const char *const bad[] = {"", "f",
		"arn:aws:lambda:us-east-1:000000000000:function:f",
		"arn:aws:lambda:us-east-1:000000000000:function:f/durable-execution/n/"
		"018bcfe5-6800-7000-8000-000000000000",
		"arn:aws:lambda:us-east-1:000000000000:function:f:1/durable-execution/n/short",
		"arn:aws:lambda:us-east-1:000000000000:function:f:1/durable-execution//"
		"018bcfe5-6800-7000-8000-000000000000",
		"arn:aws:lambda:us-east-1:000000000000:function:f:1/other/n/"
		"018bcfe5-6800-7000-8000-000000000000",
		"f:1/durable-execution/n/018bcfe5-6800-7000-8000-000000000000"};
	struct arena a cleanup(arena_done_p) = {0};
	struct durable_execution x = execution();
	struct durable_operation op = operation(77);
	struct durable_callback c;
	struct durable_key parsed;
	str version, name, id;

	arena_init(&a, SIZE_MAX);
	EXPECT_STR(durable_arn(&a, &x),
		STR("arn:aws:lambda:us-east-1:000000000000:function:f:$LATEST/durable-execution/"
		    "order/018bcfe5-6800-7000-8000-000000000000"));
	EXPECT_INT(durable_arn_parse(durable_arn(&a, &x), &parsed, &version, &name), 0);
	EXPECT_STR(parsed.run, key.run);
	EXPECT_STR(parsed.function, key.function);
	EXPECT_STR(version, STR("$LATEST"));
	EXPECT_STR(name, STR("order"));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		EXPECT_INT(durable_arn_parse(str_c(bad[i]), &parsed, &version, &name), ERR_SYNTAX);
	id = durable_callback_id(&a, &key, &op);
	EXPECT_INT(durable_callback_parse(&a, id, &c), 0);
	EXPECT_STR(c.key.run, key.run);
	EXPECT_INT(c.seq, 77);
	EXPECT_STR(c.nonce, op.nonce);
	for (size_t n = 0; n < id.n; n++)
		EXPECT_INT(durable_callback_parse(&a, str_sub(id, 0, n), &c), ERR_SYNTAX);
}

TEST(lambda_durable, answers)
{
	struct test_table t;

	for (test_table_open(&t, "test/services/lambda/durable_answers.txt");
		test_table_next(&t);) {
		struct durable_answer answer;
		int rc = durable_answer_parse(&t.arena, t.field[0], &answer);

		if (str_eq(t.field[1], STR("-"))) {
			EXPECT_INT(rc, ERR_SYNTAX);
			continue;
		}
		EXPECT_INT(rc, 0);
		if (rc < 0)
			continue;
		TABLE_EXPECT_STR(&t, durable_status_name(answer.status), t.field[1]);
		TABLE_EXPECT_STR(&t, answer.status == DURABLE_FAILED ? answer.error : answer.result,
			t.field[2].p ? t.field[2] : STR(""));
	}
	test_table_close(&t, 20);
}
