/** Cursor over one frame. Reading past the end sets `isOverrun` and yields 0, so checks come once. */
import { isUtf8 } from "./utf8.ts";

export class Reader {
  readonly bytes: Uint8Array;
  readonly end: number;
  at: number;
  isOverrun = false;
  /** A string was not UTF-8 as MQTT wants it [MQTT311-1.5.3-1] [MQTT311-1.5.3-2], or a number too long. */
  isIllFormed = false;

  constructor(bytes: Uint8Array, start: number, end: number) {
    this.bytes = bytes;
    this.at = start;
    this.end = end;
  }

  /** Whether everything was read, all of it well. */
  get isDone(): boolean {
    return this.at === this.end && this.isWell;
  }
  get isWell(): boolean {
    return !this.isOverrun && !this.isIllFormed;
  }

  u8(): number {
    return this.#take(1) ? this.bytes[this.at - 1]! : 0;
  }

  u16(): number {
    return this.#take(2) ? (this.bytes[this.at - 2]! << 8) | this.bytes[this.at - 1]! : 0;
  }

  u32(): number {
    return this.u16() * 0x1_0000 + this.u16();
  }

  /** A Variable Byte Integer in as few bytes as it takes, at most four [MQTT-1.5.5-1]. */
  varint(): number {
    let value = 0;
    for (let i = 0; i < 4; i++) {
      const byte = this.u8();
      value += (byte & 0x7f) * 128 ** i;
      if (byte < 0x80) {
        if (byte === 0 && i > 0) this.isIllFormed = true;
        return value;
      }
    }
    this.isIllFormed = true;
    return 0;
  }

  /** Skips a field of two bytes of length and so many bytes; its content is `bytes[result, at)`. */
  field(): number {
    const length = this.u16();
    const start = this.at;
    return this.#take(length) ? start : this.at;
  }

  /** Like `field`, of a UTF-8 string. */
  text(): number {
    const start = this.field();
    if (!this.isOverrun && !isUtf8(this.bytes, start, this.at)) this.isIllFormed = true;
    return start;
  }

  #take(count: number): boolean {
    if (this.at + count > this.end) {
      this.isOverrun = true;
      this.at = this.end;
      return false;
    }
    this.at += count;
    return true;
  }
}
