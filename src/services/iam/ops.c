/*
 * The steps that most operations of IAM are made of: naming, loading and storing entities and
 * policies, counts, pages of lists.
 */
#include "base/check.h"
#include "rt/rt.h"
#include "services/iam/internal.h"

const struct fault_kind iam_faults[] = {
#define FAULT(...) FAULT_ROW(__VA_ARGS__)
#include "services/iam/faults.def"
#undef FAULT
};

enum { PAGE_ITEMS_DEFAULT = 100, MARKER_BYTES_MAX = 320 };

int iam_write(struct call *c, const str *keys, size_t n, kv_txn_fn *fn, void *arg)
{
	struct iam *iam = iam_self(c);
	int rc = kv_run(iam->kv, keys, n, fn, arg, c->deadline_ns);

	/* Also after an error: the outcome of a commit may be unknown. */
	atomic_fetch_add(&iam->generation, 1);
	if (rc == ERR_CONFLICT)
		return call_fault(c, &iam_faults[IAM_CONCURRENT],
			"The request was rejected because multiple requests to change this object "
			"were submitted simultaneously. Try the request again.");
	return rc;
}

const char *iam_kind_title(enum iam_kind kind)
{
	switch (kind) {
	case IAM_ROLE: return "Role";
	case IAM_USER: return "User";
	case IAM_ROOT: return "Root";
	case IAM_POLICY: return "Policy";
	}
	check_unreachable();
}

int iam_fault_entity(struct call *c, enum iam_kind kind, str name)
{
	return call_fault(c, &iam_faults[IAM_NO_SUCH_ENTITY],
		"The %.*s with name %.*s cannot be found.", STR_ARG(iam_kind_word(kind)),
		STR_ARG(name));
}

int iam_fault_limit(struct call *c, const char *quota, int64_t max)
{
	return call_fault(c, &iam_faults[IAM_LIMIT_EXCEEDED], "Cannot exceed quota for %s: %lld",
		quota, (long long)max);
}

int iam_fault_policy_missing(struct call *c, str arn)
{
	return call_fault(c, &iam_faults[IAM_NO_SUCH_ENTITY],
		"Policy %.*s does not exist or is not attachable.", STR_ARG(arn));
}

int iam_fault_boundary_missing(struct call *c, str arn)
{
	return call_fault(c, &iam_faults[IAM_NO_SUCH_ENTITY],
		"Scope ARN: %.*s does not exist or is not attachable.", STR_ARG(arn));
}

int iam_entity_named(struct call *c, enum iam_kind kind, enum iam_kind *ret_kind, str *ret_name)
{
	str name = value_str(c->in, kind == IAM_ROLE ? "RoleName" : "UserName");

	if (name.p) {
		*ret_kind = kind;
		*ret_name = name;
		return 0;
	}
	if (c->principal->kind == PRINCIPAL_ROOT) {
		*ret_kind = IAM_ROOT;
		*ret_name = STR("");
		return 0;
	}
	if (c->principal->kind == PRINCIPAL_USER) {
		*ret_kind = IAM_USER;
		*ret_name = c->principal->name;
		return 0;
	}
	return call_fault(c, &iam_faults[IAM_VALIDATION],
		"Must specify userName when calling with non-User credentials");
}

int iam_entity_get(
	struct call *c, struct kv_txn *txn, enum iam_kind kind, str name, struct iam_entity *ret)
{
	struct iam_reader from = iam_reader_of(iam_self(c), txn);
	int rc = TRY(iam_load(&from, c->arena, iam_key_entity(c->arena, c->account, kind, name),
		&iam_entity_record, ret));

	if (rc > 0)
		return 0;
	if (kind != IAM_ROOT)
		return iam_fault_entity(c, kind, name);
	*ret = (struct iam_entity){.id = c->account, .path = STR("/")};
	return 0;
}

void iam_entity_put(
	struct call *c, struct kv_txn *txn, enum iam_kind kind, const struct iam_entity *e)
{
	kv_txn_put(txn, iam_key_entity(c->arena, c->account, kind, e->name),
		record_encode(c->arena, &iam_entity_record, e));
}

int iam_policy_get(struct call *c, struct kv_txn *txn, const struct iam_policy_ref *ref,
	struct iam_policy *ret)
{
	struct iam_reader from = iam_reader_of(iam_self(c), txn);
	struct iam_policy p = {0};
	int rc = TRY(iam_load(&from, c->arena, iam_key_policy(c->arena, c->account, ref->key),
		&iam_policy_record, &p));

