/** Standard error, written without waiting for its reader. */
import { writeSync } from "node:fs";
import type { LogSink } from "./log-output.ts";

/** As much of Deno's interface as is used here. */
interface DenoStandardError {
  write(bytes: Uint8Array): Promise<number>;
  writeSync(bytes: Uint8Array): number;
}

export function standardError(): LogSink {
  // Merely asking Node or Bun for its stream makes a pipe or a socket non-blocking: a write that finds no room then
  // fails with EAGAIN, and the process goes on. Others write to the stream, such as Node with its warnings; a reader
  // that is gone is no reason to end.
  process.stderr.on("error", () => {});
  const { Deno } = globalThis as { readonly Deno?: { readonly stderr: DenoStandardError } };
  if (Deno !== undefined) {
    // On Deno it stays blocking, and a write waits in a thread of its own.
    const { stderr } = Deno;
    return {
      write: (bytes) => stderr.write(bytes),
      writeNow: (bytes) => stderr.writeSync(bytes),
    };
  }
  const write = (bytes: Uint8Array): number => writeSync(STANDARD_ERROR, bytes);
  return { write, writeNow: write };
}

const STANDARD_ERROR = 2;
