#!/usr/bin/python3
"""Functions in Java: classes and archives in a zip, handlers of all kinds, and their errors."""
import base64
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile

import harness
from harness import error_of, expect, main, own_server
from test_lambda_run import ROLE, log_with

SOURCES = os.path.join(harness.ROOT, "test", "e2e", "java")
made = {}


def files_below(folder):
    for at, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(at, name)
            yield os.path.relpath(path, folder), path


def packed(files):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as z:
        for name, path in files:
            z.write(path, name)
    return data.getvalue()


def archives():
    """The zip with classes and lib/other.jar, and one archive of everything."""
    if not made:
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run(["javac", "--release", "11", "-d", folder,
                            *(path for _, path in files_below(SOURCES))], check=True)
            found = sorted(files_below(folder))
            library = os.path.join(folder, "other.jar")
            with open(library, "wb") as f:
                f.write(packed([(n, p) for n, p in found if n.startswith("helper/")]))
            made["zip"] = packed([(n, p) for n, p in found if not n.startswith("helper/")]
                                 + [("lib/other.jar", library)])
            made["jar"] = packed(found)
    return made


def create(server, name, handler, archive="zip", runtime="java17", **more):
    functions = server.client("lambda")
    more.setdefault("MemorySize", 512)
    functions.create_function(FunctionName=name, Role=ROLE, Runtime=runtime, Handler=handler, Timeout=30,
                              Code={"ZipFile": archives()[archive]}, **more)
    functions.get_waiter("function_active_v2").wait(FunctionName=name)
    return functions


def call(functions, name, event, **more):
    answer = functions.invoke(FunctionName=name, Payload=json.dumps(event), **more)
    payload = answer["Payload"].read()
    return answer.get("FunctionError"), json.loads(payload) if payload else None


def test_handlers(server):
    functions = create(server, "f", "app.Typed")
    order = {"id": "a", "count": 4, "total": 1 << 40, "paid": False, "parts": [{"id": "b", "unknown": [1]}],
             "prices": {"x": 1.5, "y": 2}, "kinds": ["NEW"], "numbers": [3, 1], "note": "é\n\"\u0001"}
    error, got = call(functions, "f", order)
    expect(error, None)
    expect({k: got[k] for k in order if k != "parts"},
           dict({k: v for k, v in order.items() if k != "parts"}, count=5, prices={"x": 1.5, "y": 2.0}))
    expect([(p["id"], p["paid"], p["kinds"]) for p in got["parts"]], [("b", True, None)])
    log_with(server, "/aws/lambda/f", "order a\nof two lines")
    for number, (handler, event, wanted) in enumerate((
            ("app.Streamed", "abc", "cba"), ("app.Plain::text", "hello", "hello!"), ("app.Plain::half", 5, 2.5),
            ("app.Plain::sum", [1, 2, 3], [3, 6]), ("app.Plain::nothing", {}, None))):
        functions = create(server, f"h{number}", handler)
        expect((handler, call(functions, f"h{number}", event)), (handler, (None, wanted)))


def test_context(server):
    functions = create(server, "c", "app.Plain::facts", Environment={"Variables": {"MINE": "yes"}}, MemorySize=300)
    client = base64.b64encode(json.dumps({"client": {"app_title": "title"}, "custom": {"a": "b"}}).encode()).decode()
    error, got = call(functions, "c", {"n": [1, None, True]}, ClientContext=client)
    expect(error, None)
    assert 200 <= got.pop("heap") <= 240, got
    expect(got, {"event": {"n": [1, None, True]}, "calls": 1, "name": "c", "version": "$LATEST",
                 "arn": "arn:aws:lambda:us-east-1:000000000000:function:c", "memory": 300, "group": "/aws/lambda/c",
                 "time": True, "identity": None, "title": "title", "custom": {"a": "b"}, "mine": "yes",
                 "other": "other"})
    expect(call(functions, "c", {})[1]["calls"], 2)
    log_with(server, "/aws/lambda/c", "printed")


