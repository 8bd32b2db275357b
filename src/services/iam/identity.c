/*
 * The identity port: who owns a key, what a role may, sessions.
 *
 * A hit costs a look-up in this loop's table (cache.h). Everything else reads one snapshot of the
 * store: the key or session, its user or role, their policies, all as they are now. So a change of
 * a role changes what its sessions may, and what is deleted is gone for the next request.
 *
 * A key that was issued here and is gone answers as inactive, for ever: its id says so itself
 * (ids.c). Otherwise a deleted key would become an unknown one, which in open mode is root.
 */
#include "base/check.h"
#include "base/mem.h"
#include "rt/rt.h"
#include "services/iam/cache.h"
#include "services/iam/internal.h"

enum { SNAPSHOT_RETRIES = 3, SESSION_NAME_MAX = 64, WRITE_MS_MAX = 10000 };

/* A document must have a statement; this one is about an action that nobody has. */
#define GRANTS_NOTHING                                                               \
	"{\"Version\":\"2012-10-17\",\"Statement\":{\"Effect\":\"Deny\",\"Action\":" \
	"\"none:None\",\"Resource\":\"*\"}}"

int64_t iam_wall_ms(const struct iam *iam)
{
	return iam->options.wall_ms ? iam->options.wall_ms() : rt_wall() / RT_NS_MS;
}

static struct iam_cache *loop_cache(struct iam *iam)
{
	struct iam_cache **slot = iam->rt ? (struct iam_cache **)rt_slot(iam->slot) : &iam->cache;

	if (!*slot)
		*slot = cache_new();
	return *slot;
}

/* ---- reading an identity ---- */

struct texts {
	str *items;
	uint32_t count, capacity;
};

static void text_add(struct arena *a, struct texts *t, str text)
{
	if (t->count == t->capacity) {
		uint32_t capacity = t->capacity ? t->capacity * 2 : 8;
		str *items = arena_new_array(a, str, capacity);

		if (t->count)
			memcpy(items, t->items, t->count * sizeof(*items));
		t->items = items;
		t->capacity = capacity;
	}
	t->items[t->count++] = text;
}

/* The default document of a managed policy that something refers to. 1, 0, or an error. */
static int managed_text(
	const struct iam_reader *from, struct arena *a, str account, str arn, str *ret_text)
{
	struct iam_policy_ref ref;

	if (iam_policy_ref(a, account, arn, &ref) == 0)
		return 0;
	return iam_policy_document(from, a, account, &ref, ret_text);
}

/* Calls `add` for each record below an entity. */
static int parts_read(const struct iam_reader *from, struct arena *a, str account, const char *what,
	enum iam_kind kind, str name, struct texts *texts)
{
	cleanup(kv_scan_close_p) struct kv_scan *scan = NULL;
	str prefix = iam_key_part(a, account, what, kind, name, STR_NULL), key, value, text;
	struct kv_range range = {.from = prefix, .to = keyspace_prefix_end(a, prefix)};
	bool attached = what[0] == 'a';

	TRY(iam_scan(from, &range, &scan));
	while (TRY(kv_scan_next(scan, &key, &value)) > 0) {
		struct iam_inline policy;
		struct iam_link link;

		value = arena_str(a, value);
		if (!attached) {
			TRY(record_decode(a, &iam_inline_record, value, &policy));
			text_add(a, texts, policy.document);
			continue;
		}
		TRY(record_decode(a, &iam_link_record, value, &link));
		/* an attached policy cannot be deleted */
		if (TRY(managed_text(from, a, account, link.arn, &text)) == 0)
			return ERR_CORRUPT;
		text_add(a, texts, text);
	}
	return 0;
}

/* The policies and the boundary of a role or user into *source. */
static int entity_policies(const struct iam_reader *from, struct arena *a, str account,
	enum iam_kind kind, const struct iam_entity *e, struct cache_source *source)
{
	struct texts texts = {0};

	if (e->inline_count)
		TRY(parts_read(from, a, account, "inline", kind, e->name, &texts));
	if (e->attached_count)
		TRY(parts_read(from, a, account, "attached", kind, e->name, &texts));
	source->policies = texts.items;
	source->policy_count = texts.count;
	if (e->boundary.n &&
		TRY(managed_text(from, a, account, e->boundary, &source->boundary)) == 0)
		return ERR_CORRUPT;
	return 0;
}

