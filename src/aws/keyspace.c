/*
 * Building and taking apart of keys. Pure.
 */
#include "aws/keyspace.h"

#include "base/check.h"

void keyspace_area(struct buf *key, enum keyspace_area area)
{
	buf_put_char(key, (char)area);
}

void keyspace_begin(struct buf *key, enum keyspace_area area, str account, str region)
{
	keyspace_area(key, area);
	keyspace_put(key, account);
	keyspace_put(key, region);
}

void keyspace_put(struct buf *key, str part)
{
	for (;;) {
		ptrdiff_t at = str_find(part, 0);

		if (at < 0)
			break;
		buf_put(key, str_sub(part, 0, (size_t)at));
		buf_put(key, STR("\x00\xff"));
		part = str_from(part, (size_t)at + 1);
	}
	buf_put(key, part);
	buf_put(key, STR("\x00\x01"));
}

bool keyspace_take(struct arena *a, str *key, str *ret_part)
{
	str rest = *key;
	struct buf part;
	bool escaped = false;

	buf_init(&part, a, rest.n);
	for (;;) {
		ptrdiff_t at = str_find(rest, 0);

		if (at < 0 || (size_t)at + 1 >= rest.n)
			return false;
		if (rest.p[at + 1] == 1) {
			if (escaped)
				buf_put(&part, str_sub(rest, 0, (size_t)at));
			*ret_part = escaped ? buf_str(&part) : str_sub(rest, 0, (size_t)at);
			*key = str_from(rest, (size_t)at + 2);
			return true;
		}
		if ((unsigned char)rest.p[at + 1] != 0xff)
			return false;
		escaped = true;
		buf_put(&part, str_sub(rest, 0, (size_t)at + 1));
		rest = str_from(rest, (size_t)at + 2);
	}
}

str keyspace_prefix_end(struct arena *a, str prefix)
{
	str end = arena_str(a, prefix);

	while (end.n && (unsigned char)end.p[end.n - 1] == 0xff)
		end.n--;
	check(end.n > 0);
	((char *)end.p)[end.n - 1]++;
	return end;
}
