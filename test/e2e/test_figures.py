#!/usr/bin/python3
"""What /_cirrus/metrics says of functions: CloudWatch's metrics by their names, and the server's own figures."""
import io
import re
import time
import urllib.request
import zipfile

from harness import error_of, expect, main

ROLE = "arn:aws:iam::000000000000:role/none"
CODE = """
import time
def handler(event, context):
    time.sleep(event.get('seconds', 0))
    if event.get('fail'):
        raise ValueError('failed')
    return 1
"""


def deploy(server, name, **more):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        z.writestr("index.py", CODE)
    functions = server.client("lambda")
    functions.create_function(FunctionName=name, Runtime="python3.11", Handler="index.handler", Role=ROLE, Timeout=20,
                              Code={"ZipFile": out.getvalue()}, MemorySize=512, **more)
    functions.get_waiter("function_active_v2").wait(FunctionName=name)
    return functions


def page(server):
    """{line's name and labels: value}"""
    with urllib.request.urlopen(server.endpoint + "/_cirrus/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return {k: float(v) for k, v in re.findall(r"^([a-z_]+(?:\{.*\})?) (\S+)$", text, re.M)}


def metric(server, name, figure="sum", region="us-east-1", **dimensions):
    labels = [("account", "000000000000"), ("region", region), ("namespace", "AWS/Lambda"), ("name", name),
              *dimensions.items()]
    return page(server).get(f"cirrus_metric_{figure}{{" + ",".join(f'{k}="{v}"' for k, v in labels) + "}")


def comes_to(call, wanted, seconds=20):
    deadline = time.monotonic() + seconds
    while call() != wanted and time.monotonic() < deadline:
        time.sleep(0.05)
    expect(call(), wanted)


def test_invocations(server):
    functions = deploy(server, "f")
    for payload in (b"{}", b"{}", b'{"fail":1}'):
        functions.invoke(FunctionName="f", Payload=payload)
    comes_to(lambda: metric(server, "Duration", "count"), 3)  # the last that is told
    expect((metric(server, "Invocations", FunctionName="f"), metric(server, "Invocations")), (3, 3))
    expect((metric(server, "Errors", FunctionName="f"), metric(server, "Errors", "count", FunctionName="f")), (1, 3))
    assert 0 < metric(server, "Duration", FunctionName="f") < 60000
    expect(metric(server, "ConcurrentExecutions", "max", FunctionName="f"), 1)
    expect((metric(server, "ConcurrentExecutions", "max"), metric(server, "UnreservedConcurrentExecutions", "max"),
            metric(server, "ClaimedAccountConcurrency", "max")), (1, 1, 1))
    functions.put_function_concurrency(FunctionName="f", ReservedConcurrentExecutions=0)
    once = server.client("lambda", retries={"total_max_attempts": 1, "mode": "standard"})
    expect(error_of(once.invoke, FunctionName="f")[0], "TooManyRequestsException")
    expect((metric(server, "Throttles", FunctionName="f"), metric(server, "Throttles")), (1, 1))
    own = page(server)
    expect([own["cirrus_lambda_" + n] for n in ("invocations_total", "errors_total", "throttles_total", "instances")],
           [3, 1, 1, 1])
    expect(own["cirrus_metrics_dropped_total"], 0)


def test_reserved(server):
    """What is reserved is claimed before it is used, and is not unreserved."""
    deploy(server, "kept").put_function_concurrency(FunctionName="kept", ReservedConcurrentExecutions=7)
    server.client("lambda").invoke(FunctionName="kept")
    expect((metric(server, "UnreservedConcurrentExecutions", "max"), metric(server, "ConcurrentExecutions", "max"),
            metric(server, "ClaimedAccountConcurrency", "max")), (0, 1, 7))


def test_asynchronous(server):
    functions = deploy(server, "a")
    functions.put_function_event_invoke_config(FunctionName="a", MaximumRetryAttempts=0, DestinationConfig={
        "OnFailure": {"Destination": "arn:aws:lambda:us-east-1:000000000000:function:nobody"}})
    functions.invoke(FunctionName="a", InvocationType="Event", Payload=b"{}")
    functions.invoke(FunctionName="a", InvocationType="Event", Payload=b'{"fail":1}')
    comes_to(lambda: metric(server, "AsyncEventsDropped", FunctionName="a"), 1)
    expect(metric(server, "AsyncEventsReceived", FunctionName="a"), 2)
    expect(metric(server, "AsyncEventAge", "count", FunctionName="a"), 2)
    comes_to(lambda: metric(server, "DestinationDeliveryFailures", FunctionName="a"), 1)
    comes_to(lambda: page(server)["cirrus_lambda_events_waiting"], 0)


def test_provisioned(server):
    functions = deploy(server, "p")
    version = functions.publish_version(FunctionName="p")["Version"]
    functions.put_provisioned_concurrency_config(FunctionName="p", Qualifier=version, ProvisionedConcurrentExecutions=1)
    comes_to(lambda: functions.get_provisioned_concurrency_config(FunctionName="p", Qualifier=version)["Status"], "READY")
    functions.invoke(FunctionName="p", Qualifier=version)
    resource = {"FunctionName": "p", "Resource": "p:" + version}
    expect(metric(server, "ProvisionedConcurrencyInvocations", **resource), 1)
    expect((metric(server, "ProvisionedConcurrentExecutions", "max", **resource),
            metric(server, "ProvisionedConcurrencyUtilization", "max", **resource)), (1, 1))
    expect(metric(server, "ProvisionedConcurrencySpilloverInvocations", **resource), None)
    functions.invoke(FunctionName="p", Qualifier=version, InvocationType="Event", Payload=b'{"seconds":8}')
    comes_to(lambda: metric(server, "ProvisionedConcurrencyInvocations", FunctionName="p"), 2)
    # On whichever loop a call arrives, also where none of them are kept.
    for _ in range(8):
        server.client("lambda").invoke(FunctionName="p", Qualifier=version)
    comes_to(lambda: metric(server, "ProvisionedConcurrencySpilloverInvocations", **resource), 8)
    # Without a provision there is none of it.
    functions.invoke(FunctionName="p")
    expect(metric(server, "ProvisionedConcurrencyInvocations", FunctionName="p"), 2)


if __name__ == "__main__":
    main(globals())
