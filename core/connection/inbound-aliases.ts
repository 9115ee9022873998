/** The topic aliases that a client has set, MQTT 5.0 §3.3.2.3.4. They end with its connection. */
import type { WordBytes } from "../base/bytes.ts";
import { ownBytes, viewOf } from "../base/bytes.ts";
import type { PublishFields } from "../message/publish-fields.ts";
import type { Ingest } from "../ports.ts";

export class InboundAliases {
  /** The topic field of each alias, its two length bytes included. */
  readonly #fields: (WordBytes | null)[] = [];
  /** The topic id of each alias, valid in `#epoch`. */
  #ids: number[] = [];
  #epoch = -1;
  /**
   * The last alias that was looked up, and its topic: consecutive messages often have the same
   * alias.
   */
  #last = 0;
  lastId = 0;
  lastField: WordBytes | null = null;
  /** The memory of the topic fields. */
  byteCount = 0;

  /** Sets `alias` to the topic of a PUBLISH, whose topic id is of `epoch`. */
  set(alias: number, { bytes, topicStart, topicEnd, topic }: PublishFields, epoch: number): void {
    this.#last = 0;
    while (this.#fields.length <= alias) this.#fields.push(null);
    const known = this.#fields[alias]!;
    if (epoch !== this.#epoch) {
      this.#epoch = epoch;
      this.#ids = [];
    }
    while (this.#ids.length <= alias) this.#ids.push(0);
    if (known !== null && this.#ids[alias] === topic) return;
    this.byteCount += topicEnd - topicStart - (known?.bytes.length ?? 0);
    const own = ownBytes(bytes, topicStart, topicEnd);
    this.#fields[alias] = { bytes: own, view: viewOf(own) };
    this.#ids[alias] = topic;
  }

  /** Whether `alias` is the last one that was looked up, and its topic id is still valid. */
  wasLast(alias: number, ingest: Ingest): boolean {
    return alias === this.#last && ingest.topicEpoch === this.#epoch;
  }

  /** The topic field of an alias, or null. */
  field(alias: number): WordBytes | null {
    return this.#fields[alias] ?? null;
  }

  /** The topic id of an alias; interns the topic again if ids have changed. */
  id(alias: number, ingest: Ingest): number {
    const field = this.#fields[alias]!;
    let id = ingest.topicEpoch === this.#epoch ? (this.#ids[alias] ?? 0) : 0;
    if (id === 0) {
      const { bytes } = field;
      id = ingest.intern(bytes, 2, bytes.length);
      if (ingest.topicEpoch !== this.#epoch) {
        this.#epoch = ingest.topicEpoch;
        this.#ids = [];
      }
      while (this.#ids.length <= alias) this.#ids.push(0);
      this.#ids[alias] = id;
    }
    this.#last = id === 0 ? 0 : alias;
    this.lastId = id;
    this.lastField = field;
    return id;
  }
}
