#!/usr/bin/python3
"""Control-plane calls that no other end-to-end test makes, through boto3."""
import io
import json
import os
import shutil
import unittest.mock
import zipfile

import harness
from harness import error_of, expect, main

TRUST = json.dumps({"Version": "2012-10-17", "Statement": [{
    "Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}]})
ALLOW = {"Version": "2012-10-17", "Statement": [{
    "Effect": "Allow", "Action": "logs:*", "Resource": "*"}]}


def zip_of(name, text):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        z.writestr(name, text)
    return out.getvalue()


def test_deployments(server):
    gateway = server.client("apigatewayv2")
    api = gateway.create_api(Name="d", ProtocolType="HTTP", Target="http://127.0.0.1:9/",
                             RouteKey="GET /x")["ApiId"]
    made = gateway.create_deployment(ApiId=api, Description="by hand")["DeploymentId"]
    expect(gateway.get_deployment(ApiId=api, DeploymentId=made)["Description"], "by hand")
    gateway.update_deployment(ApiId=api, DeploymentId=made, Description="changed")
    found = {d["DeploymentId"]: d.get("Description")
             for d in gateway.get_deployments(ApiId=api)["Items"]}
    expect(found[made], "changed")
    gateway.delete_deployment(ApiId=api, DeploymentId=made)
    expect(error_of(gateway.get_deployment, ApiId=api, DeploymentId=made)[::2],
           ("NotFoundException", 404))


def test_function_versions_and_account(server):
    functions = server.client("lambda")
    functions.create_function(FunctionName="v", Runtime="python3.11", Handler="a.b",
                              Role="arn:aws:iam::000000000000:role/none",
                              Code={"ZipFile": zip_of("a.py", "def b(e, c): return 1\n")})
    versions = functions.list_versions_by_function(FunctionName="v")["Versions"]
    expect([v["Version"] for v in versions], ["$LATEST"])
    account = functions.get_account_settings()
    expect(account["AccountLimit"]["ConcurrentExecutions"], 1000)
    expect(account["AccountUsage"]["FunctionCount"], 1)


def test_user_policy(server):
    iam = server.client("iam")
    iam.create_user(UserName="u")
    iam.put_user_policy(UserName="u", PolicyName="p", PolicyDocument=json.dumps(ALLOW))
    expect(iam.get_user_policy(UserName="u", PolicyName="p")["PolicyDocument"], ALLOW)
    expect(error_of(iam.get_user_policy, UserName="u", PolicyName="q")[::2], ("NoSuchEntity", 404))


def test_role_boundary(server):
    iam = server.client("iam")
    boundary = iam.create_policy(PolicyName="b", PolicyDocument=json.dumps(ALLOW))["Policy"]["Arn"]
    iam.create_role(RoleName="r", AssumeRolePolicyDocument=TRUST, PermissionsBoundary=boundary)
    role = iam.get_role(RoleName="r")["Role"]
    expect(role["PermissionsBoundary"]["PermissionsBoundaryArn"], boundary)
    iam.delete_role_permissions_boundary(RoleName="r")
    expect("PermissionsBoundary" in iam.get_role(RoleName="r")["Role"], False)


def test_as_ordinary_user(server):
    """The whole server without root: containers by user namespaces, limits by other means."""
    if os.geteuid() != 0:
        return  # then every test is this one
    ordinary = harness.Server(endpoint=None, prefix=[
        "setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"])
    os.chmod(ordinary.folder, 0o777)
    binary = os.path.join(ordinary.folder, "cirrus")
    shutil.copy(harness.BINARY, binary)  # the build folder may be closed to others
    os.chmod(binary, 0o755)
    with unittest.mock.patch.object(harness, "BINARY", binary), ordinary:
        functions = ordinary.client("lambda")
        for runtime, name, text in (
                ("python3.11", "a.py", "def b(e, c): return {'python': e['n']}\n"),
                ("nodejs20.x", "a.js", "exports.b = async (e) => ({node: e.n});\n")):
            function = name.replace(".", "-")
            functions.create_function(FunctionName=function, Runtime=runtime, Handler="a.b",
                                      Role="arn:aws:iam::000000000000:role/none", Timeout=20,
                                      Code={"ZipFile": zip_of(name, text)})
            functions.get_waiter("function_active_v2").wait(FunctionName=function)
            answer = functions.invoke(FunctionName=function, Payload=b'{"n":7}')
            expect("FunctionError" in answer, False)
            expect(list(json.load(answer["Payload"]).values()), [7])


if __name__ == "__main__":
    main(globals())
