#!/usr/bin/python3
"""Durable functions: AWS's own SDK for them in the function, the operations from outside."""
import base64
import functools
import http.client
import io
import json
import os
import threading
import time
import urllib.parse
import zipfile

import botocore.auth
import botocore.awsrequest
import botocore.credentials

import harness
from harness import expect, main, own_server

ROLE = "arn:aws:iam::000000000000:role/none"
MODULES = os.path.join(harness.ROOT, "build", "js", "node_modules")
# What @aws/durable-execution-sdk-js loads.
NEEDED = ("@aws/", "@smithy/", "tslib", "bowser", "@aws-sdk/client-lambda", "@aws-sdk/core",
          "@aws-sdk/credential-provider", "@aws-sdk/nested-clients", "@aws-sdk/token-providers",
          "@aws-sdk/types", "@aws-sdk/xml-builder", "@aws-sdk/signature-v4")

FLOW = """
const { withDurableExecution } = require('@aws/durable-execution-sdk-js');
let invocations = 0, attempts = 0;
const flows = {
    async steps(event, context) {
        const a = await context.step('first', async () => event.n + 1);
        await context.wait('pause', { seconds: 1 });
        const b = await context.step('second', async () => a * 2);
        return { a, b, invocations };
    },
    async retries(event, context) {
        return await context.step('flaky', async (step) => {
            attempts++;
            if (attempts < 3)
                throw new Error(`attempt ${attempts}`);
            return attempts;
        }, { retryStrategy: (error, n) => ({ shouldRetry: n < 5, delay: { seconds: 1 } }) });
    },
    async fails(event, context) {
        await context.step('bad', async () => { throw new RangeError('no good'); },
            { retryStrategy: () => ({ shouldRetry: false }) });
    },
    async approval(event, context) {
        const answer = await context.waitForCallback('approve', async (id) => {
            console.log(`CALLBACK ${id} END`);
        }, { timeout: { seconds: event.timeout ?? 60 },
             heartbeatTimeout: event.heartbeat ? { seconds: event.heartbeat } : undefined });
        return { answer };
    },
    async chain(event, context) {
        const one = await context.invoke('plain', event.plain ?? 'plain', { n: 20 });
        const two = await context.invoke('durable', 'flow:$LATEST', { flow: 'steps', n: one.n });
        return { one, two: two.b };
    },
    async fan(event, context) {
        const all = await context.map([1, 2, 3], async (child, n) => {
            await child.wait('nap', { seconds: 1 });
            return await child.step('square', async () => n * n);
        });
        return all.getResults();
    },
    async large(event, context) {
        for (let i = 0; i < event.count; i++)
            await context.step(`s${i}`, async () => 'x'.repeat(event.bytes));
        await context.wait({ seconds: 1 });
        return 'done';
    },
    async long(event, context) {
        await context.wait('long', { seconds: event.seconds });
        return 'waited';
    },
    async nest(event, context) {
        if (!event.depth)
            return await context.wait('bottom', { seconds: 200 });
        return await context.invoke('deeper', 'flow:$LATEST', { flow: 'nest', depth: event.depth - 1 });
    },
    async crash(event, context) {
        await context.step('once', async () => 'kept');
        process.exit(3);
    },
    async slow(event, context) {
        for (let i = 0; i < event.count; i++)
            await context.step(`s${i}`, async () => new Promise((r) => setTimeout(r, 200)));
        return 'slow';
    },
};
exports.handler = withDurableExecution(async (event, context) => {
    invocations++;
    return await flows[event.flow](event, context);
});
exports.plain = async (event) => ({ n: event.n + 1 });
exports.broken = async () => { throw new TypeError('broken callee'); };
"""


@functools.cache
def package():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as z:
        z.writestr("index.js", FLOW)
        for folder, folders, files in os.walk(MODULES):
            inside = os.path.relpath(folder, MODULES)
            if inside != "." and not any(inside.startswith(n.split("/")[0]) for n in NEEDED):
                folders.clear()
                continue
            for file in files:
                name = os.path.normpath(os.path.join(inside, file))
                if name.startswith(NEEDED) and file.endswith((".js", ".cjs", ".json")) and not any(
                        part in name for part in ("/dist-es/", "/dist-types/")):
                    z.write(os.path.join(folder, file), "node_modules/" + name)
    return out.getvalue()


EXECUTION, CALLBACK = "/2025-12-01/durable-executions/{}", "/2025-12-01/durable-execution-callbacks/{}"
ROUTES = {
    "CheckpointDurableExecution": ("POST", EXECUTION + "/checkpoint"),
    "GetDurableExecution": ("GET", EXECUTION),
    "GetDurableExecutionHistory": ("GET", EXECUTION + "/history"),
    "GetDurableExecutionState": ("GET", EXECUTION + "/state"),
    "ListDurableExecutionsByFunction": ("GET", "/2025-12-01/functions/{}/durable-executions"),
    "SendDurableExecutionCallbackFailure": ("POST", CALLBACK + "/fail"),
    "SendDurableExecutionCallbackHeartbeat": ("POST", CALLBACK + "/heartbeat"),
    "SendDurableExecutionCallbackSuccess": ("POST", CALLBACK + "/succeed"),
    "StopDurableExecution": ("POST", EXECUTION + "/stop"),
    "GetResourcePolicy": ("GET", "/2026-07-09/resource-policy/{}"),
    "PutResourcePolicy": ("PUT", "/2026-07-09/resource-policy/{}"),
    "DeleteResourcePolicy": ("DELETE", "/2026-07-09/resource-policy/{}"),
}


