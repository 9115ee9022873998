/** PUBLISH: topics, retained messages, properties, aliases, expiry. */
import { bothVersions, mqtt5, mqtt311 } from "../harness.ts";
import * as wire from "../wire.ts";

bothVersions("[MQTT311-3.3.1-4] [MQTT-3.3.1-4] QoS 3 is malformed", async (t) => {
  const client = await t.connect();
  client.send(wire.publish(t.version, { topic: t.topic(), qos: 3 }));
  await client.closed(0x81, 0x82);
});

bothVersions("[MQTT311-3.3.1-2] [MQTT-3.3.1-2] DUP at QoS 0 is an error", async (t) => {
  const client = await t.connect();
  client.send(wire.publish(t.version, { topic: t.topic(), dup: true }));
  await client.closed(0x81, 0x82);
});

bothVersions(
  "[MQTT311-3.3.2-2] [MQTT-3.3.2-2] [MQTT311-4.7.1-1] [MQTT-4.7.0-1] a topic name has no wildcards",
  async (t) => {
    for (const topic of ["a/#", "a/+", "+", "a+b", "#"]) {
      const client = await t.connect();
      client.send(wire.publish(t.version, { topic }));
      await client.closed(0x90, 0x81, 0x82);
    }
  },
);

bothVersions(
  "[MQTT311-3.3.2-1] [MQTT-3.3.2-1] [MQTT311-4.7.3-2] [MQTT-4.7.3-2] a topic name is UTF-8 without U+0000",
  async (t) => {
    for (const topic of [[0xff], [0x61, 0], [0xed, 0xa0, 0x80], [0xc1, 0x81]]) {
      const client = await t.connect();
      client.send(wire.publish(t.version, { topic: Uint8Array.from(topic) }));
      await client.closed(0x81, 0x90, 0x82);
    }
  },
);

bothVersions(
  "[MQTT311-4.7.3-1] [MQTT-4.7.3-1] a topic name has at least one character",
  async (t) => {
    const client = await t.connect();
    client.send(wire.publish(t.version, { topic: "" }));
    await client.closed(0x81, 0x82, 0x90);
  },
);

bothVersions("[MQTT311-2.3.1-1] [MQTT-2.2.1-3] a packet identifier is not 0", async (t) => {
  for (const packet of [
    wire.publish(t.version, { topic: t.topic(), qos: 1, id: 0 }),
    wire.publish(t.version, { topic: t.topic(), qos: 2, id: 0 }),
    wire.subscribe(t.version, 0, [[t.topic(), 0]]),
    wire.unsubscribe(t.version, 0, [t.topic()]),
  ]) {
    const client = await t.connect();
    client.send(packet);
    await client.closed(0x81, 0x82);
  }
});

bothVersions(
  "[MQTT311-2.3.1-5] [MQTT-2.2.1-2] a delivery at QoS 0 has no packet identifier",
  async (t) => {
    const client = await t.connect();
    await client.subscribe(t.topic(), 0);
    client.send(wire.publish(t.version, { topic: t.topic(), payload: "payload" }));
    const { bytes } = await client.expectMessage("payload");
    const overhead = 2 + 2 + t.topic().length + (t.version === 5 ? 1 : 0);
    t.equal(bytes.length, overhead + 7, "the packet's length");
  },
);

bothVersions(
  "[MQTT311-3.3.2-3] [MQTT-3.3.2-3] [MQTT311-4.7.3-4] [MQTT-4.7.3-4] topics match character by character, without normalisation",
  async (t) => {
    const subscriber = await t.connect();
    const publisher = await t.connect();
    await subscriber.subscribe(t.topic("Å/x"), 0);
    const others = ["A\u030a/x", "å/x", "Å/x/", "/Å/x", "Å//x", " Å/x", "Å/X"];
    for (const other of others) await publisher.publish({ topic: t.topic(other), payload: "no" });
    await publisher.publish({ topic: t.topic("Å/x"), payload: "yes" });
    t.equal((await subscriber.expectMessage("yes")).topic, t.topic("Å/x"), "the topic");
  },
);

bothVersions("[MQTT311-1.5.3-3] [MQTT-1.5.4-3] U+FEFF is a character as any other", async (t) => {
  const subscriber = await t.connect();
  await subscriber.subscribe(t.topic("\ufeffa"), 0);
  await subscriber.subscribe(t.topic("b"), 0);
  const publisher = await t.connect();
  await publisher.publish({ topic: t.topic("a"), payload: "without" });
  await publisher.publish({ topic: t.topic("\ufeffa"), payload: "with" });
  t.equal((await subscriber.expectMessage("with")).topic, t.topic("\ufeffa"), "the topic");
});

