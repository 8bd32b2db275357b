/*
 * No member of an input is accepted and ignored: for each row of docs/members-dynamodb.md (which
 * tools/members.py writes from the models) there is a case file's group of cases that gives another
 * answer when the member is left out.
 *
 * MEMBERS=prefix in the environment looks only at rows that begin so ("Query |").
 */
#include "base/json.h"
#include "test/services/dynamodb/wire.h"

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>

#define PAGE  "docs/members-dynamodb.md"
#define CASES "test/services/dynamodb/wire/*.txt"

enum { FILE_BYTES_MAX = 1 << 20, GROUPS_MAX = 512, REQUESTS_MAX = 4096 };

/* What stands between two lines of "###". */
struct group {
	const char *path;
	str text;
	int line_before;
};

struct case_request {
	struct group *group;
	int line;
	str operation, body;
};

struct cases {
	struct arena arena;
	struct group groups[GROUPS_MAX];
	size_t group_count;
	struct case_request requests[REQUESTS_MAX];
	size_t request_count;
};

static str file_text(struct arena *a, const char *path)
{
	FILE *in = fopen(path, "rb");
	char *bytes = arena_bytes(a, FILE_BYTES_MAX);
	size_t n = in ? fread(bytes, 1, FILE_BYTES_MAX, in) : 0;

	if (in)
		fclose(in);
	else
		test_fail(path, 1, "cannot be read");
	return str_of(bytes, n);
}

static void add_request(struct cases *all, struct group *group, int line, str text)
{
	struct case_request *r = &all->requests[all->request_count];
	str range;

	if (!EXPECT(all->request_count < REQUESTS_MAX) || !str_split(&text, ' ', &range) ||
		!str_split(&text, ' ', &r->operation))
		return;
	r->group = group;
	r->line = line;
	r->body = text;
	all->request_count++;
}

static void add_file(struct cases *all, const char *path)
{
	str rest = file_text(&all->arena, path), line;
	struct group *group = NULL;
	int number = 0;

	while (rest.n) {
		const char *begin = rest.p;

		str_split(&rest, '\n', &line);
		number++;
		if (str_starts(line, STR("### ")) && EXPECT(all->group_count < GROUPS_MAX)) {
			group = &all->groups[all->group_count++];
			*group =
				(struct group){.path = arena_printf(&all->arena, "%s%c", path, 0).p,
					.text = {begin, 0},
					.line_before = number - 1};
		} else if (group && str_starts(line, STR(">"))) {
			add_request(all, group, number, line);
		}
		if (group)
			group->text.n = (size_t)(rest.p - group->text.p);
	}
}

static bool uses(const struct case_request *r, str member)
{
	struct json_value *root;
	struct arena a;
	bool used;

	arena_init(&a, SIZE_MAX);
	used = json_parse(&a, r->body, JSON_DEPTH_MAX, &root, NULL) == 0 &&
	       ddb_leave_out(root, member) > 0;
	arena_done(&a);
	return used;
}

static bool proved(struct cases *all, str operation, str member)
{
	bool any = str_eq(operation, STR("AttributeValue"));

	if (any)
		member = arena_printf(&all->arena, "*.%.*s", STR_ARG(member));
	for (size_t i = 0; i < all->request_count; i++) {
		struct case_request *r = &all->requests[i];

		if ((any || str_eq(r->operation, operation)) && uses(r, member) &&
			ddb_depends_on(r->group->path, r->group->text, r->group->line_before,
				r->line, member))
			return true;
	}
	return false;
}

/* "| operation | member | cases |" */
static bool row_of(str line, str *ret_operation, str *ret_member)
{
	static const str refused = STR_INIT("refused with ");
	str cases;

	if (!str_starts(line, STR("| ")) || str_starts(line, STR("| operation")))
		return false;
	line = str_from(line, 2);
	str_split(&line, ' ', ret_operation);
	line = str_from(line, 2);
	str_split(&line, ' ', ret_member);
	cases = str_from(line, 2);
	/* the whole member is not there, and its name is in the answer */
	if (str_starts(cases, refused)) {
		cases = str_from(cases, refused.n);
		str_split(&cases, ':', ret_member);
	}
	return true;
}

TEST(dynamodb, members)
{
	struct cases *all = calloc(1, sizeof *all);
	const char *only = getenv("MEMBERS");
	str page, line, operation, member, last = STR_NULL, last_operation = STR_NULL;
	size_t rows = 0;
	glob_t found;

	ASSERT(all != NULL);
	arena_init(&all->arena, SIZE_MAX);
	ASSERT_INT(glob(CASES, 0, NULL, &found), 0);
	for (size_t i = 0; i < found.gl_pathc; i++)
		add_file(all, found.gl_pathv[i]);
	globfree(&found);
	page = file_text(&all->arena, PAGE);
	while (str_split(&page, '\n', &line)) {
		if (!row_of(line, &operation, &member) ||
			(only && !str_starts(str_from(line, 2), str_c(only))))
			continue;
		rows++;
		if (str_eq(member, last) && str_eq(operation, last_operation))
			continue; /* refused with the same member as the row before */
		if (!proved(all, operation, member))
			test_fail(PAGE, (int)rows, "%.*s: no answer depends on %.*s",
				STR_ARG(operation), STR_ARG(member));
		last = member;
		last_operation = operation;
	}
	EXPECT(only || rows >= 350);
	arena_done(&all->arena);
	free(all);
}
