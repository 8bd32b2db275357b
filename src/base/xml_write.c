/*
 * The XML writer.
 */
#include "base/xml.h"

void xml_put_declaration(struct buf *out)
{
	buf_put(out, STR("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"));
}

/*
 * What to write for the character at `p`, *ret_n bytes of it; STR_NULL for itself. Carriage returns
 * are written as references because parsers turn them into line feeds (XML 1.0 section 2.11).
 */
static str replacement(const char *p, size_t left, size_t *ret_n)
{
	unsigned char c = (unsigned char)*p;

	*ret_n = 1;
	switch (c) {
	case '&': return STR("&amp;");
	case '<': return STR("&lt;");
	case '>': return STR("&gt;");
	case '"': return STR("&quot;");
	case '\r': return STR("&#xD;");
	case '\t':
	case '\n': return STR_NULL;
	default: break;
	}
	if (c < 0x20)
		return STR("\xef\xbf\xbd");
	/* U+FFFE and U+FFFF */
	if (c == 0xef && left >= 3 && (unsigned char)p[1] == 0xbf && (unsigned char)p[2] >= 0xbe) {
		*ret_n = 3;
		return STR("\xef\xbf\xbd");
	}
	return STR_NULL;
}

void xml_put_text(struct buf *out, str text)
{
	size_t plain = 0, n;

	for (size_t i = 0; i < text.n; i += n) {
		str other = replacement(text.p + i, text.n - i, &n);

		if (likely(!other.p))
			continue;
		buf_put(out, str_sub(text, plain, i - plain));
		buf_put(out, other);
		plain = i + n;
	}
	buf_put(out, str_from(text, plain));
}

void xml_put_open(struct buf *out, str name)
{
	buf_put_char(out, '<');
	buf_put(out, name);
	buf_put_char(out, '>');
}

void xml_put_open_ns(struct buf *out, str name, str ns_uri)
{
	buf_put_char(out, '<');
	buf_put(out, name);
	buf_put(out, STR(" xmlns=\""));
	xml_put_text(out, ns_uri);
	buf_put(out, STR("\">"));
}

void xml_put_close(struct buf *out, str name)
{
	buf_put(out, STR("</"));
	buf_put(out, name);
	buf_put_char(out, '>');
}

void xml_put_element(struct buf *out, str name, str text)
{
	xml_put_open(out, name);
	xml_put_text(out, text);
	xml_put_close(out, name);
}

void xml_put_element_i64(struct buf *out, str name, int64_t v)
{
	xml_put_open(out, name);
	buf_put_i64(out, v);
	xml_put_close(out, name);
}

void xml_put_element_bool(struct buf *out, str name, bool v)
{
	xml_put_element(out, name, v ? STR("true") : STR("false"));
}
