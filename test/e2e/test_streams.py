#!/usr/bin/python3
"""DynamoDB Streams and time to live through boto3 against the real binary."""
import random
import threading
import time

import harness
from harness import error_of, expect, own_server


def make_table(client, name, view="NEW_AND_OLD_IMAGES"):
    client.create_table(TableName=name, BillingMode="PAY_PER_REQUEST",
                        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
                        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
                        StreamSpecification={"StreamEnabled": True, "StreamViewType": view})
    client.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1})
    return client.describe_table(TableName=name)["Table"]["LatestStreamArn"]


def read_all(streams, arn):
    """Every record that the stream has now, shard after shard."""
    found = []
    for shard in streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]:
        iterator = streams.get_shard_iterator(StreamArn=arn, ShardId=shard["ShardId"],
                                              ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
        while iterator:
            page = streams.get_records(ShardIterator=iterator, Limit=1000)
            found += page["Records"]
            iterator = page.get("NextShardIterator") if page["Records"] else None
    return found


def test_records_of_writes(server):
    client, streams = server.client("dynamodb"), server.client("dynamodbstreams")
    arn = make_table(client, "records")
    listed = streams.list_streams(TableName="records")["Streams"]
    expect([s["StreamArn"] for s in listed], [arn])
    client.put_item(TableName="records", Item={"pk": {"S": "a"}, "v": {"N": "1"}})
    client.put_item(TableName="records", Item={"pk": {"S": "a"}, "v": {"N": "1"}})
    client.update_item(TableName="records", Key={"pk": {"S": "a"}},
                       UpdateExpression="SET v = v + :one",
                       ExpressionAttributeValues={":one": {"N": "1"}})
    client.delete_item(TableName="records", Key={"pk": {"S": "a"}})
    records = read_all(streams, arn)
    expect([r["eventName"] for r in records], ["INSERT", "MODIFY", "REMOVE"])
    change = records[1]["dynamodb"]
    expect(change["Keys"], {"pk": {"S": "a"}})
    expect(change["OldImage"], {"pk": {"S": "a"}, "v": {"N": "1"}})
    expect(change["NewImage"], {"pk": {"S": "a"}, "v": {"N": "2"}})
    expect(change["StreamViewType"], "NEW_AND_OLD_IMAGES")
    expect(len({r["eventID"] for r in records}), 3)
    expect(records[0]["eventSource"], "aws:dynamodb")
    numbers = [r["dynamodb"]["SequenceNumber"] for r in records]
    expect(numbers, sorted(numbers))
    description = streams.describe_stream(StreamArn=arn)["StreamDescription"]
    expect(description["StreamStatus"], "ENABLED")
    code, message, _ = error_of(streams.get_records, ShardIterator=arn + "|1|AAAA")
    expect((code, message), ("ValidationException", "Invalid ShardIterator"))


def test_stream_outlives_its_table(server):
    client, streams = server.client("dynamodb"), server.client("dynamodbstreams")
    arn = make_table(client, "gone", "KEYS_ONLY")
    client.put_item(TableName="gone", Item={"pk": {"S": "a"}})
    client.delete_table(TableName="gone")
    deadline = time.monotonic() + 30
    while streams.describe_stream(StreamArn=arn)["StreamDescription"]["StreamStatus"] != "DISABLED":
        if time.monotonic() > deadline:
            raise AssertionError("the stream is not disabled")
        time.sleep(0.1)
    shard = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"][0]
    if "EndingSequenceNumber" not in shard["SequenceNumberRange"]:
        raise AssertionError("the shard has no end")
    expect([r["dynamodb"]["Keys"] for r in read_all(streams, arn)], [{"pk": {"S": "a"}}])


def test_due_items_are_deleted(server):
    client, streams = server.client("dynamodb"), server.client("dynamodbstreams")
    arn = make_table(client, "ttl", "OLD_IMAGE")
    now = int(time.time())
    client.put_item(TableName="ttl", Item={"pk": {"S": "before"}, "at": {"N": str(now - 10)}})
    client.update_time_to_live(TableName="ttl", TimeToLiveSpecification={
        "AttributeName": "at", "Enabled": True})
    client.put_item(TableName="ttl", Item={"pk": {"S": "soon"}, "at": {"N": str(now + 2)}})
    client.put_item(TableName="ttl", Item={"pk": {"S": "later"}, "at": {"N": str(now + 3600)}})
    client.put_item(TableName="ttl", Item={"pk": {"S": "text"}, "at": {"S": str(now - 10)}})
    deadline = time.monotonic() + 30
    while len(client.scan(TableName="ttl")["Items"]) > 2:
        if time.monotonic() > deadline:
            raise AssertionError("due items are still there")
        time.sleep(0.2)
    expect(sorted(i["pk"]["S"] for i in client.scan(TableName="ttl")["Items"]), ["later", "text"])
    expect(client.describe_time_to_live(TableName="ttl")["TimeToLiveDescription"],
           {"TimeToLiveStatus": "ENABLED", "AttributeName": "at"})
    gone = [r for r in read_all(streams, arn) if r["eventName"] == "REMOVE"]
    expect(sorted(r["dynamodb"]["Keys"]["pk"]["S"] for r in gone), ["before", "soon"])
    for record in gone:
        expect(record["userIdentity"], {"Type": "Service", "PrincipalId": "dynamodb.amazonaws.com"})
    expect(error_of(client.update_time_to_live, TableName="ttl", TimeToLiveSpecification={
        "AttributeName": "at", "Enabled": False}),
        ("ValidationException",
         "Time to live has been modified multiple times within a fixed interval", 400))


def write_until(server, table, stop, prefix, acknowledged):
    client = server.client("dynamodb", retries={"max_attempts": 0}, connect_timeout=2)
    sequence = 0
    while not stop.is_set():
        name = f"{prefix}-{sequence}"
        sequence += 1
        try:
            client.put_item(TableName=table, Item={"pk": {"S": name}})
            acknowledged.append(name)
        except Exception:  # the server is gone: what we came for
            return


@own_server
def test_kill_under_load(server):
    """kill -9 while 8 clients write: every acknowledged write has exactly one record."""
    client, streams = server.client("dynamodb"), server.client("dynamodbstreams")
    arn = make_table(client, "kill", "KEYS_ONLY")
    acknowledged = []
    for round_number in range(3):
        stop = threading.Event()
        threads = [threading.Thread(target=write_until, args=(
            server, "kill", stop, f"{round_number}-{n}", acknowledged)) for n in range(8)]
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
    items = set()
    for page in client.get_paginator("scan").paginate(TableName="kill"):
        items |= {i["pk"]["S"] for i in page["Items"]}
    told = [r["dynamodb"]["Keys"]["pk"]["S"] for r in read_all(streams, arn)]
    lost = set(acknowledged) - set(told)
    if lost:
        raise AssertionError(f"{len(lost)} of {len(acknowledged)} writes have no record")
    expect(len(told), len(set(told)))
    expect(set(told), items)


if __name__ == "__main__":
    harness.main(globals())
