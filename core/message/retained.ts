/**
 * Retained messages: at most one a topic, found by name or by filter.
 *
 * A subscription with wildcards gets them from a retained scan, which walks the matching part of
 * the tree as fast as the receiver takes messages; nothing is queued for it.
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

/** A scan of the retained messages that a new subscription matches. */
export interface RetainedScan {
  readonly filter: string;
  /**
   * The granted QoS and other options of the subscription: the Subscription Identifier at subscribe
   * time, the other options as they are now.
   */
  options: number;
  readonly cursor: NameCursor;
  /** Messages with a larger serial reached the subscription when they were published. */
  readonly serialMax: number;
}

export class RetainedMessages {
  readonly #limits: Limits;
  readonly #messages: MessagePool;
  readonly #counters: Float64Array;
  readonly #tree = new NameTree();
  /** Expiry of retained messages: deadline by message slot, and the topic to remove then. */
  readonly #expiry = new TimingWheel();
  readonly #expiringTopics = new Map<MessageSlot, string>();

  constructor(limits: Limits, messages: MessagePool, counters: Float64Array) {
    this.#limits = limits;
    this.#messages = messages;
    this.#counters = counters;
  }

  /**
   * Retains `message` for `topic`. If a limit forbids it, returns false, counts it, and removes the
   * previous retained message too: that message is no longer the latest.
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
    this.#keep(topic, message, this.expiresAt(topic, message, now));
    return true;
  }

  /** Retains a recovered message whatever the limits are. The topic must have no retained message. */
  restore(topic: string, message: MessageSlot, expiresAt: Millis): void {
    this.#tree.set(topic, message);
    this.#messages.retain(message);
    this.#keep(topic, message, expiresAt);
  }

  /**
   * When a message that is retained now expires: by its own expiry or by `retainedMillisMax`, the
   * earlier one.
   */
  expiresAt(topic: string, message: MessageSlot, now: Millis): Millis {
    const { retainedMillisMax } = this.#limits;
    // Retained messages below $SYS stay until their next value.
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

  /** The next message of a scan; 0 at its end; `UNFINISHED` if `budget` has no steps left. */
  next(scan: RetainedScan, budget: ScanBudget): MessageSlot {
    for (;;) {
      const message = scan.cursor.next(budget);
      if (message === UNFINISHED) return UNFINISHED;
      if (message < 0) return 0;
      if (this.#messages.serial(message) <= scan.serialMax) return message;
    }
  }

  /** The topic of an expired retained message, for the caller to remove; null if there is none. */
  pollExpired(now: Millis): string | null {
    const message = this.#expiry.poll(now);
    if (message < 0) return null;
    this.#counters[Counter.retainedExpired]!++;
    return this.#expiringTopics.get(message)!;
  }

  nextExpiry(): Millis {
    return this.#expiry.next();
  }

  #keep(topic: string, message: MessageSlot, expiresAt: Millis): void {
    this.#counters[Counter.retainedMessages]!++;
    this.#counters[Counter.retainedBytes]! += this.#messages.size(message);
    if (expiresAt === NEVER) return;
    this.#expiry.set(message, expiresAt);
    this.#expiringTopics.set(message, topic);
  }

  #forget(message: MessageSlot): void {
    this.#counters[Counter.retainedMessages]!--;
    this.#counters[Counter.retainedBytes]! -= this.#messages.size(message);
    if (this.#expiringTopics.delete(message)) this.#expiry.cancel(message);
    this.#messages.release(message);
  }
}
