#!/usr/bin/python3
"""DynamoDB through what applications really use: boto3's resources, the JavaScript document client, dynamoose,
electrodb, dynamodb-toolbox and dynamodb-onetable (highlevel/*.mjs), each as an application of its own."""
import decimal
import glob
import json
import os
import random
import shutil
import subprocess
import threading
import time

import boto3
import boto3.dynamodb.types
import botocore.config
from boto3.dynamodb.conditions import Attr, Key
from botocore.exceptions import ClientError

import harness
from harness import error_of, expect, options

MODULES = os.path.join(harness.ROOT, "build", "js")
Decimal = decimal.Decimal


# ---- JavaScript ----

def run(server, name, looked):
    """One program of highlevel/: it looked at `looked` things at least, or fails."""
    folder = os.path.join(MODULES, "highlevel")
    os.makedirs(folder, exist_ok=True)
    for path in glob.glob(os.path.join(harness.ROOT, "test", "e2e", "highlevel", "*.mjs")):
        shutil.copy(path, folder)
    done = subprocess.run(
        [os.path.join(MODULES, "node_modules", ".bin", "node"), os.path.join(folder, name + ".mjs"), server.endpoint],
        capture_output=True, text=True, timeout=120)
    expect(done.stderr, "")
    seen = json.loads(done.stdout)["looked"]
    if seen < looked:
        raise AssertionError(f"{name} looked at {seen} things only")


def test_document_client(server):
    run(server, "document", 110)


def test_dynamoose(server):
    run(server, "dynamoose", 40)


def test_electrodb(server):
    run(server, "electrodb", 35)


def test_toolbox(server):
    run(server, "toolbox", 35)


def test_onetable(server):
    run(server, "onetable", 40)


# ---- boto3 ----

def resource(server, **config):
    return boto3.resource(
        "dynamodb", endpoint_url=server.endpoint, region_name="us-east-1", aws_access_key_id="test",
        aws_secret_access_key="test", config=botocore.config.Config(retries={"max_attempts": 1, "mode": "standard"}, **config))


def make_table(db, name, keys, indexes=(), **more):
    """`keys`: "pk:S sk:N"; `indexes`: (name, keys, projection)."""
    def schema(text):
        return [{"AttributeName": k.split(":")[0], "KeyType": t} for k, t in zip(text.split(), ("HASH", "RANGE"))]
    types = dict(k.split(":") for text in (keys, *(i[1] for i in indexes)) for k in text.split())
    if indexes:
        more["GlobalSecondaryIndexes"] = [
            {"IndexName": i, "KeySchema": schema(k), "Projection": {"ProjectionType": p}} for i, k, p in indexes]
    if "ProvisionedThroughput" not in more:
        more["BillingMode"] = "PAY_PER_REQUEST"
    table = db.create_table(
        TableName=name, KeySchema=schema(keys),
        AttributeDefinitions=[{"AttributeName": k, "AttributeType": t} for k, t in types.items()], **more)
    waiter = table.meta.client.get_waiter("table_exists")
    waiter.wait(TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 20})
    table.reload()
    return table


def all_of(call, **arguments):
    """Items of all pages, and how many pages there were."""
    items, pages = [], 0
    while True:
        page = call(**arguments)
        items += page["Items"]
        pages += 1
        if "LastEvaluatedKey" not in page:
            return items, pages
        if pages > 500:
            raise AssertionError("pages do not end")
        arguments["ExclusiveStartKey"] = page["LastEvaluatedKey"]


