#!/usr/bin/python3
"""What other services do with objects of buckets: bulk puts of DynamoDB, code and lost records of Lambda."""
import gzip
import io
import json
import os
import shutil
import subprocess
import time
import urllib.request
import zipfile

import harness
from harness import error_of, expect, own_server

MODULES = os.path.join(harness.ROOT, "build", "js")
ROLE = "arn:aws:iam::000000000000:role/r"


def table(server, name="notes"):
    server.client("dynamodb").create_table(
        TableName=name, BillingMode="PAY_PER_REQUEST", KeySchema=[{"AttributeName": "p", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "p", "AttributeType": "S"}])


def line(p, **more):
    return json.dumps({"Item": {"p": {"S": p}, "n": {"N": "1"}}, **more}) + "\n"


def bulk(server, operation, body):
    return server.json("DynamoDB_20120810." + operation, body)


def start(server, prefix, compression="NONE", **more):
    answer = bulk(server, "StartBulkPutItems", {
        "TableName": "notes",
        "InputS3Configuration": {"S3Bucket": "load", "S3KeyPrefix": prefix, "InputFormat": "DYNAMODB_JSON",
                                 "InputCompressionType": compression},
        "OutputS3Configuration": {"S3Bucket": "load", "S3KeyPrefix": "out",
                                  "OutputType": ["ERROR", "CONDITION_CHECK_FAILURE"]}, **more})
    return answer["BulkOperationDescription"]["BulkOperationArn"]


def describe(server, arn):
    return bulk(server, "DescribeBulkOperation", {"BulkOperationArn": arn})["BulkOperationDescription"]


def wait_for(server, arn, seconds=60):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        seen = describe(server, arn)
        if seen["BulkOperationStatus"] not in ("IN_PROGRESS", "CANCELLING"):
            return seen
        time.sleep(0.05)
    raise AssertionError(f"the operation does not end: {seen}")


def report(server, arn, kind):
    """Records of all parts of a report, read back through S3."""
    s3 = server.client("s3")
    prefix = f"out/AWSDynamoDB/{arn.split('/')[-1]}/"
    keys = [o["Key"] for o in s3.list_objects_v2(Bucket="load", Prefix=prefix).get("Contents", [])]
    bodies = [s3.get_object(Bucket="load", Key=k)["Body"].read().decode() for k in keys if f"/{kind}" in k]
    return [json.loads(record) for body in bodies for record in body.splitlines()]


def items_of(server):
    pages = server.client("dynamodb").get_paginator("scan").paginate(TableName="notes", ProjectionExpression="p")
    return [item["p"]["S"] for page in pages for item in page["Items"]]


# ---- bulk puts ----

def test_bulk_javascript(server):
    table(server)
    s3 = server.client("s3")
    s3.create_bucket(Bucket="load")
    s3.put_object(Bucket="load", Key="in/1", Body=(line("a") + "no record\n" + line("b")).encode())
    s3.put_object(Bucket="load", Key="in/2", Body=line(
        "a", ConditionExpression="attribute_not_exists(p)").encode())
    script = os.path.join(MODULES, "bulk.mjs")
    shutil.copy(os.path.join(harness.ROOT, "test", "e2e", "bulk.mjs"), script)
    done = subprocess.run([os.path.join(MODULES, "node_modules", ".bin", "node"), script, server.endpoint],
                          capture_output=True, text=True, timeout=120)
    expect(done.stderr, "")
    seen = json.loads(done.stdout)
    arn = seen.pop("arn")
    expect(seen, {"started": "IN_PROGRESS", "status": "COMPLETED_WITH_ERRORS", "token": "string", "times": True,
                  "counts": [4, 1], "bytes": True, "listed": [True], "cancelled": "ValidationException",
                  "items": 2})
    errors = report(server, arn, "ERROR")
    expect([(e["S3Key"], e["Line"], e["Record"]) for e in errors], [("in/1", 2, "no record")])
    unmet = report(server, arn, "CONDITION_CHECK_FAILURE")
    expect([(e["S3Key"], e["Line"], e["ExistingItem"]["p"]) for e in unmet], [("in/2", 1, {"S": "a"})])
    manifest = report(server, arn, "manifest-summary.json")
    expect([m["bulkOperationStatus"] for m in manifest], ["COMPLETED_WITH_ERRORS"])
    expect(len(manifest[0]["outputFiles"]), 2)


