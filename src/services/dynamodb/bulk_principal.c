/*
 * In whose name a bulk operation reads and writes objects: the one who started it, also after a
 * restart, and with what its policies allow by then.
 *
 * A user or a role's session is found by the access key that signed the start. When a session's
 * credentials are over, the role itself goes on, unless the session was narrower than its role:
 * nothing may then be read in its name any more.
 */
#include "aws/ports/identity.h"
#include "services/dynamodb/bulk.h"
#include "services/dynamodb/service.h"

void bulk_note_principal(struct bulk_job *j, const struct principal *p)
{
	j->as_kind = (uint8_t)p->kind;
	j->as_arn = p->arn;
	j->as_role = p->role_arn;
	j->as_name = p->name;
	j->as_user_id = p->user_id;
	j->as_key = p->access_key;
	j->as_unrestricted = p->unrestricted;
	j->as_narrowed = p->session_policy_count > 0;
}

int bulk_principal(struct dynamodb *d, struct arena *a, const struct bulk_job *j,
	struct principal *ret_principal)
{
	const struct port_identity *port = d->ports ? d->ports->identity : NULL;
	struct identity identity;

	if (j->as_unrestricted) {
		*ret_principal = (struct principal){.kind = (enum principal_kind)j->as_kind,
			.account = j->account,
			.arn = j->as_arn,
			.role_arn = j->as_role,
			.name = j->as_name,
			.user_id = j->as_user_id,
			.access_key = j->as_key,
			.unrestricted = true};
		return 1;
	}
	if (!port)
		return 0;
	if (j->as_key.n && TRY(port->by_access_key(port->self, a, j->as_key, &identity)) &&
		identity.active && identity.expires_ms > rt_wall() / RT_NS_MS) {
		*ret_principal = identity.principal;
		return 1;
	}
	if (!j->as_role.n || j->as_narrowed)
		return 0;
	return port->by_role(port->self, a, j->as_role, j->as_name, ret_principal);
}
