/*
 * Texts of the result codes, from rc.def.
 */
#include "base/rc.h"

#include <errno.h>

const char *rc_text(int rc)
{
	if (rc >= 0)
		return "ok";
	switch (rc) {
#define RC(name, text) \
	case name:     \
		return text;
#include "base/rc.def"
#undef RC
	default: return "unknown error";
	}
}

const char *rc_name(int rc)
{
	if (rc >= 0)
		return "OK";
	switch (rc) {
#define RC(name, text) \
	case name:     \
		return #name;
#include "base/rc.def"
#undef RC
	default: return "ERR_UNKNOWN";
	}
}

int rc_from_errno(int err)
{
	switch (err) {
	case ENOSPC:
	case EDQUOT: return ERR_NO_SPACE;
	case ENOENT: return ERR_NOT_FOUND;
	case EEXIST: return ERR_EXISTS;
	case EACCES:
	case EPERM:
	case EROFS: return ERR_DENIED;
	case ETIMEDOUT: return ERR_TIMEOUT;
	case ECONNREFUSED: return ERR_REFUSED;
	case EPIPE:
	case ECONNRESET: return ERR_CLOSED;
	case EAGAIN:
	case EBUSY: return ERR_BUSY;
	case EINVAL: return ERR_INVALID;
	case EMFILE:
	case ENFILE: return ERR_BUSY;
	default: return ERR_IO;
	}
}
