/* Policies, statement by statement: see policy_document.h. */
#include "services/lambda/policy_document.h"

#include "base/check.h"
#include "base/json.h"
#include "services/lambda/limits.h"

#define DOCUMENT_HEAD "{\"Version\":\"2012-10-17\",\"Id\":\"default\",\"Statement\":["
#define DOCUMENT_TAIL "]}"

static void put_principal(struct json_writer *w, struct arena *a, str principal)
{
	json_put_key(w, STR("Principal"));
	if (str_eq(principal, STR("*"))) {
		json_put_string(w, principal);
		return;
	}
	json_put_object_begin(w);
	if (str_starts(principal, STR("arn:")))
		json_put_key_string(w, STR("AWS"), principal);
	else if (str_find(principal, '.') < 0)
		json_put_key_string(w, STR("AWS"),
			ARENA_CONCAT(a, STR("arn:aws:iam::"), principal, STR(":root")));
	else
		json_put_key_string(w, STR("Service"), principal);
	json_put_object_end(w);
}

/* Rows of one operator stand together in the list. */
static void put_conditions(struct json_writer *w, const struct policy_condition *list, size_t n)
{
	str open = STR_NULL;

	for (size_t i = 0; i < n; i++) {
		if (!list[i].value.p)
			continue;
		if (!open.p) {
			json_put_key(w, STR("Condition"));
			json_put_object_begin(w);
		}
		if (!str_eq(open, list[i].operator_)) {
			if (open.p)
				json_put_object_end(w);
			json_put_key(w, list[i].operator_);
			json_put_object_begin(w);
			open = list[i].operator_;
		}
		json_put_key_string(w, list[i].key, list[i].value);
	}
	if (open.p) {
		json_put_object_end(w);
		json_put_object_end(w);
	}
}

str policy_statement_text(struct arena *a, str sid, str principal, str action, str resource,
	const struct policy_condition *conditions, size_t n)
{
	struct json_writer w;
	struct buf b;

	/* Members are bounded by the model; only escapes make them longer than the quota. */
	buf_init(&b, a, (size_t)8 * LAMBDA_POLICY_BYTES_MAX);
	json_writer_init(&w, &b);
	json_put_object_begin(&w);
	json_put_key_string(&w, STR("Sid"), sid);
	json_put_key_string(&w, STR("Effect"), STR("Allow"));
	put_principal(&w, a, principal);
	json_put_key_string(&w, STR("Action"), action);
	json_put_key_string(&w, STR("Resource"), resource);
	put_conditions(&w, conditions, n);
	json_put_object_end(&w);
	return b.over ? STR_NULL : buf_str(&b);
}

str policy_document_of(struct arena *a, str statement)
{
	return ARENA_CONCAT(a, STR(DOCUMENT_HEAD), statement, STR(DOCUMENT_TAIL));
}

/* The statements of a document but the one of that sid: are there any? */
static int copy_statements(struct arena *a, str document, str sid, struct buf *out, bool *ret_found)
{
	struct json_value *tree;
	const struct json_value *list;
	bool any = false;

	*ret_found = false;
	if (!document.n)
		return 0;
	if (json_parse(a, document, JSON_DEPTH_DEFAULT, &tree, NULL) < 0)
		return ERR_CORRUPT;
	list = json_get(tree, STR("Statement"));
	for (size_t i = 0; json_at(list, i); i++) {
		const struct json_value *s = json_at(list, i);
		struct json_writer w;

		if (str_eq(json_text(json_get(s, STR("Sid"))), sid)) {
			*ret_found = true;
			continue;
		}
		if (any)
			buf_put_char(out, ',');
		json_writer_init(&w, out);
		json_put_value(&w, s);
		any = true;
	}
	return any;
}

int policy_document_edit(
	struct arena *a, str stored, str sid, str statement, str revision, str *ret_text)
{
	struct buf b;
	bool found;
	int any;

	check(revision.n == POLICY_REVISION_BYTES);
	buf_init(&b, a, (size_t)16 * LAMBDA_POLICY_BYTES_MAX);
	buf_put(&b, revision);
	buf_put(&b, STR(DOCUMENT_HEAD));
	any = TRY(copy_statements(a, policy_document(stored), sid, &b, &found));
	if (statement.p ? found : !found)
		return statement.p ? ERR_EXISTS : ERR_NOT_FOUND;
	if (statement.p && any)
		buf_put_char(&b, ',');
	if (statement.p)
		buf_put(&b, statement);
	buf_put(&b, STR(DOCUMENT_TAIL));
	*ret_text = buf_str(&b);
	if (b.over || b.n - POLICY_REVISION_BYTES > LAMBDA_POLICY_BYTES_MAX)
		return ERR_TOO_LARGE;
	return statement.p || any;
}
