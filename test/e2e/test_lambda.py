#!/usr/bin/python3
"""Lambda's control plane as boto3 and HTTP clients use it: versions, aliases, function URLs ..."""
import base64
import http.client
import io
import json
import time
import urllib.parse
import zipfile

import botocore.auth
import botocore.awsrequest
import botocore.credentials

from harness import error_of, expect, main, own_server

ROLE = "arn:aws:iam::000000000000:role/none"
PROGRAM = """
import os
def handler(event, context):
    return {"arn": context.invoked_function_arn, "version": context.function_version,
            "env": os.environ["AWS_LAMBDA_FUNCTION_VERSION"], "stream": context.log_stream_name,
            "mark": "%s", "event": event}
def web(event, context):
    if event["rawPath"] == "/fail":
        raise ValueError("no")
    if event["rawPath"] == "/untyped":
        return {"statusCode": 200, "body": json_of(event)}
    return {"statusCode": 201, "headers": {"X-Mine": "1", "Access-Control-Allow-Origin": "own"},
            "cookies": ["a=1", "b=2"], "body": json_of(event)}
def json_of(event):
    import json
    return json.dumps(event)
def told(event, context):
    return {"trace": os.environ["_X_AMZN_TRACE_ID"], "environment": dict(os.environ)}
def fail(event, context):
    raise ValueError("always")
SEEN = []
def collect(event, context):
    if event.get("read"):
        return SEEN
    if event.get("told"):
        event = context.client_context and context.client_context.custom
    SEEN.append(event)
"""


def archive(mark="one"):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        z.writestr("m.py", PROGRAM % mark)
    return out.getvalue()


def create(functions, name, handler="handler", **more):
    functions.create_function(FunctionName=name, Runtime="python3.11", Handler=f"m.{handler}",
                              Role=ROLE, Code={"ZipFile": archive()}, **more)
    functions.get_waiter("function_active_v2").wait(FunctionName=name)


def invoke(functions, name, **more):
    answer = functions.invoke(FunctionName=name, **more)
    return answer, json.loads(answer["Payload"].read())


def test_versions_and_aliases(server):
    functions = server.client("lambda")
    create(functions, "v")
    expect(functions.publish_version(FunctionName="v")["Version"], "1")
    functions.update_function_code(FunctionName="v", ZipFile=archive("two"))
    functions.get_waiter("function_updated_v2").wait(FunctionName="v")
    expect(functions.publish_version(FunctionName="v")["Version"], "2")
    functions.create_alias(FunctionName="v", Name="live", FunctionVersion="1")
    arn = functions.get_function_configuration(FunctionName="v")["FunctionArn"]
    for qualifier, version, mark in (("1", "1", "one"), ("2", "2", "two"), ("live", "1", "one")):
        answer, body = invoke(functions, "v", Qualifier=qualifier)
        expect(answer["ExecutedVersion"], version)
        expect((body["arn"], body["version"], body["env"], body["mark"]),
               (f"{arn}:{qualifier}", version, version, mark))
        expect(f"/[{version}]" in body["stream"], True)
    answer, body = invoke(functions, "v")
    expect((answer["ExecutedVersion"], body["mark"], body["arn"]), ("$LATEST", "two", arn))
    functions.update_alias(FunctionName="v", Name="live",
                           RoutingConfig={"AdditionalVersionWeights": {"2": 0.5}})
    seen = {invoke(functions, "v", Qualifier="live")[0]["ExecutedVersion"] for _ in range(40)}
    expect(seen, {"1", "2"})
    versions = functions.get_paginator("list_versions_by_function").paginate(FunctionName="v")
    expect([v["Version"] for page in versions for v in page["Versions"]], ["$LATEST", "1", "2"])


def test_invoke_headers(server):
    functions = server.client("lambda")
    create(functions, "h", "told")
    answer, told = invoke(functions, "h", LogType="Tail")
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    expect((headers["content-type"], headers["x-amzn-trace-id"]), ("application/json", told["trace"]))
    expect(answer["ResponseMetadata"]["RequestId"] in base64.b64decode(answer["LogResult"]).decode(), True)
    # Programs that sign by themselves take all three; X-Ray's SDKs take the others.
    for name, value in (("AWS_XRAY_CONTEXT_MISSING", "LOG_ERROR"), ("TZ", ":UTC"),
                        ("AWS_EXECUTION_ENV", "AWS_Lambda_python3.11")):
        expect(told["environment"][name], value)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_XRAY_DAEMON_ADDRESS"):
        if not told["environment"][name]:
            raise AssertionError(name)
    given = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"

    def add(request, **_):
        request.headers["X-Amzn-Trace-Id"] = given

    functions.meta.events.register("before-sign.lambda.Invoke", add)
    answer, told = invoke(functions, "h")
    expect(answer["ResponseMetadata"]["HTTPHeaders"]["x-amzn-trace-id"], told["trace"])
    expect(told["trace"].startswith("Root=1-5759e988-bd862e3fe1be46a994272793;"), True)


