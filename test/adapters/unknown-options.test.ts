/** An unknown option is an error that names the nearest option. An ignored option could leave a broker open to all. */
import { readFileSync } from "node:fs";
import { describe, expect, onTestFinished, test } from "vitest";
import { createLocalBroker, portSocket } from "../../adapters/local/mod.ts";
import { createBroker } from "../../adapters/node/mod.ts";
import { createTestBroker } from "../../adapters/testing/mod.ts";
import { connect } from "../support/packets.ts";
import { openSocket } from "../support/socket-client.ts";

/** The reason of a rejection, or the thrown exception. */
async function fault(ask: () => unknown): Promise<Error> {
  try {
    await ask();
  } catch (error) {
    return error as Error;
  }
  throw new Error("nothing was told");
}

/** An instance of a class, whose functions are those of its prototype. */
class Misspelt {
  begn(): void {}
  comit(): void {}
  close(): void {}
}

describe("the error for an unknown option", () => {
  const told: Readonly<Record<string, object>> = {
    "autenticate: unknown name; did you mean authenticate?": { autenticate: () => false },
    "authorizePublsh: unknown name; did you mean authorizePublish?": { authorizePublsh: null },
    "tcp.hots: unknown name; did you mean tcp.host?": { tcp: { hots: "::" } },
    "packetBytesMax: unknown name; did you mean limits.packetBytesMax?": { packetBytesMax: 500 },
    "maxConnections: unknown name; did you mean limits.connectionsMax?": { maxConnections: 5 },
    "authorizeForward: unknown name; use authorizeSubscribe: ": { authorizeForward: () => null },
    "preConnect: unknown name; use authenticate: ": { preConnect: () => {} },
    "authorizeforward: unknown name; use authorizeSubscribe: ": { authorizeforward: () => null },
    "auth: unknown name; did you mean authenticate?": { auth: () => false },
    "passwd: unknown name; use users: { name: password }": { passwd: "secret" },
    "passwords: unknown name; use users: { name: password }": { passwords: { ada: "secret" } },
    "limits.maxPacketBytes: unknown name; did you mean limits.packetBytesMax?": {
      limits: { maxPacketBytes: 500 },
    },
    "limits.subscriptionMax: unknown name; did you mean limits.subscriptionsMax?": {
      limits: Object.create({ subscriptionMax: 1 }),
    },
    "limits.packetBytesMax: 1 is not allowed": { limits: Object.create({ packetBytesMax: 1 }) },
    "methods.X.proceed: unknown name; allowed are methods.X.begin": {
      methods: { X: { begin() {}, proceed() {} } },
    },
    "methods.X.begn: unknown name; did you mean methods.X.begin?": {
      methods: { X: new Misspelt() },
    },
    "store.comit: unknown name; did you mean store.commit?": { store: new Misspelt() },
    "users: [object WeakMap] is not allowed; allowed is a plain object": { users: new WeakMap() },
    "users: [object Object] is not allowed; allowed is a plain object": {
      users: Object.create({ ada: "secret" }),
    },
    "published: unknown name; use broker.on(": { published: () => {} },
    "port: unknown name; use tcp: { port }": { port: 1883 },
    "password: unknown name; use users: { name: password }": { password: "secret" },
    "nonsense: unknown name; allowed are users, ": { nonsense: "secret" },
  };
  test.each(Object.entries(told))("%s", async (message, options) => {
    const error = await fault(() => createBroker(options));
    expect(error.message.slice(0, message.length)).toBe(message);
    // A value under a wrong name may be a password.
    expect(error.message).not.toContain("secret");
  });

  test("says that a broker in the process does not listen", async () => {
    const error = await fault(() => createLocalBroker({ tcp: { port: 0 } } as object));
    expect(error.message).toMatch(/^tcp: unknown name; this broker does not listen/);
  });

  test("every option of aedes is supported, or is an error", async () => {
    const source = readFileSync(
      new URL("../../node_modules/aedes/aedes.js", import.meta.url),
      "utf8",
    );
    const names = new Set(Array.from(source.matchAll(/\bopts\.(\w+)/g), ([, name]) => name!));
    expect(names.size).toBeGreaterThan(10);
    const ours = ["authenticate", "authorizePublish", "authorizeSubscribe", "trustedProxies"];
    for (const name of ours) {
      expect(names.delete(name)).toBe(true);
    }
    for (const name of names) {
      const error = await fault(() => createBroker({ tcp: false, [name]: undefined }));
      expect(error, name).toMatchObject({ name: "ConfigError", field: name });
    }
  });
});

test("the error for a misspelt property that is not allowed names that property", async () => {
  const broker = createLocalBroker();
  onTestFinished(() => broker.close(100));
  const properties = { WillDelayIntervl: 1 } as object;
  const error = await fault(() => broker.connect({ will: { topic: "a", properties } }));
  expect(error.message).toMatch(
    /^will\.properties\.WillDelayIntervl: unknown name; WillDelayInterval is not allowed here; allowed are Payload/,
  );
});

test("a function without options rejects an argument", async () => {
  const broker = createLocalBroker();
  onTestFinished(() => broker.close(100));
  const call = (ask: unknown, ...given: unknown[]) =>
    fault(() => (ask as (...all: unknown[]) => unknown).apply(broker, given));
  const { port1, port2 } = new MessageChannel();
  onTestFinished(() => port1.close());
  const error = { name: "ConfigError", field: "options", allowed: "no options" };
  expect(await call(broker.pipe, { remote: "a" })).toMatchObject(error);
  expect(await call(portSocket, port1, { remote: "a" })).toMatchObject(error);
  expect(await call(broker.servePort, port2, { remote: "a" })).toMatchObject(error);
  expect(() => broker.pipe()).not.toThrow();
  expect(() => [port1].map(portSocket)).not.toThrow();
});

test("accepts inherited options", async () => {
  const defaults = { users: { ada: "lovelace" } };
  const [local, tested] = [
    createLocalBroker(Object.create(defaults)),
    createTestBroker(Object.create(defaults)),
  ];
  const outer = await createBroker(Object.assign(Object.create(defaults), { tcp: { port: 0 } }));
  for (const broker of [local, tested, outer]) onTestFinished(() => broker.close(100));
  for (const broker of [local, tested]) {
    await expect(broker.connect()).rejects.toMatchObject({ reason: 0x87 });
    const named = Object.create({ username: "ada", password: "lovelace" });
    expect((await broker.connect(named)).isClosed).toBe(false);
  }
  const client = await openSocket(outer.addresses[0]!);
  client.send(connect());
  expect(await client.takes(1)).toEqual(["CONNACK present=0 code=5"]);
});