def test_types_of_boto3(server):
    """Every type, there and back; numbers at the limits come back as they went, or are refused by name."""
    table = make_table(resource(server), "types", "pk:S")
    binary = boto3.dynamodb.types.Binary
    item = {
        "pk": "all", "s": "x\u0000\u00e9\U0001f600", "empty": "", "n": Decimal("-1.50"), "yes": True, "no": False, "none": None,
        "b": binary(bytes(range(256))), "nob": binary(b""), "ss": {"b", "a", ""}, "ns": {Decimal(1), Decimal("1.5"), Decimal("-0.01")},
        "bs": {binary(b""), binary(b"\xff")}, "l": [1, "two", None, [], {}, {"x": {Decimal(3)}}],
        "m": {"": 1, "a.b": {"c[0]": [True]}, "\u00fc": {"deep": {"er": "x"}}}, "a b": 1, "#": 2, ":": 3}
    table.put_item(Item=item)
    expect(table.get_item(Key={"pk": "all"})["Item"], item)

    raw = server.client("dynamodb")
    limits = ["1E-130", "-1E-130", "9.9999999999999999999999999999999999999E+125", "-9.9999999999999999999999999999999999999E+125",
              "12345678901234567890123456789012345678", "0." + "1" * 38, "1E+125", "0E-200", "-0", "100E-2", "1E+37", "1E+38"]
    for text in limits:
        raw.put_item(TableName="types", Item={"pk": {"S": text}, "n": {"N": text}, "s": {"NS": [text]}})
        got = raw.get_item(TableName="types", Key={"pk": {"S": text}})["Item"]
        expect((Decimal(got["n"]["N"]), got["s"]["NS"]), (Decimal(text), [got["n"]["N"]]))
    for text, why in (("1E+126", "Number overflow. Attempting to store a number with magnitude larger than supported range"),
                      ("9E-131", "Number underflow. Attempting to store a number with magnitude smaller than supported range"),
                      ("1" * 39, "Attempting to store more than 38 significant digits in a Number"),
                      ("0x10", "The parameter cannot be converted to a numeric value: 0x10"),
                      ("NaN", "The parameter cannot be converted to a numeric value: NaN"),
                      ("", "The parameter cannot be converted to a numeric value")):
        expect(error_of(raw.put_item, TableName="types", Item={"pk": {"S": "bad"}, "n": {"N": text}}),
               ("ValidationException", why, 400))
    expect("Item" in table.get_item(Key={"pk": "bad"}), False)
    deserialize = boto3.dynamodb.types.TypeDeserializer().deserialize
    serialize = boto3.dynamodb.types.TypeSerializer().serialize
    got = raw.get_item(TableName="types", Key={"pk": {"S": "all"}})["Item"]
    expect({k: deserialize(v) for k, v in got.items()}, item)
    raw.put_item(TableName="types", Item={**{k: serialize(v) for k, v in item.items()}, "pk": {"S": "again"}})
    expect(table.get_item(Key={"pk": "again"})["Item"], {**item, "pk": "again"})


ROWS = [{"pk": "p%d" % (i % 2), "sk": i, "n": i % 7, "s": "abc"[i % 3] * (i % 4) or "-", "set": {"x", "y%d" % (i % 5)},
         "l": list(range(i % 4)), "m": {"in": {"n": i}}, **({"odd": True} if i % 2 else {})} for i in range(60)]
