/* The logs service by scenarios. */
#include "test/services/test_scenario.h"

TEST(logs, groups)
{
	scenario_run("test/services/logs/groups.txt", 1);
}
