#!/usr/bin/python3
"""S3 through the AWS CLI, boto3 and the JavaScript SDK against the real binary, and by hand what they never send."""
import base64
import concurrent.futures
import hashlib
import hmac
import http.client
import io
import json
import os
import shutil
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import zipfile

import boto3.s3.transfer
import botocore.auth
import botocore.awsrequest
import botocore.credentials

import harness
from harness import error_of, expect, options, own_server

MODULES = os.path.join(harness.ROOT, "build", "js")
BUCKET = "photos.example"
MIB = 1 << 20


def client(server, key="test", secret="test", **more):
    return server.client("s3", key, secret, signature_version="s3v4",
                         s3={"addressing_style": "path", **more.pop("s3", {})}, **more)


def bucket(server, name=BUCKET):
    s3 = client(server)
    s3.create_bucket(Bucket=name)
    return s3


def body_of(s3, key, name=BUCKET, **more):
    return s3.get_object(Bucket=name, Key=key, **more)["Body"].read()


def files_of(server):
    """Bodies that are files, below the data folder."""
    return [os.path.join(at, f) for at, _, files in os.walk(os.path.join(server.folder, "data", "blob")) for f in files]


def write(server, name, content):
    path = os.path.join(server.folder, name)
    with open(path, "wb") as f:
        f.write(content)
    return path


def fetch(url, method="GET", data=None, headers=None):
    """(status, body, headers) of a plain request."""
    request = urllib.request.Request(url, data=data, method=method, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read(), answer.headers
    except urllib.error.HTTPError as error:
        return error.code, error.read(), error.headers


def code_of(body):
    text = body.decode()
    return text[text.index("<Code>") + 6:text.index("</Code>")]


class Signed:
    """One request signed by hand, so that any part of it can be wrong; a body of chunks if wanted."""

    def __init__(self, server, method, path, body=b"", declared=None, headers=None, key=("test", "test"), chunks=None,
                 trailer=None, spoil=None):
        self.host = server.endpoint[len("http://"):]
        self.server, self.method, self.path = server, method, path
        self.key, self.secret = key
        now = time.gmtime()
        self.stamp, self.day = time.strftime("%Y%m%dT%H%M%SZ", now), time.strftime("%Y%m%d", now)
        self.scope = f"{self.day}/us-east-1/s3/aws4_request"
        self.body = body
        self.headers = {"host": self.host, "x-amz-date": self.stamp,
                        "x-amz-content-sha256": declared or hashlib.sha256(body).hexdigest(), **(headers or {})}
        if chunks is not None:
            self.headers["x-amz-decoded-content-length"] = self.headers.get(
                "x-amz-decoded-content-length", str(sum(map(len, chunks))))
            self.headers.setdefault("content-encoding", "aws-chunked")
        self.signature = self.sign()
        if chunks is not None:
            self.body = self.encode(chunks, trailer, spoil)

    def mac(self, text):
        at = ("AWS4" + self.secret).encode()
        for step in (self.day, "us-east-1", "s3", "aws4_request"):
            at = hmac.new(at, step.encode(), hashlib.sha256).digest()
        return hmac.new(at, text.encode(), hashlib.sha256).hexdigest()

    def sign(self):
        path, _, query = self.path.partition("?")
        query = "&".join(sorted(p if "=" in p else p + "=" for p in query.split("&") if p))
        self.signed = ";".join(sorted(self.headers))
        canonical = "\n".join([self.method, path, query, *(f"{n}:{self.headers[n]}" for n in sorted(self.headers)), "",
                               self.signed, self.headers["x-amz-content-sha256"]])
        return self.mac("\n".join(["AWS4-HMAC-SHA256", self.stamp, self.scope,
                                   hashlib.sha256(canonical.encode()).hexdigest()]))

    def encode(self, chunks, trailer, spoil):
        out, before = b"", self.signature
        signed = self.headers["x-amz-content-sha256"].startswith("STREAMING-AWS4-HMAC")
        for i, chunk in enumerate([*chunks, b""]):
            line = f"{len(chunk):x}"
            if signed:
                before = self.mac("\n".join(["AWS4-HMAC-SHA256-PAYLOAD", self.stamp, self.scope, before,
                                             hashlib.sha256(b"").hexdigest(), hashlib.sha256(chunk).hexdigest()]))
                line += ";chunk-signature=" + ("0" * 64 if spoil == i else before)
            out += line.encode() + b"\r\n" + (chunk + b"\r\n" if chunk else b"")
        if trailer:
            out += trailer.encode() + b"\r\n"
            if signed:
                mac = self.mac("\n".join(["AWS4-HMAC-SHA256-TRAILER", self.stamp, self.scope, before,
                                          hashlib.sha256(trailer.encode() + b"\n").hexdigest()]))
                out += b"x-amz-trailer-signature:" + ("0" * 64 if spoil == "trailer" else mac).encode() + b"\r\n"
        return out + b"\r\n"

    def send(self):
        """(status, body)"""
        connection = http.client.HTTPConnection(self.host, timeout=20)
        try:
            connection.putrequest(self.method, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                connection.putheader(name, value)
            connection.putheader("authorization", f"AWS4-HMAC-SHA256 Credential={self.key}/{self.scope}, "
                                 f"SignedHeaders={self.signed}, Signature={self.signature}")
            if "content-length" not in self.headers:
                connection.putheader("content-length", str(len(self.body)))
            connection.endheaders()
            connection.send(self.body)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


def user(server, name, statement):
    iam = server.client("iam")
    iam.create_user(UserName=name)
    iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=json.dumps(
        {"Version": "2012-10-17", "Statement": statement}))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return key["AccessKeyId"], key["SecretAccessKey"]


# ---- clients ----

def test_command_line(server):
    run = server.cli
    run("s3", "mb", "s3://from-cli", output="text")
    content = os.urandom(21 * MIB + 17)
    path = write(server, "large", content)
    small = write(server, "small.txt", b"small\n")
    run("s3", "cp", "--no-progress", path, "s3://from-cli/dir/large", output="text")
    run("s3", "cp", "--no-progress", small, "s3://from-cli/dir/small.txt", output="text")
    listed = run("s3", "ls", "s3://from-cli/dir/", output="text").split()
    expect((listed[2:4], listed[6:8]), ([str(len(content)), "large"], ["6", "small.txt"]))
    expect(run("s3", "ls", "s3://from-cli", output="text").split(), ["PRE", "dir/"])
    back = os.path.join(server.folder, "back")
    run("s3", "cp", "--no-progress", "s3://from-cli/dir/large", back, output="text")
    with open(back, "rb") as f:
        expect(f.read() == content, True)
    head = run("s3api", "head-object", "--bucket", "from-cli", "--key", "dir/small.txt")
    expect((head["ContentLength"], head["ContentType"], head["ETag"]),
           (6, "text/plain", f'"{hashlib.md5(b"small" + bytes([10])).hexdigest()}"'))
    run("s3", "mv", "--no-progress", "s3://from-cli/dir/small.txt", "s3://from-cli/moved", output="text")
    expect("BucketNotEmpty" in run("s3", "rb", "s3://from-cli", check=False, output="text"), True)
    run("s3", "rm", "--recursive", "s3://from-cli", output="text")
    run("s3", "rb", "s3://from-cli", output="text")
    expect(run("s3", "ls", output="text"), "")


def test_javascript(server):
    script = os.path.join(MODULES, "s3.mjs")
    shutil.copy(os.path.join(harness.ROOT, "test", "e2e", "s3.mjs"), script)
    done = subprocess.run([os.path.join(MODULES, "node_modules", ".bin", "node"), script, server.endpoint],
                          capture_output=True, text=True, timeout=120)
    expect(done.stderr, "")
    seen = json.loads(done.stdout)
    sums = ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"]
    expect(seen, {
        "text": ["hello", "js", "NhCmhg=="], "stream": True, "encoding": None,
        "CRC32": "y/Q5Jg==", "CRC32C": "4waSgw==", "CRC64NVME": "rosUhgp5mIg=",
        "SHA1": base64.b64encode(hashlib.sha1(b"123456789").digest()).decode(),
        "SHA256": base64.b64encode(hashlib.sha256(b"123456789").digest()).decode(),
        "large": ["bytes 5242870-5242899/11534339", True],
        "keys": ["copy", "large", "stream", *(f"sum-{s}" for s in sums), "text"],
        "link": "hello", "put": 200, "wrong": 400, "location": None, "buckets": ["from-javascript"],
        "deleted": ["text", "copy"], "error": ["NoSuchKey", 404]})


def test_objects(server):
    s3 = bucket(server)
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"hello", ContentType="text/x", CacheControl="no-cache",
                  ContentDisposition="inline", ContentEncoding="identity", ContentLanguage="de",
                  Metadata={"One": "1", "two": "zwei"})
    got = s3.get_object(Bucket=BUCKET, Key="k")
    expect((got["Body"].read(), got["ContentType"], got["CacheControl"], got["ContentDisposition"],
            got["ContentLanguage"], got["Metadata"], got["ContentLength"], got["AcceptRanges"]),
           (b"hello", "text/x", "no-cache", "inline", "de", {"one": "1", "two": "zwei"}, 5, "bytes"))
    head = s3.head_object(Bucket=BUCKET, Key="k")
    expect((head["ETag"], head["LastModified"]), (got["ETag"], got["LastModified"]))
    expect(s3.head_object(Bucket=BUCKET, Key="k", ChecksumMode="ENABLED")["ResponseMetadata"]["HTTPHeaders"]
           ["x-amz-checksum-crc64nvme"] != "", True)
    for range_, wanted in [("bytes=1-2", b"el"), ("bytes=3-", b"lo"), ("bytes=-1", b"o"), ("bytes=2-99", b"llo")]:
        part = s3.get_object(Bucket=BUCKET, Key="k", Range=range_)
        expect((part["Body"].read(), part["ResponseMetadata"]["HTTPStatusCode"]), (wanted, 206))
    expect(body_of(s3, "k", Range="lines=1"), b"hello")
    expect(error_of(s3.get_object, Bucket=BUCKET, Key="k", Range="bytes=5-")[::2], ("InvalidRange", 416))
    over = s3.get_object(Bucket=BUCKET, Key="k", ResponseContentType="a/b", ResponseCacheControl="x")
    expect((over["ContentType"], over["CacheControl"]), ("a/b", "x"))
    # conditions
    etag, at = got["ETag"], got["LastModified"]
    expect(body_of(s3, "k", IfMatch=etag, IfUnmodifiedSince=at), b"hello")
    expect(error_of(s3.get_object, Bucket=BUCKET, Key="k", IfMatch='"0"')[::2], ("PreconditionFailed", 412))
    expect(error_of(s3.get_object, Bucket=BUCKET, Key="k", IfNoneMatch=etag)[2], 304)
    expect(error_of(s3.head_object, Bucket=BUCKET, Key="k", IfModifiedSince=at)[2], 304)
    # replaced, deleted, and gone
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"")
    expect((body_of(s3, "k"), s3.head_object(Bucket=BUCKET, Key="k")["ContentType"]), (b"", "binary/octet-stream"))
    s3.delete_object(Bucket=BUCKET, Key="k")
    s3.delete_object(Bucket=BUCKET, Key="k")
    expect(error_of(s3.get_object, Bucket=BUCKET, Key="k")[::2], ("NoSuchKey", 404))
    expect(error_of(s3.head_object, Bucket=BUCKET, Key="k"), ("404", "Not Found", 404))


