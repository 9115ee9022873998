/** Every codec, for tests that must pass with each. A codec that the host lacks fails its tests. */
import type { Codec, CodecKind, CodecLimits } from "../../codec-wasm/mod.ts";
import { codecKinds, createCodec } from "../../codec-wasm/mod.ts";

export type MakeCodec = (limits: CodecLimits) => Codec;

/** The codec of every broker in the tests: `SANSMQ_CODEC=ts npm test`. */
export const codecKind: CodecKind =
  codecKinds.find((kind) => kind === process.env["SANSMQ_CODEC"]) ?? "auto";

const SEED = 0x5eed;

function made(
  kind: "auto" | "wasm" | "ts",
  limits: CodecLimits,
  build?: "wasm-simd" | "wasm-plain",
): Codec {
  const codec = createCodec(kind, limits, SEED, build);
  if (codec === null) throw new Error(`this host has no codec ${build ?? kind}`);
  return codec;
}

export const codecs: readonly (readonly [name: string, make: MakeCodec])[] = [
  ["ts", (limits) => made("ts", limits)],
  ["wasm-simd", (limits) => made("wasm", limits, "wasm-simd")],
  ["wasm-plain", (limits) => made("wasm", limits, "wasm-plain")],
  ["auto", (limits) => made("auto", limits)],
];
