/** Sessions, keep alive and wills. */
import { bothVersions, mqtt5, mqtt311 } from "../harness.ts";
import * as wire from "../wire.ts";

const kept = { clean: false, props: { SessionExpiryInterval: 100 } };

bothVersions(
  "[MQTT311-3.1.2-4] [MQTT-3.1.2-5] [MQTT-3.1.2-23] [MQTT311-3.1.2-5] [MQTT311-4.1.0-1] [MQTT-4.5.0-1] [MQTT311-4.5.0-1] a resumed session has its subscriptions and the messages that were queued for it",
  async (t) => {
    const clientId = t.clientId();
    const first = await t.connect({ ...kept, clientId });
    await first.subscribe(t.topic(), 2);
    first.cut();
    const publisher = await t.connect();
    await t.sleep(50);
    await publisher.publish({ topic: t.topic(), payload: "1", qos: 1 });
    await publisher.publish({ topic: t.topic(), payload: "2", qos: 2 });
    const second = await t.connect({ ...kept, clientId });
    t.ok(second.connack.sessionPresent, "Session Present");
    await second.acknowledge(await second.expectMessage("1"));
    await second.acknowledge(await second.expectMessage("2"));
    await publisher.publish({ topic: t.topic(), payload: "3", qos: 1 });
    await second.acknowledge(await second.expectMessage("3"));
  },
);

bothVersions(
  "[MQTT311-3.1.2-6] [MQTT-3.1.2-4] [MQTT-3.1.4-4] [MQTT311-3.1.4-3] a clean start discards the previous session",
  async (t) => {
    const clientId = t.clientId();
    const first = await t.connect({ ...kept, clientId });
    await first.subscribe(t.topic(), 1);
    first.cut();
    await t.sleep(50);
    const second = await t.connect({ clientId, clean: true });
    const publisher = await t.connect();
    await publisher.publish({ topic: t.topic(), payload: "x", qos: 1 });
    await second.quiet();
  },
);

mqtt5("[MQTT-3.1.2-6] without Clean Start, and without a session, a new one is made", async (t) => {
  const client = await t.connect({ clean: false, props: { SessionExpiryInterval: 10 } });
  t.equal(client.connack.sessionPresent, false, "Session Present");
  await client.subscribe(t.topic());
  await client.publish({ topic: t.topic(), payload: "x" }).catch(() => {});
});

mqtt311("[MQTT311-3.1.2-6] a session of a clean start ends with its connection", async (t) => {
  const clientId = t.clientId();
  const first = await t.connect({ clientId, clean: true });
  await first.subscribe(t.topic(), 1);
  first.cut();
  await t.sleep(50);
  const second = await t.connect({ clientId, clean: false });
  t.equal(second.connack.sessionPresent, false, "Session Present");
});

mqtt5(
  "[MQTT-4.1.0-2] a session without a Session Expiry Interval ends with its connection, and another when its interval has passed",
  async (t) => {
    for (const [seconds, wait] of [
      [0, 50],
      [1, 2500],
    ] as const) {
      const clientId = t.clientId();
      const first = await t.connect({
        clientId,
        clean: false,
        props: { SessionExpiryInterval: seconds },
      });
      first.cut();
      await t.sleep(wait);
      const second = await t.connect({ clientId, clean: false });
      t.equal(second.connack.sessionPresent, false, `Session Present after ${seconds} s`);
    }
  },
);

mqtt5("[MQTT-4.1.0-1] an expiry says nothing while the connection is there", async (t) => {
  const client = await t.connect({ props: { SessionExpiryInterval: 1 } });
  await client.subscribe(t.topic(), 1);
  await t.sleep(2500);
  const publisher = await t.connect();
  await publisher.publish({ topic: t.topic(), payload: "x", qos: 1 });
  await client.expectMessage("x");
});

mqtt311("[MQTT311-4.1.0-2] a session lasts as long as its connection", async (t) => {
  const client = await t.connect();
  await client.subscribe(t.topic(), 1);
  const publisher = await t.connect();
  await publisher.publish({ topic: t.topic(), payload: "x", qos: 1 });
  await client.expectMessage("x");
});

mqtt5("[MQTT-4.1.0-2] DISCONNECT may change the expiry of a session", async (t) => {
  const clientId = t.clientId();
  const first = await t.connect({ ...kept, clientId });
  first.send(wire.disconnect(0, { SessionExpiryInterval: 0 }));
  await first.closed();
  const second = await t.connect({ ...kept, clientId });
  t.equal(second.connack.sessionPresent, false, "Session Present");
});

mqtt5("[MQTT-4.13.1-1] DISCONNECT may not give an expiry to a session that has none", async (t) => {
  const client = await t.connect({ props: { SessionExpiryInterval: 0 } });
  client.send(wire.disconnect(0, { SessionExpiryInterval: 10 }));
  await client.closed(0x82);
});