def operate(server, operation, name, body=None, **query):
    """Of what has that name or ARN: status, headers, answer."""
    method, path = ROUTES[operation]
    path = path.format(urllib.parse.quote(name, safe=""))
    return call(server, method, path + ("?" + urllib.parse.urlencode(query) if query else ""), body)


def call(server, method, path, body=None, headers=None):
    """A signed request of lambda: (status, headers, parsed body)."""
    data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
    request = botocore.awsrequest.AWSRequest(method, server.endpoint + path, data=data,
                                             headers=headers or {})
    botocore.auth.SigV4Auth(botocore.credentials.Credentials("test", "test"), "lambda",
                            "us-east-1").add_auth(request)
    connection = http.client.HTTPConnection(server.endpoint.removeprefix("http://"), timeout=60)
    connection.request(method, path, body=data, headers=dict(request.headers))
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    return answer.status, answer.headers, json.loads(text) if text else None


def create(server, name="flow", handler="index.handler", timeout=300, durable=True, **more):
    body = {"FunctionName": name, "Runtime": "nodejs22.x", "Handler": handler, "Role": ROLE,
            "Code": {"ZipFile": base64.b64encode(package()).decode()}, "Timeout": 30,
            "MemorySize": 1024, **more}
    if durable:
        body["DurableConfig"] = {"ExecutionTimeout": timeout, "RetentionPeriodInDays": 1}
    status, _, answer = call(server, "POST", "/2015-03-31/functions", body)
    expect((status, answer.get("message")), (201, None))
    for _ in range(400):
        if call(server, "GET", f"/2015-03-31/functions/{name}/configuration")[2]["State"] == "Active":
            return answer
        time.sleep(0.05)
    raise AssertionError("never active")


def invoke(server, name="flow:$LATEST", kind="RequestResponse", execution=None, **event):
    headers = {"X-Amz-Invocation-Type": kind}
    if execution:
        headers["X-Amz-Durable-Execution-Name"] = execution
    return call(server, "POST", f"/2015-03-31/functions/{urllib.parse.quote(name)}/invocations",
                event, headers)


def execution(server, arn, what="", **query):
    return operate(server, "GetDurableExecution" + what, arn, **query)[2]


def wait_for(server, arn, wanted="SUCCEEDED", seconds=30):
    end = time.monotonic() + seconds
    while True:
        seen = execution(server, arn)
        if seen["Status"] == wanted:
            return seen
        if time.monotonic() > end or seen["Status"] != "RUNNING":
            raise AssertionError(f"never {wanted}: {seen}\n{history(server, arn)}")
        time.sleep(0.05)


def history(server, arn, **query):
    query.setdefault("IncludeExecutionData", "true")
    return execution(server, arn, "History", **query)["Events"]


def kinds(events):
    return [e["EventType"] for e in events]


@own_server
def test_steps_and_a_wait(server):
    created = create(server)
    expect(created["DurableConfig"], {"ExecutionTimeout": 300, "RetentionPeriodInDays": 1})
    status, headers, answer = invoke(server, flow="steps", n=4)
    expect((status, answer), (200, {"a": 5, "b": 10, "invocations": 2}))
    arn = headers["X-Amz-Durable-Execution-Arn"]
    seen = execution(server, arn)
    expect((seen["Status"], json.loads(seen["Result"]), json.loads(seen["InputPayload"])),
           ("SUCCEEDED", answer, {"flow": "steps", "n": 4}))
    expect(seen["Version"], "$LATEST")
    expect(kinds(history(server, arn)),
           ["ExecutionStarted", "StepStarted", "StepSucceeded", "WaitStarted",
            "InvocationCompleted", "WaitSucceeded", "StepStarted", "StepSucceeded",
            "InvocationCompleted", "ExecutionSucceeded"])


@own_server
def test_retries_failures_and_children(server):
    create(server)
    status, headers, answer = invoke(server, flow="retries")
    expect((status, answer), (200, 3))
    events = history(server, headers["X-Amz-Durable-Execution-Arn"])
    failed = [e["StepFailedDetails"] for e in events if e["EventType"] == "StepFailed"]
    expect([f["RetryDetails"] for f in failed],
           [{"CurrentAttempt": n, "NextAttemptDelaySeconds": 1} for n in (1, 2)])
    expect([f["Error"]["Payload"]["ErrorMessage"] for f in failed], ["attempt 1", "attempt 2"])
    status, headers, answer = invoke(server, flow="fails")
    expect((status, headers["X-Amz-Function-Error"]), (200, "Unhandled"))
    assert "no good" in answer["errorMessage"], answer
    seen = execution(server, headers["X-Amz-Durable-Execution-Arn"])
    expect((seen["Status"], seen.get("Result")), ("FAILED", None))
    assert "no good" in seen["Error"]["ErrorMessage"], seen
    status, headers, answer = invoke(server, flow="fan")
    expect((status, answer), (200, [1, 4, 9]))
    events = history(server, headers["X-Amz-Durable-Execution-Arn"])
    contexts = [e["Id"] for e in events if e["EventType"] == "ContextStarted"]
    inside = [e for e in events if e["EventType"] == "StepSucceeded"]
    expect(len(inside), 3)
    assert all(e["ParentId"] in contexts for e in inside), events


