/** The limits of a receiving client, and CONNACK as the first packet. */
import { mqtt5 } from "../harness.ts";
import * as wire from "../wire.ts";

mqtt5(
  "[MQTT-3.14.0-1] [MQTT-3.2.0-1] the DISCONNECT for a fault in the chunk of the CONNECT comes after CONNACK",
  async (t) => {
    const client = await t.open();
    const connect = wire.connect(5, { clientId: t.clientId() });
    client.send(Uint8Array.from([...connect, 0xff, 0x00]));
    const packet = await client.next();
    const isFirst = packet === null || (packet !== "silence" && packet.type === "CONNACK");
    t.ok(isFirst, "CONNACK or the end");
    await client.ends();
  },
);

mqtt5(
  "[MQTT-3.1.2-24] [MQTT-3.2.0-1] a client with any Maximum Packet Size receives CONNACK first, and no packet that is longer",
  async (t) => {
    for (const max of [1, 4, 5, 8, 12, 16, 24, 64]) {
      const client = await t.open();
      client.send(
        wire.connect(5, { clientId: t.clientId(), props: { MaximumPacketSize: max } }),
        wire.pingreq,
      );
      for (let isFirst = true; ; isFirst = false) {
        const packet = await client.next();
        t.ok(packet !== "silence", "an answer, or the end");
        if (packet === null || packet === "silence") break;
        t.ok(packet.bytes.length <= max, `at most ${max} bytes, not ${packet.bytes.length}`);
        t.equal(packet.type === "CONNACK", isFirst, "whether it is CONNACK");
        if (packet.type === "PINGRESP") break;
      }
    }
  },
);

mqtt5(
  "[MQTT-3.3.4-9] resent messages stay within the Receive Maximum of the new connection",
  async (t) => {
    const fields = { clientId: t.clientId(), clean: false };
    const props = { SessionExpiryInterval: 100 };
    const first = await t.connect({ ...fields, props });
    await first.subscribe(t.topic(), 1);
    const publisher = await t.connect();
    for (const payload of ["1", "2", "3", "4"]) {
      await publisher.publish({ topic: t.topic(), qos: 1, payload });
      await first.expectMessage(payload);
    }
    first.cut();
    const again = await t.connect({ ...fields, props: { ...props, ReceiveMaximum: 2 } });
    const inflight = [await again.expectMessage("1"), await again.expectMessage("2")];
    await again.quiet();
    for (const payload of ["3", "4"]) {
      await again.acknowledge(inflight.shift()!);
      inflight.push(await again.expectMessage(payload));
      await again.quiet();
    }
  },
);

mqtt5(
  "[MQTT-3.1.2-24] [MQTT-3.1.2-25] resent messages stay within the Maximum Packet Size of the new connection",
  async (t) => {
    const fields = { clientId: t.clientId(), clean: false };
    const props = { SessionExpiryInterval: 100 };
    const first = await t.connect({ ...fields, props });
    await first.subscribe(t.topic(), 1);
    const publisher = await t.connect();
    const long = "long".repeat(50);
    for (const payload of [long, "short"]) {
      await publisher.publish({ topic: t.topic(), qos: 1, payload });
      await first.expectMessage(payload);
    }
    first.cut();
    const again = await t.connect({ ...fields, props: { ...props, MaximumPacketSize: 150 } });
    await again.expectMessage("short");
    await again.quiet();
  },
);

mqtt5("[MQTT-3.14.2-2] no DISCONNECT of the broker's has a Session Expiry Interval", async (t) => {
  const fields = { clientId: t.clientId(), clean: false, props: { SessionExpiryInterval: 100 } };
  const taken = await t.connect(fields);
  const wrong = await t.connect(fields);
  wrong.send(wire.packet(0x00));
  for (const client of [taken, wrong]) {
    const farewell = await client.next();
    t.ok(farewell !== "silence", "the end");
    if (farewell === null || farewell === "silence") continue;
    t.equal(farewell.type, "DISCONNECT", "the packet");
    t.equal(farewell.props["SessionExpiryInterval"], undefined, "Session Expiry Interval");
  }
});

mqtt5("[MQTT-3.3.4-9] [MQTT-4.9.0-2] what was received counts until PUBCOMP", async (t) => {
  const client = await t.connect({ props: { ReceiveMaximum: 1 } });
  await client.subscribe(t.topic(), 2);
  const publisher = await t.connect();
  await publisher.publish({ topic: t.topic(), payload: "1", qos: 2 });
  const { id } = await client.expectMessage("1");
  client.send(wire.ack(wire.Pubrec, id));
  await client.expect("PUBREL");
  await publisher.publish({ topic: t.topic(), payload: "2", qos: 1 });
  await client.quiet();
  client.send(wire.ack(wire.Pubcomp, id));
  await client.expectMessage("2");
});
