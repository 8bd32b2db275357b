"""The section `invoke` of bench/run.py: functions, warm and cold, alone and by the thousand.

Latency is what a client sees on a connection that is there: HTTP, gate, scheduler, container and
back. A function is made cold by a change of its environment, which ends its instances.
"""
import concurrent.futures
import http.client
import os
import shutil
import tempfile
import time
import zipfile

import rig
from rig import harness, median, pss_mib, row, sign, tree, write_requests

ROUNDS = 3
TITLE = "Invoke"
MANY = "Functions by the thousand"
LARGE_BYTES = 45_000_000  # of a package; 50 MB is what can be uploaded directly
COLD_FUNCTIONS = 400
COLD_ROOM = 16  # instances, so that each start ends an older one
IDLE_INSTANCES = 1000
WARM_ROUNDS = 6  # at most

KINDS = {
    "Node.js": ("nodejs20.x", [("index.js", "exports.handler = async (event) => event;", 0o644)]),
    "Python": ("python3.11", [("index.py", "def handler(event, context):\n    return event\n", 0o644)]),
}
SLEEPERS = {
    "Node.js": [("index.js", "exports.handler = (event) => new Promise((done) => "
                             "setTimeout(done, event, event));", 0o644)],
    "Python": [("index.py", "import time\n\n\ndef handler(event, context):\n"
                            "    time.sleep(event / 1000)\n    return event\n", 0o644)],
}


def bootstrap():
    """The native function; its handlers are named in the file that it is made from."""
    with open(os.path.join(rig.ROOT, "build", "test", "lambda-bootstrap"), "rb") as f:
        return [("bootstrap", f.read(), 0o755)]


def kinds():
    """name -> (runtime, handler, files)"""
    found = {"native": ("provided.al2023", "echo", bootstrap())}
    found.update({k: (runtime, "index.handler", files) for k, (runtime, files) in KINDS.items()})
    return found


def make_zip(files):
    path = os.path.join(tempfile.gettempdir(), f"cirrus-bench-{os.getpid()}.zip")
    with zipfile.ZipFile(path, "w") as z:
        for name, text, mode in files:
            entry = zipfile.ZipInfo(name)
            entry.external_attr = mode << 16
            z.writestr(entry, text)
    with open(path, "rb") as f:
        text = f.read()
    os.unlink(path)
    return text


def wait_settled(api, name):
    while True:
        found = api.get_function_configuration(FunctionName=name)
        if found["State"] == "Active" and found["LastUpdateStatus"] != "InProgress":
            return
        time.sleep(0.002)


def create_function(server, name, runtime, handler, code, memory=1769):
    """1769 MB: one processor, because the share follows the memory."""
    api = server.api("lambda")
    api.create_function(FunctionName=name, Runtime=runtime, Handler=handler, Timeout=60,
                        MemorySize=memory, Role="arn:aws:iam::000000000000:role/bench",
                        Code={"ZipFile": code})
    wait_settled(api, name)
    return api


def signed_invoke(server, name, payload):
    return sign("lambda", f"127.0.0.1:{server.port}", None, payload,
                f"/2015-03-31/functions/{name}/invocations", "application/json")


def timed(sock, raw):
    """Microseconds of one request."""
    started = time.perf_counter()
    sock.sendall(raw)
    answer = sock.recv(65536)
    taken = (time.perf_counter() - started) * 1e6
    if not answer.startswith(b"HTTP/1.1 200") or b"unction-error" in answer.lower():
        raise RuntimeError(answer.decode(errors="replace"))
    return taken


def one_request(port, raw):
    """On a connection of its own, which is there before the clock starts."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.connect()
    try:
        return timed(connection.sock, raw)
    finally:
        connection.close()


def one_invoke(server, name):
    return one_request(server.port, signed_invoke(server, name, b"1"))


class Kept:
    """A connection that stays, as every SDK keeps one: microseconds of a request on it."""

    def __init__(self, port):
        self.port, self.connection = port, None

    def __call__(self, raw):
        if not self.connection:
            self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
            self.connection.connect()
        return timed(self.connection.sock, raw)

    def close(self):
        if self.connection:
            self.connection.close()


def percentiles(taken):
    taken = sorted(taken)
    return f"{taken[len(taken) // 2]:,.0f}", f"{taken[int(len(taken) * 0.99)]:,.0f}"


def make_cold(api, name, i):
    api.update_function_configuration(FunctionName=name, Environment={"Variables": {"ROUND": str(i)}})
    wait_settled(api, name)


def cold_starts(server, api, name, count, pause):
    taken = []
    for i in range(count):
        make_cold(api, name, i)
        time.sleep(pause)
        taken.append(one_invoke(server, name))
    return taken


# --- the floor ---------------------------------------------------------------------------------------

def spawned(command, count):
    """Microseconds from posix_spawn to the end, by nobody's container."""
    taken = []
    for _ in range(count):
        started = time.perf_counter()
        pid = os.posix_spawn(command[0], command, {"PATH": "/usr/bin:/bin"})
        os.waitpid(pid, 0)
        taken.append((time.perf_counter() - started) * 1e6)
    return taken


