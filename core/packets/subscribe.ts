/** SUBSCRIBE and UNSUBSCRIBE, MQTT 5.0 and 3.1.1 §3.8 to §3.11. */
import type { Decision, PropertyValues, QoS } from "../boundary.ts";
import type { FilterField, FilterPacket } from "../codec/decode-subscribe.ts";
import {
  decodeFilters,
  SUBSCRIBE_NO_LOCAL,
  SUBSCRIBE_QOS,
  SUBSCRIBE_RETAIN_AS_PUBLISHED,
  SUBSCRIBE_RETAIN_HANDLING_SHIFT,
} from "../codec/decode-subscribe.ts";
import { encodeFilterAck, encodeSuback } from "../codec/encode.ts";
import { FirstByte } from "../codec/packet.ts";
import type { Connection } from "../connection/connection.ts";
import { reportDenied } from "../connection/denials.ts";
import type { BrokerContext } from "../context.ts";
import { requestDecision } from "../lifecycle/decisions.ts";
import {
  fitsMaximumPacketSize,
  packReply,
  policyReasonString,
  reasonString,
  replyAfterCommit,
  replyEncoded,
  replyInOrder,
} from "../lifecycle/reply-queue.ts";
import { Counter } from "../observe/counters.ts";
import { Added, Verdict } from "../ports.ts";
import type { Outcome, ReasonCode } from "../reason.ts";
import { FAILURE_MIN, PENDING, Reason, reasonFor } from "../reason.ts";
import {
  addRetainedScan,
  dropRetainedScans,
  renewRetainedScans,
} from "../routing/retained-scan-queue.ts";
import { subscriptionOptions } from "../routing/route.ts";
import { isShared, sharedFilter } from "../routing/shared.ts";
import type { Session } from "../session/session.ts";
import { Subscriptions } from "../session/subscriptions.ts";
import { isTopicFilter } from "../topic/filter.ts";

export function handleSubscribe(
  context: BrokerContext,
  connection: Connection,
  start: number,
  end: number,
): Outcome {
  const packet = readFilters(context, connection, start, end, true);
  if (typeof packet === "number") return packet;
  const policyText = reasonStringOf(connection.decision);
  const verdicts = authorizeSubscribe(context, connection, packet);
  if (verdicts === null) return PENDING;
  const session = connection.session!;
  const { packetId, subscriptionId } = packet;
  const codes = packet.filters.map((field, index): number => {
    const verdict = verdicts[index]!;
    const reason =
      verdict < FAILURE_MIN ? subscribe(context, connection, field, subscriptionId) : verdict;
    if (reason < FAILURE_MIN) return reason;
    context.counters[Counter.subscribesDenied]!++;
    reportDenied(context.events, connection, "subscribe", field.text, reason);
    return reasonFor("SUBACK", reason);
  });
  const { level } = connection;
  const returnCodes = codes.map((code, index) => {
    if (code < FAILURE_MIN || level === 5) return code;
    // MQTT 3.1 has no return code for a failure: the SUBACK can only repeat the requested QoS.
    return level === 3 ? packet.filters[index]!.options & SUBSCRIBE_QOS : FAILURE_MIN; // [MQTT311-3.9.3-2]
  });
  const firstFailure = codes.find((code) => code >= FAILURE_MIN) ?? Reason.Success;
  // [MQTT311-3.8.4-1] [MQTT-3.8.4-1]
  replyEncoded(
    context,
    connection,
    level === 5
      ? encodeSuback5(connection, packetId, returnCodes, firstFailure, policyText)
      : encodeSuback(packetId, returnCodes),
    session.record !== null,
  );
  if (session.retainedScans !== null) context.sendQueue.schedule(connection.slot);
  return Reason.Success;
}

