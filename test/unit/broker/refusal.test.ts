/** A policy says why it denies, and the client is told as far as its version can say it. */
import { describe, expect, test } from "vitest";
import { type Decision, EffectKind, Reason, Verdict } from "../../../core/mod.ts";
import * as wire from "../../conformance/wire.ts";
import { TestBroker, type TestBrokerOptions } from "../../support/broker.ts";
import { Mqtt5Client, packetsTo } from "../../support/mqtt5-client.ts";
import { connect, publish, subscribe } from "../../support/packets.ts";

const pending = () => Verdict.Pending;

function decide(world: TestBroker, client: { readonly conn: number }, decision: Decision): void {
  world.broker.handleDecision(client.conn as never, decision, world.now);
  world.drain();
}

/** A client of 5.0 whose CONNECT waits for a decision. */
function asking(props: wire.Properties = {}, options: TestBrokerOptions = {}) {
  const world = new TestBroker({ policy: { authenticate: pending }, ...options });
  const client = world.open().send(wire.connect(5, { clientId: "c", props }));
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
  ])("0x%x is told as it is to 5.0, and as %i to 3.1 and 3.1.1", (reason, code) => {
    const world = new TestBroker({ policy: { authenticate: () => reason } });
    for (const level of [3, 4] as const) {
      const client = world.open().send(connect({ level }));
      expect(client.takes()).toEqual([`CONNACK present=0 code=${code}`]);
      expect(client.ended).toBe(EffectKind.Close);
    }
    const mqtt5 = world.open().send(wire.connect(5, { clientId: "c" }));
    expect(packetsTo(mqtt5)).toMatchObject([{ type: "CONNACK", reason }]);
    expect(world.events()).toMatchObject(
      Array.from({ length: 3 }, () => ({ kind: "refused", reason })),
    );
  });

  test("that 3.1.1 has no return code for closes the connection without a CONNACK", () => {
    const world = new TestBroker({ policy: { authenticate: () => Reason.ImplementationSpecific } });
    const client = world.open().send(connect());
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

  test("for a 5.0 client", () => {
    const { world, client } = asking();
    decide(world, client, decision);
    const props = { ReasonString: "the house is full", ServerReference: "other.example" };
    expect(packetsTo(client)).toMatchObject([{ type: "CONNACK", reason: 0x9c, props }]);
  });

  test("unless the client asked for none, or it exceeds Maximum Packet Size [MQTT-3.1.2-29]", () => {
    const { world, client } = asking({ RequestProblemInformation: 0 });
    decide(world, client, decision);
    expect(packetsTo(client)[0]!.props).toEqual({ ServerReference: "other.example" });
    const brief = asking({ MaximumPacketSize: 30 });
    decide(brief.world, brief.client, decision);
    expect(packetsTo(brief.client)[0]!.props).toEqual({ ServerReference: "other.example" });
    const briefer = asking({ MaximumPacketSize: 10 });
    decide(briefer.world, briefer.client, decision);
    expect(packetsTo(briefer.client)[0]).toMatchObject({ reason: 0x9c, props: {} });
  });

  test("also for a denied will and a denied re-authentication", () => {
    const reasonString = "no such will";
    const world = new TestBroker({ policy: { publish: pending } });
    const client = world.open();
    client.send(wire.connect(5, { clientId: "c", will: { topic: "w" } }));
    decide(world, client, { kind: "deny", reason: Reason.QuotaExceeded, reasonString });
    expect(packetsTo(client)).toMatchObject([
      { type: "CONNACK", reason: Reason.QuotaExceeded, props: { ReasonString: reasonString } },
    ]);
    const again = asking({ AuthenticationMethod: "m" });
    decide(again.world, again.client, { kind: "allow" });
    packetsTo(again.client);
    again.client.send(wire.auth(0x19, { AuthenticationMethod: "m" }));
    decide(again.world, again.client, { kind: "deny", reason: Reason.NotAuthorized, reasonString });
    expect(packetsTo(again.client)).toMatchObject([
      { type: "DISCONNECT", reason: Reason.NotAuthorized, props: { ReasonString: reasonString } },
    ]);
  });
});