def test_what_reading_tells(server):
    """ListFunctions gives a subset; of a version GetFunction gives what is that version's; ClientContext goes
    along synchronously only."""
    functions = server.client("lambda")
    create(functions, "r", "collect", Publish=True, Tags={"a": "b"})
    functions.put_function_concurrency(FunctionName="r", ReservedConcurrentExecutions=1)
    listed = server.rest("GET", "/2015-03-31/functions/")["Functions"][0]
    whole = server.rest("GET", "/2015-03-31/functions/r")
    for name in ("State", "LastUpdateStatus", "RuntimeVersionConfig"):
        expect((name in listed, name in whole["Configuration"]), (False, True))
    expect({k: v for k, v in whole["Configuration"].items() if k in listed}, listed)
    expect((whole["Tags"], whole["Concurrency"]["ReservedConcurrentExecutions"]), ({"a": "b"}, 1))
    version = functions.get_function(FunctionName="r", Qualifier="1")
    expect(("Tags" in version, "Concurrency" in version), (False, False))
    # Versions do not change.
    before = functions.get_function_configuration(FunctionName="r")["RevisionId"]
    for call in (lambda: functions.update_function_configuration(FunctionName="r:1", Timeout=9),
                 lambda: functions.update_function_code(FunctionName="r:1", ZipFile=archive("two"))):
        code, message, _ = error_of(call)
        expect((code, "published version" in message), ("InvalidParameterValueException", True))
    expect(functions.get_function_configuration(FunctionName="r")["RevisionId"], before)
    context = base64.b64encode(b'{"custom": {"a": "b"}}').decode()
    for kind in ("RequestResponse", "Event"):
        functions.invoke(FunctionName="r", InvocationType=kind, ClientContext=context, Payload=b'{"told": true}')
    for _ in range(100):
        seen = json.loads(functions.invoke(FunctionName="r", Payload=b'{"read": true}')["Payload"].read())
        if len(seen) == 2:
            break
        time.sleep(0.1)
    expect(seen, [{"a": "b"}, None])


def test_version_in_use(server):
    """What an alias points to is refused at once, not tried again until the deadline."""
    functions = server.client("lambda")
    create(functions, "i", Publish=True)
    functions.create_alias(FunctionName="i", Name="live", FunctionVersion="1")
    begun = time.monotonic()
    code, message, status = error_of(functions.delete_function, FunctionName="i", Qualifier="1")
    expect((code, status), ("ResourceConflictException", 409))
    if "[live]" not in message or time.monotonic() - begun > 5:
        raise AssertionError(f"{message} after {time.monotonic() - begun} s")
    # Lists of replicas are empty: there are none.
    expect(functions.list_functions(MasterRegion="us-east-1", FunctionVersion="ALL")["Functions"], [])
    expect(error_of(functions.list_functions, MasterRegion="ALL")[0], "InvalidParameterValueException")


@own_server
def test_versions_survive_kill(server):
    functions = server.client("lambda")
    create(functions, "v", Publish=True)
    functions.create_alias(FunctionName="v", Name="live", FunctionVersion="1")
    functions.publish_layer_version(LayerName="l", Content={"ZipFile": archive("layer")})
    functions.create_function_url_config(FunctionName="v", AuthType="NONE")
    server.stop(kill=True)
    server.start()
    functions = server.client("lambda")
    expect(invoke(functions, "v:live")[0]["ExecutedVersion"], "1")
    expect(functions.list_layers()["Layers"][0]["LatestMatchingVersion"]["Version"], 1)
    expect(functions.get_function_url_config(FunctionName="v")["AuthType"], "NONE")


