/*
 * Result codes: the negative integers that functions return (STYLE 9). The table is rc.def.
 */
#ifndef BASE_RC_H
#define BASE_RC_H

enum rc {
	RC_LAST_ = -1000, /* numbers go up from here, so that 0 and above stay results */
#define RC(name, text) name,
#include "base/rc.def"
#undef RC
	RC_END_
};

/* The text of a negative code; "ok" for >= 0; "unknown error" otherwise. Never NULL. */
const char *rc_text(int rc);
/* The name of a negative code, as written in rc.def ("ERR_IO"). Never NULL. */
const char *rc_name(int rc);
/* Maps a positive errno value to a code: ENOSPC, EDQUOT -> ERR_NO_SPACE, and so on; others ERR_IO.
 */
int rc_from_errno(int err);

#endif
