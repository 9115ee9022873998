/**
 * The state of one transport and of its client.
 *
 * ```
 * Opened ──CONNECT──▶ Connected ──end──▶ Closing ──polled──▶ Ended ──handleClose──▶ gone
 *    └──refused──▶ Closing      └──end without output──▶ Ended
 * ```
 *
 * The table in lifecycle/transitions.ts lists the causes of an end and their effects.
 */
import type { Ring } from "../base/ring.ts";
import type {
  ConnId,
  ConnInfo,
  Decision,
  DenyDecision,
  Millis,
  ProtocolLevel,
  Seq,
} from "../boundary.ts";
import type { OutboundAliases } from "../message/outbound-aliases.ts";
import type { ReasonCode } from "../reason.ts";
import { Reason } from "../reason.ts";
import type { Session, Will } from "../session/session.ts";
import type { CommitGate } from "./commit-gate.ts";
import type { Exchange } from "./exchange.ts";
import type { InboundAliases } from "./inbound-aliases.ts";

export const Stage = {
  /** No CONNECT accepted yet. */ Opened: 0,
  Connected: 1,
  /** Reads no more; closes when its output has been polled. */ Closing: 2,
  /** The host has been told to close the transport. */ Ended: 3,
} as const;
export type Stage = (typeof Stage)[keyof typeof Stage];

/** Reasons to park a connection, as bits. */
export const Parked = {
  /** A decision is pending. */ Decision: 1,
  /** A message of its client is still being delivered in slices. */ Fanout: 2,
  /** Its client takes replies slower than it causes them. */ Output: 4,
  /** The store is behind. */ Journal: 8,
  /**
   * It has `receiveMax` unacknowledged messages, and its protocol version has no Receive Maximum.
   */
  ReceiveMax: 16,
} as const;

export class Connection {
  readonly slot: number;
  readonly id: ConnId;
  readonly info: ConnInfo;
  readonly openedAt: Millis;
  stage: Stage = Stage.Opened;
  /** Its session has ended or continues without it; its packets are not handled any more. */
  isDetached = false;
  level: ProtocolLevel = 4;
  /** The client is another broker: its subscriptions are No Local and Retain As Published. */
  isBridge = false;
  /** Whether its packets have properties: MQTT 5.0 only. */
  hasProperties = false;
  /** The client's Maximum Packet Size. */
  packetBytesMax: number = Number.POSITIVE_INFINITY;
  /** Aliases towards the client; null: the client accepts none. */
  outboundAliases: OutboundAliases | null = null;
  /** Aliases that the client has set; null: none yet. */
  inboundAliases: InboundAliases | null = null;
  /**
   * QoS 1 and 2 messages from the client that count against `receiveMax`: with 5.0 until the last
   * packet of their flow has been sent, with older versions until PUBACK or PUBREC has been sent.
   */
  unacknowledgedCount = 0;
  /** Whether the client wants Reason Strings with any failure. */
  wantsProblemInformation = false;
  /** An exchange of enhanced authentication; null: none. */
  exchange: Exchange | null = null;
  session: Session | null = null;
  clientId = "";
  /** A CONNECT was received, accepted or not. */
  hasConnect = false;
  /** Its authentication has succeeded. */
  isAuthenticated = false;
  username: string | null = null;
  /** 0: no keep alive. */
  keepAliveMillis = 0;
  lastSeen: Millis;
  /** The peer writes no more: the connection ends once all output for it has been sent. */
  hasPeerEnded = false;
  /** When the transport stopped taking bytes; -1: it takes bytes. */
  stalledAt = -1;
  will: Will | null = null;
  /** The last decision that denied, until its explanation has been sent; null: none. */
  denial: DenyDecision | null = null;
  /** Why the connection ends, for the `disconnected` or `refused` event. */
  endReason: ReasonCode = Reason.Unspecified;

  /** Replies in sending order, one word each (lifecycle/reply-queue.ts). Null: none. */
  replies: Ring | null = null;
  /** Replies that do not fit into a word, in the order of their words. */
  encodedReplies: Uint8Array[] = [];
  /** The total length of `encodedReplies`. */
  encodedReplyBytes = 0;
  commitGate: CommitGate | null = null;
  /** The write that its CONNACK waits for. No output of its session is sent before. */
  connackSeq = 0;

  /** Bits of `Parked`. While any is set, input goes to the backlog. */
  parked = 0;
  /**
   * Input received while parked, or after the packet that parked it. Lies at the end of a buffer of
   * its own.
   */
  inputBacklog: Uint8Array | null = null;
  /** `handleBytes` returned false: a `Read` effect follows when the input is handled. */
  owesReadEffect = false;
  /** The decision of the host, until the handler takes it. */
  decision: Decision | null = null;
  /** The acknowledgement to send when its fan-out is complete; 0: none. */
  fanoutReply = 0;
  /** The newest write before those of the fan-out; null: the acknowledgement waits for no commit. */
  fanoutBefore: Seq | null = 0 as Seq;

  /** The beginning of an incomplete packet, `partial[0, partialBytes)`. */
  partial: Uint8Array | null = null;
  partialBytes = 0;

  constructor(slot: number, id: ConnId, info: ConnInfo, now: Millis) {
    this.slot = slot;
    this.id = id;
    this.info = info;
    this.openedAt = now;
    this.lastSeen = now;
  }

  /** Whether input is handled as it arrives. */
  get isReading(): boolean {
    return this.parked === 0 && this.stage <= Stage.Connected;
  }

  /** Takes the decision of the host; null if there is none. */
  takeDecision(): Decision | null {
    const decision = this.decision;
    this.decision = null;
    return decision;
  }
}
