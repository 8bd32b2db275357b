#!/usr/bin/python3
"""Loopback is not trust: a page of another site, in a real browser, tries to use the server.

Headless Chromium shows a page from http://evil.test (resolved to loopback), which tries a form, an image, a
script, fetches of every mode, and its own name rebound to the server's port. Each request carries a valid
signature of the key test/test, so that only the rule about browsers stands between the page and the
account. Afterwards nothing exists, and every attempt was answered 403.

The same page answered by a function, below /_aws/ of the server's own origin, gets nothing either: its
origin is that of nobody, also with a policy of its own that says otherwise.
"""
import datetime
import hashlib
import hmac
import html
import http.server
import io
import json
import re
import shutil
import subprocess
import tempfile
import threading
import urllib.error
import urllib.parse
import urllib.request
import zipfile

from harness import expect, main, own_server

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"


def presigned(host, method, parameters):
    """A query string for IAM, signed with test/test (Signature Version 4)."""
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{now[:8]}/us-east-1/iam/aws4_request"
    query = dict(parameters, **{
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256", "X-Amz-Credential": f"test/{scope}",
        "X-Amz-Date": now, "X-Amz-Expires": "900", "X-Amz-SignedHeaders": "host"})
    text = "&".join(f"{urllib.parse.quote(k, safe='-_.~')}={urllib.parse.quote(v, safe='-_.~')}"
                    for k, v in sorted(query.items()))
    canonical = "\n".join([method, "/", text, f"host:{host}", "", "host",
                           hashlib.sha256(b"").hexdigest()])
    to_sign = "\n".join(["AWS4-HMAC-SHA256", now, scope,
                         hashlib.sha256(canonical.encode()).hexdigest()])
    key = b"AWS4test"
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return text + "&X-Amz-Signature=" + hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()


PAGE = """<!doctype html><title>evil</title><body><pre id=result></pre>
<iframe name=sink></iframe>
<form id=f method=post enctype="text/plain" target=sink action="%(form)s"><input name="x" value="y"></form>
<script>
const results = {};
async function attempt(name, promise) {
  try { const r = await promise; results[name] = r.type + " " + r.status; }
  catch (e) { results[name] = "blocked"; }
}
function element(tag, url) {
  return new Promise((done) => {
    const e = document.createElement(tag);
    e.onload = () => done({type: "loaded", status: 0});
    e.onerror = () => done({type: "error", status: 0});
    e.src = url;
    document.body.append(e);
  });
}
(async () => {
  results["origin"] = self.origin;
  document.getElementById("f").submit();
  element("iframe", "%(frame)s");  // and does not wait: virtual time would pass it by
  await attempt("image", element("img", "%(image)s"));
  await attempt("script", element("script", "%(script)s"));
  await attempt("no-cors get", fetch("%(nocors)s", {mode: "no-cors"}));
  await attempt("cors get", fetch("%(cors)s"));
  await attempt("no-cors post", fetch("%(endpoint)s/", {mode: "no-cors", method: "POST",
    headers: {"content-type": "text/plain"}, body: "Action=CreateUser&UserName=post"}));
  await attempt("cors post", fetch("%(endpoint)s/", {method: "POST", headers: {
    "x-amz-target": "DynamoDB_20120810.CreateTable", "content-type": "application/x-amz-json-1.0",
    "authorization": "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/dynamodb/aws4_request, " +
      "SignedHeaders=host, Signature=0"}, body: '{"TableName":"evil"}'}));
  await attempt("rebound", fetch("%(rebound)s", {mode: "no-cors"}));
  await attempt("health", fetch("%(endpoint)s/_cirrus/health"));
  await new Promise((done) => setTimeout(done, 500));
  document.getElementById("result").textContent = JSON.stringify(results);
})();
</script>"""


class Attacker(http.server.BaseHTTPRequestHandler):
    page = b""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(self.page)

    def log_message(self, *_):
        pass


