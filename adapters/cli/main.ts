#!/usr/bin/env node
/**
 * The `sansmq` command. Exit codes: 0 stopped by a signal, 1 cannot listen, a replay differs or a store is damaged,
 * 2 wrong configuration.
 */
import { ConfigError } from "../../core/mod.ts";
import type { BrokerOptions } from "../broker-options.ts";
import type { BrokerServer } from "../broker-server.ts";
import { hostsOf } from "../hosts.ts";
import { bracketed } from "../peer-address.ts";
import type { RecordingEnd } from "../record/mod.ts";
import type { Store } from "../storage/store.ts";
import { version } from "../version.ts";
import type { Given, ReplayArguments, Settings } from "./arguments.ts";
import {
  CommanderError,
  MEMORY,
  parseArguments,
  parseReplayArguments,
  resolveSettings,
} from "./arguments.ts";
import { readConfigFile } from "./config-file.ts";
import { createLog, type Log } from "./log.ts";
import { logEvents, logRecording, logRecovery } from "./log-events.ts";
import { oneLine } from "./one-line.ts";
import { stopOnSignals } from "./signals.ts";

async function main(): Promise<void> {
  if (process.argv[2] === "replay") {
    const { replayFile } = await import("./replay.ts");
    process.exitCode = replayFile(readReplayArguments());
    return;
  }
  if (process.argv[2] === "store") {
    process.exitCode = await storeCommand();
    return;
  }
  if (isNode) (await import("./heap.ts")).keepHeapSmall();
  const settings = readSettings();
  const log = createLog(settings.logLevel);
  const { createBroker } = await runtimeModule();
  const recording = await recordingOf(settings, log);
  const folder = settings.store === MEMORY ? null : await storeFolder(settings).catch(failStore);
  const store = folder === null ? null : await storeIn(folder).catch(failStore);
  let broker: BrokerServer;
  try {
    broker = await createBroker({
      ...optionsOf(settings),
      ...recording?.options,
      ...(store === null ? {} : { store }),
    });
  } catch (error) {
    await store?.close();
    if (error instanceof ConfigError) throw error;
    fail(1, `cannot listen: ${oneLine(error)}`);
  }
  recording?.begin();
  // An uncaught error ends the turn before its events are logged. Before the listeners, which then tell what they left out.
  log.beforeEnd(() => broker.emitHeldEvents());
  logEvents(broker, log);
  stopOnSignals(broker, log);
  // This includes uncaught errors, which recordings are made for.
  process.on("exit", () => broker.endRecording());
  // Deno emits no "exit" after an uncaught error.
  if ("Deno" in globalThis) process.on("uncaughtExceptionMonitor", () => broker.endRecording());
  // `localhost` stands for both loopback addresses, and a machine without IPv6 has only one.
  for (const { address, isOptional } of hostsOf(settings.host, "host")) {
    const isServed = broker.addresses.some((served) => served.includes(`//${bracketed(address)}:`));
    if (isOptional && !isServed) log.debug("address not available on this machine", { address });
  }
  const { codec, addresses, recovered } = broker;
  log.info("serving", { version, codec, addresses, store: folder ?? MEMORY });
  if (recovered !== null) logRecovery(recovered, log);
  process.stdout.write(`sansmq listening ${addresses.join(" ")} store ${folder ?? MEMORY}\n`);
}

async function storeCommand(): Promise<number> {
  const { parseStoreArguments } = await import("./store/arguments.ts");
  const given = parsed((argv, ours) => parseStoreArguments(argv.slice(1), ours), "sansmq store");
  const { failureCode, runStore } = await import("./store/run.ts");
  return runStore(given).catch((error: unknown) => {
    if (isDenied(error)) fail(1, `store: needs ${DENO_PERMISSIONS}`);
    const code = failureCode(error);
    if (code !== null) fail(code, oneLine(error));
    throw error;
  });
}

async function storeFolder({ store }: Settings): Promise<string> {
  const { resolve } = await import("node:path");
  const { defaultStore } = await import("./default-store.ts");
  return resolve(store ?? defaultStore());
}

