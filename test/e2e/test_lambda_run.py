#!/usr/bin/python3
"""How functions run, through boto3 and the JavaScript SDK: streams, concurrency, asynchronous events."""
import base64
import http.client
import io
import json
import os
import shutil
import subprocess
import threading
import time
import zipfile

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import botocore.eventstream

import harness
from harness import error_of, expect, main

ROLE = "arn:aws:iam::000000000000:role/none"
MODULES = os.path.join(harness.ROOT, "build", "js")

STREAM = """
exports.handler = awslambda.streamifyResponse(async (event, stream, context) => {
    for (let i = 0; i < event.n; i++) {
        stream.write(`part ${i};`);
        await new Promise((done) => setTimeout(done, 150));
    }
    if (event.fail)
        throw new RangeError('late');
    stream.end();
});
exports.http = awslambda.streamifyResponse(async (event, stream) => {
    stream = awslambda.HttpResponseStream.from(stream, { statusCode: 201, headers: { 'x-a': 'b' } });
    stream.write('body');
    stream.end();
});
exports.flood = awslambda.streamifyResponse(async (event, stream) => {
    const block = Buffer.alloc(65536, 'x');
    let sent = 0;
    const begun = Date.now();
    while (Date.now() - begun < 1500) {
        if (!stream.write(block))
            await Promise.race([new Promise((done) => stream.once('drain', done)),
                                new Promise((done) => setTimeout(done, 100))]);
        else
            sent++;
    }
    console.log(`sent ${sent} blocks`);
    stream.destroy();
});
exports.early = awslambda.streamifyResponse(async () => { throw new TypeError('early'); });
exports.twice = async (event) => ({ a: event, b: event });
exports.plain = async (event) => ({ got: event });
"""


def zip_of(**files):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        for name, text in files.items():
            z.writestr(name.replace("__", "."), text)
    return out.getvalue()


def create(functions, name, handler="index.handler", runtime="nodejs22.x", text=STREAM, **more):
    file = "index__py" if runtime.startswith("python") else "index__js"
    more.setdefault("Timeout", 20)
    more.setdefault("MemorySize", 1024)
    functions.create_function(FunctionName=name, Runtime=runtime, Handler=handler, Role=ROLE,
                              Code={"ZipFile": zip_of(**{file: text})}, **more)
    functions.get_waiter("function_active_v2").wait(FunctionName=name)


SDK = """
import boto3
table = boto3.resource('dynamodb').Table('sdk')
def handler(event, context):
    table.put_item(Item={'k': event['k']})
    item = table.get_item(Key={'k': event['k']})['Item']
    return {'item': item, 'who': boto3.client('sts').get_caller_identity()['Arn']}
def foreign(event, context):
    import yaml
"""


def test_python_sdk(server):
    """boto3 is part of AWS's runtimes: the host's is found, and nothing else of the host's packages; what the
    function brings goes first."""
    functions, tables = server.client("lambda"), server.client("dynamodb")
    tables.create_table(TableName="sdk", BillingMode="PAY_PER_REQUEST",
                        KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
                        AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}])
    create(functions, "sdk", runtime="python3.13", text=SDK)
    seen = json.loads(functions.invoke(FunctionName="sdk", Payload=b'{"k": "1"}')["Payload"].read())
    expect(seen, {"item": {"k": "1"}, "who": "arn:aws:sts::000000000000:assumed-role/none/sdk"})
    expect(tables.get_item(TableName="sdk", Key={"k": {"S": "1"}})["Item"], {"k": {"S": "1"}})
    create(functions, "foreign", "index.foreign", runtime="python3.13", text=SDK)
    answer = functions.invoke(FunctionName="foreign")
    expect(json.loads(answer["Payload"].read())["errorType"], "ModuleNotFoundError")
    functions.create_function(FunctionName="own", Runtime="python3.13", Handler="index.handler", Role=ROLE, Code={
        "ZipFile": zip_of(boto3__py="me = 'own'", index__py="import boto3\ndef handler(e, c): return boto3.me")})
    functions.get_waiter("function_active_v2").wait(FunctionName="own")
    expect(json.loads(functions.invoke(FunctionName="own")["Payload"].read()), "own")


