/*
 * Everything that DynamoDB does, at once: clients write and read the items of one table in every
 * way there is, valid and not, while indexes and streams come and go, items expire, and the service
 * is killed and started anew. At the end
 *
 *   - what clients were told fits to what the stream says (history.h);
 *   - table, indexes and every read of an item say what the stream ends with;
 *   - a follower of the stream has got each record once;
 *   - streams that came and went have what was written while they were there;
 *   - nothing that should have expired is left, and once all is deleted nothing is left in the
 *     store: no index or expiry entry, no size of a collection.
 */
#include "test/sim/store.h"

#include "aws/keyspace.h"
#include "base/mem.h"
#include "kv/kv.h"
#include "test/sim/workloads.h"

enum {
	CLIENTS = 5,
	STEPS = 24,
	SIDE_CLIENTS = 2,
	SIDE_STEPS = 12,
	TRIES_MAX = 2000,
	SETTLE_S = 15, /* longer than any item's time to live */
	RECORDS_PAGE = 7
};

const struct json_value *store_parse(struct store *s, struct arena *a, str body)
{
	struct json_value *v;

	if (json_parse(a, body, 32, &v, NULL) == 0)
		return v;
	world_fail(s->w, "an answer that is no JSON: %.*s", STR_ARG(body));
	return NULL;
}

static bool says(const struct answer *answer, const char *word)
{
	return str_find_str(answer->body, str_c(word)) >= 0;
}

enum store_told store_told(struct store *s, const char *operation, const struct answer *answer)
{
	if (answer->status == 200)
		return STORE_DONE;
	if (answer->status >= 500)
		return STORE_UNKNOWN;
	if (answer->status == 0)
		return STORE_REFUSED;
	if (says(answer, "TransactionCanceledException"))
		return says(answer, "\"ConditionalCheckFailed\"") ? STORE_CONDITION : STORE_REFUSED;
	if (says(answer, "ConditionalCheckFailedException") ||
		says(answer, "DuplicateItemException"))
		return STORE_CONDITION;
	if (!says(answer, "TransactionConflictException") &&
		!says(answer, "TransactionInProgressException"))
		world_fail(s->w, "%s answered %u %.*s", operation, answer->status,
			STR_ARG(answer->body));
	return STORE_REFUSED;
}

/* Again until there is an answer that says something. */
static mayyield struct answer insist(
	struct store *s, struct arena *a, bool streams, const char *operation, str body)
{
	struct answer answer = {0};

	for (unsigned i = 0; i < TRIES_MAX; i++) {
		answer = streams ? world_streams(s->w, a, operation, body)
				 : world_dynamodb(s->w, a, operation, body);
		if (answer.status && answer.status < 500)
			return answer;
		nap(3);
	}
	world_fail(
		s->w, "%s never answers: %u %.*s", operation, answer.status, STR_ARG(answer.body));
	return answer;
}

/* --- tables --------------------------------------------------------------------------------- */

#define NAME(name, type) "{\"AttributeName\":\"" name "\",\"AttributeType\":\"" type "\"}"
#define HASH(name)       "{\"AttributeName\":\"" name "\",\"KeyType\":\"HASH\"}"
#define RANGE(name)      "{\"AttributeName\":\"" name "\",\"KeyType\":\"RANGE\"}"
#define ALL              "\"Projection\":{\"ProjectionType\":\"ALL\"}"
#define VECTORS(name)                                                               \
	"\"IndexName\":\"" name "\",\"VectorAttribute\":{\"AttributeName\":\"v\"}," \
	"\"Dimensions\":2,\"DistanceFunction\":\"EUCLIDEAN\","

