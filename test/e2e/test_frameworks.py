#!/usr/bin/python3
"""Lambda as applications use it: well-known packages from npm inside functions, zipped with what they need.

Middy, AWS Lambda Powertools (logger, metrics, tracer, idempotency, batch), Express through serverless-express, and
Hono, buffered and streamed: behind function URLs, and from invocations. The versions are those of package.json.
"""
import concurrent.futures
import functools
import gzip
import http.client
import io
import json
import os
import time
import urllib.parse
import zipfile

import harness
from harness import expect, main
from test_lambda import send
from test_lambda_run import log_with

ROLE = "arn:aws:iam::000000000000:role/none"
MODULES = os.path.join(harness.ROOT, "build", "js", "node_modules")
PROGRAMS = os.path.join(harness.ROOT, "test", "e2e", "programs")
# What only browsers, type checkers and debuggers read.
LEFT_OUT = ("/dist-es/", "/dist-types/", "/dist/types/", "/node_modules/.bin/")


def needed(names):
    """The packages with all that they depend on."""
    found, wanted = set(), list(names)
    while wanted:
        name = wanted.pop()
        path = os.path.join(MODULES, name, "package.json")
        if name in found or not os.path.exists(path):
            continue
        found.add(name)
        with open(path, encoding="utf-8") as f:
            wanted += json.load(f).get("dependencies", {})
    return sorted(found)


