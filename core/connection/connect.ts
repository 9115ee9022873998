/** CONNECT: from a transport to a client with a session, MQTT 3.1.1 §3.1.4. */
import type { Millis } from "../boundary.ts";
import type { ConnectPacket } from "../codec/decode-connect.ts";
import { decodeConnect } from "../codec/decode-connect.ts";
import { encodeConnack } from "../codec/encode.ts";
import { FirstByte } from "../codec/packet.ts";
import { decodeUtf8 } from "../codec/utf8.ts";
import type { MessageSlot } from "../message/message-pool.ts";
import { Counter } from "../observe/counters.ts";
import { Verdict } from "../ports.ts";
import type { ReasonCode } from "../reason.ts";
import { Reason } from "../reason.ts";
import { isTopicName } from "../topic/name.ts";
import { answerNow, answerPacket, answerWord } from "./answer.ts";
import type { Connection } from "./connection.ts";
import { Stage } from "./connection.ts";
import { close, endSession, recordSession, refuse } from "./end.ts";
import { ask } from "./park.ts";
import type { Parts } from "./parts.ts";
import { isReserved } from "./publish-message.ts";

/** False: a decision is pending, the packet is to be handled again then. */
export function handleConnect(
  parts: Parts,
  connection: Connection,
  bytes: Uint8Array,
  start: number,
  end: number,
  now: Millis,
): boolean {
  const packet = decodeConnect(bytes, start, end);
  if (typeof packet === "number") return refuse(parts, connection, packet, now);
  connection.level = packet.level;
  connection.clientId = packet.clientId;
  const fault = faultOf(parts, packet, bytes);
  if (fault !== Reason.Success) return refuse(parts, connection, fault, now);
  const verdict = judge(parts, connection, packet, bytes);
  if (verdict === null) return false;
  if (verdict !== Reason.Success) return refuse(parts, connection, verdict, now);

  let will: MessageSlot = 0;
  if (packet.will !== null) {
    const { topicStart, topicEnd, payloadStart, payloadEnd, qos } = packet.will;
    const { messages } = parts;
    will = messages.create(bytes, topicStart, topicEnd, payloadStart, payloadEnd, qos, null);
    if (will === 0) return refuse(parts, connection, Reason.ServerBusy, now);
  }
  if (!attachSession(parts, connection, packet, now)) {
    if (will !== 0) parts.messages.release(will);
    return refuse(parts, connection, Reason.QuotaExceeded, now);
  }
  connection.will = will;
  connection.isWillRetained = packet.will?.isRetained ?? false;
  return true;
}

/** What is wrong with a CONNECT that was decoded, before anybody is asked. */
function faultOf(parts: Parts, packet: ConnectPacket, bytes: Uint8Array): ReasonCode {
  if (parts.isShuttingDown) return Reason.ServerShuttingDown;
  if (parts.journal.hasFailed) return Reason.ServerUnavailable;
  const { topicBytesMax, topicLevelsMax, clientIdBytesMax } = parts.limits;
  if (packet.clientIdBytes > clientIdBytesMax) return Reason.ClientIdentifierNotValid;
  if (packet.level === 3) {
    const length = packet.clientId.length;
    if (length < 1 || length > CLIENT_ID_LENGTH_MAX_3_1) return Reason.ClientIdentifierNotValid;
  }
  // An empty identifier asks for one, and one that the client does not know can not be come back to.
  const wantsIdentifier = packet.clientIdBytes === 0;
  if (wantsIdentifier && !packet.isCleanSession) return Reason.ClientIdentifierNotValid; // [MQTT311-3.1.3-8]
  if (packet.will !== null) {
    const { topicStart, topicEnd } = packet.will;
    if (!isTopicName(bytes, topicStart + 2, topicEnd, topicBytesMax, topicLevelsMax)) {
      return Reason.TopicNameInvalid;
    }
  }
  return Reason.Success;
}

