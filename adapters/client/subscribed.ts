/**
 * A filter that is subscribed to by one or more subscriptions of a client, of which the broker has one.
 *
 * Each SUBSCRIBE of the filter has an identifier of its own, where the program does not say another. So a message tells
 * which of them it came by: it is for the subscriptions that were there then, and a retained one for the subscription
 * that asked for it. Where messages may have RETAIN as they are published, a later subscription asks twice: for
 * retained messages without that, and at once for the rest.
 */
import type { QoS } from "../../core/mod.ts";
import { matchesFilter, sharedFilter } from "../../core/mod.ts";
import type { SubscribeOptions } from "./client-api.ts";
import type { Subscription } from "./subscription.ts";

/** What the broker is to be asked for, a SUBSCRIBE each, in this order. */
export interface Asked {
  readonly options: SubscribeOptions;
  /** 0: the broker tells no identifiers. */
  readonly identifier: number;
}

/** What came of a SUBSCRIBE, by its identifier. */
interface Ask {
  /** The subscriptions that joined up to this one get its messages. */
  readonly joined: number;
  /** Who gets the retained messages that it brings; null: they can not be told from others, or there are none. */
  readonly replaysTo: Subscription | null;
  /** What the program is shown as its identifier. */
  readonly shown: number;
}

export class Subscribed {
  readonly filter: string;
  readonly #matched: string;
  readonly #forget: (identifier: number) => void;
  readonly #asks = new Map<number, Ask>();
  readonly #members = new Map<Subscription, { options: SubscribeOptions; joined: number }>();
  #lastJoined = 0;
  /** What the program said last as its identifier; 0: nothing. */
  #programs = 0;

  /** `forget`: nothing comes by an identifier any more. */
  constructor(filter: string, forget: (identifier: number) => void) {
    this.filter = filter;
    this.#forget = forget;
    this.#matched = sharedFilter(filter)?.filter ?? filter;
  }

  get members(): Iterable<Subscription> {
    return this.#members.keys();
  }
  get isEmpty(): boolean {
    return this.#members.size === 0;
  }
  /** Every identifier that a message may still come by. */
  get identifiers(): Iterable<number> {
    return this.#asks.keys();
  }
  has(subscription: Subscription): boolean {
    return this.#members.has(subscription);
  }
  delete(subscription: Subscription): boolean {
    return this.#members.delete(subscription);
  }
  matches(topic: string): boolean {
    return matchesFilter(this.#matched, topic);
  }

  /**
   * `subscription` is one more. Returns what to ask the broker for, so that each has what it wants. `own` makes an
   * identifier that nothing has; null: the broker tells none.
   */
  add(
    subscription: Subscription,
    options: SubscribeOptions,
    own: (() => number) | null,
  ): readonly Asked[] {
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
    this.#programs = options.subscriptionIdentifier ?? this.#programs;
    if (own === null) return [{ options: merged, identifier: this.#programs }];
    const identifier = this.#programs === 0 ? own() : this.#programs;
    const before = this.#asks.get(identifier);
    const isAmbiguous = merged.retainAsPublished || before !== undefined;
    const wantsRetained = (options.retainHandling ?? 0) === 0 && this.#matched === this.filter;
    const asked: Asked[] = [];
    if (!isFirst && wantsRetained && isAmbiguous) {
      const apart = own();
      // What is published meanwhile has no RETAIN, which tells it from what was retained.
      asked.push({ options: { ...merged, retainAsPublished: false }, identifier: apart });
      this.#ask(apart, subscription, identifier);
      asked.push({ options: { ...merged, retainHandling: 2 }, identifier });
      this.#ask(identifier, before?.replaysTo ?? null, identifier);
    } else {
      asked.push({ options: merged, identifier });
      const replaysTo = before?.replaysTo ?? subscription;
      this.#ask(identifier, merged.retainAsPublished ? null : replaysTo, identifier);
    }
    return asked;
  }

  /** Who gets a message that came by these identifiers. */
  takers(identifiers: readonly number[], isRetained: boolean): Iterable<Subscription> {
    // What was retained comes by one filter alone; what others have with RETAIN has their identifiers too.
    const isReplay = isRetained && identifiers.length === 1;
    let joined = 0;
    for (const identifier of identifiers) {
      const ask = this.#asks.get(identifier);
      if (ask === undefined) continue;
      if (isReplay && ask.replaysTo !== null) {
        return this.has(ask.replaysTo) ? [ask.replaysTo] : [];
      }
      joined = Math.max(joined, ask.joined);
    }
    return [...this.#members].filter(([, one]) => one.joined <= joined).map(([one]) => one);
  }

  /** The identifier that the program knows for one that a message came by. */
  shown(identifier: number): number | undefined {
    return this.#asks.get(identifier)?.shown;
  }

  #ask(identifier: number, replaysTo: Subscription | null, shown: number): void {
    this.#asks.delete(identifier);
    this.#asks.set(identifier, { joined: this.#lastJoined, replaysTo, shown });
    for (const oldest of this.#asks.keys()) {
      if (this.#asks.size <= ASKS_MAX) break;
      this.#asks.delete(oldest);
      this.#forget(oldest);
    }
  }
}

/** Identifiers of a filter that are kept: nothing of older ones is under way any more. */
const ASKS_MAX = 1000;
