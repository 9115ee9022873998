/**
 * What a recording is, byte by byte. Why it is so is in docs/decisions/0006-recordings.md.
 *
 * ```
 * "SANSMQ\0" version | header length u32 | header, JSON | entries
 * ```
 * An entry is one byte of `Op`, and its fields: `conn`, `count` and lengths as varints of at most 32 bits,
 * times, clocks and journal numbers as f64, the rest as JSON behind its length. All numbers are little-endian.
 */
import type { CodecKind } from "../../codec-wasm/mod.ts";
import type { BrokerConfig } from "../../core/mod.ts";

export const MAGIC: readonly number[] = [...Array.from("SANSMQ", (c) => c.charCodeAt(0)), 0, 1];

/** Everything that a broker is made of, beside what is asked of it. */
export interface RecordingHeader {
  /** Of sansmq. Another one may answer the same input with other bytes. */
  readonly version: string;
  readonly config: BrokerConfig;
  readonly codec: {
    readonly kind: CodecKind;
    /** Which one that was, such as `wasm-simd`. */
    readonly name: string;
    readonly seed: number;
  };
  /** False: they are left out, and checks cover whom how many bytes were sent, not which. */
  readonly payloads: boolean;
}

/** First byte of an entry. */
export const Op = {
  /** It is `f64` now. */ Time: 1,
  /** Buffers to send from are `count` bytes long. */ OutBytes: 2,

  /* What was asked of the broker, each a step. */
  /** JSON of ConnInfo. */ Open: 8,
  /** conn, length, bytes. */ Bytes: 9,
  Writable: 10,
  NotWritable: 11,
  /** conn. */ PeerEnd: 26,
  /** conn, u8 cause. */ Close: 12,
  /** conn, JSON of Decision. */ Decision: 13,
  /** f64. */ Commit: 14,
  CommitRetry: 15,
  CommitFailure: 16,
  /** f64. */ Clock: 17,
  /** JSON of Command. */ Command: 18,
  /** JSON of a publish Command, its payload: length, bytes. */ Publish: 25,
  Timeout: 19,
  Send: 20,
  Effect: 21,
  /** Effects were polled, and there was none. */ NoEffect: 22,
  Journal: 23,
  Event: 24,

  /* What belongs to the step before: answers of ports, and the check. */
  /** So many questions to the policy were allowed, then one was answered: count, u8 verdict. */ Verdict: 40,
  /** count, bytes. */ Entropy: 41,
  /** u16: the lower half of the hash over all output so far. */ Check: 42,

  /** u8 `EndCause`, and the hash as two u32. */ End: 48,
} as const;

/** Entries from here on belong to the step before. */
export const NESTED_MIN = 40;

export const EndCause = {
  /** The broker was closed, or its process ended. */ Closed: 1,
  /** The bound was reached. */ Full: 2,
} as const;

/** JSON in which bytes are `{"$bytes": hexadecimal}`. */
export function toJson(value: unknown): string {
  return JSON.stringify(value, function (this: Record<string, unknown>, key, part: unknown) {
    // As it is, for Node's buffers have a JSON of their own.
    const own = this[key];
    return own instanceof Uint8Array ? { $bytes: hexOf(own) } : part;
  });
}

export function fromJson(text: string): unknown {
  return JSON.parse(text, (_, part: unknown) => {
    if (typeof part !== "object" || part === null || !("$bytes" in part)) return part;
    const hex = String(part.$bytes);
    return Uint8Array.from({ length: hex.length / 2 }, (_, i) =>
      Number.parseInt(hex.slice(2 * i, 2 * i + 2), 16),
    );
  });
}

function hexOf(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
