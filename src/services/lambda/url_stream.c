/* The head of a streamed answer: see url.h. */
#include "services/lambda/url.h"

int url_prelude_find(str bytes, size_t *ret_head_bytes)
{
	static const char end[8] = {0};
	ptrdiff_t at = str_find_str(str_sub(bytes, 0, URL_PRELUDE_BYTES_MAX), str_of(end, 8));

	if (at < 0)
		return bytes.n >= URL_PRELUDE_BYTES_MAX ? ERR_TOO_LARGE : 0;
	*ret_head_bytes = (size_t)at + sizeof(end);
	return 1;
}
