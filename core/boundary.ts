/**
 * Every type that crosses the core's boundary, in either direction.
 *
 * Inputs are `handle*`, outputs are `poll*`. Buffers and records are owned by the caller; an outside
 * decision is a value; nothing here is a callback.
 */
import type { ReasonCode } from "./reason.ts";

declare const brand: unique symbol;
export type Brand<T, Name extends string> = T & { readonly [brand]: Name };

/** Slot in the low 20 bits, generation in the 10 above: a small integer on every engine. 0 is none. */
export type ConnId = Brand<number, "ConnId">;
/**
 * Milliseconds on a clock that should not go back. Where it does, time stands still, which is counted. Its zero is
 * the host's business.
 */
export type Millis = Brand<number, "Millis">;
/** Position in the journal. Commits are cumulative: committing n commits everything before n. */
export type Seq = Brand<number, "Seq">;

/** No connection: what `handleOpen` returns to refuse one, and `pollSend` when nobody has bytes. */
export const NO_CONN: ConnId = 0 as ConnId;
/** No deadline: what `pollTimeout` returns when nothing is due, ever. */
export const NEVER: Millis = Number.POSITIVE_INFINITY as Millis;

export type QoS = 0 | 1 | 2;
/** 3 is MQTT 3.1, 4 is MQTT 3.1.1, 5 is MQTT 5.0: the level byte of CONNECT, without the bit of bridges. */
export type ProtocolLevel = 3 | 4 | 5;

export interface ConnInfo {
  readonly transport: "tcp" | "tls" | "ws" | "wss" | "local";
  /** Where the peer is, for people: `address:port`. Not interpreted. */
  readonly remote: string;
  /** From a verified client certificate; null without one. */
  readonly peer: PeerIdentity | null;
}

export interface PeerIdentity {
  readonly commonName: string;
}

/** Why a transport ended, as the host saw it. */
export const CloseCause = {
  /** The peer ended the stream in order. */ Ended: 1,
  /** Reset, timed out, or any other transport error. */ Error: 2,
  /** The host closed it because an effect said so. */ Asked: 3,
  /** The peer broke the rules of the transport, such as a WebSocket text frame. */ Transport: 4,
} as const;
export type CloseCause = (typeof CloseCause)[keyof typeof CloseCause];

/** Bytes for one connection. `tail`, if set, follows `bytes[0, length)` and is never copied. */
export interface OutBuffer {
  /** Filled from 0. At least `OUT_BYTES_MIN` long. */
  bytes: Uint8Array;
  length: number;
  /**
   * Not written by the core before its next `handle*`. A host that goes on reading it then says first that
   * the connection is not writable; from there on it may, as long as it likes.
   */
  tail: Uint8Array | null;
}

/** The shortest `OutBuffer.bytes` that `pollSend` accepts. */
export const OUT_BYTES_MIN = 4096;

export const EffectKind = {
  /** No effect: what a fresh record holds. */ None: 0,
  /** Close the transport; every byte owed to it has been polled. */ Close: 1,
  /** Close it now; unsent bytes are worthless. */ Abort: 2,
  /** Read again after `handleBytes` said false. */ Read: 3,
  /** Decide `request`, then call `handleDecision`. */ Decide: 4,
} as const;
export type EffectKind = (typeof EffectKind)[keyof typeof EffectKind];

/** Record the caller owns and the core fills, so that polling allocates nothing. */
export interface Effect {
  kind: EffectKind;
  conn: ConnId;
  reason: ReasonCode;
  request: DecisionRequest | null;
}

/** A question the policy could not answer at once. Owned: safe to keep across an await. */
export type DecisionRequest = AuthenticateRequest | PublishRequest | SubscribeRequest;

