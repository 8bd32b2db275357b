// A web shop on the document client: one table, a sparse and an inverted global index, a local one; paginators,
// waiters, transactions, batches, counters, a stream.
import { CreateTableCommand, DeleteTableCommand, DescribeTableCommand, DescribeTimeToLiveCommand, DynamoDBClient,
  paginateListTables, UpdateTableCommand, UpdateTimeToLiveCommand, waitUntilTableExists,
  waitUntilTableNotExists } from "@aws-sdk/client-dynamodb";
import { BatchExecuteStatementCommand, BatchGetCommand, BatchWriteCommand, DeleteCommand, DynamoDBDocument,
  DynamoDBDocumentClient, ExecuteStatementCommand, ExecuteTransactionCommand, GetCommand, NumberValue,
  paginateQuery, paginateScan, PutCommand, QueryCommand, ScanCommand, TransactGetCommand, TransactWriteCommand,
  UpdateCommand } from "@aws-sdk/lib-dynamodb";
import { client, done, failure, holds, is, options, pagesOf, range, until } from "./common.mjs";

const TableName = "shop";
const document = DynamoDBDocumentClient.from(client, {
  marshallOptions: { removeUndefinedValues: true, convertClassInstanceToMap: true } });
const send = (Command, input) => document.send(new Command({ TableName, ...input }));
const names = (page) => page.Items.map((i) => i.sk);

// ---- the table ----

const key = (name, type) => ({ AttributeName: name, KeyType: type });
const projection = (type, more) => ({ ProjectionType: type, NonKeyAttributes: more });

await client.send(new CreateTableCommand({
  TableName, BillingMode: "PAY_PER_REQUEST",
  AttributeDefinitions: ["pk", "sk", "status", "placed"].map((n) => (
    { AttributeName: n, AttributeType: n === "placed" ? "N" : "S" })),
  KeySchema: [key("pk", "HASH"), key("sk", "RANGE")],
  GlobalSecondaryIndexes: [
    { IndexName: "inverted", KeySchema: [key("sk", "HASH"), key("pk", "RANGE")], Projection: projection("KEYS_ONLY") },
    { IndexName: "open", KeySchema: [key("status", "HASH"), key("placed", "RANGE")],
      Projection: projection("INCLUDE", ["price"]) }],
  LocalSecondaryIndexes: [
    { IndexName: "by-time", KeySchema: [key("pk", "HASH"), key("placed", "RANGE")], Projection: projection("ALL") }],
  StreamSpecification: { StreamEnabled: true, StreamViewType: "NEW_AND_OLD_IMAGES" },
}));
const waiting = { client, maxWaitTime: 20, minDelay: 1, maxDelay: 1 };
is((await waitUntilTableExists(waiting, { TableName })).state, "SUCCESS");

// ---- values, there and back ----

class Address {
  constructor(street, city) {
    Object.assign(this, { street, city });
  }
}
const customer = {
  pk: "C#1", sk: "PROFILE", name: "Zoë 🛒", empty: "", nothing: null, yes: true, no: false, zero: 0, negative: -0.5,
  huge: 9007199254740991, small: 1e-7, address: new Address("High Street", "Leeds"), missing: undefined,
  tags: new Set(["b", "a"]), sizes: new Set([3, 1, 2]), octets: new Uint8Array([0, 255, 7]), things: [1, "two", [3, { four: 4 }], null],
  blobs: new Set([new Uint8Array([1]), new Uint8Array([2])]), precise: NumberValue.from("12345678901234567890.123456789"),
  big: 123456789012345678901234567890n,
};
await send(PutCommand, { Item: customer });
const exact = DynamoDBDocumentClient.from(new DynamoDBClient(options), { unmarshallOptions: { wrapNumbers: (n) => n } });
const got = (await send(GetCommand, { Key: { pk: "C#1", sk: "PROFILE" }, ConsistentRead: true,
  ProjectionExpression: "#n, address.city, tags, #e, things[2][1].four, nothing, octets, zero, negative, huge, small",
  ExpressionAttributeNames: { "#n": "name", "#e": "empty" } })).Item;
