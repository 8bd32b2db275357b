// Single-table design with electrodb: tasks and people of an office in one table, collections, composite keys,
// cursors, batches that go on by themselves, transactions.
import { DynamoDBDocumentClient, ScanCommand } from "@aws-sdk/lib-dynamodb";
import { Entity, Service } from "electrodb";
import { client, done, failure, is, pagesOf, range } from "./common.mjs";

const table = "office";
const document = DynamoDBDocumentClient.from(client, { marshallOptions: { removeUndefinedValues: true } });
const key = (name, type) => ({ AttributeName: name, KeyType: type });
const index = (n) => ({ IndexName: `gsi${n}pk-gsi${n}sk-index`, KeySchema: [key(`gsi${n}pk`, "HASH"), key(`gsi${n}sk`, "RANGE")],
  Projection: n === 2 ? { ProjectionType: "KEYS_ONLY" } : { ProjectionType: "ALL" } });
await client.createTable({ TableName: table, BillingMode: "PAY_PER_REQUEST", KeySchema: [key("pk", "HASH"), key("sk", "RANGE")],
  AttributeDefinitions: ["pk", "sk", "gsi1pk", "gsi1sk", "gsi2pk", "gsi2sk"].map((AttributeName) => ({ AttributeName, AttributeType: "S" })),
  GlobalSecondaryIndexes: [index(1), index(2)] });

const Task = new Entity({
  model: { entity: "task", version: "1", service: "office" },
  attributes: {
    project: { type: "string", required: true },
    team: { type: "string", required: true },
    id: { type: "string", required: true },
    person: { type: "string" },
    status: { type: ["open", "doing", "closed"], default: "open" },
    points: { type: "number", default: 1 },
    tags: { type: "set", items: "string" },
    comments: { type: "list", items: { type: "map", properties: { by: { type: "string" }, text: { type: "string" } } } },
    due: { type: "map", properties: { day: { type: "string" }, hard: { type: "boolean" } } },
    free: { type: "any" },
    version: { type: "number", default: 0 },
    made: { type: "number", readOnly: true, default: () => 1700000000000, set: () => 1700000000000 },
    changed: { type: "string", watch: "*", set: () => new Date(1700000001000).toISOString() },
  },
  indexes: {
    byProject: { pk: { field: "pk", composite: ["project"] }, sk: { field: "sk", composite: ["team", "id"] } },
    byPerson: { collection: "workload", index: "gsi1pk-gsi1sk-index", condition: (a) => a.person !== "none",
      pk: { field: "gsi1pk", composite: ["person"] }, sk: { field: "gsi1sk", composite: ["status", "id"] } },
    byTeam: { index: "gsi2pk-gsi2sk-index", pk: { field: "gsi2pk", composite: ["team"] }, sk: { field: "gsi2sk", composite: ["id"] } },
  },
}, { table, client: document });

const Person = new Entity({
  model: { entity: "person", version: "1", service: "office" },
  attributes: { person: { type: "string", required: true }, name: { type: "string", required: true }, office: { type: "string" } },
  indexes: {
    byId: { pk: { field: "pk", composite: ["person"] }, sk: { field: "sk", composite: [] } },
    workload: { collection: "workload", index: "gsi1pk-gsi1sk-index", pk: { field: "gsi1pk", composite: ["person"] },
      sk: { field: "gsi1sk", composite: [] } },
  },
}, { table, client: document });
const office = new Service({ Task, Person });
const ids = (tasks) => tasks.map((t) => t.id);

// ---- create, put, get, upsert ----

const task = (i) => ({ project: `p${i % 2}`, team: i % 3 ? "blue" : "red", id: `t${String(i).padStart(3, "0")}`,
  person: i % 4 ? `person${i % 4}` : "none", status: i % 5 ? "open" : "closed", points: i });
const made = await Task.create({ ...task(0), tags: ["a", "b"], comments: [{ by: "me", text: "" }], due: { day: "mon", hard: true },
  free: { deep: [1, null, "x"] } }).go();
