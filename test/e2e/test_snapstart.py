#!/usr/bin/python3
"""SnapStart of Python functions: init runs once for a version, and its instances go on from there."""
import base64
import concurrent.futures
import json
import re
import time
import urllib.request

from harness import Server, error_of, expect, main, own_server
from test_lambda_run import create

RUNTIME = "python3.12"

# Init takes a second and leaves traces in memory, in /tmp, in open files and in generators.
TEXT = r"""
import json, os, random, signal, socket, ssl, sys, time, uuid
started = time.time()
time.sleep(1)
born = str(uuid.uuid4())
big = {i: str(i) * 10 for i in range(20000)}
kept = open('/tmp/kept', 'w+')
kept.write('first line\n')
kept.flush()
os.mkdir('/tmp/folder')
lost = socket.socket()
os.environ['SET_BY_INIT'] = '1'
signal.signal(signal.SIGUSR1, lambda *_: big.update(signal='came'))
from snapshot_restore_py import register_before_snapshot, register_after_restore
order = []
@register_before_snapshot
def before():
    order.append('before')
register_before_snapshot(order.append, 'earlier')
@register_after_restore
def after():
    order.append('after')
register_after_restore(order.append, 'later')
print('initialised')
def handler(event, context):
    time.sleep(event.get('nap', 0))
    os.kill(os.getpid(), signal.SIGUSR1)
    kept.write('more\n')
    kept.flush()
    with open('/tmp/mine', 'a') as f:
        f.write('x')
    return {'kind': os.environ['AWS_LAMBDA_INITIALIZATION_TYPE'], 'born': born, 'age': time.time() - started,
            'order': order, 'uuid': str(uuid.uuid4()), 'random': random.random(),
            'ssl': ssl.RAND_bytes(8).hex(), 'big': len(big), 'signal': big.get('signal'), 'pid': os.getpid(),
            'kept': open('/tmp/kept').read(), 'mine': open('/tmp/mine').read(), 'folder': os.path.isdir('/tmp/folder'),
            'stream': context.log_stream_name, 'cwd': os.getcwd(), 'leaks': [k for k in os.environ if 'CIRRUS' in k],
            'set': os.environ.get('SET_BY_INIT'), 'threads': thread(), 'descriptors': sorted(os.listdir('/proc/self/fd'))}
def thread():
    import threading
    seen = []
    t = threading.Thread(target=seen.append, args=(1,))
    t.start()
    t.join()
    return seen
"""


def publish(server, name, text, memory=256, **more):
    functions = server.client("lambda")
    create(functions, name, "index.handler", RUNTIME, text, MemorySize=memory,
           SnapStart={"ApplyOn": "PublishedVersions"}, Timeout=30, **more)
    published = functions.publish_version(FunctionName=name)
    return functions, published


def settled(functions, name, version):
    for _ in range(600):
        seen = functions.get_function_configuration(FunctionName=name, Qualifier=version)
        if seen["State"] != "Pending":
            return seen
        time.sleep(0.05)
    raise AssertionError(f"still pending: {seen}")


def call(functions, name, version, **event):
    answer = functions.invoke(FunctionName=name, Qualifier=version, LogType="Tail",
                              Payload=json.dumps(event))
    value = json.load(answer["Payload"])
    expect((answer.get("FunctionError"), value), (None, value))
    return value, base64.b64decode(answer["LogResult"]).decode()


def log_of(server, name):
    logs = server.client("logs")
    found = []
    for stream in logs.describe_log_streams(logGroupName="/aws/lambda/" + name)["logStreams"]:
        found += [e["message"] for e in logs.get_log_events(
            logGroupName="/aws/lambda/" + name, logStreamName=stream["logStreamName"])["events"]]
    return found


