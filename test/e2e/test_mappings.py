#!/usr/bin/python3
"""Event source mappings through boto3: a table's stream, a Python function, the real binary."""
import io
import json
import random
import threading
import time
import zipfile

from harness import error_of, expect, main, own_server

ROLE = "arn:aws:iam::000000000000:role/none"

# Writes what it was given, a line for each invocation, to its log, and to a table in the cloud.
CODE = """
import json, os, time, urllib.request

def put(table, item):
    request = urllib.request.Request('http://127.0.0.1:4566/', method='POST', headers={
        'Content-Type': 'application/x-amz-json-1.0', 'X-Amz-Target': 'DynamoDB_20120810.PutItem',
        'X-Amz-Date': '20260101T000000Z', 'Authorization': 'AWS4-HMAC-SHA256 Credential=' +
        os.environ['AWS_ACCESS_KEY_ID'] + '/20260101/us-east-1/dynamodb/aws4_request, '
        'SignedHeaders=host, Signature=' + '0' * 64},
        data=json.dumps({'TableName': table, 'Item': item}).encode())
    urllib.request.urlopen(request).read()

def handler(event, context):
    seen = [(r['dynamodb']['Keys']['pk']['S'], r['dynamodb']['NewImage']['n']['N'],
             r['dynamodb']['SequenceNumber']) for r in event['Records']]
    put('seen', {'pk': {'S': context.aws_request_id}, 'seen': {'S': json.dumps(seen)},
                 'at': {'N': str(time.time_ns())}})
    poison = [s for pk, n, s in seen if pk == 'poison']
    if poison:
        raise ValueError('poison')
    return None

def count(event, context):
    n = event['state'].get('n', 0) + len(event['Records'])
    if event['isFinalInvokeForWindow']:
        put('windows', {'pk': {'S': event['window']['start']}, 'n': {'S': str(n)}})
    return {'state': {'n': n}}

def lost(event, context):
    put('lost', {'pk': {'S': context.aws_request_id}, 'event': {'S': json.dumps(event)}})
"""


def code():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        z.writestr("index.py", CODE)
    return out.getvalue()


def table(client, name, stream=False):
    more = {"StreamSpecification": {"StreamEnabled": True,
                                    "StreamViewType": "NEW_AND_OLD_IMAGES"}} if stream else {}
    client.create_table(TableName=name, BillingMode="PAY_PER_REQUEST",
                        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
                        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}], **more)
    client.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1})
    return client.describe_table(TableName=name)["Table"].get("LatestStreamArn")


def function(functions, name, handler="index.handler"):
    functions.create_function(FunctionName=name, Runtime="python3.11", Handler=handler, Role=ROLE,
                              Code={"ZipFile": code()}, Timeout=30)
    functions.get_waiter("function_active_v2").wait(FunctionName=name)
    return functions.get_function_configuration(FunctionName=name)["FunctionArn"]


def wait_for(what, check, seconds=30):
    deadline = time.monotonic() + seconds
    while True:
        got = check()
        if got:
            return got
        if time.monotonic() > deadline:
            raise AssertionError(f"no {what} after {seconds} s")
        time.sleep(0.1)


def wait_state(functions, uuid, state):
    wait_for(state, lambda: functions.get_event_source_mapping(UUID=uuid)["State"] == state)


def scan(client, name, member):
    items, more = [], {}
    while True:
        page = client.scan(TableName=name, ConsistentRead=True, **more)
        items += [json.loads(i[member]["S"]) for i in page["Items"]]
        if "LastEvaluatedKey" not in page:
            return items
        more = {"ExclusiveStartKey": page["LastEvaluatedKey"]}


def seen_of(client):
    """What every invocation saw, in the order of the stream's numbers."""
    return sorted((tuple(r) for batch in scan(client, "seen", "seen") for r in batch),
                  key=lambda r: int(r[2]))


def numbers_of_key(client):
    """Key -> numbers, in the order in which invocations began."""
    batches, found = sorted(client.scan(TableName="seen", ConsistentRead=True)["Items"],
                            key=lambda i: int(i["at"]["N"])), {}
    for batch in batches:
        for pk, n, _ in json.loads(batch["seen"]["S"]):
            found.setdefault(pk, []).append(int(n))
    return found


def put(client, pk, n):
    client.put_item(TableName="source", Item={"pk": {"S": pk}, "n": {"N": str(n)}})


