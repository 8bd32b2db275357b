// Accounts, users and invoices with dynamodb-onetable: unique attributes, value templates, batches, transactions,
// pages both ways, groups of types.
import { Table } from "dynamodb-onetable";
import { Dynamo } from "dynamodb-onetable/Dynamo";
import { client, done, failure, is, pagesOf, range, until } from "./common.mjs";

const schema = {
  format: "onetable:1.1.0", version: "0.0.1",
  indexes: { primary: { hash: "pk", sort: "sk" }, gs1: { hash: "gs1pk", sort: "gs1sk", project: "all" },
    gs2: { hash: "gs2pk", sort: "gs2sk", project: ["gs1pk", "gs1sk", "_type"], follow: true }, ls1: { type: "local", sort: "ls1sk", project: "all" } },
  models: {
    Account: { pk: { type: String, value: "account#${id}" }, sk: { type: String, value: "account#" },
      id: { type: String, generate: "ulid" }, name: { type: String, required: true, unique: true }, balance: { type: Number, default: 0 } },
    User: { pk: { type: String, value: "account#${accountId}" }, sk: { type: String, value: "user#${id}" },
      accountId: { type: String, required: true }, id: { type: String, generate: "ulid" },
      email: { type: String, required: true, unique: true }, role: { type: String, enum: ["user", "admin"], default: "user" },
      born: { type: Date }, tags: { type: Set }, seen: { type: Number }, photo: { type: "binary" }, settings: { type: Object,
        schema: { theme: { type: String }, sizes: { type: Array, items: { type: Number } }, deep: { type: Object, schema: { a: { type: Number } } } } },
      expires: { type: Date, ttl: true }, gs1pk: { type: String, value: "role#${role}" }, gs1sk: { type: String, value: "user#${email}" },
      ls1sk: { type: String, value: "email#${email}" } },
    Invoice: { pk: { type: String, value: "account#${accountId}" }, sk: { type: String, value: "invoice#${number:8:0}" },
      accountId: { type: String, required: true }, number: { type: Number, required: true }, total: { type: Number },
      paid: { type: Boolean }, gs2pk: { type: String, value: "invoice#${paid}" }, gs2sk: { type: String, value: "invoice#${number:8:0}" } },
  },
  params: { isoDates: true, timestamps: true, nulls: false },
};
const table = new Table({ name: "one", client: new Dynamo({ client }), schema, partial: true });
await table.createTable({ wait: 20, TimeToLiveSpecification: { AttributeName: "expires", Enabled: true }, StreamSpecification: { StreamEnabled: true, StreamViewType: "NEW_IMAGE" } });
is([await table.exists(), await table.listTables()], [true, ["one"]]);
const [Account, User, Invoice] = ["Account", "User", "Invoice"].map((m) => table.getModel(m));
const ids = (rows) => rows.map((r) => r.email ?? r.number);

// ---- create: unique attributes are transactions ----

const acme = await Account.create({ id: "1", name: "Acme" });
is([acme.name, acme.balance, acme.created instanceof Date], ["Acme", 0, true]);
const dup = await failure(Account.create({ id: "2", name: "Acme" }));
is([dup.code, dup.message], ["UniqueError", 'Cannot create unique attributes "name" for "Account". An item of the same name already exists.']);
is(await Account.get({ id: "2" }), undefined);
const user = (i) => ({ accountId: "1", id: `u${String(i).padStart(3, "0")}`, email: `u${i}@x.example`, role: i % 4 ? "user" : "admin", seen: i });
for (let i = 0; i < 12; i++)
  await User.create({ ...user(i), born: new Date(1e12 + i), tags: new Set(["a", `t${i}`]), photo: Buffer.from([i, 255]),
    settings: { theme: "dark", sizes: [1, i], deep: { a: 1 } } });
const got = await User.get({ accountId: "1", id: "u003" }, { consistent: true });
is([got.born, [...got.tags].sort(), Buffer.from(got.photo), got.settings], [new Date(1e12 + 3), ["a", "t3"], Buffer.from([3, 255]),
  { theme: "dark", sizes: [1, 3], deep: { a: 1 } }]);
const again = await failure(Invoice.create({ accountId: "1", number: 1, total: 5, paid: false }).then(() => Invoice.create({ accountId: "1", number: 1 })));
is([again.code, again.message], ["ConditionalCheckFailedException", 'Conditional create failed for "Invoice"']);

// ---- batches ----

for (let at = 2; at < 52; at += 25) {
  const batch = {};
  for (const i of range(25, (n) => at + n))
    await Invoice.create({ accountId: "1", number: i, total: i * 1.25, paid: i % 3 === 0 }, { batch, exists: null });
  is(await table.batchWrite(batch), true);
}
const gets = {};
for (const n of range(30, (i) => i + 1))
  await Invoice.get({ accountId: "1", number: n }, { batch: gets });
is((await table.batchGet(gets, { parse: true, hidden: false })).map((i) => i.total).sort((a, b) => a - b).at(-1), 37.5);

// ---- find: templates, operators, pages forwards and back ----

