/**
 * The interning table: topic names to topic ids, numbered in the order of interning.
 *
 * A slot is a hash and a pointer, in open addressing, at most half full. An entry is [id u32, bytes
 * u32, the name]. Entries are stored one after the other in chunks, [next chunk, entries …]. The
 * table is bounded. When it is full it is emptied: the epoch changes, all ids become invalid, and
 * the chunks are filled again. There is always one chunk, so every name finds room.
 */
import { FAULT_TOPIC_NAME } from "../../core/codec/layout";
import { allocateReserved, release } from "./arena";
import { hashBytes, isSame, nameFault } from "./text";

/** State that the host reads without a call: [epoch, slots, slot mask]. */
let state: usize = 0;
let slots: usize = 0;
let slotMask: u32 = 0;
/** A pointer to the entry of each id. */
let entries: usize = 0;
let entriesMax: u32 = 0;
let firstChunk: usize = 0;
let chunk: usize = 0;
/** The position of the next entry in `chunk`. */
let chunkTop: usize = 0;
let lastId: u32 = 0;
let nameBytes: u32 = 0;
let epoch: u32 = 0;
let seed: u32 = 0;
let nameBytesMax: u32 = 0;
let levelsMax: u32 = 0;
let tableBytesMax: u32 = 0;

/** False: memory is exhausted. */
export function initNames(hashSeed: u32, bytesMax: u32, topicLevelsMax: u32, tableMax: u32): bool {
  seed = hashSeed;
  nameBytesMax = bytesMax;
  levelsMax = topicLevelsMax;
  tableBytesMax = tableMax;
  slotMask = SLOTS_MIN - 1;
  state = allocateReserved(16);
  slots = allocateReserved(SLOTS_MIN * 8);
  entriesMax = SLOTS_MIN / 2;
  entries = allocateReserved(entriesMax * 4);
  firstChunk = newChunk();
  if (state === 0 || slots === 0 || entries === 0 || firstChunk === 0) return false;
  memory.fill(slots, 0, SLOTS_MIN * 8);
  useChunk(firstChunk);
  storeState();
  return true;
}

export function statePointer(): usize {
  return state;
}
function storeState(): void {
  store<u32>(state, epoch);
  store<u32>(state, <u32>slots, 4);
  store<u32>(state, slotMask, 8);
}
export function namePointer(id: u32): usize {
  return <usize>load<u32>(entries + ((<usize>id) << 2)) + 8;
}
export function nameLength(id: u32): u32 {
  return load<u32>(namePointer(id) - 4);
}

/**
 * The id of a name, interned if it is new; minus a reason code if it is not a topic name; 0 if the
 * table is full and `mayEmpty` is false.
 */
export function find(at: usize, bytes: u32, mayEmpty: bool): i32 {
  const hash = hashBytes(at, bytes, seed);
  let i = hash & slotMask;
  while (true) {
    const slot = slots + ((<usize>i) << 3);
    const entry: usize = load<u32>(slot, 4);
    if (entry === 0) break;
    if (load<u32>(slot) === hash && load<u32>(entry, 4) === bytes && isSame(entry + 8, at, bytes)) {
      return <i32>load<u32>(entry);
    }
    i = (i + 1) & slotMask;
  }
  return add(at, bytes, hash, mayEmpty);
}

function add(at: usize, bytes: u32, hash: u32, mayEmpty: bool): i32 {
  if (bytes > nameBytesMax) return -FAULT_TOPIC_NAME;
  const fault = nameFault(at, bytes, levelsMax);
  if (fault !== 0) return -fault;
  const needed = <u64>(lastId + 1) * ENTRY_BYTES + <u64>(nameBytes + bytes) * NAME_BYTES;
  if (needed > <u64>tableBytesMax && lastId > 0) {
    if (!mayEmpty) return 0;
    empty();
  }
  if (!makeRoom() || !makeRoomFor(bytes)) {
    // There is no memory for more names: empty the table.
    if (!mayEmpty) return 0;
    empty();
  }
  const entry = chunkTop;
  chunkTop += (8 + <usize>bytes + 7) & ~7;
  const id = ++lastId;
  store<u32>(entry, id);
  store<u32>(entry, bytes, 4);
  memory.copy(entry + 8, at, bytes);
  store<u32>(entries + ((<usize>id) << 2), <u32>entry);
  place(hash, entry);
  nameBytes += bytes;
  return <i32>id;
}

/** Invalidates all ids. */
function empty(): void {
  memory.fill(slots, 0, (<usize>slotMask + 1) << 3);
  useChunk(firstChunk);
  lastId = 0;
  nameBytes = 0;
  epoch++;
  storeState();
}

/** Makes room for an entry; false if there is no memory for another chunk. */
function makeRoomFor(bytes: u32): bool {
  if (chunkTop + 8 + bytes <= chunk + CHUNK_BYTES) return true;
  let next: usize = load<u32>(chunk);
  if (next === 0) {
    next = newChunk();
    if (next === 0) return false;
    store<u32>(chunk, <u32>next);
  }
  useChunk(next);
  return true;
}

function newChunk(): usize {
  const made = allocateReserved(CHUNK_BYTES);
  if (made !== 0) store<u32>(made, 0);
  return made;
}

function useChunk(next: usize): void {
  chunk = next;
  chunkTop = next + 8;
}

/** Makes room for one more id; false if there is no memory for a larger table. */
function makeRoom(): bool {
  if (lastId + 1 < entriesMax) return true;
  const larger = allocateReserved((<usize>entriesMax) << 3);
  if (larger === 0) return false;
  const slotCount: usize = (<usize>slotMask + 1) << 1;
  const largerSlots = allocateReserved(slotCount << 3);
  if (largerSlots === 0) {
    release(larger, (<usize>entriesMax) << 3);
    return false;
  }
  memory.copy(larger, entries, (<usize>entriesMax) << 2);
  release(entries, (<usize>entriesMax) << 2);
  entries = larger;
  entriesMax <<= 1;
  const old = slots;
  const oldBytes: usize = (<usize>slotMask + 1) << 3;
  slots = largerSlots;
  slotMask = <u32>slotCount - 1;
  memory.fill(slots, 0, slotCount << 3);
  for (let slot = old; slot < old + oldBytes; slot += 8) {
    const entry: usize = load<u32>(slot, 4);
    if (entry !== 0) place(load<u32>(slot), entry);
  }
  release(old, oldBytes);
  storeState();
  return true;
}

function place(hash: u32, entry: usize): void {
  let i = hash & slotMask;
  while (load<u32>(slots + ((<usize>i) << 3), 4) !== 0) i = (i + 1) & slotMask;
  const slot = slots + ((<usize>i) << 3);
  store<u32>(slot, hash);
  store<u32>(slot, <u32>entry, 4);
}

const SLOTS_MIN: u32 = 1024;
/** The longest name fits, wherever in the chunk it begins. */
const CHUNK_BYTES: usize = 131_072;
/**
 * Cost of a name apart from its bytes: its entry and slot here, its text and its route elsewhere.
 */
const ENTRY_BYTES: u64 = 192;
/** Cost of each byte of a name: once here, once in its text. */
const NAME_BYTES: u64 = 2;
