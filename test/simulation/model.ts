/**
 * What a correct broker does, as far as clients can tell: sessions, wills, retained messages, and which messages are owed
 * to whom. It follows the events of the broker, which say what was handled when, and the store, which says what a crash
 * leaves (undo-log.ts). What the broker has told a client, a crash does not take back.
 */
import type { Link } from "./link.ts";
import type { Message } from "./messages.ts";
import { RetainedModel } from "./retained-model.ts";
import type { Subscription } from "./session-model.ts";
import { SessionModel } from "./session-model.ts";
import type { Filter } from "./topics.ts";
import { filters, sharedFilters } from "./topics.ts";
import { UndoLog } from "./undo-log.ts";
import { check } from "./violation.ts";
import type { Packet } from "./wire.ts";

/** The time of the broker and of the world. */
export interface Clock {
  /** Milliseconds that have passed, whatever the wall clock was set to. */
  readonly now: number;
  /** The wall clock. */
  readonly unixMillis: number;
}

/** A client identifier, as the broker knows it. */
export class ClientModel {
  readonly number: number;
  session: SessionModel | null = null;
  /** The latest session that the client was told of, by the event at which it began. */
  toldSince = 0;
  /** Its accepted connection. */
  link: Link | null = null;
  /** When its session ends, while it has no connection. */
  endsAt = Number.POSITIVE_INFINITY;
  endsAtUnix = Number.POSITIVE_INFINITY;
  /** Milliseconds. */
  expiry = 0;
  /** The will of its last connection, until the delay has passed. */
  will: PendingWill | null = null;

  constructor(number: number) {
    this.number = number;
  }
}

interface PendingWill {
  readonly message: Message;
  dueAt: number;
  dueAtUnix: number;
}

export class Model {
  readonly undo = new UndoLog();
  readonly retained: RetainedModel;
  readonly clients: readonly ClientModel[];
  /** Messages that one of the members of a shared subscription must get, by filter. */
  readonly owedShared: readonly Set<Message>[] = filters.map(() => new Set());
  /** The event at which a session with each shared subscription ended last. */
  readonly #memberEndedAt: number[] = filters.map(() => 0);
  /** Messages whose time of expiry is counted. */
  readonly #expiring: Message[] = [];
  readonly #clock: Clock;
  /** The event at which wills began to be published that have no order among them; 0: this is not so now. */
  #togetherSince = 0;
  /** The number of the latest event. */
  event = 1;
  willCount = 0;

  constructor(clientCount: number, clock: Clock) {
    this.#clock = clock;
    this.retained = new RetainedModel(this.undo);
    this.clients = Array.from({ length: clientCount }, (_, number) => new ClientModel(number));
  }

  /** The broker accepted a CONNECT. */
  handleConnected(link: Link, isPresent: boolean): void {
    const client = this.clients[link.client]!;
    const { session, endsAt, endsAtUnix, expiry, will } = client;
    const expected = session !== null && !link.options.isClean;
    const says = (): string => `client ${link.client}: session present ${isPresent}`;
    check(isPresent === expected, says);
    if (session !== null && link.options.isClean) this.#endSession(client);
    // A will whose client is back before its delay has passed is not published.
    client.will = null;
    client.expiry = link.expiryMillis;
    const isKept = client.expiry > 0;
    if (client.session === null) {
      client.session = new SessionModel(client.number, isKept, this.clients.length, this.undo);
      client.session.since = ++this.event;
    }
    const { session: current } = client;
    const wasKept = current.isKept;
    current.isKept = isKept;
    client.link = link;
    client.endsAt = client.endsAtUnix = Number.POSITIVE_INFINITY;
    link.session = current;
    link.isConnected = true;
    this.undo.push(() => {
      if (link.isConfirmed) return;
      current.isKept = wasKept;
      link.isConnected = false;
      Object.assign(client, { session, link: null, endsAt, endsAtUnix, expiry, will });
    });
  }

  /**
   * An accepted connection ended. `dropsWill`: by a DISCONNECT with reason code 0, or because the broker shuts down.
   * `newExpiry`: the session expiry interval of the DISCONNECT, in milliseconds; -1: none.
   */
  handleDisconnected(link: Link, dropsWill: boolean, newExpiry: number): void {
    const client = this.clients[link.client]!;
    const { session, endsAt, endsAtUnix, expiry } = client;
    const { will } = link;
    client.link = null;
    link.isConnected = false;
    link.will = null;
    this.undo.push(() => {
      link.isConnected = true;
      link.will = will;
      Object.assign(client, { session, link, endsAt, endsAtUnix, expiry, will: null });
    });
    if (newExpiry >= 0) client.expiry = newExpiry;
    const due = dropsWill ? null : will;
    if (client.expiry === 0) {
      this.#endSession(client);
      if (due !== null) this.#publishWill(due);
      return;
    }
    const { now, unixMillis } = this.#clock;
    client.endsAt = now + client.expiry;
    client.endsAtUnix = unixMillis + client.expiry;
    if (due === null) return;
    const delay = link.options.willDelaySeconds * 1000;
    if (delay === 0) this.#publishWill(due);
    else client.will = { message: due, dueAt: now + delay, dueAtUnix: unixMillis + delay };
  }

