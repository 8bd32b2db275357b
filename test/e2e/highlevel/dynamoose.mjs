// A library of books on dynamoose: models that make and change their own tables.
import dynamoose from "dynamoose";
import { client, done, failure, holds, is, pagesOf, range, until } from "./common.mjs";

dynamoose.aws.ddb.set(client);
const waitForActive = { enabled: true, check: { timeout: 20000, frequency: 50 } };
const plain = (items) => items.map((i) => i.toJSON());

// ---- models make their tables ----

const fields = {
  shelf: { type: String, hashKey: true },
  isbn: { type: String, rangeKey: true },
  author: { type: String, index: { name: "author", type: "global", rangeKey: "year" } },
  year: { type: Number, index: { name: "year", type: "local", project: true } },
  title: { type: String, required: true },
  stars: { type: Number, default: 0 },
  added: { type: Date, default: () => new Date(1700000000000) },
  tags: { type: Set, schema: [String] },
  notes: { type: Array, schema: [{ type: Object, schema: { by: String, text: String } }] },
  place: { type: Object, schema: { room: String, row: Number } },
  cover: Buffer,
  lent: { type: String, index: { name: "lent", type: "global", project: ["title"] } },
};
const schema = new dynamoose.Schema(fields, { timestamps: { createdAt: "made", updatedAt: "changed" } });
const Book = dynamoose.model("Book", schema);
const table = new dynamoose.Table("books", [Book], { waitForActive, throughput: "ON_DEMAND",
  tags: { team: "shelves" }, expires: { ttl: 86400000, attribute: "gone" },
  streamOptions: { enabled: true, type: "NEW_AND_OLD_IMAGES" } });
await until(() => table.getInternalProperties && Book.table().hashKey === "shelf", "the model has its table");

// ---- create, get, conditions ----

const book = (i) => ({ shelf: `s${i % 3}`, isbn: `978-${String(i).padStart(3, "0")}`, author: i % 2 ? "Le Guin" : "Lem",
  year: 1950 + i, title: `Title ${i}`, tags: new Set(["paper", i % 5 ? "read" : "new"]), place: { room: "A", row: i } });
const first = await Book.create({ ...book(0), cover: Buffer.from([1, 0, 255]), notes: [{ by: "me", text: "" }] });
is([first.stars, new Date(first.added).getTime(), first.title], [0, 1700000000000, "Title 0"]);
const again = await failure(Book.create(book(0)));
is([again.name, again.message, again.$metadata.httpStatusCode], ["ConditionalCheckFailedException", "The conditional request failed", 400]);
const got = await Book.get({ shelf: "s0", isbn: "978-000" }, { consistent: true });
is([got.cover.equals(Buffer.from([1, 0, 255])), got.added, [...got.tags].sort(), got.notes, got.place],
  [true, new Date(1700000000000), ["new", "paper"], [{ by: "me", text: "" }], { room: "A", row: 0 }]);
holds(got.gone instanceof Date && got.gone > Date.now());
is(await Book.get({ shelf: "s0", isbn: "none" }), undefined);
is((await failure(Book.create({ shelf: "s", isbn: "i" }))).name, "ValidationError"); // of the library itself

// ---- batches: 40 books; then reads of them ----

for (const part of [range(25, (i) => book(i + 1)), range(15, (i) => book(i + 26))])
  is((await Book.batchPut(part)).unprocessedItems, []);
const some = await Book.batchGet(range(100, (i) => ({ shelf: `s${i % 3}`, isbn: `978-${String(i).padStart(3, "0")}` })),
  { attributes: ["shelf", "isbn", "year"] });
is([some.length, some.unprocessedKeys.length], [41, 0]);
is(plain(some).find((b) => b.isbn === "978-017"), { shelf: "s2", isbn: "978-017", year: 1967 });

// ---- queries and scans ----

const lem = await Book.query("author").eq("Lem").where("year").between(1960, 1970).sort("descending").exec();
is([plain(lem).map((b) => b.year), lem.count, lem.lastKey], [[1970, 1968, 1966, 1964, 1962, 1960], 6, undefined]);
const prefixed = await Book.query("shelf").eq("s1").where("isbn").beginsWith("978-02").exec();
is(plain(prefixed).map((b) => b.isbn), ["978-022", "978-025", "978-028"]);
const local = await Book.query("shelf").eq("s2").where("year").ge(1985).using("year").consistent().exec();
is(plain(local).map((b) => b.year), [1985, 1988]);
const counted = await Book.query("author").eq("Lem").filter("tags").contains("new").count().exec();
is(counted.count, 5);
const nested = await Book.scan().where("place.row").in([3, 5, 7, 90]).exec();
is(plain(nested).map((b) => b.place.row).sort(), [3, 5, 7]);
const either = await Book.scan().parenthesis((c) => c.where("year").lt(1953).or().where("year").gt(1988)).and()
  .where("title").not().eq("Title 1").and().attribute("lent").not().exists().exec();
is(plain(either).map((b) => b.year).sort(), [1950, 1952, 1989, 1990]);
const all = await Book.scan().limit(7).all().exec();
is([all.length, all.count, all.scannedCount, all.lastKey], [41, 41, 41, undefined]);
const parallel = await Book.scan().parallel(3).exec();
is([parallel.length, new Set(plain(parallel).map((b) => b.isbn)).size], [41, 41]);
const walked = await pagesOf(async (startAt) => {
  const page = await Book.query("author").eq("Le Guin").limit(6).startAt(startAt).attributes(["isbn", "year"]).exec();
  return [plain(page).map((b) => b.year), page.lastKey && JSON.parse(JSON.stringify(page.lastKey))];
});
is([walked.flat(), walked.length], [range(20, (i) => 1951 + 2 * i), 4]);
is((await failure(Book.query("lent").eq("ann").attributes(["title", "year"]).exec())).message,
  "One or more parameter values were invalid: Global secondary index lent does not project [year]");

