/**
 * From a topic to the sessions that get its messages.
 *
 * Routes are cached by topic id: the first message to a topic walks the filters, the next reads an
 * array. Any change of a subscription, and any new epoch of ids, ends the validity of all routes; they
 * are made again as messages come.
 */
import { assert } from "../base/assert.ts";
import { grownU32 } from "../base/columns.ts";
import type { ConnId, QoS } from "../boundary.ts";
import { NO_CONN } from "../boundary.ts";
import type { Limits } from "../config.ts";
import type { MessagePool, MessageSlot } from "../message/message-pool.ts";
import { DELIVERY_QOS } from "../message/publish-writer.ts";
import { Counter } from "../observe/counters.ts";
import type { Ingest, TopicIndex } from "../ports.ts";
import { Added } from "../ports.ts";
import { Offer } from "../session/outbox.ts";
import type { Session } from "../session/session.ts";
import type { SessionTable } from "../session/session-table.ts";
import type { DirtyRing } from "./dirty-ring.ts";

/** Rows of (session slot, options), one per session. */
type Route = Uint32Array;

/** A fan-out that is being delivered in slices. */
interface Fanout {
  readonly message: MessageSlot;
  readonly route: Route;
  next: number;
  /** The publisher's connection, not read until this is done; NO_CONN where there is none. */
  readonly publisher: ConnId;
}

/** Options of a subscription: bits 0–1 are the granted QoS. */
export const OPTIONS_QOS = 0b11;

export class Router {
  readonly #limits: Limits;
  readonly #ingest: Ingest;
  readonly #index: TopicIndex;
  readonly #sessions: SessionTable;
  readonly #messages: MessagePool;
  readonly #dirty: DirtyRing;
  readonly #counters: Float64Array;
  /** Route of each topic id, valid where its stamp is the current one. */
  #routes: Route[] = [];
  #stamps: Uint32Array = new Uint32Array(64);
  #stamp = 1;
  #topicEpoch = -1;
  #matches: Uint32Array = new Uint32Array(512);
  /** Row of each session in the route that is being merged, plus one. */
  #rowOf: Uint32Array = new Uint32Array(64);
  readonly #fanouts: Fanout[] = [];

  constructor(
    limits: Limits,
    ingest: Ingest,
    index: TopicIndex,
    sessions: SessionTable,
    messages: MessagePool,
    dirty: DirtyRing,
    counters: Float64Array,
  ) {
    this.#limits = limits;
    this.#ingest = ingest;
    this.#index = index;
    this.#sessions = sessions;
    this.#messages = messages;
    this.#dirty = dirty;
    this.#counters = counters;
  }

  /** How many subscriptions there are, of all sessions. */
  get subscriptionCount(): number {
    return this.#index.size;
  }

  subscribe(filter: Uint8Array, session: Session, options: number): Added {
    this.#stamp++;
    const added = this.#index.add(filter, session.slot, options);
    if (added === Added.New) this.#counters[Counter.subscriptions]!++;
    return added;
  }

  unsubscribe(filter: Uint8Array, session: Session): void {
    this.#stamp++;
    const wasThere = this.#index.remove(filter, session.slot);
    assert(wasThere, "a subscription of a session is in the topic index");
    this.#counters[Counter.subscriptions]!--;
  }

