// A fleet of vehicles with dynamodb-toolbox: entities with computed keys, an index of several attributes, conditions
// of every kind, references in updates, batches and transactions.
import { $add, $append, $delete, $get, $prepend, $remove, $set, $subtract, $sum, any, anyOf, BatchDeleteRequest, BatchGetCommand,
  BatchGetRequest, BatchPutRequest, BatchWriteCommand, binary, boolean, ConditionCheck, DeleteItemCommand,
  DeletePartitionCommand, DeleteTransaction, Entity, executeBatchGet, executeBatchWrite, executeTransactGet,
  executeTransactWrite, GetItemCommand, GetTransaction, isTransactionCancelled, item, list, map, number, PutItemCommand,
  PutTransaction, QueryCommand, record, ScanCommand, set, string, Table, UpdateAttributesCommand, UpdateItemCommand,
  UpdateTransaction } from "dynamodb-toolbox";
import { DynamoDBDocumentClient } from "@aws-sdk/lib-dynamodb";
import { client, done, failure, is, range } from "./common.mjs";

const name = "fleet";
const key = (n, type) => ({ AttributeName: n, KeyType: type });
await client.createTable({ TableName: name, BillingMode: "PAY_PER_REQUEST", KeySchema: [key("pk", "HASH"), key("sk", "RANGE")],
  AttributeDefinitions: [["pk", "S"], ["sk", "S"], ["depot", "S"], ["kind", "S"], ["km", "N"], ["seen", "N"]]
    .map(([AttributeName, AttributeType]) => ({ AttributeName, AttributeType })),
  LocalSecondaryIndexes: [{ IndexName: "seen", KeySchema: [key("pk", "HASH"), key("seen", "RANGE")], Projection: { ProjectionType: "INCLUDE", NonKeyAttributes: ["_et"] } }],
  GlobalSecondaryIndexes: [{ IndexName: "depot", KeySchema: [key("depot", "HASH"), key("kind", "HASH"), key("km", "RANGE"), key("seen", "RANGE")],
    Projection: { ProjectionType: "ALL" } }] });

const table = new Table({ name, documentClient: DynamoDBDocumentClient.from(client, { marshallOptions: { removeUndefinedValues: true } }),
  partitionKey: { name: "pk", type: "string" }, sortKey: { name: "sk", type: "string" },
  indexes: { seen: { type: "local", sortKey: { name: "seen", type: "number" } },
    depot: { type: "global", partitionKeys: [{ name: "depot", type: "string" }, { name: "kind", type: "string" }],
      sortKeys: [{ name: "km", type: "number" }, { name: "seen", type: "number" }] } } });

const Vehicle = new Entity({ name: "VEHICLE", table,
  schema: item({
    fleet: string().key(), plate: string().key(),
    depot: string(), kind: string().enum("car", "van"), km: number().default(0), seen: number(),
    drivers: set(string()).optional(), checks: list(map({ day: string(), good: boolean() })).default([]),
    options: record(string(), number()).default({}), photo: binary().optional(), note: anyOf(string(), number()).optional(),
    best: number().optional(), wild: any().optional(), version: number().default(1).putDefault(1),
  }),
  computeKey: ({ fleet, plate }) => ({ pk: `FLEET#${fleet}`, sk: `VEHICLE#${plate}` }) });
const Driver = new Entity({ name: "DRIVER", table,
  schema: item({ fleet: string().key(), id: string().key(), name: string(), licence: string().savedAs("l") }),
  computeKey: ({ fleet, id }) => ({ pk: `FLEET#${fleet}`, sk: `DRIVER#${id}` }) });

// ---- put, get ----

const car = (i) => ({ fleet: "f1", plate: `P${String(i).padStart(3, "0")}`, depot: `d${i % 2}`, kind: i % 3 ? "car" : "van", km: i * 10, seen: 100 - i });
const newcomer = { condition: { attr: "plate", exists: false }, returnValuesOnConditionFalse: "ALL_OLD" };
await Vehicle.build(PutItemCommand).item({ ...car(0), drivers: new Set(["ann", "bob"]), photo: new Uint8Array([1, 0, 255]),
  wild: { a: [null, { b: new Set([1]) }] }, note: "" }).options(newcomer).send();
const again = await failure(Vehicle.build(PutItemCommand).item(car(0)).options(newcomer).send());
is([again.name, again.message, again.Item.sk], ["ConditionalCheckFailedException", "The conditional request failed", { S: "VEHICLE#P000" }]);
const first = { fleet: "f1", plate: "P000" };
const get = async (options) => (await Vehicle.build(GetItemCommand).key(first).options({ consistent: true, ...options }).send()).Item;
const got = await get();
is([[...got.drivers].sort(), got.photo, got.wild, got.note, got.checks, got.version], [["ann", "bob"], new Uint8Array([1, 0, 255]),
  { a: [null, { b: new Set([1]) }] }, "", [], 1]);
