/** Maximum Packet Size of a client: messages, replies and properties that exceed it. */
import { expect, test } from "vitest";
import { Verdict } from "../../../core/mod.ts";
import { TestBroker } from "../../support/broker.ts";
import { mqtt5, toHex } from "../../support/packets.ts";

test("[MQTT-3.1.2-24] [MQTT-3.1.2-25] sends each message of exactly Maximum Packet Size, and none of one byte more", () => {
  const world = new TestBroker();
  const topic = "a/topic/worth/an/alias";
  const fits = mqtt5.publish(topic, "x".repeat(50)).length;
  const publisher = world.connected("p");
  for (const TopicAliasMaximum of [0, 10]) {
    for (const [max, count] of [
      [fits, 4],
      [fits - 1, 0],
    ] as const) {
      const props = { TopicAliasMaximum, MaximumPacketSize: max };
      const reader = world.connected({ level: 5, props }).subscribes(1, [topic, 0]);
      reader.takes();
      for (let n = 0; n < 4; n++) {
        publisher.publishes(topic, "x".repeat(50));
      }
      expect(reader.takes()).toHaveLength(count);
      reader.cut();
    }
  }
  expect(world.count("droppedTooLarge")).toBe(8);
});

test("[MQTT-3.1.2-24] [MQTT-3.1.2-25] a message beyond a resumed client's Maximum Packet Size is not resent, and frees its place in the window", () => {
  const world = new TestBroker();
  const props = { SessionExpiryInterval: 100, ReceiveMaximum: 3 };
  const first = world.connected({ level: 5, props }).subscribes(1, ["t", 2]);
  const publisher = world.connected("p");
  const payloads = ["long".repeat(20), "short", "long".repeat(30), "late"];
  for (const [n, payload] of payloads.entries()) {
    publisher.publishes("t", payload, { qos: 1 + (n % 2), id: n + 1 });
  }
  expect(first.takes()).toHaveLength(4);
  first.cut();
  const again = world.connected({
    level: 5,
    clean: false,
    props: { ...props, MaximumPacketSize: 40 },
  });
  expect(again.takes()).toEqual(['PUBLISH t "short" q2 #2 dup', 'PUBLISH t "late" q2 #4']);
  expect(world.count("droppedTooLarge")).toBe(2);
  expect(world.count("inflight")).toBe(2);
});

test("[MQTT-3.1.2-24] [MQTT-3.2.0-1] refuses a client whose Maximum Packet Size is too small for its CONNACK", () => {
  const world = new TestBroker();
  const here = world.open().connects({ level: 5, clientId: "small", will: { topic: "w" } });
  const fits = here.takesBytes().length;
  for (let max = 1; max < fits; max++) {
    const client = world.open();
    client.connects({ level: 5, clientId: "small", props: { MaximumPacketSize: max } });
    // Without properties: five bytes.
    expect(client.takes()).toEqual(max < 5 ? [] : ["CONNACK present=0 ImplementationSpecific"]);
    expect(client.isOpen).toBe(false);
  }
  expect(here.isOpen).toBe(true);
  world.connected({ level: 5, clientId: "small", props: { MaximumPacketSize: fits } });
  expect(here.takes()).toEqual(["DISCONNECT SessionTakenOver ReasonString"]);
  expect(here.isOpen).toBe(false);
  expect(world.count("messages")).toBe(0);
});

test("[MQTT-3.1.2-24] leaves out a Server Reference that exceeds Maximum Packet Size", () => {
  const world = new TestBroker();
  const props = { MaximumPacketSize: 20 };
  const here = world.connected({ level: 5, props });
  const reference = "another.server.example:1883";
  world.command({ kind: "move", reference, isForGood: true });
  expect(toHex(here.takesBytes())).toBe("e0019d");
  const late = world.open().connects({ level: 5, clientId: "late", props });
  expect(toHex(late.takesBytes())).toBe("2003009d00");
  const roomy = world.open();
  roomy.connects({ level: 5, clientId: "roomy", props: { MaximumPacketSize: 50 } });
  const [connack] = roomy.takes();
  expect(connack).toContain(` ServerMoved ServerReference="${reference}"`);
});

test("[MQTT-3.1.2-24] an AUTH beyond the client's Maximum Packet Size ends the authentication exchange", () => {
  const world = new TestBroker({ policy: { authenticate: () => Verdict.Pending } });
  const client = world.open();
  const method = "a method";
  client.connects({ level: 5, props: { AuthenticationMethod: method, MaximumPacketSize: 40 } });
  const challenge = { kind: "challenge", data: new Uint8Array(40) } as const;
  world.decide(client, challenge);
  const [connack, ...rest] = client.takes();
  expect(connack).toMatch(/^CONNACK present=0 ImplementationSpecific( |$)/);
  expect(rest).toEqual([]);
  expect(client.isOpen).toBe(false);
});
