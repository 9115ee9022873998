/**
 * What comes to a client: each message to the subscriptions that it is for, acknowledged as they take it, at
 * QoS 2 exactly once.
 *
 * Each filter has an identifier that no other of the broker's local clients has had, so that a message says
 * which of a client's filters it is for, also where they overlap. One of another number is from before the
 * session was resumed: it is matched by its topic, and waits for a subscription where there is none yet.
 */
import type { PropertyValues, QoS } from "../../core/mod.ts";
import { FirstByte, matchesFilter, Reason, sharedFilter } from "../../core/mod.ts";
import type { LocalMessage, MessageHandler, SubscribeOptions } from "./client-api.ts";
import type { ClientSession } from "./client-session.ts";
import type { ServerPacket } from "./packets.ts";
import { encodeAnswer } from "./packets.ts";
import type { ConsumerOptions, Delivery } from "./subscription.ts";
import { Subscription } from "./subscription.ts";

export interface IncomingOptions
  extends Pick<ConsumerOptions, "queuedMessagesMax" | "queuedBytesMax" | "failed"> {
  readonly session: ClientSession;
  /** Whether messages may come for subscriptions of an earlier connection. */
  readonly isResumed: boolean;
  send(packet: Uint8Array): void;
}

/** A filter that is subscribed to, by one or more subscriptions. */
interface Subscribed {
  readonly filter: string;
  /** Without its share name. */
  readonly matched: string;
  identifier: number;
  /** Each with what it asked for. */
  readonly subscriptions: Map<Subscription, SubscribeOptions>;
}

export class Incoming {
  readonly #options: IncomingOptions;
  readonly #byFilter = new Map<string, Subscribed>();
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

  /**
   * From now on `subscription` gets what comes for `filter`. 0: the broker tells no identifiers. Returns what to
   * ask the broker for, so that each subscription of the filter has what it wants.
   */
  add(
    filter: string,
    subscription: Subscription,
    options: SubscribeOptions,
    identifier: number,
  ): SubscribeOptions {
    const subscribed = this.#byFilter.get(filter) ?? {
      ...{ filter, matched: sharedFilter(filter)?.filter ?? filter, identifier },
      subscriptions: new Map<Subscription, SubscribeOptions>(),
    };
    if (subscribed.identifier !== identifier) this.#retire(subscribed.identifier);
    subscribed.identifier = identifier;
    this.#retired.delete(identifier);
    this.#byFilter.set(filter, subscribed);
    subscribed.subscriptions.set(subscription, options);
    const all = [...subscribed.subscriptions.values()];
    return {
      ...options,
      qos: Math.max(...all.map(({ qos = 0 }) => qos)) as QoS,
      noLocal: all.every(({ noLocal = false }) => noLocal),
      retainAsPublished: all.some(({ retainAsPublished = false }) => retainAsPublished),
    };
  }

  /** The broker granted `qos` for `filter`, to all who have it. */
  granted(filter: string, qos: number): void {
    for (const one of this.#byFilter.get(filter)?.subscriptions.keys() ?? []) {
      // One that is subscribing still is told when all of its filters are answered.
      if (one.granted.length > 0) one.granted[one.filters.indexOf(filter)] = qos;
    }
  }

  /** The identifier that `filter` has, if it is subscribed to. */
  identifierOf(filter: string): number | undefined {
    return this.#byFilter.get(filter)?.identifier;
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
    const leaving = subscription === null ? [...subscribed.subscriptions.keys()] : [subscription];
    for (const one of leaving) {
      if (!subscribed.subscriptions.delete(one) || this.#hasFilter(one)) continue;
      this.#dropped += one.dropped;
      one.acknowledge();
      one.end(null, () => false);
    }
    if (subscribed.subscriptions.size > 0) return false;
    this.#byFilter.delete(filter);
    this.#retire(subscribed.identifier);
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
    const properties = shown(packet.properties, identifiers);
    const message = { topic, payload, qos, retain, dup, properties };
    const delivery: Delivery = { message, packetId, waiting: 1, isTaken: false };
    const takers = this.#takers(topic, identifiers);
    const isPast = identifiers.length > 0 && identifiers.every((id) => this.#retired.has(id));
    if (takers.size === 0) {
      if (!isPast && (isResumed || this.#hasHandler)) this.#unclaimed.offer(delivery);
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

  #takers(topic: string, identifiers: readonly number[]): Set<Subscription> {
    const matching = [...this.#byFilter.values()].filter(({ matched }) =>
      matchesFilter(matched, topic),
    );
    const named = matching.filter(({ identifier }) => identifiers.includes(identifier));
    const isPast = identifiers.some((id) => this.#retired.has(id));
    const takers = named.length > 0 || isPast ? named : matching;
    return new Set(takers.flatMap(({ subscriptions }) => [...subscriptions.keys()]));
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
    for (const { subscriptions } of this.#byFilter.values()) {
      for (const subscription of subscriptions.keys()) {
        if (seen.has(subscription)) continue;
        seen.add(subscription);
        yield subscription;
      }
    }
  }

  #hasFilter(subscription: Subscription): boolean {
    return [...this.#byFilter.values()].some(({ subscriptions }) =>
      subscriptions.has(subscription),
    );
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

/** Without the identifiers that are this file's own. */
function shown(properties: PropertyValues, identifiers: readonly number[]): PropertyValues {
  if (identifiers.length === 0) return properties;
  const { SubscriptionIdentifier: _, ...others } = properties;
  const theirs = identifiers.filter((id) => id < OWN_IDENTIFIER_MIN);
  if (theirs.length === 0) return others;
  return { ...others, SubscriptionIdentifier: theirs.length === 1 ? theirs[0]! : theirs };
}

/** From here on identifiers are the client's own; those below are its user's. */
export const OWN_IDENTIFIER_MIN: number = 2 ** 27;
/** The last identifier that MQTT has. */
export const IDENTIFIER_MAX = 268_435_455;
const RETIRED_MAX = 1000;