def test_one_archive(server):
    functions = create(server, "j", "app.Plain::facts", archive="jar", runtime="java11")
    expect(call(functions, "j", {})[1]["other"], "other")


def test_errors(server):
    functions = create(server, "e", "app.Plain::fails")
    error, got = call(functions, "e", "x")
    expect((error, got["errorType"], got["errorMessage"], got["cause"]["errorType"], got["cause"]["errorMessage"]),
           ("Unhandled", "java.lang.IllegalArgumentException", "bad: x", "java.lang.IllegalStateException", "below"))
    assert got["stackTrace"][0].startswith("app.Plain.fails(Plain.java:"), got
    expect(len(got["stackTrace"]), 1)
    log_with(server, "/aws/lambda/e", "java.lang.IllegalArgumentException: bad: x")
    for number, (handler, event, kind, part) in enumerate((
            ("app.Missing::x", "x", "java.lang.ClassNotFoundException", "Class not found: app.Missing"),
            ("app.Plain::none", "x", "java.lang.NoSuchMethodException", "No public method named none"),
            ("app.Plain", "x", "java.lang.ClassCastException", "handler interface"),
            ("app.Broken::handle", "x", "java.lang.ExceptionInInitializerError", None),
            ("app.Plain::half", "five", "java.lang.IllegalArgumentException", "JSON"),
            ("app.Plain::exits", {}, "Runtime.ExitError", "exit status 3"),
            ("app.Plain::fills", {}, "java.lang.OutOfMemoryError", "Java heap space"))):
        functions = create(server, f"e{number}", handler, MemorySize=256)
        error, got = call(functions, f"e{number}", event)
        expect((handler, error, got["errorType"]), (handler, "Unhandled", kind))
        assert not part or part in got["errorMessage"], (handler, got)


def test_logs(server):
    functions = create(server, "t", "app.Logs")
    call(functions, "t", "x")
    log = log_with(server, "/aws/lambda/t", "java.lang.IllegalStateException: ends")
    for line in ("without a level\n", "[INFO] of little interest\n", "[ERROR] of two\nlines\n", "as bytes\n"):
        assert line in log, (line, log)
    create(server, "l", "app.Logs")
    server.rest("PUT", "/2015-03-31/functions/l/configuration",
                {"LoggingConfig": {"LogFormat": "JSON", "ApplicationLogLevel": "WARN"}})
    functions.get_waiter("function_updated_v2").wait(FunctionName="l")
    request_id = functions.invoke(FunctionName="l", Payload=b'"x"')["ResponseMetadata"]["RequestId"]
    log = log_with(server, "/aws/lambda/l", "platform.report")
    assert "as bytes\n" in log and "little interest" not in log, log
    records = [json.loads(line) for line in log.split("\n") if line.startswith("{") and '"AWSRequestId"' in line]
    expect([(r["level"], r["message"].split("\n")[0], r["AWSRequestId"]) for r in records],
           [("UNDEFINED", "without a level", request_id), ("ERROR", "of two", request_id),
            ("ERROR", "java.lang.IllegalStateException: ends", request_id)])


def archive_files(server):
    folder = os.path.join(server.folder, "data", "runtimes", "java")
    return [os.path.join(folder, n) for n in sorted(os.listdir(folder)) if n.startswith("classes-")]


