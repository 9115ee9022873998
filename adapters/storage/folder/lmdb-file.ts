/**
 * Reads the file of LMDB without LMDB. LMDB trusts its file: a page that is damaged or missing ends the process. Here
 * every page is checked before it is used, and damage costs only the records below it.
 *
 * The file is a tree of pages for the records and one for the free pages. Two meta pages hold the roots as of the last
 * two transactions. A third meta, in the middle of page 0, is of the last transaction that was synced to the disk.
 * Integers are in the byte order of the machine. The layout is that of 64-bit machines:
 *
 * ```
 * page    number u64 · transaction u64 · pad u16 · flags u16 · lower u16 · upper u16 · content
 * meta    magic u32 · version u32 · address u64 · map size u64 · tree of free pages · tree of records ·
 *         last page u64 · transaction u64 · boot id u64
 * tree    page bytes u32 · flags u16 · depth u16 · branch pages u64 · leaf pages u64 · overflow pages u64 ·
 *         entries u64 · root u64
 * content of a branch or leaf: offsets of nodes u16 (lower bytes of them), free space, nodes from `upper` on
 * node    low u16 · high u16 · flags u16 · key bytes u16 · key · value
 * ```
 *
 * In a leaf, `low` and `high` are the length of the value. A large value is on pages of its own, and the node has
 * `page u64 · transaction u64 · count u64` instead. In a branch, `low`, `high` and the flags are the page below.
 */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { viewOf } from "../../bytes.ts";

/** The name of LMDB's file in its folder. */
export const DATA_FILE = "data.mdb";
/** The file in which LMDB keeps its readers. */
export const LOCK_FILE = "lock.mdb";
/** False: the files of this machine have another layout, because its numbers are shorter. */
export const IS_READABLE: boolean = !["arm", "ia32", "mips", "mipsel", "ppc"].includes(
  process.arch,
);

export interface LmdbEntry {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/** A fault of the file and the page where it is. */
export interface PageFault {
  readonly page: number;
  readonly what: string;
}

export class LmdbFile {
  readonly #isInUse: boolean;
  readonly #descriptor: number;
  readonly #pageCount: number;
  readonly #meta: Meta | null = null;
  /** That of the transaction before, whose pages no other one uses yet; null: that is not known. */
  #previous: Meta | null = null;
  /** The transaction of the later meta page. After LMDB has gone back, the other one has the same pages. */
  #lastTxn = 0;
  /** One bit for each page of `#previous`; null: not known. */
  #previousPages: Uint8Array | null = null;
  /** The first faults that were found: those of the metas, then those that the last walk found. */
  readonly faults: PageFault[] = [];
  faultCount = 0;
  readonly #metaFaultCount: number;
  /** One bit for each page that the current walk has seen. */
  readonly #used: Uint8Array;

