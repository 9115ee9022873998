/** Attaches the session to an accepted CONNECT and queues the CONNACK. */
import type { Millis, PropertyValues } from "../boundary.ts";
import type { ConnectPacket, WillFields } from "../codec/decode-connect.ts";
import { encodeConnack, encodeConnack5 } from "../codec/encode.ts";
import { REMAINING_MAX } from "../codec/layout.ts";
import { FirstByte } from "../codec/packet.ts";
import { decodeUtf8 } from "../codec/utf8.ts";
import { limitTable } from "../config.ts";
import type { Connection } from "../connection/connection.ts";
import { Stage } from "../connection/connection.ts";
import type { BrokerContext } from "../context.ts";
import {
  fitsMaximumPacketSize,
  packReply,
  replyEncoded,
  sendReply,
} from "../lifecycle/reply-queue.ts";
import { endConnection } from "../lifecycle/transitions.ts";
import { OutboundAliases } from "../message/outbound-aliases.ts";
import { Counter } from "../observe/counters.ts";
import { endSession } from "../publishing/session-end.ts";
import { createWill, dropDelayedWill } from "../publishing/will.ts";
import type { ReasonCode } from "../reason.ts";
import { Reason } from "../reason.ts";
import type { Session, Will } from "../session/session.ts";
import { authenticationProperties } from "./authenticate.ts";
import { bridgeSubscriptions } from "./subscribe.ts";

/**
 * Attaches a session to the client of `packet` and queues its CONNACK, or returns the reason of the
 * failure. `bytes` contains the packet.
 */
export function attachSession(
  context: BrokerContext,
  connection: Connection,
  packet: ConnectPacket,
  bytes: Uint8Array,
): ReasonCode {
  const { sessions, limits } = context;
  let will: Will | null = null;
  if (packet.will !== null) {
    will = createWill(context, packet.will, bytes);
    if (will === null) return Reason.ServerBusy;
  }
  const clientId = packet.clientId === "" ? assignedClientId(context) : packet.clientId;
  const expiryMillis = sessionExpiry(context, packet);
  const properties =
    packet.level === 5
      ? connackProperties(context, connection, packet, clientId, expiryMillis)
      : null;
  // The CONNACK is required [MQTT-3.2.0-1], and so are all its properties.
  if (
    properties !== null &&
    !fitsMaximumPacketSize(connection, encodeConnack5(false, Reason.Success, properties))
  ) {
    if (will !== null) context.messages.release(will.message);
    return Reason.ImplementationSpecific;
  }
  const { journal, records } = context;
  const known = sessions.find(clientId);
  const isKept = expiryMillis > 0 || (known !== undefined && known.record !== null);
  const isWillAwaited = packet.will !== null && !isWillReceived(context, packet.will, bytes);
  // A client that is told that it has no session does not find an earlier one after a crash.
  const isEnding = records?.mayRestoreSession(clientId) ?? false;
  const needsCommit = records !== null && (isKept || isWillAwaited || isEnding);
  // Before a session is taken over: the client keeps what it has.
  if (needsCommit && journal.isFull) {
    if (will !== null) context.messages.release(will.message);
    return Reason.QuotaExceeded;
  }
  const takenOver = known?.connSlot ?? 0;
  if (takenOver !== 0) {
    const previous = context.connections[takenOver]!;
    endConnection(context, previous, "takenOver", Reason.SessionTakenOver);
  }
  let session = sessions.find(clientId) ?? null;
  if (session !== null && packet.isClean) {
    endSession(context, session); // [MQTT311-3.1.2-6] [MQTT-3.1.2-4]
    session = null;
  }
  const isPresent = session !== null;
  session ??= sessions.create(clientId, expiryMillis);
  if (session === null) {
    if (will !== null) context.messages.release(will.message);
    return Reason.QuotaExceeded;
  }
  session.expiryMillis = expiryMillis;
  sessions.cancelDeadlines(session);
  dropDelayedWill(context, session);
  if (packet.isBridge) bridgeSubscriptions(context, session);
  bindSession(context, connection, packet, session, will);
  const { receiveMax, topicAliasMax } = packet.properties;
  const aliasMax = Math.min(topicAliasMax, limits.topicAliasOutMax);
  connection.outboundAliases = aliasMax === 0 ? null : new OutboundAliases(aliasMax); // [MQTT-3.1.2-26]
  connection.hasProperties = packet.level === 5;
  session.record?.putSession(0, expiryMillis);
  if (will !== null) context.records?.putWill(clientId, will, 0);
  if (needsCommit) connection.connackSeq = journal.lastSeq;
  // In 3.1 the byte of the session present flag is reserved.
  const isPresentKnown = isPresent && packet.level >= 4;
  // [MQTT311-3.2.2-1] [MQTT311-3.2.2-2] [MQTT-3.2.2-2] [MQTT-3.2.2-3]
  const connack =
    properties !== null
      ? encodeConnack5(isPresent, Reason.Success, properties)
      : encodeConnack(isPresentKnown, 0);
  replyEncoded(context, connection, connack, needsCommit);
  const { outbox } = session;
  const { window } = outbox;
  for (let i = 0; i < (window?.releasedCount ?? 0); i++) {
    // [MQTT311-4.4.0-1] [MQTT-4.4.0-1]
    sendReply(context, connection, packReply(FirstByte.Pubrel, window!.releasedId(i)));
  }
  outbox.attach(Math.min(limits.inflightMax, receiveMax)); // [MQTT-3.3.4-9]
  context.sendQueue.schedule(connection.slot);
  context.events.push({
    kind: "connected",
    conn: connection.id,
    clientId,
    level: packet.level,
    isBridge: packet.isBridge,
    info: connection.info,
    username: packet.username,
    sessionPresent: isPresent,
  });
  return Reason.Success;
}

