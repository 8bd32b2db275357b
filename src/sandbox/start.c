/*
 * From a request to a container. Everything of the host that the container may see is resolved and
 * opened here, below the allowed folders and without following a link, and handed to the cell as
 * detached mounts: the cell itself never resolves a path of the host.
 *
 * Hot path of a start: decode, open the trees, write the limits, one message to the cell, one to
 * the worker.
 */
#include "sandbox/books.h"

#include "base/check.h"
#include "base/mem.h"
#include "sandbox/root.h"
#include "sandbox/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>

enum { CONTROL_COUNT = 3 };

static struct waiting *keep(const char *message, size_t n)
{
	struct waiting *w = mem_alloc(sizeof *w + n);

	w->n = n;
	memcpy(w->message, message, n);
	return w;
}

static int read_spec(struct launcher *l, const char *message, size_t n, struct sandbox_error *error)
{
	return wire_take_spec(
		str_of(message + sizeof(struct wire_head), n - sizeof(struct wire_head)), &l->spec,
		error);
}

/* --- mounts --------------------------------------------------------------------------------- */

/* The folder that `path` is relative to, and the rest; -1 when it lies in none. */
static int find_base(struct launcher *l, const struct sandbox_mount *m, const char **ret_rest)
{
	const char *const *roots = l->context.options.runtime_roots;

	if (m->source == SANDBOX_FROM_DATA) {
		*ret_rest = m->path.p;
		return l->data;
	}
	for (unsigned i = 0; roots && roots[i]; i++) {
		size_t n = strlen(roots[i]);

		if (strncmp(m->path.p, roots[i], n) != 0 || (m->path.p[n] && m->path.p[n] != '/'))
			continue;
		*ret_rest = m->path.p[n] ? m->path.p + n + 1 : ".";
		return l->roots[i];
	}
	return -1;
}

