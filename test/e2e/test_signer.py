#!/usr/bin/python3
"""Signer and code signing: profiles, jobs, and functions whose code is signed, changed, expired, revoked."""
import datetime
import io
import json
import os
import struct
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import zipfile

import harness
from harness import error_of, expect, own_server

ACCOUNT = "000000000000"
OTHER = "111122223333"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/r"
PLATFORM = "AWSLambda-SHA384-ECDSA"
SEAL = "META-INF/CIRRUS-SIGNATURE"
CODE = b"def handler(event, context):\n    return {'got': event}\n"
REFUSED = ("CodeVerificationFailedException",
           "Lambda cannot deploy the function. The function or layer might be signed using a signature that the client "
           "is not configured to accept. Check the provided signature for {}.", 400)
DAMAGED = ("InvalidCodeSignatureException",
           "Lambda cannot deploy the function. The code signature failed the integrity check. Check the provided "
           "signature for {}.", 400)


def worded(fault, name):
    return fault[0], fault[1].format(name), fault[2]


def archive(files=None, method=zipfile.ZIP_DEFLATED, comment=b""):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as z:
        for name, body in (files or {"index.py": CODE}).items():
            z.writestr(name, body)
        z.comment = comment
    return out.getvalue()


def buckets(server, body=None):
    s3 = server.client("s3")
    s3.create_bucket(Bucket="unsigned")
    s3.create_bucket(Bucket="signed")
    s3.put_object(Bucket="unsigned", Key="code.zip", Body=archive() if body is None else body)
    return s3


def request(profile="team", key="code.zip", prefix="out/", **more):
    return {"source": {"s3": {"bucketName": "unsigned", "key": key, "version": "null"}},
            "destination": {"s3": {"bucketName": "signed", "prefix": prefix}}, "profileName": profile, **more}


def wait(signer, job):
    until = time.monotonic() + 30
    while time.monotonic() < until:
        seen = signer.describe_signing_job(jobId=job)
        if seen["status"] != "InProgress":
            return seen
        time.sleep(0.01)
    raise AssertionError("the job does not end")


def profile(server, name="team", **more):
    return server.client("signer").put_signing_profile(profileName=name, platformId=PLATFORM, **more)["profileVersionArn"]


def sign(server, body, name="team"):
    """The signed archive, and its job."""
    s3, signer = server.client("s3"), server.client("signer")
    s3.put_object(Bucket="unsigned", Key="given.zip", Body=body)
    job = signer.start_signing_job(**request(name, "given.zip"))["jobId"]
    seen = wait(signer, job)
    expect((seen["status"], seen["statusReason"]), ("Succeeded", "Signing Succeeded"))
    made = seen["signedObject"]["s3"]
    expect(made, {"bucketName": "signed", "key": f"out/{job}.zip"})
    return s3.get_object(Bucket="signed", Key=made["key"])["Body"].read(), job


def config(server, publishers, policy="Enforce"):
    return server.client("lambda").create_code_signing_config(
        AllowedPublishers={"SigningProfileVersionArns": publishers},
        CodeSigningPolicies={"UntrustedArtifactOnDeployment": policy})["CodeSigningConfig"]["CodeSigningConfigArn"]


def function(server, name, code, **more):
    code = {"ZipFile": code} if isinstance(code, bytes) else code
    return server.client("lambda").create_function(
        FunctionName=name, Role=ROLE, Code=code, Runtime="python3.12", Handler="index.handler", **more)


def refused(server, name, code, fault, **more):
    expect(error_of(function, server, name, code, **more), worded(fault, name))
    expect(error_of(server.client("lambda").get_function, FunctionName=name)[0], "ResourceNotFoundException")


def rest(server, line, body=None, **query):
    """What Debian's client does not know."""
    method, path = line.split()
    return server.rest(method, path + ("?" + urllib.parse.urlencode(query) if query else ""), body, "signer")


def counted(server, name):
    """How often SignatureValidationErrors was counted of a function."""
    text = urllib.request.urlopen(server.endpoint + "/_cirrus/metrics", timeout=20).read().decode()
    return sum(float(line.split()[-1]) for line in text.splitlines()
               if line.startswith("cirrus_metric_sum") and "SignatureValidationErrors" in line and f'"{name}"' in line)


# ---- profiles ----

