/**
 * The topic aliases of one connection, from the server to the client, MQTT 5.0 §3.3.2.3.4.
 *
 * An alias costs three bytes in each packet, and three more where it is made, so a topic gets one when it
 * comes again, and only if its name is long enough. Aliases are few; a topic has one place where it may be,
 * and takes it from another when it comes twice in a row there.
 */
export class OutboundAliases {
  /** The topic id that each alias stands for at the client; 0 is none. */
  readonly #known: Uint32Array;
  /** The topic id that came to each place last. */
  readonly #seen: Uint32Array;
  #epoch = 0;
  /** The topic id that was asked for last and that the client knows, and its alias: topics come in rows. */
  #lastId = 0;
  #lastAlias = 0;

  /** `max` is the smaller of what the client takes and what we keep, at least 1. */
  constructor(max: number) {
    this.#known = new Uint32Array(max);
    this.#seen = new Uint32Array(max);
  }

  /**
   * The alias that stands for a topic, by its id and the epoch of that: positive where the client knows it;
   * negative where it is to be told with this packet; 0 for none.
   */
  choose(id: number, epoch: number): number {
    if (epoch !== this.#epoch) {
      // What waited since an older epoch goes without; a new one begins anew.
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

  /** The packet that tells the client an alias has been written. */
  confirmSent(id: number): void {
    this.#known[id % this.#known.length] = id;
    // Its place may have been that of the last.
    this.#lastId = 0;
  }
}

/** A topic field of at least so many bytes is worth an alias. */
export const ALIASED_BYTES_MIN = 12;
