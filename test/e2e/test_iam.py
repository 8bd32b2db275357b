#!/usr/bin/python3
"""IAM and STS through boto3 and the AWS CLI against the real binary: real signatures, policies enforced, durable."""
import json
import os
import stat

import boto3

import harness
from harness import error_of, expect, options, own_server

ACCOUNT = "000000000000"
DENIED_TOKEN = ("InvalidClientTokenId", "The security token included in the request is invalid.", 403)


def document(action, effect="Allow", resource="*"):
    return json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": effect, "Action": action, "Resource": resource}]})


def trust(principal):
    return json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}]})


def session_client(server, service, credentials):
    return boto3.client(service, endpoint_url=server.endpoint, region_name="us-east-1",
                        aws_access_key_id=credentials["AccessKeyId"],
                        aws_secret_access_key=credentials["SecretAccessKey"],
                        aws_session_token=credentials["SessionToken"])


def make_user(server, name, *policies):
    iam = server.client("iam")
    iam.create_user(UserName=name)
    for i, policy in enumerate(policies):
        iam.put_user_policy(UserName=name, PolicyName=f"p{i}", PolicyDocument=policy)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return key["AccessKeyId"], key["SecretAccessKey"]


def test_role_lifecycle(server):
    iam = server.client("iam")
    policy = trust({"Service": "lambda.amazonaws.com"})
    role = iam.create_role(RoleName="Worker", AssumeRolePolicyDocument=policy, Path="/team/",
                           Tags=[{"Key": "k", "Value": "v"}])["Role"]
    expect(role["Arn"], f"arn:aws:iam::{ACCOUNT}:role/team/Worker")
    expect(role["AssumeRolePolicyDocument"], json.loads(policy))
    expect(error_of(iam.create_role, RoleName="worker", AssumeRolePolicyDocument=policy),
           ("EntityAlreadyExists", "Role with name worker already exists.", 409))
    arn = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
    iam.attach_role_policy(RoleName="Worker", PolicyArn=arn)
    expect(iam.list_attached_role_policies(RoleName="Worker")["AttachedPolicies"],
           [{"PolicyName": "AWSLambdaBasicExecutionRole", "PolicyArn": arn}])
    inline = document("dynamodb:*")
    iam.put_role_policy(RoleName="Worker", PolicyName="i", PolicyDocument=inline)
    expect(iam.get_role_policy(RoleName="Worker", PolicyName="i")["PolicyDocument"],
           json.loads(inline))
    expect(error_of(iam.delete_role, RoleName="Worker")[0], "DeleteConflict")
    iam.delete_role_policy(RoleName="Worker", PolicyName="i")
    iam.detach_role_policy(RoleName="Worker", PolicyArn=arn)
    iam.delete_role(RoleName="Worker")
    expect(error_of(iam.get_role, RoleName="Worker"),
           ("NoSuchEntity", "The role with name Worker cannot be found.", 404))


def test_pages(server):
    iam = server.client("iam")
    names = [f"role-{i:03}" for i in range(30)]
    for name in names:
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust({"AWS": "*"}))
    pages = iam.get_paginator("list_roles").paginate(PaginationConfig={"PageSize": 7})
    expect([r["RoleName"] for page in pages for r in page["Roles"]], names)


def test_policies_are_enforced(server):
    key, secret = make_user(server, "alice", document("dynamodb:ListTables"))
    dynamodb = server.client("dynamodb", key, secret)
    expect(dynamodb.list_tables()["TableNames"], [])
    code, message, _ = error_of(dynamodb.describe_table, TableName="none")
    expect(code, "AccessDeniedException")
    expect(f"arn:aws:iam::{ACCOUNT}:user/alice is not authorized to perform: dynamodb:DescribeTable"
           in message, True)
    iam = server.client("iam")
    iam.put_user_policy(UserName="alice", PolicyName="p1", PolicyDocument=document("dynamodb:*"))
    expect(error_of(dynamodb.describe_table, TableName="none")[0], "ResourceNotFoundException")
    iam.put_user_policy(UserName="alice", PolicyName="p2",
                        PolicyDocument=document("dynamodb:ListTables", "Deny"))
    expect(error_of(dynamodb.list_tables)[0], "AccessDeniedException")
    forged = server.client("sts", key, "wrong")
    expect(error_of(forged.get_caller_identity)[0], "SignatureDoesNotMatch")
    iam.delete_access_key(UserName="alice", AccessKeyId=key)
    expect(error_of(server.client("sts", key, secret).get_caller_identity), DENIED_TOKEN)


