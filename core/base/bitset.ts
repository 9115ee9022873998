/** A set of packet identifiers, 1 to 65 535. An empty one costs next to nothing, a full one 8 KiB. */
export class PacketIdSet {
  /** Words of 32 identifiers in context of 1024; a part is there while it has any. */
  readonly #context: (Uint32Array | null)[] = [];
  readonly #counts: number[] = [];
  size = 0;

  has(id: number): boolean {
    const part = this.#context[id >> PART_BITS];
    return part !== undefined && part !== null && ((part[wordOf(id)]! >>> (id & 31)) & 1) === 1;
  }

  /** False: was there. */
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

  /** False: was not there. */
  delete(id: number): boolean {
    if (!this.has(id)) return false;
    const index = id >> PART_BITS;
    this.#context[index]![wordOf(id)]! &= ~(1 << (id & 31));
    this.size--;
    // The last part is kept while it is the only one: a client with one packet in flight comes and goes.
    if (--this.#counts[index]! === 0 && this.size > 0) this.#context[index] = null;
    return true;
  }

  /** Every identifier, in order. */
  *values(): Generator<number, undefined> {
    for (let id = 1; id < this.#context.length << PART_BITS; id++) if (this.has(id)) yield id;
    return undefined;
  }
}

const PART_BITS = 10;

function wordOf(id: number): number {
  return (id >> 5) & ((1 << (PART_BITS - 5)) - 1);
}
