/*
 * Encoding and decoding of container descriptions. The decoder is the launcher's first line of
 * defence (fuzzed by test/sandbox/fuzz_wire.c): every count, length and value is checked.
 */
#include "sandbox/wire.h"

#include <stdarg.h>
#include <stdio.h>

static const str targets[] = {STR_INIT("/var/task"), STR_INIT("/var/runtime"),
	STR_INIT("/var/runtime/node_modules"), STR_INIT("/var/lang"), STR_INIT("/var/snapshot"),
	STR_INIT("/opt")};

bool wire_mounts_join(const struct sandbox_spec *spec, unsigned i)
{
	return i > 0 && i < spec->mount_count && str_eq(spec->mounts[i].target, STR("/opt")) &&
	       str_eq(spec->mounts[i - 1].target, STR("/opt"));
}

unsigned wire_layer_count(const struct sandbox_spec *spec)
{
	unsigned n = 0;

	while (n < spec->mount_count && str_eq(spec->mounts[n].target, STR("/")))
		n++;
	return n;
}

bool wire_target_ok(str target)
{
	for (size_t i = 0; i < ARRAY_SIZE(targets); i++)
		if (str_eq(target, targets[i]))
			return true;
	return false;
}

printf_like(2, 3) static int refuse(struct sandbox_error *error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(error->text, sizeof error->text, format, args);
	va_end(args);
	return ERR_INVALID;
}

static void put_u32(struct buf *to, uint32_t v)
{
	buf_put(to, str_of(&v, sizeof v));
}

/* Length, bytes, NUL. */
static int put_string(struct buf *to, str s, const char *what, struct sandbox_error *error)
{
	if (s.n && memchr(s.p, 0, s.n))
		return refuse(error, "%s holds a NUL byte", what);
	put_u32(to, (uint32_t)s.n);
	buf_put(to, s);
	buf_put_char(to, 0);
	return 0;
}

static int put_strings(
	struct buf *to, const str *list, unsigned n, const char *what, struct sandbox_error *error)
{
	put_u32(to, n);
	for (unsigned i = 0; i < n; i++)
		TRY(put_string(to, list[i], what, error));
	return 0;
}

int wire_put_spec(struct buf *to, const struct sandbox_spec *spec, struct sandbox_error *error)
{
	if (spec->mount_count > SANDBOX_MOUNTS_MAX)
		return refuse(
			error, "%u mounts; at most %d", spec->mount_count, SANDBOX_MOUNTS_MAX);
	if (spec->pipe_count > SANDBOX_PIPES_MAX)
		return refuse(error, "%u pipes; at most %d", spec->pipe_count, SANDBOX_PIPES_MAX);
	if (spec->companion_count > SANDBOX_COMPANIONS_MAX)
		return refuse(error, "%u companions; at most %d", spec->companion_count,
			SANDBOX_COMPANIONS_MAX);
	if (spec->argc > SANDBOX_STRINGS_MAX ||
		spec->environment_count + spec->companion_count > SANDBOX_STRINGS_MAX - spec->argc)
		return refuse(error,
			"%u arguments, %u variables and %u companions; at most %d together",
			spec->argc, spec->environment_count, spec->companion_count,
			SANDBOX_STRINGS_MAX);
	buf_put(to, str_of(&spec->limits, sizeof spec->limits));
	put_u32(to, spec->pooled);
	put_u32(to, spec->pipe_count);
	for (unsigned i = 0; i < spec->pipe_count; i++)
		put_u32(to, spec->pipes[i]);
	put_u32(to, spec->mount_count);
	for (unsigned i = 0; i < spec->mount_count; i++) {
		put_u32(to, spec->mounts[i].source);
		TRY(put_string(to, spec->mounts[i].path, "a mount's path", error));
		TRY(put_string(to, spec->mounts[i].target, "a mount's target", error));
	}
	TRY(put_strings(to, spec->argv, spec->argc, "an argument", error));
	TRY(put_strings(
		to, spec->environment, spec->environment_count, "an environment variable", error));
	TRY(put_strings(to, spec->companions, spec->companion_count, "a companion", error));
	TRY(put_string(to, spec->working_folder, "the working folder", error));
	if (to->over) {
		snprintf(error->text, sizeof error->text,
			"arguments, environment and mounts take more than %d bytes", WIRE_BODY_MAX);
		return ERR_TOO_LARGE;
	}
	return 0;
}

static bool take(str *in, void *to, size_t n)
{
	str part;

	if (!str_take(in, n, &part))
		return false;
	memcpy(to, part.p, n);
	return true;
}

static bool take_u32(str *in, uint32_t max, uint32_t *ret_value)
{
	uint32_t v;

	if (!take(in, &v, sizeof v) || v > max)
		return false;
	*ret_value = v;
	return true;
}

static bool take_string(str *in, str *ret_string)
{
	uint32_t n;
	str part;

	if (!take_u32(in, WIRE_BODY_MAX, &n) || !str_take(in, (size_t)n + 1, &part))
		return false;
	if (memchr(part.p, 0, part.n) != part.p + n)
		return false;
	*ret_string = str_of(part.p, n);
	return true;
}

