/*
 * Records of durable executions and operations: a byte of format, the large texts as they are, and
 * a JSON object, like those of functions. Members that have their default are left out; unknown
 * ones are refused.
 */
#include "base/check.h"
#include "base/hash.h"
#include "base/json.h"
#include "services/lambda/durable.h"
#include "services/lambda/limits.h"
#include "services/lambda/names.h"

enum {
	RECORD_FORMAT = 1,
	RECORD_DEPTH = 3,
	CALLBACK_FORMAT = 1,
	RECORD_BYTES = 4 * 1024 * 1024, /* the store's own limit, which limits.def stays below */
};

enum field_kind { FIELD_TEXT, FIELD_U32, FIELD_TIME, FIELD_BOOL };

struct field {
	str name;
	enum field_kind kind;
	size_t offset;
};

#define FIELD(type, name, kind, member)                                     \
	{                                                                   \
		STR_INIT(name), FIELD_##kind, offsetof(struct type, member) \
	}
#define X(name, kind, member) FIELD(durable_execution, name, kind, member)
#define O(name, kind, member) FIELD(durable_operation, name, kind, member)

static const struct field execution_fields[] = {
	X("name", TEXT, name),
	X("version", TEXT, version),
	X("arn", TEXT, arn),
	X("input", TEXT, input_digest),
	X("input-bytes", TIME, input_bytes),
	X("result-bytes", TIME, result_bytes),
	X("has-result", BOOL, has_result),
	X("status", U32, status),
	X("asynchronous", BOOL, asynchronous),
	X("told", BOOL, told),
	X("start", TIME, start_ms),
	X("end", TIME, end_ms),
	X("timeout", U32, timeout_s),
	X("retention", U32, retention_days),
	X("trace", TEXT, trace),
	X("tenant", TEXT, tenant),
	X("client-context", TEXT, client_context),
	X("parent-function", TEXT, parent_function),
	X("parent-run", TEXT, parent_run),
	X("parent-seq", TIME, parent_seq),
	X("next-seq", TIME, next_seq),
	X("next-event", TIME, next_event),
	X("operations", U32, operations),
	X("bytes", TIME, bytes),
	X("token", TEXT, token),
	X("last-token", TEXT, last_token),
	X("last-client", TEXT, last_client),
	X("invocation", TEXT, invocation),
	X("invoked", TIME, invoked_ms),
	X("boot", TIME, boot),
	X("failures", U32, failures),
	X("crashes", U32, crashes),
	X("run", TIME, run_ms),
	X("due", TIME, due_ms),
};

static const struct field operation_fields[] = {
	O("seq", TIME, seq),
	O("id", TEXT, id),
	O("parent", TEXT, parent),
	O("name", TEXT, name),
	O("sub-type", TEXT, sub_type),
	O("kind", U32, kind),
	O("state", U32, state),
	O("start", TIME, start_ms),
	O("end", TIME, end_ms),
	O("has-result", BOOL, has_result),
	O("attempt", U32, attempt),
	O("due", TIME, due_ms),
	O("seconds", U32, seconds),
	O("heartbeat", U32, heartbeat_s),
	O("beat", TIME, beat_ms),
	O("replay-children", BOOL, replay_children),
	O("nonce", TEXT, nonce),
	O("function", TEXT, function),
	O("tenant", TEXT, tenant),
	O("trace", TEXT, trace),
	O("child", TEXT, child),
};

#undef FIELD
#undef X
#undef O

static void put_fields(
	struct json_writer *w, const void *object, const struct field *fields, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const char *at = (const char *)object + fields[i].offset;
		str text = fields[i].kind == FIELD_TEXT ? *(const str *)at : STR("");
		uint64_t number = 0;

		if (fields[i].kind == FIELD_U32)
			number = *(const uint32_t *)at;
		else if (fields[i].kind == FIELD_BOOL)
			number = *(const bool *)at;
		else if (fields[i].kind == FIELD_TIME)
			number = *(const uint64_t *)at;
		if (!text.n && !number)
			continue;
		json_put_key(w, fields[i].name);
		if (fields[i].kind == FIELD_TEXT)
			json_put_string(w, text);
		else
			json_put_u64(w, number);
	}
}

static int get_number(struct json_reader *r, uint64_t max, uint64_t *ret)
{
	str text;

	TRY(json_number(r, &text));
	return str_to_u64(text, max, ret);
}

/* 1 when the key is that of a field, 0. */
static int get_field(
	struct json_reader *r, str key, void *object, const struct field *fields, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char *at = (char *)object + fields[i].offset;
		uint64_t number;

		if (!str_eq(fields[i].name, key))
			continue;
		switch (fields[i].kind) {
		case FIELD_TEXT: TRY(json_string(r, (str *)at)); break;
		case FIELD_U32:
			TRY(get_number(r, UINT32_MAX, &number));
			*(uint32_t *)at = (uint32_t)number;
			break;
		case FIELD_BOOL:
			TRY(get_number(r, 1, &number));
			*(bool *)at = number;
			break;
		case FIELD_TIME: TRY(get_number(r, INT64_MAX, (uint64_t *)at)); break;
		}
		return 1;
	}
	return 0;
}

