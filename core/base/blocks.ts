/**
 * Memory for byte blocks of any size, without an allocation for each: pages of 64 KiB, each cut
 * into blocks of one size class, with free lists of integers.
 *
 * A block over `SMALL_BYTES_MAX` has a buffer of its own. `free` returns that buffer to the buffer
 * pool, unless code outside the core still reads it (`keep`); then the garbage collector frees it.
 */
import { assert } from "./assert.ts";
import { BUFFER_STEP_BYTES, BufferPool } from "./buffers.ts";
import { viewOf } from "./bytes.ts";

// Handle: 1 | large index << 1, or 0 | page << 12 | block << 1. A page has at most 2048 blocks.
export class BlockPool {
  readonly #bytesMax: number;
  readonly #buffers: BufferPool;
  /** Large buffers that code outside the core reads. An entry lasts until the block is freed. */
  readonly #kept = new Set<Uint8Array>();
  readonly #pages: (Page | null)[] = [null];
  readonly #spare: Page[] = [];
  readonly #freePageIndices: number[] = [];
  /**
   * First page with a free block, by size class. Pages with free blocks form a list through `next`.
   */
  readonly #openPages: (Page | null)[] = classSizes.map(() => null);
  readonly #large: (Uint8Array | null)[] = [];
  readonly #freeLarge: number[] = [];
  #usedBytes = 0;

  /** At most so much memory is taken by a block of `byteCount` bytes. */
  static bytesFor(byteCount: number): number {
    return byteCount > SMALL_BYTES_MAX ? byteCount + BUFFER_STEP_BYTES : PAGE_BYTES;
  }

  /** `bytesMax` bounds the sum of pages in use and large buffers. */
  constructor(bytesMax: number, buffers: BufferPool = plainBuffers()) {
    this.#bytesMax = bytesMax;
    this.#buffers = buffers;
  }

  /** Bytes of the pages in use and of the large buffers. */
  get usedBytes(): number {
    return this.#usedBytes;
  }

