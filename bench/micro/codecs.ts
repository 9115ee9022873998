/** Implementations that are measured side by side. */
import type { Codec } from "../../codec-wasm/mod.ts";
import { createCodec } from "../../codec-wasm/mod.ts";
import { parseLimits } from "../../core/mod.ts";

const limits = parseLimits({ topicTableBytesMax: 2 ** 30 });

function make(kind: "ts" | "wasm" | "auto", build?: "wasm-simd" | "wasm-plain"): Codec {
  const codec = createCodec(kind, limits, 0x5eed, build);
  if (codec === null) throw new Error("this runtime has no WebAssembly");
  return codec;
}

export const codecs: readonly (readonly [impl: string, make: () => Codec])[] = [
  ["ts", () => make("ts")],
  ["wasm-simd", () => make("wasm", "wasm-simd")],
  ["wasm-plain", () => make("wasm", "wasm-plain")],
  ["auto", () => make("auto")],
];

/** A name of about 40 bytes, as devices have them. */
export function deviceTopic(n: number): string {
  return `site-${n % 50}/building-${(n * 7) % 200}/floor-${n % 9}/dev-${n}/temp`;
}