def browse_only(url):
    """The page as the browser has it in the end."""
    with tempfile.TemporaryDirectory() as profile:
        done = subprocess.run(
            [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
             "--no-first-run", "--disable-background-networking", "--disable-component-update",
             "--disable-sync", "--disable-dev-shm-usage",
             "--disable-features=PrivateNetworkAccessSendPreflights,LocalNetworkAccessChecks,"
             "BlockInsecurePrivateNetworkRequests",
             f"--user-data-dir={profile}", "--host-resolver-rules=MAP evil.test 127.0.0.1",
             "--virtual-time-budget=20000", "--dump-dom", url],
            capture_output=True, text=True, timeout=120, check=False)
    return done


def browse(url):
    done = browse_only(url)
    found = re.search(r"<pre id=\"?result\"?>(.*?)</pre>", done.stdout, re.S)
    if not found or not found.group(1):
        raise AssertionError("the page did not finish:\n" + done.stdout[-2000:] + done.stderr[-2000:])
    return json.loads(html.unescape(found.group(1)))


def expect_nothing(server, results):
    """Nothing that the page tried was readable for it, and nothing was done."""
    results.pop("origin")
    for name, result in results.items():
        if result not in ("blocked", "opaque 0", "error 0"):
            raise AssertionError(f"{name}: the page saw {result}")
    expect([user["UserName"] for user in server.client("iam").list_users()["Users"]], [])
    expect(server.client("dynamodb").list_tables()["TableNames"], [])


@own_server
def test_foreign_page(server):
    host = f"127.0.0.1:{server.port}"

    def create(name, on=host, method="GET"):
        return f"http://{on}/?" + presigned(on, method, {
            "Action": "CreateUser", "UserName": name, "Version": "2010-05-08"})

    Attacker.page = (PAGE % {
        "endpoint": server.endpoint, "form": create("form", method="POST"), "image": create("image"),
        "script": create("script"), "nocors": create("nocors"), "cors": create("cors"),
        "frame": create("frame"),
        "rebound": create("rebound", on=f"evil.test:{server.port}")}).encode()
    attacker = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Attacker)
    threading.Thread(target=attacker.serve_forever, daemon=True).start()
    try:
        results = browse(f"http://evil.test:{attacker.server_address[1]}/")
    finally:
        attacker.shutdown()
    expect_nothing(server, results)
    # The same signatures are good without a browser's marks: the rule was what refused them.
    with urllib.request.urlopen(create("direct"), timeout=10) as answer:
        expect(answer.status, 200)
    expect([user["UserName"] for user in server.client("iam").list_users()["Users"]], ["direct"])


SITE = """
import json
PAGES = json.load(open("pages.json"))
def handler(event, context):
    path = event["rawPath"]
    if path.endswith("/go"):
        return {"statusCode": 302, "headers": {"Location": PAGES["go"]}}
    if path.endswith("/data"):
        return {"statusCode": 200, "body": "data"}
    headers = {"Content-Type": "text/html"}
    if path.endswith("/undo"):
        headers["Content-Security-Policy"] = (
            "sandbox allow-scripts allow-same-origin; default-src * 'unsafe-inline'")
    return {"statusCode": 200, "headers": headers, "body": PAGES["page"]}
"""