static bool take_strings(str *in, str *list, uint32_t max, uint32_t *ret_count)
{
	uint32_t n;

	if (!take_u32(in, max, &n))
		return false;
	for (uint32_t i = 0; i < n; i++)
		if (!take_string(in, &list[i]))
			return false;
	*ret_count = n;
	return true;
}

static bool take_all(str in, struct wire_spec *to)
{
	struct sandbox_spec *spec = &to->spec;
	uint32_t pooled, n;

	if (!take(&in, &spec->limits, sizeof spec->limits) || !take_u32(&in, 1, &pooled) ||
		!take_u32(&in, SANDBOX_PIPES_MAX, &n))
		return false;
	spec->pooled = pooled;
	spec->pipe_count = n;
	for (unsigned i = 0; i < spec->pipe_count; i++) {
		if (!take_u32(&in, UINT8_MAX, &n))
			return false;
		spec->pipes[i] = (uint8_t)n;
	}
	if (!take_u32(&in, SANDBOX_MOUNTS_MAX, &n))
		return false;
	spec->mounts = to->mounts;
	spec->mount_count = n;
	for (unsigned i = 0; i < spec->mount_count; i++) {
		if (!take_u32(&in, SANDBOX_FROM_RUNTIME, &n) ||
			!take_string(&in, &to->mounts[i].path) ||
			!take_string(&in, &to->mounts[i].target))
			return false;
		to->mounts[i].source = (enum sandbox_source)n;
	}
	if (!take_strings(&in, to->strings, SANDBOX_STRINGS_MAX, &n))
		return false;
	spec->argv = to->strings;
	spec->argc = n;
	if (!take_strings(&in, to->strings + spec->argc, SANDBOX_STRINGS_MAX - spec->argc, &n))
		return false;
	spec->environment = to->strings + spec->argc;
	spec->environment_count = n;
	spec->companions = spec->environment + n;
	n = SANDBOX_STRINGS_MAX - spec->argc - n;
	if (!take_strings(&in, to->strings + SANDBOX_STRINGS_MAX - n,
		    MIN(n, (uint32_t)SANDBOX_COMPANIONS_MAX), &n))
		return false;
	spec->companion_count = n;
	return take_string(&in, &spec->working_folder) && in.n == 0;
}

int wire_take_spec(str body, struct wire_spec *ret_spec, struct sandbox_error *error)
{
	struct sandbox_spec *spec = &ret_spec->spec;

	if (!take_all(body, ret_spec))
		return refuse(error, "malformed description");
	for (unsigned i = 0; i < spec->pipe_count; i++) {
		if (spec->pipes[i] < 1 || (spec->pipes[i] >= 3 && spec->pipes[i] < 10) ||
			spec->pipes[i] > 100)
			return refuse(error, "a pipe on descriptor %u; 1, 2 or 10 to 100",
				spec->pipes[i]);
		for (unsigned j = 0; j < i; j++)
			if (spec->pipes[i] == spec->pipes[j])
				return refuse(error, "two pipes on descriptor %u", spec->pipes[i]);
	}
	if (wire_layer_count(spec) > SANDBOX_LAYERS_MAX)
		return refuse(error, "more than %d layers of an image", SANDBOX_LAYERS_MAX);
	if (spec->mount_count - wire_layer_count(spec) > SANDBOX_TREES_MAX)
		return refuse(error, "more than %d mounts", SANDBOX_TREES_MAX);
	if (wire_layer_count(spec) && spec->pooled)
		return refuse(error, "an image has no pooled container");
	for (unsigned i = wire_layer_count(spec); i < spec->mount_count; i++) {
		str target = spec->mounts[i].target;

		if (!wire_target_ok(target))
			return refuse(
				error, "no mount point %.*s", STR_ARG(str_sub(target, 0, 100)));
		for (unsigned j = 0; j < i; j++)
			if (str_eq(target, spec->mounts[j].target) && !wire_mounts_join(spec, i))
				return refuse(error, "two mounts on %.*s", STR_ARG(target));
	}
	for (unsigned i = 0; i < spec->companion_count; i++)
		if (!str_starts(spec->companions[i], STR("/")))
			return refuse(error, "companion %u is not an absolute path", i);
	if (!spec->pooled && !spec->argc)
		return refuse(error, "no program to run");
	if (spec->argc &&
		(!spec->argv[0].n || (spec->argv[0].p[0] != '/' && !wire_layer_count(spec))))
		return refuse(error, "the program's path is not absolute");
	if (spec->working_folder.n && spec->working_folder.p[0] != '/')
		return refuse(error, "the working folder's path is not absolute");
	for (unsigned i = 0; i < spec->environment_count; i++)
		if (str_find(spec->environment[i], '=') <= 0)
			return refuse(error, "environment entry %u is not NAME=VALUE", i);
	return 0;
}
