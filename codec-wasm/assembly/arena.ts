/**
 * Memory in blocks: a pointer that moves up, and a list of free blocks for each size.
 *
 * Blocks up to 512 bytes are multiples of 8, longer ones powers of two. What is freed goes to the list of
 * its size and is given from there first, then cut from a longer free block. Memory grows in steps up to a
 * limit; there, or where most of it is idle, neighbours that are free are joined (`sweep`), so that what
 * was given back in one size can be had in another. Beyond that `allocate` returns 0, and whoever asked
 * says so to its caller. A part of the limit is reserved, so that filters never take what topic names need.
 */

/** The first block, the first byte that was never given, and the end of what there is. */
let base: usize = 0;
let top: usize = 0;
let end: usize = 0;
let limit: usize = 0;
let reserved: usize = 0;
/** Bytes in blocks that are in use, and that were given back since the last sweep. */
let used: usize = 0;
let released: usize = 0;
/** Pointers to the first free block of each class; a free block begins with a pointer to the next. */
let lists: usize = 0;
/** A bit for each class that has a free block. */
let presentLow: u64 = 0;
let presentHigh: u64 = 0;
/** For a sweep: the free blocks of each megabyte, and where in one of them they begin, a bit for 8 bytes. */
let heads: usize = 0;
let map: usize = 0;

/**
 * Takes memory from `from` on, up to `bytesMax` in all, `reservedBytes` of them for `allocateReserved`;
 * false where there is none to begin with.
 */
export function initArena(from: usize, bytesMax: usize, reservedBytes: usize): bool {
  reserved = reservedBytes;
  lists = (from + 7) & ~7;
  heads = lists + CLASSES * 4;
  map = heads + ((((bytesMax >> SEGMENT_BITS) + 2) & ~1) << 2);
  base = map + MAP_BYTES;
  top = base;
  limit = bytesMax;
  end = (<usize>memory.size()) << 16;
  if (end < top && !grow(top - end)) return false;
  memory.fill(lists, 0, CLASSES * 4);
  return true;
}

/** A block of at least `bytes`, more than none, at a multiple of 8; 0 where there is no memory. */
export function allocate(bytes: usize): usize {
  const size = sizeOf(bytes);
  const own = classOf(bytes);
  while (true) {
    let block = taken(own);
    if (block === 0) block = cut(size);
    if (block === 0 && size <= end - top) {
      block = top;
      top += size;
    }
    if (block !== 0) {
      used += size;
      return block;
    }
    if (!makeRoom(size)) return 0;
  }
}

/** The same, from what is reserved. */
export function allocateReserved(bytes: usize): usize {
  const before = reserved;
  reserved -= min(reserved, sizeOf(bytes));
  const block = allocate(bytes);
  if (block === 0) reserved = before;
  return block;
}

/** Gives back a block that was asked for with the same `bytes`. */
export function release(block: usize, bytes: usize): void {
  const size = sizeOf(bytes);
  give(classOf(bytes), block);
  used -= size;
  released += size;
}

export function usedBytes(): usize {
  return used;
}

/**
 * Grows, or sweeps where that is worth its time: as much as a share of all memory has to have been given
 * back since the last one, so that nobody can ask for one with each packet.
 */
function makeRoom(size: usize): bool {
  if (top - base - used > end >> 1 && released > end >> 2) {
    sweep();
    return true;
  }
  if (grow(size - (end - top))) return true;
  if (released < end >> 4) return false;
  sweep();
  return true;
}

/** An eighth more than there is, so that growing is rare and what is wasted is little. */
function grow(missing: usize): bool {
  const have: usize = (<usize>memory.size()) << 16;
  let bytes: usize = (missing + 0xffff) & ~0xffff;
  const step: usize = ((have >> 3) + 0xffff) & ~0xffff;
  const bytesMax = <u64>limit - <u64>reserved;
  if (step > bytes && <u64>have + <u64>step <= bytesMax) bytes = step;
  if (<u64>have + <u64>bytes > bytesMax) return false;
  if (memory.grow(<i32>(bytes >> 16)) < 0) return false;
  end = have + bytes;
  return true;
}

/** A block of `size` from the front of a longer free one, or 0. */
function cut(size: usize): usize {
  const list = present(classOf(size + CUT_REST_MIN));
  if (list === 0) return 0;
  const block = taken(list);
  scatter(block + size, sizeOfClass(list) - size);
  return block;
}

