/** QoS 1 and 2, flow control and order. */
import { bothVersions, mqtt5 } from "../harness.ts";
import * as wire from "../wire.ts";

const kept = { clean: false, props: { SessionExpiryInterval: 100 } };

bothVersions("[MQTT311-4.3.1-1] [MQTT-4.3.1-1] QoS 0 is delivered with DUP 0, once", async (t) => {
  const client = await t.connect();
  await client.subscribe(t.topic(), 2);
  const publisher = await t.connect();
  await publisher.publish({ topic: t.topic(), payload: "x" });
  const message = await client.expectMessage("x");
  t.equal([message.qos, message.dup], [0, false], "QoS and DUP");
  await client.quiet();
});

bothVersions(
  "[MQTT311-4.3.2-1] [MQTT-4.3.2-1] [MQTT-4.3.2-2] [MQTT-2.2.1-4] [MQTT311-2.3.1-4] [MQTT-4.3.2-3] QoS 1 is delivered with DUP 0 under an identifier that is not in use",
  async (t) => {
    const client = await t.connect();
    await client.subscribe(t.topic(), 1);
    const publisher = await t.connect();
    const ids = new Set<number>();
    for (let n = 0; n < 5; n++) {
      await publisher.publish({ topic: t.topic(), payload: `${n}`, qos: 1 });
      const message = await client.expectMessage(`${n}`);
      t.equal([message.qos, message.dup], [1, false], "QoS and DUP");
      t.ok(message.id > 0 && !ids.has(message.id), "an identifier of its own");
      ids.add(message.id);
    }
  },
);

bothVersions(
  "[MQTT311-2.3.1-6] [MQTT-2.2.1-5] [MQTT-4.3.2-4] [MQTT-3.4.2-1] [MQTT-3.5.2-1] [MQTT-3.7.2-1] an acknowledgement has the identifier of its packet, and one of its own reason codes",
  async (t) => {
    const client = await t.connect();
    for (const id of [1, 2, 255, 256, 65_535]) {
      client.send(wire.publish(t.version, { topic: t.topic(), qos: 1, id }));
      const puback = await client.expect("PUBACK");
      client.send(wire.publish(t.version, { topic: t.topic(), qos: 2, id }));
      const pubrec = await client.expect("PUBREC");
      client.send(wire.ack(wire.Pubrel, id));
      const pubcomp = await client.expect("PUBCOMP");
      t.equal([puback.id, pubrec.id, pubcomp.id], [id, id, id], "the identifiers");
      t.ok([0, 0x10].includes(puback.reason) && [0, 0x10].includes(pubrec.reason), "the codes");
      t.equal(pubcomp.reason, 0, "PUBCOMP's code");
    }
  },
);

bothVersions(
  "[MQTT311-4.3.2-2] [MQTT-4.3.2-5] after PUBACK, a PUBLISH with the same identifier is a new message, with DUP or without",
  async (t) => {
    const subscriber = await t.connect();
    await subscriber.subscribe(t.topic(), 0);
    const client = await t.connect();
    for (const dup of [false, true]) {
      client.send(
        wire.publish(t.version, { topic: t.topic(), payload: `${dup}`, qos: 1, id: 7, dup }),
      );
      await client.expect("PUBACK");
      const message = await subscriber.expectMessage(`${dup}`);
      t.equal(message.dup, false, "DUP");
    }
  },
);

bothVersions(
  "[MQTT311-4.3.3-2] [MQTT-4.3.3-8] [MQTT-4.3.3-10] [MQTT-4.3.3-11] [MQTT-4.3.3-12] a QoS 2 message repeated before PUBREL is delivered once; after PUBCOMP, its identifier belongs to a new message",
  async (t) => {
    const subscriber = await t.connect();
    await subscriber.subscribe(t.topic(), 2);
    const client = await t.connect();
    const packet = { topic: t.topic(), payload: "x", qos: 2, id: 9 };
    for (const dup of [false, true, true]) {
      client.send(wire.publish(t.version, { ...packet, dup }));
      t.equal((await client.expect("PUBREC")).id, 9, "the identifier");
    }
    client.send(wire.ack(wire.Pubrel, 9), wire.ack(wire.Pubrel, 9));
    t.equal((await client.expect("PUBCOMP")).id, 9, "the identifier");
    t.equal((await client.expect("PUBCOMP")).id, 9, "the identifier");
    await subscriber.acknowledge(await subscriber.expectMessage("x"));
    await subscriber.quiet();
    await client.publish(packet);
    await subscriber.expectMessage("x");
  },
);

