/**
 * The topic aliases that the server sends on one connection, MQTT 5.0 §3.3.2.3.4.
 *
 * An alias is a place in a small hash table. A topic with a long enough name gets a free place with
 * its first message, and every later packet leaves the name out. If the topic is never sent again,
 * this costs three bytes, at most once for each alias. If all its places are taken, the topic is
 * only noted at the first of them. If the next topic to be noted there is the same one, it takes
 * the place over. Topics that are sent in turn therefore do not replace each other.
 * docs/decisions/0009 compares the rules.
 */
export class OutboundAliases {
  /** The topic id that the client knows for each alias; 0: none. */
  readonly #known: Uint32Array;
  /** The topic id that was noted last, by the first of its places. */
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
      // A place never becomes free again, so the topic has no place after a free one.
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

/** How many places a topic can use. They are adjacent. */
const PLACES = 4;
/**
 * The shortest topic field that gets an alias, in bytes: a name of six. Each later packet then
 * saves at least the three bytes that the first packet cost.
 */
export const ALIASED_BYTES_MIN = 8;
