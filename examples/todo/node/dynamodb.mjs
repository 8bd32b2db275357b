// One signed DynamoDB request with nothing but Node's own modules (Signature Version 4,
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html).
// Functions that bundle the AWS SDK use its client instead.
import { createHash, createHmac } from "node:crypto";
import http from "node:http";
import https from "node:https";

const agents = {
  "http:": new http.Agent({ keepAlive: true }),
  "https:": new https.Agent({ keepAlive: true }),
};
const sha256 = (data) => createHash("sha256").update(data).digest("hex");
const hmac = (key, data) => createHmac("sha256", key).update(data).digest();

function sign(endpoint, target, body) {
  const env = process.env;
  const now = new Date().toISOString().replace(/[-:]|\.\d+/g, "");
  const scope = `${now.slice(0, 8)}/${env.AWS_REGION}/dynamodb/aws4_request`;
  const headers = {
    "content-type": "application/x-amz-json-1.0",
    host: endpoint.host,
    "x-amz-date": now,
    ...(env.AWS_SESSION_TOKEN && { "x-amz-security-token": env.AWS_SESSION_TOKEN }),
    "x-amz-target": target,
  };
  const names = Object.keys(headers).sort();
  const canonical = [
    "POST",
    "/",
    "",
    ...names.map((name) => `${name}:${headers[name]}`),
    "",
    names.join(";"),
    sha256(body),
  ].join("\n");
  let key = `AWS4${env.AWS_SECRET_ACCESS_KEY}`;
  for (const part of scope.split("/")) key = hmac(key, part);
  const signature = hmac(key, ["AWS4-HMAC-SHA256", now, scope, sha256(canonical)].join("\n"));
  headers.authorization =
    `AWS4-HMAC-SHA256 Credential=${env.AWS_ACCESS_KEY_ID}/${scope}, ` +
    `SignedHeaders=${names.join(";")}, Signature=${signature.toString("hex")}`;
  return headers;
}

export function dynamodb(operation, input) {
  const endpoint = new URL(
    process.env.AWS_ENDPOINT_URL ?? `https://dynamodb.${process.env.AWS_REGION}.amazonaws.com`,
  );
  const body = JSON.stringify(input);
  const headers = sign(endpoint, `DynamoDB_20120810.${operation}`, body);
  const { request } = endpoint.protocol === "https:" ? https : http;
  return new Promise((resolve, reject) => {
    const sent = request(
      endpoint,
      {
        method: "POST",
        agent: agents[endpoint.protocol],
        headers: { ...headers, "content-length": Buffer.byteLength(body) },
      },
      (response) => {
        const parts = [];
        response.on("data", (part) => parts.push(part));
        response.on("error", reject);
        response.on("end", () => {
          const output = JSON.parse(Buffer.concat(parts).toString());
          if (response.statusCode === 200) return resolve(output);
          const error = new Error(output.message ?? output.Message);
          error.name = output.__type.split("#").pop();
          reject(error);
        });
      },
    );
    sent.on("error", reject);
    sent.end(body);
  });
}