def test_init_runs_once(server):
    functions, published = publish(server, "s", TEXT)
    expect((published["State"], published["SnapStart"]["ApplyOn"]), ("Pending", "PublishedVersions"))
    seen = settled(functions, "s", "1")
    expect((seen["State"], seen["SnapStart"]),
           ("Active", {"ApplyOn": "PublishedVersions", "OptimizationStatus": "On"}))
    latest = functions.get_function_configuration(FunctionName="s")
    expect(latest["SnapStart"]["OptimizationStatus"], "Off")
    began = time.time()
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: call(functions, "s", "1", nap=0.6), range(4)))
    assert time.time() - began < 3, time.time() - began
    values = [value for value, _ in answers]
    expect(len({v["stream"] for v in values}), 4)
    expect({v["born"] for v in values}, {values[0]["born"]})
    for name in ("uuid", "random", "ssl"):
        expect((name, len({v[name] for v in values})), (name, 4))
    for v in values:
        assert v["age"] > 1, v
        expect(v["order"], ["earlier", "before", "after", "later"])
        expect((v["kind"], v["big"], v["signal"], v["kept"], v["mine"], v["folder"], v["cwd"], v["leaks"], v["threads"], v["set"]),
               ("snap-start", 20001, "came", "first line\nmore\n", "x", True, "/var/task", [], [1], "1"))
    for _, tail in answers:
        assert "Restore Duration: " in tail and "Init Duration" not in tail, tail
    again, tail = call(functions, "s", "1")
    expect(again["mine"], "xx")
    assert "Restore Duration" not in tail, tail
    lines = "".join(log_of(server, "s"))
    expect((lines.count("initialised"), lines.count("INIT_REPORT")), (1, 1))
    expect((lines.count("RESTORE_START"), lines.count("RESTORE_REPORT Restore Duration: ")), (4, 4))
    # $LATEST is no version: it is initialised.
    value, tail = call(functions, "s", "$LATEST")
    expect((value["kind"], value["order"]), ("on-demand", []))
    assert "Init Duration" in tail, tail


test_init_runs_once.options = ("--pool", "2")


@own_server
def test_same_places(_):
    """Without randomised addresses every process begins where the other one lay, which chance does once
    in hundreds of times: that is no reason to initialise again."""
    with Server(prefix=("/usr/bin/setarch", "-R")) as server:
        functions, _ = publish(server, "s", TEXT)
        settled(functions, "s", "1")
        born = {call(functions, "s", "1")[0]["born"]}
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda _: call(functions, "s", "1", nap=0.3), range(4)))
        expect({value["born"] for value, _ in answers}, born)
        lines = "".join(log_of(server, "s"))
        expect((lines.count("the snapshot is not used"), lines.count("INIT_REPORT")), (0, 1))
        if lines.count("RESTORE_START") < 4:
            raise AssertionError(lines)


def test_without_pool(server):
    functions, _ = publish(server, "s", TEXT, memory=128)
    expect(settled(functions, "s", "1")["SnapStart"]["OptimizationStatus"], "On")
    value, tail = call(functions, "s", "1")
    assert value["order"], log_of(server, "s")
    expect((value["kind"], value["order"]), ("snap-start", ["earlier", "before", "after", "later"]))
    assert "Restore Duration: " in tail, tail


test_without_pool.options = ("--pool", "0")


def test_versions_are_apart(server):
    functions, _ = publish(server, "a", "import uuid\nme = str(uuid.uuid4())\n"
                           "def handler(e, c): return {'me': me, 'version': c.function_version}\n")
    settled(functions, "a", "1")
    functions.update_function_configuration(FunctionName="a", Description="another")
    functions.get_waiter("function_updated_v2").wait(FunctionName="a", WaiterConfig={"Delay": 1})
    expect(functions.publish_version(FunctionName="a")["Version"], "2")
    settled(functions, "a", "2")
    one, two = call(functions, "a", "1")[0], call(functions, "a", "2")[0]
    expect((one["version"], two["version"], one["me"] == two["me"]), ("1", "2", False))
    functions.delete_function(FunctionName="a", Qualifier="1")
    expect(error_of(lambda: functions.invoke(FunctionName="a", Qualifier="1"))[0], "ResourceNotFoundException")
    expect(call(functions, "a", "2")[0]["me"], two["me"])


