#!/usr/bin/python3
"""DynamoDB through boto3 and the AWS CLI against the real binary."""
import decimal
import gzip
import http.client
import json
import os
import random
import signal
import socket
import threading
import time
import urllib.request
import zlib

import boto3.dynamodb.types

import harness
from harness import error_of, expect, own_server


def make_table(client, name, sort=None, sort_type="S", key_type="S"):
    keys = [{"AttributeName": "pk", "KeyType": "HASH"}]
    attributes = [{"AttributeName": "pk", "AttributeType": key_type}]
    if sort:
        keys.append({"AttributeName": sort, "KeyType": "RANGE"})
        attributes.append({"AttributeName": sort, "AttributeType": sort_type})
    client.create_table(TableName=name, KeySchema=keys, AttributeDefinitions=attributes,
                        BillingMode="PAY_PER_REQUEST")
    client.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1})


def test_table_lifecycle(server):
    client = server.client("dynamodb")
    make_table(client, "life")
    table = client.describe_table(TableName="life")["Table"]
    expect(table["TableStatus"], "ACTIVE")
    expect(table["TableArn"], "arn:aws:dynamodb:us-east-1:000000000000:table/life")
    expect(table["BillingModeSummary"]["BillingMode"], "PAY_PER_REQUEST")
    expect(client.list_tables()["TableNames"], ["life"])
    expect(error_of(make_table, client, "life"),
           ("ResourceInUseException", "Table already exists: life", 400))
    client.delete_table(TableName="life")
    client.get_waiter("table_not_exists").wait(TableName="life", WaiterConfig={"Delay": 1})
    expect(error_of(client.describe_table, TableName="life"),
           ("ResourceNotFoundException",
            "Requested resource not found: Table: life not found", 400))


def test_items_of_every_type(server):
    client = server.client("dynamodb")
    make_table(client, "types")
    item = {
        "pk": {"S": "all"},
        "s": {"S": "text with \"quotes\", \u00e9 and \U0001f600"},
        "empty": {"S": ""},
        "n": {"N": "-12345678901234567890.123456789012345678"},
        "small": {"N": "0.000000001"},
        "b": {"B": bytes(range(256))},
        "bool": {"BOOL": True},
        "null": {"NULL": True},
        "list": {"L": [{"N": "1"}, {"L": []}, {"M": {"deep": {"S": "x"}}}]},
        "map": {"M": {"a": {"BOOL": False}}},
        "ss": {"SS": ["a", "b", "c"]},
        "ns": {"NS": ["1", "2", "3.5"]},
        "bs": {"BS": [b"\x00", b"\xff"]},
    }
    client.put_item(TableName="types", Item=item)
    got = client.get_item(TableName="types", Key={"pk": {"S": "all"}}, ConsistentRead=True)["Item"]
    for sets in ("ss", "ns", "bs"):
        kind = sets.upper()
        got[sets][kind] = sorted(got[sets][kind])
    expect(got, item)
    expect("Item" in client.get_item(TableName="types", Key={"pk": {"S": "none"}}), False)
    expect(error_of(client.put_item, TableName="types", Item={"other": {"S": "x"}}),
           ("ValidationException",
            "One or more parameter values were invalid: Missing the key pk in the item", 400))
    code, _, _ = error_of(client.put_item, TableName="types",
                          Item={"pk": {"S": "big"}, "x": {"S": "y" * 410000}})
    expect(code, "ValidationException")


def test_resource_interface(server):
    resource = boto3.resource("dynamodb", endpoint_url=server.endpoint, region_name="us-east-1",
                              aws_access_key_id="test", aws_secret_access_key="test")
    make_table(server.client("dynamodb"), "res", sort="sk", sort_type="N")
    table = resource.Table("res")
    for i in range(20):
        table.put_item(Item={"pk": "p", "sk": i, "v": decimal.Decimal(i) / 4})
    from boto3.dynamodb.conditions import Attr, Key
    page = table.query(KeyConditionExpression=Key("pk").eq("p") & Key("sk").between(3, 8),
                       FilterExpression=Attr("v").gt(decimal.Decimal("1")))
    expect([int(i["sk"]) for i in page["Items"]], [5, 6, 7, 8])
    expect((page["Count"], page["ScannedCount"]), (4, 6))
    page = table.query(KeyConditionExpression=Key("pk").eq("p"), ScanIndexForward=False, Limit=3)
    expect([int(i["sk"]) for i in page["Items"]], [19, 18, 17])
    expect(page["LastEvaluatedKey"], {"pk": "p", "sk": decimal.Decimal(17)})


