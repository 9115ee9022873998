/** The exports of the module: the ingest pass and the topic index over one memory. */
import { allocate, initArena, usedBytes as used } from "./arena";
import { scanWindow } from "./ingest";
import * as names from "./names";
import * as topics from "./topics";

/** Where the host writes bytes to scan, intern, add or remove. */
let input: usize = 0;
let table: usize = 0;

/**
 * Takes memory up to `bytesMax`; false if there is not enough to start. To be called once, before
 * all else.
 */
export function init(
  seed: u32,
  bytesMax: u32,
  inputMax: u32,
  rowsMax: u32,
  topicBytesMax: u32,
  topicLevelsMax: u32,
  topicTableBytesMax: u32,
): bool {
  if (!initArena(__heap_base, bytesMax, min(topicTableBytesMax, bytesMax >> 1))) return false;
  input = allocate(inputMax);
  table = allocate((<usize>rowsMax) << 4);
  if (input === 0 || table === 0) return false;
  if (!names.initNames(seed, topicBytesMax, topicLevelsMax, topicTableBytesMax)) return false;
  return topics.initTopics(seed, topicLevelsMax);
}

export function inputPointer(): usize {
  return input;
}
export function tablePointer(): usize {
  return table;
}
export function usedBytes(): usize {
  return used();
}

export function scan(window: u32, available: u32, rowsMax: u32, frameMax: u32, offset: u32): i32 {
  return scanWindow(input, table, window, available, rowsMax, frameMax, offset);
}
export function intern(bytes: u32, mayEmpty: bool): i32 {
  return names.find(input, bytes, mayEmpty);
}
export function add(bytes: u32, subscriber: u32, options: u32): i32 {
  return topics.addFilter(input, bytes, subscriber, options);
}
export function remove(bytes: u32, subscriber: u32): bool {
  return topics.removeFilter(input, bytes, subscriber);
}
export function match(topic: u32): u32 {
  return topics.matchTopic(topic);
}

export { nameLength, namePointer, statePointer } from "./names";
export { matchMore, outPointer, topicsSize } from "./topics";
