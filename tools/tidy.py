#!/usr/bin/python3
"""Style as a program (STYLE 27): the layer law, banned calls, size limits, headers, formatting.

Prints one line per finding, "path:line: rule: text", and ends with "N files, M findings".
Exit status 1 when there are findings. Run by `make tidy` and the test command.
"""
import os
import re
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

# A layer may include itself and what is listed. Siblings (http, kv, blob, sandbox) do not meet.
LAYERS = {
    "base": ["base"],
    "rt": ["base", "rt"],
    "http": ["base", "rt", "http"],
    "kv": ["base", "rt", "kv"],
    "blob": ["base", "rt", "blob"],
    "sandbox": ["base", "rt", "sandbox"],
    "aws": ["base", "rt", "http", "kv", "blob", "sandbox", "aws"],
}
BELOW_SERVICES = LAYERS["aws"]
BANNED = {
    r"\b(strcpy|strcat|sprintf|vsprintf|strtok|atoi|atol|atoll|rand|srand|gets)\s*\(": "banned call",
    r"\b(gettimeofday|usleep)\s*\(": "banned call: use rt's clock and timers",
}
MALLOC = re.compile(r"(?<![\w.>])(malloc|calloc|realloc|strdup|strndup)\s*\(")
SLEEP = re.compile(r"(?<![\w.>])sleep\s*\(")
ROCKS = re.compile(r"\brocksdb_\w+\s*\(|rocksdb/c\.h")
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"')
# Words of the workplace, never of the project.
MACHINE = re.compile(r"/work/|/root/\.pyenv")
LINES_MAX = 1000
COLUMNS_MAX = 100

findings = []


def find(path, line, rule, text=""):
    findings.append(f"{path}:{line}: {rule}" + (f": {text.strip()[:80]}" if text else ""))


def files():
    listed = subprocess.run(["git", "-C", ROOT, "ls-files", "-co", "--exclude-standard"],
                            capture_output=True, text=True, check=True).stdout.split("\n")
    return [f for f in listed if f and os.path.isfile(os.path.join(ROOT, f))]


def strip_comments(text):
    """Blanks comments and string contents, keeping line structure."""
    out, i, n = [], 0, len(text)
    while i < n:
        two = text[i:i + 2]
        if two == "/*":
            end = text.find("*/", i + 2)
            end = n if end < 0 else end + 2
            out.append(re.sub(r"[^\n]", " ", text[i:end]))
            i = end
        elif two == "//":
            end = text.find("\n", i)
            end = n if end < 0 else end
            out.append(" " * (end - i))
            i = end
        elif text[i] == '"':
            j = i + 1
            while j < n and text[j] != '"' and text[j] != "\n":
                j += 2 if text[j] == "\\" else 1
            out.append('"' + " " * (min(j, n) - i - 1) + '"')
            i = j + 1
        else:
            out.append(text[i])
            i += 1
    return "".join(out)


def layer_of(path):
    parts = path.split("/")
    if parts[0] != "src" or len(parts) < 3:
        return None
    return "services/" + parts[2] if parts[1] == "services" else parts[1]


def allowed(layer, target):
    top = target.split("/")[0]
    if layer == "server":
        return True
    if top == "services":
        return layer == "services/" + target.split("/")[1]
    if layer.startswith("services/"):
        return top in BELOW_SERVICES
    return top in LAYERS[layer]


def check_c(path, text):
    layer = layer_of(path)
    code = strip_comments(text)
    raw_lines = text.split("\n")
    lines = code.split("\n")
    if len(raw_lines) > LINES_MAX and not path.endswith(".def"):
        find(path, len(raw_lines), f"longer than {LINES_MAX} lines: look for the second idea")
    if not text.lstrip().startswith("/*"):
        find(path, 1, "no opening comment")
    for number, (line, raw) in enumerate(zip(lines, raw_lines), 1):
        if len(raw.expandtabs(8)) > COLUMNS_MAX and '"' not in raw and "http" not in raw:
            find(path, number, f"wider than {COLUMNS_MAX} columns", raw)
        # programs/ are what runs inside containers, hostile on purpose and without our libraries.
        banned = {} if "/programs/" in path else BANNED
        for pattern, rule in banned.items():
            if re.search(pattern, line):
                find(path, number, rule, raw)
        if layer:
            include = INCLUDE.match(raw)
            if include:
                target = include.group(1)
                if "/" not in target:
                    if os.path.exists(os.path.join(ROOT, os.path.dirname(path), target)):
                        find(path, number, "include by full path from src/", raw)
                elif os.path.exists(os.path.join(ROOT, "src", target)) and not allowed(layer, target):
                    find(path, number, "layer law", raw)
            if layer != "base" and MALLOC.search(line):
                find(path, number, "malloc outside base/", raw)
            if SLEEP.search(line):
                find(path, number, "banned call", raw)
            if layer != "kv" and ROCKS.search(raw):
                find(path, number, "rocksdb outside kv/", raw)


def check_format(paths):
    tool = shutil.which("clang-format")
    if not tool:
        find("tools/tidy.py", 1, "clang-format is not installed")
        return
    for at in range(0, len(paths), 50):
        done = subprocess.run([tool, "--dry-run", "-Werror"] + paths[at:at + 50], cwd=ROOT,
                              capture_output=True, text=True)
        for line in done.stderr.split("\n"):
            found = re.match(r"([^:]+):(\d+):\d+: error: code should be clang-formatted", line)
            if found:
                find(found.group(1), found.group(2), "not formatted (make format)")


def main():
    listed = files()
    c_files = []
    for path in listed:
        try:
            with open(os.path.join(ROOT, path), encoding="utf-8") as f:
                text = f.read()
        except UnicodeDecodeError:
            continue
        if path != "tools/tidy.py" and MACHINE.search(text):
            line = next(i for i, l in enumerate(text.split("\n"), 1) if MACHINE.search(l))
            find(path, line, "names a path of one machine")
        if path.endswith((".c", ".h")):
            c_files.append(path)
            check_c(path, text)
    check_format(c_files)
    for finding in findings:
        print(finding)
    print(f"{len(c_files)} files, {len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
