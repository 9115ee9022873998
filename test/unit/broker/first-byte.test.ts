import { describe, expect, test } from "vitest";
import { codecKinds } from "../../../codec-wasm/mod.ts";
import { EffectKind, Reason, Verdict } from "../../../core/mod.ts";
import { chunkOf } from "../../differential/bytes.ts";
import { TestBroker } from "../../support/broker.ts";
import { concat, connect, hex } from "../../support/packets.ts";
import { Random } from "../../support/random.ts";

const levels = [3, 4, 5] as const;
type Level = (typeof levels)[number];

/** How the connection of a client ends that sends these chunks, and the bytes it is sent. Level null: before CONNECT. */
function ending(world: TestBroker, level: Level | null, ...chunks: readonly Uint8Array[]) {
  const client = world.open();
  if (level !== null) client.connects({ level, clientId: "c" });
  client.takesBytes();
  for (const chunk of chunks) if (client.isOpen) client.send(chunk);
  const { ended, reason } = client;
  const told = Buffer.from(client.takesBytes()).toString("hex");
  if (client.isOpen) client.cut();
  return { ended, reason, told };
}

/** First bytes that a connected client may send; in 3.1, repeated packets have DUP. */
const allowed: Record<Level, readonly string[]> = {
  3: ["30 31 32 33 34 35 38 39 3a 3b 3c 3d", "40 50 62 6a 70 82 8a a2 aa c0 e0"],
  4: ["30 31 32 33 34 35 3a 3b 3c 3d", "40 50 62 70 82 a2 c0 e0"],
  5: ["30 31 32 33 34 35 3a 3b 3c 3d", "40 50 62 70 82 a2 c0 e0 f0"],
};

describe.each(codecKinds)("with the codec %s", (codec) => {
  test.each(levels)(
    "[MQTT311-2.2.2-2] [MQTT-2.1.3-1] at level %i, an invalid first byte of a packet ends the connection at once",
    (level) => {
      const world = new TestBroker({ codec });
      const may = new Set(hex(allowed[level].join(" ")));
      for (let first = 0; first < 256; first++) {
        const alone = ending(world, level, Uint8Array.of(first));
        expect([first, alone.ended !== EffectKind.None]).toEqual([first, !may.has(first)]);
        if (may.has(first)) continue;
        // With the same reason and the same bytes sent as for a complete packet.
        for (const rest of ["00", "05 0001 61 0000", "ff ff ff ff", "ff ff ff 7f", "03 0001 23"]) {
          const whole = concat(Uint8Array.of(first), hex(rest));
          expect([first, rest, ending(world, level, whole)]).toEqual([first, rest, alone]);
        }
      }
    },
  );

  test("[MQTT311-3.1.0-1] [MQTT-3.1.0-1] before CONNECT, any other first byte closes the connection at once", () => {
    const world = new TestBroker({ codec });
    for (let first = 0; first < 256; first++) {
      const { ended, reason } = ending(world, null, Uint8Array.of(first));
      const isOther = first >> 4 !== 1;
      const wrong = isOther ? Reason.ProtocolError : Reason.MalformedPacket;
      const expected = first === 0x10 ? [EffectKind.None, 0] : [EffectKind.Abort, wrong];
      expect([first, ended, reason]).toEqual([first, ...expected]);
    }
  });

  test("a connection ends the same way however its bytes are split into chunks", () => {
    const world = new TestBroker({ codec });
    for (let seed = 1; seed <= 50; seed++) {
      const random = new Random(seed);
      const stream = chunkOf(random);
      for (const level of [4, 5] as const) {
        const whole = ending(world, level, stream);
        const bytes = Array.from(stream, (_, at) => stream.subarray(at, at + 1));
        expect([seed, ending(world, level, ...bytes)]).toEqual([seed, whole]);
        const cut = random.below(stream.length + 1);
        const halves = [stream.subarray(0, cut), stream.subarray(cut)];
        expect([seed, cut, ending(world, level, ...halves)]).toEqual([seed, cut, whole]);
      }
    }
  });
});

test("checks the first byte of the next packet as soon as the packet before it is handled", () => {
  const client = new TestBroker().open();
  client.send(concat(connect({ level: 5 }), Uint8Array.of(0x00)));
  const [connack, ...rest] = client.takes();
  expect(connack).toMatch(/^CONNACK present=0 \w+=/);
  expect(rest).toEqual(["DISCONNECT ProtocolError ReasonString"]);
  expect(client.isOpen).toBe(false);
});

test("checks a first byte that arrived during a pending decision once the decision is made", () => {
  const world = new TestBroker({ policy: { authenticate: () => Verdict.Pending } });
  const client = world.open().send(connect({ level: 5 }), Uint8Array.of(0xff));
  expect(client.isOpen).toBe(true);
  world.decide(client, { kind: "allow" });
  const [connack, ...rest] = client.takes();
  expect(connack).toMatch(/^CONNACK present=0 \w+=/);
  expect(rest).toEqual(["DISCONNECT MalformedPacket ReasonString"]);
});

test("[MQTT-3.2.2-11] [MQTT-3.2.2-14] the first byte of a PUBLISH above Maximum QoS, or with RETAIN where it is not available, ends the connection", () => {
  for (const [limits, first, reason] of [
    [{ qosMax: 1 }, 0x34, "QoSNotSupported"],
    [{ retainAvailable: 0 }, 0x31, "RetainNotSupported"],
  ] as const) {
    const client = new TestBroker({ limits }).open().connects({ level: 5 });
    client.takesBytes();
    client.send(Uint8Array.of(first));
    expect(client.takes()).toEqual([`DISCONNECT ${reason} ReasonString`]);
  }
});

test("during an authentication exchange, the only first bytes allowed are those of AUTH and DISCONNECT", () => {
  for (let first = 0; first < 256; first++) {
    const world = new TestBroker({ policy: { authenticate: () => Verdict.Pending } });
    const client = world.open();
    client.connects({ level: 5, clientId: "c", props: { AuthenticationMethod: "M" } });
    const data = Uint8Array.of(1);
    world.decide(client, { kind: "challenge", data });
    expect(client.takes()).toEqual([
      'AUTH ContinueAuthentication AuthenticationMethod="M" AuthenticationData=01',
    ]);
    client.send(Uint8Array.of(first));
    expect([first, client.isOpen]).toEqual([first, first === 0xf0 || first === 0xe0]);
  }
});

test("reserves no memory for a packet with an invalid first byte", () => {
  const world = new TestBroker();
  const healthy = world.connected("healthy");
  const client = world.connected("bad");
  client.send(hex("00 ff ff 03 00"));
  expect(client.isOpen).toBe(false);
  expect(world.count("inputBytes")).toBe(0);
  expect(world.count("closedProtocolError")).toBe(1);
  healthy.publishes("a", "x");
  expect(healthy.isOpen).toBe(true);
});