bothVersions(
  "[MQTT311-4.7.3-3] [MQTT-4.7.3-3] the broker accepts or refuses a long topic name, and continues to serve",
  async (t) => {
    const client = await t.connect();
    client.send(wire.publish(t.version, { topic: "x".repeat(65_535), qos: 1 }));
    const packet = await client.next();
    if (packet === null) return;
    t.ok(packet !== "silence" && ["PUBACK", "DISCONNECT"].includes(packet.type), "an answer");
  },
);

bothVersions(
  "[MQTT311-3.3.1-5] [MQTT311-3.3.1-6] [MQTT311-3.3.1-8] [MQTT-3.3.1-5] [MQTT-3.3.1-9] a new subscription receives the last retained message of a topic, with RETAIN 1",
  async (t) => {
    const publisher = await t.connect();
    t.needs(publisher.connack.props["RetainAvailable"] !== 0, "retained messages");
    await publisher.publish({ topic: t.topic("a"), payload: "1", qos: 1, retain: true });
    await publisher.publish({ topic: t.topic("a"), payload: "2", qos: 1, retain: true });
    const subscriber = await t.connect();
    await subscriber.subscribe(t.topic("+"), 1);
    const message = await subscriber.expectMessage("2");
    t.equal([message.retain, message.qos], [true, 1], "RETAIN and QoS");
    await subscriber.acknowledge(message);
    await subscriber.quiet();
    await publisher.publish({ topic: t.topic("a"), retain: true });
  },
);

bothVersions(
  "[MQTT311-3.3.1-9] [MQTT-3.3.1-12] an existing subscription receives messages with RETAIN 0",
  async (t) => {
    const subscriber = await t.connect();
    await subscriber.subscribe(t.topic(), 0);
    const publisher = await t.connect();
    await publisher.publish({ topic: t.topic(), payload: "x", retain: true });
    t.equal((await subscriber.expectMessage("x")).retain, false, "RETAIN");
    await publisher.publish({ topic: t.topic(), retain: true });
  },
);

bothVersions(
  "[MQTT311-3.3.1-10] [MQTT311-3.3.1-11] [MQTT-3.3.1-6] [MQTT-3.3.1-7] a retained message with an empty payload removes the one before, and is delivered but not retained",
  async (t) => {
    const publisher = await t.connect();
    await publisher.publish({ topic: t.topic(), payload: "x", retain: true });
    const there = await t.connect();
    await there.subscribe(t.topic(), 0);
    await there.expectMessage("x");
    await publisher.publish({ topic: t.topic(), retain: true });
    await there.expectMessage("");
    const late = await t.connect();
    await late.subscribe(t.topic(), 0);
    await late.quiet();
  },
);

bothVersions(
  "[MQTT311-3.3.1-12] [MQTT-3.3.1-8] a message without RETAIN is not retained, and does not replace the retained message",
  async (t) => {
    const publisher = await t.connect();
    await publisher.publish({ topic: t.topic("a"), payload: "kept", retain: true });
    await publisher.publish({ topic: t.topic("a"), payload: "passing" });
    await publisher.publish({ topic: t.topic("b"), payload: "passing" });
    const late = await t.connect();
    await late.subscribe(t.topic("#"), 0);
    await late.expectMessage("kept");
    await late.quiet();
    await publisher.publish({ topic: t.topic("a"), retain: true });
  },
);

mqtt311(
  "[MQTT311-3.3.1-7] a retained QoS 0 message replaces the retained message of its topic",
  async (t) => {
    const publisher = await t.connect();
    await publisher.publish({ topic: t.topic(), payload: "1", qos: 1, retain: true });
    await publisher.publish({ topic: t.topic(), payload: "0", qos: 0, retain: true });
    const late = await t.connect();
    await late.subscribe(t.topic(), 1);
    await late.expectMessage("0");
    await late.quiet();
    await publisher.publish({ topic: t.topic(), retain: true });
  },
);

