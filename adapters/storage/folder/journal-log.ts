/**
 * The log of a store in a folder: batches in one file, each appended and synced. One sync makes a batch durable, where a
 * transaction of LMDB takes two, and a record that a later batch removes never costs LMDB anything.
 *
 * ```
 * log     "sansmq log" · zeros u8 u8 · format u32 · frames
 * frame   number f64 · batch bytes u32 · check u32 · batch
 * ```
 *
 * Frames are numbered without gaps. LMDB has the number of the last batch that it has applied, under `APPLIED_KEY`. Once it
 * has all of them, the next frame is written in place of the first. What is left behind it has smaller numbers, so that
 * nobody takes it for what follows. Integers are big-endian. The check covers number and length; the batch has its own checksum.
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
    if (contents.isBegun) return;
    try {
      // Synced with the first batch: both are in the first sector, which is on the disk as a whole or not at all.
      writeWhole(this.#file, newHead(), 0);
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
   * appended again. If it cannot be synced, rejects with SyncError: nobody knows what of it is on the disk.
   */
  async append(batch: Uint8Array): Promise<void> {
    const length = HEAD_BYTES + batch.length;
    if (this.#frame.length < length) this.#frame = new Uint8Array(length * 2);
    const frame = this.#frame.subarray(0, length);
    const view = viewOf(frame);
    view.setFloat64(0, this.#last + 1);
    view.setUint32(8, batch.length);
    view.setUint32(12, hashBytes(frame, 0, CHECKED_BYTES, 0));
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

/** What a log has behind the batches that LMDB has. */
export interface LogContents {
  /** The batches that LMDB does not have, in order. */
  readonly batches: readonly JournalRecords[];
  /** The number of the last one, or of the last one that LMDB has. */
  readonly last: number;
  /** Where the next frame goes: behind the last of these batches, or to the place of the first if there are none. */
  readonly end: number;
  /** False: there is no log, or a crash ended its beginning. */
  readonly isBegun: boolean;
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
  const isBegun = checkHead(path, bytes);
  const batches: JournalRecords[] = [];
  let last = applied;
  let at = START;
  for (let number: number | null = null; ; ) {
    const head = headAt(bytes, at);
    if (head === null || (number !== null && head.number !== number + 1)) break;
    if (head.number > last + 1) {
      throw damaged(path, `begins with batch ${head.number}, but data.mdb ends with ${applied}`);
    }
    const batch = readBatch(bytes.subarray(at + HEAD_BYTES, head.end));
    if (batch === null) {
      // A batch is written after the one before it was synced, so this one is damaged, and not unfinished.
      const next = headAt(bytes, head.end);
      if (next?.number === head.number + 1) throw damaged(path, `batch ${head.number} is damaged`);
      break;
    }
    number = head.number;
    at = head.end;
    if (number <= applied) continue;
    batches.push(batch);
    last = number;
  }
  return { batches, last, end: batches.length === 0 ? START : at, isBegun };
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

function newHead(): Uint8Array {
  const head = new Uint8Array(START);
  head.set(encodeUtf8(MAGIC));
  viewOf(head).setUint32(FORMAT_AT, FORMAT);
  return head;
}

/** False: there is no whole head, because a crash ended its writing. Throws ConfigError if the file is no log of ours. */
function checkHead(path: string, bytes: Uint8Array): boolean {
  const head = bytes.subarray(0, START);
  if (head.length < START || head.every((byte) => byte === 0)) return false;
  if (encodeUtf8(MAGIC).some((byte, at) => head[at] !== byte))
    throw damaged(path, "it begins with something else");
  const format = viewOf(head).getUint32(FORMAT_AT);
  if (format === FORMAT) return true;
  const message = `store: ${path} has format ${format}, and this version of sansmq reads format ${FORMAT}`;
  throw new ConfigError("store", path, `a store of format ${FORMAT}`, message);
}

/** The head of the frame at `at`; null: there is none, or the file ends before it. */
function headAt(bytes: Uint8Array, at: number): { number: number; end: number } | null {
  if (at + HEAD_BYTES > bytes.length) return null;
  const view = viewOf(bytes);
  if (view.getUint32(at + 12) !== hashBytes(bytes, at, at + CHECKED_BYTES, 0)) return null;
  const end = at + HEAD_BYTES + view.getUint32(at + 8);
  return end > bytes.length ? null : { number: view.getFloat64(at), end };
}

function damaged(path: string, what: string): ConfigError {
  const message = `store: ${path} is damaged: ${what}`;
  return new ConfigError("store", path, "a folder with a sound store", message);
}

const MAGIC = "sansmq log";
const FORMAT_AT = 12;
const FORMAT = 1;
/** Where the first frame is. */
const START = 16;
const HEAD_BYTES = 16;
/** So few bytes are with the kernel before another thread would have begun to write them. */
const SHORT_BYTES_MAX = 65_536;
const CHECKED_BYTES = 12;
const FRAME_BYTES_MIN = 4096;
