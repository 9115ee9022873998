/** `sansmq store export`: writes the sound records of a store as lines of JSON. */
import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeSync } from "node:fs";
import { ConfigError } from "../../../core/mod.ts";
import { StoreReader } from "../../storage/folder/store-reader.ts";
import { oneLine } from "../one-line.ts";
import { HEADER, lineOf } from "./export-lines.ts";
import { Progress } from "./progress.ts";
import { SoundRecords } from "./sound-records.ts";
import { toStdout } from "./stdout.ts";
import { check, damageOf } from "./verify.ts";

/** Returns the exit code: 0 if all of the store was exported, 1 if a part of it is damaged. `file`: null for standard output. */
export async function exportStore(folder: string, file: string | null): Promise<number> {
  const reader = await StoreReader.open(folder);
  try {
    const records = new SoundRecords(reader);
    check(records, reader, "export: check");
    const damage = damageOf(records, reader);
    const output = file === null ? standardOutput : fileOutput(file);
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

interface Output {
  write(text: string): Promise<void> | void;
  finish(): void;
  discard(): void;
}

const standardOutput: Output = { write: toStdout, finish: () => {}, discard: () => {} };

/** The file gets its name when it is complete. Only its owner may read it, because it has payloads. */
function fileOutput(file: string): Output {
  const part = `${file}.part`;
  let descriptor: number;
  try {
    rmSync(part, { force: true });
    descriptor = openSync(part, "wx", 0o600);
  } catch (error) {
    throw new ConfigError("file", file, `a file that can be written (${oneLine(error)})`);
  }
  return {
    write: (text) => {
      const bytes = Buffer.from(text);
      for (let at = 0; at < bytes.length; ) at += writeSync(descriptor, bytes, at);
    },
    finish: () => {
      fsyncSync(descriptor);
      closeSync(descriptor);
      renameSync(part, file);
    },
    discard: () => rmSync(part, { force: true }),
  };
}

/** So much text is written at once. */
const WRITE_LENGTH = 256 * 1024;
