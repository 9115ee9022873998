/**
 * The numbers of messages in ascending order, each with a value and a mark. Twelve bytes and a bit, for stores with
 * millions.
 */
export class SerialTable {
  #serials: Float64Array<ArrayBuffer> = new Float64Array(64);
  #values: Uint32Array<ArrayBuffer> = new Uint32Array(64);
  #marks: Uint8Array<ArrayBuffer> = new Uint8Array(8);
  count = 0;

  /** The number that was added last; 0: none. */
  get last(): number {
    return this.count === 0 ? 0 : this.#serials[this.count - 1]!;
  }

  /** Adds a number that is larger than all before, and a u32. */
  add(serial: number, value = 0): void {
    if (this.count === this.#serials.length) {
      this.#serials = grown(this.#serials, new Float64Array(this.count * 2));
      this.#values = grown(this.#values, new Uint32Array(this.count * 2));
      this.#marks = grown(this.#marks, new Uint8Array(this.count / 4));
    }
    this.#values[this.count] = value;
    this.#serials[this.count++] = serial;
  }

  /** The value of a number that is there. */
  valueOf(serial: number): number {
    return this.#values[this.#find(serial)]!;
  }

  has(serial: number): boolean {
    return this.#find(serial) >= 0;
  }

  /** Marks a number; false if it is not there. */
  mark(serial: number): boolean {
    const at = this.#find(serial);
    if (at < 0) return false;
    this.#marks[at >>> 3]! |= 1 << (at & 7);
    return true;
  }

  isMarked(serial: number): boolean {
    const at = this.#find(serial);
    return at >= 0 && this.#isMarkedAt(at);
  }

  *unmarked(): Generator<number> {
    for (let at = 0; at < this.count; at++) if (!this.#isMarkedAt(at)) yield this.#serials[at]!;
  }

  #isMarkedAt(at: number): boolean {
    return ((this.#marks[at >>> 3]! >>> (at & 7)) & 1) !== 0;
  }

  /** The position of a number, or -1. */
  #find(serial: number): number {
    let [low, high] = [0, this.count - 1];
    while (low <= high) {
      const middle = (low + high) >>> 1;
      const there = this.#serials[middle]!;
      if (there === serial) return middle;
      if (there < serial) low = middle + 1;
      else high = middle - 1;
    }
    return -1;
  }
}

function grown<
  T extends Float64Array<ArrayBuffer> | Uint32Array<ArrayBuffer> | Uint8Array<ArrayBuffer>,
>(from: T, to: T): T {
  to.set(from);
  return to;
}
