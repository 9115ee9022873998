/**
 * The topic index: a trie of filter levels in linear memory.
 *
 * ```
 * node  [parent, hash, chain, rows, `#` rows, `+` child, children, u16 bytes of label, u16 skip, … label]
 * row   [list, subscriber, options, next, previous, chain]
 * ```
 *
 * A hash of the parent and the first level of the label finds a child. A label is one level, except
 * that the label of a leaf may be the whole rest of its filter (a *tail*). So the end of a filter
 * that no other filter shares takes only one node. A tail is split when another filter begins like
 * it.
 *
 * Subscribers are rows in lists. A node has two list heads: for the filter that ends there, and for
 * that filter with `#` below. A hash finds a row too, so that a change costs the same however many
 * subscribers a filter has.
 */
import { ADDED_NEW, ADDED_NO_MEMORY, ADDED_REPLACED, MATCH_MORE } from "../../core/codec/layout";
import { allocate, release } from "./arena";
import { nameLength, namePointer } from "./names";
import { DOLLAR, HASH, hashBytes, isSame, PLUS, SLASH } from "./text";

let root: usize = 0;
let seed: u32 = 0;
let nodes: u32 = 0;
let nodeBuckets: usize = 0;
let nodeMask: u32 = 0;
let rows: u32 = 0;
let rowBuckets: usize = 0;
let rowMask: u32 = 0;
/** Nodes that `match` has yet to visit, (node, depth); the topic's levels, (start, bytes, hash). */
let stackBase: usize = 0;
let levels: usize = 0;
/** The rows that `match` writes, one page at a time. */
let out: usize = 0;
let outAt: usize = 0;
let outEnd: usize = 0;
/** Position of a match: the top of the nodes to visit, the end and the levels of the topic name. */
let visits: usize = 0;
let nameEnd: usize = 0;
let depthMax: u32 = 0;
let wildcardDepthMin: u32 = 0;

/** False: memory is exhausted. */
export function initTopics(hashSeed: u32, levelsMax: u32): bool {
  seed = hashSeed;
  // A visit leaves at most one node of each depth waiting, and pushes two nodes and two lists of
  // rows.
  stackBase = allocate((<usize>levelsMax + 2) << 4);
  levels = allocate(<usize>levelsMax * LEVEL_BYTES);
  nodeMask = BUCKETS_MIN - 1;
  nodeBuckets = zeroed(BUCKETS_MIN * 4);
  rowMask = BUCKETS_MIN - 1;
  rowBuckets = zeroed(BUCKETS_MIN * 4);
  root = zeroed(NODE_BYTES);
  out = allocate(OUT_BYTES);
  outEnd = out + OUT_BYTES;
  if (nodeBuckets === 0 || rowBuckets === 0 || root === 0) return false;
  return stackBase !== 0 && levels !== 0 && out !== 0;
}

export function topicsSize(): u32 {
  return rows;
}
export function outPointer(): usize {
  return out;
}

/** Adds the subscription of `subscriber` to the filter `[at, at + bytes)`, or sets its options. */
export function addFilter(at: usize, bytes: u32, subscriber: u32, options: u32): i32 {
  const end = at + bytes;
  let node = root;
  let list = NODE_FIRST_ROW;
  for (let start = at; start <= end; ) {
    const stop = levelEnd(start, end);
    const only: u8 = stop - start === 1 ? load<u8>(start) : 0;
    if (only === HASH) {
      list = NODE_REST_ROWS;
      break;
    }
    const next = only === PLUS ? wildcardChild(node) : literalChild(node, start, stop, end);
    if (next === 0) {
      prune(node);
      return ADDED_NO_MEMORY;
    }
    // A tail is the last node of its filter, however many levels it has.
    const isTail = load<u16>(next, NODE_LABEL_BYTES) > <u32>(stop - start);
    node = next;
    start = isTail ? end + 1 : stop + 1;
  }
  const known = findRow(node + list, subscriber);
  if (known !== 0) {
    store<u32>(known, options, ROW_OPTIONS);
    return ADDED_REPLACED;
  }
  if (rows > rowMask) growRows();
  const row = allocate(ROW_BYTES);
  if (row === 0) {
    prune(node);
    return ADDED_NO_MEMORY;
  }
  const first: usize = load<u32>(node + list);
  store<u32>(row, <u32>(node + list));
  store<u32>(row, subscriber, ROW_SUBSCRIBER);
  store<u32>(row, options, ROW_OPTIONS);
  store<u32>(row, <u32>first, ROW_NEXT);
  store<u32>(row, 0, ROW_PREVIOUS);
  if (first !== 0) store<u32>(first, <u32>row, ROW_PREVIOUS);
  store<u32>(node + list, <u32>row);
  push(rowBucket(node + list, subscriber), row, ROW_CHAIN);
  rows++;
  return ADDED_NEW;
}