def test_init_that_fails(server):
    """The tail of an invocation that found no initialised instance tells what init has said."""
    functions = server.client("lambda")
    create(functions, "broken", runtime="python3.13", text="print('begins')\nimport nothing_like_it\n")
    answer = functions.invoke(FunctionName="broken", LogType="Tail")
    expect(json.loads(answer["Payload"].read())["errorType"], "Runtime.ImportModuleError")
    tail = base64.b64decode(answer["LogResult"]).decode()
    places = [tail.find(text) for text in (
        "INIT_START ", "begins\n", "[ERROR] Runtime.ImportModuleError: Unable to import module 'index': No module "
        "named 'nothing_like_it'", "INIT_REPORT ", "START RequestId: ", "END RequestId: ", "REPORT RequestId: ")]
    if -1 in places or places != sorted(places):
        raise AssertionError(tail)
    create(functions, "good", runtime="python3.13", text=
           "print('begins')\ndef handler(event, context): print('runs')\n")
    tail = base64.b64decode(functions.invoke(FunctionName="good", LogType="Tail")["LogResult"]).decode()
    expect(("begins" in tail, "INIT_START" in tail, "runs\n" in tail), (False, False, True))


def javascript(server, *arguments):
    """What test/e2e/run.mjs prints, run with the SDK of build/js."""
    script = os.path.join(MODULES, "run.mjs")
    shutil.copy(os.path.join(harness.ROOT, "test", "e2e", "run.mjs"), script)
    done = subprocess.run(
        [os.path.join(MODULES, "node_modules", "node", "bin", "node"), script, server.endpoint,
         *arguments], capture_output=True, text=True, timeout=60, check=False)
    expect((done.returncode, done.stderr), (0, ""))
    return json.loads(done.stdout)


def open_stream(server, name, payload=b"{}", **headers):
    """InvokeWithResponseStream, signed: the open answer. The installed boto3 is older than it."""
    path = f"/2021-11-15/functions/{name}/response-streaming-invocations"
    request = botocore.awsrequest.AWSRequest("POST", server.endpoint + path, data=payload, headers={
        k.replace("_", "-"): v for k, v in headers.items()})
    botocore.auth.SigV4Auth(botocore.credentials.Credentials("test", "test"), "lambda",
                            "us-east-1").add_auth(request)
    host = server.endpoint.removeprefix("http://")
    connection = http.client.HTTPConnection(host, timeout=60)
    connection.request("POST", path, body=payload, headers=dict(request.headers))
    return connection, connection.getresponse()


def events_of(answer):
    """The events as the SDK's own decoder sees them, which checks every checksum."""
    buffer = botocore.eventstream.EventStreamBuffer()
    while True:
        data = answer.read1(65536)
        if not data:
            break
        buffer.add_data(data)
        for event in buffer:
            yield event.headers, event.payload
    expect(bytes(buffer._data), b"")  # nothing is cut


def stream(server, name, payload, **headers):
    """The parts with the times of their arrival, and InvokeComplete."""
    connection, answer = open_stream(server, name, json.dumps(payload).encode(), **headers)
    expect(answer.status, 200)
    expect(answer.getheader("Content-Type"), "application/vnd.amazon.eventstream")
    expect(answer.getheader("X-Amz-Executed-Version"), "$LATEST")
    parts, complete = [], None
    for about, body in events_of(answer):
        expect(complete, None)  # it is the last
        expect(about[":message-type"], "event")
        if about[":event-type"] == "PayloadChunk":
            parts.append((time.monotonic(), body))
        else:
            expect(about[":event-type"], "InvokeComplete")
            complete = json.loads(body)
    connection.close()
    return parts, complete


