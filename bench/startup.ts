/**
 * Measures the time from the start of the command to the first CONNACK, compared with an empty
 * program.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { connectPacket, open } from "./lib/client.ts";
import { lineOf } from "./lib/process.ts";
import { median } from "./lib/statistics.ts";

/**
 * Starts an empty program and the command with `runtime`, and both through `npx`, alternating,
 * `rounds` times each. Returns a table of medians. `runtime` is a command with its flags, for
 * example `deno run --allow-net`.
 */
export async function measureStartup(runtime: string, rounds: number): Promise<string> {
  const [program, ...flags] = runtime.split(" ") as [string, ...string[]];
  const nothing = /deno$/.test(program) ? ["eval", "0"] : ["-e", "0"];
  const kinds: readonly (readonly [name: string, measure: () => Promise<number>])[] = [
    [`${program.split("/").at(-1)} ${nothing.join(" ")}`, () => untilExit([program, ...nothing])],
    ["sansmq", () => untilConnack([program, ...flags, main])],
    ["npx of node -e 0", () => untilExit(["npx", "--offline", "-c", "node -e 0"])],
    ["npx sansmq", () => untilConnack(["npx", "--offline", "sansmq"])],
  ];
  const millis = kinds.map((): number[] => []);
  for (let round = 0; round < rounds; round++) {
    for (const [n, [, measure]] of kinds.entries()) millis[n]!.push(await measure());
  }
  const nothingMillis = median(millis[0]!);
  const rows = kinds.map(([name], n) => {
    const [middle, best] = [median(millis[n]!), Math.min(...millis[n]!)];
    const more = middle - nothingMillis;
    return `| ${[name, ...[middle, best, more].map((time) => time.toFixed(0))].join(" | ")} |`;
  });
  const head = `| from start to CONNACK, ${rounds} rounds | median ms | best ms | more than nothing ms |`;
  return [head, "|---|---:|---:|---:|", ...rows].join("\n");
}

const main = fileURLToPath(new URL("../adapters/cli/main.js", import.meta.url));
const root = fileURLToPath(new URL("../..", import.meta.url));

async function untilExit([command, ...args]: readonly string[]): Promise<number> {
  const started = performance.now();
  await once(spawn(command!, args, { stdio: "ignore" }), "exit");
  return performance.now() - started;
}

async function untilConnack([command, ...args]: readonly string[]): Promise<number> {
  const started = performance.now();
  const given = [...args, "--port", "0", "--ws-port", "0", "--log-level", "silent"];
  // In a process group of its own, because npx runs the command through a shell.
  const child = spawn(command!, given, { cwd: root, detached: true });
  const [, port] = await lineOf(child, /listening tcp:\/\/127\.0\.0\.1:(\d+)/);
  const socket = await new Promise<ReturnType<typeof open>>((resolve) => {
    const opened = open(Number(port), () => resolve(opened));
    opened.write(connectPacket("first"));
  });
  const millis = performance.now() - started;
  socket.destroy();
  const ended = once(child, "close");
  process.kill(-child.pid!, "SIGKILL");
  await ended;
  return millis;
}