static void root_principal(struct arena *a, str account, struct principal *ret)
{
	*ret = (struct principal){.kind = PRINCIPAL_ROOT,
		.account = account,
		.arn = iam_arn(a, account, IAM_ROOT, STR_NULL, STR_NULL),
		.user_id = account,
		.name = STR("root"),
		.unrestricted = true};
}

/* 1, or 0: there is no such user. */
static int user_read(const struct iam_reader *from, struct arena *a, str account, str name,
	struct cache_source *source)
{
	struct iam_entity e;
	int rc = TRY(iam_load(
		from, a, iam_key_entity(a, account, IAM_USER, name), &iam_entity_record, &e));

	if (rc == 0)
		return 0;
	source->identity.principal = (struct principal){.kind = PRINCIPAL_USER,
		.account = account,
		.arn = iam_arn(a, account, IAM_USER, e.path, e.name),
		.user_id = e.id,
		.name = e.name};
	TRY(entity_policies(from, a, account, IAM_USER, &e, source));
	return 1;
}

/* 1 and the session's principal, or 0: no such role. *ret_role may be NULL. */
static int role_read(const struct iam_reader *from, struct arena *a, str account, str name,
	str session_name, struct cache_source *source, struct iam_entity *ret_role)
{
	struct iam_entity e;
	int rc = TRY(iam_load(
		from, a, iam_key_entity(a, account, IAM_ROLE, name), &iam_entity_record, &e));

	if (rc == 0)
		return 0;
	source->identity.principal = (struct principal){.kind = PRINCIPAL_SESSION,
		.account = account,
		.arn = ARENA_CONCAT(a, STR("arn:aws:sts::"), account, STR(":assumed-role/"), e.name,
			STR("/"), session_name),
		.role_arn = iam_arn(a, account, IAM_ROLE, e.path, e.name),
		.user_id = ARENA_CONCAT(a, e.id, STR(":"), session_name),
		.name = session_name};
	TRY(entity_policies(from, a, account, IAM_ROLE, &e, source));
	*ret_role = e;
	return 1;
}

/* A key that is no good any more. */
static void gone(str access_key, struct cache_source *ret)
{
	*ret = (struct cache_source){
		.identity = {.active = false,
			.expires_ms = INT64_MAX,
			.generation = 1,
			.principal = {.kind = PRINCIPAL_ANONYMOUS, .access_key = access_key}}};
}

static int long_lived_read(
	const struct iam_reader *from, struct arena *a, str access_key, struct cache_source *source)
{
	struct iam_access_key k;
	int rc = TRY(
		iam_load(from, a, iam_key_access_key(a, access_key), &iam_access_key_record, &k));

	if (rc == 0)
		return 0;
	if (k.user.n == 0)
		root_principal(a, k.account, &source->identity.principal);
	else if (TRY(user_read(from, a, k.account, k.user, source)) == 0)
		return 0;
	source->identity.secret = k.secret;
	source->identity.expires_ms = INT64_MAX;
	source->identity.active = !k.inactive;
	return 1;
}

static int session_read(
	const struct iam_reader *from, struct arena *a, str access_key, struct cache_source *source)
{
	struct texts texts = {0};
	struct iam_session s;
	struct iam_entity role;
	str text;
	int rc = TRY(iam_load(from, a, iam_key_session(a, access_key), &iam_session_record, &s));

	if (rc == 0)
		return 0;
	if (s.role.n) {
		/* one made again under the name is another role */
		if (TRY(role_read(from, a, s.account, s.role, s.name, source, &role)) == 0 ||
			!str_eq(role.id, s.role_id))
			return 0;
	} else if (s.user.n) {
		if (TRY(user_read(from, a, s.account, s.user, source)) == 0 ||
			!str_eq(source->identity.principal.user_id, s.user_id))
			return 0;
	} else {
		root_principal(a, s.account, &source->identity.principal);
	}
	if (s.policy.n)
		text_add(a, &texts, s.policy);
	for (uint32_t i = 0; i < s.arns.count; i++)
		/* one deleted since grants nothing, but the session stays limited */
		text_add(a, &texts,
			TRY(managed_text(from, a, s.account, s.arns.items[i], &text)) > 0
				? text
				: STR(GRANTS_NOTHING));
	source->session_policies = texts.items;
	source->session_policy_count = texts.count;
	source->identity.secret = s.secret;
	source->identity.session_token = s.token;
	source->identity.expires_ms = s.expires_ms;
	source->identity.active = true;
	return 1;
}

