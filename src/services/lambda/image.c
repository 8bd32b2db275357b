/*
 * Reading documents of images, strictly: see image.h.
 */
#include "services/lambda/image.h"

#include "base/buf.h"
#include "base/check.h"
#include "base/hash.h"
#include "base/json.h"

#include <stdarg.h>
#include <stdio.h>

enum { DEPTH = 16, REPOSITORY_CHARS = 256, TAG_CHARS = 128, TAR_HEAD = 512 };

printf_like(3, 4) static int refuse(struct sandbox_error *error, int rc, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(error->text, sizeof(error->text), format, args);
	va_end(args);
	return rc;
}

/* ---- names ---- */

static bool is_name(str s, size_t max, bool slashes)
{
	str part, rest = s;

	if (!s.n || s.n > max)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
			    c == '.' || c == '_' || c == '-' || (slashes && c == '/')))
			return false;
	}
	while (str_split(&rest, '/', &part))
		if (!part.n || part.p[0] == '.')
			return false;
	return s.p[s.n - 1] != '/';
}

int image_uri_parse(str uri, struct image_uri *ret_uri)
{
	ptrdiff_t slash = str_find(uri, '/'), colon;
	struct image_uri u = {.tag = STR("latest")};
	str rest;

	if (slash <= 0)
		return ERR_INVALID;
	u.host = str_sub(uri, 0, (size_t)slash + 1);
	rest = str_from(uri, (size_t)slash + 1);
	if (str_find(u.host, '.') <= 0)
		return ERR_INVALID;
	colon = str_find(rest, ':');
	u.repository = colon >= 0 ? str_sub(rest, 0, (size_t)colon) : rest;
	if (colon >= 0)
		u.tag = str_from(rest, (size_t)colon + 1);
	if (!is_name(u.repository, REPOSITORY_CHARS, true) || !is_name(u.tag, TAG_CHARS, false))
		return ERR_INVALID;
	*ret_uri = u;
	return 0;
}

/* "sha256:..." to its 64 digits; STR_NULL: nothing of the kind. */
static str digest_of(const struct json_value *v)
{
	str text = json_text(v), hex = str_from(text, MIN(text.n, (size_t)7));
	uint8_t bytes[SHA256_BYTES];

	if (!str_starts(text, STR("sha256:")) || hex.n != IMAGE_DIGEST_HEX ||
		hex_decode(hex, bytes) < 0)
		return STR_NULL;
	return hex;
}

str image_tree_name(struct arena *a, str digest)
{
	char *text = arena_bytes(a, IMAGE_DIGEST_HEX);
	uint8_t bytes[SHA256_BYTES];

	sha256_of(ARENA_CONCAT(a, STR("layer of an image "), digest), bytes);
	hex_encode(bytes, sizeof(bytes), text);
	return str_of(text, IMAGE_DIGEST_HEX);
}

/* ---- documents ---- */

static int parse(struct arena *a, str text, const char *what, struct json_value **ret_value,
	struct sandbox_error *error)
{
	size_t offset = 0;

	if (text.n > IMAGE_DOCUMENT_BYTES_MAX)
		return refuse(error, ERR_TOO_LARGE, "the %s is larger than %d bytes", what,
			IMAGE_DOCUMENT_BYTES_MAX);
	if (json_parse(a, text, DEPTH, ret_value, &offset) < 0)
		return refuse(error, ERR_INVALID, "the %s is not JSON (at byte %zu)", what, offset);
	return 0;
}

static bool is_index(const struct json_value *v)
{
	str type = json_text(json_get(v, STR("mediaType")));

	return str_eq(type, STR("application/vnd.oci.image.index.v1+json")) ||
	       str_eq(type, STR("application/vnd.docker.distribution.manifest.list.v2+json"));
}

int image_index(struct arena *a, str text, str architecture, str *ret_digest, bool *ret_index,
	struct sandbox_error *error)
{
	const struct json_value *list, *item, *platform;
	struct json_value *index;
	str machine, os;

	TRY(parse(a, text, "image's index", &index, error));
	list = json_get(index, STR("manifests"));
	for (size_t i = 0; (item = json_at(list, i)); i++) {
		platform = json_get(item, STR("platform"));
		machine = json_text(json_get(platform, STR("architecture")));
		os = json_text(json_get(platform, STR("os")));
		/* Without a platform its configuration tells. Attestations are of "unknown". */
		if ((machine.n && !str_eq(machine, architecture)) ||
			(os.n && !str_eq(os, STR("linux"))))
			continue;
		*ret_digest = digest_of(json_get(item, STR("digest")));
		*ret_index = is_index(item);
		if (!ret_digest->p)
			return refuse(error, ERR_INVALID, "the image's index names no sha256");
		return 0;
	}
	return refuse(error, ERR_NOT_FOUND, "the image has no manifest for linux/%.*s",
		STR_ARG(architecture));
}

static int too_many(struct sandbox_error *error)
{
	return refuse(
		error, ERR_TOO_LARGE, "the image has more than %d layers", SANDBOX_LAYERS_MAX);
}