is({ ...got, tags: [...got.tags].sort() }, { name: "Zoë 🛒", address: { city: "Leeds" }, tags: ["a", "b"], empty: "",
  things: [[{ four: 4 }]], nothing: null, octets: new Uint8Array([0, 255, 7]), zero: 0, negative: -0.5,
  huge: 9007199254740991, small: 1e-7 });
const numbers = (await exact.send(new GetCommand({ TableName, Key: { pk: "C#1", sk: "PROFILE" } }))).Item;
is([numbers.precise, numbers.big, numbers.small, [...numbers.sizes].sort()],
  ["12345678901234567890.123456789", "123456789012345678901234567890", "0.0000001", ["1", "2", "3"]]);
holds(!("missing" in numbers));

// ---- orders: batches with what was left over, sparse and inverted indexes ----

async function writeAll(requests) {
  let calls = 0;

  for (let at = 0; at < requests.length; at += 25) {
    let left = { [TableName]: requests.slice(at, at + 25) };
    while (Object.keys(left).length) {
      left = (await document.send(new BatchWriteCommand({ RequestItems: left }))).UnprocessedItems;
      holds(++calls < 100, "batches end");
    }
  }
  return calls;
}

const order = (i) => ({ pk: `C#${i % 3}`, sk: `O#${String(i).padStart(4, "0")}`, placed: 1000 + i, price: i * 10,
  status: i % 4 === 0 ? "OPEN" : undefined, parts: range(i % 3, (n) => ({ sku: `S${n}`, count: n + 1 })) });
is(await writeAll(range(60, (i) => ({ PutRequest: { Item: order(i) } }))), 3);

const open = await send(QueryCommand, { IndexName: "open", KeyConditionExpression: "#s = :o AND placed BETWEEN :a AND :b",
  ExpressionAttributeNames: { "#s": "status" }, ExpressionAttributeValues: { ":o": "OPEN", ":a": 1010, ":b": 1030 } });
is([names(open), open.Items[0], open.Count, open.ScannedCount], [["O#0012", "O#0016", "O#0020", "O#0024", "O#0028"],
  { pk: "C#0", sk: "O#0012", status: "OPEN", placed: 1012, price: 120 }, 5, 5]);
const inverted = await send(QueryCommand, { IndexName: "inverted", KeyConditionExpression: "sk = :s",
  ExpressionAttributeValues: { ":s": "O#0007" } });
is(inverted.Items, [{ pk: "C#1", sk: "O#0007" }]);
const late = await send(QueryCommand, { IndexName: "by-time", KeyConditionExpression: "pk = :p AND placed > :t",
  FilterExpression: "size(parts) > :n AND contains(parts[0].sku, :c)", ScanIndexForward: false, ConsistentRead: true,
  ExpressionAttributeValues: { ":p": "C#1", ":t": 1050, ":n": 0, ":c": "S" }, ReturnConsumedCapacity: "INDEXES" });
is([names(late), late.Count, late.ScannedCount], [["O#0058", "O#0055", "O#0052"], 3, 3]);
is(late.ConsumedCapacity, { TableName, CapacityUnits: 1, Table: { CapacityUnits: 0 },
  LocalSecondaryIndexes: { "by-time": { CapacityUnits: 1 } } });

// ---- pages: every item once, cursors that went through JSON ----

const seen = [];
for await (const page of paginateQuery({ client: document, pageSize: 7 }, { TableName,
  KeyConditionExpression: "pk = :p AND begins_with(sk, :o)", ExpressionAttributeValues: { ":p": "C#2", ":o": "O#" } }))
  seen.push(...names(page));
