/**
 * The command line: one flag per option and one per limit, and a configuration file of the same names.
 *
 * The flag of a limit is its name in kebab case. If the name ends in Max, the flag begins with `--max-` instead:
 * `packetBytesMax` is `--max-packet-bytes`, `sysMillis` is `--sys-millis`.
 */
import { Command, CommanderError, Option } from "commander";
import type { CodecKind } from "../../codec-wasm/mod.ts";
import { codecKinds } from "../../codec-wasm/mod.ts";
import type { DurabilityRule, LimitName, Limits } from "../../core/mod.ts";
import {
  ConfigError,
  limitNames,
  limitTable,
  nearest,
  parseLimit,
  parseLimits,
  unknownName,
} from "../../core/mod.ts";
import { checkText } from "../checks.ts";
import { checkedDurability } from "../durability.ts";
import { hostsOf, isLoopback, LOCALHOST } from "../hosts.ts";
import { PATH } from "../listen.ts";
import { recordBytesMax } from "../record/options.ts";
import { TrustedProxies } from "../trusted-proxies.ts";
import { WebSocketPaths } from "../websocket-paths.ts";
import { LOG_LEVELS, type LogLevel } from "./log.ts";

/** The settings of the command, complete and checked. */
export interface Settings {
  readonly host: string | readonly string[];
  readonly port: number;
  readonly wsPort: number;
  readonly wsPath: string | readonly string[];
  /** False: no WebSocket listener. */
  readonly ws: boolean;
  /** The reverse proxies whose `X-Forwarded-For` and `Forwarded` headers are trusted. */
  readonly trustedProxies: string | readonly string[];
  readonly username: string | null;
  readonly password: string | null;
  readonly allowAnonymous: boolean;
  readonly codec: CodecKind;
  readonly responseInformation: string | null;
  readonly serverReference: string | null;
  readonly logLevel: LogLevel;
  /** The folder of the store; null: the default folder. `memory`: nothing survives the process. */
  readonly store: string | null;
  /** When messages are acknowledged, by topic. */
  readonly durability: readonly DurabilityRule[];
  /** The file in which all input is recorded; null: no recording. */
  readonly record: string | null;
  readonly recordMaxBytes: number;
  /** How many recordings of earlier runs are kept. */
  readonly recordKeep: number;
  readonly recordPayloads: boolean;
  readonly limits: Readonly<Partial<Record<LimitName, number>>>;
}

/** Flags as given, unchecked: name → text, or true for a flag without a value. */
export interface Given {
  readonly values: Readonly<Record<string, unknown>>;
  readonly configFile: string | null;
}

/** Prints help or the version and exits, or returns the flags. Throws CommanderError for a bad flag. */
export function parseArguments(argv: readonly string[], version: string): Given {
  const command = newCommand("sansmq", version);
  command
    .description("An MQTT broker for MQTT 3.1, 3.1.1 and 5.0, over TCP and WebSocket.")
    .usage(
      "[options]\n       sansmq replay [options] <file>\n       sansmq store <command> <folder>",
    );
  for (const { flags, help, isRepeatable = false } of optionTable) {
    const option = new Option(flags, help);
    if (isRepeatable) option.argParser(appended);
    command.addOption(option);
  }
  command.optionsGroup("Limits:");
  for (const name of limitNames) {
    const { unit, default: value, help: meaning } = limitTable[name];
    const help = `${meaning} (${unit}; default: ${value})`;
    command.addOption(new Option(`${limitFlag(name)} <n>`, help));
  }
  command.parse(argv, { from: "user" });
  const { config, ...values } = command.opts<Record<string, unknown>>();
  return {
    values: byLimitName(values),
    configFile: (config as string | undefined) ?? null,
  };
}

/** The arguments of `sansmq replay`. */
export interface ReplayArguments {
  readonly file: string;
  /** Null: to the end. */
  readonly until: number | null;
  readonly inspect: boolean;
}

