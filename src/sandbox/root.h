/*
 * The launcher's own view of the file system, and the root that containers get.
 *
 * root_build() leaves the calling process in a private mount namespace of a few mounts, because
 * what a new mount namespace costs grows with the mounts it copies. Everything else of the host is
 * gone from it. Its folders: */
#ifndef SANDBOX_ROOT_H
#define SANDBOX_ROOT_H

#include "sandbox/launcher.h"

#define ROOT_DATA       "/data"       /* the data folder */
#define ROOT_ROOTS      "/roots"      /* 0, 1, ...: the runtime roots */
#define ROOT_TEMPLATE   "/template"   /* what a container's root is a clone of */
#define ROOT_IMAGE      "/image"      /* what lies on top of every image */
#define ROOT_STAGE      "/stage/root" /* where a cell puts its root before it pivots */
#define ROOT_STAGE_PROC "/stage/proc"
#define ROOT_PROC       "/proc"       /* the host's */
#define ROOT_NO_FILE    "/empty/file" /* to hide files behind */
#define ROOT_NO_FOLDER  "/empty/folder"

/* 0, or negative errno with the step that failed in `error`. */
must_use int root_build(const struct launcher_options *options, struct sandbox_error *error);

#endif
