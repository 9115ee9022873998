/**
 * Retained messages: at most one a topic, found by name or by filter.
 *
 * A wildcard subscription is answered through a replay that walks the matching part of the tree as fast
 * as its receiver takes messages; nothing is queued for it.
 */
import type { Millis } from "../boundary.ts";
import { NEVER } from "../boundary.ts";
import type { Limits } from "../config.ts";
import { Counter } from "../observe/counters.ts";
import { TimingWheel } from "../time/wheel.ts";
import { isBrokerTopic } from "../topic/name.ts";
import type { NameCursor, ScanBudget } from "../topic/name-tree.ts";
import { NameTree, UNFINISHED } from "../topic/name-tree.ts";
import type { MessagePool, MessageSlot } from "./message-pool.ts";

/** What is still to be sent of the retained messages that a new subscription matches. */
export interface RetainedScan {
  readonly filter: string;
  /** The granted QoS and other options of the subscription: its identifier as it was, all else as it is now. */
  options: number;
  readonly cursor: NameCursor;
  /** Messages younger than this reached the subscription as they came. */
  readonly serialMax: number;
}

export class RetainedMessages {
  readonly #limits: Limits;
  readonly #messages: MessagePool;
  readonly #counters: Float64Array;
  readonly #tree = new NameTree();
  /** Deadline by message slot, and the topic to remove then; of those that expire. */
  readonly #expiry = new TimingWheel();
  readonly #expiringTopics = new Map<MessageSlot, string>();

  constructor(limits: Limits, messages: MessagePool, counters: Float64Array) {
    this.#limits = limits;
    this.#messages = messages;
    this.#counters = counters;
  }

  /**
   * Makes `message` the retained one of `topic`; false, counted, where a limit forbids it: what was
   * retained there before is then gone too, for it is no longer the last.
   */
  set(topic: string, message: MessageSlot, now: Millis): boolean {
    const before = this.#tree.get(topic);
    const bytesBefore = before < 0 ? 0 : this.#messages.size(before);
    const count = this.#counters[Counter.retainedMessages]! - (before < 0 ? 0 : 1);
    const bytes =
      this.#counters[Counter.retainedBytes]! - bytesBefore + this.#messages.size(message);
    if (count >= this.#limits.retainedMessagesMax || bytes > this.#limits.retainedBytesMax) {
      this.#counters[Counter.retainedRefused]!++;
      this.remove(topic);
      return false;
    }
    this.#tree.set(topic, message);
    this.#messages.retain(message);
    if (before >= 0) this.#forget(before);
    this.#counters[Counter.retainedMessages]!++;
    this.#counters[Counter.retainedBytes]! += this.#messages.size(message);
    const expiresAt = this.expiresAt(topic, message, now);
    if (expiresAt !== NEVER) {
      this.#expiry.set(message, expiresAt);
      this.#expiringTopics.set(message, topic);
    }
    return true;
  }

  /** When a message that is retained now is to go: by its own time or by ours, whichever is sooner. */
  expiresAt(topic: string, message: MessageSlot, now: Millis): Millis {
    const { retainedMillisMax } = this.#limits;
    // What $SYS says holds until it says something else.
    const isOurs = retainedMillisMax > 0 && !isBrokerTopic(topic);
    const ours = isOurs ? now + retainedMillisMax : NEVER;
    return Math.min(ours, this.#messages.expiresAt(message)) as Millis;
  }

  /** [MQTT311-3.3.1-10] */
  remove(topic: string): boolean {
    const message = this.#tree.delete(topic);
    if (message < 0) return false;
    this.#forget(message);
    return true;
  }

  /** The retained message of a topic, or 0. */
  at(topic: string): MessageSlot {
    return Math.max(0, this.#tree.get(topic));
  }

  scan(filter: string, options: number): RetainedScan {
    const cursor = this.#tree.cursor(filter);
    return { filter, options, cursor, serialMax: this.#messages.lastSerial };
  }

  /** The next message of a replay; 0 at its end; `UNFINISHED` where `walk` has no steps left. */
  next(replay: RetainedScan, walk: ScanBudget): MessageSlot {
    for (;;) {
      const message = replay.cursor.next(walk);
      if (message === UNFINISHED) return UNFINISHED;
      if (message < 0) return 0;
      if (this.#messages.serial(message) <= replay.serialMax) return message;
    }
  }

  /** The topic of a message that has been retained for too long and is to be removed, or null. */
  pollExpired(now: Millis): string | null {
    const message = this.#expiry.poll(now);
    if (message < 0) return null;
    this.#counters[Counter.retainedExpired]!++;
    return this.#expiringTopics.get(message)!;
  }

  nextExpiry(): Millis {
    return this.#expiry.next();
  }

  #forget(message: MessageSlot): void {
    this.#counters[Counter.retainedMessages]!--;
    this.#counters[Counter.retainedBytes]! -= this.#messages.size(message);
    if (this.#expiringTopics.delete(message)) this.#expiry.cancel(message);
    this.#messages.release(message);
  }
}