int image_manifest(
	struct arena *a, str text, struct image_parts *ret_parts, struct sandbox_error *error)
{
	struct image_parts parts = {.layer_count = 0};
	const struct json_value *item, *layers;
	struct json_value *manifest;

	TRY(parse(a, text, "image's manifest", &manifest, error));
	parts.config = digest_of(json_get_path(manifest, STR("config.digest")));
	layers = json_get(manifest, STR("layers"));
	if (!parts.config.p || !layers || layers->kind != JSON_ARRAY)
		return refuse(error, ERR_INVALID, "the image's manifest has no config or layers");
	for (size_t i = 0; (item = json_at(layers, i)); i++) {
		if (i == SANDBOX_LAYERS_MAX)
			return too_many(error);
		parts.layers[i] = digest_of(json_get(item, STR("digest")));
		if (!parts.layers[i].p)
			return refuse(error, ERR_INVALID, "layer %zu has no sha256 digest", i);
		parts.layer_count++;
	}
	*ret_parts = parts;
	return 0;
}

int image_docker(
	struct arena *a, str text, struct image_parts *ret_parts, struct sandbox_error *error)
{
	struct image_parts parts = {.layer_count = 0};
	const struct json_value *image, *layers, *item;
	struct json_value *list;

	TRY(parse(a, text, "manifest.json", &list, error));
	image = json_at(list, 0);
	parts.config = json_text(json_get(image, STR("Config")));
	layers = json_get(image, STR("Layers"));
	if (!parts.config.n || !layers || layers->kind != JSON_ARRAY)
		return refuse(error, ERR_INVALID, "manifest.json names no Config or Layers");
	if (json_at(list, 1))
		return refuse(error, ERR_INVALID,
			"the archive holds more than one image; save one at a time");
	for (size_t i = 0; (item = json_at(layers, i)); i++) {
		if (i == SANDBOX_LAYERS_MAX)
			return too_many(error);
		parts.layers[i] = json_text(item);
		if (!parts.layers[i].n)
			return refuse(error, ERR_INVALID, "layer %zu has no name", i);
		parts.layer_count++;
	}
	*ret_parts = parts;
	return 0;
}

/* A list of strings without NUL; null and absence are an empty one. */
static int strings(struct arena *a, const struct json_value *v, const char *what,
	struct image_strings *ret_strings, struct sandbox_error *error)
{
	struct image_strings s = {NULL, 0};

	if (v && v->kind != JSON_NULL) {
		if (v->kind != JSON_ARRAY || v->count > IMAGE_STRINGS_MAX)
			return refuse(error, ERR_INVALID, "%s is not a list of at most %d", what,
				IMAGE_STRINGS_MAX);
		s.items = arena_new_array(a, str, v->count + 1);
		for (; s.count < v->count; s.count++) {
			s.items[s.count] = json_text(json_at(v, s.count));
			if (!s.items[s.count].p || str_find(s.items[s.count], 0) >= 0)
				return refuse(error, ERR_INVALID, "%s holds what is no text", what);
		}
	}
	*ret_strings = s;
	return 0;
}

int image_config(
	struct arena *a, str text, struct image_config *ret_config, struct sandbox_error *error)
{
	const struct json_value *run, *layers, *item;
	struct image_config c = {.layer_count = 0};
	struct json_value *v;

	TRY(parse(a, text, "image's configuration", &v, error));
	c.architecture = json_text(json_get(v, STR("architecture")));
	c.os = json_text(json_get(v, STR("os")));
	run = json_get(v, STR("config"));
	c.working_folder = json_text(json_get(run, STR("WorkingDir")));
	if (c.working_folder.n &&
		(c.working_folder.p[0] != '/' || str_find(c.working_folder, 0) >= 0))
		return refuse(error, ERR_INVALID, "WorkingDir is not an absolute path");
	TRY(strings(a, json_get(run, STR("Entrypoint")), "Entrypoint", &c.entry_point, error));
	TRY(strings(a, json_get(run, STR("Cmd")), "Cmd", &c.command, error));
	TRY(strings(a, json_get(run, STR("Env")), "Env", &c.environment, error));
	for (uint32_t i = 0; i < c.environment.count; i++)
		if (str_find(c.environment.items[i], '=') <= 0)
			return refuse(error, ERR_INVALID, "Env holds what is not NAME=VALUE");
	layers = json_get_path(v, STR("rootfs.diff_ids"));
	for (size_t i = 0; (item = json_at(layers, i)); i++) {
		if (i == SANDBOX_LAYERS_MAX)
			return too_many(error);
		c.layers[i] = digest_of(item);
		if (!c.layers[i].p)
			return refuse(error, ERR_INVALID, "rootfs.diff_ids holds no sha256");
		c.layer_count++;
	}
	*ret_config = c;
	return 0;
}

/* ---- tar ---- */