bothVersions(
  "[MQTT311-4.3.3-1] [MQTT-4.3.3-1] [MQTT-4.3.3-2] [MQTT-4.3.3-3] [MQTT-4.3.3-4] [MQTT-4.3.3-5] [MQTT-4.3.3-6] [MQTT-3.6.2-1] a QoS 2 message is delivered once, by four packets with one identifier",
  async (t) => {
    const clientId = t.clientId();
    const client = await t.connect({ ...kept, clientId });
    await client.subscribe(t.topic(), 2);
    const publisher = await t.connect();
    await publisher.publish({ topic: t.topic(), payload: "x", qos: 2 });
    const message = await client.expectMessage("x");
    t.equal([message.qos, message.dup], [2, false], "QoS and DUP");
    client.send(wire.ack(wire.Pubrec, message.id));
    const pubrel = await client.expect("PUBREL");
    t.equal([pubrel.id, pubrel.first & 0xf, pubrel.reason], [message.id, 2, 0], "the PUBREL");
    client.cut();
    const again = await t.connect({ ...kept, clientId });
    t.equal((await again.expect("PUBREL")).id, message.id, "the identifier of the PUBREL");
    again.send(wire.ack(wire.Pubcomp, message.id));
    await again.quiet();
  },
);

bothVersions(
  "[MQTT311-4.4.0-1] [MQTT-4.4.0-1] [MQTT311-3.3.1-1] [MQTT-3.3.1-1] [MQTT-4.3.2-3] [MQTT311-4.6.0-1] [MQTT-4.6.0-1] [MQTT311-4.6.0-6] unacknowledged messages are resent when the session is resumed, in order, with DUP and the same identifiers",
  async (t) => {
    const clientId = t.clientId();
    const client = await t.connect({ ...kept, clientId });
    await client.subscribe(t.topic(), 2);
    const publisher = await t.connect();
    const ids: number[] = [];
    for (const [n, qos] of [1, 2, 1, 2].entries()) {
      await publisher.publish({ topic: t.topic(), payload: `${n}`, qos });
      ids.push((await client.expectMessage(`${n}`)).id);
    }
    await client.quiet();
    client.cut();
    const again = await t.connect({ ...kept, clientId });
    for (const [n, id] of ids.entries()) {
      const message = await again.expectMessage(`${n}`);
      t.equal([message.id, message.dup], [id, true], "identifier and DUP");
      await again.acknowledge(message);
    }
    await again.quiet();
  },
);

bothVersions(
  "[MQTT-4.4.0-1] [MQTT311-3.3.1-3] [MQTT-3.3.1-3] no message is resent while the connection lasts, and DUP is not forwarded",
  async (t) => {
    const client = await t.connect();
    await client.subscribe(t.topic(), 1);
    const publisher = await t.connect();
    publisher.send(
      wire.publish(t.version, { topic: t.topic(), payload: "x", qos: 1, id: 1, dup: true }),
    );
    await publisher.expect("PUBACK");
    t.equal((await client.expectMessage("x")).dup, false, "DUP");
    await t.sleep(3000);
    await client.quiet();
  },
);

bothVersions(
  "[MQTT311-4.6.0-2] [MQTT-4.6.0-2] [MQTT311-4.6.0-3] [MQTT-4.6.0-3] acknowledgements come in the order of the messages",
  async (t) => {
    const client = await t.connect();
    for (const qos of [1, 2]) {
      const packets = Array.from({ length: 10 }, (_, n) =>
        wire.publish(t.version, { topic: t.topic(), qos, id: 100 - n }),
      );
      client.send(...packets);
      for (let n = 0; n < 10; n++) {
        const { id } = await client.expect(qos === 1 ? "PUBACK" : "PUBREC");
        t.equal(id, 100 - n, "the identifier");
      }
    }
  },
);