/** Like `parseArguments`, for the arguments after `sansmq replay`. */
export function parseReplayArguments(argv: readonly string[], version: string): ReplayArguments {
  const command = newCommand("sansmq replay", version)
    .description("Runs the broker again on a recording and reports whether its output is the same.")
    .argument("<file>", "a recording made with --record")
    .option("--until <n>", "stop after this many steps")
    .option("--inspect", "print the state of the broker after the last step as JSON");
  command.parse(argv, { from: "user" });
  const { until, inspect = false } = command.opts<{ until?: string; inspect?: boolean }>();
  return {
    file: command.args[0]!,
    until: until === undefined ? null : whole(until, "--until", 0, Number.MAX_SAFE_INTEGER),
    inspect,
  };
}

/** A command that throws CommanderError instead of ending the process. */
export function newCommand(name: string, version: string): Command {
  return (
    new Command(name)
      .version(version, "--version", "print the version")
      .helpOption("--help", "print this help")
      .configureHelp({ helpWidth: 100, showGlobalOptions: false })
      .exitOverride()
      // Commander would read the environment to decide about colours, for which Deno asks permission.
      .configureOutput({
        writeErr: () => {},
        getOutHasColors: () => false,
        getErrHasColors: () => false,
      })
      .allowExcessArguments(false)
  );
}

/**
 * Checks all settings, also those of the file that flags override. Flags take precedence over the file, and the file over the
 * defaults. `file` has JSON values; its limits have the names of the flags (`maxPacketBytes`) or of the library
 * (`packetBytesMax`). Throws ConfigError.
 */
export function resolveSettings(given: Given, file: Readonly<Record<string, unknown>>): Settings {
  for (const name of Object.keys(file)) {
    if (!isSetting(name)) throw unknownSetting(name, file[name]);
  }
  const limits: Partial<Record<LimitName, number>> = {};
  for (const [field, value] of Object.entries(file)) {
    const name = limitOf(field);
    if (name !== null) limits[name] = parseLimit(name, value, field);
  }
  for (const name of limitNames) {
    const flag = given.values[name];
    if (flag !== undefined) limits[name] = parseLimit(name, numberOf(flag), limitFlag(name));
  }
  const fieldOf = (name: string): string =>
    given.values[name] === undefined ? name : `--${kebabCase(name)}`;
  const inFile = <T>(name: string, fallback: T, check: Check<T>): T =>
    file[name] === undefined ? fallback : check(file[name], name);
  // The file is checked also where a flag takes precedence: it is wrong for the next start without the flag.
  const read = <T>(name: string, fallback: T, check: Check<T>): T => {
    const value = inFile(name, fallback, check);
    return given.values[name] === undefined ? value : check(given.values[name], fieldOf(name));
  };
  // Commander sets ws: false for the flag `--no-ws`, and ws: true without it.
  const unlessOff = (name: string): boolean =>
    inFile(name, true, truth) && given.values[name] !== false;
  const settings: Settings = {
    host: read<Settings["host"]>("host", LOCALHOST, hosts),
    port: read("port", 1883, port),
    wsPort: read("wsPort", 8083, port),
    wsPath: read<Settings["wsPath"]>("wsPath", PATH, paths),
    ws: unlessOff("ws"),
    trustedProxies: read<Settings["trustedProxies"]>("trustedProxies", [], proxies),
    username: read<string | null>("username", null, text),
    password: read<string | null>("password", null, text),
    allowAnonymous: read("allowAnonymous", false, truth),
    codec: read<CodecKind>("codec", "auto", codecKind),
    responseInformation: read<string | null>("responseInformation", null, text),
    serverReference: read<string | null>("serverReference", null, text),
    logLevel: read("logLevel", "info", logLevel),
    store: read<string | null>("store", null, text),
    durability: read<Settings["durability"]>("durability", [], (value, field) =>
      durabilityRules(value, field, parseLimits(limits)),
    ),
    record: read<string | null>("record", null, text),
    recordMaxBytes: read("recordMaxBytes", recordBytesMax.default, (value, field) =>
      whole(value, field, recordBytesMax.min, recordBytesMax.max),
    ),
    recordKeep: read("recordKeep", 3, (value, field) => whole(value, field, 0, 1000)),
    recordPayloads: unlessOff("recordPayloads"),
    limits,
  };
  if ((settings.username === null) !== (settings.password === null)) {
    const [missing, other] =
      settings.username === null ? ["username", "password"] : ["password", "username"];
    const isFlag = given.values[other!] !== undefined;
    const field = isFlag ? `--${missing}` : missing!;
    const message = `${field}: missing; ${fieldOf(other!)} needs it`;
    throw new ConfigError(field, null, "a string", message);
  }
  const { username, allowAnonymous } = settings;
  if (username === null && !allowAnonymous) {
    const exposed = hostsOf(settings.host, "host").find(({ address }) => !isLoopback(address));
    if (exposed !== undefined)
      throw new ConfigError(fieldOf("host"), exposed.address, LOOPBACK_ONLY);
  }
  return settings;
}