@own_server
def test_more_than_an_event_holds(server):
    """Operations beyond the invocation's event are asked for by GetDurableExecutionState."""
    create(server)
    status, _, answer = invoke(server, flow="large", count=12, bytes=700000)
    expect((status, answer), (200, "done"))


def callback_of(server, arn):
    for _ in range(400):
        for e in history(server, arn):
            if e["EventType"] == "CallbackStarted":
                return e["CallbackStartedDetails"]["CallbackId"]
        time.sleep(0.05)
    raise AssertionError("no callback")


def send(server, callback, what, body=b""):
    return operate(server, {"succeed": "SendDurableExecutionCallbackSuccess",
                            "fail": "SendDurableExecutionCallbackFailure",
                            "heartbeat": "SendDurableExecutionCallbackHeartbeat"}[what], callback, body)


@own_server
def test_callbacks(server):
    create(server)
    status, headers, _ = invoke(server, kind="Event", flow="approval")
    expect(status, 202)
    arn = headers["X-Amz-Durable-Execution-Arn"]
    callback = callback_of(server, arn)
    expect(send(server, callback, "heartbeat")[0], 200)
    expect(send(server, callback[:-8] + "AAAAAAA=", "succeed", b'"x"')[2]["Type"], "User")
    expect(send(server, callback, "succeed", b'{"yes":1}')[0], 200)
    seen = wait_for(server, arn)
    expect(json.loads(seen["Result"]), {"answer": '{"yes":1}'})
    status, _, answer = send(server, callback, "succeed", b'"again"')
    expect((status, answer["message"]), (400, "The callback has already been completed."))
    # One that fails, one that nobody answers, one whose heart stops.
    _, headers, _ = invoke(server, kind="Event", flow="approval")
    arn = headers["X-Amz-Durable-Execution-Arn"]
    send(server, callback_of(server, arn), "fail", {"ErrorMessage": "denied", "ErrorType": "No"})
    assert "denied" in wait_for(server, arn, "FAILED")["Error"]["ErrorMessage"]
    for event, text in (({"timeout": 1}, "timed out"), ({"timeout": 60, "heartbeat": 1}, "heartbeat")):
        _, headers, _ = invoke(server, kind="Event", flow="approval", **event)
        arn = headers["X-Amz-Durable-Execution-Arn"]
        callback = callback_of(server, arn)
        assert text in wait_for(server, arn, "FAILED")["Error"]["ErrorMessage"]
        status, _, answer = send(server, callback, "succeed", b"1")
        expect((status, answer["Message"]), (400, "The callback has timed out."))
        assert "CallbackTimedOut" in kinds(history(server, arn))


@own_server
def test_chained_invocations(server):
    create(server)
    create(server, "plain", "index.plain", durable=False)
    create(server, "broken", "index.broken", durable=False)
    status, headers, answer = invoke(server, flow="chain")
    expect((status, answer), (200, {"one": {"n": 21}, "two": 44}))
    events = history(server, headers["X-Amz-Durable-Execution-Arn"])
    started = [e["ChainedInvokeStartedDetails"] for e in events
               if e["EventType"] == "ChainedInvokeStarted"]
    expect([s["FunctionName"] for s in started], ["plain", "flow:$LATEST"])
    expect(json.loads(started[0]["Input"]["Payload"]), {"n": 20})
    status, headers, answer = invoke(server, flow="chain", plain="broken")
    expect(headers["X-Amz-Function-Error"], "Unhandled")
    assert "broken callee" in answer["errorMessage"], answer
    status, headers, answer = invoke(server, flow="chain", plain="nobody")
    assert "Function not found" in answer["errorMessage"], answer
    # The executions of the children are the function's too.
    listed = operate(server, "ListDurableExecutionsByFunction", "flow")[2]
    expect(sorted(e["Status"] for e in listed["DurableExecutions"]),
           ["FAILED", "FAILED", "SUCCEEDED", "SUCCEEDED"])


