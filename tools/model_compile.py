#!/usr/bin/python3
"""Compiles the facts of services into const C tables (src/aws/model.h says what they mean).

    tools/model_compile.py --list OUT.c SERVICE...                the table of all models
    tools/model_compile.py OUT.c SERVICE.model [SERVICE.override]

The form of both inputs is told in tools/model_import.py. In an override a line about something that
exists changes what it names and keeps the rest:

    service NAME key=value            sets service facts
    string NAME max=255 -min          sets and removes
      pattern TEXT / -pattern         replaces or removes; `enum` lines replace all values
    structure NAME
      Member! Shape ...               adds or replaces; `-Member` removes

Facts of an override alone: `operation NAME header=NAME` (it is meant only when the request has that
header), `structure NAME root=ELEMENT` (of the XML that it is) and `unwrapped` (its one member is the
root element's text).

Service facts beyond the importer's: validation=CODE serialization=CODE (names of errors),
access-status=N (status of refused access), action=PREFIX (of IAM actions), type-prefix=TEXT (of
__type), crc32 (answers carry x-amz-crc32).

Nothing beyond Python's standard library. Deterministic. Patterns that tools/pattern.py cannot
express, unknown words and references to missing shapes are errors.
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pattern  # noqa: E402

KINDS = ["structure", "list", "map", "string", "integer", "long", "float", "double", "boolean",
         "blob", "timestamp", "document"]
SHAPE_FLAGS = {"union": "SHAPE_UNION", "streaming": "SHAPE_STREAMING", "eventstream": "SHAPE_EVENTS",
               "sensitive": "SHAPE_SENSITIVE", "flattened": "SHAPE_FLATTENED", "event": None,
               "server": None, "unwrapped": "SHAPE_UNWRAPPED"}
SHAPE_KEYS = {"min", "max", "error", "code", "time", "root"}
MEMBER_KEYS = {"in", "wire", "time"}
MEMBER_FLAGS = {"payload": "MEMBER_PAYLOAD", "token": "MEMBER_TOKEN",
                "jsonvalue": "MEMBER_JSON_HEADER", "attribute": "MEMBER_ATTRIBUTE"}
TIME_FLAGS = {"iso": "MEMBER_TIME_ISO", "http": "MEMBER_TIME_HTTP", "epoch": "MEMBER_TIME_EPOCH"}
OPERATION_FLAGS = {"readonly": "OPERATION_READONLY", "deprecated": "OPERATION_DEPRECATED",
                   "unsigned": "OPERATION_UNSIGNED"}
SERVICE_KEYS = {"signing", "version", "target", "xmlns", "validation", "serialization",
                "access-status", "action", "type-prefix", "crc32"}
PROTOCOLS = {"json-1.0": "PROTOCOL_JSON_10", "json-1.1": "PROTOCOL_JSON_11",
             "rest-json": "PROTOCOL_REST_JSON", "rest-xml": "PROTOCOL_REST_XML",
             "query": "PROTOCOL_QUERY"}


class Shape:
    def __init__(self, kind, name):
        self.kind, self.name, self.facts, self.members = kind, name, {}, {}
        self.pattern, self.enum = None, []


class Service:
    def __init__(self):
        self.name, self.protocol, self.facts = None, None, {}
        self.operations, self.shapes = {}, {}


class Reader:
    """Reads one file into a Service; a second file changes what the first said."""

    def __init__(self, service):
        self.service, self.where = service, ""
        self.current, self.enum_seen, self.errors_seen = None, False, False

    def fail(self, text):
        sys.exit(f"{self.where}: {text}")

    def read(self, path):
        with open(path, encoding="utf-8") as f:
            for number, line in enumerate(f, 1):
                self.where, line = f"{path}:{number}", line.rstrip("\n")
                if not line.strip() or line.startswith("#"):
                    continue
                if line.startswith("  "):
                    self.nested(line[2:])
                else:
                    self.top(line.split())

    def facts_into(self, facts, words, keys, flags):
        for word in words:
            key, equals, value = word.partition("=")
            if equals and key in keys:
                facts[key] = value
            elif not equals and word.startswith("-") and (word[1:] in keys or word[1:] in flags):
                facts.pop(word[1:], None)
            elif not equals and (word in flags or word in keys):
                facts[word] = True
            else:
                self.fail(f"unknown word {word!r}")

    def top(self, words):
        self.enum_seen = self.errors_seen = False
        kind, name = words[0], words[1]
        if kind == "service":
            self.service.name, rest = name, words[2:]
            if rest and rest[0] in PROTOCOLS:
                self.service.protocol, rest = rest[0], rest[1:]
            self.facts_into(self.service.facts, rest, SERVICE_KEYS, {})
            self.current = None
        elif kind == "operation":
            operation = self.service.operations.setdefault(name, {"name": name, "errors": []})
            rest = words[2:]
            if rest and "=" not in rest[0] and rest[0].isupper():
                operation["method"], operation["uri"], operation["status"] = rest[:3]
                rest = rest[3:]
            self.facts_into(operation, rest, {"in", "out", "header"}, OPERATION_FLAGS)
            self.current = operation
        elif kind in KINDS:
            shape = self.service.shapes.get(name)
            if shape is None:
                shape = self.service.shapes[name] = Shape(kind, name)
            if shape.kind != kind:
                self.fail(f"{name} is a {shape.kind}")
            self.facts_into(shape.facts, words[2:], SHAPE_KEYS, SHAPE_FLAGS)
            self.current = shape
        else:
            self.fail(f"unknown word {kind!r}")

    def nested(self, line):
        at, word = self.current, line.split(" ", 1)[0]
        if isinstance(at, dict):
            if word != "error":
                self.fail(f"unknown word {word!r}")
            if not self.errors_seen:
                at["errors"], self.errors_seen = [], True
            at["errors"].append(line.split()[1])
        elif at is None:
            self.fail("a nested line without a place")
        elif at.kind in ("structure", "list", "map"):
            self.member(at, line.split())
        elif word == "pattern":
            at.pattern = line.split(" ", 1)[1]
        elif word == "-pattern":
            at.pattern = None
        elif word == "enum":
            if not self.enum_seen:
                at.enum, self.enum_seen = [], True
            at.enum.append(line.split(" ", 1)[1])
        elif word == "-enum":
            at.enum = []
        else:
            self.fail(f"unknown word {word!r}")

    def member(self, shape, words):
        if words[0].startswith("-"):
            if not shape.members.pop(words[0][1:], None):
                self.fail(f"no member {words[0][1:]}")
            return
        name, facts = words[0].rstrip("!"), {"required": words[0].endswith("!"), "shape": words[1]}
        self.facts_into(facts, words[2:], MEMBER_KEYS, MEMBER_FLAGS)
        shape.members[name] = facts


def targets(shape):
    return [m["shape"] for m in shape.members.values()]


def reach(service, names):
    todo, found = list(names), set()
    while todo:
        name = todo.pop()
        if name in found:
            continue
        if name not in service.shapes:
            sys.exit(f"{service.name}: no shape {name}")
        found.add(name)
        todo += targets(service.shapes[name])
    return found


class Pool:
    """Things that are stored once and known by number."""

    def __init__(self, first=()):
        self.items, self.numbers = list(first), {}

    def add(self, item, key=None):
        key = item if key is None else key
        if key not in self.numbers:
            self.numbers[key] = len(self.items)
            self.items.append(item)
        return self.numbers[key]


class Strings:
    def __init__(self):
        self.at, self.bytes = {}, bytearray()

    def add(self, text):
        if text not in self.at:
            data = text.encode()
            if len(data) > 0xffff:
                sys.exit("a string longer than 65,535 bytes")
            self.at[text] = len(self.bytes)
            self.bytes += bytes([len(data) & 255, len(data) >> 8]) + data
        return self.at[text]


class Flat:
    """Arrays of numbers in which equal parts are stored once."""

    def __init__(self):
        self.values, self.at = [], {}

    def add(self, part):
        part = tuple(part)
        if part not in self.at:
            self.at[part] = len(self.values)
            self.values += part
        return self.at[part]


def c_string(data):
    lines, line = [], ""
    for byte in data:
        c = chr(byte)
        if c in '"\\' or not 32 <= byte < 127 or c == "?":
            line += f"\\{byte:03o}"
        else:
            line += c
        if len(line) >= 90:
            lines.append(f'\t"{line}"')
            line = ""
    return "\n".join(lines + [f'\t"{line}"'])


def c_numbers(values):
    lines = []
    for at in range(0, len(values), 16):
        lines.append("\t" + ", ".join(str(v) for v in values[at:at + 16]) + ",")
    return "\n".join(lines) or "\t0,"


class Compiler:
    def __init__(self, service):
        self.service, self.strings = service, Strings()
        self.strings.add("")
        self.constraints = Pool(["{.flags = 0}"])
        self.patterns, self.enums = Pool(["{.text = 0}"]), Flat()
        self.transitions, self.classes, self.ranges = Flat(), Flat(), Flat()
        self.accepting, self.alphabets = Flat(), Pool()

    def order(self):
        operations = self.service.operations.values()
        inputs = [o["in"] for o in operations if "in" in o]
        rest = [o["out"] for o in operations if "out" in o]
        rest += [e for o in operations for e in o["errors"]]
        # errors that only the override knows
        rest += [s.name for s in self.service.shapes.values() if "error" in s.facts]
        self.inputs = reach(self.service, inputs)
        names = sorted(self.inputs | reach(self.service, rest))
        self.number = {name: i for i, name in enumerate(names, 1)}
        return [self.service.shapes[name] for name in names]

    def pattern(self, text):
        if text in self.patterns.numbers:
            return self.patterns.numbers[text]
        try:
            machine = pattern.compile_pattern(text)
        except pattern.PatternError as error:
            sys.exit(f"{self.service.name}: {error}")
        ascii_classes, wide, cls = [], [], 0
        edges = dict(machine.ranges)
        for code in range(128):
            cls = edges.get(code, cls)
            ascii_classes.append(cls)
        for first, number in machine.ranges:
            if first >= 128:
                wide += [first, number]
        flat = [0xffff if t is None else t for row in machine.table for t in row]
        bits = bytearray((len(machine.table) + 7) // 8)
        for state, accepts in enumerate(machine.accepting):
            bits[state // 8] |= accepts << state % 8
        alphabet = self.alphabets.add(
            f"{{{self.classes.add(ascii_classes)}, {self.ranges.add(wide) // 2 if wide else 0}, "
            f"{len(wide) // 2}, {cls}}}")
        row = (f"{{{self.strings.add(text)}, {self.transitions.add(flat)}, "
               f"{self.accepting.add(bits)}, {len(machine.table)}, {machine.class_count}, "
               f"{alphabet}}}")
        return self.patterns.add(row, text)

    def constraint(self, shape):
        if shape.name not in self.inputs:
            return 0
        flags, parts = [], []
        field = "d" if shape.kind in ("float", "double") else "i"
        for key in ("min", "max"):
            if key in shape.facts:
                value = shape.facts[key]
                value = repr(float(value)) if field == "d" else f"INT64_C({int(value)})"
                flags.append("CONSTRAINT_" + key.upper())
                parts.append(f".{key}.{field} = {value}")
        if shape.pattern is not None:
            flags.append("CONSTRAINT_PATTERN")
            parts.append(f".pattern = {self.pattern(shape.pattern)}")
        if shape.enum:
            flags.append("CONSTRAINT_ENUM")
            first = self.enums.add(self.strings.add(v) for v in shape.enum)
            parts.append(f".enum_first = {first}, .enum_count = {len(shape.enum)}")
        if not flags:
            return 0
        return self.constraints.add("{" + ", ".join(parts) + ", .flags = " + " | ".join(flags) + "}")

    def constrained(self, shapes):
        """Names of shapes that can fail validation, themselves or below."""
        found = {s.name for s in shapes if s.name in self.inputs and
                 ("min" in s.facts or "max" in s.facts or s.pattern is not None or s.enum or
                  s.kind in ("list", "map") or any(m["required"] for m in s.members.values()))}
        while True:
            more = {s.name for s in shapes if s.name not in found and
                    any(t in found for t in targets(s)) and s.name in self.inputs}
            if not more:
                return found
            found |= more

    def member(self, shape, name, facts):
        flags = ["MEMBER_REQUIRED"] if facts["required"] else []
        flags += [flag for key, flag in MEMBER_FLAGS.items() if facts.get(key)]
        time = facts.get("time", self.service.shapes[facts["shape"]].facts.get("time"))
        if time:
            flags.append(TIME_FLAGS[time])
        location = "LOCATION_" + facts.get("in", "body").upper()
        return (f"{{{self.strings.add(name)}, {self.strings.add(facts.get('wire', name))}, "
                f"{self.number[facts['shape']]}, {location}, {' | '.join(flags) or 0}}}")

    def compile(self):
        service, shapes = self.service, self.order()
        constrained, members, errors = self.constrained(shapes), [], []
        shape_rows, error_number = ["{.kind = 0}"], {}
        for shape in shapes:
            flags = [flag for key, flag in SHAPE_FLAGS.items() if flag and shape.facts.get(key)]
            if shape.name in constrained:
                flags.append("SHAPE_CONSTRAINED")
            if "error" in shape.facts:
                flags.append("SHAPE_ERROR")
                error_number[shape.name] = len(errors)
                code = shape.facts.get("code", shape.name)
                errors.append(f"{{{self.number[shape.name]}, {shape.facts['error']}, "
                              f"{self.strings.add(code)}, {int('server' in shape.facts)}}}")
            first = len(members)
            expected = {"list": ["member"], "map": ["key", "value"]}.get(shape.kind)
            if expected and list(shape.members) != expected:
                sys.exit(f"{service.name}: {shape.kind} {shape.name} has {list(shape.members)}")
            members += [self.member(shape, n, m) for n, m in shape.members.items()]
            shape_rows.append(f"{{{self.strings.add(shape.name)}, SHAPE_{shape.kind.upper()}, "
                              f"{' | '.join(flags) or 0}, {self.constraint(shape)}, {first}, "
                              f"{len(shape.members)}, "
                              f"{self.strings.add(shape.facts.get('root', ''))}}}")
        operations, operation_errors = [], []
        for name in sorted(service.operations):
            o = service.operations[name]
            flags = [flag for key, flag in OPERATION_FLAGS.items() if o.get(key)]
            if "uri" not in o:
                sys.exit(f"{service.name}: operation {name} has no uri")
            operations.append(
                f"{{{self.strings.add(name)}, {self.strings.add(o['method'])}, "
                f"{self.strings.add(o['uri'])}, {o['status']}, "
                f"{self.number.get(o.get('in'), 0)}, {self.number.get(o.get('out'), 0)}, "
                f"{len(operation_errors)}, {len(o['errors'])}, {' | '.join(flags) or 0}, "
                f"{self.strings.add(o.get('header', ''))}}}")
            operation_errors += [error_number[e] for e in o["errors"]]
        for what, rows in (("shapes", shape_rows), ("members", members),
                           ("constraints", self.constraints.items)):
            if len(rows) > 0xffff:
                sys.exit(f"{service.name}: more than 65,535 {what}")
        return self.text(shape_rows, members, errors, operations, operation_errors)

    def text(self, shapes, members, errors, operations, operation_errors):
        service, facts = self.service, self.service.facts
        out = [f"/* Compiled from {service.name}.model and its override by "
               f"tools/model_compile.py. */", '#include "aws/model.h"', ""]

        def rows(kind, name, items):
            out.append(f"static const {kind} {name}[] = {{")
            out.extend(f"\t{item}," for item in items or ["{0}"])
            out.append("};")

        def numbers(kind, name, values):
            out.append(f"static const {kind} {name}[] = {{\n{c_numbers(values)}\n}};")

        rows("struct model_shape", "shapes", shapes)
        rows("struct model_member", "members", members)
        rows("struct model_constraint", "constraints", self.constraints.items)
        rows("struct model_pattern", "patterns", self.patterns.items)
        rows("struct model_alphabet", "alphabets", self.alphabets.items)
        rows("struct model_error", "errors", errors)
        rows("struct model_operation", "operations", operations)
        pairs = self.ranges.values
        rows("struct model_range", "ranges",
             [f"{{{pairs[i]}, {pairs[i + 1]}}}" for i in range(0, len(pairs), 2)])
        numbers("uint32_t", "enums", self.enums.values)
        numbers("uint16_t", "transitions", self.transitions.values)
        numbers("uint8_t", "classes", self.classes.values)
        numbers("uint8_t", "accepting", self.accepting.values)
        numbers("uint16_t", "operation_errors", operation_errors)
        out.append(f"static const char strings[] =\n{c_string(self.strings.bytes)};\n")

        def quoted(value):
            return "NULL" if value is None else '"' + value + '"'

        out += [f"extern const struct model model_{service.name};",
                f"const struct model model_{service.name} = {{",
                f"\t.name = {quoted(service.name)},",
                f"\t.signing_name = {quoted(facts['signing'])},",
                f"\t.action_prefix = {quoted(facts.get('action', facts['signing']))},",
                f"\t.target_prefix = {quoted(facts.get('target'))},",
                f"\t.type_prefix = {quoted(facts.get('type-prefix', ''))},",
                f"\t.xml_namespace = {quoted(facts.get('xmlns', ''))},",
                f"\t.api_version = {quoted(facts['version'])},",
                f"\t.validation_code = {quoted(facts.get('validation', 'ValidationException'))},",
                "\t.serialization_code = "
                f"{quoted(facts.get('serialization', 'SerializationException'))},",
                f"\t.access_status = {facts.get('access-status', 403)},",
                f"\t.protocol = {PROTOCOLS[service.protocol]},",
                f"\t.crc32 = {int('crc32' in facts)},"]
        for name in ("strings", "shapes", "members", "constraints", "enums", "patterns", "alphabets",
                     "transitions", "classes", "accepting", "ranges", "errors", "operation_errors",
                     "operations"):
            out.append(f"\t.{name} = {name},")
        out += [f"\t.shape_count = {len(shapes)},", f"\t.member_count = {len(members)},",
                f"\t.error_count = {len(errors)},", f"\t.operation_count = {len(operations)},",
                f"\t.string_bytes = {len(self.strings.bytes)},", "};"]
        return "\n".join(out) + "\n"


def listing(services):
    out = ["/* All compiled models, by tools/model_compile.py. */", '#include "aws/model.h"', ""]
    out += [f"extern const struct model model_{s};" for s in services]
    out += ["", "const struct model *const models_all[] = {"]
    out += [f"\t&model_{s}," for s in services]
    out += ["};", f"const size_t models_count = {len(services)};"]
    return "\n".join(out) + "\n"


def write(path, text):
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path + ".tmp", "w", encoding="utf-8") as f:
        f.write(text)
    os.replace(path + ".tmp", path)


def main():
    sys.setrecursionlimit(20000)
    if len(sys.argv) >= 3 and sys.argv[1] == "--list":
        write(sys.argv[2], listing(sorted(sys.argv[3:])))
    elif len(sys.argv) in (3, 4):
        service = Service()
        for path in sys.argv[2:]:
            if os.path.exists(path):
                Reader(service).read(path)
        write(sys.argv[1], Compiler(service).compile())
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
