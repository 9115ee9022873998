/** The scenarios that are measured over real sockets, in numbers. */
import type { FlowParams } from "./flows.ts";

export type Scenario =
  | { readonly kind: "flow"; readonly flow: Omit<FlowParams, "port"> }
  | { readonly kind: "alone"; readonly qos: 1 }
  | { readonly kind: "sparse"; readonly pairs: number; readonly msgsPerSec: number }
  | { readonly kind: "connects"; readonly count: number; readonly atOnce: number }
  | { readonly kind: "reconnects"; readonly sessions: number; readonly queued: number }
  | { readonly kind: "idle"; readonly count: number }
  | { readonly kind: "retained"; readonly count: number; readonly subscribers: number }
  | {
      readonly kind: "paced";
      readonly subscribers: number;
      readonly frozen: number;
      readonly msgsPerSec: number;
    };

/** A feature that a scenario requires, apart from QoS 0 to subscribers of one exact filter. */
export type Need =
  | "five"
  | "qos1"
  | "qos2"
  | "wildcards"
  | "sessions"
  /** Messages reach subscribers. */
  | "deliveries"
  | "retained"
  | "back-pressure";

export interface NamedScenario {
  readonly title: string;
  readonly scenario: Scenario;
  readonly needs: readonly Need[];
}

/** The parameters of the load process. */
export interface LoadJob {
  readonly port: number;
  /** The process id of the broker. */
  readonly pid: number;
  readonly seconds: number;
  readonly scenario: Scenario;
}

/**
 * The results of the load process. `msgsPerSec` counts messages received, connects, or sessions
 * resumed.
 */
export interface LoadResult {
  readonly msgsPerSec: number;
  readonly p50Micros?: number;
  readonly p99Micros?: number;
  readonly p999Micros?: number;
  /** Processor time of the broker over elapsed time. */
  readonly cpuShare: number;
  /** The same for the load process: near 1, the load is the bottleneck. */
  readonly loadShare: number;
  readonly rssBytes: number;
}

function flow(
  title: string,
  given: Partial<FlowParams>,
  needs: readonly Need[] = [],
): NamedScenario {
  const usual = {
    publishers: 50,
    subscribers: 50,
    isPaired: true,
    qos: 0,
    payloadBytes: 16,
  } as const;
  const full = {
    ...usual,
    ...{ window: 1024, topics: 1, wildcards: 0, five: null, isKept: false },
    ...given,
  };
  return { title, scenario: { kind: "flow", flow: full }, needs: ["deliveries", ...needs] };
}

const fiveTitles = {
  empty: "no properties",
  identifier: "a subscription identifier",
  aliases: "topic aliases both ways",
} as const;

export const scenarios: Readonly<Record<string, NamedScenario>> = {
  "pairs-qos0": flow("50 pairs, QoS 0, 16 B", {}),
  "pairs-qos1": flow("50 pairs, QoS 1, 16 B", { qos: 1, window: 20 }, ["qos1"]),
  "pairs-qos2": flow("50 pairs, QoS 2, 16 B", { qos: 2, window: 20 }, ["qos2"]),
  "kept-qos1": flow(
    "50 pairs, QoS 1, 16 B, subscribers with kept sessions",
    { qos: 1, window: 20, isKept: true },
    ["qos1", "sessions"],
  ),
  "kept-qos2": flow(
    "50 pairs, QoS 2, 16 B, subscribers with kept sessions",
    { qos: 2, window: 20, isKept: true },
    ["qos2", "sessions"],
  ),
  alone: {
    title: "one message at a time at QoS 1: until its PUBACK",
    scenario: { kind: "alone", qos: 1 },
    needs: ["qos1"],
  },
  ...Object.fromEntries(
    (["empty", "identifier", "aliases"] as const).flatMap((five) =>
      ([0, 1] as const).map((qos) => [
        `five-${five}-qos${qos}`,
        flow(
          `50 pairs of 5.0, ${fiveTitles[five]}, QoS ${qos}, 16 B`,
          { five, qos, ...(qos === 1 ? { window: 20 } : {}) },
          ["five"],
        ),
      ]),
    ),
  ),
  "fan-in": flow("50 → 1, QoS 0, 16 B", { subscribers: 1, isPaired: false, window: 256 }),
  "fan-out": flow("1 → 100, QoS 0, 16 B", {
    ...{ publishers: 1, subscribers: 100, isPaired: false, window: 256 },
  }),
  "pairs-1k": flow("50 pairs, QoS 0, 1 KiB", { payloadBytes: 1024, window: 128 }),
  "pairs-64k": flow("10 pairs, QoS 0, 64 KiB", {
    ...{ publishers: 10, subscribers: 10, payloadBytes: 65_536, window: 8 },
  }),
  "pairs-256k": flow("10 pairs, QoS 0, 256 KiB", {
    ...{ publishers: 10, subscribers: 10, payloadBytes: 262_144, window: 4 },
  }),
  wildcards: flow(
    "50 pairs, 100 topics each, 10 000 wildcard filters",
    { topics: 100, window: 256, wildcards: 200 },
    ["wildcards"],
  ),
  "many-topics": flow(
    "10 pairs, 1 000 000 topics",
    { publishers: 10, subscribers: 10, topics: 100_000, window: 1000 },
    ["wildcards"],
  ),
  sparse: {
    title: "1000 pairs at 10 000/s",
    scenario: { kind: "sparse", pairs: 1000, msgsPerSec: 10_000 },
    needs: ["deliveries"],
  },
  paced: {
    title: "1 → 100 at 500/s",
    scenario: { kind: "paced", subscribers: 100, frozen: 0, msgsPerSec: 500 },
    needs: ["deliveries"],
  },
  frozen: {
    title: "1 → 100 at 500/s beside one that reads nothing",
    scenario: { kind: "paced", subscribers: 100, frozen: 1, msgsPerSec: 500 },
    needs: ["deliveries", "back-pressure"],
  },
  connects: {
    title: "5000 connects, 100 at once",
    scenario: { kind: "connects", count: 5000, atOnce: 100 },
    needs: ["deliveries"],
  },
  reconnects: {
    title: "2000 sessions come back to 10 messages each",
    scenario: { kind: "reconnects", sessions: 2000, queued: 10 },
    needs: ["deliveries", "sessions"],
  },
  retained: {
    title: "100 000 retained under one wildcard, to 5",
    scenario: { kind: "retained", count: 100_000, subscribers: 5 },
    needs: ["deliveries", "retained"],
  },
  idle: {
    title: "10 000 idle subscribers: memory",
    scenario: { kind: "idle", count: 10_000 },
    needs: ["deliveries"],
  },
};
