/** Child processes pinned to a core, and their use of processor and memory. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import { availableParallelism } from "node:os";

/** Separate cores for the broker and the load, or null if the system cannot pin processes. */
export function cores(): { readonly broker: number; readonly load: number } | null {
  const hasTaskset = spawnSync("taskset", ["-V"]).status === 0;
  return hasTaskset && availableParallelism() >= 2 ? { broker: 0, load: 1 } : null;
}

/** Starts a command on a core, with room for many sockets. */
export function startPinned(command: readonly string[], core: number | null): ChildProcess {
  const pin = core === null ? [] : ["taskset", "-c", String(core)];
  const line = [...pin, ...command].map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(" ");
  return spawn("sh", ["-c", `ulimit -n 65536 2>/dev/null; exec ${line}`], {
    stdio: ["ignore", "pipe", "pipe"],
  });
}

/** Resolves with the first output that matches `test`; rejects if the process ends before. */
export function lineOf(child: ChildProcess, test: RegExp): Promise<RegExpExecArray> {
  return new Promise((resolve, reject) => {
    let text = "";
    const look = (data: Buffer): void => {
      text += data.toString();
      const found = test.exec(text);
      if (found !== null) resolve(found);
    };
    child.stdout!.on("data", look);
    child.stderr!.on("data", look);
    child.once("exit", (code) => reject(new Error(`ended with ${code}: ${text}`)));
  });
}

export async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGKILL");
  await ended;
}

/** Processor time of a process in seconds, user and system. */
export function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** Resident memory of a process in bytes. */
export function rssBytes(pid: number): number {
  const pages = readFileSync(`/proc/${pid}/statm`, "utf8").split(" ")[1];
  return Number(pages) * 4096;
}

/** A TCP port of 127.0.0.1 that nothing listens on. */
export function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const address = server.address();
      const port = address !== null && typeof address === "object" ? address.port : 0;
      server.close(() => resolve(port));
    });
  });
}
