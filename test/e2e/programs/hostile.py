"""A function that attacks what is around it: event["do"] names the attack, the answer says what came of it.

test/e2e/test_hostile.py deploys it and holds the answers against what must be.
"""
import ctypes
import datetime
import errno
import fcntl
import hashlib
import hmac
import json
import os
import signal
import socket
import stat
import struct
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


# ---- the network beyond, where there is one ----

def fetch(event):
    """What an HTTP server says, or the name of the error; by name or by address."""
    def get(host, port):
        with socket.create_connection((host, port), event.get("seconds", 3)) as s:
            s.settimeout(5)
            s.sendall(b"GET /_cirrus/health HTTP/1.0\r\nHost: localhost\r\n\r\n")
            text = b""
            while part := s.recv(4096):
                text += part
            return text.decode("utf-8", "replace").partition("\r\n\r\n")[2]

    def one(host, port):
        try:
            return get(host, port)
        except socket.gaierror as e:
            return f"gaierror {e.errno}"
        except TimeoutError:
            return "ETIMEDOUT"
        except OSError as e:
            return name_of(e)

    return {f"{host}:{port}": one(host, port) for host, port in event["targets"]}


def lookup(event):
    """Addresses of names, as the C library finds them."""
    def one(name):
        try:
            return sorted({a[4][0] for a in socket.getaddrinfo(name, None, socket.AF_INET, socket.SOCK_STREAM)})
        except socket.gaierror as e:
            return e.errno
    return {name: one(name) for name in event["names"]}


def own_address(event):
    """Its own, as the kernel chooses it; and what it has of IPv6."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.connect(("198.51.100.10", 9))
        address = s.getsockname()[0]
    six = []
    if os.path.exists("/proc/net/if_inet6"):
        with open("/proc/net/if_inet6", encoding="ascii") as f:
            six = [line.split()[-1] for line in f]
    return {"address": address, "six": six, "interfaces": [n for _, n in socket.if_nameindex()]}


def listen(event):
    """Is there for others of the network, a while; how many came."""
    count = 0
    with socket.create_server(("0.0.0.0", event["port"])) as s:
        until = time.monotonic() + event["seconds"]
        while time.monotonic() < until:
            s.settimeout(max(0.01, until - time.monotonic()))
            try:
                s.accept()[0].close()
                count += 1
            except TimeoutError:
                pass
    return count


def send_as(event):
    """Datagrams from addresses that are not its own, by every way that needs no right."""
    def send(option):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            if option:
                s.setsockopt(socket.IPPROTO_IP, option, 1)
            s.bind((event["source"], 0))
            s.sendto(event["text"].encode(), tuple(event["to"]))

    def with_info():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            info = struct.pack("=I4s4s", 0, socket.inet_aton(event["source"]), b"\0" * 4)
            s.sendmsg([event["text"].encode()], [(socket.IPPROTO_IP, 8, info)], 0, tuple(event["to"]))

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.sendto(b"own", tuple(event["to"]))
    return {"plain": attempt(send, 0), "freebind": attempt(send, 15), "transparent": attempt(send, 19),
            "info": attempt(with_info)}


def broadcast(event):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        return attempt(s.sendto, b"broadcast", tuple(event["to"]))


def change_network(event):
    """Another address, another route, another neighbour, another state of the link."""
    def request(number, name=b"eth0", address="10.213.0.77"):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            fcntl.ioctl(s, number, struct.pack("16sHH4s8x", name, socket.AF_INET, 0, socket.inet_aton(address)))

    def route(kind, body):
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as s:
            s.settimeout(5)
            s.send(struct.pack("=IHHII", 16 + len(body), kind, 5, 1, 0) + body)
            code = struct.unpack_from("=i", s.recv(4096), 16)[0]
            if code:
                raise OSError(-code, "")

    index = socket.if_nametoindex("eth0")
    address = struct.pack("=BBBBI", socket.AF_INET, 32, 0, 0, index) + struct.pack("=HH4s", 8, 2, b"\x0a\xd5\0\x4d")
    neighbour = struct.pack("=BBHiHBB", socket.AF_INET, 0, 0, index, 0x80, 0, 1) + \
        struct.pack("=HH4s", 8, 1, b"\x0a\xd5\0\x02") + struct.pack("=HH6s2x", 10, 2, b"\2\2\2\2\2\2")
    down = struct.pack("=BBHiII", 0, 0, 0, index, 0, 1)
    return {"ioctl address": attempt(request, 0x8916), "ioctl flags": attempt(request, 0x8914),
            "address": attempt(route, 20, address), "neighbour": attempt(route, 28, neighbour),
            "link": attempt(route, 16, down),
            "forwarding": attempt(lambda: open("/proc/sys/net/ipv4/ip_forward", "w", encoding="ascii"))}


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
