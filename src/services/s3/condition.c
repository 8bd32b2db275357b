/*
 * See condition.h.
 */
#include "services/s3/condition.h"

#include "base/rc.h"

static str unquoted(str s)
{
	if (str_starts(s, STR("W/")))
		s = str_from(s, 2);
	if (s.n >= 2 && s.p[0] == '"' && s.p[s.n - 1] == '"')
		return str_sub(s, 1, s.n - 2);
	return s;
}

bool s3_etag_is(str given, str etag)
{
	return str_eq(unquoted(str_trim(given)), etag);
}

bool s3_etag_matches(str list, str etag)
{
	str part;

	while (str_split(&list, ',', &part)) {
		if (str_eq(str_trim(part), STR("*")) || s3_etag_is(part, etag))
			return true;
	}
	return false;
}

/* HTTP dates have seconds. */
static int64_t seconds_of(int64_t ms)
{
	return ms / 1000;
}

enum s3_verdict s3_conditions_check(const struct s3_conditions *c, str etag, int64_t modified_ms)
{
	int64_t modified = seconds_of(modified_ms);

	if (c->if_match.p) {
		if (!s3_etag_matches(c->if_match, etag))
			return S3_FAILED;
	} else if (c->has_unmodified_since && modified > seconds_of(c->unmodified_since_ms)) {
		return S3_FAILED;
	}
	if (c->if_none_match.p)
		return s3_etag_matches(c->if_none_match, etag) ? S3_NOT_MODIFIED : S3_GO_ON;
	if (c->has_modified_since && modified <= seconds_of(c->modified_since_ms))
		return S3_NOT_MODIFIED;
	return S3_GO_ON;
}

/* Digits beyond what a body can have mean "to the end". */
static int number(str s, uint64_t *ret)
{
	int rc = s.n == 0 ? ERR_SYNTAX : str_to_u64(s, INT64_MAX, ret);

	if (rc == ERR_RANGE)
		*ret = INT64_MAX;
	return rc == ERR_RANGE ? 0 : rc;
}

enum s3_range_kind s3_range_parse(str range, uint64_t bytes, uint64_t *ret_from, uint64_t *ret_n)
{
	str first;
	uint64_t from, to = bytes - 1;
	ptrdiff_t dash = str_find(range, '-');

	if (!str_starts(range, STR("bytes=")) || dash < 0)
		return S3_RANGE_ALL;
	first = str_sub(range, 6, (size_t)dash - 6);
	range = str_from(range, (size_t)dash + 1);
	if (first.n == 0) { /* the last bytes */
		if (number(range, &from) < 0)
			return S3_RANGE_ALL;
		if (from == 0 || bytes == 0)
			return S3_RANGE_OUTSIDE;
		from = from >= bytes ? 0 : bytes - from;
	} else {
		if (number(first, &from) < 0 || (range.n && number(range, &to) < 0) ||
			(range.n && to < from))
			return S3_RANGE_ALL;
		if (from >= bytes)
			return S3_RANGE_OUTSIDE;
	}
	if (first.n == 0 || to >= bytes)
		to = bytes - 1;
	*ret_from = from;
	*ret_n = to - from + 1;
	return S3_RANGE_PART;
}