def test_failures(server):
    functions, _ = publish(server, "raises", "raise RuntimeError('not today')\n")
    seen = settled(functions, "raises", "1")
    expect((seen["State"], seen["StateReasonCode"]), ("Failed", "FunctionError"))
    assert "not today" in seen["StateReason"], seen
    expect(error_of(lambda: functions.invoke(FunctionName="raises", Qualifier="1"))[0], "ResourceConflictException")
    functions, _ = publish(server, "hook", "import snapshot_restore_py as s\ndef f(): raise ValueError('no')\n"
                           "s.register_before_snapshot(f)\ndef handler(e, c): return 1\n")
    expect(settled(functions, "hook", "1")["State"], "Failed")
    functions, _ = publish(server, "after", "import snapshot_restore_py as s\ndef f(): raise ValueError('no')\n"
                           "s.register_after_restore(f)\ndef handler(e, c): return 1\n")
    expect(settled(functions, "after", "1")["State"], "Active")
    answer = functions.invoke(FunctionName="after", Qualifier="1")
    expect((answer["FunctionError"], json.load(answer["Payload"])["errorType"]), ("Unhandled", "ValueError"))
    functions, _ = publish(server, "exits", "import os\nos._exit(3)\n")
    seen = settled(functions, "exits", "1")
    expect((seen["State"], seen["StateReasonCode"]), ("Failed", "FunctionError.RuntimeInitError"))


def test_what_cannot_be_kept(server):
    """A thread cannot be in a file: instances are initialised, and the log says why."""
    functions, _ = publish(server, "t", "import threading, time\nthreading.Thread(target=time.sleep, args=(99,), "
                           "daemon=True).start()\ndef handler(e, c): return {'n': threading.active_count()}\n")
    seen = settled(functions, "t", "1")
    expect((seen["State"], seen["SnapStart"]["OptimizationStatus"]), ("Active", "Off"))
    value, tail = call(functions, "t", "1")
    expect(value, {"n": 2})
    assert "Init Duration" in tail, tail
    assert any("more than one thread" in line for line in log_of(server, "t"))


HOSTILE = r"""
import os, socket, time
def ask(method, name, body=b''):
    s = socket.create_connection(('127.0.0.1', 9001))
    head = f'{method} /2018-06-01/runtime/{name} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n'
    s.sendall(head.encode() + body)
    return s.recv(99)[9:12].decode()
if os.environ['AWS_LAMBDA_INITIALIZATION_TYPE'] == 'snap-start' and not os.path.exists('/var/snapshot/image'):
    print('next', ask('GET', 'invocation/next'))
    ask('POST', 'restore/image', %s)
    time.sleep(60)
def handler(event, context):
    return {'again': ask('POST', 'restore/image', b'x'), 'there': os.listdir('/var/snapshot')}
"""


def test_hostile_images(server):
    """What a function sends instead of its image harms its own instances at most: they are initialised."""
    magic = "(0x31706e7375726963).to_bytes(8, 'little')"
    for name, image in (("short", "b'x'"), ("zeros", "bytes(9000)"), ("counts", magic + r" + b'\xff' * 9000"),
                        ("wild", magic + r" + bytes(12) + b'\2\0\0\0' + (4096).to_bytes(8, 'little') + bytes(9000)")):
        functions, _ = publish(server, name, HOSTILE % image)
        seen = settled(functions, name, "1")
        expect((name, seen["State"], seen["SnapStart"]["OptimizationStatus"]), (name, "Active", "On"))
        answer = functions.invoke(FunctionName=name, Qualifier="1", Payload=b"{}")
        value, lines = json.load(answer["Payload"]), "".join(log_of(server, name))
        assert "next 403" in lines, lines
        if name == "wild":  # well-formed, and it goes on nowhere
            expect((answer["FunctionError"], value["errorType"]), ("Unhandled", "Runtime.ExitError"))
        else:
            expect(value, {"again": "403", "there": ["image"]})
            assert "the snapshot is not used" in lines, lines


