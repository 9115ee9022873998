/**
 * How a connection ends: a table of causes, and the function that applies it.
 *
 * A packet handler returns a fault, which is a reason code. The dispatcher derives the cause and
 * calls `endConnection`, the only code that moves a connection to `Closing` or `Ended`.
 */
import type { DenyDecision, Millis, PropertyValues } from "../boundary.ts";
import { EffectKind } from "../boundary.ts";
import { encodeConnack, encodeConnack5, encodeReason } from "../codec/encode.ts";
import { FirstByte } from "../codec/packet.ts";
import type { Connection } from "../connection/connection.ts";
import { Stage } from "../connection/connection.ts";
import type { BrokerContext } from "../context.ts";
import { Counter } from "../observe/counters.ts";
import { detachSession } from "../publishing/session-end.ts";
import { dropWill } from "../publishing/will.ts";
import type { ReasonCode } from "../reason.ts";
import { connectReturnCode, Reason, reasonFor } from "../reason.ts";
import { dropInput } from "./input-buffer.ts";
import {
  dropGatedReplies,
  ENCODED_REPLY,
  fitsMaximumPacketSize,
  keepEncodedReply,
  policyReasonString,
  reasonString,
  replyInOrder,
  sendReply,
} from "./reply-queue.ts";

/** The effects of one cause. */
interface Ending {
  /**
   * Effect on a transport without a session: a CONNACK with a failure, an orderly close, or an
   * abort.
   */
  readonly withoutSession: "CONNACK" | "close" | "abort";
  /** The packet that tells a client of MQTT 5.0 the reason [MQTT-3.14.0-1]. */
  readonly packet: "DISCONNECT" | "nothing";
  /** How much of the queued output is still sent if no DISCONNECT is sent. */
  readonly flushes: "nothing" | "replies" | "everything";
  /** Effect on the transport of a client with a session. */
  readonly transport: "close" | "abort";
  /** Whether the will is published, possibly after its delay, or dropped. */
  readonly will: "published" | "dropped";
  /** `byReason`: the counter that belongs to the reason code; null: no counter. */
  readonly counter: number | "byReason" | null;
}

/** Why a connection ends. */
export type EndCause =
  | "connectRefused"
  | "packetFault"
  | "connectTimeout"
  | "keepAliveTimeout"
  | "stalled"
  | "disconnected"
  | "disconnectedWithWill"
  | "takenOver"
  | "commanded"
  | "shutDown"
  | "flushed"
  | "peerEnded"
  | "transportClosed";

// biome-ignore format: it is a table
const rows: Readonly<Record<EndCause, readonly [...string[], number | string | null]>> = {
  // cause                withoutSession packet       flushes       transport will         counter
  /** A CONNECT failed, or an AUTH before CONNACK [MQTT311-3.2.2-5] [MQTT-3.2.2-7]. */
  connectRefused:       ["CONNACK", "nothing",    "nothing",    "close", "published", Counter.connectsRefused],
  /** A packet violates the protocol or a limit [MQTT-4.13.1-1]. */
  packetFault:          ["abort",   "DISCONNECT", "replies",    "close", "published", "byReason"],
  /** No CONNECT arrived in time. */
  connectTimeout:       ["abort",   "nothing",    "nothing",    "abort", "published", Counter.closedConnectTimeout],
  /** No packet within one and a half times the keep alive [MQTT311-3.1.2-24] [MQTT-3.1.2-22]. */
  keepAliveTimeout:     ["abort",   "DISCONNECT", "nothing",    "abort", "published", "byReason"],
  /** The transport has taken no bytes for too long. */
  stalled:              ["abort",   "DISCONNECT", "nothing",    "abort", "published", Counter.closedStalled],
  /** DISCONNECT with reason code 0 [MQTT311-3.14.4-3] [MQTT-3.14.4-3]. */
  disconnected:         ["close",   "nothing",    "replies",    "close", "dropped",   null],
  /** DISCONNECT with any other reason code. */
  disconnectedWithWill: ["close",   "nothing",    "replies",    "close", "published", null],
  /** Another connection takes the session over [MQTT311-3.1.4-2] [MQTT-3.1.4-3]. */
  takenOver:            ["close",   "DISCONNECT", "nothing",    "close", "published", Counter.sessionsTakenOver],
  /** The host program kicks the client or sends it to another server. */
  commanded:            ["close",   "DISCONNECT", "nothing",    "close", "published", Counter.closedByCommand],
  /** The broker shuts down, which need not publish wills, MQTT 3.1.1 §3.1.2.5. */
  shutDown:             ["close",   "nothing",    "everything", "close", "dropped",   null],
  /** All output of a closing connection has been sent, or the time for that has passed. */
  flushed:              ["close",   "DISCONNECT", "nothing",    "close", "published", null],
  /** The peer writes no more, and the broker has sent all output for the client. */
  peerEnded:            ["close",   "nothing",    "nothing",    "close", "published", null],
  /** The transport has closed: nothing can be sent. */
  transportClosed:      ["close",   "nothing",    "nothing",    "close", "published", null],
};