is([made.data.made, made.data.points, made.data.version], [1700000000000, 0, 0]);
const twice = await failure(Task.create(task(0)).go());
is([twice.code, twice.cause.name, twice.cause.message], [4001, "ConditionalCheckFailedException", "The conditional request failed"]);
const old = await Task.create(task(0)).go({ returnOnConditionCheckFailure: "all_old" });
is([old.rejected, old.data.id, old.data.tags.sort()], [true, "t000", ["a", "b"]]);
const first = { project: "p0", team: "red", id: "t000" };
const got = (await Task.get(first).go({ consistent: true })).data;
is([got.tags.sort(), got.comments, got.due, got.free, got.changed], [["a", "b"], [{ by: "me", text: "" }], { day: "mon", hard: true },
  { deep: [1, null, "x"] }, "2023-11-14T22:13:21.000Z"]);
is((await Task.get({ ...first, id: "none" }).go()).data, null);
await Person.put([1, 2, 3].map((i) => ({ person: `person${i}`, name: `Name ${i}` }))).go();
const grown = await Person.upsert({ person: "person4", name: "Name 4" }).ifNotExists({ office: "A1" }).go({ response: "all_new" });
is(grown.data, { person: "person4", name: "Name 4", office: "A1" });
const kept = await Person.upsert({ person: "person4", name: "New" }).ifNotExists({ office: "B2" }).go({ response: "all_new" });
is(kept.data, { person: "person4", name: "New", office: "A1" });

// ---- 120 in batches, four at a time ----

is((await Task.put(range(119, (i) => task(i + 1))).go({ concurrent: 4 })).unprocessed, []);
const many = await Task.get(range(119, (i) => { const { project, team, id } = task(i + 1); return { project, team, id }; }))
  .go({ concurrent: 2, preserveBatchOrder: true });
is([many.data.length, many.unprocessed.length, ids(many.data)[118]], [119, 0, "t119"]);

// ---- queries: composite sort keys, cursors ----

is(ids((await Task.query.byProject({ project: "p0", team: "red" }).between({ id: "t010" }, { id: "t030" }).go()).data),
  ["t012", "t018", "t024", "t030"]);
is(ids((await Task.query.byProject({ project: "p0", team: "red" }).begins({ id: "t00" }).go()).data), ["t000", "t006"]);
is(ids((await Task.query.byPerson({ person: "person1", status: "closed" }).between({ id: "t050" }, { id: "t110" }).go({ order: "desc" })).data),
  ["t105", "t085", "t065"]);
const walked = (await pagesOf(async (cursor = null) => {
  const page = await Task.query.byPerson({ person: "person2" }).go({ cursor, limit: 7 });
  return [ids(page.data), page.cursor ?? undefined];
})).flat();
is([walked.length, new Set(walked).size], [30, 30]);
is(walked.slice(0, 7), ["t010", "t030", "t050", "t070", "t090", "t110", "t002"]); // closed before open
is((await Task.query.byTeam({ team: "red" }).go({ pages: "all", hydrate: true })).data.filter((t) => t.points % 3).length, 0);
is((await Task.query.byTeam({ team: "red" }).go({ pages: "all", hydrate: true })).data.length, 40);
const filtered = await Task.query.byProject({ project: "p1" })
  .where(({ points, person, status }, op) => `(${op.between(points, 20, 40)} OR ${op.eq(points, 119)}) AND ${op.ne(person, "none")} AND NOT ${op.eq(status, "closed")}`)
  .go({ pages: "all" });
is(filtered.data.map((t) => t.points).sort((a, b) => a - b), [21, 23, 27, 29, 31, 33, 37, 39, 119]);
const collection = await office.collections.workload({ person: "person3" }).go({ pages: "all" });
is([collection.data.Task.length, collection.data.Person], [30, [{ person: "person3", name: "Name 3" }]]);
const scanned = (more) => Task.scan.where(({ tags, comments, due }, op) => `${op.contains(tags, "a")} AND `
  + `${op.begins(comments[0].by, "m")} AND ${op.eq(due.hard, true)} AND ${op.size(tags)} > ${op.escape(more)}`).go({ pages: "all" });
