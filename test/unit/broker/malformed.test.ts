import { describe, expect, test } from "vitest";
import { EffectKind, Reason } from "../../../core/mod.ts";
import { TestBroker } from "../../support/broker.ts";
import { concat, connect, hex, pingreq, publish } from "../../support/packets.ts";

/** Packets that a connected 3.1.1 client may not send, and the reason that is counted. */
const malformed: Record<string, readonly [bytes: string, reason: number]> = {
  "a packet of type 0": ["00 00", Reason.ProtocolError],
  "a packet of type 15": ["f0 00", Reason.ProtocolError],
  CONNACK: ["20 02 00 00", Reason.ProtocolError],
  SUBACK: ["90 03 0001 00", Reason.ProtocolError],
  UNSUBACK: ["b0 02 0001", Reason.ProtocolError],
  PINGRESP: ["d0 00", Reason.ProtocolError],
  "a remaining length of five bytes": ["30 80 80 80 80 01", Reason.MalformedPacket],
  "[MQTT311-3.3.1-4] PUBLISH with QoS 3": ["36 05 0001 61 0001", Reason.MalformedPacket],
  "[MQTT311-3.3.1-2] PUBLISH with QoS 0 and DUP": ["38 03 0001 61", Reason.ProtocolError],
  "[MQTT311-4.7.3-1] PUBLISH to an empty topic": ["30 02 0000", Reason.MalformedPacket],
  "PUBLISH without a topic": ["30 00", Reason.MalformedPacket],
  "PUBLISH whose topic is cut short": ["30 03 0005 61", Reason.MalformedPacket],
  "[MQTT311-3.3.2-2] PUBLISH to +": ["30 03 0001 2b", Reason.TopicNameInvalid],
  "[MQTT311-3.3.2-2] PUBLISH to #": ["30 05 0003 612f23", Reason.TopicNameInvalid],
  "[MQTT311-3.3.2-1] PUBLISH to an over-long form": ["30 04 0002 c0af", Reason.MalformedPacket],
  "[MQTT311-1.5.3-1] PUBLISH to a surrogate": ["30 05 0003 eda080", Reason.MalformedPacket],
  "[MQTT311-1.5.3-2] PUBLISH to U+0000": ["30 05 0003 610062", Reason.MalformedPacket],
  "[MQTT311-2.3.1-1] PUBLISH with identifier 0": ["32 05 0001 61 0000", Reason.ProtocolError],
  "PUBLISH whose identifier is cut short": ["32 04 0001 61 00", Reason.MalformedPacket],
  "PUBACK of three bytes": ["40 03 0001 00", Reason.MalformedPacket],
  "PUBACK of one byte": ["40 01 01", Reason.MalformedPacket],
  "PUBACK with identifier 0": ["40 02 0000", Reason.ProtocolError],
  "[MQTT311-2.2.2-2] PUBACK with flags": ["41 02 0001", Reason.MalformedPacket],
  "PUBREC with flags": ["52 02 0001", Reason.MalformedPacket],
  "[MQTT311-3.6.1-1] PUBREL without its flag": ["60 02 0001", Reason.MalformedPacket],
  "PUBREL with DUP": ["6a 02 0001", Reason.MalformedPacket],
  "PUBCOMP with flags": ["78 02 0001", Reason.MalformedPacket],
  "[MQTT311-3.8.1-1] SUBSCRIBE without its flag": ["80 06 0001 0001 61 00", Reason.MalformedPacket],
  "[MQTT311-3.8.3-3] SUBSCRIBE without a filter": ["82 02 0001", Reason.ProtocolError],
  "SUBSCRIBE with identifier 0": ["82 06 0000 0001 61 00", Reason.ProtocolError],
  "SUBSCRIBE of one byte": ["82 01 00", Reason.MalformedPacket],
  "[MQTT311-3.8.3-4] SUBSCRIBE with QoS 3": ["82 06 0001 0001 61 03", Reason.MalformedPacket],
  "[MQTT311-3.8.3-4] SUBSCRIBE with a reserved bit": [
    "82 06 0001 0001 61 10",
    Reason.MalformedPacket,
  ],
  "SUBSCRIBE without the QoS": ["82 05 0001 0001 61", Reason.MalformedPacket],
  "[MQTT311-4.7.3-1] SUBSCRIBE to an empty filter": [
    "82 05 0001 0000 00",
    Reason.TopicFilterInvalid,
  ],
  "[MQTT311-4.7.1-2] SUBSCRIBE to a#": ["82 07 0001 0002 6123 00", Reason.TopicFilterInvalid],
  "[MQTT311-4.7.1-2] SUBSCRIBE to #/a": ["82 08 0001 0003 232f61 00", Reason.TopicFilterInvalid],
  "[MQTT311-4.7.1-3] SUBSCRIBE to a+": ["82 07 0001 0002 612b 00", Reason.TopicFilterInvalid],
  "[MQTT311-3.8.3-1] SUBSCRIBE to ill-formed UTF-8": [
    "82 07 0001 0002 c328 00",
    Reason.MalformedPacket,
  ],
  "a second filter that is cut short": ["82 08 0001 0001 61 00 0009", Reason.MalformedPacket],
  "[MQTT311-3.10.1-1] UNSUBSCRIBE without its flag": ["a0 05 0001 0001 61", Reason.MalformedPacket],
  "[MQTT311-3.10.3-2] UNSUBSCRIBE without a filter": ["a2 02 0001", Reason.ProtocolError],
  "[MQTT311-3.10.3-1] UNSUBSCRIBE from ill-formed UTF-8": [
    "a2 06 0001 0002 c328",
    Reason.MalformedPacket,
  ],
  "PINGREQ with flags": ["c1 00", Reason.MalformedPacket],
  "PINGREQ with a body": ["c0 01 00", Reason.MalformedPacket],
  "[MQTT311-3.14.1-1] DISCONNECT with flags": ["e1 00", Reason.MalformedPacket],
  "DISCONNECT with a body": ["e0 01 00", Reason.MalformedPacket],
};

