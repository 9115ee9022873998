/**
 * Which messages may be the retained one of each topic.
 *
 * A message is a candidate from its first transmission on. One that is certain (acknowledged, or a will that the store
 * has) replaces all candidates that were handled before.
 */
import type { Message } from "./messages.ts";
import { isExpired, mayBeExpired } from "./messages.ts";
import { topicNames } from "./topics.ts";
import type { UndoLog } from "./undo-log.ts";

export class RetainedModel {
  readonly #candidates: readonly Set<Message>[] = topicNames.map(() => new Set());
  /** Whether a topic may have no retained message because there has not been any. */
  readonly #mayBeNew: boolean[] = topicNames.map(() => true);
  readonly #undo: UndoLog;

  constructor(undo: UndoLog) {
    this.#undo = undo;
  }

  /** A message with RETAIN is on its way. */
  handleTransmission(message: Message): void {
    this.#candidates[message.topic]!.add(message);
    message.handledUntil = Number.POSITIVE_INFINITY;
    message.replacedAt = Number.POSITIVE_INFINITY;
  }

  /** The broker got it at `start` and acknowledged it at `event`. */
  handleAcknowledged(message: Message, start: number, event: number): void {
    message.handledUntil = event;
    this.#replace(message, start, event);
  }

  /** A will is published. It replaces what was handled before `start`, as soon as it is durable. */
  handleWill(message: Message, start: number): void {
    this.#candidates[message.topic]!.add(message);
    message.handledUntil = message.latestAt;
    message.replacedAt = Number.POSITIVE_INFINITY;
    this.#undo.push(NOTHING, () => this.#replace(message, start, message.latestAt));
  }

  #replace(message: Message, start: number, event: number): void {
    const candidates = this.#candidates[message.topic]!;
    if (!candidates.has(message)) return;
    this.#mayBeNew[message.topic] = false;
    for (const other of candidates) {
      if (other === message || other.handledUntil >= start) continue;
      candidates.delete(other);
      other.replacedAt = event;
    }
  }

  /** Whether a subscription that began at `since` may get a retained message. */
  mayBeSent(message: Message, since: number): boolean {
    return message.isRetained && message.replacedAt > since;
  }

  /** Whether a new subscriber may find this retained message, or none (null), on a topic. */
  mayBe(topic: number, message: Message | null, unixMillis: number): boolean {
    const candidates = this.#candidates[topic]!;
    if (message !== null) return candidates.has(message) && !isExpired(message, unixMillis);
    if (this.#mayBeNew[topic]) return true;
    for (const one of candidates) {
      if (one.payloadBytes === 0 || mayBeExpired(one, unixMillis)) return true;
    }
    return false;
  }

  /** The candidates of a topic, for a report. */
  candidates(topic: number): number[] {
    return Array.from(this.#candidates[topic]!, ({ number }) => number);
  }
}

const NOTHING = (): void => {};
