#!/usr/bin/python3
"""make bench: cirrus, its peers and the physical floor, side by side in one run.

    bench/run.py [--seconds N] [--only SECTION,...] [--large] [--write]

Load comes from wrk (one thread) and bench/load.c (open loop), which replay prepared, signed requests;
the same bytes go to every server of a section. cirrus runs in strict mode, so that every signature
of the DynamoDB sections is verified. Rates are medians of three rounds taken in turn (A B C A B C
...), so that a drift of the machine's speed meets all alike. CPU is user + system time of all of a
server's processes, from /proc. Peers that are not installed, and operations that a server does not
have, are left out and named. --write puts the table into docs/benchmarks.md.
"""
import argparse
import datetime
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

import functions
import idle
import rig
from rig import dynamodb, harness, median, pss_mib, row, rows, tree, write_requests, wrk

ITEMS = 20000
POINTS = 150_000  # random keys among many items: more than the cache of hot records holds
ITEMS_OF_PEER = 1000  # what a slow one can hold a load of
ITEM_BYTES = 1024
ROUNDS = 3


def say(text):
    print(text, file=sys.stderr, flush=True)


# --- tables and items ------------------------------------------------------------------------------

def make_table(server, name, sort_key=False, indexes=0):
    db = server.api("dynamodb")
    names = ["pk"] + (["sk"] if sort_key else []) + [f"g{i}" for i in range(indexes)]
    request = {
        "TableName": name, "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": n, "AttributeType": "S"} for n in names],
        "KeySchema": [{"AttributeName": n, "KeyType": k} for n, k in
                      zip(names[:2 if sort_key else 1], ("HASH", "RANGE"))]}
    if indexes:
        request["GlobalSecondaryIndexes"] = [
            {"IndexName": f"index-{i}", "KeySchema": [{"AttributeName": f"g{i}", "KeyType": "HASH"}],
             "Projection": {"ProjectionType": "ALL"}} for i in range(indexes)]
    db.create_table(**request)
    db.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1})


def item(number, size=ITEM_BYTES, **more):
    return {"pk": {"S": f"item-{number:08d}"}, "n": {"N": str(number)}, **more,
            "text": {"S": "x" * (size - 60)}}


def key_of(number):
    return {"pk": {"S": f"item-{number:08d}"}}


# --- start ------------------------------------------------------------------------------------------

def first_answer_ms(server):
    """From the start of the process to the first answer; asked again after 0.2 ms."""
    port = server.port
    ask = f"GET /_cirrus/health HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
    started = time.monotonic()
    server.start(wait=False)
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=10) as s:
                s.sendall(ask)
                if s.recv(4096).startswith(b"HTTP/1.1 200"):
                    return (time.monotonic() - started) * 1000
        except OSError:
            pass
        if time.monotonic() - started > 30:
            raise RuntimeError("the server does not get ready:\n" + server.log())
        time.sleep(0.0002)


def section_start(seconds, folder):
    """Start on an empty folder and on an existing one, idle memory, size of the binary."""
    fresh, again, memory = [], [], []
    for _ in range(20):
        server = rig.Cirrus(strict=False)
        fresh.append(first_answer_ms(server))
        if len(memory) < 3:
            time.sleep(1)
            memory.append(pss_mib(tree(server.process.pid)))
        server.stop()
        again.append(first_answer_ms(server))
        server.close()
    stripped = os.path.join(folder, "stripped")
    subprocess.run(["strip", "-o", stripped, harness.BINARY], check=True)
    title = "Start and size"
    row(title, "start to first answer, empty folder, median of 20", f"{statistics.median(fresh):.1f} ms")
    row(title, "start to first answer, existing folder", f"{statistics.median(again):.1f} ms")
    row(title, "idle memory, all processes (PSS), no function", f"{statistics.median(memory):.1f} MiB")
    row(title, "stripped binary", f"{os.path.getsize(stripped) / 1e6:.1f} MB")


# --- GetItem and PutItem ----------------------------------------------------------------------------

def requests_of(server, folder, operation, count):
    if operation == "GetItem":
        made = [dynamodb(server, "GetItem", TableName="bench", Key=key_of(i)) for i in range(count)]
    else:
        made = [dynamodb(server, "PutItem", TableName="bench", Item=item(i)) for i in range(count)]
    return write_requests(folder, f"{operation}-{server.port}", made)