/** False: there was no such subscription. */
export function removeFilter(at: usize, bytes: u32, subscriber: u32): bool {
  const end = at + bytes;
  let node = root;
  let list = NODE_FIRST_ROW;
  for (let start = at; start <= end && node !== 0; ) {
    const stop = levelEnd(start, end);
    const only: u8 = stop - start === 1 ? load<u8>(start) : 0;
    if (only === HASH) {
      list = NODE_REST_ROWS;
      break;
    }
    if (only === PLUS) {
      node = load<u32>(node, NODE_ANY);
    } else {
      const level = <u32>(stop - start);
      node = findChild(node, start, level, hashBytes(start, level, seed));
      if (node !== 0 && load<u16>(node, NODE_LABEL_BYTES) > level) {
        if (!isLabel(node, start, <u32>(end - start))) node = 0;
        break;
      }
    }
    start = stop + 1;
  }
  const row: usize = node === 0 ? 0 : findRow(node + list, subscriber);
  if (row === 0) return false;
  const next: usize = load<u32>(row, ROW_NEXT);
  const previous: usize = load<u32>(row, ROW_PREVIOUS);
  if (next !== 0) store<u32>(next, <u32>previous, ROW_PREVIOUS);
  if (previous !== 0) store<u32>(previous, <u32>next, ROW_NEXT);
  else store<u32>(node + list, <u32>next);
  unchain(rowBucket(node + list, subscriber), row, ROW_CHAIN);
  release(row, ROW_BYTES);
  rows--;
  prune(node);
  return true;
}

/**
 * Writes a row of (subscriber, options) for each subscription that the interned topic matches, as
 * many as fit in a page. Returns their number, with `MATCH_MORE` if `matchMore` has more rows.
 */
export function matchTopic(topic: u32): u32 {
  const name = namePointer(topic);
  nameEnd = name + nameLength(topic);
  depthMax = 0;
  for (let start = name; start <= nameEnd; depthMax++) {
    const stop = levelEnd(start, nameEnd);
    const level = levels + <usize>depthMax * LEVEL_BYTES;
    store<u32>(level, <u32>start);
    store<u32>(level, <u32>(stop - start), 4);
    store<u32>(level, hashBytes(start, <u32>(stop - start), seed), 8);
    start = stop + 1;
  }
  // A leading wildcard does not match a topic that begins with `$`.
  wildcardDepthMin = load<u8>(name) === DOLLAR ? 1 : 0;
  visits = stackBase;
  visitLater(root, 0);
  return matchMore();
}

/** The next page of the match; subscriptions must not have changed since it began. */
export function matchMore(): u32 {
  outAt = out;
  while (visits > stackBase && outAt < outEnd) {
    visits -= 8;
    const node: usize = load<u32>(visits);
    const depth: u32 = load<u32>(visits, 4);
    if (depth === ROWS) {
      emit(node);
      continue;
    }
    const mayWildcard = depth >= wildcardDepthMin;
    // `#` matches its parent level and everything below it.
    if (mayWildcard) emit(load<u32>(node, NODE_REST_ROWS));
    if (depth === depthMax) {
      emit(load<u32>(node, NODE_FIRST_ROW));
      continue;
    }
    const any: usize = load<u32>(node, NODE_ANY);
    if (any !== 0 && mayWildcard) visitLater(any, depth + 1);
    const level = levels + <usize>depth * LEVEL_BYTES;
    const start: usize = load<u32>(level);
    const bytes = load<u32>(level, 4);
    const same = findChild(node, start, bytes, load<u32>(level, 8));
    if (same === 0) continue;
    if (load<u16>(same, NODE_LABEL_BYTES) === bytes) visitLater(same, depth + 1);
    else if (isLabel(same, start, <u32>(nameEnd - start))) emit(load<u32>(same, NODE_FIRST_ROW));
  }
  const count = <u32>((outAt - out) >> 3);
  return visits > stackBase ? count | MATCH_MORE : count;
}

function visitLater(node: usize, depth: u32): void {
  store<u32>(visits, <u32>node);
  store<u32>(visits, depth, 4);
  visits += 8;
}

/** Writes a list of rows. Rows that do not fit are left for the next page. */
function emit(first: usize): void {
  let row = first;
  for (; row !== 0 && outAt < outEnd; row = load<u32>(row, ROW_NEXT)) {
    store<u32>(outAt, load<u32>(row, ROW_SUBSCRIBER));
    store<u32>(outAt, load<u32>(row, ROW_OPTIONS), 4);
    outAt += 8;
  }
  if (row !== 0) visitLater(row, ROWS);
}

function levelEnd(start: usize, end: usize): usize {
  let at = start;
  while (at < end && load<u8>(at) !== SLASH) at++;
  return at;
}

