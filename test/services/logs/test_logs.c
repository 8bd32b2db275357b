/* The logs service by scenarios. */
#include "test/services/test_scenario.h"

TEST(logs, groups)
{
	scenario_run("test/services/logs/groups.txt", 2);
}

TEST(logs, events)
{
	scenario_run("test/services/logs/events.txt", 5);
}