def test_profiles(server):
    signer = server.client("signer")
    made = signer.put_signing_profile(profileName="team", platformId=PLATFORM, tags={"stage": "prod"},
                                      signatureValidityPeriod={"value": 12, "type": "MONTHS"},
                                      signingParameters={"a": "b"})
    arn = f"arn:aws:signer:us-east-1:{ACCOUNT}:/signing-profiles/team"
    version = made["profileVersion"]
    expect((made["arn"], made["profileVersionArn"], len(version)), (arn, f"{arn}/{version}", 10))
    seen = signer.get_signing_profile(profileName="team")
    del seen["ResponseMetadata"]
    expect(seen, {"profileName": "team", "profileVersion": version, "profileVersionArn": f"{arn}/{version}",
                  "platformId": PLATFORM, "platformDisplayName": "AWS Lambda", "arn": arn, "status": "Active",
                  "signatureValidityPeriod": {"value": 12, "type": "MONTHS"}, "signingParameters": {"a": "b"},
                  "tags": {"stage": "prod"}})
    profile(server, "plain")
    expect(signer.get_signing_profile(profileName="plain")["signatureValidityPeriod"],
           {"value": 135, "type": "MONTHS"})
    for bad, word, code in (
            ({"profileName": "team"}, "names are not used again", "ValidationException"),
            ({"profileName": "te-am"}, "regular expression pattern", "ValidationException"),
            ({"platformId": "Notation-OCI-SHA384-ECDSA"}, "platformId: the platform Notation-OCI", "NotImplemented"),
            ({"platformId": "x"}, "platformId: there is no platform x", "ValidationException"),
            ({"signatureValidityPeriod": {"value": 0, "type": "DAYS"}}, "signatureValidityPeriod", "ValidationException"),
            ({"signatureValidityPeriod": {"value": 136, "type": "MONTHS"}}, "135 months", "ValidationException"),
            ({"signatureValidityPeriod": {"value": 12, "type": "YEARS"}}, "135 months", "ValidationException"),
            ({"signatureValidityPeriod": {"value": 4200, "type": "DAYS"}}, "135 months", "ValidationException"),
            ({"signatureValidityPeriod": {"value": 1}}, "a type", "ValidationException"),
            ({"signingMaterial": {"certificateArn": "arn:aws:acm:x"}}, "signingMaterial", "ValidationException"),
            ({"overrides": {"signingImageFormat": "JSON"}}, "overrides", "ValidationException"),
            ({"signingParameters": {"a": "x" * 5000}}, "signingParameters", "ValidationException"),
            ({"tags": {f"k{chr(97 + i // 26)}{chr(97 + i % 26)}": "" for i in range(51)}}, "tags", "ValidationException")):
        fault = error_of(signer.put_signing_profile, **{"profileName": "other", "platformId": PLATFORM, **bad})
        expect((bad, fault[0], word in fault[1]), (bad, code, True))
        expect(error_of(signer.get_signing_profile, profileName="other")[0], "ResourceNotFoundException")
    for days in (1, 135):
        profile(server, f"p{days}", signatureValidityPeriod={"value": days, "type": "DAYS"})
    names = [p["profileName"] for page in signer.get_paginator("list_signing_profiles").paginate(
        PaginationConfig={"PageSize": 1}) for p in page["profiles"]]
    expect(names, ["p1", "p135", "plain", "team"])
    expect(error_of(signer.list_signing_profiles, nextToken="?")[0], "ValidationException")
    expect(error_of(signer.list_signing_profiles, maxResults=26)[0], "ValidationException")
    # the end of one
    signer.cancel_signing_profile(profileName="plain")
    expect(error_of(signer.cancel_signing_profile, profileName="plain")[0], "ResourceNotFoundException")
    expect(error_of(signer.cancel_signing_profile, profileName="nobody")[0], "ResourceNotFoundException")
    expect(error_of(profile, server, "plain")[0], "ValidationException")
    expect(signer.get_signing_profile(profileName="plain")["status"], "Canceled")

    def listed(**more):
        return [p["profileName"] for p in signer.list_signing_profiles(**more)["profiles"]]
    expect(listed(), ["p1", "p135", "team"])
    expect(listed(includeCanceled=True), ["p1", "p135", "plain", "team"])
    expect(listed(statuses=["Canceled", "Revoked"]), ["plain"])
    expect(listed(platformId="other"), [])
    expect(error_of(signer.revoke_signing_profile, profileName="p1", profileVersion="0123456789", reason="r",
                    effectiveTime=datetime.datetime(2026, 1, 1))[0], "ResourceNotFoundException")


