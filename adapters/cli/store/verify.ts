/** `sansmq store verify`: counts the records of a store and names the damaged ones. */
import { StoreReader } from "../../storage/folder/store-reader.ts";
import { Progress } from "./progress.ts";
import { countNames } from "./record-names.ts";
import { SoundRecords } from "./sound-records.ts";
import { toStdout } from "./stdout.ts";

/** Returns the exit code: 0 if the store is sound, else 1. */
export async function verifyStore(folder: string): Promise<number> {
  const reader = await StoreReader.open(folder);
  try {
    const records = new SoundRecords(reader);
    check(records, reader, "verify");
    const damage = damageOf(records, reader);
    const counts = countNames.map((name) => `${name.padEnd(NAME_WIDTH)} ${records.counts[name]}`);
    const lines = [...counts, damage.length === 0 ? "sound" : damage[0]!, ...damage.slice(1)];
    await toStdout(`${lines.join("\n")}\n`);
    return damage.length === 0 ? 0 : 1;
  } finally {
    await reader.close();
  }
}

/** Checks all records, with progress. */
export function check(records: SoundRecords, reader: StoreReader, what: string): void {
  const progress = new Progress(what, 2 * reader.count);
  records.check(() => progress.add());
  progress.end();
}

/** What is damaged, line by line, with the numbers first; empty: nothing. */
export function damageOf(records: SoundRecords, reader: StoreReader): readonly string[] {
  const { pageFaults: faults, pageFaultCount: faultCount, damage, damagedCount } = records;
  if (faultCount + damagedCount === 0) return [];
  const sum = records.soundCount + damagedCount;
  const lost = Math.max(0, reader.count - sum - records.unusedCount);
  const summary = [
    ...(faultCount === 0 ? [] : [`${faultCount} pages, which had about ${lost} records`]),
    ...(damagedCount === 0 ? [] : [`${damagedCount} of ${sum} records`]),
  ];
  return [
    `damaged: ${summary.join("; ")}`,
    ...faults.map(({ page, what }) => `  page ${page} ${what}`),
    ...more(faultCount - faults.length, "pages"),
    ...damage.map((line) => `  ${line}`),
    ...more(damagedCount - damage.length, "records"),
  ];
}

function more(count: number, what: string): readonly string[] {
  return count === 0 ? [] : [`  and ${count} more ${what}`];
}

const NAME_WIDTH = 14;
