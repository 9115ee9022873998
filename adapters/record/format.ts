/**
 * The format of a recording. docs/decisions/0006-recordings.md gives the reasons.
 *
 * ```
 * "SANSMQ\0" version | header length u32 | header, JSON | entries
 * ```
 * An entry is a byte of `Op` followed by its fields: `conn`, `count` and lengths as varints of at most 32 bits; times, clocks and
 * journal numbers as f64; all others as JSON after its length. All numbers are little-endian.
 */
import type { CodecKind } from "../../codec-wasm/mod.ts";
import type { BrokerConfig } from "../../core/mod.ts";

export const MAGIC: readonly number[] = [...Array.from("SANSMQ", (c) => c.charCodeAt(0)), 0, 1];

/** All that determines a broker, except its input. */
export interface RecordingHeader {
  /** The version of sansmq. Another version may have other output for the same input. */
  readonly version: string;
  readonly config: BrokerConfig;
  readonly codec: {
    readonly kind: CodecKind;
    /** The codec in use, such as `wasm-simd`. */
    readonly name: string;
    readonly seed: number;
  };
  /** False: payloads are masked, and checks cover only the lengths of output. */
  readonly payloads: boolean;
}

/** The first byte of an entry. */
export const Op = {
  /** f64: the time of the next steps. */ Time: 1,
  /** count: the size of output buffers. */ OutBytes: 2,

  /* Calls of the broker. Each is a step. */
  /** JSON of ConnInfo. */ Open: 8,
  /** conn, length, bytes. */ Bytes: 9,
  Writable: 10,
  NotWritable: 11,
  /** conn. */ PeerEnd: 26,
  /** conn, u8 cause. */ Close: 12,
  /** conn, JSON of Decision. */ Decision: 13,
  /** A record of the store: length, bytes (table u8, key length u32, key, value). */ Record: 27,
  /** All records have been read: the state is restored. */ Recovered: 28,
  /** A message of the store that was read again because it has to be in memory: as Record. */
  WantedRecord: 29,
  /** Messages of the store: length, bytes (for each: number f64, value length u32, value). */
  Loaded: 30,
  /** The same without values: the store could not read them. */
  LoadFailure: 31,
  /** f64. */ Commit: 14,
  CommitRetry: 15,
  CommitFailure: 16,
  /** f64. */ Clock: 17,
  /** JSON of Command. */ Command: 18,
  /** JSON of a publish Command, its payload: length, bytes. */ Publish: 25,
  Timeout: 19,
  Send: 20,
  Effect: 21,
  /** A poll for effects without a result. */ NoEffect: 22,
  Journal: 23,
  Event: 24,

  /* Parts of the step before: results of its port calls, and the check. */
  /** count, u8 verdict: the policy allowed `count` requests, then it returned the verdict. */ Verdict: 40,
  /** count, bytes. */ Entropy: 41,
  /** u16: a short form of the hash over all output so far. */ Check: 42,

  /** u8 `EndCause`, and the hash as two u32. */ End: 48,
} as const;

/** Entries from this byte on are parts of the step before. */
export const NESTED_MIN = 40;

export const EndCause = {
  /** The broker was closed, or its process ended. */ Closed: 1,
  /** The recording reached its maximum size. */ Full: 2,
} as const;

/** JSON with byte arrays as `{"$bytes": hexadecimal}`. */
export function toJson(value: unknown): string {
  return JSON.stringify(value, function (this: Record<string, unknown>, key, part: unknown) {
    // The value before `toJSON`, which Node's Buffers have.
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
