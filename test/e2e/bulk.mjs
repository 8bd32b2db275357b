// A bulk put with the JavaScript SDK, which is the only client that knows it: prints what it saw.
//     node bulk.mjs ENDPOINT
import {
    CancelBulkOperationCommand, DescribeBulkOperationCommand, DynamoDBClient, ListBulkOperationsCommand,
    ScanCommand, StartBulkPutItemsCommand,
} from "@aws-sdk/client-dynamodb";

const client = new DynamoDBClient({
    endpoint: process.argv[2], region: "us-east-1", maxAttempts: 1,
    credentials: { accessKeyId: "test", secretAccessKey: "test" },
});
const started = await client.send(new StartBulkPutItemsCommand({
    TableName: "notes",
    InputS3Configuration: { S3Bucket: "load", S3KeyPrefix: "in/", InputFormat: "DYNAMODB_JSON" },
    OutputS3Configuration: { S3Bucket: "load", S3KeyPrefix: "out", OutputType: ["ERROR", "CONDITION_CHECK_FAILURE"] },
}));
const BulkOperationArn = started.BulkOperationDescription.BulkOperationArn;
let seen;
for (let i = 0; i < 300; i++) {
    seen = (await client.send(new DescribeBulkOperationCommand({ BulkOperationArn }))).BulkOperationDescription;
    if (seen.BulkOperationStatus !== "IN_PROGRESS")
        break;
    await new Promise((resolve) => setTimeout(resolve, 100));
}
const listed = await client.send(new ListBulkOperationsCommand({ MaxResults: 1 }));
const cancelled = await client.send(new CancelBulkOperationCommand({ BulkOperationArn })).catch((e) => e.name);
const scan = await client.send(new ScanCommand({ TableName: "notes", Select: "COUNT" }));
console.log(JSON.stringify({
    started: started.BulkOperationDescription.BulkOperationStatus, status: seen.BulkOperationStatus,
    token: typeof seen.ClientToken, times: seen.StartTime <= seen.EndTime,
    counts: [seen.ProcessedItemCount, seen.FailedItemCount], bytes: seen.ProcessedInputBytes === seen.TotalInputBytes,
    listed: listed.BulkOperationsSummaryList.map((o) => o.BulkOperationArn === BulkOperationArn),
    cancelled, items: scan.Count, arn: BulkOperationArn,
}));
