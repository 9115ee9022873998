/**
 * Masks the bytes of a connection that must not be recorded: always passwords and authentication data, and payloads if the
 * recording has none.
 *
 * The lengths stay the same, and a payload that is not UTF-8 does not become UTF-8, so that a broker handles the masked bytes in
 * the same way. A packet may be divided over any chunks. No bytes of it are kept.
 */
import { PacketType } from "../../core/mod.ts";
import { PacketWalk, SpanKind } from "./packet-walk.ts";

export class FrameMask {
  readonly #packetBytesMax: number;
  readonly #masksPayloads: boolean;
  /** The protocol level of the CONNECT; 0: no CONNECT yet. */
  #level = 0;
  /** The walk over the current packet; null: a new packet begins, or the rest of the current one is skipped. */
  #walk: PacketWalk | null = null;
  #kind: SpanKind = SpanKind.Plain;
  /** How many bytes of this kind remain. */
  #left = 0;
  /** The check of the current payload, if the packet declares it as UTF-8. */
  #text: TextCheck | null = null;

  constructor(packetBytesMax: number, masksPayloads: boolean) {
    this.#packetBytesMax = packetBytesMax;
    this.#masksPayloads = masksPayloads;
  }

  /** Masks the next bytes of the connection, `bytes[start, end)`. */
  mask(bytes: Uint8Array, start: number, end: number): void {
    let at = start;
    while (at < end) {
      if (this.#left === 0) {
        const next = this.#skip(bytes, at, end);
        if (next > at) {
          at = next;
          continue;
        }
        this.#walk = new PacketWalk(this.#level, this.#packetBytesMax, this.#masksPayloads);
        this.#advance(0);
      }
      const count = Math.min(this.#left, end - at);
      this.#left -= count;
      const value = bytes[at]!;
      if (this.#kind >= SpanKind.Secret) this.#overwrite(bytes, at, at + count);
      at += count;
      if (this.#left === 0 && this.#walk !== null) this.#advance(value);
    }
  }

  /**
   * Skips packets without secrets, and masks payloads that are easily found. Returns the start of the first packet that needs a
   * walk, or that is not complete enough for this method.
   */
  #skip(bytes: Uint8Array, start: number, end: number): number {
    let at = start;
    while (at + 2 <= end) {
      const first = bytes[at]!;
      const type = first >> 4;
      if (type === PacketType.Connect || type === PacketType.Auth) return at;
      let remaining = bytes[at + 1]!;
      let body = at + 2;
      if (remaining >= 0x80) {
        if (at + 3 > end || bytes[at + 2]! >= 0x80) return at;
        remaining = (remaining & 0x7f) | (bytes[at + 2]! << 7);
        body++;
      }
      if (body - at + remaining > this.#packetBytesMax) return at;
      const next = body + remaining;
      if (type === PacketType.Publish && this.#masksPayloads) {
        if (next > end || remaining < 2) return at;
        let payload = body + 2 + ((bytes[body]! << 8) | bytes[body + 1]!);
        if ((first & 0x06) !== 0) payload += 2;
        // A packet with properties needs a walk.
        if (this.#level === 5 && bytes[payload++] !== 0) return at;
        if (payload > next) return at;
        bytes.fill(FILL, payload, next);
      } else if (next > end) {
        this.#kind = SpanKind.Plain;
        this.#left = next - end;
        return end;
      }
      at = next;
    }
    return at;
  }

  #advance(value: number): void {
    const walk = this.#walk!;
    const isDone = walk.steps.next(value).done === true;
    this.#text = null;
    if (!isDone) {
      this.#kind = walk.kind;
      this.#left = walk.count;
      const isMasked = this.#kind === SpanKind.Payload && this.#masksPayloads;
      if (isMasked && walk.isText) this.#text = new TextCheck();
      return;
    }
    this.#level = walk.level;
    this.#walk = null;
    if (!walk.isLast) return;
    // The broker closes the connection and handles no further byte of it.
    this.#kind = SpanKind.Secret;
    this.#left = Number.POSITIVE_INFINITY;
  }

  #overwrite(bytes: Uint8Array, start: number, end: number): void {
    if (this.#kind === SpanKind.Payload && !this.#masksPayloads) return;
    const text = this.#text;
    text?.add(bytes.subarray(start, end));
    bytes.fill(FILL, start, end);
    // The last byte makes the masked payload invalid if the payload was invalid.
    if (text !== null && this.#left === 0 && !text.isText()) bytes[end - 1] = NOT_UTF8;
  }
}

/** Checks whether bytes in chunks are UTF-8. */
class TextCheck {
  readonly #decoder = new TextDecoder("utf-8", { fatal: true });
  #isText = true;

  add(bytes: Uint8Array): void {
    this.#decode(bytes, true);
  }
  isText(): boolean {
    this.#decode(new Uint8Array(0), false);
    return this.#isText;
  }

  #decode(bytes: Uint8Array, stream: boolean): void {
    if (!this.#isText) return;
    try {
      this.#decoder.decode(bytes, { stream });
    } catch {
      this.#isText = false;
    }
  }
}

/** A letter, so that masked UTF-8 stays UTF-8. */
const FILL = 0x78;
/** A byte that UTF-8 never contains. */
const NOT_UTF8 = 0xff;