@own_server
def test_names_lists_and_stop(server):
    create(server)
    status, headers, _ = invoke(server, kind="Event", execution="order-1", flow="long", seconds=250)
    arn = headers["X-Amz-Durable-Execution-Arn"]
    assert "/durable-execution/order-1/" in arn, arn
    # The same once more is the same execution; another payload is refused.
    status, headers, _ = invoke(server, kind="Event", execution="order-1", flow="long", seconds=250)
    expect((status, headers["X-Amz-Durable-Execution-Arn"]), (202, arn))
    status, headers, answer = invoke(server, kind="Event", execution="order-1", flow="long", seconds=9)
    expect((status, headers["x-amzn-ErrorType"]), (409, "DurableExecutionAlreadyStartedException"))
    # A synchronous caller joins the running one, and hears that it was stopped.
    joined = []
    thread = threading.Thread(target=lambda: joined.append(invoke(
        server, execution="order-1", flow="long", seconds=250)))
    thread.start()
    # It waits, and the run that has brought it there has ended: nothing comes behind the stop.
    while not {"WaitStarted", "InvocationCompleted"} <= set(kinds(history(server, arn))):
        time.sleep(0.05)
    status, _, answer = operate(
        server, "StopDurableExecution", arn, {"ErrorMessage": "enough", "ErrorType": "Test"})
    expect(status, 200)
    thread.join(30)
    status, headers, answer = joined[0]
    expect((status, headers["X-Amz-Function-Error"], answer),
           (200, "Unhandled", {"errorMessage": "enough", "errorType": "Test"}))
    expect(kinds(history(server, arn, ReverseOrder="true"))[0], "ExecutionStopped")
    for n in range(4):
        expect(invoke(server, execution=f"order-{n + 2}", flow="steps", n=n)[0], 200)
    path = "/2025-12-01/functions/flow/durable-executions"
    names, marker = [], ""
    while True:
        page = call(server, "GET", f"{path}?MaxItems=2&Marker={marker}"
                    if marker else f"{path}?MaxItems=2")[2]
        assert len(page["DurableExecutions"]) <= 2
        names += [e["DurableExecutionName"] for e in page["DurableExecutions"]]
        marker = page.get("NextMarker")
        if not marker:
            break
    expect(names, ["order-5", "order-4", "order-3", "order-2", "order-1"])
    for query, wanted in (("Statuses=STOPPED", ["order-1"]), ("DurableExecutionName=order-3", ["order-3"]),
                          ("ReverseOrder=true&MaxItems=2", ["order-1", "order-2"]),
                          ("Statuses=RUNNING&Statuses=FAILED", []),
                          ("StartedAfter=2100-01-01T00:00:00Z", [])):
        page = call(server, "GET", f"{path}?{query}")[2]
        expect([e["DurableExecutionName"] for e in page["DurableExecutions"]], wanted)


@own_server
def test_refusals_of_invoke(server):
    create(server, timeout=1000)
    status, _, answer = invoke(server, flow="steps")
    expect((status, answer["message"]), (400, "You cannot synchronously invoke a durable function "
                                              "with an executionTimeout greater than 15 minutes."))
    status, _, answer = invoke(server, "flow", kind="Event", flow="steps")
    assert status == 400 and "qualifier" in answer["message"], answer
    status, _, answer = invoke(server, kind="Event", execution="has space", flow="steps")
    expect(status, 400)
    status, _, answer = call(server, "PUT", "/2015-03-31/functions/flow/configuration",
                             {"DurableConfig": {"ExecutionTimeout": 60}})
    expect((status, answer["DurableConfig"]), (200, {"ExecutionTimeout": 60, "RetentionPeriodInDays": 1}))
    create(server, "plain", "index.plain", durable=False)
    status, _, answer = call(server, "PUT", "/2015-03-31/functions/plain/configuration",
                             {"DurableConfig": {"ExecutionTimeout": 60}})
    assert status == 400 and "existing function" in answer["message"], answer
    status, _, answer = invoke(server, "plain", execution="named", n=1)
    assert status == 400 and "DurableExecutionName" in answer["message"], answer


@own_server
def test_execution_timeout_and_crashing_runtime(server):
    create(server, timeout=2)
    status, headers, answer = invoke(server, flow="long", seconds=60)
    expect((status, headers["X-Amz-Function-Error"]), (200, "Unhandled"))
    arn = headers["X-Amz-Durable-Execution-Arn"]
    expect((execution(server, arn)["Status"], kinds(history(server, arn))[-1]),
           ("TIMED_OUT", "ExecutionTimedOut"))
    # A runtime that exits is started again; the step that was recorded does not run twice.
    create(server, "again", timeout=6)
    _, headers, _ = invoke(server, "again:$LATEST", flow="crash")
    arn = headers["X-Amz-Durable-Execution-Arn"]
    events = history(server, arn)
    ends = [e["InvocationCompletedDetails"] for e in events if e["EventType"] == "InvocationCompleted"]
    assert len(ends) >= 2 and "exit status 3" in ends[0]["Error"]["Payload"]["ErrorMessage"], events
    expect(len([e for e in events if e["EventType"] == "StepSucceeded"]), 1)


@own_server
def test_kill_minus_nine(server):
    """Whatever was acknowledged goes on: waits, callbacks, an invocation that was cut off."""
    create(server)
    arns = {}
    for name, event in (("waits", {"flow": "long", "seconds": 4}), ("asks", {"flow": "approval"}),
                        ("works", {"flow": "slow", "count": 15})):
        status, headers, _ = invoke(server, kind="Event", execution=name, **event)
        expect(status, 202)
        arns[name] = headers["X-Amz-Durable-Execution-Arn"]
    callback = callback_of(server, arns["asks"])
    while len([k for k in kinds(history(server, arns["works"])) if k == "StepSucceeded"]) < 3:
        time.sleep(0.05)
    # One more that nobody has looked at when the server dies.
    status, headers, _ = invoke(server, kind="Event", execution="fresh", flow="steps", n=1)
    arns["fresh"] = headers["X-Amz-Durable-Execution-Arn"]
    server.stop(kill=True)
    server.start()
    before = [e["Id"] for e in history(server, arns["works"]) if e["EventType"] == "StepSucceeded"]
    assert len(before) >= 3, before
    expect(send(server, callback, "succeed", b'"yes"')[0], 200)
    expect(json.loads(wait_for(server, arns["asks"])["Result"]), {"answer": '"yes"'})
    expect(json.loads(wait_for(server, arns["works"])["Result"]), "slow")
    expect(json.loads(wait_for(server, arns["waits"])["Result"]), "waited")
    expect(json.loads(wait_for(server, arns["fresh"])["Result"])["b"], 4)
    after = [e["Id"] for e in history(server, arns["works"]) if e["EventType"] == "StepSucceeded"]
    expect((len(after), after[:len(before)]), (15, before))


