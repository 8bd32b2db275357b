#!/usr/bin/python3
"""The codecs against botocore's: random inputs of every operation are written by botocore's
serializers and read by us; random outputs are written by us and read by botocore's parsers.

    test/aws/peer_codec.py FILTER [ROUNDS] [SEED]     FILTER: the program of peer_codec.c

Prints the differences and, at last, "N passed, N failed". An operation that one side's model does
not know yet is left out and counted as skipped.
"""
import base64
import datetime
import email.utils
import json
import os
import random
import struct
import subprocess
import sys

import botocore.parsers
import botocore.serialize
import botocore.session
from botocore.awsrequest import create_request_object, prepare_request_dict
from botocore.compat import HTTPHeaders
from urllib.parse import urlencode

SERVICES = ["dynamodb", "lambda", "apigatewayv2", "logs", "iam", "sts", "s3"]
# What the client does beside its parsers: the text of a root, a host's prefix, a time as a text.
LEFT_OUT = {"GetBucketLocation", "WriteGetObjectResponse"}
LEFT_OUT_MEMBERS = {"s3": {"Expires"}}
ENDPOINT = "http://localhost:4566"
PLAIN = "abcXYZ012-_"
ODD = "a \u00e9\u20ac\U0001F600\"\\/<&>%+= \t~.:"
DEPTH = 7
INTEGERS = [0, 1, -1, 100, 2**31 - 1, -2**31]
LONGS = [0, 2**53, -2**63, 2**63 - 1]
DOUBLES = [0.5, 1.0, -2.25, 1e-7, 123456.789]