is(ids(await table.queryItems({ pk: "account#1", sk: { begins: "user#u00" } }, { limit: 3, parse: true, hidden: true })), ["u0@x.example", "u1@x.example", "u2@x.example"]);
is(ids(await User.find({ role: "admin" }, { index: "gs1" })), ["u0@x.example", "u4@x.example", "u8@x.example"]);
is(ids(await User.find({ accountId: "1", email: "u7@x.example" }, { index: "ls1" })), ["u7@x.example"]);
is(ids(await table.queryItems({ pk: "account#1", sk: { between: ["invoice#00000010", "invoice#00000012"] } }, { parse: true, hidden: true })), [10, 11, 12]);
is(ids(await Invoice.find({ accountId: "1" }, { reverse: true, limit: 2 })), [51, 50]);
is(ids(await Invoice.find({ accountId: "1" }, { where: "(${total} > {60}) and (${paid} = {true}) and not (${number} <> @{n})", substitutions: { n: 51 } })), [51]);
is((await Invoice.find({ accountId: "1" }, { count: true })).count, 51);
is(ids(await Invoice.find({ paid: "true" }, { index: "gs2", limit: 3, follow: true })), [3, 6, 9]);
let prev;
const forward = await pagesOf(async (next) => {
  const page = await Invoice.find({ accountId: "1" }, { limit: 20, next });
  prev = page.prev;
  return [ids(page), page.next && JSON.parse(JSON.stringify(page.next))];
});
is([forward.flat(), forward.map((p) => p.length)], [range(51, (i) => i + 1), [20, 20, 11]]);
is(ids(await Invoice.find({ accountId: "1" }, { limit: 20, prev })), range(20, (i) => i + 21));
const groups = await table.fetch(["User", "Invoice", "Account"], { pk: "account#1" });
is([groups.User.length, groups.Invoice.length, groups.Account.length], [12, 51, 1]);
const scanned = await Promise.all(range(2, (segment) => User.scan({}, { segment, segments: 2 })));
is(scanned.flat().length, 12);
is(ids(await User.scan({}, { where: "contains(${tags}, {t5}) and ${settings.theme} = {dark} and size(${settings.sizes}) = @{two}", substitutions: { two: 2 } })), ["u5@x.example"]);

// ---- update ----

const key = { accountId: "1", id: "u001" };
const one = await User.update(key, { add: { seen: 10 }, set: { "settings.sizes[0]": 7, "settings.theme": "light" }, remove: ["born"] });
is([one.seen, one.settings, one.born], [11, { theme: "light", sizes: [7, 1], deep: { a: 1 } }, undefined]);
const two = await User.update({ ...key, settings: { deep: { a: 2 } } }, { push: { "settings.sizes": [8] }, add: { tags: new Set(["new"]) } });
is([two.settings, [...two.tags].sort()], [{ theme: "light", sizes: [7, 1, 8], deep: { a: 2 } }, ["a", "new", "t1"]]);
const three = await User.update(key, { delete: { tags: new Set(["a", "t1", "new"]) }, set: { seen: "if_not_exists(${seen}, {0}) + {1}" } });
is([three.tags, three.seen], [undefined, 12]);
const unmet = await failure(User.update({ ...key, seen: 1 }, { where: "${seen} < {5}" }));
is([unmet.code, unmet.message], ["ConditionalCheckFailedException", 'OneTable execute failed "update" for "User", The conditional request failed']);
is((await User.get(key)).seen, 12);
const moved = await User.update({ ...key, email: "new@x.example" }, { return: "get" });
is(moved.email, "new@x.example");
is((await failure(User.update({ accountId: "1", id: "u002", email: "new@x.example" }))).code, "UniqueError");
is((await failure(User.update({ accountId: "1", id: "none", seen: 1 }))).code, "ConditionalCheckFailedException");
const upserts = [await Invoice.upsert({ accountId: "2", number: 5, total: 1 }), await Invoice.upsert({ accountId: "2", number: 5, paid: false })];
is(upserts.map((u) => [u.total, u.paid]), [[1, undefined], [1, false]]);

// ---- transactions ----

const transaction = {};
await Account.update({ id: "1" }, { add: { balance: 100 }, where: "${balance} < {50}", transaction });
await Invoice.create({ accountId: "1", number: 99, total: 100, paid: true }, { transaction });
await table.transact("write", transaction);
is([(await Account.get({ id: "1" })).balance, (await Invoice.get({ accountId: "1", number: 99 })).total], [100, 100]);
const failing = {};
await Account.update({ id: "1" }, { add: { balance: 100 }, where: "${balance} < {50}", transaction: failing });
await Invoice.create({ accountId: "1", number: 100 }, { transaction: failing });
const cancelled = await failure(table.transact("write", failing));
is([cancelled.code, cancelled.context.err.CancellationReasons.map((r) => r.Code)], ["TransactionCanceledException", ["ConditionalCheckFailed", "None"]]);
is(await Invoice.get({ accountId: "1", number: 100 }), undefined);
const reads = {};
await Account.get({ id: "1" }, { transaction: reads });
await Invoice.get({ accountId: "1", number: 51 }, { transaction: reads });
is((await table.transact("get", reads, { parse: true, hidden: true })).map((r) => r.balance ?? r.total), [100, 63.75]);

// ---- time to live, removal, the table itself ----

await User.update({ ...key, expires: new Date(Date.now() - 3000) });
await until(async () => !(await User.get(key, { consistent: true })), "the user expires");
await table.updateTable({ create: { name: "gs3", hash: "accountId", sort: "_type", project: "keys" } });
await until(async () => (await table.describeTable()).Table.GlobalSecondaryIndexes.find((i) => i.IndexName === "gs3").IndexStatus === "ACTIVE", "gs3");
is((await client.query({ TableName: "one", IndexName: "gs3", KeyConditionExpression: "accountId = :a AND begins_with(#t, :i)", Select: "COUNT",
  ExpressionAttributeNames: { "#t": "_type" }, ExpressionAttributeValues: { ":a": { S: "1" }, ":i": { S: "Inv" } } })).Count, 52);
await User.remove({ accountId: "1", id: "u004" });
is((await Account.create({ id: "3", name: "Other" })).name, "Other");
await Invoice.remove({ accountId: "1" }, { many: true });
is((await Invoice.find({ accountId: "1" }, { count: true })).count, 0);
await table.deleteTable("DeleteTableForever");
await until(async () => !(await table.exists()), "the table is gone");
done();