#define INDEX(name, keys) "{\"IndexName\":\"" name "\",\"KeySchema\":[" keys "]," ALL "}"
#define MAIN_NAMES        NAME("pk", "S") "," NAME("sk", "N") "," NAME("g", "S") "," NAME("w", "N")
#define MAIN_KEYS         HASH("pk") "," RANGE("sk")
#define BY_L              INDEX("byl", HASH("pk") "," RANGE("l"))
#define BY_G              INDEX("byg", HASH("g") "," RANGE("w"))
#define L_NAME            NAME("l", "N")
#define L_KEYS            HASH("l")
#define STREAM            "{\"StreamEnabled\":true,\"StreamViewType\":\"NEW_AND_OLD_IMAGES\"}"

static const str create_main = STR_INIT("{\"TableName\":\"main\","
					"\"VectorIndexes\":[{" VECTORS("vec") ALL
	"}],"
	"\"BillingMode\":\"PAY_PER_REQUEST\","
	"\"AttributeDefinitions\":[" MAIN_NAMES "," L_NAME "],"
	"\"KeySchema\":[" MAIN_KEYS "],"
	"\"LocalSecondaryIndexes\":[" BY_L "],"
	"\"GlobalSecondaryIndexes\":[" BY_G "],"
	"\"StreamSpecification\":" STREAM "}");
static const str create_side =
	STR_INIT("{\"TableName\":\"side\",\"BillingMode\":\"PAY_PER_REQUEST\","
		 "\"AttributeDefinitions\":[" NAME("pk", "S") "],\"KeySchema\":[" HASH("pk") "]}");
static const str create_dyn = STR_INIT(
	"{\"TableName\":\"main\",\"AttributeDefinitions\":[" L_NAME "],"
	"\"GlobalSecondaryIndexUpdates\":[{\"Create\":{\"IndexName\":\"dyn\","
	"\"KeySchema\":[" L_KEYS "],\"Projection\":{\"ProjectionType\":\"KEYS_ONLY\"}}}]}");
static const str delete_dyn = STR_INIT("{\"TableName\":\"main\",\"GlobalSecondaryIndexUpdates\":["
				       "{\"Delete\":{\"IndexName\":\"dyn\"}}]}");

/* A vector index that comes and goes, of the partitions of the global index. */
static const str create_dyv = STR_INIT("{\"TableName\":\"main\",\"AttributeDefinitions\":[" NAME(
	"g",
	"S") "],\"VectorIndexUpdates\":[{\"Create\":{" VECTORS("dyv") "\"SearchSchema\":[{"
								      "\"AttributeName\":\"g\","
								      "\"SearchSchemaElementType\":"
								      "\"HASH\"}],\"Projection\":{"
								      "\"ProjectionType\":\"KEYS_"
								      "ONLY\"}}}]}");
static const str delete_dyv = STR_INIT(
	"{\"TableName\":\"main\",\"VectorIndexUpdates\":[{\"Delete\":{\"IndexName\":\"dyv\"}}]}");

static void create(struct store *s, struct arena *a, str body)
{
	struct answer answer = insist(s, a, false, "CreateTable", body);

	/* It may have been made by a try whose answer was lost. */
	if (answer.status != 200 && !says(&answer, "ResourceInUseException"))
		world_fail(
			s->w, "CreateTable answered %u %.*s", answer.status, STR_ARG(answer.body));
}

/* "ACTIVE", ..., "" when there is no such index. */
static str index_status(struct store *s, struct arena *a, str name)
{
	static const char *const kinds[] = {"Table.GlobalSecondaryIndexes", "Table.VectorIndexes"};
	struct answer answer =
		insist(s, a, false, "DescribeTable", STR("{\"TableName\":\"main\"}"));
	const struct json_value *table = store_parse(s, a, answer.body);

	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
		const struct json_value *v = json_get_path(table, str_c(kinds[k]));

		for (uint32_t i = 0; v && i < v->count; i++)
			if (str_eq(json_text(json_get(json_at(v, i), STR("IndexName"))), name))
				return json_text(json_get(json_at(v, i), STR("IndexStatus")));
	}
	return STR("");
}

static bool is_settled(str status)
{
	return !status.n || str_eq(status, STR("ACTIVE"));
}

/* --- what happens to the tables meanwhile ---------------------------------------------------- */

