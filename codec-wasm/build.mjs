// Compiles assembly/ twice, with and without SIMD, and writes both into generated/module.ts as text.
import { mkdirSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import asc from "assemblyscript/asc";

const root = fileURLToPath(new URL("..", import.meta.url));
const here = fileURLToPath(new URL(".", import.meta.url));

async function compile(simd) {
  let binary;
  const { error, stderr } = await asc.main(
    [
      "codec-wasm/assembly/index.ts",
      ...["--baseDir", root, "--outFile", "out.wasm"],
      ...["--runtime", "stub", "--optimizeLevel", "3", "--noAssert", "--use", "abort="],
      ...["--enable", "bulk-memory", simd ? "--enable" : "--disable", "simd"],
    ],
    {
      writeFile(name, contents) {
        if (name === "out.wasm") binary = contents;
      },
    },
  );
  if (error !== null) throw new Error(`${error.message}\n${stderr.toString()}`);
  const warnings = stderr.toString();
  if (warnings.includes("WARNING")) throw new Error(warnings);
  if (binary.length > 32_768) throw new Error(`${binary.length} bytes is too much to embed`);
  return Buffer.from(binary).toString("base64");
}

const [simd, plain] = await Promise.all([compile(true), compile(false)]);
mkdirSync(`${here}generated`, { recursive: true });
writeFileSync(
  `${here}generated/module.ts`,
  `/** Built by codec-wasm/build.mjs from codec-wasm/assembly: base64 of the two modules. */
export const simdModule: string =
  "${simd}";
export const plainModule: string =
  "${plain}";
`,
);
