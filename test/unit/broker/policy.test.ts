import { describe, expect, test } from "vitest";
import { EffectKind, Reason, Verdict } from "../../../core/mod.ts";
import { TestBroker } from "../../support/broker.ts";
import { concat, connect, disconnect, pingreq, publish, subscribe } from "../../support/packets.ts";

test("[MQTT311-3.2.2-4] refuses a denied client with code 5 without a user name and code 4 with one, and closes", () => {
  const world = new TestBroker({ policy: { authenticate: () => Verdict.Deny } });
  const anonymous = world.open().connects();
  expect(anonymous.takes()).toEqual(["CONNACK present=0 code=5"]);
  expect(anonymous.ended).toBe(EffectKind.Close); // [MQTT311-3.2.2-5]
  const named = world.open().connects({ username: "u", password: "p" });
  expect(named.takes()).toEqual(["CONNACK present=0 code=4"]);
  expect(world.count("connectsRefused")).toBe(2);
});

test("gives the policy the identity of a connecting client", () => {
  const seen: unknown[] = [];
  const authenticate = (request: unknown) => {
    seen.push(request);
    return Verdict.Allow;
  };
  const world = new TestBroker({ policy: { authenticate } });
  world.open().connects({ clientId: "me", username: "u", password: "p" });
  expect(seen).toMatchObject([
    { clientId: "me", level: 4, username: "u", password: new TextEncoder().encode("p") },
  ]);
});

test("handles the packets that a client sends before its CONNACK after the decision", () => {
  const world = new TestBroker({ policy: { authenticate: () => Verdict.Pending } });
  const other = world.open();
  const client = world.open();
  client.send(concat(connect({ clientId: "c" }), subscribe(1, ["a", 0])), publish("a", "x"));
  expect(client.takes()).toEqual([]);
  expect(client.isReading).toBe(false);
  expect(world.requests).toMatchObject([{ kind: "authenticate", clientId: "c" }]);
  world.decide(other, { kind: "allow" }); // not asked for: ignored
  world.decide(client, { kind: "allow" });
  expect(client.takes()).toEqual(["CONNACK present=0 code=0", "SUBACK #1 0", 'PUBLISH a "x" q0']);
  expect(client.isReading).toBe(true);
  expect(world.count("inputBytes")).toBe(0);
});

test("refuses a pending CONNECT with the reason of the decision", () => {
  for (const [reason, code] of [
    [Reason.BadUserNameOrPassword, 4],
    [Reason.NotAuthorized, 5],
    [Reason.ServerUnavailable, 3],
  ] as const) {
    const world = new TestBroker({ policy: { authenticate: () => Verdict.Pending } });
    const client = world.open().connects();
    world.decide(client, { kind: "deny", reason });
    expect(client.takes()).toEqual([`CONNACK present=0 code=${code}`]);
  }
});

test("a client that leaves during its pending decision leaves nothing behind", () => {
  const world = new TestBroker({ policy: { authenticate: () => Verdict.Pending } });
  const client = world.open().send(concat(connect(), pingreq));
  client.cut();
  world.decide(client, { kind: "allow" });
  expect(world.count("sessions")).toBe(0);
  expect(world.count("inputBytes")).toBe(0);
});

describe("[MQTT311-3.3.5-2] a denied PUBLISH is acknowledged and not delivered", () => {
  test.each([
    [0, []],
    [1, ["PUBACK #5"]],
    [2, ["PUBREC #5"]],
  ] as const)("QoS %i", (qos, answer) => {
    const policy = { publish: (_: number, topic: string) => Number(topic === "secret") as 0 | 1 };
    const world = new TestBroker({ policy });
    const client = world.connected().subscribes(1, ["#", 0]);
    client.takes();
    client.publishes("secret", "x", { qos, id: 5, retain: true });
    expect(client.takes()).toEqual(answer);
    expect(world.count("publishesDenied")).toBe(1);
    expect(world.count("retainedMessages")).toBe(0);
  });
});

