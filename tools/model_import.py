#!/usr/bin/python3
"""Imports the facts of a service model into src/services/<folder>/<service>.model.

    tools/model_import.py FOLDER [SERVICE...]

FOLDER is a botocore `data` folder (as published with the AWS SDK for Python). Without names, every
service below src/services that has a .model is imported again. Only facts are taken (names, types,
bounds, places on the wire, statuses): no documentation text. Output is deterministic, one fact a
line, so that a newer model shows as a readable diff. What the models leave out or get wrong stands
in <service>.override beside it, which this tool never touches.

The form of both files:

    service NAME PROTOCOL key=value ...
    operation NAME METHOD URI STATUS [in=SHAPE] [out=SHAPE] [readonly] [deprecated] [unsigned]
      error SHAPE
    structure NAME [error=STATUS] [code=CODE] [server] [union] [eventstream] [sensitive]
      MEMBER[!] SHAPE [in=LOCATION] [wire=NAME] [payload] [token] [time=FORMAT] [jsonvalue] [attribute]
    list NAME [min=N] [max=N] [flattened]
      member SHAPE [wire=NAME]
    map NAME [min=N] [max=N] [flattened]
      key SHAPE [wire=NAME]
      value SHAPE [wire=NAME]
    string|integer|long|float|double|boolean|blob|timestamp|document NAME [min=N] [max=N] [...]
      pattern TEXT TO THE END OF THE LINE
      enum TEXT TO THE END OF THE LINE
"""
import glob
import gzip
import json
import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LOCATIONS = {"uri": "uri", "querystring": "query", "header": "header", "headers": "headers",
             "statusCode": "status"}
TIMES = {"iso8601": "iso", "rfc822": "http", "unixTimestamp": "epoch"}
KNOWN_MEMBER = {"shape", "documentation", "location", "locationName", "deprecated",
                "deprecatedMessage", "deprecatedSince", "contextParam", "idempotencyToken", "box",
                "streaming", "jsonvalue", "timestampFormat", "flattened", "xmlNamespace", "enum",
                "eventpayload", "eventheader", "hostLabel", "sensitive", "xmlAttribute"}


def load(folder, service):
    versions = sorted(glob.glob(os.path.join(folder, service, "*", "service-2.json*")))
    if not versions:
        sys.exit(f"no model of {service} below {folder}")
    path = versions[-1]
    opener = gzip.open if path.endswith(".gz") else open
    with opener(path, "rt", encoding="utf-8") as f:
        return json.load(f)


def reachable(model):
    """Names of all shapes that an operation can reach."""
    todo, found = [], set()
    for operation in model["operations"].values():
        todo += [operation[k]["shape"] for k in ("input", "output") if k in operation]
        todo += [e["shape"] for e in operation.get("errors", [])]
    while todo:
        name = todo.pop()
        if name in found:
            continue
        found.add(name)
        shape = model["shapes"][name]
        todo += [m["shape"] for m in shape.get("members", {}).values()]
        todo += [shape[k]["shape"] for k in ("member", "key", "value") if k in shape]
    return found


def member_line(name, member, required, payload):
    unknown = set(member) - KNOWN_MEMBER
    if unknown:
        sys.exit(f"member {name}: unknown fact {sorted(unknown)}")
    line = [f"  {name}{'!' if required else ''}", member["shape"]]
    if "location" in member:
        line.append("in=" + LOCATIONS[member["location"]])
    if member.get("locationName", name) != name:
        line.append("wire=" + member["locationName"])
    if payload:
        line.append("payload")
    if member.get("idempotencyToken"):
        line.append("token")
    if "timestampFormat" in member:
        line.append("time=" + TIMES[member["timestampFormat"]])
    if member.get("jsonvalue"):
        line.append("jsonvalue")
    if member.get("xmlAttribute"):
        line.append("attribute")
    return " ".join(line)


