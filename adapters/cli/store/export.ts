/** `sansmq store export`: writes the sound records of a store as lines of JSON. */
import { StoreReader } from "../../storage/folder/store-reader.ts";
import { HEADER, lineOf } from "./export-lines.ts";
import type { Output } from "./export-output.ts";
import { checkOutside, outputTo } from "./export-output.ts";
import { Progress } from "./progress.ts";
import { SoundRecords } from "./sound-records.ts";
import { check, damageOf } from "./verify.ts";

/** Returns the exit code: 0 if all of the store was exported, 1 if a part of it is damaged. `file`: null for standard output. */
export async function exportStore(folder: string, file: string | null): Promise<number> {
  if (file !== null) checkOutside(folder, file);
  const reader = await StoreReader.open(folder);
  try {
    const records = new SoundRecords(reader);
    check(records, reader, "export: check");
    const damage = damageOf(records, reader);
    const output = outputTo(file);
    try {
      await writeLines(records, output);
      output.finish();
    } catch (error) {
      output.discard();
      throw error;
    }
    if (damage.length === 0) return 0;
    process.stderr.write(`sansmq: not exported: ${damage.join("\n")}\n`);
    return 1;
  } finally {
    await reader.close();
  }
}

async function writeLines(records: SoundRecords, output: Output): Promise<void> {
  const progress = new Progress("export", records.soundCount);
  let text = `${JSON.stringify(HEADER)}\n`;
  for (const record of records.records()) {
    progress.add();
    text += `${JSON.stringify(lineOf(record))}\n`;
    if (text.length < WRITE_LENGTH) continue;
    await output.write(text);
    text = "";
  }
  await output.write(text);
  progress.end();
}

/** So much text is written at once. */
const WRITE_LENGTH = 256 * 1024;
