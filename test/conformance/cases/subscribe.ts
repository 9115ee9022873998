/** SUBSCRIBE, UNSUBSCRIBE, topic filters, shared subscriptions. */
import { bothVersions, mqtt5 } from "../harness.ts";
import * as wire from "../wire.ts";

bothVersions(
  "[MQTT311-3.8.4-1] [MQTT311-3.8.4-2] [MQTT311-2.3.1-7] [MQTT-3.8.4-1] [MQTT-3.8.4-2] [MQTT-2.2.1-6] SUBACK answers SUBSCRIBE and UNSUBACK answers UNSUBSCRIBE, each with the same identifier",
  async (t) => {
    const client = await t.connect();
    for (const id of [1, 256, 65_535]) {
      client.send(wire.subscribe(t.version, id, [[t.topic(), 0]]));
      t.equal((await client.expect("SUBACK")).id, id, "SUBACK's identifier");
      client.send(wire.unsubscribe(t.version, id, [t.topic()]));
      t.equal((await client.expect("UNSUBACK")).id, id, "UNSUBACK's identifier");
    }
  },
);

bothVersions(
  "[MQTT311-3.8.4-4] [MQTT311-3.8.4-5] [MQTT311-3.9.3-1] [MQTT311-3.9.3-2] [MQTT-3.8.4-5] [MQTT-3.8.4-6] [MQTT-3.8.4-7] [MQTT-3.9.3-1] [MQTT-3.9.3-2] one SUBACK answers all filters of a SUBSCRIBE, with a code for each, in order",
  async (t) => {
    const client = await t.connect();
    const filters = [
      [t.topic("a"), 2],
      [t.topic("b"), 0],
      [t.topic("c"), 1],
    ] as const;
    client.send(wire.subscribe(t.version, 5, filters));
    t.equal((await client.expect("SUBACK")).reasons, [2, 0, 1], "the codes");
    const publisher = await t.connect();
    for (const name of ["a", "b", "c"]) {
      await publisher.publish({ topic: t.topic(name), payload: name });
      await client.expectMessage(name);
    }
  },
);

bothVersions(
  "[MQTT311-3.8.4-3] [MQTT-3.8.4-3] [MQTT-3.8.4-4] an identical filter replaces the subscription, and the client receives the retained messages again",
  async (t) => {
    const client = await t.connect();
    const publisher = await t.connect();
    await publisher.publish({ topic: t.topic(), payload: "kept", qos: 1, retain: true });
    await client.subscribe(t.topic(), 1);
    await client.acknowledge(await client.expectMessage("kept"));
    await client.subscribe(t.topic(), 0);
    t.equal((await client.expectMessage("kept")).qos, 0, "the QoS of the retained message");
    await publisher.publish({ topic: t.topic(), payload: "once", qos: 1 });
    t.equal((await client.expectMessage("once")).qos, 0, "the QoS");
    await client.quiet();
    await publisher.publish({ topic: t.topic(), retain: true });
  },
);

bothVersions(
  "[MQTT311-3.3.5-1] [MQTT-3.3.4-2] overlapping subscriptions deliver a message at the largest QoS among them",
  async (t) => {
    const client = await t.connect();
    await client.subscribe(t.topic("#"), 1);
    await client.subscribe(t.topic("+"), 2);
    await client.subscribe(t.topic("a"), 0);
    const publisher = await t.connect();
    await publisher.publish({ topic: t.topic("a"), payload: "x", qos: 2 });
    const got: number[] = [];
    for (;;) {
      const packet = await client.next(300);
      if (packet === null || packet === "silence") break;
      t.equal([packet.type, packet.payload], ["PUBLISH", "x"], "the packet");
      got.push(packet.qos);
      await client.acknowledge(packet);
    }
    t.equal(Math.max(...got), 2, "the largest QoS");
  },
);

bothVersions(
  "[MQTT311-3.8.3-3] [MQTT-3.8.3-2] [MQTT311-3.10.3-2] [MQTT-3.10.3-2] a SUBSCRIBE or UNSUBSCRIBE without a filter is an error",
  async (t) => {
    for (const packet of [wire.subscribe(t.version, 1, []), wire.unsubscribe(t.version, 1, [])]) {
      const client = await t.connect();
      client.send(packet);
      await client.closed(0x82, 0x81);
    }
  },
);

