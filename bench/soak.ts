/**
 * The soak test: `npm run soak -- --minutes 10 --codec auto`. Runs a broker process under clients
 * that connect and vanish, lose their transport, take over their own sessions and stop reading,
 * with topics and filters that keep changing. Counts each QoS 1 and 2 message. Exit code 1 if a
 * message was lost or duplicated, counters do not add up, or memory grew.
 */
import { connect as connectTcp, type Socket } from "node:net";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import mqtt, { type MqttClient } from "mqtt";
import {
  connectPacket,
  publishPacket,
  ready,
  subscribePacket,
  unsubscribePacket,
} from "./lib/client.ts";
import { lineOf, rssBytes, startPinned } from "./lib/process.ts";
import { median } from "./lib/statistics.ts";

const { values } = parseArgs({
  allowPositionals: true,
  options: {
    minutes: { type: "string", default: "10" },
    codec: { type: "string", default: "auto" },
  },
});
const endAt = performance.now() + Number(values.minutes) * 60_000;
const isOver = (): boolean => performance.now() > endAt;
const sleep = (millis: number): Promise<void> => new Promise((done) => setTimeout(done, millis));

const main = fileURLToPath(new URL("../adapters/cli/main.js", import.meta.url));
const flags = [
  ...["--port", "0", "--no-ws", "--log-level", "error"],
  ...["--max-stall-millis", "3000", "--max-session-millis", "60000"],
  // A small topic table, which is emptied again and again.
  ...["--codec", values.codec, "--max-topic-table-bytes", "2097152"],
];
const broker = startPinned([process.execPath, main, "--store", "memory", ...flags], null);
const [, address] = await lineOf(broker, /listening (tcp:\S+)/);
const port = Number(new URL(address!).port);
const faults: string[] = [];

let clientCount = 0;
function client(clientId: string, clean: boolean): MqttClient {
  // Two of three clients use 5.0, so that all pairs of versions occur.
  const isFive = clientCount++ % 3 !== 0;
  const properties = { sessionExpiryInterval: 60, topicAliasMaximum: 8 };
  const made = mqtt.connect(address!, {
    clientId,
    clean,
    ...(isFive ? { protocolVersion: 5 as const, properties, autoAssignTopicAlias: true } : {}),
    reconnectPeriod: 20,
    queueQoSZero: false,
  });
  made.on("error", () => {});
  return made;
}

/**
 * The messages that one subscriber expects: numbers 1, 2, 3 … at a QoS, each exactly once or at
 * least once.
 */
class Ledger {
  readonly qos: 1 | 2;
  sent = 0;
  readonly #missing = new Set<number>();
  received = 0;
  again = 0;

