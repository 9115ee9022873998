/** The exports of the module: the ingest pass and the topic index over one memory. */
import { allocate, initArena } from "./arena";
import { initIngest } from "./ingest";
import * as names from "./names";
import * as topics from "./topics";

/** Where the host writes bytes to scan, intern, add or remove. */
let input: usize = 0;
let table: usize = 0;

/**
 * Takes memory up to `bytesMax`, of which `reservedBytes` are for topic names. Returns false if
 * there is not enough to start. To be called once, before all else.
 */
export function initMemory(bytesMax: u32, reservedBytes: u32, inputBytes: u32, rowsMax: u32): bool {
  if (!initArena(__heap_base, bytesMax, reservedBytes)) return false;
  input = allocate(inputBytes);
  table = allocate((<usize>rowsMax) << 4);
  initIngest(input, table);
  return input !== 0 && table !== 0;
}

/** Creates the tables; false if memory is exhausted. To be called once, after `initMemory`. */
export function initTables(
  seed: u32,
  topicBytesMax: u32,
  topicLevelsMax: u32,
  topicTableBytesMax: u32,
): bool {
  if (!names.initNames(seed, topicBytesMax, topicLevelsMax, topicTableBytesMax)) return false;
  return topics.initTopics(seed, topicLevelsMax);
}

export function inputPointer(): usize {
  return input;
}
export function tablePointer(): usize {
  return table;
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

export { usedBytes } from "./arena";
export { scan } from "./ingest";
export { nameLength, namePointer, statePointer } from "./names";
export { matchMore, outPointer, topicsSize } from "./topics";