# Tells its token and does nothing, so that a test can speak for it.
RAW = """
import json, time
def handler(event, context):
    print('RAW ' + json.dumps(event))
    time.sleep(9)
    return {'Status': 'PENDING'}
"""


def zip_of(name, text):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        z.writestr(name, text)
    return base64.b64encode(out.getvalue()).decode()


def log_lines(server, name):
    """Messages of a function's log group so far."""
    logs = server.client("logs")
    groups = [g["logGroupName"] for g in logs.describe_log_groups()["logGroups"]]
    group = f"/aws/lambda/{name}"
    return [e["message"] for e in logs.filter_log_events(logGroupName=group)["events"]] \
        if group in groups else []


def raw_event(server, name):
    for _ in range(400):
        for message in log_lines(server, name):
            if message.startswith("RAW "):
                return json.loads(message[4:])
        time.sleep(0.05)
    raise AssertionError("it did not start")


class Speaker:
    """Checkpoints of one execution."""

    def __init__(self, server, event):
        self.server, self.arn, self.token = server, event["DurableExecutionArn"], event["CheckpointToken"]

    def send(self, *updates, token=None, client=None):
        body = {"CheckpointToken": token or self.token, "Updates": list(updates)}
        if client:
            body["ClientToken"] = client
        return operate(self.server, "CheckpointDurableExecution", self.arn, body)

    def take(self, *updates, **more):
        status, _, answer = self.send(*updates, **more)
        expect((status, answer.get("message")), (200, None))
        self.token = answer.get("CheckpointToken")
        return answer["NewExecutionState"]["Operations"]

    def refused(self, message, *updates, **more):
        status, headers, answer = self.send(*updates, **more)
        expect((status, headers["x-amzn-ErrorType"], answer.get("message")),
               (400, "InvalidParameterValueException", message))


def update(kind, action, identity, **more):
    return {"Id": identity, "Type": kind, "Action": action, **more}


