#!/usr/bin/python3
"""The runtimes' programs against a small fake of the Runtime API: handlers of all kinds, errors, logs.

Run by the test command: python3 test/runtimes/test_runtimes.py [-v] [NAME ...]. Standard library
only. Each case lays out a function's folder, starts the program as the server does (pooled and not),
feeds it events and compares answers, error reports and log records. A pooled and a plain run of the
same case must look the same.
"""
import base64
import http.server
import json
import os
import re
import shutil
import socketserver
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import unittest.mock

HERE = os.path.dirname(os.path.abspath(__file__))
RUNTIMES = os.path.join(HERE, "..", "..", "runtimes")
NODE = os.environ.get("NODE", "/usr/bin/node")
# Of a version whose hooks are others; there when `make js` has been run.
NEWER_NODE = os.path.join(HERE, "..", "..", "build", "js", "node_modules", "node", "bin", "node")
PYTHON = "/usr/bin/python3"
RUBY = os.environ.get("RUBY", "/usr/bin/ruby")
PATIENCE = 20
ID = "8476a536-e9f4-11e8-9739-2dfe598c3fcd"
NODE_24 = {"AWS_EXECUTION_ENV": "AWS_Lambda_nodejs24.x"}


class Api(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """Gives events in order, keeps what comes back."""
    daemon_threads = True

    def __init__(self, events, headers):
        super().__init__(("127.0.0.1", 0), Handler)
        self.events, self.extra = list(events), headers
        self.answers, self.changed, self.given = [], threading.Condition(), 0
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def handle_error(self, request, client_address):
        pass  # a runtime that was ended hangs up

    def add(self, answer):
        with self.changed:
            self.answers.append(answer)
            self.changed.notify_all()

    def wait(self, count):
        with self.changed:
            return self.changed.wait_for(lambda: len(self.answers) >= count, PATIENCE)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *args):
        pass

    def do_GET(self):
        api = self.server
        with api.changed:
            number = api.given
            api.given += 1
        if self.path != "/2018-06-01/runtime/invocation/next" or number >= len(api.events):
            try:
                time.sleep(PATIENCE)  # the last poll hangs until the runtime is ended
            finally:
                self.close_connection = True
            return
        body = api.events[number]
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(200)
        headers = {"Lambda-Runtime-Aws-Request-Id": ID if number == 0 else f"{ID}-{number}",
                   "Lambda-Runtime-Deadline-Ms": str(int(time.time() * 1000) + 3000),
                   "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:eu-west-1:123456789012:function:f",
                   "Lambda-Runtime-Trace-Id": f"Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent={number}"}
        headers.update(api.extra)
        for name, value in headers.items():
            self.send_header(name, value)
        if number % 2:
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            size = max(7, len(body) // 50)
            for at in range(0, len(body), size):
                part = body[at:at + size]
                self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
            self.wfile.write(b"0\r\n\r\n")
        else:
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def do_POST(self):
        trailers = {}
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while True:
                size = int(self.rfile.readline(), 16)
                if size == 0:
                    break
                body += self.rfile.read(size)
                self.rfile.readline()
            while (line := self.rfile.readline().strip()):
                name, _, value = line.decode().partition(": ")
                trailers[name] = value
        else:
            body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.add({"path": self.path.replace("/2018-06-01/runtime/", ""), "body": body,
                         "headers": dict(self.headers), "trailers": trailers})
        answer = b'{"status":"OK"}\n'
        self.send_response(202)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)


class Run:
    """One life of a runtime: .answers, .records (framed log), .out (plain output), .status."""

    def __init__(self, runtime, files, handler, events, pooled, environment, headers, ends):
        self.folder = tempfile.mkdtemp(prefix="cirrus-runtime-")
        try:
            for name, text in files.items():
                path = os.path.join(self.folder, name)
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, "w", encoding="utf-8") as f:
                    f.write(text)
            self.run(runtime, handler, events, pooled, environment, headers, ends)
        finally:
            shutil.rmtree(self.folder)

    def run(self, runtime, handler, events, pooled, environment, headers, ends):
        api = Api(events, headers)
        boot = {"PATH": "/usr/bin:/bin", "TZ": ":UTC", "LANG": "en_US.UTF-8"}
        own = dict(boot, _HANDLER=handler, LAMBDA_TASK_ROOT=self.folder,
                   AWS_LAMBDA_RUNTIME_API=f"127.0.0.1:{api.server_port}", _LAMBDA_TELEMETRY_LOG_FD="10",
                   AWS_LAMBDA_FUNCTION_NAME="f", AWS_LAMBDA_FUNCTION_VERSION="$LATEST",
                   AWS_LAMBDA_FUNCTION_MEMORY_SIZE="128", AWS_LAMBDA_LOG_GROUP_NAME="/aws/lambda/f",
                   AWS_LAMBDA_LOG_STREAM_NAME="2026/11/22/[$LATEST]0", AWS_REGION="eu-west-1",
                   **{name: value.replace("$ROOT", self.folder) for name, value in environment.items()})
        argv = {"node": [NODE, os.path.join(RUNTIMES, "node/bootstrap.js")],
                "python": [PYTHON, "-I", "-S", os.path.join(RUNTIMES, "python/bootstrap.py")],
                "ruby": [RUBY, "--disable=did_you_mean", os.path.join(RUNTIMES, "ruby/bootstrap.rb")]}[runtime]
        log_read, log_write = os.pipe()
        gate_read, gate_write = os.pipe()

        def descriptors():
            a, b = os.dup(log_write), os.dup(gate_read)
            os.dup2(a, 10)
            os.set_inheritable(10, True)
            if pooled:
                os.dup2(b, 3)
                os.set_inheritable(3, True)

        process = subprocess.Popen(argv, env=boot if pooled else own, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, close_fds=False,
                                   preexec_fn=descriptors)
        os.close(log_write)
        os.close(gate_read)
        log = []
        readers = [threading.Thread(target=lambda: log.append(read_all(log_read))),
                   threading.Thread(target=lambda: log.append(None) or setattr(self, "out", process.stdout.read()))]
        for r in readers:
            r.start()
        if pooled:
            time.sleep(0.01)
            os.write(gate_write, b"".join(f"{k}={v}".encode() + b"\0" for k, v in own.items()))
        os.close(gate_write)
        if ends:
            process.wait(PATIENCE)
        else:
            api.wait(len(events))
            process.kill()
            process.wait()
        for r in readers:
            r.join()
        process.stdout.close()
        api.shutdown()
        api.server_close()
        self.status = process.returncode
        self.answers = api.answers
        self.out = self.out.decode()
        self.records = frames(next(x for x in log if x is not None))


