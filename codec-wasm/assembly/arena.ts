/**
 * Memory in blocks: a pointer that moves up, and a free list for each block size.
 *
 * Blocks up to 512 bytes are multiples of 8, longer ones powers of two. A released block goes to
 * the list of its size. A new block comes from that list or is cut from a longer free block. Memory
 * grows in steps up to a limit. At the limit, or when most of the memory is idle, adjacent free
 * blocks are joined (`sweep`), so that memory released in one size can be allocated in another. If
 * that does not suffice, `allocate` returns 0, and its callers report the failure. A part of the
 * limit is reserved, so that filters cannot use up the memory that topic names need.
 */

/** The first block, the first byte that was never allocated, and the end of the memory. */
let base: usize = 0;
let top: usize = 0;
let end: usize = 0;
let limit: usize = 0;
let reserved: usize = 0;
/** Bytes in blocks in use, and bytes released since the last sweep. */
let used: usize = 0;
let released: usize = 0;
/**
 * Pointers to the first free block of each class; a free block begins with a pointer to the next.
 */
let lists: usize = 0;
/** A bit for each class, set while it has a free block. */
let presentLow: u64 = 0;
let presentHigh: u64 = 0;
/**
 * For a sweep: the free blocks of each megabyte, and a bitmap of their starts in one megabyte, a
 * bit for 8 bytes.
 */
let heads: usize = 0;
let map: usize = 0;

/**
 * Manages the memory from `from` on, up to `bytesMax` in all, of which `reservedBytes` are for
 * `allocateReserved`. Returns false if there is no initial memory.
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

/** A block of at least `bytes` (more than 0), aligned to 8; 0 if memory is exhausted. */
export function allocate(bytes: usize): usize {
  const size = sizeOf(bytes);
  const list = classOf(bytes);
  while (true) {
    let block = takeFree(list);
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

/** Like `allocate`, from the reserved memory. */
export function allocateReserved(bytes: usize): usize {
  const before = reserved;
  reserved -= min(reserved, sizeOf(bytes));
  const block = allocate(bytes);
  if (block === 0) reserved = before;
  return block;
}

/** Releases a block that was allocated with the same `bytes`. */
export function release(block: usize, bytes: usize): void {
  const size = sizeOf(bytes);
  addFree(classOf(bytes), block);
  used -= size;
  released += size;
}

export function usedBytes(): usize {
  return used;
}

/**
 * Grows the memory, or sweeps if that pays: a sweep requires that a share of the memory was
 * released since the last one, so that a peer cannot cause one with each packet.
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

/** Grows by an eighth, so that growing is rare and wastes little. */
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

/** A block of `size` from the front of a longer free block, or 0. */
function cut(size: usize): usize {
  const list = firstFreeClass(classOf(size + CUT_REST_MIN));
  if (list === 0) return 0;
  const block = takeFree(list);
  scatter(block + size, sizeOfClass(list) - size);
  return block;
}

/** Joins adjacent free blocks. Linear time: megabyte by megabyte, in the order of a bitmap. */
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

/** Adds a range of free bytes to the lists, in as few blocks as the sizes allow. */
function scatter(at: usize, bytes: usize): void {
  while (bytes > 0) {
    const size: usize =
      bytes <= SMALL_MAX ? bytes : (<usize>1) << (<usize>(31 - clz<u32>(<u32>bytes)));
    addFree(classOf(size), at);
    at += size;
    bytes -= size;
  }
}

/** Puts a block into the list of a class. */
function addFree(list: usize, block: usize): void {
  const head = lists + (list << 2);
  store<u32>(block, load<u32>(head));
  store<u32>(head, <u32>block);
  if (list < 64) presentLow |= (<u64>1) << (<u64>list);
  else presentHigh |= (<u64>1) << (<u64>(list - 64));
}

/** Takes the first free block of a class; 0 if there is none. */
function takeFree(list: usize): usize {
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

/** The lowest class from `list` on with a free block, or 0. */
function firstFreeClass(list: usize): usize {
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
/** The shortest rest of a cut block that is still useful. */
const CUT_REST_MIN: usize = 24;
const SEGMENT_BITS: usize = 20;
const SEGMENT_MASK: usize = 0xf_ffff;
const MAP_BYTES: usize = 16_384;