@own_server
def test_checkpoints(server):
    create(server, "raw", Runtime="python3.11",
           Code={"ZipFile": zip_of("index.py", RAW)})
    status, headers, _ = invoke(server, "raw:$LATEST", kind="Event", text="hello")
    expect(status, 202)
    event = raw_event(server, "raw")
    expect(event["DurableExecutionArn"], headers["X-Amz-Durable-Execution-Arn"])
    state = event["InitialExecutionState"]
    expect((state["NextMarker"], len(state["Operations"])), ("", 1))
    first = state["Operations"][0]
    expect((first["Type"], first["Status"], json.loads(first["ExecutionDetails"]["InputPayload"])),
           ("EXECUTION", "STARTED", {"text": "hello"}))
    x = Speaker(server, event)
    # Nothing of a refused request is done: the same token is good afterwards.
    x.refused("Invalid Checkpoint Token", token="QUJD")
    x.refused("Invalid parent operation id.", update("STEP", "START", "a"),
              update("STEP", "START", "b", ParentId="a"))
    x.refused("Cannot update the same operation twice in a single request.",
              update("STEP", "START", "a"), update("STEP", "START", "a"))
    x.refused("Cannot checkpoint multiple EXECUTION updates.", update("EXECUTION", "FAIL", "x"),
              update("EXECUTION", "SUCCEED", "y"))
    x.refused("EXECUTION checkpoint must be the last update.", update("EXECUTION", "SUCCEED", "x"),
              update("STEP", "START", "a"))
    x.refused("Invalid action for the given operation type.", update("WAIT", "SUCCEED", "w"))
    x.refused("Invalid StepOptions for the given action.", update("STEP", "RETRY", "a"))
    first_token = x.token
    done = x.take(update("CONTEXT", "START", "c"), update("STEP", "START", "a", ParentId="c"),
                  update("STEP", "SUCCEED", "a", ParentId="c", Payload="1"), client="one")
    expect([(o["Id"], o["Status"]) for o in done], [("c", "STARTED"), ("a", "SUCCEEDED")])
    expect(done[1]["StepDetails"], {"Attempt": 1, "Result": "1"})
    # The request once more, as a client that missed the answer sends it.
    again = x.take(update("CONTEXT", "START", "c"), update("STEP", "START", "a", ParentId="c"),
                   update("STEP", "SUCCEED", "a", ParentId="c", Payload="1"), client="one",
                   token=first_token)
    expect(again, done)
    x.refused("Invalid Checkpoint Token", token=first_token, client="two")
    x.refused("Inconsistent operation type.", update("WAIT", "START", "a", ParentId="c",
                                                     WaitOptions={"WaitSeconds": 1}))
    x.refused("Invalid current STEP state to close.",
              update("STEP", "FAIL", "a", ParentId="c", Error={"ErrorMessage": "late"}))
    operations = x.take(update("WAIT", "START", "w", WaitOptions={"WaitSeconds": 1}),
                        update("CALLBACK", "START", "k", CallbackOptions={"TimeoutSeconds": 60}),
                        update("STEP", "RETRY", "r", Error={"ErrorMessage": "no"},
                               StepOptions={"NextAttemptDelaySeconds": 1}))
    expect([o["Status"] for o in operations], ["STARTED", "STARTED", "PENDING"])
    callback = operations[1]["CallbackDetails"]["CallbackId"]
    x.refused("Cannot start a WAIT that already exist.",
              update("WAIT", "START", "w", WaitOptions={"WaitSeconds": 1}))
    expect(send(server, callback, "succeed", b'"answer"')[0], 200)
    # What ends while the function runs is in the answer to its next checkpoint.
    seen = {}
    for _ in range(100):
        seen.update((o["Id"], o) for o in x.take())
        if len(seen) == 3:
            break
        time.sleep(0.05)
    expect({k: o["Status"] for k, o in seen.items()},
           {"w": "SUCCEEDED", "k": "SUCCEEDED", "r": "READY"})
    expect(seen["k"]["CallbackDetails"]["Result"], '"answer"')
    x.take(update("STEP", "START", "r"))
    x.take(update("STEP", "SUCCEED", "r"), update("WAIT", "START", "v", WaitOptions={"WaitSeconds": 99}))
    expect([o["Status"] for o in x.take(update("WAIT", "CANCEL", "v"))], ["CANCELLED"])
    # Pages of the state; what is inside a completed context is left out.
    def page(**more):
        return execution(server, x.arn, "State", CheckpointToken=x.token, **more)
    one = page(MaxItems=2)
    expect([o["Id"] for o in one["Operations"]][1:], ["c"])
    two = page(Marker=one["NextMarker"])
    expect(([o["Id"] for o in two["Operations"]], two.get("NextMarker")), (["a", "w", "k", "r", "v"], None))
    x.take(update("CONTEXT", "SUCCEED", "c", Payload="[]"))
    expect([o["Id"] for o in page()["Operations"]][1:], ["c", "w", "k", "r", "v"])
    x.take(update("CONTEXT", "START", "d"), update("STEP", "SUCCEED", "e", ParentId="d"))
    x.take(update("CONTEXT", "SUCCEED", "d", ContextOptions={"ReplayChildren": True}))
    expect([o["Id"] for o in page()["Operations"]][-2:], ["d", "e"])
    x.refused("Cannot provide a Payload for FAIL action.", update("EXECUTION", "FAIL", "x", Payload="1"))
    expect(x.take(update("EXECUTION", "SUCCEED", "x", Payload='"the end"')), [])
    expect(x.token, None)
    seen = execution(server, x.arn)
    expect((seen["Status"], seen["Result"]), ("SUCCEEDED", '"the end"'))
    expect(execution(server, x.arn, IncludeExecutionData="false").get("Result"), None)
    # The history in pages, from both ends, with and without its data.
    everything, marker = [], None
    while True:
        got = execution(server, x.arn, "History", MaxItems=4, **({"Marker": marker} if marker else {}))
        everything += got["Events"]
        marker = got.get("NextMarker")
        if not marker:
            break
    expect([e["EventId"] for e in everything], list(range(1, len(everything) + 1)))
    expect(history(server, x.arn, ReverseOrder="true"), everything[::-1])
    assert "WaitCancelled" in kinds(everything) and "ContextSucceeded" in kinds(everything)
    for e in history(server, x.arn, IncludeExecutionData="false"):
        assert "Payload" not in json.dumps(e), e


TENANTS = """
import logging, os, uuid
me, calls = str(uuid.uuid4()), 0
def handler(event, context):
    global calls
    calls += 1
    before = os.listdir('/tmp')
    open('/tmp/' + context.tenant_id, 'w').close()
    logging.getLogger().warning('working')
    return {'me': me, 'calls': calls, 'tmp': before, 'tenant': context.tenant_id}
"""


TENANTS_JS = """
let calls = 0;
exports.handler = async (event, context) => {
    console.log('from node');
    return { tenant: context.tenantId, calls: ++calls };
};
"""


def for_tenant(server, tenant, kind="RequestResponse", name="t"):
    headers = {"X-Amz-Invocation-Type": kind}
    if tenant:
        headers["X-Amz-Tenant-Id"] = tenant
    return call(server, "POST", f"/2015-03-31/functions/{name}/invocations", {}, headers)


