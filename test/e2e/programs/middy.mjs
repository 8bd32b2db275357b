// Middy with three of its middlewares, behind a function URL.
import middy from "@middy/core";
import doNotWait from "@middy/do-not-wait-for-empty-event-loop";
import httpErrorHandler from "@middy/http-error-handler";
import httpJsonBodyParser from "@middy/http-json-body-parser";
import { createError } from "@middy/util";

let calls = 0, ticks = 0;

export const handler = middy()
  .use(doNotWait())
  .use(httpJsonBodyParser())
  .use(httpErrorHandler())
  .handler(async (event, context) => {
    const { kind } = event.body;
    if (kind === "refuse")
      throw createError(409, JSON.stringify({ why: "taken" }));
    if (kind === "break")
      throw new TypeError("not for clients");
    calls++;
    setInterval(() => ticks++, 10); // what would keep a function waiting
    return {
      statusCode: 201,
      headers: { "x-calls": calls },
      body: JSON.stringify({ got: event.body, waits: context.callbackWaitsForEmptyEventLoop }),
    };
  });