/* Octal digits with spaces or NULs around. False: something else, or too large. */
static bool octal(str text, uint64_t *ret_value)
{
	uint64_t v = 0;
	size_t i = 0;

	while (i < text.n && text.p[i] == ' ')
		i++;
	for (; i < text.n && text.p[i] >= '0' && text.p[i] <= '7'; i++)
		v = v << 3 | (uint64_t)(text.p[i] - '0');
	if (i < text.n && text.p[i] && text.p[i] != ' ')
		return false;
	*ret_value = v;
	return true;
}

static str until_nul(str field)
{
	ptrdiff_t end = str_find(field, 0);

	return end < 0 ? field : str_sub(field, 0, (size_t)end);
}

int image_tar_header(struct arena *a, str head, struct image_tar_entry *ret_entry)
{
	uint64_t sum = 0, wanted;
	str name, prefix;

	check(head.n == TAR_HEAD);
	for (size_t i = 0; i < head.n; i++)
		sum += i >= 148 && i < 156 ? ' ' : (unsigned char)head.p[i];
	if (sum == 8 * ' ')
		return 0;
	if (!octal(str_sub(head, 148, 8), &wanted) || sum != wanted ||
		!octal(str_sub(head, 124, 12), &ret_entry->bytes))
		return ERR_INVALID;
	name = until_nul(str_sub(head, 0, 100));
	prefix = str_starts(str_sub(head, 257, 6), STR("ustar\0"))
			 ? until_nul(str_sub(head, 345, 155))
			 : STR("");
	if (str_starts(name, STR("./")))
		name = str_from(name, 2);
	ret_entry->name = prefix.n ? ARENA_CONCAT(a, prefix, STR("/"), name) : arena_str(a, name);
	ret_entry->file = head.p[156] == '0' || head.p[156] == 0;
	return 1;
}

/* ---- the function's part ---- */

static void put_strings(struct json_writer *w, str key, const struct image_strings *s)
{
	json_put_key(w, key);
	json_put_array_begin(w);
	for (uint32_t i = 0; i < s->count; i++)
		json_put_string(w, s->items[i]);
	json_put_array_end(w);
}

str image_encode(struct arena *a, const struct function_image *image)
{
	const struct image_strings trees = {(str *)(uintptr_t)image->trees, image->tree_count};
	struct json_writer w;
	struct buf b;

	buf_init(&b, a, IMAGE_DOCUMENT_BYTES_MAX);
	json_writer_init(&w, &b);
	json_put_object_begin(&w);
	json_put_key_string(&w, STR("uri"), image->uri);
	json_put_key_string(&w, STR("resolved"), image->resolved);
	json_put_key_string(
		&w, STR("folder"), image->working_folder.p ? image->working_folder : STR(""));
	put_strings(&w, STR("trees"), &trees);
	put_strings(&w, STR("entry"), &image->entry_point);
	put_strings(&w, STR("command"), &image->command);
	put_strings(&w, STR("environment"), &image->environment);
	json_put_object_end(&w);
	return b.over ? STR_NULL : buf_str(&b);
}

int image_decode(struct arena *a, str text, struct function_image *ret_image)
{
	struct function_image image = {.tree_count = 0};
	struct sandbox_error error;
	struct image_strings trees;
	struct json_value *v;

	if (parse(a, text, "image", &v, &error) < 0 ||
		strings(a, json_get(v, STR("trees")), "trees", &trees, &error) < 0 ||
		strings(a, json_get(v, STR("entry")), "entry", &image.entry_point, &error) < 0 ||
		strings(a, json_get(v, STR("command")), "command", &image.command, &error) < 0 ||
		strings(a, json_get(v, STR("environment")), "environment", &image.environment,
			&error) < 0)
		return ERR_CORRUPT;
	image.uri = json_text(json_get(v, STR("uri")));
	image.resolved = json_text(json_get(v, STR("resolved")));
	image.working_folder = json_text(json_get(v, STR("folder")));
	if (!image.uri.n || !image.resolved.n || trees.count > SANDBOX_LAYERS_MAX || !trees.count)
		return ERR_CORRUPT;
	for (; image.tree_count < trees.count; image.tree_count++) {
		image.trees[image.tree_count] = trees.items[image.tree_count];
		if (trees.items[image.tree_count].n != IMAGE_DIGEST_HEX)
			return ERR_CORRUPT;
	}
	*ret_image = image;
	return 0;
}

static void take_strings(struct arena *a, const struct value *list, struct image_strings *to)
{
	if (!list)
		return;
	to->items = arena_new_array(a, str, value_count(list) + 1);
	to->count = 0;
	for (; to->count < value_count(list); to->count++)
		to->items[to->count] = value_text(value_at(list, to->count));
}

void image_override(struct arena *a, const struct value *config, struct function_image *image)
{
	const struct value *entry = config ? value_get(config, "EntryPoint") : NULL;
	const struct value *command = config ? value_get(config, "Command") : NULL;

	/* As with other engines, an entry point of one's own leaves the image's command out. */
	if (value_count(entry)) {
		take_strings(a, entry, &image->entry_point);
		image->command.count = 0;
	}
	if (value_count(command))
		take_strings(a, command, &image->command);
	if (config && value_str(config, "WorkingDirectory").n)
		image->working_folder = value_str(config, "WorkingDirectory");
}
