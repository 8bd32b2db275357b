/*
 * Mappings as records and as settings: see mapping.h. Pure.
 */
#include "services/lambda/mapping.h"

#include "aws/codec.h"
#include "base/check.h"
#include "services/lambda/limits.h"
#include "services/lambda/names.h"

enum { FORMAT = 1 };

static const str states[MAPPING_STATES] = {
	[MAPPING_CREATING] = STR_INIT("Creating"),
	[MAPPING_ENABLING] = STR_INIT("Enabling"),
	[MAPPING_ENABLED] = STR_INIT("Enabled"),
	[MAPPING_DISABLING] = STR_INIT("Disabling"),
	[MAPPING_DISABLED] = STR_INIT("Disabled"),
	[MAPPING_UPDATING] = STR_INIT("Updating"),
	[MAPPING_DELETING] = STR_INIT("Deleting"),
};

str mapping_state_text(enum mapping_state state)
{
	return states[state];
}

str mapping_arn(struct arena *a, str account, str region, str uuid)
{
	return ARENA_CONCAT(a, STR("arn:aws:lambda:"), region, STR(":"), account,
		STR(":event-source-mapping:"), uuid);
}

bool mapping_arn_parse(str arn, str *ret_account, str *ret_region, str *ret_uuid)
{
	str parts[7], rest = arn;
	size_t n = 0;

	while (n < ARRAY_SIZE(parts) && str_split(&rest, ':', &parts[n]))
		n++;
	if (n != ARRAY_SIZE(parts) || rest.n || !str_eq(parts[2], STR("lambda")) ||
		!str_eq(parts[5], STR("event-source-mapping")))
		return false;
	*ret_region = parts[3];
	*ret_account = parts[4];
	*ret_uuid = parts[6];
	return true;
}

/* ---- the record ---- */

int mapping_decode(struct arena *a, str record, struct mapping *ret_mapping)
{
	const struct model *model = model_named(STR("lambda"));
	struct mapping m = *ret_mapping;
	uint64_t modified;
	uint8_t format, state, enabled;
	str tags;

	if (!str_take_u8(&record, &format))
		return ERR_CORRUPT;
	if (format != FORMAT)
		return ERR_VERSION;
	if (!str_take_be64(&record, &m.revision) || !str_take_u8(&record, &state) ||
		!str_take_u8(&record, &enabled) || !str_take_be64(&record, &modified) ||
		!str_take_sized(&record, &tags) || state >= MAPPING_STATES || enabled > 1)
		return ERR_CORRUPT;
	m.state = state;
	m.enabled = enabled;
	m.modified_ms = (int64_t)modified;
	TRY(codec_json_load(a, model, "CreateEventSourceMappingRequest", tags, &m.tags));
	TRY(codec_json_load(a, model, "EventSourceMappingConfiguration", record, &m.config));
	*ret_mapping = m;
	return 0;
}

str mapping_encode(struct arena *a, const struct mapping *m)
{
	struct mapping back = {.account = m->account};
	struct buf b, tags;

	buf_init(&b, a, LAMBDA_RECORD_BYTES_MAX);
	buf_init(&tags, a, LAMBDA_RECORD_BYTES_MAX / 2);
	codec_json_store(&tags, m->tags);
	buf_put_char(&b, FORMAT);
	buf_put_be64(&b, m->revision);
	buf_put_char(&b, (char)m->state);
	buf_put_char(&b, m->enabled);
	buf_put_be64(&b, (uint64_t)m->modified_ms);
	buf_put_sized(&b, buf_str(&tags));
	codec_json_store(&b, m->config);
	check(!b.over && !tags.over && mapping_decode(a, buf_str(&b), &back) == 0);
	return buf_str(&b);
}

/* ---- settings ---- */

static int compile_filters(
	struct arena *a, const struct value *list, struct mapping_settings *settings)
{
	const struct event_pattern **filters =
		arena_new_array(a, const struct event_pattern *, value_count(list));
	str why;

	for (uint32_t i = 0; i < value_count(list); i++) {
		str text = value_str(value_at(list, i), "Pattern");

		if (event_pattern_compile(a, text, &filters[i], &why) < 0)
			return ERR_CORRUPT;
	}
	settings->filters = filters;
	settings->filter_count = value_count(list);
	return 0;
}

static bool has_text(const struct value *list, str text)
{
	for (uint32_t i = 0; i < value_count(list); i++)
		if (str_eq(value_text(value_at(list, i)), text))
			return true;
	return false;
}

int mapping_settings_of(
	struct arena *a, const struct mapping *m, struct mapping_settings *ret_settings)
{
	const struct value *c = m->config;
	struct mapping_settings s = {
		.source_arn = value_str(c, "EventSourceArn"),
		.function_arn = value_str(c, "FunctionArn"),
		.on_failure = value_str(
			value_get(value_get(c, "DestinationConfig"), "OnFailure"), "Destination"),
		.start = str_eq(value_str(c, "StartingPosition"), STR("LATEST"))
				 ? RECORDS_LATEST
				 : RECORDS_TRIM_HORIZON,
		.batch_records = (uint32_t)value_int(c, "BatchSize", 100),
		.lanes = (uint32_t)value_int(c, "ParallelizationFactor", 1),
		.batch_window_ms = value_int(c, "MaximumBatchingWindowInSeconds", 0) * 1000,
		.age_ms_max = value_int(c, "MaximumRecordAgeInSeconds", -1),
		.retries_max = value_int(c, "MaximumRetryAttempts", -1),
		.tumbling_ms = value_int(c, "TumblingWindowInSeconds", 0) * 1000,
		.bisect = value_bool(c, "BisectBatchOnFunctionError", false),
		.item_failures = value_count(value_get(c, "FunctionResponseTypes")) > 0,
		.counts = has_text(
			value_get(value_get(c, "MetricsConfig"), "Metrics"), STR("EventCount")),
	};
	struct function_name name;

	if (s.age_ms_max >= 0)
		s.age_ms_max *= 1000;
	if (function_name_parse(s.function_arn, &name) < 0)
		return ERR_CORRUPT;
	s.function_name = name.name;
	TRY(compile_filters(a, value_get(value_get(c, "FilterCriteria"), "Filters"), &s));
	*ret_settings = s;
	return 0;
}

bool mapping_passes(const struct mapping_settings *s, str json)
{
	struct arena a cleanup(arena_done_p) = {0};
	struct json_value *event;

	if (!s->filter_count)
		return true;
	arena_init(&a, SIZE_MAX);
	if (json_parse(&a, json, JSON_DEPTH_MAX, &event, NULL) < 0)
		return false;
	for (uint32_t i = 0; i < s->filter_count; i++)
		if (event_pattern_matches(s->filters[i], event))
			return true;
	return false;
}
