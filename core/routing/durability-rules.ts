/**
 * Which topics are acknowledged once they are received, without waiting for the store: the first rule
 * that matches decides. The result is cached by topic id, so that a message costs one read of a table.
 */
import { grownU8 } from "../base/columns.ts";
import type { DurabilityRule } from "../config.ts";
import type { Ingest } from "../ports.ts";
import { matchesFilter } from "../topic/filter.ts";

export class DurabilityRules {
  readonly #rules: readonly DurabilityRule[];
  readonly #ingest: Ingest;
  /** By topic id: UNKNOWN, STORED or RECEIVED. */
  #known: Uint8Array = new Uint8Array(64);
  #topicEpoch = -1;

  constructor(rules: readonly DurabilityRule[], ingest: Ingest) {
    this.#rules = rules;
    this.#ingest = ingest;
  }

  /** Whether messages to a topic do not wait for the store. The id must be of the current epoch. */
  isReceived(topic: number): boolean {
    if (this.#topicEpoch !== this.#ingest.topicEpoch) {
      this.#topicEpoch = this.#ingest.topicEpoch;
      this.#known.fill(UNKNOWN);
    }
    const known = this.#known[topic];
    if (known === STORED) return false;
    if (known === RECEIVED) return true;
    const isReceived = this.isNameReceived(this.#ingest.topicName(topic));
    this.#known = grownU8(this.#known, topic);
    this.#known[topic] = isReceived ? RECEIVED : STORED;
    return isReceived;
  }

  /** Like `isReceived`, without the cache. */
  isNameReceived(name: string): boolean {
    const rule = this.#rules.find(({ filter }) => matchesFilter(filter, name));
    return rule?.acknowledge === "received";
  }
}

const UNKNOWN = 0;
const STORED = 1;
const RECEIVED = 2;
