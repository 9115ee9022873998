/** The $SYS topics, by the names that mosquitto's users know, from counters. */
import type { Millis } from "../boundary.ts";
import type { CounterName } from "../observe/counters.ts";
import { Counter } from "../observe/counters.ts";

export class SysTopics {
  readonly #serverName: string;
  readonly #codecName: string;
  readonly #counters: Float64Array;
  /** What each topic said last: it is published when it says something else. */
  readonly #said = new Map<string, string>();
  readonly #loads: Load[] = [];
  #startedAt: Millis | null = null;
  #updatedAt = 0;

  constructor(serverName: string, codecName: string, counters: Float64Array) {
    this.#serverName = serverName;
    this.#codecName = codecName;
    this.#counters = counters;
    for (const [topic, counter] of loadCounters) {
      for (const minutes of [1, 5, 15]) {
        this.#loads.push({
          topic: `${topic}/${minutes}min`,
          counter,
          minutes,
          perMinute: 0,
          before: 0,
        });
      }
    }
  }

  /** Calls `publish` with each topic and value that is new since the last time. */
  update(now: Millis, publish: (topic: string, value: string) => void): void {
    const say = (name: string, value: string): void => {
      const topic = `$SYS/broker/${name}`;
      if (this.#said.get(topic) === value) return;
      this.#said.set(topic, value);
      publish(topic, value);
    };
    const seconds = this.#startedAt === null ? 0 : (now - this.#updatedAt) / 1000;
    this.#startedAt ??= now;
    this.#updatedAt = now;

    say("version", this.#serverName);
    say("codec", this.#codecName);
    say("uptime", `${Math.floor((now - this.#startedAt) / 1000)} seconds`);
    const count = (name: CounterName): number => this.#counters[Counter[name]]!;
    const away = count("sessions") - count("clientsConnected");
    say("clients/disconnected", String(away));
    say("clients/inactive", String(away));
    say("publish/messages/dropped", String(dropped.reduce((sum, name) => sum + count(name), 0)));
    for (const [name, counter] of plainTopics) say(name, String(count(counter)));
    if (seconds > 0) for (const load of this.#loads) say(load.topic, this.#average(load, seconds));
  }

  /** An exponential average of what the counter gained per minute. */
  #average(load: Load, seconds: number): string {
    const total = this.#counters[Counter[load.counter]]!;
    const perMinute = ((total - load.before) * 60) / seconds;
    load.before = total;
    const weight = Math.exp(-seconds / (60 * load.minutes));
    load.perMinute = perMinute + weight * (load.perMinute - perMinute);
    return load.perMinute.toFixed(2);
  }
}

interface Load {
  readonly topic: string;
  readonly counter: CounterName;
  readonly minutes: number;
  perMinute: number;
  /** The counter at the last update. */
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
  ["publish/messages/received", "publishesReceived"],
  ["publish/messages/sent", "publishesSent"],
  ["publish/bytes/received", "publishBytesReceived"],
  ["publish/bytes/sent", "publishBytesSent"],
  ["bytes/received", "bytesReceived"],
  ["bytes/sent", "bytesSent"],
  ["subscriptions/count", "subscriptions"],
  ["retained messages/count", "retainedMessages"],
];

const dropped: readonly CounterName[] = [
  "droppedSlowReader",
  "droppedQueueFull",
  "droppedNoMemory",
];

const loadCounters: readonly (readonly [string, CounterName])[] = [
  ["load/messages/received", "packetsReceived"],
  ["load/messages/sent", "packetsSent"],
  ["load/publish/received", "publishesReceived"],
  ["load/publish/sent", "publishesSent"],
  ["load/bytes/received", "bytesReceived"],
  ["load/bytes/sent", "bytesSent"],
  ["load/sockets", "connectionsOpened"],
  ["load/connections", "connectsAccepted"],
];