static void toggle_index(struct store *s, struct arena *a)
{
	bool vectors = any(2);
	str status = index_status(s, a, vectors ? STR("dyv") : STR("dyn"));
	struct answer answer;
	str body;

	/* One at a time. */
	if (!is_settled(status) ||
		!is_settled(index_status(s, a, vectors ? STR("dyn") : STR("dyv"))))
		return;
	if (vectors)
		body = status.n ? delete_dyv : create_dyv;
	else
		body = status.n ? delete_dyn : create_dyn;
	answer = world_dynamodb(s->w, a, "UpdateTable", body);
	if (answer.status && answer.status < 500 && answer.status != 200)
		world_fail(s->w, "UpdateTable of an index that is \"%.*s\" answered %u %.*s",
			STR_ARG(status), answer.status, STR_ARG(answer.body));
}

static void enable_ttl(struct store *s, struct arena *a)
{
	struct answer answer = insist(s, a, false, "UpdateTimeToLive",
		STR("{\"TableName\":\"main\",\"TimeToLiveSpecification\":{\"Enabled\":true,"
		    "\"AttributeName\":\"t\"}}"));

	if (answer.status != 200 && !says(&answer, "TimeToLive is already enabled"))
		world_fail(s->w, "UpdateTimeToLive answered %u %.*s", answer.status,
			STR_ARG(answer.body));
	s->ttl_since = rt_now();
}

static void switch_stream(struct store *s, struct arena *a, bool on)
{
	str body = on ? STR("{\"TableName\":\"side\",\"StreamSpecification\":{\"StreamEnabled\":"
			    "true,\"StreamViewType\":\"NEW_AND_OLD_IMAGES\"}}")
		      : STR("{\"TableName\":\"side\",\"StreamSpecification\":{\"StreamEnabled\":"
			    "false}}");
	struct answer answer = insist(s, a, false, "UpdateTable", body);

	if (answer.status != 200 && !says(&answer, "already has an enabled stream") &&
		!says(&answer, "already disabled") && !says(&answer, "no stream") &&
		!says(&answer, "does not have a stream"))
		world_fail(s->w, "UpdateTable of the stream answered %u %.*s", answer.status,
			STR_ARG(answer.body));
}

/* "ENABLED", ...: of the newest stream of "side". */
static str stream_status(struct store *s, struct arena *a)
{
	struct answer answer;
	str arn;

	answer = insist(s, a, false, "DescribeTable", STR("{\"TableName\":\"side\"}"));
	arn = json_text(
		json_get_path(store_parse(s, a, answer.body), STR("Table.LatestStreamArn")));
	answer = insist(s, a, true, "DescribeStream",
		arena_printf(a, "{\"StreamArn\":\"%.*s\"}", STR_ARG(arn)));
	return json_text(json_get_path(
		store_parse(s, a, answer.body), STR("StreamDescription.StreamStatus")));
}

/* An injected fault may have left the beginning to the worker. */
static void wait_until_enabled(struct store *s, struct arena *a)
{
	for (unsigned i = 0; i < TRIES_MAX; i++) {
		str status = stream_status(s, a);

		if (str_eq(status, STR("ENABLED")))
			return;
		if (!str_eq(status, STR("ENABLING")))
			break;
		nap(100);
	}
	world_fail(s->w, "a stream that was enabled is \"%.*s\"", STR_ARG(stream_status(s, a)));
}

static void change_tables(void *arg)
{
	struct store *s = arg;
	struct side_stream *stream = NULL;

	while (s->working && !rt_cancelled()) {
		struct arena a cleanup(arena_done_p);
		unsigned choice = any(8);

		arena_init(&a, 16 << 20);
		if (choice < 3) {
			toggle_index(s, &a);
		} else if (choice == 3 && s->ttl_since == INT64_MAX) {
			enable_ttl(s, &a);
		} else if (choice == 4 && s->w->life + 1 < WORLD_LIVES && any(2)) {
			world_crash(s->w);
		} else if (choice < 7 && !stream &&
			   s->n_side_streams < ARRAY_SIZE(s->side_streams)) {
			switch_stream(s, &a, true);
			wait_until_enabled(s, &a);
			stream = &s->side_streams[s->n_side_streams++];
			*stream = (struct side_stream){rt_now(), INT64_MAX};
		} else if (choice < 7 && stream) {
			stream->to = rt_now();
			switch_stream(s, &a, false);
			stream = NULL;
		}
		nap(any(60));
	}
	world_client_end(s->w);
}

