// MQTT and HTTP on one port: `node docs/examples/http-server.mjs` after `npm install`.
import { serve } from "@hono/node-server";
import { Hono } from "hono";
import { ConfigError, createBroker } from "sansmq";

const broker = await createBroker({ tcp: false });

const app = new Hono();
app.get("/", (context) => context.text("MQTT is at /mqtt, by WebSocket\n"));
app.get("/clients", (context) => context.json({ connected: broker.counters.clientsConnected }));
app.post("/topics/:topic{.+}", async (context) => {
  const payload = await context.req.text();
  try {
    broker.publish(context.req.param("topic"), payload, { qos: 1 });
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return context.text(error.message, 400);
  }
  return context.body(null, 204);
});

const port = Number(process.env.PORT ?? 8080);
const server = serve({ fetch: app.fetch, hostname: "127.0.0.1", port }, (address) => {
  console.log(`serving http://127.0.0.1:${address.port}`);
});
broker.attachWebSocket(server, { path: "/mqtt" });

process.on("SIGINT", async () => {
  await broker.close();
  server.close(() => process.exit(0));
});
