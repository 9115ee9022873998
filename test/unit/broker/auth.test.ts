/** Exchanges of AUTH that go wrong, whatever the policy would say to them. */
import { expect, test } from "vitest";
import { Reason, Verdict } from "../../../core/mod.ts";
import * as wire from "../../conformance/wire.ts";
import { TestBroker, type TestBrokerOptions, type TestClient } from "../../support/broker.ts";
import { packetsTo } from "../../support/mqtt5-client.ts";

const method = "method";
const Continue = 0x18;
const Again = 0x19;
const auth = (reason: number, AuthenticationMethod = method): Uint8Array =>
  wire.auth(reason, { AuthenticationMethod });

/** A client whose CONNECT waits for a policy that decides as it is told. */
function asking(options: TestBrokerOptions = {}) {
  const world = new TestBroker({ ...options, policy: { authenticate: () => Verdict.Pending } });
  const client = world.open();
  const props = { AuthenticationMethod: method, SessionExpiryInterval: 10 };
  client.send(wire.connect(5, { clientId: "c", props }));
  const decide = (kind: "allow" | "challenge"): void => {
    const data = Uint8Array.of(1);
    world.broker.handleDecision(client.conn, { kind, data }, world.now);
    world.drain();
  };
  return { world, client, decide };
}

function told(client: TestClient): unknown {
  return packetsTo(client).map(({ type, reason }) => [type, reason]);
}

test.each([
  ["success, which is the server's to say", auth(0)],
  ["to begin again", auth(Again)],
  ["by another method", auth(Continue, "other")],
  ["without a method", wire.auth(Continue, {})],
])("[MQTT-4.12.0-3] [MQTT-4.12.0-5] a challenge is not answered with AUTH %s", (_, packet) => {
  const { world, client, decide } = asking();
  decide("challenge");
  expect(told(client)).toEqual([["AUTH", Continue]]);
  client.send(packet);
  expect(told(client)).toEqual([["CONNACK", Reason.ProtocolError]]);
  expect(client.isOpen).toBe(false);
  expect(world.requests).toHaveLength(1);
});

test.each([
  ["by another method", auth(Again, "other")],
  ["with an answer to nothing", auth(Continue)],
  ["with success", auth(0)],
])("[MQTT-4.12.1-1] a client that is connected does not authenticate again %s", (_, packet) => {
  const { world, client, decide } = asking();
  decide("allow");
  expect(told(client)).toEqual([["CONNACK", 0]]);
  client.send(packet);
  expect(told(client)).toEqual([["DISCONNECT", Reason.ProtocolError]]);
  expect(world.requests).toHaveLength(1);
});

test("[MQTT-4.12.0-5] the method's final data is in CONNACK, and in AUTH after a re-authentication", () => {
  const { client, decide } = asking();
  decide("challenge");
  client.send(auth(Continue));
  decide("allow");
  client.send(auth(Again));
  decide("challenge");
  client.send(auth(Continue));
  decide("allow");
  client.send(auth(Again));
  decide("allow");
  const packets = packetsTo(client);
  expect(packets.map(({ type, reason }) => [type, reason])).toEqual([
    ["AUTH", Continue],
    ["CONNACK", 0],
    ["AUTH", Continue],
    ["AUTH", 0],
    ["AUTH", 0],
  ]);
  for (const { props } of packets) {
    expect(props["AuthenticationMethod"]).toBe(method);
    expect(props["AuthenticationData"]).toEqual(Uint8Array.of(1));
  }
});

test("AUTH does not overtake a reply that waits for the store", () => {
  const { world, client, decide } = asking({ durable: "when told" });
  decide("allow");
  world.commit();
  expect(told(client)).toEqual([["CONNACK", 0]]);
  client.send(wire.subscribe(5, 1, [["t", 1]]), auth(Again));
  decide("challenge");
  expect(told(client)).toEqual([]);
  world.commit();
  expect(told(client)).toEqual([
    ["SUBACK", 0],
    ["AUTH", Continue],
  ]);
});
