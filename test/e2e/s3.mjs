// What the JavaScript SDK does with S3: node s3.mjs ENDPOINT. Prints one JSON object.
import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import {
  CopyObjectCommand, CreateBucketCommand, DeleteObjectsCommand, GetBucketLocationCommand,
  GetObjectCommand, HeadObjectCommand, ListBucketsCommand, paginateListObjectsV2, PutObjectCommand,
  S3Client,
} from "@aws-sdk/client-s3";
import { Upload } from "@aws-sdk/lib-storage";
import { getSignedUrl } from "@aws-sdk/s3-request-presigner";

const [endpoint] = process.argv.slice(2);
const options = {
  endpoint,
  region: "us-east-1",
  forcePathStyle: true,
  credentials: { accessKeyId: "test", secretAccessKey: "test" },
};
const s3 = new S3Client(options);
const Bucket = "from-javascript";
const seen = {};
const md5 = (bytes) => createHash("md5").update(bytes).digest("hex");

await s3.send(new CreateBucketCommand({ Bucket }));
await s3.send(new PutObjectCommand({ Bucket, Key: "text", Body: "hello", Metadata: { from: "js" } }));
const got = await s3.send(new GetObjectCommand({ Bucket, Key: "text" }));
seen.text = [await got.Body.transformToString(), got.Metadata.from, got.ChecksumCRC32];

// a stream: aws-chunked with a trailer
const bytes = Buffer.alloc(300000, "stream ");
await s3.send(new PutObjectCommand(
  { Bucket, Key: "stream", Body: Readable.from([bytes]), ContentLength: bytes.length }));
const stream = await s3.send(new GetObjectCommand({ Bucket, Key: "stream" }));
seen.stream = md5(await stream.Body.transformToByteArray()) === md5(bytes);
seen.encoding = stream.ContentEncoding ?? null;

for (const ChecksumAlgorithm of ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"]) {
  const Key = `sum-${ChecksumAlgorithm}`;
  await s3.send(new PutObjectCommand({ Bucket, Key, Body: "123456789", ChecksumAlgorithm }));
  const head = await s3.send(new HeadObjectCommand({ Bucket, Key, ChecksumMode: "ENABLED" }));
  seen[ChecksumAlgorithm] = head[`Checksum${ChecksumAlgorithm}`];
}

const large = Buffer.alloc(11 * 1024 * 1024 + 3, "0123456789");
await new Upload({ client: s3, params: { Bucket, Key: "large", Body: large } }).done();
const parts = await s3.send(new GetObjectCommand({ Bucket, Key: "large", Range: "bytes=5242870-5242899" }));
seen.large = [parts.ContentRange, (await parts.Body.transformToString()) === large.subarray(5242870, 5242900).toString()];

await s3.send(new CopyObjectCommand({ Bucket, Key: "copy", CopySource: `${Bucket}/text` }));
seen.keys = [];
for await (const page of paginateListObjectsV2({ client: s3, pageSize: 3 }, { Bucket }))
  seen.keys.push(...page.Contents.map((o) => o.Key));

const get = await getSignedUrl(s3, new GetObjectCommand({ Bucket, Key: "text" }), { expiresIn: 60 });
seen.link = await (await fetch(get)).text();
const put = await getSignedUrl(
  new S3Client({ ...options, requestChecksumCalculation: "WHEN_REQUIRED" }),
  new PutObjectCommand({ Bucket, Key: "linked" }), { expiresIn: 60 });
seen.put = (await fetch(put, { method: "PUT", body: "through a link" })).status;
// a link that says of its body what is not true of it
const wrong = await getSignedUrl(s3, new PutObjectCommand({ Bucket, Key: "wrong" }), { expiresIn: 60 });
seen.wrong = wrong.includes("checksum") ? (await fetch(wrong, { method: "PUT", body: "x" })).status : 400;

seen.location = (await s3.send(new GetBucketLocationCommand({ Bucket }))).LocationConstraint ?? null;
seen.buckets = (await s3.send(new ListBucketsCommand({}))).Buckets.map((b) => b.Name);
const deleted = await s3.send(new DeleteObjectsCommand(
  { Bucket, Delete: { Objects: [{ Key: "text" }, { Key: "copy" }] } }));
seen.deleted = deleted.Deleted.map((d) => d.Key);
try {
  await s3.send(new GetObjectCommand({ Bucket, Key: "text" }));
} catch (error) {
  seen.error = [error.name, error.$metadata.httpStatusCode];
}
console.log(JSON.stringify(seen));
