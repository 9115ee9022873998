/** Runs `sansmq store`. */
import { ConfigError } from "../../../core/mod.ts";
import { CommanderError } from "../arguments.ts";
import type { StoreArguments } from "./arguments.ts";
import { backUpStore, compactStore } from "./backup.ts";
import { exportStore } from "./export.ts";
import { ImportError, importFile } from "./import.ts";
import { verifyStore } from "./verify.ts";

/** Resolves with the exit code. Rejects with ConfigError, ImportError, or CommanderError for a wrong argument. */
export async function runStore(given: StoreArguments): Promise<number> {
  switch (given.command) {
    case "verify":
      return verifyStore(given.folder);
    case "export":
      return exportStore(given.folder, given.file);
    case "import":
      await ("file" in given
        ? importFile(given.folder, given.file)
        : importMosquitto(given.folder, given.mosquittoDb));
      return 0;
    case "backup":
      await backUpStore(given.folder, given.to);
      return 0;
    case "compact":
      await compactStore(given.folder);
      return 0;
  }
}

/** The exit code of an error that is told in one line: a wrong argument or file, or an error of the system. Null: another one. */
export function failureCode(error: unknown): number | null {
  if (error instanceof CommanderError) return error.exitCode;
  const isOfSystem = typeof (error as { readonly code?: unknown }).code === "string";
  return error instanceof ConfigError || error instanceof ImportError || isOfSystem ? 1 : null;
}

async function importMosquitto(folder: string, file: string): Promise<void> {
  const { importMosquittoDb } = await import("./mosquitto-db/import.ts");
  await importMosquittoDb(folder, file);
}