def test_bulk_zstd(server):
    table(server)
    s3 = server.client("s3")
    s3.create_bucket(Bucket="load")
    packed = subprocess.run(["zstd", "-19", "-c"], input="".join(line(str(i)) for i in range(5000)).encode(),
                            capture_output=True, check=True).stdout if shutil.which("zstd") else None
    body = gzip.compress("".join(line(str(i)) for i in range(5000, 9000)).encode())
    s3.put_object(Bucket="load", Key="gz/1", Body=body)
    seen = wait_for(server, start(server, "gz/", "GZIP"))
    expect((seen["BulkOperationStatus"], seen["ProcessedItemCount"]), ("COMPLETED", 4000))
    expect(seen["TotalInputBytes"], len(body))
    if packed:
        s3.put_object(Bucket="load", Key="zst/1", Body=packed)
        seen = wait_for(server, start(server, "zst/", "ZSTD"))
        expect((seen["BulkOperationStatus"], seen["ProcessedItemCount"]), ("COMPLETED", 5000))
    expect(len(items_of(server)), 9000 if packed else 4000)


@own_server
def test_bulk_kill(server):
    """kill -9 again and again in the middle: no item is lost, and none of them is in the way of itself."""
    table(server)
    s3 = server.client("s3")
    s3.create_bucket(Bucket="load")
    count, objects = 30000, 6
    for o in range(objects):
        lines = [line(str(i), ConditionExpression="attribute_not_exists(p)") + ("bad\n" if i % 100 == 0 else "")
                 for i in range(o, count, objects)]
        body = "".join(lines).encode()
        s3.put_object(Bucket="load", Key=f"in/{o}", Body=body)
    arn = start(server, "in/")
    stops, before = 0, -1
    for wait in (0.15, 0.3, 0.1, 0.45, 0.2, 0.25):
        time.sleep(wait)
        done = describe(server, arn)["ProcessedItemCount"]
        assert done >= before, "what was counted is not"
        before = done
        stops += 0 < done < count
        server.kill_all()
        server.start()
    assert stops, "it was never in the middle"
    seen = wait_for(server, arn)
    expect(seen["BulkOperationStatus"], "COMPLETED_WITH_ERRORS")
    expect((seen["ProcessedItemCount"], seen["FailedItemCount"]), (count + count // 100, count // 100))
    expect(seen["ProcessedInputBytes"], seen["TotalInputBytes"])
    expect(sorted(items_of(server), key=int), [str(i) for i in range(count)])
    expect(len(report(server, arn, "ERROR")), count // 100)
    expect(report(server, arn, "CONDITION_CHECK_FAILURE"), [])


def test_bulk_others_go_on(server):
    """Requests are answered while items stream in."""
    table(server)
    table(server, "other")
    dynamodb, s3 = server.client("dynamodb"), server.client("s3")
    s3.create_bucket(Bucket="load")
    s3.put_object(Bucket="load", Key="in/1", Body="".join(line(str(i)) for i in range(60000)).encode())
    arn = start(server, "in/", PerformanceTier="ACCELERATED")
    times = []
    while describe(server, arn)["BulkOperationStatus"] == "IN_PROGRESS" and len(times) < 3000:
        begun = time.monotonic()
        dynamodb.put_item(TableName="other", Item={"p": {"S": "x"}})
        times.append(time.monotonic() - begun)
    assert len(times) > 5, f"it ended too soon: {len(times)}"
    expect(wait_for(server, arn)["ProcessedItemCount"], 60000)
    times.sort()
    assert times[len(times) // 2] < 0.1 and times[-1] < 2, f"others wait: {times[len(times) // 2]}, {times[-1]}"


def test_bulk_refused(server):
    table(server)
    server.client("s3").create_bucket(Bucket="load")
    def answer(**output):
        try:
            bulk(server, "StartBulkPutItems", {
                "TableName": "notes", "InputS3Configuration": {"S3Bucket": "load", "InputFormat": "DYNAMODB_JSON"},
                "OutputS3Configuration": {"S3Bucket": "load", "OutputType": ["ERROR"], **output}})
        except urllib.request.HTTPError as error:
            return error.code, json.loads(error.read())["message"].split(" is not")[0]
        return 200, ""
    # S3 here does not say of objects that they are encrypted.
    expect(answer(S3SseAlgorithm="AES256"), (501, "OutputS3Configuration.S3SseAlgorithm"))
    seen = wait_for(server, start(server, "none/"))
    expect((seen["BulkOperationStatus"], seen["FailureCode"]), ("FAILED", "S3NoSuchKey"))


@harness.options("--auth", "strict")
def test_bulk_policies(server):
    """As the one who started it: who may not read the objects loads nothing."""
    with open(os.path.join(server.folder, "data", "root-credentials"), encoding="utf-8") as f:
        lines = dict(map(str.strip, line.split("=", 1)) for line in f if "=" in line)
    root = dict(key=lines["aws_access_key_id"], secret=lines["aws_secret_access_key"])
    iam, s3 = server.client("iam", **root), server.client("s3", **root)
    server.client("dynamodb", **root).create_table(
        TableName="notes", BillingMode="PAY_PER_REQUEST", KeySchema=[{"AttributeName": "p", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "p", "AttributeType": "S"}])
    s3.create_bucket(Bucket="load")
    s3.put_object(Bucket="load", Key="in/1", Body=line("a").encode())
    iam.create_user(UserName="alice")
    made = iam.create_access_key(UserName="alice")["AccessKey"]
    script = os.path.join(MODULES, "bulk_as.mjs")
    with open(script, "w", encoding="ascii") as f:
        f.write("""
import { DynamoDBClient, DescribeBulkOperationCommand, StartBulkPutItemsCommand } from "@aws-sdk/client-dynamodb";
const [endpoint, accessKeyId, secretAccessKey] = process.argv.slice(2);
const client = new DynamoDBClient({ endpoint, region: "us-east-1", maxAttempts: 1,
    credentials: { accessKeyId, secretAccessKey } });
const started = await client.send(new StartBulkPutItemsCommand({ TableName: "notes",
    InputS3Configuration: { S3Bucket: "load", S3KeyPrefix: "in/", InputFormat: "DYNAMODB_JSON" },
    OutputS3Configuration: { S3Bucket: "load", S3KeyPrefix: "out", OutputType: ["ERROR"] } }));
const { BulkOperationArn } = started.BulkOperationDescription;
for (let i = 0; i < 100; i++) {
    const d = (await client.send(new DescribeBulkOperationCommand({ BulkOperationArn }))).BulkOperationDescription;
    if (d.BulkOperationStatus !== "IN_PROGRESS") {
        console.log(d.BulkOperationStatus, d.FailureCode);
        break;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
}
""")
    def run(*allowed):
        iam.put_user_policy(UserName="alice", PolicyName="p", PolicyDocument=json.dumps(
            {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": list(allowed), "Resource": "*"}]}))
        done = subprocess.run(
            [os.path.join(MODULES, "node_modules", ".bin", "node"), script, server.endpoint, made["AccessKeyId"],
             made["SecretAccessKey"]], capture_output=True, text=True, timeout=60)
        return done.stdout.strip() or done.stderr
    assert "AccessDenied" in run("s3:*")
    expect(run("dynamodb:*"), "FAILED S3AccessDenied")
    expect(run("dynamodb:*", "s3:PutObject", "s3:ListBucket"), "FAILED S3AccessDenied")
    expect(run("dynamodb:*", "s3:PutObject", "s3:ListBucket", "s3:GetObject"), "COMPLETED undefined")


# ---- Lambda ----

def zip_of(text):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        z.writestr("handler.py", text)
    return out.getvalue()


def wait_active(functions, name):
    functions.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})
    functions.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})


def test_code_in_a_bucket(server):
    functions, s3 = server.client("lambda"), server.client("s3")
    s3.create_bucket(Bucket="code")
    one = zip_of("def run(event, context):\n    return 'one'\n")
    two = zip_of("def run(event, context):\n    return 'two'\n")
    s3.put_object(Bucket="code", Key="one.zip", Body=one)
    s3.put_object(Bucket="code", Key="two.zip", Body=two)
    functions.create_function(FunctionName="f", Runtime="python3.11", Handler="handler.run", Role=ROLE,
                              Code={"S3Bucket": "code", "S3Key": "one.zip"})
    wait_active(functions, "f")
    expect(json.load(functions.invoke(FunctionName="f")["Payload"]), "one")
    where = functions.get_function(FunctionName="f")["Code"]
    expect(where["RepositoryType"], "S3")
    with urllib.request.urlopen(where["Location"], timeout=10) as answer:
        expect(answer.read(), one)
    s3.delete_object(Bucket="code", Key="one.zip")
    functions.update_function_code(FunctionName="f", S3Bucket="code", S3Key="two.zip", Publish=True)
    wait_active(functions, "f")
    expect(json.load(functions.invoke(FunctionName="f", Qualifier="1")["Payload"]), "two")
    code, message = error_of(functions.update_function_code, FunctionName="f", S3Bucket="code", S3Key="one.zip")[:2]
    expect(code, "InvalidParameterValueException")
    wanted = "Error occurred while GetObject. S3 Error Code: NoSuchKey. S3 Error Message: The specified key does not exist"
    expect(message[:len(wanted)], wanted)
    layer = functions.publish_layer_version(LayerName="l", Content={"S3Bucket": "code", "S3Key": "two.zip"})
    expect(layer["Content"]["CodeSize"], len(two))


def test_lost_records(server):
    """What a function could not process of a stream, and events that failed, become objects."""
    functions, s3, dynamodb = server.client("lambda"), server.client("s3"), server.client("dynamodb")
    s3.create_bucket(Bucket="lost")
    functions.create_function(
        FunctionName="f", Runtime="python3.11", Handler="handler.run", Role=ROLE,
        Code={"ZipFile": zip_of("def run(event, context):\n    raise ValueError('no')\n")})
    wait_active(functions, "f")
    stream = dynamodb.create_table(
        TableName="notes", BillingMode="PAY_PER_REQUEST", KeySchema=[{"AttributeName": "p", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "p", "AttributeType": "S"}],
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"})["TableDescription"]["LatestStreamArn"]
    mapping = functions.create_event_source_mapping(
        FunctionName="f", EventSourceArn=stream, StartingPosition="TRIM_HORIZON", MaximumRetryAttempts=0,
        DestinationConfig={"OnFailure": {"Destination": "arn:aws:s3:::lost"}})["UUID"]
    dynamodb.put_item(TableName="notes", Item={"p": {"S": "a \"quoted\" key"}})
    functions.put_function_event_invoke_config(
        FunctionName="f", MaximumRetryAttempts=0,
        DestinationConfig={"OnFailure": {"Destination": "arn:aws:s3:::lost"}})
    functions.invoke(FunctionName="f", InvocationType="Event", Payload=b'{"event": 1}')
    until, keys = time.monotonic() + 60, []
    while len(keys) < 2 and time.monotonic() < until:
        keys = [o["Key"] for o in s3.list_objects_v2(Bucket="lost").get("Contents", [])]
        time.sleep(0.1)
    expect(len(keys), 2)
    told = json.loads(s3.get_object(Bucket="lost", Key=next(k for k in keys if "/async/f/2" in k))["Body"].read())
    expect((told["requestPayload"], told["responsePayload"]["errorType"]), ({"event": 1}, "ValueError"))
    key = next(k for k in keys if k.startswith(f"aws/lambda/{mapping}/shardId-"))
    told = json.loads(s3.get_object(Bucket="lost", Key=key)["Body"].read())
    expect(told["DDBStreamBatchInfo"]["batchSize"], 1)
    expect(json.loads(told["payload"])["Records"][0]["dynamodb"]["Keys"], {"p": {"S": "a \"quoted\" key"}})


if __name__ == "__main__":
    harness.main(globals())