def test_response_stream(server):
    functions = server.client("lambda")
    create(functions, "s")
    parts, complete = stream(server, "s", {"n": 4}, X_Amz_Log_Type="Tail")
    expect(b"".join(p for _, p in parts), b"part 0;part 1;part 2;part 3;")
    if parts[-1][0] - parts[0][0] < 0.3:
        raise AssertionError("the parts came together")
    expect(b"REPORT RequestId: " in base64.b64decode(complete["LogResult"]), True)
    expect("ErrorCode" in complete, False)
    # A failure behind a part, and one before any.
    parts, complete = stream(server, "s", {"n": 1, "fail": True})
    expect(parts[0][1], b"part 0;")
    expect(complete["ErrorCode"], "Unhandled")
    expect(json.loads(complete["ErrorDetails"])["errorType"], "RangeError")
    create(functions, "early", "index.early")
    parts, complete = stream(server, "early", {})
    expect(parts, [])
    expect(json.loads(complete["ErrorDetails"])["errorMessage"], "early")
    # Not a streaming handler, and a streaming one that is asked for the whole.
    create(functions, "plain", "index.plain")
    parts, complete = stream(server, "plain", {"a": 1})
    expect(json.loads(b"".join(p for _, p in parts)), {"got": {"a": 1}})
    answer = functions.invoke(FunctionName="s", Payload=b'{"n":2}')
    expect(answer["Payload"].read(), b"part 0;part 1;")
    create(functions, "http", "index.http")
    parts, _ = stream(server, "http", {})
    expect(b"".join(p for _, p in parts),
           b'{"statusCode":201,"headers":{"x-a":"b"}}' + bytes(8) + b"body")
    # Refused before anything is streamed, or not run at all.
    for name, payload, more, wanted in (
            ("absent", b"{}", {}, (404, "ResourceNotFoundException")),
            ("s", b"{", {}, (400, "InvalidRequestContentException")),
            ("s", b"{}", {"X_Amz_Invocation_Type": "Event"}, (400, "ValidationException")),
            ("s", b"{}", {"X_Amz_Tenant_Id": "t"}, (400, "InvalidParameterValueException")),
            ("s", b"{}", {"X_Amz_Invocation_Type": "DryRun"}, (204, None))):
        connection, answer = open_stream(server, name, payload, **more)
        expect((answer.status, answer.getheader("x-amzn-ErrorType")), wanted)
        connection.close()


def test_response_stream_javascript(server):
    functions = server.client("lambda")
    create(functions, "s")
    seen = javascript(server, "s")
    expect((seen["status"], seen["version"]), (200, "$LATEST"))
    expect("".join(p["text"] for p in seen["parts"]), "part 0;part 1;part 2;")
    expect(seen["parts"][-1]["at"] - seen["parts"][0]["at"] >= 200, True)
    expect("LogResult" in seen["complete"], True)


def test_stream_holds_back(server):
    """A client that does not read: the function is held back, nothing piles up here."""
    functions = server.client("lambda")
    create(functions, "flood", "index.flood")
    connection, answer = open_stream(server, "flood", X_Amz_Log_Type="Tail")
    time.sleep(2.5)
    parts = [(about[":event-type"], body) for about, body in events_of(answer)]
    connection.close()
    read = sum(len(body) for kind, body in parts if kind == "PayloadChunk")
    expect(json.loads(json.loads(parts[-1][1])["ErrorDetails"])["errorType"],
           "Runtime.TruncatedResponse")
    if not 0 < read < 20 * 1024 * 1024:
        raise AssertionError(f"{read} bytes were on their way")


def test_client_leaves(server):
    """A client that hangs up in the middle does no harm to the next one."""
    functions = server.client("lambda")
    create(functions, "s")
    for _ in range(3):
        connection, answer = open_stream(server, "s", b'{"n":4}')
        expect(answer.status, 200)
        connection.close()
    parts, complete = stream(server, "s", {"n": 1})
    expect(b"".join(p for _, p in parts), b"part 0;")
    expect(complete, {})


def test_invoke_async(server):
    functions = server.client("lambda")
    create(functions, "f", "index.handler", "python3.11",
           "def handler(event, context):\n    print('seen', event['n'])\n")
    expect(functions.invoke_async(FunctionName="f", InvokeArgs=b'{"n":41}')["Status"], 202)
    expect(error_of(functions.invoke_async, FunctionName="f", InvokeArgs=b'"%s"' % (b"x" * 262143))[::2],
           ("RequestTooLargeException", 413))
    expect(error_of(functions.invoke_async, FunctionName="f", InvokeArgs=b"{")[::2],
           ("InvalidRequestContentException", 400))
    logs = server.client("logs")
    for _ in range(200):
        try:
            found = logs.filter_log_events(logGroupName="/aws/lambda/f")["events"]
        except logs.exceptions.ResourceNotFoundException:
            found = []
        if any("seen 41" in e["message"] for e in found):
            return
        time.sleep(0.05)
    raise AssertionError("the event never ran")


