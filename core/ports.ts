/**
 * What the core asks and is answered inside the call. Ports answer; effects act.
 *
 * A port never calls the broker, and any state it holds (an interning table, a topic index) is a
 * function of the calls made on it.
 */
import type { AuthenticateRequest, ConnId, QoS } from "./boundary.ts";
import type { Limits } from "./config.ts";
import type { FailureCode } from "./reason.ts";

export interface Ports {
  readonly ingest: Ingest;
  readonly topics: TopicIndexFactory;
  readonly policy: Policy;
  /**
   * Memory of so many bytes whose contents do not matter: a host that has some without filling it with
   * zeros saves that. Default: a new Uint8Array.
   */
  allocate?(byteCount: number): Uint8Array;
  /** Fills `out` with unpredictable bytes: used for assigned client identifiers only. */
  entropy(out: Uint8Array): void;
}

export const Verdict = {
  Allow: 0,
  Deny: 1,
  /** The connection is parked until `handleDecision`. */ Pending: 2,
} as const;
export type Verdict = (typeof Verdict)[keyof typeof Verdict];

/** A verdict, or the reason why the policy denies. */
export type PolicyAnswer = Verdict | FailureCode;

/** Who may connect, publish and subscribe. Asked on the data path: answer from memory. */
export interface Policy {
  authenticate(request: AuthenticateRequest): PolicyAnswer;
  publish(conn: ConnId, topic: string, qos: QoS, retain: boolean): PolicyAnswer;
  subscribe(conn: ConnId, filter: string, qos: QoS): PolicyAnswer;
}

/**
 * The hot path, in bytes and integers, so that TypeScript and WASM can both be it. One call per chunk,
 * no callbacks.
 */
export interface Ingest {
  /** Which implementation this is, for `$SYS` and logs, such as `wasm-simd`. */
  readonly name: string;
  /**
   * Finds the complete frames of `chunk[start, …)` and writes one row of four u32 per frame into
   * `table` (codec/layout.ts): offset, first byte and header length, remaining length, topic. For a
   * PUBLISH the topic name is validated and interned, and `topic` is its id; 0 where there is none
   * (other packets, and a PUBLISH whose topic name is empty).
   *
   * Returns how many rows: as many as there are frames, or as fit in `table`. It stops before a frame
   * that is malformed [MQTT-1.5.5-1], longer than `frameBytesMax` (header included), or has a topic name
   * that is none, so that what came before is handled first; where the frame at `start` itself is such
   * a one, it returns minus the reason code. A frame too long is told from its header alone, before
   * the rest has arrived.
   *
   * Every id in one call is of one epoch: the interning table is emptied only at a call's first row.
   */
  scan(chunk: Uint8Array, start: number, table: Uint32Array, frameBytesMax: number): number;
  /**
   * The id of the topic name `bytes[start, end)`, interned like those of `scan`; 0 where it is not a
   * topic name. May empty the table and move the epoch.
   */
  intern(bytes: Uint8Array, start: number, end: number): number;
  /** The topic name with this id, decoded once, on demand. The id is of the current epoch. */
  topicName(id: number): string;
  /** Changes when the interning table was emptied: ids of before mean nothing after. */
  readonly topicEpoch: number;
}

/** Which subscribers a topic reaches. A filter's bytes have been validated by the caller. */
export interface TopicIndex {
  /**
   * Adds a subscription, or replaces the options of one that is there. `subscriber` and `options` are
   * the caller's integers, handed back by `match`. Nothing has changed where there is no memory for it.
   */
  add(filter: Uint8Array, subscriber: number, options: number): Added;
  /** False: was not there. */
  remove(filter: Uint8Array, subscriber: number): boolean;
  /**
   * Writes a row of two u32, subscriber and options, for each subscription whose filter matches the
   * interned `topic`, in no particular order; a subscriber with several matching filters has several
   * rows. Returns how many rows there are: where that is more than fit in `out`, the caller makes a
   * larger one and calls again.
   */
  match(topic: number, out: Uint32Array): number;
  /** How many subscriptions there are. */
  readonly size: number;
}

/** What became of a subscription that was added. */
export const Added = {
  Replaced: 0,
  New: 1,
  /** There is no memory for it. */ NoMemory: 2,
} as const;
export type Added = (typeof Added)[keyof typeof Added];

export interface TopicIndexFactory {
  create(limits: Limits): TopicIndex;
}
