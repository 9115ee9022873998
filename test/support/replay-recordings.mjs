// Replays the recordings of a folder on the built code: `node test/support/replay-recordings.mjs DIR`.
// The oracle of a refactoring: record the tests on the code before (SANSMQ_RECORD=1 SANSMQ_RECORDINGS=DIR), and replay
// on the code after. Exit code 1: a recording differs, or there is none.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { replay } from "../../dist/adapters/record/mod.js";

const folder = process.argv[2] ?? ".";
const names = readdirSync(folder).filter((name) => name.endsWith(".record"));
const total = { recordings: 0, steps: 0, writes: 0, outputBytes: 0, differing: 0 };
for (const name of names) {
  const { steps, writes, outputBytes, difference } = replay(readFileSync(join(folder, name)));
  total.recordings++;
  total.steps += steps;
  total.writes += writes;
  total.outputBytes += outputBytes;
  if (difference === null) continue;
  total.differing++;
  const { step, what, why } = difference;
  console.log(`${name}: step ${step} (${what}): ${why}`);
}
console.log(JSON.stringify(total));
process.exitCode = total.differing > 0 || total.recordings === 0 ? 1 : 0;
