/*
 * SnapStart: a published version's function is initialised once, in an instance of its own, and its
 * process kept as a file; instances of the version go on from that file (runtimes/snapshot), each
 * in a container of its own. A snapshot belongs to one version of one function and is shown to its
 * containers only; the server never looks into it.
 *
 *     publish: version Pending -> snapshot_begin(): an instance runs init and the hooks before the
 *     snapshot, and sends its image to the Runtime API -> a file -> Active
 *     start: snapshot_folder() is mounted, and the restorer maps the image
 *
 * Files do not outlive the server, because they hold for one kernel, one set of programs: after a
 * restart the first instance of a version is initialised in the ordinary way, and a snapshot is
 * made beside it. The same where a function cannot be kept (threads, pipes ...): its instances are
 * initialised, OptimizationStatus is Off, and its log says why.
 *
 * Threading: any loop; the list has a lock, never held over a suspension.
 *
 * Source: Developer Guide, "Improving startup performance with Lambda SnapStart", "Activating and
 * managing Lambda SnapStart", "Implement code before or after Lambda function snapshots".
 */
#ifndef SERVICES_LAMBDA_SNAPSHOT_H
#define SERVICES_LAMBDA_SNAPSHOT_H

#include "base/arena.h"
#include "rt/rt.h"

struct function;
struct http_exchange;
struct instance;
struct lambda_service;
struct snapshots;

/* Where the folder with the image is mounted in a container, and what is run there. */
#define SNAPSHOT_IMAGE   "/var/snapshot/image"
#define SNAPSHOT_RESTORE "/var/runtime/restore"

/* What an instance works for whose process is to be kept. On the stack of the fiber that waits. */
struct snapshot_job {
	struct rt_event done; /* the instance has nothing more to say */
	int rc;               /* 0: kept; ERR_UNSUPPORTED: it cannot be; ERR_FAULT: init failed */
	char type[64], text[256]; /* of the failure */
};

/* Removes what an earlier server left. `data_folder` is absolute. */
must_use int snapshots_open(
	struct rt *rt, const char *data_folder, struct snapshots **ret_snapshots);
void snapshots_close(struct snapshots *s);

/* Makes the version's in the background, once; a version that is Pending comes to an end of it. */
void snapshot_begin(struct lambda_service *s, const struct function *version);
/* True when there is one: its folder, relative to the data folder, in the arena. */
bool snapshot_folder(
	struct snapshots *s, struct arena *a, const struct function *version, str *ret_folder);
/* The function, or with a version at the end of the ARN that version, is deleted. */
void snapshot_forget(struct snapshots *s, str arn) mayyield;

/* Of all files. Any thread. */
uint64_t snapshots_bytes(struct snapshots *s);

/* POST restore/image of the instance's runtime: the image, or nothing when there cannot be one. */
void snapshot_receive(struct http_exchange *x, struct instance *i) mayyield;
/* The instance's init has failed so. */
void snapshot_failed(struct instance *i, str type, str text);
/* It has ended. */
void snapshot_ended(struct instance *i);

#endif
