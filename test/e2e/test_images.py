#!/usr/bin/python3
"""Functions of container images, through boto3: images made here, as AWS's base images are laid out."""
import gzip
import hashlib
import io
import json
import os
import platform
import shutil
import subprocess
import tarfile
import tempfile
import time

import harness
from harness import Server, error_of, expect, main, own_server

ROLE = "arn:aws:iam::000000000000:role/none"
HOST = "000000000000.dkr.ecr.us-east-1.amazonaws.com/"
MACHINE = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
UNSIGNED = ("InvalidParameterValueException",
            "Code signing is not supported for functions created with container images.", 400)
BOOTSTRAP = os.path.join("build", "test", "lambda-bootstrap")

ENTRY = """#!/bin/sh
if [ $# -ne 1 ]; then
  echo "entrypoint requires the handler name to be the first argument" 1>&2
  exit 142
fi
export _HANDLER="$1"
exec /var/runtime/bootstrap
"""


def bootstrap():
    """The native runtime of the tests, static."""
    subprocess.run(["make", "-s", BOOTSTRAP], cwd=harness.ROOT, check=True, capture_output=True)
    with open(os.path.join(harness.ROOT, BOOTSTRAP), "rb") as f:
        return f.read()


def shell():
    """The host's sh and the libraries that it needs: what a distribution's layer has."""
    files = {}
    program = os.path.realpath("/bin/sh")
    for line in subprocess.run(["ldd", program], capture_output=True, text=True,
                               check=True).stdout.split("\n"):
        for word in line.split():
            if word.startswith("/"):
                with open(word, "rb") as f:
                    files[word[1:]] = (0o755, f.read())
    with open(program, "rb") as f:
        files["bin/sh"] = (0o755, f.read())
    return files


def layer(files, packed=True):
    """A tar of {name: (mode, bytes) or link text}."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, what in files.items():
            entry = tarfile.TarInfo(name)
            if isinstance(what, str):
                entry.type, entry.linkname = tarfile.SYMTYPE, what
                tar.addfile(entry)
                continue
            entry.mode, entry.size = what[0], len(what[1])
            tar.addfile(entry, io.BytesIO(what[1]))
    data = out.getvalue()
    return (gzip.compress(data, mtime=0) if packed else data), hashlib.sha256(data).hexdigest()


def configuration(layers, machine=MACHINE, **config):
    return json.dumps({"architecture": machine, "os": "linux", "config": config,
                       "rootfs": {"type": "layers", "diff_ids": [f"sha256:{d}" for _, d in layers]}})


def oci(layers, **config):
    """The files of an OCI layout, and the digest of its manifest."""
    files = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}'}

    def blob(data, kind):
        data = data.encode() if isinstance(data, str) else data
        digest = hashlib.sha256(data).hexdigest()
        files[f"blobs/sha256/{digest}"] = data
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{digest}",
                "size": len(data)}

    manifest = blob(json.dumps({
        "schemaVersion": 2, "config": blob(configuration(layers, **config), "config.v1+json"),
        "layers": [blob(data, "layer.v1.tar+gzip") for data, _ in layers]}), "manifest.v1+json")
    files["index.json"] = json.dumps({"schemaVersion": 2, "manifests": [
        {**manifest, "platform": {"architecture": "s390x", "os": "linux"},
         "digest": "sha256:" + "0" * 64}, manifest]}).encode()
    return files, manifest["digest"].split(":")[1]


def docker(layers, **config):
    """What docker save wrote before it knew OCI."""
    text = configuration(layers, **config).encode()
    name = hashlib.sha256(text).hexdigest()
    files = {f"{name}.json": text}
    for data, digest in layers:
        files[f"{digest}/layer.tar"] = data
    files["manifest.json"] = json.dumps([{"Config": f"{name}.json", "RepoTags": ["a:b"], "Layers": [
        f"{digest}/layer.tar" for _, digest in layers]}]).encode()
    return files, name


def write(folder, name, files, archive=True):
    path = os.path.join(folder, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if archive:
        with tarfile.open(path + ".tar", "w", format=tarfile.USTAR_FORMAT) as tar:
            for file, data in files.items():
                entry = tarfile.TarInfo(file)
                entry.size = len(data)
                tar.addfile(entry, io.BytesIO(data))
        return
    for file, data in files.items():
        os.makedirs(os.path.dirname(os.path.join(path, file)), exist_ok=True)
        with open(os.path.join(path, file), "wb") as f:
            f.write(data)


def base(packed=True, **files):
    """Layers as of an AWS base image: a system, the runtime, the function's own on top."""
    return [layer({**shell(), "usr/bin/su": (0o4755, b"x"), "opt/a": (0o644, b"one"),
                   "opt/b": (0o600, b"one"), "lib/absolute": "/etc/hostname"}, packed),
            layer({"lambda-entrypoint.sh": (0o755, ENTRY.encode()),
                   "var/runtime/bootstrap": (0o755, bootstrap())}, packed),
            layer({"var/task/app.py": (0o644, b"#"), "opt/.wh.a": (0, b""),
                   "opt/b": (0o644, b"two"),
                   **{k.replace("__", "/"): (0o644, v) for k, v in files.items()}}, packed)]


