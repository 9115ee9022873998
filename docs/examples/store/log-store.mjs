// A store of your own: writes one batch behind the other into a file. It never removes old batches, so use it for
// something small.
import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { readBatch } from "sansmq/core";

export async function openLogStore(path) {
  const file = await open(path, constants.O_RDWR | constants.O_CREAT);
  let end = 0;
  return {
    isDurable: true,

    async load(put) {
      const bytes = await file.readFile();
      const records = new Map();
      while (end + 8 <= bytes.length) {
        // The bytes 4 to 7 of a batch are its length.
        const next = end + bytes.readUInt32BE(end + 4);
        const batch = readBatch(bytes.subarray(end, next));
        // A crash ended its commit, and nobody was told that it is stored: the next batch replaces it.
        if (batch === null) break;
        while (batch.next()) {
          const { table, key, value } = batch;
          const name = `${table} ${Buffer.from(key).toString("latin1")}`;
          if (value === null) records.delete(name);
          else records.set(name, { table, key, value });
        }
        end = next;
      }
      for (const { table, key, value } of records.values()) put(table, key, value);
    },

    async commit(batch) {
      const bytes = batch.encoded();
      const { bytesWritten } = await file.write(bytes, 0, bytes.length, end);
      if (bytesWritten < bytes.length) {
        throw Object.assign(new Error(`no room for a batch in ${path}`), { code: "ENOSPC" });
      }
      await file.datasync();
      end += bytes.length;
    },

    close: () => file.close(),
  };
}