CUT_SHORT = r"""
import os, socket
if os.environ['AWS_LAMBDA_INITIALIZATION_TYPE'] == 'snap-start' and not os.path.exists('/var/snapshot/image'):
    s = socket.create_connection(('127.0.0.1', 9001))
    s.sendall(b'POST /2018-06-01/runtime/restore/image HTTP/1.1\r\nHost: a\r\nContent-Length: 50000000\r\n\r\n')
    for _ in range(5):
        s.sendall(bytes(1 << 20))
    os._exit(1)
def handler(event, context):
    return 1
"""


def test_cut_short(server):
    """What is not kept takes no room from the snapshots of others."""
    def kept():
        with urllib.request.urlopen(server.endpoint + "/_cirrus/metrics", timeout=10) as answer:
            return int(re.search(r"^cirrus_lambda_snapshot_bytes (\d+)", answer.read().decode(), re.M).group(1))
    functions, _ = publish(server, "good", "def handler(event, context):\n    return 1\n")
    settled(functions, "good", "1")
    before = kept()
    assert before > 1 << 20, before
    functions, _ = publish(server, "cut", CUT_SHORT)
    settled(functions, "cut", "1")
    expect(kept(), before)
    functions.delete_function(FunctionName="good")
    expect(kept(), 0)


@own_server
def test_after_a_restart(server):
    functions, _ = publish(server, "s", TEXT)
    expect(settled(functions, "s", "1")["SnapStart"]["OptimizationStatus"], "On")
    before = call(functions, "s", "1")[0]
    server.stop(kill=True)
    server.start()
    expect(call(functions, "s", "1", nap=0.1)[0]["kind"], "snap-start")
    for n in range(2, 12):  # those that were initialised are busy, another goes on from a new snapshot
        with concurrent.futures.ThreadPoolExecutor(n) as pool:
            tails = list(pool.map(lambda _: call(functions, "s", "1", nap=1)[1], range(n)))
        if any("Restore Duration" in tail for tail in tails):
            break
    else:
        raise AssertionError("no snapshot after a restart")
    assert call(functions, "s", "1")[0]["born"] != before["born"]
    # A version that was Pending comes to its end, whichever way the server went.
    for kill in (True, False):
        functions.update_function_configuration(FunctionName="s", Description=f"killed {kill}")
        functions.get_waiter("function_updated_v2").wait(FunctionName="s", WaiterConfig={"Delay": 1})
        published = functions.publish_version(FunctionName="s")
        expect(published["State"], "Pending")
        server.stop(kill=kill)
        server.start()
        seen = settled(functions, "s", published["Version"])
        expect((seen["State"], seen["SnapStart"]["OptimizationStatus"]), ("Active", "On"))


def test_refused(server):
    functions = server.client("lambda")

    def refused(part, runtime=RUNTIME, **more):
        code, text = error_of(lambda: create(functions, "r", "index.handler", runtime, "x = 1\n",
                                             SnapStart={"ApplyOn": "PublishedVersions"}, **more))[:2]
        expect(code, "InvalidParameterValueException")
        assert part in text, text

    refused("python3.11 is not supported for SnapStart enabled functions", "python3.11")
    refused("nodejs20.x is not supported for SnapStart enabled functions", "nodejs20.x")
    refused("provided.al2023 is not supported for SnapStart enabled functions", "provided.al2023")
    refused("Ephemeral storage", EphemeralStorage={"Size": 1024})
    publish(server, "p", "def handler(e, c): return 1\n")
    settled(functions, "p", "1")
    functions.create_alias(FunctionName="p", Name="live", FunctionVersion="1")
    for qualifier in ("1", "live"):
        code, text = error_of(lambda: functions.put_provisioned_concurrency_config(
            FunctionName="p", Qualifier=qualifier, ProvisionedConcurrentExecutions=1))[:2]
        expect(code, "InvalidParameterValueException")
        assert "SnapStart" in text, text


if __name__ == "__main__":
    main(globals())
