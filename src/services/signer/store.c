/*
 * See store.h.
 */
#include "services/signer/store.h"

#include "aws/codec.h"
#include "aws/keyspace.h"
#include "base/random.h"

enum { RECORD_MAX = 256 << 10, RECORD_FORMAT = 1 };

/* ---- ARNs ---- */

str signer_profile_arn(struct arena *a, str account, str region, str name)
{
	return ARENA_CONCAT(a, STR("arn:aws:signer:"), region, STR(":"), account,
		STR(":/signing-profiles/"), name);
}

str signer_version_arn(struct arena *a, const struct signer_profile *p)
{
	return ARENA_CONCAT(a, signer_profile_arn(a, p->account, p->region, p->name), STR("/"),
		value_str(p->shown, "profileVersion"));
}

str signer_job_arn(struct arena *a, str account, str region, str id)
{
	return ARENA_CONCAT(
		a, STR("arn:aws:signer:"), region, STR(":"), account, STR(":/signing-jobs/"), id);
}

bool signer_arn_parse(str arn, struct signer_arn *ret_arn)
{
	struct signer_arn r = {.profile = STR_NULL, .version = STR_NULL, .job = STR_NULL};
	str parts[5], rest = arn, kind, name, empty;

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		if (!str_split(&rest, ':', &parts[i]))
			return false;
	if (!str_eq(parts[0], STR("arn")) || !str_eq(parts[2], STR("signer")) || !parts[3].n ||
		!parts[4].n)
		return false;
	r.region = parts[3];
	r.account = parts[4];
	if (!str_split(&rest, '/', &empty) || empty.n || !str_split(&rest, '/', &kind) ||
		!str_split(&rest, '/', &name) || !name.n)
		return false;
	if (str_eq(kind, STR("signing-jobs")) && !rest.n) {
		r.job = name;
	} else if (str_eq(kind, STR("signing-profiles"))) {
		r.profile = name;
		if (str_split(&rest, '/', &r.version) && (rest.n || !r.version.n))
			return false;
	} else {
		return false;
	}
	*ret_arn = r;
	return true;
}

/* ---- keys ---- */

static void begin(struct buf *key, struct arena *a, str account, str region, const char *what)
{
	buf_init(key, a, KEYSPACE_KEY_MAX);
	keyspace_begin(key, KEYSPACE_SIGNER, account, region);
	keyspace_put(key, str_c(what));
}

static str end(struct buf *key)
{
	check(!key->over);
	return buf_str(key);
}

str signer_prefix(struct arena *a, str account, str region, const char *what)
{
	struct buf key;

	begin(&key, a, account, region, what);
	return end(&key);
}

str signer_key(struct arena *a, str account, str region, const char *what, str name)
{
	struct buf key;

	begin(&key, a, account, region, what);
	keyspace_put(&key, name);
	return end(&key);
}

str signer_list_key(struct arena *a, str account, str region, int64_t ms, str id)
{
	struct buf key;

	begin(&key, a, account, region, "jobs");
	buf_put_be64(&key, ~(uint64_t)ms);
	keyspace_put(&key, id);
	return end(&key);
}

str signer_open_prefix(struct arena *a)
{
	struct buf key;

	buf_init(&key, a, KEYSPACE_KEY_MAX);
	keyspace_area(&key, KEYSPACE_SIGNER);
	keyspace_put(&key, STR("open"));
	return end(&key);
}

str signer_open_key(struct arena *a, int64_t ms, str id)
{
	struct buf key;

	buf_init(&key, a, KEYSPACE_KEY_MAX);
	buf_put(&key, signer_open_prefix(a));
	buf_put_be64(&key, (uint64_t)ms);
	keyspace_put(&key, id);
	return end(&key);
}

/* ---- records ---- */

static void put_value(struct buf *out, struct arena *a, const struct value *v)
{
	struct buf text;

	buf_init(&text, a, RECORD_MAX);
	codec_json_store(&text, v);
	check(!text.over);
	buf_put_sized(out, buf_str(&text));
}

static int take_value(struct arena *a, str *record, const char *shape, struct value **ret)
{
	str text;

	if (!str_take_sized(record, &text))
		return ERR_CORRUPT;
	return codec_json_load(a, model_named(STR("signer")), shape, text, ret);
}

static int take_format(str *record)
{
	uint8_t format;

	if (!str_take_u8(record, &format))
		return ERR_CORRUPT;
	return format == RECORD_FORMAT ? 0 : ERR_VERSION;
}

str signer_profile_encode(struct arena *a, const struct signer_profile *p)
{
	struct signer_profile back;
	struct buf out;

	buf_init(&out, a, RECORD_MAX);
	buf_put_char(&out, RECORD_FORMAT);
	buf_put_sized(&out, p->key);
	buf_put_be64(&out, (uint64_t)p->created_ms);
	put_value(&out, a, p->shown);
	put_value(&out, a, p->permissions);
	check(!out.over &&
		signer_profile_decode(a, p->account, p->region, buf_str(&out), &back) == 0);
	return buf_str(&out);
}

int signer_profile_decode(
	struct arena *a, str account, str region, str record, struct signer_profile *ret_profile)
{
	struct signer_profile p = {.account = account, .region = region};
	uint64_t ms;