bothVersions(
  "[MQTT311-4.6.0-4] [MQTT-4.6.0-4] PUBREL packets come in the order of the PUBREC packets",
  async (t) => {
    const client = await t.connect();
    await client.subscribe(t.topic(), 2);
    const publisher = await t.connect();
    const ids: number[] = [];
    for (let n = 0; n < 4; n++) {
      await publisher.publish({ topic: t.topic(), payload: `${n}`, qos: 2 });
      ids.push((await client.expectMessage(`${n}`)).id);
    }
    const order = [2, 0, 3, 1].map((index) => ids[index]!);
    client.send(...order.map((id) => wire.ack(wire.Pubrec, id)));
    for (const id of order) t.equal((await client.expect("PUBREL")).id, id, "the identifier");
  },
);

bothVersions(
  "[MQTT311-4.6.0-5] [MQTT-4.6.0-5] [MQTT-4.6.0-6] messages of one publisher are delivered in order",
  async (t) => {
    const client = await t.connect();
    await client.subscribe(t.topic("#"), 2);
    const publisher = await t.connect();
    for (const qos of [0, 1, 2]) {
      for (let n = 0; n < 10; n++) {
        publisher.send(
          wire.publish(t.version, { topic: t.topic(`${n % 2}`), payload: `${n}`, qos, id: 1 + n }),
        );
      }
      for (let n = 0; qos > 0 && n < 10; n++) {
        await publisher.expect(qos === 1 ? "PUBACK" : "PUBREC");
        if (qos === 2) publisher.send(wire.ack(wire.Pubrel, 1 + n));
      }
      for (let n = 0; qos === 2 && n < 10; n++) await publisher.expect("PUBCOMP");
      for (let n = 0; n < 10; n++) await client.acknowledge(await client.expectMessage(`${n}`));
    }
  },
);

for (const published of [0, 1, 2]) {
  for (const granted of [0, 1, 2]) {
    bothVersions(
      `[MQTT311-3.8.4-6] [MQTT-3.8.4-8] a message published at QoS ${published} to a subscription granted QoS ${granted} is delivered at the lower QoS`,
      async (t) => {
        const client = await t.connect();
        const suback = await client.subscribe(t.topic(), granted);
        t.equal(suback.reasons, [granted], "the granted QoS");
        const publisher = await t.connect();
        await publisher.publish({ topic: t.topic(), payload: "x", qos: published });
        const message = await client.expectMessage("x");
        t.equal(message.qos, Math.min(published, granted), "the QoS");
        await client.acknowledge(message);
      },
    );
  }
}

bothVersions("[MQTT311-3.6.1-1] [MQTT-3.6.1-1] PUBREL with other flags is malformed", async (t) => {
  for (const first of ["60", "63", "66", "6a"]) {
    const client = await t.connect();
    client.sendHex(`${first} 02 0001`);
    await client.closed(0x81);
  }
});

mqtt5("[MQTT-4.13.1-1] a malformed acknowledgement ends the connection", async (t) => {
  for (const packet of [
    "40 00",
    "40 01 00",
    "40 02 0000",
    "40 03 0001 55",
    "50 04 0001 00 05",
    "62 05 0001 00 0126",
  ]) {
    const client = await t.connect();
    client.sendHex(packet);
    await client.closed(0x81, 0x82);
  }
});

mqtt5(
  "[MQTT-3.6.2-1] [MQTT-3.7.2-1] an acknowledgement with an unknown identifier is answered with 0x92 or with success",
  async (t) => {
    const client = await t.connect();
    client.send(wire.ack(wire.Pubrel, 321));
    const pubcomp = await client.expect("PUBCOMP");
    t.equal(pubcomp.id, 321, "PUBCOMP's identifier");
    client.send(wire.ack(wire.Pubrec, 322));
    const pubrel = await client.expect("PUBREL");
    t.equal(pubrel.id, 322, "PUBREL's identifier");
    for (const { reason } of [pubcomp, pubrel])
      t.ok([0, 0x92].includes(reason), `the code ${reason}`);
  },
);

