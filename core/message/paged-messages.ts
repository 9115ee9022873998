/**
 * Queued messages whose bytes are in the store and not in memory: the integers that queues and
 * limits need of them, in columns.
 *
 * The slot of such a message has the bit `PAGED`. A message can be in memory and here at once: one
 * queue has paged it out, and another receiver still needs its bytes. Either side knows the other
 * by a link, which is checked when it is used, so that neither has to tell the other when it ends.
 */
import { assert } from "../base/assert.ts";
import { grownU32 } from "../base/columns.ts";
import type { Millis, QoS } from "../boundary.ts";
import { Counter } from "../observe/counters.ts";
import type { MessagePool, MessageSlot } from "./message-pool.ts";

/** A bit above every slot of a message in memory. */
export const PAGED: MessageSlot = 2 ** 30;

/** Whether the bytes of a message are in the store only. */
export function isPaged(message: MessageSlot): boolean {
  return message >= PAGED;
}

/** The integers that stay of a message. */
export interface PagedFields {
  readonly serial: number;
  readonly size: number;
  readonly qos: number;
  readonly isRetained: boolean;
  readonly expiresAt: Millis;
}

export class PagedMessages {
  readonly #messages: MessagePool;
  readonly #counters: Float64Array;
  readonly #chunks: (Chunk | null)[] = [];
  readonly #freeIndices: number[] = [];
  /** The indices of the chunks with a free place. */
  readonly #open: number[] = [];
  /** By slot of a message in memory: one more than the place of the same message here; 0: none. */
  #places: Uint32Array = new Uint32Array(0);
  #count = 0;

  constructor(messages: MessagePool, counters: Float64Array) {
    this.#messages = messages;
    this.#counters = counters;
  }

  get count(): number {
    return this.#count;
  }

  /** Adds a message, without a reference. The caller retains it at once. */
  add({ serial, size, qos, isRetained, expiresAt }: PagedFields): MessageSlot {
    const index = this.#open.at(-1) ?? this.#openChunk();
    const chunk = this.#chunks[index]!;
    const place = chunk.acquire();
    if (chunk.isFull) this.#open.pop();
    const { words, floats } = chunk;
    words[place * WORDS + REFERENCES] = 0;
    words[place * WORDS + SIZE] = size | (qos << QOS_SHIFT) | (isRetained ? RETAIN : 0);
    words[place * WORDS + RESIDENT] = 0;
    floats[place * FLOATS + SERIAL] = serial;
    floats[place * FLOATS + EXPIRES_AT] = expiresAt;
    this.#setCount(this.#count + 1);
    return PAGED | (index << CHUNK_SHIFT) | place;
  }

  /** The paged form of a message in memory; 0: it has none. */
  of(message: MessageSlot): MessageSlot {
    const known = this.#count === 0 ? 0 : (this.#places[message] ?? 0);
    if (known === 0) return 0;
    const paged = PAGED | (known - 1);
    const chunk = this.#chunks[(known - 1) >> CHUNK_SHIFT];
    if (chunk === null || chunk === undefined || this.references(paged) === 0) return 0;
    return this.serial(paged) === this.#messages.serial(message) ? paged : 0;
  }

