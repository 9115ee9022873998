/**
 * Reads the chunks of mosquitto's persistence file, in its formats 5 (mosquitto 1.6) and 6 (mosquitto 2).
 *
 * ```
 * file            00 B5 00 "mosquitto db" · checksum u32, always 0 · format u32 · chunks
 * chunk           kind u32 · length u32 · the fields below
 * configuration   last message u64* · is shutdown u8 · bytes of a message number u8 · padding
 * message         number u64* · expires at i64* (Unix seconds, 0: never) · payload bytes u32 · packet identifier u16 ·
 *                 source bytes u16 · user name bytes u16 · topic bytes u16 · port u16 · qos u8 · retain u8 ·
 *                 source · user name · topic · payload · properties
 * client message  message u64* · packet identifier u16 · client bytes u16 · qos u8 · state u8 · retain and dup u8 ·
 *                 direction u8 · client · properties
 * retained        message u64*
 * subscription    identifier u32 · client bytes u16 · filter bytes u16 · qos u8 · options u8 · padding u16 ·
 *                 client · filter
 * client          ends at i64* (Unix seconds, 0: none) · expiry interval u32 · last identifier u16 · client bytes u16 ·
 *                 in format 6: port u16 · user name bytes u16 · padding u32 · client · user name
 * ```
 *
 * Integers are big-endian, except those with a star: they are in the byte order of the machine that wrote the file.
 * Properties are as in a packet, with their length, or missing.
 */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { ImportError } from "../import.ts";
import { Fields } from "./fields.ts";

export const ChunkKind = {
  Configuration: 1,
  Message: 2,
  ClientMessage: 3,
  Retained: 4,
  Subscription: 5,
  Client: 6,
} as const;
export type ChunkKind = (typeof ChunkKind)[keyof typeof ChunkKind];

/** The chunks of a file by kind. */
export class Chunks {
  readonly #file: string;
  readonly #descriptor: number;
  readonly size: number;
  #format = 0;
  #isLittleEndian = true;
  /** Where the chunks of each kind begin. */
  readonly #positions: Readonly<Record<number, number[]>>;

  /** Throws ImportError if the file is not whole, or of another format; the error of the system if it cannot be read. */
  constructor(file: string) {
    this.#file = file;
    this.#positions = Object.fromEntries(Object.values(ChunkKind).map((kind) => [kind, []]));
    this.#descriptor = openSync(file, "r");
    try {
      this.size = fstatSync(this.#descriptor).size;
      this.#readHeader();
      this.#findChunks();
      this.#readConfiguration();
    } catch (error) {
      this.close();
      throw error;
    }
  }

  close(): void {
    closeSync(this.#descriptor);
  }

  get format(): number {
    return this.#format;
  }

  get count(): number {
    return Object.values(this.#positions).reduce((sum, list) => sum + list.length, 0);
  }

  /** The fields of each chunk of a kind, in the order of the file. */
  *of(kind: ChunkKind): Generator<Fields> {
    for (const at of this.#positions[kind]!) yield this.#fieldsAt(at);
  }

  /** The fields of the chunk that begins at a position. */
  #fieldsAt(at: number): Fields {
    const length = this.#bytesAt(at + 4, 4).readUInt32BE(0);
    const bytes = this.#bytesAt(at + CHUNK_HEAD_BYTES, length);
    return new Fields(bytes, this.#isLittleEndian, this.whereIs(at));
  }

  whereIs(at: number): string {
    return `${this.#file}: chunk at byte ${at}`;
  }

  #readHeader(): void {
    const header = this.size < HEADER_BYTES ? null : this.#bytesAt(0, HEADER_BYTES);
    if (header === null || !header.subarray(0, MAGIC.length).equals(MAGIC)) {
      throw new ImportError(`${this.#file}: not a persistence file of mosquitto`);
    }
    this.#format = header.readUInt32BE(MAGIC.length + 4);
    if (!FORMATS.includes(this.#format)) {
      const known = FORMATS.join(" and ");
      throw new ImportError(
        `${this.#file}: format ${this.#format} is not supported; supported are ${known}, which mosquitto 1.6 and 2 write`,
      );
    }
  }

  /** Finds all chunks. mosquitto passes over kinds that it does not know, and so does this. */
  #findChunks(): void {
    for (let at = HEADER_BYTES; at < this.size; ) {
      const isHead = at + CHUNK_HEAD_BYTES <= this.size;
      const head = isHead ? this.#bytesAt(at, CHUNK_HEAD_BYTES) : null;
      const end = at + CHUNK_HEAD_BYTES + (head?.readUInt32BE(4) ?? 0);
      if (head === null || end > this.size) {
        throw new ImportError(
          `${this.whereIs(at)} is not complete: the file ends at byte ${this.size}`,
        );
      }
      this.#positions[head.readUInt32BE(0)]?.push(at);
      at = end;
    }
  }

  #readConfiguration(): void {
    const [at, ...others] = this.#positions[ChunkKind.Configuration]!;
    if (at === undefined || others.length > 0) {
      throw new ImportError(
        `${this.#file}: ${at === undefined ? "no configuration chunk" : "several configuration chunks"}`,
      );
    }
    const fields = this.#fieldsAt(at);
    this.#isLittleEndian = fields.isLittleEndianNumber();
    fields.skip(9);
    const numberBytes = fields.u8();
    if (numberBytes !== 8) {
      throw new ImportError(
        `${fields.where}: message numbers have ${numberBytes} bytes instead of 8`,
      );
    }
  }

  #bytesAt(at: number, length: number): Buffer {
    const bytes = Buffer.alloc(length);
    if (readSync(this.#descriptor, bytes, 0, length, at) === length) return bytes;
    throw new ImportError(`${this.#file}: cannot be read at byte ${at}`);
  }
}

const MAGIC = Buffer.from("\x00\xb5\x00mosquitto db", "latin1");
/** The magic, the checksum and the format. */
const HEADER_BYTES = MAGIC.length + 8;
const CHUNK_HEAD_BYTES = 8;
const FORMATS: readonly number[] = [5, 6];