def test_tags(server):
    signer = server.client("signer")
    arn = profile(server).rpartition("/")[0]
    expect(signer.list_tags_for_resource(resourceArn=arn)["tags"], {})
    signer.tag_resource(resourceArn=arn, tags={"a": "1", "b": "2"})
    signer.tag_resource(resourceArn=arn, tags={"b": "3"})
    signer.untag_resource(resourceArn=arn, tagKeys=["a", "nobody"])
    expect(signer.list_tags_for_resource(resourceArn=arn)["tags"], {"b": "3"})
    expect(signer.get_signing_profile(profileName="team")["tags"], {"b": "3"})
    expect(error_of(signer.tag_resource, resourceArn=arn + "x", tags={"a": "1"})[0], "NotFoundException")
    expect(error_of(signer.tag_resource, resourceArn="arn:aws:s3:::b", tags={"a": "1"})[0], "BadRequestException")
    many = {chr(97 + i // 26) + chr(97 + i % 26): "" for i in range(50)}
    expect(error_of(signer.tag_resource, resourceArn=arn, tags=many)[0], "BadRequestException")
    expect(signer.list_tags_for_resource(resourceArn=arn)["tags"], {"b": "3"})
    signer.cancel_signing_profile(profileName="team")
    expect(error_of(signer.tag_resource, resourceArn=arn, tags={"a": "1"})[0], "BadRequestException")
    expect(error_of(signer.untag_resource, resourceArn=arn, tagKeys=["b"])[0], "BadRequestException")


def test_platforms(server):
    signer = server.client("signer")
    only = signer.list_signing_platforms()["platforms"]
    expect([(p["platformId"], p["displayName"], p["revocationSupported"]) for p in only], [(PLATFORM, "AWS Lambda", True)])
    expect(signer.list_signing_platforms(target="SHA384-ECDSA")["platforms"], only)
    expect(signer.list_signing_platforms(partner="x")["platforms"], [])
    expect(signer.get_signing_platform(platformId=PLATFORM)["maxSizeInMB"], 250)
    expect(error_of(signer.get_signing_platform, platformId="AmazonFreeRTOS-Default")[0], "ResourceNotFoundException")
    profile(server)
    try:
        rest(server, "POST /signing-jobs/with-payload", {
            "profileName": "team", "payload": "eA==", "payloadFormat": "application/vnd.cncf.notary.payload.v1+json"})
        raise AssertionError("a payload was signed")
    except urllib.error.HTTPError as error:
        expect((error.code, PLATFORM in error.read().decode()), (400, True))


# ---- jobs ----

def test_job_and_function(server):
    s3, signer, lam = buckets(server), server.client("signer"), server.client("lambda")
    version = profile(server)
    job = signer.start_signing_job(**request())
    expect(job["jobOwner"], ACCOUNT)
    signer.get_waiter("successful_signing_job").wait(jobId=job["jobId"], WaiterConfig={"Delay": 1})
    seen = signer.describe_signing_job(jobId=job["jobId"])
    key = f"out/{job['jobId']}.zip"
    expect({k: seen[k] for k in ("jobId", "source", "platformId", "profileName", "profileVersion", "requestedBy",
                                 "status", "signedObject", "jobOwner", "jobInvoker")},
           {"jobId": job["jobId"], "source": request()["source"], "platformId": PLATFORM, "profileName": "team",
            "profileVersion": version[-10:], "requestedBy": f"arn:aws:iam::{ACCOUNT}:root", "status": "Succeeded",
            "signedObject": {"s3": {"bucketName": "signed", "key": key}}, "jobOwner": ACCOUNT, "jobInvoker": ACCOUNT})
    # entries keep bytes, names, modes and order
    before = zipfile.ZipFile(io.BytesIO(s3.get_object(Bucket="unsigned", Key="code.zip")["Body"].read()))
    after = zipfile.ZipFile(io.BytesIO(s3.get_object(Bucket="signed", Key=key)["Body"].read()))
    expect([i.filename for i in after.infolist()], [i.filename for i in before.infolist()] + [SEAL])
    for x, y in zip(before.infolist(), after.infolist()):
        expect((x.CRC, x.external_attr, x.date_time, x.header_offset), (y.CRC, y.external_attr, y.date_time, y.header_offset))
    # a function of it, under Enforce
    made = function(server, "f", {"S3Bucket": "signed", "S3Key": key},
                    CodeSigningConfigArn=config(server, [version]))
    job_arn = f"arn:aws:signer:us-east-1:{ACCOUNT}:/signing-jobs/{job['jobId']}"
    expect((made["SigningProfileVersionArn"], made["SigningJobArn"]), (version, job_arn))
    lam.get_waiter("function_active_v2").wait(FunctionName="f", WaiterConfig={"Delay": 1})
    answer = lam.invoke(FunctionName="f", Payload=b'{"a": 1}')
    expect(json.loads(answer["Payload"].read()), {"got": {"a": 1}})
    seen = lam.get_function(FunctionName="f")["Configuration"]
    expect((seen["SigningProfileVersionArn"], seen["SigningJobArn"]), (version, job_arn))
    published = lam.publish_version(FunctionName="f")
    expect((published["SigningProfileVersionArn"], published["SigningJobArn"]), (version, job_arn))
    expect(counted(server, "f"), 0)
    # an update that is not signed changes nothing
    expect(error_of(lam.update_function_code, FunctionName="f", ZipFile=archive()), worded(REFUSED, "f"))
    expect(lam.get_function_configuration(FunctionName="f")["CodeSha256"], made["CodeSha256"])
    expect(error_of(lam.update_function_code, FunctionName="f", ZipFile=archive(), DryRun=True)[0], REFUSED[0])
    expect(counted(server, "f"), 2)
    # one that is signed tells its own job, in $LATEST and in the version
    newer, newer_job = sign(server, archive({"index.py": CODE, "more.py": b"x = 1\n"}))
    lam.get_waiter("function_updated_v2").wait(FunctionName="f", WaiterConfig={"Delay": 1})
    changed = lam.update_function_code(FunctionName="f", ZipFile=newer, Publish=True)
    expect((changed["Version"], changed["SigningProfileVersionArn"], changed["SigningJobArn"].endswith(newer_job)),
           ("2", version, True))
    versions = lam.list_versions_by_function(FunctionName="f")["Versions"]
    expect([v["SigningJobArn"][-36:] for v in versions], [newer_job, job["jobId"], newer_job])
    expect(counted(server, "f"), 2)
    lam.get_waiter("function_updated_v2").wait(FunctionName="f", WaiterConfig={"Delay": 1})
    # without a configuration anything goes, and nobody has signed it
    lam.delete_function_code_signing_config(FunctionName="f")
    changed = lam.update_function_code(FunctionName="f", ZipFile=archive())
    expect("SigningJobArn" in changed, False)


def test_jobs_are_listed(server):
    buckets(server)
    signer = server.client("signer")
    profile(server)
    profile(server, "short", signatureValidityPeriod={"value": 1, "type": "DAYS"})
    token = signer.start_signing_job(**request(clientRequestToken="once"))["jobId"]
    expect(signer.start_signing_job(**request(clientRequestToken="once"))["jobId"], token)
    jobs = [token] + [signer.start_signing_job(**request(p))["jobId"] for p in ("team", "short", "short")]
    for job in jobs:
        expect(wait(signer, job)["status"], "Succeeded")
    pages = signer.get_paginator("list_signing_jobs").paginate(PaginationConfig={"PageSize": 2})
    expect([j["jobId"] for page in pages for j in page["jobs"]], jobs[::-1])

    def listed(**more):
        return [j["jobId"] for j in signer.list_signing_jobs(**more)["jobs"]]
    later = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=30)
    expect(listed(signatureExpiresBefore=later), [jobs[3], jobs[2]])
    expect(listed(signatureExpiresAfter=later), [jobs[1], jobs[0]])
    expect(listed(status="Failed"), [])
    expect(listed(platformId="x"), [])
    expect(listed(jobInvoker=OTHER), [])
    expect(listed(requestedBy=f"arn:aws:iam::{ACCOUNT}:root"), jobs[::-1])
    signer.revoke_signature(jobId=jobs[1], reason="leaked")
    expect(listed(isRevoked=True), [jobs[1]])
    expect(listed(isRevoked=False), [jobs[3], jobs[2], jobs[0]])
    expect(signer.describe_signing_job(jobId=jobs[1])["revocationRecord"]["reason"], "leaked")
    expect(error_of(signer.revoke_signature, jobId=jobs[1], reason="again")[0], "ValidationException")
    expect(error_of(signer.revoke_signature, jobId="nobody", reason="r")[0], "ResourceNotFoundException")
    expect(error_of(signer.describe_signing_job, jobId="nobody")[0], "ResourceNotFoundException")


def test_what_cannot_be_signed(server):
    s3 = buckets(server)
    signer = server.client("signer")
    profile(server)
    signed, _ = sign(server, archive())
    twice = io.BytesIO()
    with zipfile.ZipFile(twice, "w") as z:
        z.writestr("a", "1")
        z.writestr("b", "2")
    twice = twice.getvalue()
    bad = {"empty": (b"", "it is empty"), "text": (b"#!/bin/sh\n" * 10, "does not end"), "signed": (signed, "has a signature already"),
           "front": (b"x" + archive(), "not directly in front of its end"), "behind": (archive() + b"x", "does not end"),
           "nothing": (b"PK\5\6" + bytes(18), "it is empty"), "cut": (archive()[:-30], "does not end"),
           "twice": (twice.replace(b"b", b"a"), "a name twice"),
           "differs": (twice.replace(b"b", b"c", 1), "not what the directory says"),
           "folder": (archive({"META-INF": b"x"}), "no folder")}
    for name, (body, why) in bad.items():
        server.client("s3").put_object(Bucket="unsigned", Key=name, Body=body)
        seen = wait(signer, signer.start_signing_job(**request(key=name))["jobId"])
        expect((name, seen["status"], why in seen["statusReason"]), (name, "Failed", True))
        expect("signedObject" in seen, False)
    expect(s3.list_objects_v2(Bucket="signed")["KeyCount"], 1)
    for given, code, word in (
            (request("nobody"), "ResourceNotFoundException", "signing-profiles/nobody"),
            (request(key="missing"), "ValidationException", "NoSuchKey"),
            ({**request(), "source": {"s3": {"bucketName": "none", "key": "k", "version": "null"}}}, "ValidationException",
             "NoSuchBucket"),
            ({**request(), "source": {"s3": {"bucketName": "unsigned", "key": "code.zip", "version": "v1"}}},
             "ValidationException", "NoSuchVersion"),
            ({**request(), "destination": {"s3": {"bucketName": "none"}}}, "ValidationException", "destination.s3"),
            ({**request(), "destination": {}}, "ValidationException", "destination.s3.bucketName"),
            ({**request(), "source": {}}, "ValidationException", "source.s3")):
        fault = error_of(signer.start_signing_job, **given)
        expect((fault[0], word in fault[1]), (code, True))
    signer.cancel_signing_profile(profileName="team")
    fault = error_of(signer.start_signing_job, **request())
    expect((fault[0], "Canceled" in fault[1]), ("ValidationException", True))


def test_archives_of_all_kinds(server):
    """What common tools make is signed, deployed, and unpacked as it was."""
    buckets(server)
    lam = server.client("lambda")
    csc = config(server, [profile(server)])
    streamed = io.BytesIO()

    class Pipe(io.RawIOBase):
        def writable(self):
            return True

        def write(self, b):
            return streamed.write(b)
    with zipfile.ZipFile(Pipe(), "w", zipfile.ZIP_DEFLATED) as z:  # cannot seek: data descriptors
        z.writestr("index.py", CODE)
        z.writestr("more/", "")
    long = io.BytesIO()
    with zipfile.ZipFile(long, "w") as z:
        with z.open("index.py", "w", force_zip64=True) as f:
            f.write(CODE)
    folder = os.path.join(server.folder, "tool")
    os.mkdir(folder)
    with open(os.path.join(folder, "index.py"), "wb") as f:
        f.write(CODE)
    os.symlink("index.py", os.path.join(folder, "link"))
    subprocess.run(["zip", "-q", "-r", "-y", "made.zip", "."], cwd=folder, check=True)
    with open(os.path.join(folder, "made.zip"), "rb") as f:
        tool = f.read()
    kinds = {"stored": archive(method=zipfile.ZIP_STORED), "streamed": streamed.getvalue(), "zip64": long.getvalue(),
             "comment": archive(comment=b"4f0c1d"), "tool": tool,
             "many": archive({"index.py": CODE, **{f"d/{i}": b"x" for i in range(3000)}})}
    for name, body in kinds.items():
        signed, _ = sign(server, body)
        function(server, name, signed, CodeSigningConfigArn=csc)
        lam.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})
        expect(json.loads(lam.invoke(FunctionName=name, Payload=b"1")["Payload"].read()), {"got": 1})


