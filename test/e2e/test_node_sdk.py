#!/usr/bin/python3
"""The AWS SDK as part of the Node.js runtime: who finds which copy, as which role, and what nobody reaches by it."""
import io
import json
import os
import shutil
import subprocess
import tempfile
import zipfile

import harness
from harness import expect, main, options

PACKAGES = os.path.join(harness.ROOT, "build", "sdk", "node_modules")
OTHERS = os.path.join(harness.ROOT, "build", "js", "node_modules")  # of newer versions
with_sdk = options("--node-modules", PACKAGES)

# What a function does with it, written for both kinds of modules: no region, endpoint or key in it.
BODY = """
const documents = DynamoDBDocumentClient.from(new DynamoDBClient());
const buckets = new S3Client(), functions = new LambdaClient(), identity = new STSClient();
async function work(event) {
    if (event.echo)
        return { echo: event.echo };
    await documents.send(new PutCommand({ TableName: 'table', Item: { k: event.k, list: [1, 'a', { deep: true }] } }));
    const { Item } = await documents.send(new GetCommand({ TableName: 'table', Key: { k: event.k } }));
    await buckets.send(new PutObjectCommand({ Bucket: 'bucket', Key: event.k, Body: 'of ' + event.k }));
    const object = await buckets.send(new GetObjectCommand({ Bucket: 'bucket', Key: event.k }));
    const called = await functions.send(new InvokeCommand({
        FunctionName: process.env.AWS_LAMBDA_FUNCTION_NAME, Payload: JSON.stringify({ echo: event.k }) }));
    const denied = await documents.send(new GetCommand({ TableName: 'other', Key: { k: '1' } })).catch((e) => e.name);
    return { Item, object: await object.Body.transformToString(), denied,
        called: JSON.parse(Buffer.from(called.Payload).toString()),
        who: (await identity.send(new GetCallerIdentityCommand())).Arn };
}
"""
NAMES = (("DynamoDBClient", "client-dynamodb"), ("DynamoDBDocumentClient, PutCommand, GetCommand", "lib-dynamodb"),
         ("S3Client, PutObjectCommand, GetObjectCommand", "client-s3"), ("LambdaClient, InvokeCommand", "client-lambda"),
         ("STSClient, GetCallerIdentityCommand", "client-sts"))
REQUIRED = "".join(f"const {{ {n} }} = require('@aws-sdk/{p}');\n" for n, p in NAMES) + BODY + "exports.handler = work;"
IMPORTED = "".join(f"import {{ {n} }} from '@aws-sdk/{p}';\n" for n, p in NAMES) + BODY + "export const handler = work;"

# Which copy is it? Both ways to ask must agree.
WHICH_REQUIRED = """
const { where } = require('@aws-sdk/util-dynamodb');
const { version } = require('@aws-sdk/util-dynamodb/package.json');
exports.handler = async () => [where ?? version, await import('@aws-sdk/util-dynamodb').then((m) => m.where ?? version)];
"""
# Before Node.js 22.15 what import() finds from there follows the links only (runtimes/node/bootstrap.js).
WHICH_REQUIRED_ALONE = """
const { where } = require('@aws-sdk/util-dynamodb');
exports.handler = async () => [where, where];
"""
WHICH_IMPORTED = """
import { createRequire } from 'node:module';
import * as found from '@aws-sdk/util-dynamodb';
const { version } = createRequire(import.meta.url)('@aws-sdk/util-dynamodb/package.json');
export const handler = async () => [found.where ?? version, (await import('@aws-sdk/util-dynamodb')).where ?? version];
"""


def zip_of(files):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z:
        for name, text in files.items():
            z.writestr(name, text)
    return out.getvalue()


def small(where):
    """A copy of one package that says whose it is."""
    at = where.rpartition(" ")[2] + "/@aws-sdk/util-dynamodb/"
    return {at + "package.json": '{"name": "@aws-sdk/util-dynamodb", "version": "0.0.1", "main": "./index.js"}',
            at + "index.js": f"exports.where = '{where}';"}


