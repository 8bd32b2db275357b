/*
 * Files that are part of the binary: everything below runtimes/. The table is made at build time by
 * tools/embed.py.
 */
#ifndef SERVER_EMBEDDED_H
#define SERVER_EMBEDDED_H

struct embedded_file {
	const char *path; /* "node/bootstrap.js"; NULL ends the table */
	const unsigned char *begin, *end;
};

extern const struct embedded_file embedded_files[];

#endif
