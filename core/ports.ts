/**
 * The ports of the core: interfaces that it calls and that return their result at once. Effects, in
 * contrast, request an action of the host.
 *
 * A port never calls the broker, and its state (a table of interned names, a topic index) depends
 * only on the calls it received.
 */
import type { AuthenticateRequest, ConnId, QoS } from "./boundary.ts";
import type { Limits } from "./config.ts";
import type { FailureCode } from "./reason.ts";

export interface Ports {
  readonly ingest: Ingest;
  readonly topics: TopicIndexFactory;
  readonly policy: Policy;
  /**
   * Memory of `byteCount` bytes with arbitrary contents. A host that can skip filling it with zeros
   * saves time. Default: a new Uint8Array.
   */
  allocate?(byteCount: number): Uint8Array;
  /** Fills `out` with unpredictable bytes. Only used for assigned client identifiers. */
  entropy(out: Uint8Array): void;
}

export const Verdict = {
  Allow: 0,
  Deny: 1,
  /** The connection is parked until `handleDecision`. */ Pending: 2,
} as const;
export type Verdict = (typeof Verdict)[keyof typeof Verdict];

/** A verdict, or the reason code of a denial. */
export type PolicyVerdict = Verdict | FailureCode;

/**
 * Decides which clients may connect, publish and subscribe. It is called on the data path and must
 * decide from memory.
 */
export interface Policy {
  authenticate(request: AuthenticateRequest): PolicyVerdict;
  publish(conn: ConnId, topic: string, qos: QoS, retain: boolean): PolicyVerdict;
  subscribe(conn: ConnId, filter: string, qos: QoS): PolicyVerdict;
}

/**
 * The hot path in bytes and integers, so that TypeScript and WebAssembly can both implement it. One
 * call per chunk, no callbacks.
 */
export interface Ingest {
  /** The name of the implementation, for `$SYS` and logs, for example `wasm-simd`. */
  readonly name: string;
  /**
   * Finds the complete frames of `chunk[start, …)` and writes a row of four u32 per frame into
   * `table` (codec/layout.ts): offset, first byte and header length, remaining length, topic. The
   * topic name of a PUBLISH is validated and interned, and `topic` is its id; 0 if there is none
   * (other packets, or an empty topic name).
   *
   * Returns the number of rows: one per frame, as many as fit into `table`. The scan stops before a
   * frame that is malformed [MQTT-1.5.5-1], exceeds `frameBytesMax` (header included) or has an
   * invalid topic name, so that earlier frames are handled first. If that is the frame at `start`,
   * it returns minus the reason code. The size is checked as soon as the header is complete.
   *
   * All ids of a call belong to one epoch: the table of names is emptied only before the first row
   * of a call.
   */
  scan(chunk: Uint8Array, start: number, table: Uint32Array, frameBytesMax: number): number;
  /**
   * The id of the topic name `bytes[start, end)`, interned like those of `scan`; 0 if it is not a
   * topic name. May empty the table and start a new epoch.
   */
  intern(bytes: Uint8Array, start: number, end: number): number;
  /** The topic name with this id, decoded once, on demand. The id must be of the current epoch. */
  topicName(id: number): string;
  /** Changes when the table of names is emptied, which invalidates all ids. */
  readonly topicEpoch: number;
}

/** Finds the subscribers of a topic. The caller has validated the filters. */
export interface TopicIndex {
  /**
   * Adds a subscription, or replaces the options of an existing one. `subscriber` and `options` are
   * integers of the caller, which `match` returns. If there is no memory for it, nothing changes.
   */
  add(filter: Uint8Array, subscriber: number, options: number): Added;
  /** False: there was no such subscription. */
  remove(filter: Uint8Array, subscriber: number): boolean;
  /**
   * Writes a row of two u32, subscriber and options, for each subscription whose filter matches the
   * interned `topic`, in any order; a subscriber with several matching filters gets several rows.
   * Returns the number of rows. If that is more than fit into `out`, the caller enlarges it and
   * calls again.
   */
  match(topic: number, out: Uint32Array): number;
  /** The number of subscriptions. */
  readonly size: number;
}

/** The result of adding a subscription. */
export const Added = {
  Replaced: 0,
  New: 1,
  /** There is no memory for it. */ NoMemory: 2,
} as const;
export type Added = (typeof Added)[keyof typeof Added];

export interface TopicIndexFactory {
  create(limits: Limits): TopicIndex;
}