/* --- clients -------------------------------------------------------------------------------- */

static void act(struct store *s, struct arena *a)
{
	unsigned choice = any(21);

	if (choice < 6)
		store_write_one(s, a);
	else if (choice < 7)
		store_write_statement(s, a);
	else if (choice < 9)
		store_write_batch(s, a);
	else if (choice < 12)
		store_write_transaction(s, a);
	else if (choice < 13)
		store_send_nonsense(s, a);
	else if (choice < 15)
		store_read_one(s, a);
	else if (choice < 16)
		store_read_batch(s, a);
	else if (choice < 18)
		store_read_transaction(s, a);
	else if (choice < 20)
		store_read_pages(s, a);
	else
		store_read_nearest(s, a);
}

static void client(void *arg)
{
	struct store *s = arg;

	for (unsigned step = 0; step < STEPS && !rt_cancelled(); step++) {
		struct arena a cleanup(arena_done_p);

		arena_init(&a, 64 << 20);
		act(s, &a);
		if (any(2))
			nap(any(8) ? any(10) : any(600));
	}
	s->working--;
	world_client_end(s->w);
}

/* Counts up one of the side's items. */
static void count_up(struct store *s, struct arena *a)
{
	struct side_write e = {.key = any(STORE_SIDE_KEYS), .begun = rt_now()};
	struct answer answer = world_dynamodb(s->w, a, "UpdateItem",
		arena_printf(a,
			"{\"TableName\":\"side\",\"Key\":{\"pk\":{\"S\":\"%u\"}},"
			"\"UpdateExpression\":\"ADD n :one\",\"ExpressionAttributeValues\":{"
			"\":one\":{\"N\":\"1\"}},\"ReturnValues\":\"UPDATED_NEW\"}",
			e.key));
	str n;

	if (store_told(s, "UpdateItem", &answer) != STORE_DONE)
		return;
	n = json_text(json_get_path(store_parse(s, a, answer.body), STR("Attributes.n.N")));
	if (str_to_u64(n, UINT64_MAX, &e.n) < 0)
		world_fail(s->w, "UpdateItem answered %.*s", STR_ARG(answer.body));
	e.ended = rt_now();
	s->side_writes[s->n_side_writes++] = e;
}

static void side_client(void *arg)
{
	struct store *s = arg;

	for (unsigned step = 0; step < SIDE_STEPS && !rt_cancelled(); step++) {
		struct arena a cleanup(arena_done_p);

		arena_init(&a, 16 << 20);
		count_up(s, &a);
		nap(any(60));
	}
	s->working--;
	world_client_end(s->w);
}

/* --- streams -------------------------------------------------------------------------------- */

typedef void record_fn(struct store *s, const struct json_value *record, void *arg);

/* A stream's first shard from its beginning; there is one, because none runs for four hours. */
static str first_iterator(struct store *s, struct arena *a, str arn)
{
	struct answer answer = insist(s, a, true, "DescribeStream",
		arena_printf(a, "{\"StreamArn\":\"%.*s\"}", STR_ARG(arn)));
	const struct json_value *shards =
		json_get_path(store_parse(s, a, answer.body), STR("StreamDescription.Shards"));
	str id = json_text(json_get(json_at(shards, 0), STR("ShardId")));

	if (!shards || shards->count != 1)
		world_fail(s->w, "DescribeStream answered %u %.*s", answer.status,
			STR_ARG(answer.body));
	answer = insist(s, a, true, "GetShardIterator",
		arena_printf(a,
			"{\"StreamArn\":\"%.*s\",\"ShardId\":\"%.*s\",\"ShardIteratorType\":"
			"\"TRIM_HORIZON\"}",
			STR_ARG(arn), STR_ARG(id)));
	return json_text(json_get(store_parse(s, a, answer.body), STR("ShardIterator")));
}

