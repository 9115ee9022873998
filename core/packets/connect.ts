/**
 * Handles CONNECT: validates, authenticates and authorizes it, then attaches a session, MQTT 5.0
 * and 3.1.1 §3.1.4.
 */
import type { ConnectPacket, WillFields } from "../codec/decode-connect.ts";
import { decodeConnect } from "../codec/decode-connect.ts";
import { decodeUtf8, isUtf8 } from "../codec/utf8.ts";
import type { Connection } from "../connection/connection.ts";
import { denialReason, reportDenied } from "../connection/denials.ts";
import type { BrokerContext } from "../context.ts";
import { requestDecision } from "../lifecycle/decisions.ts";
import { Verdict } from "../ports.ts";
import { isReserved } from "../publishing/publish-message.ts";
import type { Outcome, ReasonCode } from "../reason.ts";
import { FAILURE_MIN, PENDING, Reason } from "../reason.ts";
import { isTopicName } from "../topic/name.ts";
import { authenticateConnect, CHALLENGED } from "./authenticate.ts";
import { attachSession } from "./connack.ts";

/**
 * Handles the CONNECT with variable header and payload `bytes[start, end)`. A fault refuses the
 * connection.
 */
export function handleConnect(
  context: BrokerContext,
  connection: Connection,
  bytes: Uint8Array,
  start: number,
  end: number,
): Outcome {
  connection.hasConnect = true;
  const packet = decodeConnect(bytes, start, end);
  if ("fault" in packet) {
    if (packet.level !== 0) connection.level = packet.level;
    return packet.fault;
  }
  connection.level = packet.level;
  connection.isBridge = packet.isBridge;
  connection.clientId = packet.clientId;
  connection.username = packet.username;
  connection.wantsProblemInformation =
    packet.level === 5 && packet.properties.wantsProblemInformation;
  connection.packetBytesMax = packet.properties.packetBytesMax;
  const fault = validateConnect(context, packet);
  if (fault !== Reason.Success) return fault;
  const { will } = packet;
  const willFault = will === null ? Reason.Success : validateWill(context, packet, will, bytes);
  if (willFault !== Reason.Success) {
    reportDeniedWill(context, connection, will!, bytes, willFault);
    return willFault;
  }
  if (!connection.isAuthenticated) {
    const connect = bytes.subarray(start, end);
    const outcome = authenticateConnect(context, connection, packet, connect);
    if (outcome === CHALLENGED) return Reason.Success;
    if (outcome !== Reason.Success) return outcome;
    connection.isAuthenticated = true;
  }
  if (will !== null) {
    const outcome = authorizeWill(context, connection, will, bytes);
    if (outcome === PENDING) return PENDING;
    if (outcome !== Reason.Success) {
      reportDeniedWill(context, connection, will, bytes, outcome);
      return outcome;
    }
  }
  return attachSession(context, connection, packet, bytes);
}

/** The fault of a decoded CONNECT that shows before authentication. */
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
  // An empty identifier requests an assigned one. Before 5.0 the client does not learn it and could
  // not resume the session.
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

/** Whether the client may publish its will, which lies in `bytes`. */
function authorizeWill(
  context: BrokerContext,
  connection: Connection,
  will: WillFields,
  bytes: Uint8Array,
): Outcome {
  const topic = decodeUtf8(bytes, will.topicStart + 2, will.topicEnd);
  if (isReserved(context.limits, topic)) return Reason.NotAuthorized;
  const decision = connection.takeDecision();
  if (decision !== null) {
    return decision.kind === "allow" ? Reason.Success : denialReason(connection, decision);
  }
  const { qos, isRetained: retain } = will;
  const { id: conn, clientId } = connection;
  const verdict = context.policy.publish(conn, topic, qos, retain);
  if (verdict === Verdict.Pending) {
    requestDecision(context, connection, { kind: "publish", conn, clientId, topic, qos, retain });
    return PENDING;
  }
  if (verdict === Verdict.Allow) return Reason.Success;
  return verdict >= FAILURE_MIN ? (verdict as ReasonCode) : Reason.NotAuthorized;
}

/** Reports that a CONNECT is refused because of its will. */
function reportDeniedWill(
  context: BrokerContext,
  connection: Connection,
  { topicStart, topicEnd }: WillFields,
  bytes: Uint8Array,
  reason: ReasonCode,
): void {
  reportDenied(
    context.events,
    connection,
    "will",
    decodeUtf8(bytes, topicStart + 2, topicEnd),
    reason,
  );
}

/**
 * In characters, MQTT 3.1 §3.1. Most devices that use 3.1 have longer identifiers, or empty ones.
 */
const CLIENT_ID_LENGTH_MAX_3_1 = 23;
