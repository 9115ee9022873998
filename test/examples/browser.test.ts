/** The example page in a real browser: bundled from the published files, with a broker in a worker and MQTT.js in the page. */
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { type BuildResult, build } from "esbuild";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { needs } from "../support/needs.ts";
import { chromiumCommand, pathOf } from "../support/peers.mjs";

const folder = fileURLToPath(new URL("../../docs/examples/browser/", import.meta.url));

/** Bundles as the documentation shows, without writing files. */
function bundled(...entryPoints: string[]): Promise<BuildResult<{ write: false; metafile: true }>> {
  return build({
    entryPoints: entryPoints.map((name) => `${folder}${name}`),
    bundle: true,
    minify: true,
    format: "esm",
    outdir: `${folder}out`,
    write: false,
    metafile: true,
    logLevel: "silent",
  });
}

/** The files that are in the first bundle. */
function included({ metafile }: BuildResult<{ write: false; metafile: true }>): string[] {
  const [output] = Object.values(metafile.outputs);
  const inputs = Object.entries(output!.inputs);
  return inputs.filter(([, { bytesInOutput }]) => bytesInOutput > 0).map(([path]) => path);
}

describe("bundles", () => {
  test("the core with the WASM codec, in a worker, is at most 210 KB", async () => {
    const { outputFiles, metafile } = await bundled("worker.js");
    const { length } = outputFiles[0]!.contents;
    console.log(`the worker's bundle has ${length} bytes`);
    expect(length).toBeLessThanOrEqual(210_000);
    expect(Object.keys(metafile.inputs).join()).toContain("codec-wasm/generated/module.js");
  });

  test("the worker's bundle without a store contains no store and no recovery", async () => {
    const paths = included(await bundled("worker.js")).join();
    expect(paths).not.toMatch(/indexeddb|core\/recovery/);
    const durable = await bundled("durable-worker.js");
    expect(included(durable).join()).toMatch(/indexeddb-store\.js/);
    const { length } = durable.outputFiles[0]!.contents;
    console.log(`the bundle of the worker with a store has ${length} bytes`);
  });

  test("the page's bundle contains no broker", async () => {
    const paths = included(await bundled("page.js"));
    expect(paths.filter((path) => /dist\/core\/broker\.js/.test(path))).toEqual([]);
  });

  test.each([
    ...["sansmq", "sansmq/local", "sansmq/core", "sansmq/codec-wasm"],
    ...["sansmq/storage/indexeddb", "sansmq/storage/testing"],
  ])("%s imports no Node module in a browser", async (name) => {
    const { metafile } = await build({
      stdin: { contents: `export * from "${name}";`, resolveDir: folder },
      bundle: true,
      platform: "browser",
      format: "esm",
      write: false,
      metafile: true,
      logLevel: "silent",
    });
    const imports = Object.values(metafile.outputs).flatMap((output) => output.imports);
    expect(imports).toEqual([]);
    expect(Object.keys(metafile.inputs).join()).not.toMatch(/adapters\/(node|bun|deno)\//);
  });
});

describe("in Chromium", needs("Chromium"), () => {
  let browser: Browser;
  let address: string;
  const server = createServer((request, response) => {
    answer(request.url!).then(
      ({ type, body }) => {
        response.setHeader("content-type", type);
        if (securityPolicy !== null) response.setHeader("content-security-policy", securityPolicy);
        response.end(body);
      },
      () => response.writeHead(404).end(),
    );
  });
  const outputs = new Map<string, Uint8Array>();

  async function answer(url: string): Promise<{ type: string; body: Uint8Array }> {
    if (url === "/out/worker.js") url = worker;
    if (url === "/") return { type: "text/html", body: await readFile(`${folder}index.html`) };
    const body = outputs.get(url);
    if (body === undefined) throw new Error(`no ${url}`);
    return { type: "text/javascript", body };
  }

  /** The worker of the page. A test may choose the one with a store. */
  let worker = "/out/worker.js";
  /** The Content-Security-Policy of the worker, while a test sets one. */
  let securityPolicy: string | null = null;

  beforeAll(async () => {
    const { outputFiles } = await bundled("page.js", "worker.js", "durable-worker.js");
    for (const { path, contents } of outputFiles) {
      outputs.set(`/${path.slice(folder.length)}`, contents);
    }
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    address = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    browser = await chromium.launch({
      executablePath: pathOf(chromiumCommand)!,
      args: [
        ...["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"],
        ...["--disable-background-networking", "--disable-component-update", "--disable-sync"],
      ],
    });
  }, 60_000);

  afterAll(async () => {
    await browser?.close();
    server.close();
  });

  async function opened(): Promise<Page> {
    const page = await browser.newPage({ viewport: { width: 960, height: 620 } });
    onTestFinished(() => page.close());
    const errors: string[] = [];
    page.on("pageerror", (error) => errors.push(String(error)));
    page.on("console", (message) => {
      // The console reports every violation of a page's policy, even if the program does not need the feature.
      const isForbidden = /Content Security Policy/.test(message.text());
      if (message.type() === "error" && !isForbidden) errors.push(message.text());
    });
    onTestFinished(() => expect(errors).toEqual([]));
    await page.goto(address);
    await page.locator("#state.connected").waitFor();
    await page.locator('[data-filter="home/#"]').waitFor();
    return page;
  }

  interface Message {
    readonly topic: string;
    readonly payload: string;
    readonly qos: 0 | 1 | 2;
    readonly retain?: boolean;
  }

  async function publish(
    page: Page,
    { topic, payload, qos, retain = false }: Message,
  ): Promise<void> {
    await page.locator('#publish [name="topic"]').fill(topic);
    await page.locator('#publish [name="payload"]').fill(payload);
    await page.locator('#publish [name="qos"]').selectOption(`${qos}`);
    await page.locator('#publish [name="retain"]').setChecked(retain);
    await page.locator("#publish button").click();
  }

  async function subscribe(page: Page, filter: string): Promise<void> {
    await page.locator("#filter").fill(filter);
    await page.locator("#subscribe button").click();
    await page.locator(`[data-filter="${filter}"]`).waitFor();
  }

  /** The rows of the page's log without the time, newest first, when there are at least `count`. */
  async function rows(page: Page, count: number): Promise<string[]> {
    await page
      .locator("#log tr")
      .nth(count - 1)
      .waitFor();
    const shown = await page.locator("#log tr").all();
    return Promise.all(
      shown.map(async (row) => (await row.locator("td").allTextContents()).slice(1).join(" ")),
    );
  }

  test("MQTT.js in the page publishes and receives at QoS 0, 1 and 2", async () => {
    const page = await opened();
    for (const qos of [0, 1, 2] as const) {
      await publish(page, { topic: "home/a", payload: `at ${qos}`, qos });
      expect((await rows(page, qos + 1))[0]).toBe(`home/a at ${qos} ${qos}`);
    }
    expect(await rows(page, 3)).toHaveLength(3);
  });

  test("a later subscriber receives a retained message, and a client does not receive a topic without a subscription", async () => {
    const page = await opened();
    await publish(page, { topic: "garden/gate", payload: "shut", qos: 1, retain: true });
    await publish(page, { topic: "home/a", payload: "after", qos: 0 });
    expect(await rows(page, 1)).toEqual(["home/a after 0"]);
    await subscribe(page, "garden/+");
    expect(await rows(page, 2)).toEqual(["garden/gate shut 1, retained", "home/a after 0"]);
    await page.locator('[data-filter="home/#"]').click();
    await page.locator('[data-filter="home/#"]').waitFor({ state: "detached" });
    await publish(page, { topic: "home/a", payload: "unheard", qos: 0 });
    await publish(page, { topic: "garden/gate", payload: "open", qos: 2 });
    expect((await rows(page, 3))[0]).toBe("garden/gate open 2");
  });

  test("the worker publishes $SYS counters, and its codec is WebAssembly", async () => {
    const page = await opened();
    await expect.poll(() => page.locator("#version").textContent()).toMatch(/^sansmq /);
    expect(await page.locator("#codec").textContent()).toBe("wasm-simd");
    await expect.poll(() => page.locator("#clients").textContent()).toBe("1");
    await publish(page, { topic: "home/a", payload: "x", qos: 0 });
    await expect.poll(() => page.locator("#received").textContent(), { timeout: 5000 }).toBe("1");
  });

  test("the codec is TypeScript if a page's policy forbids WebAssembly", async () => {
    securityPolicy = "script-src 'self'";
    onTestFinished(() => {
      securityPolicy = null;
    });
    const page = await opened();
    await expect.poll(() => page.locator("#codec").textContent()).toBe("ts");
  });

  test("a payload of a megabyte arrives complete through the port", async () => {
    const page = await opened();
    const payload = "m".repeat(1_000_000);
    await publish(page, { topic: "home/big", payload, qos: 1 });
    expect((await rows(page, 1))[0]).toBe(`home/big ${payload} 1`);
  });

  test("with the store, a retained message is there after the page was loaded again", async () => {
    worker = "/out/durable-worker.js";
    onTestFinished(() => {
      worker = "/out/worker.js";
    });
    const page = await opened();
    await publish(page, { topic: "home/a", payload: "kept", qos: 1, retain: true });
    expect(await rows(page, 1)).toEqual(["home/a kept 1"]);
    await page.reload();
    expect(await rows(page, 1)).toEqual(["home/a kept 1, retained"]);
  });

  // `PICTURE=docs/images/browser.png npx vitest run test/examples/browser.test.ts` takes the picture again.
  test("the picture for the documentation can be taken", async () => {
    const page = await opened();
    await subscribe(page, "garden/+");
    await publish(page, { topic: "garden/gate", payload: "shut", qos: 1, retain: true });
    await publish(page, { topic: "home/hall/door", payload: '{"open":true}', qos: 1 });
    await publish(page, { topic: "home/kitchen/humidity", payload: "48", qos: 2 });
    await publish(page, { topic: "home/kitchen/temperature", payload: "21.5", qos: 0 });
    await rows(page, 4);
    await expect.poll(() => page.locator("#received").textContent(), { timeout: 5000 }).toBe("4");
    const path = process.env["PICTURE"];
    const picture = await page.screenshot(path === undefined ? {} : { path });
    expect(picture.length).toBeGreaterThan(10_000);
  });
});
