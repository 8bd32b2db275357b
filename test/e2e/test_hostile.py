#!/usr/bin/python3
"""Hostile functions against the real server: what each may take, reach, read and leave behind.

Runs as root and as an ordinary user (make hostile does both). What this host cannot enforce, as `cirrus
doctor` tells it, is printed as skipped with its reason; after every attack another function still answers,
by the same worker.
"""
import base64
import functools
import http.client
import io
import json
import os
import re
import stat
import subprocess
import threading
import time
import zipfile

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

import harness
from harness import error_of, expect, main, options

ROLE = "arn:aws:iam::000000000000:role/none"
SLOW = int(os.environ.get("CIRRUS_SLOW", "1"))  # emulated machines
PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "programs", "hostile.py")
DENY_ALL = json.dumps({"Version": "2012-10-17", "Statement": [
    {"Effect": "Deny", "Action": "*", "Resource": "*"}]})
TRUST = json.dumps({"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}]})


def doctor():
    """The findings of `cirrus doctor` for the user that runs this, by name."""
    done = subprocess.run([harness.BINARY, "doctor", "--json"], capture_output=True, text=True,
                          timeout=60 * SLOW, check=False)
    return {f["name"]: f for f in json.loads(done.stdout)["findings"]}


GROUPS = dict(part.split(" ") for part in doctor()["control groups"]["detail"].split(", "))


def lacks(controller, what):
    """Is the controller missing? Then what is not tried is printed, with the reason that doctor names."""
    if GROUPS[controller] != "none":
        return False
    print(f"        skipped: {what} (doctor: control groups: {controller} none)", flush=True)
    return True


def code(*more):
    """The program's zip; `more`: (name, bytes, mode)."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z:
        z.write(PROGRAM, "hostile.py")
        for name, data, mode in more:
            info = zipfile.ZipInfo(name)
            info.create_system = 3
            info.external_attr = mode << 16
            z.writestr(info, data)
    return out.getvalue()


def deploy(server, name, zip_bytes=None, **more):
    functions = server.client("lambda")
    more.setdefault("Timeout", min(20 * SLOW, 900))
    more.setdefault("MemorySize", 512)
    more.setdefault("Role", ROLE)
    functions.create_function(FunctionName=name, Runtime="python3.11", Handler="hostile.handler",
                              Code={"ZipFile": zip_bytes or code()}, **more)
    functions.get_waiter("function_active_v2").wait(FunctionName=name)


def invoke(server, name, do, **event):
    """(error type or None, payload); the log's end goes with an error."""
    answer = server.client("lambda", read_timeout=100 * SLOW).invoke(
        FunctionName=name, Payload=json.dumps({"do": do, **event}), LogType="Tail")
    payload = json.load(answer["Payload"])
    if "FunctionError" in answer:
        payload["log"] = base64.b64decode(answer.get("LogResult", "")).decode("utf-8", "replace")
        return payload.get("errorType"), payload
    return None, payload


def result(server, name, do, **event):
    error, payload = invoke(server, name, do, **event)
    if error:
        raise AssertionError(f"{do}: {payload}")
    return payload


def later(call, *arguments, **keywords):
    """Runs the call beside; the thread's `answer` is what it gave."""
    def run():
        thread.answer = call(*arguments, **keywords)
    thread = threading.Thread(target=run)
    thread.answer = None
    thread.start()
    return thread


def roles(server):
    """The supervisor's own children: worker and launcher."""
    pid = server.process.pid
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
        return f.read().split()


def memory_kib(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1))


def named(name):
    """Processes of the host that call themselves so, as seen from outside."""
    found = []
    for pid in os.listdir("/proc"):
        if pid.isdigit():
            try:
                with open(f"/proc/{pid}/comm", encoding="ascii") as f:
                    if f.read().strip() == name:
                        found.append(int(pid))
            except OSError:
                pass
    return found


def comes_to(call, wanted, seconds=20):
    deadline = time.monotonic() + seconds * SLOW
    while call() != wanted and time.monotonic() < deadline:
        time.sleep(0.05)
    expect(call(), wanted)


def attack(test):
    """The test, between two looks at a function that is not to be harmed."""
    @functools.wraps(test)
    def run(server):
        deploy(server, "well", MemorySize=256)
        deploy(server, "evil")
        expect(result(server, "well", "well"), "well")
        before = roles(server)
        test(server)
        expect(result(server, "well", "well"), "well")
        expect(roles(server), before)  # nobody had to be started again
        deploy(server, "after", MemorySize=256)
        expect(result(server, "after", "well"), "well")
    return options()(run)


# ---- taking without end ----

@attack
def test_fork_bomb(server):
    """It gets as many processes as an instance may have; all of them end with it."""
    deploy(server, "threads", MemorySize=1769)
    what, count = result(server, "threads", "threads")
    expect(what, "can't start new thread")
    if not 100 < count < 1024:
        raise AssertionError(f"{count} threads")
    deploy(server, "bomb", MemorySize=1769, Timeout=4 * SLOW)
    title = f"bomb{os.getpid() % 1000000}"
    bomb = later(invoke, server, "bomb", "fork_bomb", title=title)

    def count():
        most = 0
        while bomb.is_alive():
            most = max(most, len(named(title)))
        return most
    counted = later(count)  # beside: without control groups the bomb's end may come before the next answer
    slowest = 0
    while bomb.is_alive():
        begun = time.monotonic()
        expect(result(server, "well", "well"), "well")
        slowest = max(slowest, time.monotonic() - begun)
    counted.join()
    most = counted.answer
    # Where a watchdog stands in for control groups, memory for so many processes is more than it has.
    by_watchdog = GROUPS["memory"] == "none" and bomb.answer[0] == "Runtime.OutOfMemory"
    if not (10 < most <= 1024 or by_watchdog) or slowest > 10 * SLOW:
        raise AssertionError(f"{most} processes, {slowest} s, {bomb.answer}")
    # What began it was told, or its time was over; either way its instance goes, and all with it.
    server.client("lambda").delete_function(FunctionName="bomb")
    comes_to(lambda: len(named(title)), 0, 30)


@attack
def test_memory(server):
    error, payload = invoke(server, "evil", "memory")
    expect(error, "Runtime.OutOfMemory")
    assert "signal: killed" in payload["errorMessage"], payload


@attack
def test_disk_flood(server):
    """/tmp has its size; what is written counts as memory too, so a small function ends before."""
    deploy(server, "large", MemorySize=2048, EphemeralStorage={"Size": 512})
    expect(result(server, "large", "disk", mib=1024), ["ENOSPC", 512])
    if not lacks("memory", "what is in /tmp counts as memory of the instance"):
        error, payload = invoke(server, "evil", "disk", mib=1024)
        assert error and "signal: killed" in payload["errorMessage"] or payload == ["ENOSPC", 512], payload
        deploy(server, "small", MemorySize=128)
        error, payload = invoke(server, "small", "disk", mib=1024)
        assert error and "signal: killed" in payload["errorMessage"], payload


@attack
def test_log_flood(server):
    """Somebody else is answered meanwhile, and the worker keeps no more of it than it can pass on."""
    worker = max(roles(server), key=memory_kib)
    before = memory_kib(worker)
    flood = later(result, server, "evil", "log", seconds=3)
    time.sleep(1)
    slowest = 0
    for _ in range(10):
        begun = time.monotonic()
        expect(result(server, "well", "well"), "well")
        slowest = max(slowest, time.monotonic() - begun)
    flood.join()
    grown = memory_kib(worker) - before
    if flood.answer < 1 << 20 or grown > 300 << 10 or slowest > 5 * SLOW:
        raise AssertionError(f"{flood.answer} bytes printed, the worker grew by {grown} KiB, {slowest} s")


@attack
def test_open_files(server):
    what, count = result(server, "evil", "files")
    expect(what, "EMFILE")
    if not 100 < count <= 1024:
        raise AssertionError(f"{count} files")
    for port in (9001, 4566):
        flood = later(result, server, "evil", "connections", port=port, seconds=4)
        time.sleep(1)
        for _ in range(5):
            expect(result(server, "well", "well"), "well")
        flood.join()
        expect(flood.answer, "held")


# ---- reaching the kernel ----

@attack
def test_kernel(server):
    """ptrace, mounts, namespaces, keys and what else reaches deep: refused by name."""
    expect(result(server, "evil", "calls"), {name: "EPERM" for name in (
        "ptrace", "mount", "bind", "umount", "pivot_root", "chroot", "fsopen", "open_tree", "unshare", "setns", "clone",
        "add_key", "keyctl", "request_key", "bpf", "io_uring", "userfaultfd", "perf", "kexec", "module", "handle",
        "reboot", "syslog")})
    expect(result(server, "evil", "trace_child"), "EPERM")


@attack
def test_sockets(server):
    expect(result(server, "evil", "sockets"),
           {"raw": "EPERM", "raw6": "EPERM", "packet": "EAFNOSUPPORT", "vsock": "EAFNOSUPPORT", "audit": "EAFNOSUPPORT",
            "netfilter": "EAFNOSUPPORT", "alg": "EAFNOSUPPORT"})


@attack
def test_network(server):
    """The default network: the Runtime API and cirrus's endpoint, and nothing else of this or another machine."""
    outside = [["127.0.0.1", server.port], ["127.0.0.1", 22], ["192.0.2.1", 80], ["169.254.169.254", 80],
               ["::1", server.port]]
    own = subprocess.run(["hostname", "-I"], capture_output=True, text=True, check=False).stdout.split()
    outside += [[a, server.port] for a in own]
    seen = result(server, "evil", "network", addresses=[["127.0.0.1", 9001], ["127.0.0.1", 4566], *outside])
    expect((seen["interfaces"], seen["routes"], seen["unix"]), (["lo"], 0, []))
    for host, port in outside:
        seen_as = seen["addresses"].pop(f"{host}:{port}")
        assert seen_as in ("ECONNREFUSED", "ENETUNREACH", "EADDRNOTAVAIL"), (host, seen_as)
    expect(seen["addresses"], {"127.0.0.1:9001": "connected", "127.0.0.1:4566": "connected"})


def test_network_modes(server):
    """Wider networks (test_network.py attacks them) are refused by name where they would be unsafe, and nothing starts."""
    refused = ("nat", "host") if os.geteuid() else ("host",)  # of everybody in open mode; of ordinary users
    for mode in refused:
        done = subprocess.run([harness.BINARY, "serve", "--ephemeral", "--listen", "127.0.0.1:0", "--lambda-network", mode],
                              capture_output=True, text=True, timeout=60 * SLOW, check=False)
        expect((done.returncode, "--lambda-network: " in done.stderr, mode in done.stderr), (2, True, True))


# ---- looking around ----

@attack
def test_host_files(server):
    """Nothing of the host's but its programs; a secret that lies about is not found from inside."""
    deploy(server, "searcher", MemorySize=1769)  # it has much to look at
    marker = "secret-of-the-host"
    secret = os.path.join(server.folder, marker)
    with open(secret, "w", encoding="ascii") as f:
        f.write(marker)
    os.chmod(secret, 0o644)
    data = os.path.join(server.folder, "data")
    paths = [secret, data, server.log_path, "/etc/shadow", "/etc/hostname", "/etc/machine-id", "/root/.bashrc",
             "/proc/1/environ", f"/proc/{server.process.pid}/environ", "/dev/mem", "/dev/sda", "/dev/vda", "/dev/kmsg",
             "/var/lib/dpkg/status", "/boot", "/run/systemd", "/sys/kernel", "/var/run/docker.sock",
             os.path.join(harness.ROOT, "Makefile")]
    for path, seen in result(server, "searcher", "read", paths=paths).items():
        assert seen in ("ENOENT", "EACCES", "EPERM", "ENOTDIR", "EISDIR"), (path, seen)
    expect(result(server, "searcher", "search", marker=marker), [])


@attack
def test_other_functions(server):
    """Neither /tmp nor code nor credentials of others: of another function or another instance of the same."""
    deploy(server, "other", code(("of_other.txt", b"code-of-the-other", 0o644)),
           Environment={"Variables": {"SECRET": "variable-of-the-other"}})
    other = later(result, server, "other", "leave_mark", marker="tmp-of-the-other", seconds=6 * SLOW)
    deploy(server, "searcher", MemorySize=1769)
    twin = later(result, server, "searcher", "leave_mark", marker="tmp-of-the-twin", seconds=6 * SLOW)
    time.sleep(1.5 * SLOW)
    for marker in ("tmp-of-the-other", "code-of-the-other", "variable-of-the-other", "tmp-of-the-twin"):
        expect(result(server, "searcher", "search", marker=marker), [])
    other.join(), twin.join()
    # It was there to be found: its own instance finds it.
    found = result(server, "other", "search", marker="code-of-the-other")
    expect(found, ["/var/task/of_other.txt"])


@attack
def test_proc(server):
    seen = result(server, "evil", "proc")
    expect(seen.pop("processes"), [])  # PID 1 is another user's or unreadable: hidden
    expect(seen.pop("folders"), [])
    expect(seen.pop("inode"), True)
    assert "usr" in seen["top"] and "data" not in seen["top"], seen
    del seen["top"]
    for name, outcome in seen.items():
        # Empty where it is masked, the container's own or refused where not.
        assert outcome in (0, "EACCES", "EPERM", "ENOENT", "EROFS") or name == "read /proc/sys/kernel/core_pattern", \
            (name, outcome)


@attack
def test_kill_init(server):
    """PID 1 takes no signal from inside, and no other process of the host is in reach."""
    expect(result(server, "evil", "kill_init", pid=server.process.pid), [1, "ESRCH"])


@attack
def test_zip_links(server):
    """Links and names in a zip that lead out of it are refused when it comes, whatever the function would do."""
    functions = server.client("lambda")
    link = stat.S_IFLNK | 0o777
    for name, data, mode in (("passwd", b"/etc/passwd", link), ("up", b"../../../../../../etc/passwd", link),
                             ("a/b", b"../../x", link), ("../outside", b"x", 0o644), ("/etc/outside", b"x", 0o644),
                             ("a/../../outside", b"x", 0o644)):
        kind, message, status = error_of(
            functions.create_function, FunctionName="linked", Runtime="python3.11", Handler="hostile.handler", Role=ROLE,
            Code={"ZipFile": code((name, data, mode))})
        expect((name, kind, status), (name, "InvalidParameterValueException", 400))
        assert "outside" in message or "leads" in message or "absolute" in message, message
    # A link first, and then a file through it.
    expect(error_of(functions.create_function, FunctionName="linked", Runtime="python3.11", Handler="hostile.handler",
                    Role=ROLE, Code={"ZipFile": code(("d/e", b"x", 0o644), ("l", b"d", link),
                                                     ("l/f", b"through", 0o644))})[::2],
           ("InvalidParameterValueException", 400))
    # One that stays inside works.
    deploy(server, "linked", code(("real.txt", b"inside", 0o644), ("alias.txt", b"real.txt", link)))
    expect(result(server, "linked", "read", paths=["/var/task/alias.txt"]), {"/var/task/alias.txt": "inside"})


@attack
def test_setuid(server):
    """No program gives rights: not the function's, not one in /tmp, not the host's."""
    with open("/usr/bin/id", "rb") as f:
        program = f.read()
    deploy(server, "bits", code(("id", program, stat.S_IFREG | 0o6755)))
    seen = result(server, "bits", "setuid")
    expect(seen.pop("/var/task/id"), [False, "993"])
    expect(seen.pop("/tmp/bin/id")[1], "993")
    expect((seen.pop("setuid"), seen.pop("no_new_privs")), ("EINVAL", "1"))
    for name, value in seen.items():
        expect((name, value), (name, True if name.startswith("nosuid") else ["993"]))


# ---- staying ----

@attack
def test_daemon(server):
    """What a function leaves running stands still between its events and ends with its instance."""
    title = f"evil{os.getpid() % 1000000}"
    expect(result(server, "evil", "daemon", title=title), "left")
    first = result(server, "evil", "ticks", seconds=0.5 * SLOW)
    assert first > 5, first  # it does run while there is an event
    time.sleep(3)
    second = result(server, "evil", "ticks")
    # 300 would fit; 20 ms are given until the freeze, and again behind it.
    assert 0 <= second - first < 100, (first, second)
    expect(len(named(title)), 1)
    server.client("lambda").delete_function(FunctionName="evil")
    comes_to(lambda: len(named(title)), 0)


@attack
def test_daemon_and_other_requests(server):
    """Nor does it gain by requests on its caller's connection that are for something else."""
    expect(result(server, "evil", "daemon", title=f"evil{os.getpid() % 1000000}"), "left")
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)

    def request(method, path, body):
        signed = AWSRequest(method, server.endpoint + path, data=body)
        SigV4Auth(Credentials("test", "test"), "lambda", "us-east-1").add_auth(signed)
        connection.request(method, path, body=body, headers=dict(signed.headers))
        return json.loads(connection.getresponse().read())

    def ticks():
        return request("POST", "/2015-03-31/functions/evil/invocations",
                       json.dumps({"do": "ticks"}).encode())

    first = ticks()
    for _ in range(10):
        time.sleep(0.2)
        request("GET", "/2015-03-31/functions/evil", b"")
    second = ticks()
    # The first of them thaws it for 20 ms, because an event could have been meant.
    assert 0 <= second - first < 100, (first, second)
    connection.close()
    server.client("lambda").delete_function(FunctionName="evil")


