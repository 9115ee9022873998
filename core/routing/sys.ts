/** The $SYS topics, computed from counters, with the topic names of mosquitto. */
import type { Millis } from "../boundary.ts";
import type { CounterName } from "../observe/counters.ts";
import { Counter } from "../observe/counters.ts";

export class SysTopics {
  readonly #serverName: string;
  readonly #codecName: string;
  readonly #counters: Float64Array;
  /** The last published value of each topic; a topic is published only when its value changes. */
  readonly #published = new Map<string, string>();
  readonly #loads: Load[] = [];
  #startedAt: Millis | null = null;
  #updatedAt = 0;
  #heapBytesMax = 0;

  constructor(serverName: string, codecName: string, counters: Float64Array) {
    this.#serverName = serverName;
    this.#codecName = codecName;
    this.#counters = counters;
    for (const [topic, summed] of loadCounters) {
      for (const minutes of [1, 5, 15]) {
        const name = `${topic}/${minutes}min`;
        this.#loads.push({ topic: name, counters: summed, minutes, perMinute: 0, before: 0 });
      }
    }
  }

  /** Calls `publish` for each topic whose value has changed since the last update. */
  update(now: Millis, publish: (topic: string, value: string) => void): void {
    const update = (name: string, value: string): void => {
      const topic = `$SYS/broker/${name}`;
      if (this.#published.get(topic) === value) return;
      this.#published.set(topic, value);
      publish(topic, value);
    };
    const seconds = this.#startedAt === null ? 0 : (now - this.#updatedAt) / 1000;
    this.#startedAt ??= now;
    this.#updatedAt = now;

    update("version", this.#serverName);
    update("codec", this.#codecName);
    update("uptime", `${Math.floor((now - this.#startedAt) / 1000)} seconds`);
    const count = (name: CounterName): number => this.#counters[Counter[name]]!;
    const disconnected = count("sessions") - count("clientsConnected");
    update("clients/disconnected", String(disconnected));
    update("clients/inactive", String(disconnected));
    update("publish/messages/dropped", String(this.#sum(droppedCounters)));
    // Like mosquitto, which counts members of shared subscriptions separately.
    update("subscriptions/count", String(count("subscriptions") - count("sharedMembers")));
    update("shared_subscriptions/count", String(count("sharedMembers")));
    const heapBytes = count("hostMemoryBytes") || this.#sum(memoryCounters);
    this.#heapBytesMax = Math.max(this.#heapBytesMax, heapBytes);
    update("heap/current", String(heapBytes));
    update("heap/maximum", String(this.#heapBytesMax));
    for (const [name, counter] of plainTopics) update(name, String(count(counter)));
    for (const load of this.#loads) update(load.topic, this.#average(load, seconds));
  }

  #sum(names: readonly CounterName[]): number {
    return names.reduce((sum, name) => sum + this.#counters[Counter[name]]!, 0);
  }

  /** An exponential average of the counters' gain per minute; the last update was `seconds` ago. */
  #average(load: Load, seconds: number): string {
    if (seconds === 0) return load.perMinute.toFixed(2);
    const total = this.#sum(load.counters);
    const perMinute = ((total - load.before) * 60) / seconds;
    load.before = total;
    const weight = Math.exp(-seconds / (60 * load.minutes));
    load.perMinute = perMinute + weight * (load.perMinute - perMinute);
    return load.perMinute.toFixed(2);
  }
}

interface Load {
  readonly topic: string;
  readonly counters: readonly CounterName[];
  readonly minutes: number;
  perMinute: number;
  /** The sum of the counters at the last update. */
  before: number;
}

const plainTopics: readonly (readonly [string, CounterName])[] = [
  ["clients/connected", "clientsConnected"],
  ["clients/active", "clientsConnected"],
  ["clients/total", "sessions"],
  ["clients/maximum", "clientsMaximum"],
  ["clients/expired", "sessionsExpired"],
  ["messages/received", "packetsReceived"],
  ["messages/sent", "packetsSent"],
  ["messages/stored", "messages"],
  ["messages/inflight", "inflight"],
  ["store/messages/count", "messages"],
  ["store/messages/bytes", "messageBytes"],
  ["store/full", "storeFull"],
  ["store/commits/stored", "commits"],
  ["store/commits/failed", "commitsFailed"],
  ["publish/messages/received", "publishesReceived"],
  ["publish/messages/sent", "publishesSent"],
  ["publish/messages/acknowledged/stored", "acknowledgedStored"],
  ["publish/messages/acknowledged/received", "acknowledgedReceived"],
  ["publish/bytes/received", "publishBytesReceived"],
  ["publish/bytes/sent", "publishBytesSent"],
  ["bytes/received", "bytesReceived"],
  ["bytes/sent", "bytesSent"],
  ["retained messages/count", "retainedMessages"],
];

const droppedCounters: readonly CounterName[] = [
  "droppedSlowReader",
  "droppedQueueFull",
  "droppedNoMemory",
  "droppedStoreFull",
  "droppedLost",
];

/** The memory that the broker counts itself, for a host that does not report its memory. */
const memoryCounters: readonly CounterName[] = ["messageBytes", "inputBytes"];

const loadCounters: readonly (readonly [string, readonly CounterName[]])[] = [
  ["load/messages/received", ["packetsReceived"]],
  ["load/messages/sent", ["packetsSent"]],
  ["load/publish/dropped", droppedCounters],
  ["load/publish/received", ["publishesReceived"]],
  ["load/publish/sent", ["publishesSent"]],
  ["load/bytes/received", ["bytesReceived"]],
  ["load/bytes/sent", ["bytesSent"]],
  ["load/sockets", ["connectionsOpened"]],
  ["load/connections", ["connectsAccepted"]],
];
