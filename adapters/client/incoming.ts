/**
 * The messages that a client receives. Passes each message to its subscriptions, acknowledges it when they have consumed it,
 * and delivers QoS 2 messages exactly once.
 *
 * Each SUBSCRIBE has a Subscription Identifier that is unique among the broker's local clients. A message therefore shows which
 * filters of a client it matched, even if they overlap (filter-group.ts). A message with an unknown identifier is from an earlier
 * connection of the session: its topic determines its subscriptions, and it waits for a subscription if there is none yet.
 */
import type { PropertyValues } from "../../core/mod.ts";
import { FirstByte, matchesFilter, Reason, sharedFilter } from "../../core/mod.ts";
import type { LocalMessage, MessageHandler, SubscribeOptions } from "./client-api.ts";
import type { ClientSession } from "./client-session.ts";
import type { SubscribeRequest } from "./filter-group.ts";
import { FilterGroup } from "./filter-group.ts";
import type { ServerPacket } from "./packets.ts";
import { encodeShortAck } from "./packets.ts";
import type { ConsumerOptions, Delivery } from "./subscription.ts";
import { Subscription } from "./subscription.ts";

export interface IncomingOptions
  extends Pick<ConsumerOptions, "queuedMessagesMax" | "queuedBytesMax" | "handleError"> {
  readonly session: ClientSession;
  /** Whether messages may arrive for subscriptions of an earlier connection. */
  readonly isResumed: boolean;
  send(packet: Uint8Array): void;
  /** Returns an unused identifier; null: the broker does not support identifiers. */
  readonly newIdentifier: (() => number) | null;
}

export class Incoming {
  readonly #options: IncomingOptions;
  readonly #byFilter = new Map<string, FilterGroup>();
  /** A set, because a program may use one identifier for several filters. */
  readonly #byIdentifier = new Map<number, Set<FilterGroup>>();
  /** Identifiers of unsubscribed filters. Messages that still arrive for them are discarded. */
  readonly #retired = new Set<number>();
  readonly #unclaimed: Subscription;
  #hasHandler = false;
  #isClosed = false;
  #dropped = 0;

  constructor(options: IncomingOptions) {
    this.#options = options;
    this.#unclaimed = this.subscription([], null, () => Promise.resolve());
  }