describe("a PUBLISH that the policy denies", () => {
  const reason = Reason.QuotaExceeded;
  const reasonString = "enough for today";

  test("at once is acknowledged with the reason; in 3.1.1 without one", () => {
    const world = new TestBroker({ policy: { publish: () => reason } });
    const mqtt5 = new Mqtt5Client(world);
    mqtt5.send(wire.publish(5, { topic: "t", qos: 1 }), wire.publish(5, { topic: "t", qos: 2 }));
    expect(mqtt5.takes()).toMatchObject([
      { type: "PUBACK", reason },
      { type: "PUBREC", reason },
    ]);
    const old = world.connected().send(publish("t", "x", { qos: 1, id: 7 }));
    expect(old.takes()).toEqual(["PUBACK #7"]);
    // A code that PUBACK has not is the nearest that it has.
    const other = new TestBroker({ policy: { publish: () => Reason.Banned } });
    const denied = new Mqtt5Client(other).send(wire.publish(5, { topic: "t", qos: 1 }));
    expect(denied.takes()).toMatchObject([{ type: "PUBACK", reason: Reason.Unspecified }]);
  });

  test.each([1, 2])(
    "is acknowledged at QoS %i with the policy's Reason String, each time",
    (qos) => {
      const world = new TestBroker({ policy: { publish: pending }, limits: { receiveMax: 2 } });
      const mqtt5 = new Mqtt5Client(world);
      for (let id = 1; id <= 10; id++) {
        mqtt5.send(wire.publish(5, { topic: "t", qos, id }));
        decide(world, mqtt5.client, { kind: "deny", reason, reasonString });
        const type = qos === 1 ? "PUBACK" : "PUBREC";
        expect(mqtt5.takes()).toMatchObject([
          { type, id, reason, props: { ReasonString: reasonString } },
        ]);
      }
      mqtt5.send(wire.publish(5, { topic: "t", qos, id: 11 }));
      decide(world, mqtt5.client, { kind: "deny", reason });
      expect(mqtt5.takes()).toMatchObject([{ reason, props: { ReasonString: "quota exceeded" } }]);
      expect(world.count("publishesDenied")).toBe(11);
    },
  );

  test("is acknowledged without a Reason String that exceeds Maximum Packet Size, and not at QoS 0", () => {
    const world = new TestBroker({ policy: { publish: pending } });
    const mqtt5 = new Mqtt5Client(world, { props: { MaximumPacketSize: 20 } });
    mqtt5.send(wire.publish(5, { topic: "t", qos: 1 }));
    decide(world, mqtt5.client, { kind: "deny", reason, reasonString: "x".repeat(50) });
    expect(mqtt5.takes()).toMatchObject([{ type: "PUBACK", reason, props: {} }]);
    mqtt5.send(wire.publish(5, { topic: "t" }));
    decide(world, mqtt5.client, { kind: "deny", reason, reasonString });
    expect(mqtt5.takes()).toEqual([]);
    // What was said of one is not said of the next.
    mqtt5.send(wire.publish(5, { topic: "$SYS/x", qos: 1 }));
    expect(mqtt5.takes()).toMatchObject([{ reason: Reason.NotAuthorized, props: {} }]);
  });
});

describe("a SUBSCRIBE that the policy denies", () => {
  const reasonString = "ask the owner";

  test("at once is answered filter by filter with the reasons", () => {
    const reasons: Record<string, 0x87 | 0x97 | 0x8a> = { a: 0x87, b: 0x97, c: 0x8a };
    const policy = { subscribe: (_: number, filter: string) => reasons[filter] ?? Verdict.Allow };
    const world = new TestBroker({ policy });
    const filters = ["a", "b", "c", "d"].map((filter) => [filter, 0] as const);
    const mqtt5 = new Mqtt5Client(world).send(wire.subscribe(5, 1, filters));
    expect(mqtt5.takes()).toMatchObject([{ reasons: [0x87, 0x97, Reason.Unspecified, 0] }]);
    const old = world.connected().send(subscribe(1, ["a", 0], ["d", 1]));
    expect(old.takes()).toEqual(["SUBACK #1 128 1"]);
  });

  test("is answered with the policy's Reason String if the client accepts it", () => {
    for (const [props, told] of [
      [{}, { ReasonString: reasonString }],
      [{ MaximumPacketSize: 20 }, {}],
      [{ RequestProblemInformation: 0 }, {}],
    ] as const) {
      const world = new TestBroker({ policy: { subscribe: pending } });
      const mqtt5 = new Mqtt5Client(world, { props });
      mqtt5.send(
        wire.subscribe(5, 1, [
          ["a", 0],
          ["b", 1],
        ]),
      );
      decide(world, mqtt5.client, { kind: "filters", reasons: [0, 0x97], reasonString });
      expect(mqtt5.takes()).toMatchObject([{ type: "SUBACK", reasons: [0, 0x97], props: told }]);
    }
  });

  test("with a reason code of success is denied too", () => {
    const world = new TestBroker({ policy: { subscribe: pending } });
    const mqtt5 = new Mqtt5Client(world).send(wire.subscribe(5, 1, [["a", 0]]));
    decide(world, mqtt5.client, { kind: "deny", reason: Reason.Success });
    expect(mqtt5.takes()).toMatchObject([{ reasons: [Reason.NotAuthorized] }]);
    expect(world.count("subscriptions")).toBe(0);
  });
});