test("a pending PUBLISH parks its own connection and no other, and keeps the order", () => {
  const policy = {
    publish: (_: number, topic: string) => (topic === "ask" ? Verdict.Pending : Verdict.Allow),
  };
  const world = new TestBroker({ policy });
  const watcher = world.connected("w").subscribes(1, ["#", 0]);
  watcher.takes();
  const client = world.connected("c");
  const chunk = [publish("now", "1"), publish("ask", "2"), publish("later", "3"), pingreq];
  client.send(concat(...chunk));
  watcher.publishes("other", "4");
  expect(watcher.takes()).toEqual(['PUBLISH now "1" q0', 'PUBLISH other "4" q0']);
  expect(world.requests).toMatchObject([{ kind: "publish", clientId: "c", topic: "ask", qos: 0 }]);
  world.decide(client, { kind: "allow" });
  expect(watcher.takes()).toEqual(['PUBLISH ask "2" q0', 'PUBLISH later "3" q0']);
  client.send(publish("ask", "5", { qos: 1 }), publish("ask", "6", { qos: 1 }));
  world.decide(client, { kind: "deny", reason: Reason.NotAuthorized });
  world.decide(client, { kind: "allow" });
  expect(client.takes()).toEqual(["PINGRESP", "PUBACK #1", "PUBACK #1"]);
  expect(watcher.takes()).toEqual(['PUBLISH ask "6" q0']);
});

test("handles a pending PUBLISH that arrived in several chunks", () => {
  const world = new TestBroker({ policy: { publish: () => Verdict.Pending } });
  const client = world.connected().subscribes(1, ["a", 0]);
  client.takes();
  const packet = publish("a", "z".repeat(30_000));
  client.send(packet.subarray(0, 9000), packet.subarray(9000), pingreq);
  expect(client.takes()).toEqual([]);
  world.decide(client, { kind: "allow" });
  expect(client.takes()).toEqual(["PINGRESP", "PUBLISH a 30000 bytes q0"]);
});

test("a denied SUBSCRIBE fails filter by filter; 3.1 gets the QoS it requested", () => {
  const policy = { subscribe: (_: number, filter: string) => Number(filter === "no") as 0 | 1 };
  const world = new TestBroker({ policy });
  const client = world.connected("a").subscribes(1, ["yes", 1], ["no", 1]);
  expect(client.takes()).toEqual(["SUBACK #1 1 128"]);
  const old = world.connected({ level: 3, clientId: "old" }).subscribes(1, ["no", 1]);
  expect(old.takes()).toEqual(["SUBACK #1 1"]);
  client.publishes("no", "x");
  expect(old.takes()).toEqual([]);
  expect(world.count("subscriptions")).toBe(1);
});

test("answers a pending SUBSCRIBE filter by filter", () => {
  const world = new TestBroker({ policy: { subscribe: () => Verdict.Pending } });
  const client = world.connected().subscribes(1, ["a", 1], ["b", 2]);
  expect(world.requests).toMatchObject([
    {
      kind: "subscribe",
      filters: [
        { filter: "a", qos: 1 },
        { filter: "b", qos: 2 },
      ],
    },
  ]);
  const reasons = [Reason.NotAuthorized, Reason.Success];
  world.decide(client, { kind: "filters", reasons });
  expect(client.takes()).toEqual(["SUBACK #1 128 2"]);
  client.subscribes(2, ["c", 0]);
  world.decide(client, { kind: "deny", reason: Reason.NotAuthorized });
  client.subscribes(3, ["c", 0]);
  world.decide(client, { kind: "allow" });
  expect(client.takes()).toEqual(["SUBACK #2 128", "SUBACK #3 0"]);
});

test("asks the policy at CONNECT whether the client may publish its will", () => {
  const will = { topic: "w", payload: "x" };
  const deny = new TestBroker({ policy: { publish: () => Verdict.Deny } });
  expect(deny.open().connects({ will }).takes()).toEqual(["CONNACK present=0 code=5"]);
  const pending = () => Verdict.Pending;
  const world = new TestBroker({ policy: { authenticate: pending, publish: pending } });
  const client = world.open().connects({ will });
  world.decide(client, { kind: "allow" });
  expect(world.requests.map(({ kind }) => kind)).toEqual(["authenticate", "publish"]);
  world.decide(client, { kind: "allow" });
  expect(client.takes()).toEqual(["CONNACK present=0 code=0"]);
  client.send(disconnect);
  expect(world.count("messages")).toBe(0);
});

test("refuses a client's PUBLISH to $SYS whatever the policy says", () => {
  const world = new TestBroker();
  const client = world.connected().subscribes(1, ["$SYS/#", 0]);
  client.takes();
  client.send(publish("$SYS/broker/uptime", "x", { qos: 1, retain: true }), publish("$SYS", "x"));
  expect(client.takes()).toEqual(["PUBACK #1"]);
  expect(world.count("publishesDenied")).toBe(2);
});

test("throws if a policy calls the broker", () => {
  const world = new TestBroker({
    policy: {
      authenticate: () => {
        world.broker.handleTimeout(world.now);
        return Verdict.Allow;
      },
    },
  });
  expect(() => world.open().connects()).toThrow("the broker is not called during a call");
});