# Every operator of boto3's conditions, and what it means.
CONDITIONS = [
    (Attr("n").eq(3), lambda r: r["n"] == 3),
    (Attr("n").ne(3), lambda r: r["n"] != 3),
    (Attr("n").lt(3), lambda r: r["n"] < 3),
    (Attr("n").lte(3), lambda r: r["n"] <= 3),
    (Attr("n").gt(3), lambda r: r["n"] > 3),
    (Attr("n").gte(3), lambda r: r["n"] >= 3),
    (Attr("n").between(2, 4), lambda r: 2 <= r["n"] <= 4),
    (Attr("n").between(3, 3), lambda r: r["n"] == 3),
    (Attr("n").is_in([1, 5, 99]), lambda r: r["n"] in (1, 5)),
    (Attr("s").is_in(["aa", "ccc", 7]), lambda r: r["s"] in ("aa", "ccc")),
    (Attr("s").begins_with("b"), lambda r: r["s"][:1] == "b"),
    (Attr("s").begins_with(""), lambda r: True),
    (Attr("s").contains("cc"), lambda r: "cc" in r["s"]),
    (Attr("set").contains("y2"), lambda r: "y2" in r["set"]),
    (Attr("l").contains(2), lambda r: 2 in r["l"]),
    (Attr("odd").exists(), lambda r: "odd" in r),
    (Attr("odd").not_exists(), lambda r: "odd" not in r),
    (Attr("odd").ne(True), lambda r: "odd" not in r),
    (Attr("set").attribute_type("SS"), lambda r: True),
    (Attr("n").attribute_type("S"), lambda r: False),
    (Attr("s").size().gt(2), lambda r: len(r["s"]) > 2),
    (Attr("l").size().between(1, 2), lambda r: 1 <= len(r["l"]) <= 2),
    (Attr("m").size().eq(1), lambda r: True),
    (Attr("n").size().gte(0), lambda r: False),  # a number has no size
    (Attr("m.in.n").gte(30), lambda r: r["m"]["in"]["n"] >= 30),
    (Attr("l[1]").eq(1), lambda r: len(r["l"]) > 1),
    (Attr("n").lt("3"), lambda r: False),  # another type
    (Attr("set").eq({"y1", "x"}), lambda r: r["set"] == {"x", "y1"}),
    (Attr("m").eq({"in": {"n": 12}}), lambda r: r["sk"] == 12),
    (~Attr("n").eq(3), lambda r: r["n"] != 3),
    (~(Attr("odd").exists() | Attr("n").gt(2)), lambda r: "odd" not in r and r["n"] <= 2),
    ((Attr("n").gt(1) & Attr("n").lt(5)) | (Attr("s").eq("-") & Attr("odd").not_exists()),
     lambda r: 1 < r["n"] < 5 or (r["s"] == "-" and "odd" not in r)),
]
KEYS = [
    (Key("sk").eq(20), lambda r: r["sk"] == 20),
    (Key("sk").lt(20), lambda r: r["sk"] < 20),
    (Key("sk").lte(20), lambda r: r["sk"] <= 20),
    (Key("sk").gt(20), lambda r: r["sk"] > 20),
    (Key("sk").gte(20), lambda r: r["sk"] >= 20),
    (Key("sk").between(10, 20), lambda r: 10 <= r["sk"] <= 20),
]


def numbers(items):
    return sorted(int(i["sk"]) for i in items)


def test_conditions_of_boto3(server):
    """Scans, queries and conditional writes against what the condition means."""
    table = make_table(resource(server), "cond", "pk:S sk:N", [("by-s", "s:S sk:N", "ALL")])
    with table.batch_writer(overwrite_by_pkeys=["pk", "sk"]) as batch:
        for row in ROWS + ROWS[:10]:  # ten of them twice
            batch.put_item(Item=row)
    expect(table.scan(Select="COUNT")["Count"], 60)
    for n, (condition, meaning) in enumerate(CONDITIONS):
        wanted = [r["sk"] for r in ROWS if meaning(r)]
        items, _ = all_of(table.scan, FilterExpression=condition, Limit=17)
        expect((n, numbers(items)), (n, wanted))
        items, _ = all_of(table.query, KeyConditionExpression=Key("pk").eq("p1"), FilterExpression=condition, Limit=17)
        expect((n, numbers(items)), (n, [i for i in wanted if i % 2]))
        some = ROWS[n]
        try:
            table.update_item(Key={"pk": some["pk"], "sk": some["sk"]}, UpdateExpression="SET seen = :y",
                              ExpressionAttributeValues={":y": n}, ConditionExpression=condition)
            met = True
        except ClientError as error:
            expect(error.response["Error"]["Code"], "ConditionalCheckFailedException")
            met = False
        expect((n, met), (n, some["sk"] in wanted))
    for condition, meaning in KEYS:
        for forward in (True, False):
            items, _ = all_of(table.query, KeyConditionExpression=Key("pk").eq("p0") & condition, ScanIndexForward=forward, Limit=4)
            wanted = [r["sk"] for r in ROWS if r["pk"] == "p0" and meaning(r)]
            expect([int(i["sk"]) for i in items], wanted if forward else wanted[::-1])
    items, _ = all_of(table.query, IndexName="by-s", KeyConditionExpression=Key("s").eq("aa") & Key("sk").gt(5), Limit=1,
                      ProjectionExpression="sk, m.#i.n", ExpressionAttributeNames={"#i": "in"})
    expect(items, [{"sk": r["sk"], "m": {"in": {"n": r["sk"]}}} for r in ROWS if r["s"] == "aa" and r["sk"] > 5])
    expect(error_of(table.query, KeyConditionExpression=Key("pk").begins_with("p")),
           ("ValidationException", "Query key condition not supported", 400))
    expect(error_of(table.scan, FilterExpression=Attr("n").between(4, 2))[:2], (
        "ValidationException", "Invalid FilterExpression: The BETWEEN operator requires upper bound to be greater than or "
        "equal to lower bound; lower bound operand: AttributeValue: {N:4}, upper bound operand: AttributeValue: {N:2}"))
    expect(error_of(table.query, KeyConditionExpression=Key("sk").eq(1)),
           ("ValidationException", "Query condition missed key schema element: pk", 400))
    expect(error_of(table.query, KeyConditionExpression=Key("pk").eq("p0"), FilterExpression=Attr("sk").eq(1)),
           ("ValidationException", "Filter Expression can only contain non-primary key attributes: Primary key attribute: sk", 400))