  /**
   * Returns the handle of a block of at least `byteCount` bytes, or 0 if `bytesMax` would be
   * exceeded.
   */
  allocate(byteCount: number): number {
    if (byteCount > SMALL_BYTES_MAX) {
      if (this.#usedBytes + byteCount > this.#bytesMax) return 0;
      return this.adopt(this.#buffers.acquire(byteCount));
    }
    const sizeClass = classOf[(byteCount + CLASS_STEP - 1) >> CLASS_STEP_LOG2]!;
    let page = this.#openPages[sizeClass]!;
    if (page === null) {
      const opened = this.#openPage(sizeClass);
      if (opened === null) return 0;
      page = opened;
    }
    const block = page.acquire();
    if (page.freeCount === 0) this.#unlink(page);
    return (page.index << 12) | (block << 1);
  }

  /**
   * Returns a handle for a buffer that the caller took from the pool, or 0 if `bytesMax` would be
   * exceeded.
   */
  adopt(buffer: Uint8Array): number {
    if (this.#usedBytes + buffer.length > this.#bytesMax) return 0;
    this.#usedBytes += buffer.length;
    const index = this.#freeLarge.pop() ?? this.#large.length;
    this.#large[index] = buffer;
    return (index << 1) | 1;
  }

  free(handle: number): void {
    if ((handle & 1) === 1) {
      const index = handle >> 1;
      const buffer = this.#large[index]!;
      this.#usedBytes -= buffer.length;
      if (!this.#kept.delete(buffer)) this.#buffers.release(buffer);
      this.#large[index] = null;
      this.#freeLarge.push(index);
      return;
    }
    const page = this.#pages[handle >> 12]!;
    page.release((handle >> 1) & 0x7ff);
    if (page.freeCount === 1) this.#link(page);
    if (page.freeCount === page.blockCount) this.#closePage(page);
  }

  /**
   * Declares that code outside the core reads a large block for an unknown time, so its buffer must
   * not be reused. The block may have been freed already.
   */
  keep(handle: number, buffer: Uint8Array): void {
    if (this.#large[handle >> 1] === buffer) this.#kept.add(buffer);
    else this.#buffers.remove(buffer);
  }

  /** The memory that holds the block, which begins at `offset`. */
  bytes(handle: number): Uint8Array {
    return (handle & 1) === 1 ? this.#large[handle >> 1]! : this.#pages[handle >> 12]!.bytes;
  }

  /** The same memory, read by words; null for a large block. */
  view(handle: number): DataView | null {
    return (handle & 1) === 1 ? null : this.#pages[handle >> 12]!.view;
  }

  offset(handle: number): number {
    if ((handle & 1) === 1) return 0;
    return ((handle >> 1) & 0x7ff) * this.#pages[handle >> 12]!.blockBytes;
  }

  #openPage(sizeClass: number): Page | null {
    if (this.#usedBytes + PAGE_BYTES > this.#bytesMax) return null;
    const index = this.#freePageIndices.pop() ?? this.#pages.length;
    if (index >= PAGES_MAX) return null;
    this.#usedBytes += PAGE_BYTES;
    const page = this.#spare.pop() ?? new Page();
    page.open(index, sizeClass);
    this.#pages[index] = page;
    this.#link(page);
    return page;
  }

  /**
   * Makes an empty page available to every size class. The only open page of its class stays, so
   * that alternating allocate and free do not open and close a page each time.
   */
  #closePage(page: Page): void {
    if (page.previous === null && page.next === null) return;
    this.#unlink(page);
    this.#usedBytes -= PAGE_BYTES;
    this.#pages[page.index] = null;
    this.#freePageIndices.push(page.index);
    if (this.#spare.length < SPARE_PAGES_MAX) this.#spare.push(page);
  }

  #link(page: Page): void {
    const head = this.#openPages[page.sizeClass]!;
    page.previous = null;
    page.next = head;
    if (head !== null) head.previous = page;
    this.#openPages[page.sizeClass] = page;
  }

  #unlink(page: Page): void {
    if (page.previous === null) this.#openPages[page.sizeClass] = page.next;
    else page.previous.next = page.next;
    if (page.next !== null) page.next.previous = page.previous;
    page.previous = null;
    page.next = null;
  }
}

function plainBuffers(): BufferPool {
  return new BufferPool((byteCount) => new Uint8Array(byteCount));
}

class Page {
  readonly bytes = new Uint8Array(PAGE_BYTES);
  readonly view: DataView = viewOf(this.bytes);
  index = 0;
  sizeClass = 0;
  blockBytes = 0;
  blockCount = 0;
  previous: Page | null = null;
  next: Page | null = null;
  /** Stack of the free block numbers. */
  #free = new Uint16Array(0);
  freeCount = 0;

  open(index: number, sizeClass: number): void {
    this.index = index;
    this.sizeClass = sizeClass;
    this.blockBytes = classSizes[sizeClass]!;
    this.blockCount = Math.floor(PAGE_BYTES / this.blockBytes);
    if (this.#free.length < this.blockCount) this.#free = new Uint16Array(this.blockCount);
    this.freeCount = this.blockCount;
    for (let i = 0; i < this.blockCount; i++) this.#free[i] = this.blockCount - 1 - i;
  }

  acquire(): number {
    return this.#free[--this.freeCount]!;
  }

  release(block: number): void {
    assert(this.freeCount < this.blockCount, "a block is freed once");
    this.#free[this.freeCount++] = block;
  }
}

/** Largest block that is cut from a page. A larger block has a buffer of its own. */
export const SMALL_BYTES_MAX = 8192;
const PAGE_BYTES = 65_536;
/** Handles have 19 bits for the page, so pages make up at most 32 GiB. */
const PAGES_MAX = 2 ** 19;
const SPARE_PAGES_MAX = 16;
const CLASS_STEP_LOG2 = 4;
const CLASS_STEP = 1 << CLASS_STEP_LOG2;
/** 32, 48, 64, 96, 128, … 8192: a block wastes at most a third of its bytes. */
const classSizes: readonly number[] = Array.from({ length: 17 }, (_, i) =>
  i % 2 === 0 ? 32 << (i >> 1) : 48 << (i >> 1),
);
/** Size class by size, in steps of 16 bytes. */
const classOf: Uint8Array = Uint8Array.from({ length: SMALL_BYTES_MAX / CLASS_STEP + 1 }, (_, i) =>
  classSizes.findIndex((size) => size >= i * CLASS_STEP),
);