/** Checks the value of a setting, which errors name by `field`. */
type Check<T> = (value: unknown, field: string) => T;

export { CommanderError };

/** The value of `--store` for a broker that keeps nothing. */
export const MEMORY = "memory";

const optionTable: readonly {
  readonly flags: string;
  readonly help: string;
  readonly isRepeatable?: boolean;
}[] = [
  {
    flags: "--host <address>",
    help: "address to listen on; repeat it or separate addresses by commas to listen on several (default: localhost, which is 127.0.0.1 and ::1)",
    isRepeatable: true,
  },
  { flags: "--port <n>", help: "TCP port; 0 picks a free one (default: 1883)" },
  { flags: "--ws-port <n>", help: "WebSocket port; 0 picks a free one (default: 8083)" },
  {
    flags: "--ws-path <path>",
    help: `path of the WebSocket endpoint; repeat it for several; /sub/* matches /sub and all paths below it, /* matches every path (default: ${PATH})`,
    isRepeatable: true,
  },
  { flags: "--no-ws", help: "do not listen for WebSocket connections" },
  {
    flags: "--trusted-proxies <addresses>",
    help: "reverse proxies whose X-Forwarded-For and Forwarded headers are trusted, such as 127.0.0.1 or 10.0.0.0/8",
    isRepeatable: true,
  },
  { flags: "--username <name>", help: "accept only clients with this user name and --password" },
  {
    flags: "--password <text>",
    help: "the password for --username; other users of this machine can see it, so prefer --config",
  },
  {
    flags: "--allow-anonymous",
    help: "accept clients without a user name, also from other machines",
  },
  {
    flags: "--config <file>",
    help: "read settings from a JSON file; --ws-port is named wsPort there, and so on",
  },
  {
    flags: "--codec <kind>",
    help: `${codecKinds.join(", ")}: parse packets and match topics in WebAssembly or in TypeScript; auto takes the faster one (default: auto)`,
  },
  {
    flags: "--response-information <text>",
    help: "Response Information for MQTT 5.0 clients that request it, such as a topic prefix for responses",
  },
  {
    flags: "--server-reference <address>",
    help: "refuse all clients, and refer MQTT 5.0 clients to this server",
  },
  {
    flags: "--log-level <level>",
    help: `${LOG_LEVELS.join(", ")}: how much is logged to standard error (default: info)`,
  },
  {
    flags: "--store <folder>",
    help: "folder for everything that must survive a restart: sessions, queued and retained messages; memory keeps nothing (default: $STATE_DIRECTORY, or sansmq in the state folder of the user)",
  },
  {
    flags: "--durability <rule>",
    help: "FILTER=received: acknowledge messages to these topics at once, without waiting for the store; FILTER=stored: wait. Repeat it for several; the first rule that matches a topic applies (default: all topics are stored)",
    isRepeatable: true,
  },
  {
    flags: "--record <file>",
    help: "record all input of the broker in this file, without passwords, for sansmq replay",
  },
  {
    flags: "--record-max-bytes <n>",
    help: `stop recording at this size; the broker keeps running (default: ${recordBytesMax.default})`,
  },
  {
    flags: "--record-keep <n>",
    help: "recordings of earlier runs to keep, named <file>.1 and so on (default: 3)",
  },
  { flags: "--no-record-payloads", help: "leave message payloads out of the recording" },
];

const LOOPBACK_ONLY =
  "a loopback address, or any address with --username and --password or with --allow-anonymous";

