#!/usr/bin/python3
"""Runs the fuzzers, as many at once as there are processors; ends with "N passed, N failed".

    tools/fuzz.py SECONDS "ONLY" test/LAYER/fuzz_NAME.c ...

The program of test/LAYER/fuzz_NAME.c is build/fuzz/NAME, its seeds are in test/LAYER/corpus/NAME. What it
finds out is kept in build/fuzz/found/NAME, crashing input as build/fuzz/crash/NAME-*.
"""
import concurrent.futures
import os
import re
import subprocess
import sys


def run(source, seconds):
    """(name, True when nothing was found, a line or the end of its log)"""
    name = os.path.basename(source)[len("fuzz_"):-len(".c")]
    found = f"build/fuzz/found/{name}"
    os.makedirs(found, exist_ok=True)
    seeds = os.path.join(os.path.dirname(source), "corpus", name)
    command = [f"build/fuzz/{name}", f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=2048",
               "-max_len=65536", f"-artifact_prefix=build/fuzz/crash/{name}-", "-print_final_stats=1",
               "-verbosity=0", found] + ([seeds] if os.path.isdir(seeds) else [])
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
    log = done.stdout.decode(errors="replace")
    with open(f"build/fuzz/{name}.log", "w", encoding="utf-8") as f:
        f.write(log)
    if done.returncode != 0:
        return name, False, f"FAIL {name}: exit status {done.returncode}\n" + "\n".join(log.splitlines()[-40:])
    count = re.search(r"^stat::number_of_executed_units: *(\d+)", log, re.M)
    return name, True, f"{name}: {count.group(1) if count else '?'} inputs"


def main():
    seconds, only, sources = sys.argv[1], sys.argv[2].split(), sys.argv[3:]
    if only:
        sources = [s for s in sources if os.path.basename(s)[len("fuzz_"):-len(".c")] in only]
    os.makedirs("build/fuzz/crash", exist_ok=True)
    good = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for future in concurrent.futures.as_completed([pool.submit(run, s, seconds) for s in sources]):
            _, fine, text = future.result()
            good += fine
            print(text, flush=True)
    print(f"{good} passed, {len(sources) - good} failed")
    sys.exit(good != len(sources) or not sources)


if __name__ == "__main__":
    main()