@functools.cache
def archive(program, *packages):
    """test/e2e/programs/PROGRAM as index.mjs or index.js, and the packages."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as z:
        z.write(os.path.join(PROGRAMS, program), "index" + os.path.splitext(program)[1])
        for name in needed(packages):
            for folder, _, files in os.walk(os.path.join(MODULES, name)):
                inside = "node_modules/" + os.path.relpath(folder, MODULES)
                if any(part in inside + "/" for part in LEFT_OUT):
                    continue
                for file in files:
                    if file.endswith((".js", ".cjs", ".mjs", ".json")):
                        z.write(os.path.join(folder, file), f"{inside}/{file}")
    return out.getvalue()


def create(functions, name, program, *packages, handler="handler", **more):
    more.setdefault("Timeout", 20)
    more.setdefault("MemorySize", 1024)
    functions.create_function(FunctionName=name, Runtime="nodejs22.x", Handler=f"index.{handler}", Role=ROLE,
                              Code={"ZipFile": archive(program, *packages)}, **more)
    functions.get_waiter("function_active_v2").wait(FunctionName=name)


def url_of(server, name, mode="BUFFERED"):
    return server.rest("POST", f"/2021-10-31/functions/{name}/url", {"AuthType": "NONE", "InvokeMode": mode})["FunctionUrl"]


def invoke(functions, name, payload, wanted_error=None):
    answer = functions.invoke(FunctionName=name, Payload=json.dumps(payload))
    body = json.load(answer["Payload"])
    expect((answer.get("FunctionError"), body if answer.get("FunctionError") != wanted_error else None),
           (wanted_error, None))
    return body


def lines_of(log):
    """The JSON objects among the lines of a log."""
    found = []
    for line in log.split("\n"):
        if line.startswith("{"):
            found.append(json.loads(line))
    return found


# ---- behind function URLs ----

JSON = {"Content-Type": "application/json"}


def test_middy(server):
    functions = server.client("lambda")
    create(functions, "middy", "middy.mjs", "@middy/core", "@middy/do-not-wait-for-empty-event-loop",
           "@middy/http-error-handler", "@middy/http-json-body-parser")
    url = url_of(server, "middy")
    for n in (1, 2):
        status, headers, data, _ = send(server, url, "POST", "/", JSON, json.dumps({"n": n}))
        expect((status, headers["x-calls"], json.loads(data)), (201, str(n), {"got": {"n": n}, "waits": False}))
    # A type whose body comes as base64, which the parser decodes.
    status, _, data, _ = send(server, url, "POST", "/", {"Content-Type": "application/vnd.api+json"}, '{"n": "h\u00e9"}'.encode())
    expect((status, json.loads(data)["got"]), (201, {"n": "h\u00e9"}))
    for headers, body, wanted in (
            (JSON, "{", (415, "text/plain", b"Invalid or malformed JSON was provided")),
            (JSON, None, (415, "text/plain", b"Invalid or malformed JSON was provided")),
            ({"Content-Type": "text/plain"}, "x", (415, "text/plain", b"Unsupported Media Type")),
            (JSON, '{"kind": "refuse"}', (409, "application/json", b'{"why":"taken"}'))):
        status, answered, data, _ = send(server, url, "POST", "/", headers, body)
        expect((status, answered["content-type"], data), wanted)
    status, _, data, _ = send(server, url, "POST", "/", JSON, '{"kind": "break"}')
    expect((status, data), (500, b""))
    log = log_with(server, "/aws/lambda/middy", "not for clients")
    assert "\tERROR\tTypeError: not for clients\n    at " in log, log


def test_express(server):
    functions = server.client("lambda")
    create(functions, "express", "express.js", "express", "@codegenie/serverless-express")
    url = url_of(server, "express")
    host = urllib.parse.urlsplit(url).netloc
    status, headers, data, cookies = send(
        server, url, path="/items/a%20b?x=1&x=2&y[z]=%C3%A9&flag", headers={"Cookie": "k=v; l=w", "X-In": "one"})
    expect((status, headers["content-type"], headers["x-many"]), (200, "application/json; charset=utf-8", "one,two"))
    expect(cookies, ["a=1; Path=/; HttpOnly", "b=two%20words; Path=/"])
    expect(json.loads(data), {"id": "a b", "query": {"x": ["1", "2"], "y": {"z": "\u00e9"}, "flag": ""}, "ip": "127.0.0.1",
                              "cookie": "k=v; l=w", "many": "one", "protocol": "http", "host": host.partition(":")[0]})
    for kind, body, wanted in (
            ("application/json", '{"a": [1, "\u00e9"]}', {"a": [1, "\u00e9"]}),
            ("application/x-www-form-urlencoded", "a=1&b=x+y", {"a": "1", "b": "x y"}),
            ("application/octet-stream", b"\x00\xff\x10", "00ff10")):
        body = body.encode() if isinstance(body, str) else body
        status, _, data, _ = send(server, url, "POST", "/echo", {"Content-Type": kind}, body)
        expect((status, json.loads(data)),
               (201, {"type": kind, "length": len(body), "raw": "octet" in kind, "body": wanted}))
    status, headers, data, _ = send(server, url, path="/bytes")
    expect((status, headers["content-type"], headers["content-length"], data),
           (200, "image/png", "5", b"\x00\x01\x02\xfa\xff"))
    status, headers, data, _ = send(server, url, path="/text")
    expect((headers["content-type"], data.decode()), ("text/html; charset=utf-8", "<p>h\u00e9</p>"))
    # The tag that express made of the body comes back: nothing is sent again.
    expect(send(server, url, path="/text", headers={"If-None-Match": headers["etag"]})[::2], (304, b""))
    status, headers, data, _ = send(server, url, "HEAD", "/text")
    expect((status, data), (200, b""))
    status, headers, _, _ = send(server, url, path="/go")
    expect((status, headers["location"]), (302, "/items/1?x=y"))
    expect(send(server, url, path="/empty")[::2], (204, b""))
    expect(send(server, url, path="/late")[::2], (500, b'{"error":"internal"}'))
    status, _, data, _ = send(server, url, "POST", "/echo", JSON, "{")
    expect((status, "error" in json.loads(data)), (400, True))
    expect(send(server, url, path="/absent")[0], 404)
    expect(len(send(server, url, path="/large?n=5000000")[2]), 5000011)
    # What is too large for an answer as a whole.
    expect(send(server, url, path="/large?n=7000000")[0], 502)


def test_hono(server):
    functions = server.client("lambda")
    for name in ("whole", "streamed"):
        create(functions, name, "hono.mjs", "hono", handler=name)
        url = url_of(server, name, "RESPONSE_STREAM" if name == "streamed" else "BUFFERED")
        api = urllib.parse.urlsplit(url).netloc.partition(".")[0]
        status, headers, data, cookies = send(server, url, path="/hello/you?q=1&q=b%26c", headers={"Cookie": "k=v; l=w"})
        # Debian's Node.js 18 knows no getSetCookie(): Hono hands on both as one there.
        expect((status, headers["content-type"], headers["x-api"], ", ".join(cookies)),
               (202, "application/json", api, "seen=1; Path=/; HttpOnly, last=you; Path=/"))
        expect(json.loads(data), {"name": "you", "all": ["1", "b&c"], "cookie": "v"})
        blob = bytes(range(256))
        status, headers, data, _ = send(
            server, url, "POST", "/upload", {"Content-Type": "application/octet-stream"}, blob)
        expect((status, headers["content-type"], data), (200, "application/octet-stream", blob[::-1]))
        status, _, data, _ = send(server, url, "POST", "/form", {"Content-Type": "application/x-www-form-urlencoded"},
                                  "a=1&b=%C3%A9")
        expect((status, json.loads(data)), (200, {"a": "1", "b": "\u00e9"}))
        expect(send(server, url, path="/nothing")[::2], (204, b""))
        status, headers, _, cookies = send(server, url, path="/stop")
        expect((status, headers["location"], cookies), (302, "/hello/again", ["seen=; Max-Age=0; Path=/"]))
        expect(send(server, url, path="/absent")[::2], (404, b"404 Not Found"))
        expect(send(server, url, path="/fail")[::2], (500, b"Internal Server Error"))
        status, headers, data, _ = send(server, url, path="/events")
        expect((status, headers["content-type"], data),
               (200, "text/event-stream", b"event: tick\ndata: n0\nid: 0\n\nevent: tick\ndata: n1\nid: 1\n\n"))
        parts = arrivals(server, url, "/parts")
        expect(b"".join(p for _, p in parts), b"part 0;part 1;part 2;")
        spread = parts[-1][0] - parts[0][0]
        expect(spread > 0.2, name == "streamed")


def arrivals(server, url, path):
    """The parts of a body with the times of their arrival."""
    parts = urllib.parse.urlsplit(server.endpoint)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
    connection.request("GET", path, headers={"Host": urllib.parse.urlsplit(url).netloc})
    answer = connection.getresponse()
    expect(answer.status, 200)
    found = []
    while part := answer.read1(65536):
        found.append((time.monotonic(), part))
    connection.close()
    return found


def test_streams(server):
    functions = server.client("lambda")
    create(functions, "streams", "streams.mjs")
    url = url_of(server, "streams", "RESPONSE_STREAM")
    status, headers, data, cookies = send(server, url, path="/page")
    expect((status, headers["content-type"], headers["transfer-encoding"], len(headers["x-id"]), data, cookies),
           (203, "text/html", "chunked", 36, b"<p>done</p>", ["a=1; Path=/", "b=2"]))
    status, headers, data, _ = send(server, url, path="/gzip")
    expect((status, headers["content-encoding"], gzip.decompress(data)), (200, "gzip", b"one two"))
    status, headers, data, _ = send(server, url, path="/typed")
    expect((status, headers["content-type"], data), (200, "text/csv", b"a,b\n"))
    expect(len(send(server, url, path="/large")[2]), 160 * 65536)
    status, headers, data, _ = send(server, url, path="/head")
    expect((status, headers["etag"], data), (304, "x", b""))
    # What has begun can only be cut short, which a client sees.
    try:
        send(server, url, path="/cut")
        raise AssertionError("a cut answer looks whole")
    except (http.client.IncompleteRead, ConnectionResetError):
        pass
    expect(send(server, url, path="/other")[0], 502)


# ---- shapes of functions ----

SHAPES = {
    "package.json": '{"type": "module"}',
    "src/app.js": "import { more } from './lib/more.js';\nconst ready = await more();\nlet n = 0;\n"
                  "export const handler = async () => [ready, ++n];\n",
    "src/lib/more.js": "export const more = () => new Promise((done) => setTimeout(done, 30, 'ready'));\n",
    "callback.cjs": """
