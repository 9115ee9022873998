/** Reads the steps of a recording. Ignores an incomplete step at its end, as a killed process leaves it. */
import type { PolicyVerdict } from "../../core/mod.ts";
import { decodeUtf8 } from "../../core/mod.ts";
import type { RecordingHeader } from "./format.ts";
import { fromJson, MAGIC, NESTED_MIN, Op } from "./format.ts";
import {
  isCause,
  isCommand,
  isConnInfo,
  isDecision,
  isHeader,
  isPublish,
  isVerdict,
} from "./recorded-values.ts";
import { decodeLoaded, RECORD_HEAD_BYTES, recordedKeyEnd } from "./store-records.ts";

/** The bytes are not a recording, or it is damaged or not supported. */
export class RecordingError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "RecordingError";
  }
}

/** A call of the broker, and the results of its port calls. */
export interface Step {
  /** One of `Op`. */
  readonly op: number;
  readonly now: number;
  readonly outBytes: number;
  /** 0: the step has no connection. */
  readonly conn: number;
  readonly bytes: Uint8Array | null;
  readonly json: unknown;
  readonly number: number;
  /** Answers of the policy that were not Allow, each behind so many that were. */
  readonly verdicts: readonly { readonly allowedBefore: number; readonly verdict: PolicyVerdict }[];
  readonly entropy: readonly Uint8Array[];
  /** -1: the step had no output. */
  readonly check: number;
}

export interface RecordedEnd {
  readonly cause: "closed" | "full" | "torn";
  /** The hash over all output; null if the recording is incomplete. */
  readonly hash: string | null;
}

export class RecordingReader {
  readonly header: RecordingHeader;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at: number;
  #now = 0;
  #outBytes = 0;
  #end: RecordedEnd = { cause: "torn", hash: null };