def shape_lines(name, shape):
    kind = shape["type"]
    if kind == "character":
        kind = "string"
    line = [kind, name]
    # a structure with `document` is any JSON
    if shape.get("document"):
        line[0] = "document"
        return [" ".join(line)]
    if shape.get("exception"):
        error = shape.get("error", {})
        server = shape.get("fault") or error.get("fault")
        line.append(f"error={error.get('httpStatusCode', 500 if server else 400)}")
        if error.get("code", name) != name:
            line.append("code=" + error["code"])
        if server:
            line.append("server")
    for key in ("min", "max"):
        if key in shape:
            line.append(f"{key}={shape[key]}")
    for key in ("union", "eventstream", "event", "sensitive", "flattened", "streaming"):
        if shape.get(key):
            line.append(key)
    if "timestampFormat" in shape:
        line.append("time=" + TIMES[shape["timestampFormat"]])
    lines = [" ".join(line)]
    if "pattern" in shape:
        lines.append("  pattern " + shape["pattern"])
    lines += ["  enum " + value for value in shape.get("enum", [])]
    required = set(shape.get("required", []))
    for member, facts in shape.get("members", {}).items():
        facts = dict(facts)
        if "timestampFormat" not in facts:
            target = SHAPES[facts["shape"]]
            if "timestampFormat" in target:
                facts["timestampFormat"] = target["timestampFormat"]
        if SHAPES[facts["shape"]]["type"] == "blob" and facts.pop("streaming", False):
            SHAPES[facts["shape"]]["streaming"] = True
        lines.append(member_line(member, facts, member in required, shape.get("payload") == member))
    for key in ("member", "key", "value"):
        if key in shape:
            lines.append(member_line(key, shape[key], False, False))
    return lines


def protocol_of(metadata):
    name = metadata.get("protocols", [metadata["protocol"]])[0]
    name = metadata["protocol"] if name not in ("json", "rest-json", "rest-xml", "query") else name
    if name == "json":
        return "json-" + metadata["jsonVersion"]
    if name in ("rest-json", "rest-xml", "query"):
        return name
    sys.exit(f"protocol {name} is not known")


def operation_lines(name, operation):
    http = operation["http"]
    line = ["operation", name, http["method"], http["requestUri"],
            str(http.get("responseCode", 200))]
    for key, facts in (("in", operation.get("input")), ("out", operation.get("output"))):
        if facts:
            line.append(f"{key}={facts['shape']}")
    if operation.get("readonly"):
        line.append("readonly")
    if operation.get("deprecated"):
        line.append("deprecated")
    if operation.get("authtype") == "none" or operation.get("auth") == ["smithy.api#noAuth"]:
        line.append("unsigned")
    lines = [" ".join(line)]
    errors = [e["shape"] for e in operation.get("errors", [])]
    return lines + ["  error " + e for e in errors]


def flatten_members(shapes):
    """A list that is flat as one structure's member only becomes a shape of its own."""
    for shape in list(shapes.values()):
        for member in shape.get("members", {}).values():
            target = shapes[member["shape"]]
            if member.get("flattened") and not target.get("flattened"):
                name = member["shape"] + "Flattened"
                shapes[name] = dict(target, flattened=True)
                member["shape"] = name


def convert(service, model):
    global SHAPES
    SHAPES = model["shapes"]
    flatten_members(SHAPES)
    metadata = model["metadata"]
    line = ["service", service, protocol_of(metadata),
            "signing=" + metadata.get("signingName", metadata["endpointPrefix"]),
            "version=" + metadata["apiVersion"]]
    if "targetPrefix" in metadata:
        line.append("target=" + metadata["targetPrefix"])
    if "xmlNamespace" in metadata:
        space = metadata["xmlNamespace"]
        line.append("xmlns=" + (space["uri"] if isinstance(space, dict) else space))
    out = [f"# Facts of the service {service}, written by tools/model_import.py from its published "
           f"model.", f"# Not edited by hand: corrections stand in {service}.override.",
           " ".join(line)]
    for name in sorted(model["operations"]):
        out += operation_lines(name, model["operations"][name])
    shapes = sorted(reachable(model))
    for name in shapes:  # a first pass, because members mark streaming blobs
        shape_lines(name, SHAPES[name])
    for name in shapes:
        out += shape_lines(name, SHAPES[name])
    for text in out:
        if "\n" in text:
            sys.exit(f"{service}: a fact with a line break: {text!r}")
    return "\n".join(out) + "\n"


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    folder, services = sys.argv[1], sys.argv[2:]
    if not services:
        services = [os.path.basename(p)[:-6] for p in
                    sorted(glob.glob(os.path.join(ROOT, "src/services/*/*.model")))]
    for service in services:
        known = glob.glob(os.path.join(ROOT, "src/services/*", service + ".model"))
        path = known[0] if known else os.path.join(
            ROOT, "src/services", service, service + ".model")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        text = convert(service, load(folder, service))
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        print(f"{path}: {text.count(chr(10))} facts")


if __name__ == "__main__":
    main()
