// Streamed answers by the runtime's own means.
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";

export const handler = awslambda.streamifyResponse(async (event, stream, context) => {
  const path = event.rawPath;
  if (path === "/page") {
    stream = awslambda.HttpResponseStream.from(stream, {
      statusCode: 203, headers: { "Content-Type": "text/html", "x-id": context.awsRequestId },
      cookies: ["a=1; Path=/", "b=2"],
    });
    stream.write("<p>");
    await new Promise((done) => setTimeout(done, 150));
    stream.end("done</p>");
  } else if (path === "/gzip") {
    stream = awslambda.HttpResponseStream.from(stream, { statusCode: 200, headers: { "content-encoding": "gzip" } });
    await pipeline(Readable.from(["one ", "two"]), createGzip(), stream);
  } else if (path === "/typed") {
    stream.setContentType("text/csv");
    stream.end("a,b\n");
  } else if (path === "/large") {
    const block = "x".repeat(65536);
    await pipeline(Readable.from((function* () {
      for (let i = 0; i < 160; i++)
        yield block;
    })()), stream);
  } else if (path === "/head") {
    awslambda.HttpResponseStream.from(stream, { statusCode: 304, headers: { etag: "x" } }).end();
  } else if (path === "/cut") {
    stream.write("begun");
    await new Promise((done) => setTimeout(done, 20));
    throw new Error("in the middle");
  } else {
    throw new TypeError("before anything");
  }
});
