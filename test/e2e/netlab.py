"""A network of namespaces for tests: this process moves into a "host" of its own, with an "internet" and a
"lan" beyond. The machine's own network is neither used nor changed. Needs root.

    lab 203.0.113.2 up0 ---- 203.0.113.1 internet: 198.51.100.10 web, .53 names, 169.254.169.254
        192.0.2.1  lan0 ---- 192.0.2.2   lan
"""
import ctypes
import json
import os
import socket
import struct
import subprocess
import sys
import tempfile

CLONE_NEWNS, CLONE_NEWNET = 0x00020000, 0x40000000
HOST, GATE, WEB, NAMES, METADATA, LAN = ("203.0.113.2", "203.0.113.1", "198.51.100.10", "198.51.100.53",
                                         "169.254.169.254", "192.0.2.2")
libc = ctypes.CDLL(None, use_errno=True)


def ip(*words, netns=None):
    prefix = ["nsenter", f"--net=/proc/{netns}/ns/net"] if netns else []
    done = subprocess.run([*prefix, "ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"ip {' '.join(words)}: {done.stderr}")
    return done.stdout


def unshare(flags):
    if libc.unshare(flags) != 0:
        raise OSError(ctypes.get_errno(), "unshare")


class Side:
    """Another namespace, kept by a process that runs `netlab.py NAME`: its servers."""

    def __init__(self, name):
        self.process = subprocess.Popen([sys.executable, "-B", os.path.abspath(__file__), name], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        self.wait("namespace")
        self.pid = self.process.pid

    def wait(self, word):
        line = self.process.stdout.readline().strip()
        if line != word:
            raise RuntimeError(f"netlab: {line!r}")

    def say(self, word, answer):
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()
        self.wait(answer)

    def run(self, program, *arguments):
        """A Python program inside: what it prints."""
        done = subprocess.run(["nsenter", f"--net=/proc/{self.pid}/ns/net", sys.executable, "-c", program, *arguments],
                              capture_output=True, text=True, timeout=60, check=False)
        return done.stdout.strip() or done.stderr

    def end(self):
        self.process.stdin.close()
        self.process.wait(10)


class Lab:
    def __init__(self):
        unshare(CLONE_NEWNET | CLONE_NEWNS)
        subprocess.run(["mount", "--make-rprivate", "/"], check=True)
        with tempfile.NamedTemporaryFile("w", delete=False) as f:
            f.write(f"# of the test\nnameserver {NAMES}\n")
        os.chmod(f.name, 0o644)
        subprocess.run(["mount", "--bind", f.name, os.path.realpath("/etc/resolv.conf")], check=True)
        os.unlink(f.name)
        ip("link", "set", "lo", "up")
        self.internet, self.lan = Side("internet"), Side("lan")
        for link, side, own, other in (("up0", self.internet, HOST, GATE), ("lan0", self.lan, "192.0.2.1", LAN)):
            ip("link", "add", link, "type", "veth", "peer", "name", "wire", "netns", str(side.pid))
            ip("address", "add", own + "/24", "broadcast", "+", "dev", link)
            ip("link", "set", link, "up")
            ip("link", "set", "lo", "up", netns=side.pid)
            ip("address", "add", other + "/24", "dev", "wire", netns=side.pid)
            ip("link", "set", "wire", "up", netns=side.pid)
        for address in (WEB, NAMES, METADATA):
            ip("address", "add", address + "/32", "dev", "lo", netns=self.internet.pid)
        ip("route", "add", "default", "via", GATE)
        # Whoever is beyond may try to come in.
        for route in ("10.213.0.0/16", "192.0.2.0/24"):
            ip("route", "add", route, "via", HOST, netns=self.internet.pid)
        ip("route", "add", "default", "via", "192.0.2.1", netns=self.lan.pid)
        self.internet.say("go", "ready")
        self.lan.say("go", "ready")

    def end(self):
        self.internet.end()
        self.lan.end()


def forwarding(link):
    with open(f"/proc/sys/net/ipv4/conf/{link}/forwarding", encoding="ascii") as f:
        return f.read().strip() == "1"


def links(prefix="cirrus-"):
    return sorted(link["ifname"] for link in json.loads(ip("-j", "link")) if link["ifname"].startswith(prefix))


def tables():
    """Names of the packet filter's tables, from nf_tables itself."""
    found = []
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12) as s:
        s.settimeout(5)
        s.send(struct.pack("=IHHIIBBH", 20, (10 << 8) | 1, 0x301, 1, 0, 0, 0, 0))
        while True:
            data = s.recv(65536)
            while data:
                n, kind = struct.unpack_from("=IH", data)
                if kind == 3:
                    return sorted(found)
                at = 20
                while at + 4 <= n:
                    size, what = struct.unpack_from("=HH", data, at)
                    if what & 0x3FFF == 1:
                        found.append(data[at + 4:at + size - 1].decode())
                    at += (size + 3) & ~3
                data = data[(n + 3) & ~3:]


# ---- what runs beyond ----

def question_of(message):
    at, labels = 12, []
    while message[at]:
        labels.append(message[at + 1:at + 1 + message[at]].decode())
        at += 1 + message[at]
    return ".".join(labels).lower(), struct.unpack_from("!H", message, at + 1)[0], message[12:at + 5]


def answer_of(message, stream):
    """web.test is WEB; long.test has an answer that needs TCP; lost.test none at all; others are not there."""
    name, kind, question = question_of(message)
    addresses = {"web.test": [WEB], "long.test": [f"198.51.100.{i}" for i in range(1, 61)]}.get(name)
    if name == "lost.test":
        return None
    if addresses is None or kind != 1:
        return message[:2] + struct.pack("!HHHHH", 0x8180 | (0 if addresses else 3), 1, 0, 0, 0) + question
    if len(addresses) > 5 and not stream:
        return message[:2] + struct.pack("!HHHHH", 0x8380, 1, 0, 0, 0) + question
    records = b"".join(b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 60, 4) + socket.inet_aton(a) for a in addresses)
    return message[:2] + struct.pack("!HHHHH", 0x8180, 1, len(addresses), 0, 0) + question + records


def serve():
    """The servers of a side, in threads."""
    import threading
    last = []  # sources of datagrams to port 9000

    def web(listener):
        while True:
            client, peer = listener.accept()
            client.settimeout(5)
            client.recv(4096)
            client.sendall(f"HTTP/1.0 200 OK\r\n\r\nyou are {peer[0]}".encode())
            client.close()

    def names():
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.bind((NAMES, 53))
        while True:
            message, peer = s.recvfrom(4096)
            answer = answer_of(message, False)
            if answer:
                s.sendto(answer, peer)

    def name_streams():
        listener = socket.create_server((NAMES, 53))
        while True:
            client, _ = listener.accept()
            n, = struct.unpack("!H", client.recv(2))
            answer = answer_of(client.recv(n), True)
            client.sendall(struct.pack("!H", len(answer)) + answer)
            client.close()

    def datagrams():
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.bind(("0.0.0.0", 9000))
        while True:
            data, peer = s.recvfrom(4096)
            if data == b"who?":
                s.sendto(json.dumps(last).encode(), peer)
            else:
                last.append([data.decode(), peer[0]])

    work = [lambda: web(socket.create_server(("0.0.0.0", 80))), datagrams]
    if sys.argv[1] == "internet":
        work += [names, name_streams]
    for target in work:
        threading.Thread(target=target, daemon=True).start()


if __name__ == "__main__":
    unshare(CLONE_NEWNET)
    print("namespace", flush=True)
    sys.stdin.readline()
    serve()
    import time
    time.sleep(0.3)
    print("ready", flush=True)
    sys.stdin.read()  # its end is ours
