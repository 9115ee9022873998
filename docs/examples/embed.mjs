// A broker inside a Node program: `node docs/examples/embed.mjs` after `npm install`.
import { createBroker } from "sansmq";

const broker = await createBroker({
  tcp: { port: Number(process.env.PORT ?? 1883) },
  users: { ada: "lovelace" },
  authorizePublish: ({ username }, topic) => topic.startsWith(`${username}/`),
  limits: { packetBytesMax: 65_536, sessionMillisMax: 60_000 },
});

broker.on("connected", ({ clientId }) => console.log(`${clientId} is here`));
broker.on("published", ({ clientId, topic, payload }) => {
  if (clientId !== "") console.log(`${topic}: ${Buffer.from(payload)}`);
});

console.log(`serving ${broker.addresses.join(" ")}`);
broker.publish("news/start", "the broker is up", { qos: 1, retain: true });
process.on("SIGINT", () => broker.close().then(() => process.exit(0)));
