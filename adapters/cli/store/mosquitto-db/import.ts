/** `sansmq store import --mosquitto-db`: makes a store of mosquitto's persistence file. */
import { importItems } from "../import.ts";
import { ImportLines } from "../import-lines.ts";
import { Progress } from "../progress.ts";
import { unreadable } from "../read-lines.ts";
import { Chunks } from "./chunks.ts";
import { MosquittoItems } from "./items.ts";

/** Rejects with ConfigError or ImportError; then the folder is as it was. */
export async function importMosquittoDb(folder: string, file: string): Promise<void> {
  const chunks = opened(file);
  const progress = new Progress("import", chunks.count);
  try {
    const source = new MosquittoItems(chunks);
    async function* items() {
      for (const item of source.items()) {
        progress.add();
        yield item;
      }
    }
    await importItems(folder, items(), new ImportLines(true));
    progress.end();
    const { qos0 } = source.leftOut;
    if (qos0 > 0) {
      process.stderr.write(
        `sansmq: left out ${qos0} queued messages at QoS 0, which do not survive a restart\n`,
      );
    }
  } finally {
    progress.end();
    chunks.close();
  }
}

function opened(file: string): Chunks {
  try {
    return new Chunks(file);
  } catch (error) {
    const isOfSystem = typeof (error as { readonly code?: unknown }).code === "string";
    throw isOfSystem ? unreadable(file, error) : error;
  }
}