  constructor(qos: 1 | 2) {
    this.qos = qos;
  }
  send(): number {
    this.#missing.add(++this.sent);
    return this.sent;
  }
  arrive(number: number): void {
    this.received++;
    if (this.#missing.delete(number)) return;
    this.again++;
    if (this.qos === 2) faults.push(`QoS 2 message ${number} arrived twice`);
  }
  get missing(): number {
    return this.#missing.size;
  }
}

/**
 * A publisher and a subscriber with persistent sessions; their transports are cut from time to
 * time.
 */
async function conversation(n: number): Promise<void> {
  const ledgers = [new Ledger(1), new Ledger(2)];
  const subscriber = client(`soak-s${n}`, false);
  subscriber.on("message", (topic, payload) => {
    ledgers[Number(topic.at(-1)) - 1]!.arrive(Number(payload.toString()));
  });
  await subscriber.subscribeAsync(`soak/${n}/+`, { qos: 2 });
  const publisher = client(`soak-p${n}`, false);
  for (let turn = 1; !isOver(); turn++) {
    const all = Array.from({ length: 20 }, (_, i) => {
      const ledger = ledgers[i % 2]!;
      const topic = `soak/${n}/${ledger.qos}`;
      return publisher.publishAsync(topic, String(ledger.send()), { qos: ledger.qos });
    });
    if (turn % 10 === 0) subscriber.stream.destroy();
    if (turn % 14 === 0) publisher.stream.destroy();
    await Promise.all(all);
    await sleep(20);
  }
  const deadline = performance.now() + 30_000;
  while (ledgers.some(({ missing }) => missing > 0) && performance.now() < deadline)
    await sleep(50);
  for (const { qos, missing, sent, received, again } of ledgers) {
    total.sent += sent;
    total.received += received;
    total.again += again;
    if (missing > 0) faults.push(`conversation ${n}: ${missing} of ${sent} lost at QoS ${qos}`);
  }
  await Promise.all([subscriber.endAsync(), publisher.endAsync()]);
}
const total = { sent: 0, received: 0, again: 0 };

/** Clients that connect, subscribe, publish a little and vanish; some share a client identifier. */
async function churn(n: number): Promise<void> {
  for (let turn = 0; !isOver(); turn++) {
    const id = turn % 3 === 0 ? "soak-shared" : `soak-churn-${n}-${turn % 500}`;
    const visitor = mqtt.connect(address!, {
      clientId: id,
      clean: turn % 2 === 0,
      reconnectPeriod: 0,
      will: { topic: "soak/wills", payload: Buffer.from("x"), qos: 1, retain: turn % 5 === 0 },
    });
    visitor.on("error", () => {});
    const ready = new Promise((done) => visitor.once("connect", done));
    const closed = new Promise<void>((done) => visitor.once("close", () => done()));
    await Promise.race([ready, closed]);
    visitor.subscribe(["soak/+/1", `soak/churn/${turn % 1000}`, "$SYS/#"], { qos: 1 });
    visitor.publish(`soak/churn/${turn % 1000}`, "x".repeat(turn % 2000), {
      qos: 1,
      retain: turn % 7 === 0,
    });
    await sleep(30 + (turn % 50));
    if (turn % 2 === 0) visitor.stream.destroy();
    else visitor.end(true);
  }
}

/** Clients that subscribe and then read nothing until they are closed. */
async function frozen(n: number): Promise<void> {
  while (!isOver()) {
    await new Promise<void>((done) => {
      const socket: Socket = connectTcp({ host: "127.0.0.1", port });
      socket.write(connectPacket(`soak-frozen-${n}`));
      socket.write(subscribePacket("flood", 0));
      socket.once("data", () => socket.pause());
      socket.on("error", () => {});
      const timer = setTimeout(() => socket.destroy(), 8000);
      socket.on("close", () => {
        clearTimeout(timer);
        done();
      });
    });
  }
}

/** Messages for the frozen clients. */
async function flood(): Promise<void> {
  const publisher = client("soak-flood", true);
  while (!isOver()) {
    if (publisher.connected) publisher.publish("flood", Buffer.alloc(100_000), { qos: 0 });
    await sleep(2);
  }
  await publisher.endAsync();
}

/** A client that always uses new topics and keeps changing its filters. */
async function wanderer(): Promise<void> {
  let n = 0;
  const socket = await ready(port, "soak-wanderer", "wander/known", 0, () => {});
  while (!isOver()) {
    const packets: Buffer[] = [subscribePacket(`wander/+/${n % 5000}/#`, 0)];
    for (let i = 0; i < 200; i++) {
      packets.push(publishPacket(`wander/${n % 7}/${n++}/x`, Buffer.alloc(8), 0, 0));
    }
    packets.push(unsubscribePacket(`wander/+/${(n - 200) % 5000}/#`));
    socket.write(Buffer.concat(packets));
    await sleep(10);
  }
  socket.destroy();
  wandered = n;
}
let wandered = 0;

const samples: number[] = [];
async function watch(): Promise<void> {
  while (!isOver()) {
    samples.push(rssBytes(broker.pid!));
    const left = Math.max(0, Math.round((endAt - performance.now()) / 1000));
    process.stderr.write(`${left} s left, ${(samples.at(-1)! / 2 ** 20).toFixed(0)} MB   \r`);
    await sleep(1000);
  }
}

await Promise.all([
  ...Array.from({ length: 10 }, (_, n) => conversation(n)),
  ...Array.from({ length: 6 }, (_, n) => churn(n)),
  ...Array.from({ length: 3 }, (_, n) => frozen(n)),
  flood(),
  wanderer(),
  watch(),
]);

const reader = client("soak-reader", true);
const sys = new Map<string, string>();
reader.on("message", (topic, payload) => sys.set(topic.slice(12), payload.toString()));
await reader.subscribeAsync("$SYS/#");
// After a minute the other sessions have expired, and only the reader's is left.
await sleep(75_000);
const number = (name: string): number => Number(sys.get(name));
if (number("clients/connected") !== 1) faults.push(`connected: ${sys.get("clients/connected")}`);
if (number("clients/total") !== 1) faults.push(`sessions: ${sys.get("clients/total")}`);
if (number("subscriptions/count") !== 1) faults.push(`filters: ${sys.get("subscriptions/count")}`);
if (number("messages/stored") !== number("retained messages/count")) {
  faults.push(
    `stored ${sys.get("messages/stored")}, retained ${sys.get("retained messages/count")}`,
  );
}
await reader.endAsync();
// The first quarter warms up. Memory in the last quarter must not exceed that of the second.
const quarter = Math.floor(samples.length / 4);
const early = median(samples.slice(quarter, 2 * quarter));
const late = median(samples.slice(-quarter));
if (late > early * 1.2) faults.push("memory grew");
const megabytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(0)} MB`;
process.stdout.write(
  `codec ${sys.get("codec")}: ${wandered} topics; ${total.sent} sent at QoS 1 and 2, ${total.received} received, ${total.again} again at QoS 1; ` +
    `memory ${megabytes(early)} early, ${megabytes(late)} late; received ${sys.get("messages/received")} packets, ` +
    `dropped ${sys.get("publish/messages/dropped")}\n${faults.length === 0 ? "sound" : faults.slice(0, 20).join("\n")}\n`,
);
broker.kill("SIGKILL");
process.exit(faults.length === 0 ? 0 : 1);