/** The `+` child of a node, created if it is missing; 0 if memory is exhausted. */
function wildcardChild(parent: usize): usize {
  const known: usize = load<u32>(parent, NODE_ANY);
  if (known !== 0) return known;
  const node = newNode(parent, 0);
  if (node !== 0) store<u32>(parent, <u32>node, NODE_ANY);
  return node;
}

/**
 * The child of a node for the level `[start, stop)` of a filter that ends at `end`, created if it
 * is missing; 0 if memory is exhausted. A new child is a tail if only literal levels follow.
 */
function literalChild(parent: usize, start: usize, stop: usize, end: usize): usize {
  const level = <u32>(stop - start);
  const hash = hashBytes(start, level, seed);
  const known = findChild(parent, start, level, hash);
  if (known === 0) return addChild(parent, start, hasWildcard(stop, end) ? stop : end, hash);
  if (load<u16>(known, NODE_LABEL_BYTES) === level) return known;
  return isLabel(known, start, <u32>(end - start)) ? known : split(known, level, hash);
}

/** The child whose label is the level or begins with it; 0 if there is none. */
function findChild(parent: usize, at: usize, bytes: u32, hash: u32): usize {
  let node: usize = load<u32>(nodeBucket(parent, hash));
  for (; node !== 0; node = load<u32>(node, NODE_CHAIN)) {
    if (load<u32>(node, NODE_HASH) !== hash || load<u32>(node) !== <u32>parent) continue;
    const label: u32 = load<u16>(node, NODE_LABEL_BYTES);
    const text = labelOf(node);
    if (label !== bytes && (label < bytes || load<u8>(text + bytes) !== SLASH)) continue;
    if (isSame(text, at, bytes)) return node;
  }
  return 0;
}

function isLabel(node: usize, at: usize, bytes: u32): bool {
  return load<u16>(node, NODE_LABEL_BYTES) === bytes && isSame(labelOf(node), at, bytes);
}

function labelOf(node: usize): usize {
  return node + NODE_BYTES + load<u16>(node, NODE_LABEL_SKIP);
}

/** Whether the rest of a valid filter contains a wildcard. */
function hasWildcard(at: usize, end: usize): bool {
  for (; at < end; at++) {
    const byte = load<u8>(at);
    if (byte === PLUS || byte === HASH) return true;
  }
  return false;
}

/** Adds a child with the label `[at, end)`, whose first level has `hash`; 0 without memory. */
function addChild(parent: usize, at: usize, end: usize, hash: u32): usize {
  if (nodes > nodeMask) growNodes();
  const bytes = <u32>(end - at);
  const node = newNode(parent, bytes);
  if (node === 0) return 0;
  store<u32>(node, hash, NODE_HASH);
  memory.copy(node + NODE_BYTES, at, bytes);
  push(nodeBucket(parent, hash), node, NODE_CHAIN);
  nodes++;
  return node;
}

function newNode(parent: usize, labelBytes: u32): usize {
  const node = allocate(NODE_BYTES + labelBytes);
  if (node === 0) return 0;
  memory.fill(node, 0, NODE_BYTES);
  store<u32>(node, <u32>parent);
  store<u16>(node, <u16>labelBytes, NODE_LABEL_BYTES);
  store<u32>(parent, load<u32>(parent, NODE_CHILDREN) + 1, NODE_CHILDREN);
  return node;
}

/**
 * Inserts a node for the first level of a tail, `level` bytes long, between the tail and its
 * parent. Returns the new node, or 0 if memory is exhausted. The tail keeps its place, because its
 * rows refer to it; its label now begins later.
 */
function split(tail: usize, level: u32, hash: u32): usize {
  const parent: usize = load<u32>(tail);
  const label = labelOf(tail);
  const inner = addChild(parent, label, label + level, hash);
  if (inner === 0) return 0;
  unchain(nodeBucket(parent, hash), tail, NODE_CHAIN);
  store<u32>(parent, load<u32>(parent, NODE_CHILDREN) - 1, NODE_CHILDREN);
  store<u32>(inner, 1, NODE_CHILDREN);
  const rest = load<u16>(tail, NODE_LABEL_BYTES) - level - 1;
  store<u32>(tail, <u32>inner);
  store<u16>(tail, <u16>rest, NODE_LABEL_BYTES);
  store<u16>(tail, <u16>(load<u16>(tail, NODE_LABEL_SKIP) + level + 1), NODE_LABEL_SKIP);
  const from = labelOf(tail);
  const restHash = hashBytes(from, <u32>(levelEnd(from, from + rest) - from), seed);
  store<u32>(tail, restHash, NODE_HASH);
  push(nodeBucket(inner, restHash), tail, NODE_CHAIN);
  return inner;
}