def test_writer_and_pages_of_boto3(server):
    """batch_writer, deletes in it, paginators with their own tokens, waiters, updates of the table, tags."""
    db = resource(server)
    table = make_table(db, "pages", "pk:S sk:S", [("all", "kind:S sk:S", "KEYS_ONLY")])
    with table.batch_writer() as batch:
        for i in range(230):
            batch.put_item(Item={"pk": f"p{i % 3}", "sk": f"{i:04}", "kind": "k", "pad": "x" * 6000})
    with table.batch_writer() as batch:
        for i in range(0, 230, 10):
            batch.delete_item(Key={"pk": f"p{i % 3}", "sk": f"{i:04}"})
    kept = [i for i in range(230) if i % 10]
    items, pages = all_of(table.scan)
    expect((sorted(int(i["sk"]) for i in items), pages), (kept, 2))  # a page is 1 MB
    client = db.meta.client
    found = client.get_paginator("query").paginate(
        TableName="pages", IndexName="all", KeyConditionExpression=Key("kind").eq("k"), ScanIndexForward=False,
        PaginationConfig={"PageSize": 50, "MaxItems": 120})
    first = found.build_full_result()
    rest = client.get_paginator("query").paginate(
        TableName="pages", IndexName="all", KeyConditionExpression=Key("kind").eq("k"), ScanIndexForward=False,
        PaginationConfig={"PageSize": 50, "StartingToken": first["NextToken"]}).build_full_result()
    expect([int(i["sk"]) for i in first["Items"] + rest["Items"]], kept[::-1])
    expect(first["Items"][0], {"pk": "p1", "sk": "0229", "kind": "k"})
    search = client.get_paginator("scan").paginate(TableName="pages", PaginationConfig={"PageSize": 9}).search("Items[?pk=='p2'].sk")
    expect(sorted(int(i) for i in search), [i for i in kept if i % 3 == 2])
    answer = db.batch_get_item(RequestItems={"pages": {"Keys": [{"pk": f"p{i % 3}", "sk": f"{i:04}"} for i in range(100)],
                                                       "ProjectionExpression": "sk"}})
    expect((len(answer["Responses"]["pages"]), answer["UnprocessedKeys"]), (90, {}))
    table.update(AttributeDefinitions=[{"AttributeName": n, "AttributeType": "S"} for n in ("pk", "sk", "kind", "late")],
                 GlobalSecondaryIndexUpdates=[{"Create": {
                     "IndexName": "late", "KeySchema": [{"AttributeName": "late", "KeyType": "HASH"}],
                     "Projection": {"ProjectionType": "ALL"}}}])
    table.put_item(Item={"pk": "new", "sk": "1", "late": "yes"})  # while the index is made
    end = time.monotonic() + 20
    while True:
        table.reload()
        states = {i["IndexName"]: i["IndexStatus"] for i in table.global_secondary_indexes}
        if states == {"all": "ACTIVE", "late": "ACTIVE"} and table.table_status == "ACTIVE":
            break
        if time.monotonic() > end:
            raise AssertionError(f"the index is not made: {states}")
        time.sleep(0.02)
    expect([i["sk"] for i in table.query(IndexName="late", KeyConditionExpression=Key("late").eq("yes"))["Items"]], ["1"])
    client.tag_resource(ResourceArn=table.table_arn, Tags=[{"Key": "a", "Value": "1"}])
    expect([t for p in client.get_paginator("list_tags_of_resource").paginate(ResourceArn=table.table_arn) for t in p["Tags"]],
           [{"Key": "a", "Value": "1"}])
    expect([t.name for t in db.tables.all()], ["pages"])
    table.delete()
    table.wait_until_not_exists()
    expect(error_of(table.load), ("ResourceNotFoundException", "Requested resource not found: Table: pages not found", 400))