def send(server, url, method="GET", path="/", headers=None, body=None):
    """To the URL's host, at the server's own address."""
    parts = urllib.parse.urlsplit(server.endpoint)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
    connection.request(method, path, body=body,
                       headers={"Host": urllib.parse.urlsplit(url).netloc, **(headers or {})})
    answer = connection.getresponse()
    data = answer.read()
    found = (answer.status, {k.lower(): v for k, v in answer.getheaders()}, data)
    cookies = answer.headers.get_all("set-cookie")
    connection.close()
    return (*found, cookies)


def test_function_url(server):
    functions = server.client("lambda")
    create(functions, "u", "web")
    url = functions.create_function_url_config(
        FunctionName="u", AuthType="NONE",
        Cors={"AllowOrigins": ["https://a.example"], "AllowMethods": ["PUT"], "MaxAge": 5},
    )["FunctionUrl"]
    status, headers, data, cookies = send(
        server, url, "POST", "/a%20b?x=1&x=2&y=", {"Origin": "https://a.example", "Cookie": "k=v",
                                                   "Content-Type": "text/plain"}, "hello")
    expect(status, 201)
    expect((headers["x-mine"], headers["access-control-allow-origin"]), ("1", "https://a.example"))
    expect(cookies, ["a=1", "b=2"])
    event = json.loads(data)
    expect((event["version"], event["routeKey"], event["rawPath"], event["rawQueryString"]),
           ("2.0", "$default", "/a%20b", "x=1&x=2&y="))
    expect((event["body"], event["isBase64Encoded"], event["cookies"]), ("hello", False, ["k=v"]))
    expect(event["queryStringParameters"], {"x": "1,2", "y": ""})
    context = event["requestContext"]
    expect((context["accountId"], context["stage"], context["http"]["method"]),
           ("anonymous", "$default", "POST"))
    expect(context["apiId"], urllib.parse.urlsplit(url).netloc.split(".")[0])
    status, headers, data, _ = send(server, url, path="/fail")
    expect((status, headers["content-type"], data), (502, "application/json", b"Internal Server Error"))
    status, headers, data, _ = send(server, url, path="/untyped")
    expect((status, headers["content-type"]), (200, "application/json"))
    if "content-length" in json.loads(data)["headers"]:
        raise AssertionError(data)
    status, headers, _, _ = send(server, url, "OPTIONS", "/", {
        "Origin": "https://a.example", "Access-Control-Request-Method": "PUT"})
    expect((status, headers["access-control-allow-methods"], headers["access-control-max-age"]),
           (200, "PUT", "5"))
    # With a policy, the policy decides; both permissions are needed.
    functions.add_permission(FunctionName="u", StatementId="a", Principal="*",
                             Action="lambda:InvokeFunctionUrl", FunctionUrlAuthType="NONE")
    expect(send(server, url)[0], 403)
    functions.add_permission(FunctionName="u", StatementId="b", Principal="*",
                             Action="lambda:InvokeFunction")
    expect(send(server, url)[0], 201)
    functions.delete_function_url_config(FunctionName="u")
    expect(send(server, url)[0], 404)


STREAMS = """
exports.head = awslambda.streamifyResponse(async (event, stream) => {
  stream = awslambda.HttpResponseStream.from(stream, {
    statusCode: 201, headers: { 'x-a': 'b' }, cookies: ['c=1'] });
  stream.write('one ');
  await new Promise((r) => setTimeout(r, 20));
  stream.write('two');
  stream.end();
});
exports.plain = awslambda.streamifyResponse(async (event, stream) => {
  stream.write('bytes');
  stream.end();
});
exports.whole = async () => ({ statusCode: 202, body: 'whole' });
"""


def test_function_url_streams(server):
    functions = server.client("lambda")
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        z.writestr("m.js", STREAMS)
    found = {}
    for name in ("head", "plain", "whole"):
        functions.create_function(FunctionName=name, Runtime="nodejs22.x", Handler=f"m.{name}",
                                  Role=ROLE, Code={"ZipFile": out.getvalue()})
        functions.get_waiter("function_active_v2").wait(FunctionName=name)
        url = server.rest("POST", f"/2021-10-31/functions/{name}/url",
                          {"AuthType": "NONE", "InvokeMode": "RESPONSE_STREAM"})["FunctionUrl"]
        found[name] = send(server, url)
    status, headers, data, cookies = found["head"]
    expect((status, headers["x-a"], data, cookies), (201, "b", b"one two", ["c=1"]))
    expect(headers["transfer-encoding"], "chunked")
    expect((found["plain"][0], found["plain"][2]), (200, b"bytes"))
    expect((found["whole"][0], found["whole"][2]), (202, b"whole"))


