/** CONNECT: from a transport to a client with a session, MQTT 5.0 and 3.1.1 §3.1.4. */
import type { Millis } from "../boundary.ts";
import type { ConnectPacket, WillFields } from "../codec/decode-connect.ts";
import { decodeConnect } from "../codec/decode-connect.ts";
import { decodeUtf8, isUtf8 } from "../codec/utf8.ts";
import type { BrokerContext } from "../context.ts";
import { Verdict } from "../ports.ts";
import type { ReasonCode } from "../reason.ts";
import { FAILURE_MIN, Reason } from "../reason.ts";
import { isTopicName } from "../topic/name.ts";
import { attachSession } from "./attach.ts";
import { AuthOutcome, authenticate, type Denial } from "./authenticate.ts";
import type { Connection } from "./connection.ts";
import { reasonOf, tellDenied } from "./deny.ts";
import { refuse } from "./end.ts";
import { requestDecision } from "./park.ts";
import { isReserved } from "./publish-message.ts";

/** False: a decision is pending, the packet is to be handled again then. */
export function handleConnect(
  context: BrokerContext,
  connection: Connection,
  bytes: Uint8Array,
  start: number,
  end: number,
  now: Millis,
): boolean {
  connection.hasConnect = true;
  const packet = decodeConnect(bytes, start, end);
  if ("fault" in packet) {
    if (packet.level !== 0) connection.level = packet.level;
    return refuse(context, connection, packet.fault, now);
  }
  connection.level = packet.level;
  connection.isBridge = packet.isBridge;
  connection.clientId = packet.clientId;
  connection.username = packet.username;
  connection.wantsProblemInformation =
    packet.level === 5 && packet.properties.wantsProblemInformation;
  connection.packetBytesMax = packet.properties.packetBytesMax;
  const fault = validateConnect(context, packet);
  if (fault !== Reason.Success) return refuse(context, connection, fault, now);
  const { will } = packet;
  const willFault = will === null ? Reason.Success : validateWill(context, packet, will, bytes);
  if (willFault !== Reason.Success) {
    denyWill(context, connection, will!, bytes, willFault);
    return refuse(context, connection, willFault, now);
  }
  const verdict = authorizeConnect(context, connection, packet, bytes, start, end);
  if (verdict === null) return connection.parked === 0;
  if (verdict !== Reason.Success) {
    // Who it is was settled before its will was asked about.
    if (connection.isAuthenticated) denyWill(context, connection, will!, bytes, verdict);
    return refuse(context, connection, verdict, now);
  }
  const attached = attachSession(context, connection, packet, bytes, now);
  if (attached !== Reason.Success) return refuse(context, connection, attached, now);
  return true;
}

/** What is wrong with a CONNECT that was decoded, before anybody is asked. */
function validateConnect(context: BrokerContext, packet: ConnectPacket): ReasonCode {
  if (context.isShuttingDown) return Reason.ServerUnavailable;
  if (context.serverReference !== null) {
    return context.isMovedForGood ? Reason.ServerMoved : Reason.UseAnotherServer;
  }
  if (context.journal.hasFailed) return Reason.ServerUnavailable;
  if (packet.clientIdBytes > context.limits.clientIdBytesMax)
    return Reason.ClientIdentifierNotValid;
  if (packet.level === 3 && context.limits.clientIdLengthCheck === 1) {
    const length = packet.clientId.length;
    if (length < 1 || length > CLIENT_ID_LENGTH_MAX_3_1) return Reason.ClientIdentifierNotValid;
  }
  // An empty identifier asks for one, and one that the client does not know can not be come back to.
  const wantsIdentifier = packet.clientIdBytes === 0 && packet.level < 5;
  if (wantsIdentifier && !packet.isClean) return Reason.ClientIdentifierNotValid; // [MQTT311-3.1.3-8]
  return Reason.Success;
}

function validateWill(
  { limits }: BrokerContext,
  { level }: ConnectPacket,
  will: WillFields,
  bytes: Uint8Array,
): ReasonCode {
  const { topicStart, topicEnd, payloadStart, payloadEnd } = will;
  const { topicBytesMax, topicLevelsMax } = limits;
  if (!isTopicName(bytes, topicStart + 2, topicEnd, topicBytesMax, topicLevelsMax)) {
    return Reason.TopicNameInvalid;
  }
  if (will.qos > limits.qosMax) return Reason.QoSNotSupported; // [MQTT-3.2.2-12]
  if (will.isRetained && limits.retainAvailable === 0 && level === 5) {
    return Reason.RetainNotSupported; // [MQTT-3.2.2-13]
  }
  const isChecked = will.isPayloadText && limits.payloadFormatCheck === 1;
  if (isChecked && !isUtf8(bytes, payloadStart, payloadEnd, true))
    return Reason.PayloadFormatInvalid;
  return Reason.Success;
}

/**
 * Asks who the client is, then whether it may publish its will. Null: a decision is pending, or the
 * client's turn in an exchange.
 */
function authorizeConnect(
  context: BrokerContext,
  connection: Connection,
  packet: ConnectPacket,
  bytes: Uint8Array,
  start: number,
  end: number,
): ReasonCode | null {
  if (!connection.isAuthenticated) {
    const denial: Denial = { reason: Reason.NotAuthorized };
    const connect = bytes.subarray(start, end);
    const asked = authenticate(context, connection, packet, connect, denial);
    if (asked === AuthOutcome.Denied) return denial.reason;
    if (asked !== AuthOutcome.Allowed) return null;
    connection.isAuthenticated = true;
  }
  const { will, clientId } = packet;
  if (will === null) return Reason.Success;
  const topic = decodeUtf8(bytes, will.topicStart + 2, will.topicEnd);
  if (isReserved(context.limits, topic)) return Reason.NotAuthorized;
  const decision = connection.takeDecision();
  if (decision !== null) {
    return decision.kind === "allow" ? Reason.Success : reasonOf(connection, decision);
  }
  const { qos, isRetained: retain } = will;
  const verdict = context.policy.publish(connection.id, topic, qos, retain);
  if (verdict === Verdict.Pending) {
    requestDecision(context, connection, {
      kind: "publish",
      conn: connection.id,
      clientId,
      topic,
      qos,
      retain,
    });
    return null;
  }
  if (verdict === Verdict.Allow) return Reason.Success;
  return verdict >= FAILURE_MIN ? (verdict as ReasonCode) : Reason.NotAuthorized;
}

/** MQTT 3.1 §3.1: in characters. Most devices of that version have longer identifiers, or none. */
/** Tells that the will of a CONNECT is why it is refused. */
function denyWill(
  context: BrokerContext,
  connection: Connection,
  { topicStart, topicEnd }: WillFields,
  bytes: Uint8Array,
  reason: ReasonCode,
): void {
  tellDenied(context, connection, "will", decodeUtf8(bytes, topicStart + 2, topicEnd), reason);
}

const CLIENT_ID_LENGTH_MAX_3_1 = 23;
