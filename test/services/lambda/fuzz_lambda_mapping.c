/*
 * What mappings read that may be anything: their records (after a damaged disk), and functions'
 * answers. The first byte chooses.
 */
#include "base/check.h"
#include "base/rc.h"
#include "services/lambda/mapping.h"
#include "services/lambda/mapping_batch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void record(struct arena *a, str in)
{
	struct mapping m = {.uuid = STR("u")}, again = {.uuid = STR("u")};
	struct mapping_settings settings;
	int rc = mapping_decode(a, in, &m);

	check(rc == 0 || rc == ERR_CORRUPT || rc == ERR_VERSION);
	if (rc < 0)
		return;
	check(mapping_decode(a, mapping_encode(a, &m), &again) == 0);
	check(again.revision == m.revision && again.state == m.state &&
		again.enabled == m.enabled && again.modified_ms == m.modified_ms);
	rc = mapping_settings_of(a, &m, &settings);
	check(rc == 0 || rc == ERR_CORRUPT);
	if (rc == 0)
		(void)mapping_passes(&settings, in);
}

/* Whatever it says, all records are worked off, none twice, in an end. */
static void answer(struct arena *a, str in, bool failures, bool window, bool bisect)
{
	static const struct record_of_source all[5] = {{.sequence = STR_INIT("1")},
		{.sequence = STR_INIT("2")}, {.sequence = STR_INIT("3")},
		{.sequence = STR_INIT("4")}, {.sequence = STR_INIT("5")}};
	const struct record_of_source *records[5];
	struct batch_part *part;
	struct batch_work w;
	unsigned calls = 0;

	for (size_t i = 0; i < 5; i++)
		records[i] = &all[i];
	batch_work_begin(&w, 0, 5);
	while ((part = batch_part_next(&w))) {
		size_t failed = SIZE_MAX, from = w.from, count = part->to - from;
		str state = STR_NULL;
		enum batch_answer said = batch_read_answer(
			a, in, records + from, count, failures, window, &failed, &state);

		check(said != BATCH_PARTIAL || failed < count);
		check(!window || said == BATCH_FAILED || state.n);
		if (batch_work_after(&w, said, failed, bisect, 2) == BATCH_DISCARD)
			batch_work_pass(&w, part->to);
		check(w.from >= from && w.from <= 5 && ++calls < 60);
	}
	check(w.from == 5);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct arena a cleanup(arena_done_p) = {0};
	str in = str_of(data, n);

	if (n == 0)
		return 0;
	arena_init(&a, SIZE_MAX);
	in = str_from(in, 1);
	if (data[0] & 1)
		answer(&a, in, data[0] & 2, data[0] & 4, data[0] & 8);
	else
		record(&a, in);
	return 0;
}