def deploy_site(server, page, go):
    """The bases of the pages by path: of a function URL and of an API; and that of the URL's host."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        z.writestr("pages.py", SITE)
        z.writestr("pages.json", json.dumps({"page": page, "go": go}))
    functions, gateway = server.client("lambda"), server.client("apigatewayv2")
    arn = functions.create_function(
        FunctionName="site", Runtime="python3.11", Handler="pages.handler",
        Role="arn:aws:iam::000000000000:role/none", Code={"ZipFile": out.getvalue()})["FunctionArn"]
    functions.get_waiter("function_active_v2").wait(FunctionName="site")
    url = functions.create_function_url_config(FunctionName="site", AuthType="NONE")["FunctionUrl"]
    host = urllib.parse.urlsplit(url).hostname
    api = gateway.create_api(Name="site", ProtocolType="HTTP", Target=arn)["ApiId"]
    return (f"{server.endpoint}/_aws/lambda-url/{host.split('.')[0]}",
            f"{server.endpoint}/_aws/execute-api/{api}", f"http://{host}:{server.port}")


@own_server
def test_page_by_path(server):
    host = f"127.0.0.1:{server.port}"

    def create(name, method="GET"):
        return f"http://{host}/?" + presigned(host, method, {
            "Action": "CreateUser", "UserName": name, "Version": "2010-05-08"})

    page = PAGE % {"endpoint": server.endpoint, "form": create("form", method="POST"), **{
        name: create(name)
        for name in ("image", "script", "nocors", "cors", "rebound", "frame")}}
    # Where it is a host of its own, a page reads what is its own.
    page = page.replace('results["origin"] = self.origin;', 'results["origin"] = self.origin;'
                        'results["own"] = await fetch("/data").then((r) => r.text(), () => "blocked");')
    url, api, at_host = deploy_site(server, page, create("go"))
    for base in (url, api):
        for name in ("/page", "/undo"):
            results = browse(base + name)
            expect((results["origin"], results["own"]), ("null", "blocked"))
            expect_nothing(server, results)
        # Led there by a redirect, a browser has no mark of a foreign page.
        browse_only(base + "/go")
        expect([user["UserName"] for user in server.client("iam").list_users()["Users"]], [])
        # Every answer says so, whatever becomes of the request.
        for path in ("/page", "/go", "/data"):
            expect(policies_of(base + path), [SANDBOX])
        expect(policies_of(base + "/undo")[1:], [SANDBOX])
        expect(policies_of(re.sub("(lambda-url|execute-api)/", "\\1/x", base)), [SANDBOX])
    expect(policies_of(f"http://{host}/data", Host=urllib.parse.urlsplit(at_host).netloc), [])
    results = browse(at_host + "/page")
    expect((results["origin"], results.pop("own")), (at_host, "data"))
    expect_nothing(server, results)


SANDBOX = "sandbox allow-scripts allow-forms allow-modals allow-popups allow-downloads"


class Unled(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


def policies_of(url, **headers):
    try:
        with urllib.request.build_opener(Unled).open(
                urllib.request.Request(url, headers=headers), timeout=10) as answer:
            return answer.headers.get_all("Content-Security-Policy") or []
    except urllib.error.HTTPError as error:
        return error.headers.get_all("Content-Security-Policy") or []


def status_of(url, **headers):
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as r:
            return r.status, r.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@own_server
def test_foreign_marks(server):
    """Each mark of a foreign page alone is enough to be refused, by name."""
    host = f"127.0.0.1:{server.port}"

    def attempt(**headers):
        return status_of(f"http://{host}/?" + presigned(host, "GET", {
            "Action": "ListUsers", "Version": "2010-05-08"}), **headers)

    expect(attempt()[0], 200)
    expect(attempt(**{"Sec-Fetch-Site": "none"})[0], 200)
    for headers in ({"Origin": "http://evil.test"}, {"Origin": "null"},
                    {"Referer": "http://evil.test/page"}, {"Sec-Fetch-Site": "cross-site"},
                    {"Sec-Fetch-Site": "same-site"}):
        status, text = attempt(**headers)
        if status != 403 or not re.search("|".join(headers), text, re.I):
            raise AssertionError(f"{headers}: {status} {text}")
    # What has our origin, or none, and is not a call that a page of ours makes.
    for rule, headers in (
            ("navigation rule", {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"}),
            ("page rule", {"Referer": f"http://{host}/_aws/lambda-url/x/page"})):
        status, text = attempt(**headers)
        if status != 403 or rule not in text:
            raise AssertionError(f"{headers}: {status} {text}")
    expect(attempt(**{"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"})[0], 200)
    evil = f"evil.test:{server.port}"
    status, text = status_of(f"http://{host}/?" + presigned(evil, "GET", {
        "Action": "ListUsers", "Version": "2010-05-08"}), Host=evil)
    if status != 403 or "Host" not in text:
        raise AssertionError(f"rebound host: {status} {text}")
    # Our own pages tell nothing to a rebound name either.
    for page in ("/_cirrus/health", "/_cirrus/metrics", "/_localstack/health"):
        expect(status_of(f"http://{host}{page}", Host=evil)[0], 403)
        expect(status_of(f"http://{host}{page}", Host=f"localhost:{server.port}")[0], 200)


if __name__ == "__main__":
    main(globals())