# ---- what is not deployed ----

def flips(body):
    """The archive with one bit changed, in every region of it."""
    at = body.index(b"PK\1\2")
    seal = body.index(b"PK\3\4", 1)
    for place in (8, 35, 60, seal + 14, seal + 60, body.index(b"Expires-At") + 13, at + 10, at + 40,
                  body.rindex(b"PK\1\2") + 39, len(body) - 12, len(body) - 1):
        yield place, body[:place] + bytes([body[place] ^ 1]) + body[place + 1:]


def test_enforced(server):
    buckets(server)
    signer, lam = server.client("signer"), server.client("lambda")
    team, stranger = profile(server), profile(server, "stranger")
    csc = config(server, [team])
    signed, job = sign(server, archive({"index.py": CODE}))
    foreign, _ = sign(server, archive(), "stranger")
    refused(server, "unsigned", archive(), REFUSED, CodeSigningConfigArn=csc)
    refused(server, "foreign", foreign, REFUSED, CodeSigningConfigArn=csc)
    seen = set()
    for place, body in flips(signed):
        fault = error_of(function, server, "flipped", body, CodeSigningConfigArn=csc)
        expect((place, fault[0] in (REFUSED[0], DAMAGED[0], "InvalidParameterValueException")), (place, True))
        seen.add(fault[0])
    expect(DAMAGED[0] in seen, True)
    # entries added, taken away, replaced: by a tool that knows zips
    added = io.BytesIO(signed)
    with zipfile.ZipFile(added, "a") as z:
        z.writestr("evil.py", "import os")
    refused(server, "added", added.getvalue(), DAMAGED, CodeSigningConfigArn=csc)
    moved = archive({"index.py": b"evil = 1\n", SEAL: zipfile.ZipFile(io.BytesIO(signed)).read(SEAL)})
    refused(server, "moved", moved, DAMAGED, CodeSigningConfigArn=csc)
    refused(server, "behind", signed + b"x", DAMAGED, CodeSigningConfigArn=csc)
    refused(server, "front", b"#!/bin/sh\n" + signed, DAMAGED, CodeSigningConfigArn=csc)
    comment = signed[:-2] + struct.pack("<H", 3) + b"abc"
    refused(server, "comment", comment, DAMAGED, CodeSigningConfigArn=csc)
    # another directory in front of the end: what an unpacker would see is not what was signed
    other = archive({"index.py": b"evil = 1\n"})
    refused(server, "second", signed[:-22] + other, DAMAGED, CodeSigningConfigArn=csc)
    # the right one, until its signature is revoked
    function(server, "good", signed, CodeSigningConfigArn=csc)
    signer.revoke_signature(jobId=job, reason="leaked")
    refused(server, "revoked", signed, REFUSED, CodeSigningConfigArn=csc)
    lam.update_code_signing_config(CodeSigningConfigArn=csc,
                                   AllowedPublishers={"SigningProfileVersionArns": [team, stranger]})
    function(server, "both", foreign, CodeSigningConfigArn=csc)


