/*
 * Members that describe an object, in requests and answers (service.h).
 */
#include "services/s3/checksum.h"
#include "services/s3/service.h"

/* ---- what is not supported is refused by name ---- */

static bool is_listed(const char *const *supported, str name)
{
	static const char *const always[] = {
		"Bucket", "Key", "ExpectedBucketOwner", "RequestPayer"};

	for (size_t i = 0; i < ARRAY_SIZE(always); i++)
		if (str_eq(str_c(always[i]), name))
			return true;
	for (; *supported; supported++)
		if (str_eq(str_c(*supported), name))
			return true;
	return false;
}

int s3_members_check(struct call *c, const char *const *supported)
{
	const struct model *m = c->service->model;
	const struct model_member *member = &m->members[m->shapes[c->in->shape].first];

	for (unsigned i = 0; i < c->in->n; i++, member++) {
		str wire = model_str(m, member->wire);

		if (!c->in->items[i].kind || is_listed(supported, model_str(m, member->name)))
			continue;
		return s3_fault(c, NOT_IMPLEMENTED,
			"A %s you provided implies functionality that is not implemented: %.*s",
			member->location == LOCATION_QUERY    ? "parameter"
			: member->location == LOCATION_HEADER ? "header"
							      : "element",
			STR_ARG(wire));
	}
	return 0;
}

/* Storage class and ACL, of which one value each is what every object here has. */
static int check_fixed(struct call *c)
{
	str class = value_str(c->in, "StorageClass"), acl = value_str(c->in, "ACL");

	if (class.p && !str_eq(class, STR("STANDARD")))
		return s3_fault(c, NOT_IMPLEMENTED,
			"A header you provided implies functionality that is not implemented: "
			"x-amz-storage-class: %.*s",
			STR_ARG(class));
	if (acl.p && !str_eq(acl, STR("bucket-owner-full-control")))
		return s3_fault(c, ACL_NOT_SUPPORTED,
			"The bucket does not allow ACLs: x-amz-acl: %.*s", STR_ARG(acl));
	return 0;
}

/* ---- reading ---- */

/* aws-chunked is the way, not the object. */
static str without_chunked(struct arena *a, str encodings)
{
	struct buf kept;
	str part;

	buf_init(&kept, a, encodings.n);
	while (str_split(&encodings, ',', &part)) {
		part = str_trim(part);
		if (part.n == 0 || str_eq_nocase(part, STR("aws-chunked")))
			continue;
		if (kept.n)
			buf_put_char(&kept, ',');
		buf_put(&kept, part);
	}
	return kept.n ? buf_str(&kept) : STR_NULL;
}

static str lower(struct arena *a, str s)
{
	char *text = arena_bytes(a, s.n);

	for (size_t i = 0; i < s.n; i++)
		text[i] = (char)(s.p[i] >= 'A' && s.p[i] <= 'Z' ? s.p[i] | 0x20 : s.p[i]);
	return str_of(text, s.n);
}

/* Links have them in their query string, where anything can stand. */
int s3_header_check(struct call *c, str value)
{
	for (size_t i = 0; i < value.n; i++) {
		unsigned char at = (unsigned char)value.p[i];

		if ((at < ' ' && at != '\t') || at == 0x7f)
			return s3_fault(c, INVALID_ARGUMENT,
				"Header value cannot be represented using ISO-8859-1.");
	}
	return 0;
}

static int check_name(struct call *c, str name)
{
	for (size_t i = 0; i < name.n; i++)
		if (!(name.p[i] > ' ' && name.p[i] < 0x7f) ||
			memchr("\"(),/:;<=>?@[\\]{}", name.p[i], 17))
			return s3_fault(c, INVALID_ARGUMENT,
				"The name of a header x-amz-meta- is not one: %.*s",
				(int)MIN(name.n, (size_t)128), name.p);
	return 0;
}