  /** The slot in memory of a paged message; 0: its bytes are in the store only. */
  resident(paged: MessageSlot): MessageSlot {
    const slot = this.#chunk(paged).words[wordsAt(paged) + RESIDENT]!;
    if (slot === 0 || this.#messages.references(slot) === 0) return 0;
    return this.#messages.serial(slot) === this.serial(paged) ? slot : 0;
  }

  /** `message` in memory and `paged` are the same message. */
  link(paged: MessageSlot, message: MessageSlot): void {
    this.#places = grownU32(this.#places, message);
    this.#places[message] = (paged & ~PAGED) + 1;
    this.#chunk(paged).words[wordsAt(paged) + RESIDENT] = message;
  }

  retain(paged: MessageSlot): void {
    this.#chunk(paged).words[wordsAt(paged) + REFERENCES]!++;
  }

  /** The number of references. */
  references(paged: MessageSlot): number {
    return this.#chunk(paged).words[wordsAt(paged) + REFERENCES]!;
  }

  /** Returns the number of references that are left. Without any, the message is forgotten. */
  release(paged: MessageSlot): number {
    const chunk = this.#chunk(paged);
    const at = wordsAt(paged) + REFERENCES;
    assert(chunk.words[at]! > 0, "a paged message is released as often as it was retained");
    const left = --chunk.words[at]!;
    if (left === 0) this.forget(paged);
    return left;
  }

  /** Forgets a message without a reference. */
  forget(paged: MessageSlot): void {
    const index = (paged & ~PAGED) >> CHUNK_SHIFT;
    const chunk = this.#chunks[index]!;
    if (chunk.isFull) this.#open.push(index);
    chunk.release(paged & PLACE_MASK);
    this.#setCount(this.#count - 1);
    // The last chunk stays, so that a message that comes and goes makes none each time.
    if (chunk.used > 0 || this.#open.length === 1) return;
    this.#open.splice(this.#open.indexOf(index), 1);
    this.#chunks[index] = null;
    this.#freeIndices.push(index);
  }

  serial(paged: MessageSlot): number {
    return this.#chunk(paged).floats[floatsAt(paged) + SERIAL]!;
  }
  expiresAt(paged: MessageSlot): Millis {
    return this.#chunk(paged).floats[floatsAt(paged) + EXPIRES_AT] as Millis;
  }
  isExpired(paged: MessageSlot): boolean {
    return this.expiresAt(paged) <= this.#messages.now;
  }
  /** The bytes that count towards queue limits. */
  size(paged: MessageSlot): number {
    return this.#chunk(paged).words[wordsAt(paged) + SIZE]! & SIZE_MASK;
  }
  /** The QoS that it was published at. */
  qos(paged: MessageSlot): QoS {
    return ((this.#chunk(paged).words[wordsAt(paged) + SIZE]! >>> QOS_SHIFT) & 3) as QoS;
  }
  /** Whether it was published with RETAIN. */
  isRetained(paged: MessageSlot): boolean {
    return (this.#chunk(paged).words[wordsAt(paged) + SIZE]! & RETAIN) !== 0;
  }
  /** The store has no whole record of the message, although it should: it cannot be delivered. */
  isLost(paged: MessageSlot): boolean {
    return (this.#chunk(paged).words[wordsAt(paged) + SIZE]! & LOST) !== 0;
  }
  setLost(paged: MessageSlot): void {
    this.#chunk(paged).words[wordsAt(paged) + SIZE]! |= LOST;
  }

  #setCount(count: number): void {
    this.#count = count;
    this.#counters[Counter.messagesPaged] = count;
    this.#messages.pagedBytes = count * PLACE_BYTES;
  }

  #chunk(paged: MessageSlot): Chunk {
    return this.#chunks[(paged & ~PAGED) >> CHUNK_SHIFT]!;
  }

  #openChunk(): number {
    const index = this.#freeIndices.pop() ?? this.#chunks.length;
    this.#chunks[index] = new Chunk();
    this.#open.push(index);
    return index;
  }
}

/** Places for `CHUNK_PLACES` messages. */
class Chunk {
  readonly words = new Uint32Array(CHUNK_PLACES * WORDS);
  readonly floats = new Float64Array(CHUNK_PLACES * FLOATS);
  used = 0;
  /** Places that were never used begin here. */
  #top = 0;
  /** One more than the first free place below `top`; the others follow through `RESIDENT`. */
  #free = 0;

  get isFull(): boolean {
    return this.used === CHUNK_PLACES;
  }

  acquire(): number {
    this.used++;
    if (this.#free === 0) return this.#top++;
    const place = this.#free - 1;
    this.#free = this.words[place * WORDS + RESIDENT]!;
    return place;
  }

  release(place: number): void {
    this.used--;
    this.words[place * WORDS + RESIDENT] = this.#free;
    this.#free = place + 1;
  }
}

const wordsAt = (paged: MessageSlot): number => (paged & PLACE_MASK) * WORDS;
const floatsAt = (paged: MessageSlot): number => (paged & PLACE_MASK) * FLOATS;

const CHUNK_SHIFT = 12;
const CHUNK_PLACES = 1 << CHUNK_SHIFT;
const PLACE_MASK = CHUNK_PLACES - 1;
// A place: words [references, size | QoS | RETAIN | lost, slot in memory], floats [serial, expires at]
const WORDS = 3;
const FLOATS = 2;
const REFERENCES = 0;
const SIZE = 1;
const RESIDENT = 2;
const SERIAL = 0;
const EXPIRES_AT = 1;
const PLACE_BYTES = WORDS * 4 + FLOATS * 8;
/** A message is shorter than the longest packet, 2 ** 28 bytes. */
const SIZE_MASK = 2 ** 28 - 1;
const QOS_SHIFT = 28;
const RETAIN = 2 ** 30;
const LOST = 0x8000_0000;