bothVersions(
  "[MQTT311-3.3.5-2] [MQTT311-3.3.4-1] [MQTT-3.3.4-1] every PUBLISH is acknowledged as its QoS requires",
  async (t) => {
    const client = await t.connect();
    client.send(wire.publish(t.version, { topic: t.topic(), qos: 0 }));
    await client.quiet();
    client.send(wire.publish(t.version, { topic: t.topic(), qos: 1, id: 11 }));
    t.equal((await client.expect("PUBACK")).id, 11, "the identifier");
    client.send(wire.publish(t.version, { topic: t.topic(), qos: 2, id: 12 }));
    t.equal((await client.expect("PUBREC")).id, 12, "the identifier");
    client.send(wire.ack(wire.Pubrel, 12));
    t.equal((await client.expect("PUBCOMP")).id, 12, "the identifier");
  },
);

const everything = {
  PayloadFormatIndicator: 1,
  ContentType: "application/json",
  ResponseTopic: "answers/here",
  CorrelationData: Uint8Array.of(0, 255, 1),
  UserProperty: [
    ["k", "1"],
    ["a", ""],
    ["k", "1"],
    ["k", "0"],
  ] as const,
};

mqtt5(
  "[MQTT-3.3.2-4] [MQTT-3.3.2-15] [MQTT-3.3.2-16] [MQTT-3.3.2-17] [MQTT-3.3.2-18] [MQTT-3.3.2-20] the properties of live, retained and queued messages are forwarded unaltered and in order",
  async (t) => {
    const clientId = t.clientId();
    const queue = { clientId, clean: false, props: { SessionExpiryInterval: 100 } };
    const away = await t.connect(queue);
    await away.subscribe(t.topic(), 1);
    away.cut();
    const live = await t.connect();
    await live.subscribe(t.topic(), 1);
    const publisher = await t.connect();
    const fields = { topic: t.topic(), payload: "{}", qos: 1, retain: true };
    await publisher.publish({ ...fields, props: everything });
    const late = await t.connect();
    await late.subscribe(t.topic(), 1);
    const back = await t.connect(queue);
    for (const client of [live, late, back]) {
      const { props } = await client.expectMessage("{}");
      for (const [name, value] of Object.entries(everything)) t.equal(props[name], value, name);
    }
    await publisher.publish({ topic: t.topic(), retain: true });
  },
);

mqtt5(
  "[MQTT-3.3.2-13] [MQTT-3.3.2-14] [MQTT-3.3.2-19] Response Topic and Content Type are UTF-8, and a Response Topic has no wildcards",
  async (t) => {
    for (const props of [
      "08 0003 612f23",
      "08 0001 2b",
      "08 0001 ff",
      "03 0001 ff",
      "03 0001 00",
    ]) {
      const client = await t.connect();
      const bytes = props
        .replaceAll(" ", "")
        .match(/../g)!
        .map((byte) => Number.parseInt(byte, 16));
      client.send(wire.packet(0x30, wire.text(t.topic()), [bytes.length, ...bytes]));
      await client.closed(0x81, 0x82, 0x90);
    }
  },
);

mqtt5("[MQTT-3.3.2-14] the Response Topic of a will has no wildcards", async (t) => {
  for (const topic of ["a/#", "+"]) {
    const client = await t.open();
    const will = { topic: t.topic(), props: { ResponseTopic: topic } };
    client.send(wire.connect(5, { clientId: t.clientId(), will }));
    const packet = await client.next();
    const isRefused =
      packet === null ||
      (packet !== "silence" && packet.type === "CONNACK" && packet.reason >= 0x80);
    t.ok(isRefused, "the CONNECT is refused");
  }
});

mqtt5("[MQTT-4.7.3-1] a Response Topic has a character at least", async (t) => {
  const props = { ResponseTopic: "" };
  const publisher = await t.connect();
  publisher.send(wire.publish(5, { topic: t.topic(), props }));
  await publisher.closed(0x81, 0x82, 0x90);
  const client = await t.open();
  client.send(wire.connect(5, { clientId: t.clientId(), will: { topic: t.topic(), props } }));
  const packet = await client.next();
  const isRefused =
    packet === null || (packet !== "silence" && packet.type === "CONNACK" && packet.reason >= 0x80);
  t.ok(isRefused, "the CONNECT with it in its will is refused");
});

mqtt5("[MQTT-3.3.2-5] a message whose time is over is not delivered", async (t) => {
  const queue = { clientId: t.clientId(), clean: false, props: { SessionExpiryInterval: 100 } };
  const away = await t.connect(queue);
  await away.subscribe(t.topic(), 1);
  away.cut();
  const publisher = await t.connect();
  await t.sleep(50);
  const fields = { topic: t.topic(), qos: 1, retain: true };
  await publisher.publish({ ...fields, payload: "short", props: { MessageExpiryInterval: 1 } });
  await publisher.publish({ topic: t.topic("x"), payload: "long", qos: 1 });
  await t.sleep(2500);
  const back = await t.connect(queue);
  await back.quiet();
  const late = await t.connect();
  await late.subscribe(t.topic(), 1);
  await late.quiet();
});