is(seen, range(20, (i) => `O#${String(i * 3 + 2).padStart(4, "0")}`));
let count = 0, scanned = 0, pages = 0;
for await (const page of paginateScan({ client: document, pageSize: 10 },
  { TableName, Select: "COUNT", FilterExpression: "price >= :t", ExpressionAttributeValues: { ":t": 500 } })) {
  count += page.Count, scanned += page.ScannedCount, pages++;
  is(page.Items, undefined);
}
is([count, scanned, pages], [10, 61, 7]);
const walked = (await pagesOf(async (cursor) => {
  const page = await send(QueryCommand, { IndexName: "open", KeyConditionExpression: "#s = :o", Limit: 4, ScanIndexForward: false,
    ExpressionAttributeNames: { "#s": "status" }, ExpressionAttributeValues: { ":o": "OPEN" },
    ExclusiveStartKey: cursor && JSON.parse(Buffer.from(cursor, "base64url")) });
  return [names(page), page.LastEvaluatedKey && Buffer.from(JSON.stringify(page.LastEvaluatedKey)).toString("base64url")];
})).flat();
is(walked, range(15, (i) => `O#${String((14 - i) * 4).padStart(4, "0")}`));
const segments = await Promise.all(range(4, (Segment) => send(ScanCommand, { Segment, TotalSegments: 4, ProjectionExpression: "pk, sk" })));
is(new Set(segments.flatMap((s) => s.Items.map((i) => `${i.pk}/${i.sk}`))).size, 61);
const tables = [];
for await (const page of paginateListTables({ client, pageSize: 1 }, {}))
  tables.push(...page.TableNames);
is(tables, [TableName]);

// ---- reads of many: more than one answer holds ----

await writeAll(range(50, (i) => ({ PutRequest: { Item: { pk: "BIG", sk: `B#${i}`, body: "x".repeat(390000) } } })));
let keys = range(50, (i) => ({ pk: "BIG", sk: `B#${i}` })), answers = 0;
const big = new Set();
while (keys) {
  const page = await document.send(new BatchGetCommand({ RequestItems: { [TableName]: { Keys: keys, ProjectionExpression: "sk, body" } } }));
  for (const item of page.Responses[TableName])
    is([big.has(item.sk), item.body.length], [false, 390000]), big.add(item.sk);
  keys = page.UnprocessedKeys[TableName]?.Keys;
  is(page.UnprocessedKeys[TableName]?.ProjectionExpression, keys && "sk, body");
  holds(++answers < 10);
}
is([big.size, answers], [50, 2]);
await writeAll(range(50, (i) => ({ DeleteRequest: { Key: { pk: "BIG", sk: `B#${i}` } } })));

// ---- updates: counters, lists, sets, nested documents ----

const at = { pk: "C#1", sk: "CART" };
const update = (UpdateExpression, values, more) => send(UpdateCommand, { Key: at, UpdateExpression,
  ExpressionAttributeValues: values, ReturnValues: "UPDATED_NEW", ...more });
is((await update("SET version = if_not_exists(version, :z) + :i, parts = list_append(if_not_exists(parts, :e), :l)",
  { ":z": 0, ":i": 1, ":e": [], ":l": [{ sku: "A", count: 1 }] })).Attributes, { version: 1, parts: [{ sku: "A", count: 1 }] });
is((await update("SET version = version + :i, parts = list_append(:l, parts), meta = :m ADD tags :t",
  { ":i": 1, ":l": [{ sku: "B", count: 2 }], ":m": { source: { app: "web" } }, ":t": new Set(["new"]) })).Attributes,
  { version: 2, parts: [{ sku: "B", count: 2 }, { sku: "A", count: 1 }], meta: { source: { app: "web" } }, tags: new Set(["new"]) });
is((await update("SET parts[1].#c = parts[1].#c + :i, meta.#s.app = :a REMOVE parts[0] DELETE tags :t",
  { ":i": 5, ":a": "phone", ":t": new Set(["new"]) }, { ExpressionAttributeNames: { "#c": "count", "#s": "source" },
    ReturnValues: "ALL_NEW" })).Attributes,
  { ...at, version: 2, parts: [{ sku: "A", count: 6 }], meta: { source: { app: "phone" } } });
