/*
 * What may stand in a header's value (RFC 9110, 5.5): eight bytes are looked at at once, so each
 * byte is tried at each place.
 */
#include "http/internal.h"
#include "test/test.h"

TEST(http_text, values)
{
	char text[19];

	EXPECT(http_is_value(STR("")));
	for (unsigned at = 0; at < sizeof(text); at++)
		for (unsigned c = 0; c < 256; c++) {
			bool fine = c == '\t' || (c >= 0x20 && c != 0x7f);

			memset(text, 'a', sizeof(text));
			text[at] = (char)c;
			EXPECT_INT(http_is_value(str_of(text, sizeof(text))), fine);
			/* beside a tab, which is allowed where other controls are not */
			text[at ? at - 1 : 1] = '\t';
			EXPECT_INT(http_is_value(str_of(text, sizeof(text))), fine);
		}
}