CONFIG = {"Entrypoint": ["/lambda-entrypoint.sh"], "Cmd": ["echo"], "WorkingDir": "/var/task",
          "User": "0", "Env": ["LAMBDA_TASK_ROOT=/elsewhere", "OWN=image", "PATH=/usr/bin:/bin"]}


def create(functions, name, image, **more):
    answer = functions.create_function(
        FunctionName=name, PackageType="Image", Role=ROLE, Code={"ImageUri": HOST + image},
        Timeout=10, MemorySize=512, **more)
    functions.get_waiter("function_active_v2").wait(FunctionName=name)
    return answer


def invoke(functions, name, payload=b'{"n":1}', **more):
    answer = functions.invoke(FunctionName=name, Payload=payload, **more)
    return answer["Payload"].read().decode(), answer.get("FunctionError")


class Images:
    """A server with a folder of images."""

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix="cirrus-images-")
        os.chmod(self.folder, 0o755)
        self.server = Server("--image-folder", self.folder)
        self.server.__enter__()
        return self

    def __exit__(self, *_):
        self.server.__exit__()
        shutil.rmtree(self.folder)

    def client(self):
        return self.server.client("lambda")

    def trees(self):
        return sorted(os.listdir(os.path.join(self.server.folder, "data", "lambda", "tree")))


@own_server
def test_base_image(_):
    with Images() as images:
        files, digest = oci(base(), **CONFIG)
        write(images.folder, "app/one", files)
        functions = images.client()
        made = create(functions, "f", "app:one")
        expect((made["PackageType"], made["CodeSha256"], "Runtime" in made, "Handler" in made),
               ("Image", digest, False, False))
        code = functions.get_function(FunctionName="f")["Code"]
        expect((code["RepositoryType"], code["ImageUri"], code["ResolvedImageUri"]),
               ("ECR", HOST + "app:one", f"{HOST}app@sha256:{digest}"))
        expect(invoke(functions, "f"), ('{"n":1}', None))
        # The whiteout hides, the upper file counts, nothing can be written.
        create(functions, "opt", "app:one", ImageConfig={"Command": ["opt"]})
        expect(invoke(functions, "opt"), ('"none,two,ro"', None))
        expect(len(images.trees()), 3)
        create(functions, "env", "app:one", ImageConfig={"Command": ["env"]},
               Environment={"Variables": {"MINE": "yes"}})
        seen = invoke(functions, "env")[0]
        for wanted in ("OWN=image", "MINE=yes", "AWS_LAMBDA_RUNTIME_API=127.0.0.1:9001",
                       "LAMBDA_TASK_ROOT=/var/task", "_HANDLER=env"):
            expect(wanted in seen, True)
        expect(functions.get_function_configuration(FunctionName="env")["ImageConfigResponse"],
               {"ImageConfig": {"Command": ["env"]}})
        # Without the image's files: what is acknowledged is here.
        shutil.rmtree(os.path.join(images.folder, "app"))
        images.server.stop(kill=True)
        time.sleep(0.5)  # its worker still has the port
        images.server.start()
        functions = images.client()
        expect(invoke(functions, "f"), ('{"n":1}', None))
        for name in ("f", "opt", "env"):
            functions.delete_function(FunctionName=name)
        deadline = time.monotonic() + 10
        while images.trees() and time.monotonic() < deadline:
            time.sleep(0.1)
        expect(images.trees(), [])


@own_server
def test_docker_save_and_layouts(_):
    with Images() as images:
        files, digest = docker(base(packed=False), **CONFIG)
        write(images.folder, "team/app/latest", files)
        write(images.folder, "team/app/folder", oci(base(), **CONFIG)[0], archive=False)
        functions = images.client()
        expect(create(functions, "saved", "team/app")["CodeSha256"], digest)
        expect(invoke(functions, "saved"), ('{"n":1}', None))
        create(functions, "folder", "team/app:folder")
        expect(invoke(functions, "folder"), ('{"n":1}', None))
        # An entry point that is a plain name is looked for in PATH.
        create(functions, "named", "team/app:folder",
               ImageConfig={"EntryPoint": ["sh", "/lambda-entrypoint.sh"], "Command": ["count"],
                            "WorkingDirectory": "/"})
        expect(invoke(functions, "named"), ("1", None))


