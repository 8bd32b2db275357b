#!/usr/bin/python3
"""The test command: runs the stages of the list in order and adds up what they count.

A stage is a make target whose output ends with "N passed, N failed" (", N skipped" may follow), or
that counts as one test by its exit status. Prints each stage's minutes as it ends; the last line is the
plain sum. Stages after a failed build are not run; all others are, whatever failed before. What failed is
said once more at the end, where a log that was cut still has it.

    tools/test.py STAGE=TARGET ...
"""
import collections
import os
import re
import subprocess
import sys
import time

FAILED = re.compile(r"^FAIL|: check failed|^[\w.]+: \S+:\d+: |: error: |^make\S*: \*\*\*|ERROR: \w+Sanitizer")
LINES_BEFORE, LINES_MAX = 12, 80  # of what failed, said again

COUNT = re.compile(r"^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$")


def run(target):
    """Runs `make TARGET`, passing its output on: (exit status, last count or None, lines about failures)."""
    count = None
    before = collections.deque(maxlen=LINES_BEFORE)
    failures = []
    process = subprocess.Popen(["make", "--no-print-directory", target], stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True,
                               errors="replace")
    passed = failed = skipped = 0
    for line in process.stdout:
        found = COUNT.match(line.strip())
        if found:
            count = True
            passed += int(found.group(1))
            failed += int(found.group(2))
            skipped += int(found.group(3) or 0)
        else:
            sys.stdout.write(line)
            sys.stdout.flush()
            before.append(line)
            if FAILED.search(line) and len(failures) < LINES_MAX:
                failures += before
                before.clear()
    status = process.wait()
    return status, (passed, failed, skipped) if count else None, failures or list(before)


def main():
    total = [0, 0, 0]
    times = []
    failures = []
    for stage in sys.argv[1:]:
        name, _, target = stage.partition("=")
        print(f"=== {name}", flush=True)
        started = time.monotonic()
        status, count, said = run(target)
        minutes = (time.monotonic() - started) / 60
        if count is None:
            count = (1, 0, 0) if status == 0 else (0, 1, 0)
        elif status != 0 and count[1] == 0:
            count = (count[0], 1, count[2])
        if count[1]:
            failures.append((name, said))
        times.append((name, minutes, count))
        for i in range(3):
            total[i] += count[i]
        print(f"=== {name}: {count[0]} ok, {count[1]} not, {minutes:.1f} minutes", flush=True)
        if target.startswith("build") and status != 0:
            break
    for name, said in failures:
        print(f"\n=== of what failed in {name}:\n" + "".join(said), end="")
    print("\nstage               minutes   passed   failed  skipped")
    for name, minutes, count in times:
        print(f"{name:18} {minutes:8.1f} {count[0]:8} {count[1]:8} {count[2]:8}")
    print(f"{'all':18} {sum(t[1] for t in times):8.1f}\n")
    tail = f", {total[2]} skipped" if total[2] else ""
    print(f"{total[0]} passed, {total[1]} failed{tail}", flush=True)
    sys.exit(1 if total[1] or not total[0] else 0)


if __name__ == "__main__":
    os.chdir(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    main()
