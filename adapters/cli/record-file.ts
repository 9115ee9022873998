/** The recording file of a run, and the files of earlier runs. */
import {
  accessSync,
  closeSync,
  constants,
  lstatSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";
import { ConfigError } from "../../core/mod.ts";
import type { RecordSink } from "../record/mod.ts";
import { oneLine } from "./one-line.ts";

/** A recording that is in memory until its file is created. */
export interface RecordingFile {
  readonly sink: RecordSink;
  /** Creates the file and writes to it from here on. Throws ConfigError if it cannot be written. */
  begin(): void;
}

/**
 * A recording in the file `path`. An existing file becomes `path.1`, that one `path.2`, up to `keep`, so that a broker that
 * restarts after a crash does not overwrite the recording of the crash. No file is touched before `begin`, so a start that fails,
 * such as the second one on a port, overwrites nothing either. Throws ConfigError if it is already certain that `path` cannot be
 * written.
 */
export function recordingFile(path: string, keep: number): RecordingFile {
  let file: number | null = null;
  let unwritten: Uint8Array[] | null = [];
  let unwrittenBytes = 0;
  const orConfigError = (action: () => void): void => {
    try {
      action();
    } catch (error) {
      throw new ConfigError("--record", path, `a writable file (${oneLine(error)})`);
    }
  };
  orConfigError(() => mustBeWritable(path));
  const write = (bytes: Uint8Array): void => {
    if (file !== null) {
      // Synchronously: unwritten data stays bounded, however slow the disk is.
      for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at);
      return;
    }
    unwrittenBytes += bytes.length;
    if (unwritten === null || unwrittenBytes > UNWRITTEN_BYTES_MAX) {
      unwritten = null;
      throw new Error(`more than ${UNWRITTEN_BYTES_MAX} bytes before the broker served`);
    }
    unwritten.push(bytes.slice());
  };
  return {
    sink: {
      write,
      close: () => {
        if (file !== null) closeSync(file);
      },
    },
    begin: () => {
      // The recording has failed: there is nothing that could be replayed.
      if (unwritten === null) return;
      orConfigError(() => {
        rotate(path, keep);
        // The file contains messages between clients.
        file = openSync(path, "w", 0o600);
        for (const bytes of unwritten!.splice(0)) write(bytes);
      });
    },
  };
}

/** Throws if the path is not writable, and leaves no trace. */
function mustBeWritable(path: string): void {
  const isThere = lstatSync(path, { throwIfNoEntry: false }) !== undefined;
  if (isThere && !isFile(path)) closeSync(openSync(path, "a"));
  // Deno needs another permission for this check; it reports the error when the file is created.
  else if (!("Deno" in globalThis)) accessSync(dirname(path), constants.W_OK);
}

/** Reads a whole recording. Throws ConfigError if it cannot be read. */
export function readRecording(path: string): Uint8Array {
  try {
    const file = openSync(path, "r");
    try {
      return readAll(file);
    } finally {
      closeSync(file);
    }
  } catch (error) {
    throw new ConfigError("file", path, `a readable file (${oneLine(error)})`);
  }
}

/** Reads in pieces, because functions that read a whole file have a maximum size that a recording may exceed. */
function readAll(file: number): Uint8Array {
  let bytes = new Uint8Array(1 << 20);
  let length = 0;
  for (;;) {
    const count = readSync(file, bytes, length, bytes.length - length, null);
    if (count === 0) return bytes.subarray(0, length);
    length += count;
    if (length < bytes.length) continue;
    const larger = new Uint8Array(bytes.length * 2);
    larger.set(bytes);
    bytes = larger;
  }
}

function rotate(path: string, keep: number): void {
  const nameOf = (n: number): string => (n === 0 ? path : `${path}.${n}`);
  // The first run checks all files too: Deno then reports at once for which file permission is missing.
  const isThere = Array.from({ length: keep + 1 }, (_, n) => isFile(nameOf(n)));
  if (!isThere[0]) return;
  rmSync(nameOf(keep), { force: true });
  for (let n = keep; n > 0; n--) if (isThere[n - 1]) renameSync(nameOf(n - 1), nameOf(n));
}

/** False for a device or a link, which is not renamed. */
function isFile(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isFile() ?? false;
}

/** Far more than is recorded before all listeners are open. */
const UNWRITTEN_BYTES_MAX = 4 * 2 ** 20;
