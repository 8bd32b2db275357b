/*
 * `cirrus status`: asks a running server for its health page and prints it.
 */
#ifndef SERVER_STATUS_H
#define SERVER_STATUS_H

/*
 * `url` is http://ADDRESS:PORT. Prints the page's JSON on standard output. Returns the exit status:
 * 0 when the server answered that it is well, 1 otherwise, 2 for a bad URL.
 */
int status_run(const char *url);

#endif
