/** `sansmq store` within the process of the test: what it writes, and its exit code, as the command has them. */
import { vi } from "vitest";
import { oneLine } from "../../adapters/cli/one-line.ts";
import { parseStoreArguments } from "../../adapters/cli/store/arguments.ts";
import { failureCode, runStore } from "../../adapters/cli/store/run.ts";
import type { Finished } from "./process.ts";

type Done = (error?: Error | null) => void;

/** Any other error than those that the command tells in one line fails the test. */
export async function storeCommand(...args: readonly string[]): Promise<Finished> {
  const written = { stdout: "", stderr: "" };
  const spies = (["stdout", "stderr"] as const).map((name) =>
    vi.spyOn(process[name], "write").mockImplementation(((text: string, done?: Done) => {
      written[name] += text;
      done?.();
      return true;
    }) as typeof process.stdout.write),
  );
  let code: number;
  try {
    code = await runStore(parseStoreArguments(args, "0"));
  } catch (error) {
    const failure = failureCode(error);
    if (failure === null) throw error;
    code = failure;
    written.stderr += `sansmq: ${oneLine(error)}\n`;
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
  return { code, ...written };
}