/* One page: how many records; *iterator is moved on, STR_NULL at the end of a closed shard. */
static unsigned read_page(
	struct store *s, struct arena *a, str *iterator, unsigned limit, record_fn *each, void *arg)
{
	struct answer answer = insist(s, a, true, "GetRecords",
		arena_printf(
			a, "{\"ShardIterator\":\"%.*s\",\"Limit\":%u}", STR_ARG(*iterator), limit));
	const struct json_value *v = store_parse(s, a, answer.body),
				*records = json_get(v, STR("Records"));

	if (answer.status != 200)
		world_fail(
			s->w, "GetRecords answered %u %.*s", answer.status, STR_ARG(answer.body));
	*iterator = json_text(json_get(v, STR("NextShardIterator")));
	for (uint32_t i = 0; records && i < records->count; i++)
		each(s, json_at(records, i), arg);
	return records ? records->count : 0;
}

static void read_stream(struct store *s, struct arena *a, str arn, record_fn *each, void *arg)
{
	str iterator = first_iterator(s, a, arn);

	while (iterator.n && read_page(s, a, &iterator, RECORDS_PAGE, each, arg))
		;
}

static str sequence_of(const struct json_value *record)
{
	return json_text(json_get_path(record, STR("dynamodb.SequenceNumber")));
}

static void note_record(struct store *s, const struct json_value *record, void *arg)
{
	struct history_record r = {0};
	const struct json_value *change = json_get(record, STR("dynamodb")),
				*old_item = json_get(change, STR("OldImage")),
				*new_item = json_get(change, STR("NewImage")),
				*second = json_get(change, STR("ApproximateCreationDateTime"));
	str sequence = sequence_of(record), event = json_text(json_get(record, STR("eventName")));
	unsigned keys[3] = {0};
	struct model_item nothing;

	(void)arg;
	r.by_expiry = str_eq(json_text(json_get_path(record, STR("userIdentity.principalId"))),
			      STR("dynamodb.amazonaws.com")) ||
		      str_eq(json_text(json_get_path(record, STR("userIdentity.PrincipalId"))),
			      STR("dynamodb.amazonaws.com"));
	if (!model_read(json_get(change, STR("Keys")), &keys[0], &nothing) ||
		!model_read(old_item, &keys[1], &r.old_item) ||
		!model_read(new_item, &keys[2], &r.new_item) || (old_item && keys[0] != keys[1]) ||
		(new_item && keys[0] != keys[2]) || sequence.n >= sizeof r.sequence || !second ||
		str_to_i64(second->text, &r.second) < 0 ||
		!str_eq(event, !old_item   ? STR("INSERT")
			       : !new_item ? STR("REMOVE")
					   : STR("MODIFY"))) {
		world_fail(s->w, "a strange record %.*s", STR_ARG(sequence));
		return;
	}
	memcpy(r.sequence, sequence.p, sequence.n);
	r.key = keys[0];
	history_add_record(&s->history, &r);
}

static void note_followed(struct store *s, const struct json_value *record, void *arg)
{
	str sequence = sequence_of(record);

	(void)arg;
	s->followed = mem_realloc(s->followed, (s->n_followed + 1) * sizeof *s->followed);
	memset(s->followed[s->n_followed], 0, sizeof *s->followed);
	memcpy(s->followed[s->n_followed++], sequence.p, MIN(sequence.n, (size_t)39));
}

static str stream_of(struct store *s, struct arena *a, str table)
{
	struct answer answer = insist(s, a, false, "DescribeTable",
		arena_printf(a, "{\"TableName\":\"%.*s\"}", STR_ARG(table)));

	return json_text(
		json_get_path(store_parse(s, a, answer.body), STR("Table.LatestStreamArn")));
}

