// The store in IndexedDB, in Chromium: it passes the suite for stores; what was acknowledged is there after the page was
// loaded again, and after the page's process or the browser was killed; and whatever may be wrong is one line.
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import type { BrowserContext, CDPSession, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { killRenderers, profileFolder, startChromium } from "../support/chromium.ts";
import { needs } from "../support/needs.ts";

/** By hand: `SANSMQ_RECORDS=100000 npx vitest run test/storage/indexeddb.test.ts`. */
const recordCount = Number(process.env["SANSMQ_RECORDS"] ?? 5000);
const timeout = 60_000 + recordCount * 10;

describe("in Chromium", needs("Chromium"), () => {
  let port = 0;
  let script = "";
  const server = createServer(({ url }, response) => {
    response.setHeader("content-type", url === "/page.js" ? "text/javascript" : "text/html");
    const html = (attribute: string, code = ""): string =>
      `<!doctype html><script type="module"${attribute}>${code}</script>`;
    // A page in a sandbox has no origin of its own, and may load no script from another one.
    if (url === "/sandbox") {
      response.setHeader("content-security-policy", "sandbox allow-scripts");
      response.end(html("", script));
    } else response.end(url === "/page.js" ? script : html(' src="/page.js"'));
  });

  beforeAll(async () => {
    const entry = fileURLToPath(new URL("indexeddb-page.mjs", import.meta.url));
    const { outputFiles } = await build({
      ...{ entryPoints: [entry], bundle: true, format: "esm", write: false, logLevel: "silent" },
    });
    script = outputFiles[0]!.text;
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    port = (server.address() as AddressInfo).port;
  });
  afterAll(() => void server.close());

  async function opened(context: BrowserContext, path = "/", host = "127.0.0.1"): Promise<Page> {
    const page = await context.newPage();
    await page.goto(`http://${host}:${port}${path}`);
    await page.waitForFunction("globalThis.page !== undefined");
    return page;
  }

  /** Calls a function of the page. */
  function call<Result>(page: Page, name: string, ...args: readonly unknown[]): Promise<Result> {
    return page.evaluate(`page.${name}(...${JSON.stringify(args)})`);
  }

  /** Sets the quota of the site; null: the browser's own. */
  async function setQuota(
    page: Page,
    session: CDPSession,
    quotaSize: number | null,
  ): Promise<void> {
    const { origin } = new URL(page.url());
    const size = quotaSize === null ? {} : { quotaSize };
    await session.send("Storage.overrideQuotaForOrigin", { origin, ...size });
  }

  test("the store passes the suite for stores", { timeout }, async () => {
    const { context } = await startChromium(profileFolder());
    const page = await opened(context);
    expect(await call(page, "suite", recordCount)).toEqual({ failed: [], passed: 12 });
  });

  test("sessions, queued and retained messages are there after the page was loaded again", async () => {
    const { context } = await startChromium(profileFolder());
    const page = await opened(context);
    await call(page, "openBroker", "db");
    await call(page, "subscribeAndLeave", "load/#");
    await call(page, "publish", "load/1", "one", { qos: 1 });
    await call(page, "publish", "load/2", "two", { qos: 2 });
    await call(page, "publish", "kept", "retained", { qos: 1, retain: true });
    for (let times = 0; times < 3; times++) {
      await page.reload();
      await call(page, "openBroker", "db");
    }
    expect(await call(page, "retained", "kept")).toBe("kept retained");
    expect(await call(page, "received", "load/last")).toEqual(["load/1 one q1", "load/2 two q2"]);
    await page.reload();
    await call(page, "openBroker", "db");
    expect(await call(page, "received", "load/last")).toEqual([]);
  });

  describe.each([
    ["page's process", 3],
    ["browser", 2],
  ])("the %s is killed:", (killed, kills) => {
    test("every acknowledged message is there afterwards, and at QoS 2 once", async () => {
      const profile = profileFolder();
      let chromium = await startChromium(profile);
      let page = await opened(chromium.context);
      await call(page, "openBroker", "db");
      await call(page, "subscribeAndLeave", "load/#");
      for (let kill = 0; kill < kills; kill++) {
        const acknowledged = { 1: 0, 2: 0 };
        const enough = new Promise<void>((resolve) => {
          page.on("console", (line) => {
            const [, qos, n] = /^acknowledged (\d) (\d+)$/.exec(line.text())!;
            acknowledged[Number(qos) as 1 | 2] = Number(n);
            if (Number(n) === 20 * (kill + 1)) resolve();
          });
        });
        await call(page, "publishOn");
        await enough;
        if (killed === "browser") {
          chromium.process.child.kill("SIGKILL");
          await chromium.process.finished;
          chromium = await startChromium(profile);
        } else {
          const crashed = page.waitForEvent("crash");
          await killRenderers(chromium.browser);
          await crashed;
        }
        const counted = { ...acknowledged };
        page = await opened(chromium.context);
        await call(page, "openBroker", "db");
        const received = await call<string[]>(page, "received", "load/last");
        const payloads = (qos: 1 | 2): number[] =>
          received
            .filter((message) => message.startsWith(`load/${qos} `))
            .map((message) => Number(message.split(" ")[1]));
        for (const qos of [1, 2] as const) {
          const found = payloads(qos);
          // Those in order, and perhaps one whose acknowledgement was on its way.
          expect(found).toEqual(Array.from(found, (_, index) => index + 1));
          expect(found.length - counted[qos]).toBeGreaterThanOrEqual(0);
        }
        expect(counted[1] + counted[2]).toBeGreaterThan(20);
      }
    });
  });

  test("a second tab, a worker and a service worker are refused with one line, and have the store after it was closed", async () => {
    const { context } = await startChromium(profileFolder());
    const [first, second] = [await opened(context), await opened(context)];
    const line =
      'ConfigError: store: "db" is not allowed; allowed is a database that no other tab or worker uses';
    expect(await call(first, "opening", "db")).toBe("opened");
    expect(await call(second, "opening", "db", { lockWaitMillis: 0 })).toBe(line);
    expect(await call(second, "opening", "db", { lockWaitMillis: 50 })).toBe(line);
    expect(await call(first, "inWorker", "db")).toBe(line);
    expect(await call(first, "inServiceWorker", "db")).toBe(line);
    expect(await call(second, "opening", "another")).toBe("opened");
    expect(await call(first, "inServiceWorker", "service")).toBe("opened");
    // A tab that waits gets the store when the other one is closed.
    const waiting = call(second, "opening", "db", { lockWaitMillis: 2_147_483_647 });
    await first.close();
    expect(await waiting).toBe("opened");
    await call(second, "close");
    expect(await call(second, "inWorker", "db")).toBe("opened");
  });

  test("one line names the reason why a page has no store", async () => {
    const { context } = await startChromium(profileFolder());
    const insecure = await opened(context, "/", "insecure.test");
    expect(await call(insecure, "opening", "db")).toBe(
      "ConfigError: store: this page has no Web Locks, which keep a second tab off the store; serve it by HTTPS or from localhost",
    );
    const sandboxed = await opened(context, "/sandbox");
    expect(await call(sandboxed, "opening", "db")).toMatch(
      /^ConfigError: store: the browser refuses this page Web Locks \(SecurityError: [^\n]*\)$/,
    );
    const page = await opened(context);
    await page.evaluate("Object.defineProperty(globalThis, 'indexedDB', { value: undefined })");
    expect(await call(page, "opening", "db")).toBe(
      "ConfigError: store: the browser has no IndexedDB for this page; a private window or blocked cookies may be why",
    );
    const throwing = "{ get() { throw new DOMException('denied', 'SecurityError'); } }";
    const blocked = await opened(context);
    await blocked.evaluate(`Object.defineProperty(globalThis, 'indexedDB', ${throwing})`);
    expect(await call(blocked, "opening", "db")).toBe(
      "ConfigError: store: the browser has no IndexedDB for this page (SecurityError: denied); a private window or blocked cookies may be why",
    );
  });

  test("one line refuses a database of a newer version or another program, and an option that is wrong", async () => {
    const { context } = await startChromium(profileFolder());
    const page = await opened(context);
    const make = (name: string, version: number): Promise<unknown> =>
      page.evaluate(`new Promise((resolve) => {
        const request = indexedDB.open("${name}", ${version});
        request.onsuccess = () => resolve(request.result.close());
      })`);
    await make("newer", 7);
    expect(await call(page, "opening", "newer")).toBe(
      'ConfigError: store: "newer" is not allowed; allowed is a database of this version of sansmq or an older one',
    );
    await make("other", 1);
    expect(await call(page, "opening", "other")).toBe(
      'ConfigError: store: "other" is not allowed; allowed is a database that sansmq made',
    );
    // A refused store is not locked.
    expect(await call(page, "opening", "other", { lockWaitMillis: 0 })).toMatch(/sansmq made$/);
    expect(await call(page, "opening", "db", { lockWaitMilli: 1 })).toBe(
      "ConfigError: lockWaitMilli: unknown name; did you mean lockWaitMillis?",
    );
    expect(await call(page, "opening", "db", { lockWaitMillis: -1 })).toBe(
      "ConfigError: lockWaitMillis: -1 is not allowed; allowed is a whole number from 0 to 2147483647",
    );
  });

  test("a commit beyond the quota rejects with QuotaExceededError, and the next one succeeds when there is room", async () => {
    const { context } = await startChromium(profileFolder());
    const page = await opened(context);
    // Before the database is open: the browser asks rarely how much room there is.
    const session = await context.newCDPSession(page);
    await setQuota(page, session, 3_000_000);
    await call(page, "opening", "db");
    expect(await call(page, "committing", 10)).toBe("stored");
    expect(await call(page, "committing", 5_000_000)).toMatch(/^QuotaExceededError: /);
    expect(await call(page, "committing", 20)).toBe("stored");
    await setQuota(page, session, null);
    expect(await call(page, "committing", 5_000_000)).toBe("stored");
  });

  test("a commit after the data of the site was cleared says so", async () => {
    const { context } = await startChromium(profileFolder());
    const page = await opened(context);
    await call(page, "opening", "db");
    const session = await context.newCDPSession(page);
    onTestFinished(() => session.detach().catch(() => {}));
    const origin = new URL(page.url()).origin;
    await session.send("Storage.clearDataForOrigin", { origin, storageTypes: "indexeddb" });
    await expect
      .poll(() => call(page, "committing", 10))
      .toBe(
        "Error: store: the browser closed the database db, as when the data of the site is cleared",
      );
  });
});
