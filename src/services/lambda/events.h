/*
 * Asynchronous invocations: an event is in the store before it is acknowledged, and runs in the
 * background, with retries, until it succeeded, was tried often enough or is too old.
 *
 *     LAMBDA_EVENTS 1 due-time id       its state; due-time in ms, big-endian
 *     LAMBDA_EVENTS 2 id                its payload, written once
 *     LAMBDA_META "quarantine" id       state of what was running at two crashes; its payload stays
 *
 * Before a run starts its state says so ("running since boot B"); what a start finds so marked was
 * running when the worker crashed: it is run once more, and put aside when that happens again.
 *
 * A run that fails is repeated twice, after 1 and 2 minutes (retry_base_ms); one that was throttled
 * is repeated with growing pauses up to 5 minutes, each its own, without counting; both only until
 * the event is 6 hours old. A function that a reserved concurrency of 0 has stopped gets no events:
 * they go to its destination at once. Source: Developer Guide, "Asynchronous invocation",
 * "Capturing records of Lambda asynchronous invocations" (the condition's name there is not
 * documented, but seen).
 *
 * Threading: the dispatcher is a fiber of loop 0, runs are fibers of all loops in turn.
 * events_add() from any loop.
 */
#ifndef SERVICES_LAMBDA_EVENTS_H
#define SERVICES_LAMBDA_EVENTS_H

#include "base/str.h"

struct events;
struct lambda_service;

struct events *events_new(struct lambda_service *s);
/* Looks at what a crash left, then runs what is due. From a fiber of loop 0. */
must_use int events_start(struct events *e) mayyield;
/* No new runs; waits for those in progress until the deadline. */
void events_stop(struct events *e, int64_t deadline) mayyield;
void events_free(struct events *e);

/* For the function of an ARN, with or without a qualifier. Durable when it returns 0. */
must_use int events_add(struct events *e, str arn, str payload, str client_context, str trace,
	str tenant, str request_id) mayyield;

#endif