bothVersions(
  "[MQTT311-3.8.3-4] [MQTT-3.8.3-5] reserved bits of the subscription options, and QoS 3, are errors",
  async (t) => {
    for (const options of [0x03, 0x40, 0x80, ...(t.version === 5 ? [0x30] : [0x04, 0x08, 0x10])]) {
      const client = await t.connect();
      client.send(wire.subscribe(t.version, 1, [[t.topic(), options]]));
      await client.closed(0x81, 0x82);
    }
  },
);

bothVersions(
  "[MQTT311-3.8.1-1] [MQTT-3.8.1-1] [MQTT311-3.10.1-1] [MQTT-3.10.1-1] SUBSCRIBE and UNSUBSCRIBE with wrong flags are malformed",
  async (t) => {
    for (const first of [0x80, 0x83, 0x8a, 0xa0, 0xa3]) {
      const client = await t.connect();
      const isSubscribe = first < 0xa0;
      const packet = isSubscribe
        ? wire.subscribe(t.version, 1, [[t.topic(), 0]])
        : wire.unsubscribe(t.version, 1, [t.topic()]);
      packet[0] = first;
      client.send(packet);
      await client.closed(0x81);
    }
  },
);

bothVersions(
  "[MQTT311-3.8.3-1] [MQTT-3.8.3-1] [MQTT311-3.10.3-1] [MQTT-3.10.3-1] topic filters are UTF-8 without U+0000",
  async (t) => {
    for (const bad of [Uint8Array.of(0xff), Uint8Array.of(0x61, 0)]) {
      for (const packet of [
        wire.subscribe(t.version, 1, [[bad, 0]]),
        wire.unsubscribe(t.version, 1, [bad]),
      ]) {
        const client = await t.connect();
        client.send(packet);
        await client.closed();
      }
    }
  },
);

bothVersions(
  "[MQTT311-4.7.1-2] [MQTT-4.7.1-1] [MQTT311-4.7.1-3] [MQTT-4.7.1-2] [MQTT311-4.7.3-1] [MQTT-4.7.3-1] each wildcard is a level of its own, # is the last level, and no filter is empty",
  async (t) => {
    for (const filter of ["a/#/b", "a#", "#a", "a+", "+a", "a/b+/c", "##", "++", ""]) {
      const client = await t.connect();
      client.send(wire.subscribe(t.version, 1, [[filter, 0]]));
      const packet = await client.next();
      // In 5.0 a filter may be refused by its SUBACK.
      if (packet !== null && packet !== "silence" && packet.type === "SUBACK") {
        t.ok(packet.reasons[0]! >= 0x80, `${filter} is accepted`);
      } else if (packet !== null) {
        t.ok(packet !== "silence" && packet.type === "DISCONNECT", `an answer to ${filter}`);
      }
    }
  },
);

bothVersions(
  "[MQTT311-3.8.3-2] filters with +, #, the parent level of # and empty levels match as specified",
  async (t) => {
    const client = await t.connect();
    t.needs(client.connack.props["WildcardSubscriptionAvailable"] !== 0, "wildcards");
    const publisher = await t.connect();
    const yes = ["a", "a/b", "a/b/c", "a/"];
    const table: Readonly<Record<string, readonly string[]>> = {
      "a/#": yes,
      "a/+": ["a/b", "a/"],
      "+": ["a"],
      "+/b/#": ["a/b", "a/b/c"],
      "/+": ["/x"],
      "+/+": ["a/b", "a/", "/x"],
    };
    const names = [...new Set([...yes, "/x", "x/y/z"])];
    for (const [filter, matching] of Object.entries(table)) {
      await client.subscribe(t.topic(filter), 0);
      for (const name of names) await publisher.publish({ topic: t.topic(name), payload: name });
      for (const name of names.filter((known) => matching.includes(known)))
        await client.expectMessage(name);
      await client.quiet();
      await client.unsubscribe(t.topic(filter));
    }
  },
);

