"""The Python runtime: speaks the Lambda Runtime API (2018-06-01) and runs the function's handler.

Documentation: Developer Guide, "Building Lambda functions with Python" (handler, context, logging,
errors) and "Using the Lambda runtime API".

Started with -I -S, and it imports nothing that a handler might not need: the C parts of json and
socket instead of their packages, logging and traceback only when they are used. That is a
third of the start of a plain interpreter.

Two ways in, alike for the function: with _HANDLER in the environment it begins at once; without, it
was booted for the pool and reads its whole environment from descriptor 3 (NAME=VALUE, each ended by
NUL) before anything that depends on it. So nothing of the function may be looked at above main().
"""
import os
import sys
import time

import _json
import _socket

GATE_FD = 3
PREFIX = "/2018-06-01/runtime/"
FRAME = b"\xa5\x5a\x00\x03"


# --- the environment of a pooled process ----------------------------------------------------------

def read_gate():
    parts = []
    while True:
        part = os.read(GATE_FD, 65536)
        if not part:
            break
        parts.append(part)
    os.close(GATE_FD)
    return b"".join(parts)


def take_environment(data):
    # At its start the interpreter itself may have set this one (PEP 538), then it does so always.
    coerced = os.environ.get("LC_CTYPE")
    for name in list(os.environ):
        del os.environ[name]
    for one in data.split(b"\0"):
        name, equals, value = one.partition(b"=")
        if equals and name:
            os.environb[name] = value
    if coerced and "LC_CTYPE" not in os.environ and "LC_ALL" not in os.environ:
        os.environ["LC_CTYPE"] = coerced
    if hasattr(time, "tzset"):
        time.tzset()


def set_paths(root):
    """As AWS orders them: the function's code, layers, what PYTHONPATH names, then the library."""
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    named = [p for p in os.environ.get("PYTHONPATH", "").split(":") if p]
    mine = os.path.dirname(os.path.abspath(__file__))
    library = [p for p in sys.path if p != mine]
    sys.path[:] = [root, f"/opt/python/lib/{version}/site-packages", "/opt/python"]
    sys.path += [p for p in named + [mine] + library if p not in sys.path]
    sys.path_importer_cache.clear()


def add_site_builtins():
    """exit and quit come from the module that -S leaves out."""
    import builtins
    import _sitebuiltins
    builtins.quit = _sitebuiltins.Quitter("quit", "Ctrl-D (i.e. EOF)")
    builtins.exit = _sitebuiltins.Quitter("exit", "Ctrl-D (i.e. EOF)")


# --- JSON -----------------------------------------------------------------------------------------

class _Decoder:
    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}.__getitem__
    memo = {}


scan_json = _json.make_scanner(_Decoder)
SPACE = " \t\n\r"


def decode_json(text):
    """An event. ValueError with the place otherwise, as the json package words it."""
    try:
        value, end = scan_json(text, len(text) - len(text.lstrip(SPACE)))
        if end == len(text) or not text[end:].strip(SPACE):
            return value
    except Exception:  # without its package it cannot always say what is wrong
        pass
    import json
    return json.loads(text)


class RawText(str):
    """Stands in the JSON as it is."""


def _default(value):
    """As the encoder of AWS' runtime: decimals with all their digits, bytes as text."""
    module = sys.modules.get("decimal")
    if module is not None and isinstance(value, module.Decimal):
        if value.is_nan():
            return float("nan")
        return RawText(value)
    if isinstance(value, bytes):
        return value.decode("utf-8")
    raise TypeError(f"Object of type {value.__class__.__name__} is not JSON serializable")


class Encoder:
    def __init__(self):
        version = os.environ.get("AWS_EXECUTION_ENV", "").rpartition("python3.")[2]
        self.escape = _json.encode_basestring_ascii
        if version.isdigit() and int(version) >= 12:
            self.escape = _json.encode_basestring

    def escape_text(self, text):
        return str(text) if type(text) is RawText else self.escape(text)

    def encode(self, value):
        if isinstance(value, str):
            return self.escape(value)
        # Only decimals need the slower one.
        escape = self.escape_text if "decimal" in sys.modules else self.escape
        return "".join(_json.make_encoder({}, _default, escape, None, ": ", ", ", False, False, False)(
            value, 0))


