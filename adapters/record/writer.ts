/** Writes entries into a buffer, and the buffer to the sink, up to a maximum size. */
import { encodeUtf8 } from "../../core/mod.ts";
import type { RecordingHeader } from "./format.ts";
import { EndCause, MAGIC, Op, toJson } from "./format.ts";
import type { OutputHash } from "./output-hash.ts";

/** The receiver of a recording. */
export interface RecordSink {
  /** Writes all of `bytes`, which are lent, before it returns. If it throws, the recording ends. */
  write(bytes: Uint8Array): void;
  /** The recording has ended. */
  close?(): void;
}

/** Why a recording ended. In each case the broker continues, and the written part can be replayed. */
export type RecordingEnd =
  | { readonly cause: "closed" }
  /** The recording reached its maximum size. */
  | { readonly cause: "full"; readonly bytesMax: number }
  /** The sink threw. */
  | { readonly cause: "failed"; readonly error: unknown };

export class RecordWriter {
  readonly #sink: RecordSink;
  readonly #hash: OutputHash;
  readonly #handleEnd: (end: RecordingEnd) => void;
  readonly #bytesMax: number;
  #bytes: Uint8Array = new Uint8Array(BUFFER_BYTES);
  #at = 0;
  #writtenBytes = 0;
  #now = -1;
  #flushedAt = 0;
  isOpen = true;

  constructor(
    sink: RecordSink,
    bytesMax: number,
    hash: OutputHash,
    handleEnd: (end: RecordingEnd) => void,
  ) {
    this.#sink = sink;
    this.#hash = hash;
    this.#bytesMax = bytesMax;
    this.#handleEnd = handleEnd;
  }

  header(header: RecordingHeader): void {
    const text = encodeUtf8(toJson(header));
    this.#room(MAGIC.length + 4 + text.length);
    this.#bytes.set(MAGIC, this.#at);
    this.#at += MAGIC.length;
    new DataView(this.#bytes.buffer).setUint32(this.#at, text.length, true);
    this.#at += 4;
    this.#bytes.set(text, this.#at);
    this.#at += text.length;
    this.flush();
  }

  /**
   * Begins a step at `now` with at most `byteCount` bytes after its first. False: the recording has ended, perhaps because the step
   * does not fit.
   */
  step(op: number, now: number, byteCount: number): boolean {
    if (!this.isOpen) return false;
    if (this.#writtenBytes + this.#at + byteCount + RESERVED_BYTES > this.#bytesMax) {
      this.#end(EndCause.Full, { cause: "full", bytesMax: this.#bytesMax });
      return false;
    }
    if (now !== this.#now) this.#time(now);
    if (this.#at + byteCount + 1 > this.#bytes.length) this.#room(byteCount + 1);
    this.#bytes[this.#at++] = op;
    return true;
  }

  /** Begins a step at the time of the step before. */
  stepNow(op: number): boolean {
    return this.step(op, this.#now, 0);
  }

  /** Begins a part of the step before. */
  nested(op: number, byteCount: number): boolean {
    if (!this.isOpen) return false;
    this.#room(byteCount + 1);
    this.#bytes[this.#at++] = op;
    return true;
  }

  u8(value: number): void {
    this.#bytes[this.#at++] = value;
  }

  varint(value: number): void {
    let left = value;
    while (left > 0x7f) {
      this.#bytes[this.#at++] = (left & 0x7f) | 0x80;
      left >>>= 7;
    }
    this.#bytes[this.#at++] = left;
  }

  f64(value: number): void {
    new DataView(this.#bytes.buffer).setFloat64(this.#at, value, true);
    this.#at += 8;
  }

  /** Copies `bytes`. Returns where the copy is, for a mask. */
  copy(bytes: Uint8Array): { readonly buffer: Uint8Array; readonly start: number } {
    this.#bytes.set(bytes, this.#at);
    this.#at += bytes.length;
    return { buffer: this.#bytes, start: this.#at - bytes.length };
  }

  /** Writes the short form of the hash so far. */
  check(): void {
    if (!this.isOpen) return;
    if (this.#at + 3 > this.#bytes.length) this.#room(3);
    const { check } = this.#hash;
    this.#bytes[this.#at] = Op.Check;
    this.#bytes[this.#at + 1] = check & 0xff;
    this.#bytes[this.#at + 2] = check >> 8;
    this.#at += 3;
  }

  flush(): void {
    if (this.#at === 0 || !this.isOpen) return;
    const length = this.#at;
    this.#at = 0;
    this.#flushedAt = this.#now;
    try {
      this.#sink.write(this.#bytes.subarray(0, length));
      this.#writtenBytes += length;
    } catch (error) {
      this.isOpen = false;
      this.#close();
      this.#handleEnd({ cause: "failed", error });
    }
  }

  close(): void {
    if (this.isOpen) this.#end(EndCause.Closed, { cause: "closed" });
  }

  #end(cause: number, end: RecordingEnd): void {
    this.#room(10);
    this.u8(Op.End);
    this.u8(cause);
    const view = new DataView(this.#bytes.buffer);
    for (const word of this.#hash.words) {
      view.setUint32(this.#at, word, true);
      this.#at += 4;
    }
    this.flush();
    if (!this.isOpen) return;
    this.isOpen = false;
    this.#close();
    this.#handleEnd(end);
  }

  #close(): void {
    try {
      this.#sink.close?.();
    } catch {
      // The sink has reported failed writes before.
    }
  }

  #time(now: number): void {
    this.#now = now;
    // A killed process loses at most the last second before a pause.
    if (Math.abs(now - this.#flushedAt) >= FLUSH_MILLIS) this.flush();
    this.#room(9);
    this.u8(Op.Time);
    this.f64(now);
  }

  #room(byteCount: number): void {
    if (this.#at + byteCount <= this.#bytes.length) return;
    this.flush();
    if (byteCount > this.#bytes.length) this.#bytes = new Uint8Array(byteCount);
  }
}

/** Small enough that a write does not delay messages. */
const BUFFER_BYTES = 262_144;
const FLUSH_MILLIS = 1000;
/** Reserved below the maximum size for the parts of the last step and the end. */
const RESERVED_BYTES = 65_536;