let n = 0;
exports.late = (event, context, callback) => {
    const mine = ++n;
    context.callbackWaitsForEmptyEventLoop = false;
    setTimeout(() => console.log('left over from', mine), 100);
    setTimeout(() => callback(null, mine), mine === 1 ? 0 : 300);
};
exports.waits = (event, context, callback) => {
    setTimeout(() => console.log('done before the answer'), 100);
    callback(null, 'called');
};
exports.never = async () => { await new Promise(() => {}); };
exports.loud = async () => {
    for (let i = 0; i < 3000; i++)
        process.stdout.write(`line ${i} ${'x'.repeat(300)}\\n`);
    process.stdout.write('y'.repeat(300000) + '\\n');
    process.stdout.write(Buffer.from([0, 0xff, 0x41]));
};
exports.lost = async (event) => {
    if (event.lose)
        Promise.reject(new Error('nobody waits for it'));
    return ++n;
};
""",
}


def create_shape(functions, name, handler, **more):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        for file, text in SHAPES.items():
            z.writestr(file, text)
    functions.create_function(FunctionName=name, Runtime="nodejs22.x", Handler=handler, Role=ROLE, Timeout=10,
                              Code={"ZipFile": out.getvalue()}, **more)
    functions.get_waiter("function_active_v2").wait(FunctionName=name)


def test_shapes(server):
    functions = server.client("lambda")
    create_shape(functions, "module", "src/app.handler")
    expect([invoke(functions, "module", {}) for _ in range(2)], [["ready", 1], ["ready", 2]])
    # What a function left over goes on in the next event's time, and under its request id.
    create_shape(functions, "late", "callback.late")
    expect([invoke(functions, "late", {}) for _ in range(2)], [1, 2])
    log = log_with(server, "/aws/lambda/late", "left over from 2")
    second = log[log.rindex("START RequestId: "):]
    expect(all(text in second for text in ("left over from 1", "left over from 2")), True)
    create_shape(functions, "waits", "callback.waits")
    expect(invoke(functions, "waits", {}), "called")
    log = log_with(server, "/aws/lambda/waits", "REPORT RequestId: ")
    expect(log.index("done before the answer") < log.index("END RequestId: "), True)
    create_shape(functions, "never", "callback.never")
    expect(invoke(functions, "never", {}, "Unhandled")["errorType"], "Runtime.NodeJsExit")
    # An error between two events ends the instance; the next event has another one, unless the machine is so busy
    # that the process did not come to its end before it was frozen.
    create_shape(functions, "lost", "callback.lost")
    for left in (2, 1, 0):
        first = invoke(functions, "lost", {})
        expect(invoke(functions, "lost", {"lose": True}), first + 1)
        log_with(server, "/aws/lambda/lost", "nobody waits for it")
        time.sleep(0.5)
        answer = functions.invoke(FunctionName="lost")
        if "FunctionError" not in answer or not left:
            break
    expect(json.load(answer["Payload"]), 1)


def test_much_output(server):
    """Nothing of what is written at once is lost, nor comes behind the invocation's own lines."""
    functions, logs = server.client("lambda"), server.client("logs")
    create_shape(functions, "loud", "callback.loud", MemorySize=1024)
    invoke(functions, "loud", {})
    for _ in range(50):
        pages = logs.get_paginator("filter_log_events").paginate(logGroupName="/aws/lambda/loud")
        events = [e["message"] for page in pages for e in page["events"]]
        if events and events[-1].startswith("REPORT"):
            break
        time.sleep(0.1)
    expect([e.split(" ")[1] for e in events if e.startswith("line ")], [str(i) for i in range(3000)])
    # A line longer than an event may be is split.
    long = [e for e in events if e.startswith("y")]
    expect((sum(map(len, long)), len(long)), (300001, 2))
    expect([e.split(" ")[0] for e in events[-2:]], ["END", "REPORT"])
    expect(events[-3], "\0\ufffdA")


