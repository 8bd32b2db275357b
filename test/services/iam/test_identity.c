/*
 * The identity port as its users see it, and what happens at the same time.
 */
#include "aws/policy.h"
#include "aws/ports/identity.h"
#include "base/check.h"
#include "rt/rt.h"
#include "test/services/iam/wire.h"

#include <stdatomic.h>

static uint64_t reads(const struct wire *w)
{
	struct kv_stats stats;

	kv_stats(w->kv, &stats);
	return stats.gets + stats.scans_filled;
}

static int ask(struct wire *w, struct arena *a, str key, struct identity *ret)
{
	const struct port_identity *port = w->ports.identity;

	return port->by_access_key(port->self, a, key, ret);
}

static bool allowed(struct arena *a, const struct principal *who, const char *action)
{
	struct policy_context context = {.arena = a};
	struct policy_request r = {.action = str_c(action),
		.resource = STR("*"),
		.principal = who,
		.context = &context};

	return policy_authorize(&r, NULL).allowed;
}

/* ---- what costs a read ---- */

TEST(iam, hits_do_not_read)
{
	cleanup(arena_done_p) struct arena a;
	struct identity id;
	struct wire w;
	uint64_t before;
	str key;

	arena_init(&a, SIZE_MAX);
	wire_init(&w, GATE_OPEN);
	wire_expect(&w, "-", "Action=CreateUser&UserName=u", 200);
	wire_expect(&w, "-", "Action=CreateAccessKey&UserName=u", 200);
	wire_expect(&w, "-",
		"Action=PutUserPolicy&UserName=u&PolicyName=p&PolicyDocument=$ALLOW_IAM", 200);
	key = wire_key(&w, STR("u"))->id;
	before = reads(&w);
	ASSERT_INT(ask(&w, &a, key, &id), 1);
	EXPECT(reads(&w) > before);
	before = reads(&w);
	for (unsigned i = 0; i < 100; i++)
		ASSERT_INT(ask(&w, &a, key, &id), 1);
	/* keys that were never issued are known without asking */
	EXPECT_INT(ask(&w, &a, STR("test"), &id), 0);
	EXPECT_INT(ask(&w, &a, STR("000000000000"), &id), 0);
	EXPECT_INT(ask(&w, &a, STR("AKIAIOSFODNN7EXAMPLE"), &id), 0);
	EXPECT_INT(reads(&w), before);
	/* after a change, once */
	wire_expect(&w, "-", "Action=CreateUser&UserName=v", 200);
	before = reads(&w);
	ASSERT_INT(ask(&w, &a, key, &id), 1);
	EXPECT(reads(&w) > before);
	before = reads(&w);
	ASSERT_INT(ask(&w, &a, key, &id), 1);
	EXPECT_INT(reads(&w), before);
	/* one that is gone as well */
	wire_expect(&w, "-", "Action=DeleteAccessKey&UserName=u&AccessKeyId=$key(u)", 200);
	ASSERT_INT(ask(&w, &a, key, &id), 1);
	before = reads(&w);
	ASSERT_INT(ask(&w, &a, key, &id), 1);
	EXPECT(!id.active);
	EXPECT_INT(reads(&w), before);
	wire_done(&w);
}

/* ---- roles and sessions ---- */

TEST(iam, by_role)
{
	cleanup(arena_done_p) struct arena a;
	const struct port_identity *port;
	struct identity_role role;
	struct principal who;
	struct wire w;
	str arn = STR("arn:aws:iam::000000000000:role/x/R");

	arena_init(&a, SIZE_MAX);
	wire_init(&w, GATE_OPEN);
	port = w.ports.identity;
	EXPECT_INT(port->by_role(port->self, &a, arn, STR("s"), &who), 0);
	wire_expect(&w, "-",
		"Action=CreateRole&RoleName=R&Path=/x/&AssumeRolePolicyDocument=$TRUST_LAMBDA",
		200);
	wire_expect(&w, "-",
		"Action=PutRolePolicy&RoleName=R&PolicyName=p&PolicyDocument=$ALLOW_IAM", 200);
	wire_expect(&w, "-",
		"Action=AttachRolePolicy&RoleName=R&PolicyArn="
		"arn:aws:iam::aws:policy/AmazonS3FullAccess",
		200);
	ASSERT_INT(port->by_role(port->self, &a, arn, STR("s"), &who), 1);
	EXPECT_INT(who.kind, PRINCIPAL_SESSION);
	EXPECT_STR(who.arn, STR("arn:aws:sts::000000000000:assumed-role/R/s"));
	EXPECT_STR(who.role_arn, arn);
	EXPECT_STR(who.account, STR("000000000000"));
	EXPECT_INT(who.policy_count, 2);
	EXPECT(!who.unrestricted);
	EXPECT(allowed(&a, &who, "iam:GetRole"));
	EXPECT(allowed(&a, &who, "s3:GetObject"));
	EXPECT(!allowed(&a, &who, "sqs:SendMessage"));
	/* the ARN is exact, and other things are no roles */
	EXPECT_INT(port->by_role(
			   port->self, &a, STR("arn:aws:iam::000000000000:role/R"), STR("s"), &who),
		0);
	EXPECT_INT(port->by_role(port->self, &a, STR("arn:aws:iam::111111111111:role/x/R"),
			   STR("s"), &who),
		0);
	EXPECT_INT(port->by_role(port->self, &a, STR("R"), STR("s"), &who), 0);
	ASSERT_INT(port->role(port->self, &a, arn, &role), 1);
	EXPECT_STR(role.arn, arn);
	EXPECT(str_starts(role.id, STR("AROA")));
	EXPECT_INT(role.session_seconds_max, 3600);
	EXPECT(role.trust != NULL);
	wire_done(&w);
}

