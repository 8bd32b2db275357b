#!/usr/bin/python3
"""Starts the real binary on a free loopback port with a data folder of its own, for end-to-end tests.

    with Server() as server:
        server.client("dynamodb").list_tables()

CIRRUS_BINARY names the binary (default build/cirrus). CIRRUS_ENDPOINT, when set, points the tests at
a server that runs already (any implementation): then nothing is started, and tests that need to stop
or inspect the server are left out.
"""
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

import boto3
import botocore.auth
import botocore.awsrequest
import botocore.config
import botocore.credentials

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BINARY = os.environ.get("CIRRUS_BINARY", os.path.join(ROOT, "build", "cirrus"))
ENDPOINT = os.environ.get("CIRRUS_ENDPOINT")
READY_SECONDS = 60


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    """One server with its data folder; `stop(kill=True)` is kill -9, `start()` starts it again."""

    def __init__(self, *options, environment=None, endpoint=ENDPOINT, prefix=()):
        self.options = list(options)
        self.prefix = list(prefix)  # of the command line: setpriv ...
        self.environment = environment or {}
        self.process = None
        self.last_log = ""
        self.foreign = endpoint is not None
        if self.foreign:
            self.endpoint = endpoint
            return
        self.folder = tempfile.mkdtemp(prefix="cirrus-e2e-")
        os.chmod(self.folder, 0o755)
        self.port = free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.log_path = os.path.join(self.folder, "log")

    def __enter__(self):
        if not self.foreign:
            self.start()
        return self

    def __exit__(self, *_):
        if not self.foreign:
            try:
                self.stop()
            finally:
                self.last_log = self.log()
            shutil.rmtree(self.folder, ignore_errors=True)

    def start(self, wait=True):
        command = [*self.prefix, BINARY, "serve", "--listen", f"127.0.0.1:{self.port}",
                   "--data", os.path.join(self.folder, "data"), *self.options]
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("CIRRUS_", "AWS_"))}
        environment.update(self.environment)
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=subprocess.STDOUT, env=environment)
        if wait:
            self.wait_ready()

    def wait_ready(self):
        deadline = time.monotonic() + READY_SECONDS
        while True:
            try:
                with urllib.request.urlopen(self.endpoint + "/_cirrus/health", timeout=5) as answer:
                    return json.load(answer)
            except OSError:
                if self.process.poll() is not None:
                    raise RuntimeError(f"the server ended with {self.process.returncode}:\n"
                                       + self.log()) from None
                if time.monotonic() > deadline:
                    raise RuntimeError("the server does not get ready:\n" + self.log()) from None
                time.sleep(0.01)

    def stop(self, kill=False):
        if self.process is None:
            return None
        below = self.children() if kill and self.process.poll() is None else []
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise RuntimeError("the server did not stop:\n" + self.log()) from None
        code = self.process.returncode
        self.process = None
        # The worker outlives a killed supervisor for a moment, and has the port.
        end = time.monotonic() + 10
        while any(os.path.exists(f"/proc/{pid}") for pid in below) and time.monotonic() < end:
            time.sleep(0.01)
        return code

    def kill_all(self):
        """kill -9 of the supervisor and all below it; they are gone, with their sockets, behind it."""
        pids = [self.process.pid] + self.children()
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.stop(kill=True)
        until = time.monotonic() + 30
        while any(is_running(pid) for pid in pids):
            if time.monotonic() > until:
                raise RuntimeError("killed processes are still there")
            time.sleep(0.005)

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as f:
            return f.read()[-20000:]

    def children(self, pid=None):
        """Process ids below the supervisor, deepest last."""
        pid = pid or self.process.pid
        found = []
        for task in os.listdir(f"/proc/{pid}/task"):
            try:
                with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as f:
                    for child in map(int, f.read().split()):
                        found.append(child)
                        found += self.children(child)
            except OSError:
                pass
        return found

    def client(self, service, key="test", secret="test", region="us-east-1", **config):
        config.setdefault("retries", {"max_attempts": 1, "mode": "standard"})
        config.setdefault("read_timeout", 60)
        return boto3.client(
            service, endpoint_url=self.endpoint, region_name=region, aws_access_key_id=key,
            aws_secret_access_key=secret,
            config=botocore.config.Config(**config))

    def rest(self, method, path, body=None, service="lambda"):
        """A signed request in JSON, for members and operations that Debian's client does not know."""
        url = self.endpoint + path
        data = None if body is None else json.dumps(body).encode()
        signed = botocore.awsrequest.AWSRequest(method, url, data=data)
        keys = botocore.credentials.Credentials("test", "test")
        botocore.auth.SigV4Auth(keys, service, "us-east-1").add_auth(signed)
        request = urllib.request.Request(url, data=data, headers=dict(signed.headers), method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read() or b"null")

    def json(self, target, body, service="dynamodb"):
        """The same of a service that is called by X-Amz-Target."""
        signed = botocore.awsrequest.AWSRequest(
            "POST", self.endpoint + "/", data=json.dumps(body).encode(),
            headers={"X-Amz-Target": target, "Content-Type": "application/x-amz-json-1.0"})
        keys = botocore.credentials.Credentials("test", "test")
        botocore.auth.SigV4Auth(keys, service, "us-east-1").add_auth(signed)
        request = urllib.request.Request(
            signed.url, data=signed.data, headers=dict(signed.headers), method="POST")
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read())

    def cli(self, *arguments, check=True, output="json", key="test", secret="test", timeout=120):
        """Runs the AWS CLI; returns its parsed JSON (or text), or the error text with check=False."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
        environment.update(AWS_ACCESS_KEY_ID=key, AWS_SECRET_ACCESS_KEY=secret,
                           AWS_DEFAULT_REGION="us-east-1", AWS_PAGER="",
                           AWS_EC2_METADATA_DISABLED="true")
        done = subprocess.run(
            ["/usr/bin/aws", "--endpoint-url", self.endpoint, "--output", output, *arguments],
            capture_output=True, text=True, timeout=timeout, env=environment)
        if done.returncode != 0:
            if check:
                raise RuntimeError(f"aws {' '.join(arguments)}: {done.stderr}")
            return done.stderr
        if output == "json":
            return json.loads(done.stdout) if done.stdout.strip() else None
        return done.stdout


def main(tests):
    """Runs functions named test_*: each gets a Server of its own. Ends with the plain count line."""
    wanted = sys.argv[1:]
    passed = failed = skipped = 0
    for name, test in sorted(tests.items()):
        if not name.startswith("test_") or (wanted and not any(w in name for w in wanted)):
            continue
        if ENDPOINT and getattr(test, "own_server", False):
            skipped += 1
            continue
        started = time.monotonic()
        server = Server(*getattr(test, "options", ()))
        try:
            with server:
                test(server)
            passed += 1
            print(f"ok   {name} ({time.monotonic() - started:.1f} s)", flush=True)
        except Exception as error:  # every failure is reported, none ends the run
            failed += 1
            import traceback
            traceback.print_exc()
            print(f"FAIL {name}: {error}", flush=True)
            print(server.last_log, flush=True)
    tail = f", {skipped} skipped" if skipped else ""
    print(f"{passed} passed, {failed} failed{tail}")
    sys.exit(1 if failed or not (passed or wanted) else 0)


def is_running(pid):
    """Is there such a process, other than one that has ended and nobody has waited for?"""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
            return f.read().rpartition(") ")[2][:1] not in ("Z", "X")
    except OSError:
        return False


def own_server(test):
    """Marks a test that stops, kills or inspects the server."""
    test.own_server = True
    return test


def options(*given):
    def mark(test):
        test.options = given
        test.own_server = True
        return test
    return mark


def error_of(call, *arguments, **keywords):
    """The ClientError that the call raises: (code, message, status)."""
    from botocore.exceptions import ClientError
    try:
        call(*arguments, **keywords)
    except ClientError as error:
        response = error.response
        return (response["Error"]["Code"], response["Error"]["Message"],
                response["ResponseMetadata"]["HTTPStatusCode"])
    raise AssertionError("the call succeeded")


def expect(actual, wanted):
    if actual != wanted:
        raise AssertionError(f"got {actual!r}, wanted {wanted!r}")