/* ---- executions ---- */

static void put_lists(struct json_writer *w, const struct durable_execution *x)
{
	json_put_key(w, STR("open"));
	json_put_array_begin(w);
	for (uint32_t i = 0; i < x->open_count; i++) {
		json_put_u64(w, x->open[i].seq);
		json_put_u64(w, x->open[i].kind);
		json_put_i64(w, x->open[i].due_ms);
	}
	json_put_array_end(w);
	json_put_key(w, STR("dirty"));
	json_put_array_begin(w);
	for (uint32_t i = 0; i < x->dirty_count; i++)
		json_put_u64(w, x->dirty[i]);
	json_put_array_end(w);
}

str durable_encode(struct arena *a, const struct durable_execution *x)
{
	struct durable_execution back;
	struct json_writer w;
	struct buf b;

	check(x->name.n && x->version.n && x->timeout_s && x->next_seq && x->next_event);
	buf_init(&b, a, RECORD_BYTES);
	buf_put_char(&b, RECORD_FORMAT);
	buf_put_sized(&b, x->error);
	json_writer_init(&w, &b);
	json_put_object_begin(&w);
	put_fields(&w, x, execution_fields, ARRAY_SIZE(execution_fields));
	put_lists(&w, x);
	json_put_object_end(&w);
	check(!b.over && durable_decode(a, &x->key, buf_str(&b), &back) == 0);
	return buf_str(&b);
}

/* Room for one more of `n` elements in an array that doubles. */
static void *room(struct arena *a, void *items, uint32_t n, uint32_t *capacity, size_t size)
{
	void *more;

	if (n < *capacity)
		return items;
	*capacity = *capacity ? 2 * *capacity : 16;
	more = arena_zero_array(a, *capacity, size);
	if (n)
		memcpy(more, items, n * size);
	return more;
}

static int get_open(struct arena *a, struct json_reader *r, struct durable_execution *x)
{
	uint64_t kind, due;

	x->open_count = x->open_capacity = 0;
	TRY(json_array_begin(r));
	while (TRY(json_array_next(r))) {
		struct durable_open *open;

		if (x->open_count == LAMBDA_DURABLE_OPERATIONS_MAX)
			return ERR_INVALID;
		x->open = room(a, x->open, x->open_count, &x->open_capacity, sizeof(*x->open));
		open = &x->open[x->open_count++];
		TRY(get_number(r, INT64_MAX, &open->seq));
		if (TRY(json_array_next(r)) == 0)
			return ERR_INVALID;
		TRY(get_number(r, DURABLE_KINDS - 1, &kind));
		if (TRY(json_array_next(r)) == 0)
			return ERR_INVALID;
		TRY(get_number(r, INT64_MAX, &due));
		open->kind = (enum durable_kind)kind;
		open->due_ms = (int64_t)due;
	}
	return 0;
}

static int get_dirty(struct arena *a, struct json_reader *r, struct durable_execution *x)
{
	x->dirty_count = x->dirty_capacity = 0;
	TRY(json_array_begin(r));
	while (TRY(json_array_next(r))) {
		if (x->dirty_count == LAMBDA_DURABLE_OPERATIONS_MAX)
			return ERR_INVALID;
		x->dirty = room(a, x->dirty, x->dirty_count, &x->dirty_capacity, sizeof(*x->dirty));
		TRY(get_number(r, INT64_MAX, &x->dirty[x->dirty_count++]));
	}
	return 0;
}

static void execution_defaults(struct durable_execution *x)
{
	for (size_t i = 0; i < ARRAY_SIZE(execution_fields); i++)
		if (execution_fields[i].kind == FIELD_TEXT)
			*(str *)((char *)x + execution_fields[i].offset) = STR("");
}

static int decode_execution(struct arena *a, str text, struct durable_execution *x)
{
	struct json_reader r;
	str key;

	json_reader_init(&r, text, a, RECORD_DEPTH);
	TRY(json_object_begin(&r));
	while (TRY(json_object_next(&r, &key))) {
		if (TRY(get_field(&r, key, x, execution_fields, ARRAY_SIZE(execution_fields))))
			continue;
		if (str_eq(key, STR("open")))
			TRY(get_open(a, &r, x));
		else if (str_eq(key, STR("dirty")))
			TRY(get_dirty(a, &r, x));
		else
			return ERR_INVALID;
	}
	return json_end(&r);
}

