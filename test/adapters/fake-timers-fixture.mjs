// A broker on the runtime that runs this file, while a program replaces the clock and the timers. Prints a line with
// the results.
import net from "node:net";

const runtime = "Deno" in globalThis ? "deno" : "Bun" in globalThis ? "bun" : "node";
// Literal imports, so that Deno loads them before it runs and needs no permission to read.
const { createBroker } =
  runtime === "deno"
    ? await import("../../dist/adapters/deno/mod.js")
    : runtime === "bun"
      ? await import("../../dist/adapters/bun/mod.js")
      : await import("../../dist/adapters/node/mod.js");
const { createLocalBroker } = await import("../../dist/adapters/local/mod.js");

const names = ["setTimeout", "clearTimeout", "setInterval", "clearInterval"];
names.push("setImmediate", "clearImmediate", "queueMicrotask", "MessageChannel", "Date");
const real = Object.fromEntries(names.map((name) => [name, globalThis[name]]));
const { now } = performance;

function fake() {
  for (const name of names) globalThis[name] = class {};
  for (const name of names.slice(0, 7)) globalThis[name] = () => 0;
  performance.now = () => 0;
}

function restore() {
  Object.assign(globalThis, real);
  performance.now = now;
}

/** The lengths of the received packets, which are short. */
async function open(port) {
  const socket = net.connect(port, "127.0.0.1");
  let bytes = Buffer.alloc(0);
  let wake = () => {};
  socket.on("data", (chunk) => {
    bytes = Buffer.concat([bytes, chunk]);
    wake();
  });
  await new Promise((resolve) => socket.once("connect", resolve));
  return {
    send: (...packet) => socket.write(Uint8Array.from(packet)),
    /** Resolves with the count of packets when there are at least `count`. */
    async takes(count) {
      for (let taken = 0; ; ) {
        while (bytes.length >= 2 && bytes.length >= 2 + bytes[1]) {
          bytes = bytes.subarray(2 + bytes[1]);
          taken++;
        }
        if (taken >= count) return taken;
        await new Promise((resolve) => {
          wake = resolve;
        });
      }
    },
  };
}

const broker = await createBroker({ tcp: { port: 0 } });
const local = createLocalBroker();
const port = Number(new URL(broker.addresses[0]).port);
const connect = (id, keepAlive) => [0x10, 13, 0, 4, 77, 81, 84, 84, 4, 2, 0, keepAlive, 0, 1, id];
const client = await open(port);
client.send(...connect(97, 0), 0x82, 6, 0, 1, 0, 1, 116, 1);
await client.takes(2);
const inside = await local.connect();

fake();
for (let id = 1; id < 12; id++) client.send(0x32, 6, 0, 1, 116, 0, id, 120);
const during = await client.takes(22);
const messages = await inside.subscribe("a");
await inside.publish("a", "x", { qos: 1 });
await messages.next();
const silent = await open(port);
silent.send(...connect(98, 1));
// Reported by the broker, because Bun's node:net sockets stop with the globals.
const ended = await new Promise((resolve) => {
  broker.on("disconnected", ({ clientId, reason }) => resolve([clientId, reason]));
});
await inside.disconnect();
restore();

client.send(0xc0, 0);
let after = await client.takes(1);
broker.publish("t", "x");
after += await client.takes(1);
const held = broker.counters.clockHeld + local.counters.clockHeld;
await broker.close(100);
await local.close();
console.log(JSON.stringify({ during, after, ended, held }));
process.exit(0);
