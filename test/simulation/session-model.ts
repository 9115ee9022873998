/**
 * What one session of a client must get, may get and has got.
 *
 * Events are numbered. A message was published between the event at which the broker got it and the event at which the
 * broker acknowledged it. It is owed to a session whose subscription began before the first and was there at the second.
 * A session may get it if a subscription matched at any time after the first.
 */
import type { Message } from "./messages.ts";
import { isExpired } from "./messages.ts";
import type { RetainedModel } from "./retained-model.ts";
import type { Filter } from "./topics.ts";
import { filters, plainFilters, sharedFilters, topicNames } from "./topics.ts";
import type { UndoLog } from "./undo-log.ts";
import { Violation } from "./violation.ts";
import type { Packet } from "./wire.ts";

export interface Subscription {
  /** The granted QoS. */
  readonly qos: number;
  /** The Subscription Identifier; 0: none. */
  readonly identifier: number;
  readonly isNoLocal: boolean;
  readonly isRetainAsPublished: boolean;
  /** The event of its SUBSCRIBE. */
  readonly since: number;
}

export const Stage = { Sent: 1, Released: 2 } as const;

/** How often a session got a message. */
export interface Account {
  /** By the broker's own count: resending with DUP does not count. */
  sentCount: number;
  wasSent: boolean;
  isTaken: boolean;
  /** How often the client has taken it for a new message at QoS 2. */
  takenAtQos2: number;
}

/** One copy of a QoS 1 or 2 message, from the first sending to the final acknowledgement. */
export class Copy {
  readonly message: Message;
  stage: number = Stage.Sent;
  /** It was sent before a crash, and the store may not know that. */
  isForgotten = false;
  /** The broker got an acknowledgement that it may not have handled yet. */
  mayBeAcknowledged = false;
  /** The copy that had the identifier before, if it may not be known to the store that it was acknowledged. */
  previous: Copy | null = null;

  constructor(message: Message) {
    this.message = message;
  }
}

export class SessionModel {
  readonly client: number;
  /** The event at which it began. */
  since = 0;
  /** Whether the client asked for it to outlive its connection. */
  isKept: boolean;
  readonly subscriptions: (Subscription | null)[] = filters.map(() => null);
  /** The event at which each subscription began; replacing it does not change that. */
  readonly startedAt: number[] = filters.map(() => 0);
  /** The event at which each subscription ended last; 0: it never did. */
  readonly endedAt: number[] = filters.map(() => 0);
  readonly #accounts = new Map<number, Account>();
  /** Copies by packet identifier. */
  readonly inUse = new Map<number, Copy>();
  readonly owed = new Set<Message>();
  /** Whether any of its subscriptions was ever Retain As Published. */
  hasHadRetainAsPublished = false;
  /** The latest message by publisher, topic, and whether its delivery is at QoS 0. */
  readonly #latest: number[];
  readonly #undo: UndoLog;

  constructor(client: number, isKept: boolean, clientCount: number, undo: UndoLog) {
    this.client = client;
    this.isKept = isKept;
    this.#latest = new Array<number>(clientCount * topicNames.length * 2).fill(0);
    this.#undo = undo;
  }

  accountOf({ number }: Message): Account {
    let account = this.#accounts.get(number);
    if (account === undefined) {
      account = { sentCount: 0, wasSent: false, isTaken: false, takenAtQos2: 0 };
      this.#accounts.set(number, account);
    }
    return account;
  }
  hasTaken({ number }: Message): boolean {
    return this.#accounts.get(number)?.isTaken ?? false;
  }

  /** The highest QoS of plain subscriptions that match and began before an event; -1: none. */
  grantedBefore(message: Message, event: number): number {
    let granted = -1;
    for (const { number } of plainFilters[message.topic]!) {
      const subscription = this.subscriptions[number]!;
      if (subscription === null || subscription.since >= event) continue;
      if (subscription.isNoLocal && message.publisher === this.client) continue;
      if (subscription.qos > granted) granted = subscription.qos;
    }
    return granted;
  }

  /** Whether a subscription was there at any time since an event. */
  mayMatch({ number }: Filter, since: number): boolean {
    return this.subscriptions[number] !== null || this.endedAt[number]! > since;
  }

