/**
 * All types that cross the core's boundary, in either direction.
 *
 * Inputs are `handle*`, outputs are `poll*`. The caller owns buffers and records; an outside
 * decision is a value; nothing here is a callback.
 */
import type { PropertyName, PropertyValue } from "./codec/properties.ts";
import type { ReasonCode } from "./reason.ts";

declare const brand: unique symbol;
export type Brand<T, Name extends string> = T & { readonly [brand]: Name };

/**
 * Slot in the low 20 bits (`slotOf`), generation in the 10 above: a small integer on every engine.
 * 0: no connection.
 */
export type ConnId = Brand<number, "ConnId">;
/**
 * Milliseconds on a clock that should not go back. If it does, the broker's time stands still, and
 * `clockHeld` counts it. The host chooses the zero.
 */
export type Millis = Brand<number, "Millis">;
/** A position in the journal. Commits are cumulative: committing n commits everything up to n. */
export type Seq = Brand<number, "Seq">;

/**
 * No connection: `handleOpen` returns it to refuse a transport, `pollSend` when there is no output.
 */
export const NO_CONN: ConnId = 0 as ConnId;
/** The slot of a connection, from 1 to `connectionsMax`. One connection has it at a time. */
export function slotOf(conn: ConnId): number {
  return conn & SLOT_MASK;
}
/** The id of the connection that takes `slot` after `generation` others. */
export function connIdOf(slot: number, generation: number): ConnId {
  return (((generation & GENERATION_MASK) << SLOT_BITS) | slot) as ConnId;
}
const SLOT_BITS = 20;
const SLOT_MASK = 0xf_ffff;
const GENERATION_MASK = 0x3ff;

/** No deadline: `pollTimeout` returns it when nothing is due. */
export const NEVER: Millis = Number.POSITIVE_INFINITY as Millis;

export type QoS = 0 | 1 | 2;
/**
 * The level byte of CONNECT, without the bridge bit: 3 is MQTT 3.1, 4 is MQTT 3.1.1, 5 is MQTT 5.0.
 */
export type ProtocolLevel = 3 | 4 | 5;

export interface ConnInfo {
  readonly transport: "tcp" | "tls" | "ws" | "wss" | "local";
  /** The address of the peer, `address:port`. Only for logs: the core does not interpret it. */
  readonly remote: string;
  /** From a verified client certificate; null without one. */
  readonly peer: PeerIdentity | null;
}

export interface PeerIdentity {
  readonly commonName: string;
}

/** Why a transport ended, as seen by the host. */
export const CloseCause = {
  /** The peer ended the stream normally. */ Ended: 1,
  /** Reset, timed out, or any other transport error. */ Error: 2,
  /** The host closed it on behalf of an effect. */ Asked: 3,
  /** The peer violated the transport protocol, for example with a WebSocket text frame. */
  Transport: 4,
} as const;
export type CloseCause = (typeof CloseCause)[keyof typeof CloseCause];

/**
 * Bytes for one connection. If `tail` is set, it follows `bytes[0, length)`; the core does not copy
 * it.
 */
export interface OutBuffer {
  /** Filled from 0. At least `OUT_BYTES_MIN` long. */
  bytes: Uint8Array;
  length: number;
  /**
   * The core does not modify it before the next `handle*`. A host that needs it for longer first
   * reports that the connection is not writable; then it may read the tail as long as it likes.
   */
  tail: Uint8Array | null;
}

/** The shortest `OutBuffer.bytes` that `pollSend` accepts. */
export const OUT_BYTES_MIN = 4096;

export const EffectKind = {
  /** No effect: the initial value of a record. */ None: 0,
  /** Close the transport; all output for it has been polled. */ Close: 1,
  /** Close it now and discard unsent bytes. */ Abort: 2,
  /** Resume reading after `handleBytes` returned false. */ Read: 3,
  /** Decide `request`, then call `handleDecision`. */ Decide: 4,
  /** Read the messages with `numbers` from the store, then call `handleLoaded`. No connection. */
  Load: 5,
} as const;
export type EffectKind = (typeof EffectKind)[keyof typeof EffectKind];

/** A record that the caller owns and the core fills, so that polling allocates nothing. */
export interface Effect {
  kind: EffectKind;
  conn: ConnId;
  reason: ReasonCode;
  request: DecisionRequest | null;
  /** Of a Load effect: the numbers of the messages; null: another effect. */
  numbers: Float64Array | null;
}

/**
 * A request for a decision that the policy left pending. It owns its data: safe to keep across an
 * await.
 */
export type DecisionRequest = AuthenticateRequest | PublishRequest | SubscribeRequest;

