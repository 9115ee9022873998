/**
 * What comes to a client: each message to the subscriptions that it is for, acknowledged as they take it, at
 * QoS 2 exactly once.
 *
 * Each SUBSCRIBE has an identifier that no other of the broker's local clients has had, so that a message says
 * which of a client's filters it is for, also where they overlap (subscribed.ts). One of another number is from before
 * the session was resumed: it is matched by its topic, and waits for a subscription where there is none yet.
 */
import type { PropertyValues } from "../../core/mod.ts";
import { FirstByte, matchesFilter, Reason, sharedFilter } from "../../core/mod.ts";
import type { LocalMessage, MessageHandler, SubscribeOptions } from "./client-api.ts";
import type { ClientSession } from "./client-session.ts";
import type { ServerPacket } from "./packets.ts";
import { encodeAnswer } from "./packets.ts";
import type { Asked } from "./subscribed.ts";
import { Subscribed } from "./subscribed.ts";
import type { ConsumerOptions, Delivery } from "./subscription.ts";
import { Subscription } from "./subscription.ts";

export interface IncomingOptions
  extends Pick<ConsumerOptions, "queuedMessagesMax" | "queuedBytesMax" | "failed"> {
  readonly session: ClientSession;
  /** Whether messages may come for subscriptions of an earlier connection. */
  readonly isResumed: boolean;
  send(packet: Uint8Array): void;
  /** An identifier that no other SUBSCRIBE has. Null: the broker tells none. */
  readonly identifier: (() => number) | null;
}

export class Incoming {
  readonly #options: IncomingOptions;
  readonly #byFilter = new Map<string, Subscribed>();
  /** Several filters where the program says the same identifier for each. */
  readonly #byIdentifier = new Map<number, Set<Subscribed>>();
  /** Identifiers of filters that were unsubscribed from: what still comes for them is nobody's. */
  readonly #retired = new Set<number>();
  readonly #unclaimed: Subscription;
  #hasHandler = false;
  #isClosed = false;
  #dropped = 0;

  constructor(options: IncomingOptions) {
    this.#options = options;
    this.#unclaimed = this.subscription([], null, () => Promise.resolve());
  }

