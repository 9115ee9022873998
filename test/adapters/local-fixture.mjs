// Clients of a broker in the process, on the runtime that runs this file: prints a line with their results. With
// "bare", globals that browsers lack are removed first.
const { Deno, process } = globalThis;
const isBare = (Deno === undefined ? process.argv : Deno.args).includes("bare");
if (isBare) for (const name of ["setImmediate", "Buffer", "process"]) delete globalThis[name];
const { createTestBroker } = await import("../../dist/adapters/testing/mod.js");
const { createLocalBroker } = await import("../../dist/adapters/local/mod.js");

const broker = createLocalBroker();
const client = await broker.connect({ clientId: "c" });
const subscription = await client.subscribe("a/+", { qos: 2 });
const reasons = [];
for (const qos of [0, 1, 2]) {
  reasons.push((await client.publish(`a/${qos}`, new Uint8Array(100_000), { qos })).reason);
}
const topics = [];
for await (const { topic, payload, qos } of subscription) {
  if (topics.push(`${topic} ${payload.length} q${qos}`) === 3) break;
}
await client.disconnect();
await broker.close();

const test = createTestBroker();
const silent = await test.connect({ keepAliveSeconds: 60, faults: { drop: "PINGRESP" } });
await test.clock.advance("10m");
test.faults.stall();
await test.clock.advance("90s");
const { clientsConnected } = test.counters;
test.faults.release();
const { reason } = await silent.closed;
await test.close();

console.log(JSON.stringify({ reasons, topics, clientsConnected, reason }));
if (Deno !== undefined) Deno.exit(0);
process.exit(0);