def read_all(fd):
    parts = []
    while (part := os.read(fd, 65536)):
        parts.append(part)
    os.close(fd)
    return b"".join(parts)


def frames(data):
    records = []
    while data:
        magic, size, _ = struct.unpack(">IIQ", data[:16])
        assert magic == 0xa55a0003, hex(magic)
        records.append(data[16:16 + size].decode())
        data = data[16 + size:]
    return records


def plain(text):
    """Without what differs from run to run."""
    text = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "TIME", text)
    text = re.sub(r"/tmp/cirrus-runtime-\w+", "/var/task", text)
    # Node.js' own frames: which way a message takes to its thread for loaders is chance.
    text = re.sub(r'''(","|\\n|\n|\r)?    at [^"\n\r\\]*?\(node:[^)]*\)''', "", text)
    return re.sub(r"127\.0\.0\.1:\d+", "API", text)


class Case(unittest.TestCase):
    maxDiff = None

    def run_both(self, runtime, files, handler, events=({},), environment=None, headers=None, ends=False):
        """Plain and pooled; they must agree, and one is returned."""
        runs = [Run(runtime, files, handler, events, pooled, environment or {}, headers or {}, ends)
                for pooled in (False, True)]
        seen = [([(a["path"], plain(a["body"].decode("utf-8", "replace")), self.trailers(a)) for a in r.answers],
                 [plain(x) for x in r.records], plain(r.out), r.status) for r in runs]
        self.assertEqual(seen[0], seen[1])
        return runs[0]

    def trailers(self, answer):
        body = base64.b64decode(answer["trailers"].get("Lambda-Runtime-Function-Error-Body", ""))
        return answer["trailers"].get("Lambda-Runtime-Function-Error-Type"), plain(body.decode())

    def results(self, run):
        for a in run.answers:
            self.assertTrue(a["path"].endswith("/response"), (a, run.records, run.out))
        return [json.loads(a["body"]) for a in run.answers]

    def error(self, run, path=f"invocation/{ID}/error"):
        self.assertEqual([a["path"] for a in run.answers][:1], [path], (run.records, run.out))
        report = json.loads(run.answers[0]["body"])
        self.assertEqual(run.answers[0]["headers"]["Lambda-Runtime-Function-Error-Type"], report["errorType"])
        return report


