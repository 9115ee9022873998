/**
 * The topic aliases that the server sends on one connection, MQTT 5.0 §3.3.2.3.4.
 *
 * A topic with a long enough name gets an alias with its first message, while one of the few places
 * that it can use is free. Every later packet then leaves the name out. A topic that is sent only
 * once costs three bytes more, at most once for each alias. If all its places are taken, a topic
 * takes the first of them from another topic when it is sent twice in a row there: topics that are
 * sent in turn do not replace each other. docs/decisions/0009 compares the rules.
 */
export class OutboundAliases {
  /** The topic id that the client knows for each alias; 0: none. */
  readonly #known: Uint32Array;
  /** The topic id that found all its places taken last, by the first of its places. */
  readonly #seen: Uint32Array;
  #epoch = 0;
  /** The last known topic id and its alias: consecutive messages often have the same topic. */
  #lastId = 0;
  #lastAlias = 0;

  /**
   * `max` is the smaller of the client's Topic Alias Maximum and the broker's own limit, at least
   * 1.
   */
  constructor(max: number) {
    this.#known = new Uint32Array(max);
    this.#seen = new Uint32Array(max);
  }

  /**
   * The alias for a topic, given by its id and the epoch of the id: positive if the client knows
   * it; negative if this packet has to set it; 0 for no alias.
   */
  choose(id: number, epoch: number): number {
    if (epoch !== this.#epoch) {
      // A message queued in an older epoch gets no alias. A new epoch invalidates all aliases.
      if (epoch < this.#epoch) return 0;
      this.#epoch = epoch;
      this.#known.fill(0);
      this.#seen.fill(0);
      this.#lastId = 0;
    }
    if (id === this.#lastId) return this.#lastAlias;
    const { length } = this.#known;
    const home = id % length;
    let place = home;
    for (let n = Math.min(PLACES, length); n > 0; n--) {
      const known = this.#known[place]!;
      if (known === id) {
        this.#lastId = id;
        this.#lastAlias = place + 1;
        return place + 1;
      }
      // A place never becomes free again: a topic that is not before a free place has no alias.
      if (known === 0) return -(place + 1);
      place = place + 1 === length ? 0 : place + 1;
    }
    if (this.#seen[home] !== id) {
      this.#seen[home] = id;
      return 0;
    }
    return -(home + 1);
  }

  /** The packet that sets `alias` for the topic id has been written. */
  confirmSent(id: number, alias: number): void {
    this.#known[alias - 1] = id;
    // The last alias may have been in the same place.
    this.#lastId = 0;
  }
}

/** How many places a topic can use: they are next to each other. */
const PLACES = 4;
/**
 * The shortest topic field that gets an alias, in bytes: a name of six. Each later packet then
 * saves at least the three bytes that the first packet cost.
 */
export const ALIASED_BYTES_MIN = 8;
