#!/usr/bin/python3
"""Provisioned concurrency through boto3: instances that are ready before anybody calls."""
import base64
import json
import re
import time

from harness import error_of, expect, main, own_server
from test_lambda_run import create

# Says how its instance came to be, and when.
TEXT = """
import os, time, uuid
ready = time.time()
me = str(uuid.uuid4())
%s
def handler(event, context):
    time.sleep(event.get('nap', 0))
    return {'kind': os.environ['AWS_LAMBDA_INITIALIZATION_TYPE'], 'ready': ready, 'me': me,
            'version': context.function_version}
"""


def deploy(functions, name, text=""):
    create(functions, name, "index.handler", "python3.11", TEXT % text, MemorySize=128)
    return functions.publish_version(FunctionName=name)["Version"]


def ready(functions, name, qualifier, wanted="READY"):
    for _ in range(400):
        seen = functions.get_provisioned_concurrency_config(FunctionName=name, Qualifier=qualifier)
        if seen["Status"] == wanted:
            return seen
        time.sleep(0.05)
    raise AssertionError(f"never {wanted}: {seen}")


def call(functions, name, qualifier, **event):
    answer = functions.invoke(FunctionName=name, Qualifier=qualifier, LogType="Tail",
                              Payload=json.dumps(event))
    expect(answer.get("FunctionError"), None)
    tail = base64.b64decode(answer["LogResult"]).decode()
    return json.load(answer["Payload"]), "Init Duration" in tail


def figures(seen):
    return [seen[f"{kind}ProvisionedConcurrentExecutions"]
            for kind in ("Requested", "Allocated", "Available")]


@own_server
def test_ready_before_the_first_call(server):
    functions = server.client("lambda")
    version = deploy(functions, "p", "time.sleep(1)")
    put = functions.put_provisioned_concurrency_config(
        FunctionName="p", Qualifier=version, ProvisionedConcurrentExecutions=2)
    expect(put["ResponseMetadata"]["HTTPStatusCode"], 202)
    expect((put["Status"], put["RequestedProvisionedConcurrentExecutions"],
            put["AvailableProvisionedConcurrentExecutions"]), ("IN_PROGRESS", 2, 0))
    expect(figures(ready(functions, "p", version)), [2, 2, 2])
    time.sleep(0.1)
    now = time.time()
    seen, init = call(functions, "p", version)
    expect((seen["kind"], seen["version"], init), ("provisioned-concurrency", version, False))
    expect(seen["ready"] < now, True)
    # Each start says so in the log, where otherwise the first run's REPORT does.
    logs = server.client("logs")
    for _ in range(50):
        lines = [e["message"] for e in logs.filter_log_events(logGroupName="/aws/lambda/p")["events"]
                 if e["message"].startswith("INIT_REPORT")]
        if len(lines) == 2:
            break
        time.sleep(0.1)
    for line in lines:
        if not re.fullmatch(r"INIT_REPORT Init Duration: \d+\.\d\d ms\tPhase: init\tStatus: success\t\n", line):
            raise AssertionError(lines)
    expect(len(lines), 2)
    # $LATEST has none of it.
    seen, init = call(functions, "p", "$LATEST")
    expect((seen["kind"], init), ("on-demand", True))
    # The same after kill -9.
    server.stop(kill=True)
    time.sleep(0.5)  # its worker still has the port
    server.start()
    functions = server.client("lambda")
    expect(figures(ready(functions, "p", version)), [2, 2, 2])
    seen, init = call(functions, "p", version)
    expect((seen["kind"], init), ("provisioned-concurrency", False))
    # And none after its end.
    functions.delete_provisioned_concurrency_config(FunctionName="p", Qualifier=version)
    expect(error_of(functions.get_provisioned_concurrency_config, FunctionName="p",
                    Qualifier=version),
           ("ProvisionedConcurrencyConfigNotFoundException",
            "No Provisioned Concurrency Config found for this function", 404))
    server.stop()
    server.start()
    functions = server.client("lambda")
    expect(call(functions, "p", version)[0]["kind"], "on-demand")


def test_follows_its_alias(server):
    functions = server.client("lambda")
    one = deploy(functions, "a")
    functions.update_function_configuration(FunctionName="a", Description="two")
    functions.get_waiter("function_updated_v2").wait(FunctionName="a")
    two = functions.publish_version(FunctionName="a")["Version"]
    expect((one, two), ("1", "2"))
    functions.create_alias(FunctionName="a", Name="live", FunctionVersion=one)
    functions.put_provisioned_concurrency_config(
        FunctionName="a", Qualifier="live", ProvisionedConcurrentExecutions=1)
    ready(functions, "a", "live")
    expect(call(functions, "a", "live")[0]["kind"], "provisioned-concurrency")
    functions.update_alias(FunctionName="a", Name="live", FunctionVersion=two)
    ready(functions, "a", "live")
    seen, init = call(functions, "a", "live")
    expect((seen["kind"], seen["version"], init), ("provisioned-concurrency", two, False))
    # Half of it for each of two versions.
    functions.put_provisioned_concurrency_config(
        FunctionName="a", Qualifier="live", ProvisionedConcurrentExecutions=2)
    functions.update_alias(FunctionName="a", Name="live", FunctionVersion=two,
                           RoutingConfig={"AdditionalVersionWeights": {one: 0.5}})
    expect(figures(ready(functions, "a", "live")), [2, 2, 2])
    seen = {call(functions, "a", "live")[0]["version"] for _ in range(40)}
    expect(seen, {one, two})
    listed = functions.list_provisioned_concurrency_configs(FunctionName="a")
    expect([c["FunctionArn"].rsplit(":", 1)[1] for c in listed["ProvisionedConcurrencyConfigs"]],
           ["live"])
    functions.delete_alias(FunctionName="a", Name="live")
    expect(functions.list_provisioned_concurrency_configs(FunctionName="a")
           ["ProvisionedConcurrencyConfigs"], [])


def test_init_that_fails(server):
    functions = server.client("lambda")
    version = deploy(functions, "bad", "raise ValueError('no')")
    functions.put_provisioned_concurrency_config(
        FunctionName="bad", Qualifier=version, ProvisionedConcurrentExecutions=1)
    seen = ready(functions, "bad", version, "FAILED")
    expect(seen["StatusReason"], "FUNCTION_ERROR_INIT_FAILURE")
    expect(seen["AvailableProvisionedConcurrentExecutions"], 0)


if __name__ == "__main__":
    main(globals())