mqtt5(
  "[MQTT-4.4.0-2] [MQTT-4.8.2-6] a message that its subscriber refuses is not resent",
  async (t) => {
    const clientId = t.clientId();
    const client = await t.connect({ ...kept, clientId });
    await client.subscribe(t.topic(), 2);
    const publisher = await t.connect();
    for (const [qos, first] of [
      [1, wire.Puback],
      [2, wire.Pubrec],
    ] as const) {
      await publisher.publish({ topic: t.topic(), payload: `${qos}`, qos });
      const message = await client.expectMessage(`${qos}`);
      client.send(wire.ack(first, message.id, 0x83));
    }
    await client.quiet();
    client.cut();
    const again = await t.connect({ ...kept, clientId });
    await again.quiet();
  },
);

mqtt5(
  "[MQTT-4.3.3-9] after a PUBREC with a failure code, a PUBLISH with the same identifier is a new message",
  async (t) => {
    const client = await t.connect();
    client.send(wire.publish(5, { topic: "$SYS/not/yours", payload: "x", qos: 2, id: 5 }));
    const pubrec = await client.next();
    t.needs(
      pubrec !== null && pubrec !== "silence" && pubrec.reason >= 0x80,
      "a topic that is refused",
    );
    const subscriber = await t.connect();
    await subscriber.subscribe(t.topic(), 2);
    client.send(wire.publish(5, { topic: t.topic(), payload: "y", qos: 2, id: 5 }));
    t.equal((await client.expect("PUBREC")).reason, 0, "the code");
    client.send(wire.ack(wire.Pubrel, 5));
    await client.expect("PUBCOMP");
    await subscriber.expectMessage("y");
  },
);

mqtt5(
  "[MQTT-3.3.4-9] [MQTT-4.9.0-1] [MQTT-4.9.0-2] [MQTT-3.3.4-10] [MQTT-4.9.0-3] at most Receive Maximum messages are in flight to a client, and other packets do not wait for them",
  async (t) => {
    const client = await t.connect({ props: { ReceiveMaximum: 2 } });
    await client.subscribe(t.topic(), 2);
    const publisher = await t.connect();
    for (let n = 0; n < 5; n++)
      await publisher.publish({ topic: t.topic(), payload: `${n}`, qos: 1 + (n % 2) });
    const first = await client.expectMessage("0");
    const second = await client.expectMessage("1");
    await client.quiet();
    await client.subscribe(t.topic("other"), 0);
    client.send(wire.ack(wire.Puback, first.id));
    const third = await client.expectMessage("2");
    await client.quiet();
    client.send(wire.ack(wire.Pubrec, second.id));
    await client.expect("PUBREL");
    await client.quiet();
    client.send(wire.ack(wire.Pubcomp, second.id));
    await client.expectMessage("3");
    client.send(wire.ack(wire.Puback, third.id));
    await client.expectMessage("4");
  },
);

mqtt5("[MQTT-3.3.4-7] more than the broker's Receive Maximum are refused with 0x93", async (t) => {
  const client = await t.connect();
  const max = (client.connack.props["ReceiveMaximum"] as number | undefined) ?? 65_535;
  t.needs(max < 1000, "a Receive Maximum that can be reached");
  for (let n = 0; n <= max; n++) {
    client.send(wire.publish(5, { topic: t.topic(), qos: 2, id: n + 1 }));
  }
  for (let n = 0; n < max; n++) {
    const packet = await client.next();
    if (packet !== null && packet !== "silence" && packet.type === "PUBREC") continue;
    // The broker may close the connection without DISCONNECT.
    if (packet === null && !t.target.explains) return;
    t.ok(packet !== null && packet !== "silence" && packet.reason === 0x93, "the code");
    return;
  }
  await client.closed(0x93);
});