class Node(Case):
    def node(self, source, handler="index.handler", name="index.js", **more):
        return self.run_both("node", dict({name: source}, **more.pop("files", {})), handler, **more)

    def test_handlers_of_all_kinds(self):
        for source in ("exports.handler = async (e) => ({ got: e.n + 1 });",
                       "exports.handler = (e) => Promise.resolve({ got: e.n + 1 });",
                       "exports.handler = (e, c, callback) => callback(null, { got: e.n + 1 });",
                       "exports.handler = (e, c, cb) => setTimeout(() => cb(null, { got: e.n + 1 }), 5);",
                       "exports.handler = (e, c) => c.succeed({ got: e.n + 1 });",
                       "exports.handler = (e, c) => { c.done(null, { got: e.n + 1 }); };"):
            with self.subTest(source):
                run = self.node(source, events=[{"n": 1}, {"n": 2}, {"n": 3}])
                self.assertEqual(self.results(run), [{"got": 2}, {"got": 3}, {"got": 4}])
                self.assertEqual(run.records, [])

    def test_module_kinds(self):
        esm = "export const handler = async () => import.meta.url.endsWith('index.mjs') ? 'esm' : 'other';"
        self.assertEqual(self.results(self.node(esm, name="index.mjs")), ["esm"])
        self.assertEqual(self.results(self.node("export const handler = async () => 'typed';", files={
            "package.json": '{"type": "module"}'})), ["typed"])
        self.assertEqual(self.results(self.node("exports.handler = async () => 'cjs';", name="index.cjs")), ["cjs"])
        self.assertEqual(self.results(self.node(
            "exports.a = { b: async () => require('dep') };", name="src/app/main.js", handler="src/app/main.a.b",
            files={"node_modules/dep/index.js": "module.exports = 'dependency';"})), ["dependency"])
        # What only the default export has is found from Node.js 24 on.
        source = "export default { handler: async () => 1 };"
        self.assertEqual(self.error(self.node(source, name="index.mjs", ends=True), "init/error")["errorType"],
                         "Runtime.HandlerNotFound")
        self.assertEqual(self.results(self.node(source, name="index.mjs", environment=NODE_24)), [1])
        compiled = ("\"use strict\"; Object.defineProperty(exports, '__esModule', { value: true });\n"
                    "exports.handler = void 0; const handler = async () => 'ts'; exports.handler = handler;")
        self.assertEqual(self.results(self.node(compiled, name="dist/index.js", handler="dist/index.handler")), ["ts"])
        late = "const v = await new Promise((r) => setTimeout(() => r('ready'), 20));\nexport const handler = async () => v;"
        self.assertEqual(self.results(self.node(late, name="index.mjs")), ["ready"])

    def test_modules_follow_node_path(self):
        """In its order, behind what is above the module, whatever form a package has; and what is not there is named."""
        package = '{"name": "%s", "exports": {".": {"import": "./m.mjs", "require": "./c.cjs"}, "./part": "./m.mjs"}}'
        files = {"app/node_modules/own/index.js": "exports.a = 'own';", "task/index.js": "exports.a = 'late';"}
        for at, text in (("one", "first"), ("two", "second")):
            for name in ("@s/both", "own") if at == "one" else ("@s/both", "late", "own"):
                files[f"{at}/node_modules/{name}/package.json"] = package % name
                files[f"{at}/node_modules/{name}/m.mjs"] = f"export const a = '{text} import';"
                files[f"{at}/node_modules/{name}/c.cjs"] = f"exports.a = '{text} require';"
        files["flat/single.js"] = "exports.a = 'single';"
        files["two/node_modules/late/m.mjs"] = "export { a } from '@s/both';"
        source = """
import { a as both } from '@s/both';
import { a as part } from '@s/both/part';
import { a as own } from 'own';
import { a as late } from 'late';
import { a as single } from 'single';
import { join } from 'path';
const missing = await import('@s/missing').catch((e) => [e.code, e.message.split(' imported')[0]]);
export const handler = async () => [both, part, own, late, single, typeof join, missing];
"""
        wanted = ["first import", "first import", "own", "second import", "single", "function",
                  ["ERR_MODULE_NOT_FOUND", "Cannot find package '@s/missing'"]]
        for node in [NODE, NEWER_NODE] if os.path.exists(NEWER_NODE) else [NODE]:
            with self.subTest(node), unittest.mock.patch.dict(globals(), NODE=node):
                run = self.node(source, "app/index.handler", "app/index.mjs", files=files, environment={
                    "NODE_PATH": "$ROOT/nothing:$ROOT/one/node_modules:$ROOT/two/node_modules:$ROOT/flat:$ROOT/task"})
                self.assertEqual(self.results(run), [wanted])
                self.assertEqual(run.records, [])

    def test_results(self):
        for source, result in (("undefined", None), ("null", None), ("'text'", "text"), ("12.5", 12.5),
                               ("[1, 'é€']", [1, "é€"]), ("({ a: undefined, d: new Date(0) })",
                                                          {"d": "1970-01-01T00:00:00.000Z"})):
            self.assertEqual(self.results(self.node(f"exports.handler = async () => {source};")), [result])

    def test_nothing_returned(self):
        self.assertEqual(self.results(self.node("exports.handler = () => {};", events=[{}, {}])), [None, None])
        self.assertEqual(self.results(self.node("exports.handler = () => new Promise(() => {});")), [None])
        # An async function says by its kind that something was to come.
        source = "exports.handler = async () => new Promise(() => {});"
        run = self.node(source, events=[{}, {}])
        self.assertEqual((self.error(run)["errorType"], len(run.answers)), ("Runtime.NodeJsExit", 2))
        run = self.node(source, environment=NODE_24, ends=True)
        self.assertEqual((run.answers, run.status), ([], 0))

    def test_first_thread_has_the_processor_first(self):
        source = """const fs = require('fs'), os = require('os');
const threads = () => fs.readdirSync('/proc/self/task').map(Number).sort((a, b) => a - b);
exports.handler = async () => {
  const [first, second, ...others] = threads().map((id) => os.getPriority(id));
  return [first, second, ...new Set(others)];
};"""
        self.assertEqual(self.results(self.node(source, events=[{}])), [[0, 19, 0]])

    def test_first_outcome_counts(self):
        for source, result in (("async (e, c, cb) => { cb(null, 'called'); return 'returned'; }", "called"),
                               ("async (e, c) => { c.succeed('called'); return 'returned'; }", "called"),
                               ("(e, c, cb) => { cb(null, 'called'); throw new Error('later'); }", "called"),
                               ("(e, c, cb) => { cb(null, 'first'); cb(new Error('second')); }", "first"),
                               ("(e, c, cb) => { throw undefined; }", None)):
            with self.subTest(source):
                self.assertEqual(self.results(self.node(f"exports.handler = {source};", events=[{}, {}])), [result] * 2)

    def test_callback_waits_for_the_loop(self):
        source = """let done = false;
exports.handler = (e, c, cb) => { %s setTimeout(() => { done = true; console.log('later'); }, 60);
  setTimeout(() => cb(null, done), 1); };"""
        run = self.node(source % "", events=[{}])
        self.assertEqual(self.results(run), [False])
        self.assertEqual(len(run.records), 1)
        run = self.node(source % "c.callbackWaitsForEmptyEventLoop = false;", events=[{}])
        self.assertEqual(self.results(run), [False])
        self.assertEqual(run.records, [])

    def test_context(self):
        source = """const inTime = (left) => left > 0 && left <= 3000;
exports.handler = async (e, c) => ({ c, left: inTime(c.getRemainingTimeInMillis()),
  waits: c.callbackWaitsForEmptyEventLoop, trace: process.env._X_AMZN_TRACE_ID, cwd: process.cwd() === __dirname });"""
        run = self.node(source, headers={
            "Lambda-Runtime-Client-Context": '{"custom": {"a": 1}}',
            "Lambda-Runtime-Cognito-Identity": '{"cognitoIdentityId": "i"}'})
        result = self.results(run)[0]
        self.assertTrue(result["left"])
        self.assertEqual(result["c"], {
            "callbackWaitsForEmptyEventLoop": True, "functionVersion": "$LATEST", "functionName": "f",
            "memoryLimitInMB": "128", "logGroupName": "/aws/lambda/f", "logStreamName": "2026/11/22/[$LATEST]0",
            "clientContext": {"custom": {"a": 1}}, "identity": {"cognitoIdentityId": "i"},
            "invokedFunctionArn": "arn:aws:lambda:eu-west-1:123456789012:function:f", "awsRequestId": ID})
        self.assertEqual((result["waits"], result["cwd"]), (True, True))
        self.assertTrue(result["trace"].endswith("Parent=0"))

    def test_trace_id(self):
        """Another one for each event, as a variable that shows wherever one is looked for."""
        source = """const { execSync } = require('child_process');
exports.handler = async () => {
  const name = '_X_AMZN_TRACE_ID', { env } = await import('process');
  const seen = [process.env[name], env[name], { ...process.env }[name], execSync('printenv ' + name).toString().trim(),
    Object.entries(process.env).find(([key]) => key === name)[1]];
  process.env[name] = 1;
  const own = process.env[name];
  delete process.env[name];
  return { seen, own, there: name in process.env, keys: Object.keys(process.env).includes(name),
    none: process.env.NONE === undefined && !('NONE' in process.env), path: process.env.PATH === env.PATH };
};"""
        for number, result in enumerate(self.results(self.node(source, events=[{}, {}]))):
            self.assertEqual(len(set(result["seen"])), 1)
            self.assertTrue(result["seen"][0].endswith(f"Parent={number}"), result)
            self.assertEqual({k: v for k, v in result.items() if k != "seen"},
                             {"own": "1", "there": False, "keys": False, "none": True, "path": True})

    def test_environment(self):
        source = "exports.handler = async () => ({ e: process.env, k: Object.keys(process.env) });"
        result = self.results(self.node(source, environment={"MINE": "a=b\nc é"}))[0]
        self.assertEqual(result["e"]["MINE"], "a=b\nc é")
        self.assertEqual(result["e"]["TZ"], ":UTC")
        self.assertNotIn("_LAMBDA_TELEMETRY_LOG_FD", result["e"])

    def test_errors(self):
        for source, kind, message in (
                ("async () => { throw new TypeError('bad'); }", "TypeError", "bad"),
                ("() => { throw new Error('sync'); }", "Error", "sync"),
                ("(e, c, cb) => cb(new RangeError('back'))", "RangeError", "back"),
                ("(e, c, cb) => cb('text')", "string", "text"),
                ("(e, c) => c.fail('failed')", "string", "failed"),
                ("async () => { throw 5; }", "number", "5"),
                ("async () => { throw undefined; }", "string", "handled"),
                ("() => Promise.reject(null)", "string", "handled"),
                ("async () => { throw { code: 1 }; }", "object", "[object Object]"),
                ("async () => ({ n: 1n })", "Error", "Unable to stringify response body"),
                ("async () => { const a = {}; a.a = a; return a; }", "Error", "Unable to stringify response body")):
            with self.subTest(source):
                run = self.node(f"exports.handler = {source};", events=[{}, {}])
                report = self.error(run)
                self.assertEqual((report["errorType"], report["errorMessage"]), (kind, message))
                self.assertEqual(set(report), {"errorType", "errorMessage", "trace"})
                self.assertEqual(len(run.answers), 2)
                fields = run.records[0].split("\t")
                self.assertEqual((fields[1], fields[2], fields[3]), (ID, "ERROR", "Invoke Error "))
                self.assertEqual(json.loads(fields[4])["errorMessage"], message)
        run = self.node("exports.handler = async () => { throw Object.assign(new Error('x'), { more: 1 }); };")
        self.assertEqual(self.error(run)["trace"][0], "Error: x")
        self.assertEqual(json.loads(run.records[0].split("\t")[4])["more"], 1)
        # What is no error is logged as the message of one.
        run = self.node("exports.handler = async () => { throw 'text'; };")
        shown = json.loads(run.records[0].split("\t")[4])
        self.assertEqual((shown["errorType"], shown["errorMessage"], shown["stack"][0]), ("Error", "text", "Error: text"))
        for source, kind in (("async () => ({ n: 1n })", "Runtime.JSONStringifyError"),
                             ("async () => { throw undefined; }", "undefined")):
            run = self.node(f"exports.handler = {source};", environment=NODE_24)
            self.assertEqual(self.error(run)["errorType"], kind)

    def test_uncaught(self):
        run = self.node("exports.handler = async () => { setTimeout(() => { throw new Error('late'); }, 1); "
                        "await new Promise((r) => setTimeout(r, 5000)); };", ends=True)
        self.assertEqual(self.error(run)["errorMessage"], "late")
        self.assertEqual(run.status, 129)
        self.assertIn("ERROR\tUncaught Exception \t", run.records[0])
        run = self.node("exports.handler = async () => { Promise.reject(new Error('lost')); "
                        "await new Promise((r) => setTimeout(r, 5000)); };", ends=True)
        report = self.error(run)
        self.assertEqual((report["errorType"], report["errorMessage"]),
                         ("Runtime.UnhandledPromiseRejection", "Error: lost"))
        self.assertEqual(run.status, 128)
        self.assertIn("ERROR\tUnhandled Promise Rejection \t", run.records[0])
        shown = json.loads(run.records[0].split("\t")[4])
        self.assertEqual((shown["reason"]["errorMessage"], shown["promise"], "name" in shown), ("lost", {}, False))
        # Between two events nobody is told, and no more events are taken.
        for source, status in (("Promise.reject(new Error('lost'));", 128),
                               ("setTimeout(() => { throw new Error('late'); }, 20);", 129)):
            run = self.node(f"exports.handler = async () => {{ {source} return 1; }};", ends=True)
            self.assertEqual(([a["path"] for a in run.answers], run.status),
                             ([f"invocation/{ID}/response"], status))
            self.assertIn("\tundefined\tERROR\tUn", run.records[0])
        run = self.node("exports.handler = async () => process.exit(3);", ends=True)
        self.assertEqual((run.answers, run.status), ([], 3))

    def test_init_errors(self):
        for files, handler, kind, message in (
                ({"index.js": "throw new Error('top');"}, "index.handler", "Error", "top"),
                ({"index.js": "exports.handler = ("}, "index.handler", "Runtime.UserCodeSyntaxError", None),
                ({"index.js": "require('nothing');"}, "index.handler", "Runtime.ImportModuleError", None),
                ({"index.mjs": "import 'nothing';"}, "index.handler", "Error", None),
                ({"index.js": ""}, "other.handler", "Runtime.ImportModuleError", None),
                ({"index.js": ""}, "index.handler", "Runtime.HandlerNotFound",
                 "index.handler is undefined or not exported"),
                ({"index.js": "module.exports = async () => 1;"}, "index.handler", "Runtime.HandlerNotFound",
                 "index.handler is undefined or not exported"),
                ({"index.js": "exports.handler = 5;"}, "index.handler", "Runtime.HandlerNotFound",
                 "index.handler is not a function"),
                ({"index.js": ""}, "index", "Runtime.MalformedHandlerName", "Bad handler"),
                ({"index.js": ""}, "../index.handler", "Runtime.MalformedHandlerName", None)):
            with self.subTest(handler=handler, files=files):
                run = self.run_both("node", files, handler, ends=True)
                report = self.error(run, "init/error")
                self.assertEqual(report["errorType"], kind)
                if message:
                    self.assertEqual(report["errorMessage"], message)
                self.assertEqual(run.status, 1)
                self.assertIn("\tundefined\tERROR\tUncaught Exception \t", run.records[0])
        callback = "exports.handler = (e, c, callback) => callback(null, 1);"
        run = self.node(callback, environment={"AWS_EXECUTION_ENV": "AWS_Lambda_nodejs24.x"}, ends=True)
        self.assertEqual(self.error(run, "init/error")["errorType"], "Runtime.CallbackHandlerDeprecated")

    def test_text_log(self):
        run = self.node("""console.log('init %d', 1);
exports.handler = async () => { console.log('a', { b: 1 }); console.error('two\\nlines'); console.warn('w');
console.info('i'); console.debug('d'); console.trace('t'); process.stdout.write('plain\\n'); };""")
        self.results(run)
        records = [plain(r) for r in run.records]
        self.assertEqual(records[:6], [
            "TIME\tundefined\tINFO\tinit 1\n", f"TIME\t{ID}\tINFO\ta {{ b: 1 }}\n", f"TIME\t{ID}\tERROR\ttwo\nlines\n",
            f"TIME\t{ID}\tWARN\tw\n", f"TIME\t{ID}\tINFO\ti\n", f"TIME\t{ID}\tDEBUG\td\n"])
        self.assertEqual(records[6], f"TIME\t{ID}\tTRACE\tt\n")
        self.assertEqual(run.out, "plain\n")

    def test_json_log(self):
        run = self.node("""exports.handler = async () => { console.log('a', 1); console.log({ b: 2 });
console.debug('hidden'); console.error('e', new TypeError('x')); };""", environment={
            "AWS_LAMBDA_LOG_FORMAT": "JSON", "AWS_LAMBDA_LOG_LEVEL": "INFO"})
        self.results(run)
        records = [json.loads(r) for r in run.records]
        self.assertEqual([(r["level"], r["requestId"]) for r in records], [("INFO", ID)] * 2 + [("ERROR", ID)])
        self.assertEqual([r["message"] for r in records][:2], ["a 1", {"b": 2}])
        self.assertEqual((records[2]["errorType"], records[2]["errorMessage"]), ("TypeError", "x"))
        self.assertTrue(records[2]["stackTrace"][0].startswith("TypeError: x"))
        run = self.node("exports.handler = async () => { throw new RangeError('far'); };", environment={
            "AWS_LAMBDA_LOG_FORMAT": "JSON"})
        message = json.loads(run.records[0])["message"]
        self.assertEqual((message["errorType"], message["errorMessage"], message["stackTrace"][0]),
                         ("RangeError", "far", "RangeError: far"))
        run = self.node("", environment={"AWS_LAMBDA_LOG_FORMAT": "JSON"}, ends=True)
        message = json.loads(run.records[0])["message"]
        self.assertEqual((message["errorType"], message["stackTrace"][0]), (
            "HandlerNotFound", "Runtime.HandlerNotFound: index.handler is undefined or not exported"))

    def test_streaming(self):
        run = self.node("""exports.handler = awslambda.streamifyResponse(async (event, stream, context) => {
  stream.setContentType('text/plain'); stream.write('first '); await new Promise((r) => setTimeout(r, 5));
  stream.write(context.awsRequestId); stream.end(); });""", events=[{}, {}])
        self.assertEqual(run.answers[0]["body"].decode(), "first " + ID)
        self.assertEqual(run.answers[0]["headers"]["Lambda-Runtime-Function-Response-Mode"], "streaming")
        self.assertEqual(run.answers[0]["headers"]["Content-Type"], "text/plain")
        self.assertEqual(len(run.answers), 2)
        run = self.node("""exports.handler = awslambda.streamifyResponse(async (event, stream) => {
  stream = awslambda.HttpResponseStream.from(stream, { statusCode: 201, headers: { a: 'b' } });
  stream.write('body'); stream.end(); });""")
        self.assertEqual(run.answers[0]["body"], b'{"statusCode":201,"headers":{"a":"b"}}' + bytes(8) + b"body")
        self.assertEqual(run.answers[0]["headers"]["Content-Type"], "application/vnd.awslambda.http-integration-response")
        run = self.node("exports.handler = awslambda.streamifyResponse(async (event, stream) => { "
                        "stream.write({ a: [1] }); stream.write(5); stream.write(new Uint8Array([65])); stream.end(); });")
        self.assertEqual(run.answers[0]["body"], b'{"a":[1]}5A')

    def test_streaming_errors(self):
        run = self.node("exports.handler = awslambda.streamifyResponse(async (e, s) => { s.write('part'); "
                        "await new Promise((r) => setTimeout(r, 5)); throw new Error('mid'); });", events=[{}, {}])
        self.assertEqual(run.answers[0]["body"], b"part")
        self.assertEqual(run.answers[0]["trailers"]["Lambda-Runtime-Function-Error-Type"], "Error")
        self.assertEqual(len(run.answers), 2)
        run = self.node("exports.handler = awslambda.streamifyResponse((e, s) => { setTimeout(() => s.end('x'), 5); });",
                        events=[{}, {}])
        self.assertEqual(len(run.answers), 2)
        self.assertEqual(self.error(run)["errorMessage"], "Streaming does not support non-async handlers.")
        run = self.node("exports.handler = awslambda.streamifyResponse(async () => { throw new Error('first'); });")
        self.assertEqual(self.error(run)["errorMessage"], "first")

    def test_large_payloads(self):
        text = "x" * 3_000_000 + "é"
        run = self.node("exports.handler = async (e) => e.t + e.t.length;", events=[{"t": text}, {"t": text}])
        self.assertEqual(self.results(run), [text + str(len(text))] * 2)

    def test_malformed_event(self):
        run = self.node("exports.handler = async () => 1;", events=[b"{", {}])
        self.assertEqual(self.error(run)["errorType"], "SyntaxError")
        self.assertEqual(json.loads(run.answers[1]["body"]), 1)