/** Joins free blocks that lie side by side. Linear: by megabyte, then in the order of a bitmap. */
function sweep(): void {
  const segments = (end >> SEGMENT_BITS) + 1;
  memory.fill(heads, 0, segments << 2);
  for (let list: usize = 1; list < CLASSES; list++) {
    const size = <u32>sizeOfClass(list);
    for (let block: usize = load<u32>(lists + (list << 2)); block !== 0; ) {
      const next: usize = load<u32>(block);
      const head = heads + ((block >> SEGMENT_BITS) << 2);
      store<u32>(block, load<u32>(head));
      store<u32>(block, size, 4);
      store<u32>(head, <u32>block);
      block = next;
    }
  }
  memory.fill(lists, 0, CLASSES * 4);
  presentLow = presentHigh = 0;
  released = 0;
  let from: usize = 0;
  let to: usize = 0;
  for (let segment: usize = 0; segment < segments; segment++) {
    let block: usize = load<u32>(heads + (segment << 2));
    if (block === 0) continue;
    memory.fill(map, 0, MAP_BYTES);
    for (; block !== 0; block = load<u32>(block)) {
      const bit = (block & SEGMENT_MASK) >> 3;
      const word = map + ((bit >> 6) << 3);
      store<u64>(word, load<u64>(word) | ((<u64>1) << (<u64>bit & 63)));
    }
    for (let at: usize = 0; at < MAP_BYTES; at += 8) {
      for (let bits = load<u64>(map + at); bits !== 0; bits &= bits - 1) {
        const free = (segment << SEGMENT_BITS) + (((at << 3) + <usize>ctz(bits)) << 3);
        if (free !== to) {
          scatter(from, to - from);
          from = free;
        }
        to = free + load<u32>(free, 4);
      }
    }
  }
  if (to === top) top = from;
  else scatter(from, to - from);
}

/** Gives a run of free bytes to the lists, in as few blocks as there are sizes for. */
function scatter(at: usize, bytes: usize): void {
  while (bytes > 0) {
    const size: usize =
      bytes <= SMALL_MAX ? bytes : (<usize>1) << (<usize>(31 - clz<u32>(<u32>bytes)));
    give(classOf(size), at);
    at += size;
    bytes -= size;
  }
}

function give(list: usize, block: usize): void {
  const head = lists + (list << 2);
  store<u32>(block, load<u32>(head));
  store<u32>(head, <u32>block);
  if (list < 64) presentLow |= (<u64>1) << (<u64>list);
  else presentHigh |= (<u64>1) << (<u64>(list - 64));
}

/** The first free block of a class, or 0. */
function taken(list: usize): usize {
  const head = lists + (list << 2);
  const block: usize = load<u32>(head);
  if (block === 0) return 0;
  const next = load<u32>(block);
  store<u32>(head, next);
  if (next === 0) {
    if (list < 64) presentLow &= ~((<u64>1) << (<u64>list));
    else presentHigh &= ~((<u64>1) << (<u64>(list - 64)));
  }
  return block;
}

/** The lowest class from `list` on that has a free block, or 0. */
function present(list: usize): usize {
  if (list < 64) {
    const low = presentLow & (~(<u64>0) << (<u64>list));
    if (low !== 0) return <usize>ctz(low);
    list = 64;
  }
  const high = presentHigh & (~(<u64>0) << (<u64>(list - 64)));
  return high === 0 ? 0 : 64 + <usize>ctz(high);
}

function classOf(bytes: usize): usize {
  if (bytes <= SMALL_MAX) return (bytes + 7) >> 3;
  return SMALL_CLASSES + <usize>(32 - clz<u32>(<u32>bytes - 1));
}

function sizeOf(bytes: usize): usize {
  if (bytes <= SMALL_MAX) return (bytes + 7) & ~7;
  return (<usize>1) << (<usize>(32 - clz<u32>(<u32>bytes - 1)));
}

function sizeOfClass(list: usize): usize {
  return list < SMALL_CLASSES ? list << 3 : (<usize>1) << (list - SMALL_CLASSES);
}

const SMALL_MAX: usize = 512;
const SMALL_CLASSES: usize = 65;
const CLASSES: usize = SMALL_CLASSES + 33;
/** What is left of a block that is cut is of use to somebody. */
const CUT_REST_MIN: usize = 24;
const SEGMENT_BITS: usize = 20;
const SEGMENT_MASK: usize = 0xf_ffff;
const MAP_BYTES: usize = 16_384;
