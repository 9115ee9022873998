/** Commands of the host: publish, observe and shut down. */
import { expect, test } from "vitest";
import { EffectKind, NO_CONN } from "../../../core/mod.ts";
import { fanout } from "../../support/broker.ts";
import { publish } from "../../support/packets.ts";

test("shutdown refuses new connections, sends pending output, then closes every connection without wills", () => {
  const { world, readers, publisher } = fanout(2);
  const mortal = world.connected({ clientId: "m", will: { topic: "t", payload: "gone" } });
  const silent = world.open();
  world.drains = false;
  publisher.publishes("t", "last", { qos: 1 });
  world.broker.handleCommand({ kind: "shutdown" }, world.now);
  expect(world.open().conn).toBe(NO_CONN);
  silent.connects({ clientId: "late" });
  world.drain();
  for (const reader of readers) {
    expect(reader.takes()).toEqual(['PUBLISH t "last" q1 #1']);
    expect(reader.ended).toBe(EffectKind.Close);
  }
  expect(publisher.takes()).toEqual(["PUBACK #1"]);
  expect([publisher, mortal, silent].map(({ ended }) => ended)).toEqual([1, 1, 1]);
  expect(world.count("clientsConnected")).toBe(0);
});

test("a message that the host publishes is delivered and retained, and refused if its topic name is invalid", () => {
  const { world, readers } = fanout(1);
  const say = (topic: string): void => {
    const payload = new TextEncoder().encode("hi");
    world.command({ kind: "publish", topic, payload, qos: 1, retain: true });
  };
  say("t");
  expect(readers[0]!.takes()).toEqual(['PUBLISH t "hi" q1 #1']);
  expect(world.count("retainedMessages")).toBe(1);
  for (const topic of ["", "a/+", "#", "a\0"]) expect(() => say(topic)).toThrow("topic:");
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