def test_an_empty_body_leaves_the_connection_usable(server):
    """botocore asks for "100 Continue" whatever the length; when none comes it loses the next answer."""
    objects = server.client("s3", read_timeout=10, retries={"total_max_attempts": 1, "mode": "standard"})
    objects.create_bucket(Bucket="empty")
    for key, body in (("a", b""), ("b", b"b"), ("c", b""), ("d", b"d")):
        objects.put_object(Bucket="empty", Key=key, Body=body)
        expect(objects.get_object(Bucket="empty", Key=key)["Body"].read(), body)


def test_buckets(server):
    s3 = client(server)
    for name in ["aaa", "bbb", "bbc"]:
        s3.create_bucket(Bucket=name)
    expect([b["Name"] for b in s3.list_buckets()["Buckets"]], ["aaa", "bbb", "bbc"])
    status, body = Signed(server, "GET", "/?max-buckets=1&prefix=bb").send()
    expect((status, body.count(b"<Name>"), b"<Name>bbb</Name>" in body), (200, 1, True))
    token = body.split(b"<ContinuationToken>")[1].split(b"<")[0].decode()
    status, body = Signed(server, "GET", "/?continuation-token=" + urllib.parse.quote(token, "") + "&prefix=bb").send()
    expect((b"<Name>bbc</Name>" in body, b"bbb" in body), (True, False))
    west = server.client("s3", region="eu-west-1", signature_version="s3v4", s3={"addressing_style": "path"})
    west.create_bucket(Bucket="west", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    expect((s3.get_bucket_location(Bucket="west")["LocationConstraint"],
            s3.get_bucket_location(Bucket="aaa")["LocationConstraint"]), ("eu-west-1", None))
    expect(s3.head_bucket(Bucket="west")["ResponseMetadata"]["HTTPHeaders"]["x-amz-bucket-region"], "eu-west-1")
    expect(error_of(west.create_bucket, Bucket="nowhere")[0], "IllegalLocationConstraintException")
    expect(error_of(west.create_bucket, Bucket="west", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
                    )[::2], ("BucketAlreadyOwnedByYou", 409))
    other = client(server, "111111111111")
    expect(error_of(other.create_bucket, Bucket="aaa")[::2], ("BucketAlreadyExists", 409))
    expect(error_of(other.list_objects_v2, Bucket="aaa")[::2], ("AccessDenied", 403))
    expect(error_of(other.head_bucket, Bucket="aaa")[2], 403)
    expect(other.list_buckets()["Buckets"], [])
    expect(error_of(s3.head_bucket, Bucket="none")[2], 404)
    expect(error_of(s3.list_objects, Bucket="none")[::2], ("NoSuchBucket", 404))
    expect(error_of(s3.list_objects_v2, Bucket="aaa", ExpectedBucketOwner="111111111111")[0], "AccessDenied")
    s3.put_object(Bucket="aaa", Key="k")
    upload = s3.create_multipart_upload(Bucket="bbb", Key="k")["UploadId"]
    s3.upload_part(Bucket="bbb", Key="k", UploadId=upload, PartNumber=1, Body=b"x" * 100000)
    expect(error_of(s3.delete_bucket, Bucket="aaa")[::2], ("BucketNotEmpty", 409))
    s3.delete_bucket(Bucket="bbb")  # with its upload
    expect(error_of(s3.delete_bucket, Bucket="bbb")[::2], ("NoSuchBucket", 404))
    if not server.foreign:
        expect(files_of(server), [])


def test_listing(server):
    s3 = bucket(server)
    keys = sorted(["a", "b/1", "b/2", "b/x/1", "b0", "c/", "c//x", "é", "z\U0001f600", "z z&<>\"'+%\n"],
                  key=lambda k: k.encode())
    for key in keys:
        s3.put_object(Bucket=BUCKET, Key=key, Body=key.encode())
    for size in (1, 2, 3, 1000):
        for name in ("list_objects_v2", "list_objects"):
            pages = s3.get_paginator(name).paginate(Bucket=BUCKET, PaginationConfig={"PageSize": size})
            expect([o["Key"] for page in pages for o in page.get("Contents", [])], keys)
            pages = list(s3.get_paginator(name).paginate(Bucket=BUCKET, Delimiter="/",
                                                         PaginationConfig={"PageSize": size}))
            expect([p["Prefix"] for page in pages for p in page.get("CommonPrefixes", [])], ["b/", "c/"])
            expect([o["Key"] for page in pages for o in page.get("Contents", [])],
                   [k for k in keys if "/" not in k])
    one = s3.list_objects_v2(Bucket=BUCKET, Prefix="b/", Delimiter="/", FetchOwner=True)
    expect(([o["Key"] for o in one["Contents"]], one["CommonPrefixes"], one["KeyCount"], one["IsTruncated"]),
           (["b/1", "b/2"], [{"Prefix": "b/x/"}], 3, False))
    expect((len(one["Contents"][0]["Owner"]["ID"]), one["Contents"][0]["Size"], one["Contents"][0]["StorageClass"]),
           (64, 3, "STANDARD"))
    expect([o["Key"] for o in s3.list_objects_v2(Bucket=BUCKET, StartAfter="b/2", Prefix="b")["Contents"]],
           ["b/x/1", "b0"])
    expect([o["Key"] for o in s3.list_objects(Bucket=BUCKET, Marker="c/")["Contents"]], keys[keys.index("c/") + 1:])
    expect(s3.list_objects_v2(Bucket=BUCKET, MaxKeys=0)["KeyCount"], 0)
    expect(error_of(s3.list_objects_v2, Bucket=BUCKET, ContinuationToken="no token!")[0], "InvalidArgument")
    status, body = Signed(server, "GET", f"/{BUCKET}?list-type=2&max-keys=many").send()
    expect((status, code_of(body)), (400, "InvalidArgument"))
    deleted = s3.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": k} for k in keys + ["none"]]})
    expect(sorted(d["Key"] for d in deleted["Deleted"]), sorted(keys + ["none"]))
    expect(s3.list_objects_v2(Bucket=BUCKET)["KeyCount"], 0)


def test_copies(server):
    s3 = bucket(server)
    content = os.urandom(300000)
    s3.put_object(Bucket=BUCKET, Key="from +/ü", Body=content, Metadata={"a": "1"}, ContentType="x/y")
    source = {"Bucket": BUCKET, "Key": "from +/ü"}
    s3.copy_object(Bucket=BUCKET, Key="to", CopySource=source)
    got = s3.get_object(Bucket=BUCKET, Key="to")
    expect((got["Body"].read() == content, got["Metadata"], got["ContentType"]), (True, {"a": "1"}, "x/y"))
    s3.copy_object(Bucket=BUCKET, Key="to", CopySource={"Bucket": BUCKET, "Key": "to"}, MetadataDirective="REPLACE",
                   Metadata={"b": "2"})
    got = s3.get_object(Bucket=BUCKET, Key="to")
    expect((got["Body"].read() == content, got["Metadata"], got["ContentType"]),
           (True, {"b": "2"}, "binary/octet-stream"))
    expect(error_of(s3.copy_object, Bucket=BUCKET, Key="to", CopySource={"Bucket": BUCKET, "Key": "to"})[0],
           "InvalidRequest")
    expect(error_of(s3.copy_object, Bucket=BUCKET, Key="to", CopySource=source, CopySourceIfMatch='"0"')[2], 412)
    expect(error_of(s3.copy_object, Bucket=BUCKET, Key="to", CopySource={"Bucket": BUCKET, "Key": "none"})[0],
           "NoSuchKey")
    expect(error_of(s3.copy_object, Bucket=BUCKET, Key="to", CopySource="nothing")[0], "InvalidArgument")
    if not server.foreign:
        expect(len(files_of(server)), 2)


def test_write_conditions(server):
    s3 = bucket(server)

    def put(body, **conditions):
        return Signed(server, "PUT", f"/{BUCKET}/k", body, headers=conditions).send()

    expect(put(b"1", **{"if-none-match": "*"})[0], 200)
    expect(code_of(put(b"2", **{"if-none-match": "*"})[1]), "PreconditionFailed")
    etag = s3.head_object(Bucket=BUCKET, Key="k")["ETag"]
    expect(code_of(put(b"2", **{"if-match": '"0"'})[1]), "PreconditionFailed")
    expect(put(b"2", **{"if-match": etag})[0], 200)
    expect(code_of(put(b"3", **{"if-match": etag})[1]), "PreconditionFailed")
    expect(body_of(s3, "k"), b"2")
    expect(code_of(put(b"3", **{"if-none-match": '"x"'})[1]), "NotImplemented")
    # of many writers at once one wins
    s3.delete_object(Bucket=BUCKET, Key="k")
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda i: put(str(i).encode() * 20000, **{"if-none-match": "*"})[0], range(32)))
    expect((answers.count(200), answers.count(412)), (1, 31))
    if not server.foreign:
        expect(len(files_of(server)), 1)