/* What the mount names, for looking only: its descriptor, or negative errno. */
static int find_source(struct launcher *l, const struct sandbox_mount *m)
{
	const char *rest;
	int base = find_base(l, m, &rest), at;

	if (base < 0)
		return -EACCES;
	at = sys_openat2(base, rest, O_PATH | O_CLOEXEC,
		RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
	return at < 0 ? -errno : at;
}

/* A detached read-only clone of it: its descriptor, or negative errno. */
static int open_source(struct launcher *l, const struct sandbox_mount *m)
{
	struct mount_attr attributes = {
		.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV};
	cleanup(sys_close_p) int at = find_source(l, m);
	cleanup(sys_close_p) int tree = -1;

	if (at < 0)
		return sys_take(&at);
	tree = open_tree(at, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
	if (tree < 0 || mount_setattr(tree, "", AT_EMPTY_PATH, &attributes, sizeof attributes) != 0)
		return -errno;
	return sys_take(&tree);
}

/*
 * Mounts first to last of the description as one, the last on top: a detached read-only overlay.
 * Their folders are resolved here as those of single mounts are, and named by descriptor.
 */
static int open_union(
	struct launcher *l, const struct sandbox_spec *spec, unsigned first, unsigned last)
{
	char lower[SANDBOX_TREES_MAX * 32] = "";
	cleanup(sys_close_p) int context = fsopen("overlay", FSOPEN_CLOEXEC);
	int at[SANDBOX_TREES_MAX], result = context < 0 ? -errno : 0;
	unsigned n = 0;

	for (unsigned i = last + 1; result == 0 && i-- > first;) {
		at[n] = find_source(l, &spec->mounts[i]);
		if (at[n] < 0) {
			result = at[n];
			break;
		}
		snprintf(lower + strlen(lower), sizeof lower - strlen(lower),
			"%s" ROOT_PROC "/self/fd/%d", n ? ":" : "", at[n]);
		n++;
	}
	if (result == 0 && (fsconfig(context, FSCONFIG_SET_STRING, "lowerdir", lower, 0) != 0 ||
				   fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) != 0))
		result = -errno;
	if (result == 0) {
		result = fsmount(context, FSMOUNT_CLOEXEC,
			MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
		result = result < 0 ? -errno : result;
	}
	sys_close_all(at, n);
	return result;
}

/*
 * The first `count` mounts as a root, under what is ours: an overlay, mounted for a moment where no
 * container sees it (the newer calls take too short a list of folders), and its detached clone.
 */
static int open_image(struct launcher *l, const struct sandbox_spec *spec, unsigned count)
{
	char options[64 + SANDBOX_LAYERS_MAX * 32] = "userxattr,lowerdir=" ROOT_IMAGE;
	int at[SANDBOX_LAYERS_MAX], result = 0;
	unsigned n = 0;

	for (unsigned i = count; result == 0 && i-- > 0;) {
		at[n] = find_source(l, &spec->mounts[i]);
		if (at[n] < 0) {
			result = at[n];
			break;
		}
		snprintf(options + strlen(options), sizeof options - strlen(options),
			":" ROOT_PROC "/self/fd/%d", at[n]);
		n++;
	}
	if (result == 0 && mount("overlay", ROOT_STAGE, "overlay", MS_RDONLY | MS_NOSUID | MS_NODEV,
				   options) != 0)
		result = -errno;
	if (result == 0) {
		result = open_tree(AT_FDCWD, ROOT_STAGE, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
		result = result < 0 ? -errno : result;
		check(umount2(ROOT_STAGE, MNT_DETACH) == 0);
	}
	sys_close_all(at, n);
	return result;
}

/* The first of the mounts that are one with mount i. */
static unsigned union_first(const struct sandbox_spec *spec, unsigned i)
{
	while (wire_mounts_join(spec, i))
		i--;
	return i;
}

/* All but the layers of an image. */
static int open_mounts(
	struct launcher *l, const struct sandbox_spec *spec, uint64_t id, int *ret_trees)
{
	unsigned layers = wire_layer_count(spec);

	for (unsigned i = layers; i < spec->mount_count; i++) {
		int *tree = &ret_trees[i - layers];

		/* Those below a union are mounted too, and hidden by it. */
		*tree = wire_mounts_join(spec, i) && !wire_mounts_join(spec, i + 1)
				? open_union(l, spec, union_first(spec, i), i)
				: open_source(l, &spec->mounts[i]);
		if (*tree >= 0)
			continue;
		launcher_refuse(l, id, ERR_INVALID, "cannot mount %.120s on %.40s: %s",
			spec->mounts[i].path.p, spec->mounts[i].target.p, strerror(-*tree));
		sys_close_all(ret_trees, i - layers);
		return ERR_INVALID;
	}
	return 0;
}

/* The root, and for an image the devices beside it: how many descriptors, or negative errno. */
static int open_root(struct launcher *l, const struct sandbox_spec *spec, int *ret_trees)
{
	unsigned layers = wire_layer_count(spec), flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC;

	if (!layers) {
		ret_trees[0] = open_tree(AT_FDCWD, ROOT_TEMPLATE, flags | (unsigned)AT_RECURSIVE);
		return ret_trees[0] < 0 ? -errno : 1;
	}
	ret_trees[0] = open_image(l, spec, layers);
	if (ret_trees[0] < 0)
		return ret_trees[0];
	ret_trees[1] = open_tree(AT_FDCWD, ROOT_TEMPLATE "/dev", flags | (unsigned)AT_RECURSIVE);
	if (ret_trees[1] < 0) {
		sys_close(&ret_trees[0]);
		return -errno;
	}
	return 2;
}

/* --- starting ------------------------------------------------------------------------------- */

/* What goes to the worker: control files, listeners, pipe ends. The fds are its caller's to close.
 */
static unsigned gather(struct launcher *l, struct cell_entry *e, const int *pipes,
	unsigned pipe_count, int *fds, struct wire_started *ret_started)
{
	static const enum cgroup_controller order[CONTROL_COUNT] = {
		CGROUP_FREEZER, CGROUP_CPU, CGROUP_MEMORY};
	uint8_t has[CONTROL_COUNT];
	unsigned n = 0;

	for (int i = 0; i < CONTROL_COUNT; i++) {
		int fd = cgroups_control(&l->context.cgroups, e->cell, order[i]);

		has[i] = fd >= 0;
		if (fd >= 0)
			fds[n++] = fd;
	}
	*ret_started = (struct wire_started){
		has[0], has[1], has[2], (uint8_t)e->listener_count, (uint8_t)pipe_count};
	for (unsigned i = 0; i < e->listener_count; i++)
		fds[n++] = sys_take(&e->listeners[i]);
	e->listener_count = 0;
	for (unsigned i = 0; i < pipe_count; i++)
		fds[n++] = pipes[i];
	return n;
}

static int make_pipes(unsigned n, int *ret_reading, int *ret_writing)
{
	for (unsigned i = 0; i < n; i++) {
		int pair[2];

		if (pipe2(pair, O_CLOEXEC) != 0 || fcntl(pair[0], F_SETFL, O_NONBLOCK) != 0) {
			sys_close_all(ret_reading, i);
			sys_close_all(ret_writing, i);
			return -errno;
		}
		ret_reading[i] = pair[0];
		ret_writing[i] = pair[1];
	}
	return 0;
}

/* Hands the request on to a ready cell. `fds`: root (and devices), mounts, pipes. */
static int send_go(struct launcher *l, struct cell_entry *e, char *message, size_t n,
	const int *fds, unsigned fd_count)
{
	struct wire_head *head = (struct wire_head *)message;

	head->kind = WIRE_GO;
	head->value = l->context.rootless ? SANDBOX_UID
					  : (int32_t)(l->context.options.uid_first + e->slot);
	return sys_send(e->gate, message, n, fds, fd_count, 0);
}

static struct cell_entry *take_ready(struct launcher *l, uint64_t id)
{
	struct cell_entry *e = list_entry(list_pop_front(&l->ready), struct cell_entry, link);
	unsigned slot = 0;

	while (l->slots[slot])
		slot++;
	l->ready_count--;
	l->running_count++;
	l->slots[slot] = 1;
	e->slot = slot;
	e->state = CELL_RUNNING;
	e->id = id;
	list_push_back(&l->running, &e->link);
	return e;
}

/* A cell is ready. Everything that can be refused is refused before it is touched. */
static void start_in(struct launcher *l, char *message, size_t n)
{
	const struct wire_head head = *(const struct wire_head *)message;
	const struct sandbox_spec *spec = &l->spec.spec;
	int inside[2 + SANDBOX_TREES_MAX + SANDBOX_PIPES_MAX], reading[SANDBOX_PIPES_MAX];
	int outside[CONTROL_COUNT + SANDBOX_LISTENS_MAX + SANDBOX_PIPES_MAX];
	struct sandbox_limits limits;
	struct wire_started started;
	struct cell_entry *e;
	unsigned count;
	int rc = open_root(l, spec, inside);

	if (rc < 0) {
		launcher_refuse(l, head.id, ERR_IO, "cannot open the root: %s", strerror(-rc));
		return;
	}
	count = (unsigned)rc;
	if (open_mounts(l, spec, head.id, inside + count) < 0) {
		sys_close_all(inside, count);
		return;
	}
	count += spec->mount_count - wire_layer_count(spec);
	rc = make_pipes(spec->pipe_count, reading, inside + count);
	if (rc < 0) {
		launcher_refuse(l, head.id, ERR_IO, "cannot make pipes: %s", strerror(-rc));
		sys_close_all(inside, count);
		return;
	}
	count += spec->pipe_count;
	e = take_ready(l, head.id);
	e->pooled = spec->pooled;
	e->has_runtime = spec->argc > 0;
	e->companions = spec->companion_count > 0;
	limits = spec->limits;
	limits.pids = limits.pids ? limits.pids : 1024;
	e->memory_bytes = limits.memory_bytes;
	rc = cgroups_limit(&l->context.cgroups, e->cell, &limits);
	if (rc == 0)
		rc = send_go(l, e, message, n, inside, count);
	sys_close_all(inside, count);
	if (rc < 0) {
		launcher_refuse(l, head.id, ERR_IO, "cannot start: %s", strerror(-rc));
		sys_close_all(reading, spec->pipe_count);
		e->told = true;
		launcher_kill(l, e);
		return;
	}
	count = gather(l, e, reading, spec->pipe_count, outside, &started);
	launcher_tell(l, (struct wire_head){WIRE_STARTED, 0, head.id}, &started, sizeof started,
		outside, count);
	sys_close_all(outside, count);
}

void launcher_start_waiting(struct launcher *l)
{
	while (l->ready_count && l->waiting_count) {
		struct waiting *w = list_entry(list_pop_front(&l->waiting), struct waiting, link);
		struct sandbox_error error;
		int rc = read_spec(l, w->message, w->n, &error);

		check(rc == 0);
		l->waiting_count--;
		start_in(l, w->message, w->n);
		mem_free(w);
	}
}

void launcher_start_container(struct launcher *l, size_t n)
{
	struct wire_head *head = (struct wire_head *)l->message;
	struct sandbox_error error = {""};
	int rc = wire_take_spec(
		str_of(l->message + sizeof *head, n - sizeof *head), &l->spec, &error);

	if (rc < 0) {
		launcher_refuse(l, head->id, rc, "%s", error.text);
	} else if (launcher_find(l, head->id)) {
		launcher_refuse(l, head->id, ERR_EXISTS, "container number in use");
	} else if (l->running_count + l->waiting_count >= l->context.options.containers_max) {
		launcher_refuse(l, head->id, ERR_BUSY, "%u containers at one time are the limit",
			l->context.options.containers_max);
	} else if (l->ready_count && !l->waiting_count) {
		start_in(l, l->message, n);
	} else {
		list_push_back(&l->waiting, &keep(l->message, n)->link);
		l->waiting_count++;
	}
	launcher_order_cells(l);
}

/* --- assigning ------------------------------------------------------------------------------ */

/* Mounts into a container that runs, from outside: its own processes may not. */
static int mount_into(const struct cell_entry *e, const struct sandbox_spec *spec, const int *trees)
{
	cleanup(sys_close_p) int own = open(ROOT_PROC "/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	int rc = 0;

	if (own < 0 || setns(e->mount_namespace, CLONE_NEWNS) != 0)
		return -errno;
	for (unsigned i = 0; rc == 0 && i < spec->mount_count; i++)
		if (move_mount(trees[i], "", AT_FDCWD, spec->mounts[i].target.p,
			    MOVE_MOUNT_F_EMPTY_PATH) != 0)
			rc = -errno;
	/* Without its own namespace back the launcher must not go on. */
	check(setns(own, CLONE_NEWNS) == 0);
	return rc;
}

static void assign_to(struct launcher *l, struct cell_entry *e, const char *message, size_t n)
{
	const struct sandbox_spec *spec = &l->spec.spec;
	int trees[SANDBOX_TREES_MAX], rc;

	if (open_mounts(l, spec, e->id, trees) < 0)
		return;
	e->memory_bytes = spec->limits.memory_bytes;
	rc = mount_into(e, spec, trees);
	sys_close_all(trees, spec->mount_count);
	if (rc == 0)
		rc = cgroups_limit(&l->context.cgroups, e->cell, &spec->limits);
	if (rc == 0)
		rc = sys_send(e->gate, message, n, NULL, 0, 0);
	if (rc < 0)
		launcher_refuse(l, e->id, ERR_IO, "cannot assign: %s", strerror(-rc));
	else
		launcher_tell(l, (struct wire_head){WIRE_ASSIGNED, 0, e->id}, NULL, 0, NULL, 0);
}

void launcher_assign(struct launcher *l, size_t n)
{
	struct wire_head *head = (struct wire_head *)l->message;
	struct cell_entry *e = launcher_find(l, head->id);
	struct sandbox_error error = {""};
	int rc = read_spec(l, l->message, n, &error);

	if (rc < 0) {
		launcher_refuse(l, head->id, rc, "%s", error.text);
	} else if (!e) {
		launcher_refuse(l, head->id, ERR_NOT_FOUND, "the container has ended");
	} else if (!e->pooled || e->assigned) {
		launcher_refuse(l, head->id, ERR_INVALID, "the container is assigned already");
	} else if (wire_layer_count(&l->spec.spec)) {
		launcher_refuse(l, head->id, ERR_INVALID, "an image has no pooled container");
	} else if (!e->has_runtime && !l->spec.spec.argc) {
		launcher_refuse(l, head->id, ERR_INVALID, "no program to run");
	} else {
		e->assigned = true;
		if (e->booted)
			assign_to(l, e, l->message, n);
		else
			e->assignment = keep(l->message, n);
	}
}

void launcher_booted(struct launcher *l, struct cell_entry *e)
{
	struct waiting *w = e->assignment;
	struct sandbox_error error;

	e->booted = true;
	e->assignment = NULL;
	if (!w)
		return;
	check(read_spec(l, w->message, w->n, &error) == 0);
	assign_to(l, e, w->message, w->n);
	mem_free(w);
}
