// Deploys examples/todo with the JavaScript SDK v3 and prints its address; what deploy.sh does with the
// AWS CLI. node deploy.mjs ENDPOINT RUNTIME ZIPFILE NAME
import { readFileSync } from "node:fs";
import {
  ApiGatewayV2Client,
  CreateApiCommand,
  CreateIntegrationCommand,
  CreateRouteCommand,
  CreateStageCommand,
} from "@aws-sdk/client-apigatewayv2";
import { CreateTableCommand, DynamoDBClient, waitUntilTableExists } from "@aws-sdk/client-dynamodb";
import { DynamoDBDocumentClient, GetCommand, PutCommand } from "@aws-sdk/lib-dynamodb";
import { CreateRoleCommand, IAMClient, PutRolePolicyCommand } from "@aws-sdk/client-iam";
import {
  CreateFunctionCommand,
  InvokeCommand,
  LambdaClient,
  waitUntilFunctionActiveV2,
} from "@aws-sdk/client-lambda";
import { GetCallerIdentityCommand, STSClient } from "@aws-sdk/client-sts";

const [endpoint, runtime, zip, name] = process.argv.slice(2);
const options = {
  endpoint,
  region: "us-east-1",
  credentials: { accessKeyId: "test", secretAccessKey: "test" },
  maxAttempts: 1,
};
const settings = {
  node: ["nodejs20.x", "index.handler"],
  python: ["python3.11", "todo.handler"],
}[runtime];

const { Account } = await new STSClient(options).send(new GetCallerIdentityCommand({}));
if (Account !== "000000000000") throw new Error(`account ${Account}`);

const dynamodb = new DynamoDBClient(options);
await dynamodb.send(
  new CreateTableCommand({
    TableName: name,
    BillingMode: "PAY_PER_REQUEST",
    AttributeDefinitions: [{ AttributeName: "id", AttributeType: "S" }],
    KeySchema: [{ AttributeName: "id", KeyType: "HASH" }],
  }),
);
await waitUntilTableExists({ client: dynamodb, maxWaitTime: 30, minDelay: 1 }, { TableName: name });

// The document client round-trips every JavaScript type.
const documents = DynamoDBDocumentClient.from(dynamodb);
const document = { id: "probe", n: 1.5, list: [1, "two", { three: null }], set: new Set(["a", "b"]) };
await documents.send(new PutCommand({ TableName: name, Item: document }));
const { Item } = await documents.send(new GetCommand({ TableName: name, Key: { id: "probe" } }));
if (Item.n !== 1.5 || Item.list[2].three !== null || !Item.set.has("b"))
  throw new Error(`the document came back as ${JSON.stringify(Item)}`);
await documents.send(
  new (await import("@aws-sdk/lib-dynamodb")).DeleteCommand({ TableName: name, Key: { id: "probe" } }),
);

const iam = new IAMClient(options);
const { Role } = await iam.send(
  new CreateRoleCommand({
    RoleName: name,
    AssumeRolePolicyDocument: JSON.stringify({
      Version: "2012-10-17",
      Statement: [
        {
          Effect: "Allow",
          Principal: { Service: "lambda.amazonaws.com" },
          Action: "sts:AssumeRole",
        },
      ],
    }),
  }),
);
await iam.send(
  new PutRolePolicyCommand({
    RoleName: name,
    PolicyName: "table",
    PolicyDocument: JSON.stringify({
      Version: "2012-10-17",
      Statement: [
        { Effect: "Allow", Action: "dynamodb:*", Resource: `arn:aws:dynamodb:*:*:table/${name}` },
      ],
    }),
  }),
);

const lambda = new LambdaClient(options);
const { FunctionArn } = await lambda.send(
  new CreateFunctionCommand({
    FunctionName: name,
    Runtime: settings[0],
    Handler: settings[1],
    Role: Role.Arn,
    Timeout: 10,
    Code: { ZipFile: readFileSync(zip) },
    Environment: { Variables: { TABLE_NAME: name } },
  }),
);
await waitUntilFunctionActiveV2({ client: lambda, maxWaitTime: 30, minDelay: 1 }, { FunctionName: name });
const invoked = await lambda.send(
  new InvokeCommand({ FunctionName: name, Payload: JSON.stringify({ routeKey: "NONE /" }) }),
);
if (JSON.parse(Buffer.from(invoked.Payload)).statusCode !== 404)
  throw new Error(`Invoke answered ${Buffer.from(invoked.Payload)}`);

const gateway = new ApiGatewayV2Client(options);
const { ApiId } = await gateway.send(new CreateApiCommand({ Name: name, ProtocolType: "HTTP" }));
const { IntegrationId } = await gateway.send(
  new CreateIntegrationCommand({
    ApiId,
    IntegrationType: "AWS_PROXY",
    IntegrationUri: FunctionArn,
    PayloadFormatVersion: "2.0",
  }),
);
for (const RouteKey of [
  "POST /todos",
  "GET /todos",
  "GET /todos/{id}",
  "POST /todos/{id}/done",
  "DELETE /todos/{id}",
])
  await gateway.send(
    new CreateRouteCommand({ ApiId, RouteKey, Target: `integrations/${IntegrationId}` }),
  );
await gateway.send(new CreateStageCommand({ ApiId, StageName: "$default", AutoDeploy: true }));
console.log(`${endpoint}/_aws/execute-api/${ApiId}/$default`);