static int key_read(struct iam *iam, struct arena *a, str access_key, struct cache_source *ret)
{
	cleanup(kv_snapshot_close_p) struct kv_snapshot *snapshot = NULL;
	struct cache_source source = {0};
	struct iam_reader from = {.kv = iam->kv};
	int rc;

	TRY(kv_snapshot_open(iam->kv, &snapshot));
	from.snapshot = snapshot;
	rc = str_starts(access_key, STR("ASIA")) ? session_read(&from, a, access_key, &source)
						 : long_lived_read(&from, a, access_key, &source);
	if (rc < 0)
		return rc;
	if (rc == 0) {
		gone(access_key, ret);
		return 0;
	}
	source.identity.principal.access_key = access_key;
	source.identity.generation = 1; /* an id is never issued twice */
	*ret = source;
	return 1;
}

static int by_access_key(void *self, struct arena *a, str access_key, struct identity *ret)
{
	struct iam *iam = check_object(self, struct iam, IAM_MAGIC);
	/* not the wall clock, which may jump: entries are freed by age */
	int64_t now = (iam->rt ? rt_now_coarse() : rt_now()) / RT_NS_MS;
	int64_t not_before =
		iam->options.cache_ms_max ? now - iam->options.cache_ms_max : INT64_MIN;
	uint64_t generation = atomic_load(&iam->generation);
	struct cache_source source;
	int rc = 0;

	if (!iam->kv)
		return ERR_CLOSED;
	if (access_key.n != IAM_ACCESS_KEY_CHARS) /* "test", an account's number */
		return 0;
	if (cache_get(loop_cache(iam), access_key, generation, not_before, now, ret))
		return 1;
	if (!iam_access_key_issued(iam, access_key))
		return 0;
	for (unsigned i = 0; i < SNAPSHOT_RETRIES; i++) {
		rc = key_read(iam, a, access_key, &source);
		if (rc != ERR_CONFLICT)
			break;
	}
	if (rc < 0)
		return rc;
	TRY(cache_put(loop_cache(iam), a, &source, generation, now, ret));
	return 1;
}

/* ---- roles ---- */

/* 1 and the role that an ARN names, with the principal of a session of it; 0. */
static int role_named(struct iam *iam, struct arena *a, str role_arn, str session_name,
	struct cache_source *source, struct iam_entity *ret_role, str *ret_account)
{
	cleanup(kv_snapshot_close_p) struct kv_snapshot *snapshot = NULL;
	struct iam_reader from = {.kv = iam->kv};
	str account, path, name;

	if (!iam->kv)
		return ERR_CLOSED;
	if (!iam_arn_split(role_arn, IAM_ROLE, &account, &path, &name))
		return 0;
	TRY(kv_snapshot_open(iam->kv, &snapshot));
	from.snapshot = snapshot;
	if (TRY(role_read(&from, a, account, name, session_name, source, ret_role)) == 0 ||
		!str_eq(source->identity.principal.role_arn, role_arn))
		return 0;
	*ret_account = account;
	return 1;
}

static int by_role(
	void *self, struct arena *a, str role_arn, str session_name, struct principal *ret)
{
	struct iam *iam = check_object(self, struct iam, IAM_MAGIC);
	struct cache_source source = {0};
	struct iam_entity role;
	struct identity id;
	str account;

	role_arn = arena_str(a, role_arn);
	session_name = arena_str(a, session_name);
	if (TRY(role_named(iam, a, role_arn, session_name, &source, &role, &account)) == 0)
		return 0;
	TRY(cache_build(a, &source, &id));
	*ret = id.principal;
	return 1;
}

static int role(void *self, struct arena *a, str role_arn, struct identity_role *ret)
{
	struct iam *iam = check_object(self, struct iam, IAM_MAGIC);
	struct cache_source source = {0};
	struct iam_entity e;
	struct policy *trust;
	str account, message;

	if (TRY(role_named(iam, a, arena_str(a, role_arn), STR("-"), &source, &e, &account)) == 0)
		return 0;
	if (policy_parse(a, e.trust, POLICY_TRUST, &trust, &message) < 0)
		return ERR_CORRUPT;
	*ret = (struct identity_role){.arn = source.identity.principal.role_arn,
		.id = e.id,
		.trust = trust,
		.session_seconds_max = e.session_seconds_max};
	return 1;
}

/* ---- sessions ---- */

