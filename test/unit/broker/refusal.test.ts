/** The reason with which a policy denies, and how much of it the reply contains: that depends on the protocol version. */
import { describe, expect, test } from "vitest";
import { type Decision, EffectKind, Reason, Verdict } from "../../../core/mod.ts";
import type * as wire from "../../conformance/wire.ts";
import { TestBroker, type TestBrokerOptions } from "../../support/broker.ts";
import { auth } from "../../support/packets.ts";

/** Names of reason codes. */
const names = new Map<number, string>(Object.entries(Reason).map(([name, code]) => [code, name]));

const pending = () => Verdict.Pending;

/** A client of 5.0 whose CONNECT waits for a decision. */
function asking(props: wire.Properties = {}, options: TestBrokerOptions = {}) {
  const world = new TestBroker({ policy: { authenticate: pending }, ...options });
  const client = world.open().connects({ level: 5, clientId: "c", props });
  return { world, client };
}

describe("a CONNECT that the policy denies at once with a reason", () => {
  test.each([
    [Reason.UnsupportedProtocolVersion, 1],
    [Reason.ClientIdentifierNotValid, 2],
    [Reason.ServerUnavailable, 3],
    [Reason.ServerBusy, 3],
    [Reason.QuotaExceeded, 3],
    [Reason.ConnectionRateExceeded, 3],
    [Reason.UseAnotherServer, 3],
    [Reason.BadUserNameOrPassword, 4],
    [Reason.NotAuthorized, 5],
    [Reason.Banned, 5],
  ])(
    "is refused with 0x%x for a 5.0 client, and with return code %i for 3.1 and 3.1.1 clients",
    (reason, code) => {
      const world = new TestBroker({ policy: { authenticate: () => reason } });
      for (const level of [3, 4] as const) {
        const client = world.open().connects({ level });
        expect(client.takes()).toEqual([`CONNACK present=0 code=${code}`]);
        expect(client.ended).toBe(EffectKind.Close);
      }
      const mqtt5 = world.open().connects({ level: 5, clientId: "c" });
      const [connack] = mqtt5.takes();
      expect(connack).toMatch(new RegExp(`^CONNACK present=0 ${names.get(reason)}( |$)`));
      expect(world.events()).toMatchObject(
        Array.from({ length: 3 }, () => ({ kind: "refused", reason })),
      );
    },
  );

  test("is closed without a CONNACK if 3.1.1 has no return code for the reason", () => {
    const world = new TestBroker({ policy: { authenticate: () => Reason.ImplementationSpecific } });
    const client = world.open().connects();
    expect(client.takes()).toEqual([]);
    expect(client.isOpen).toBe(false);
  });
});

describe("a refused CONNECT carries the policy's Reason String", () => {
  const decision: Decision = {
    kind: "deny",
    reason: Reason.UseAnotherServer,
    reasonString: "the house is full",
    serverReference: "other.example",
  };
  const refused = "CONNACK present=0 UseAnotherServer";
  const reference = 'ServerReference="other.example"';

  test("for a 5.0 client", () => {
    const { world, client } = asking();
    world.decide(client, decision);
    expect(client.takes()).toEqual([`${refused} ReasonString="the house is full" ${reference}`]);
  });

  test("unless the client requested none, or the CONNACK would exceed Maximum Packet Size [MQTT-3.1.2-29]", () => {
    const { world, client } = asking({ RequestProblemInformation: 0 });
    world.decide(client, decision);
    expect(client.takes()).toEqual([`${refused} ${reference}`]);
    const brief = asking({ MaximumPacketSize: 30 });
    brief.world.decide(brief.client, decision);
    expect(brief.client.takes()).toEqual([`${refused} ${reference}`]);
    const briefer = asking({ MaximumPacketSize: 10 });
    briefer.world.decide(briefer.client, decision);
    expect(briefer.client.takes()).toEqual([refused]);
  });

  test("also for a denied will and a denied re-authentication", () => {
    const reasonString = "no such will";
    const world = new TestBroker({ policy: { publish: pending } });
    const client = world.open();
    client.connects({ level: 5, clientId: "c", will: { topic: "w" } });
    world.decide(client, { kind: "deny", reason: Reason.QuotaExceeded, reasonString });
    expect(client.takes()).toEqual(['CONNACK present=0 QuotaExceeded ReasonString="no such will"']);
    const again = asking({ AuthenticationMethod: "m" });
    again.world.decide(again.client, { kind: "allow" });
    again.client.takes();
    again.client.send(auth(0x19, { AuthenticationMethod: "m" }));
    again.world.decide(again.client, { kind: "deny", reason: Reason.NotAuthorized, reasonString });
    expect(again.client.takes()).toEqual(['DISCONNECT NotAuthorized ReasonString="no such will"']);
  });
});