def test_payload_limits(server):
    functions = server.client("lambda")
    create(functions, "plain", "index.plain")
    expect(error_of(functions.invoke, FunctionName="plain", InvocationType="Event",
                    Payload=json.dumps("x" * 1048576))[::2], ("RequestTooLargeException", 413))
    expect(error_of(functions.invoke, FunctionName="plain",
                    Payload=json.dumps("x" * 6291456))[::2], ("RequestTooLargeException", 413))
    whole = "x" * (6291456 - 2)
    answer = functions.invoke(FunctionName="plain", Payload=json.dumps(whole))
    expect(json.load(answer["Payload"]), {"got": whole})
    create(functions, "twice", "index.twice")
    answer = functions.invoke(FunctionName="twice", Payload=json.dumps("x" * 4000000))
    expect(answer["FunctionError"], "Unhandled")
    expect(json.load(answer["Payload"])["errorType"], "Function.ResponseSizeTooLarge")


CHAIN = """
import json, os, socket
def handler(event, context):
    if event['n'] == 0:
        return 0
    body = json.dumps({'n': event['n'] - 1})
    s = socket.create_connection(('127.0.0.1', 4566))
    s.sendall(('POST /2015-03-31/functions/chain/invocations HTTP/1.0\\r\\nHost: 127.0.0.1\\r\\n'
        'Authorization: AWS4-HMAC-SHA256 Credential=' + os.environ['AWS_ACCESS_KEY_ID'] +
        '/20260101/us-east-1/lambda/aws4_request, SignedHeaders=host, Signature=' + '0' * 64 +
        '\\r\\nX-Amz-Date: 20260101T000000Z\\r\\nContent-Length: ' + str(len(body)) + '\\r\\n\\r\\n'
        + body).encode())
    answer = b''
    while part := s.recv(4096):
        answer += part
    head, _, body = answer.partition(b'\\r\\n\\r\\n')
    if b' 200 ' not in head.split(b'\\r\\n')[0] or b'unction-error' in head.lower():
        raise RuntimeError(answer.decode())
    return json.loads(body) + 1
"""


def test_chain_of_100(server):
    """A function that invokes itself, 100 deep: every level holds an instance until the last answers."""
    functions = server.client("lambda", read_timeout=120)
    create(functions, "chain", "index.handler", "python3.11", CHAIN, Timeout=100, MemorySize=128)
    answer = functions.invoke(FunctionName="chain", Payload=b'{"n":99}')
    expect(answer["Payload"].read(), b"99")


LOOP = CHAIN.replace("Host: 127", "X-Amz-Invocation-Type: Event\\r\\nX-Amzn-Trace-Id: ' + "
                     "os.environ['_X_AMZN_TRACE_ID'] + '\\r\\nHost: 127").replace(
    "if b' 200 '", "print('ran')\n    if b' 202 '").replace("return json.loads(body) + 1", "return 1")


def test_loop_of_events(server):
    """A function that sends itself events is stopped after 16 runs; one that may loop is not."""
    functions, logs = server.client("lambda"), server.client("logs")

    def runs():
        try:
            events = logs.filter_log_events(logGroupName="/aws/lambda/chain", limit=1000)["events"]
        except logs.exceptions.ResourceNotFoundException:
            return 0
        return sum(e["message"].strip() == "ran" for e in events)

    def settled(wanted):
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and runs() < wanted:
            time.sleep(0.2)
        expect(runs(), wanted)

    create(functions, "chain", "index.handler", "python3.11", LOOP, MemorySize=128)
    functions.invoke(FunctionName="chain", InvocationType="Event", Payload=b'{"n":40}')
    settled(16)
    time.sleep(1)
    expect(runs(), 16)
    server.rest("PUT", "/2024-08-31/functions/chain/recursion-config", {"RecursiveLoop": "Allow"})
    functions.invoke(FunctionName="chain", InvocationType="Event", Payload=b'{"n":20}')
    settled(16 + 20)


