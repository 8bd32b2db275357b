/*
 * Scenarios of the logs and API Gateway services as files: requests over a real socket to a whole
 * server in process (front, gate, both services, memory store; two loops, so that what one
 * changes the other has to see), exact answers.
 *
 *     ### what it shows                      begins with a new, empty server
 *     ! api                                  the requests that follow name this service's key scope
 *     ! logs                                 ... awsJson: "> Operation" and "> {body}" are enough
 *     ! raw                                  requests are sent as they stand
 *     ! answer PAYLOAD                       what the function returns from now on
 *     ! function ok | error | throttled | slow | denied | nopolicy | missing
 *     ! strict                               roles and permissions are enforced (before requests)
 *     ! sweep DAYS                           the logs sweeper runs as if it were DAYS later
 *     ! lines GROUP STREAM text              through the log port, without waiting
 *     > GET /v2/apis HTTP/1.1                a request: lines, an empty one, the body
 *     < 200                                  its answer: status, some headers, an empty line, body
 *     = name path.in.json                    keeps a part of the last body as <name>
 *     @ {"version":"2.0"...}                 the event that the function got
 *
 * <name> stands for what was kept; <server> and <upstream> for the addresses of this server and of
 * one that echoes requests; <now> for the time of the start in ms, <now-5000> for earlier. "%*"
 * matches anything. UPDATE=1 in the environment prints what came.
 */
#ifndef TEST_SERVICES_TEST_SCENARIO_H
#define TEST_SERVICES_TEST_SCENARIO_H

#include "test/test.h"

/* Runs all scenarios of a file; fails when there are fewer than `scenarios_min`. */
void scenario_run(const char *path, unsigned scenarios_min);

#endif