# ---- others' Runtime API, others' keys ----

@attack
def test_runtime_api_of_others(server):
    """Another instance's run is not answered from here, though its id is known."""
    logs = server.client("logs")
    deploy(server, "busy")
    busy = later(result, server, "busy", "busy", seconds=4 * SLOW)
    run = None
    deadline = time.monotonic() + 30 * SLOW
    while not run and time.monotonic() < deadline:
        try:
            events = logs.filter_log_events(logGroupName="/aws/lambda/busy")["events"]
        except logs.exceptions.ResourceNotFoundException:
            events = []
        run = next((re.search(r"RequestId: (\S+)", e["message"]) for e in events
                    if e["message"].startswith("START")), None)
        time.sleep(0.05)
    expect(result(server, "evil", "answer_other", id=run.group(1)),
           {"response": 400, "error": 400, "init error": 403, "extension": 403})
    assert busy.is_alive()
    busy.join()
    expect(busy.answer, "honest")


def denied(answer):
    status, body = answer
    return status in (400, 403) and ("AccessDenied" in body or "not authorized" in body)


@attack
def test_keys(server):
    """A role that may do nothing: no key that it can think of does more at its endpoint."""
    iam = server.client("iam")
    for name, policy in (("nothing", DENY_ALL), ("much", DENY_ALL.replace("Deny", "Allow"))):
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=TRUST)
        iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=policy)
    server.client("dynamodb").create_table(
        TableName="of-the-account", BillingMode="PAY_PER_REQUEST", KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}])
    deploy(server, "weak", Role="arn:aws:iam::000000000000:role/nothing")
    deploy(server, "strong", Role="arn:aws:iam::000000000000:role/much")
    other = result(server, "strong", "leave_mark", marker="m")
    assert other[0].startswith("ASIA") and other[1], other
    seen = result(server, "weak", "keys", other=other)
    for name in ("own", "test", "account", "own account", "unknown"):
        assert denied(seen[name]), (name, seen[name])
    for name in ("empty token", "wrong secret", "other's key", "other's token", "none"):
        status, body = seen[name]
        assert status in (400, 403) and "TableNames" not in body, (name, status, body)
    expect(seen["pages"][0] in (400, 403, 404), True)
    for name in ("who is test", "who is account"):
        assert "assumed-role/nothing/weak" in seen[name] and "123456789012" not in seen[name], seen[name]
    # It is not the tables that are missing: a role that may sees them.
    status, body = result(server, "strong", "keys")["own"]
    expect((status, "of-the-account" in body), (200, True))


if __name__ == "__main__":
    main(globals())
