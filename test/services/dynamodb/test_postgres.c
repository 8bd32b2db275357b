/*
 * The case files on the PostgreSQL engine: the same answers. Takes some minutes, so it is a stage
 * of its own (make test-deep), which sets POSTGRES=1.
 */
#include "test/kv/postgres_server.h"
#include "test/services/dynamodb/wire.h"

#include <glob.h>
#include <stdio.h>
#include <string.h>

#define CASES "test/services/dynamodb/wire/*.txt"

TEST(dynamodb_postgres, wire)
{
	const char *folder = test_folder();
	char conninfo[PG_CONNINFO_MAX];
	unsigned cases = 0;
	glob_t found;
	pid_t pid;

	if (!test_number("POSTGRES", 0) || !pg_installed())
		return;
	ASSERT_INT(glob(CASES, 0, NULL, &found), 0);
	pid = pg_start(folder);
	if (EXPECT(pid > 0)) {
		pg_conninfo(folder, conninfo);
		for (size_t i = 0; i < found.gl_pathc; i++)
			cases += ddb_file_on(found.gl_pathv[i], conninfo);
		printf("%u answers\n", cases);
		EXPECT(cases > 1000);
	}
	pg_stop(pid);
	globfree(&found);
}