function bindSession(
  context: BrokerContext,
  connection: Connection,
  packet: ConnectPacket,
  session: Session,
  will: Will | null,
): void {
  const { limits, counters } = context;
  connection.clientId = session.clientId;
  connection.session = session;
  connection.will = will;
  connection.stage = Stage.Connected;
  connection.keepAliveMillis = keepAliveSeconds(context, packet) * 1000 * limits.keepAliveFactor;
  session.connSlot = connection.slot;
  counters[Counter.connectsAccepted]!++;
  counters[Counter.clientsConnected]!++;
  counters[Counter.clientsMaximum] = Math.max(
    counters[Counter.clientsMaximum]!,
    counters[Counter.clientsConnected]!,
  );
  if (connection.keepAliveMillis === 0) context.deadlines.cancel(connection.slot);
  else context.deadlines.set(connection.slot, (context.now + connection.keepAliveMillis) as Millis);
}

/** Whether the topic of a will waits for no commit. */
function isWillReceived(
  { durability }: BrokerContext,
  { topicStart, topicEnd }: WillFields,
  bytes: Uint8Array,
): boolean {
  return durability?.isNameReceived(decodeUtf8(bytes, topicStart + 2, topicEnd)) ?? false;
}

/** The client's keep alive, or the broker's maximum if that is lower [MQTT-3.2.2-21]. */
function keepAliveSeconds(
  { limits }: BrokerContext,
  { level, keepAliveSeconds }: ConnectPacket,
): number {
  const max = limits.keepAliveSecondsMax;
  if (level < 5 || max === 0) return keepAliveSeconds;
  return keepAliveSeconds === 0 ? max : Math.min(max, keepAliveSeconds);
}

/**
 * How long the session is kept, in milliseconds: as the client requests, up to the broker's
 * maximum.
 */
function sessionExpiry({ limits }: BrokerContext, { isClean, properties }: ConnectPacket): number {
  const { sessionExpirySeconds } = properties;
  if (sessionExpirySeconds < 0) return isClean ? 0 : limits.sessionMillisMax;
  return Math.min(sessionExpirySeconds * 1000, limits.sessionMillisMax);
}

/**
 * The CONNACK properties: values that differ from the client's request or from the default.
 *
 * A Maximum Packet Size above the largest remaining length (the largest packet is five bytes
 * longer) is sent as the largest remaining length, because some clients accept no larger value.
 */
function connackProperties(
  context: BrokerContext,
  connection: Connection,
  packet: ConnectPacket,
  clientId: string,
  expiryMillis: number,
): PropertyValues {
  const { limits, config } = context;
  const requested = packet.properties.sessionExpirySeconds;
  const granted = Math.floor(expiryMillis / 1000);
  const keepAlive = keepAliveSeconds(context, packet);
  const wantsResponse =
    packet.properties.wantsResponseInformation && config.responseInformation !== null;
  return {
    ...(granted === requested ? {} : { SessionExpiryInterval: granted }),
    ...(limits.receiveMax === 65_535 ? {} : { ReceiveMaximum: limits.receiveMax }),
    ...(limits.qosMax === 2 ? {} : { MaximumQoS: limits.qosMax }),
    ...(limits.retainAvailable === 1 ? {} : { RetainAvailable: 0 }),
    ...(limits.packetBytesMax === limitTable.packetBytesMax.max
      ? {}
      : { MaximumPacketSize: Math.min(limits.packetBytesMax, REMAINING_MAX) }),
    // [MQTT-3.1.3-6] [MQTT-3.2.2-16]
    ...(packet.clientId === "" ? { AssignedClientIdentifier: clientId } : {}),
    ...(limits.topicAliasMax === 0 ? {} : { TopicAliasMaximum: limits.topicAliasMax }),
    ...(limits.wildcardAvailable === 1 ? {} : { WildcardSubscriptionAvailable: 0 }),
    ...(limits.subscriptionIdAvailable === 1 ? {} : { SubscriptionIdentifierAvailable: 0 }),
    ...(limits.sharedAvailable === 1 ? {} : { SharedSubscriptionAvailable: 0 }),
    ...(keepAlive === packet.keepAliveSeconds ? {} : { ServerKeepAlive: keepAlive }),
    // Only if the client requested it [MQTT-3.1.2-28].
    ...(wantsResponse ? { ResponseInformation: config.responseInformation! } : {}),
    ...authenticationProperties(connection.exchange),
  };
}

/** An unused identifier that cannot be guessed [MQTT311-3.1.3-6]. */
function assignedClientId(context: BrokerContext): string {
  const bytes = new Uint8Array(16);
  for (;;) {
    context.entropy(bytes);
    let id = "auto-";
    for (const byte of bytes) id += byte.toString(16).padStart(2, "0");
    if (context.sessions.find(id) === undefined) return id;
  }
}