  /** QoS 0 messages that were dropped because too many waited for a consumer. */
  get dropped(): number {
    let dropped = this.#dropped + this.#unclaimed.dropped;
    for (const subscription of this.#subscriptions()) dropped += subscription.dropped;
    return dropped;
  }

  /** One that is not added yet. */
  subscription(
    filters: readonly string[],
    handler: MessageHandler | null,
    left: () => Promise<unknown>,
  ): Subscription {
    const { queuedMessagesMax, queuedBytesMax, failed } = this.#options;
    const taken = (delivery: Delivery): void => this.#taken(delivery);
    const limits = { queuedMessagesMax, queuedBytesMax };
    return new Subscription(filters, handler, { ...limits, failed, taken, left });
  }

  /** From now on `subscription` gets what comes for `filter`. Returns what to ask the broker for. */
  add(filter: string, subscription: Subscription, options: SubscribeOptions): readonly Asked[] {
    const subscribed =
      this.#byFilter.get(filter) ??
      new Subscribed(filter, (identifier) => this.#unname(identifier, subscribed));
    this.#byFilter.set(filter, subscribed);
    const asked = subscribed.add(subscription, options, this.#options.identifier);
    for (const { identifier } of asked) {
      this.#retired.delete(identifier);
      const named = this.#byIdentifier.get(identifier) ?? new Set();
      this.#byIdentifier.set(identifier, named.add(subscribed));
    }
    return asked;
  }

  /** The broker granted `qos` for `filter`, to all who have it. */
  granted(filter: string, qos: number): void {
    for (const one of this.#byFilter.get(filter)?.members ?? []) {
      // One that is subscribing still is told when all of its filters are answered.
      if (one.granted.length > 0) one.granted[one.filters.indexOf(filter)] = qos;
    }
  }

  /** Gives `subscription` what has come for its filters before anybody had subscribed. */
  claim(subscription: Subscription): void {
    const filters = subscription.filters.map((filter) => sharedFilter(filter)?.filter ?? filter);
    const isIts = ({ topic }: LocalMessage): boolean =>
      filters.some((filter) => matchesFilter(filter, topic));
    for (const delivery of this.#unclaimed.release(isIts)) subscription.offer(delivery);
  }

  /**
   * `subscription`, or whoever has it, gets no more of `filter`. True: nobody does. One that has no filter
   * left has ended.
   */
  remove(filter: string, subscription: Subscription | null): boolean {
    const subscribed = this.#byFilter.get(filter);
    if (subscribed === undefined) return subscription === null;
    const leaving = subscription === null ? [...subscribed.members] : [subscription];
    for (const one of leaving) {
      if (!subscribed.delete(one) || this.#hasFilter(one)) continue;
      this.#dropped += one.dropped;
      one.acknowledge();
      one.end(null, () => false);
    }
    if (!subscribed.isEmpty) return false;
    this.#byFilter.delete(filter);
    for (const identifier of subscribed.identifiers) {
      if (this.#unname(identifier, subscribed)) this.#retire(identifier);
    }
    return true;
  }

  /** What no subscription claims goes to `handler`. */
  handleUnclaimed(handler: MessageHandler | null): void {
    this.#hasHandler = handler !== null;
    this.#unclaimed.handleWith(handler);
  }

  published(packet: Extract<ServerPacket, { type: "publish" }>): void {
    const { topic, payload, qos, retain, dup, packetId } = packet;
    const { session, send, isResumed } = this.#options;
    if (qos === 2 && session.received.has(packetId)) {
      send(encodeAnswer(FirstByte.Pubrec, packetId)); // [MQTT-4.3.3-10]
      return;
    }
    const identifiers = identifiersOf(packet.properties);
    const named = this.#named(topic, identifiers);
    const properties = shown(packet.properties, identifiers, named);
    const message = { topic, payload, qos, retain, dup, properties };
    const delivery: Delivery = { message, packetId, waiting: 1, isTaken: false };
    const takers = this.#takers(topic, identifiers, retain, named);
    const isPast = identifiers.length > 0 && identifiers.every((id) => this.#retired.has(id));
    if (takers.size === 0) {
      const isKnown = isPast || named.length > 0;
      if (!isKnown && (isResumed || this.#hasHandler)) this.#unclaimed.offer(delivery);
      else this.#taken(delivery);
      return;
    }
    delivery.waiting = takers.size;
    for (const subscription of takers) subscription.offer(delivery);
  }

  released(packetId: number): void {
    const isKnown = this.#options.session.received.delete(packetId);
    const reason = isKnown ? Reason.Success : Reason.PacketIdentifierNotFound;
    this.#options.send(encodeAnswer(FirstByte.Pubcomp, packetId, reason));
  }

  /**
   * The connection is over. `isKept`: the broker keeps the session, and sends again what was not
   * acknowledged, so that it must not be taken now.
   */
  close(error: Error | null, isKept: boolean): void {
    const isLost = ({ message, packetId, isTaken }: Delivery): boolean => {
      if (!isKept || message.qos === 0 || packetId === 0) return false;
      if (!isTaken) return true;
      // One of several has taken it: the others do so here, for it is not taken once more.
      if (message.qos === 2) this.#options.session.received.add(packetId);
      return message.qos === 1;
    };
    const all = new Set(this.#subscriptions());
    for (const subscription of all) subscription.end(error, isLost);
    this.#unclaimed.end(null, isLost);
    this.#isClosed = true;
  }

  /** The filters that a message came by. */
  #named(topic: string, identifiers: readonly number[]): readonly Subscribed[] {
    const named = identifiers.flatMap((identifier) => [
      ...(this.#byIdentifier.get(identifier) ?? []),
    ]);
    return [...new Set(named)].filter((one) => one.matches(topic));
  }

  #takers(
    topic: string,
    identifiers: readonly number[],
    isRetained: boolean,
    named: readonly Subscribed[],
  ): Set<Subscription> {
    const isPast = identifiers.some((id) => this.#retired.has(id));
    if (named.length > 0 || isPast) {
      return new Set(named.flatMap((one) => [...one.takers(identifiers, isRetained)]));
    }
    const matching = [...this.#byFilter.values()].filter((one) => one.matches(topic));
    return new Set(matching.flatMap(({ members }) => [...members]));
  }

  #taken(delivery: Delivery): void {
    delivery.isTaken = true;
    if (--delivery.waiting > 0 || delivery.packetId === 0 || this.#isClosed) return;
    const { session, send } = this.#options;
    const { qos } = delivery.message;
    if (qos === 2) session.received.add(delivery.packetId);
    send(encodeAnswer(qos === 1 ? FirstByte.Puback : FirstByte.Pubrec, delivery.packetId));
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

  /** Nothing comes for a filter by an identifier any more; true: nor for any other. */
  #unname(identifier: number, subscribed: Subscribed): boolean {
    const named = this.#byIdentifier.get(identifier);
    named?.delete(subscribed);
    return named?.size === 0 && this.#byIdentifier.delete(identifier);
  }

  #retire(identifier: number): void {
    if (identifier === 0) return;
    this.#retired.add(identifier);
    // The oldest first: nothing of theirs is under way any more.
    for (const oldest of this.#retired) {
      if (this.#retired.size <= RETIRED_MAX) break;
      this.#retired.delete(oldest);
    }
  }
}

function identifiersOf({ SubscriptionIdentifier: given }: PropertyValues): readonly number[] {
  return given === undefined ? [] : typeof given === "number" ? [given] : given;
}

/** With the identifiers that the program knows, and no others. */
function shown(
  properties: PropertyValues,
  identifiers: readonly number[],
  named: readonly Subscribed[],
): PropertyValues {
  if (identifiers.length === 0) return properties;
  const { SubscriptionIdentifier: _, ...others } = properties;
  const known = identifiers.map(
    (id) => named.map((one) => one.shown(id)).find((one) => one !== undefined) ?? id,
  );
  const theirs = known.filter((id) => id < OWN_IDENTIFIER_MIN);
  if (theirs.length === 0) return others;
  return { ...others, SubscriptionIdentifier: theirs.length === 1 ? theirs[0]! : theirs };
}

/** From here on identifiers are the client's own; those below are its user's. */
export const OWN_IDENTIFIER_MIN: number = 2 ** 27;
/** The last identifier that MQTT has. */
export const IDENTIFIER_MAX = 268_435_455;
const RETIRED_MAX = 1000;