describe("closes the connection, counts the fault, and affects no other connection", () => {
  test.each(Object.entries(malformed))("%s", (_, [bytes, reason]) => {
    const world = new TestBroker();
    const healthy = world.connected("healthy").subscribes(1, ["h", 1]);
    const client = world.connected("bad");
    healthy.takes();
    client.send(concat(publish("h", "before", { qos: 1 }), hex(bytes), publish("h", "after")));
    // The reply to the packet before the fault still arrives.
    expect(client.takes()).toEqual(["PUBACK #1"]);
    expect(client.ended).toBe(EffectKind.Close);
    expect(client.reason).toBe(reason);
    const counters = ["closedMalformed", "closedProtocolError", "closedTopicInvalid"] as const;
    expect(counters.reduce((sum, name) => sum + world.count(name), 0)).toBe(1);
    // The packet before the fault was handled, the packet after it was not.
    expect(healthy.takes()).toEqual(['PUBLISH h "before" q1 #1']);
    expect(healthy.isOpen).toBe(true);
    healthy.publishes("h", "me");
    expect(healthy.takes()).toEqual(['PUBLISH h "me" q0']);
  });
});

describe("sends the replies before a fault", () => {
  test.each([3, 4] as const)("all in one chunk, at level %i", (level) => {
    const world = new TestBroker();
    const client = world.open();
    client.send(concat(connect({ level }), pingreq, hex("36 00"), pingreq));
    expect(client.takes()).toEqual(["CONNACK present=0 code=0", "PINGRESP"]);
    expect(client.ended).toBe(EffectKind.Close);
    expect(world.events()).toMatchObject([
      { kind: "connected" },
      { kind: "disconnected", reason: Reason.MalformedPacket },
    ]);
  });

  test("unless the transport takes no bytes within a second", () => {
    const world = new TestBroker();
    const client = world.connected();
    client.writable(false);
    client.send(concat(pingreq, hex("36 00")));
    expect(client.isOpen).toBe(true);
    world.advance(1000);
    expect(client.ended).toBe(EffectKind.Close);
    expect(client.takes()).toEqual([]);
  });

  test("aborts a connection that has no replies to send", () => {
    const client = new TestBroker().open().send(hex("36 00"));
    expect(client.ended).toBe(EffectKind.Abort);
  });
});

describe("3.1 allows more", () => {
  test.each([
    ["SUBSCRIBE with DUP", "8a 06 0001 0001 61 00", ["SUBACK #1 0"]],
    ["PUBREL with DUP", "6a 02 0001", ["PUBCOMP #1"]],
    ["UNSUBSCRIBE with DUP", "aa 05 0001 0001 61", ["UNSUBACK #1"]],
    ["PUBLISH with QoS 0 and DUP", "38 03 0001 61", []],
  ])("%s", (_, bytes, answers) => {
    const client = new TestBroker().connected({ level: 3 }).send(hex(bytes));
    expect(client.isOpen).toBe(true);
    expect(client.takes()).toEqual(answers);
  });
});

test("closes on a packet beyond packetBytesMax as soon as its header says so", () => {
  const world = new TestBroker({ limits: { packetBytesMax: 200 } });
  const client = world.connected();
  client.publishes("a", new Uint8Array(194));
  expect(client.isOpen).toBe(true);
  client.send(hex("30 c7 01")); // 199 bytes remaining: 202 in all
  expect(client.reason).toBe(Reason.PacketTooLarge);
  expect(world.count("closedTooLarge")).toBe(1);
});

test("closes on a topic beyond topicBytesMax or topicLevelsMax", () => {
  const limits = { topicBytesMax: 20, topicLevelsMax: 4 };
  for (const [topic, isFine] of [
    ["x".repeat(20), true],
    ["x".repeat(21), false],
    ["a/b/c/d", true],
    ["a/b/c/d/e", false],
  ] as const) {
    const world = new TestBroker({ limits });
    expect(world.connected().publishes(topic, "x").isOpen).toBe(isFine);
    expect(world.connected("s").subscribes(1, [topic, 0]).isOpen).toBe(isFine);
  }
});
