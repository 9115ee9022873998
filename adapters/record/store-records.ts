/**
 * Records of the store as they stand in a recording: `table u8 · key length u32 · key · value`; and loaded messages:
 * `number f64 · value length u32 (MISSING: none) · value` for each.
 */
import type { Table } from "../../core/mod.ts";
import { decodeMessage, messageKey, Table as Tables } from "../../core/mod.ts";

/** With `masksPayloads`, the payload of a message is masked. */
export function encodeRecord(
  table: Table,
  key: Uint8Array,
  value: Uint8Array,
  masksPayloads: boolean,
): Uint8Array {
  const bytes = new Uint8Array(RECORD_HEAD_BYTES + key.length + value.length);
  bytes[0] = table;
  new DataView(bytes.buffer).setUint32(1, key.length, true);
  bytes.set(key, RECORD_HEAD_BYTES);
  const valueStart = RECORD_HEAD_BYTES + key.length;
  bytes.set(value, valueStart);
  const message = masksPayloads && table === Tables.Message ? decodeMessage(key, value) : null;
  if (message !== null) bytes.fill(0x78, valueStart + message.payloadStart);
  return bytes;
}

export function decodeRecord(bytes: Uint8Array): {
  readonly table: Table;
  readonly key: Uint8Array;
  readonly value: Uint8Array;
} {
  const keyEnd = recordedKeyEnd(bytes);
  const key = bytes.subarray(RECORD_HEAD_BYTES, keyEnd);
  return { table: bytes[0]! as Table, key, value: bytes.subarray(keyEnd) };
}

export function recordedKeyEnd(bytes: Uint8Array): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return RECORD_HEAD_BYTES + view.getUint32(1, true);
}

export const RECORD_HEAD_BYTES = 5;

/** The message number in the key of a record; 0: the key has another length. */
export function messageNumber(key: Uint8Array): number {
  if (key.length !== 8) return 0;
  return new DataView(key.buffer, key.byteOffset, key.length).getFloat64(0);
}

/** With `masksPayloads`, the payloads of the messages are masked. */
export function encodeLoaded(
  numbers: Float64Array,
  values: readonly (Uint8Array | null)[],
  masksPayloads: boolean,
): Uint8Array {
  const byteCount = values.reduce((sum, value) => sum + (value?.length ?? 0), 0);
  const bytes = new Uint8Array(byteCount + numbers.length * LOADED_HEAD_BYTES);
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const [i, number] of numbers.entries()) {
    const value = values[i] ?? null;
    view.setFloat64(at, number, true);
    view.setUint32(at + 8, value?.length ?? MISSING, true);
    at += LOADED_HEAD_BYTES;
    if (value === null) continue;
    bytes.set(value, at);
    const fields = masksPayloads ? decodeMessage(messageKey(number), value) : null;
    if (fields !== null) bytes.fill(0x78, at + fields.payloadStart, at + value.length);
    at += value.length;
  }
  return bytes;
}

/** Null: the bytes are damaged. */
export function decodeLoaded(bytes: Uint8Array): {
  readonly numbers: Float64Array;
  readonly values: readonly (Uint8Array | null)[];
} | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const numbers: number[] = [];
  const values: (Uint8Array | null)[] = [];
  for (let at = 0; at < bytes.length; ) {
    if (at + LOADED_HEAD_BYTES > bytes.length) return null;
    numbers.push(view.getFloat64(at, true));
    const length = view.getUint32(at + 8, true);
    at += LOADED_HEAD_BYTES;
    if (length === MISSING) {
      values.push(null);
      continue;
    }
    if (at + length > bytes.length) return null;
    values.push(bytes.subarray(at, at + length));
    at += length;
  }
  return { numbers: Float64Array.from(numbers), values };
}

const LOADED_HEAD_BYTES = 12;
const MISSING = 0xffff_ffff;
