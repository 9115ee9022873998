/** `sansmq store import`: makes a store of the lines of an export, or of the file of another broker. */
import type { EncodedRecord } from "../../../core/mod.ts";
import { ConfigError, messageKey, Table } from "../../../core/mod.ts";
import { NewStore } from "../../storage/folder/new-store.ts";
import type { LineType } from "./import-lines.ts";
import { ImportLines } from "./import-lines.ts";
import { Progress } from "./progress.ts";
import { lineSource, linesOf, unreadable } from "./read-lines.ts";
import type { CountName } from "./record-names.ts";
import { countNames } from "./record-names.ts";
import { toStdout } from "./stdout.ts";

/** A fault of what is imported. */
export class ImportError extends Error {
  override readonly name = "ImportError";
}

/** An object as in a line of an export, and where it comes from. */
export interface ImportItem {
  /** For errors, such as `line 7`. */
  readonly where: string;
  readonly line: unknown;
}

/** Imports the lines of a file; `-` for standard input. Rejects with ConfigError or ImportError; then the folder is as it was. */
export async function importFile(folder: string, file: string): Promise<void> {
  const source = lineSource(file);
  const progress = new Progress("import", source.totalBytes);
  async function* items(): AsyncGenerator<ImportItem> {
    let number = 0;
    try {
      for await (const bytes of linesOf(source, (count) => progress.add(count))) {
        progress.show();
        number++;
        const where = `line ${number}`;
        const line = parsed(bytes, where);
        if (line !== undefined) yield { where, line };
      }
    } catch (error) {
      const isOfSystem = typeof (error as { readonly code?: unknown }).code === "string";
      throw isOfSystem ? unreadable(file, error) : error;
    }
    if (number === 0) throw new ImportError(`file: ${JSON.stringify(file)} is empty`);
  }
  try {
    const unused = await importItems(folder, items());
    if (unused > 0) {
      process.stderr.write(`sansmq: left out ${unused} messages that no line uses\n`);
    }
  } finally {
    progress.end();
  }
}

/** Imports items, all or none. Resolves with the number of messages that nothing uses, which were left out. */
export async function importItems(
  folder: string,
  items: AsyncIterable<ImportItem>,
  lines: ImportLines = new ImportLines(),
): Promise<number> {
  const store = await NewStore.open("store", folder);
  try {
    const counts = new Map<CountName, number>();
    const batch = new Batch(store);
    for await (const { where, line } of items) {
      const record = recordOf(lines, line, where);
      if (record === null) continue;
      const name = countNameOf[(line as { readonly type: LineType }).type];
      counts.set(name, (counts.get(name) ?? 0) + 1);
      await batch.add(record, where);
    }
    await batch.write();
    const unused = await removeUnused(store, lines);
    counts.set("messages", (counts.get("messages") ?? 0) - unused);
    await store.finish();
    await toStdout(`imported ${countsText(counts)}\n`);
    return unused;
  } catch (error) {
    await store.discard();
    throw error;
  }
}

/** Records on their way to the store, so that a transaction has many. */
class Batch {
  readonly #store: NewStore;
  #records: EncodedRecord[] = [];
  #places: string[] = [];
  #bytes = 0;

  constructor(store: NewStore) {
    this.#store = store;
  }

  async add(record: EncodedRecord, where: string): Promise<void> {
    this.#records.push(record);
    this.#places.push(where);
    this.#bytes += record.key.length + record.value.length;
    if (this.#records.length >= RECORDS_MAX || this.#bytes >= BYTES_MAX) await this.write();
  }

  async write(): Promise<void> {
    const double = await this.#store.write(this.#records);
    if (double >= 0) {
      throw new ImportError(`${this.#places[double]}: a line before is for the same thing`);
    }
    this.#records = [];
    this.#places = [];
    this.#bytes = 0;
  }
}

function recordOf(lines: ImportLines, line: unknown, where: string): EncodedRecord | null {
  try {
    return lines.record(line);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new ImportError(`${where}: ${error.message}`);
  }
}

/** Undefined: the line is empty. */
function parsed(bytes: Uint8Array, where: string): unknown {
  let text: string;
  try {
    text = utf8.decode(bytes);
  } catch {
    throw new ImportError(`${where}: invalid UTF-8`);
  }
  if (text.trim() === "") return undefined;
  try {
    return JSON.parse(text);
  } catch {
    throw new ImportError(`${where}: invalid JSON`);
  }
}

/** A broker would drop them as damaged. Returns how many they are. */
async function removeUnused(store: NewStore, lines: ImportLines): Promise<number> {
  const records = Array.from(lines.unusedMessages(), (serial) => ({
    table: Table.Message,
    key: messageKey(serial),
  }));
  await store.remove(records);
  return records.length;
}

function countsText(counts: ReadonlyMap<CountName, number>): string {
  const texts = countNames.flatMap((name) => {
    const count = counts.get(name) ?? 0;
    return count === 0 ? [] : [`${count} ${name}`];
  });
  return texts.length === 0 ? "nothing" : texts.join(", ");
}

const countNameOf: Readonly<Record<LineType, CountName>> = {
  session: "sessions",
  subscription: "subscriptions",
  message: "messages",
  queued: "queued",
  sent: "in flight",
  released: "in flight",
  receipt: "receipts",
  retained: "retained",
  will: "wills",
};

const utf8 = new TextDecoder("utf-8", { fatal: true });
const RECORDS_MAX = 1000;
const BYTES_MAX = 4 * 1024 * 1024;
