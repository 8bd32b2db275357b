/* Integration URIs: see target.h. */
#include "services/apigateway/target.h"

#include "base/rc.h"
#include "base/uri.h"

enum { TARGET_BYTES_MAX = 64 * 1024 };

#define VARIABLE "${stageVariables."

bool target_has_variables(str text)
{
	return str_find_str(text, STR(VARIABLE)) >= 0;
}

int target_substitute(struct arena *arena, str text, const struct event_variable *variables,
	size_t n, str *ret_text)
{
	struct buf out;
	ptrdiff_t at;

	if (!target_has_variables(text)) {
		*ret_text = text;
		return 0;
	}
	buf_init(&out, arena, TARGET_BYTES_MAX);
	while ((at = str_find_str(text, STR(VARIABLE))) >= 0) {
		str name = str_from(text, (size_t)at + sizeof(VARIABLE) - 1);
		ptrdiff_t end = str_find(name, '}');
		size_t i = 0;

		if (end < 0)
			return ERR_SYNTAX;
		buf_put(&out, str_sub(text, 0, (size_t)at));
		text = str_from(name, (size_t)end + 1);
		name = str_sub(name, 0, (size_t)end);
		while (i < n && !str_eq(variables[i].name, name))
			i++;
		if (i == n)
			return ERR_NOT_FOUND;
		buf_put(&out, variables[i].value);
	}
	buf_put(&out, text);
	if (out.over)
		return ERR_TOO_LARGE;
	*ret_text = buf_str(&out);
	return 0;
}

int target_function(str uri, str *ret_arn)
{
	str arn = uri, rest, part;

	if (str_starts(uri, STR("arn:")) && str_find_str(uri, STR(":apigateway:")) >= 0) {
		ptrdiff_t at = str_find_str(uri, STR(":lambda:path/2015-03-31/functions/"));

		if (at < 0 || !str_ends(uri, STR("/invocations")))
			return ERR_SYNTAX;
		arn = str_from(uri, (size_t)at + 34);
		if (arn.n < 12)
			return ERR_SYNTAX;
		arn.n -= 12;
	}
	/* arn:aws:lambda:region:account:function:name[:qualifier] */
	rest = arn;
	for (unsigned i = 0; i < 6; i++) {
		static const str wanted[6] = {STR_INIT("arn"), STR_INIT("aws"), STR_INIT("lambda"),
			STR_INIT(""), STR_INIT(""), STR_INIT("function")};

		if (!str_split(&rest, ':', &part) || !part.n)
			return ERR_SYNTAX;
		if (i == 1 ? !str_starts(part, wanted[i]) : wanted[i].n && !str_eq(part, wanted[i]))
			return ERR_SYNTAX;
	}
	if (!rest.n || str_find(rest, '/') >= 0)
		return ERR_SYNTAX;
	*ret_arn = arn;
	return 0;
}

static int split_host(struct target_url *url)
{
	str host = url->host, port = STR_NULL;
	uint64_t number = url->secure ? 443 : 80;
	ptrdiff_t at;

	if (host.n && host.p[0] == '[') {
		at = str_find(host, ']');
		if (at < 0)
			return ERR_SYNTAX;
		url->name = str_sub(host, 1, (size_t)at - 1);
		host = str_from(host, (size_t)at + 1);
		if (host.n && host.p[0] != ':')
			return ERR_SYNTAX;
		port = host.n ? str_from(host, 1) : STR_NULL;
	} else {
		at = str_find(host, ':');
		url->name = at < 0 ? host : str_sub(host, 0, (size_t)at);
		port = at < 0 ? STR_NULL : str_from(host, (size_t)at + 1);
	}
	if (port.p && (str_to_u64(port, 65535, &number) < 0 || number == 0))
		return ERR_SYNTAX;
	url->port = (uint16_t)number;
	return url->name.n ? 0 : ERR_SYNTAX;
}

int target_url_parse(str uri, struct target_url *ret_url)
{
	struct target_url url = {0};

	if (str_eq_nocase(str_sub(uri, 0, 8), STR("https://")))
		url.secure = true;
	else if (!str_eq_nocase(str_sub(uri, 0, 7), STR("http://")))
		return ERR_SYNTAX;
	uri = str_from(uri, url.secure ? 8 : 7);
	for (size_t i = 0; i < uri.n; i++)
		if ((unsigned char)uri.p[i] <= ' ' || (unsigned char)uri.p[i] >= 0x7f ||
			uri.p[i] == '#' || uri.p[i] == '\\')
			return ERR_SYNTAX;
	uri_split(uri, &url.host, &url.query);
	ptrdiff_t slash = str_find(url.host, '/');
	url.path = slash < 0 ? STR("/") : str_from(url.host, (size_t)slash);
	url.host = slash < 0 ? url.host : str_sub(url.host, 0, (size_t)slash);
	for (size_t i = 0; i < url.host.n; i++)
		if (url.host.p[i] == '@' || url.host.p[i] == '{' || url.host.p[i] == '%')
			return ERR_SYNTAX;
	TRY(split_host(&url));
	*ret_url = url;
	return 0;
}

static bool climbs(str value)
{
	str segment;

	while (str_split(&value, '/', &segment))
		if (str_eq(segment, STR(".")) || str_eq(segment, STR("..")))
			return true;
	return false;
}

static int fill(struct buf *out, str text, const struct router_parameter *parameters, size_t n)
{
	ptrdiff_t at;

	while ((at = str_find(text, '{')) >= 0) {
		str name = str_from(text, (size_t)at + 1);
		ptrdiff_t end = str_find(name, '}');
		size_t i = 0;

		if (end < 0)
			return ERR_NOT_FOUND;
		buf_put(out, str_sub(text, 0, (size_t)at));
		text = str_from(name, (size_t)end + 1);
		name = str_sub(name, 0, (size_t)end);
		while (i < n && !str_eq(parameters[i].name, name))
			i++;
		if (i == n)
			return ERR_NOT_FOUND;
		if (climbs(parameters[i].value))
			return ERR_INVALID;
		uri_put_encoded(out, parameters[i].value,
			parameters[i].greedy ? URI_KEEP_SLASH : URI_COMPONENT);
	}
	buf_put(out, text);
	return 0;
}

int target_url_fill(struct arena *arena, const struct target_url *url,
	const struct router_parameter *parameters, size_t n, str request_query, str *ret_target)
{
	struct buf out;

	buf_init(&out, arena, TARGET_BYTES_MAX);
	TRY(fill(&out, url->path, parameters, n));
	if (url->query.n || request_query.n)
		buf_put_char(&out, '?');
	TRY(fill(&out, url->query, parameters, n));
	if (url->query.n && request_query.n)
		buf_put_char(&out, '&');
	buf_put(&out, request_query);
	if (out.over)
		return ERR_TOO_LARGE;
	*ret_target = buf_str(&out);
	return 0;
}
