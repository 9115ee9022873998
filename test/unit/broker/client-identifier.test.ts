/** Client identifiers: empty, assigned, too long. */
import { expect, test } from "vitest";
import { EffectKind } from "../../../core/mod.ts";
import { TestBroker } from "../../support/broker.ts";

test("[MQTT311-3.1.3-8] refuses an empty client identifier without Clean Session, code 2", () => {
  const client = new TestBroker().open().connects({ clientId: "", clean: false });
  expect(client.takes()).toEqual(["CONNACK present=0 code=2"]); // [MQTT311-3.1.3-9]
  expect(client.ended).toBe(EffectKind.Close);
});

test("[MQTT311-3.1.3-6] assigns an identifier to a client without one", () => {
  const world = new TestBroker();
  world.connected({ clientId: "" });
  world.connected({ clientId: "" });
  const ids = world.events().flatMap((e) => (e.kind === "connected" ? [e.clientId] : []));
  expect(new Set(ids).size).toBe(2);
  for (const id of ids) expect(id).toMatch(/^auto-[0-9a-f]{32}$/);
});

test("3.1 accepts client identifiers of up to clientIdBytesMax, and refuses longer ones with code 2", () => {
  for (const [length, code] of [
    [23, 0],
    [24, 0],
    [30, 0],
    [31, 2],
  ] as const) {
    const client = new TestBroker({ limits: { clientIdBytesMax: 30 } }).open();
    client.connects({ level: 3, clientId: "x".repeat(length), clean: false });
    expect(client.takes()).toEqual([`CONNACK present=0 code=${code}`]);
  }
});

test("3.1 assigns an identifier to a client without one, or refuses it with code 2 without Clean Session", () => {
  const world = new TestBroker();
  world.connected({ level: 3, clientId: "" });
  world.connected({ level: 3, clientId: "" });
  const ids = world.events().flatMap((e) => (e.kind === "connected" ? [e.clientId] : []));
  expect(new Set(ids).size).toBe(2);
  for (const id of ids) expect(id).toMatch(/^auto-[0-9a-f]{32}$/);
  const kept = world.open().connects({ level: 3, clientId: "", clean: false });
  expect(kept.takes()).toEqual(["CONNACK present=0 code=2"]);
  expect(kept.ended).toBe(EffectKind.Close);
});

test("with clientIdLengthCheck, 3.1 accepts only client identifiers of 1 to 23 characters, and refuses others with code 2", () => {
  const limits = { clientIdLengthCheck: 1 };
  for (const [clientId, code] of [
    ["x".repeat(23), 0],
    ["é".repeat(23), 0],
    ["x".repeat(24), 2],
    ["", 2],
  ] as const) {
    const client = new TestBroker({ limits }).open().connects({ level: 3, clientId });
    expect(client.takes()).toEqual([`CONNACK present=0 code=${code}`]);
  }
  const later = new TestBroker({ limits }).open().connects({ clientId: "x".repeat(24) });
  expect(later.takes()).toEqual(["CONNACK present=0 code=0"]);
});

test("3.1.1 accepts client identifiers of up to clientIdBytesMax, and refuses longer ones with code 2", () => {
  const limits = { clientIdBytesMax: 30 };
  for (const [length, code] of [
    [30, 0],
    [31, 2],
  ] as const) {
    const client = new TestBroker({ limits }).open();
    client.connects({ clientId: "x".repeat(length) });
    expect(client.takes()).toEqual([`CONNACK present=0 code=${code}`]);
  }
});