struct session_write {
	struct arena *arena;
	const struct iam_session *session;
};

static int session_put(struct kv_txn *txn, void *arg)
{
	struct session_write *w = arg;
	const struct iam_session *s = w->session;

	kv_txn_put(txn, iam_key_session(w->arena, s->id),
		record_encode(w->arena, &iam_session_record, s));
	kv_txn_put(txn, iam_key_session_end(w->arena, s->expires_ms, s->id), STR(""));
	return 0;
}

/* Whose session it becomes. */
static int session_owner(struct iam *iam, struct arena *a, const struct identity_session *wanted,
	struct cache_source *source, struct iam_session *s)
{
	struct iam_reader from = {.kv = iam->kv};
	const struct principal *user = wanted->user;
	struct iam_entity e;

	if (wanted->role_arn.p) {
		if (TRY(role_named(iam, a, arena_str(a, wanted->role_arn),
			    arena_str(a, wanted->session_name), source, &e, &s->account)) == 0)
			return ERR_NOT_FOUND;
		s->name = source->identity.principal.name;
		s->role = e.name;
		s->role_id = e.id;
		return 0;
	}
	check(user && (user->kind == PRINCIPAL_USER || user->kind == PRINCIPAL_ROOT));
	s->account = user->account;
	if (user->kind == PRINCIPAL_ROOT) {
		root_principal(a, user->account, &source->identity.principal);
		return 0;
	}
	if (TRY(user_read(&from, a, user->account, user->name, source)) == 0)
		return ERR_NOT_FOUND;
	s->user = source->identity.principal.name;
	s->user_id = source->identity.principal.user_id;
	return 0;
}

static int session_limits(struct iam *iam, struct arena *a, const struct identity_session *wanted,
	struct cache_source *source, struct iam_session *s)
{
	struct iam_reader from = {.kv = iam->kv};
	struct texts texts = {0};
	str text;

	if (wanted->policy.p)
		text_add(a, &texts, wanted->policy);
	for (uint32_t i = 0; i < wanted->policy_arn_count; i++) {
		if (TRY(managed_text(&from, a, s->account, wanted->policy_arns[i], &text)) == 0)
			return ERR_INVALID;
		text_add(a, &texts, text);
	}
	s->policy = wanted->policy;
	s->arns = (struct iam_strs){(str *)wanted->policy_arns, wanted->policy_arn_count};
	source->session_policies = texts.items;
	source->session_policy_count = texts.count;
	return 0;
}

static int session_make(
	void *self, struct arena *a, const struct identity_session *wanted, struct identity *ret)
{
	struct iam *iam = check_object(self, struct iam, IAM_MAGIC);
	struct iam_session s = {0};
	struct cache_source source = {0};
	struct identity *id = &source.identity;
	struct session_write write = {a, &s};
	str keys[2];

	if (!iam->kv)
		return ERR_CLOSED;
	check(wanted->session_name.n <= SESSION_NAME_MAX);
	TRY(session_owner(iam, a, wanted, &source, &s));
	TRY(session_limits(iam, a, wanted, &source, &s));
	s.id = iam_access_key_id_new(iam, a, STR("ASIA"));
	s.secret = iam_secret_new(a);
	s.token = iam_token_new(a);
	s.created_ms = iam_wall_ms(iam);
	s.expires_ms = wanted->expires_ms;
	keys[0] = iam_key_session(a, s.id);
	keys[1] = iam_key_session_end(a, s.expires_ms, s.id);
	TRY(kv_run(iam->kv, keys, 2, session_put, &write, rt_after_ms(WRITE_MS_MAX)));
	id->secret = s.secret;
	id->session_token = s.token;
	id->expires_ms = s.expires_ms;
	id->active = true;
	id->generation = 1;
	id->principal.access_key = s.id;
	return cache_build(a, &source, ret);
}

static int session_new(void *self, struct arena *a, str role_arn, str session_name,
	int64_t expires_ms, struct identity *ret)
{
	struct identity_session wanted = {
		.role_arn = role_arn, .session_name = session_name, .expires_ms = expires_ms};

	return session_make(self, a, &wanted, ret);
}

void iam_identity_register(struct iam *iam, struct ports *ports)
{
	iam->port = (struct port_identity){.self = iam,
		.by_access_key = by_access_key,
		.by_role = by_role,
		.session_new = session_new,
		.role = role,
		.session_make = session_make};
	ports->identity = &iam->port;
}
