/**
 * Routes the messages of a topic to sessions.
 *
 * Routes are cached by topic id: the first message to a topic walks the filters, the next one reads
 * an array. Every change of a subscription and every new epoch of topic ids invalidates all routes;
 * a route is computed again when its topic's next message arrives.
 */
import { assert } from "../base/assert.ts";
import { grownU32 } from "../base/columns.ts";
import type { ConnId } from "../boundary.ts";
import { NO_CONN } from "../boundary.ts";
import { encodeUtf8 } from "../codec/utf8.ts";
import type { Limits } from "../config.ts";
import type { MessagePool, MessageSlot } from "../message/message-pool.ts";
import type { PagedMessages } from "../message/paged-messages.ts";
import { isPaged } from "../message/paged-messages.ts";
import { DELIVERY_QOS, DELIVERY_RETAIN } from "../message/publish-writer.ts";
import { Counter } from "../observe/counters.ts";
import type { Ingest, TopicIndex } from "../ports.ts";
import { Added } from "../ports.ts";
import type { DeliveryOrigin } from "../session/delivery-queue.ts";
import { ENTRY_BYTES } from "../session/delivery-queue.ts";
import { Offer } from "../session/outbox.ts";
import type { Session } from "../session/session.ts";
import type { SessionTable } from "../session/session-table.ts";
import type { Route, RouteOrigins } from "./route.ts";
import {
  GROUP_SUBSCRIBER,
  OPTIONS_NO_LOCAL,
  OPTIONS_QOS,
  OPTIONS_RETAIN_AS_PUBLISHED,
  OWN_SUBSCRIBER,
  RouteMaker,
} from "./route.ts";
import type { SendQueue } from "./send-queue.ts";
import { chooseMember, SharedSubscriptions, sharedFilter } from "./shared.ts";

/** The parts of a broker that routing uses. */
export interface RoutingContext {
  readonly limits: Limits;
  readonly ingest: Ingest;
  readonly sessions: SessionTable;
  readonly messages: MessagePool;
  readonly sendQueue: SendQueue;
  readonly counters: Float64Array;
}

/** A fan-out that is delivered in slices. */
interface Fanout {
  readonly message: MessageSlot;
  readonly route: Route;
  readonly origins: RouteOrigins;
  next: number;
  /**
   * The connection of the publisher, which is not read until the fan-out is complete; NO_CONN if
   * there is none.
   */
  readonly publisherConn: ConnId;
  readonly publisher: Session | null;
}

export class Router {
  readonly #limits: Limits;
  readonly #ingest: Ingest;
  readonly #index: TopicIndex;
  readonly #sessions: SessionTable;
  readonly #messages: MessagePool;
  readonly #sendQueue: SendQueue;
  readonly #counters: Float64Array;
  /** The route of each topic id, valid if its stamp is the current one. */
  #routes: Route[] = [];
  /** The total length of the cached routes, valid or not. */
  #routeWords = 0;
  /**
   * Origins by topic id, where a route has any. In a map of their own, so that the usual route is a
   * plain array.
   */
  readonly #origins = new Map<number, RouteOrigins>();
  #stamps: Uint32Array = new Uint32Array(64);
  #stamp = 1;
  #topicEpoch = -1;
  #matches: Uint32Array = new Uint32Array(512);
  readonly #maker = new RouteMaker();
  readonly #shared: SharedSubscriptions;
  readonly #isBlocked = (connSlot: number): boolean => this.#sendQueue.isBlocked(connSlot);
  readonly #fanouts: Fanout[] = [];

  constructor(context: RoutingContext, index: TopicIndex) {
    this.#limits = context.limits;
    this.#ingest = context.ingest;
    this.#index = index;
    this.#sessions = context.sessions;
    this.#messages = context.messages;
    this.#sendQueue = context.sendQueue;
    this.#counters = context.counters;
    this.#shared = new SharedSubscriptions(context.counters);
  }

  /** The number of subscriptions of all sessions. */
  get subscriptionCount(): number {
    return this.#counters[Counter.subscriptions]!;
  }

  subscribe(filter: string, session: Session, options: number): Added {
    this.#stamp++;
    const shared = sharedFilter(filter);
    let added: Added;
    if (shared === null) {
      added = this.#index.add(encodeUtf8(filter), session.slot, options);
    } else {
      const { number, isNew } = this.#shared.join(filter, session, options);
      added = this.#index.add(encodeUtf8(shared.filter), GROUP_SUBSCRIBER | number, 0);
      if (added === Added.NoMemory) this.#shared.leave(filter, session);
      else added = isNew ? Added.New : Added.Replaced;
    }
    if (added === Added.New) this.#counters[Counter.subscriptions]!++;
    return added;
  }

  /** The number of a shared subscription by its `$share/name/filter`; 0: it has no members. */
  groupNumber(text: string): number {
    return this.#shared.find(text)?.number ?? 0;
  }

