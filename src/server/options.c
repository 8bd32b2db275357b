/*
 * Options: one table (options.def) drives parsing, the environment and --help.
 */
#include "server/options.h"

#include "base/buf.h"
#include "base/check.h"
#include "base/rc.h"

#include <stddef.h>

enum kind { KIND_TEXT, KIND_CHOICE, KIND_FLAG, KIND_NUMBER, KIND_LIST };

struct row {
	enum kind kind;
	size_t offset;
	const char *name, *argument, *text_default, *help;
	long number_default;
};

/* The default column is a text or a number by kind. */
#define DEFAULT_TEXT(v)   .text_default = (v)
#define DEFAULT_CHOICE(v) .text_default = (v)
#define DEFAULT_LIST(v)   .text_default = (v)
#define DEFAULT_FLAG(v)   .number_default = (v)
#define DEFAULT_NUMBER(v) .number_default = (v)

static const struct row rows[] = {
#define SECTION(title)
#define OPTION(field, kind_, name_, argument_, otherwise, help_) \
	{.kind = KIND_##kind_,                                   \
		.offset = offsetof(struct options, field),       \
		.name = (name_),                                 \
		.argument = (argument_),                         \
		DEFAULT_##kind_(otherwise),                      \
		.help = (help_)},
#include "server/options.def"
#undef OPTION
#undef SECTION
};

static void *field_of(struct options *o, const struct row *row)
{
	return (char *)o + row->offset;
}

/* Is `value` one of the words of "a|b|c"? */
static bool choice_has(const char *choices, str value)
{
	str rest = str_c(choices), word;

	while (str_split(&rest, '|', &word))
		if (str_eq(word, value))
			return true;
	return false;
}

static int list_add(struct option_list *list, const char *value)
{
	if (list->n == OPTION_LIST_MAX)
		return ERR_TOO_LARGE;
	list->item[list->n++] = value;
	return 0;
}

/* `where` names the option as the user wrote it. */
static int assign(struct arena *arena, struct options *o, const struct row *row, const char *where,
	const char *value, str *ret_message)
{
	void *field = field_of(o, row);
	uint64_t number;

	switch (row->kind) {
	case KIND_TEXT: *(const char **)field = value; return 0;
	case KIND_CHOICE:
		if (!choice_has(row->argument, str_c(value))) {
			*ret_message = arena_printf(
				arena, "%s: '%s' is not one of %s", where, value, row->argument);
			return ERR_INVALID;
		}
		*(const char **)field = value;
		return 0;
	case KIND_FLAG:
		if (!choice_has("0|1|true|false", str_c(value))) {
			*ret_message = arena_printf(
				arena, "%s: '%s' is not one of 0|1|true|false", where, value);
			return ERR_INVALID;
		}
		*(bool *)field = value[0] == '1' || value[0] == 't';
		return 0;
	case KIND_NUMBER:
		if (str_to_u64(str_c(value), 1000000000, &number) < 0) {
			*ret_message = arena_printf(arena,
				"%s: '%s' is not a number from 0 to 1000000000", where, value);
			return ERR_INVALID;
		}
		*(long *)field = (long)number;
		return 0;
	case KIND_LIST:
		if (list_add(field, value) < 0) {
			*ret_message = arena_printf(
				arena, "%s: at most %d are possible", where, OPTION_LIST_MAX);
			return ERR_INVALID;
		}
		return 0;
	}
	check_unreachable();
}

/* "--data-dir" -> "CIRRUS_DATA_DIR" */
static str environment_name(struct arena *arena, const char *option)
{
	str name = ARENA_CONCAT(arena, STR("CIRRUS_"), str_c(option + 2));
	char *p = (char *)name.p;

	for (size_t i = 0; i < name.n; i++)
		p[i] = p[i] == '-' ? '_' : p[i] >= 'a' && p[i] <= 'z' ? (char)(p[i] - 32) : p[i];
	return name;
}

static const char *environment_value(const char *const *environment, str name)
{
	for (; *environment; environment++) {
		str entry = str_c(*environment);

		if (str_starts(entry, name) && entry.n > name.n && entry.p[name.n] == '=')
			return *environment + name.n + 1;
	}
	return NULL;
}