class Python(Case):
    def python(self, source, handler="index.handler", name="index.py", **more):
        return self.run_both("python", dict({name: source}, **more.pop("files", {})), handler, **more)

    def test_handlers(self):
        run = self.python("count = 0\ndef handler(event, context):\n    global count\n    count += 1\n"
                          "    return {'got': event['n'] + 1, 'count': count}", events=[{"n": 1}, {"n": 2}, {"n": 3}])
        self.assertEqual(self.results(run), [{"got": 2, "count": 1}, {"got": 3, "count": 2}, {"got": 4, "count": 3}])
        self.assertEqual((run.records, run.out), ([], ""))
        self.assertEqual(self.results(self.python("def run(e, c): return __file__.endswith('src/app/main.py')",
                                                  "src/app/main.run", "src/app/main.py")), [True])
        self.assertEqual(self.results(self.python("from lib import x\ndef handler(e, c): return x", files={
            "lib/__init__.py": "x = 'from a package'"})), ["from a package"])

    def test_results(self):
        for source, result in (("None", None), ("'text'", "text"), ("12.5", 12.5), ("(1, 'é€')", [1, "é€"]),
                               ("{1: True}", {"1": True}), ("__import__('decimal').Decimal('1.5')", 1.5),
                               ("__import__('decimal').Decimal(3)", 3), ("{'body': b'text'}", {"body": "text"})):
            self.assertEqual(self.results(self.python(f"def handler(e, c): return {source}")), [result])
        # Every digit of a decimal, and bytes as they are.
        run = self.python("from decimal import Decimal\ndef handler(e, c): return [Decimal('1.50'), 'a\"', "
                          "{'n': Decimal('0.12345678901234567890123')}]")
        self.assertEqual(run.answers[0]["body"], b'[1.50, "a\\"", {"n": 0.12345678901234567890123}]')
        run = self.python("def handler(e, c): return b'\\x00raw'")
        self.assertEqual((run.answers[0]["body"], run.answers[0]["headers"]["Content-Type"]),
                         (b"\0raw", "application/unknown"))

    def test_text_is_escaped_as_the_version_does(self):
        for version, text in (("3.11", rb'"\u00e9"'), ("3.12", '"é"'.encode()), ("3.13", '"é"'.encode())):
            run = self.python("def handler(e, c): return 'é'", environment={
                "AWS_EXECUTION_ENV": f"AWS_Lambda_python{version}"})
            self.assertEqual(run.answers[0]["body"], text)

    def test_context(self):
        run = self.python("""def handler(e, c):
    import os
    return [c.function_name, c.function_version, c.memory_limit_in_mb, c.log_group_name, c.log_stream_name,
        c.aws_request_id, c.invoked_function_arn, 0 < c.get_remaining_time_in_millis() <= 3000,
        c.client_context.custom, c.client_context.client.app_title, c.identity.cognito_identity_id, c.tenant_id,
        os.environ['_X_AMZN_TRACE_ID'][-8:], os.getcwd() == os.environ['LAMBDA_TASK_ROOT']]""", headers={
            "Lambda-Runtime-Client-Context": '{"custom": {"a": 1}, "client": {"app_title": "t"}}',
            "Lambda-Runtime-Cognito-Identity": '{"cognitoIdentityId": "i"}'})
        self.assertEqual(self.results(run)[0], [
            "f", "$LATEST", "128", "/aws/lambda/f", "2026/11/22/[$LATEST]0", ID,
            "arn:aws:lambda:eu-west-1:123456789012:function:f", True, {"a": 1}, "t", "i", None, "Parent=0", True])
        self.assertEqual(self.results(self.python("def handler(e, c): return [c.client_context, "
                                                  "c.identity.cognito_identity_id]")), [[None, None]])

    def test_environment(self):
        run = self.python("import os, sys, time\ndef handler(e, c): return [dict(os.environ), list(os.environ), "
                          "sys.path[0], sorted(sys.modules), time.tzname, sys.argv[1:]]", environment={"MINE": "a=b\nc é"})
        result = self.results(run)[0]
        self.assertEqual(result[0]["MINE"], "a=b\nc é")
        self.assertNotIn("_LAMBDA_TELEMETRY_LOG_FD", result[0])
        self.assertEqual(plain(result[2]), "/var/task")
        self.assertFalse({"json", "logging", "re", "socket", "traceback"} & set(result[3]))

    def test_errors(self):
        for source, kind, message in (("1 / 0", "ZeroDivisionError", "division by zero"),
                                      ("raise ValueError('é')", "ValueError", "é"),
                                      ("return object()", "Runtime.MarshalError", "Unable to marshal response: Object of "
                                       "type object is not JSON serializable"),
                                      ("return {(1, 2): 3}", "Runtime.MarshalError", None),
                                      ("return (n for n in (1, 2))", "Runtime.MarshalError", "Unable to marshal "
                                       "response: Object of type generator is not JSON serializable"),
                                      ("return float('nan')", "Runtime.MarshalError", None)):
            with self.subTest(source):
                run = self.python(f"def handler(e, c):\n    {source}\n", events=[{}, {}])
                report = self.error(run)
                self.assertEqual(report["errorType"], kind)
                if message:
                    self.assertEqual(report["errorMessage"], message)
                self.assertEqual(report["requestId"], ID)
                self.assertEqual(len(run.answers), 2)
        run = self.python("def handler(e, c):\n    return inner()\ndef inner():\n    raise KeyError('k')\n")
        report = self.error(run)
        self.assertEqual([plain(line) for line in report["stackTrace"]], [
            '  File "/var/task/index.py", line 2, in handler\n    return inner()\n           ^^^^^^^\n',
            '  File "/var/task/index.py", line 4, in inner\n    raise KeyError(\'k\')\n'])
        self.assertEqual(plain(run.records[0]), "[ERROR] KeyError: 'k'\nTraceback (most recent call last):\n" +
                         "".join(plain(line) for line in report["stackTrace"]))

    def test_exits(self):
        run = self.python("import sys\ndef handler(e, c): sys.exit(3)", ends=True)
        self.assertEqual((run.answers, run.status), ([], 3))
        run = self.python("def handler(e, c): exit()", ends=True)
        self.assertEqual((run.answers, run.status), ([], 0))

    def test_init_errors(self):
        for files, handler, kind, message in (
                ({"index.py": "raise ValueError('top')"}, "index.handler", "ValueError", "top"),
                ({"index.py": "def handler(:"}, "index.handler", "Runtime.UserCodeSyntaxError",
                 "Syntax error in module 'index': invalid syntax (index.py, line 1)"),
                ({"index.py": "import nothing"}, "index.handler", "Runtime.ImportModuleError",
                 "Unable to import module 'index': No module named 'nothing'"),
                ({}, "src/app.handler", "Runtime.ImportModuleError",
                 "Unable to import module 'src/app': No module named 'src'"),
                ({}, "index.handler", "Runtime.ImportModuleError",
                 "Unable to import module 'index': No module named 'index'"),
                ({"index.py": ""}, "index.handler", "Runtime.HandlerNotFound",
                 "Handler 'handler' missing on module 'index'"),
                ({"index.py": ""}, "index", "Runtime.MalformedHandlerName",
                 "Bad handler 'index': not enough values to unpack (expected 2, got 1)")):
            with self.subTest(handler=handler, files=files):
                run = self.run_both("python", files, handler, ends=True)
                report = self.error(run, "init/error")
                self.assertEqual((report["errorType"], report["errorMessage"]), (kind, message))
                self.assertEqual(run.status, 1)
                self.assertTrue(run.records[0].startswith(f"[ERROR] {kind}: {message}\nTraceback"))

    def test_text_log(self):
        run = self.python("""import logging
logger = logging.getLogger()
logger.setLevel('INFO')
logger.info('at start')
def handler(e, c):
    print('printed', 1)
    logger.info('hello %s', 'é')
    logging.getLogger('other').warning('two\\nlines')
    logger.debug('hidden')
    try:
        1 / 0
    except ZeroDivisionError:
        logger.exception('failed')
    c.log('by context')
""")
        self.results(run)
        records = [plain(r) for r in run.records]
        self.assertEqual(records[:3], ["[INFO]\tTIME\t\tat start\n", f"[INFO]\tTIME\t{ID}\thello é\n",
                                       f"[WARNING]\tTIME\t{ID}\ttwo\nlines\n"])
        self.assertTrue(records[3].startswith(f"[ERROR]\tTIME\t{ID}\tfailed\n\nTraceback") or
                        records[3].startswith(f"[ERROR]\tTIME\t{ID}\tfailed\nTraceback"), records[3])
        self.assertEqual(records[4], "by context")
        self.assertEqual(run.out, "printed 1\n")

    def test_json_log(self):
        run = self.python("""import logging
def handler(e, c):
    logging.getLogger('mine').info('hello', extra={'order': 7})
    logging.debug('hidden')
    try:
        1 / 0
    except ZeroDivisionError:
        logging.exception('failed')
    raise RuntimeError('end')
""", environment={"AWS_LAMBDA_LOG_FORMAT": "JSON", "AWS_LAMBDA_LOG_LEVEL": "INFO"})
        self.error(run)
        records = [json.loads(r) for r in run.records]
        self.assertEqual((records[0]["message"], records[0]["level"], records[0]["logger"], records[0]["order"],
                          records[0]["requestId"]), ("hello", "INFO", "mine", 7, ID))
        self.assertEqual((records[1]["errorType"], records[1]["message"]), ("ZeroDivisionError", "failed"))
        self.assertEqual(plain(records[1]["location"]), "/var/task/index.py:handler:8")
        self.assertRegex(records[0]["timestamp"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
        self.assertEqual((records[2]["errorType"], records[2]["level"]), ("RuntimeError", "ERROR"))
        self.assertEqual(len(records), 3)

    def test_large_payloads(self):
        text = "x" * 3_000_000 + "é"
        run = self.python("def handler(e, c): return e['t'] + str(len(e['t']))", events=[{"t": text}, {"t": text}])
        self.assertEqual(self.results(run), [text + str(len(text))] * 2)

    def test_malformed_event(self):
        run = self.python("def handler(e, c): return 1", events=[b"{", b"1 2", {}])
        self.assertEqual(self.error(run)["errorType"], "Runtime.UnmarshalError")
        self.assertEqual(json.loads(run.answers[2]["body"]), 1)


@unittest.skipUnless(os.access(RUBY, os.X_OK), f"no {RUBY}")
class Ruby(Case):
    def ruby(self, source, handler="index.handler", name="index.rb", **more):
        return self.run_both("ruby", dict({name: source}, **more.pop("files", {})), handler, **more)

    def test_handlers_of_all_kinds(self):
        method = "(event:, context:) { got: event['n'] + 1 } end"
        for source, handler in ((f"def handler{method.replace(') {', ') = ({').replace('} end', '})')}", "index.handler"),
                                (f"class App; def self.run(event:, context:) = ({{ got: event['n'] + 1 }}); end",
                                 "index.App.run"),
                                ("module A; class B; def self.run(event:, context:)\n{ got: event['n'] + 1 }\nend; end; "
                                 "end", "index.A::B.run")):
            with self.subTest(source):
                run = self.ruby(source, handler, events=[{"n": 1}, {"n": 2}, {"n": 3}])
                self.assertEqual(self.results(run), [{"got": 2}, {"got": 3}, {"got": 4}])
                self.assertEqual(run.records, [])

    def test_results(self):
        for source, result in (("nil", None), ("'text é'", "text é"), ("12.5", 12.5), ("[1, {a: nil}]", [1, {"a": None}])):
            self.assertEqual(self.results(self.ruby(f"def handler(event:, context:)\n{source}\nend")), [result])

    def test_files(self):
        run = self.ruby("require 'helper'\ndef handler(event:, context:) = Helper.name", name="src/app.rb",
                        handler="src/app.handler", files={"helper.rb": "module Helper; def self.name = 'help'; end"})
        self.assertEqual(self.results(run), ["help"])

    def test_context(self):
        source = """def handler(event:, context:)
  left = context.get_remaining_time_in_millis
  { left: left > 0 && left <= 3000, id: context.aws_request_id, arn: context.invoked_function_arn,
    group: context.log_group_name, stream: context.log_stream_name, name: context.function_name,
    memory: context.memory_limit_in_mb, version: context.function_version, client: context.client_context,
    identity: context.identity, trace: ENV['_X_AMZN_TRACE_ID'].end_with?('Parent=0'), mine: ENV['MINE'],
    fd: ENV['_LAMBDA_TELEMETRY_LOG_FD'], at: Dir.pwd == ENV['LAMBDA_TASK_ROOT'] }
end"""
        run = self.ruby(source, environment={"MINE": "a=b\nc é"},
                        headers={"Lambda-Runtime-Client-Context": '{"custom": {"a": 1}}'})
        self.assertEqual(self.results(run), [{
            "left": True, "id": ID, "arn": "arn:aws:lambda:eu-west-1:123456789012:function:f", "group": "/aws/lambda/f",
            "stream": "2026/11/22/[$LATEST]0", "name": "f", "memory": "128", "version": "$LATEST",
            "client": {"custom": {"a": 1}}, "identity": None, "trace": True, "mine": "a=b\nc é", "fd": None, "at": True}])

    def test_trace_id(self):
        """Another one for each event, seen by all, in a memory that does not grow with their number."""
        source = """require 'fiddle'
GETENV = Fiddle::Function.new(Fiddle.dlopen(nil)['getenv'], [Fiddle::TYPE_VOIDP], Fiddle::TYPE_VOIDP)
def handler(event:, context:)
  return nil unless event['look']
  name = '_X_AMZN_TRACE_ID'
  at = GETENV.call(name)
  seen = [ENV[name], ENV.to_h[name], `printenv #{name}`.chomp, at.to_s].uniq
  ENV[name] = 'own' if event['look'] == 2
  ENV.delete(name) if event['look'] == 3
  { seen: seen, at: at.to_i }
end"""
        events = [{"look": 1}, {"look": 2}, {}] + [{}] * 1000 + [{"look": look} for look in (1, 2, 3, 1)]
        results = [(number, r) for number, r in enumerate(self.results(self.ruby_once(source, events))) if r]
        self.assertEqual(len(results), 6)
        for number, result in results:
            self.assertEqual([text.partition("Parent=")[2] for text in result["seen"]], [str(number)])
        self.assertEqual(len({result["at"] for _, result in results[:2]}), 2)
        self.assertEqual(len({result["at"] for _, result in results[2:]}), 1)

    def ruby_once(self, source, events=({},)):
        """Not pooled and plain: addresses and times differ."""
        return Run("ruby", {"index.rb": source}, "index.handler", events, False, {}, {}, False)

    def test_errors(self):
        for source, kind, message in (("raise 'bad'", "Function<RuntimeError>", "bad"),
                                      ("raise ArgumentError, 'no'", "Function<ArgumentError>", "no"),
                                      ("Float::NAN", "Function<JSON::GeneratorError>", None)):
            with self.subTest(source):
                run = self.ruby(f"def handler(event:, context:)\n{source}\nend", events=[{}, {}])
                report = self.error(run)
                self.assertEqual(report["errorType"], kind)
                self.assertEqual(set(report), {"errorType", "errorMessage", "stackTrace"})
                if message:
                    self.assertEqual(report["errorMessage"], message)
                    self.assertIn("index.rb:2:in `handler'", plain(report["stackTrace"][0]))
                self.assertEqual(len(run.answers), 2)
                self.assertTrue(run.records[0].startswith("Error raised from handler method\n{"))

    def test_init_errors(self):
        for source, handler, kind in (("raise 'bad'", "index.handler", "Init<RuntimeError>"),
                                      ("def (", "index.handler", "Init<SyntaxError>"),
                                      ("", "absent.handler", "Init<LoadError>"),
                                      ("", "index.handler", "Runtime.HandlerNotFound"),
                                      ("", "index", "Runtime.MalformedHandlerName"),
                                      ("", "index.App.run", "Init<NameError>")):
            with self.subTest(kind):
                run = self.ruby(source, handler, events=[], ends=True)
                self.assertEqual(self.error(run, "init/error")["errorType"], kind)
                self.assertEqual(run.status, 1)

    def test_json_log(self):
        run = self.ruby("""require 'logger'
LOG = Logger.new($stdout, progname: 'mine')
def handler(event:, context:)
  puts 'out'
  LOG.info("two\nlines")
  begin
    raise ArgumentError, 'inner'
  rescue ArgumentError => e
    LOG.error(e)
  end
  raise 'bad'
end""", environment={"AWS_LAMBDA_LOG_FORMAT": "JSON"})
        self.assertEqual(run.records[0], "out\n")
        shown, inner, record = map(json.loads, run.records[1:])
        self.assertRegex(shown.pop("timestamp"), r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$")
        self.assertEqual(shown, {"level": "INFO", "message": "two\nlines", "requestId": ID, "logger": "mine"})
        self.assertEqual((inner["level"], inner["errorType"], inner["errorMessage"], plain(inner["location"])),
                         ("ERROR", "ArgumentError", "inner", "/var/task/index.rb:handler:8"))
        self.assertEqual((record["level"], record["requestId"], record["errorType"], record["errorMessage"]),
                         ("ERROR", ID, "Function<RuntimeError>", "bad"))
        self.assertEqual(run.out, "")

    def test_text_log(self):
        run = self.ruby_once("""require 'logger'
def handler(event:, context:)
  puts "a\nb", ['c', 1]
  puts
  Logger.new($stdout).warn("two\nlines")
  Logger.new($stderr, formatter: proc { |severity, _, _, text| "own #{severity} #{text}" }).info('x')
  Logger.new(nil).info('nowhere')
  $stdout.puts 'plain'
  print 'p'
  STDERR.puts 'err'
end""")
        self.assertEqual(run.records[:2], ["a\nb\nc\n1\n", "\n"])
        self.assertRegex(run.records[2], r"^W, \[\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6} #\d+\]  WARN " + ID +
                         r" -- : two\nlines\n$")
        self.assertEqual(run.records[3:], ["own INFO x"])
        self.assertEqual(run.out, "plain\nperr\n")

    def test_raw_answer(self):
        run = self.ruby("require 'stringio'\ndef handler(event:, context:) = StringIO.new('not JSON')")
        self.assertEqual([a["body"] for a in run.answers], [b"not JSON"])


if __name__ == "__main__":
    unittest.main()