/** Releases a node without subscribers and children, and each parent that this leaves empty. */
function prune(node: usize): void {
  while (node !== root && isEmpty(node)) {
    const parent: usize = load<u32>(node);
    if (load<u32>(parent, NODE_ANY) === <u32>node) {
      store<u32>(parent, 0, NODE_ANY);
    } else {
      unchain(nodeBucket(parent, load<u32>(node, NODE_HASH)), node, NODE_CHAIN);
      nodes--;
    }
    store<u32>(parent, load<u32>(parent, NODE_CHILDREN) - 1, NODE_CHILDREN);
    const label: usize = load<u16>(node, NODE_LABEL_BYTES);
    release(node, NODE_BYTES + label + load<u16>(node, NODE_LABEL_SKIP));
    node = parent;
  }
}

function isEmpty(node: usize): bool {
  const lists = load<u32>(node, NODE_FIRST_ROW) | load<u32>(node, NODE_REST_ROWS);
  return (lists | load<u32>(node, NODE_CHILDREN)) === 0;
}

/** The row of a subscriber in the list whose head is at `list`, or 0. */
function findRow(list: usize, subscriber: u32): usize {
  let row: usize = load<u32>(rowBucket(list, subscriber));
  for (; row !== 0; row = load<u32>(row, ROW_CHAIN)) {
    if (load<u32>(row) === <u32>list && load<u32>(row, ROW_SUBSCRIBER) === subscriber) return row;
  }
  return 0;
}

function nodeBucket(parent: usize, hash: u32): usize {
  const mixed = ((<u32>parent >> 3) * 0x9e3779b1) ^ hash;
  return nodeBuckets + ((<usize>((mixed ^ (mixed >> 15)) & nodeMask)) << 2);
}
function rowBucket(list: usize, subscriber: u32): usize {
  const mixed = ((<u32>list >> 2) * 0x9e3779b1) ^ (subscriber * 0x85ebca6b);
  return rowBuckets + ((<usize>((mixed ^ (mixed >> 15)) & rowMask)) << 2);
}

function push(bucket: usize, item: usize, chain: usize): void {
  store<u32>(item + chain, load<u32>(bucket));
  store<u32>(bucket, <u32>item);
}

function unchain(bucket: usize, item: usize, chain: usize): void {
  let link = bucket;
  while (load<u32>(link) !== <u32>item) link = <usize>load<u32>(link) + chain;
  store<u32>(link, load<u32>(item + chain));
}

/** Doubles the buckets. Without memory for that, the chains grow longer instead. */
function growNodes(): void {
  const old = nodeBuckets;
  const count: usize = <usize>nodeMask + 1;
  const larger = zeroed(count << 3);
  if (larger === 0) return;
  nodeBuckets = larger;
  nodeMask = <u32>(count << 1) - 1;
  for (let bucket = old; bucket < old + (count << 2); bucket += 4) {
    for (let node: usize = load<u32>(bucket); node !== 0; ) {
      const next: usize = load<u32>(node, NODE_CHAIN);
      push(nodeBucket(load<u32>(node), load<u32>(node, NODE_HASH)), node, NODE_CHAIN);
      node = next;
    }
  }
  release(old, count << 2);
}

function growRows(): void {
  const old = rowBuckets;
  const count: usize = <usize>rowMask + 1;
  const larger = zeroed(count << 3);
  if (larger === 0) return;
  rowBuckets = larger;
  rowMask = <u32>(count << 1) - 1;
  for (let bucket = old; bucket < old + (count << 2); bucket += 4) {
    for (let row: usize = load<u32>(bucket); row !== 0; ) {
      const next: usize = load<u32>(row, ROW_CHAIN);
      push(rowBucket(load<u32>(row), load<u32>(row, ROW_SUBSCRIBER)), row, ROW_CHAIN);
      row = next;
    }
  }
  release(old, count << 2);
}

function zeroed(bytes: usize): usize {
  const block = allocate(bytes);
  if (block !== 0) memory.fill(block, 0, bytes);
  return block;
}

const NODE_HASH: usize = 4;
const NODE_CHAIN: usize = 8;
const NODE_FIRST_ROW: usize = 12;
const NODE_REST_ROWS: usize = 16;
const NODE_ANY: usize = 20;
const NODE_CHILDREN: usize = 24;
const NODE_LABEL_BYTES: usize = 28;
const NODE_LABEL_SKIP: usize = 30;
const NODE_BYTES: usize = 32;

const ROW_SUBSCRIBER: usize = 4;
const ROW_OPTIONS: usize = 8;
const ROW_NEXT: usize = 12;
const ROW_PREVIOUS: usize = 16;
const ROW_CHAIN: usize = 20;
const ROW_BYTES: usize = 24;

const LEVEL_BYTES: usize = 12;
const BUCKETS_MIN: u32 = 256;
const OUT_BYTES: usize = 8192;
/** In place of a depth: the entry is a list of rows. */
const ROWS: u32 = 0xffff_ffff;
