/** The contents that a store should have, and the comparison with those that it has. */
import type { Table } from "../../../core/mod.ts";
import { appendRecord, encodeUtf8, WriteBatch } from "../../../core/mod.ts";
import type { Store } from "../store.ts";

/** A change of one record. A number stands for a value of so many bytes, null for the removal of the key. */
export type Change = readonly [
  table: Table,
  key: Uint8Array | string,
  value: Uint8Array | number | string | null,
];

/** Records by table and key. */
export type Contents = ReadonlyMap<string, Uint8Array>;

/** The contents after the changes. */
export function changed(contents: Contents, changes: readonly Change[]): Contents {
  const after = new Map(contents);
  for (const [table, key, value] of changes) {
    const name = nameOf(table, bytesOf(key));
    if (value === null) after.delete(name);
    else after.set(name, bytesOf(value));
  }
  return after;
}

/** A batch of these changes, as a broker makes it. */
export function batchOf(changes: readonly Change[]): WriteBatch {
  const batch = new WriteBatch();
  for (const [table, key, value] of changes) {
    appendRecord(batch, table, bytesOf(key), value === null ? null : bytesOf(value));
  }
  return batch;
}

/** All records of a store. Throws if it gives a key twice, or a record that is not of bytes. */
export async function contentsOf(store: Store): Promise<Contents> {
  const found = new Map<string, Uint8Array>();
  if (store.load === undefined) throw new Error("the store has no function `load`");
  await store.load((table, key, value) => {
    if (!(key instanceof Uint8Array && value instanceof Uint8Array)) {
      throw new Error(`table ${table}: keys and values have to be of the type Uint8Array`);
    }
    const name = nameOf(table, key);
    if (found.has(name)) throw new Error(`load gave ${shown(name)} twice`);
    // A copy: a store may use the memory again after the call.
    found.set(name, value.slice());
  });
  return found;
}

/** The first difference in words; null: there is none. */
export function difference(found: Contents, expected: Contents): string | null {
  for (const [name, value] of expected) {
    const given = found.get(name);
    if (given === undefined) return `${shown(name)} is missing`;
    if (given.length !== value.length) {
      return `${shown(name)} has ${given.length} bytes instead of ${value.length}`;
    }
    const at = differenceAt(value, given);
    if (at < value.length) return `${shown(name)} has another value, from its byte ${at} on`;
  }
  for (const name of found.keys()) {
    if (!expected.has(name)) return `${shown(name)} is there, and should not be`;
  }
  return null;
}

/** Where two values of one length differ; their length: nowhere. A loop, because values are of many MiB. */
function differenceAt(a: Uint8Array, b: Uint8Array): number {
  let at = 0;
  while (at < a.length && a[at] === b[at]) at++;
  return at;
}

/** Bytes of a number differ from those of another number, and along the value. */
function bytesOf(value: Uint8Array | number | string): Uint8Array {
  if (value instanceof Uint8Array) return value;
  if (typeof value === "string") return encodeUtf8(value);
  const bytes = new Uint8Array(value);
  for (let i = 0; i < value; i++) bytes[i] = (i * 31 + (i >>> 8) + value) & 0xff;
  return bytes;
}

/** One character for each byte of the key. */
function nameOf(table: Table, key: Uint8Array): string {
  const parts = [`${table} `];
  for (let at = 0; at < key.length; at += 4096) {
    parts.push(String.fromCharCode(...key.subarray(at, at + 4096)));
  }
  return parts.join("");
}

function shown(name: string): string {
  const key = Array.from(name.slice(2, 34), (byte) =>
    byte.charCodeAt(0).toString(16).padStart(2, "0"),
  );
  const length = name.length - 2;
  return `the record of table ${name[0]} with the key ${key.join("")}${length > 32 ? `… (${length} bytes)` : ""}`;
}
