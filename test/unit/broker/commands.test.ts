/** Commands of the host: publish, observe and shut down. */
import { expect, test } from "vitest";
import { EffectKind, NO_CONN } from "../../../core/mod.ts";
import { fanout } from "../../support/broker.ts";

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