	if (ref->aws) {
		p.name = ref->aws->name;
		p.path = ref->aws->path;
	} else if (rc == 0 || !str_eq(p.name, ref->name) || !str_eq(p.path, ref->path)) {
		return call_fault(c, &iam_faults[IAM_NO_SUCH_ENTITY], "Policy %.*s was not found.",
			STR_ARG(ref->arn));
	}
	*ret = p;
	return 0;
}

void iam_policy_put(struct call *c, struct kv_txn *txn, const struct iam_policy_ref *ref,
	const struct iam_policy *p)
{
	kv_txn_put(txn, iam_key_policy(c->arena, c->account, ref->key),
		record_encode(c->arena, &iam_policy_record, p));
}

int iam_count_add(struct call *c, struct kv_txn *txn, enum iam_kind kind, int delta, int64_t max,
	const char *quota)
{
	str key = iam_key_count(c->arena, c->account, kind), bytes;
	struct buf out;
	uint64_t count = 0;

	if (TRY(kv_txn_get(txn, key, c->arena, &bytes)) > 0 && !str_take_be64(&bytes, &count))
		return ERR_CORRUPT;
	if (delta > 0 && (int64_t)count + delta > max)
		return iam_fault_limit(c, quota, max);
	check((int64_t)count + delta >= 0);
	buf_init(&out, c->arena, 8);
	buf_put_be64(&out, (uint64_t)((int64_t)count + delta));
	kv_txn_put(txn, key, buf_str(&out));
	return 0;
}

int iam_boundary_use(struct call *c, struct kv_txn *txn, enum iam_kind kind,
	const struct iam_entity *e, const struct iam_policy_ref *ref, int delta)
{
	str key = iam_key_use(c->arena, c->account, ref->key, IAM_USE_BOUNDARY, kind, e->name);
	struct iam_link link = {.name = e->name, .arn = ref->arn, .id = e->id, .path = e->path};
	struct iam_policy p;
	int rc = iam_policy_get(c, txn, ref, &p);

	if (rc == ERR_FAULT)
		return iam_fault_boundary_missing(c, ref->arn);
	TRY(rc);
	p.boundary_count += delta;
	check(p.boundary_count >= 0);
	iam_policy_put(c, txn, ref, &p);
	if (delta > 0)
		kv_txn_put_covered(txn, key, record_encode(c->arena, &iam_link_record, &link));
	else
		kv_txn_delete_covered(txn, key);
	return 0;
}

/* ---- creating and deleting roles and users ---- */

struct entity_change {
	struct call *c;
	enum iam_kind kind;
	struct iam_entity *entity; /* to be created, or as it was read before the transaction */
	bool bounded;
	struct iam_policy_ref boundary;
	bool stale; /* it has another boundary by now, so that the wrong policy is declared */
};

/* The boundary's policy, whose key has to be declared. */
static int change_init(struct entity_change *change)
{
	struct call *c = change->c;
	str arn = change->entity->boundary;

	change->bounded = arn.n > 0;
	if (change->bounded && iam_policy_ref(c->arena, c->account, arn, &change->boundary) == 0)
		return iam_fault_boundary_missing(c, arn);
	return 0;
}

static size_t change_keys(const struct entity_change *change, str keys[3])
{
	struct call *c = change->c;
	size_t n = 0;

	keys[n++] = iam_key_entity(c->arena, c->account, change->kind, change->entity->name);
	keys[n++] = iam_key_count(c->arena, c->account, change->kind);
	if (change->bounded)
		keys[n++] = iam_key_policy(c->arena, c->account, change->boundary.key);
	return n;
}

static int entity_create(struct kv_txn *txn, void *arg)
{
	struct entity_change *change = arg;
	struct call *c = change->c;
	struct iam_entity *e = change->entity;
	const char *title = iam_kind_title(change->kind);
	str bytes;

	if (TRY(kv_txn_get(txn, iam_key_entity(c->arena, c->account, change->kind, e->name),
		    c->arena, &bytes)) > 0)
		return call_fault(c, &iam_faults[IAM_ALREADY_EXISTS],
			"%s with name %.*s already exists.", title, STR_ARG(e->name));
	if (change->kind == IAM_ROLE)
		TRY(iam_count_add(c, txn, IAM_ROLE, 1, IAM_MAX_ROLES, "RolesPerAccount"));
	else
		TRY(iam_count_add(c, txn, IAM_USER, 1, IAM_MAX_USERS, "UsersPerAccount"));
	if (change->bounded)
		TRY(iam_boundary_use(c, txn, change->kind, e, &change->boundary, 1));
	iam_entity_put(c, txn, change->kind, e);
	return 0;
}

