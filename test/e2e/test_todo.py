#!/usr/bin/python3
"""examples/todo, deployed by its own script: the whole path from the HTTP API to the table and back."""
import io
import json
import os
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
import zipfile

import harness
from harness import expect

TODO = os.path.join(harness.ROOT, "examples", "todo")
WITH_SDK = ("--node-modules", os.path.join(harness.ROOT, "build", "sdk", "node_modules"))


def call(method, url, body=None):
    request = urllib.request.Request(url, method=method,
                                     data=None if body is None else json.dumps(body).encode(),
                                     headers={"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def run(server, script, runtime):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
    environment["AWS_ENDPOINT_URL"] = server.endpoint
    environment["PATH"] = "/usr/bin:/bin"
    done = subprocess.run([os.path.join(TODO, script), runtime], capture_output=True, text=True,
                          timeout=180, env=environment)
    if done.returncode != 0:
        raise AssertionError(f"{script} {runtime}: {done.stdout}{done.stderr}")
    return done.stdout.strip().split("\n")[-1]


def code_zip(runtime):
    folder = os.path.join(TODO, runtime)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        for name in sorted(os.listdir(folder)):
            if os.path.isfile(os.path.join(folder, name)):
                z.write(os.path.join(folder, name), name)
    return out.getvalue()


def deploy_cli(server, runtime):
    return run(server, "deploy.sh", runtime)


def deploy_boto3(server, runtime):
    name = f"todo-{runtime}"
    server.client("dynamodb").create_table(
        TableName=name, BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}])
    server.client("dynamodb").get_waiter("table_exists").wait(TableName=name)
    iam = server.client("iam")
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps({
        "Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"},
            "Action": "sts:AssumeRole"}]}))["Role"]["Arn"]
    iam.put_role_policy(RoleName=name, PolicyName="table", PolicyDocument=json.dumps({
        "Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Action": "dynamodb:*",
            "Resource": f"arn:aws:dynamodb:*:*:table/{name}"}]}))
    functions = server.client("lambda")
    identifier, handler = {"node": ("nodejs20.x", "index.handler"),
                           "python": ("python3.11", "todo.handler")}[runtime]
    # The Runtime enumeration of an older SDK does not matter: the service decides.
    function = functions.create_function(
        FunctionName=name, Runtime=identifier, Handler=handler, Role=role, Timeout=10,
        Code={"ZipFile": code_zip(runtime)}, Environment={"Variables": {"TABLE_NAME": name}})
    functions.get_waiter("function_active_v2").wait(FunctionName=name)
    gateway = server.client("apigatewayv2")
    api = gateway.create_api(Name=name, ProtocolType="HTTP")["ApiId"]
    integration = gateway.create_integration(
        ApiId=api, IntegrationType="AWS_PROXY", IntegrationUri=function["FunctionArn"],
        PayloadFormatVersion="2.0")["IntegrationId"]
    for route in ("POST /todos", "GET /todos", "GET /todos/{id}", "POST /todos/{id}/done",
                  "DELETE /todos/{id}"):
        gateway.create_route(ApiId=api, RouteKey=route, Target=f"integrations/{integration}")
    gateway.create_stage(ApiId=api, StageName="$default", AutoDeploy=True)
    return f"{server.endpoint}/_aws/execute-api/{api}/$default"


def deploy_js(server, runtime):
    """The JavaScript SDK v3, installed from npm below build/js by `make js`."""
    modules = os.path.join(harness.ROOT, "build", "js")
    with tempfile.TemporaryDirectory() as folder:
        archive = os.path.join(folder, "code.zip")
        with open(archive, "wb") as f:
            f.write(code_zip(runtime))
        script = os.path.join(modules, "deploy.mjs")
        shutil.copy(os.path.join(harness.ROOT, "test", "e2e", "deploy.mjs"), script)
        done = subprocess.run([os.path.join(modules, "node_modules", "node", "bin", "node"), script,
                               server.endpoint, runtime, archive, f"todo-{runtime}"],
                              capture_output=True, text=True, timeout=180, check=False)
    if done.returncode != 0:
        raise AssertionError(done.stdout + done.stderr)
    return done.stdout.strip().split("\n")[-1]


def todo(server, runtime, deploy):
    url = deploy(server, runtime)
    status, first = call("POST", url + "/todos", {"title": "write it down"})
    expect((status, first["title"], first["done"]), (201, "write it down", False))
    status, second = call("POST", url + "/todos", {"title": "and another"})
    expect(status, 201)
    expect(call("GET", f"{url}/todos/{first['id']}"), (200, first))
    status, page = call("GET", url + "/todos")
    expect((status, {t["id"] for t in page["todos"]}), (200, {first["id"], second["id"]}))
    status, page = call("GET", url + "/todos?limit=1")
    expect((status, len(page["todos"]), page["next"] is not None), (200, 1, True))
    expect(call("POST", f"{url}/todos/{first['id']}/done"), (200, dict(first, done=True)))
    expect(call("DELETE", f"{url}/todos/{second['id']}"), (200, second))
    expect(call("GET", f"{url}/todos/{second['id']}")[0], 404)
    expect(call("POST", f"{url}/todos/none/done")[0], 404)
    expect(call("POST", url + "/todos", {})[0], 400)
    expect(call("GET", url + "/nowhere"), (404, {"message": "Not Found"}))
    # The item that the function wrote, and its log line, through the CLI.
    item = server.cli("dynamodb", "get-item", "--table-name", f"todo-{runtime}", "--key",
                      json.dumps({"id": {"S": first["id"]}}))["Item"]
    expect(item["done"], {"BOOL": True})
    deadline = time.monotonic() + 20
    while True:
        text = server.cli("logs", "tail", f"/aws/lambda/todo-{runtime}", output="text")
        if f"created {first['id']}" in text and "REPORT RequestId:" in text:
            break
        if time.monotonic() > deadline:
            raise AssertionError("the log lacks the function's lines:\n" + text)
        time.sleep(0.2)
    run(server, "delete.sh", runtime)
    expect(server.cli("dynamodb", "list-tables")["TableNames"], [])


def test_todo_node_cli(server):
    todo(server, "node", deploy_cli)


def test_todo_python_cli(server):
    todo(server, "python", deploy_cli)


def test_todo_python_boto3(server):
    todo(server, "python", deploy_boto3)


def test_todo_node_js(server):
    todo(server, "node", deploy_js)


test_todo_node_cli.options = test_todo_node_js.options = WITH_SDK


def test_log_follow(server):
    """aws logs tail --follow shows lines as they are written."""
    client = server.client("logs")
    client.create_log_group(logGroupName="follow")
    client.create_log_stream(logGroupName="follow", logStreamName="s")
    environment = dict(os.environ, AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test",
                       AWS_DEFAULT_REGION="us-east-1", AWS_PAGER="", PYTHONUNBUFFERED="1")
    tail = subprocess.Popen(["/usr/bin/aws", "--endpoint-url", server.endpoint, "logs", "tail",
                             "follow", "--follow", "--format", "short"], stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, env=environment)
    try:
        for i in range(3):
            client.put_log_events(logGroupName="follow", logStreamName="s", logEvents=[
                {"timestamp": int(time.time() * 1000), "message": f"line {i}"}])
            line = tail.stdout.readline()
            if f"line {i}" not in line:
                raise AssertionError(f"tail shows {line!r}")
    finally:
        tail.kill()
        tail.wait()


if __name__ == "__main__":
    harness.main(globals())
