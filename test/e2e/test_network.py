#!/usr/bin/python3
"""Networks of functions: --lambda-network=nat and host, in namespaces of the test's own (netlab.py).

What is reached and what is not, by functions that try; what the server changes on its host, and that
nothing is left of it after a stop or, at the next start, after kill -9. Needs root; as an ordinary user
there is only the refusal.
"""
import configparser
import json
import os
import re
import subprocess
import threading
import time

import harness
import netlab
from harness import Server, expect, main, options
from test_hostile import SLOW, deploy, later, result

ROUTER, HOST_INSIDE = "10.213.0.2", "10.213.0.1"
NAT = ("--lambda-network", "nat")
LAB = None


def start_fails(*more, prefix=()):
    """What `serve` says when it refuses these options at once."""
    done = subprocess.run([*prefix, harness.BINARY, "serve", "--ephemeral", "--listen", "127.0.0.1:0", *more],
                          capture_output=True, text=True, timeout=60 * SLOW, check=False)
    expect(done.returncode, 2)
    return done.stderr


def clean():
    """Nothing of ours on the host; what goes with a namespace takes the kernel a moment."""
    until = time.monotonic() + 10 * SLOW
    while netlab.links() and time.monotonic() < until:
        time.sleep(0.05)
    return (netlab.links(), netlab.tables(), netlab.forwarding("up0"), netlab.forwarding("lan0"))


CLEAN = ([], [], False, False)


def listener(address="0.0.0.0"):
    """A service of the host, on all of its addresses: (port, how many came)."""
    import socket
    server = socket.create_server((address, 0))
    came = []

    def accept():
        while True:
            client, peer = server.accept()
            came.append(peer[0])
            client.settimeout(5)
            client.recv(1024)
            client.sendall(b"HTTP/1.0 200 OK\r\n\r\nthe host")
            client.close()
    threading.Thread(target=accept, daemon=True).start()
    return server.getsockname()[1], came


def fetch(server, name, *targets, **more):
    return result(server, name, "fetch", targets=targets, **more)


# ---- nat ----

@options(*NAT)
def test_nat_reaches(server):
    """The internet and the host's other networks, as one address of the host; names by the host's servers."""
    deploy(server, "f")
    expect(fetch(server, "f", (netlab.WEB, 80), ("web.test", 80), (netlab.LAN, 80)),
           {f"{netlab.WEB}:80": f"you are {netlab.HOST}", "web.test:80": f"you are {netlab.HOST}",
            f"{netlab.LAN}:80": "you are 192.0.2.1"})
    expect(result(server, "f", "lookup", names=[
        "web.test", "long.test", "no.test", "localhost.localstack.cloud", "b.s3.localhost", "X.Execute-API.localhost",
        "host.cirrus.internal"]),
        {"web.test": [netlab.WEB], "long.test": sorted(f"198.51.100.{i}" for i in range(1, 61)), "no.test": -2,
         "localhost.localstack.cloud": ["127.0.0.1"], "b.s3.localhost": ["127.0.0.1"],
         "X.Execute-API.localhost": ["127.0.0.1"], "host.cirrus.internal": -2})
    # A server of names that says nothing: an answer comes all the same, and in time.
    begun = time.monotonic()
    seen = result(server, "f", "lookup", names=["lost.test"])
    assert seen["lost.test"] in (-2, -3) and time.monotonic() - begun < 15, (seen, time.monotonic() - begun)
    seen = result(server, "f", "own_address")
    expect((seen["interfaces"], seen["six"]), (["lo", "eth0"], ["lo"] if "lo" in seen["six"] else []))
    assert seen["address"].startswith("10.213.0."), seen
    # Cirrus itself where it always is.
    assert "ECONN" not in fetch(server, "f", ("127.0.0.1", 4566))["127.0.0.1:4566"]
    said = re.search(r"network: (nat, .*)", server.log()).group(1)
    expect(said, "nat, range 10.213.0.0/16 by cirrus-0ad50000, forwarding switched on until the stop for up0, lan0")
    expect((netlab.links(), netlab.forwarding("up0")), (["cirrus-0ad50000"], True))


