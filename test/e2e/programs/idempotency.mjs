// AWS Lambda Powertools: what an event did once it does not do again.
import { IdempotencyConfig, makeIdempotent } from "@aws-lambda-powertools/idempotency";
import { DynamoDBPersistenceLayer } from "@aws-lambda-powertools/idempotency/dynamodb";

const persistenceStore = new DynamoDBPersistenceLayer({ tableName: "idempotency" });
const config = new IdempotencyConfig({
  eventKeyJmesPath: "order", payloadValidationJmesPath: "amount", throwOnNoIdempotencyKey: true,
});
let paid = 0;

export const handler = makeIdempotent(async (event) => {
  if (event.wait)
    await new Promise((done) => setTimeout(done, event.wait));
  if (event.fail)
    throw new RangeError("no money");
  return { order: event.order, paid: ++paid };
}, { persistenceStore, config });
