/** The answers of a program's policy functions, valid and invalid. */
import { describe, expect, onTestFinished, test } from "vitest";
import type { BrokerOptions } from "../../adapters/broker-options.ts";
import { type AuthenticationExchange, Reason } from "../../adapters/mod.ts";
import { createBroker } from "../../adapters/node/mod.ts";
import * as wire from "../conformance/wire.ts";
import { startLocal as start } from "../support/local.ts";
import { connect } from "../support/packets.ts";
import { openSocket } from "../support/socket-client.ts";

/** At once, and later. */
const ways = {
  "at once": (answer: unknown) => answer,
  later: async (answer: unknown) => answer,
} as const;

/** A broker whose functions return a given value, and the errors reported to its program. */
function answering(options: object) {
  const broker = start(options as BrokerOptions);
  const errors: unknown[] = [];
  broker.on("error", ({ error }) => errors.push(error));
  return { broker, errors };
}

describe.each(Object.entries(ways))("a function that answers %s", (_, answers) => {
  test("receives the same client object for every decision about a connection", async () => {
    // A program may use the client object as a key, for example of a WeakMap.
    const seen = new Set<object>();
    const see = (client: object): unknown => {
      seen.add(client);
      return answers(true);
    };
    const { broker } = answering({
      authenticate: see,
      authorizePublish: see,
      authorizeSubscribe: see,
    });
    const client = await broker.connect({ will: { topic: "will", payload: "x" } });
    await client.subscribe("a");
    await client.publish("a", "x", { qos: 1 });
    expect(seen.size).toBe(1);
  });

  test("refuses a connection with a reason code, a Reason String and a Server Reference", async () => {
    const refusals: Record<string, unknown> = {
      busy: { reason: Reason.ServerBusy },
      full: { reason: Reason.QuotaExceeded, reasonString: "the house is full" },
      moved: { reason: Reason.ServerMoved, serverReference: "other.example" },
      no: false,
      yes: true,
    };
    const authenticate = ({ clientId }: { clientId: string }) => answers(refusals[clientId]);
    const { broker, errors } = answering({ authenticate });
    const refused = async (clientId: string): Promise<unknown> =>
      broker.connect({ clientId }).catch((error: unknown) => error);
    expect(await refused("busy")).toMatchObject({
      ...{ packet: "CONNACK", reason: 0x89, properties: { ReasonString: "server busy" } },
    });
    expect(await refused("full")).toMatchObject({
      ...{ reason: 0x97, properties: { ReasonString: "the house is full" } },
    });
    expect(await refused("moved")).toMatchObject({
      ...{ reason: 0x9d, properties: { ServerReference: "other.example" } },
    });
    expect(await refused("no")).toMatchObject({ reason: 0x87 });
    expect(await refused("yes")).toMatchObject({ isClosed: false });
    expect(errors).toEqual([]);
  });

  test("refuses publishes, wills and subscriptions with a reason", async () => {
    const refusal = { reason: Reason.QuotaExceeded, reasonString: "enough" };
    const { broker, errors } = answering({
      authorizePublish: (_client: unknown, topic: string) => answers(topic === "t" || refusal),
      authorizeSubscribe: (_client: unknown, filter: string) => answers(filter === "t" || refusal),
    });
    const told = { reason: 0x97, properties: { ReasonString: "enough" } };
    const client = await broker.connect();
    await client.publish("t", "x", { qos: 1 });
    await client.subscribe("t");
    await expect(client.publish("u", "x", { qos: 1 })).rejects.toMatchObject(told);
    await expect(client.publish("u", "x", { qos: 2 })).rejects.toMatchObject(told);
    await expect(client.subscribe("u")).rejects.toMatchObject(told);
    await expect(broker.connect({ will: { topic: "u" } })).rejects.toMatchObject(told);
    expect(errors).toEqual([]);
  });

  /** Invalid answers by the field that the error names. */
  const bad: Record<string, unknown[]> = {
    authenticate: [undefined, null, 0, 1, "yes", Symbol("x"), [true], new Map()],
    "authenticate.reason": [
      ...[{}, new Error("no"), { reason: 0 }, { reason: "0x89" }, { reason: 0x7f }],
      ...[{ reason: Reason.TopicFilterInvalid }, { reason: 0xff }, { reason: 128.5 }],
    ],
    "authenticate.reasonString": [
      { reason: 0x89, reasonString: 5 },
      { reason: 0x89, reasonString: "x".repeat(257) },
      { reason: 0x89, reasonString: "\0" },
    ],
    "authenticate.serverReference": [
      { reason: 0x9c, serverReference: 5 },
      { reason: 0x89, serverReference: "other.example" },
    ],
    "authenticate.returnCode": [{ returnCode: 4 }],
    "authenticate.reasonCode": [{ reasonCode: 0x89 }],
  };
  test.each(Object.entries(bad))(
    "with an invalid answer accepts no client, and the program receives an error about %s",
    async (field, values) => {
      let next: unknown;
      const { broker, errors } = answering({ authenticate: () => answers(next) });
      for (const value of values) {
        next = value;
        await expect(broker.connect()).rejects.toMatchObject({ reason: Reason.ServerUnavailable });
        expect(errors.splice(0)).toMatchObject([{ name: "ConfigError", field }]);
      }
    },
  );

  test("refuses to publish and subscribe with an invalid answer, and reports an error", async () => {
    const { broker, errors } = answering({
      authorizePublish: () => answers(undefined),
      authorizeSubscribe: () => answers({ reason: Reason.BadUserNameOrPassword }),
    });
    const client = await broker.connect();
    await expect(client.publish("t", "x", { qos: 1 })).rejects.toMatchObject({ packet: "PUBACK" });
    await expect(client.subscribe("t")).rejects.toMatchObject({ packet: "SUBACK" });
    await expect(broker.connect({ will: { topic: "t" } })).rejects.toMatchObject({ reason: 0x88 });
    expect(errors).toMatchObject([
      { name: "ConfigError", field: "authorizePublish", value: undefined },
      { name: "ConfigError", field: "authorizeSubscribe.reason" },
      { name: "ConfigError", field: "authorizePublish" },
    ]);
    expect(broker.counters.subscriptions).toBe(0);
  });
});

