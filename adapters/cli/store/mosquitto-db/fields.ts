/** Reads the fields of a chunk. Each throws ImportError if the chunk ends before, or if the field is not allowed. */
import type { PropertyValues } from "../../../../core/mod.ts";
import {
  areMessageProperties,
  decodeIdentifiers,
  decodeProperties,
  Reader,
} from "../../../../core/mod.ts";
import { isoTime } from "../../../captured.ts";
import { ImportError } from "../import.ts";

export class Fields {
  readonly #bytes: Buffer;
  readonly #isLittleEndian: boolean;
  /** Names the chunk in errors. */
  readonly where: string;
  #at = 0;

  constructor(bytes: Buffer, isLittleEndian: boolean, where: string) {
    this.#bytes = bytes;
    this.#isLittleEndian = isLittleEndian;
    this.where = where;
  }

  /**
   * Whether the number here, which is that of the last message, was written with its lowest byte first. Numbers do not
   * use their highest byte, so that the right order is the one that gives the smaller number.
   */
  isLittleEndianNumber(): boolean {
    const bytes = this.#peek(8);
    return bytes.readBigUInt64LE(0) <= bytes.readBigUInt64BE(0);
  }

  skip(count: number): void {
    this.bytes(count);
  }

  u8(): number {
    return this.bytes(1).readUInt8(0);
  }
  u16(): number {
    return this.bytes(2).readUInt16BE(0);
  }
  u32(): number {
    return this.bytes(4).readUInt32BE(0);
  }

  /** A number of a message. */
  messageNumber(): bigint {
    const bytes = this.bytes(8);
    return this.#isLittleEndian ? bytes.readBigUInt64LE(0) : bytes.readBigUInt64BE(0);
  }

  /** A time as ISO 8601; null: none. */
  time(): string | null {
    const bytes = this.bytes(8);
    const seconds = this.#isLittleEndian ? bytes.readBigInt64LE(0) : bytes.readBigInt64BE(0);
    if (seconds === 0n) return null;
    if (seconds > 0n && seconds <= TIME_MAX) return isoTime(Number(seconds) * 1000);
    throw this.fault(`invalid time ${seconds}`);
  }

  text(byteCount: number, what: string): string {
    const bytes = this.bytes(byteCount);
    try {
      return utf8.decode(bytes);
    } catch {
      throw this.fault(`the ${what} is not UTF-8`);
    }
  }

  bytes(count: number): Buffer {
    const bytes = this.#peek(count);
    this.#at += count;
    return bytes;
  }

  /** The properties of a message up to the end of the chunk. */
  properties(): PropertyValues {
    const encoded = this.#encodedProperties();
    if (!areMessageProperties(encoded)) throw this.fault("its properties are damaged");
    return decodeProperties(encoded);
  }

  /** The Subscription Identifiers up to the end of the chunk. */
  identifiers(): readonly number[] {
    const identifiers = decodeIdentifiers(this.#encodedProperties());
    if (identifiers === null) throw this.fault("its properties are damaged");
    return identifiers;
  }

  /** Checks that the chunk ends here. */
  end(): void {
    if (this.#at < this.#bytes.length) throw this.fault("it is longer than its fields");
  }

  fault(what: string): ImportError {
    return new ImportError(`${this.where}: ${what}`);
  }

  #encodedProperties(): Uint8Array {
    if (this.#at === this.#bytes.length) return NO_BYTES;
    const reader = new Reader(this.#bytes, this.#at, this.#bytes.length);
    const length = reader.varint();
    if (!reader.isValid || reader.at + length !== reader.end) {
      throw this.fault("its properties are damaged");
    }
    this.#at = reader.end;
    return this.#bytes.subarray(reader.at, reader.end);
  }

  #peek(count: number): Buffer {
    const end = this.#at + count;
    if (end > this.#bytes.length) throw this.fault("it is shorter than its fields");
    return this.#bytes.subarray(this.#at, end);
  }
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const NO_BYTES = new Uint8Array(0);
/** The last second that ISO 8601 can name here. */
const TIME_MAX = 8_640_000_000_000n;