const endings = Object.fromEntries(
  Object.entries(rows).map(
    ([cause, [withoutSession, packet, flushes, transport, will, counter]]) => [
      cause,
      { withoutSession, packet, flushes, transport, will, counter },
    ],
  ),
) as Readonly<Record<EndCause, Ending>>;

/**
 * Ends a connection for `cause`. If output is left to send, the connection becomes `Closing`, and
 * `flushed` ends it once the output has been polled. Otherwise it is `Ended` at once, and an effect
 * tells the host.
 */
export function endConnection(
  context: BrokerContext,
  connection: Connection,
  cause: EndCause,
  reason: ReasonCode,
): void {
  if (connection.stage === Stage.Ended) return;
  const row = endings[cause];
  count(context, row, reason);
  if (row.withoutSession === "CONNACK") {
    if (!refuseConnect(context, connection, reason)) {
      // No CONNACK can express the reason in the client's version or within its Maximum Packet
      // Size.
      endConnection(context, connection, "packetFault", reason);
    }
    return;
  }
  if (row.will === "dropped") dropWill(context, connection);
  const hasSession = connection.session !== null;
  const isConfirmed = hasSession && context.journal.committed >= connection.connackSeq;
  // Replies that wait for a commit still go out, in order.
  const isGated =
    hasSession && row.flushes === "replies" && (connection.commitGate?.count ?? 0) > 0;
  if (hasSession && row.flushes === "everything") {
    connection.endReason = reason;
    connection.stage = Stage.Closing;
    context.sendQueue.schedule(connection.slot);
    return;
  }
  const sendsReason = row.packet === "DISCONNECT" && reason !== Reason.Success;
  if ((isConfirmed || isGated) && sendsReason && connection.level === 5) {
    startClosing(context, connection, reason, isGated);
    sendDisconnect(context, connection, reason);
    return;
  }
  if (isGated || (isConfirmed && row.flushes === "replies" && connection.replies !== null)) {
    startClosing(context, connection, reason, isGated);
    return;
  }
  detach(context, connection, reason);
  dropGatedReplies(context, connection);
  connection.stage = Stage.Ended;
  if (cause === "transportClosed") return;
  const transport = hasSession ? row.transport : row.withoutSession;
  const kind = transport === "abort" ? EffectKind.Abort : EffectKind.Close;
  context.pushEffect(kind, connection, reason);
}

function count(context: BrokerContext, { counter }: Ending, reason: ReasonCode): void {
  if (counter === null) return;
  context.counters[counter === "byReason" ? counterOf(reason) : counter]!++;
}

/**
 * Queues a CONNACK with a failure; false if no CONNACK can express it, and then nothing is queued.
 */
function refuseConnect(
  context: BrokerContext,
  connection: Connection,
  reason: ReasonCode,
): boolean {
  let packet: Uint8Array;
  if (connection.level === 5) {
    const code = reasonFor("CONNACK", reason); // [MQTT-3.2.2-6]
    packet = encodeWithReason(context, connection, reason, (properties) =>
      encodeConnack5(false, code, properties),
    );
    if (!fitsMaximumPacketSize(connection, packet)) return false;
  } else {
    const returnCode = connectReturnCode(reason);
    if (returnCode < 0) return false;
    packet = encodeConnack(false, returnCode); // [MQTT311-3.2.2-4]
  }
  keepEncodedReply(connection, packet);
  connection.endReason = reason;
  connection.stage = Stage.Closing;
  sendReply(context, connection, ENCODED_REPLY);
  return true;
}

