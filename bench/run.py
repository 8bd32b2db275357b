#!/usr/bin/python3
"""make bench: cirrus, its peers and the physical floor, side by side in one run.

    bench/run.py [--seconds N] [--only SECTION,...] [--write]

Load comes from wrk (one thread) that replays prepared, signed requests from memory; the same bytes go
to every server of a section. Rates are medians of three rounds taken in turn (A B C A B C ...), so that
a drift of the machine's speed meets all alike. CPU is user + system time of all of a server's
processes, from /proc. Peers that are not installed are left out and named. --write puts the table into
docs/benchmarks.md.
"""
import argparse
import datetime
import hashlib
import hmac
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "test", "e2e"))
import harness  # noqa: E402

ITEMS = 20000
ITEM_BYTES = 1024
ROUNDS = 3
REGION = "us-east-1"
rows = {}


def sign(service, host, target, body, path="/", content="application/x-amz-json-1.0"):
    """A raw HTTP/1.1 request, signed with the key test/test (Signature Version 4)."""
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{now[:8]}/{REGION}/{service}/aws4_request"
    headers = {"content-type": content, "host": host, "x-amz-date": now}
    if target:
        headers["x-amz-target"] = target
    names = sorted(headers)
    canonical = "\n".join(["POST", path, ""] + [f"{n}:{headers[n]}" for n in names]
                          + ["", ";".join(names), hashlib.sha256(body).hexdigest()])
    text = "\n".join(["AWS4-HMAC-SHA256", now, scope,
                      hashlib.sha256(canonical.encode()).hexdigest()])
    key = b"AWS4test"
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    lines = [f"POST {path} HTTP/1.1"] + [f"{n}: {headers[n]}" for n in names]
    lines += [f"authorization: AWS4-HMAC-SHA256 Credential=test/{scope}, "
              f"SignedHeaders={';'.join(names)}, Signature={signature}",
              f"content-length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


def dynamodb(host, operation, **request):
    return sign("dynamodb", host, "DynamoDB_20120810." + operation, json.dumps(request).encode())


def write_requests(folder, name, requests):
    path = os.path.join(folder, name)
    with open(path, "wb") as f:
        for request in requests:
            f.write(b"%d\n" % len(request))
            f.write(request)
    return path


def cpu_seconds(pids):
    total = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
                fields = f.read().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
        except OSError:
            pass
    return total / os.sysconf("SC_CLK_TCK")


def tree(pid):
    found = [pid]
    for at in found:
        try:
            for task in os.listdir(f"/proc/{at}/task"):
                with open(f"/proc/{at}/task/{task}/children", encoding="ascii") as f:
                    found += [int(c) for c in f.read().split() if int(c) not in found]
        except OSError:
            pass
    return found


def wrk(endpoint, requests, connections, seconds, pid):
    """One round: rate, percentiles in microseconds, CPU per request."""
    environment = dict(os.environ, CIRRUS_BENCH_REQUESTS=requests)
    before = cpu_seconds(tree(pid))
    done = subprocess.run(["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s",
                           os.path.join(ROOT, "bench", "replay.lua"), endpoint],
                          capture_output=True, text=True, env=environment, check=True,
                          timeout=seconds * 4 + 60)
    cpu = cpu_seconds(tree(pid)) - before
    found = re.search(r"RESULT (.*)", done.stdout)
    figures = {k: int(v) for k, v in (pair.split("=") for pair in found.group(1).split())}
    if figures["bad"] > figures["requests"] * 0.001:
        raise RuntimeError(f"{figures['bad']} of {figures['requests']} answers were errors")
    return {"rate": figures["requests"] / figures["duration_us"] * 1e6, "p50": figures["p50_us"],
            "p99": figures["p99_us"], "cpu_us": cpu * 1e6 / max(figures["requests"], 1)}


def median(rounds):
    return {k: statistics.median(r[k] for r in rounds) for k in rounds[0]}


class Nginx:
    """The floor: a constant answer from nginx, two workers, no logs."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="cirrus-bench-nginx-")
        self.port = harness.free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        os.chmod(self.folder, 0o755)
        with open(os.path.join(self.folder, "nginx.conf"), "w", encoding="ascii") as f:
            f.write(f"""daemon off; worker_processes 2; pid {self.folder}/pid; error_log stderr crit;
events {{ worker_connections 4096; }}
http {{ access_log off; keepalive_requests 100000000; client_body_temp_path {self.folder}/b;
proxy_temp_path {self.folder}/p; fastcgi_temp_path {self.folder}/f; uwsgi_temp_path {self.folder}/u;
scgi_temp_path {self.folder}/s; client_body_buffer_size 64k;
server {{ listen 127.0.0.1:{self.port} reuseport; location / {{ return 200 "{{}}"; }} }} }}
""")
        self.process = subprocess.Popen(["nginx", "-p", self.folder, "-c",
                                         os.path.join(self.folder, "nginx.conf")],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_port(self.endpoint)

    def close(self):
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def wait_port(endpoint, seconds=60):
    deadline = time.monotonic() + seconds
    while True:
        try:
            urllib.request.urlopen(endpoint, timeout=2).close()
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


class Peer:
    """Another server of the same API: a command that takes a port."""

    def __init__(self, name, command):
        self.name = name
        self.port = harness.free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.process = subprocess.Popen([a.replace("PORT", str(self.port)) for a in command],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                        cwd=tempfile.gettempdir())
        wait_port(self.endpoint)

    def close(self):
        self.process.terminate()
        self.process.wait()


def peers():
    found = []
    dynalite = os.path.join(ROOT, "build", "peers", "node_modules", "dynalite", "cli.js")
    if os.path.exists(dynalite):
        found.append(("dynalite", ["node", dynalite, "--port", "PORT", "--createTableMs", "0"]))
    moto = shutil.which("moto_server")
    if moto:
        found.append(("moto", [moto, "-H", "127.0.0.1", "-p", "PORT"]))
    return found


def client(endpoint):
    return harness.Server(endpoint=endpoint).client("dynamodb")


def fill(endpoint, items=ITEMS):
    db = client(endpoint)
    db.create_table(TableName="bench", BillingMode="PAY_PER_REQUEST",
                    AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
                    KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}])
    db.get_waiter("table_exists").wait(TableName="bench", WaiterConfig={"Delay": 1})
    host = endpoint.partition("//")[2]
    return host


def item(number):
    return {"pk": {"S": f"item-{number:08d}"}, "n": {"N": str(number)},
            "text": {"S": "x" * (ITEM_BYTES - 60)}}


def section_items(seconds, folder):
    """GetItem and PutItem against the floor and the peers, 64 connections."""
    servers = [("nginx return 200 (floor)", Nginx())]
    cirrus = harness.Server()
    cirrus.start()
    cirrus_one = harness.Server("--loops", "1")
    cirrus_one.start()
    servers += [("cirrus, 2 loops", cirrus), ("cirrus, 1 loop", cirrus_one)]
    servers += [(name, Peer(name, command)) for name, command in peers()]
    requests = {}
    for name, server in servers:
        host = server.endpoint.partition("//")[2]
        count = ITEMS if "nginx" in name or "cirrus" in name else 1000
        gets = [dynamodb(host, "GetItem", TableName="bench", Key={"pk": item(i)["pk"]})
                for i in range(count)]
        puts = [dynamodb(host, "PutItem", TableName="bench", Item=item(i)) for i in range(count)]
        requests[name] = (write_requests(folder, f"get-{server.port}", gets),
                          write_requests(folder, f"put-{server.port}", puts))
        if "nginx" not in name:
            fill(server.endpoint)
            # Every key once: the write load itself is the loader.
            wrk(server.endpoint, requests[name][1], 64, 4, server.process.pid)
    for index, operation in enumerate(("GetItem", "PutItem")):
        for connections in (64, 1):
            results = {name: [] for name, _ in servers}
            for _ in range(ROUNDS):
                for name, server in servers:
                    results[name].append(wrk(server.endpoint, requests[name][index], connections,
                                             seconds, server.process.pid))
            floor = median(results[servers[0][0]])["rate"]
            for name, _ in servers:
                m = median(results[name])
                rows.setdefault(f"{operation} of 1 KB, {connections} connection"
                                f"{'s' if connections > 1 else ''}", []).append(
                    (name, f"{m['rate']:,.0f}", f"{m['rate'] / floor:.0%}", f"{m['p50']:,.0f}",
                     f"{m['p99']:,.0f}", f"{m['cpu_us']:.1f}"))
    for _, server in servers:
        if isinstance(server, harness.Server):
            server.__exit__(None)
        else:
            server.close()


def pss_mib(pids):
    total = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
                total += int(re.search(r"^Pss:\s+(\d+)", f.read(), re.M).group(1))
        except (OSError, AttributeError):
            pass
    return total / 1024


def section_start(seconds, folder):
    """Start on an empty folder, idle memory, size of the binary."""
    times, memory = [], []
    for _ in range(20):
        server = harness.Server()
        started = time.monotonic()
        server.start()
        times.append((time.monotonic() - started) * 1000)
        if len(memory) < 3:
            time.sleep(1)
            memory.append(pss_mib(tree(server.process.pid)))
        server.__exit__(None)
    stripped = os.path.join(folder, "stripped")
    subprocess.run(["strip", "-o", stripped, harness.BINARY], check=True)
    rows["Start and size"] = [
        ("start to first answer, empty folder, median of 20 (the poll adds up to 10 ms)",
         f"{statistics.median(times):.1f} ms"),
        ("idle memory, all processes (PSS)", f"{statistics.median(memory):.1f} MiB"),
        ("stripped binary", f"{os.path.getsize(stripped) / 1e6:.1f} MB")]


def make_zip(folder, files):
    import zipfile
    path = os.path.join(folder, "code.zip")
    with zipfile.ZipFile(path, "w") as z:
        for name, text, mode in files:
            entry = zipfile.ZipInfo(name)
            entry.external_attr = mode << 16
            z.writestr(entry, text)
    with open(path, "rb") as f:
        return f.read()


FUNCTIONS = {
    "node": ("nodejs20.x", "index.handler",
             [("index.js", "exports.handler = async (event) => event;", 0o644)]),
    "python": ("python3.11", "index.handler",
               [("index.py", "def handler(event, context):\n    return event\n", 0o644)]),
}


def native_bootstrap():
    path = os.path.join(ROOT, "build", "test", "lambda-bootstrap")
    if not os.path.exists(path):
        return None
    with open(path, "rb") as f:
        return f.read()


def create_function(server, name, runtime, handler, code):
    functions = server.client("lambda")
    functions.create_function(FunctionName=name, Runtime=runtime, Handler=handler, Timeout=30,
                              MemorySize=1769,  # one processor: the share follows the memory
                              Role="arn:aws:iam::000000000000:role/bench", Code={"ZipFile": code})
    functions.get_waiter("function_active_v2").wait(FunctionName=name)
    return functions


def section_invoke(seconds, folder):
    """Warm and cold Invoke through the whole path: signature, scheduler, container and back."""
    native = native_bootstrap()
    kinds = dict(FUNCTIONS)
    if native:
        kinds["native"] = ("provided.al2023", "bootstrap", [("bootstrap", native, 0o755)])
    nginx = Nginx()
    host = nginx.endpoint.partition("//")[2]
    one_hop = write_requests(folder, "hop", [sign("lambda", host, None, b"{}")])
    hop = median([wrk(nginx.endpoint, one_hop, 1, seconds, nginx.process.pid)
                  for _ in range(ROUNDS)])
    table = [("floor: two loopback hops (twice nginx, 1 connection)", "", f"{2 * hop['p50']:.0f}",
              f"{2 * hop['p99']:.0f}")]
    nginx.close()
    for pool in ("2", "0"):
        with harness.Server("--pool", pool) as server:
            host = server.endpoint.partition("//")[2]
            for kind, (runtime, handler, files) in kinds.items():
                functions = create_function(server, "f" + kind, runtime, handler,
                                            make_zip(folder, files))
                path = f"/2015-03-31/functions/f{kind}/invocations"
                one = write_requests(folder, "invoke-" + kind, [
                    sign("lambda", host, None, b'{"k":"v"}', path, "application/json")])
                functions.invoke(FunctionName="f" + kind, Payload=b"{}")
                if pool != "0":
                    warm = median([wrk(server.endpoint, one, 1, seconds, server.process.pid)
                                   for _ in range(ROUNDS)])
                    table.append((f"warm Invoke, {kind}", f"{warm['rate']:,.0f}",
                                  f"{warm['p50']:.0f}", f"{warm['p99']:.0f}"))
                cold = cold_starts(server, functions, "f" + kind, 20)
                table.append((f"cold Invoke, {kind}, " + ("pool" if pool != "0" else "pool empty"),
                              "", f"{cold[0]:.0f}", f"{cold[1]:.0f}"))
    rows["Invoke"] = table


def cold_starts(server, functions, name, count):
    """Each change of the environment makes the next Invoke a cold one. Microseconds: p50, p99."""
    import http.client
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    taken = []
    for i in range(count):
        functions.update_function_configuration(FunctionName=name,
                                                Environment={"Variables": {"ROUND": str(i)}})
        functions.get_waiter("function_updated_v2").wait(
            FunctionName=name, WaiterConfig={"Delay": 1})
        time.sleep(0.1)  # the pool is filled again
        raw = sign("lambda", f"127.0.0.1:{server.port}", None, b"{}",
                   f"/2015-03-31/functions/{name}/invocations", "application/json")
        connection.connect()
        started = time.perf_counter()
        connection.sock.sendall(raw)
        answer = connection.sock.recv(65536)
        taken.append((time.perf_counter() - started) * 1e6)
        if not answer.startswith(b"HTTP/1.1 200") or b"unction-error" in answer.lower():
            raise RuntimeError(answer.decode(errors="replace"))
        connection.close()
    taken.sort()
    return taken[len(taken) // 2], taken[int(len(taken) * 0.99)]


HEADS = {"items": ("server", "requests/s", "of floor", "p50 us", "p99 us", "CPU us/request"),
         "Start": ("what", "figure"), "Invoke": ("what", "calls/s", "p50 us", "p99 us")}


def render():
    out = []
    for title, table in rows.items():
        head = HEADS.get(title.split()[0], HEADS["items"])
        out += ["", f"### {title}", "", "| " + " | ".join(head) + " |",
                "|" + "---|" * len(head)]
        out += ["| " + " | ".join(row) + " |" for row in table]
    return "\n".join(out) + "\n"


SECTIONS = {"start": section_start, "items": section_items, "invoke": section_invoke}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=int, default=5, help="of each round [5]")
    parser.add_argument("--only", default=",".join(SECTIONS), help="sections: " + ",".join(SECTIONS))
    parser.add_argument("--write", action="store_true", help="put the table into docs/benchmarks.md")
    arguments = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="cirrus-bench-")
    try:
        for name in arguments.only.split(","):
            print(f"{name}: {SECTIONS[name].__doc__}", file=sys.stderr, flush=True)
            SECTIONS[name](arguments.seconds, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    text = render()
    print(text)
    if arguments.write:
        path = os.path.join(ROOT, "docs", "benchmarks.md")
        with open(path, encoding="utf-8") as f:
            page = f.read()
        head = page.partition("<!-- table -->")[0]
        date = datetime.date.today().isoformat()
        model = re.search(r"model name\s*:\s*(.*)", open("/proc/cpuinfo", encoding="ascii").read())
        with open(path, "w", encoding="utf-8") as f:
            f.write(f"{head}<!-- table -->\n\n`make bench` on {date}: {os.cpu_count()} cores"
                    f" ({model.group(1) if model else 'unknown'}), Linux {os.uname().release}.\n{text}")


if __name__ == "__main__":
    main()
