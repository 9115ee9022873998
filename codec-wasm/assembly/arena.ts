/**
 * Memory in blocks: a pointer that moves up, and a list of free blocks for each size.
 *
 * Blocks up to 512 bytes are multiples of 8, longer ones powers of two. What is freed goes to the list
 * of its size and is given from there first. Memory grows in steps up to a limit; beyond it `allocate`
 * returns 0, and whoever asked says so to its caller. A part of the limit is reserved, so that filters
 * never take what topic names need.
 */

/** The first byte that was never given, and the end of what there is. */
let top: usize = 0;
let end: usize = 0;
let limit: usize = 0;
let reserved: usize = 0;
/** Bytes in blocks that are in use. */
let used: usize = 0;
/** Pointers to the first free block of each class; a free block begins with a pointer to the next. */
let lists: usize = 0;

/**
 * Takes memory from `base` on, up to `bytesMax` in all, `reservedBytes` of them for `allocateReserved`;
 * false where there is none to begin with.
 */
export function initArena(base: usize, bytesMax: usize, reservedBytes: usize): bool {
  reserved = reservedBytes;
  lists = (base + 7) & ~7;
  top = lists + CLASSES * 4;
  limit = bytesMax;
  end = (<usize>memory.size()) << 16;
  if (end < top && !grow(top - end)) return false;
  memory.fill(lists, 0, CLASSES * 4);
  return true;
}

/** A block of at least `bytes`, at a multiple of 8; 0 where there is no memory. */
export function allocate(bytes: usize): usize {
  const list = lists + (classOf(bytes) << 2);
  const block: usize = load<u32>(list);
  const size = sizeOf(bytes);
  if (block !== 0) {
    store<u32>(list, load<u32>(block));
    used += size;
    return block;
  }
  if (size > end - top && !grow(size - (end - top))) return 0;
  const fresh = top;
  top += size;
  used += size;
  return fresh;
}

/** The same, from what is reserved. */
export function allocateReserved(bytes: usize): usize {
  const size = sizeOf(bytes);
  reserved -= min(reserved, size);
  return allocate(bytes);
}

/** Gives back a block that was asked for with the same `bytes`. */
export function release(block: usize, bytes: usize): void {
  const list = lists + (classOf(bytes) << 2);
  store<u32>(block, load<u32>(list));
  store<u32>(list, <u32>block);
  used -= sizeOf(bytes);
}

export function usedBytes(): usize {
  return used;
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

function classOf(bytes: usize): usize {
  if (bytes <= SMALL_MAX) return (bytes + 7) >> 3;
  return SMALL_CLASSES + <usize>(32 - clz<u32>(<u32>bytes - 1));
}

function sizeOf(bytes: usize): usize {
  if (bytes <= SMALL_MAX) return (bytes + 7) & ~7;
  return (<usize>1) << (<usize>(32 - clz<u32>(<u32>bytes - 1)));
}

const SMALL_MAX: usize = 512;
const SMALL_CLASSES: usize = 65;
const CLASSES: usize = SMALL_CLASSES + 33;