/* Goes on with the stream where it was; 0: nothing new. */
static unsigned follow(struct store *s, struct arena *a)
{
	str iterator = str_c(s->iterator);
	unsigned n;

	if (!iterator.n)
		iterator = first_iterator(s, a, stream_of(s, a, STR("main")));
	n = read_page(s, a, &iterator, 1 + any(20), note_followed, NULL);
	if (!iterator.n || iterator.n >= sizeof s->iterator) {
		world_fail(s->w, "an iterator of %zu bytes", iterator.n);
		return 0;
	}
	memset(s->iterator, 0, sizeof s->iterator);
	memcpy(s->iterator, iterator.p, iterator.n);
	return n;
}

static void follower(void *arg)
{
	struct store *s = arg;

	while (s->working && !rt_cancelled()) {
		struct arena a cleanup(arena_done_p);

		arena_init(&a, 16 << 20);
		follow(s, &a);
		nap(any(40));
	}
	world_client_end(s->w);
}

static void check_followed(struct store *s)
{
	const struct history *h = &s->history;
	size_t i = 0;

	while (i < h->n_records && i < s->n_followed &&
		strcmp(h->records[i].sequence, s->followed[i]) == 0)
		i++;
	if (i < h->n_records || i < s->n_followed)
		world_fail(s->w, "a follower got %zu records of %zu, other ones from the %zu-th on",
			s->n_followed, h->n_records, i);
}

/* --- the side's streams ---------------------------------------------------------------------- */

struct side_seen {
	uint64_t last[STORE_SIDE_KEYS]; /* in this stream */
	bool *written;                  /* of side_writes: in a stream */
};

static uint64_t counter_of(const struct json_value *record, const char *image)
{
	str text = json_text(json_get_path(
		json_get(json_get(record, STR("dynamodb")), str_c(image)), STR("n.N")));
	uint64_t n = 0;

	return str_to_u64(text, UINT64_MAX, &n) < 0 ? 0 : n;
}

static void look_at_side(struct store *s, const struct json_value *record, void *arg)
{
	struct side_seen *seen = arg;
	str pk = json_text(json_get_path(record, STR("dynamodb.Keys.pk.S")));
	uint64_t key = 0, old_n = counter_of(record, "OldImage"),
		 n = counter_of(record, "NewImage");

	if (str_to_u64(pk, STORE_SIDE_KEYS - 1, &key) < 0 || n != old_n + 1 ||
		(seen->last[key] && seen->last[key] != old_n))
		world_fail(s->w, "a stream that came late: %llu to %llu after %llu",
			(unsigned long long)old_n, (unsigned long long)n,
			(unsigned long long)seen->last[key]);
	seen->last[key] = n;
	for (size_t i = 0; i < s->n_side_writes; i++)
		if (s->side_writes[i].key == key && s->side_writes[i].n == n) {
			if (seen->written[i])
				world_fail(s->w, "a write is in two streams");
			seen->written[i] = true;
		}
}

static void check_side(struct store *s, struct arena *a)
{
	struct side_seen seen = {.written = arena_new_array(a, bool, s->n_side_writes + 1)};
	struct answer answer = insist(s, a, true, "ListStreams", STR("{\"TableName\":\"side\"}"));
	const struct json_value *streams = json_get(store_parse(s, a, answer.body), STR("Streams"));

	for (uint32_t i = 0; streams && i < streams->count; i++) {
		memset(seen.last, 0, sizeof seen.last);
		read_stream(s, a, json_text(json_get(json_at(streams, i), STR("StreamArn"))),
			look_at_side, &seen);
	}
	for (size_t i = 0; i < s->n_side_writes; i++) {
		const struct side_write *e = &s->side_writes[i];

		for (unsigned j = 0; j < s->n_side_streams && !seen.written[i]; j++)
			if (e->begun > s->side_streams[j].from && e->ended < s->side_streams[j].to)
				world_fail(s->w, "write %llu of side %u is in no stream",
					(unsigned long long)e->n, e->key);
	}
}