static int from_environment(struct arena *arena, struct options *o, const struct row *row,
	const char *const *environment, str *ret_message)
{
	str name = environment_name(arena, row->name);
	const char *value = environment_value(environment, name);
	const char *where = arena_c(arena, name);
	str rest, word;

	if (!value || !*value)
		return 0;
	if (row->kind != KIND_LIST)
		return assign(arena, o, row, where, value, ret_message);
	rest = str_c(value);
	while (str_split(&rest, ',', &word))
		TRY(assign(arena, o, row, where, arena_c(arena, str_trim(word)), ret_message));
	return 0;
}

static const struct row *row_named(str name)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (str_eq(name, str_c(rows[i].name)))
			return &rows[i];
	return NULL;
}

/* One option of the command line, "--name value", "--name=value" or "--flag"; advances *argv. */
static int from_argument(struct arena *arena, struct options *o, bool *seen,
	const char *const **argv, str *ret_message)
{
	const char *text = *(*argv)++;
	ptrdiff_t equals = str_find(str_c(text), '=');
	str name = equals < 0 ? str_c(text) : str_of(text, (size_t)equals);
	const struct row *row = row_named(name);
	const char *value;

	if (!row) {
		*ret_message = arena_printf(
			arena, "unknown option '%s' (cirrus serve --help lists them)", text);
		return ERR_INVALID;
	}
	if (equals >= 0)
		value = text + equals + 1;
	else if (row->kind == KIND_FLAG)
		value = "1";
	else if (**argv)
		value = *(*argv)++;
	else {
		*ret_message =
			arena_printf(arena, "%s needs a value: %s", row->name, row->argument);
		return ERR_INVALID;
	}
	/* A list on the command line replaces the one of the environment. */
	if (row->kind == KIND_LIST && !seen[row - rows])
		((struct option_list *)field_of(o, row))->n = 0;
	seen[row - rows] = true;
	return assign(arena, o, row, row->name, value, ret_message);
}

int options_parse(struct arena *arena, const char *const *argv, const char *const *environment,
	struct options *ret_options, str *ret_message)
{
	bool seen[ARRAY_SIZE(rows)] = {false};
	struct options o = {0};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct row *row = &rows[i];

		switch (row->kind) {
		case KIND_TEXT:
		case KIND_CHOICE: *(const char **)field_of(&o, row) = row->text_default; break;
		case KIND_FLAG: *(bool *)field_of(&o, row) = row->number_default != 0; break;
		case KIND_NUMBER: *(long *)field_of(&o, row) = row->number_default; break;
		case KIND_LIST: break;
		}
		TRY(from_environment(arena, &o, row, environment, ret_message));
	}
	while (*argv)
		TRY(from_argument(arena, &o, seen, &argv, ret_message));
	*ret_options = o;
	return 0;
}

/* `text` broken into lines of at most 76 columns behind an indent of 8. */
static void put_wrapped(struct buf *b, const char *text)
{
	str rest = str_c(text), word;
	size_t column = 0;

	while (str_split(&rest, ' ', &word)) {
		if (column == 0 || column + 1 + word.n > 72) {
			buf_put(b, column ? STR("\n        ") : STR("        "));
			column = word.n;
		} else {
			buf_put_char(b, ' ');
			column += 1 + word.n;
		}
		buf_put(b, word);
	}
	buf_put_char(b, '\n');
}

static void put_row(struct buf *b, struct arena *arena, const struct row *row)
{
	buf_printf(b, "    %s%s%s", row->name, *row->argument ? " " : "", row->argument);
	if (row->kind == KIND_NUMBER && row->number_default)
		buf_printf(b, "  [%ld]", row->number_default);
	else if (row->text_default && *row->text_default)
		buf_printf(b, "  [%s]", row->text_default);
	buf_printf(b, "  (%.*s)\n", STR_ARG(environment_name(arena, row->name)));
	put_wrapped(b, row->help);
}

str options_help(struct arena *arena)
{
	const struct row *row = rows;
	struct buf b;

	buf_init(&b, arena, 64 * 1024);
	buf_put(&b, STR("Usage: cirrus serve [OPTION ...]\n\n"
			"Starts the serverless cloud on this machine and stays in the foreground. "
			"SIGTERM\n"
			"and Ctrl-C finish the requests in progress and stop. Every option can "
			"also be\n"
			"given by the environment variable in parentheses.\n"));
#define SECTION(title)                                       buf_put(&b, STR("\n" title ":\n"));
#define OPTION(field, kind, name, argument, otherwise, help) put_row(&b, arena, row++);
#include "server/options.def"
#undef OPTION
#undef SECTION
	return buf_str(&b);
}
