/*
 * The chunk decoder (RFC 9112 section 7.1). Pure; limits: 15 digits a size, 8 KiB of extensions
 * and dropped trailers together; trailers that are kept have their buffer's maximum.
 */
#include "http/internal.h"

enum { EXTRA_MAX = 8192, DIGITS_MAX = 15 };
enum chunk_state {
	CHUNK_SIZE,       /* digits */
	CHUNK_EXTENSION,  /* behind ';' up to CR */
	CHUNK_SIZE_LF,    /* LF of the size line */
	CHUNK_DATA,       /* d->left bytes */
	CHUNK_DATA_CR,    /* CR behind the data */
	CHUNK_DATA_LF,    /* LF behind the data */
	CHUNK_LINE,       /* start of a trailer line or of the last line */
	CHUNK_TRAILER,    /* in a trailer line */
	CHUNK_TRAILER_LF, /* its LF */
	CHUNK_LAST_LF,    /* LF of the empty line */
	CHUNK_END,
	CHUNK_BAD
};

void chunk_init(struct chunk_decoder *d)
{
	*d = (struct chunk_decoder){.state = CHUNK_SIZE};
}

bool chunk_ended(const struct chunk_decoder *d)
{
	return d->state == CHUNK_END;
}

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
		return (c | 0x20) - 'a' + 10;
	return -1;
}

static bool text_char(char c)
{
	unsigned char u = (unsigned char)c;

	return u >= 0x20 ? u != 0x7f : u == '\t';
}

static enum chunk_state step_size(struct chunk_decoder *d, char c)
{
	int v = digit(c);

	if (v >= 0) {
		if (d->digits++ == DIGITS_MAX)
			return CHUNK_BAD;
		d->left = d->left << 4 | (unsigned)v;
		return CHUNK_SIZE;
	}
	if (!d->digits)
		return CHUNK_BAD;
	return c == ';' ? CHUNK_EXTENSION : c == '\r' ? CHUNK_SIZE_LF : CHUNK_BAD;
}

/* A character of a trailer line. False: there is no room for it. */
static bool keep_trailer(struct chunk_decoder *d, char c)
{
	if (!d->trailers)
		return d->extra_bytes++ < EXTRA_MAX;
	buf_put_char(d->trailers, c);
	return !d->trailers->over;
}

static enum chunk_state step_trailer(struct chunk_decoder *d, char c)
{
	if (c == '\r')
		return keep_trailer(d, c) ? CHUNK_TRAILER_LF : CHUNK_BAD;
	return text_char(c) && keep_trailer(d, c) ? CHUNK_TRAILER : CHUNK_BAD;
}

/* Text up to a CR, counted against the limit. */
static enum chunk_state step_text(
	struct chunk_decoder *d, char c, enum chunk_state here, enum chunk_state lf)
{
	if (c == '\r')
		return lf;
	if (!text_char(c) || d->extra_bytes++ == EXTRA_MAX)
		return CHUNK_BAD;
	return here;
}

static enum chunk_state step(struct chunk_decoder *d, char c)
{
	switch ((enum chunk_state)d->state) {
	case CHUNK_SIZE: return step_size(d, c);
	case CHUNK_EXTENSION: return step_text(d, c, CHUNK_EXTENSION, CHUNK_SIZE_LF);
	case CHUNK_SIZE_LF: return c != '\n' ? CHUNK_BAD : d->left ? CHUNK_DATA : CHUNK_LINE;
	case CHUNK_DATA_CR: return c == '\r' ? CHUNK_DATA_LF : CHUNK_BAD;
	case CHUNK_DATA_LF: d->digits = 0; return c == '\n' ? CHUNK_SIZE : CHUNK_BAD;
	case CHUNK_LINE:
		if (c == ' ' || c == '\t' || c == ':') /* a fold, or no name */
			return CHUNK_BAD;
		return c == '\r' ? CHUNK_LAST_LF : step_trailer(d, c);
	case CHUNK_TRAILER: return step_trailer(d, c);
	case CHUNK_TRAILER_LF: return c == '\n' && keep_trailer(d, c) ? CHUNK_LINE : CHUNK_BAD;
	case CHUNK_LAST_LF: return c == '\n' ? CHUNK_END : CHUNK_BAD;
	default: return CHUNK_BAD;
	}
}

int chunk_eat(struct chunk_decoder *d, const char *in, size_t n, size_t *ret_data)
{
	size_t i = 0;

	while (i < n && d->state != CHUNK_DATA && d->state != CHUNK_END) {
		d->state = (uint8_t)step(d, in[i++]);
		if (d->state == CHUNK_BAD)
			return ERR_SYNTAX;
	}
	*ret_data = d->state == CHUNK_DATA ? MIN((uint64_t)(n - i), d->left) : 0;
	return (int)i;
}

void chunk_take(struct chunk_decoder *d, size_t n)
{
	check(d->state == CHUNK_DATA && n <= d->left);
	d->left -= n;
	if (!d->left)
		d->state = CHUNK_DATA_CR;
}
