/*
 * The command line and environment of `cirrus serve`. The rows are options.def; a value on the
 * command line wins over the environment. Called once by main(), before anything is started.
 */
#ifndef SERVER_OPTIONS_H
#define SERVER_OPTIONS_H

#include "base/arena.h"

enum { OPTION_LIST_MAX = 16 };

struct option_list {
	const char *item[OPTION_LIST_MAX];
	unsigned n;
};

typedef const char *option_TEXT;
typedef const char *option_CHOICE;
typedef bool option_FLAG;
typedef long option_NUMBER;
typedef struct option_list option_LIST;

struct options {
#define SECTION(title)
#define OPTION(field, kind, name, argument, otherwise, help) option_##kind field;
#include "server/options.def"
#undef OPTION
#undef SECTION
};

/*
 * Fills `ret_options` from the defaults, `environment` (NULL-terminated "NAME=value", as environ)
 * and `argv` (NULL-terminated, without the program and command names). Texts are borrowed from them
 * or kept in `arena`. ERR_INVALID: *ret_message says what is wrong and what would be right.
 */
must_use int options_parse(struct arena *arena, const char *const *argv,
	const char *const *environment, struct options *ret_options, str *ret_message);

/* The text of `cirrus serve --help`. */
str options_help(struct arena *arena);

#endif
