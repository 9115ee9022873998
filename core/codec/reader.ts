/**
 * A cursor over one frame. A read past the end sets `isOverrun` and returns 0, so that the caller
 * can check once, after all reads.
 */
import { isUtf8 } from "./utf8.ts";

/** In place of a number of bytes: those of a Variable Byte Integer. */
export const VARINT_BYTES = 0;

export class Reader {
  readonly bytes: Uint8Array;
  readonly end: number;
  at: number;
  isOverrun = false;
  /**
   * A string was not MQTT's UTF-8 [MQTT311-1.5.3-1] [MQTT311-1.5.3-2], or a number was too long.
   */
  isIllFormed = false;

  constructor(bytes: Uint8Array, start: number, end: number) {
    this.bytes = bytes;
    this.at = start;
    this.end = end;
  }

  /** Whether the whole frame was read, and all of it was well-formed. */
  get isDone(): boolean {
    return this.at === this.end && this.isValid;
  }
  get isValid(): boolean {
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

  /** A Variable Byte Integer of at most four bytes, in the shortest encoding [MQTT-1.5.5-1]. */
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

  /** A number of 1, 2 or 4 bytes, or a Variable Byte Integer. */
  number(byteCount: number): number {
    switch (byteCount) {
      case 1:
        return this.u8();
      case 2:
        return this.u16();
      case VARINT_BYTES:
        return this.varint();
      default:
        return this.u32();
    }
  }

  /** Skips a field that begins with its length in two bytes; its content is `bytes[result, at)`. */
  field(): number {
    const length = this.u16();
    const start = this.at;
    return this.#take(length) ? start : this.at;
  }

  /** Like `field`, for a UTF-8 string. */
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