bothVersions(
  "[MQTT311-4.7.2-1] [MQTT-4.7.2-1] a leading wildcard does not match topics that begin with $",
  async (t) => {
    const client = await t.connect();
    await client.subscribe("#", 0);
    await client.subscribe("+/broker/uptime", 0);
    const watcher = await t.connect();
    await watcher.subscribe("$SYS/#", 0);
    await t.sleep(300);
    for (;;) {
      const packet = await client.next(200);
      if (packet === null || packet === "silence") return;
      t.ok(!packet.topic.startsWith("$"), `${packet.topic} came`);
    }
  },
);

bothVersions(
  "[MQTT311-3.10.4-1] [MQTT311-3.10.4-2] [MQTT-3.10.4-1] [MQTT-3.10.4-2] UNSUBSCRIBE ends exactly the subscription of its filter",
  async (t) => {
    const client = await t.connect();
    await client.subscribe(t.topic("+"), 0);
    await client.subscribe(t.topic("a"), 0);
    await client.unsubscribe(t.topic("+"));
    const publisher = await t.connect();
    await publisher.publish({ topic: t.topic("b"), payload: "no" });
    await publisher.publish({ topic: t.topic("a"), payload: "yes" });
    await client.expectMessage("yes");
    await client.unsubscribe(t.topic("a"));
    await publisher.publish({ topic: t.topic("a"), payload: "no" });
    await client.quiet();
  },
);

bothVersions(
  "[MQTT311-3.10.4-3] [MQTT-3.10.4-3] deliveries that began before UNSUBSCRIBE are completed after it",
  async (t) => {
    const client = await t.connect();
    await client.subscribe(t.topic(), 2);
    const publisher = await t.connect();
    await publisher.publish({ topic: t.topic(), payload: "x", qos: 2 });
    const message = await client.expectMessage("x");
    await client.unsubscribe(t.topic());
    await client.acknowledge(message);
    await client.quiet();
  },
);

bothVersions(
  "[MQTT311-3.10.4-4] [MQTT311-3.10.4-5] [MQTT311-3.10.4-6] [MQTT-3.10.4-4] [MQTT-3.10.4-5] [MQTT-3.10.4-6] [MQTT-3.11.3-1] [MQTT-3.11.3-2] one UNSUBACK answers UNSUBSCRIBE; in 5.0 it has a code for each filter, in order",
  async (t) => {
    const client = await t.connect();
    await client.subscribe(t.topic("a"), 0);
    await client.subscribe(t.topic("b"), 0);
    const unsuback = await client.unsubscribe(t.topic("a"), t.topic("none"), t.topic("b"));
    if (t.version === 5) t.equal(unsuback.reasons, [0, 0x11, 0], "the codes");
    else t.equal(unsuback.bytes.length, 4, "the length");
    await client.unsubscribe(t.topic("never"));
  },
);

mqtt5("[MQTT-3.8.3-3] No Local: what a client publishes does not come back to it", async (t) => {
  const client = await t.connect();
  await client.subscribe(t.topic("#"), 0x04);
  const other = await t.connect();
  await other.subscribe(t.topic("#"), 0);
  await client.publish({ topic: t.topic("a"), payload: "mine" });
  await other.expectMessage("mine");
  await other.publish({ topic: t.topic("a"), payload: "yours" });
  await client.expectMessage("yours");
  await client.subscribe(t.topic("a"), 0);
  client.send(wire.publish(5, { topic: t.topic("a"), payload: "both" }));
  await client.expectMessage("both");
});

mqtt5("[MQTT-3.3.1-13] Retain As Published: RETAIN is as it was", async (t) => {
  const client = await t.connect();
  await client.subscribe(t.topic(), 0x08);
  const publisher = await t.connect();
  for (const retain of [true, false]) {
    await publisher.publish({ topic: t.topic(), payload: `${retain}`, retain });
    t.equal((await client.expectMessage(`${retain}`)).retain, retain, "RETAIN");
  }
  await publisher.publish({ topic: t.topic(), retain: true });
});

