/** The hot path (ingest and topic index) behind one interface, in WebAssembly or TypeScript. */
import type { Ingest, TopicIndexFactory } from "../core/mod.ts";
import { ReferenceIngest, referenceTopics } from "../core/mod.ts";
import { WasmIngest } from "./ingest.ts";
import type { WasmBuild } from "./load.ts";
import { instantiate } from "./load.ts";
import type { CodecLimits } from "./memory.ts";
import { WasmMemory } from "./memory.ts";
import { WasmTopics } from "./topics.ts";

export type { WasmBuild } from "./load.ts";
export type { CodecLimits } from "./memory.ts";

/** `auto`: WebAssembly if the host has it, with TypeScript for short chunks. */
export const codecKinds = ["auto", "wasm", "ts"] as const;
export type CodecKind = (typeof codecKinds)[number];

export interface Codec {
  readonly ingest: Ingest;
  readonly topics: TopicIndexFactory;
  /** Memory of the module, in use and in total; 0 without WebAssembly. */
  memoryBytes(): { readonly used: number; readonly total: number };
}

/**
 * Creates a codec for one broker. `seed` is a u32 that peers must not know. Null if `kind` is
 * `wasm` and the host does not support WebAssembly or the requested `build`.
 */
export function createCodec(
  kind: CodecKind,
  limits: CodecLimits,
  seed: number,
  build?: WasmBuild,
): Codec | null {
  const instance = kind === "ts" ? null : instantiate(build);
  if (instance === null) {
    if (kind === "wasm") return null;
    const ingest = new ReferenceIngest(limits, seed);
    return { ingest, topics: referenceTopics(ingest), memoryBytes: () => ({ used: 0, total: 0 }) };
  }
  const memory = new WasmMemory(instance, limits, seed);
  const wasmBytesMin = kind === "wasm" ? 0 : AUTO_WASM_BYTES_MIN;
  return {
    ingest: new WasmIngest(instance.build, memory, seed, wasmBytesMin),
    topics: { create: () => new WasmTopics(memory) },
    memoryBytes: () => ({ used: memory.usedBytes, total: memory.totalBytes }),
  };
}

/** From this chunk length on, calling the module is faster (bench: micro, ingest). */
const AUTO_WASM_BYTES_MIN = 96;