class Filter:
    def __init__(self, path):
        self.process = subprocess.Popen([path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, *fields):
        for field in fields:
            data = field if isinstance(field, bytes) else field.encode()
            self.process.stdin.write(struct.pack("<I", len(data)) + data)
        self.process.stdin.flush()
        answer = []
        for _ in range(3):
            size = self.process.stdout.read(4)
            if len(size) < 4:
                sys.exit(f"the filter died at {fields}")
            answer.append(self.process.stdout.read(struct.unpack("<I", size)[0]))
        return answer


class Generator:
    """Random values of a shape: None where the wire could not tell it from an absent one."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def text(self, alphabet, most):
        return "".join(self.random.choice(alphabet) for _ in range(self.random.randint(1, most)))

    def value(self, shape, depth=0, place=None):
        kind = shape.type_name
        if kind == "structure":
            return self.structure(shape, depth)
        if kind == "list":
            count = self.random.randint(1, 3) if depth <= DEPTH else 0
            items = (self.value(shape.member, depth + 1) for _ in range(count))
            return [v for v in items if v is not None]
        if kind == "map":
            count = self.random.randint(1, 3) if depth <= DEPTH else 0
            pairs = [(self.value(shape.key, depth + 1, place), self.value(shape.value, depth + 1,
                                                                         place))
                     for _ in range(count)]
            return {k: v for k, v in pairs if v is not None}
        return self.scalar(shape, place)

    def scalar(self, shape, place):
        choice, kind = self.random.choice, shape.type_name
        if kind in ("string", "char", "character"):
            if shape.enum:
                return choice(shape.enum)
            if place in ("header", "headers"):
                return self.text(PLAIN, 8)
            if place == "uri":
                return self.text(PLAIN + ":/ $\u00e9", 8).strip("/ ") or "x"
            return "".join(choice(PLAIN if self.random.random() < 0.7 else ODD)
                           for _ in range(self.random.randint(1, 12)))
        if kind == "integer":
            return choice(INTEGERS + [self.random.randint(-1000, 1000)])
        if kind == "long":
            return choice(LONGS + [self.random.randint(-10**12, 10**12)])
        if kind in ("float", "double"):
            return choice(DOUBLES)
        if kind == "boolean":
            return choice([True, False])
        if kind == "blob":
            return bytes(self.random.randrange(256) for _ in range(self.random.randint(0, 9)))
        if kind == "timestamp":
            seconds = self.random.randint(0, 4 * 10**9)
            return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
        raise ValueError(kind)

    def structure(self, shape, depth):
        out = {}
        for name, member in shape.members.items():
            place = member.serialization.get("location")
            if member.serialization.get("eventstream"):
                continue
            needed = name in shape.required_members or place == "uri"
            if not needed and (depth > 4 or self.random.random() < 0.4):
                continue
            if place == "statusCode":
                out[name] = 202
                continue
            value = self.value(member, depth + 1, place)
            payload = shape.serialization.get("payload") == name
            if payload and member.type_name == "blob":
                value = b"payload!"
            if value is not None:
                out[name] = value
            if getattr(shape, "is_tagged_union", False):
                break
        if not out and depth and shape.members:
            for name, member in shape.members.items():
                if member.type_name in ("string", "integer", "boolean"):
                    return {name: self.scalar(member, None)}
            return None
        return out


def record(shape, value, top=True):
    """A value as our record: AWS names on top, names of the wire below; times as Time."""
    kind = shape.type_name
    if kind == "structure":
        names = {n: n if top else m.serialization.get("name", n) for n, m in shape.members.items()}
        return {names[n]: record(shape.members[n], v, False) for n, v in value.items()
                if top or shape.members[n].serialization.get("location") is None}
    if kind == "list":
        return [record(shape.member, v, False) for v in value]
    if kind == "map":
        return {k: record(shape.value, v, False) for k, v in value.items()}
    if kind == "blob":
        return base64.b64encode(value).decode()
    if kind == "timestamp":
        return Time(value.timestamp())
    return value


class Time(float):
    """Seconds since 1970, equal to any text of the same time."""

    def equals(self, other):
        if isinstance(other, str) and other.endswith("GMT"):
            other = email.utils.parsedate_to_datetime(other).timestamp()
        if isinstance(other, str):
            other = datetime.datetime.fromisoformat(other.replace("Z", "+00:00")).timestamp()
        return isinstance(other, (int, float)) and abs(self - other) < 0.001


def same(want, got):
    if isinstance(want, Time):
        return want.equals(got)
    if isinstance(want, dict):
        return (isinstance(got, dict) and want.keys() == got.keys() and
                all(same(want[k], got[k]) for k in want))
    if isinstance(want, list):
        return isinstance(got, list) and len(want) == len(got) and all(map(same, want, got))
    if isinstance(want, float) or isinstance(got, float):
        return want == got
    return type(want) is type(got) and want == got


def request_of(serializer, operation, value):
    """(method, target, headers, body) as botocore would send it."""
    request = serializer.serialize_to_request(dict(value), operation)
    prepare_request_dict(request, ENDPOINT)
    prepared = create_request_object(request).prepare()
    body = prepared.body or b""
    if hasattr(body, "read"):
        body = body.read()
    if isinstance(body, dict):
        body = urlencode(body, doseq=True)
    headers = "".join(f"{k}: {v.decode() if isinstance(v, bytes) else v}\n"
                      for k, v in prepared.headers.items())
    return request["method"], prepared.url[len(ENDPOINT):], headers, body


def generated(generator, service, shape):
    value = generator.value(shape)
    return {k: v for k, v in value.items() if k not in LEFT_OUT_MEMBERS.get(service, ())}


def check_in(peer, service, operation, serializer, generator):
    shape = operation.input_shape
    value = generated(generator, service, shape)
    method, target, headers, body = request_of(serializer, operation, value)
    kind, answer, _ = peer.ask("in", service, operation.name, method, target, headers, body)
    if kind == b"unknown":
        return None
    want = record(shape, value)
    got = json.loads(answer) if kind == b"ok" else answer
    payload = shape.serialization.get("payload")
    # a payload left out is an empty body: an empty blob or structure to whoever reads it
    if payload and payload not in want and isinstance(got, dict) and not got.get(payload):
        got.pop(payload, None)
    # counted by the client whatever was asked for
    if isinstance(got, dict) and "ContentLength" not in want and "ContentLength" in shape.members:
        got.pop("ContentLength", None)
    if same(want, got):
        return True
    print(f"{service} {operation.name}: read {got}\n\twant {want}\n\t{method} {target}\n\t{body}")
    return False


def plain(shape, value):
    """A parsed or generated value with times as numbers, ready to compare."""
    kind = shape.type_name
    if kind == "structure":
        return {k: plain(shape.members[k], v) for k, v in value.items()}
    if kind == "list":
        return [plain(shape.member, v) for v in value]
    if kind == "map":
        return {k: plain(shape.value, v) for k, v in value.items()}
    if kind == "timestamp":
        return value.timestamp()
    if hasattr(value, "_raw_stream"):
        return value._raw_stream
    return value


def check_out(peer, service, operation, parser, generator):
    shape = operation.output_shape
    value = generated(generator, service, shape)
    status, body, heads = peer.ask("out", service, operation.name, "", "", "",
                                   json.dumps(record(shape, value)))
    if status == b"unknown":
        return None
    headers = HTTPHeaders()
    for line in heads.decode().splitlines():
        headers.add_header(*line.split(": ", 1))
    got = parser.parse({"status_code": int(status), "headers": headers, "body": body,
                        "context": {}}, shape)
    got.pop("ResponseMetadata", None)
    want, got = plain(shape, value), plain(shape, got)
    payload = shape.serialization.get("payload")
    if payload and isinstance(got.get(payload), str) and isinstance(want.get(payload), bytes):
        want[payload] = want[payload].decode()
    if payload and payload not in want and not got.get(payload):
        got.pop(payload, None)
    for name, member in shape.members.items():
        location = member.serialization.get("location")
        if name not in want and (location == "statusCode" or
                                 location == "headers" and not got.get(name)):
            got.pop(name, None)
    if want == got:
        return True
    print(f"{service} {operation.name}: botocore read {got}\n\twant {want}\n\t{status} {body}")
    return False


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    peer, generator = Filter(os.path.abspath(sys.argv[1])), Generator(seed)
    session, results = botocore.session.get_session(), []
    for service in SERVICES:
        model = session.get_service_model(service)
        protocol = getattr(model, "resolved_protocol", model.metadata["protocol"])
        serializer = botocore.serialize.create_serializer(protocol, False)
        parser = botocore.parsers.create_parser(protocol)
        for name in model.operation_names:
            operation = model.operation_model(name)
            if name in LEFT_OUT or operation.deprecated:  # S3's have two members of the same name on the wire
                continue
            for _ in range(rounds):
                if operation.input_shape and not operation.has_event_stream_input:
                    results.append(check_in(peer, service, operation, serializer, generator))
                if operation.output_shape and not operation.has_event_stream_output:
                    results.append(check_out(peer, service, operation, parser, generator))
    print(f"seed {seed}")
    print(f"{results.count(True)} passed, {results.count(False)} failed, "
          f"{results.count(None)} skipped")
    sys.exit(1 if False in results or True not in results else 0)


if __name__ == "__main__":
    main()
