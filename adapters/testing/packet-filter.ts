/** Removes packets from a byte stream by their type, wherever the stream is divided into chunks. */
export class PacketFilter {
  readonly #isDropped: (type: number) => boolean;
  /** Remaining bytes of the current packet; -1 while its length is read, -2 before it begins. */
  #left = BEFORE;
  #length = 0;
  #shift = 0;
  #drops = false;

  /** `isDropped` is called once for each packet, at its first byte. */
  constructor(isDropped: (type: number) => boolean) {
    this.#isDropped = isDropped;
  }

  /** A copy of the bytes of `chunk` that are not removed. */
  filter(chunk: Uint8Array): Uint8Array {
    const kept = new Uint8Array(chunk.length);
    let count = 0;
    for (let at = 0; at < chunk.length; ) {
      const from = at;
      if (this.#left > 0) {
        const bytes = Math.min(this.#left, chunk.length - at);
        this.#left -= bytes;
        at += bytes;
        if (this.#left === 0) this.#left = BEFORE;
        if (!this.#drops) kept.set(chunk.subarray(from, at), count);
        if (!this.#drops) count += bytes;
        continue;
      }
      const byte = chunk[at++]!;
      if (this.#left === BEFORE) {
        this.#drops = this.#isDropped(byte >> 4);
        this.#left = LENGTH;
        this.#length = 0;
        this.#shift = 1;
      } else {
        this.#length += (byte & 0x7f) * this.#shift;
        this.#shift *= 128;
        if (byte < 0x80) this.#left = this.#length === 0 ? BEFORE : this.#length;
      }
      if (!this.#drops) kept[count++] = byte;
    }
    return kept.subarray(0, count);
  }
}

const BEFORE = -2;
const LENGTH = -1;
