/*
 * Times: any text is refused or gives a time whose printed form reads back as the same.
 */
#include "base/check.h"
#include "base/time.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void try(str in, int (*parse)(str, int64_t *), void (*put)(struct buf *, int64_t))
{
	int64_t ms, back;
	struct buf out;

	if (parse(in, &ms) < 0)
		return;
	check(ms >= TIME_MS_MIN && ms <= TIME_MS_MAX);
	buf_init(&out, NULL, TIME_TEXT_MAX);
	put(&out, ms);
	check(!out.over && parse(buf_str(&out), &back) == 0 && back == ms);
	buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	str in = str_of(data, n);

	try(in, time_parse_iso, time_put_iso_ms);
	try(in, time_parse_amz, time_put_amz);
	try(in, time_parse_http, time_put_http);
	try(in, time_parse_epoch, time_put_epoch);
	return 0;
}