is(await get({ attributes: ["km", "drivers"] }), { km: 0, drivers: got.drivers });
const swapped = await Vehicle.build(PutItemCommand).item({ ...car(0), km: 1 }).options({ returnValues: "ALL_OLD", capacity: "INDEXES", metrics: "SIZE" }).send();
is([swapped.Attributes.km, swapped.ConsumedCapacity.CapacityUnits, swapped.ConsumedCapacity.GlobalSecondaryIndexes, swapped.ConsumedCapacity.LocalSecondaryIndexes,
  swapped.ItemCollectionMetrics], [0, 3, { depot: { CapacityUnits: 2 } }, undefined,
  { ItemCollectionKey: { pk: "FLEET#f1" }, SizeEstimateRangeGB: [0, 1] }]);

// ---- batches ----

for (let at = 1; at < 60; at += 25) {
  const written = await executeBatchWrite({ maxAttempts: 10, capacity: "TOTAL" }, table.build(BatchWriteCommand).requests(
    ...range(Math.min(25, 60 - at), (i) => Vehicle.build(BatchPutRequest).item(car(at + i)))));
  is(written.UnprocessedItems, {});
}
await executeBatchWrite(table.build(BatchWriteCommand).requests(...range(5, (i) =>
  Driver.build(BatchPutRequest).item({ fleet: "f1", id: `${i}`, name: `Driver ${i}`, licence: "B" }))));
const { Responses: [some] } = await executeBatchGet({ maxAttempts: 3 }, table.build(BatchGetCommand).requests(
  ...range(60, (i) => Vehicle.build(BatchGetRequest).key({ fleet: "f1", plate: car(i).plate })),
  Driver.build(BatchGetRequest).key({ fleet: "f1", id: "none" })).options({ consistent: true }));
is([some.length, some[17].km, some[60]], [61, 170, undefined]);

// ---- queries: table, local and global indexes, several entities, pages ----

const query = (q, options = {}, ...entities) => table.build(QueryCommand).query(q).entities(...(entities.length ? entities : [Vehicle])).options(options);
const plates = (page) => page.Items.map((i) => i.plate);
const partition = "FLEET#f1";
is(plates(await query({ partition, range: { beginsWith: "VEHICLE#P01" } }, { reverse: true, limit: 3 }).send()), ["P019", "P018", "P017"]);
is(plates(await query({ partition, range: { between: ["VEHICLE#P003", "VEHICLE#P005"] } }).send()), ["P003", "P004", "P005"]);
const local = await query({ index: "seen", partition, range: { lt: 44 } }, { consistent: true, select: "ALL_ATTRIBUTES" }).send();
is([plates(local), local.Items[0].depot], [["P059", "P058", "P057"], "d1"]);
is(plates(await query({ index: "depot", partition: ["d0", "van"], range: [{ between: [100, 320] }] }).send()), ["P012", "P018", "P024", "P030"]);
is(plates(await query({ index: "depot", partition: ["d1", "car"], range: [50, { gte: 95 }] }).send()), ["P005"]);
is(plates(await query({ index: "depot", partition: ["d1", "car"], range: [50, { gt: 95 }] }).send()), []);
const walked = [];
let pages = 0;
for await (const page of query({ index: "depot", partition: ["d1", "car"] }, { limit: 6 }).paginate())
  walked.push(...plates(page)), pages++;
is([walked.length, new Set(walked).size, pages], [20, 20, 4]);
const counted = await query({ partition }, { select: "COUNT", filters: { VEHICLE: { or: [{ attr: "km", gt: 550 }, { and: [
  { attr: "kind", in: ["van", "bus"].slice(0, 1) }, { not: { attr: "km", gte: 100 } }] }] } } }).send();
is([counted.Count, counted.ScannedCount], [8, 65]);
const mixed = await query({ partition }, { maxPages: Infinity, filters: { VEHICLE: { attr: "km", eq: 1 } } }, Vehicle, Driver).send();
is(mixed.Items.map((i) => i.plate ?? i.name).sort(), ["Driver 0", "Driver 1", "Driver 2", "Driver 3", "Driver 4", "P000"]);
const segments = await Promise.all(range(3, (segment) => table.build(ScanCommand).entities(Vehicle).options({ segment, totalSegments: 3, attributes: ["plate"] }).send()));
is(new Set(segments.flatMap(plates)).size, 60);
const scanned = await table.build(ScanCommand).entities(Vehicle).options({ index: "depot", filters: { VEHICLE: {
  and: [{ attr: "plate", contains: "05" }, { attr: "checks", type: "L" }, { size: "plate", eq: 4 }, { attr: "note", exists: false }] } } }).send();