export interface AuthenticateRequest {
  readonly kind: "authenticate";
  readonly conn: ConnId;
  readonly info: ConnInfo;
  readonly level: ProtocolLevel;
  /** Whether the client declares itself a bridge. */
  readonly isBridge: boolean;
  /** As received; empty if the client requests an assigned identifier. */
  readonly clientId: string;
  readonly username: string | null;
  /** A copy, owned by the request. */
  readonly password: Uint8Array | null;
  /**
   * The method of enhanced authentication, MQTT 5.0 §4.12; null: user name and password, or none.
   */
  readonly method: string | null;
  /** The Authentication Data of this step. A copy, owned by the request. */
  readonly data: Uint8Array | null;
  /**
   * `connect`: a CONNECT; `continue`: the response to a challenge; `reauthenticate`: a connected
   * client starts again.
   */
  readonly step: "connect" | "continue" | "reauthenticate";
}

export interface PublishRequest {
  readonly kind: "publish";
  readonly conn: ConnId;
  readonly clientId: string;
  readonly topic: string;
  readonly qos: QoS;
  readonly retain: boolean;
}

export interface SubscribeRequest {
  readonly kind: "subscribe";
  readonly conn: ConnId;
  readonly clientId: string;
  readonly filters: readonly { readonly filter: string; readonly qos: QoS }[];
}

export type Decision =
  /** `data`: the final Authentication Data for the client. */
  | { readonly kind: "allow"; readonly principal?: string; readonly data?: Uint8Array }
  /**
   * For an AuthenticateRequest with a method: continues the exchange by sending `data` to the
   * client.
   */
  | { readonly kind: "challenge"; readonly data: Uint8Array }
  | DenyDecision
  /**
   * One reason code per filter of a SubscribeRequest; below 0x80 allows. `reasonString` as in
   * DenyDecision.
   */
  | {
      readonly kind: "filters";
      readonly reasons: readonly ReasonCode[];
      readonly reasonString?: string;
    };

export interface DenyDecision {
  readonly kind: "deny";
  readonly reason: ReasonCode;
  /** The Reason String for clients of MQTT 5.0; default: the name of the reason. */
  readonly reasonString?: string;
  /** The Server Reference for these clients, with UseAnotherServer or ServerMoved in CONNACK. */
  readonly serverReference?: string;
}

/**
 * MQTT 5.0 properties by name: numbers, texts, bytes, and User Property as pairs in order. A
 * PUBLISH may have several Subscription Identifiers.
 */
export type PropertyValues = { readonly [K in PropertyName]?: PropertyValue<K> };

/** The commands of the host program. */
export type Command =
  | {
      readonly kind: "publish";
      readonly topic: string;
      /** The broker copies it. */
      readonly payload: Uint8Array;
      readonly qos: QoS;
      readonly retain: boolean;
      /** MQTT 5.0 properties: those that receivers get, and MessageExpiryInterval. */
      readonly properties?: PropertyValues;
    }
  /** Ends the connection of one client and publishes its will. */
  | { readonly kind: "kick"; readonly clientId: string; readonly reason: ReasonCode }
  /**
   * Sends all clients to another server: the connected ones, and each that connects. `reference` is
   * the Server Reference for MQTT 5.0 clients; null ends the move.
   */
  | { readonly kind: "move"; readonly reference: string | null; readonly isForGood: boolean }
  /** Refuses new connections, and closes each existing one after its output has been polled. */
  | { readonly kind: "shutdown" }
  /**
   * Turns `published` events on or off. Off by default, because they cost time on the data path.
   */
  | { readonly kind: "observe"; readonly publishes: boolean }
  /**
   * The memory of the process, for `$SYS/broker/heap/current`. Without this command, the topic has
   * the memory for messages and input.
   */
  | { readonly kind: "memory"; readonly bytes: number };

/** The tables of the journal. Keys and values are bytes; journal/records.ts has their layout. */
export const Table = {
  Session: 0,
  Subscription: 1,
  Message: 2,
  Queue: 3,
  Retained: 4,
  Will: 5,
} as const;
export type Table = (typeof Table)[keyof typeof Table];

/**
 * An atomic batch of writes. It is valid until it is passed to `pollJournal` again; a store that
 * needs it for longer copies it.
 */
export interface JournalBatch {
  /** The number of records; 0: all writes of the batch cancelled each other. */
  readonly count: number;
  readonly firstSeq: Seq;
  readonly lastSeq: Seq;
  /** A reader of the records. No two of them have the same key, so they may be applied in any order. */
  records(): JournalRecords;
  /** The batch as one run of bytes, with a checksum, for `readBatch`. */
  encoded(): Uint8Array;
}

/** Whether a broker has writes for its store. */
export const JournalState = {
  Empty: 0,
  /** No output waits for their commit. */ Unawaited: 1,
  Awaited: 2,
} as const;
export type JournalState = (typeof JournalState)[keyof typeof JournalState];

export interface JournalRecords {
  /** Moves to the next record; false at the end. */
  next(): boolean;
  readonly table: Table;
  /** A view of the batch. */
  readonly key: Uint8Array;
  /** A view of the batch; null removes the key. */
  readonly value: Uint8Array | null;
  /** The key had no record before the batch; false: it may have had one. */
  readonly isNew: boolean;
}