def test_warned(server):
    buckets(server)
    team = profile(server)
    profile(server, "stranger")
    csc = config(server, [team], "Warn")
    signed, _ = sign(server, archive())
    foreign, job = sign(server, archive(), "stranger")
    expect("SigningJobArn" in function(server, "unsigned", archive(), CodeSigningConfigArn=csc), False)
    made = function(server, "foreign", foreign, CodeSigningConfigArn=csc)
    expect(made["SigningJobArn"].endswith(job), True)
    expect([counted(server, n) for n in ("unsigned", "foreign")], [1, 1])
    log = server.log()
    expect(("why=it has no signature" in log, "why=it was not signed by an allowed publisher" in log), (True, True))
    # what was changed is blocked all the same
    at = signed.index(b"PK\1\2") - 1000 if len(signed) > 2000 else 60
    broken = signed[:at] + bytes([signed[at] ^ 0x40]) + signed[at + 1:]
    fault = error_of(function, server, "broken", broken, CodeSigningConfigArn=csc)
    expect(fault[0] in (DAMAGED[0], "InvalidParameterValueException"), True)
    added = io.BytesIO(signed)
    with zipfile.ZipFile(added, "a") as z:
        z.writestr("evil.py", "import os")
    refused(server, "added", added.getvalue(), DAMAGED, CodeSigningConfigArn=csc)
    # a new name for the same job
    text = zipfile.ZipFile(io.BytesIO(signed)).read(SEAL)
    forged = signed.replace(text, text.replace(b"/team/", b"/xeam/"))
    refused(server, "forged", forged, DAMAGED, CodeSigningConfigArn=csc)