test("a function with a callback, as in aedes, is an error when the broker is created", async () => {
  const authenticate = (_client: unknown, _name: unknown, _word: unknown, done: () => void) =>
    done();
  const options = { authenticate } as unknown as BrokerOptions;
  await expect(createBroker(options)).rejects.toMatchObject({
    ...{ name: "ConfigError", field: "authenticate" },
    message: expect.stringContaining("(client, password)"),
  });
  // A callback cannot be told by the count of arguments of the other functions: calling it is a TypeError.
  const { broker, errors } = answering({
    authorizePublish: (_client: unknown, _packet: unknown, done: () => void) => done(),
  });
  const client = await broker.connect();
  await expect(client.publish("t", "x", { qos: 1 })).rejects.toMatchObject({ packet: "PUBACK" });
  expect(errors).toMatchObject([{ name: "TypeError" }]);
});

test("a 3.1.1 client receives the return code nearest to the reason", async () => {
  const reasons: Record<string, number> = { "3": 0x89, "4": 0x86, "5": 0x8a };
  const broker = await createBroker({
    tcp: { port: 0 },
    authenticate: ({ clientId }) => ({ reason: reasons[clientId]! }),
  });
  onTestFinished(() => broker.close(100));
  for (const code of ["3", "4", "5"]) {
    const client = await openSocket(broker.addresses[0]!);
    client.send(connect({ clientId: code }));
    expect(await client.takes(1)).toEqual([`CONNACK present=0 code=${code}`]);
    await client.closed;
  }
});

describe("a method of authentication", () => {
  /** The reply to a client of the method, if the method returns `step`. */
  function told(step: unknown) {
    return toldBy({ step: async () => step });
  }

  /** The same if `begin` returns `exchange`. */
  async function toldBy(exchange: unknown) {
    const { broker, errors } = answering({
      methods: { m: { begin: () => exchange as AuthenticationExchange } },
    });
    const { readable, writable } = broker.pipe();
    const props = { AuthenticationMethod: "m" };
    void writable.getWriter().write(wire.connect(5, { clientId: "c", props }));
    const { value } = await readable.getReader().read();
    return { packet: wire.firstPacket(value!, 5)!, errors };
  }

  test.each([
    ["methods.m", undefined],
    ["methods.m", true],
    ["methods.m.kind", { kind: "acept", username: "ada" }],
    ["methods.m.kind", { username: "ada" }],
    ["methods.m.username", { kind: "accept" }],
    ["methods.m.username", { kind: "accept", username: 5 }],
    ["methods.m.data", { kind: "accept", username: "ada", data: "x" }],
    ["methods.m.data", { kind: "challenge" }],
    ["methods.m.reason", { kind: "refuse", reason: 0 }],
    ["methods.m.why", { kind: "refuse", why: "x" }],
    ["methods.m.dta", { kind: "accept", username: "ada", dta: Uint8Array.of(1) }],
    ["methods.m.why", { kind: "challenge", data: Uint8Array.of(1), why: "x" }],
  ])(
    "accepts no client by an invalid step, and the program receives an error about %s",
    async (field, step) => {
      const { packet, errors } = await told(step);
      expect(packet).toMatchObject({ type: "CONNACK", reason: Reason.ServerUnavailable });
      expect(errors).toMatchObject([{ name: "ConfigError", field }]);
    },
  );

  class Misspelt {
    async stp(): Promise<void> {}
  }
  test.each([
    ["methods.m.begin()", undefined],
    ["methods.m.begin()", Promise.resolve({ step: async () => ({ kind: "refuse" }) })],
    ["methods.m.begin().step", {}],
    ["methods.m.begin().step", { step: "accept" }],
    ["methods.m.begin().stp", new Misspelt()],
  ])(
    "accepts no client by an invalid exchange, and the program receives an error about %s",
    async (field, exchange) => {
      const { packet, errors } = await toldBy(exchange);
      expect(packet).toMatchObject({ type: "CONNACK", reason: Reason.ServerUnavailable });
      expect(errors).toMatchObject([{ name: "ConfigError", field }]);
    },
  );

  test("accepts a step that is an instance of a class with more of its own", async () => {
    class Accepted {
      kind = "accept";
      username = "ada";
      issuer = "here";
    }
    const { packet, errors } = await told(new Accepted());
    expect([packet.reason, errors]).toEqual([0, []]);
  });

  test("refuses with a reason code and a Reason String", async () => {
    const plain = await told({ kind: "refuse" });
    expect(plain.packet.reason).toBe(Reason.NotAuthorized);
    const reasonString = "the key is revoked";
    const own = await told({ kind: "refuse", reason: Reason.Banned, reasonString });
    const props = { ReasonString: reasonString };
    expect(own.packet).toMatchObject({ reason: Reason.Banned, props });
    expect([...plain.errors, ...own.errors]).toEqual([]);
  });

  test("accepts", async () => {
    const { packet } = await told({ kind: "accept", username: "ada", data: Uint8Array.of(1) });
    expect(packet).toMatchObject({ type: "CONNACK", reason: 0 });
  });
});