def threads_rate(seconds):
    """64 threads that each call a synced rocksdb_write with 1000 bytes, on the same disk."""
    place = tempfile.mkdtemp(prefix="cirrus-bench-kv-")
    done = subprocess.run([rig.KV_BENCH, place, str(seconds), "1000"], capture_output=True,
                          text=True, check=True, timeout=seconds + 120)
    shutil.rmtree(place, ignore_errors=True)
    rate, cpu = re.search(r"threads\s+(\d+)/s\s+([\d.]+) us", done.stdout).groups()
    return {"rate": float(rate), "p50": 0, "p99": 0, "cpu_us": float(cpu)}


def put_floor_table(title, names, results):
    floor = median(results[names[0]])["rate"]
    for name in names:
        m = median(results[name])
        row(title, name, f"{m['rate']:,.0f}", f"{m['rate'] / floor:.0%}",
            f"{m['p50']:,.0f}" if m["p50"] else "", f"{m['p99']:,.0f}" if m["p99"] else "",
            f"{m['cpu_us']:.1f}")


def section_items(seconds, folder):
    """GetItem and PutItem against the floor, synced threads and the peers; latency at half load."""
    servers = [("nginx return 200 (floor)", rig.Nginx()), ("cirrus, 2 loops", rig.Cirrus("--loops", "2")),
               ("cirrus, 1 loop", rig.Cirrus("--loops", "1"))]
    ours = [server for _, server in servers[1:]]
    for server in ours:
        server.start()
    servers += rig.peers()
    names = [name for name, _ in servers]
    threads = "64 threads, each its own synced rocksdb_write"
    for _, server in servers[1:]:
        make_table(server, "bench")
    top = {}
    for operation in ("PutItem", "GetItem"):
        requests = {name: requests_of(server, folder, operation,
                                      ITEMS if server in ours or server is servers[0][1]
                                      else ITEMS_OF_PEER) for name, server in servers}
        if operation == "PutItem":  # every key once, and the caches as they are in use
            for name, server in servers[1:]:
                rig.load(server, requests[name], 64, 0, 0)
        for connections in (64, 1):
            results = {name: [] for name in names + [threads]}
            for _ in range(ROUNDS):
                for name, server in servers:
                    results[name].append(wrk(server, requests[name], connections, seconds))
                if operation == "PutItem" and connections == 64:
                    results[threads].append(threads_rate(seconds))
            title = f"{operation} of 1 KB, {connections} connection{'s' if connections > 1 else ''}"
            put_floor_table(title, names + ([threads] if results[threads] else []), results)
            if connections == 64:
                top[operation] = median(results[names[1]])["rate"]
            if results[threads]:
                ratio = top[operation] / median(results[threads])["rate"]
                row(title, f"cirrus, 2 loops, beside those threads: {ratio:.0%}", "", "", "", "", "")
        for name, server in servers[1:3]:
            at_half = median([rig.load(server, requests[name], 64, seconds, top[operation] / 2)
                              for _ in range(ROUNDS)])
            row("Latency at half of the top rate, open loop, 64 connections", f"{operation}, {name}",
                f"{at_half['rate']:,.0f}", f"{at_half['p50']:,.0f}", f"{at_half['p99']:,.0f}",
                f"{at_half['cpu_us']:.1f}")
    for _, server in servers:
        server.close()


# --- the other operations of the data plane -----------------------------------------------------------

PARTITION_ITEMS = 20  # of the table that is queried


