/** A record of the store as it stands in a recording: `table u8 · key length u32 · key · value`. */
import type { Table } from "../../core/mod.ts";
import { decodeMessage, Table as Tables } from "../../core/mod.ts";

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
