/** The command as a server, in tests. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { type Running, runSansmq } from "./process.ts";

/** Free ports, and no log. */
export const quiet = ["--port", "0", "--ws-port", "0", "--log-level", "silent"] as const;

/** Starts the command. Resolves with its addresses, of which `tcp` and `ws` are the first of each. */
export function serving(...args: string[]) {
  return served(runSansmq(...args));
}

/** The same for a command that was started. */
export async function served(broker: Running) {
  const [, list] = await broker.says(/^sansmq listening (.*) store .*\n/);
  const addresses = list!.split(" ");
  const [tcp, ws] = ["tcp:", "ws:"].map((start) =>
    addresses.find((address) => address.startsWith(start)),
  );
  return { broker, addresses, tcp: tcp!, ws };
}

/** A folder that is removed at the end of the test. */
export function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "sansmq-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return folder;
}

/** The path of a new configuration file. */
export function configFile(content: string): string {
  const path = join(newFolder(), "sansmq.json");
  writeFileSync(path, content);
  return path;
}