TEST(iam, session_new_and_sweep)
{
	cleanup(arena_done_p) struct arena a;
	const struct port_identity *port;
	struct identity made, seen, id;
	struct wire w;
	str arn = STR("arn:aws:iam::000000000000:role/R");
	int64_t now;

	arena_init(&a, SIZE_MAX);
	wire_init(&w, GATE_OPEN);
	port = w.ports.identity;
	now = wire_clock_ms();
	EXPECT_INT(port->session_new(port->self, &a, arn, STR("s"), now + 60000, &made),
		ERR_NOT_FOUND);
	wire_expect(&w, "-", "Action=CreateRole&RoleName=R&AssumeRolePolicyDocument=$TRUST_LAMBDA",
		200);
	ASSERT_INT(port->session_new(port->self, &a, arn, STR("s"), now + 60000, &made), 0);
	EXPECT(str_starts(made.principal.access_key, STR("ASIA")));
	EXPECT(made.active);
	ASSERT_INT(ask(&w, &a, made.principal.access_key, &seen), 1);
	EXPECT_STR(seen.secret, made.secret);
	EXPECT_STR(seen.session_token, made.session_token);
	EXPECT_INT(seen.expires_ms, now + 60000);
	EXPECT_STR(seen.principal.arn, made.principal.arn);
	EXPECT_INT(seen.principal.policy_count, 0);
	/* its policies are the role's of now */
	wire_expect(&w, "-",
		"Action=PutRolePolicy&RoleName=R&PolicyName=p&PolicyDocument=$ALLOW_IAM", 200);
	ASSERT_INT(ask(&w, &a, made.principal.access_key, &seen), 1);
	EXPECT(allowed(&a, &seen.principal, "iam:GetRole"));
	/* kept for an hour after its end, for the right error, then gone for ever */
	EXPECT_INT(iam_sweep(w.iam, now + 60000 + 3600000), 0);
	ASSERT_INT(port->session_new(port->self, &a, arn, STR("s"), now + 120000, &seen), 0);
	for (unsigned i = 0; i < 120; i++)
		ASSERT_INT(port->session_new(port->self, &a, arn, STR("s"), now + 60000, &id), 0);
	EXPECT_INT(iam_sweep(w.iam, now + 60001 + 3600000), 121);
	EXPECT_INT(iam_sweep(w.iam, now + 60001 + 3600000), 0);
	wire_expect(&w, "-", "Action=CreateUser&UserName=u", 200);
	ASSERT_INT(ask(&w, &a, made.principal.access_key, &made), 1);
	EXPECT(!made.active);
	EXPECT(made.secret.p == NULL);
	ASSERT_INT(ask(&w, &a, seen.principal.access_key, &seen), 1);
	EXPECT(seen.active);
	wire_done(&w);
}

/* ---- root, restart, strict mode ---- */

