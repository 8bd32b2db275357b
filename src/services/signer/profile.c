/*
 * PutSigningProfile, GetSigningProfile, ListSigningProfiles, CancelSigningProfile,
 * RevokeSigningProfile.
 *
 * A profile gets its version and its key with its name, and both for good: a name is never used
 * again, so what is signed keeps its signer. AWS, too, refuses a name that exists or has existed.
 *
 * Source: API Reference, the operation of each handler's name; Developer Guide, "Create a Signer
 * signing profile". Not confirmed: the words of all refusals, what a second cancel answers, and
 * that a revocation may be made earlier, but not later.
 */
#include "aws/keyspace.h"
#include "base/ecdsa.h"
#include "services/signer/expiry.h"
#include "services/signer/platform.h"
#include "services/signer/store.h"

enum { VERSION_BYTES = 10 };

/* ---- PutSigningProfile ---- */

static int check_platform(struct call *c)
{
	str id = value_str(c->in, "platformId");

	if (platform_is_elsewhere(id))
		return SIGNER_FAULT(c, NOT_IMPLEMENTED,
			"platformId: the platform %.*s is not implemented by this server; it has "
			"%s.",
			STR_ARG(id), STATEMENT_PLATFORM);
	if (!str_eq(id, PLATFORM_ID))
		return SIGNER_FAULT(c, VALIDATION,
			"platformId: there is no platform %.*s; this server has %s.", STR_ARG(id),
			STATEMENT_PLATFORM);
	return 0;
}

/* What the platform has no use for: its keys are the signer's own, its form is fixed. */
static int check_members(struct call *c)
{
	static const char *const members[] = {"signingMaterial", "overrides"};
	const struct value *parameters = value_get(c->in, "signingParameters");
	size_t bytes = 0;

	for (size_t i = 0; i < ARRAY_SIZE(members); i++)
		if (value_has(c->in, members[i]))
			return SIGNER_FAULT(c, VALIDATION,
				"%s: the platform %s does not support it.", members[i],
				STATEMENT_PLATFORM);
	for (uint32_t i = 0; i < value_count(parameters); i++)
		bytes += value_key(parameters, i).n + value_text(value_of(parameters, i)).n;
	if (bytes > SIGNER_PARAMETERS_BYTES_MAX)
		return SIGNER_FAULT(c, VALIDATION,
			"signingParameters: names and values may have %d bytes together.",
			SIGNER_PARAMETERS_BYTES_MAX);
	if (value_count(value_get(c->in, "tags")) > SIGNER_TAGS_MAX)
		return SIGNER_FAULT(c, VALIDATION, "tags: a profile may have %d.", SIGNER_TAGS_MAX);
	return 0;
}

static int check_validity(struct call *c)
{
	const struct value *period = value_get(c->in, "signatureValidityPeriod");
	int64_t ms;

	if (!period || (value_has(period, "value") && value_has(period, "type") &&
			       signer_expiry_of(c->wall_ms, value_int(period, "value", 0),
				       value_str(period, "type"), &ms) >= 0))
		return 0;
	return SIGNER_FAULT(c, VALIDATION,
		"signatureValidityPeriod: a value and a type (DAYS, MONTHS, YEARS) that are at "
		"least one day and at most %d months.",
		SIGNER_VALIDITY_MONTHS_MAX);
}

static str new_version(struct arena *a)
{
	static const char digits[] =
		"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
	char *to = arena_bytes(a, VERSION_BYTES);

	for (int i = 0; i < VERSION_BYTES; i++)
		to[i] = digits[rt_random() % (sizeof digits - 1)];
	return str_of(to, VERSION_BYTES);
}

struct key_job {
	struct buf key;
	int rc;
};

static void make_key(void *arg)
{
	struct key_job *j = arg;

	j->rc = ecdsa_key_new(&j->key);
}

static int new_key(struct call *c, str *ret_key)
{
	struct key_job j;
	int rc;

	buf_init(&j.key, NULL, ECDSA_KEY_MAX);
	rc = rt_pool_run(signer_self(c)->pool, make_key, &j, c->deadline_ns);
	if (rc >= 0)
		rc = j.rc;
	if (rc >= 0)
		*ret_key = arena_str(c->arena, buf_str(&j.key));
	buf_done(&j.key);
	return rc;
}

