#!/usr/bin/env node
/** The `sansmq` command. Exit codes: 0 stopped in order, 1 cannot serve, 2 wrongly configured. */
import { ConfigError } from "../../core/mod.ts";
import type { BrokerOptions, BrokerServer } from "../broker-server.ts";
import { version } from "../version.ts";
import type { Given, Settings } from "./arguments.ts";
import { CommanderError, parseArguments, resolveSettings } from "./arguments.ts";
import { readConfigFile } from "./config-file.ts";
import { createLog, logEvents } from "./log.ts";
import { stopOnSignals } from "./signals.ts";

async function main(): Promise<void> {
  if (isNode) (await import("./heap.ts")).keepHeapSmall();
  const settings = readSettings();
  const log = createLog(settings.logLevel);
  const { createBroker } = await runtimeModule();
  let broker: BrokerServer;
  try {
    broker = await createBroker(optionsOf(settings));
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    fail(1, `cannot listen: ${error instanceof Error ? error.message : String(error)}`);
  }
  logEvents(broker, log);
  stopOnSignals(broker, log);
  log.info("serving", { version, codec: broker.codec, addresses: broker.addresses });
  process.stdout.write(`sansmq listening ${broker.addresses.join(" ")}\n`);
}

/** The adapter of the runtime that runs this. */
function runtimeModule(): Promise<{
  createBroker(options: BrokerOptions): Promise<BrokerServer>;
}> {
  if ("Deno" in globalThis) return import("../deno/mod.ts");
  if ("Bun" in globalThis) return import("../bun/mod.ts");
  return import("../node/mod.ts");
}

const isNode = !("Deno" in globalThis) && !("Bun" in globalThis);

function readSettings(): Settings {
  let given: Given;
  try {
    given = parseArguments(process.argv.slice(2), version);
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    // Help and version end this way too.
    if (error.exitCode === 0) process.exit(0);
    fail(2, `${error.message.replace(/^error: /, "").replaceAll("\n", " ")}; see sansmq --help`);
  }
  return resolveSettings(given, given.configFile === null ? {} : readConfigFile(given.configFile));
}

function optionsOf(settings: Settings): BrokerOptions {
  const { host, port, ws, wsPort, wsPath, username, password } = settings;
  const { allowAnonymous, codec, limits, responseInformation, serverReference } = settings;
  return {
    tcp: { host, port },
    ws: ws && { host, port: wsPort, path: wsPath },
    limits,
    codec,
    ...(username === null ? {} : { users: { [username]: password! } }),
    ...(allowAnonymous ? { allowAnonymous } : {}),
    ...(responseInformation === null ? {} : { responseInformation }),
    ...(serverReference === null ? {} : { serverReference }),
  };
}

/** One line that says what is wrong, and the end. */
function fail(exitCode: number, message: string): never {
  process.stderr.write(`sansmq: ${message}\n`);
  process.exit(exitCode);
}

main().catch((error: unknown) => {
  if (error instanceof ConfigError) fail(2, error.message);
  throw error;
});