def real(folder):
    """A published version of the same package, other than the runtime's."""
    files, source = {}, os.path.join(OTHERS, "@aws-sdk", "util-dynamodb")
    for name in ("package.json", "dist-cjs/index.js"):
        with open(os.path.join(source, name), encoding="utf-8") as f:
            files[f"{folder}/@aws-sdk/util-dynamodb/{name}"] = f.read()
    return files, json.loads(files[f"{folder}/@aws-sdk/util-dynamodb/package.json"])["version"]


def version_of_runtime():
    with open(os.path.join(PACKAGES, "@aws-sdk", "util-dynamodb", "package.json"), encoding="utf-8") as f:
        return json.load(f)["version"]


def create(functions, name, files, handler="index.handler", runtime="nodejs20.x", role="none", **more):
    functions.create_function(FunctionName=name, Runtime=runtime, Handler=handler, Timeout=20, MemorySize=512,
                              Role=f"arn:aws:iam::000000000000:role/{role}", Code={"ZipFile": zip_of(files)}, **more)


def invoke(functions, name, event=None):
    functions.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})
    answer = functions.invoke(FunctionName=name, Payload=json.dumps(event or {}))
    return json.load(answer["Payload"])


def layer(functions, name, files):
    return functions.publish_layer_version(LayerName=name, Content={"ZipFile": zip_of(files)})["LayerVersionArn"]


def tables_and_role(server):
    """A role that may use one table and one bucket, and call functions."""
    tables, iam = server.client("dynamodb"), server.client("iam")
    for table in ("table", "other"):
        tables.create_table(TableName=table, BillingMode="PAY_PER_REQUEST",
                            KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
                            AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}])
    server.client("s3").create_bucket(Bucket="bucket")
    iam.create_role(RoleName="limited", AssumeRolePolicyDocument=json.dumps({
        "Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole",
                                                "Principal": {"Service": "lambda.amazonaws.com"}}]}))
    iam.put_role_policy(RoleName="limited", PolicyName="some", PolicyDocument=json.dumps({
        "Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": "dynamodb:*", "Resource": "arn:aws:dynamodb:*:*:table/table"},
            {"Effect": "Allow", "Action": "s3:*", "Resource": "arn:aws:s3:::bucket/*"},
            {"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": "*"}]}))


@with_sdk
def test_clients(server):
    """Without any configuration a client reaches cirrus as the function's role; from all kinds of modules."""
    functions = server.client("lambda")
    tables_and_role(server)
    kinds = {"common": ({"index.js": REQUIRED}, "index.handler"),
             "below": ({"src/app/main.js": REQUIRED}, "src/app/main.handler"),
             "module": ({"index.mjs": IMPORTED}, "index.handler"),
             "module-below": ({"src/app/main.mjs": IMPORTED}, "src/app/main.handler"),
             "typed": ({"package.json": '{"type": "module"}', "index.js": IMPORTED}, "index.handler")}
    for name, (files, handler) in kinds.items():
        create(functions, name, files, handler, role="limited")
    for name in kinds:
        expect(invoke(functions, name, {"k": name}), {
            "Item": {"k": name, "list": [1, "a", {"deep": True}]}, "object": f"of {name}", "called": {"echo": name},
            "denied": "AccessDeniedException", "who": f"arn:aws:sts::000000000000:assumed-role/limited/{name}"})


def check_copies(server):
    functions, published = server.client("lambda"), version_of_runtime()
    plain = layer(functions, "plain", small("layer nodejs/node_modules"))
    versioned = layer(functions, "versioned", small("versioned nodejs/node20/node_modules"))
    foreign = layer(functions, "foreign", small("foreign nodejs/node22/node_modules"))
    files, newer = real("nodejs/node_modules")
    published_layer = layer(functions, "published", files)
    assert newer != published
    own = small("code node_modules")
    five = [foreign, published_layer, layer(functions, "empty", {"file": ""}), layer(functions, "other", {"other": ""}), plain]
    wanted_of = {}
    for kind, source in (("js", WHICH_REQUIRED), ("mjs", WHICH_IMPORTED)):
        for name, layers, more, wanted in (
                ("runtime", [], {}, published),
                ("foreign", [foreign], {}, published),
                ("layer", [plain], {}, "layer nodejs/node_modules"),
                ("published", [published_layer], {}, newer),
                ("five", five, {}, "layer nodejs/node_modules"),
                ("code", [plain, versioned], own, "code node_modules"),
                ("versioned", [plain, versioned], {}, "versioned nodejs/node20/node_modules")):
            text = WHICH_REQUIRED_ALONE if (kind, name) == ("js", "versioned") else source
            create(functions, f"{name}-{kind}", {f"app/index.{kind}": text, **more}, "app/index.handler", Layers=layers)
            wanted_of[f"{name}-{kind}"] = [wanted, wanted]
    expect({name: invoke(functions, name) for name in wanted_of}, wanted_of)