/* --- the last look --------------------------------------------------------------------------- */

/* The index shows exactly the items that have its key, once. `attribute` < 0: all. */
static void check_index(
	struct store *s, struct arena *a, const char *operation, const char *index, int attribute)
{
	struct store_found found;

	if (store_collect(s, a, operation, index, NULL, 0, 1 + any(4), &found) < 0) {
		world_fail(s->w, "%s cannot be read", index ? index : "the table");
		return;
	}
	for (unsigned key = 0; key < MODEL_KEYS; key++) {
		const struct model_item *item = &s->history.final[key];
		bool in = item->exists && (attribute < 0 || item->has[attribute]);

		if (found.times[key] != in)
			history_fail(&s->history, key, "%s shows it %u times",
				index ? index : "the table", found.times[key]);
		else if (in && !(index && index[0] == 'd') && !model_equal(&found.items[key], item))
			history_fail(&s->history, key, "%s shows another version",
				index ? index : "the table");
	}
}

/* The same of a vector index: exactly the items with a vector; of "dyv", by partitions. */
static void check_vectors(struct store *s, struct arena *a, const char *index, int g)
{
	struct store_found found;

	if (store_search(s, a, index, g, &found) < 0) {
		world_fail(s->w, "%s cannot be searched", index);
		return;
	}
	for (unsigned key = 0; key < MODEL_KEYS; key++) {
		const struct model_item *item = &s->history.final[key];
		bool in = item->exists && item->has[MODEL_V] &&
			  (g < 0 || (item->has[MODEL_G] && item->value[MODEL_G] == g));

		if (found.times[key] != in)
			history_fail(
				&s->history, key, "%s finds it %u times", index, found.times[key]);
		else if (in && g < 0 && !model_equal(&found.items[key], item))
			history_fail(&s->history, key, "%s finds another version", index);
	}
}

static void check_queries(struct store *s, struct arena *a)
{
	for (unsigned i = 0; i < MODEL_PARTITIONS; i++) {
		struct store_found table = {0}, local = {0}, global = {0};
		int rc = store_collect(s, a, "Query", NULL, "pk", i, 2, &table);

		rc = MIN(rc, store_collect(s, a, "Query", "byl", "pk", i, 1, &local));
		rc = MIN(rc, store_collect(s, a, "Query", "byg", "g", i, 2, &global));
		for (unsigned key = 0; key < MODEL_KEYS && rc >= 0; key++) {
			const struct model_item *item = &s->history.final[key];
			bool here = item->exists && key / MODEL_SORTS == i;

			if (table.times[key] != here ||
				local.times[key] != (here && item->has[MODEL_L]) ||
				global.times[key] != (item->exists && item->has[MODEL_G] &&
							     item->value[MODEL_G] == i))
				history_fail(&s->history, key,
					"queries show it %u, %u and %u times", table.times[key],
					local.times[key], global.times[key]);
		}
	}
}

static void check_expired(struct store *s)
{
	int64_t now_s = rt_wall() / RT_NS_S;

	if (s->ttl_since == INT64_MAX)
		return;
	for (unsigned key = 0; key < MODEL_KEYS; key++) {
		const struct model_item *item = &s->history.final[key];

		if (item->exists && item->has[MODEL_T] && item->value[MODEL_T] < now_s - 3)
			history_fail(&s->history, key, "should have expired, %lld s ago",
				(long long)(now_s - item->value[MODEL_T]));
	}
}

/* What is below the area (and the word behind it) in the store. */
static size_t count_keys(struct store *s, struct arena *a, enum keyspace_area area, str word)
{
	struct kv_scan *scan cleanup(kv_scan_close_p) = NULL;
	struct kv_range range = {0};
	str key, value;
	struct buf from;
	size_t n = 0;
	char *to;

	buf_init(&from, a, KEYSPACE_KEY_MAX);
	keyspace_area(&from, area);
	if (word.n)
		keyspace_put(&from, word);
	range.from = buf_str(&from);
	to = arena_bytes(a, range.from.n);
	memcpy(to, range.from.p, range.from.n);
	to[range.from.n - 1]++;
	range.to = str_of(to, range.from.n);
	if (kv_scan_open(s->w->kv, &range, &scan) < 0)
		return SIZE_MAX;
	while (kv_scan_next(scan, &key, &value) == 1)
		n++;
	return n;
}

