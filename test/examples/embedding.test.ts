/** docs/embedding.md and docs/browser.md show the code that runs, and a test runs every example of the documentation. */
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import mqtt from "mqtt";
import { describe, expect, onTestFinished, test } from "vitest";
import { run } from "../support/process.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const read = (path: string): string => readFileSync(`${root}${path}`, "utf8");

/** The blocks of code in one language, in order. */
function blocks(path: string, language: string): string[] {
  const found = read(path).matchAll(new RegExp(`^\`\`\`${language}\n(.*?)\n\`\`\`$`, "gms"));
  return Array.from(found, (match) => match[1]!);
}

describe("the documentation shows", () => {
  test("the tested adapter, from its first line to its last", () => {
    expect(blocks("docs/embedding.md", "ts").join("\n\n")).toBe(
      read("test/adapters/own-adapter.ts").trimEnd(),
    );
  });

  test.each([
    ["docs/embedding.md", ["docs/examples/http-server.mjs", "docs/examples/policy.mjs"]],
    [
      "docs/durability.md",
      ["docs/examples/store/log-store.mjs", "docs/examples/store/node.test.mjs"],
    ],
    [
      "docs/browser.md",
      [
        "docs/examples/browser/worker.js",
        "docs/examples/browser/durable-worker.js",
        "docs/examples/browser/page.js",
      ],
    ],
  ])("in %s parts of the examples, unchanged", (document, examples) => {
    const sources = examples.map(read);
    const shown = blocks(document, "js");
    expect(shown.length).toBeGreaterThan(0);
    const strange = shown.filter((block) => !sources.some((source) => source.includes(block)));
    expect(strange).toEqual([]);
  });
});

test("a test runs every example of the documentation", () => {
  const tests = ["test", "test/examples"].flatMap((folder) =>
    readdirSync(`${root}${folder}`)
      .filter((name) => name.endsWith(".test.ts"))
      .map((name) => read(`${folder}/${name}`)),
  );
  const examples = readdirSync(`${root}docs/examples`);
  const unnamed = examples.filter(
    (name) => !tests.some((text) => text.includes(`examples/${name}`)),
  );
  expect(unnamed).toEqual([]);
});

test("the HTTP server of the documentation serves requests and MQTT on one port", async () => {
  process.env["PORT"] = "0";
  const example = run(process.execPath, `${root}docs/examples/http-server.mjs`);
  const [, http] = await example.says(/serving (http:\S+)/);
  const client = await mqtt.connectAsync(`${http!.replace("http", "ws")}/mqtt`, {
    reconnectPeriod: 0,
  });
  onTestFinished(() => void client.end(true));
  await client.subscribeAsync("doors/#", { qos: 1 });
  const came = new Promise<string>((resolve) => {
    client.on("message", (topic, payload) => resolve(`${topic} ${payload.toString()}`));
  });
  const posted = await fetch(`${http}/topics/doors/front`, { method: "POST", body: "open" });
  expect(posted.status).toBe(204);
  expect(await came).toBe("doors/front open");
  const wrong = await fetch(`${http}/topics/a/%2B`, { method: "POST", body: "open" });
  expect(wrong.status).toBe(400);
  expect(await wrong.text()).toMatch(/^topic: "a\/\+" is not allowed; allowed is a topic name/);
  const clients = await fetch(`${http}/clients`);
  expect(await clients.json()).toEqual({ connected: 1 });
  expect(await (await fetch(http!)).text()).toBe("MQTT is at /mqtt, by WebSocket\n");
  const ended = new Promise<void>((resolve) => client.once("close", () => resolve()));
  example.child.kill("SIGINT");
  await ended;
  expect((await example.finished).code).toBe(0);
});

test("the policy of the documentation gives the reason for a refusal", async () => {
  process.env["PORT"] = "0";
  const example = run(process.execPath, `${root}docs/examples/policy.mjs`);
  const [, address] = await example.says(/serving tcp:(\S+)/);
  const connect = (username: string, password: string): Promise<mqtt.MqttClient> =>
    mqtt.connectAsync(`mqtt:${address}`, {
      ...{ username, password, protocolVersion: 5, reconnectPeriod: 0 },
    });
  const client = await connect("ada", "lovelace");
  onTestFinished(() => void client.end(true));
  await client.publishAsync("ada/door", "open", { qos: 1 });
  await expect(client.publishAsync("eve/door", "open", { qos: 1 })).rejects.toMatchObject({
    code: 0x90,
  });
  await expect(connect("ada", "wrong")).rejects.toMatchObject({ code: 0x86 });
  await expect(connect("nobody", "wrong")).rejects.toMatchObject({ code: 0x86 });
  await expect(connect("eve", "moriarty")).rejects.toMatchObject({ code: 0x8a });
  example.child.kill("SIGINT");
  expect(await example.finished).toMatchObject({ code: 0, stderr: "" });
});