TEST(iam, root_key)
{
	cleanup(arena_done_p) struct arena a;
	struct iam_root_key key, again;
	struct iam *restarted;
	struct ports ports = {0};
	struct identity id;
	struct wire w;

	arena_init(&a, SIZE_MAX);
	wire_init(&w, GATE_STRICT);
	wire_expect(&w, "-", "sts:Action=GetCallerIdentity", 403);
	ASSERT_INT(iam_root_key_ensure(w.iam, &a, STR("000000000000"), &key), 1);
	ASSERT_INT(iam_root_key_ensure(w.iam, &a, STR("000000000000"), &again), 0);
	EXPECT_STR(again.access_key, key.access_key);
	EXPECT_STR(again.secret, key.secret);
	wire_key_add(&w, STR("root"), key.access_key, key.secret, STR_NULL);
	EXPECT_STR(wire_expect(&w, "root", "sts:Action=GetCallerIdentity", 200),
		STR("<UserId>000000000000</UserId><Account>000000000000</Account>"
		    "<Arn>arn:aws:iam::000000000000:root</Arn>"));
	wire_expect(&w, "root", "Action=CreateUser&UserName=u", 200);
	/* a wrong secret */
	wire_key_add(&w, STR("forged"), key.access_key, STR("wrong"), STR_NULL);
	wire_expect(&w, "forged", "sts:Action=GetCallerIdentity", 403);
	/* another process on the same store knows the same keys */
	restarted = iam_service_new(NULL, NULL, &ports);
	EXPECT_INT(ports.identity->by_access_key(ports.identity->self, &a, key.access_key, &id),
		ERR_CLOSED);
	ASSERT_INT(iam_service_start(restarted, w.kv), 0);
	ASSERT_INT(iam_root_key_ensure(restarted, &a, STR("000000000000"), &again), 0);
	EXPECT_STR(again.access_key, key.access_key);
	ASSERT_INT(ports.identity->by_access_key(ports.identity->self, &a, key.access_key, &id), 1);
	EXPECT_STR(id.secret, key.secret);
	iam_service_free(restarted);
	/* switched off, it does not count */
	wire_expect(
		&w, "root", "Action=UpdateAccessKey&AccessKeyId=$key(root)&Status=Inactive", 200);
	wire_expect(&w, "root", "sts:Action=GetCallerIdentity", 403);
	ASSERT_INT(iam_root_key_ensure(w.iam, &a, STR("000000000000"), &again), 1);
	EXPECT(!str_eq(again.access_key, key.access_key));
	/* other accounts have their own */
	ASSERT_INT(iam_root_key_ensure(w.iam, &a, STR("111111111111"), &again), 1);
	wire_key_add(&w, STR("other"), again.access_key, again.secret, STR_NULL);
	EXPECT_STR(wire_expect(&w, "other", "Action=ListUsers", 200),
		STR("<Users></Users><IsTruncated>false</IsTruncated>"));
	wire_done(&w);
}

/* ---- at the same time ---- */

enum { RACERS = 8 };

struct race {
	struct wire *w;
	const char *parameters;
	_Atomic unsigned won, lost, left;
	unsigned won_status, lost_status;
	struct rt_event done;
};

static void racer(void *arg)
{
	struct race *race = arg;
	cleanup(arena_done_p) struct arena a;
	struct wire_answer answer;

	arena_init(&a, 8 * 1024 * 1024);
	wire_call(race->w, &a, "-", race->parameters, &answer);
	if (answer.status == race->won_status)
		atomic_fetch_add(&race->won, 1);
	else if (answer.status == race->lost_status)
		atomic_fetch_add(&race->lost, 1);
	else
		test_fail(__FILE__, __LINE__, "%s: %u %.*s", race->parameters, answer.status,
			STR_ARG(answer.text));
	if (atomic_fetch_sub(&race->left, 1) == 1)
		rt_event_set(&race->done);
}

static void race(struct wire *w, const char *parameters, unsigned lost_status, unsigned winners)
{
	struct race r = {.w = w,
		.parameters = parameters,
		.won_status = 200,
		.lost_status = lost_status,
		.left = RACERS};

	rt_event_init(&r.done);
	for (unsigned i = 0; i < RACERS; i++)
		check(rt_spawn_on(rt_self(), i % rt_loop_count(rt_self()), racer, &r) == 0);
	rt_event_wait_sure(&r.done);
	EXPECT_INT(r.won, winners);
	EXPECT_INT(r.lost, RACERS - winners);
}