def test_locks_and_transactions_of_boto3(server):
    """Optimistic locks and transfers by many threads: nothing is lost, every refusal has its reason."""
    db = resource(server)
    table = make_table(db, "bank", "pk:S")
    for i in range(5):
        table.put_item(Item={"pk": f"a{i}", "balance": 100, "version": 0})
    reasons = set()

    def transfer(seed):
        client, rng = resource(server).meta.client, random.Random(seed)
        for _ in range(15):
            source, target = rng.sample(range(5), 2)
            amount = rng.randrange(1, 60)
            change = {"UpdateExpression": "SET balance = balance + :d, version = version + :one", "TableName": "bank"}
            try:
                client.transact_write_items(TransactItems=[
                    {"Update": {**change, "Key": {"pk": f"a{source}"}, "ConditionExpression": "balance >= :a",
                                "ExpressionAttributeValues": {":d": -amount, ":one": 1, ":a": amount}}},
                    {"Update": {**change, "Key": {"pk": f"a{target}"}, "ExpressionAttributeValues": {":d": amount, ":one": 1}}}])
            except client.exceptions.TransactionCanceledException as error:
                codes = tuple(r["Code"] for r in error.response["CancellationReasons"])
                expect(error.response["Error"]["Message"],
                       f"Transaction cancelled, please refer cancellation reasons for specific reasons [{', '.join(codes)}]")
                reasons.update(codes)

    def count(_):
        mine = resource(server).Table("bank")
        for _ in range(10):
            for _ in range(1000):
                version = mine.get_item(Key={"pk": "lock"}, ConsistentRead=True).get("Item", {}).get("version", 0)
                try:
                    mine.put_item(Item={"pk": "lock", "version": version + 1},
                                  ConditionExpression=Attr("pk").not_exists() | Attr("version").eq(version))
                    break
                except mine.meta.client.exceptions.ConditionalCheckFailedException:
                    pass

    failures = []

    def guarded(call, seed):
        try:
            call(seed)
        except Exception as error:  # told to the main thread
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(c, s)) for s in range(3) for c in (transfer, count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    expect(failures, [])
    items = table.scan()["Items"]
    expect(sum(i["balance"] for i in items if i["pk"] != "lock"), 500)
    expect(min(i.get("balance", 0) for i in items) >= 0, True)
    expect(table.get_item(Key={"pk": "lock"})["Item"]["version"], 30)
    expect(reasons <= {"None", "ConditionalCheckFailed", "TransactionConflict"} and "ConditionalCheckFailed" in reasons, True)


def records_of(streams, arn):
    """All records of all shards, parents first, as a consumer reads them."""
    shards, more, records = [], {}, []
    while len(shards) < 100:
        page = streams.describe_stream(StreamArn=arn, Limit=1, **more)["StreamDescription"]
        shards += page["Shards"]
        if "LastEvaluatedShardId" not in page:
            break
        more = {"ExclusiveStartShardId": page["LastEvaluatedShardId"]}
    for shard in shards:
        iterator = streams.get_shard_iterator(
            StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
        empty = 0
        while iterator and empty < 2 and len(records) < 10000:
            page = streams.get_records(ShardIterator=iterator, Limit=40)
            records += page["Records"]
            empty = 0 if page["Records"] else empty + 1
            iterator = page.get("NextShardIterator")
    return records


def test_stream_makes_a_replica(server):
    """A consumer that applies a table's stream gets what the table has."""
    db = resource(server)
    table = make_table(db, "source", "pk:S sk:N", StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"})
    rng, rows = random.Random(7), {}
    for step in range(150):
        key = {"pk": f"p{rng.randrange(4)}", "sk": rng.randrange(6)}
        what = rng.random()
        if what < 0.4:
            table.put_item(Item={**key, "v": step, "tags": {"a", f"t{step % 3}"}})
        elif what < 0.7:
            table.update_item(Key=key, UpdateExpression="ADD n :one SET l = list_append(if_not_exists(l, :e), :l)",
                              ExpressionAttributeValues={":one": 1, ":e": [], ":l": [step]})
        else:
            table.delete_item(Key=key)
    deserialize = boto3.dynamodb.types.TypeDeserializer().deserialize
    kinds = set()
    for record in records_of(server.client("dynamodbstreams"), table.latest_stream_arn):
        image = record["dynamodb"]
        key = tuple(sorted((k, deserialize(v)) for k, v in image["Keys"].items()))
        old, new = ({k: deserialize(v) for k, v in image[i].items()} if i in image else None for i in ("OldImage", "NewImage"))
        expect(rows.get(key), old)
        expect(record["eventName"], "REMOVE" if new is None else "MODIFY" if old else "INSERT")
        kinds.add(record["eventName"])
        rows[key] = new
        if new is None:
            del rows[key]
    expect(kinds, {"INSERT", "MODIFY", "REMOVE"})
    items, _ = all_of(table.scan, Limit=5)
    by_key = lambda i: (i["pk"], i["sk"])
    expect(sorted(rows.values(), key=by_key), sorted(items, key=by_key))


@options("--throttle", "aws")
def test_unprocessed_items_are_sent_again(server):
    """batch_writer, and reads of many by hand, on a table that gets more than it may take."""
    db = boto3.resource("dynamodb", endpoint_url=server.endpoint, region_name="us-east-1", aws_access_key_id="test",
                        aws_secret_access_key="test", config=botocore.config.Config(retries={"max_attempts": 12, "mode": "standard"}))
    table = make_table(db, "slow", "pk:S", ProvisionedThroughput={"ReadCapacityUnits": 40, "WriteCapacityUnits": 60})
    left = []
    table.meta.client.meta.events.register(
        "after-call.dynamodb.BatchWriteItem", lambda parsed, **_: left.append(
            sum(len(v) for v in parsed.get("UnprocessedItems", {}).values())))
    with table.batch_writer() as batch:
        for i in range(200):
            batch.put_item(Item={"pk": f"{i:03}", "v": i})
    expect(any(left), True)
    wanted, got, rounds = [{"pk": f"{i:03}"} for i in range(200)], {}, 0
    while wanted:
        answer = db.batch_get_item(RequestItems={"slow": {"Keys": wanted[:100], "ConsistentRead": True}})
        got.update({i["pk"]: int(i["v"]) for i in answer["Responses"]["slow"]})
        wanted = answer["UnprocessedKeys"].get("slow", {}).get("Keys", []) + wanted[100:]
        rounds += 1
        if rounds > 100:
            raise AssertionError("reads do not end")
        if answer["UnprocessedKeys"]:
            time.sleep(0.2)
    expect(got, {f"{i:03}": i for i in range(200)})
    expect(rounds > 2, True)


if __name__ == "__main__":
    harness.main(globals())
