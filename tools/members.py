#!/usr/bin/python3
"""Writes docs/members-dynamodb.md: where each member of each input is put to the test.

    tools/members.py             writes the page
    tools/members.py --check     exit status 1 when a member has no case, or when the page lists
                                 other members or files (lines may have moved)

Members come from the models of dynamodb and dynamodbstreams, for every operation that has a
handler; cases are the requests of test/services/dynamodb/wire/*.txt. A path names lists as [] and
maps as {}; attribute values are the same in all inputs, so their members are listed once, as those
of the shape. That leaving the member out changes an answer, the unit test dynamodb.members shows,
for each row of the page.
"""
import glob
import json
import os
import re
import sys

import coverage

ROOT = coverage.ROOT
PAGE = "docs/members-dynamodb.md"
FOLDER = os.path.join(ROOT, "src/services/dynamodb")
SERVICES = {"dynamodb": "", "dynamodbstreams": "Streams."}
ONCE = "AttributeValue"
PLACES = 3
REFUSED = re.compile(r"^< 501 .*\"message\":\"([\w.]+) is not implemented")
REQUEST = re.compile(r"^>(?:\d+\.\.\d+)? (\S+) (.*)$")
LINE = re.compile(r":\d+")
FILLED = re.compile(r"\$\(([^*)]*)\*\d+\)")


def read_model(service):
    """({operation: input shape}, {shape: (kind, [(member, shape)])}), with the corrections."""
    operations, shapes, current = {}, {}, None
    for kind in ("model", "override"):
        path = os.path.join(FOLDER, f"{service}.{kind}")
        for line in open(path, encoding="utf-8"):
            words = line.split()
            if not words or words[0] == "#":
                continue
            if not line.startswith(" "):
                current = None
                if words[0] == "operation":
                    found = re.search(r"\bin=(\S+)", line)
                    operations[words[1]] = found and found.group(1)
                elif words[0] in ("structure", "list", "map"):
                    current = shapes.setdefault(words[1], (words[0], {}))[1]
            elif current is not None and words[0] not in ("pattern", "enum"):
                current[words[0].rstrip("!")] = words[1]
    return operations, shapes


def paths_of(shapes, shape, before="", above=()):
    """Paths of all structure members at and below a shape."""
    if shape not in shapes or shape in above or (shape == ONCE and above):
        return
    kind, members = shapes[shape]
    for name, below in members.items():
        if kind == "structure":
            path = f"{before}.{name}" if before else name
            yield path
        elif name == "key":
            continue
        else:
            path = before + ("[]" if kind == "list" else "{}")
        yield from paths_of(shapes, below, path, above + (shape,))


def used_in(shapes, shape, value, before=""):
    """Paths that a request uses, those of attribute values with a `!` before."""
    if shape not in shapes or value is None:
        return
    kind, members = shapes[shape]
    if shape == ONCE:
        before = "!"
    if kind == "structure" and isinstance(value, dict):
        for name, below in members.items():
            if value.get(name) is not None:
                path = f"{before}.{name}" if before else name
                yield path
                yield from used_in(shapes, below, value[name], path)
    elif kind == "list" and isinstance(value, list):
        for element in value:
            yield from used_in(shapes, members["member"], element, before + "[]")
    elif kind == "map" and isinstance(value, dict):
        for element in value.values():
            yield from used_in(shapes, members["value"], element, before + "{}")


def requests():
    """(place, operation, decoded body, member that is refused) of every request that is JSON."""
    for path in sorted(glob.glob(os.path.join(ROOT, "test/services/dynamodb/wire/*.txt"))):
        lines = open(path, encoding="utf-8").read().split("\n")
        for number, (line, answer) in enumerate(zip(lines, lines[1:]), 1):
            found, refused = REQUEST.match(line), REFUSED.match(answer)
            if not found:
                continue
            try:
                body = json.loads(FILLED.sub(r"\1", found.group(2)))
            except ValueError:
                continue
            yield (f"{os.path.basename(path)}:{number}", found.group(1), body,
                   refused and refused.group(1))


def above(path):
    """Names of the members that a path goes through: a[].b.c gives a, a[].b."""
    return [path[:i].removesuffix("[]").removesuffix("{}")
            for i, c in enumerate(path) if c == "."]


def rows():
    """[(operation, path, [place])], in the order of the models."""
    done = coverage.handlers(FOLDER)
    cases, refusals, listed = {}, {}, []
    models = {service: read_model(service) for service in SERVICES}
    for place, operation, body, refused in requests():
        if refused:
            refusals.setdefault((operation, refused), place)
        service = "dynamodbstreams" if operation.startswith("Streams.") else "dynamodb"
        operations, shapes = models[service]
        shape = operations.get(operation.removeprefix("Streams."))
        for path in set(used_in(shapes, shape, body)):
            where = (ONCE, path[2:]) if path.startswith("!") else (operation, path)
            cases.setdefault(where, []).append(place)
    for service, prefix in SERVICES.items():
        operations, shapes = models[service]
        for operation in sorted(set(operations) & done):
            for path in paths_of(shapes, operations[operation]):
                listed.append((prefix + operation, path))
    listed += [(ONCE, path) for path in models["dynamodb"][1][ONCE][1]]
    found = []
    for operation, path in listed:
        places = cases.get((operation, path), [])
        for whole in above(path):
            if (operation, whole) in refusals:
                places = [f"refused with {whole}: {refusals[operation, whole]}"]
        found.append((operation, path, places))
    return found


def main():
    found = rows()
    lines = ["# Members of DynamoDB's inputs", "",
             "Written by `tools/members.py` from the models and the cases in",
             "`test/services/dynamodb/wire`; not edited by hand. The unit test `dynamodb.members` "
             "leaves each", "member out of one of its cases and expects another answer.", "",
             "| operation | member | cases |", "|---|---|---|"]
    missing = 0
    for operation, path, places in found:
        missing += not places
        lines.append(f"| {operation} | {path} | {', '.join(places[:PLACES]) or 'MISSING'} |")
    text = "\n".join(lines) + "\n"
    path = os.path.join(ROOT, PAGE)
    if "--check" not in sys.argv[1:]:
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        print(f"{len(found)} members, {missing} without a case")
        return 0
    for operation, member, places in found:
        if not places:
            print(f"{operation}: {member}: no case uses it")
    stale = not os.path.exists(path) or (
        LINE.sub("", open(path, encoding="utf-8").read()) != LINE.sub("", text))
    if stale:
        print(f"{PAGE} is out of date: run tools/members.py")
    return 1 if stale or missing else 0


if __name__ == "__main__":
    sys.exit(main())