mqtt5(
  "[MQTT-3.3.1-9] [MQTT-3.3.1-10] [MQTT-3.3.1-11] Retain Handling decides whether a subscription receives retained messages always, only if it is new, or never",
  async (t) => {
    const publisher = await t.connect();
    await publisher.publish({ topic: t.topic(), payload: "kept", qos: 1, retain: true });
    const client = await t.connect();
    await client.subscribe(t.topic(), 0x10);
    await client.expectMessage("kept");
    await client.subscribe(t.topic(), 0x10);
    await client.quiet();
    await client.subscribe(t.topic(), 0x00);
    await client.expectMessage("kept");
    await client.unsubscribe(t.topic());
    await client.subscribe(t.topic(), 0x20);
    await client.quiet();
    await publisher.publish({ topic: t.topic(), retain: true });
  },
);

mqtt5(
  "[MQTT-3.3.4-3] [MQTT-3.3.4-4] [MQTT-3.3.4-5] a message carries the Subscription Identifiers of the subscriptions that it matches",
  async (t) => {
    const client = await t.connect();
    t.needs(
      client.connack.props["SubscriptionIdentifierAvailable"] !== 0,
      "subscription identifiers",
    );
    await client.subscribe(t.topic("#"), 0, { SubscriptionIdentifier: 7 });
    await client.subscribe(t.topic("+"), 0, { SubscriptionIdentifier: 268_435_455 });
    await client.subscribe(t.topic("b"), 0);
    const publisher = await t.connect();
    await publisher.publish({ topic: t.topic("a"), payload: "x" });
    const ids: unknown[] = [];
    for (;;) {
      const packet = await client.next(300);
      if (packet === null || packet === "silence") break;
      ids.push(packet.props["SubscriptionIdentifier"]);
    }
    t.equal(ids.flat().sort(), [268_435_455, 7], "the identifiers");
  },
);

mqtt5(
  "[MQTT-3.3.4-5] a replaced subscription has its new Subscription Identifier, or none",
  async (t) => {
    const client = await t.connect();
    t.needs(
      client.connack.props["SubscriptionIdentifierAvailable"] !== 0,
      "subscription identifiers",
    );
    for (const id of [5, 6, undefined]) {
      await client.subscribe(t.topic(), 0, { SubscriptionIdentifier: id });
      client.send(wire.publish(5, { topic: t.topic(), payload: "x" }));
      t.equal(
        (await client.expectMessage("x")).props["SubscriptionIdentifier"],
        id,
        "the identifier",
      );
    }
  },
);

mqtt5("[MQTT-4.13.1-1] a Subscription Identifier of 0, or two, are errors", async (t) => {
  for (const SubscriptionIdentifier of [[0], [1, 2]]) {
    const client = await t.connect();
    client.send(wire.subscribe(5, 1, [[t.topic(), 0]], { SubscriptionIdentifier }));
    await client.closed(0x82);
  }
});

mqtt5("[MQTT-3.8.3-4] No Local on a shared subscription is an error", async (t) => {
  const client = await t.connect();
  client.send(wire.subscribe(5, 1, [[`$share/g/${t.topic()}`, 0x04]]));
  await client.closed(0x82);
});

mqtt5(
  "[MQTT-4.8.2-1] [MQTT-4.8.2-2] a shared subscription without a filter, or with a wildcard in its share name, is refused",
  async (t) => {
    for (const filter of ["$share//a", "$share/g", "$share/g/", "$share/g+/a", "$share/#/a"]) {
      const client = await t.connect();
      client.send(wire.subscribe(5, 1, [[filter, 0]]));
      const packet = await client.next();
      if (packet !== null && packet !== "silence" && packet.type === "SUBACK") {
        t.ok(packet.reasons[0]! >= 0x80, `${filter} is accepted`);
      } else if (packet !== null) {
        t.ok(packet !== "silence" && packet.type === "DISCONNECT", `an answer to ${filter}`);
      }
    }
  },
);

