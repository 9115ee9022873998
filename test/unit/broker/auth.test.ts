/** The authentication exchange: faults that the broker finds without asking the policy, and the final data. */
import { expect, test } from "vitest";
import { Reason, Verdict } from "../../../core/mod.ts";
import { TestBroker, type TestBrokerOptions } from "../../support/broker.ts";
import { auth as authWith, mqtt5 } from "../../support/packets.ts";

const method = "method";
const Continue = Reason.ContinueAuthentication;
const Again = Reason.Reauthenticate;
const auth = (reason: number, AuthenticationMethod = method): Uint8Array =>
  authWith(reason, { AuthenticationMethod });

/** A client whose CONNECT waits for the policy's decision. */
function asking(options: TestBrokerOptions = {}) {
  const world = new TestBroker({ ...options, policy: { authenticate: () => Verdict.Pending } });
  const client = world.open();
  const props = { AuthenticationMethod: method, SessionExpiryInterval: 10 };
  client.connects({ level: 5, clientId: "c", props });
  const decide = (kind: "allow" | "challenge"): void => {
    const data = Uint8Array.of(1);
    world.decide(client, { kind, data });
  };
  return { world, client, decide };
}

/** The properties of each AUTH and CONNACK of an exchange. */
const properties = 'AuthenticationMethod="method" AuthenticationData=01';
const challenge = `AUTH ContinueAuthentication ${properties}`;
const accepted = expect.stringMatching(
  /^CONNACK present=0 \w+=.*AuthenticationMethod="method" AuthenticationData=01/,
);

test.each([
  ["Success, which only the server may send", auth(0)],
  ["Reauthenticate", auth(Again)],
  ["of another method", auth(Continue, "other")],
  ["without a method", authWith(Continue, {})],
])("[MQTT-4.12.0-3] [MQTT-4.12.0-5] refuses an AUTH %s in reply to a challenge", (_, packet) => {
  const { world, client, decide } = asking();
  decide("challenge");
  expect(client.takes()).toEqual([challenge]);
  client.send(packet);
  expect(client.takes()).toEqual(["CONNACK present=0 ProtocolError ReasonString"]);
  expect(client.isOpen).toBe(false);
  expect(world.requests).toHaveLength(1);
});

test.each([
  ["Reauthenticate of another method", auth(Again, "other")],
  ["ContinueAuthentication without a challenge", auth(Continue)],
  ["Success", auth(0)],
])(
  "[MQTT-4.12.1-1] ends the connection of an authenticated client that sends AUTH %s",
  (_, packet) => {
    const { world, client, decide } = asking();
    decide("allow");
    expect(client.takes()).toEqual([accepted]);
    client.send(packet);
    expect(client.takes()).toEqual(["DISCONNECT ProtocolError ReasonString"]);
    expect(world.requests).toHaveLength(1);
  },
);

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
  const success = `AUTH ${properties}`;
  expect(client.takes()).toEqual([challenge, accepted, challenge, success, success]);
});

test("AUTH does not overtake a reply that waits for the store", () => {
  const { world, client, decide } = asking({ durable: "when told" });
  decide("allow");
  world.commit();
  expect(client.takes()).toEqual([accepted]);
  client.send(mqtt5.subscribe(1, ["t", 1]), auth(Again));
  decide("challenge");
  expect(client.takes()).toEqual([]);
  world.commit();
  expect(client.takes()).toEqual(["SUBACK #1 1", challenge]);
});
