/** Instantiates the module from its embedded bytes: synchronous, without files or network. */
import { plainModule, simdModule } from "./generated/module.ts";

/** The exports of assembly/index.ts. Pointers and counts are u32, but arrive as i32. */
export interface WasmExports {
  readonly memory: { readonly buffer: ArrayBuffer };
  initMemory(bytesMax: number, reservedBytes: number, inputBytes: number, rowsMax: number): number;
  initTables(
    seed: number,
    topicBytesMax: number,
    topicLevelsMax: number,
    topicTableBytesMax: number,
  ): number;
  inputPointer(): number;
  tablePointer(): number;
  statePointer(): number;
  outPointer(): number;
  usedBytes(): number;
  scan(
    windowBytes: number,
    availableBytes: number,
    rowsMax: number,
    frameBytesMax: number,
    offset: number,
  ): number;
  intern(bytes: number, mayEmpty: number): number;
  namePointer(topic: number): number;
  nameLength(topic: number): number;
  add(bytes: number, subscriber: number, options: number): number;
  remove(bytes: number, subscriber: number): number;
  match(topic: number): number;
  matchMore(): number;
  topicsSize(): number;
}

export type WasmBuild = "wasm-simd" | "wasm-plain";

export interface WasmInstance {
  readonly build: WasmBuild;
  readonly exports: WasmExports;
}

/**
 * A new instance of the best build that the host supports, or of `build`. Null if the host lacks
 * WebAssembly or SIMD, or if the security policy of a page forbids WebAssembly.
 */
export function instantiate(build?: WasmBuild): WasmInstance | null {
  if (typeof WebAssembly === "undefined") return null;
  for (const [name, text] of builds) {
    if (build !== undefined && build !== name) continue;
    const bytes = supportedBytes(name, text);
    if (bytes === null) continue;
    let module: object;
    try {
      module = new WebAssembly.Module(bytes);
    } catch {
      // Valid but forbidden: a policy without 'wasm-unsafe-eval' shows only here.
      return null;
    }
    const { exports } = new WebAssembly.Instance(module);
    return { build: name, exports: exports as WasmExports };
  }
  return null;
}

/**
 * The bytes of a build, or null if the host does not support it. Decoded and validated only once,
 * because a program may make many brokers.
 */
function supportedBytes(name: WasmBuild, text: string): Uint8Array | null {
  let bytes: Uint8Array | null | undefined = decoded.get(name);
  if (bytes === undefined) {
    bytes = fromBase64(text);
    if (!WebAssembly!.validate(bytes)) bytes = null;
    decoded.set(name, bytes);
  }
  return bytes;
}
const decoded = new Map<WasmBuild, Uint8Array | null>();

const builds: readonly (readonly [WasmBuild, string])[] = [
  ["wasm-simd", simdModule],
  ["wasm-plain", plainModule],
];

/** The part of WebAssembly that every host with WebAssembly has. */
declare const WebAssembly:
  | {
      validate(bytes: Uint8Array): boolean;
      readonly Module: new (bytes: Uint8Array) => object;
      readonly Instance: new (module: object) => { readonly exports: unknown };
    }
  | undefined;

/** Written out, because the hosts have no common function for it. */
function fromBase64(text: string): Uint8Array {
  const bytes = new Uint8Array(Math.floor((text.replace(/=+$/, "").length * 3) / 4));
  let bits = 0;
  let word = 0;
  let at = 0;
  for (const digit of text) {
    if (digit === "=") break;
    word = (word << 6) | DIGITS.indexOf(digit);
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    bytes[at++] = (word >> bits) & 0xff;
  }
  return bytes;
}

const DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