/* Deletes every item: nothing that hung on them is left. */
static void check_nothing_left(struct store *s, struct arena *a)
{
	static const struct {
		enum keyspace_area area;
		str word;
		const char *what;
	} areas[] = {{KEYSPACE_DYNAMODB_ITEMS, STR_INIT(""), "items"},
		{KEYSPACE_DYNAMODB_INDEX, STR_INIT(""), "index entries"},
		{KEYSPACE_DYNAMODB_EXPIRY, STR_INIT(""), "expiry entries"},
		{KEYSPACE_DYNAMODB_META, STR_INIT("collection"), "sizes of collections"}};

	for (unsigned key = 0; key < MODEL_KEYS; key++) {
		struct buf body;

		buf_init(&body, a, 1024);
		buf_put(&body, STR("{\"TableName\":\"main\",\"Key\":"));
		model_put_key(&body, key);
		buf_put(&body, STR("}"));
		world_dynamodb(s->w, a, "DeleteItem", buf_str(&body));
	}
	insist(s, a, false, "DeleteTable", STR("{\"TableName\":\"side\"}"));
	nap(2000);
	for (size_t i = 0; i < ARRAY_SIZE(areas); i++) {
		size_t n = count_keys(s, a, areas[i].area, areas[i].word);

		if (n)
			world_fail(s->w, "%zu %s are left", n, areas[i].what);
	}
}

static void last_look(struct store *s, struct arena *a)
{
	str status;

	nap(SETTLE_S * 1000);
	while (follow(s, a))
		;
	read_stream(s, a, stream_of(s, a, STR("main")), note_record, NULL);
	history_check(&s->history);
	check_followed(s);
	check_index(s, a, "Scan", NULL, -1);
	check_index(s, a, "Scan", "byg", MODEL_G);
	check_index(s, a, "Scan", "byl", MODEL_L);
	status = index_status(s, a, STR("dyn"));
	if (str_eq(status, STR("ACTIVE")))
		check_index(s, a, "Scan", "dyn", MODEL_L);
	else if (status.n)
		world_fail(s->w, "the index stays %.*s", STR_ARG(status));
	check_vectors(s, a, "vec", -1);
	status = index_status(s, a, STR("dyv"));
	if (str_eq(status, STR("ACTIVE")))
		for (int g = 0; g < 3; g++)
			check_vectors(s, a, "dyv", g);
	else if (status.n)
		world_fail(s->w, "the vector index stays %.*s", STR_ARG(status));
	check_queries(s, a);
	check_expired(s);
	check_side(s, a);
	check_nothing_left(s, a);
}

void workload_store(struct world *w)
{
	struct store *s = mem_new(struct store);
	struct arena a cleanup(arena_done_p);

	s->w = w;
	s->history.w = w;
	s->ttl_since = INT64_MAX;
	s->working = CLIENTS + SIDE_CLIENTS;
	s->side_writes = mem_zero((SIDE_CLIENTS * SIDE_STEPS + 1) * sizeof *s->side_writes);
	arena_init(&a, 256 << 20);
	create(s, &a, create_main);
	create(s, &a, create_side);
	for (unsigned i = 0; i < CLIENTS; i++)
		world_client(w, client, s);
	for (unsigned i = 0; i < SIDE_CLIENTS; i++)
		world_client(w, side_client, s);
	world_client(w, change_tables, s);
	world_client(w, follower, s);
	world_wait_clients(w);
	world_calm(w);
	last_look(s, &a);
	history_done(&s->history);
	mem_free(s->followed);
	mem_free(s->side_writes);
	mem_free(s);
}