@own_server
def test_tenants(server):
    isolated = {"TenancyConfig": {"TenantIsolationMode": "PER_TENANT"}}
    created = create(server, "t", durable=False, Runtime="python3.11",
                     Code={"ZipFile": zip_of("index.py", TENANTS)},
                     LoggingConfig={"LogFormat": "JSON"}, **isolated)
    expect(created["TenancyConfig"], isolated["TenancyConfig"])
    seen = {}
    for round_ in range(3):
        for tenant in ("blue", "green", "dark red@x:1"):
            status, _, answer = for_tenant(server, tenant)
            expect((status, answer["tenant"]), (200, tenant))
            if tenant.startswith("dark"):
                continue
            expect(answer["calls"], round_ + 1)
            expect(answer["tmp"], [tenant] if round_ else [])
            expect(seen.setdefault(tenant, answer["me"]), answer["me"])
    expect(len(set(seen.values())), 2)
    status, _, answer = for_tenant(server, None)
    expect((status, answer["message"]), (400, "The invoked function is enabled with tenancy "
                                              "configuration. Add a valid tenant ID in your request "
                                              "and try again."))
    expect(for_tenant(server, "no#good")[0], 400)
    create(server, "p", durable=False, Runtime="python3.11",
           Code={"ZipFile": zip_of("index.py", "def handler(e, c): return c.tenant_id")})
    expect(for_tenant(server, "blue", name="p")[0], 400)
    # An event keeps its tenant on its way through the store.
    expect(for_tenant(server, "later", "Event")[0], 202)
    tenants = {}
    for _ in range(200):
        for line in map(json.loads, log_lines(server, "t")):
            tenants.setdefault(line.get("type", "line"), set()).add(
                line.get("tenantId") or line.get("record", {}).get("tenantId"))
        if "later" in tenants.get("platform.report", ()):
            break
        time.sleep(0.1)
    for kind in ("line", "platform.start", "platform.report"):
        assert {"blue", "green", "later"} <= tenants[kind], tenants
    create(server, "j", durable=False, Code={"ZipFile": zip_of("index.js", TENANTS_JS)},
           LoggingConfig={"LogFormat": "JSON"}, **isolated)
    for tenant in ("blue", "green"):
        expect(for_tenant(server, tenant, name="j")[2], {"tenant": tenant, "calls": 1})
    for _ in range(100):
        lines = [json.loads(message) for message in log_lines(server, "j")]
        if {"blue", "green"} <= {x.get("tenantId") for x in lines if x.get("message") == "from node"}:
            break
        time.sleep(0.1)
    else:
        raise AssertionError(lines)
    if not os.access("/usr/bin/ruby", os.X_OK):
        print("        skipped: no ruby")
        return
    create(server, "r", durable=False, Runtime="ruby3.3", Handler="index.handler",
           Code={"ZipFile": zip_of("index.rb", "def handler(event:, context:) = raise('by ' + context.tenant_id)")},
           LoggingConfig={"LogFormat": "JSON"}, **isolated)
    for tenant in ("blue", "green"):
        expect(for_tenant(server, tenant, name="r")[2]["errorMessage"], "by " + tenant)
    for _ in range(100):
        lines = [json.loads(message) for message in log_lines(server, "r")]
        found = {(x.get("tenantId"), x["errorMessage"]) for x in lines if "errorMessage" in x}
        if {("blue", "by blue"), ("green", "by green")} <= found:
            break
        time.sleep(0.1)
    else:
        raise AssertionError(lines)
    # What it cannot have.
    version = call(server, "POST", "/2015-03-31/functions/t/versions", {})[2]["Version"]
    for method, path, body in (
            ("POST", "/2021-10-31/functions/t/url", {"AuthType": "NONE"}),
            ("PUT", f"/2019-09-30/functions/t/provisioned-concurrency?Qualifier={version}",
             {"ProvisionedConcurrentExecutions": 1}),
            ("POST", "/2015-03-31/event-source-mappings/",
             {"FunctionName": "t", "StartingPosition": "LATEST", "EventSourceArn":
              "arn:aws:dynamodb:us-east-1:000000000000:table/a/stream/2026-01-01T00:00:00.000"})):
        status, _, answer = call(server, method, path, body)
        assert status == 400 and "tenancy configuration" in answer["message"], (path, answer)
    # The version has the mode too, and its own instances.
    expect(for_tenant(server, "blue", name=f"t:{version}")[2]["calls"], 1)
    # New code: instances of every tenant are new.
    call(server, "PUT", "/2015-03-31/functions/t/configuration", {"Timeout": 20})
    for _ in range(200):
        if call(server, "GET", "/2015-03-31/functions/t/configuration")[2]["LastUpdateStatus"] == "Successful":
            break
        time.sleep(0.05)
    expect(for_tenant(server, "blue")[2]["calls"], 1)


@own_server
def test_roles_are_held_to_their_policies(server):
    """A role needs the two operations on its executions, and InvokeFunction for what it calls."""
    iam = server.client("iam")
    trust = json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}]})

    def role(name, *statements):
        arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)["Role"]["Arn"]
        iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=json.dumps(
            {"Version": "2012-10-17", "Statement": list(statements)}))
        return arn

    own = {"Effect": "Allow", "Resource": "arn:aws:lambda:us-east-1:000000000000:function:*:*",
           "Action": ["lambda:CheckpointDurableExecution", "lambda:GetDurableExecutionState"]}
    logs = {"Effect": "Allow", "Resource": "*", "Action": "logs:*"}
    create(server, "none", Role=role("logs-only", logs))
    create(server, "own", Role=role("own", logs, own))
    create(server, "all", Role=role("all", logs, own, {
        "Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": "*"}))
    create(server, "plain", "index.plain", durable=False)
    create(server)
    status, headers, answer = invoke(server, "none:$LATEST", flow="steps", n=1)
    expect(headers["X-Amz-Function-Error"], "Unhandled")
    assert "not authorized" in answer["errorMessage"], answer
    expect(invoke(server, "own:$LATEST", flow="steps", n=1)[2]["b"], 4)
    _, headers, answer = invoke(server, "own:$LATEST", flow="chain")
    expect(headers["X-Amz-Function-Error"], "Unhandled")
    assert "lambda:InvokeFunction" in answer["errorMessage"], answer
    _, headers, answer = invoke(server, "all:$LATEST", flow="chain")
    expect((headers.get("X-Amz-Function-Error"), answer), (None, {"one": {"n": 21}, "two": 44}))