static void races(void *arg)
{
	struct wire *w = arg;

	wire_start(w, wire_slow_store(rt_random()));
	race(w, "Action=CreateRole&RoleName=r&AssumeRolePolicyDocument=$TRUST_ROOT", 409, 1);
	race(w, "Action=CreatePolicy&PolicyName=p&PolicyDocument=$ALLOW_READ", 409, 1);
	race(w, "Action=AttachRolePolicy&RoleName=r&PolicyArn=arn:aws:iam::000000000000:policy/p",
		0, RACERS);
	EXPECT(str_find_str(wire_expect(w, "-",
				    "Action=GetPolicy&PolicyArn="
				    "arn:aws:iam::000000000000:policy/p",
				    200),
		       STR("<AttachmentCount>1</AttachmentCount>")) >= 0);
	race(w,
		"Action=CreatePolicyVersion&PolicyArn=arn:aws:iam::000000000000:policy/p"
		"&PolicyDocument=$ALLOW_IAM",
		409, 4);
	race(w, "Action=DetachRolePolicy&RoleName=r&PolicyArn=arn:aws:iam::000000000000:policy/p",
		404, 1);
	race(w, "Action=PutRolePolicy&RoleName=r&PolicyName=i&PolicyDocument=$ALLOW_READ", 0,
		RACERS);
	race(w, "Action=DeleteRolePolicy&RoleName=r&PolicyName=i", 404, 1);
	race(w,
		"Action=PutRolePermissionsBoundary&RoleName=r&PermissionsBoundary="
		"arn:aws:iam::000000000000:policy/p",
		0, RACERS);
	race(w, "Action=DeletePolicy&PolicyArn=arn:aws:iam::000000000000:policy/p", 409, 0);
	race(w, "Action=DeleteRole&RoleName=r", 404, 1);
	EXPECT(str_find_str(wire_expect(w, "-",
				    "Action=GetPolicy&PolicyArn="
				    "arn:aws:iam::000000000000:policy/p",
				    200),
		       STR("<PermissionsBoundaryUsageCount>0<")) >= 0);
	wire_done(w);
	rt_stop(rt_self());
}

static void run(struct rt_options options, rt_fiber_fn *fn)
{
	struct wire w;
	struct rt *rt;

	ASSERT_INT(rt_new(&options, &rt), 0);
	wire_new(&w, rt, GATE_OPEN);
	EXPECT_INT(rt_run(rt, fn, &w), 0);
	rt_free(rt);
}

TEST(iam, races_on_two_loops)
{
	run((struct rt_options){.loops = 2}, races);
}

TEST(iam, races_simulated)
{
	unsigned long rounds = test_number("ROUNDS", 10);

	for (unsigned long i = 0; i < rounds; i++)
		run((struct rt_options){.mode = RT_SIMULATED, .loops = 3, .seed = 1000 + i}, races);
}

/*
 * A user is switched between two policies while others of its requests run on every loop: each
 * request is judged by one or the other, and after the change by the new one.
 */
struct flip {
	struct wire *w;
	_Atomic bool over;
	_Atomic unsigned left, seen;
	struct rt_event done;
};

static void flipped(void *arg)
{
	struct flip *f = arg;

	while (!atomic_load(&f->over)) {
		cleanup(arena_done_p) struct arena a;
		struct wire_answer answer;

		arena_init(&a, 8 * 1024 * 1024);
		wire_call(f->w, &a, "u", "Action=ListGroupsForUser&UserName=u", &answer);
		if (answer.status != 200 && answer.status != 403)
			test_fail(
				__FILE__, __LINE__, "%u %.*s", answer.status, STR_ARG(answer.text));
		atomic_fetch_add(&f->seen, 1);
		if (rt_yield() < 0)
			break;
	}
	if (atomic_fetch_sub(&f->left, 1) == 1)
		rt_event_set(&f->done);
}

static void flips(void *arg)
{
	struct wire *w = arg;
	struct rt *rt = rt_self();
	struct flip f = {.w = w, .left = 4};

	wire_start(w, wire_slow_store(rt_random()));
	rt_event_init(&f.done);
	wire_expect(w, "-", "Action=CreateUser&UserName=u", 200);
	wire_expect(w, "-", "Action=CreateAccessKey&UserName=u", 200);
	for (unsigned i = 0; i < 4; i++)
		check(rt_spawn_on(rt, i % rt_loop_count(rt), flipped, &f) == 0);
	for (unsigned i = 0; i < 20; i++) {
		wire_expect(w, "-",
			"Action=PutUserPolicy&UserName=u&PolicyName=p&PolicyDocument=$ALLOW_READ",
			200);
		wire_expect(w, "u", "Action=ListGroupsForUser&UserName=u", 200);
		wire_expect(w, "-",
			"Action=PutUserPolicy&UserName=u&PolicyName=p&PolicyDocument="
			"$ALLOW_ASSUME",
			200);
		wire_expect(w, "u", "Action=ListGroupsForUser&UserName=u", 403);
	}
	atomic_store(&f.over, true);
	rt_event_wait_sure(&f.done);
	EXPECT(f.seen > 0);
	wire_done(w);
	rt_stop(rt_self());
}

TEST(iam, changes_count_at_once_on_two_loops)
{
	run((struct rt_options){.loops = 2}, flips);
}

TEST(iam, changes_count_at_once_simulated)
{
	unsigned long rounds = test_number("ROUNDS", 5);

	for (unsigned long i = 0; i < rounds; i++)
		run((struct rt_options){.mode = RT_SIMULATED, .loops = 3, .seed = 2000 + i}, flips);
}