is(plates(scanned).sort(), range(10, (i) => `P05${i}`).concat("P005").sort());

// ---- updates ----

const update = async (attributes, options = {}) => (await Vehicle.build(UpdateItemCommand).item({ ...first, ...attributes })
  .options({ returnValues: "ALL_NEW", ...options }).send()).Attributes;
let now = await update({ km: $add(99), drivers: $add(new Set(["cy", "ann"])), checks: $append([{ day: "mon", good: true }]),
  options: { radio: 1 }, best: $get("km"), note: 5 });
is([now.km, [...now.drivers].sort(), now.checks, now.options, now.best, now.note], [100, ["ann", "cy"], [{ day: "mon", good: true }], { radio: 1 }, 1, 5]);
now = await update({ checks: $prepend([{ day: "sun", good: false }]), drivers: $delete(new Set(["ann", "cy"])), options: { radio: $add(2), seats: 4 },
  best: $sum($get("km"), 5), note: $remove() });
is([now.checks.map((c) => c.day), now.drivers, now.options, now.best, now.note], [["sun", "mon"], undefined, { radio: 3, seats: 4 }, 105, undefined]);
now = await update({ checks: { 0: { good: true } }, options: $set({ doors: 5 }), best: $subtract($get("km"), 1) });
is([now.checks[0], now.options, now.best], [{ day: "sun", good: true }, { doors: 5 }, 99]);
now = await update({ checks: { 0: $remove() }, best: $get("note", 7) });
is([now.checks.map((c) => c.day), now.best], [["mon"], 7]); // note is not there: what to fall back on
const locked = await Promise.allSettled(range(6, () => update({ version: $add(1) }, { condition: { attr: "version", eq: 1 } })));
is([locked.filter((l) => l.status === "fulfilled").length, (await get()).version], [1, 2]);
const stale = await failure(update({ km: 0 }, { condition: { attr: "km", lt: { attr: "seen" } }, returnValuesOnConditionFalse: "ALL_OLD" }));
is([stale.name, stale.Item.version], ["ConditionalCheckFailedException", { N: "2" }]);
const partial = await Vehicle.build(UpdateAttributesCommand).item({ ...first, options: { wheels: 4 } }).options({ returnValues: "UPDATED_NEW" }).send();
is(partial.Attributes.options, { wheels: 4 });

// ---- transactions ----

const transact = (km) => [
  Vehicle.build(UpdateTransaction).item({ ...first, km: $add(km) }).options({ condition: { attr: "km", lt: 150 }, returnValuesOnConditionFalse: "ALL_OLD" }),
  Vehicle.build(PutTransaction).item(car(200)).options({ condition: { attr: "plate", exists: false } }),
  Driver.build(DeleteTransaction).key({ fleet: "f1", id: "0" }),
  Driver.build(ConditionCheck).key({ fleet: "f1", id: "1" }).condition({ attr: "name", beginsWith: "Driver" })];
const token = "0123456789";
await executeTransactWrite({ clientRequestToken: token }, ...transact(60));
is((await failure(executeTransactWrite({ clientRequestToken: token }, ...transact(61)))).name, "IdempotentParameterMismatchException");
is((await get()).km, 160);
const attempt = transact(60);
const cancelled = await failure(executeTransactWrite(...attempt));
is([isTransactionCancelled(cancelled, ...attempt), cancelled.CancellationReasons.map((r) => r.Code), cancelled.CancellationReasons[0].Item.km],
  [true, ["ConditionalCheckFailed", "ConditionalCheckFailed", "None", "None"], { N: "160" }]);
const read = await executeTransactGet(Vehicle.build(GetTransaction).key(first).options({ attributes: ["km"] }),
  Driver.build(GetTransaction).key({ fleet: "f1", id: "0" }), Driver.build(GetTransaction).key({ fleet: "f1", id: "1" }));
is(read.Responses.map((r) => r.Item && (r.Item.km ?? r.Item.licence)), [160, undefined, "B"]);

// ---- the end ----

const deleted = await Vehicle.build(DeleteItemCommand).key(first).options({ returnValues: "ALL_OLD", condition: { attr: "km", between: [100, 200] } }).send();
is(deleted.Attributes.km, 160);
is((await failure(Vehicle.build(DeleteItemCommand).key(first).options({ condition: { attr: "km", exists: true } }).send())).name, "ConditionalCheckFailedException");
await executeBatchWrite(table.build(BatchWriteCommand).requests(Driver.build(BatchDeleteRequest).key({ fleet: "f1", id: "1" })));
await table.build(DeletePartitionCommand).query({ partition }).entities(Vehicle, Driver).send();
is((await table.build(ScanCommand).options({ select: "COUNT" }).send()).Count, 0);
done();
