/** A recording, step by step. What is torn off at its end, as by a process that was killed, is left out. */
import type { PolicyVerdict } from "../../core/mod.ts";
import { decodeUtf8 } from "../../core/mod.ts";
import {
  isCause,
  isCommand,
  isConnInfo,
  isDecision,
  isHeader,
  isPublish,
  isVerdict,
} from "./checked.ts";
import type { RecordingHeader } from "./format.ts";
import { fromJson, MAGIC, NESTED_MIN, Op } from "./format.ts";

/** A file that is no recording, or one of another kind. */
export class RecordingError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "RecordingError";
  }
}

/** One thing that a broker was asked, and what it was answered meanwhile. */
export interface Step {
  /** One of `Op`. */
  readonly op: number;
  readonly now: number;
  readonly outBytes: number;
  /** 0 where it has none. */
  readonly conn: number;
  readonly bytes: Uint8Array | null;
  readonly json: unknown;
  readonly number: number;
  /** Answers of the policy that were not Allow, each behind so many that were. */
  readonly verdicts: readonly { readonly allowedBefore: number; readonly verdict: PolicyVerdict }[];
  readonly entropy: readonly Uint8Array[];
  /** -1: nothing came out. */
  readonly check: number;
}

export interface RecordedEnd {
  readonly cause: "closed" | "full" | "torn";
  /** Of all output; null where it is torn. */
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

  /** Throws RecordingError where it is none. */
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const isOurs = MAGIC.slice(0, -1).every((byte, i) => bytes[i] === byte);
    if (!isOurs) throw new RecordingError("not a recording of sansmq");
    const version = bytes[MAGIC.length - 1];
    if (version !== MAGIC.at(-1)) {
      throw new RecordingError(
        `a recording of format ${version}; this reads format ${MAGIC.at(-1)}`,
      );
    }
    const start = MAGIC.length + 4;
    const end = bytes.length < start ? start : start + this.#view.getUint32(MAGIC.length, true);
    if (end > bytes.length || end === start) {
      throw new RecordingError("a recording that is torn off in its header");
    }
    this.#at = end;
    const header = parsed(bytes, start, end);
    if (!isHeader(header)) throw new RecordingError("a recording whose header is damaged");
    this.header = header;
  }

  /** How it ended, once the steps are through. */
  get end(): RecordedEnd {
    return this.#end;
  }

  /** Throws RecordingError at an entry that there can not be. */
  *steps(): Generator<Step> {
    let step: Step | null = null;
    for (;;) {
      // Where nothing follows a step, what belongs to it may be missing: it is none.
      if (step !== null && this.#at < this.#bytes.length) yield step;
      try {
        step = this.#next();
      } catch (error) {
        if (error instanceof Torn) return;
        throw error;
      }
      if (step === null) return;
    }
  }

  /** The next step with all that belongs to it; null at the end. */
  #next(): Step | null {
    let op = this.#u8();
    for (; op === Op.Time || op === Op.OutBytes; op = this.#u8()) {
      if (op === Op.Time) {
        this.#now = this.#f64();
        const isTime = Number.isInteger(this.#now) && this.#now >= 0 && this.#now <= MILLIS_MAX;
        sound(isTime, "a time that there is not");
      } else {
        this.#outBytes = this.#varint();
        sound(this.#outBytes <= OUT_BYTES_MAX, "a buffer that is too long");
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
    let check = -1;
    while (this.#at < this.#bytes.length && this.#isNested(this.#bytes[this.#at]!)) {
      const nested = this.#u8();
      if (nested === Op.Verdict) {
        verdicts.push({ allowedBefore: this.#varint(), verdict: this.#verdict() });
      } else if (nested === Op.Entropy) {
        entropy.push(this.#run());
      } else {
        check = this.#u8() | (this.#u8() << 8);
      }
    }
    return { op, now, outBytes, ...step, verdicts, entropy, check };
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
        return { json: this.#json(isPublish), bytes: this.#run() };
      case Op.Bytes:
        return { conn: this.#varint(), bytes: this.#run() };
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
      case Op.Timeout:
      case Op.Send:
      case Op.Effect:
      case Op.NoEffect:
      case Op.Journal:
      case Op.Event:
        return {};
      default:
        throw new RecordingError(`a recording that is damaged: there is no entry ${op}`);
    }
  }

  #json(isSound: (value: unknown) => boolean): unknown {
    const bytes = this.#run();
    const value = parsed(bytes, 0, bytes.length);
    sound(isSound(value), "JSON that says nothing");
    return value;
  }

  #verdict(): PolicyVerdict {
    const verdict = this.#u8();
    sound(isVerdict(verdict), "a verdict that there is not");
    return verdict as PolicyVerdict;
  }

  #cause(): number {
    const cause = this.#u8();
    sound(isCause(cause), "a cause that there is not");
    return cause;
  }

  #number(isSound: (value: number) => boolean): number {
    const number = this.#f64();
    sound(isSound(number) && number >= 0, "a number that there is not");
    return number;
  }

  #run(): Uint8Array {
    const length = this.#varint();
    return this.#bytes.subarray(this.#take(length), this.#at);
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
    return this.#bytes[this.#take(1)]!;
  }
  #u32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }
  #f64(): number {
    return this.#view.getFloat64(this.#take(8), true);
  }

  /** Where `count` bytes begin, which are passed over. */
  #take(count: number): number {
    if (this.#at + count > this.#bytes.length) throw new Torn();
    this.#at += count;
    return this.#at - count;
  }
}

class Torn extends Error {}

/** The value of JSON; undefined where it is none. */
function parsed(bytes: Uint8Array, start: number, end: number): unknown {
  try {
    return fromJson(decodeUtf8(bytes, start, end));
  } catch {
    return undefined;
  }
}

function sound(isSound: boolean, otherwise: string): void {
  if (!isSound) throw new RecordingError(`a recording that is damaged: ${otherwise}`);
}

/** Of a clock that has run for thousands of years. */
const MILLIS_MAX = 2 ** 48;
/** Far longer than any buffer that is sent from. */
const OUT_BYTES_MAX = 2 ** 26;