mqtt5(
  "[MQTT-4.8.2-3] a shared subscription delivers each message to one member, at the member's QoS",
  async (t) => {
    const members = [await t.connect(), await t.connect(), await t.connect()];
    t.needs(members[0]!.connack.props["SharedSubscriptionAvailable"] !== 0, "shared subscriptions");
    const filter = `$share/g/${t.topic("#")}`;
    for (const [qos, member] of members.entries()) await member.subscribe(filter, qos);
    const publisher = await t.connect();
    for (let n = 0; n < 30; n++)
      await publisher.publish({ topic: t.topic("a"), payload: `${n}`, qos: 2 });
    const got: string[] = [];
    for (const [qos, member] of members.entries()) {
      let count = 0;
      for (;;) {
        const packet = await member.next(200);
        if (packet === null || packet === "silence") break;
        t.equal(packet.qos, qos, "the QoS");
        await member.acknowledge(packet);
        got.push(packet.payload);
        count++;
      }
      t.ok(count > 0, `member ${qos} got nothing`);
    }
    t.equal(got.length, 30, "how many came");
    t.equal(new Set(got).size, 30, "how many different ones");
  },
);

mqtt5(
  "[MQTT-4.8.2-3] a shared subscription receives no retained messages, and is independent of the client's other subscriptions",
  async (t) => {
    const publisher = await t.connect();
    await publisher.publish({ topic: t.topic(), payload: "kept", qos: 1, retain: true });
    const client = await t.connect();
    t.needs(client.connack.props["SharedSubscriptionAvailable"] !== 0, "shared subscriptions");
    await client.subscribe(`$share/g/${t.topic()}`, 0);
    await client.quiet();
    await client.subscribe(t.topic(), 0x20);
    await publisher.publish({ topic: t.topic(), payload: "x" });
    await client.expectMessage("x");
    await client.expectMessage("x");
    await client.unsubscribe(`$share/g/${t.topic()}`);
    await publisher.publish({ topic: t.topic(), payload: "y" });
    await client.expectMessage("y");
    await client.quiet();
    await publisher.publish({ topic: t.topic(), retain: true });
  },
);

mqtt5(
  "[MQTT-4.8.2-4] [MQTT-4.8.2-5] the exchange of a QoS 2 message sent to one member is completed with that member only",
  async (t) => {
    const kept = { clientId: t.clientId(), clean: false, props: { SessionExpiryInterval: 100 } };
    const first = await t.connect(kept);
    t.needs(first.connack.props["SharedSubscriptionAvailable"] !== 0, "shared subscriptions");
    const filter = `$share/g/${t.topic()}`;
    await first.subscribe(filter, 2);
    const publisher = await t.connect();
    await publisher.publish({ topic: t.topic(), payload: "x", qos: 2 });
    await first.expectMessage("x");
    const second = await t.connect();
    await second.subscribe(filter, 2);
    first.cut();
    await t.sleep(100);
    const again = await t.connect(kept);
    await again.expectMessage("x");
    again.send(wire.disconnect(0, { SessionExpiryInterval: 0 }));
    await again.closed();
    await second.quiet();
  },
);

mqtt5("[MQTT-4.8.2-6] a message that a member refuses goes to no other", async (t) => {
  const members = [await t.connect(), await t.connect()];
  t.needs(members[0]!.connack.props["SharedSubscriptionAvailable"] !== 0, "shared subscriptions");
  for (const member of members) await member.subscribe(`$share/g/${t.topic()}`, 1);
  const publisher = await t.connect();
  await publisher.publish({ topic: t.topic(), payload: "x", qos: 1 });
  let refused = 0;
  for (const member of members) {
    const packet = await member.next(300);
    if (packet === null || packet === "silence") continue;
    member.send(wire.ack(wire.Puback, packet.id, 0x80));
    refused++;
  }
  t.equal(refused, 1, "how many got it");
  for (const member of members) await member.quiet();
});

mqtt5("[MQTT-3.3.4-3] a retained message has the identifier of its new subscription", async (t) => {
  const client = await t.connect();
  t.needs(client.connack.props["RetainAvailable"] !== 0, "retained messages");
  await client.publish({ topic: t.topic(), payload: "x", retain: true });
  await client.subscribe(t.topic(), 0, { SubscriptionIdentifier: 300 });
  t.equal((await client.expectMessage("x")).props["SubscriptionIdentifier"], 300, "the identifier");
});
