/** Events for the host: their kinds, and their bound. */
import { expect, test } from "vitest";
import { fanout, TestBroker } from "../../support/broker.ts";
import { disconnect, pingreq, publish, subscribe, unsubscribe } from "../../support/packets.ts";

const kept = { clientId: "s", clean: false } as const;

test("reports connections, sessions and subscriptions as events", () => {
  const world = new TestBroker();
  const client = world.connected(kept).send(subscribe(1, ["a", 1]), unsubscribe(2, "a"));
  client.send(disconnect);
  world.open().send(pingreq);
  expect(world.events().map(({ kind }) => kind)).toEqual([
    "connected",
    "subscribed",
    "unsubscribed",
    "disconnected",
    "refused",
  ]);
});

test("drops and counts the oldest events beyond eventsMax", () => {
  const world = new TestBroker({ limits: { eventsMax: 2 } });
  world.connected("a").subscribes(1, ["x", 0], ["y", 0]);
  expect(world.events().map(({ kind }) => kind)).toEqual(["subscribed", "subscribed"]);
  expect(world.count("eventsDropped")).toBe(1);
});

test("reports published events only while they are observed", () => {
  const { world, publisher } = fanout(1);
  world.events();
  publisher.publishes("t", "unseen");
  world.broker.handleCommand({ kind: "observe", publishes: true }, world.now);
  publisher.send(publish("t", "seen"), publish("nobody", "seen too", { retain: true }));
  world.broker.handleCommand({ kind: "observe", publishes: false }, world.now);
  publisher.publishes("t", "unseen");
  const payloads = world.events().map((event) => {
    return event.kind === "published" ? new TextDecoder().decode(event.payload) : event.kind;
  });
  expect(payloads).toEqual(["seen", "seen too"]);
});

test("a flood of refusals displaces no other event, and the refusals that are not reported are counted", () => {
  const world = new TestBroker({ limits: { eventsMax: 300 } });
  const client = world.connected("c");
  for (let n = 0; n < 1000; n++) client.publishes("$SYS/no", "");
  const [first, ...others] = world.events();
  expect(first!.kind).toBe("connected");
  expect(others).toHaveLength(256);
  expect(world.count("eventsDropped")).toBe(1000 - 256);
  client.publishes("$SYS/no", "");
  expect(world.events()).toHaveLength(1);
});
