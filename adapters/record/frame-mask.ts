/**
 * Overwrites in the bytes of one connection what is not to be recorded: passwords and authentication data
 * always, payloads where they are left out.
 *
 * Lengths stay, and a payload that is no text stays none, so that a broker takes the same path over the
 * result. Packets are followed through any chunks, and nothing is kept of them.
 */
import { PacketType } from "../../core/mod.ts";
import { PacketWalk, Take } from "./packet-walk.ts";

export class FrameMask {
  readonly #packetBytesMax: number;
  readonly #masksPayloads: boolean;
  /** The protocol level of its CONNECT; 0: none yet. */
  #level = 0;
  /** Over the packet at hand; null: what is left of it is passed over, or one begins. */
  #walk: PacketWalk | null = null;
  #take: Take = Take.Pass;
  /** How many bytes are taken so. */
  #left = 0;
  /** What has come of the payload at hand, where it is said to be text. */
  #text: TextCheck | null = null;

  constructor(packetBytesMax: number, masksPayloads: boolean) {
    this.#packetBytesMax = packetBytesMax;
    this.#masksPayloads = masksPayloads;
  }

  /** The next bytes of the connection are `bytes[start, end)`. */
  mask(bytes: Uint8Array, start: number, end: number): void {
    let at = start;
    while (at < end) {
      if (this.#left === 0) {
        const next = this.#pass(bytes, at, end);
        if (next > at) {
          at = next;
          continue;
        }
        this.#walk = new PacketWalk(this.#level, this.#packetBytesMax, this.#masksPayloads);
        this.#goOn(0);
      }
      const count = Math.min(this.#left, end - at);
      this.#left -= count;
      const value = bytes[at]!;
      if (this.#take >= Take.Secret) this.#overwrite(bytes, at, at + count);
      at += count;
      if (this.#left === 0 && this.#walk !== null) this.#goOn(value);
    }
  }

  /**
   * Passes over the packets from `at` on that have nothing to look for, or a payload where it is easily found.
   * Returns where the first begins that is another, or has not come with all that this takes.
   */
  #pass(bytes: Uint8Array, start: number, end: number): number {
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
        // With properties it is looked for field by field.
        if (this.#level === 5 && bytes[payload++] !== 0) return at;
        if (payload > next) return at;
        bytes.fill(FILL, payload, next);
      } else if (next > end) {
        this.#take = Take.Pass;
        this.#left = next - end;
        return end;
      }
      at = next;
    }
    return at;
  }

  #goOn(value: number): void {
    const walk = this.#walk!;
    const isDone = walk.steps.next(value).done === true;
    this.#text = null;
    if (!isDone) {
      this.#take = walk.take;
      this.#left = walk.count;
      const isMasked = this.#take === Take.Payload && this.#masksPayloads;
      if (isMasked && walk.isText) this.#text = new TextCheck();
      return;
    }
    this.#level = walk.level;
    this.#walk = null;
    if (!walk.isLost) return;
    // The broker closes the connection: no byte of it means anything any more.
    this.#take = Take.Secret;
    this.#left = Number.POSITIVE_INFINITY;
  }

  #overwrite(bytes: Uint8Array, start: number, end: number): void {
    if (this.#take === Take.Payload && !this.#masksPayloads) return;
    const text = this.#text;
    text?.add(bytes.subarray(start, end));
    bytes.fill(FILL, start, end);
    // What is no text stays none: its last byte says so.
    if (text !== null && this.#left === 0 && !text.isText()) bytes[end - 1] = NO_TEXT;
  }
}

/** Whether bytes that come in pieces are UTF-8. */
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

/** A letter, so that what is masked is text where it was. */
const FILL = 0x78;
/** Never in UTF-8. */
const NO_TEXT = 0xff;