const locked = await failure(update("SET version = :n", { ":n": 9, ":v": 1 },
  { ConditionExpression: "version = :v", ReturnValuesOnConditionCheckFailure: "ALL_OLD" }));
is([locked.name, locked.message, locked.$metadata.httpStatusCode, locked.Item.version],
  ["ConditionalCheckFailedException", "The conditional request failed", 400, { N: "2" }]);
is((await failure(update("SET meta.lost.deep = :n", { ":n": 1 }))).message,
  "The document path provided in the update expression is invalid for update");
is((await failure(update("ADD parts :n", { ":n": 1 }))).message,
  "An operand in the update expression has an incorrect data type");
const wins = await Promise.allSettled(range(10, () => update("SET version = version + :i",
  { ":i": 1, ":v": 2 }, { ConditionExpression: "version = :v" })));
is(wins.filter((w) => w.status === "fulfilled").length, 1);

// ---- transactions ----

const stock = { pk: "P#1", sk: "STOCK" };
await send(PutCommand, { Item: { ...stock, left: 3 } });
const buy = (n, more = []) => document.send(new TransactWriteCommand({ TransactItems: [
  { Update: { TableName, Key: stock, UpdateExpression: "SET #l = #l - :n", ConditionExpression: "#l >= :n",
    ExpressionAttributeNames: { "#l": "left" }, ExpressionAttributeValues: { ":n": n }, ReturnValuesOnConditionCheckFailure: "ALL_OLD" } },
  { Put: { TableName, Item: { pk: "C#1", sk: "O#9999", n }, ConditionExpression: "attribute_not_exists(pk)" } },
  { ConditionCheck: { TableName, Key: { pk: "C#1", sk: "PROFILE" }, ConditionExpression: "attribute_exists(pk)" } }, ...more],
  ReturnConsumedCapacity: "TOTAL" }));
is((await buy(2)).ConsumedCapacity, [{ TableName, CapacityUnits: 8, WriteCapacityUnits: 8 }]);
const cancelled = await failure(buy(2));
is([cancelled.name, cancelled.message, cancelled.CancellationReasons], ["TransactionCanceledException",
  "Transaction cancelled, please refer cancellation reasons for specific reasons [ConditionalCheckFailed, ConditionalCheckFailed, None]",
  [{ Code: "ConditionalCheckFailed", Message: "The conditional request failed", Item: { pk: { S: "P#1" }, sk: { S: "STOCK" }, left: { N: "1" } } },
    { Code: "ConditionalCheckFailed", Message: "The conditional request failed" }, { Code: "None" }]]);
is((await failure(buy(1, [{ Delete: { TableName, Key: stock } }]))).message,
  "Transaction request cannot include multiple operations on one item");
const both = await document.send(new TransactGetCommand({ TransactItems: [
  { Get: { TableName, Key: stock, ProjectionExpression: "#l", ExpressionAttributeNames: { "#l": "left" } } },
  { Get: { TableName, Key: { pk: "none", sk: "none" } } }] }));
is(both.Responses, [{ Item: { left: 1 } }, {}]);

// ---- PartiQL ----

const sql = (Statement, Parameters, more) => document.send(new ExecuteStatementCommand({ Statement, Parameters, ...more }));
await sql('INSERT INTO "shop" VALUE {\'pk\': ?, \'sk\': ?, \'deep\': {\'list\': [1, \'two\']}, \'set\': <<\'a\', \'b\'>>}', ["Q", "1"]);
const row = (await sql('SELECT deep.list[1], "set" FROM shop WHERE pk = ? AND sk = ?', ["Q", "1"])).Items[0];
is([Object.keys(row).sort(), [...row.set].sort()], [["list[1]", "set"], ["a", "b"]]);
is((await sql('UPDATE shop SET deep.list = list_append(deep.list, ?) SET n = 1 WHERE pk = \'Q\' AND sk = \'1\' RETURNING ALL NEW *',
  [["three"]])).Items[0].deep, { list: [1, "two", "three"] });