int durable_decode(struct arena *a, const struct durable_key *key, str record,
	struct durable_execution *ret_execution)
{
	struct durable_execution x = {.key = *key};

	if (!record.n)
		return ERR_CORRUPT;
	if (record.p[0] != RECORD_FORMAT)
		return ERR_VERSION;
	execution_defaults(&x);
	record = str_from(record, 1);
	if (!str_take_sized(&record, &x.error) || decode_execution(a, record, &x) < 0 ||
		!x.name.n || !x.version.n || !x.timeout_s || x.status >= DURABLE_STATUSES ||
		!x.next_seq || !x.next_event)
		return ERR_CORRUPT;
	*ret_execution = x;
	return 0;
}

/* ---- operations ---- */

str durable_operation_encode(struct arena *a, const struct durable_operation *op)
{
	struct durable_operation back;
	struct json_writer w;
	struct buf b;

	check(op->id.n && op->seq);
	buf_init(&b, a, RECORD_BYTES);
	buf_put_char(&b, RECORD_FORMAT);
	buf_put_sized(&b, op->result);
	buf_put_sized(&b, op->error);
	buf_put_sized(&b, op->input);
	json_writer_init(&w, &b);
	json_put_object_begin(&w);
	put_fields(&w, op, operation_fields, ARRAY_SIZE(operation_fields));
	json_put_object_end(&w);
	check(!b.over && durable_operation_decode(a, buf_str(&b), &back) == 0);
	return buf_str(&b);
}

int durable_operation_decode(struct arena *a, str record, struct durable_operation *ret_operation)
{
	struct durable_operation op = {0};
	struct json_reader r;
	str key;
	int rc;

	if (!record.n)
		return ERR_CORRUPT;
	if (record.p[0] != RECORD_FORMAT)
		return ERR_VERSION;
	for (size_t i = 0; i < ARRAY_SIZE(operation_fields); i++)
		if (operation_fields[i].kind == FIELD_TEXT)
			*(str *)((char *)&op + operation_fields[i].offset) = STR("");
	record = str_from(record, 1);
	if (!str_take_sized(&record, &op.result) || !str_take_sized(&record, &op.error) ||
		!str_take_sized(&record, &op.input))
		return ERR_CORRUPT;
	json_reader_init(&r, record, a, RECORD_DEPTH);
	rc = json_object_begin(&r);
	while (rc >= 0 && (rc = json_object_next(&r, &key)) > 0) {
		rc = get_field(&r, key, &op, operation_fields, ARRAY_SIZE(operation_fields));
		if (rc == 0)
			return ERR_CORRUPT;
	}
	if (rc < 0 || json_end(&r) < 0 || !op.id.n || !op.seq || op.kind >= DURABLE_KINDS ||
		op.state >= OPERATION_STATES)
		return ERR_CORRUPT;
	*ret_operation = op;
	return 0;
}

/* ---- ARNs and callbacks ---- */

str durable_arn(struct arena *a, const struct durable_execution *x)
{
	return ARENA_CONCAT(a,
		function_arn(a, x->key.account, x->key.region, x->key.function, x->version),
		STR("/durable-execution/"), x->name, STR("/"), x->key.run);
}

int durable_arn_parse(str text, struct durable_key *ret_key, str *ret_version, str *ret_name)
{
	struct function_name name;
	str function, word, rest = text, label;

	if (!str_split(&rest, '/', &function) || !str_split(&rest, '/', &word) ||
		!str_split(&rest, '/', &label) || !str_eq(word, STR("durable-execution")) ||
		!label.n || rest.n != DURABLE_RUN_BYTES || str_find(rest, '/') >= 0 ||
		!str_starts(function, STR("arn:")))
		return ERR_SYNTAX;
	TRY(function_name_parse(function, &name));
	if (!name.account.p || !name.region.p || !name.qualifier.p)
		return ERR_SYNTAX;
	*ret_key = (struct durable_key){name.account, name.region, name.name, rest};
	*ret_version = name.qualifier;
	*ret_name = label;
	return 0;
}

str durable_callback_id(
	struct arena *a, const struct durable_key *key, const struct durable_operation *op)
{
	struct buf b, text;

	buf_init(&b, a, 1024);
	buf_put_char(&b, CALLBACK_FORMAT);
	buf_put_sized(&b, key->account);
	buf_put_sized(&b, key->region);
	buf_put_sized(&b, key->function);
	buf_put_sized(&b, key->run);
	buf_put_be64(&b, op->seq);
	buf_put_sized(&b, op->nonce);
	buf_init(&text, a, 2048);
	base64_put(&text, buf_str(&b));
	check(!b.over && !text.over);
	return buf_str(&text);
}