def test_update_and_conditions(server):
    client = server.client("dynamodb")
    make_table(client, "upd")
    key = {"pk": {"S": "a"}}
    out = client.update_item(
        TableName="upd", Key=key, UpdateExpression="SET #c = if_not_exists(#c, :zero) + :one, l = :l",
        ExpressionAttributeNames={"#c": "count"},
        ExpressionAttributeValues={":zero": {"N": "0"}, ":one": {"N": "1"}, ":l": {"L": [{"S": "x"}]}},
        ReturnValues="ALL_NEW")
    expect(out["Attributes"], {"pk": {"S": "a"}, "count": {"N": "1"}, "l": {"L": [{"S": "x"}]}})
    expect(error_of(client.put_item, TableName="upd", Item=key,
                    ConditionExpression="attribute_not_exists(pk)"),
           ("ConditionalCheckFailedException", "The conditional request failed", 400))
    client.update_item(TableName="upd", Key=key, UpdateExpression="REMOVE l[0] ADD #c :five",
                       ExpressionAttributeNames={"#c": "count"},
                       ExpressionAttributeValues={":five": {"N": "5"}})
    expect(client.get_item(TableName="upd", Key=key)["Item"],
           {"pk": {"S": "a"}, "count": {"N": "6"}, "l": {"L": []}})
    old = client.delete_item(TableName="upd", Key=key, ReturnValues="ALL_OLD")["Attributes"]
    expect(old["count"], {"N": "6"})
    expect("Item" in client.get_item(TableName="upd", Key=key), False)


def test_concurrent_counter(server):
    client = server.client("dynamodb")
    make_table(client, "ctr")

    def work():
        mine = server.client("dynamodb")
        for _ in range(50):
            mine.update_item(TableName="ctr", Key={"pk": {"S": "c"}}, UpdateExpression="ADD n :1",
                             ExpressionAttributeValues={":1": {"N": "1"}})

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expect(client.get_item(TableName="ctr", Key={"pk": {"S": "c"}})["Item"]["n"], {"N": "400"})


def test_scan_pages(server):
    client = server.client("dynamodb")
    make_table(client, "scan")
    for i in range(150):
        client.put_item(TableName="scan", Item={"pk": {"S": f"k{i}"}, "v": {"S": "x" * 20000}})
    seen, pages = set(), 0
    for page in client.get_paginator("scan").paginate(TableName="scan"):
        pages += 1
        seen |= {item["pk"]["S"] for item in page["Items"]}
    expect(len(seen), 150)
    if pages < 3:
        raise AssertionError(f"3 MB came in {pages} pages of 1 MB")
    seen = []
    for segment in range(4):
        for page in client.get_paginator("scan").paginate(
                TableName="scan", Segment=segment, TotalSegments=4, Limit=7):
            seen += [item["pk"]["S"] for item in page["Items"]]
    expect((len(seen), len(set(seen))), (150, 150))


def test_packed_answers(server):
    """As clients get them that ask; boto3 says that it wants none."""
    client = server.client("dynamodb")
    make_table(client, "packed")
    client.put_item(TableName="packed", Item={"pk": {"S": "a"}, "text": {"S": "x" * 100_000}})
    sent = []
    client.meta.events.register("before-send.dynamodb.Scan", lambda request, **_: sent.append(request))
    plain = client.scan(TableName="packed")["Items"]
    headers = dict(sent[0].headers.items())
    headers["Accept-Encoding"] = "gzip"
    with urllib.request.urlopen(urllib.request.Request(
            sent[0].url, data=sent[0].body, headers=headers, method="POST"), timeout=30) as answer:
        data = answer.read()
        expect(answer.headers["Content-Encoding"], "gzip")
        expect(answer.headers["x-amz-crc32"], str(zlib.crc32(data)))
    expect(len(data) < 10_000, True)
    expect(json.loads(gzip.decompress(data))["Items"], plain)


