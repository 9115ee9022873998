// Functions that say why they refuse: `node docs/examples/policy.mjs` after `npm install`.
import { createBroker, Reason } from "sansmq";

const passwords = new Map([
  ["ada", "lovelace"],
  ["eve", "moriarty"],
]);
const blocked = new Set(["eve"]);
const port = Number(process.env.PORT ?? 1883);

const broker = await createBroker({
  tcp: { port },
  authenticate: async ({ username }, password) => {
    if (blocked.has(username)) return { reason: Reason.Banned, reasonString: "ask the owner" };
    return password !== null && passwords.get(username) === new TextDecoder().decode(password);
  },
  authorizePublish: ({ username }, topic) =>
    topic.startsWith(`${username}/`) || { reason: Reason.TopicNameInvalid },
});
broker.on("error", ({ error }) => console.error(error));

console.log(`serving ${broker.addresses[0]}`);
process.on("SIGINT", () => broker.close().then(() => process.exit(0)));
