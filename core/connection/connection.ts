/**
 * One transport and where it stands.
 *
 * ```
 * Opened ──CONNECT──▶ Connected ──last bytes owed──▶ Closing ──polled──▶ Ended ──handleClose──▶ gone
 *    └──refused──▶ Closing      └──fault, DISCONNECT, takeover, reset──▶ Ended
 * ```
 *
 * The table in lifecycle/transitions.ts says what each cause of an end does.
 */
import type { Ring } from "../base/ring.ts";
import type {
  ConnId,
  ConnInfo,
  Decision,
  DenyDecision,
  Millis,
  ProtocolLevel,
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
  /** Nothing more is read; closed when what is owed has been polled. */ Closing: 2,
  /** The host was told to close it. */ Ended: 3,
} as const;
export type Stage = (typeof Stage)[keyof typeof Stage];

/** Why a connection's input is held, as bits. */
export const Parked = {
  /** A decision is pending. */ Decision: 1,
  /** Its own message is still being delivered, in slices. */ Fanout: 2,
  /** It has been sent more answers than it takes. */ Output: 4,
  /** The store is behind. */ Journal: 8,
  /** It has `receiveMax` messages that were not answered, and is too old to know of that limit. */
  Received: 16,
} as const;

export class Connection {
  readonly slot: number;
  readonly id: ConnId;
  readonly info: ConnInfo;
  readonly openedAt: Millis;
  stage: Stage = Stage.Opened;
  /** Its session goes on without it, or has ended; nothing of it is handled any more. */
  isDetached = false;
  level: ProtocolLevel = 4;
  /** Another broker, which says so: its subscriptions are No Local and Retain As Published. */
  isBridge = false;
  /** Whether its packets have properties: MQTT 5.0. */
  hasProperties = false;
  /** The longest packet that the client takes. */
  packetBytesMax: number = Number.POSITIVE_INFINITY;
  /** Aliases towards the client; null: it takes none. */
  outboundAliases: OutboundAliases | null = null;
  /** Aliases that the client has set; null: none yet. */
  inboundAliases: InboundAliases | null = null;
  /**
   * Messages at QoS 1 and 2 that the client has sent and that count against `receiveMax`: of 5.0 until the
   * last packet of their flow has been sent, of older versions until PUBACK or PUBREC has.
   */
  receivedCount = 0;
  /** Whether it wants Reason Strings with any failure. */
  wantsProblemInformation = false;
  /** An authentication of more than one step; null: none. */
  exchange: Exchange | null = null;
  session: Session | null = null;
  clientId = "";
  /** A CONNECT came, whatever became of it. */
  hasConnect = false;
  /** Its user name and password were accepted. */
  isAuthenticated = false;
  username: string | null = null;
  /** 0 is never. */
  keepAliveMillis = 0;
  lastSeen: Millis;
  /** When the transport stopped taking bytes, or -1. */
  stalledAt = -1;
  will: Will | null = null;
  /** The last decision that denied, until the client has been told; null: none, or one that said no more. */
  denial: DenyDecision | null = null;
  /** Why it ends, for the event. */
  endReason: ReasonCode = Reason.Unspecified;

  /** Replies in the order in which they leave, one word each (lifecycle/reply-queue.ts). Null: none. */
  replies: Ring | null = null;
  /** Replies that are more than a word, in the order of their words. */
  encodedReplies: Uint8Array[] = [];
  /** Of those. */
  packetBytes = 0;
  commitGate: CommitGate | null = null;
  /** The write that its CONNACK waits for; nothing of its session is sent before. */
  connackSeq = 0;

  /** Bits of `Parked`. While any is set, input is held. */
  parked = 0;
  /** Input that came while parked, or after what parked it: at the end of a buffer of its own. */
  inputBacklog: Uint8Array | null = null;
  /** `handleBytes` said false: a `Read` effect is owed. */
  owesRead = false;
  /** The answer to the question that parked it, until it is used. */
  decision: Decision | null = null;
  /** The acknowledgement that is due when its fan-out is done; 0 is none. */
  fanoutReply = 0;

  /** The beginning of a packet, `partial[0, partialBytes)`. */
  partial: Uint8Array | null = null;
  partialBytes = 0;

  constructor(slot: number, id: ConnId, info: ConnInfo, now: Millis) {
    this.slot = slot;
    this.id = id;
    this.info = info;
    this.openedAt = now;
    this.lastSeen = now;
  }

  /** Whether input is to be handled as it comes. */
  get isReading(): boolean {
    return this.parked === 0 && this.stage <= Stage.Connected;
  }

  /** The decision that was waited for, once; null where none was. */
  takeDecision(): Decision | null {
    const decision = this.decision;
    this.decision = null;
    return decision;
  }
}