describe("a PUBLISH that the policy denies", () => {
  const reason = Reason.QuotaExceeded;
  const reasonString = "enough for today";

  test("at once is acknowledged with the reason for a 5.0 client, and without one for a 3.1.1 client", () => {
    const world = new TestBroker({ policy: { publish: () => reason } });
    const mqtt5 = world.connected({ level: 5 });
    mqtt5.publishes("t", "", { qos: 1, id: 1 }).publishes("t", "", { qos: 2, id: 2 });
    expect(mqtt5.takes()).toEqual([
      "PUBACK #1 QuotaExceeded ReasonString",
      "PUBREC #2 QuotaExceeded ReasonString",
    ]);
    const old = world.connected().publishes("t", "x", { qos: 1, id: 7 });
    expect(old.takes()).toEqual(["PUBACK #7"]);
    // PUBACK does not have the code Banned.
    const other = new TestBroker({ policy: { publish: () => Reason.Banned } });
    const denied = other.connected({ level: 5 }).publishes("t", "", { qos: 1 });
    expect(denied.takes()).toEqual(["PUBACK #1 Unspecified ReasonString"]);
  });

  test.each([1, 2])(
    "is acknowledged at QoS %i with the policy's Reason String, each time",
    (qos) => {
      const world = new TestBroker({ policy: { publish: pending }, limits: { receiveMax: 2 } });
      const mqtt5 = world.connected({ level: 5 });
      const type = qos === 1 ? "PUBACK" : "PUBREC";
      for (let id = 1; id <= 10; id++) {
        mqtt5.publishes("t", "", { qos, id });
        world.decide(mqtt5, { kind: "deny", reason, reasonString });
        expect(mqtt5.takes()).toEqual([
          `${type} #${id} QuotaExceeded ReasonString="enough for today"`,
        ]);
      }
      mqtt5.publishes("t", "", { qos, id: 11 });
      world.decide(mqtt5, { kind: "deny", reason });
      expect(mqtt5.takes()).toEqual([`${type} #11 QuotaExceeded ReasonString`]);
      expect(world.count("publishesDenied")).toBe(11);
    },
  );

  test("is acknowledged without a Reason String that exceeds Maximum Packet Size, and not at QoS 0", () => {
    const world = new TestBroker({ policy: { publish: pending } });
    const mqtt5 = world.connected({ level: 5, props: { MaximumPacketSize: 20 } });
    mqtt5.publishes("t", "", { qos: 1 });
    world.decide(mqtt5, { kind: "deny", reason, reasonString: "x".repeat(50) });
    expect(mqtt5.takes()).toEqual(["PUBACK #1 QuotaExceeded"]);
    mqtt5.publishes("t");
    world.decide(mqtt5, { kind: "deny", reason, reasonString });
    expect(mqtt5.takes()).toEqual([]);
    // The Reason String of one message does not appear in the acknowledgement of the next.
    mqtt5.publishes("$SYS/x", "", { qos: 1 });
    expect(mqtt5.takes()).toEqual(["PUBACK #1 NotAuthorized"]);
  });
});

describe("a SUBSCRIBE that the policy denies", () => {
  const reasonString = "ask the owner";

  test("at once gets a SUBACK with a reason for each filter", () => {
    const reasons: Record<string, 0x87 | 0x97 | 0x8a> = { a: 0x87, b: 0x97, c: 0x8a };
    const policy = { subscribe: (_: number, filter: string) => reasons[filter] ?? Verdict.Allow };
    const world = new TestBroker({ policy });
    const filters = ["a", "b", "c", "d"].map((filter) => [filter, 0] as const);
    const mqtt5 = world.connected({ level: 5 }).subscribes(1, ...filters);
    const [suback] = mqtt5.takes();
    expect(suback).toMatch(/^SUBACK #1 NotAuthorized QuotaExceeded Unspecified 0( |$)/);
    const old = world.connected().subscribes(1, ["a", 0], ["d", 1]);
    expect(old.takes()).toEqual(["SUBACK #1 128 1"]);
  });

  test("gets a SUBACK with the policy's Reason String if the client accepts it", () => {
    for (const [props, reasonStringSent] of [
      [{}, ' ReasonString="ask the owner"'],
      [{ MaximumPacketSize: 20 }, ""],
      [{ RequestProblemInformation: 0 }, ""],
    ] as const) {
      const world = new TestBroker({ policy: { subscribe: pending } });
      const mqtt5 = world.connected({ level: 5, props });
      mqtt5.subscribes(1, ["a", 0], ["b", 1]);
      world.decide(mqtt5, { kind: "filters", reasons: [0, 0x97], reasonString });
      expect(mqtt5.takes()).toEqual([`SUBACK #1 0 QuotaExceeded${reasonStringSent}`]);
    }
  });

  test("is denied even if the decision has the reason code Success", () => {
    const world = new TestBroker({ policy: { subscribe: pending } });
    const mqtt5 = world.connected({ level: 5 }).subscribes(1, ["a", 0]);
    world.decide(mqtt5, { kind: "deny", reason: Reason.Success });
    expect(mqtt5.takes()).toEqual(["SUBACK #1 NotAuthorized ReasonString"]);
    expect(world.count("subscriptions")).toBe(0);
  });
});