@own_server
def test_writes_arrive(server):
    client, functions = server.client("dynamodb"), server.client("lambda")
    arn = table(client, "source", stream=True)
    table(client, "seen")
    function(functions, "f")
    mapping = functions.create_event_source_mapping(
        EventSourceArn=arn, FunctionName="f", StartingPosition="TRIM_HORIZON", BatchSize=10,
        ParallelizationFactor=4,
        FilterCriteria={"Filters": [{"Pattern": json.dumps({"eventName": ["INSERT", "MODIFY"]})}]})
    expect((mapping["State"], mapping["ResponseMetadata"]["HTTPStatusCode"]), ("Creating", 202))
    uuid = mapping["UUID"]
    wait_state(functions, uuid, "Enabled")
    wanted = []
    for n in range(60):
        pk = f"k{random.randrange(5)}"
        put(client, pk, n)
        wanted.append((pk, str(n)))
    client.delete_item(TableName="source", Key={"pk": {"S": "k0"}})  # filtered out
    wait_for("records", lambda: len(seen_of(client)) >= 60)
    expect([r[:2] for r in seen_of(client)], wanted)
    for pk, numbers in numbers_of_key(client).items():
        expect(numbers, [int(n) for k, n in wanted if k == pk])
    expect(functions.get_event_source_mapping(UUID=uuid)["LastProcessingResult"], "OK")
    code_, message, _ = error_of(functions.create_event_source_mapping, EventSourceArn=arn,
                                 FunctionName="f", StartingPosition="LATEST")
    expect(code_, "ResourceConflictException")
    expect(uuid in message, True)
    listed = functions.list_event_source_mappings(FunctionName="f")["EventSourceMappings"]
    expect([m["UUID"] for m in listed], [uuid])
    # Switched off nothing arrives, switched on again nothing was lost.
    functions.update_event_source_mapping(UUID=uuid, Enabled=False)
    wait_state(functions, uuid, "Disabled")
    put(client, "off", 1)
    time.sleep(1.5)
    expect(len(seen_of(client)), 60)
    functions.update_event_source_mapping(UUID=uuid, Enabled=True)
    wait_for("the record", lambda: len(seen_of(client)) == 61)
    wait_state(functions, uuid, "Enabled")
    functions.delete_event_source_mapping(UUID=uuid)
    wait_for("end", lambda: not functions.list_event_source_mappings()["EventSourceMappings"])


@own_server
def test_bisect_and_destination(server):
    client, functions = server.client("dynamodb"), server.client("lambda")
    arn = table(client, "source", stream=True)
    table(client, "seen")
    table(client, "lost")
    function(functions, "f")
    lost = function(functions, "lost", "index.lost")
    for n in range(4):
        put(client, f"a{n}", n)
    put(client, "poison", 4)
    for n in range(5, 8):
        put(client, f"a{n}", n)
    functions.create_event_source_mapping(
        EventSourceArn=arn, FunctionName="f", StartingPosition="TRIM_HORIZON",
        BisectBatchOnFunctionError=True, MaximumRetryAttempts=1,
        DestinationConfig={"OnFailure": {"Destination": lost}})
    record = wait_for("lost record", lambda: scan(client, "lost", "event"))[0]
    expect(record["requestContext"]["condition"], "RetryAttemptsExhausted")
    expect(record["responseContext"]["functionError"], "Unhandled")
    info = record["DDBStreamBatchInfo"]
    expect((info["batchSize"], info["streamArn"]), (1, arn))
    good = wait_for("the others", lambda: {r[1] for b in scan(client, "seen", "seen")
                                           if not any(r[0] == "poison" for r in b) for r in b}
                    >= {"0", "1", "2", "3", "5", "6", "7"})
    expect(good, True)
    poison = [r[2] for r in seen_of(client) if r[0] == "poison"][0]
    expect((info["startSequenceNumber"], info["endSequenceNumber"]), (poison, poison))
    expect(len(scan(client, "lost", "event")), 1)


@own_server
def test_tumbling_window(server):
    client, functions = server.client("dynamodb"), server.client("lambda")
    arn = table(client, "source", stream=True)
    table(client, "windows")
    function(functions, "count", "index.count")
    uuid = functions.create_event_source_mapping(
        EventSourceArn=arn, FunctionName="count", StartingPosition="LATEST",
        TumblingWindowInSeconds=3)["UUID"]
    wait_state(functions, uuid, "Enabled")
    for n in range(10):
        put(client, f"k{n}", n)
    wait_for("windows", lambda: sum(scan(client, "windows", "n")) == 10)


@own_server
def test_kill_loses_nothing(server):
    client, functions = server.client("dynamodb"), server.client("lambda")
    arn = table(client, "source", stream=True)
    table(client, "seen")
    function(functions, "f")
    functions.create_event_source_mapping(EventSourceArn=arn, FunctionName="f", BatchSize=7,
                                          StartingPosition="TRIM_HORIZON")
    acknowledged = []

    def write(begin, end):
        writer = server.client("dynamodb")
        for n in range(begin, end):
            try:
                writer.put_item(TableName="source", Item={"pk": {"S": f"k{n % 5}"},
                                                     "n": {"N": str(n)}})
                acknowledged.append(str(n))
            except Exception:  # the server was killed
                return

    for i in range(3):
        thread = threading.Thread(target=write, args=(1000 * i, 1000 * i + 400))
        thread.start()
        time.sleep(0.5 + random.random())
        server.stop(kill=True)
        thread.join()
        server.start()
    write(5000, 5010)
    wanted = set(acknowledged)
    expect(len(wanted) > 20, True)
    wait_for("records", lambda: {r[1] for r in seen_of(client)} >= wanted)
    # In the order of the stream, apart from what was done twice.
    expect(len({r[2] for r in seen_of(client)}) >= len(wanted), True)


if __name__ == "__main__":
    main(globals())