def test_parallel_cold_starts(server):
    """Six cold starts at once cost about one."""
    functions = server.client("lambda")
    create(functions, "slow", "index.handler", "python3.11",
           "import time\ntime.sleep(1)\ndef handler(event, context):\n    time.sleep(1)\n")
    begun = time.monotonic()
    calls = [threading.Thread(target=functions.invoke, kwargs={"FunctionName": "slow"})
             for _ in range(6)]
    for call in calls:
        call.start()
    for call in calls:
        call.join()
    if time.monotonic() - begun > 6:  # one after the other: 12
        raise AssertionError(f"{time.monotonic() - begun} s")


def test_wrapper_script(server):
    """AWS_LAMBDA_EXEC_WRAPPER gets the runtime's own command line."""
    functions = server.client("lambda")
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        z.writestr("index.py", "import os\ndef handler(event, context): return os.environ.get('WRAPPED')\n")
        script = zipfile.ZipInfo("wrapper")
        script.external_attr = 0o100755 << 16
        z.writestr(script, '#!/bin/sh\nexport WRAPPED="$#"\nexec "$@"\n')
    functions.create_function(FunctionName="w", Runtime="python3.11", Handler="index.handler", Role=ROLE,
                              Code={"ZipFile": out.getvalue()}, Timeout=20, MemorySize=1024,
                              Environment={"Variables": {
                                  "AWS_LAMBDA_EXEC_WRAPPER": "/var/task/wrapper"}})
    functions.get_waiter("function_active_v2").wait(FunctionName="w")
    expect(json.load(functions.invoke(FunctionName="w")["Payload"]), "4")



EXTENSION = """#!/usr/bin/python3
import http.server, json, os, threading, urllib.request
BASE = f"http://{os.environ['AWS_LAMBDA_RUNTIME_API']}"
seen = []

class Listener(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        for record in json.loads(self.rfile.read(int(self.headers["Content-Length"]))):
            seen.append(record["type"])
            if record["type"] == "function":
                print("heard: " + record["record"], flush=True)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *args):
        pass

def call(method, path, body=None, **headers):
    request = urllib.request.Request(BASE + path, method=method, data=body and json.dumps(body).encode(),
                                     headers={k.replace("_", "-"): v for k, v in headers.items()})
    with urllib.request.urlopen(request) as answer:
        return answer.headers, answer.read()

server = http.server.HTTPServer(("sandbox.localdomain", 4243), Listener)
threading.Thread(target=server.serve_forever, daemon=True).start()
headers, body = call("POST", "/2020-01-01/extension/register", {"events": ["INVOKE", "SHUTDOWN"]},
                     Lambda_Extension_Name="watch")
me = headers["Lambda-Extension-Identifier"]
print("registered: " + json.loads(body)["functionName"], flush=True)
call("PUT", "/2022-07-01/telemetry", {"schemaVersion": "2022-12-13", "types": ["platform", "function"],
     "buffering": {"timeoutMs": 25, "maxItems": 1000, "maxBytes": 262144},
     "destination": {"protocol": "HTTP", "URI": "http://sandbox.localdomain:4243"}}, Lambda_Extension_Identifier=me)
while True:
    event = json.loads(call("GET", "/2020-01-01/extension/event/next", Lambda_Extension_Identifier=me)[1])
    print(f"event: {event['eventType']} {event.get('shutdownReason', event.get('requestId'))}", flush=True)
    if event["eventType"] == "SHUTDOWN":
        print("telemetry: " + " ".join(sorted(set(seen))), flush=True)
        break
"""


