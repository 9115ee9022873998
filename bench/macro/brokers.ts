/**
 * Starts each broker: alone on its core, with limits high enough not to matter, and without
 * persistence unless its name says so.
 */
import type { ChildProcess } from "node:child_process";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { freePort, lineOf, startPinned } from "../lib/process.ts";
import type { Need } from "./scenarios.ts";

export interface RunningBroker {
  readonly child: ChildProcess;
  readonly pid: number;
  readonly port: number;
}

export const brokerNames = [
  ...(["mosquitto", "sansmq", "nats", "aedes", "relay"] as const),
  /** With a store: measured by `durable`, or if `--broker` names them. */
  ...(["sansmq-stored", "sansmq-discard", "mosquitto-stored"] as const),
  ...(["nats-synced", "aedes-level", "bare-sync"] as const),
  /** sansmq with `--record`: measured only if `--broker` names it. */ "sansmq-record",
  /** Another build of sansmq, in the folder SANSMQ_BEFORE: measured only if `--broker` names it. */
  "sansmq-before",
] as const;
export type BrokerName = (typeof brokerNames)[number];
/** The brokers that are measured unless `--broker` names others. */
export const usualBrokers: readonly BrokerName[] = [
  "mosquitto",
  "sansmq",
  "nats",
  "aedes",
  "relay",
];

/** The brokers of a comparison of stores. */
export const storedBrokers: readonly BrokerName[] = [
  ...(["mosquitto", "mosquitto-stored", "sansmq", "sansmq-stored", "sansmq-discard"] as const),
  ...(["nats", "nats-synced", "aedes", "aedes-level", "bare-sync"] as const),
];

/** What a PUBACK or PUBREC of each broker, configured as here, says about the message. */
export const promises: Readonly<Record<BrokerName, string>> = {
  mosquitto: "in memory",
  "mosquitto-stored": "in memory; a snapshot every 30 minutes and at the end",
  sansmq: "in memory",
  "sansmq-stored": "synced to the disk",
  "sansmq-discard": "journaled, and thrown away",
  "sansmq-record": "in memory",
  "sansmq-before": "",
  nats: "with the kernel; synced every two minutes",
  "nats-synced": "synced to the disk",
  aedes: "in memory",
  "aedes-level": "with the kernel, not synced",
  relay: "nothing",
  "bare-sync": "appended and synced to the disk, by a program that does no more",
};

/**
 * The needs that a broker cannot meet: bare-sync only acknowledges; the relay supports QoS 0 only; Debian's nats-server has
 * neither QoS 2 over MQTT nor 5.0; aedes has no 5.0.
 */
const unable: Readonly<Partial<Record<BrokerName, readonly Need[]>>> = {
  nats: ["five", "qos2"],
  "nats-synced": ["five", "qos2"],
  "bare-sync": ["five", "qos2", "wildcards", "sessions", "deliveries", "retained", "back-pressure"],
  relay: ["five", "qos1", "qos2", "wildcards", "sessions", "retained", "back-pressure"],
  aedes: ["five"],
  "aedes-level": ["five"],
};

export function isAble(broker: BrokerName, needs: readonly Need[]): boolean {
  return !needs.some((need) => unable[broker]?.includes(need) === true);
}

export interface StartOptions {
  readonly core: number | null;
  /** The runtime for the brokers in JavaScript, and its flags. */
  readonly runtime: readonly string[];
}

/** Starts a broker and resolves once it serves. */
export async function startBroker(name: BrokerName, options: StartOptions): Promise<RunningBroker> {
  const port = await freePort();
  const script = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
  const command = (main: string, ...flags: string[]): string[] => [
    ...options.runtime,
    main,
    ...["--port", String(port), "--no-ws", "--log-level", "error", ...flags],
  ];
  const sansmq = (...flags: string[]): string[] =>
    command(script("../../adapters/cli/main.js"), ...flags);
  const memory = ["--store", "memory"];
  const program = (path: string, ...args: string[]): string[] => [
    ...[...options.runtime, script(path), String(port)],
    ...args,
  ];
  const commands: Record<BrokerName, () => string[]> = {
    mosquitto: () => ["mosquitto", "-c", mosquittoConfig(port, null)],
    "mosquitto-stored": () => ["mosquitto", "-c", mosquittoConfig(port, newFolder())],
    sansmq: () => sansmq(...memory),
    "sansmq-stored": () => sansmq("--store", newFolder()),
    "sansmq-discard": () => program("./discard.js"),
    "sansmq-record": () =>
      // One file for all runs, with the highest bound: input beyond the bound is not recorded.
      sansmq(
        ...memory,
        ...["--record", join(tmpdir(), "sansmq-bench.record"), "--record-keep", "0"],
        ...["--record-max-bytes", String(2 ** 31)],
      ),
    "sansmq-before": () => {
      const folder = process.env["SANSMQ_BEFORE"];
      if (folder === undefined) throw new Error("sansmq-before needs SANSMQ_BEFORE=FOLDER");
      return command(join(folder, "dist/adapters/cli/main.js"));
    },
    nats: () => ["nats-server", "-c", natsConfig(port, [])],
    "nats-synced": () => ["nats-server", "-c", natsConfig(port, ["sync_interval: always"])],
    aedes: () => program("./aedes.js"),
    "aedes-level": () => program("./aedes.js", newFolder()),
    relay: () => program("./relay.js"),
    "bare-sync": () => program("./bare-sync.js", newFolder()),
  };
  const serves: Partial<Record<BrokerName, RegExp>> = {
    mosquitto: /running/,
    "mosquitto-stored": /running/,
    nats: /Server is ready/,
    "nats-synced": /Server is ready/,
  };
  const child = startPinned(commands[name](), options.core);
  await lineOf(child, serves[name] ?? /listening/);
  return { child, pid: child.pid!, port };
}

function configFile(name: string, lines: readonly string[]): string {
  const path = join(mkdtempSync(join(tmpdir(), "bench-")), name);
  writeFileSync(path, `${lines.join("\n")}\n`);
  return path;
}

/** A folder for a store. TMPDIR chooses the file system. */
function newFolder(): string {
  return mkdtempSync(join(tmpdir(), "bench-store-"));
}

/** `folder`: where it keeps its snapshots; null: it keeps none. */
function mosquittoConfig(port: number, folder: string | null): string {
  return configFile("mosquitto.conf", [
    `listener ${port} 127.0.0.1`,
    "allow_anonymous true",
    ...(folder === null
      ? ["persistence false"]
      : ["persistence true", `persistence_location ${folder}/`]),
    "set_tcp_nodelay true",
    "max_queued_messages 0",
    "max_inflight_messages 20",
    "connection_messages false",
    "log_type notice",
    "log_type information",
    // Started as root, mosquitto would switch to a user that may not exist.
    "user root",
  ]);
}

/** The MQTT listener of NATS needs JetStream, which gets a folder of its own. */
function natsConfig(port: number, streaming: readonly string[]): string {
  return configFile("nats.conf", [
    "server_name: bench",
    "listen: 127.0.0.1:-1",
    `jetstream: { ${[`store_dir: "${newFolder()}"`, ...streaming].join(", ")} }`,
    `mqtt: { listen: "127.0.0.1:${port}" }`,
  ]);
}
