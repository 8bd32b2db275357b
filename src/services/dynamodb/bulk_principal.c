/*
 * In whose name a bulk operation reads and writes objects: the one who started it, see
 * aws/principal_note.h.
 */
#include "aws/principal_note.h"
#include "services/dynamodb/bulk.h"
#include "services/dynamodb/service.h"

void bulk_note_principal(struct bulk_job *j, const struct principal *p)
{
	struct principal_note note = principal_note_of(p);

	j->as_kind = note.kind;
	j->as_arn = note.arn;
	j->as_role = note.role_arn;
	j->as_name = note.name;
	j->as_user_id = note.user_id;
	j->as_key = note.access_key;
	j->as_unrestricted = note.unrestricted;
	j->as_narrowed = note.narrowed;
}

int bulk_principal(struct dynamodb *d, struct arena *a, const struct bulk_job *j,
	struct principal *ret_principal)
{
	const struct principal_note note = {.account = j->account,
		.arn = j->as_arn,
		.role_arn = j->as_role,
		.name = j->as_name,
		.user_id = j->as_user_id,
		.access_key = j->as_key,
		.kind = j->as_kind,
		.unrestricted = j->as_unrestricted,
		.narrowed = j->as_narrowed};

	return principal_of_note(d->ports ? d->ports->identity : NULL, a, &note, ret_principal);
}