@own_server
def test_deleted_functions_and_versions(server):
    create(server)
    version = call(server, "POST", "/2015-03-31/functions/flow/versions", {})[2]["Version"]
    call(server, "POST", "/2015-03-31/functions/flow/aliases",
         {"Name": "live", "FunctionVersion": version})
    _, headers, answer = invoke(server, "flow:live", flow="steps", n=2)
    arn = headers["X-Amz-Durable-Execution-Arn"]
    assert f":function:flow:{version}/durable-execution/" in arn, arn
    expect((answer["b"], headers["X-Amz-Executed-Version"]), (6, version))
    assert execution(server, arn)["FunctionArn"].endswith(":flow:live")
    # Those of one version.
    path = "/2025-12-01/functions/flow/durable-executions"
    expect(len(call(server, "GET", f"{path}?Qualifier={version}")[2]["DurableExecutions"]), 1)
    expect(call(server, "GET", f"{path}?Qualifier=$LATEST")[2]["DurableExecutions"], [])
    _, headers, _ = invoke(server, kind="Event", flow="long", seconds=200)
    arn = headers["X-Amz-Durable-Execution-Arn"]
    expect(call(server, "DELETE", "/2015-03-31/functions/flow")[0], 204)
    seen = wait_for(server, arn, "STOPPED")
    expect(seen["Error"]["ErrorMessage"], "The function was deleted.")
    while "InvocationCompleted" not in kinds(history(server, arn)):
        time.sleep(0.05)  # what ran hears of it at its next checkpoint


@own_server
def test_a_chain_stops_with_its_first(server):
    create(server)
    _, headers, _ = invoke(server, kind="Event", execution="first", flow="nest", depth=3)
    arn = headers["X-Amz-Durable-Execution-Arn"]
    path = "/2025-12-01/functions/flow/durable-executions"

    def states():
        listed = call(server, "GET", path + "?ReverseOrder=true")[2]["DurableExecutions"]
        return [e["Status"] for e in listed], listed[-1]["DurableExecutionArn"]
    for _ in range(400):
        seen, last = states()
        if len(seen) == 4 and "WaitStarted" in kinds(history(server, last)):
            break
        time.sleep(0.05)
    expect(seen, ["RUNNING"] * 4)
    expect(operate(server, "StopDurableExecution", arn, b"")[0], 200)
    expect(states()[0], ["STOPPED"] * 4)


@own_server
def test_resource_policies(server):
    """The newest operations on a function's policy: it is the one that AddPermission edits."""
    create(server, "plain", "index.plain", durable=False)
    arn = "arn:aws:lambda:us-east-1:000000000000:function:plain"
    def policy(what, body=None, name=arn, **query):
        return operate(server, what + "ResourcePolicy", name, body, **query)

    expect(policy("Get")[0], 404)
    functions = server.client("lambda")
    functions.add_permission(FunctionName="plain", StatementId="one", Action="lambda:InvokeFunction",
                             Principal="111122223333")
    first = policy("Get")[2]
    expect(json.loads(first["Policy"]), json.loads(functions.get_policy(FunctionName="plain")["Policy"]))
    document = json.dumps({"Version": "2012-10-17", "Statement": [
        {"Sid": "two", "Effect": "Allow", "Principal": {"AWS": "111122223333"},
         "Action": "lambda:InvokeFunction", "Resource": arn}]})
    expect(policy("Put", {"Policy": document, "RevisionId": "0" * 36})[0], 412)
    put = policy("Put", {"Policy": document, "RevisionId": first["RevisionId"]})[2]
    expect((put["Policy"], policy("Get")[2]), (document, put))
    functions.add_permission(FunctionName="plain", StatementId="three", Action="lambda:InvokeFunction",
                             Principal="s3.amazonaws.com")
    expect([s["Sid"] for s in json.loads(policy("Get")[2]["Policy"])["Statement"]],
           ["two", "three"])
    for bad in ("no", "{}", '{"Statement":[{"Effect":"Allow"}]}', '{"Statement":{}}'):
        status, headers, _ = policy("Put", {"Policy": bad})
        expect((status, headers["x-amzn-ErrorType"]), (400, "InvalidParameterValueException"))
    expect(policy("Delete", RevisionId=put["RevisionId"])[0], 412)
    expect(policy("Delete")[0], 204)
    expect(policy("Get")[0], 404)
    expect(policy("Put", {"Policy": document}, arn + ":nobody")[0], 404)


if __name__ == "__main__":
    main(globals())
