/*
 * Who started work that goes on behind the answer, kept with the work: in his name it goes on, also
 * after a restart, and with what his policies allow by then.
 *
 * A user or a role's session is found by the access key that signed the start. When a session's
 * credentials are over, the role itself goes on, unless the session was narrower than its role:
 * nothing may then be done in its name any more.
 */
#ifndef AWS_PRINCIPAL_NOTE_H
#define AWS_PRINCIPAL_NOTE_H

#include "aws/principal.h"
#include "base/buf.h"
#include "base/rc.h"

#include <stdint.h>

struct port_identity;

struct principal_note {
	str account, arn, role_arn, name, user_id, access_key;
	uint8_t kind; /* enum principal_kind */
	bool unrestricted, narrowed;
};

/* Its texts are the principal's. */
struct principal_note principal_note_of(const struct principal *p);
/*
 * The principal, with its policies as they are now: 1, or 0 when its key or role does not count any
 * more. In the arena, good for some minutes. `port` may be NULL.
 */
must_use int principal_of_note(const struct port_identity *port, struct arena *a,
	const struct principal_note *note, struct principal *ret_principal) mayyield;
/* As a part of a stored record. False: it is damaged. */
void principal_note_put(struct buf *out, const struct principal_note *note);
bool principal_note_take(str *record, struct principal_note *ret_note);

#endif
