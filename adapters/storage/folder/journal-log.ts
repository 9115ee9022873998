/**
 * The log of a store in a folder: batches in one file, each appended and synced. One sync makes a batch durable, where a
 * transaction of LMDB takes two, and a record that a later batch removes never costs LMDB anything.
 *
 * ```
 * log     "sansmq log" · zeros u8 u8 · format u32 · salt u32 · zeros u32 · frames
 * frame   number f64 · batch bytes u32 · check u32 · batch
 * ```
 *
 * Frames are numbered without gaps. LMDB has the number of the last batch that it has applied, under `APPLIED_KEY`. Once it
 * has all of them, the next frame is written in place of the first. The old frames that stay in the file behind it have
 * smaller numbers, which tells that they do not follow it. Integers are big-endian. The check covers number and length; the batch has its own checksum.
 * The salt is random and seeds the check. Without it, a client could publish a payload with the bytes of a frame, and where
 * an old frame with this payload stays in the file, a start could take the payload for a batch.
 */
import { closeSync, constants, fdatasync, openSync, readFileSync, write, writeSync } from "node:fs";
import { join } from "node:path";
import {
  ConfigError,
  encodeUtf8,
  hashBytes,
  type JournalRecords,
  readBatch,
} from "../../../core/mod.ts";
import { viewOf } from "../../bytes.ts";

/** The name of the log in the folder of its store. */
export const LOG_FILE = "journal.log";
/** The key in LMDB of the number of the last batch that LMDB has. No record has it. */
export const APPLIED_KEY: Uint8Array = Uint8Array.of(0x3e);

export function isAppliedKey(key: Uint8Array): boolean {
  return key.length === 1 && key[0] === APPLIED_KEY[0];
}

export class JournalLog {
  readonly #file: number;
  readonly #bytesMax: number;
  /** Where the next frame goes. */
  #end: number;
  #last: number;
  readonly #salt: number;
  #frame: Uint8Array = new Uint8Array(FRAME_BYTES_MIN);