  /** The sessions that a topic reaches. The id is of the current epoch. */
  route(topic: number): Route {
    if (this.#topicEpoch !== this.#ingest.topicEpoch) {
      this.#topicEpoch = this.#ingest.topicEpoch;
      this.#routes = [];
      this.#stamp++;
    }
    if (this.#stamps[topic] === this.#stamp) return this.#routes[topic]!;
    const route = this.#merged(this.#match(topic));
    this.#stamps = grownU32(this.#stamps, topic);
    this.#stamps[topic] = this.#stamp;
    // Filled in order, so that the array stays packed.
    while (this.#routes.length < topic) this.#routes.push(NOBODY);
    this.#routes[topic] = route;
    return route;
  }

  /**
   * Delivers a message along a route. False: the route is long, and the rest follows in slices from
   * `continueFanouts`; `publisher` is not to be read until then.
   */
  deliver(message: MessageSlot, route: Route, publisher: ConnId): boolean {
    const end = Math.min(route.length, this.#limits.fanoutSlice * 2);
    this.#deliverRows(message, route, 0, end);
    if (end === route.length) return true;
    this.#messages.retain(message);
    this.#fanouts.push({ message, route, next: end, publisher });
    this.#sessions.holdsSlots = true;
    return false;
  }

  get hasFanouts(): boolean {
    return this.#fanouts.length > 0;
  }

  /** Delivers one slice; returns the publisher whose fan-out is done with it, or NO_CONN. */
  continueFanouts(): ConnId {
    const fanout = this.#fanouts[0]!;
    const start = fanout.next;
    fanout.next = Math.min(fanout.route.length, start + this.#limits.fanoutSlice * 2);
    this.#deliverRows(fanout.message, fanout.route, start, fanout.next);
    if (fanout.next < fanout.route.length) return NO_CONN;
    this.#messages.release(fanout.message);
    this.#fanouts.shift();
    if (this.#fanouts.length === 0) this.#sessions.releaseSlots();
    return fanout.publisher;
  }

  /**
   * Offers a message to one session, at the smaller of the published and the granted QoS
   * [MQTT311-3.8.4-6]. `flags` are the delivery bits above the QoS.
   */
  offer(session: Session, message: MessageSlot, options: number, flags: number): void {
    const granted = options & OPTIONS_QOS;
    const published = this.#messages.qos(message);
    const qos = Math.min(granted, published) as QoS;
    if (session.connSlot === 0) {
      if (qos > 0 || this.#limits.queueQos0 === 1) session.outbox.hold(message, qos | flags);
      return;
    }
    const { connSlot } = session;
    const isBlocked = this.#dirty.isBlocked(connSlot);
    if (session.outbox.offer(message, qos | flags, isBlocked) === Offer.Ready) {
      this.#dirty.mark(connSlot);
    }
  }

  #deliverRows(message: MessageSlot, route: Route, start: number, end: number): void {
    for (let i = start; i < end; i += 2) {
      const session = this.#sessions.at(route[i]!);
      // Null: it ended after the route was read, while its message was delivered in slices.
      if (session !== null) this.offer(session, message, route[i + 1]!, 0);
    }
  }

  #match(topic: number): number {
    let rows = this.#index.match(topic, this.#matches);
    if (rows * 2 > this.#matches.length) {
      this.#matches = new Uint32Array(2 ** Math.ceil(Math.log2(rows * 2)));
      rows = this.#index.match(topic, this.#matches);
    }
    return rows;
  }

  /**
   * One row per session of the first `rows` matches: overlapping subscriptions deliver once, at the
   * largest of their QoS [MQTT311-3.3.5-1].
   */
  #merged(rows: number): Route {
    if (rows === 0) return NOBODY;
    const matches = this.#matches;
    let length = 0;
    for (let i = 0; i < rows * 2; i += 2) {
      const slot = matches[i]!;
      const options = matches[i + 1]!;
      this.#rowOf = grownU32(this.#rowOf, slot);
      const row = this.#rowOf[slot]!;
      if (row === 0) {
        matches[length] = slot;
        matches[length + 1] = options;
        length += 2;
        this.#rowOf[slot] = length;
      } else if ((options & DELIVERY_QOS) > (matches[row - 1]! & DELIVERY_QOS)) {
        matches[row - 1] = options;
      }
    }
    const route = matches.slice(0, length);
    for (let i = 0; i < length; i += 2) this.#rowOf[route[i]!] = 0;
    return route;
  }
}

const NOBODY: Route = new Uint32Array(0);