mqtt5("[MQTT-3.3.2-6] what is left of a message's time goes with it", async (t) => {
  const live = await t.connect();
  await live.subscribe(t.topic(), 1);
  const queue = { clientId: t.clientId(), clean: false, props: { SessionExpiryInterval: 100 } };
  const away = await t.connect(queue);
  await away.subscribe(t.topic(), 1);
  away.cut();
  const publisher = await t.connect();
  await t.sleep(50);
  await publisher.publish({
    topic: t.topic(),
    payload: "x",
    qos: 1,
    props: { MessageExpiryInterval: 60 },
  });
  t.equal((await live.expectMessage("x")).props["MessageExpiryInterval"], 60, "at once");
  await t.sleep(2000);
  const back = await t.connect(queue);
  const left = (await back.expectMessage("x")).props["MessageExpiryInterval"] as number;
  t.ok(left >= 57 && left <= 59, `${left} s are left after two of sixty`);
});

mqtt5("[MQTT-3.3.2-12] a topic alias stands for its topic, and may be given another", async (t) => {
  const client = await t.connect();
  const max = (client.connack.props["TopicAliasMaximum"] as number | undefined) ?? 0;
  t.needs(max > 0, "topic aliases");
  const subscriber = await t.connect();
  await subscriber.subscribe(t.topic("#"), 0);
  for (const TopicAlias of [1, max]) {
    client.send(wire.publish(5, { topic: t.topic("a"), payload: "1", props: { TopicAlias } }));
    client.send(wire.publish(5, { topic: "", payload: "2", props: { TopicAlias } }));
    client.send(wire.publish(5, { topic: t.topic("b"), payload: "3", props: { TopicAlias } }));
    client.send(wire.publish(5, { topic: "", payload: "4", props: { TopicAlias } }));
    const expected = [
      ["a", "1"],
      ["a", "2"],
      ["b", "3"],
      ["b", "4"],
    ] as const;
    for (const [topic, payload] of expected) {
      t.equal((await subscriber.expectMessage(payload)).topic, t.topic(topic), "the topic");
    }
  }
});

mqtt5(
  "[MQTT-3.3.2-8] [MQTT-3.3.2-9] [MQTT-3.2.2-17] [MQTT-3.2.2-18] a topic alias of 0, or beyond the maximum, is refused with 0x94",
  async (t) => {
    for (const over of [false, true]) {
      const client = await t.connect();
      const max = (client.connack.props["TopicAliasMaximum"] as number | undefined) ?? 0;
      t.needs(max < 65_535, "a maximum that can be exceeded");
      const TopicAlias = over ? max + 1 : 0;
      client.send(wire.publish(5, { topic: t.topic(), props: { TopicAlias } }));
      await client.closed(0x94);
    }
  },
);

mqtt5("[MQTT-3.3.2-7] topic aliases end with their connection", async (t) => {
  const fields = { clientId: t.clientId(), clean: false, props: { SessionExpiryInterval: 100 } };
  const first = await t.connect(fields);
  t.needs(((first.connack.props["TopicAliasMaximum"] as number) ?? 0) > 0, "topic aliases");
  await first.publish({ topic: t.topic(), props: { TopicAlias: 1 } });
  first.cut();
  await t.sleep(50);
  const second = await t.connect(fields);
  second.send(wire.publish(5, { topic: "", props: { TopicAlias: 1 } }));
  await second.closed(0x82, 0x94);
});

mqtt5(
  "[MQTT-3.1.2-26] [MQTT-3.3.2-11] [MQTT-3.3.2-10] topic aliases towards a client stay within its Topic Alias Maximum, and stand for the topic that set them",
  async (t) => {
    const subscriber = await t.connect({ props: { TopicAliasMaximum: 2 } });
    await subscriber.subscribe(t.topic("#"), 0);
    const publisher = await t.connect();
    const known = new Map<number, string>();
    const names = ["a-long-topic-name/1", "a-long-topic-name/2", "a-long-topic-name/3"];
    for (let n = 0; n < 60; n++) {
      const topic = t.topic(names[Math.floor(n / 7) % 3]!);
      await publisher.publish({ topic, payload: `${n}` });
      const message = await subscriber.expectMessage(`${n}`);
      const alias = message.props["TopicAlias"] as number | undefined;
      if (alias !== undefined) t.ok(alias >= 1 && alias <= 2, `alias ${alias}`);
      if (alias !== undefined && message.topic !== "") known.set(alias, message.topic);
      t.equal(message.topic === "" ? known.get(alias!) : message.topic, topic, "the topic");
    }
  },
);