export function handleUnsubscribe(
  context: BrokerContext,
  connection: Connection,
  start: number,
  end: number,
): Outcome {
  const packet = readFilters(context, connection, start, end, false);
  if (typeof packet === "number") return packet;
  const session = connection.session!;
  const codes = packet.filters.map(({ text }) => {
    // Filters are compared character by character [MQTT311-3.10.4-1] [MQTT-3.10.4-1].
    if (session.subscriptions?.delete(text) !== true) return Reason.NoSubscriptionExisted;
    context.router.unsubscribe(text, session);
    session.record?.removeSubscription(text);
    dropRetainedScans(session, text);
    context.events.push({ kind: "unsubscribed", clientId: connection.clientId, filter: text });
    return Reason.Success;
  });
  // Also if no subscription was removed [MQTT311-3.10.4-5] [MQTT-3.10.4-5]. An earlier UNSUBSCRIBE may
  // have removed it, whose commit is still awaited.
  const needsCommit = session.record !== null;
  if (connection.level < 5) {
    const reply = needsCommit ? replyAfterCommit : replyInOrder;
    reply(context, connection, packReply(FirstByte.Unsuback, packet.packetId));
  } else {
    const unsuback = encodeFilterAck(FirstByte.Unsuback, packet.packetId, codes);
    replyEncoded(context, connection, unsuback, needsCommit);
  }
  return Reason.Success;
}

/** The SUBSCRIBE or UNSUBSCRIBE `bytes[start, end)` of the current chunk, or its fault. */
function readFilters(
  context: BrokerContext,
  connection: Connection,
  start: number,
  end: number,
  isSubscribe: boolean,
): FilterPacket | ReasonCode {
  const { bytes } = context.frames;
  const packet = decodeFilters(bytes, start, end, isSubscribe, connection.level);
  if (typeof packet === "number") return packet;
  const fault = validateFilters(context, packet);
  return fault === Reason.Success ? packet : fault;
}

function validateFilters({ limits, frames }: BrokerContext, packet: FilterPacket): ReasonCode {
  const { bytes } = frames;
  const { topicBytesMax, topicLevelsMax } = limits;
  for (const { start, end, text, options } of packet.filters) {
    // [MQTT311-4.7.1-2] [MQTT311-4.7.1-3] [MQTT311-4.7.3-1] [MQTT-4.7.1-1] [MQTT-4.7.1-2] [MQTT-4.7.3-1]
    const isFilter = isTopicFilter(bytes, start, end, topicBytesMax, topicLevelsMax);
    if (!isFilter) return Reason.TopicFilterInvalid;
    if (!isShared(text)) continue;
    if (sharedFilter(text) === null) return Reason.TopicFilterInvalid; // [MQTT-4.8.2-1] [MQTT-4.8.2-2]
    if ((options & SUBSCRIBE_NO_LOCAL) !== 0) return Reason.ProtocolError; // [MQTT-3.8.3-4]
  }
  return Reason.Success;
}

/** One reason code per filter, or null while a decision is pending. */
function authorizeSubscribe(
  context: BrokerContext,
  connection: Connection,
  packet: FilterPacket,
): ReasonCode[] | null {
  const { filters } = packet;
  const decision = connection.takeDecision();
  if (decision !== null) return filters.map((_, index) => verdictOf(decision, index));
  const reasons: ReasonCode[] = [];
  const requested = filters.map(({ text, options }) => ({
    // For authorization, a shared subscription counts like its filter.
    filter: sharedFilter(text)?.filter ?? text,
    qos: (options & SUBSCRIBE_QOS) as QoS,
  }));
  for (const { filter, qos } of requested) {
    const verdict = context.policy.subscribe(connection.id, filter, qos);
    if (verdict === Verdict.Pending) {
      requestDecision(context, connection, {
        kind: "subscribe",
        conn: connection.id,
        clientId: connection.clientId,
        filters: requested,
      });
      return null;
    }
    if (verdict >= FAILURE_MIN) reasons.push(verdict as ReasonCode);
    else reasons.push(verdict === Verdict.Allow ? Reason.Success : Reason.NotAuthorized);
  }
  return reasons;
}

/** The Reason String of a decision, if it has one. */
function reasonStringOf(decision: Decision | null): string | undefined {
  const hasText = decision?.kind === "deny" || decision?.kind === "filters";
  return hasText ? decision.reasonString : undefined;
}

/**
 * A SUBACK with the policy's Reason String for a denied filter, if that fits the client's Maximum
 * Packet Size.
 */