static int check_values(struct call *c, const struct s3_headers *h)
{
	const str values[] = {h->content_type, h->cache_control, h->content_disposition,
		h->content_encoding, h->content_language, h->expires};

	for (size_t i = 0; i < ARRAY_SIZE(values); i++)
		TRY(s3_header_check(c, values[i]));
	for (uint32_t i = 0; i < h->metadata_count; i++) {
		TRY(check_name(c, h->metadata[i].name));
		TRY(s3_header_check(c, h->metadata[i].value));
	}
	return 0;
}

/* The names are sent as headers; twice the same name is one, joined, as HTTP has it. */
static int read_metadata(struct call *c, struct s3_headers *h)
{
	const struct value *map = value_get(c->in, "Metadata");
	size_t bytes = 0;

	h->metadata = arena_new_array(c->arena, struct s3_pair, value_count(map));
	for (uint32_t i = 0; i < value_count(map); i++) {
		struct s3_pair pair = {
			lower(c->arena, value_key(map, i)), value_text(value_of(map, i))};
		uint32_t at = 0;

		while (at < h->metadata_count && !str_eq(h->metadata[at].name, pair.name))
			at++;
		bytes += pair.value.n;
		if (at < h->metadata_count) {
			h->metadata[at].value =
				ARENA_CONCAT(c->arena, h->metadata[at].value, STR(","), pair.value);
			continue;
		}
		bytes += pair.name.n;
		h->metadata[h->metadata_count++] = pair;
	}
	if (bytes > S3_LIMIT_METADATA_BYTES)
		return s3_fault(c, METADATA_TOO_LARGE,
			"Your metadata headers exceed the maximum allowed metadata size: %zu "
			"bytes, %d are allowed",
			bytes, (int)S3_LIMIT_METADATA_BYTES);
	return 0;
}

int s3_headers_read(struct call *c, struct s3_headers *ret)
{
	struct s3_headers h = {
		.content_type = value_str(c->in, "ContentType"),
		.cache_control = value_str(c->in, "CacheControl"),
		.content_disposition = value_str(c->in, "ContentDisposition"),
		.content_encoding = without_chunked(c->arena, value_str(c->in, "ContentEncoding")),
		.content_language = value_str(c->in, "ContentLanguage"),
		.expires = value_str(c->in, "Expires"),
	};

	TRY(check_fixed(c));
	TRY(read_metadata(c, &h));
	TRY(check_values(c, &h));
	if (!h.content_type.n)
		h.content_type = STR("binary/octet-stream");
	*ret = h;
	return 0;
}

/* ---- writing ---- */

str s3_quoted(struct arena *a, str etag)
{
	return ARENA_CONCAT(a, STR("\""), etag, STR("\""));
}

void s3_checksum_write(struct value *to, const struct s3_checksum *sum)
{
	if (sum->algorithm == S3_SUM_NONE || !sum->value.p)
		return;
	value_put_str(to, s3_algorithms[sum->algorithm].member, sum->value);
	value_put_str(to, "ChecksumType",
		sum->type == S3_SUM_FULL ? STR("FULL_OBJECT") : STR("COMPOSITE"));
}

void s3_headers_write(struct call *c, const struct s3_object *o)
{
	const struct s3_headers *h = &o->headers;
	struct value *metadata;

	value_put_str(c->out, "ETag", s3_quoted(c->arena, o->etag));
	value_put_time_ms(c->out, "LastModified", o->modified_ms);
	value_put_str(c->out, "AcceptRanges", STR("bytes"));
	value_put_str(c->out, "ContentType", h->content_type);
	value_put_str(c->out, "CacheControl", h->cache_control);
	value_put_str(c->out, "ContentDisposition", h->content_disposition);
	value_put_str(c->out, "ContentEncoding", h->content_encoding);
	value_put_str(c->out, "ContentLanguage", h->content_language);
	value_put_str(c->out, "Expires", h->expires);
	if (!h->metadata_count)
		return;
	metadata = value_put_map(c->out, "Metadata");
	for (uint32_t i = 0; i < h->metadata_count; i++)
		value_map_put_str(metadata, h->metadata[i].name, h->metadata[i].value);
}