int iam_entity_create(struct call *c, enum iam_kind kind, struct iam_entity *e)
{
	struct entity_change change = {.c = c, .kind = kind, .entity = e};
	str keys[3];

	TRY(change_init(&change));
	return iam_write(c, keys, change_keys(&change, keys), entity_create, &change);
}

static int entity_delete(struct kv_txn *txn, void *arg)
{
	struct entity_change *change = arg;
	struct call *c = change->c;
	const struct fault_kind *conflict = &iam_faults[IAM_DELETE_CONFLICT];
	struct iam_entity e;

	TRY(iam_entity_get(c, txn, change->kind, change->entity->name, &e));
	change->stale = !str_eq(e.boundary, change->entity->boundary);
	if (change->stale)
		return ERR_BUSY;
	if (e.key_count > 0)
		return call_fault(
			c, conflict, "Cannot delete entity, must delete access keys first.");
	if (e.attached_count > 0)
		return call_fault(
			c, conflict, "Cannot delete entity, must detach all policies first.");
	if (e.inline_count > 0)
		return call_fault(c, conflict, "Cannot delete entity, must delete policies first.");
	TRY(iam_count_add(c, txn, change->kind, -1, 0, ""));
	if (change->bounded)
		TRY(iam_boundary_use(c, txn, change->kind, &e, &change->boundary, -1));
	kv_txn_delete(txn, iam_key_entity(c->arena, c->account, change->kind, e.name));
	return 0;
}

int iam_entity_delete(struct call *c, enum iam_kind kind, str name)
{
	int rc = 0;

	for (unsigned i = 0; i < IAM_STALE_RETRIES; i++) {
		struct iam_entity e;
		struct entity_change change = {.c = c, .kind = kind, .entity = &e};
		str keys[3];

		TRY(iam_entity_get(c, NULL, kind, name, &e));
		TRY(change_init(&change));
		rc = iam_write(c, keys, change_keys(&change, keys), entity_delete, &change);
		if (!change.stale)
			break;
	}
	return rc;
}

/* ---- pages ---- */

static int marker_fault(struct call *c)
{
	return call_fault(c, &iam_faults[IAM_VALIDATION], "Invalid Marker.");
}

int iam_page_open(struct call *c, struct iam_page *ret)
{
	struct iam_page page = {
		.c = c,
		.max = value_int(c->in, "MaxItems", PAGE_ITEMS_DEFAULT),
	};
	str marker = value_str(c->in, "Marker");

	if (marker.n > MARKER_BYTES_MAX)
		return marker_fault(c);
	if (marker.p) {
		uint8_t *bytes = arena_alloc(c->arena, base64_bytes_max(marker.n));
		size_t n;

		if (base64url_decode(marker, bytes, &n) < 0 || n == 0)
			return marker_fault(c);
		page.marker = str_of(bytes, n);
	}
	*ret = page;
	return 0;
}

int iam_page_scan(struct iam_page *page, str prefix)
{
	struct call *c = page->c;
	struct iam_reader from = iam_reader_of(iam_self(c), NULL);
	struct kv_range range = {
		.from = prefix, .to = keyspace_prefix_end(c->arena, prefix), .limit = 0};

	/* the first key behind the marker's */
	if (page->marker.n)
		range.from = ARENA_CONCAT(c->arena, prefix, page->marker, STR("\0"));
	if (str_cmp(range.from, range.to) >= 0)
		return marker_fault(c);
	page->prefix = prefix;
	return iam_scan(&from, &range, &page->scan);
}

int iam_page_next(struct iam_page *page, const struct record_type *type, void *ret_record)
{
	struct arena *a = page->c->arena;
	str key, value;

	if (TRY(kv_scan_next(page->scan, &key, &value)) == 0)
		return 0;
	page->at = arena_str(a, str_from(key, page->prefix.n));
	TRY(record_decode(a, type, arena_str(a, value), ret_record));
	return arena_over(a) ? ERR_BUDGET : 1;
}

bool iam_page_take(struct iam_page *page)
{
	if (page->count == page->max) {
		page->truncated = true;
		return false;
	}
	page->count++;
	page->last = page->at;
	return true;
}

void iam_page_close(struct iam_page *page)
{
	struct buf marker;

	value_put_bool(page->c->out, "IsTruncated", page->truncated);
	if (page->truncated) {
		buf_init(&marker, page->c->arena, MARKER_BYTES_MAX);
		base64url_put(&marker, page->last);
		check(!marker.over);
		value_put_str(page->c->out, "Marker", buf_str(&marker));
	}
	iam_page_done_p(page);
}

void iam_page_done_p(struct iam_page *page)
{
	kv_scan_close(page->scan);
	page->scan = NULL;
}
