// `npx vitest run --root docs/examples/testing`: two minutes of silence in a few milliseconds.
import { createTestBroker, Faults } from "sansmq/testing";
import { afterEach, beforeEach, expect, test } from "vitest";
import { raiseAlarms } from "./alarm.mjs";

let broker;
beforeEach(() => {
  broker = createTestBroker();
});
afterEach(() => broker.close());

test("an alarm is raised half a minute after a sensor was last waited for", async () => {
  await raiseAlarms(await broker.connect());
  const screen = await broker.connect();
  const alarms = [];
  await screen.subscribe("alarms/#", ({ topic }) => void alarms.push(topic));

  const line = new Faults();
  await broker.connect({
    clientId: "cellar",
    keepAliveSeconds: 60,
    sessionExpirySeconds: 3600,
    will: { topic: "sensors/cellar/gone", qos: 1, delaySeconds: 30 },
    faults: line,
  });
  await broker.clock.advance("1d");
  expect(alarms).toEqual([]);

  line.stall();
  await broker.clock.advance("90s"); // One and a half keep alives: the broker gives it up.
  expect(alarms).toEqual([]);
  await broker.clock.advance("30s"); // The delay of its will.
  expect(alarms).toEqual(["alarms/cellar"]);
});