mqtt5(
  "[MQTT-3.1.2-24] [MQTT-3.1.2-25] [MQTT-3.2.2-19] [MQTT-3.2.2-20] a message beyond the subscriber's Maximum Packet Size is not sent, and is treated as delivered",
  async (t) => {
    const client = await t.connect({ props: { MaximumPacketSize: 100, ReceiveMaximum: 1 } });
    t.ok(client.connack.bytes.length <= 100, "CONNACK is not too large");
    await client.subscribe(t.topic(), 2);
    const publisher = await t.connect();
    for (const qos of [0, 1, 2]) {
      await publisher.publish({ topic: t.topic(), payload: "x".repeat(200), qos });
      await publisher.publish({ topic: t.topic(), payload: `${qos}`, qos });
      await client.acknowledge(await client.expectMessage(`${qos}`));
    }
    await client.quiet();
  },
);

mqtt5(
  "[MQTT-3.4.2-2] [MQTT-3.4.2-3] [MQTT-3.5.2-2] [MQTT-3.5.2-3] [MQTT-3.6.2-2] [MQTT-3.6.2-3] [MQTT-3.7.2-2] [MQTT-3.7.2-3] [MQTT-3.9.2-1] [MQTT-3.9.2-2] [MQTT-3.11.2-1] [MQTT-3.11.2-2] [MQTT-3.14.2-3] [MQTT-3.14.2-4] replies stay within a small Maximum Packet Size",
  async (t) => {
    const size = 20;
    const client = await t.connect({ props: { MaximumPacketSize: size }, clientId: t.clientId() });
    const denied = { topic: "$SYS/x" };
    client.send(
      wire.publish(5, { ...denied, qos: 1, id: 1 }),
      wire.publish(5, { ...denied, qos: 2, id: 2 }),
      wire.ack(wire.Pubrel, 300),
      wire.ack(wire.Pubrec, 301),
      wire.unsubscribe(5, 3, ["none"]),
      wire.subscribe(5, 4, [[t.topic(), 1]]),
      wire.publish(5, { topic: "a/#" }),
    );
    for (;;) {
      const packet = await client.next();
      if (packet === null) return;
      t.ok(packet !== "silence", "the end");
      if (packet !== "silence")
        t.ok(packet.bytes.length <= size, `${packet.type} of ${packet.bytes.length} bytes`);
    }
  },
);

mqtt5(
  "[MQTT-3.1.2-29] with Request Problem Information 0, only CONNACK, PUBLISH and DISCONNECT may have a Reason String",
  async (t) => {
    const client = await t.connect({ props: { RequestProblemInformation: 0 } });
    client.send(
      wire.publish(5, { topic: "$SYS/x", qos: 1, id: 1 }),
      wire.ack(wire.Pubrel, 300),
      wire.unsubscribe(5, 3, ["none"]),
      wire.pingreq,
    );
    for (;;) {
      const packet = await client.next();
      if (packet === null || packet === "silence" || packet.type === "PINGRESP") return;
      if (packet.type === "DISCONNECT") return;
      t.equal(packet.props["ReasonString"] ?? packet.props["UserProperty"], undefined, packet.type);
    }
  },
);

mqtt5(
  "[MQTT-4.3.3-7] [MQTT-4.3.3-13] the exchange of a QoS 2 message is completed even if the message has expired",
  async (t) => {
    const clientId = t.clientId();
    const client = await t.connect({ ...kept, clientId });
    await client.subscribe(t.topic(), 2);
    const publisher = await t.connect();
    await publisher.publish({
      topic: t.topic(),
      payload: "x",
      qos: 2,
      props: { MessageExpiryInterval: 1 },
    });
    const message = await client.expectMessage("x");
    client.cut();
    await t.sleep(2500);
    const again = await t.connect({ ...kept, clientId });
    const resent = await again.expectMessage("x");
    t.equal(resent.id, message.id, "the identifier");
    await again.acknowledge(resent);
  },
);
