/**
 * The topic aliases that the server sends on one connection, MQTT 5.0 §3.3.2.3.4.
 *
 * An alias costs three bytes in each packet, and the packet that sets it contains the topic name
 * too. Therefore a topic gets an alias when it is sent a second time, and only if its name is long
 * enough. There are few aliases: a topic id has exactly one place it can use, and takes the place
 * from another topic when it is sent twice in a row there.
 */
export class OutboundAliases {
  /** The topic id that the client knows for each alias; 0: none. */
  readonly #known: Uint32Array;
  /** The topic id that used each place last. */
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
    const place = id % this.#known.length;
    if (this.#known[place] === id) {
      this.#lastId = id;
      this.#lastAlias = place + 1;
      return place + 1;
    }
    if (this.#seen[place] !== id) {
      this.#seen[place] = id;
      return 0;
    }
    return -(place + 1);
  }

  /** The packet that sets the alias has been written. */
  confirmSent(id: number): void {
    this.#known[id % this.#known.length] = id;
    // The last alias may have been in the same place.
    this.#lastId = 0;
  }
}

/** The shortest topic field that gets an alias, in bytes. */
export const ALIASED_BYTES_MIN = 12;
