/*
 * Landlock, through its plain system calls.
 */
#include "sandbox/landlock.h"

#include "base/rc.h"
#include "sandbox/sys.h"

#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Of versions of the interface that the header may not know. */
#ifndef LANDLOCK_ACCESS_FS_REFER
#define LANDLOCK_ACCESS_FS_REFER (1ULL << 13) /* 2 */
#endif
#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ULL << 14) /* 3 */
#endif

enum { VERSION_REFER = 2, VERSION_TRUNCATE = 3 };

static const uint64_t read_access = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
static const uint64_t file_access = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE |
				    LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_TRUNCATE;
static const uint64_t write_access = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR |
				     LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_TRUNCATE;
static const uint64_t keep_access =
	LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_WRITE_FILE |
	LANDLOCK_ACCESS_FS_TRUNCATE | LANDLOCK_ACCESS_FS_REFER | LANDLOCK_ACCESS_FS_REMOVE_DIR |
	LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |
	LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_SYM | LANDLOCK_ACCESS_FS_MAKE_CHAR;
/* What version 1 knows besides. */
static const uint64_t never_access =
	LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK;

static uint64_t access_of(enum landlock_access access)
{
	return access == LANDLOCK_READ         ? read_access
	       : access == LANDLOCK_READ_WRITE ? write_access
					       : keep_access;
}

static int allow(int rules, const struct landlock_place *place, uint64_t handled)
{
	cleanup(sys_close_p) int fd = open(place->path, O_PATH | O_CLOEXEC);
	struct landlock_path_beneath_attr rule = {.parent_fd = fd};
	struct stat st;

	if (fd < 0)
		return 0;
	if (fstat(fd, &st) < 0)
		return ERR_DENIED;
	rule.allowed_access = access_of(place->access) & handled;
	if (!S_ISDIR(st.st_mode))
		rule.allowed_access &= file_access;
	return syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0
		       ? 0
		       : ERR_DENIED;
}

int landlock_confine(const struct landlock_place *places, size_t count)
{
	long version =
		syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	struct landlock_ruleset_attr attributes = {.handled_access_fs = keep_access | never_access};
	cleanup(sys_close_p) int rules = -1;

	if (version < 1)
		return ERR_UNSUPPORTED;
	if (version < VERSION_REFER)
		attributes.handled_access_fs &= ~(uint64_t)LANDLOCK_ACCESS_FS_REFER;
	if (version < VERSION_TRUNCATE)
		attributes.handled_access_fs &= ~(uint64_t)LANDLOCK_ACCESS_FS_TRUNCATE;
	rules = (int)syscall(SYS_landlock_create_ruleset, &attributes, sizeof attributes, 0);
	if (rules < 0)
		return ERR_DENIED;
	for (size_t i = 0; i < count; i++)
		TRY(allow(rules, &places[i], attributes.handled_access_fs));
	return syscall(SYS_landlock_restrict_self, rules, 0) == 0 ? 0 : ERR_DENIED;
}
