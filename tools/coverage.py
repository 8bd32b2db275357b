#!/usr/bin/python3
"""Writes docs/coverage.md: every operation of every service, done or not, and where it is tested.

    tools/coverage.py            writes the page
    tools/coverage.py --check    exit status 1 when the page is out of date, or when an operation
                                 with a handler is named in no test

Operations come from src/services/*/*.model and .override, handlers from the `struct operation_row` tables (read
behind the preprocessor, since tables may use macros), tests from where an operation is called: by
its name ("CreateTable"), its request line (POST /v2/apis), a command of the CLI (dynamodb create-table), a method of boto3
(.create_table()) or a command of the JavaScript SDK (CreateTableCommand).
"""
import glob
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PAGE = "docs/coverage.md"
TABLE = re.compile(r"struct\s+operation_row\s+\w+\s*\[[^]]*\]\s*=\s*\{(.*?)\}\s*;", re.S)
NAME = re.compile(r"\.name\s*=\s*\"(\w+)\"")


def routes(text):
    """{operation: pattern of its request line, None without one}, from a model's text."""
    found = {}
    for name, rest in re.findall(r"^operation (\w+)(.*)$", text, re.M):
        line = re.search(r"\b(GET|HEAD|POST|PUT|DELETE|PATCH) (/\S+)", rest)
        found[name] = None
        # one path for many operations, told apart by parameters and headers: by its name alone
        if "{Bucket}" in rest or "header=" in rest:
            continue
        if line and "{" in line.group(2) or line and len(line.group(2)) > 1:
            uri = line.group(2).partition("?")[0]
            parts = re.split(r"\{[^}]*\}", uri)
            found[name] = re.compile(r"\b%s %s(?=[ ?\"']|$)" % (
                line.group(1), r"[^/ ?\"']+".join(map(re.escape, parts))), re.M)
    return found


def models():
    """[(service, folder, {operation: request line})], by service."""
    found = []
    for path in sorted(glob.glob(os.path.join(ROOT, "src/services/*/*.model"))):
        text = open(path, encoding="utf-8").read()
        override = path[:-6] + ".override"
        if os.path.exists(override):
            text += open(override, encoding="utf-8").read()
        found.append((os.path.basename(path)[:-6], os.path.dirname(path), routes(text)))
    return found


def preprocessed(path):
    done = subprocess.run(["cc", "-E", "-P", "-std=gnu17", "-D_GNU_SOURCE", "-Isrc", "-I.",
                           "-Ibuild/gen", path], cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{path}: {done.stderr}")
    return done.stdout


def handlers(folder):
    names = set()
    for path in sorted(glob.glob(os.path.join(folder, "**/*.c"), recursive=True)):
        if "struct operation_row" not in open(path, encoding="utf-8").read():
            continue
        for table in TABLE.findall(preprocessed(path)):
            names |= set(NAME.findall(table))
    return names


def tests():
    """[(path, text)] of everything below test/ and examples/ that could name an operation."""
    found = []
    for kind in ("c", "py", "mjs", "js", "sh", "txt"):
        for top in ("test", "examples"):
            for path in sorted(glob.glob(os.path.join(ROOT, top, f"**/*.{kind}"), recursive=True)):
                if "node_modules" not in path and not path.endswith("aws/json.txt"):
                    found.append((os.path.relpath(path, ROOT),
                                  open(path, encoding="utf-8", errors="replace").read()))
    return found


def snake(name):
    name = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name)
    return re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", name).lower()


def tested_in(operation, route, folder, sources):
    """Files whose text calls the operation, in the form of any client, or names it in a string."""
    method = snake(operation)
    command, service = method.replace("_", "-"), os.path.basename(folder)
    pattern = re.compile(rf"\b{operation}Command\b|(?:[\"'.=]|^> ){operation}\b|\.{method}\(|"
                         rf"\b\w+[\"', ]+{command}(?![\w-])", re.M)
    # test/aws drives the gate with services of its own on real models: not the services' tests
    own = (f"test/services/{service}/", "test/e2e/", "examples/")
    return [path for path, text in sources if path.startswith(own) and
            (pattern.search(text) or (route and route.search(text)))]


def page():
    sources, lines, untested = tests(), [], []
    total = implemented = 0
    for service, folder, operations in models():
        done = handlers(folder) & set(operations)
        total += len(operations)
        implemented += len(done)
        lines += ["", f"## {service}: {len(done)} of {len(operations)}", ""]
        if done:
            lines += ["| operation | tested in |", "|---|---|"]
        for operation in sorted(done):
            paths = tested_in(operation, operations[operation], folder, sources)
            if not paths:
                untested.append(f"{service} {operation}")
            shown = ", ".join(f"`{p}`" for p in paths[:4]) + (" ..." if len(paths) > 4 else "")
            lines.append(f"| {operation} | {shown or '(none)'} |")
        missing = sorted(set(operations) - done)
        if missing:
            lines += ["", "Not implemented (501 `NotImplemented`): " + ", ".join(missing) + "."]
    head = ["# Operations", "",
            "Written by `tools/coverage.py` from the operation tables; not edited by hand.", "",
            f"{implemented} of {total} operations have a handler. All others answer 501 "
            "`NotImplemented` and name themselves."]
    return "\n".join(head + lines) + "\n", untested


def main():
    text, untested = page()
    path = os.path.join(ROOT, PAGE)
    if "--check" not in sys.argv[1:]:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return 0
    stale = not os.path.exists(path) or open(path, encoding="utf-8").read() != text
    if stale:
        print(f"{PAGE} is out of date: run tools/coverage.py")
    for name in untested:
        print(f"{name}: no test names it")
    return 1 if stale or untested else 0


if __name__ == "__main__":
    sys.exit(main())