struct putting {
	struct call *call;
	struct signer_profile profile;
};

static int count_profiles(struct kv_txn *txn, struct arena *a, str account, str region)
{
	struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
	struct kv_range range = {.from = signer_prefix(a, account, region, "profile")};
	str key, record;
	int n = 0;

	range.to = keyspace_prefix_end(a, range.from);
	TRY(kv_txn_scan(txn, &range, &scan));
	while (TRY(kv_scan_next(scan, &key, &record)))
		n++;
	return n;
}

static int put_in_store(struct kv_txn *txn, void *arg)
{
	struct putting *x = arg;
	struct call *c = x->call;
	struct signer_profile *p = &x->profile, old;

	if (TRY(signer_profile_load(
		    signer_self(c), txn, c->arena, p->account, p->region, p->name, &old)))
		return SIGNER_FAULT(c, VALIDATION,
			"profileName: there is a signing profile %.*s already (%.*s); names are "
			"not "
			"used again.",
			STR_ARG(p->name), STR_ARG(value_str(old.shown, "status")));
	if (TRY(count_profiles(txn, c->arena, p->account, p->region)) >= SIGNER_PROFILES_MAX)
		return SIGNER_FAULT(c, TOO_MANY,
			"An account may have %d signing profiles in a region, canceled ones "
			"counted.",
			SIGNER_PROFILES_MAX);
	kv_txn_put(txn, signer_key(c->arena, p->account, p->region, "profile", p->name),
		signer_profile_encode(c->arena, p));
	return 0;
}

static void fill(struct call *c, struct signer_profile *p)
{
	struct value *v = p->shown, *period;

	value_put_str(v, "profileName", p->name);
	value_put_str(v, "profileVersion", new_version(c->arena));
	value_put_str(v, "profileVersionArn", signer_version_arn(c->arena, p));
	value_put_str(v, "platformId", PLATFORM_ID);
	value_put_str(v, "platformDisplayName", PLATFORM_DISPLAY);
	value_put_copy(v, "signatureValidityPeriod", value_get(c->in, "signatureValidityPeriod"));
	if (!value_has(v, "signatureValidityPeriod")) {
		period = value_put_struct(v, "signatureValidityPeriod");
		value_put_int(period, "value", SIGNER_VALIDITY_MONTHS_MAX);
		value_put_str(period, "type", STR("MONTHS"));
	}
	value_put_copy(v, "signingParameters", value_get(c->in, "signingParameters"));
	value_put_str(v, "status", STR("Active"));
	value_put_str(v, "arn", signer_profile_arn(c->arena, p->account, p->region, p->name));
	value_put_copy(v, "tags", value_get(c->in, "tags"));
}

int signer_put_profile(struct call *c)
{
	const struct model *m = c->service->model;
	struct putting x = {c,
		{.account = c->account,
			.region = c->region,
			.name = value_str(c->in, "profileName"),
			.created_ms = c->wall_ms,
			.shown = value_new(c->arena, m, "GetSigningProfileResponse"),
			.permissions = value_new(c->arena, m, "ListProfilePermissionsResponse")}};
	str key;

	TRY(check_platform(c));
	TRY(check_members(c));
	TRY(check_validity(c));
	fill(c, &x.profile);
	TRY(new_key(c, &x.profile.key));
	key = signer_key(c->arena, c->account, c->region, "profile", x.profile.name);
	TRY(kv_run(signer_self(c)->kv, &key, 1, put_in_store, &x, c->deadline_ns));
	value_put_str(c->out, "arn", value_str(x.profile.shown, "arn"));
	value_put_str(c->out, "profileVersion", value_str(x.profile.shown, "profileVersion"));
	value_put_str(c->out, "profileVersionArn", value_str(x.profile.shown, "profileVersionArn"));
	return 0;
}

/* ---- reading ---- */