is([ids((await scanned(1)).data), (await scanned(2)).data], [["t000"], []]);
is(ids((await Task.match({ points: 12 }).go({ pages: "all" })).data), ["t012"]);
is((await failure(Task.match({ team: "red", points: 12 }).go())).cause.message, "One or more parameter values were invalid: "
  + "Secondary index gsi2pk-gsi2sk-index does not project one or more filter attributes: [points, team]");

// ---- changes ----

const second = await Task.patch(first).set({ status: "doing", person: "person1" }).add({ points: 5, tags: ["c"] })
  .append({ comments: [{ by: "you", text: "well" }] }).data((a, op) => op.set(a.due.day, "tue"))
  .where(({ status, version }, { eq }) => `${eq(status, "closed")} AND ${eq(version, 0)}`).go({ response: "all_new" });
is([second.data.status, second.data.points, second.data.tags.sort(), second.data.comments.length, second.data.due],
  ["doing", 5, ["a", "b", "c"], 2, { day: "tue", hard: true }]);
is(ids((await Task.query.byPerson({ person: "person1", status: "doing" }).go()).data), ["t000"]); // moved into the index
const lock = (from) => Task.patch(first).set({ version: from + 1 }).where(({ version }, { eq }) => eq(version, from)).go();
const races = await Promise.allSettled(range(8, () => lock(0)));
is([races.filter((r) => r.status === "fulfilled").length, races.find((r) => r.status === "rejected").reason.code], [1, 4001]);
const subtracted = await Task.update(first).subtract({ points: 10 }).remove(["free"]).delete({ tags: ["a", "b", "c"] }).go({ response: "all_new" });
is([subtracted.data.points, subtracted.data.free, subtracted.data.tags], [-5, undefined, undefined]);
is((await failure(Task.patch({ ...first, id: "none" }).set({ points: 1 }).go())).code, 4001);
const before = await Task.remove(first).where(({ points }, { lt }) => lt(points, 0)).go({ response: "all_old" });
is([before.data.points, (await Task.get(first).go()).data], [-5, null]);

// ---- transactions ----

const commit = (left) => office.transaction.write(({ Task: t, Person: p }) => [
  t.patch({ project: "p1", team: "blue", id: "t001" }).subtract({ points: 1 }).where(({ points }, { gte }) => gte(points, left))
    .commit({ response: "all_old" }),
  p.create({ person: "person5", name: "Five" }).commit({ response: "all_old" }),
  p.check({ person: "person1" }).where(({ name }, { eq }) => eq(name, "Name 1")).commit(),
]).go();
const good = await commit(1);
is([good.canceled, good.data.map((d) => d.rejected)], [false, [false, false, false]]);
const bad = await commit(1);
is([bad.canceled, bad.data.map((d) => [d.rejected, d.code]), bad.data[0].item.points, bad.data[1].item],
  [true, [[true, "ConditionalCheckFailed"], [true, "ConditionalCheckFailed"], [false, "None"]], 0, { person: "person5", name: "Five" }]);
const read = await office.transaction.get(({ Task: t, Person: p }) => [
  t.get({ project: "p1", team: "blue", id: "t001" }).commit(), p.get({ person: "none" }).commit()]).go();
is(read.data.map((d) => d.item?.points), [0, undefined]);

const gone = await Task.delete(range(119, (i) => { const { project, team, id } = task(i + 1); return { project, team, id }; })).go({ concurrent: 5 });
is([gone.unprocessed, (await Task.scan.go({ pages: "all" })).data], [[], []]);
is((await document.send(new ScanCommand({ TableName: table, Select: "COUNT" }))).Count, 5);
done();