/** Asks who the client is, then whether it may publish its will. Null: a decision is pending. */
function judge(
  parts: Parts,
  connection: Connection,
  packet: ConnectPacket,
  bytes: Uint8Array,
): ReasonCode | null {
  const { policy } = parts;
  const { id: conn, info } = connection;
  const { level, clientId, username, password, will } = packet;
  if (!connection.isAuthenticated) {
    const decision = connection.takeDecision();
    if (decision?.kind === "deny") return decision.reason;
    if (decision === null) {
      const request = {
        kind: "authenticate",
        conn,
        info,
        level,
        clientId,
        username,
        password,
      } as const;
      const verdict = policy.authenticate(request);
      if (verdict === Verdict.Pending) {
        ask(parts, connection, request);
        return null;
      }
      if (verdict === Verdict.Deny) {
        return username === null ? Reason.NotAuthorized : Reason.BadUserNameOrPassword;
      }
    }
    connection.isAuthenticated = true;
    connection.username = username;
  }
  if (will === null) return Reason.Success;
  const topic = decodeUtf8(bytes, will.topicStart + 2, will.topicEnd);
  if (isReserved(topic)) return Reason.NotAuthorized;
  const decision = connection.takeDecision();
  if (decision !== null) return decision.kind === "allow" ? Reason.Success : Reason.NotAuthorized;
  const { qos, isRetained: retain } = will;
  const verdict = policy.publish(conn, topic, qos, retain);
  if (verdict === Verdict.Pending) {
    ask(parts, connection, { kind: "publish", conn, clientId, topic, qos, retain });
    return null;
  }
  return verdict === Verdict.Allow ? Reason.Success : Reason.NotAuthorized;
}

/** Gives the client its session and its CONNACK; false where there is no room for a session. */
function attachSession(
  parts: Parts,
  connection: Connection,
  packet: ConnectPacket,
  now: Millis,
): boolean {
  const { sessions, limits, counters } = parts;
  const clientId = packet.clientId === "" ? assignedClientId(parts) : packet.clientId;
  const takenOver = sessions.find(clientId)?.connSlot ?? 0;
  if (takenOver !== 0) {
    counters[Counter.sessionsTakenOver]!++;
    close(parts, parts.connections[takenOver]!, Reason.SessionTakenOver, now); // [MQTT311-3.1.4-2]
  }
  let session = sessions.find(clientId) ?? null;
  if (session !== null && packet.isCleanSession) {
    endSession(parts, session); // [MQTT311-3.1.2-6]
    session = null;
  }
  const isPresent = session !== null;
  session ??= sessions.create(clientId, !packet.isCleanSession);
  if (session === null) return false;
  sessions.keep(session);

  connection.clientId = clientId;
  connection.session = session;
  connection.stage = Stage.Connected;
  connection.keepAliveMillis = packet.keepAliveSeconds * 1000 * limits.keepAliveFactor;
  session.connSlot = connection.slot;
  counters[Counter.connectsAccepted]!++;
  counters[Counter.clientsConnected]!++;
  counters[Counter.clientsMaximum] = Math.max(
    counters[Counter.clientsMaximum]!,
    counters[Counter.clientsConnected]!,
  );
  if (connection.keepAliveMillis === 0) parts.deadlines.cancel(connection.slot);
  else parts.deadlines.set(connection.slot, (now + connection.keepAliveMillis) as Millis);
  recordSession(parts, session, 0);
  connection.connackSeq = parts.journal.lastSeq;
  // 3.1 has no session present flag: the byte is reserved.
  const isPresentKnown = isPresent && packet.level >= 4;
  answerPacket(parts, connection, encodeConnack(isPresentKnown, 0)); // [MQTT311-3.2.2-1] [MQTT311-3.2.2-2]
  const { outbox } = session;
  for (let i = 0; i < outbox.releasedCount; i++) {
    answerNow(parts, connection, answerWord(FirstByte.Pubrel, outbox.releasedId(i))); // [MQTT311-4.4.0-1]
  }
  outbox.attach(limits.inflightMax);
  parts.dirty.mark(connection.slot);
  parts.events.push({
    kind: "connected",
    conn: connection.id,
    clientId,
    level: packet.level,
    info: connection.info,
    username: packet.username,
    sessionPresent: isPresent,
  });
  return true;
}

/** An identifier that is nobody's and that nobody can guess [MQTT311-3.1.3-6]. */
function assignedClientId(parts: Parts): string {
  const bytes = new Uint8Array(16);
  for (;;) {
    parts.entropy(bytes);
    let id = "auto-";
    for (const byte of bytes) id += byte.toString(16).padStart(2, "0");
    if (parts.sessions.find(id) === undefined) return id;
  }
}

const CLIENT_ID_LENGTH_MAX_3_1 = 23;