bothVersions(
  "[MQTT311-3.1.2-24] [MQTT-3.1.2-22] [MQTT-3.2.2-22] a client that is silent for one and a half times its keep alive is disconnected",
  async (t) => {
    const client = await t.connect({ keepAlive: 1 });
    t.needs(client.connack.props["ServerKeepAlive"] === undefined, "the broker sets its own");
    await t.sleep(1000);
    await client.quiet();
    await t.sleep(4000);
    await client.closed(0x8d);
  },
);

bothVersions("[MQTT311-3.12.4-1] [MQTT-3.12.4-1] PINGREQ is answered", async (t) => {
  const client = await t.connect({ keepAlive: 10 });
  for (let n = 0; n < 3; n++) await client.quiet();
});

for (const qos of [0, 1, 2]) {
  bothVersions(
    `[MQTT311-3.1.2-8] [MQTT-3.1.2-8] [MQTT-3.1.2-7] [MQTT311-3.1.2-16] [MQTT-3.1.2-14] a will at QoS ${qos} is published without RETAIN when the connection breaks`,
    async (t) => {
      const watcher = await t.connect();
      await watcher.subscribe(t.topic(), 2);
      const client = await t.connect({ will: { topic: t.topic(), payload: "gone", qos } });
      client.cut();
      const message = await watcher.expectMessage("gone");
      t.equal([message.qos, message.retain], [qos, false], "QoS and RETAIN");
      await watcher.acknowledge(message);
      const late = await t.connect();
      await late.subscribe(t.topic());
      await late.quiet();
    },
  );
}

bothVersions(
  "[MQTT311-3.1.2-17] [MQTT-3.1.2-15] a will with Will Retain is retained",
  async (t) => {
    const watcher = await t.connect();
    await watcher.subscribe(t.topic());
    const client = await t.connect({ will: { topic: t.topic(), payload: "gone", retain: true } });
    t.needs(client.connack.props["RetainAvailable"] !== 0, "retained messages");
    client.cut();
    await watcher.expectMessage("gone");
    const late = await t.connect();
    await late.subscribe(t.topic());
    t.ok((await late.expectMessage("gone")).retain, "RETAIN");
    await late.publish({ topic: t.topic(), retain: true });
  },
);

bothVersions(
  "[MQTT311-3.1.2-10] [MQTT-3.1.2-10] [MQTT311-3.14.4-3] [MQTT-3.14.4-3] DISCONNECT discards the will",
  async (t) => {
    const watcher = await t.connect();
    await watcher.subscribe(t.topic());
    const client = await t.connect({ will: { topic: t.topic(), payload: "gone" } });
    client.send(wire.disconnect());
    await client.closed();
    await t.sleep(50);
    await watcher.quiet();
  },
);

bothVersions(
  "[MQTT311-3.1.2-12] [MQTT-3.1.2-10] a connection without a will publishes none, and no will is published twice",
  async (t) => {
    const watcher = await t.connect();
    await watcher.subscribe(t.topic());
    const clientId = t.clientId();
    const mortal = await t.connect({
      clientId,
      ...kept,
      will: { topic: t.topic(), payload: "gone" },
    });
    mortal.cut();
    await watcher.expectMessage("gone");
    const again = await t.connect({ clientId, ...kept });
    again.cut();
    await t.sleep(50);
    await watcher.quiet();
  },
);

mqtt5("[MQTT-3.1.2-8] DISCONNECT with any other code than 0 publishes the will", async (t) => {
  const watcher = await t.connect();
  await watcher.subscribe(t.topic());
  for (const code of [0x04, 0x80, 0x93]) {
    const client = await t.connect({ will: { topic: t.topic(), payload: `${code}` } });
    client.send(wire.disconnect(code));
    await client.closed();
    await watcher.expectMessage(`${code}`);
  }
});

bothVersions(
  "[MQTT311-3.1.2-8] [MQTT-3.1.2-8] a protocol error and a takeover publish the will",
  async (t) => {
    const watcher = await t.connect();
    await watcher.subscribe(t.topic());
    const wrong = await t.connect({ will: { topic: t.topic(), payload: "wrong" } });
    wrong.sendHex("00 00");
    await wrong.closed();
    await watcher.expectMessage("wrong");
    const clientId = t.clientId();
    const taken = await t.connect({ clientId, will: { topic: t.topic(), payload: "taken" } });
    await t.connect({ clientId });
    await taken.closed(0x8e);
    await watcher.expectMessage("taken");
  },
);

