/* API Gateway by scenarios. */
#include "test/services/test_scenario.h"

TEST(apigateway, execution)
{
	scenario_run("test/services/apigateway/execute.txt", 8);
}

TEST(apigateway, control)
{
	scenario_run("test/services/apigateway/control.txt", 5);
}

TEST(apigateway, proxy)
{
	scenario_run("test/services/apigateway/proxy.txt", 4);
}
