// What the JavaScript SDK sees of invocations: node run.mjs ENDPOINT FUNCTION. Prints one JSON object.
import { InvokeWithResponseStreamCommand, LambdaClient } from "@aws-sdk/client-lambda";

const [endpoint, name] = process.argv.slice(2);
const lambda = new LambdaClient({
  endpoint,
  region: "us-east-1",
  credentials: { accessKeyId: "test", secretAccessKey: "test" },
});

const answer = await lambda.send(
  new InvokeWithResponseStreamCommand({ FunctionName: name, LogType: "Tail", Payload: '{"n":3}' }));
const parts = [];
let complete;
for await (const event of answer.EventStream) {
  if (event.PayloadChunk)
    parts.push({ at: Date.now(), text: Buffer.from(event.PayloadChunk.Payload).toString() });
  if (event.InvokeComplete)
    complete = event.InvokeComplete;
}
console.log(JSON.stringify({ status: answer.StatusCode, version: answer.ExecutedVersion, parts, complete }));
