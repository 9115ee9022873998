/** A Chromium of its own profile, in a process that a test can kill. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Browser, type BrowserContext, chromium } from "playwright-core";
import { expect, onTestFinished } from "vitest";
import { chromiumCommand, pathOf } from "./peers.mjs";
import { type Running, run } from "./process.ts";

export interface RunningChromium {
  readonly browser: Browser;
  readonly context: BrowserContext;
  readonly process: Running;
}

/** A folder for the profile of a browser, removed at the end of the test. */
export function profileFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "sansmq-chromium-"));
  // The processes of a browser that was killed may write into it for a moment.
  onTestFinished(() =>
    rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 }),
  );
  return folder;
}

/** Starts Chromium with a profile, which keeps the data of sites from one start to the next. */
export async function startChromium(profile: string): Promise<RunningChromium> {
  const process = run(
    pathOf(chromiumCommand)!,
    ...["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"],
    ...["--disable-background-networking", "--disable-component-update", "--disable-sync"],
    // A renderer that is kept ready for the next page would be killed with the others.
    "--disable-features=SpareRendererForSitePerProcess",
    // A page at a name that is not a loopback address is no secure context.
    "--host-resolver-rules=MAP insecure.test 127.0.0.1",
    ...[`--user-data-dir=${profile}`, "--remote-debugging-port=0", "about:blank"],
  );
  const [, endpoint] = await process.says(/DevTools listening on (ws:\S+)/);
  const browser = await chromium.connectOverCDP(endpoint!);
  onTestFinished(async () => {
    if (process.child.exitCode !== null || process.child.signalCode !== null) return;
    const session = await browser.newBrowserCDPSession();
    await session.send("Browser.close");
    await process.finished;
  });
  return { browser, context: browser.contexts()[0]!, process };
}

/** Kills the processes that run the pages of a browser, and resolves when the browser has noticed. */
export async function killRenderers(browser: Browser): Promise<void> {
  const session = await browser.newBrowserCDPSession();
  const renderers = async (): Promise<number[]> => {
    const { processInfo } = await session.send("SystemInfo.getProcessInfo");
    return processInfo.filter(({ type }) => type === "renderer").map(({ id }) => id);
  };
  const killed = await renderers();
  for (const id of killed) process.kill(id, "SIGKILL");
  await expect
    .poll(async () => (await renderers()).filter((id) => killed.includes(id)))
    .toEqual([]);
  await session.detach();
}