const settingNames: ReadonlySet<string> = new Set([
  "host",
  "port",
  "wsPort",
  "wsPath",
  "ws",
  "trustedProxies",
  "username",
  "password",
  "allowAnonymous",
  "codec",
  "responseInformation",
  "serverReference",
  "logLevel",
  "store",
  "durability",
  "record",
  "recordMaxBytes",
  "recordKeep",
  "recordPayloads",
]);

function unknownSetting(name: string, value: unknown): ConfigError {
  const known = [...settingNames, ...limitByFlag.keys(), ...limitNames];
  const advice = nearest(name, known) === null ? "sansmq --help lists all settings" : null;
  return unknownName("", name, value, known, advice);
}

function isSetting(name: string): boolean {
  return settingNames.has(name) || limitOf(name) !== null;
}

/** The limit that is named like its flag or as in the table; null: none is. */
function limitOf(name: string): LimitName | null {
  if (Object.hasOwn(limitTable, name)) return name as LimitName;
  return limitByFlag.get(name) ?? null;
}

/** Renames limits that are named like their flags to the names in the table. */
function byLimitName(values: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const named = Object.entries(values).map(([key, value]) => [limitOf(key) ?? key, value]);
  return Object.fromEntries(named) as Record<string, unknown>;
}

function limitFlag(name: LimitName): string {
  return name.endsWith("Max") ? `--max-${kebabCase(name.slice(0, -3))}` : `--${kebabCase(name)}`;
}

function kebabCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

function camelCase(flag: string): string {
  return flag.slice(2).replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase());
}

/** Limit by its flag in camel case. */
const limitByFlag: ReadonlyMap<string, LimitName> = new Map(
  limitNames.map((name) => [camelCase(limitFlag(name)), name]),
);

/** Converts a text that is a number; returns any other value as it is, so that the check can name it. */
function numberOf(value: unknown): unknown {
  return typeof value === "string" && /^-?\d+(\.\d+)?$/.test(value) ? Number(value) : value;
}

function appended(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value];
}

function hosts(value: unknown, field: string): Settings["host"] {
  hostsOf(value, field);
  return value as Settings["host"];
}

function text(value: unknown, field: string): string {
  if (typeof value !== "string" || value === "") {
    throw new ConfigError(field, value, "a string that is not empty");
  }
  checkText(field, value);
  return value;
}

function port(value: unknown, field: string): number {
  return whole(value, field, 0, 65_535);
}

function whole(value: unknown, field: string, min: number, max: number): number {
  const number = numberOf(value);
  if (typeof number !== "number" || !Number.isInteger(number) || number < min || number > max) {
    throw new ConfigError(field, value, `a whole number from ${min} to ${max}`);
  }
  return number;
}

function paths(value: unknown, field: string): Settings["wsPath"] {
  return new WebSocketPaths(field, value).given;
}

function proxies(value: unknown, field: string): Settings["trustedProxies"] {
  // The constructor checks them.
  new TrustedProxies(field, value);
  return value as Settings["trustedProxies"];
}

/** Rules in the file are objects. A flag is `FILTER=stored` or `FILTER=received`. */
function durabilityRules(value: unknown, field: string, limits: Limits): Settings["durability"] {
  if (!field.startsWith("--")) return checkedDurability(field, value, limits);
  return (value as readonly string[]).map((rule) => {
    const at = rule.lastIndexOf("=");
    const [filter, acknowledge] = [rule.slice(0, Math.max(0, at)), rule.slice(at + 1)];
    try {
      return checkedDurability(field, [{ filter, acknowledge }], limits)[0]!;
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      throw new ConfigError(field, rule, "FILTER=stored or FILTER=received");
    }
  });
}

function truth(value: unknown, field: string): boolean {
  if (typeof value !== "boolean") throw new ConfigError(field, value, "true or false");
  return value;
}

function codecKind(value: unknown, field: string): CodecKind {
  const kind = codecKinds.find((known) => known === value);
  if (kind === undefined) throw new ConfigError(field, value, `one of ${codecKinds.join(", ")}`);
  return kind;
}

function logLevel(value: unknown, field: string): LogLevel {
  const level = LOG_LEVELS.find((known) => known === value);
  if (level === undefined) throw new ConfigError(field, value, `one of ${LOG_LEVELS.join(", ")}`);
  return level;
}