# ---- AWS Lambda Powertools ----

def test_powertools(server):
    functions = server.client("lambda")
    create(functions, "tools", "powertools.mjs", "@aws-lambda-powertools/logger", "@aws-lambda-powertools/metrics",
           "@aws-lambda-powertools/tracer", TracingConfig={"Mode": "Active"}, Environment={"Variables": {
               "POWERTOOLS_SERVICE_NAME": "shop", "POWERTOOLS_METRICS_NAMESPACE": "Shop"}})
    answers = [functions.invoke(FunctionName="tools", Payload=b'{"order": "o1"}') for _ in range(2)]
    ids = [answer["ResponseMetadata"]["RequestId"] for answer in answers]
    for answer in answers:
        body = json.load(answer["Payload"])
        expect(body["traced"], True)
        expect(f"Root={body['trace']};" in body["header"], True)
        expect(body["sampled"], "Sampled=1" in body["header"])
    log = log_with(server, "/aws/lambda/tools", f"REPORT RequestId: {ids[1]}")
    records = lines_of(log)
    taken = [r for r in records if r.get("message") == "order taken"]
    arn = functions.get_function_configuration(FunctionName="tools")["FunctionArn"]
    expect([(r["level"], r["service"], r["orderId"], r["function_request_id"], r["cold_start"], r["function_arn"],
             r["function_memory_size"]) for r in taken],
           [("INFO", "shop", "o1", ids[0], True, arn, "1024"), ("INFO", "shop", "o1", ids[1], False, arn, "1024")])
    expect(all(r["xray_trace_id"].startswith("1-") for r in taken), True)
    failed = next(r for r in records if r.get("message") == "order failed")["error"]
    expect((failed["name"], failed["message"], failed["cause"]["name"]), ("RangeError", "too many", "TypeError"))
    assert failed["location"].startswith("file:///var/task/index.mjs:"), failed
    expect("hidden" in log, False)
    # The embedded metric format, each a line of its own.
    metrics = [r for r in records if "_aws" in r]
    orders = [r for r in metrics if "orders" in r]
    expect([(r["orders"], r["shop"], r["service"], r["request"]) for r in orders],
           [([2, 3], "north", "shop", ids[0]), ([2, 3], "north", "shop", ids[1])])
    expect(orders[0]["_aws"]["CloudWatchMetrics"],
           [{"Namespace": "Shop", "Dimensions": [["service", "shop"]], "Metrics": [{"Name": "orders", "Unit": "Count"}]}])
    expect([(r["ColdStart"], r["function_name"]) for r in metrics if "ColdStart" in r], [(1, "tools")])
    # Nothing that the tools are missing.
    assert "WARN" not in log and "\tERROR\t" not in log, log


