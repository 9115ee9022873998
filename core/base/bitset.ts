/**
 * A set of packet identifiers, 1 to 65 535. An empty set costs next to nothing, a full set 8 KiB.
 */
export class PacketIdSet {
  /**
   * Bit words of 32 identifiers, grouped by 1024. A group is allocated only while it has members.
   */
  readonly #context: (Uint32Array | null)[] = [];
  readonly #counts: number[] = [];
  size = 0;

  has(id: number): boolean {
    const part = this.#context[id >> PART_BITS];
    return part !== undefined && part !== null && ((part[wordOf(id)]! >>> (id & 31)) & 1) === 1;
  }

  /** False: the identifier was in the set already. */
  add(id: number): boolean {
    if (this.has(id)) return false;
    const index = id >> PART_BITS;
    while (this.#context.length <= index) {
      this.#context.push(null);
      this.#counts.push(0);
    }
    const part = this.#context[index] ?? new Uint32Array(1 << (PART_BITS - 5));
    this.#context[index] = part;
    part[wordOf(id)]! |= 1 << (id & 31);
    this.#counts[index]!++;
    this.size++;
    return true;
  }

  /** False: the identifier was not in the set. */
  delete(id: number): boolean {
    if (!this.has(id)) return false;
    const index = id >> PART_BITS;
    this.#context[index]![wordOf(id)]! &= ~(1 << (id & 31));
    this.size--;
    // The last group stays allocated: a client with one packet in flight would free and allocate it
    // each time.
    if (--this.#counts[index]! === 0 && this.size > 0) this.#context[index] = null;
    return true;
  }

  /** Every identifier, in ascending order. */
  *values(): Generator<number, undefined> {
    for (let id = 1; id < this.#context.length << PART_BITS; id++) if (this.has(id)) yield id;
    return undefined;
  }
}

const PART_BITS = 10;

function wordOf(id: number): number {
  return (id >> 5) & ((1 << (PART_BITS - 5)) - 1);
}
