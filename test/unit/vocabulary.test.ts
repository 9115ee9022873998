/** The vocabulary of the tests: packets as lines of text. */
import { expect, test } from "vitest";
import type { Version } from "../conformance/wire.ts";
import { TestBroker } from "../support/broker.ts";
import {
  auth,
  describe as describePacket,
  disconnectWith,
  hex,
  mqtt5,
  publish,
} from "../support/packets.ts";

test("an MQTT 5.0 client sends and takes packets as an MQTT 3.1.1 client does", () => {
  const world = new TestBroker({ limits: { qosMax: 1 } });
  const client = world.connected({ level: 5, clientId: "c", props: { ReceiveMaximum: 2 } });
  client.subscribes(1, ["a/#", 2], { SubscriptionIdentifier: 9 });
  client.publishes("a/b", "x", { qos: 1, id: 7, props: { ContentType: "text" } });
  expect(client.takes()).toEqual([
    "SUBACK #1 1",
    "PUBACK #7",
    'PUBLISH a/b "x" q1 #1 SubscriptionIdentifier=9 ContentType="text"',
  ]);
});

const pair = { UserProperty: [["k", "v"] as const, ["k", "w"] as const] };
const flags = { qos: 1, id: 7, retain: true, dup: true };

test.each<[line: string, level: Version, bytes: Uint8Array]>([
  ['PUBLISH a/b "x" q1 #7 retain dup', 4, publish("a/b", "x", flags)],
  [
    'PUBLISH a/b "x" q0 UserProperty="k":"v","k":"w"',
    5,
    mqtt5.publish("a/b", "x", { props: pair }),
  ],
  ['PUBLISH "" "" q0 TopicAlias=3', 5, mqtt5.publish("", "", { props: { TopicAlias: 3 } })],
  ["PUBLISH a 65 bytes q0", 4, publish("a", "x".repeat(65))],
  ["CONNACK present=1 code=0", 4, hex("20 02 01 00")],
  ["CONNACK present=0 code=5", 4, hex("20 02 00 05")],
  ["CONNACK present=0 NotAuthorized", 5, hex("20 03 00 87 00")],
  ["CONNACK present=1 ReceiveMaximum=20", 5, hex("20 06 01 00 03 21 0014")],
  ["SUBACK #1 0 1 128", 4, hex("90 05 0001 00 01 80")],
  ["SUBACK #1 0 1 NotAuthorized", 5, hex("90 06 0001 00 00 01 87")],
  ["UNSUBACK #1", 4, hex("b0 02 0001")],
  ["UNSUBACK #1 Success NoSubscriptionExisted", 5, hex("b0 05 0001 00 00 11")],
  ["PUBACK #7", 5, hex("40 02 0007")],
  ["PUBREC #7 NoMatchingSubscribers", 5, hex("50 03 0007 10")],
  ["PUBREL #7 PacketIdentifierNotFound", 5, hex("62 03 0007 92")],
  ["PUBCOMP #7 0x55", 5, hex("70 03 0007 55")],
  ["PINGRESP", 5, hex("d0 00")],
  [
    "DISCONNECT ProtocolError ReasonString",
    5,
    disconnectWith(0x82, { ReasonString: "protocol error" }),
  ],
  ['DISCONNECT QuotaExceeded ReasonString="no"', 5, disconnectWith(0x97, { ReasonString: "no" })],
  [
    "AUTH ContinueAuthentication AuthenticationData=01ff",
    5,
    auth(0x18, { AuthenticationData: Uint8Array.of(1, 255) }),
  ],
])("the line of a packet is %s, at level %i", (line, level, bytes) => {
  expect(describePacket(bytes, level)).toBe(line);
});