mqtt5("[MQTT-3.1.2-8] a will waits for its delay, and no longer than its session", async (t) => {
  const watcher = await t.connect();
  await watcher.subscribe(t.topic());
  const delayed = { topic: t.topic(), payload: "late", props: { WillDelayInterval: 1 } };
  const client = await t.connect({ ...kept, will: delayed });
  client.cut();
  await t.sleep(300);
  await watcher.quiet();
  await t.sleep(1500);
  await watcher.expectMessage("late");
  const props = { SessionExpiryInterval: 0 };
  const will = { topic: t.topic(), payload: "ended", props: { WillDelayInterval: 1000 } };
  const short = await t.connect({ props, will });
  short.cut();
  await watcher.expectMessage("ended");
});

mqtt5(
  "[MQTT-3.1.3-9] a delayed will is not published if the client reconnects within the delay",
  async (t) => {
    const watcher = await t.connect();
    await watcher.subscribe(t.topic());
    const clientId = t.clientId();
    const will = { topic: t.topic(), payload: "late", props: { WillDelayInterval: 3 } };
    const client = await t.connect({ ...kept, clientId, will });
    client.cut();
    await t.sleep(300);
    await t.connect({ ...kept, clientId });
    await t.sleep(3500);
    await watcher.quiet();
  },
);

mqtt5(
  "[MQTT-3.1.2-8] a delayed will is published when a clean start ends its session",
  async (t) => {
    const watcher = await t.connect();
    await watcher.subscribe(t.topic());
    const clientId = t.clientId();
    const will = { topic: t.topic(), payload: "now", props: { WillDelayInterval: 1000 } };
    const client = await t.connect({ ...kept, clientId, will });
    client.cut();
    await t.sleep(50);
    await t.connect({ clientId, clean: true });
    await watcher.expectMessage("now");
  },
);

mqtt5(
  "[MQTT-3.1.3-10] [MQTT-3.1.2-9] the properties of a will are forwarded, User Properties in their order",
  async (t) => {
    const watcher = await t.connect();
    await watcher.subscribe(t.topic());
    const props = {
      PayloadFormatIndicator: 1,
      ContentType: "text/plain",
      ResponseTopic: "r",
      CorrelationData: Uint8Array.of(1, 2),
      UserProperty: [
        ["b", "1"],
        ["a", "2"],
        ["b", "3"],
      ] as const,
      MessageExpiryInterval: 100,
    };
    const client = await t.connect({ will: { topic: t.topic(), payload: "gone", props } });
    client.cut();
    const { props: got } = await watcher.expectMessage("gone");
    t.equal(got["UserProperty"], props.UserProperty, "User Property");
    t.equal(got["ContentType"], "text/plain", "Content Type");
    t.equal(got["ResponseTopic"], "r", "Response Topic");
    t.equal(got["CorrelationData"], props.CorrelationData, "Correlation Data");
    t.equal(got["PayloadFormatIndicator"], 1, "Payload Format Indicator");
    t.equal(got["MessageExpiryInterval"], 100, "Message Expiry Interval");
  },
);

mqtt311(
  "[MQTT311-3.1.2-7] retained messages outlive the session that published them",
  async (t) => {
    const publisher = await t.connect();
    await publisher.publish({ topic: t.topic(), payload: "kept", qos: 1, retain: true });
    publisher.send(wire.disconnect());
    await publisher.closed();
    const late = await t.connect();
    await late.subscribe(t.topic());
    await late.expectMessage("kept");
    await late.publish({ topic: t.topic(), retain: true });
  },
);

bothVersions(
  "[MQTT311-3.14.1-1] [MQTT-3.14.1-1] reserved flags in DISCONNECT are malformed: the will is published",
  async (t) => {
    const watcher = await t.connect();
    await watcher.subscribe(t.topic());
    const client = await t.connect({ will: { topic: t.topic(), payload: "gone" } });
    client.sendHex("e1 00");
    await client.closed(0x81);
    await watcher.expectMessage("gone");
  },
);

mqtt5("[MQTT-3.14.2-1] DISCONNECT with a code that it has not is malformed", async (t) => {
  for (const code of [0x01, 0x8e + 0x50, 0x11]) {
    const client = await t.connect();
    client.send(wire.disconnect(code));
    await client.closed(0x81, 0x82);
  }
});

bothVersions(
  "[MQTT311-3.14.4-1] [MQTT-3.14.4-2] [MQTT-3.14.4-1] after DISCONNECT, the connection ends and no packet is handled",
  async (t) => {
    const watcher = await t.connect();
    await watcher.subscribe(t.topic());
    const client = await t.connect();
    client.send(wire.disconnect(), wire.publish(t.version, { topic: t.topic(), payload: "late" }));
    await client.closed();
    await watcher.quiet();
  },
);
