/** Writes to standard error without waiting for its reader. */
import { writeSync } from "node:fs";
import type { LogSink } from "./log-output.ts";

/** The part of Deno's interface that is used here. */
interface DenoStandardError {
  write(bytes: Uint8Array): Promise<number>;
  writeSync(bytes: Uint8Array): number;
}

export function standardError(): LogSink {
  // On Node and Bun, reading `process.stderr` makes a pipe or a socket non-blocking: a write to a full pipe then fails with
  // EAGAIN instead of blocking the process. Node writes its warnings to the stream; if the reader is gone, the error event
  // must not end the process.
  process.stderr.on("error", () => {});
  const { Deno } = globalThis as { readonly Deno?: { readonly stderr: DenoStandardError } };
  if (Deno !== undefined) {
    // On Deno the descriptor stays blocking, and a write waits in another thread.
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
