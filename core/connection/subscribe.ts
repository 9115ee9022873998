/** SUBSCRIBE and UNSUBSCRIBE, MQTT 3.1.1 §3.8 to §3.11. */
import type { Decision, Millis } from "../boundary.ts";
import type { FilterField, FilterPacket } from "../codec/decode-subscribe.ts";
import { decodeFilters } from "../codec/decode-subscribe.ts";
import { encodeSuback } from "../codec/encode.ts";
import { FirstByte } from "../codec/packet.ts";
import { Counter } from "../observe/counters.ts";
import { Added, Verdict } from "../ports.ts";
import type { ReasonCode } from "../reason.ts";
import { Reason } from "../reason.ts";
import type { Session } from "../session/session.ts";
import { isTopicFilter } from "../topic/filter.ts";
import { answerDurably, answerPacket, answerWord } from "./answer.ts";
import type { Connection } from "./connection.ts";
import { fail } from "./end.ts";
import { ask } from "./park.ts";
import type { Parts } from "./parts.ts";

/** False: a decision is pending, the packet is to be handled again then. */
export function handleSubscribe(
  parts: Parts,
  connection: Connection,
  bytes: Uint8Array,
  start: number,
  end: number,
  now: Millis,
): boolean {
  const packet = decode(parts, bytes, start, end, true);
  if (typeof packet === "number") return fail(parts, connection, packet, now);
  const verdicts = judge(parts, connection, packet);
  if (verdicts === null) return false;
  const session = connection.session!;
  const codes = packet.filters.map((field, index) => {
    const reason = verdicts[index]!;
    const isGranted = reason < FAILURE && subscribe(parts, session, bytes, field);
    if (isGranted) return field.qos;
    parts.counters[Counter.subscribesDenied]!++;
    // MQTT 3.1 has no code for a failure: the QoS asked for is all that it can be told.
    return connection.level === 3 ? field.qos : FAILURE; // [MQTT311-3.9.3-2]
  });
  answerPacket(parts, connection, encodeSuback(packet.packetId, codes)); // [MQTT311-3.8.4-1]
  if (session.replays !== null) parts.dirty.mark(connection.slot);
  return true;
}

export function handleUnsubscribe(
  parts: Parts,
  connection: Connection,
  bytes: Uint8Array,
  start: number,
  end: number,
  now: Millis,
): boolean {
  const packet = decode(parts, bytes, start, end, false);
  if (typeof packet === "number") return fail(parts, connection, packet, now);
  const session = connection.session!;
  for (const field of packet.filters) {
    // Filters are compared character by character [MQTT311-3.10.4-1].
    if (session.subscriptions?.delete(field.text) !== true) continue;
    parts.router.unsubscribe(bytes.subarray(field.start, field.end), session);
    if (session.owner !== 0) parts.records!.removeSubscription(session.owner, field.text);
    dropReplay(session, field.text);
    parts.events.push({
      kind: "unsubscribed",
      clientId: connection.clientId,
      filter: field.text,
    });
  }
  // Also where no filter matched one that was there [MQTT311-3.10.4-5].
  answerDurably(parts, connection, answerWord(FirstByte.Unsuback, packet.packetId));
  return true;
}

function decode(
  parts: Parts,
  bytes: Uint8Array,
  start: number,
  end: number,
  isSubscribe: boolean,
): FilterPacket | ReasonCode {
  const packet = decodeFilters(bytes, start, end, isSubscribe);
  if (typeof packet === "number") return packet;
  const { topicBytesMax, topicLevelsMax } = parts.limits;
  for (const field of packet.filters) {
    if (!isTopicFilter(bytes, field.start, field.end, topicBytesMax, topicLevelsMax)) {
      return Reason.TopicFilterInvalid; // [MQTT311-4.7.1-2] [MQTT311-4.7.1-3] [MQTT311-4.7.3-1]
    }
  }
  return packet;
}

/** One reason per filter, or null while a decision is pending. */
function judge(parts: Parts, connection: Connection, packet: FilterPacket): ReasonCode[] | null {
  const { filters } = packet;
  const decision = connection.takeDecision();
  if (decision !== null) return filters.map((_, index) => decided(decision, index));
  const reasons: ReasonCode[] = [];
  for (const { text, qos } of filters) {
    const verdict = parts.policy.subscribe(connection.id, text, qos);
    if (verdict === Verdict.Pending) {
      ask(parts, connection, {
        kind: "subscribe",
        conn: connection.id,
        clientId: connection.clientId,
        filters: filters.map((field) => ({ filter: field.text, qos: field.qos })),
      });
      return null;
    }
    reasons.push(verdict === Verdict.Allow ? Reason.Success : Reason.NotAuthorized);
  }
  return reasons;
}

function decided(decision: Decision, index: number): ReasonCode {
  switch (decision.kind) {
    case "allow":
      return Reason.Success;
    case "deny":
      return decision.reason;
    case "filters":
      return decision.reasons[index] ?? Reason.NotAuthorized;
  }
}

/** False: a limit is reached. */
function subscribe(parts: Parts, session: Session, bytes: Uint8Array, field: FilterField): boolean {
  const { limits, router, retained } = parts;
  session.subscriptions ??= new Map();
  const isReplacement = session.subscriptions.has(field.text);
  if (!isReplacement) {
    if (session.subscriptions.size >= limits.subscriptionsPerClientMax) return false;
    if (router.subscriptionCount >= limits.subscriptionsMax) return false;
  }
  const options = field.qos;
  const filter = bytes.subarray(field.start, field.end);
  if (router.subscribe(filter, session, options) === Added.NoMemory) return false;
  session.subscriptions.set(field.text, options);
  if (session.owner !== 0) parts.records!.putSubscription(session.owner, field.text, options);
  // A subscription that is made again gets the retained messages again [MQTT311-3.8.4-3].
  dropReplay(session, field.text);
  const isWildcard = /[+#]/.test(field.text);
  if (isWildcard || retained.at(field.text) !== 0) {
    session.replays ??= [];
    session.replays.push(retained.replay(field.text, options)); // [MQTT311-3.3.1-6]
  }
  parts.events.push({
    kind: "subscribed",
    clientId: session.clientId,
    filter: field.text,
    qos: field.qos,
  });
  return true;
}

function dropReplay(session: Session, filter: string): void {
  if (session.replays === null) return;
  const left = session.replays.filter((replay) => replay.filter !== filter);
  session.replays = left.length === 0 ? null : left;
}

const FAILURE = 0x80;
