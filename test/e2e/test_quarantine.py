#!/usr/bin/python3
"""Work that is being done when the worker crashes twice is put aside; what is behind it goes on."""
import io
import json
import os
import signal
import time
import zipfile

from harness import expect, main, own_server

ROLE = "arn:aws:iam::000000000000:role/none"
WORK = """
import json, time
def handler(event, context):
    for record in event['Records']:
        number = record['dynamodb']['Keys']['k']['S']
        print('at', number, flush=True)
        if number == 'poison':
            time.sleep(60)
def lost(event, context):
    print('lost', json.dumps(event), flush=True)
def slow(event, context):
    print('began', flush=True)
    time.sleep(60)
"""


def deploy(server, name, handler):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        z.writestr("index.py", WORK)
    functions = server.client("lambda")
    functions.create_function(FunctionName=name, Runtime="python3.11", Handler="index." + handler, Role=ROLE,
                              Code={"ZipFile": out.getvalue()}, Timeout=90, MemorySize=512)
    functions.get_waiter("function_active_v2").wait(FunctionName=name)
    return functions.get_function_configuration(FunctionName=name)["FunctionArn"]


def lines(server, name, text):
    logs = server.client("logs", retries={"max_attempts": 5, "mode": "standard"})
    try:
        events = logs.filter_log_events(logGroupName="/aws/lambda/" + name, limit=1000)["events"]
    except logs.exceptions.ResourceNotFoundException:
        return []
    return [e["message"] for e in events if text in e["message"]]


def wait_lines(server, name, text, count):
    deadline = time.monotonic() + 60
    found = []
    while time.monotonic() < deadline:
        try:
            found = lines(server, name, text)
        except Exception:  # the worker is not there just now
            found = []
        if len(found) >= count:
            return found
        time.sleep(0.1)
    raise AssertionError(f"{name} has not printed {text!r} {count} times: {found}\n{server.log()}")


def crash_worker(server):
    """kill -9 of the worker alone, which the supervisor starts again."""
    def kib(pid):
        with open(f"/proc/{pid}/statm", encoding="ascii") as f:
            return int(f.read().split()[1])

    pid = server.process.pid
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
        worker = max(map(int, f.read().split()), key=kib)
    os.kill(worker, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        time.sleep(0.1)
        if not os.path.exists(f"/proc/{worker}"):
            server.wait_ready()
            return
    raise AssertionError("the worker did not end")


@own_server
def test_stream_batch(server):
    deploy(server, "work", "handler")
    lost = deploy(server, "lost", "lost")
    dynamodb, functions = server.client("dynamodb"), server.client("lambda")
    table = dynamodb.create_table(
        TableName="table", BillingMode="PAY_PER_REQUEST", KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}],
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"})["TableDescription"]
    uuid = functions.create_event_source_mapping(
        EventSourceArn=table["LatestStreamArn"], FunctionName="work", StartingPosition="TRIM_HORIZON", BatchSize=1,
        DestinationConfig={"OnFailure": {"Destination": lost}})["UUID"]
    for key in ("before", "poison", "after"):
        dynamodb.put_item(TableName="table", Item={"k": {"S": key}})
    wait_lines(server, "work", "at poison", 1)
    crash_worker(server)
    wait_lines(server, "work", "at poison", 2)
    expect(lines(server, "lost", "lost"), [])
    crash_worker(server)
    wait_lines(server, "work", "at after", 1)
    told = json.loads(wait_lines(server, "lost", "lost {", 1)[0].split("lost ", 1)[1])
    expect(told["requestContext"]["condition"], "RetryAttemptsExhausted")
    expect(told["DDBStreamBatchInfo"]["batchSize"], 1)
    expect((len(lines(server, "work", "at before")), len(lines(server, "work", "at poison"))), (1, 2))
    expect(functions.get_event_source_mapping(UUID=uuid)["State"], "Enabled")
    assert "is put aside" in server.log()


@own_server
def test_event(server):
    """The same of an asynchronous event; and kills of the whole server do not count."""
    deploy(server, "slow", "slow")
    server.client("lambda").invoke(FunctionName="slow", InvocationType="Event", Payload=b"{}")
    wait_lines(server, "slow", "began", 1)
    for runs in (2, 3):
        server.stop(kill=True)
        server.start()
        wait_lines(server, "slow", "began", runs)
    crash_worker(server)
    wait_lines(server, "slow", "began", 4)
    crash_worker(server)
    time.sleep(3)
    expect(len(lines(server, "slow", "began")), 4)
    assert "is put aside" in server.log()


if __name__ == "__main__":
    main(globals())
