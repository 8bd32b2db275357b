/*
 * The unit-test program. Prints failures, with --verbose each test, and ends with the plain line
 * "N passed, N failed". Exit status 1 when a test failed or none ran.
 */
#include "test/test.h"

#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct test_case *cases;
static struct test_case *running;
static unsigned failures;
static char folder[64];

void test_register(struct test_case *t)
{
	t->next = cases;
	cases = t;
}

void test_fail(const char *file, int line, const char *format, ...)
{
	va_list args;

	failures++;
	fprintf(stderr, "%s.%s: %s:%d: ", running->module, running->name, file, line);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
}

unsigned test_failures(void)
{
	return failures;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static void remove_folder(void)
{
	if (folder[0])
		nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
	folder[0] = 0;
}

const char *test_folder(void)
{
	remove_folder();
	snprintf(folder, sizeof folder, "/tmp/cirrus-unit-XXXXXX");
	if (mkdtemp(folder) == NULL)
		abort();
	return folder;
}

unsigned long test_number(const char *name, unsigned long otherwise)
{
	const char *text = getenv(name);

	return text ? strtoul(text, NULL, 0) : otherwise;
}

/*
 * Tests that fork containers come first, while this process is small: what a container's first
 * process inherits counts in its memory limit.
 */
static bool is_early(const struct test_case *t)
{
	return strncmp(t->module, "sandbox", 7) == 0;
}

static int by_name(const void *a, const void *b)
{
	const struct test_case *x = *(struct test_case *const *)a,
			       *y = *(struct test_case *const *)b;
	int c = is_early(y) - is_early(x);

	if (c == 0)
		c = strcmp(x->module, y->module);

	return c ? c : strcmp(x->name, y->name);
}

static bool wanted(const struct test_case *t, char **prefixes)
{
	char full[256];

	snprintf(full, sizeof full, "%s.%s", t->module, t->name);
	if (!prefixes[0])
		return true;
	for (; *prefixes; prefixes++)
		if (strncmp(full, *prefixes, strlen(*prefixes)) == 0)
			return true;
	return false;
}

int main(int argc, char **argv)
{
	unsigned passed = 0, failed = 0, n = 0;
	bool verbose = argc > 1 && strcmp(argv[1], "--verbose") == 0;
	struct test_case **sorted;

	for (struct test_case *t = cases; t; t = t->next)
		n++;
	sorted = calloc(n + 1, sizeof(void *));
	if (!sorted)
		abort();
	n = 0;
	for (struct test_case *t = cases; t; t = t->next)
		sorted[n++] = t;
	qsort(sorted, n, sizeof(void *), by_name);
	for (unsigned i = 0; i < n; i++) {
		if (!wanted(sorted[i], argv + 1 + verbose))
			continue;
		running = sorted[i];
		failures = 0;
		if (verbose)
			fprintf(stderr, "%s.%s\n", running->module, running->name);
		running->run();
		failures ? failed++ : passed++;
		remove_folder();
	}
	free(sorted);
	printf("%u passed, %u failed\n", passed, failed);
	return failed || !passed;
}