def layer_of(path, text):
    """A zip with one executable file."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        entry = zipfile.ZipInfo(path)
        entry.external_attr = 0o100755 << 16
        z.writestr(entry, text)
    return out.getvalue()


def log_text(server, group):
    logs = server.client("logs")
    try:
        return "".join(e["message"] for e in logs.filter_log_events(logGroupName=group)["events"])
    except logs.exceptions.ResourceNotFoundException:
        return ""


def log_with(server, group, text):
    """The log of the group once it has the text, at most 10 s."""
    for _ in range(100):
        log = log_text(server, group)
        if text in log:
            return log
        time.sleep(0.1)
    raise AssertionError(f"{text!r} is not in {log}")


def test_extension(server):
    functions = server.client("lambda")
    layer = functions.publish_layer_version(
        LayerName="watch", Content={"ZipFile": layer_of("extensions/watch", EXTENSION)})["LayerVersionArn"]
    create(functions, "watched", runtime="python3.12", Layers=[layer],
           text="def handler(event, context):\n    print('at work')\n    return event\n")
    for n in range(2):
        answer = functions.invoke(FunctionName="watched", Payload=json.dumps({"n": n}))
        expect(json.load(answer["Payload"]), {"n": n})
        request_id = answer["ResponseMetadata"]["RequestId"]
        log_with(server, "/aws/lambda/watched", f"event: INVOKE {request_id}")
    functions.delete_function(FunctionName="watched")
    log = log_with(server, "/aws/lambda/watched", "telemetry: ")
    assert "registered: watched" in log and "heard: at work" in log and "event: SHUTDOWN spindown" in log, log
    for kind in ("platform.start", "platform.initRuntimeDone", "platform.report", "platform.runtimeDone"):
        assert kind in log.partition("telemetry: ")[2], (kind, log)


def test_json_logs(server):
    functions = server.client("lambda")
    create(functions, "structured", runtime="python3.12",
           text="import logging\ndef handler(event, context):\n    logging.info('quiet')\n"
                "    logging.warning('loud')\n    return 1 / event['by']\n")
    path = "/2015-03-31/functions/structured/configuration"
    server.rest("PUT", path, {"LoggingConfig": {
        "LogFormat": "JSON", "ApplicationLogLevel": "WARN", "LogGroup": "/custom/group"}})
    functions.get_waiter("function_updated_v2").wait(FunctionName="structured")
    config = server.rest("GET", path)["LoggingConfig"]
    expect(config, {"LogFormat": "JSON", "ApplicationLogLevel": "WARN", "SystemLogLevel": "INFO",
                    "LogGroup": "/custom/group"})
    answer = functions.invoke(FunctionName="structured", Payload=b'{"by": 0}')
    expect(json.load(answer["Payload"])["errorType"], "ZeroDivisionError")
    log = log_with(server, "/custom/group", "platform.report")
    records = [json.loads(line) for line in log.strip().split("\n")]
    loud = next(r for r in records if r.get("message") == "loud")
    expect((loud["level"], loud["requestId"]), ("WARNING", answer["ResponseMetadata"]["RequestId"]))
    assert "quiet" not in log and "START RequestId" not in log, log
    failed = next(r for r in records if r.get("errorType") == "ZeroDivisionError")
    assert failed["stackTrace"], failed
    report = next(r for r in records if r.get("type") == "platform.report")["record"]
    expect(report["status"], "error")
    assert report["metrics"]["durationMs"] > 0 and report["metrics"]["memorySizeMB"] >= 128, report


def test_ruby(server):
    if not os.access("/usr/bin/ruby", os.X_OK):
        print("        skipped: no ruby")
        return
    functions = server.client("lambda")
    functions.create_function(FunctionName="gem", Role=ROLE, Runtime="ruby3.3", Handler="index.App.run", Timeout=20,
                              Code={"ZipFile": zip_of(index__rb="class App; def self.run(event:, context:)\n"
                                                      "puts 'hello'\n{ got: event, name: context.function_name }\n"
                                                      "end; end")})
    functions.get_waiter("function_active_v2").wait(FunctionName="gem")
    answer = functions.invoke(FunctionName="gem", Payload=b'{"a": 1}')
    expect(json.load(answer["Payload"]), {"got": {"a": 1}, "name": "gem"})
    log_with(server, "/aws/lambda/gem", "hello")


def test_doctor(server):
    """What it finds agrees with a server that runs functions here."""
    done = subprocess.run([harness.BINARY, "doctor", "--json"], capture_output=True, text=True, timeout=60, check=False)
    report = json.loads(done.stdout)
    expect((done.returncode, report["ok"]), (0, True))
    found = {f["name"]: f for f in report["findings"]}
    for name in ("kernel", "other namespaces", "seccomp", "control groups", "memory for instances", "python"):
        assert name in found, report
    assert "Python 3" in found["python"]["detail"], report
    assert all("remedy" in f for f in report["findings"] if not f["ok"]), report
    done = subprocess.run([harness.BINARY, "doctor", "--runtime-ruby", "/tmp/ruby"], capture_output=True, text=True,
                          timeout=60, check=False)
    expect((done.returncode, "--runtime-ruby" in done.stderr), (2, True))


if __name__ == "__main__":
    main(globals())