async function storeIn(folder: string): Promise<Store> {
  // Loaded only when it is used, so that other starts do not wait for it.
  const { openLmdbStore } = await import("../storage/folder/lmdb-store.ts");
  return openLmdbStore(folder);
}

function failStore(error: unknown): never {
  if (isDenied(error)) fail(1, `store: needs ${DENO_PERMISSIONS}, or choose --store memory`);
  if (error instanceof ConfigError) fail(1, `${error.message}; see --store`);
  fail(1, `store: cannot be opened: ${oneLine(error)}`);
}

function isDenied(error: unknown): boolean {
  return error instanceof Error && error.name === "NotCapable";
}

const DENO_PERMISSIONS = "--allow-env --allow-read --allow-write --allow-ffi --allow-sys of Deno";

/** The adapter of the current runtime. */
function runtimeModule(): Promise<{
  createBroker(options: BrokerOptions): Promise<BrokerServer>;
}> {
  if ("Deno" in globalThis) return import("../deno/mod.ts");
  if ("Bun" in globalThis) return import("../bun/mod.ts");
  return import("../node/mod.ts");
}

const isNode = !("Deno" in globalThis) && !("Bun" in globalThis);

function readSettings(): Settings {
  const given: Given = parsed(parseArguments);
  return resolveSettings(given, given.configFile === null ? {} : readConfigFile(given.configFile));
}

function readReplayArguments(): ReplayArguments {
  return parsed((argv, ours) => parseReplayArguments(argv.slice(1), ours));
}

function parsed<T>(parse: (argv: readonly string[], version: string) => T, command = "sansmq"): T {
  try {
    return parse(process.argv.slice(2), version);
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    // Commander also throws after it has printed help or the version.
    if (error.exitCode === 0) process.exit(0);
    fail(2, `${argumentFault(error.message)}; see ${command} --help`);
  }
}

/** The message on one line. The value in one word with an unknown flag is left out, because it may be a password. */
function argumentFault(message: string): string {
  return message
    .replace(/^error: /, "")
    .replace(/\.$/, "")
    .replace(/^(unknown option '(?:--[^=']*|-[^-])).*?'(?=\n\(|$)/s, "$1'")
    .replaceAll("\n", " ");
}

/** Null: no recording. Call `begin` once the broker serves: a start that fails leaves earlier recordings as they are. */
async function recordingOf(
  settings: Settings,
  log: Log,
): Promise<{ readonly options: Pick<BrokerOptions, "record">; begin(): void } | null> {
  const { record, recordMaxBytes: bytesMax, recordKeep, recordPayloads: payloads } = settings;
  if (record === null) return null;
  // Loaded only when it is used, so that other starts do not wait for it.
  const { recordingFile } = await import("./record-file.ts");
  const { recorder } = await import("../record/mod.ts");
  const { sink, begin } = recordingFile(record, recordKeep);
  const handleEnd = (end: RecordingEnd): void => logRecording(end, log);
  return { options: { record: recorder({ sink, bytesMax, payloads, handleEnd }) }, begin };
}

function optionsOf(settings: Settings): BrokerOptions {
  const { host, port, ws, wsPort, wsPath, trustedProxies, username, password } = settings;
  const { allowAnonymous, codec, limits, durability, responseInformation, serverReference } =
    settings;
  return {
    tcp: { host, port },
    ws: ws && { host, port: wsPort, path: wsPath },
    trustedProxies,
    limits,
    durability,
    codec,
    ...(username === null ? {} : { users: { [username]: password! } }),
    ...(allowAnonymous ? { allowAnonymous } : {}),
    ...(responseInformation === null ? {} : { responseInformation }),
    ...(serverReference === null ? {} : { serverReference }),
  };
}

/** Prints an error on one line, and exits. */
function fail(exitCode: number, message: string): never {
  process.stderr.write(`sansmq: ${message}\n`);
  process.exit(exitCode);
}

main().catch((error: unknown) => {
  if (error instanceof ConfigError) fail(2, error.message);
  throw error;
});