@options(*NAT)
def test_nat_refuses(server):
    """The host by any of its addresses, link-local addresses, the router: at once, and nothing arrives."""
    port, came = listener()
    deploy(server, "f")
    import socket
    with socket.create_connection((netlab.METADATA, 80), 5):
        pass  # the host reaches it
    targets = [(a, p) for a in (HOST_INSIDE, ROUTER, netlab.HOST, "192.0.2.1") for p in (port, server.port, 4566)]
    targets += [(netlab.METADATA, 80), ("169.254.1.1", 80)]
    begun = time.monotonic()
    expect(fetch(server, "f", *targets), {f"{a}:{p}": "ECONNREFUSED" for a, p in targets})
    assert time.monotonic() - begun < 3 * SLOW
    # A broadcast of the host's network would be delivered to the host.
    sink = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sink.bind(("0.0.0.0", 9009))
    sink.settimeout(1)
    for to in ("203.0.113.255", netlab.HOST, HOST_INSIDE):
        result(server, "f", "send_as", source="0.0.0.0", to=[to, 9009], text="broadcast") if to != "203.0.113.255" else \
            result(server, "f", "broadcast", to=[to, 9009])
    try:
        raise AssertionError(f"the host received {sink.recvfrom(100)}")
    except TimeoutError:
        pass
    # IPv6 has no way out.
    expect(set(fetch(server, "f", ("2001:db8::1", 80), ("fe80::1%eth0", 80)).values()) <= {
        "ENETUNREACH", "EADDRNOTAVAIL", "EHOSTUNREACH", "EINVAL", "gaierror -2"}, True)
    expect(came, [])


@options(*NAT)
def test_nat_instances(server):
    """Instances do not see one another, and nobody outside reaches one."""
    deploy(server, "one", Timeout=min(60 * SLOW, 900))
    deploy(server, "two")
    address = result(server, "one", "own_address")["address"]
    there = later(result, server, "one", "listen", port=7000, seconds=12 * SLOW)
    time.sleep(1 * SLOW)
    own = result(server, "two", "own_address")["address"]
    assert own != address and own.startswith("10.213.0."), own
    expect(fetch(server, "two", (address, 7000)), {f"{address}:7000": "ECONNREFUSED"})
    probe = "import socket,sys\ntry: socket.create_connection((sys.argv[1], int(sys.argv[2])), 2); print('connected')\n" \
            "except OSError as e: print('no')"
    for side in (LAB.internet, LAB.lan):
        for target in ((address, "7000"), (ROUTER, "7000")):
            expect(side.run(probe, *target), "no")
    # Nor does the host begin to forward for others.
    expect(LAB.internet.run(probe, netlab.LAN, "80"), "no")
    there.join()
    expect(there.answer, 0)


@options(*NAT)
def test_hostile_addresses(server):
    """No raw socket, no other source address, no change of its own network."""
    deploy(server, "evil")
    expect(result(server, "evil", "sockets"),
           {"raw": "EPERM", "raw6": "EPERM", "packet": "EAFNOSUPPORT", "vsock": "EAFNOSUPPORT", "audit": "EAFNOSUPPORT",
            "netfilter": "EAFNOSUPPORT", "alg": "EAFNOSUPPORT"})
    expect(result(server, "evil", "change_network"),
           {"ioctl address": "EPERM", "ioctl flags": "EPERM", "address": "EPERM", "neighbour": "EPERM", "link": "EPERM",
            "forwarding": "EROFS"})
    other = "10.213.0.200"
    seen = result(server, "evil", "send_as", source=other, to=[netlab.WEB, 9000], text="spoofed")
    expect((seen["plain"], seen["transparent"]), ("EADDRNOTAVAIL", "EPERM"))
    assert seen["freebind"] != "done" and seen["info"] != "done", seen
    expect(heard(server), [["own", netlab.HOST]])


def heard(server):
    """The datagrams that the internet had, with their sources."""
    ask = "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(5)\n" \
          "s.sendto(b'who?', ('127.0.0.1', 9000)); print(s.recv(65536).decode())"
    all_of_them = json.loads(LAB.internet.run(ask))
    seen, heard.count = all_of_them[heard.count:], len(all_of_them)
    return seen


heard.count = 0