def answer_of(server, head, body):
    """Sent whole before anything is read, as most clients do; the status and body of the answer."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as c:
        c.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nX-Amz-Target: DynamoDB_20120810.ListTables\r\n"
                  b"Content-Type: application/x-amz-json-1.0\r\nX-Amz-Date: 20260101T000000Z\r\n"
                  b"Authorization: AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/dynamodb/aws4_request, "
                  b"SignedHeaders=host;x-amz-date, Signature=" + b"0" * 64 + b"\r\n" + head + b"\r\n\r\n" + body)
        answer = http.client.HTTPResponse(c)
        answer.begin()
        return answer.status, answer.read()


def test_bodies_that_are_refused(server):
    status, body = answer_of(server, b"Content-Length: 20000000", b"x" * 20_000_000)
    expect((status, b"RequestTooLargeException" in body), (413, True))
    status, body = answer_of(server, b"Transfer-Encoding: chunked", b"no number\r\n{}\r\n0\r\n\r\n")
    expect((status, b"chunked" in body), (400, True))


def test_cli(server):
    server.cli("dynamodb", "create-table", "--table-name", "cli", "--billing-mode",
               "PAY_PER_REQUEST", "--attribute-definitions", "AttributeName=pk,AttributeType=S",
               "--key-schema", "AttributeName=pk,KeyType=HASH")
    server.cli("dynamodb", "wait", "table-exists", "--table-name", "cli")
    server.cli("dynamodb", "put-item", "--table-name", "cli", "--item", '{"pk":{"S":"1"},"v":{"N":"7"}}')
    expect(server.cli("dynamodb", "get-item", "--table-name", "cli", "--key", '{"pk":{"S":"1"}}'),
           {"Item": {"pk": {"S": "1"}, "v": {"N": "7"}}})
    text = server.cli("dynamodb", "put-item", "--table-name", "nope", "--item", '{"pk":{"S":"1"}}',
                      check=False)
    if "ResourceNotFoundException" not in text:
        raise AssertionError(text)


def test_not_implemented_is_named(server):
    code, message, status = error_of(server.client("dynamodb").describe_export, ExportArn="x" * 40)
    expect((code, status), ("NotImplemented", 501))
    if "DescribeExport" not in message:
        raise AssertionError(message)


@own_server
def test_kill_under_load(server):
    """kill -9 while 8 clients write: every acknowledged write is there afterwards."""
    client = server.client("dynamodb")
    make_table(client, "kill")
    for round_number in range(3):
        acknowledged, stop = [], threading.Event()

        def work(number):
            mine = server.client("dynamodb", retries={"max_attempts": 0}, connect_timeout=2)
            sequence = 0
            while not stop.is_set():
                name = f"{round_number}-{number}-{sequence}"
                sequence += 1
                try:
                    mine.put_item(TableName="kill", Item={"pk": {"S": name}, "v": {"S": name * 20}})
                    acknowledged.append(name)
                except Exception:  # the server is gone: what we came for
                    return

        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        time.sleep(0.5 + random.random())
        server.kill_all()
        stop.set()
        for thread in threads:
            thread.join()
        server.start()
        if not acknowledged:
            raise AssertionError("nothing was written before the kill")
        for name in acknowledged:
            item = client.get_item(TableName="kill", Key={"pk": {"S": name}}, ConsistentRead=True)
            if item.get("Item", {}).get("v", {}).get("S") != name * 20:
                raise AssertionError(f"acknowledged write {name} of {len(acknowledged)} is lost")


@own_server
def test_worker_crash_is_survived(server):
    """The worker dies: the supervisor starts another, the port stays open, data is there."""
    client = server.client("dynamodb", retries={"max_attempts": 3, "mode": "standard"})
    make_table(client, "crash")
    client.put_item(TableName="crash", Item={"pk": {"S": "1"}})
    before = server.wait_ready()["worker_pid"]
    os.kill(before, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while server.wait_ready()["worker_pid"] == before:
        if time.monotonic() > deadline:
            raise AssertionError("no new worker")
    expect(client.get_item(TableName="crash", Key={"pk": {"S": "1"}})["Item"], {"pk": {"S": "1"}})
    expect(server.stop(), 0)


@own_server
def test_second_server_is_refused(server):
    other = harness.Server(endpoint=None)
    other.folder = server.folder
    other.log_path = os.path.join(server.folder, "other.log")
    other.start(wait=False)
    code = other.process.wait(30)
    other.process = None
    with open(other.log_path, encoding="utf-8") as f:
        text = f.read()
    if code == 0 or "in use" not in text:
        raise AssertionError(f"exit {code}: {text}")


def test_batches(server):
    client = server.client("dynamodb")
    make_table(client, "batch", sort="sk", sort_type="N")
    for start in range(0, 60, 20):
        answer = client.batch_write_item(RequestItems={"batch": [
            {"PutRequest": {"Item": {"pk": {"S": "p"}, "sk": {"N": str(i)}}}}
            for i in range(start, start + 20)]})
        expect(answer["UnprocessedItems"], {})
    client.batch_write_item(RequestItems={"batch": [
        {"DeleteRequest": {"Key": {"pk": {"S": "p"}, "sk": {"N": "7"}}}}]})
    keys = [{"pk": {"S": "p"}, "sk": {"N": str(i)}} for i in range(60)]
    got = client.batch_get_item(RequestItems={"batch": {"Keys": keys, "ConsistentRead": True}})
    expect(sorted(int(item["sk"]["N"]) for item in got["Responses"]["batch"]),
           [i for i in range(60) if i != 7])
    expect(got["UnprocessedKeys"], {})
    expect(client.describe_table(TableName="batch")["Table"]["ItemCount"], 59)


def test_indexes(server):
    """Orders by customer, by state through a global index, by amount through a local one."""
    client = server.client("dynamodb")
    client.create_table(
        TableName="orders", BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": n, "AttributeType": t} for n, t in
                              (("customer", "S"), ("id", "N"), ("state", "S"), ("amount", "N"))],
        KeySchema=[{"AttributeName": "customer", "KeyType": "HASH"},
                   {"AttributeName": "id", "KeyType": "RANGE"}],
        GlobalSecondaryIndexes=[{
            "IndexName": "by-state", "Projection": {"ProjectionType": "ALL"},
            "KeySchema": [{"AttributeName": "state", "KeyType": "HASH"},
                          {"AttributeName": "amount", "KeyType": "RANGE"}]}],
        LocalSecondaryIndexes=[{
            "IndexName": "by-amount", "Projection": {"ProjectionType": "KEYS_ONLY"},
            "KeySchema": [{"AttributeName": "customer", "KeyType": "HASH"},
                          {"AttributeName": "amount", "KeyType": "RANGE"}]}])
    client.get_waiter("table_exists").wait(TableName="orders", WaiterConfig={"Delay": 1})
    orders = [(f"c{i % 7}", i, ("open", "paid", "sent")[i % 3], i * 37 % 101) for i in range(200)]
    for start in range(0, len(orders), 25):
        answer = client.batch_write_item(RequestItems={"orders": [
            {"PutRequest": {"Item": {"customer": {"S": c}, "id": {"N": str(i)}, "state": {"S": s},
                                     "amount": {"N": str(t)}, "note": {"S": "x" * i}}}}
            for c, i, s, t in orders[start:start + 25]]}, ReturnItemCollectionMetrics="SIZE")
        expect(answer["UnprocessedItems"], {})
        expect(len(answer["ItemCollectionMetrics"]["orders"]), 7)

    def totals(index, **condition):
        pages = client.get_paginator("query").paginate(
            TableName="orders", IndexName=index, PaginationConfig={"PageSize": 7}, **condition)
        return [(int(i["amount"]["N"]), int(i["id"]["N"])) for p in pages for i in p["Items"]]

    by_state = {"KeyConditionExpression": "#s = :s", "ExpressionAttributeNames": {"#s": "state"},
                "ExpressionAttributeValues": {":s": {"S": "open"}}}
    want = sorted((t, i) for _, i, s, t in orders if s == "open")
    expect(sorted(totals("by-state", **by_state)), want)
    expect([t for t, _ in totals("by-state", **by_state)], [t for t, _ in want])
    expect([t for t, _ in totals("by-state", ScanIndexForward=False, **by_state)],
           [t for t, _ in reversed(want)])

    client.update_item(TableName="orders", Key={"customer": {"S": "c0"}, "id": {"N": "0"}},
                       UpdateExpression="SET #s = :s", ExpressionAttributeNames={"#s": "state"},
                       ExpressionAttributeValues={":s": {"S": "paid"}})
    expect(sorted(totals("by-state", **by_state)), [w for w in want if w[1] != 0])
    client.delete_item(TableName="orders", Key={"customer": {"S": "c3"}, "id": {"N": "3"}})
    expect(sorted(totals("by-state", **by_state)), [w for w in want if w[1] not in (0, 3)])

    page = client.query(TableName="orders", IndexName="by-amount", ConsistentRead=True,
                        Select="ALL_ATTRIBUTES", ReturnConsumedCapacity="INDEXES",
                        KeyConditionExpression="customer = :c AND amount < :t",
                        ExpressionAttributeValues={":c": {"S": "c1"}, ":t": {"N": "50"}})
    want = sorted((t, i) for c, i, _, t in orders if c == "c1" and t < 50)
    expect([(int(i["amount"]["N"]), len(i["note"]["S"])) for i in page["Items"]], want)
    expect(page["ConsumedCapacity"]["Table"]["CapacityUnits"], float(len(want)))
    expect(page["ConsumedCapacity"]["LocalSecondaryIndexes"]["by-amount"]["CapacityUnits"], 1.0)

    scanned = [i for p in client.get_paginator("scan").paginate(
        TableName="orders", IndexName="by-state", PaginationConfig={"PageSize": 11})
        for i in p["Items"]]
    expect(len(scanned), 199)
    expect(error_of(client.query, TableName="orders", IndexName="by-state", ConsistentRead=True,
                    **by_state),
           ("ValidationException",
            "Consistent reads are not supported on global secondary indexes", 400))
    expect(error_of(client.put_item, TableName="orders", Item={
        "customer": {"S": "c"}, "id": {"N": "1"}, "amount": {"S": "much"}}),
           ("ValidationException",
            "One or more parameter values were invalid: Type mismatch for Index Key amount "
            "Expected: N Actual: S IndexName: by-amount", 400))


def test_table_settings(server):
    client = server.client("dynamodb")
    make_table(client, "settings")
    arn = client.describe_table(TableName="settings")["Table"]["TableArn"]
    # What Debian's SDK does not know (deletion protection) is in the wire cases.
    client.update_table(TableName="settings", BillingMode="PROVISIONED",
                        ProvisionedThroughput={"ReadCapacityUnits": 1, "WriteCapacityUnits": 2})
    client.get_waiter("table_exists").wait(TableName="settings")
    table = client.describe_table(TableName="settings")["Table"]
    expect(table["ProvisionedThroughput"]["WriteCapacityUnits"], 2)
    client.tag_resource(ResourceArn=arn, Tags=[{"Key": "a", "Value": "1"}])
    expect(client.list_tags_of_resource(ResourceArn=arn)["Tags"], [{"Key": "a", "Value": "1"}])
    client.untag_resource(ResourceArn=arn, TagKeys=["a"])
    expect(client.list_tags_of_resource(ResourceArn=arn)["Tags"], [])
    expect(client.describe_limits()["TableMaxReadCapacityUnits"], 40000)
    client.delete_table(TableName="settings")


def index_of(name, key, sort=None):
    keys = [{"AttributeName": key, "KeyType": "HASH"}]
    if sort:
        keys.append({"AttributeName": sort, "KeyType": "RANGE"})
    return {"IndexName": name, "KeySchema": keys, "Projection": {"ProjectionType": "ALL"}}


def indexes(client, table):
    found = client.describe_table(TableName=table)["Table"].get("GlobalSecondaryIndexes", [])
    return {index["IndexName"]: index for index in found}


def wait_for_index(client, table, name, present=True):
    deadline = time.monotonic() + 60
    while True:
        index = indexes(client, table).get(name)
        if (index["IndexStatus"] == "ACTIVE") if index and present else (not index and not present):
            return index
        if time.monotonic() > deadline:
            raise AssertionError(f"index {name}: {index}")
        time.sleep(0.05)


def count(client, table, index, key, value):
    total, start = 0, {}
    while True:
        page = client.query(TableName=table, IndexName=index, Select="COUNT",
                            KeyConditionExpression="#k = :v", ExpressionAttributeNames={"#k": key},
                            ExpressionAttributeValues={":v": value}, **start)
        total += page["Count"]
        if "LastEvaluatedKey" not in page:
            return total
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}


def fill(client, table, items):
    for start in range(0, items, 25):
        client.batch_write_item(RequestItems={table: [
            {"PutRequest": {"Item": {"pk": {"S": f"k{i}"}, "even": {"N": str(i % 2)},
                                     "ten": {"S": f"t{i % 10}"}}}}
            for i in range(start, start + 25)]})


def test_table_with_indexes(server):
    client = server.client("dynamodb")
    client.create_table(
        TableName="indexed", BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": n, "AttributeType": "S"}
                              for n in ("pk", "sk", "a", "b")],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"},
                   {"AttributeName": "sk", "KeyType": "RANGE"}],
        LocalSecondaryIndexes=[index_of("local", "pk", "a")],
        GlobalSecondaryIndexes=[index_of("global", "b", "a")],
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"})
    client.get_waiter("table_exists").wait(TableName="indexed", WaiterConfig={"Delay": 1})
    for i in range(5):
        client.put_item(TableName="indexed", Item={
            "pk": {"S": "p"}, "sk": {"S": str(i)}, "a": {"S": f"a{i}"}, "b": {"S": "b"}})
    table = client.describe_table(TableName="indexed")["Table"]
    expect(table["LocalSecondaryIndexes"][0]["ItemCount"], 5)
    expect(table["GlobalSecondaryIndexes"][0]["ItemCount"], 5)
    expect(table["GlobalSecondaryIndexes"][0]["IndexArn"], table["TableArn"] + "/index/global")
    expect(table["LatestStreamArn"], f"{table['TableArn']}/stream/{table['LatestStreamLabel']}")
    expect(count(client, "indexed", "local", "pk", {"S": "p"}), 5)
    expect(count(client, "indexed", "global", "b", {"S": "b"}), 5)
    client.delete_table(TableName="indexed")


def test_index_on_a_live_table(server):
    client = server.client("dynamodb")
    make_table(client, "live")
    fill(client, "live", 500)
    client.update_table(
        TableName="live",
        AttributeDefinitions=[{"AttributeName": "even", "AttributeType": "N"},
                              {"AttributeName": "pk", "AttributeType": "S"}],
        GlobalSecondaryIndexUpdates=[{"Create": index_of("evens", "even", "pk")}])
    index = wait_for_index(client, "live", "evens")
    expect("Backfilling" in index, False)
    expect(index["ItemCount"], 500)
    expect(count(client, "live", "evens", "even", {"N": "1"}), 250)
    client.put_item(TableName="live", Item={"pk": {"S": "more"}, "even": {"N": "1"}})
    expect(count(client, "live", "evens", "even", {"N": "1"}), 251)
    client.update_table(TableName="live",
                        GlobalSecondaryIndexUpdates=[{"Delete": {"IndexName": "evens"}}])
    wait_for_index(client, "live", "evens", present=False)
    code, _, _ = error_of(count, client, "live", "evens", "even", {"N": "1"})
    expect(code, "ValidationException")
    client.delete_table(TableName="live")


@own_server
def test_kill_while_an_index_is_made(server):
    """kill -9 at some point of the filling: it goes on, and the index holds what the table does."""
    client = server.client("dynamodb")
    make_table(client, "filled")
    fill(client, "filled", 4000)
    for round_number in range(4):
        name = f"ten{round_number}"
        client.update_table(
            TableName="filled", AttributeDefinitions=[{"AttributeName": "ten", "AttributeType": "S"}],
            GlobalSecondaryIndexUpdates=[{"Create": index_of(name, "ten")}])
        time.sleep(round_number * 0.04)
        server.kill_all()
        server.start()
        client.put_item(TableName="filled", Item={"pk": {"S": name}, "ten": {"S": "t3"}})
        client.delete_item(TableName="filled", Key={"pk": {"S": f"k{round_number * 10 + 3}"}})
        wait_for_index(client, "filled", name)
        for index in range(round_number + 1):
            expect(count(client, "filled", f"ten{index}", "ten", {"S": "t3"}), 400)
            expect(count(client, "filled", f"ten{index}", "ten", {"S": "t4"}), 400)


def test_partiql(server):
    client = server.client("dynamodb")
    make_table(client, "partiql", sort="sk", sort_type="N")
    for i in range(12):
        client.execute_statement(
            Statement="INSERT INTO partiql VALUE {'pk': ?, 'sk': ?, 'data': ?}",
            Parameters=[{"S": "p"}, {"N": str(i)}, {"B": bytes([i])}])
    try:
        client.execute_statement(Statement="INSERT INTO partiql VALUE {'pk': 'p', 'sk': 1}")
        raise AssertionError("the item was inserted twice")
    except client.exceptions.DuplicateItemException:
        pass
    found, token = [], {}
    while True:
        page = client.execute_statement(
            Statement='SELECT sk, "data" FROM "partiql" WHERE pk = ? AND sk >= 2 ORDER BY sk DESC',
            Parameters=[{"S": "p"}], ConsistentRead=True, **token)
        found += [(int(item["sk"]["N"]), item["data"]["B"]) for item in page["Items"]]
        if "NextToken" not in page:
            break
        token = {"NextToken": page["NextToken"]}
    expect(found, [(i, bytes([i])) for i in range(11, 1, -1)])
    answer = client.execute_statement(
        Statement="UPDATE partiql SET n = 1 REMOVE \"data\" WHERE pk = 'p' AND sk = 3 "
                  "RETURNING ALL NEW *")
    expect(answer["Items"], [{"pk": {"S": "p"}, "sk": {"N": "3"}, "n": {"N": "1"}}])
    answer = client.batch_execute_statement(Statements=[
        {"Statement": "DELETE FROM partiql WHERE pk = 'p' AND sk = 3 AND n = 2"},
        {"Statement": "DELETE FROM partiql WHERE pk = 'p' AND sk = 3 AND n = 1"}])
    expect([r.get("Error", {}).get("Code") for r in answer["Responses"]],
           ["ConditionalCheckFailed", None])
    client.execute_transaction(TransactStatements=[
        {"Statement": "EXISTS(SELECT * FROM partiql WHERE pk = 'p' AND sk = 4 AND n IS MISSING)"},
        {"Statement": "UPDATE partiql SET n = 5 WHERE pk = 'p' AND sk = 5"}])
    answer = client.execute_transaction(TransactStatements=[
        {"Statement": "SELECT n FROM partiql WHERE pk = 'p' AND sk = 5"},
        {"Statement": "SELECT * FROM partiql WHERE pk = 'p' AND sk = 3"}])
    expect(answer["Responses"], [{"Item": {"n": {"N": "5"}}}, {}])
    client.delete_table(TableName="partiql")


if __name__ == "__main__":
    harness.main(globals())