  /** Removes an existing subscription. */
  unsubscribe(filter: string, session: Session): void {
    this.#stamp++;
    this.#counters[Counter.subscriptions]!--;
    const shared = sharedFilter(filter);
    let subscriber: number = session.slot;
    if (shared !== null) {
      const group = this.#shared.leave(filter, session);
      if (group.members.length > 0) return;
      subscriber = GROUP_SUBSCRIBER | group.number;
    }
    const wasThere = this.#index.remove(encodeUtf8(shared?.filter ?? filter), subscriber);
    assert(wasThere, "a subscription of a session is in the topic index");
  }

  /** The route of a topic; the id must be of the current epoch. */
  route(topic: number): Route {
    const isCached = this.#stamps[topic] === this.#stamp;
    // Apart, so that the usual case is small enough to be inlined into the handler of PUBLISH.
    if (!isCached || this.#topicEpoch !== this.#ingest.topicEpoch) return this.#makeRoute(topic);
    return this.#routes[topic]!;
  }

  #makeRoute(topic: number): Route {
    if (this.#topicEpoch !== this.#ingest.topicEpoch) {
      this.#topicEpoch = this.#ingest.topicEpoch;
      this.#forgetRoutes();
    }
    const count = this.#match(topic);
    const route = this.#maker.make(this.#matches, count);
    this.#routeWords += route.length - (this.#routes[topic]?.length ?? 0);
    if (this.#routeWords > ROUTE_WORDS_MAX) {
      this.#forgetRoutes();
      this.#routeWords = route.length;
    }
    if (this.#maker.origins !== null) this.#origins.set(topic, this.#maker.origins);
    else if (this.#origins.size > 0) this.#origins.delete(topic);
    this.#stamps = grownU32(this.#stamps, topic);
    this.#stamps[topic] = this.#stamp;
    // Filled in order, so that the array stays packed.
    while (this.#routes.length < topic) this.#routes.push(NO_RECEIVERS);
    this.#routes[topic] = route;
    return route;
  }

  /**
   * Delivers a message along the route of its topic. False: the route is long. `continueFanouts`
   * delivers the rest in slices, and `publisherConn` must not be read until then. `publisher` is
   * the session of the publisher, if known.
   */
  deliver(
    message: MessageSlot,
    topic: number,
    route: Route,
    publisherConn: ConnId,
    publisher: Session | null,
  ): boolean {
    const origins = this.#origins.size === 0 ? null : (this.#origins.get(topic) ?? null);
    const next = this.#deliverSlice(message, route, origins, 0, publisher);
    if (next === route.length) return true;
    this.#messages.retain(message);
    this.#fanouts.push({ message, route, origins, next, publisherConn, publisher });
    this.#sessions.keepsFreedSlots = true;
    return false;
  }

  get hasFanouts(): boolean {
    return this.#fanouts.length > 0;
  }

  /**
   * Delivers one slice; returns the publisher if its fan-out is complete now, otherwise NO_CONN.
   */
  continueFanouts(): ConnId {
    const fanout = this.#fanouts[0]!;
    const { message, route, origins, next, publisher } = fanout;
    fanout.next = this.#deliverSlice(message, route, origins, next, publisher);
    if (fanout.next < route.length) return NO_CONN;
    this.#messages.release(fanout.message);
    this.#fanouts.shift();
    if (this.#fanouts.length === 0) this.#sessions.releaseFreedSlots();
    return fanout.publisherConn;
  }

  /**
   * Offers a message to one session, at the lower of the published and the granted QoS
   * [MQTT311-3.8.4-6] [MQTT-3.8.4-8]. `flags` are the delivery flags above the QoS.
   */
  offer(
    session: Session,
    message: MessageSlot,
    options: number,
    origin: DeliveryOrigin | null,
    flags: number,
  ): void {
    const granted = options & OPTIONS_QOS;
    const published = this.#messages.qos(message);
    const delivery = Math.min(granted, published) | flags;
    const { connSlot } = session;
    if (connSlot === 0) {
      this.#offerAway(session, message, delivery, origin);
      return;
    }
    const bytes = this.#messages.size(message) + ENTRY_BYTES;
    const isBlocked = this.#sendQueue.isBlocked(connSlot);
    if (session.outbox.offer(message, bytes, delivery, origin, isBlocked) === Offer.Ready) {
      this.#sendQueue.schedule(connSlot);
    }
  }

  /** Offers a message to a session whose client is not connected. */
  #offerAway(
    session: Session,
    message: MessageSlot,
    delivery: number,
    origin: DeliveryOrigin | null,
  ): void {
    if ((delivery & DELIVERY_QOS) > 0 || this.#limits.queueQos0 === 1) {
      session.outbox.enqueue(message, delivery, origin);
    }
  }

  /**
   * Offers a message of a shared subscription to one of its members. `publisher` is the session of
   * the publisher, if known.
   */
  offerShared(number: number, message: MessageSlot, publisher: Session | null): void {
    const group = this.#shared.at(number);
    // Null: the group ended after the route was computed, or after the message was sent to a member
    // that left.
    if (group === null) return;
    const mayQueue = this.#messages.qos(message) > 0 || this.#limits.queueQos0 === 1;
    const member = chooseMember(group, mayQueue, this.#isBlocked, publisher);
    if (member === null) {
      this.#counters[Counter.droppedNoMember]!++;
      return;
    }
    const { session, options, origin } = member;
    this.offer(session, message, options, origin, this.#flags(message, options));
  }

  /**
   * Offers an undelivered message of a shared subscription to another member. The message may be
   * paged out: a queue takes it as it is, and it is loaded when its turn comes.
   */
  handOver(number: number, message: MessageSlot, paged: PagedMessages | null): void {
    if (!isPaged(message)) {
      this.offerShared(number, message, null);
      return;
    }
    const group = this.#shared.at(number);
    if (group === null) return;
    const member = chooseMember(group, true, this.#isBlocked, null);
    if (member === null) {
      this.#counters[Counter.droppedNoMember]!++;
      return;
    }
    const { session, options, origin } = member;
    const { connSlot, outbox } = session;
    const qos = Math.min(options & OPTIONS_QOS, paged!.qos(message));
    if (qos === 0 && connSlot === 0 && this.#limits.queueQos0 === 0) return;
    const isRetained = (options & OPTIONS_RETAIN_AS_PUBLISHED) !== 0 && paged!.isRetained(message);
    outbox.enqueue(message, qos | (isRetained ? DELIVERY_RETAIN : 0), origin);
    if (connSlot !== 0 && outbox.refill()) this.#sendQueue.schedule(connSlot);
  }

  /**
   * Delivers to the next rows of a route, at most `fanoutSlice`. Returns where the rest begins. The loop
   * repeats `offer`: with a call in its place, 1 to 100 took 4 % more processor time.
   */
  #deliverSlice(
    message: MessageSlot,
    route: Route,
    origins: RouteOrigins,
    start: number,
    publisher: Session | null,
  ): number {
    const end = Math.min(route.length, start + this.#limits.fanoutSlice * 2);
    const published = this.#messages.qos(message);
    const bytes = this.#messages.size(message) + ENTRY_BYTES;
    for (let i = start; i < end; i += 2) {
      const subscriber = route[i]!;
      const options = route[i + 1]!;
      if (subscriber >= GROUP_SUBSCRIBER) {
        this.offerShared(subscriber & ~GROUP_SUBSCRIBER, message, publisher);
        continue;
      }
      const isOwn = subscriber >= OWN_SUBSCRIBER;
      const session = this.#sessions.at(isOwn ? subscriber & ~OWN_SUBSCRIBER : subscriber);
      // Null: the session ended while the fan-out was delivered in slices.
      if (session === null) continue;
      // The publishing session receives the message only through its subscriptions without No Local
      // [MQTT-3.8.3-3].
      if (
        isOwn ? session !== publisher : (options & OPTIONS_NO_LOCAL) !== 0 && session === publisher
      )
        continue;
      const origin = origins === null ? null : origins[i >> 1]!;
      const delivery = Math.min(options & OPTIONS_QOS, published) | this.#flags(message, options);
      const { connSlot } = session;
      if (connSlot === 0) {
        this.#offerAway(session, message, delivery, origin);
        continue;
      }
      const isBlocked = this.#sendQueue.isBlocked(connSlot);
      if (session.outbox.offer(message, bytes, delivery, origin, isBlocked) === Offer.Ready) {
        this.#sendQueue.schedule(connSlot);
      }
    }
    return end;
  }

  /** Retain As Published: RETAIN as published [MQTT-3.3.1-13]; otherwise 0 [MQTT-3.3.1-12]. */
  #flags(message: MessageSlot, options: number): number {
    if ((options & OPTIONS_RETAIN_AS_PUBLISHED) === 0) return 0;
    return this.#messages.isRetained(message) ? DELIVERY_RETAIN : 0;
  }

  #forgetRoutes(): void {
    this.#routes = [];
    this.#routeWords = 0;
    this.#origins.clear();
    this.#stamp++;
  }

  #match(topic: number): number {
    let rows = this.#index.match(topic, this.#matches);
    if (rows * 2 > this.#matches.length) {
      this.#matches = new Uint32Array(2 ** Math.ceil(Math.log2(rows * 2)));
      rows = this.#index.match(topic, this.#matches);
    }
    return rows;
  }
}

/**
 * Maximum words of all cached routes. Beyond it all routes are dropped, because many topics with
 * many receivers each would take more memory than everything else.
 */
const ROUTE_WORDS_MAX = 8 * 1024 * 1024;
const NO_RECEIVERS: Route = [];