def test_multipart(server):
    s3 = bucket(server)
    content = os.urandom(17 * MIB + 5)
    config = boto3.s3.transfer.TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB)
    s3.upload_fileobj(io.BytesIO(content), BUCKET, "managed", Config=config)
    digests = b"".join(hashlib.md5(content[i:i + 5 * MIB]).digest() for i in range(0, len(content), 5 * MIB))
    head = s3.head_object(Bucket=BUCKET, Key="managed")
    expect((head["ETag"], head["ContentLength"]), (f'"{hashlib.md5(digests).hexdigest()}-4"', len(content)))
    back = io.BytesIO()
    s3.download_fileobj(BUCKET, "managed", back, Config=config)
    expect(back.getvalue() == content, True)
    expect(body_of(s3, "managed", Range=f"bytes={5 * MIB - 3}-{5 * MIB + 3}"), content[5 * MIB - 3:5 * MIB + 4])
    # by hand
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key="k", ContentType="a/b", Metadata={"x": "y"})["UploadId"]
    where = {"Bucket": BUCKET, "Key": "k", "UploadId": upload}
    etags = {}
    for number in (3, 1, 10000):
        part = content[:5 * MIB] if number < 10000 else b"end"
        etags[number] = s3.upload_part(**where, PartNumber=number, Body=part)["ETag"]
    etags[1] = s3.upload_part(**where, PartNumber=1, Body=content[5 * MIB:10 * MIB])["ETag"]  # replaced
    listed = s3.list_parts(**where, MaxParts=2)
    expect(([p["PartNumber"] for p in listed["Parts"]], listed["IsTruncated"], listed["NextPartNumberMarker"]),
           ([1, 3], True, 3))
    expect([p["Size"] for p in s3.list_parts(**where, PartNumberMarker=3)["Parts"]], [3])
    expect([(u["Key"], u["UploadId"]) for u in s3.list_multipart_uploads(Bucket=BUCKET)["Uploads"]], [("k", upload)])

    def complete(*numbers, **changed):
        return {"MultipartUpload": {"Parts": [
            {"PartNumber": n, "ETag": changed.get(f"e{n}", etags[n])} for n in numbers]}, **where}

    expect(error_of(s3.complete_multipart_upload, **complete(3, 1))[::2], ("InvalidPartOrder", 400))
    expect(error_of(s3.complete_multipart_upload, **complete(1, 3, e3='"0"'))[0], "InvalidPart")
    etags[2] = s3.upload_part(**where, PartNumber=2, Body=b"small")["ETag"]
    expect(error_of(s3.complete_multipart_upload, **complete(1, 2, 3))[0], "EntityTooSmall")
    expect(error_of(s3.upload_part, **where, PartNumber=10001, Body=b"")[0], "InvalidArgument")
    expect(error_of(s3.get_object, Bucket=BUCKET, Key="k")[0], "NoSuchKey")
    done = s3.complete_multipart_upload(**complete(1, 3, 10000))
    expect(done["ETag"].endswith('-3"'), True)
    got = s3.get_object(Bucket=BUCKET, Key="k")
    expect((got["Body"].read() == content[5 * MIB:10 * MIB] + content[:5 * MIB] + b"end", got["Metadata"],
            got["ContentType"]), (True, {"x": "y"}, "a/b"))
    expect(error_of(s3.complete_multipart_upload, **complete(1))[::2], ("NoSuchUpload", 404))
    # copied parts, and an end without an object
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key="c")["UploadId"]
    where = {"Bucket": BUCKET, "Key": "c", "UploadId": upload}
    part = s3.upload_part_copy(**where, PartNumber=1, CopySource=f"{BUCKET}/managed",
                               CopySourceRange="bytes=0-5242879")["CopyPartResult"]
    expect(part["ETag"], f'"{hashlib.md5(content[:5 * MIB]).hexdigest()}"')
    expect(error_of(s3.upload_part_copy, **where, PartNumber=2, CopySource=f"{BUCKET}/managed",
                    CopySourceRange="bytes=0-99999999")[0], "InvalidArgument")
    s3.abort_multipart_upload(**where)
    expect(error_of(s3.upload_part, **where, PartNumber=2, Body=b"")[0], "NoSuchUpload")
    s3.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": "k"}, {"Key": "managed"}], "Quiet": True})
    if not server.foreign:
        expect(files_of(server), [])