int signer_get_profile(struct call *c)
{
	str owner = value_str(c->in, "profileOwner"), name = value_str(c->in, "profileName");
	struct signer_profile p;

	owner = owner.n ? owner : c->account;
	if (TRY(signer_profile_load(signer_self(c), NULL, c->arena, owner, c->region, name, &p)) ==
		0)
		return signer_profile_missing(c, owner, name);
	value_copy_members(c->out, p.shown);
	return 0;
}

static bool is_listed(struct call *c, const struct signer_profile *p)
{
	const struct value *statuses = value_get(c->in, "statuses");
	str platform = value_str(c->in, "platformId");

	if (platform.p && !str_eq(platform, PLATFORM_ID))
		return false;
	if (!statuses)
		return signer_profile_is_active(p) || value_bool(c->in, "includeCanceled", false);
	for (uint32_t i = 0; i < value_count(statuses); i++)
		if (str_eq(value_text(value_at(statuses, i)), value_str(p->shown, "status")))
			return true;
	return false;
}

int signer_list_profiles(struct call *c)
{
	struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
	struct value *list = value_put_list(c->out, "profiles");
	struct kv_range range = {.from = signer_prefix(c->arena, c->account, c->region, "profile")};
	struct signer_page page;
	struct signer_profile p;
	str key, record, last = STR_NULL;
	uint32_t n = 0;

	TRY(signer_page(c, &page));
	range.to = keyspace_prefix_end(c->arena, range.from);
	if (page.after.p)
		range.from = ARENA_CONCAT(c->arena,
			signer_key(c->arena, c->account, c->region, "profile", page.after),
			STR("\0"));
	TRY(kv_scan_open(signer_self(c)->kv, &range, &scan));
	while (TRY(kv_scan_next(scan, &key, &record))) {
		struct arena own cleanup(arena_done_p) = {0};

		arena_init(&own, SIZE_MAX);
		TRY(signer_profile_decode(
			&own, c->account, c->region, arena_str(&own, record), &p));
		if (!is_listed(c, &p))
			continue;
		if (n++ == page.max) {
			signer_page_more(c, last);
			break;
		}
		value_copy_members(value_add_struct(list), p.shown);
		last = arena_str(c->arena, p.name);
	}
	return 0;
}

/* ---- the end of one ---- */

static int cancel(struct call *c, struct signer_profile *p, void *arg unused_arg)
{
	if (!signer_profile_is_active(p))
		return SIGNER_FAULT(c, NOT_FOUND, "The signing profile %.*s is not active (%.*s).",
			STR_ARG(p->name), STR_ARG(value_str(p->shown, "status")));
	value_put_str(p->shown, "status", STR("Canceled"));
	return 0;
}

int signer_cancel_profile(struct call *c)
{
	return signer_profile_change(c, c->account, value_str(c->in, "profileName"), cancel, NULL);
}

static int revoke(struct call *c, struct signer_profile *p, void *arg unused_arg)
{
	int64_t from = value_time_ms(c->in, "effectiveTime", 0), now;
	struct value *record;

	if (!str_eq(value_str(c->in, "profileVersion"), value_str(p->shown, "profileVersion")))
		return SIGNER_FAULT(c, NOT_FOUND, "The signing profile %.*s has no version %.*s.",
			STR_ARG(p->name), STR_ARG(value_str(c->in, "profileVersion")));
	now = value_time_ms(
		value_get(p->shown, "revocationRecord"), "revocationEffectiveFrom", INT64_MAX);
	if (from > now)
		return SIGNER_FAULT(c, VALIDATION,
			"effectiveTime: the signing profile %.*s is revoked from an earlier time "
			"on "
			"already.",
			STR_ARG(p->name));
	record = value_put_struct(p->shown, "revocationRecord");
	value_put_time_ms(record, "revocationEffectiveFrom", from);
	value_put_time_ms(record, "revokedAt", c->wall_ms);
	value_put_str(record, "revokedBy", c->principal->arn);
	value_put_str(p->shown, "status", STR("Revoked"));
	value_put_str(p->shown, "statusReason", value_str(c->in, "reason"));
	return 0;
}

int signer_revoke_profile(struct call *c)
{
	return signer_profile_change(c, c->account, value_str(c->in, "profileName"), revoke, NULL);
}