@with_sdk
def test_copies(server):
    """The documented order: the code's own copy, layers (those for one version of Node.js first), the runtime's."""
    check_copies(server)


@options("--node-modules", PACKAGES, "--pool", "0")
def test_copies_without_pool(server):
    check_copies(server)


@with_sdk
def test_own_node_path(server):
    """NODE_PATH of the function's own replaces the folders, for modules of both kinds."""
    functions = server.client("lambda")
    lib = layer(functions, "lib", {**small("mine node_modules"), **small("plain nodejs/node_modules"),
                                   "flat/helper.js": "exports.where = 'flat';"})
    for kind, source in (("js", WHICH_REQUIRED_ALONE), ("mjs", WHICH_IMPORTED)):
        create(functions, f"own-{kind}", {f"index.{kind}": source}, Layers=[lib],
               Environment={"Variables": {"NODE_PATH": "/opt/flat:/opt/node_modules"}})
        expect((kind, invoke(functions, f"own-{kind}")), (kind, ["mine node_modules"] * 2))
    create(functions, "flat", {"index.mjs": "import { where } from 'helper';\nexport const handler = async () => where;"},
           Layers=[lib], Environment={"Variables": {"NODE_PATH": "/opt/flat:/opt/node_modules"}})
    expect(invoke(functions, "flat"), "flat")


MISSING = {"index.js": "require('@aws-sdk/client-dynamodb'); exports.handler = async () => 1;"}
MISSING_MODULE = {"index.mjs": "import '@aws-sdk/client-dynamodb'; export const handler = async () => 1;"}


def test_without(server):
    """Without the folder: Node.js's own errors, and the server says at its start what helps."""
    functions = server.client("lambda")
    create(functions, "common", MISSING)
    create(functions, "module", MISSING_MODULE)
    create(functions, "none", {"index.js": "exports.handler = async () => process.env.NODE_PATH;"})
    found = invoke(functions, "common")
    expect((found["errorType"], found["errorMessage"].split("\n")[0]),
           ("Runtime.ImportModuleError", "Error: Cannot find module '@aws-sdk/client-dynamodb'"))
    found = invoke(functions, "module")
    expect(found["errorType"], "Error")
    assert found["errorMessage"].startswith("Cannot find package '@aws-sdk/client-dynamodb'"), found
    expect(invoke(functions, "none"), "/opt/nodejs/node20/node_modules:/opt/nodejs/node_modules:"
                                      "/var/runtime/node_modules:/var/runtime:/var/task")
    assert "make sdk" in server.log(), server.log()


HOSTILE = """
const fs = require('fs');
const at = '/var/runtime/node_modules';
const attempt = (what) => { try { return String(what()); } catch (e) { return e.code; } };
exports.handler = async () => ({
    read: attempt(() => fs.readFileSync(at + '/fine/index.js')),
    fine: require('fine'),
    absolute: attempt(() => fs.readFileSync(at + '/absolute')),
    relative: attempt(() => fs.readFileSync(at + '/relative')),
    folder: attempt(() => fs.readdirSync(at + '/folder').join()),
    above: attempt(() => fs.readFileSync(at + '/../../../secret')),
    host: attempt(() => fs.readFileSync(HOST)),
    closed: attempt(() => fs.readFileSync(at + '/closed.js')),
    writes: [() => fs.writeFileSync(at + '/new', ''), () => fs.writeFileSync(at + '/fine/index.js', 'exports = 0'),
        () => fs.rmSync(at + '/fine/index.js'), () => fs.chmodSync(at + '/fine/index.js', 0o777),
        () => fs.renameSync(at + '/fine', at + '/other'), () => fs.symlinkSync('/tmp', at + '/link'),
        () => fs.mkdirSync('/node_modules/new'), () => fs.rmSync('/node_modules'),
        () => fs.rmSync('/var/node_modules')].map(attempt),
    mount: fs.readFileSync('/proc/self/mountinfo', 'utf8').split('\\n').filter((l) => l.includes(` ${at} `))
        .map((l) => l.split(' ')[5].split(',').sort().join()),
});
"""