def test_reader_keeps_what_it_was_opened_on(server):
    """A slow reader of an object of many files sees all of it, though it is replaced meanwhile."""
    s3 = bucket(server)
    content = os.urandom(16 * MIB)
    config = boto3.s3.transfer.TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB)
    s3.upload_fileobj(io.BytesIO(content), BUCKET, "k", Config=config)
    stream = s3.get_object(Bucket=BUCKET, Key="k")["Body"]
    first = stream.read(1000)
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"new")
    expect(body_of(s3, "k"), b"new")
    expect(first + stream.read() == content, True)
    until = time.monotonic() + 10
    while not server.foreign and files_of(server) and time.monotonic() < until:
        time.sleep(0.02)
    if not server.foreign:
        expect(files_of(server), [])


def test_links(server):
    s3 = bucket(server)
    s3.put_object(Bucket=BUCKET, Key="a b/ü", Body=b"linked")

    def link(operation, seconds=60, **more):
        return s3.generate_presigned_url(operation, Params={"Bucket": BUCKET, **more}, ExpiresIn=seconds)

    expect(fetch(link("get_object", Key="a b/ü", ResponseContentType="x/y"))[:2], (200, b"linked"))
    expect(fetch(link("put_object", Key="new"), "PUT", b"by a link", {"Content-Type": ""})[0], 200)
    expect(body_of(s3, "new"), b"by a link")
    short = link("get_object", seconds=1, Key="new")
    expect(fetch(short)[0], 200)
    time.sleep(2.1)
    status, body, _ = fetch(short)
    expect((status, code_of(body), b"Request has expired" in body), (403, "AccessDenied", True))
    plain = f"{server.endpoint}/{BUCKET}/new"
    for url in (plain, f"{server.endpoint}/{BUCKET}"):
        status, body, headers = fetch(url)
        expect((status, code_of(body), headers["Content-Type"]), (403, "AccessDenied", "application/xml"))
    status, body, _ = fetch(plain + "?AWSAccessKeyId=test&Signature=x&Expires=1")
    expect((status, code_of(body), b"AWS4-HMAC-SHA256" in body), (400, "InvalidRequest", True))
    # what a link says beside its signature counts as headers do, and no header can be made of it
    for name, status in (("x-amz-meta-a=1", 200), ("x-amz-meta-a=%0D%0AX%3A+y", 400), ("x-amz-meta-a%0Ab=1", 400),
                         ("x-amz-copy-source=none%2Fk", 404), ("x-amz-tagging=a%3Db", 501)):
        request = botocore.awsrequest.AWSRequest("PUT", f"{server.endpoint}/{BUCKET}/hoisted?{name}")
        botocore.auth.S3SigV4QueryAuth(botocore.credentials.Credentials("test", "test"), "s3", "us-east-1").add_auth(
            request)
        expect((name, fetch(request.url, "PUT", b"x", {"Content-Type": ""})[0]), (name, status))
    expect(s3.head_object(Bucket=BUCKET, Key="hoisted")["Metadata"], {"a": "1"})
    # a link of a key that cirrus has issued is verified
    key = user(server, "alice", [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}])
    good = client(server, *key).generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": "new"})
    expect(fetch(good)[:2], (200, b"by a link"))
    status, body, _ = fetch(good.replace("/new?", "/a%20b/%C3%BC?"))
    expect((status, code_of(body)), (403, "SignatureDoesNotMatch"))
    expect((b"Check your key and signing method.</Message>" in body,
            f"<AWSAccessKeyId>{key[0]}</AWSAccessKeyId>".encode() in body), (True, True))
    # a signature does not tell a name from its encoded form, and neither does what is done
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key="new")["UploadId"]
    abort = client(server, *key).generate_presigned_url(
        "abort_multipart_upload", Params={"Bucket": BUCKET, "Key": "new", "UploadId": upload})
    expect(fetch(abort.replace("uploadId=", "%75ploadId="), "DELETE")[0], 204)
    expect(body_of(s3, "new"), b"by a link")
    expect(error_of(s3.list_parts, Bucket=BUCKET, Key="new", UploadId=upload)[0], "NoSuchUpload")
    short = client(server, *key).generate_presigned_url(
        "get_object", Params={"Bucket": BUCKET, "Key": "new"}, ExpiresIn=1).replace("X-Amz-Expires", "X-Amz-%45xpires")
    expect(fetch(short)[0], 200)
    time.sleep(2.1)
    status, body, _ = fetch(short)
    expect((status, b"Request has expired" in body), (403, True))