def test_revoked_profile(server):
    buckets(server)
    signer = server.client("signer")
    team = profile(server)
    csc = config(server, [team])
    early, _ = sign(server, archive({"index.py": CODE, "n": b"1"}))
    time.sleep(2.1)
    when = datetime.datetime.now(datetime.timezone.utc)
    late, late_job = sign(server, archive({"index.py": CODE, "n": b"2"}))
    signer.revoke_signing_profile(profileName="team", profileVersion=team[-10:], reason="lost", effectiveTime=when)
    seen = signer.get_signing_profile(profileName="team")
    expect((seen["status"], seen["statusReason"], seen["revocationRecord"]["revokedBy"]),
           ("Revoked", "lost", f"arn:aws:iam::{ACCOUNT}:root"))
    function(server, "early", early, CodeSigningConfigArn=csc)
    refused(server, "late", late, REFUSED, CodeSigningConfigArn=csc)
    fault = error_of(signer.start_signing_job, **request())
    expect((fault[0], "Revoked" in fault[1]), ("ValidationException", True))
    job_arn = f"arn:aws:signer:us-east-1:{ACCOUNT}:/signing-jobs/{late_job}"

    def revoked(at):
        return rest(server, "GET /revocations", signatureTimestamp=at.strftime("%Y-%m-%dT%H:%M:%SZ"),
                    platformId=PLATFORM, profileVersionArn=team, jobArn=job_arn, certificateHashes="00")["revokedEntities"]
    expect(revoked(when + datetime.timedelta(seconds=2)), [team])
    expect(revoked(when - datetime.timedelta(days=1)), [])
    signer.revoke_signature(jobId=late_job, reason="r")
    expect(revoked(when + datetime.timedelta(seconds=2)), [team, job_arn])
    # earlier is possible, later is not
    fault = error_of(signer.revoke_signing_profile, profileName="team", profileVersion=team[-10:], reason="r",
                     effectiveTime=when + datetime.timedelta(days=1))
    expect(fault[0], "ValidationException")
    signer.revoke_signing_profile(profileName="team", profileVersion=team[-10:], reason="r",
                                  effectiveTime=when - datetime.timedelta(days=1))
    refused(server, "too_early", early, REFUSED, CodeSigningConfigArn=csc)


@own_server
def test_expired(server):
    """A signature of one day, two days later: the server's calendar is moved."""
    buckets(server)
    team = profile(server, signatureValidityPeriod={"value": 1, "type": "DAYS"})
    csc, warn = config(server, [team]), config(server, [team], "Warn")
    signed, _ = sign(server, archive())
    function(server, "today", signed, CodeSigningConfigArn=csc)
    shim = os.path.join(server.folder, "later.so")
    subprocess.run(["gcc", "-D_GNU_SOURCE", "-shared", "-fPIC", "-O1", "-o", shim,
                    os.path.join(harness.ROOT, "test", "e2e", "programs", "later.c"), "-ldl"], check=True)
    server.stop()
    server.environment.update(LD_PRELOAD=shim, LATER_SECONDS=str(2 * 86400))
    server.start()
    refused(server, "later", signed, REFUSED, CodeSigningConfigArn=csc)
    function(server, "warned", signed, CodeSigningConfigArn=warn)
    expect("its signature has expired" in server.log(), True)