  /**
   * Opens the log in a folder, or begins one, to append behind `contents`. It has at most `bytesMax` bytes. Throws the error
   * of the system.
   */
  constructor(folder: string, contents: LogContents, bytesMax: number) {
    this.#file = openSync(join(folder, LOG_FILE), constants.O_RDWR | constants.O_CREAT, 0o600);
    this.#bytesMax = bytesMax;
    this.#end = contents.end;
    this.#last = contents.last;
    this.#salt = contents.salt ?? crypto.getRandomValues(new Uint32Array(1))[0]!;
    if (contents.salt !== null) return;
    try {
      // Synced with the first batch: both are in the first sector, which is on the disk as a whole or not at all.
      writeWhole(this.#file, newHead(this.#salt), 0);
    } catch (error) {
      closeSync(this.#file);
      throw error;
    }
  }

  /** The number of the last batch. */
  get last(): number {
    return this.#last;
  }

  /** Whether a batch of so many bytes has room behind the last one. */
  hasRoom(batchBytes: number): boolean {
    return this.#end + HEAD_BYTES + batchBytes <= this.#bytesMax;
  }

  /**
   * Appends a batch and syncs it. If it cannot be written, rejects with the error of the system, and the batch may be
   * appended again. If it cannot be synced, rejects with SyncError: any part of it may be missing on the disk.
   */
  async append(batch: Uint8Array): Promise<void> {
    const length = HEAD_BYTES + batch.length;
    if (this.#frame.length < length) this.#frame = new Uint8Array(length * 2);
    const frame = this.#frame.subarray(0, length);
    const view = viewOf(frame);
    view.setFloat64(0, this.#last + 1);
    view.setUint32(8, batch.length);
    view.setUint32(12, hashBytes(frame, 0, CHECKED_BYTES, this.#salt));
    frame.set(batch, HEAD_BYTES);
    if (length <= SHORT_BYTES_MAX) writeWhole(this.#file, frame, this.#end);
    else for (let at = 0; at < length; ) at += await this.#write(frame, at);
    await this.#sync();
    this.#end += length;
    this.#last++;
  }

  /** LMDB has all batches: the next one takes the place of the first. */
  restart(): void {
    this.#end = START;
  }

  close(): void {
    closeSync(this.#file);
  }

  #write(frame: Uint8Array, at: number): Promise<number> {
    return new Promise((resolve, reject) => {
      write(this.#file, frame, at, frame.length - at, this.#end + at, (error, count) => {
        if (error === null) resolve(count);
        else reject(error);
      });
    });
  }

  #sync(): Promise<void> {
    return new Promise((resolve, reject) => {
      fdatasync(this.#file, (error) => {
        if (error === null) resolve();
        else reject(new SyncError(error));
      });
    });
  }
}

/** The log could not be synced. */
export class SyncError extends Error {
  override readonly name = "SyncError";
  constructor(cause: Error) {
    super(`the log of the store cannot be synced: ${cause.message}`, { cause });
  }
}

/** The part of a log that LMDB does not have. */
export interface LogContents {
  /** The batches that LMDB does not have, in order. */
  readonly batches: readonly JournalRecords[];
  /** The number of the last one, or of the last one that LMDB has. */
  readonly last: number;
  /** Where the next frame goes: behind the last of these batches, or to the place of the first if there are none. */
  readonly end: number;
  /** Seeds the checks of its frames. Null: there is no log, or a crash ended its beginning. */
  readonly salt: number | null;
}

/** The file of the log in a folder; empty: there is none. */
export function readLogFile(folder: string): Uint8Array {
  try {
    return readFileSync(join(folder, LOG_FILE));
  } catch (error) {
    if ((error as { readonly code?: unknown }).code !== "ENOENT") throw error;
    return new Uint8Array(0);
  }
}

/**
 * Finds the batches behind number `applied` in the file of a log. An unfinished frame at the end was never acknowledged,
 * and is left out. Throws ConfigError if the log is damaged. `folder` is for the text of the error.
 */
export function parseLog(folder: string, bytes: Uint8Array, applied: number): LogContents {
  const path = join(folder, LOG_FILE);
  const salt = saltIn(path, bytes);
  const batches: JournalRecords[] = [];
  let last = applied;
  if (salt === null) return { batches, last, end: START, salt };
  let at = START;
  let head = headAt(bytes, at, salt);
  while (head !== null) {
    const { number, end } = head;
    if (number > last + 1) {
      throw damaged(path, `begins with batch ${number}, but data.mdb ends with ${applied}`);
    }
    if (number > applied) {
      const batch = readBatch(bytes.subarray(at + HEAD_BYTES, end));
      if (batch === null) break;
      batches.push(batch);
      last = number;
    }
    at = end;
    const next = headAt(bytes, at, salt);
    head = next?.number === number + 1 ? next : null;
  }
  // A batch is written after the one before it was synced, so a later one shows that this one is damaged, and not unfinished.
  if (hasLaterHead(bytes, at, salt, last + 1)) throw damaged(path, `batch ${last + 1} is damaged`);
  return { batches, last, end: batches.length === 0 ? START : at, salt };
}

/** The number in the value of `APPLIED_KEY`; undefined: there is none. */
export function appliedNumber(value: Uint8Array | undefined): number {
  return value?.length === 8 ? viewOf(value).getFloat64(0) : 0;
}

/** The value for `APPLIED_KEY`. */
export function appliedValue(number: number): Uint8Array {
  const value = new Uint8Array(8);
  viewOf(value).setFloat64(0, number);
  return value;
}

function writeWhole(file: number, bytes: Uint8Array, start: number): void {
  for (let at = 0; at < bytes.length; ) {
    at += writeSync(file, bytes, at, bytes.length - at, start + at);
  }
}

function newHead(salt: number): Uint8Array {
  const head = new Uint8Array(START);
  head.set(encodeUtf8(MAGIC));
  viewOf(head).setUint32(FORMAT_AT, FORMAT);
  viewOf(head).setUint32(SALT_AT, salt);
  return head;
}

/** Null: there is no whole head, because a crash ended its writing. Throws ConfigError if the file is no log of ours. */
function saltIn(path: string, bytes: Uint8Array): number | null {
  const head = bytes.subarray(0, START);
  if (head.length < START || head.every((byte) => byte === 0)) return null;
  if (encodeUtf8(MAGIC).some((byte, at) => head[at] !== byte))
    throw damaged(path, "it begins with something else");
  const format = viewOf(head).getUint32(FORMAT_AT);
  if (format === FORMAT) return viewOf(head).getUint32(SALT_AT);
  const message = `store: ${path} has format ${format}, and this version of sansmq reads format ${FORMAT}`;
  throw new ConfigError("store", path, `a store of format ${FORMAT}`, message);
}

/** The head of the frame at `at`; null: there is none, or the file ends before the end of the frame. */
function headAt(
  bytes: Uint8Array,
  at: number,
  salt: number,
): { readonly number: number; readonly end: number } | null {
  if (at + HEAD_BYTES > bytes.length) return null;
  const view = viewOf(bytes);
  if (view.getUint32(at + 12) !== hashBytes(bytes, at, at + CHECKED_BYTES, salt)) return null;
  const end = at + HEAD_BYTES + view.getUint32(at + 8);
  return end > bytes.length ? null : { number: view.getFloat64(at), end };
}

/** Whether a frame behind `at` has a larger number than `number`. */
function hasLaterHead(bytes: Uint8Array, at: number, salt: number, number: number): boolean {
  const view = viewOf(bytes);
  for (; at + HEAD_BYTES <= bytes.length; at++) {
    // Numbers are compared first, because that is cheaper than a check at each byte.
    const found = view.getFloat64(at);
    if (found > number && found <= number + BATCHES_MAX && headAt(bytes, at, salt) !== null) {
      return true;
    }
  }
  return false;
}

function damaged(path: string, what: string): ConfigError {
  const message = `store: ${path} is damaged: ${what}`;
  return new ConfigError("store", path, "a folder with a sound store", message);
}

const MAGIC = "sansmq log";
const FORMAT_AT = 12;
const FORMAT = 1;
const SALT_AT = 16;
/** Where the first frame is. */
const START = 24;
/** More than one log has. */
const BATCHES_MAX = 1_000_000;
const HEAD_BYTES = 16;
/** A shorter frame is written at once: another thread would begin later than this one ends. */
const SHORT_BYTES_MAX = 65_536;
const CHECKED_BYTES = 12;
const FRAME_BYTES_MIN = 4096;