def operations(server, count):
    """name -> prepared requests; tables ops, parts and gsi."""
    def update(i):
        return dynamodb(server, "UpdateItem", TableName="ops", Key=key_of(i),
                        UpdateExpression="SET n = n + :one", ConditionExpression="attribute_exists(pk)",
                        ExpressionAttributeValues={":one": {"N": "1"}})

    def query(i):
        return dynamodb(server, "Query", TableName="parts", KeyConditionExpression="pk = :p",
                        ExpressionAttributeValues={":p": {"S": f"p-{i:06d}"}})

    def transact(i):
        return dynamodb(server, "TransactWriteItems", TransactItems=[
            {"Put": {"TableName": "ops", "Item": item((4 * i + j) % count)}} for j in range(4)])

    def batch(i):
        return dynamodb(server, "BatchWriteItem", RequestItems={"ops": [
            {"PutRequest": {"Item": item((25 * i + j) % count, 400)}} for j in range(25)]})

    def put_indexed(i):
        keys = {f"g{j}": {"S": f"v-{(i * 7 + j) % count}"} for j in range(5)}
        return dynamodb(server, "PutItem", TableName="gsi", Item=item(i, 400, **keys))

    few = count // 4
    return {
        "PutItem (for comparison)": [dynamodb(server, "PutItem", TableName="ops", Item=item(i))
                                     for i in range(count)],
        "UpdateItem with condition": [update(i) for i in range(count)],
        "Query of 20 items of 400 B": [query(i) for i in range(count // PARTITION_ITEMS)],
        "TransactWriteItems of 4": [transact(i) for i in range(few)],
        "BatchWriteItem of 25, 400 B": [batch(i) for i in range(few)],
        "PutItem with 5 GSIs, 400 B": [put_indexed(i) for i in range(count)],
    }


def prepare_operations(server, folder, count):
    make_table(server, "ops")
    make_table(server, "parts", sort_key=True)
    try:
        make_table(server, "gsi", indexes=5)
    except Exception as error:  # the operation's rows will say so
        say(f"  no table with indexes: {error}")
    fill = [dynamodb(server, "PutItem", TableName="ops", Item=item(i)) for i in range(count)]
    parts = [dynamodb(server, "BatchWriteItem", RequestItems={"parts": [{"PutRequest": {"Item": {
        "pk": {"S": f"p-{i:06d}"}, "sk": {"S": f"s-{j:04d}"}, "text": {"S": "x" * 360}}}}
        for j in range(PARTITION_ITEMS)]}) for i in range(count // PARTITION_ITEMS)]
    for name, requests in (("fill", fill), ("parts", parts)):
        rig.load(server, write_requests(folder, f"{name}-{server.port}", requests), 16, 0, 0)


def section_operations(seconds, folder):
    """UpdateItem, Query, transactions, batches, indexes at 1, 16 and 64 connections."""
    cirrus = rig.Cirrus("--loops", "2")
    cirrus.start()
    for name, server in [("cirrus", cirrus)] + rig.peers():
        ours = server is cirrus
        count = ITEMS if ours else ITEMS_OF_PEER
        prepare_operations(server, folder, count)
        for operation, requests in operations(server, count).items():
            path = write_requests(folder, f"op-{server.port}", requests)
            for connections in (1, 16, 64) if ours else (16,):
                title = f"{operation}, {connections} connection{'s' if connections > 1 else ''}"
                try:
                    m = rig.load(server, path, connections, seconds, 0)
                except RuntimeError as error:
                    row("Other operations", title, name, f"not supported ({str(error)[:60].strip()})",
                        "", "", "")
                    break
                row("Other operations", title, name, f"{m['rate']:,.0f}", f"{m['p50']:,.0f}",
                    f"{m['p99']:,.0f}", f"{m['cpu_us']:.1f}")
        server.close()


# --- much data -----------------------------------------------------------------------------------------

BULK_PART = 4000  # requests prepared at a time


def load_items(server, folder, first, count):
    """Through BatchWriteItem; the seconds that the server took."""
    taken = 0.0
    for begin in range(first, first + count, BULK_PART * 25):
        end = min(begin + BULK_PART * 25, first + count)
        requests = [dynamodb(server, "BatchWriteItem", RequestItems={"bench": [
            {"PutRequest": {"Item": item(j, 400)}} for j in range(i, min(i + 25, end))]})
            for i in range(begin, end, 25)]
        path = write_requests(folder, "bulk", requests)
        taken += len(requests) / rig.load(server, path, 32, 0, 0)["rate"]
    return taken


def scan_table(server):
    """All pages, COUNT: (items, seconds, CPU seconds)."""
    db, start, count = server.api("dynamodb"), {}, 0
    cpu, began = rig.cpu_seconds(tree(server.process.pid)), time.monotonic()
    while True:
        page = db.scan(TableName="bench", Select="COUNT", **start)
        count += page["Count"]
        if "LastEvaluatedKey" not in page:
            break
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}
    return count, time.monotonic() - began, rig.cpu_seconds(tree(server.process.pid)) - cpu


def point_latency(server, folder, seconds, items):
    """p50 of GetItem and PutItem over random keys, one connection, microseconds."""
    import random
    numbers = [random.randrange(items) for _ in range(POINTS)]
    gets = [dynamodb(server, "GetItem", TableName="bench", Key=key_of(i)) for i in numbers]
    puts = [dynamodb(server, "PutItem", TableName="bench", Item=item(i, 400)) for i in numbers]
    return [median([rig.load(server, write_requests(folder, "point", r), 1, seconds, 0)
                    for _ in range(ROUNDS)])["p50"] for r in (gets, puts)]


def section_bulk(seconds, folder, items=1_000_000):
    """Loading 1,000,000 items, scanning them, memory; point operations among few and many items."""
    title = "Much data"
    with rig.Cirrus("--loops", "2") as server:
        make_table(server, "bench")
        load_items(server, folder, 0, 10_000)
        few = point_latency(server, folder, seconds, 10_000)
        taken = load_items(server, folder, 10_000, items - 10_000)
        row(title, f"BatchWriteItem, {items:,} items of 400 B, 32 connections",
            f"{(items - 10_000) / taken:,.0f} items/s")
        count, wall, cpu = scan_table(server)
        row(title, f"Scan of {count:,} items, COUNT, one client", f"{count / wall:,.0f} items/s")
        row(title, "Scan, by the server's CPU time", f"{count / max(cpu, 1e-9):,.0f} items/s")
        many = point_latency(server, folder, seconds, items)
        for name, a, b in zip(("GetItem", "PutItem"), few, many):
            row(title, f"{name} p50, 10,000 and {items:,} items, 1 connection",
                f"{a:,.0f} and {b:,.0f} us: {b / a:.2f} times")
        row(title, "memory after all that (PSS; cache 64 MiB, write buffers 3 x 16 MiB)",
            f"{pss_mib(tree(server.process.pid)):.1f} MiB")


# --- the page ---------------------------------------------------------------------------------------------

HEADS = {"Start": ("what", "figure"), "Much": ("what", "figure"), "Functions": ("what", "figure"),
         "Invoke": ("what", "calls/s", "p50 us", "p99 us"),
         "Invoke after idleness": ("what", "calls", "p50 us", "p99 us"),
         "Latency": ("what", "requests/s", "p50 us", "p99 us", "CPU us/request"),
         "Other": ("what", "server", "requests/s", "p50 us", "p99 us", "CPU us/request")}
HEAD_ITEMS = ("server", "requests/s", "of floor", "p50 us", "p99 us", "CPU us/request")


def render(note):
    """title -> its table, the note (when and how it was made) below the title"""
    tables = {}
    for title, table in rows.items():
        head = HEADS.get(title) or HEADS.get(title.split()[0], HEAD_ITEMS)
        lines = [f"### {title}", "", note, "", "| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
        lines += ["| " + " | ".join(cells) + " |" for cells in table]
        tables[title] = "\n".join(lines)
    return tables


SECTIONS = {"start": section_start, "items": section_items, "operations": section_operations,
            "bulk": section_bulk, "invoke": functions.section, "idle": idle.section}


def note_of_run():
    with open("/proc/cpuinfo", encoding="ascii") as f:
        model = re.search(r"model name\s*:\s*(.*)", f.read())
    return (f"`make bench BENCH=\"{' '.join(a for a in sys.argv[1:] if a != '--write')}\"` on "
            f"{datetime.date.today().isoformat()}: {os.cpu_count()} cores "
            f"({model.group(1) if model else 'unknown'}), Linux {os.uname().release}.")


def write_page(tables):
    """Puts the tables in the places of their older ones; those of other sections stay."""
    path = os.path.join(rig.ROOT, "docs", "benchmarks.md")
    with open(path, encoding="utf-8") as f:
        head, mark, old = f.read().partition("<!-- table -->")
    parts = re.split(r"(?m)^(?=### )", old)[1:]
    page = {part.splitlines()[0][4:]: part.strip() for part in parts}
    before = None
    for title, table in tables.items():
        if title not in page:  # behind the one that it came after
            order = list(page)
            order.insert(order.index(before) + 1 if before in page else len(order), title)
            page = {t: page.get(t) for t in order}
        page[title] = table
        before = title
    with open(path, "w", encoding="utf-8") as f:
        f.write(head + mark + "\n\n" + "\n\n".join(page.values()) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=int, default=3, help="of each round [3]")
    parser.add_argument("--only", default=",".join(SECTIONS), help="sections: " + ",".join(SECTIONS))
    parser.add_argument("--large", action="store_true",
                        help="the section bulk with 10,000,000 items (10 GB of disk, half an hour)")
    parser.add_argument("--cold", type=int, default=500,
                        help="cold starts of each kind in the section invoke [500]")
    parser.add_argument("--idle", type=int, default=20, help="calls behind each pause in the section "
                        "idle [20]; 500 are 40 minutes")
    parser.add_argument("--write", action="store_true", help="put the table into docs/benchmarks.md")
    arguments = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="cirrus-bench-")
    try:
        for name in arguments.only.split(","):
            began = time.monotonic()
            say(f"{name}: {SECTIONS[name].__doc__}")
            more = {"items": 10_000_000} if name == "bulk" and arguments.large else {}
            more.update({"count": arguments.cold} if name == "invoke" else {})
            more.update({"count": arguments.idle} if name == "idle" else {})
            SECTIONS[name](arguments.seconds, folder, **more)
            say(f"  {time.monotonic() - began:.0f} s")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    tables = render(note_of_run())
    print("\n\n".join(tables.values()))
    if arguments.write:
        write_page(tables)


if __name__ == "__main__":
    main()