int durable_callback_parse(struct arena *a, str id, struct durable_callback *ret)
{
	uint8_t *bytes = arena_alloc(a, base64_bytes_max(id.n) + 1);
	struct durable_callback c;
	uint8_t format;
	size_t n;
	str in;

	TRY(base64_decode(id, bytes, &n));
	in = str_of(bytes, n);
	if (!str_take_u8(&in, &format) || format != CALLBACK_FORMAT ||
		!str_take_sized(&in, &c.key.account) || !str_take_sized(&in, &c.key.region) ||
		!str_take_sized(&in, &c.key.function) || !str_take_sized(&in, &c.key.run) ||
		!str_take_be64(&in, &c.seq) || !str_take_sized(&in, &c.nonce) || in.n ||
		c.key.run.n != DURABLE_RUN_BYTES || c.nonce.n != DURABLE_NONCE_BYTES)
		return ERR_SYNTAX;
	*ret = c;
	return 0;
}

str durable_marker(struct arena *a, uint64_t number)
{
	struct buf b, text;

	buf_init(&b, a, sizeof(number));
	buf_put_be64(&b, number);
	buf_init(&text, a, 64);
	base64url_put(&text, buf_str(&b));
	return buf_str(&text);
}

/* ---- answers ---- */

/* The members of an ErrorObject that are of its types; others are left out. */
static void put_error_members(struct json_writer *w, const struct json_value *v, const str keys[4])
{
	static const str names[] = {STR_INIT("ErrorMessage"), STR_INIT("ErrorType"),
		STR_INIT("ErrorData"), STR_INIT("StackTrace")};

	json_put_object_begin(w);
	for (size_t i = 0; i < 3; i++) {
		str text = json_text(json_get(v, keys[i]));

		if (text.p)
			json_put_key_string(w, names[i], text);
	}
	v = json_get(v, keys[3]);
	if (v && v->kind == JSON_ARRAY) {
		json_put_key(w, names[3]);
		json_put_array_begin(w);
		for (size_t i = 0; i < v->count; i++)
			if (json_at(v, i)->kind == JSON_STRING)
				json_put_string(w, json_at(v, i)->text);
		json_put_array_end(w);
	}
	json_put_object_end(w);
}

static str error_text(struct arena *a, const struct json_value *v, const str keys[4], size_t bytes)
{
	struct json_writer w;
	struct buf b;

	buf_init(&b, a, 6 * bytes + 1024);
	json_writer_init(&w, &b);
	put_error_members(&w, v, keys);
	check(!b.over);
	return buf_str(&b);
}

int durable_answer_parse(struct arena *a, str payload, struct durable_answer *ret)
{
	static const str keys[] = {STR_INIT("ErrorMessage"), STR_INIT("ErrorType"),
		STR_INIT("ErrorData"), STR_INIT("StackTrace")};
	struct durable_answer answer = {.result = STR(""), .error = STR("")};
	const struct json_value *result, *error;
	struct json_value *v;
	str status;

	if (json_parse(a, payload, JSON_DEPTH_DEFAULT, &v, NULL) < 0)
		return ERR_SYNTAX;
	status = json_text(json_get(v, STR("Status")));
	if (str_eq(status, STR("SUCCEEDED")))
		answer.status = DURABLE_SUCCEEDED;
	else if (str_eq(status, STR("FAILED")))
		answer.status = DURABLE_FAILED;
	else if (str_eq(status, STR("PENDING")))
		answer.status = DURABLE_RUNNING;
	else
		return ERR_SYNTAX;
	result = json_get(v, STR("Result"));
	error = json_get(v, STR("Error"));
	if ((result && result->kind != JSON_STRING && result->kind != JSON_NULL) ||
		(error && error->kind != JSON_OBJECT && error->kind != JSON_NULL))
		return ERR_SYNTAX;
	answer.has_result = json_text(result).p != NULL;
	if (answer.has_result)
		answer.result = result->text;
	if (error && error->kind == JSON_OBJECT)
		answer.error = error_text(a, error, keys, payload.n);
	*ret = answer;
	return 0;
}

str durable_error(struct arena *a, str type, str message)
{
	struct json_writer w;
	struct buf b;

	buf_init(&b, a, 4096 + 6 * message.n);
	json_writer_init(&w, &b);
	json_put_object_begin(&w);
	json_put_key_string(&w, STR("ErrorMessage"), message);
	json_put_key_string(&w, STR("ErrorType"), type);
	json_put_object_end(&w);
	return buf_str(&b);
}

str durable_error_of(struct arena *a, str payload)
{
	static const str keys[] = {STR_INIT("errorMessage"), STR_INIT("errorType"),
		STR_INIT("errorData"), STR_INIT("stackTrace")};
	struct json_value *v;

	if (json_parse(a, payload, JSON_DEPTH_DEFAULT, &v, NULL) < 0 || v->kind != JSON_OBJECT)
		return durable_error(a, STR("Runtime.Unknown"), STR("Unknown application error"));
	return error_text(a, v, keys, payload.n);
}
