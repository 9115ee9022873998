/** The topic aliases that one client has set, MQTT 5.0 §3.3.2.3.4: they end with the connection. */
import type { WordBytes } from "../base/bytes.ts";
import { ownBytes, viewOf } from "../base/bytes.ts";
import type { Ingest } from "../ports.ts";

export class InboundAliases {
  /** The topic field, its two bytes of length included, that each alias stands for. */
  readonly #fields: (WordBytes | null)[] = [];
  /** Its id, valid in `#epoch`. */
  #ids: number[] = [];
  #epoch = -1;
  /** The alias that was looked up last, and what it stands for: they come in rows. */
  #last = 0;
  lastId = 0;
  lastField: WordBytes | null = null;
  /** Memory for the topic fields. */
  byteCount = 0;

  /** Makes `alias` stand for the topic field `bytes[start, end)`, interned as `id`. */
  set(
    alias: number,
    bytes: Uint8Array,
    start: number,
    end: number,
    id: number,
    epoch: number,
  ): void {
    this.#last = 0;
    while (this.#fields.length <= alias) this.#fields.push(null);
    const known = this.#fields[alias]!;
    if (epoch !== this.#epoch) {
      this.#epoch = epoch;
      this.#ids = [];
    }
    while (this.#ids.length <= alias) this.#ids.push(0);
    if (known !== null && this.#ids[alias] === id) return;
    this.byteCount += end - start - (known?.bytes.length ?? 0);
    const own = ownBytes(bytes, start, end);
    this.#fields[alias] = { bytes: own, view: viewOf(own) };
    this.#ids[alias] = id;
  }

  /** Whether `alias` is the one that was looked up last, and still stands for the same. */
  wasLast(alias: number, ingest: Ingest): boolean {
    return alias === this.#last && ingest.topicEpoch === this.#epoch;
  }

  /** The topic field that an alias stands for, or null. */
  field(alias: number): WordBytes | null {
    return this.#fields[alias] ?? null;
  }

  /** The id of the topic that an alias stands for, interned anew where ids have changed. */
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