@harness.own_server
def test_hostile(server):
    """Nothing is written there, and links in the folder lead to places of the container only."""
    server.stop()
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        packages = os.path.join(folder, "node_modules")
        os.makedirs(os.path.join(packages, "fine"))
        secret = os.path.join(folder, "secret")
        for path, text, mode in ((secret, "secret", 0o644), (packages + "/fine/index.js", "module.exports = 'fine';", 0o666),
                                 (packages + "/closed.js", "closed", 0o600)):
            with open(path, "w", encoding="ascii") as f:
                f.write(text)
            os.chmod(path, mode)
        os.chmod(packages, 0o777)
        os.chmod(packages + "/fine", 0o777)
        os.symlink(secret, packages + "/absolute")
        os.symlink("../secret", packages + "/relative")
        os.symlink(folder, packages + "/folder")
        with harness.Server("--node-modules", packages) as other:
            functions = other.client("lambda")
            create(functions, "hostile", {"index.js": HOSTILE.replace("HOST", json.dumps(secret))})
            found = invoke(functions, "hostile")
            expect(found.pop("mount"), ["nodev,nosuid,relatime,ro"])
            expect(set(found.pop("writes")), {"EROFS"})
            expect(found, {"read": "module.exports = 'fine';", "fine": "fine", "absolute": "ENOENT", "relative": "ENOENT",
                           "folder": "ENOENT", "above": "ENOENT", "host": "ENOENT",
                           "closed": "closed" if os.geteuid() else "EACCES"})  # its own user's, then
        for name in ("new", "link", "other"):
            assert not os.path.lexists(os.path.join(packages, name)), name


@harness.own_server
def test_option(server):
    """What is no folder of packages is refused by name, and the default lies beside the program's folder."""
    server.stop()
    with tempfile.TemporaryDirectory() as folder:
        os.makedirs(folder + "/lib/cirrus/node_modules")
        os.makedirs(folder + "/bin")
        for wrong in ("/nonexistent/node_modules", folder + "/lib", "/etc/passwd"):
            for command in (["serve", "--ephemeral"], ["doctor"]):
                done = subprocess.run([harness.BINARY, *command, "--node-modules", wrong], capture_output=True, text=True,
                                      timeout=60, check=False)
                expect((done.returncode, f"--node-modules: '{wrong}' is not a folder named node_modules" in done.stderr),
                       (2, True))

        def finding(binary, *more):
            done = subprocess.run([binary, "doctor", "--json", *more], capture_output=True, text=True, timeout=60,
                                  check=False)
            return {f["name"]: f for f in json.loads(done.stdout)["findings"]}["nodejs AWS SDK"]

        found = finding(harness.BINARY)
        expect((found["ok"], found["detail"], "make sdk" in found["remedy"]), (False, "not found", True))
        found = finding(harness.BINARY, "--node-modules", PACKAGES)
        expect((found["ok"], found["detail"]), (True, f"{os.path.realpath(PACKAGES)}: 3.967.0"))
        installed = folder + "/bin/cirrus"
        shutil.copy(harness.BINARY, installed)
        found = finding(installed)
        expect((found["ok"], found["detail"]),
               (False, f"{folder}/lib/cirrus/node_modules: no package @aws-sdk/client-dynamodb"))
        os.makedirs(folder + "/lib/cirrus/node_modules/@aws-sdk/client-dynamodb")
        manifest = folder + "/lib/cirrus/node_modules/@aws-sdk/client-dynamodb/package.json"
        with open(manifest, "w", encoding="ascii") as f:
            f.write('{"name": "x", "deep": {"version": "0"}, "version": "1.2.3"}')
        os.chmod(manifest, 0o600)
        found = finding(installed)
        expect((found["ok"], found["remedy"].startswith("chmod -R a+rX")), (False, True))
        os.chmod(manifest, 0o644)
        expect(finding(installed)["detail"], f"{folder}/lib/cirrus/node_modules: 1.2.3")


if __name__ == "__main__":
    main(globals())
