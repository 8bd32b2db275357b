// A to-do API on API Gateway (HTTP API), Lambda and DynamoDB.
//
//   POST   /todos            {"title": "..."}   creates one
//   GET    /todos            lists them, newest last; ?limit=N&next=... pages
//   GET    /todos/{id}       one of them
//   POST   /todos/{id}/done  completes it
//   DELETE /todos/{id}       removes it
//
// Brings nothing: the AWS SDK is part of the runtime.
import { randomUUID } from "node:crypto";
import { DynamoDBClient } from "@aws-sdk/client-dynamodb";
import {
  DeleteCommand,
  DynamoDBDocumentClient,
  GetCommand,
  PutCommand,
  ScanCommand,
  UpdateCommand,
} from "@aws-sdk/lib-dynamodb";

const TableName = process.env.TABLE_NAME;
const table = DynamoDBDocumentClient.from(new DynamoDBClient());

const answer = (statusCode, body) => ({
  statusCode,
  headers: { "content-type": "application/json" },
  body: JSON.stringify(body),
});

// In this order.
const toTodo = ({ id, title, done, created }) => ({ id, title, done, created });

async function create(event) {
  let title;
  try {
    const text = event.isBase64Encoded ? Buffer.from(event.body, "base64").toString() : event.body;
    title = JSON.parse(text ?? "{}").title;
  } catch {
    return answer(400, { message: "the body is not JSON" });
  }
  if (typeof title !== "string" || title === "") return answer(400, { message: "title is missing" });
  const Item = { id: randomUUID(), title, done: false, created: Date.now() };
  await table.send(
    new PutCommand({ TableName, Item, ConditionExpression: "attribute_not_exists(id)" }),
  );
  console.log(`created ${Item.id}`);
  return answer(201, Item);
}

async function list(event) {
  const { limit, next } = event.queryStringParameters ?? {};
  const page = await table.send(
    new ScanCommand({
      TableName,
      ...(limit && { Limit: Number(limit) }),
      ...(next && { ExclusiveStartKey: { id: next } }),
    }),
  );
  const todos = page.Items.map(toTodo).sort((a, b) => a.created - b.created);
  return answer(200, { todos, next: page.LastEvaluatedKey?.id ?? null });
}

async function get(event) {
  const { Item } = await table.send(
    new GetCommand({ TableName, Key: { id: event.pathParameters.id }, ConsistentRead: true }),
  );
  return Item ? answer(200, toTodo(Item)) : answer(404, { message: "no such to-do" });
}

async function complete(event) {
  try {
    const { Attributes } = await table.send(
      new UpdateCommand({
        TableName,
        Key: { id: event.pathParameters.id },
        UpdateExpression: "SET done = :yes",
        ConditionExpression: "attribute_exists(id)",
        ExpressionAttributeValues: { ":yes": true },
        ReturnValues: "ALL_NEW",
      }),
    );
    return answer(200, toTodo(Attributes));
  } catch (error) {
    if (error.name === "ConditionalCheckFailedException")
      return answer(404, { message: "no such to-do" });
    throw error;
  }
}

async function remove(event) {
  const { Attributes } = await table.send(
    new DeleteCommand({
      TableName,
      Key: { id: event.pathParameters.id },
      ReturnValues: "ALL_OLD",
    }),
  );
  return Attributes ? answer(200, toTodo(Attributes)) : answer(404, { message: "no such to-do" });
}

const routes = {
  "POST /todos": create,
  "GET /todos": list,
  "GET /todos/{id}": get,
  "POST /todos/{id}/done": complete,
  "DELETE /todos/{id}": remove,
};

export const handler = async (event) => {
  const route = routes[event.routeKey];
  return route ? route(event) : answer(404, { message: `no route ${event.routeKey}` });
};
