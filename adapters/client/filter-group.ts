/**
 * A topic filter and the subscriptions of a client that share it. The broker has one subscription for them.
 *
 * Each SUBSCRIBE of the filter has a Subscription Identifier of its own, unless the program sets one. The identifiers of a
 * message show which SUBSCRIBE it was sent for: the message is for the subscriptions that existed at that time, and a retained
 * message is for the subscription that requested retained messages. With Retain As Published, RETAIN does not identify a
 * retained message. A further subscription then sends two SUBSCRIBEs: the first requests retained messages without Retain As
 * Published, the second requests all others.
 */
import type { QoS } from "../../core/mod.ts";
import { matchesFilter, sharedFilter } from "../../core/mod.ts";
import type { SubscribeOptions } from "./client-api.ts";
import type { Subscription } from "./subscription.ts";

/** A SUBSCRIBE to be sent. */
export interface SubscribeRequest {
  readonly options: SubscribeOptions;
  /** 0: no identifier, because the broker does not support them. */
  readonly identifier: number;
}

/** A SUBSCRIBE that was sent. */
interface SentSubscribe {
  /** The last subscription that had joined before. It and all earlier ones get the messages of this SUBSCRIBE. */
  readonly lastJoined: number;
  /** The subscription that gets the retained messages of this SUBSCRIBE; null: they cannot be identified, or none are sent. */
  readonly retainedTo: Subscription | null;
  /** The identifier that the program sees. */
  readonly visibleIdentifier: number;
}

export class FilterGroup {
  readonly filter: string;
  /** The filter without the prefix of a shared subscription. */
  readonly #topicFilter: string;
  readonly #handleForgotten: (identifier: number) => void;
  /** By identifier. */
  readonly #sent = new Map<number, SentSubscribe>();
  readonly #members = new Map<Subscription, { options: SubscribeOptions; joined: number }>();
  #lastJoined = 0;
  /** The last identifier that the program set; 0: it set none. */
  #programIdentifier = 0;

  /** `handleForgotten` is called when no further message is expected for an identifier. */
  constructor(filter: string, handleForgotten: (identifier: number) => void) {
    this.filter = filter;
    this.#handleForgotten = handleForgotten;
    this.#topicFilter = sharedFilter(filter)?.filter ?? filter;
  }

  get members(): Iterable<Subscription> {
    return this.#members.keys();
  }
  get isEmpty(): boolean {
    return this.#members.size === 0;
  }
  /** The identifiers for which messages may still arrive. */
  get identifiers(): Iterable<number> {
    return this.#sent.keys();
  }
  has(subscription: Subscription): boolean {
    return this.#members.has(subscription);
  }
  delete(subscription: Subscription): boolean {
    return this.#members.delete(subscription);
  }
  matches(topic: string): boolean {
    return matchesFilter(this.#topicFilter, topic);
  }

  /**
   * Adds a subscription. Returns the SUBSCRIBEs to send, in order, so that each subscription gets its messages. `newIdentifier`
   * returns an unused identifier; null: the broker does not support identifiers.
   */
  add(
    subscription: Subscription,
    options: SubscribeOptions,
    newIdentifier: (() => number) | null,
  ): readonly SubscribeRequest[] {
    const isFirst =
      this.#members.size === 0 || (this.#members.size === 1 && this.has(subscription));
    this.#members.set(subscription, { options, joined: ++this.#lastJoined });
    const all = Array.from(this.#members.values(), (member) => member.options);
    const merged = {
      ...options,
      qos: Math.max(...all.map(({ qos = 0 }) => qos)) as QoS,
      noLocal: all.every(({ noLocal = false }) => noLocal),
      retainAsPublished: all.some(({ retainAsPublished = false }) => retainAsPublished),
    };
    this.#programIdentifier = options.subscriptionIdentifier ?? this.#programIdentifier;
    if (newIdentifier === null) return [{ options: merged, identifier: this.#programIdentifier }];
    const identifier = this.#programIdentifier || newIdentifier();
    const before = this.#sent.get(identifier);
    const isAmbiguous = merged.retainAsPublished || before !== undefined;
    const wantsRetained = (options.retainHandling ?? 0) === 0 && this.#topicFilter === this.filter;
    const requests: SubscribeRequest[] = [];
    if (!isFirst && wantsRetained && isAmbiguous) {
      const retainedIdentifier = newIdentifier();
      // Messages that are published meanwhile have no RETAIN, so they are not mistaken for retained messages.
      requests.push({
        options: { ...merged, retainAsPublished: false },
        identifier: retainedIdentifier,
      });
      this.#recordSent(retainedIdentifier, subscription, identifier);
      requests.push({ options: { ...merged, retainHandling: 2 }, identifier });
      this.#recordSent(identifier, before?.retainedTo ?? null, identifier);
    } else {
      requests.push({ options: merged, identifier });
      const retainedTo = before?.retainedTo ?? subscription;
      this.#recordSent(identifier, merged.retainAsPublished ? null : retainedTo, identifier);
    }
    return requests;
  }

  /** The subscriptions that get a message with these identifiers. */
  receivers(identifiers: readonly number[], isRetained: boolean): Iterable<Subscription> {
    // A retained message is sent for one filter only. Other messages with RETAIN have the identifiers of all matching filters.
    const isReplay = isRetained && identifiers.length === 1;
    let lastJoined = 0;
    for (const identifier of identifiers) {
      const sent = this.#sent.get(identifier);
      if (sent === undefined) continue;
      if (isReplay && sent.retainedTo !== null) {
        return this.has(sent.retainedTo) ? [sent.retainedTo] : [];
      }
      lastJoined = Math.max(lastJoined, sent.lastJoined);
    }
    return [...this.#members]
      .filter(([, { joined }]) => joined <= lastJoined)
      .map(([subscription]) => subscription);
  }

  /** The identifier that the program sees instead of a message's identifier. */
  visibleIdentifier(identifier: number): number | undefined {
    return this.#sent.get(identifier)?.visibleIdentifier;
  }

  #recordSent(
    identifier: number,
    retainedTo: Subscription | null,
    visibleIdentifier: number,
  ): void {
    this.#sent.delete(identifier);
    this.#sent.set(identifier, { lastJoined: this.#lastJoined, retainedTo, visibleIdentifier });
    for (const oldest of this.#sent.keys()) {
      if (this.#sent.size <= SENT_MAX) break;
      this.#sent.delete(oldest);
      this.#handleForgotten(oldest);
    }
  }
}

/** Maximum identifiers kept for a filter. No further messages are expected for older ones. */
const SENT_MAX = 1000;