  /**
   * Opens the file. Throws the error of the system if it cannot be read. `isInUse`: a process writes to it, so that
   * also what is not synced is there.
   */
  constructor(path: string, isInUse = false) {
    this.#isInUse = isInUse;
    this.#descriptor = openSync(path, "r");
    const { size } = fstatSync(this.#descriptor);
    // LMDB takes an empty file for a new one.
    if (size > 0) this.#meta = this.#readMetas();
    this.#metaFaultCount = this.faultCount;
    this.#pageCount = this.#meta === null ? 0 : Math.floor(size / this.#meta.pageBytes);
    this.#used = new Uint8Array(Math.ceil(this.#pageCount / 8));
    if (this.#previous !== null) this.#previousPages = this.#pagesOf(this.#previous);
  }

  close(): void {
    closeSync(this.#descriptor);
  }

  /** The number of records that an undamaged file has; 0 if that cannot be read either. */
  get count(): number {
    return this.#meta?.records.entries ?? 0;
  }

  /**
   * Every entry that can be read, in the order of keys. After the last one, `faults` is complete. `first`: only the
   * entries whose key begins with this byte, and the faults on the way to them.
   */
  *entries(first: number | null = null): Generator<LmdbEntry> {
    this.#used.fill(0);
    this.faultCount = this.#metaFaultCount;
    this.faults.length = Math.min(this.faults.length, this.faultCount);
    if (this.#meta === null) return;
    yield* this.#walk(this.#meta.records, isBefore, first);
    if (first !== null) return;
    for (const _ of this.#walk(this.#meta.free, isNumberBefore, null)) {
      // Only the walk matters: it checks the pages.
    }
  }

  #readMetas(): Meta | null {
    const first = this.#metaAt(0, 0);
    const sizes = first === null ? PAGE_SIZES : [first.pageBytes];
    const second = sizes.map((bytes) => this.#metaAt(bytes, bytes)).find((meta) => meta !== null);
    if (first === null) this.#fault(0, "is not the first page of an LMDB file");
    else if (second === undefined) this.#fault(1, "is not the second meta page of an LMDB file");
    if (first === null || second === undefined) return first ?? second ?? null;
    const synced = this.#metaAt(first.pageBytes / 2, first.pageBytes, true);
    const latest = this.#chosen(first, second);
    // LMDB takes it as it is. It is of zeros until the first transaction is synced.
    const isSound = synced !== null && synced.txn <= Math.max(first.txn, second.txn);
    if (!isSound && !this.#isZero(first.pageBytes / 2)) {
      this.#fault(0, "has damaged data on what is synced");
    }
    const chosen = isSound ? this.#chosen(latest, synced) : latest;
    const [earlier, later] = first.txn < second.txn ? [first, second] : [second, first];
    this.#lastTxn = later.txn;
    // The pages of an earlier transaction may have other content by now, and those beside a broker at any time.
    const isLast = !this.#isInUse && later.txn === chosen.txn && earlier.txn === chosen.txn - 1;
    if (isLast) this.#previous = earlier;
    return chosen;
  }

  /** Whether there are zeros in place of a meta. */
  #isZero(at: number): boolean {
    const bytes = this.#stableBytes(PAGE_HEAD_BYTES + META_BYTES, at);
    return bytes?.every((byte) => byte === 0) ?? true;
  }

  /** The meta in the page at `at`; null if there is none. `isHalf`: it lacks what all metas have in common. */
  #metaAt(at: number, pageBytes: number, isHalf = false): Meta | null {
    const bytes = this.#stableBytes(PAGE_HEAD_BYTES + META_BYTES, at);
    if (bytes === null) return null;
    const view = viewOf(bytes);
    const body = PAGE_HEAD_BYTES;
    const isMeta = (view.getUint16(18, LITTLE) & META_PAGE) !== 0;
    const hasMagic = view.getUint32(body, LITTLE) === MAGIC;
    const isVersion = (view.getUint32(body + 4, LITTLE) & 0xffff) === VERSION;
    if (!isHalf && !(isMeta && hasMagic && isVersion)) return null;
    const [free, records] = [treeAt(view, body + 24), treeAt(view, body + 72)];
    const meta: Meta = {
      pageBytes: view.getUint32(body + 24, LITTLE),
      free,
      records,
      isSynced: (view.getUint16(body + 28, LITTLE) & UNSYNCED) === 0,
      txn: u64(view, body + 128),
    };
    const isOurs = PAGE_SIZES.includes(meta.pageBytes) && [0, meta.pageBytes].includes(pageBytes);
    return isOurs ? meta : null;
  }

  /**
   * The meta to start from: the later one, unless its pages may be lost because the machine, or the disk alone, ended
   * before they were synced. LMDB chooses the same one with the option `safeRestore`.
   */
  #chosen(a: Meta, b: Meta): Meta {
    if (b.txn === 0) return a;
    const [earlier, latest] = a.txn >= b.txn ? [b, a] : [a, b];
    return this.#isInUse || latest.isSynced ? latest : earlier;
  }

  /** Bytes that a broker may be writing: reads them until two readings are the same. Null: they are not there. */
  #stableBytes(length: number, at: number): Uint8Array | null {
    let before: Buffer | null = null;
    for (;;) {
      const bytes = Buffer.alloc(length);
      if (readSync(this.#descriptor, bytes, 0, length, at) < length) return null;
      if (before !== null && bytes.equals(before)) return bytes;
      before = bytes;
    }
  }

  *#walk(
    tree: Tree,
    isAscending: (a: Uint8Array, b: Uint8Array) => boolean,
    first: number | null,
  ): Generator<LmdbEntry> {
    if (tree.root === NO_PAGE) return;
    let count = 0;
    let last: Uint8Array = NO_KEY;
    const path: { readonly page: Page; at: number; readonly end: number }[] = [];
    const descend = (number: number): void => {
      const isLeaf = path.length === tree.depth - 1;
      const page = this.#pageAt(number, isLeaf ? LEAF_PAGE : BRANCH_PAGE);
      if (page !== null) path.push({ page, ...nodesOf(page, first) });
    };
    descend(tree.root);
    for (let top = path.at(-1); top !== undefined; top = path.at(-1)) {
      const { page } = top;
      if (top.at === top.end) {
        path.pop();
      } else if (page.isLeaf) {
        const entry = this.#entryAt(page, page.nodes[top.at++]!);
        if (entry === null) continue;
        count++;
        // LMDB would stop here, or go on somewhere else.
        if (!isAscending(last, entry.key)) {
          this.#fault(page.number, "has keys that do not ascend");
          continue;
        }
        last = entry.key;
        yield entry;
      } else {
        descend(childOf(page.view, page.nodes[top.at++]!));
      }
    }
    // Fewer entries are a fault of their own only if no page with some of them is missing.
    const isWrong = count > tree.entries || (count < tree.entries && this.faultCount === 0);
    if (first === null && isWrong) {
      this.#fault(tree.root, `has ${count} entries below it instead of ${tree.entries}`);
    }
  }

  /** The page with this number, checked; null if it is damaged. */
  #pageAt(number: number, kind: number): Page | null {
    const { pageBytes } = this.#meta!;
    const bytes = new Uint8Array(pageBytes);
    if (!this.#take(number, 1) || !this.#read(bytes, number)) return null;
    const view = viewOf(bytes);
    if (u64(view, 0) !== number) return this.#fault(number, "has the number of another page");
    if ((view.getUint16(18, LITTLE) & (BRANCH_PAGE | LEAF_PAGE | OVERFLOW_PAGE)) !== kind) {
      return this.#fault(number, "is of another kind than its place in the tree");
    }
    const [lower, upper] = [view.getUint16(20, LITTLE), view.getUint16(22, LITTLE)];
    if (lower > upper || PAGE_HEAD_BYTES + upper > pageBytes) {
      return this.#fault(number, "has a damaged header");
    }
    const nodes = Array.from({ length: lower >>> 1 }, (_, i) => {
      return PAGE_HEAD_BYTES + view.getUint16(PAGE_HEAD_BYTES + 2 * i, LITTLE);
    });
    const txn = u64(view, 8);
    const isKept = this.#previousPages === null || hasBit(this.#previousPages, number);
    if (txn > this.#lastTxn || (txn < this.#meta!.txn && !isKept)) {
      return this.#fault(number, "is of another transaction");
    }
    const isLeaf = kind === LEAF_PAGE;
    const isSound = nodes.every((at) => {
      if (at < PAGE_HEAD_BYTES + upper || at + NODE_HEAD_BYTES > pageBytes) return false;
      const keyEnd = at + NODE_HEAD_BYTES + view.getUint16(at + 6, LITTLE);
      return keyEnd + (isLeaf ? bytesInLeaf(view, at) : 0) <= pageBytes;
    });
    if (!isSound) return this.#fault(number, "has an entry that reaches beyond the page");
    return { number, isLeaf, bytes, view, nodes };
  }

  /**
   * One bit for each branch and leaf of a transaction; null if that cannot be told. A page of the next transaction that
   * is none of these was written by it, so that an older page in its place is found by its transaction.
   */
  #pagesOf({ pageBytes, free, records }: Meta): Uint8Array | null {
    const pages = new Uint8Array(this.#used.length);
    const bytes = new Uint8Array(pageBytes);
    const view = viewOf(bytes);
    const waiting = [free, records].map(({ root, depth }) => [root, depth] as const);
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      const [number, depth] = next;
      if (number === NO_PAGE) continue;
      if (number >= this.#pageCount || hasBit(pages, number)) return null;
      pages[number >>> 3]! |= 1 << (number & 7);
      if (depth <= 1) continue;
      const length = readSync(this.#descriptor, bytes, 0, pageBytes, number * pageBytes);
      const isBranch = (view.getUint16(18, LITTLE) & BRANCH_PAGE) !== 0;
      const end = PAGE_HEAD_BYTES + view.getUint16(20, LITTLE);
      if (length < pageBytes || !isBranch || end > pageBytes) return null;
      for (let at = PAGE_HEAD_BYTES; at < end; at += 2) {
        const node = PAGE_HEAD_BYTES + view.getUint16(at, LITTLE);
        if (node + NODE_HEAD_BYTES > pageBytes) return null;
        waiting.push([childOf(view, node), depth - 1]);
      }
    }
    return pages;
  }

  #entryAt(page: Page, at: number): LmdbEntry | null {
    const { bytes, view } = page;
    const keyEnd = at + NODE_HEAD_BYTES + view.getUint16(at + 6, LITTLE);
    const key = bytes.subarray(at + NODE_HEAD_BYTES, keyEnd);
    const length = valueBytes(view, at);
    if (!isLarge(view, at)) return { key, value: bytes.subarray(keyEnd, keyEnd + length) };
    const [number, count] = [u64(view, keyEnd), u64(view, keyEnd + 16)];
    const isRoom = length + PAGE_HEAD_BYTES <= count * this.#meta!.pageBytes;
    if (!isRoom) return this.#fault(page.number, "has a value that is longer than its pages");
    if (!this.#take(number, count)) return null;
    const value = new Uint8Array(PAGE_HEAD_BYTES + length);
    if (!this.#read(value, number)) return null;
    const head = viewOf(value);
    const isValue = u64(head, 0) === number && (head.getUint16(18, LITTLE) & OVERFLOW_PAGE) !== 0;
    if (!isValue) return this.#fault(number, "is not the first page of a large value");
    return { key, value: value.subarray(PAGE_HEAD_BYTES) };
  }

  /** Marks pages as used; false if they are not in the file or used already. */
  #take(number: number, count: number): boolean {
    if (number < META_PAGES || number + count > this.#pageCount) {
      this.#fault(number, `is missing: the file has ${this.#pageCount} pages`);
      return false;
    }
    for (let page = number; page < number + count; page++) {
      if (hasBit(this.#used, page)) {
        this.#fault(page, "is in two places of the tree");
        return false;
      }
      this.#used[page >>> 3]! |= 1 << (page & 7);
    }
    return true;
  }

  #read(bytes: Uint8Array, page: number): boolean {
    const at = page * this.#meta!.pageBytes;
    if (readSync(this.#descriptor, bytes, 0, bytes.length, at) === bytes.length) return true;
    this.#fault(page, "cannot be read completely");
    return false;
  }

  #fault(page: number, what: string): null {
    this.faultCount++;
    if (this.faults.length < FAULTS_MAX) this.faults.push({ page, what });
    return null;
  }
}

/** The nodes of a page to visit: all, or those that may lead to keys that begin with the byte `first`. */
function nodesOf(page: Page, first: number | null): { readonly at: number; readonly end: number } {
  const { nodes, isLeaf, bytes, view } = page;
  if (first === null) return { at: 0, end: nodes.length };
  const firstOf = (node: number): number => {
    const keyBytes = view.getUint16(node + 6, LITTLE);
    return keyBytes === 0 ? -1 : bytes[node + NODE_HEAD_BYTES]!;
  };
  const isBehind = nodes.findIndex((node) => firstOf(node) > first);
  const end = isBehind < 0 ? nodes.length : isBehind;
  const from = nodes.findIndex((node) => firstOf(node) >= first);
  const at = from < 0 ? nodes.length : from;
  // The page below the node before may end with such keys.
  return isLeaf ? { at: Math.min(at, end), end } : { at: Math.max(0, at - 1), end };
}

interface Page {
  readonly number: number;
  readonly isLeaf: boolean;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** Positions of the nodes. */
  readonly nodes: readonly number[];
}

interface Tree {
  readonly depth: number;
  readonly entries: number;
  /** `NO_PAGE`: the tree is empty. */
  readonly root: number;
}

interface Meta {
  readonly pageBytes: number;
  readonly free: Tree;
  readonly records: Tree;
  /** The pages of the transaction were on the disk before this meta was written. */
  readonly isSynced: boolean;
  readonly txn: number;
}

function treeAt(view: DataView, at: number): Tree {
  return {
    depth: view.getUint16(at + 6, LITTLE),
    entries: u64(view, at + 32),
    root: u64(view, at + 40),
  };
}

/** Whether a key is before another: by its bytes, and the beginning of a key before the key. */
function isBefore(a: Uint8Array, b: Uint8Array): boolean {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) if (a[i] !== b[i]) return a[i]! < b[i]!;
  return a.length < b.length;
}

/** The same for the tree of free pages, whose keys are the numbers of transactions. */
function isNumberBefore(a: Uint8Array, b: Uint8Array): boolean {
  if (b.length !== 8) return false;
  return a.length === 0 || u64(viewOf(a), 0) < u64(viewOf(b), 0);
}

function hasBit(bits: Uint8Array, at: number): boolean {
  return ((bits[at >>> 3]! >>> (at & 7)) & 1) !== 0;
}

function childOf(view: DataView, at: number): number {
  const low = view.getUint16(at, LITTLE) + view.getUint16(at + 2, LITTLE) * 0x1_0000;
  return low + view.getUint16(at + 4, LITTLE) * 0x1_0000_0000;
}

function valueBytes(view: DataView, at: number): number {
  return view.getUint16(at, LITTLE) + view.getUint16(at + 2, LITTLE) * 0x1_0000;
}

function isLarge(view: DataView, at: number): boolean {
  return (view.getUint16(at + 4, LITTLE) & LARGE_VALUE) !== 0;
}

function bytesInLeaf(view: DataView, at: number): number {
  return isLarge(view, at) ? LARGE_REFERENCE_BYTES : valueBytes(view, at);
}

function u64(view: DataView, at: number): number {
  const [low, high] = LITTLE ? [at, at + 4] : [at + 4, at];
  return view.getUint32(low, LITTLE) + view.getUint32(high, LITTLE) * 0x1_0000_0000;
}

/** Whether this machine begins a number with its lowest byte. */
const LITTLE = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;
const PAGE_HEAD_BYTES = 24;
const META_BYTES = 144;
const META_PAGES = 2;
const NODE_HEAD_BYTES = 8;
const LARGE_REFERENCE_BYTES = 24;
const MAGIC = 0xbeef_c0de;
const VERSION = 2;
const PAGE_SIZES: readonly number[] = [4096, 8192, 16_384, 32_768, 65_536];
/** Flags of pages. */
const BRANCH_PAGE = 0x01;
const LEAF_PAGE = 0x02;
const OVERFLOW_PAGE = 0x04;
const META_PAGE = 0x08;
/** A flag of nodes: the value is on pages of its own. */
const LARGE_VALUE = 0x01;
/** A flag of metas: the pages of the transaction were perhaps not on the disk when the meta was written. */
const UNSYNCED = 0x1000;
const NO_KEY = new Uint8Array(0);
/** All bits of a page number are set. */
const NO_PAGE = 2 ** 64;
/** More faults are counted, and not kept. */
const FAULTS_MAX = 20;