  /** How many copies of one publication the session may get: one for all plain subscriptions, one for each shared one. */
  copiesMax(message: Message): number {
    const { topic, firstAt } = message;
    let copies = plainFilters[topic]!.some((filter) => this.mayMatch(filter, firstAt)) ? 1 : 0;
    for (const filter of sharedFilters[topic]!) if (this.mayMatch(filter, firstAt)) copies++;
    return copies;
  }

  /**
   * The broker has sent a PUBLISH with RETAIN: a retained message for a new subscription, or any message for one with
   * Retain As Published. Such a message may come again with every SUBSCRIBE.
   */
  handleRetainedSent(packet: Packet, message: Message, retained: RetainedModel): void {
    const mayBeSent =
      this.copiesMax(message) > 0 ||
      plainFilters[message.topic]!.some((filter) => {
        const { number } = filter;
        const isThere = this.subscriptions[number] !== null || this.endedAt[number]! > 0;
        return isThere && retained.mayBeSent(message, this.startedAt[number]!);
      });
    if (!mayBeSent)
      throw new Violation("sends a retained message to no subscription", message.number);
    if (packet.qos === 0) return;
    const before = this.inUse.get(packet.id);
    if (packet.isDup && before?.message === message) {
      before.mayBeAcknowledged = false;
      return;
    }
    if (!packet.isDup) this.#checkIdentifier(packet.id, message);
    const copy = new Copy(message);
    this.#use(packet.id, copy);
    this.#undo.push(() => {
      copy.isForgotten = true;
    });
  }

  /** The broker has sent a PUBLISH without RETAIN. */
  handleSent(packet: Packet, message: Message, unixMillis: number, window: number): void {
    this.#checkOptions(packet, message);
    const { qos, id, isDup } = packet;
    if (isDup) {
      this.#handleResent(packet, message);
      return;
    }
    if (qos > 0) this.#checkIdentifier(id, message);
    if (isExpired(message, unixMillis)) {
      throw new Violation("sends an expired message", message.number);
    }
    const account = this.accountOf(message);
    if (!account.wasSent) this.#checkOrder(qos, message);
    account.wasSent = true;
    this.#count(account, qos, message);
    if (qos === 0) return;
    const copy = new Copy(message);
    this.#use(id, copy);
    if (this.inUse.size > window) this.#checkWindow(window, message);
    // At QoS 1 the broker does not wait for the record that the message was sent.
    if (qos !== 1) return;
    this.#undo.push(() => {
      account.sentCount--;
      copy.isForgotten = true;
    });
  }

  #handleResent({ id, qos }: Packet, message: Message): void {
    const known = this.inUse.get(id);
    const previous = known?.previous;
    // After a crash the identifier may be that of an earlier copy again, even one of the same message: its publisher sent
    // it twice, and the store knows neither the acknowledgement of the first copy nor the second one.
    const isEarlier =
      known?.message !== message || (known.isForgotten && previous?.message === message);
    const copy = isEarlier ? previous : known;
    if (copy?.message === message && copy.stage === Stage.Sent) {
      this.inUse.set(id, copy);
      copy.mayBeAcknowledged = false;
      if (!copy.isForgotten) return;
      copy.isForgotten = false;
      this.accountOf(message).sentCount++;
      return;
    }
    // The broker may have stopped between the record of the identifier and the first sending.
    const account = this.accountOf(message);
    account.wasSent = true;
    this.#count(account, qos, message);
    this.inUse.set(id, new Copy(message));
  }

  #use(id: number, copy: Copy): void {
    copy.previous = this.inUse.get(id) ?? null;
    if (copy.previous !== null) copy.previous.previous = null;
    this.inUse.set(id, copy);
  }

  #count(account: Account, qos: number, message: Message): void {
    account.sentCount++;
    const copies = this.copiesMax(message);
    if (copies === 0) throw new Violation("no subscription matches", message.number);
    // A kept session gets a will at QoS 2 once: its record leaves with the identifier of the message.
    const isRepeated = message.qos === 1 || (message.isWill && qos < 2);
    const times = isRepeated ? message.transmissions : 1;
    if (account.sentCount > copies * times) {
      throw new Violation(`sends a message ${account.sentCount} times`, message.number);
    }
  }

  #checkIdentifier(id: number, { number }: Message): void {
    const before = this.inUse.get(id);
    if (before === undefined || before.mayBeAcknowledged || before.isForgotten) return;
    throw new Violation(`sends with identifier ${id}, which is in use`, number);
  }

  #checkWindow(window: number, message: Message): void {
    let count = 0;
    for (const { mayBeAcknowledged, isForgotten } of this.inUse.values()) {
      if (!mayBeAcknowledged && !isForgotten) count++;
    }
    if (count > window) {
      throw new Violation(`sends ${count} messages into a window of ${window}`, message.number);
    }
  }

  /**
   * The messages of one publisher on one topic arrive in order. Shared subscriptions promise none. A message that was
   * transmitted again may have had its first receivers before this session subscribed.
   */
  #checkOrder(qos: number, message: Message): void {
    const { publisher, topic, number, isWill, transmissions } = message;
    if (isWill || transmissions > 1) return;
    if (sharedFilters[topic]!.some((filter) => this.mayMatch(filter, 0))) return;
    const at = (publisher * topicNames.length + topic) * 2 + (qos === 0 ? 0 : 1);
    const latest = this.#latest[at]!;
    if (number < latest) throw new Violation(`sent behind message ${latest}`, number);
    this.#latest[at] = number;
  }

  /** Without a change of subscriptions since, QoS and Subscription Identifiers are known. */
  #checkOptions({ qos, identifiers }: Packet, message: Message): void {
    const { topic, firstAt, publisher } = message;
    let granted = -1;
    let expected = 0;
    for (const { number } of sharedFilters[topic]!) {
      if (this.subscriptions[number] !== null || this.endedAt[number]! > 0) return;
    }
    for (const { number } of plainFilters[topic]!) {
      const subscription = this.subscriptions[number]!;
      if (this.endedAt[number]! > firstAt || (subscription?.since ?? 0) >= firstAt) return;
      if (subscription === null || (subscription.isNoLocal && publisher === this.client)) continue;
      granted = Math.max(granted, subscription.qos);
      expected += subscription.identifier;
    }
    if (qos !== Math.min(granted, message.qos)) {
      throw new Violation(`sends at QoS ${qos}, granted is ${granted}`, message.number);
    }
    if (identifiers !== expected) {
      throw new Violation(
        `the Subscription Identifiers are ${identifiers} in sum, not ${expected}`,
        message.number,
      );
    }
  }

  /**
   * The client's PUBACK, or its PUBCOMP, was handled. `isLate`: the broker may have handled it before, so that the store
   * may have it although the changes of now are lost.
   */
  handleDone(id: number, copy: Copy, isLate: boolean): void {
    if (this.inUse.get(id) !== copy) return;
    this.inUse.delete(id);
    this.#undo.push(() => {
      copy.mayBeAcknowledged = isLate;
      const newer = this.inUse.get(id);
      if (newer === undefined) this.inUse.set(id, copy);
      else newer.previous = copy;
    });
  }

  /** The client's PUBREC was handled. */
  handleReleased(id: number, copy: Copy, isLate: boolean): void {
    if (this.inUse.get(id) !== copy || copy.stage !== Stage.Sent) return;
    copy.stage = Stage.Released;
    copy.mayBeAcknowledged = false;
    this.#undo.push(() => {
      copy.stage = Stage.Sent;
      copy.mayBeAcknowledged = isLate;
    });
  }

  /** The broker has sent a PUBREL: it has handled the PUBREC. */
  handlePubrel(id: number): void {
    const copy = this.inUse.get(id);
    if (copy === undefined) return;
    if (copy.stage === Stage.Sent && !copy.isForgotten && !copy.mayBeAcknowledged) {
      throw new Violation(`sends PUBREL ${id} before the PUBREC`, copy.message.number);
    }
    copy.stage = Stage.Released;
  }

  /** The client takes the message of a PUBLISH for a new one. */
  handleTaken({ qos, isRetained }: Packet, message: Message): void {
    if (isRetained) {
      // Only with Retain As Published it may be the message that is owed.
      if (!this.hasHadRetainAsPublished) return;
      this.owed.delete(message);
      this.accountOf(message).isTaken = true;
      return;
    }
    this.owed.delete(message);
    const account = this.accountOf(message);
    account.isTaken = true;
    if (qos < 2) return;
    account.takenAtQos2++;
    if (account.takenAtQos2 <= this.copiesMax(message)) return;
    throw new Violation(`takes a QoS 2 message ${account.takenAtQos2} times`, message.number);
  }
}
