/*
 * The signatures port: who signed an archive.
 *
 * The archive is looked at on the pool; what is left, the key and what was revoked, comes from the
 * store. Integrity comes first: of an archive that is not what was signed nothing else is said.
 */
#include "base/ecdsa.h"
#include "services/signer/seal.h"
#include "services/signer/store.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

struct look {
	int fd;
	struct arena *arena;
	struct statement statement;
	const char *why;
	str key;
	int rc;
};

static int read_at(void *arg, uint64_t at, void *to, size_t n)
{
	const struct look *l = arg;
	char *p = to;

	while (n) {
		ssize_t got = pread(l->fd, p, n, (off_t)at);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got < 0 ? rc_from_errno(errno) : ERR_IO;
		p += got;
		at += (uint64_t)got;
		n -= (size_t)got;
	}
	return 0;
}

static void look_job(void *arg)
{
	struct look *l = arg;
	struct archive_source source = {.read = read_at, .arg = l};
	struct stat st;

	if (fstat(l->fd, &st) < 0) {
		l->rc = rc_from_errno(errno);
		return;
	}
	source.bytes = (uint64_t)st.st_size;
	l->rc = seal_read(&source, l->arena, &l->statement, &l->why);
}

static void verify_job(void *arg)
{
	struct look *l = arg;

	l->rc = ecdsa_verify(l->key, l->statement.signed_text, l->statement.signature);
}

/* The profile whose version it says has signed it: 1, or 0: it is not here. */
static int find_profile(
	struct signer *s, struct arena *a, str version_arn, struct signer_profile *ret_profile)
{
	struct signer_arn at;

	if (!signer_arn_parse(version_arn, &at) || !at.version.p)
		return 0;
	if (TRY(signer_profile_load(s, NULL, a, at.account, at.region, at.profile, ret_profile)) ==
		0)
		return 0;
	return str_eq(value_str(ret_profile->shown, "profileVersion"), at.version);
}

static int is_revoked(struct signer *s, struct arena *a, const struct signer_profile *p,
	const struct statement *t)
{
	struct signer_arn at;
	struct signer_job j;

	if (signer_profile_revoked_at(p, t->signed_ms))
		return 1;
	if (!signer_arn_parse(t->job, &at) || !at.job.p ||
		TRY(signer_job_load(s, NULL, a, at.account, at.region, at.job, &j)) == 0)
		return 0;
	return signer_job_is_revoked(&j);
}

/* Its bytes are what was signed; by whom, and does it still count? */
static int judge(struct signer *s, struct look *l, int64_t deadline, struct signature *ret)
{
	const struct statement *t = &l->statement;
	struct signer_profile p;

	if (TRY(find_profile(s, l->arena, t->profile_version, &p)) == 0) {
		ret->state = SIGNATURE_UNKNOWN;
		ret->why = "it was signed by a profile that is not here";
		return 0;
	}
	l->key = p.key;
	TRY(rt_pool_run(s->pool, verify_job, l, deadline));
	if (TRY(l->rc) == 0) {
		ret->state = SIGNATURE_DAMAGED;
		ret->why = "its signature is not one of the profile's key";
		return 0;
	}
	ret->profile_version_arn = t->profile_version;
	ret->job_arn = t->job;
	ret->expires_ms = t->expires_ms;
	if (TRY(is_revoked(s, l->arena, &p, t))) {
		ret->state = SIGNATURE_REVOKED;
		ret->why = "its signature was revoked";
	} else if (rt_wall() / RT_NS_MS >= t->expires_ms) {
		ret->state = SIGNATURE_EXPIRED;
		ret->why = "its signature has expired";
	} else {
		ret->state = SIGNATURE_VALID;
	}
	return 0;
}

int signer_look(
	void *self, struct arena *a, int fd, int64_t deadline, struct signature *ret_signature)
{
	struct signer *s = check_object(self, struct signer, SIGNER_MAGIC);
	struct signature found = {
		.state = SIGNATURE_NONE, .profile_version_arn = STR_NULL, .job_arn = STR_NULL};
	struct look l = {.fd = fd, .arena = a};

	TRY(rt_pool_run(s->pool, look_job, &l, deadline));
	if (l.rc == ERR_INVALID) {
		found.state = SIGNATURE_DAMAGED;
		found.why = l.why;
	} else if (TRY(l.rc) == 0) {
		found.why = "it has no signature";
	} else {
		TRY(judge(s, &l, deadline, &found));
	}
	*ret_signature = found;
	return 0;
}
