// What the programs of this folder share. Each drives one library as an application does: node X.mjs ENDPOINT.
// It asserts on what the library gives back, prints how many things it looked at, and ends with 1 at the first
// that is wrong.
import assert from "node:assert/strict";
import { DynamoDB } from "@aws-sdk/client-dynamodb";

export const [endpoint] = process.argv.slice(2);
export const options = {
  endpoint,
  region: "us-east-1",
  credentials: { accessKeyId: "test", secretAccessKey: "test" },
  maxAttempts: 1, // a retry would hide what was wrong
};
export const client = new DynamoDB(options);

let looked = 0;

export function is(actual, wanted, what) {
  looked++;
  assert.deepEqual(actual, wanted, what);
}

export function holds(condition, what) {
  looked++;
  assert.ok(condition, what);
}

// The error with which `promise` fails.
export async function failure(promise) {
  looked++;
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new assert.AssertionError({ message: "it did not fail", stackStartFn: failure });
}

export const range = (n, make) => Array.from({ length: n }, (_, i) => make(i));

// Looks until `look` gives something, for at most 20 seconds.
export async function until(look, what) {
  const end = Date.now() + 20000;

  for (;;) {
    const found = await look();
    if (found)
      return found;
    assert.ok(Date.now() < end, `never: ${what}`);
    await new Promise((go) => setTimeout(go, 20));
  }
}

// What `next(from)` gives ([items, where to go on]), page by page, to the end of at most 100 pages.
export async function pagesOf(next) {
  const pages = [];
  let from;

  do {
    const [items, to] = await next(from);
    pages.push(items);
    from = to;
    assert.ok(pages.length < 100, "pages do not end");
  } while (from);
  return pages;
}

export function done() {
  console.log(JSON.stringify({ looked }));
  client.destroy();
}
