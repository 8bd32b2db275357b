/*
 * `cirrus doctor`: what functions need from this host, what of it is there, and what to do about
 * the rest.
 */
#ifndef SERVER_DOCTOR_H
#define SERVER_DOCTOR_H

#include "base/arena.h"

/*
 * `argv` is what follows the command, NULL at the end: --json, and the options of serve that name
 * programs. Prints on standard output. Returns the exit status: 0 when functions can run, 1 when
 * something that they need is missing, 2 for a bad command line.
 */
int doctor_run(struct arena *arena, char **argv);

#endif