@own_server
def test_versions_keep_their_image(_):
    with Images() as images:
        write(images.folder, "app/one", oci(base(), **CONFIG)[0])
        files, digest = oci(base(opt__a=b"new"), **{**CONFIG, "Cmd": ["opt"]})
        write(images.folder, "app/two", files)
        functions = images.client()
        create(functions, "f", "app:one", Publish=True)
        expect(len(images.trees()), 3)
        functions.update_function_code(FunctionName="f", ImageUri=HOST + "app:two")
        functions.get_waiter("function_updated_v2").wait(FunctionName="f")
        expect(functions.get_function_configuration(FunctionName="f")["CodeSha256"], digest)
        expect(len(images.trees()), 4)  # two of them shared
        expect(invoke(functions, "f"), ('"new,two,ro"', None))
        expect(invoke(functions, "f", Qualifier="1"), ('{"n":1}', None))
        functions.delete_function(FunctionName="f", Qualifier="1")
        deadline = time.monotonic() + 10
        while len(images.trees()) > 3 and time.monotonic() < deadline:
            time.sleep(0.1)
        expect(len(images.trees()), 3)
        expect(invoke(functions, "f"), ('"new,two,ro"', None))


@own_server
def test_refusals(_):
    with Images() as images:
        good = oci(base(), **CONFIG)[0]
        write(images.folder, "bad/other", oci(base(), machine="s390x", **CONFIG)[0])
        damaged = {k: (v[:-1] + bytes([v[-1] ^ 1]) if k.startswith("blobs/") and len(v) > 10000
                       else v) for k, v in good.items()}
        write(images.folder, "bad/damaged", damaged)
        write(images.folder, "bad/device", oci([layer({"a/.wh..": (0, b"")})], **CONFIG)[0])
        write(images.folder, "bad/nothing", {"a": b"b"})
        write(images.folder, "good/one", good)
        functions = images.client()
        for image, text in (("bad:none", "does not exist"), ("bad:other", "the image is for s390x"),
                            ("bad:damaged", "of another digest"),
                            ("bad:device", "hides nothing that has a name"),
                            ("bad:nothing", "neither an OCI layout nor"),
                            ("../x:y", "not of the form"), ("a/../../b:c", "not of the form")):
            code, message, status = error_of(create, functions, "f", image)
            expect((code, status, text in message), ("InvalidParameterValueException", 400, True))
        expect(images.trees(), [])
        for more, text in (({"Runtime": "python3.11"}, "Runtime"), ({"Handler": "a.b"}, "Handler")):
            code, message, _ = error_of(create, functions, "f", "good:one", **more)
            expect((code, text in message), ("InvalidParameterValueException", True))
        create(functions, "f", "good:one")
        expect(error_of(functions.update_function_code, FunctionName="f", ZipFile=b"z")[0],
               "InvalidParameterValueException")
        expect(error_of(functions.create_function, FunctionName="z", Runtime="python3.11", Role=ROLE,
                        Handler="a.b", Code={"ImageUri": HOST + "good:one"})[0],
               "InvalidParameterValueException")
        # Images are not signed.
        signing = functions.create_code_signing_config(AllowedPublishers={"SigningProfileVersionArns": [
            "arn:aws:signer:us-east-1:000000000000:/signing-profiles/p/abcdefghij"]})["CodeSigningConfig"]
        signing = signing["CodeSigningConfigArn"]
        for call, more in ((functions.get_function_code_signing_config, {}),
                           (functions.delete_function_code_signing_config, {}),
                           (functions.put_function_code_signing_config, {"CodeSigningConfigArn": signing})):
            expect(error_of(call, FunctionName="f", **more), UNSIGNED)
        expect(error_of(create, functions, "signed", "good:one", CodeSigningConfigArn=signing), UNSIGNED)
        # A program that is not there, and none at all.
        create(functions, "absent", "good:one", ImageConfig={"EntryPoint": ["/absent"]})
        expect(invoke(functions, "absent")[1], "Unhandled")


@own_server
def test_without_a_folder(server):
    code, message, _ = error_of(create, server.client("lambda"), "f", "a:b")
    expect((code, "--image-folder" in message), ("InvalidParameterValueException", True))


if __name__ == "__main__":
    main(globals())
