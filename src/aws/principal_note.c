/*
 * See principal_note.h.
 */
#include "aws/principal_note.h"

#include "aws/ports/identity.h"
#include "rt/rt.h"

enum { UNRESTRICTED = 1 << 0, NARROWED = 1 << 1 };

struct principal_note principal_note_of(const struct principal *p)
{
	return (struct principal_note){.account = p->account,
		.arn = p->arn,
		.role_arn = p->role_arn,
		.name = p->name,
		.user_id = p->user_id,
		.access_key = p->access_key,
		.kind = (uint8_t)p->kind,
		.unrestricted = p->unrestricted,
		.narrowed = p->session_policy_count > 0};
}

int principal_of_note(const struct port_identity *port, struct arena *a,
	const struct principal_note *note, struct principal *ret_principal)
{
	struct identity identity;

	if (note->unrestricted) {
		*ret_principal = (struct principal){.kind = (enum principal_kind)note->kind,
			.account = note->account,
			.arn = note->arn,
			.role_arn = note->role_arn,
			.name = note->name,
			.user_id = note->user_id,
			.access_key = note->access_key,
			.unrestricted = true};
		return 1;
	}
	if (!port)
		return 0;
	if (note->access_key.n &&
		TRY(port->by_access_key(port->self, a, note->access_key, &identity)) &&
		identity.active && identity.expires_ms > rt_wall() / RT_NS_MS) {
		*ret_principal = identity.principal;
		return 1;
	}
	if (!note->role_arn.n || note->narrowed)
		return 0;
	return port->by_role(port->self, a, note->role_arn, note->name, ret_principal);
}

void principal_note_put(struct buf *out, const struct principal_note *note)
{
	const str texts[] = {note->account, note->arn, note->role_arn, note->name, note->user_id,
		note->access_key};

	buf_put_char(out, (char)note->kind);
	buf_put_char(out,
		(char)((note->unrestricted ? UNRESTRICTED : 0) | (note->narrowed ? NARROWED : 0)));
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		buf_put_sized(out, texts[i]);
}

bool principal_note_take(str *record, struct principal_note *ret_note)
{
	struct principal_note n = {.kind = 0};
	str *texts[] = {&n.account, &n.arn, &n.role_arn, &n.name, &n.user_id, &n.access_key};
	uint8_t flags;

	if (!str_take_u8(record, &n.kind) || !str_take_u8(record, &flags))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		if (!str_take_sized(record, texts[i]))
			return false;
	n.unrestricted = flags & UNRESTRICTED;
	n.narrowed = flags & NARROWED;
	*ret_note = n;
	return true;
}