export interface AuthenticateRequest {
  readonly kind: "authenticate";
  readonly conn: ConnId;
  readonly info: ConnInfo;
  readonly level: ProtocolLevel;
  /** Whether it says that it is a bridge, another broker. */
  readonly isBridge: boolean;
  /** As sent; empty when the client asks the server to choose one. */
  readonly clientId: string;
  readonly username: string | null;
  /** Owned by the request. */
  readonly password: Uint8Array | null;
  /** Enhanced authentication, MQTT 5.0 §4.12; null: by user name and password, or not at all. */
  readonly method: string | null;
  /** What the method says in this step. Owned by the request. */
  readonly data: Uint8Array | null;
  /** The CONNECT, an answer to a challenge, or a client that is connected and authenticates again. */
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
  /** `data` is what the authentication method tells the client in the end. */
  | { readonly kind: "allow"; readonly principal?: string; readonly data?: Uint8Array }
  /** Of an AuthenticateRequest with a method: the exchange goes on, the client answers `data`. */
  | { readonly kind: "challenge"; readonly data: Uint8Array }
  | DenyDecision
  /** One reason code per filter of a SubscribeRequest: below 0x80 is allowed. `reasonString` as in DenyDecision. */
  | {
      readonly kind: "filters";
      readonly reasons: readonly ReasonCode[];
      readonly reasonString?: string;
    };

export interface DenyDecision {
  readonly kind: "deny";
  readonly reason: ReasonCode;
  /** Tells clients of MQTT 5.0 why, in place of the name of the reason. */
  readonly reasonString?: string;
  /** Where such a client is to go, for the reasons UseAnotherServer and ServerMoved in CONNACK. */
  readonly serverReference?: string;
}

/** Properties of MQTT 5.0 by name: numbers, texts, bytes, and User Property as pairs in order. */
export interface PropertyValues {
  readonly PayloadFormatIndicator?: number;
  readonly MessageExpiryInterval?: number;
  readonly ContentType?: string;
  readonly ResponseTopic?: string;
  readonly CorrelationData?: Uint8Array;
  /** In a PUBLISH several. */
  readonly SubscriptionIdentifier?: number | readonly number[];
  readonly SessionExpiryInterval?: number;
  readonly AssignedClientIdentifier?: string;
  readonly ServerKeepAlive?: number;
  readonly AuthenticationMethod?: string;
  readonly AuthenticationData?: Uint8Array;
  readonly RequestProblemInformation?: number;
  readonly WillDelayInterval?: number;
  readonly RequestResponseInformation?: number;
  readonly ResponseInformation?: string;
  readonly ServerReference?: string;
  readonly ReasonString?: string;
  readonly ReceiveMaximum?: number;
  readonly TopicAliasMaximum?: number;
  readonly TopicAlias?: number;
  readonly MaximumQoS?: number;
  readonly RetainAvailable?: number;
  readonly UserProperty?: readonly (readonly [name: string, value: string])[];
  readonly MaximumPacketSize?: number;
  readonly WildcardSubscriptionAvailable?: number;
  readonly SubscriptionIdentifierAvailable?: number;
  readonly SharedSubscriptionAvailable?: number;
}

/** What the embedding program asks of the broker. */
export type Command =
  | {
      readonly kind: "publish";
      readonly topic: string;
      /** Copied. */
      readonly payload: Uint8Array;
      readonly qos: QoS;
      readonly retain: boolean;
      /** Of MQTT 5.0, those that receivers get, and MessageExpiryInterval; no others. */
      readonly properties?: PropertyValues;
    }
  /** Ends the connection of one client; its will is published. */
  | { readonly kind: "kick"; readonly clientId: string; readonly reason: ReasonCode }
  /**
   * Sends every client elsewhere: those that are here, and those that come. `reference` is told to clients
   * of MQTT 5.0; null: they are welcome again.
   */
  | { readonly kind: "move"; readonly reference: string | null; readonly isForGood: boolean }
  /** Refuses new connections, then closes each once what it is owed has been polled. */
  | { readonly kind: "shutdown" }
  /** Turns `published` events on or off; they are off at first, for they cost on the data path. */
  | { readonly kind: "observe"; readonly publishes: boolean }
  /**
   * The memory of the process, which only its host knows: what `$SYS/broker/heap/current` says. Of a host that does
   * not tell, the topic says the memory for messages and input.
   */
  | { readonly kind: "memory"; readonly bytes: number };

/** The journal's tables. Keys and values are bytes, laid out in journal/record.ts. */
export const Table = { Session: 0, Subscription: 1, Message: 2, Queue: 3, Retained: 4 } as const;
export type Table = (typeof Table)[keyof typeof Table];

/** One atomic group of writes, in columns. The views are valid until the batch is handed back. */
export interface JournalBatch {
  readonly count: number;
  readonly firstSeq: Seq;
  readonly lastSeq: Seq;
  table(index: number): Table;
  key(index: number): Uint8Array;
  /** Null removes the key. */
  value(index: number): Uint8Array | null;
}
