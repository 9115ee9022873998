// `node --test docs/examples/testing/node.test.mjs`: MQTT.js loses an acknowledgement, and its message does not.
import assert from "node:assert/strict";
import { once } from "node:events";
import { Duplex } from "node:stream";
import { test } from "node:test";
import mqtt from "mqtt";
import { createTestBroker, Faults } from "sansmq/testing";

for (const [qos, acknowledgement, times] of [
  [1, "PUBACK", 2], // At least once: the broker has it twice.
  [2, "PUBREC", 1], // Exactly once.
]) {
  test(`what is published at QoS ${qos} survives a lost ${acknowledgement}`, async () => {
    const broker = createTestBroker();
    const line = new Faults({ drop: acknowledgement });
    const openStream = () => Duplex.fromWeb(broker.pipe({ faults: line }));
    const client = new mqtt.MqttClient(openStream, {
      clientId: "c",
      clean: false,
      reconnectPeriod: 1,
    });
    await once(client, "connect");

    const came = [];
    const first = new Promise((resolve) => {
      broker.on("published", ({ topic }) => resolve(came.push(topic)));
    });
    const published = client.publishAsync("readings", "21.5", { qos });
    await first;
    line.cut();
    await published; // MQTT.js has connected again, and sent again what was not acknowledged.
    assert.equal(came.length, times);

    await client.endAsync();
    await broker.close();
  });
}