def test_layers(server):
    buckets(server)
    lam = server.client("lambda")
    team = profile(server)
    csc = config(server, [team])
    code, _ = sign(server, archive())
    signed, job = sign(server, archive({"python/more.py": b"x = 1\n"}))

    def publish(body):
        return lam.publish_layer_version(LayerName="more", Content={"ZipFile": body})
    good = publish(signed)
    job_arn = f"arn:aws:signer:us-east-1:{ACCOUNT}:/signing-jobs/{job}"
    expect((good["Content"]["SigningProfileVersionArn"], good["Content"]["SigningJobArn"]), (team, job_arn))
    seen = lam.get_layer_version(LayerName="more", VersionNumber=1)["Content"]
    expect((seen["SigningProfileVersionArn"], seen["SigningJobArn"]), (team, job_arn))
    plain = publish(archive({"python/more.py": b"x = 2\n"}))
    expect("SigningJobArn" in plain["Content"], False)
    broken = io.BytesIO(signed)
    with zipfile.ZipFile(broken, "a") as z:
        z.writestr("python/evil.py", "")
    broken = publish(broken.getvalue())
    expect("SigningJobArn" in broken["Content"], False)
    expect(error_of(function, server, "f", code, CodeSigningConfigArn=csc, Layers=[plain["LayerVersionArn"]]),
           worded(REFUSED, plain["LayerVersionArn"]))
    made = function(server, "f", code, CodeSigningConfigArn=csc, Layers=[good["LayerVersionArn"]])
    expect(made["Layers"], [{"Arn": good["LayerVersionArn"], "CodeSize": len(signed),
                             "SigningProfileVersionArn": team, "SigningJobArn": job_arn}])
    lam.get_waiter("function_active_v2").wait(FunctionName="f", WaiterConfig={"Delay": 1})
    for layer, fault in ((plain, REFUSED), (broken, DAMAGED)):
        expect(error_of(lam.update_function_configuration, FunctionName="f", Layers=[layer["LayerVersionArn"]]),
               worded(fault, layer["LayerVersionArn"]))
    expect(lam.get_function_configuration(FunctionName="f")["Layers"], made["Layers"])
    lam.update_function_configuration(FunctionName="f", Layers=[])


# ---- who may ----

def user(server, name, *statements):
    iam = server.client("iam")
    iam.create_user(UserName=name)
    iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=json.dumps({
        "Version": "2012-10-17", "Statement": [
            {"Effect": effect, "Action": action, "Resource": resource, **(more[0] if more else {})}
            for effect, action, resource, *more in statements]}))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return server.client("signer", key["AccessKeyId"], key["SecretAccessKey"])


def test_permissions_of_the_caller(server):
    buckets(server)
    signer = server.client("signer")
    arn = profile(server).rpartition("/")[0]
    s3 = [("Allow", "s3:GetObject", "arn:aws:s3:::unsigned/*"), ("Allow", "s3:PutObject", "arn:aws:s3:::signed/out/*")]
    may = ("Allow", "signer:StartSigningJob", arn)
    look = ("Allow", "signer:DescribeSigningJob", "*")
    for name, statements, word in (
            ("nothing", s3, "signer:StartSigningJob"), ("unread", [may, s3[1]], "s3:GetObject"),
            ("unwritten", [may, s3[0]], "s3:PutObject"),
            ("elsewhere", [("Allow", "signer:StartSigningJob", arn + "x"), *s3], "signer:StartSigningJob"),
            ("version", [(*may, {"Condition": {"StringEquals": {"signer:ProfileVersion": "0123456789"}}}), *s3],
             "signer:StartSigningJob")):
        fault = error_of(user(server, name, *statements).start_signing_job, **request())
        expect((name, fault[0], word in fault[1], fault[2]), (name, "AccessDeniedException", True, 403))
    expect(signer.list_signing_jobs()["jobs"], [])
    own = signer.get_signing_profile(profileName="team")["profileVersion"]
    given = user(server, "given", (*may, {"Condition": {"StringEquals": {"signer:ProfileVersion": own}}}), look, *s3)
    seen = wait(given, given.start_signing_job(**request())["jobId"])
    expect((seen["status"], seen["requestedBy"]), ("Succeeded", f"arn:aws:iam::{ACCOUNT}:user/given"))
    fault = error_of(given.start_signing_job, **request(prefix="elsewhere/"))
    expect((fault[0], "s3:PutObject" in fault[1]), ("AccessDeniedException", True))
    expect(error_of(given.revoke_signature, jobId=seen["jobId"], reason="r")[0], "AccessDeniedException")
    expect(error_of(given.put_signing_profile, profileName="mine", platformId=PLATFORM)[0], "AccessDeniedException")