def test_assume_role(server):
    iam = server.client("iam")
    key, secret = make_user(server, "alice")
    iam.create_role(RoleName="r", AssumeRolePolicyDocument=trust(
        {"AWS": f"arn:aws:iam::{ACCOUNT}:user/alice"}))
    iam.put_role_policy(RoleName="r", PolicyName="p", PolicyDocument=document("dynamodb:*"))
    sts = server.client("sts", key, secret)
    answer = sts.assume_role(RoleArn=f"arn:aws:iam::{ACCOUNT}:role/r", RoleSessionName="s1",
                             Policy=document("dynamodb:ListTables"))
    credentials = answer["Credentials"]
    who = session_client(server, "sts", credentials).get_caller_identity()
    expect(who["Arn"], f"arn:aws:sts::{ACCOUNT}:assumed-role/r/s1")
    dynamodb = session_client(server, "dynamodb", credentials)
    expect(dynamodb.list_tables()["TableNames"], [])
    expect(error_of(dynamodb.describe_table, TableName="none")[0], "AccessDeniedException")
    # the key without its token, and with another one
    expect(error_of(server.client("sts", credentials["AccessKeyId"],
                                  credentials["SecretAccessKey"]).get_caller_identity), DENIED_TOKEN)
    forged = dict(credentials, SessionToken=credentials["SessionToken"][:-4] + "AAAA")
    expect(error_of(session_client(server, "sts", forged).get_caller_identity), DENIED_TOKEN)
    expect(error_of(server.client("sts").assume_role, RoleArn=f"arn:aws:iam::{ACCOUNT}:role/none",
                    RoleSessionName="s2")[0], "AccessDenied")


def test_command_line(server):
    expect(server.cli("sts", "get-caller-identity"),
           {"UserId": ACCOUNT, "Account": ACCOUNT, "Arn": f"arn:aws:iam::{ACCOUNT}:root"})
    server.cli("iam", "create-policy", "--policy-name", "p", "--policy-document", document("s3:*"))
    arn = f"arn:aws:iam::{ACCOUNT}:policy/p"
    server.cli("iam", "create-policy-version", "--policy-arn", arn, "--set-as-default",
               "--policy-document", document("sqs:*"))
    version = server.cli("iam", "get-policy-version", "--policy-arn", arn, "--version-id", "v2")
    expect(version["PolicyVersion"]["Document"]["Statement"][0]["Action"], "sqs:*")
    expect(len(server.cli("iam", "list-policies", "--scope", "AWS")["Policies"]) > 30, True)
    expect("NotImplemented" in server.cli("iam", "list-saml-providers", check=False), True)


@own_server
def test_survives_a_crash(server):
    iam = server.client("iam")
    key, secret = make_user(server, "alice")
    iam.create_role(RoleName="r", AssumeRolePolicyDocument=trust({"AWS": ACCOUNT}))
    credentials = server.client("sts").assume_role(
        RoleArn=f"arn:aws:iam::{ACCOUNT}:role/r", RoleSessionName="s1")["Credentials"]
    gone = iam.create_access_key(UserName="alice")["AccessKey"]
    iam.delete_access_key(UserName="alice", AccessKeyId=gone["AccessKeyId"])
    server.stop(kill=True)
    server.start()
    expect(server.client("sts", key, secret).get_caller_identity()["Arn"],
           f"arn:aws:iam::{ACCOUNT}:user/alice")
    expect(session_client(server, "sts", credentials).get_caller_identity()["Arn"],
           f"arn:aws:sts::{ACCOUNT}:assumed-role/r/s1")
    # a deleted key has not become an unknown one, which would be root here
    expect(error_of(server.client("sts", gone["AccessKeyId"],
                                  gone["SecretAccessKey"]).get_caller_identity), DENIED_TOKEN)


@options("--auth", "strict")
def test_strict_mode(server):
    expect(error_of(server.client("sts").get_caller_identity), DENIED_TOKEN)
    path = os.path.join(server.folder, "data", "root-credentials")
    expect(stat.S_IMODE(os.stat(path).st_mode), 0o600)
    with open(path, encoding="utf-8") as f:
        lines = dict(map(str.strip, line.split("=", 1)) for line in f if "=" in line)
    root = server.client("sts", lines["aws_access_key_id"], lines["aws_secret_access_key"])
    expect(root.get_caller_identity()["Arn"], f"arn:aws:iam::{ACCOUNT}:root")


if __name__ == "__main__":
    harness.main(globals())
