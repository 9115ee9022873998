/** A 64-bit hash over all output of a broker, in order. It is not secure against deliberate collisions. */
import type { BrokerEvent, Effect, JournalBatch, OutBuffer } from "../../core/mod.ts";
import { viewOf } from "../bytes.ts";

export class OutputHash {
  /** False: the hash covers only lengths, because a replay does not know the payloads in the bytes. */
  readonly #coversBytes: boolean;
  #a = 0x2545f491;
  #b = 0x6c62272e;
  /** The last buffer, whose view is kept because a new view costs more than a short packet. */
  #lastBuffer: Uint8Array = new Uint8Array(0);
  #view: DataView = viewOf(this.#lastBuffer);
  writeCount = 0;
  byteCount = 0;

  constructor(coversBytes: boolean) {
    this.#coversBytes = coversBytes;
  }

  /** Adds the output of `pollSend` for `conn`. `isSecret`: only its lengths, because a replay does not know its bytes. */
  sent(conn: number, out: OutBuffer, isSecret: boolean): void {
    const { bytes, length, tail } = out;
    const tailLength = tail === null ? 0 : tail.length;
    this.writeCount++;
    this.byteCount += length + tailLength;
    this.number(conn);
    this.number(length);
    this.number(tailLength);
    if (isSecret || !this.#coversBytes) return;
    if (bytes !== this.#lastBuffer) {
      this.#lastBuffer = bytes;
      this.#view = viewOf(bytes);
    }
    this.#bytes(bytes, this.#view, length);
    if (tail !== null) this.#bytes(tail, viewOf(tail), tailLength);
  }

  effect({ kind, conn, reason, numbers }: Effect): void {
    this.number(kind);
    this.number(conn);
    this.number(reason);
    for (const number of numbers ?? []) this.number(number);
  }

  batch(batch: JournalBatch): void {
    this.number(batch.count);
    const records = batch.records();
    while (records.next()) {
      const { key, value } = records;
      this.number(records.table);
      this.#bytes(key, viewOf(key), key.length);
      this.number(value === null ? -1 : value.length);
      if (value !== null && this.#coversBytes) this.#bytes(value, viewOf(value), value.length);
    }
  }

  event(event: BrokerEvent): void {
    this.#text(event.kind);
    this.#text(event.clientId);
    if ("topic" in event) this.#text(event.topic);
    if ("filter" in event) this.#text(event.filter);
    if ("reason" in event) this.number(event.reason);
    if ("number" in event) this.number(event.number);
  }

  number(value: number): void {
    const a = Math.imul(this.#a ^ value, 0x9e3779b1);
    this.#a = a ^ (a >>> 15);
  }

  /** Sixteen bits of the hash, to detect a difference early. */
  get check(): number {
    return (this.#a ^ (this.#a >>> 16) ^ this.#b ^ (this.#b >>> 16)) & 0xffff;
  }
  get words(): readonly [number, number] {
    return [this.#a >>> 0, this.#b >>> 0];
  }
  get hex(): string {
    return this.words.map((word) => word.toString(16).padStart(8, "0")).join("");
  }

  #text(text: string): void {
    this.number(text.length);
    for (let i = 0; i < text.length; i++) this.number(text.charCodeAt(i));
  }

  /** In two lanes, so that their multiplications do not wait for each other. */
  #bytes(bytes: Uint8Array, view: DataView, length: number): void {
    let a = this.#a;
    let b = this.#b;
    let at = 0;
    for (; at + 8 <= length; at += 8) {
      a = Math.imul(a ^ view.getInt32(at, true), 0x9e3779b1);
      b = Math.imul(b ^ view.getInt32(at + 4, true), 0x85ebca6b);
      a ^= a >>> 15;
      b ^= b >>> 13;
    }
    for (; at < length; at++) b = Math.imul(b ^ bytes[at]!, 0x85ebca6b);
    this.#a = a;
    this.#b = b ^ (b >>> 15);
  }
}
