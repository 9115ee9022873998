/** Writes to standard error without waiting for its reader. */
import { constants, openSync, writeSync } from "node:fs";
import type { LogSink } from "./log-output.ts";
import { writeInThread } from "./write-in-thread.ts";

/** The part of Deno's interface that is used here. */
interface DenoStandardError {
  write(bytes: Uint8Array): Promise<number>;
}

export function standardError(): LogSink {
  // On Node and Bun, reading `process.stderr` makes a pipe or a socket non-blocking: a write to a full pipe then fails with
  // EAGAIN instead of blocking the process. Node writes its warnings to the stream; if the reader is gone, the error event
  // must not end the process.
  process.stderr.on("error", () => {});
  const { Deno } = globalThis as { readonly Deno?: { readonly stderr: DenoStandardError } };
  if (Deno !== undefined) {
    // On Deno the descriptor stays blocking. `write` waits in a thread of the runtime; a turn cannot wait for that thread.
    const { stderr } = Deno;
    return { write: (bytes) => stderr.write(bytes), writeNow: writeInThread };
  }
  const descriptor = process.stderr.isTTY ? openTerminal() : STANDARD_ERROR;
  const write = (bytes: Uint8Array): number => writeSync(descriptor, bytes);
  return { write, writeNow: write };
}

/**
 * Opens the terminal at standard error again, as non-blocking. Node and Bun write to a terminal with blocking writes, so a
 * terminal whose output is stopped (Ctrl-S, a stalled SSH connection) would stop the broker. The flag is not set on standard
 * error itself, because the shell shares it.
 */
function openTerminal(): number {
  // Only the process's own terminal can be opened if it belongs to another user, or if the system is not Linux.
  for (const path of [`/proc/self/fd/${STANDARD_ERROR}`, "/dev/tty"]) {
    try {
      return openSync(path, O_WRONLY | O_NONBLOCK | O_NOCTTY);
    } catch {
      // The next path may work.
    }
  }
  return STANDARD_ERROR;
}

const { O_WRONLY, O_NONBLOCK, O_NOCTTY } = constants;
const STANDARD_ERROR = 2;
