/*
 * The worker: one fiber that works on jobs that are not through, one after another, in the order
 * of their starts; also those that an end of the server has cut off.
 *
 * Before a job is begun it is noted that it is: one that was begun SIGNER_ATTEMPTS_MAX times and
 * whose end never came fails, so that no archive can take the server down again and again. What may
 * pass (a disk, a store that is busy) is tried again a second later.
 */
#include "aws/keyspace.h"
#include "base/log.h"
#include "services/signer/sign.h"

enum { WRITE_MS = 10000, RETRY_MS = 1000, LOOK_MS = 3600 * 1000 };

/* ---- what is written of a job ---- */

struct change {
	struct signer *signer;
	struct arena *arena;
	struct signer_job *job;
	str open_key, key, count_key;
	str why; /* of the failure; STR_NULL: it has succeeded */
	bool begin;
};

static void put_end(struct change *x, struct signer_job *j)
{
	struct value *v = j->shown, *s3;

	value_put_time_ms(v, "completedAt", rt_wall() / RT_NS_MS);
	value_put_str(v, "status", x->why.p ? STR("Failed") : STR("Succeeded"));
	value_put_str(v, "statusReason", x->why.p ? x->why : STR("Signing Succeeded"));
	if (x->why.p)
		return;
	s3 = value_put_struct(value_put_struct(v, "signedObject"), "s3");
	value_put_str(s3, "bucketName",
		value_str(value_get(value_get(j->request, "destination"), "s3"), "bucketName"));
	value_put_str(s3, "key", sign_object_key(x->arena, j));
}

static int change_in_store(struct kv_txn *txn, void *arg)
{
	struct change *x = arg;
	struct arena *a = x->arena;
	struct signer_count count;
	struct signer_job j;

	if (TRY(signer_job_load(
		    x->signer, txn, a, x->job->account, x->job->region, x->job->id, &j)) == 0)
		return ERR_CORRUPT;
	/* Several servers on one store work on it side by side: the first end counts. */
	if (!str_eq(value_str(j.shown, "status"), STR("InProgress")))
		return 1;
	if (x->begin) {
		j.attempts++;
		*x->job = j;
	} else {
		put_end(x, &j);
		TRY(signer_count_load(txn, a, x->count_key, &count));
		check(count.open > 0);
		count.open--;
		kv_txn_put(txn, x->count_key, signer_count_encode(a, &count));
		kv_txn_delete(txn, x->open_key);
	}
	kv_txn_put(txn, x->key, signer_job_encode(a, &j));
	return 0;
}

/* 0; 1: it is through already. */
static int write_change(struct change *x)
{
	str keys[] = {x->key, x->open_key, x->count_key};

	return kv_run(
		x->signer->kv, keys, ARRAY_SIZE(keys), change_in_store, x, rt_after_ms(WRITE_MS));
}

/* ---- one job ---- */

/* 0: it is done; ERR_FAULT and why. */
static int run(struct signer *s, struct arena *a, const struct signer_job *job, str *ret_why)
{
	struct sign_request r = {.signer = s, .arena = a, .job = job};
	const struct ports *ports = s->options.ports;
	struct signer_profile profile;
	struct principal as;
	int rc;

	if (job->attempts > SIGNER_ATTEMPTS_MAX) {
		*ret_why = STR("The job was begun again and again, and never came to its end.");
		return ERR_FAULT;
	}
	if (TRY(principal_of_note(ports->identity, a, &job->as, &as)) == 0) {
		*ret_why = STR("The credentials that started the job do not count any more.");
		return ERR_FAULT;
	}
	if (TRY(signer_profile_load(s, NULL, a, job->account, job->region,
		    value_str(job->shown, "profileName"), &profile)) == 0)
		return ERR_CORRUPT;
	if (profile.shown && value_has(profile.shown, "revocationRecord")) {
		*ret_why = STR("The signing profile was revoked.");
		return ERR_FAULT;
	}
	r.profile = &profile;
	r.as = &as;
	rc = signer_sign(&r);
	*ret_why = r.why;
	return rc;
}

/* Account and region stand in a job's key. */
static int load(struct signer *s, struct arena *a, str key, struct signer_job *ret_job)
{
	str rest = str_from(key, 1), account, region, record;

	if (!keyspace_take(a, &rest, &account) || !keyspace_take(a, &rest, &region))
		return ERR_CORRUPT;
	if (TRY(kv_get(s->kv, key, a, &record)) == 0)
		return ERR_CORRUPT;
	return signer_job_decode(a, account, region, record, ret_job);
}

static int work_on(struct signer *s, struct arena *a, str open_key, str key)
{
	struct signer_job job;
	struct change x = {.signer = s,
		.arena = a,
		.job = &job,
		.open_key = open_key,
		.key = key,
		.why = STR_NULL,
		.begin = true};
	int rc;

	TRY(load(s, a, key, &job));
	x.count_key =
		signer_key(a, value_str(job.shown, "jobInvoker"), job.region, "count", STR(""));
	if (TRY(write_change(&x)))
		return 0;
	x.begin = false;
	rc = run(s, a, &job, &x.why);
	if (rc < 0 && rc != ERR_FAULT)
		return rc;
	if (rc == ERR_FAULT)
		log_warn("signer", "a signing job has failed", "job=%.*s account=%.*s reason=%.*s",
			STR_ARG(job.id), STR_ARG(job.account), STR_ARG(x.why));
	else
		x.why = STR_NULL;
	return write_change(&x);
}

/* ---- in turn ---- */

/* The first open job behind a key: 1; 0: there is none. */
static int next_open(struct signer *s, struct arena *a, str after, str *ret_open_key, str *ret_key)
{
	struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
	struct kv_range range = {.from = signer_open_prefix(a), .limit = 1};
	str key, value;

	range.to = keyspace_prefix_end(a, range.from);
	if (after.n)
		range.from = ARENA_CONCAT(a, after, STR("\0"));
	TRY(kv_scan_open(s->kv, &range, &scan));
	if (TRY(kv_scan_next(scan, &key, &value)) == 0)
		return 0;
	*ret_open_key = arena_str(a, key);
	*ret_key = arena_str(a, value);
	return 1;
}

/* All that are open, once each: how many are left, to be tried again. */
static int work_once(struct signer *s)
{
	struct buf after cleanup(buf_done) = {0};
	int left = 0;

	buf_init(&after, NULL, KEYSPACE_KEY_MAX);
	while (!atomic_load(&s->stopping)) {
		struct arena a cleanup(arena_done_p) = {0};
		str open_key, key;
		int rc;

		arena_init(&a, SIZE_MAX);
		if (TRY(next_open(s, &a, buf_str(&after), &open_key, &key)) == 0)
			break;
		buf_reset(&after);
		buf_put(&after, open_key);
		rc = work_on(s, &a, open_key, key);
		if (rc == ERR_CANCELLED)
			return rc;
		if (rc < 0) {
			log_warn("signer", "a signing job is still being worked on", "rc=%s",
				rc_name(rc));
			left++;
		}
	}
	return left;
}

void signer_work(void *arg)
{
	struct signer *s = arg;

	while (!atomic_load(&s->stopping) && !rt_cancelled()) {
		int rc = s->options.ports->objects ? work_once(s) : 0;

		if (rc == ERR_CANCELLED)
			continue;
		rc = rt_event_wait(&s->wanted, rt_after_ms(rc ? RETRY_MS : LOOK_MS));
		if (rc < 0 && rc != ERR_TIMEOUT)
			break;
	}
	rt_event_set(&s->ended);
}