def test_hosts(server):
    """Buckets in the host, as clients without path style have them."""
    s3 = bucket(server, "hosted")
    s3.put_object(Bucket="hosted", Key="dir/_cirrus", Body=b"in the host")
    for host, path in [("hosted.s3.localhost.localstack.cloud", "/dir/_cirrus"),
                       ("hosted.s3.eu-central-1.localhost", "/dir/_cirrus")]:
        signed = Signed(server, "GET", path, headers={"host": f"{host}:{server.port}"})
        signed.host = f"127.0.0.1:{server.port}"
        expect(signed.send(), (200, b"in the host"))
    put = Signed(server, "PUT", "/_cirrus/health", b"a key", headers={"host": f"hosted.s3.localhost:{server.port}"})
    expect(put.send()[0], 200)
    expect(body_of(s3, "_cirrus/health", "hosted"), b"a key")
    listing = Signed(server, "GET", "/?list-type=2", headers={"host": f"hosted.s3.localhost:{server.port}"}).send()
    expect((listing[0], listing[1].count(b"<Key>")), (200, 2))


def test_a_bucket_that_goes_takes_no_object_in(server):
    """Writers and a deletion at the same time: an acknowledged object keeps its bucket."""
    s3 = client(server)
    gone = 0
    for round_ in range(40):
        name = f"race-{round_}"
        s3.create_bucket(Bucket=name)
        start = threading.Barrier(5)

        def put(number, name=name, start=start):
            start.wait(10)
            time.sleep(number * 0.0007)
            return Signed(server, "PUT", f"/{name}/{number}", b"x" * 20000).send()[0]

        def delete(name=name, start=start):
            start.wait(10)
            time.sleep(0.001)
            return Signed(server, "DELETE", f"/{name}").send()[0]

        with concurrent.futures.ThreadPoolExecutor(5) as pool:
            writers = [pool.submit(put, n) for n in range(4)]
            deleted = pool.submit(delete).result()
            statuses = [w.result() for w in writers]
        expect((deleted in (204, 409), set(statuses) <= {200, 404, 409}), (True, True))
        if deleted == 204:
            gone += 1
            expect((statuses.count(200), error_of(s3.head_bucket, Bucket=name)[2]), (0, 404))
            if not server.foreign:
                expect(files_of(server), [])
        else:
            kept = [o["Key"] for o in s3.list_objects_v2(Bucket=name).get("Contents", [])]
            expect(kept, [str(n) for n in range(4) if statuses[n] == 200])
            s3.delete_objects(Bucket=name, Delete={"Objects": [{"Key": k} for k in kept]})
            s3.delete_bucket(Bucket=name)
    return gone


# ---- bodies ----