# --- the log --------------------------------------------------------------------------------------

class Log:
    """Records of any content on the framed descriptor; lines on standard output without one."""

    def __init__(self):
        self.read_environment()
        self.request_id = None
        self.tenant_id = None

    def read_environment(self):
        self.fd = int(os.environ.pop("_LAMBDA_TELEMETRY_LOG_FD", "-1") or -1)
        self.json = os.environ.get("AWS_LAMBDA_LOG_FORMAT", "").upper() == "JSON"
        self.level = os.environ.get("AWS_LAMBDA_LOG_LEVEL", "").upper()

    def write(self, text):
        data = text.encode("utf-8", "backslashreplace")
        fd = self.fd
        if fd > 2:
            data = (FRAME + len(data).to_bytes(4, "big") +
                    (time.time_ns() // 1000).to_bytes(8, "big") + data)
        else:
            sys.stdout.flush()
            fd = 1
        try:
            while data:
                data = data[os.write(fd, data):]
        except OSError:
            pass  # nobody reads: a log line is not worth an end

    def error(self, report):
        """How an error that ends an invocation is shown."""
        kind, message = report.get("errorType"), report.get("errorMessage")
        if self.json:
            record = {"timestamp": utc_now(), "level": "ERROR", "errorType": kind, "errorMessage": message,
                      "stackTrace": report.get("stackTrace", [])}
            if self.request_id:
                record["requestId"] = self.request_id
            if self.tenant_id:
                record["tenantId"] = self.tenant_id
            self.write(Encoder().encode(record) + "\n")
            return
        text = f"[ERROR] {kind}: {message}" if kind and message else f"[ERROR] {kind or message}"
        text += "\nTraceback (most recent call last):\n" + "".join(report.get("stackTrace", []))
        self.write(text if text.endswith("\n") else text + "\n")


def utc_now():
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


# Attributes of every record; what else a record has came with `extra`.
RECORD_FIELDS = frozenset((
    "aws_request_id", "tenant_id", "args", "asctime", "created", "exc_info", "exc_text", "filename", "funcName",
    "levelname", "levelno", "lineno", "message", "module", "msecs", "msg", "name", "pathname", "process",
    "processName", "relativeCreated", "stack_info", "taskName", "thread", "threadName"))


def set_up_logging(logging, log):
    """What AWS has done to the root logger before a function sees it."""

    class LambdaLoggerFilter(logging.Filter):
        def filter(self, record):
            record.aws_request_id = log.request_id or ""
            record.tenant_id = log.tenant_id
            return True

    class LambdaLoggerHandler(logging.Handler):
        def emit(self, record):
            log.write(self.format(record))

    class JsonFormatter(logging.Formatter):
        def format(self, record):
            time_text = self.formatTime(record, "%Y-%m-%dT%H:%M:%S")
            shown = {"timestamp": f"{time_text}.{int(record.msecs):03d}Z", "level": record.levelname,
                     "message": record.getMessage(), "logger": record.name}
            if record.exc_info:
                kind, value, trace = record.exc_info
                import traceback
                shown["stackTrace"] = traceback.format_list(traceback.extract_tb(trace))
                shown["errorType"] = kind.__name__ if kind else None
                shown["errorMessage"] = str(value)
                shown["location"] = f"{record.pathname}:{record.funcName}:{record.lineno}"
            shown["requestId"] = record.aws_request_id or None
            shown["tenantId"] = record.tenant_id
            for name, value in record.__dict__.items():
                if name not in RECORD_FIELDS:
                    shown[name] = value
            import json
            return json.dumps({k: v for k, v in shown.items() if v is not None}, default=str,
                              ensure_ascii=False) + "\n"

    handler = LambdaLoggerHandler()
    if log.json:
        handler.setFormatter(JsonFormatter())
    else:
        handler.setFormatter(logging.Formatter(
            "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s\n", "%Y-%m-%dT%H:%M:%S"))
    handler.formatter.converter = time.gmtime
    handler.addFilter(LambdaLoggerFilter())
    logging.root.addHandler(handler)
    levels = {"TRACE": 10, "DEBUG": 10, "INFO": 20, "WARN": 30, "WARNING": 30, "ERROR": 40, "FATAL": 50,
              "CRITICAL": 50}
    if log.json and log.level in levels:
        logging.root.setLevel(levels[log.level])


class ImportWatch:
    """Waits at the door of the import system for one module, and is gone once it came."""

    def __init__(self, name, done):
        self.name, self.done = name, done

    def find_spec(self, name, path=None, target=None):
        if name != self.name:
            return None
        sys.meta_path.remove(self)
        for finder in sys.meta_path:
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                break
        else:
            return None
        execute = spec.loader.exec_module
        done = self.done

        class Loader:
            create_module = staticmethod(getattr(spec.loader, "create_module", lambda spec: None))

            @staticmethod
            def exec_module(module):
                module.__spec__.loader = module.__loader__ = loader
                execute(module)
                done(module)

        loader = spec.loader
        spec.loader = Loader
        return spec


# --- the SDK ----------------------------------------------------------------------------------------

SDK = {"boto3", "botocore", "s3transfer", "jmespath", "dateutil", "urllib3", "six"}
# What a distribution's botocore takes from elsewhere, and AWS's brings inside.
SDK_PARTS = {"requests", "certifi", "chardet", "charset_normalizer", "idna"}


class Sdk:
    """boto3 and what it needs are part of AWS's runtimes. Here they are the host's, if it has them, and
    nothing else of the host's packages is. What the function or a layer brings is found before."""

    def __init__(self):
        version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
        self.places = [f"{sys.prefix}/local/lib/{version}/dist-packages", f"{sys.prefix}/lib/{version}/site-packages",
                       f"{sys.prefix}/lib/python3/dist-packages"]

    def find_spec(self, name, path=None, target=None):
        if path is not None or not (name in SDK or name in SDK_PARTS and "botocore" in sys.modules):
            return None
        from importlib.machinery import PathFinder
        return PathFinder.find_spec(name, self.places)


def teach_endpoints(module):
    """AWS_ENDPOINT_URL for a botocore that is older than 1.31, which does not know it."""
    import botocore.configprovider
    if hasattr(botocore.configprovider, "ConfiguredEndpointProvider"):
        return
    create = module.Session.create_client

    def create_client(self, service_name, region_name=None, api_version=None, use_ssl=True, verify=None,
                      endpoint_url=None, *rest, **more):
        if endpoint_url is None and os.environ.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "").lower() != "true":
            endpoint_url = os.environ.get("AWS_ENDPOINT_URL") or None
        return create(self, service_name, region_name, api_version, use_ssl, verify, endpoint_url, *rest, **more)

    module.Session.create_client = create_client


# --- the Runtime API --------------------------------------------------------------------------------

class Api:
    """Requests in a row on one connection; an answer and the next poll are one write."""

    def __init__(self, address):
        host, _, port = address.rpartition(":")
        self.address = address
        self.target = (host, int(port))
        self.socket = None
        self.input = b""

    def connect(self):
        s = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
        s.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
        s.connect(self.target)
        self.socket = s
        self.input = b""

    def head(self, method, name, more=""):
        return f"{method} {PREFIX}{name} HTTP/1.1\r\nHost: {self.address}\r\nUser-Agent: cirrus-python\r\n{more}"

    def next_request(self):
        return (self.head("GET", "invocation/next") + "\r\n").encode()

    def post(self, name, body, more="", kind="application/json"):
        return self.head("POST", name, f"{more}Content-Type: {kind}\r\n"
                         f"Content-Length: {len(body)}\r\n\r\n").encode("latin-1", "replace") + body

    def error_request(self, name, report):
        kind = "".join(c if " " <= c <= "~" else "?" for c in str(report.get("errorType")))
        return self.post(name, Encoder().encode(report).encode("utf-8", "backslashreplace"),
                         f"Lambda-Runtime-Function-Error-Type: {kind}\r\n")

    def send(self, data):
        if self.socket is None:
            self.connect()
        self.socket.sendall(data)

    def more(self):
        part = self.socket.recv(65536)
        if not part:
            raise ConnectionError("the Runtime API closed the connection")
        self.input = self.input + part if self.input else part

    def receive(self):
        """(status, headers, body) of the next answer."""
        while (end := self.input.find(b"\r\n\r\n")) < 0:
            self.more()
        lines = self.input[:end].decode("latin-1").split("\r\n")
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        at = end + 4
        if headers.get("transfer-encoding") == "chunked":
            body = self.receive_chunks(at)
        else:
            size = int(headers.get("content-length", 0))
            if size > len(self.input) - at:
                self.receive_rest(at + size)
            body = self.input[at:at + size]
            self.input = self.input[at + size:]
        return int(lines[0][9:12]), headers, body

    def receive_rest(self, size):
        parts, have = [self.input], len(self.input)
        while have < size:
            part = self.socket.recv(min(size - have, 1 << 20))
            if not part:
                raise ConnectionError("the Runtime API closed the connection")
            parts.append(part)
            have += len(part)
        self.input = b"".join(parts)

    def receive_chunks(self, at):
        parts = []
        while True:
            while (end := self.input.find(b"\r\n", at)) < 0:
                self.more()
            size = int(self.input[at:end].split(b";")[0], 16)
            at = end + 2
            if size == 0:
                break
            while len(self.input) < at + size + 2:
                self.more()
            parts.append(self.input[at:at + size])
            at += size + 2
        while True:
            while (end := self.input.find(b"\r\n", at)) < 0:
                self.more()
            if end == at:
                break
            at = end + 2
        self.input = self.input[at + 2:]
        return b"".join(parts)


# --- the context ------------------------------------------------------------------------------------

class Client:
    __slots__ = ("installation_id", "app_title", "app_version_name", "app_version_code", "app_package_name")


class ClientContext:
    __slots__ = ("custom", "env", "client")


class CognitoIdentity:
    __slots__ = ("cognito_identity_id", "cognito_identity_pool_id")

    def __repr__(self):
        return (f"CognitoIdentity([cognito_identity_id={self.cognito_identity_id},"
                f"cognito_identity_pool_id={self.cognito_identity_pool_id}])")


class LambdaContext:
    def __init__(self, headers, log):
        self._deadline_ms = int(headers.get("lambda-runtime-deadline-ms", 0))
        self._epoch_deadline_time_in_ms = self._deadline_ms
        self._log = log
        self.aws_request_id = headers.get("lambda-runtime-aws-request-id")
        self.log_group_name = os.environ.get("AWS_LAMBDA_LOG_GROUP_NAME")
        self.log_stream_name = os.environ.get("AWS_LAMBDA_LOG_STREAM_NAME")
        self.function_name = os.environ.get("AWS_LAMBDA_FUNCTION_NAME")
        self.memory_limit_in_mb = os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
        self.function_version = os.environ.get("AWS_LAMBDA_FUNCTION_VERSION")
        self.invoked_function_arn = headers.get("lambda-runtime-invoked-function-arn")
        self.tenant_id = headers.get("lambda-runtime-aws-tenant-id")
        self.client_context = self._client_context(headers.get("lambda-runtime-client-context"))
        self.identity = self._identity(headers.get("lambda-runtime-cognito-identity"))

    @staticmethod
    def _fill(target, source):
        for name in target.__slots__:
            setattr(target, name, source.get(name) if isinstance(source, dict) else None)
        return target

    def _client_context(self, text):
        if not text:
            return None
        source = decode_json(text)
        context = self._fill(ClientContext(), source)
        if isinstance(source, dict):
            context.client = self._fill(Client(), source.get("client") or {})
        return context

    def _identity(self, text):
        source = decode_json(text) if text else {}
        identity = CognitoIdentity()
        identity.cognito_identity_id = source.get("cognitoIdentityId")
        identity.cognito_identity_pool_id = source.get("cognitoIdentityPoolId")
        return identity

    def get_remaining_time_in_millis(self):
        return max(self._deadline_ms - int(time.time() * 1000), 0)

    def log(self, message):
        self._log.write(message if isinstance(message, str) else str(message))

    def __repr__(self):
        return (f"LambdaContext([aws_request_id={self.aws_request_id},log_group_name={self.log_group_name},"
                f"log_stream_name={self.log_stream_name},function_name={self.function_name},"
                f"memory_limit_in_mb={self.memory_limit_in_mb},function_version={self.function_version},"
                f"invoked_function_arn={self.invoked_function_arn},client_context={self.client_context},"
                f"identity={self.identity},tenant_id={self.tenant_id}])")


# --- errors -----------------------------------------------------------------------------------------

class Fault(Exception):
    """What the runtime itself found wrong: `kind` is the errorType."""

    def __init__(self, kind, message, trace=()):
        super().__init__(message)
        self.kind, self.message, self.trace = kind, message, list(trace)


def report_of(error, request_id):
    if isinstance(error, Fault):
        return {"errorMessage": error.message, "errorType": error.kind, "requestId": request_id or "",
                "stackTrace": error.trace}
    import traceback
    frames = traceback.extract_tb(error.__traceback__)
    mine = os.path.abspath(__file__)
    while frames and os.path.abspath(frames[0].filename) == mine:
        frames.pop(0)
    return {"errorMessage": str(error), "errorType": type(error).__name__, "requestId": request_id or "",
            "stackTrace": traceback.format_list(frames)}


# --- the handler ------------------------------------------------------------------------------------

def load_handler(handler):
    module_name, dot, name = handler.rpartition(".")
    if not dot:
        raise Fault("Runtime.MalformedHandlerName",
                    f"Bad handler '{handler}': not enough values to unpack (expected 2, got 1)")
    if module_name.split(".")[0] in sys.builtin_module_names:
        raise Fault("Runtime.BuiltInModuleConflict",
                    f"Cannot use built-in module {module_name} as a handler module")
    try:
        path = module_name.replace("/", ".")
        __import__(path)
        module = sys.modules[path]
    except ImportError as e:
        raise Fault("Runtime.ImportModuleError", f"Unable to import module '{module_name}': {e}") from e
    except SyntaxError as e:
        raise Fault("Runtime.UserCodeSyntaxError", f"Syntax error in module '{module_name}': {e}",
                    [f'  File "{e.filename}" Line {e.lineno}\n    {e.text}']) from e
    try:
        return getattr(module, name)
    except AttributeError:
        raise Fault("Runtime.HandlerNotFound", f"Handler '{name}' missing on module '{module_name}'") from None


def flush():
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            pass


def invoke(api, log, encoder, handler, headers, body):
    """The request that answers one invocation."""
    request_id = headers.get("lambda-runtime-aws-request-id")
    try:
        try:
            event = decode_json(body.decode("utf-8"))
        except ValueError as e:
            raise Fault("Runtime.UnmarshalError", f"Unable to unmarshal input: {e}") from None
        result = handler(event, LambdaContext(headers, log))
        kind = "application/json"
        try:
            if isinstance(result, bytes):  # the answer as it is
                data, kind = result, "application/unknown"
            else:
                data = encoder.encode(result).encode("utf-8")
        except Exception as e:  # also of what the result's own methods do
            raise Fault("Runtime.MarshalError", f"Unable to marshal response: {e}") from None
        request = api.post(f"invocation/{request_id}/response", data, kind=kind)
    except Exception as e:
        report = report_of(e, request_id)
        log.error(report)
        request = api.error_request(f"invocation/{request_id}/error", report)
    flush()
    return request


TRACE_ID = "_X_AMZN_TRACE_ID"
TRACES_MAX = 10000
ENVIRON = type(os.environ)


def set_trace(trace, events):
    """The C library keeps every value that a variable ever had, 160 bytes an event: after some thousand
    events only Python's own view of the environment has the newest."""
    if not trace:
        os.environ.pop(TRACE_ID, None)
    elif events < TRACES_MAX or type(os.environ) is not ENVIRON:
        os.environ[TRACE_ID] = trace
    else:
        os.environ._data[os.environ.encodekey(TRACE_ID)] = os.environ.encodevalue(trace)


def serve(api, log, handler):
    encoder = Encoder()
    pending = events = 0
    request = b""
    while True:
        api.send(request + api.next_request())
        for _ in range(pending):
            api.receive()  # what it says changes nothing here: the platform tells the caller
        status, headers, body = api.receive()
        if status != 200:
            sys.exit(0 if status == 410 else 1)
        log.request_id = headers.get("lambda-runtime-aws-request-id")
        log.tenant_id = headers.get("lambda-runtime-aws-tenant-id")
        trace = headers.get("lambda-runtime-trace-id")
        events += 1
        set_trace(trace, events)
        request = invoke(api, log, encoder, handler, headers, body)
        pending = 1
        log.request_id = None


# --- SnapStart ----------------------------------------------------------------------------------------

# What is another one's in each instance.
INSTANCE_VARIABLES = (b"AWS_ACCESS_KEY_ID", b"AWS_SECRET_ACCESS_KEY", b"AWS_SESSION_TOKEN",
                      b"AWS_LAMBDA_LOG_STREAM_NAME", b"_LAMBDA_TELEMETRY_LOG_FD")


def take_snapshot(api, log):
    """Returns in instances that go on from it; where there can be none the process waits for its end."""
    import _cirrus_snapshot as snapshot
    snapshot.run_hooks("get_before_snapshot")
    flush()
    try:
        environment = snapshot.take(api, (log.fd,))
    except snapshot.Impossible as e:
        log.write(f"[WARN] no snapshot can be taken, each instance is initialised anew: {e}\n")
        api.send(api.post("restore/image", b""))
        api.receive()
        while True:
            time.sleep(3600)
    for one in environment.split(b"\0"):
        name, _, value = one.partition(b"=")
        if name in INSTANCE_VARIABLES:  # the others are as init left them
            os.environb[name] = value
    log.read_environment()
    snapshot.run_hooks("get_after_restore")


# --- main -------------------------------------------------------------------------------------------

def main():
    if "_HANDLER" not in os.environ:
        take_environment(read_gate())
    root = os.environ.get("LAMBDA_TASK_ROOT", "/var/task")
    os.chdir(root)
    set_paths(root)
    add_site_builtins()
    log = Log()
    sys.meta_path.insert(0, ImportWatch("logging", lambda module: set_up_logging(module, log)))
    sys.meta_path.append(Sdk())
    sys.meta_path.insert(0, ImportWatch("botocore.session", teach_endpoints))
    sys.stdout.reconfigure(line_buffering=True, write_through=True, errors="backslashreplace")
    sys.stderr.reconfigure(line_buffering=True, write_through=True)
    sys.modules["bootstrap"] = sys.modules["__main__"]
    sys.argv = [sys.argv[0]]
    api = Api(os.environ["AWS_LAMBDA_RUNTIME_API"])
    snapshot = os.environ.pop("_CIRRUS_SNAPSHOT", None)
    try:
        handler = load_handler(os.environ["_HANDLER"])
        if snapshot:
            take_snapshot(api, log)
    except Exception as e:
        report = report_of(e, "")
        log.error(report)
        flush()
        try:
            api.send(api.error_request("init/error", report))
            api.receive()
        except OSError:
            pass
        sys.exit(1)
    try:
        serve(api, log, handler)
    except OSError as e:
        log.write(f"the Runtime API is gone: {e}\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