// ---- updates ----

const key = { shelf: "s1", isbn: "978-001" };
const updated = await Book.update(key, { $SET: { lent: "ann" }, $ADD: { stars: 4, notes: [{ by: "ann", text: "good" }],
  tags: ["blue"] } }).catch((e) => e);
is([updated.name, updated.message], ["ValidationException", // list_append of a list that is not there
  "The provided expression refers to an attribute that does not exist in the item"]);
is((await Book.get(key)).lent, undefined);
const second = await Book.update(key, { $SET: { lent: "ann", notes: [{ by: "me", text: "x" }] }, $ADD: { stars: 4, tags: ["blue"] } });
is([second.lent, second.stars, [...second.tags].sort(), second.notes.length], ["ann", 4, ["blue", "paper", "read"], 1]);
const third = await Book.update(key, { $ADD: { notes: [{ by: "ann", text: "good" }], stars: -1 }, $REMOVE: ["place"],
  $DELETE: { tags: ["blue", "paper", "none"] } });
is([third.stars, third.place, [...third.tags], third.notes.map((n) => n.by)], [3, undefined, ["read"], ["me", "ann"]]);
const sparse = await Book.query("lent").eq("ann").exec();
is(plain(sparse), [{ shelf: "s1", isbn: "978-001", lent: "ann", title: "Title 1" }]);
await Book.update(key, { $DELETE: { tags: ["read"] }, $REMOVE: ["lent"] }); // the last one: the set is gone, and the index entry
is([(await Book.get(key)).tags, (await Book.query("lent").eq("ann").count().exec()).count], [undefined, 0]);
const unmet = await failure(Book.update(key, { stars: 9 }, { condition: new dynamoose.Condition().where("stars").gt(5) }));
is([unmet.name, (await Book.get(key)).stars], ["ConditionalCheckFailedException", 3]);
const saved = await Book.get(key);
saved.stars = 5;
await saved.save({ condition: new dynamoose.Condition().where("stars").eq(3) });
is((await Book.get(key)).stars, 5);
const upserted = await Book.update({ shelf: "s9", isbn: "new" }, { title: "From nothing" });
is([upserted.title, upserted.stars], ["From nothing", undefined]);

// ---- transactions ----

const moved = { shelf: "s9", isbn: "new" };
await dynamoose.transaction([Book.transaction.update(key, { stars: 1 }), Book.transaction.delete(moved),
  Book.transaction.create({ ...book(99), shelf: "t" }),
  Book.transaction.condition({ shelf: "s2", isbn: "978-002" }, new dynamoose.Condition().where("year").eq(1952))]);
is([(await Book.get(key)).stars, await Book.get(moved), (await Book.get({ shelf: "t", isbn: "978-099" })).year], [1, undefined, 2049]);
const cancelled = await failure(dynamoose.transaction([Book.transaction.update(key, { stars: 7 }),
  Book.transaction.create({ ...book(99), shelf: "t" })]));
is([cancelled.name, cancelled.CancellationReasons.map((r) => [r.Code, r.Message])], ["TransactionCanceledException",
  [["None", undefined], ["ConditionalCheckFailed", "The conditional request failed"]]]);
is((await dynamoose.transaction([Book.transaction.get(key), Book.transaction.get({ shelf: "t", isbn: "978-099" })])).map((b) => b.year),
  [1951, 2049]);

// ---- the model changes: an index more, other tags, a table that is told apart ----

const wider = dynamoose.model("Book2", new dynamoose.Schema({ ...fields,
  title: { type: String, required: true, index: { name: "title", type: "global", project: true } } }));
const widened = new dynamoose.Table("books", [wider], { waitForActive, throughput: "ON_DEMAND", initialize: false,
  update: true, tags: { team: "stacks", floor: "2" }, tableClass: "infrequentAccess",
  expires: { ttl: 86400000, attribute: "gone" }, streamOptions: { enabled: true, type: "NEW_AND_OLD_IMAGES" } });
await widened.initialize();
const described = await dynamoose.aws.ddb().describeTable({ TableName: "books" });
is([described.Table.GlobalSecondaryIndexes.map((i) => [i.IndexName, i.IndexStatus]).sort(), described.Table.TableClassSummary.TableClass,
  described.Table.StreamSpecification.StreamViewType, described.Table.LocalSecondaryIndexes.length],
  [[["author", "ACTIVE"], ["lent", "ACTIVE"], ["title", "ACTIVE"]], "STANDARD_INFREQUENT_ACCESS", "NEW_AND_OLD_IMAGES", 1]);
const tagged = await dynamoose.aws.ddb().listTagsOfResource({ ResourceArn: described.Table.TableArn });
is(tagged.Tags.map((t) => `${t.Key}=${t.Value}`).sort(), ["floor=2", "team=stacks"]);
is((await dynamoose.aws.ddb().describeTimeToLive({ TableName: "books" })).TimeToLiveDescription.AttributeName, "gone");
is(plain(await wider.query("title").eq("Title 17").exec()).map((b) => b.isbn), ["978-017"]);

for (let left = range(41, (i) => ({ shelf: `s${i % 3}`, isbn: `978-${String(i).padStart(3, "0")}` })); left.length;)
  is((await Book.batchDelete(left.splice(0, 25))).unprocessedItems, []);
await Book.delete({ shelf: "t", isbn: "978-099" });
is((await Book.scan().count().exec()).count, 0);
done();