def floors(seconds, folder, count):
    nginx = rig.Nginx()
    host = nginx.endpoint.partition("//")[2]
    hop_file = write_requests(folder, "hop", [sign("lambda", host, None, b"{}")])
    hop = median([rig.load(nginx, hop_file, 1, seconds, 0) for _ in range(ROUNDS)])
    row(TITLE, "floor: two loopback hops (twice nginx, 1 connection)", "", f"{2 * hop['p50']:.0f}",
        f"{2 * hop['p99']:.0f}")
    nginx.close()
    for name, command in (("/bin/true", ["/bin/true"]), ("python3 -I -S", ["/usr/bin/python3", "-I", "-S", "-c", ""]),
                          ("node", [shutil.which("node"), "-e", ""])):
        row(TITLE, f"floor: posix_spawn of {name} to its end", "", *percentiles(spawned(command, count)))


# --- warm and cold -----------------------------------------------------------------------------------

def settled(server, one, seconds):
    """16 connections, and as many instances, which get faster for some seconds: each of a JIT's
    processes compiles the same code."""
    rig.load(server, one, 16, seconds, 0)
    best = rig.load(server, one, 16, seconds, 0)
    for _ in range(WARM_ROUNDS):
        last, best = best, rig.load(server, one, 16, seconds, 0)
        if best["rate"] < last["rate"] * 1.05:
            break
    return best


def warm(server, kind, one, seconds):
    single = median([rig.load(server, one, 1, seconds, 0) for _ in range(ROUNDS)])
    row(TITLE, f"warm Invoke, {kind}, 1 connection", f"{single['rate']:,.0f}",
        f"{single['p50']:.0f}", f"{single['p99']:.0f}")
    many = settled(server, one, seconds)
    row(TITLE, f"warm Invoke, {kind}, 16 connections", f"{many['rate']:,.0f}",
        f"{many['p50']:,.0f}", f"{many['p99']:,.0f}")