/**
 * Queues DISCONNECT after the replies to earlier packets; the CONNACK may be one of them
 * [MQTT-3.14.0-1].
 */
function sendDisconnect(context: BrokerContext, connection: Connection, reason: ReasonCode): void {
  const code = reasonFor("DISCONNECT", reason);
  const packet = encodeWithReason(context, connection, reason, (properties) =>
    encodeReason(FirstByte.Disconnect, code, properties),
  );
  keepEncodedReply(connection, packet);
  replyInOrder(context, connection, ENCODED_REPLY);
}

/**
 * Encodes a packet with as many explanatory properties as fit the client's Maximum Packet Size
 * [MQTT-3.1.2-24].
 */
function encodeWithReason(
  context: BrokerContext,
  connection: Connection,
  reason: ReasonCode,
  encode: (properties: PropertyValues) => Uint8Array,
): Uint8Array {
  const { denial } = connection;
  connection.denial = null;
  const reference = serverReference(context, reason, denial);
  const policyText = policyReasonString(connection, denial?.reasonString);
  if (policyText !== null) {
    const packet = encode({ ...policyText, ...reference });
    if (fitsMaximumPacketSize(connection, packet)) return packet;
  }
  const whole = encode({ ...reasonString(connection, reason), ...reference });
  if (fitsMaximumPacketSize(connection, whole)) return whole;
  const brief = encode(reference);
  return fitsMaximumPacketSize(connection, brief) ? brief : encode({});
}

function serverReference(
  context: BrokerContext,
  reason: ReasonCode,
  denial: DenyDecision | null,
): PropertyValues {
  const isRedirect = reason === Reason.UseAnotherServer || reason === Reason.ServerMoved;
  const reference = denial?.serverReference ?? context.serverReference;
  return isRedirect && reference !== null ? { ServerReference: reference } : {};
}

/**
 * Detaches the client. The transport may still take the queued output, but only for a short time.
 * `keepsGated`: that includes the replies that wait for a commit.
 */
function startClosing(
  context: BrokerContext,
  connection: Connection,
  reason: ReasonCode,
  keepsGated: boolean,
): void {
  detach(context, connection, reason);
  connection.stage = Stage.Closing;
  connection.parked = 0;
  if (!keepsGated) dropGatedReplies(context, connection);
  context.deadlines.set(connection.slot, (context.now + DISCONNECT_MILLIS_MAX) as Millis);
}

/** Takes the session and the kept input from a connection, once. */
function detach(context: BrokerContext, connection: Connection, reason: ReasonCode): void {
  const { slot, id, info, session, clientId, will } = connection;
  context.deadlines.cancel(slot);
  if (connection.isDetached) return;
  connection.isDetached = true;
  connection.endReason = reason;
  dropInput(context, connection);
  context.storeBlocked.delete(connection);
  context.retainedScans.delete(connection);
  if (session === null) {
    const { hasConnect } = connection;
    context.events.push({ kind: "refused", conn: id, clientId, info, reason, hasConnect });
    return;
  }
  connection.session = null;
  connection.will = null;
  detachSession(context, session, will);
  context.events.push({ kind: "disconnected", conn: id, clientId, reason });
}

function counterOf(reason: ReasonCode): number {
  switch (reason) {
    case Reason.MalformedPacket:
      return Counter.closedMalformed;
    case Reason.PacketTooLarge:
      return Counter.closedTooLarge;
    case Reason.TopicNameInvalid:
    case Reason.TopicFilterInvalid:
      return Counter.closedTopicInvalid;
    case Reason.KeepAliveTimeout:
      return Counter.closedKeepAlive;
    case Reason.QuotaExceeded:
    case Reason.ReceiveMaximumExceeded:
      return Counter.closedQuota;
    default:
      return Counter.closedProtocolError;
  }
}

/** How long a DISCONNECT and the replies before it may wait for a blocked transport. */
const DISCONNECT_MILLIS_MAX = 1000;