def test_powertools_idempotency(server):
    functions, tables = server.client("lambda"), server.client("dynamodb")
    tables.create_table(TableName="idempotency", BillingMode="PAY_PER_REQUEST",
                        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
                        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}])
    create(functions, "pay", "idempotency.mjs", "@aws-lambda-powertools/idempotency", "@aws-sdk/client-dynamodb",
           "@aws-sdk/lib-dynamodb", handler="handler")
    once = invoke(functions, "pay", {"order": "o1", "amount": 5})
    expect(once["paid"], 1)
    expect(invoke(functions, "pay", {"order": "o1", "amount": 5, "again": True}), once)
    expect(invoke(functions, "pay", {"order": "o2", "amount": 5})["paid"], 2)
    items = tables.scan(TableName="idempotency")["Items"]
    expect(sorted((i["status"]["S"], i["data"]["M"]["paid"]["N"]) for i in items),
           [("COMPLETED", "1"), ("COMPLETED", "2")])
    expect(all(i["id"]["S"].startswith("pay#") for i in items), True)
    # Another payload under the same key, no key (which the package wraps), and a failure, which leaves no record.
    expect(invoke(functions, "pay", {"order": "o1", "amount": 6}, "Unhandled")["errorType"],
           "IdempotencyValidationError")
    expect(invoke(functions, "pay", {"amount": 6}, "Unhandled")["errorType"],
           "IdempotencyPersistenceLayerError")
    expect(invoke(functions, "pay", {"order": "o3", "fail": 1}, "Unhandled")["errorType"], "RangeError")
    expect(invoke(functions, "pay", {"order": "o3"})["paid"], 3)
    # Two at once: one pays, the other is told.
    with concurrent.futures.ThreadPoolExecutor() as pool:
        both = list(pool.map(lambda client: client.invoke(
            FunctionName="pay", Payload=b'{"order": "o4", "wait": 800}'), [server.client("lambda"), functions]))
    seen = sorted(json.load(a["Payload"]).get("errorType", "paid") for a in both)
    expect(seen, ["IdempotencyAlreadyInProgressError", "paid"])


