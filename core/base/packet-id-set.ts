/**
 * A set of packet identifiers, 1 to 65 535. An empty set costs next to nothing, a full set 8 KiB.
 */
export class PacketIdSet {
  /** Bitmaps of 1024 identifiers each. A bitmap is allocated only while it has members. */
  readonly #bitmaps: (Uint32Array | null)[] = [];
  readonly #counts: number[] = [];
  size = 0;

  has(id: number): boolean {
    const bitmap = this.#bitmaps[id >> BITMAP_IDS_LOG2];
    return (
      bitmap !== undefined && bitmap !== null && ((bitmap[wordOf(id)]! >>> (id & 31)) & 1) === 1
    );
  }

  /** False: the identifier was in the set already. */
  add(id: number): boolean {
    if (this.has(id)) return false;
    const index = id >> BITMAP_IDS_LOG2;
    while (this.#bitmaps.length <= index) {
      this.#bitmaps.push(null);
      this.#counts.push(0);
    }
    const bitmap = this.#bitmaps[index] ?? new Uint32Array(1 << (BITMAP_IDS_LOG2 - 5));
    this.#bitmaps[index] = bitmap;
    bitmap[wordOf(id)]! |= 1 << (id & 31);
    this.#counts[index]!++;
    this.size++;
    return true;
  }

  /** False: the identifier was not in the set. */
  delete(id: number): boolean {
    if (!this.has(id)) return false;
    const index = id >> BITMAP_IDS_LOG2;
    this.#bitmaps[index]![wordOf(id)]! &= ~(1 << (id & 31));
    this.size--;
    // The last bitmap stays allocated: a client with one packet in flight would free and allocate
    // it each time.
    if (--this.#counts[index]! === 0 && this.size > 0) this.#bitmaps[index] = null;
    return true;
  }

  /** Every identifier, in ascending order. */
  *values(): Generator<number, undefined> {
    for (let id = 1; id < this.#bitmaps.length << BITMAP_IDS_LOG2; id++) if (this.has(id)) yield id;
    return undefined;
  }
}

const BITMAP_IDS_LOG2 = 10;

function wordOf(id: number): number {
  return (id >> 5) & ((1 << (BITMAP_IDS_LOG2 - 5)) - 1);
}
