/** Refusals are reported as events, whether or not the protocol can tell the client. */
import { describe, expect, test } from "vitest";
import { CloseCause, Reason, Verdict } from "../../../core/mod.ts";
import { TestBroker } from "../../support/broker.ts";
import { pingreq, publish, subscribe } from "../../support/packets.ts";

function denied(world: TestBroker) {
  return world.events().filter(({ kind }) => kind === "denied");
}

const info = { transport: "local", remote: "test", peer: null };

describe("reports a refused subscription", () => {
  const toldOf = (world: TestBroker, level: 3 | 4) => {
    world.connected({ clientId: "c", level }).subscribes(1, ["a", 0], ["no/#", 1]);
    return denied(world);
  };
  const refusals = {
    "by a limit": [{ limits: { subscriptionsPerClientMax: 1 } }, Reason.QuotaExceeded],
    "by a setting": [
      { limits: { wildcardAvailable: 0 } },
      Reason.WildcardSubscriptionsNotSupported,
    ],
    "by the policy": [
      {
        policy: {
          subscribe: (_: number, filter: string) => (filter === "a" ? Verdict.Allow : Verdict.Deny),
        },
      },
      Reason.NotAuthorized,
    ],
  } as const;

  test.each(Object.entries(refusals))("%s", (_, [options, reason]) => {
    for (const level of [3, 4] as const) {
      expect(toldOf(new TestBroker(options), level)).toEqual([
        { kind: "denied", clientId: "c", info, action: "subscribe", topic: "no/#", reason },
      ]);
    }
  });

  test("by a pending decision", () => {
    const world = new TestBroker({ policy: { subscribe: () => Verdict.Pending } });
    const client = world.connected("c").subscribes(1, ["a", 0], ["no/#", 1]);
    expect(denied(world)).toEqual([]);
    world.decide(client, { kind: "filters", reasons: [0, Reason.QuotaExceeded] });
    expect(denied(world)).toMatchObject([{ topic: "no/#", reason: Reason.QuotaExceeded }]);
  });
});

describe("reports a refused PUBLISH", () => {
  test.each([0, 1, 2] as const)("to $SYS, at QoS %i", (qos) => {
    const world = new TestBroker();
    world.connected("c").publishes("$SYS/no", "x", { qos });
    expect(denied(world)).toEqual([
      {
        ...{ kind: "denied", clientId: "c", info, action: "publish", topic: "$SYS/no" },
        reason: Reason.NotAuthorized,
      },
    ]);
  });

  test("by the policy, at once or after a pending decision", () => {
    for (const verdict of [Verdict.Deny, Verdict.Pending]) {
      const world = new TestBroker({ policy: { publish: () => verdict } });
      const client = world.connected("c").publishes("a", "x");
      if (verdict === Verdict.Pending) {
        expect(denied(world)).toEqual([]);
        world.decide(client, { kind: "deny", reason: Reason.NotAuthorized });
      }
      expect(denied(world)).toMatchObject([{ action: "publish", topic: "a" }]);
    }
  });

  test("that exceeds the memory limit", () => {
    const limits = { messageBytesMax: 1_048_576, packetBytesMax: 1_048_576 };
    const world = new TestBroker({ limits });
    world.connected("s").subscribes(1, ["a", 0]);
    const payload = new Uint8Array(700_000);
    world.connected("c").send(publish("r", payload, { retain: true }), publish("a", payload));
    expect(denied(world)).toMatchObject([
      { clientId: "c", action: "publish", topic: "a", reason: Reason.QuotaExceeded },
    ]);
  });

  test("and reports no allowed PUBLISH", () => {
    const world = new TestBroker();
    world.connected("c").send(publish("a", "x", { qos: 1 }), subscribe(1, ["a", 0]));
    expect(denied(world)).toEqual([]);
  });
});

test("reports a message or will that a limit keeps from being retained", () => {
  const world = new TestBroker({ limits: { retainedMessagesMax: 1, sysMillis: 0 } });
  const will = { topic: "w", payload: "x", retain: true };
  const client = world.connected({ clientId: "c", will });
  client.send(publish("a", "x", { retain: true }), publish("b", "x", { retain: true }));
  const reason = Reason.QuotaExceeded;
  expect(denied(world)).toEqual([
    { kind: "denied", clientId: "c", info, action: "retain", topic: "b", reason },
  ]);
  client.cut();
  expect(denied(world)).toEqual([
    { kind: "denied", clientId: "c", info: null, action: "retain", topic: "w", reason },
  ]);
});

describe("reports a refused will", () => {
  const toldOf = (world: TestBroker, topic: string) => {
    world.open().connects({ clientId: "c", will: { topic, payload: "x", qos: 1 } });
    return world.events();
  };

  test.each([
    ["on $SYS", "$SYS/will", {}, Reason.NotAuthorized],
    ["by the policy", "w", { policy: { publish: () => Verdict.Deny } }, Reason.NotAuthorized],
    ["for its QoS", "w", { limits: { qosMax: 0 } }, Reason.QoSNotSupported],
    ["for its topic", "w/+", {}, Reason.TopicNameInvalid],
  ])("%s, and the CONNECT with it", (_, topic, options, reason) => {
    expect(toldOf(new TestBroker(options), topic)).toMatchObject([
      { kind: "denied", clientId: "c", info, action: "will", topic, reason },
      { kind: "refused", clientId: "c", reason, hasConnect: true },
    ]);
  });

  test("but not if the client itself is refused", () => {
    const world = new TestBroker({ policy: { authenticate: () => Verdict.Deny } });
    expect(toldOf(world, "$SYS/will").map(({ kind }) => kind)).toEqual(["refused"]);
  });
});

describe("a connection that ends before it is accepted", () => {
  test("is reported with whether a CONNECT arrived and how it ended", () => {
    const world = new TestBroker({
      limits: { connectMillisMax: 1000 },
      policy: { authenticate: () => Verdict.Pending },
    });
    world.open().cut(CloseCause.Ended);
    world.open().cut(CloseCause.Error);
    world.open().send(pingreq);
    world.open().connects({ clientId: "asked" }).cut(CloseCause.Ended);
    world.open();
    world.advance(1000);
    expect(world.events()).toMatchObject([
      { kind: "refused", hasConnect: false, reason: Reason.Unspecified },
      { kind: "refused", hasConnect: false, reason: Reason.Unspecified },
      { kind: "refused", hasConnect: false, reason: Reason.ProtocolError },
      { kind: "refused", hasConnect: true, reason: Reason.Unspecified, clientId: "asked" },
      { kind: "refused", hasConnect: false, reason: Reason.MaximumConnectTime },
    ]);
  });
});