def test_other_accounts(server):
    """A profile of one account signs for another one that its policy lets in."""
    s3 = server.client("s3", OTHER)
    owner, guest = server.client("signer"), server.client("signer", OTHER)
    for bucket in ("unsigned", "signed"):
        s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket="unsigned", Key="code.zip", Body=archive())
    version = profile(server)
    given = request(profileOwner=ACCOUNT)
    expect(error_of(guest.start_signing_job, **given)[0], "AccessDeniedException")
    expect(error_of(guest.get_signing_profile, profileName="team", profileOwner=ACCOUNT)[0], "AccessDeniedException")
    one = owner.add_profile_permission(profileName="team", action="signer:StartSigningJob", principal=OTHER,
                                       statementId="one")["revisionId"]
    for bad, code in (({"statementId": "one"}, "ConflictException"), ({"revisionId": "x"}, "ConflictException"),
                      ({"action": "signer:*"}, "ValidationException"), ({"principal": "*"}, "ValidationException"),
                      ({"profileVersion": "0123456789"}, "ResourceNotFoundException"),
                      ({"profileName": "nobody"}, "ResourceNotFoundException")):
        expect(error_of(owner.add_profile_permission, **{
            "profileName": "team", "action": "signer:SignPayload", "principal": OTHER, "statementId": "two", **bad})[0],
            code)
    two = owner.add_profile_permission(profileName="team", action="signer:GetSigningProfile", principal=OTHER,
                                       statementId="two", revisionId=one, profileVersion=version[-10:])["revisionId"]
    seen = owner.list_profile_permissions(profileName="team")
    expect((seen["revisionId"], seen["permissions"]), (two, [
        {"action": "signer:StartSigningJob", "principal": OTHER, "statementId": "one"},
        {"action": "signer:GetSigningProfile", "principal": OTHER, "statementId": "two",
         "profileVersion": version[-10:]}]))
    expect(seen["policySizeBytes"] > 100, True)
    expect(guest.get_signing_profile(profileName="team", profileOwner=ACCOUNT)["profileVersionArn"], version)
    job = guest.start_signing_job(**given)
    expect(job["jobOwner"], ACCOUNT)
    seen = wait(guest, job["jobId"])
    expect((seen["status"], seen["jobOwner"], seen["jobInvoker"]), ("Succeeded", ACCOUNT, OTHER))
    expect([j["jobId"] for j in owner.list_signing_jobs(jobInvoker=OTHER)["jobs"]], [job["jobId"]])
    expect([j["jobId"] for j in guest.list_signing_jobs()["jobs"]], [job["jobId"]])
    body = s3.get_object(Bucket="signed", Key=seen["signedObject"]["s3"]["key"])["Body"].read()
    expect(function(server, "f", body, CodeSigningConfigArn=config(server, [version]))["SigningProfileVersionArn"], version)
    expect(error_of(guest.revoke_signature, jobId=job["jobId"], jobOwner=ACCOUNT, reason="r")[0], "AccessDeniedException")
    three = owner.add_profile_permission(profileName="team", action="signer:RevokeSignature", principal=OTHER,
                                         statementId="three")["revisionId"]
    guest.revoke_signature(jobId=job["jobId"], jobOwner=ACCOUNT, reason="r")
    expect(error_of(owner.remove_profile_permission, profileName="team", statementId="one", revisionId=two)[0],
           "ConflictException")
    expect(error_of(owner.remove_profile_permission, profileName="team", statementId="x", revisionId=three)[0],
           "ResourceNotFoundException")
    owner.remove_profile_permission(profileName="team", statementId="one", revisionId=three)
    expect(error_of(guest.start_signing_job, **given)[0], "AccessDeniedException")


# ---- crashes ----

@own_server
def test_kill_in_a_job(server):
    """kill -9 while jobs run: each that was accepted comes to its end after the restart."""
    big = archive({"index.py": CODE, "big": os.urandom(24 << 20)}, zipfile.ZIP_STORED)
    buckets(server, big)
    signer = server.client("signer")
    team = profile(server)
    accepted, stop = [], threading.Event()

    def start():
        while not stop.is_set():
            try:
                accepted.append(server.client("signer").start_signing_job(**request())["jobId"])
            except Exception:  # the server is killed
                return
    threads = [threading.Thread(target=start) for _ in range(2)]
    for t in threads:
        t.start()
    until = time.monotonic() + 20
    while len(accepted) < 8 and time.monotonic() < until:
        time.sleep(0.005)
    open_before = [j for j in accepted if signer.describe_signing_job(jobId=j)["status"] == "InProgress"]
    server.kill_all()
    stop.set()
    for t in threads:
        t.join(30)
    if not open_before:
        raise AssertionError("no job was open when the server was killed")
    server.start()
    for job in accepted:
        seen = wait(signer, job)
        expect((seen["status"], seen["statusReason"]), ("Succeeded", "Signing Succeeded"))
    body = server.client("s3").get_object(Bucket="signed", Key=f"out/{open_before[-1]}.zip")["Body"].read()
    expect(function(server, "f", {"S3Bucket": "signed", "S3Key": f"out/{open_before[-1]}.zip"},
                    CodeSigningConfigArn=config(server, [team]))["SigningProfileVersionArn"], team)
    expect(len(body) > len(big), True)


# ---- other clients ----

def test_cli(server):
    buckets(server)
    version = server.cli("signer", "put-signing-profile", "--profile-name", "team", "--platform-id", PLATFORM,
                         "--signature-validity-period", "value=90,type=DAYS")["profileVersionArn"]
    job = server.cli("signer", "start-signing-job", "--source", "s3={bucketName=unsigned,key=code.zip,version=null}",
                     "--destination", "s3={bucketName=signed,prefix=out/}", "--profile-name", "team")["jobId"]
    wait(server.client("signer"), job)
    server.cli("signer", "wait", "successful-signing-job", "--job-id", job, output="text")
    csc = server.cli("lambda", "create-code-signing-config", "--allowed-publishers",
                     f"SigningProfileVersionArns={version}", "--code-signing-policies",
                     "UntrustedArtifactOnDeployment=Enforce")["CodeSigningConfig"]["CodeSigningConfigArn"]
    made = server.cli("lambda", "create-function", "--function-name", "f", "--role", ROLE, "--runtime", "python3.12",
                      "--handler", "index.handler", "--code", f"S3Bucket=signed,S3Key=out/{job}.zip",
                      "--code-signing-config-arn", csc)
    expect(made["SigningProfileVersionArn"], version)
    expect(server.cli("signer", "list-signing-jobs", "--status", "Succeeded")["jobs"][0]["jobId"], job)


if __name__ == "__main__":
    harness.main(dict(globals()))
