// AWS Lambda Powertools: records of a stream one by one, and which of them failed.
import { BatchProcessor, EventType, processPartialResponse } from "@aws-lambda-powertools/batch";
import { DynamoDBClient, PutItemCommand } from "@aws-sdk/client-dynamodb";

const processor = new BatchProcessor(EventType.DynamoDBStreams);
const client = new DynamoDBClient({});

const work = async (record) => {
  const { Keys, NewImage } = record.dynamodb;
  if (NewImage.kind?.S === "poison")
    throw new Error(`poison: ${Keys.pk.S}`);
  await client.send(new PutItemCommand({
    TableName: "done", Item: { pk: { S: Keys.pk.S }, event: { S: record.eventName } } }));
};

export const handler = async (event, context) => {
  const answer = await processPartialResponse(event, work, processor,
    { context, throwOnFullBatchFailure: false });
  console.log(JSON.stringify({ records: event.Records.length, answer }));
  return answer;
};

export const lost = async (event) => {
  console.log("lost " + JSON.stringify(event));
};
