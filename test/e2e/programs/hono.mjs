// Hono behind function URLs: one application, answered whole and streamed.
import { Hono } from "hono";
import { handle, streamHandle } from "hono/aws-lambda";
import { deleteCookie, getCookie, setCookie } from "hono/cookie";
import { stream, streamSSE } from "hono/streaming";

const app = new Hono();

app.get("/hello/:name", (c) => {
  setCookie(c, "seen", "1", { path: "/", httpOnly: true });
  setCookie(c, "last", c.req.param("name"));
  c.header("x-api", c.env.requestContext.apiId);
  return c.json({ name: c.req.param("name"), all: c.req.queries("q"), cookie: getCookie(c, "k") }, 202);
});
app.post("/upload", async (c) => {
  const bytes = new Uint8Array(await c.req.arrayBuffer());
  return c.body(bytes.reverse(), 200, { "content-type": "application/octet-stream" });
});
app.post("/form", async (c) => c.json(await c.req.parseBody()));
app.get("/nothing", (c) => c.body(null, 204));
app.get("/stop", (c) => {
  deleteCookie(c, "seen");
  return c.redirect("/hello/again");
});
app.get("/parts", (c) => stream(c, async (out) => {
  for (let i = 0; i < 3; i++) {
    await out.write(`part ${i};`);
    await out.sleep(150);
  }
}));
app.get("/events", (c) => streamSSE(c, async (out) => {
  for (let i = 0; i < 2; i++)
    await out.writeSSE({ event: "tick", id: String(i), data: `n${i}` });
}));
app.get("/fail", () => {
  throw new Error("not for clients");
});

export const whole = handle(app);
export const streamed = streamHandle(app);
