#!/usr/bin/python3
"""Draws where the processor time of GetItem and PutItem goes: docs/flame-getitem.svg, docs/flame-putitem.svg.

    make flames            (root, or kernel.perf_event_paranoid <= 1)

The load is that of bench/run.py: signed requests, 64 connections, one loop, as fast as it answers.
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.request

import rig
import run

SECONDS, HERTZ = 8, 997


def draw(server, requests, title, path):
    """Records all threads of the worker under load, and draws them."""
    data = requests + ".perf"
    # Only the worker: the launcher sees other mounts, and perf would look for our symbols there.
    with urllib.request.urlopen(server.endpoint + "/_cirrus/health", timeout=10) as page:
        worker = str(json.load(page)["worker_pid"])
    recorder = subprocess.Popen(["perf", "record", "-q", "-e", "cpu-clock", "-F", str(HERTZ), "-g", "-o", data,
                                 "-p", worker, "--", "sleep", str(SECONDS)])
    figures = rig.wrk(server, requests, 64, SECONDS + 1)
    if recorder.wait(timeout=60):
        sys.exit("perf could not record")
    script = subprocess.run(["perf", "script", "-i", data], capture_output=True, check=True)
    svg = subprocess.run([sys.executable, os.path.join(rig.ROOT, "tools", "flame.py"), title],
                         input=script.stdout, capture_output=True, check=True)
    with open(path, "wb") as f:
        f.write(svg.stdout)
    print(f"{path}: {figures['rate']:,.0f} requests/s, {figures['cpu_us']:.1f} us of processor each")


def main():
    folder = tempfile.mkdtemp(prefix="cirrus-flames-")
    try:
        with rig.Cirrus("--loops", "1") as server:
            run.make_table(server, "bench")
            for operation in ("PutItem", "GetItem"):
                requests = run.requests_of(server, folder, operation, run.ITEMS)
                rig.load(server, requests, 64, 0, 0)  # every key once
                name = f"flame-{operation.lower()}.svg"
                draw(server, requests, f"{operation} of 1 KB, 64 connections, one loop",
                     os.path.join(rig.ROOT, "docs", name))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