	TRY(take_format(&record));
	if (!str_take_sized(&record, &p.key) || !str_take_be64(&record, &ms))
		return ERR_CORRUPT;
	p.created_ms = (int64_t)ms;
	TRY(take_value(a, &record, "GetSigningProfileResponse", &p.shown));
	TRY(take_value(a, &record, "ListProfilePermissionsResponse", &p.permissions));
	p.name = value_str(p.shown, "profileName");
	if (record.n || !p.key.n || !p.name.n || !value_str(p.shown, "profileVersion").n)
		return ERR_CORRUPT;
	*ret_profile = p;
	return 0;
}

str signer_job_encode(struct arena *a, const struct signer_job *j)
{
	struct signer_job back;
	struct buf out;

	buf_init(&out, a, RECORD_MAX);
	buf_put_char(&out, RECORD_FORMAT);
	principal_note_put(&out, &j->as);
	buf_put_be32(&out, j->attempts);
	buf_put_sized(&out, j->etag);
	put_value(&out, a, j->request);
	put_value(&out, a, j->shown);
	check(!out.over && signer_job_decode(a, j->account, j->region, buf_str(&out), &back) == 0);
	return buf_str(&out);
}

int signer_job_decode(
	struct arena *a, str account, str region, str record, struct signer_job *ret_job)
{
	struct signer_job j = {.account = account, .region = region};

	TRY(take_format(&record));
	if (!principal_note_take(&record, &j.as) || !str_take_be32(&record, &j.attempts) ||
		!str_take_sized(&record, &j.etag))
		return ERR_CORRUPT;
	TRY(take_value(a, &record, "StartSigningJobRequest", &j.request));
	TRY(take_value(a, &record, "DescribeSigningJobResponse", &j.shown));
	j.id = value_str(j.shown, "jobId");
	if (record.n || !j.id.n)
		return ERR_CORRUPT;
	*ret_job = j;
	return 0;
}

static int load(struct signer *s, struct kv_txn *txn, struct arena *a, str key, str *ret_record)
{
	return txn ? kv_txn_get(txn, key, a, ret_record) : kv_get(s->kv, key, a, ret_record);
}

int signer_profile_load(struct signer *s, struct kv_txn *txn, struct arena *a, str account,
	str region, str name, struct signer_profile *ret_profile)
{
	str record;

	if (TRY(load(s, txn, a, signer_key(a, account, region, "profile", name), &record)) == 0)
		return 0;
	TRY(signer_profile_decode(a, account, region, record, ret_profile));
	return 1;
}

int signer_job_load(struct signer *s, struct kv_txn *txn, struct arena *a, str account, str region,
	str id, struct signer_job *ret_job)
{
	str record;

	if (TRY(load(s, txn, a, signer_key(a, account, region, "job", id), &record)) == 0)
		return 0;
	TRY(signer_job_decode(a, account, region, record, ret_job));
	return 1;
}

int signer_count_load(struct kv_txn *txn, struct arena *a, str key, struct signer_count *ret_count)
{
	struct signer_count count = {0, 0};
	str record;

	if (TRY(kv_txn_get(txn, key, a, &record)) &&
		(!str_take_be64(&record, &count.jobs) || !str_take_be64(&record, &count.open) ||
			record.n))
		return ERR_CORRUPT;
	*ret_count = count;
	return 0;
}

str signer_count_encode(struct arena *a, const struct signer_count *count)
{
	struct buf out;

	buf_init(&out, a, 16);
	buf_put_be64(&out, count->jobs);
	buf_put_be64(&out, count->open);
	return buf_str(&out);
}

/* ---- what they say ---- */

bool signer_profile_is_active(const struct signer_profile *p)
{
	return str_eq(value_str(p->shown, "status"), STR("Active"));
}

bool signer_profile_revoked_at(const struct signer_profile *p, int64_t signed_ms)
{
	const struct value *record = value_get(p->shown, "revocationRecord");

	/* A signature tells the second of its making: in doubt it is revoked. */
	return record && signed_ms + 999 >= value_time_ms(record, "revocationEffectiveFrom", 0);
}

bool signer_job_is_revoked(const struct signer_job *j)
{
	return value_has(j->shown, "revocationRecord");
}

str signer_uuid(struct arena *a)
{
	char *text = arena_bytes(a, UUID_TEXT_BYTES);
	uint8_t bytes[16];

	rt_random_bytes(bytes, sizeof bytes);
	uuid_v4_text(bytes, text);
	return str_of(text, UUID_TEXT_BYTES);
}

/* ---- changing a profile ---- */

int signer_profile_missing(struct call *c, str account, str name)
{
	return SIGNER_FAULT(c, NOT_FOUND, "The signing profile %.*s does not exist.",
		STR_ARG(signer_profile_arn(c->arena, account, c->region, name)));
}

struct profile_change {
	struct call *call;
	str account, name;
	signer_profile_change_fn *change;
	void *arg;
};

static int change_in_store(struct kv_txn *txn, void *arg)
{
	struct profile_change *x = arg;
	struct call *c = x->call;
	struct signer_profile p;

	if (TRY(signer_profile_load(
		    signer_self(c), txn, c->arena, x->account, c->region, x->name, &p)) == 0)
		return signer_profile_missing(c, x->account, x->name);
	TRY(x->change(c, &p, x->arg));
	kv_txn_put(txn, signer_key(c->arena, x->account, c->region, "profile", x->name),
		signer_profile_encode(c->arena, &p));
	return 0;
}

int signer_profile_change(
	struct call *c, str account, str name, signer_profile_change_fn *change, void *arg)
{
	struct profile_change x = {c, account, name, change, arg};
	str key = signer_key(c->arena, account, c->region, "profile", name);

	return kv_run(signer_self(c)->kv, &key, 1, change_in_store, &x, c->deadline_ns);
}