def inside(server):
    """A process of each instance, as the host's root sees it: those whose network is not the server's."""
    found = {}
    for pid in server.children():
        try:
            space = os.readlink(f"/proc/{pid}/ns/net")
            with open(f"/proc/{pid}/comm", encoding="ascii") as f:
                found.setdefault(space, []).append((pid, f.read().strip()))
        except OSError:
            pass
    return found


@options(*NAT, "--pool", "0")
def test_hostile_with_rights(server):
    """Even what no function may do, taking another address, leads nowhere: a source is good on one link only."""
    deploy(server, "evil")
    own = result(server, "evil", "own_address")["address"]
    pid = next(p for ps in inside(server).values() for p, comm in ps if comm.startswith("python"))
    other = "10.213.0.201"
    ask = "import socket,sys\ns=socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind((sys.argv[1],0))\n" \
          f"s.sendto(sys.argv[1].encode(), ('{netlab.WEB}', 9000))"
    netlab.ip("address", "add", other + "/32", "dev", "eth0", netns=pid)
    heard(server)
    for source in (own, other, own):  # the first makes the router known: a false address does not even get that
        subprocess.run(["nsenter", f"--net=/proc/{pid}/ns/net", "/usr/bin/python3", "-c", ask, source], check=True)
    time.sleep(0.5)
    expect(heard(server), [[own, netlab.HOST]] * 2)


# ---- host ----

@options("--lambda-network", "host", "--auth", "strict")
def test_host(server):
    """The host's addresses and its loopback by name; instances and link-local addresses still not."""
    path = os.path.join(server.folder, "data", "root-credentials")
    parser = configparser.ConfigParser()
    parser.read(path)
    keys = parser["default"]
    plain = server.client
    server.client = lambda service, **more: plain(service, **{
        "key": keys["aws_access_key_id"], "secret": keys["aws_secret_access_key"], **more})
    iam = server.client("iam")
    trust = json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}]})
    iam.create_role(RoleName="f", AssumeRolePolicyDocument=trust)
    deploy(server, "f", Role="arn:aws:iam::000000000000:role/f")
    port, _ = listener()
    loopback, _ = listener("127.0.0.1")
    expect(result(server, "f", "lookup", names=["host.cirrus.internal"]), {"host.cirrus.internal": [HOST_INSIDE]})
    seen = fetch(server, "f", ("host.cirrus.internal", loopback), (netlab.HOST, port), (netlab.HOST, loopback),
                 ("host.cirrus.internal", server.port), (netlab.METADATA, 80), (netlab.WEB, 80))
    assert '"status"' in seen.pop(f"host.cirrus.internal:{server.port}"), "cirrus itself is there"
    expect(seen, {f"host.cirrus.internal:{loopback}": "the host", f"{netlab.HOST}:{port}": "the host",
                  f"{netlab.HOST}:{loopback}": "ECONNREFUSED", f"{netlab.METADATA}:80": "ECONNREFUSED",
                  f"{netlab.WEB}:80": f"you are {netlab.HOST}"})


# ---- what it changes, and undoes ----

@options(*NAT)
def test_clean_up(server):
    deploy(server, "f")
    expect(fetch(server, "f", (netlab.WEB, 80)), {f"{netlab.WEB}:80": f"you are {netlab.HOST}"})
    expect((netlab.links(), netlab.tables()), (["cirrus-0ad50000"], ["cirrus-0ad50000"]))
    server.stop()
    expect(clean(), CLEAN)
    # Killed as a whole: the links go with their namespaces, the rest at the next start.
    server.start()
    expect(fetch(server, "f", (netlab.WEB, 80)), {f"{netlab.WEB}:80": f"you are {netlab.HOST}"})
    server.kill_all()
    expect(clean(), ([], ["cirrus-0ad50000"], True, True))
    server.options = []
    server.start()
    time.sleep(0.5)
    server.stop()
    expect(clean(), ([], ["cirrus-0ad50000"], True, True))  # without a network nobody looks
    server.options = [*NAT, "--lambda-network-range", "172.31.128.0/19"]
    server.start()
    expect(fetch(server, "f", (netlab.WEB, 80)), {f"{netlab.WEB}:80": f"you are {netlab.HOST}"})
    expect(netlab.tables(), ["cirrus-ac1f8000"])
    # A worker that crashes takes its launcher along, and the other way round; the next ones have a network again.
    for role in ("cirrus", "cirrus-launcher", "cirrus-janitor"):
        pid = next(p for p in server.children() if comm_of(p) == role)
        os.kill(pid, 9)
        until = time.monotonic() + 30 * SLOW
        while True:
            try:
                server.wait_ready()
                expect(fetch(server, "f", (netlab.WEB, 80)), {f"{netlab.WEB}:80": f"you are {netlab.HOST}"})
                break
            except Exception:  # it is on its way
                if time.monotonic() > until:
                    raise
                time.sleep(0.2)
        expect((role, harness.is_running(pid)), (role, False))
    server.stop()
    expect(clean(), CLEAN)