def test_powertools_batch(server):
    functions, tables = server.client("lambda"), server.client("dynamodb")
    for name, more in (("done", {}), ("source", {"StreamSpecification": {
            "StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}})):
        tables.create_table(TableName=name, BillingMode="PAY_PER_REQUEST",
                            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
                            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}], **more)
    stream = tables.describe_table(TableName="source")["Table"]["LatestStreamArn"]
    packages = ("@aws-lambda-powertools/batch", "@aws-sdk/client-dynamodb")
    create(functions, "batch", "batch.mjs", *packages)
    create(functions, "lost", "batch.mjs", *packages, handler="lost")
    lost = functions.get_function_configuration(FunctionName="lost")["FunctionArn"]
    for n in range(10):
        tables.put_item(TableName="source", Item={
            "pk": {"S": f"k{n}"}, "kind": {"S": "poison" if n == 4 else "good"}})
    functions.create_event_source_mapping(
        EventSourceArn=stream, FunctionName="batch", StartingPosition="TRIM_HORIZON", BatchSize=100,
        MaximumRetryAttempts=1, FunctionResponseTypes=["ReportBatchItemFailures"],
        DestinationConfig={"OnFailure": {"Destination": lost}})
    for _ in range(200):
        done = {i["pk"]["S"]: i["event"]["S"] for i in tables.scan(TableName="done")["Items"]}
        if len(done) == 9:
            break
        time.sleep(0.1)
    expect(done, {f"k{n}": "INSERT" for n in range(10) if n != 4})
    record = json.loads(log_with(server, "/aws/lambda/lost", "lost {").partition("lost ")[2].split("\n")[0])
    info = record["DDBStreamBatchInfo"]
    expect((record["requestContext"]["condition"], info["batchSize"] >= 1, info["streamArn"]),
           ("RetryAttemptsExhausted", True, stream))
    runs = [json.loads(line.split("\t")[3]) for line in log_with(server, "/aws/lambda/batch", "INFO").split("\n")
            if "\tINFO\t" in line]
    failures = [r["answer"]["batchItemFailures"] for r in runs if r["answer"]["batchItemFailures"]]
    # The first time and once more, always the same record.
    expect((len(failures) >= 2, len({f[0]["itemIdentifier"] for f in failures})), (True, 1))


if __name__ == "__main__":
    main(globals())
