/** Brokers on other runtimes, each in a process of its own. */
import { execFile, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe } from "vitest";
import { needs } from "./needs.ts";
import { nodeCommand, nodeMajors } from "./nodes.mjs";

/** How each runtime is started: with the permissions that a broker with the memory store needs, and no others. */
export const runtimes: Readonly<Record<string, readonly [string, ...string[]]>> = {
  ...Object.fromEntries(nodeMajors.map((major) => [`Node ${major}`, [nodeCommand(major)]])),
  Bun: [fileURLToPath(new URL("../../node_modules/.bin/bun", import.meta.url))],
  Deno: [
    fileURLToPath(new URL("../../node_modules/.bin/deno", import.meta.url)),
    ...["run", "--no-prompt", "--allow-net"],
  ],
};
const fixture = fileURLToPath(new URL("../adapters/fixture.mjs", import.meta.url));

/** A group of tests on each of `names`, skipped if the runtime or a peer of `others` is missing. */
export function describeOn(
  names: readonly string[],
  tests: (name: string, command: readonly [string, ...string[]]) => void,
  ...others: readonly string[]
): void {
  for (const name of names) {
    describe(`on ${name}`, needs(name, ...others), () => tests(name, runtimes[name]!));
  }
}

/** The standard output of a script; on Deno it runs without permissions. Rejects if the script fails. */
export async function runScript(name: string, script: URL, ...args: string[]): Promise<string> {
  const [command, ...given] = runtimes[name]!;
  const flags = given.filter((flag) => !flag.startsWith("--allow"));
  const options = { timeout: 60_000 };
  const ran = promisify(execFile)(command, [...flags, fileURLToPath(script), ...args], options);
  return (await ran).stdout;
}

export interface SpawnedBroker {
  readonly addresses: Readonly<Record<"tcp" | "ws", string>>;
  counters(): Promise<Readonly<Record<string, number>>>;
  /** The arguments of `authenticate` and "connected", if `options` have `watch: true`. */
  told(): Promise<readonly object[]>;
  stop(): Promise<void>;
}

/** `options` are those of `createBroker` that JSON can express. */
export async function spawnBroker(name: string, options: object): Promise<SpawnedBroker> {
  const [command, ...flags] = runtimes[name]!;
  const child = spawn(command, [...flags, fixture, JSON.stringify(options)], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const waiting: ((line: string) => void)[] = [];
  const failed: ((error: Error) => void)[] = [];
  const exited = new Promise<void>((resolve) => child.once("close", () => resolve()));
  child.once("error", (error) => failed.splice(0).forEach((fail) => void fail(error)));
  child.once("close", (code) => {
    for (const fail of failed.splice(0)) fail(new Error(`${name} ended with ${code}`));
  });
  createInterface(child.stdout).on("line", (line) => {
    failed.shift();
    waiting.shift()?.(line);
  });
  const answer = <T>(): Promise<T> =>
    new Promise((resolve, reject) => {
      waiting.push((line) => resolve(JSON.parse(line) as T));
      failed.push(reject);
    });
  const ask = <T>(what: string): Promise<T> => {
    const answered = answer<T>();
    child.stdin.write(`${what}\n`);
    return answered;
  };
  const { addresses } = await answer<{ addresses: string[] }>();
  const [tcp, ws] = addresses as [string, string];
  return {
    addresses: { tcp, ws },
    counters: () => ask("counters"),
    told: () => ask("told"),
    stop: async () => {
      if (child.exitCode !== null) return;
      await ask("stop");
      child.stdin.end();
      await exited;
    },
  };
}