  /** The number of QoS 0 messages that were dropped because too many waited for a consumer. */
  get dropped(): number {
    let dropped = this.#dropped + this.#unclaimed.dropped;
    for (const subscription of this.#subscriptions()) dropped += subscription.dropped;
    return dropped;
  }

  /** A subscription that is not yet added. */
  subscription(
    filters: readonly string[],
    handler: MessageHandler | null,
    unsubscribe: () => Promise<unknown>,
  ): Subscription {
    const { queuedMessagesMax, queuedBytesMax, handleError } = this.#options;
    const handleConsumed = (delivery: Delivery): void => this.#consumed(delivery);
    return new Subscription(filters, handler, {
      ...{ queuedMessagesMax, queuedBytesMax, handleError, handleConsumed, unsubscribe },
    });
  }

  /** Adds a filter of `subscription`. Returns the SUBSCRIBEs to send. */
  add(
    filter: string,
    subscription: Subscription,
    options: SubscribeOptions,
  ): readonly SubscribeRequest[] {
    const group =
      this.#byFilter.get(filter) ??
      new FilterGroup(filter, (identifier) => this.#unlink(identifier, group));
    this.#byFilter.set(filter, group);
    const requests = group.add(subscription, options, this.#options.newIdentifier);
    for (const { identifier } of requests) {
      this.#retired.delete(identifier);
      const groups = this.#byIdentifier.get(identifier) ?? new Set();
      this.#byIdentifier.set(identifier, groups.add(group));
    }
    return requests;
  }

  /** The broker granted `qos` to all subscriptions with `filter`. */
  granted(filter: string, qos: number): void {
    for (const { granted, filters } of this.#byFilter.get(filter)?.members ?? []) {
      // A subscription without a granted QoS still waits for the SUBACKs of all its filters.
      if (granted.length > 0) granted[filters.indexOf(filter)] = qos;
    }
  }

  /** Passes to `subscription` the messages that have waited for a subscription with its filters. */
  claim(subscription: Subscription): void {
    const filters = subscription.filters.map((filter) => sharedFilter(filter)?.filter ?? filter);
    const matches = ({ topic }: LocalMessage): boolean =>
      filters.some((filter) => matchesFilter(filter, topic));
    for (const delivery of this.#unclaimed.release(matches)) subscription.offer(delivery);
  }

  /**
   * Removes a filter of `subscription`, or of all subscriptions if it is null. A subscription without filters ends. Returns
   * whether no subscription has the filter any more.
   */
  remove(filter: string, subscription: Subscription | null): boolean {
    const group = this.#byFilter.get(filter);
    if (group === undefined) return subscription === null;
    for (const member of subscription === null ? [...group.members] : [subscription]) {
      if (!group.delete(member) || this.#hasFilter(member)) continue;
      this.#dropped += member.dropped;
      member.acknowledge();
      member.end(null, () => false);
    }
    if (!group.isEmpty) return false;
    this.#byFilter.delete(filter);
    for (const identifier of group.identifiers) {
      if (this.#unlink(identifier, group)) this.#retire(identifier);
    }
    return true;
  }

  /** Sets the handler of messages for no subscription. */
  handleUnclaimed(handler: MessageHandler | null): void {
    this.#hasHandler = handler !== null;
    this.#unclaimed.handleWith(handler);
  }

  published(packet: Extract<ServerPacket, { type: "publish" }>): void {
    const { topic, payload, qos, retain, dup, packetId } = packet;
    const { session, send, isResumed } = this.#options;
    if (qos === 2 && session.received.has(packetId)) {
      send(encodeShortAck(FirstByte.Pubrec, packetId)); // [MQTT-4.3.3-10]
      return;
    }
    const identifiers = identifiersOf(packet.properties);
    const groups = this.#groupsOf(topic, identifiers);
    const properties = visibleProperties(packet.properties, identifiers, groups);
    const message = { topic, payload, qos, retain, dup, properties };
    const delivery: Delivery = { message, packetId, waitingCount: 1, isConsumed: false };
    const receivers = this.#receivers(topic, identifiers, retain, groups);
    const isRetired = identifiers.length > 0 && identifiers.every((id) => this.#retired.has(id));
    if (receivers.size === 0) {
      const isKnown = isRetired || groups.length > 0;
      if (!isKnown && (isResumed || this.#hasHandler)) this.#unclaimed.offer(delivery);
      else this.#consumed(delivery);
      return;
    }
    delivery.waitingCount = receivers.size;
    for (const subscription of receivers) subscription.offer(delivery);
  }

  released(packetId: number): void {
    const isKnown = this.#options.session.received.delete(packetId);
    const reason = isKnown ? Reason.Success : Reason.PacketIdentifierNotFound;
    this.#options.send(encodeShortAck(FirstByte.Pubcomp, packetId, reason));
  }

  /**
   * The connection has ended. If the broker keeps the session (`isKept`), it will resend unacknowledged messages, so they must not
   * be consumed now.
   */
  close(error: Error | null, isKept: boolean): void {
    const isLost = ({ message, packetId, isConsumed }: Delivery): boolean => {
      if (!isKept || message.qos === 0 || packetId === 0) return false;
      if (!isConsumed) return true;
      // Another subscription has consumed the message. This one still can at QoS 2, because a resent one will be discarded.
      if (message.qos === 2) this.#options.session.received.add(packetId);
      return message.qos === 1;
    };
    const all = new Set(this.#subscriptions());
    for (const subscription of all) subscription.end(error, isLost);
    this.#unclaimed.end(null, isLost);
    this.#isClosed = true;
  }

  /** The filters that a message was sent for. */
  #groupsOf(topic: string, identifiers: readonly number[]): readonly FilterGroup[] {
    const groups = identifiers.flatMap((identifier) => [
      ...(this.#byIdentifier.get(identifier) ?? []),
    ]);
    return [...new Set(groups)].filter((group) => group.matches(topic));
  }

  #receivers(
    topic: string,
    identifiers: readonly number[],
    isRetained: boolean,
    groups: readonly FilterGroup[],
  ): Set<Subscription> {
    const isRetired = identifiers.some((id) => this.#retired.has(id));
    if (groups.length > 0 || isRetired) {
      return new Set(groups.flatMap((group) => [...group.receivers(identifiers, isRetained)]));
    }
    const matching = [...this.#byFilter.values()].filter((group) => group.matches(topic));
    return new Set(matching.flatMap(({ members }) => [...members]));
  }

  #consumed(delivery: Delivery): void {
    delivery.isConsumed = true;
    if (--delivery.waitingCount > 0 || delivery.packetId === 0 || this.#isClosed) return;
    const { session, send } = this.#options;
    const { qos } = delivery.message;
    if (qos === 2) session.received.add(delivery.packetId);
    send(encodeShortAck(qos === 1 ? FirstByte.Puback : FirstByte.Pubrec, delivery.packetId));
  }

  *#subscriptions(): Generator<Subscription> {
    const seen = new Set<Subscription>();
    for (const { members } of this.#byFilter.values()) {
      for (const subscription of members) {
        if (seen.has(subscription)) continue;
        seen.add(subscription);
        yield subscription;
      }
    }
  }

  #hasFilter(subscription: Subscription): boolean {
    return subscription.filters.some((filter) => this.#byFilter.get(filter)?.has(subscription));
  }

  /** Removes an identifier of a filter. Returns whether the identifier has no filter any more. */
  #unlink(identifier: number, group: FilterGroup): boolean {
    const groups = this.#byIdentifier.get(identifier);
    groups?.delete(group);
    return groups?.size === 0 && this.#byIdentifier.delete(identifier);
  }

  #retire(identifier: number): void {
    if (identifier === 0) return;
    this.#retired.add(identifier);
    // No further messages are expected for the oldest identifiers.
    for (const oldest of this.#retired) {
      if (this.#retired.size <= RETIRED_MAX) break;
      this.#retired.delete(oldest);
    }
  }
}

function identifiersOf({ SubscriptionIdentifier: given }: PropertyValues): readonly number[] {
  return given === undefined ? [] : typeof given === "number" ? [given] : given;
}

/** The properties of a message with the identifiers that the program set, and no others. */
function visibleProperties(
  properties: PropertyValues,
  identifiers: readonly number[],
  groups: readonly FilterGroup[],
): PropertyValues {
  if (identifiers.length === 0) return properties;
  const { SubscriptionIdentifier: _, ...others } = properties;
  const visible = identifiers
    .map(
      (id) =>
        groups.map((group) => group.visibleIdentifier(id)).find((found) => found !== undefined) ??
        id,
    )
    .filter((id) => id < OWN_IDENTIFIER_MIN);
  if (visible.length === 0) return others;
  return { ...others, SubscriptionIdentifier: visible.length === 1 ? visible[0]! : visible };
}

/** The first identifier that clients assign. Programs set the lower ones. */
export const OWN_IDENTIFIER_MIN: number = 2 ** 27;
/** The maximum Subscription Identifier, MQTT 5.0 §3.8.2.1.2. */
export const IDENTIFIER_MAX = 268_435_455;
const RETIRED_MAX = 1000;