def signed(url, key, secret, path="/"):
    request = botocore.awsrequest.AWSRequest("GET", url.rstrip("/") + path)
    botocore.auth.SigV4Auth(botocore.credentials.Credentials(key, secret), "lambda",
                            "us-east-1").add_auth(request)
    return dict(request.headers)


def test_function_url_iam(server):
    functions, iam = server.client("lambda"), server.client("iam")
    create(functions, "u", "web")
    functions.publish_version(FunctionName="u")
    functions.create_alias(FunctionName="u", Name="live", FunctionVersion="1")
    url = functions.create_function_url_config(FunctionName="u", Qualifier="live",
                                               AuthType="AWS_IAM")["FunctionUrl"]
    expect(send(server, url)[0], 403)
    iam.create_user(UserName="who")
    key = iam.create_access_key(UserName="who")["AccessKey"]
    pair = key["AccessKeyId"], key["SecretAccessKey"]
    expect(send(server, url, headers=signed(url, *pair))[0], 403)
    iam.put_user_policy(UserName="who", PolicyName="p", PolicyDocument=json.dumps({
        "Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Resource": "*",
            "Action": ["lambda:InvokeFunctionUrl", "lambda:InvokeFunction"]}]}))
    status, _, data, _ = send(server, url, headers=signed(url, *pair))
    expect(status, 201)
    who = json.loads(data)["requestContext"]["authorizer"]["iam"]
    expect((who["accessKey"], who["userArn"].split("/")[-1]), (pair[0], "who"))
    expect(send(server, url, headers=signed(url, pair[0], "wrong"))[0], 403)


def test_destinations(server):
    functions = server.client("lambda")
    create(functions, "bad", "fail")
    create(functions, "good")
    create(functions, "sink", "collect")
    sink = functions.get_function_configuration(FunctionName="sink")["FunctionArn"]
    functions.put_function_event_invoke_config(
        FunctionName="bad", MaximumRetryAttempts=0,
        DestinationConfig={"OnFailure": {"Destination": sink}})
    functions.put_function_event_invoke_config(
        FunctionName="good", DestinationConfig={"OnSuccess": {"Destination": sink}})
    # What it saw is in the memory of its one instance.
    functions.put_function_concurrency(FunctionName="sink", ReservedConcurrentExecutions=1)
    seen = []
    for n, name in enumerate(("bad", "good"), 1):
        functions.invoke(FunctionName=name, InvocationType="Event", Payload=b'{"n": %d}' % n)
        for _ in range(100):
            time.sleep(0.1)
            try:
                seen = invoke(functions, "sink", Payload=b'{"read": true}')[1]
            except functions.exceptions.TooManyRequestsException:
                continue
            if len(seen) == n:
                break
    found = {e["requestContext"]["condition"]: e for e in seen}
    expect(sorted(found), ["RetriesExhausted", "Success"])
    expect(found["RetriesExhausted"]["requestPayload"], {"n": 1})
    expect(found["RetriesExhausted"]["requestContext"]["approximateInvokeCount"], 1)
    expect(found["RetriesExhausted"]["responseContext"]["functionError"], "Unhandled")
    expect(found["Success"]["responsePayload"]["event"], {"n": 2})


def test_layers(server):
    functions = server.client("lambda")
    layer = functions.publish_layer_version(LayerName="l", Content={"ZipFile": archive("layer")},
                                            CompatibleRuntimes=["python3.11"])
    create(functions, "f", Layers=[layer["LayerVersionArn"]])
    found = functions.get_function_configuration(FunctionName="f")["Layers"]
    expect(found, [{"Arn": layer["LayerVersionArn"], "CodeSize": layer["Content"]["CodeSize"]}])
    got = functions.get_layer_version_by_arn(Arn=layer["LayerVersionArn"])
    expect(got["Content"]["CodeSha256"], layer["Content"]["CodeSha256"])
    functions.delete_layer_version(LayerName="l", VersionNumber=1)
    expect(error_of(functions.get_layer_version, LayerName="l", VersionNumber=1)[::2],
           ("ResourceNotFoundException", 404))


if __name__ == "__main__":
    main(globals())