  #endSession(client: ClientModel): void {
    const { session, will, endsAt, endsAtUnix } = client;
    client.session = null;
    client.will = null;
    client.endsAt = client.endsAtUnix = Number.POSITIVE_INFINITY;
    this.undo.push(() => Object.assign(client, { session, will, endsAt, endsAtUnix }));
    this.#leaveShared(session!);
    if (will !== null) this.#publishWill(will.message);
  }

  /**
   * The messages that a session had by a shared subscription go to another member: not those at QoS 2, and none if the
   * other member's session ends with the process.
   */
  #leaveShared(session: SessionModel): void {
    for (const filter of filters) {
      if (!filter.isShared || !session.mayMatch(filter, 0)) continue;
      const owed = this.owedShared[filter.number]!;
      const areAllKept = this.#areMembersKept(filter, this.event + 1);
      this.#memberEndedAt[filter.number] = ++this.event;
      for (const message of owed) if (message.qos === 2 || !areAllKept) owed.delete(message);
    }
  }

  /** Whether there are members, and all of them were members before an event and outlive the process. */
  #areMembersKept(filter: Filter, event: number): boolean {
    let count = 0;
    for (const { session } of this.clients) {
      if (session === null || !session.mayMatch(filter, 0)) continue;
      const subscription = session.subscriptions[filter.number] ?? null;
      if (!session.isKept || subscription === null || subscription.since >= event) return false;
      count++;
    }
    return count > 0;
  }

  /** A shared subscription without members ends: its messages stay with the sessions that have them. */
  #hasMembers({ number }: Filter): boolean {
    return this.clients.some(({ session }) => (session?.subscriptions[number] ?? null) !== null);
  }

  /** A subscription was made, replaced, or removed (null). `isConfirmed`: the client was told. */
  handleSubscription(
    session: SessionModel,
    filter: Filter,
    subscription: Subscription | null,
    isConfirmed: () => boolean,
  ): void {
    const { number } = filter;
    const before = session.subscriptions[number]!;
    const endedBefore = session.endedAt[number]!;
    session.subscriptions[number] = subscription;
    if (subscription?.isRetainAsPublished) session.hasHadRetainAsPublished = true;
    if (before === null && subscription !== null) session.startedAt[number] = subscription.since;
    if (subscription === null) {
      session.endedAt[number] = ++this.event;
      if (filter.isShared && !this.#hasMembers(filter)) this.owedShared[number]!.clear();
    }
    this.undo.push(() => {
      if (isConfirmed()) return;
      session.subscriptions[number] = before;
      session.endedAt[number] =
        before === null && subscription !== null ? ++this.event : endedBefore;
    });
  }

  /** The broker got a PUBLISH. */
  handleTransmission(message: Message): void {
    message.transmissions++;
    message.latestAt = ++this.event;
    if (message.firstAt === 0) message.firstAt = message.latestAt;
    if (message.isRetained) this.retained.handleTransmission(message);
    this.startExpiry(message);
  }

  /** The time to the expiry of a message begins, or has begun since the broker got it. */
  startExpiry(message: Message): void {
    if (message.expirySeconds < 0) return;
    if (message.expiresFrom === Number.POSITIVE_INFINITY) this.#expiring.push(message);
    const at = this.#clock.unixMillis + message.expirySeconds * 1000;
    message.expiresFrom = Math.min(message.expiresFrom, at);
    message.expiresUntil = Math.max(message.expiresUntil, at);
    message.mayBeRecordedLater = false;
  }
  /** The broker has a message that it does not handle yet: the time to its expiry begins later. */
  delayExpiry(message: Message): void {
    message.mayBeRecordedLater = true;
  }

  /** The broker has acknowledged a PUBLISH. `start`: when it got it. Returns whether a subscriber was owed it. */
  handleAcknowledged(message: Message, start: number): boolean {
    this.event++;
    message.isAcknowledged = true;
    if (message.isRetained) this.retained.handleAcknowledged(message, start, this.event);
    if (message.payloadBytes === 0) return false;
    return this.#oblige(message, start, null);
  }

  /** A will is published now. */
  #publishWill(message: Message): void {
    this.willCount++;
    message.transmissions++;
    message.latestAt = ++this.event;
    if (message.firstAt === 0) message.firstAt = message.latestAt;
    this.startExpiry(message);
    if (message.isRetained)
      this.retained.handleWill(message, this.#togetherSince || message.latestAt);
    const withdrawn: (() => void)[] = [];
    this.undo.push(() => withdrawn.forEach((withdraw) => void withdraw()));
    this.event++;
    if (message.payloadBytes > 0) this.#oblige(message, message.latestAt, withdrawn);
  }

  /** A message is owed to all sessions whose subscriptions were there before an event. */
  #oblige(message: Message, start: number, withdrawn: (() => void)[] | null): boolean {
    let isWanted = false;
    for (const { session } of this.clients) {
      if (session === null) continue;
      const granted = session.grantedBefore(message, start);
      if (granted >= 0) isWanted = true;
      if (granted <= 0 || message.qos === 0) continue;
      if (session.hasTaken(message) || session.owed.has(message)) continue;
      session.owed.add(message);
      withdrawn?.push(() => session.owed.delete(message));
    }
    for (const filter of sharedFilters[message.topic]!) {
      // A member whose session has ended meanwhile may have been the one to get it.
      if (message.qos === 0 || this.#memberEndedAt[filter.number]! >= start) continue;
      if (!this.#areMembersKept(filter, start)) continue;
      const owed = this.owedShared[filter.number]!;
      if (this.#wasTaken(filter, message)) continue;
      owed.add(message);
      withdrawn?.push(() => owed.delete(message));
    }
    return isWanted;
  }

  #wasTaken(filter: Filter, message: Message): boolean {
    return this.clients.some(({ session }) => {
      return session?.hasTaken(message) === true && session.mayMatch(filter, 0);
    });
  }

  /** A client takes a message for a new one. */
  handleTaken(session: SessionModel, packet: Packet, message: Message): void {
    session.handleTaken(packet, message);
    if (packet.isRetained && !session.hasHadRetainAsPublished) return;
    for (const filter of sharedFilters[message.topic]!) {
      if (session.mayMatch(filter, 0)) this.owedShared[filter.number]!.delete(message);
    }
  }

  /** Time has passed: sessions end, wills are due. */
  handleTime(): void {
    const { now } = this.#clock;
    this.#togetherSince = ++this.event;
    for (const client of this.clients) {
      if (client.link !== null || client.session === null) continue;
      if (client.endsAt <= now) {
        this.#endSession(client);
      } else if (client.will !== null && client.will.dueAt <= now) {
        const { will } = client;
        client.will = null;
        this.undo.push(() => Object.assign(client, { will }));
        this.#publishWill(will.message);
      }
    }
    this.#togetherSince = 0;
  }

  /** The wall clock will be set, forward by `step` milliseconds or back. */
  handleClockStep(step: number): void {
    const { unixMillis } = this.#clock;
    for (const message of this.#expiring) {
      if (message.mayBeRecordedLater) {
        const at = unixMillis + message.expirySeconds * 1000;
        message.expiresUntil = Math.max(message.expiresUntil, at);
      }
      if (step > 0) message.expiresUntil += step;
      else message.expiresFrom += step;
    }
  }

  /** The process has ended: the changes that the store does not have are taken back. */
  handleCrash(): void {
    this.undo.undo();
    for (const { number, session, toldSince } of this.clients) {
      // A session that is not kept ends with the process, whatever the store has.
      check(
        session === null || !session.isKept || session.since >= toldSince,
        () => `client ${number} was told of a session, and an earlier one is in the store`,
      );
    }
  }

  /** The broker has sent the CONNACK. */
  handleConfirmed(link: Link): void {
    link.isConfirmed = true;
    this.clients[link.client]!.toldSince = link.session!.since;
  }

  /** Another process has recovered. Clients that were connected are disconnected now. */
  handleRecovered(): void {
    const { now, unixMillis } = this.#clock;
    this.#togetherSince = ++this.event;
    for (const client of this.clients) {
      const { link, will } = client;
      if (link !== null) {
        this.handleDisconnected(link, false, -1);
        continue;
      }
      client.endsAt = now + Math.max(0, client.endsAtUnix - unixMillis);
      if (will !== null) will.dueAt = now + Math.max(0, will.dueAtUnix - unixMillis);
    }
    this.handleTime();
  }
}