def test_chunked_bodies(server):
    s3 = bucket(server)
    key = user(server, "alice", [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}])
    chunks = [b"a" * 65536, b"b" * 65536, b"c" * 1000]
    whole = b"".join(chunks)
    crc = base64.b64encode((__import__("zlib").crc32(whole)).to_bytes(4, "big")).decode()
    signed, trailed = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
    unsigned = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
    trailer = {"x-amz-trailer": "x-amz-checksum-crc32"}

    def put(declared, code=None, chunks=chunks, key=key, **more):
        status, body = Signed(server, "PUT", f"/{BUCKET}/k", declared=declared, chunks=chunks, key=key, **more).send()
        expect((status, code_of(body) if body else None), (200, None) if code is None else (code[0], code[1]))
        if code is None:
            expect(body_of(s3, "k") == b"".join(chunks), True)
            s3.delete_object(Bucket=BUCKET, Key="k")
        expect(error_of(s3.get_object, Bucket=BUCKET, Key="k")[0], "NoSuchKey")

    put(signed)
    put(signed, chunks=[])
    put(trailed, headers=trailer, trailer=f"x-amz-checksum-crc32:{crc}")
    put(unsigned, headers=trailer, trailer=f"x-amz-checksum-crc32:{crc}")
    for at in range(4):
        put(signed, (403, "SignatureDoesNotMatch"), spoil=at)
    put(trailed, (403, "SignatureDoesNotMatch"), headers=trailer, trailer=f"x-amz-checksum-crc32:{crc}",
        spoil="trailer")
    put(unsigned, (400, "BadDigest"), headers=trailer, trailer="x-amz-checksum-crc32:AAAAAA==")
    put(unsigned, (400, "MalformedTrailerError"), headers=trailer)
    put(unsigned, (400, "IncompleteBody"), headers={**trailer, "x-amz-decoded-content-length": "132073"},
        trailer=f"x-amz-checksum-crc32:{crc}")
    put(unsigned, (400, "IncompleteBody"), headers={**trailer, "x-amz-decoded-content-length": "5"},
        trailer=f"x-amz-checksum-crc32:{crc}")
    put(unsigned, (411, "MissingContentLength"), headers={**trailer, "x-amz-decoded-content-length": "many"},
        trailer=f"x-amz-checksum-crc32:{crc}")
    put(unsigned, (400, "InvalidRequest"), headers={"x-amz-trailer": "x-amz-checksum-crc99"},
        trailer=f"x-amz-checksum-crc99:{crc}")
    put("STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD", (501, "NotImplemented"))
    put("0123", (400, "InvalidArgument"))
    # chunks whose framing is wrong
    for wrong in (b"zz\r\nabc\r\n", b"5\r\nabcdefg\r\n0\r\n\r\n", b"3;chunk-signature=x\r\nabc\r\n0\r\n\r\n",
                  b"fffffffffffffffff\r\n", b"3\r\nabc\r\n0\r\n\r\nmore", b"a" * 5000):
        request = Signed(server, "PUT", f"/{BUCKET}/k", declared=unsigned, chunks=[b"abc"], key=key)
        request.body = wrong
        expect(code_of(request.send()[1]), "IncompleteBody")
    expect(error_of(s3.get_object, Bucket=BUCKET, Key="k")[0], "NoSuchKey")
    if not server.foreign:
        expect(files_of(server), [])


def test_digests(server):
    s3 = bucket(server)
    body = b"x" * 50000
    right = {"content-md5": base64.b64encode(hashlib.md5(body).digest()).decode()}

    def put(code, declared=None, **headers):
        status, answer = Signed(server, "PUT", f"/{BUCKET}/k", body, declared, headers).send()
        expect((status, code_of(answer) if answer else None), code)

    sha256 = base64.b64encode(hashlib.sha256(body).digest()).decode()
    put((200, None), **right)
    put((200, None), **{"x-amz-checksum-sha256": sha256})
    s3.delete_object(Bucket=BUCKET, Key="k")
    put((400, "XAmzContentSHA256Mismatch"), "0" * 64)
    put((400, "BadDigest"), **{"content-md5": base64.b64encode(bytes(16)).decode()})
    put((400, "InvalidDigest"), **{"content-md5": "short"})
    put((400, "BadDigest"), **{"x-amz-checksum-crc32": "AAAAAA=="})
    put((400, "BadDigest"), **{"x-amz-checksum-crc64nvme": "AAAAAAAAAAA="})
    put((400, "InvalidRequest"), **{"x-amz-checksum-crc32": "AAAA"})
    put((400, "InvalidRequest"), **{"x-amz-checksum-crc32": "AAAAAA==", "x-amz-checksum-sha256": sha256})
    put((501, "NotImplemented"), **{"x-amz-checksum-sha512": "AAAA"})
    put((400, "InvalidRequest"), **{"x-amz-sdk-checksum-algorithm": "CRC32"})
    expect(error_of(s3.get_object, Bucket=BUCKET, Key="k")[0], "NoSuchKey")
    document = b"<Delete><Object><Key>k</Key></Object></Delete>"
    status, answer = Signed(server, "POST", f"/{BUCKET}?delete", document).send()
    expect((status, code_of(answer)), (400, "InvalidRequest"))
    status, answer = Signed(server, "POST", f"/{BUCKET}?delete", document, headers=right).send()
    expect((status, code_of(answer)), (400, "BadDigest"))
    for wrong in (b"<Delete/>", b"<Delete><Object><Key>k</Key><Other/></Object></Delete>", b"<Delete><Object>",
                  b"<Deletes><Object><Key>k</Key></Object></Deletes>",
                  b'<!DOCTYPE d [<!ENTITY e "x">]><Delete><Object><Key>&e;</Key></Object></Delete>'):
        md5 = base64.b64encode(hashlib.md5(wrong).digest()).decode()
        status, answer = Signed(server, "POST", f"/{BUCKET}?delete", wrong, headers={"content-md5": md5}).send()
        expect((status, code_of(answer) in ("MalformedXML", "InvalidArgument")), (400, True))
    if not server.foreign:
        expect(files_of(server), [])


@own_server
def test_bodies_are_not_kept_in_memory(server):
    s3 = bucket(server)

    def peak():
        highest = 0
        for pid in server.children():
            with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as f:
                highest = max(highest, *[int(line.split()[1]) for line in f if line.startswith("VmHWM")], 0)
        return highest

    before = peak()
    path = write(server, "large", b"")
    with open(path, "wb") as f:
        for i in range(256):
            f.write(bytes([i]) * MIB)
    with open(path, "rb") as f:
        s3.put_object(Bucket=BUCKET, Key="large", Body=f)
    digest = hashlib.md5()
    stream = s3.get_object(Bucket=BUCKET, Key="large")["Body"]
    for part in iter(lambda: stream.read(MIB), b""):
        digest.update(part)
    expect(f'"{digest.hexdigest()}"', s3.head_object(Bucket=BUCKET, Key="large")["ETag"])
    grown = peak() - before
    expect((grown < 64 * 1024, grown), (True, grown))


# ---- who may, and what is refused ----