function encodeSuback5(
  connection: Connection,
  packetId: number,
  codes: readonly number[],
  firstFailure: number,
  policyText: string | undefined,
): Uint8Array {
  const encode = (properties: PropertyValues): Uint8Array =>
    encodeFilterAck(FirstByte.Suback, packetId, codes, properties);
  const properties =
    firstFailure >= FAILURE_MIN ? policyReasonString(connection, policyText) : null;
  if (properties !== null) {
    const suback = encode(properties);
    if (fitsMaximumPacketSize(connection, suback)) return suback;
  }
  return encode(reasonString(connection, firstFailure));
}

function verdictOf(decision: Decision, index: number): ReasonCode {
  switch (decision.kind) {
    case "allow":
      return Reason.Success;
    case "deny":
      return decision.reason >= FAILURE_MIN ? decision.reason : Reason.NotAuthorized;
    case "challenge":
      return Reason.NotAuthorized;
    case "filters":
      return decision.reasons[index] ?? Reason.NotAuthorized;
  }
}

/** The granted QoS, or the reason why there is no subscription. */
function subscribe(
  context: BrokerContext,
  connection: Connection,
  field: FilterField,
  subscriptionId: number,
): ReasonCode {
  const { limits, router, retained } = context;
  const session = connection.session!;
  const { text } = field;
  const isSharedFilter = isShared(text);
  const isWildcard = /[+#]/.test(text);
  if (isWildcard && limits.wildcardAvailable === 0) return Reason.WildcardSubscriptionsNotSupported;
  if (isSharedFilter && limits.sharedAvailable === 0) return Reason.SharedSubscriptionsNotSupported;
  if (subscriptionId !== 0 && limits.subscriptionIdAvailable === 0) {
    return Reason.SubscriptionIdentifiersNotSupported;
  }
  session.subscriptions ??= new Subscriptions();
  const isNew = !session.subscriptions.has(text);
  if (isNew) {
    if (session.subscriptions.size >= limits.subscriptionsPerClientMax) return Reason.QuotaExceeded;
    if (router.subscriptionCount >= limits.subscriptionsMax) return Reason.QuotaExceeded;
  }
  const qos = Math.min(field.options & SUBSCRIBE_QOS, limits.qosMax);
  const flags = connection.isBridge ? BRIDGE_FLAGS : field.options & BRIDGE_FLAGS;
  const options = subscriptionOptions(qos | flags, subscriptionId);
  if (router.subscribe(text, session, options) === Added.NoMemory) return Reason.QuotaExceeded;
  session.subscriptions.set(text, options);
  session.record?.putSubscription(text, options, isNew);
  // Replacing a subscription loses no retained message that it has yet to receive [MQTT-3.8.4-3].
  renewRetainedScans(session, text, options);
  // Subscribing again sends the retained messages again [MQTT311-3.8.4-3], unless Retain Handling
  // requests none, or requests them only for a new subscription [MQTT-3.3.1-9] [MQTT-3.3.1-10]
  // [MQTT-3.3.1-11].
  const handling = field.options >> SUBSCRIBE_RETAIN_HANDLING_SHIFT;
  const wantsRetained = !isSharedFilter && (handling === 0 || (handling === 1 && isNew));
  if (wantsRetained && (isWildcard || retained.at(text) !== 0)) {
    addRetainedScan(session, retained.scan(text, options)); // [MQTT311-3.3.1-6]
  }
  const { clientId } = session;
  context.events.push({ kind: "subscribed", clientId, filter: text, qos: qos as QoS });
  return qos as ReasonCode;
}

/** Applies the bridge options to the existing subscriptions of a session that a bridge resumes. */
export function bridgeSubscriptions(context: BrokerContext, session: Session): void {
  for (const [filter, before] of session.subscriptions ?? []) {
    const options = (before | BRIDGE_FLAGS) >>> 0;
    if (options === before) continue;
    context.router.subscribe(filter, session, options);
    session.subscriptions!.set(filter, options);
    session.record?.putSubscription(filter, options, false);
  }
}

/** A bridge does not receive its own messages, and it receives RETAIN as published. */
const BRIDGE_FLAGS = SUBSCRIBE_NO_LOCAL | SUBSCRIBE_RETAIN_AS_PUBLISHED;
