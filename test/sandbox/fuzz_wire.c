/*
 * The launcher's decoder of descriptions: whatever comes, it is refused or describes what can be
 * encoded again to the same bytes.
 */
#include "base/check.h"
#include "sandbox/wire.h"

#include <stddef.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct wire_spec spec;
	struct sandbox_error error = {""};
	struct buf again;

	if (n > WIRE_BODY_MAX)
		return 0;
	if (wire_take_spec(str_of(data, n), &spec, &error) < 0) {
		check(error.text[0] != 0);
		return 0;
	}
	buf_init(&again, NULL, WIRE_MAX);
	check(wire_put_spec(&again, &spec.spec, &error) == 0);
	check(again.n == n);
	buf_done(&again);
	return 0;
}