def test_policies(server):
    s3 = bucket(server)
    s3.put_object(Bucket=BUCKET, Key="open/k", Body=b"1")
    s3.put_object(Bucket=BUCKET, Key="closed/k", Body=b"2")
    key = user(server, "alice", [
        {"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"],
         "Resource": f"arn:aws:s3:::{BUCKET}/open/*"},
        {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": f"arn:aws:s3:::{BUCKET}",
         "Condition": {"StringLike": {"s3:prefix": "open/*"}}}])
    alice = client(server, *key)
    expect(body_of(alice, "open/k"), b"1")
    alice.put_object(Bucket=BUCKET, Key="open/new", Body=b"x")
    expect([o["Key"] for o in alice.list_objects_v2(Bucket=BUCKET, Prefix="open/")["Contents"]],
           ["open/k", "open/new"])
    code, message, status = error_of(alice.get_object, Bucket=BUCKET, Key="closed/k")
    expect((code, status, f"s3:GetObject on resource: arn:aws:s3:::{BUCKET}/closed/k" in message),
           ("AccessDenied", 403, True))
    for call, more in [(alice.put_object, {"Key": "closed/k", "Body": b"x"}), (alice.delete_object, {"Key": "closed/k"}),
                       (alice.list_objects_v2, {}), (alice.list_objects_v2, {"Prefix": "closed/"}),
                       (alice.get_bucket_location, {}), (alice.delete_bucket, {}), (alice.list_multipart_uploads, {}),
                       (alice.copy_object, {"Key": "open/c", "CopySource": f"{BUCKET}/closed/k"}),
                       (alice.create_multipart_upload, {"Key": "closed/k"})]:
        expect(error_of(call, Bucket=BUCKET, **more)[::2], ("AccessDenied", 403))
    expect(error_of(alice.list_buckets)[0], "AccessDenied")
    expect(error_of(alice.create_bucket, Bucket="alices")[0], "AccessDenied")
    # who may not list is not told what is there
    expect(error_of(alice.get_object, Bucket=BUCKET, Key="open/none")[::2], ("AccessDenied", 403))
    answer = alice.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": "open/new"}, {"Key": "closed/k"}]})
    expect(([d["Key"] for d in answer["Deleted"]], [(e["Key"], e["Code"]) for e in answer["Errors"]]),
           (["open/new"], [("closed/k", "AccessDenied")]))
    expect(body_of(s3, "closed/k"), b"2")
    forged = client(server, key[0], "wrong")
    expect(error_of(forged.list_buckets)[::2], ("SignatureDoesNotMatch", 403))


# Without an SDK, which runtimes here do not bring.
FUNCTION = """
import hashlib, hmac, http.client, os, time

def send(method, path, body=b""):
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    scope = [stamp[:8], "us-east-1", "s3", "aws4_request"]
    headers = {"host": "127.0.0.1:4566", "x-amz-content-sha256": "UNSIGNED-PAYLOAD", "x-amz-date": stamp,
               "x-amz-security-token": os.environ["AWS_SESSION_TOKEN"]}
    signed = ";".join(sorted(headers))
    canonical = "\\n".join([method, path, "", *(f"{n}:{headers[n]}" for n in sorted(headers)), "", signed,
                           "UNSIGNED-PAYLOAD"])
    key = ("AWS4" + os.environ["AWS_SECRET_ACCESS_KEY"]).encode()
    for step in scope:
        key = hmac.new(key, step.encode(), hashlib.sha256).digest()
    text = "\\n".join(["AWS4-HMAC-SHA256", stamp, "/".join(scope), hashlib.sha256(canonical.encode()).hexdigest()])
    headers["authorization"] = (f"AWS4-HMAC-SHA256 Credential={os.environ['AWS_ACCESS_KEY_ID']}/{'/'.join(scope)}, "
                                f"SignedHeaders={signed}, Signature={hmac.new(key, text.encode(), 'sha256').hexdigest()}")
    connection = http.client.HTTPConnection("127.0.0.1", 4566, timeout=20)
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    return answer.status, len(answer.read())

def handler(event, context):
    bucket = event["bucket"]
    return [send("PUT", f"/{bucket}/open/made", b"x" * 100000)[0], send("GET", f"/{bucket}/open/made"),
            send("PUT", f"/{bucket}/closed/made", b"x")[0]]
"""


@own_server
def test_functions_reach_their_buckets(server):
    """From inside a function, with its role's policies."""
    s3, iam, functions = bucket(server), server.client("iam"), server.client("lambda")
    iam.create_role(RoleName="r", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}]}))
    iam.put_role_policy(RoleName="r", PolicyName="p", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "s3:*", "Resource": f"arn:aws:s3:::{BUCKET}/open/*"}]}))
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as z:
        z.writestr("index.py", FUNCTION)
    functions.create_function(FunctionName="f", Runtime="python3.11", Handler="index.handler", Timeout=30, MemorySize=512,
                              Role="arn:aws:iam::000000000000:role/r", Code={"ZipFile": archive.getvalue()})
    functions.get_waiter("function_active_v2").wait(FunctionName="f")
    answer = functions.invoke(FunctionName="f", Payload=json.dumps({"bucket": BUCKET}))
    expect(json.loads(answer["Payload"].read()), [200, [200, 100000], 403])
    expect(len(body_of(s3, "open/made")), 100000)


@options("--auth", "strict")
def test_strict_mode(server):
    expect(error_of(client(server).list_buckets)[::2], ("InvalidAccessKeyId", 403))
    with open(os.path.join(server.folder, "data", "root-credentials"), encoding="utf-8") as f:
        lines = dict(map(str.strip, line.split("=", 1)) for line in f if "=" in line)
    root = client(server, lines["aws_access_key_id"], lines["aws_secret_access_key"])
    root.create_bucket(Bucket="strict")
    root.put_object(Bucket="strict", Key="k", Body=b"x" * 20000)
    expect(len(body_of(root, "k", "strict")), 20000)


