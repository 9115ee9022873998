/** The file that a run is recorded in, and those of the runs before. */
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

/** A recording that is in memory until it has its file. */
export interface RecordingFile {
  readonly sink: RecordSink;
  /** Makes the file, and writes to it from here on. Throws ConfigError where it can not be written. */
  begin(): void;
}

/**
 * Will begin `path`: what is there becomes `path.1`, that `path.2`, up to `keep`, so that a broker that is
 * started again after a crash does not overwrite what led to it. Nor does one that never comes to serve, such
 * as one that is started twice: until `begin` no file is touched. Throws ConfigError where it is plain already
 * that `path` can not be written.
 */
export function recordingFile(path: string, keep: number): RecordingFile {
  let file: number | null = null;
  let held: Uint8Array[] | null = [];
  let heldBytes = 0;
  const orConfigError = (what: () => void): void => {
    try {
      what();
    } catch (error) {
      throw new ConfigError("--record", path, `a writable file (${oneLine(error)})`);
    }
  };
  orConfigError(() => mustBeWritable(path));
  const write = (bytes: Uint8Array): void => {
    if (file !== null) {
      // At once: what is not written yet is bounded, however slow the disk.
      for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at);
      return;
    }
    heldBytes += bytes.length;
    if (held === null || heldBytes > HELD_BYTES_MAX) {
      held = null;
      throw new Error(`more than ${HELD_BYTES_MAX} bytes before the broker served`);
    }
    held.push(bytes.slice());
  };
  return {
    sink: {
      write,
      close: () => {
        if (file !== null) closeSync(file);
      },
    },
    begin: () => {
      // It has failed: there is nothing that could be replayed.
      if (held === null) return;
      orConfigError(() => {
        rotate(path, keep);
        // It has in it what clients say to each other.
        file = openSync(path, "w", 0o600);
        for (const bytes of held!.splice(0)) write(bytes);
      });
    },
  };
}

/** Throws where it is not, without a trace of having asked. */
function mustBeWritable(path: string): void {
  const isThere = lstatSync(path, { throwIfNoEntry: false }) !== undefined;
  if (isThere && !isFile(path)) closeSync(openSync(path, "a"));
  // Deno wants leave of another kind to answer this, and says what is wrong when the file begins.
  else if (!("Deno" in globalThis)) accessSync(dirname(path), constants.W_OK);
}

/** All of a recording. Throws ConfigError where it can not be read. */
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

/** In pieces, for what reads a file as a whole has a bound that a recording may pass. */
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
  // All are looked at, also by the first run: Deno then says at once which of them there is no leave for.
  const isThere = Array.from({ length: keep + 1 }, (_, n) => isFile(nameOf(n)));
  if (!isThere[0]) return;
  rmSync(nameOf(keep), { force: true });
  for (let n = keep; n > 0; n--) if (isThere[n - 1]) renameSync(nameOf(n - 1), nameOf(n));
}

/** A device or a link stays where it is. */
function isFile(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isFile() ?? false;
}

/** Far more than what comes before every listener is open. */
const HELD_BYTES_MAX = 4 * 2 ** 20;
