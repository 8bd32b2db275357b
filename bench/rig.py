"""What the sections of bench/run.py stand on: signed requests, load generators, servers, figures."""
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

REGION = "us-east-1"
LOAD = os.path.join(ROOT, "build", "release", "bench", "load")
KV_BENCH = os.path.join(ROOT, "build", "release", "bench", "kv_bench")


# --- the tables ---------------------------------------------------------------------------------

rows = {}


def row(title, *cells):
    rows.setdefault(title, []).append(cells)


# --- requests -------------------------------------------------------------------------------------

def sign(service, host, target, body, path="/", content="application/x-amz-json-1.0",
         key=("test", "test")):
    """A raw HTTP/1.1 request, signed (Signature Version 4)."""
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
    secret = b"AWS4" + key[1].encode()
    for part in scope.split("/"):
        secret = hmac.new(secret, part.encode(), hashlib.sha256).digest()
    signature = hmac.new(secret, text.encode(), hashlib.sha256).hexdigest()
    lines = [f"POST {path} HTTP/1.1"] + [f"{n}: {headers[n]}" for n in names]
    lines += [f"authorization: AWS4-HMAC-SHA256 Credential={key[0]}/{scope}, "
              f"SignedHeaders={';'.join(names)}, Signature={signature}",
              f"content-length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


def dynamodb(server, operation, **request):
    host = server.endpoint.partition("//")[2]
    return sign("dynamodb", host, "DynamoDB_20120810." + operation, json.dumps(request).encode(),
                key=server.key)


def write_requests(folder, name, requests):
    path = os.path.join(folder, name)
    with open(path, "wb") as f:
        for request in requests:
            f.write(b"%d\n" % len(request))
            f.write(request)
    return path


# --- processes ------------------------------------------------------------------------------------

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


def pss_mib(pids):
    total = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
                total += int(re.search(r"^Pss:\s+(\d+)", f.read(), re.M).group(1))
        except (OSError, AttributeError):
            pass
    return total / 1024


def available_mib():
    with open("/proc/meminfo", encoding="ascii") as f:
        return int(re.search(r"MemAvailable:\s+(\d+)", f.read()).group(1)) / 1024


# --- load -----------------------------------------------------------------------------------------

def measured(server, command, environment=None, timeout=120):
    """Runs a load generator: rate, percentiles in microseconds, CPU per request."""
    pid = server.process.pid
    before = cpu_seconds(tree(pid))
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False,
                          timeout=timeout)
    cpu = cpu_seconds(tree(pid)) - before
    found = re.search(r"RESULT (.*)", done.stdout)
    if done.returncode or not found:
        raise RuntimeError(f"{command[0]}: {done.stdout}{done.stderr}")
    figures = {k: int(v) for k, v in (pair.split("=") for pair in found.group(1).split())}
    if figures["bad"] > figures["requests"] * 0.001:
        raise RuntimeError(f"{figures['bad']} of {figures['requests']} answers were errors")
    return {"rate": figures["requests"] / figures["duration_us"] * 1e6, "p50": figures["p50_us"],
            "p99": figures["p99_us"], "cpu_us": cpu * 1e6 / max(figures["requests"], 1)}


def wrk(server, requests, connections, seconds):
    """Closed loop, as fast as the server answers."""
    return measured(server, ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s",
                             os.path.join(ROOT, "bench", "replay.lua"), server.endpoint],
                    dict(os.environ, CIRRUS_BENCH_REQUESTS=requests), seconds * 4 + 60)


def load(server, requests, connections, seconds, rate):
    """bench/load.c: open loop at `rate`; rate 0: closed loop; seconds 0: the file once."""
    return measured(server, [LOAD, "127.0.0.1", str(server.port), requests, str(connections),
                             str(seconds), str(rate)], timeout=seconds + 600)


def median(rounds):
    return {k: statistics.median(r[k] for r in rounds) for k in rounds[0]}


# --- servers --------------------------------------------------------------------------------------

class Cirrus(harness.Server):
    """In strict mode with the key that it issued: every signature is verified."""

    def __init__(self, *options, strict=True):
        super().__init__(*options, *(("--auth", "strict") if strict else ()), endpoint=None)
        self.strict = strict
        self.key = ("test", "test")

    def start(self, wait=True):
        super().start(wait)
        if self.strict and wait:
            with open(os.path.join(self.folder, "data", "root-credentials"),
                      encoding="ascii") as f:
                found = dict(line.split(" = ") for line in f.read().splitlines() if " = " in line)
            self.key = (found["aws_access_key_id"], found["aws_secret_access_key"])

    def api(self, service):
        return self.client(service, key=self.key[0], secret=self.key[1])

    def close(self):
        self.__exit__(None)


class Foreign:
    """Any other server: a command that takes a port; its answer to anything says that it is up."""

    key = ("test", "test")

    def __init__(self, command, port, folder=None):
        self.port = port
        self.endpoint = f"http://127.0.0.1:{port}"
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL,
                                        cwd=folder or tempfile.gettempdir())
        wait_port(self.endpoint)

    def api(self, service):
        return harness.Server(endpoint=self.endpoint).client(service)

    def close(self):
        self.process.terminate()
        self.process.wait()


class Nginx(Foreign):
    """The floor: a constant answer from nginx, two workers, no logs."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="cirrus-bench-nginx-")
        port = harness.free_port()
        os.chmod(self.folder, 0o755)
        path = os.path.join(self.folder, "nginx.conf")
        with open(path, "w", encoding="ascii") as f:
            f.write(f"""daemon off; worker_processes 2; pid {self.folder}/pid; error_log stderr crit;
events {{ worker_connections 4096; }}
http {{ access_log off; keepalive_requests 100000000; client_body_temp_path {self.folder}/b;
proxy_temp_path {self.folder}/p; fastcgi_temp_path {self.folder}/f; uwsgi_temp_path {self.folder}/u;
scgi_temp_path {self.folder}/s; client_body_buffer_size 64k; client_max_body_size 16m;
server {{ listen 127.0.0.1:{port} reuseport; location / {{ return 200 "{{}}"; }} }} }}
""")
        super().__init__(["nginx", "-p", self.folder, "-c", path], port)

    def close(self):
        super().close()
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


def peers():
    """(name, server) of each peer that is installed."""
    found = []
    dynalite = os.path.join(ROOT, "build", "peers", "node_modules", "dynalite", "cli.js")
    if os.path.exists(dynalite):
        port = harness.free_port()
        found.append(("dynalite", Foreign(
            ["node", dynalite, "--port", str(port), "--createTableMs", "0"], port)))
    moto = shutil.which("moto_server")
    if moto:
        port = harness.free_port()
        found.append(("moto", Foreign([moto, "-H", "127.0.0.1", "-p", str(port)], port)))
    return found