def comm_of(pid):
    with open(f"/proc/{pid}/comm", encoding="ascii") as f:
        return f.read().strip()


@options(*NAT)
def test_two_servers(server):
    """Each with a range of its own; the end of one takes nothing from the other."""
    deploy(server, "f")
    expect("another cirrus has this range" in start_fails(*NAT), True)
    with Server(*NAT, "--lambda-network-range", "100.64.0.0/16") as second:
        deploy(second, "f")
        for s in (server, second):
            expect(fetch(s, "f", (netlab.WEB, 80)), {f"{netlab.WEB}:80": f"you are {netlab.HOST}"})
        expect(netlab.links(), ["cirrus-0ad50000", "cirrus-64400000"])
    expect((netlab.links(), netlab.tables(), netlab.forwarding("up0")),
           (["cirrus-0ad50000"], ["cirrus-0ad50000"], True))
    expect(fetch(server, "f", (netlab.WEB, 80)), {f"{netlab.WEB}:80": f"you are {netlab.HOST}"})
    with Server(*NAT, "--lambda-network-range", "100.64.0.0/16") as second:
        deploy(second, "f")
        server.stop()  # the one that switched forwarding on
        expect(fetch(second, "f", (netlab.WEB, 80)), {f"{netlab.WEB}:80": f"you are {netlab.HOST}"})
    expect(clean(), CLEAN)


def test_refused(server):
    """What cannot be had is said at the start, with what would help, and changes nothing."""
    for given, words in (
            (("--lambda-network", "host"), ("--auth=strict",)),
            ((*NAT, "--lambda-network-range", "8.8.0.0/16"), ("'8.8.0.0/16'", "private", "10.213.0.0/16")),
            ((*NAT, "--lambda-network-range", "10.213.0.1/16"), ("'10.213.0.1/16'",)),
            ((*NAT, "--lambda-network-range", "10.213.0.0"), ("'10.213.0.0'",)),
            ((*NAT, "--lambda-network-range", "10.213.0.0/24"), ("no room", "--function-instances")),
            ((*NAT, "--lambda-network-range", "192.0.2.0/24"), ("private",)),
            (("--lambda-network", "bridge"), ("none|nat|host",))):
        said = start_fails(*given)
        for word in words:
            assert word in said, (given, said)
    netlab.ip("route", "add", "10.213.64.0/24", "via", netlab.GATE)
    try:
        said = start_fails(*NAT)
        assert "10.213.64.0/24 by up0" in said and "--lambda-network-range" in said, said
    finally:
        netlab.ip("route", "del", "10.213.64.0/24")
    said = start_fails(*NAT, prefix=["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"])
    assert "root" in said, said
    finding = next(f for f in json.loads(subprocess.run(
        [harness.BINARY, "doctor", "--json"], capture_output=True, text=True, timeout=60, check=False).stdout)["findings"]
        if f["name"] == "functions' network")
    expect((finding["ok"], finding["required"]), (True, False))
    expect(clean(), CLEAN)


def test_none(server):
    """Without a network names of cirrus are known all the same, and no other."""
    deploy(server, "f")
    expect(result(server, "f", "lookup", names=["a.execute-api.localhost", "web.test"]),
           {"a.execute-api.localhost": ["127.0.0.1"], "web.test": -3})


def test_ordinary_user(server):
    said = start_fails(*NAT)
    assert "root" in said, said


if __name__ == "__main__":
    if os.geteuid() != 0:
        main({"test_ordinary_user": test_ordinary_user})
    LAB = netlab.Lab()
    try:
        main({k: v for k, v in globals().items() if k != "test_ordinary_user"})
    finally:
        LAB.end()
