/*
 * Access keys of users and of the root.
 *
 * https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateAccessKey.html and its siblings.
 * The key's record is where the identity port looks (IAM_KEYS); its owner has a list of ids. The
 * owner's key is declared by every change, so both stay together.
 */
#include "base/check.h"
#include "rt/rt.h"
#include "services/iam/internal.h"

struct key_change {
	struct iam *iam;
	struct arena *arena;
	str account;
	enum iam_kind kind;
	str name; /* of the owner, empty: root */
	int64_t now_ms;
	struct call *c;            /* NULL: iam_root_key_ensure() */
	str id, status;            /* of the key to change or delete */
	struct iam_access_key key; /* the one made, or found */
	bool made;
};

static str owned_key(const struct key_change *change, str id)
{
	return iam_key_part(change->arena, change->account, "keys", change->kind, change->name, id);
}

static void key_make(struct key_change *change, struct kv_txn *txn, str owner)
{
	struct iam_access_key k = {
		.id = iam_access_key_id_new(change->iam, change->arena, STR("AKIA")),
		.account = change->account,
		.user = owner,
		.secret = iam_secret_new(change->arena),
		.created_ms = change->now_ms,
	};

	kv_txn_put_covered(txn, iam_key_access_key(change->arena, k.id),
		record_encode(change->arena, &iam_access_key_record, &k));
	kv_txn_put_covered(txn, owned_key(change, k.id),
		record_encode(change->arena, &iam_access_key_record,
			&(struct iam_access_key){.id = k.id}));
	change->key = k;
	change->made = true;
}

static struct key_change key_change_of(struct call *c)
{
	return (struct key_change){.iam = iam_self(c),
		.arena = c->arena,
		.account = c->account,
		.c = c,
		.now_ms = iam_now_s(c)};
}

static int key_write(struct key_change *change, kv_txn_fn *fn)
{
	str key = iam_key_entity(change->arena, change->account, change->kind, change->name);

	return iam_write(change->c, &key, 1, fn, change);
}

static void key_put(struct value *v, const struct iam_access_key *k)
{
	value_put_str(v, "UserName", k->user);
	value_put_str(v, "AccessKeyId", k->id);
	value_put_str(v, "Status", k->inactive ? STR("Inactive") : STR("Active"));
	value_put_time_ms(v, "CreateDate", k->created_ms);
}

static int key_create(struct kv_txn *txn, void *arg)
{
	struct key_change *change = arg;
	struct call *c = change->c;
	struct iam_entity e;

	TRY(iam_entity_get(c, txn, change->kind, change->name, &e));
	if (e.key_count >= IAM_MAX_KEYS)
		return iam_fault_limit(c, "AccessKeysPerUser", IAM_MAX_KEYS);
	e.key_count++;
	key_make(change, txn, e.name);
	iam_entity_put(c, txn, change->kind, &e);
	return 0;
}

int iam_create_access_key(struct call *c)
{
	struct key_change change = key_change_of(c);
	struct value *v;

	TRY(iam_entity_named(c, IAM_USER, &change.kind, &change.name));
	TRY(key_write(&change, key_create));
	v = value_put_struct(c->out, "AccessKey");
	key_put(v, &change.key);
	value_put_str(v, "SecretAccessKey", change.key.secret);
	return 0;
}

int iam_list_access_keys(struct call *c)
{
	cleanup(iam_page_done_p) struct iam_page page = {0};
	struct value *list = value_put_list(c->out, "AccessKeyMetadata");
	struct iam_reader from = iam_reader_of(iam_self(c), NULL);
	struct iam_access_key k;
	struct iam_entity e;
	enum iam_kind kind;
	str name;

	TRY(iam_entity_named(c, IAM_USER, &kind, &name));
	TRY(iam_entity_get(c, NULL, kind, name, &e));
	TRY(iam_page_open(c, &page));
	TRY(iam_page_scan(&page, iam_key_part(c->arena, c->account, "keys", kind, name, STR_NULL)));
	while (TRY(iam_page_next(&page, &iam_access_key_record, &k)) > 0) {
		if (TRY(iam_load(&from, c->arena, iam_key_access_key(c->arena, k.id),
			    &iam_access_key_record, &k)) == 0)
			continue; /* deleted since the scan began */
		if (!iam_page_take(&page))
			break;
		key_put(value_add_struct(list), &k);
	}
	iam_page_close(&page);
	return 0;
}

