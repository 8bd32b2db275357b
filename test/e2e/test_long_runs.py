#!/usr/bin/python3
"""Functions that take their time: longer than connections of clients are kept, or between parts of an answer."""
import io
import json
import threading
import zipfile

import botocore.eventstream

from harness import expect, main
from test_lambda_run import open_stream

ROLE = "arn:aws:iam::000000000000:role/none"
PYTHON = "import time\ndef handler(event, context):\n    time.sleep(event['seconds'])\n    return event\n"
NODE = """
exports.handler = awslambda.streamifyResponse(async (event, stream) => {
    stream.write('first;');
    await new Promise((done) => setTimeout(done, 1000 * event.seconds));
    stream.write('second;');
    stream.end();
});
"""


def deploy(server, name, runtime, file, text):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        z.writestr(file, text)
    functions = server.client("lambda", read_timeout=200)
    functions.create_function(FunctionName=name, Runtime=runtime, Handler="index.handler", Role=ROLE, Timeout=120,
                              Code={"ZipFile": out.getvalue()}, MemorySize=512)
    functions.get_waiter("function_active_v2").wait(FunctionName=name)
    return functions


def test_long_runs(server):
    functions = deploy(server, "long", "python3.11", "index.py", PYTHON)
    deploy(server, "pause", "nodejs22.x", "index.js", NODE)
    answer = {}
    long = threading.Thread(target=lambda: answer.update(functions.invoke(FunctionName="long", Payload=b'{"seconds":80}')))
    long.start()
    connection, streamed = open_stream(server, "pause", b'{"seconds":40}')
    buffer = botocore.eventstream.EventStreamBuffer()
    buffer.add_data(streamed.read())
    connection.close()
    parts = [event.payload for event in buffer if event.headers[":event-type"] == "PayloadChunk"]
    expect(b"".join(parts), b"first;second;")
    long.join()
    expect(("FunctionError" in answer, json.load(answer["Payload"])), (False, {"seconds": 80}))


if __name__ == "__main__":
    main({"test_long_runs": test_long_runs})