const rows = (await pagesOf(async (NextToken) => {
  const page = await sql("SELECT sk FROM shop WHERE pk = ? AND begins_with(sk, ?)", ["C#0", "O#"], { Limit: 8, NextToken });
  return [names(page), page.NextToken];
})).flat();
is(rows, range(20, (i) => `O#${String(i * 3).padStart(4, "0")}`));
const several = await document.send(new BatchExecuteStatementCommand({ Statements: [
  { Statement: "SELECT n FROM shop WHERE pk = ? AND sk = ?", Parameters: ["Q", "1"] },
  { Statement: "SELECT n FROM shop WHERE pk = ?", Parameters: ["Q"] }] }));
is([several.Responses[0].Item, several.Responses[1].Error.Code], [{ n: 1 }, "ValidationError"]);
const refused = await failure(document.send(new ExecuteTransactionCommand({ TransactStatements: [
  { Statement: "UPDATE shop SET n = 2 WHERE pk = ? AND sk = ?", Parameters: ["Q", "1"] },
  { Statement: "INSERT INTO shop VALUE {'pk': ?, 'sk': ?}", Parameters: ["C#1", "CART"] }] })));
is([refused.name, refused.CancellationReasons.map((r) => r.Code)], ["TransactionCanceledException", ["None", "DuplicateItem"]]);
is((await send(GetCommand, { Key: { pk: "Q", sk: "1" } })).Item.n, 1);

// ---- a further index on a live table, time to live, and the end ----

await client.send(new UpdateTableCommand({ TableName, AttributeDefinitions: [{ AttributeName: "price", AttributeType: "N" },
  { AttributeName: "pk", AttributeType: "S" }],
  GlobalSecondaryIndexUpdates: [{ Create: { IndexName: "by-price", KeySchema: [key("pk", "HASH"), key("price", "RANGE")],
    Projection: projection("KEYS_ONLY") } }] }));
await until(async () => (await client.send(new DescribeTableCommand({ TableName }))).Table.GlobalSecondaryIndexes
  .every((i) => i.IndexStatus === "ACTIVE"), "the index is active");
const dear = await send(QueryCommand, { IndexName: "by-price", KeyConditionExpression: "pk = :p AND price >= :t",
  ExpressionAttributeValues: { ":p": "C#2", ":t": 500 }, ScanIndexForward: false });
is(dear.Items, [59, 56, 53, 50].map((i) => ({ pk: "C#2", sk: `O#00${i}`, price: i * 10 })));
await client.send(new UpdateTimeToLiveCommand({ TableName, TimeToLiveSpecification: { Enabled: true, AttributeName: "gone" } }));
await until(async () => {
  const told = (await client.send(new DescribeTimeToLiveCommand({ TableName }))).TimeToLiveDescription;
  is(told.AttributeName, "gone");
  return told.TimeToLiveStatus === "ENABLED";
}, "the time to live is enabled");
await send(PutCommand, { Item: { pk: "TTL", sk: "old", gone: Math.floor(Date.now() / 1000) - 5 } });
await send(PutCommand, { Item: { pk: "TTL", sk: "new", gone: Math.floor(Date.now() / 1000) + 500 } });
await until(async () => (await send(QueryCommand, { KeyConditionExpression: "pk = :p", ConsistentRead: true,
  ExpressionAttributeValues: { ":p": "TTL" } })).Count === 1, "the item expires");

const full = DynamoDBDocument.from(client);
is((await full.delete({ TableName, Key: at, ReturnValues: "ALL_OLD" })).Attributes.version, 3);
is((await full.get({ TableName, Key: at })).Item, undefined);
is((await failure(send(DeleteCommand, { Key: at, ConditionExpression: "attribute_exists(pk)" }))).name, "ConditionalCheckFailedException");
await client.send(new DeleteTableCommand({ TableName }));
is((await waitUntilTableNotExists(waiting, { TableName })).state, "SUCCESS");
done();