def test_not_implemented(server):
    """What is not there says so by its name and changes nothing."""
    s3 = bucket(server)
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"kept")
    for method, path, name in [
            ("GET", f"/{BUCKET}?acl", "GetBucketAcl"), ("PUT", f"/{BUCKET}?policy", "PutBucketPolicy"),
            ("GET", f"/{BUCKET}/k?acl", "GetObjectAcl"), ("PUT", f"/{BUCKET}/k?tagging", "PutObjectTagging"),
            ("PUT", f"/{BUCKET}?versioning", "PutBucketVersioning"), ("DELETE", f"/{BUCKET}?lifecycle", "DeleteBucketLifecycle"),
            ("GET", f"/{BUCKET}?versions", "ListObjectVersions"), ("GET", f"/{BUCKET}/k?attributes", "GetObjectAttributes"),
            ("POST", f"/{BUCKET}/k?restore", "RestoreObject"), ("DELETE", f"/{BUCKET}/k?tagging=", "DeleteObjectTagging"),
            ("PUT", f"/{BUCKET}?cors&x-id=PutBucketCors", "PutBucketCors"), ("GET", f"/{BUCKET}?logging", "GetBucketLogging"),
            ("POST", f"/{BUCKET}/k?select&select-type=2", "SelectObjectContent")]:
        status, body = Signed(server, method, path, b"<x/>" if method in ("PUT", "POST") else b"").send()
        expect((status, code_of(body), name.encode() in body), (501, "NotImplemented", True))
    for method, path in [("PUT", f"/{BUCKET}/k?policy"), ("GET", f"/{BUCKET}/k?uploads"), ("DELETE", f"/{BUCKET}/k?cors"),
                         ("POST", f"/{BUCKET}"), ("PATCH", f"/{BUCKET}/k"), ("PUT", f"/{BUCKET}/k?uploadId=x")]:
        status, body = Signed(server, method, path).send()
        expect((status, code_of(body)), (405, "MethodNotAllowed"))
    for header, value in [("x-amz-server-side-encryption", "AES256"), ("x-amz-tagging", "a=b"), ("x-amz-storage-class", "GLACIER"),
                          ("x-amz-object-lock-mode", "GOVERNANCE"), ("x-amz-website-redirect-location", "/x"),
                          ("x-amz-grant-read", "id=1")]:
        status, body = Signed(server, "PUT", f"/{BUCKET}/k", b"new", headers={header: value}).send()
        expect((status, code_of(body), header.encode() in body), (501, "NotImplemented", True))
    expect(error_of(s3.put_object, Bucket=BUCKET, Key="k", Body=b"new", ACL="public-read")[0], "AccessControlListNotSupported")
    expect(error_of(s3.get_object, Bucket=BUCKET, Key="k", PartNumber=1)[0], "NotImplemented")
    expect(error_of(s3.get_object, Bucket=BUCKET, Key="k", VersionId="x")[0], "NoSuchVersion")
    expect(body_of(s3, "k"), b"kept")


def test_hostile_requests(server):
    """Keys that look like paths are keys; heads and bodies that lie are refused; nothing stays behind."""
    s3 = bucket(server)
    for key in ["../../etc/passwd", "/etc/passwd", "..", ".", "a/../../b", "//", "%2e%2e/x", "\\..\\x", "x" * 1024,
                "..%2f..", "ab", "-rf", "blob/00/x"]:
        s3.put_object(Bucket=BUCKET, Key=key, Body=key.encode())
        expect(body_of(s3, key), key.encode())
        s3.delete_object(Bucket=BUCKET, Key=key)
    expect(error_of(s3.put_object, Bucket=BUCKET, Key="x" * 1025, Body=b"")[::2], ("KeyTooLongError", 400))
    expect(error_of(s3.put_object, Bucket=BUCKET, Key="k", Body=b"", Metadata={"a": "v" * 2048})[0], "MetadataTooLarge")
    for name in ["..", "a", "A" * 5, "a..b", "192.168.0.1", "a_b", "-ab", "x" * 64, "xn--a", "a-s3alias"]:
        status, body = Signed(server, "PUT", "/" + name).send()
        expect((status, code_of(body)), (400, "InvalidBucketName"))
    status, _ = Signed(server, "GET", f"/{BUCKET}/%ff%fe").send()
    expect(status, 400)
    status, _ = Signed(server, "GET", f"/{BUCKET}", headers={"x-amz-meta-big": "v" * 70000}).send()
    expect(status in (400, 431), True)
    status, body = Signed(server, "PUT", f"/{BUCKET}/k", headers={"content-length": str(6 << 30)}).send()
    expect((status == 413 or code_of(body) == "EntityTooLarge"), True)
    # clients that leave in the middle of a body
    for declared in ("UNSIGNED-PAYLOAD", "0" * 64):
        request = Signed(server, "PUT", f"/{BUCKET}/gone", declared=declared)
        head = (f"PUT /{BUCKET}/gone HTTP/1.1\r\nAuthorization: AWS4-HMAC-SHA256 Credential=test/{request.scope}, "
                f"SignedHeaders={request.signed}, Signature={request.signature}\r\nContent-Length: 1000000\r\n" +
                "".join(f"{n}: {v}\r\n" for n, v in request.headers.items()) + "\r\n")
        with socket.create_connection((request.host.split(":")[0], int(request.host.split(":")[1])), 10) as peer:
            peer.sendall(head.encode() + b"x" * 500000)
            time.sleep(0.2)
    until = time.monotonic() + 10
    while not server.foreign and files_of(server) and time.monotonic() < until:
        time.sleep(0.05)
    expect(error_of(s3.get_object, Bucket=BUCKET, Key="gone")[0], "NoSuchKey")
    if not server.foreign:
        expect(files_of(server), [])


# ---- crashes ----

def known_bodies(s3):
    """Bytes of every object that is listed, and that its content is what its key says."""
    found = {}
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
        for entry in page.get("Contents", []):
            content = body_of(s3, entry["Key"])
            expect(f'"{hashlib.md5(content).hexdigest()}"', entry["ETag"])
            found[entry["Key"]] = content
    return found


@own_server
def test_kill_under_load(server):
    """What was acknowledged is there after kill -9, whole; and no file is left that nobody knows."""
    s3 = bucket(server)
    acknowledged, stop = {}, threading.Event()

    def work(number):
        mine = client(server, retries={"max_attempts": 0, "mode": "standard"})
        i = 0
        while not stop.is_set():
            key = f"{number}/{i % 7}"
            content = os.urandom([100, 20000, 400000][i % 3])
            i += 1
            acknowledged.pop(key, None)
            try:
                mine.put_object(Bucket=BUCKET, Key=key, Body=content)
                acknowledged[key] = content
                if i % 5 == 0:
                    acknowledged.pop(key)
                    mine.delete_object(Bucket=BUCKET, Key=key)
            except Exception:  # the server is being killed
                return

    for _ in range(3):
        threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
        for t in threads:
            t.start()
        time.sleep(1.2)
        server.kill_all()
        stop.set()
        for t in threads:
            t.join(30)
        stop.clear()
        server.start()
        found = known_bodies(s3)
        for key, content in acknowledged.items():
            expect((key, found.get(key) == content), (key, True))
        large = sum(len(content) > 16384 for content in found.values())
        until = time.monotonic() + 10
        while len(files_of(server)) != large and time.monotonic() < until:
            time.sleep(0.05)
        expect(len(files_of(server)), large)
    expect(len(acknowledged) > 5, True)


@options("--ephemeral")
def test_ephemeral(server):
    s3 = bucket(server)
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"x" * 100000)
    expect(len(body_of(s3, "k")), 100000)


if __name__ == "__main__":
    harness.main(globals())