def wait_archive(server, but=()):
    """The one archive, when it is there whole."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        found = archive_files(server)
        if len(found) == 1 and found[0] not in but and not found[0].endswith(".new"):
            with open(found[0], "rb") as f:
                if hashlib.sha256(f.read()).hexdigest() in found[0]:
                    time.sleep(0.2)  # the worker takes note of it
                    return found[0]
        time.sleep(0.1)
    raise AssertionError(f"no archive: {archive_files(server)} {server.log()}")


def machines(server):
    """What each java process maps of archives of ours, and whether it was told of one."""
    found = []
    for pid in server.children():
        try:
            with open(f"/proc/{pid}/cmdline", encoding="utf-8") as f:
                words = f.read().split("\0")
            with open(f"/proc/{pid}/maps", encoding="utf-8") as f:
                maps = f.read()
        except OSError:
            continue
        if words[0].endswith("java") and "cirrus.Runtime" in words:
            found.append((any("SharedArchiveFile" in w for w in words), "/classes-" in maps))
    return found


def fresh(functions, name, **more):
    """The next call needs a new instance."""
    functions.update_function_configuration(FunctionName=name, **more)
    functions.get_waiter("function_updated_v2").wait(FunctionName=name)


@own_server
def test_class_data(server):
    """Cold starts map our runtime's classes; an archive that is damaged or does not fit does no harm."""
    functions = create(server, "f", "app.Plain::text")
    expect(call(functions, "f", "a"), (None, "a!"))
    expect(machines(server), [(False, False)])  # it was not there yet
    first = wait_archive(server)
    os.stat(first)
    expect(os.stat(first).st_mode & 0o777, 0o644)
    fresh(functions, "f", Timeout=31)
    expect(call(functions, "f", "a"), (None, "a!"))
    expect(machines(server)[-1], (True, True))
    # Who chooses the machine's class data has the last word.
    fresh(functions, "f", Environment={"Variables": {"JAVA_TOOL_OPTIONS": "-Xshare:off"}})
    expect(call(functions, "f", "a"), (None, "a!"))
    assert (False, False) in machines(server), machines(server)
    fresh(functions, "f", Environment={"Variables": {}})
    server.stop()
    # The next start finds it whole; or cut short, which a Java machine does not survive; or changed inside.
    with open(first, "rb") as f:
        good = f.read()
    for bad in (None, good[:len(good) // 2], good[:40000] + bytes([good[40000] ^ 255]) + good[40001:]):
        if bad is not None:
            os.chmod(first, 0o644)
            with open(first, "wb") as f:
                f.write(bad)
        written = os.stat(first).st_mtime_ns
        server.start()
        functions = server.client("lambda")
        expect(call(functions, "f", "a"), (None, "a!"))
        second = wait_archive(server)
        expect(second == first and os.stat(second).st_mtime_ns == written, bad is None)
        fresh(functions, "f", Timeout=32)
        expect(call(functions, "f", "a"), (None, "a!"))
        expect(machines(server)[-1], (True, True))
        server.stop()
        first = second
    # Another program than it was made with: while the server runs the machine notices, and says nothing.
    server.start()
    functions = server.client("lambda")
    expect(call(functions, "f", "a"), (None, "a!"))
    wait_archive(server)
    os.utime(os.path.join(server.folder, "data", "runtimes", "java", "runtime.jar"))
    fresh(functions, "f", Timeout=33)
    expect(call(functions, "f", "a"), (None, "a!"))
    expect(machines(server)[-1], (True, False))
    lines = [e["message"] for e in server.client("logs").filter_log_events(logGroupName="/aws/lambda/f")["events"]]
    expect([m for m in lines if "cds" in m or "archive" in m], [])
    # The next start makes another.
    server.stop()
    server.start()
    functions = server.client("lambda")
    expect(call(functions, "f", "a"), (None, "a!"))
    third = wait_archive(server, but=[first])
    assert third != first


def test_refused(server):
    functions = server.client("lambda")
    code, text = error_of(functions.create_function, FunctionName="r", Role=ROLE, Runtime="java21", Handler="app.Typed",
                          Code={"ZipFile": archives()["zip"]}, SnapStart={"ApplyOn": "PublishedVersions"})[:2]
    expect(code, "InvalidParameterValueException")
    assert "java21 is not supported for SnapStart" in text, text


if __name__ == "__main__":
    if not shutil.which("javac"):
        print("skipped: no javac\n0 passed, 0 failed, 1 skipped")
        sys.exit(0)
    main(globals())
