/** Processes in tests: started, awaited, stopped. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";

export interface Finished {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A process whose output is kept, and which is stopped at the end of the test. */
export class Running {
  readonly child: ChildProcess;
  readonly finished: Promise<Finished>;
  stdout = "";
  stderr = "";
  readonly #watchers = new Set<() => void>();

  constructor(command: string, args: readonly string[]) {
    // The default folder of the store is within it: no two processes share a store.
    const stateFolder = mkdtempSync(join(tmpdir(), "sansmq-state-"));
    const environment = { ...process.env, NO_COLOR: "1", XDG_STATE_HOME: stateFolder };
    this.child = spawn(command, args, { stdio: ["pipe", "pipe", "pipe"], env: environment });
    this.child.stdout!.on("data", (data: Buffer) => {
      this.stdout += data.toString();
      for (const watch of this.#watchers) watch();
    });
    this.child.stderr!.on("data", (data: Buffer) => {
      this.stderr += data.toString();
      for (const watch of this.#watchers) watch();
    });
    this.finished = new Promise((resolve, reject) => {
      // A missing command fails the test.
      this.child.once("error", reject);
      this.child.once("close", (code) => {
        resolve({ code, stdout: this.stdout, stderr: this.stderr });
        for (const watch of this.#watchers) watch();
      });
    });
    this.finished.catch(() => {});
    onTestFinished(async () => {
      const { child } = this;
      const isRunning =
        child.pid !== undefined && child.exitCode === null && child.signalCode === null;
      const exited = isRunning ? new Promise((resolve) => child.once("exit", resolve)) : null;
      child.kill("SIGKILL");
      await exited;
      rmSync(stateFolder, { recursive: true, force: true });
    });
  }

  /** Resolves when standard output or error matches; rejects if the process ends before. */
  says(pattern: RegExp): Promise<RegExpExecArray> {
    return new Promise((resolve, reject) => {
      const look = (): void => {
        const found = pattern.exec(this.stdout) ?? pattern.exec(this.stderr);
        if (found !== null) resolve(found);
        else if (this.child.exitCode !== null) {
          reject(new Error(`ended with ${this.child.exitCode}: ${this.stdout}${this.stderr}`));
        } else return;
        this.#watchers.delete(look);
      };
      this.#watchers.add(look);
      this.finished.catch(reject);
      look();
    });
  }
}

export function run(command: string, ...args: readonly string[]): Running {
  return new Running(command, args);
}

/** The built `sansmq` command. */
export function runSansmq(...args: readonly string[]): Running {
  return runSansmqOn([process.execPath], ...args);
}

/** The command on a runtime, such as `["deno", "run"]`. */
export function runSansmqOn(
  [runtime, ...flags]: readonly [string, ...string[]],
  ...args: readonly string[]
): Running {
  // Deno needs more permissions for a store in a folder.
  const isRestricted = flags.includes("--allow-net") && !flags.includes("--allow-ffi");
  const store = isRestricted && args[0] !== "replay" ? ["--store", "memory"] : [];
  return run(runtime, ...flags, command, ...store, ...args);
}

/** The command on a Node without WebAssembly. */
export function runWithoutWasm(...args: readonly string[]): Running {
  return run(process.execPath, "--jitless", command, ...args);
}

export const command = fileURLToPath(new URL("../../dist/adapters/cli/main.js", import.meta.url));