mqtt5("[MQTT-3.1.2-27] a client that takes no aliases gets none", async (t) => {
  const name = t.topic("a-topic-that-is-worth-an-alias");
  for (const props of [{}, { TopicAliasMaximum: 0 }]) {
    const subscriber = await t.connect({ props });
    await subscriber.subscribe(name, 0);
    const publisher = await t.connect();
    for (let n = 0; n < 10; n++) {
      await publisher.publish({ topic: name, payload: `${n}` });
      const { topic, props: got } = await subscriber.expectMessage(`${n}`);
      t.equal([topic, got["TopicAlias"]], [name, undefined], "topic and alias");
    }
  }
});

mqtt5("[MQTT-3.3.4-6] a PUBLISH from a client has no Subscription Identifier", async (t) => {
  const client = await t.connect();
  client.send(wire.publish(5, { topic: t.topic(), props: { SubscriptionIdentifier: 1 } }));
  await client.closed(0x82, 0x81);
});

const misused: Readonly<Record<string, readonly [props: string, code: number]>> = {
  "Payload Format Indicator 2": ["01 02", 0x82],
  "Payload Format Indicator twice": ["01 00 01 00", 0x82],
  "Message Expiry Interval twice": ["02 00000001 02 00000001", 0x82],
  "Topic Alias twice": ["23 0001 23 0001", 0x82],
  "a property of CONNECT": ["11 00000001", 0x81],
  "a property that does not exist": ["7f 01", 0x81],
  "truncated properties": ["02 0000", 0x81],
};
for (const [what, [props, code]] of Object.entries(misused)) {
  mqtt5(`[MQTT-4.13.1-1] PUBLISH with ${what} ends the connection`, async (t) => {
    const client = await t.connect();
    const bytes = props
      .replaceAll(" ", "")
      .match(/../g)!
      .map((byte) => Number.parseInt(byte, 16));
    client.send(wire.packet(0x30, wire.text(t.topic()), [bytes.length, ...bytes]));
    await client.closed(code, 0x81);
  });
}

mqtt5(
  "[MQTT-3.2.2-15] a packet beyond the broker's Maximum Packet Size is refused with 0x95",
  async (t) => {
    const client = await t.connect();
    const max = (client.connack.props["MaximumPacketSize"] as number | undefined) ?? 0;
    t.needs(max > 0 && max <= 16_777_216, "a Maximum Packet Size");
    client.send(wire.publish(5, { topic: t.topic(), payload: new Uint8Array(max) }));
    await client.closed(0x95);
  },
);

bothVersions(
  "[MQTT311-6.0.0-2] [MQTT-6.0.0-2] [MQTT-4.2-1] [MQTT311-7.1.1-1] packets are read from the stream, however it is split into chunks",
  async (t) => {
    const client = await t.open();
    const stream = [
      ...wire.connect(t.version, { clientId: t.clientId() }),
      ...wire.subscribe(t.version, 1, [[t.topic(), 0]]),
      ...wire.publish(t.version, { topic: t.topic(), payload: "x" }),
    ];
    for (const byte of stream) client.send(Uint8Array.of(byte));
    await client.expect("CONNACK");
    await client.expect("SUBACK");
    await client.expectMessage("x");
    client.send(Uint8Array.from([...wire.pingreq, ...wire.pingreq, ...wire.pingreq]));
    for (let n = 0; n < 3; n++) await client.expect("PINGRESP");
  },
);

bothVersions("[MQTT311-7.0.0-2] a client of one version talks to one of another", async (t) => {
  const other = t.version === 5 ? 4 : 5;
  const subscriber = await t.connect({}, other);
  await subscriber.subscribe(t.topic(), 2);
  const publisher = await t.connect();
  const props = {
    ContentType: "x",
    MessageExpiryInterval: 10,
    UserProperty: [["a", "b"]] as const,
  };
  await publisher.publish({ topic: t.topic(), payload: "across", qos: 2, props });
  await subscriber.acknowledge(await subscriber.expectMessage("across"));
});