  /** Throws RecordingError. */
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const hasMagic = MAGIC.slice(0, -1).every((byte, i) => bytes[i] === byte);
    if (!hasMagic) throw new RecordingError("not a recording of sansmq");
    const version = bytes[MAGIC.length - 1];
    if (version !== MAGIC.at(-1)) {
      throw new RecordingError(
        `a recording of format ${version}; this reads format ${MAGIC.at(-1)}`,
      );
    }
    const start = MAGIC.length + 4;
    const end = bytes.length < start ? start : start + this.#view.getUint32(MAGIC.length, true);
    if (end > bytes.length || end === start) {
      throw new RecordingError("a recording that ends within its header");
    }
    this.#at = end;
    const header = parsed(bytes, start, end);
    if (!isHeader(header)) throw new RecordingError("a recording whose header is damaged");
    this.header = header;
  }

  /** How the recording ended. Valid after the last step. */
  get end(): RecordedEnd {
    return this.#end;
  }

  /** Throws RecordingError at an invalid entry. */
  *steps(): Generator<Step> {
    let step: Step | null = null;
    for (;;) {
      // A step at the end of the file is ignored, because its parts may be missing.
      if (step !== null && this.#at < this.#bytes.length) yield step;
      try {
        step = this.#next();
      } catch (error) {
        if (error instanceof EndOfFile) return;
        throw error;
      }
      if (step === null) return;
    }
  }

  /** The next step with its parts; null at the end. */
  #next(): Step | null {
    let op = this.#u8();
    for (; op === Op.Time || op === Op.OutBytes; op = this.#u8()) {
      if (op === Op.Time) {
        this.#now = this.#f64();
        const isTime = Number.isInteger(this.#now) && this.#now >= 0 && this.#now <= MILLIS_MAX;
        check(isTime, "an invalid time");
      } else {
        this.#outBytes = this.#varint();
        check(this.#outBytes <= OUT_BYTES_MAX, "a buffer that is too long");
      }
    }
    if (op === Op.End) {
      const cause = this.#u8() === 2 ? "full" : "closed";
      const words = [this.#u32(), this.#u32()];
      const hash = words.map((word) => word.toString(16).padStart(8, "0")).join("");
      this.#end = { cause, hash };
      return null;
    }
    const now = this.#now;
    const outBytes = this.#outBytes;
    const fields = this.#fields(op);
    const step = { conn: 0, bytes: null, json: null, number: 0, ...fields };
    const verdicts: { allowedBefore: number; verdict: PolicyVerdict }[] = [];
    const entropy: Uint8Array[] = [];
    let checkValue = -1;
    while (this.#at < this.#bytes.length && this.#isNested(this.#bytes[this.#at]!)) {
      const nested = this.#u8();
      if (nested === Op.Verdict) {
        verdicts.push({ allowedBefore: this.#varint(), verdict: this.#verdict() });
      } else if (nested === Op.Entropy) {
        entropy.push(this.#field());
      } else {
        checkValue = this.#u8() | (this.#u8() << 8);
      }
    }
    return { op, now, outBytes, ...step, verdicts, entropy, check: checkValue };
  }

  #isNested(op: number): boolean {
    return op >= NESTED_MIN && op <= Op.Check;
  }

  #fields(op: number): Partial<Step> {
    switch (op) {
      case Op.Open:
        return { json: this.#json(isConnInfo) };
      case Op.Command:
        return { json: this.#json(isCommand) };
      case Op.Publish:
        return { json: this.#json(isPublish), bytes: this.#field() };
      case Op.Bytes:
        return { conn: this.#varint(), bytes: this.#field() };
      case Op.Writable:
      case Op.NotWritable:
      case Op.PeerEnd:
        return { conn: this.#varint() };
      case Op.Close:
        return { conn: this.#varint(), number: this.#cause() };
      case Op.Decision:
        return { conn: this.#varint(), json: this.#json(isDecision) };
      case Op.Commit:
      case Op.CommitRetry:
      case Op.CommitFailure:
        return { number: this.#number(Number.isSafeInteger) };
      case Op.Clock:
        return { number: this.#number(Number.isFinite) };
      case Op.Record:
      case Op.WantedRecord:
        return { bytes: this.#record() };
      case Op.Loaded:
      case Op.LoadFailure:
        return { bytes: this.#loaded() };
      case Op.Recovered:
      case Op.Timeout:
      case Op.Send:
      case Op.Effect:
      case Op.NoEffect:
      case Op.Journal:
      case Op.Event:
        return {};
      default:
        throw new RecordingError(`a recording that is damaged: an unknown entry ${op}`);
    }
  }

  /** A record of the store: at least its table and its key. */
  #record(): Uint8Array {
    const bytes = this.#field();
    const isWhole = bytes.length >= RECORD_HEAD_BYTES;
    check(isWhole && recordedKeyEnd(bytes) <= bytes.length, "an invalid record of the store");
    return bytes;
  }

  /** Messages of the store. */
  #loaded(): Uint8Array {
    const bytes = this.#field();
    check(decodeLoaded(bytes) !== null, "invalid messages of the store");
    return bytes;
  }

  #json(isValid: (value: unknown) => boolean): unknown {
    const bytes = this.#field();
    const value = parsed(bytes, 0, bytes.length);
    check(isValid(value), "invalid JSON");
    return value;
  }

  #verdict(): PolicyVerdict {
    const verdict = this.#u8();
    check(isVerdict(verdict), "an invalid verdict");
    return verdict as PolicyVerdict;
  }

  #cause(): number {
    const cause = this.#u8();
    check(isCause(cause), "an invalid cause");
    return cause;
  }

  #number(isValid: (value: number) => boolean): number {
    const number = this.#f64();
    check(isValid(number) && number >= 0, "an invalid number");
    return number;
  }

  /** A length, followed by the bytes. */
  #field(): Uint8Array {
    const length = this.#varint();
    return this.#bytes.subarray(this.#skip(length), this.#at);
  }

  #varint(): number {
    let value = 0;
    for (let i = 0; i < 5; i++) {
      const byte = this.#u8();
      value += (byte & 0x7f) * 128 ** i;
      if (byte < 0x80) return value;
    }
    throw new RecordingError("a recording that is damaged: a number that is too long");
  }

  #u8(): number {
    return this.#bytes[this.#skip(1)]!;
  }
  #u32(): number {
    return this.#view.getUint32(this.#skip(4), true);
  }
  #f64(): number {
    return this.#view.getFloat64(this.#skip(8), true);
  }

  /** Skips `count` bytes and returns their start. */
  #skip(count: number): number {
    if (this.#at + count > this.#bytes.length) throw new EndOfFile();
    this.#at += count;
    return this.#at - count;
  }
}

class EndOfFile extends Error {}

/** The value of JSON; undefined if it is invalid. */
function parsed(bytes: Uint8Array, start: number, end: number): unknown {
  try {
    return fromJson(decodeUtf8(bytes, start, end));
  } catch {
    return undefined;
  }
}

function check(isValid: boolean, fault: string): void {
  if (!isValid) throw new RecordingError(`a recording that is damaged: ${fault}`);
}

/** The time of a clock that has run for thousands of years. */
const MILLIS_MAX = 2 ** 48;
/** Far more than the size of any output buffer. */
const OUT_BYTES_MAX = 2 ** 26;
