#!/usr/bin/python3
"""Vector indexes against the real binary: searches against a plain search, and kill -9.

Debian's client does not know them: requests are signed here (harness.Server.json).
"""
import math
import random
import struct
import time

import harness
from harness import expect, own_server

DIMENSIONS = 7


def call(server, operation, **members):
    return server.json("DynamoDB_20120810." + operation, members)


def numbers(values):
    return [{"N": repr(value)} for value in values]


def vector_index(name, function, schema=None):
    index = {"IndexName": name, "VectorAttribute": {"AttributeName": "v"},
             "Projection": {"ProjectionType": "KEYS_ONLY"}, "Dimensions": DIMENSIONS,
             "DistanceFunction": function}
    if schema:
        index["SearchSchema"] = schema
    return index


def make_table(server, name, *indexes, attributes=()):
    call(server, "CreateTable", TableName=name, BillingMode="PAY_PER_REQUEST",
         AttributeDefinitions=[{"AttributeName": n, "AttributeType": "S"}
                               for n in ("pk", *attributes)],
         KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
         **({"VectorIndexes": list(indexes)} if indexes else {}))


def fill(server, table, vectors):
    names = sorted(vectors)
    for i in range(0, len(names), 25):
        call(server, "BatchWriteItem", RequestItems={table: [
            {"PutRequest": {"Item": {"pk": {"S": n}, "t": {"S": "t" + n[-1]},
                                     "v": {"L": numbers(vectors[n])}}}}
            for n in names[i:i + 25]]})


def random_vectors(count):
    return {f"k{i}": [random.randint(-1000, 1000) / 8 for _ in range(DIMENSIONS)]
            for i in range(count)}


def plain_score(function, a, b):
    dot = sum(x * y for x, y in zip(a, b))
    if function == "DOT_PRODUCT":
        return dot
    if function == "EUCLIDEAN":
        return math.dist(a, b)
    return 1 - dot / math.sqrt(sum(x * x for x in a) * sum(x * x for x in b))


def search(server, table, index, wanted, top, **more):
    found = call(server, "SearchVectors", TableName=table, IndexName=index,
                 SearchVector=numbers(wanted), TopK=top, **more)["SearchResults"]
    return [(hit["Item"]["pk"]["S"], hit["Score"]) for hit in found]


def status_of(server, table, index):
    described = call(server, "DescribeTable", TableName=table)["Table"]
    for one in described.get("VectorIndexes", []):
        if one["IndexName"] == index:
            return one["IndexStatus"]
    return None


def wait_for(server, table, index, status):
    until = time.time() + 60
    while status_of(server, table, index) != status:
        if time.time() > until:
            raise RuntimeError(f"{index} is {status_of(server, table, index)}")
        time.sleep(0.05)


def test_searches_are_exact(server):
    """The nearest of 3,000 items, as a search that looks at all of them has it."""
    functions = ("COSINE", "EUCLIDEAN", "DOT_PRODUCT")
    make_table(server, "exact", *[vector_index(f.lower(), f) for f in functions])
    vectors = random_vectors(3000)
    fill(server, "exact", vectors)
    for function in functions:
        wanted = [random.randint(-100, 100) for _ in range(DIMENSIONS)]
        scores = sorted((plain_score(function, wanted, v) for v in vectors.values()),
                        reverse=function == "DOT_PRODUCT")
        found = search(server, "exact", function.lower(), wanted, 100)
        expect(len({name for name, _ in found}), 100)
        for (name, score), best in zip(found, scores):
            if abs(score - best) > 1e-9 * max(1, abs(best)):
                raise AssertionError(f"{function}: {score} of {name} where {best} is nearest")
            if abs(score - plain_score(function, wanted, vectors[name])) > 1e-9 * max(1, abs(best)):
                raise AssertionError(f"{function}: {name} has not {score}")
    call(server, "DeleteTable", TableName="exact")


def test_numbers_are_floats(server):
    """What a search gives back are the nearest 32-bit floats, as short as they can be."""
    make_table(server, "floats", vector_index("all", "EUCLIDEAN"))
    written = [0.1, -1 / 3, 1e-40, 16777217, 3.14159265358979, 1e38, 0]
    fill(server, "floats", {"k0": written})
    hit = call(server, "SearchVectors", TableName="floats", IndexName="all", TopK=1,
               SearchVector=numbers([0] * 7), ProjectionExpression="v")["SearchResults"][0]
    shown = [e["N"] for e in hit["Item"]["v"]["L"]]
    for number, text in zip(written, shown):
        nearest = struct.unpack("f", struct.pack("f", number))[0]
        expect(struct.unpack("f", struct.pack("f", float(text)))[0], nearest)
    expect(shown[0], "0.1")
    call(server, "DeleteTable", TableName="floats")


@own_server
def test_kill_while_a_vector_index_is_made(server):
    """kill -9 at some point of the filling: it goes on, and a search finds what the table has."""
    make_table(server, "live")
    vectors = random_vectors(3000)
    fill(server, "live", vectors)
    for round_number in range(3):
        name = f"vec{round_number}"
        call(server, "UpdateTable", TableName="live",
             AttributeDefinitions=[{"AttributeName": "t", "AttributeType": "S"}],
             VectorIndexUpdates=[{"Create": vector_index(
                 name, "EUCLIDEAN",
                 [{"AttributeName": "t", "SearchSchemaElementType": "HASH"}])}])
        time.sleep(round_number * 0.04)
        server.kill_all()
        server.start()
        moved, gone = f"k1{round_number}5", f"k1{round_number}7"
        vectors[moved] = [round_number] * DIMENSIONS
        fill(server, "live", {moved: vectors[moved]})
        call(server, "DeleteItem", TableName="live", Key={"pk": {"S": gone}})
        vectors.pop(gone)
        wait_for(server, "live", name, "ACTIVE")
        for index in range(round_number + 1):
            for last in "0579":
                there = sorted(n for n in vectors if n[-1] == last)
                nearest = min(math.dist([0] * DIMENSIONS, vectors[n]) for n in there)
                found = search(server, "live", f"vec{index}", [0] * DIMENSIONS, 100,
                               SearchConditionExpression="t = :t",
                               ExpressionAttributeValues={":t": {"S": "t" + last}})
                expect(len(found), 100)
                expect(all(n in vectors and n[-1] == last for n, _ in found), True)
                expect(abs(found[0][1] - nearest) < 1e-9, True)
    call(server, "UpdateTable", TableName="live",
         VectorIndexUpdates=[{"Delete": {"IndexName": "vec0"}}])
    wait_for(server, "live", "vec0", None)


if __name__ == "__main__":
    harness.main(globals())
