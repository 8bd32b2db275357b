/*
 * cirrus: the command line. `serve` is the server (options.def); the other commands are small.
 */
#include "base/buf.h"
#include "base/log.h"
#include "base/rc.h"
#include "server/doctor.h"
#include "server/lambda_network.h"
#include "server/options.h"
#include "server/runtimes.h"
#include "server/status.h"
#include "server/supervisor.h"
#include "server/worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static const char usage[] =
	"cirrus " CIRRUS_VERSION ": the serverless cloud that you own\n"
	"\n"
	"Usage: cirrus COMMAND [OPTION ...]\n"
	"\n"
	"    serve      start it; cirrus serve --help lists the options\n"
	"    status     ask a running one how it is: cirrus status [URL]  [http://127.0.0.1:4566]\n"
	"    doctor     what functions need from this host, and what is missing [--json]\n"
	"    version    print the version\n"
	"    help       print this\n"
	"\n"
	"To try it: cirrus serve, and in another terminal\n"
	"    export AWS_ENDPOINT_URL=http://127.0.0.1:4566 AWS_ACCESS_KEY_ID=test \\\n"
	"        AWS_SECRET_ACCESS_KEY=test AWS_DEFAULT_REGION=us-east-1\n"
	"    aws --endpoint-url $AWS_ENDPOINT_URL dynamodb list-tables\n";

static int64_t wall_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void print(FILE *to, str text)
{
	fwrite(text.p, 1, text.n, to);
}

static enum log_level level_named(str name)
{
	static const str names[] = {
		STR_INIT("debug"), STR_INIT("info"), STR_INIT("warn"), STR_INIT("error")};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (str_eq(names[i], name))
			return (enum log_level)i;
	return LOG_INFO;
}

static int serve(struct arena *arena, char **argv)
{
	static const struct supervisor_roles roles = {worker_run, worker_start_launcher};
	struct options options;
	str message;

	for (char **at = argv; *at; at++) {
		if (str_eq(str_c(*at), STR("--help")) || str_eq(str_c(*at), STR("-h"))) {
			print(stdout, options_help(arena));
			return 0;
		}
	}
	if (options_parse(arena, (const char *const *)argv, (const char *const *)environ, &options,
		    &message) < 0 ||
		runtimes_check(&options, &message) < 0 ||
		runtimes_find_packages(&options, arena, NULL, &message) < 0 ||
		lambda_network_check(&options, arena, &message) < 0) {
		fprintf(stderr, "cirrus serve: %.*s\n", STR_ARG(message));
		return 2;
	}
	log_set_clock(wall_ns);
	log_set_level(level_named(str_c(options.log_level)));
	return supervisor_run(&options, &roles);
}

int main(int argc, char **argv)
{
	const char *command = argc > 1 ? argv[1] : "help";
	struct arena arena;
	int status;

	arena_init(&arena, 16 << 20);
	if (str_eq(str_c(command), STR("serve"))) {
		status = serve(&arena, argv + 2);
	} else if (str_eq(str_c(command), STR("status"))) {
		status = status_run(argc > 2 ? argv[2] : "http://127.0.0.1:4566");
	} else if (str_eq(str_c(command), STR("doctor"))) {
		status = doctor_run(&arena, argv + 2);
	} else if (str_eq(str_c(command), STR("version")) ||
		   str_eq(str_c(command), STR("--version"))) {
		puts("cirrus " CIRRUS_VERSION);
		status = 0;
	} else if (str_eq(str_c(command), STR("help")) || str_eq(str_c(command), STR("--help")) ||
		   str_eq(str_c(command), STR("-h"))) {
		fputs(usage, argc > 1 ? stdout : stderr);
		status = argc > 1 ? 0 : 2;
	} else {
		fprintf(stderr, "cirrus: unknown command '%s'\n\n%s", command, usage);
		status = 2;
	}
	arena_done(&arena);
	return status;
}
