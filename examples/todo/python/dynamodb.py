"""One signed DynamoDB request with nothing but Python's own modules (Signature Version 4,
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html).
Functions that bundle boto3 use its client instead.
"""
import hashlib
import hmac
import http.client
import json
import os
import time
import urllib.parse

connection = None


class DynamoDBError(Exception):
    def __init__(self, code, message):
        super().__init__(f"{code}: {message}")
        self.code = code


def sign(host, target, body):
    region = os.environ["AWS_REGION"]
    now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    scope = f"{now[:8]}/{region}/dynamodb/aws4_request"
    headers = {
        "content-type": "application/x-amz-json-1.0",
        "host": host,
        "x-amz-date": now,
        "x-amz-target": target,
    }
    token = os.environ.get("AWS_SESSION_TOKEN")
    if token:
        headers["x-amz-security-token"] = token
    names = sorted(headers)
    canonical = "\n".join(
        ["POST", "/", ""] + [f"{name}:{headers[name]}" for name in names]
        + ["", ";".join(names), hashlib.sha256(body).hexdigest()])
    text = "\n".join(["AWS4-HMAC-SHA256", now, scope,
                      hashlib.sha256(canonical.encode()).hexdigest()])
    key = ("AWS4" + os.environ["AWS_SECRET_ACCESS_KEY"]).encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={os.environ['AWS_ACCESS_KEY_ID']}/{scope}, "
        f"SignedHeaders={';'.join(names)}, Signature={signature}")
    return headers


def dynamodb(operation, **request):
    global connection
    url = urllib.parse.urlsplit(os.environ.get(
        "AWS_ENDPOINT_URL", f"https://dynamodb.{os.environ['AWS_REGION']}.amazonaws.com"))
    if connection is None:
        kind = (http.client.HTTPSConnection if url.scheme == "https"
                else http.client.HTTPConnection)
        connection = kind(url.netloc, timeout=10)
    body = json.dumps(request).encode()
    try:
        connection.request("POST", "/", body, sign(url.netloc, f"DynamoDB_20120810.{operation}", body))
        response = connection.getresponse()
        output = json.loads(response.read())
    except (OSError, http.client.HTTPException):
        connection.close()
        connection = None
        raise
    if response.status != 200:
        raise DynamoDBError(output["__type"].split("#")[-1],
                            output.get("message") or output.get("Message"))
    return output
