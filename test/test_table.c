/*
 * Reading of test tables.
 */
#include "test/test_table.h"

#include <stdio.h>

static str read_file(struct arena *arena, const char *path)
{
	FILE *f = fopen(path, "rb");
	char *p;
	long n;

	if (!f)
		return STR_NULL;
	fseek(f, 0, SEEK_END);
	n = ftell(f);
	rewind(f);
	p = arena_bytes(arena, (size_t)n);
	n = (long)fread(p, 1, (size_t)n, f);
	fclose(f);
	return str_of(p, (size_t)n);
}

void test_table_open(struct test_table *t, const char *path)
{
	*t = (struct test_table){.path = path};
	arena_init(&t->arena, SIZE_MAX);
	t->rest = read_file(&t->arena, path);
	if (!t->rest.p)
		test_fail(path, 0, "cannot read it");
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static str decode(struct arena *arena, str s)
{
	char *p = arena_bytes(arena, s.n), *to = p;

	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '%' && i + 2 < s.n && hex(s.p[i + 1]) >= 0 && hex(s.p[i + 2]) >= 0) {
			*to++ = (char)(hex(s.p[i + 1]) << 4 | hex(s.p[i + 2]));
			i += 2;
		} else {
			*to++ = s.p[i];
		}
	}
	return str_of(p, (size_t)(to - p));
}

bool test_table_next(struct test_table *t)
{
	str line, field;

	while (str_split(&t->rest, '\n', &line)) {
		t->line++;
		if (line.n == 0 || str_eq(line, STR("#")) || str_starts(line, STR("# ")))
			continue;
		t->fields = 0;
		for (unsigned i = 0; i < TEST_TABLE_FIELDS; i++)
			t->field[i] = STR_NULL;
		while (t->fields < TEST_TABLE_FIELDS && str_split(&line, '\t', &field))
			if (field.n)
				t->field[t->fields++] = decode(&t->arena, field);
		t->cases++;
		return true;
	}
	return false;
}

void test_table_close(struct test_table *t, unsigned cases_min)
{
	if (t->cases < cases_min)
		test_fail(t->path, t->line, "%u cases, expected at least %u", t->cases, cases_min);
	arena_done(&t->arena);
}
