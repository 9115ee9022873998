/** The implementations that are measured side by side. */
import type { Codec } from "../../codec-wasm/mod.ts";
import { createCodec } from "../../codec-wasm/mod.ts";
import { parseLimits } from "../../core/mod.ts";

type Kind = "ts" | "wasm" | "auto";

function make(kind: Kind, topicTableBytesMax: number, build?: "wasm-simd" | "wasm-plain"): Codec {
  const codec = createCodec(kind, parseLimits({ topicTableBytesMax }), 0x5eed, build);
  if (codec === null) throw new Error("this runtime has no WebAssembly");
  return codec;
}

/** Each codec has a topic table too large to be emptied, unless `tableBytes` is given. */
export const codecs: readonly (readonly [impl: string, make: (tableBytes?: number) => Codec])[] = [
  ["ts", (tableBytes = 2 ** 30) => make("ts", tableBytes)],
  ["wasm-simd", (tableBytes = 2 ** 30) => make("wasm", tableBytes, "wasm-simd")],
  ["wasm-plain", (tableBytes = 2 ** 30) => make("wasm", tableBytes, "wasm-plain")],
  ["auto", (tableBytes = 2 ** 30) => make("auto", tableBytes)],
];

/** A name of about 40 bytes, as devices have them. */
export function deviceTopic(n: number): string {
  return `site-${n % 50}/building-${(n * 7) % 200}/floor-${n % 9}/dev-${n}/temp`;
}