/* The key that the request names, which has to be this owner's. */
static int key_get(struct key_change *change, struct kv_txn *txn, struct iam_access_key *ret)
{
	struct call *c = change->c;
	struct iam_reader from = iam_reader_of(change->iam, txn);
	int rc = TRY(iam_load(&from, c->arena, iam_key_access_key(c->arena, change->id),
		&iam_access_key_record, ret));

	if (rc == 0 || !str_eq(ret->account, change->account) ||
		!str_eq_nocase(ret->user, change->name))
		return call_fault(c, &iam_faults[IAM_NO_SUCH_ENTITY],
			"The Access Key with id %.*s cannot be found.", STR_ARG(change->id));
	return 0;
}

static int key_update(struct kv_txn *txn, void *arg)
{
	struct key_change *change = arg;
	struct call *c = change->c;
	struct iam_access_key k;
	struct iam_entity e;

	TRY(iam_entity_get(c, txn, change->kind, change->name, &e));
	TRY(key_get(change, txn, &k));
	k.inactive = !str_eq(change->status, STR("Active"));
	kv_txn_put_covered(txn, iam_key_access_key(c->arena, k.id),
		record_encode(c->arena, &iam_access_key_record, &k));
	return 0;
}

static int key_delete(struct kv_txn *txn, void *arg)
{
	struct key_change *change = arg;
	struct call *c = change->c;
	struct iam_access_key k;
	struct iam_entity e;

	TRY(iam_entity_get(c, txn, change->kind, change->name, &e));
	TRY(key_get(change, txn, &k));
	e.key_count--;
	check(e.key_count >= 0);
	kv_txn_delete_covered(txn, iam_key_access_key(c->arena, k.id));
	kv_txn_delete_covered(txn, owned_key(change, k.id));
	iam_entity_put(c, txn, change->kind, &e);
	return 0;
}

int iam_update_access_key(struct call *c)
{
	struct key_change change = key_change_of(c);

	change.id = value_str(c->in, "AccessKeyId");
	change.status = value_str(c->in, "Status");
	/* Expired is what IAM itself sets */
	if (str_eq(change.status, STR("Expired")))
		return call_fault(
			c, &iam_faults[IAM_VALIDATION], "Status must be Active or Inactive.");
	TRY(iam_entity_named(c, IAM_USER, &change.kind, &change.name));
	return key_write(&change, key_update);
}

int iam_delete_access_key(struct call *c)
{
	struct key_change change = key_change_of(c);

	change.id = value_str(c->in, "AccessKeyId");
	TRY(iam_entity_named(c, IAM_USER, &change.kind, &change.name));
	return key_write(&change, key_delete);
}

/* ---- the root's key ---- */

/* Any active key that root has; else a new one, the first. */
static int root_key(struct kv_txn *txn, void *arg)
{
	struct key_change *change = arg;
	struct arena *a = change->arena;
	struct iam_reader from = iam_reader_of(change->iam, txn);
	cleanup(kv_scan_close_p) struct kv_scan *scan = NULL;
	str prefix = owned_key(change, STR_NULL), key, value;
	struct kv_range range = {.from = prefix, .to = keyspace_prefix_end(a, prefix)};
	str root = iam_key_entity(a, change->account, IAM_ROOT, STR(""));
	struct iam_entity e = {
		.path = STR("/"), .id = change->account, .created_ms = change->now_ms};

	change->made = false;
	TRY(iam_load(&from, a, root, &iam_entity_record, &e));
	TRY(iam_scan(&from, &range, &scan));
	while (TRY(kv_scan_next(scan, &key, &value)) > 0) {
		struct iam_access_key k;

		TRY(record_decode(a, &iam_access_key_record, arena_str(a, value), &k));
		if (TRY(iam_load(&from, a, iam_key_access_key(a, k.id), &iam_access_key_record,
			    &k)) > 0 &&
			!k.inactive) {
			change->key = k;
			return 0;
		}
	}
	e.key_count++;
	key_make(change, txn, STR_NULL);
	kv_txn_put(txn, root, record_encode(a, &iam_entity_record, &e));
	return 0;
}

int iam_root_key_ensure(struct iam *iam, struct arena *a, str account, struct iam_root_key *ret_key)
{
	struct key_change change = {.iam = iam,
		.arena = a,
		.account = account,
		.kind = IAM_ROOT,
		.name = STR(""),
		.now_ms = iam_wall_ms(iam) / 1000 * 1000};
	str key = iam_key_entity(a, account, IAM_ROOT, STR(""));
	int rc;

	check(iam->magic == IAM_MAGIC && iam->kv);
	rc = kv_run(iam->kv, &key, 1, root_key, &change, rt_after_ms(10000));
	atomic_fetch_add(&iam->generation, 1);
	if (rc < 0)
		return rc;
	*ret_key = (struct iam_root_key){change.key.id, change.key.secret};
	return change.made ? 1 : 0;
}