def pooled(server, folder, seconds, count):
    for kind, (runtime, handler, files) in kinds().items():
        name = "f" + kind.replace(".", "")
        api = create_function(server, name, runtime, handler, make_zip(files))
        one = write_requests(folder, "invoke", [signed_invoke(server, name, b'{"k":"v"}')])
        one_invoke(server, name)
        make_cold(api, name, "pooled")
        time.sleep(1)  # the pool is full, and the instance comes from it
        warm(server, kind, one, seconds)
        row(TITLE, f"cold Invoke, {kind}, pool full", "",
            *percentiles(cold_starts(server, api, name, count, 0.2)))
        row(TITLE, f"cold Invoke, {kind}, one after another without a pause", "",
            *percentiles(cold_starts(server, api, name, max(count // 10, 20), 0)))


def one_loop(folder, seconds):
    """Connection and instance on one loop, which is chance where there are two."""
    with rig.Cirrus("--pool", "0", "--loops", "1", strict=False) as server:
        for kind, (runtime, handler, files) in kinds().items():
            name = "f" + kind.replace(".", "")
            api = create_function(server, name, runtime, handler, make_zip(files))
            one = write_requests(folder, "invoke", [signed_invoke(server, name, b'{"k":"v"}')])
            api.invoke(FunctionName=name, Payload=b"1")
            single = median([rig.load(server, one, 1, seconds, 0) for _ in range(ROUNDS)])
            row(TITLE, f"warm Invoke, {kind}, 1 connection, one loop", f"{single['rate']:,.0f}",
                f"{single['p50']:.0f}", f"{single['p99']:.0f}")


def large(server, count):
    """What a package of 50 MB changes, after its first start."""
    runtime, files = KINDS["Python"]
    files = files + [("blob", os.urandom(LARGE_BYTES), 0o644)]
    api = create_function(server, "large", runtime, "index.handler", make_zip(files))
    one_invoke(server, "large")
    row(TITLE, "cold Invoke, Python, package of 45 MB after the first, pool full", "",
        *percentiles(cold_starts(server, api, "large", max(count // 4, 20), 0.2)))


def empty(server, count):
    for kind, (runtime, handler, files) in kinds().items():
        name = "f" + kind.replace(".", "")
        api = create_function(server, name, runtime, handler, make_zip(files))
        one_invoke(server, name)
        row(TITLE, f"cold Invoke, {kind}, pool empty", "",
            *percentiles(cold_starts(server, api, name, count, 0.03)))


# Ends its instance a little after the answer, so that the next call goes on from the snapshot.
ONCE = "import os, threading\n\n\ndef handler(event, context):\n" \
       "    threading.Timer(0.001, os._exit, (0,)).start()\n    return event\n"


def snap_function(server, name, text):
    """A version of a Python function with SnapStart: its qualified name."""
    api = server.api("lambda")
    api.create_function(FunctionName=name, Runtime="python3.12", Handler="index.handler", Timeout=60,
                        MemorySize=1769, Role="arn:aws:iam::000000000000:role/bench",
                        SnapStart={"ApplyOn": "PublishedVersions"},
                        Code={"ZipFile": make_zip([("index.py", text, 0o644)])})
    wait_settled(api, name)
    version = api.publish_version(FunctionName=name)["Version"]
    while True:
        seen = api.get_function_configuration(FunctionName=name, Qualifier=version)
        if seen["State"] == "Active" and seen["SnapStart"]["OptimizationStatus"] == "On":
            return f"{name}:{version}"
        if seen["State"] != "Pending":
            raise RuntimeError(str(seen))
        time.sleep(0.01)


def restored(server, count, pool):
    name = snap_function(server, "snap", ONCE)
    taken = []
    while len(taken) < count:
        try:
            taken.append(one_invoke(server, name))
        except RuntimeError:
            pass  # it was frozen before its end came, which so met the next call
        time.sleep(0.2 if pool == "full" else 0.08)
    row(TITLE, f"cold Invoke, Python with SnapStart, pool {pool}", "", *percentiles(taken))


# --- many ----------------------------------------------------------------------------------------------

def invoke_many(server, folder, name, count, ms):
    """So many at once: each sleeps on an instance of its own."""
    requests = [signed_invoke(server, name, str(ms).encode())] * count
    rig.load(server, write_requests(folder, "many", requests), count, 0, 0)


def memory_of_instances():
    """PSS of an idle instance, the container's PID 1 included; without a pool."""
    for kind, (runtime, handler, files) in kinds().items():
        count = 8
        native = kind == "native"
        with rig.Cirrus("--pool", "0", strict=False) as server, \
                tempfile.TemporaryDirectory() as folder:
            create_function(server, "f", runtime, "wait" if native else handler,
                            make_zip(files if native else SLEEPERS[kind]), 128)
            invoke_many(server, folder, "f", 1, 1)
            time.sleep(1)
            before = pss_mib(tree(server.process.pid))
            invoke_many(server, folder, "f", count, 1500)
            time.sleep(1)
            more = pss_mib(tree(server.process.pid)) - before
            row(MANY, f"memory of an idle instance, {kind} (PSS)", f"{more / (count - 1):.1f} MiB")
    with rig.Cirrus("--pool", "0", strict=False) as server, tempfile.TemporaryDirectory() as folder:
        name = snap_function(server, "f", SLEEPERS["Python"][0][1])
        invoke_many(server, folder, name, 1, 1)
        time.sleep(1)
        before = pss_mib(tree(server.process.pid))
        invoke_many(server, folder, name, count, 1500)
        time.sleep(1)
        more = pss_mib(tree(server.process.pid)) - before
        row(MANY, "memory of an idle instance, Python with SnapStart (PSS)", f"{more / (count - 1):.1f} MiB")


def sustained(folder, seconds):
    """Functions in turn, with room for few: every call starts an instance and ends another."""
    with rig.Cirrus("--pool", "0", "--function-instances", str(COLD_ROOM), strict=False) as server:
        code = make_zip(bootstrap())
        names = [f"f{i}" for i in range(COLD_FUNCTIONS)]
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda n: create_function(server, n, "provided.al2023", "echo", code), names))
        path = write_requests(folder, "cold", [signed_invoke(server, n, b"1") for n in names])
        for connections in (2, 8):
            m = rig.load(server, path, connections, max(seconds, 3), 0)
            row(MANY, f"sustained cold starts, native, pool empty, {connections} at a time; "
                "each ends an older instance", f"{m['rate']:,.0f}/s, p50 {m['p50'] / 1000:.1f} ms, "
                f"p99 {m['p99'] / 1000:.1f} ms")


def thousand(folder, seconds):
    with rig.Cirrus("--pool", "0", "--function-instances", str(IDLE_INSTANCES),
                    "--function-memory", "1000000", strict=False) as server:
        create_function(server, "f", "provided.al2023", "wait", make_zip(bootstrap()), 128)
        one = write_requests(folder, "one", [signed_invoke(server, "f", b"0")])
        one_invoke(server, "f")
        quiet = rig.load(server, one, 1, seconds, 0)
        pss, available = pss_mib(tree(server.process.pid)), rig.available_mib()
        others = len(tree(server.process.pid)) - 2  # an instance is PID 1 and the runtime
        invoke_many(server, folder, "f", IDLE_INSTANCES, 30000)
        time.sleep(2)
        processes = tree(server.process.pid)
        row(MANY, f"{(len(processes) - others) // 2:,} idle native instances: memory more (PSS; "
            "taken from what the machine has free)",
            f"{pss_mib(processes) - pss:,.0f} MiB; {available - rig.available_mib():,.0f} MiB")
        busy = rig.load(server, one, 1, seconds, 0)
        row(MANY, "warm Invoke beside none and beside them, p50",
            f"{quiet['p50']:.0f} and {busy['p50']:.0f} us")


# --- the peer -----------------------------------------------------------------------------------------

def serverless_offline(folder, seconds):
    """Its functions are threads of one process; nothing is isolated."""
    modules = os.path.join(rig.ROOT, "build", "peers", "node_modules")
    program = os.path.join(modules, ".bin", "serverless")
    if not os.path.exists(program):
        return
    place = os.path.join(folder, "peer")
    os.makedirs(place)
    os.symlink(modules, os.path.join(place, "node_modules"))
    port = harness.free_port()
    with open(os.path.join(place, "serverless.yml"), "w", encoding="ascii") as f:
        f.write(f"""service: bench
frameworkVersion: "3"
provider: {{name: aws, runtime: nodejs20.x, deploymentMethod: direct}}
plugins: [serverless-offline]
custom:
  serverless-offline: {{lambdaPort: {port}, httpPort: {harness.free_port()}, noPrependStageInUrl: true}}
functions:
  f: {{handler: index.handler, name: f}}
""")
    with open(os.path.join(place, "index.js"), "w", encoding="ascii") as f:
        f.write(KINDS["Node.js"][1][0][1])
    peer = rig.Foreign([shutil.which("node"), program, "offline"], port, place)
    try:
        started = one_invoke(peer, "f")
        one = write_requests(folder, "peer-one", [signed_invoke(peer, "f", b'{"k":"v"}')])
        for connections in (1, 16):
            m = median([rig.load(peer, one, connections, seconds, 0) for _ in range(ROUNDS)])
            row(TITLE, f"serverless-offline: warm Invoke, Node.js, {connections} "
                f"connection{'s' if connections > 1 else ''}", f"{m['rate']:,.0f}",
                f"{m['p50']:,.0f}", f"{m['p99']:,.0f}")
        row(TITLE, "serverless-offline: its first Invoke", "", f"{started:,.0f}", "")
    finally:
        peer.close()


def section(seconds, folder, count):
    """Warm and cold Invoke through the whole path: HTTP, scheduler, container and back."""
    floors(seconds, folder, min(count, 100))
    with rig.Cirrus("--pool", "2", strict=False) as server:
        pooled(server, folder, seconds, count)
        restored(server, count, "full")
        large(server, count)
    one_loop(folder, seconds)
    with rig.Cirrus("--pool", "0", strict=False) as server:
        empty(server, count)
        restored(server, count, "empty")
    serverless_offline(folder, seconds)
    memory_of_instances()
    sustained(folder, seconds)
    thousand(folder, seconds)
